//! Room for bodies that are larger than everybody's: they are held in memory while they arrive. There are so many places, and
//! whoever sends slowly must not have them all: one key, and one source, hold at most half of them. Never knows what a body is.

use crate::fault::Fault;
use crate::rates::network;
use callwright_domain::KeyId;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whose key a body comes with, and from where.
pub(crate) type Whose = (KeyId, IpAddr);

/// Who holds a place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Holder {
    Key(KeyId),
    Source(IpAddr),
}

/// The places for bodies of one kind.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    /// Altogether.
    places: usize,
    /// What they are for, in words.
    what: &'static str,
    taken: Arc<Mutex<HashMap<Holder, usize>>>,
}

/// A place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    room: Room,
    holders: [Holder; 2],
}

impl Room {
    /// Room for so many of these.
    pub(crate) fn new(places: usize, what: &'static str) -> Self {
        Self { places, what, taken: Arc::default() }
    }

    /// A place for a body of this key and from this source.
    ///
    /// # Errors
    /// [`Fault::NoPlace`].
    pub(crate) fn take(&self, (key, source): Whose) -> Result<Place, Fault> {
        let holders = [Holder::Key(key), Holder::Source(network(source))];
        let mut taken = self.lock();
        // Each place has one source.
        let all: usize = taken.iter().filter(|(who, _)| matches!(who, Holder::Source(_))).map(|(_, held)| held).sum();
        let most = self.places.div_ceil(2);
        if all >= self.places || holders.iter().any(|who| taken.get(who).is_some_and(|held| *held >= most)) {
            return Err(Fault::NoPlace { what: self.what });
        }
        for who in &holders {
            *taken.entry(who.clone()).or_insert(0) += 1;
        }
        Ok(Place { room: self.clone(), holders })
    }

    // A panic while the map was locked cannot leave it half-changed: each critical section is a few map operations.
    fn lock(&self) -> MutexGuard<'_, HashMap<Holder, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.room.lock();
        for who in &self.holders {
            if let Some(held) = taken.get_mut(who) {
                *held -= 1;
            }
        }
        taken.retain(|_, held| *held > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_and_one_source_hold_half_of_the_places() {
        let room = Room::new(4, "files");
        let take =
            |key: &str, source: &str| room.take((KeyId::new(key).expect("an id"), source.parse().expect("an address")));
        let mut held = vec![take("a", "192.0.2.1").expect("free"), take("a", "192.0.2.2").expect("free")];
        assert_eq!(take("a", "192.0.2.3").err(), Some(Fault::NoPlace { what: "files" }), "the key has its half");
        held.push(take("b", "192.0.2.1").expect("free"));
        assert!(take("c", "192.0.2.1").is_err(), "the source has its half");
        held.push(take("c", "2001:db8::1").expect("free"));
        assert!(take("d", "192.0.2.9").is_err(), "all are taken");
        held.remove(0);
        assert!(take("a", "192.0.2.9").is_ok(), "one was given back");
        drop(held);
        assert!(room.lock().is_empty());
        assert!(Room::new(0, "files").take((KeyId::new("a").expect("an id"), IpAddr::from([192, 0, 2, 1]))).is_err());
    }
}
