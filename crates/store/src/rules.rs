//! Rules, deny lists, consents and verdicts as plain values, and their verbs. Hides where they lie; never judges.

use crate::sql::rules as sql;
use crate::{Reader, Store, StoreError};
use callwright_domain::policy::RulesPatch;
use callwright_domain::{AccountId, AgentId, CallId, Moment, PhoneNumber};
use serde_json::Value;

/// What stands in the place of an account for the list of the whole server. No account's id: it is no slug.
pub(crate) const DENIED_EVERYWHERE: &str = "*";

/// Which deny list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// The account's.
    Of(AccountId),
    /// The whole server's.
    Everywhere,
}

impl Listed {
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Of(account) => account.as_str(),
            Self::Everywhere => DENIED_EVERYWHERE,
        }
    }
}

/// A number that is not called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The number, in international form when it has a country.
    pub number: PhoneNumber,
    /// Why, for people.
    pub reason: String,
}

/// A callee's agreement to be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredConsent {
    /// Who agreed.
    pub number: PhoneNumber,
    /// To what.
    pub scope: String,
    /// How it is known.
    pub source: String,
    /// The id of the words that were agreed to.
    pub wording: String,
    /// Since when.
    pub given: Moment,
    /// When it was taken back.
    pub revoked: Option<Moment>,
}

/// What an account used on one day (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayUsage {
    /// The day's first millisecond.
    pub day: Moment,
    /// Talked, in milliseconds.
    pub talked_ms: u64,
    /// Spent, in millionths of the account's currency.
    pub cost: u64,
}

/// A verdict on a call, with everything that it was made of.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredVerdict {
    /// `accept` or `dial`.
    pub stage: String,
    /// When it was asked for.
    pub at: Moment,
    /// The id of the rule that refused.
    pub refusal: Option<String>,
    /// [`callwright_domain::policy::Evidence`] as JSON.
    pub evidence: Value,
}

impl Store {
    /// Replaces the rules of an account, or what one of its agents changes in them. Calls that wait are judged by them
    /// when they are to be dialled.
    ///
    /// # Errors
    /// As the database says.
    pub async fn put_rules(
        &self,
        account: AccountId,
        agent: Option<AgentId>,
        rules: RulesPatch,
        now: Moment,
    ) -> Result<(), StoreError> {
        self.writer()
            .write(move |conn| {
                Box::pin(async move { sql::put_rules(conn, &account, agent.as_ref(), &rules, now).await })
            })
            .await
    }

    /// Puts numbers on a deny list; those that are on it stay as they are. How many are new.
    ///
    /// # Errors
    /// As the database says.
    pub async fn deny(&self, listed: Listed, denials: Vec<Denial>, now: Moment) -> Result<u64, StoreError> {
        self.writer().write(move |conn| Box::pin(async move { sql::deny(conn, listed, &denials, now).await })).await
    }

    /// Takes a number off a deny list; `false`: it was not on it.
    ///
    /// # Errors
    /// As the database says.
    pub async fn allow(&self, listed: Listed, number: PhoneNumber) -> Result<bool, StoreError> {
        self.writer().write(move |conn| Box::pin(async move { sql::allow(conn, &listed, &number).await })).await
    }

    /// Keeps the time zone (IANA) that a callee is in, whatever its number says.
    ///
    /// # Errors
    /// As the database says.
    pub async fn put_zone(
        &self,
        account: AccountId,
        number: PhoneNumber,
        zone: String,
        now: Moment,
    ) -> Result<(), StoreError> {
        self.writer()
            .write(move |conn| Box::pin(async move { sql::put_zone(conn, &account, (&number, &zone), now).await }))
            .await
    }

    /// Forgets where a callee is; `false`: it was not known.
    ///
    /// # Errors
    /// As the database says.
    pub async fn delete_zone(&self, account: AccountId, number: PhoneNumber) -> Result<bool, StoreError> {
        self.writer().write(move |conn| Box::pin(async move { sql::delete_zone(conn, &account, &number).await })).await
    }

    /// Keeps a consent; one of the same number and scope gives way.
    ///
    /// # Errors
    /// As the database says.
    pub async fn put_consent(&self, account: AccountId, consent: StoredConsent) -> Result<(), StoreError> {
        self.writer().write(move |conn| Box::pin(async move { sql::put_consent(conn, &account, &consent).await })).await
    }

    /// Takes every consent of a number back; how many there were.
    ///
    /// # Errors
    /// As the database says.
    pub async fn revoke_consent(
        &self,
        account: AccountId,
        number: PhoneNumber,
        now: Moment,
    ) -> Result<u64, StoreError> {
        self.writer().write(move |conn| Box::pin(async move { sql::revoke(conn, &account, &number, now).await })).await
    }
}

impl Reader {
    /// The rules of an account, or what an agent changes in them; none: none were set.
    ///
    /// # Errors
    /// As the database says.
    pub async fn rules(&self, account: &AccountId, agent: Option<&AgentId>) -> Result<Option<RulesPatch>, StoreError> {
        sql::rules(self.pool(), account, agent).await
    }

    /// What the account used on the days that begin from `from` on and before `until`, in order; days without use are
    /// left out.
    ///
    /// # Errors
    /// As the database says.
    pub async fn usage(&self, account: &AccountId, from: Moment, until: Moment) -> Result<Vec<DayUsage>, StoreError> {
        sql::daily_usage(self.pool(), account, (from, until)).await
    }

    /// A number's entry on a deny list, and when it was made.
    ///
    /// # Errors
    /// As the database says.
    pub async fn denial(&self, listed: &Listed, number: &PhoneNumber) -> Result<Option<(Denial, Moment)>, StoreError> {
        sql::denial(self.pool(), listed, number).await
    }

    /// The time zone that a callee is known to be in, and since when.
    ///
    /// # Errors
    /// As the database says.
    pub async fn zone(
        &self,
        account: &AccountId,
        number: &PhoneNumber,
    ) -> Result<Option<(String, Moment)>, StoreError> {
        sql::zone(self.pool(), account, number).await
    }

    /// The consents of a number, by scope.
    ///
    /// # Errors
    /// As the database says.
    pub async fn consents(&self, account: &AccountId, number: &PhoneNumber) -> Result<Vec<StoredConsent>, StoreError> {
        sql::consents(self.pool(), account, number).await
    }

    /// The verdicts on a call: at its acceptance, and at its dialling when it came to that.
    ///
    /// # Errors
    /// As the database says.
    pub async fn verdicts(&self, account: &AccountId, call: CallId) -> Result<Vec<StoredVerdict>, StoreError> {
        sql::verdicts(self.pool(), account, call).await
    }
}
