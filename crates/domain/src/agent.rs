//! Agents: a configured persona (prompt, ears, brain, voice, turn-taking, tools, limits), and the patch that a request
//! lays over it. Never knows how a vendor spells any of this.
//!
//! Every settings struct has a patch twin with the same fields, all optional, made by [`layered!`]. Merging goes member by
//! member at every depth; lists are replaced whole. "Empty means absent" is a wire rule and belongs to the dialects.

use crate::Pii;
use crate::extract::{ExtractPatch, ExtractSettings};
use crate::ids::AgentId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Makes a settings struct and its patch twin, `apply` (patch onto settings) and `over` (patch onto patch).
macro_rules! layered {
    ($(#[$doc:meta])* $settings:ident, $patch:ident { $($(#[$field_doc:meta])* $field:ident : $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $settings { $($(#[$field_doc])* pub $field: $type,)* }

        #[doc = concat!("A layer over [`", stringify!($settings), "`]: what is `None` is left as it was.")]
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $patch {
            $($(#[$field_doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$type>,)*
        }

        impl $patch {
            /// Lays this patch over `settings`.
            pub fn apply(self, settings: &mut $settings) {
                $(if let Some(value) = self.$field { settings.$field = value; })*
            }

            /// This patch laid over a lower one: what this one sets wins, field by field.
            #[must_use]
            pub fn over(self, lower: Self) -> Self {
                Self { $($field: self.$field.or(lower.$field),)* }
            }
        }
    };
}

/// A three-way choice would be an enum of its own; this is the two-way one, with a name at the place of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Switch {
    /// Yes.
    On,
    /// No.
    #[default]
    Off,
}

impl Switch {
    /// Whether it is on.
    pub const fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}

impl From<bool> for Switch {
    fn from(on: bool) -> Self {
        if on { Self::On } else { Self::Off }
    }
}

/// How the agent opens the call.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Greeting {
    /// The agent waits for the callee to speak.
    #[default]
    None,
    /// This text, after templates are filled in.
    Text(String),
    /// The model makes the greeting from this instruction.
    Model(String),
}

layered!(
    /// How a call begins.
    Opening, OpeningPatch {
        /// What the agent says first.
        greeting: Greeting,
        /// Wait after the answer before the greeting, in milliseconds (0 to 5000).
        delay_ms: u64,
        /// Said before the greeting, and not to be cut off: that a machine speaks. None: nothing.
        disclosure: Option<String>,
        /// Treated as the callee's first utterance and answered at once.
        wake_up: Option<String>,
        /// Whether the callee may cut the greeting off.
        interruptible: Switch,
        /// A short tone before the first word, which tells the callee that a machine speaks.
        tone: Switch,
    }
);

/// A service that comes with the agent instead of with the server's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Endpoint {
    /// The protocol that it speaks: one of those that the server has a part for.
    pub kind: String,
    /// Its address.
    pub url: String,
    /// The key that it wants.
    pub key: Pii<String>,
    /// What else its protocol needs.
    pub params: BTreeMap<String, Pii<String>>,
}

layered!(
    /// Speech recognition.
    EarsSettings, EarsPatch {
        /// Name of the configured recogniser; empty: the server's default.
        vendor: String,
        /// The vendor's model name; empty: its default.
        model: String,
        /// BCP 47 tag or the vendor's own word; empty: the agent's language.
        language: String,
        /// Words to listen for.
        hot_words: Vec<String>,
        /// How insensitive voice activity is: 0 off, 1 to 10 rising, 11 near-speaker mode.
        vad_level: u8,
        /// Passed to the vendor as they are.
        params: BTreeMap<String, String>,
    }
);

/// Most reminders of a call: nobody is silent so often.
pub const MOST_REMINDERS: u32 = 1_000_000;

/// Texts among a brain's parameters that stand for something else in each question.
pub mod params {
    /// The call's id.
    pub const CALL: &str = "{{call_id}}";
    /// How many times the callee has spoken so far, as a number.
    pub const TURN: &str = "{{turn}}";
}

/// Who said a line of given history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryRole {
    /// The person.
    User,
    /// The agent.
    Assistant,
    /// An instruction.
    System,
    /// A tool's result.
    Tool,
}

/// A line of history to begin with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryLine {
    /// Who said it.
    pub role: HistoryRole,
    /// What was said.
    pub content: String,
}

