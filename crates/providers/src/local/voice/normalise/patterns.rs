//! What digits and short forms mean, one pattern a function: each looks at the start of the text and says what to speak
//! and how many bytes it took.

use super::numbers::{cardinal, digits, ordinal, year};

/// What to speak, and the bytes it stands for.
type Match = Option<(String, usize)>;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DOMAINS: [&str; 10] = ["com", "org", "net", "io", "ai", "co", "edu", "gov", "de", "uk"];

/// The first pattern that fits at the start of `rest`, which begins a word.
pub(super) fn first(rest: &str, first: char) -> Match {
    if first.is_ascii_digit() || matches!(first, '+' | '(') {
        return iso_date(rest)
            .or_else(|| slash_date(rest))
            .or_else(|| address(rest))
            .or_else(|| phone(rest))
            .or_else(|| clock(rest))
            .or_else(|| suffixed(rest))
            .or_else(|| number(rest));
    }
    if matches!(first, '$' | '\u{20ac}' | '\u{a3}') {
        return money(rest, first);
    }
    if first.is_alphabetic() {
        return month_day(rest).or_else(|| address(rest)).or_else(|| short_form(rest));
    }
    None
}

/// "2026-11-21".
fn iso_date(rest: &str) -> Match {
    let date = rest.get(..10)?;
    let mut parts = date.split('-');
    let (y, m, d) = (parts.next()?, parts.next()?, parts.next()?);
    if y.len() != 4 || m.len() != 2 || d.len() != 2 || continues(rest, 10) {
        return None;
    }
    Some((full_date(y, m, d)?, 10))
}

/// "11/21/2026".
fn slash_date(rest: &str) -> Match {
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '/').unwrap_or(rest.len());
    let mut parts = rest[..end].split('/');
    let (m, d, y) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || y.len() != 4 {
        return None;
    }
    Some((full_date(y, m, d)?, end))
}

fn full_date(y: &str, m: &str, d: &str) -> Option<String> {
    let (y, m, d): (u64, usize, u64) = (y.parse().ok()?, m.parse().ok()?, d.parse().ok()?);
    let month = MONTHS.get(m.checked_sub(1)?)?;
    (1..=31).contains(&d).then(|| format!("{month} {}, {}", ordinal(d), year(y)))
}

/// "Nov. 3, 2025", "March 22nd".
fn month_day(rest: &str) -> Match {
    let word_end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let word = &rest[..word_end];
    let named =
        |month: &&&str| month.eq_ignore_ascii_case(word) || (word.len() >= 3 && word.len() <= 4 && starts(month, word));
    let month = MONTHS.iter().find(named).filter(|_| word.starts_with(char::is_uppercase))?;
    let mut at = word_end + usize::from(rest[word_end..].starts_with('.'));
    at += rest[at..].strip_prefix(' ').map(|_| 1)?;
    let day_length = leading_digits(&rest[at..]);
    let day: u64 = rest.get(at..at + day_length)?.parse().ok().filter(|day| (1..=31).contains(day))?;
    at += day_length;
    at += ["st", "nd", "rd", "th"]
        .iter()
        .find(|suffix| rest[at..].starts_with(**suffix))
        .map_or(0, |suffix| suffix.len());
    if continues(rest, at) || rest[at..].starts_with(':') {
        return None;
    }
    let mut text = format!("{month} {}", ordinal(day));
    let spaced = rest[at..].trim_start_matches(',').trim_start();
    if leading_digits(spaced) == 4 && !continues(spaced, 4) && spaced.len() < rest[at..].len() {
        text = format!("{text}, {}", year(spaced[..4].parse().ok()?));
        at = rest.len() - spaced.len() + 4;
    }
    Some((text, at))
}

fn starts(month: &str, word: &str) -> bool {
    month.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
        || word.eq_ignore_ascii_case("sept") && month.starts_with("Sept")
}

