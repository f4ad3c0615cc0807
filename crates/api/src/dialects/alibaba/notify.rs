//! `SetNotifyConfig` and `DescribeNotifyConfig`: where the calls of an agent are told, and what of them. One endpoint for
//! each agent, of an id that follows from the agent's, so that setting it twice changes it. Never sends.

use super::told::{KINDS, Kind, is_of_recording};
use super::{Call, VendorError, invalid, missing};
use crate::callbacks::Guard;
use crate::fault::Fault;
use crate::http::{Context, Request};
use callwright_domain::agent::Recording;
use callwright_domain::webhook::{Endpoint, History, MOST_TRIES, Order, Status, Topics, Whose};
use callwright_domain::{AccountId, AgentId, Origin, Pii, Refusal, Topic, Webhook, WebhookId};
use callwright_store::StoredAgent;
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Longest token, in characters; it becomes a header.
const MAX_TOKEN: usize = 1024;
/// The header that bears the token, as the vendor sends it: bare.
const TOKEN_HEADER: &str = "authorization";

/// What an endpoint's memo says of the settings beside URL, token and state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Memo {
    /// The kinds that are told, as they were given; empty: all.
    pub(super) kinds: String,
    /// Whether kept recordings are told of.
    pub(super) recordings: bool,
    /// How the server was reached when the settings were made; links begin with it.
    pub(super) base: String,
}

impl Memo {
    /// The memo that an endpoint bears. Written by us; one that cannot be read is treated as one that says nothing.
    pub(super) fn of(endpoint: &Endpoint) -> Self {
        serde_json::from_str(&endpoint.origin.memo).unwrap_or_default()
    }

    /// Whether a kind of event is told.
    pub(super) fn wants(&self, kind: &Kind) -> bool {
        let chosen = self.kinds.is_empty() || words(&self.kinds).any(|word| word == kind.word);
        chosen && (self.recordings || !is_of_recording(kind))
    }

