//! Calls of ours against a scripted trunk: what SIPp scenarios check, on a virtual clock.

mod support;

use std::sync::Arc;

use callwright_sip::{
    AckTiming, Body, Calling, Confirmed, Credentials, DialogSnapshot, EndedBy, Event, HangupCause, OutboundInvite,
    Reached, Reliability, SipUri, Transport, Trunk, TrunkRef, Uri,
};
use support::{
    CALLEE, CONTACT, SDP, Stage, address, answer, header, headers, inner, invite, label, millis, secs, trunk,
};

fn dial(plan: OutboundInvite) -> (Stage, Calling, Vec<u8>) {
    let mut stage = Stage::new();
    let calling = stage.agent.invite(stage.now, plan).expect("sent");
    let request = stage.last("INVITE");
    stage.take();
    (stage, calling, request)
}

/// A call that is answered at once, with these lines in the 2xx.
fn talk(plan: OutboundInvite, more: &str) -> (Stage, Confirmed, Vec<u8>) {
    let (mut stage, calling, request) = dial(plan);
    drop(calling);
    stage.hear(answer(&request, "200 OK", "TA", &format!("{CONTACT}{more}"), SDP));
    assert_eq!(stage.labels(), ["ACK"]);
    let handle = confirmed(&mut stage);
    (stage, handle, request)
}

fn confirmed(stage: &mut Stage) -> Confirmed {
    match stage.drain_events().pop() {
        Some(Event::Answered { handle, .. }) => handle,
        other => panic!("not answered: {other:?}"),
    }
}

fn failure(stage: &mut Stage) -> callwright_sip::Failure {
    match stage.drain_events().pop() {
        Some(Event::Failed { failure, .. }) => failure,
        other => panic!("not failed: {other:?}"),
    }
}

fn ending(stage: &mut Stage) -> callwright_sip::Ending {
    match stage.drain_events().pop() {
        Some(Event::Ended { ending, .. }) => ending,
        other => panic!("not ended: {other:?}"),
    }
}

fn nothing_left(stage: &mut Stage) {
    stage.pass(secs(64));
    assert!(stage.agent.live().is_zero(), "{:?}", stage.agent.live());
    assert_eq!(stage.agent.poll_timeout(), None);
}

#[test]
fn timers_of_an_invite_nobody_answers() {
    let (mut stage, calling, _) = dial(invite(trunk()));
    drop(calling);
    let mut times = Vec::new();
    for _ in 0..330 {
        stage.pass(millis(100));
        times.extend(stage.labels().iter().map(|_| stage.now.duration_since(stage.start).as_millis()));
    }
    assert_eq!(times, [500, 1500, 3500, 7500, 15500, 31500]);
    let failure = failure(&mut stage);
    assert_eq!((failure.cause, failure.status, failure.reached), (HangupCause::NoResponse, None, Reached::Nothing));
    assert!(failure.may_try_next_trunk());
    assert!(stage.agent.live().is_zero(), "{:?}", stage.agent.live());
}

#[test]
fn every_final_failure_is_acknowledged_each_time() {
    for (status, cause) in [
        ("404 Not Found", HangupCause::NumberUnknown),
        ("486 Busy Here", HangupCause::Busy),
        ("488 Not Acceptable Here", HangupCause::IncompatibleMedia),
        ("500 Server Internal Error", HangupCause::TrunkFailure),
        ("603 Decline", HangupCause::Declined),
    ] {
        let (mut stage, calling, request) = dial(invite(trunk()));
        drop(calling);
        stage.hear(answer(&request, status, "TA", "", ""));
        stage.hear(answer(&request, status, "TA", "", ""));
        let sent = stage.take();
        assert_eq!(sent.iter().map(|bytes| label(bytes)).collect::<Vec<_>>(), ["ACK", "ACK"], "{status}");
        assert_eq!(header(&sent[0], "Via"), header(&request, "Via"), "the ACK belongs to the transaction");
        assert!(header(&sent[0], "To").is_some_and(|to| to.ends_with(";tag=TA")));
        assert_eq!(failure(&mut stage).cause, cause);
        nothing_left(&mut stage);
    }
}

