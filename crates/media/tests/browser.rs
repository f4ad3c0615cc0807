//! A leg and a browser on a virtual clock, with a network between them that a test can spoil.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

#[path = "../../testkit/src/browser.rs"]
#[allow(dead_code, unreachable_pub)] // the testkit's, of which a part is needed here
mod browser;
mod common;

use browser::{Browser, Redundancy, Speaks};
use callwright_media::codec::{PCMA, PCMU};
use callwright_media::leg::{Hold, Leg, LegEvent, LegSettings};
use callwright_media::webrtc::{Identity, MESSAGE_BYTES, OfferError, Sent};
use callwright_media::{Connection, Digit, MarkId, Rate, WebRtcLeg};
use common::{Dice, ms};
use std::collections::VecDeque;
use std::f64::consts::TAU;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

const OPUS: Speaks = Speaks::Opus(Redundancy::Some);
/// A step of the virtual clock.
const STEP: Duration = Duration::from_millis(5);

fn here() -> SocketAddr {
    "127.0.0.1:40000".parse().unwrap()
}

fn there() -> SocketAddr {
    "127.0.0.1:50000".parse().unwrap()
}

fn stranger() -> SocketAddr {
    "127.0.0.1:60666".parse().unwrap()
}

/// Who takes part in what the browser sends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Air {
    Clear,
    /// Checks are lost on their way to the leg.
    Checkless,
}

static IDENTITY: LazyLock<Identity> = LazyLock::new(|| Identity::new(&[here()]).unwrap());

struct Bench {
    now: Instant,
    leg: Leg,
    browser: Browser,
    air: Air,
    /// Share of packets lost each way, and the dice.
    loss: f64,
    dice: Dice,
    events: Vec<(Instant, LegEvent)>,
    messages: Vec<String>,
    ears: Vec<i16>,
    recorded: Vec<i16>,
    /// When the leg sent something that is no answer to a check.
    sent: Vec<Instant>,
    /// What the browser says, at its rate, from the front.
    says: VecDeque<i16>,
    ticks: u64,
    wire: Vec<Vec<u8>>,
}

impl Bench {
    fn new(speaks: Speaks) -> Self {
        let now = Instant::now();
        let (browser, offer) = Browser::new(now, there(), speaks);
        let settings = LegSettings { playout: Duration::from_secs(20), ..common::settings() };
        let (leg, answer) = Leg::browser(now, settings, &IDENTITY, &offer).unwrap();
        assert!(answer.contains("a=ice-lite") && answer.contains("a=rtcp-mux") && answer.contains("a=group:BUNDLE"));
        let mut bench = Self {
            now,
            leg,
            browser,
            air: Air::Clear,
            loss: 0.0,
            dice: Dice::new(5),
            events: Vec::new(),
            messages: Vec::new(),
            ears: Vec::new(),
            recorded: Vec::new(),
            sent: Vec::new(),
            says: VecDeque::new(),
            ticks: 0,
            wire: Vec::new(),
        };
        bench.browser.answered(now, &answer).unwrap();
        bench
    }

    /// A bench that is connected.
    fn connected(speaks: Speaks) -> Self {
        let mut bench = Self::new(speaks);
        bench.run(ms(1500));
        assert!(bench.browser.connected, "the browser");
        assert!(bench.events.iter().any(|(_, event)| matches!(event, LegEvent::Connected { .. })), "the leg");
        bench
    }

    fn web(&mut self) -> &mut WebRtcLeg {
        let Leg::WebRtc(leg) = &mut self.leg else { panic!("a browser's leg") };
        leg
    }

