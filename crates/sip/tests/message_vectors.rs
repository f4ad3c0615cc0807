//! The torture messages of RFC 4475 and RFC 5118, hostile datagrams and odd responses: each file's verdict.

mod message_support;

use callwright_sip::message::{HeaderName, Message, ParseErrorKind, Request, StreamItem, StreamParser, parse_datagram};
use message_support::{Outcome, fixture, fixtures, folder, judge, outcome, refused};

use Outcome::{Accept, Answer, Drop};

/// RFC 4475: what the message layer does, where a method outside the default capabilities is not served.
const RFC4475: [(&str, Outcome); 49] = [
    ("badaspec.dat", Accept),
    ("badbranch.dat", Accept),
    ("baddate.dat", Accept),
    ("baddn.dat", Accept),
    ("badinv01.dat", Answer(400)),
    ("badvers.dat", Answer(505)),
    ("bcast.dat", Drop),
    ("bext01.dat", Answer(420)),
    ("bigcode.dat", Drop),
    ("clerr.dat", Answer(400)),
    ("cparam01.dat", Answer(405)),
    ("cparam02.dat", Answer(405)),
    ("dblreq.dat", Answer(405)),
    ("esc01.dat", Accept),
    ("esc02.dat", Answer(501)),
    ("escnull.dat", Answer(405)),
    ("escruri.dat", Answer(400)),
    ("insuf.dat", Answer(400)),
    ("intmeth.dat", Answer(501)),
    ("inv2543.dat", Accept),
    ("invut.dat", Answer(415)),
    ("longreq.dat", Accept),
    ("ltgtruri.dat", Answer(400)),
    ("lwsdisp.dat", Accept),
    ("lwsruri.dat", Answer(400)),
    ("lwsstart.dat", Answer(400)),
    ("mcl01.dat", Answer(400)),
    ("mismatch01.dat", Answer(400)),
    ("mismatch02.dat", Answer(400)),
    ("mpart01.dat", Answer(405)),
    ("multi01.dat", Answer(400)),
    ("ncl.dat", Answer(400)),
    ("noreason.dat", Accept),
    ("novelsc.dat", Answer(416)),
    ("quotbal.dat", Answer(400)),
    ("regaut01.dat", Answer(405)),
    ("regbadct.dat", Answer(400)),
    ("regescrt.dat", Answer(405)),
    ("scalar02.dat", Answer(400)),
    ("scalarlg.dat", Drop),
    ("sdp01.dat", Answer(406)),
    ("semiuri.dat", Accept),
    ("transports.dat", Accept),
    ("trws.dat", Accept),
    ("unkscm.dat", Answer(416)),
    ("unksm2.dat", Answer(405)),
    ("unreason.dat", Accept),
    ("wsinv.dat", Accept),
    ("zeromf.dat", Accept),
];

const RFC5118: [(&str, Outcome); 12] = [
    ("ipv4-mapped-ipv6.dat", Accept),
    ("ipv6-bad.dat", Answer(400)),
    ("ipv6-bug-abnf-3-colons.dat", Answer(400)),
    ("ipv6-correct-abnf-2-colons.dat", Accept),
    ("ipv6-good.dat", Answer(405)),
    ("ipv6-in-sdp.dat", Accept),
    ("mult-ip-in-header.dat", Accept),
    ("mult-ip-in-sdp.dat", Accept),
    ("port-ambiguous.dat", Answer(405)),
    ("port-unambiguous.dat", Answer(405)),
    ("via-received-param-no-delim.dat", Accept),
    ("via-received-param-with-delim.dat", Accept),
];

