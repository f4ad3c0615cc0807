//! Where each member of the requests that make calls stands, against the vendor's page and ours. The vendor has no schema:
//! the lists are those of its reference.

use crate::places::Place::{Effect, Ignored};
use crate::places::{Operation, Place, check};

const PAGE: &str = include_str!("../../../../../docs/happyrobot.md");
/// Where the tests are that are named here.
const SOURCES: [&str; 3] = [
    include_str!("retries.rs"),
    include_str!("../../../tests/door/happyrobot.rs"),
    include_str!("../../../tests/door/happyrobot_more.rs"),
];

const OUTBOUND: [&str; 15] = [
    "number_id",
    "phone_number",
    "use_case_id",
    "agent_id",
    "model_id",
    "prompt_id",
    "language",
    "params",
    "metadata",
    "campaign_id",
    "scheduled_for",
    "max_duration_mins",
    "assistant_id",
    "voice_id",
    "model",
];
/// What `POST /dial/scheduled` has beside those.
const SCHEDULED: [&str; 6] =
    ["calls", "csv_file", "staggered_interval_minutes", "campaign_name", "retry_logic", "max_retries"];
/// Members of one of its calls.
const CALLS: [&str; 5] = ["phone_number", "scheduled_date", "scheduled_time", "timezone", "max_duration_mins"];

/// Shown by the call that a request with every member makes.
const ASKED: &str = "a_call_comes_back_as_it_was_asked_for";
const PARTS: &str = "each_id_takes_its_part_of_an_agent";
const TOGETHER: &str = "many_calls_are_made_together_and_found_by_every_filter";

fn outbound() -> Vec<(&'static str, Place)> {
    vec![
        ("number_id", Effect("ids_are_found_and_given")),
        ("phone_number", Effect(ASKED)),
        ("use_case_id", Effect("ids_are_found_and_given")),
        ("agent_id", Effect(PARTS)),
        ("model_id", Effect(PARTS)),
        ("prompt_id", Effect(PARTS)),
        ("language", Effect(ASKED)),
        ("params", Effect(ASKED)),
        ("metadata", Effect(ASKED)),
        ("campaign_id", Effect(ASKED)),
        ("scheduled_for", Effect(ASKED)),
        ("max_duration_mins", Effect(ASKED)),
        ("assistant_id", Effect(PARTS)),
        ("voice_id", Effect(PARTS)),
        ("model", Ignored),
    ]
}

fn listed(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The rows of the page under a heading.
fn section(heading: &str) -> &'static str {
    PAGE.split(heading).nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a section")
}

#[test]
fn every_member_stands_in_one_place() {
    let page = section("## `POST /dial/outbound`");
    check(&Operation { name: "outbound", parameters: listed(&OUTBOUND), places: outbound(), page }, &SOURCES);
    let places = vec![
        ("calls", Effect(TOGETHER)),
        ("csv_file", Effect("a_file_of_callees_makes_their_calls")),
        ("staggered_interval_minutes", Effect(TOGETHER)),
        ("campaign_name", Effect(TOGETHER)),
        ("retry_logic", Effect("rules_come_to_a_plan")),
        ("max_retries", Effect("rules_come_to_a_plan")),
    ];
    let page = section("## `POST /dial/scheduled`");
    check(&Operation { name: "scheduled", parameters: listed(&SCHEDULED), places, page }, &SOURCES);
    let places = CALLS.iter().map(|name| (*name, Effect(TOGETHER))).collect();
    let page = section("### Each of `calls`");
    check(&Operation { name: "calls", parameters: listed(&CALLS), places, page }, &SOURCES);
}
