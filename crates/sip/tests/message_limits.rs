//! Each cap at its boundary and one above.

use callwright_sip::message::{
    MAX_DATAGRAM, MAX_HEADER_LINE, MAX_HEADERS, MAX_HOPS, MAX_STREAM_MESSAGE, MAX_VIAS, Message, ParseErrorKind,
    StreamItem, StreamParser, parse_datagram,
};

/// The lines that each request here has anyway; `Content-Length` is not counted, as it is not kept.
const NEEDED: usize = 6;

/// An OPTIONS with more header lines and a body; `Content-Length` is right.
fn options(more: &str, body: &[u8]) -> Vec<u8> {
    let mut octets = format!(
        "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: <sip:d@e>;tag=1\r\n\
         To: <sip:a@b>\r\nCall-ID: f\r\nCSeq: 1 OPTIONS\r\n{more}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    octets.extend_from_slice(body);
    octets
}

/// None when read, else the kind and the status of the answer.
fn verdict(octets: &[u8]) -> Option<(ParseErrorKind, Option<u16>)> {
    parse_datagram(octets).err().map(|error| (error.kind, error.answer.map(|answer| answer.status.code())))
}

#[test]
fn datagram_size() {
    let room = MAX_DATAGRAM - options("", &vec![b'x'; 10_000]).len() + 10_000;
    assert_eq!(options("", &vec![b'x'; room]).len(), MAX_DATAGRAM);
    assert_eq!(verdict(&options("", &vec![b'x'; room])), None);
    assert_eq!(verdict(&options("", &vec![b'x'; room + 1])), Some((ParseErrorKind::TooLarge, None)));
}

#[test]
fn header_count() {
    let fill = |count: usize| options(&"X-A: b\r\n".repeat(count - NEEDED), b"");
    assert_eq!(verdict(&fill(MAX_HEADERS)), None);
    assert_eq!(verdict(&fill(MAX_HEADERS + 1)), Some((ParseErrorKind::TooManyHeaders, Some(400))));
}

#[test]
fn header_line_length() {
    let line = |length: usize| options(&format!("X-A: {}\r\n", "b".repeat(length - "X-A: ".len())), b"");
    assert_eq!(verdict(&line(MAX_HEADER_LINE)), None);
    assert_eq!(verdict(&line(MAX_HEADER_LINE + 1)), Some((ParseErrorKind::LineTooLong, Some(400))));
    // Folding does not get around the cap.
    let folded = options(&format!("X-A: a{}\r\n", "\r\n bbbbbbb".repeat(MAX_HEADER_LINE / 8)), b"");
    assert_eq!(verdict(&folded), Some((ParseErrorKind::LineTooLong, Some(400))));
}

#[test]
fn hops() {
    let routes = |count: usize| options(&"Route: <sip:p;lr>\r\n".repeat(count), b"");
    assert_eq!(verdict(&routes(MAX_HOPS)), None);
    assert_eq!(verdict(&routes(MAX_HOPS + 1)), Some((ParseErrorKind::TooManyHops, Some(400))));
    let listed = |count: usize| options(&format!("Record-Route: {}\r\n", vec!["<sip:p;lr>"; count].join(",")), b"");
    assert_eq!(verdict(&listed(MAX_HOPS)), None);
    assert_eq!(verdict(&listed(MAX_HOPS + 1)), Some((ParseErrorKind::TooManyHops, Some(400))));
    let vias = |count: usize| options(&"v: SIP/2.0/UDP c\r\n".repeat(count - 1), b"");
    assert_eq!(verdict(&vias(MAX_VIAS)), None);
    assert_eq!(
        verdict(&vias(MAX_VIAS + 1)),
        Some((ParseErrorKind::TooManyHops, None)),
        "an answer would carry them all"
    );
}

#[test]
fn parameters() {
    let via = |count: usize| {
        let params: String = (0..count).map(|n| format!(";p{n}")).collect();
        options(&format!("Via: SIP/2.0/UDP c{params}\r\n"), b"")
    };
    assert_eq!(verdict(&via(64)), None);
    assert_eq!(verdict(&via(65)), Some((ParseErrorKind::Via, Some(400))));
}

fn first_item(octets: &[u8]) -> Option<StreamItem> {
    let mut stream = StreamParser::new();
    stream.push(octets);
    stream.pull()
}

#[test]
fn stream_message_size() {
    let room = MAX_STREAM_MESSAGE - options("", &vec![b'x'; 100_000]).len() + 100_000;
    let boundary = options("", &vec![b'x'; room]);
    assert_eq!(boundary.len(), MAX_STREAM_MESSAGE);
    assert!(matches!(first_item(&boundary), Some(StreamItem::Message(_))));
    match first_item(&options("", &vec![b'x'; room + 1])) {
        Some(StreamItem::Broken(error)) => {
            assert_eq!(error.kind, ParseErrorKind::TooLarge);
            assert_eq!(error.answer.map(|answer| answer.status.code()), Some(513));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stream_never_keeps_more_than_a_message() {
    for endless in [&b"X"[..], b"X: y\r\n", b"\r", b"\n", b"\r\n"] {
        let mut stream = StreamParser::new();
        let mut most = 0;
        for _ in 0..200_000 / endless.len() {
            stream.push(endless);
            while stream.pull().is_some() {}
            most = most.max(stream.buffered());
        }
        assert!(most <= MAX_STREAM_MESSAGE + endless.len(), "{endless:?}: {most}");
    }
}

#[test]
fn content_length_is_exact() {
    let with = |length: &str| {
        let text = String::from_utf8(options("", b"")).expect("text");
        let mut octets = text.replace("Content-Length: 0", &format!("Content-Length: {length}")).into_bytes();
        octets.extend_from_slice(b"0123456789");
        octets
    };
    for (length, body) in [("10", 10), ("0010", 10), ("3", 3), ("0", 0)] {
        match parse_datagram(&with(length)) {
            Ok(message) => assert_eq!(message.body().len(), body, "{length}"),
            Err(error) => panic!("{length}: {error}"),
        }
    }
    assert_eq!(verdict(&with("11")), Some((ParseErrorKind::BodyShort, Some(400))));
    for length in ["", "-1", "+10", "0x10", "10, 10", "1 0", "10a", "4294967306", "18446744073709551626"] {
        let seen = verdict(&with(length));
        assert!(
            matches!(seen, Some((ParseErrorKind::ContentLength | ParseErrorKind::BodyShort, Some(400)))),
            "{length}: {seen:?}"
        );
    }
    assert_eq!(verdict(&options("l: 0\r\n", b"")), Some((ParseErrorKind::ContentLength, Some(400))));
}

#[test]
fn acks_and_responses_are_never_answered() {
    let ack = String::from_utf8(options("", b"")).expect("text").replace("OPTIONS", "ACK");
    assert!(matches!(parse_datagram(ack.as_bytes()), Ok(Message::Request(_))));
    for broken in [
        ack.replace("CSeq: 1", "CSeq: x"),
        ack.replace("SIP/2.0\r\nVia", "SIP/3.0\r\nVia"),
        ack.replace("sip:a@b SIP", "< SIP"),
    ] {
        assert!(matches!(verdict(broken.as_bytes()), Some((_, None))), "{broken}");
    }
    let response = ack.replace("ACK sip:a@b SIP/2.0", "SIP/2.0 200 OK");
    assert!(parse_datagram(response.as_bytes()).is_ok());
    assert!(matches!(verdict(response.replace("CSeq: 1", "CSeq: x").as_bytes()), Some((ParseErrorKind::CSeq, None))));
}

#[test]
fn style_is_tolerated() {
    let text = String::from_utf8(options("", b"")).expect("text");
    for (what, odd) in [
        ("LF alone", text.replace("\r\n", "\n")),
        ("line ends first", format!("\r\n\r\n{text}")),
        ("blank after the version", text.replace("SIP/2.0\r\nVia", "SIP/2.0 \t\r\nVia")),
        ("lower-case version", text.replace("a@b SIP/2.0", "a@b sip/2.0")),
        ("folded", text.replace("CSeq: 1 OPTIONS", "CSEQ\t:\r\n 1\r\n\tOPTIONS")),
        ("trailing semicolon", text.replace(";tag=1", ";tag=1;")),
        ("Latin-1 name", text.clone()),
    ] {
        let mut octets = odd.into_bytes();
        if what == "Latin-1 name" {
            let at = octets.windows(6).position(|w| w == b"<sip:d").expect("From");
            octets.splice(at..at, *b"Jos\xe9 ");
        }
        let message = parse_datagram(&octets).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(message.headers().cseq().map(|cseq| cseq.to_string()).as_deref(), Some("1 OPTIONS"), "{what}");
        if what == "Latin-1 name" {
            assert_eq!(message.headers().from().expect("from").display(), Some("José"));
        }
    }
}
