//! The part of a call in which two people talk: the loop over everything that can happen, from the answer to the end.
//! Decides nothing about who speaks when: it carries stimuli to the conversation and the conversation's orders to ears,
//! brain, voice and leg.

use super::brain::{Brain, BrainReport};
use super::dialing::Line;
use super::ears::{Ears, EarsReport};
use super::ending::Ending;
use super::greeting::Greeting;
use super::parley::{CutBy, Shown};
use super::returning::Away;
use super::takeover::{self, Takeover};
use super::transfer::{self, Transfer};
use super::voice::{self, Source, Voice, VoiceReport};
use super::{LiveCall, Order, Stimulus, asked};
use crate::calls::HangUp;
use crate::clock::instant;
use crate::goodbyes::{self, Farewells};
use crate::registry::Ordered;
use callwright_conversation::vocabulary::AsrEvent;
use callwright_conversation::{
    Conversation, Grace, HeardPhrase, Input, Output, PhraseId, TOOL_DONE, ToolAction, ToolRunId, Unheard, VoiceProgress,
};
use callwright_domain::{CallEvent, HangupCause, Pii};
use callwright_media::Heard;
use callwright_media::dtmf::Digit;
use callwright_media::leg::Hold;
use callwright_media::pcm::{BeepDetector, DualTone};
use callwright_net::{CallEvent as SipEvent, LegHandle, LegReport};
use callwright_providers::ErrorKind;
use callwright_providers::asr::AsrInput;
use callwright_store::{Denial, Listed};
use std::time::{Duration, Instant};
use tokio::time::{sleep_until, timeout};
use tracing::{debug, warn};

/// How long the goodbye of a server that goes down may take.
const SHUTDOWN_GRACE: Grace = Grace::FinishUtterance;

/// Time for the last packets of an apology to be heard.
const APOLOGY_TAIL: Duration = Duration::from_millis(150);
/// Length of the tone that tells that a machine speaks, in milliseconds.
const TONE_MS: usize = 200;
/// Its two waves, in hertz: no key's tone and no network's.
const TONE_HZ: (f32, f32) = (660.0, 880.0);

/// Two people connected.
pub(super) struct Talk<'a> {
    pub(super) call: &'a mut LiveCall,
    pub(super) line: Box<Line>,
    pub(super) conversation: Conversation,
    pub(super) ears: Ears,
    pub(super) brain: Brain,
    pub(super) voice: Voice,
    /// The first phrase, until something is said.
    greeting: Option<Greeting>,
    /// Whether the voice works.
    spoken: Spoken,
    /// How long the callee has waited for the agent's first sound.
    waited: Waited,
    /// Listens for an answering machine's tone, while that is of use.
    beeps: Option<BeepDetector>,
    /// The callee is being handed over.
    pub(super) transfer: Option<Transfer>,
    /// A human agent who takes the call over.
    pub(super) takeover: Takeover,
    /// The user of a browser is not there.
    pub(super) away: Option<Away>,
    /// Others whom the server has called itself for the callee.
    pub(super) transfers: u32,
    /// The longest the conversation may last.
    until: Instant,
    /// Set once the end is decided.
    ending: Option<Ending>,
    /// The far end is gone: no BYE is owed.
    far_end: FarEnd,
}

/// What became of the last phrase that was given to the voice.
#[derive(PartialEq)]
enum Spoken {
    /// It sounded, or nothing was said yet.
    Sounded,
    /// The voice failed at it.
    Failed,
}

/// The callee's wait for the agent's first sound: what makes an answered call an abandoned one (16 CFR 310.4(b)(1)(iv)).
enum Waited {
    /// It waits, in silence since then.
    Since(Instant),
    /// It speaks.
    NotYet,
    /// The agent was heard.
    Over,
}

/// Whether the far end still has to be told of the end.
#[derive(PartialEq)]
enum FarEnd {
    Connected,
    Gone,
}

