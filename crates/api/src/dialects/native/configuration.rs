//! Operations on what calls are made from: agents, caller numbers, trunks, keys. Secrets go in and never come out, except
//! a key's, once, in the answer that made it.

use super::decode::{Object, invalid, no_zero, number, query, scope_word};
use super::{Asked, json_response, no_content, profile};
use crate::dialects::{judge_services, settle_voice, timestamp};
use crate::fault::Fault;
use crate::http::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use callwright_domain::access::KeyStatus;
use callwright_domain::agent::{Switch, Tool};
use callwright_domain::{AgentId, AgentProfile, ApiKey, KeyId, Moment, PhoneNumber, Pii, Scope, TrunkId, policy};
use callwright_engine::{RegistrationStatus, TrunkStatus, trunk_flaw};
use callwright_store::{Number, NumberStatus, StoreError, StoredAgent, Transport, Trunk, TrunkSettings};
use http::{HeaderValue, StatusCode, header};
use rand::RngCore;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Agents on a page unless asked otherwise, and at most.
const PAGE: (u32, u32) = (50, 200);
/// Most calls at once that a number may be given.
const MAX_CALLS: u32 = 10_000;
/// Longest host name (RFC 1035, section 2.3.4).
const MAX_HOST: usize = 253;
/// Longest name that people give to something.
const MAX_NAME: usize = 200;
/// Most trunks that a number may name.
const MAX_TRUNKS: usize = 8;
/// Longest credential of a trunk.
const MAX_CREDENTIAL: usize = 255;

pub(super) async fn list_agents(asked: &Asked<'_>) -> Result<Response, Fault> {
    let parameters = query(asked.request, &["limit", "cursor"])?;
    let limit = page_size(parameters.get("limit").map(String::as_str))?;
    let after = parameters.get("cursor").map(String::as_str);
    let page = asked.context.calls.reader().agents(&asked.account, after, limit).await?;
    let agents: Result<Vec<Value>, Fault> = page.items.iter().map(shown_agent).collect();
    Ok(json_response(StatusCode::OK, &json!({"agents": agents?, "next": page.next})))
}

pub(super) async fn show_agent(asked: &Asked<'_>) -> Result<Response, Fault> {
    let id = AgentId::new(asked.part()).map_err(|_| Fault::NotFound { what: "agent" })?;
    let found = asked.context.calls.reader().agent(&asked.account, &id).await?;
    Ok(json_response(StatusCode::OK, &shown_agent(&found.ok_or(Fault::NotFound { what: "agent" })?)?))
}

pub(super) async fn put_agent(asked: &Asked<'_>) -> Result<Response, Fault> {
    let id = AgentId::new(asked.part()).map_err(|why| invalid("id", &why.to_string()))?;
    let profile = match query(asked.request, &["shape"])?.get("shape") {
        Some(shape) => shaped_agent(asked, (shape, &id)).await?,
        None => own_agent(asked, &id)?,
    };
    judge_services(asked.context, &profile).map_err(|(field, why)| invalid(field, &why.to_string()))?;
    asked.context.calls.check_agent(&profile).map_err(|why| invalid(why.field, &why.rule))?;
    know_agents(asked, (&id, &profile)).await?;
    let now = asked.request.received;
    let configure = asked.context.calls.configure();
    configure.put_agent(&asked.account, &id, &profile, now).await?;
    Ok(json_response(StatusCode::OK, &agent_json((&id, &profile, now))?))
}

/// Checks that the agents exist whom this one may let go on with its calls.
async fn know_agents(asked: &Asked<'_>, (id, profile): (&AgentId, &AgentProfile)) -> Result<(), Fault> {
    for tool in &profile.tools {
        let Tool::ChangeAgent { agent, .. } = tool else { continue };
        let found = asked.context.calls.reader().agent(&asked.account, agent).await?;
        if agent != id && found.is_none() {
            return Err(invalid("tools.agent", "no agent with this id exists; create it first"));
        }
    }
    Ok(())
}

/// An agent of our own shape.
fn own_agent(asked: &Asked<'_>, id: &AgentId) -> Result<AgentProfile, Fault> {
    let mut body = Object::of(asked.request)?;
    same_id(&mut body, id.as_str())?;
    // What a GET shows may be sent back; the time of the last change is ours.
    body.take("updated_at");
    let profile: AgentProfile = body.whole()?;
    profile::check(&profile).map_err(|(field, rule)| invalid(field, &rule))?;
    Ok(profile)
}

