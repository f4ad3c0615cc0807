//! Configuration is written, read back, and invisible to other accounts; so are calls and vendor ids.

use crate::suite::{CALLER, NOW, account, admission, call, equip, number};
use callwright_domain::HangupCause;
use callwright_domain::access::KeyStatus;
use callwright_domain::agent::Switch;
use callwright_domain::policy::RulesPatch;
use callwright_domain::policy::rules::effective;
use callwright_domain::{AgentId, AgentProfile, ApiKey, KeyId, Pii, Scope, TrunkId};
use callwright_store::{
    Account, Alias, AliasKind, CallFilter, Ending, Number, NumberStatus, Opened, StoreError, Transport, Trunk,
    TrunkSettings,
};
use std::time::Duration;

fn agent(name: &str) -> AgentId {
    AgentId::new(name).unwrap()
}

fn key(owner: &str, id: &str, secret: &str) -> ApiKey {
    ApiKey {
        id: KeyId::new(id).unwrap(),
        account: account(owner),
        name: "ci".into(),
        secret: Pii::new(secret.into()),
        scopes: vec![Scope::CallsWrite, Scope::CallsRead],
        status: KeyStatus::Active,
    }
}

pub(crate) async fn is_written_replaced_read_and_removed(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    for max_calls in [3, 5] {
        let row = Account { id: acme.clone(), name: "Acme".into(), max_calls };
        store.put_account(row.clone()).await.unwrap();
        assert_eq!(reader.account(&acme).await.unwrap(), Some(row));
    }
    for (name, at) in [("first", NOW), ("second", NOW.after(Duration::from_secs(60)))] {
        let profile = AgentProfile { name: name.into(), ..AgentProfile::default() };
        store.put_agent(acme.clone(), agent("desk"), profile.clone(), at).await.unwrap();
        let stored = reader.agent(&acme, &agent("desk")).await.unwrap().unwrap();
        assert_eq!((&stored.profile, stored.updated, stored.created), (&profile, at, NOW));
        assert_eq!(reader.agents(&acme, None, 10).await.unwrap().items, std::slice::from_ref(&stored));
        assert_eq!(reader.basis(&acme, &agent("desk"), &[]).await.unwrap().agent, Some(stored));
    }
    let trunk = Trunk {
        id: TrunkId::new("main").unwrap(),
        settings: TrunkSettings {
            host: "sip.example.com".into(),
            transport: Transport::Tcp,
            password: Pii::new("hush".into()),
            cps: 5,
            ..TrunkSettings::default()
        },
        enabled: Switch::On,
    };
    assert!(!format!("{trunk:?}").contains("hush"));
    for enabled in [Switch::On, Switch::Off] {
        let trunk = Trunk { enabled, ..trunk.clone() };
        store.put_trunk(acme.clone(), trunk.clone()).await.unwrap();
        assert_eq!(reader.trunk(&acme, &trunk.id).await.unwrap(), Some(trunk.clone()));
        assert_eq!(reader.all_trunks().await.unwrap(), [(acme.clone(), trunk)]);
    }
    for status in [NumberStatus::Active, NumberStatus::Disabled] {
        let spare_trunks = match status {
            NumberStatus::Active => vec![TrunkId::new("b").unwrap(), TrunkId::new("a").unwrap()],
            NumberStatus::Disabled => Vec::new(),
        };
        let own = (status == NumberStatus::Active).then(|| agent("desk"));
        let new = Number::new(acme.clone(), number(CALLER), trunk.id.clone());
        let row = Number { status, spare_trunks, agent: own, ..new };
        store.put_number(row.clone()).await.unwrap();
        assert_eq!(reader.number(&acme, &row.number).await.unwrap().as_ref(), Some(&row));
        assert_eq!(reader.numbers(&acme).await.unwrap(), [row]);
    }
    for secret in ["one", "two"] {
        store.put_key(key("acme", "k1", secret)).await.unwrap();
        assert_eq!(reader.key(&KeyId::new("k1").unwrap()).await.unwrap(), Some(key("acme", "k1", secret)));
    }
    let id = KeyId::new("k1").unwrap();
    assert!(store.delete_agent(acme.clone(), agent("desk")).await.unwrap());
    assert!(!store.delete_agent(acme.clone(), agent("desk")).await.unwrap());
    assert!(store.delete_number(acme.clone(), number(CALLER)).await.unwrap());
    assert!(store.delete_trunk(acme.clone(), trunk.id).await.unwrap());
    assert!(store.delete_key(acme.clone(), id.clone()).await.unwrap());
    assert_eq!(reader.key(&id).await.unwrap(), None);
    assert_eq!(reader.agents(&acme, None, 10).await.unwrap().items, []);
    assert_eq!(reader.numbers(&acme).await.unwrap(), []);
    assert_eq!(reader.trunks(&acme).await.unwrap(), []);
}

