//! The thread that owns the language model and its memory of one conversation. Takes orders from a bounded queue; checks
//! before every token whether the answer is still wanted. Never runs two conversations at once, and never outlives its
//! owner.

use super::chat::{Letters, Span, prompt, tool_call};
use crate::local::{Home, VENDOR, failure, models};
use crate::{ErrorKind, ProviderError};
use callwright_conversation::vocabulary::{LlmEvent, Message, Role, ToolSpec, Usage};
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::{LogOptions, send_logs_to_tracing};
use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Tokens that fit: some fifteen minutes of talk.
const CONTEXT: u32 = 4096;
/// Tokens read between two looks at whether the answer is still wanted: a third of a second on two cores.
const STEP: usize = 32;
/// Orders that may wait.
const ORDERS: usize = 4;
/// Most threads the model computes on.
const MOST_THREADS: usize = 8;
/// A conversation that was silent so long gives its place to another.
const IDLE: Duration = Duration::from_secs(120);
/// Below this temperature the likeliest token is taken.
const GREEDY: f32 = 0.05;

type Events = mpsc::Sender<Result<LlmEvent, ProviderError>>;

/// A question, ready for the thread.
#[derive(Debug)]
pub(super) struct Question {
    pub messages: Vec<Message>,
    pub tools: Vec<ToolSpec>,
    pub temperature: f32,
    pub max_tokens: u32,
    /// Where the answer goes; none: only read in advance.
    pub events: Option<Events>,
    /// Set when nobody wants the answer any more.
    pub cancelled: Arc<AtomicBool>,
}

impl Question {
    fn is_unwanted(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Whether somebody still listens.
    fn tell(&self, event: Result<LlmEvent, ProviderError>) -> bool {
        self.events.as_ref().is_none_or(|events| events.blocking_send(event).is_ok()) && !self.is_unwanted()
    }
}

/// The way to the thread. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Engine {
    /// None once it is closed.
    way: Mutex<Option<Way>>,
    /// Set when no answer is wanted any more at all.
    closing: Arc<AtomicBool>,
    owner: Mutex<Option<Owner>>,
}

#[derive(Debug)]
struct Way {
    orders: SyncSender<Question>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Owner {
    conversation: String,
    seen: Instant,
}

impl Engine {
    /// Starts the thread; the model is loaded with the first question.
    pub(super) fn start(home: &Home) -> Self {
        let (orders, received) = sync_channel(ORDERS);
        let (home, closing) = (home.clone(), Arc::new(AtomicBool::new(false)));
        let end = Arc::clone(&closing);
        let started = thread::Builder::new().name("local-brain".into()).spawn(move || serve(&home, &received, &end));
        let thread = match started {
            Ok(thread) => Some(thread),
            Err(error) => {
                tracing::error!(%error, "the thread of the local language model could not be started");
                None
            }
        };
        Self { way: Mutex::new(Some(Way { orders, thread })), closing, owner: Mutex::new(None) }
    }