/// An agent of a vendor's shape.
async fn shaped_agent(asked: &Asked<'_>, (shape, id): (&str, &AgentId)) -> Result<AgentProfile, Fault> {
    let dialect = crate::dialects::named(shape);
    let file = serde_json::from_slice(&asked.request.body);
    let file: Value = file.map_err(|_| Fault::Malformed { rule: String::from("the body must be JSON") })?;
    no_zero(&file)?;
    let agent = dialect.and_then(|dialect| dialect.agent(&file));
    let agent = agent.unwrap_or_else(|| Err(invalid("shape", "must be a dialect that has agent files")));
    let mut agent = agent?;
    settle_voice(asked.context, &mut agent);
    if let Some(dialect) = dialect {
        dialect.settle(asked.context, (&asked.account, id), &mut agent).await?;
    }
    Ok(agent)
}

pub(super) async fn delete_agent(asked: &Asked<'_>) -> Result<Response, Fault> {
    let id = AgentId::new(asked.part()).map_err(|_| Fault::NotFound { what: "agent" })?;
    removed(asked.context.calls.configure().delete_agent(&asked.account, &id).await, "agent")
}

pub(super) async fn list_numbers(asked: &Asked<'_>) -> Result<Response, Fault> {
    query(asked.request, &[])?;
    let numbers = asked.context.calls.reader().numbers(&asked.account).await?;
    let numbers: Vec<Value> = numbers.iter().map(number_json).collect();
    Ok(json_response(StatusCode::OK, &json!({ "numbers": numbers })))
}

pub(super) async fn show_number(asked: &Asked<'_>) -> Result<Response, Fault> {
    let wanted = number_of_path(asked)?;
    let found = asked.context.calls.reader().number(&asked.account, &wanted).await?;
    Ok(json_response(StatusCode::OK, &number_json(&found.ok_or(Fault::NotFound { what: "number" })?)))
}

pub(super) async fn put_number(asked: &Asked<'_>) -> Result<Response, Fault> {
    let wanted = number("number", asked.part())?;
    let mut body = Object::of(asked.request)?;
    if body.number("number")?.is_some_and(|stated| stated != wanted) {
        return Err(invalid("number", "must be the number of the path, or absent"));
    }
    let (trunk, spare_trunks) = route(&mut body)?;
    let status = body.typed("status")?.unwrap_or(NumberStatus::Active);
    let max_calls = body.typed("max_calls")?.unwrap_or(policy::CALLS_PER_CALLER_NUMBER);
    let agent = body.text("agent", 64)?.map(AgentId::new).transpose();
    let agent = agent.map_err(|why| invalid("agent", &why.to_string()))?;
    body.end()?;
    if !(1..=MAX_CALLS).contains(&max_calls) {
        return Err(invalid("max_calls", &format!("must be a number from 1 to {MAX_CALLS}")));
    }
    for id in std::iter::once(&trunk).chain(&spare_trunks) {
        let known = asked.context.calls.reader().trunk(&asked.account, id).await?;
        if known.is_none() {
            let field = if spare_trunks.is_empty() { "trunk" } else { "trunks" };
            return Err(invalid(field, "no trunk with this id exists; create it first"));
        }
    }
    if let Some(id) = &agent {
        let known = asked.context.calls.reader().agent(&asked.account, id).await?;
        known.ok_or_else(|| invalid("agent", "no agent with this id exists; create it first"))?;
    }
    let account = asked.account.clone();
    let number = Number { account, number: wanted, trunk, spare_trunks, status, max_calls, agent };
    asked.context.calls.configure().put_number(&number).await.map_err(|error| match error {
        // Numbers are nobody's secret, but who holds one is: the same words as for any value that cannot be had.
        StoreError::Taken { .. } => invalid("number", "this number cannot be added to the account"),
        other => other.into(),
    })?;
    Ok(json_response(StatusCode::OK, &number_json(&number)))
}

pub(super) async fn delete_number(asked: &Asked<'_>) -> Result<Response, Fault> {
    let wanted = number_of_path(asked)?;
    removed(asked.context.calls.configure().delete_number(&asked.account, &wanted).await, "number")
}

