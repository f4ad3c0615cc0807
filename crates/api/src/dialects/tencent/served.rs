//! Who served a callee whom the agent handed over: whoever answered at the number of the desk that the skill group is. Never
//! knows how somebody is handed over.

use super::leading::desks_of;
use super::reads::{recording, seconds};
use super::words::VendorError;
use super::{Asked, numbers};
use callwright_domain::call::Recorded;
use callwright_domain::{AccountId, CallEvent, CallState, HangupCause, Moment, TransferTarget};
use callwright_store::CallView;
use serde_json::{Value, json};

/// Most events of a call that are looked through; a transfer is among the last of a long one, and would be missed.
const EVENTS: u32 = 20_000;

/// One that took a callee over.
struct Served {
    /// Whom the agent called, as it was dialled.
    to: String,
    began: Moment,
    answered: Moment,
}

/// The members of `ServeParticipants`; none: the agent alone talked.
pub(super) async fn participants(asked: &Asked<'_>, view: &CallView) -> Result<Vec<Value>, VendorError> {
    let handed = matches!(view.state, CallState::Transferring | CallState::Ended(HangupCause::Transferred));
    if !handed {
        return Ok(Vec::new());
    }
    let account = &asked.key.account;
    let journal = asked.context.calls.reader().journal(account, view.plan.id, 0, EVENTS).await?;
    let Some(Served { to, began, answered }) = served(&journal) else { return Ok(Vec::new()) };
    let link = recording(asked, view);
    let number = TransferTarget::parse(&to).ok().and_then(|target| target.number());
    Ok(vec![json!({
        "Mail": "",
        "Phone": number.as_ref().map_or(to.clone(), numbers::shown),
        "StartTimestamp": seconds(Some(began)),
        "RingTimestamp": seconds(Some(began)),
        "AcceptTimestamp": seconds(Some(answered)),
        "EndedTimestamp": seconds(view.timeline.ended),
        "RecordId": if link.is_empty() { String::new() } else { view.plan.id.to_string() },
        "RecordURL": link,
        "CustomRecordURL": "",
        "Type": "staffSeat",
        "TransferFrom": "",
        "TransferFromType": "",
        "TransferTo": "",
        "TransferToType": "",
        "SkillGroupId": group(asked, account, view, &to).await?,
        "SkillGroupName": "",
        "EndStatusString": "ok",
        "Sequence": 0,
    })])
}

/// The one whom the callee was last handed over to, when that worked. A trunk that hands over by itself tells of the answer by
/// the end.
fn served(journal: &[Recorded]) -> Option<Served> {
    let mut last: Option<Served> = None;
    for Recorded { at, event, .. } in journal {
        if let CallEvent::Transferring { to } = event {
            last = Some(Served { to: to.expose().clone(), began: *at, answered: Moment(0) });
        } else if matches!(event, CallEvent::TransferEnded { .. }) {
            last = None;
        } else if let Some(served) = last.as_mut().filter(|served| served.answered == Moment(0))
            && matches!(
                event,
                CallEvent::TransferAnswered { .. } | CallEvent::Ended { cause: HangupCause::Transferred, .. }
            )
        {
            served.answered = *at;
        }
    }
    last.filter(|served| served.answered != Moment(0))
}

/// The skill group whose desk is there; 0: none is.
async fn group(asked: &Asked<'_>, account: &AccountId, view: &CallView, to: &str) -> Result<i64, VendorError> {
    let mut desks = desks_of(asked.context, account, None).await?;
    desks.append(&mut desks_of(asked.context, account, Some(&view.plan.agent_id)).await?);
    let there = desks.iter().filter(|(_, target)| target.dial() == to);
    Ok(there.filter_map(|(name, _)| name.as_str().parse().ok()).next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use callwright_domain::Pii;

    fn journal(events: Vec<CallEvent>) -> Vec<Recorded> {
        let numbered = (1..).zip(events);
        numbered
            .map(|(seq, event)| Recorded { seq, at: Moment(1000 * i64::try_from(seq).expect("few")), event })
            .collect()
    }

    #[test]
    fn the_last_who_answered_has_served() {
        let to = |number: &str| CallEvent::Transferring { to: Pii::new(number.to_owned()) };
        let failed = || CallEvent::TransferEnded { reason: String::from("busy") };
        let answered = || CallEvent::TransferAnswered { dialog: String::new() };
        let ended = |cause| CallEvent::Ended { cause, status: None, q850: None };
        let found = |events| served(&journal(events)).map(|served| (served.to, served.began.0, served.answered.0));
        let transferred = HangupCause::Transferred;
        assert_eq!(
            found(vec![to("1"), failed(), to("2"), answered(), ended(transferred)]),
            Some(("2".into(), 3000, 4000))
        );
        assert_eq!(found(vec![to("1"), ended(transferred)]), Some(("1".into(), 1000, 2000)));
        assert_eq!(found(vec![to("1"), failed(), ended(HangupCause::CalleeHungUp)]), None);
        assert_eq!(found(vec![to("1")]), None);
    }
}
