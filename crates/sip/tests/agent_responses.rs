//! The response templates, each as the answer to an INVITE: what the index expects of a caller.

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use callwright_sip::{Credentials, Event, HangupCause, Reliability, Transport, Trunk, normal_clearing};
use support::{CALLEE, SDP, Stage, address, header, headers, invite, label, secs};

/// The template with our request filled in, and line ends as on the wire.
fn fill(name: &str, request: &[u8]) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/responses").join(name);
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
    let (head, body) = text.split_once("\n\n").map_or((text.as_str(), ""), |(head, body)| (head, body));
    let value = |name: &str| header(request, name).unwrap_or_default();
    let put = |text: &str| {
        text.replace("{{via}}", &value("Via"))
            .replace("{{from}}", &value("From"))
            .replace("{{to}}", &value("To"))
            .replace("{{call_id}}", &value("Call-ID"))
            .replace("{{cseq}}", &value("CSeq"))
            .replace("{{peer_addr}}", CALLEE)
            .replace("{{sdp}}", SDP)
    };
    let body = put(body);
    let head = put(head).replace("{{len}}", &body.len().to_string()).replace('\n', "\r\n");
    format!("{head}\r\n\r\n{body}").into_bytes()
}

/// What came of it: the labels sent after the answer, and the events.
struct Result {
    stage: Stage,
    labels: Vec<String>,
    events: Vec<Event>,
    invite: Vec<u8>,
}

fn play(name: &str) -> Result {
    let mut stage = Stage::new();
    let trunk = Trunk {
        credentials: Some(Credentials::new("user", "secret").expect("credentials")),
        realm: Some(String::from("trunk.example")),
        ..Trunk::at(address(CALLEE), Transport::Udp)
    };
    let mut plan = invite(Arc::new(trunk));
    plan.reliability = Reliability::Offered;
    let calling = stage.agent.invite(stage.now, plan).expect("sent");
    assert!(calling.key().number() > 0);
    let invite = stage.last("INVITE");
    stage.take();
    let bytes = fill(name, &invite);
    stage.hear(bytes);
    let labels = stage.sent.iter().map(|bytes| label(bytes)).collect();
    let events = stage.drain_events();
    Result { stage, labels, events, invite }
}

impl Result {
    fn answered(&mut self) -> callwright_sip::Confirmed {
        let event = self.events.pop().expect("an event");
        let Event::Answered { handle, body, .. } = event else { panic!("not answered: {event:?}") };
        assert!(body.is_some_and(|body| body.bytes.starts_with(b"v=0")));
        assert_eq!(self.labels, ["ACK"]);
        handle
    }

    fn failed(&self) -> &callwright_sip::Failure {
        match self.events.as_slice() {
            [Event::Failed { failure, .. }] => failure,
            other => panic!("not failed: {other:?}"),
        }
    }

    /// The call is ended, and nothing is left of it.
    fn end(mut self) {
        if let Some(Event::Answered { handle, .. }) = self.events.pop() {
            self.stage.agent.bye(self.stage.now, handle, Some(normal_clearing()));
        }
        self.stage.pass(secs(200));
        assert!(self.stage.agent.live().is_zero(), "{:?}", self.stage.agent.live());
    }

    /// Nobody believed it: the INVITE goes on.
    fn unheard(mut self) {
        assert!(self.events.is_empty() && self.labels.is_empty(), "{:?} {:?}", self.events, self.labels);
        self.stage.pass(secs(40));
        let events = self.stage.drain_events();
        assert!(matches!(&events[..], [Event::Failed { failure, .. }] if failure.cause == HangupCause::NoResponse));
        self.stage.pass(secs(200));
        assert!(self.stage.agent.live().is_zero());
    }
}

#[test]
fn every_template_is_named_here() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/responses");
    let source = include_str!("agent_responses.rs");
    for entry in fs::read_dir(dir).expect("fixtures") {
        let name = entry.expect("entry").file_name().into_string().expect("name");
        assert!(!name.ends_with(".sip") || source.contains(&format!("\"{name}\"")), "{name} has no test");
    }
}

#[test]
fn answers_that_make_a_call() {
    for name in [
        "ok-folded-and-compact.sip",
        "ok-multipart-sdp.sip",
        "ok-two-contacts.sip",
        "ok-contact-metadata-ip.sip",
        "ok-no-to-tag.sip",
        "ok-no-reason-no-space.sip",
        "ok-60k-body.sip",
    ] {
        let mut result = play(name);
        let handle = result.answered();
        result.stage.agent.bye(result.stage.now, handle, None);
        result.end();
    }
}

