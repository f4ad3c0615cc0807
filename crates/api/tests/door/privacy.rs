//! What is removed, and what is said of it afterwards.

use crate::reading::ended_call;
use callwright_domain::Moment;
use serde_json::{Value, json};

const DAY_MS: i64 = 24 * 3600 * 1000;

#[tokio::test]
async fn an_erased_number_is_gone_from_its_calls_and_the_proof_does_not_hold_it() {
    let (server, id, _callee) = ended_call().await;
    let call = format!("/v1/calls/{id}");
    let name = format!("{id}.wav");
    assert!(server.node.calls().recording(&name).is_ok());
    for (body, field) in [
        (json!({}), "number"),
        (json!({"number": "sip:x@y"}), "number"),
        (json!({"number": "+15550123", "suppress": "yes"}), "suppress"),
        (json!({"number": "+15550123", "why": "asked"}), "why"),
    ] {
        let refused = server.native("POST", "/v1/erasures", &body).await;
        assert_eq!((refused.status, refused.json()["error"]["field"].as_str()), (400, Some(field)), "{body}");
    }
    let order = json!({"number": "+1 555-0123", "suppress": true});
    let done = server.native("POST", "/v1/erasures", &order).await;
    let proof = done.json();
    assert_eq!((done.status, proof["status"].as_str()), (202, Some("finished")), "{proof}");
    assert_eq!((&proof["erased"]["calls"], &proof["erased"]["recordings"]), (&json!(1), &json!(1)), "{proof}");
    assert!(!proof.to_string().contains("5550123"), "{proof}");
    let again = server.native("POST", "/v1/erasures", &order).await.json();
    assert_eq!((&again["id"], &again["erased"]), (&proof["id"], &proof["erased"]));
    let path = format!("/v1/erasures/{}", proof["id"].as_str().expect("an id"));
    assert_eq!(server.native("GET", &path, &Value::Null).await.json()["status"], "finished");

    assert!(server.node.calls().recording(&name).is_err(), "the file is gone");
    let recording = server.native("GET", &format!("{call}/recording"), &Value::Null).await;
    assert_eq!((recording.status, recording.code().as_str()), (410, "erased"));
    let shown = server.native("GET", &call, &Value::Null).await.json();
    assert_eq!((&shown["to"], &shown["transcript"]), (&json!("erased"), &json!([])), "{shown}");
    assert_eq!(shown["gone"], json!({"recording": "erased", "transcript": "erased"}));
    assert!(!shown.to_string().contains("5550123"), "{shown}");
    let denied = server.native("POST", "/v1/calls", &json!({"agent": "tester", "to": "+15550123"})).await;
    assert_eq!(denied.code(), "callee_blocked");
    let allowed = server.native("DELETE", "/v1/denied/+15550123", &Value::Null).await;
    assert_eq!(allowed.status, 204);
}

#[tokio::test]
async fn what_has_expired_says_so() {
    let (server, id, _callee) = ended_call().await;
    let (call, recording) = (format!("/v1/calls/{id}"), format!("/v1/calls/{id}/recording"));
    let rules = json!({"retention": {"recordings_days": 1, "transcripts_days": 2, "records_days": 31}});
    assert_eq!(server.native("PUT", "/v1/rules", &rules).await.status, 200);
    assert_eq!(server.native("GET", &recording, &Value::Null).await.status, 200);
    let sweep = async |days: i64| {
        let then = Moment(server.node.now().millis() + days * DAY_MS);
        server.node.store().sweep(then, 10).await.expect("swept")
    };
    assert_eq!(sweep(1).await.recordings, 1);
    let gone = server.native("GET", &recording, &Value::Null).await;
    assert_eq!((gone.status, gone.code().as_str()), (410, "expired"));
    let shown = server.native("GET", &call, &Value::Null).await.json();
    assert_eq!(shown["gone"], json!({"recording": "expired", "transcript": null}));
    assert_eq!(shown["transcript"].as_array().map(Vec::len), Some(1));
    sweep(2).await;
    let shown = server.native("GET", &call, &Value::Null).await.json();
    assert_eq!((&shown["gone"]["transcript"], &shown["transcript"]), (&json!("expired"), &json!([])));
    sweep(31).await;
    let gone = server.native("GET", &call, &Value::Null).await;
    assert_eq!((gone.status, gone.code().as_str()), (410, "expired"));
}
