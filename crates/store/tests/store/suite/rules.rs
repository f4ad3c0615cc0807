//! Rules in the admitting transaction: lists, counts under contention, consents, quotas, places of calls that are due
//! later, and the second judgement when a call is to be dialled.

use crate::suite::{CALLER, NOW, account, admission, answered, call, dialing, equip, later, number, plan};
use callwright_domain::policy::{RulesPatch, Verdict};
use callwright_domain::webhook::Whose;
use callwright_domain::{AccountId, AgentId, HangupCause, Moment, Refusal, Topic, TrunkId, Way, WebhookId};
use callwright_store::{
    Account, Admission, AdmitError, Denial, Ending, Idempotency, Listed, Number, Opened, Permit, Seat, Store,
    StoredConsent,
};
use futures_util::future::join_all;

const CALLEE: &str = "+4915112345678";

async fn rule(store: &Store, owner: &AccountId, json: &str) {
    let rules: RulesPatch = serde_json::from_str(json).unwrap();
    rules.check().unwrap();
    store.put_rules(owner.clone(), None, rules, NOW).await.unwrap();
}

fn refusal(outcome: Result<callwright_store::Admitted, AdmitError>) -> Option<Refusal> {
    match outcome {
        Ok(_) => None,
        Err(AdmitError::Refused(refusal)) => Some(refusal),
        Err(other) => panic!("{other}"),
    }
}

fn denial() -> Denial {
    Denial { number: number(CALLEE), reason: "asked".into() }
}

fn due(owner: &AccountId, id: u128, due: Moment) -> Admission {
    let mut request = admission(owner, id);
    request.plan.due = due;
    request
}

/// The vector `dnc-during-queue`: accepted, put on the list, not dialled.
pub(crate) async fn lists_are_asked_at_accept_and_at_dial(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    for listed in [Listed::Of(acme.clone()), Listed::Everywhere] {
        let id = if listed == Listed::Everywhere { 20 } else { 10 };
        assert_eq!(refusal(store.admit(admission(&acme, id), NOW).await), None);
        assert_eq!(store.deny(listed.clone(), vec![denial(), denial()], NOW).await.unwrap(), 1);
        assert_eq!(store.deny(listed.clone(), vec![denial()], NOW).await.unwrap(), 0);
        assert_eq!(reader.denial(&listed, &number(CALLEE)).await.unwrap(), Some((denial(), NOW)));
        let claimed = store.claim_due(NOW, 10).await.unwrap();
        let again = store.permit(claimed[0].clone(), NOW).await.unwrap();
        assert_eq!(again, Permit::Refused(Refusal::CalleeBlocked));
        let verdicts = reader.verdicts(&acme, call(id)).await.unwrap();
        let told: Vec<_> = verdicts.iter().map(|one| (one.stage.as_str(), one.refusal.as_deref())).collect();
        assert_eq!(told, [("accept", None), ("dial", Some("callee_blocked"))]);
        store.finish(call(id), NOW, Ending::from(HangupCause::CalleeBlocked)).await.unwrap();
        assert_eq!(refusal(store.admit(admission(&acme, id + 1), NOW).await), Some(Refusal::CalleeBlocked));
        let refused = reader.verdicts(&acme, call(id + 1)).await.unwrap();
        assert_eq!(refused[0].refusal.as_deref(), Some("callee_blocked"));
        assert_eq!(refused[0].evidence["facts"]["callee"], if id == 10 { "denied" } else { "denied_everywhere" });
        assert!(store.allow(listed.clone(), number(CALLEE)).await.unwrap());
        assert!(!store.allow(listed, number(CALLEE)).await.unwrap());
    }
    // Another account's list is another list.
    store.deny(Listed::Of(account("evil")), vec![denial()], NOW).await.unwrap();
    assert_eq!(refusal(store.admit(admission(&acme, 30), NOW).await), None);
}