    /// Another browser takes the place of the one that was there.
    fn come_back(&mut self, speaks: Speaks) {
        let now = self.now;
        let (browser, offer) = Browser::new(now, there(), speaks);
        let (connection, answer) = Connection::answer(now, &IDENTITY, &offer).unwrap();
        self.web().part(now);
        self.web().reconnect(now, connection);
        self.browser = browser;
        self.browser.answered(now, &answer).unwrap();
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.step();
        }
    }

    fn step(&mut self) {
        self.now += STEP;
        self.ticks += 1;
        if self.ticks.is_multiple_of(4) {
            self.browser_speaks();
        }
        if self.browser.due() <= self.now {
            self.browser.time(self.now);
        }
        self.leg.upkeep(self.now);
        if self.leg.next_due().is_some_and(|due| due <= self.now) {
            self.leg.tick(self.now);
        }
        self.exchange();
    }

    fn browser_speaks(&mut self) {
        let frame = self.browser.rate() as usize / 50;
        if self.says.len() >= frame && self.browser.connected {
            let samples: Vec<i16> = self.says.drain(..frame).collect();
            self.browser.say(self.now, &samples);
        }
    }

    /// Carries packets until nobody has any.
    fn exchange(&mut self) {
        loop {
            let mut quiet = true;
            while let Some((to, bytes)) = self.browser.poll() {
                quiet = false;
                let check = bytes[0] < 4;
                let lost = self.dice.roll() < self.loss && bytes[0] >> 6 == 2;
                if to == here() && !lost && !(check && self.air == Air::Checkless) {
                    self.leg.handle_rtp(self.now, there(), &bytes);
                    self.wire.push(bytes);
                }
            }
            while let Some(packet) = self.leg.poll_transmit() {
                quiet = false;
                assert_eq!(packet.destination, there());
                let bytes = packet.bytes.to_vec();
                if bytes[0] >= 4 {
                    self.sent.push(self.now);
                }
                if !(self.dice.roll() < self.loss && bytes[0] >> 6 == 2) {
                    self.browser.handle(self.now, here(), &bytes);
                }
            }
            self.take_events();
            if quiet {
                return;
            }
        }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.leg.poll_event() {
            match event {
                LegEvent::Heard(frame) => self.ears.extend(frame.samples()),
                LegEvent::Audio(pair) => self.recorded.extend(pair.heard.samples()),
                other => self.events.push((self.now, other)),
            }
        }
        while let Some(text) = self.leg.poll_message() {
            self.messages.push(text);
        }
    }

    fn browser_says(&mut self, hertz: f64, seconds: f64) {
        let rate = self.browser.rate();
        self.says.extend(tone(rate, hertz, seconds));
    }

    fn saw(&self, wanted: fn(&LegEvent) -> bool) -> bool {
        self.events.iter().any(|(_, event)| wanted(event))
    }

    fn end_of(&self) -> Vec<LegEvent> {
        let ends = |event: &LegEvent| matches!(event, LegEvent::Lost | LegEvent::Closed);
        self.events.iter().map(|(_, event)| *event).filter(ends).collect()
    }
}

fn tone(rate: u32, hertz: f64, seconds: f64) -> Vec<i16> {
    let samples = (f64::from(rate) * seconds) as usize;
    (0..samples).map(|i| ((i as f64 * TAU * hertz / f64::from(rate)).sin() * 8000.0) as i16).collect()
}

/// How loud that frequency is in dB against a tone of amplitude 8000, and how much of the whole power it is.
fn measure(samples: &[i16], rate: u32, hertz: f64) -> (f64, f64) {
    let (mut s, mut c, mut power) = (0.0, 0.0, 0.0);
    for (i, sample) in samples.iter().enumerate() {
        let (x, angle) = (f64::from(*sample), i as f64 * TAU * hertz / f64::from(rate));
        s += x * angle.sin();
        c += x * angle.cos();
        power += x * x;
    }
    let n = samples.len().max(1) as f64;
    let amplitude = 2.0 * s.hypot(c) / n;
    (20.0 * (amplitude / 8000.0).max(1e-9).log10(), amplitude * amplitude / 2.0 * n / power.max(1.0))
}

fn clear_tone(samples: &[i16], rate: u32, hertz: f64, what: &str) {
    // In pieces of 100 ms, because two clocks need not agree on the phase for seconds.
    let pieces: Vec<_> = samples.chunks_exact(rate as usize / 10).map(|piece| measure(piece, rate, hertz)).collect();
    assert!(pieces.len() >= 5, "{what}: only {} samples", samples.len());
    for (level, share) in pieces {
        assert!(level.abs() < 2.0, "{what}: {level:.1} dB");
        assert!(share > 0.9, "{what}: {share:.2} of the power");
    }
}