/// "415-555-0198", "(415) 555-0198", "+1 415 555 0198", "4155550198".
fn phone(rest: &str) -> Match {
    let mut groups: Vec<&str> = Vec::new();
    let mut at = usize::from(rest.starts_with('+'));
    loop {
        let tail = &rest[at..];
        let gap = tail.len() - tail.trim_start_matches(['(', ')', ' ', '-', '.']).len();
        let sane = (groups.is_empty() && gap <= 1) || (!groups.is_empty() && (1..=2).contains(&gap));
        let length = leading_digits(&tail[gap..]);
        if !sane || length == 0 {
            break;
        }
        groups.push(&tail[gap..gap + length]);
        at += gap + length;
    }
    let total: usize = groups.iter().map(|group| group.len()).sum();
    let country = rest.starts_with('+') || groups.first() == Some(&"1");
    let body = if country { groups.get(1..)? } else { &groups[..] };
    let shaped = match groups.len() {
        0 => false,
        1 => rest.starts_with('+') || total == 10,
        _ => body.iter().all(|group| (2..=4).contains(&group.len())) || country,
    };
    if !(7..=15).contains(&total) || !shaped || continues(rest, at) {
        return None;
    }
    let spoken: Vec<String> = match groups[..] {
        [single] if single.len() == 10 => vec![digits(&single[..3]), digits(&single[3..6]), digits(&single[6..])],
        _ => groups.iter().map(|group| digits(group)).collect(),
    };
    let plus = if rest.starts_with('+') { "plus " } else { "" };
    Some((format!("{plus}{}", spoken.join(", ")), at))
}

/// "10:30", "4 p.m.", "9:05am".
fn clock(rest: &str) -> Match {
    let hour_length = leading_digits(rest);
    let hour: u64 = rest.get(..hour_length).filter(|hour| hour.len() <= 2)?.parse().ok().filter(|hour| *hour < 24)?;
    let mut at = hour_length;
    let mut minutes = None;
    if let Some(tail) = rest[at..].strip_prefix(':') {
        let value: u64 = tail.get(..2)?.parse().ok().filter(|minutes| *minutes < 60)?;
        minutes = Some(value);
        at += 3;
    }
    let half = meridiem(&rest[at..]);
    if half.is_none() && (minutes.is_none() || continues(rest, at)) {
        return None;
    }
    let mut text = cardinal(hour);
    match minutes {
        None | Some(0) if half.is_some() => {}
        None | Some(0) => text.push_str(if hour <= 12 { " o'clock" } else { " hundred" }),
        Some(minutes @ 1..=9) => text.push_str(&format!(" oh {}", cardinal(minutes))),
        Some(minutes) => text.push_str(&format!(" {}", cardinal(minutes))),
    }
    if let Some((name, length)) = half {
        text.push_str(name);
        at += length;
    }
    Some((text, at))
}

/// "am", " p.m.", ...; a full stop that ends the sentence too is kept.
fn meridiem(rest: &str) -> Option<(&'static str, usize)> {
    let tail = rest.strip_prefix(' ').unwrap_or(rest);
    let lower = tail.get(..tail.len().min(4)).unwrap_or_default().to_ascii_lowercase();
    for (written, name) in [("a.m.", " AM"), ("p.m.", " PM"), ("am", " AM"), ("pm", " PM")] {
        let length = rest.len() - tail.len() + written.len();
        if !lower.starts_with(written) || continues(rest, length) {
            continue;
        }
        let after = rest[length..].trim_start();
        let ends = written.ends_with('.') && (after.is_empty() || after.starts_with(char::is_uppercase));
        return Some((name, length - usize::from(ends)));
    }
    None
}

/// "$1,250.50", "$3 million".
fn money(rest: &str, sign: char) -> Match {
    let (one, many, cent, cents) = match sign {
        '$' => ("dollar", "dollars", "cent", "cents"),
        '\u{20ac}' => ("euro", "euros", "cent", "cents"),
        _ => ("pound", "pounds", "penny", "pence"),
    };
    let amount = &rest[sign.len_utf8()..];
    let (whole, fraction, length) = decimal(amount)?;
    let mut at = sign.len_utf8() + length;
    for scale in ["thousand", "million", "billion"] {
        if rest[at..].strip_prefix(' ').is_some_and(|tail| tail.starts_with(scale)) {
            at += 1 + scale.len();
            return Some((format!("{} {scale} {many}", with_point(whole, fraction)), at));
        }
    }
    let small: u64 = if fraction.len() == 2 { fraction.parse().ok()? } else { 0 };
    let text = match (whole, small) {
        _ if !fraction.is_empty() && fraction.len() != 2 => format!("{} {many}", with_point(whole, fraction)),
        (0, 1..) => format!("{} {}", cardinal(small), if small == 1 { cent } else { cents }),
        (_, 0) => format!("{} {}", cardinal(whole), if whole == 1 { one } else { many }),
        (_, _) => format!(
            "{} {} and {} {}",
            cardinal(whole),
            if whole == 1 { one } else { many },
            cardinal(small),
            if small == 1 { cent } else { cents }
        ),
    };
    Some((text, at))
}

