//! The doors of SIP over real sockets: lost framing, the torture messages in single bytes, requests that nobody asked for,
//! challenges from the wrong people, a flood of strangers.

use callwright_net::{SipEndpoint, SipHandle, SipReport, SipSettings, StreamLimits};
use callwright_sip::{
    AckTiming, Body, Credentials, DialIntent, Inbound, OutboundInvite, Reliability, Transport, Trunk,
};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Nothing here takes this long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(20);

struct End {
    sip: SipHandle,
    /// Kept, so that reports have somewhere to go.
    _reports: Receiver<SipReport>,
}

/// An endpoint that knows these peers, does not take calls, and waits a moment for the rest of a message.
async fn end(peers: &[IpAddr]) -> End {
    let any = SocketAddr::new(HOME, 0);
    let mut settings = SipSettings::new(any, Some(any));
    settings.agent.peers = HashSet::from_iter(peers.iter().copied());
    settings.agent.inbound = Inbound::Refuse;
    settings.streams = StreamLimits { message: Duration::from_millis(400), ..StreamLimits::default() };
    let (endpoint, sip, reports) = SipEndpoint::bind(settings).await.expect("bound");
    tokio::spawn(endpoint.run());
    End { sip, _reports: reports }
}

/// The vectors of the SIP crate: one file a message, by name.
fn vectors(set: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../sip/tests/fixtures").join(set);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the fixtures are part of the repository")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.file_name().is_some_and(|name| name != "INDEX.tsv"))
        .map(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).expect("ASCII").to_owned();
            (name, std::fs::read(path).expect("readable"))
        })
        .collect();
    files.sort();
    files
}

fn is_framing(name: &str) -> bool {
    name.starts_with("cl-") || ["ncl.dat", "mcl01.dat", "clerr.dat"].contains(&name)
}

