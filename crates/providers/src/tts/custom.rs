//! A synthesiser of the agent's own making, asked in the protocol that Tencent publishes for such services (trtc.io,
//! "Customize TTS protocol"): JSON asks, the body that answers is a WAV file or raw samples as they are made.

use super::hosted::{Body, Hosted, HostedVoice, Place, Question, Stamp, number, param};
use super::sound::{Container, Form};
use crate::ProviderError;
use crate::endpoints::Outside;
use crate::tts::{Tts, TtsRequest};
use callwright_domain::agent::Endpoint;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Samples a second unless the endpoint says otherwise.
const RATE: u32 = 16_000;

/// The service at the endpoint's address: `format` (`wav` or `pcm`), `rate` and `channels` among its settings.
pub(crate) fn voice(endpoint: &Endpoint, outside: &Outside) -> Result<Arc<dyn Tts>, ProviderError> {
    let container = if param(endpoint, "format") == "pcm" { Container::Raw } else { Container::Wav };
    let rate = number(endpoint, "rate", f64::from(RATE)) as u32;
    let channels = if number(endpoint, "channels", 1.0) > 1.0 { 2 } else { 1 };
    let place = Place {
        url: endpoint.url.clone(),
        bearer: endpoint.key.clone(),
        headers: BTreeMap::new(),
        secrets: Vec::new(),
    };
    Ok(Arc::new(Hosted::new(&endpoint.kind, place, Custom(Form { container, rate, channels }), outside)?))
}

struct Custom(Form);

impl HostedVoice for Custom {
    fn question(&self, phrase: &TtsRequest, stamp: &Stamp) -> Question {
        let format = match self.0.container {
            Container::Raw => "pcm",
            Container::Wav => "wav",
        };
        let body = json!({
            "Text": phrase.text, "Format": format, "SampleRate": self.0.rate, "Channel": self.0.channels,
        });
        Question { headers: vec![("X-Request-Id", stamp.id.clone())], body: Body::Json(body) }
    }

    fn form(&self, _wanted: u32) -> Form {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::stub::{Piece, Stub, chunked, last_chunk, reply};
    use crate::tts::tests::{bytes, spoken, tone};
    use callwright_domain::pii::Pii;

    async fn asked(settings: &[(&str, &str)], answer: Vec<Piece>) -> (Result<Vec<i16>, ErrorKind>, String) {
        let stub = Stub::start([answer]).await;
        let param = |(name, value): &(&str, &str)| ((*name).to_owned(), Pii::new((*value).to_owned()));
        let endpoint = Endpoint {
            kind: "custom".into(),
            url: format!("http://127.0.0.1:{}/say/", stub.port),
            key: Pii::new("own-key".into()),
            params: settings.iter().map(param).collect(),
        };
        let voice = voice(&endpoint, &Outside::default()).expect("a voice");
        (spoken(voice.speak(TtsRequest::new("Hello.", 8000))).await, stub.requests().concat())
    }

    #[tokio::test]
    async fn raw_samples_of_two_channels_are_mixed() {
        let stereo: Vec<i16> = tone(800).iter().flat_map(|sample| [*sample, *sample]).collect();
        let sound = bytes(&stereo);
        let pieces: Vec<&[u8]> = sound.chunks(333).collect();
        let answer = [chunked("audio/L16", &pieces), vec![last_chunk()]].concat();
        let (heard, request) = asked(&[("format", "pcm"), ("rate", "8000"), ("channels", "2")], answer).await;
        assert_eq!(heard, Ok(tone(800)));
        assert!(request.starts_with("POST /say/ ") && request.contains("Bearer own-key"), "{request}");
        let body = r#"{"Channel":2,"Format":"pcm","SampleRate":8000,"Text":"Hello."}"#;
        assert!(request.ends_with(body), "{request}");
    }

    #[tokio::test]
    async fn anything_but_the_form_that_was_asked_for_is_a_failure() {
        let json = r#"{"error":{"code":"E","message":"no voice for own-key"}}"#;
        let complaint = reply("200 OK", "Content-Type: application/json\r\n", json);
        assert_eq!(asked(&[], complaint).await.0, Err(ErrorKind::Protocol));
        let raw = reply("200 OK", "Content-Type: audio/wav\r\n", bytes(&tone(100)));
        assert_eq!(asked(&[], raw).await.0, Err(ErrorKind::Protocol), "no WAV file");
        assert_eq!(asked(&[], reply("401 No", "", "")).await.0, Err(ErrorKind::Unauthorised));
    }
}
