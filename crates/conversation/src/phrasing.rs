//! Cuts streaming model text into pieces that can be spoken: the first at the first clause, so that speech starts early,
//! the later ones by sentences, so that they sound well. Where it cuts depends on the text alone, not on how the text
//! was chopped on its way here; only settings that speak of time, and a model that stalls, make it look at the clock.
//! Never loses or repeats a word.

use crate::speakable::{Tag, clean, tag};
use crate::timers::span;
use crate::words::is_unspaced;
use callwright_domain::agent::VoiceSettings;
use std::time::{Duration, Instant};

/// Widest phrase: about ten seconds of speech. Text without punctuation is cut here.
const WIDEST: usize = 200;
/// Characters looked at for one cut: a phrase, a tag, and what must follow them to be sure.
const WINDOW: usize = 700;
/// Narrowest first phrase that may end at a comma; narrower ones sound chopped.
const FIRST_CLAUSE: usize = 10;
/// Narrowest first phrase that may end with a sentence ("Yes.").
const FIRST_SENTENCE: usize = 2;
/// Narrowest later phrase; narrower sentences are spoken together with the next.
const LATER_SENTENCE: usize = 12;
/// A model that pauses this long after a full stop has finished the sentence.
const STALL: Duration = Duration::from_millis(200);

/// Words whose full stop does not end a sentence, in lower case.
const ABBREVIATIONS: [&str; 44] = [
    "mr", "mrs", "ms", "dr", "prof", "sr", "sra", "jr", "st", "mt", "vs", "etc", "inc", "ltd", "co", "corp", "no",
    "nr", "nos", "approx", "dept", "est", "ext", "fig", "gen", "gov", "hon", "jan", "feb", "mar", "apr", "jun", "jul",
    "aug", "sep", "sept", "oct", "nov", "dec", "tel", "bzw", "ca", "usw", "vol",
];

/// The cutter of one answer.
#[derive(Debug)]
pub(crate) struct Phraser {
    text: String,
    spoke: bool,
    complete: bool,
    hold_below: usize,
    hold_at_most: Option<Duration>,
    held_since: Option<Instant>,
    last_push: Option<Instant>,
}

impl Phraser {
    pub(crate) fn new(voice: &VoiceSettings) -> Self {
        Self {
            text: String::new(),
            spoke: false,
            complete: false,
            // No phrase is wider than WIDEST, so holding for more would hold for ever.
            hold_below: usize::try_from(voice.hold_below_chars).unwrap_or(WIDEST).min(WIDEST),
            hold_at_most: (voice.hold_at_most_ms > 0).then(|| span(voice.hold_at_most_ms)),
            held_since: None,
            last_push: None,
        }
    }

    /// More text.
    pub(crate) fn push(&mut self, now: Instant, piece: &str) {
        self.text.push_str(piece);
        self.last_push = Some(now);
        self.held_since.get_or_insert(now);
    }

    /// The first phrase is cut as the later ones are.
    pub(crate) const fn prefer_sentences(&mut self) {
        self.spoke = true;
    }

    /// No more text comes.
    pub(crate) fn finish(&mut self) {
        self.complete = true;
    }

    /// The next phrase, cleaned for speaking, as soon as it is sure where it ends.
    pub(crate) fn next(&mut self, now: Instant) -> Option<String> {
        loop {
            let lead = self.text.len() - self.text.trim_start().len();
            self.text.drain(..lead);
            if self.text.is_empty() {
                self.held_since = None;
                return None;
            }
            let end = self.end(now)?;
            let raw: String = self.text.drain(..end).collect();
            self.held_since = self.last_push;
            let phrase = clean(&raw);
            if !phrase.is_empty() {
                self.spoke = true;
                return Some(phrase);
            }
        }
    }

    /// When to ask [`Self::next`] again although nothing new came.
    pub(crate) fn due(&self) -> Option<Instant> {
        if self.complete || self.text.trim().is_empty() {
            return None;
        }
        let stall = self.stalls().then(|| self.last_push.map(|at| at + STALL)).flatten();
        let held = match (self.hold_at_most, self.held_since) {
            (Some(most), Some(since)) if self.breath().is_some() => Some(since + most),
            _ => None,
        };
        stall.into_iter().chain(held).min()
    }

