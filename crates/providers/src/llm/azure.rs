//! Azure's way of offering OpenAI's chat completions (learn.microsoft.com, "Azure OpenAI REST API reference"): the same
//! body under a deployment's path, and the key in a header of its own. Only says how to ask; the asking is [`super::openai`].

use super::openai::OpenAiLlmConfig;
use crate::{ErrorKind, ProviderError};
use callwright_domain::agent::Endpoint;
use reqwest::Url;
use std::collections::BTreeMap;

/// The header that carries the key.
const KEY_HEADER: &str = "api-key";
/// The version asked for when the address names none.
const API_VERSION: &str = "2024-10-21";

/// How to ask the deployment called `model`. An address without a path is the resource's; one with a path is the
/// deployment's own.
pub(crate) fn config(endpoint: &Endpoint, model: &str) -> Result<OpenAiLlmConfig, ProviderError> {
    let bad = |why: String| ProviderError::new(&endpoint.kind, ErrorKind::Rejected, why);
    let mut url = Url::parse(&endpoint.url).map_err(|error| bad(format!("bad url: {error}")))?;
    if url.path() == "/" {
        if model.is_empty() {
            return Err(bad(String::from("the deployment's name is needed as the model")));
        }
        let mut path = url.path_segments_mut().map_err(|()| bad(String::from("the url cannot have a path")))?;
        path.pop_if_empty().extend(["openai", "deployments", model]);
    }
    if !url.query_pairs().any(|(name, _)| name == "api-version") {
        url.query_pairs_mut().append_pair("api-version", API_VERSION);
    }
    Ok(OpenAiLlmConfig {
        base_url: url.into(),
        headers: BTreeMap::from([(KEY_HEADER.to_owned(), endpoint.key.clone())]),
        ..OpenAiLlmConfig::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(url: &str, model: &str) -> Result<String, String> {
        let endpoint = Endpoint { kind: "azure".into(), url: url.into(), ..Endpoint::default() };
        config(&endpoint, model).map(|config| config.base_url).map_err(|error| error.detail)
    }

    #[test]
    fn the_deployment_is_part_of_the_path() {
        let wanted = "https://res.openai.azure.com/openai/deployments/gpt?api-version=2024-02-01";
        assert_eq!(base("https://res.openai.azure.com?api-version=2024-02-01", "gpt").as_deref(), Ok(wanted));
        assert_eq!(base(wanted, "other").as_deref(), Ok(wanted));
        let without = base("https://res.openai.azure.com/", "gpt").expect("a url");
        assert!(without.ends_with("/openai/deployments/gpt?api-version=2024-10-21"), "{without}");
        assert!(base("https://res.openai.azure.com/", "").is_err());
        assert!(base("nothing", "gpt").is_err());
    }
}
