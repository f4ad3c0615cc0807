//! Anything in any order: no panic, nothing after the end, no spinning, no growth.

use crate::script::{agent_with, setup, zero};
use callwright_conversation::vocabulary::{AsrEvent, EndOfTurn, LlmEvent, ToolCall};
use callwright_conversation::{
    AskId, Conversation, Grace, HeardPhrase, Input, Output, PhraseId, Place, Question, Saying, Sound, ToolRunId,
    VoiceProgress, Words,
};
use callwright_domain::agent::{Greeting, Switch, TurnMode, WeightedText};
use callwright_domain::{AgentProfile, HangupCause};
use std::time::{Duration, Instant};

const STEPS: u32 = 50_000;
const TEXTS: [&str; 8] = [
    "yes",
    "I would like a pizza. ",
    "stop",
    "你好，请问您是谁？",
    "",
    "<b>x</b> 1.5, e.g. this — that. ",
    "word ",
    "\u{0}\u{202e}😀",
];

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn text(&mut self) -> String {
        let text = TEXTS[self.roll(8) as usize];
        if self.roll(200) == 0 { text.repeat(2_000) } else { text.to_owned() }
    }

    fn switch(&mut self) -> Switch {
        (self.roll(2) == 0).into()
    }

    fn order(&mut self) -> Input {
        let words = match self.roll(4) {
            0 => Words::Sound(Sound::new(vec![0; self.roll(3_000) as usize], 100)),
            _ => Words::Text(self.text()),
        };
        let place = [Place::Now, Place::Next, Place::NextUnlessInterrupted, Place::IfSilent][self.roll(4) as usize];
        let (interruptible, alone, remembered) = (self.switch(), self.switch(), self.switch());
        let last = (self.roll(200) == 0).into();
        Input::Say(Saying { words, place, interruptible, alone, remembered, last })
    }

    fn agent(&mut self) -> AgentProfile {
        let text = |text: &str| WeightedText { text: text.into(), weight: 0.5 };
        agent_with(|agent| {
            agent.opening.greeting = match self.roll(3) {
                0 => Greeting::None,
                1 => Greeting::Text("Hello, this is Ann. How are you?".into()),
                _ => Greeting::Model("Greet.".into()),
            };
            agent.opening.delay_ms = self.roll(2) * 700;
            agent.interrupt.by_voice = self.switch();
            agent.interrupt.min_words = self.roll(3) as u32;
            agent.interrupt.words = vec!["stop".into()];
            agent.interrupt.keep_words = self.switch();
            agent.turn.mode = if self.roll(2) == 0 { TurnMode::Semantic } else { TurnMode::Silence };
            agent.turn.join_segments = self.switch();
            agent.filler.after_ms = self.roll(2) * 600;
            agent.filler.texts = vec![text("Well,"), text("Let me see.")];
            agent.backchannel.probability = 0.5;
            agent.backchannel.words = vec![text("mhm")];
            agent.idle.remind_after_ms = self.roll(2) * 4_000;
            agent.idle.reminders = vec![text("Hello?")];
            agent.idle.max_reminders = u32::MAX;
            agent.idle.hang_up_after_ms = [120_000, 600_000][self.roll(2) as usize];
            agent.voice.hold_below_chars = [0, 20, u32::MAX][self.roll(3) as usize];
            agent.voice.hold_at_most_ms = [0, 300, u64::MAX][self.roll(3) as usize];
        })
    }

    fn input(&mut self, names: &Names) -> Input {
        let ask = names.ask.unwrap_or(AskId::OPENING);
        let phrase = PhraseId::from_number(names.phrase.saturating_sub(self.roll(4)));
        match self.roll(100) {
            0..10 => Input::SpeechStarted { speech: Duration::from_millis(self.roll(300)) },
            10..22 => Input::SpeechStopped { silence: Duration::from_millis(self.roll(300)) },
            22..30 => Input::Heard(AsrEvent::Partial { text: self.text() }),
            30..38 => {
                let end_of_turn = [EndOfTurn::Unknown, EndOfTurn::Yes, EndOfTurn::No][self.roll(3) as usize];
                Input::Heard(AsrEvent::Final { text: self.text(), end_of_turn })
            }
            38..54 => Input::Model(ask, LlmEvent::Text(self.text())),
            54..60 => Input::Model(ask, LlmEvent::Done { usage: None }),
            60..63 => {
                let name = ["send_keys", "nothing"][self.roll(2) as usize].to_owned();
                let arguments = ["{\"digits\":\"1\"}", "{", ""][self.roll(3) as usize].to_owned();
                Input::Model(ask, LlmEvent::Tool(ToolCall { id: "c".into(), name, arguments }))
            }
            63..71 => Input::Voiced(phrase, VoiceProgress::FirstSound),
            71..77 => Input::Voiced(phrase, VoiceProgress::Complete),
            77..85 => Input::Played(phrase),
            85 => Input::PlayoutDrained,
            86 => Input::Voiced(phrase, VoiceProgress::Failed),
            87..90 => {
                let total = [None, Some(Duration::from_secs(2)), Some(Duration::ZERO)][self.roll(3) as usize];
                Input::Flushed(vec![HeardPhrase { phrase, sent: Duration::from_millis(self.roll(4_000)), total }])
            }
            90 => match names.run {
                Some(id) => Input::ToolFinished { id, result: self.text() },
                None => Input::Clock,
            },
            91 => Input::Key(['1', '#', 'x', 'd'][self.roll(4) as usize]),
            92 => self.order(),
            93 => Input::UserText(Question { interrupts: self.switch(), ..self.text().into() }),
            94 => Input::Interrupt,
            95 => Input::HoldStarted,
            96 => Input::HoldEnded,
            97 => Input::Answered,
            98 => Input::Say(Saying::next(self.text())),
            _ => Input::Clock,
        }
    }
}

