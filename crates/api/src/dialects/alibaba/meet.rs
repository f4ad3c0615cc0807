//! GenerateAIAgentCall and StartAIAgentInstance: instances that are met in a browser. What a browser's configuration has beyond
//! an outbound call's is read here; tokens are [`crate::join`]'s.

use super::handover::unsupported;
use super::section::{Section, truth};
use super::update::{merge, object, of_template};
use super::wire::Call;
use super::{VendorError, invalid, missing, outbound, update, user_data, variables, view};
use crate::fault::Fault;
use crate::http::{Context, Request};
use crate::join::{self, Pass, ScreenSettings};
use callwright_domain::chat::UserId;
use callwright_domain::way::Mirror;
use callwright_domain::{AgentId, AgentPatch, ApiKey, CallPlan, ChannelName, Origin, Pii, Refusal, ThreadId};
use callwright_engine::{MeetCall, MeetError, StartError};
use http::StatusCode;
use rand::RngCore;
use serde_json::{Value, json};
use std::time::Duration;

/// Life of a token in seconds: unless asked otherwise, and the longest (vendor).
pub(super) const LIFE_S: (i64, i64) = (3600, 604_800);
/// How long a user is waited for in seconds: unless asked otherwise (vendor), and the longest.
const ONLINE_S: (u64, u64) = (60, 86_400);
/// The same for one who has vanished.
const OFFLINE_S: (u64, u64) = (5, 86_400);
/// The member with the URL of a sound that is played before the greeting.
pub(super) const OVERTURE: &str = "PreConnectAudioUrl";
/// The kinds of agents that a RuntimeConfig may name; there is a voice only for the first.
const KINDS: [&str; 3] = ["VoiceChat", "AvatarChat3D", "VisionChat"];

/// What both operations are given.
struct Wanted {
    agent: AgentId,
    patch: AgentPatch,
    online: Duration,
    offline: Duration,
    user_data: Option<String>,
    thread: Option<ThreadId>,
    mirror: Option<Mirror>,
    /// The URL of a sound that is played before the greeting, and the place where it stands.
    overture: Option<(String, String)>,
    /// The configuration as it is shown again.
    memo: String,
}

/// GenerateAIAgentCall.
pub(super) async fn generate(
    call: &Call<'_>,
    key: &ApiKey,
    request: &Request,
    context: &Context,
) -> Result<Value, VendorError> {
    let (account, wanted) = (&key.account, decode(call)?);
    let life = call.whole("Expire", 0..=LIFE_S.1)?.unwrap_or(LIFE_S.0);
    let user = call.parameter("UserId").map(|text| name("UserId", text)).transpose()?.unwrap_or_else(fresh);
    let (channel, agent_user) = (fresh(), fresh());
    let app = join::app_of(context, account, request.received).await?;
    let place = (channel.clone(), Some(user.clone()), agent_user.clone());
    let id = start_in(wanted, place, key, (request, context)).await?;
    let token = join::issue(&app, (&channel, &user), (request.received, life)).spelled();
    Ok(json!({
        "InstanceId": id,
        "ChannelId": channel,
        "AIAgentUserId": agent_user,
        "UserId": user,
        "Token": token,
    }))
}

/// StartAIAgentInstance.
pub(super) async fn start(
    call: &Call<'_>,
    key: &ApiKey,
    request: &Request,
    context: &Context,
) -> Result<Value, VendorError> {
    let runtime = runtime(call)?;
    let wanted = decode(call)?;
    let app = join::app_of(context, &key.account, request.received).await?;
    let bad = |rule: &str| invalid(&format!("{}.AuthToken", runtime.path), rule);
    let pass = Pass::read(&runtime.token).map_err(|why| bad(&why.to_string()))?;
    if pass.channel != runtime.channel || pass.user != runtime.agent_user {
        return Err(bad("must be a token for ChannelId and AgentUserId").into());
    }
    pass.check(&app, request.received).map_err(|why| bad(&why.to_string()))?;
    let place = (runtime.channel, None, runtime.agent_user);
    let id = start_in(wanted, place, key, (request, context)).await?;
    Ok(json!({"InstanceId": id}))
}

