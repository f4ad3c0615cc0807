//! What the demo's call came to: latency, and whether the recording can be understood. The recogniser reads the agent's
//! channel back and is compared with what the agent said.

use crate::view::Summary;
use anyhow::{Context, Result};
use callwright_domain::call::TurnLatency;
use callwright_providers::local::LocalModels;
use std::path::Path;
use std::process::ExitCode;

/// The demo has failed when the recogniser misses more words than this.
const WORD_ERRORS_ALLOWED: f64 = 0.15;
/// Bytes before the first sample of our recordings.
const WAV_HEADER: usize = 44;

/// Prints the report; the exit code says whether the call was what a demo should be.
pub(super) async fn print(
    models: &LocalModels,
    recording: &Path,
    summary: &Summary,
    understood: &[String],
) -> Result<ExitCode> {
    println!("\nTurns: {}, interruptions: {}", summary.turns.len(), summary.interruptions);
    println!("The server's recogniser heard {} utterances of the callee.", summary.heard.len());
    println!("\nThe callee's recogniser understood of the agent:");
    understood.iter().for_each(|line| println!("  {line}"));
    latency(&summary.turns);
    let wav = std::fs::read(recording).with_context(|| format!("the recording {}", recording.display()))?;
    let agent = channel(wav.get(WAV_HEADER..).unwrap_or_default(), 1);
    let read_back = read(models.clone(), agent).await?;
    let errors = word_error_rate(&summary.said.join(" "), &read_back);
    println!(
        "\nThe recogniser reads the agent's channel of the recording back with {:.1} % word errors.",
        errors * 100.0
    );
    let good = errors < WORD_ERRORS_ALLOWED && summary.turns.len() >= 5 && summary.interruptions > 0;
    if !good {
        println!(
            "That is not what a demo should be: five turns, an interruption, and word errors below 15 % were expected."
        );
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn read(models: LocalModels, pcm: Vec<i16>) -> Result<String> {
    let read = tokio::task::spawn_blocking(move || models.transcribe(&pcm, 8000)).await;
    read.context("reading the recording back")?.context("reading the recording back")
}

fn latency(turns: &[TurnLatency]) {
    println!("\nLatency, end of the callee's speech to the agent's first sound (median of {} turns):", turns.len());
    let median = |part: fn(&TurnLatency) -> u32| {
        let mut values: Vec<u32> = turns.iter().map(part).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or(0)
    };
    println!(
        "  total {} ms = endpoint {} + recogniser {} + model {} + voice {} + own share {}",
        median(|turn| turn.total_ms),
        median(|turn| turn.endpoint_ms),
        median(|turn| turn.ears_ms),
        median(|turn| turn.brain_ms),
        median(|turn| turn.voice_ms),
        median(|turn| turn.own_ms),
    );
}

/// One channel of interleaved 16-bit stereo.
fn channel(bytes: &[u8], index: usize) -> Vec<i16> {
    bytes.chunks_exact(4).map(|pair| i16::from_le_bytes([pair[2 * index], pair[2 * index + 1]])).collect()
}

/// Words substituted, left out and added, over the words of the reference.
fn word_error_rate(reference: &str, heard: &str) -> f64 {
    let (reference, heard) = (words(reference), words(heard));
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (at, wanted) in reference.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, got) in heard.iter().enumerate() {
            let substituted = diagonal + usize::from(wanted != got);
            diagonal = row[column + 1];
            row[column + 1] = substituted.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[heard.len()] as f64 / reference.len().max(1) as f64
}

/// Lower-case words; numbers that are commonly written as digits are written as words on both sides.
fn words(text: &str) -> Vec<String> {
    const DIGITS: [(&str, &str); 8] = [
        ("2", "two"),
        ("4", "four"),
        ("10", "ten"),
        ("12", "twelve"),
        ("60", "sixty"),
        ("80", "eighty"),
        ("200", "two hundred"),
        ("ai", "a i"),
    ];
    let cleaned: String = text
        .to_lowercase()
        .replace(['\'', '’'], "")
        .replace("$60", "60 dollars")
        .replace("$80", "80 dollars")
        .replace("$200", "200 dollars")
        .chars()
        .map(|c| if c.is_alphanumeric() { c } else { ' ' })
        .collect();
    let spelled = cleaned
        .split_whitespace()
        .map(|word| DIGITS.iter().find(|(digits, _)| *digits == word).map_or(word, |(_, spelled)| *spelled));
    spelled.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_word_errors() {
        for (reference, heard, errors) in [
            ("a b c d", "a b c d", 0.0),
            ("a b c d", "a x c d", 0.25),
            ("a b c d", "a c d", 0.25),
            ("a b c d", "a b b c d", 0.25),
            ("a b", "", 1.0),
            ("At four o'clock, for $80.", "at 4 oclock for eighty dollars", 0.0),
        ] {
            assert!((word_error_rate(reference, heard) - errors).abs() < 1e-9, "{reference} / {heard}");
        }
    }

    #[test]
    fn takes_one_channel() {
        assert_eq!(channel(&[1, 0, 2, 0, 3, 0, 4, 0, 9], 1), [2, 4]);
    }
}
