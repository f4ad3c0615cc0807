//! Tags and branches that nobody outside can guess, from one seed.
//!
//! Hides the arithmetic. Never asks the system for randomness: the seed is the application's.

use sha2::{Digest, Sha256};

/// A stream of unguessable words; the same seed gives the same stream.
#[derive(Debug)]
pub(crate) struct Entropy {
    seed: u64,
    drawn: u64,
}

impl Entropy {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    /// Sixteen hexadecimal digits.
    pub(crate) fn word(&mut self) -> String {
        format!("{:016x}", self.number())
    }

    /// A Via branch.
    pub(crate) fn branch(&mut self) -> String {
        format!("{}{}", crate::message::BRANCH_COOKIE, self.word())
    }

    /// 64 bits.
    pub(crate) fn number(&mut self) -> u64 {
        self.drawn += 1;
        // A digest and not a plain generator: tags are shown to peers, who must not be able to compute the next ones.
        self.digest(&[b"draw", &self.drawn.to_be_bytes()])
    }

    /// A tag that is the same for the same texts: for answers that leave no state behind.
    pub(crate) fn fixed_word(&self, texts: &[&str]) -> String {
        let parts: Vec<&[u8]> =
            std::iter::once(&b"fixed"[..]).chain(texts.iter().map(|text| text.as_bytes())).collect();
        format!("{:016x}", self.digest(&parts))
    }

    fn digest(&self, parts: &[&[u8]]) -> u64 {
        let mut hasher = Sha256::new();
        hasher.update(self.seed.to_be_bytes());
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        let digest = hasher.finalize();
        digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_words_and_no_word_twice() {
        let draw = |seed| {
            let mut entropy = Entropy::new(seed);
            (0..100).map(|_| entropy.word()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        let mut both = [draw(1), draw(2)].concat();
        both.sort();
        both.dedup();
        assert_eq!(both.len(), 200);
    }
}
