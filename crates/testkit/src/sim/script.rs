//! What happens in one simulation, all of it chosen from its seed before it begins: who is called and how each callee
//! behaves, the weather on the network, how slow the disk is, what receivers and vendors do, when the node dies, how the
//! clock jumps. Never looks at what the node does.

use super::dice::Dice;
use super::telephone::Temper;
use callwright_engine::Failpoint;

/// Everything that is chosen.
#[derive(Debug, Clone)]
pub(super) struct Script {
    pub(super) seed: u64,
    pub(super) requests: Vec<Request>,
    /// Calls that the caller number may have at once.
    pub(super) cap: u32,
    /// Calls that the node may have at once.
    pub(super) room: u32,
    /// INVITEs a second of the trunk; 0: as many as come.
    pub(super) pace: u32,
    /// Seconds between questions whether the trunk is alive; 0: none.
    pub(super) ask_every: u32,
    pub(super) weather: Weather,
    pub(super) disk: Disk,
    pub(super) receiver: Receiver,
    pub(super) vendors: Vendors,
    /// How each life but the last ends, and how long the node then lies dead.
    pub(super) deaths: Vec<Death>,
    /// When the wall clock jumps, and how far, in milliseconds.
    pub(super) jumps: Vec<(u64, i64)>,
    /// Until when no goodbye comes to the trunk, in milliseconds.
    pub(super) deaf: u64,
    /// When all trouble ends, in milliseconds: what is still open then must come to its end.
    pub(super) calm: u64,
}

/// One request for a call.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// When it is made.
    pub(super) at: u64,
    /// How long after that it is to be dialled; 0: at once.
    pub(super) due_in: u64,
    pub(super) temper: Temper,
    /// How long after the request its call is hung up by another one.
    pub(super) hang_up_after: Option<u64>,
    pub(super) terms: Terms,
}

/// What a client allows its call.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Terms {
    /// How long it may wait for a place; 0: it is refused when there is none.
    pub(super) wait: u64,
    /// How often it is tried altogether, and the pause between, in seconds.
    pub(super) tries: Option<(u32, u64)>,
    /// How long after it is due it may still be dialled.
    pub(super) deadline: Option<u64>,
    /// How long after the request its callee is put on the deny list.
    pub(super) denied_after: Option<u64>,
}

impl Terms {
    fn of(dice: &mut Dice) -> Self {
        Self {
            wait: if dice.chance(30) { dice.from(1_000, 20_000) } else { 0 },
            tries: dice.chance(30).then(|| (dice.pick(&[2, 3]), dice.from(1, 4))),
            deadline: dice.chance(15).then(|| dice.from(500, 10_000)),
            denied_after: dice.chance(20).then(|| dice.from(0, 8_000)),
        }
    }

    /// Calls that a request may make.
    pub(super) const fn most_calls(&self) -> usize {
        match self.tries {
            Some((tries, _)) => tries as usize,
            None => 1,
        }
    }
}

/// What the network does to each datagram.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weather {
    pub(super) loss: u64,
    pub(super) copies: u64,
    /// Most milliseconds that one takes; those that take different times overtake each other.
    pub(super) delay: u64,
}

/// What the disk does to each transaction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disk {
    /// Most milliseconds before a commit, after it, and before a read.
    pub(super) before: u64,
    pub(super) after: u64,
    pub(super) read: u64,
    /// From when until when it is full, and every commit is refused.
    pub(super) full: Option<(u64, u64)>,
}

/// What a receiver of callbacks does, of a hundred.
#[derive(Debug, Clone, Copy)]
pub(super) struct Receiver {
    /// It refuses.
    pub(super) refuses: u64,
    /// It takes the message and its answer is lost.
    pub(super) mute: u64,
    /// It lets the sender hang.
    pub(super) hangs: u64,
}

/// What vendors do: the share of phrases, questions and streams that fail, of a hundred.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vendors {
    pub(super) failing: u64,
}

/// The end of a life.
#[derive(Debug, Clone, Copy)]
pub(super) struct Death {
    pub(super) cause: DeathCause,
    /// How long the node lies dead, in milliseconds.
    pub(super) down: u64,
}

/// What a life dies of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeathCause {
    /// So many milliseconds after its beginning.
    At(u64),
    /// When it comes to this place for that time, the first being 1; if it never does, at its calm.
    Point(Failpoint, u64),
    /// When it has sent so many SIP messages.
    Sent(u64),
}

