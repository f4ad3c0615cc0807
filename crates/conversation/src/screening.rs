//! Whether a person or a machine has answered: by what is said, by how long it goes on, and by the tone after which a
//! machine records. Decides in favour of a person when in doubt. Never acts.

use crate::words;
use callwright_domain::agent::Switch;
use callwright_domain::call::MachineSign;
use std::time::{Duration, Instant};

/// After this long nobody looks for a machine any more.
const WINDOW: Duration = Duration::from_secs(30);
/// A machine begins to speak within this time. Whoever begins later, when the agent has been heard, answers it.
const BEGINS_BY: Duration = Duration::from_secs(4);
/// Nobody who picks up speaks for so long without a pause.
const LONG: Duration = Duration::from_secs(9);
/// A greeting of this length that also has the words of an office is a machine's.
const LONGISH: Duration = Duration::from_millis(3500);
/// A shorter silence belongs to what is being said.
const PAUSE: Duration = Duration::from_millis(900);
/// Who says no more than this and then waits is a person: "Hello?", "This is Ann.", "你好，哪位？".
const SHORT: Duration = Duration::from_millis(2500);
/// A tone that comes later than this after what sounded like a person is none of a machine's.
const TONE_BY: Duration = Duration::from_secs(5);
/// How long they wait.
const WAITS: Duration = Duration::from_millis(1500);
/// Words kept, in bytes: enough for any announcement.
const WORDS_CAP: usize = 2000;

/// Only machines have a tone.
const TONES: &[&str] = &[
    "after the tone",
    "after the beep",
    "at the tone",
    "at the beep",
    "sound of the tone",
    "嘀声",
    "滴声",
    "哔声",
    "提示音",
];
/// Nobody but a machine, or the network in its place, says this to whoever calls.
const MACHINES: &[&str] = &[
    "leave a message",
    "leave your message",
    "leave me a message",
    "leave us a message",
    "leave your name",
    "leave a detailed message",
    "record your message",
    "voicemail",
    "voice mail",
    "mailbox",
    "answering machine",
    "take your call",
    "come to the phone",
    "get back to you as soon as",
    "return your call",
    "person you are calling",
    "person you have called",
    "person you're trying to reach",
    "party you are trying to reach",
    "number you have dialed",
    "number you have dialled",
    "subscriber you have dialed",
    "subscriber you have dialled",
    "customer you are calling",
    "请留言",
    "留言",
    "语音信箱",
    "无法接听",
    "不方便接听",
    "您拨打的用户",
    "您拨打的电话",
    "您拨打的号码",
    "你拨打的电话",
    "您呼叫的用户",
    "稍后再拨",
    "来电提醒",
    "短信通知",
    "语音助理",
    "电话助理",
    "电话助手",
    "机主",
];
/// Machines say this, and so do people whose work it is to answer.
const OFFICES: &[&str] = &[
    "you've reached",
    "you have reached",
    "not available",
    "unavailable",
    "thank you for calling",
    "office hours",
    "please hold",
    "press one",
    "press 1",
    "正在通话中",
    "已关机",
    "感谢您的来电",
    "欢迎致电",
    "请按",
];
/// Only people ask or offer this.
const PEOPLE: &[&str] = &[
    "like to leave",
    "want to leave",
    "can i take a message",
    "may i take a message",
    "shall i take a message",
    "take a message for",
    "can i help",
    "may i help",
    "could i help",
    "speaking",
    "who is this",
    "who's this",
    "who is calling",
    "who's calling",
    "要留言",
    "想留言",
    "需要留言",
    "帮您转达",
    "有什么可以帮",
    "有什么事",
    "什么事",
    "哪位",
    "谁啊",
    "你是谁",
    "您是谁",
];

/// What was found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    Person,
    Machine(MachineSign),
}

/// How far it is known who answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Open,
    /// A person by what was said; a tone would still tell otherwise.
    Likely,
    Closed,
}

/// What is known of whoever answered.
#[derive(Debug)]
pub(crate) struct Screening {
    answered: Instant,
    standing: Standing,
    /// The first utterance: since when, and how long it has lasted, pauses within it included.
    began: Option<Instant>,
    /// Since when they have been silent.
    silent: Option<Instant>,
    words: String,
    guess: String,
}

impl Screening {
    /// From the answer on.
    pub(crate) const fn new(answered: Instant) -> Self {
        Self {
            answered,
            standing: Standing::Open,
            began: None,
            silent: None,
            words: String::new(),
            guess: String::new(),
        }
    }

    /// Whether tones are still worth listening for.
    pub(crate) fn wants_tones(&self) -> bool {
        self.standing != Standing::Closed
    }

