//! From written English to words that can be spoken: times, dates, money, telephone numbers, codes, addresses. Never
//! changes words that are words already, and knows nothing of how they sound.

mod numbers;
mod patterns;

/// Longest piece that the voice is given at once, in bytes; longer sentences are cut at commas.
const LONGEST: usize = 220;

/// The text in words.
pub(crate) fn spoken(text: &str) -> String {
    let text = plain(text);
    let mut words = String::with_capacity(text.len() + 32);
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let (written, taken) = patterns::first(rest, first).unwrap_or_else(|| copied(rest, first));
        words.push_str(&written);
        rest = rest.get(taken..).unwrap_or_default();
    }
    tidy(&words)
}

/// Sentences, each short enough for the voice.
pub(crate) fn sentences(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut previous = ' ';
    for (at, c) in text.char_indices() {
        let sentence_ends = c == ' ' && matches!(previous, '.' | '!' | '?');
        let clause_ends = c == ' ' && matches!(previous, ',' | ';' | ':') && at - start > LONGEST / 2;
        let too_long = c == ' ' && at - start > LONGEST;
        if sentence_ends || clause_ends || too_long {
            parts.push(text[start..at].trim());
            start = at;
        }
        previous = c;
    }
    parts.push(text[start..].trim());
    parts.into_iter().filter(|part| part.chars().any(char::is_alphanumeric)).map(str::to_owned).collect()
}

/// A whole word, or one sign.
fn copied(rest: &str, first: char) -> (String, usize) {
    if !first.is_alphanumeric() {
        return (sign(rest, first), first.len_utf8());
    }
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '\'').unwrap_or(rest.len());
    let word = &rest[..end];
    let mixed = word.chars().any(|c| c.is_ascii_digit()) && word.chars().any(char::is_alphabetic);
    (if mixed { spelled(word) } else { word.to_owned() }, end)
}

/// "B52" as "B five two".
fn spelled(word: &str) -> String {
    let mut text = String::new();
    let mut was_digit = false;
    for c in word.chars() {
        if c.is_ascii_digit() {
            text.push(' ');
            text.push_str(&numbers::digits(&c.to_string()));
        } else {
            if was_digit {
                text.push(' ');
            }
            text.push(c);
        }
        was_digit = c.is_ascii_digit();
    }
    text.trim().to_owned()
}

fn sign(rest: &str, sign: char) -> String {
    let digit_follows = rest[sign.len_utf8()..].starts_with(|c: char| c.is_ascii_digit());
    match sign {
        '&' => " and ".into(),
        '@' => " at ".into(),
        '%' => " percent".into(),
        '+' => " plus ".into(),
        '=' => " equals ".into(),
        '\u{b0}' => " degrees ".into(),
        '#' if digit_follows => "number ".into(),
        '-' if digit_follows => " to ".into(),
        '/' => " ".into(),
        '*' | '_' | '`' | '~' | '^' | '<' | '>' | '[' | ']' | '{' | '}' | '|' | '\\' | '#' => " ".into(),
        other => other.to_string(),
    }
}

/// One shape for each kind of quote and dash.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{2018}' | '\u{2019}' => plain.push('\''),
            '\u{201c}' | '\u{201d}' | '"' => plain.push(' '),
            '\u{2013}' if chars.peek().is_some_and(char::is_ascii_digit) => plain.push('-'),
            '\u{2013}' | '\u{2014}' => plain.push_str(", "),
            '\u{2026}' => plain.push_str(". "),
            '\u{a0}' | '\n' | '\t' | '\r' => plain.push(' '),
            _ if c.is_control() => {}
            _ => plain.push(c),
        }
    }
    plain
}

/// Single spaces, none before punctuation, and no run of commas.
fn tidy(text: &str) -> String {
    let mut tidied = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        let lone = word.chars().all(|c| matches!(c, ',' | '.' | ';' | ':' | '!' | '?'));
        if !tidied.is_empty() && !lone {
            tidied.push(' ');
        }
        if !(lone && tidied.ends_with([',', '.', ';', ':', '!', '?'])) {
            tidied.push_str(word);
        }
    }
    tidied
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_things_are_spoken() {
        let cases = [
            ("See you at 10:30.", "See you at ten thirty."),
            ("At 4 p.m. on Friday", "At four PM on Friday"),
            ("It is 4 p.m.", "It is four PM."),
            ("9:05am or 12:00", "nine oh five AM or twelve o'clock"),
            ("4:00 PM", "four PM"),
            ("Call 415-555-0198.", "Call four one five, five five five, zero one nine eight."),
            ("Call (415) 555-0198 now", "Call four one five, five five five, zero one nine eight now"),
            ("+1 415 555 0198", "plus one, four one five, five five five, zero one nine eight"),
            ("Your code is 74291.", "Your code is seven four two nine one."),
            ("PIN 0042", "PIN zero zero four two"),
            ("It costs $1,250.50.", "It costs one thousand two hundred fifty dollars and fifty cents."),
            ("$1 or \u{20ac}20 or \u{a3}0.99", "one dollar or twenty euros or ninety nine pence"),
            ("$3 million", "three million dollars"),
            ("on 2026-11-21", "on November twenty first, twenty twenty six"),
            ("on 11/21/2026", "on November twenty first, twenty twenty six"),
            ("Nov. 3, 2025 or March 22nd", "November third, twenty twenty five or March twenty second"),
            ("the 3rd of May 2024", "the third of May twenty twenty four"),
            ("20% of 3.5 is 0.7", "twenty percent of three point five is zero point seven"),
            ("1,234 people, 5-10 minutes", "one thousand two hundred thirty four people, five to ten minutes"),
            ("Dr. Smith & Mr. Jones", "Doctor Smith and Mister Jones"),
            ("12 Main St. near St. Mary", "twelve Main Street near Saint Mary"),
            ("mail a.b@example.com please", "mail a dot b at example dot com please"),
            ("Flight B52", "Flight B five two"),
            ("Room #12 \u{2014} third floor\u{2026}", "Room number twelve, third floor."),
            ("*bold* [x](y)", "bold x (y)"),
            ("", ""),
            ("99999999999999999999999", &vec!["nine"; 23].join(" ")),
        ];
        for (written, wanted) in cases {
            assert_eq!(spoken(written), wanted, "{written}");
        }
    }

    #[test]
    fn hostile_text_does_no_harm() {
        for text in [
            "$",
            "$,",
            "1,",
            "1:",
            "+",
            "(",
            "((((",
            "12/",
            "2026-",
            "2026-99-99",
            "\u{301}\u{0}",
            "1.2.3.4",
            "@",
            "a@",
            "-5",
            "5:99pm",
            "Nov. ",
        ] {
            spoken(text);
            sentences(text);
        }
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(sentences("Hello there. How are you? Fine"), ["Hello there.", "How are you?", "Fine"]);
        let long = "word ".repeat(200);
        assert!(sentences(&long).iter().all(|part| part.len() <= LONGEST + 5));
        assert!(sentences(" .. ").is_empty());
    }
}
