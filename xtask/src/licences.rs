//! The licences of everything that is built in, held against the list in `deny.toml`. Says which package has another;
//! advisories, duplicates and the texts themselves are left to `cargo deny`.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

/// Packages that name no licence and bring its text alone: what that text is.
const BY_TEXT: &[(&str, &str)] = &[("language-tokenizer", "WTFPL")];

/// One complaint for each package whose licence is not allowed.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root.join("deny.toml")).context("deny.toml cannot be read")?;
    let allowed = allowed(&text).context("deny.toml has no list `allow` of licences")?;
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked", "--all-features"])
        .current_dir(root)
        .output()
        .context("cargo metadata could not be started")?;
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cargo metadata is not readable")?;
    let outside = metadata.packages.iter().filter(|package| package.source.is_some());
    let named = outside.map(|package| {
        let by_text = BY_TEXT.iter().find(|(name, _)| *name == package.name).map(|(_, licence)| *licence);
        (package, package.license.as_deref().or(by_text))
    });
    Ok(named
        .filter(|(_, licence)| !licence.is_some_and(|licence| permits(licence, &allowed)))
        .map(|(package, licence)| {
            let licence = licence.unwrap_or("no licence at all");
            format!("{} {}: {licence} is not allowed by deny.toml", package.name, package.version)
        })
        .collect())
}

fn allowed(deny: &str) -> Option<BTreeSet<String>> {
    let line = deny.lines().skip_while(|line| *line != "[licenses]").find(|line| line.starts_with("allow = ["))?;
    Some(line.split('"').skip(1).step_by(2).map(str::to_owned).collect())
}

/// Whether an SPDX expression can be met with these licences: OR needs one side, AND both, parentheses group.
fn permits(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader { words: &words, allowed };
    reader.either() == Some(true) && reader.words.is_empty()
}

/// Each part answers whether it permits; nothing when it is no expression.
struct Reader<'a> {
    words: &'a [&'a str],
    allowed: &'a BTreeSet<String>,
}

impl Reader<'_> {
    fn takes(&mut self, word: &str) -> bool {
        let there = self.words.first().is_some_and(|first| *first == word);
        if there {
            self.words = self.words.get(1..).unwrap_or_default();
        }
        there
    }

    fn either(&mut self) -> Option<bool> {
        let mut good = self.both()?;
        while self.takes("OR") {
            good |= self.both()?;
        }
        Some(good)
    }

    fn both(&mut self) -> Option<bool> {
        let mut good = self.one()?;
        while self.takes("AND") {
            good &= self.one()?;
        }
        Some(good)
    }

    fn one(&mut self) -> Option<bool> {
        if self.takes("(") {
            let good = self.either()?;
            return self.takes(")").then_some(good);
        }
        let (name, rest) = self.words.split_first()?;
        self.words = rest;
        let mut name = (*name).to_owned();
        if self.takes("WITH") {
            let (exception, rest) = self.words.split_first()?;
            name = format!("{name} WITH {exception}");
            self.words = rest;
        }
        Some(self.allowed.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx_has_them() {
        let allowed = allowed("[licenses]\nallow = [\"MIT\", \"Apache-2.0\", \"Apache-2.0 WITH LLVM-exception\"]\n");
        let allowed = allowed.expect("a list");
        for (expression, good) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("GPL-3.0 OR MIT", true),
            ("MIT/Apache-2.0", true),
            ("MIT AND GPL-3.0", false),
            ("(MIT OR GPL-3.0) AND Apache-2.0", true),
            ("(MIT OR GPL-3.0) AND ISC", false),
            ("GPL-3.0 OR Apache-2.0 WITH LLVM-exception", true),
            ("Apache-2.0 WITH other", false),
            ("MIT OR (", false),
            ("", false),
        ] {
            assert_eq!(permits(expression, &allowed), good, "{expression}");
        }
    }
}
