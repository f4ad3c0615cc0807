//! How soon a leg hears and answers: audio to the ears without delay, the first sound of a sentence without waiting.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod common;

use callwright_media::leg::{Ambient, Leg, LegEvent};
use callwright_media::pcm::{Gain, level_dbfs};
use callwright_media::{FRAME, Recorder};
use common::{Dice, Seen, Sender, leg, ms, peer, run, stranger, voice};
use std::time::{Duration, Instant};

fn timestamp(packet: &[u8]) -> u32 {
    u32::from_be_bytes(packet[4..8].try_into().unwrap())
}

fn is_marked(packet: &[u8]) -> bool {
    packet[1] & 0x80 != 0
}

/// Ticks at `now` and gives the media packets that left.
fn tick(leg: &mut Leg, now: Instant) -> Vec<Vec<u8>> {
    let mut seen = Seen::default();
    leg.tick(now);
    seen.drain(leg);
    seen.rtp().map(|(_, packet)| packet.clone()).collect()
}

/// What `from` sends reaches `to` at once.
fn carry(from: &mut Leg, to: &mut Leg, now: Instant) {
    while let Some(packet) = from.poll_transmit() {
        to.handle_rtp(now, peer(), packet.bytes);
    }
}

#[test]
fn a_packet_is_heard_in_the_call_that_brings_it() {
    let start = Instant::now();
    for packet in [80, 160, 240] {
        let mut leg = leg(start);
        let mut sender = Sender::new(1);
        for i in 0..50_u32 {
            let mut seen = Seen::default();
            let now = start + Duration::from_micros(125 * packet as u64) * i;
            leg.handle_rtp(now, peer(), &sender.packet(&vec![1000; packet]));
            seen.drain(&mut leg);
            assert_eq!(seen.ears.len(), packet, "{packet}: {i}");
            assert!(seen.ears.iter().all(|sample| (950..1050).contains(sample)));
        }
        let mut seen = Seen::default();
        leg.handle_rtp(start, stranger(), &Sender::new(9).packet(&[1000; 160]));
        seen.drain(&mut leg);
        assert_eq!(seen.ears, [], "a stranger is not heard");
    }
}

#[test]
fn speech_is_noticed_within_a_packet_of_its_sound() {
    let start = Instant::now();
    let mut leg = leg(start);
    let audio = [vec![0; 8000], voice(16_000, 3), vec![0; 8000]].concat();
    let mut sender = Sender::new(1);
    let (mut began, mut ended) = (None, None);
    for (i, chunk) in audio.chunks(160).enumerate() {
        let now = start + FRAME * u32::try_from(i + 1).unwrap();
        leg.handle_rtp(now, peer(), &sender.packet(chunk));
        while let Some(event) = leg.poll_event() {
            match event {
                LegEvent::SpeechStarted { .. } => began = Some(now.duration_since(start)),
                LegEvent::SpeechStopped { .. } => ended = Some(now.duration_since(start)),
                _ => {}
            }
        }
    }
    assert!(began.is_some_and(|at| at < ms(1400)), "{began:?}");
    assert!(ended.is_some_and(|at| (ms(2900)..ms(3300)).contains(&at)), "{ended:?}");
}

#[test]
fn with_five_percent_lost_the_ears_get_a_minute_a_minute() {
    let start = Instant::now();
    for seed in 1..=5 {
        let mut leg = leg(start);
        let mut dice = Dice::new(seed);
        let audio = voice(60 * 8000, 4);
        let (mut sender, mut seen) = (Sender::new(1), Seen::default());
        for (i, chunk) in audio.chunks(160).enumerate() {
            let sent = start + FRAME * u32::try_from(i + 1).unwrap();
            let now = sent + Duration::from_secs_f64(dice.roll() * 0.01);
            run(&mut leg, now, &mut seen);
            let packet = sender.packet(chunk);
            if dice.roll() >= 0.05 {
                leg.handle_rtp(now, peer(), &packet);
            }
            seen.drain(&mut leg);
            let (heard, clock) = (seen.ears.len() as f64 / 8.0, now.duration_since(start).as_secs_f64() * 1000.0);
            assert!(heard <= clock + 40.1 && heard >= clock - 105.0, "seed {seed}: {heard} of {clock} ms");
        }
        let heard = ms(seen.ears.len() as u64 / 8);
        assert!(heard.abs_diff(ms(60_000)) <= ms(40), "seed {seed}: {heard:?}");
        let energy = |samples: &[i16]| samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
        let ratio = energy(&seen.ears) / energy(&audio);
        assert!((0.9..1.05).contains(&ratio), "seed {seed}: {ratio}");
    }
}

