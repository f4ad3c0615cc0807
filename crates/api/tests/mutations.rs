//! Which of the listed attacks on HTTP APIs concern the dialects that exist, and where each is tried. A case that is added
//! to the list, or a dialect that begins to exist, must find its place here.

use serde_json::Value;

const SIGNED: &str = "src/dialects/alibaba/tests.rs";
const HTTP: &str = "tests/http.rs";
/// Needs minutes or thousands of connections; the limit is in `http.rs` and is not tried here.
const NOT_TRIED: &str = "not tried here";

const PLACES: &[(&str, &str)] = &[
    ("alibaba-nonce-reuse", HTTP),
    ("alibaba-timestamp-16min-old", SIGNED),
    ("alibaba-get-post-param-merge", SIGNED),
    ("alibaba-v3-body-hash-lie", SIGNED),
    ("alibaba-percent-encoding-forms", SIGNED),
    ("alibaba-foreign-agent-id", HTTP),
    ("alibaba-foreign-caller-number", HTTP),
    ("json-depth-100k", HTTP),
    ("json-dup-key", NOT_TRIED),
    ("json-invalid-utf8", NOT_TRIED),
    ("json-number-1e400", HTTP),
    ("json-int-2pow63", SIGNED),
    ("json-trailing", HTTP),
    ("json-array-instead", HTTP),
    ("body-10MiB", HTTP),
    ("body-chunked-endless", NOT_TRIED),
    ("slowloris-headers", NOT_TRIED),
    ("cl-te-both", HTTP),
    ("h2-settings-window-0", NOT_TRIED),
    ("path-dot-dot", HTTP),
    ("host-mismatch", NOT_TRIED),
    ("method-override", HTTP),
    ("uri-64k", HTTP),
    ("gzip-bomb", HTTP),
    ("crlf-in-userdata", HTTP),
    ("template-recursion", NOT_TRIED),
];

#[test]
fn every_case_that_concerns_a_dialect_has_its_place() {
    let mut concerned = Vec::new();
    for line in include_str!("fixtures/mutations.jsonl").lines() {
        let case: Value = serde_json::from_str(line).expect("JSON");
        if matches!(case["api"].as_str(), Some("any" | "alibaba")) {
            concerned.push(case["name"].as_str().expect("a name").to_owned());
        }
    }
    let placed: Vec<&str> = PLACES.iter().map(|(name, _)| *name).collect();
    assert_eq!(concerned, placed);
}
