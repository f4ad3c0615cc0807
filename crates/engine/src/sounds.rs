//! Sounds that a call plays beside the agent's voice: the places that an agent may seem to sit in, and the apology for
//! when no voice works any more. Made or read once, before a call needs them; a call shares them. And sounds that somebody
//! sends to be played. Never opens a file.

use crate::limits;
use callwright_conversation::Sound;
use callwright_media::Rate;
use callwright_media::pcm::{Mp3, Mp3Error, Place, Wav, WavError, ambience, information_tone, read_wav};
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

/// Why a file is not played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SoundFlaw {
    /// It is neither kind of file.
    #[error("it is neither a WAV nor an MP3 file")]
    Unknown,
    /// It is no WAV file that can be read.
    #[error("{0}")]
    Wav(WavError),
    /// It begins like an MP3 file and is none.
    #[error("it is not an MP3 file that can be read")]
    Mp3,
    /// It is too long.
    #[error("it is longer than {} seconds", limits::ORDERED_SOUND.as_secs())]
    Long,
}

/// The sound of a WAV or MP3 file that somebody sends to be played.
///
/// # Errors
/// [`SoundFlaw`].
pub fn read_sound(file: &[u8]) -> Result<Sound, SoundFlaw> {
    // What a telephone carries stays what it is; browsers hear more.
    let kept = |hertz: u32| if hertz <= RATE.hertz() { RATE } else { Rate::Wide };
    let sound = |rate: Rate, samples: Vec<i16>| Sound::new(samples, rate.hertz());
    if Mp3::is_begun_by(file) {
        let mp3 = Mp3::decode(file, limits::ORDERED_SOUND)?;
        let rate = kept(mp3.rate());
        return Ok(sound(rate, mp3.at(rate).map_err(|_| SoundFlaw::Mp3)?));
    }
    let wav = Wav::open(file)?;
    if wav.length() > limits::ORDERED_SOUND {
        return Err(SoundFlaw::Long);
    }
    let rate = kept(wav.rate());
    Ok(sound(rate, wav.at(rate)?))
}

impl From<WavError> for SoundFlaw {
    fn from(error: WavError) -> Self {
        if error == WavError::NotWav { Self::Unknown } else { Self::Wav(error) }
    }
}

impl From<Mp3Error> for SoundFlaw {
    fn from(error: Mp3Error) -> Self {
        match error {
            Mp3Error::NotMp3 => Self::Mp3,
            Mp3Error::Long => Self::Long,
        }
    }
}

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
    fn what_is_sent_is_a_sound_or_it_is_said_why_not() {
        let sound = read_sound(&wav(7)).expect("a file");
        assert_eq!((sound.samples(), sound.hertz()), (&[7, 7][..], 8000));
        let at = |rate: u32, samples: usize| {
            let mut file = wav(7);
            file[24..28].copy_from_slice(&rate.to_le_bytes());
            file[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
            file.resize(44 + 2 * samples, 0);
            read_sound(&file)
        };
        let wide = at(44_100, 44_100).expect("converted");
        assert_eq!((wide.hertz(), wide.length().as_millis().abs_diff(1000) < 10), (16_000, true));
        assert_eq!(at(8000, 60 * 8000).map(|sound| sound.length()), Ok(limits::ORDERED_SOUND));
        assert_eq!(at(8000, 60 * 8000 + 8), Err(SoundFlaw::Long));
        for (file, flaw) in [
            (&b"ID3\x04 and so on"[..], SoundFlaw::Mp3),
            (b"\xff\xfb\x90\x44", SoundFlaw::Mp3),
            (b"<html>", SoundFlaw::Unknown),
            (b"", SoundFlaw::Unknown),
        ] {
            assert_eq!(read_sound(file), Err(flaw));
        }
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
