//! What the agent is saying: lines waiting to be said, phrases being synthesised or played. Hides how far each phrase
//! has got and how much of a cut one was heard. Never decides what to say.

use crate::exchange::{HeardPhrase, PhraseId, Sound};
use crate::history::EntryId;
use crate::words::is_unspaced;
use callwright_domain::agent::Switch;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Phrases given to the voice and not yet played. Enough that the voice never waits for text; what lies beyond is
/// cheaper to forget at an interruption here than there.
const AHEAD: usize = 4;
/// A phrase that neither sounds nor ends for so long (beyond its own length) is given up.
const STUCK: Duration = Duration::from_secs(10);
/// How long a letter is in speech, for phrases whose length is not known.
const LETTER: Duration = Duration::from_millis(65);
/// The same for a character of a script that writes syllables or words with one.
const SYLLABLE: Duration = Duration::from_millis(220);

/// A phrase to be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) id: PhraseId,
    pub(crate) entry: EntryId,
    /// As it stands in the history; pronunciations are applied on the way out.
    pub(crate) text: String,
    /// Played in its place: then there is no text.
    pub(crate) sound: Option<Sound>,
    pub(crate) interruptible: Switch,
}

impl Line {
    /// About how long it takes to say.
    pub(crate) fn length(&self) -> Duration {
        self.sound.as_ref().map_or_else(|| spoken_length(&self.text), Sound::length)
    }
}

/// A phrase given to the voice.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    pub(crate) line: Line,
    pub(crate) sounded: Option<Instant>,
    complete: bool,
    /// A flush was ordered; its report is awaited.
    cutting: bool,
}

impl Open {
    /// When it began to be heard, where the last sound before it ended at `free`.
    fn began(&self, free: Option<Instant>) -> Option<Instant> {
        self.sounded.map(|sounded| free.map_or(sounded, |free| free.max(sounded)))
    }
}

/// A phrase of which nothing more will be heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) line: Line,
    /// When it began to be heard.
    pub(crate) began: Option<Instant>,
    /// Bytes of its text that were heard.
    pub(crate) heard: usize,
    /// How much of its sound was.
    pub(crate) played: Duration,
}

/// The agent's mouth.
#[derive(Debug)]
pub(crate) struct Mouth {
    ready: VecDeque<Line>,
    open: VecDeque<Open>,
    /// When something last happened to a phrase.
    progress: Option<Instant>,
    /// When the last sound ended, as far as it was reported: what arrives before that waits for it.
    free: Option<Instant>,
    /// Whether something was heard since it was last silent and had nothing to say.
    begun: bool,
}

impl Mouth {
    pub(crate) const fn new() -> Self {
        Self { ready: VecDeque::new(), open: VecDeque::new(), progress: None, free: None, begun: false }
    }

    /// Adds a line behind those that wait.
    pub(crate) fn push(&mut self, line: Line) {
        self.ready.push_back(line);
    }

    /// The next line to give to the voice, if it is time.
    pub(crate) fn release(&mut self, now: Instant) -> Option<Line> {
        if self.speaking().count() >= AHEAD {
            return None;
        }
        let line = self.ready.pop_front()?;
        if self.speaking().next().is_none() {
            self.progress = Some(now);
        }
        self.open.push_back(Open { line: line.clone(), sounded: None, complete: false, cutting: false });
        Some(line)
    }

    /// Lines not given to the voice yet.
    pub(crate) fn waiting(&self) -> usize {
        self.ready.len()
    }

    /// Whether something of a go is being said or about to be.
    pub(crate) fn holds(&self, entry: EntryId) -> bool {
        self.ready.iter().any(|line| line.entry == entry) || self.speaking().any(|open| open.line.entry == entry)
    }

    /// How long all sounds are that are played or about to be.
    pub(crate) fn sounds(&self) -> Duration {
        let open = self.speaking().map(|open| &open.line);
        open.chain(&self.ready).filter_map(|line| line.sound.as_ref()).map(Sound::length).sum()
    }

    /// Whether the agent says something or is about to.
    pub(crate) fn is_busy(&self) -> bool {
        !self.ready.is_empty() || self.speaking().next().is_some()
    }

    /// Whether anything was given to the voice and not played.
    pub(crate) fn is_open(&self) -> bool {
        self.speaking().next().is_some()
    }

    /// Whether the callee hears the agent.
    pub(crate) fn is_audible(&self) -> bool {
        self.speaking().any(|open| open.sounded.is_some())
    }

