//! What peers get who ask us something: calls of theirs, requests outside calls, floods, strangers.

mod support;

use callwright_sip::{Body, EndedBy, Event, HangupCause, Inbound, Incoming, Invitation, Registration};
use support::{CALLEE, CONTACT, SDP, Stage, address, answer, header, label, millis, secs, trunk};

/// A request outside any call.
fn outer(method: &str, number: u32, more: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} sip:127.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:5060;branch=z9hG4bKout{method}{number};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:peer@127.0.0.2>;tag=P{number}\r\nTo: <sip:127.0.0.1>\r\nCall-ID: out{number}\r\n\
         CSeq: 1 {method}\r\n{more}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn call(number: u32, more: &str) -> Vec<u8> {
    outer("INVITE", number, &format!("{CONTACT}Content-Type: application/sdp\r\n{more}"), SDP)
}

/// A request in the dialog that our answer to `invite` made.
fn follow(invite: &[u8], answer: &[u8], method: &str, number: u32, more: &str) -> Vec<u8> {
    let value = |bytes: &[u8], name: &str| header(bytes, name).unwrap_or_default();
    format!(
        "{method} sip:127.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:5060;branch=z9hG4bKin{method}{number};rport\r\n\
         Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {number} {method}\r\n{more}Content-Length: 0\r\n\r\n",
        value(invite, "From"),
        value(answer, "To"),
        value(invite, "Call-ID"),
    )
    .into_bytes()
}

fn incoming(stage: &mut Stage) -> (Incoming, Box<Invitation>) {
    match stage.drain_events().pop() {
        Some(Event::Incoming { handle, invitation, .. }) => (handle, invitation),
        other => panic!("no call: {other:?}"),
    }
}

fn nothing_left(stage: &mut Stage) {
    stage.pass(secs(64));
    assert!(stage.agent.live().is_zero(), "{:?}", stage.agent.live());
}

#[test]
fn strangers_get_nothing_and_leave_nothing() {
    let mut stage = Stage::new();
    for (number, method) in
        (0..).zip(["INVITE", "OPTIONS", "REGISTER", "REFER", "MESSAGE", "SUBSCRIBE", "NOTIFY", "PUBLISH", "BYE"])
    {
        stage.hear_from("127.0.0.9:5060", outer(method, number, "", ""));
    }
    stage.hear_from("127.0.0.9:5060", b"\x16\x03\x01 not SIP at all".to_vec());
    assert!(stage.labels().is_empty() && stage.drain_events().is_empty());
    assert!(stage.agent.live().is_zero());
}

#[test]
fn known_peers_get_the_right_status_without_state_or_product() {
    let mut stage = Stage::new();
    stage.agent.settings_mut().inbound = Inbound::Refuse;
    let cases = [
        ("INVITE", CONTACT, "403 INVITE"),
        ("OPTIONS", "", "200 OPTIONS"),
        ("REFER", "Refer-To: <sip:+19005551234@127.0.0.9>\r\n", "403 REFER"),
        ("REGISTER", "", "405 REGISTER"),
        ("MESSAGE", "", "405 MESSAGE"),
        ("SUBSCRIBE", "Event: presence\r\n", "405 SUBSCRIBE"),
        ("PUBLISH", "Event: presence\r\n", "405 PUBLISH"),
        ("BYE", "", "481 BYE"),
        ("CANCEL", "", "481 CANCEL"),
        ("NOTIFY", "Event: x\r\nSubscription-State: active\r\n", "481 NOTIFY"),
        ("FROBNICATE", "", "501 FROBNICATE"),
        ("INVITE", "Require: nosuch\r\nContact: <sip:p@127.0.0.2>\r\n", "420 INVITE"),
    ];
    for (number, (method, more, expected)) in (0..).zip(cases) {
        let request = outer(method, number, more, "");
        stage.hear(request.clone());
        stage.hear(request.clone());
        let sent = stage.take();
        assert_eq!(sent.iter().map(|bytes| label(bytes)).collect::<Vec<_>>(), [expected, expected]);
        assert_eq!(header(&sent[0], "To"), header(&sent[1], "To"), "the same tag each time");
        assert!(header(&sent[0], "Server").is_none() && header(&sent[0], "User-Agent").is_none());
        let small = sent[0].len() <= request.len() * 3 / 2;
        assert!(small || method == "OPTIONS", "{expected}: {} for {}", sent[0].len(), request.len());
    }
    stage.hear(outer("ACK", 99, "", ""));
    assert!(stage.labels().is_empty());
    assert!(stage.agent.live().is_zero());
}

