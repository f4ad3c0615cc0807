//! Puts what the configuration declares (keys, trunks, numbers, agents) into the store at each start. What was made
//! through the API stays; what stands in both is as the configuration says.

use crate::config::Settings;
use anyhow::{Context, Result, bail};
use callwright_conversation::{Conversation, TemplateError};
use callwright_domain::access::KeyStatus;
use callwright_domain::agent::Switch;
use callwright_domain::{AgentProfile, ApiKey, Moment, PhoneNumber};
use callwright_store::{Number, NumberStatus, Store, Trunk};
use std::collections::BTreeMap;
use std::path::Path;

/// Writes the declared things.
pub(crate) async fn seed(settings: &Settings, store: &Store, now: Moment) -> Result<()> {
    for (id, key) in &settings.keys {
        let key = ApiKey {
            id: id.clone(),
            account: key.account.clone(),
            name: String::from("from the configuration"),
            secret: key.secret.clone(),
            scopes: key.scopes.clone(),
            status: KeyStatus::Active,
        };
        store.put_key(key).await.with_context(|| format!("`keys.{id}`"))?;
    }
    for (id, trunk) in &settings.trunks {
        let stored = Trunk { id: id.clone(), settings: trunk.settings.clone(), enabled: Switch::On };
        store.put_trunk(trunk.account.clone(), stored).await.with_context(|| format!("`trunks.{id}`"))?;
    }
    for (number, settings) in &settings.numbers {
        let status = if settings.enabled.is_on() { NumberStatus::Active } else { NumberStatus::Disabled };
        let Some((trunk, spares)) = settings.route() else { bail!("`numbers`: no trunk") };
        let number = Number {
            account: settings.account.clone(),
            number: PhoneNumber::parse(number)?,
            trunk: trunk.clone(),
            spare_trunks: spares.to_vec(),
            status,
            max_calls: settings.max_calls,
            agent: settings.agent.clone(),
        };
        store.put_number(number).await.context("`numbers`")?;
    }
    for (id, agent) in &settings.agents {
        let profile = read_agent(&agent.file).with_context(|| format!("`agents.{id}`"))?;
        store.put_agent(agent.account.clone(), id.clone(), profile, now).await?;
    }
    Ok(())
}

/// Reads an agent from a TOML or JSON file and checks that its templates are well-formed.
pub(crate) fn read_agent(file: &Path) -> Result<AgentProfile> {
    let name = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("the agent file {name} cannot be read"))?;
    let agent: AgentProfile = match file.extension().and_then(|extension| extension.to_str()) {
        Some("json") => serde_json::from_str(&text).with_context(|| name.to_string())?,
        Some("toml") => toml::from_str(&text).with_context(|| name.to_string())?,
        _ => bail!("{name}: an agent file ends in .toml or .json"),
    };
    match Conversation::check(&agent, &BTreeMap::new()) {
        // Which variables there are is known with each call, not before.
        Ok(()) | Err(TemplateError::Unknown { .. }) => Ok(agent),
        Err(malformed) => Err(malformed).context(name.to_string()),
    }
}
