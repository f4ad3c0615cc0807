//! Orders between nodes that share a database: one route, and the client that calls it on others. Hides the wire form and
//! the secret; what an order means and how often it is tried is the engine's. Not part of any dialect: a key of an account
//! opens nothing here, and the cluster's secret opens nothing else.

use crate::http::{Request, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callwright_domain::agent::Switch;
use callwright_domain::{AccountId, AgentPatch, CallId, ChannelName, HangupCause, Pii, Refusal, Transfer};
use callwright_engine::limits::PEER_WAIT;
use callwright_engine::{
    Calls, HangUp, OrderError, PeerError, PeerMessage, PeerOrder, Peers, Place, Question, Saying, Sound, Words,
};
use futures_util::future::BoxFuture;
use http::{Method, StatusCode, header};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use subtle::ConstantTimeEq;

/// Where a node takes orders of others.
pub(crate) const PATH: &str = "/_node/orders";
/// Longest order in bytes: a minute of sound at the highest rate.
pub(crate) const LONGEST: usize = 10 * 1024 * 1024;
const BEARER: &str = "Bearer ";

/// What nodes of one cluster know of each other.
#[derive(Clone)]
pub struct Cluster {
    secret: Pii<String>,
    client: reqwest::Client,
}

/// An order on the wire.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    account: AccountId,
    call: CallId,
    order: WireOrder,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum WireOrder {
    HangUpNow {},
    HangUpAfterSentence {},
    SayInterruptible {
        text: String,
    },
    SayInsistent {
        text: String,
    },
    SayPatient {
        text: String,
    },
    /// In a way that the three above do not have.
    Say(Box<WireSaying>),
    Hear {
        text: String,
    },
    /// The same in a way of its own.
    Ask {
        text: String,
        interrupts: Switch,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, String>,
    },
    Transfer(Box<Transfer>),
    Change {
        patch: Box<AgentPatch>,
    },
    Message {
        text: String,
    },
    Leave {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<ChannelName>,
    },
    Await {
        user: ChannelName,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSaying {
    words: WireWords,
    place: WirePlace,
    interruptible: Switch,
    alone: Switch,
    remembered: Switch,
    last: Switch,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum WireWords {
    Text(String),
    /// 16-bit samples, little end first, in Base64.
    Sound {
        pcm: String,
        hertz: u32,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WirePlace {
    Now,
    Next,
    NextUnlessInterrupted,
    IfSilent,
}

impl WireSaying {
    fn of(saying: Saying) -> Self {
        let words = match saying.words {
            Words::Text(text) => WireWords::Text(text),
            Words::Sound(sound) => {
                let bytes: Vec<u8> = sound.samples().iter().flat_map(|sample| sample.to_le_bytes()).collect();
                WireWords::Sound { pcm: STANDARD.encode(bytes), hertz: sound.hertz() }
            }
        };
        let place = match saying.place {
            Place::Now => WirePlace::Now,
            Place::Next => WirePlace::Next,
            Place::NextUnlessInterrupted => WirePlace::NextUnlessInterrupted,
            Place::IfSilent => WirePlace::IfSilent,
        };
        let Saying { interruptible, alone, remembered, last, .. } = saying;
        Self { words, place, interruptible, alone, remembered, last }
    }

    /// What it says; none: it cannot be read.
    fn saying(self) -> Option<Saying> {
        let words = match self.words {
            WireWords::Text(text) => Words::Text(text),
            WireWords::Sound { pcm, hertz } => {
                let bytes = STANDARD.decode(pcm).ok()?;
                let samples: Vec<i16> =
                    bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
                Words::Sound(Sound::new(samples, hertz))
            }
        };
        let place = match self.place {
            WirePlace::Now => Place::Now,
            WirePlace::Next => Place::Next,
            WirePlace::NextUnlessInterrupted => Place::NextUnlessInterrupted,
            WirePlace::IfSilent => Place::IfSilent,
        };
        let Self { interruptible, alone, remembered, last, .. } = self;
        Some(Saying { words, place, interruptible, alone, remembered, last })
    }
}

/// A plain order as nodes of every version know it; none: it is none of these.
fn plain(saying: &Saying) -> Option<WireOrder> {
    let Words::Text(text) = saying.words.clone() else { return None };
    if *saying == Saying::now(text.clone(), Switch::On) {
        Some(WireOrder::SayInterruptible { text })
    } else if *saying == Saying::now(text.clone(), Switch::Off) {
        Some(WireOrder::SayInsistent { text })
    } else {
        (*saying == Saying::next(text.clone())).then_some(WireOrder::SayPatient { text })
    }
}

/// Why an order was not carried out, on the wire.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireRefusal {
    UnknownCall,
    Ended(HangupCause),
    LastWords,
    NotAnswered,
    Elsewhere,
    NoTelephone,
    Transferring,
    NoDesk,
    Refused(Refusal),
    Busy,
    NoRoom,
    Storage,
}

impl Cluster {
    /// A cluster of those who know `secret`.
    ///
    /// # Errors
    /// The HTTP client's, when it cannot be made.
    pub fn new(secret: Pii<String>) -> Result<Self, reqwest::Error> {
        // Nodes reach each other directly, and one that was redirected would show the secret to a stranger.
        let client = reqwest::Client::builder()
            .timeout(PEER_WAIT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { secret, client })
    }

    pub(crate) fn admits(&self, request: &Request) -> bool {
        let told = request.header(header::AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix(BEARER));
        // Digests are of one length, so that the comparison tells neither content nor length.
        let digest = |text: &str| Sha256::digest(text.as_bytes());
        told.is_some_and(|told| bool::from(digest(told).ct_eq(&digest(self.secret.expose()))))
    }

    async fn hand_over(&self, url: &str, message: &PeerMessage) -> Result<(), PeerError> {
        let unreached = |error: reqwest::Error| PeerError::Unreached(error.without_url().to_string());
        let answer = self
            .client
            .post(format!("{}{PATH}", url.trim_end_matches('/')))
            .bearer_auth(self.secret.expose())
            .json(&Wire::of(message))
            .send()
            .await
            .map_err(unreached)?;
        match answer.status() {
            StatusCode::NO_CONTENT => Ok(()),
            StatusCode::CONFLICT => Err(refused(answer.json().await.map_err(unreached)?)),
            other => Err(PeerError::Unreached(format!("it answered {other}"))),
        }
    }
}

impl Peers for Cluster {
    fn send<'a>(&'a self, url: &'a str, message: &'a PeerMessage) -> BoxFuture<'a, Result<(), PeerError>> {
        Box::pin(self.hand_over(url, message))
    }
}

/// Answers another node. A node without a cluster does not know the route.
pub(crate) async fn answer(cluster: Option<&Cluster>, calls: &Calls, request: &Request) -> Response {
    let Some(cluster) = cluster else { return empty(StatusCode::NOT_FOUND) };
    if !cluster.admits(request) {
        return empty(StatusCode::UNAUTHORIZED);
    }
    if request.method != Method::POST {
        return empty(StatusCode::METHOD_NOT_ALLOWED);
    }
    let Ok(wire) = serde_json::from_slice::<Wire>(&request.body) else { return empty(StatusCode::BAD_REQUEST) };
    let Some(message) = wire.into_message() else { return empty(StatusCode::BAD_REQUEST) };
    match calls.obey(message).await {
        Ok(()) => empty(StatusCode::NO_CONTENT),
        Err(error) => {
            let mut response = empty(StatusCode::CONFLICT);
            *response.body_mut() = serde_json::to_vec(&WireRefusal::of(&error)).unwrap_or_default().into();
            response
        }
    }
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

impl Wire {
    fn of(message: &PeerMessage) -> Self {
        let order = match message.order.clone() {
            PeerOrder::HangUp(HangUp::Now) => WireOrder::HangUpNow {},
            PeerOrder::HangUp(HangUp::AfterSentence) => WireOrder::HangUpAfterSentence {},
            PeerOrder::Say(saying) => {
                plain(&saying).unwrap_or_else(|| WireOrder::Say(Box::new(WireSaying::of(saying))))
            }
            PeerOrder::Hear(Question { text, interrupts: Switch::On, headers }) if headers.is_empty() => {
                WireOrder::Hear { text }
            }
            PeerOrder::Hear(Question { text, interrupts, headers }) => WireOrder::Ask { text, interrupts, headers },
            PeerOrder::Transfer(transfer) => WireOrder::Transfer(Box::new(transfer)),
            PeerOrder::Change { patch } => WireOrder::Change { patch },
            PeerOrder::Message { text } => WireOrder::Message { text },
            PeerOrder::Leave { user } => WireOrder::Leave { user },
            PeerOrder::Await { user } => WireOrder::Await { user },
        };
        Self { account: message.account.clone(), call: message.call, order }
    }

    /// The order; none: it cannot be read.
    fn into_message(self) -> Option<PeerMessage> {
        let order = match self.order {
            WireOrder::HangUpNow {} => PeerOrder::HangUp(HangUp::Now),
            WireOrder::HangUpAfterSentence {} => PeerOrder::HangUp(HangUp::AfterSentence),
            WireOrder::SayInterruptible { text } => PeerOrder::Say(Saying::now(text, Switch::On)),
            WireOrder::SayInsistent { text } => PeerOrder::Say(Saying::now(text, Switch::Off)),
            WireOrder::SayPatient { text } => PeerOrder::Say(Saying::next(text)),
            WireOrder::Say(saying) => PeerOrder::Say(saying.saying()?),
            WireOrder::Hear { text } => PeerOrder::Hear(text.into()),
            WireOrder::Ask { text, interrupts, headers } => PeerOrder::Hear(Question { text, interrupts, headers }),
            WireOrder::Transfer(transfer) => PeerOrder::Transfer(*transfer),
            WireOrder::Change { patch } => PeerOrder::Change { patch },
            WireOrder::Message { text } => PeerOrder::Message { text },
            WireOrder::Leave { user } => PeerOrder::Leave { user },
            WireOrder::Await { user } => PeerOrder::Await { user },
        };
        Some(PeerMessage { account: self.account, call: self.call, order })
    }
}

impl WireRefusal {
    fn of(error: &OrderError) -> Self {
        match error {
            OrderError::UnknownCall => Self::UnknownCall,
            OrderError::Ended(cause) => Self::Ended(*cause),
            OrderError::LastWords => Self::LastWords,
            OrderError::NotAnswered => Self::NotAnswered,
            OrderError::Elsewhere => Self::Elsewhere,
            OrderError::NoTelephone => Self::NoTelephone,
            OrderError::Transferring => Self::Transferring,
            OrderError::NoDesk => Self::NoDesk,
            OrderError::Refused(refusal) => Self::Refused(*refusal),
            OrderError::Busy => Self::Busy,
            OrderError::NoRoom => Self::NoRoom,
            OrderError::Store(_) => Self::Storage,
        }
    }
}

fn refused(refusal: WireRefusal) -> PeerError {
    match refusal {
        WireRefusal::UnknownCall => OrderError::UnknownCall.into(),
        WireRefusal::Ended(cause) => OrderError::Ended(cause).into(),
        WireRefusal::LastWords => OrderError::LastWords.into(),
        WireRefusal::NotAnswered => OrderError::NotAnswered.into(),
        WireRefusal::Elsewhere => OrderError::Elsewhere.into(),
        WireRefusal::NoTelephone => OrderError::NoTelephone.into(),
        WireRefusal::Transferring => OrderError::Transferring.into(),
        WireRefusal::NoDesk => OrderError::NoDesk.into(),
        WireRefusal::Refused(refusal) => OrderError::Refused(refusal).into(),
        WireRefusal::Busy => OrderError::Busy.into(),
        WireRefusal::NoRoom => OrderError::NoRoom.into(),
        // It may be over in a moment, as a network's trouble may.
        WireRefusal::Storage => PeerError::Unreached("its storage failed".to_owned()),
    }
}
