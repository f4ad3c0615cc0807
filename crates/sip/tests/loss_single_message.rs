//! Loss of any single message, once, twice and for ever: two user agents on a virtual clock (BARS R51).

mod support;

use std::time::{Duration, Instant};

use callwright_sip::{Answered, Body, Confirmed, Event, HangupCause, Incoming, OutboundInvite, Reliability};
use support::{SDP, Side, World, invite, secs, trunk};

/// What the two applications do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Play {
    /// 180 after 1 s, answered after 3 s, the caller says goodbye after 5 s of talk.
    Talk,
    /// As before, with a reliable 183 with early media in between.
    Reliable,
    /// It rings until the caller's ring limit of 10 s.
    Cancel,
}

/// How it ended at one side.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Failed(HangupCause),
    Ended(HangupCause),
}

#[derive(Default)]
struct Held {
    confirmed: Option<Confirmed>,
    incoming: Option<Incoming>,
    answered: Option<Answered>,
    ends: Vec<End>,
    talked: bool,
}

struct Run {
    caller: Vec<End>,
    callee: Vec<End>,
    talked: bool,
    log: Vec<String>,
}

fn run(play: Play, lost: &str, times: usize) -> Run {
    let lost = lost.to_owned();
    let mut left = times;
    let mut world = World::new(Box::new(move |_, label| {
        let hit = label == lost && left > 0;
        left -= usize::from(hit);
        hit
    }));
    let plan = OutboundInvite {
        reliability: if play == Play::Reliable { Reliability::Offered } else { Reliability::Off },
        session_expires: Some(90),
        ring_timeout: if play == Play::Cancel { secs(10) } else { secs(60) },
        ..invite(trunk())
    };
    drop(world.caller.invite(world.now, plan).expect("sent"));
    let mut caller = Held::default();
    let mut callee = Held::default();
    let mut agenda: Vec<(Instant, &str)> = Vec::new();
    let end = world.start + secs(600);
    while world.now < end {
        let next = agenda.iter().map(|entry| entry.0).min().unwrap_or(end);
        while world.step(next) {
            listen(&mut world, play, (&mut caller, &mut callee), &mut agenda);
            if agenda.iter().any(|entry| entry.0 < next) {
                break;
            }
        }
        let due: Vec<_> = agenda.iter().filter(|entry| entry.0 <= world.now).map(|entry| entry.1).collect();
        agenda.retain(|entry| entry.0 > world.now);
        for act in due {
            perform(&mut world, act, (&mut caller, &mut callee));
        }
        listen(&mut world, play, (&mut caller, &mut callee), &mut agenda);
    }
    assert!(world.caller.live().is_zero(), "caller leaks {:?}\n{}", world.caller.live(), world.log.join("\n"));
    assert!(world.callee.live().is_zero(), "callee leaks {:?}\n{}", world.callee.live(), world.log.join("\n"));
    Run { caller: caller.ends, callee: callee.ends, talked: caller.talked, log: world.log }
}

