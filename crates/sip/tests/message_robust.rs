//! No octets make the message layer panic, and what it reads it can write and read again.

mod message_support;

use std::path::{Path, PathBuf};
use std::process::Command;

use callwright_sip::auth::parse_challenges;
use callwright_sip::message::{
    Capabilities, HeaderName, Message, ParseErrorKind, Response, StatusCode, StreamParser, find_body, parse_datagram,
    validate_request, validate_response,
};
use message_support::{fixtures, folder};

/// Mutations tried; the unoptimised build does fewer so that the suite stays quick.
const MUTATIONS: usize = if cfg!(debug_assertions) { 20_000 } else { 300_000 };

/// Everything the layer does with what came from outside.
fn exercise(octets: &[u8]) {
    let mut stream = StreamParser::new();
    stream.push(octets);
    while stream.pull().is_some() {}
    match parse_datagram(octets) {
        Err(error) => drop(error.answer.map(|answer| answer.to_bytes())),
        Ok(message) => {
            read_all(&message);
            reprint(&message);
        }
    }
}

fn read_all(message: &Message) {
    let headers = message.headers();
    let texts = [headers.from().map(|a| a.to_string()), headers.to().map(|a| a.to_string())];
    assert!(texts.iter().all(Option::is_some), "what was read has From and To");
    assert!(headers.call_id().is_some() && headers.cseq().is_some() && headers.top_via().is_some());
    let lists = [headers.contacts(), headers.routes(), headers.record_routes(), headers.asserted_identities()];
    for address in lists.iter().flatten() {
        let again: callwright_sip::message::NameAddr = address.to_string().parse().expect("what is printed reads back");
        assert_eq!(again.uri(), address.uri());
        assert!(again.uri().equivalent(address.uri()), "an address is equivalent to itself");
    }
    for name in [HeaderName::WwwAuthenticate, HeaderName::ProxyAuthenticate, HeaderName::Authorization] {
        let count: usize = headers.all(&name).map(|value| parse_challenges(value).len()).sum();
        assert!(count <= 128 * 32);
    }
    let seen = (headers.session_expires(), headers.min_se(), headers.rseq(), headers.rack(), headers.expires());
    let more = (headers.retry_after(), headers.reasons(), headers.content_type(), headers.refer_to());
    let body = find_body(headers, message.body(), "application/sdp");
    assert!(body.is_none_or(|body| body.len() <= message.body().len()), "{seen:?} {more:?}");
}

fn reprint(message: &Message) {
    match parse_datagram(&message.to_bytes()) {
        Ok(again) => assert_eq!(again, *message),
        // Unfolding and the long header names may push a message at a cap over it.
        Err(error) => assert!(
            matches!(error.kind, ParseErrorKind::LineTooLong | ParseErrorKind::TooLarge),
            "{error}: {}",
            String::from_utf8_lossy(&message.to_bytes())
        ),
    }
    match message {
        Message::Request(request) => {
            if let Err(rejection) = validate_request(request, &Capabilities::default()) {
                drop(rejection.answer(request).to_bytes());
            }
            let mut answer = Response::to(request, StatusCode::RINGING);
            answer.set_to_tag("tag").expect("token");
            if let Some(mut via) = answer.headers.top_via() {
                via.set_source([192, 0, 2, 1].into(), 5060);
                answer.headers.set_top_via(&via);
            }
            let read = parse_datagram(&answer.to_bytes());
            assert!(
                read.as_ref().is_ok_and(|message| message.headers().to().is_some_and(|to| to.tag().is_some()))
                    || matches!(&read, Err(error) if error.kind == ParseErrorKind::LineTooLong),
                "{read:?}"
            );
            drop(request.cancel().map(|cancel| cancel.to_bytes()));
        }
        Message::Response(response) => drop(validate_response(response)),
    }
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

const TOKENS: [&[u8]; 24] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"\"",
    b"\\",
    b"<",
    b">",
    b";",
    b",",
    b":",
    b"=",
    b"@",
    b"%",
    b"?",
    b"[",
    b"]",
    b" ",
    b"\xff",
    b"\xe2\x80\xa8",
    b"SIP/2.0",
    b"z9hG4bK",
    b"Content-Length: 4294967296\r\n",
    b"--boundary1--",
];

fn mutate(octets: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    for _ in 0..=dice.below(4) {
        let at = dice.below(octets.len() + 1);
        let length = dice.below(24).min(octets.len() - at);
        match dice.below(6) {
            0 if at < octets.len() => octets[at] = u8::try_from(dice.below(256)).expect("an octet"),
            1 => drop(octets.drain(at..at + length)),
            2 => octets.extend_from_within(at..at + length),
            3 => {
                let token = TOKENS[dice.below(TOKENS.len())];
                octets.splice(at..at, token.iter().copied());
            }
            4 => {
                let from = dice.below(other.len());
                octets.splice(at..at, other[from..].iter().take(40).copied());
            }
            _ => octets.truncate(octets.len().saturating_sub(dice.below(8))),
        }
    }
}