/// A harmless request that is answered; its answer shows that what came before it was read past.
fn sentinel() -> Vec<u8> {
    let head = "OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bKsentinel\r\n";
    let rest = "Max-Forwards: 70\r\nFrom: <sip:a@b.example>;tag=1\r\nTo: <sip:c@d.example>\r\nCall-ID: sentinel\r\n";
    format!("{head}{rest}CSeq: 77 OPTIONS\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

/// What comes back until the sentinel is answered or the connection is over.
async fn answers(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut piece = [0; 8192];
    let reading = async {
        while let Ok(length @ 1..) = stream.read(&mut piece).await {
            text.push_str(&String::from_utf8_lossy(&piece[..length]));
            if text.contains("77 OPTIONS") {
                break;
            }
        }
    };
    timeout(PATIENCE, reading).await.expect("answered or closed in time");
    text
}

fn statuses(text: &str) -> Vec<String> {
    let words = text.split("SIP/2.0 ").skip(1).map(|answer| answer.chars().take(3).collect::<String>());
    words.filter(|status| status.parse::<u16>().is_ok()).collect()
}

#[tokio::test]
async fn lost_framing_closes_the_connection_and_nothing_behind_it_is_read() {
    let end = end(&[HOME]).await;
    let mut tried = 0;
    for (name, octets) in vectors("hostile").into_iter().chain(vectors("rfc4475")).filter(|(name, _)| is_framing(name))
    {
        let mut stream = TcpStream::connect(end.sip.tcp().expect("TCP listens")).await.expect("connected");
        // Early ends are what is wanted.
        let _early = stream.write_all(&[octets, sentinel()].concat()).await;
        let text = answers(&mut stream).await;
        assert!(!text.contains("77 OPTIONS"), "{name}: the message behind it was read: {text}");
        let statuses = statuses(&text);
        assert!(
            statuses.len() <= 1 && statuses.iter().all(|status| ["400", "513"].contains(&status.as_str())),
            "{name}: {statuses:?}"
        );
        let mut rest = [0; 16];
        let over = timeout(PATIENCE, stream.read(&mut rest)).await.expect("closed in time");
        assert!(!matches!(over, Ok(1..)), "{name}: it goes on");
        tried += 1;
    }
    assert_eq!(tried, 11);
}

#[tokio::test]
async fn torture_messages_in_single_bytes_mean_what_they_mean_at_once() {
    let end = end(&[HOME]).await;
    let mut tried = 0;
    for (name, octets) in vectors("rfc4475").into_iter().filter(|(name, _)| name != "clerr.dat") {
        let mut verdicts = Vec::new();
        for size in [octets.len(), 1] {
            let mut stream = TcpStream::connect(end.sip.tcp().expect("TCP listens")).await.expect("connected");
            stream.set_nodelay(true).expect("a socket");
            for piece in octets.chunks(size.max(1)) {
                if stream.write_all(piece).await.is_err() {
                    break;
                }
            }
            // The connection may be over already.
            let _early = stream.write_all(&sentinel()).await;
            verdicts.push(statuses(&answers(&mut stream).await));
        }
        // dblreq.dat is two requests with a broken end: which of the answers leaves before the end is a matter of time.
        let judged = if name == "dblreq.dat" { 1 } else { usize::MAX };
        let [at_once, in_bytes] = [0, 1].map(|way: usize| verdicts[way].iter().take(judged).collect::<Vec<_>>());
        assert_eq!(at_once, in_bytes, "{name}");
        assert!(verdicts[0].len() <= 2, "{name}: one answer and the sentinel's: {:?}", verdicts[0]);
        tried += 1;
    }
    assert_eq!(tried, 48);
    let live = end.sip.live().await.expect("running");
    assert_eq!(live.calls, 0, "nobody was called");
}

/// Requests from the list that a caller could not want.
fn unsolicited() -> Vec<(String, Vec<u8>)> {
    let wanted = ["toll-", "scan-", "message-", "replaces-", "route-", "via-", "bye-", "cancel-", "prack-", "ack-"];
    let mut found = vectors("hostile");
    found.retain(|(name, octets)| wanted.iter().any(|start| name.starts_with(start)) && octets.len() < 60_000);
    for method in ["INVITE", "REGISTER", "REFER", "MESSAGE", "SUBSCRIBE", "NOTIFY", "PUBLISH", "OPTIONS", "UPDATE"] {
        let text = String::from_utf8(sentinel()).expect("text").replace("OPTIONS", method).replace("sentinel", method);
        found.push((format!("plain {method}"), text.replace("/TCP", "/UDP").into_bytes()));
    }
    assert!(found.len() >= 18, "{}", found.len());
    found
}

/// Sends datagrams and waits until the endpoint has read them.
async fn deliver(end: &End, socket: &UdpSocket, octets: &[u8]) {
    let before = end.sip.stats().received;
    socket.send_to(octets, end.sip.udp()).await.expect("sent");
    let read = async {
        while end.sip.stats().received == before {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, read).await.expect("read in time");
    // Answered after the messages before it: whatever they led to has happened.
    end.sip.live().await.expect("running");
}

#[tokio::test]
async fn strangers_get_no_answer_and_leave_no_trace() {
    let end = end(&[]).await;
    let socket = UdpSocket::bind((HOME, 0)).await.expect("a free port");
    for (name, octets) in unsolicited() {
        deliver(&end, &socket, &octets).await;
        assert_eq!(end.sip.stats().sent, 0, "{name} was answered");
    }
    let live = end.sip.live().await.expect("running");
    assert_eq!((live.calls, live.transactions), (0, 0));
}

#[tokio::test]
async fn known_peers_get_short_answers_without_a_product_and_no_call_of_ours() {
    let end = end(&[HOME]).await;
    for (name, octets) in unsolicited() {
        let socket = UdpSocket::bind((HOME, 0)).await.expect("a free port");
        let sent = end.sip.stats().sent;
        deliver(&end, &socket, &octets).await;
        let answers = end.sip.stats().sent - sent;
        assert!(answers <= 1, "{name}: {answers} messages");
        let mut answer = vec![0; 65_536];
        let Ok(length) = socket.try_recv(&mut answer) else { continue };
        let text = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(text.starts_with("SIP/2.0 "), "{name}: a request of ours: {text}");
        assert!(length * 2 <= octets.len() * 3, "{name}: {length} bytes for {}", octets.len());
        let lower = text.to_ascii_lowercase();
        assert!(!lower.contains("\r\nserver:") && !lower.contains("\r\nuser-agent:"), "{name}: {text}");
        assert!(!lower.contains("callwright"), "{name}: {text}");
    }
    assert_eq!(end.sip.live().await.expect("running").calls, 0);
}

#[tokio::test]
async fn a_flood_of_strangers_is_read_and_forgotten() {
    let end = end(&[]).await;
    let socket = UdpSocket::bind((HOME, 0)).await.expect("a free port");
    let plain = String::from_utf8(sentinel()).expect("text");
    for at in 0..5000 {
        let invite = plain.replace("OPTIONS", "INVITE").replace("sentinel", &format!("flood{at}"));
        socket.send_to(invite.as_bytes(), end.sip.udp()).await.expect("sent");
        if at % 100 == 0 {
            end.sip.live().await.expect("running");
        }
    }
    let live = end.sip.live().await.expect("running");
    assert_eq!((live.calls, live.transactions, live.leftovers), (0, 0, 0));
    assert_eq!(end.sip.stats().sent, 0);
}

fn invite(trunk: Trunk) -> OutboundInvite {
    let parse = |text: &str| text.parse().expect("a name-addr");
    let to = trunk.peer;
    OutboundInvite {
        trunk: Arc::new(trunk),
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
        offer: Body::sdp(b"v=0\r\noffer"),
        session_expires: None,
        reliability: Reliability::Offered,
        ring_timeout: Duration::from_secs(60),
        ack: AckTiming::AtOnce,
    }
}

/// The next message of this method; others are passed over.
async fn next_of(socket: &UdpSocket, method: &str) -> String {
    let mut datagram = vec![0; 65_536];
    let search = async {
        loop {
            let length = socket.recv(&mut datagram).await.expect("readable");
            let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
            if text.starts_with(method) {
                return text;
            }
        }
    };
    timeout(PATIENCE, search).await.expect("in time")
}

/// A challenge to a request, as a trunk would send it.
fn challenge(request: &str, challenge: &str) -> String {
    let header = |name: &str| {
        let found = request.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
        found.unwrap_or_else(|| panic!("{name} in {request}")).trim_end().to_owned()
    };
    format!(
        "SIP/2.0 401 Unauthorized\r\n{}\r\n{}\r\n{};tag=trunk\r\n{}\r\n{}\r\nWWW-Authenticate: {challenge}\r\nContent-Length: 0\r\n\r\n",
        header("via:"),
        header("from:"),
        header("to:"),
        header("call-id:"),
        header("cseq:")
    )
}

#[tokio::test]
async fn credentials_go_to_the_trunk_for_its_realm_and_to_nobody_else() {
    let digest = |realm: &str| format!("Digest realm=\"{realm}\", nonce=\"n\", qop=\"auth\", algorithm=MD5");
    for (realm, from_trunk, wanted) in [
        (digest("home.example"), true, true),
        (digest("evil.example"), true, false),
        (String::from("Basic realm=\"home.example\""), true, false),
        (digest("home.example"), false, false),
    ] {
        let end = end(&[]).await;
        let trunk = UdpSocket::bind((HOME, 0)).await.expect("a free port");
        // Another host: 127.0.0.2 is loopback, too.
        let stranger = UdpSocket::bind(("127.0.0.2", 0)).await.expect("a free port");
        let mut settings = Trunk::at(trunk.local_addr().expect("bound"), Transport::Udp);
        settings.credentials = Some(Credentials::new("user", "hunter2").expect("printable"));
        settings.realm = Some(String::from("home.example"));
        let _call = end.sip.invite(invite(settings)).await.expect("running").expect("sent");
        let first = next_of(&trunk, "INVITE ").await;
        assert!(!first.to_ascii_lowercase().contains("authorization"), "nothing before it is asked");
        let challenger = if from_trunk { &trunk } else { &stranger };
        challenger.send_to(challenge(&first, &realm).as_bytes(), end.sip.udp()).await.expect("sent");
        if wanted {
            next_of(&trunk, "ACK ").await;
            let second = next_of(&trunk, "INVITE ").await.to_ascii_lowercase();
            assert!(second.contains("\r\nauthorization: digest "), "{second}");
            assert!(second.contains("realm=\"home.example\"") && !second.contains("hunter2"), "{second}");
            assert!(second.contains("cseq: 2 invite"), "{second}");
        } else if from_trunk {
            // The call is over: no second INVITE follows the ACK.
            let ack = next_of(&trunk, "ACK ").await;
            assert!(!ack.to_ascii_lowercase().contains("authorization"));
            end.sip.live().await.expect("running");
            let mut more = [0; 2048];
            assert!(trunk.try_recv(&mut more).is_err(), "{}", String::from_utf8_lossy(&more));
        } else {
            // To a stranger nothing goes; the INVITE is repeated as it was, because its answer has not come.
            let again = next_of(&trunk, "INVITE ").await;
            assert_eq!(again, first);
            let mut more = [0; 2048];
            assert!(stranger.try_recv(&mut more).is_err());
        }
    }
}