#[test]
fn a_flood_of_calls_is_turned_away_and_forgotten() {
    let mut stage = Stage::new();
    stage.agent.settings_mut().limits.incoming_per_second = 10;
    for number in 0..500 {
        stage.hear(call(number, ""));
    }
    let sent = stage.take();
    let busy: Vec<_> = sent.iter().filter(|bytes| label(bytes) == "503 INVITE").collect();
    assert_eq!(busy.len(), 490);
    assert!(header(busy[0], "Retry-After").is_some());
    assert_eq!(stage.agent.live().calls, 10);
    stage.pass(secs(2));
    stage.take();
    stage.hear(call(1000, ""));
    assert_eq!(stage.labels(), ["100 INVITE"], "a second later all is well");
}

#[test]
fn a_call_of_a_peer() {
    let mut stage = Stage::new();
    let request = call(1, "");
    stage.hear(request.clone());
    stage.hear(request.clone());
    assert_eq!(stage.labels(), ["100 INVITE", "100 INVITE"]);
    let (handle, invitation) = incoming(&mut stage);
    assert!(invitation.body.is_some() && invitation.source == address(CALLEE));
    stage.agent.ring(stage.now, &handle, 180, None);
    let answered = stage.agent.accept(stage.now, handle, Body::sdp(SDP));
    assert_eq!(stage.labels(), ["180 INVITE", "200 INVITE"]);
    stage.pass(millis(1600));
    let ok = stage.last("200 INVITE");
    assert_eq!(stage.labels(), ["200 INVITE", "200 INVITE"], "after 0.5 and 1.5 s");
    stage.hear(follow(&request, &ok, "ACK", 1, ""));
    let Some(Event::Established { handle, .. }) = stage.drain_events().pop() else { panic!("no ACK") };
    assert_eq!(handle.key(), answered.key());
    stage.pass(secs(10));
    assert!(stage.labels().is_empty());
    stage.agent.bye(stage.now, handle, None);
    let bye = stage.last("BYE");
    assert_eq!(header(&bye, "CSeq").as_deref(), Some("1 BYE"));
    stage.hear(answer(&bye, "200 OK", "", "", ""));
    assert!(matches!(stage.drain_events()[..], [Event::Ended { .. }, Event::Parted { .. }]));
    nothing_left(&mut stage);
}

#[test]
fn goodbye_waits_for_the_ack() {
    let mut stage = Stage::new();
    let request = call(1, "");
    stage.hear(request.clone());
    let (handle, _) = incoming(&mut stage);
    let answered = stage.agent.accept(stage.now, handle, Body::sdp(SDP));
    let ok = stage.last("200 INVITE");
    stage.agent.bye_unacknowledged(stage.now, answered, None);
    assert!(!stage.labels().contains(&String::from("BYE")));
    let Some(Event::Ended { ending, .. }) = stage.drain_events().pop() else { panic!("not ended") };
    assert_eq!(ending.by, EndedBy::Local);
    stage.hear(follow(&request, &ok, "ACK", 1, ""));
    assert_eq!(stage.labels(), ["BYE"]);
    assert!(stage.drain_events().is_empty(), "the end is told once");
    nothing_left(&mut stage);
}

#[test]
fn an_accepted_call_that_is_never_acknowledged() {
    let mut stage = Stage::new();
    stage.hear(call(1, ""));
    let (handle, _) = incoming(&mut stage);
    drop(stage.agent.accept(stage.now, handle, Body::sdp(SDP)));
    stage.pass(millis(31_900));
    assert!(stage.drain_events().is_empty());
    stage.take();
    stage.pass(millis(200));
    assert_eq!(stage.labels(), ["BYE"]);
    let Some(Event::Failed { failure, .. }) = stage.drain_events().pop() else { panic!("not failed") };
    assert_eq!(failure.cause, HangupCause::Timeout);
    nothing_left(&mut stage);
}

