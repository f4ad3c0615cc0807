//! A telephone that answers, refuses or lets it ring, as planned, and writes down what it hears.
//! Hides signalling and audio of the far end. What it does by itself is in the [`Plan`]; what it does at a certain point
//! of the conversation is ordered through the [`Line`] of an answered call.

use crate::{PATIENCE, RATE, beep, is_loud, speech};
use callwright_media::codec::{self, Codec};
use callwright_media::dtmf::Digit;
use callwright_media::sdp::{LocalMedia, Negotiation};
use callwright_net::{
    CallEvent, LegHandle, LegReport, MediaPlane, MediaSettings, OpenLeg, SipCall, SipEndpoint, SipGone, SipReport,
    SipSettings,
};
use callwright_sip::{Body, EndedBy, Inbound, Invitation};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Calls and wishes that wait for somebody to look at them; a test that needs more has lost its way.
const ROOM: usize = 256;
/// What is heard is judged in pieces of this length.
const PIECE: Duration = Duration::from_millis(20);

/// What a telephone does when it is called.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How long it rings; zero: not at all.
    pub ring: Duration,
    /// What happens then.
    pub then: Then,
    /// After this long it hangs up by itself.
    pub hang_up_after: Option<Duration>,
    /// Codecs it speaks.
    pub codecs: Vec<&'static Codec>,
}

/// What happens after the ringing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// Somebody answers.
    Answer,
    /// The answer is this session description, whatever was offered, and no audio follows.
    AnswerWith(String),
    /// It is refused with this status.
    Refuse(u16),
    /// It rings on, or lies there without a sound when it did not ring.
    Never,
}

impl Plan {
    /// Rings for a moment and does this.
    pub fn then(then: Then) -> Self {
        Self { ring: Duration::from_millis(20), then, hang_up_after: None, codecs: codec::ALL.to_vec() }
    }

    /// Rings for a moment and answers.
    pub fn answer() -> Self {
        Self::then(Then::Answer)
    }

    /// Speaks this codec only.
    #[must_use]
    pub fn codec(mut self, codec: &'static Codec) -> Self {
        self.codecs = vec![codec];
        self
    }
}

/// What reached a telephone, whatever became of it.
#[derive(Debug, Default)]
struct Seen {
    call_ids: HashSet<String>,
    withdrawn: usize,
}

/// A telephone on loopback. It takes any number of calls at once, all by the same plan.
pub struct Callee {
    address: SocketAddr,
    seen: watch::Sender<Seen>,
    lines: mpsc::Receiver<Line>,
    tasks: [JoinHandle<()>; 2],
}

impl Callee {
    /// Plugs a telephone in.
    pub async fn start(plan: Plan) -> Self {
        let mut wanted = SipSettings::new(SocketAddr::new(HOME, 0), None);
        wanted.agent.inbound = Inbound::Offer;
        wanted.agent.peers.insert(HOME);
        wanted.agent.limits.incoming_per_second = 10_000;
        let (endpoint, sip, mut reports) = SipEndpoint::bind(wanted).await.expect("loopback has a free port");
        let settings = MediaSettings { threads: 1, bind: HOME, ..MediaSettings::default() };
        let media = MediaPlane::start(settings).expect("a media thread");
        let address = sip.udp();
        let (seen, _) = watch::channel(Seen::default());
        let (answered, lines) = mpsc::channel(ROOM);
        let noted = seen.clone();
        let door = tokio::spawn(async move {
            // The endpoint stops with its last handle.
            let _sip = sip;
            while let Some(report) = reports.recv().await {
                let SipReport::Incoming { call, invitation } = report;
                noted.send_modify(|seen| {
                    seen.call_ids.insert(invitation.call_id.clone());
                });
                let telephone = Telephone { plan: plan.clone(), media: media.clone(), seen: noted.clone() };
                tokio::spawn(telephone.take(call, invitation, answered.clone()));
            }
        });
        Self { address, seen, lines, tasks: [tokio::spawn(endpoint.run()), door] }
    }

    /// Where it can be called.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Calls with different Call-IDs that came so far.
    pub fn calls(&self) -> usize {
        self.seen.borrow().call_ids.len()
    }

    /// Waits until this many calls came.
    pub async fn called(&self, times: usize) {
        let mut seen = self.seen.subscribe();
        let enough = seen.wait_for(|seen| seen.call_ids.len() >= times);
        timeout(PATIENCE, enough).await.expect("the telephone is called in time").expect("the callee lives");
    }

    /// Waits until this many calls were withdrawn before they were answered.
    pub async fn withdrawn(&self, times: usize) {
        let mut seen = self.seen.subscribe();
        let enough = seen.wait_for(|seen| seen.withdrawn >= times);
        timeout(PATIENCE, enough).await.expect("a call is withdrawn in time").expect("the callee lives");
    }

