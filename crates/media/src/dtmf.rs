//! Keys pressed on a telephone: RFC 4733 telephone events, in and out. Hides repetition, loss and end packets.
//! Never looks at audio.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// One key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digit(u8);

impl Digit {
    /// The key of an RFC 4733 event code (0 to 15); others (flash, tones, modem signals) are not keys.
    pub const fn from_event(event: u8) -> Option<Self> {
        if event < 16 { Some(Self(event)) } else { None }
    }

    /// The key written as `0`-`9`, `*`, `#` or `A`-`D` (either case).
    pub fn from_char(key: char) -> Option<Self> {
        let position = KEYS.iter().position(|k| char::from(*k) == key.to_ascii_uppercase())?;
        Some(Self(position as u8))
    }

    /// As it is written on the key.
    pub fn as_char(self) -> char {
        KEYS.get(usize::from(self.0)).map_or('?', |key| char::from(*key))
    }

    /// The RFC 4733 event code.
    pub const fn event(self) -> u8 {
        self.0
    }
}

/// Keys in the order of their event codes (RFC 4733 section 3.2).
const KEYS: [u8; 16] = *b"0123456789*#ABCD";

// A key may be part of a card number, so it never shows in logs.
impl std::fmt::Debug for Digit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digit(_)")
    }
}

/// Keys waiting, in either direction.
pub const QUEUE_CAP: usize = 64;
/// A key whose packets stop without an end packet is over after this long.
const LOST_END: Duration = Duration::from_millis(150);
/// Nobody presses keys faster; a flood is thinned out to this.
const LEAST_SPACING: Duration = Duration::from_millis(50);
/// Timestamps this far behind the last key are its late packets.
const LATE_SECONDS: u32 = 1;

/// Keys of the far end, each told once.
#[derive(Debug, Default)]
pub struct Receiver {
    pressed: Option<Pressed>,
    /// Timestamp of the last key that ended.
    ended: Option<u32>,
    queue: VecDeque<(Digit, Duration)>,
    last_told: Option<Instant>,
    dropped: u64,
}

#[derive(Debug, Clone, Copy)]
struct Pressed {
    digit: Digit,
    timestamp: u32,
    /// In units of `clock`; what went before in longer-than-16-bit presses is counted by `earlier`.
    duration: u16,
    earlier: u32,
    clock: u32,
    last: Instant,
}

impl Receiver {
    /// Takes the payload of a telephone-event packet; anything that is no key is ignored.
    pub fn handle(&mut self, now: Instant, timestamp: u32, payload: &[u8], clock: u32) {
        let [event, flags, high, low, ..] = *payload else {
            return;
        };
        let Some(digit) = Digit::from_event(event) else {
            return;
        };
        let is_late = |ended: u32| ended.wrapping_sub(timestamp) < clock.max(1).saturating_mul(LATE_SECONDS);
        if self.ended.is_some_and(is_late) {
            return;
        }
        let duration = u16::from_be_bytes([high, low]);
        let mut pressed = match self.pressed {
            Some(pressed) if pressed.digit == digit && pressed.continues(timestamp) => {
                pressed.updated(timestamp, duration)
            }
            Some(pressed) if pressed.timestamp.wrapping_sub(timestamp) < clock => return,
            other => {
                if let Some(before) = other {
                    self.end(&before);
                }
                Pressed { digit, timestamp, duration, earlier: 0, clock, last: now }
            }
        };
        pressed.last = now;
        if flags & 0x80 == 0 {
            self.pressed = Some(pressed);
        } else {
            self.end(&pressed);
        }
    }

    /// The next key and how long it was pressed; at most 20 a second.
    pub fn poll(&mut self, now: Instant) -> Option<(Digit, Duration)> {
        if let Some(pressed) = self.pressed
            && now.saturating_duration_since(pressed.last) >= LOST_END
        {
            self.end(&pressed);
        }
        let too_soon = |told: Instant| now.saturating_duration_since(told) < LEAST_SPACING;
        if self.queue.is_empty() || self.last_told.is_some_and(too_soon) {
            return None;
        }
        self.last_told = Some(now);
        self.queue.pop_front()
    }

