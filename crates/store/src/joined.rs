//! Reads that are asked for by several at once and carried out once for all of them. Hides who waits for which; never gives
//! an answer that was begun before it was asked for, so that whoever has changed something reads the change.

use crate::StoreError;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Keys that are kept before those that nobody waits for any more are looked for.
const KEPT: usize = 1024;

type Read<T> = Shared<BoxFuture<'static, Result<T, StoreError>>>;
type Faint<T> = WeakShared<BoxFuture<'static, Result<T, StoreError>>>;

/// Reads of one kind by what they ask for. At most one of a key is under way, and one that begins when it ends.
pub(crate) struct Joined<K, T>(Arc<Mutex<HashMap<K, Queue<T>>>>);

/// Both belong to those who wait: a read that nobody waits for any more is dropped.
struct Queue<T> {
    under_way: Option<Faint<T>>,
    /// Whoever comes now is answered by this.
    next: Option<Faint<T>>,
}

impl<T> Queue<T> {
    fn is_over(&self) -> bool {
        [&self.under_way, &self.next].into_iter().flatten().all(|read| read.upgrade().is_none())
    }
}

impl<K, T> Clone for Joined<K, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, T> Default for Joined<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K, T> Joined<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// The answer of a read of `key` that begins after this was called: `read`, or the same that somebody else brought.
    ///
    /// # Errors
    /// As the read says, to all who wait for it.
    pub(crate) async fn ask<F>(&self, key: K, read: F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let mine = self.join(key, read);
        mine.await
    }

    fn join<F>(&self, key: K, read: F) -> Read<T>
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let mut queues = self.lock();
        if queues.len() >= KEPT && !queues.contains_key(&key) {
            queues.retain(|_, queue| !queue.is_over());
        }
        let queue = queues.entry(key.clone()).or_insert_with(|| Queue { under_way: None, next: None });
        if let Some(next) = queue.next.as_ref().and_then(Faint::upgrade) {
            return next;
        }
        let before = queue.under_way.as_ref().and_then(Faint::upgrade);
        let joined = self.clone();
        let turn = async move {
            if let Some(before) = before {
                // Its answer is for those who asked for it; only its end is waited for.
                drop(before.await);
            }
            joined.begin(&key);
            let answer = read.await;
            joined.end(&key);
            answer
        };
        let turn = turn.boxed().shared();
        queue.next = turn.downgrade();
        turn
    }

    /// From here on whoever asks wants another read.
    fn begin(&self, key: &K) {
        if let Some(queue) = self.lock().get_mut(key) {
            queue.under_way = queue.next.take();
        }
    }

    fn end(&self, key: &K) {
        let mut queues = self.lock();
        if let Some(queue) = queues.get_mut(key) {
            queue.under_way = None;
            if queue.is_over() {
                queues.remove(key);
            }
        }
    }

    // A panic while the map was locked cannot leave it half-changed: each critical section is a few map operations.
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Queue<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Notify;

    /// Reads that say how many have begun before them, and end when they are told.
    #[derive(Clone, Default)]
    struct Table {
        joined: Joined<&'static str, u32>,
        begun: Arc<AtomicU32>,
        ended: Arc<Notify>,
    }

    impl Table {
        fn ask(&self, key: &'static str) -> Read<u32> {
            let (begun, ended) = (Arc::clone(&self.begun), Arc::clone(&self.ended));
            self.joined.join(key, async move {
                let number = begun.fetch_add(1, Ordering::Relaxed) + 1;
                ended.notified().await;
                Ok(number)
            })
        }

        fn end_one(&self) {
            self.ended.notify_one();
        }
    }

    #[tokio::test]
    async fn those_who_ask_while_a_read_is_under_way_share_the_next() {
        let table = Table::default();
        let mut first = table.ask("a");
        assert!((&mut first).now_or_never().is_none());
        let (second, third) = (table.ask("a"), table.ask("a"));
        table.end_one();
        assert_eq!(first.await.unwrap(), 1);
        table.end_one();
        assert_eq!(second.await.unwrap(), 2, "not the answer of a read that began before it was asked for");
        assert_eq!(third.await.unwrap(), 2);
        assert_eq!(table.begun.load(Ordering::Relaxed), 2);
        assert!(table.joined.lock().is_empty());
    }

    #[tokio::test]
    async fn those_who_ask_before_it_begins_share_it_and_other_keys_do_not_wait() {
        let table = Table::default();
        let (first, second) = (table.ask("a"), table.ask("a"));
        let mut other = table.ask("b");
        assert!((&mut other).now_or_never().is_none(), "it has begun");
        table.end_one();
        assert_eq!(other.await.unwrap(), 1);
        table.end_one();
        assert_eq!((first.await.unwrap(), second.await.unwrap()), (2, 2));
    }

    #[tokio::test]
    async fn a_read_that_nobody_waits_for_any_more_holds_nobody_up() {
        let table = Table::default();
        let mut first = table.ask("a");
        assert!((&mut first).now_or_never().is_none());
        let mut second = table.ask("a");
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        drop(second);
        let third = table.ask("a");
        table.end_one();
        assert_eq!(third.await.unwrap(), 2);
        assert!(table.joined.lock().is_empty());
    }

    #[tokio::test]
    async fn a_failure_is_told_to_all_who_wait_and_the_next_is_a_new_read() {
        let joined: Joined<&str, u32> = Joined::default();
        let away = || async { Err(StoreError::Away { detail: "gone".into() }) };
        let (first, second) = (joined.join("a", away()), joined.join("a", away()));
        assert!(first.await.is_err() && second.await.is_err());
        assert_eq!(joined.ask("a", async { Ok(7) }).await.unwrap(), 7);
    }
}