#[test]
fn the_caller_gives_up() {
    let mut stage = Stage::new();
    let request = call(1, "");
    stage.hear(request.clone());
    let (handle, _) = incoming(&mut stage);
    stage.agent.ring(stage.now, &handle, 180, None);
    stage.take();
    let mut cancel = String::from_utf8(outer("CANCEL", 1, "", "")).expect("text");
    cancel = cancel.replace("z9hG4bKoutCANCEL1", "z9hG4bKoutINVITE1");
    stage.hear(cancel.clone().into_bytes());
    assert_eq!(stage.labels(), ["200 CANCEL", "487 INVITE"]);
    let Some(Event::Failed { failure, .. }) = stage.drain_events().pop() else { panic!("not failed") };
    assert_eq!(failure.cause, HangupCause::Cancelled);
    stage.hear(cancel.into_bytes());
    assert_eq!(stage.labels(), ["200 CANCEL"], "a copy");
    stage.agent.reject(stage.now, handle, 486);
    assert!(stage.labels().is_empty(), "a dead call cannot be used");
    stage.hear(String::from_utf8(outer("ACK", 1, "", "")).expect("text").replace("outACK1", "outINVITE1").into_bytes());
    nothing_left(&mut stage);
}

#[test]
fn the_same_invite_by_another_path_is_merged() {
    let mut stage = Stage::new();
    stage.hear(call(1, ""));
    let other = String::from_utf8(call(1, "")).expect("text").replace("z9hG4bKoutINVITE1", "z9hG4bKelse");
    stage.hear(other.into_bytes());
    assert_eq!(stage.labels(), ["100 INVITE", "482 INVITE"]);
    assert_eq!(stage.agent.live().calls, 1);
}

#[test]
fn a_peer_that_wants_a_session_timer_gets_one() {
    let mut stage = Stage::new();
    stage.hear(call(1, "Supported: timer\r\nSession-Expires: 60\r\n"));
    assert_eq!(stage.labels(), ["422 INVITE"]);
    let request = call(2, "Supported: timer\r\nSession-Expires: 120\r\n");
    stage.hear(request.clone());
    let (handle, _) = incoming(&mut stage);
    drop(stage.agent.accept(stage.now, handle, Body::sdp(SDP)));
    let ok = stage.last("200 INVITE");
    assert_eq!(header(&ok, "Session-Expires").as_deref(), Some("120;refresher=uac"));
    stage.hear(follow(&request, &ok, "ACK", 1, ""));
    stage.pass(secs(60));
    stage.hear(follow(&request, &ok, "UPDATE", 2, "Supported: timer\r\nSession-Expires: 120;refresher=uac\r\n"));
    stage.take();
    stage.pass(secs(87));
    assert!(stage.drain_events().iter().all(|event| matches!(event, Event::Established { .. })), "refreshed");
    stage.pass(secs(2));
    assert!(stage.labels().contains(&String::from("BYE")));
    assert!(matches!(stage.drain_events()[..], [Event::Ended { .. }]));
    nothing_left(&mut stage);
}

