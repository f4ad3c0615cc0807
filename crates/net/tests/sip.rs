//! Two SIP endpoints call each other over loopback, by UDP and by TCP, and meet peers that misbehave.

use callwright_net::{
    CallEvent, RegistrationState, SipCall, SipEndpoint, SipHandle, SipReport, SipSettings, StreamLimits,
};
use callwright_sip::{
    AckTiming, Body, DialIntent, EndedBy, HangupCause, Inbound, InviteError, OutboundInvite, Registration, Reliability,
    Transport, Trunk,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Nothing here takes this long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(20);
const OFFER: &[u8] = b"v=0\r\noffer";
const ANSWER: &[u8] = b"v=0\r\nanswer";

struct End {
    sip: SipHandle,
    reports: Receiver<SipReport>,
    task: JoinHandle<()>,
}

impl End {
    async fn start() -> Self {
        Self::start_with(StreamLimits::default()).await
    }

    async fn start_with(streams: StreamLimits) -> Self {
        let any = SocketAddr::new(HOME, 0);
        let mut settings = SipSettings::new(any, Some(any));
        settings.agent.peers.insert(HOME);
        settings.agent.inbound = Inbound::Offer;
        settings.streams = streams;
        let (endpoint, sip, reports) = SipEndpoint::bind(settings).await.expect("bound");
        Self { sip, reports, task: tokio::spawn(endpoint.run()) }
    }

    fn address(&self, transport: Transport) -> SocketAddr {
        match transport {
            Transport::Udp => self.sip.udp(),
            _ => self.sip.tcp().expect("TCP listens"),
        }
    }

    async fn incoming(&mut self) -> SipCall {
        match timeout(PATIENCE, self.reports.recv()).await.expect("in time") {
            Some(SipReport::Incoming { call, invitation }) => {
                assert_eq!(invitation.body, Some(Body::sdp(OFFER)));
                call
            }
            other => panic!("a call, not {other:?}"),
        }
    }

    /// Nothing is left of any call once its transactions are over.
    async fn forgets_calls(&self) {
        let gone = async {
            while self.sip.live().await.expect("running").calls > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, gone).await.expect("in time");
    }
}

fn invite(to: SocketAddr, transport: Transport) -> OutboundInvite {
    let parse = |text: &str| text.parse().expect("a name-addr");
    OutboundInvite {
        trunk: Arc::new(Trunk::at(to, transport)),
        request_uri: format!("sip:callee@{to}").parse().expect("a URI"),
        from: parse("<sip:caller@callwright.example>"),
        to: parse("<sip:callee@callwright.example>"),
        asserted_identity: None,
        headers: Vec::new(),
        identity: DialIntent {
            call_id: format!("{:032x}", rand::random::<u128>()),
            from_tag: format!("{:016x}", rand::random::<u64>()),
            branch: format!("z9hG4bK{:016x}", rand::random::<u64>()),
            cseq: 1,
        },
        offer: Body::sdp(OFFER),
        session_expires: None,
        reliability: Reliability::Offered,
        ring_timeout: Duration::from_secs(60),
        ack: AckTiming::AtOnce,
    }
}

/// The next event that is not progress.
async fn next(call: &mut SipCall) -> CallEvent {
    let search = async {
        loop {
            match call.next().await.expect("an event before the end") {
                CallEvent::Progress(_) => {}
                event => return event,
            }
        }
    };
    timeout(PATIENCE, search).await.expect("in time")
}

/// An answered call, at the caller's and at the callee's.
async fn answered(caller: &End, callee: &mut End, transport: Transport) -> (SipCall, SipCall) {
    let invite = invite(callee.address(transport), transport);
    let mut ours = caller.sip.invite(invite).await.expect("running").expect("sent");
    let mut theirs = callee.incoming().await;
    theirs.ring(180, None).await.expect("running");
    match timeout(PATIENCE, ours.next()).await.expect("in time") {
        Some(CallEvent::Progress(progress)) => assert!(matches!(progress.status, 100 | 180), "{progress:?}"),
        other => panic!("progress, not {other:?}"),
    }
    theirs.accept(Body::sdp(ANSWER)).await.expect("running");
    match next(&mut ours).await {
        CallEvent::Answered { body } => assert_eq!(body, Some(Body::sdp(ANSWER))),
        other => panic!("an answer, not {other:?}"),
    }
    assert!(matches!(next(&mut theirs).await, CallEvent::Established { .. }));
    (ours, theirs)
}

fn assert_ended(event: CallEvent, by: EndedBy) {
    match event {
        CallEvent::Ended(ending) => assert_eq!((ending.by, ending.cause), (by, HangupCause::Normal)),
        other => panic!("the end, not {other:?}"),
    }
}

#[tokio::test]
async fn calls_end_from_either_side_over_udp_and_tcp() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let (caller, mut callee) = (End::start().await, End::start().await);
        let (mut ours, mut theirs) = answered(&caller, &mut callee, transport).await;
        ours.say_goodbye().await.expect("running");
        assert_ended(next(&mut ours).await, EndedBy::Local);
        assert_ended(next(&mut theirs).await, EndedBy::Peer);
        let (mut ours, mut theirs) = answered(&caller, &mut callee, transport).await;
        assert!(ours.snapshot().await.expect("running").is_some());
        theirs.hang_up(None).await.expect("running");
        assert_ended(next(&mut theirs).await, EndedBy::Local);
        assert_ended(next(&mut ours).await, EndedBy::Peer);
        assert!(ours.next().await.is_none(), "nothing follows the end");
        caller.forgets_calls().await;
        callee.forgets_calls().await;
    }
}

