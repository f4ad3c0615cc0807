//! What calls are made from, to find ids: numbers, use cases, agents; and the hooks of a use case.

use super::dial::{Fields, voice_id};
use super::ids::{DIALECT, made};
use super::view::{HIDDEN, use_case};
use super::words::Complaint;
use super::{Asked, cases};
use crate::callbacks::may_set;
use crate::dialects::every_agent;
use crate::dialects::native::invalid;
use crate::fault::Fault;
use callwright_domain::webhook::{Endpoint, History, Order, Status, Topics, Whose};
use callwright_domain::{AgentId, Origin, Pii, Topic, Webhook, WebhookId};
use callwright_store::{AliasKind, Number, StoredAgent};
use rand::RngCore;
use serde_json::{Value, json};

/// Most hooks of a use case, and most headers of one.
const MAX_HOOKS: (usize, usize) = (10, 20);
/// Tries to tell one event (the vendor does not say how many).
const TRIES: u32 = 5;
/// The vendor's words for languages of agents.
const SPOKEN: [(&str, &str); 10] = [
    ("en", "english"),
    ("es", "spanish"),
    ("pt", "portuguese"),
    ("de", "german"),
    ("fr", "french"),
    ("pl", "polish"),
    ("ro", "romanian"),
    ("it", "italian"),
    ("zh", "chinese"),
    ("ja", "japanese"),
];

/// GET /numbers.
pub(super) async fn numbers(asked: &Asked<'_>) -> Result<Value, Complaint> {
    let all = asked.context.calls.reader().numbers(&asked.key.account).await?;
    let agents = every_agent(asked.context, &asked.key.account).await?;
    Ok(all.iter().map(|found| number(asked, found, &agents)).collect())
}

/// GET /numbers/{id}.
pub(super) async fn show_number(asked: &Asked<'_>, id: &str) -> Result<Value, Complaint> {
    let found = find_number(asked, id).await?;
    Ok(number(asked, &found, &every_agent(asked.context, &asked.key.account).await?))
}

/// PATCH /numbers/{id}: the use case of the number's calls that name none.
pub(super) async fn change_number(asked: &Asked<'_>, id: &str) -> Result<Value, Complaint> {
    let found = find_number(asked, id).await?;
    let body = asked.body()?;
    let fields = Fields::of(&body, "the body")?;
    let known = ["use_case_id", "use_case_config", "agent_routes", "model_routes"];
    if let Some(other) = body.as_object().and_then(|all| all.keys().find(|name| !known.contains(&name.as_str()))) {
        let other: String = other.chars().filter(|c| !c.is_control()).take(40).collect();
        return Err(Complaint::unsupported(&format!(
            "changing {other} here: PUT /v1/numbers/{{number}} changes a number"
        )));
    }
    let nested = fields.raw("use_case_config").map(|config| Fields::of(config, "use_case_config")).transpose()?;
    for fields in nested.iter().chain([&fields]) {
        for routes in ["prompt_routes", "agent_routes", "model_routes"] {
            if fields.raw(routes).is_some_and(|value| value.as_array().is_none_or(|routes| !routes.is_empty())) {
                return Err(Complaint::unsupported(&format!("{routes}: all calls of a use case have the same agent")));
            }
        }
    }
    let (newer, older) = (nested.as_ref().map(|nested| nested.text("id")).transpose()?, fields.text("use_case_id")?);
    let wanted =
        newer.flatten().or(older).ok_or_else(|| Fault::Missing { field: String::from("use_case_config.id") })?;
    let agent = find(asked, wanted).await?.id;
    let changed = Number { agent: Some(agent), ..found };
    asked.context.calls.configure().put_number(&changed).await?;
    Ok(number(asked, &changed, &every_agent(asked.context, &asked.key.account).await?))
}

async fn find_number(asked: &Asked<'_>, id: &str) -> Result<Number, Fault> {
    asked.book.find_number(asked.context, id).await?.ok_or(Fault::NotFound { what: "number" })
}

