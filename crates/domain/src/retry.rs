//! Trying a single call again. A retry is a call of its own, made in the transaction that ends the one before: so each
//! call keeps one life, one end and one record, and no INVITE is ever repeated. The plan is the campaigns' own.
//!
//! Pure: says what the next call is to be. Never inserts it.

use crate::call::CallPlan;
use crate::campaign::{Flaw, Opening, RetryPlan, Windows};
use crate::{CallId, HangupCause, Moment};
use serde::{Deserialize, Serialize};

/// 2^128 divided by the golden ratio, odd: what lies between the ids of the calls of one chain.
const STRIDE: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

/// How often and when a call that reached nobody is followed by another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retries {
    /// After which ends, how often, after what pauses.
    pub plan: RetryPlan,
    /// The hours in which a retry may ring; none: any.
    pub windows: Option<Windows>,
    /// Which call of the chain this is; the first is 1.
    pub attempt: u32,
    /// The first call of the chain; none: this is it.
    pub first: Option<CallId>,
}

impl Retries {
    /// The retries of a call that is the first of its chain.
    pub const fn new(plan: RetryPlan, windows: Option<Windows>) -> Self {
        Self { plan, windows, attempt: 1, first: None }
    }

    /// Checks what can be judged without looking anything up.
    ///
    /// # Errors
    /// The first [`Flaw`], named below `retry`.
    pub fn check(&self) -> Result<(), Flaw> {
        self.plan.check()?;
        if self.plan.max_attempts < 2 {
            return Err(Flaw::new("retry.max_attempts", "must be 2 or more: the first call counts"));
        }
        let asked = |cause: &HangupCause| matches!(cause, HangupCause::Cancelled | HangupCause::ApiHungUp);
        if self.plan.on.iter().any(asked) {
            let rule = "must not hold cancelled or api_hung_up: who ends a call does not want it again";
            return Err(Flaw::new("retry.on", rule));
        }
        let under = |flaw: Flaw| Flaw::new(format!("retry.{}", flaw.field), flaw.rule);
        self.windows.as_ref().map_or(Ok(()), Windows::check).map_err(under)
    }

    /// Whether this call may ring at `now`: a retry may in its hours alone, the first call at any.
    pub fn opening(&self, now: Moment) -> Opening {
        let windows = self.windows.as_ref().filter(|_| self.attempt > 1);
        windows.map_or(Opening::Open, |windows| windows.opening(now))
    }

    /// When the next call is due after this one ended; none: there is none.
    fn due(&self, cause: HangupCause, ended: Moment, deadline: Option<Moment>) -> Option<Moment> {
        let due = self.plan.next(self.attempt, cause, ended)?;
        let due = match self.windows.as_ref().map(|windows| windows.opening(due)) {
            None | Some(Opening::Open) => due,
            Some(Opening::Closed(until)) => until?,
        };
        deadline.is_none_or(|deadline| due < deadline).then_some(due)
    }
}

