//! Has the callee finished? Collects what is heard into one utterance and says when it is over, from voice activity,
//! the recogniser's words and its opinion. Never decides what happens then, nor whether the agent may be interrupted.

use crate::latency::span_before;
use crate::timers::span;
use crate::vocabulary::{AsrEvent, EndOfTurn};
use crate::words;
use callwright_domain::agent::{TurnMode, TurnSettings};
use callwright_domain::{CallEvent, Pii};
use std::time::{Duration, Instant};

/// How long after the callee fell silent a final text is waited for; then the last guess is taken.
const FINAL_PATIENCE: Duration = Duration::from_millis(1000);
/// Words that come this long after the voice stopped are new speech that voice activity missed.
const UNNOTICED: Duration = Duration::from_millis(1500);
/// A voice that never stops, with nothing new recognised for so long, is noise: the words before it stand.
const NOISE: Duration = Duration::from_secs(10);
/// A short guess that was taken is not held against what is said this much later: a second "yes" is news.
const GUESS_AGE: Duration = Duration::from_secs(3);
/// How much later than the end of the turn a recogniser may still speak of it.
const LATE: Duration = Duration::from_secs(3);
/// Longest utterance, in bytes: some five minutes of speech.
const UTTERANCE_CAP: usize = 4000;

/// What the callee said, and when it was over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Utterance {
    pub(crate) text: String,
    /// The first sound; none: nothing sounded that these words would be known to belong to.
    pub(crate) began: Option<Instant>,
    /// The last sound.
    pub(crate) silent: Instant,
    /// When the silence would have been long enough, had all words been there.
    pub(crate) ruled: Instant,
}

impl Utterance {
    /// What the journal is told of it at `now`.
    pub(crate) fn event(&self, now: Instant) -> CallEvent {
        let span = self.began.map(|began| span_before(now, (began, self.silent)));
        CallEvent::Heard { text: Pii::new(self.text.clone()), span }
    }
}

/// Whether the callee has finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing was said.
    Nothing,
    /// Not before this moment, as far as is known.
    Wait(Instant),
    /// Yes.
    Over,
}

/// Whether words are new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// They add to, or change, what was heard.
    Words,
    /// They were known, or there were none.
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Voice {
    /// Voice activity has said nothing yet.
    Unknown,
    Speaking,
    SilentSince(Instant),
}

/// Whether the callee says when the turn is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It does not: silence tells.
    None,
    /// It will.
    Open,
    /// It has, at this moment.
    Ended(Instant),
}

/// The listener.
#[derive(Debug)]
pub(crate) struct Endpointing {
    settings: TurnSettings,
    finals: String,
    partial: String,
    voice: Voice,
    /// Speech whose final text has not come yet.
    owed: bool,
    opinion: EndOfTurn,
    /// An end word, the recogniser's own verdict, or the cap.
    over: bool,
    last_words: Option<Instant>,
    /// A guess that was taken for the utterance: its final text will still come.
    taken: Option<(Instant, String)>,
    /// Whether a voice was noticed since the last utterance was taken.
    spoke: bool,
    /// The first sound of the utterance at hand.
    began: Option<Instant>,
    taken_at: Option<Instant>,
    mark: Mark,
    /// Whether any of the words were heard: others were put here by order, and nobody has spoken them.
    aloud: bool,
}

impl Endpointing {
    pub(crate) fn new(settings: TurnSettings) -> Self {
        Self {
            settings,
            finals: String::new(),
            partial: String::new(),
            voice: Voice::Unknown,
            owed: false,
            opinion: EndOfTurn::Unknown,
            over: false,
            last_words: None,
            taken: None,
            spoke: false,
            began: None,
            taken_at: None,
            mark: Mark::None,
            aloud: false,
        }
    }

    /// Goes by other settings from now on.
    pub(crate) fn adopt(&mut self, fresh: Self) {
        self.settings = fresh.settings;
    }

    /// Goes by the callee's own marks for the utterance at hand.
    pub(crate) fn mark(&mut self, mark: Mark) {
        self.mark = mark;
    }

    /// A voice is noticed that began at `since`.
    pub(crate) fn speech_started(&mut self, since: Instant) {
        // What was noticed before and never became words was a noise, or somebody who cleared their throat.
        let silent = self.silent().map(|silent| since.saturating_duration_since(silent));
        let noise = !self.has_words() && silent.is_some_and(|silent| silent > FINAL_PATIENCE);
        self.began = self.began.filter(|_| !noise).or(Some(since));
        self.voice = Voice::Speaking;
        self.owed = true;
        self.spoke = true;
        self.opinion = EndOfTurn::Unknown;
    }

