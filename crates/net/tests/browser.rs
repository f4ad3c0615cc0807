//! Browsers on real sockets of loopback: one port for all of them, and the same legs as a telephone's.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

#[path = "../../testkit/src/browser.rs"]
#[allow(dead_code, unreachable_pub)] // the testkit's, of which a part is needed here
mod browser;
#[path = "../../testkit/src/online.rs"]
#[allow(dead_code, unreachable_pub)] // as above
mod online;

use browser::{Redundancy, Speaks};
use callwright_media::codec::PCMU;
use callwright_media::pcm::level_dbfs;
use callwright_media::webrtc::OfferError;
use callwright_media::{MarkId, Rate};
use callwright_net::{
    BrowserError, BrowserLeg, BrowserSettings, LegHandle, LegReport, MediaPlane, MediaSettings, MessageError,
    OpenError, OpenLeg,
};
use online::OnlineBrowser;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc::Receiver;

/// Nothing here takes this long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(20);
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const OPUS: Speaks = Speaks::Opus(Redundancy::Some);

fn settings() -> MediaSettings {
    let browsers = BrowserSettings { listen: (HOME, 0).into(), announce: Vec::new() };
    MediaSettings { threads: 1, bind: HOME, browsers: Some(browsers), ..MediaSettings::default() }
}

async fn find<T>(reports: &mut Receiver<LegReport>, mut wanted: impl FnMut(LegReport) -> Option<T>) -> T {
    let search = async {
        loop {
            let report = reports.recv().await.expect("the leg is there");
            if let Some(found) = wanted(report) {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, search).await.expect("it comes")
}

fn tone(rate: u32, seconds: u32) -> Vec<i16> {
    let wave = |i| f64::from(i) * std::f64::consts::TAU * 440.0 / f64::from(rate);
    (0..rate * seconds).map(|i| (wave(i).sin() * 8000.0) as i16).collect()
}

fn loud(report: &LegReport) -> bool {
    matches!(report, LegReport::Audio(chunk) if level_dbfs(chunk) > -20.0)
}

async fn join(plane: &MediaPlane, speaks: Speaks) -> (OnlineBrowser, LegHandle, Receiver<LegReport>) {
    let (browser, offer) = OnlineBrowser::start(speaks).await.expect("a browser");
    let BrowserLeg { answer, leg, mut reports } =
        plane.open_browser(OpenLeg::telephone(), &offer).await.expect("a leg");
    browser.answered(&answer).await.expect("a good answer");
    find(&mut reports, |report| matches!(report, LegReport::Connected { .. }).then_some(())).await;
    (browser, leg, reports)
}

/// Says a tone until it is heard, at a browser's pace.
async fn talk_until_heard(browser: &OnlineBrowser, reports: &mut Receiver<LegReport>) {
    let rate = browser.with(|browser| browser.rate()).await;
    let voice = tone(rate, 20);
    let speak = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        for frame in voice.chunks(rate as usize / 50) {
            pace.tick().await;
            browser.with(|browser| browser.say(std::time::Instant::now(), frame)).await;
        }
    };
    tokio::select! {
        () = speak => panic!("twenty seconds of it were not heard"),
        () = find(reports, |report| loud(&report).then_some(())) => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browsers_share_a_port_and_talk_like_telephones() {
    let plane = MediaPlane::start(settings()).expect("a plane");
    let (first, first_leg, mut first_reports) = join(&plane, OPUS).await;
    let (second, second_leg, mut second_reports) = join(&plane, Speaks::Telephone(PCMU)).await;
    assert_eq!((first_leg.rate(), second_leg.rate()), (Rate::Wide, Rate::Narrow));
    assert_eq!(first_leg.local(), second_leg.local());
    assert_eq!(plane.browser_addresses(), [first_leg.local()]);
    assert_eq!(plane.stats().legs, 2);
    for (leg, reports, browser) in
        [(&first_leg, &mut first_reports, &first), (&second_leg, &mut second_reports, &second)]
    {
        leg.play(tone(leg.rate().hertz(), 1)).await.expect("room");
        leg.mark(7).await.expect("a leg");
        let heard = browser.until(|browser| browser.heard.iter().any(|sample| *sample > 6000).then_some(())).await;
        assert!(heard.is_some(), "the browser hears the agent");
        find(reports, |report| matches!(report, LegReport::Mark { id: MarkId(7), .. }).then_some(())).await;
        talk_until_heard(browser, reports).await;
        leg.message("from the agent".to_owned()).await.expect("a channel");
        let text = browser.until(|browser| browser.messages.pop()).await;
        assert_eq!(text.as_deref(), Some("from the agent"));
        assert!(browser.with(|browser| browser.type_text("from the person")).await);
        let text = find(reports, |report| if let LegReport::Message(text) = report { Some(text) } else { None }).await;
        assert_eq!(text, "from the person");
    }
    first_leg.close();
    assert!(first.until(|browser| browser.closed.then_some(())).await.is_some(), "the browser is told of the end");
    second.with(|browser| browser.close()).await;
    find(&mut second_reports, |report| matches!(report, LegReport::Closed).then_some(())).await;
    assert_eq!(second_leg.message("too late".to_owned()).await, Err(MessageError::NoChannel));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_at_the_door_are_counted_and_calls_go_on() {
    let plane = MediaPlane::start(settings()).expect("a plane");
    let (browser, leg, mut reports) = join(&plane, OPUS).await;
    let stranger = UdpSocket::bind((HOME, 0)).await.expect("a port");
    let mut sent = 0;
    while plane.stats().strangers < 1000 {
        assert!(sent < 1_000_000, "they are counted");
        for packet in [&[0x80; 172][..], &[22, 254, 255, 0, 0], &[0; 20], &[0xff; 3000]] {
            stranger.send_to(packet, leg.local()).await.expect("sent");
            sent += 1;
        }
    }
    talk_until_heard(&browser, &mut reports).await;
}

#[tokio::test]
async fn what_cannot_be_opened_has_a_name() {
    let without = MediaPlane::start(MediaSettings { browsers: None, ..settings() }).expect("a plane");
    assert!(matches!(without.open_browser(OpenLeg::telephone(), "").await, Err(BrowserError::Off)));
    assert!(without.browser_addresses().is_empty());
    let plane = MediaPlane::start(settings()).expect("a plane");
    let refused = plane.open_browser(OpenLeg::telephone(), "v=0\r\n").await;
    assert!(matches!(refused, Err(BrowserError::Offer(OfferError::NoAudio))));
    let everywhere = BrowserSettings { listen: "0.0.0.0:0".parse().unwrap(), announce: Vec::new() };
    let unnamed = MediaPlane::start(MediaSettings { browsers: Some(everywhere), ..settings() });
    assert!(matches!(unnamed.err(), Some(OpenError::Browsers(BrowserError::NoAddress))));
    let taken = BrowserSettings { listen: plane.browser_addresses()[0], announce: Vec::new() };
    let twice = MediaPlane::start(MediaSettings { browsers: Some(taken), ..settings() });
    assert!(matches!(twice.err(), Some(OpenError::Browsers(BrowserError::System(_)))));
}
