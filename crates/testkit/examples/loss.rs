//! What packet loss costs the local recogniser (BARS R40): telephone sentences of the local voice, sent as RTP in packets
//! of 20 ms through a leg on a virtual clock, once whole and once with every packet lost by chance, and read back from
//! what the leg gives the ears.
//!
//!     cargo run -p callwright-testkit --example loss -- MODELS_FOLDER [LOSS_PERCENT]

#![allow(clippy::print_stdout, reason = "it says on the console what it finds")]

use callwright_media::leg::{LegEvent, RtpStart};
use callwright_media::sdp::{Direction, RtcpPath};
use callwright_media::{FRAME, Leg, LegSettings, RemoteMedia, codec};
use callwright_providers::local::{LocalModels, spoken_form};
use callwright_providers::tts::TtsRequest;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const RATE: u32 = 8000;
/// Samples of a packet.
const PACKET: usize = 160;
const SENTENCES: [&str; 16] = [
    "I would like to book a table for two people, please.",
    "On Thursday at half past seven in the evening, if that is possible.",
    "No, that does not suit me, could we move it to Friday afternoon?",
    "My name is Catherine Miller and I live in Oxford Street.",
    "Could you repeat the address, I did not understand it.",
    "I have already spoken to your colleague about the invoice.",
    "The parcel was supposed to arrive yesterday but nobody came.",
    "Please send me a confirmation by email.",
    "How much does the cleaning cost, and how long does it take?",
    "I am not interested, thank you, please take me off your list.",
    "Yes, that is right, the second floor on the left hand side.",
    "Can I speak to a real person instead of a machine?",
    "We need the delivery before the end of the month.",
    "There are four of us, two adults and two children.",
    "My appointment is with Doctor Wilson on Monday morning.",
    "Thank you very much for your help, have a nice day.",
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("usage: loss MODELS_FOLDER [LOSS_PERCENT]")?);
    let percent: f64 = arguments.next().map_or(Ok(5.0), |percent| percent.parse())?;
    let models = LocalModels::new(folder);
    let (mut clean, mut lossy) = (Score::default(), Score::default());
    for (number, sentence) in SENTENCES.into_iter().enumerate() {
        let sound = speak(&models, sentence).await?;
        for (score, loss) in [(&mut clean, 0.0), (&mut lossy, percent / 100.0)] {
            // Each sentence meets five weathers.
            for seed in 0..if loss > 0.0 { 5 } else { 1 } {
                let dice = Dice::new(1 + number as u64 * 100 + seed);
                let (heard, lost) = across(&sound, loss, dice);
                score.lost += lost;
                let (models, heard) = (models.clone(), heard);
                let text = tokio::task::spawn_blocking(move || models.transcribe(&heard, RATE)).await??;
                score.add(sentence, &text);
            }
        }
    }
    println!("whole:              word error rate {:.2} % of {} words", clean.rate(), clean.words);
    println!(
        "{percent} % of packets lost: word error rate {:.2} % of {} words, {} packets lost",
        lossy.rate(),
        lossy.words,
        lossy.lost
    );
    Ok(())
}

async fn speak(models: &LocalModels, text: &str) -> Result<Vec<i16>, Box<dyn Error>> {
    let request = TtsRequest { language: "en".into(), ..TtsRequest::new(text, RATE) };
    let around = vec![0; RATE as usize / 2];
    Ok([&around[..], &models.voice("local").speak(request).whole().await?, &around].concat())
}

/// Sends a sound through a leg; what its ears are given, and how many packets were lost.
#[allow(clippy::disallowed_methods, reason = "a moment to count from; the clock is virtual")]
fn across(sound: &[i16], loss: f64, mut dice: Dice) -> (Vec<i16>, u32) {
    let peer = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 4000));
    let start = Instant::now();
    let mut leg = Leg::rtp(LegSettings::telephone(RtpStart { ssrc: 1, sequence: 1, timestamp: 1, seed: 1 }));
    leg.remote(
        start,
        RemoteMedia {
            address: peer,
            rtcp: RtcpPath::Muxed,
            codec: codec::PCMU,
            payload_type: 0,
            events: None,
            direction: Direction::SendRecv,
        },
    );
    let (mut heard, mut lost) = (Vec::new(), 0);
    let mut until = |leg: &mut Leg, moment: Instant| {
        while let Some(due) = leg.next_due().filter(|due| *due < moment) {
            leg.tick(due);
            while leg.poll_transmit().is_some() {}
            while let Some(event) = leg.poll_event() {
                if let LegEvent::Heard(frame) = event {
                    heard.extend(frame.samples());
                }
            }
        }
    };
    for (number, samples) in (0_u16..).zip(sound.chunks(PACKET)) {
        let at = start + FRAME * (u32::from(number) + 1) + Duration::from_millis(30);
        until(&mut leg, at);
        if dice.roll() < loss {
            lost += 1;
        } else {
            leg.handle_rtp(at, peer, &packet(number, samples));
        }
    }
    until(&mut leg, start + FRAME * (sound.len() / PACKET + 20) as u32);
    (heard, lost)
}

fn packet(number: u16, samples: &[i16]) -> Vec<u8> {
    let mut payload = vec![0; samples.len()];
    (codec::PCMU.encode)(samples, &mut payload);
    let mut bytes = vec![0x80, 0];
    bytes.extend(number.to_be_bytes());
    bytes.extend((u32::from(number) * PACKET as u32).to_be_bytes());
    bytes.extend(7_u32.to_be_bytes());
    bytes.extend(payload);
    bytes
}

#[derive(Default)]
struct Score {
    errors: usize,
    words: usize,
    lost: u32,
}

impl Score {
    fn add(&mut self, said: &str, heard: &str) {
        let (said, heard) = (words(said), words(heard));
        self.errors += distance(&said, &heard);
        self.words += said.len();
    }

    fn rate(&self) -> f64 {
        100.0 * self.errors as f64 / self.words.max(1) as f64
    }
}

/// Comparable words: written out, lower case, without punctuation.
fn words(text: &str) -> Vec<String> {
    let letter = |c: char| if c.is_alphanumeric() { c } else { ' ' };
    let text: String = spoken_form(text).to_lowercase().chars().filter(|c| *c != '\'').map(letter).collect();
    text.split_whitespace().map(str::to_owned).collect()
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

/// xorshift64*: the same weather on every run.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn roll(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