pub(super) async fn list_trunks(asked: &Asked<'_>) -> Result<Response, Fault> {
    query(asked.request, &[])?;
    let trunks = asked.context.calls.reader().trunks(&asked.account).await?;
    let trunks: Vec<Value> = trunks.iter().map(|trunk| shown_trunk(asked, trunk)).collect();
    Ok(json_response(StatusCode::OK, &json!({ "trunks": trunks })))
}

pub(super) async fn show_trunk(asked: &Asked<'_>) -> Result<Response, Fault> {
    let id = TrunkId::new(asked.part()).map_err(|_| Fault::NotFound { what: "trunk" })?;
    let found = asked.context.calls.reader().trunk(&asked.account, &id).await?;
    Ok(json_response(StatusCode::OK, &shown_trunk(asked, &found.ok_or(Fault::NotFound { what: "trunk" })?)))
}

pub(super) async fn put_trunk(asked: &Asked<'_>) -> Result<Response, Fault> {
    let id = TrunkId::new(asked.part()).map_err(|why| invalid("id", &why.to_string()))?;
    let mut body = Object::of(asked.request)?;
    same_id(&mut body, id.as_str())?;
    // What a GET shows may be sent back; where the trunk stands is not for anybody to say.
    body.take("status");
    let enabled = body.typed("enabled")?.unwrap_or(Switch::On);
    let stated = body.text("password", MAX_CREDENTIAL)?;
    let password = match stated {
        Some(password) => Pii::new(password),
        // It is never shown, so what a GET gave cannot hold it: absent means as it was.
        None => {
            let before = asked.context.calls.reader().trunk(&asked.account, &id).await?;
            before.map(|trunk| trunk.settings.password).unwrap_or_default()
        }
    };
    let settings = TrunkSettings { password, ..body.whole()? };
    check_trunk(&settings)?;
    let trunk = Trunk { id, settings, enabled };
    asked.context.calls.configure().put_trunk(&asked.account, &trunk).await?;
    Ok(json_response(StatusCode::OK, &shown_trunk(asked, &trunk)))
}

pub(super) async fn delete_trunk(asked: &Asked<'_>) -> Result<Response, Fault> {
    let id = TrunkId::new(asked.part()).map_err(|_| Fault::NotFound { what: "trunk" })?;
    removed(asked.context.calls.configure().delete_trunk(&asked.account, &id).await, "trunk")
}

pub(super) async fn list_keys(asked: &Asked<'_>) -> Result<Response, Fault> {
    query(asked.request, &[])?;
    let keys = asked.context.calls.reader().keys(&asked.account).await?;
    let keys: Vec<Value> = keys.iter().map(key_json).collect();
    Ok(json_response(StatusCode::OK, &json!({ "keys": keys })))
}

