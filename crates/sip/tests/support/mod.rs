//! Two user agents and a wire between them on a virtual clock, and a peer that speaks from scripts.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::disallowed_methods, reason = "a virtual clock needs one real moment to start from")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use callwright_sip::{
    AckTiming, Arrival, Body, DialIntent, Event, Inbound, Input, LocalAddress, OutboundInvite, Reliability, Settings,
    Transmit, Transport, Trunk, TrunkRef, UserAgent,
};

pub const CALLER: &str = "127.0.0.1:5060";
pub const CALLEE: &str = "127.0.0.2:5060";
pub const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

pub fn address(text: &str) -> SocketAddr {
    text.parse().expect("socket address")
}

pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub fn agent(own: &str, peer: &str, seed: u64) -> UserAgent {
    let mut settings = Settings::new(vec![LocalAddress::of_socket(Transport::Udp, address(own))]);
    settings.peers.insert(address(peer).ip());
    settings.inbound = Inbound::Offer;
    UserAgent::new(settings, seed)
}

pub fn trunk() -> TrunkRef {
    Arc::new(Trunk::at(address(CALLEE), Transport::Udp))
}

pub fn invite(trunk: TrunkRef) -> OutboundInvite {
    OutboundInvite {
        trunk,
        request_uri: "sip:+15550100@127.0.0.2".parse().expect("uri"),
        from: "<sip:+15550199@127.0.0.1>".parse().expect("name-addr"),
        to: "<sip:+15550100@127.0.0.2>".parse().expect("name-addr"),
        asserted_identity: None,
        headers: Vec::new(),
        identity: DialIntent {
            call_id: String::from("intent-1@callwright"),
            from_tag: String::from("fromtag1"),
            branch: String::from("z9hG4bKfirst"),
            cseq: 1,
        },
        offer: Body::sdp(SDP),
        session_expires: None,
        reliability: Reliability::Off,
        ring_timeout: secs(60),
        ack: AckTiming::AtOnce,
    }
}

/// What a message is, in few words: `INVITE`, `200 INVITE`.
pub fn label(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let first = text.lines().next().unwrap_or("");
    if let Some(rest) = first.strip_prefix("SIP/2.0 ") {
        let status = rest.split(' ').next().unwrap_or("");
        let method =
            header(bytes, "CSeq").and_then(|cseq| cseq.split(' ').nth(1).map(String::from)).unwrap_or_default();
        return format!("{status} {method}");
    }
    first.split(' ').next().unwrap_or("").to_owned()
}

/// The value of the first header line of this name.
pub fn header(bytes: &[u8], name: &str) -> Option<String> {
    headers(bytes, name).into_iter().next()
}

/// The values of all header lines of this name.
pub fn headers(bytes: &[u8], name: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let head = text.split("\r\n\r\n").next().unwrap_or("").to_owned();
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .filter(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().to_owned())
        .collect()
}

/// An answer to a request of ours, as a peer would write it.
pub fn answer(request: &[u8], status: &str, tag: &str, more: &str, body: &str) -> Vec<u8> {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for via in headers(request, "Via") {
        text += &format!("Via: {via}\r\n");
    }
    let to = header(request, "To").unwrap_or_default();
    let to = if tag.is_empty() || to.contains(";tag=") { to } else { format!("{to};tag={tag}") };
    for name in ["From", "Call-ID", "CSeq"] {
        text += &format!("{name}: {}\r\n", header(request, name).unwrap_or_default());
    }
    text += &format!("To: {to}\r\n{more}");
    if !body.is_empty() {
        text += "Content-Type: application/sdp\r\n";
    }
    text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
    text.into_bytes()
}

/// The Contact line of the scripted peer.
pub const CONTACT: &str = "Contact: <sip:peer@127.0.0.2:5060>\r\n";

