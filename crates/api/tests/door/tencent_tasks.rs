//! Tencent's tasks over a real socket: every parameter's effect on the campaign behind it, what is refused, and what is read
//! back.

use crate::support::{NOW, OTHER_KEY, OTHER_NUMBER, Server, server};
use crate::tencent::{Tc3, numbered, request};
use callwright_domain::CampaignId;
use callwright_domain::campaign::Campaign;
use callwright_store::{AliasKind, CampaignKey, RowFilter};
use serde_json::{Value, json};

const CREATE: &str = "CreateAutoCalloutTask";

/// A task that begins tomorrow.
fn task(more: Value) -> Tc3 {
    let now = NOW.millis() / 1000;
    let mut parameters = json!({
        "NotBefore": now + 86_400, "Callees": ["0015550201", "0015550202"], "Callers": ["0015550100"], "AIAgentId": 15,
    });
    parameters.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    request(CREATE, parameters)
}

async fn campaign(server: &Server, task: &Value) -> (CampaignKey, Campaign) {
    let (calls, account) = (server.node.calls(), server.node.account());
    let all = calls.reader().aliases(&account, "tencent", &[AliasKind::Task]).await.expect("readable");
    let number = task.to_string();
    let found = all.into_iter().find(|alias| alias.outer == number).expect("a task");
    let id: CampaignId = found.inner_as().expect("ours");
    let key = CampaignKey { account, id };
    let campaign = calls.reader().campaign(&key).await.expect("readable").expect("there");
    (key, campaign)
}

#[tokio::test]
async fn every_parameter_of_a_task_has_its_effect() {
    let server = server().await;
    numbered(&server).await;
    let now = NOW.millis() / 1000;
    let asked = json!({
        "Name": "Spring", "Description": "The spring campaign", "NotAfter": now + 172_800, "Tries": 3,
        "RetryInterval": 900, "RetryHangupTypes": ["202", "206", "212"], "MaxRingTimeoutSecond": 25,
        "Variables": [{"Key": "name", "Value": "you"}, {"Key": "welcome-message-delay", "Value": "2"}], "UUI": "all",
        "CalleeAttributes": [{"Callee": "0015550202", "UUI": "own", "Variables": [{"Key": "name", "Value": "Li"}]}],
        "TimeZone": "Europe/Madrid", "ConcurrencyLimit": 3, "RetryTags": [], "TriggerStrategy": [], "IvrId": 0,
        "AvailableWorkTimeConfig": [
            {"DayType": "Custom", "DaysOfWeek": ["Wednesday"], "TimeRanges": [{"StartTime": "09:00:00", "EndTime": "12:00:00"}]},
            {"DayType": "BusinessDay", "TimeRanges": [{"StartTime": "14:00:00", "EndTime": "16:00:00"}]},
        ],
    });
    let made = task(asked.clone()).ok(&server).await["TaskId"].clone();
    let (key, campaign) = campaign(&server, &made).await;
    let settings = serde_json::to_value(&campaign.settings).expect("JSON");
    for (name, place, wanted) in [
        ("AIAgentId", "/agent", json!(callwright_testkit::AGENT)),
        ("Name", "/name", json!("Spring")),
        ("Callers", "/callers", json!(["+15550100"])),
        ("NotBefore", "/starts", json!((now + 86_400) * 1000)),
        ("NotAfter", "/deadline", json!((now + 172_800) * 1000)),
        ("Tries", "/retry/max_attempts", json!(3)),
        ("RetryInterval", "/retry/waits_s", json!([900])),
        ("RetryHangupTypes", "/retry/on", json!(["no_answer", "busy"])),
        ("MaxRingTimeoutSecond", "/patch/limits/ring_timeout_s", json!(25)),
        ("Variables", "/variables", json!({"name": "you"})),
        ("Variables", "/patch/opening/delay_ms", json!(2000)),
        ("TimeZone", "/windows/zone", json!("Europe/Madrid")),
        ("AvailableWorkTimeConfig", "/windows/weekly/0/days", json!(["wed"])),
        ("AvailableWorkTimeConfig", "/windows/weekly/1/days/4", json!("fri")),
        ("ConcurrencyLimit", "/pace/concurrency", json!(3)),
    ] {
        assert_eq!(settings.pointer(place), Some(&wanted), "{name}");
    }
    let rows = server.node.calls().reader().campaign_rows(&key, &RowFilter::default(), 0, 10).await.expect("readable");
    let told: Vec<_> = rows
        .items
        .iter()
        .map(|row| {
            let uui = row.user_data.as_ref().map(|text| text.expose().clone());
            (row.number.expose().clone(), row.variables.get("name").cloned(), uui)
        })
        .collect();
    let row = |number: &str, name: Option<&str>, uui: &str| {
        (number.to_owned(), name.map(str::to_owned), Some(uui.to_owned()))
    };
    assert_eq!(told, [row("+15550201", None, "all"), row("+15550202", Some("Li"), "own")]);
    // The hours of every day win over those of single days.
    let daily = json!({"AvailableTime": [{"StartTime": "10:00:00", "EndTime": "11:00:00"}]});
    let mut both = asked;
    both.as_object_mut().expect("an object").extend(daily.as_object().expect("an object").clone());
    let made = task(both).ok(&server).await["TaskId"].clone();
    let (_, campaign) = self::campaign(&server, &made).await;
    let windows = campaign.settings.windows.expect("hours");
    assert_eq!((windows.weekly.len(), windows.weekly[0].from.as_str()), (1, "10:00:00"));

    let shown = request("DescribeAutoCalloutTask", json!({ "TaskId": made })).ok(&server).await;
    assert_eq!((&shown["Name"], &shown["Description"]), (&json!("Spring"), &json!("The spring campaign")));
    assert_eq!((&shown["NotBefore"], &shown["NotAfter"]), (&json!(now + 86_400), &json!(now + 172_800)));
    assert_eq!((&shown["State"], &shown["Callers"]), (&json!(0), &json!(["0015550100"])));
    assert_eq!(shown["Callees"][0], json!({"Callee": "0015550201", "State": 0, "Sessions": []}));
}

