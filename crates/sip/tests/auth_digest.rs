//! Digest answers against the examples of RFC 7616, RFC 2617 and RFC 8760, and what must not be answered.

use callwright_sip::auth::{AuthRefusal, Credentials, DigestSession, Subject, parse_challenges};
use callwright_sip::message::{HeaderName, HeaderValue, Headers, Method, StatusCode};

fn challenged(name: HeaderName, values: &[&str]) -> Headers {
    let mut headers = Headers::new();
    for value in values {
        headers.push(name.clone(), HeaderValue::new(value).expect("clean"));
    }
    headers
}

fn www(values: &[&str]) -> Headers {
    challenged(HeaderName::WwwAuthenticate, values)
}

fn session(password: &str) -> DigestSession {
    DigestSession::new(Credentials::new("Mufasa", password).expect("credentials"))
}

fn get() -> Method {
    Method::new("GET").expect("token")
}

fn answer(
    session: &mut DigestSession,
    headers: &Headers,
    method: &Method,
    cnonce: &str,
) -> Result<String, AuthRefusal> {
    let subject = Subject { method, uri: "/dir/index.html", cnonce };
    session.answer(StatusCode::UNAUTHORIZED, headers, subject).map(|(name, value)| {
        assert_eq!(name, HeaderName::Authorization);
        value.to_string()
    })
}

/// The value of one parameter of an answer, quotes included.
fn param<'a>(answer: &'a str, name: &str) -> &'a str {
    answer
        .trim_start_matches("Digest ")
        .split(", ")
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        .unwrap_or_else(|| panic!("{name} in {answer}"))
}

const RFC7616_REALM: &str = "realm=\"http-auth@example.org\", qop=\"auth, auth-int\", \
    nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";

const RFC7616_CNONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

fn rfc7616(algorithm: &str) -> String {
    format!("Digest {RFC7616_REALM}, algorithm={algorithm}")
}

#[test]
fn rfc7616_section_3_9_1() {
    for (algorithm, response) in [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ] {
        let headers = www(&[&rfc7616(algorithm)]);
        let text = answer(&mut session("Circle of Life"), &headers, &get(), RFC7616_CNONCE).expect("answered");
        assert_eq!(param(&text, "response"), format!("\"{response}\""));
        assert_eq!(param(&text, "algorithm"), algorithm);
    }
}

#[test]
fn session_variants_and_the_old_form_without_qop() {
    // Computed with another implementation from the values of RFC 7616 section 3.9.1 and the client nonce 0a4f113b.
    for (algorithm, response) in [
        ("MD5-sess", "1325270a4f4f4bac3152e76655b5bc6b"),
        ("SHA-256-sess", "e1b5c70d1160b7f69ab466d54bac57fc011b9fe87a2de4532e4e2744eb09f449"),
    ] {
        let text = answer(&mut session("Circle of Life"), &www(&[&rfc7616(algorithm)]), &get(), "0a4f113b");
        assert_eq!(param(&text.expect("answered"), "response"), format!("\"{response}\""));
    }
    let old = www(&[&rfc7616("MD5").replace("qop=\"auth, auth-int\", ", "")]);
    let text = answer(&mut session("Circle of Life"), &old, &get(), "0a4f113b").expect("answered");
    assert_eq!(param(&text, "response"), "\"7b2cc3b30e75b4777ea31027084363fd\"");
    assert!(!text.contains("nc=") && !text.contains("cnonce"), "{text}");
}

#[test]
fn the_stronger_hash_wins_in_any_order_and_any_packing() {
    let (weak, strong) = (rfc7616("MD5"), rfc7616("SHA-256"));
    for headers in [
        www(&[&weak, &strong]),
        www(&[&strong, &weak]),
        www(&[&format!("{weak}, {strong}")]),
        www(&["Basic realm=\"http-auth@example.org\"", "NewScheme x", &weak, "Digest", &strong]),
        www(&[&strong, "Digest realm=\"http-auth@example.org\", nonce=\"n\", algorithm=SHA-3"]),
    ] {
        let text = answer(&mut session("Circle of Life"), &headers, &get(), "0a4f113b").expect("answered");
        assert_eq!(param(&text, "algorithm"), "SHA-256");
    }
}

#[test]
fn a_nonce_is_counted_and_answered_once_per_challenge() {
    let headers = www(&[&rfc7616("MD5")]);
    let mut session = session("Circle of Life");
    let method = get();
    let subject = Subject { method: &method, uri: "/dir/index.html", cnonce: "0a4f113b" };
    assert!(session.reuse(subject).is_none(), "nothing was challenged yet");
    let first = answer(&mut session, &headers, &method, "0a4f113b").expect("answered");
    assert_eq!(param(&first, "nc"), "00000001");
    let (name, second) = session.reuse(subject).expect("a nonce is in use").expect("answered");
    assert_eq!(name, HeaderName::Authorization);
    assert_eq!(param(second.as_str(), "nc"), "00000002");
    assert_eq!(param(second.as_str(), "response"), "\"2dfbb173461af825cdac8f331c36d8ab\"");
    let beside = answer(&mut session, &headers, &method, "c").expect("another request, challenged with the same nonce");
    assert_eq!(param(&beside, "nc"), "00000003");
    let stale = www(&[&format!("{}, stale=TRUE", rfc7616("MD5").replace("7ypf", "8ypf"))]);
    let renewed = answer(&mut session, &stale, &method, "c").expect("a stale nonce is replaced");
    assert_eq!(param(&renewed, "nc"), "00000001");
    session.forget();
    assert!(session.reuse(subject).is_none());
}

