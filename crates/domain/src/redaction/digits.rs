//! Numbers in text, written or read out digit by digit, and which of them are personal. Hides the number words, the
//! check digits and the words before a number that say what it is. English and Chinese number words are known.

use super::{Found, Personal};

/// Words before a number that are asked for its meaning.
const CONTEXT_WORDS: usize = 5;
/// Characters before a number that are asked, in scripts without blanks.
const CONTEXT_CHARS: usize = 12;
/// A number that was read out is personal from here on.
const READ_OUT: usize = 7;
/// Fewest digits of an utterance that is nothing but digits: a piece of a longer number.
const PIECE: usize = 3;

const CARD: &[&str] = &["card", "cards", "visa", "mastercard", "amex", "卡号", "银行卡", "信用卡", "卡"];
const CODE: &[&str] = &["cvv", "cvv2", "cvc", "cvc2", "cid", "security code", "card code", "安全码", "验证值"];
const EXPIRY: &[&str] = &["exp", "expiry", "expires", "expiration", "valid", "有效期"];
const PIN: &[&str] = &[
    "pin",
    "passcode",
    "password",
    "otp",
    "verification code",
    "one-time code",
    "one time code",
    "access code",
    "密码",
    "验证码",
    "动态码",
];
const IDENTITY: &[&str] = &[
    "ssn",
    "social security",
    "id number",
    "id card",
    "identity",
    "identity number",
    "passport",
    "national id",
    "driver's license",
    "身份证",
    "护照",
    "社保",
];
const PHONE: &[&str] = &[
    "phone",
    "telephone",
    "mobile",
    "cell",
    "cellphone",
    "call me",
    "reach me",
    "text me",
    "phone number",
    "callback",
    "电话",
    "手机",
];
/// Numbers of things, which stay.
const THING: &[&str] = &[
    "order",
    "tracking",
    "invoice",
    "reference",
    "ref",
    "ticket",
    "case",
    "booking",
    "confirmation",
    "serial",
    "version",
    "订单",
    "单号",
    "编号",
    "发票",
];
/// Words that may stand beside the digits of an utterance that is nothing but digits.
const FILLERS: &[&str] = &[
    "and", "then", "so", "um", "uh", "er", "yes", "yeah", "ok", "okay", "it's", "its", "it", "is", "the", "my",
    "number", "next", "that's", "are", "嗯", "然", "后", "是", "我", "的", "好", "呃", "就",
];

/// One written group of digits, or one number word.
struct Group {
    start: usize,
    end: usize,
    digits: String,
    spoken: bool,
}

/// Groups with nothing but separators between them.
struct Run<'a> {
    text: &'a str,
    groups: &'a [Group],
}

pub(super) fn find(text: &str) -> Vec<Found> {
    let atoms = atoms(text);
    let (groups, others) = groups(&atoms);
    let mut found = Vec::new();
    let bare = others.iter().all(|word| FILLERS.contains(&word.as_str()));
    let runs = runs(text, &groups);
    for run in &runs {
        if let Some(one) = judge(run).or_else(|| if bare { piece(run) } else { None }) {
            found.push(one);
        }
    }
    if found.iter().any(|one| one.kind == Personal::Card) {
        let dates = runs.iter().filter(|run| (3..=6).contains(&run.digits().len()) && run.follows(EXPIRY));
        found.extend(dates.map(|run| run.found(Personal::Card, "[expiry]")));
    }
    found
}

/// What a run is, if it is personal.
fn judge(run: &Run<'_>) -> Option<Found> {
    let digits = run.digits();
    let count = digits.len();
    if run.windows(13..=19).any(|window| is_card(&window)) || (12..=19).contains(&count) && run.follows(CARD) {
        return Some(run.found(Personal::Card, "[card]"));
    }
    if let Some(found) = identity(run, &digits) {
        return Some(found);
    }
    if (3..=4).contains(&count) && run.follows(CODE) {
        return Some(run.found(Personal::Card, "[security code]"));
    }
    if (3..=10).contains(&count) && run.follows(PIN) {
        return Some(run.found(Personal::Secret, "[code]"));
    }
    if is_phone(run, &digits) {
        return Some(run.found(Personal::Phone, "[phone]"));
    }
    let spoken: usize = run.groups.iter().filter(|group| group.spoken).map(|group| group.digits.len()).sum();
    let read_out = count >= READ_OUT && spoken * 2 > count && !run.follows(THING);
    read_out.then(|| run.found(Personal::Digits, "[digits]"))
}

