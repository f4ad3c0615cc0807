//! What must hold when all is done, whatever happened: the promises of the server, looked at from outside. Never changes
//! anything.

use super::life::{HOOK, Living, account, request_of};
use super::telephone::Temper;
use super::world::{Known, World};
use crate::node::CALLER;
use callwright_domain::call::Timeline;
use callwright_domain::{CallEvent, CallId, CallState, HangupCause, PhoneNumber, Recorded, WebhookId};
use callwright_store::outbox::Standing;
use callwright_store::{CallFilter, CallView, Page};
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::{Duration, sleep};

/// Most items read of anything.
const MANY: u32 = 1_000;
/// How long a call that was judged may take until its intent is written.
const UNDER_WAY: Duration = Duration::from_secs(1);
/// Time for the last farewells: SIP repeats a BYE, and an answer that nobody acknowledges, for a little over 32 s.
const FAREWELLS: Duration = Duration::from_secs(45);

/// What has not come to its end.
pub(super) async fn still_open(world: &World, living: &Living) -> Vec<String> {
    let mut open = Vec::new();
    let asked = {
        let state = world.lock();
        let unknown = state.known.iter().enumerate().filter(|(_, known)| **known == Known::Nothing);
        unknown.map(|(number, _)| format!("request {number}")).collect::<Vec<_>>()
    };
    open.extend(asked);
    for view in calls(living).await {
        if !view.state.is_ended() {
            open.push(format!("call {} is {:?}", view.plan.id, view.state));
        }
    }
    let hook = WebhookId::new(HOOK).expect("a webhook id");
    let reader = living.calls.reader();
    let waiting = reader.deliveries(&account(), &hook, Some(Standing::Pending), None, 1).await.expect("readable");
    open.extend(waiting.items.first().map(|delivery| format!("message {}", delivery.message)));
    open
}

/// Everything.
pub(super) async fn everything(world: &World, living: &Living) {
    let views = calls(living).await;
    let mut journals = BTreeMap::new();
    for view in &views {
        let reader = living.calls.reader();
        let journal = reader.journal(&account(), view.plan.id, 0, MANY).await.expect("readable");
        for recorded in &journal {
            world.note(&format!("= {} {} {}", view.plan.id, recorded.seq, recorded.event.name()));
        }
        one_call(world, view, &journal);
        terms(world, view, &journal);
        records(world, living, view).await;
        journals.insert(view.plan.id, journal);
    }
    requests(world, &views);
    wire(world, &views, &journals);
    answers(world, &journals);
    telling(world, &journals);
    leaks(world, living).await;
}

async fn calls(living: &Living) -> Vec<CallView> {
    let reader = living.calls.reader();
    let Page { items, .. } = reader.calls(&account(), &CallFilter::default(), None, MANY).await.expect("readable");
    items
}

/// One end; places in order; the view is what the journal says.
fn one_call(world: &World, view: &CallView, journal: &[Recorded]) {
    let call = view.plan.id;
    let ends = journal.iter().filter(|recorded| matches!(recorded.event, CallEvent::Ended { .. })).count();
    if ends != 1 {
        world.fault(format!("call {call} has {ends} ends"));
    }
    let (mut state, mut timeline) = (CallState::Queued, Timeline::default());
    for (place, recorded) in (1..).zip(journal) {
        if recorded.seq != place {
            world.fault(format!("call {call} has event {} in place {place}", recorded.seq));
        }
        match state.apply(&recorded.event) {
            Ok(next) => state = next,
            Err(error) => world.fault(format!("call {call}: {error}")),
        }
        timeline = timeline.with(recorded.at, &recorded.event);
    }
    let last = journal.last().map_or(0, |recorded| recorded.seq);
    if (state, last) != (view.state, view.last_seq) || timeline != view.timeline {
        world.fault(format!(
            "call {call} is not what its journal says: {state:?} at {last}, {:?} at {}",
            view.state, view.last_seq
        ));
    }
}

