//! No application string reaches a SIP line unescaped: whatever is put into an INVITE, it reads back with the same
//! headers, the same names and the same meaning.

use callwright_sip::message::{
    CallId, HeaderName, HeaderValue, Host, MediaType, Message, Method, NameAddr, NewRequest, Reason, Request, SipUri,
    StatusCode, TextError, Via, parse_datagram,
};

/// What callers of an API try.
const HOSTILE: [&str; 22] = [
    "\r\nRoute: <sip:evil@192.0.2.66;lr>",
    "\n",
    "\r",
    "\0",
    "%0d%0a",
    "%0D%0ARoute:%20x",
    ";transport=tcp",
    ">;tag=x",
    "\"",
    "\\",
    "\\\"",
    "?Route=%3Csip:evil%3E",
    "@evil.example",
    "a@b@c",
    "\u{2028}",
    "\u{2029}x",
    "\u{85}",
    "\" <sip:evil@192.0.2.66>, \"",
    "<sip:x>",
    ",",
    "a b\tc",
    "Zoë 日本 +1 (555) 0100",
];

fn plain_uri() -> SipUri {
    SipUri::new("example.com".parse::<Host>().expect("host"))
}

/// An INVITE with `text` wherever an application's text can go, and the fields that refused it.
fn invite(text: &str) -> (Request, Vec<&'static str>) {
    let mut refused = Vec::new();
    let mut note = |field: &'static str| refused.push(field);
    let user = |note: &mut dyn FnMut(&'static str), field| {
        plain_uri().with_user(text).unwrap_or_else(|_| {
            note(field);
            plain_uri()
        })
    };
    let target = user(&mut note, "request user");
    let target = target.clone().with_param("x", text).unwrap_or_else(|_| {
        note("uri parameter");
        target
    });
    let from = NameAddr::new(user(&mut note, "from user"));
    let from = from.clone().with_display(text).unwrap_or_else(|_| {
        note("display name");
        from
    });
    let from = from.clone().with_param("x", text).unwrap_or_else(|_| {
        note("header parameter");
        from
    });
    let call_id = CallId::new(text).unwrap_or_else(|_| {
        note("call-id");
        CallId::new("call-1").expect("plain")
    });
    let via = Via::new("UDP", "192.0.2.1".parse().expect("host"), Some(5060), text).unwrap_or_else(|_| {
        note("branch");
        Via::new("UDP", "192.0.2.1".parse().expect("host"), Some(5060), "z9hG4bK1").expect("plain")
    });
    let to = NameAddr::new(target.clone());
    let mut request = NewRequest {
        method: Method::Invite,
        uri: target.into(),
        via,
        from: from.with_tag("t").expect("plain"),
        to,
        call_id,
        cseq: 1,
    }
    .build();
    match HeaderValue::new(text) {
        Ok(value) => request.headers.push(HeaderName::Subject, value),
        Err(_) => note("header value"),
    }
    match HeaderName::new(text) {
        Ok(name) => request.headers.push(name, 1),
        Err(_) => note("header name"),
    }
    let reason = Reason { protocol: "Q.850".to_owned(), cause: Some(16), text: Some(text.to_owned()) };
    request.headers.push(HeaderName::Reason, &reason);
    let sdp = MediaType::parse("application/sdp").expect("media type");
    (request.with_body(&sdp, text.as_bytes().to_vec()), refused)
}

fn check(text: &str) {
    let (request, _) = invite(text);
    let octets = request.to_bytes();
    let read = match parse_datagram(&octets) {
        Ok(Message::Request(read)) => read,
        other => panic!("{text:?}: {other:?}\n{}", String::from_utf8_lossy(&octets)),
    };
    let names = |request: &Request| request.headers.iter().map(|h| h.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&read), names(&request), "{text:?}");
    assert_eq!(read.headers.from(), request.headers.from(), "{text:?}");
    assert!(read.headers.routes().is_empty(), "{text:?}");
    assert_eq!(read.headers.contacts().len(), 0, "{text:?}");
    assert_eq!(read.headers.reasons().len(), 1, "{text:?}");
    assert_eq!(read.body, text.as_bytes(), "{text:?}");
    let uri = read.uri.as_sip().expect("sip");
    assert_eq!(uri.host().to_string(), "example.com", "{text:?}");
    assert_eq!(uri.headers(), None, "{text:?}");
    assert_eq!(uri, request.uri.as_sip().expect("sip"), "{text:?}");
    let head = octets.split(|b| *b == b'\n').take_while(|line| *line != b"\r");
    assert_eq!(head.count(), names(&request).len() + 2, "{text:?}: lines");
}

#[test]
fn hostile_strings_add_nothing() {
    for text in HOSTILE {
        check(text);
    }
}

#[test]
fn hostile_strings_in_any_mixture_add_nothing() {
    let alphabet = [
        "\r", "\n", "\0", "%", "0d", "0a", ";", ">", "<", "\"", "?", "@", "\u{2028}", ",", ":", "=", "\\", " ", "a",
        "é",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..3000 {
        let mut text = String::new();
        for _ in 0..12 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.push_str(alphabet[usize::try_from(state >> 33).expect("31 bits") % alphabet.len()]);
        }
        check(&text);
    }
}

