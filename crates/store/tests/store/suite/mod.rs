//! What every backend must do, told once: each check gets a freshly opened, empty store.

pub(crate) mod admission;
pub(crate) mod browsers;
pub(crate) mod campaigns;
pub(crate) mod chats;
pub(crate) mod configuration;
pub(crate) mod extracts;
pub(crate) mod life;
pub(crate) mod outbox;
pub(crate) mod privacy;
pub(crate) mod retries;
pub(crate) mod rules;
pub(crate) mod shares;
pub(crate) mod threads;
pub(crate) mod waiting;

/// Every check as a test of its own, on stores that `$open` gives; none: this backend is switched off.
#[macro_export]
macro_rules! conformance {
    ($open:path) => {
        $crate::conformance! { $open =>
            configuration::is_written_replaced_read_and_removed,
            configuration::another_account_sees_and_touches_nothing,
            configuration::agents_come_in_pages,
            configuration::what_a_call_is_made_from_is_read_whole,
            configuration::vendor_ids_pair_once,
            admission::the_rules_are_asked,
            admission::the_cap_holds_under_contention,
            admission::a_crowd_is_answered_one_by_one,
            admission::several_are_admitted_together_or_not_at_all,
            admission::crowds_that_are_admitted_together_wait_for_no_circle,
            admission::the_cap_holds_while_calls_end,
            admission::a_limit_of_the_account_holds_over_its_numbers,
            admission::a_call_that_has_ended_is_not_permitted,
            admission::a_repeat_is_replayed,
            admission::a_key_is_forgotten_after_a_day,
            admission::keys_out_of_shape_are_refused,
            admission::fifty_repeats_at_once_make_one_call,
            admission::a_vendors_id_is_kept_with_its_call,
            admission::a_nonce_works_once,
            browsers::a_call_that_is_met_waits_to_be_joined,
            browsers::one_that_joins_takes_the_call,
            browsers::who_is_not_joined_in_time_is_given_out,
            browsers::a_channel_has_one_call_that_is_not_over,
            browsers::limits_count_calls_that_are_met,
            browsers::an_account_has_one_application,
            extracts::a_call_that_wants_it_is_looked_into_once,
            extracts::what_was_begun_is_given_out_again,
            life::a_whole_life_is_kept,
            life::illegal_events_change_nothing,
            life::the_first_ending_stands,
            life::an_end_by_append_writes_the_record_too,
            life::each_attempt_has_its_record,
            life::due_calls_are_given_out_once_in_order,
            life::lists_are_narrowed_and_paged,
            life::what_happened_since_is_read_by_pages,
            life::a_call_is_amended_until_it_is_over,
            life::what_is_written_again_stands_once,
            campaigns::an_import_counts_whole_or_not_at_all,
            campaigns::a_row_is_called_once_for_each_attempt,
            campaigns::a_refused_launch_changes_nothing,
            campaigns::a_pause_and_a_stop_hold_at_once,
            campaigns::a_pause_reaches_calls_that_wait_to_be_dialled,
            campaigns::a_row_of_an_erased_number_is_not_given_back,
            campaigns::windows_and_the_guard_reach_calls_that_wait_to_be_dialled,
            campaigns::a_row_waits_for_the_hour_of_its_callee,
            campaigns::a_broken_import_keeps_no_campaign_from_its_end,
            campaigns::a_campaign_that_was_left_is_taken_at_once,
            campaigns::another_account_sees_no_campaign,
            chats::messages_come_back_in_their_order,
            chats::another_account_reads_and_removes_nothing,
            chats::what_is_kept_is_announced_with_it,
            chats::messages_expire_with_the_words_of_calls,
            outbox::messages_come_with_their_events_in_order,
            outbox::what_a_message_is_about_is_read_whole,
            outbox::a_clock_that_was_ahead_makes_nobody_wait,
            outbox::settled_messages_are_listed_and_replayed,
            outbox::endpoints_are_switched_off_and_announced,
            outbox::another_account_hears_and_sees_nothing,
            outbox::a_call_brings_its_own_endpoint_or_neither_exists,
            rules::lists_are_asked_at_accept_and_at_dial,
            rules::counts_are_exact_under_contention,
            rules::a_call_that_is_dialled_meanwhile_counts,
            rules::limits_that_cross_are_exact_and_in_nobodys_way,
            rules::an_agent_has_rules_of_its_own,
            rules::consent_is_asked_when_it_is_required,
            rules::what_is_due_later_holds_no_place,
            rules::calls_out_of_hours_are_refused_or_put_off,
            rules::what_is_put_off_is_judged_for_its_opening,
            rules::quotas_are_used_up,
            rules::a_quota_holds_while_calls_are_up,
            rules::a_quota_holds_for_what_was_due_later,
            rules::who_comes_near_a_limit_is_told_once,
            rules::a_callee_is_where_the_account_says,
            rules::what_is_tried_out_leaves_nothing,
            rules::a_long_list_is_taken_and_asked,
            shares::a_second_grants_no_more_than_it_has,
            shares::the_channels_of_a_trunk_are_no_more_than_it_has,
            shares::a_channel_goes_with_its_call,
            shares::turns_are_as_far_apart_as_they_are_to_be,
            threads::calls_of_a_thread_are_found_newest_first,
            threads::events_of_a_thread_come_in_order_and_in_portions,
            threads::a_line_is_taken_out_by_its_owner_alone,
            threads::a_campaigns_call_joins_the_thread_of_its_plan,
            privacy::what_outlives_its_rules_goes_and_nothing_else,
            privacy::a_number_is_erased_from_its_account,
            privacy::an_erased_number_stays_on_the_deny_list_without_being_there,
            privacy::a_consent_that_was_taken_back_is_not_forgotten,
            privacy::what_waits_for_an_erased_number_is_to_be_taken_back,
            privacy::nothing_follows_to_a_number_that_is_being_erased,
            retries::a_call_is_followed_as_its_plan_says,
            retries::an_end_that_is_repeated_is_followed_once,
            retries::a_retry_is_judged_like_any_other,
            retries::a_retry_that_is_late_waits_for_its_hours,
            retries::the_calls_endpoint_hears_of_its_retries,
            waiting::a_free_place_is_whose_turn_it_is,
            waiting::places_are_exact_while_many_wait,
            waiting::patience_ends_with_a_name,
            waiting::who_was_due_later_waits_for_an_hour,
            waiting::who_waits_for_an_agent_is_in_nobody_elses_way,
            waiting::the_rules_are_asked_before_a_place_is_given,
            waiting::a_pool_waits_for_any_of_its_numbers,
            waiting::a_pool_is_filled_exactly_under_contention,
            waiting::the_next_number_is_tried,
        }
    };
    ($open:path => $($area:ident :: $check:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                if let Some(opened) = $open().await {
                    $crate::suite::$area::$check(opened).await;
                }
            }
        )*
    };
}

