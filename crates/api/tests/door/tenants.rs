//! Tenants and permissions over every route that the server says it has: the matrix is made from its own document, so a
//! route that is added is tried too.

use crate::support::{Answer, OTHER_AGENT, OTHER_KEY, OTHER_NUMBER, OTHER_TRUNK, Server, Signed, key_with, server};
use callwright_domain::Scope;
use callwright_testkit::CALLER;
use serde_json::{Value, json};

/// A route as the document has it.
pub(crate) struct Route {
    pub(crate) method: String,
    pub(crate) path: String,
    scope: Option<Scope>,
}

pub(crate) async fn routes(server: &Server) -> Vec<Route> {
    let document = server.send("GET", "/openapi.json", "", b"").await.json();
    let mut routes = Vec::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let scope = operation.get("x-scope").map(|scope| serde_json::from_value(scope.clone()).expect("a scope"));
            routes.push(Route { method: method.to_ascii_uppercase(), path: path.clone(), scope });
        }
    }
    assert!(routes.len() >= 28, "{}", routes.len());
    routes
}

impl Route {
    /// What stands in the place of the id: calls, agents ...
    pub(crate) fn kind(&self) -> Option<&str> {
        self.path.contains('{').then(|| self.path.split('/').nth(2).expect("a kind"))
    }

    pub(crate) fn with(&self, id: &str) -> String {
        let (before, rest) = self.path.split_once('{').expect("a place for the id");
        let (_, after) = rest.split_once('}').expect("its end");
        format!("{before}{id}{after}")
    }

    /// A body that is acceptable, so that the id alone decides.
    pub(crate) fn body(&self) -> Vec<u8> {
        let body = match (self.method.as_str(), self.kind(), self.path.rsplit('/').next()) {
            ("PUT", Some("numbers"), _) => json!({"trunk": "loop"}),
            ("PUT", Some("trunks"), _) => json!({"host": "sip.example"}),
            ("POST", Some("calls"), Some("say" | "hear")) => json!({"text": "x"}),
            ("POST", Some("calls"), Some("transfer")) => json!({"to": "+15550124"}),
            ("POST", Some("campaigns"), Some("callees")) => json!({"callees": [{"to": "+15550123"}]}),
            ("PUT", Some("webhooks"), _) => json!({"url": "https://8.8.8.8/hook"}),
            ("PUT", Some("consents"), _) => json!({"scope": "service", "source": "form"}),
            ("PUT", Some("zones"), _) => json!({"zone": "Europe/Berlin"}),
            ("GET" | "DELETE", ..) => return Vec::new(),
            _ => json!({}),
        };
        body.to_string().into_bytes()
    }
}

/// One thing of the other tenant of each kind, and an id of the same shape that nobody has. A kind that is not listed
/// here is tried with ids that nobody has, and the list below must name it.
pub(crate) async fn foreign(server: &Server) -> Vec<(&'static str, String, String)> {
    let body = json!({"agent": OTHER_AGENT, "to": "+15550123", "from": OTHER_NUMBER}).to_string();
    let call = server.native_as(OTHER_KEY, "POST", "/v1/calls", body.as_bytes()).await;
    let call = call.json()["id"].as_str().expect("an id").to_owned();
    let made = async |path: &str, body: Value| {
        let answer = server.native_as(OTHER_KEY, "POST", path, body.to_string().as_bytes()).await.json();
        answer["id"].as_str().unwrap_or_else(|| panic!("{path}: {answer}")).to_owned()
    };
    let campaign = json!({"name": "theirs", "agent": OTHER_AGENT, "from": OTHER_NUMBER});
    let campaign = made("/v1/campaigns", campaign).await;
    let webhook = made("/v1/webhooks", json!({"url": "https://8.8.8.8/hook"})).await;
    let erasure = made("/v1/erasures", json!({"number": "+14155550199"})).await;
    let listed = String::from("+14155550101");
    let consent = json!({"scope": "service", "source": "form"});
    for (path, body) in [("denied", json!({})), ("consents", consent), ("zones", json!({"zone": "Asia/Tokyo"}))] {
        let put =
            server.native_as(OTHER_KEY, "PUT", &format!("/v1/{path}/{listed}"), body.to_string().as_bytes()).await;
        assert_eq!(put.status, 200, "{path}: {}", put.json());
    }
    vec![
        ("campaigns", campaign, format!("{:032x}", rand::random::<u128>())),
        ("erasures", erasure, format!("er_{:032x}", rand::random::<u128>())),
        ("webhooks", webhook, format!("{:032x}", rand::random::<u128>())),
        ("calls", call, format!("{:032x}", rand::random::<u128>())),
        ("agents", OTHER_AGENT.to_owned(), String::from("nobody")),
        ("trunks", OTHER_TRUNK.to_owned(), String::from("notrunk")),
        ("numbers", OTHER_NUMBER.to_owned(), String::from("+15550778")),
        ("keys", OTHER_KEY.to_owned(), String::from("nokey")),
        ("denied", listed.clone(), String::from("+14155550102")),
        ("consents", listed.clone(), String::from("+14155550102")),
        ("zones", listed, String::from("+14155550102")),
    ]
}

/// Kinds of things for which no foreign one is made here yet: whoever adds a kind makes one, or says so here.
const WITHOUT_FOREIGN: &[&str] = &[];

