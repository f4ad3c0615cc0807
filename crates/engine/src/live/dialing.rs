//! The part of a call before anybody talks: trunk, leg and offer, the intent written down, the INVITE, ringing, the
//! answer. What will be needed after the answer is made ready while the telephone rings.

use super::brain::Brain;
use super::ears::Ears;
use super::ending::{Ending, Tape};
use super::greeting::Greeting;
use super::parley::Parley;
use super::voice::VoiceLine;
use super::{LiveCall, Order, asked, taping, thread};
use crate::clock::instant;
use crate::failpoint::Failpoint;
use crate::goodbyes::{self, Farewells};
use crate::limits::{ANSWER_STORED, BYE_GRACE, CLAIM_EVERY, NEXT_TRUNK_WAIT};
use crate::node::Node;
use crate::registry::Ordered;
use crate::trunks::{Passage, Pick, Reachable, TrunkError};
use callwright_conversation::{Conversation, Setup, TemplateError};
use callwright_domain::agent::{HistoryLine, Recording};
use callwright_domain::call::IllegalEvent;
use callwright_domain::{
    AgentPatch, CallEvent, CallPlan, CallState, DialIntent, HangupCause, PhoneNumber, Telephone, TransferTarget,
    TrunkId,
};
use callwright_media::sdp::{Direction, LocalMedia, Negotiation, SdpError};
use callwright_media::speech::Detection;
use callwright_net::{
    Acknowledgement, CallEvent as SipEvent, Farewell, LegHandle, LegReport, OpenError, OpenLeg, RecordingStop, SipCall,
    SipGone,
};
use callwright_providers::asr::{Asr, AsrParams};
use callwright_sip::message::{TextError, UriError};
use callwright_sip::{
    AckTiming, Body, DialogSnapshot, Failure, Host, InviteError, NameAddr, OfferKey, OutboundInvite, Reliability,
    SipUri, Uri,
};
use callwright_store::{BlobName, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{debug, info, warn};

/// Session interval asked for, in seconds (RFC 4028). Far below what trunks usually demand at least, so that a trunk that
/// wants longer intervals says so once (422) and gets its own; a far end that vanished is noticed within minutes.
const SESSION_EXPIRES: u32 = 600;

/// What came of dialling.
pub(super) enum Dialed {
    /// Somebody answered.
    Answered(Box<Line>),
    /// Nobody will.
    Over(Ending),
}

/// The signalling and the audio path of a call, and what talks over them.
pub(super) struct Line {
    /// Signalling.
    pub(super) way: Signalling,
    /// Audio.
    pub(super) leg: LegHandle,
    /// What happens on the audio path.
    pub(super) reports: mpsc::Receiver<LegReport>,
    /// Made ready while it rang; taken by the talk.
    pub(super) conversation: Option<Conversation>,
    /// Made ready while it rang; taken by the talk.
    pub(super) ears: Option<Ears>,
    /// Made ready while it rang; taken by the talk.
    pub(super) brain: Option<Brain>,
    /// The agent's first phrase, made while it rings; taken by the talk.
    pub(super) greeting: Option<Greeting>,
    /// The recording that runs since the answer; taken by the talk.
    pub(super) tape: Option<Tape>,
    pub(super) voice: VoiceLine,
}

/// How the far end is reached beside the audio.
pub(super) enum Signalling {
    /// A telephone: the dialog, and what was agreed on.
    Sip(Box<Dialog>),
    /// A browser: what it is shown and what it wishes.
    Browser(Parley),
}

/// A dialog and its session.
pub(super) struct Dialog {
    pub(super) sip: SipCall,
    /// What it goes through.
    pub(super) trunk: TrunkId,
    /// The same, as it was found.
    pub(super) reachable: Reachable,
    pub(super) negotiation: Negotiation,
}

impl Signalling {
    /// What happens in the dialog; a browser has none, and its leg reports all.
    pub(super) async fn next(&mut self) -> Option<SipEvent> {
        match self {
            Self::Sip(dialog) => dialog.sip.next().await,
            Self::Browser(_) => std::future::pending().await,
        }
    }

    /// Ends the dialog. A browser sees the end of its audio path.
    pub(super) async fn say_goodbye(&self) -> Result<(), SipGone> {
        match self {
            Self::Sip(dialog) => dialog.sip.say_goodbye().await,
            Self::Browser(_) => Ok(()),
        }
    }

    /// What a browser is shown and wishes.
    pub(super) fn parley(&mut self) -> Option<&mut Parley> {
        match self {
            Self::Sip(_) => None,
            Self::Browser(parley) => Some(parley),
        }
    }

    fn dialog(&mut self) -> Option<&mut Dialog> {
        match self {
            Self::Sip(dialog) => Some(dialog),
            Self::Browser(_) => None,
        }
    }
}

/// Why a call could not be dialled or not go on after the answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Trunk(#[from] TrunkError),
    #[error(transparent)]
    Leg(#[from] OpenError),
    #[error("the session description: {0}")]
    Sdp(#[from] SdpError),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Vendor(#[from] callwright_providers::catalogue::CatalogueError),
    #[error("the trunk has no line free")]
    NoLine,
    #[error("every {0} that the agent may use rests after failures")]
    Down(&'static str),
    #[error("an address cannot be written: {0}")]
    Address(#[from] UriError),
    #[error("an address cannot be written: {0}")]
    Text(#[from] TextError),
    #[error(transparent)]
    Invite(#[from] InviteError),
    #[error(transparent)]
    Sip(#[from] SipGone),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Trouble {
    /// The cause that the call ends with.
    pub(super) const fn cause(&self) -> HangupCause {
        match self {
            Self::Trunk(_) | Self::Invite(_) | Self::Sip(_) | Self::NoLine => HangupCause::TrunkFailed,
            Self::Leg(_) | Self::Sdp(_) => HangupCause::MediaFailed,
            Self::Vendor(_) | Self::Down(_) => HangupCause::ProviderFailed,
            // It was ended meanwhile, before it could be dialled.
            Self::Store(StoreError::Illegal(IllegalEvent { state: CallState::Ended(cause), .. })) => *cause,
            Self::Template(_) | Self::Address(_) | Self::Text(_) | Self::Store(_) => HangupCause::InternalError,
        }
    }
}

/// Whom to dial, and the way that is open for it; its channel is held as long as this lives.
pub(super) struct Approach {
    telephone: Telephone,
    passage: Passage,
}

impl Approach {
    /// The way of a call that is dialled; none: it is met.
    pub(super) fn of(plan: &CallPlan, passage: Passage) -> Option<Self> {
        plan.telephone().map(|telephone| Self { telephone: telephone.clone(), passage })
    }
}

/// What came of one attempt.
enum Tried {
    /// Somebody answered.
    Answered(Box<Line>),
    /// Nobody will.
    Over(Ending),
    /// The trunk failed before anybody can have been rung: another may be tried (BARS R55).
    TrunkFailed(Ending),
}

impl LiveCall {
    /// Dials through one trunk after the other, as far as the failures allow, and waits for the answer or the end.
    pub(super) async fn dial(&mut self, way: &mut Approach) -> Result<Dialed, Trouble> {
        let mut left = way.telephone.trunks();
        let (mut attempt, mut told) = (0, 0);
        loop {
            left.retain(|trunk| trunk != way.passage.trunk());
            let tried = self.reach_and_try(way, &mut attempt, left.is_empty()).await?;
            let ending = match tried {
                Tried::Answered(line) => return Ok(Dialed::Answered(line)),
                Tried::Over(ending) => return Ok(Dialed::Over(ending)),
                Tried::TrunkFailed(ending) => ending,
            };
            way.passage.give_back();
            match self.next_passage(&left).await {
                Next::Go(passage) => {
                    if attempt > told {
                        told = attempt;
                        let Ending { cause, status, q850, .. } = ending;
                        info!(?cause, status, next = %passage.trunk(), "the trunk failed; the next one is tried");
                        self.note(CallEvent::AttemptFailed { attempt, cause, status, q850 }).await;
                    }
                    way.passage = passage;
                }
                Next::Withdrawn(cause) => return Ok(Dialed::Over(Ending::of(cause))),
                Next::None => return Ok(Dialed::Over(ending)),
            }
        }
    }

    /// One attempt through the trunk at hand. Trouble with a trunk is no more than a failed attempt while another is left.
    async fn reach_and_try(&mut self, way: &mut Approach, attempt: &mut u32, last: bool) -> Result<Tried, Trouble> {
        let outcome = match self.node.trunks.find(&self.plan.account, way.passage.trunk()).await {
            Ok(trunk) => self.attempt(way, attempt, &trunk).await,
            Err(error) => Err(error.into()),
        };
        match outcome {
            Err(trouble @ (Trouble::Trunk(_) | Trouble::Invite(InviteError::NoLocalAddress(_)))) if !last => {
                warn!(%trouble, "the trunk cannot be used");
                let detail = trouble.to_string();
                self.note(CallEvent::Trouble { part: String::from("trunk"), detail }).await;
                Ok(Tried::TrunkFailed(Ending::of(trouble.cause())))
            }
            outcome => outcome,
        }
    }

    /// Dials through one trunk: leg and offer, the intent on disk, the INVITE in its turn, the ringing.
    async fn attempt(&mut self, way: &mut Approach, attempt: &mut u32, trunk: &Reachable) -> Result<Tried, Trouble> {
        let (leg, reports) = self.node.media.open(leg_settings(&self.node, &self.plan)).await?;
        let session = self.node.entropy.bits64();
        let mut negotiation = Negotiation::new(LocalMedia::telephone(leg.local()), session);
        let offer = Body::sdp(negotiation.offer(Direction::SendRecv)?);
        let conversation = self.conversation().await?;
        self.check_vendors()?;
        let brain = self.brain()?;
        let voice = self.voice_line(&leg)?;
        let mut intent = self.intent(way, *attempt + 1);
        let callee = TransferTarget::Number(way.telephone.callee.clone());
        let mut invite = outbound((&way.telephone.caller, &callee), trunk, &intent, offer)?;
        invite.ring_timeout = Duration::from_secs(self.plan.agent.limits.ring_timeout_s.max(1));
        intent.dialog = DialogSnapshot::of_intent(&invite)?.to_string();
        self.node.tasks.reach(Failpoint::IntentDue).await;
        self.commit(CallEvent::Dialing { intent }).await?;
        *attempt += 1;
        self.node.tasks.reach(Failpoint::IntentStored).await;
        let turn = self.node.pacing.turn(&self.node.store, &self.plan, self.now()).await;
        let sip = way.passage.in_turn(self.node.sip.invite(invite)).await??;
        if let Some(turn) = turn {
            turn.left();
        }
        let farewell = sip.farewell();
        self.node.tasks.reach(Failpoint::Invited).await;
        if *attempt == 1 {
            if let Some(opening) = conversation.opening_request() {
                brain.warm(opening);
            }
            voice.synthesiser.warm(&voice.request(String::new()));
        }
        let line = Line {
            way: Signalling::Sip(Box::new(Dialog {
                sip,
                trunk: way.passage.trunk().clone(),
                reachable: trunk.clone(),
                negotiation,
            })),
            leg,
            reports,
            conversation: Some(conversation),
            ears: None,
            brain: Some(brain),
            greeting: None,
            tape: None,
            voice,
        };
        let tried = self.ring(way, line).await;
        if !matches!(tried, Ok(Tried::Answered(_))) {
            // Somebody may have answered all the same, and sits there.
            goodbyes::settle(
                &self.node,
                (&self.plan.account, self.plan.id),
                Farewells { own: Some(farewell), other: None },
            )
            .await;
        }
        tried
    }

    /// The way through the next of the trunks that are left. Waits for its pace or a channel, not for ever.
    async fn next_passage(&mut self, left: &[TrunkId]) -> Next {
        if left.is_empty() {
            return Next::None;
        }
        let patience = tokio::time::Instant::now() + NEXT_TRUNK_WAIT;
        loop {
            if self.plan.deadline.is_some_and(|deadline| deadline < self.node.clock.now()) {
                return Next::None;
            }
            let until = match self.node.trunks.pick(&self.plan.account, left) {
                Pick::Take(mut passage) => match passage.claim(self.plan.id).await {
                    Ok(true) => return Next::Go(passage),
                    Ok(false) => None,
                    Err(error) => {
                        warn!(%error, "the next trunk's channel could not be asked for");
                        None
                    }
                },
                Pick::Wait(until) => until,
            };
            let until = until.unwrap_or(patience).min(tokio::time::Instant::now() + CLAIM_EVERY);
            if until > patience {
                return Next::None;
            }
            tokio::select! {
                biased;
                ordered = self.orders.recv() => match self.before_answer(ordered) {
                    Early::Change(patch) => self.change_plan(*patch),
                    Early::End(cause) => return Next::Withdrawn(cause),
                    Early::Nothing => {}
                },
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    /// Waits for the answer.
    async fn ring(&mut self, way: &Approach, mut line: Line) -> Result<Tried, Trouble> {
        let mut rung = false;
        let mut withdrawn: Option<HangupCause> = None;
        loop {
            let event = tokio::select! {
                biased;
                ordered = self.orders.recv(), if withdrawn.is_none() => {
                    match self.before_answer(ordered) {
                        Early::Change(patch) => self.change_before_answer(&mut line, *patch).await,
                        Early::End(cause) => withdrawn = self.withdraw(&line, cause).await?,
                        Early::Nothing => {}
                    }
                    continue;
                }
                event = line.way.next() => event,
                // Early audio is played to nobody; what the leg says before the answer does not matter.
                _ = line.reports.recv() => continue,
            };
            match event {
                Some(SipEvent::Progress(progress)) => {
                    if progress.status >= 180 && !rung {
                        rung = true;
                        self.node.tasks.reach(Failpoint::Rung).await;
                        line.make_greeting();
                        self.note(CallEvent::Ringing { status: progress.status }).await;
                    }
                    if let Some(body) = progress.body {
                        line.early(&body).await;
                    }
                }
                // The answer and the hang-up have met on the way; the end follows.
                Some(SipEvent::Answered { .. }) if withdrawn.is_some() => debug!("answered after it was withdrawn"),
                Some(SipEvent::Answered { body }) => return self.answered(line, body).await,
                Some(SipEvent::Failed(failure)) => return Ok(self.failed(way, &failure, withdrawn)),
                Some(SipEvent::Ended(ending)) => {
                    let mut ending = Ending::of_sip(&ending);
                    ending.cause = withdrawn.unwrap_or(ending.cause);
                    return Ok(Tried::Over(ending));
                }
                Some(other) => line.renegotiate(other).await,
                None => return Ok(Tried::Over(Ending::of(HangupCause::TrunkFailed))),
            }
        }
    }

    /// The attempt failed, and so has the call unless another trunk may be tried.
    fn failed(&self, way: &Approach, failure: &Failure, withdrawn: Option<HangupCause>) -> Tried {
        if let (Some(503), Some(length)) = (failure.status, failure.retry_after) {
            self.node.trunks.rest(&self.plan.account, way.passage.trunk(), length);
        }
        let mut ending = Ending::of_failure(failure);
        match withdrawn {
            Some(cause) => {
                ending.cause = cause;
                Tried::Over(ending)
            }
            None if failure.may_try_next_trunk() => Tried::TrunkFailed(ending),
            None => Tried::Over(ending),
        }
    }

    /// Withdraws the call if the order says so. Orders that need an answered call are for later calls to refuse.
    async fn withdraw(&self, line: &Line, cause: HangupCause) -> Result<Option<HangupCause>, Trouble> {
        line.way.say_goodbye().await?;
        Ok(Some(cause))
    }

    /// Somebody answered: audio flows, the recording runs, the recogniser listens.
    async fn answered(&mut self, mut line: Line, body: Option<Body>) -> Result<Tried, Trouble> {
        self.node.tasks.reach(Failpoint::Answered).await;
        let over = match self.take_up(&mut line, body).await {
            Ok(None) => return Ok(Tried::Answered(Box::new(line))),
            Ok(Some(cause)) => Ok(Tried::Over(Ending::of(cause))),
            Err(trouble) => Err(trouble),
        };
        self.turn_away(&line).await;
        over
    }

    /// Takes an answer up; or why the call ends with it.
    async fn take_up(&mut self, line: &mut Line, body: Option<Body>) -> Result<Option<HangupCause>, Trouble> {
        let answer = body.map(|body| body.bytes).unwrap_or_default();
        let Some(dialog) = line.way.dialog() else { return Ok(Some(HangupCause::InternalError)) };
        let remote = match dialog.negotiation.accept_answer(&answer) {
            Ok(remote) => remote,
            Err(error) => {
                warn!(%error, "the answer holds no usable audio");
                return Ok(Some(HangupCause::MediaFailed));
            }
        };
        let ack = dialog.sip.acknowledgement();
        let snapshot = dialog.sip.snapshot().await?.map(|snapshot| snapshot.to_string()).unwrap_or_default();
        let codec = remote.codec.name.to_owned();
        if line.leg.remote(remote).await.is_err() {
            return Ok(Some(HangupCause::MediaFailed));
        }
        line.tape = self.record(&line.leg).await;
        line.ears = Some(self.ears(&line.leg)?);
        self.note_answer(ack, CallEvent::Answered { dialog: snapshot, codec }).await;
        self.node.tasks.reach(Failpoint::AnswerNoted).await;
        Ok(None)
    }

    /// Says goodbye to who answered and cannot be talked to. No event tells of the answer, and a goodbye acknowledges it: what
    /// the next life needs to say it again is on disk before.
    async fn turn_away(&self, line: &Line) {
        let Signalling::Sip(dialog) = &line.way else { return };
        let sip = &dialog.sip;
        let dialog = match sip.snapshot().await {
            Ok(dialog) => dialog.map(|dialog| dialog.to_string()),
            Err(gone) => return debug!(%gone, "no goodbye could be said"),
        };
        let key = (self.plan.account.clone(), self.plan.id);
        let owed = timeout(ANSWER_STORED, self.node.store.owe_goodbye(key.clone(), dialog)).await;
        if !matches!(owed, Ok(Ok(()))) {
            warn!("an answer is turned away before that is written down: the database is slow or away");
        }
        if let Err(gone) = sip.say_goodbye().await {
            debug!(%gone, "no goodbye could be said");
        }
        goodbyes::repeat(&self.node, key, Farewells { own: Some(sip.farewell()), other: None });
    }

    /// Writes the answer down and then acknowledges it: whoever dies in between leaves a far end that repeats its answer,
    /// and the next life ends that call too. Nobody waits for it here.
    async fn note_answer(&self, ack: Acknowledgement, answer: CallEvent) {
        let (journal, at) = (&self.node.journal, self.now());
        let stored = journal.enter(&self.plan.account, self.plan.id, at, answer).await;
        self.node.tasks.spawn(async move {
            match stored {
                Ok(stored) => {
                    if timeout(ANSWER_STORED, stored).await.is_err() {
                        warn!("an answer is acknowledged before it is written down: the database is slow");
                    }
                }
                Err(error) => warn!(%error, "an answer is acknowledged and could not be written down"),
            }
            if let Err(gone) = ack.send().await {
                debug!(%gone, "an answer was not acknowledged");
            }
        });
    }

    /// The conversation, with what was said in earlier calls of the same thread. A call without that is better than none:
    /// trouble is told, the call goes on.
    pub(super) async fn conversation(&self) -> Result<Conversation, TemplateError> {
        let earlier = match thread::earlier(&self.node, &self.plan).await {
            Ok(lines) => lines,
            Err(error) => {
                let detail = error.public().to_owned();
                self.note(CallEvent::Trouble { part: String::from("thread"), detail }).await;
                Vec::new()
            }
        };
        self.conversation_after(earlier)
    }

    /// The conversation with these earlier lines.
    pub(super) fn conversation_after(&self, earlier: Vec<HistoryLine>) -> Result<Conversation, TemplateError> {
        Conversation::new(Setup {
            agent: self.plan.agent.clone(),
            variables: self.plan.variables.clone(),
            thread: earlier,
            today: date_of(self.node.clock.now()),
            seed: self.node.entropy.bits64(),
        })
    }

    /// Nobody is rung for a conversation that cannot be held: whoever answers would be hung up on.
    pub(super) fn check_vendors(&self) -> Result<(), Trouble> {
        let (catalogue, agent) = (&self.node.catalogue, &self.plan.agent);
        let resting = [
            ("recogniser", catalogue.ears(&agent.ears.vendor)?.rests()),
            ("model", catalogue.brain_of(&agent.brain)?.rests()),
            ("synthesiser", catalogue.voice_of(&agent.voice)?.rests()),
        ];
        match resting.into_iter().find(|(_, rests)| *rests) {
            Some((what, _)) => Err(Trouble::Down(what)),
            None => Ok(()),
        }
    }

    pub(super) fn brain(&self) -> Result<Brain, Trouble> {
        let settings = self.plan.agent.brain.clone();
        let model = self.node.catalogue.brain_of(&settings)?;
        Ok(Brain::new(model, settings, self.plan.id.to_string()))
    }

    pub(super) fn ears(&self, leg: &LegHandle) -> Result<Ears, Trouble> {
        let (recogniser, params) = self.hearing(leg)?;
        Ok(Ears::new(recogniser, params))
    }

    /// The recogniser, and what it is to listen for.
    pub(super) fn hearing(&self, leg: &LegHandle) -> Result<(Arc<dyn Asr>, AsrParams), Trouble> {
        let settings = &self.plan.agent.ears;
        let language = if settings.language.is_empty() { &self.plan.agent.language } else { &settings.language };
        let params = AsrParams {
            rate: leg.rate().hertz(),
            language: language.clone(),
            model: settings.model.clone(),
            hot_words: settings.hot_words.clone(),
            silence_ms: self.plan.agent.turn.silence_ms,
            params: settings.params.clone(),
        };
        Ok((self.node.catalogue.ears(&settings.vendor)?, params))
    }

    pub(super) fn voice_line(&self, leg: &LegHandle) -> Result<VoiceLine, Trouble> {
        let mut settings = self.plan.agent.voice.clone();
        if settings.language.is_empty() {
            settings.language = self.plan.agent.language.clone();
        }
        let synthesiser = self.node.catalogue.voice_of(&settings)?;
        Ok(VoiceLine { synthesiser, settings, rate: leg.rate().hertz(), leg: leg.clone() })
    }

    /// Starts the recording. A call without one is better than none: trouble is told, the call goes on.
    pub(super) async fn record(&self, leg: &LegHandle) -> Option<Tape> {
        if self.plan.agent.recording == Recording::Off {
            return None;
        }
        match taping::start(&self.node, leg, &BlobName::of_call(self.plan.id)).await {
            Ok((tape, stop)) => {
                self.watch_recording(stop);
                Some(tape)
            }
            Err(error) => {
                self.note(taping::trouble(&error)).await;
                None
            }
        }
    }

    /// Notes it when the recording stops before the call does: a full disk is to be heard of while something can be done.
    fn watch_recording(&self, stop: Option<RecordingStop>) {
        let Some(stop) = stop else { return };
        let (node, account, call) = (Arc::clone(&self.node), self.plan.account.clone(), self.plan.id);
        self.node.tasks.spawn(async move {
            if let Some(error) = stop.why().await {
                metrics::counter!("callwright_recordings_stopped_total").increment(1);
                node.journal.note(&account, call, node.clock.now(), taping::trouble(&error)).await;
            }
        });
    }

    /// Identifiers of the INVITE. All from the call's id and attempt, so that a restart knows them again.
    fn intent(&self, way: &Approach, attempt: u32) -> DialIntent {
        let call = self.plan.id;
        DialIntent {
            attempt,
            call_id: format!("{call}-{attempt}@callwright"),
            from_tag: format!("{:016x}", self.node.entropy.bits64()),
            branch: format!("z9hG4bK{call}{attempt}"),
            cseq: 1,
            trunk: Some(way.passage.trunk().clone()),
            dialog: String::new(),
        }
    }
}

/// An INVITE through a trunk: to a number at the trunk's own domain, or to an address as it is.
pub(super) fn outbound(
    (caller, callee): (&PhoneNumber, &TransferTarget),
    trunk: &Reachable,
    intent: &DialIntent,
    offer: Body,
) -> Result<OutboundInvite, Trouble> {
    let host: Host = trunk.domain.parse()?;
    let caller = SipUri::new(host).with_user(caller.dial())?;
    let there = address(callee, &trunk.domain)?;
    let target = match callee {
        TransferTarget::Number(_) => there.clone().with_port(trunk.route.peer.port()),
        TransferTarget::Address(_) | TransferTarget::Desk(_) => there.clone(),
    };
    Ok(OutboundInvite {
        trunk: Arc::clone(&trunk.route),
        request_uri: target.into(),
        from: NameAddr::new(caller.clone()),
        to: NameAddr::new(there),
        asserted_identity: Some(NameAddr::new(caller)),
        headers: Vec::new(),
        identity: callwright_sip::DialIntent {
            call_id: intent.call_id.clone(),
            from_tag: intent.from_tag.clone(),
            branch: intent.branch.clone(),
            cseq: intent.cseq,
        },
        offer,
        session_expires: Some(SESSION_EXPIRES),
        reliability: Reliability::Offered,
        ring_timeout: Duration::ZERO,
        ack: AckTiming::WhenTold,
    })
}

/// Somebody's address: a number's at the trunk's domain, or as it is.
pub(super) fn address(to: &TransferTarget, domain: &str) -> Result<SipUri, Trouble> {
    match to {
        // A desk is somebody's by the time that somebody is called.
        TransferTarget::Address(_) | TransferTarget::Desk(_) => {
            to.dial().parse::<Uri>()?.as_sip().cloned().ok_or(Trouble::Address(UriError))
        }
        TransferTarget::Number(number) => {
            let host: Host = domain.parse()?;
            Ok(SipUri::new(host).with_user(number.dial())?)
        }
    }
}

/// Where a call goes that may try another trunk.
enum Next {
    /// This way.
    Go(Passage),
    /// Nowhere: somebody ended it meanwhile.
    Withdrawn(HangupCause),
    /// Nowhere: no trunk is left, or none in time.
    None,
}

/// What an order comes to before the answer.
pub(super) enum Early {
    /// Another agent.
    Change(Box<AgentPatch>),
    /// The end, unanswered.
    End(HangupCause),
    /// Nothing: it needs an answered call. Whoever gave it hears so when its answer is dropped.
    Nothing,
}

impl LiveCall {
    /// Takes an order before the answer.
    pub(super) fn before_answer(&self, ordered: Option<Ordered>) -> Early {
        let Some(ordered) = ordered else { return Early::End(HangupCause::ServerShutdown) };
        match ordered.order {
            Order::HangUp(_) => Early::End(asked(false)),
            Order::Shutdown => Early::End(HangupCause::ServerShutdown),
            Order::Leave { .. } => Early::End(HangupCause::CalleeHungUp),
            Order::Change(_) => match ordered.settle(Ok(())) {
                Some(Order::Change(patch)) => Early::Change(patch),
                Some(_) | None => Early::Nothing,
            },
            Order::Say(_)
            | Order::Hear(_)
            | Order::Message { .. }
            | Order::Transfer(_)
            | Order::Await { .. }
            | Order::TakeOver(_)
            | Order::Return(_) => Early::Nothing,
        }
    }
}

/// How the leg of a call listens.
pub(crate) fn leg_settings(node: &Node, plan: &CallPlan) -> OpenLeg {
    let mut leg = OpenLeg::telephone();
    leg.media.lost = node.policy.media_timeout;
    let speech = &mut leg.media.speech;
    let interrupt = &plan.agent.interrupt;
    if interrupt.min_speech_ms > 0 {
        speech.min_speech = Duration::from_millis(interrupt.min_speech_ms.clamp(40, 2000));
    }
    if plan.agent.ears.vad_level == 0 {
        speech.detection = Detection::Off;
    } else {
        // 1 to 10 rise from 3 dB to 12 dB above the noise; 11 wants a near speaker.
        let level = f32::from(plan.agent.ears.vad_level.min(11));
        speech.above_noise_db = 2.0 + level;
    }
    leg
}

/// The day in words, for templates.
pub(crate) fn date_of(moment: callwright_domain::Moment) -> String {
    let timestamp = jiff::Timestamp::from_millisecond(moment.millis()).unwrap_or_default();
    timestamp.strftime("%A, %-d %B %Y").to_string()
}

impl Line {
    /// What a fresh voice for this line needs.
    pub(super) fn voice(&self) -> VoiceLine {
        self.voice.clone()
    }

    /// What tells when the far end knows of the end. A browser gives no answer: what it was shown last has a moment to get
    /// there.
    pub(super) async fn farewell(&mut self) -> Option<Farewell> {
        match &self.way {
            Signalling::Sip(dialog) => Some(dialog.sip.farewell()),
            Signalling::Browser(_) => {
                let gone = timeout(BYE_GRACE, async { while self.reports.recv().await.is_some() {} }).await;
                debug!(gone = gone.is_ok(), "the browser was told");
                None
            }
        }
    }

    /// Takes what was made from a changed agent. A greeting that is being made is made anew.
    pub(super) fn change(&mut self, conversation: Conversation, brain: Brain, voice: VoiceLine) {
        (self.conversation, self.brain, self.voice) = (Some(conversation), Some(brain), voice);
        if self.greeting.take().is_some() {
            self.make_greeting();
        }
    }

    /// Makes the agent's first phrase, once it is known that somebody may hear it.
    pub(super) fn make_greeting(&mut self) {
        let first = self.conversation.as_ref().and_then(|conversation| conversation.first_words(instant()));
        self.greeting = first.map(|text| Greeting::make(&self.voice, text));
    }

    /// Early media: heard by nobody, but it opens the path.
    async fn early(&mut self, body: &Body) {
        if let Some(dialog) = self.way.dialog() {
            dialog.early(&self.leg, body).await;
        }
    }

    /// The far end changes the session, or answers a change of ours.
    pub(super) async fn renegotiate(&mut self, event: SipEvent) {
        if let Some(dialog) = self.way.dialog() {
            dialog.renegotiate(&self.leg, event).await;
        }
    }
}

impl Dialog {
    async fn early(&mut self, leg: &LegHandle, body: &Body) {
        match self.negotiation.accept_answer(&body.bytes) {
            Ok(remote) => {
                if let Err(gone) = leg.remote(remote).await {
                    debug!(%gone, "early media came too late");
                }
            }
            Err(error) => debug!(%error, "early media is not usable"),
        }
    }

    /// The far end changes the session, or answers a change of ours.
    pub(super) async fn renegotiate(&mut self, leg: &LegHandle, event: SipEvent) {
        let outcome = match event {
            SipEvent::Offer { offer, body } => self.answer_offer(leg, offer, body).await,
            SipEvent::AnswerInAck { body: Some(body) } | SipEvent::OfferAnswered { body: Some(body) } => {
                self.early(leg, &body).await;
                Ok(())
            }
            SipEvent::ReferRefused => {
                debug!("the far end asked for a transfer and was refused");
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(gone) = outcome {
            debug!(%gone, "the answer to an offer could not be sent");
        }
    }

    async fn answer_offer(&mut self, leg: &LegHandle, key: OfferKey, body: Option<Body>) -> Result<(), SipGone> {
        let Some(body) = body else {
            return match self.negotiation.offer(Direction::SendRecv) {
                Ok(offer) => self.sip.accept_offer(key, Body::sdp(offer)).await,
                Err(error) => self.refuse(key, &error).await,
            };
        };
        match self.negotiation.answer_offer(&body.bytes) {
            Ok(answer) => {
                if let Err(gone) = leg.remote(answer.remote).await {
                    debug!(%gone, "the session changed too late");
                }
                self.sip.accept_offer(key, Body::sdp(answer.body)).await
            }
            Err(error) => self.refuse(key, &error).await,
        }
    }

    async fn refuse(&self, key: OfferKey, error: &SdpError) -> Result<(), SipGone> {
        warn!(%error, "an offer of the far end was refused");
        self.sip.reject_offer(key, 488).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_was_taken_back_before_it_was_dialled_is_no_fault_of_ours() {
        let of = |state| Trouble::Store(StoreError::Illegal(IllegalEvent { state, event: "dialing" })).cause();
        assert_eq!(of(CallState::Ended(HangupCause::Cancelled)), HangupCause::Cancelled);
        assert_eq!(of(CallState::Ended(HangupCause::Expired)), HangupCause::Expired);
        assert_eq!(of(CallState::Talking), HangupCause::InternalError);
    }
}