#[test]
fn a_tone_comes_out_at_its_frequency_and_level_on_both_sides() {
    for (speaks, rate) in [
        (OPUS, Rate::Wide),
        (Speaks::Opus(Redundancy::None), Rate::Wide),
        (Speaks::Telephone(PCMU), Rate::Narrow),
        (Speaks::Telephone(PCMA), Rate::Narrow),
    ] {
        let mut bench = Bench::connected(speaks);
        assert_eq!(bench.leg.rate(), rate);
        bench.leg.play(&tone(rate.hertz(), 440.0, 2.0));
        bench.browser_says(1000.0, 2.0);
        let (from_ears, from_browser) = (bench.ears.len(), bench.browser.heard.len());
        bench.run(ms(2200));
        let (hertz, theirs) = (rate.hertz() as usize, bench.browser.rate());
        clear_tone(&bench.ears[from_ears + hertz / 2..][..hertz], hertz as u32, 1000.0, "the ears");
        let heard = &bench.browser.heard[from_browser + theirs as usize / 2..][..theirs as usize];
        clear_tone(heard, theirs, 440.0, "the browser");
        let recorded = bench.recorded.len() - hertz * 3 / 2;
        clear_tone(&bench.recorded[recorded..][..hertz], hertz as u32, 1000.0, "the recorder");
        assert!(bench.saw(|event| matches!(event, LegEvent::Up { .. })));
        let stats = bench.leg.stats();
        assert_eq!((stats.lost, stats.rejected, stats.late), (0, 0, 0), "{speaks:?}");
    }
}

#[test]
fn marks_tell_what_was_heard_and_a_flush_silences_within_a_frame() {
    let mut bench = Bench::connected(OPUS);
    bench.leg.play(&tone(16_000, 440.0, 0.5));
    bench.leg.mark(MarkId(1));
    bench.leg.play(&tone(16_000, 440.0, 2.0));
    bench.leg.mark(MarkId(2));
    let began = bench.now;
    bench.run(ms(1000));
    let marks: Vec<_> = bench.events.iter().filter(|(_, event)| matches!(event, LegEvent::Mark { .. })).collect();
    assert!(matches!(marks[..], [(at, LegEvent::Mark { id: MarkId(1), .. })] if *at <= began + ms(510)), "{marks:?}");
    let heard = bench.leg.flush();
    assert_eq!(heard.cut.len(), 1);
    let sent = heard.cut[0].sent;
    assert!((ms(480)..=ms(540)).contains(&sent), "{sent:?}");
    let after = bench.browser.heard.len();
    bench.run(ms(200));
    // One frame for the cadence, one for the fade and the codec's memory.
    let silence = &bench.browser.heard[after + 3 * 960..];
    assert!(silence.len() >= 4 * 960 && silence.iter().all(|sample| sample.abs() < 200), "{:?}", silence.iter().max());
}

#[test]
fn five_percent_of_loss_are_survived() {
    for redundancy in [Redundancy::Some, Redundancy::None] {
        let mut bench = Bench::connected(Speaks::Opus(redundancy));
        bench.loss = 0.05;
        bench.leg.play(&tone(16_000, 440.0, 8.0));
        bench.browser_says(1000.0, 8.0);
        let from = bench.ears.len();
        bench.run(ms(8000));
        let ears = &bench.ears[from + 16_000..];
        assert!(ears.len() > 6 * 16_000, "nothing is held up: {}", ears.len());
        let good = ears.chunks_exact(1600).filter(|piece| measure(piece, 16_000, 1000.0).0 > -3.0).count();
        assert!(good * 10 >= ears.chunks_exact(1600).len() * 9, "{redundancy:?}: {good} pieces");
        let theirs = &bench.browser.heard[bench.browser.heard.len() - 48_000 * 5..];
        let good = theirs.chunks_exact(4800).filter(|piece| measure(piece, 48_000, 440.0).0 > -4.0).count();
        assert!(good >= 40, "{redundancy:?}: the browser heard {good} of 50");
        let lost = bench.leg.stats().lost;
        assert!((5..=50).contains(&lost), "{lost} lost");
        assert!(bench.end_of().is_empty());
    }
}