#[test]
fn ring_limit_cancels_in_time() {
    let (mut stage, calling, request) = dial(OutboundInvite { ring_timeout: secs(20), ..invite(trunk()) });
    drop(calling);
    stage.hear(answer(&request, "100 Trying", "", "", ""));
    stage.hear(answer(&request, "180 Ringing", "TA", CONTACT, ""));
    stage.pass(millis(19_900));
    assert!(stage.labels().is_empty());
    stage.pass(millis(200));
    let cancel = stage.last("CANCEL");
    assert_eq!(header(&cancel, "Via"), header(&request, "Via"));
    assert_eq!(header(&cancel, "CSeq").as_deref(), Some("1 CANCEL"));
    stage.hear(answer(&cancel, "200 OK", "TA", "", ""));
    stage.hear(answer(&request, "487 Request Terminated", "TA", "", ""));
    let failure = failure(&mut stage);
    assert_eq!((failure.cause, failure.status), (HangupCause::NoAnswer, Some(487)));
    nothing_left(&mut stage);
}

#[test]
fn cancel_waits_for_a_provisional_answer() {
    let (mut stage, calling, request) = dial(invite(trunk()));
    stage.agent.cancel(stage.now, calling);
    stage.pass(millis(100));
    assert!(stage.labels().is_empty(), "no CANCEL before a provisional answer");
    stage.hear(answer(&request, "100 Trying", "", "", ""));
    assert_eq!(stage.labels(), ["CANCEL"]);
    // Nobody reacts: CANCEL is repeated, and the call is gone 64*T1 after it.
    stage.pass(millis(31_900));
    assert!(stage.labels().len() >= 8);
    assert!(stage.drain_events().is_empty());
    stage.pass(millis(200));
    assert_eq!(failure(&mut stage).cause, HangupCause::Cancelled);
    nothing_left(&mut stage);
}

#[test]
fn an_answer_that_crosses_the_cancel_is_acknowledged_and_ended() {
    let (mut stage, calling, request) = dial(invite(trunk()));
    stage.hear(answer(&request, "180 Ringing", "TA", CONTACT, ""));
    stage.drain_events();
    stage.agent.cancel(stage.now, calling);
    stage.hear(answer(&request, "200 OK", "TA", CONTACT, SDP));
    assert_eq!(stage.labels(), ["CANCEL", "ACK", "BYE"]);
    let failure = failure(&mut stage);
    assert_eq!((failure.cause, failure.reached), (HangupCause::Cancelled, Reached::Answered));
    nothing_left(&mut stage);
}

#[test]
fn two_phones_answer_and_the_second_is_let_go() {
    let (mut stage, calling, request) = dial(invite(trunk()));
    drop(calling);
    for fork in 0..12 {
        stage.hear(answer(&request, "180 Ringing", &format!("T{fork}"), CONTACT, ""));
    }
    assert_eq!(stage.agent.live().dialogs, 8, "no more early dialogs than the limit");
    stage.hear(answer(&request, "200 OK", "T1", CONTACT, SDP));
    assert_eq!(stage.agent.live().dialogs, 1);
    stage.hear(answer(&request, "200 OK", "T2", CONTACT, SDP));
    stage.hear(answer(&request, "200 OK", "T2", CONTACT, SDP));
    let sent = stage.take();
    assert_eq!(sent.iter().map(|bytes| label(bytes)).collect::<Vec<_>>(), ["ACK", "ACK", "BYE", "ACK"]);
    assert!(header(&sent[2], "To").is_some_and(|to| to.ends_with("tag=T2")));
    let answers = stage.drain_events().into_iter().filter(|event| matches!(event, Event::Answered { .. })).count();
    assert_eq!(answers, 1);
}

#[test]
fn each_repeated_answer_is_acknowledged_for_32_seconds_even_after_goodbye() {
    let (mut stage, handle, request) = talk(invite(trunk()), "");
    stage.agent.bye(stage.now, handle, None);
    assert_eq!(ending(&mut stage).by, EndedBy::Local);
    let bye = stage.last("BYE");
    stage.hear(answer(&bye, "200 OK", "", "", ""));
    stage.take();
    for _ in 0..7 {
        stage.pass(secs(4));
        stage.hear(answer(&request, "200 OK", "TA", CONTACT, SDP));
        assert_eq!(stage.labels(), ["ACK"]);
    }
    nothing_left(&mut stage);
    stage.hear(answer(&request, "200 OK", "TA", CONTACT, SDP));
    assert!(stage.labels().is_empty(), "after 64*T1 nothing is known of it");
}

