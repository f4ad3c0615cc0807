//! What the verbs of a call's life cost, in instructions of the database's machine: no more among many calls than among
//! few. An index that is not used shows here, and nowhere else before a customer has a hundred thousand calls.

use super::tests::{NOW, account, admission, configure};
use crate::outbox::{Attempt, Content, Fate, Settlement};
use crate::sql::Conn;
use crate::{Admission, Opened, Store, StoreError, StoreSettings};
use callwright_domain::webhook::{Endpoint, History, MOST_TRIES, Order, Status, Topics, Webhook, Whose};
use callwright_domain::{CallEvent, CallId, HangupCause, Moment, Origin, Pii, WebhookId};
use std::collections::BTreeMap;
use std::time::Duration;

const TOMORROW: Moment = Moment(NOW.0 + 86_400_000);
/// Calls that are over, and as many that are due tomorrow.
const FEW: usize = 8;
const MANY: usize = 300;

struct Costs {
    opened: Opened,
    next: u128,
    before: i64,
    by_verb: BTreeMap<&'static str, i64>,
}

impl Costs {
    async fn new() -> Self {
        let opened = Store::open(StoreSettings::in_memory("a"), NOW).await.unwrap();
        configure(&opened.store).await;
        opened.store.put_webhook(endpoint()).await.unwrap();
        Self { opened, next: 0, before: 0, by_verb: BTreeMap::new() }
    }

    async fn begin(&mut self) {
        self.before = self.steps().await;
    }

    async fn note(&mut self, verb: &'static str) {
        let now = self.steps().await;
        self.by_verb.insert(verb, now - self.before);
        self.before = now;
    }

    async fn steps(&self) -> i64 {
        self.counted().await.0
    }

    /// Instructions so far, and statements that were planned again although they were ready.
    async fn counted(&self) -> (i64, i64) {
        let counted = self.opened.store.writer().write(|conn| {
            Box::pin(async move {
                match conn {
                    Conn::Sqlite(conn) => Ok::<_, StoreError>((conn.steps, conn.planned_anew)),
                    Conn::Postgres(..) => panic!("an embedded database"),
                }
            })
        });
        counted.await.unwrap()
    }

    fn request(&mut self, due: Moment) -> Admission {
        self.next += 1;
        let mut admission = admission(self.next, 10);
        admission.plan.due = due;
        admission
    }

    /// A call from its acceptance to its end, told to an endpoint.
    async fn live(&mut self) {
        let store = self.opened.store.clone();
        self.begin().await;
        let request = self.request(NOW);
        let call = request.plan.id;
        store.admit(request, NOW).await.unwrap();
        self.note("admit").await;
        let plans = store.claim_due(NOW, 16).await.unwrap();
        assert_eq!(plans.iter().map(|plan| plan.id).collect::<Vec<_>>(), [call]);
        self.note("claim_due").await;
        store.permit(plans[0].clone(), NOW).await.unwrap();
        self.note("permit").await;
        let trouble = CallEvent::Trouble { part: "ears".into(), detail: "gone".into() };
        store.append(call, vec![(NOW, trouble)]).await.unwrap();
        self.note("append").await;
        store.finish(call, NOW.after(Duration::from_secs(9)), HangupCause::CalleeHungUp.into()).await.unwrap();
        self.note("finish").await;
        self.tell(call).await;
    }

    /// Claims the one message that is due, and settles it.
    async fn tell(&mut self, call: CallId) {
        let (store, later) = (self.opened.store.clone(), NOW.after(Duration::from_secs(9)));
        let mut messages = store.claim_outbox(vec![(endpoint().id, 16)], later, TOMORROW).await.unwrap();
        self.note("claim_outbox").await;
        assert_eq!(messages.len(), 1);
        assert!(matches!(messages[0].content, Content::Event { call: of, .. } if of == call), "the call's first");
        let attempt = Attempt { at: later, took: Duration::ZERO, status: Some(200), detail: String::new() };
        let settlement = Settlement { attempt, fate: Fate::Heard, lease: TOMORROW, failing_before: NOW };
        store.settle_outbox(messages.remove(0), settlement, later).await.unwrap();
        self.note("settle_outbox").await;
    }

    async fn schedule(&mut self) {
        let store = self.opened.store.clone();
        self.begin().await;
        let request = self.request(TOMORROW);
        let call = request.plan.id;
        store.admit(request, NOW).await.unwrap();
        self.note("schedule").await;
        self.tell(call).await;
    }
}

fn endpoint() -> Webhook {
    Webhook {
        id: WebhookId::new("whk_costs").unwrap(),
        account: account(),
        whose: Whose::Account,
        endpoint: Endpoint {
            url: Pii::new("https://example.com/".to_owned()),
            description: String::new(),
            secrets: Vec::new(),
            headers: Vec::new(),
            origin: Origin::default(),
            max_tries: MOST_TRIES,
            order: Order::PerCall,
            history: History::AtEnd,
        },
        topics: Topics::All,
        status: Status::Enabled,
        failing_since: None,
        created: NOW,
        updated: NOW,
    }
}

#[tokio::test]
async fn a_verb_costs_no_more_among_many_calls() {
    let mut costs = Costs::new().await;
    for _ in 0..FEW {
        costs.schedule().await;
        costs.live().await;
    }
    let few = std::mem::take(&mut costs.by_verb);
    let planned = costs.counted().await.1;
    for _ in FEW..MANY {
        costs.schedule().await;
        costs.live().await;
    }
    assert_eq!(costs.counted().await.1, planned, "statements are planned once");
    for (verb, few) in few {
        let many = costs.by_verb[verb];
        // A tree that is a level deeper is allowed for; one instruction for each call more is not.
        assert!(many < few + few / 4 + 100, "{verb}: {few} instructions among {FEW} calls, {many} among {MANY}");
    }
}