    /// Breaks off what is being answered and returns when the thread has ended. Blocks as long as a step of the model
    /// takes, or its loading.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        let way = self.way.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Way { orders, thread }) = way else { return };
        drop(orders);
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the local language model ended by a panic");
        }
    }

    /// Puts a question of `conversation`. [`ErrorKind::Saturated`] while another conversation has the model.
    pub(super) fn put(&self, conversation: &str, question: Question) -> Result<(), ProviderError> {
        let saturated = |detail| ProviderError::new(VENDOR, ErrorKind::Saturated, detail);
        {
            let mut owner = self.owner.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let taken = |owner: &Owner| owner.conversation != conversation && now < owner.seen + IDLE;
            if owner.as_ref().is_some_and(taken) {
                return Err(saturated(
                    "the local language model serves one conversation at a time, and another has it",
                ));
            }
            *owner = Some(Owner { conversation: conversation.to_owned(), seen: now });
        }
        let ended = || failure("the thread of the local language model has ended");
        let way = self.way.lock().unwrap_or_else(PoisonError::into_inner);
        way.as_ref().ok_or_else(ended)?.orders.try_send(question).map_err(|error| match error {
            TrySendError::Full(_) => saturated("the local language model is busy"),
            TrySendError::Disconnected(_) => ended(),
        })
    }

    /// Gives the place of `conversation` away.
    pub(super) fn release(&self, conversation: &str) {
        let mut owner = self.owner.lock().unwrap_or_else(PoisonError::into_inner);
        if owner.as_ref().is_some_and(|owner| owner.conversation == conversation) {
            *owner = None;
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

fn serve(home: &Home, orders: &Receiver<Question>, closing: &AtomicBool) {
    while let Ok(first) = orders.recv() {
        let began = Instant::now();
        let model = match load(home) {
            Ok(model) => model,
            Err(error) => {
                // Whoever asked hears why; the next question tries again.
                first.tell(Err(error));
                continue;
            }
        };
        let context = match context(&model) {
            Ok(context) => context,
            Err(error) => {
                first.tell(Err(error));
                continue;
            }
        };
        tracing::info!(
            model = models::BRAIN,
            load_ms = began.elapsed().as_millis() as u64,
            memory_mb = model.size() / (1 << 20),
            "local language model loaded"
        );
        let mut mind = Mind { model: &model, context, held: Vec::new(), tools: ToolTokens::of(&model), closing };
        mind.take(&first);
        while let Ok(question) = orders.recv() {
            mind.take(&question);
        }
    }
}

/// The library may be set up once a process.
fn backend() -> Result<&'static LlamaBackend, ProviderError> {
    static BACKEND: OnceLock<Option<LlamaBackend>> = OnceLock::new();
    let started = BACKEND.get_or_init(|| {
        send_logs_to_tracing(LogOptions::default().with_logs_enabled(false));
        LlamaBackend::init().ok()
    });
    started.as_ref().ok_or_else(|| failure("llama.cpp could not be set up"))
}

fn load(home: &Home) -> Result<LlamaModel, ProviderError> {
    let path = home.file(models::BRAIN)?;
    LlamaModel::load_from_file(backend()?, &path, &LlamaModelParams::default())
        .map_err(|error| failure(format!("{} cannot be loaded: {error}", models::BRAIN)))
}

fn context(model: &LlamaModel) -> Result<LlamaContext<'_>, ProviderError> {
    let threads = thread::available_parallelism().map_or(2, usize::from).min(MOST_THREADS) as i32;
    let params = LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(CONTEXT))
        .with_n_batch(STEP as u32)
        .with_n_ubatch(STEP as u32)
        .with_n_threads(threads)
        .with_n_threads_batch(threads);
    model.new_context(backend()?, params).map_err(|error| failure(format!("llama.cpp refuses a context: {error}")))
}

/// The tokens that open and close the tool channel.
struct ToolTokens {
    open: Option<LlamaToken>,
    close: Option<LlamaToken>,
}

impl ToolTokens {
    fn of(model: &LlamaModel) -> Self {
        let single = |text: &str| match model.vocab().tokenize(text.as_bytes(), false, true)[..] {
            [token] => Some(token),
            _ => None,
        };
        Self { open: single("<tool_call>"), close: single("</tool_call>") }
    }
}

/// The model with what it has read.
struct Mind<'m> {
    model: &'m LlamaModel,
    context: LlamaContext<'m>,
    /// The tokens in the model's memory, in order.
    held: Vec<LlamaToken>,
    tools: ToolTokens,
    closing: &'m AtomicBool,
}

