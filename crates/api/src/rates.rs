//! How many requests a key or a source may make in one second. Counts in seconds aligned to the clock, so that no second
//! ever sees more than the limit; a bucket that refills would let twice as many through around a boundary.
//!
//! Never remembers longer than a second. Several processes on one database share what keys, accounts and actions may do:
//! each takes some of a second's requests from the database and gives them out, by the database's seconds. Sources are
//! counted by each process for itself, because whoever floods is refused before anything is asked.

use crate::fault::Fault;
use callwright_domain::{AccountId, ApiKey, KeyId, Moment};
use callwright_engine::Calls;
use callwright_store::Share;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;
use tracing::debug;

/// Seconds after which a request that came too soon may come again: the next aligned second has begun by then.
const AGAIN_IN_S: u32 = 1;
/// Keys, accounts and actions of which a share is remembered before those of past seconds are forgotten.
const MOST_HELD: usize = 10_000;
/// The share of a second that a process takes at a time is one in so many: small enough that what one process cannot use
/// is not missed by another, large enough that a busy key asks the database a few times a second.
const PIECES: u32 = 50;
/// Longest prefix of an IPv6 address that one customer is usually given.
const IPV6_SOURCE_BITS: u32 = 64;

/// Requests a second; 0 means any number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    /// From one source: an IPv4 address, or an IPv6 network of 64 bits.
    pub per_source: u32,
    /// With one key, unless the key or its account has a rate of its own.
    pub per_key: u32,
    /// With these keys.
    pub keys: BTreeMap<KeyId, u32>,
    /// With all the keys of these accounts together.
    pub accounts: BTreeMap<AccountId, u32>,
}

impl Default for Rates {
    /// Above what one node can place in calls, below what would drown it.
    fn default() -> Self {
        Self { per_source: 4000, per_key: 2000, keys: BTreeMap::new(), accounts: BTreeMap::new() }
    }
}

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Whose {
    Source(IpAddr),
    Key(KeyId),
    Account(AccountId),
    Action(AccountId, &'static str),
}

impl Whose {
    /// Its name among those that processes share; none: it is not shared.
    fn shared(&self) -> Option<String> {
        match self {
            Self::Source(_) => None,
            Self::Key(id) => Some(format!("requests of key {id}")),
            Self::Account(_) => Some(String::from("requests")),
            Self::Action(_, action) => Some(format!("requests for {action}")),
        }
    }
}

/// Who is counted for a request, and how often it may come.
type Claim = (AccountId, Whose, u32);

#[derive(Debug, Default)]
struct Second {
    second: i64,
    counts: HashMap<Whose, u32>,
}

/// What this process has of a second of the database.
#[derive(Debug, Clone, Copy)]
struct Held {
    left: u32,
    /// The second is over.
    until: Instant,
    /// Nobody has any more of it.
    used_up: bool,
}

/// The counts of the second that it is.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    rates: Rates,
    now: Mutex<Second>,
    held: Mutex<HashMap<Whose, Held>>,
}

impl Counters {
    /// Counters for these rates.
    pub(crate) fn new(rates: Rates) -> Self {
        Self { rates, ..Self::default() }
    }

    /// Counts a request from a source, before anything else is looked at.
    pub(crate) fn take_source(&self, source: IpAddr, now: Moment) -> Result<(), Fault> {
        self.take(Whose::Source(network(source)), self.rates.per_source, now)
    }

    /// Counts a request with a key that was checked.
    pub(crate) async fn take_key(&self, key: &ApiKey, now: Moment, calls: &Calls) -> Result<(), Fault> {
        self.take_all(self.claims(key), now, calls).await
    }

    /// Counts a request with a key that is known from before, in this process alone: nobody else can be asked.
    pub(crate) fn take_key_alone(&self, key: &ApiKey, now: Moment) -> Result<(), Fault> {
        self.claims(key).into_iter().try_for_each(|(_, whose, limit)| self.take(whose, limit, now))
    }