    pub(crate) fn speech_stopped(&mut self, since: Instant) {
        self.voice = Voice::SilentSince(since);
    }

    /// Takes in what was recognised.
    pub(crate) fn heard(&mut self, now: Instant, event: &AsrEvent) -> News {
        let news = match event {
            AsrEvent::Partial { text } => self.guess(now, text),
            AsrEvent::Final { text, end_of_turn } => self.settle(now, text, *end_of_turn),
        };
        self.aloud |= news == News::Words;
        news
    }

    /// Takes in words that nobody has spoken. They are complete.
    pub(crate) fn given(&mut self, now: Instant, text: &str) -> News {
        self.settle(now, text, EndOfTurn::Yes)
    }

    /// Whether a voice is noticed at this moment.
    pub(crate) fn is_speaking(&self) -> bool {
        self.voice == Voice::Speaking
    }

    /// Whether words that come now belong to the utterance that was taken last: no voice was noticed since.
    pub(crate) fn is_late(&self, now: Instant) -> bool {
        let just_taken = self.taken_at.is_some_and(|at| now.saturating_duration_since(at) <= LATE);
        just_taken && !self.spoke && self.voice != Voice::Unknown
    }

    /// When the last words came.
    pub(crate) const fn last_words(&self) -> Option<Instant> {
        self.last_words
    }

    pub(crate) fn has_words(&self) -> bool {
        !self.finals.is_empty() || !self.partial.is_empty()
    }

    /// Until when words are waited for of a voice that has stopped; none: it has not, or nothing is owed.
    pub(crate) fn owes_words_until(&self) -> Option<Instant> {
        match self.voice {
            Voice::SilentSince(since) if self.owed => Some(since + FINAL_PATIENCE),
            Voice::SilentSince(_) | Voice::Speaking | Voice::Unknown => None,
        }
    }

    /// Everything heard so far.
    pub(crate) fn text(&self) -> String {
        let mut text = self.finals.clone();
        words::join(&mut text, &self.partial);
        text
    }

    /// The utterance, when it would be complete if the callee said no more: worth asking the model in advance.
    pub(crate) fn likely(&self) -> Option<&str> {
        let doubtful = self.settings.mode == TurnMode::Semantic && self.opinion == EndOfTurn::No;
        let settled = !self.finals.is_empty() && self.partial.is_empty() && !self.owed && !doubtful;
        (settled && !self.is_speaking() && self.mark == Mark::None).then_some(self.finals.as_str())
    }

    /// Whether the callee has finished.
    pub(crate) fn verdict(&self, now: Instant) -> Verdict {
        if !self.has_words() {
            return Verdict::Nothing;
        }
        let all_there = !self.owed && self.partial.is_empty();
        match self.mark {
            Mark::None => {}
            Mark::Open => return Verdict::Wait(now + NOISE),
            Mark::Ended(at) if all_there || at + FINAL_PATIENCE <= now => return Verdict::Over,
            Mark::Ended(at) => return Verdict::Wait(at + FINAL_PATIENCE),
        }
        let due = match self.silent() {
            _ if self.over => return Verdict::Over,
            None => self.last_words.unwrap_or(now) + NOISE,
            Some(since) if !all_there => since + self.required().max(FINAL_PATIENCE),
            Some(since) => since + self.required(),
        };
        if due <= now { Verdict::Over } else { Verdict::Wait(due) }
    }

    /// Takes the utterance and listens for the next.
    pub(crate) fn take(&mut self, now: Instant) -> Utterance {
        let text = words::clip(&self.text(), UTTERANCE_CAP).to_owned();
        // A recogniser that ends the turn before our own detector has heard the silence that it was asked for.
        let asked_for = span(self.settings.silence_ms);
        let overheard = || if self.over { now.checked_sub(asked_for).unwrap_or(now) } else { now };
        let silent = self.silent().unwrap_or_else(overheard).min(now);
        let ruled = if self.over { now } else { (silent + self.required()).min(now) };
        // Of what nobody spoke there is no last sound, and no recogniser that took its time.
        let aloud = std::mem::take(&mut self.aloud);
        let (silent, ruled) = if aloud { (silent, ruled) } else { (now, now) };
        if !self.partial.is_empty() {
            self.taken = Some((now, std::mem::take(&mut self.partial)));
        }
        self.taken_at = Some(now);
        self.finals.clear();
        self.owed = false;
        self.over = false;
        self.mark = Mark::None;
        self.spoke = self.is_speaking();
        let began = std::mem::replace(&mut self.began, self.spoke.then_some(now)).filter(|_| aloud);
        let began = began.map(|began| began.min(silent));
        self.opinion = EndOfTurn::Unknown;
        Utterance { text, began, silent, ruled }
    }

