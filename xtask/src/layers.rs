//! The layer table of ARCHITECTURE.md section 5, kept over `cargo metadata`. Says which edge is new, never why.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::path::Path;
use std::process::Command;

/// Which crates of ours, and which outside crates, each crate may never use.
const TABLE: &[Layer] = &[
    Layer { name: "domain", ours: &[], pure: Purity::Pure },
    Layer { name: "sip", ours: &[], pure: Purity::Pure },
    Layer { name: "media", ours: &[], pure: Purity::Pure },
    Layer { name: "conversation", ours: &["domain"], pure: Purity::Pure },
    Layer { name: "net", ours: &["sip", "media"], pure: Purity::Io },
    Layer { name: "providers", ours: &["conversation", "domain"], pure: Purity::Io },
    Layer { name: "store", ours: &["domain"], pure: Purity::Io },
    Layer {
        name: "engine",
        ours: &["domain", "sip", "media", "conversation", "net", "providers", "store"],
        pure: Purity::Io,
    },
    Layer { name: "api", ours: &["domain", "engine", "store"], pure: Purity::Io },
    Layer {
        name: "server",
        ours: &["domain", "sip", "media", "conversation", "net", "providers", "store", "engine", "api"],
        pure: Purity::Io,
    },
    Layer {
        name: "testkit",
        ours: &["domain", "sip", "media", "conversation", "net", "providers", "store", "engine", "api"],
        pure: Purity::Io,
    },
];

/// Outside crates that bring a runtime, sockets or randomness: not below the line. (`jiff` is a calendar; asking it for
/// the time is banned in `tidy`.)
const IMPURE: &[&str] =
    &["tokio", "mio", "socket2", "reqwest", "hyper", "axum", "sqlx", "rusqlite", "rand", "getrandom"];
/// The only crate that may name a database driver.
const SQL: &[&str] = &["sqlx", "rusqlite"];
/// Crates that bring our HTTP server.
const HTTP_SERVER: &[&str] = &["axum", "hyper", "tower-http"];

struct Layer {
    name: &'static str,
    ours: &'static [&'static str],
    pure: Purity,
}

#[derive(PartialEq)]
enum Purity {
    Pure,
    Io,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

/// What the workspace's dependency edges break, one line each.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1", "--locked", "--offline"])
        .current_dir(root)
        .output()
        .context("cargo could not be started")?;
    anyhow::ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cargo metadata is not understood")?;
    let mut complaints = Vec::new();
    for package in &metadata.packages {
        let Some(name) = package.name.strip_prefix("callwright-") else { continue };
        match TABLE.iter().find(|layer| layer.name == name) {
            Some(layer) => judge(layer, package, &mut complaints),
            None => complaints.push(format!("crates/{name} is not in the layer table (ARCHITECTURE.md section 5)")),
        }
    }
    Ok(complaints)
}

fn judge(layer: &Layer, package: &Package, complaints: &mut Vec<String>) {
    let name = layer.name;
    for dependency in package.dependencies.iter().filter(|dependency| dependency.kind.as_deref() != Some("build")) {
        let for_tests = dependency.kind.as_deref() == Some("dev");
        if let Some(other) = dependency.name.strip_prefix("callwright-") {
            let allowed = layer.ours.contains(&other) || (for_tests && other == "testkit");
            if !allowed {
                complaints.push(format!("{name} may not use {other} (ARCHITECTURE.md section 5)"));
            }
            continue;
        }
        let outside = dependency.name.as_str();
        if for_tests {
            continue;
        }
        if layer.pure == Purity::Pure && IMPURE.contains(&outside) {
            complaints.push(format!("{name} is pure and may not use {outside}"));
        }
        if SQL.contains(&outside) && name != "store" {
            complaints.push(format!("{name} may not use {outside}: SQL lives in store alone"));
        }
        if HTTP_SERVER.contains(&outside) && name != "api" {
            complaints.push(format!("{name} may not use {outside}: our HTTP API lives in api alone"));
        }
    }
}
