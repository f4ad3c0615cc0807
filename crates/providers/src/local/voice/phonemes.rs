//! From words to hibari's phoneme numbers: the dictionary and tagger of `misaki-rs`, and hibari's own small network for
//! words that no dictionary has. Shared by all workers: its dictionaries are the largest thing in memory.

use super::super::onnx::{Network, tensor};
use super::super::{Home, VENDOR, failure, models};
use crate::{ErrorKind, ProviderError};
use misaki_rs::fallback::FallbackError;
use misaki_rs::{Fallback, G2P, Language};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Most phonemes the voice is given at once.
pub(crate) const MOST: usize = 400;

/// Dictionaries and the voice's alphabet.
pub(crate) struct Phonemes {
    g2p: G2P,
    alphabet: HashMap<char, i64>,
}

impl std::fmt::Debug for Phonemes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Phonemes").field("alphabet", &self.alphabet.len()).finish_non_exhaustive()
    }
}

impl Phonemes {
    pub(crate) fn load(home: &Home) -> Result<Self, ProviderError> {
        let alphabet = serde_json::from_slice(&home.read(models::VOICE_ALPHABET)?)
            .map_err(|error| failure(format!("the voice's alphabet is damaged: {error}")))?;
        let mut g2p = G2P::with_fallback(Language::EnglishUS, Some(Box::new(Speller::load(home)?)));
        g2p.unk = String::new();
        Ok(Self { g2p, alphabet })
    }

    /// The numbers of `text`'s phonemes, a pause before and after; empty when nothing of it can be said.
    pub(crate) fn numbers(&self, text: &str) -> Result<Vec<i64>, ProviderError> {
        // The library's error quotes the text, which is somebody's conversation.
        let unreadable = |_| {
            let detail = "the local voice cannot read a text: it speaks English only";
            ProviderError::new(VENDOR, ErrorKind::Rejected, detail)
        };
        let (phonemes, _) = self.g2p.g2p(text).map_err(unreadable)?;
        let known = phonemes.chars().filter_map(|phoneme| self.alphabet.get(&phoneme).copied());
        let mut numbers = vec![0];
        numbers.extend(known.take(MOST));
        if numbers.len() == 1 {
            return Ok(Vec::new());
        }
        numbers.push(0);
        Ok(numbers)
    }
}

/// Guesses how an unknown word is spoken, letter by letter in, phoneme by phoneme out.
struct Speller {
    letters: HashMap<char, i64>,
    phonemes: Vec<String>,
    longest: usize,
    network: Mutex<Network>,
}

#[derive(Deserialize)]
struct SpellerTable {
    #[serde(rename = "in")]
    letters: Vec<char>,
    #[serde(rename = "out")]
    phonemes: Vec<String>,
    maxlen: usize,
}

impl Speller {
    fn load(home: &Home) -> Result<Self, ProviderError> {
        let table: SpellerTable = serde_json::from_slice(&home.read(models::VOICE_SPELLER_TABLE)?)
            .map_err(|error| failure(format!("the voice's table of letters is damaged: {error}")))?;
        let letters = table.letters.into_iter().zip(1..).collect();
        let network = Mutex::new(Network::load(home, models::VOICE_SPELLER)?);
        Ok(Self { letters, phonemes: table.phonemes, longest: table.maxlen, network })
    }

    fn spell(&self, word: &str) -> Result<String, ProviderError> {
        let letters: Vec<i64> =
            word.chars().filter_map(|letter| self.letters.get(&letter).copied()).take(self.longest).collect();
        if letters.is_empty() {
            return Ok(String::new());
        }
        let mut network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = network.run(vec![("chars".into(), tensor(vec![1, letters.len()], letters)?.into())])?;
        let (_, steps) = outputs.numbers::<i64>("ids")?;
        Ok(collapse(steps, &self.phonemes))
    }
}

/// One phoneme for each run of equal steps; 0 is a gap.
fn collapse(steps: &[i64], phonemes: &[String]) -> String {
    let mut text = String::new();
    let mut previous = 0;
    for step in steps {
        if *step != previous && *step > 0 {
            let phoneme = usize::try_from(*step - 1).ok().and_then(|index| phonemes.get(index));
            text.push_str(phoneme.map_or("", String::as_str));
        }
        previous = *step;
    }
    text
}

impl Fallback for Speller {
    fn phonemize(&self, word: &str) -> Result<String, FallbackError> {
        match self.spell(word) {
            Ok(phonemes) if !phonemes.is_empty() => Ok(phonemes),
            Ok(_) | Err(_) => Err(FallbackError::NoPhonemes { word: word.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_collapse() {
        let phonemes = ["a", "b"].map(str::to_owned);
        assert_eq!(collapse(&[0, 1, 1, 0, 1, 2, 2, 0], &phonemes), "aab");
        assert_eq!(collapse(&[-5, 99, 3], &phonemes), "");
    }
}
