//! What is left to chance: which filler, which reminder, whether to murmur. Seeded, so that a call can be replayed.
//! Never used for anything secret.

use callwright_domain::agent::{Choice, WeightedText};

/// A small seeded generator (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to, not including, 1.
    fn fraction(&mut self) -> f64 {
        // 53 bits are what a double holds exactly.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with this probability.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.fraction() < probability
    }

    /// One of the texts by weight. Weights need not sum to 1; with none positive, all are alike.
    fn weighted<'a>(&mut self, texts: &'a [WeightedText]) -> Option<&'a str> {
        let weight = |text: &WeightedText| if text.weight.is_finite() { text.weight.max(0.0) } else { 0.0 };
        let sum: f64 = texts.iter().map(weight).sum();
        let mut point = self.fraction() * if sum > 0.0 { sum } else { texts.len() as f64 };
        for text in texts {
            point -= if sum > 0.0 { weight(text) } else { 1.0 };
            if point < 0.0 {
                return Some(&text.text);
            }
        }
        texts.last().map(|text| text.text.as_str())
    }
}

/// Texts of which one is taken at a time.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    texts: Vec<WeightedText>,
    choice: Choice,
    taken: usize,
}

impl Selection {
    pub(crate) fn new(texts: &[WeightedText], choice: Choice) -> Self {
        let texts = texts.iter().filter(|text| !text.text.trim().is_empty()).cloned().collect();
        Self { texts, choice, taken: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The next one; `None` when there are none.
    pub(crate) fn take(&mut self, chance: &mut Chance) -> Option<String> {
        match self.choice {
            Choice::Random => chance.weighted(&self.texts).map(str::to_owned),
            Choice::Sequence => {
                let text = self.texts.get(self.taken % self.texts.len().max(1))?;
                self.taken = self.taken.wrapping_add(1);
                Some(text.text.clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(weights: &[f64]) -> Vec<WeightedText> {
        weights.iter().enumerate().map(|(n, weight)| WeightedText { text: n.to_string(), weight: *weight }).collect()
    }

    #[test]
    fn weights_are_kept() {
        let (mut chance, mut random) = (Chance::new(1), Selection::new(&texts(&[0.7, 0.0, 0.3]), Choice::Random));
        let mut seen = [0; 3];
        for _ in 0..10_000 {
            seen[random.take(&mut chance).unwrap().parse::<usize>().unwrap()] += 1;
        }
        assert!((6_800..7_200).contains(&seen[0]) && seen[1] == 0, "{seen:?}");
    }

    #[test]
    fn a_sequence_goes_round() {
        let (mut chance, mut sequence) = (Chance::new(1), Selection::new(&texts(&[0.1, 0.9]), Choice::Sequence));
        let taken: Vec<_> = (0..5).filter_map(|_| sequence.take(&mut chance)).collect();
        assert_eq!(taken, ["0", "1", "0", "1", "0"]);
        assert_eq!(Selection::new(&[], Choice::Sequence).take(&mut chance), None);
    }

    #[test]
    fn odd_weights_do_no_harm() {
        let mut chance = Chance::new(3);
        for weights in [&[f64::NAN, -1.0][..], &[0.0, 0.0], &[f64::INFINITY]] {
            assert!(Selection::new(&texts(weights), Choice::Random).take(&mut chance).is_some());
        }
        assert!(!chance.happens(0.0) && !chance.happens(f64::NAN) && chance.happens(1.0));
    }
}
