//! Dialogs (RFC 3261 section 12): who talks to whom, under which tags, numbers and routes.
//!
//! Hides loose and strict routing and the order of `CSeq`. Sends nothing and knows no timers.

use std::fmt;

use crate::message::{
    CallId, HeaderName, HeaderValue, Headers, Method, NameAddr, NewRequest, Request, Response, SipUri, Uri, Via,
};

/// What identifies a dialog. A peer of RFC 2543 has an empty tag.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct DialogId {
    pub(crate) call_id: CallId,
    pub(crate) local_tag: Box<str>,
    pub(crate) remote_tag: Box<str>,
}

impl fmt::Debug for DialogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.call_id, self.local_tag, self.remote_tag)
    }
}

impl DialogId {
    /// The dialog a request of a peer belongs to: its To is ours. `None`: it belongs to none.
    pub(crate) fn of_request(headers: &Headers) -> Option<Self> {
        let to = headers.to()?;
        let from = headers.from()?;
        Some(Self {
            call_id: headers.call_id()?,
            local_tag: to.tag()?.into(),
            remote_tag: from.tag().unwrap_or("").into(),
        })
    }
}

/// One dialog.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    call_id: CallId,
    /// Us, with our tag.
    local: NameAddr,
    /// The peer, with its tag if it has one.
    remote: NameAddr,
    /// Where requests are meant for: the peer's Contact.
    target: Uri,
    /// The way there, nearest first.
    routes: Vec<NameAddr>,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    side: Side,
}

/// Which side of the INVITE that made a dialog we were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Caller,
    Callee,
}

/// Whether a request of the peer comes in order (RFC 3261 section 12.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Later than all before.
    Next,
    /// Earlier than one before, or the same number again.
    Stale,
}

impl Dialog {
    /// The dialog that an answer with a To tag (or a 2xx without one) makes at the side that sent the INVITE.
    /// `None`: a part is missing.
    pub(crate) fn at_caller(invite: &Request, answer: &Response) -> Option<Self> {
        let mut routes = answer.headers.record_routes();
        routes.reverse();
        let target =
            answer.headers.contacts().into_iter().next().map_or_else(|| invite.uri.clone(), |c| c.uri().clone());
        Some(Self {
            call_id: invite.headers.call_id()?,
            local: invite.headers.from()?,
            remote: answer.headers.to()?,
            target,
            routes,
            local_cseq: invite.headers.cseq()?.number,
            remote_cseq: None,
            side: Side::Caller,
        })
    }

    /// The dialog at the side that answers an INVITE with `tag`. `None`: the INVITE has no Contact, or a part is missing.
    pub(crate) fn at_callee(invite: &Request, tag: &str) -> Option<Self> {
        Some(Self {
            call_id: invite.headers.call_id()?,
            local: invite.headers.to()?.with_tag(tag).ok()?, // A tag of ours is always a token.
            remote: invite.headers.from()?,
            target: invite.headers.contacts().into_iter().next()?.uri().clone(),
            routes: invite.headers.record_routes(),
            local_cseq: 0,
            remote_cseq: Some(invite.headers.cseq()?.number),
            side: Side::Callee,
        })
    }

    /// A dialog put together from what was written down.
    pub(crate) fn restored(parts: Parts) -> Self {
        let Parts { call_id, local, remote, target, routes, local_cseq } = parts;
        Self { call_id, local, remote, target, routes, local_cseq, remote_cseq: None, side: Side::Caller }
    }

    pub(crate) fn id(&self) -> DialogId {
        DialogId {
            call_id: self.call_id.clone(),
            local_tag: self.local.tag().unwrap_or("").into(),
            remote_tag: self.remote_tag().into(),
        }
    }

    pub(crate) fn remote_tag(&self) -> &str {
        self.remote.tag().unwrap_or("")
    }

    pub(crate) fn local_tag(&self) -> &str {
        self.local.tag().unwrap_or("")
    }

    /// Which side we are: the caller chose the Call-ID.
    pub(crate) fn side(&self) -> Side {
        self.side
    }

    /// What must be written down to restore it.
    pub(crate) fn parts(&self) -> Parts {
        Parts {
            call_id: self.call_id.clone(),
            local: self.local.clone(),
            remote: self.remote.clone(),
            target: self.target.clone(),
            routes: self.routes.clone(),
            local_cseq: self.local_cseq,
        }
    }

    /// The next number for a request of ours, which stays below 2^31 (RFC 3261 section 8.1.1.5).
    pub(crate) fn next_cseq(&mut self) -> u32 {
        self.local_cseq = (self.local_cseq + 1).min(0x7fff_ffff);
        self.local_cseq
    }

    /// The number of the latest request of ours.
    pub(crate) fn local_cseq(&self) -> u32 {
        self.local_cseq
    }

    /// Notes a number that was used for a request outside this value (the INVITE again after a challenge).
    pub(crate) fn used_cseq(&mut self, number: u32) {
        self.local_cseq = self.local_cseq.max(number);
    }

    /// Takes the number of a request of the peer.
    pub(crate) fn take_remote_cseq(&mut self, number: u32) -> Order {
        match self.remote_cseq {
            Some(last) if number <= last => Order::Stale,
            _ => {
                self.remote_cseq = Some(number);
                Order::Next
            }
        }
    }

    /// A target refresh (RFC 3261 section 12.2): the first Contact replaces the target; without one it stays.
    pub(crate) fn refresh_target(&mut self, headers: &Headers) {
        if let Some(contact) = headers.contacts().into_iter().next() {
            self.target = contact.uri().clone();
        }
    }

    /// Where the next request of ours should go by its routes.
    pub(crate) fn next_hop(&self) -> &Uri {
        self.routes.first().map_or(&self.target, NameAddr::uri)
    }

    /// A request inside the dialog (RFC 3261 section 12.2.1.1).
    pub(crate) fn request(&self, method: Method, cseq: u32, via: Via) -> Request {
        let (uri, routes) = self.way();
        let parts = NewRequest {
            method,
            uri,
            via,
            from: self.local.clone(),
            to: self.remote.clone(),
            call_id: self.call_id.clone(),
            cseq,
        };
        let mut request = parts.build();
        for route in routes {
            request.headers.push(HeaderName::Route, route);
        }
        request
    }

    /// Request URI and Route lines: a loose router keeps the target in the request URI, a strict one takes its place.
    fn way(&self) -> (Uri, Vec<HeaderValue>) {
        let strict = match self.routes.first().map(NameAddr::uri) {
            Some(Uri::Sip(first)) if !first.is_loose_router() => Some(first.clone().without_headers()),
            _ => None,
        };
        match strict {
            None => (request_uri(&self.target), self.routes.iter().map(HeaderValue::from).collect()),
            Some(first) => {
                let mut lines: Vec<_> = self.routes.iter().skip(1).map(HeaderValue::from).collect();
                lines.push(HeaderValue::from(&NameAddr::new(self.target.clone())));
                (Uri::Sip(first), lines)
            }
        }
    }
}

/// What a restored dialog is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) call_id: CallId,
    pub(crate) local: NameAddr,
    pub(crate) remote: NameAddr,
    pub(crate) target: Uri,
    pub(crate) routes: Vec<NameAddr>,
    pub(crate) local_cseq: u32,
}

/// A contact as a request URI: without the headers part (RFC 3261 section 19.1.1).
fn request_uri(target: &Uri) -> Uri {
    match target {
        Uri::Sip(uri) => Uri::Sip(SipUri::clone(uri).without_headers()),
        Uri::Tel(_) | Uri::Other(_) => target.clone(),
    }
}
