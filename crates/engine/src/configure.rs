//! Changes of what calls are made from: agents, numbers, trunks, keys, rules, lists. Hides the store's writing half, and
//! tells the trunks of the node what changed.

use crate::node::Node;
use callwright_domain::agent::AgentProfile;
use callwright_domain::policy::RulesPatch;
use callwright_domain::{AccountId, AgentId, ApiKey, CallId, KeyId, Moment, PhoneNumber, TrunkId};
use callwright_store::{Alias, Denial, Listed, Note, Number, StoreError, StoredConsent, Trunk};

/// Changes of what calls are made from.
pub struct Configure<'a> {
    pub(crate) node: &'a Node,
}

impl Configure<'_> {
    /// Stores an agent, new or changed. Calls that exist keep the agent they were admitted with.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn put_agent(
        &self,
        account: &AccountId,
        id: &AgentId,
        agent: &AgentProfile,
        now: Moment,
    ) -> Result<(), StoreError> {
        self.node.store.put_agent(account.clone(), id.clone(), agent.clone(), now).await
    }

    /// Writes a note beside a call; `false`: the account has no such call.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn put_note(&self, account: &AccountId, call: CallId, note: Note) -> Result<bool, StoreError> {
        self.node.store.put_note(account.clone(), call, note).await
    }

    /// Removes a note; `false` when there was none.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn delete_note(&self, account: &AccountId, call: CallId, id: &str) -> Result<bool, StoreError> {
        self.node.store.delete_note(account.clone(), call, id.to_owned()).await
    }

    /// Removes an agent; `false` when there was none.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn delete_agent(&self, account: &AccountId, id: &AgentId) -> Result<bool, StoreError> {
        self.node.store.delete_agent(account.clone(), id.clone()).await
    }

    /// Stores a caller number.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn put_number(&self, number: &Number) -> Result<(), StoreError> {
        self.node.store.put_number(number.clone()).await
    }

    /// Removes a caller number; `false` when there was none.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn delete_number(&self, account: &AccountId, number: &PhoneNumber) -> Result<bool, StoreError> {
        self.node.store.delete_number(account.clone(), number.clone()).await
    }

    /// Stores a trunk; calls dialled from now on use it as it is now.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn put_trunk(&self, account: &AccountId, trunk: &Trunk) -> Result<(), StoreError> {
        self.node.store.put_trunk(account.clone(), trunk.clone()).await?;
        self.node.trunks.learn(account, &trunk.id, Some(trunk.clone()));
        Ok(())
    }

    /// Removes a trunk; `false` when there was none.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn delete_trunk(&self, account: &AccountId, id: &TrunkId) -> Result<bool, StoreError> {
        let there = self.node.store.delete_trunk(account.clone(), id.clone()).await?;
        self.node.trunks.learn(account, id, None);
        Ok(there)
    }

    /// Keeps a pair of a vendor's id and ours.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when one of the two is already paired otherwise.
    pub async fn put_alias(&self, alias: Alias) -> Result<(), StoreError> {
        self.node.store.put_alias(alias).await
    }

    /// Gives one of our ids another vendor's id than it had.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the vendor's id names something else.
    pub async fn replace_alias(&self, alias: Alias) -> Result<(), StoreError> {
        self.node.store.replace_alias(alias).await
    }

    /// Stores an API key.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn put_key(&self, key: &ApiKey) -> Result<(), StoreError> {
        self.node.store.put_key(key.clone()).await
    }

    /// Replaces the rules of an account, or what one of its agents changes in them.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn put_rules(
        &self,
        account: &AccountId,
        agent: Option<&AgentId>,
        rules: &RulesPatch,
        now: Moment,
    ) -> Result<(), StoreError> {
        self.node.store.put_rules(account.clone(), agent.cloned(), rules.clone(), now).await
    }

    /// Puts numbers on the account's deny list; how many are new. Calls that wait for them are not dialled.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn deny(&self, account: &AccountId, denials: Vec<Denial>, now: Moment) -> Result<u64, StoreError> {
        self.node.store.deny(Listed::Of(account.clone()), denials, now).await
    }

    /// Takes a number off the account's deny list; `false` when it was not on it.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn allow(&self, account: &AccountId, number: &PhoneNumber) -> Result<bool, StoreError> {
        self.node.store.allow(Listed::Of(account.clone()), number.clone()).await
    }

    /// Keeps the time zone that a callee is in.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn put_zone(
        &self,
        account: &AccountId,
        number: &PhoneNumber,
        zone: &str,
        now: Moment,
    ) -> Result<(), StoreError> {
        self.node.store.put_zone(account.clone(), number.clone(), zone.to_owned(), now).await
    }

    /// Forgets where a callee is; `false` when it was not known.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn delete_zone(&self, account: &AccountId, number: &PhoneNumber) -> Result<bool, StoreError> {
        self.node.store.delete_zone(account.clone(), number.clone()).await
    }

    /// Keeps a consent.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn put_consent(&self, account: &AccountId, consent: &StoredConsent) -> Result<(), StoreError> {
        self.node.store.put_consent(account.clone(), consent.clone()).await
    }

    /// Takes a number's consents back; how many there were.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn revoke_consent(
        &self,
        account: &AccountId,
        number: &PhoneNumber,
        now: Moment,
    ) -> Result<u64, StoreError> {
        self.node.store.revoke_consent(account.clone(), number.clone(), now).await
    }

    /// Removes an API key; `false` when there was none.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn delete_key(&self, account: &AccountId, id: &KeyId) -> Result<bool, StoreError> {
        self.node.store.delete_key(account.clone(), id.clone()).await
    }
}
