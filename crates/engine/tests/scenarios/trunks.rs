//! What trunks promise: a way round a failed one, channels and pace that are kept, questions whether they are alive,
//! registrations. The far ends are real telephones or bare sockets on loopback.

use crate::{dialing, ms, ringing, said};
use callwright_domain::agent::Switch;
use callwright_domain::{CallEvent, CallId, HangupCause, Moment, TrunkId};
use callwright_engine::{HangUp, RegistrationStatus, TrunkHealth, TrunkStatus};
use callwright_store::{Trunk, TrunkSettings};
use callwright_testkit::{Callee, Node, NodeBuilder, PATIENCE, Plan, TRUNK, Then};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::task::yield_now;
use tokio::time::timeout;

/// A carrier made of a socket: it answers as a test says, or not at all.
struct Carrier {
    socket: UdpSocket,
}

/// A request as it came.
struct Request {
    text: String,
    from: SocketAddr,
}

impl Request {
    fn method(&self) -> &str {
        self.text.split(' ').next().unwrap_or_default()
    }

    fn header(&self, name: &str) -> &str {
        let start = format!("{name}: ");
        self.text.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_default()
    }
}

impl Carrier {
    async fn start() -> Self {
        Self { socket: UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port") }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    /// The next request of this method.
    async fn hears(&self, method: &str) -> Request {
        let mut datagram = [0; 8192];
        loop {
            let arrival = timeout(PATIENCE, self.socket.recv_from(&mut datagram)).await;
            let (length, from) = arrival.unwrap_or_else(|_| panic!("no {method} in time")).expect("readable");
            let request = Request { text: String::from_utf8_lossy(&datagram[..length]).into_owned(), from };
            if request.method() == method {
                return request;
            }
        }
    }

    async fn answers(&self, request: &Request, status: &str, more: &str) {
        let names = ["Via", "From", "To", "Call-ID", "CSeq", "Contact"];
        let copied: Vec<String> = names.iter().map(|name| format!("{name}: {}", request.header(name))).collect();
        let answer = format!("SIP/2.0 {status}\r\n{}\r\n{more}Content-Length: 0\r\n\r\n", copied.join("\r\n"));
        self.socket.send_to(answer.as_bytes(), request.from).await.expect("sent");
    }
}

fn trunk_id(name: &str) -> TrunkId {
    TrunkId::new(name).expect("a trunk id")
}

fn status(node: &Node, trunk: &str) -> TrunkStatus {
    node.calls().trunk_status(&node.account(), &trunk_id(trunk)).expect("a known trunk")
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            yield_now().await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

async fn hang_up(node: &Node, call: CallId) {
    node.calls().hang_up(&node.account(), call, HangUp::Now).await.expect("taken");
    node.ended(call).await;
}

/// BARS R55: who is asked after the first trunk's answer.
#[tokio::test]
async fn only_a_failed_trunk_is_gone_round() {
    let table = [
        (500, true),
        (502, true),
        (503, true),
        (504, true),
        (486, false),
        (600, false),
        (603, false),
        (607, false),
        (608, false),
        (404, false),
        (480, false),
        (403, false),
        (501, false),
        (408, false),
    ];
    for (refusal, goes_on) in table {
        let first = Callee::start(Plan { ring: Duration::ZERO, ..Plan::then(Then::Refuse(refusal)) }).await;
        let second = Callee::start(Plan::answer()).await;
        let mut node = NodeBuilder::to(&first);
        node.spares = vec![second.address()];
        let node = node.start().await;
        let call = node.call().await;
        if goes_on {
            node.wait_for(call, "the greeting", said("Hello there.")).await;
            let names = node.event_names(call).await;
            assert_eq!(names[..4], ["created", "dialing", "attempt_failed", "dialing"], "{refusal}: {names:?}");
        } else {
            node.ended(call).await;
            assert_eq!(second.calls(), 0, "{refusal}");
        }
        assert_eq!(first.calls(), 1, "{refusal}");
    }
}

#[tokio::test]
async fn nobody_is_rung_twice() {
    let first = Callee::start(Plan::then(Then::Refuse(503))).await;
    let second = Callee::start(Plan::answer()).await;
    let mut node = NodeBuilder::to(&first);
    node.spares = vec![second.address()];
    let node = node.start().await;
    let call = node.call().await;
    assert_eq!(node.ended(call).await, HangupCause::TrunkFailed, "it rang before it failed");
    assert_eq!(second.calls(), 0);
}

#[tokio::test]
async fn each_attempt_has_its_own_identity_and_record() {
    let first = Carrier::start().await;
    let second = Callee::start(Plan::answer()).await;
    let mut node = NodeBuilder::to_address(first.address());
    node.t1 = ms(10);
    node.spares = vec![second.address()];
    let node = node.start().await;
    let call = node.call().await;
    // The first carrier says nothing at all: timer B.
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    let events = node.events(call).await;
    let intents: Vec<_> = events
        .iter()
        .filter_map(|event| if let CallEvent::Dialing { intent } = event { Some(intent) } else { None })
        .collect();
    assert_eq!(intents.iter().map(|it| it.attempt).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(
        intents.iter().map(|it| it.trunk.clone()).collect::<Vec<_>>(),
        [Some(trunk_id(TRUNK)), Some(trunk_id("spare0"))]
    );
    let differ = |part: fn(&callwright_domain::DialIntent) -> &String| part(intents[0]) != part(intents[1]);
    assert!(
        differ(|it| &it.call_id) && differ(|it| &it.from_tag) && differ(|it| &it.branch) && differ(|it| &it.dialog)
    );
    let invite = first.hears("INVITE").await;
    assert_eq!(invite.header("Call-ID"), intents[0].call_id);
    hang_up(&node, call).await;
    let records = node.calls().reader().records(&node.account(), call).await.expect("readable");
    let told: Vec<_> = records.iter().map(|record| (record.attempt, record.cause)).collect();
    assert_eq!(told, [(1, HangupCause::NoResponse), (2, HangupCause::ApiHungUp)]);
}

#[tokio::test]
async fn a_trunk_whose_name_means_nothing_is_gone_round() {
    let callee = Callee::start(Plan::answer()).await;
    let mut node = NodeBuilder::to(&callee);
    node.spares = vec![callee.address()];
    let node = node.start().await;
    let settings = TrunkSettings { host: String::from("nowhere.invalid"), ..TrunkSettings::default() };
    let broken = Trunk { id: trunk_id(TRUNK), settings, enabled: Switch::On };
    node.calls().configure().put_trunk(&node.account(), &broken).await.expect("stored");
    let call = node.call().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    assert_eq!(node.event_names(call).await[..3], ["created", "trouble", "dialing"]);
}

#[tokio::test]
async fn a_call_that_is_withdrawn_goes_no_further() {
    let first = Carrier::start().await;
    let second = Callee::start(Plan::answer()).await;
    let mut node = NodeBuilder::to_address(first.address());
    node.spares = vec![second.address()];
    let node = node.start().await;
    let call = node.call().await;
    let invite = first.hears("INVITE").await;
    node.calls().hang_up(&node.account(), call, HangUp::Now).await.expect("taken");
    first.answers(&invite, "100 Trying", "").await;
    first.hears("CANCEL").await;
    first.answers(&invite, "503 Service Unavailable", "").await;
    assert_eq!(node.ended(call).await, HangupCause::Cancelled);
    assert_eq!(second.calls(), 0);
}

#[tokio::test]
async fn a_trunk_that_asks_for_a_rest_gets_it() {
    let first = Carrier::start().await;
    let second = Callee::start(Plan::answer()).await;
    let mut node = NodeBuilder::to_address(first.address());
    node.spares = vec![second.address()];
    let node = node.start().await;
    let one = node.call().await;
    let invite = first.hears("INVITE").await;
    first.answers(&invite, "503 Service Unavailable", "Retry-After: 120\r\n").await;
    node.wait_for(one, "the greeting", said("Hello there.")).await;
    assert!(status(&node, TRUNK).rests_until.is_some_and(|until| until.since(node.now()) > Duration::from_secs(100)));
    let two = node.call().await;
    node.wait_for(two, "the greeting", said("Hello there.")).await;
    assert!(!node.event_names(two).await.contains(&"attempt_failed"), "the resting trunk is not disturbed");
}

#[tokio::test]
async fn calls_wait_for_the_end_of_an_only_trunks_rest_and_their_deadline_stands() {
    let carrier = Carrier::start().await;
    let node = NodeBuilder::to_address(carrier.address()).start().await;
    let first = node.call().await;
    let invite = carrier.hears("INVITE").await;
    carrier.answers(&invite, "503 Service Unavailable", "Retry-After: 1\r\n").await;
    assert_eq!(node.ended(first).await, HangupCause::TrunkFailed);
    let rested = Instant::now();
    let mut request = node.request();
    request.deadline = Some(Moment(node.now().millis() + 200));
    let hasty = node.calls().start(request, node.now()).await.expect("accepted").id;
    let patient = node.call().await;
    assert_eq!(node.ended(hasty).await, HangupCause::Expired);
    let again = carrier.hears("INVITE").await;
    assert!(rested.elapsed() > ms(700), "{:?}", rested.elapsed());
    assert!(again.header("Call-ID").contains(&patient.to_string()));
    assert_eq!(node.event_names(hasty).await, ["created", "ended"]);
}

#[tokio::test]
async fn channels_are_kept_and_come_back_after_every_kind_of_end() {
    let callee = Callee::start(Plan::then(Then::Never)).await;
    let mut node = NodeBuilder::to(&callee);
    node.trunk.max_calls = 2;
    let node = node.start().await;
    let mut calls = Vec::new();
    for _ in 0..8 {
        calls.push(node.call().await);
    }
    callee.called(2).await;
    for ended in 0..6 {
        // Each that goes lets one more in, and never two.
        until("the line is full", || callee.calls() == ended + 2 && status(&node, TRUNK).calls == 2).await;
        until("the rest waits", || status(&node, TRUNK).waiting == 6 - ended).await;
        let mut live = Vec::new();
        for call in &calls {
            if node.event_names(*call).await.contains(&"dialing") {
                live.push(*call);
            }
        }
        let leaving = live[0];
        calls.retain(|call| *call != leaving);
        hang_up(&node, leaving).await;
    }
    // One that waits can be ended without being dialled.
    let waiting = node.call().await;
    until("it waits", || status(&node, TRUNK).waiting == 1).await;
    hang_up(&node, waiting).await;
    assert_eq!(node.event_names(waiting).await, ["created", "ended"]);
    assert_eq!(status(&node, TRUNK).waiting, 0);
    for call in calls {
        hang_up(&node, call).await;
    }
    until("every channel is back", || status(&node, TRUNK).calls == 0).await;
    assert_eq!(callee.calls(), 8);
}

#[tokio::test]
async fn a_full_trunk_keeps_nobody_from_another() {
    let (full, free) = (Callee::start(Plan::then(Then::Never)).await, Callee::start(Plan::answer()).await);
    let mut node = NodeBuilder::to(&full);
    node.trunk.max_calls = 1;
    let node = node.start().await;
    let settings = TrunkSettings {
        host: free.address().ip().to_string(),
        port: free.address().port(),
        options_interval_s: 0,
        ..TrunkSettings::default()
    };
    let other = Trunk { id: trunk_id("other"), settings, enabled: Switch::On };
    node.calls().configure().put_trunk(&node.account(), &other).await.expect("stored");
    let number = callwright_domain::PhoneNumber::parse("+15550101").expect("a number");
    let number = callwright_store::Number::new(node.account(), number, trunk_id("other"));
    node.calls().configure().put_number(&number).await.expect("stored");
    let mut request = node.request();
    request.callers = vec![callwright_domain::PhoneNumber::parse(callwright_testkit::CALLER).expect("a number")];
    for _ in 0..5 {
        node.calls().start(request.clone(), node.now()).await.expect("accepted");
    }
    full.called(1).await;
    until("four wait", || status(&node, TRUNK).waiting == 4).await;
    let mut request = node.request();
    request.callers = vec![number.number];
    let call = node.calls().start(request, node.now()).await.expect("accepted").id;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    assert_eq!(full.calls(), 1);
}

#[tokio::test]
async fn a_paced_trunk_gets_its_calls_one_by_one() {
    let carrier = Carrier::start().await;
    let mut node = NodeBuilder::to_address(carrier.address());
    node.trunk.cps = 5;
    let node = node.start().await;
    let began = Instant::now();
    let mut arrived: Vec<Duration> = Vec::new();
    let placing = async {
        for _ in 0..11 {
            node.call().await;
        }
    };
    // Heard as they come, also while others are still being accepted.
    let hearing = async {
        let mut seen = std::collections::HashSet::new();
        while arrived.len() < 11 {
            let invite = carrier.hears("INVITE").await;
            if seen.insert(invite.header("Call-ID").to_owned()) {
                arrived.push(began.elapsed());
                carrier.answers(&invite, "486 Busy Here", "").await;
            }
        }
    };
    tokio::join!(placing, hearing);
    // Five a second: the sixth comes a second after the first at the earliest, and the first comes after the beginning.
    // A busy machine may only make them later; how late the pace itself lets them go is tested on a virtual clock.
    for (place, at) in arrived.iter().enumerate() {
        assert!(*at >= ms(990) * (place / 5) as u32, "the call at place {place} came after {at:?}");
    }
}

/// BARS R58.
#[tokio::test]
async fn a_silent_trunk_is_out_while_another_lives_and_back_after_one_answer() {
    let (first, second) = (Carrier::start().await, Callee::start(Plan::answer()).await);
    let mut node = NodeBuilder::to_address(first.address());
    node.spares = vec![second.address()];
    node.trunk.options_interval_s = 1;
    let node = node.start().await;
    until("it is out", || status(&node, TRUNK).health == TrunkHealth::Down).await;
    assert_eq!(status(&node, "spare0").health, TrunkHealth::Up);
    let call = node.call().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    let names = node.event_names(call).await;
    assert!(!names.contains(&"attempt_failed"), "the dead trunk was not even tried: {names:?}");
    loop {
        let question = first.hears("OPTIONS").await;
        first.answers(&question, "404 Not Found", "").await;
        if status(&node, TRUNK).health == TrunkHealth::Up {
            break;
        }
    }
    node.call().await;
    first.hears("INVITE").await;
}

/// Many carriers do not answer questions: an only trunk is tried all the same.
#[tokio::test]
async fn an_only_trunk_is_tried_even_when_it_is_silent() {
    let carrier = Carrier::start().await;
    let mut node = NodeBuilder::to_address(carrier.address());
    node.trunk.options_interval_s = 1;
    let node = node.start().await;
    until("it is out", || status(&node, TRUNK).health == TrunkHealth::Down).await;
    let call = node.call().await;
    let invite = carrier.hears("INVITE").await;
    carrier.answers(&invite, "486 Busy Here", "").await;
    assert_eq!(node.ended(call).await, HangupCause::Busy);
}

async fn store_trunk(node: &Node, change: impl FnOnce(&mut TrunkSettings)) {
    let stored = node.calls().reader().trunk(&node.account(), &trunk_id(TRUNK)).await.expect("readable");
    let mut trunk = stored.expect("there");
    change(&mut trunk.settings);
    node.calls().configure().put_trunk(&node.account(), &trunk).await.expect("stored");
}

#[tokio::test]
async fn a_trunk_is_registered_with_as_long_as_it_says_so() {
    let carrier = Carrier::start().await;
    let mut node = NodeBuilder::to_address(carrier.address());
    node.trunk.register = Switch::On;
    node.trunk.username = callwright_domain::Pii::new(String::from("alice"));
    node.trunk.domain = Some(String::from("carrier.example"));
    let node = node.start().await;
    let first = carrier.hears("REGISTER").await;
    assert!(first.text.starts_with("REGISTER sip:carrier.example SIP/2.0"), "{}", first.text);
    assert!(first.header("To").contains("sip:alice@carrier.example"));
    assert_eq!(status(&node, TRUNK).registration, RegistrationStatus::Trying);
    carrier.answers(&first, "403 Forbidden", "").await;
    until("it failed", || {
        matches!(status(&node, TRUNK).registration, RegistrationStatus::Failed { cause, .. } if cause == "forbidden")
    })
    .await;
    // Limits change without a word to the registrar; a new domain is a new registration.
    store_trunk(&node, |settings| settings.cps = 3).await;
    store_trunk(&node, |settings| settings.domain = Some(String::from("other.example"))).await;
    let mut leaving = carrier.hears("REGISTER").await;
    assert_eq!((leaving.header("Expires"), leaving.header("To").contains("carrier.example")), ("0", true));
    carrier.answers(&leaving, "200 OK", "").await;
    let again = carrier.hears("REGISTER").await;
    assert!(again.header("To").contains("other.example"), "{}", again.text);
    carrier.answers(&again, "200 OK", "Expires: 300\r\n").await;
    until("it is registered", || matches!(status(&node, TRUNK).registration, RegistrationStatus::Registered { .. }))
        .await;
    // Removed: taken back.
    node.calls().configure().delete_trunk(&node.account(), &trunk_id(TRUNK)).await.expect("removed");
    leaving = carrier.hears("REGISTER").await;
    assert_eq!(leaving.header("Expires"), "0");
    carrier.answers(&leaving, "200 OK", "").await;
    until("it is forgotten", || node.calls().trunk_status(&node.account(), &trunk_id(TRUNK)).is_none()).await;
}

#[tokio::test]
async fn a_node_that_goes_down_takes_its_registrations_back() {
    let carrier = Carrier::start().await;
    let mut node = NodeBuilder::to_address(carrier.address());
    node.trunk.register = Switch::On;
    node.trunk.username = callwright_domain::Pii::new(String::from("alice"));
    let node = node.start().await;
    let first = carrier.hears("REGISTER").await;
    carrier.answers(&first, "200 OK", "Expires: 300\r\n").await;
    until("it is registered", || matches!(status(&node, TRUNK).registration, RegistrationStatus::Registered { .. }))
        .await;
    let engine = node.engine();
    let drain = tokio::spawn(async move { engine.drain(std::future::ready(())).await });
    let leaving = carrier.hears("REGISTER").await;
    assert_eq!(leaving.header("Expires"), "0");
    carrier.answers(&leaving, "200 OK", "").await;
    timeout(PATIENCE, drain).await.expect("in time").expect("no panic");
}

#[tokio::test]
async fn waiting_calls_outlive_a_crash_and_are_dialled_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let callee = Callee::start(Plan::then(Then::Never)).await;
    let mut builder = NodeBuilder::to(&callee).data(directory.path());
    builder.trunk.max_calls = 1;
    let doomed = builder.clone().start_doomed().await;
    let (first, second) = (doomed.node().call().await, doomed.node().call().await);
    let mut order = [first, second];
    doomed.node().wait_for(first, "the dialling of one", |_| true).await;
    callee.called(1).await;
    until("the other waits", || status(doomed.node(), TRUNK).waiting == 1).await;
    if !doomed.node().event_names(first).await.contains(&"dialing") {
        order.swap(0, 1);
    }
    doomed.kill();
    let node = builder.start().await;
    node.wait_for(order[1], "the ringing", ringing).await;
    assert_eq!(callee.calls(), 2);
    assert!(
        node.events(order[0])
            .await
            .iter()
            .any(|event| matches!(event, CallEvent::Ended { cause: HangupCause::ServerRestarted, .. }))
    );
    assert_eq!(node.events(order[1]).await.iter().filter(|event| dialing(event)).count(), 1);
}
