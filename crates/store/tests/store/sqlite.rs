//! The conformance suite on the embedded database.

use crate::suite;
use callwright_store::{Opened, Store, StoreSettings};

async fn open() -> Option<Opened> {
    Some(Store::open(StoreSettings::in_memory("a"), suite::NOW).await.expect("opens"))
}

crate::conformance!(open);