#[test]
fn an_unanswered_goodbye_is_repeated_and_forgotten() {
    let (mut stage, handle, _) = talk(invite(trunk()), "");
    stage.agent.bye(stage.now, handle, None);
    assert_eq!(ending(&mut stage).cause, HangupCause::Normal);
    stage.pass(secs(33));
    assert_eq!(stage.labels().len(), 11, "0, 0.5, 1.5, 3.5, 7.5 and then each 4 s up to 31.5");
    assert!(stage.agent.live().is_zero(), "{:?}", stage.agent.live());
    let (mut stage, handle, _) = talk(invite(trunk()), "");
    stage.agent.bye(stage.now, handle, None);
    let bye = stage.last("BYE");
    stage.hear(answer(&bye, "481 Call/Transaction Does Not Exist", "", "", ""));
    nothing_left(&mut stage);
}

#[test]
fn a_call_is_over_when_its_goodbye_was_answered_or_given_up() {
    for answered in [true, false] {
        let (mut stage, handle, _) = talk(invite(trunk()), "");
        let key = handle.key();
        stage.agent.bye(stage.now, handle, None);
        assert!(matches!(stage.drain_events()[..], [Event::Ended { .. }]), "the end is told at once");
        let bye = stage.last("BYE");
        stage.pass(secs(10));
        stage.hear(answer(&bye, "100 Trying", "", "", ""));
        assert!(!stage.agent.is_over(key) && stage.drain_events().is_empty(), "the far end may not have heard it");
        let again = stage.agent.parting(key).expect("not answered yet").to_string();
        assert!(again.contains("\ntalking\n"), "{again}");
        if answered {
            stage.hear(answer(&bye, "200 OK", "", "", ""));
        } else {
            stage.pass(secs(23));
        }
        assert!(stage.agent.is_over(key) && stage.agent.parting(key).is_none());
        assert!(matches!(stage.drain_events()[..], [Event::Parted { call }] if call == key));
    }
    let (mut stage, calling, request) = dial(invite(trunk()));
    let key = calling.key();
    drop(calling);
    stage.hear(answer(&request, "486 Busy Here", "TA", "", ""));
    assert!(stage.agent.is_over(key), "nobody is to be told");
    assert!(matches!(stage.drain_events()[..], [Event::Failed { .. }]));
}

#[test]
fn the_callee_hangs_up() {
    let (mut stage, handle, request) = talk(invite(trunk()), "");
    let bye = inner(&request, "BYE", ("TA", 1), "Reason: Q.850;cause=16;text=\"bye\"\r\n", "");
    stage.hear(bye.clone());
    stage.hear(bye);
    assert_eq!(stage.labels(), ["200 BYE", "200 BYE"]);
    let ending = ending(&mut stage);
    assert_eq!((ending.by, ending.cause), (EndedBy::Peer, HangupCause::Normal));
    assert!(ending.reason.is_some());
    stage.agent.bye(stage.now, handle, None); // A dead call: nothing happens.
    assert!(stage.labels().is_empty() && stage.drain_events().is_empty());
    nothing_left(&mut stage);
}

#[test]
fn requests_inside_a_call() {
    let (mut stage, handle, request) = talk(invite(trunk()), "");
    let dtmf = "Content-Type: application/dtmf-relay\r\n";
    let cases = [
        ("OPTIONS", "", "", "200 OPTIONS"),
        ("INFO", dtmf, "Signal=5\r\nDuration=160\r\n", "200 INFO"),
        ("INFO", "Content-Type: text/plain\r\n", "hello", "415 INFO"),
        ("INFO", "Info-Package: x\r\n", "", "469 INFO"),
        ("INFO", "", "", "200 INFO"),
        ("REFER", "Refer-To: <sip:+19005551234@127.0.0.9>\r\n", "", "403 REFER"),
        ("NOTIFY", "Event: refer\r\nSubscription-State: active\r\n", "", "481 NOTIFY"),
        ("MESSAGE", "Content-Type: text/plain\r\n", "hi", "405 MESSAGE"),
        ("FROBNICATE", "", "", "501 FROBNICATE"),
        ("UPDATE", "", "", "200 UPDATE"),
        ("PRACK", "RAck: 1 1 INVITE\r\n", "", "481 PRACK"),
        ("OPTIONS", "Require: nosuchthing\r\n", "", "420 OPTIONS"),
    ];
    for (number, (method, more, body, expected)) in (1..).zip(cases) {
        stage.hear(inner(&request, method, ("TA", number), more, body));
        assert_eq!(stage.labels(), [expected], "{method} {more}");
    }
    let events = stage.drain_events();
    assert!(matches!(events[..], [Event::Dtmf { digit: '5', .. }, Event::ReferRefused { .. }]), "{events:?}");
    // A number that was passed already.
    stage.hear(inner(&request, "OPTIONS", ("TA", 3), "X: 1\r\n", ""));
    assert_eq!(stage.labels(), ["500 OPTIONS"]);
    // A tag that is not the call's.
    stage.hear(inner(&request, "BYE", ("TX", 50), "", ""));
    assert_eq!(stage.labels(), ["481 BYE"]);
    drop(handle);
}

