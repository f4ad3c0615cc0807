//! Moonshine tiny (English): a stretch of sound in, its words out. Greedy; it never keeps anything between two
//! stretches, and never invents more words than the time allows.

use super::super::onnx::{Inputs, Network, Outputs, tensor};
use super::super::{Home, failure, models};
use super::tokens::Tokens;
use crate::ProviderError;
use ort::value::DynValue;

/// Samples a second it hears.
pub(crate) const RATE: usize = 16_000;
/// Most pieces a second of speech; more is a loop.
const TOKENS_A_SECOND: f32 = 6.5;
/// Shortest sound the encoder accepts with some room, in samples.
const SHORTEST: usize = RATE / 10;
const START: i64 = 1;
const END: i64 = 2;
const LAYERS: usize = 6;
const HEADS: usize = 8;
const HEAD_WIDTH: usize = 36;
/// A run of words that comes this often in a row is the network going in circles.
const LOOP_REPEATS: usize = 3;

/// The loaded network.
#[derive(Debug)]
pub(crate) struct Moonshine {
    encoder: Network,
    decoder: Network,
    tokens: Tokens,
}

/// One layer's memory of one side: name of the input, and its value.
type Memory = Vec<(String, DynValue)>;

impl Moonshine {
    pub(crate) fn load(home: &Home) -> Result<Self, ProviderError> {
        let table = home.read(models::EARS_TOKENS)?;
        Ok(Self {
            encoder: Network::load(home, models::EARS_ENCODER)?,
            decoder: Network::load(home, models::EARS_DECODER)?,
            tokens: Tokens::parse(&table).ok_or_else(|| failure("the recogniser's table of word pieces is damaged"))?,
        })
    }

    /// The words in `audio` (16 kHz, -1..1, at most some 20 s: beyond it the network loses its way).
    pub(crate) fn words(&mut self, audio: &[f32]) -> Result<String, ProviderError> {
        if audio.len() < SHORTEST {
            return Ok(String::new());
        }
        let most = (audio.len() as f32 / RATE as f32 * TOKENS_A_SECOND).ceil() as usize;
        let (shape, samples) = (vec![1, audio.len()], audio.to_vec());
        let mut outputs = self.encoder.run(vec![
            ("input_values".into(), tensor(shape.clone(), samples)?.into()),
            ("attention_mask".into(), tensor(shape.clone(), vec![1i64; audio.len()])?.into()),
        ])?;
        let hidden = outputs.take("last_hidden_state")?;
        drop(outputs);
        // The decoder wants the mask in samples of sound, not in the encoder's frames.
        let mask = tensor(shape, vec![1i64; audio.len()])?;
        let numbers = Self::decode(&mut self.decoder, &hidden, &mask, most)?;
        Ok(without_loops(&self.tokens.text(&numbers)))
    }

    fn decode(
        network: &mut Network,
        hidden: &DynValue,
        mask: &DynValue,
        most: usize,
    ) -> Result<Vec<u32>, ProviderError> {
        let mut memory = empty_memory()?;
        let mut numbers = Vec::new();
        let mut last = START;
        while numbers.len() < most {
            let follows = last != START;
            let mut inputs: Inputs<'_> = vec![
                ("input_ids".into(), tensor(vec![1, 1], vec![last])?.into()),
                ("encoder_hidden_states".into(), hidden.into()),
                ("encoder_attention_mask".into(), mask.into()),
                ("use_cache_branch".into(), tensor(vec![1], vec![follows])?.into()),
            ];
            inputs.extend(memory.iter().map(|(name, value)| (format!("past_key_values.{name}").into(), value.into())));
            let mut outputs = network.run(inputs)?;
            let next = likeliest(&outputs)?;
            if next == END {
                break;
            }
            let kept = remember(&mut outputs, follows)?;
            drop(outputs);
            replace(&mut memory, kept);
            numbers.push(u32::try_from(next).unwrap_or(0));
            last = next;
        }
        Ok(numbers)
    }
}

fn empty_memory() -> Result<Memory, ProviderError> {
    let mut memory = Vec::with_capacity(LAYERS * 4);
    for layer in 0..LAYERS {
        for part in ["decoder.key", "decoder.value", "encoder.key", "encoder.value"] {
            let nothing = tensor(vec![1, HEADS, 0, HEAD_WIDTH], Vec::<f32>::new())?;
            memory.push((format!("{layer}.{part}"), nothing));
        }
    }
    Ok(memory)
}

/// Takes the new memory out of `outputs`. The encoder's side is computed in the first step alone and then kept.
fn remember(outputs: &mut Outputs<'_>, follows: bool) -> Result<Memory, ProviderError> {
    let sides: &[&str] = if follows { &["decoder"] } else { &["decoder", "encoder"] };
    let mut kept = Vec::with_capacity(LAYERS * 4);
    for layer in 0..LAYERS {
        for side in sides {
            for part in ["key", "value"] {
                let name = format!("{layer}.{side}.{part}");
                let value = outputs.take(&format!("present.{name}"))?;
                kept.push((name, value));
            }
        }
    }
    Ok(kept)
}

fn replace(memory: &mut Memory, kept: Memory) {
    for (name, value) in kept {
        if let Some(slot) = memory.iter_mut().find(|(known, _)| *known == name) {
            slot.1 = value;
        }
    }
}

fn likeliest(outputs: &Outputs<'_>) -> Result<i64, ProviderError> {
    let (_, numbers) = outputs.numbers::<f32>("logits")?;
    let best = numbers.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
    Ok(best.map_or(END, |(index, _)| i64::try_from(index).unwrap_or(END)))
}

/// Cuts a text where one to eight words begin to repeat themselves.
fn without_loops(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    for start in 0..words.len() {
        // "no no no" and "bye bye bye" are speech; single words may come a little oftener.
        for length in 1..=8 {
            let repeats = LOOP_REPEATS + usize::from(length == 1) * 2;
            let Some(stretch) = words.get(start..start + length * repeats) else { break };
            let (first, rest) = stretch.split_at(length);
            if rest.chunks(length).all(|chunk| chunk == first) {
                return words[..start + length].join(" ");
            }
        }
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_cut() {
        let cases = [
            ("", ""),
            ("no no no I said no", "no no no I said no"),
            ("so so so so so so so", "so"),
            ("I am here and the dog and the dog and the dog and the dog", "I am here and the dog"),
            ("one two three one two three", "one two three one two three"),
        ];
        for (text, wanted) in cases {
            assert_eq!(without_loops(text), wanted, "{text}");
        }
    }
}