layered!(
    /// The language model.
    BrainSettings, BrainPatch {
        /// Name of the configured model service; empty: the server's default.
        vendor: String,
        /// The vendor's model name; empty: its default.
        model: String,
        /// System prompt; a template over the call's variables.
        system_prompt: String,
        /// History to begin with.
        history: Vec<HistoryLine>,
        /// Most past turns sent to the model.
        history_limit: u32,
        /// What the model is told at the end of what the agent was saying when it was cut off; empty: nothing.
        cut_mark: String,
        /// Sampling temperature; none: the vendor's default.
        temperature: Option<f64>,
        /// Most tokens of one answer; none: the vendor's default.
        max_tokens: Option<u32>,
        /// Added to the request's query string.
        query: BTreeMap<String, String>,
        /// Added to the request's body, member by member.
        params: BTreeMap<String, Value>,
        /// A scripted brain: used when the vendor is `script`.
        script: Vec<ScriptStep>,
        /// The agent's own model service; none: the one that `vendor` names.
        endpoint: Option<Endpoint>,
    }
);

/// One rule of a scripted brain: the first whose words occur in what the callee said is spoken.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScriptStep {
    /// Any of these, compared without case, must occur in the callee's words; empty: always matches.
    pub when: Vec<String>,
    /// What the agent says.
    pub say: String,
    /// Name of a tool to run after speaking.
    pub tool: Option<String>,
    /// Times the rule may be used in one call; 0: any number.
    pub times: u32,
}

/// A replacement made in text before it is spoken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pronunciation {
    /// What is written.
    pub word: String,
    /// What is spoken.
    pub spoken: String,
}

layered!(
    /// Speech synthesis.
    VoiceSettings, VoicePatch {
        /// Name of the configured synthesiser; empty: the server's default.
        vendor: String,
        /// The vendor's model name; empty: its default.
        model: String,
        /// The vendor's voice id; empty: its default.
        voice: String,
        /// BCP 47 tag or the vendor's own word; empty: the agent's language.
        language: String,
        /// Speed, 0.5 to 2.0; 1.0 is the voice's own.
        rate: f64,
        /// Loudness in percent, 0 to 400; 100 is the voice's own.
        volume: u32,
        /// The vendor's word for an emotion; empty: none.
        emotion: String,
        /// Replacements before synthesis, in order.
        pronunciations: Vec<Pronunciation>,
        /// Text shorter than this many characters is held back; 0: off.
        hold_below_chars: u32,
        /// Held text is spoken after this many milliseconds; 0: off.
        hold_at_most_ms: u64,
        /// The agent's own synthesiser; none: the one that `vendor` names.
        endpoint: Option<Endpoint>,
    }
);

/// What ends the callee's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnMode {
    /// Silence alone.
    #[default]
    Silence,
    /// Silence, shortened or lengthened by a model's opinion whether the sentence is complete.
    Semantic,
}

layered!(
    /// When has the callee finished?
    TurnSettings, TurnPatch {
        /// What ends a turn.
        mode: TurnMode,
        /// Silence that ends a turn, in milliseconds.
        silence_ms: u64,
        /// Longest wait for an unfinished sentence in semantic mode, in milliseconds.
        patience_ms: u64,
        /// Hearing one of these ends the turn at once.
        end_words: Vec<String>,
        /// Join short consecutive segments into one utterance.
        join_segments: Switch,
    }
);

/// What becomes of words heard while the agent could not be interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overheard {
    /// Kept and used in the next turn.
    #[default]
    Keep,
    /// Thrown away.
    Discard,
}

layered!(
    /// Barge-in: the callee speaks over the agent and wins.
    InterruptSettings, InterruptPatch {
        /// Whether voice interrupts.
        by_voice: Switch,
        /// Speech needed before it interrupts, in milliseconds; 0: the detector's own minimum.
        min_speech_ms: u64,
        /// Recognised words needed before speech interrupts; 0: voice activity alone is enough.
        min_words: u32,
        /// Speaking one of these interrupts, whatever `by_voice` says.
        words: Vec<String>,
        /// Whether an interrupting word is also given to the model.
        keep_words: Switch,
        /// Words heard while not interruptible.
        overheard: Overheard,
    }
);

/// A text among several, with the weight of its being chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeightedText {
    /// The text.
    pub text: String,
    /// Probability, 0 to 1; the texts of one list sum to 1.
    pub weight: f64,
}

/// How one of several texts is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// By weight.
    #[default]
    Random,
    /// One after the other.
    Sequence,
}