    /// The next call that was answered.
    pub async fn line(&mut self) -> Line {
        timeout(PATIENCE, self.lines.recv()).await.expect("answered in time").expect("the callee lives")
    }
}

impl Drop for Callee {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// One call on its way in.
struct Telephone {
    plan: Plan,
    media: MediaPlane,
    seen: watch::Sender<Seen>,
}

impl Telephone {
    async fn take(self, mut call: SipCall, invitation: Box<Invitation>, answered: mpsc::Sender<Line>) {
        // The endpoint is gone when the test is over: then nothing is left to be done.
        self.try_to_take(&mut call, &invitation, answered).await.ok();
    }

    async fn try_to_take(
        self,
        call: &mut SipCall,
        invitation: &Invitation,
        answered: mpsc::Sender<Line>,
    ) -> Result<(), SipGone> {
        if !self.plan.ring.is_zero() {
            call.ring(180, None).await?;
        }
        let patience = if self.plan.then == Then::Never { PATIENCE * 10 } else { self.plan.ring };
        tokio::select! {
            () = sleep(patience) => {}
            event = call.next() => {
                if matches!(event, Some(CallEvent::Failed(_)) | None) {
                    self.seen.send_modify(|seen| seen.withdrawn += 1);
                    return Ok(());
                }
            }
        }
        let (leg, reports) = match &self.plan.then {
            Then::Never => return Ok(()),
            Then::Refuse(status) => {
                call.reject(*status).await?;
                while call.next().await.is_some() {}
                return Ok(());
            }
            Then::AnswerWith(body) => {
                call.accept(Body::sdp(body.as_bytes())).await?;
                while call.next().await.is_some() {}
                return Ok(());
            }
            Then::Answer => self.accept(call, invitation).await?,
        };
        while !matches!(call.next().await, Some(CallEvent::Established { .. }) | None) {}
        let (line, at_work) = Line::new(leg);
        // Fails only when the test does not look at its calls.
        answered.try_send(line).ok();
        at_work.run(call, reports, self.plan.hang_up_after).await
    }

    async fn accept(
        &self,
        call: &SipCall,
        invitation: &Invitation,
    ) -> Result<(LegHandle, mpsc::Receiver<LegReport>), SipGone> {
        let mut wanted = OpenLeg::telephone();
        wanted.quiet_chunk = PIECE;
        wanted.speech_chunk = PIECE;
        let (leg, reports) = self.media.open(wanted).await.expect("loopback has free ports");
        let offer = invitation.body.as_ref().expect("an INVITE of ours has an offer");
        let local = LocalMedia { codecs: self.plan.codecs.clone(), ..LocalMedia::telephone(leg.local()) };
        let answer = Negotiation::new(local, leg.id()).answer_offer(&offer.bytes).expect("an offer that can be taken");
        leg.remote(answer.remote).await.expect("the leg was just opened");
        call.accept(Body::sdp(answer.body)).await?;
        Ok((leg, reports))
    }
}

/// What was heard on a line.
#[derive(Debug, Default)]
struct Notes {
    /// When each loud piece ended; each is [`PIECE`] long.
    loud: Vec<Instant>,
    /// When the latest piece ended.
    latest: Option<Instant>,
    keys: String,
    ended: Option<EndedBy>,
}

impl Notes {
    fn sound(&self) -> Duration {
        PIECE * u32::try_from(self.loud.len()).unwrap_or(u32::MAX)
    }
}

enum Wish {
    Speak(Duration),
    Beep(Duration),
    Press(Vec<Digit>),
    HangUp,
    Vanish,
}

/// The callee's end of an answered call.
pub struct Line {
    wishes: mpsc::Sender<Wish>,
    notes: watch::Receiver<Notes>,
}

/// The task behind a [`Line`].
struct AtWork {
    leg: LegHandle,
    wishes: mpsc::Receiver<Wish>,
    notes: watch::Sender<Notes>,
}

impl Line {
    fn new(leg: LegHandle) -> (Self, AtWork) {
        let (wish, wishes) = mpsc::channel(ROOM);
        let (note, notes) = watch::channel(Notes::default());
        (Self { wishes: wish, notes }, AtWork { leg, wishes, notes: note })
    }

    /// Speaks for so long; returns at once.
    pub fn speak(&self, length: Duration) {
        self.wish(Wish::Speak(length));
    }

    /// Sounds the steady tone of an answering machine for so long; returns at once.
    pub fn beep(&self, length: Duration) {
        self.wish(Wish::Beep(length));
    }

