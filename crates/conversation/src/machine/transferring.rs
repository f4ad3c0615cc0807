//! Handing the callee over to somebody else: when everything has been said, with nobody answering meanwhile. When it does
//! not work, the agent says so and goes on.

use super::screening::Answerer;
use super::{Conversation, Stage, Stance, Stopwatch, Turn};
use crate::exchange::Output;
use crate::history::Memory;
use crate::machine::thinking::Purpose;
use crate::timers::Timer;
use crate::words;
use callwright_domain::Transfer;
use callwright_domain::agent::Switch;
use std::time::Instant;

/// How far the handing over is.
#[derive(Debug, Default)]
pub(super) enum Handover {
    #[default]
    None,
    /// As soon as the agent is silent.
    Wanted(Transfer),
    /// It is being tried; what is said when it does not work.
    UnderWay { apology: String },
}

impl Conversation {
    /// Whether the callee is being handed over: the agent neither answers nor reminds.
    pub(super) const fn is_transferring(&self) -> bool {
        !matches!(self.far_end.handover, Handover::None)
    }

    pub(super) fn want_transfer(&mut self, transfer: Transfer) {
        if self.is_transferring() || self.closing.is_some() || self.is_with_machine() {
            return;
        }
        if words::any(&transfer.announcement) {
            self.say_text(&transfer.announcement, Memory::Keep, Switch::Off);
        }
        self.far_end.handover = Handover::Wanted(transfer);
    }

    pub(super) fn order_to_transfer(&mut self, transfer: Transfer) {
        if self.stage == Stage::Talking {
            self.cancel_thought();
            self.interrupt_tools();
            self.want_transfer(transfer);
        }
    }

    /// Everything has been said: now.
    pub(super) fn transfer_when_silent(&mut self) {
        let silent = self.stance() == Stance::Quiet && !self.mouth.is_cutting() && self.closing.is_none();
        if !silent || self.stage != Stage::Talking {
            return;
        }
        match std::mem::take(&mut self.far_end.handover) {
            Handover::Wanted(Transfer { to, apology, .. }) => {
                self.far_end.handover = Handover::UnderWay { apology };
                self.ears.reset();
                self.barge_in.speech_stopped();
                self.out.put(Output::Transfer(to));
            }
            other @ (Handover::None | Handover::UnderWay { .. }) => self.far_end.handover = other,
        }
    }

    /// A person is there in the agent's place. Even a goodbye that was being said is theirs to say.
    pub(super) fn taken_over(&mut self, now: Instant) {
        if self.stage == Stage::Ringing {
            return;
        }
        self.stage = Stage::Talking;
        self.closing = None;
        self.give_way(now);
        self.interruption = None;
        self.orders.forget();
        // Whoever answered is the human's to find out, and a mailbox is left no message any more.
        self.far_end.answerer = Answerer::Unasked;
        for timer in [Timer::Greeting, Timer::Keys, Timer::LastWords, Timer::Machine, Timer::NoWords, Timer::Screening]
        {
            self.out.timers.clear(timer);
        }
        self.ears.reset();
        self.barge_in.speech_stopped();
        self.far_end.handover = Handover::UnderWay { apology: String::new() };
    }

    /// The callee is still here: they are told, by words that are written or by the model, which hears why in any case.
    pub(super) fn transfer_failed(&mut self, now: Instant, why: &str) {
        let apology = match std::mem::take(&mut self.far_end.handover) {
            Handover::UnderWay { apology } => apology,
            other @ (Handover::None | Handover::Wanted(_)) => return self.far_end.handover = other,
        };
        self.note_interaction(now);
        if self.closing.is_some() {
            return;
        }
        if words::any(&apology) {
            self.history.callee(&format!("(The call could not be transferred: {why}.)"));
            self.say_text(&apology, Memory::Keep, Switch::On);
        } else {
            self.history.callee(&format!("(The call could not be transferred: {why}. Say so, and go on.)"));
            self.turn = Turn { watch: Some(Stopwatch::start(now, now, now)), ..Turn::default() };
            self.ask(now, Purpose::Turn);
        }
    }
}
