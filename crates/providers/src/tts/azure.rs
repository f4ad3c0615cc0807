//! Azure's speech synthesis over HTTP (learn.microsoft.com, "Text to speech REST API"): a phrase as SSML, raw samples as
//! they are made. Knows the clouds by the names of their regions.

use super::hosted::{Body, Hosted, HostedVoice, Place, Question, Stamp, param, telephone_rate};
use super::sound::Form;
use crate::endpoints::Outside;
use crate::tts::{Tts, TtsRequest};
use crate::{ErrorKind, ProviderError};
use callwright_domain::agent::Endpoint;
use callwright_domain::pii::Pii;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The header that carries the key.
const KEY_HEADER: &str = "Ocp-Apim-Subscription-Key";
/// Longest name of a region.
const MAX_REGION: usize = 32;
/// Languages of voices that say none.
const LANGUAGE: &str = "en-US";

/// The synthesiser of a region: `region` among the endpoint's settings, unless it has an address of its own.
pub(crate) fn voice(endpoint: &Endpoint, outside: &Outside) -> Result<Arc<dyn Tts>, ProviderError> {
    let name = endpoint.kind.as_str();
    let url = if endpoint.url.is_empty() { address(name, param(endpoint, "region"))? } else { endpoint.url.clone() };
    let headers = BTreeMap::from([(KEY_HEADER.to_owned(), endpoint.key.clone())]);
    let place = Place { url, bearer: Pii::default(), headers, secrets: Vec::new() };
    Ok(Arc::new(Hosted::new(name, place, Azure, outside)?))
}

/// Where a region's synthesiser is. The name becomes part of a host: nothing else may get in with it.
fn address(name: &str, region: &str) -> Result<String, ProviderError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if region.is_empty() || region.len() > MAX_REGION || !region.chars().all(plain) {
        return Err(ProviderError::new(name, ErrorKind::Rejected, "the region must be lower-case letters and digits"));
    }
    let cloud = match region {
        china if china.starts_with("china") => "azure.cn",
        government if government.starts_with("usgov") => "azure.us",
        _ => "microsoft.com",
    };
    Ok(format!("https://{region}.tts.speech.{cloud}/cognitiveservices/v1"))
}

struct Azure;

impl HostedVoice for Azure {
    fn question(&self, phrase: &TtsRequest, _stamp: &Stamp) -> Question {
        let format = if telephone_rate(phrase.rate) == 8000 { "raw-8khz" } else { "raw-16khz" };
        let headers = vec![
            ("Content-Type", String::from("application/ssml+xml")),
            ("X-Microsoft-OutputFormat", format!("{format}-16bit-mono-pcm")),
            ("User-Agent", String::from("callwright")),
        ];
        Question { headers, body: Body::Text(ssml(phrase)) }
    }

    fn form(&self, wanted: u32) -> Form {
        Form::raw(telephone_rate(wanted))
    }
}

/// The phrase in a voice, and at its speed where that is not the voice's own.
fn ssml(phrase: &TtsRequest) -> String {
    let language = if phrase.language.is_empty() { LANGUAGE } else { &phrase.language };
    let (language, voice, text) = (written(language), written(&phrase.voice), written(&phrase.text));
    let spoken = if (phrase.speed - 1.0).abs() > f64::EPSILON {
        format!(r#"<prosody rate="{}">{text}</prosody>"#, phrase.speed)
    } else {
        text
    };
    format!(
        r#"<speak version="1.0" xmlns="http://www.w3.org/2001/10/synthesis" xml:lang="{language}"><voice name="{voice}">{spoken}</voice></speak>"#
    )
}

/// A text within XML. Control characters have no place there, not even written as numbers.
fn written(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::{Stub, reply};
    use crate::tts::tests::{bytes, spoken, tone};

    #[test]
    fn a_regions_name_is_a_host_and_nothing_more() {
        let at = |region: &str| address("azure", region).map_err(|error| error.kind);
        let path = "/cognitiveservices/v1";
        assert_eq!(at("eastus2"), Ok(format!("https://eastus2.tts.speech.microsoft.com{path}")));
        assert_eq!(at("chinanorth3"), Ok(format!("https://chinanorth3.tts.speech.azure.cn{path}")));
        assert_eq!(at("usgovvirginia"), Ok(format!("https://usgovvirginia.tts.speech.azure.us{path}")));
        for bad in ["", "evil.example/", "a@b", "EASTUS", "x#", &"a".repeat(33)] {
            assert_eq!(at(bad), Err(ErrorKind::Rejected), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_phrase_is_ssml_and_comes_back_raw() {
        let stub = Stub::start([reply("200 OK", "", bytes(&tone(4000)))]).await;
        let endpoint = Endpoint {
            kind: "azure".into(),
            url: format!("http://127.0.0.1:{}/cognitiveservices/v1", stub.port),
            key: Pii::new("sub-key".into()),
            ..Endpoint::default()
        };
        let mut phrase = TtsRequest::new("1 < 2 & \"so\"\n", 8000);
        (phrase.voice, phrase.language, phrase.speed) = ("zh-CN-XiaoxiaoNeural".into(), "zh-CN".into(), 1.5);
        let voice = voice(&endpoint, &Outside::default()).expect("a voice");
        assert_eq!(spoken(voice.speak(phrase)).await, Ok(tone(4000)));
        let request = stub.requests().concat();
        assert!(request.to_ascii_lowercase().contains("ocp-apim-subscription-key: sub-key"), "{request}");
        assert!(request.contains("raw-8khz-16bit-mono-pcm") && !request.contains("Bearer"), "{request}");
        let said = r#"<voice name="zh-CN-XiaoxiaoNeural"><prosody rate="1.5">1 &lt; 2 &amp; &quot;so&quot; </prosody>"#;
        assert!(request.contains(said), "{request}");
    }
}
