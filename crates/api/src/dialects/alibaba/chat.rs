//! Message chat: `GenerateMessageChatToken` and `SendMessageChatText`, and the door through which the holder of a token
//! reads its messages and writes to the agent. The vendor's own client speaks a closed protocol to the vendor's hosts; ours
//! is two requests over HTTP. A token holds until its time and as long as the key that made it.

use super::{Call, VendorError, invalid, missing, wire};
use crate::dialects::native;
use crate::fault::Fault;
use crate::http::{Context, Request, Response, bearer_of};
use crate::sign;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callwright_domain::access::KeyStatus;
use callwright_domain::chat::{Archive, ChatMessage, MessageKind, UserId};
use callwright_domain::{AccountId, AgentId, ApiKey, KeyId, Moment, Pii, Refusal, ThreadId};
use callwright_engine::{ChatError, Written};
use http::{Method, StatusCode};
use rand::RngCore;
use serde::Deserialize;
use serde_json::{Value, json};

/// Where the holder of a token reads and writes.
pub(super) const DOOR: &str = "/alibaba/chat/messages";
/// Life of a token in seconds: unless asked otherwise, and the longest (the vendor's for channels; it names none here).
const LIFE_S: (u64, u64) = (3600, 604_800);
/// Longest text of a message, in characters.
const MAX_TEXT: usize = 16_384;
/// Messages of a page: unless asked otherwise, and at most.
const PAGE: (u32, u32) = (50, 200);
/// The role that reads what the agent and any user wrote.
const ADMIN: &str = "admin";

/// What `GenerateMessageChatToken` answered; its holder sends it back as it was.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Pass {
    app_id: String,
    user_id: String,
    nonce: String,
    time_stamp: i64,
    #[serde(default)]
    role: String,
    token: Pii<String>,
}

impl Pass {
    /// The signature over everything else. Each value on a line of its own: without a mark between them, a part of one could
    /// pass for a part of the next.
    fn signature(&self, key: &ApiKey) -> String {
        let Self { app_id, user_id, nonce, time_stamp, role, token: _ } = self;
        let text = format!("{app_id}\n{user_id}\n{nonce}\n{time_stamp}\n{role}");
        sign::hmac_sha256_hex(&app_key(key, app_id), &text)
    }
}

/// An application is an agent as seen with a key.
fn app_id(key: &KeyId, agent: &AgentId) -> String {
    format!("{agent}.{key}")
}

fn app_key(key: &ApiKey, app_id: &str) -> String {
    sign::hmac_sha256_hex(key.secret.expose(), &format!("alibaba-chat\n{app_id}"))
}

/// `GenerateMessageChatToken`.
pub(super) async fn token(
    call: &Call<'_>,
    key: &ApiKey,
    request: &Request,
    context: &Context,
) -> Result<Value, VendorError> {
    let agent = agent(call)?;
    let user = user(call, "UserId")?;
    let life =
        match call.parameter("Expire") {
            None => LIFE_S.0,
            Some(text) => text.parse().ok().filter(|life| (1..=LIFE_S.1).contains(life)).ok_or_else(|| {
                invalid("Expire", &format!("must be a whole number of seconds from 1 to {}", LIFE_S.1))
            })?,
        };
    let role = call.parameter("Role").unwrap_or_default();
    if !["", ADMIN].contains(&role.as_str()) {
        return Err(invalid("Role", "must be empty or admin").into());
    }
    let found = context.calls.reader().agent(&key.account, &agent).await;
    found?.ok_or(Refusal::UnknownAgent)?;
    let mut nonce = [0; 16];
    // The thread's generator is cryptographically strong and seeded by the operating system.
    rand::rng().fill_bytes(&mut nonce);
    let seconds = request.received.millis().div_euclid(1000);
    let mut pass = Pass {
        app_id: app_id(&key.id, &agent),
        user_id: user.as_str().to_owned(),
        nonce: hex::encode(nonce),
        time_stamp: seconds.saturating_add(i64::try_from(life).unwrap_or(i64::MAX)),
        role,
        token: Pii::default(),
    };
    pass.token = Pii::new(pass.signature(key));
    Ok(json!({
        "AppId": pass.app_id,
        "AppSign": sign::sha256_hex(format!("{}{}", pass.app_id, app_key(key, &pass.app_id)).as_bytes()),
        "Nonce": pass.nonce,
        "Role": pass.role,
        "TimeStamp": pass.time_stamp,
        "Token": pass.token.expose(),
        "UserId": pass.user_id,
    }))
}