#[test]
fn forged_requests_from_elsewhere_do_nothing() {
    let (mut stage, handle, request) = talk(invite(trunk()), "");
    for method in ["BYE", "INVITE", "UPDATE", "INFO", "REFER", "CANCEL"] {
        stage.hear_from("127.0.0.66:5060", inner(&request, method, ("TA", 9), CONTACT, ""));
    }
    assert!(stage.labels().is_empty(), "strangers are not answered");
    stage.agent.settings_mut().peers.insert(address("127.0.0.66:5060").ip());
    stage.hear_from("127.0.0.66:5060", inner(&request, "BYE", ("TA", 10), "", ""));
    assert_eq!(stage.labels(), ["481 BYE"], "another known peer has no business in this call");
    assert!(stage.drain_events().is_empty());
    assert!(stage.agent.snapshot(&handle).is_some(), "the call lives");
}

#[test]
fn the_peer_changes_the_session() {
    let (mut stage, handle, request) = talk(invite(trunk()), "");
    let sdp = format!("{CONTACT}Content-Type: application/sdp\r\n");
    stage.hear(inner(&request, "INVITE", ("TA", 1), &sdp, SDP));
    let Some(Event::Offer { offer, body: Some(_), .. }) = stage.drain_events().pop() else { panic!("no offer") };
    // Another one before the first is settled.
    stage.hear(inner(&request, "INVITE", ("TA", 2), &sdp, SDP));
    assert_eq!(stage.labels(), ["100 INVITE", "500 INVITE"]);
    stage.hear(inner(&request, "ACK", ("TA", 2), "", ""));
    stage.agent.accept_offer(stage.now, offer, Body::sdp(SDP));
    assert_eq!(stage.labels(), ["200 INVITE"]);
    stage.pass(millis(600));
    assert_eq!(stage.labels(), ["200 INVITE"], "repeated until its ACK");
    stage.hear(inner(&request, "ACK", ("TA", 1), "", ""));
    stage.pass(secs(5));
    assert!(stage.labels().is_empty(), "acknowledged");
    // Refused: the call goes on.
    stage.hear(inner(&request, "INVITE", ("TA", 3), &sdp, "v=0\r\nnonsense"));
    let Some(Event::Offer { offer, .. }) = stage.drain_events().pop() else { panic!("no offer") };
    stage.agent.reject_offer(stage.now, offer, 488);
    assert_eq!(stage.labels(), ["100 INVITE", "488 INVITE"]);
    stage.hear(inner(&request, "ACK", ("TA", 3), "", ""));
    // Offerless: the answer is in the ACK.
    stage.hear(inner(&request, "INVITE", ("TA", 4), CONTACT, ""));
    let Some(Event::Offer { offer, body: None, .. }) = stage.drain_events().pop() else { panic!("no offer") };
    stage.agent.accept_offer(stage.now, offer, Body::sdp(SDP));
    stage.hear(inner(&request, "ACK", ("TA", 4), "Content-Type: application/sdp\r\n", SDP));
    assert!(matches!(stage.drain_events().pop(), Some(Event::AnswerInAck { body: Some(_), .. })));
    stage.agent.bye(stage.now, handle, None);
    nothing_left(&mut stage);
}

#[test]
fn our_change_meets_theirs() {
    let (mut stage, handle, request) = talk(invite(trunk()), "");
    assert!(stage.agent.reinvite(stage.now, &handle, Body::sdp(SDP)));
    assert!(!stage.agent.reinvite(stage.now, &handle, Body::sdp(SDP)), "one at a time");
    let ours = stage.last("INVITE");
    stage.take();
    stage.hear(inner(&request, "INVITE", ("TA", 1), &format!("{CONTACT}Content-Type: application/sdp\r\n"), SDP));
    assert_eq!(stage.labels(), ["491 INVITE"]);
    stage.hear(inner(&request, "ACK", ("TA", 1), "", ""));
    stage.hear(answer(&ours, "491 Request Pending", "", "", ""));
    assert_eq!(stage.labels(), ["ACK"]);
    stage.pass(millis(2_000));
    assert!(stage.labels().is_empty(), "the owner of the Call-ID waits 2.1 s at least");
    stage.pass(millis(2_100));
    let again = stage.last("INVITE");
    stage.take();
    stage.hear(answer(&again, "200 OK", "", CONTACT, SDP));
    assert_eq!(stage.labels(), ["ACK"]);
    assert!(matches!(stage.drain_events()[..], [Event::OfferAnswered { body: Some(_), .. }]));
}