/// Hostile datagrams. `Accept` means that the layers above decide (policy, dialogs, transactions).
const HOSTILE: [(&str, Outcome); 48] = [
    ("accept-x60.bin", Accept),
    ("ack-stray.bin", Accept),
    ("alert-info-http.bin", Accept),
    ("authz-digest-only.bin", Accept),
    ("authz-empty.bin", Accept),
    ("authz-x40.bin", Accept),
    ("bye-forged-tags.bin", Accept),
    ("cancel-no-transaction.bin", Accept),
    ("cl-huge-body-missing.bin", Answer(400)),
    ("cl-odd-0.bin", Answer(400)),
    ("cl-odd-1.bin", Answer(400)),
    ("cl-odd-4.bin", Answer(400)),
    ("cl-odd-5.bin", Answer(400)),
    ("cl-odd-7.bin", Answer(400)),
    ("cl-odd-8.bin", Answer(400)),
    ("cl-two-different.bin", Answer(400)),
    ("content-type-message-external-body.bin", Answer(415)),
    ("cseq-method-3k.bin", Answer(400)),
    ("display-name-terminal-escape.bin", Accept),
    ("expires-4294967296.bin", Answer(405)),
    ("from-tag-256.bin", Accept),
    ("hdr-1300-via.bin", Drop),
    ("hdr-60k-value.bin", Answer(400)),
    ("hdr-bare-cr.bin", Answer(400)),
    ("hdr-display-name-60k-quotes.bin", Answer(400)),
    ("hdr-method-60k.bin", Answer(400)),
    ("hdr-nul-in-name.bin", Answer(400)),
    ("hdr-nul-in-value.bin", Accept),
    ("hdr-space-before-colon.bin", Accept),
    ("identity-no-semicolon.bin", Accept),
    ("message-unauth.bin", Answer(405)),
    ("mp-boundary-absent.bin", Answer(400)),
    ("mp-no-boundary-param.bin", Answer(400)),
    ("mp-unterminated-part.bin", Accept),
    ("prack-stray.bin", Answer(400)),
    ("raw-65507-nines.bin", Drop),
    ("raw-crlf-keepalive.bin", Drop),
    ("raw-empty.bin", Drop),
    ("raw-http-get.bin", Drop),
    ("raw-tls-hello.bin", Drop),
    ("replaces-guess.bin", Accept),
    ("route-to-self-loop.bin", Answer(400)),
    ("scan-options-friendly.bin", Accept),
    ("scan-register-100.bin", Answer(405)),
    ("session-expires-zero.bin", Answer(422)),
    ("toll-invite-00972.bin", Accept),
    ("toll-refer-premium.bin", Accept),
    ("via-sent-by-victim.bin", Accept),
];

/// Each file of a set has a line in its table and the verdict of that line.
fn check_set(set: &str, expected: &[(&str, Outcome)], verdict: fn(&[u8]) -> Outcome) {
    let files = fixtures(set);
    assert_eq!(files.len(), expected.len(), "{set}: files and table differ");
    let mut wrong = Vec::new();
    for (file, octets) in &files {
        let (_, wanted) =
            expected.iter().find(|(name, _)| name == file).unwrap_or_else(|| panic!("{file} has no line"));
        let seen = verdict(octets);
        if seen != *wanted {
            wrong.push(format!(
                "{file}: wanted {wanted:?}, saw {seen:?} ({:?})",
                parse_datagram(octets).err().map(|e| e.kind)
            ));
        }
    }
    assert!(wrong.is_empty(), "{set}:\n{}", wrong.join("\n"));
}

#[test]
fn rfc4475_verdicts() {
    check_set("rfc4475", &RFC4475, outcome);
}

#[test]
fn rfc5118_verdicts() {
    check_set("rfc5118", &RFC5118, outcome);
}

#[test]
fn hostile_verdicts() {
    check_set("hostile", &HOSTILE, outcome);
}