#[derive(Default)]
struct Names {
    ask: Option<AskId>,
    phrase: u64,
    run: Option<ToolRunId>,
}

/// Drains the outputs; returns whether the call was ended.
fn drain(conversation: &mut Conversation, names: &mut Names) -> bool {
    let mut over = false;
    for count in 0.. {
        assert!(count < 500, "an endless answer");
        let Some(output) = conversation.poll() else { return over };
        assert!(!over, "{output:?} after the end");
        match output {
            Output::Ask(ask) => {
                let told: usize = ask.messages.iter().map(|message| message.content.len()).sum();
                assert!(told < 300_000, "{told} bytes of history");
                names.ask = Some(ask.id);
            }
            Output::Say(phrase) => {
                assert_eq!(phrase.text.trim().is_empty(), phrase.sound.is_some(), "{phrase:?}");
                assert!(phrase.text.len() <= 2_000, "{phrase:?}");
                names.phrase = phrase.id.number();
            }
            Output::RunTool { id, .. } => names.run = Some(id),
            Output::Transfer(_) => {}
            Output::HangUp(_) => over = true,
            Output::CancelAsk(_) | Output::Flush | Output::Backchannel(_) | Output::Note(_) => {}
        }
    }
    over
}

/// Lets the timers ring up to a moment; each time the clock moves on.
fn ring(conversation: &mut Conversation, names: &mut Names, until: Instant) -> bool {
    for _ in 0..200_000 {
        let Some(due) = conversation.timeout().filter(|due| *due <= until) else { return false };
        conversation.handle(due, Input::Clock);
        if drain(conversation, names) {
            return true;
        }
        assert!(conversation.timeout().is_none_or(|next| next > due), "a timer that never stops ringing");
    }
    panic!("the machine spins");
}

/// Stops the call, or leaves it to itself: then nobody speaks, and it has to notice.
fn end(dice: &mut Dice, conversation: &mut Conversation, names: &mut Names, now: Instant) -> bool {
    let cause = HangupCause::ApiHungUp;
    let (input, within) = match dice.roll(3) {
        0 => (Input::Stop { cause, grace: Grace::Now }, Duration::ZERO),
        1 => (Input::Stop { cause, grace: Grace::FinishUtterance }, Duration::from_secs(10)),
        _ => (Input::HoldEnded, Duration::from_secs(3600)),
    };
    conversation.handle(now, input);
    drain(conversation, names) || ring(conversation, names, now + within)
}

#[test]
fn anything_in_any_order() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut steps, mut ends, mut said) = (0, 0, 0);
    while steps < STEPS {
        let mut conversation = Conversation::new(setup(dice.agent())).expect("templates");
        let (mut names, mut now) = (Names::default(), zero());
        let mut over = false;
        conversation.handle(now, Input::Answered);
        drain(&mut conversation, &mut names);
        for _ in 0..5_000 {
            steps += 1;
            now += Duration::from_millis(dice.roll(400));
            over = ring(&mut conversation, &mut names, now);
            if over {
                break;
            }
            conversation.handle(now, dice.input(&names));
            over = drain(&mut conversation, &mut names);
            if over {
                break;
            }
        }
        said += names.phrase;
        if !over {
            over = end(&mut dice, &mut conversation, &mut names, now);
        }
        assert!(over, "the call does not end: {conversation:?}");
        ends += 1;
        for _ in 0..20 {
            conversation.handle(now, dice.input(&names));
            assert_eq!((conversation.poll(), conversation.timeout()), (None, None), "life after the end");
        }
    }
    assert!(ends >= 10 && said > 1_000, "{ends} calls, {said} phrases: the dice are loaded");
}