layered!(
    /// What happens when nobody speaks.
    IdleSettings, IdlePatch {
        /// Silence before a reminder, in milliseconds; 0: no reminders.
        remind_after_ms: u64,
        /// The reminders.
        reminders: Vec<WeightedText>,
        /// How a reminder is chosen.
        choice: Choice,
        /// Reminders in a row before the agent gives up.
        max_reminders: u32,
        /// Whether giving up means to hang up; off: no further reminder is given.
        leave: Switch,
        /// Said before hanging up after the last reminder.
        goodbye: String,
        /// Hang up after this long without any interaction, in milliseconds; 0: never.
        hang_up_after_ms: u64,
    }
);

layered!(
    /// Something to say while the model is slow.
    FillerSettings, FillerPatch {
        /// Wait for the model's first word before a filler, in milliseconds; 0: no fillers.
        after_ms: u64,
        /// The fillers.
        texts: Vec<WeightedText>,
        /// How a filler is chosen.
        choice: Choice,
    }
);

layered!(
    /// Small sounds of attention while the callee pauses.
    BackchannelSettings, BackchannelPatch {
        /// Probability that a pause is answered, 0 to 1; 0: off.
        probability: f64,
        /// What may be said.
        words: Vec<WeightedText>,
    }
);

/// What is done when a machine answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnVoicemail {
    /// Hang up.
    #[default]
    HangUp,
    /// Wait for its tone, say the message, hang up.
    LeaveMessage,
}

layered!(
    /// A machine that answers in a person's place: a mailbox, or the network.
    VoicemailSettings, VoicemailPatch {
        /// Whether it is found out.
        detect: Switch,
        /// What is done then.
        on_detect: OnVoicemail,
        /// What is said after its tone; a template over the call's variables.
        message: String,
    }
);

layered!(
    /// Background sound under the agent's voice.
    AmbientSettings, AmbientPatch {
        /// Name of a configured sound; empty: none.
        sound: String,
        /// Loudness in percent, 0 to 100; 0: off.
        volume: u32,
    }
);

/// Something the model may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Tool {
    /// Hang up, after what is being said has been said.
    EndCall {
        /// The name the model knows it by.
        name: String,
        /// When to use it, in words for the model.
        description: String,
    },
    /// Put the callee on the account's do-not-call list, and say so.
    DoNotCall {
        /// The name the model knows it by.
        name: String,
        /// When to use it, in words for the model.
        description: String,
        /// What is said once it is done; empty: a sentence of ours, in the agent's language.
        #[serde(default)]
        confirmation: String,
    },
    /// Hand the callee over to somebody else; the call ends here then.
    Transfer {
        /// The name the model knows it by.
        name: String,
        /// When to use it, in words for the model.
        description: String,
        /// Whom to call: a telephone number, or a `sip:` address that the rules list.
        to: String,
        /// What is said before; empty: nothing beside what the model says.
        #[serde(default)]
        announcement: String,
        /// What is said when it does not work; empty: the model hears why, and says so in its own words.
        #[serde(default)]
        apology: String,
    },
    /// Let another agent go on with the call: its instructions, model, voice and tools count from then on.
    ChangeAgent {
        /// The name the model knows it by.
        name: String,
        /// When to use it, in words for the model.
        description: String,
        /// The stored agent of the account that goes on.
        agent: AgentId,
    },
    /// Press keys on the line.
    SendKeys {
        /// The name the model knows it by.
        name: String,
        /// When to use it, in words for the model.
        description: String,
    },
}

impl Tool {
    /// The name the model knows the tool by.
    pub fn name(&self) -> &str {
        match self {
            Self::EndCall { name, .. }
            | Self::DoNotCall { name, .. }
            | Self::Transfer { name, .. }
            | Self::ChangeAgent { name, .. }
            | Self::SendKeys { name, .. } => name,
        }
    }
}

/// Whether and how audio is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recording {
    /// Stereo WAV: callee left, agent right.
    #[default]
    Stereo,
    /// Nothing is kept.
    Off,
}

layered!(
    /// Limits of one call.
    CallLimits, CallLimitsPatch {
        /// Longest conversation, in seconds.
        max_duration_s: u64,
        /// Longest ringing, in seconds.
        ring_timeout_s: u64,
    }
);

