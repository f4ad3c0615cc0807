//! What every backend must do, told once: each check gets a freshly opened, empty store.

pub(crate) mod admission;
pub(crate) mod campaigns;
pub(crate) mod configuration;
pub(crate) mod life;

use callwright_domain::agent::Switch;
use callwright_domain::{
    AccountId, AgentId, AgentProfile, CallEvent, CallId, CallPlan, DialIntent, Moment, Origin, PhoneNumber, TrunkId,
};
use callwright_store::{Admission, Number, Store, Trunk, TrunkSettings};
use std::collections::BTreeMap;

pub(crate) const NOW: Moment = Moment(1_700_000_000_000);
pub(crate) const CALLER: &str = "+4930123456";

pub(crate) fn account(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

pub(crate) fn number(text: &str) -> PhoneNumber {
    PhoneNumber::parse(text).unwrap()
}

pub(crate) fn call(id: u128) -> CallId {
    CallId::from_entropy(id)
}

pub(crate) fn later(ms: i64) -> Moment {
    Moment(NOW.millis() + ms)
}

pub(crate) fn plan(owner: &AccountId, id: u128) -> CallPlan {
    CallPlan {
        id: call(id),
        account: owner.clone(),
        agent_id: AgentId::new("desk").unwrap(),
        agent: AgentProfile::default(),
        callee: number("+4915112345678"),
        caller: number(CALLER),
        trunk: TrunkId::new("main").unwrap(),
        spare_trunks: Vec::new(),
        variables: BTreeMap::from([("name".to_owned(), "Ada".to_owned())]),
        user_data: None,
        thread: None,
        created: NOW,
        due: NOW,
        deadline: None,
        campaign: None,
        origin: Origin { dialect: "native".into(), memo: String::new() },
    }
}

pub(crate) fn admission(owner: &AccountId, id: u128) -> Admission {
    Admission { plan: plan(owner, id), idempotency: None, response: format!("{{\"id\":{id}}}") }
}

pub(crate) fn dialing(attempt: u32) -> CallEvent {
    let intent = DialIntent {
        trunk: None,
        attempt,
        call_id: "c@x".into(),
        from_tag: "f".into(),
        branch: "z9hG4bK1".into(),
        cseq: 1,
        dialog: String::new(),
    };
    CallEvent::Dialing { intent }
}

pub(crate) fn answered() -> CallEvent {
    CallEvent::Answered { dialog: "dialog text".into(), codec: "PCMU".into() }
}

/// An account with a trunk `main` and the number [`CALLER`].
pub(crate) async fn equip(store: &Store, owner: &AccountId) {
    let main = TrunkId::new("main").unwrap();
    let trunk = Trunk { id: main.clone(), settings: TrunkSettings::default(), enabled: Switch::On };
    store.put_trunk(owner.clone(), trunk).await.unwrap();
    store.put_number(Number::new(owner.clone(), number(CALLER), main)).await.unwrap();
}
