//! The writing verbs about calls that wait for a place.

use super::Store;
use crate::StoreError;
use crate::calls::{Seat, WaitingLine};
use crate::sql::waiting;
use callwright_domain::{AccountId, CallId, Moment};
use std::sync::Arc;

impl Store {
    /// Gives the first call of a line its place when one is free, or ends it when its patience is at its end or the rules
    /// have come to forbid it: one call, in the transaction that counts the places.
    ///
    /// # Errors
    /// As the database says.
    pub async fn seat(&self, line: WaitingLine, now: Moment) -> Result<Seat, StoreError> {
        let me = Arc::clone(&self.me);
        let told =
            self.writer.write(move |conn| Box::pin(async move { waiting::seat(conn, &me, &line, now).await })).await?;
        Ok(self.rung(told))
    }

    /// Ends a call whose patience is at its end, wherever in its line it stands; harmless when it does not wait any more.
    ///
    /// # Errors
    /// As the database says.
    pub async fn give_up(&self, account: AccountId, call: CallId, now: Moment) -> Result<Seat, StoreError> {
        let (me, key) = (Arc::clone(&self.me), (account, call));
        let told = self
            .writer
            .write(move |conn| Box::pin(async move { waiting::give_up(conn, &me, &key, now).await }))
            .await?;
        Ok(self.rung(told))
    }
}