/// The tables above say nothing that the sets' own indexes do not allow.
#[test]
fn tables_agree_with_the_indexes() {
    for (set, table, parse_column, words_column) in [("rfc4475", &RFC4475[..], 3, 4), ("rfc5118", &RFC5118[..], 1, 2)] {
        let index = std::fs::read_to_string(folder(set).join("INDEX.tsv")).expect("index");
        for line in index.lines().skip(1) {
            let cells: Vec<_> = line.split('\t').collect();
            let (_, verdict) = table.iter().find(|(file, _)| *file == cells[0]).expect("in the table");
            let words = cells.get(words_column).copied().unwrap_or("");
            let parsed = parse_datagram(&fixture(set, cells[0]));
            let allowed = match (cells[parse_column], verdict) {
                ("accept", Accept) => parsed.is_ok(),
                // Well formed, but its method or scheme is not served by a user agent.
                ("accept", Answer(405 | 501)) => parsed.is_ok(),
                ("reject", Answer(code)) => words.contains(&code.to_string()),
                ("drop", Drop) => true,
                ("either", Accept) => true,
                ("either", Answer(code)) => *code == 400,
                _ => false,
            };
            assert!(allowed, "{set}/{}: {verdict:?} against {line}", cells[0]);
        }
    }
}

/// The verdict when the octets come one by one over a stream that ends there.
fn trickled(octets: &[u8]) -> (Outcome, StreamParser) {
    let mut stream = StreamParser::new();
    let mut first = None;
    for octet in octets {
        stream.push(&[*octet]);
        while let Some(item) = stream.pull() {
            let seen = match &item {
                StreamItem::Ping => continue,
                StreamItem::Message(message) => judge(message),
                StreamItem::Refused(error) | StreamItem::Broken(error) => refused(error),
            };
            first.get_or_insert(seen);
        }
    }
    (first.unwrap_or(Drop), stream)
}

/// Over a stream the same verdicts hold, but for the two whose framing a stream sees in another light.
fn trickled_outcome(octets: &[u8]) -> Outcome {
    trickled(octets).0
}

#[test]
fn rfc4475_and_rfc5118_verdicts_over_a_stream_octet_by_octet() {
    let over_stream: Vec<_> = RFC4475
        .iter()
        .map(|(file, verdict)| match *file {
            // The body never comes whole: the parser waits, the connection's owner closes it.
            "clerr.dat" => (*file, Drop),
            // No Content-Length, which a stream cannot do without (RFC 3261 section 18.3).
            "inv2543.dat" => (*file, Answer(400)),
            _ => (*file, *verdict),
        })
        .collect();
    check_set("rfc4475", &over_stream, trickled_outcome);
    check_set("rfc5118", &RFC5118, trickled_outcome);
}

#[test]
fn lost_framing_is_the_end_of_a_stream() {
    let good = fixture("rfc4475", "zeromf.dat");
    for (set, file) in [
        ("rfc4475", "ncl.dat"),
        ("rfc4475", "mcl01.dat"),
        ("hostile", "cl-odd-0.bin"),
        ("hostile", "cl-odd-1.bin"),
        ("hostile", "cl-odd-4.bin"),
        ("hostile", "cl-odd-5.bin"),
        ("hostile", "cl-odd-7.bin"),
        ("hostile", "cl-odd-8.bin"),
        ("hostile", "cl-two-different.bin"),
        ("hostile", "cl-huge-body-missing.bin"),
        ("hostile", "hdr-bare-cr.bin"),
        ("hostile", "raw-http-get.bin"),
    ] {
        let mut octets = fixture(set, file);
        octets.extend_from_slice(&good);
        let mut stream = StreamParser::new();
        stream.push(&octets);
        assert!(matches!(stream.pull(), Some(StreamItem::Broken(_))), "{file}");
        stream.push(&good);
        assert_eq!(stream.pull(), None, "{file}: read on");
        assert!(stream.is_broken() && stream.buffered() == 0, "{file}");
    }
    let (_, waiting) = trickled(&fixture("rfc4475", "clerr.dat"));
    assert!(waiting.is_mid_message() && !waiting.is_broken());
}