#[test]
fn text_goes_both_ways_and_has_limits() {
    let mut bench = Bench::connected(OPUS);
    assert!(bench.browser.type_text("hello"));
    bench.run(ms(100));
    assert_eq!(bench.messages, ["hello"]);
    let now = bench.now;
    assert_eq!(bench.leg.message(now, "good day"), Sent::Yes);
    let long = "x".repeat(MESSAGE_BYTES);
    assert_eq!(bench.leg.message(now, &long), Sent::Yes);
    assert_eq!(bench.leg.message(now, &(long.clone() + "x")), Sent::Full);
    bench.run(ms(1000));
    assert_eq!(bench.browser.messages, ["good day".to_owned(), long]);
    bench.run(ms(1000));
    bench.messages.clear();
    for i in 0..500 {
        bench.browser.type_text(&i.to_string());
    }
    bench.run(ms(500));
    assert!((1..=100).contains(&bench.messages.len()), "{}", bench.messages.len());
    assert!(bench.leg.stats().rejected >= 400);
    assert!(bench.end_of().is_empty());
}

#[test]
fn keys_go_both_ways() {
    let mut bench = Bench::connected(OPUS);
    bench.browser_says(1000.0, 1.0);
    bench.run(ms(400));
    let now = bench.now;
    bench.browser.press(now, 5);
    bench.run(ms(400));
    let keys: Vec<_> = bench.events.iter().filter_map(|(_, event)| key(event)).collect();
    assert_eq!(keys, [('5', ms(100))]);
    bench.leg.send_dtmf(&[Digit::from_char('7').unwrap()]);
    bench.run(ms(400));
    assert!(bench.browser.keys.iter().all(|(event, _)| *event == 7));
    assert!(bench.browser.keys.iter().any(|(_, last)| *last), "{:?}", bench.browser.keys);
    assert!(bench.saw(|event| matches!(event, LegEvent::DtmfSent)));
}

fn key(event: &LegEvent) -> Option<(char, Duration)> {
    match event {
        LegEvent::Dtmf { digit, duration } => Some((digit.as_char(), *duration)),
        _ => None,
    }
}

#[test]
fn without_consent_for_thirty_seconds_nothing_is_sent_and_the_leg_ends() {
    let mut bench = Bench::connected(OPUS);
    bench.run(ms(10_000));
    assert!(bench.end_of().is_empty());
    let stopped = bench.now;
    bench.air = Air::Checkless;
    // Audio goes on: it is no consent.
    bench.browser_says(1000.0, 35.0);
    bench.run(ms(40_000));
    assert_eq!(bench.end_of(), [LegEvent::Lost]);
    let last = *bench.sent.last().unwrap();
    assert!(last > stopped + ms(20_000) && last <= stopped + ms(30_000), "{:?}", last - stopped);
}

#[test]
fn a_browser_that_never_comes_is_lost_and_one_that_leaves_is_told() {
    let mut absent = Bench::new(OPUS);
    absent.air = Air::Checkless;
    absent.run(ms(29_900));
    assert!(absent.end_of().is_empty());
    absent.run(ms(200));
    assert_eq!(absent.end_of(), [LegEvent::Lost]);
    assert!(absent.sent.is_empty(), "nothing was sent to anybody");

    let mut leaves = Bench::connected(OPUS);
    leaves.browser.close();
    leaves.run(ms(100));
    assert_eq!(leaves.end_of(), [LegEvent::Closed]);

    let mut ended = Bench::connected(OPUS);
    let now = ended.now;
    ended.leg.close(now);
    ended.exchange();
    ended.run(ms(100));
    assert!(ended.browser.closed);
}

