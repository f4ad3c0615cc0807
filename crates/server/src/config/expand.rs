//! `${NAME}` and `${file:PATH}` in the configuration's texts, so that secrets need not stand in the file.
//! Never expands twice: what a variable holds is taken as it is.

use anyhow::{Context, Result, bail};
use toml::Value;

/// Expands every text of the tree in place. A mistake names the key.
pub(super) fn expand(tree: &mut toml::Table) -> Result<()> {
    for (key, value) in tree.iter_mut() {
        walk(value, key)?;
    }
    Ok(())
}

fn walk(value: &mut Value, key: &str) -> Result<()> {
    match value {
        Value::String(text) if text.contains("${") => *text = expanded(text).with_context(|| format!("`{key}`"))?,
        Value::Array(items) => {
            for (at, item) in items.iter_mut().enumerate() {
                walk(item, &format!("{key}[{at}]"))?;
            }
        }
        Value::Table(table) => {
            for (name, item) in table.iter_mut() {
                walk(item, &format!("{key}.{name}"))?;
            }
        }
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {}
    }
    Ok(())
}

fn expanded(text: &str) -> Result<String> {
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, from)) = rest.split_once("${") {
        done.push_str(before);
        let Some((name, after)) = from.split_once('}') else { bail!("`${{` without a closing brace") };
        done.push_str(&look_up(name)?);
        rest = after;
    }
    done.push_str(rest);
    Ok(done)
}

fn look_up(name: &str) -> Result<String> {
    if let Some(path) = name.strip_prefix("file:") {
        let text = std::fs::read_to_string(path).with_context(|| format!("the file {path} cannot be read"))?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    std::env::var(name).with_context(|| format!("the environment variable {name} is not set"))
}
