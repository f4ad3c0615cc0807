//! The writing verbs about what all nodes of a database take from together.

use super::Store;
use crate::StoreError;
use crate::sql::{Lane, channels, shares};
use callwright_domain::{AccountId, CallId, CampaignId, Moment, TrunkId};
use std::sync::Arc;
use std::time::Duration;

/// What a node got of something that has only so much in each second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// How much: for this second alone.
    pub granted: u32,
    /// Which second it is by the database's clock, since 1970.
    pub second: i64,
    /// How long it goes on.
    pub left: Duration,
}

/// A channel of a trunk, as a call holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Whose trunk.
    pub account: AccountId,
    /// Which trunk.
    pub trunk: TrunkId,
    /// Which call; with its end the channel is free, whatever else happens.
    pub call: CallId,
    /// Tells apart what this node takes for the same call: a second leg, or another try.
    pub hold: i64,
}

/// What gives out turns, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turns {
    /// A trunk, to INVITEs.
    Trunk(TrunkId),
    /// A campaign, to its calls, before they are judged.
    Campaign(CampaignId),
    /// A campaign, to its INVITEs.
    Invites(CampaignId),
}

impl Turns {
    /// How its row is called.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Trunk(trunk) => format!("trunk {trunk}"),
            Self::Campaign(campaign) => format!("campaign {campaign}"),
            Self::Invites(campaign) => format!("invites {campaign}"),
        }
    }
}

/// Shares of one account that are asked for together are given out in one transaction, each row in its turn: one flush of
/// the server's disk for all of them. Each is reckoned by the database's clock at its own statement, as it would be alone.
fn lane(account: &AccountId, name: &str) -> Lane {
    Lane::of(("shares", account.as_str()), (name, ""))
}

impl Store {
    /// Takes up to `wanted` of what a second has of `name` for all nodes together, which is `limit`.
    ///
    /// # Errors
    /// As the database says.
    pub async fn take_share(
        &self,
        (account, name): (AccountId, String),
        limit: u32,
        wanted: u32,
        now: Moment,
    ) -> Result<Share, StoreError> {
        let (lane, whose) = (lane(&account, &name), Arc::new((account, name)));
        self.writer
            .write_for(lane, move |conn| {
                let whose = Arc::clone(&whose);
                Box::pin(async move { shares::take(conn, (&whose.0, &whose.1), (limit, wanted), now).await })
            })
            .await
    }

    /// Takes the next of turns that are `apart`, all nodes together; how long it is until then. A turn that is not used is
    /// lost.
    ///
    /// # Errors
    /// As the database says.
    pub async fn take_turn(
        &self,
        account: AccountId,
        turns: Turns,
        apart: Duration,
        now: Moment,
    ) -> Result<Duration, StoreError> {
        let name = turns.name();
        let (lane, whose) = (lane(&account, &name), Arc::new((account, name)));
        self.writer
            .write_for(lane, move |conn| {
                let whose = Arc::clone(&whose);
                Box::pin(async move { shares::turn(conn, (&whose.0, &whose.1), apart, now).await })
            })
            .await
    }

    /// Takes one of the channels of a trunk, of which there are `most` for all nodes together; `false`: all are taken.
    ///
    /// # Errors
    /// As the database says. Then it may be taken all the same, and is to be given back.
    pub async fn take_channel(&self, channel: Channel, most: u32) -> Result<bool, StoreError> {
        let lane = Lane::of(("channels", channel.account.as_str(), channel.trunk.as_str()), ("", ""));
        let (me, channel) = (Arc::clone(&self.me), Arc::new(channel));
        self.writer
            .write_for(lane, move |conn| {
                let (me, channel) = (Arc::clone(&me), Arc::clone(&channel));
                Box::pin(async move { channels::take(conn, &me, (&channel, most)).await })
            })
            .await
    }

    /// Gives a channel back that this life of the node has taken; harmless when it has not.
    ///
    /// # Errors
    /// As the database says; it is free when its call has ended, at the latest.
    pub async fn give_channel_back(&self, channel: Channel) -> Result<(), StoreError> {
        let me = Arc::clone(&self.me);
        self.writer.write(move |conn| Box::pin(async move { channels::give_back(conn, &me, &channel).await })).await
    }
}