impl LiveCall {
    /// Talks until somebody ends it.
    pub(super) async fn talk(&mut self, mut line: Box<Line>) -> Ending {
        let Some(conversation) = line.conversation.take() else { return Ending::of(HangupCause::InternalError) };
        let Some(ears) = line.ears.take() else { return Ending::of(HangupCause::InternalError) };
        let Some(brain) = line.brain.take() else { return Ending::of(HangupCause::InternalError) };
        let voice = Voice::new(line.voice(), self.node.tasks.clone());
        let until = instant() + self.plan.talks_at_most();
        let tape = line.tape.take();
        let greeting = line.greeting.take();
        if self.plan.agent.opening.tone.is_on() {
            announce(&line.leg).await;
        }
        let mut talk = Talk {
            call: self,
            line,
            conversation,
            ears,
            brain,
            voice,
            greeting,
            spoken: Spoken::Sounded,
            waited: Waited::Since(instant()),
            beeps: None,
            transfer: None,
            takeover: Takeover::default(),
            away: None,
            transfers: 0,
            until,
            ending: None,
            far_end: FarEnd::Connected,
        };
        talk.run().await.with_tape(tape)
    }
}

/// Tells the callee by a short tone that a machine speaks.
async fn announce(leg: &LegHandle) {
    let rate = leg.rate();
    let mut tone = vec![0; rate.hertz() as usize / 1000 * TONE_MS];
    DualTone::new(rate, TONE_HZ.0, TONE_HZ.1).fill(&mut tone);
    if leg.play(tone).await.is_err() {
        debug!("the tone came too late");
    }
}

