//! `callwright call`: places a call through a running server by its HTTP API, prints it live, and says how quick each turn
//! was. Ctrl-C hangs up.

use crate::view::{CallPrinter, Summary};
use anyhow::{Context, Result, bail};
use callwright_domain::{HangupCause, Moment, Recorded};
use futures_util::StreamExt;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Longest line of the event feed that is believed.
const MAX_LINE: usize = 1024 * 1024;
/// How long the server may take for anything but the feed.
const PATIENCE: Duration = Duration::from_secs(15);

/// `callwright call`
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Who is rung.
    number: String,
    /// The agent: a TOML or JSON file, or the id of a stored one.
    #[arg(long)]
    agent: String,
    /// The number that shows; without it one of the account's.
    #[arg(long)]
    from: Option<String>,
    /// A value for the prompt's templates, `name=value`; may be repeated.
    #[arg(long = "var", value_name = "NAME=VALUE")]
    variables: Vec<String>,
    /// The server's API.
    #[arg(long, env = "CALLWRIGHT_SERVER", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// The API key, `id.secret`.
    #[arg(long, env = "CALLWRIGHT_KEY", hide_env_values = true)]
    key: String,
}

/// A call to be placed.
pub(crate) struct Request {
    body: Map<String, Value>,
}

impl Request {
    /// A call of a stored agent to a number.
    pub(crate) fn new(agent: &str, to: &str) -> Self {
        let mut body = Map::new();
        body.insert(String::from("agent"), json!(agent));
        body.insert(String::from("to"), json!(to));
        Self { body }
    }

    fn set(&mut self, member: &str, value: Value) {
        self.body.insert(member.to_owned(), value);
    }
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode> {
    let api = Api::new(arguments.server.trim_end_matches('/').to_owned(), arguments.key.clone())?;
    let agent = api.agent(&arguments.agent).await?;
    let mut request = Request::new(&agent, &arguments.number);
    if let Some(from) = &arguments.from {
        request.set("from", json!(from));
    }
    let mut variables = Map::new();
    for pair in &arguments.variables {
        let (name, value) = pair.split_once('=').with_context(|| format!("--var {pair}: must be NAME=VALUE"))?;
        variables.insert(name.to_owned(), json!(value));
    }
    request.set("variables", Value::Object(variables));
    let id = api.place(&request).await?;
    let watched = tokio::select! {
        watched = api.watch(&id) => watched?,
        _ = tokio::signal::ctrl_c() => {
            api.hang_up(&id).await?;
            println!("hung up");
            return Ok(ExitCode::FAILURE);
        }
    };
    let (cause, summary) = watched;
    println!("\ncall {id}: {} turns", summary.turns.len());
    let talked = matches!(cause, HangupCause::CalleeHungUp | HangupCause::AgentHungUp | HangupCause::ApiHungUp);
    Ok(if talked { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A server's HTTP API, as far as the command line needs it.
pub(crate) struct Api {
    client: Client,
    server: String,
    key: String,
}

impl Api {
    /// The API of a server.
    pub(crate) fn new(server: String, key: String) -> Result<Self> {
        let client = Client::builder().connect_timeout(PATIENCE).no_proxy().build()?;
        Ok(Self { client, server, key })
    }

    /// Places a call and prints it to its end.
    pub(crate) async fn place_and_watch(&self, request: &Request) -> Result<(String, Summary)> {
        let id = self.place(request).await?;
        let (_, summary) = self.watch(&id).await?;
        Ok((id, summary))
    }

    /// Writes what the server knows of a call into a file.
    pub(crate) async fn save_transcript(&self, id: &str, file: &Path) -> Result<()> {
        let view = self.ask(Method::GET, &format!("/v1/calls/{id}"), None).await?;
        std::fs::write(file, serde_json::to_vec_pretty(&view)?).with_context(|| file.display().to_string())
    }

    async fn place(&self, request: &Request) -> Result<String> {
        let answer = self.ask(Method::POST, "/v1/calls", Some(&Value::Object(request.body.clone()))).await?;
        Ok(answer["id"].as_str().context("the server did not name the call")?.to_owned())
    }

    async fn hang_up(&self, id: &str) -> Result<()> {
        self.ask(Method::POST, &format!("/v1/calls/{id}/hangup"), None).await.map(|_| ())
    }

    /// The id of an agent: a file is stored under its name first.
    async fn agent(&self, named: &str) -> Result<String> {
        let file = PathBuf::from(named);
        if file.extension().is_none() {
            return Ok(named.to_owned());
        }
        let profile = crate::seeding::read_agent(&file)?;
        let id = crate::manage::name_of(&file);
        self.ask(Method::PUT, &format!("/v1/agents/{id}"), Some(&serde_json::to_value(profile)?)).await?;
        Ok(id)
    }

    /// Prints the call until it ends.
    async fn watch(&self, id: &str) -> Result<(HangupCause, Summary)> {
        let url = format!("{}/v1/calls/{id}/events", self.server);
        let response = self.client.get(&url).bearer_auth(&self.key).send().await.context("the event feed")?;
        let mut pieces = response.error_for_status()?.bytes_stream();
        let (mut printer, mut lines, mut cause) = (CallPrinter::new(), Vec::new(), None);
        while let Some(piece) = pieces.next().await {
            lines.extend_from_slice(&piece.context("the event feed broke off")?);
            while let Some(end) = lines.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = lines.drain(..=end).collect();
                if let Some(recorded) = event_of(&line) {
                    cause = printer.show(&recorded).or(cause);
                }
            }
            if lines.len() > MAX_LINE {
                bail!("the event feed sent a line of more than {MAX_LINE} bytes");
            }
        }
        Ok((cause.context("the event feed ended before the call")?, printer.finish()))
    }

    /// Asks for an operation; the server's own words when it refuses.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let mut request =
            self.client.request(method, format!("{}{path}", self.server)).bearer_auth(&self.key).timeout(PATIENCE);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.with_context(|| {
            format!("the server {} does not answer; is it running? `callwright serve` starts it", self.server)
        })?;
        let status = response.status();
        let answer: Value = if status == StatusCode::NO_CONTENT { Value::Null } else { response.json().await? };
        if !status.is_success() {
            let error = &answer["error"];
            let field = error["field"].as_str().map(|field| format!("{field}: ")).unwrap_or_default();
            bail!("{field}{} ({status})", error["message"].as_str().unwrap_or("the server refused"));
        }
        Ok(answer)
    }
}

/// The event of a `data:` line. Its time comes as RFC 3339 text and goes back to milliseconds.
fn event_of(line: &[u8]) -> Option<Recorded> {
    let mut data: Value = serde_json::from_slice(line.strip_prefix(b"data: ")?).ok()?;
    let at: jiff::Timestamp = data["at"].as_str()?.parse().ok()?;
    data["at"] = json!(Moment(at.as_millisecond()));
    serde_json::from_value(data).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use callwright_domain::CallEvent;

    #[test]
    fn reads_the_feed() {
        let line = br#"data: {"seq":3,"at":"2026-11-21T02:00:00.007Z","event":"ringing","status":180}"#;
        let recorded = event_of(line).expect("an event");
        assert_eq!((recorded.seq, recorded.at), (3, Moment(1_795_226_400_007)));
        assert_eq!(recorded.event, CallEvent::Ringing { status: 180 });
        assert!(event_of(b": keep-alive").is_none());
        assert!(event_of(b"data: nonsense").is_none());
    }
}