/// Where the random choices begin: always at the same place, unless a long run asks for another.
#[allow(clippy::disallowed_methods, reason = "what a long run of a test is told, and never the server")]
fn seed() -> u64 {
    let wanted = std::env::var("CALLWRIGHT_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok());
    // Multiplied, so that seeds beside each other lead apart; never zero, where the generator would stay.
    wanted.map_or(0x0051_7cc1_b727_220a, |seed: u64| seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
}

/// Writes an input that broke something where the next run tries it first.
fn keep_crasher(octets: &[u8]) -> PathBuf {
    let name = octets
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3));
    let path = folder("crashers").join(format!("{name:016x}.bin"));
    std::fs::create_dir_all(folder("crashers")).expect("a folder");
    std::fs::write(&path, octets).expect("written");
    path
}

#[test]
fn what_once_broke_something_never_does_again() {
    if folder("crashers").is_dir() {
        for (_, octets) in fixtures("crashers") {
            exercise(&octets);
        }
    }
}

#[test]
fn mutated_messages_never_panic() {
    let mut corpus: Vec<Vec<u8>> = Vec::new();
    for set in ["rfc4475", "rfc5118", "hostile", "responses"] {
        corpus.extend(fixtures(set).into_iter().map(|(_, octets)| octets).filter(|octets| octets.len() < 4096));
    }
    assert!(corpus.len() > 100);
    let mut dice = Dice(seed());
    let mut read = 0;
    for _ in 0..MUTATIONS {
        let mut octets = corpus[dice.below(corpus.len())].clone();
        let other = corpus[dice.below(corpus.len())].clone();
        mutate(&mut octets, &other, &mut dice);
        read += usize::from(parse_datagram(&octets).is_ok());
        if std::panic::catch_unwind(|| exercise(&octets)).is_err() {
            panic!("kept as {}", keep_crasher(&octets).display());
        }
    }
    assert!(read > MUTATIONS / 10, "most mutations are refused at once, so nothing is tried: {read}");
}

#[test]
fn whole_sets_and_their_beginnings_never_panic() {
    for set in ["rfc4475", "rfc5118", "hostile", "responses"] {
        for (_, octets) in fixtures(set) {
            exercise(&octets);
            let step = (octets.len() / 200).max(1);
            for end in (0..octets.len()).step_by(step) {
                exercise(&octets[..end]);
            }
        }
    }
}

/// Where the shared vectors lie, if they are here: the PROTOS cases are not part of this repository.
fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    std::env::var_os("CALLWRIGHT_SHARED").map(PathBuf::from).or(Some(beside)).filter(|path| path.is_dir())
}

/// Fills the placeholders of a PROTOS message; the last one is the body's length.
fn filled(template: &[u8]) -> Vec<u8> {
    let text: String = template.iter().map(|b| char::from(*b)).collect();
    let text = text
        .replace("<To>", "callee@127.0.0.1")
        .replace("<From>", "caller@127.0.0.1")
        .replace("<From-Address>", "127.0.0.1")
        .replace("<From-IP>", "127.0.0.1")
        .replace("<Local-Port>", "5999")
        .replace("<Branch-ID>", "1")
        .replace("<Call-ID>", "1")
        .replace("<CSeq>", "1")
        .replace("<Teardown-Method>", "CANCEL");
    let body = text.split_once("\r\n\r\n").map_or(0, |(_, body)| body.chars().count());
    let text = text.replace("<Content-Length>", &body.to_string());
    text.chars().map(|c| u8::try_from(u32::from(c)).expect("octet")).collect()
}

/// Each message stands behind its length and a blank.
fn split_cases(octets: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    let mut rest = octets;
    while let Some(blank) = rest.iter().position(|b| *b == b' ') {
        let length = std::str::from_utf8(&rest[..blank]).ok().and_then(|digits| digits.trim().parse::<usize>().ok());
        let Some(length) = length else { break };
        let message = &rest[blank + 1..];
        let cut = length.min(message.len());
        messages.push(&message[..cut]);
        rest = &message[cut..];
    }
    messages
}

#[test]
#[allow(clippy::print_stderr, reason = "a test that did not run must say so")]
fn protos_cases_never_panic() {
    let packed =
        shared().map(|path| path.join("vectors/sip/protos/c07-sip-invite.tar.xz")).filter(|path| path.is_file());
    let Some(packed) = packed else {
        eprintln!("not run: no PROTOS archive under CALLWRIGHT_SHARED or ../shared");
        return;
    };
    // All cases in one stream: each message stands behind its length, so no file needs to be written.
    let unpacked = Command::new("tar").arg("xJOf").arg(&packed).output();
    let Some(unpacked) = unpacked.ok().filter(|output| output.status.success()) else {
        eprintln!("not run: tar cannot unpack {}", packed.display());
        return;
    };
    let (mut messages, mut read) = (0, 0);
    for (index, message) in split_cases(&unpacked.stdout).into_iter().enumerate() {
        let octets = filled(message);
        messages += 1;
        read += usize::from(parse_datagram(&octets).is_ok());
        // Each case is two messages: the anomaly is in the first, the second only takes the call down.
        if index % 2 == 0 {
            exercise(&octets);
        }
    }
    eprintln!("PROTOS: {messages} messages, {read} read, the others refused");
    assert_eq!(messages, 2 * 4527);
}