#[test]
fn the_session_is_refreshed_at_half_time() {
    for (allow, method) in [("Allow: INVITE, UPDATE\r\n", "UPDATE"), ("Allow: INVITE\r\n", "INVITE"), ("", "UPDATE")] {
        let plan = OutboundInvite { session_expires: Some(90), ..invite(trunk()) };
        let (mut stage, handle, _) =
            talk(plan, &format!("{allow}Require: timer\r\nSession-Expires: 90;refresher=uac\r\n"));
        stage.pass(millis(44_900));
        assert!(stage.labels().is_empty());
        stage.pass(millis(200));
        let refresh = stage.last(method);
        assert_eq!(header(&refresh, "Session-Expires").as_deref(), Some("90;refresher=uac"));
        stage.hear(answer(&refresh, "200 OK", "", &format!("{CONTACT}Session-Expires: 90;refresher=uac\r\n"), ""));
        stage.take();
        stage.pass(secs(44));
        assert!(stage.drain_events().is_empty(), "it lives on");
        stage.agent.bye(stage.now, handle, None);
        nothing_left(&mut stage);
    }
}

#[test]
fn a_peer_that_told_nothing_and_drops_update_gets_a_reinvite() {
    let plan = OutboundInvite { session_expires: Some(600), ..invite(trunk()) };
    let (mut stage, handle, _) = talk(plan, "Require: timer\r\nSession-Expires: 600;refresher=uac\r\n");
    stage.pass(millis(300_100));
    assert_eq!(stage.labels().first().map(String::as_str), Some("UPDATE"));
    stage.pass(secs(33));
    let refresh = stage.last("INVITE");
    stage.hear(answer(&refresh, "200 OK", "", &format!("{CONTACT}Session-Expires: 600;refresher=uac\r\n"), ""));
    stage.take();
    stage.pass(secs(250));
    assert!(stage.drain_events().is_empty(), "it lives on");
    stage.agent.bye(stage.now, handle, None);
    nothing_left(&mut stage);
}

#[test]
fn a_session_that_the_peer_does_not_refresh_ends() {
    let (mut stage, handle, _) = talk(invite(trunk()), "Session-Expires: 90;refresher=uas\r\n");
    stage.pass(secs(59));
    assert!(stage.labels().is_empty());
    stage.pass(secs(2));
    assert_eq!(ending(&mut stage).cause, HangupCause::SessionExpired);
    assert!(stage.labels().contains(&String::from("BYE")));
    drop(handle);
    nothing_left(&mut stage);
}

#[test]
fn too_small_an_interval_is_raised_once() {
    let (mut stage, calling, request) = dial(OutboundInvite { session_expires: Some(90), ..invite(trunk()) });
    drop(calling);
    stage.hear(answer(&request, "422 Session Interval Too Small", "TA", "Min-SE: 1800\r\n", ""));
    assert_eq!(stage.labels(), ["ACK", "INVITE"]);
    assert!(stage.drain_events().is_empty());
    stage.pass(millis(500));
    let again = stage.last("INVITE");
    assert_eq!(header(&again, "Session-Expires").as_deref(), Some("1800"));
    assert_eq!(header(&again, "CSeq").as_deref(), Some("2 INVITE"));
    assert_eq!(header(&again, "Call-ID"), header(&request, "Call-ID"));
    stage.take();
    stage.hear(answer(&again, "422 Session Interval Too Small", "TB", "Min-SE: 3600\r\n", ""));
    assert_eq!(stage.labels(), ["ACK"]);
    assert_eq!(failure(&mut stage).status, Some(422));
    nothing_left(&mut stage);
}