/// Where an agent is to join.
struct Runtime {
    /// The members' place, for complaints.
    path: String,
    channel: ChannelName,
    agent_user: ChannelName,
    token: String,
}

fn runtime(call: &Call<'_>) -> Result<Runtime, VendorError> {
    let value = object(call, "RuntimeConfig")?.ok_or_else(|| missing("RuntimeConfig"))?;
    let whole = Section::of("RuntimeConfig", &value)?;
    let nested = KINDS.into_iter().find(|kind| whole.raw(kind).is_some());
    let (path, section) = match nested {
        None => (String::from("RuntimeConfig"), whole),
        Some(kind) if kind == KINDS[0] => (format!("RuntimeConfig.{kind}"), whole.child(kind)?),
        Some(kind) => return Err(whole.fault(kind, "agents here have a voice and no picture: use VoiceChat").into()),
    };
    let needed = |name: &str| {
        let text = section.text(name, 2048)?.filter(|text| !text.is_empty());
        section.needed(name, text)
    };
    let named = |member: &str| name(&format!("{path}.{member}"), needed(member)?);
    let (channel, agent_user) = (named("ChannelId")?, named("AgentUserId")?);
    let token = needed("AuthToken")?;
    Ok(Runtime { path, channel, agent_user, token })
}

fn decode(call: &Call<'_>) -> Result<Wanted, VendorError> {
    let agent = call.parameter("AIAgentId").ok_or_else(|| missing("AIAgentId"))?;
    let given = object(call, "AgentConfig")?;
    let template = object(call, "TemplateConfig")?.map(of_template).transpose()?;
    let (mut patch, mut memo) = (AgentPatch::default(), json!({}));
    let (mut online, mut offline, mut overture) = (None, None, None);
    for (name, config) in [("TemplateConfig", template), ("AgentConfig", given)] {
        let Some(config) = config else { continue };
        patch = configuration(name, &config)?.over(patch);
        let section = Section::of(name, &config)?;
        online = section.whole("UserOnlineTimeout", 1, ONLINE_S.1)?.or(online);
        offline = section.whole("UserOfflineTimeout", 0, OFFLINE_S.1)?.or(offline);
        overture = overture_of(&section)?.map(|url| (format!("{name}.{OVERTURE}"), url)).or(overture);
        merge(&mut memo, config);
    }
    let user_data = user_data(call)?;
    let thread = call.parameter("SessionId").map(ThreadId::new).transpose();
    Ok(Wanted {
        agent: AgentId::new(agent).map_err(|_| Refusal::UnknownAgent)?,
        patch,
        online: Duration::from_secs(online.unwrap_or(ONLINE_S.0)),
        offline: Duration::from_secs(offline.unwrap_or(OFFLINE_S.0)),
        user_data,
        thread: thread.map_err(|why| invalid("SessionId", &why.to_string()))?,
        mirror: mirror(call)?,
        overture,
        memo: memo.to_string(),
    })
}

/// The patch of a browser's configuration. Members that mean nothing here are read all the same: what is not of its type is
/// refused, and what would be missed is refused by name.
pub(super) fn configuration(name: &str, config: &Value) -> Result<AgentPatch, Fault> {
    let mut patch = update::decode(name, config)?;
    let section = Section::of(name, config)?;
    let wake_up = section.text("WakeUpQuery", 4000)?;
    patch.opening.wake_up = wake_up.map(|text| (!text.is_empty()).then(|| outbound::literal(&text)));
    section.whole("UserOfflineTimeout", 0, OFFLINE_S.1)?;
    section.json("WorkflowOverrideParams")?;
    // Pictures for the client's own screen: shown again by Describe.
    section.text("AvatarUrl", 4096)?;
    section.text("AvatarUrlType", 64)?;
    // Events of a camera. The vendor's voice agents let them go, too.
    section.child("VcrConfig")?;
    let avatar = section.child("AvatarConfig")?;
    let voiceprint = section.child("VoiceprintConfig")?;
    voiceprint.word("RegistrationMode", &[("Explicit", ()), ("Implicit", ()), ("", ())])?;
    voiceprint.text("VoiceprintId", 127)?;
    if avatar.text("AvatarId", 4096)?.is_some_and(|text| !text.is_empty()) {
        return Err(avatar.fault("AvatarId", "agents here have a voice and no picture"));
    }
    overture_of(&section)?;
    Ok(patch)
}