#[test]
fn a_sentence_sent_ahead_of_the_clock_is_heard_whole() {
    let start = Instant::now();
    for early in 0..20 {
        let (mut here, mut there) = (leg(start), leg(start));
        let mut seen = Seen::default();
        for i in 0..50 {
            let mut now = start + FRAME * i;
            here.tick(now);
            if i % 10 == 9 {
                carry(&mut here, &mut there, now);
                now += ms(early);
                here.play(&[900; 160]);
                here.tick(now);
            }
            carry(&mut here, &mut there, now);
            there.tick(now);
            seen.drain(&mut there);
        }
        assert_eq!(seen.ears.iter().filter(|sample| **sample > 800).count(), 5 * 160, "{early} ms after the tick");
    }
}

#[test]
fn a_sender_that_pauses_is_silence_in_real_time() {
    let start = Instant::now();
    let mut leg = leg(start);
    let mut sender = Sender::new(1);
    let mut seen = Seen::default();
    for i in 0..3000_u32 {
        let now = start + FRAME * i + ms(3);
        run(&mut leg, now, &mut seen);
        if (i / 50) % 2 == 0 {
            leg.handle_rtp(now, peer(), &sender.packet(&[500; 160]));
        } else {
            sender.timestamp = sender.timestamp.wrapping_add(160);
        }
        seen.drain(&mut leg);
        let (heard, clock) = (seen.ears.len() as u64, u64::from(i) * 160 + 24);
        assert!(heard <= clock + 160, "{i}: {heard} of {clock} samples");
        assert!(heard + 8 * 85 >= clock, "{i}: {heard} of {clock} samples");
    }
    let loud = seen.ears.iter().filter(|sample| **sample > 400).count();
    assert!(loud >= 1500 * 160 - 40 * 160, "{loud}");
}

#[test]
fn a_sentence_begins_at_once_and_keeps_step() {
    let start = Instant::now();
    let mut leg = leg(start);
    let mut seen = Seen::default();
    run(&mut leg, start + ms(1000), &mut seen);
    let (_, last) = seen.rtp().last().cloned().unwrap();
    let now = start + ms(980) + ms(7);
    leg.play(&[900; 800]);
    assert!(leg.next_due().unwrap() <= now);
    let first = tick(&mut leg, now);
    assert_eq!(first.len(), 1);
    assert!(is_marked(&first[0]));
    assert_eq!(timestamp(&first[0]), timestamp(&last).wrapping_add(160));
    for i in 1..5 {
        assert_eq!(leg.next_due(), Some(now + FRAME * i));
        let next = tick(&mut leg, now + FRAME * i);
        assert!(!is_marked(&next[0]));
        assert_eq!(timestamp(&next[0]), timestamp(&first[0]).wrapping_add(160 * i));
    }
    // The lead of 13 ms is given back before the next packet of silence.
    assert_eq!(leg.next_due(), Some(start + ms(1000 + 100)));
    let idle = tick(&mut leg, start + ms(1100));
    assert_eq!(idle[0][12..], [0xff; 160]);
    assert_eq!(timestamp(&idle[0]), timestamp(&first[0]).wrapping_add(800));
}