    /// Where the next phrase ends, in bytes.
    fn end(&self, now: Instant) -> Option<usize> {
        let chars: Vec<char> = self.text.chars().take(WINDOW).collect();
        let bytes = |count: usize| chars.iter().take(count).map(|c| c.len_utf8()).sum();
        if let Some(count) = self.cut(&chars) {
            return Some(bytes(count));
        }
        if self.complete {
            return Some(self.text.len());
        }
        if self.stalls() && self.last_push.is_some_and(|at| now >= at + STALL) {
            return Some(self.text.len());
        }
        let held = self.hold_at_most.zip(self.held_since).is_some_and(|(most, since)| now >= since + most);
        if held { self.breath() } else { None }
    }

    /// Whether the text so far could be all there is to a sentence.
    fn stalls(&self) -> bool {
        let text = self.text.trim_end();
        let Some(last) = text.chars().next_back() else { return false };
        let enough = self.text.chars().map(width).sum::<usize>() >= self.hold_below;
        enough && is_full_stop(last) && !text.trim_end_matches('.').ends_with(|c: char| c.is_ascii_digit())
    }

    /// The last place in the text where one could draw breath, in bytes.
    fn breath(&self) -> Option<usize> {
        let text = self.text.trim_end();
        let full = text.chars().next_back().filter(|last| is_full_stop(*last) || is_comma(*last)).map(|_| text.len());
        full.or_else(|| self.text.rfind(char::is_whitespace)).filter(|end| *end > 0)
    }

    /// Where the next phrase ends, in characters, when the text at hand makes that sure.
    fn cut(&self, chars: &[char]) -> Option<usize> {
        let sure = self.complete || chars.len() == WINDOW;
        let (mut wide, mut at) = (0, 0);
        let (mut comma, mut space) = (None, None);
        while at < chars.len() {
            match tag(chars, at) {
                Tag::Closed(end) => {
                    at = end;
                    continue;
                }
                Tag::Open if !sure => return None,
                Tag::Open | Tag::None => {}
            }
            wide += width(chars[at]);
            match pause(chars, at) {
                Pause::Unsure if !sure => return None,
                Pause::Sentence(end) if wide >= self.narrowest(FIRST_SENTENCE) => return Some(end),
                Pause::Clause(end) if !self.spoke && wide >= self.narrowest(FIRST_CLAUSE) => return Some(end),
                Pause::Sentence(end) | Pause::Clause(end) if wide > WIDEST / 4 => comma = Some(end),
                Pause::Unsure | Pause::Sentence(_) | Pause::Clause(_) | Pause::None => {}
            }
            at += 1;
            if chars[at - 1].is_whitespace() {
                space = Some(at);
            }
            if wide >= WIDEST {
                return Some(comma.or(space).unwrap_or(at));
            }
        }
        None
    }

    fn narrowest(&self, first: usize) -> usize {
        self.hold_below.max(if self.spoke { LATER_SENTENCE } else { first })
    }
}

/// How long a character takes to say, in letters.
fn width(c: char) -> usize {
    if is_unspaced(c) { 3 } else { 1 }
}

fn is_full_stop(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…' | '。' | '！' | '？')
}

fn is_comma(c: char) -> bool {
    matches!(c, ',' | ';' | ':' | '—' | '–' | '，' | '、' | '；' | '：')
}

fn is_closer(c: char) -> bool {
    matches!(c, '"' | '\'' | ')' | ']' | '}' | '”' | '’' | '»' | '」' | '』' | '）' | '】' | '》' | '*' | '_' | '`')
}

/// What a speaker does after a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pause {
    /// Goes on.
    None,
    /// The text ends too early to tell.
    Unsure,
    /// A short pause; the next clause begins here.
    Clause(usize),
    /// A pause; the next sentence begins here.
    Sentence(usize),
}

