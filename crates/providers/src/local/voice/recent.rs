//! Phrases spoken lately, so that greetings, reminders and confirmations cost nothing the second time. Bounded by
//! number and by size; the one that was longest unused goes first. Never written to disk.

use std::collections::HashMap;
use std::sync::Arc;

/// Most phrases kept.
const ENTRIES: usize = 64;
/// Most samples kept: 8 MiB of sound.
const SAMPLES: usize = 4 << 20;

/// What was said and how.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Phrase {
    pub text: String,
    pub voice: String,
    pub rate: u32,
    pub speed_percent: u16,
}

/// The phrases.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    phrases: HashMap<Phrase, Kept>,
    samples: usize,
    clock: u64,
}

#[derive(Debug)]
struct Kept {
    sound: Arc<[i16]>,
    used: u64,
}

impl Recent {
    /// The sound of `phrase`, if it was spoken lately.
    pub(crate) fn find(&mut self, phrase: &Phrase) -> Option<Arc<[i16]>> {
        self.clock += 1;
        let kept = self.phrases.get_mut(phrase)?;
        kept.used = self.clock;
        Some(Arc::clone(&kept.sound))
    }

    /// Keeps the sound of `phrase`; one that would fill a quarter of the store alone is not kept.
    pub(crate) fn keep(&mut self, phrase: Phrase, sound: Arc<[i16]>) {
        if sound.len() > SAMPLES / 4 {
            return;
        }
        self.clock += 1;
        self.samples += sound.len();
        if let Some(old) = self.phrases.insert(phrase, Kept { sound, used: self.clock }) {
            self.samples -= old.sound.len();
        }
        while self.phrases.len() > ENTRIES || self.samples > SAMPLES {
            let oldest = self.phrases.iter().min_by_key(|(_, kept)| kept.used).map(|(phrase, _)| phrase.clone());
            let Some(gone) = oldest.and_then(|phrase| self.phrases.remove(&phrase)) else { return };
            self.samples -= gone.sound.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phrase(text: &str) -> Phrase {
        Phrase { text: text.into(), voice: "v".into(), rate: 8000, speed_percent: 100 }
    }

    #[test]
    fn the_longest_unused_goes_first() {
        let mut recent = Recent::default();
        for n in 0..ENTRIES {
            recent.keep(phrase(&n.to_string()), Arc::from([0i16; 10]));
        }
        assert!(recent.find(&phrase("0")).is_some());
        recent.keep(phrase("new"), Arc::from([1i16; 10]));
        assert!(recent.find(&phrase("0")).is_some());
        assert!(recent.find(&phrase("1")).is_none());
        assert_eq!(recent.samples, ENTRIES * 10);
        recent.keep(phrase("new"), Arc::from([1i16; 4]));
        assert_eq!(recent.samples, ENTRIES * 10 - 6);
    }

    #[test]
    fn it_stays_below_its_size() {
        let mut recent = Recent::default();
        for n in 0..10 {
            recent.keep(phrase(&n.to_string()), vec![0i16; SAMPLES / 5].into());
        }
        assert!(recent.samples <= SAMPLES);
        recent.keep(phrase("huge"), vec![0i16; SAMPLES].into());
        assert!(recent.find(&phrase("huge")).is_none());
    }
}
