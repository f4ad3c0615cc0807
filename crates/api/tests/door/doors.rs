//! Doors of single dialects: listeners and host names behind which nobody else is served.

use crate::support::{Answer, SECRET, Server, Signed, server};
use crate::tencent::{numbered, request};
use serde_json::{Value, json};

/// One request of each dialect, as its clients send it. Each may be sent once.
fn of_each(round: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bearer = |target: &str, scheme: &str| {
        let key = format!("admin.{SECRET}");
        format!("GET {target} HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n{scheme} Bearer {key}\r\n\r\n")
            .into_bytes()
    };
    vec![
        ("alibaba", Signed::new("ListAIAgentPhoneNumber", "", &format!("doors-{round}")).bytes()),
        ("tencent", request("DescribeNumbers", json!({})).bytes()),
        ("happyrobot", bearer("/api/v1/numbers", "authorization:")),
        ("native", bearer("/v1/numbers", "Authorization:")),
    ]
}

/// Whether an answer is a success of a dialect.
fn is_good(dialect: &str, answer: &Answer) -> bool {
    let body = answer.json();
    answer.status == 200
        && match dialect {
            "tencent" => body["Response"]["TotalCount"].is_number(),
            "alibaba" => body["TotalNumber"].is_number(),
            _ => body.is_array() || body.is_object(),
        }
}

/// Whether an answer says in a dialect's words that there is no such operation.
fn is_unknown(dialect: &str, answer: &Answer) -> bool {
    let body = answer.json();
    match dialect {
        "alibaba" => (answer.status, &body["Code"]) == (404, &json!("InvalidAction.NotFound")),
        "tencent" => (answer.status, &body["Response"]["Error"]["Code"]) == (200, &json!("InvalidAction")),
        "happyrobot" => answer.status == 404 && body["message"].is_string(),
        _ => answer.status == 404 && body["error"]["code"].is_string(),
    }
}

#[tokio::test]
async fn behind_a_dialects_own_door_nobody_else_is_served_and_all_is_said_in_its_words() {
    let server = server().await;
    numbered(&server).await;
    for door in ["alibaba", "tencent", "happyrobot", "native"] {
        for (dialect, bytes) in of_each(door) {
            let answer = server.raw_at(door, &bytes).await;
            let expected = if dialect == door { is_good(dialect, &answer) } else { is_unknown(door, &answer) };
            assert!(expected, "{dialect} at the door of {door}: {} {}", answer.status, answer.json());
        }
        server.pass(1000);
    }
    let lower = format!(
        "GET /v1/numbers HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\nauthorization: bearer  admin.{SECRET}\r\n\r\n"
    );
    assert_eq!(server.raw(lower.as_bytes()).await.status, 200, "the case of the scheme does not count");
    // At everybody's door all are served.
    for (dialect, bytes) in of_each("all") {
        let answer = server.raw(&bytes).await;
        assert!(is_good(dialect, &answer), "{dialect}: {} {}", answer.status, answer.json());
    }
}

/// Requests that lack one sign of a vendor's, with what that vendor says of it.
const LACKING: [(&str, &str, &str); 6] = [
    (
        "alibaba",
        "POST / HTTP/1.1\r\nx-acs-action: GenerateAIAgentCall\r\nx-acs-version: 2020-11-09\r\n",
        "MissingAuthorization",
    ),
    (
        "alibaba",
        "POST /?Action=GenerateAIAgentCall&Version=2020-11-09&Timestamp=2026-11-21T02%3A29%3A27Z HTTP/1.1\r\n\
         x-acs-action: GenerateAIAgentCall\r\n",
        "MissingAccessKeyId",
    ),
    ("tencent", "POST / HTTP/1.1\r\nX-TC-Action: DescribeNumbers\r\n", "MissingParameter"),
    ("alibaba", "POST /?Action=GenerateAIAgentCall&Version=2020-11-09&AIAgentId=desk HTTP/1.1\r\n", "Missing"),
    ("alibaba", "GET /?AccessKeyId=admin&Version=2020-11-09&SignatureNonce=1 HTTP/1.1\r\n", "Missing"),
    ("tencent", "GET /?Action=DescribeNumbers&Version=2020-02-10&Signature=x HTTP/1.1\r\n", "MissingParameter"),
];