    /// Whether the agent is in the middle of speaking, be it between two phrases.
    pub(crate) fn is_midway(&self) -> bool {
        self.is_audible() || (self.begun && self.is_busy())
    }

    /// Whether a flush was ordered and not reported.
    pub(crate) fn is_cutting(&self) -> bool {
        self.open.iter().any(|open| open.cutting)
    }

    /// Whether what is being said may be cut off.
    pub(crate) fn is_interruptible(&self) -> bool {
        match self.speaking().next() {
            Some(open) => open.line.interruptible.is_on(),
            None => self.ready.front().is_none_or(|line| line.interruptible.is_on()),
        }
    }

    /// The first sound of a phrase arrived. Returns its line the first time.
    pub(crate) fn first_sound(&mut self, now: Instant, id: PhraseId) -> Option<&Line> {
        let open = self.open.iter_mut().find(|open| open.line.id == id && !open.cutting && open.sounded.is_none())?;
        open.sounded = Some(now);
        self.progress = Some(now);
        self.begun = true;
        Some(&open.line)
    }

    /// All of a phrase is in the playout queue.
    pub(crate) fn complete(&mut self, now: Instant, id: PhraseId) {
        if let Some(open) = self.open.iter_mut().find(|open| open.line.id == id) {
            open.complete = true;
            self.progress = Some(now);
        }
    }

    /// A phrase was played to its end, and so were those before it. Returns them.
    pub(crate) fn played(&mut self, now: Instant, id: PhraseId) -> Vec<Cut> {
        let Some(at) = self.open.iter().position(|open| open.line.id == id) else { return Vec::new() };
        self.pass(now, at + 1)
    }

    /// The playout queue ran empty: complete phrases at the front were played, mark or no mark.
    pub(crate) fn drained(&mut self, now: Instant) -> Vec<Cut> {
        let complete = self.open.iter().take_while(|open| open.complete && !open.cutting).count();
        if complete > 0 { self.pass(now, complete) } else { Vec::new() }
    }

    /// The first phrases were played to their ends.
    fn pass(&mut self, now: Instant, count: usize) -> Vec<Cut> {
        let free = self.free.replace(now);
        let passed = self.open.drain(..count).map(|open| {
            let (began, heard, played) = (open.began(free), open.line.text.len(), open.line.length());
            Cut { line: open.line, began, heard, played }
        });
        let passed = passed.collect();
        self.moved(now);
        passed
    }

    /// A phrase will not be said to its end. Returns it, and whether others wait behind it.
    pub(crate) fn failed(&mut self, now: Instant, id: PhraseId) -> Option<(Open, bool)> {
        let at = self.open.iter().position(|open| open.line.id == id && !open.cutting)?;
        let followed = at + 1 < self.open.len() || !self.ready.is_empty();
        let failed = self.open.remove(at);
        self.moved(now);
        failed.map(|open| (open, followed))
    }

    /// Lines that were not given to the voice yet.
    pub(crate) fn take_ready(&mut self) -> Vec<Line> {
        self.ready.drain(..).collect()
    }

    /// A flush is ordered: everything open will be cut.
    pub(crate) fn start_cutting(&mut self) {
        for open in &mut self.open {
            open.cutting = true;
        }
    }

    /// The flush is reported. A phrase that is not in the report was played whole, its mark being on its way, or had
    /// not begun.
    pub(crate) fn cut(&mut self, now: Instant, report: &[HeardPhrase]) -> Vec<Cut> {
        let last = report.iter().map(|heard| heard.phrase).max();
        self.settle_cuts(now, |open| {
            if let Some(heard) = report.iter().find(|heard| heard.phrase == open.line.id) {
                return Some((heard.sent, heard.total));
            }
            let passed = open.sounded.is_some() && Some(open.line.id) < last;
            (open.complete || passed).then_some((Duration::MAX, None))
        })
    }

    /// The flush is not reported: how much was heard is estimated from when each phrase began.
    pub(crate) fn cut_by_estimate(&mut self, now: Instant) -> Vec<Cut> {
        let mut begun = None;
        self.settle_cuts(now, |open| {
            let start = begun.max(open.sounded.filter(|_| begun.is_none() || open.sounded > begun))?;
            let long = open.line.length();
            begun = Some(start + long);
            Some((now.saturating_duration_since(start), Some(long)))
        })
    }

