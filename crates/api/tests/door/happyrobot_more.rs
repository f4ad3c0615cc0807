//! HappyRobot's operations beside the calls themselves: notes, use, files of callees, use cases, languages.

use crate::happyrobot::{CALLEE, ask, get, message, request};
use crate::support::{NOW, Server, key_with, server, server_over, server_with};
use callwright_api::{Limits, Rates};
use callwright_domain::agent::Greeting;
use callwright_domain::{CallEvent, HangupCause, Scope};
use callwright_store::Ending;
use callwright_testkit::{AGENT, Callee, NodeBuilder, Plan, ToneVoice};
use serde_json::{Value, json};
use std::net::UdpSocket;
use std::time::Duration;

/// A call that waits for a day far away; its id.
async fn waiting(server: &Server) -> String {
    let mut body = request(server).await;
    body["scheduled_for"] = json!("2099-01-01T00:00:00Z");
    let call = ask(server, "POST", "dial/outbound", "", &body).await.json();
    call["id"].as_str().unwrap_or_else(|| panic!("{call}")).to_owned()
}

#[tokio::test]
async fn what_the_callee_cut_off_is_told_beside_what_was_heard() {
    let long = "This is a rather long greeting that goes on and on so that somebody can hang up before it ends.";
    let mut callee = Callee::start(Plan::answer()).await;
    let builder = NodeBuilder::to(&callee).agent(|agent| agent.opening.greeting = Greeting::Text(long.into()));
    let server = server_over(builder, Limits::default(), Rates::default()).await;
    let call = server.node.call().await;
    let mut line = callee.line().await;
    line.hears_altogether(Duration::from_millis(600)).await;
    line.hang_up();
    server.node.ended(call).await;
    let id = get(&server, "calls").await["calls"][0]["id"].as_str().expect("an id").to_owned();
    let transcript = get(&server, &format!("calls/{id}/transcript")).await;
    let [greeting] = transcript["messages"].as_array().expect("a list").as_slice() else { panic!("{transcript}") };
    let (heard, cut) = (greeting["content"].as_str(), greeting["interrupted_thoughts"].as_str());
    assert_eq!((heard.zip(cut)).map(|(heard, cut)| format!("{heard} {cut}")).as_deref(), Some(long), "{greeting}");
}

#[tokio::test]
async fn notes_are_written_changed_and_removed() {
    let server = server().await;
    let id = waiting(&server).await;
    let notes = format!("calls/{id}/notes");
    let first = ask(&server, "POST", &notes, "", &json!({"content": "Call back", "flagged": true})).await;
    assert_eq!(first.status, 200, "{}", first.json());
    let second = ask(&server, "POST", &notes, "", &json!({"content": "Done"})).await.json();
    let of = |call: &Value| call["notes"].as_array().cloned().unwrap_or_default();
    let listed = of(&second);
    let said = |note: &Value| (note["content"].clone(), note["flagged"].clone());
    let mut both: Vec<_> = listed.iter().map(said).collect();
    both.sort_by_key(|(content, _)| content.to_string());
    assert_eq!(both, [(json!("Call back"), json!(true)), (json!("Done"), json!(false))]);
    let note = listed[0]["id"].as_str().filter(|id| id.len() == 24).expect("an id");
    assert_eq!((&listed[0]["user_id"], &listed[0]["created_at"]), (&json!("admin"), &json!("2026-11-21T02:29:27Z")));
    let changed =
        ask(&server, "PATCH", &format!("{notes}/{note}"), "", &json!({"content": "Later", "flagged": null})).await;
    let after = of(&changed.json()).into_iter().find(|one| one["id"] == note).expect("still there");
    assert_eq!((&after["content"], &after["flagged"]), (&json!("Later"), &listed[0]["flagged"]));
    assert_eq!(of(&get(&server, &format!("calls/{id}")).await).len(), 2, "they stay with the call");
    assert_eq!(of(&get(&server, "calls").await["calls"][0]).len(), 2);
    let gone = ask(&server, "DELETE", &format!("{notes}/{note}"), "", &Value::Null).await;
    assert_eq!((gone.status, of(&gone.json()).len()), (200, 1));
    for (method, path, body, status) in [
        ("DELETE", format!("{notes}/{note}"), Value::Null, 404),
        ("PATCH", format!("{notes}/{note}"), json!({"content": "x"}), 404),
        ("POST", notes.clone(), json!({}), 400),
        ("POST", notes.clone(), json!({"content": " "}), 400),
        ("POST", notes.clone(), json!({"content": "x", "flagged": "yes"}), 400),
        ("POST", String::from("calls/65f000000000000000000000/notes"), json!({"content": "x"}), 404),
    ] {
        let answer = ask(&server, method, &path, "", &body).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", message(&answer));
    }
    let headers = format!("authorization: Bearer {}.s3cret\r\n", key_with(Scope::CallsRead));
    let body = br#"{"content": "x"}"#;
    assert_eq!(server.send("POST", &format!("/api/v1/{notes}"), &headers, body).await.status, 403);
    let theirs = format!("authorization: Bearer {}.s3cret\r\n", crate::support::OTHER_KEY);
    assert_eq!(server.send("POST", &format!("/api/v1/{notes}"), &theirs, body).await.status, 404);
}