#[test]
fn reliable_provisional_answers_are_acknowledged_in_order() {
    let plan = OutboundInvite { reliability: Reliability::Offered, ..invite(trunk()) };
    let (mut stage, calling, request) = dial(plan);
    drop(calling);
    let reliable = |rseq: u32| {
        answer(&request, "183 Session Progress", "TA", &format!("{CONTACT}Require: 100rel\r\nRSeq: {rseq}\r\n"), SDP)
    };
    stage.hear(reliable(7001));
    let prack = stage.last("PRACK");
    assert_eq!(header(&prack, "RAck").as_deref(), Some("7001 1 INVITE"));
    assert_eq!(header(&prack, "CSeq").as_deref(), Some("2 PRACK"));
    stage.hear(answer(&prack, "200 OK", "", "", ""));
    stage.take();
    stage.hear(reliable(7001));
    stage.hear(reliable(7003));
    assert!(stage.labels().is_empty(), "neither the copy nor the one after a gap");
    stage.hear(reliable(7002));
    assert_eq!(stage.labels(), ["PRACK"]);
    assert_eq!(stage.drain_events().len(), 2);
    stage.hear(answer(&request, "200 OK", "TA", CONTACT, ""));
    stage.drain_events().into_iter().for_each(|event| match event {
        Event::Answered { body, handle, .. } => {
            assert!(body.is_some(), "the early answer stands");
            stage.agent.bye(stage.now, handle, None);
        }
        other => panic!("{other:?}"),
    });
    let bye = stage.last("BYE");
    assert_eq!(header(&bye, "CSeq").as_deref(), Some("4 BYE"), "after two PRACKs");
}

#[test]
fn an_answer_is_acknowledged_when_the_application_says_so() {
    let answered = || {
        let (mut stage, calling, request) = dial(OutboundInvite { ack: AckTiming::WhenTold, ..invite(trunk()) });
        drop(calling);
        let ok = answer(&request, "200 OK", "TA", CONTACT, SDP);
        stage.hear(ok.clone());
        stage.hear(ok.clone());
        let handle = confirmed(&mut stage);
        assert!(stage.labels().is_empty(), "neither the answer nor its repeat");
        (stage, handle, ok)
    };
    let (mut stage, handle, ok) = answered();
    stage.agent.acknowledge_answer(&handle);
    stage.agent.acknowledge_answer(&handle);
    assert_eq!(stage.labels(), ["ACK"], "once");
    stage.hear(ok);
    assert_eq!(stage.labels(), ["ACK"], "and for each repeat");

    let (mut stage, handle, _) = answered();
    stage.agent.bye(stage.now, handle, None);
    assert_eq!(stage.labels(), ["ACK", "BYE"], "BYE does not overtake it");
}

fn account(realm: Option<&str>) -> TrunkRef {
    Arc::new(Trunk {
        credentials: Some(Credentials::new("alice", "secret").expect("credentials")),
        realm: realm.map(String::from),
        ..Trunk::at(address(CALLEE), Transport::Udp)
    })
}

#[test]
fn challenges_are_answered_twice_at_most() {
    let challenge = |nonce: &str, more: &str| {
        format!(
            "WWW-Authenticate: Digest realm=\"trunk.example\",nonce=\"{nonce}\",algorithm=MD5,qop=\"auth\"{more}\r\n"
        )
    };
    let (mut stage, calling, request) = dial(invite(account(Some("trunk.example"))));
    drop(calling);
    stage.hear(answer(&request, "401 Unauthorized", "TC", &challenge("a", ""), ""));
    let second = stage.last("INVITE");
    assert_eq!(stage.labels(), ["ACK", "INVITE"]);
    assert_eq!(header(&second, "CSeq").as_deref(), Some("2 INVITE"));
    assert_eq!(header(&second, "Call-ID"), header(&request, "Call-ID"));
    assert_eq!(header(&second, "From"), header(&request, "From"));
    assert_ne!(header(&second, "Via"), header(&request, "Via"));
    assert!(header(&second, "Authorization").is_some_and(|value| value.contains("nc=00000001")));
    // A new nonce without stale is a rejection.
    stage.hear(answer(&second, "401 Unauthorized", "TC", &challenge("b", ""), ""));
    assert_eq!(stage.labels(), ["ACK"]);
    assert_eq!(failure(&mut stage).cause, HangupCause::AuthFailed);
    nothing_left(&mut stage);

    // Stale nonces: twice, not three times.
    let (mut stage, calling, mut request) = dial(invite(account(None)));
    drop(calling);
    for round in 0..3 {
        stage.hear(answer(&request, "401 Unauthorized", "TC", &challenge(&format!("n{round}"), ",stale=true"), ""));
        let sent = stage.labels();
        if round < 2 {
            assert_eq!(sent, ["ACK", "INVITE"], "round {round}");
            stage.pass(millis(500));
            request = stage.last("INVITE");
            stage.take();
        } else {
            assert_eq!(sent, ["ACK"]);
        }
    }
    assert_eq!(failure(&mut stage).cause, HangupCause::AuthFailed);
}