    /// Whoever answered speaks since then. `agent_heard`: they have heard the agent by now.
    pub(crate) fn speech_started(&mut self, since: Instant, agent_heard: bool) {
        let late = since.saturating_duration_since(self.answered) > BEGINS_BY;
        let again = self.silent.is_some_and(|silent| since.saturating_duration_since(silent) > PAUSE);
        match self.standing {
            Standing::Open if self.began.is_none() && late && agent_heard => self.standing = Standing::Closed,
            Standing::Likely if again && agent_heard => self.standing = Standing::Closed,
            Standing::Open | Standing::Likely | Standing::Closed => {}
        }
        if self.began.is_none() || again {
            self.began = Some(since);
        }
        self.silent = None;
    }

    /// They have been silent since then.
    pub(crate) fn speech_stopped(&mut self, since: Instant) {
        self.silent = Some(since);
    }

    /// Words of theirs, final or a guess.
    pub(crate) fn heard(&mut self, text: &str, is_final: Switch) {
        if !is_final.is_on() {
            self.guess = words::clip(text, WORDS_CAP).to_owned();
            return;
        }
        self.guess.clear();
        if self.words.len() + text.len() <= WORDS_CAP {
            words::join(&mut self.words, text);
        }
    }

    /// A tone has sounded.
    pub(crate) fn tone(&mut self, now: Instant) -> Option<Finding> {
        let late = self.silent.is_some_and(|silent| now.saturating_duration_since(silent) > TONE_BY);
        match self.standing {
            Standing::Closed => None,
            Standing::Likely if late => Some(self.close(Finding::Person)),
            Standing::Open | Standing::Likely => Some(self.close(Finding::Machine(MachineSign::Tone))),
        }
    }

    /// What is found by now; each finding is told once.
    pub(crate) fn finding(&mut self, now: Instant) -> Option<Finding> {
        if now.saturating_duration_since(self.answered) >= WINDOW && self.standing != Standing::Closed {
            return Some(self.close(Finding::Person));
        }
        if self.standing != Standing::Open {
            return None;
        }
        let began = self.began?;
        let spoken = self.silent.unwrap_or(now).saturating_duration_since(began);
        let mut said = self.words.clone();
        words::join(&mut said, &self.guess);
        let person = words::contains_any(&said, PEOPLE);
        if words::contains_any(&said, TONES) || (!person && words::contains_any(&said, MACHINES)) {
            return Some(self.close(Finding::Machine(MachineSign::Words)));
        }
        if !person && spoken >= LONGISH && words::contains_any(&said, OFFICES) {
            return Some(self.close(Finding::Machine(MachineSign::Words)));
        }
        if !person && spoken >= LONG && began.saturating_duration_since(self.answered) <= BEGINS_BY {
            return Some(self.close(Finding::Machine(MachineSign::Length)));
        }
        let waited = self.silent.map(|silent| now.saturating_duration_since(silent));
        if waited.is_none_or(|waited| waited < WAITS) {
            return None;
        }
        if person {
            return Some(self.close(Finding::Person));
        }
        (spoken <= SHORT).then(|| {
            self.standing = Standing::Likely;
            Finding::Person
        })
    }

    /// When there may be something new without anything having happened.
    pub(crate) fn due(&self) -> Option<Instant> {
        let window = self.answered + WINDOW;
        match self.standing {
            Standing::Closed => None,
            Standing::Likely => Some(window),
            Standing::Open => {
                let next = match (self.began, self.silent) {
                    (None, _) => window,
                    (Some(_), Some(silent)) => silent + WAITS,
                    (Some(began), None) => began + LONG,
                };
                Some(next.min(window))
            }
        }
    }

