//! What reading one datagram costs: the least of five runs for each hostile datagram and for repeats of each grammar
//! token at 16 KiB and 64 KiB, with the ratio of the two. Run it with `--release`.
//!
//! It exits with 1 when a case takes more than 1 ms or grows by more than six times over four times the size. A case over
//! the bar is measured up to four times: a busy machine is forgiven, a slow parser is not.

#![allow(clippy::print_stdout, reason = "printing is what this program is for")]
#![allow(clippy::disallowed_methods, reason = "this program measures time; the crate itself asks no clock")]

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use callwright_sip::message::{Capabilities, Message, parse_datagram, validate_request};

const MOST: Duration = Duration::from_millis(1);
const RATIO: f64 = 6.0;
/// Below this a ratio says nothing but how coarse the clock is.
const MEASURABLE: Duration = Duration::from_micros(20);

fn work(octets: &[u8]) -> usize {
    match parse_datagram(octets) {
        Ok(Message::Request(request)) => {
            usize::from(validate_request(&request, &Capabilities::default()).is_ok()) + request.headers.len()
        }
        Ok(Message::Response(response)) => response.headers.len(),
        Err(error) => usize::from(error.answer.is_some()),
    }
}

fn least_of_five(octets: &[u8]) -> Duration {
    let runs = (0..5).map(|_| {
        let start = Instant::now();
        std::hint::black_box(work(std::hint::black_box(octets)));
        start.elapsed()
    });
    runs.min().unwrap_or(Duration::ZERO)
}

/// A request of about `size` octets in which `token` is repeated inside `line`, in as many lines as the caps allow.
fn repeated(line: &str, token: &str, line_length: usize, size: usize) -> Vec<u8> {
    let mut text = "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bK1\r\nFrom: <sip:d@e>;tag=1\r\n\
                    To: <sip:a@b>\r\nCall-ID: f\r\nCSeq: 1 INVITE\r\n"
        .to_owned();
    while text.len() + line_length.min(size) + 4 < size {
        text.push_str(line);
        text.push_str(&token.repeat((line_length - line.len()) / token.len()));
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// One repeated element of the grammar.
struct Case {
    name: String,
    small: Vec<u8>,
    large: Vec<u8>,
}

fn cases() -> Vec<Case> {
    let lines = [
        "X-A: ",
        "Contact: <sip:a@b>",
        "Contact: \"",
        "Contact: ",
        "Route: <sip:a@b>,",
        "Via: SIP/2.0/UDP c;",
        "Accept: ",
        "Require: ",
        "Subject: <",
        "To : ",
        "",
    ];
    let tokens = [
        ";",
        ",",
        "\"",
        "\\\"",
        "<",
        ">",
        "<sip:a@b>,",
        ";a=b",
        ";a=\"b\"",
        "%41",
        "a",
        " ",
        "\t",
        "\r\n ",
        "a/b,",
        "@",
        ":",
        "\u{e9}",
    ];
    let mut cases = Vec::new();
    for line in lines {
        for token in tokens {
            for (width, line_length) in [("short", 250), ("long", 8000)] {
                let build = |size| repeated(line, token, line_length, size);
                cases.push(Case {
                    name: format!("{line:?} + {token:?} x, {width} lines"),
                    small: build(16 * 1024),
                    large: build(64 * 1024),
                });
            }
        }
    }
    for (name, unit) in [("empty lines", "\r\n"), ("headers", "A:b\r\n"), ("folds", " \r\n"), ("nines", "9")] {
        let build = |size: usize| {
            let mut octets = b"INVITE sip:a@b SIP/2.0\r\nv: SIP/2.0/UDP c\r\nX:".to_vec();
            octets.extend(unit.repeat((size - 60) / unit.len()).bytes());
            octets
        };
        cases.push(Case { name: name.to_owned(), small: build(16 * 1024), large: build(64 * 1024) });
    }
    for (name, unit) in
        [("multipart delimiters", "--b\r\n"), ("multipart near misses", "--bx\n"), ("multipart line ends", "\n")]
    {
        let build = |size: usize| {
            let mut octets = repeated("X-A: ", "a", 100, 400);
            octets.truncate(octets.len() - 2);
            octets.extend_from_slice(b"Content-Type: multipart/mixed;boundary=b\r\n\r\n");
            octets.extend(unit.repeat((size - 500) / unit.len()).bytes());
            octets
        };
        cases.push(Case { name: name.to_owned(), small: build(16 * 1024), large: build(64 * 1024) });
    }
    cases
}

/// What one case cost.
struct Measured {
    small: Duration,
    large: Duration,
    ratio: f64,
}

impl Measured {
    fn of(case: &Case) -> Self {
        let (small, large) = (least_of_five(&case.small), least_of_five(&case.large));
        Self { small, large, ratio: large.as_secs_f64() / small.as_secs_f64().max(1e-9) }
    }

    fn is_over(&self) -> bool {
        self.large > MOST || (self.large > MEASURABLE && self.ratio > RATIO)
    }
}

fn main() -> ExitCode {
    let mut failures = 0;
    let mut slowest = (Duration::ZERO, String::new());
    let mut worst_ratio = (0.0, String::new());
    let mut count = 0;
    for case in cases() {
        let mut seen = Measured::of(&case);
        for _ in 0..3 {
            if seen.is_over() {
                seen = Measured::of(&case);
            }
        }
        let Measured { small, large, ratio } = seen;
        count += 1;
        if large > slowest.0 {
            slowest = (large, case.name.clone());
        }
        if large > MEASURABLE && ratio > worst_ratio.0 {
            worst_ratio = (ratio, case.name.clone());
        }
        if seen.is_over() {
            failures += 1;
            println!("OVER  {small:>10.1?} {large:>10.1?} ratio {ratio:.1}  {}", case.name);
        }
    }
    println!(
        "{count} token cases: slowest {:?} ({}), greatest ratio {:.1} ({})",
        slowest.0, slowest.1, worst_ratio.0, worst_ratio.1
    );
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for set in ["hostile", "rfc4475", "rfc5118", "responses"] {
        let mut slowest = (Duration::ZERO, String::new());
        for entry in std::fs::read_dir(fixtures.join(set)).into_iter().flatten().flatten() {
            let Ok(octets) = std::fs::read(entry.path()) else { continue };
            let cost = least_of_five(&octets);
            failures += usize::from(cost > MOST);
            if cost > slowest.0 {
                slowest = (cost, entry.file_name().to_string_lossy().into_owned());
            }
        }
        println!("{set}: slowest {:?} ({})", slowest.0, slowest.1);
    }
    println!("{failures} over the bar");
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