impl Talk<'_> {
    async fn run(&mut self) -> Ending {
        self.tell(Input::Answered).await;
        if self.call.plan.agent.ambient.volume > 0 {
            self.surround().await;
        }
        while self.ending.is_none() {
            let stimulus = self.next().await;
            self.digest(stimulus).await;
        }
        self.call.hear_no_more();
        let ending = self.ending.take().unwrap_or(Ending::of(HangupCause::InternalError));
        if ending.cause == HangupCause::ProviderFailed && self.spoken == Spoken::Failed {
            self.apologise().await;
        }
        self.hang_up(ending.cause).await;
        ending
    }

    /// Puts the agent where it is to be heard sitting, or nowhere. A call without that is better than none.
    pub(super) async fn surround(&mut self) {
        let ambient = &self.call.plan.agent.ambient;
        let volume = u8::try_from(ambient.volume.min(100)).unwrap_or(100);
        let place = self.call.node.sounds.place(&ambient.sound).filter(|_| volume > 0);
        if let Err(gone) = self.line.leg.ambient(place, volume).await {
            debug!(%gone, "no ambient sound");
        }
    }

    /// Plays the recorded apology: the voice could not say one.
    async fn apologise(&mut self) {
        self.voice.silence();
        let apology = self.call.node.sounds.apology(&self.call.plan.agent.language);
        let rate = u64::from(self.line.leg.rate().hertz()).max(1);
        let length = Duration::from_millis(u64::try_from(apology.len()).unwrap_or(0) * 1000 / rate);
        if let Err(error) = self.line.leg.play(apology.to_vec()).await {
            debug!(%error, "no apology");
            return;
        }
        let far_end = async {
            loop {
                tokio::select! {
                    biased;
                    event = self.line.way.next() => match event {
                        Some(SipEvent::Ended(_)) | None => return,
                        Some(event) => self.line.renegotiate(event).await,
                    },
                    report = self.line.reports.recv() => if report.is_none() { return },
                }
            }
        };
        if timeout(length + APOLOGY_TAIL, far_end).await.is_ok() {
            self.far_end = FarEnd::Gone;
        }
    }

    /// The next thing that happens. Orders and signalling come first: a hang-up must not wait behind audio.
    async fn next(&mut self) -> Stimulus {
        let transfer = self.transfer.as_ref().and_then(Transfer::until);
        let away = self.away.as_ref().map(Away::until);
        let others = transfer.into_iter().chain(self.takeover.until()).chain(away);
        let wake = self.conversation.timeout().into_iter().chain(others).fold(self.until, Instant::min);
        tokio::select! {
            biased;
            ordered = self.call.orders.recv() => Stimulus::Order(ordered),
            event = self.line.way.next() => Stimulus::Sip(event),
            report = self.line.reports.recv() => Stimulus::Leg(report),
            news = transfer::news(&mut self.transfer) => Stimulus::Second(news),
            report = takeover::report(&mut self.takeover) => Stimulus::Human(report),
            report = self.ears.next() => Stimulus::Ears(report),
            report = self.brain.next() => Stimulus::Brain(report),
            report = self.voice.next() => Stimulus::Voice(report),
            () = sleep_until(wake.into()) => Stimulus::Clock,
        }
    }

    async fn digest(&mut self, stimulus: Stimulus) {
        match stimulus {
            Stimulus::Leg(report) => self.on_leg(report).await,
            // What is rare is not part of what every stimulus needs room for.
            Stimulus::Second(news) => Box::pin(self.on_news(news)).await,
            Stimulus::Human(report) => Box::pin(self.on_human(report)).await,
            Stimulus::Sip(event) => self.on_sip(event).await,
            // The agent neither hears nor speaks any more: what becomes of its streams is no trouble of the call.
            Stimulus::Ears(_) | Stimulus::Brain(_) | Stimulus::Voice(_) if self.is_joined() => {}
            Stimulus::Ears(report) => self.on_ears(report).await,
            Stimulus::Brain(report) => self.on_brain(report).await,
            Stimulus::Voice(report) => self.on_voice(report).await,
            Stimulus::Order(ordered) => Box::pin(self.on_ordered(ordered)).await,
            Stimulus::Clock => {
                if instant() >= self.until {
                    self.end(Ending::of(HangupCause::MaxDuration));
                } else if self.transfer.as_ref().and_then(Transfer::until).is_some_and(|until| until <= instant()) {
                    self.transfer_failed("nobody answered in time").await;
                } else if self.takeover.until().is_some_and(|until| until <= instant()) {
                    self.human_left();
                } else if self.away.as_ref().is_some_and(|away| away.until() <= instant()) {
                    self.give_user_up();
                } else {
                    self.tell(Input::Clock).await;
                }
            }
        }
    }

    async fn on_leg(&mut self, report: Option<LegReport>) {
        let Some(report) = report else { return self.end(Ending::of(HangupCause::MediaFailed)) };
        let Some(report) = self.pass_on(report).await else { return };
        let now = instant();
        match report {
            LegReport::Audio(chunk) => {
                if self.conversation.wants_tones() {
                    let beeps = self.beeps.get_or_insert_with(|| BeepDetector::new(chunk.rate()));
                    if beeps.hear(&chunk).is_some() {
                        self.tell(Input::Tone).await;
                    }
                }
                self.ears.hear(AsrInput::Audio(chunk.to_vec()));
            }
            LegReport::SpeechStarted { at } => {
                if matches!(self.waited, Waited::Since(_)) {
                    self.waited = Waited::NotYet;
                }
                self.ears.hear(AsrInput::SpeechStarted);
                self.tell(Input::SpeechStarted { speech: now.saturating_duration_since(at) }).await;
            }
            LegReport::SpeechStopped { at, .. } => {
                if matches!(self.waited, Waited::NotYet) {
                    self.waited = Waited::Since(at);
                }
                self.ears.hear(AsrInput::SpeechStopped);
                self.tell(Input::SpeechStopped { silence: now.saturating_duration_since(at) }).await;
            }
            LegReport::Dtmf { digit, .. } => self.pressed(digit.as_char()).await,
            LegReport::Mark { id, .. } => self.tell(Input::Played(PhraseId::from_number(id.0))).await,
            LegReport::Drained { .. } => self.tell(Input::PlayoutDrained).await,
            LegReport::Hold(Hold::Held) => self.tell(Input::HoldStarted).await,
            LegReport::Hold(Hold::Resumed) => self.tell(Input::HoldEnded).await,
            LegReport::NoMedia => self.trouble("media", "no audio has come from the far end").await,
            LegReport::Lost => Box::pin(self.vanished(HangupCause::MediaTimeout)).await,
            LegReport::Closed => Box::pin(self.vanished(HangupCause::CalleeHungUp)).await,
            LegReport::Up { .. } | LegReport::DtmfSent | LegReport::Goodbye => {}
            LegReport::Message(text) => self.on_message(&text).await,
            LegReport::Connected { .. } => Box::pin(self.user_is_back()).await,
        }
    }

    async fn on_sip(&mut self, event: Option<SipEvent>) {
        match event {
            Some(SipEvent::Ended(ending)) => {
                self.far_end = FarEnd::Gone;
                let taken = self.transfer.as_ref().is_some_and(Transfer::is_taken_by_goodbye);
                self.end(if taken { Ending::of(HangupCause::Transferred) } else { Ending::of_sip(&ending) });
            }
            Some(SipEvent::ReferAnswered { status }) => self.transfer_answered(status).await,
            Some(SipEvent::ReferProgress { status, last }) => self.transfer_gets_on(status, last).await,
            None => {
                self.far_end = FarEnd::Gone;
                self.end(Ending::of(HangupCause::TrunkFailed));
            }
            Some(SipEvent::Dtmf { digit, .. }) => self.pressed(digit).await,
            Some(event) => self.line.renegotiate(event).await,
        }
    }

    async fn on_ears(&mut self, report: EarsReport) {
        match report {
            EarsReport::Words(words) => {
                if let AsrEvent::Partial { text } = &words {
                    self.show(Shown::UserSays(Pii::new(text.clone()))).await;
                }
                self.tell(Input::Heard(words)).await;
            }
            EarsReport::Restarted(error) => self.trouble("ears", &error.to_string()).await,
            EarsReport::Deaf(error) => {
                self.trouble("ears", &error.to_string()).await;
                self.tell(Input::EarsLost).await;
            }
        }
    }

    async fn on_brain(&mut self, report: BrainReport) {
        match report {
            BrainReport::Event(id, event) => self.tell(Input::Model(id, event)).await,
            BrainReport::Failed(id, error) => {
                self.trouble("brain", &error.to_string()).await;
                self.tell(Input::ModelFailed(id)).await;
            }
        }
    }

    async fn on_voice(&mut self, report: VoiceReport) {
        self.spoken = if matches!(report, VoiceReport::Failed(..)) { Spoken::Failed } else { Spoken::Sounded };
        match report {
            VoiceReport::FirstSound(phrase) => {
                self.note_first_sound().await;
                self.tell(Input::Voiced(phrase, VoiceProgress::FirstSound)).await;
            }
            VoiceReport::Complete(phrase) => self.tell(Input::Voiced(phrase, VoiceProgress::Complete)).await,
            VoiceReport::Failed(phrase, error) => {
                self.trouble("voice", &error.to_string()).await;
                let refused = error.kind == ErrorKind::Rejected;
                let progress = if refused { VoiceProgress::Refused } else { VoiceProgress::Failed };
                self.tell(Input::Voiced(phrase, progress)).await;
            }
        }
    }

    /// Writes down how long the callee waited for the agent's first sound.
    async fn note_first_sound(&mut self) {
        let silence = match std::mem::replace(&mut self.waited, Waited::Over) {
            Waited::Over => return,
            Waited::NotYet => Duration::ZERO,
            Waited::Since(since) => instant().saturating_duration_since(since),
        };
        let silence_ms = u32::try_from(silence.as_millis()).unwrap_or(u32::MAX);
        self.call.note(CallEvent::Spoke { silence_ms }).await;
    }

    async fn on_ordered(&mut self, ordered: Option<Ordered>) {
        let Some(ordered) = ordered else { return self.on_order(Order::Shutdown).await };
        let verdict = self.verdict(&ordered.order);
        match ordered.settle(verdict) {
            Some(order) => self.on_order(order).await,
            None => debug!(?verdict, "an order is not carried out"),
        }
    }

    /// Whether an order would be heard of.
    fn verdict(&self, order: &Order) -> Result<(), Unheard> {
        let joined = || if self.is_joined() { Err(Unheard::HandedOver) } else { Ok(()) };
        match order {
            Order::Say(saying) => joined().and_then(|()| self.conversation.may_say(saying)),
            Order::Hear(question) => joined().and_then(|()| self.conversation.may_answer(question)),
            Order::Transfer(_) => joined().and_then(|()| self.conversation.may_transfer()),
            Order::Change(_) => self.conversation.may_change(),
            // Not judged: see `Order::is_judged`.
            Order::HangUp(_)
            | Order::Message { .. }
            | Order::Leave { .. }
            | Order::Await { .. }
            | Order::TakeOver(_)
            | Order::Return(_)
            | Order::Shutdown => Ok(()),
        }
    }

    async fn on_order(&mut self, order: Order) {
        match order {
            Order::HangUp(HangUp::Now) => self.end(Ending::of(asked(true))),
            Order::HangUp(HangUp::AfterSentence) => {
                self.tell(Input::Stop { cause: asked(true), grace: Grace::FinishUtterance }).await;
            }
            Order::Say(saying) => self.tell_cutting(Input::Say(saying), CutBy::Speech).await,
            Order::Message { text } => self.show(Shown::Message(Pii::new(text))).await,
            Order::Leave { user } => self.leave_as(user),
            Order::Await { user } => self.takeover.wait_for(user),
            Order::TakeOver(arrival) => self.human_comes(*arrival).await,
            Order::Return(homecoming) => self.user_returns(*homecoming).await,
            Order::Transfer(transfer) => self.tell(Input::TransferTo(transfer)).await,
            Order::Change(patch) => self.change(*patch).await,
            Order::Hear(question) => self.tell_cutting(Input::UserText(question), CutBy::Text).await,
            Order::Shutdown => {
                self.tell(Input::Stop { cause: HangupCause::ServerShutdown, grace: SHUTDOWN_GRACE }).await;
            }
        }
    }

    async fn pressed(&mut self, key: char) {
        self.tell(Input::Key(key)).await;
    }

    async fn trouble(&mut self, part: &str, detail: &str) {
        warn!(part, detail, "trouble");
        self.show(Shown::Trouble(part.to_owned())).await;
        self.call.note(CallEvent::Trouble { part: part.to_owned(), detail: detail.to_owned() }).await;
    }

    /// Tells the conversation what happened and carries out what it wants, until it wants nothing more.
    pub(super) async fn tell(&mut self, input: Input) {
        self.conversation.handle(instant(), input);
        while let Some(output) = self.conversation.poll() {
            self.carry_out(output).await;
        }
        self.show_bearing().await;
    }

    async fn carry_out(&mut self, output: Output) {
        match output {
            Output::Ask(ask) => self.brain.ask(ask),
            Output::CancelAsk(id) => self.brain.cancel(id),
            Output::Say(phrase) => {
                self.show(Shown::AgentBegins(Pii::new(phrase.text.clone()))).await;
                let made = match &phrase.sound {
                    Some(sound) => Some(voice::sounding(sound, self.line.leg.rate())),
                    None => self.greeting.take().and_then(|greeting| greeting.of(&phrase.text)),
                };
                let of = if phrase.sound.is_some() { Source::Recording } else { Source::Voice };
                let spoken = self.voice.say(voice::Phrase { id: Some(phrase.id), text: phrase.text, made, of });
                if let Err(VoiceReport::Failed(id, error)) = spoken {
                    warn!(%error, "a phrase was not spoken");
                    self.conversation.handle(instant(), Input::Voiced(id, VoiceProgress::Failed));
                }
            }
            Output::Flush => self.flush().await,
            Output::Backchannel(text) => self.voice.murmur(text),
            Output::RunTool { id, action } => Box::pin(self.run_tool(id, action)).await,
            Output::Transfer(to) => Box::pin(self.transfer(to)).await,
            Output::Note(event) => {
                self.show_event(&event).await;
                self.call.note(event).await;
            }
            Output::HangUp(cause) => self.end(Ending::of(cause)),
        }
    }

    /// Silences the agent: the voice first, so that nothing more reaches the queue that is flushed after it.
    async fn flush(&mut self) {
        let speaking = self.voice.silence();
        let heard = match self.line.leg.flush().await {
            Ok(heard) => heard,
            Err(gone) => {
                debug!(%gone, "nothing to flush");
                Heard::default()
            }
        };
        let phrases = heard.cut.iter().filter_map(|stretch| {
            // Audio behind the last mark is of the phrase that was still being synthesised.
            let phrase = stretch.mark.map(|mark| PhraseId::from_number(mark.0)).or(speaking)?;
            Some(HeardPhrase { phrase, sent: stretch.sent, total: stretch.mark.map(|_| stretch.total) })
        });
        let phrases = phrases.collect();
        self.conversation.handle(instant(), Input::Flushed(phrases));
    }

    async fn run_tool(&mut self, id: ToolRunId, action: ToolAction) {
        let result = match action {
            ToolAction::DoNotCall => self.deny_callee().await,
            ToolAction::ChangeAgent { agent } => self.change_agent(&agent).await,
            ToolAction::SendKeys { digits } => {
                let keys: Vec<Digit> = digits.chars().filter_map(Digit::from_char).collect();
                match self.line.leg.send_dtmf(keys).await {
                    Ok(_) => String::from("pressed"),
                    Err(gone) => gone.to_string(),
                }
            }
        };
        self.conversation.handle(instant(), Input::ToolFinished { id, result });
    }

    /// Puts the callee on the account's do-not-call list; on disk when this returns. Whom it is about is the call's plan, and
    /// nothing that the model says.
    async fn deny_callee(&mut self) -> String {
        let (node, plan) = (&self.call.node, &self.call.plan);
        let Some(callee) = plan.callee() else {
            return String::from("nobody was called: there is no number to put on the list");
        };
        let denial = Denial { number: callee.clone(), reason: format!("asked in call {}", plan.id) };
        let denied = node.store.deny(Listed::Of(plan.account.clone()), vec![denial], node.clock.now()).await;
        match denied {
            Ok(_) => String::from(TOOL_DONE),
            Err(error) => {
                self.trouble("do_not_call", &error.to_string()).await;
                String::from("the list could not be written; say so, and try once more")
            }
        }
    }

    /// The first end stands.
    pub(super) fn end(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
    }

    /// The user of a browser has gone.
    pub(super) fn leave(&mut self) {
        self.far_end = FarEnd::Gone;
        self.end(Ending::of(HangupCause::CalleeHungUp));
    }

    /// Tells the far end and lets go of the audio path. What the agent was saying is written down as far as it was heard.
    async fn hang_up(&mut self, cause: HangupCause) {
        self.tell(Input::Stop { cause: HangupCause::CalleeHungUp, grace: Grace::Now }).await;
        let mut farewells = Farewells::default();
        if self.far_end == FarEnd::Connected {
            self.show(Shown::Leaving(cause)).await;
            if let Err(gone) = self.line.way.say_goodbye().await {
                debug!(%gone, "no goodbye could be said");
            }
            farewells.own = self.line.farewell().await;
        }
        farewells.other = self.transfer.take().and_then(Transfer::farewell);
        goodbyes::settle(&self.call.node, (&self.call.plan.account, self.call.plan.id), farewells).await;
        let dropped = self.ears.dropped();
        if dropped > 0 {
            warn!(dropped, "the recogniser was too slow for some audio");
        }
        self.line.leg.close();
    }
}
