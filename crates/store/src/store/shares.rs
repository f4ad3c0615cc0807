//! The writing verbs about what all nodes of a database take from together.

use super::Store;
use crate::StoreError;
use crate::sql::{Lane, shares};
use callwright_domain::{AccountId, Moment, TrunkId};
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

    /// Takes the next turn of a trunk whose turns are `apart`, all nodes together; how long it is until then. A turn that
    /// is not used is lost.
    ///
    /// # Errors
    /// As the database says.
    pub async fn take_turn(
        &self,
        account: AccountId,
        trunk: TrunkId,
        apart: Duration,
        now: Moment,
    ) -> Result<Duration, StoreError> {
        let name = format!("trunk {trunk}");
        let (lane, whose) = (lane(&account, &name), Arc::new((account, name)));
        self.writer
            .write_for(lane, move |conn| {
                let whose = Arc::clone(&whose);
                Box::pin(async move { shares::turn(conn, (&whose.0, &whose.1), apart, now).await })
            })
            .await
    }
}
