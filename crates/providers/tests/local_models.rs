//! The local ears and the local voice with their real models. They run where `CALLWRIGHT_MODELS` names the models
//! folder; elsewhere they print that they did not run and why.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test that does not run says why")]

use callwright_conversation::vocabulary::{AsrEvent, EndOfTurn, TtsEvent};
use callwright_providers::asr::{AsrInput, AsrParams};
use callwright_providers::local::models::{ModelFolder, Standing};
use callwright_providers::local::{LocalModels, VOICES};
use callwright_providers::tts::TtsRequest;
use callwright_providers::{ErrorKind, ProviderError};

const RATE: u32 = 8000;

fn models() -> Option<LocalModels> {
    let Some(folder) = std::env::var_os("CALLWRIGHT_MODELS") else {
        println!("did not run: CALLWRIGHT_MODELS does not name a folder of models (callwright models fetch core)");
        return None;
    };
    Some(LocalModels::new(folder.into()))
}

fn request(text: &str, voice: &str) -> TtsRequest {
    TtsRequest { voice: voice.into(), language: "en-US".into(), ..TtsRequest::new(text, RATE) }
}

async fn say(models: &LocalModels, request: TtsRequest) -> Result<Vec<i16>, ProviderError> {
    let mut stream = models.voice("voice").speak(request);
    let (mut sound, mut done) = (Vec::new(), false);
    while let Some(event) = stream.events.recv().await {
        match event? {
            TtsEvent::Audio(piece) => {
                assert!(!done && piece.len() <= RATE as usize / 5, "pieces of at most 200 ms, none after the end");
                sound.extend(piece);
            }
            TtsEvent::Done => done = true,
        }
    }
    assert!(done, "a stream ends with `Done`");
    Ok(sound)
}

fn params() -> AsrParams {
    AsrParams {
        rate: RATE,
        language: "en".into(),
        model: String::new(),
        hot_words: vec![],
        silence_ms: 500,
        params: Default::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_voices_are_read_back_by_the_ears() {
    let Some(models) = models() else { return };
    for voice in VOICES {
        let sound = say(&models, request("Please call me back tomorrow at 10:30.", voice)).await.unwrap();
        let ears = models.clone();
        let heard = tokio::task::spawn_blocking(move || ears.transcribe(&sound, RATE)).await.unwrap().unwrap();
        assert!(heard.to_lowercase().contains("call me back tomorrow at 10:30"), "{voice}: {heard}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spoken_sentence_gives_guesses_and_one_final() {
    let Some(models) = models() else { return };
    let mut sound = vec![0; 4000];
    sound.extend(say(&models, request("I would like to speak to a real person.", "")).await.unwrap());
    sound.extend([0; 1600]);
    let mut stream = models.ears("ears").start(params());
    for chunk in sound[..12_000].chunks(800) {
        stream.input.send(AsrInput::Audio(chunk.to_vec())).await.unwrap();
        stream.input.send(AsrInput::SpeechStarted).await.unwrap();
    }
    // The guess is made while the speech goes on.
    let guess = stream.events.recv().await.unwrap().unwrap();
    assert!(matches!(guess, AsrEvent::Partial { .. }), "{guess:?}");
    for chunk in sound[12_000..].chunks(800) {
        stream.input.send(AsrInput::Audio(chunk.to_vec())).await.unwrap();
    }
    stream.input.send(AsrInput::SpeechStopped).await.unwrap();
    let (text, end_of_turn) = loop {
        if let AsrEvent::Final { text, end_of_turn } = stream.events.recv().await.unwrap().unwrap() {
            break (text, end_of_turn);
        }
    };
    assert_eq!(text.to_lowercase().trim_end_matches('.'), "i would like to speak to a real person");
    assert_eq!(end_of_turn, EndOfTurn::Yes);
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_and_silence_say_nothing() {
    let Some(models) = models() else { return };
    let mut state = 1u32;
    let noise: Vec<i16> = (0..RATE * 2)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 16) as i16) / 100
        })
        .collect();
    let heard = tokio::task::spawn_blocking(move || {
        (models.transcribe(&noise, RATE).unwrap(), models.transcribe(&vec![0; RATE as usize * 25], RATE).unwrap())
    });
    assert_eq!(heard.await.unwrap(), (String::new(), String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_refused() {
    let Some(models) = models() else { return };
    let unknown = say(&models, request("Hello.", "alloy")).await.unwrap_err();
    assert_eq!(unknown.kind, ErrorKind::Rejected);
    assert!(unknown.detail.contains("hibari-low"), "{unknown}");
    let chinese = say(&models, TtsRequest { language: "zh-CN".into(), ..request("Hello.", "") }).await.unwrap_err();
    assert_eq!(chinese.kind, ErrorKind::Rejected);
    assert!(say(&models, request("...", "")).await.unwrap().is_empty());
    let mut stream = models.ears("ears").start(AsrParams { language: "zh".into(), ..params() });
    assert_eq!(stream.events.recv().await.unwrap().unwrap_err().kind, ErrorKind::Rejected);
}

#[test]
fn a_fetched_folder_verifies() {
    let Some(folder) = std::env::var_os("CALLWRIGHT_MODELS") else {
        println!("did not run: CALLWRIGHT_MODELS does not name a folder of models (callwright models fetch core)");
        return;
    };
    let verified = ModelFolder::new(folder).verify(&["core"]).unwrap();
    for (file, standing) in verified.iter().flat_map(|listed| &listed.files) {
        assert_eq!(*standing, Standing::Good, "{}", file.path);
    }
}