#[tokio::test]
async fn tasks_are_listed_paused_resumed_and_stopped() {
    let server = server().await;
    numbered(&server).await;
    let first = task(json!({"Name": "first"})).ok(&server).await["TaskId"].clone();
    server.pass(1000);
    let second = task(json!({"Name": "second", "MaxRingTimeoutSecond": 20})).ok(&server).await["TaskId"].clone();
    assert_ne!(first, second);
    let list = request("DescribeAutoCalloutTasks", json!({"PageSize": 1, "PageNumber": 1})).ok(&server).await;
    assert_eq!((&list["TotalCount"], &list["Tasks"][0]["TaskId"]), (&json!(2), &first), "the newest first");
    assert_eq!(list["Tasks"][0]["CalleeCount"], 2);
    let one = || json!({ "TaskId": first });
    let state = async || request("DescribeAutoCalloutTask", one()).ok(&server).await["State"].clone();
    request("PauseAutoCalloutTask", one()).ok(&server).await;
    assert_eq!(state().await, 5);
    assert_eq!(request("PauseAutoCalloutTask", one()).code(&server).await, "FailedOperation");
    request("ResumeAutoCalloutTask", one()).ok(&server).await;
    assert_eq!(state().await, 0, "it begins tomorrow");
    request("StopAutoCalloutTask", one()).ok(&server).await;
    request("StopAutoCalloutTask", one()).ok(&server).await;
    assert!([json!(3), json!(4)].contains(&state().await));
    for action in ["DescribeAutoCalloutTask", "PauseAutoCalloutTask", "ResumeAutoCalloutTask", "StopAutoCalloutTask"] {
        assert_eq!(request(action, json!({"TaskId": 99})).code(&server).await, "InvalidParameterValue", "{action}");
        let theirs = Tc3 { key: OTHER_KEY.to_owned(), ..request(action, one()) };
        assert_eq!(theirs.code(&server).await, "InvalidParameterValue.InstanceNotExist", "{action}");
    }
}

