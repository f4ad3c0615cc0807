//! The newest caller audio whose words are not final yet: what a recogniser must hear again when a connection or a
//! vendor is replaced. Bounded; the oldest goes first.

use std::collections::VecDeque;
use std::time::Duration;

/// Audio kept for a replacement.
#[derive(Debug)]
pub(crate) struct KeptAudio {
    rate: u32,
    samples: VecDeque<i16>,
}

impl KeptAudio {
    /// Nothing yet, at `rate` samples a second.
    pub(crate) const fn new(rate: u32) -> Self {
        Self { rate, samples: VecDeque::new() }
    }

    /// Adds what was heard.
    pub(crate) fn push(&mut self, pcm: &[i16]) {
        self.samples.extend(pcm);
        self.keep(LONGEST);
    }

    /// Words became final: of what led to them only the end is kept, because the vendor answers late and the next
    /// word may have begun.
    pub(crate) fn settle(&mut self) {
        self.keep(OVERLAP);
    }

    /// All of it.
    pub(crate) fn to_vec(&self) -> Vec<i16> {
        self.samples.iter().copied().collect()
    }

    fn keep(&mut self, newest: Duration) {
        let most = usize::try_from(u128::from(self.rate) * newest.as_millis() / 1000).unwrap_or(usize::MAX);
        let excess = self.samples.len().saturating_sub(most);
        self.samples.drain(..excess);
    }
}

/// Enough for a slow connection and its replacement; older words are lost rather than heard much too late.
const LONGEST: Duration = Duration::from_secs(5);
const OVERLAP: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest() {
        let mut kept = KeptAudio::new(1000);
        kept.push(&[1; 4000]);
        kept.push(&[2; 3000]);
        assert_eq!(kept.to_vec().len(), 5000);
        assert_eq!(kept.to_vec()[..2001], [[1; 2000].as_slice(), &[2]].concat());
        kept.settle();
        assert_eq!(kept.to_vec(), [2; 300]);
    }
}