#[tokio::test]
async fn who_lacks_a_sign_is_told_so_by_the_vendor_that_is_meant() {
    let server = server().await;
    for (dialect, line, code) in LACKING {
        let request = format!("{line}Host: api.test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        for answer in [server.raw(request.as_bytes()).await, server.raw_at(dialect, request.as_bytes()).await] {
            let body = answer.json();
            let said = if dialect == "alibaba" { &body["Code"] } else { &body["Response"]["Error"]["Code"] };
            assert!(said.as_str().is_some_and(|said| said.starts_with(code)), "{line}: {} {body}", answer.status);
        }
    }
    // Behind a vendor's own door nothing has to say whose it is.
    let bare = "POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let (theirs, others) = (server.raw_at("alibaba", bare.as_bytes()).await, server.raw(bare.as_bytes()).await);
    assert!(theirs.status == 400 && theirs.code().starts_with("Missing"), "{} {}", theirs.status, theirs.json());
    assert_eq!(others.status, 404);
}

#[tokio::test]
async fn a_method_that_no_vendor_has_is_refused_in_the_words_of_the_one_that_is_meant() {
    let server = server().await;
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH", "HEAD"] {
        let of = |sign: &str| {
            format!("{method} / HTTP/1.1\r\nHost: api.test\r\n{sign}Content-Length: 0\r\nConnection: close\r\n\r\n")
        };
        let bodiless = method == "HEAD";
        let sign = "x-acs-action: GenerateAIAgentCall\r\nx-acs-version: 2020-11-09\r\n";
        for (sign, door) in [(sign, None), (sign, Some("alibaba")), ("", Some("alibaba"))] {
            let request = of(sign).into_bytes();
            let answer = match door {
                Some(door) => server.raw_at(door, &request).await,
                None => server.raw(&request).await,
            };
            assert_eq!((answer.status, answer.header("allow")), (405, Some("get, post")), "{method} {sign}");
            assert!(bodiless || answer.json()["Code"] == "UnsupportedHTTPMethod", "{}", answer.json());
        }
        for sign in ["X-TC-Action: DescribeNumbers\r\n", "Authorization: TC3-HMAC-SHA256 x\r\n"] {
            let answer = server.raw(of(sign).as_bytes()).await;
            assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{method}");
            let code = &answer.json()["Response"]["Error"]["Code"];
            assert!(bodiless || code == "UnsupportedProtocol", "{code}");
        }
        assert_eq!(server.raw(of("").as_bytes()).await.status, 404, "{method}: nobody's");
    }
}

async fn under(server: &Server, host: &str, target: &str) -> (u16, Value) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let hosts = [("ims.calls.test", "alibaba"), ("bot.calls.test", "happyrobot")];
    let answer = server.raw_under(&hosts, request.as_bytes()).await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn a_host_name_may_be_a_dialects_own() {
    let server = server().await;
    let (status, body) = under(&server, "IMS.calls.test.:8080", "/v1/calls").await;
    assert_eq!((status, &body["Code"]), (404, &json!("InvalidAction.NotFound")));
    // Its calls are met in browsers.
    let (status, body) = under(&server, "ims.calls.test", "/v1/join/nobody").await;
    assert_eq!((status, &body["Code"]), (405, &Value::Null), "{body}");
    let (status, body) = under(&server, "bot.calls.test", "/v1/join/nobody").await;
    assert_eq!((status, body["message"].is_string()), (404, true), "{body}");
    // Other names are everybody's.
    assert_eq!(under(&server, "calls.test", "/healthz").await.0, 200);
    assert_eq!(under(&server, "bot.calls.test", "/healthz").await.0, 404);
}
