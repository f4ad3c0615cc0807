//! The browser of tests on a socket of loopback. Hides the task that drives it. Taken by its path like `browser`.

use super::PATIENCE;
use super::browser::{Browser, Speaks};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::Notify;

/// The clock is looked at so often at least: what was ordered from outside may have moved it.
const LONGEST_REST: Duration = Duration::from_millis(50);

/// A browser on a socket of loopback, driven by a task until it is dropped.
pub struct OnlineBrowser {
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    browser: Mutex<Browser>,
    socket: UdpSocket,
    /// Rung when something may have happened.
    news: Notify,
}

impl OnlineBrowser {
    /// A browser on a port that the system chooses, and its offer.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(speaks: Speaks) -> io::Result<(Self, String)> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let (browser, offer) = Browser::new(Instant::now(), socket.local_addr()?, speaks);
        let shared = Arc::new(Shared { browser: Mutex::new(browser), socket, news: Notify::new() });
        let task = tokio::spawn(drive(Arc::clone(&shared)));
        Ok((Self { shared, task }, offer))
    }

    /// Takes the answer.
    ///
    /// # Errors
    /// As [`Browser::answered`].
    pub async fn answered(&self, answer: &str) -> Result<(), String> {
        self.with(|browser| browser.answered(Instant::now(), answer)).await
    }

    /// Lets it do something, and sends what comes of it.
    pub async fn with<T>(&self, act: impl FnOnce(&mut Browser) -> T) -> T {
        let outcome = act(&mut self.shared.locked());
        self.shared.send().await;
        outcome
    }

    /// Waits until it gives what is wanted; `None` when it does not within [`PATIENCE`].
    pub async fn until<T>(&self, mut wanted: impl FnMut(&mut Browser) -> Option<T>) -> Option<T> {
        let watch = async {
            loop {
                let news = self.shared.news.notified();
                if let Some(found) = wanted(&mut self.shared.locked()) {
                    return found;
                }
                news.await;
            }
        };
        tokio::time::timeout(PATIENCE, watch).await.ok()
    }
}

impl Drop for OnlineBrowser {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn locked(&self) -> MutexGuard<'_, Browser> {
        self.browser.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self) {
        loop {
            let Some((to, bytes)) = self.locked().poll() else { break };
            // Loopback loses nothing that a test would miss.
            let _sent = self.socket.send_to(&bytes, to).await;
        }
        self.news.notify_waiters();
    }
}

async fn drive(shared: Arc<Shared>) {
    let mut datagram = [0; 2048];
    loop {
        let due = shared.locked().due().min(Instant::now() + LONGEST_REST);
        tokio::select! {
            biased;
            came = shared.socket.recv_from(&mut datagram) => if let Ok((length, source)) = came {
                shared.locked().handle(Instant::now(), source, &datagram[..length]);
            },
            () = tokio::time::sleep_until(due.into()) => shared.locked().time(Instant::now()),
        }
        shared.send().await;
    }
}
