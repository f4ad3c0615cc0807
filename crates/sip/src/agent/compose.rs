//! How requests and answers of ours are put together: Via, Contact, Allow, bodies, and where they go.
//!
//! Hides which address of ours goes where. Never sends.

use std::net::SocketAddr;

use super::{Transport, UserAgent};
use crate::invite::{Body, Trunk};
use crate::message::{
    HeaderName, HeaderValue, Headers, MediaType, Method, NameAddr, Request, Response, SipUri, Uri, Via, find_body,
};
use crate::transaction::Way;

/// The body type sessions are described in.
pub(super) const SDP: &str = "application/sdp";

/// Methods served, for Allow.
const METHODS: [Method; 10] = [
    Method::Invite,
    Method::Ack,
    Method::Bye,
    Method::Cancel,
    Method::Options,
    Method::Info,
    Method::Prack,
    Method::Update,
    Method::Refer,
    Method::Notify,
];

/// The port of a SIP address that names none.
const DEFAULT_PORT: u16 = 5060;

impl UserAgent {
    /// A Via of ours with a fresh branch; `None`: no local address for the transport.
    pub(super) fn via(&mut self, transport: Transport) -> Option<Via> {
        let branch = self.entropy.branch();
        self.via_with(transport, &branch)
    }

    /// A Via of ours with this branch; `None`: no local address, or the branch is no token.
    pub(super) fn via_with(&self, transport: Transport, branch: &str) -> Option<Via> {
        let local = self.settings.local_for(transport)?;
        Via::new(transport.via_word(), local.sip_host()?, Some(local.port), branch).ok() // The caller names what is wrong.
    }

    /// Our Contact for a transport, with the user part of `user` if it has one.
    pub(super) fn contact(&self, transport: Transport, user: Option<&Uri>) -> Option<NameAddr> {
        let local = self.settings.local_for(transport)?;
        let mut uri = SipUri::new(local.sip_host()?).with_port(local.port);
        if let Some(user) = user.and_then(Uri::as_sip).and_then(SipUri::user_decoded) {
            uri = uri.clone().with_user(&user).unwrap_or(uri);
        }
        if let Some(word) = transport.uri_word() {
            uri = uri.clone().with_param("transport", word).unwrap_or(uri);
        }
        Some(NameAddr::new(uri))
    }

    /// What every request of ours that makes or refreshes a dialog says of us.
    pub(super) fn introduce(&self, headers: &mut Headers, contact: Option<&NameAddr>) {
        if let Some(contact) = contact {
            headers.push(HeaderName::Contact, contact);
        }
        headers.push(HeaderName::Allow, allow());
        self.name_product(headers);
    }

    /// `User-Agent`, where peers we chose ourselves may see it.
    pub(super) fn name_product(&self, headers: &mut Headers) {
        if let Ok(product) = HeaderValue::new(&self.settings.user_agent)
            && !product.as_str().is_empty()
        {
            headers.push(HeaderName::UserAgent, product);
        }
    }

    /// A copy of a request of ours to be sent as a new one: next number, fresh branch, no answer to a challenge.
    /// `None`: it lacks a part, or the local address is gone.
    pub(super) fn renewed(&mut self, request: &Request, transport: Transport) -> Option<Request> {
        let mut request = request.clone();
        let mut cseq = request.headers.cseq()?;
        cseq.number = cseq.number.checked_add(1)?;
        request.headers.set(HeaderName::CSeq, &cseq);
        request.headers.set(HeaderName::Via, &self.via(transport)?);
        request.headers.remove(&HeaderName::Authorization);
        request.headers.remove(&HeaderName::ProxyAuthorization);
        Some(request)
    }
}

/// The `Allow` line.
pub(super) fn allow() -> HeaderValue {
    HeaderValue::list(METHODS.iter().map(Method::as_str))
}

/// Where a request goes: to the next hop if that is an address of the trunk, else to the trunk. An address that only a
/// message named is never contacted.
pub(super) fn way_to(trunk: &Trunk, hop: &Uri) -> Way {
    let named = hop.as_sip().and_then(|uri| {
        let address = uri.host().ip().filter(|address| trunk.owns(*address))?;
        Some(SocketAddr::new(address, uri.port().unwrap_or(DEFAULT_PORT)))
    });
    Way { transport: trunk.transport, destination: named.unwrap_or(trunk.peer), flow: None }
}

/// Writes a body; `None`: its type cannot be read.
pub(super) fn with_body(request: Request, body: Body) -> Option<Request> {
    let media_type = MediaType::parse(&body.content_type)?;
    Some(request.with_body(&media_type, body.bytes))
}

/// Writes a body into an answer; a body whose type cannot be read is left out.
pub(super) fn answer_with_body(response: Response, body: Option<Body>) -> Response {
    match body.and_then(|body| Some((MediaType::parse(&body.content_type)?, body.bytes))) {
        Some((media_type, bytes)) => response.with_body(&media_type, bytes),
        None => response,
    }
}

/// The session description of a message, taken out of a multipart if need be.
pub(super) fn session_description(headers: &Headers, body: &[u8]) -> Option<Body> {
    let found = find_body(headers, body, SDP)?;
    (!found.is_empty()).then(|| Body::sdp(found))
}
