//! This vendor's ids: 24 hexadecimal digits. Made from what they name, always the same; an id that an account's owner
//! gave takes its place. Calls cannot be found by a made id, so theirs are written down.

use crate::dialects::every_agent;
use crate::fault::Fault;
use crate::http::Context;
use callwright_domain::{AccountId, AgentId, AgentProfile, CallId, Webhook};
use callwright_engine::AgentRef;
use callwright_store::{Alias, AliasKind, CallView, Number, StoredAgent};
use sha2::{Digest, Sha256};

/// The dialect's name, under which the pairs are kept.
pub(super) const DIALECT: &str = "happyrobot";
/// Digits of an id.
pub(super) const LENGTH: usize = 24;

/// The rule that an id must keep.
pub(super) fn rule(outer: &str) -> Result<(), &'static str> {
    let hex = outer.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if hex && outer.len() == LENGTH { Ok(()) } else { Err("must be 24 lower-case hexadecimal digits") }
}

/// An id made from a name.
pub(super) fn made(account: &AccountId, kind: &str, inner: &str) -> String {
    let mut hex = hex::encode(Sha256::digest(format!("{DIALECT}/{account}/{kind}/{inner}")));
    hex.truncate(LENGTH);
    hex
}

/// The id of a call.
pub(super) fn of_call(account: &AccountId, id: CallId) -> String {
    made(account, AliasKind::Call.word(), &id.to_string())
}

/// The ids of an account's things, and the hooks of its use cases: what every answer is written with.
pub(super) struct Book {
    account: AccountId,
    pairs: Vec<Alias>,
    pub(super) hooks: Vec<Webhook>,
}

impl Book {
    /// Reads an account's own ids.
    pub(super) async fn open(context: &Context, account: &AccountId) -> Result<Self, Fault> {
        let reader = context.calls.reader();
        let kinds = [AliasKind::Agent, AliasKind::Application, AliasKind::Number];
        let pairs = reader.aliases(account, DIALECT, &kinds).await?;
        let mut hooks = reader.webhooks(account, None).await?;
        hooks.retain(|hook| hook.endpoint.origin.dialect == DIALECT);
        Ok(Self { account: account.clone(), pairs, hooks })
    }

    /// A book without ids of the owner's, for where nothing can be read.
    pub(super) const fn blank(account: AccountId) -> Self {
        Self { account, pairs: Vec::new(), hooks: Vec::new() }
    }

    /// The id of a thing.
    pub(super) fn id(&self, kind: AliasKind, inner: &str) -> String {
        let given = self.pairs.iter().find(|pair| pair.kind == kind && pair.inner == inner);
        given.map_or_else(|| made(&self.account, kind.word(), inner), |pair| pair.outer.clone())
    }

    /// The account's own id.
    pub(super) fn organization(&self) -> String {
        self.id(AliasKind::Application, self.account.as_str())
    }

    /// The id of an agent, which is a use case's too.
    pub(super) fn agent(&self, id: &AgentId) -> String {
        self.id(AliasKind::Agent, id.as_str())
    }

    /// The id of a call.
    pub(super) fn call(&self, id: CallId) -> String {
        of_call(&self.account, id)
    }

    /// The agent of an id.
    pub(super) async fn find_agent(&self, context: &Context, outer: &str) -> Result<Option<StoredAgent>, Fault> {
        let given = self.pairs.iter().find(|pair| pair.kind == AliasKind::Agent && pair.outer == outer);
        if let Some(pair) = given {
            let id: AgentId = pair.inner_as()?;
            let found = context.calls.reader().agent(&self.account, &id).await;
            return found.map_err(Into::into);
        }
        let all = every_agent(context, &self.account).await?;
        Ok(all.into_iter().find(|agent| self.agent(&agent.id) == outer))
    }

    /// The number of an id.
    pub(super) async fn find_number(&self, context: &Context, outer: &str) -> Result<Option<Number>, Fault> {
        let all = context.calls.reader().numbers(&self.account).await?;
        Ok(all.into_iter().find(|number| self.id(AliasKind::Number, number.number.dial()) == outer))
    }
}

/// What people call an agent.
pub(super) fn name_of<'a>(id: &'a AgentId, profile: &'a AgentProfile) -> &'a str {
    match id.as_str() {
        // One that came with its call has no name of its own.
        AgentRef::INLINE => &profile.name,
        own if profile.name.is_empty() => own,
        _ => &profile.name,
    }
}

/// Makes calls findable by their ids.
pub(super) async fn keep(context: &Context, book: &Book, calls: &[CallView]) -> Result<(), Fault> {
    for view in calls {
        let (account, inner) = (&book.account, view.plan.id.to_string());
        let kept = context.calls.reader().alias_of_inner(account, DIALECT, AliasKind::Call, &inner).await;
        if kept?.is_some() {
            continue;
        }
        let (dialect, kind, outer) = (DIALECT.to_owned(), AliasKind::Call, book.call(view.plan.id));
        let alias = Alias { account: account.clone(), dialect, kind, outer, inner };
        context.calls.configure().put_alias(alias).await?;
    }
    Ok(())
}

/// The call of an id.
pub(super) async fn find_call(context: &Context, account: &AccountId, outer: &str) -> Result<CallView, Fault> {
    let reader = context.calls.reader();
    let missing = || Fault::NotFound { what: "call" };
    let found = reader.alias_of_outer(account, DIALECT, AliasKind::Call, outer).await?;
    let id: CallId = found.ok_or_else(missing)?.inner_as()?;
    reader.call(account, id).await?.ok_or_else(missing)
}
