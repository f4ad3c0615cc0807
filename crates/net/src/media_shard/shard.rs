//! The loop of one media thread. Hides waiting: with few legs it sleeps in the poll and wakes for each packet; with many
//! it wakes by its schedule alone and reads what came meanwhile, so that packets cost no wake-ups of their own. The thread
//! of the browsers is one of these with a gate. Never blocks anywhere else.

use super::browser::Gate;
use super::door::{Bell, Door, LegOrder, Order, Ringer};
use super::recording::{Recording, ShardRecording};
use super::schedule::{PHASE, ROUND, Schedule};
use super::seat::{Life, Line, NewSeat, Read, Seat, Supplies};
use super::{MediaSettings, Meter};
use crate::ports::Quarantine;
use callwright_media::leg::Channel;
use mio::{Events, Interest, Poll, Token, Waker};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// The bell's token; sockets have their seat's.
const BELL: Token = Token(usize::MAX);
/// The token of the socket that all browsers share.
const GATE: Token = Token(usize::MAX - 1);
/// Above this many legs packets do not wake the thread: the schedule does so often enough.
const CROWD: usize = 24;
/// Longest sleep during which nothing wakes the thread: packets and orders must not wait for a far phase.
const NAP: Duration = PHASE;
/// The poll counts in milliseconds; what is shorter is slept.
const COARSE: Duration = Duration::from_micros(1200);
/// Readiness events taken at a time.
const EVENTS: usize = 1024;
/// Orders taken per wake, so that a burst of them delays no tick for long.
const ORDERS: usize = 256;
/// Resting ports looked at per wake, and how often when there is nothing else to wake for.
const SWEEP: usize = 4;
const SWEEP_EVERY: Duration = Duration::from_millis(100);
/// How long the end may wait for the writer of recordings.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// A visit later than this counts as late.
const LATE: Duration = Duration::from_millis(5);

/// Starts a media thread.
pub(super) fn start(
    name: String,
    settings: &MediaSettings,
    (legs, meter): (Arc<AtomicUsize>, Arc<Meter>),
    mut gate: Option<Gate>,
) -> io::Result<Arc<Door>> {
    let poll = Poll::new()?;
    if let Some(gate) = &mut gate {
        poll.registry().register(gate.source(), GATE, Interest::READABLE)?;
    }
    let bell = Arc::new(Bell::new(Ringer::Poll(Waker::new(poll.registry(), BELL)?)));
    let (orders, waiting) = mpsc::channel(settings.orders.max(1));
    let shard = Shard {
        poll,
        events: Events::with_capacity(EVENTS),
        orders: waiting,
        bell: Arc::clone(&bell),
        seats: Vec::new(),
        free: Vec::new(),
        numbers: HashMap::new(),
        schedule: Schedule::new(Instant::now()),
        unread: Vec::new(),
        gate,
        due: Vec::new(),
        quarantine: Quarantine::new(settings.rest),
        unfinished: Vec::new(),
        supplies: Supplies::new(),
        legs,
        meter,
    };
    std::thread::Builder::new().name(name).spawn(move || {
        if let Err(why) = super::priority::raise() {
            tracing::info!(%why, "the media thread keeps its ordinary priority");
        }
        shard.run();
    })?;
    Ok(Arc::new(Door::new(orders, bell)))
}

struct Shard {
    poll: Poll,
    events: Events,
    orders: mpsc::Receiver<Order>,
    bell: Arc<Bell>,
    seats: Vec<Option<Seat>>,
    free: Vec<usize>,
    /// Leg numbers to seats.
    numbers: HashMap<u64, usize>,
    schedule: Schedule,
    /// Sockets with something left to read.
    unread: Vec<(usize, Channel)>,
    /// Where browsers come in, on the thread that has them.
    gate: Option<Gate>,
    /// Scratch for the seats of one phase.
    due: Vec<usize>,
    quarantine: Quarantine,
    /// Recordings whose end the writer has no room for yet.
    unfinished: Vec<ShardRecording>,
    supplies: Supplies,
    legs: Arc<AtomicUsize>,
    meter: Arc<Meter>,
}

