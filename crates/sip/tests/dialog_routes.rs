//! Route sets, targets and numbers of dialogs, seen from the wire (RFC 3261 section 12).

mod support;

use callwright_sip::{Confirmed, Event};
use support::{CALLEE, SDP, Stage, address, answer, header, headers, inner, invite, label, trunk};

fn talk(more: &str) -> (Stage, Confirmed, Vec<u8>) {
    let mut stage = Stage::new();
    drop(stage.agent.invite(stage.now, invite(trunk())).expect("sent"));
    let request = stage.last("INVITE");
    stage.hear(answer(&request, "200 OK", "TA", more, SDP));
    match stage.drain_events().pop() {
        Some(Event::Answered { handle, .. }) => (stage, handle, request),
        other => panic!("{other:?}"),
    }
}

fn line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).lines().next().unwrap_or("").to_owned()
}

#[test]
fn a_loose_route_keeps_the_target_in_the_request_line() {
    let (mut stage, handle, _) = talk(
        "Contact: <sip:bob@10.9.9.9:5062;x=1?Subject=evil>\r\nRecord-Route: <sip:127.0.0.2:5070;lr>\r\nRecord-Route: <sip:127.0.0.2;lr>\r\n",
    );
    stage.agent.bye(stage.now, handle, None);
    let bye = stage.last("BYE");
    assert_eq!(line(&bye), "BYE sip:bob@10.9.9.9:5062;x=1 SIP/2.0");
    assert_eq!(headers(&bye, "Route"), ["<sip:127.0.0.2;lr>", "<sip:127.0.0.2:5070;lr>"]);
}

#[test]
fn a_strict_route_takes_the_request_line() {
    let (mut stage, handle, _) =
        talk("Contact: <sip:bob@10.9.9.9>\r\nRecord-Route: <sip:far@10.1.1.1;lr>, <sip:strict@127.0.0.2>\r\n");
    stage.agent.bye(stage.now, handle, None);
    let bye = stage.last("BYE");
    assert_eq!(line(&bye), "BYE sip:strict@127.0.0.2 SIP/2.0");
    assert_eq!(headers(&bye, "Route"), ["<sip:far@10.1.1.1;lr>", "<sip:bob@10.9.9.9>"]);
}

#[test]
fn requests_go_to_the_trunk_whatever_the_messages_name() {
    let cases = [
        ("Contact: <sip:bob@169.254.169.254:80>\r\n", CALLEE),
        ("Contact: <sip:bob@metadata.internal>\r\n", CALLEE),
        ("Contact: <sip:bob@127.0.0.2:5099>\r\n", "127.0.0.2:5099"),
        ("Contact: <sip:bob@127.0.0.2:5099>\r\nRecord-Route: <sip:10.1.1.1;lr>\r\n", CALLEE),
    ];
    for (more, expected) in cases {
        let (mut stage, handle, _) = talk(more);
        stage.agent.bye(stage.now, handle, None);
        let bye = stage.agent.poll_transmit().expect("a BYE");
        assert_eq!((label(&bye.bytes).as_str(), bye.destination), ("BYE", address(expected)), "{more}");
    }
}

#[test]
fn an_update_moves_the_target() {
    let (mut stage, handle, request) = talk("Contact: <sip:bob@127.0.0.2>\r\n");
    stage.hear(inner(&request, "UPDATE", ("TA", 1), "Contact: <sip:moved@127.0.0.2:5099>\r\n", ""));
    stage.agent.bye(stage.now, handle, None);
    let bye = stage.last("BYE");
    assert_eq!(line(&bye), "BYE sip:moved@127.0.0.2:5099 SIP/2.0");
    assert_eq!(header(&bye, "CSeq").as_deref(), Some("2 BYE"));
    assert!(header(&bye, "Reason").is_some_and(|reason| reason.starts_with("Q.850;cause=16")));
}
