//! The ids by which vendors' users know what is here: which they are, and giving a thing the id that some code has
//! already.

use super::decode::{Object, invalid, query};
use super::{Asked, json_response};
use crate::dialects;
use crate::fault::Fault;
use crate::http::Response;
use callwright_domain::{AgentId, PhoneNumber};
use callwright_store::{Alias, AliasKind, StoreError};
use http::StatusCode;
use serde_json::{Value, json};

/// Longest id.
const MAX_ID: usize = 128;

/// An id in a vendor's shape, and what it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::dialects) struct VendorId {
    /// What kind of thing.
    pub(in crate::dialects) kind: AliasKind,
    /// The vendor's id.
    pub(in crate::dialects) outer: String,
    /// Ours.
    pub(in crate::dialects) inner: String,
}

fn shown(dialect: &str, id: &VendorId) -> Value {
    json!({"dialect": dialect, "kind": id.kind.word(), "id": id.outer, "names": id.inner})
}

pub(super) async fn list(asked: &Asked<'_>) -> Result<Response, Fault> {
    query(asked.request, &[])?;
    let mut ids = Vec::new();
    for dialect in dialects::all() {
        let given = dialect.ids(asked.context, &asked.account).await?;
        ids.extend(given.iter().map(|id| shown(dialect.name(), id)));
    }
    Ok(json_response(StatusCode::OK, &json!({ "ids": ids })))
}

pub(super) async fn put(asked: &Asked<'_>) -> Result<Response, Fault> {
    let mut body = Object::of(asked.request)?;
    let dialect = body.needed_text("dialect", MAX_ID)?;
    let kind = body.needed_text("kind", MAX_ID)?;
    let outer = body.needed_text("id", MAX_ID)?;
    let inner = body.needed_text("names", MAX_ID)?;
    body.end()?;
    let found = dialects::all().iter().find(|known| known.name() == dialect);
    let found = found.ok_or_else(|| invalid("dialect", "must be one of this server's dialects"))?;
    let kind =
        [AliasKind::Agent, AliasKind::Application, AliasKind::Number].into_iter().find(|known| known.word() == kind);
    let kind = kind.ok_or_else(|| invalid("kind", "must be agent, application or number"))?;
    found.id_rule(kind, &outer).map_err(|rule| invalid("id", rule))?;
    match kind {
        AliasKind::Application if inner != asked.account.as_str() => {
            return Err(invalid("names", "must be the account of the key"));
        }
        AliasKind::Agent => {
            let agent = AgentId::new(inner.as_str()).map_err(|why| invalid("names", &why.to_string()))?;
            let stored = asked.context.calls.reader().agent(&asked.account, &agent).await;
            stored?.ok_or(Fault::NotFound { what: "agent" })?;
        }
        AliasKind::Number => {
            let number = PhoneNumber::parse(&inner).map_err(|why| invalid("names", &why.to_string()))?;
            if number.dial() != inner {
                return Err(invalid("names", "must be the number as GET /v1/numbers shows it"));
            }
            let stored = asked.context.calls.reader().number(&asked.account, &number).await;
            stored?.ok_or(Fault::NotFound { what: "number" })?;
        }
        AliasKind::Application | AliasKind::Call | AliasKind::Task => {}
    }
    let id = VendorId { kind, outer: outer.clone(), inner: inner.clone() };
    let alias = Alias { account: asked.account.clone(), dialect: dialect.clone(), kind, outer, inner };
    match asked.context.calls.configure().replace_alias(alias).await {
        Ok(()) => Ok(json_response(StatusCode::OK, &shown(&dialect, &id))),
        Err(StoreError::Taken { .. }) => {
            Err(Fault::Conflict { rule: "this id names something else already", code: "id_taken" })
        }
        Err(error) => Err(error.into()),
    }
}