#[tokio::test]
async fn dropping_a_call_ends_it_in_every_state() {
    let (caller, mut callee) = (End::start().await, End::start().await);
    let (ours, mut theirs) = answered(&caller, &mut callee, Transport::Udp).await;
    drop(ours);
    assert_ended(next(&mut theirs).await, EndedBy::Peer);

    let placed = invite(callee.address(Transport::Udp), Transport::Udp);
    let ours = caller.sip.invite(placed).await.expect("running").expect("sent");
    let mut theirs = callee.incoming().await;
    theirs.ring(180, None).await.expect("running");
    drop(ours);
    assert!(matches!(next(&mut theirs).await, CallEvent::Failed(failure) if failure.cause == HangupCause::Cancelled));

    let placed = invite(callee.address(Transport::Udp), Transport::Udp);
    let mut ours = caller.sip.invite(placed).await.expect("running").expect("sent");
    drop(callee.incoming().await);
    assert!(matches!(next(&mut ours).await, CallEvent::Failed(failure) if failure.status == Some(480)));
    caller.forgets_calls().await;
    callee.forgets_calls().await;
}

#[tokio::test]
async fn a_session_is_changed_within_a_call() {
    let (caller, mut callee) = (End::start().await, End::start().await);
    let (mut ours, mut theirs) = answered(&caller, &mut callee, Transport::Udp).await;
    assert!(ours.reinvite(Body::sdp("v=0\r\nhold")).await.expect("running"));
    let CallEvent::Offer { offer, body } = next(&mut theirs).await else { panic!("an offer") };
    assert_eq!(body, Some(Body::sdp("v=0\r\nhold")));
    theirs.accept_offer(offer, Body::sdp("v=0\r\nheld")).await.expect("running");
    match next(&mut ours).await {
        CallEvent::OfferAnswered { body } => assert_eq!(body, Some(Body::sdp("v=0\r\nheld"))),
        other => panic!("an answer, not {other:?}"),
    }
}

#[tokio::test]
async fn trunks_answer_pings_or_do_not() {
    let (caller, callee) = (End::start().await, End::start().await);
    for transport in [Transport::Udp, Transport::Tcp] {
        let trunk = Arc::new(Trunk::at(callee.address(transport), transport));
        assert!(timeout(PATIENCE, caller.sip.options(trunk)).await.expect("in time").expect("running").is_some());
    }
}

#[tokio::test]
async fn a_trunk_that_refuses_connections_fails_the_call() {
    let caller = End::start().await;
    let free = tokio::net::TcpListener::bind((HOME, 0)).await.expect("bound").local_addr().expect("bound");
    let mut call = caller.sip.invite(invite(free, Transport::Tcp)).await.expect("running").expect("sent");
    match next(&mut call).await {
        CallEvent::Failed(failure) => assert_eq!(failure.cause, HangupCause::TransportFailed),
        other => panic!("a failure, not {other:?}"),
    }
    let secured = caller.sip.invite(invite(free, Transport::Tls)).await.expect("running");
    assert!(matches!(secured, Err(InviteError::NoLocalAddress(Transport::Tls))), "{secured:?}");
}

#[tokio::test]
async fn an_endpoint_stops_when_nobody_holds_it() {
    let (caller, mut callee) = (End::start().await, End::start().await);
    let (ours, mut theirs) = answered(&caller, &mut callee, Transport::Tcp).await;
    drop(caller.sip);
    assert!(!caller.task.is_finished(), "a call keeps it");
    drop(ours);
    assert_ended(next(&mut theirs).await, EndedBy::Peer);
    timeout(PATIENCE, caller.task).await.expect("in time").expect("no panic");
}

/// Reads to the end of a connection.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("closed in time").expect("readable");
    String::from_utf8_lossy(&answer).into_owned()
}

