//! The OpenAPI 3.1 document, made from the route table and what is said here about each operation. Says nothing that the
//! code does not do: a test holds it against the table.

use super::{Operation, ROUTES, Route, browsers, campaigns, privacy, rules};
use serde_json::{Map, Value, json};

/// What is said about one operation.
pub(super) struct Words {
    id: &'static str,
    summary: &'static str,
    /// Name of the body's schema.
    body: Option<&'static str>,
    status: &'static str,
    /// Name of the answer's schema.
    answer: Option<&'static str>,
}

pub(super) const fn words(
    id: &'static str,
    summary: &'static str,
    body: Option<&'static str>,
    status: &'static str,
    answer: Option<&'static str>,
) -> Words {
    Words { id, summary, body, status, answer }
}

const fn about(operation: Operation) -> Words {
    match operation {
        Operation::StartCall => words("startCall", "Make a call", Some("StartCall"), "202", Some("StartedCall")),
        Operation::Browser(action) => browsers::about(action),
        Operation::ListCalls => words("listCalls", "List calls, newest first", None, "200", Some("CallPage")),
        Operation::ShowCall => words("showCall", "Show a call", None, "200", Some("Call")),
        Operation::HangUp => words("hangUp", "End a call", Some("HangUp"), "202", Some("Ordered")),
        Operation::Say => words("say", "Speak into a call, past the model", Some("Say"), "202", Some("Ordered")),
        Operation::Transfer => words("transfer", "Hand the callee over", Some("Transfer"), "202", Some("Ordered")),
        Operation::Hear => words("hear", "Give the model a text as the callee's", Some("Hear"), "202", Some("Ordered")),
        Operation::Recording => {
            words("recording", "Fetch the recording (Range is supported), or a clip of it", None, "200", None)
        }
        Operation::CallEvents => words("callEvents", "Follow a call as server-sent events", None, "200", None),
        Operation::AllEvents => words("allEvents", "Follow all calls as server-sent events", None, "200", None),
        Operation::Feed => words("feed", "Follow one call or all over a WebSocket", None, "101", None),
        Operation::ListAgents => words("listAgents", "List agents", None, "200", Some("AgentPage")),
        Operation::ShowAgent => words("showAgent", "Show an agent", None, "200", Some("Agent")),
        Operation::PutAgent => words("putAgent", "Create or replace an agent", Some("Agent"), "200", Some("Agent")),
        Operation::DeleteAgent => words("deleteAgent", "Delete an agent", None, "204", None),
        Operation::ListNumbers => words("listNumbers", "List caller numbers", None, "200", Some("Numbers")),
        Operation::ShowNumber => words("showNumber", "Show a caller number", None, "200", Some("Number")),
        Operation::PutNumber => {
            words("putNumber", "Create or replace a caller number", Some("Number"), "200", Some("Number"))
        }
        Operation::DeleteNumber => words("deleteNumber", "Delete a caller number", None, "204", None),
        Operation::ListTrunks => words("listTrunks", "List trunks", None, "200", Some("Trunks")),
        Operation::ShowTrunk => words("showTrunk", "Show a trunk", None, "200", Some("Trunk")),
        Operation::PutTrunk => words("putTrunk", "Create or replace a trunk", Some("Trunk"), "200", Some("Trunk")),
        Operation::DeleteTrunk => words("deleteTrunk", "Delete a trunk", None, "204", None),
        Operation::ListIds => words("listIds", "List the vendors' ids of what is here", None, "200", Some("VendorIds")),
        Operation::PutId => words("putId", "Give something a vendor's id", Some("VendorId"), "200", Some("VendorId")),
        Operation::ListKeys => words("listKeys", "List keys, without secrets", None, "200", Some("Keys")),
        Operation::MakeKey => {
            words("makeKey", "Make a key; its secret is shown once", Some("NewKey"), "201", Some("Key"))
        }
        Operation::DeleteKey => words("deleteKey", "Delete a key", None, "204", None),
        Operation::Campaign(action) => campaigns::about(action),
        Operation::ListWebhooks => words("listWebhooks", "List webhooks", None, "200", Some("Webhooks")),
        Operation::MakeWebhook => {
            words("makeWebhook", "Make a webhook; its secret is shown once", Some("Webhook"), "201", Some("Webhook"))
        }
        Operation::ShowWebhook => words("showWebhook", "Show a webhook", None, "200", Some("Webhook")),
        Operation::ChangeWebhook => {
            words("changeWebhook", "Change a webhook; its secrets stay", Some("Webhook"), "200", Some("Webhook"))
        }
        Operation::DeleteWebhook => words("deleteWebhook", "Delete a webhook", None, "204", None),
        Operation::RotateSecret => {
            words("rotateWebhookSecret", "Give a webhook another secret", Some("RotateSecret"), "200", Some("Webhook"))
        }
        Operation::TestWebhook => words("testWebhook", "Tell a webhook a test now", None, "200", Some("WebhookTest")),
        Operation::ListDeliveries => {
            words("listDeliveries", "List what a webhook was told, newest first", None, "200", Some("DeliveryPage"))
        }
        Operation::ShowAttempts => {
            words("showDelivery", "Show every try of one delivery", None, "200", Some("DeliveryAttempts"))
        }
        Operation::ReplayDelivery => words("replayDelivery", "Tell one delivery again", None, "202", Some("Replayed")),
        Operation::ReplayFailed => {
            words("replayFailed", "Tell every failed delivery again", Some("ReplayFailed"), "202", Some("Replayed"))
        }
        Operation::Rules(action) => rules::about(action),
        Operation::Privacy(action) => privacy::about(action),
        Operation::Health => words("health", "Whether the process answers", None, "200", None),
        Operation::Ready => words("ready", "Whether new calls are taken (503: no)", None, "200", None),
        Operation::Metrics => words("metrics", "Metrics in Prometheus' text format", None, "200", None),
        Operation::OpenApi => words("openApi", "This document", None, "200", None),
    }
}

