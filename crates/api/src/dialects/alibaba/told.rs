//! The vendor's callbacks: what each event of a call becomes. Receivers know us by the token in `Authorization`, and say
//! that they have one with 200 and nothing else. Never sends.

use super::notify::Memo;
use super::view;
use crate::callbacks::Callback;
use callwright_domain::agent::Greeting;
use callwright_domain::call::TurnLatency;
use callwright_domain::transcript::{Speaker, of_journal};
use callwright_domain::{CallEvent, HangupCause, Moment, Pii, Recorded, Topic};
use callwright_engine::{CallNews, Subject, Telling};
use http::StatusCode;
use serde_json::{Value, json};

/// A kind of callback.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// The vendor's word for it.
    pub(super) word: &'static str,
    /// What it says of itself.
    message: &'static str,
    /// What must be listened to for it; empty: it does not occur here.
    pub(super) topics: &'static [Topic],
}

const fn kind(word: &'static str, message: &'static str, topics: &'static [Topic]) -> Kind {
    Kind { word, message, topics }
}

const AGENT_START: Kind = kind("agent_start", "Agent start event", &[Topic::CallAnswered]);
const SESSION_START: Kind = kind("session_start", "Session start event", &[Topic::CallAnswered]);
const AGENT_STOP: Kind = kind("agent_stop", "Agent stop event", &[Topic::CallEnded]);
const ERROR: Kind = kind("error", "Error event", &[Topic::CallEnded, Topic::CallTrouble]);
const INTENT_DETECTED: Kind = kind("intent_detected", "Intent detected event", &[Topic::CallTurn]);
const INTENT_RECOGNIZED: Kind = kind("intent_recognized", "Intent recognized event", &[Topic::CallTurn]);
const LLM_DATA: Kind = kind("llm_data_received", "LLM data received event", &[Topic::CallTurn]);
const TTS_DATA: Kind = kind("tts_data_received", "TTS data received event", &[Topic::CallTurn]);
const CHAT_RECORD: Kind = kind("chat_record", "Chat record event", &[Topic::Transcript, Topic::ChatMessage]);
/// One utterance's audio: a part of the recording, and so known with it.
const AUDIO_RECORD: Kind = kind("audio_record", "Audio record event", &[Topic::RecordingReady]);
/// Whether an event is about recorded sound.
pub(super) fn is_of_recording(kind: &Kind) -> bool {
    kind.topics == [Topic::RecordingReady]
}

/// The whole call's audio.
const FULL_AUDIO_RECORD: Kind = kind("full_audio_record", "Full audio record event", &[Topic::RecordingReady]);
const OUTBOUND_CALL: Kind = kind(
    "outbound_call",
    "Outbound call event",
    &[Topic::CallDialing, Topic::CallRinging, Topic::CallAnswered, Topic::CallEnded],
);
/// Nobody can call an agent here.
const INBOUND_CALL: Kind = kind("inbound_call", "Inbound call event", &[]);
/// Type 1112 of the data channel; telephones have none.
const CLIENT_DATA: Kind = kind("client_defined_data", "Client defined data event", &[Topic::MessageReceived]);
const INSTRUCTION: Kind = kind("instruction", "Instruction event", &[Topic::ToolRun]);

/// Every kind, in the order in which they are documented.
pub(super) const KINDS: &[Kind] = &[
    AGENT_START,
    SESSION_START,
    AGENT_STOP,
    ERROR,
    INTENT_DETECTED,
    INTENT_RECOGNIZED,
    LLM_DATA,
    TTS_DATA,
    CHAT_RECORD,
    AUDIO_RECORD,
    FULL_AUDIO_RECORD,
    OUTBOUND_CALL,
    INBOUND_CALL,
    CLIENT_DATA,
    INSTRUCTION,
];

/// The only code of the vendor's that is known for certain.
const CODE_AGENT_START: i64 = 1001;
/// The vendor's codes for a stream that does not arrive and for a recogniser that failed, as its clients know them.
const CODE_NO_STREAM: i64 = 4004;
const CODE_ASR_FAILED: i64 = 4005;

/// One callback before it is rendered.
struct Event {
    kind: &'static Kind,
    code: i64,
    message: Option<String>,
    data: Value,
    extend: Value,
}