/// A piece of a number, in an utterance that is nothing but digits.
fn piece(run: &Run<'_>) -> Option<Found> {
    let long = run.digits().len() >= PIECE && !run.is_dotted() && !run.is_date();
    long.then(|| run.found(Personal::Digits, "[digits]"))
}

fn identity(run: &Run<'_>, digits: &str) -> Option<Found> {
    let found = || run.found(Personal::Identity, "[id number]");
    let after = run.text.get(run.end()..).unwrap_or_default();
    let blank = after.len() - after.trim_start_matches([' ', '-']).len();
    let mut tail = after.get(blank..).unwrap_or_default().chars();
    let crossed = matches!(tail.next(), Some('x' | 'X')) && !tail.next().is_some_and(char::is_alphanumeric);
    if crossed && run.windows(17..=17).any(|window| is_chinese_id(&format!("{window}X"))) {
        return Some(Found { end: run.end() + blank + 1, ..found() });
    }
    let lengths: Vec<usize> = run.groups.iter().map(|group| group.digits.len()).collect();
    let american = lengths == [3, 2, 4] && is_american_id(digits);
    let named = digits.len() >= 6 && !run.is_date() && run.follows(IDENTITY);
    (american || named || run.windows(18..=18).any(|window| is_chinese_id(&window))).then(found)
}

fn is_phone(run: &Run<'_>, digits: &str) -> bool {
    if !(7..=15).contains(&digits.len()) || run.is_date() {
        return false;
    }
    let before = run.text.get(..run.start()).unwrap_or_default().trim_end_matches(['(', ' ']);
    if before.ends_with('+')
        || before.split_whitespace().next_back().is_some_and(|word| word.eq_ignore_ascii_case("plus"))
    {
        return true;
    }
    let named = run.follows(PHONE);
    if run.follows(THING) && !named {
        return false;
    }
    let own = digits.strip_prefix("86").filter(|rest| rest.len() == 11).unwrap_or(digits);
    let mut own = own.bytes();
    let chinese = own.len() == 11 && own.next() == Some(b'1') && own.next().is_some_and(|b| (b'3'..=b'9').contains(&b));
    let lengths: Vec<usize> = run.groups.iter().map(|group| group.digits.len()).collect();
    let national = digits.strip_prefix('1').filter(|rest| rest.len() == 10).unwrap_or(digits).as_bytes();
    let american = matches!(lengths.as_slice(), [3, 3, 4] | [1, 3, 3, 4])
        && [0, 3].iter().all(|at| national.get(*at).is_some_and(|b| (b'2'..=b'9').contains(b)));
    named || chinese || american
}