/// The whole document.
pub(super) fn document() -> &'static Value {
    static DOCUMENT: std::sync::OnceLock<Value> = std::sync::OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let mut paths = Map::new();
        for route in ROUTES {
            let path = paths.entry(template(route)).or_insert_with(|| json!({}));
            path[route.method.as_str().to_ascii_lowercase()] = operation(route);
        }
        json!({
            "openapi": "3.1.0",
            "info": {"title": "Callwright", "version": env!("CARGO_PKG_VERSION")},
            "paths": paths,
            "components": {
                "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "<key id>.<secret>"}},
                "responses": {"error": {
                    "description": "What was wrong",
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
                }},
                "schemas": schemas(),
            },
        })
    })
}

/// The path with a name for each part: `/v1/calls/{id}`.
fn template(route: &Route) -> String {
    let name = if part_name(route) == "number" { "{number}" } else { "{id}" };
    let mut parts = [name, "{delivery}"].into_iter();
    let segment = |segment: &&'static str| match *segment {
        "*" => parts.next().unwrap_or("{id}"),
        fixed => fixed,
    };
    route.path.iter().map(segment).map(|segment| format!("/{segment}")).collect()
}

fn part_name(route: &Route) -> &'static str {
    match route.path.get(1) {
        Some(&("numbers" | "denied" | "consents" | "zones")) => "number",
        _ => "id",
    }
}