/// A configured persona.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentProfile {
    /// What people call it.
    pub name: String,
    /// BCP 47 tag of the language it speaks.
    pub language: String,
    /// How a call begins.
    pub opening: Opening,
    /// Speech recognition.
    pub ears: EarsSettings,
    /// The language model.
    pub brain: BrainSettings,
    /// Speech synthesis.
    pub voice: VoiceSettings,
    /// End of the callee's turn.
    pub turn: TurnSettings,
    /// Barge-in.
    pub interrupt: InterruptSettings,
    /// Silence.
    pub idle: IdleSettings,
    /// A slow model.
    pub filler: FillerSettings,
    /// Attention.
    pub backchannel: BackchannelSettings,
    /// Background.
    pub ambient: AmbientSettings,
    /// What the model may do.
    pub tools: Vec<Tool>,
    /// Audio kept.
    pub recording: Recording,
    /// Limits.
    pub limits: CallLimits,
    /// What is found out about a call after its end.
    pub extract: ExtractSettings,
    /// A machine that answers.
    pub voicemail: VoicemailSettings,
}

/// A layer over an [`AgentProfile`]: what is not set is left as it was.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentPatch {
    /// See [`AgentProfile::language`].
    pub language: Option<String>,
    /// See [`AgentProfile::opening`].
    pub opening: OpeningPatch,
    /// See [`AgentProfile::ears`].
    pub ears: EarsPatch,
    /// See [`AgentProfile::brain`].
    pub brain: BrainPatch,
    /// See [`AgentProfile::voice`].
    pub voice: VoicePatch,
    /// See [`AgentProfile::turn`].
    pub turn: TurnPatch,
    /// See [`AgentProfile::interrupt`].
    pub interrupt: InterruptPatch,
    /// See [`AgentProfile::idle`].
    pub idle: IdlePatch,
    /// See [`AgentProfile::filler`].
    pub filler: FillerPatch,
    /// See [`AgentProfile::backchannel`].
    pub backchannel: BackchannelPatch,
    /// See [`AgentProfile::ambient`].
    pub ambient: AmbientPatch,
    /// See [`AgentProfile::tools`].
    pub tools: Option<Vec<Tool>>,
    /// See [`AgentProfile::recording`].
    pub recording: Option<Recording>,
    /// See [`AgentProfile::limits`].
    pub limits: CallLimitsPatch,
    /// See [`AgentProfile::extract`].
    pub extract: ExtractPatch,
    /// See [`AgentProfile::voicemail`].
    pub voicemail: VoicemailPatch,
}

impl AgentPatch {
    /// Lays this patch over `agent`.
    pub fn apply(self, agent: &mut AgentProfile) {
        if let Some(language) = self.language {
            agent.language = language;
        }
        self.opening.apply(&mut agent.opening);
        self.ears.apply(&mut agent.ears);
        self.brain.apply(&mut agent.brain);
        self.voice.apply(&mut agent.voice);
        self.turn.apply(&mut agent.turn);
        self.interrupt.apply(&mut agent.interrupt);
        self.idle.apply(&mut agent.idle);
        self.filler.apply(&mut agent.filler);
        self.backchannel.apply(&mut agent.backchannel);
        self.ambient.apply(&mut agent.ambient);
        if let Some(tools) = self.tools {
            agent.tools = tools;
        }
        if let Some(recording) = self.recording {
            agent.recording = recording;
        }
        self.limits.apply(&mut agent.limits);
        self.extract.apply(&mut agent.extract);
        self.voicemail.apply(&mut agent.voicemail);
    }

    /// This patch laid over a lower one.
    #[must_use]
    pub fn over(self, lower: Self) -> Self {
        Self {
            language: self.language.or(lower.language),
            opening: self.opening.over(lower.opening),
            ears: self.ears.over(lower.ears),
            brain: self.brain.over(lower.brain),
            voice: self.voice.over(lower.voice),
            turn: self.turn.over(lower.turn),
            interrupt: self.interrupt.over(lower.interrupt),
            idle: self.idle.over(lower.idle),
            filler: self.filler.over(lower.filler),
            backchannel: self.backchannel.over(lower.backchannel),
            ambient: self.ambient.over(lower.ambient),
            tools: self.tools.or(lower.tools),
            recording: self.recording.or(lower.recording),
            limits: self.limits.over(lower.limits),
            extract: self.extract.over(lower.extract),
            voicemail: self.voicemail.over(lower.voicemail),
        }
    }
}

impl Default for Opening {
    fn default() -> Self {
        Self {
            greeting: Greeting::None,
            delay_ms: 0,
            disclosure: None,
            wake_up: None,
            interruptible: Switch::On,
            tone: Switch::Off,
        }
    }
}

