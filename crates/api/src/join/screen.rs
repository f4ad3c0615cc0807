//! The messages of the data channel between a browser and its call: a JSON object each, with a number for what it is about.
//! The numbers and members are Alibaba's, so that code written for its messages reads ours; `docs/browser.md` lists what is
//! sent and heard. Messages of other numbers, and what cannot be read, are let go: a client that is newer loses nothing else.

use callwright_domain::agent::{InterruptPatch, Switch, TurnPatch, VoicePatch};
use callwright_domain::{AgentPatch, ChannelName, HangupCause, Pii};
use callwright_engine::{Bearing, CutBy, Parlance, Press, Shown, Wish};
use serde_json::{Value, json};

/// Longest text that a client may put to the agent or the server, in characters.
const MAX_TEXT: usize = 8192;
/// Longest name of a voice, in characters.
const MAX_VOICE: usize = 64;
/// What is kept for a client that does not listen yet; later things are left out.
const MAX_EARLY: usize = 32;
/// What the handshake calls this protocol.
const KEY: &str = "aliyun_aigc";

/// Numbers of what the agent says.
mod told {
    pub(super) const ERROR: u32 = 1000;
    pub(super) const STATE: u32 = 1001;
    pub(super) const AGENT_TEXT: u32 = 1002;
    pub(super) const USER_TEXT: u32 = 1003;
    pub(super) const INTERRUPT_MODE: u32 = 1004;
    pub(super) const VOICE: u32 = 1005;
    pub(super) const TOKEN: u32 = 1006;
    pub(super) const PUSH_TO_TALK: u32 = 1007;
    pub(super) const LEAVES: u32 = 1010;
    pub(super) const MESSAGE: u32 = 1011;
    pub(super) const HUMAN_COMES: u32 = 1012;
    pub(super) const HUMAN_JOINED: u32 = 1013;
    pub(super) const INTERRUPTED: u32 = 1016;
    pub(super) const WHOLE_REPLY: u32 = 1017;
}

/// What a call's settings say of its browser's screen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ScreenSettings {
    /// Whether whole replies are sent, too.
    pub(crate) whole_replies: bool,
    /// Voices that the client may switch to.
    pub(crate) voices: Vec<String>,
    /// Whether the user says by the client when a turn begins and ends.
    pub(crate) push_to_talk: Switch,
    /// The URL of a sound that is played before the greeting.
    pub(crate) overture: Option<String>,
}

/// Makes a new token for the user of the call.
pub(crate) type Renewal = Box<dyn Fn() -> String + Send + Sync>;

/// One browser's side of the data channel.
pub(crate) struct Screen {
    settings: ScreenSettings,
    agent: ChannelName,
    user: ChannelName,
    renew: Renewal,
    /// Whether the client has said that it listens; until then it is told nothing.
    ready: bool,
    /// What it is told then.
    early: Vec<Shown>,
    bearing: Bearing,
    /// Messages sent.
    sent: u64,
    /// The user's sentences so far.
    sentence: u64,
}

impl Screen {
    /// The screen of a user in a call.
    pub(crate) fn new(settings: ScreenSettings, (agent, user): (ChannelName, ChannelName), renew: Renewal) -> Self {
        let (early, bearing) = (Vec::new(), Bearing::Listening);
        Self { settings, agent, user, renew, ready: false, early, bearing, sent: 0, sentence: 0 }
    }

    fn message(&mut self, number: u32, data: &Value) -> String {
        self.sent += 1;
        json!({
            "type": number,
            "data": data,
            "seqId": self.sent,
            "senderId": self.agent,
            "receiverId": self.user,
        })
        .to_string()
    }

    fn state(&mut self) -> String {
        let state = match self.bearing {
            Bearing::Listening => 1,
            Bearing::Thinking => 2,
            Bearing::Speaking => 3,
        };
        self.message(told::STATE, &json!({ "state": state }))
    }

    fn moved(&mut self, bearing: Bearing) -> Vec<String> {
        let was = std::mem::replace(&mut self.bearing, bearing);
        let mut messages = Vec::new();
        if was == Bearing::Speaking && bearing == Bearing::Listening {
            messages.push(self.agent_text("", true));
        }
        messages.push(self.state());
        messages
    }

    fn agent_text(&mut self, text: &str, end: bool) -> String {
        self.message(told::AGENT_TEXT, &json!({"text": text, "sentenceId": self.sentence, "end": end}))
    }

    fn user_text(&mut self, text: &str, sentence: u64, end: bool) -> String {
        self.message(told::USER_TEXT, &json!({"text": text, "sentenceId": sentence, "end": end, "voiceprint": 0}))
    }

