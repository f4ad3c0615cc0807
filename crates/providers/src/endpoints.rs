//! Services that come with an agent instead of with the configuration: which protocols they may speak, and one client
//! kept for each, behind a breaker of its own. Addresses that somebody else wrote are connected to only where [`Outside`] lets them lead. Never falls
//! back from one to another.

use crate::fallback::{Chain, Link};
use crate::llm::Llm;
use crate::llm::azure;
use crate::llm::dify::Dify;
use crate::llm::minimax;
use crate::llm::openai::{OpenAiLlm, OpenAiLlmConfig};
use crate::tts::{self, Tts};
use crate::{ErrorKind, ProviderError};
use callwright_domain::agent::Endpoint;
use reqwest::ClientBuilder;
use reqwest::dns::{Name, Resolve, Resolving};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Services whose clients are kept; with one more, the one that has been kept for longest goes. A client that goes ends
/// no call: calls hold their own.
const KEPT: usize = 64;

/// What the names of other people's addresses may resolve to. The default: anything.
#[derive(Clone, Default)]
pub struct Outside(Option<Arc<dyn Resolve>>);

impl Outside {
    /// Only what this resolver gives out. Addresses without a name never reach it and must have been judged before.
    pub fn through(resolver: Arc<dyn Resolve>) -> Self {
        Self(Some(resolver))
    }

    /// A client that keeps to this.
    pub(crate) fn over(&self, client: ClientBuilder) -> ClientBuilder {
        match &self.0 {
            None => client,
            // A proxy would resolve by itself.
            Some(resolver) => client.no_proxy().dns_resolver(Arc::new(Guarded(Arc::clone(resolver)))),
        }
    }
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Outside(guarded)" } else { "Outside(open)" })
    }
}

struct Guarded(Arc<dyn Resolve>);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        self.0.resolve(name)
    }
}

/// One client for each service in use.
#[derive(Default)]
pub(crate) struct Endpoints {
    outside: Outside,
    brains: Mutex<VecDeque<Kept<dyn Llm>>>,
    voices: Mutex<VecDeque<Kept<dyn Tts>>>,
}

/// A service with the model it was asked for, and its client.
struct Kept<T: ?Sized> {
    endpoint: Endpoint,
    model: String,
    client: Arc<T>,
}

impl Endpoints {
    pub(crate) const fn new(outside: Outside) -> Self {
        Self { outside, brains: Mutex::new(VecDeque::new()), voices: Mutex::new(VecDeque::new()) }
    }

    /// The language model behind `endpoint`.
    pub(crate) fn brain(&self, endpoint: &Endpoint, model: &str) -> Result<Arc<dyn Llm>, ProviderError> {
        kept(&self.brains, (endpoint, model), || Ok(Arc::new(guarded(endpoint, self.make_brain(endpoint, model)?))))
    }

    fn make_brain(&self, endpoint: &Endpoint, model: &str) -> Result<Arc<dyn Llm>, ProviderError> {
        let name = endpoint.kind.as_str();
        let config = match name {
            "openai" => OpenAiLlmConfig {
                base_url: endpoint.url.clone(),
                key: endpoint.key.clone(),
                ..OpenAiLlmConfig::default()
            },
            "azure" => azure::config(endpoint, model)?,
            "minimax" => minimax::config(endpoint),
            "dify" => return Ok(Arc::new(Dify::new(endpoint, &self.outside)?)),
            _ => return Err(unknown(endpoint)),
        };
        Ok(Arc::new(OpenAiLlm::within(name, config, &self.outside)?))
    }

    /// The synthesiser behind `endpoint`.
    pub(crate) fn voice(&self, endpoint: &Endpoint) -> Result<Arc<dyn Tts>, ProviderError> {
        kept(&self.voices, (endpoint, ""), || Ok(Arc::new(guarded(endpoint, self.make_voice(endpoint)?))))
    }

    fn make_voice(&self, endpoint: &Endpoint) -> Result<Arc<dyn Tts>, ProviderError> {
        match endpoint.kind.as_str() {
            "tencent" => tts::tencent::voice(endpoint, &self.outside),
            "minimax" => tts::minimax::voice(endpoint, &self.outside),
            "volcengine" => tts::volcengine::voice(endpoint, &self.outside),
            "azure" => tts::azure::voice(endpoint, &self.outside),
            "custom" => tts::custom::voice(endpoint, &self.outside),
            _ => Err(unknown(endpoint)),
        }
    }
}

/// A service that is left alone for a while when it keeps failing. Nobody takes its place.
fn guarded<T: ?Sized>(endpoint: &Endpoint, vendor: Arc<T>) -> Chain<T> {
    Chain::new(endpoint.kind.clone(), vec![Link { vendor, breaker: Arc::default() }])
}

/// The client of a service, made when it is not among those that are kept.
fn kept<T: ?Sized>(
    all: &Mutex<VecDeque<Kept<T>>>,
    (endpoint, model): (&Endpoint, &str),
    make: impl FnOnce() -> Result<Arc<T>, ProviderError>,
) -> Result<Arc<T>, ProviderError> {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kept) = all.iter().find(|kept| kept.endpoint == *endpoint && kept.model == model) {
        return Ok(Arc::clone(&kept.client));
    }
    let client = make()?;
    if all.len() >= KEPT {
        all.pop_front();
    }
    all.push_back(Kept { endpoint: endpoint.clone(), model: model.to_owned(), client: Arc::clone(&client) });
    Ok(client)
}

fn unknown(endpoint: &Endpoint) -> ProviderError {
    ProviderError::new(&endpoint.kind, ErrorKind::Rejected, "this server speaks no such protocol")
}
