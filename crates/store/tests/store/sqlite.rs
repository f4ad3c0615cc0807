//! The conformance suite on the embedded database.

use crate::suite;
use callwright_store::{Store, StoreSettings};

macro_rules! conforms {
    ($($area:ident :: $check:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                let opened = Store::open(StoreSettings::in_memory("a"), suite::NOW).await.expect("opens");
                suite::$area::$check(opened).await;
            }
        )*
    };
}

conforms! {
    configuration::is_written_replaced_read_and_removed,
    configuration::another_account_sees_and_touches_nothing,
    configuration::agents_come_in_pages,
    configuration::vendor_ids_pair_once,
    admission::the_rules_are_asked,
    admission::the_cap_holds_under_contention,
    admission::the_cap_holds_while_calls_end,
    admission::a_repeat_is_replayed,
    admission::a_key_is_forgotten_after_a_day,
    admission::keys_out_of_shape_are_refused,
    admission::fifty_repeats_at_once_make_one_call,
    admission::a_nonce_works_once,
    life::a_whole_life_is_kept,
    life::illegal_events_change_nothing,
    life::the_first_ending_stands,
    life::an_end_by_append_writes_the_record_too,
    life::each_attempt_has_its_record,
    life::due_calls_are_given_out_once_in_order,
    life::lists_are_narrowed_and_paged,
    campaigns::an_import_counts_whole_or_not_at_all,
    campaigns::a_row_is_called_once_for_each_attempt,
    campaigns::a_refused_launch_changes_nothing,
    campaigns::a_pause_and_a_stop_hold_at_once,
    campaigns::another_account_sees_no_campaign,
}