impl Mind<'_> {
    fn is_unwanted(&self, question: &Question) -> bool {
        question.is_unwanted() || self.closing.load(Ordering::Relaxed)
    }

    fn take(&mut self, question: &Question) {
        if self.is_unwanted(question) {
            return;
        }
        match self.answer(question) {
            Ok(usage) => {
                question.tell(Ok(LlmEvent::Done { usage: Some(usage) }));
            }
            Err(error) => {
                // What the memory holds is uncertain now.
                self.context.clear_kv_cache();
                self.held.clear();
                question.tell(Err(error));
            }
        }
    }

    fn answer(&mut self, question: &Question) -> Result<Usage, ProviderError> {
        let began = Instant::now();
        let tokens = self.tokens(question);
        let reused = self.keep_common(&tokens)?;
        let mut usage = Usage { prompt: tokens.len() as u32, completion: 0 };
        for step in tokens[reused..].chunks(STEP) {
            if self.is_unwanted(question) {
                return Ok(usage);
            }
            self.read(step)?;
        }
        let read = began.elapsed();
        if question.events.is_none() {
            tracing::debug!(
                tokens = tokens.len(),
                reused,
                read_ms = read.as_millis() as u64,
                "conversation read in advance"
            );
            return Ok(usage);
        }
        usage.completion = self.write(question)?;
        let writing = began.elapsed().saturating_sub(read);
        tracing::info!(
            prompt_tokens = usage.prompt,
            reused,
            read_ms = read.as_millis() as u64,
            tokens = usage.completion,
            tokens_a_second = f64::from(usage.completion) / writing.as_secs_f64().max(1e-3),
            "local language model answered"
        );
        Ok(usage)
    }

    /// Writes until the model stops, the limit is met, or nobody listens. Returns how many tokens it wrote.
    fn write(&mut self, question: &Question) -> Result<u32, ProviderError> {
        let mut sampler = sampler(question.temperature);
        let mut text = Letters::default();
        let mut tool: Option<Letters> = None;
        let mut call = String::new();
        for written in 0..question.max_tokens {
            if self.is_unwanted(question) {
                return Ok(written);
            }
            let token = sampler.sample(&self.context, -1);
            if self.model.vocab().is_eog(token) {
                return Ok(written);
            }
            if Some(token) == self.tools.open {
                tool = Some(Letters::default());
                call.clear();
            } else if Some(token) == self.tools.close {
                tool = None;
                if let Some(call) = tool_call(&call) {
                    question.tell(Ok(LlmEvent::Tool(call)));
                } else {
                    tracing::warn!("the local language model wrote a tool call that cannot be read; it is left out");
                }
            } else {
                let piece = self.model.vocab().token_to_piece(token, false, None);
                if let Some(letters) = &mut tool {
                    call.push_str(&letters.push(&piece));
                } else {
                    let piece = text.push(&piece);
                    if !piece.is_empty() && !question.tell(Ok(LlmEvent::Text(piece))) {
                        return Ok(written + 1);
                    }
                }
            }
            self.read(&[token])?;
        }
        Ok(question.max_tokens)
    }

    /// The question's tokens; the oldest turns are left out where all would not fit.
    fn tokens(&self, question: &Question) -> Vec<LlamaToken> {
        let room = (CONTEXT - question.max_tokens.min(CONTEXT / 2)) as usize - 1;
        let mut messages = question.messages.clone();
        loop {
            let mut tokens = Vec::new();
            for span in prompt(&messages, &question.tools) {
                match span {
                    Span::Control(text) => self.model.vocab().tokenize_into(text.as_bytes(), &mut tokens, false, true),
                    Span::Words(text) => self.model.vocab().tokenize_into(text.as_bytes(), &mut tokens, false, false),
                }
            }
            let oldest = messages.iter().position(|message| message.role != Role::System);
            match oldest {
                Some(oldest) if tokens.len() > room && messages.len() > oldest + 1 => {
                    messages.remove(oldest);
                }
                Some(_) | None => {
                    // Instructions that alone are too long lose their beginning: their end and the last turn matter most.
                    let surplus = tokens.len().saturating_sub(room);
                    tokens.drain(..surplus);
                    return tokens;
                }
            }
        }
    }

    /// Forgets what follows the common beginning, and returns its length. The last token is always read anew, because
    /// the next one is drawn from what follows it.
    fn keep_common(&mut self, tokens: &[LlamaToken]) -> Result<usize, ProviderError> {
        let common =
            self.held.iter().zip(tokens).take_while(|(a, b)| a == b).count().min(tokens.len().saturating_sub(1));
        if common < self.held.len() {
            let from = u32::try_from(common).map_err(|_| failure("a conversation is too long"))?;
            self.context
                .kv_cache_seq_rm(0, Some(from), None)
                .map_err(|error| failure(format!("llama.cpp cannot forget: {error}")))?;
            self.held.truncate(common);
        }
        Ok(common)
    }

    fn read(&mut self, tokens: &[LlamaToken]) -> Result<(), ProviderError> {
        let mut batch = LlamaBatch::new(tokens.len().max(1), 1);
        for (offset, token) in tokens.iter().enumerate() {
            let position =
                i32::try_from(self.held.len() + offset).map_err(|_| failure("a conversation is too long"))?;
            let last = offset + 1 == tokens.len();
            batch.add(*token, position, &[0], last).map_err(|error| failure(format!("llama.cpp: {error}")))?;
        }
        self.context.decode(&mut batch).map_err(|error| failure(format!("llama.cpp: {error}")))?;
        self.held.extend_from_slice(tokens);
        Ok(())
    }
}

fn sampler(temperature: f32) -> LlamaSampler {
    if temperature < GREEDY {
        return LlamaSampler::greedy();
    }
    // A fixed seed: the same conversation gets the same answer, and a report can be repeated.
    LlamaSampler::chain_simple([
        LlamaSampler::top_k(40),
        LlamaSampler::top_p(0.9, 1),
        LlamaSampler::temp(temperature.min(2.0)),
        LlamaSampler::dist(1),
    ])
}