#[test]
fn a_thousand_sentences_leave_no_lead_behind_and_never_three_packets_together() {
    let start = Instant::now();
    let mut leg = leg(start);
    let mut dice = Dice::new(5);
    let mut now = start;
    let mut packets: Vec<(Instant, u32)> = Vec::new();
    let mut seen = Seen::default();
    let mut sentences = 0;
    while sentences < 1000 {
        // The owner visits up to a millisecond late, sometimes 25 ms.
        let late = if dice.roll() < 0.02 { 0.025 } else { dice.roll() * 0.001 };
        let next = leg.next_due().unwrap().max(now) + Duration::from_secs_f64(late);
        let order = now + Duration::from_secs_f64(dice.roll() * 0.1);
        let asked = order < next;
        now = if asked { order } else { next };
        if asked && leg.queued().is_zero() {
            leg.play(&vec![700; 80 + (dice.roll() * 900.0) as usize]);
            sentences += 1;
        }
        leg.tick(now);
        seen.drain(&mut leg);
        packets.extend(seen.rtp().map(|(_, packet)| (now, timestamp(packet))));
        seen.packets.clear();
    }
    let (_, origin) = packets[0];
    let mut most = 0.0_f64;
    for (at, stamp) in &packets {
        let media = f64::from(stamp.wrapping_sub(origin)) / 8000.0;
        most = most.max(media - at.duration_since(start).as_secs_f64());
    }
    assert!(most <= 0.0201, "{most} s ahead of the clock");
    assert!(packets.windows(3).all(|three| three[2].0.duration_since(three[0].0) > ms(2)));
    assert!(packets.windows(2).all(|two| two[1].1.wrapping_sub(two[0].1) >= 160));
    let (recorded, clock) = (seen.sent.len() as i64 / 8, now.duration_since(start).as_millis() as i64);
    assert!((recorded - clock).abs() <= 45, "recorded {recorded} of {clock} ms");
    assert_eq!(seen.sent.len(), seen.heard.len());
}

#[test]
fn both_sides_of_a_recording_stay_in_step() {
    let start = Instant::now();
    let mut leg = leg(start);
    let mut recorder = Recorder::new(callwright_media::Rate::Narrow);
    let mut now = start;
    for i in 0..200_u32 {
        leg.tick(now);
        if i == 100 {
            leg.play(&[900; 8000]);
            leg.tick(now + ms(2));
        }
        while let Some(event) = leg.poll_event() {
            if let LegEvent::Audio(pair) = event {
                recorder.push(&pair);
            }
        }
        now = leg.next_due().unwrap();
    }
    // Frames end when the next begins: 200 ticks and the early one, less the one that waits for its other side.
    let clock = now.duration_since(start).as_millis() as i64 * 8;
    assert!((recorder.samples() as i64 - clock).abs() <= 160, "{} of {clock}", recorder.samples());
}

#[test]
fn ambient_sound_goes_on_under_the_voice_and_stops_when_told() {
    let start = Instant::now();
    let mut leg = leg(start);
    let pcm: Vec<i16> = (0..777).map(|i| if i % 16 < 8 { 1000 } else { -1000 }).collect();
    leg.ambient(Some(Ambient { pcm: pcm.clone().into(), gain: Gain::from_percent(50) }));
    let mut seen = Seen::default();
    run(&mut leg, start + ms(1000), &mut seen);
    let expected: Vec<i16> = pcm.iter().cycle().take(8000).map(|sample| sample / 2).collect();
    assert_eq!(seen.sent, expected);
    assert_eq!(seen.rtp().filter(|(_, packet)| is_marked(packet)).count(), 1);
    leg.play(&[3000; 1600]);
    seen.sent.clear();
    run(&mut leg, start + ms(2000), &mut seen);
    assert!(seen.sent[..1600].iter().all(|sample| [2500, 3500].contains(sample)));
    assert!((level_dbfs(&seen.sent[1600..]) - level_dbfs(&[500])).abs() < 0.1);
    leg.ambient(None);
    seen.sent.clear();
    run(&mut leg, start + ms(2200), &mut seen);
    assert!(seen.sent.iter().all(|sample| *sample == 0));
}
