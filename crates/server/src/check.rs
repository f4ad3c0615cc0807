//! `callwright check`: says whether the server could start and call with this configuration, and what to do if not.
//! Binds the sockets for a moment, asks each trunk whether it is alive, and writes and removes one small object in the store
//! of the recordings; changes nothing else.

use crate::config::Settings;
use anyhow::Result;
use callwright_net::Resolver;
use callwright_providers::local::LocalModels;
use std::net::{TcpListener, UdpSocket};
use std::process::ExitCode;

/// Runs the checks; fails when something would keep the server from starting or calling.
pub(crate) async fn run(settings: &Settings) -> Result<ExitCode> {
    let mut report = Report::default();
    report.say("configuration", Ok(String::from("is valid")));
    report.say("http.listen", bindable(TcpListener::bind(settings.http.listen), settings.http.listen));
    report.say("sip.udp", bindable(UdpSocket::bind(settings.sip.udp), settings.sip.udp));
    if let Some(tcp) = settings.sip.tcp {
        report.say("sip.tcp", bindable(TcpListener::bind(tcp), tcp));
    }
    for (id, agent) in &settings.agents {
        let read = crate::seeding::read_agent(&agent.file).map(|profile| format!("is {:?}", profile.name));
        report.say(&format!("agents.{id}"), read.map_err(|error| format!("{error:#}")));
    }
    let resolver = Resolver::new();
    for (id, trunk) in &settings.trunks {
        let found = resolver.resolve(&trunk.settings.host, trunk.settings.port).await;
        let found = found.map(|addresses| format!("resolves to {}", addresses.len()) + " address(es)");
        report.say(&format!("trunks.{id}"), found.map_err(|error| format!("{error}; check `trunks.{id}.host`")));
    }
    match settings.recordings.seal_with.as_str() {
        "" => {
            report.note("recordings", "are written as they play; set `recordings.seal_with` and a key to encrypt them")
        }
        key => report.say("recordings", Ok(format!("are sealed with the key {key}"))),
    }
    if let Some(remote) = settings.recordings.remote()? {
        let asked = remote.check().await.map(|()| String::from("takes, gives and removes"));
        report.say("recordings.s3", asked.map_err(|error| error.to_string()));
    }
    for finding in LocalModels::new(settings.models.dir.clone()).check() {
        report.note("models", &finding.to_string());
    }
    Ok(report.verdict())
}

fn bindable<T>(outcome: std::io::Result<T>, address: std::net::SocketAddr) -> Result<String, String> {
    match outcome {
        Ok(_) => Ok(format!("{address} is free")),
        Err(error) => {
            Err(format!("{address} cannot be used ({error}); stop the program that has it or choose another port"))
        }
    }
}

#[derive(Default)]
struct Report {
    bad: u32,
}

impl Report {
    fn say(&mut self, what: &str, outcome: Result<String, String>) {
        match outcome {
            Ok(good) => println!("ok    {what}: {good}"),
            Err(bad) => {
                self.bad += 1;
                println!("BAD   {what}: {bad}");
            }
        }
    }

    fn note(&self, what: &str, text: &str) {
        println!("note  {what}: {text}");
    }

    fn verdict(&self) -> ExitCode {
        if self.bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