    fn topics(&self) -> Vec<Topic> {
        let wanted = KINDS.iter().filter(|kind| self.wants(kind));
        let mut topics: Vec<Topic> = wanted.flat_map(|kind| kind.topics).copied().collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// What a request says, checked.
#[derive(Debug, Clone)]
struct Wanted {
    status: Status,
    url: String,
    token: Option<Pii<String>>,
    memo: Memo,
}

/// `SetNotifyConfig`. The settings as a whole are replaced: what is not given is not set any more.
pub(super) async fn set(
    call: &Call<'_>,
    account: &AccountId,
    request: &Request,
    context: &Context,
) -> Result<Value, VendorError> {
    let name = call.parameter("AIAgentId").ok_or_else(|| missing("AIAgentId"))?;
    let wanted = decode(call, request)?;
    judge(&context.guard, &wanted.url).await?;
    let agent = find(&name, account, context).await?;
    if wanted.memo.recordings && agent.profile.recording == Recording::Off {
        let rule = "the agent keeps no recordings; its member recording says so";
        return Err(invalid("EnableAudioRecording", rule).into());
    }
    let id = id(account, &agent.id);
    let before = context.calls.reader().webhook(account, &id).await?;
    let made = endpoint(wanted, account, &agent.id, id);
    let now = request.received;
    let webhook = Webhook { created: before.map_or(now, |before| before.created), updated: now, ..made };
    context.calls.configure().put_webhook(&webhook).await?;
    Ok(json!({}))
}

/// `DescribeNotifyConfig`. An endpoint that the server switched off (410, or days of failures) shows as not enabled.
pub(super) async fn describe(call: &Call<'_>, account: &AccountId, context: &Context) -> Result<Value, VendorError> {
    let name = call.parameter("AIAgentId").ok_or_else(|| missing("AIAgentId"))?;
    let agent = find(&name, account, context).await?;
    let id = id(account, &agent.id);
    let found = context.calls.reader().webhook(account, &id).await?;
    Ok(found
        .map_or_else(|| shown(&Memo::default(), None), |webhook| shown(&Memo::of(&webhook.endpoint), Some(&webhook))))
}

fn shown(memo: &Memo, webhook: Option<&Webhook>) -> Value {
    let headers = webhook.map(|webhook| webhook.endpoint.headers.as_slice()).unwrap_or_default();
    let token = headers.iter().find(|(name, _)| name == TOKEN_HEADER).map_or("", |(_, token)| token.expose());
    json!({
        "EnableNotify": webhook.is_some_and(|webhook| webhook.status == Status::Enabled),
        "CallbackUrl": webhook.map_or("", |webhook| webhook.endpoint.url.expose()),
        "Token": token,
        "EventTypes": memo.kinds,
        "EnableAudioRecording": memo.recordings,
        "AudioOssPath": "",
    })
}

fn decode(call: &Call<'_>, request: &Request) -> Result<Wanted, Fault> {
    let enabled = call.flag("EnableNotify")?.ok_or_else(|| missing("EnableNotify"))?;
    let url = call.parameter("CallbackUrl").unwrap_or_default();
    if enabled && url.is_empty() {
        return Err(missing("CallbackUrl"));
    }
    let token = call.parameter("Token");
    if token.as_ref().is_some_and(|token| token.chars().count() > MAX_TOKEN || HeaderValue::from_str(token).is_err()) {
        return Err(invalid("Token", &format!("must be at most {MAX_TOKEN} characters that a header may carry")));
    }
    if call.parameter("AudioOssPath").is_some() {
        let rule = "recordings stay on this server: no object storage is written to";
        return Err(invalid("AudioOssPath", rule));
    }
    let kinds = call.parameter("EventTypes").unwrap_or_default();
    let unknown = words(&kinds).find(|word| KINDS.iter().all(|kind| kind.word != *word));
    if unknown.is_some() || (!kinds.is_empty() && words(&kinds).next().is_none()) {
        let known: Vec<&str> = KINDS.iter().map(|kind| kind.word).collect();
        return Err(invalid("EventTypes", &format!("must be words of {} with commas between them", known.join(", "))));
    }
    let recordings = call.flag("EnableAudioRecording")?.unwrap_or(false);
    let base = super::super::native::base(request);
    Ok(Wanted {
        status: if enabled { Status::Enabled } else { Status::Disabled },
        url,
        token: token.map(Pii::new),
        memo: Memo { kinds, recordings, base },
    })
}

async fn judge(guard: &Guard, url: &str) -> Result<(), Fault> {
    if url.is_empty() {
        return Ok(());
    }
    guard.admit(url).await.map(|_| ()).map_err(|why| invalid("CallbackUrl", &why.to_string()))
}

fn endpoint(wanted: Wanted, account: &AccountId, agent: &AgentId, id: WebhookId) -> Webhook {
    let Wanted { status, url, token, memo } = wanted;
    let now = callwright_domain::Moment(0);
    Webhook {
        id,
        account: account.clone(),
        whose: Whose::Agent(agent.clone()),
        topics: Topics::Only(memo.topics()),
        endpoint: Endpoint {
            url: Pii::new(url),
            description: String::from("SetNotifyConfig"),
            secrets: Vec::new(),
            headers: token.into_iter().map(|token| (TOKEN_HEADER.to_owned(), token)).collect(),
            origin: Origin { dialect: String::from("alibaba"), memo: json!(memo).to_string() },
            max_tries: MOST_TRIES,
            order: Order::PerCall,
            // Sentences are numbered, and the first words of a call are its greeting.
            history: History::Always,
        },
        status,
        failing_since: None,
        created: now,
        updated: now,
    }
}

/// The id of an agent's endpoint; unique over all accounts.
fn id(account: &AccountId, agent: &AgentId) -> WebhookId {
    let hash = hex::encode(Sha256::digest(format!("alibaba-notify/{account}/{agent}")));
    WebhookId::new(format!("wh{}", &hash[..32])).expect("hexadecimal digits are allowed")
}

pub(super) async fn find(name: &str, account: &AccountId, context: &Context) -> Result<StoredAgent, VendorError> {
    let id = AgentId::new(name).map_err(|_| Refusal::UnknownAgent)?;
    let found = context.calls.reader().agent(account, &id).await?;
    Ok(found.ok_or(Refusal::UnknownAgent)?)
}