fn pause(chars: &[char], at: usize) -> Pause {
    let c = chars[at];
    if c == '\n' {
        return Pause::Sentence(at + 1);
    }
    if is_full_stop(c) {
        return sentence_end(chars, at);
    }
    if !is_comma(c) {
        return Pause::None;
    }
    let Some(next) = chars.get(at + 1) else { return Pause::Unsure };
    let digits = at > 0 && chars[at - 1].is_ascii_digit() && next.is_ascii_digit();
    // "1,000", "10:30" and "a:b" go on; 、 and — need no space.
    let ends = next.is_whitespace() || (!c.is_ascii() && !digits && c != '–');
    if ends { Pause::Clause(at + 1) } else { Pause::None }
}

fn sentence_end(chars: &[char], at: usize) -> Pause {
    let rest = chars.iter().skip(at + 1);
    let end = at + 1 + rest.take_while(|c| is_full_stop(**c) || is_closer(**c)).count();
    let Some(next) = chars.get(end) else { return Pause::Unsure };
    let c = chars[at];
    if !c.is_ascii() && c != '…' {
        return Pause::Sentence(end);
    }
    if is_unspaced(*next) {
        return Pause::Sentence(end);
    }
    if !next.is_whitespace() {
        return Pause::None;
    }
    if c != '.' && c != '…' {
        return Pause::Sentence(end);
    }
    let Some(gap) = chars[end..].iter().position(|c| !c.is_whitespace() || *c == '\n') else { return Pause::Unsure };
    if chars[end + gap] == '\n' {
        return Pause::Sentence(end);
    }
    if chars[end + gap].is_lowercase() || (c == '.' && is_abbreviation(&chars[..at])) {
        return Pause::None;
    }
    Pause::Sentence(end)
}