    /// Keys dropped because the queue was full.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    fn end(&mut self, pressed: &Pressed) {
        self.pressed = None;
        self.ended = Some(pressed.timestamp);
        if self.queue.len() >= QUEUE_CAP {
            self.dropped += 1;
            return;
        }
        let units = u64::from(pressed.earlier) + u64::from(pressed.duration);
        let lasted = Duration::from_micros(units * 1_000_000 / u64::from(pressed.clock.max(1)));
        self.queue.push_back((pressed.digit, lasted));
    }
}

impl Pressed {
    /// Whether a packet of the same key and `timestamp` belongs to this press: the same segment, or the next one of
    /// a press longer than 16 bits of duration (RFC 4733 section 2.5.1.3).
    const fn continues(&self, timestamp: u32) -> bool {
        let ahead = timestamp.wrapping_sub(self.timestamp);
        ahead == 0 || (self.duration >= 0xf000 && ahead >= 0xf000 && ahead <= 0x1_0000)
    }

    const fn updated(mut self, timestamp: u32, duration: u16) -> Self {
        if timestamp != self.timestamp {
            self.earlier = self.earlier.saturating_add(timestamp.wrapping_sub(self.timestamp));
            self.timestamp = timestamp;
            self.duration = duration;
        } else if duration > self.duration || self.duration - duration > 0x8000 {
            // A sender that lets the field wrap instead of beginning a segment.
            if duration < self.duration {
                self.earlier = self.earlier.saturating_add(0x1_0000);
            }
            self.duration = duration;
        }
        self
    }
}

/// Ticks of 20 ms that a key sounds.
const TONE_TICKS: u16 = 5;
/// End packets (RFC 4733 section 2.5.1.4).
const END_PACKETS: u16 = 3;
/// Ticks of silence after a key, the first two of which repeat its end.
const GAP_TICKS: u16 = 4;

/// What one tick of sending keys puts on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    /// An event packet.
    Event {
        /// First packet of the key.
        marker: bool,
        /// Timestamp: that of the key's beginning.
        timestamp: u32,
        /// The payload.
        payload: [u8; 4],
    },
    /// A pause between keys.
    Pause,
}

/// Keys to the far end.
#[derive(Debug, Default)]
pub struct Sender {
    queue: VecDeque<Digit>,
    current: Option<(Digit, u16, u32)>,
}

impl Sender {
    /// Queues a key; returns whether there was room.
    pub fn push(&mut self, digit: Digit) -> bool {
        let fits = self.queue.len() < QUEUE_CAP;
        if fits {
            self.queue.push_back(digit);
        }
        fits
    }

    /// Whether nothing is to be sent.
    pub fn is_idle(&self) -> bool {
        self.current.is_none() && self.queue.is_empty()
    }

    /// The key now on the line, with how many ticks it has been there.
    pub fn current(&self) -> Option<(Digit, u16)> {
        self.current.map(|(digit, tick, _)| (digit, tick))
    }

    /// What this tick sends; `None` when idle. `timestamp` is the media time of the tick, `step` its length in the
    /// same units.
    pub fn tick(&mut self, timestamp: u32, step: u16) -> Option<Tick> {
        let (digit, tick, began) = match self.current.take() {
            Some(current) => current,
            None => (self.queue.pop_front()?, 0, timestamp),
        };
        if tick + 1 < TONE_TICKS + GAP_TICKS {
            self.current = Some((digit, tick + 1, began));
        }
        if tick >= TONE_TICKS - 1 + END_PACKETS {
            return Some(Tick::Pause);
        }
        let [high, low] = step.saturating_mul((tick + 1).min(TONE_TICKS)).to_be_bytes();
        // Volume 10 means -10 dBm0. The bit above says that the key is released.
        let flags = if tick + 1 >= TONE_TICKS { 0x80 | 10 } else { 10 };
        Some(Tick::Event { marker: tick == 0, timestamp: began, payload: [digit.event(), flags, high, low] })
    }

