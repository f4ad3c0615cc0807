//! Playing a little faster or slower without a change of pitch: one pitch period is left out or repeated, with a
//! cross-fade. Also finds the period that concealment repeats. Never changes more than one period at a time.

use crate::Rate;
use crate::pcm::dot;

/// Pitch periods considered, in units of 1/8000 s: 200 Hz down to 66 Hz (higher voices fit several periods in).
const MIN_LAG: usize = 40;
/// See [`MIN_LAG`].
const MAX_LAG: usize = 120;
/// Length compared and cross-faded: 10 ms.
const OVERLAP: usize = 80;

/// A period and how well it fits (1 = perfectly periodic, 1 also for silence).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Period {
    pub(super) samples: usize,
    pub(super) fit: f32,
}

const fn factor(rate: Rate) -> usize {
    match rate {
        Rate::Narrow => 1,
        Rate::Wide => 2,
    }
}

/// Longest period in samples.
pub(super) const fn max_period(rate: Rate) -> usize {
    MAX_LAG * factor(rate)
}

/// Samples cross-faded.
pub(super) const fn overlap(rate: Rate) -> usize {
    OVERLAP * factor(rate)
}

/// The lag, up to `longest`, at which `other` looks most like `one`.
fn best<'a>(rate: Rate, one: &[i16], longest: usize, other: impl Fn(usize) -> Option<&'a [i16]>) -> Option<Period> {
    let mut found: Option<Period> = None;
    // An energy below about eight units a sample is silence, which fits any period.
    let silence = overlap(rate) as f32 * 64.0;
    let left = dot(one, one);
    for lag in MIN_LAG * factor(rate)..=longest.min(max_period(rate)) {
        let other = other(lag)?;
        let right = dot(other, other);
        let fit = if left + right < silence { 1.0 } else { dot(one, other) / (left * right).sqrt().max(1.0) };
        if found.is_none_or(|period| fit > period.fit) {
            found = Some(Period { samples: lag, fit });
        }
    }
    found
}

/// The period at the end of `past`.
pub(super) fn period_at_end(rate: Rate, past: &[i16]) -> Option<Period> {
    let window = overlap(rate);
    let tail = past.get(past.len().checked_sub(window)?..)?;
    let longest = past.len() - window;
    best(rate, tail, longest, |lag| {
        let end = past.len() - lag;
        past.get(end - window..end)
    })
}

/// The period at the beginning of `coming`.
pub(super) fn period_at_start(rate: Rate, coming: &[i16]) -> Option<Period> {
    let window = overlap(rate);
    let head = coming.get(..window)?;
    let longest = coming.len() - window;
    best(rate, head, longest, |lag| coming.get(lag..lag + window))
}

/// Leaves out `period` samples near the beginning of `coming`.
pub(super) fn shorten(rate: Rate, coming: &mut Vec<i16>, period: usize) {
    let fade = overlap(rate);
    if coming.len() < period + fade {
        return;
    }
    for i in 0..fade {
        coming[i] = mix(coming[i], coming[i + period], i, fade);
    }
    coming.drain(fade..fade + period);
}

/// Repeats `period` samples at the beginning of `coming`: the original goes on for one period, then fades into a
/// second playing of the beginning.
pub(super) fn lengthen(rate: Rate, coming: &mut Vec<i16>, period: usize) {
    let fade = overlap(rate);
    let old = coming.len();
    if old < period + fade {
        return;
    }
    coming.resize(old + period, 0);
    coming.copy_within(0..old, period);
    // The copy overwrote the original from `period` on; its samples stand `period` further now. Going upwards, the
    // one read at `i + 2 * period` was not yet changed.
    for i in 0..fade {
        let original = coming[i + 2 * period];
        coming[period + i] = mix(original, coming[period + i], i, fade);
    }
}

/// From `a` to `b` as `i` goes from 0 to `of`.
pub(super) fn mix(a: i16, b: i16, i: usize, of: usize) -> i16 {
    let (i, of) = (i as i32, of.max(1) as i32);
    ((i32::from(a) * (of - i) + i32::from(b) * i) / of) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(period: usize, len: usize) -> Vec<i16> {
        let step = std::f32::consts::TAU / period as f32;
        (0..len).map(|i| ((i as f32 * step).sin() * 8000.0) as i16).collect()
    }

    fn roughest(samples: &[i16]) -> i32 {
        samples.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max().unwrap_or(0)
    }

    #[test]
    fn a_period_more_or_less_leaves_a_smooth_wave() {
        let original = sine(64, 320);
        let limit = roughest(&original) + 40;
        let rate = Rate::Narrow;
        let period = period_at_start(rate, &original).expect("long enough");
        assert_eq!(period.samples % 64, 0);
        assert!(period.fit > 0.99);
        let mut shorter = original.clone();
        shorten(rate, &mut shorter, period.samples);
        assert_eq!(shorter.len(), original.len() - period.samples);
        assert!(roughest(&shorter) <= limit, "{}", roughest(&shorter));
        let mut longer = original.clone();
        lengthen(rate, &mut longer, period.samples);
        assert_eq!(longer.len(), original.len() + period.samples);
        assert!(roughest(&longer) <= limit, "{}", roughest(&longer));
        assert_eq!(period_at_end(Rate::Narrow, &original).map(|p| p.samples % 64), Some(0));
    }

    #[test]
    fn too_little_audio_is_left_alone() {
        let mut little = vec![1; 100];
        shorten(Rate::Narrow, &mut little, 40);
        lengthen(Rate::Narrow, &mut little, 40);
        assert_eq!(little, [1; 100]);
        assert_eq!(period_at_start(Rate::Narrow, &little[..79]), None);
        assert_eq!(period_at_end(Rate::Narrow, &little[..100]), None);
    }
}
