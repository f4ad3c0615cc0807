//! Mutated requests at every decoder of every dialect: none is an internal error, and the server goes on. The choices are
//! the same in each run; `cargo xtask fuzz` tries others, and keeps what broke something beside the fixtures.

use crate::support::{Answer, Server, Signed, server};
use callwright_testkit::{AGENT, CALLER};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Requests of one run; a long run makes many runs.
const REQUESTS: usize = 600;

/// The decoders, each with requests that it takes.
fn corpus() -> Vec<(&'static str, String)> {
    let start = format!(
        r#"{{"agent":"{AGENT}","to":"+15550123","from":["{CALLER}"],"variables":{{"name":"Ann"}},"user_data":"x","thread":"t","scheduled_for":"2030-01-01T00:00:00Z","deadline":"2030-01-02T00:00:00Z","overrides":{{"language":"de","turn":{{"silence_ms":500}},"limits":{{"max_duration_s":60}}}}}}"#
    );
    let config = r#"{"Greeting":"Hi {{name}}","LlmConfig":{"OutputMaxDelay":"2000","LlmHistoryLimit":5},"AsrConfig":{"AsrMaxSilence":400},"TtsConfig":{"SpeechRate":"1.0"},"InterruptConfig":{"EnableVoiceInterrupt":true}}"#;
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    vec![
        ("POST /v1/calls", start),
        (
            "PUT /v1/agents/a1",
            String::from(
                r#"{"name":"A","opening":{"greeting":{"text":"Hi {{ name }}"}},"brain":{"system_prompt":"x","script":[{"when":["bye"],"say":"Bye","tool":"end_call"}]},"tools":[{"kind":"end_call","name":"end_call","description":"d"}],"voice":{"rate":1.0}}"#,
            ),
        ),
        (
            "PUT /v1/trunks/t1",
            String::from(
                r#"{"host":"sip.example","port":5060,"transport":"udp","username":"u","password":"p","realm":"r","domain":"d"}"#,
            ),
        ),
        ("PUT /v1/numbers/+15550999", String::from(r#"{"trunk":"loop","status":"active","max_calls":3}"#)),
        ("POST /v1/keys", String::from(r#"{"name":"k","scopes":["calls_read","config_read"]}"#)),
        (
            "alibaba form",
            format!(
                "AIAgentId={AGENT}&CalledNumber=%2B15550123&CallerNumber={}&UserData=%7B%7D&Config={}",
                encode(CALLER),
                encode(config)
            ),
        ),
        (
            "alibaba json",
            format!(
                r#"{{"AIAgentId":"{AGENT}","CalledNumber":"+15550123","CallerNumber":"{CALLER}","Config":{}}}"#,
                Value::from(config)
            ),
        ),
    ]
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % limit.max(1)
    }
}

const TOKENS: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    ":",
    "null",
    "true",
    "-1",
    "1e400",
    "9223372036854775808",
    "0.1",
    "\\u0000",
    "\\ud800",
    "{{",
    "}}",
    "{% for x in range(9999999) %}",
    "%00",
    "&",
    "=",
    "+",
    "\r\n",
    "\u{202e}",
];

fn mutate(octets: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    for _ in 0..=dice.below(3) {
        let at = dice.below(octets.len() + 1);
        let length = dice.below(16).min(octets.len() - at);
        match dice.below(6) {
            0 if at < octets.len() => octets[at] = u8::try_from(dice.below(256)).expect("an octet"),
            1 => drop(octets.drain(at..at + length)),
            2 => octets.extend_from_within(at..at + length),
            3 | 4 => {
                let token = TOKENS[dice.below(TOKENS.len())];
                octets.splice(at..at, token.bytes());
            }
            _ => {
                let from = dice.below(other.len());
                octets.splice(at..at, other[from..].iter().take(30).copied());
            }
        }
    }
}

async fn ask(server: &Server, decoder: &str, body: Vec<u8>, at: usize) -> Answer {
    match decoder.split_once(' ') {
        Some(("alibaba", kind)) => {
            let content_type = if kind == "json" { "application/json" } else { "application/x-www-form-urlencoded" };
            let call =
                Signed { body, content_type, ..Signed::new("StartAIAgentOutboundCall", "", &format!("fuzz{at}")) };
            call.send(server).await
        }
        Some((method, path)) => server.native_as("admin", method, path, &body).await,
        None => panic!("no decoder {decoder}"),
    }
}

fn crashers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/crashers")
}

fn is_sound(answer: &Answer) -> bool {
    // 503: all places are taken, which is an answer like another.
    answer.status < 500 || answer.status == 503
}

#[tokio::test]
async fn no_mutated_request_is_an_internal_error() {
    let server = server().await;
    let corpus = corpus();
    for (at, (decoder, body)) in corpus.iter().enumerate() {
        let answer = ask(&server, decoder, body.clone().into_bytes(), at).await;
        assert!(answer.status < 300, "{decoder} takes what it is given: {}", answer.json());
    }
    // One line names the decoder, the rest is the body.
    for kept in std::fs::read_dir(crashers()).into_iter().flatten() {
        let bytes = std::fs::read(kept.expect("readable").path()).expect("readable");
        let end = bytes.iter().position(|byte| *byte == b'\n').expect("a first line");
        let decoder = std::str::from_utf8(&bytes[..end]).expect("UTF-8");
        let answer = ask(&server, decoder, bytes[end + 1..].to_vec(), REQUESTS).await;
        assert!(is_sound(&answer), "{decoder}: {}", answer.status);
    }
    let wanted = std::env::var("CALLWRIGHT_FUZZ_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let mut dice = Dice(wanted.map_or(0x0051_7cc1_b727_220a, |seed| seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1));
    let mut taken = 0;
    for at in 0..REQUESTS {
        let (decoder, body) = &corpus[dice.below(corpus.len())];
        let mut body = body.clone().into_bytes();
        mutate(&mut body, corpus[dice.below(corpus.len())].1.as_bytes(), &mut dice);
        let answer = ask(&server, decoder, body.clone(), 100 + at).await;
        taken += usize::from(answer.status < 300);
        if !is_sound(&answer) {
            let path = crashers().join(format!("{:016x}", dice.0));
            std::fs::create_dir_all(crashers()).expect("a folder");
            std::fs::write(&path, [decoder.as_bytes(), b"\n", &body].concat()).expect("written");
            panic!("{decoder}: {}; kept as {}", answer.status, path.display());
        }
    }
    assert!(taken > REQUESTS / 50, "most mutations are refused at once, so nothing is tried: {taken}");
}
