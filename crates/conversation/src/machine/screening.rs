//! A machine that answers: nobody talks to it. The call ends there, or a message is left after its tone.

use super::{Conversation, Greeted, Stage, Stance};
use crate::exchange::Input;
use crate::history::Memory;
use crate::screening::{Finding, Screening};
use crate::timers::Timer;
use crate::vocabulary::AsrEvent;
use crate::words;
use callwright_domain::agent::{OnVoicemail, Switch};
use callwright_domain::call::MachineSign;
use callwright_domain::{CallEvent, HangupCause, Pii};
use std::time::{Duration, Instant};

/// A machine that has been silent for so long records already: its tone was missed, or it has none.
const RECORDS: Duration = Duration::from_secs(3);
/// A machine that still talks after this long is left the message all the same.
const ANNOUNCES: Duration = Duration::from_secs(45);
/// Longest message.
const MESSAGE: Duration = Duration::from_secs(90);

/// Who is at the other end.
#[derive(Debug, Default)]
pub(super) enum Answerer {
    /// Nobody asks.
    #[default]
    Unasked,
    /// It is being found out, or has been found out to be a person.
    Screened(Box<Screening>),
    /// A machine that still announces something: the message is left at the latest then.
    Announces(Instant),
    /// A machine that has been left a message.
    Left,
}

impl Conversation {
    /// Whether a machine has answered: then nobody is talked to and nothing is answered.
    pub(super) const fn is_with_machine(&self) -> bool {
        matches!(self.far_end.answerer, Answerer::Announces(_) | Answerer::Left)
    }

    /// Whether anything that comes in is looked at for signs of a machine.
    pub(super) const fn is_screening(&self) -> bool {
        matches!(self.far_end.answerer, Answerer::Screened(_) | Answerer::Announces(_))
    }

    /// Whether tones are worth listening for: see [`Input::Tone`].
    pub fn wants_tones(&self) -> bool {
        match &self.far_end.answerer {
            Answerer::Screened(screening) => screening.wants_tones(),
            Answerer::Announces(_) => true,
            Answerer::Unasked | Answerer::Left => false,
        }
    }

    /// Begins to find out who answers, when the agent is to know.
    pub(super) fn begin_screening(&mut self, now: Instant) {
        if self.agent.voicemail.detect.is_on() {
            self.far_end.answerer = Answerer::Screened(Box::new(Screening::new(now)));
        }
    }

    /// Looks at what comes in for signs of a machine.
    pub(super) fn screen(&mut self, now: Instant, input: &Input) {
        let agent_heard = self.greeted != Greeted::NotYet;
        match &mut self.far_end.answerer {
            Answerer::Unasked | Answerer::Left => {}
            Answerer::Announces(latest) => {
                let latest = *latest;
                self.listen_to_machine(now, input, latest);
            }
            Answerer::Screened(screening) => {
                if let Input::SpeechStarted { speech } = input {
                    screening.speech_started(now.checked_sub(*speech).unwrap_or(now), agent_heard);
                } else if let Input::SpeechStopped { silence } = input {
                    screening.speech_stopped(now.checked_sub(*silence).unwrap_or(now));
                } else if let Input::Heard(AsrEvent::Partial { text }) = input {
                    screening.heard(text, Switch::Off);
                } else if let Input::Heard(AsrEvent::Final { text, .. }) = input {
                    screening.heard(text, Switch::On);
                } else if *input != Input::Tone {
                    return;
                }
                let found = if *input == Input::Tone { screening.tone(now) } else { screening.finding(now) };
                self.found(now, found);
            }
        }
    }

    /// Time alone may tell.
    pub(super) fn screen_again(&mut self, now: Instant) {
        if let Answerer::Screened(screening) = &mut self.far_end.answerer {
            let found = screening.finding(now);
            self.found(now, found);
        }
    }

    /// When to look again.
    pub(super) fn screening_due(&self) -> Option<Instant> {
        match &self.far_end.answerer {
            Answerer::Screened(screening) => screening.due(),
            Answerer::Unasked | Answerer::Announces(_) | Answerer::Left => None,
        }
    }

    fn found(&mut self, now: Instant, found: Option<Finding>) {
        match found {
            Some(Finding::Machine(sign)) => self.meet_machine(now, sign),
            Some(Finding::Person) | None => {}
        }
    }

    fn meet_machine(&mut self, now: Instant, sign: MachineSign) {
        if self.closing.is_some() {
            return;
        }
        let speaks = self.ears.is_speaking();
        if self.ears.has_words() {
            self.hear_unanswered(now);
        }
        self.ears.reset();
        self.barge_in.speech_stopped();
        self.out.note(CallEvent::MachineDetected { sign });
        if self.agent.voicemail.on_detect == OnVoicemail::HangUp {
            self.hang_up(now, HangupCause::VoicemailReached);
            return;
        }
        self.fall_silent(now);
        let latest = now + ANNOUNCES;
        self.far_end.answerer = Answerer::Announces(latest);
        if sign == MachineSign::Tone {
            self.leave_message(now);
        } else {
            self.out.timers.set(Timer::Machine, if speaks { latest } else { now + RECORDS });
        }
    }

    /// What the agent was saying, thinking or about to say is for nobody.
    fn fall_silent(&mut self, now: Instant) {
        self.stage = Stage::Talking;
        self.out.timers.clear(Timer::Greeting);
        self.drop_speculation();
        if self.stance() != Stance::Quiet {
            self.give_way(now);
        }
        self.interruption = None;
        self.out.timers.clear(Timer::NoWords);
        self.orders.forget();
    }

    fn listen_to_machine(&mut self, now: Instant, input: &Input, latest: Instant) {
        if *input == Input::Tone {
            self.leave_message(now);
        } else if let Input::SpeechStarted { .. } = input {
            self.out.timers.set(Timer::Machine, latest);
        } else if let Input::SpeechStopped { .. } = input {
            self.out.timers.set(Timer::Machine, (now + RECORDS).min(latest));
        } else if let Input::Heard(AsrEvent::Final { text, .. }) = input
            && words::any(text)
        {
            self.out.note(CallEvent::Heard { text: Pii::new(text.clone()), span: None });
        }
    }

    /// Says the message and hangs up.
    pub(super) fn leave_message(&mut self, now: Instant) {
        if !matches!(self.far_end.answerer, Answerer::Announces(_)) {
            return;
        }
        self.out.timers.clear(Timer::Machine);
        self.far_end.answerer = Answerer::Left;
        let message = self.agent.voicemail.message.clone();
        self.say_text(&message, Memory::Keep, Switch::Off);
        self.close_call(now, HangupCause::VoicemailReached);
        self.out.timers.set(Timer::LastWords, now + MESSAGE);
    }
}
