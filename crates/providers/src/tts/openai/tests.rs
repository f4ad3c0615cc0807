use super::*;
use crate::stub::{Piece, Stub, chunked, last_chunk, reply};
use crate::tts::tests::{bytes, tone};
use callwright_conversation::vocabulary::TtsEvent;

fn request(rate: u32) -> TtsRequest {
    TtsRequest::new("Hello.", rate)
}

fn voice(port: u16) -> OpenAiTts {
    let config = OpenAiTtsConfig {
        base_url: format!("http://127.0.0.1:{port}/v1"),
        key: Pii::new("sk-secret".into()),
        first_ms: 1500,
        stall_ms: 700,
        ..OpenAiTtsConfig::default()
    };
    OpenAiTts::new("voice", config).expect("a voice")
}

/// The samples, the number of pieces and the end of what `stream` says.
async fn listen(stream: TtsStream) -> (Vec<i16>, usize, Result<(), ErrorKind>) {
    let TtsStream { mut events, running: _running } = stream;
    let (mut samples, mut pieces) = (vec![], 0);
    while let Some(event) = events.recv().await {
        match event {
            Ok(TtsEvent::Audio(pcm)) => {
                samples.extend(pcm);
                pieces += 1;
            }
            Ok(TtsEvent::Done) => return (samples, pieces, Ok(())),
            Err(error) => return (samples, pieces, Err(error.kind)),
        }
    }
    panic!("it ended without a word")
}

async fn spoken(replies: impl IntoIterator<Item = Vec<Piece>>, rate: u32) -> (Vec<i16>, usize, Result<(), ErrorKind>) {
    let stub = Stub::start(replies).await;
    listen(voice(stub.port).speak(request(rate))).await
}

#[tokio::test]
async fn pieces_of_odd_length_give_the_same_sound() {
    let sound = bytes(&tone(24_000));
    let (whole, _, end) = spoken([reply("200 OK", "Content-Type: audio/pcm\r\n", &sound)], 8000).await;
    assert_eq!((whole.len(), end), (8000, Ok(())));
    let odd: Vec<&[u8]> = sound.chunks(1001).collect();
    let reply = [chunked("application/octet-stream", &odd), vec![last_chunk()]].concat();
    let (pieces, _, end) = spoken([reply], 8000).await;
    assert_eq!((pieces, end), (whole, Ok(())));
}

#[tokio::test]
async fn equal_rates_are_left_alone_and_pieces_are_short() {
    let stub = Stub::start([reply("200 OK", "", bytes(&tone(16_000)))]).await;
    let config =
        OpenAiTtsConfig { base_url: format!("http://127.0.0.1:{}", stub.port), rate: 16_000, ..Default::default() };
    let voice = OpenAiTts::new("voice", config).expect("a voice");
    let (samples, pieces, end) = listen(voice.speak(request(16_000))).await;
    assert_eq!((samples, end), (tone(16_000), Ok(())));
    assert!(pieces >= 10, "{pieces}");
}

#[tokio::test]
async fn a_fast_voice_waits_for_its_listener() {
    let stub = Stub::start([reply("200 OK", "", bytes(&tone(24_000 * 60)))]).await;
    let stream = voice(stub.port).speak(request(8000));
    while stream.events.len() < EVENTS {
        tokio::task::yield_now().await;
    }
    let (samples, _, end) = listen(stream).await;
    assert_eq!((samples.len(), end), (8000 * 60, Ok(())));
}

#[test]
fn bodies_say_what_is_wanted() {
    let config = OpenAiTtsConfig { params: BTreeMap::from([("voice".into(), Value::Null)]), ..Default::default() };
    let mut wanted = request(8000);
    wanted.speed = 1.25;
    wanted.emotion = "cheerful".into();
    wanted.params = BTreeMap::from([("seed".into(), "7".into()), ("style".into(), "plain".into())]);
    let body = body(&config, wanted);
    let expected = json!({"model": "gpt-4o-mini-tts", "input": "Hello.", "response_format": "pcm", "speed": 1.25,
        "instructions": "cheerful", "seed": 7, "style": "plain"});
    assert_eq!(body, expected);
}

#[tokio::test]
async fn failures() {
    let sound = bytes(&tone(2400));
    let (_, _, end) = spoken([[chunked("audio/pcm", &[&sound]), vec![Piece::Hang]].concat()], 8000).await;
    assert_eq!(end, Err(ErrorKind::Timeout));
    let (_, _, end) = spoken([[chunked("audio/pcm", &[&sound]), vec![Piece::Close]].concat()], 8000).await;
    assert_eq!(end, Err(ErrorKind::Unreachable));
    let (_, _, end) = spoken([vec![Piece::Hang]], 8000).await;
    assert_eq!(end, Err(ErrorKind::Timeout));
    for (headers, body) in [
        ("", vec![]),
        ("", vec![1]),
        ("", vec![0; 4800]),
        ("", b"RIFF\x00\x00\x00\x00WAVE".to_vec()),
        ("Content-Type: audio/mpeg\r\n", sound.clone()),
        ("Content-Type: application/json\r\n", b"{}".to_vec()),
    ] {
        let (_, _, end) = spoken([reply("200 OK", headers, &body)], 8000).await;
        assert_eq!(end, Err(ErrorKind::Protocol), "{headers:?} {} bytes", body.len());
    }
    let (_, _, end) = spoken([reply("401 No", "", "")], 8000).await;
    assert_eq!(end, Err(ErrorKind::Unauthorised));
    let (_, _, end) = spoken([reply("429 Slow", "", "")], 8000).await;
    assert_eq!(end, Err(ErrorKind::RateLimited));
    let (_, _, end) = spoken([reply("500 Oops", "", ""), reply("200 OK", "", &sound)], 8000).await;
    assert_eq!(end, Ok(()));
    let (_, _, end) = spoken([reply("200 OK", "", &sound)], 9000).await;
    assert_eq!(end, Err(ErrorKind::Rejected));
}
