//! A leg in network weather: loss, bursts, jitter, drift, packet sizes, stalls. Seeded, on a virtual clock.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod common;

use callwright_media::leg::{Hold, LegEvent};
use callwright_media::sdp::Direction;
use callwright_media::{FRAME, MarkId};
use common::{Dice, Seen, Sender, leg, ms, peer, remote, run, stranger, through, voice};
use std::time::{Duration, Instant};

fn energy(samples: &[i16]) -> f64 {
    samples.iter().map(|s| f64::from(*s).powi(2)).sum()
}

#[test]
fn a_clean_line_is_heard_as_sent_and_soon() {
    for packet in [80, 160, 240, 480] {
        let start = Instant::now();
        let mut leg = leg(start);
        let audio = voice(80_000, 3);
        let seen = through(&mut leg, start, &audio, (packet, 1.0), &mut |_| Some(ms(30)));
        let stats = leg.stats();
        assert_eq!((stats.lost, stats.late, stats.rejected), (0, 0, 0), "{packet}");
        assert!(stats.concealed < ms(120), "{packet}: {:?}", stats.concealed);
        assert!(stats.delay <= ms(45), "{packet}: {:?}", stats.delay);
        let ratio = energy(&seen.heard) / energy(&audio);
        assert!((0.95..1.05).contains(&ratio), "{packet}: {ratio}");
    }
}

#[test]
fn five_percent_loss_is_concealed() {
    let start = Instant::now();
    let mut leg = leg(start);
    let mut dice = Dice::new(1);
    let audio = voice(30 * 8000, 4);
    let seen = through(&mut leg, start, &audio, (160, 1.0), &mut |_| (dice.roll() >= 0.05).then_some(ms(30)));
    let stats = leg.stats();
    assert!((50..100).contains(&stats.lost), "{}", stats.lost);
    assert_eq!(stats.late, 0);
    assert!(stats.delay <= ms(45), "{:?}", stats.delay);
    assert!(stats.concealed <= FRAME * (stats.lost as u32 + 4), "{:?} for {}", stats.concealed, stats.lost);
    let ratio = energy(&seen.heard) / energy(&audio);
    assert!((0.9..1.05).contains(&ratio), "{ratio}");
}

#[test]
fn bursts_of_thirty_percent_loss_neither_kill_the_leg_nor_sound_like_speech() {
    let start = Instant::now();
    let mut leg = leg(start);
    let mut dice = Dice::new(2);
    let mut bad = false;
    // Gilbert: bad spells of ten packets on average, a third of the time.
    let mut burst = |_: usize| {
        bad = if bad { dice.roll() >= 0.1 } else { dice.roll() < 0.045 };
        (!bad).then_some(ms(30))
    };
    let seen = through(&mut leg, start, &vec![0; 30 * 8000], (160, 1.0), &mut burst);
    assert!(leg.stats().lost > 300, "{}", leg.stats().lost);
    assert_eq!(seen.events, [LegEvent::Up { at: start + ms(50) }]);
}

#[test]
fn jitter_and_reordering_are_absorbed_after_adaptation() {
    for seed in 1..=5 {
        let start = Instant::now();
        let mut leg = leg(start);
        let mut dice = Dice::new(seed);
        let mut weather = |_: usize| {
            let jitter = if dice.roll() < 0.05 { 100.0 } else { dice.roll() * 100.0 };
            Some(Duration::from_secs_f64((20.0 + jitter) / 1000.0))
        };
        let audio = voice(5 * 8000, 5);
        through(&mut leg, start, &audio, (160, 1.0), &mut weather);
        let early = leg.stats();
        // A second leg hears the same for 35 s; the first 5 s are the time allowed for adaptation.
        let mut leg = common::leg(start);
        let mut dice = Dice::new(seed);
        let mut weather = |_: usize| {
            let jitter = if dice.roll() < 0.05 { 100.0 } else { dice.roll() * 100.0 };
            Some(Duration::from_secs_f64((20.0 + jitter) / 1000.0))
        };
        let audio = voice(35 * 8000, 5);
        through(&mut leg, start, &audio, (160, 1.0), &mut weather);
        let late = leg.stats().late - early.late;
        assert!(late * 100 <= 1500 * 2, "seed {seed}: {late} of 1500 late, {} before", early.late);
        assert!(leg.stats().delay <= ms(140), "seed {seed}: {:?}", leg.stats().delay);
    }
}

