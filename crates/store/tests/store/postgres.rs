//! The conformance suite on PostgreSQL, directly and as behind a pooler.

use crate::cluster;
use crate::suite;
use callwright_store::{Opened, Store};

async fn open() -> Option<Opened> {
    let database = cluster::database().await?;
    Some(Store::open(database.node("a"), suite::NOW).await.expect("opens"))
}

crate::conformance!(open);

mod pooled {
    //! Without prepared statements that outlive a transaction, as PgBouncer in transaction mode needs it.

    use super::{Opened, Store, cluster, suite};

    async fn open() -> Option<Opened> {
        let mut database = cluster::database().await?;
        database.url.push_str("&statement-cache-capacity=0");
        Some(Store::open(database.node("a"), suite::NOW).await.expect("opens"))
    }

    crate::conformance! { open =>
        configuration::is_written_replaced_read_and_removed,
        admission::a_repeat_is_replayed,
        life::a_whole_life_is_kept,
        life::due_calls_are_given_out_once_in_order,
        life::lists_are_narrowed_and_paged,
    }
}