/// With the use case of calls that name none: the number's own, or the account's only one.
fn number(asked: &Asked<'_>, found: &Number, agents: &[StoredAgent]) -> Value {
    let dialled = found.number.dial();
    let own = agents.iter().find(|agent| found.agent.as_ref() == Some(&agent.id));
    let case = own.or(if let [only] = agents { Some(only) } else { None });
    let case = case.map(|agent| json!({"id": asked.book.agent(&agent.id), "prompt_routes": [], "agent_routes": []}));
    json!({
        "id": asked.book.id(AliasKind::Number, dialled),
        "organization_id": asked.book.organization(),
        "number": dialled,
        "sid": format!("PN{}", made(&asked.key.account, "sid", dialled)),
        "title": dialled,
        "use_case_config": case,
    })
}

/// GET /agents.
pub(super) async fn agents(asked: &Asked<'_>) -> Result<Value, Complaint> {
    let all = every_agent(asked.context, &asked.key.account).await?;
    Ok(all.iter().map(|agent| persona(asked, agent)).collect())
}

fn persona(asked: &Asked<'_>, agent: &StoredAgent) -> Value {
    let tag = if agent.profile.language.is_empty() { "en" } else { &agent.profile.language };
    let known = SPOKEN.iter().find(|(head, _)| tag.split('-').next() == Some(head));
    json!({
        "id": asked.book.agent(&agent.id),
        "organization_id": asked.book.organization(),
        "name": super::ids::name_of(&agent.id, &agent.profile),
        "languages": [known.map_or(tag, |(_, word)| word)],
        "voice_id": voice_id(asked, agent),
        "created_at": super::view::time(agent.created),
    })
}

/// GET /use-cases.
pub(super) async fn use_cases(asked: &Asked<'_>) -> Result<Value, Complaint> {
    let all = every_agent(asked.context, &asked.key.account).await?;
    Ok(all.iter().map(|agent| use_case(&agent.id, &agent.profile, &asked.book)).collect())
}

async fn find(asked: &Asked<'_>, id: &str) -> Result<StoredAgent, Fault> {
    asked.book.find_agent(asked.context, id).await?.ok_or(Fault::NotFound { what: "use case" })
}

/// GET /use-cases/{id}.
pub(super) async fn show_use_case(asked: &Asked<'_>, id: &str) -> Result<Value, Complaint> {
    let found = find(asked, id).await?;
    Ok(use_case(&found.id, &found.profile, &asked.book))
}

/// What of a use case can be changed here. What else it is, is changed where agents are.
const CHANGED: [&str; 11] = [
    "hook",
    "hooks",
    "name",
    "language",
    "keywords",
    "max_duration_mins",
    "transfer_number",
    "amd",
    "amd_behavior",
    "extract_with_ai",
    "classification_tags",
];

/// PATCH /use-cases/{id}.
pub(super) async fn change_use_case(asked: &mut Asked<'_>, id: &str) -> Result<Value, Complaint> {
    let found = find(asked, id).await?;
    let body = asked.body()?;
    let fields = Fields::of(&body, "the body")?;
    if let Some(other) = body.as_object().and_then(|all| all.keys().find(|name| !CHANGED.contains(&name.as_str()))) {
        let other: String = other.chars().filter(|c| !c.is_control()).take(40).collect();
        return Err(Complaint::unsupported(&format!("changing {other} here: PUT /v1/agents/{{id}} changes an agent")));
    }
    let hooks: Option<Vec<&Value>> = match (fields.raw("hooks"), fields.raw("hook")) {
        (Some(Value::Array(hooks)), _) => Some(hooks.iter().collect()),
        (Some(_), _) => return Err(invalid("hooks", "must be a list of objects").into()),
        (None, Some(hook)) => Some(vec![hook]),
        (None, None) => None,
    };
    let mut profile = found.profile.clone();
    cases::lay(&fields, &mut profile)?;
    if let Some(flaw) = asked.context.calls.speech_flaw(&profile).filter(|_| profile.language != found.profile.language)
    {
        return Err(Complaint::unsupported(&format!("the language {}: {flaw}", profile.language)));
    }
    let before: Vec<Webhook> =
        asked.book.hooks.iter().filter(|hook| hook.whose == Whose::Agent(found.id.clone())).cloned().collect();
    // Everything is judged before anything is changed.
    let made = match &hooks {
        Some(hooks) => decoded(asked, &found.id, hooks, &before).await?,
        None => Vec::new(),
    };
    let (configure, account) = (asked.context.calls.configure(), &asked.key.account);
    if profile != found.profile {
        let put = configure.put_agent(account, &found.id, &profile, asked.request.received).await;
        put?;
    }
    if hooks.is_some() {
        for hook in &made {
            configure.put_webhook(hook).await?;
        }
        for old in &before {
            configure.delete_webhook(account, &old.id).await?;
        }
        asked.book.hooks.retain(|hook| !before.iter().any(|old| old.id == hook.id));
        asked.book.hooks.extend(made);
    }
    show_use_case(asked, id).await
}