    /// Forgets what was heard.
    pub(crate) fn discard(&mut self, now: Instant) {
        self.take(now);
    }

    /// Forgets voice and words, as when the line was on hold.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.settings.clone());
    }

    /// Silence that ends the turn, as things stand.
    fn required(&self) -> Duration {
        let silence = span(self.settings.silence_ms);
        match (self.settings.mode, self.opinion) {
            (TurnMode::Semantic, EndOfTurn::No) => span(self.settings.patience_ms).max(silence),
            (TurnMode::Semantic, EndOfTurn::Unknown | EndOfTurn::Yes) | (TurnMode::Silence, _) => silence,
        }
    }

    /// Since when nobody has spoken; without voice activity the words tell.
    fn silent(&self) -> Option<Instant> {
        match self.voice {
            Voice::Speaking => None,
            Voice::SilentSince(since) => Some(since),
            Voice::Unknown => self.last_words,
        }
    }

    fn guess(&mut self, now: Instant, text: &str) -> News {
        self.forget_stale_guess(now);
        let text = self.taken.as_ref().map_or(text, |(_, taken)| self.beyond(text, taken)).trim();
        if !words::any(text) || text == self.partial {
            return News::Nothing;
        }
        self.partial = words::clip(text, UTTERANCE_CAP).to_owned();
        self.note_words(now);
        News::Words
    }

    fn settle(&mut self, now: Instant, text: &str, opinion: EndOfTurn) -> News {
        self.forget_stale_guess(now);
        let taken = self.taken.take();
        let text = taken.as_ref().map_or(text, |(_, taken)| self.beyond(text, taken)).trim();
        let guessed = !std::mem::take(&mut self.partial).is_empty();
        self.owed = false;
        if words::any(text) {
            // Beyond the cap the turn is over anyway; what comes before it is taken is not kept.
            if self.finals.len() < UTTERANCE_CAP {
                words::join(&mut self.finals, words::clip(text, UTTERANCE_CAP));
            }
            self.opinion = opinion;
            self.note_words(now);
        } else if !guessed && self.finals.is_empty() {
            return News::Nothing;
        }
        self.over |= opinion == EndOfTurn::Yes && self.has_words();
        News::Words
    }

    /// What a text says beyond the guess that was taken. While nobody has spoken since, it is about the same speech, and
    /// words that the recogniser has thought better of are no second utterance.
    fn beyond<'a>(&self, text: &'a str, taken: &str) -> &'a str {
        if self.spoke || self.is_speaking() { words::beyond(text, taken) } else { words::beyond_guess(text, taken) }
    }

    fn forget_stale_guess(&mut self, now: Instant) {
        let stale =
            |(at, text): &(Instant, String)| now.saturating_duration_since(*at) > GUESS_AGE && words::count(text) < 3;
        if self.taken.as_ref().is_some_and(stale) {
            self.taken = None;
        }
    }

    fn note_words(&mut self, now: Instant) {
        self.last_words = Some(now);
        if let Voice::SilentSince(since) = self.voice {
            // A late text belongs to the speech before the silence; a very late one to speech nobody noticed.
            if now.saturating_duration_since(since) > UNNOTICED && (!self.partial.is_empty() || !self.spoke) {
                self.voice = Voice::SilentSince(now);
            }
        }
        let text = self.text();
        self.over |= words::contains_any(&text, &self.settings.end_words) || text.len() >= UTTERANCE_CAP;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::zero;

    fn at(ms: u64) -> Instant {
        zero() + Duration::from_millis(ms)
    }

    fn text(text: &str, end_of_turn: EndOfTurn) -> AsrEvent {
        AsrEvent::Final { text: text.to_owned(), end_of_turn }
    }

    /// A listener to whom somebody spoke until 2 s, as voice activity tells 200 ms later.
    fn spoken_to(mode: TurnMode) -> Endpointing {
        let mut ears = Endpointing::new(TurnSettings { mode, ..TurnSettings::default() });
        ears.speech_started(at(500));
        ears.speech_stopped(at(2000));
        ears
    }

    #[test]
    fn silence_is_counted_from_the_last_sound() {
        let mut ears = spoken_to(TurnMode::Silence);
        assert_eq!(ears.verdict(at(9000)), Verdict::Nothing);
        ears.heard(at(2250), &text("Hello.", EndOfTurn::Unknown));
        assert_eq!(ears.verdict(at(2250)), Verdict::Wait(at(2400)));
        assert_eq!(ears.verdict(at(2400)), Verdict::Over);
        let utterance = Utterance { text: "Hello.".into(), began: Some(at(500)), silent: at(2000), ruled: at(2400) };
        assert_eq!(ears.take(at(2400)), utterance);
        assert_eq!(ears.verdict(at(2400)), Verdict::Nothing);
    }

    #[test]
    fn opinions_count_in_semantic_mode() {
        for (mode, opinion, due) in [
            (TurnMode::Silence, EndOfTurn::No, Verdict::Wait(at(2400))),
            (TurnMode::Semantic, EndOfTurn::Unknown, Verdict::Wait(at(2400))),
            (TurnMode::Semantic, EndOfTurn::No, Verdict::Wait(at(6000))),
            (TurnMode::Silence, EndOfTurn::Yes, Verdict::Over),
            (TurnMode::Semantic, EndOfTurn::Yes, Verdict::Over),
        ] {
            let mut ears = spoken_to(mode);
            ears.heard(at(2250), &text("Well", opinion));
            assert_eq!(ears.verdict(at(2250)), due, "{mode:?} {opinion:?}");
        }
    }

    #[test]
    fn a_second_yes_is_news_though_the_first_never_became_final() {
        let mut ears = spoken_to(TurnMode::Silence);
        let yes = AsrEvent::Partial { text: "yes".into() };
        assert_eq!(ears.heard(at(2100), &yes), News::Words);
        ears.take(at(3000));
        assert_eq!(ears.heard(at(3100), &yes), News::Nothing);
        assert_eq!(ears.heard(at(7000), &yes), News::Words);
    }

    #[test]
    fn a_late_final_is_no_second_utterance() {
        for (last, left) in [
            ("I'd like to book a table.", ""),
            ("I would like to book a cable.", ""),
            ("I'd like to book a table for two.", "for two."),
            ("book a table", ""),
        ] {
            let mut ears = spoken_to(TurnMode::Silence);
            ears.heard(at(2100), &AsrEvent::Partial { text: "I would like to book a table".into() });
            assert_eq!(ears.verdict(at(2999)), Verdict::Wait(at(3000)));
            assert_eq!(ears.verdict(at(3000)), Verdict::Over);
            ears.take(at(3000));
            let news = ears.heard(at(4200), &text(last, EndOfTurn::Yes));
            assert_eq!(news, if left.is_empty() { News::Nothing } else { News::Words }, "{last}");
            assert_eq!(ears.text(), left, "{last}");
            // Somebody who speaks again is heard whole.
            let mut ears = spoken_to(TurnMode::Silence);
            ears.heard(at(2100), &AsrEvent::Partial { text: "Hello there my friend".into() });
            ears.take(at(3000));
            ears.speech_started(at(4000));
            ears.heard(at(4200), &text(last, EndOfTurn::Yes));
            assert_eq!(ears.text(), last);
        }
    }

    #[test]
    fn an_utterance_begins_with_its_first_sound() {
        let mut ears = spoken_to(TurnMode::Silence);
        // A cough, long before; then words with a pause in their middle.
        ears.speech_started(at(5000));
        ears.speech_stopped(at(5600));
        ears.heard(at(5900), &text("I would", EndOfTurn::Unknown));
        ears.speech_started(at(7000));
        ears.speech_stopped(at(7500));
        ears.heard(at(7800), &text("like two.", EndOfTurn::Unknown));
        assert_eq!(ears.take(at(7900)).began, Some(at(5000)));
        // What is typed has no sound; a voice that goes on begins anew.
        ears.heard(at(9000), &text("Typed.", EndOfTurn::Yes));
        assert_eq!(ears.take(at(9000)).began, None);
        ears.speech_started(at(9500));
        ears.heard(at(9900), &text("One.", EndOfTurn::Yes));
        assert_eq!(ears.take(at(9900)).began, Some(at(9500)));
        ears.heard(at(10_500), &text("Two.", EndOfTurn::Yes));
        assert_eq!(ears.take(at(10_500)).began, Some(at(9900)));
    }

    #[test]
    fn an_utterance_is_bounded() {
        let mut ears = spoken_to(TurnMode::Silence);
        for n in 0..100 {
            ears.heard(at(2000 + n), &text(&"väter ".repeat(100), EndOfTurn::Unknown));
        }
        assert_eq!(ears.verdict(at(2100)), Verdict::Over);
        assert!(ears.take(at(2100)).text.len() <= UTTERANCE_CAP);
    }
}