#[test]
fn drift_of_200_ppm_for_half_an_hour() {
    for clock in [1.0002, 0.9998] {
        let start = Instant::now();
        let mut leg = leg(start);
        let audio = vec![0; 30 * 60 * 8000];
        let mut worst = Duration::ZERO;
        let mut sender = Sender::new(9);
        let mut seen = Seen::default();
        let mut before = Duration::ZERO;
        for (i, chunk) in audio.chunks(160).enumerate() {
            let at = start + Duration::from_secs_f64((i + 1) as f64 * 0.02 * clock) + ms(30);
            run(&mut leg, at, &mut seen);
            seen = Seen::default();
            leg.handle_rtp(at, peer(), &sender.packet(chunk));
            if i == 500 {
                before = leg.stats().concealed;
            }
            if i > 500 {
                worst = worst.max(leg.stats().delay);
            }
        }
        let stats = leg.stats();
        assert!(worst <= ms(60), "{clock}: {worst:?}");
        assert_eq!(stats.late, 0, "{clock}");
        assert!(stats.concealed - before <= FRAME * 30, "{clock}: {:?}", stats.concealed - before);
    }
}

#[test]
fn a_longer_path_and_a_stall_of_the_network_are_survived() {
    let start = Instant::now();
    let mut leg = leg(start);
    // At ten seconds the path becomes 300 ms longer for good.
    let mut step = |i: usize| Some(if i < 500 { ms(30) } else { ms(330) });
    through(&mut leg, start, &voice(20 * 8000, 6), (160, 1.0), &mut step);
    let stats = leg.stats();
    assert!(stats.late <= 10, "{}", stats.late);
    assert!(stats.delay <= ms(200), "{:?}", stats.delay);

    // For 700 ms nothing arrives, then everything at once.
    let mut leg = common::leg(start);
    let mut stall =
        |i: usize| Some(ms(30) + FRAME * u32::try_from(535_usize.saturating_sub(i)).unwrap() * u32::from(i >= 500));
    through(&mut leg, start, &voice(20 * 8000, 6), (160, 1.0), &mut stall);
    let stats = leg.stats();
    assert!(stats.late <= 40, "{}", stats.late);
    assert!(stats.delay <= ms(200), "{:?}", stats.delay);
}

#[test]
fn timestamp_jumps_leave_the_delay_short() {
    let start = Instant::now();
    for jump in [-100_000_i32, -8_000, -1_600, 800, 1_600, 3_200, 8_000, 1_000_000] {
        let mut leg = leg(start);
        let mut sender = Sender::new(3);
        let mut seen = Seen::default();
        let audio = voice(160 * 400, 8);
        for (i, chunk) in audio.chunks(160).enumerate() {
            if i == 200 {
                sender.timestamp = sender.timestamp.wrapping_add_signed(jump);
            }
            let now = start + FRAME * (i as u32) + ms(3);
            run(&mut leg, now, &mut seen);
            leg.handle_rtp(now, peer(), &sender.packet(chunk));
            if i == 250 {
                assert!(leg.stats().delay < ms(200), "{jump}: {:?}", leg.stats().delay);
                seen.heard.clear();
            }
        }
        // From a second after the jump on everything is heard again.
        let ratio = energy(&seen.heard) / energy(&audio[250 * 160..]);
        assert!((0.9..1.1).contains(&ratio), "{jump}: {ratio}");
    }
}

#[test]
fn silence_suppression_is_no_loss() {
    let start = Instant::now();
    let mut leg = leg(start);
    let audio = voice(20 * 8000, 6);
    // Every other second is not sent at all; the sequence has no gap, so the sender must skip inside.
    let mut sender = Sender::new(3);
    let mut seen = Seen::default();
    for (i, chunk) in audio.chunks(160).enumerate() {
        let now = start + FRAME * (i as u32) + ms(3);
        run(&mut leg, now, &mut seen);
        if (i / 40) % 2 == 0 {
            leg.handle_rtp(now, peer(), &sender.packet(chunk));
        } else {
            sender.timestamp = sender.timestamp.wrapping_add(160);
        }
    }
    let stats = leg.stats();
    assert_eq!((stats.lost, stats.late, stats.resyncs), (0, 0, 0));
    // Each pause begins with at most 60 ms of dying away.
    assert!(stats.concealed <= ms(80) * 14, "{:?}", stats.concealed);
}

fn timestamp(packet: &[u8]) -> u32 {
    u32::from_be_bytes(packet[4..8].try_into().unwrap())
}

