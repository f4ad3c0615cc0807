//! Legs without threads and sockets: the same legs, seats and reports, served by a task of the runtime and on its clock,
//! over a network in memory. For simulations, whose clock stands still while anything is to be done.
//! Never records: a recording is a file, written by a thread.

use super::Meter;
use super::door::{Bell, Order};
use super::seat::{Life, Seat, Supplies};
use crate::wire::Wire;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::sync::mpsc;

/// First RTP port of a network in memory; each leg takes the next pair.
const FIRST_PORT: u16 = 10_000;
/// Port pairs before the first comes again.
const PAIRS: u64 = 20_000;

/// The RTP port of a leg.
pub(super) fn port_of(leg: u64) -> u16 {
    let pair = u16::try_from(leg % PAIRS).unwrap_or_default();
    FIRST_PORT + 2 * pair
}

/// The task in a shard's place.
pub(super) struct Table {
    pub(super) wire: Wire,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) bell: Arc<Bell>,
    pub(super) legs: Arc<AtomicUsize>,
    pub(super) meter: Arc<Meter>,
    pub(super) seats: BTreeMap<u64, Seat>,
}

impl Table {
    /// Serves legs until nobody can order any more.
    pub(super) async fn run(mut self) {
        let mut supplies = Supplies::new();
        while !self.bell.is_closed() {
            let due = self.seats.values().filter_map(Seat::due).min();
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(order) => self.obey(order, &mut supplies),
                    None => return,
                },
                () = self.wire.readable() => self.read(&mut supplies),
                () = self.bell.rung() => self.bell.silence(),
                () = sleep_until(due) => {}
            }
            self.visit(&mut supplies);
        }
    }

    fn obey(&mut self, order: Order, supplies: &mut Supplies) {
        match order {
            Order::Open(new) => {
                let seat = Seat::new(*new);
                self.seats.insert(seat.link.id, seat);
                self.legs.fetch_add(1, Ordering::Relaxed);
            }
            Order::Leg(number, order) => {
                if let Some(seat) = self.seats.get_mut(&number) {
                    seat.obey(now(), order, supplies);
                }
            }
        }
    }

    fn read(&mut self, supplies: &mut Supplies) {
        while let Some(datagram) = self.wire.take() {
            let port = datagram.to.port();
            let seat = self.seats.values_mut().find(|seat| seat.listens_at(port));
            if let Some(seat) = seat {
                seat.hear(now(), (datagram.from, port), &datagram.bytes, supplies);
            }
        }
    }

    /// Does what is due everywhere, and lets go of what is over.
    fn visit(&mut self, supplies: &mut Supplies) {
        let now = now();
        let mut over = Vec::new();
        for (number, seat) in &mut self.seats {
            self.meter.visits.fetch_add(1, Ordering::Relaxed);
            match seat.visit(now, supplies) {
                Life::Alive => {}
                Life::Closed => over.push(*number),
                Life::Overrun => {
                    self.meter.overruns.fetch_add(1, Ordering::Relaxed);
                    over.push(*number);
                }
            }
        }
        for seat in over.into_iter().filter_map(|number| self.seats.remove(&number)) {
            self.legs.fetch_sub(1, Ordering::Relaxed);
            drop(seat.close(now, supplies));
        }
    }
}

/// The runtime's clock.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn sleep_until(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until.into()).await,
        None => std::future::pending().await,
    }
}