impl CallPlan {
    /// The call that follows when this one ended at `ended` with `cause`; none: nothing follows. It has the same id
    /// however often it is asked for.
    pub fn retry_after(&self, cause: HangupCause, ended: Moment) -> Option<Self> {
        let retries = self.retry.as_ref()?;
        let due = retries.due(cause, ended, self.deadline)?;
        let first = retries.first.unwrap_or(self.id);
        let next = Retries { attempt: retries.attempt + 1, first: Some(first), ..retries.clone() };
        let id = CallId::from_entropy(first.bits().wrapping_add(STRIDE.wrapping_mul(u128::from(retries.attempt))));
        Some(Self { id, created: ended, due, retry: Some(next), talks_ms: None, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::AgentProfile;
    use crate::campaign::{Day, Window};
    use crate::{AccountId, AgentId, Origin, PhoneNumber, Telephone, TrunkId, Way};
    use std::collections::BTreeMap;

    /// Tuesday, 2023-11-14 22:13:20 UTC.
    const ENDED: Moment = Moment(1_700_000_000_000);

    fn plan(retry: Option<Retries>) -> CallPlan {
        CallPlan {
            id: CallId::from_entropy(7),
            account: AccountId::new("acme").expect("an id"),
            agent_id: AgentId::new("desk").expect("an id"),
            agent: AgentProfile::default(),
            way: Way::Telephone(Telephone {
                callee: PhoneNumber::parse("+4915112345678").expect("a number"),
                caller: PhoneNumber::parse("+4930123456").expect("a number"),
                trunk: TrunkId::new("main").expect("an id"),
                spare_trunks: Vec::new(),
                spare_callers: Vec::new(),
            }),
            variables: BTreeMap::new(),
            user_data: None,
            thread: None,
            created: Moment(0),
            due: Moment(0),
            deadline: None,
            wait_ms: 0,
            retry,
            origin: Origin::default(),
            campaign: None,
            redaction: crate::Redaction::default(),
            talks_ms: None,
        }
    }

    fn retries(max_attempts: u32, waits_s: &[u64]) -> Retries {
        let on = vec![HangupCause::Busy, HangupCause::NoAnswer];
        Retries::new(RetryPlan { on, max_attempts, waits_s: waits_s.to_vec() }, None)
    }

    #[test]
    fn a_chain_has_its_length_its_pauses_and_an_id_for_each_call() {
        let mut call = plan(Some(retries(4, &[60, 600])));
        let mut seen = vec![call.id];
        for (attempt, wait) in [(2, 60), (3, 600), (4, 600)] {
            let next = call.retry_after(HangupCause::Busy, ENDED).expect("another try");
            assert_eq!(call.retry_after(HangupCause::Busy, ENDED), Some(next.clone()), "the same whoever asks");
            let chain = next.retry.as_ref().expect("the chain goes on");
            assert_eq!((chain.attempt, chain.first), (attempt, Some(CallId::from_entropy(7))));
            assert_eq!(next.due.since(ENDED).as_secs(), wait);
            assert!(!seen.contains(&next.id));
            seen.push(next.id);
            call = next;
        }
        assert_eq!(call.retry_after(HangupCause::Busy, ENDED), None, "four calls altogether");
    }

    #[test]
    fn what_is_not_named_is_not_tried_again() {
        let call = plan(Some(retries(4, &[])));
        for cause in HangupCause::ALL {
            let named = matches!(cause, HangupCause::Busy | HangupCause::NoAnswer);
            assert_eq!(call.retry_after(cause, ENDED).is_some(), named, "{cause:?}");
        }
        assert_eq!(plan(None).retry_after(HangupCause::Busy, ENDED), None);
    }

    #[test]
    fn a_retry_keeps_to_its_hours_and_its_deadline() {
        let days = vec![Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri];
        let weekly = vec![Window { days, from: "09:00".into(), to: "17:00".into() }];
        let windows = Windows { zone: "Europe/Berlin".into(), weekly, holidays: Vec::new() };
        let mut call = plan(Some(Retries { windows: Some(windows), ..retries(2, &[60]) }));
        let next = call.retry_after(HangupCause::Busy, ENDED).expect("tomorrow morning");
        assert_eq!(next.due, Moment(1_700_035_200_000), "Wednesday, 09:00 in Berlin");
        call.deadline = Some(next.due);
        assert_eq!(call.retry_after(HangupCause::Busy, ENDED), None);
        call.deadline = Some(Moment(next.due.millis() + 1));
        assert!(call.retry_after(HangupCause::Busy, ENDED).is_some());
    }

    #[test]
    fn plans_that_cannot_be_kept_are_named() {
        let blamed = |retries: Retries| retries.check().map_err(|flaw| flaw.field);
        assert_eq!(blamed(retries(2, &[60])), Ok(()));
        assert_eq!(blamed(retries(1, &[60])), Err(String::from("retry.max_attempts")));
        assert_eq!(blamed(retries(1, &[])), Err(String::from("retry.max_attempts")));
        assert_eq!(blamed(retries(21, &[])), Err(String::from("retry.max_attempts")));
        assert_eq!(blamed(retries(3, &[31 * 24 * 3600])), Err(String::from("retry.waits_s")));
        let none = Retries::new(RetryPlan { max_attempts: 2, ..RetryPlan::default() }, None);
        assert_eq!(blamed(none), Err(String::from("retry.on")));
        let mut asked = retries(2, &[]);
        asked.plan.on.push(HangupCause::Cancelled);
        assert_eq!(blamed(asked), Err(String::from("retry.on")));
        let windows = Windows { zone: "Mars/Olympus".into(), weekly: Vec::new(), holidays: Vec::new() };
        let odd = Retries { windows: Some(windows), ..retries(2, &[]) };
        assert_eq!(blamed(odd), Err(String::from("retry.windows.zone")));
    }
}
