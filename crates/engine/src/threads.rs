//! Threads from outside: what is taken out of them. What they do to a call is in `live`.

use crate::calls::Calls;
use callwright_domain::CallId;
use callwright_store::{StoreError, ThreadKey};

impl Calls {
    /// Takes a line out of a thread: calls dialled from now on are not told of it. `seq` is the place of the line in the
    /// call's journal, which stays as it was. `false`: the thread has no such line; taking it out again is harmless.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn forget(&self, key: ThreadKey, call: CallId, seq: u64) -> Result<bool, StoreError> {
        self.node.store.forget(key, call, seq).await
    }

    /// Removes a written message from a thread and from what its user reads; `false`: there was none.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn forget_message(&self, key: ThreadKey, id: u128) -> Result<bool, StoreError> {
        self.node.store.delete_chat(key.account, key.thread, id).await
    }
}
