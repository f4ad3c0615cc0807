//! What one worker thread has loaded: its own networks, each when it is first needed. Never shared between threads, so
//! nothing here needs a lock.

use super::ears::moonshine::Moonshine;
use super::turn::TurnModel;
use super::voice::hibari::{CHARACTERS, Hibari};
use super::{Home, samples};
use crate::ProviderError;
use std::time::Instant;

/// Samples a second of the rehearsal.
const RATE: u32 = 16_000;

/// The networks of one worker thread.
#[derive(Debug)]
pub(crate) struct Bench {
    home: Home,
    ears: Option<Moonshine>,
    turn: Option<TurnModel>,
    voice: Option<Hibari>,
}

impl Bench {
    /// Nothing is loaded yet.
    pub(crate) const fn new(home: Home) -> Self {
        Self { home, ears: None, turn: None, voice: None }
    }

    /// The recogniser.
    pub(crate) fn ears(&mut self) -> Result<&mut Moonshine, ProviderError> {
        loaded(&self.home, &mut self.ears, "recogniser", Moonshine::load)
    }

    /// The turn-end model.
    pub(crate) fn turn(&mut self) -> Result<&mut TurnModel, ProviderError> {
        loaded(&self.home, &mut self.turn, "turn end", TurnModel::load)
    }

    /// The synthesiser.
    pub(crate) fn voice(&mut self) -> Result<&mut Hibari, ProviderError> {
        loaded(&self.home, &mut self.voice, "synthesiser", Hibari::load)
    }

    /// Loads everything and lets the voice speak to the ears once; tells how fast each is.
    pub(crate) fn rehearse(&mut self) -> Result<(), ProviderError> {
        let character = CHARACTERS[0];
        self.voice()?.say("One moment.", character, 1.0, RATE)?;
        let began = Instant::now();
        let sound =
            samples(&self.voice()?.say("Hello, this is a short rehearsal of the voice.", character, 1.0, RATE)?);
        let spoken = began.elapsed();
        self.ears()?.words(&sound)?;
        let began = Instant::now();
        self.ears()?.words(&sound)?;
        let heard = began.elapsed();
        if self.home.require(&[super::models::TURN]).is_ok() {
            self.turn()?.finished(&sound)?;
        }
        let seconds = sound.len() as f64 / f64::from(RATE);
        tracing::info!(
            voice_rtf = spoken.as_secs_f64() / seconds,
            ears_rtf = heard.as_secs_f64() / seconds,
            process_mb = resident_megabytes(),
            "local speech rehearsed"
        );
        Ok(())
    }
}

fn loaded<'a, T>(
    home: &Home,
    slot: &'a mut Option<T>,
    model: &str,
    load: impl FnOnce(&Home) -> Result<T, ProviderError>,
) -> Result<&'a mut T, ProviderError> {
    if slot.is_none() {
        let (began, before) = (Instant::now(), resident_megabytes());
        *slot = Some(load(home)?);
        tracing::info!(
            model,
            load_ms = began.elapsed().as_millis() as u64,
            memory_mb = resident_megabytes().saturating_sub(before),
            process_mb = resident_megabytes(),
            "local model loaded"
        );
    }
    Ok(slot.as_mut().expect("just filled"))
}

/// Resident memory of this process in megabytes; 0 where the system does not tell.
pub(crate) fn resident_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().map_or(0, |kilobytes| kilobytes / 1024)
}
