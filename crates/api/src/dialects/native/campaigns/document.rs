//! What the OpenAPI document says about campaigns.

use super::super::openapi::{Words, object, words};
use callwright_domain::campaign::{CampaignState, RowState};
use serde_json::{Map, Value, json};

/// An operation on campaigns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dialects::native) enum Action {
    Create,
    List,
    Show,
    Change,
    Delete,
    Start,
    Pause,
    Resume,
    Stop,
    AddCallees,
    ListCallees,
    Results,
}

pub(in crate::dialects::native) const fn about(action: Action) -> Words {
    let (body, shown) = (Some("CampaignSettings"), Some("Campaign"));
    match action {
        Action::Create => words("createCampaign", "Create a campaign as a draft", body, "201", shown),
        Action::List => words("listCampaigns", "List campaigns", None, "200", Some("CampaignPage")),
        Action::Show => words("showCampaign", "Show a campaign and its progress", None, "200", shown),
        Action::Change => words("changeCampaign", "Replace a campaign's settings", body, "200", shown),
        Action::Delete => words("deleteCampaign", "Delete a draft or finished campaign", None, "204", None),
        Action::Start => words("startCampaign", "Start a campaign", None, "200", shown),
        Action::Pause => words("pauseCampaign", "Dial nobody until it is resumed", None, "200", shown),
        Action::Resume => words("resumeCampaign", "Go on dialling", None, "200", shown),
        Action::Stop => words("stopCampaign", "Stop for good", Some("StopCampaign"), "200", shown),
        Action::AddCallees => {
            words("addCallees", "Add callees (JSON or text/csv)", Some("NewCallees"), "200", Some("CalleesReport"))
        }
        Action::ListCallees => words("listCallees", "List a campaign's callees", None, "200", Some("CalleePage")),
        Action::Results => words("campaignResults", "What came of each callee, as a file", None, "200", None),
    }
}

/// The query's parameters.
pub(in crate::dialects::native) const fn query_of(action: Action) -> &'static [&'static str] {
    match action {
        Action::List => &["state", "limit", "cursor"],
        Action::AddCallees => &["number_column", "id_column", "duplicates"],
        Action::ListCallees => &["state", "cause", "to", "id", "limit", "cursor"],
        Action::Results => &["format"],
        Action::Create
        | Action::Show
        | Action::Change
        | Action::Delete
        | Action::Start
        | Action::Pause
        | Action::Resume
        | Action::Stop => &[],
    }
}

/// The schemas, by name.
pub(in crate::dialects::native) fn schemas(agent: &Value, causes: &Value) -> Map<String, Value> {
    let (text, whole, time) =
        (json!({"type": "string"}), json!({"type": "integer"}), json!({"type": "string", "format": "date-time"}));
    let texts = json!({"type": "object", "additionalProperties": text});
    let list = |items: Value| json!({"type": "array", "items": items});
    let or_null = |kind: &str| json!({"type": [kind, "null"]});
    let named = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let days = json!({"enum": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]});
    let window = object(&["from", "to"], json!({"days": list(days), "from": text, "to": text}));
    let settings = json!({
        "name": text, "agent": text, "overrides": agent, "from": {"oneOf": [text, list(text.clone())]},
        "variables": texts,
        "windows": object(&["zone", "weekly"], json!({"zone": text, "weekly": list(window), "holidays": list(text.clone())})),
        "concurrency": {"type": "integer", "default": 10}, "cps": {"type": "integer", "default": 2},
        "gap_ms": {"type": "integer", "default": 0},
        "retry": object(&["on", "max_attempts"], json!({
            "on": list(causes.clone()), "max_attempts": whole, "waits_s": list(whole.clone())})),
        "priority": {"type": "integer", "minimum": 1, "maximum": 10, "default": 5},
        "starts_at": time, "deadline": time, "abandonment_guard": {"enum": ["on", "off"]},
    });
    let mut campaign = settings.clone();
    for (name, schema) in [
        ("id", text.clone()),
        ("state", json!({"enum": CampaignState::ALL})),
        ("stopped", or_null("string")),
        ("paused_because", or_null("string")),
        ("held_by", or_null("object")),
        ("progress", json!({"type": "object"})),
        ("created_at", time.clone()),
        ("started_at", or_null("string")),
        ("finished_at", or_null("string")),
    ] {
        campaign[name] = schema;
    }
    let one = object(
        &["to"],
        json!({"to": text, "id": text, "variables": texts, "user_data": text, "scheduled_for": time, "max_duration_s": whole}),
    );
    let problem = object(&["line", "code", "message"], json!({"line": whole, "code": text, "message": text}));
    let row = json!({
        "row": whole, "line": whole, "to": text, "id": or_null("string"), "variables": texts,
        "user_data": or_null("string"), "max_duration_s": or_null("integer"), "state": {"enum": RowState::ALL},
        "cause": causes, "reason": or_null("string"), "attempts": whole, "due_at": or_null("string"),
        "calls": list(object(&["attempt", "call"], json!({"attempt": whole, "call": text}))), "updated_at": time,
    });
    let page = |name: &str, items: Value| object(&[name], json!({name: list(items), "next": or_null("string")}));
    [
        ("CampaignSettings", object(&["name", "agent"], settings)),
        ("Campaign", object(&["id", "name", "agent", "state"], campaign)),
        ("CampaignPage", page("campaigns", named("Campaign"))),
        ("StopCampaign", object(&[], json!({"hang_up": {"type": "boolean", "default": false}}))),
        ("NewCallees", object(&["callees"], json!({"callees": list(one), "duplicates": {"enum": ["skip", "call"]}}))),
        (
            "CalleesReport",
            object(
                &["added"],
                json!({"lines": whole, "added": whole, "invalid": whole, "duplicates": whole,
            "problems": list(problem), "problems_omitted": whole}),
            ),
        ),
        ("Callee", object(&["row", "to", "state"], row)),
        ("CalleePage", page("callees", named("Callee"))),
    ]
    .into_iter()
    .map(|(name, schema)| (name.to_owned(), schema))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every setting, state and problem of a line stands on the page.
    #[test]
    fn the_page_names_everything() {
        let page = include_str!("../../../../../../docs/campaigns.md");
        let schemas = schemas(&json!({}), &json!({}));
        let of = |name: &str| schemas[name]["properties"].as_object().expect("an object").keys().cloned();
        let mut words: Vec<String> = of("CampaignSettings").chain(of("StopCampaign")).chain(of("NewCallees")).collect();
        words.extend(CampaignState::ALL.iter().map(|state| state.word().to_owned()));
        words.extend(RowState::ALL.iter().map(|state| state.word().to_owned()));
        let missing: Vec<&String> = words
            .iter()
            .filter(|word| !page.contains(&format!("`{word}`")) && !page.contains(&format!("\"{word}\"")))
            .filter(|word| !page.contains(&format!("{word}=")))
            .collect();
        assert_eq!(missing, Vec::<&String>::new());
    }
}
