//! MiniMax's text models (platform.minimaxi.com, "ChatCompletion v2"): OpenAI's body and events under another path. Only
//! says how to ask; the asking is [`super::openai`].

use super::openai::OpenAiLlmConfig;
use callwright_domain::agent::Endpoint;

/// Where it has the chat.
const PATH: &[&str] = &["text", "chatcompletion_v2"];

/// How to ask. The address may be the interface's base (`…/v1`) or lead to the chat itself.
pub(crate) fn config(endpoint: &Endpoint) -> OpenAiLlmConfig {
    let base = endpoint.url.trim_end_matches('/');
    let base = base.strip_suffix("/text/chatcompletion_v2").unwrap_or(base);
    OpenAiLlmConfig { base_url: base.to_owned(), key: endpoint.key.clone(), path: PATH, ..OpenAiLlmConfig::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_and_the_chat_itself_are_the_same() {
        for url in ["https://api.minimax.chat/v1", "https://api.minimax.chat/v1/text/chatcompletion_v2"] {
            let endpoint = Endpoint { url: url.into(), ..Endpoint::default() };
            assert_eq!(config(&endpoint).base_url, "https://api.minimax.chat/v1");
        }
    }
}