#[tokio::test]
async fn use_is_told_day_by_day() {
    let server = server().await;
    let id = waiting(&server).await;
    let ours = server.native("GET", "/v1/calls", &Value::Null).await.json()["calls"][0]["id"].clone();
    let ours = ours.as_str().and_then(|id| id.parse().ok()).expect("an id");
    let at = |seconds: u64| NOW.after(Duration::from_secs(seconds));
    let dialing: CallEvent = serde_json::from_value(json!({"event": "dialing", "intent": {
        "attempt": 1, "call_id": "c", "from_tag": "f", "branch": "b", "cseq": 1, "trunk": null, "dialog": ""}}))
    .expect("an event");
    let answered = CallEvent::Answered { dialog: String::new(), codec: "PCMU".into() };
    server.node.store().append(ours, vec![(at(0), dialing), (at(1), answered)]).await.expect("written");
    server.node.store().finish(ours, at(91), Ending::from(HangupCause::CalleeHungUp)).await.expect("written");
    server.pass(3_600_000);
    let used = get(&server, "usage").await;
    assert_eq!((&used["calls"], &used["minutes"]), (&json!(1), &json!(1.5)));
    assert_eq!(used["days"], json!([{"date": "2026-11-21", "minutes": 1.5}]));
    assert_eq!(get(&server, "usage?from=2026-11-21&to=2026-11-21").await["minutes"], 1.5);
    assert_eq!(get(&server, "usage?from=2026-11-01&to=2026-11-20").await["days"], json!([]));
    assert_eq!(get(&server, &format!("calls/{id}")).await["duration"], 90.0);
    for (wrong, said) in [
        ("usage?from=2020-01-01", "from is not valid: must be at most 400 days before to"),
        ("usage?from=2026-11-22&to=2026-11-20", "to is not valid: must not be before from"),
        ("usage?from=2099-01-01", "from is not valid: must not be in the future"),
        ("usage?from=soon", "from is not valid: must be a date such as"),
        ("usage?to=soon", "to is not valid: must be a date such as"),
    ] {
        let answer = ask(&server, "GET", wrong, "", &Value::Null).await;
        assert!(answer.status == 400 && message(&answer).starts_with(said), "{wrong}: {}", message(&answer));
    }
}

#[tokio::test]
async fn a_file_of_callees_makes_their_calls() {
    let server = server().await;
    let mut body = request(&server).await;
    let file = "phone_number,scheduled_date,scheduled_time,timezone,max_duration_mins,first name\r\n\
        +15550001,2099-01-01,09:30:00,America/New_York,3,\"Ann, B.\"\r\n+15550002,,,,,Bob\r\n";
    // Base64 by hand: the tests of this crate need no other.
    let coded = |text: &str| {
        let table = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut out = String::new();
        for piece in text.as_bytes().chunks(3) {
            let bits = piece.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - piece.len()));
            for place in 0..4 {
                let six = (bits >> (18 - 6 * place)) & 63;
                out.push(if place > piece.len() { '=' } else { char::from(table[six as usize]) });
            }
        }
        out
    };
    body["csv_file"] = json!(coded(file));
    body["staggered_interval_minutes"] = json!(60);
    let made = ask(&server, "POST", "dial/scheduled", "", &body).await;
    let made = made.json()["createdCalls"].as_array().unwrap_or_else(|| panic!("{}", made.json())).clone();
    let shown = |call: &Value| {
        (call["metadata"]["to"].clone(), call["scheduled_for"].clone(), call["params"]["first name"].clone())
    };
    assert_eq!(shown(&made[0]), (json!("+15550001"), json!("2099-01-01T14:30:00Z"), json!("Ann, B.")));
    assert_eq!(shown(&made[1]), (json!("+15550002"), json!("2026-11-21T03:29:27Z"), json!("Bob")));
    assert_eq!(made[0]["max_duration_mins"], 3);
    for (file, words) in [
        (String::from("%%"), "csv_file"),
        (coded("name\r\nAnn\r\n"), "phone_number"),
        (coded("phone_number\r\n"), "at least one line"),
        (coded("phone_number\r\n+15550003\r\nnobody\r\n"), "line 3"),
    ] {
        body["csv_file"] = json!(file);
        let answer = ask(&server, "POST", "dial/scheduled", "", &body).await;
        let said = message(&answer);
        assert!(answer.status == 400 && said.contains(words), "{file}: {} {said}", answer.status);
    }
    assert_eq!(get(&server, "calls").await["count"], 2, "a bad file makes no call");
}