#[test]
fn registration_is_kept_and_removed() {
    let mut stage = Stage::new();
    let registration = Registration {
        trunk: trunk(),
        registrar: "sip:127.0.0.2".parse().expect("uri"),
        address: "<sip:alice@127.0.0.2>".parse().expect("address"),
        expires: 60,
    };
    let key = stage.agent.register(stage.now, registration);
    let first = stage.last("REGISTER");
    stage.hear(answer(&first, "423 Interval Too Brief", "R", "Min-Expires: 120\r\n", ""));
    let second = stage.last("REGISTER");
    assert_eq!(header(&second, "Expires").as_deref(), Some("120"));
    assert_eq!(header(&second, "Call-ID"), header(&first, "Call-ID"));
    assert_eq!(header(&second, "CSeq").as_deref(), Some("2 REGISTER"));
    stage.hear(answer(&second, "200 OK", "R", "Contact: <sip:alice@127.0.0.1:5060>;expires=100\r\n", ""));
    let Some(Event::Registered { expires, .. }) = stage.drain_events().pop() else { panic!("not registered") };
    assert_eq!(expires, secs(100));
    stage.take();
    stage.pass(millis(79_900));
    assert!(stage.labels().is_empty());
    stage.pass(millis(200));
    let refresh = stage.last("REGISTER");
    stage.hear(answer(&refresh, "503 Service Unavailable", "R", "Retry-After: 45\r\n", ""));
    let Some(Event::RegistrationFailed { retry_in, .. }) = stage.drain_events().pop() else { panic!("not failed") };
    assert_eq!(retry_in, secs(45));
    stage.take();
    stage.pass(secs(46));
    assert_eq!(stage.labels()[0], "REGISTER");
    stage.agent.unregister(stage.now, key);
    let last = stage.last("REGISTER");
    assert_eq!(header(&last, "Expires").as_deref(), Some("0"));
    stage.hear(answer(&last, "200 OK", "R", "", ""));
    assert!(matches!(stage.drain_events()[..], [Event::Unregistered { .. }]));
    nothing_left(&mut stage);
}

#[test]
fn pings() {
    let mut stage = Stage::new();
    let ping = stage.agent.options(stage.now, trunk());
    let request = stage.last("OPTIONS");
    stage.hear(answer(&request, "404 Not Found", "R", "", ""));
    assert!(matches!(stage.drain_events()[..], [Event::OptionsAnswered { status: 404, ping: known }] if known == ping));
    nothing_left(&mut stage);
    let ping = stage.agent.options(stage.now, trunk());
    stage.pass(secs(33));
    assert!(matches!(stage.drain_events()[..], [Event::OptionsTimedOut { ping: known }] if known == ping));
    assert!(stage.agent.live().is_zero());
}

/// A call whose caller can PRACK: our 183 is repeated until then, and the answer with its session waits for it.
#[test]
fn early_media_is_reliable_for_those_who_can() {
    let mut stage = Stage::new();
    let request = call(1, "Supported: 100rel\r\n");
    stage.hear(request.clone());
    let (handle, _) = incoming(&mut stage);
    stage.take();
    stage.agent.ring(stage.now, &handle, 183, Some(Body::sdp(SDP)));
    let early = stage.last("183 INVITE");
    let rseq: u32 = header(&early, "RSeq").and_then(|text| text.parse().ok()).expect("RSeq");
    stage.pass(millis(1600));
    assert_eq!(stage.labels(), ["183 INVITE"; 3], "sent, and repeated after 0.5 and 1.5 s");
    drop(stage.agent.accept(stage.now, handle, Body::sdp(SDP)));
    assert!(stage.labels().is_empty(), "the answer waits");
    stage.hear(follow(&request, &early, "PRACK", 2, &format!("RAck: {} 1 INVITE\r\n", rseq + 1)));
    assert_eq!(stage.labels(), ["481 PRACK"]);
    stage.hear(follow(&request, &early, "PRACK", 3, &format!("RAck: {rseq} 1 INVITE\r\n")));
    assert_eq!(stage.labels(), ["200 PRACK", "200 INVITE"]);
    let late = String::from_utf8(outer("CANCEL", 1, "", "")).expect("text");
    stage.hear(late.replace("z9hG4bKoutCANCEL1", "z9hG4bKoutINVITE1").into_bytes());
    assert_eq!(stage.labels(), ["200 CANCEL"], "too late: the call is answered");
    stage.hear(follow(&request, &early, "ACK", 1, ""));
    assert!(matches!(stage.drain_events()[..], [Event::Established { .. }]));
    stage.hear(follow(&request, &early, "BYE", 4, ""));
    assert!(matches!(stage.drain_events()[..], [Event::Ended { .. }]));
    nothing_left(&mut stage);
}