#[test]
fn line_ends_and_line_separators_are_refused_everywhere() {
    for text in ["a\r\nb", "a\nb", "a\rb", "a\0b", "a\u{2028}b", "a\u{85}b"] {
        let (_, refused) = invite(text);
        assert_eq!(
            refused,
            [
                "request user",
                "uri parameter",
                "from user",
                "display name",
                "header parameter",
                "call-id",
                "branch",
                "header value",
                "header name"
            ],
            "{text:?}"
        );
    }
    let (_, refused) = invite("plain");
    assert!(refused.is_empty());
}

#[test]
fn what_can_be_escaped_keeps_its_meaning() {
    let text = "a;b@c?d%41>\"\\";
    let uri = plain_uri().with_user(text).expect("escapable");
    assert_eq!(uri.to_string(), "sip:a%3Bb%40c%3Fd%2541%3E%22%5C@example.com");
    assert_eq!(uri.user_decoded().as_deref(), Some(text));
    let named = NameAddr::new(uri).with_display(text).expect("escapable");
    assert_eq!(named.to_string().parse::<NameAddr>().expect("reads back").display(), Some(text));
}

#[test]
fn responses_carry_what_rfc3261_asks() {
    let (invite, _) = invite("plain");
    let invite = invite
        .with(HeaderName::RecordRoute, HeaderValue::new("<sip:p1;lr>").expect("clean"))
        .with(HeaderName::Timestamp, HeaderValue::new("54").expect("clean"));
    let names = |status| {
        let response = callwright_sip::message::Response::to(&invite, status);
        response.headers.iter().map(|h| h.name.to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(StatusCode::TRYING), "Via From To Call-ID CSeq Timestamp");
    assert_eq!(names(StatusCode::RINGING), "Via From To Call-ID CSeq Record-Route");
    assert_eq!(names(StatusCode::OK), "Via From To Call-ID CSeq Record-Route");
    assert_eq!(names(StatusCode::BUSY_HERE), "Via From To Call-ID CSeq");
    let mut ok = callwright_sip::message::Response::to(&invite, StatusCode::OK);
    assert_eq!(ok.set_to_tag("a\r\nb"), Err(TextError::Forbidden));
    ok.set_to_tag("us").expect("token");
    ok.set_to_tag("other").expect("token");
    assert_eq!(ok.headers.to().expect("to").tag(), Some("us"), "a tag is set once");
    let mut odd = ok.clone();
    odd.headers.set(HeaderName::To, HeaderValue::new("Bell, A  < sip:a@b > ; x = y ;").expect("clean"));
    odd.set_to_tag("us").expect("token");
    assert_eq!(odd.headers.first(&HeaderName::To), Some("Bell, A  < sip:a@b > ; x = y;tag=us"), "the rest as it came");
    assert!(ok.clone().with_reason("Fine\r\nRoute: x").is_err());
    assert_eq!(parse_datagram(&ok.to_bytes()), Ok(Message::Response(ok)));
}

#[test]
fn cancel_and_ack_repeat_the_invite() {
    let (invite, _) = invite("plain");
    let invite = invite.with(HeaderName::Route, HeaderValue::new("<sip:p1;lr>").expect("clean"));
    let cancel = invite.cancel().expect("whole");
    assert_eq!(cancel.headers.cseq().expect("cseq").to_string(), "1 CANCEL");
    assert_eq!(cancel.headers.top_via(), invite.headers.top_via());
    assert_eq!(cancel.headers.routes(), invite.headers.routes());
    assert_eq!(cancel.headers.to(), invite.headers.to());
    let mut busy = callwright_sip::message::Response::to(&invite, StatusCode::BUSY_HERE);
    busy.set_to_tag("them").expect("token");
    let ack = invite.ack_failure(&busy).expect("whole");
    assert_eq!(ack.headers.cseq().expect("cseq").to_string(), "1 ACK");
    assert_eq!(ack.headers.to().expect("to").tag(), Some("them"));
    assert!(ack.body.is_empty() && !ack.headers.contains(&HeaderName::ContentType));
    assert_eq!(parse_datagram(&ack.to_bytes()), Ok(Message::Request(ack)));
}

#[test]
fn uris_are_compared_by_rfc3261_section_19_1_4() {
    let same = |a: &str, b: &str| {
        let read = |text: &str| text.parse::<callwright_sip::message::Uri>().expect("uri");
        assert_eq!(read(a).equivalent(&read(b)), read(b).equivalent(&read(a)), "{a} {b}");
        read(a).equivalent(&read(b))
    };
    for (a, b) in [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("tel:+1-201-555-0123", "tel:+1(201)5550123"),
    ] {
        assert!(same(a, b), "{a} {b}");
    }
    for (a, b) in [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtlanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:a@b", "sips:a@b"),
        ("sip:a%2525@b", "sip:a%25@b"),
    ] {
        assert!(!same(a, b), "{a} {b}");
    }
}