/// A request of the scripted peer inside the call that our INVITE made with `tag`.
pub fn inner(invite: &[u8], method: &str, (tag, cseq): (&str, u32), more: &str, body: &str) -> Vec<u8> {
    let from = header(invite, "To").unwrap_or_default();
    let to = header(invite, "From").unwrap_or_default();
    let call_id = header(invite, "Call-ID").unwrap_or_default();
    // The ACK of a failure belongs to the transaction of its INVITE.
    let branch = if method == "ACK" { "INVITE" } else { method };
    format!(
        "{method} sip:127.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:5060;branch=z9hG4bKpeer{branch}{cseq};rport\r\n\
         Max-Forwards: 70\r\nFrom: {from};tag={tag}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n{more}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// One user agent of ours against scripts.
pub struct Stage {
    pub now: Instant,
    pub start: Instant,
    pub agent: UserAgent,
    pub sent: Vec<Vec<u8>>,
    pub events: Vec<Event>,
}

impl Stage {
    pub fn new() -> Self {
        let now = Instant::now();
        Self { now, start: now, agent: agent(CALLER, CALLEE, 7), sent: Vec::new(), events: Vec::new() }
    }

    pub fn collect(&mut self) {
        while let Some(Transmit { bytes, .. }) = self.agent.poll_transmit() {
            self.sent.push(bytes);
        }
        while let Some(event) = self.agent.poll_event() {
            self.events.push(event);
        }
    }

    /// The scripted peer says something.
    pub fn hear(&mut self, bytes: Vec<u8>) {
        self.hear_from(CALLEE, bytes);
    }

    pub fn hear_from(&mut self, source: &str, bytes: Vec<u8>) {
        let arrival = Arrival { source: address(source), transport: Transport::Udp, flow: None, bytes };
        self.agent.handle(self.now, Input::Message(arrival));
        self.collect();
    }

    /// Time passes; timers run when they are due.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        self.collect();
        while let Some(at) = self.agent.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.agent.handle_timeout(self.now);
            self.collect();
        }
        self.now = until;
    }

    /// Takes what was sent so far.
    pub fn take(&mut self) -> Vec<Vec<u8>> {
        self.collect();
        std::mem::take(&mut self.sent)
    }

    /// The labels of what was sent so far.
    pub fn labels(&mut self) -> Vec<String> {
        self.take().iter().map(|bytes| label(bytes)).collect()
    }

    pub fn last(&mut self, wanted: &str) -> Vec<u8> {
        self.collect();
        let found = self.sent.iter().rev().find(|bytes| label(bytes) == wanted);
        found
            .unwrap_or_else(|| panic!("no {wanted} among {:?}", self.sent.iter().map(|b| label(b)).collect::<Vec<_>>()))
            .clone()
    }

    pub fn drain_events(&mut self) -> Vec<Event> {
        self.collect();
        std::mem::take(&mut self.events)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Caller,
    Callee,
}

/// What the wire does with a message: true to lose it.
pub type Weather = Box<dyn FnMut(Side, &str) -> bool>;

/// Two user agents and the wire between them.
pub struct World {
    pub now: Instant,
    pub start: Instant,
    pub caller: UserAgent,
    pub callee: UserAgent,
    flying: BTreeMap<(Instant, u64), (Side, Vec<u8>)>,
    next: u64,
    weather: Weather,
    pub log: Vec<String>,
}

impl World {
    pub fn new(weather: Weather) -> Self {
        let now = Instant::now();
        Self {
            now,
            start: now,
            caller: agent(CALLER, CALLEE, 1),
            callee: agent(CALLEE, CALLER, 2),
            flying: BTreeMap::new(),
            next: 0,
            weather,
            log: Vec::new(),
        }
    }

    fn launch(&mut self) {
        for from in [Side::Caller, Side::Callee] {
            let ua = if from == Side::Caller { &mut self.caller } else { &mut self.callee };
            while let Some(transmit) = ua.poll_transmit() {
                let label = label(&transmit.bytes);
                let lost = (self.weather)(from, &label);
                let at = self.now.duration_since(self.start).as_millis();
                self.log.push(format!("{at:>7} {from:?} {label}{}", if lost { " (lost)" } else { "" }));
                if !lost {
                    self.next += 1;
                    self.flying.insert((self.now + millis(10), self.next), (from, transmit.bytes));
                }
            }
        }
    }

    /// The next moment at which something happens, no later than `until`; then does it. False: nothing before `until`.
    pub fn step(&mut self, until: Instant) -> bool {
        self.launch();
        let arrival = self.flying.keys().next().map(|key| key.0);
        let times = [arrival, self.caller.poll_timeout(), self.callee.poll_timeout()];
        let Some(at) = times.into_iter().flatten().min().filter(|at| *at <= until) else {
            self.now = until;
            return false;
        };
        self.now = self.now.max(at);
        while let Some(entry) = self.flying.first_entry().filter(|entry| entry.key().0 <= at) {
            let (from, bytes) = entry.remove();
            let (to, source) = match from {
                Side::Caller => (&mut self.callee, CALLER),
                Side::Callee => (&mut self.caller, CALLEE),
            };
            let arrival = Arrival { source: address(source), transport: Transport::Udp, flow: None, bytes };
            to.handle(self.now, Input::Message(arrival));
        }
        self.caller.handle_timeout(self.now);
        self.callee.handle_timeout(self.now);
        self.launch();
        true
    }
}