    /// A human agent talks with a voice of their own.
    fn taken_over(&mut self, number: u32, user: &Pii<String>) -> String {
        self.message(number, &json!({"takeoverUid": user.expose(), "takeoverMode": 1}))
    }

    /// What a numbered message of the client wishes.
    fn wish(&mut self, number: u64, data: &Value) -> Vec<Wish> {
        let enable = data["enable"].as_bool();
        match number {
            1100 => vec![Wish::Leave],
            1101 => vec![Wish::Interrupt],
            1102 => enable.map_or_else(Vec::new, |on| self.interrupt_mode(on)),
            1103 => data["voiceId"].as_str().map_or_else(Vec::new, |voice| self.voice(voice)),
            1104 => self.token(),
            1105 => enable.map_or_else(Vec::new, |on| self.push_to_talk(on)),
            1106 => vec![Wish::Press(Press::Begun)],
            1107 => vec![Wish::Press(Press::Finished)],
            1108 => vec![Wish::Press(Press::Cancelled)],
            1111 => text(&data["text"]).map(Wish::Hear).into_iter().collect(),
            1112 => text(&data["message"]).map(Wish::Tell).into_iter().collect(),
            1118 => {
                let silence = data["asrMaxSilence"].as_u64().filter(|ms| (200..=1200).contains(ms));
                let turn = TurnPatch { silence_ms: silence, ..TurnPatch::default() };
                silence.map(|_| change(AgentPatch { turn, ..AgentPatch::default() })).into_iter().collect()
            }
            1119 => vec![Wish::Answer(self.state())],
            1120 => {
                let rate = data["speechRate"].as_f64().filter(|rate| (0.5..=2.0).contains(rate));
                let voice = VoicePatch { rate, ..VoicePatch::default() };
                rate.map(|_| change(AgentPatch { voice, ..AgentPatch::default() })).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// The client is there: it hears so, and what was shown to nobody until now.
    fn greet(&mut self) -> Vec<Wish> {
        self.ready = true;
        let ready = json!({"key": KEY, "version": "1.0", "type": "ready_resp", "data": {"ready": true}});
        let mut texts = vec![ready.to_string(), self.state()];
        for shown in std::mem::take(&mut self.early) {
            texts.extend(self.words(&shown));
        }
        let marks = self.settings.push_to_talk.is_on().then_some(Wish::MarkTurns(Switch::On));
        texts.into_iter().map(Wish::Answer).chain(marks).collect()
    }

    fn push_to_talk(&mut self, on: bool) -> Vec<Wish> {
        // Whoever says the handshake again gets what was last wished.
        self.settings.push_to_talk = on.into();
        let answer = self.message(told::PUSH_TO_TALK, &json!({ "enable": on }));
        vec![Wish::MarkTurns(on.into()), Wish::Answer(answer)]
    }

    fn interrupt_mode(&mut self, on: bool) -> Vec<Wish> {
        let interrupt = InterruptPatch { by_voice: Some(on.into()), ..InterruptPatch::default() };
        let answer = self.message(told::INTERRUPT_MODE, &json!({ "enable": on }));
        vec![change(AgentPatch { interrupt, ..AgentPatch::default() }), Wish::Answer(answer)]
    }

    fn voice(&mut self, name: &str) -> Vec<Wish> {
        if name.chars().count() > MAX_VOICE || !self.settings.voices.iter().any(|voice| voice == name) {
            return Vec::new();
        }
        let voice = VoicePatch { voice: Some(name.to_owned()), ..VoicePatch::default() };
        let answer = self.message(told::VOICE, &json!({ "voiceId": name }));
        vec![change(AgentPatch { voice, ..AgentPatch::default() }), Wish::Answer(answer)]
    }

    /// A new token for whoever is connected, whatever user the message names.
    fn token(&mut self) -> Vec<Wish> {
        let token = (self.renew)();
        vec![Wish::Answer(self.message(told::TOKEN, &json!({ "token": token })))]
    }
}

impl Parlance for Screen {
    fn wishes(&mut self, message: &str) -> Vec<Wish> {
        let Ok(message) = serde_json::from_str::<Value>(message) else { return Vec::new() };
        if message["key"] == KEY && message["type"] == "ready_req" {
            return self.greet();
        }
        match message["type"].as_u64() {
            Some(number) if self.ready => self.wish(number, &message["data"]),
            _ => Vec::new(),
        }
    }

    fn words(&mut self, shown: &Shown) -> Vec<String> {
        if !self.ready {
            match shown {
                Shown::Bearing(bearing) => self.bearing = *bearing,
                said if self.early.len() < MAX_EARLY => self.early.push(said.clone()),
                _ => {}
            }
            return Vec::new();
        }
        match shown {
            Shown::Bearing(bearing) => self.moved(*bearing),
            Shown::AgentBegins(text) => vec![self.agent_text(text.expose(), false)],
            Shown::AgentSaid(text) if self.settings.whole_replies => {
                vec![self.message(told::WHOLE_REPLY, &json!({"text": text.expose(), "sentenceId": self.sentence}))]
            }
            Shown::AgentSaid(_) => Vec::new(),
            Shown::UserSays(text) => vec![self.user_text(text.expose(), self.sentence + 1, false)],
            Shown::UserSaid(text) => {
                self.sentence += 1;
                vec![self.user_text(text.expose(), self.sentence, true)]
            }
            Shown::Interrupted(by) => {
                let reason = match by {
                    CutBy::Voice => 2,
                    CutBy::Client => 3,
                    CutBy::Speech => 4,
                    CutBy::Text => 5,
                };
                vec![self.message(told::INTERRUPTED, &json!({ "reason": reason }))]
            }
            Shown::Message(text) => vec![self.message(told::MESSAGE, &json!({"message": text.expose()}))],
            Shown::Trouble(part) => {
                let code = match part.as_str() {
                    "media" => 4004,
                    "ears" => 4005,
                    _ => return Vec::new(),
                };
                vec![self.message(told::ERROR, &json!({ "code": code }))]
            }
            Shown::HumanComes(user) => vec![self.taken_over(told::HUMAN_COMES, user)],
            Shown::HumanJoined(user) => vec![self.taken_over(told::HUMAN_JOINED, user)],
            Shown::Leaving(cause) => {
                // A browser's call is handed over to a human agent alone.
                let known = [(HangupCause::Idle, 2001), (HangupCause::Transferred, 2002)];
                let reason = known.iter().find(|(known, _)| known == cause).map_or(0, |(_, reason)| *reason);
                vec![self.message(told::LEAVES, &json!({"reason": reason, "message": cause}))]
            }
        }
    }
}

fn change(patch: AgentPatch) -> Wish {
    Wish::Change(Box::new(patch))
}

fn text(value: &Value) -> Option<Pii<String>> {
    let text = value.as_str().filter(|text| !text.trim().is_empty() && text.chars().count() <= MAX_TEXT)?;
    Some(Pii::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &str = r#"{"key":"aliyun_aigc","version":"1.0","type":"ready_req","data":{"ready":true}}"#;

    fn screen(settings: ScreenSettings) -> Screen {
        let name = |text| ChannelName::new(text).expect("a name");
        Screen::new(settings, (name("agent"), name("ann")), Box::new(|| String::from("fresh")))
    }

    fn ready() -> Screen {
        let mut screen = screen(ScreenSettings {
            whole_replies: true,
            voices: vec![String::from("Ava")],
            push_to_talk: Switch::Off,
            overture: None,
        });
        screen.wishes(READY);
        screen
    }

    fn shown(screen: &mut Screen, shown: &Shown) -> Vec<(u64, Value)> {
        let words = screen.words(shown);
        let read = |text: &String| {
            let message: Value = serde_json::from_str(text).expect("JSON");
            (message["type"].as_u64().expect("a number"), message["data"].clone())
        };
        words.iter().map(read).collect()
    }

    #[test]
    fn nothing_is_said_or_heard_before_the_handshake() {
        let mut screen = screen(ScreenSettings::default());
        assert_eq!(screen.words(&Shown::Bearing(Bearing::Speaking)), Vec::<String>::new());
        assert_eq!(screen.words(&Shown::AgentBegins(Pii::new(String::from("Hello.")))), Vec::<String>::new());
        assert_eq!(screen.wishes(r#"{"type":1100,"data":{}}"#), []);
        let answers = screen.wishes(READY);
        let Some([Wish::Answer(ready), Wish::Answer(state)]) = answers.first_chunk() else { panic!("{answers:?}") };
        let ready: Value = serde_json::from_str(ready).expect("JSON");
        assert_eq!((&ready["type"], &ready["data"]["ready"]), (&json!("ready_resp"), &json!(true)));
        let state: Value = serde_json::from_str(state).expect("JSON");
        let wanted = json!({"type": 1001, "data": {"state": 3}, "seqId": 1, "senderId": "agent", "receiverId": "ann"});
        assert_eq!(state, wanted);
        let [_, _, Wish::Answer(greeting)] = answers.as_slice() else { panic!("{answers:?}") };
        assert!(greeting.contains(r#""type":1002"#) && greeting.contains("Hello."), "{greeting}");
        assert_eq!(screen.wishes(READY).len(), 2, "told once");
    }

    #[test]
    fn a_turn_is_shown_in_its_numbers() {
        let mut screen = ready();
        let text = |text: &str| Pii::new(text.to_owned());
        let user = |text: &str, end: bool| (1003, json!({"text": text, "sentenceId": 1, "end": end, "voiceprint": 0}));
        let agent = |text: &str, end: bool| (1002, json!({"text": text, "sentenceId": 1, "end": end}));
        let turn = [
            (Shown::UserSays(text("what")), vec![user("what", false)]),
            (Shown::UserSaid(text("what time")), vec![user("what time", true)]),
            (Shown::Bearing(Bearing::Thinking), vec![(1001, json!({"state": 2}))]),
            (Shown::AgentBegins(text("Ten.")), vec![agent("Ten.", false)]),
            (Shown::Bearing(Bearing::Speaking), vec![(1001, json!({"state": 3}))]),
            (Shown::Interrupted(CutBy::Client), vec![(1016, json!({"reason": 3}))]),
            (Shown::AgentSaid(text("Ten.")), vec![(1017, json!({"text": "Ten.", "sentenceId": 1}))]),
            (Shown::Bearing(Bearing::Listening), vec![agent("", true), (1001, json!({"state": 1}))]),
            (Shown::Message(text("{}")), vec![(1011, json!({"message": "{}"}))]),
            (Shown::Trouble(String::from("ears")), vec![(1000, json!({"code": 4005}))]),
            (Shown::Trouble(String::from("thread")), vec![]),
            (Shown::HumanComes(text("human")), vec![(1012, json!({"takeoverUid": "human", "takeoverMode": 1}))]),
            (Shown::HumanJoined(text("human")), vec![(1013, json!({"takeoverUid": "human", "takeoverMode": 1}))]),
            (Shown::Leaving(HangupCause::Transferred), vec![(1010, json!({"reason": 2002, "message": "transferred"}))]),
            (Shown::Leaving(HangupCause::Idle), vec![(1010, json!({"reason": 2001, "message": "idle"}))]),
        ];
        for (what, wanted) in turn {
            assert_eq!(shown(&mut screen, &what), wanted, "{what:?}");
        }
    }

    #[test]
    fn wishes_are_granted_within_their_ranges() {
        let mut screen = ready();
        let mut wish = |number: u64, data: Value| screen.wishes(&json!({"type": number, "data": data}).to_string());
        assert_eq!(wish(1100, json!({})), [Wish::Leave]);
        assert_eq!(wish(1101, Value::Null), [Wish::Interrupt]);
        for (number, press) in [(1106, Press::Begun), (1107, Press::Finished), (1108, Press::Cancelled)] {
            assert_eq!(wish(number, Value::Null), [Wish::Press(press)]);
        }
        let marked = wish(1105, json!({"enable": true}));
        assert!(
            matches!(marked.as_slice(), [Wish::MarkTurns(Switch::On), Wish::Answer(text)] if text.contains("1007")),
            "{marked:?}"
        );
        assert!(wish(1105, json!({"enable": "yes"})).is_empty());
        assert_eq!(wish(1111, json!({"text": "hi"})), [Wish::Hear(Pii::new("hi".into()))]);
        assert_eq!(wish(1112, json!({"message": "{}"})), [Wish::Tell(Pii::new("{}".into()))]);
        let changed = |wishes: Vec<Wish>| match wishes.into_iter().next() {
            Some(Wish::Change(patch)) => *patch,
            other => panic!("{other:?}"),
        };
        assert_eq!(changed(wish(1118, json!({"asrMaxSilence": 300}))).turn.silence_ms, Some(300));
        assert_eq!(changed(wish(1120, json!({"speechRate": 1.5}))).voice.rate, Some(1.5));
        assert_eq!(changed(wish(1103, json!({"voiceId": "Ava"}))).voice.voice.as_deref(), Some("Ava"));
        assert_eq!(changed(wish(1102, json!({"enable": false}))).interrupt.by_voice, Some(false.into()));
        assert!(
            matches!(wish(1104, json!({"userId": "eve"})).as_slice(), [Wish::Answer(text)] if text.contains("fresh"))
        );
        for (number, data) in [
            (1118, json!({"asrMaxSilence": 100})),
            (1120, json!({"speechRate": 9})),
            (1103, json!({"voiceId": "Eve"})),
            (1111, json!({"text": " "})),
            (1102, json!({})),
            (1113, json!({})),
            (9999, json!({})),
        ] {
            assert_eq!(wish(number, data), [], "{number}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_let_go() {
        let mut screen = ready();
        for text in ["", "{", "[]", "1100", r#"{"type":"1100"}"#, r#"{"type":-1}"#, r#"{"type":1100.5}"#] {
            assert_eq!(screen.wishes(text), [], "{text}");
        }
    }
}