#[test]
fn a_browser_that_comes_back_goes_on_with_the_leg() {
    for (speaks, rate) in [(OPUS, Rate::Wide), (Speaks::Telephone(PCMU), Rate::Narrow)] {
        let mut bench = Bench::connected(speaks);
        bench.browser_says(440.0, 0.5);
        bench.run(ms(700));
        bench.browser.close();
        bench.exchange();
        bench.run(ms(100));
        assert_eq!(bench.end_of(), [LegEvent::Closed]);
        let before = (bench.recorded.len(), bench.sent.len());
        bench.run(ms(1000));
        assert_eq!(bench.recorded.len() - before.0, rate.hertz() as usize, "what is recorded has no gap");
        bench.leg.play(&tone(rate.hertz(), 700.0, 0.5));
        bench.run(ms(1000));
        assert_eq!(bench.sent.len(), before.1, "nothing is sent to who has gone");
        bench.come_back(speaks);
        bench.run(ms(1500));
        let connected = bench.events.iter().filter(|(_, event)| matches!(event, LegEvent::Connected { .. })).count();
        assert!(connected == 2 && bench.browser.connected, "{connected}");
        bench.ears.clear();
        bench.browser.heard.clear();
        bench.browser_says(440.0, 2.0);
        bench.leg.play(&tone(rate.hertz(), 700.0, 2.0));
        bench.run(ms(2500));
        let (hertz, line) = (rate.hertz() as usize, bench.browser.rate());
        clear_tone(&bench.ears[hertz / 2..][..hertz], rate.hertz(), 440.0, "the leg hears");
        let heard = &bench.browser.heard[line as usize / 2..][..line as usize];
        clear_tone(heard, line, 700.0, "the browser hears");
        bench.browser.close();
        bench.exchange();
        bench.run(ms(100));
        assert_eq!(bench.end_of(), [LegEvent::Closed, LegEvent::Closed]);
    }
}

/// One that does not come after all is lost as one that never came, and the one before is told that it is over.
#[test]
fn who_takes_anothers_place_and_never_comes_is_lost() {
    let mut bench = Bench::connected(OPUS);
    let (_, offer) = Browser::new(bench.now, there(), OPUS);
    let (connection, _) = Connection::answer(bench.now, &IDENTITY, &offer).unwrap();
    let now = bench.now;
    bench.web().part(now);
    bench.exchange();
    assert!(bench.browser.closed, "it is told");
    bench.web().reconnect(now, connection);
    bench.run(common::settings().lost + ms(100));
    assert_eq!(bench.end_of(), [LegEvent::Lost]);
}

#[test]
fn what_strangers_send_changes_nothing() {
    let mut bench = Bench::new(OPUS);
    let before: Vec<Vec<u8>> = hostile();
    for packet in &before {
        bench.leg.handle_rtp(bench.now, stranger(), packet);
        assert!(bench.leg.poll_transmit().is_none(), "nothing is said to a stranger");
    }
    assert_eq!(bench.leg.stats().rejected, before.len() as u64);
    bench.run(ms(1500));
    assert!(bench.browser.connected);
    bench.browser_says(1000.0, 4.0);
    bench.run(ms(1000));
    // Later they come from the browser's own address, as a forger's do.
    for packet in &before {
        for source in [stranger(), there()] {
            bench.leg.handle_rtp(bench.now, source, packet);
        }
    }
    let rejected = bench.leg.stats().rejected;
    // In the browser's own stream, with numbers far ahead, all but authentic.
    let mut junk = bench.wire.iter().rfind(|packet| packet[0] >> 6 == 2 && packet[1] & 0x7f == 111).unwrap().clone();
    *junk.last_mut().unwrap() ^= 1;
    for i in 0..10_000_u32 {
        junk[2..4].copy_from_slice(&((7 * i) as u16).to_be_bytes());
        bench.leg.handle_rtp(bench.now, there(), &junk);
    }
    assert_eq!(bench.leg.stats().rejected, rejected + 10_000);
    let from = bench.ears.len();
    bench.run(ms(1500));
    clear_tone(&bench.ears[from + 8000..][..8000], 16_000, 1000.0, "the ears");
    assert!(bench.end_of().is_empty());
}

/// The sets for STUN and for what shares its port, and some of our own.
fn hostile() -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    for line in include_str!("fixtures/stun-hostile.jsonl").lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        packets.push(hex::decode(case["hex"].as_str().unwrap()).unwrap());
    }
    assert_eq!(packets.len(), 11);
    for line in include_str!("fixtures/rtp-hostile.jsonl").lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let all = case["packets"].as_array().unwrap().iter().filter_map(|packet| hex::decode(packet.as_str()?).ok());
        packets.extend(all);
    }
    packets.push(Vec::new());
    packets.push(vec![22]);
    packets.push(vec![22; 1400]);
    packets
}