/// The URL of a sound that is played before the greeting.
fn overture_of(section: &Section<'_>) -> Result<Option<String>, Fault> {
    Ok(section.text(OVERTURE, 2048)?.filter(|url| !url.is_empty()))
}

fn mirror(call: &Call<'_>) -> Result<Option<Mirror>, Fault> {
    let Some(value) = object(call, "ChatSyncConfig")? else { return Ok(None) };
    let section = Section::of("ChatSyncConfig", &value)?;
    let (agent, user) = (section.text("IMAIAgentId", 64)?, section.text("ReceiverId", 64)?);
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let (agent, user) = match (filled(agent), filled(user)) {
        (None, None) => return Ok(None),
        (agent, user) => (section.needed("IMAIAgentId", agent)?, section.needed("ReceiverId", user)?),
    };
    let agent = AgentId::new(agent).map_err(|why| section.fault("IMAIAgentId", &why.to_string()))?;
    // The shape of those who read messages, which is narrower than a channel's.
    UserId::new(user.as_str()).map_err(|why| section.fault("ReceiverId", why.rule))?;
    let user = ChannelName::new(user).map_err(|why| section.fault("ReceiverId", why.rule))?;
    Ok(Some(Mirror { agent, user }))
}

async fn start_in(
    wanted: Wanted,
    (channel, user, agent_user): (ChannelName, Option<ChannelName>, ChannelName),
    key: &ApiKey,
    (request, context): (&Request, &Context),
) -> Result<callwright_domain::CallId, VendorError> {
    let Wanted { agent, mut patch, online, offline, user_data, thread, mirror, overture, memo } = wanted;
    let (account, reader) = (&key.account, context.calls.reader());
    let stored = reader.agent(account, &agent).await?.ok_or(Refusal::UnknownAgent)?;
    if let Some(mirror) = &mirror
        && reader.agent(account, &mirror.agent).await?.is_none()
    {
        return Err(invalid("ChatSyncConfig.IMAIAgentId", "must be an agent of the account").into());
    }
    if let Some((field, url)) = overture.filter(|_| context.calls.meets_browsers()) {
        // It is fetched when somebody joins; here, whoever asks hears whether it can be played.
        context.fetcher.sound((&field, &url), (key.id.clone(), request.peer.ip())).await?;
    }
    outbound::settle(context, &mut patch, &stored.profile);
    outbound::extend(&mut patch, &stored.profile, (user_data.as_deref(), Some(channel.as_str())));
    let variables = variables(user_data.as_deref());
    let started = context.calls.meet(
        MeetCall {
            account: account.clone(),
            agent: agent.into(),
            patch,
            channel,
            user,
            agent_user,
            joins_within: online,
            returns_within: offline,
            mirror,
            variables,
            user_data: user_data.map(Pii::new),
            // As for a telephone call: without one a session of its own begins.
            thread: thread.or_else(|| ThreadId::new(request.uuid().replace('-', "")).ok()),
            once: None,
            origin: Origin { dialect: String::from("alibaba"), memo },
        },
        request.received,
    );
    let started = started.await.map_err(|error| match error {
        MeetError::Start(StartError::Unserved(flaw)) => VendorError::unserved("AgentConfig", &flaw),
        other => other.into(),
    })?;
    Ok(started.id)
}