#[test]
fn audio_that_is_ready_leaves_at_once_and_in_step() {
    let start = Instant::now();
    let mut leg = callwright_media::Leg::rtp(common::settings());
    assert_eq!(leg.play(&[1000; 1600]), 1600);
    leg.mark(MarkId(1));
    assert_eq!(leg.next_due(), None);
    leg.remote(start, remote());
    assert_eq!(leg.next_due(), Some(start));
    let mut seen = Seen::default();
    leg.tick(start);
    seen.drain(&mut leg);
    assert_eq!(seen.packets.len(), 1);
    assert_eq!(seen.sent, [1000; 160]);
    assert_eq!(seen.packets[0].1[1], 0x80, "marker on the first packet");
    run(&mut leg, start + ms(1000), &mut seen);
    assert_eq!(seen.rtp().count(), 50);
    let first = timestamp(&seen.packets[0].1);
    for (i, (to, packet)) in seen.rtp().enumerate() {
        assert_eq!(*to, peer());
        assert_eq!(packet.len(), 172);
        assert_eq!(timestamp(packet), first.wrapping_add(160 * i as u32));
    }
    let done = start + ms(180);
    assert_eq!(seen.events, [LegEvent::Mark { id: MarkId(1), at: done }, LegEvent::Drained { at: done }]);
    assert_eq!(seen.sent.len(), 8000);
}

#[test]
fn after_a_stall_packets_are_left_out_not_sent_in_a_heap() {
    for stall in [15, 25, 35, 41, 60, 75, 100, 500, 5000] {
        let start = Instant::now();
        let mut leg = leg(start);
        leg.play(&[1000; 16_000]);
        let mut seen = Seen::default();
        run(&mut leg, start + ms(200), &mut seen);
        let before = seen.packets.len();
        let due = leg.next_due().unwrap();
        let now = due + ms(stall);
        leg.tick(now);
        seen.drain(&mut leg);
        let heap = seen.packets.len() - before;
        assert!(heap <= 2, "{stall}: {heap}");
        // Whatever follows within five milliseconds belongs to the same heap.
        run(&mut leg, now + ms(5), &mut seen);
        assert!(seen.rtp().count() - before <= 2, "{stall}");
        run(&mut leg, now + ms(100), &mut seen);
        let packets: Vec<_> = seen.rtp().collect();
        let first = timestamp(&packets[0].1);
        let last = timestamp(&packets.last().unwrap().1);
        let ticks = leg.next_due().unwrap().duration_since(start).as_millis() / 20;
        assert_eq!(u128::from(last.wrapping_sub(first)) / 160 + 1, ticks, "{stall}: media time must follow the clock");
        let sequence = |p: &[u8]| u16::from_be_bytes(p[2..4].try_into().unwrap());
        for pair in packets.windows(2) {
            assert_eq!(sequence(&pair[1].1), sequence(&pair[0].1).wrapping_add(1), "no hole in the sequence");
        }
        if stall < 1000 {
            assert_eq!(seen.sent.len() as u128, ticks * 160, "the recording keeps time");
            assert_eq!(seen.heard.len(), seen.sent.len());
        }
    }
}

#[test]
fn hold_pauses_the_agent_and_resume_goes_on_where_it_was() {
    let start = Instant::now();
    let mut leg = leg(start);
    leg.play(&[500; 8000]);
    let mut seen = Seen::default();
    run(&mut leg, start + ms(200), &mut seen);
    let queued = leg.queued();
    let held = callwright_media::RemoteMedia { direction: Direction::RecvOnly, ..remote() };
    leg.remote(start + ms(200), held);
    let packets = seen.packets.len();
    run(&mut leg, start + Duration::from_secs(60), &mut seen);
    assert_eq!(leg.queued(), queued);
    assert_eq!(seen.rtp().count(), packets);
    leg.remote(start + Duration::from_secs(60), remote());
    run(&mut leg, start + Duration::from_secs(62), &mut seen);
    assert_eq!(leg.queued(), Duration::ZERO);
    assert_eq!(seen.events[..2], [LegEvent::Hold(Hold::Held), LegEvent::Hold(Hold::Resumed)]);
    assert!(!seen.events.contains(&LegEvent::NoMedia) && !seen.events.contains(&LegEvent::Lost));
    assert_eq!(seen.sent.iter().filter(|s| **s != 0).count(), 8000);
}

#[test]
fn a_flush_tells_what_left_and_nothing_more_leaves() {
    let start = Instant::now();
    let mut leg = leg(start);
    leg.play(&[500; 8000]);
    leg.mark(MarkId(4));
    let mut seen = Seen::default();
    run(&mut leg, start + ms(300), &mut seen);
    let heard = leg.flush();
    assert_eq!(heard.cut.len(), 1);
    assert_eq!((heard.cut[0].mark, heard.cut[0].sent, heard.cut[0].total), (Some(MarkId(4)), ms(300), ms(1000)));
    run(&mut leg, start + ms(600), &mut seen);
    assert_eq!(seen.sent.iter().filter(|s| **s == 500).count(), 15 * 160 + 1, "all but the fade's first sample");
    assert_eq!(seen.events, [], "no mark, no drained");
}