/// 64 at once to one callee of whom three are allowed, and an undialled call gives its count back.
pub(crate) async fn counts_are_exact_under_contention(opened: Opened) {
    let (store, acme) = (opened.store, account("acme"));
    equip(&store, &acme).await;
    rule(&store, &acme, r#"{"callee":{"status":"on","at_most":[{"calls":3,"seconds":60}],"per_day":5}}"#).await;
    for round in 0..10_u128 {
        let at = later(i64::try_from(round).unwrap() * 86_400_000);
        let tasks = (0..64_u128).map(|n| {
            let (store, request) = (store.clone(), due(&acme, round * 100 + n + 1, at));
            tokio::spawn(async move { (request.plan.id, refusal(store.admit(request, at).await)) })
        });
        let mut accepted = Vec::new();
        for outcome in join_all(tasks).await {
            match outcome.unwrap() {
                (id, None) => accepted.push(id),
                (_, Some(why)) => assert_eq!(why, Refusal::CalleeTooOften),
            }
        }
        assert_eq!(accepted.len(), 3, "round {round}");
        // One ends undialled and does not count; the two others were dialled and do.
        for (place, id) in accepted.into_iter().enumerate() {
            if place > 0 {
                store.append(id, vec![(at, dialing(1))]).await.unwrap();
            }
            store.finish(id, at, Ending::from(HangupCause::Cancelled)).await.unwrap();
        }
        let more = |n: u128| due(&acme, round * 100 + 80 + n, at);
        assert_eq!(refusal(store.admit(more(0), at).await), None);
        assert_eq!(refusal(store.admit(more(1), at).await), Some(Refusal::CalleeTooOften));
        store.finish(more(0).plan.id, at, Ending::from(HangupCause::Cancelled)).await.unwrap();
    }
}

/// Who asks has looked at the clock, and before it has the verdict another call is dialled: at a later moment, but it counts.
pub(crate) async fn a_call_that_is_dialled_meanwhile_counts(opened: Opened) {
    let (store, acme) = (opened.store, account("acme"));
    equip(&store, &acme).await;
    for (id, counted, why) in [
        (1_u32, r#"{"callee":{"status":"on","at_most":[{"calls":1,"seconds":60}]}}"#, Refusal::CalleeTooOften),
        (11, r#"{"callee":{"status":"on","per_day":1}}"#, Refusal::CalleeDailyLimit),
        (21, r#"{"caller":{"status":"on","at_most":[{"calls":1,"seconds":60}]}}"#, Refusal::CallerTooOften),
    ] {
        // A day of its own.
        let at = |ms: i64| later(i64::from(id) * 86_400_000 + ms);
        rule(&store, &acme, counted).await;
        assert_eq!(refusal(store.admit(due(&acme, id.into(), at(0)), at(0)).await), None);
        let claimed = store.claim_due(at(30), 10).await.unwrap();
        assert_eq!(store.permit(claimed[0].clone(), at(50)).await.unwrap(), Permit::Granted);
        assert_eq!(refusal(store.admit(due(&acme, u128::from(id) + 1, at(20)), at(20)).await), Some(why));
        store.finish(call(id.into()), at(60), Ending::from(HangupCause::Cancelled)).await.unwrap();
    }
}

/// Many numbers, agents and callees at once, each agent and each callee with a limit: whoever asks gets a verdict, because
/// nobody ever waits for somebody who waits for them.
pub(crate) async fn limits_that_cross_are_exact_and_in_nobodys_way(opened: Opened) {
    let (store, acme) = (opened.store, account("acme"));
    equip(&store, &acme).await;
    let main = TrunkId::new("main").unwrap();
    let callers = [0, 1, 2, 3].map(|n| number(&format!("+49301234560{n}")));
    for caller in &callers {
        store.put_number(Number::new(acme.clone(), caller.clone(), main.clone())).await.unwrap();
    }
    rule(&store, &acme, r#"{"agent_calls":5,"callee":{"status":"on","at_most":[{"calls":1000,"seconds":60}]}}"#).await;
    let agents = ["ada", "bob", "cy"];
    for round in 0..12_u128 {
        let tasks = (0..96_usize).map(|n| {
            let mut request = admission(&acme, round * 100 + n as u128 + 1);
            // Neighbours differ in all three, and no two orders of them are alike.
            let agent = agents[(n * 7 + n / 13) % 3];
            request.plan.agent_id = AgentId::new(agent).unwrap();
            if let Way::Telephone(telephone) = &mut request.plan.way {
                telephone.caller = callers[n % 4].clone();
                telephone.callee = number(&format!("+491511234567{}", (n * 5 + n / 11) % 4));
            }
            let store = store.clone();
            tokio::spawn(async move { (request.plan.id, agent, refusal(store.admit(request, NOW).await)) })
        });
        let mut accepted = Vec::new();
        for outcome in join_all(tasks).await {
            match outcome.unwrap() {
                (id, agent, None) => accepted.push((id, agent)),
                (_, _, Some(why)) => assert_eq!(why, Refusal::AgentBusy),
            }
        }
        for agent in agents {
            assert_eq!(accepted.iter().filter(|(_, of)| *of == agent).count(), 5, "round {round}, {agent}");
        }
        for (id, _) in accepted {
            store.finish(id, NOW, Ending::from(HangupCause::Cancelled)).await.unwrap();
        }
    }
}

pub(crate) async fn an_agent_has_rules_of_its_own(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    let desk = AgentId::new("desk").unwrap();
    let rules: RulesPatch = serde_json::from_str(r#"{"agent_calls":1}"#).unwrap();
    store.put_rules(acme.clone(), Some(desk.clone()), rules.clone(), NOW).await.unwrap();
    assert_eq!(reader.rules(&acme, Some(&desk)).await.unwrap(), Some(rules));
    assert_eq!(reader.rules(&acme, None).await.unwrap(), None);
    assert_eq!(reader.rules(&account("evil"), Some(&desk)).await.unwrap(), None);
    assert_eq!(refusal(store.admit(admission(&acme, 1), NOW).await), None);
    assert_eq!(refusal(store.admit(admission(&acme, 2), NOW).await), Some(Refusal::AgentBusy));
    let other = Admission {
        plan: callwright_domain::CallPlan { agent_id: AgentId::new("b").unwrap(), ..plan(&acme, 3) },
        ..admission(&acme, 3)
    };
    assert_eq!(refusal(store.admit(other, NOW).await), None);
    store.finish(call(1), NOW, Ending::from(HangupCause::Busy)).await.unwrap();
    assert_eq!(refusal(store.admit(admission(&acme, 4), NOW).await), None);
}

pub(crate) async fn consent_is_asked_when_it_is_required(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    let consent = |scope: &str| StoredConsent {
        number: number(CALLEE),
        scope: scope.into(),
        source: "form".into(),
        wording: "w1".into(),
        given: NOW,
        revoked: None,
    };
    assert_eq!(refusal(store.admit(admission(&acme, 1), NOW).await), None);
    rule(&store, &acme, r#"{"consent":{"status":"on","scope":"marketing"}}"#).await;
    assert_eq!(refusal(store.admit(admission(&acme, 2), NOW).await), Some(Refusal::NoConsent));
    store.put_consent(acme.clone(), consent("service")).await.unwrap();
    assert_eq!(refusal(store.admit(admission(&acme, 3), NOW).await), Some(Refusal::NoConsent));
    store.put_consent(acme.clone(), consent("marketing")).await.unwrap();
    assert_eq!(refusal(store.admit(admission(&acme, 4), NOW).await), None);
    assert_eq!(store.revoke_consent(acme.clone(), number(CALLEE), later(5)).await.unwrap(), 2);
    assert_eq!(reader.consents(&acme, &number(CALLEE)).await.unwrap()[0].revoked, Some(later(5)));
    assert_eq!(refusal(store.admit(admission(&acme, 5), NOW).await), Some(Refusal::NoConsent));
    // What was taken back stays taken back when nobody asks for consent any more.
    rule(&store, &acme, "{}").await;
    assert_eq!(refusal(store.admit(admission(&acme, 6), NOW).await), Some(Refusal::NoConsent));
}

/// A hundred calls for tomorrow leave the fifteen places of today free, and take theirs when they are due.
pub(crate) async fn what_is_due_later_holds_no_place(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    let tomorrow = later(86_400_000);
    for id in 1..=100 {
        assert_eq!(refusal(store.admit(due(&acme, id, tomorrow), NOW).await), None);
    }
    assert_eq!(reader.active_calls(&acme, &number(CALLER)).await.unwrap(), 0);
    assert_eq!(refusal(store.admit(admission(&acme, 200), NOW).await), None);
    store.finish(call(200), NOW, Ending::from(HangupCause::Busy)).await.unwrap();
    assert_eq!(store.claim_due(later(86_399_999), 100).await.unwrap(), vec![]);
    let (mut granted, mut waiting) = (0, 0);
    for claimed in store.claim_due(tomorrow, 100).await.unwrap() {
        match store.permit(claimed, tomorrow).await.unwrap() {
            Permit::Granted => granted += 1,
            Permit::Waits(rule) => {
                assert_eq!(rule, Refusal::CallerBusy);
                waiting += 1;
            }
            Permit::Later(until) => panic!("put off until {until:?}"),
            Permit::Moved => panic!("it has one number"),
            Permit::Withdrawn => panic!("it is of no campaign"),
            Permit::Refused(refusal) => panic!("{refusal}"),
            Permit::Over => panic!("none of them ended"),
        }
    }
    assert_eq!((granted, waiting), (15, 85));
    assert_eq!(store.claim_due(Moment(tomorrow.millis() + 1000), 100).await.unwrap(), vec![]);
    // A place that gets free goes to the first in line, and to nobody else.
    store.finish(call(1), tomorrow, Ending::from(HangupCause::Busy)).await.unwrap();
    let line = reader.waiting(tomorrow).await.unwrap().lines.remove(0);
    assert_eq!(store.seat(line.clone(), tomorrow).await.unwrap(), Seat::Taken(call(16)));
    assert_eq!(store.seat(line, tomorrow).await.unwrap(), Seat::Full);
    let claimed = store.claim_due(tomorrow, 100).await.unwrap();
    assert_eq!(claimed.iter().map(|plan| plan.id.bits()).collect::<Vec<_>>(), [16]);
}

/// NOW is 2023-11-14 22:13:20 UTC, 23:13 in Berlin.
pub(crate) async fn calls_out_of_hours_are_refused_or_put_off(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    let hours = |otherwise: &str| {
        format!(
            r#"{{"hours":{{"status":"on","windows":[{{"from":"08:00","to":"21:00"}}],"otherwise":"{otherwise}"}}}}"#
        )
    };
    rule(&store, &acme, &hours("refuse")).await;
    assert_eq!(refusal(store.admit(admission(&acme, 1), NOW).await), Some(Refusal::OutsideCallingHours));
    let clocks = &reader.verdicts(&acme, call(1)).await.unwrap()[0].evidence["clocks"];
    assert_eq!(clocks[0][1], "Tue 2023-11-14 23:13:20");
    rule(&store, &acme, &hours("reschedule")).await;
    assert_eq!(refusal(store.admit(admission(&acme, 2), NOW).await), None);
    let eight = Moment(1_700_031_600_000);
    assert_eq!(reader.call(&acme, call(2)).await.unwrap().unwrap().plan.due, eight);
    let mut hurried = admission(&acme, 3);
    hurried.plan.deadline = Some(later(3_600_000));
    assert_eq!(refusal(store.admit(hurried, NOW).await), Some(Refusal::OutsideCallingHours));
    let claimed = store.claim_due(eight, 10).await.unwrap();
    assert_eq!(store.permit(claimed[0].clone(), eight).await.unwrap(), Permit::Granted);
}

/// What is put off takes no place tonight and is counted among tomorrow's calls; so is what was to be made later.
pub(crate) async fn what_is_put_off_is_judged_for_its_opening(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    let one = Number::new(acme.clone(), number(CALLER), TrunkId::new("main").unwrap());
    store.put_number(Number { max_calls: 1, ..one }).await.unwrap();
    // The only line is busy with a call to the callee; another to somebody else is due in a moment.
    store.admit(admission(&acme, 1), NOW).await.unwrap();
    store.claim_due(NOW, 10).await.unwrap();
    store.append(call(1), vec![(NOW, dialing(1)), (NOW, answered())]).await.unwrap();
    let mut soon = due(&acme, 2, later(1000));
    super::rings(&mut soon.plan, "+4915199999999");
    store.admit(soon, NOW).await.unwrap();
    let hours = r#"{"hours":{"status":"on","windows":[{"from":"08:00","to":"21:00"}],"otherwise":"reschedule"},
        "callee":{"status":"on","per_day":1},"quota":{"status":"on","minutes_per_day":10}}"#;
    rule(&store, &acme, hours).await;
    let eight = Moment(1_700_031_600_000);
    assert_eq!(refusal(store.admit(admission(&acme, 3), NOW).await), None);
    let view = reader.call(&acme, call(3)).await.unwrap().unwrap();
    assert_eq!((view.plan.due, view.plan.talks_ms), (eight, None), "what it may talk is asked tomorrow");
    let told = reader.verdicts(&acme, call(3)).await.unwrap();
    let evidence = &told[0].evidence;
    assert_eq!(
        (evidence["clocks"][0][1].as_str(), evidence["facts"]["counts"][0].as_u64()),
        (Some("Wed 2023-11-15 08:00:00"), Some(0))
    );
    for (id, at) in [(4, NOW), (5, later(3_600_000)), (6, eight)] {
        assert_eq!(refusal(store.admit(due(&acme, id, at), NOW).await), Some(Refusal::CalleeDailyLimit), "{id}");
    }
    let claimed = store.claim_due(later(1000), 10).await.unwrap();
    assert_eq!(store.permit(claimed[0].clone(), later(1000)).await.unwrap(), Permit::Later(eight));
}

pub(crate) async fn quotas_are_used_up(opened: Opened) {
    let (store, acme) = (opened.store, account("acme"));
    equip(&store, &acme).await;
    rule(
        &store,
        &acme,
        r#"{"quota":{"status":"on","cost_per_day":1,"rates":[{"prefix":"+49","micros_per_minute":600000}]}}"#,
    )
    .await;
    for id in 1..=2 {
        assert_eq!(refusal(store.admit(admission(&acme, id), NOW).await), None, "{id}");
        store.append(call(id), vec![(NOW, dialing(1)), (NOW, answered())]).await.unwrap();
        store.finish(call(id), later(60_000), Ending::from(HangupCause::CalleeHungUp)).await.unwrap();
    }
    assert_eq!(refusal(store.admit(admission(&acme, 3), later(60_000)).await), Some(Refusal::QuotaUsedUp));
    let tomorrow = later(86_400_000);
    assert_eq!(refusal(store.admit(due(&acme, 4, tomorrow), tomorrow).await), None);
}

/// 48 calls at once over four numbers, each of four minutes, with ten minutes for all or money for 200 seconds: what is used in
/// the end is that and no more, though each call goes on for an hour.
pub(crate) async fn a_quota_holds_while_calls_are_up(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    let callers = [0, 1, 2, 3].map(|n| number(&format!("+49301234560{n}")));
    for caller in &callers {
        store.put_number(Number::new(acme.clone(), caller.clone(), TrunkId::new("main").unwrap())).await.unwrap();
    }
    let rules = [
        r#"{"quota":{"status":"on","minutes_per_day":10}}"#,
        r#"{"quota":{"status":"on","cost_per_day":1,"rates":[{"prefix":"+49","micros_per_minute":300000}]}}"#,
    ];
    for (day, (rules, all_ms)) in rules.into_iter().zip([600_000, 200_000]).enumerate() {
        rule(&store, &acme, rules).await;
        let at = later(i64::try_from(day).unwrap() * 86_400_000);
        let tasks = (0..48_usize).map(|n| {
            let mut request = due(&acme, (day * 100 + n + 1) as u128, at);
            request.plan.agent.limits.max_duration_s = 240;
            if let Way::Telephone(telephone) = &mut request.plan.way {
                telephone.caller = callers[n % 4].clone();
            }
            let store = store.clone();
            tokio::spawn(async move { (request.plan.id, refusal(store.admit(request, at).await)) })
        });
        let mut accepted = Vec::new();
        for outcome in join_all(tasks).await {
            match outcome.unwrap() {
                (id, None) => accepted.push(id),
                (_, Some(why)) => assert_eq!(why, Refusal::QuotaUsedUp),
            }
        }
        let ended = Moment(at.millis() + 3_600_000);
        for id in accepted {
            store.append(id, vec![(at, dialing(1)), (at, answered())]).await.unwrap();
            store.finish(id, ended, Ending::from(HangupCause::MaxDuration)).await.unwrap();
        }
        let used = reader.usage(&acme, Moment(at.millis() - at.millis() % 86_400_000), ended).await.unwrap();
        assert_eq!(used.iter().map(|day| day.talked_ms).sum::<u64>(), all_ms, "{rules}");
    }
}

/// The same for calls that come to be due together, of which the fourth is asked while three are up. What a call leaves over is
/// another's.
pub(crate) async fn a_quota_holds_for_what_was_due_later(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    rule(&store, &acme, r#"{"quota":{"status":"on","minutes_per_day":10}}"#).await;
    let at = later(60_000);
    for id in 1..=8 {
        let mut request = due(&acme, id, at);
        request.plan.agent.limits.max_duration_s = 240;
        store.admit(request, NOW).await.unwrap();
    }
    let judged = async || {
        let permits = store.claim_due(at, 10).await.unwrap().into_iter().map(|plan| store.permit(plan, at));
        join_all(permits).await.into_iter().map(Result::unwrap).collect::<Vec<_>>()
    };
    let first = judged().await;
    assert_eq!(first.iter().filter(|permit| **permit == Permit::Moved).count(), 3, "{first:?}");
    assert_eq!(first.iter().filter(|permit| **permit == Permit::Refused(Refusal::QuotaUsedUp)).count(), 5);
    assert_eq!(judged().await, [Permit::Granted; 3], "taken again with what they may talk");
    let mut up = Vec::new();
    for id in 1..=8 {
        let plan = reader.call(&acme, call(id)).await.unwrap().unwrap().plan;
        up.extend(plan.talks_ms.map(|granted| (granted, plan.id)));
    }
    up.sort_unstable();
    assert_eq!(up.iter().map(|(granted, _)| *granted).collect::<Vec<_>>(), [120_000, 240_000, 240_000]);
    store.append(up[2].1, vec![(at, dialing(1)), (at, answered())]).await.unwrap();
    let minute = Moment(at.millis() + 60_000);
    store.finish(up[2].1, minute, Ending::from(HangupCause::CalleeHungUp)).await.unwrap();
    let (plan, evidence) = store.try_out(due(&acme, 9, minute), minute).await.unwrap();
    assert_eq!((evidence.verdict, plan.talks_ms), (Verdict::Placed, Some(180_000)));
    assert_eq!((evidence.facts.usage.today_ms, evidence.facts.usage.held_ms), (60_000, 360_000));
}

/// A moved number: the hours are those of the place where its owner is.
pub(crate) async fn a_callee_is_where_the_account_says(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    let hours = r#"{"hours":{"status":"on","windows":[{"from":"08:00","to":"21:00"}]}}"#;
    rule(&store, &acme, hours).await;
    // 23:13 in Berlin, 15:13 in Denver.
    let night = NOW;
    assert_eq!(refusal(store.admit(admission(&acme, 1), night).await), Some(Refusal::OutsideCallingHours));
    store.put_zone(acme.clone(), number(CALLEE), "America/Denver".into(), NOW).await.unwrap();
    assert_eq!(refusal(store.admit(admission(&acme, 2), night).await), None);
    assert_eq!(reader.zone(&acme, &number(CALLEE)).await.unwrap(), Some(("America/Denver".into(), NOW)));
    let verdicts = reader.verdicts(&acme, call(2)).await.unwrap();
    assert_eq!(verdicts[0].evidence["clocks"][0][0], "America/Denver");
    // It is asked again when the call is dialled, and it beats the zone of the rules.
    rule(&store, &acme, &hours.replace("\"status\"", "\"zone\":\"Europe/Berlin\",\"status\"")).await;
    let claimed = store.claim_due(night, 10).await.unwrap();
    assert_eq!(store.permit(claimed[0].clone(), night).await.unwrap(), Permit::Granted);
    // Another account knows nothing of it.
    assert_eq!(reader.zone(&account("evil"), &number(CALLEE)).await.unwrap(), None);
    assert!(!store.delete_zone(account("evil"), number(CALLEE)).await.unwrap());
    assert!(store.delete_zone(acme.clone(), number(CALLEE)).await.unwrap());
    assert_eq!(refusal(store.admit(admission(&acme, 3), night).await), Some(Refusal::OutsideCallingHours));
}

pub(crate) async fn what_is_tried_out_leaves_nothing(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    let one = Number::new(acme.clone(), number(CALLER), TrunkId::new("main").unwrap());
    store.put_number(Number { max_calls: 1, ..one }).await.unwrap();
    let key = Idempotency { key: "once".into(), body_hash: [3; 32] };
    let request = |id| Admission { idempotency: Some(key.clone()), ..admission(&acme, id) };
    for id in 1..=3 {
        let (plan, evidence) = store.try_out(request(id), NOW).await.unwrap();
        assert_eq!((evidence.verdict, evidence.refusal), (Verdict::Placed, None));
        assert_eq!(plan, request(id).plan);
    }
    assert_eq!(refusal(store.admit(request(4), NOW).await), None, "the key and the place were free");
    let (_, evidence) = store.try_out(admission(&acme, 5), NOW).await.unwrap();
    assert_eq!((evidence.verdict, evidence.refusal), (Verdict::Refused, Some(Refusal::CallerBusy)));
    assert_eq!((evidence.facts.caller_active, evidence.facts.caller_limit), (1, 1));
    let mut patient = admission(&acme, 6);
    patient.plan.wait_ms = 1000;
    assert_eq!(store.try_out(patient, NOW).await.unwrap().1.verdict, Verdict::Waits);
    for id in [1, 2, 3, 5, 6] {
        assert_eq!(reader.call(&acme, call(id)).await.unwrap(), None);
        assert_eq!(reader.verdicts(&acme, call(id)).await.unwrap(), []);
    }
}

/// More than one statement's worth, with reasons of their own, some of it twice.
pub(crate) async fn a_long_list_is_taken_and_asked(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    let listed = Listed::Of(acme);
    let denials = |range: std::ops::Range<u32>| -> Vec<Denial> {
        let one = |n: u32| Denial {
            number: number(&format!("+1415{n:07}")),
            reason: if n % 1000 == 7 { format!("asked, {n}") } else { String::new() },
        };
        range.map(one).collect()
    };
    assert_eq!(store.deny(listed.clone(), denials(0..25_000), NOW).await.unwrap(), 25_000);
    assert_eq!(store.deny(listed.clone(), denials(24_000..26_000), later(5)).await.unwrap(), 1_000);
    for n in [0, 7, 9_999, 10_000, 24_500, 25_999] {
        let (denial, added) = reader.denial(&listed, &number(&format!("+1415{n:07}"))).await.unwrap().unwrap();
        assert_eq!((&denial, added), (&denials(n..n + 1)[0], if n < 25_000 { NOW } else { later(5) }));
    }
    assert_eq!(reader.denial(&listed, &number("+14150026000")).await.unwrap(), None);
}

pub(crate) async fn who_comes_near_a_limit_is_told_once(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    store.put_account(Account { id: acme.clone(), name: String::new(), max_calls: 5 }).await.unwrap();
    rule(&store, &acme, r#"{"quota":{"status":"on","minutes_per_day":10,"minutes":1000}}"#).await;
    store.put_webhook(super::outbox::webhook(&acme, "all", Whose::Account)).await.unwrap();
    let told = async || {
        let page = reader.deliveries(&acme, &WebhookId::new("all").unwrap(), None, None, 100).await.unwrap();
        let alarms = page.items.into_iter().filter(|item| item.topic == Topic::LimitNear);
        alarms.map(|item| item.message).collect::<std::collections::BTreeSet<_>>()
    };
    let talk = async |id: u128, at: Moment, minutes: i64| {
        store.admit(due(&acme, id, at), at).await.unwrap();
        store.append(call(id), vec![(at, dialing(1)), (at, answered())]).await.unwrap();
        let ended = Moment(at.millis() + minutes * 60_000);
        store.finish(call(id), ended, Ending::from(HangupCause::CalleeHungUp)).await.unwrap();
    };
    talk(1, NOW, 7).await;
    assert!(told().await.is_empty());
    talk(2, NOW, 1).await;
    talk(3, NOW, 1).await;
    assert_eq!(told().await.len(), 1, "{:?}", told().await);
    talk(4, later(86_400_000), 9).await;
    assert_eq!(told().await.len(), 2, "another day");
    rule(&store, &acme, "{}").await;
    for id in 10..13 {
        store.admit(admission(&acme, id), NOW).await.unwrap();
    }
    assert_eq!(told().await.len(), 2, "three of five");
    for id in 13..15 {
        store.admit(admission(&acme, id), NOW).await.unwrap();
    }
    let all = told().await;
    assert_eq!(all.iter().filter(|id| id.starts_with("msg_limit_calls_5_")).count(), 1, "{all:?}");
}
