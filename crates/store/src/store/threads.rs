//! The writing verb about threads.

use super::Store;
use crate::StoreError;
use crate::sql::threads;
use crate::threads::ThreadKey;
use callwright_domain::CallId;

impl Store {
    /// Takes a line out of a thread: later calls are not told of it. The call's own journal stays as it was. `false`:
    /// the thread has no such line; taking it out again is harmless.
    ///
    /// # Errors
    /// As the database says.
    pub async fn forget(&self, key: ThreadKey, call: CallId, seq: u64) -> Result<bool, StoreError> {
        self.writer.write(move |conn| Box::pin(async move { threads::forget(conn, &key, (call, seq)).await })).await
    }
}
