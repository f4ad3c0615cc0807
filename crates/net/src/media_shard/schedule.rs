//! When each leg of a shard is visited: forty phases of half a millisecond, each repeated every 20 ms.
//! Hides the arithmetic of phases and the spreading of legs over them. Never looks at a leg or a clock.

use std::time::{Duration, Instant};

/// Phases in 20 ms.
pub(super) const PHASES: usize = 40;
/// The length of a phase.
pub(super) const PHASE: Duration = Duration::from_micros(500);
/// How often a leg is visited.
pub(super) const ROUND: Duration = Duration::from_millis(20);

/// How many phases after its time a seat may be visited. Beyond half a round, a visit that is late itself could find two
/// frames due at once, and the caller's audio would wait for longer than the spreading is worth.
const REACH: u64 = PHASES as u64 / 2;

/// Which seats are due in which phase.
pub(super) struct Schedule {
    origin: Instant,
    /// The next step to run, counted in phases since `origin`.
    cursor: u64,
    phases: [Vec<usize>; PHASES],
    seats: usize,
}

impl Schedule {
    pub(super) fn new(origin: Instant) -> Self {
        Self { origin, cursor: 0, phases: std::array::from_fn(|_| Vec::new()), seats: 0 }
    }

    /// Seats placed.
    pub(super) fn len(&self) -> usize {
        self.seats
    }

    /// Places a seat whose work is due at `due`, every 20 ms, in the first phase from then on that is not above the mean
    /// load, or the emptiest within reach. Returns the phase.
    pub(super) fn place(&mut self, seat: usize, due: Instant) -> usize {
        let first = self.step_at_or_after(due);
        let reach = || (0..REACH).map(|ahead| phase_of(first + ahead));
        let load = |phase: &usize| self.phases[*phase].len();
        let chosen = reach()
            .find(|phase| load(phase) * PHASES <= self.seats)
            .or_else(|| reach().min_by_key(load))
            .unwrap_or_else(|| phase_of(first));
        self.phases[chosen].push(seat);
        self.seats += 1;
        chosen
    }

    /// Takes a seat out of its phase.
    pub(super) fn remove(&mut self, seat: usize, phase: usize) {
        let Some(seats) = self.phases.get_mut(phase) else { return };
        if let Some(position) = seats.iter().position(|other| *other == seat) {
            seats.swap_remove(position);
            self.seats -= 1;
        }
    }

    /// When there is something to do next; `None` without seats.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        if self.seats == 0 {
            return None;
        }
        let ahead = (0..PHASES as u64).find(|ahead| !self.phases[phase_of(self.cursor + ahead)].is_empty())?;
        Some(self.time_of(self.cursor + ahead))
    }

    /// The seats of the next phase that is due by `now`, with the time it was due; `None` when all is done. After a stall
    /// every phase comes once, not once per round missed.
    pub(super) fn due(&mut self, now: Instant, seats: &mut Vec<usize>) -> Option<Instant> {
        let current = self.step_at_or_before(now)?;
        self.cursor = self.cursor.max((current + 1).saturating_sub(PHASES as u64));
        while self.cursor <= current {
            let step = self.cursor;
            self.cursor += 1;
            let phase = &self.phases[phase_of(step)];
            if !phase.is_empty() {
                seats.clear();
                seats.extend_from_slice(phase);
                return Some(self.time_of(step));
            }
        }
        None
    }

    fn time_of(&self, step: u64) -> Instant {
        self.origin + Duration::from_micros(step.saturating_mul(PHASE.as_micros() as u64))
    }

    fn step_at_or_before(&self, at: Instant) -> Option<u64> {
        let since = at.checked_duration_since(self.origin)?;
        Some((since.as_micros() / PHASE.as_micros()) as u64)
    }

    fn step_at_or_after(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.origin);
        since.as_nanos().div_ceil(PHASE.as_nanos()) as u64
    }
}

fn phase_of(step: u64) -> usize {
    (step % PHASES as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(origin: Instant, micros: u64) -> Instant {
        origin + Duration::from_micros(micros)
    }

    #[test]
    fn a_burst_of_legs_spreads_evenly() {
        let origin = Instant::now();
        let mut schedule = Schedule::new(origin);
        for seat in 0..400 {
            schedule.place(seat, after(origin, 3_100));
        }
        let loads: Vec<_> = schedule.phases.iter().map(Vec::len).filter(|load| *load > 0).collect();
        assert_eq!(loads, [20; 20], "over the half round that follows");
        for seat in 400..800 {
            schedule.place(seat, after(origin, 13_100));
        }
        assert!(schedule.phases.iter().all(|phase| phase.len() == 20));
    }

    #[test]
    fn the_first_leg_waits_less_than_a_phase() {
        let origin = Instant::now();
        let mut schedule = Schedule::new(origin);
        assert_eq!(schedule.place(7, after(origin, 3_100)), 7);
        assert_eq!(schedule.next_wake(), Some(after(origin, 3_500)));
        schedule.remove(7, 7);
        assert_eq!((schedule.next_wake(), schedule.len()), (None, 0));
    }

    #[test]
    fn each_phase_comes_once_a_round_and_once_after_a_stall() {
        let origin = Instant::now();
        let mut schedule = Schedule::new(origin);
        schedule.place(1, after(origin, 0));
        schedule.place(2, after(origin, 10_000));
        let mut seats = Vec::new();
        let mut visits = [0; 3];
        for micros in (0..200_000).step_by(100) {
            while schedule.due(after(origin, micros), &mut seats).is_some() {
                seats.iter().for_each(|seat| visits[*seat] += 1);
            }
        }
        assert_eq!(visits, [0, 10, 10]);
        while schedule.due(after(origin, 1_000_000), &mut seats).is_some() {
            seats.iter().for_each(|seat| visits[*seat] += 1);
        }
        assert_eq!(visits, [0, 11, 11]);
    }
}
