//! What the vector tests share: fixtures, and the verdict of the message layer on one message.

use std::path::PathBuf;

use callwright_sip::message::{Capabilities, Message, ParseError, parse_datagram, validate_request, validate_response};

/// What the message layer would do with one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Pass it on.
    Accept,
    /// Answer with this code.
    Answer(u16),
    /// Say nothing.
    Drop,
}

/// The folder of a set.
pub(crate) fn folder(set: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(set)
}

/// One file of a set.
#[allow(dead_code, reason = "each test binary uses its part of this module")]
pub(crate) fn fixture(set: &str, file: &str) -> Vec<u8> {
    let path = folder(set).join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files of a set, by name.
pub(crate) fn fixtures(set: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder(set))
        .expect("the fixtures are part of the crate")
        .map(|entry| entry.expect("readable folder"))
        .filter(|entry| entry.file_name() != "INDEX.tsv")
        .map(|entry| {
            let octets = std::fs::read(entry.path()).expect("readable fixture");
            (entry.file_name().into_string().expect("fixture names are ASCII"), octets)
        })
        .collect();
    files.sort();
    files
}

/// The verdict on a datagram.
#[allow(dead_code, reason = "each test binary uses its part of this module")]
pub(crate) fn outcome(datagram: &[u8]) -> Outcome {
    match parse_datagram(datagram) {
        Ok(message) => judge(&message),
        Err(error) => refused(&error),
    }
}

/// The verdict on what the parser refused.
#[allow(dead_code, reason = "each test binary uses its part of this module")]
pub(crate) fn refused(error: &ParseError) -> Outcome {
    match &error.answer {
        Some(answer) => {
            // An answer that cannot be read back would be no answer, but for what the request itself got wrong.
            assert!(answer.to_bytes().starts_with(b"SIP/2.0 "));
            Outcome::Answer(answer.status.code())
        }
        None => Outcome::Drop,
    }
}

/// The verdict on a message that was read.
pub(crate) fn judge(message: &Message) -> Outcome {
    match message {
        Message::Request(request) => match validate_request(request, &Capabilities::default()) {
            Ok(()) => Outcome::Accept,
            Err(rejection) => {
                let answer = rejection.answer(request).to_bytes();
                parse_datagram(&answer).expect("an answer of ours reads back");
                Outcome::Answer(rejection.status.code())
            }
        },
        Message::Response(response) => match validate_response(response) {
            Ok(()) => Outcome::Accept,
            Err(_) => Outcome::Drop,
        },
    }
}