async fn decoded(
    asked: &Asked<'_>,
    agent: &AgentId,
    hooks: &[&Value],
    before: &[Webhook],
) -> Result<Vec<Webhook>, Fault> {
    if hooks.len() > MAX_HOOKS.0 {
        return Err(invalid("hooks", &format!("must have at most {} items", MAX_HOOKS.0)));
    }
    let mut made = Vec::new();
    for hook in hooks {
        made.push(decode(asked, agent, hook, before).await?);
    }
    Ok(made)
}

async fn decode(asked: &Asked<'_>, agent: &AgentId, hook: &Value, before: &[Webhook]) -> Result<Webhook, Fault> {
    let fields = Fields::of(hook, "each of hooks")?;
    let url = fields.text("url")?.ok_or_else(|| Fault::Missing { field: String::from("hooks.url") })?;
    asked.context.guard.admit(url).await.map_err(|why| invalid("hooks.url", &why.to_string()))?;
    let was = before.iter().find(|hook| hook.endpoint.url.expose() == url);
    let mut headers: Vec<(String, Pii<String>)> = Vec::new();
    let rule = "must be a list of at most 20 objects with a key and a value that HTTP allows";
    let wrong = || invalid("hooks.headers", rule);
    let none = Vec::new();
    let given = fields.raw("headers").map_or(Some(&none), Value::as_array).ok_or_else(wrong)?;
    for header in given {
        let (Some(key), Some(value)) = (header["key"].as_str(), header["value"].as_str()) else { return Err(wrong()) };
        // What was shown and comes back means as it was.
        let kept =
            was.filter(|_| value == HIDDEN).and_then(|hook| hook.endpoint.headers.iter().find(|(k, _)| k == key));
        let value = kept.map_or_else(|| Pii::new(value.to_owned()), |(_, value)| value.clone());
        if !may_set(key) || http::HeaderValue::from_str(value.expose()).is_err() {
            return Err(wrong());
        }
        headers.push((key.to_owned(), value));
    }
    if headers.len() > MAX_HOOKS.1 {
        return Err(wrong());
    }
    let now = asked.request.received;
    let bits = u128::from(rand::rng().next_u64()) << 64 | u128::from(rand::rng().next_u64());
    let memo = json!({"organization_id": asked.book.organization(), "use_case_id": asked.book.agent(agent)});
    Ok(Webhook {
        id: WebhookId::new(format!("wh{bits:032x}")).expect("hexadecimal digits are allowed"),
        account: asked.key.account.clone(),
        whose: Whose::Agent(agent.clone()),
        endpoint: Endpoint {
            url: Pii::new(url.to_owned()),
            description: String::new(),
            secrets: Vec::new(),
            headers,
            origin: Origin { dialect: DIALECT.to_owned(), memo: memo.to_string() },
            max_tries: TRIES,
            order: Order::PerCall,
            history: History::AtEnd,
        },
        topics: Topics::Only(vec![Topic::CallAnswered, Topic::CallEnded]),
        status: Status::Enabled,
        failing_since: None,
        created: now,
        updated: now,
    })
}