pub(crate) async fn another_account_sees_and_touches_nothing(opened: Opened) {
    let (store, reader) = (opened.store, opened.reader);
    let (acme, evil) = (account("acme"), account("evil"));
    equip(&store, &acme).await;
    store.put_agent(acme.clone(), agent("desk"), AgentProfile::default(), NOW).await.unwrap();
    store.put_key(key("acme", "k1", "s")).await.unwrap();
    store.admit(admission(&acme, 1), NOW).await.unwrap();
    store.finish(call(1), NOW, Ending::from(HangupCause::Busy)).await.unwrap();
    let alias = Alias {
        account: acme.clone(),
        dialect: "d".into(),
        kind: AliasKind::Call,
        outer: "o".into(),
        inner: call(1).to_string(),
    };
    store.put_alias(alias).await.unwrap();

    for (who, there) in [(&acme, true), (&evil, false)] {
        assert_eq!(reader.agent(who, &agent("desk")).await.unwrap().is_some(), there);
        assert_eq!(!reader.agents(who, None, 9).await.unwrap().items.is_empty(), there);
        assert_eq!(reader.number(who, &number(CALLER)).await.unwrap().is_some(), there);
        assert_eq!(!reader.numbers(who).await.unwrap().is_empty(), there);
        assert_eq!(reader.trunk(who, &TrunkId::new("main").unwrap()).await.unwrap().is_some(), there);
        assert_eq!(!reader.trunks(who).await.unwrap().is_empty(), there);
        assert_eq!(!reader.keys(who).await.unwrap().is_empty(), there);
        assert_eq!(reader.call(who, call(1)).await.unwrap().is_some(), there);
        let filter = CallFilter::default();
        assert_eq!(!reader.calls(who, &filter, None, 9).await.unwrap().items.is_empty(), there);
        assert_eq!(!reader.journal(who, call(1), 0, 9).await.unwrap().is_empty(), there);
        assert_eq!(!reader.records(who, call(1)).await.unwrap().is_empty(), there);
        assert_eq!(reader.alias_of_outer(who, "d", AliasKind::Call, "o").await.unwrap().is_some(), there);
    }
    assert!(!store.delete_agent(evil.clone(), agent("desk")).await.unwrap());
    assert!(!store.delete_number(evil.clone(), number(CALLER)).await.unwrap());
    assert!(!store.delete_trunk(evil.clone(), TrunkId::new("main").unwrap()).await.unwrap());
    assert!(!store.delete_key(evil.clone(), KeyId::new("k1").unwrap()).await.unwrap());
    let stolen = store.put_key(key("evil", "k1", "mine now")).await;
    assert!(matches!(stolen, Err(StoreError::Taken { .. })));
    assert_eq!(reader.key(&KeyId::new("k1").unwrap()).await.unwrap(), Some(key("acme", "k1", "s")));
    store.put_agent(evil, agent("desk"), AgentProfile { name: "x".into(), ..Default::default() }, NOW).await.unwrap();
    assert_ne!(reader.agent(&acme, &agent("desk")).await.unwrap().unwrap().profile.name, "x");
}

