//! How fast calls are accepted, and how long one waits, with every commit on disk.
//!
//! `cargo run -p callwright-store --example admit_rate [-- SECONDS [DIRECTORY]]`: first at a steady 200 a second, then
//! as fast as 256 askers can. The directory defaults to a fresh one under the system's temporary directory, which on
//! some machines is memory: name one on the disk that is to be measured.

use callwright_domain::agent::Switch;
use callwright_domain::{
    AccountId, AgentId, AgentProfile, CallId, CallPlan, Moment, Origin, PhoneNumber, Telephone, TrunkId, Way,
};
use callwright_store::{
    Admission, AdmitError, Idempotency, Number, Patience, Store, StoreSettings, Trunk, TrunkSettings,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const NOW: Moment = Moment(1_700_000_000_000);
const STEADY: u32 = 200;
const ASKERS: u128 = 256;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().map_or(Ok(5), |text| text.parse::<u32>())?;
    let temporary = tempfile::tempdir()?;
    let directory = arguments.next().map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let settings = StoreSettings::directory(directory.join("admit-rate"), "a");
    let opened = Store::open(settings, NOW).await?;
    equip(&opened.store).await?;
    steady(&opened.store, seconds).await?;
    flat_out(&opened.store, Duration::from_secs(u64::from(seconds))).await?;
    opened.store.close().await;
    Ok(())
}

async fn equip(store: &Store) -> Result<(), Box<dyn std::error::Error>> {
    let (account, main) = (AccountId::new("acme")?, TrunkId::new("main")?);
    let trunk = Trunk { id: main.clone(), settings: TrunkSettings::default(), enabled: Switch::On };
    store.put_trunk(account.clone(), trunk).await?;
    for caller in 0..CALLERS {
        let number = PhoneNumber::parse(&caller_text(caller))?;
        store.put_number(Number { max_calls: u32::MAX, ..Number::new(account.clone(), number, main.clone()) }).await?;
    }
    Ok(())
}

/// Caller numbers that the calls are spread over, as in life.
const CALLERS: u128 = 100;

fn caller_text(caller: u128) -> String {
    format!("+4930{:06}", caller % CALLERS)
}

fn admission(id: u128) -> Result<Admission, Box<dyn std::error::Error + Send + Sync>> {
    let plan = CallPlan {
        id: CallId::from_entropy(id),
        account: AccountId::new("acme")?,
        agent_id: AgentId::new("desk")?,
        agent: AgentProfile::default(),
        way: Way::Telephone(Telephone {
            callee: PhoneNumber::parse("+4915112345678")?,
            caller: PhoneNumber::parse(&caller_text(id))?,
            trunk: TrunkId::new("main")?,
            spare_trunks: Vec::new(),
            spare_callers: Vec::new(),
        }),
        variables: BTreeMap::from([("name".to_owned(), "Ada".to_owned())]),
        user_data: None,
        thread: None,
        created: NOW,
        due: NOW,
        deadline: None,
        origin: Origin::default(),
        wait_ms: 0,
        retry: None,
        campaign: None,
        redaction: callwright_domain::Redaction::default(),
        talks_ms: None,
    };
    let idempotency = Idempotency { key: id.to_string(), body_hash: [7; 32] };
    Ok(Admission { plan, idempotency: Some(idempotency), endpoint: None, alias: None, patience: Patience::AnyPlace })
}

async fn timed(store: Store, id: u128, due: Instant) -> Result<Duration, AdmitError> {
    let request = admission(id)
        .map_err(|why| AdmitError::Store(callwright_store::StoreError::Rejected { detail: why.to_string() }))?;
    store.admit(request, NOW).await?;
    Ok(due.elapsed())
}

/// Open loop: a request is due every 5 ms whether or not the last one is answered, and waits from when it was due.
async fn steady(store: &Store, seconds: u32) -> Result<(), Box<dyn std::error::Error>> {
    let began = Instant::now();
    let mut answers = Vec::new();
    for n in 0..STEADY * seconds {
        let due = began + Duration::from_secs(1) * n / STEADY;
        tokio::time::sleep_until(due.into()).await;
        answers.push(tokio::spawn(timed(store.clone(), u128::from(n) + 1, due)));
    }
    let mut waits = Vec::with_capacity(answers.len());
    for answer in answers {
        waits.push(answer.await??);
    }
    report("steady", waits, began.elapsed());
    Ok(())
}

async fn flat_out(store: &Store, time: Duration) -> Result<(), Box<dyn std::error::Error>> {
    let began = Instant::now();
    let askers: Vec<_> = (1..=ASKERS)
        .map(|asker| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut waits = Vec::new();
                for n in 0.. {
                    if began.elapsed() >= time {
                        break;
                    }
                    waits.push(timed(store.clone(), (asker << 64) + n, Instant::now()).await?);
                }
                Ok::<_, AdmitError>(waits)
            })
        })
        .collect();
    let mut waits = Vec::new();
    for asker in askers {
        waits.extend(asker.await??);
    }
    report("flat out", waits, began.elapsed());
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn report(name: &str, mut waits: Vec<Duration>, took: Duration) {
    waits.sort_unstable();
    let at = |permille: usize| waits.get(waits.len() * permille / 1000).or(waits.last()).copied().unwrap_or_default();
    let rate = f64::from(u32::try_from(waits.len()).unwrap_or(u32::MAX)) / took.as_secs_f64();
    println!(
        "{name}: {rate:.0} admits/s, wait p50 {:?} p99 {:?} p99.9 {:?} max {:?}, {} calls",
        at(500),
        at(990),
        at(999),
        at(1000),
        waits.len()
    );
}