    /// Whether the key sounds in tick number `tick`, for sending it as a tone.
    pub const fn sounds(tick: u16) -> bool {
        tick < TONE_TICKS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(receiver: &mut Receiver, now: Instant) -> String {
        let mut digits = String::new();
        for i in 0..100 {
            if let Some((digit, _)) = receiver.poll(now + Duration::from_millis(50) * i) {
                digits.push(digit.as_char());
            }
        }
        digits
    }

    #[test]
    fn what_the_sender_sends_the_receiver_hears() {
        let start = Instant::now();
        let mut sender = Sender::default();
        let mut receiver = Receiver::default();
        let keys = "0123456789*#ABCD55";
        for key in keys.chars() {
            assert!(sender.push(Digit::from_char(key).expect("key")));
        }
        let (mut events, mut ends) = (0, 0);
        for i in 0..1000_u32 {
            let now = start + Duration::from_millis(20) * i;
            match sender.tick(i * 160, 160) {
                Some(Tick::Event { timestamp, payload, marker }) => {
                    events += u32::from(marker);
                    ends += u32::from(payload[1] & 0x80 != 0);
                    receiver.handle(now, timestamp, &payload, 8000);
                }
                Some(Tick::Pause) => {}
                None => break,
            }
        }
        assert_eq!((events, ends), (18, 54));
        assert_eq!(receiver.queue.front().map(|d| d.1), Some(Duration::from_millis(100)));
        assert_eq!(told(&mut receiver, start), keys);
    }

    #[test]
    fn lost_ends_and_lost_beginnings_are_no_lost_keys() {
        let start = Instant::now();
        let mut receiver = Receiver::default();
        receiver.handle(start, 1000, &[1, 10, 0, 160], 8000);
        assert_eq!(receiver.poll(start + Duration::from_millis(140)), None);
        receiver.handle(start + Duration::from_millis(145), 2160, &[2, 0x8a, 0, 160], 8000);
        receiver.handle(start + Duration::from_millis(145), 2160, &[2, 0x8a, 0, 160], 8000);
        receiver.handle(start + Duration::from_millis(150), 1000, &[1, 0x8a, 3, 32], 8000);
        assert_eq!(told(&mut receiver, start + Duration::from_millis(200)), "12");
    }

    #[test]
    fn a_press_longer_than_the_duration_field_is_one_key() {
        let start = Instant::now();
        let mut receiver = Receiver::default();
        let mut timestamp = 5000_u32;
        for _ in 0..3 {
            for step in 1..=409_u16 {
                receiver.handle(start, timestamp, &[7, 10, ((step * 160) >> 8) as u8, (step * 160) as u8], 8000);
            }
            timestamp += 0xffff;
        }
        receiver.handle(start, timestamp - 0xffff, &[7, 0x8a, 0xff, 0xff], 8000);
        let (digit, lasted) = receiver.poll(start).expect("one key");
        assert_eq!((digit.as_char(), lasted.as_secs()), ('7', 24));
        assert_eq!(told(&mut receiver, start + Duration::from_secs(1)), "");
    }

    #[test]
    fn a_flood_is_thinned_out_and_bounded() {
        let start = Instant::now();
        let mut receiver = Receiver::default();
        let mut heard = 0;
        for i in 0..1000_u32 {
            let now = start + Duration::from_millis(1) * i;
            receiver.handle(now, i * 8, &[(i % 16) as u8, 0x80, 0, 8], 8000);
            heard += usize::from(receiver.poll(now).is_some());
        }
        assert_eq!(heard, 20);
        assert!(receiver.queue.len() <= QUEUE_CAP);
        assert!(receiver.dropped() > 900);
    }
}