impl Run<'_> {
    fn start(&self) -> usize {
        self.groups.first().map_or(0, |group| group.start)
    }

    fn end(&self) -> usize {
        self.groups.last().map_or(0, |group| group.end)
    }

    fn digits(&self) -> String {
        self.groups.iter().map(|group| group.digits.as_str()).collect()
    }

    /// The whole run goes: what stands beside a card's number is its expiry or its code.
    fn found(&self, kind: Personal, label: &'static str) -> Found {
        Found { start: self.start(), end: self.end(), kind, label }
    }

    /// Every stretch of whole groups that has as many digits.
    fn windows(&self, lengths: std::ops::RangeInclusive<usize>) -> impl Iterator<Item = String> + '_ {
        (0..self.groups.len()).flat_map(move |from| {
            let mut window = String::new();
            let mut all = Vec::new();
            for group in self.groups.iter().skip(from) {
                window.push_str(&group.digits);
                if window.len() > *lengths.end() {
                    break;
                }
                if lengths.contains(&window.len()) {
                    all.push(window.clone());
                }
            }
            all
        })
    }

    /// Whether one of these words stands shortly before.
    fn follows(&self, words: &[&str]) -> bool {
        let before = self.text.get(..self.start()).unwrap_or_default().to_lowercase();
        let tail: Vec<char> = before.chars().rev().take(CONTEXT_CHARS).collect();
        let tail: String = tail.into_iter().rev().collect();
        let parts = before.split(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '-'));
        let near: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
        let near = near.get(near.len().saturating_sub(CONTEXT_WORDS)..).unwrap_or_default().join(" ");
        let near = format!(" {near} ");
        words.iter().any(|word| if word.is_ascii() { near.contains(&format!(" {word} ")) } else { tail.contains(word) })
    }

    /// `2026-11-21`, `21.11.2026` and the like.
    fn is_date(&self) -> bool {
        let parts: Vec<(usize, u32)> =
            self.groups.iter().map(|group| (group.digits.len(), group.digits.parse().unwrap_or(u32::MAX))).collect();
        let small = |(length, value): (usize, u32)| length <= 2 && (1..=31).contains(&value);
        let year = |(length, value): (usize, u32)| length == 4 && (1900..=2100).contains(&value);
        match *parts.as_slice() {
            [a, b, c] => year(a) && small(b) && small(c) || small(a) && small(b) && year(c),
            _ => false,
        }
    }

    /// `1.2.3`: a version, an address, an amount.
    fn is_dotted(&self) -> bool {
        let between = |pair: &[Group]| match pair {
            [a, b] => self.text.get(a.end..b.start) == Some("."),
            _ => false,
        };
        self.groups.windows(2).any(between)
    }
}

fn runs<'a>(text: &'a str, groups: &'a [Group]) -> Vec<Run<'a>> {
    let mut runs = Vec::new();
    let mut from = 0;
    for at in 0..groups.len() {
        let (Some(this), next) = (groups.get(at), groups.get(at + 1)) else { break };
        let joined = next.is_some_and(|next| is_gap(text.get(this.end..next.start).unwrap_or("?")));
        if !joined {
            runs.push(Run { text, groups: groups.get(from..=at).unwrap_or_default() });
            from = at + 1;
        }
    }
    runs
}

/// What may stand between the groups of one number.
fn is_gap(between: &str) -> bool {
    let inside = |c: char| c.is_whitespace() && c != '\n' || "-–—.,()/·、，。…".contains(c);
    between.chars().count() <= 4 && between.chars().all(inside)
}

/// A maximal stretch of digits, a word, or one character of a script without blanks.
struct Atom {
    start: usize,
    end: usize,
    text: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Written,
    Word,
    Sign,
}

fn atoms(text: &str) -> Vec<Atom> {
    let mut atoms: Vec<Atom> = Vec::new();
    for (start, c) in text.char_indices() {
        let end = start + c.len_utf8();
        let written = c.to_digit(10).or_else(|| wide(c));
        let kind = match written {
            Some(_) => Kind::Written,
            None if is_sign(c) => Kind::Sign,
            None if c.is_alphabetic() || c == '\'' => Kind::Word,
            None => continue,
        };
        let one: String = match written {
            Some(digit) => digit.to_string(),
            None => c.to_lowercase().collect(),
        };
        match atoms.last_mut() {
            Some(last) if last.end == start && last.kind == kind && kind != Kind::Sign => {
                last.end = end;
                last.text.push_str(&one);
            }
            _ => atoms.push(Atom { start, end, text: one, kind }),
        }
    }
    atoms
}

/// A digit of double width.
fn wide(c: char) -> Option<u32> {
    ('０'..='９').contains(&c).then(|| u32::from(c) - u32::from('０'))
}

const fn is_sign(c: char) -> bool {
    matches!(c, '\u{3007}' | '\u{3400}'..='\u{9fff}')
}