impl Shard {
    fn run(mut self) {
        while !self.bell.is_closed() {
            if let Err(error) = self.wait()
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "a media thread cannot poll");
                std::thread::sleep(PHASE);
            }
            self.meter.wakes.fetch_add(1, Ordering::Relaxed);
            self.note_events();
            self.bell.silence();
            self.read(Instant::now());
            // Before orders, so that a leg placed by one of them is not taken for one that missed its phase.
            self.run_phases();
            self.obey();
            self.quarantine.sweep(Instant::now(), SWEEP);
            self.unfinished.retain_mut(|recording| !recording.close(Recording::Going));
            self.report_failures();
        }
        let now = Instant::now();
        for index in 0..self.seats.len() {
            self.close(now, index);
        }
        // Recordings are worth a moment: the writer may be behind.
        while !self.unfinished.is_empty() && now.elapsed() < LAST_WORDS {
            std::thread::sleep(PHASE);
            self.unfinished.retain_mut(|recording| !recording.close(Recording::Going));
        }
    }

    /// Sleeps until something is due, or came.
    fn wait(&mut self) -> io::Result<()> {
        self.events.clear();
        let Some(next) = self.schedule.next_wake() else {
            let idle = !self.quarantine.is_empty() || !self.unfinished.is_empty();
            return self.poll.poll(&mut self.events, idle.then_some(SWEEP_EVERY));
        };
        let mut left = next.saturating_duration_since(Instant::now());
        if !self.unread.is_empty() || self.gate.as_ref().is_some_and(Gate::is_unread) {
            left = left.min(PHASE);
        }
        if left >= COARSE && self.schedule.len() <= CROWD {
            let whole = Duration::from_millis((left - COARSE / 6).as_millis() as u64);
            return self.poll.poll(&mut self.events, Some(whole));
        }
        if !left.is_zero() {
            std::thread::sleep(left.min(NAP));
        }
        self.poll.poll(&mut self.events, Some(Duration::ZERO))
    }

    /// Remembers which sockets can be read.
    fn note_events(&mut self) {
        for event in self.events.iter().filter(|event| event.token() != BELL) {
            if event.token() == GATE {
                self.gate.iter_mut().for_each(Gate::ring);
                continue;
            }
            let channel = if event.token().0.is_multiple_of(2) { Channel::Rtp } else { Channel::Rtcp };
            let entry = (event.token().0 / 2, channel);
            if !self.unread.contains(&entry) {
                self.unread.push(entry);
            }
        }
    }

    fn read(&mut self, now: Instant) {
        let (seats, supplies) = (&mut self.seats, &mut self.supplies);
        self.unread.retain(|(index, channel)| match seats.get_mut(*index) {
            Some(Some(seat)) => seat.read(now, *channel, supplies) == Read::More,
            _ => false,
        });
        if let Some(gate) = &mut self.gate {
            gate.read(now, seats, supplies);
            let strangers = gate.take_strangers();
            self.meter.strangers.fetch_add(strangers, Ordering::Relaxed);
        }
    }

    fn obey(&mut self) {
        for _ in 0..ORDERS {
            let Ok(order) = self.orders.try_recv() else { return };
            let now = Instant::now();
            match order {
                Order::Open(new) => self.open(now, *new),
                Order::Leg(number, order) => self.obey_one(now, number, order),
            }
        }
        // More may wait: do not sleep on them.
        self.bell.ring_again();
    }

    fn obey_one(&mut self, now: Instant, number: u64, order: LegOrder) {
        let Some(index) = self.numbers.get(&number).copied() else { return };
        let Some(Some(seat)) = self.seats.get_mut(index) else { return };
        let before = seat.due();
        let comes_back = matches!(order, LegOrder::Reconnect(_));
        seat.obey(now, order, &mut self.supplies);
        if let (true, Some(gate), Some(leg)) = (comes_back, &mut self.gate, seat.browser()) {
            gate.forget(index);
            gate.expect(index, leg.name());
        }
        // A leg that learned its remote, or that began a sentence at once, has another cadence now.
        if seat.due() != before {
            self.place_again(index);
        }
    }

    fn open(&mut self, now: Instant, new: NewSeat) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.seats.push(None);
            self.seats.len() - 1
        });
        let mut seat = Seat::new(new);
        if let Err(error) = self.register(index, &mut seat) {
            tracing::error!(%error, "a leg cannot be polled and is closed");
            seat.link.close();
            self.free.push(index);
            return;
        }
        if let (Some(gate), Some(leg)) = (&mut self.gate, seat.browser()) {
            gate.expect(index, leg.name());
        }
        seat.phase = self.schedule.place(index, now);
        self.numbers.insert(seat.link.id, index);
        if let Some(place) = self.seats.get_mut(index) {
            *place = Some(seat);
        }
        self.legs.fetch_add(1, Ordering::Relaxed);
    }

    fn register(&self, index: usize, seat: &mut Seat) -> io::Result<()> {
        let registry = self.poll.registry();
        let Line::Ports(ports) = &mut seat.line else { return Ok(()) };
        registry.register(&mut ports.rtp, Token(2 * index), Interest::READABLE)?;
        if let Some(rtcp) = &mut ports.rtcp {
            registry.register(rtcp, Token(2 * index + 1), Interest::READABLE)?;
        }
        Ok(())
    }

    fn run_phases(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        while let Some(scheduled) = self.schedule.due(Instant::now(), &mut due) {
            for index in due.iter().copied() {
                self.visit(index, scheduled);
            }
        }
        self.due = due;
    }

    fn visit(&mut self, index: usize, scheduled: Instant) {
        let Some(Some(seat)) = self.seats.get_mut(index) else { return };
        let now = Instant::now();
        let life = seat.visit(now, &mut self.supplies);
        let moved = seat.due().is_some_and(|due| due > scheduled + ROUND);
        let late = now.saturating_duration_since(scheduled);
        self.meter.visits.fetch_add(1, Ordering::Relaxed);
        self.meter.worst_nanos.fetch_max(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if late > LATE {
            self.meter.late_visits.fetch_add(1, Ordering::Relaxed);
        }
        match life {
            Life::Alive if moved => self.place_again(index),
            Life::Alive => {}
            Life::Closed => self.close(now, index),
            Life::Overrun => {
                self.meter.overruns.fetch_add(1, Ordering::Relaxed);
                self.close(now, index);
            }
        }
    }

    /// Gives a seat the phase that suits the leg's own cadence.
    fn place_again(&mut self, index: usize) {
        let Some(Some(seat)) = self.seats.get_mut(index) else { return };
        let Some(due) = seat.due() else { return };
        self.schedule.remove(index, seat.phase);
        seat.phase = self.schedule.place(index, due);
    }

    fn close(&mut self, now: Instant, index: usize) {
        let Some(mut seat) = self.seats.get_mut(index).and_then(Option::take) else { return };
        self.schedule.remove(index, seat.phase);
        self.numbers.remove(&seat.link.id);
        if let Some(gate) = &mut self.gate {
            gate.forget(index);
        }
        self.free.push(index);
        self.legs.fetch_sub(1, Ordering::Relaxed);
        self.meter.dropped_chunks.fetch_add(seat.link.dropped_chunks.load(Ordering::Relaxed), Ordering::Relaxed);
        let registry = self.poll.registry();
        if let Line::Ports(ports) = &mut seat.line {
            let rtcp = ports.rtcp.as_mut().map_or(Ok(()), |rtcp| registry.deregister(rtcp));
            if let Err(error) = registry.deregister(&mut ports.rtp).and(rtcp) {
                tracing::warn!(%error, "a closed leg cannot be taken from the poll");
            }
        }
        let (line, unfinished) = seat.close(now, &mut self.supplies);
        if let Line::Ports(ports) = line {
            self.quarantine.admit(now, ports);
        }
        self.unfinished.extend(unfinished);
    }

    fn report_failures(&mut self) {
        let failures = std::mem::take(&mut self.supplies.send_failures);
        if failures > 0 {
            self.meter.send_failures.fetch_add(failures, Ordering::Relaxed);
        }
    }
}
