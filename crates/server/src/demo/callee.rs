//! The built-in callee: a SIP endpoint that answers, a voice that says its lines when the agent has finished (and one line
//! while the agent still talks), and ears that write down what it understood of the agent.

use anyhow::{Context, Result};
use callwright_conversation::vocabulary::AsrEvent;
use callwright_media::sdp::{LocalMedia, Negotiation};
use callwright_net::{
    CallEvent, LegHandle, LegReport, MediaPlane, MediaSettings, OpenLeg, SipCall, SipEndpoint, SipReport, SipSettings,
};
use callwright_providers::asr::{AsrInput, AsrParams, AsrStream};
use callwright_providers::local::LocalModels;
use callwright_providers::tts::TtsRequest;
use callwright_sip::{Body, Inbound, Invitation};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

/// Samples a second of a telephone leg.
const RATE: u32 = 8000;
/// Silence of the agent after which the callee thinks that it is its turn.
const POLITE: Duration = Duration::from_millis(900);
/// How far into the agent's answer the callee interrupts.
const IMPATIENT: Duration = Duration::from_millis(1800);
/// How long it rings.
const RINGING: Duration = Duration::from_millis(1200);
/// After the last line: how long it waits for the agent to hang up.
const LAST_WAIT: Duration = Duration::from_secs(8);
/// Nobody has spoken for this long: the callee says its next line anyway.
const BORED: Duration = Duration::from_secs(12);

/// When a line is said.
#[derive(Clone, Copy, PartialEq)]
enum When {
    /// After the agent has finished.
    Politely,
    /// While the agent still talks.
    Interrupting,
}

/// What the callee says.
const LINES: [(&str, When); 6] = [
    ("Hello, I would like to move my appointment to Thursday.", When::Politely),
    ("Four o'clock please.", When::Politely),
    ("Can you tell me all your prices?", When::Politely),
    ("Sorry, do I need to bring anything?", When::Interrupting),
    ("Are you a real person?", When::Politely),
    ("Great, thank you, goodbye.", When::Politely),
];

/// A callee that waits for its call.
pub(super) struct Callee {
    address: SocketAddr,
    understood: oneshot::Receiver<Vec<String>>,
    tasks: [JoinHandle<()>; 2],
}

impl Callee {
    /// Prepares the lines and listens.
    pub(super) async fn start(models: &LocalModels) -> Result<Self> {
        let mut lines = VecDeque::new();
        for (text, when) in LINES {
            lines.push_back((spoken(models, text).await?, when));
        }
        let ears = models.ears("callee").start(AsrParams {
            rate: RATE,
            language: String::from("en"),
            model: String::new(),
            hot_words: Vec::new(),
            silence_ms: 500,
            params: BTreeMap::new(),
        });
        let mut wanted = SipSettings::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), None);
        wanted.agent.inbound = Inbound::Offer;
        wanted.agent.peers.insert(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let (endpoint, sip, reports) = SipEndpoint::bind(wanted).await?;
        let media = MediaPlane::start(MediaSettings {
            threads: 1,
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            ..MediaSettings::default()
        })?;
        let address = sip.udp();
        let (told, understood) = oneshot::channel();
        let conversation = tokio::spawn(async move {
            // Held until the end: the endpoint stops with its last handle.
            let _sip = sip;
            let heard = answer(reports, media, ears, lines).await.unwrap_or_else(|error| {
                warn!(%error, "the callee could not talk");
                Vec::new()
            });
            // Fails only when the demo did not wait.
            told.send(heard).ok();
        });
        Ok(Self { address, understood, tasks: [tokio::spawn(endpoint.run()), conversation] })
    }

    /// Where its telephone is.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it understood of the agent, utterance by utterance, once the call is over.
    pub(super) async fn understood(mut self) -> Vec<String> {
        let heard = (&mut self.understood).await.unwrap_or_default();
        for task in &self.tasks {
            task.abort();
        }
        heard
    }
}

/// The sound of a line.
async fn spoken(models: &LocalModels, text: &str) -> Result<Vec<i16>> {
    let (voice, language) = (String::from("hibari-low"), String::from("en"));
    let request = TtsRequest { voice, language, ..TtsRequest::new(text, RATE) };
    Ok(models.voice("callee").speak(request).whole().await?)
}

type Lines = VecDeque<(Vec<i16>, When)>;

async fn answer(
    mut reports: mpsc::Receiver<SipReport>,
    media: MediaPlane,
    ears: AsrStream,
    lines: Lines,
) -> Result<Vec<String>> {
    let SipReport::Incoming { mut call, invitation } = reports.recv().await.context("the endpoint has stopped")?;
    call.ring(180, None).await?;
    sleep(RINGING).await;
    let (leg, leg_reports) = accept(&call, &invitation, &media).await?;
    while !matches!(call.next().await, Some(CallEvent::Established { .. }) | None) {}
    Ok(Talk::new(call, leg, leg_reports, ears, lines).run().await)
}