/// The groups of digits, and the words that are none.
fn groups(atoms: &[Atom]) -> (Vec<Group>, Vec<String>) {
    let (mut groups, mut others) = (Vec::new(), Vec::new());
    let mut at = 0;
    while let Some(atom) = atoms.get(at) {
        let next = atoms.get(at + 1);
        let (digits, used) = match atom.kind {
            Kind::Written => (Some(atom.text.clone()), 1),
            Kind::Sign => (sign(&atom.text).map(str::to_owned), 1),
            Kind::Word => word(&atom.text, next.map_or("", |next| next.text.as_str())),
        };
        match digits {
            Some(digits) => {
                let end = atoms.get(at + used - 1).map_or(atom.end, |last| last.end);
                groups.push(Group { start: atom.start, end, digits, spoken: atom.kind != Kind::Written });
            }
            None => others.push(atom.text.clone()),
        }
        at += used;
    }
    (groups, others)
}

/// The digits of a number word, and how many words they took.
fn word(word: &str, next: &str) -> (Option<String>, usize) {
    if let Some(digit) = unit(word) {
        return (Some(digit.to_owned()), 1);
    }
    let times = match word {
        "double" => 2,
        "triple" | "treble" => 3,
        _ => 0,
    };
    if times > 0 {
        let digit =
            unit(next).or(if next.len() == 1 && next.bytes().all(|b| b.is_ascii_digit()) { Some(next) } else { None });
        return digit.map_or((None, 1), |digit| (Some(digit.repeat(times)), 2));
    }
    const TEENS: [&str; 10] =
        ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"];
    if let Some(teen) = TEENS.iter().position(|teen| *teen == word) {
        return (Some((10 + teen).to_string()), 1);
    }
    const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    let Some(ten) = TENS.iter().position(|ten| *ten == word) else { return (None, 1) };
    match unit(next).filter(|unit| *unit != "0") {
        Some(unit) => (Some(format!("{}{unit}", ten + 2)), 2),
        None => (Some(format!("{}0", ten + 2)), 1),
    }
}

fn unit(word: &str) -> Option<&'static str> {
    Some(match word {
        "zero" | "oh" | "o" | "nought" => "0",
        "one" => "1",
        "two" => "2",
        "three" => "3",
        "four" => "4",
        "five" => "5",
        "six" => "6",
        "seven" => "7",
        "eight" => "8",
        "nine" => "9",
        _ => return None,
    })
}

fn sign(sign: &str) -> Option<&'static str> {
    Some(match sign {
        "〇" | "零" => "0",
        "一" | "幺" => "1",
        "二" | "两" => "2",
        "三" => "3",
        "四" => "4",
        "五" => "5",
        "六" => "6",
        "七" => "7",
        "八" => "8",
        "九" => "9",
        _ => return None,
    })
}

/// The first digits of an issuer of cards (ISO/IEC 7812), and Luhn's check digit.
fn is_card(digits: &str) -> bool {
    let first = |length: usize| digits.get(..length).and_then(|head| head.parse::<u32>().ok()).unwrap_or(0);
    let issued =
        matches!(first(1), 4..=6) || matches!(first(2), 30 | 34..=39 | 81) || (2221..=2720).contains(&first(4));
    issued && luhn(digits)
}

fn luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte.saturating_sub(b'0'));
            if place % 2 == 0 { digit } else { digit * 2 / 10 + digit * 2 % 10 }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// GB 11643: a date of birth in the middle, and the check character of ISO 7064 (mod 11-2).
fn is_chinese_id(text: &str) -> bool {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let part = |range: std::ops::Range<usize>| text.get(range).and_then(|part| part.parse::<u32>().ok()).unwrap_or(0);
    let born =
        (1900..=2100).contains(&part(6..10)) && (1..=12).contains(&part(10..12)) && (1..=31).contains(&part(12..14));
    let sum: u32 = text.bytes().zip(WEIGHTS).map(|(byte, weight)| u32::from(byte.saturating_sub(b'0')) * weight).sum();
    let check = b"10X98765432".get(usize::try_from(sum % 11).unwrap_or(0));
    born && text.len() == 18 && text.bytes().last() == check.copied()
}

/// A social security number as it may have been given out: no 000, 666 or 9xx, no 00, no 0000.
fn is_american_id(digits: &str) -> bool {
    let (Some(area), Some(group), Some(serial)) = (digits.get(..3), digits.get(3..5), digits.get(5..)) else {
        return false;
    };
    !matches!(area, "000" | "666") && !area.starts_with('9') && group != "00" && serial != "0000"
}
