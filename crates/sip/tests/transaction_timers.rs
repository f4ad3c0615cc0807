//! The timers of the four transaction machines, seen from the wire (BARS R52), over datagrams and over streams.

mod support;

use std::sync::Arc;

use callwright_sip::{
    Event, FlowId, HangupCause, Input, LocalAddress, Settings, StreamItem, StreamParser, Transport, Trunk, UserAgent,
};
use support::{CALLEE, CALLER, CONTACT, SDP, Stage, address, answer, invite, label, millis, secs, trunk};

fn incoming(number: u32) -> Vec<u8> {
    format!(
        "INVITE sip:127.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:5060;branch=z9hG4bKt{number};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:peer@127.0.0.2>;tag=P\r\nTo: <sip:127.0.0.1>\r\nCall-ID: t{number}\r\n\
         CSeq: 1 INVITE\r\n{CONTACT}Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

/// When messages were sent, in milliseconds after `stage.start`.
fn times(stage: &mut Stage, until: u64) -> Vec<(u64, String)> {
    let mut seen = Vec::new();
    while stage.now.duration_since(stage.start) < millis(until) {
        stage.pass(millis(100));
        let at = u64::try_from(stage.now.duration_since(stage.start).as_millis()).expect("small");
        seen.extend(stage.labels().into_iter().map(|label| (at, label)));
    }
    seen
}

#[test]
fn a_refusal_is_repeated_until_its_ack_or_for_32_seconds() {
    let mut stage = Stage::new();
    stage.hear(incoming(1));
    let Some(Event::Incoming { handle, .. }) = stage.drain_events().pop() else { panic!("no call") };
    stage.agent.reject(stage.now, handle, 486);
    stage.take();
    let seen: Vec<_> = times(&mut stage, 40_000).into_iter().map(|(at, _)| at).collect();
    assert_eq!(
        seen,
        [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500],
        "G doubles up to T2; H ends it"
    );
    assert!(stage.agent.live().is_zero());
}

#[test]
fn after_the_ack_copies_are_absorbed_for_t4() {
    let mut stage = Stage::new();
    stage.hear(incoming(1));
    let Some(Event::Incoming { handle, .. }) = stage.drain_events().pop() else { panic!("no call") };
    stage.agent.reject(stage.now, handle, 486);
    stage.take();
    let ack = String::from_utf8(incoming(1)).expect("text").replace("INVITE", "ACK").into_bytes();
    stage.hear(ack.clone());
    stage.hear(ack);
    stage.hear(incoming(1));
    assert!(stage.labels().is_empty() && stage.drain_events().is_empty());
    stage.pass(millis(4_900));
    assert_eq!(stage.agent.live().transactions, 1);
    stage.pass(millis(200));
    assert!(stage.agent.live().is_zero());
}

#[test]
fn other_requests_are_repeated_up_to_t2_and_given_up() {
    let mut stage = Stage::new();
    stage.agent.options(stage.now, trunk());
    let request = stage.last("OPTIONS");
    stage.take();
    stage.pass(millis(600));
    assert_eq!(stage.labels(), ["OPTIONS"]);
    // A provisional answer slows the repeats down to T2 at once (figure 6).
    stage.hear(answer(&request, "100 Trying", "", "", ""));
    let seen: Vec<_> = times(&mut stage, 34_000).into_iter().map(|(at, _)| at).collect();
    assert_eq!(seen, [1500, 5500, 9500, 13500, 17500, 21500, 25500, 29500]);
    assert!(matches!(stage.drain_events()[..], [Event::OptionsTimedOut { .. }]));
    assert!(stage.agent.live().is_zero());
}

#[test]
fn a_broken_way_ends_the_call_at_once() {
    let mut stage = Stage::new();
    drop(stage.agent.invite(stage.now, invite(trunk())).expect("sent"));
    let broken = Input::TransportFailed { transport: Transport::Udp, destination: address(CALLEE) };
    stage.agent.handle(stage.now, broken);
    let Some(Event::Failed { failure, .. }) = stage.drain_events().pop() else { panic!("not failed") };
    assert_eq!(failure.cause, HangupCause::TransportFailed);
    assert!(failure.may_try_next_trunk());
    assert!(stage.agent.live().is_zero());
}

#[test]
fn over_a_stream_nothing_is_repeated_but_the_patience_is_the_same() {
    let mut stage = Stage::new();
    let mut settings = Settings::new(vec![LocalAddress::of_socket(Transport::Tcp, address(CALLER))]);
    settings.peers.insert(address(CALLEE).ip());
    stage.agent = UserAgent::new(settings, 3);
    let trunk = Arc::new(Trunk::at(address(CALLEE), Transport::Tcp));
    drop(stage.agent.invite(stage.now, invite(trunk.clone())).expect("sent"));
    let seen = times(&mut stage, 31_900);
    assert_eq!(seen.iter().map(|(_, label)| label.as_str()).collect::<Vec<_>>(), ["INVITE"]);
    assert!(stage.drain_events().is_empty());
    stage.pass(millis(200));
    assert!(matches!(stage.drain_events()[..], [Event::Failed { .. }]));
    assert!(stage.agent.live().is_zero());

    let mut plan = invite(trunk);
    plan.identity.call_id = String::from("second");
    drop(stage.agent.invite(stage.now, plan).expect("sent"));
    let request = stage.last("INVITE");
    assert!(String::from_utf8_lossy(&request).contains("SIP/2.0/TCP"));
    stage.take();
    let mut parser = StreamParser::new();
    parser.push(&answer(&request, "486 Busy Here", "T", "", ""));
    while let Some(item) = parser.pull() {
        let StreamItem::Message(message) = item else { panic!("{item:?}") };
        let flow = FlowId(4);
        stage
            .agent
            .handle(stage.now, Input::Parsed { source: address(CALLEE), transport: Transport::Tcp, flow, message });
    }
    assert_eq!(stage.labels(), ["ACK"]);
    assert!(stage.agent.live().is_zero(), "nothing to absorb on a stream: {:?}", stage.agent.live());
}

#[test]
fn a_call_without_answer_keeps_no_timer_after_its_end() {
    let mut stage = Stage::new();
    let calling = stage.agent.invite(stage.now, invite(trunk())).expect("sent");
    let request = stage.last("INVITE");
    stage.hear(answer(&request, "183 Session Progress", "T", CONTACT, SDP));
    stage.hear(answer(&request, "600 Busy Everywhere", "T", "", ""));
    assert_eq!(label(&stage.last("ACK")), "ACK");
    stage.agent.cancel(stage.now, calling);
    stage.pass(secs(33));
    assert!(stage.agent.live().is_zero());
    assert_eq!(stage.agent.poll_timeout(), None);
}