/// Whether the full stop after this text belongs to its last word.
fn is_abbreviation(before: &[char]) -> bool {
    let start = before.iter().rposition(|c| c.is_whitespace() || matches!(c, '(' | '"')).map_or(0, |at| at + 1);
    let word: String = before[start..].iter().collect();
    // "1. First": the number of a list's item.
    if start == 0 && !word.is_empty() && word.chars().all(|c| c.is_ascii_digit()) {
        return true;
    }
    let letters = word.chars().filter(|c| c.is_alphabetic()).count();
    let initial = letters == 1 && word != "I" && word.chars().all(char::is_alphabetic);
    let dotted = word.contains('.') && word.split('.').all(|part| part.chars().count() == 1);
    initial || dotted || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::zero;

    fn phrases(voice: &VoiceSettings, pieces: &[&str]) -> Vec<String> {
        let mut phraser = Phraser::new(voice);
        let mut phrases = Vec::new();
        for piece in pieces {
            phraser.push(zero(), piece);
            phrases.extend(std::iter::from_fn(|| phraser.next(zero())));
        }
        phraser.finish();
        phrases.extend(std::iter::from_fn(|| phraser.next(zero())));
        phrases
    }

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(phrases(&VoiceSettings::default(), &[text]), expected, "{text:?}");
    }

    #[test]
    fn the_first_phrase_ends_at_a_clause_and_the_later_ones_at_sentences() {
        check(
            "Good morning, this is Ann, from the bakery. Your cake, the blue one, is ready. Bye!",
            &["Good morning,", "this is Ann, from the bakery.", "Your cake, the blue one, is ready.", "Bye!"],
        );
        check("Yes. I can do that for you.", &["Yes.", "I can do that for you."]);
        check("Well, yes", &["Well, yes"]);
        check(
            "您好，我是小安。请问您是王先生吗？好的，谢谢！",
            &["您好，我是小安。", "请问您是王先生吗？", "好的，谢谢！"],
        );
        check("Sure — one moment please", &["Sure — one moment please"]);
        check("Certainly sir — one moment please", &["Certainly sir —", "one moment please"]);
    }

    #[test]
    fn what_belongs_together_is_not_cut() {
        for text in [
            "It costs 3.50 or 1,000.75 dollars at 10:30 today",
            "Ask Dr. Smith or Mr. J. Brown about e.g. the U.S. office",
            "Write to ann.b@example.com or see www.example.com/a?b=c.d,e now",
            "1. First item",
            "It is version 2.0.1 of the thing",
            "Wait... what did you say",
        ] {
            check(text, &[text]);
        }
        check("He said \"Stop!\" Then he left.", &["He said \"Stop!\"", "Then he left."]);
    }

    #[test]
    fn lists_and_markup_become_sentences() {
        check(
            "We have:\n- **Pizza Margherita**\n- Pasta al forno\n",
            &["We have:", "Pizza Margherita", "Pasta al forno"],
        );
        check("Hello <break time=\"1s. Or two, yes\"/> there", &["Hello there"]);
        check("😀 🎉\n\n***\n", &[]);
    }

    #[test]
    fn endless_text_is_cut_between_words() {
        let text = "word ".repeat(100);
        let phrases = phrases(&VoiceSettings::default(), &[&text]);
        assert!(phrases.iter().all(|phrase| phrase.len() <= WIDEST), "{phrases:?}");
        assert_eq!(phrases.join(" "), text.trim());
        let solid = "x".repeat(1000);
        assert_eq!(self::phrases(&VoiceSettings::default(), &[&solid]).concat(), solid);
    }

    #[test]
    fn short_text_is_held_for_as_long_as_configured() {
        let voice = VoiceSettings { hold_below_chars: 30, hold_at_most_ms: 500, ..VoiceSettings::default() };
        assert_eq!(phrases(&voice, &["Yes. I see. Good. Then we are done here. Fine"]).len(), 2);
        let mut phraser = Phraser::new(&voice);
        phraser.push(zero(), "Yes. I s");
        assert_eq!(phraser.next(zero()), None);
        assert_eq!(phraser.due(), Some(zero() + Duration::from_millis(500)));
        assert_eq!(phraser.next(zero() + Duration::from_millis(500)).as_deref(), Some("Yes. I"));
    }

    #[test]
    fn a_model_that_stalls_after_a_sentence_is_not_waited_for() {
        let mut phraser = Phraser::new(&VoiceSettings::default());
        phraser.push(zero(), "Let me look that up.");
        assert_eq!(phraser.next(zero()), None);
        let due = phraser.due().expect("the pause is watched");
        assert_eq!(phraser.next(due).as_deref(), Some("Let me look that up."));
        phraser.push(due, "It costs 3.");
        assert_eq!(phraser.due(), None, "a decimal may follow");
    }

    /// Whatever the text and however it is chopped: the same phrases, and every letter and digit exactly once.
    #[test]
    fn chopping_changes_nothing_and_nothing_is_lost() {
        const PARTS: [&str; 30] = [
            "a", "Word", " ", " ", " ", ".", ". ", ", ", "! ", "?", "\n", "3", "1,0", "Dr", "U.S", "你好", "。", "，",
            "**", "`", "😀", "—", ": ", ";", "…", "\"", ")", "<b>", "<", "ü",
        ];
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed % below as u64).unwrap()
        };
        for round in 0..1_500 {
            let text: String = (0..random(400)).map(|_| PARTS[random(PARTS.len())]).collect();
            let voice = VoiceSettings { hold_below_chars: [0, 0, 25][round % 3], ..VoiceSettings::default() };
            let whole = phrases(&voice, &[&text]);
            let chars: Vec<String> = text.chars().map(String::from).collect();
            let mut pieces: Vec<String> = Vec::new();
            for c in &chars {
                match pieces.last_mut() {
                    Some(piece) if random(6) > 0 => piece.push_str(c),
                    _ => pieces.push(c.clone()),
                }
            }
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            assert_eq!(phrases(&voice, &pieces), whole, "{text:?}");
            let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            assert_eq!(letters(&whole.concat()), letters(&text.replace("<b>", "")), "{text:?}");
        }
    }
}
