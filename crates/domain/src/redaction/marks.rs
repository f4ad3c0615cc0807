//! What gives itself away by its form: addresses with their at sign, tokens after the words that announce them, keys with
//! a known beginning. Never judges a number.

use super::{Found, Personal};

/// Beginnings of keys that services hand out, and the fewest characters behind them.
const KEY_BEGINNINGS: &[(&str, usize)] =
    &[("sk-", 12), ("AKID", 12), ("AKIA", 12), ("LTAI", 12), ("ghp_", 12), ("xoxb-", 12), ("whsec_", 12), ("eyJ", 20)];
/// Words behind which a token stands.
const SCHEMES: &[&str] = &["bearer ", "basic ", "token "];
/// Names behind which, after `=` or `:`, a secret stands.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "pwd",
    "secret",
    "secretid",
    "secretkey",
    "secret_id",
    "secret_key",
    "api_key",
    "apikey",
    "api-key",
    "access_key",
    "access_token",
    "token",
    "passphrase",
    "密码",
    "口令",
];
/// How a password is told in speech.
const SAID: &[&str] = &["password is ", "passphrase is ", "password's ", "passcode is ", "密码是", "口令是"];
/// Last words of an address that is spelled out.
const ENDINGS: &[&str] = &[
    "com", "org", "net", "edu", "gov", "io", "co", "info", "cn", "de", "fr", "uk", "us", "eu", "es", "it", "nl", "jp",
    "in", "ai", "me",
];
/// Words that join the parts of an address that is spelled out.
const JOINTS: &[&str] = &["dot", "period", "underscore", "dash", "hyphen", "plus"];
/// Fewest characters of a token after its scheme.
const TOKEN_MIN: usize = 8;

pub(super) fn find(text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    emails(text, &mut found);
    user_parts(text, &mut found);
    keys(text, &mut found);
    announced(text, &mut found);
    spelled(text, &mut found);
    found
}

fn secret(start: usize, end: usize) -> Found {
    Found { start, end, kind: Personal::Secret, label: "[secret]" }
}

fn email(start: usize, end: usize) -> Found {
    Found { start, end, kind: Personal::Email, label: "[email]" }
}

const fn is_local(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '-' | '\'')
}

const fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-' | '/' | '=' | '~')
}

/// `local@domain.tld`.
fn emails(text: &str, found: &mut Vec<Found>) {
    for (at, _) in text.match_indices('@') {
        let before = text.get(..at).unwrap_or_default();
        let after = text.get(at + 1..).unwrap_or_default();
        // Letters of every script may stand in an address (RFC 6531); what ends it is punctuation or a blank.
        let local: usize =
            before.chars().rev().take_while(|c| is_local(*c) || c.is_alphanumeric()).map(char::len_utf8).sum();
        let domain: usize =
            after.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '.' | '-')).map(char::len_utf8).sum();
        let host = after.get(..domain).unwrap_or_default().trim_end_matches(['.', '-']);
        if local > 0 && host.contains('.') {
            found.push(email(at - local, at + 1 + host.len()));
        }
    }
}

/// `user:password@` between `://` and the host.
fn user_parts(text: &str, found: &mut Vec<Found>) {
    for (at, mark) in text.match_indices("://") {
        let start = at + mark.len();
        let rest = text.get(start..).unwrap_or_default();
        let authority = rest.split(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"')).next();
        if let Some(user) = authority.and_then(|authority| authority.rfind('@')) {
            found.push(secret(start, start + user));
        }
    }
}

fn keys(text: &str, found: &mut Vec<Found>) {
    for (beginning, least) in KEY_BEGINNINGS {
        for (at, _) in text.match_indices(beginning) {
            let glued = text.get(..at).is_some_and(|before| before.ends_with(|c: char| c.is_ascii_alphanumeric()));
            let length: usize = text.get(at..).unwrap_or_default().chars().take_while(|c| is_token(*c)).count();
            if !glued && length >= beginning.len() + least {
                found.push(secret(at, at + length));
            }
        }
    }
}

/// What follows the words that announce a secret.
fn announced(text: &str, found: &mut Vec<Found>) {
    // Only ASCII letters change, so places stay what they were.
    let lower = text.to_ascii_lowercase();
    for scheme in SCHEMES {
        for at in starts(&lower, scheme) {
            let length = lower.get(at..).unwrap_or_default().chars().take_while(|c| is_token(*c)).count();
            let value = text.get(at..at + length).unwrap_or_default();
            if length >= TOKEN_MIN && value.contains(|c: char| c.is_ascii_digit()) {
                found.push(secret(at, at + length));
            }
        }
    }
    for name in NAMES {
        for at in starts(&lower, name) {
            let rest = lower.get(at..).unwrap_or_default();
            let lead = rest.len() - rest.trim_start_matches(['"', '\'', '\\', ' ', '\u{3000}']).len();
            let Some(mark) = rest.get(lead..).and_then(|rest| rest.chars().next()) else { continue };
            if matches!(mark, '=' | ':' | '：') {
                push_value(&lower, at + lead + mark.len_utf8(), found);
            }
        }
    }
    for words in SAID {
        for at in starts(&lower, words) {
            push_value(&lower, at, found);
        }
    }
}

/// The ends of all occurrences of `what` that begin a word.
fn starts<'a>(lower: &'a str, what: &'a str) -> impl Iterator<Item = usize> + 'a {
    lower.match_indices(what).filter_map(move |(at, _)| {
        let glued = what.is_ascii() && lower.get(..at)?.ends_with(|c: char| c.is_ascii_alphanumeric());
        (!glued).then_some(at + what.len())
    })
}

/// The value that begins at `at`, after quotes and blanks.
fn push_value(text: &str, at: usize, found: &mut Vec<Found>) {
    let rest = text.get(at..).unwrap_or_default();
    let value = rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\'));
    let start = at + rest.len() - value.len();
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\' | ',' | ';' | '&' | '}' | '，' | '。');
    let length = value.find(ends).unwrap_or(value.len());
    if length > 0 {
        found.push(secret(start, start + length));
    }
}

/// "john dot doe at example dot com".
fn spelled(text: &str, found: &mut Vec<Found>) {
    let words = words(text);
    let is = |at: usize, list: &[&str]| words.get(at).is_some_and(|word| list.contains(&word.lower.as_str()));
    for at in 1..words.len() {
        if !is(at, &["at"]) {
            continue;
        }
        // The host: words joined by "dot", the last of them one that hosts end with.
        let mut last = at + 1;
        while is(last + 1, &["dot"]) && last + 2 < words.len() {
            last += 2;
        }
        if last == at + 1 || !is(last, ENDINGS) {
            continue;
        }
        let mut first = at - 1;
        while first >= 2 && is(first - 1, JOINTS) {
            first -= 2;
        }
        if let (Some(first), Some(last)) = (words.get(first), words.get(last)) {
            found.push(email(first.start, last.end));
        }
    }
}

struct Word {
    start: usize,
    end: usize,
    lower: String,
}

fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    for (at, c) in text.char_indices() {
        if !(c.is_alphanumeric() || c == '\'') {
            continue;
        }
        match words.last_mut() {
            Some(word) if word.end == at => {
                word.end = at + c.len_utf8();
                word.lower.extend(c.to_lowercase());
            }
            _ => words.push(Word { start: at, end: at + c.len_utf8(), lower: c.to_lowercase().collect() }),
        }
    }
    words
}