/// A call is tried again as often as its plan has it and no more, is not dialled after its deadline, and waits for a place
/// as long as it may.
fn terms(world: &World, view: &CallView, journal: &[Recorded]) {
    let (call, plan) = (view.plan.id, &view.plan);
    if let (Some(retries), Some(cause)) = (&plan.retry, view.cause) {
        let again = retries.plan.on.contains(&cause) && retries.attempt < retries.plan.max_attempts;
        if view.next.is_some() != again && (plan.deadline.is_none() || !again) {
            world.fault(format!(
                "call {call}, try {} ended as {cause:?}, is followed by {:?}",
                retries.attempt, view.next
            ));
        }
    } else if view.next.is_some() {
        world.fault(format!("call {call} is tried again and was not to be"));
    }
    let dialled = journal.iter().find(|recorded| matches!(recorded.event, CallEvent::Dialing { .. }));
    let ended = journal.iter().find(|recorded| matches!(recorded.event, CallEvent::Ended { .. }));
    match view.cause {
        Some(HangupCause::Expired) if plan.deadline.is_none() || dialled.is_some() => {
            world.fault(format!("call {call} has expired and could not"));
        }
        Some(HangupCause::NoPlace) if dialled.is_some() => {
            world.fault(format!("call {call} found no place and had one"));
        }
        _ => {}
    }
    if !world.lock().script.jumps.is_empty() {
        // By a clock that is set nothing can be said of when things happened.
        return;
    }
    if let (Some(deadline), Some(dialled)) = (plan.deadline, dialled)
        && dialled.at > deadline.after(UNDER_WAY)
    {
        world.fault(format!("call {call} was dialled {:?} after its deadline", dialled.at.since(deadline)));
    }
    if let (Some(HangupCause::NoPlace), Some(ended)) = (view.cause, ended)
        && ended.at < plan.waits_until(plan.created)
    {
        world.fault(format!("call {call} did not wait for a place as long as it may"));
    }
}

/// A record for each attempt, and no other.
async fn records(world: &World, living: &Living, view: &CallView) {
    let call = view.plan.id;
    let records = living.calls.reader().records(&account(), call).await.expect("readable");
    let attempts: Vec<u32> = records.iter().map(|record| record.attempt).collect();
    let expected: Vec<u32> = if view.attempts == 0 { vec![0] } else { (1..=view.attempts).collect() };
    if attempts != expected {
        world.fault(format!("call {call} has records of attempts {attempts:?}, not {expected:?}"));
    }
    if records.last().map(|record| record.cause) != view.cause {
        world.fault(format!("the last record of call {call} tells another cause"));
    }
}

/// Each accepted request has its call, and no call has nobody's request or two.
fn requests(world: &World, views: &[CallView]) {
    let known = world.lock().known.clone();
    let stored: BTreeSet<CallId> = views.iter().map(|view| view.plan.id).collect();
    for (number, known) in known.iter().enumerate() {
        if let Known::Accepted(call) = known
            && !stored.contains(call)
        {
            world.fault(format!("call {call} of request {number} was accepted and is lost"));
        }
        let calls = views.iter().filter(|view| request_of(view.plan.callee_dialled()) == Some(number)).count();
        let terms = world.lock().script.requests.get(number).map_or(1, |request| request.terms.most_calls());
        let most = if *known == Known::Refused { 0 } else { terms };
        if calls > most {
            world.fault(format!("request {number} made {calls} calls"));
        }
    }
}

/// What was dialled was written down before, and nobody is left hanging on the line.
fn wire(world: &World, views: &[CallView], journals: &BTreeMap<CallId, Vec<Recorded>>) {
    let dialled = world.lock().dialled.clone();
    for (user, ids) in &dialled {
        let calls = views
            .iter()
            .filter(|view| view.plan.callee_dialled().trim_start_matches('+') == user.trim_start_matches('+'));
        let intents: BTreeSet<&str> = calls
            .filter_map(|view| journals.get(&view.plan.id))
            .flatten()
            .filter_map(|recorded| match &recorded.event {
                CallEvent::Dialing { intent } => Some(intent.call_id.as_str()),
                _ => None,
            })
            .collect();
        let ids = ids.iter().filter_map(|id| id.split(' ').next());
        for id in ids.filter(|id| !intents.contains(id)) {
            world.fault(format!("{id} was dialled and never intended"));
        }
    }
}