fn operation(route: &Route) -> Value {
    let words = about(route.operation);
    let content =
        |schema: &str| json!({"application/json": {"schema": {"$ref": format!("#/components/schemas/{schema}")}}});
    let mut answer = json!({"description": words.summary});
    if let Some(schema) = words.answer {
        answer["content"] = content(schema);
    }
    let mut operation = json!({
        "operationId": words.id,
        "summary": words.summary,
        "parameters": parameters(route),
        "responses": {words.status: answer, "default": {"$ref": "#/components/responses/error"}},
    });
    if let Some(schema) = words.body {
        let optional = [
            Operation::Privacy(privacy::Action::LinkRecording),
            Operation::HangUp,
            Operation::Campaign(campaigns::Action::Stop),
        ];
        let required = !optional.contains(&route.operation);
        operation["requestBody"] = json!({"required": required, "content": content(schema)});
    }
    match route.scope {
        Some(scope) => {
            operation["security"] = json!([{"bearer": []}]);
            operation["x-scope"] = json!(scope);
        }
        None => operation["security"] = json!([]),
    }
    operation
}

fn parameters(route: &Route) -> Vec<Value> {
    let one = |name: &str, place: &str| json!({"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}});
    let mut all = Vec::new();
    if route.path.contains(&"*") {
        all.push(one(part_name(route), "path"));
    }
    if route.path.iter().filter(|segment| **segment == "*").count() > 1 {
        all.push(one("delivery", "path"));
    }
    let query: &[&str] = match route.operation {
        Operation::ListDeliveries => &["status", "limit", "cursor"],
        Operation::ListCalls => &["status", "agent", "to", "from", "since", "until", "limit", "cursor"],
        Operation::ListAgents => &["limit", "cursor"],
        Operation::StartCall => &["dry_run"],
        Operation::Recording => &["from_ms", "to_ms", "speaker"],
        Operation::Feed => &["call", "after", "since", "seen"],
        Operation::Campaign(action) => campaigns::query_of(action),
        Operation::PutAgent => &["shape"],
        _ => &[],
    };
    all.extend(query.iter().map(|name| one(name, "query")));
    match route.operation {
        Operation::StartCall => all.push(one("Idempotency-Key", "header")),
        Operation::Recording => all.push(one("Range", "header")),
        Operation::CallEvents | Operation::AllEvents => all.push(one("Last-Event-ID", "header")),
        _ => {}
    }
    all
}

pub(super) fn object(required: &[&str], members: Value) -> Value {
    json!({"type": "object", "required": required, "properties": members})
}

fn schemas() -> Value {
    let (text, whole, time) =
        (json!({"type": "string"}), json!({"type": "integer"}), json!({"type": "string", "format": "date-time"}));
    let switch = json!({"enum": ["on", "off"]});
    let of = |name: &str| json!({"type": "array", "items": {"$ref": format!("#/components/schemas/{name}")}});
    let page = |name: &str, items: Value| object(&[name], json!({name: items, "next": {"type": ["string", "null"]}}));
    let agent = shape(&serde_json::to_value(callwright_domain::AgentProfile::default()).unwrap_or_default());
    let mut all = json!({
        "Error": object(&["error"], json!({"error": object(&["code", "message", "request_id"], json!({
            "code": text, "message": text, "field": text, "request_id": text}))})),
        "StartCall": start_call(&agent),
        "Retry": retry(),
        "StartedCall": object(&["id", "status"], json!({
            "id": text, "status": text, "agent": text, "to": text, "from": text, "created_at": time,
            "waiting_for": waiting()})),
        "MeetCall": meet_call(&agent),
        "MetCall": object(&["id", "channel", "user", "token", "join_url"], json!({
            "id": text, "agent": text, "channel": text, "user": text, "agent_user": text, "token": text,
            "expires_at": time, "join_by": time, "join_url": text})),
        "ChannelApp": object(&["app_id", "app_key"], json!({"app_id": text, "app_key": text})),
        "Call": call_schema(&text, &time),
        "CallPage": page("calls", of("Call")),
        "HangUp": object(&[], json!({"after_sentence": {"type": "boolean", "default": false}})),
        "Say": object(&["text"], json!({"text": text, "interruptible": {"type": "boolean", "default": true}})),
        "Hear": object(&["text"], json!({"text": text})),
        "Ordered": object(&["id", "status"], json!({"id": text, "status": text})),
        "Agent": agent,
        "AgentPage": page("agents", of("Agent")),
        "VendorId": object(&["dialect", "kind", "id", "names"], json!({
            "dialect": text, "kind": {"enum": ["agent", "application"]}, "id": text, "names": text})),
        "VendorIds": object(&["ids"], json!({"ids": of("VendorId")})),
        "Number": object(&[], json!({
            "number": text, "trunk": text, "trunks": {"type": "array", "items": text, "description":
                "Several trunks instead of one: the next is tried when one fails before anybody can have been rung"},
            "status": {"enum": ["active", "disabled"]}, "max_calls": whole, "agent": {"type": ["string", "null"]}})),
        "Numbers": object(&["numbers"], json!({"numbers": of("Number")})),
        "Trunk": object(&["host"], json!({
            "id": text, "host": text, "port": whole, "transport": {"enum": ["udp", "tcp"]}, "username": text,
            "password": {"type": "string", "writeOnly": true}, "realm": text, "domain": text, "register": switch,
            "cps": whole, "max_calls": whole, "options_interval_s": whole, "enabled": switch,
            "transfer": {"enum": ["auto", "refer", "bridge"]}, "status": trunk_status_schema(&whole, &time)})),
        "Trunks": object(&["trunks"], json!({"trunks": of("Trunk")})),
        "NewKey": object(&["name", "scopes"], json!({
            "name": text, "scopes": {"type": "array", "items": {"enum": callwright_domain::Scope::ALL}}})),
        "Key": object(&["id", "name", "scopes", "status"], json!({
            "id": text, "name": text, "scopes": {"type": "array", "items": text}, "status": text,
            "secret": {"type": "string", "description": "In the answer that made the key, and never again"}})),
        "Keys": object(&["keys"], json!({"keys": of("Key")})),
        "Webhooks": object(&["webhooks"], json!({"webhooks": of("Webhook")})),
        "Webhook": webhook_schema(&text, &time),
        "RotateSecret": object(&[], json!({
            "secret": text, "keep_previous": {"type": "boolean", "default": true}})),
        "WebhookTest": object(&["delivered"], json!({
            "delivered": {"type": "boolean"}, "status": whole, "detail": text, "took_ms": whole})),
        "Delivery": object(&["id", "event", "status"], json!({
            "id": text, "event": topics(), "call": text, "seq": whole, "at": time,
            "status": {"enum": ["pending", "delivered", "skipped", "failed"]}, "tries": whole,
            "next_try_at": time, "settled_at": time})),
        "DeliveryPage": page("deliveries", of("Delivery")),
        "DeliveryAttempts": object(&["id", "attempts"], json!({"id": text, "attempts": {"type": "array", "items": object(
            &["at", "took_ms"], json!({"at": time, "took_ms": whole, "status": whole, "detail": text}))}})),
        "ReplayFailed": object(&["since"], json!({"since": time})),
        "Replayed": object(&["replayed"], json!({"replayed": whole})),
    });
    let others = rules::schemas().into_iter().chain(privacy::schemas()).chain([(String::from("Transfer"), transfer())]);
    for (name, schema) in campaigns::schemas(&agent, &json!({"enum": causes()})).into_iter().chain(others) {
        all[name] = schema;
    }
    all
}

/// An order to hand the callee over.
fn transfer() -> Value {
    let text = json!({"type": "string"});
    object(&["to"], json!({"to": text, "announcement": text, "apology": text}))
}

/// Where a trunk stands: only ever shown.
fn trunk_status_schema(whole: &Value, time: &Value) -> Value {
    let text = json!({"type": "string"});
    let mut status = object(
        &["registration", "health", "calls", "waiting"],
        json!({
            "registration": object(&["state"], json!({
                "state": {"enum": ["off", "trying", "registered", "failed"]}, "until": time, "cause": text, "retry_at": time})),
            "health": {"enum": ["unchecked", "up", "down"]},
            "calls": whole, "waiting": whole, "rests_until": {"type": ["string", "null"]},
        }),
    );
    status["readOnly"] = json!(true);
    status
}

fn call_schema(text: &Value, time: &Value) -> Value {
    let or_null = |kind: &str| json!({"type": [kind, "null"]});
    let status = json!({"enum": ["queued", "dialing", "ringing", "talking", "transferring", "ended"]});
    object(
        &["id", "status", "agent", "to", "from", "created_at"],
        json!({
            "id": text, "status": status, "agent": text, "to": or_null("string"), "from": or_null("string"),
            "trunk": or_null("string"), "browser": or_null("object"), "user_data": or_null("string"), "thread": or_null("string"), "variables": {"type": "object"},
            "created_at": time, "scheduled_for": time, "waiting_for": waiting(),
            "retry": {"oneOf": [{"$ref": "#/components/schemas/Retry"}, {"type": "null"}]}, "waits_until": or_null("string"), "dialing_at": or_null("string"), "ringing_at": or_null("string"),
            "answered_at": or_null("string"), "ended_at": or_null("string"), "duration_s": or_null("number"),
            "cause": {"enum": causes()}, "sip_status": or_null("integer"), "q850": or_null("integer"),
            "transcript": {"type": "array", "items": object(&["speaker", "text", "at"], json!({
                "speaker": {"enum": ["agent", "callee"]}, "text": text, "at": time, "began_at": or_null("string"), "ended_at": or_null("string"), "interrupted": {"type": "boolean"},
                "latency": or_null("object")}))},
            "timeline": {"type": "array", "items": object(&["seq", "at", "event"], json!({
                "seq": {"type": "integer"}, "at": time, "event": text}))},
            "recording": or_null("string"), "extract": or_null("object"),
            "gone": object(&["recording", "transcript"], json!({
                "recording": {"enum": ["expired", "erased", null]}, "transcript": {"enum": ["expired", "erased", null]}})),
        }),
    )
}

fn topics() -> Value {
    let words: Vec<&str> = callwright_domain::Topic::ALL.iter().map(|topic| topic.word()).collect();
    json!({ "enum": words })
}

fn webhook_schema(text: &Value, time: &Value) -> Value {
    let mut events = topics();
    if let Some(Value::Array(words)) = events.get_mut("enum") {
        words.push(json!("*"));
    }
    object(
        &["url"],
        json!({
            "id": text, "url": {"type": "string", "format": "uri"}, "description": text,
            "events": {"type": "array", "items": events}, "agent": text,
            "dialect": {"type": "string", "default": "native", "description":
                "in whose words it is told: native, or tencent (its data push)"},
            "headers": {"type": "object", "additionalProperties": text},
            "max_tries": {"type": "integer", "minimum": 1, "maximum": 8, "default": 8},
            "ordered": {"enum": ["on", "off"], "default": "on"},
            "status": {"enum": ["enabled", "disabled", "gone", "failing"]}, "failing_since": time,
            "secret": {"type": "string", "description": "whsec_ and Base64; shown when it is made and never again"},
            "secrets": {"type": "integer", "readOnly": true}, "call": {"type": "string", "readOnly": true},
            "created_at": time, "updated_at": time,
        }),
    )
}

/// What a request for a call may hold.
fn start_call(agent: &Value) -> Value {
    let (text, time) = (json!({"type": "string"}), json!({"type": "string", "format": "date-time"}));
    object(
        &["agent", "to"],
        json!({
            "agent": text, "to": text, "from": {"oneOf": [text, {"type": "array", "items": text}]},
            "variables": {"type": "object", "additionalProperties": text}, "user_data": text, "thread": text,
            "overrides": agent, "scheduled_for": time, "deadline": time,
            "wait_s": {"type": "integer", "minimum": 0, "maximum": 86400, "default": 0, "description":
                "how long the call may wait for a place among the calls of its caller number, agent or account, in seconds \
                 from when it is due; 0: it is refused when there is none, and where it is due later (scheduled_for, a retry, \
                 calling hours) it waits until its deadline, or for an hour where it has none. A call whose wait ends \
                 without a place ends as no_place"},
            "retry": {"$ref": "#/components/schemas/Retry"}, "webhook": {"$ref": "#/components/schemas/Webhook"}}),
    )
}

/// What a request for a call that is met in a browser may hold.
fn meet_call(agent: &Value) -> Value {
    let text = json!({"type": "string"});
    let from = |least: u32, usual: u32, most: u32| json!({"type": "integer", "minimum": least, "maximum": most, "default": usual});
    let seconds = |usual: u32, most: u32| from(1, usual, most);
    object(
        &["agent"],
        json!({
            "agent": text, "user": text, "variables": {"type": "object", "additionalProperties": text},
            "user_data": text, "thread": text, "overrides": agent, "join_within_s": seconds(60, 86_400),
            "rejoin_within_s": from(0, 0, 86_400),
            "token_s": seconds(3600, 604_800), "push_to_talk": {"enum": ["on", "off"], "default": "off"}}),
    )
}

/// When and how often a call is tried again, and where in its chain it stands.
fn retry() -> Value {
    let whole = json!({"type": "integer"});
    let causes = callwright_domain::HangupCause::ALL.map(|cause| json!(cause));
    let read = |schema: Value| {
        let Value::Object(mut members) = schema else { return json!({}) };
        members.insert(String::from("readOnly"), json!(true));
        Value::Object(members)
    };
    let windows =
        json!({"type": "object", "description": "the hours in which a retry may ring, as a campaign's windows"});
    object(
        &["on", "max_attempts"],
        json!({
            "on": {"type": "array", "items": {"enum": causes}},
            "max_attempts": {"type": "integer", "minimum": 2, "maximum": 20},
            "waits_s": {"type": "array", "items": whole}, "windows": windows,
            "attempt": read(whole), "first": read(json!({"type": "string"})),
            "next": read(json!({"type": ["string", "null"]})),
        }),
    )
}

/// What a call may wait for.
fn waiting() -> Value {
    json!({"enum": ["caller_busy", "agent_busy", "account_busy", null]})
}

fn causes() -> Vec<Value> {
    callwright_domain::HangupCause::ALL.iter().map(|cause| json!(cause)).chain([Value::Null]).collect()
}

/// The schema of a value's shape: what its members are, by example of the default.
pub(super) fn shape(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let shapes: Map<_, _> = members.iter().map(|(name, value)| (name.clone(), shape(value))).collect();
            json!({"type": "object", "properties": shapes})
        }
        Value::Array(_) => json!({"type": "array", "items": {}}),
        Value::String(text) => json!({"default": text}),
        Value::Number(number) => json!({"type": "number", "default": number}),
        Value::Bool(yes) => json!({"type": "boolean", "default": yes}),
        Value::Null => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_document_and_the_table_say_the_same() {
        let routed: BTreeSet<_> =
            ROUTES.iter().map(|route| (template(route), route.method.as_str().to_ascii_lowercase())).collect();
        let paths = document()["paths"].as_object().expect("paths");
        let methods = |path: &str, operations: &Value| -> Vec<(String, String)> {
            operations.as_object().expect("methods").keys().map(|method| (path.to_owned(), method.clone())).collect()
        };
        let told: BTreeSet<_> = paths.iter().flat_map(|(path, operations)| methods(path, operations)).collect();
        assert_eq!(routed, told);
        assert_eq!(routed.len(), ROUTES.len(), "no route stands twice");
    }

    #[test]
    fn every_reference_leads_somewhere_and_ids_are_unique() {
        let text = document().to_string();
        for piece in text.split("\"#/components/schemas/").skip(1) {
            let name = piece.split('"').next().expect("a name");
            assert!(document()["components"]["schemas"][name].is_object(), "{name}");
        }
        let ids: BTreeSet<_> = ROUTES.iter().map(|route| about(route.operation).id).collect();
        assert_eq!(ids.len(), ROUTES.len());
    }
}
