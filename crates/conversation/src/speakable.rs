//! From what a model writes to what a voice can say: no markup, no emoji, no control characters, and the words
//! pronounced as configured. Never reads a command out of text: a tag is dropped, not obeyed.

use callwright_domain::agent::Pronunciation;

/// Longest tag that is recognised as one, in characters. Beyond it a `<` is a sign like any other.
pub(crate) const TAG_CAP: usize = 200;

/// The text of `raw` without what is written for the eye; empty when nothing is left to say.
pub(crate) fn clean(raw: &str) -> String {
    let chars: Vec<char> = raw.chars().collect();
    let mut clean = String::with_capacity(raw.len());
    let mut at = 0;
    while at < chars.len() {
        if let Tag::Closed(end) = tag(&chars, at) {
            push(&mut clean, ' ');
            at = end;
        } else if let Some((label, end)) = link(&chars, at) {
            // The label may hold emphasis of its own; its length shrinks each time, so this ends.
            for c in self::clean(&label).chars() {
                push(&mut clean, c);
            }
            at = end;
        } else {
            if let Some(c) = spoken(&chars, at) {
                push(&mut clean, c);
            }
            at += 1;
        }
    }
    let clean = clean.trim();
    if clean.chars().any(char::is_alphanumeric) { clean.to_owned() } else { String::new() }
}

/// Adds a character; runs of white space become one space.
fn push(text: &mut String, c: char) {
    if !c.is_whitespace() {
        text.push(c);
    } else if !text.is_empty() && !text.ends_with(' ') {
        text.push(' ');
    }
}

/// Whether a tag begins here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    /// No.
    None,
    /// Perhaps; the text ends before it does.
    Open,
    /// Yes, and it ends before this place.
    Closed(usize),
}

/// Looks for an SSML, XML or HTML tag at `at`.
pub(crate) fn tag(chars: &[char], at: usize) -> Tag {
    if chars.get(at) != Some(&'<') {
        return Tag::None;
    }
    match chars.get(at + 1) {
        None => return Tag::Open,
        Some(c) if c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?') => {}
        Some(_) => return Tag::None,
    }
    let body = chars.iter().skip(at + 1).take(TAG_CAP);
    for (offset, c) in body.enumerate() {
        match c {
            '>' => return Tag::Closed(at + 1 + offset + 1),
            '<' | '\n' => return Tag::None,
            _ => {}
        }
    }
    if chars.len() - at > TAG_CAP { Tag::None } else { Tag::Open }
}

/// A Markdown link or picture at `at`: its label and where it ends.
fn link(chars: &[char], at: usize) -> Option<(String, usize)> {
    let open = match (chars.get(at)?, chars.get(at + 1)) {
        ('[', _) => at,
        ('!', Some('[')) => at + 1,
        _ => return None,
    };
    let close = open + chars.iter().skip(open).take(TAG_CAP).position(|c| *c == ']')?;
    if chars.get(close + 1) != Some(&'(') {
        return None;
    }
    let target = chars.iter().skip(close + 2).take(4 * TAG_CAP);
    let end = close + 2 + target.take_while(|c| !c.is_whitespace()).position(|c| *c == ')')?;
    Some((chars[open + 1..close].iter().collect(), end + 1))
}

/// What is spoken for the character at `at`, if anything.
fn spoken(chars: &[char], at: usize) -> Option<char> {
    let c = chars[at];
    let before = at.checked_sub(1).map(|before| chars[before]);
    let after = chars.get(at + 1).copied();
    let inside = |of: fn(char) -> bool| before.is_some_and(of) && after.is_some_and(of);
    let line_start = chars[..at].iter().rev().find(|c| **c == '\n' || !c.is_whitespace()).is_none_or(|c| *c == '\n');
    match c {
        _ if c.is_control() => Some(' '),
        '*' if inside(|c| c.is_ascii_digit()) => Some('*'),
        '`' | '*' | '•' | '▪' | '‣' | '●' | '◦' => None,
        '_' if inside(char::is_alphanumeric) => Some(' '),
        '_' => None,
        '|' => Some(' '),
        '#' if after.is_none_or(|c| c == '#' || c.is_whitespace()) => None,
        '~' if before == Some('~') || after == Some('~') => None,
        '-' | '=' | '+' | '>' if line_start && after.is_none_or(|c| c == '-' || c == '=' || c.is_whitespace()) => None,
        '-' if before == Some('-') && after == Some('-') => None,
        '\\' if after.is_some_and(|c| c.is_ascii_punctuation()) => None,
        _ if is_picture(c) => None,
        _ => Some(c),
    }
}

/// Emoji, dingbats, arrows, and the invisible characters that glue or direct them.
const fn is_picture(c: char) -> bool {
    matches!(c,
        '\u{1f000}'..='\u{1faff}' | '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}' | '\u{25a0}'..='\u{27bf}'
        | '\u{2b00}'..='\u{2bff}' | '\u{fe00}'..='\u{fe0f}' | '\u{20e3}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffd}'
        | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}')
}

/// Applies the configured replacements, in order, each to the result of the one before.
pub(crate) fn pronounce(text: &str, rules: &[Pronunciation]) -> String {
    let mut spoken = text.to_owned();
    for rule in rules.iter().filter(|rule| !rule.word.is_empty()) {
        if spoken.contains(&rule.word) {
            spoken = spoken.replace(&rule.word, &rule.spoken);
        }
        // Rules that grow the text they match could otherwise multiply it without end.
        if spoken.len() > PRONOUNCED_CAP {
            return text.to_owned();
        }
    }
    spoken
}

/// Longest phrase after replacements, in bytes: far above what a phrase of 200 characters can honestly become.
const PRONOUNCED_CAP: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_for_the_eye_is_not_said() {
        for (raw, expected) in [
            ("**Great** choice! 🎉👍🏽", "Great choice!"),
            ("## Summary\nYour order", "Summary Your order"),
            ("- one\n- two", "one two"),
            ("Use `cargo run` or snake_case", "Use cargo run or snake case"),
            ("See [our page](https://example.com/a_b) now", "See our page now"),
            ("![**logo**](x.png)", "logo"),
            ("Wait <break time=\"1s\"/>here</speak>", "Wait here"),
            ("5 < 6 and 7 > 6", "5 < 6 and 7 > 6"),
            ("2*3 and 4 * 5", "2*3 and 4 5"),
            ("# of items, #1", "of items, #1"),
            ("a\u{0}b\u{7}c\u{200b}d", "a b cd"),
            ("🙂 *** --- ```", ""),
            ("| a | b |", "a b"),
            ("{\"tool\":\"hang up\"}", "{\"tool\":\"hang up\"}"),
            ("价格是**三十**元。😀", "价格是三十元。"),
            ("\\*not bold\\*", "not bold"),
        ] {
            assert_eq!(clean(raw), expected, "{raw:?}");
        }
    }

    #[test]
    fn words_are_pronounced_as_configured() {
        let rule = |word: &str, spoken: &str| Pronunciation { word: word.into(), spoken: spoken.into() };
        assert_eq!(pronounce("SQL on AWS", &[rule("SQL", "sequel"), rule("", "x")]), "sequel on AWS");
        let growing: Vec<_> = (0..40).map(|_| rule("a", "aa")).collect();
        assert_eq!(pronounce("a", &growing), "a");
    }
}
