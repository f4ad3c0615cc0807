//! What an erasure leaves: no table of either database has the number, in whatever column. Everything that a number is
//! written down for happens here once, so that a table that is new shows.

use crate::cluster;
use crate::suite::privacy::{order, rule, talked};
use crate::suite::{NOW, admission, call, campaigns, dialing, later, number, outbox, retries};
use callwright_domain::webhook::Whose;
use callwright_domain::{AccountId, HangupCause};
use callwright_store::{
    CallFilter, Denial, Ending, Idempotency, Listed, Opened, Reader, Store, StoreSettings, StoredConsent, Suppress,
};
use rusqlite::types::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Row};
use std::path::Path;
use std::str::FromStr;

const CALLEE: &str = "+4915112345678";
/// As it may stand in any form of it.
const DIGITS: &str = "15112345678";

/// Rows of the embedded database that have the number: their tables, and what they hold.
fn in_sqlite(directory: &Path) -> Vec<String> {
    let conn = rusqlite::Connection::open(directory.join("callwright.db")).unwrap();
    let mut tables = conn.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(tables.len() > 20, "{tables:?}");
    let mut found = Vec::new();
    for table in tables {
        let mut all = conn.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
        let columns = all.column_count();
        let mut rows = all.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values = (0..columns).map(|column| match row.get(column).unwrap() {
                Value::Text(text) => text,
                Value::Blob(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Value::Null | Value::Integer(_) | Value::Real(_) => String::new(),
            });
            found.push(format!("{table}: {}", values.collect::<Vec<_>>().join(" | ")));
        }
    }
    found.retain(|row| row.contains(DIGITS));
    found
}

/// The same of PostgreSQL.
async fn in_postgres(url: &str) -> Vec<String> {
    let mut conn = PgConnectOptions::from_str(url).unwrap().connect().await.unwrap();
    let tables = "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = current_schema()";
    let tables = sqlx::raw_sql(tables).fetch_all(&mut conn).await.unwrap();
    assert!(tables.len() > 20);
    let mut found = Vec::new();
    for table in tables.iter().map(|row| row.get::<String, _>(0)) {
        let all = AssertSqlSafe(format!("SELECT CAST(t AS TEXT) FROM \"{table}\" t"));
        let rows = sqlx::raw_sql(all).fetch_all(&mut conn).await.unwrap();
        found.extend(rows.iter().map(|row| format!("{table}: {}", row.get::<String, _>(0))));
    }
    found.retain(|row| row.contains(DIGITS));
    found
}

fn tables(rows: &[String]) -> Vec<&str> {
    let mut tables: Vec<&str> = rows.iter().filter_map(|row| row.split(':').next()).collect();
    tables.dedup();
    tables
}

/// Everything that a number is written down for.
async fn fill(opened: &Opened) -> AccountId {
    let acme = campaigns::running(opened).await;
    let store = &opened.store;
    rule(
        store,
        &acme,
        None,
        r#"{"callee":{"status":"on","at_most":[{"calls":99,"seconds":60}],"per_day":99},"caller":{"status":"on",
            "at_most":[{"calls":99,"seconds":60}]},"quota":{"status":"on","minutes_per_day":1000},"agent_calls":99,
            "hours":{"status":"on","windows":[{"from":"00:00","to":"24:00"}]}}"#,
    )
    .await;
    store.put_webhook(outbox::webhook(&acme, "all", Whose::Account)).await.unwrap();
    store.put_zone(acme.clone(), number(CALLEE), "Europe/Berlin".into(), NOW).await.unwrap();
    talked(store, &acme, (1, "desk", CALLEE), later(1)).await;
    // One that is tried again, one of a campaign, one with a key of its own, one that was refused.
    store.admit(retries::tried(&acme, 2, &[60]), NOW).await.unwrap();
    campaigns::import(store, &acme, "own", vec![campaigns::row(2, CALLEE)]).await;
    let place = opened.reader.due_rows(&campaigns::key(&acme), NOW, 9).await.unwrap().last().unwrap().row;
    campaigns::launch(store, &acme, (place, 0), 3).await.unwrap();
    for id in [2, 3] {
        store.claim_due(NOW, 10).await.unwrap();
        store.append(call(id), vec![(NOW, dialing(1))]).await.unwrap();
        store.finish(call(id), later(2), Ending::from(HangupCause::Busy)).await.unwrap();
    }
    let mut keyed = admission(&acme, 4);
    keyed.idempotency = Some(Idempotency { key: "k".into(), body_hash: [7; 32] });
    store.admit(keyed, NOW).await.unwrap();
    let given = |scope: &str, revoked| StoredConsent {
        number: number(CALLEE),
        scope: scope.into(),
        source: format!("told from {CALLEE}"),
        wording: String::new(),
        given: NOW,
        revoked,
    };
    store.put_consent(acme.clone(), given("service", None)).await.unwrap();
    let denial = Denial { number: number(CALLEE), reason: "asked".into() };
    store.deny(Listed::Of(acme.clone()), vec![denial], NOW).await.unwrap();
    assert!(store.admit(admission(&acme, 5), NOW).await.is_err());
    store.put_consent(acme.clone(), given("news", Some(later(3)))).await.unwrap();
    acme
}

/// To its end: what waits is taken back and the files are gone.
async fn erase((store, reader): (&Store, &Reader), acme: &AccountId) {
    let begun = store.open_erasure(order(acme, CALLEE, Suppress::AsItWas)).await.unwrap();
    let everything = reader.calls(acme, &CallFilter::default(), None, 100).await.unwrap();
    for waiting in everything.items.into_iter().filter(|view| view.plan.callee() == Some(&number(CALLEE))) {
        store.finish(waiting.plan.id, later(8), Ending::from(HangupCause::Cancelled)).await.unwrap();
    }
    for step in 0..10 {
        let done = store.erase_some(acme.clone(), begun.id.clone(), 2, later(9 + step)).await.unwrap().unwrap();
        if done.finished.is_some() {
            return;
        }
        let files = reader.removals(&store.identity().node, 100).await.unwrap();
        store.removed(files).await.unwrap();
    }
    panic!("the erasure does not end");
}

/// Tables that hold the number before it is erased. One that is new belongs here, and into [`fill`].
const HOLD_IT: [&str; 7] = ["call_notes", "callee_zones", "calls", "campaign_rows", "consents", "denied", "events"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_table_of_the_embedded_database_has_the_number() {
    let directory = tempfile::tempdir().unwrap();
    let opened = Store::open(StoreSettings::directory(directory.path(), "a"), NOW).await.unwrap();
    let acme = fill(&opened).await;
    let mut before = in_sqlite(directory.path());
    before.sort_unstable();
    assert_eq!(tables(&before), HOLD_IT);
    erase((&opened.store, &opened.reader), &acme).await;
    assert_eq!(in_sqlite(directory.path()), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_table_of_the_shared_database_has_the_number() {
    let Some(database) = cluster::database().await else { return };
    let opened = Store::open(database.node("a"), NOW).await.unwrap();
    let acme = fill(&opened).await;
    let mut before = in_postgres(&database.url).await;
    before.sort_unstable();
    assert_eq!(tables(&before), HOLD_IT);
    erase((&opened.store, &opened.reader), &acme).await;
    assert_eq!(in_postgres(&database.url).await, [""; 0]);
}
