//! How many requests a key or a source may make in one second. Counts in seconds aligned to the clock, so that no second
//! ever sees more than the limit; a bucket that refills would let twice as many through around a boundary.
//!
//! Never blocks and never remembers longer than a second. Counts for this process alone: several processes on one
//! database each allow the whole rate.

use crate::fault::Fault;
use callwright_domain::{AccountId, ApiKey, KeyId, Moment};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Seconds after which a request that came too soon may come again: the next aligned second has begun by then.
const AGAIN_IN_S: u32 = 1;
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

#[derive(Debug, Default)]
struct Second {
    second: i64,
    counts: HashMap<Whose, u32>,
}

/// The counts of the second that it is.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    rates: Rates,
    now: Mutex<Second>,
}

impl Counters {
    /// Counters for these rates.
    pub(crate) fn new(rates: Rates) -> Self {
        Self { rates, now: Mutex::default() }
    }

    /// Counts a request from a source, before anything else is looked at.
    pub(crate) fn take_source(&self, source: IpAddr, now: Moment) -> Result<(), Fault> {
        self.take(Whose::Source(network(source)), self.rates.per_source, now)
    }

    /// Counts a request with a key that was checked.
    pub(crate) fn take_key(&self, key: &ApiKey, now: Moment) -> Result<(), Fault> {
        if let Some(limit) = self.rates.accounts.get(&key.account) {
            self.take(Whose::Account(key.account.clone()), *limit, now)?;
        }
        let limit = self.rates.keys.get(&key.id).copied().unwrap_or(self.rates.per_key);
        self.take(Whose::Key(key.id.clone()), limit, now)
    }

    /// Counts an action of an account, for vendors that limit each of theirs: Tencent allows 20 a second and action.
    #[allow(dead_code, reason = "the hook for dialects whose vendor limits single actions")]
    pub(crate) fn take_action(
        &self,
        account: &AccountId,
        action: &'static str,
        limit: u32,
        now: Moment,
    ) -> Result<(), Fault> {
        self.take(Whose::Action(account.clone(), action), limit, now)
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

fn network(source: IpAddr) -> IpAddr {
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
            if counters.take_action(&account, "CreateAIAgentCall", 20, Moment(at)).is_ok() {
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
        let allowed =
            |name: &str, times: usize| (0..times).filter(|_| counters.take_key(&key(name), now).is_ok()).count();
        assert_eq!(allowed("fast", 5), 3);
        assert_eq!(allowed("slow", 5), 0, "what was refused for the key counted for the account");
        assert!(counters.take_key(&key("slow"), Moment(6000)).is_ok());
        for (source, ok) in [("192.0.2.1", true), ("192.0.2.1", false), ("2001:db8::1", true), ("2001:db8::2", false)] {
            assert_eq!(counters.take_source(source.parse().expect("an address"), Moment(7000)).is_ok(), ok, "{source}");
        }
    }
}