    /// Presses keys, one after the other; returns at once.
    pub fn press(&self, keys: &str) {
        self.wish(Wish::Press(keys.chars().filter_map(Digit::from_char).collect()));
    }

    /// Hangs up; returns at once.
    pub fn hang_up(&self) {
        self.wish(Wish::HangUp);
    }

    /// Sends no audio any more and says nothing about it; returns at once.
    pub fn vanish(&self) {
        self.wish(Wish::Vanish);
    }

    /// Waits until something is heard that began after `since`; when.
    pub async fn hears(&mut self, since: Instant) -> Instant {
        self.find("hears something", |notes| notes.loud.iter().find(|at| **at > since).copied()).await
    }

    /// Waits until so much sound was heard altogether.
    pub async fn hears_altogether(&mut self, sound: Duration) {
        self.find("hears enough", |notes| (notes.sound() >= sound).then_some(())).await;
    }

    /// Waits until nothing was heard for `pause`; when the last sound ended. Something must have been heard before.
    pub async fn hears_silence(&mut self, pause: Duration) -> Instant {
        self.find("hears silence", |notes| {
            let last = *notes.loud.last()?;
            (notes.latest?.saturating_duration_since(last) >= pause).then_some(last)
        })
        .await
    }

    /// How much sound was heard so far.
    pub fn heard(&self) -> Duration {
        self.notes.borrow().sound()
    }

    /// Waits until these keys were pressed by the other side.
    pub async fn hears_keys(&mut self, keys: &str) {
        self.find("hears keys", |notes| notes.keys.contains(keys).then_some(())).await;
    }

    /// Waits for the end of the call; who ended it.
    pub async fn ended(&mut self) -> EndedBy {
        self.find("sees the end", |notes| notes.ended).await
    }

    fn wish(&self, wish: Wish) {
        // A call that is over grants no more wishes; the test sees that at what it waits for next.
        self.wishes.try_send(wish).ok();
    }

    async fn find<T>(&mut self, what: &str, mut look: impl FnMut(&Notes) -> Option<T>) -> T {
        let search = async {
            loop {
                let found = look(&self.notes.borrow_and_update());
                if let Some(found) = found {
                    return found;
                }
                assert!(self.notes.changed().await.is_ok(), "the call is over before the callee {what}");
            }
        };
        timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("the callee {what} in time"))
    }
}

impl AtWork {
    async fn run(
        mut self,
        call: &mut SipCall,
        mut reports: mpsc::Receiver<LegReport>,
        hang_up_after: Option<Duration>,
    ) -> Result<(), SipGone> {
        let bored = sleep(hang_up_after.unwrap_or(PATIENCE * 10));
        tokio::pin!(bored);
        loop {
            tokio::select! {
                event = call.next() => match event {
                    Some(CallEvent::Ended(ending)) => {
                        self.notes.send_modify(|notes| notes.ended = Some(ending.by));
                        return Ok(());
                    }
                    Some(_) => {}
                    None => return Ok(()),
                },
                Some(report) = reports.recv() => self.note(report),
                Some(wish) = self.wishes.recv() => self.grant(call, wish).await?,
                () = &mut bored => {
                    bored.as_mut().reset(tokio::time::Instant::now() + PATIENCE * 10);
                    call.say_goodbye().await?;
                }
            }
        }
    }

    async fn grant(&self, call: &SipCall, wish: Wish) -> Result<(), SipGone> {
        match wish {
            Wish::Speak(length) => {
                let leg = self.leg.clone();
                // Waits while the queue is full, and the line must go on meanwhile; a closed leg plays nothing.
                tokio::spawn(async move { leg.play(speech(length)).await.ok() });
            }
            Wish::Beep(length) => {
                let leg = self.leg.clone();
                let mut audio = beep(length);
                // What follows ends it.
                audio.resize(audio.len() + RATE as usize / 5, 0);
                // As above.
                tokio::spawn(async move { leg.play(audio).await.ok() });
            }
            Wish::Press(keys) => {
                // A closed leg presses nothing.
                self.leg.send_dtmf(keys).await.ok();
            }
            Wish::HangUp => call.say_goodbye().await?,
            Wish::Vanish => self.leg.close(),
        }
        Ok(())
    }

    fn note(&self, report: LegReport) {
        match report {
            LegReport::Audio(chunk) => self.notes.send_modify(|notes| {
                let ends = chunk.ends();
                notes.latest = Some(ends);
                if is_loud(&chunk) {
                    notes.loud.push(ends);
                }
            }),
            LegReport::Dtmf { digit, .. } => self.notes.send_modify(|notes| notes.keys.push(digit.as_char())),
            _ => {}
        }
    }
}
