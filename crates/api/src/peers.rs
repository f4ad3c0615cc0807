//! Orders between nodes that share a database: one route, and the client that calls it on others. Hides the wire form and
//! the secret; what an order means and how often it is tried is the engine's. Not part of any dialect: a key of an account
//! opens nothing here, and the cluster's secret opens nothing else.

use crate::http::{Request, Response};
use callwright_domain::{AccountId, AgentPatch, CallId, ChannelName, HangupCause, Pii, Refusal, Transfer};
use callwright_engine::limits::PEER_WAIT;
use callwright_engine::{Calls, HangUp, OrderError, PeerError, PeerMessage, PeerOrder, Peers, Speech};
use futures_util::future::BoxFuture;
use http::{Method, StatusCode, header};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Where a node takes orders of others.
pub(crate) const PATH: &str = "/_node/orders";
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
    Hear {
        text: String,
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

/// Why an order was not carried out, on the wire.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireRefusal {
    UnknownCall,
    Ended(HangupCause),
    NotAnswered,
    Elsewhere,
    NoTelephone,
    Transferring,
    NoDesk,
    Refused(Refusal),
    Busy,
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

    fn admits(&self, request: &Request) -> bool {
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
    match calls.obey(wire.into_message()).await {
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
            PeerOrder::Say { text, order: Speech::Interruptible } => WireOrder::SayInterruptible { text },
            PeerOrder::Say { text, order: Speech::Insistent } => WireOrder::SayInsistent { text },
            PeerOrder::Say { text, order: Speech::Patient } => WireOrder::SayPatient { text },
            PeerOrder::Hear { text } => WireOrder::Hear { text },
            PeerOrder::Transfer(transfer) => WireOrder::Transfer(Box::new(transfer)),
            PeerOrder::Change { patch } => WireOrder::Change { patch },
            PeerOrder::Message { text } => WireOrder::Message { text },
            PeerOrder::Leave { user } => WireOrder::Leave { user },
            PeerOrder::Await { user } => WireOrder::Await { user },
        };
        Self { account: message.account.clone(), call: message.call, order }
    }

    fn into_message(self) -> PeerMessage {
        let order = match self.order {
            WireOrder::HangUpNow {} => PeerOrder::HangUp(HangUp::Now),
            WireOrder::HangUpAfterSentence {} => PeerOrder::HangUp(HangUp::AfterSentence),
            WireOrder::SayInterruptible { text } => PeerOrder::Say { text, order: Speech::Interruptible },
            WireOrder::SayInsistent { text } => PeerOrder::Say { text, order: Speech::Insistent },
            WireOrder::SayPatient { text } => PeerOrder::Say { text, order: Speech::Patient },
            WireOrder::Hear { text } => PeerOrder::Hear { text },
            WireOrder::Transfer(transfer) => PeerOrder::Transfer(*transfer),
            WireOrder::Change { patch } => PeerOrder::Change { patch },
            WireOrder::Message { text } => PeerOrder::Message { text },
            WireOrder::Leave { user } => PeerOrder::Leave { user },
            WireOrder::Await { user } => PeerOrder::Await { user },
        };
        PeerMessage { account: self.account, call: self.call, order }
    }
}

impl WireRefusal {
    fn of(error: &OrderError) -> Self {
        match error {
            OrderError::UnknownCall => Self::UnknownCall,
            OrderError::Ended(cause) => Self::Ended(*cause),
            OrderError::NotAnswered => Self::NotAnswered,
            OrderError::Elsewhere => Self::Elsewhere,
            OrderError::NoTelephone => Self::NoTelephone,
            OrderError::Transferring => Self::Transferring,
            OrderError::NoDesk => Self::NoDesk,
            OrderError::Refused(refusal) => Self::Refused(*refusal),
            OrderError::Busy => Self::Busy,
            OrderError::Store(_) => Self::Storage,
        }
    }
}

fn refused(refusal: WireRefusal) -> PeerError {
    match refusal {
        WireRefusal::UnknownCall => OrderError::UnknownCall.into(),
        WireRefusal::Ended(cause) => OrderError::Ended(cause).into(),
        WireRefusal::NotAnswered => OrderError::NotAnswered.into(),
        WireRefusal::Elsewhere => OrderError::Elsewhere.into(),
        WireRefusal::NoTelephone => OrderError::NoTelephone.into(),
        WireRefusal::Transferring => OrderError::Transferring.into(),
        WireRefusal::NoDesk => OrderError::NoDesk.into(),
        WireRefusal::Refused(refusal) => OrderError::Refused(refusal).into(),
        WireRefusal::Busy => OrderError::Busy.into(),
        // It may be over in a moment, as a network's trouble may.
        WireRefusal::Storage => PeerError::Unreached("its storage failed".to_owned()),
    }
}
