//! Whose packets are heard. Media ports are sprayed by strangers, and peers behind NAT send from addresses that SDP
//! could not know; this is the one place that tells them apart.
//!
//! - The address that SDP gave wins at once and keeps winning over anything learned.
//! - Before it was heard, a stranger is learned after five packets in sequence over at least 80 ms.
//! - After that the lock moves only by renegotiation, or when the old source was silent for a second and the new one
//!   continues the same stream (NAT rebinding).
//!
//! Never accepts a packet to find out: until a source is locked its packets are dropped.

use super::packet::Packet;
use crate::leg::SourcePolicy;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Packets in sequence before a stranger is learned.
const LEARN_PACKETS: u32 = 5;
/// Least time these take: four intervals of 20 ms. A sprayer fires faster.
const LEARN_SPAN: Duration = Duration::from_millis(75);
/// Strangers watched at the same time.
const CANDIDATES: usize = 4;
/// How long the old source must have been silent before the lock may follow the stream.
const REBIND_SILENCE: Duration = Duration::from_secs(1);
/// How far the sequence may have gone meanwhile.
const REBIND_SEQUENCE: u16 = 1000;

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the peer's.
    Accept,
    /// Drop it.
    Reject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Signalled,
    Learned,
    Rebound,
}

#[derive(Debug, Clone, Copy)]
struct Locked {
    address: SocketAddr,
    reason: Reason,
    ssrc: u32,
    sequence: u16,
    last: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    address: SocketAddr,
    ssrc: u32,
    sequence: u16,
    since: Instant,
    last: Instant,
    count: u32,
}

/// The lock of one leg.
#[derive(Debug)]
pub struct SourceLock {
    policy: SourcePolicy,
    signalled: Option<SocketAddr>,
    locked: Option<Locked>,
    candidates: [Option<Candidate>; CANDIDATES],
}

impl SourceLock {
    /// A lock that rejects everything until it is told an address.
    pub const fn new(policy: SourcePolicy) -> Self {
        Self { policy, signalled: None, locked: None, candidates: [None; CANDIDATES] }
    }

    /// SDP gave this address. When it is another than before, everything learned is forgotten.
    pub fn signalled(&mut self, address: SocketAddr) {
        if self.signalled == Some(address) {
            return;
        }
        self.signalled = Some(address);
        self.candidates = [None; CANDIDATES];
        match &mut self.locked {
            Some(locked) if locked.address == address => locked.reason = Reason::Signalled,
            _ => self.locked = None,
        }
    }

    /// Where to send: the locked source, before that the address from SDP.
    pub fn destination(&self) -> Option<SocketAddr> {
        self.locked.map(|locked| locked.address).or(self.signalled)
    }

    /// Whether control packets from `source` are the peer's, given where its RTCP was signalled.
    pub fn accepts_control(&self, source: SocketAddr, control: Option<SocketAddr>) -> bool {
        let beside = |media: SocketAddr| {
            source == media || (source.ip() == media.ip() && media.port().checked_add(1) == Some(source.port()))
        };
        control == Some(source) || self.destination().is_some_and(beside)
    }

    /// Judges a media packet.
    pub fn judge(&mut self, now: Instant, source: SocketAddr, packet: &Packet<'_>) -> Verdict {
        let Some(signalled) = self.signalled else {
            return Verdict::Reject;
        };
        let reason = match &self.locked {
            Some(locked) if locked.address == source => Some(locked.reason),
            Some(locked) if source == signalled && locked.reason == Reason::Learned => Some(Reason::Signalled),
            None if source == signalled => Some(Reason::Signalled),
            _ if self.policy == SourcePolicy::Strict => None,
            Some(locked) => locked.followed_by(now, packet).then_some(Reason::Rebound),
            None => self.learn(now, source, packet).then_some(Reason::Learned),
        };
        let Some(reason) = reason else {
            return Verdict::Reject;
        };
        self.locked = Some(Locked { address: source, reason, ssrc: packet.ssrc, sequence: packet.sequence, last: now });
        Verdict::Accept
    }

    fn learn(&mut self, now: Instant, source: SocketAddr, packet: &Packet<'_>) -> bool {
        let known = self.candidates.iter().position(|c| c.is_some_and(|c| c.address == source));
        // A stranger takes a free place, or that of the one silent for longest.
        let oldest = || (0..CANDIDATES).min_by_key(|i| self.candidates[*i].map(|c| c.last)).unwrap_or(0);
        let slot = &mut self.candidates[known.unwrap_or_else(oldest)];
        let fresh = Candidate {
            address: source,
            ssrc: packet.ssrc,
            sequence: packet.sequence,
            since: now,
            last: now,
            count: 1,
        };
        let Some(candidate) = slot.as_mut().filter(|c| c.address == source) else {
            *slot = Some(fresh);
            return false;
        };
        if candidate.ssrc != packet.ssrc || candidate.sequence.wrapping_add(1) != packet.sequence {
            *candidate = fresh;
            return false;
        }
        candidate.sequence = packet.sequence;
        candidate.last = now;
        candidate.count = candidate.count.saturating_add(1);
        candidate.count >= LEARN_PACKETS && now.saturating_duration_since(candidate.since) >= LEARN_SPAN
    }
}

