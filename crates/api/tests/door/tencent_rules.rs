//! Every refusal that Tencent's callers can hear, raised by the rule that stands behind it: the rule is set as its owner
//! sets it, and the signed API is asked. The code is the vendor's, the message is the rule's own.

use crate::support::{NOW, OTHER_NUMBER, Server, server, server_over};
use crate::tencent::{call, numbered, request};
use callwright_api::{Limits, Rates};
use callwright_domain::{CallEvent, Refusal};
use callwright_engine::Clock;
use callwright_store::{Account, Ending};
use callwright_testkit::{AGENT, CALLER, NodeBuilder};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// A rule, how its owner sets it, and what is asked then.
struct Raised {
    refusal: Refusal,
    code: &'static str,
    /// Requests of the native API that set the rule.
    set: Vec<(&'static str, String, Value)>,
    /// Calls that the rule still allows.
    allowed: u32,
    /// What the refused request says beside an acceptable one.
    asked: Value,
}

fn raised(refusal: Refusal, code: &'static str) -> Raised {
    Raised { refusal, code, set: Vec::new(), allowed: 0, asked: json!({}) }
}

impl Raised {
    fn rules(mut self, rules: Value) -> Self {
        self.set.push(("PUT", String::from("/v1/rules"), rules));
        self
    }

    fn put(mut self, path: impl Into<String>, body: Value) -> Self {
        self.set.push(("PUT", path.into(), body));
        self
    }

    fn delete(mut self, path: impl Into<String>) -> Self {
        self.set.push(("DELETE", path.into(), Value::Null));
        self
    }

    fn after(mut self, allowed: u32) -> Self {
        self.allowed = allowed;
        self
    }