impl Event {
    fn of(kind: &'static Kind) -> Self {
        Self { kind, code: 0, message: None, data: json!({}), extend: json!({}) }
    }
}

/// The requests that tell an event, in their order.
pub(super) fn callbacks(telling: &Telling) -> Vec<Callback> {
    let endpoint = &telling.webhook.endpoint;
    let memo = Memo::of(endpoint);
    let (about, at, events) = match &telling.subject {
        Subject::Call(news) => (About::call(news), news.recorded.at, events(news, &memo)),
        Subject::Account { topic: Topic::ChatMessage, at, body, .. } => {
            (About::chat(body), *at, vec![written(&telling.id, body)])
        }
        Subject::Account { .. } => return Vec::new(),
    };
    let wanted = events.into_iter().filter(|event| memo.wants(event.kind));
    wanted
        .map(|event| Callback {
            url: endpoint.url.clone(),
            headers: vec![("content-type", Pii::new(String::from("application/json")))],
            body: body(&about, at, event).to_string().into_bytes(),
            heard: said_200,
        })
        .collect()
}

/// What a callback is about.
struct About {
    agent: Value,
    instance: String,
    user_data: String,
}

impl About {
    fn call(news: &CallNews) -> Self {
        let plan = &news.view.plan;
        Self {
            agent: json!(plan.agent_id),
            instance: plan.id.to_string(),
            user_data: plan.user_data.as_ref().map_or_else(String::new, |text| text.expose().clone()),
        }
    }

    /// Written messages belong to no instance.
    fn chat(body: &Value) -> Self {
        Self { agent: body["agent"].clone(), instance: String::new(), user_data: String::new() }
    }
}

/// The vendor takes 204 for a failure.
fn said_200(status: StatusCode, _body: &[u8]) -> bool {
    status == StatusCode::OK
}

fn body(about: &About, at: Moment, event: Event) -> Value {
    json!({
        "aiAgentId": about.agent,
        "instanceId": about.instance,
        "event": event.kind.word,
        "code": event.code,
        "message": event.message.as_deref().unwrap_or(event.kind.message),
        "timestamp": time(at),
        "userData": about.user_data,
        "data": event.data,
        "extendData": event.extend,
    })
}