use callwright_domain::agent::Switch;
use callwright_domain::{
    AccountId, AgentId, AgentProfile, CallEvent, CallId, CallPlan, DialIntent, Moment, Origin, PhoneNumber, Telephone,
    TrunkId, Way,
};
use callwright_store::{Admission, Number, Patience, Store, Trunk, TrunkSettings};
use std::collections::BTreeMap;

pub(crate) const NOW: Moment = Moment(1_700_000_000_000);
pub(crate) const CALLER: &str = "+4930123456";

pub(crate) fn account(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

pub(crate) fn number(text: &str) -> PhoneNumber {
    PhoneNumber::parse(text).unwrap()
}

pub(crate) fn call(id: u128) -> CallId {
    CallId::from_entropy(id)
}

pub(crate) fn later(ms: i64) -> Moment {
    Moment(NOW.millis() + ms)
}

pub(crate) fn plan(owner: &AccountId, id: u128) -> CallPlan {
    CallPlan {
        id: call(id),
        account: owner.clone(),
        agent_id: AgentId::new("desk").unwrap(),
        agent: AgentProfile::default(),
        way: Way::Telephone(Telephone {
            callee: number("+4915112345678"),
            caller: number(CALLER),
            trunk: TrunkId::new("main").unwrap(),
            spare_trunks: Vec::new(),
            spare_callers: Vec::new(),
        }),
        variables: BTreeMap::from([("name".to_owned(), "Ada".to_owned())]),
        user_data: None,
        thread: None,
        created: NOW,
        due: NOW,
        deadline: None,
        wait_ms: 0,
        retry: None,
        campaign: None,
        redaction: callwright_domain::Redaction::default(),
        talks_ms: None,
        origin: Origin { dialect: "native".into(), memo: String::new() },
    }
}

/// Another callee for a call.
pub(crate) fn rings(plan: &mut CallPlan, callee: &str) {
    if let Way::Telephone(telephone) = &mut plan.way {
        telephone.callee = number(callee);
    }
}

pub(crate) fn admission(owner: &AccountId, id: u128) -> Admission {
    Admission { plan: plan(owner, id), idempotency: None, endpoint: None, alias: None, patience: Patience::AnyPlace }
}

pub(crate) fn dialing(attempt: u32) -> CallEvent {
    let intent = DialIntent {
        trunk: None,
        attempt,
        call_id: "c@x".into(),
        from_tag: "f".into(),
        branch: "z9hG4bK1".into(),
        cseq: 1,
        dialog: String::new(),
    };
    CallEvent::Dialing { intent }
}

pub(crate) fn answered() -> CallEvent {
    CallEvent::Answered { dialog: "dialog text".into(), codec: "PCMU".into() }
}

/// An account with a trunk `main` and the number [`CALLER`].
pub(crate) async fn equip(store: &Store, owner: &AccountId) {
    let main = TrunkId::new("main").unwrap();
    let trunk = Trunk { id: main.clone(), settings: TrunkSettings::default(), enabled: Switch::On };
    store.put_trunk(owner.clone(), trunk).await.unwrap();
    store.put_number(Number::new(owner.clone(), number(CALLER), main)).await.unwrap();
}