    fn settle_cuts(
        &mut self,
        now: Instant,
        mut heard: impl FnMut(&Open) -> Option<(Duration, Option<Duration>)>,
    ) -> Vec<Cut> {
        let (cut, open) = std::mem::take(&mut self.open).into_iter().partition(|open| open.cutting);
        self.open = open;
        let free = self.free.replace(now);
        self.moved(now);
        let cut: VecDeque<Open> = cut;
        cut.into_iter()
            .map(|open| {
                let played = heard(&open);
                let heard = played.map_or(0, |(sent, total)| heard_bytes(&open.line.text, sent, total));
                let (began, played) = (open.began(free), played.map_or(Duration::ZERO, |(sent, _)| sent));
                Cut { line: open.line, began, heard, played }
            })
            .collect()
    }

    /// When the phrase at the front is to be given up, and which it is.
    pub(crate) fn stuck(&self) -> Option<(Instant, PhraseId)> {
        let front = self.speaking().next()?;
        Some((self.progress? + STUCK + 2 * front.line.length(), front.line.id))
    }

    /// When something last happened to a phrase.
    pub(crate) const fn progress(&self) -> Option<Instant> {
        self.progress
    }

    fn moved(&mut self, now: Instant) {
        self.progress = Some(now);
        self.begun &= self.is_busy();
    }

    fn speaking(&self) -> impl Iterator<Item = &Open> {
        self.open.iter().filter(|open| !open.cutting)
    }
}

/// About how long it takes to say a text.
pub(crate) fn spoken_length(text: &str) -> Duration {
    text.chars().map(|c| if is_unspaced(c) { SYLLABLE } else { LETTER }).sum()
}

/// How many bytes of `text` were heard when `sent` of its sound was played: whole words only.
fn heard_bytes(text: &str, sent: Duration, total: Option<Duration>) -> usize {
    let total = total.filter(|total| !total.is_zero()).unwrap_or_else(|| spoken_length(text));
    if sent >= total {
        return text.len();
    }
    let fraction = sent.as_secs_f64() / total.as_secs_f64();
    let chars = text.chars().count();
    // Truncation is meant: a character that was only begun was not heard.
    let heard = (chars as f64 * fraction) as usize;
    let at = text.char_indices().nth(heard).map_or(text.len(), |(at, _)| at);
    let (before, after) = text.split_at(at);
    let inside = |c: char| !c.is_whitespace() && !is_unspaced(c);
    if !before.ends_with(inside) || !after.starts_with(inside) {
        return at;
    }
    before.char_indices().rev().find(|(_, c)| !inside(*c)).map_or(0, |(at, c)| at + c.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, Memory};

    #[test]
    fn a_phrase_that_was_not_cut_was_heard_or_never_begun() {
        let now = crate::testing::zero();
        let mut history = History::new(String::new(), 1, Switch::On, std::iter::empty());
        let entry = history.begin(Memory::Keep);
        let mut mouth = Mouth::new();
        for id in 1..=3 {
            let text = "two words".into();
            let line = Line { id: PhraseId(id), entry, text, sound: None, interruptible: Switch::On };
            mouth.push(line);
            mouth.release(now);
        }
        mouth.first_sound(now, PhraseId(1));
        mouth.complete(now, PhraseId(1));
        mouth.first_sound(now, PhraseId(2));
        mouth.start_cutting();
        // The first one's mark is on its way; of the second, half was sent; the third was never synthesised.
        let second = Duration::from_secs(1);
        let report = [HeardPhrase { phrase: PhraseId(2), sent: second / 2, total: Some(second) }];
        let heard: Vec<_> = mouth.cut(now, &report).iter().map(|cut| cut.line.text[..cut.heard].to_owned()).collect();
        assert_eq!(heard, ["two words", "two ", ""]);
        assert!(!mouth.is_busy() && !mouth.is_cutting());
    }

    #[test]
    fn half_a_word_was_not_heard() {
        let text = "How can I help you today?";
        let total = Some(Duration::from_millis(2500));
        for (sent, expected) in [
            (0, ""),
            (200, ""),
            (300, "How"),
            (600, "How "),
            (1_000, "How can I "),
            (2_499, "How can I help you "),
            (2_500, text),
        ] {
            let bytes = heard_bytes(text, Duration::from_millis(sent), total);
            assert_eq!(&text[..bytes], expected, "{sent}");
        }
        assert_eq!(&"请问您是谁"[..heard_bytes("请问您是谁", Duration::from_millis(500), None)], "请问");
        assert_eq!(heard_bytes("", Duration::ZERO, None), 0);
    }
}
