//! `callwright ids` and `callwright agents`: what a running server has, asked for and changed by its HTTP API.

use crate::call::Api;
use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where the server is.
#[derive(Debug, clap::Args)]
pub(crate) struct Server {
    /// The server's API.
    #[arg(long, env = "CALLWRIGHT_SERVER", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// The API key, `id.secret`.
    #[arg(long, env = "CALLWRIGHT_KEY", hide_env_values = true)]
    key: String,
}

impl Server {
    fn api(&self) -> Result<Api> {
        Api::new(self.server.trim_end_matches('/').to_owned(), self.key.clone())
    }
}

/// `callwright ids`
#[derive(Debug, clap::Args)]
pub(crate) struct Ids {
    #[command(flatten)]
    server: Server,
    #[command(subcommand)]
    job: Option<IdJob>,
}

/// What to do about ids.
#[derive(Debug, clap::Subcommand)]
enum IdJob {
    /// Give something the id that your code has already.
    Set {
        /// The dialect, such as `tencent`.
        dialect: String,
        /// `agent` or `application`.
        kind: String,
        /// The vendor's id.
        id: String,
        /// What it names: an agent's id, or the account.
        names: String,
    },
}

/// `callwright agents`
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Agents {
    /// Store an agent from a TOML or JSON file.
    Push {
        /// The file; the agent is called after it unless `--id` says otherwise.
        file: PathBuf,
        /// The agent's id.
        #[arg(long)]
        id: Option<String>,
        /// The dialect whose shape the file has; without it our own.
        #[arg(long)]
        shape: Option<String>,
        #[command(flatten)]
        server: Server,
    },
}

/// Runs `callwright ids`.
pub(crate) async fn ids(arguments: Ids) -> Result<ExitCode> {
    let api = arguments.server.api()?;
    if let Some(IdJob::Set { dialect, kind, id, names }) = arguments.job {
        let body = json!({"dialect": dialect, "kind": kind, "id": id, "names": names});
        api.ask(Method::PUT, "/v1/ids", Some(&body)).await?;
    }
    let all = api.ask(Method::GET, "/v1/ids", None).await?;
    // A key that may not make keys is not told what tokens are signed with; the ids are for it all the same.
    let app = api.ask(Method::GET, "/v1/channel-app", None).await.ok();
    println!("{:<12} {:<12} {:<24} NAMES", "DIALECT", "KIND", "ID");
    for id in all["ids"].as_array().into_iter().flatten() {
        let part = |name: &str| id[name].as_str().unwrap_or_default().to_owned();
        println!("{:<12} {:<12} {:<24} {}", part("dialect"), part("kind"), part("id"), part("names"));
    }
    if let Some(app) = app {
        let part = |name: &str| app[name].as_str().unwrap_or_default().to_owned();
        println!("\nChannel tokens (alibaba): AppID {}  AppKey {}", part("app_id"), part("app_key"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `callwright agents`.
pub(crate) async fn agents(job: Agents) -> Result<ExitCode> {
    let Agents::Push { file, id, shape, server } = job;
    let id = id.unwrap_or_else(|| name_of(&file));
    let (path, body) = match &shape {
        None => (format!("/v1/agents/{id}"), serde_json::to_value(crate::seeding::read_agent(&file)?)?),
        Some(shape) => (format!("/v1/agents/{id}?shape={shape}"), read(&file)?),
    };
    server.api()?.ask(Method::PUT, &path, Some(&body)).await?;
    println!("agent {id} is stored");
    Ok(ExitCode::SUCCESS)
}

/// A file of a vendor's shape: whatever it holds, as JSON.
fn read(file: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    if file.extension().is_some_and(|extension| extension == "toml") {
        return toml::from_str(&text).with_context(|| file.display().to_string());
    }
    serde_json::from_str(&text).with_context(|| file.display().to_string())
}

/// The id that a file's name makes.
pub(crate) fn name_of(file: &Path) -> String {
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("agent");
    stem.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).take(64).collect()
}