#[test]
fn messages_follow_each_other_on_a_stream() {
    let mut octets = b"\r\n".to_vec();
    for _ in 0..3 {
        octets.extend(fixture("rfc4475", "mpart01.dat"));
        octets.extend(fixture("rfc4475", "mismatch01.dat"));
        octets.extend(b"\r\n\r\n");
    }
    for chunk in [1, 2, 7, 1000, octets.len()] {
        let mut stream = StreamParser::new();
        let (mut messages, mut refusals, mut pings) = (0, 0, 0);
        for piece in octets.chunks(chunk) {
            stream.push(piece);
            while let Some(item) = stream.pull() {
                match item {
                    StreamItem::Message(_) => messages += 1,
                    StreamItem::Refused(_) => refusals += 1,
                    StreamItem::Ping => pings += 1,
                    StreamItem::Broken(error) => panic!("chunks of {chunk}: {error}"),
                }
            }
        }
        assert_eq!((messages, refusals, pings), (3, 3, 3), "chunks of {chunk}");
        assert_eq!(stream.buffered(), 0);
    }
}

fn request(set: &str, file: &str) -> Request {
    match parse_datagram(&fixture(set, file)) {
        Ok(Message::Request(request)) => request,
        other => panic!("{file}: {other:?}"),
    }
}

#[test]
fn wsinv_is_read_in_full() {
    let invite = request("rfc4475", "wsinv.dat");
    let headers = &invite.headers;
    assert_eq!(headers.max_forwards(), Some(68));
    assert_eq!(headers.cseq().expect("cseq").to_string(), "9 INVITE");
    assert_eq!(headers.from().expect("from").display(), Some("J Rosenberg \\\""));
    assert_eq!(headers.from().expect("from").tag(), Some("98asjd8"));
    assert_eq!(headers.to().expect("to").tag(), Some("1918181833n"));
    let vias: Vec<_> = headers.vias().map(|via| via.to_string()).collect();
    assert_eq!(
        vias,
        [
            "SIP/2.0/UDP 192.0.2.2;branch=390skdjuw",
            "SIP/2.0/TCP spindle.example.com;branch=z9hG4bK9ikj8",
            "SIP/2.0/UDP 192.168.255.111;branch=z9hG4bK30239"
        ]
    );
    assert_eq!(headers.contacts()[0].param("q"), Some("0.33"));
    assert_eq!(headers.contacts()[0].param("newparam"), Some("newvalue"));
    assert_eq!(invite.body.len(), 150);
}

#[test]
fn escapes_and_odd_octets_survive() {
    let esc01 = request("rfc4475", "esc01.dat");
    assert_eq!(esc01.uri.as_sip().expect("sip").user_decoded().as_deref(), Some("sips:user@example.com"));
    let contact = &esc01.headers.contacts()[0];
    assert_eq!(contact.uri().as_sip().expect("sip").param("lr"), Some(""));
    assert_eq!(contact.uri().as_sip().expect("sip").param("name"), Some("v%61lue%25%34%31"));

    let escnull = request("rfc4475", "escnull.dat");
    let users: Vec<_> =
        escnull.headers.contacts().iter().filter_map(|c| c.uri().as_sip().and_then(|u| u.user_decoded())).collect();
    assert_eq!(users, ["\0", "\0\0"]);

    let intmeth = request("rfc4475", "intmeth.dat");
    let to = intmeth.headers.to().expect("to");
    assert_eq!(to.display(), Some("BEL:\u{7} NUL:\0 DEL:\u{7f}"));
    assert_eq!(to.to_string().parse::<callwright_sip::message::NameAddr>(), Ok(to));
    assert_eq!(intmeth.headers.from().expect("from").param("fromParam''~+*_!.-%"), Some("работающий"));

    let esc02 = request("rfc4475", "esc02.dat");
    assert_eq!(esc02.headers.contacts().len(), 2);

    let semiuri = request("rfc4475", "semiuri.dat");
    assert_eq!(semiuri.uri.as_sip().expect("sip").user_decoded().as_deref(), Some("user;par=u@example.net"));
}