fn options(length: &str) -> String {
    let head = "OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bKx\r\n";
    let rest = "Max-Forwards: 70\r\nFrom: <sip:a@b.example>;tag=1\r\nTo: <sip:c@d.example>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n";
    format!("{head}{rest}Content-Length: {length}\r\n\r\n")
}

#[tokio::test]
async fn a_keepalive_is_answered_and_lost_framing_closes_the_connection() {
    let end = End::start().await;
    let mut stream = TcpStream::connect(end.address(Transport::Tcp)).await.expect("connected");
    stream.write_all(b"\r\n\r\n").await.expect("sent");
    let mut pong = [0; 2];
    timeout(PATIENCE, stream.read_exact(&mut pong)).await.expect("in time").expect("readable");
    assert_eq!(&pong, b"\r\n");
    let twice = options("-999") + &options("0");
    stream.write_all(twice.as_bytes()).await.expect("sent");
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("SIP/2.0 400"), "{answer}");
    assert_eq!(answer.matches("SIP/2.0 ").count(), 1, "one answer, nothing after it was read: {answer}");
}

#[tokio::test]
async fn a_message_in_single_bytes_is_one_message() {
    let end = End::start().await;
    let mut stream = TcpStream::connect(end.address(Transport::Tcp)).await.expect("connected");
    for byte in options("0").bytes() {
        stream.write_all(&[byte]).await.expect("sent");
    }
    let mut answer = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("in time").expect("readable");
    assert_eq!(&answer, b"SIP/2.0 200 ");
}

#[tokio::test]
async fn half_messages_idle_connections_and_too_many_are_closed() {
    let limits = StreamLimits {
        accepted: 2,
        idle: Duration::from_millis(300),
        message: Duration::from_millis(100),
        ..StreamLimits::default()
    };
    let end = End::start_with(limits).await;
    let address = end.address(Transport::Tcp);
    let mut half = TcpStream::connect(address).await.expect("connected");
    half.write_all(b"OPTIONS sip:").await.expect("sent");
    let mut idle = TcpStream::connect(address).await.expect("connected");
    let mut third = TcpStream::connect(address).await.expect("connected");
    assert_eq!(read_to_end(&mut third).await, "");
    assert_eq!(read_to_end(&mut half).await, "");
    assert_eq!(read_to_end(&mut idle).await, "");
    let stats = end.sip.stats();
    assert_eq!((stats.accepted, stats.turned_away), (2, 1));
}

/// Answers the next REGISTER with 200 and returns it.
async fn registrar_grants(socket: &UdpSocket) -> String {
    let mut datagram = [0; 4096];
    let (length, peer) = timeout(PATIENCE, socket.recv_from(&mut datagram)).await.expect("in time").expect("readable");
    let request = String::from_utf8_lossy(&datagram[..length]).into_owned();
    assert!(request.starts_with("REGISTER "), "{request}");
    let copied = |line: &&str| {
        ["Via:", "From:", "To:", "Call-ID:", "CSeq:", "Contact:"].iter().any(|name| line.starts_with(name))
    };
    let headers: Vec<&str> = request.lines().filter(copied).collect();
    let answer = format!("SIP/2.0 200 OK\r\n{}\r\nContent-Length: 0\r\n\r\n", headers.join("\r\n"));
    socket.send_to(answer.as_bytes(), peer).await.expect("sent");
    request
}

fn expires(request: &str) -> Option<&str> {
    request.lines().find_map(|line| line.strip_prefix("Expires: "))
}

#[tokio::test]
async fn a_registration_lives_as_long_as_it_is_held() {
    let (end, registrar) = (End::start().await, UdpSocket::bind((HOME, 0)).await.expect("bound"));
    let wanted = Registration {
        trunk: Arc::new(Trunk::at(registrar.local_addr().expect("bound"), Transport::Udp)),
        registrar: "sip:carrier.example".parse().expect("a URI"),
        address: "<sip:alice@carrier.example>".parse().expect("a name-addr"),
        expires: 300,
    };
    let mut held = end.sip.register(wanted.clone()).await.expect("running");
    assert_eq!(held.state(), RegistrationState::Trying);
    assert_eq!(expires(&registrar_grants(&registrar).await), Some("300"));
    let state = timeout(PATIENCE, held.changed()).await.expect("in time").expect("running");
    assert_eq!(state, RegistrationState::Registered { expires: Duration::from_secs(300) });
    let (left, request) = tokio::join!(held.unregister(), registrar_grants(&registrar));
    left.expect("told that it is over");
    assert_eq!(expires(&request), Some("0"));

    let dropped = end.sip.register(wanted).await.expect("running");
    registrar_grants(&registrar).await;
    drop(dropped);
    assert_eq!(expires(&registrar_grants(&registrar).await), Some("0"), "dropping unregisters");
    let gone = async {
        while end.sip.live().await.expect("running").registrations > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.expect("forgotten in time");
}