/// As the vendor documents it: whole seconds.
fn time(moment: Moment) -> String {
    jiff::Timestamp::from_millisecond(moment.millis()).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn events(news: &CallNews, memo: &Memo) -> Vec<Event> {
    // A call that is met in a browser has no numbers to tell of.
    let moved = || news.view.plan.telephone().map(|_| Event { extend: outbound(news), ..Event::of(&OUTBOUND_CALL) });
    match &news.recorded.event {
        CallEvent::Dialing { .. } | CallEvent::Ringing { .. } => moved().into_iter().collect(),
        CallEvent::Answered { .. } => {
            let start = Event { code: CODE_AGENT_START, ..Event::of(&AGENT_START) };
            moved().into_iter().chain([start, Event::of(&SESSION_START)]).collect()
        }
        CallEvent::Heard { text, .. } => chat(news, "user", text.expose()),
        CallEvent::Said { text, by_order: true, .. } => sentence_of(news, ("agent", "speech"), text.expose()),
        CallEvent::Said { text, .. } => chat(news, "agent", text.expose()),
        CallEvent::TurnTaken { latency } => turn(news, *latency),
        CallEvent::ToolRun { name, arguments, result } => {
            let data = json!({"name": name, "arguments": arguments.expose(), "result": result.expose()});
            vec![Event { data, ..Event::of(&INSTRUCTION) }]
        }
        CallEvent::Trouble { part, detail } => vec![trouble(part, detail)],
        CallEvent::RecordingKept { duration_ms, .. } => recorded(news, memo, *duration_ms),
        CallEvent::Ended { cause, .. } => {
            let failure = failed(*cause).then(|| failure(*cause));
            let stop = news.view.timeline.answered.map(|_| Event::of(&AGENT_STOP));
            failure.into_iter().chain(stop).chain(moved()).collect()
        }
        // Not of the agent's or the call's life as the vendor tells it.
        CallEvent::MessageReceived { text } => {
            let data = json!({"message": text.expose()});
            vec![Event { data, ..Event::of(&CLIENT_DATA) }]
        }
        CallEvent::Created
        | CallEvent::Joined { .. }
        | CallEvent::AttemptFailed { .. }
        | CallEvent::Spoke { .. }
        | CallEvent::Disclosed
        | CallEvent::MachineDetected { .. }
        | CallEvent::Interrupted
        | CallEvent::KeyPressed { .. }
        | CallEvent::Transferring { .. }
        | CallEvent::TransferDialing { .. }
        | CallEvent::TransferAnswered { .. }
        | CallEvent::TransferEnded { .. } => Vec::new(),
    }
}

/// The chat form of `chat_record`. `message` is the message's id, the same in every repeat.
fn written(message: &str, body: &Value) -> Event {
    let dialogue = |line: &Value| {
        json!({
            "dialogueId": line["id"],
            "roundId": line["round"],
            "producer": line["author"],
            "text": line["text"],
            "reasoningText": "",
            "time": line["at"],
            "source": "chat",
            "type": line["kind"],
        })
    };
    let dialogues: Vec<Value> = body["messages"].as_array().into_iter().flatten().map(dialogue).collect();
    let request = message.strip_prefix("msg_chat_").unwrap_or(message);
    let data = json!({"requestId": request, "code": "Success", "message": "", "dialogues": dialogues});
    Event { data, ..Event::of(&CHAT_RECORD) }
}

/// What `CallInfo` says, in this vendor's other spelling.
fn outbound(news: &CallNews) -> Value {
    let plan = &news.view.plan;
    let mut extend = json!({"aiAgentId": plan.agent_id, "channelId": view::channel(plan), "instanceId": plan.id});
    let info = view::call_info(&news.view);
    let members = info.as_object().into_iter().flatten();
    for (name, value) in members {
        let mut letters = name.chars();
        let first = letters.next().map(|letter| letter.to_ascii_lowercase());
        let spelled: String = first.into_iter().chain(letters).collect();
        extend[spelled] = value.clone();
    }
    extend
}

/// So much more is given before and after a sentence, in milliseconds: where a voice fades out is a matter of opinion.
const MARGIN_MS: i64 = 150;

/// Each utterance as far as it is known when it sounded, and the whole.
fn recorded(news: &CallNews, memo: &Memo, duration_ms: u64) -> Vec<Event> {
    let url = format!("{}/v1/calls/{}/recording", memo.base, news.view.plan.id);
    let whole = i64::try_from(duration_ms).unwrap_or(i64::MAX);
    let mut sentence = 0;
    let mut events = Vec::new();
    for line in of_journal(&news.journal) {
        let (role, speaker) = match line.speaker {
            Speaker::Callee => ("user", "callee"),
            Speaker::Agent => ("agent", "agent"),
        };
        sentence += usize::from(line.speaker == Speaker::Callee);
        let answered = news.view.timeline.answered.map_or(0, Moment::millis);
        let Some((began, ended)) = line.span.map(|span| span.around(line.at)) else { continue };
        let since = |moment: Moment| moment.millis().saturating_sub(answered);
        let (from, to) = ((since(began) - MARGIN_MS).max(0), (since(ended) + MARGIN_MS).min(whole));
        if line.text.is_empty() || to <= from {
            continue;
        }
        let data = json!({"role": role, "text": line.text, "sentence_id": sentence, "duration": to - from,
            "audioUrl": format!("{url}?from_ms={from}&to_ms={to}&speaker={speaker}")});
        events.push(Event { data, ..Event::of(&AUDIO_RECORD) });
    }
    let data = json!({"audioUrl": url, "duration": duration_ms});
    events.push(Event { data, ..Event::of(&FULL_AUDIO_RECORD) });
    events
}

/// The number of the callee's sentence that an event belongs to; 0 before the first.
fn sentence(journal: &[Recorded]) -> usize {
    journal.iter().filter(|recorded| matches!(recorded.event, CallEvent::Heard { .. })).count()
}

fn chat(news: &CallNews, role: &str, text: &str) -> Vec<Event> {
    let said = news.journal.iter().filter(|recorded| matches!(recorded.event, CallEvent::Said { .. })).count();
    let sentence = sentence(&news.journal);
    let greets = !matches!(news.view.plan.agent.opening.greeting, Greeting::None);
    let first = role == "agent" && said == 1 && sentence == 0 && greets;
    sentence_of(news, (role, if first { "greeting" } else { "normal" }), text)
}

fn sentence_of(news: &CallNews, (role, kind): (&str, &str), text: &str) -> Vec<Event> {
    if text.is_empty() {
        return Vec::new();
    }
    let data = json!({"role": role, "type": kind, "text": text, "sentence_id": sentence(&news.journal)});
    vec![Event { data, ..Event::of(&CHAT_RECORD) }]
}

/// The four steps of an answer. The journal knows how long each took, and when the turn was over.
fn turn(news: &CallNews, latency: TurnLatency) -> Vec<Event> {
    let heard = news.journal.iter().rev().find(|recorded| matches!(recorded.event, CallEvent::Heard { .. }));
    let decided = heard.map_or(news.recorded.at, |recorded| recorded.at).millis();
    let ms = i64::from;
    let silent = decided - ms(latency.ears_ms) - ms(latency.endpoint_ms);
    let ruled = silent + ms(latency.endpoint_ms);
    let sound = silent + ms(latency.total_ms);
    let phrase = sound - ms(latency.voice_ms);
    let asked = phrase - ms(latency.brain_ms);
    let steps: [(&'static Kind, i64, i64); 4] = [
        (&INTENT_DETECTED, silent, ruled),
        (&INTENT_RECOGNIZED, ruled, decided),
        (&LLM_DATA, asked, phrase),
        (&TTS_DATA, phrase, sound),
    ];
    let sentence = sentence(&news.journal);
    let step = |(kind, request, response): (&'static Kind, i64, i64)| {
        let extend = json!({"channelId": view::channel(&news.view.plan), "sentenceId": sentence, "requestTimestamp": request,
            "responseTimestamp": response});
        Event { extend, ..Event::of(kind) }
    };
    steps.map(step).into()
}

fn trouble(part: &str, detail: &str) -> Event {
    let code = match part {
        "media" => CODE_NO_STREAM,
        "ears" => CODE_ASR_FAILED,
        _ => 0,
    };
    let data = json!({"part": part, "fatal": false});
    Event { code, message: Some(detail.to_owned()), data, ..Event::of(&ERROR) }
}

fn failure(cause: HangupCause) -> Event {
    let code = if cause == HangupCause::MediaTimeout { CODE_NO_STREAM } else { 0 };
    let word = json!(cause);
    let message = format!("The call failed: {}", word.as_str().unwrap_or_default());
    Event { code, message: Some(message), data: json!({"cause": word, "fatal": true}), ..Event::of(&ERROR) }
}

/// Whether something went wrong, as against one side's wish or absence.
const fn failed(cause: HangupCause) -> bool {
    match cause {
        HangupCause::CalleeHungUp
        | HangupCause::AgentHungUp
        | HangupCause::ApiHungUp
        | HangupCause::Cancelled
        | HangupCause::Busy
        | HangupCause::NoAnswer
        | HangupCause::Rejected
        | HangupCause::Unreachable
        | HangupCause::MaxDuration
        | HangupCause::NotJoined
        | HangupCause::Transferred
        | HangupCause::VoicemailReached
        | HangupCause::Idle => false,
        HangupCause::MediaRefused
        | HangupCause::AuthFailed
        | HangupCause::NoResponse
        | HangupCause::TrunkFailed
        | HangupCause::Redirected
        | HangupCause::MediaFailed
        | HangupCause::MediaTimeout
        | HangupCause::ProviderFailed
        | HangupCause::Expired
        | HangupCause::CalleeBlocked
        | HangupCause::DestinationRefused
        | HangupCause::OutsideHours
        | HangupCause::OverLimit
        | HangupCause::NoPlace
        | HangupCause::NoConsent
        | HangupCause::RuleRefused
        | HangupCause::ServerRestarted
        | HangupCause::ServerShutdown
        | HangupCause::InternalError => true,
    }
}