#[test]
fn framing_decides_what_belongs_to_a_message() {
    let dblreq = request("rfc4475", "dblreq.dat");
    assert_eq!(dblreq.method.as_str(), "REGISTER");
    assert!(dblreq.body.is_empty());
    assert_eq!(dblreq.headers.call_id().expect("id").as_str(), "dblreq.0ha0isndaksdj99sdfafnl3lk233412");
    assert_eq!(request("rfc4475", "mpart01.dat").body.len(), 553);
    assert!(request("rfc4475", "inv2543.dat").body.starts_with(b"v=0"));
    let longreq = request("rfc4475", "longreq.dat");
    assert_eq!(longreq.headers.from().expect("from").tag().map(str::len), Some(155));
    assert_eq!(longreq.headers.vias().count(), 34);
}

#[test]
fn addresses_of_rfc5118_are_told_from_ports() {
    let port = |file: &str| request("rfc5118", file).uri.as_sip().expect("sip").port();
    assert_eq!(port("port-ambiguous.dat"), None);
    assert_eq!(port("port-unambiguous.dat"), Some(5070));
    for file in ["via-received-param-no-delim.dat", "via-received-param-with-delim.dat"] {
        let via = request("rfc5118", file).headers.top_via().expect("via");
        assert_eq!(via.received(), "2001:db8::9:255".parse().ok(), "{file}");
    }
}

#[test]
fn refusals_say_what_they_must() {
    let octets = fixture("rfc4475", "bext01.dat");
    let bext01 = request("rfc4475", "bext01.dat");
    let own = callwright_sip::message::Capabilities::default();
    let refusal = callwright_sip::message::validate_request(&bext01, &own).expect_err("420");
    let answer = refusal.answer(&bext01);
    assert_eq!(answer.headers.first(&HeaderName::Unsupported), Some("nothingSupportsThis, nothingSupportsThisEither"));
    assert!(answer.to_bytes().len() < octets.len() * 3 / 2, "an answer must not amplify");
    let invut = request("rfc4475", "invut.dat");
    let refusal = callwright_sip::message::validate_request(&invut, &own).expect_err("415");
    assert!(refusal.answer(&invut).headers.lists(&HeaderName::Accept, "application/sdp"));
    let short = request("hostile", "session-expires-zero.bin");
    let refusal = callwright_sip::message::validate_request(&short, &own).expect_err("422");
    assert_eq!(refusal.answer(&short).headers.min_se(), Some(90));
}

/// What is sent to somebody who may not be who he says is at most half as much again as what he sent.
#[test]
fn answers_do_not_amplify() {
    let own = callwright_sip::message::Capabilities::default();
    let mut answers = 0;
    for set in ["rfc4475", "rfc5118", "hostile"] {
        for (file, octets) in fixtures(set) {
            let answer = match parse_datagram(&octets) {
                Ok(Message::Request(request)) => callwright_sip::message::validate_request(&request, &own)
                    .err()
                    .map(|refusal| refusal.answer(&request).to_bytes()),
                Ok(Message::Response(_)) => None,
                Err(error) => error.answer.map(|answer| answer.to_bytes()),
            };
            if let Some(answer) = answer {
                answers += 1;
                assert!(2 * answer.len() <= 3 * octets.len(), "{file}: {} for {}", answer.len(), octets.len());
            }
        }
    }
    assert!(answers > 40, "{answers}");
}

#[test]
fn refused_requests_keep_what_identifies_them() {
    let error = parse_datagram(&fixture("rfc4475", "mismatch01.dat")).expect_err("refused");
    assert_eq!(error.kind, ParseErrorKind::CSeq);
    let text = String::from_utf8(error.answer.expect("answer").to_bytes()).expect("text");
    assert_eq!(
        text,
        "SIP/2.0 400 Bad CSeq\r\nVia: SIP/2.0/UDP host.example.com;branch=z9hG4bKkdjuw\r\n\
         From: sip:caller@example.net;tag=34525\r\nTo: sip:j.user@example.com\r\n\
         Call-ID: mismatch01.dj0234sxdfl3\r\nCSeq: 8 INVITE\r\nContent-Length: 0\r\n\r\n"
    );
    let nobody = parse_datagram(&fixture("hostile", "raw-crlf-keepalive.bin")).expect_err("keepalive");
    assert_eq!(nobody.kind, ParseErrorKind::KeepAlive);
}