#[test]
fn foreign_realms_and_unspoken_protections_are_refused() {
    let headers = www(&["Digest realm=\"evil.example\",nonce=\"abc\",algorithm=MD5,qop=\"auth\""]);
    let mut bound = session("x").with_realm("trunk");
    assert_eq!(answer(&mut bound, &headers, &get(), "c"), Err(AuthRefusal::ForeignRealm));
    assert!(answer(&mut session("x"), &headers, &get(), "c").is_ok());
    let both = www(&["Digest realm=\"evil\",nonce=\"a\",algorithm=SHA-256", "Digest realm=\"trunk\",nonce=\"b\""]);
    let text = answer(&mut bound, &both, &get(), "c").expect("our realm is among them");
    assert_eq!(param(&text, "realm"), "\"trunk\"");
    let integrity = www(&["Digest realm=\"r\", nonce=\"n\", qop=\"auth-int\""]);
    assert_eq!(answer(&mut session("x"), &integrity, &get(), "c"), Err(AuthRefusal::UnspokenProtection));
    let basic = www(&["Basic realm=\"r\""]);
    assert_eq!(answer(&mut session("x"), &basic, &get(), "c"), Err(AuthRefusal::NoChallenge));
}

#[test]
fn proxies_are_answered_in_their_own_header() {
    let headers = challenged(HeaderName::ProxyAuthenticate, &["Digest realm=\"r\", nonce=\"n\""]);
    let method = Method::Invite;
    let subject = Subject { method: &method, uri: "sip:a@b", cnonce: "c" };
    let mut session = session("x");
    let (name, _) = session.answer(StatusCode::PROXY_AUTHENTICATION_REQUIRED, &headers, subject).expect("answered");
    assert_eq!(name, HeaderName::ProxyAuthorization);
    assert_eq!(session.answer(StatusCode::UNAUTHORIZED, &headers, subject), Err(AuthRefusal::NoChallenge));
    assert_eq!(session.answer(StatusCode::FORBIDDEN, &headers, subject), Err(AuthRefusal::NoChallenge));
}

#[test]
fn quotes_in_names_and_values_stay_quoted() {
    let mut quoting = DigestSession::new(Credentials::new("a\"b\\c", "p").expect("quotable"));
    let headers = www(&["Digest realm=\"say \\\"hi\\\", x\", nonce=\"n\""]);
    let text = answer(&mut quoting, &headers, &get(), "c").expect("answered");
    assert!(text.starts_with("Digest username=\"a\\\"b\\\\c\", realm=\"say \\\"hi\\\", x\", nonce"), "{text}");
    assert!(Credentials::new("a\r\nVia: x", "p").is_err());
    assert!(Credentials::new("", "p").is_err());
    for cnonce in ["", "a\"b", "a\r\nb", "a b"] {
        assert_eq!(
            answer(&mut quoting, &www(&["Digest realm=\"r\", nonce=\"m\""]), &get(), cnonce),
            Err(AuthRefusal::BadClientNonce)
        );
        quoting.forget();
    }
}

#[test]
fn odd_challenges_are_left_out() {
    for odd in [
        "",
        "Digest",
        "Digest ",
        "Digest realm=\"r\"",
        "Digest nonce=\"n\"",
        "Digest realm=\"r\", nonce=\"n",
        "Digest realm=\"r\", nonce=\"\"",
        "Digest realm=\"r\", nonce=\"n\", algorithm=AKAv1-MD5",
        "NoOneKnowsThisScheme opaque-data=here",
    ] {
        assert!(parse_challenges(odd).is_empty(), "{odd}");
    }
    let long = format!("Digest realm=\"r\", nonce=\"{}\"", "n".repeat(1025));
    assert!(parse_challenges(&long).is_empty());
    assert_eq!(parse_challenges("digest REALM=r , Nonce = \"n\"").first().map(|c| c.realm()), Some("r"));
}

#[test]
fn secrets_do_not_show() {
    let debug = format!("{:?}", session("Circle of Life"));
    assert!(!debug.contains("Circle") && !debug.contains("Mufasa"), "{debug}");
}

#[test]
fn rfc2617_section_3_5() {
    let headers = www(&["Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
        nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\""]);
    let text = answer(&mut session("Circle Of Life"), &headers, &get(), "0a4f113b").expect("answered");
    assert_eq!(param(&text, "response"), "\"6629fae49393a05397450978507c4ef1\"");
    assert_eq!(param(&text, "nc"), "00000001");
    assert_eq!(param(&text, "qop"), "auth");
    assert_eq!(param(&text, "cnonce"), "\"0a4f113b\"");
    assert_eq!(param(&text, "opaque"), "\"5ccc069c403ebaf9f0171e9517f40e41\"");
    assert_eq!(param(&text, "username"), "\"Mufasa\"");
}