#[test]
fn silence_from_the_far_end_is_told_once() {
    let start = Instant::now();
    let mut leg = leg(start);
    let mut seen = Seen::default();
    run(&mut leg, start + Duration::from_secs(100), &mut seen);
    assert_eq!(seen.events, [LegEvent::NoMedia, LegEvent::Lost]);
    let mut sender = Sender::new(1);
    let at = start + Duration::from_secs(100);
    leg.handle_rtp(at, peer(), &sender.packet(&[0; 160]));
    run(&mut leg, at + Duration::from_secs(100), &mut seen);
    assert_eq!(seen.events[2..], [LegEvent::Up { at }, LegEvent::Lost]);
}

#[test]
fn keys_cross_from_leg_to_leg() {
    use callwright_media::{Digit, leg::DtmfPath};
    let start = Instant::now();
    let (mut here, mut there) = (leg(start), leg(start));
    let keys: Vec<Digit> = "1234#".chars().filter_map(Digit::from_char).collect();
    here.play(&[300; 16_000]);
    assert_eq!(here.send_dtmf(&keys), DtmfPath::Events);
    let (mut seen, mut heard) = (Seen::default(), Seen::default());
    for i in 0..100 {
        let now = start + FRAME * i;
        here.tick(now);
        while let Some(packet) = here.poll_transmit() {
            there.handle_rtp(now, peer(), packet.bytes);
        }
        there.tick(now);
        seen.drain(&mut here);
        heard.drain(&mut there);
    }
    assert_eq!(heard.digits(), "1234#");
    assert!(seen.events.contains(&LegEvent::DtmfSent));
    assert_eq!(heard.events.iter().filter(|e| matches!(e, LegEvent::Up { .. })).count(), 1);
    assert!(energy(&heard.heard) > 0.0, "the agent's audio follows the keys");
}

#[test]
fn legs_measure_the_round_trip() {
    let start = Instant::now();
    let (mut here, mut there) = (leg(start), leg(start));
    let mut wire: Vec<(Instant, bool, Vec<u8>)> = Vec::new();
    for i in 0..20_000 {
        let now = start + ms(1) * i;
        let arrived: Vec<_> = wire.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, to_here, bytes) in arrived {
            if to_here { &mut here } else { &mut there }.handle_rtp(now, peer(), &bytes);
        }
        for (leg, to_here) in [(&mut here, false), (&mut there, true)] {
            leg.tick(now);
            while let Some(packet) = leg.poll_transmit() {
                wire.push((now + ms(40), to_here, packet.bytes.to_vec()));
            }
            while leg.poll_event().is_some() {}
        }
    }
    for leg in [&here, &there] {
        let trip = leg.stats().round_trip;
        assert!((ms(78)..ms(83)).contains(&trip), "{trip:?}");
    }
}

#[test]
fn a_hundred_thousand_junk_packets() {
    let start = Instant::now();
    let mut leg = leg(start);
    let mut dice = Dice::new(77);
    let mut seen = Seen::default();
    let mut sender = Sender::new(1);
    for i in 0..100_000_u32 {
        let now = start + Duration::from_micros(200) * i;
        let mut bytes: Vec<u8> = (0..(dice.roll() * 220.0) as usize).map(|_| (dice.roll() * 256.0) as u8).collect();
        // Half of it looks like RTP or RTCP at first sight, some of it comes from the peer's own address.
        if i % 2 == 0 && bytes.len() > 1 {
            bytes[0] = 0x80 | (bytes[0] & 0x3f);
            bytes[1] = [0, 8, 101, 13, 200, 201, 203, 206][(dice.roll() * 8.0) as usize];
        }
        let source = if dice.roll() < 0.3 { peer() } else { stranger() };
        leg.handle_rtp(now, source, &bytes);
        leg.handle_rtcp(now, source, &bytes);
        if i % 100 == 0 {
            leg.handle_rtp(now, peer(), &sender.packet(&[100; 160]));
        }
        run(&mut leg, now, &mut seen);
    }
    assert!(seen.packets.iter().all(|(to, _)| *to == peer()));
    assert_eq!(seen.heard.len(), 1000 * 160);
    // Afterwards the leg works as ever.
    let now = start + Duration::from_secs(20);
    seen.heard.clear();
    for i in 0..100 {
        run(&mut leg, now + FRAME * i, &mut seen);
        leg.handle_rtp(now + FRAME * i, peer(), &sender.packet(&[100; 160]));
    }
    let tail = &seen.heard[seen.heard.len() - 8000..];
    assert!(tail.iter().all(|s| (90..110).contains(s)));
}