impl Default for EarsSettings {
    fn default() -> Self {
        Self {
            vendor: String::new(),
            model: String::new(),
            language: String::new(),
            hot_words: Vec::new(),
            vad_level: 5,
            params: BTreeMap::new(),
        }
    }
}

impl Default for BrainSettings {
    fn default() -> Self {
        Self {
            vendor: String::new(),
            model: String::new(),
            system_prompt: String::new(),
            history: Vec::new(),
            history_limit: 10,
            cut_mark: String::new(),
            temperature: None,
            max_tokens: None,
            query: BTreeMap::new(),
            params: BTreeMap::new(),
            script: Vec::new(),
            endpoint: None,
        }
    }
}

impl Default for VoiceSettings {
    fn default() -> Self {
        Self {
            vendor: String::new(),
            model: String::new(),
            voice: String::new(),
            language: String::new(),
            rate: 1.0,
            volume: 100,
            emotion: String::new(),
            pronunciations: Vec::new(),
            hold_below_chars: 0,
            hold_at_most_ms: 0,
            endpoint: None,
        }
    }
}

impl Default for TurnSettings {
    fn default() -> Self {
        Self {
            mode: TurnMode::Silence,
            silence_ms: 400,
            patience_ms: 4000,
            end_words: Vec::new(),
            join_segments: Switch::On,
        }
    }
}

impl Default for InterruptSettings {
    fn default() -> Self {
        Self {
            by_voice: Switch::On,
            min_speech_ms: 200,
            min_words: 0,
            words: Vec::new(),
            keep_words: Switch::Off,
            overheard: Overheard::Keep,
        }
    }
}

impl Default for IdleSettings {
    fn default() -> Self {
        Self {
            remind_after_ms: 0,
            reminders: Vec::new(),
            choice: Choice::Random,
            max_reminders: 2,
            leave: Switch::On,
            goodbye: String::new(),
            hang_up_after_ms: 600_000,
        }
    }
}

impl Default for FillerSettings {
    fn default() -> Self {
        Self { after_ms: 0, texts: Vec::new(), choice: Choice::Random }
    }
}

impl Default for BackchannelSettings {
    fn default() -> Self {
        Self { probability: 0.0, words: Vec::new() }
    }
}

// Written out like its neighbours: the macro above cannot derive what the others override.
#[allow(clippy::derivable_impls, reason = "one place for all defaults")]
impl Default for AmbientSettings {
    fn default() -> Self {
        Self { sound: String::new(), volume: 0 }
    }
}

// As above.
#[allow(clippy::derivable_impls, reason = "one place for all defaults")]
impl Default for VoicemailSettings {
    fn default() -> Self {
        Self { detect: Switch::Off, on_detect: OnVoicemail::HangUp, message: String::new() }
    }
}

impl Default for CallLimits {
    fn default() -> Self {
        Self { max_duration_s: 600, ring_timeout_s: 45 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_layer_wins_field_by_field() {
        let request = AgentPatch {
            ears: EarsPatch { language: Some("en".into()), ..Default::default() },
            opening: OpeningPatch { greeting: Some(Greeting::None), ..Default::default() },
            ..Default::default()
        };
        let template = AgentPatch {
            ears: EarsPatch { language: Some("zh".into()), vad_level: Some(3), ..Default::default() },
            turn: TurnPatch { silence_ms: Some(700), ..Default::default() },
            ..Default::default()
        };
        let mut agent = AgentProfile::default();
        agent.opening.greeting = Greeting::Text("Hello".into());
        agent.voice.voice = "anna".into();
        request.over(template).apply(&mut agent);
        assert_eq!(agent.ears.language, "en");
        assert_eq!(agent.ears.vad_level, 3);
        assert_eq!(agent.turn.silence_ms, 700);
        assert_eq!(agent.opening.greeting, Greeting::None);
        assert_eq!(agent.voice.voice, "anna");
    }

    #[test]
    fn an_empty_patch_changes_nothing() {
        let mut agent = AgentProfile::default();
        agent.voice.rate = 1.5;
        let before = agent.clone();
        AgentPatch::default().apply(&mut agent);
        assert_eq!(agent, before);
    }

    #[test]
    fn unknown_keys_of_an_agent_file_are_errors() {
        let error = serde_json::from_str::<AgentProfile>(r#"{"voice":{"speed":2}}"#).expect_err("unknown key");
        assert!(error.to_string().contains("speed"));
    }
}