#[test]
fn the_next_request_answers_ahead_and_counts_up() {
    let (mut stage, calling, request) = dial(invite(account(None)));
    drop(calling);
    let more = "Proxy-Authenticate: Digest realm=\"r\",nonce=\"n\",algorithm=MD5,qop=\"auth\"\r\nProxy-Authenticate: Digest realm=\"r\",nonce=\"s\",algorithm=SHA-256,qop=\"auth\"\r\n";
    stage.hear(answer(&request, "407 Proxy Authentication Required", "TC", more, ""));
    let second = stage.last("INVITE");
    assert!(header(&second, "Proxy-Authorization").is_some_and(|value| value.contains("SHA-256")));
    stage.hear(answer(&second, "200 OK", "TA", CONTACT, SDP));
    let ack = stage.last("ACK");
    assert_eq!(header(&ack, "Proxy-Authorization"), header(&second, "Proxy-Authorization"));
    let handle = confirmed(&mut stage);
    stage.agent.bye(stage.now, handle, None);
    let bye = stage.last("BYE");
    assert!(header(&bye, "Proxy-Authorization").is_some_and(|value| value.contains("nc=00000002")));
    assert_eq!(header(&bye, "CSeq").as_deref(), Some("3 BYE"));
}

#[test]
fn a_restart_ends_what_it_finds() {
    let (stage, handle, _) = talk(invite(trunk()), "Record-Route: <sip:127.0.0.2;lr>\r\n");
    let text = stage.agent.snapshot(&handle).expect("alive").to_string();
    let snapshot: DialogSnapshot = text.parse().expect("reads back");
    assert_eq!(snapshot.to_string(), text);
    let mut after = Stage::new();
    after.agent.bye_from_snapshot(after.now, &snapshot, trunk()).expect("sent");
    let bye = after.last("BYE");
    assert!(header(&bye, "To").is_some_and(|to| to.ends_with("tag=TA")));
    assert_eq!(headers(&bye, "Route").len(), 1);
    assert!(matches!(after.drain_events()[..], [Event::Ended { .. }]));
    nothing_left(&mut after);

    // Not answered yet when the program died; answered while CANCEL is under way.
    let plan = invite(trunk());
    let snapshot = DialogSnapshot::of_intent(&plan).expect("writable");
    let (stage, calling, request) = dial(plan);
    assert_eq!(stage.agent.snapshot_calling(&calling).as_ref(), Some(&snapshot));
    let mut after = Stage::new();
    after.agent.bye_from_snapshot(after.now, &snapshot, trunk()).expect("sent");
    let cancel = after.last("CANCEL");
    let branch = |bytes: &[u8]| header(bytes, "Via").and_then(|via| via.split("branch=").nth(1).map(String::from));
    assert_eq!(branch(&cancel), branch(&request));
    after.take();
    after.hear(answer(&request, "200 OK", "TA", CONTACT, SDP));
    assert_eq!(after.labels(), ["ACK", "BYE"]);
    assert_eq!(failure(&mut after).cause, HangupCause::Cancelled);
    nothing_left(&mut after);
    for bad in ["", "dialog 1", "dialog 1\ntalking\ncall-id x", "dialog 2\ntalking"] {
        assert!(bad.parse::<DialogSnapshot>().is_err());
    }
}

#[test]
fn keys_are_pressed_by_info() {
    let (mut stage, handle, _) = talk(invite(trunk()), "");
    assert!(!stage.agent.send_dtmf(stage.now, &handle, 'x', millis(100)));
    assert!(stage.agent.send_dtmf(stage.now, &handle, '#', millis(100)));
    let info = stage.last("INFO");
    assert!(String::from_utf8_lossy(&info).ends_with("Signal=#\r\nDuration=100\r\n"));
    stage.hear(answer(&info, "200 OK", "", "", ""));
    assert!(matches!(stage.drain_events()[..], [Event::DtmfSent { status: 200, .. }]));
}