impl Script {
    /// The choices of a seed.
    pub(super) fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let busy = dice.from(8_000, 30_000);
        let wild = dice.chance(60);
        let requests = (0..dice.from(2, 8)).map(|_| request(&mut dice, busy)).collect();
        let deaths =
            if dice.chance(75) { (0..dice.from(1, 3)).map(|_| death(&mut dice, busy)).collect() } else { vec![] };
        let jumps =
            if dice.chance(30) { (0..dice.from(1, 3)).map(|_| jump(&mut dice, busy)).collect() } else { vec![] };
        let full = dice.chance(20).then(|| dice.from(1_000, busy)).map(|from| (from, from + dice.from(500, 8_000)));
        Self {
            seed,
            requests,
            cap: u32::try_from(dice.from(1, 6)).unwrap_or(1),
            room: u32::try_from(dice.from(1, 20)).unwrap_or(1),
            pace: dice.pick(&[0, 0, 1, 5]),
            ask_every: dice.pick(&[0, 10]),
            weather: if wild {
                Weather { loss: dice.from(0, 30), copies: dice.from(0, 10), delay: dice.from(1, 300) }
            } else {
                Weather { loss: 0, copies: 0, delay: 5 }
            },
            disk: Disk {
                before: dice.pick(&[0, 1, 20, 200]),
                after: dice.pick(&[0, 1, 20]),
                read: dice.pick(&[0, 0, 5]),
                full,
            },
            receiver: Receiver {
                refuses: dice.pick(&[0, 30]),
                mute: dice.pick(&[0, 10]),
                hangs: dice.pick(&[0, 0, 10]),
            },
            vendors: Vendors { failing: dice.pick(&[0, 0, 15]) },
            deaths,
            jumps,
            deaf: 0,
            calm: busy + 5_000,
        }
    }

    /// A quiet day on which the node dies at one place, on the way through `seed`'s calls.
    pub(super) fn dying_at(point: Failpoint, time: u64, seed: u64) -> Self {
        let mut script = Self::of(seed);
        let tempers = [Temper::talks(300, Some(2_000)), Temper::talks(500, None), Temper::Refuses(486, 200)];
        let requests = tempers.into_iter().cycle().take(4).enumerate();
        script.requests = requests.map(|(turn, temper)| Request::plain(200 * turn as u64, temper, None)).collect();
        (script.cap, script.room, script.jumps) = (10, 10, Vec::new());
        script.disk.full = None;
        let at = |cause| Death { cause, down: 700 };
        script.deaths = vec![at(DeathCause::Point(point, time))];
        if point == Failpoint::GhostDismissed {
            // Ghosts are dismissed after a death with calls up.
            script.deaths.insert(0, at(DeathCause::At(1_500)));
        }
        script.calm = 12_000;
        script
    }
}

impl Script {
    /// A quiet day on which no goodbye comes to the trunk before the node has died twice: of a call that was hung up, of one
    /// whose answer was of no use, of one that was up when the node died. It dies first when it has sent `sent` messages; 0:
    /// after some seconds.
    pub(super) fn unheard_goodbyes(sent: u64) -> Self {
        let mut script = Self::dying_at(Failpoint::EndStored, u64::MAX, 1);
        script.requests = vec![
            Request::plain(0, Temper::talks(100, None), Some(1_500)),
            Request::plain(0, Temper::Nonsense(100), None),
            Request::plain(0, Temper::talks(100, None), None),
        ];
        let first = if sent == 0 { DeathCause::At(2_500) } else { DeathCause::Sent(sent) };
        script.deaths = [first, DeathCause::At(1_500)].map(|cause| Death { cause, down: 700 }).into();
        (script.weather, script.pace, script.deaf) = (Weather { loss: 0, copies: 0, delay: 5 }, 0, 5_000);
        script.ask_every = 0;
        script
    }
}

impl Request {
    /// One without terms.
    fn plain(at: u64, temper: Temper, hang_up_after: Option<u64>) -> Self {
        Self { at, due_in: 0, temper, hang_up_after, terms: Terms::default() }
    }
}

fn request(dice: &mut Dice, busy: u64) -> Request {
    Request {
        at: dice.from(0, busy),
        due_in: if dice.chance(25) { dice.from(500, 8_000) } else { 0 },
        temper: Temper::of(dice),
        hang_up_after: dice.chance(25).then(|| dice.from(0, 6_000)),
        terms: Terms::of(dice),
    }
}

fn death(dice: &mut Dice, busy: u64) -> Death {
    let cause = match dice.from(0, 3) {
        0 => DeathCause::At(dice.from(300, busy)),
        1 => DeathCause::Sent(dice.from(1, 20)),
        _ => DeathCause::Point(dice.pick(&Failpoint::ALL), dice.from(1, 4)),
    };
    Death { cause, down: dice.from(0, 4_000) }
}

fn jump(dice: &mut Dice, busy: u64) -> (u64, i64) {
    const MINUTE: i64 = 60_000;
    let far = dice.pick(&[-24 * 60 * MINUTE, -60 * MINUTE, -MINUTE, MINUTE, 60 * MINUTE, 24 * 60 * MINUTE]);
    (dice.from(0, busy), far)
}