#[tokio::test]
async fn a_language_that_the_voice_does_not_speak_is_refused() {
    let nowhere = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let voice = ToneVoice::new(Duration::from_millis(30)).speaking("en");
    let builder = NodeBuilder::to_address(nowhere.local_addr().expect("bound")).voice(&voice);
    let server = server_over(builder, Limits::default(), Rates::default()).await;
    let mut body = request(&server).await;
    body["language"] = json!("de-DE");
    let answer = ask(&server, "POST", "dial/outbound", "", &body).await;
    let said = message(&answer);
    assert!(answer.status == 501 && said.contains("de-DE") && said.contains("does not speak"), "{said}");
    assert_eq!(get(&server, "calls").await["count"], 0, "nobody is rung");
    body["language"] = json!("en-GB");
    assert_eq!(ask(&server, "POST", "dial/outbound", "", &body).await.json()["language"], "en-GB");
}

#[tokio::test]
async fn a_use_case_says_what_is_found_out_after_its_calls() {
    let server = server_with(Limits::default(), Rates::default()).await;
    let case = request(&server).await["use_case_id"].as_str().expect("an id").to_owned();
    let path = format!("use-cases/{case}");
    let fact = json!({"name": "city", "description": "Where they live", "type": "string", "example": "Bonn", "required": true});
    let body = json!({
        "name": "Sales", "language": "es-ES", "max_duration_mins": 4, "keywords": ["Callwright"],
        "transfer_number": "+15550188", "extract_with_ai": [fact, {"name": "age", "type": "number"}],
        "classification_tags": [{"name": "sold", "description": "They bought"}],
    });
    let changed = ask(&server, "PATCH", &path, "", &body).await;
    let shown = changed.json();
    assert_eq!(changed.status, 200, "{shown}");
    for name in ["name", "language", "max_duration_mins", "keywords", "transfer_number", "classification_tags"] {
        assert_eq!(shown[name], body[name], "{name}");
    }
    assert_eq!(shown["extract_with_ai"][0]["example"], "Bonn");
    let agent = server.native("GET", &format!("/v1/agents/{AGENT}"), &Value::Null).await.json();
    assert_eq!(
        (&agent["extract"]["facts"][1]["kind"], &agent["extract"]["tags"][0]["name"]),
        (&json!("number"), &json!("sold"))
    );
    assert_eq!((&agent["limits"]["max_duration_s"], &agent["language"]), (&json!(240), &json!("es-ES")));
    let tool = &agent["tools"][0];
    assert_eq!(
        (&tool["kind"], &tool["name"], &tool["to"]),
        (&json!("transfer"), &json!("transfer"), &json!("+15550188"))
    );
    for (number, tools) in [("+1 555 0187", 1), ("", 0), ("+15550186", 1)] {
        assert_eq!(ask(&server, "PATCH", &path, "", &json!({"transfer_number": number})).await.status, 200);
        let agent = server.native("GET", &format!("/v1/agents/{AGENT}"), &Value::Null).await.json();
        assert_eq!(agent["tools"].as_array().map(Vec::len), Some(tools), "{number}");
    }
    assert_eq!(get(&server, &path).await["transfer_number"], "+15550186");
    for (wrong, status) in [
        (json!({"transfer_number": "911"}), 400),
        (json!({"transfer_number": "a colleague"}), 400),
        (json!({"extract_with_ai": [{"type": "string"}]}), 400),
        (json!({"extract_with_ai": [{"name": "a", "type": "list"}]}), 400),
        (json!({"classification_tags": [{"name": "a"}, {"name": "a"}]}), 400),
        (json!({"name": 7}), 400),
        (json!({"name": " "}), 400),
        (json!({"name": "x".repeat(201)}), 400),
        (json!({"keywords": ["Callwright", ""]}), 400),
        (json!({"keywords": ["a\nb"]}), 400),
        (json!({"keywords": ["x".repeat(101)]}), 400),
        (json!({"keywords": "Callwright"}), 400),
        (json!({"amd": "yes"}), 400),
        (json!({"amd_behavior": "Continue"}), 400),
        (json!({"amd_messages": {}}), 501),
        (json!({"name": "Other", "hooks": [{"url": "ftp://x"}]}), 400),
    ] {
        let answer = ask(&server, "PATCH", &path, "", &wrong).await;
        assert_eq!(answer.status, status, "{wrong}: {}", message(&answer));
    }
    assert_eq!(get(&server, &path).await["name"], "Sales", "what is refused changes nothing");
    assert_eq!(get(&server, "calls").await["count"], 0, "{CALLEE} was not called");
}