impl Locked {
    /// Whether `packet`, from elsewhere, continues this stream after a silence.
    fn followed_by(&self, now: Instant, packet: &Packet<'_>) -> bool {
        let ahead = packet.sequence.wrapping_sub(self.sequence);
        now.saturating_duration_since(self.last) >= REBIND_SILENCE
            && packet.ssrc == self.ssrc
            && (1..=REBIND_SEQUENCE).contains(&ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u16) -> SocketAddr {
        format!("192.0.2.1:{}", 5000 + n).parse().expect("address")
    }

    fn packet(ssrc: u32, sequence: u16) -> Packet<'static> {
        Packet { marker: false, payload_type: 0, sequence, timestamp: 0, ssrc, payload: &[0; 160] }
    }

    struct Bench {
        start: Instant,
        lock: SourceLock,
    }

    impl Bench {
        fn new() -> Self {
            let mut lock = SourceLock::new(SourcePolicy::Learn);
            lock.signalled(address(0));
            Self { start: Instant::now(), lock }
        }

        fn at(&mut self, ms: u64, from: u16, ssrc: u32, sequence: u16) -> Verdict {
            self.lock.judge(self.start + Duration::from_millis(ms), address(from), &packet(ssrc, sequence))
        }
    }

    #[test]
    fn strangers_are_not_heard_once_the_signalled_source_was() {
        let mut bench = Bench::new();
        assert_eq!(bench.at(0, 0, 1, 1), Verdict::Accept);
        for i in 0..500 {
            assert_eq!(bench.at(20 * i, 7, 9, i as u16), Verdict::Reject);
            assert_eq!(bench.at(20 * i, 0, 1, 2 + i as u16), Verdict::Accept);
        }
        assert_eq!(bench.lock.destination(), Some(address(0)));
    }

    #[test]
    fn a_peer_behind_nat_is_learned_after_five_packets_and_the_signalled_source_still_wins() {
        let mut bench = Bench::new();
        for i in 0..4 {
            assert_eq!(bench.at(20 * i, 7, 9, i as u16), Verdict::Reject);
            assert_eq!(bench.lock.destination(), Some(address(0)));
        }
        assert_eq!(bench.at(80, 7, 9, 4), Verdict::Accept);
        assert_eq!(bench.lock.destination(), Some(address(7)));
        assert_eq!(bench.at(90, 0, 1, 1), Verdict::Accept);
        assert_eq!(bench.lock.destination(), Some(address(0)));
        assert_eq!(bench.at(100, 7, 9, 5), Verdict::Reject);
    }

    #[test]
    fn a_sprayer_faster_than_real_time_waits_as_long() {
        let mut bench = Bench::new();
        for i in 0..100 {
            assert_eq!(bench.at(i / 2, 7, 9, i as u16), Verdict::Reject);
        }
    }

    #[test]
    fn the_lock_follows_a_rebound_stream_only() {
        let mut bench = Bench::new();
        bench.at(0, 0, 1, 100);
        assert_eq!(bench.at(900, 7, 1, 145), Verdict::Reject);
        assert_eq!(bench.at(1000, 7, 2, 150), Verdict::Reject);
        assert_eq!(bench.at(1000, 7, 1, 1101), Verdict::Reject);
        assert_eq!(bench.at(1000, 7, 1, 100), Verdict::Reject);
        assert_eq!(bench.at(1000, 7, 1, 150), Verdict::Accept);
        assert_eq!(bench.lock.destination(), Some(address(7)));
        // Back at the signalled address, the old one is just another stranger until the new one is silent.
        assert_eq!(bench.at(1020, 0, 1, 151), Verdict::Reject);
    }

    #[test]
    fn renegotiation_moves_the_lock() {
        let mut bench = Bench::new();
        bench.at(0, 0, 1, 100);
        bench.lock.signalled(address(3));
        assert_eq!(bench.lock.destination(), Some(address(3)));
        assert_eq!(bench.at(20, 0, 1, 101), Verdict::Reject);
        assert_eq!(bench.at(20, 3, 8, 7), Verdict::Accept);
    }

    #[test]
    fn strict_never_learns() {
        let mut lock = SourceLock::new(SourcePolicy::Strict);
        lock.signalled(address(0));
        let start = Instant::now();
        for i in 0..100 {
            let now = start + Duration::from_millis(20) * i;
            assert_eq!(lock.judge(now, address(1), &packet(1, i as u16)), Verdict::Reject);
        }
    }

    #[test]
    fn control_packets_come_from_the_peer_s_ports_only() {
        let bench = Bench::new();
        assert!(bench.lock.accepts_control(address(0), None));
        assert!(bench.lock.accepts_control(address(1), None));
        assert!(!bench.lock.accepts_control(address(2), None));
        assert!(bench.lock.accepts_control(address(2), Some(address(2))));
    }
}