    fn close(&mut self, finding: Finding) -> Finding {
        self.standing = Standing::Closed;
        finding
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens, in milliseconds after the answer.
    enum Happens {
        Speaks,
        Stops,
        Says(&'static str),
        Guesses(&'static str),
        Tone,
        AgentHeard,
    }
    use Happens::{AgentHeard, Guesses, Says, Speaks, Stops, Tone};

    const MACHINE_BY_WORDS: Option<Finding> = Some(Finding::Machine(MachineSign::Words));
    const BY_LENGTH: Option<Finding> = Some(Finding::Machine(MachineSign::Length));
    const BY_TONE: Option<Finding> = Some(Finding::Machine(MachineSign::Tone));

    /// The last finding of a story, and when it was made.
    fn judged(story: &[(u64, Happens)], until: u64) -> (Option<Finding>, u64) {
        #[allow(clippy::disallowed_methods, reason = "a moment to count from")]
        let zero = Instant::now();
        let mut screening = Screening::new(zero);
        let (mut last, mut heard) = ((None, 0), false);
        let mut story = story.iter().peekable();
        for ms in (0..=until).step_by(10) {
            let now = zero + Duration::from_millis(ms);
            while let Some((_, happens)) = story.next_if(|(at, _)| *at <= ms) {
                let found = match happens {
                    Speaks => {
                        screening.speech_started(now, heard);
                        None
                    }
                    Stops => {
                        screening.speech_stopped(now);
                        None
                    }
                    Says(text) => {
                        screening.heard(text, Switch::On);
                        None
                    }
                    Guesses(text) => {
                        screening.heard(text, Switch::Off);
                        None
                    }
                    Tone => screening.tone(now),
                    AgentHeard => {
                        heard = true;
                        None
                    }
                };
                if found.is_some() {
                    last = (found, ms);
                }
            }
            let due = screening.due();
            if let Some(found) = screening.finding(now) {
                assert!(due.is_some(), "something is found that nobody would have looked for");
                last = (Some(found), ms);
            }
        }
        last
    }

    #[test]
    fn people_are_not_taken_for_machines() {
        let stories: &[&[(u64, Happens)]] = &[
            &[(400, Speaks), (900, Stops), (1000, Says("Hello?"))],
            &[(300, AgentHeard), (600, Speaks), (1900, Stops), (2000, Says("Yes, this is Ann Miller."))],
            &[(500, Speaks), (1200, Stops), (1300, Says("喂，你好，哪位？"))],
            // Somebody whose work it is to answer.
            &[
                (300, Speaks),
                (5200, Stops),
                (5300, Says("Thank you for calling Miller and Sons, this is Ann speaking, how can I help you?")),
            ],
            &[(300, Speaks), (4600, Stops), (4700, Says("您好，欢迎致电明天公司，我是小王，请问有什么可以帮您？"))],
            // Somebody who answers for somebody else.
            &[
                (300, Speaks),
                (800, Stops),
                (900, Says("Hello?")),
                (4000, AgentHeard),
                (4500, Speaks),
                (8500, Stops),
                (8600, Says("He is not available right now, would you like to leave a message?")),
            ],
            &[(300, Speaks), (3300, Stops), (3400, Says("他现在不在，您需要留言吗？"))],
            // A long answer to the agent, and one that has the words of a machine in it.
            &[(3000, AgentHeard), (4500, Speaks), (19_000, Stops), (19_100, Says("Well, it is a long story"))],
            &[(3000, AgentHeard), (4500, Speaks), (7000, Stops), (7100, Says("I heard your message on my voicemail."))],
            // A tone in the middle of a conversation.
            &[
                (400, Speaks),
                (900, Stops),
                (1000, Says("Hello?")),
                (1500, AgentHeard),
                (4000, Speaks),
                (5000, Stops),
                (6000, Tone),
            ],
            // Nobody speaks at all.
            &[(500, AgentHeard)],
        ];
        for (place, story) in stories.iter().enumerate() {
            let (found, at) = judged(story, 31_000);
            assert!(!matches!(found, Some(Finding::Machine(_))), "story {place}: {found:?} after {at} ms");
        }
    }

    /// What happens, what is found, and after how many milliseconds at the latest.
    type Story<'a> = (&'a [(u64, Happens)], Option<Finding>, u64);

    #[test]
    fn machines_are_known_by_words_length_or_tone() {
        let stories: &[Story] = &[
            (
                &[(300, Speaks), (2500, Guesses("Hi, you have reached Tom. Please leave a message"))],
                MACHINE_BY_WORDS,
                2500,
            ),
            (
                &[(300, Speaks), (4000, Says("Your call has been forwarded to an automatic voice message system."))],
                BY_LENGTH,
                9300,
            ),
            (&[(300, Speaks), (2600, Says("您好，您拨打的用户暂时"))], MACHINE_BY_WORDS, 2600),
            (&[(300, Speaks), (3000, Says("我现在不方便接听电话，请在嘀声后留言。"))], MACHINE_BY_WORDS, 3000),
            (
                &[(300, Speaks), (2000, Says("You've reached the office of Miller and Sons. Our"))],
                MACHINE_BY_WORDS,
                3800,
            ),
            // The agent is heard under it, as it greets at once.
            (
                &[(200, AgentHeard), (900, Speaks), (3000, Says("Hi, I can't come to the phone right now."))],
                MACHINE_BY_WORDS,
                3000,
            ),
            (&[(300, Speaks), (1500, Stops), (1600, Says("Hi, it's Tom.")), (2600, Tone)], BY_TONE, 2600),
            // The tone comes late, when it looked like a person.
            (&[(300, Speaks), (1500, Stops), (1600, Says("Hi, it's Tom.")), (4000, Tone)], BY_TONE, 4000),
            (&[(5000, Tone)], BY_TONE, 5000),
        ];
        for (place, (story, expected, at)) in stories.iter().enumerate() {
            assert_eq!(judged(story, 29_000), (*expected, *at), "story {place}");
        }
    }
}