#[tokio::test]
async fn what_a_task_cannot_be_is_named_and_makes_none() {
    let server = server().await;
    numbered(&server).await;
    let (bad, now) = ("InvalidParameterValue", NOW.millis() / 1000);
    for (turn, (more, code, words)) in [
        (json!({"RetryTags": [{"TagName": "a"}]}), "UnsupportedOperation", "RetryTags"),
        (json!({"TriggerStrategy": [{"TriggerMode": "ALWAYS_ON_MATCH"}]}), "UnsupportedOperation", "TriggerStrategy"),
        (json!({"IvrId": 3}), "UnsupportedOperation", "IvrId"),
        (json!({"AIAgentId": 99}), bad, "AIAgentId"),
        (json!({"AIAgentId": null}), "MissingParameter", "AIAgentId"),
        (json!({"Callees": []}), "MissingParameter", "Callees"),
        (json!({"Callees": ["0015550201", "x"]}), bad, "Callees.1"),
        (json!({"Callers": [OTHER_NUMBER]}), "FailedOperation.NoCallOutNumber", "number"),
        (json!({"NotBefore": null}), "MissingParameter", "NotBefore"),
        (json!({"NotAfter": now - 5}), bad, "NotAfter"),
        (json!({"Tries": 4}), bad, "Tries"),
        (json!({"Tries": 2, "RetryInterval": 10}), bad, "RetryInterval"),
        (json!({"RetryHangupTypes": ["1"]}), bad, "RetryHangupTypes.0"),
        (json!({"CalleeAttributes": [{"Callee": "0015550999"}]}), bad, "CalleeAttributes.0.Callee"),
        (json!({"CalleeAttributes": [{"UUI": "x"}]}), "MissingParameter", "CalleeAttributes.0.Callee"),
        (json!({"AvailableTime": [{"StartTime": "25:00", "EndTime": "26:00"}]}), bad, "AvailableTime.0.StartTime"),
        (json!({"AvailableTime": [{"StartTime": "10:00", "EndTime": "9"}]}), bad, "AvailableTime.0.EndTime"),
        (json!({"AvailableTime": [{"StartTime": "10:00", "EndTime": "09:00"}]}), bad, "later than StartTime"),
        (json!({"TimeZone": "Mars", "AvailableTime": [{"StartTime": "09:00", "EndTime": "10:00"}]}), bad, "TimeZone"),
        (json!({"TimeZone": "Mars"}), bad, "TimeZone"),
        (json!({"AvailableWorkTimeConfig": [{"DayType": "Holiday"}]}), "UnsupportedOperation", "Holiday"),
        (json!({"AvailableWorkTimeConfig": [{"DayType": "Custom"}]}), "MissingParameter", "DaysOfWeek"),
        (json!({"ConcurrencyLimit": 0}), bad, "ConcurrencyLimit"),
        (json!({"UUI": 7}), "InvalidParameter", "UUI"),
        (json!({"Nonsense": 1}), "UnknownParameter", "Nonsense"),
    ]
    .into_iter()
    .enumerate()
    {
        // Twenty requests a second of one operation.
        if turn == 15 {
            server.pass(1000);
        }
        let error = task(more.clone()).send(&server).await.json()["Response"]["Error"].clone();
        let said = error["Message"].as_str().unwrap_or_default();
        assert!(error["Code"] == code && said.contains(words), "{more}: {error}");
    }
    server.pass(1000);
    let list = request("DescribeAutoCalloutTasks", json!({"PageSize": 10, "PageNumber": 0})).ok(&server).await;
    assert_eq!(list["TotalCount"], 0);
    // The same bytes again would be the same calls again.
    let bytes = task(json!({})).bytes();
    let codes = [server.raw(&bytes).await, server.raw(&bytes).await].map(|answer| answer.json()["Response"].clone());
    assert!(codes[0]["TaskId"].is_number(), "{}", codes[0]);
    assert_eq!(codes[1]["Error"]["Code"], "AuthFailure.SignatureExpire");
}