async fn accept(
    call: &SipCall,
    invitation: &Invitation,
    media: &MediaPlane,
) -> Result<(LegHandle, mpsc::Receiver<LegReport>)> {
    let mut wanted = OpenLeg::telephone();
    wanted.media.speech.hangover = POLITE;
    let (leg, reports) = media.open(wanted).await?;
    let offer = invitation.body.as_ref().context("an INVITE without an offer")?;
    let answer = Negotiation::new(LocalMedia::telephone(leg.local()), rand::random()).answer_offer(&offer.bytes)?;
    leg.remote(answer.remote).await?;
    call.accept(Body::sdp(answer.body)).await?;
    Ok((leg, reports))
}

/// The callee's side of the conversation.
struct Talk {
    call: SipCall,
    leg: LegHandle,
    reports: mpsc::Receiver<LegReport>,
    ears: AsrStream,
    lines: Lines,
    /// When the next line is said, unless something happens before.
    next: Instant,
    /// Until when the callee itself speaks: what the agent began before that is no answer to it.
    speaking_until: Instant,
    /// The agent has begun to answer the last line.
    answered: bool,
    heard: Vec<String>,
}

impl Talk {
    fn new(call: SipCall, leg: LegHandle, reports: mpsc::Receiver<LegReport>, ears: AsrStream, lines: Lines) -> Self {
        let now = Instant::now();
        Self {
            call,
            leg,
            reports,
            ears,
            lines,
            next: now + BORED,
            speaking_until: now,
            answered: false,
            heard: Vec::new(),
        }
    }

    async fn run(mut self) -> Vec<String> {
        loop {
            tokio::select! {
                event = self.call.next() => {
                    if event.is_none_or(|event| event.is_last()) {
                        break;
                    }
                }
                report = self.reports.recv() => match report {
                    Some(report) => self.on_leg(report),
                    None => break,
                },
                words = self.ears.events.recv() => {
                    if let Some(Ok(AsrEvent::Final { text, .. })) = words {
                        self.heard.push(text);
                    }
                }
                () = sleep_until(self.next) => {
                    if !self.speak().await {
                        break;
                    }
                }
            }
        }
        self.rest_of_words().await;
        self.heard
    }

    fn on_leg(&mut self, report: LegReport) {
        match report {
            LegReport::Audio(chunk) => self.hear(AsrInput::Audio(chunk.to_vec())),
            LegReport::SpeechStarted { .. } => {
                self.hear(AsrInput::SpeechStarted);
                self.answered |= Instant::now() >= self.speaking_until;
                self.next = match self.lines.front() {
                    Some((_, When::Interrupting)) => Instant::now() + IMPATIENT,
                    Some((_, When::Politely)) => Instant::now() + BORED,
                    None => Instant::now() + LAST_WAIT,
                };
            }
            LegReport::SpeechStopped { .. } => {
                self.hear(AsrInput::SpeechStopped);
                if self.answered && !self.lines.is_empty() {
                    self.next = Instant::now();
                }
            }
            _ => {}
        }
    }

    /// Says the next line; `false` when there is none and the callee hangs up.
    async fn speak(&mut self) -> bool {
        let Some((line, _)) = self.lines.pop_front() else {
            return self.call.say_goodbye().await.is_err();
        };
        let length = Duration::from_millis(line.len() as u64 * 1000 / u64::from(RATE));
        self.speaking_until = Instant::now() + length;
        self.answered = false;
        self.next = self.speaking_until + if self.lines.is_empty() { LAST_WAIT } else { BORED };
        self.leg.play(line).await.is_ok()
    }

    fn hear(&self, input: AsrInput) {
        // A recogniser that is behind misses a piece; the callee's notes are not the call.
        self.ears.input.try_send(input).ok();
    }

    /// The recogniser may still be busy with the agent's last words.
    async fn rest_of_words(&mut self) {
        self.hear(AsrInput::SpeechStopped);
        let patience = sleep(Duration::from_secs(2));
        tokio::pin!(patience);
        loop {
            tokio::select! {
                () = &mut patience => return,
                words = self.ears.events.recv() => match words {
                    Some(Ok(AsrEvent::Final { text, .. })) => self.heard.push(text),
                    Some(Ok(AsrEvent::Partial { .. })) => {}
                    Some(Err(_)) | None => return,
                },
            }
        }
    }
}
