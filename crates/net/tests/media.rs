//! Legs of one plane talk to each other over loopback sockets.

use callwright_media::codec::PCMU;
use callwright_media::dtmf::Digit;
use callwright_media::pcm::level_dbfs;
use callwright_media::sdp::{Direction, RemoteMedia, RtcpPath, TelephoneEvents};
use callwright_net::ports;
use callwright_net::{
    LegGone, LegHandle, LegReport, MediaPlane, MediaSettings, OpenError, OpenLeg, PlayError, PortRange, RtcpPort,
    Target,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Nothing here takes this long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(20);
const SECOND: usize = 8000;

fn plane() -> MediaPlane {
    MediaPlane::start(MediaSettings { threads: 1, bind: HOME, ..MediaSettings::default() }).expect("a plane")
}

fn remote(address: SocketAddr) -> RemoteMedia {
    RemoteMedia {
        address,
        rtcp: RtcpPath::Separate(SocketAddr::new(address.ip(), address.port() + 1)),
        codec: PCMU,
        payload_type: 0,
        events: Some(TelephoneEvents { payload_type: 101, receive_payload_type: 101, clock: 8000 }),
        direction: Direction::SendRecv,
    }
}

/// A 500 Hz tone.
fn tone(samples: usize) -> Vec<i16> {
    (0..samples).map(|i| (8000.0 * (i as f32 * std::f32::consts::TAU / 16.0).sin()) as i16).collect()
}

struct End {
    leg: LegHandle,
    reports: Receiver<LegReport>,
}

impl End {
    async fn open(plane: &MediaPlane) -> Self {
        let (leg, reports) = plane.open(OpenLeg::telephone()).await.expect("a leg");
        Self { leg, reports }
    }

    /// The first report that `wanted` turns into something.
    async fn find<T>(&mut self, wanted: impl Fn(LegReport) -> Option<T>) -> T {
        let search = async {
            loop {
                let report = self.reports.recv().await.expect("the leg is open");
                if let Some(found) = wanted(report) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, search).await.expect("in time")
    }

    /// Waits for a chunk that is not silent.
    async fn hear_something(&mut self) {
        let loud = |report| match report {
            LegReport::Audio(chunk) => (level_dbfs(&chunk) > -20.0).then_some(()),
            _ => None,
        };
        self.find(loud).await;
    }

    async fn closed(&mut self) {
        let end = async { while self.reports.recv().await.is_some() {} };
        timeout(PATIENCE, end).await.expect("closed in time");
    }
}

async fn pair(plane: &MediaPlane) -> (End, End) {
    let (a, b) = (End::open(plane).await, End::open(plane).await);
    a.leg.remote(remote(b.leg.local())).await.expect("open");
    b.leg.remote(remote(a.leg.local())).await.expect("open");
    (a, b)
}

#[tokio::test]
async fn a_tone_arrives_and_its_mark_is_told() {
    let plane = plane();
    let (mut a, mut b) = pair(&plane).await;
    a.leg.play(tone(SECOND)).await.expect("queued");
    a.leg.mark(7).await.expect("set");
    b.find(|report| matches!(report, LegReport::Up { .. }).then_some(())).await;
    let started = Instant::now();
    b.hear_something().await;
    assert!(started.elapsed() < Duration::from_millis(500));
    let mark = a
        .find(|report| match report {
            LegReport::Mark { id, .. } => Some(id.0),
            _ => None,
        })
        .await;
    assert_eq!(mark, 7);
    a.find(|report| matches!(report, LegReport::Drained { .. }).then_some(())).await;
    let (sent, received) = (a.leg.stats().await.expect("open"), b.leg.stats().await.expect("open"));
    assert!(sent.sent >= 50 && received.received >= 45, "{sent:?} {received:?}");
    assert_eq!(plane.stats().legs, 2);
}

#[tokio::test]
async fn a_flush_tells_what_was_sent_and_gives_the_room_back() {
    let plane = plane();
    let (a, mut b) = pair(&plane).await;
    let room = a.leg.room();
    a.leg.play(tone(5 * SECOND)).await.expect("queued");
    a.leg.mark(1).await.expect("set");
    b.hear_something().await;
    let heard = a.leg.flush().await.expect("open");
    let [cut] = heard.cut.as_slice() else { panic!("one stretch, not {heard:?}") };
    assert_eq!(cut.total, Duration::from_secs(5));
    assert!(cut.sent >= Duration::from_millis(20) && cut.sent + heard.dropped == cut.total, "{heard:?}");
    assert_eq!(a.leg.room(), room);
}

#[tokio::test]
async fn audio_ordered_just_before_a_flush_is_told_as_cut() {
    let plane = plane();
    let (mut a, _b) = pair(&plane).await;
    for id in 0..20 {
        a.leg.play(tone(SECOND)).await.expect("queued");
        a.leg.mark(id).await.expect("set");
        let heard = a.leg.flush().await.expect("open");
        let cut: Vec<_> = heard.cut.iter().map(|stretch| (stretch.mark.map(|mark| mark.0), stretch.total)).collect();
        assert_eq!(cut, [(Some(id), Duration::from_secs(1))]);
    }
    a.leg.mark(99).await.expect("set");
    let first = a.find(|report| if let LegReport::Mark { id, .. } = report { Some(id.0) } else { None }).await;
    assert_eq!(first, 99, "no mark of what was cut");
}

#[tokio::test]
async fn audio_that_waits_for_room_is_flushed_too() {
    let plane = plane();
    let (a, _b) = pair(&plane).await;
    let leg = a.leg.clone();
    let waiting = tokio::spawn(async move { leg.play(tone(30 * SECOND)).await });
    let full = async {
        while a.leg.room() >= SECOND {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, full).await.expect("fills up");
    assert_eq!(a.leg.try_play(tone(2 * SECOND)).await, Err(PlayError::Full));
    let heard = a.leg.flush().await.expect("open");
    assert!(heard.dropped >= Duration::from_secs(8), "{heard:?}");
    assert_eq!(timeout(PATIENCE, waiting).await.expect("in time").expect("no panic"), Err(PlayError::Flushed));
}

#[tokio::test]
async fn keys_arrive_in_order() {
    let plane = plane();
    let (mut a, mut b) = pair(&plane).await;
    let keys = "19#".chars().filter_map(Digit::from_char).collect();
    a.leg.send_dtmf(keys).await.expect("open");
    let mut heard = String::new();
    while heard.len() < 3 {
        let key = b
            .find(|report| match report {
                LegReport::Dtmf { digit, .. } => Some(digit.as_char()),
                _ => None,
            })
            .await;
        heard.push(key);
    }
    assert_eq!(heard, "19#");
    a.find(|report| matches!(report, LegReport::DtmfSent).then_some(())).await;
}

#[tokio::test]
async fn dropping_the_last_handle_closes_the_leg_and_rests_its_port() {
    let plane = plane();
    let (a, mut b) = pair(&plane).await;
    let port = a.leg.local().port();
    let clone = a.leg.clone();
    let mut reports = a.reports;
    drop(a.leg);
    clone.stats().await.expect("a clone keeps it open");
    drop(clone);
    let end = async { while reports.recv().await.is_some() {} };
    timeout(PATIENCE, end).await.expect("closed in time");
    let range = PortRange::new(port, port).expect("one port");
    assert!(ports::bind(range, HOME, RtcpPort::NextPort).is_err(), "the port rests");
    b.find(|report| matches!(report, LegReport::Goodbye).then_some(())).await;
    b.leg.close();
    b.closed().await;
    assert_eq!(b.leg.mark(1).await, Err(LegGone));
    assert_eq!(b.leg.play(tone(160)).await, Err(PlayError::Gone));
    assert_eq!(plane.stats().legs, 0);
}

#[tokio::test]
async fn a_call_is_recorded_on_both_sides() {
    let plane = plane();
    let (mut a, _b) = pair(&plane).await;
    let path = std::env::temp_dir().join(format!("callwright-leg-{:016x}.wav", rand::random::<u64>()));
    let ticket = a.leg.record(Target::plain(path.clone())).await.expect("opened");
    a.leg.play(tone(SECOND)).await.expect("queued");
    a.find(|report| matches!(report, LegReport::Drained { .. }).then_some(())).await;
    a.leg.close();
    let recorded = timeout(PATIENCE, ticket.finished()).await.expect("in time").expect("written");
    let file = std::fs::read(&path).expect("readable");
    std::fs::remove_file(&path).expect("removed");
    assert!(recorded.length >= Duration::from_millis(980), "{recorded:?}");
    assert_eq!(file.len() as u64, recorded.bytes);
    let agent: Vec<i16> = file[44..].chunks_exact(4).map(|frame| i16::from_le_bytes([frame[2], frame[3]])).collect();
    let loud = agent.chunks_exact(160).filter(|frame| level_dbfs(frame) > -20.0).count();
    assert!((48..=52).contains(&loud), "{loud} loud frames on the agent's side");
}

#[tokio::test]
async fn junk_from_strangers_is_counted_and_the_call_goes_on() {
    let plane = plane();
    let (a, mut b) = pair(&plane).await;
    b.find(|report| matches!(report, LegReport::Up { .. }).then_some(())).await;
    let stranger = std::net::UdpSocket::bind((HOME, 0)).expect("a socket");
    for i in 0..2000_usize {
        let junk = vec![0x80 ^ (i % 7) as u8; 1 + i % 3000];
        stranger.send_to(&junk, b.leg.local()).expect("sent");
    }
    a.leg.play(tone(SECOND / 2)).await.expect("queued");
    b.hear_something().await;
    let stats = b.leg.stats().await.expect("open");
    assert!(stats.rejected > 100, "{stats:?}");
    assert!(a.leg.stats().await.expect("open").sent > 0);
}

#[tokio::test]
async fn a_plane_must_know_its_address() {
    let everywhere = MediaSettings { threads: 1, ..MediaSettings::default() };
    assert!(matches!(MediaPlane::start(everywhere), Err(OpenError::NoAdvertisedAddress(_))));
}

#[tokio::test]
async fn a_plane_without_legs_does_not_wake() {
    let plane = plane();
    let wakes = plane.stats().wakes;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(plane.stats().wakes <= wakes + 1);
}

#[tokio::test]
async fn the_first_sound_and_the_ears_do_not_wait_for_the_tick() {
    let plane = plane();
    let mut quick = OpenLeg::telephone();
    quick.quiet_chunk = Duration::from_millis(20);
    let (leg, reports) = plane.open(quick).await.expect("a leg");
    let mut here = End { leg, reports };
    let (there, mut soon) = (End::open(&plane).await, 0);
    here.leg.remote(remote(there.leg.local())).await.expect("open");
    there.leg.remote(remote(here.leg.local())).await.expect("open");
    here.find(|report| matches!(report, LegReport::Up { .. }).then_some(())).await;
    for _ in 0..10 {
        let asked = Instant::now();
        there.leg.play(tone(SECOND / 50)).await.expect("queued");
        here.hear_something().await;
        soon += usize::from(asked.elapsed() < Duration::from_millis(10));
        // Some packets of silence, so that the lead of the last sentence is given back. The next one is ordered just after
        // such a packet: by the cadence alone it would wait for almost 20 ms.
        for _ in 0..4 {
            here.find(|report| matches!(report, LegReport::Audio(_)).then_some(())).await;
        }
    }
    assert!(soon >= 5, "{soon} of 10 within 10 ms");
}

#[tokio::test]
async fn ambient_sound_is_heard_until_it_stops() {
    let plane = plane();
    let (a, mut b) = pair(&plane).await;
    a.leg.ambient(Some(tone(1000).into()), 100).await.expect("open");
    b.hear_something().await;
    a.leg.ambient(None, 0).await.expect("open");
    let quiet = |report| match report {
        LegReport::Audio(chunk) => (level_dbfs(&chunk) < -60.0).then_some(()),
        _ => None,
    };
    b.find(quiet).await;
}