    fn asked(mut self, more: Value) -> Self {
        self.asked = more;
        self
    }
}

/// Rules about who is called, when and where.
fn about_callees() -> Vec<Raised> {
    let limited = "FailedOperation.CalleeIsLimited";
    let callee = |number: &str| json!({ "Callee": number });
    vec![
        raised(Refusal::CalleeBlocked, "FailedOperation.CalleeIsBlackUser")
            .put("/v1/denied/+15550123", json!({"reason": "complained"})),
        raised(Refusal::RegionBlocked, "FailedOperation.CalloutRuleBlindArea")
            .rules(json!({"regions": {"status": "on", "blocked": ["+1555"]}})),
        // The vendor's own example of a blind area, in the vendor's spelling of the number.
        raised(Refusal::RegionBlocked, "FailedOperation.CalloutRuleBlindArea")
            .rules(json!({"home": "CN", "regions": {"status": "on", "blocked": ["CN-XJ"]}}))
            .asked(callee("0086099112345678")),
        // The requests of this file are signed at 02:29 UTC.
        raised(Refusal::OutsideCallingHours, "FailedOperation.CalloutRuleNotWorkTime")
            .rules(json!({"hours": {"status": "on", "zone": "UTC", "windows": [{"from": "08:00", "to": "21:00"}]}})),
        raised(Refusal::CalleeTooOften, "FailedOperation.CalloutRuleMaxCallCountCalleeIntervalTime")
            .rules(json!({"callee": {"status": "on", "at_most": [{"calls": 3, "seconds": 300}]}}))
            .after(3),
        raised(Refusal::CalleeDailyLimit, "FailedOperation.CalloutRuleMaxCallCountCalleePerDayAppID")
            .rules(json!({"callee": {"status": "on", "per_day": 2}}))
            .after(2),
        raised(Refusal::NoConsent, "OperationDenied.NotInWhiteList").rules(json!({"consent": {"status": "on"}})),
        raised(Refusal::EmergencyNumber, limited).rules(json!({"home": "CN"})).asked(callee("110")),
        raised(Refusal::ShortNumber, limited).rules(json!({"home": "CN"})).asked(callee("1001")),
        raised(Refusal::PremiumNumber, limited).rules(json!({"home": "US"})).asked(callee("+19005550123")),
        raised(Refusal::SatelliteNumber, limited).asked(callee("0088161234567")),
        raised(Refusal::DestinationNotAllowed, limited).rules(json!({"home": "US"})).asked(callee("00442079460123")),
        raised(Refusal::OwnNumber, limited).put("/v1/numbers/+15550123", json!({"trunk": "loop"})),
    ]
}

/// Rules about who calls, and what is used up.
fn about_callers() -> Vec<Raised> {
    let none = "FailedOperation.NoCallOutNumber";
    let caller = format!("/v1/numbers/{CALLER}");
    let patient = json!({"AcquireTimeoutSecond": 0});
    vec![
        raised(Refusal::UnknownAgent, "InvalidParameterValue").asked(json!({"AIAgentId": 99})),
        raised(Refusal::CallerNotOwned, none).asked(json!({"Callers": [OTHER_NUMBER]})),
        raised(Refusal::CallerDisabled, none).put(&caller, json!({"trunk": "loop", "status": "disabled"})),
        raised(Refusal::NoCallerNumber, none).delete(&caller),
        raised(Refusal::CallerBusy, "FailedOperation.CallerOverFrequency")
            .put(&caller, json!({"trunk": "loop", "max_calls": 1}))
            .after(1),
        raised(Refusal::CallerTooOften, "FailedOperation.CallerOverFrequency")
            .rules(json!({"caller": {"status": "on", "at_most": [{"calls": 2, "seconds": 60}]}}))
            .after(2),
        raised(Refusal::AccountTooOften, "FailedOperation.AIConcurrentOverFrequency")
            .rules(json!({"account": {"status": "on", "at_most": [{"calls": 1, "seconds": 3600}]}}))
            .after(1),
        raised(Refusal::NoTrunk, "FailedOperation.CallOutFailed")
            .put("/v1/trunks/loop", json!({"host": "127.0.0.1", "enabled": "off"})),
        raised(Refusal::AgentBusy, "FailedOperation.AcquireQuota")
            .put(format!("/v1/agents/{AGENT}/rules"), json!({"agent_calls": 1}))
            .after(1)
            .asked(patient),
        raised(Refusal::PlanExpired, "LimitExceeded.BasePackageExpired")
            .rules(json!({"quota": {"status": "on", "ends": "2026-11-20"}})),
    ]
}

/// A server that accepts calls and has no place to dial one: what was accepted stays as it was, whatever the node's own clock
/// says.
async fn accepting() -> Server {
    let nowhere = ([127, 0, 0, 1], 9).into();
    let clock = Clock::new(|| NOW);
    let builder = NodeBuilder { max_calls: 0, clock, ..NodeBuilder::to_address(nowhere) };
    let server = server_over(builder, Limits::default(), Rates::default()).await;
    numbered(&server).await;
    server
}

/// Asks; the code and the words of the refusal.
async fn refused(server: &Server, turn: u32, more: Value) -> (String, String) {
    // Bytes that came before are the same request again: each has something of its own.
    let mut tried = call(json!({"MaxRingTimeoutSecond": 20 + turn}));
    tried.body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let error = tried.send(server).await.json()["Response"]["Error"].clone();
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    (text("Code"), text("Message"))
}

#[tokio::test]
async fn every_rule_raises_the_vendors_code() {
    let mut seen = BTreeSet::new();
    for row in about_callees().into_iter().chain(about_callers()) {
        let server = accepting().await;
        for (method, path, body) in row.set {
            let answer = server.native(method, &path, &body).await;
            assert!(answer.status < 300, "{path}: {}", answer.json());
        }
        for turn in 0..row.allowed {
            let (code, message) = refused(&server, turn, json!({})).await;
            assert_eq!((code.as_str(), message.as_str()), ("", ""), "{:?}, call {turn}", row.refusal);
        }
        let (code, message) = refused(&server, row.allowed, row.asked).await;
        assert_eq!(code, row.code, "{:?}: {message}", row.refusal);
        assert!(message.contains(&row.refusal.to_string()) || row.refusal == Refusal::UnknownAgent, "{message}");
        seen.insert(row.refusal.id());
    }
    // Below, and one that only calls of a campaign can meet: places on the node are waited for.
    let elsewhere = [Refusal::AccountBusy, Refusal::QuotaUsedUp, Refusal::Draining, Refusal::NodeBusy];
    seen.extend(elsewhere.map(Refusal::id));
    assert_eq!(seen, Refusal::ALL.map(Refusal::id).into());
}

#[tokio::test]
async fn minutes_that_were_talked_use_the_quota_up() {
    let server = server().await;
    numbered(&server).await;
    let rules = json!({"quota": {"status": "on", "minutes_per_day": 2}});
    assert_eq!(server.native("PUT", "/v1/rules", &rules).await.status, 200);
    let body = json!({"agent": AGENT, "to": "+15550124", "scheduled_for": "2099-01-01T00:00:00Z"});
    let talked = server.native("POST", "/v1/calls", &body).await.json();
    let talked = talked["id"].as_str().and_then(|id| id.parse().ok()).expect("a call");
    let answered = CallEvent::Answered { dialog: String::new(), codec: "PCMU".into() };
    let at = |seconds: u64| NOW.after(Duration::from_secs(seconds));
    let intent = serde_json::from_value(json!({"event": "dialing", "intent": {
        "attempt": 1, "call_id": "c", "from_tag": "f", "branch": "b", "cseq": 1, "trunk": null, "dialog": ""}}));
    let dialing: CallEvent = intent.expect("an event");
    server.node.store().append(talked, vec![(at(0), dialing), (at(1), answered)]).await.expect("written");
    let ending = Ending::from(callwright_domain::HangupCause::CalleeHungUp);
    server.node.store().finish(talked, at(121), ending).await.expect("written");
    let (code, message) = refused(&server, 0, json!({})).await;
    assert_eq!((code.as_str(), message), ("LimitExceeded.BasePackageExpired", Refusal::QuotaUsedUp.to_string()));
}

#[tokio::test]
async fn a_place_is_waited_for_as_long_as_the_request_says() {
    let server = accepting().await;
    let account = Account { id: server.node.account(), name: String::new(), max_calls: 1 };
    server.node.store().put_account(account).await.expect("stored");
    let first = call(json!({})).ok(&server).await["SessionId"].clone();
    let (code, message) = refused(&server, 0, json!({"AcquireTimeoutSecond": 0})).await;
    assert_eq!((code.as_str(), message), ("FailedOperation.AcquireQuota", Refusal::AccountBusy.to_string()));
    // One that waits gets the place of a call that ends meanwhile.
    let waiting = call(json!({"AcquireTimeoutSecond": 5, "MaxRingTimeoutSecond": 9}));
    let hang_up = request("HangUpCall", json!({ "SessionId": first }));
    let once_it_waits = async {
        while server.node.calls().reader().waiting(NOW).await.expect("readable").lines.is_empty() {
            tokio::task::yield_now().await;
        }
        hang_up.ok(&server).await
    };
    let (started, _) = tokio::join!(waiting.ok(&server), once_it_waits);
    assert!(started["SessionId"].is_string(), "{started}");
}

#[tokio::test]
async fn callers_are_tried_in_their_order() {
    let server = accepting().await;
    let second = "+15550101";
    for (number, most) in [(CALLER, 1), (second, 2)] {
        let body = json!({"trunk": "loop", "max_calls": most});
        assert!(server.native("PUT", &format!("/v1/numbers/{number}"), &body).await.status < 300);
    }
    let mut shown = Vec::new();
    for ringing in 20..24 {
        let more = json!({"Callers": [OTHER_NUMBER, CALLER, second], "MaxRingTimeoutSecond": ringing});
        let answer = call(more).send(&server).await.json()["Response"].clone();
        match answer["SessionId"].as_str() {
            Some(session) => {
                let asked = request("DescribeTelSession", json!({ "SessionId": session }));
                shown.push(asked.ok(&server).await["Session"]["Caller"].as_str().expect("a number").to_owned());
            }
            None => shown.push(answer["Error"]["Code"].as_str().expect("a code").to_owned()),
        }
    }
    let last = "FailedOperation.CallerOverFrequency";
    assert_eq!(shown, ["0015550100", "0015550101", "0015550101", last], "every one of them is over by then");
}

#[tokio::test]
async fn a_server_that_goes_down_says_so() {
    let server = server().await;
    numbered(&server).await;
    server.node.engine().drain(std::future::ready(())).await;
    let (code, message) = refused(&server, 0, json!({})).await;
    assert_eq!((code.as_str(), message), ("ServiceUnavailable", Refusal::Draining.to_string()));
}