fn notify(request: &[u8], number: u32, state: &str, fragment: &str) -> Vec<u8> {
    let more = format!("Event: refer\r\nSubscription-State: {state}\r\nContent-Type: message/sipfrag\r\n");
    inner(request, "NOTIFY", ("TA", number), &more, fragment)
}

#[test]
fn the_peer_is_asked_to_call_somebody_else_and_tells_how_that_goes() {
    let target: SipUri = "sip:+4930123456@127.0.0.1".parse::<Uri>().unwrap().as_sip().unwrap().clone();
    let (mut stage, handle, request) = talk(invite(trunk()), "");
    assert!(stage.agent.refer(stage.now, &handle, &target));
    assert!(!stage.agent.refer(stage.now, &handle, &target), "one at a time");
    let refer = stage.last("REFER");
    assert_eq!(header(&refer, "Refer-To").as_deref(), Some("<sip:+4930123456@127.0.0.1>"));
    assert!(header(&refer, "Contact").is_some() && header(&refer, "Referred-By").is_some());
    stage.hear(answer(&refer, "202 Accepted", "", "", ""));
    assert!(matches!(stage.drain_events()[..], [Event::ReferAnswered { status: 202, .. }]));
    stage.take();
    for (number, state, fragment, expected, last) in [
        (1, "active;expires=60", "SIP/2.0 100 Trying\r\n", 100, false),
        (2, "active", "SIP/2.0 180 Ringing\r\n", 180, false),
        (3, "terminated;reason=noresource", "SIP/2.0 200 OK\r\n", 200, true),
    ] {
        stage.hear(notify(&request, number, state, fragment));
        assert_eq!(stage.labels(), ["200 NOTIFY"]);
        let events = stage.drain_events();
        let told = matches!(events[..], [Event::ReferProgress { status, last: over, .. }] if (status, over) == (expected, last));
        assert!(told, "{fragment}: {events:?}");
    }
    stage.hear(notify(&request, 4, "terminated", "SIP/2.0 200 OK\r\n"));
    assert_eq!(stage.labels(), ["481 NOTIFY"], "it is over");
    assert!(stage.drain_events().is_empty());
    // Refused: another may follow, and no notification is expected.
    assert!(stage.agent.refer(stage.now, &handle, &target));
    let refer = stage.last("REFER");
    stage.hear(answer(&refer, "603 Decline", "", "", ""));
    assert!(matches!(stage.drain_events()[..], [Event::ReferAnswered { status: 603, .. }]));
    stage.take();
    stage.hear(notify(&request, 5, "active", "SIP/2.0 100 Trying\r\n"));
    assert_eq!(stage.labels(), ["481 NOTIFY"]);
    assert!(stage.agent.refer(stage.now, &handle, &target));
}

#[test]
fn custom_headers_cannot_forge() {
    for (name, value) in [("Route", "<sip:x>"), ("X-A\r\nRoute", "x"), ("X-A", "a\r\nRoute: <sip:x>"), ("via", "x")] {
        let mut stage = Stage::new();
        let plan = OutboundInvite { headers: vec![(name.into(), value.into())], ..invite(trunk()) };
        assert!(stage.agent.invite(stage.now, plan).is_err(), "{name}: {value}");
        assert!(stage.take().is_empty() && stage.agent.live().is_zero());
    }
}

#[test]
fn a_change_that_hangs_after_a_provisional_answer_is_given_up() {
    let (mut stage, handle, _) = talk(invite(trunk()), "");
    assert!(stage.agent.reinvite(stage.now, &handle, Body::sdp(SDP)));
    let ours = stage.last("INVITE");
    stage.hear(answer(&ours, "100 Trying", "", "", ""));
    stage.pass(secs(33));
    assert!(matches!(stage.drain_events()[..], [Event::OfferRefused { status: 408, .. }]));
    assert!(stage.agent.reinvite(stage.now, &handle, Body::sdp(SDP)), "free for another try");
    let ours = stage.last("INVITE");
    stage.hear(answer(&ours, "100 Trying", "", "", ""));
    stage.agent.bye(stage.now, handle, None);
    nothing_left(&mut stage);
}

#[test]
fn one_identity_dials_once() {
    let mut stage = Stage::new();
    drop(stage.agent.invite(stage.now, invite(trunk())).expect("sent"));
    let again = stage.agent.invite(stage.now, invite(trunk()));
    assert_eq!(again, Err(callwright_sip::InviteError::DuplicateIdentity));
}