pub(crate) async fn what_a_call_is_made_from_is_read_whole(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    let empty = reader.basis(&acme, &agent("desk"), &[]).await.unwrap();
    assert!(empty.agent.is_none() && empty.numbers.is_empty());
    for (owner, name) in [("acme", "Ada"), ("evil", "Eve")] {
        let owner = account(owner);
        equip(&store, &owner).await;
        let profile = AgentProfile { name: name.into(), ..Default::default() };
        store.put_agent(owner.clone(), agent("desk"), profile, NOW).await.unwrap();
    }
    let second = Number { max_calls: 3, ..Number::new(acme.clone(), number("+4930999"), TrunkId::new("x").unwrap()) };
    store.put_number(second.clone()).await.unwrap();
    let whole = RulesPatch { agent_calls: Some(7), ..RulesPatch::default() };
    let own = RulesPatch { min_ring_s: Some(20), ..RulesPatch::default() };
    store.put_rules(acme.clone(), None, whole.clone(), NOW).await.unwrap();
    store.put_rules(acme.clone(), Some(agent("desk")), own.clone(), NOW).await.unwrap();
    store.put_rules(acme.clone(), Some(agent("other")), RulesPatch::default(), NOW).await.unwrap();

    let all = reader.basis(&acme, &agent("desk"), &[]).await.unwrap();
    assert_eq!(all.agent, reader.agent(&acme, &agent("desk")).await.unwrap());
    assert_eq!(all.rules, effective(Some(whole), Some(own)));
    assert_eq!(all.numbers, reader.numbers(&acme).await.unwrap());
    let one = reader.basis(&acme, &agent("other"), &[number("+4930999"), number("+4930000")]).await.unwrap();
    assert!(one.agent.is_none() && one.rules.agent_calls == 7);
    assert_eq!(one.numbers, [second]);
    store.admit(admission(&acme, 1), NOW).await.unwrap();
    let active = reader.active_by_caller(&acme).await.unwrap();
    assert_eq!(active.into_iter().collect::<Vec<_>>(), [(CALLER.to_owned(), 1)]);
}

pub(crate) async fn agents_come_in_pages(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    for n in 0..7 {
        store.put_agent(acme.clone(), agent(&format!("a{n}")), AgentProfile::default(), NOW).await.unwrap();
    }
    let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = reader.agents(&acme, after.as_deref(), 3).await.unwrap();
        seen.extend(page.items.into_iter().map(|stored| stored.id.to_string()));
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((seen, pages), ((0..7).map(|n| format!("a{n}")).collect(), 3));
}

pub(crate) async fn vendor_ids_pair_once(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    let alias = |outer: &str, inner: &str| Alias {
        account: account("acme"),
        dialect: "d".into(),
        kind: AliasKind::Agent,
        outer: outer.into(),
        inner: inner.into(),
    };
    store.put_alias(alias("17", "desk")).await.unwrap();
    store.put_alias(alias("17", "desk")).await.unwrap();
    assert!(matches!(store.put_alias(alias("17", "other")).await, Err(StoreError::Taken { .. })));
    assert!(matches!(store.put_alias(alias("18", "desk")).await, Err(StoreError::Taken { .. })));
    let found = reader.alias_of_outer(&acme, "d", AliasKind::Agent, "17").await.unwrap().unwrap();
    assert_eq!(found.inner_as::<AgentId>().unwrap(), agent("desk"));
    assert_eq!(reader.alias_of_inner(&acme, "d", AliasKind::Agent, "desk").await.unwrap(), Some(alias("17", "desk")));
    assert_eq!(reader.alias_of_outer(&acme, "d", AliasKind::Call, "17").await.unwrap(), None);
    store.put_alias(alias("5", "bar")).await.unwrap();
    assert!(matches!(store.replace_alias(alias("5", "desk")).await, Err(StoreError::Taken { .. })));
    store.replace_alias(alias("18", "desk")).await.unwrap();
    store.replace_alias(alias("18", "desk")).await.unwrap();
    let all = reader.aliases(&acme, "d", &[AliasKind::Agent]).await.unwrap();
    assert_eq!(all, [alias("18", "desk"), alias("5", "bar")]);
    let number = Alias { kind: AliasKind::Number, ..alias("3", "+15550100") };
    store.put_alias(number.clone()).await.unwrap();
    let all = reader.aliases(&acme, "d", &[AliasKind::Number, AliasKind::Call, AliasKind::Agent]).await.unwrap();
    assert_eq!(all, [alias("18", "desk"), number, alias("5", "bar")]);
    assert_eq!(reader.aliases(&acme, "d", &[AliasKind::Call]).await.unwrap(), []);
    assert_eq!(reader.aliases(&account("other"), "d", &[AliasKind::Agent]).await.unwrap(), []);
}