fn listen(
    world: &mut World,
    play: Play,
    (caller, callee): (&mut Held, &mut Held),
    agenda: &mut Vec<(Instant, &'static str)>,
) {
    let now = world.now;
    let later = |time: Duration| now + time;
    for side in [Side::Caller, Side::Callee] {
        loop {
            let (ua, state) = match side {
                Side::Caller => (&mut world.caller, &mut *caller),
                Side::Callee => (&mut world.callee, &mut *callee),
            };
            let Some(event) = ua.poll_event() else {
                break;
            };
            match event {
                Event::Incoming { handle, .. } => {
                    state.incoming = Some(handle);
                    agenda.push((later(secs(1)), if play == Play::Reliable { "early" } else { "ring" }));
                    match play {
                        Play::Cancel => agenda.push((later(secs(200)), "reject")),
                        Play::Talk | Play::Reliable => agenda.push((later(secs(3)), "accept")),
                    }
                }
                Event::Answered { handle, .. } => {
                    state.confirmed = Some(handle);
                    state.talked = true;
                    agenda.push((later(secs(5)), "bye"));
                }
                Event::Established { handle, .. } => state.confirmed = Some(handle),
                Event::Failed { failure, .. } => state.ends.push(End::Failed(failure.cause)),
                Event::Ended { ending, .. } => state.ends.push(End::Ended(ending.cause)),
                _ => {}
            }
        }
    }
}

fn perform(world: &mut World, act: &str, (caller, callee): (&mut Held, &mut Held)) {
    let now = world.now;
    match act {
        "ring" => world.callee.ring(now, callee.incoming.as_ref().expect("rings"), 180, None),
        "early" => world.callee.ring(now, callee.incoming.as_ref().expect("rings"), 183, Some(Body::sdp(SDP))),
        "accept" => {
            let incoming = callee.incoming.take().expect("rings");
            callee.answered = Some(world.callee.accept(now, incoming, Body::sdp(SDP)));
        }
        "reject" => {
            let incoming = callee.incoming.take().expect("rings");
            world.callee.reject(now, incoming, 480);
        }
        "bye" => {
            if let Some(confirmed) = caller.confirmed.take() {
                world.caller.bye(now, confirmed, None);
            }
        }
        other => panic!("unknown act {other}"),
    }
}

fn check(play: Play, lost: &str, times: usize, talked: bool, caller: End, callee: &[End]) {
    let run = run(play, lost, times);
    let what = format!("{play:?}, {lost} lost {times} times:\n{}", run.log.join("\n"));
    assert_eq!(run.caller, [caller], "caller: {what}");
    assert_eq!(run.callee, callee, "callee: {what}");
    assert_eq!(run.talked, talked, "{what}");
}

const EVER: usize = usize::MAX;
const NORMAL: End = End::Ended(HangupCause::Normal);

#[test]
fn nothing_lost() {
    check(Play::Talk, "nothing", 0, true, NORMAL, &[NORMAL]);
    check(Play::Reliable, "nothing", 0, true, NORMAL, &[NORMAL]);
    check(
        Play::Cancel,
        "nothing",
        0,
        false,
        End::Failed(HangupCause::NoAnswer),
        &[End::Failed(HangupCause::Cancelled)],
    );
}

#[test]
fn once_and_twice_change_nothing() {
    for times in [1, 2] {
        for lost in ["INVITE", "100 INVITE", "180 INVITE", "200 INVITE", "ACK", "BYE", "200 BYE"] {
            check(Play::Talk, lost, times, true, NORMAL, &[NORMAL]);
        }
        for lost in ["INVITE", "183 INVITE", "PRACK", "200 PRACK", "200 INVITE", "ACK", "BYE", "200 BYE"] {
            check(Play::Reliable, lost, times, true, NORMAL, &[NORMAL]);
        }
        for lost in ["INVITE", "180 INVITE", "CANCEL", "200 CANCEL", "487 INVITE", "ACK"] {
            let cancelled = [End::Failed(HangupCause::Cancelled)];
            check(Play::Cancel, lost, times, false, End::Failed(HangupCause::NoAnswer), &cancelled);
        }
    }
}

#[test]
fn for_ever() {
    let failed = End::Failed;
    check(Play::Talk, "INVITE", EVER, false, failed(HangupCause::NoResponse), &[]);
    check(Play::Talk, "100 INVITE", EVER, true, NORMAL, &[NORMAL]);
    check(Play::Talk, "180 INVITE", EVER, true, NORMAL, &[NORMAL]);
    check(Play::Talk, "200 INVITE", EVER, false, failed(HangupCause::NoAnswer), &[failed(HangupCause::Timeout)]);
    check(Play::Talk, "ACK", EVER, true, NORMAL, &[NORMAL]);
    check(Play::Talk, "BYE", EVER, true, NORMAL, &[End::Ended(HangupCause::SessionExpired)]);
    check(Play::Talk, "200 BYE", EVER, true, NORMAL, &[NORMAL]);

    let no_prack = failed(HangupCause::Timeout);
    check(
        Play::Reliable,
        "183 INVITE",
        EVER,
        false,
        failed(HangupCause::TrunkFailure),
        std::slice::from_ref(&no_prack),
    );
    check(Play::Reliable, "PRACK", EVER, false, failed(HangupCause::TrunkFailure), std::slice::from_ref(&no_prack));
    check(Play::Reliable, "200 PRACK", EVER, true, NORMAL, &[NORMAL]);

    let no_answer = failed(HangupCause::NoAnswer);
    check(Play::Cancel, "CANCEL", EVER, false, no_answer.clone(), &[]);
    check(Play::Cancel, "200 CANCEL", EVER, false, no_answer.clone(), &[failed(HangupCause::Cancelled)]);
    check(Play::Cancel, "487 INVITE", EVER, false, no_answer, &[failed(HangupCause::Cancelled)]);
}
