//! Sounds that a call plays beside the agent's voice: the places that an agent may seem to sit in, and the apology for
//! when no voice works any more. Made or read once, before a call needs them; a call shares them. Never opens a file.

use callwright_media::Rate;
use callwright_media::pcm::{Place, WavError, ambience, information_tone, read_wav};
use callwright_providers::ProviderError;
use callwright_providers::tts::{Tts, TtsRequest};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// Legs to telephones: the only rate there is by now.
const RATE: Rate = Rate::Narrow;
/// Name of the file with the apology; with a language behind it (`apology-de`) the one for that language.
const APOLOGY: &str = "apology";
/// Longest apology, in samples: what is left of the fifteen seconds in which a call ends when nothing works.
const LONGEST_APOLOGY: usize = 6 * 8000;

/// Sounds by name.
#[derive(Clone)]
pub struct Sounds {
    named: BTreeMap<String, Arc<[i16]>>,
    /// The apology in the words of a voice that needs no network, once it is made. In English.
    spoken: Arc<OnceLock<Arc<[i16]>>>,
    tone: Arc<[i16]>,
}

impl Default for Sounds {
    /// The places that are made by arithmetic: `office` and `cafe`.
    fn default() -> Self {
        let made = [("office", Place::Office), ("cafe", Place::Cafe)];
        let named = made.map(|(name, place)| (name.to_owned(), ambience(place, RATE).into()));
        Self { named: named.into(), spoken: Arc::default(), tone: information_tone(RATE).into() }
    }
}

impl std::fmt::Debug for Sounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sounds").field("names", &self.named.keys()).finish_non_exhaustive()
    }
}

impl Sounds {
    /// Adds the sound of a WAV file under its name without the ending, in place of one of the same name.
    ///
    /// # Errors
    /// [`WavError`] when the bytes are no such file.
    pub fn add(&mut self, name: &str, wav: &[u8]) -> Result<(), WavError> {
        self.named.insert(name.to_owned(), read_wav(wav, RATE)?.into());
        Ok(())
    }

    /// Has the apology spoken by a voice that works without a network, for calls in English.
    ///
    /// # Errors
    /// As the voice says; the tones stand in for it then.
    pub async fn speak_apology(&self, voice: Arc<dyn Tts>, text: &str) -> Result<(), ProviderError> {
        let request = TtsRequest { language: String::from("en"), ..TtsRequest::new(text, RATE.hertz()) };
        let sound = voice.speak(request).whole().await?;
        if !sound.is_empty() {
            self.spoken.get_or_init(|| sound.into());
        }
        Ok(())
    }

    /// The sound of a place.
    pub(crate) fn place(&self, name: &str) -> Option<Arc<[i16]>> {
        self.named.get(name).filter(|_| !is_apology(name)).cloned()
    }

    /// The names of all places.
    pub fn places(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(String::as_str).filter(|name| !is_apology(name))
    }

    /// What is played when no voice works: the file for the language, the file for all, the spoken one where it is
    /// understood, the tones that mean the same everywhere.
    pub(crate) fn apology(&self, language: &str) -> Arc<[i16]> {
        let primary = language.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        let file = self.named.get(&format!("{APOLOGY}-{primary}")).or_else(|| self.named.get(APOLOGY));
        let english = primary.is_empty() || primary == "en";
        let spoken = || self.spoken.get().filter(|_| english);
        let apology = file.or_else(spoken).unwrap_or(&self.tone);
        match apology.get(..LONGEST_APOLOGY) {
            Some(beginning) => beginning.into(),
            None => Arc::clone(apology),
        }
    }
}

fn is_apology(name: &str) -> bool {
    name == APOLOGY || name.strip_prefix(APOLOGY).is_some_and(|rest| rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(sample: i16) -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data".to_vec();
        bytes.extend(4_u32.to_le_bytes());
        bytes.extend([sample, sample].iter().flat_map(|sample| sample.to_le_bytes()));
        bytes
    }

    #[test]
    fn the_nearest_apology_is_played() {
        let mut sounds = Sounds::default();
        let tone = sounds.apology("de");
        assert!(tone.len() > 8000);
        sounds.spoken.get_or_init(|| vec![3].into());
        assert_eq!((sounds.apology("en-GB").to_vec(), sounds.apology("")), (vec![3], vec![3].into()));
        assert_eq!(sounds.apology("de"), tone);
        sounds.add("apology", &wav(5)).expect("a file");
        sounds.add("apology-de", &wav(7)).expect("a file");
        assert_eq!((sounds.apology("de-AT").to_vec(), sounds.apology("en").to_vec()), (vec![7; 2], vec![5; 2]));
    }

    #[test]
    fn places_have_names_and_apologies_are_none() {
        let mut sounds = Sounds::default();
        sounds.add("apology", &wav(5)).expect("a file");
        sounds.add("station", &wav(6)).expect("a file");
        assert_eq!(sounds.places().collect::<Vec<_>>(), ["cafe", "office", "station"]);
        assert!(sounds.place("apology").is_none() && sounds.place("moon").is_none());
        assert_eq!(sounds.place("station").map(|sound| sound.to_vec()), Some(vec![6; 2]));
        assert!(sounds.add("song", b"ID3").is_err());
    }
}