/// What the browser of a call is shown by its configuration.
pub(super) fn screen(plan: &CallPlan) -> ScreenSettings {
    let config = view::agent_config(&plan.origin.memo);
    let voices = config["TtsConfig"]["VoiceIdList"].as_array().into_iter().flatten();
    ScreenSettings {
        whole_replies: truth(&config["LlmConfig"]["LlmCompleteReply"]) == Some(true),
        voices: voices.filter_map(|voice| voice.as_str().map(str::to_owned)).collect(),
        push_to_talk: (truth(&config["EnablePushToTalk"]) == Some(true)).into(),
        overture: config[OVERTURE].as_str().filter(|url| !url.is_empty()).map(str::to_owned),
    }
}

pub(super) fn name(field: &str, text: String) -> Result<ChannelName, Fault> {
    ChannelName::new(text).map_err(|why| invalid(field, &format!("must be {}", why.rule)))
}

/// A name that nobody has: 32 hexadecimal digits, as the vendor's are.
pub(super) fn fresh() -> ChannelName {
    let mut bits = [0; 16];
    // The thread's generator is cryptographically strong and seeded by the operating system.
    rand::rng().fill_bytes(&mut bits);
    ChannelName::new(hex::encode(bits)).expect("hexadecimal digits are letters and digits")
}

impl From<MeetError> for VendorError {
    fn from(error: MeetError) -> Self {
        match error {
            MeetError::Start(why) => why.into(),
            MeetError::ChannelTaken => {
                let said =
                    "The specified parameter RuntimeConfig is not valid: an instance in this channel is not over.";
                Self::new(StatusCode::BAD_REQUEST, "InvalidParameter.RuntimeConfig", said)
            }
            MeetError::Off => {
                unsupported("this server meets no browsers, in which somebody could talk with the instance")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_cannot_have_here_is_refused_by_name() {
        for (config, member) in [
            (json!({"EnablePushToTalk": "yes"}), "AgentConfig.EnablePushToTalk"),
            (json!({"VoiceprintConfig": {"UseVoiceprint": true}}), "AgentConfig.VoiceprintConfig.UseVoiceprint"),
            (json!({"AvatarConfig": {"AvatarId": "a"}}), "AgentConfig.AvatarConfig.AvatarId"),
            (json!({"PreConnectAudioUrl": 7}), "AgentConfig.PreConnectAudioUrl"),
            (json!({"UserOfflineTimeout": -1}), "AgentConfig.UserOfflineTimeout"),
            (json!({"WorkflowOverrideParams": "{"}), "AgentConfig.WorkflowOverrideParams"),
            (json!({"VcrConfig": 7}), "AgentConfig.VcrConfig"),
            (json!({"AvatarUrl": 7}), "AgentConfig.AvatarUrl"),
            (json!({"WakeUpQuery": 7}), "AgentConfig.WakeUpQuery"),
        ] {
            let Err(Fault::Invalid { field, .. }) = configuration("AgentConfig", &config) else { panic!("{config}") };
            assert_eq!(field, member);
        }
    }

    #[test]
    fn what_a_browser_has_beyond_a_telephone_has_its_effect() {
        let config = json!({"WakeUpQuery": "what {{now}}", "Volume": 120, "Greeting": "hi", "UserOfflineTimeout": 8,
            "AvatarUrl": "https://x", "AvatarUrlType": "USER", "AvatarConfig": {"AvatarId": ""},
            "VcrConfig": {"PeopleCount": {"Enabled": true}}, "WorkflowOverrideParams": "{\"a\":1}",
            "VoiceprintConfig": {"UseVoiceprint": false, "RegistrationMode": "Explicit", "VoiceprintId": "v"}});
        let patch = configuration("AgentConfig", &config).expect("acceptable");
        assert_eq!(patch.opening.wake_up, Some(Some(outbound::literal("what {{now}}"))));
        assert_eq!(patch.voice.volume, Some(120));
        let empty = configuration("AgentConfig", &json!({"WakeUpQuery": ""})).expect("acceptable");
        assert_eq!(empty.opening.wake_up, Some(None));
    }

    #[test]
    fn names_that_are_made_are_the_vendors_shape_and_never_the_same() {
        let (one, two) = (fresh(), fresh());
        assert_eq!(one.as_str().len(), 32);
        assert_ne!(one, two);
    }
}