#[test]
fn hostile_headers_keep_their_meaning() {
    let spaced = request("hostile", "hdr-space-before-colon.bin");
    assert_eq!(spaced.headers.asserted_identities().len(), 1, "the same header as without the space");
    assert_eq!(request("hostile", "hdr-nul-in-value.bin").headers.first(&HeaderName::Subject), Some("a\0b"));
    assert_eq!(request("hostile", "from-tag-256.bin").headers.from().expect("from").tag().map(str::len), Some(257));
    let escape = request("hostile", "display-name-terminal-escape.bin");
    assert!(!format!("{escape:?}").contains('\u{1b}'), "control characters never reach a log line");
    assert!(!format!("{:?}", request("hostile", "toll-invite-00972.bin")).contains("00972592"), "numbers are masked");
}

/// Fills a response template as the test peer does.
fn filled(template: &[u8]) -> Vec<u8> {
    let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n";
    let text: String = template.iter().map(|b| char::from(*b)).collect();
    let text = text
        .replace("{{via}}", "SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKours;rport=5060")
        .replace("{{from}}", "<sip:us@127.0.0.1>;tag=ours")
        .replace("{{to}}", "<sip:them@127.0.0.1>")
        .replace("{{call_id}}", "call-1")
        .replace("{{cseq}}", "1 INVITE")
        .replace("{{cseq_num}}", "1")
        .replace("{{peer_addr}}", "127.0.0.1:5061")
        .replace("{{our_addr}}", "127.0.0.1:5060")
        .replace("{{realm}}", "trunk")
        .replace("{{sdp}}", sdp);
    let body = text.split_once("\r\n\r\n").map_or(0, |(_, body)| body.chars().count());
    text.replace("{{len}}", &body.to_string()).chars().map(|c| u8::try_from(u32::from(c)).expect("octet")).collect()
}

#[test]
fn response_templates_are_read_or_dropped() {
    let dropped = ["099-code.sip", "401-nonce-30k.sip", "999-code.sip", "ok-content-length-long.sip"];
    let files = fixtures("responses");
    assert_eq!(files.len(), 24);
    for (file, template) in files {
        let octets = filled(&template);
        let wanted = if dropped.contains(&file.as_str()) { Drop } else { Accept };
        assert_eq!(outcome(&octets), wanted, "{file}: {:?}", parse_datagram(&octets).err());
        if file != "ok-content-length-long.sip" {
            assert_eq!(trickled_outcome(&octets), wanted, "{file} over a stream");
        }
    }
}

#[test]
fn response_templates_mean_what_they_say() {
    let response = |file: &str| match parse_datagram(&filled(&fixture("responses", file))) {
        Ok(Message::Response(response)) => response,
        other => panic!("{file}: {other:?}"),
    };
    let folded = response("ok-folded-and-compact.sip");
    assert_eq!(folded.headers.to().expect("to").tag(), Some("resp1"));
    assert!(folded.headers.top_via().is_some() && folded.body.starts_with(b"v=0"));
    assert_eq!(response("486-reason-headers.sip").headers.q850_cause(), Some(17));
    assert_eq!(response("503-retry-after-huge.sip").headers.retry_after().map(|r| r.seconds), Some(300));
    assert_eq!(response("183-100rel-rseq-0.sip").headers.rseq(), None);
    assert_eq!(response("ok-two-contacts.sip").headers.contacts().len(), 2);
    let routes: Vec<_> = response("ok-record-route-lr-x3.sip")
        .headers
        .record_routes()
        .iter()
        .filter_map(|route| route.uri().as_sip()?.param("n").map(str::to_owned))
        .collect();
    assert_eq!(routes, ["1", "2", "3"]);
    let multipart = response("ok-multipart-sdp.sip");
    let sdp = callwright_sip::message::find_body(&multipart.headers, &multipart.body, "application/sdp");
    assert!(sdp.expect("the SDP part").starts_with(b"v=0\r\n"));
    assert_eq!(response("ok-no-to-tag.sip").headers.to().expect("to").tag(), None);
}