/// An answer without what names the request or its id.
fn bare(answer: &Answer, id: &str) -> String {
    let mut text = String::from_utf8_lossy(&answer.body).into_owned();
    // When something was written is no secret, and differs from one request to the next.
    if let Ok(Value::Object(mut members)) = serde_json::from_str::<Value>(&text) {
        members.retain(|name, _| !name.ends_with("_at"));
        text = Value::Object(members).to_string();
    }
    if let Some(request) = answer.header("x-request-id") {
        text = text.replace(request, "<request>");
    }
    let varying = ["x-request-id", "date: ", "content-length"];
    let head: Vec<_> = answer.head.lines().filter(|line| !varying.iter().any(|name| line.starts_with(name))).collect();
    format!("{} {}", head.join("\n"), text).replace(id, "<id>")
}

#[tokio::test]
async fn what_another_tenant_has_looks_like_what_nobody_has() {
    let server = server().await;
    let foreign = foreign(&server).await;
    let mut tried = 0;
    let mut routes = routes(&server).await;
    // Writing makes something of our own of the same name: asked before, nobody has it.
    routes.sort_by_key(|route| route.method == "PUT");
    for route in routes {
        let Some(kind) = route.kind() else { continue };
        let Some((_, theirs, nobodys)) = foreign.iter().find(|(name, ..)| *name == kind) else {
            assert!(WITHOUT_FOREIGN.contains(&kind), "{}: make one of another tenant in `foreign`", route.path);
            continue;
        };
        let ask = async |id: &str| {
            let answer = server.native_as("admin", &route.method, &route.with(id), &route.body()).await;
            (answer.status, bare(&answer, id))
        };
        let (status, answer) = ask(theirs).await;
        assert_eq!((status, answer), ask(nobodys).await, "{} {}", route.method, route.path);
        assert!(route.method == "PUT" || status == 404, "{} {}: {status}", route.method, route.path);
        tried += 1;
    }
    assert!(tried >= 16, "{tried}");
    // Nothing of theirs was touched, though our own of the same name may have been made.
    for (kind, theirs, _) in &foreign {
        let (path, key) = if *kind == "keys" {
            (String::from("/v1/keys"), OTHER_KEY)
        } else {
            (format!("/v1/{kind}/{theirs}"), OTHER_KEY)
        };
        assert_eq!(server.native_as(key, "GET", &path, b"").await.status, 200, "{path}");
    }
    let trunk = server.native_as(OTHER_KEY, "GET", &format!("/v1/trunks/{OTHER_TRUNK}"), b"").await;
    assert_eq!(trunk.json()["host"], "127.0.0.1");
    let number = server.native_as(OTHER_KEY, "GET", &format!("/v1/numbers/{OTHER_NUMBER}"), b"").await;
    assert_eq!(number.json()["trunk"], OTHER_TRUNK);
}

#[tokio::test]
async fn ids_in_bodies_and_queries_reach_no_other_tenant() {
    let server = server().await;
    let foreign = foreign(&server).await;
    let call = foreign.iter().find(|(kind, ..)| *kind == "calls").expect("a call");
    for (body, nobodys) in [
        (json!({"agent": OTHER_AGENT, "to": "+15550123"}), json!({"agent": "nobody", "to": "+15550123"})),
        (
            json!({"agent": "tester", "to": "+15550123", "from": OTHER_NUMBER}),
            json!({"agent": "tester", "to": "+15550123", "from": "+15550778"}),
        ),
    ] {
        let theirs = server.native("POST", "/v1/calls", &body).await;
        let none = server.native("POST", "/v1/calls", &nobodys).await;
        assert!(theirs.status >= 400);
        assert_eq!((theirs.status, bare(&theirs, "-")), (none.status, bare(&none, "-")));
    }
    let number = |trunk: &str| json!({"trunk": trunk});
    let theirs = server.native("PUT", "/v1/numbers/+15550888", &number(OTHER_TRUNK)).await;
    let none = server.native("PUT", "/v1/numbers/+15550888", &number("notrunk")).await;
    assert_eq!((theirs.status, bare(&theirs, "-")), (none.status, bare(&none, "-")));
    let listed = server.native("GET", "/v1/calls", &Value::Null).await;
    assert_eq!(listed.json()["calls"], json!([]));
    for list in ["agents", "numbers", "trunks", "keys"] {
        let text =
            String::from_utf8(server.native("GET", &format!("/v1/{list}"), &Value::Null).await.body).expect("text");
        for (_, id, _) in &foreign {
            assert!(!text.contains(&format!("\"{id}\"")), "{list} shows {id}");
        }
    }
    let vendor = async |id: &str, nonce: &str| {
        let query = format!("InstanceId={id}");
        let answer = Signed::new("DescribeAIAgentInstance", query, nonce).send(&server).await;
        let request = answer.json()["RequestId"].as_str().expect("an id").to_owned();
        (answer.status, answer.json().to_string().replace(&request, "").replace(id, ""))
    };
    assert_eq!(vendor(&call.1, "t1").await, vendor(&call.2, "t2").await);
}

#[tokio::test]
async fn each_route_wants_its_scope_and_no_other_opens_it() {
    let server = server().await;
    for route in routes(&server).await {
        let path = if route.kind().is_some() { route.with(CALLER) } else { route.path.clone() };
        let Some(wanted) = route.scope else {
            assert!(!route.path.starts_with("/v1"), "{} is open to everybody", route.path);
            continue;
        };
        let without = server.send(&route.method, &path, "", &route.body()).await;
        assert_eq!(without.status, 401, "{} {}", route.method, route.path);
        for scope in Scope::ALL {
            if scope == Scope::CallsRead && route.path.ends_with("events") && wanted == scope {
                // It would stream for ever.
                continue;
            }
            let answer = server.native_as(&key_with(scope), &route.method, &path, &route.body()).await;
            assert_eq!(answer.status == 403, scope != wanted, "{} {} with {scope:?}", route.method, route.path);
        }
    }
}