#[test]
fn mutated_packets_of_the_browser_break_nothing() {
    let mut dice = Dice::new(77);
    let mut clean = Bench::connected(OPUS);
    clean.browser_says(500.0, 0.5);
    clean.browser.type_text("a text");
    clean.run(ms(600));
    let wire = clean.wire.clone();
    for round in 0..8 {
        let mut bench = if round % 2 == 0 { Bench::new(OPUS) } else { Bench::connected(OPUS) };
        for _ in 0..300 {
            let mut packet = wire[(dice.roll() * wire.len() as f64) as usize].clone();
            for _ in 0..1 + (dice.roll() * 6.0) as usize {
                let at = (dice.roll() * packet.len() as f64) as usize;
                match (dice.roll() * 3.0) as u8 {
                    0 => packet[at] = (dice.roll() * 256.0) as u8,
                    1 if at > 0 => packet.truncate(at),
                    _ => packet.push((dice.roll() * 256.0) as u8),
                }
            }
            bench.leg.handle_rtp(bench.now, there(), &packet);
            bench.take_events();
        }
        bench.run(ms(2000));
        assert!(bench.browser.connected, "round {round}");
        assert!(bench.end_of().is_empty(), "round {round}: {:?}", bench.end_of());
    }
}

#[test]
fn offers_are_taken_or_refused_by_name() {
    let now = Instant::now();
    let (_, offer) = Browser::new(now, there(), OPUS);
    let try_it = |offer: &str| Leg::browser(now, common::settings(), &IDENTITY, offer);
    let refused = |offer: &str| try_it(offer).err();
    assert_eq!(refused(""), Some(OfferError::Malformed));
    assert_eq!(refused(&"x".repeat(40_000)), Some(OfferError::TooLarge));
    assert_eq!(refused(&offer.replace("m=audio", "m=video")), Some(OfferError::NoAudio));
    assert_eq!(refused(&offer.replace("a=fingerprint", "a=x")), Some(OfferError::NotSecured));
    assert_eq!(refused(&offer.replace("a=ice-pwd", "a=x")), Some(OfferError::NotSecured));
    assert_eq!(refused(&offer.replace("a=rtcp-mux", "a=x")), Some(OfferError::NotSecured));
    assert_eq!(refused(&offer.replace("opus/48000", "flac/48000")), Some(OfferError::NoCodec));
    let film = offer.clone()
        + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:v\r\na=sendrecv\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\n";
    let (_, answer) = try_it(&film).unwrap();
    assert!(answer.contains("m=video 0 "), "{answer}");
    for line in include_str!("fixtures/sdp-hostile.jsonl").lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(refused(case["sdp"].as_str().unwrap()).is_some(), "{}", case["name"]);
    }
    let mut dice = Dice::new(3);
    let bytes = offer.as_bytes();
    for _ in 0..400 {
        let mut mutated = bytes.to_vec();
        for _ in 0..1 + (dice.roll() * 8.0) as usize {
            let at = (dice.roll() * mutated.len() as f64) as usize;
            match (dice.roll() * 4.0) as u8 {
                0 => mutated[at] = (dice.roll() * 128.0) as u8,
                1 => drop(mutated.drain(at..(at + 12).min(mutated.len()))),
                2 => mutated.splice(at..at, bytes[at.min(bytes.len() - 9)..][..9].to_vec()).for_each(drop),
                _ => mutated.insert(at, b'9'),
            }
        }
        // Taken or refused, both may be; a panic may not.
        drop(try_it(&String::from_utf8_lossy(&mutated)));
    }
}

#[test]
fn a_browser_that_only_listens_is_talked_to() {
    let now = Instant::now();
    let (mut browser, offer) = Browser::new(now, there(), OPUS);
    let (leg, answer) =
        Leg::browser(now, common::settings(), &IDENTITY, &offer.replace("a=sendrecv", "a=recvonly")).unwrap();
    assert!(answer.contains("a=sendonly"), "{answer}");
    assert!(browser.answered(now, &answer.replace("a=sendonly", "a=sendrecv")).is_ok());
    let mut bench = Bench::new(OPUS);
    (bench.leg, bench.browser) = (leg, browser);
    bench.run(ms(1500));
    bench.leg.play(&tone(16_000, 440.0, 1.0));
    bench.run(ms(14_000));
    assert!(!bench.saw(|event| matches!(event, LegEvent::NoMedia | LegEvent::Lost | LegEvent::Hold(Hold::Held))));
    assert!(bench.browser.heard.iter().any(|sample| *sample > 5000));
}
