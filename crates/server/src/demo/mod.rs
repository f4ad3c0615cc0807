//! `callwright demo`: a whole AI call on one machine, offline. The server as it always runs, and beside it a built-in
//! callee: a second SIP endpoint with a voice and a script of its own. Between them real UDP sockets on loopback.

mod agent;
mod callee;
mod report;

use crate::config::{Settings, main_account};
use crate::{call, telemetry, wiring};
use anyhow::{Context, Result, bail};
use callee::Callee;
use callwright_domain::access::KeyStatus;
use callwright_domain::agent::Switch;
use callwright_domain::{AgentId, ApiKey, KeyId, PhoneNumber, Pii, Scope, TrunkId};
use callwright_engine::Calls;
use callwright_providers::local::LocalModels;
use callwright_store::{Number, Trunk, TrunkSettings};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const CALLER: &str = "+15550100";
const CALLEE: &str = "+15550123";
const KEY: &str = "demo";

/// `callwright demo`
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where the local models are.
    #[arg(long, default_value = ".callwright/models")]
    models: PathBuf,
    /// The agent's brain: the language model in this program, or a script.
    #[arg(long, value_enum, default_value_t = BrainKind::Model)]
    brain: BrainKind,
    /// Where database, recording and transcript go.
    #[arg(long, default_value = ".callwright/demo")]
    data: PathBuf,
    /// Address of the API afterwards.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// End after the call; without a terminal it does so anyway.
    #[arg(long)]
    exit: bool,
    /// Log lines shown beside the conversation.
    #[arg(long, default_value = "warn")]
    pub(crate) log: String,
}

/// Which brain talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum BrainKind {
    /// The language model in this program.
    Model,
    /// A script.
    Script,
}

impl BrainKind {
    /// Its name among the configured brains.
    const fn vendor(self) -> &'static str {
        match self {
            Self::Model => "local",
            Self::Script => "script",
        }
    }
}

/// Runs the demo to its end.
pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode> {
    let settings = settings(&arguments)?;
    let metrics = telemetry::metrics()?;
    let running = wiring::start(&settings, metrics).await?;
    load(&running.models, arguments.brain).await?;
    let callee = Callee::start(&running.models).await.context("the built-in callee")?;
    let secret = configure(&running.calls(), &callee, arguments.brain).await?;
    let http = running.addresses.http;
    println!(
        "\nThe server listens on http://{http}, its SIP on {}; the callee on {}.",
        running.addresses.sip_udp,
        callee.address()
    );
    println!("Placing the call: POST http://{http}/v1/calls\n");
    let api = call::Api::new(format!("http://{http}"), format!("{KEY}.{secret}"))?;
    let (id, summary) = api.place_and_watch(&call::Request::new("demo", CALLEE)).await?;
    let understood = callee.understood().await;
    let recording = settings.server.data.join("recordings").join(format!("{id}.wav"));
    let verdict = report::print(&running.models, &recording, &summary, &understood).await?;
    api.save_transcript(&id, &settings.server.data.join(format!("{id}.json"))).await?;
    println!(
        "Recording:  {}\nTranscript: {}",
        recording.display(),
        settings.server.data.join(format!("{id}.json")).display()
    );
    if arguments.exit || !std::io::stdout().is_terminal() {
        running.stop(std::future::ready(())).await;
    } else {
        stay(running, &secret).await?;
    }
    Ok(verdict)
}

/// What the demo's server is configured with.
fn settings(arguments: &Arguments) -> Result<Settings> {
    let mut settings = Settings::default();
    settings.server.data = arguments.data.clone();
    settings.http.listen = free(arguments.listen);
    settings.sip.udp = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    settings.media.address = Ipv4Addr::LOCALHOST.into();
    settings.models.dir = arguments.models.clone();
    if arguments.brain == BrainKind::Model && !cfg!(feature = "local-llm") {
        bail!(
            "this program was built without its language model.\n  \
             Either build it with `cargo build --features local-llm` (needs cmake, libclang and a C++ compiler; `./run` does it all),\n  \
             or let a script talk: `callwright demo --brain script`"
        );
    }
    let missing: Vec<String> = LocalModels::new(arguments.models.clone())
        .check()
        .into_iter()
        .filter(|finding| finding.set == "core" || arguments.brain == BrainKind::Model)
        .map(|finding| finding.to_string())
        .collect();
    if !missing.is_empty() {
        bail!("some models are missing:\n  {}", missing.join("\n  "));
    }
    Ok(settings)
}

/// The wanted address, or any free one beside it.
fn free(wanted: SocketAddr) -> SocketAddr {
    match TcpListener::bind(wanted) {
        Ok(_) => wanted,
        Err(_) => SocketAddr::new(wanted.ip(), 0),
    }
}

/// Loads the models with something to look at.
async fn load(models: &LocalModels, brain: BrainKind) -> Result<()> {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar.set_message("loading ears, voice and turn model");
    let speech = models.clone();
    tokio::task::spawn_blocking(move || speech.warm_up()).await.context("loading the models")??;
    if brain == BrainKind::Model {
        bar.set_message("loading the language model");
        agent::rehearse(&models.brain("local")).await?;
    }
    bar.finish_and_clear();
    Ok(())
}

/// The demo's key, agent, trunk and number; returns the key's secret.
async fn configure(calls: &Calls, callee: &Callee, brain: BrainKind) -> Result<String> {
    let (account, configure) = (main_account(), calls.configure());
    let secret = format!("{:032x}", rand::random::<u128>());
    let key = ApiKey {
        id: KeyId::new(KEY)?,
        account: account.clone(),
        name: String::from("the demo's"),
        secret: Pii::new(secret.clone()),
        scopes: Scope::ALL.to_vec(),
        status: KeyStatus::Active,
    };
    configure.put_key(&key).await?;
    let trunk = TrunkId::new("callee")?;
    let settings = TrunkSettings {
        host: callee.address().ip().to_string(),
        port: callee.address().port(),
        ..TrunkSettings::default()
    };
    configure.put_trunk(&account, &Trunk { id: trunk.clone(), settings, enabled: Switch::On }).await?;
    configure.put_number(&Number::new(account.clone(), PhoneNumber::parse(CALLER)?, trunk)).await?;
    configure.put_agent(&account, &AgentId::new("demo")?, &agent::profile(brain.vendor()), wiring::now()).await?;
    Ok(secret)
}

/// Goes on listening until Ctrl-C.
async fn stay(running: wiring::Running, secret: &str) -> Result<()> {
    let http = running.addresses.http;
    println!(
        "\nThe server goes on listening; Ctrl-C ends it. Ring a softphone of your own on this machine\n\
         (baresip, Linphone, …, here one that listens on port 5070):\n\n  \
         curl -X PUT http://{http}/v1/trunks/softphone -H 'Authorization: Bearer {KEY}.{secret}' \\\n       \
         -H 'Content-Type: application/json' -d '{{\"host\": \"127.0.0.1\", \"port\": 5070}}'\n  \
         curl -X PUT http://{http}/v1/numbers/+15550199 -H 'Authorization: Bearer {KEY}.{secret}' \\\n       \
         -H 'Content-Type: application/json' -d '{{\"trunk\": \"softphone\"}}'\n  \
         curl -X POST http://{http}/v1/calls -H 'Authorization: Bearer {KEY}.{secret}' \\\n       \
         -H 'Content-Type: application/json' -d '{{\"agent\": \"demo\", \"from\": \"+15550199\", \"to\": \"1000\"}}'\n"
    );
    let mut signals = crate::serve::Signals::listen()?;
    signals.next().await;
    running.stop(signals.next()).await;
    Ok(())
}
