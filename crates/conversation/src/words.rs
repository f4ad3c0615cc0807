//! Words as they are compared: without case and punctuation, whatever the script. Hides how scripts differ in what a
//! word is. Never changes what is stored or spoken.

use std::ops::Range;

/// Whether a character is written without spaces around words.
pub(crate) const fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{2e80}'..='\u{303f}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ffef}' | '\u{20000}'..='\u{3ffff}')
}

/// A word (of an unspaced script: a character) in lower case, and where it stands.
struct Word {
    text: String,
    at: Range<usize>,
}

fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut open = false;
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        // "don't" is one word, with whichever apostrophe.
        if open && matches!(c, '\'' | '’') {
            continue;
        }
        if !c.is_alphanumeric() {
            open = false;
            continue;
        }
        let unspaced = is_unspaced(c);
        match words.last_mut() {
            Some(word) if open && !unspaced => {
                word.text.extend(c.to_lowercase());
                word.at.end = end;
            }
            _ => words.push(Word { text: c.to_lowercase().collect(), at: at..end }),
        }
        open = !unspaced;
    }
    words
}

/// How many words; two characters of an unspaced script count as one.
pub(crate) fn count(text: &str) -> u32 {
    let (mut spaced, mut unspaced) = (0_u32, 0_u32);
    for word in words(text) {
        match word.text.chars().next() {
            Some(c) if is_unspaced(c) => unspaced += 1,
            _ => spaced += 1,
        }
    }
    spaced + unspaced.div_ceil(2)
}

/// Whether `text` says something at all.
pub(crate) fn any(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

/// Where `phrase` first occurs in `text`, word by word.
fn find(text: &[Word], phrase: &str) -> Option<Range<usize>> {
    let phrase = words(phrase);
    if phrase.is_empty() {
        return None;
    }
    let same = |window: &[Word]| window.iter().zip(&phrase).all(|(a, b)| a.text == b.text);
    let first = text.windows(phrase.len()).position(same)?;
    Some(text[first].at.start..text[first + phrase.len() - 1].at.end)
}

/// Whether `text` contains one of `phrases` as whole words.
pub(crate) fn contains_any<P: AsRef<str>>(text: &str, phrases: &[P]) -> bool {
    let text = words(text);
    phrases.iter().any(|phrase| find(&text, phrase.as_ref()).is_some())
}

/// `text` without the given phrases; empty when nothing is left to say.
pub(crate) fn without(text: &str, phrases: &[String]) -> String {
    let mut left = text.to_owned();
    for phrase in phrases {
        while let Some(at) = find(&words(&left), phrase) {
            left.replace_range(at, "");
        }
    }
    let left = left.trim_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '.' | '!' | '?' | '。' | '！' | '？'));
    if any(left) { left.to_owned() } else { String::new() }
}

/// What `text` says beyond `known`, when it begins with the same words: all of it when it does not.
pub(crate) fn beyond<'a>(text: &'a str, known: &str) -> &'a str {
    let (text_words, known) = (words(text), words(known));
    let same = text_words.iter().zip(&known).take_while(|(a, b)| a.text == b.text).count();
    if same < known.len() && same < text_words.len() {
        return text;
    }
    match text_words.get(known.len()) {
        Some(next) => &text[next.at.start..],
        None => "",
    }
}

/// As [`beyond`], when it is certain that `text` begins with what `guess` was a guess at: what follows the beginning that
/// is nearest to the guess, word by word (Levenshtein's distance).
pub(crate) fn beyond_guess<'a>(text: &'a str, guess: &str) -> &'a str {
    let (text_words, guess) = (words(text), words(guess));
    let cap = guess.len().saturating_add(guess.len() / 2).saturating_add(2).min(text_words.len());
    // Distances between the guess so far and each beginning of the text.
    let mut row: Vec<usize> = (0..=cap).collect();
    for (i, known) in guess.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for j in 0..cap {
            let change = diagonal + usize::from(known.text != text_words[j].text);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    let nearest = (0..=cap).rev().min_by_key(|j| row[*j]).unwrap_or(0);
    text_words.get(nearest).map_or("", |next| &text[next.at.start..])
}

/// Joins two pieces of text as a writer would: with a space, unless the script has none.
pub(crate) fn join(text: &mut String, more: &str) {
    let more = more.trim();
    let spaced = match (text.chars().next_back(), more.chars().next()) {
        (Some(before), Some(after)) => !before.is_whitespace() && !is_unspaced(before) && !is_unspaced(after),
        _ => false,
    };
    if spaced {
        text.push(' ');
    }
    text.push_str(more);
}

/// The longest beginning of `text` that is at most `cap` bytes long and ends at a character.
pub(crate) fn clip(text: &str, cap: usize) -> &str {
    &text[..text.floor_char_boundary(cap)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_in_every_script() {
        for (text, expected) in [("", 0), ("...", 0), ("Don't stop!", 2), ("等一下", 2), ("OK 好的", 2), ("3.5 kg", 3)]
        {
            assert_eq!(count(text), expected, "{text}");
        }
    }

    #[test]
    fn phrases_match_whole_words_only() {
        let phrases = ["hold on".to_owned(), "停".to_owned()];
        for (text, expected) in
            [("Please HOLD, on!", true), ("hold one", false), ("你停一下", true), ("household on", false), ("", false)]
        {
            assert_eq!(contains_any(text, &phrases), expected, "{text}");
        }
        assert!(!contains_any("anything", &[String::new()]));
    }

    #[test]
    fn phrases_are_taken_out() {
        let stop = ["stop".to_owned()];
        assert_eq!(without("Stop.", &stop), "");
        assert_eq!(without("Stop, what does it cost?", &stop), "what does it cost?");
        assert_eq!(without("stop stop", &stop), "");
    }

    #[test]
    fn what_is_known_is_not_heard_twice() {
        for (text, known, expected) in [
            ("I want a pizza.", "i want a pizza", ""),
            ("I want a pizza, please.", "I want a pizza", "please."),
            ("I want", "I want a pizza", ""),
            ("No, a burger", "I want a pizza", "No, a burger"),
            ("我要披萨", "我要", "披萨"),
        ] {
            assert_eq!(beyond(text, known), expected, "{text}");
        }
    }

    #[test]
    fn pieces_are_joined_as_their_script_wants() {
        for (a, b, expected) in [("Hello,", "Ann.", "Hello, Ann."), ("你好，", "我是", "你好，我是"), ("", "x", "x")]
        {
            let mut text = a.to_owned();
            join(&mut text, b);
            assert_eq!(text, expected);
        }
    }
}
