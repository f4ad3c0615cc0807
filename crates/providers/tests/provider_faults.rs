//! The catalogue of provider faults: each has a place where it is shown, here in this crate or in the engine, which
//! alone knows what the caller has heard. The waits that the faults ask for are the defaults.

use callwright_providers::asr::deepgram::DeepgramConfig;
use callwright_providers::llm::openai::OpenAiLlmConfig;
use callwright_providers::tts::openai::OpenAiTtsConfig;
use std::collections::BTreeSet;

/// Faults whose whole answer is a typed failure, a retry or a replacement: shown by the tests of this crate's files.
const HERE: &[&str] = &[
    // asr::deepgram: `refusals_are_told_apart`, `a_port_where_nobody_listens_and_one_that_says_nothing`,
    // `audio_is_kept_while_connecting_and_over_a_break`, `empty_finals_are_nothing_and_garbage_is_an_error`
    "asr-connect-refused",
    "asr-connect-blackhole",
    "asr-429-retry-after-30",
    "asr-500-once",
    "asr-401",
    "asr-close-1006-mid-word",
    "asr-empty-finals-storm",
    // llm::openai: `nobody_listens_there`, `slow_first_words_and_stalls_are_timeouts`, `garbage_is_a_protocol_error`,
    // `refusals_say_what_to_do_and_keep_the_key`, `one_failure_that_passes_is_not_noticed`,
    // `answers_without_an_end`, `an_answer_that_does_not_stream_is_read_whole`
    "llm-connect-refused",
    "llm-connect-blackhole",
    "llm-429-retry-after-30",
    "llm-500-once",
    "llm-401",
    "llm-sse-cut-no-done",
    "llm-200-html",
    "llm-200-error-json",
    // tts::openai: `failures`, `pieces_of_odd_length_give_the_same_sound`; the rate is believed as configured;
    // fallback: `a_voice_that_was_silent_is_replaced_for_the_next_phrase`
    "tts-connect-refused",
    "tts-connect-blackhole",
    "tts-429-retry-after-30",
    "tts-500-once",
    "tts-401",
    "tts-odd-byte-chunks",
    "tts-wrong-rate",
    "tts-silence-only",
];

/// Faults that need the conversation or the engine (all thirty are played against a conversation in the engine's
/// `scenarios::faults`): a hold phrase, a repair phrase, an apology, the end of a turn by
/// voice activity, the rest of a sentence that was begun. This crate only reports them in time.
const ABOVE: &[&str] = &[
    "llm-first-token-8s",
    "llm-hang-after-5-tokens",
    "llm-empty-completion",
    "llm-tool-call-bad-json",
    "asr-no-final",
    "tts-hang-mid-sentence",
    "all-providers-down",
];

#[test]
fn every_fault_has_its_place() {
    let faults = include_str!("fixtures/provider-faults.jsonl");
    let name = |line: &str| {
        let fault: serde_json::Value = serde_json::from_str(line).expect("a fault is an object");
        fault["name"].as_str().expect("a fault has a name").to_owned()
    };
    let named: BTreeSet<String> = faults.lines().map(name).collect();
    let placed: BTreeSet<String> = HERE.iter().chain(ABOVE).map(|name| (*name).to_owned()).collect();
    assert_eq!(named, placed);
    assert_eq!((HERE.len() + ABOVE.len(), named.len()), (30, 30));
}

#[test]
fn the_waits_are_those_the_faults_ask_for() {
    let (ears, brain, voice) = (DeepgramConfig::default(), OpenAiLlmConfig::default(), OpenAiTtsConfig::default());
    assert_eq!([ears.connect_ms, brain.connect_ms, voice.connect_ms], [2000; 3]);
    assert_eq!((brain.first_ms, brain.stall_ms, voice.stall_ms), (5000, 3000, 2000));
}