/// Whoever answered stands in the journal, however full the disk was meanwhile. Not when the node died, or withdrew the call:
/// for somebody, or because it had rung for long enough.
fn answers(world: &World, journals: &BTreeMap<CallId, Vec<Recorded>>) {
    let state = world.lock();
    if !state.script.deaths.is_empty() {
        return;
    }
    let mut missing = Vec::new();
    for journal in journals.values() {
        let id = journal.iter().find_map(|recorded| match &recorded.event {
            CallEvent::Dialing { intent } => Some(intent.call_id.clone()),
            _ => None,
        });
        let Some(id) = id.filter(|id| state.answers.heard.contains_key(id)) else { continue };
        let useful =
            state.telephones.get(&id).is_some_and(|telephone| !matches!(telephone.temper, Temper::Nonsense(_)));
        let taken = journal.iter().any(|recorded| match &recorded.event {
            CallEvent::Answered { .. } => true,
            CallEvent::Ended { cause, .. } => matches!(cause, HangupCause::Cancelled | HangupCause::NoAnswer),
            _ => false,
        });
        if useful && !taken {
            missing.push(id);
        }
    }
    drop(state);
    for id in missing {
        world.fault(format!("the answer of {id} is not in the journal"));
    }
}

/// Every event was told, in its call's order, under one id.
fn telling(world: &World, journals: &BTreeMap<CallId, Vec<Recorded>>) {
    let heard = world.lock().heard.clone();
    let mut told: BTreeMap<CallId, BTreeSet<u64>> = BTreeMap::new();
    for message in &heard {
        if message.id != format!("msg_{}_{}", message.call, message.seq) {
            world.fault(format!("{} tells event {} of {}", message.id, message.seq, message.call));
        }
        let before = told.entry(message.call).or_default();
        if !before.contains(&message.seq) && (1..message.seq).any(|earlier| !before.contains(&earlier)) {
            world.fault(format!("{} was told before its elders", message.id));
        }
        before.insert(message.seq);
    }
    for (call, journal) in journals {
        for recorded in journal {
            if !told.get(call).is_some_and(|told| told.contains(&recorded.seq)) {
                world.fault(format!("event {} of call {call} was never told", recorded.seq));
            }
        }
    }
}

/// Everything that was held is given back.
async fn leaks(world: &World, living: &Living) {
    let caller = PhoneNumber::parse(CALLER).expect("a number");
    let active = living.calls.reader().active_calls(&account(), &caller).await.expect("readable");
    let trunk = callwright_domain::TrunkId::new("loop").expect("a trunk id");
    let channels = living.calls.trunk_status(&account(), &trunk).map_or(0, |status| status.calls);
    let live = living.calls.readiness().live;
    if (active, channels, live) != (0, 0, 0) {
        world.fault(format!("{active} places, {channels} channels and {live} live calls are not given back"));
    }
}

/// Nobody is left on the line, and nothing of it here, once farewells had their time. The engine may be gone by then.
pub(super) async fn farewells(world: &World, living: &Living) {
    sleep(FAREWELLS).await;
    let counts = living.sip.live().await.expect("signalling lives");
    let legs = living.media.stats().legs;
    if counts.calls > 0 || legs > 0 {
        world.fault(format!("{} SIP calls and {legs} legs are left", counts.calls));
    }
    let ghosts = world.lock().ghosts();
    if !ghosts.is_empty() {
        world.fault(format!("far ends are left on the line: {}", ghosts.join(", ")));
    }
    let sent = world.lock().media_sent();
    world.note(&format!("{sent} media packets were sent"));
}
