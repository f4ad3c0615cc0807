//! The end of a stream: the task behind it stops when its handle is dropped.

use tokio::task::JoinHandle;

/// Keeps a provider's task alive; dropping it ends the task.
#[derive(Debug)]
pub struct Running(JoinHandle<()>);

impl Running {
    /// Spawns `work` and ties it to the returned handle.
    pub fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}