#[test]
fn routes_are_kept_in_reverse() {
    let mut result = play("ok-record-route-lr-x3.sip");
    let ack = result.stage.last("ACK");
    let handle = result.answered();
    result.stage.agent.bye(result.stage.now, handle, None);
    for message in [ack, result.stage.last("BYE")] {
        let order: Vec<_> = headers(&message, "Route").join(",").matches("n=").map(String::from).collect();
        assert_eq!(order.len(), 3);
        let text = headers(&message, "Route").join(",");
        let place = |n: &str| text.find(n).expect("route");
        assert!(place("n=3") < place("n=2") && place("n=2") < place("n=1"), "{text}");
    }
    result.end();
}

#[test]
fn the_first_contact_is_the_target_and_a_foreign_one_is_not_contacted() {
    let mut result = play("ok-two-contacts.sip");
    let ack = String::from_utf8(result.stage.last("ACK")).expect("text");
    let target = ack.lines().next().expect("line").to_owned();
    assert!(target.starts_with("ACK sip:"), "{target}");
    drop(result.answered());
    let mut stage = Stage::new();
    drop(stage.agent.invite(stage.now, invite(support::trunk())).expect("sent"));
    let request = stage.last("INVITE");
    let bytes = fill("ok-contact-metadata-ip.sip", &request);
    let arrival = callwright_sip::Arrival { source: address(CALLEE), transport: Transport::Udp, flow: None, bytes };
    stage.agent.handle(stage.now, callwright_sip::Input::Message(arrival));
    let ack = stage.agent.poll_transmit().expect("an ACK");
    assert_eq!((label(&ack.bytes).as_str(), ack.destination), ("ACK", address(CALLEE)));
}

#[test]
fn answers_that_are_no_session() {
    // No session description: reported as answered without one; the application decides to end it.
    let result = play("ok-empty-sdp-body.sip");
    assert!(matches!(&result.events[..], [Event::Answered { body: None, .. }]), "{:?}", result.events);
    result.end();
    // No Contact: acknowledged at the request URI and ended.
    let result = play("ok-no-contact.sip");
    assert_eq!(result.labels, ["ACK", "BYE"]);
    assert_eq!(result.failed().cause, HangupCause::Protocol);
    result.end();
}

#[test]
fn answers_that_are_not_ours_or_not_sound() {
    for name in
        ["ok-via-mismatch.sip", "099-code.sip", "999-code.sip", "ok-content-length-long.sip", "ok-from-tag-changed.sip"]
    {
        play(name).unheard();
    }
}

#[test]
fn provisional_answers() {
    let result = play("180-no-tag-then-use.sip");
    let [Event::Progress { progress, .. }] = &result.events[..] else { panic!("{:?}", result.events) };
    assert_eq!((progress.status, &progress.fork), (180, &None));
    assert_eq!(result.stage.agent.live().dialogs, 0);
    let result = play("183-100rel-rseq-0.sip");
    assert!(result.labels.is_empty(), "an RSeq of 0 is not acknowledged: {:?}", result.labels);
    assert_eq!(result.stage.agent.live().calls, 1);
}

#[test]
fn failures() {
    let result = play("302-contact-foreign.sip");
    assert_eq!(result.labels, ["ACK"]);
    assert_eq!(result.failed().cause, HangupCause::Redirected);
    assert!(result.failed().contact.is_some());
    result.end();
    let result = play("486-reason-headers.sip");
    assert_eq!(result.failed().cause, HangupCause::Busy);
    assert_eq!(result.failed().reason.as_ref().and_then(callwright_sip::Reason::q850), Some(17));
    result.end();
    let result = play("503-retry-after-huge.sip");
    assert_eq!(result.failed().cause, HangupCause::Congested);
    assert!(result.failed().retry_after.is_some_and(|wait| wait <= secs(300)));
    assert!(result.failed().may_try_next_trunk());
    result.end();
    let result = play("607-unwanted.sip");
    assert_eq!(result.failed().cause, HangupCause::Unwanted);
    assert!(!result.failed().may_try_next_trunk());
    result.end();
}

#[test]
fn challenges() {
    // A header line beyond the cap makes the whole message unreadable; the call fails by its timer.
    play("401-nonce-30k.sip").unheard();
    for name in ["401-realm-foreign.sip", "401-100-challenges.sip"] {
        let result = play(name);
        assert_eq!(result.labels, ["ACK"], "{name}: no credentials for that");
        assert_eq!(result.failed().cause, HangupCause::AuthFailed, "{name}");
        assert!(header(&result.invite, "Authorization").is_none());
        result.end();
    }
}
