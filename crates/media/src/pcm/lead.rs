//! The silence that synthesisers put in front of what they say, for which a caller waits as for a slow agent. Holds it back
//! and gives only its end; gives all of it where so much of it comes that a pause is meant. Never touches speech.

use crate::Rate;
use std::time::Duration;

/// Samples up to this are silence: 48 dB below the loudest that there can be.
const QUIET: u16 = 128;
/// How much of the silence is kept: the weak begin of a word.
const KEPT: Duration = Duration::from_millis(30);
/// A silence longer than this is meant.
const MEANT: Duration = Duration::from_secs(1);

/// What stands before the speech of one phrase.
#[derive(Debug)]
pub struct Lead {
    rate: Rate,
    /// The silence so far; none: the speech has begun.
    held: Option<Vec<i16>>,
}

impl Lead {
    /// Before the first piece of a phrase at this rate.
    pub const fn new(rate: Rate) -> Self {
        Self { rate, held: Some(Vec::new()) }
    }

    /// The next piece without silence in front; empty while there is nothing else.
    pub fn cut(&mut self, piece: Vec<i16>) -> Vec<i16> {
        let Some(mut held) = self.held.take() else { return piece };
        let speech = piece.iter().position(|sample| sample.unsigned_abs() > QUIET).map(|at| held.len() + at);
        held.extend_from_slice(&piece);
        match speech {
            Some(speech) => {
                held.drain(..speech.saturating_sub(self.rate.samples_in(KEPT)));
                held
            }
            None if held.len() > self.rate.samples_in(MEANT) => held,
            None => {
                self.held = Some(held);
                Vec::new()
            }
        }
    }

    /// What is left when the phrase is over: all of it, when nobody has spoken.
    pub fn finish(self) -> Vec<i16> {
        self.held.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A phrase in pieces of 20 ms, through a fresh lead.
    fn through(samples: &[i16]) -> Vec<i16> {
        let mut lead = Lead::new(Rate::Narrow);
        let mut out: Vec<i16> = samples.chunks(160).flat_map(|piece| lead.cut(piece.to_vec())).collect();
        out.extend(lead.finish());
        out
    }

    #[test]
    fn the_silence_before_speech_is_cut_and_no_other() {
        let speech = [400, 0, 0, -500, 3];
        for silence in [0, 1, 100, 160, 240, 241, 2400, 8000] {
            let phrase = [vec![-90; silence], speech.to_vec(), vec![0; 4000], speech.to_vec()].concat();
            assert_eq!(through(&phrase), phrase[silence - silence.min(240)..], "{silence}");
        }
    }

    #[test]
    fn a_pause_that_is_meant_stays() {
        for length in [0, 3, 8000, 8161, 20_000] {
            assert_eq!(through(&vec![7; length]).len(), length);
        }
        let late = [vec![0; 8200], vec![900; 10]].concat();
        assert_eq!(through(&late), late);
    }
}