    /// Counts an action of an account, for vendors that limit each of theirs: Tencent allows 20 a second and action.
    pub(crate) async fn take_action(
        &self,
        (account, action, limit): (&AccountId, &'static str, u32),
        now: Moment,
        calls: &Calls,
    ) -> Result<(), Fault> {
        let whose = Whose::Action(account.clone(), action);
        self.take_all(vec![(account.clone(), whose, limit)], now, calls).await
    }

    fn claims(&self, key: &ApiKey) -> Vec<Claim> {
        let whole = self.rates.accounts.get(&key.account);
        let whole = whole.map(|limit| (key.account.clone(), Whose::Account(key.account.clone()), *limit));
        let limit = self.rates.keys.get(&key.id).copied().unwrap_or(self.rates.per_key);
        let own = (key.account.clone(), Whose::Key(key.id.clone()), limit);
        whole.into_iter().chain([own]).collect()
    }

    async fn take_all(&self, claims: Vec<Claim>, now: Moment, calls: &Calls) -> Result<(), Fault> {
        for (account, whose, limit) in claims {
            match whose.shared().filter(|_| limit > 0) {
                None => self.take(whose, limit, now)?,
                Some(name) => {
                    if self.take_held(&whose)? {
                        continue;
                    }
                    let (asked, wanted) = (Instant::now(), (limit / PIECES).max(1));
                    match calls.take_share(&account, &name, limit, wanted).await {
                        Ok(Some(share)) => self.hold(whose, share, asked)?,
                        Ok(None) => self.take(whose, limit, now)?,
                        Err(error) => {
                            debug!(%error, "the processes' common count could not be asked for; this one counts for itself");
                            self.take(whose, limit, now)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// One of those that this process has taken: `false` when it must take more.
    fn take_held(&self, whose: &Whose) -> Result<bool, Fault> {
        let mut held = self.held();
        let now = Instant::now();
        match held.get_mut(whose).filter(|held| now < held.until) {
            Some(held) if held.left > 0 => {
                held.left -= 1;
                Ok(true)
            }
            Some(held) if held.used_up => Err(Fault::RateLimited { again_in_s: AGAIN_IN_S }),
            Some(_) | None => Ok(false),
        }
    }

    /// Keeps what was granted, and takes one of it.
    fn hold(&self, whose: Whose, share: Share, asked: Instant) -> Result<(), Fault> {
        let mut held = self.held();
        let now = Instant::now();
        if held.len() > MOST_HELD {
            held.retain(|_, held| now < held.until);
        }
        // Not longer than the second goes on, whenever in the asking that was said.
        let until = asked + share.left;
        let mine = held.entry(whose).or_insert(Held { left: 0, until, used_up: false });
        if now >= mine.until {
            *mine = Held { left: 0, until, used_up: false };
        }
        mine.left = mine.left.saturating_add(share.granted);
        mine.used_up |= share.granted == 0;
        match mine.left.checked_sub(1) {
            Some(left) => {
                mine.left = left;
                Ok(())
            }
            None => Err(Fault::RateLimited { again_in_s: AGAIN_IN_S }),
        }
    }

    // Nothing that holds the lock can panic half-way through a change.
    fn held(&self) -> MutexGuard<'_, HashMap<Whose, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, whose: Whose, limit: u32, now: Moment) -> Result<(), Fault> {
        if limit == 0 {
            return Ok(());
        }
        let second = now.millis().div_euclid(1000);
        // Nothing that holds the lock can panic half-way through a change.
        let mut counted = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back goes on counting in the second that it had reached.
        if second > counted.second || counted.second - second > 1 {
            counted.second = second;
            counted.counts.clear();
        }
        let count = counted.counts.entry(whose).or_insert(0);
        if *count >= limit {
            return Err(Fault::RateLimited { again_in_s: AGAIN_IN_S });
        }
        *count += 1;
        Ok(())
    }
}

/// What counts as one source.
pub(crate) fn network(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => IpAddr::V4(mapped),
            None => IpAddr::V6((address.to_bits() >> (128 - IPV6_SOURCE_BITS) << (128 - IPV6_SOURCE_BITS)).into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_aligned_second_sees_more_than_the_limit() {
        let counters = Counters::new(Rates::default());
        let account = AccountId::new("a").expect("an id");
        let mut taken = BTreeMap::new();
        // 40 a second for 60 seconds, beginning in the middle of one.
        for at in (500..60_500).step_by(25) {
            let whose = Whose::Action(account.clone(), "CreateAIAgentCall");
            if counters.take(whose, 20, Moment(at)).is_ok() {
                *taken.entry(at / 1000).or_insert(0) += 1;
            }
        }
        assert!(taken.values().all(|count| *count <= 20), "{taken:?}");
        let all: i32 = taken.values().sum();
        assert!((1180..=1220).contains(&all), "{all}");
    }

    #[test]
    fn keys_accounts_and_sources_are_counted_apart() {
        let id = |text: &str| KeyId::new(text).expect("an id");
        let key = |name: &str| ApiKey {
            id: id(name),
            account: AccountId::new("a").expect("an id"),
            name: String::new(),
            secret: callwright_domain::Pii::default(),
            scopes: Vec::new(),
            status: callwright_domain::access::KeyStatus::Active,
        };
        let rates = Rates {
            per_source: 1,
            per_key: 2,
            keys: BTreeMap::from([(id("fast"), 3)]),
            accounts: BTreeMap::from([(AccountId::new("a").expect("an id"), 4)]),
        };
        let counters = Counters::new(rates);
        let now = Moment(5000);
        let take = |name: &str, now: Moment| {
            counters.claims(&key(name)).into_iter().try_for_each(|(_, whose, limit)| counters.take(whose, limit, now))
        };
        let allowed = |name: &str, times: usize| (0..times).filter(|_| take(name, now).is_ok()).count();
        assert_eq!(allowed("fast", 5), 3);
        assert_eq!(allowed("slow", 5), 0, "what was refused for the key counted for the account");
        assert!(take("slow", Moment(6000)).is_ok());
        for (source, ok) in [("192.0.2.1", true), ("192.0.2.1", false), ("2001:db8::1", true), ("2001:db8::2", false)] {
            assert_eq!(counters.take_source(source.parse().expect("an address"), Moment(7000)).is_ok(), ok, "{source}");
        }
    }

    /// What a process has taken is given out within its second and no longer; what nobody has any more is not asked for
    /// again.
    #[tokio::test(start_paused = true)]
    async fn what_was_taken_of_a_shared_second_is_given_out() {
        let counters = Counters::default();
        let whose = || Whose::Key(KeyId::new("k").expect("an id"));
        let left = std::time::Duration::from_millis(400);
        let share = |granted| Share { granted, second: 7, left };
        assert_eq!(counters.take_held(&whose()).ok(), Some(false), "nothing was taken yet");
        assert!(counters.hold(whose(), share(3), Instant::now()).is_ok());
        let given: Vec<_> = (0..3).map(|_| counters.take_held(&whose()).ok()).collect();
        assert_eq!(
            given,
            [Some(true), Some(true), Some(false)],
            "three were granted, and one of them was for the asker"
        );
        assert!(counters.hold(whose(), share(0), Instant::now()).is_err());
        assert!(counters.take_held(&whose()).is_err(), "the second is used up");
        tokio::time::advance(left).await;
        assert_eq!(counters.take_held(&whose()).ok(), Some(false), "the next second is another");
        assert!(counters.hold(whose(), share(2), Instant::now()).is_ok());
        tokio::time::advance(left).await;
        assert_eq!(counters.take_held(&whose()).ok(), Some(false), "what is left of a second is not good for the next");
    }
}