/// "3rd", "20%".
fn suffixed(rest: &str) -> Match {
    let length = leading_digits(rest);
    let tail = &rest[length..];
    let suffix = ["st", "nd", "rd", "th"].iter().find(|suffix| tail.starts_with(**suffix))?;
    let at = length + suffix.len();
    let number = rest[..length].parse().ok()?;
    (!continues(rest, at)).then(|| (ordinal(number), at))
}

/// Plain numbers: codes digit by digit, years as years, the rest as amounts.
fn number(rest: &str) -> Match {
    let length = leading_digits(rest);
    if length == 0 || rest[length..].starts_with(|c: char| c.is_alphabetic()) {
        return None;
    }
    let grouped = rest[length..].starts_with(',') && leading_digits(&rest[length + 1..]) == 3;
    let pointed = rest[length..].starts_with('.') && leading_digits(&rest[length + 1..]) > 0;
    let code = length >= 5 || (length >= 2 && rest.starts_with('0'));
    if code && !grouped && !pointed {
        return Some((digits(&rest[..length]), length));
    }
    let value: Option<u64> = rest[..length].parse().ok();
    if let (4, Some(value @ 1900..=2099), false, false) = (length, value, grouped, pointed) {
        return Some((year(value), length));
    }
    let Some((whole, fraction, length)) = decimal(rest) else { return Some((digits(&rest[..length]), length)) };
    Some((with_point(whole, fraction), length))
}

/// "a.b@example.com", "www.example.com".
fn address(rest: &str) -> Match {
    let end = rest.find(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '!' | '?' | ')')).unwrap_or(rest.len());
    let word = rest[..end].trim_end_matches(['.', ':']);
    let name = word.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let ending = name.rsplit_once('.')?.1;
    let mail = name.contains('@') && ending.len() >= 2 && ending.chars().all(char::is_alphabetic);
    let site = DOMAINS.contains(&ending) && name.len() > ending.len() + 1;
    if !mail && !site {
        return None;
    }
    let mut text = String::new();
    for c in name.chars() {
        match c {
            '.' => text.push_str(" dot "),
            '@' => text.push_str(" at "),
            '-' => text.push_str(" dash "),
            '_' => text.push_str(" underscore "),
            '/' => text.push_str(" slash "),
            digit if digit.is_ascii_digit() => text.push_str(&format!(" {} ", digits(&digit.to_string()))),
            other => text.push(other),
        }
    }
    Some((text, word.len()))
}

/// "Dr.", "e.g.", ...
fn short_form(rest: &str) -> Match {
    const FORMS: [(&str, &str); 12] = [
        ("Dr.", "Doctor"),
        ("Mr.", "Mister"),
        ("Mrs.", "Missus"),
        ("Ms.", "Ms"),
        ("Prof.", "Professor"),
        ("Ave.", "Avenue"),
        ("Rd.", "Road"),
        ("etc.", "et cetera"),
        ("e.g.", "for example"),
        ("i.e.", "that is"),
        ("vs.", "versus"),
        ("approx.", "approximately"),
    ];
    if let Some(tail) = rest.strip_prefix("St.") {
        let saint = tail.strip_prefix(' ').is_some_and(|next| next.starts_with(char::is_uppercase));
        return Some((if saint { "Saint" } else { "Street" }.to_owned(), 3));
    }
    FORMS
        .iter()
        .find(|(written, _)| rest.starts_with(written))
        .map(|(written, name)| ((*name).to_owned(), written.len()))
}

/// "1,250.50" as whole part, fraction's digits, and length. `None` when it is too large for words.
fn decimal(text: &str) -> Option<(u64, &str, usize)> {
    let mut at = leading_digits(text);
    if at == 0 {
        return None;
    }
    while text[at..].starts_with(',') && leading_digits(&text[at + 1..]) == 3 {
        at += 4;
    }
    let whole = text[..at].replace(',', "").parse().ok()?;
    let fraction = text[at..].strip_prefix('.').map_or(0, leading_digits);
    let digits = if fraction > 0 { &text[at + 1..at + 1 + fraction] } else { "" };
    Some((whole, digits, at + if fraction > 0 { fraction + 1 } else { 0 }))
}

fn with_point(whole: u64, fraction: &str) -> String {
    if fraction.is_empty() { cardinal(whole) } else { format!("{} point {}", cardinal(whole), digits(fraction)) }
}

fn leading_digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// Whether a word goes on at `at`, so that the pattern ended inside it.
fn continues(text: &str, at: usize) -> bool {
    text.get(at..).is_none_or(|tail| tail.starts_with(char::is_alphanumeric))
}