pub(super) async fn make_key(asked: &Asked<'_>) -> Result<Response, Fault> {
    let mut body = Object::of(asked.request)?;
    let name = body.needed_text("name", MAX_NAME)?;
    let scopes: Vec<Scope> = body.typed("scopes")?.ok_or_else(|| Fault::Missing { field: String::from("scopes") })?;
    body.end()?;
    if scopes.is_empty() {
        return Err(invalid("scopes", "must name at least one scope"));
    }
    let scopes: Vec<Scope> = Scope::ALL.into_iter().filter(|scope| scopes.contains(scope)).collect();
    if let Some(beyond) = scopes.iter().find(|scope| !asked.key.scopes.contains(scope)) {
        // A key that could make a stronger one would have every scope.
        return Err(Fault::Forbidden { scope: scope_word(*beyond) });
    }
    let id = KeyId::new(format!("cw{}", hex::encode(random::<10>()))).map_err(|_| Fault::Internal)?;
    let secret = URL_SAFE_NO_PAD.encode(random::<32>());
    let key = ApiKey {
        id,
        account: asked.account.clone(),
        name,
        secret: Pii::new(secret.clone()),
        scopes,
        status: KeyStatus::Active,
    };
    asked.context.calls.configure().put_key(&key).await?;
    let mut shown = key_json(&key);
    shown["secret"] = json!(secret);
    let mut response = json_response(StatusCode::CREATED, &shown);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

pub(super) async fn delete_key(asked: &Asked<'_>) -> Result<Response, Fault> {
    let id = KeyId::new(asked.part()).map_err(|_| Fault::NotFound { what: "key" })?;
    removed(asked.context.calls.configure().delete_key(&asked.account, &id).await, "key")
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // The thread's generator is cryptographically strong and seeded by the operating system.
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

fn removed(outcome: Result<bool, StoreError>, what: &'static str) -> Result<Response, Fault> {
    if outcome? { Ok(no_content()) } else { Err(Fault::NotFound { what }) }
}

/// An id in the body may repeat the path's, so that what a GET shows can be sent back.
fn same_id(body: &mut Object, id: &str) -> Result<(), Fault> {
    match body.text("id", 128)? {
        Some(stated) if stated != id => Err(invalid("id", "must be the id of the path, or absent")),
        _ => Ok(()),
    }
}

/// The trunks of a number: one as `trunk`, or several in order as `trunks`; both when they agree, as a GET shows them.
fn route(body: &mut Object) -> Result<(TrunkId, Vec<TrunkId>), Fault> {
    let id = |field: &str, text: String| TrunkId::new(text).map_err(|why| invalid(field, &why.to_string()));
    let several: Option<Vec<String>> = body.typed("trunks")?;
    let Some(several) = several else { return Ok((id("trunk", body.needed_text("trunk", 64)?)?, Vec::new())) };
    let several = several.into_iter().map(|text| id("trunks", text)).collect::<Result<Vec<_>, _>>()?;
    let once: BTreeSet<&TrunkId> = several.iter().collect();
    if once.len() != several.len() || several.len() > MAX_TRUNKS {
        return Err(invalid("trunks", &format!("must name 1 to {MAX_TRUNKS} trunks, each once")));
    }
    let Some((first, spares)) = several.split_first() else {
        return Err(invalid("trunks", &format!("must name 1 to {MAX_TRUNKS} trunks, each once")));
    };
    match body.text("trunk", 64)? {
        Some(one) if one != first.as_str() => Err(invalid("trunk", "must be the first of `trunks`, or absent")),
        _ => Ok((first.clone(), spares.to_vec())),
    }
}

fn number_of_path(asked: &Asked<'_>) -> Result<PhoneNumber, Fault> {
    PhoneNumber::parse(asked.part()).map_err(|_| Fault::NotFound { what: "number" })
}

fn page_size(text: Option<&str>) -> Result<u32, Fault> {
    let Some(text) = text else { return Ok(PAGE.0) };
    let limit = text.parse().ok().filter(|limit| (1..=PAGE.1).contains(limit));
    limit.ok_or_else(|| invalid("limit", &format!("must be a number from 1 to {}", PAGE.1)))
}

fn shown_agent(agent: &StoredAgent) -> Result<Value, Fault> {
    agent_json((&agent.id, &agent.profile, agent.updated))
}

fn agent_json((id, profile, updated): (&AgentId, &AgentProfile, Moment)) -> Result<Value, Fault> {
    let mut profile = profile.clone();
    for endpoint in [&mut profile.brain.endpoint, &mut profile.voice.endpoint].into_iter().flatten() {
        endpoint.key = Pii::default();
        endpoint.params.clear();
    }
    let mut shown = serde_json::to_value(&profile).map_err(|_| Fault::Internal)?;
    shown["id"] = json!(id);
    shown["updated_at"] = json!(timestamp(updated));
    Ok(shown)
}

fn number_json(number: &Number) -> Value {
    let trunks: Vec<&TrunkId> = std::iter::once(&number.trunk).chain(&number.spare_trunks).collect();
    json!({
        "number": number.number,
        "trunk": number.trunk,
        "trunks": trunks,
        "status": number.status,
        "max_calls": number.max_calls,
        "agent": number.agent,
    })
}

fn trunk_json(trunk: &Trunk) -> Value {
    let settings = &trunk.settings;
    json!({
        "id": trunk.id,
        "host": settings.host,
        "port": settings.port,
        "transport": settings.transport,
        "username": settings.username,
        "realm": settings.realm,
        "domain": settings.domain,
        "register": settings.register,
        "cps": settings.cps,
        "max_calls": settings.max_calls,
        "options_interval_s": settings.options_interval_s,
        "transfer": settings.transfer,
        "enabled": trunk.enabled,
    })
}

/// A trunk and where it stands on this node.
fn shown_trunk(asked: &Asked<'_>, trunk: &Trunk) -> Value {
    let mut shown = trunk_json(trunk);
    let status = asked.context.calls.trunk_status(&asked.account, &trunk.id);
    shown["status"] = status.map_or(Value::Null, |status| status_json(&status));
    shown
}

fn status_json(status: &TrunkStatus) -> Value {
    let registration = match &status.registration {
        RegistrationStatus::Off => json!({"state": "off"}),
        RegistrationStatus::Trying => json!({"state": "trying"}),
        RegistrationStatus::Registered { until } => json!({"state": "registered", "until": timestamp(*until)}),
        RegistrationStatus::Failed { cause, retry_at } => {
            json!({"state": "failed", "cause": cause, "retry_at": timestamp(*retry_at)})
        }
    };
    json!({
        "registration": registration,
        "health": status.health,
        "calls": status.calls,
        "waiting": status.waiting,
        "rests_until": status.rests_until.map(timestamp),
    })
}

fn key_json(key: &ApiKey) -> Value {
    json!({"id": key.id, "name": key.name, "scopes": key.scopes, "status": key.status})
}

fn check_trunk(settings: &TrunkSettings) -> Result<(), Fault> {
    let host = |name: &str, text: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '[' | ']');
        if text.is_empty() || text.len() > MAX_HOST || !text.chars().all(allowed) {
            return Err(invalid(name, &format!("must be a host name or an address of at most {MAX_HOST} characters")));
        }
        Ok(())
    };
    let plain = |name: &str, text: &str| {
        if text.chars().count() > MAX_CREDENTIAL || text.chars().any(char::is_control) {
            let rule = format!("must be at most {MAX_CREDENTIAL} characters without control characters");
            return Err(invalid(name, &rule));
        }
        Ok(())
    };
    host("host", &settings.host)?;
    if let Some(domain) = &settings.domain {
        host("domain", domain)?;
    }
    plain("username", settings.username.expose())?;
    plain("password", settings.password.expose())?;
    plain("realm", settings.realm.as_deref().unwrap_or_default())?;
    if settings.port == 0 {
        return Err(invalid("port", "must be a number from 1 to 65535"));
    }
    match settings.transport {
        Transport::Udp | Transport::Tcp => {}
        Transport::Tls => return Err(invalid("transport", "must be udp or tcp")),
    }
    match trunk_flaw(settings) {
        Some((name, rule)) => Err(invalid(name, &rule)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trunk_is_shown_without_its_password() {
        let settings = TrunkSettings {
            host: String::from("sip.example"),
            password: Pii::new(String::from("hunter2")),
            ..TrunkSettings::default()
        };
        check_trunk(&settings).expect("a good trunk");
        let trunk = Trunk { id: TrunkId::new("t1").expect("id"), settings, enabled: Switch::On };
        assert!(!trunk_json(&trunk).to_string().contains("hunter2"));
    }

    #[test]
    fn trunks_cannot_write_sip_lines() {
        let good = TrunkSettings { host: String::from("10.0.0.1"), ..TrunkSettings::default() };
        type Change = fn(&mut TrunkSettings);
        let cases: [(&str, Change); 12] = [
            ("host", |trunk| trunk.host.clear()),
            ("host", |trunk| trunk.host = String::from("a\r\nVia: b")),
            ("host", |trunk| trunk.host = String::from("a b")),
            ("domain", |trunk| trunk.domain = Some(String::from("x;tag=1"))),
            ("username", |trunk| trunk.username = Pii::new(String::from("a\r\nb"))),
            ("realm", |trunk| trunk.realm = Some(String::from("a\nb"))),
            ("port", |trunk| trunk.port = 0),
            ("transport", |trunk| trunk.transport = Transport::Tls),
            ("options_interval_s", |trunk| trunk.options_interval_s = 3601),
            ("cps", |trunk| trunk.cps = 1001),
            ("max_calls", |trunk| trunk.max_calls = 100_001),
            ("register", |trunk| trunk.register = Switch::On),
        ];
        for (field, change) in cases {
            let mut trunk = good.clone();
            change(&mut trunk);
            match check_trunk(&trunk) {
                Err(Fault::Invalid { field: blamed, .. }) => assert_eq!(blamed, field),
                other => panic!("{field}: {other:?}"),
            }
        }
        let username = Pii::new(String::from("alice"));
        let registering = TrunkSettings { register: Switch::On, username, cps: 1000, max_calls: 3, ..good };
        check_trunk(&registering).expect("everything is carried out");
    }

    #[test]
    fn secrets_are_long_and_never_the_same() {
        let one = URL_SAFE_NO_PAD.encode(random::<32>());
        assert_eq!(one.len(), 43);
        assert_ne!(one, URL_SAFE_NO_PAD.encode(random::<32>()));
    }
}