/// `SendMessageChatText`.
pub(super) async fn send(
    call: &Call<'_>,
    account: &AccountId,
    request: &Request,
    context: &Context,
) -> Result<Value, VendorError> {
    let agent = agent(call)?;
    let user = user(call, "ReceiverId")?;
    let thread = call.parameter("SessionId").ok_or_else(|| missing("SessionId"))?;
    let text = text(call.parameter("Text"))?;
    let kind = match call.parameter("Type").ok_or_else(|| missing("Type"))?.as_str() {
        "announcement" => MessageKind::Announcement,
        "custom" => MessageKind::Custom,
        _ => return Err(invalid("Type", "must be announcement or custom").into()),
    };
    match call.parameter("Mode").as_deref() {
        None | Some("offline") => {}
        Some("online") => {
            return Err(invalid("Mode", "online is not known here: users fetch their messages; use offline").into());
        }
        Some(_) => return Err(invalid("Mode", "must be offline or online").into()),
    }
    let archive = if call.flag("NeedArchiving")?.unwrap_or(true) { Archive::Kept } else { Archive::Passing };
    let said = Written { account: account.clone(), agent, thread: thread_of(thread)?, user, text };
    context.calls.post(said, kind, archive, request.received).await?;
    Ok(json!({}))
}

fn agent(call: &Call<'_>) -> Result<AgentId, VendorError> {
    let name = call.parameter("AIAgentId").ok_or_else(|| missing("AIAgentId"))?;
    Ok(AgentId::new(name).map_err(|_| Refusal::UnknownAgent)?)
}

fn user(call: &Call<'_>, name: &str) -> Result<UserId, Fault> {
    let text = call.parameter(name).ok_or_else(|| missing(name))?;
    UserId::new(text).map_err(|why| invalid(name, why.rule))
}

fn thread_of(text: String) -> Result<ThreadId, Fault> {
    ThreadId::new(text).map_err(|why| invalid("SessionId", why.rule))
}

fn text(given: Option<String>) -> Result<Pii<String>, Fault> {
    let text = given.ok_or_else(|| missing("Text"))?;
    if text.trim().is_empty() || text.chars().count() > MAX_TEXT {
        return Err(invalid("Text", &format!("must be 1 to {MAX_TEXT} characters, not all of them blanks")));
    }
    Ok(Pii::new(text))
}

/// Answers the holder of a token.
pub(super) async fn serve(request: &Request, context: &Context) -> Response {
    match answer(request, context).await {
        Ok(body) => wire::success(request, body),
        Err(error) => wire::failure(request, &error),
    }
}

async fn answer(request: &Request, context: &Context) -> Result<Value, VendorError> {
    let (pass, key) = believe(request, context).await?;
    let agent = pass.app_id.split_once('.').map_or("", |(agent, _)| agent);
    let agent = AgentId::new(agent).map_err(|_| Refusal::UnknownAgent)?;
    let user = UserId::new(&pass.user_id).map_err(|_| refused())?;
    match request.method {
        Method::GET => read(request, (&pass, &key.account, &agent, user), context).await,
        Method::POST => write(request, (key.account, agent, user), context).await,
        _ => Err(Fault::Method { allowed: "GET, POST" }.into()),
    }
}

/// The token's holder and the key that vouches for it.
async fn believe(request: &Request, context: &Context) -> Result<(Pass, ApiKey), VendorError> {
    let bearer = bearer_of(request).ok_or_else(refused)?;
    let bytes = STANDARD.decode(bearer.trim()).map_err(|_| refused())?;
    let pass: Pass = serde_json::from_slice(&bytes).map_err(|_| refused())?;
    let id = pass.app_id.split_once('.').and_then(|(_, id)| KeyId::new(id).ok()).ok_or_else(refused)?;
    let found = context.calls.reader().key(&id).await?;
    let key = found.filter(|key| key.status == KeyStatus::Active).ok_or_else(refused)?;
    let expires = Moment(pass.time_stamp.saturating_mul(1000));
    if !sign::same(&pass.signature(&key), pass.token.expose()) || request.received > expires {
        return Err(refused());
    }
    context.rates.take_key(&key, request.received, &context.calls).await?;
    Ok((pass, key))
}

