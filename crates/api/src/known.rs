//! Keys that were honoured a moment ago, so that whoever has a call on the line can hang it up while the database that keeps
//! the keys is away. Asked for nothing else; never keeps a key for longer than a key that was taken away may go on working.

use crate::fault::Fault;
use crate::sign;
use callwright_domain::{ApiKey, KeyId};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a key is known after its last use. A talk takes minutes, and so does a database to come back.
const KNOWN_FOR: Duration = Duration::from_secs(600);
/// Keys that are known at once. *Leave out* the rest: their owners wait for the database.
const MOST_KNOWN: usize = 10_000;

/// The keys that were used last.
#[derive(Debug, Default)]
pub(crate) struct KnownKeys(Mutex<HashMap<KeyId, (ApiKey, Instant)>>);

impl KnownKeys {
    /// The database has just shown this key to somebody who has its secret.
    pub(crate) fn note(&self, key: &ApiKey) {
        let (mut known, now) = (self.lock(), Instant::now());
        if known.len() >= MOST_KNOWN && !known.contains_key(&key.id) {
            known.retain(|_, (_, used)| now.duration_since(*used) < KNOWN_FOR);
            if known.len() >= MOST_KNOWN {
                return;
            }
        }
        known.insert(key.id.clone(), (key.clone(), now));
    }

    /// What the database has under this id now, shown to somebody who does not have its secret.
    pub(crate) fn correct(&self, id: &KeyId, stored: Option<ApiKey>) {
        let mut known = self.lock();
        match stored {
            None => drop(known.remove(id)),
            Some(key) => {
                if let Some((kept, _)) = known.get_mut(id) {
                    *kept = key;
                }
            }
        }
    }

    /// A key that was shown within the last minutes, when this is its secret.
    ///
    /// # Errors
    /// [`Fault::Unauthenticated`] for a wrong secret; none: it is not known, and nothing can be said about it.
    pub(crate) fn find(&self, id: &KeyId, secret: &str) -> Option<Result<ApiKey, Fault>> {
        let known = self.lock();
        let (key, used) = known.get(id)?;
        if used.elapsed() >= KNOWN_FOR {
            return None;
        }
        Some(if sign::same(key.secret.expose(), secret) { Ok(key.clone()) } else { Err(Fault::Unauthenticated) })
    }

    // A panic while the map was locked cannot leave it half-changed: each critical section is a few map operations.
    fn lock(&self) -> MutexGuard<'_, HashMap<KeyId, (ApiKey, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