/// One answer for every reason, so that nothing is learnt by trying.
fn refused() -> VendorError {
    VendorError::new(StatusCode::FORBIDDEN, "InvalidToken", "The token is not valid or has expired.")
}

/// What a client says.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Said {
    session_id: Option<String>,
    text: Option<String>,
}

async fn write(
    request: &Request,
    (account, agent, user): (AccountId, AgentId, UserId),
    context: &Context,
) -> Result<Value, VendorError> {
    let malformed =
        |_| Fault::Malformed { rule: String::from("the body must be a JSON object with SessionId and Text") };
    let said: Value = serde_json::from_slice(&request.body).map_err(malformed)?;
    native::no_zero(&said)?;
    let said: Said = serde_json::from_value(said).map_err(malformed)?;
    let thread = thread_of(said.session_id.ok_or_else(|| missing("SessionId"))?)?;
    let said = Written { account, agent, thread, user, text: text(said.text)? };
    let round = context.calls.chat(said, request.received).await?;
    Ok(json!({"Dialogues": round.iter().map(shown).collect::<Vec<_>>()}))
}

async fn read(
    request: &Request,
    (pass, account, agent, own): (&Pass, &AccountId, &AgentId, UserId),
    context: &Context,
) -> Result<Value, VendorError> {
    let part = |name: &str| {
        let found = form_urlencoded::parse(request.query.as_bytes()).find(|(given, _)| given == name);
        found.map(|(_, value)| value.into_owned()).filter(|value| !value.is_empty())
    };
    let user = match part("UserId") {
        None => own,
        Some(other) if pass.role == ADMIN || other == own.as_str() => {
            UserId::new(other).map_err(|why| invalid("UserId", why.rule))?
        }
        Some(_) => return Err(VendorError::new(StatusCode::FORBIDDEN, "Forbidden.RAM", "The role must be admin.")),
    };
    let after = part("After").unwrap_or_else(|| String::from("0.0"));
    let place = after.split_once('.').and_then(|(at, id)| Some((at.parse().ok()?, u128::from_str_radix(id, 16).ok()?)));
    let (at, id) = place.ok_or_else(|| invalid("After", "must be the Next of an earlier answer"))?;
    let limit = match part("Limit") {
        None => PAGE.0,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=PAGE.1).contains(limit))
            .ok_or_else(|| invalid("Limit", &format!("must be a whole number from 1 to {}", PAGE.1)))?,
    };
    let found = context.calls.reader().inbox(account, agent, &user, (Moment(at), id), limit).await?;
    let next = found.last().map_or(after, |last| format!("{}.{:032x}", last.at.millis(), last.id));
    Ok(json!({"Dialogues": found.iter().map(shown).collect::<Vec<_>>(), "Next": next}))
}

/// The message that a DialogueId names, by its shape.
pub(super) fn id_of(text: &str) -> Option<u128> {
    let hex = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    hex.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

/// A message as `ListAIAgentDialogues` shows one.
fn shown(message: &ChatMessage) -> Value {
    json!({
        "DialogueId": format!("{:032x}", message.id),
        "RoundId": format!("{:032x}", message.round),
        "Producer": message.author,
        "Text": message.text.expose(),
        "ReasoningText": "",
        "Time": message.at.millis(),
        "Source": "chat",
        "Type": message.kind,
        "SessionId": message.thread,
    })
}

impl From<ChatError> for VendorError {
    fn from(error: ChatError) -> Self {
        match error {
            ChatError::UnknownAgent => Refusal::UnknownAgent.into(),
            ChatError::Template(why) => Self::parameter("AIAgentId", &why.to_string()),
            ChatError::UnknownVendor(why) => Self::parameter("AIAgentId", &why),
            ChatError::Busy => Fault::Busy.into(),
            // What a model's service says is for the owner's log, not for users.
            ChatError::Brain(_) => Self::unavailable("The agent's model failed."),
            ChatError::NoAnswer => Self::unavailable("The agent's model did not answer."),
            ChatError::Store(why) => why.into(),
        }
    }
}
