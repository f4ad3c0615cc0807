//! Operations on what calls are judged by: rules of the account and of its agents, the deny list, consents, and the
//! verdicts that were given.

use super::decode::{NO_ZERO, Object, invalid, number};
use super::openapi::{Words, object, shape, words};
use super::{Asked, json_response, no_content};
use crate::dialects::timestamp;
use crate::fault::Fault;
use crate::http::Response;
use callwright_domain::number::{Country, zones};
use callwright_domain::policy::RulesPatch;
use callwright_domain::policy::rules::effective;
use callwright_domain::{AgentId, CallId, PhoneNumber};
use callwright_store::{Denial, Listed, StoredConsent, StoredVerdict};
use http::StatusCode;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// Longest text that says why or how.
const MAX_WORDS: usize = 200;
/// Bad lines of an import that are told one by one.
const TOLD_LINES: usize = 100;
/// Longest name of a time zone.
const LONGEST_ZONE: usize = 64;
/// Numbers of an import that are written in one transaction: tens of milliseconds, so that calls are accepted in between.
const AT_ONCE: usize = 10_000;
/// Digits of the longest number (E.164), and those of nineteen fit in 64 bits.
const MOST_DIGITS: u32 = 15;

/// An operation of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    ShowRules,
    PutRules,
    ShowAgentRules,
    PutAgentRules,
    ShowDenied,
    Deny,
    Allow,
    ImportDenied,
    ShowZone,
    PutZone,
    DeleteZone,
    ShowConsents,
    PutConsent,
    RevokeConsent,
    Verdicts,
}

/// Carries an operation out.
pub(super) async fn serve(action: Action, asked: &Asked<'_>) -> Result<Response, Fault> {
    match action {
        Action::ShowRules => show(asked).await,
        Action::PutRules => put(asked).await,
        Action::ShowAgentRules => show_of_agent(asked).await,
        Action::PutAgentRules => put_of_agent(asked).await,
        Action::ShowDenied => show_denied(asked).await,
        Action::Deny => deny(asked).await,
        Action::Allow => allow(asked).await,
        Action::ImportDenied => import_denied(asked).await,
        Action::ShowZone => show_zone(asked).await,
        Action::PutZone => put_zone(asked).await,
        Action::DeleteZone => delete_zone(asked).await,
        Action::ShowConsents => show_consents(asked).await,
        Action::PutConsent => put_consent(asked).await,
        Action::RevokeConsent => revoke_consent(asked).await,
        Action::Verdicts => verdicts(asked).await,
    }
}

/// What is said about an operation.
pub(super) const fn about(action: Action) -> Words {
    match action {
        Action::ShowRules => words("showRules", "Show the account's rules", None, "200", Some("RulesShown")),
        Action::PutRules => words("putRules", "Replace the rules", Some("Rules"), "200", Some("RulesShown")),
        Action::ShowAgentRules => words("showAgentRules", "Show an agent's rules", None, "200", Some("RulesShown")),
        Action::PutAgentRules => words(
            "putAgentRules",
            "Replace what an agent changes in the rules",
            Some("Rules"),
            "200",
            Some("RulesShown"),
        ),
        Action::ShowDenied => words("showDenied", "Show a number on the deny list", None, "200", Some("Denied")),
        Action::Deny => words("deny", "Put a number on the deny list", Some("Deny"), "200", Some("Denied")),
        Action::Allow => words("allow", "Take a number off the deny list", None, "204", None),
        Action::ImportDenied => {
            words("importDenied", "Put the numbers of a text/csv body on the deny list", None, "200", Some("Imported"))
        }
        Action::ShowZone => words("showZone", "Show where a callee is", None, "200", Some("CalleeZone")),
        Action::PutZone => {
            words("putZone", "Say in which time zone a callee is", Some("CalleeZone"), "200", Some("CalleeZone"))
        }
        Action::DeleteZone => words("deleteZone", "Forget where a callee is", None, "204", None),
        Action::ShowConsents => words("showConsents", "Show a number's consents", None, "200", Some("Consents")),
        Action::PutConsent => words("putConsent", "Record a consent", Some("Consent"), "200", Some("Consent")),
        Action::RevokeConsent => words("revokeConsent", "Take a number's consents back", None, "204", None),
        Action::Verdicts => words("verdicts", "Why a call was placed or refused", None, "200", Some("Verdicts")),
    }
}

async fn show(asked: &Asked<'_>) -> Result<Response, Fault> {
    shown(asked, None).await
}

async fn put(asked: &Asked<'_>) -> Result<Response, Fault> {
    stored(asked, None).await
}

async fn show_of_agent(asked: &Asked<'_>) -> Result<Response, Fault> {
    let agent = agent(asked).await?;
    shown(asked, Some(&agent)).await
}

async fn put_of_agent(asked: &Asked<'_>) -> Result<Response, Fault> {
    let agent = agent(asked).await?;
    stored(asked, Some(&agent)).await
}

/// What was set, and what counts with everything that was not.
async fn shown(asked: &Asked<'_>, agent: Option<&AgentId>) -> Result<Response, Fault> {
    let reader = asked.context.calls.reader();
    let whole = reader.rules(&asked.account, None).await?;
    let own = match agent {
        None => None,
        Some(agent) => reader.rules(&asked.account, Some(agent)).await?,
    };
    let set = if agent.is_none() { whole.clone() } else { own.clone() };
    let body = json!({"rules": set.unwrap_or_default(), "effective": effective(whole, own)});
    Ok(json_response(StatusCode::OK, &body))
}

async fn stored(asked: &Asked<'_>, agent: Option<&AgentId>) -> Result<Response, Fault> {
    let rules: RulesPatch = Object::of(asked.request)?.whole()?;
    rules.check().map_err(|flaw| invalid(flaw.field, flaw.rule))?;
    let configure = asked.context.calls.configure();
    let put = configure.put_rules(&asked.account, agent, &rules, asked.request.received).await;
    put?;
    shown(asked, agent).await
}

async fn agent(asked: &Asked<'_>) -> Result<AgentId, Fault> {
    let none = || Fault::NotFound { what: "agent" };
    let id = AgentId::new(asked.part()).map_err(|_| none())?;
    let found = asked.context.calls.reader().agent(&asked.account, &id).await?;
    found.map(|_| id).ok_or_else(none)
}

async fn show_denied(asked: &Asked<'_>) -> Result<Response, Fault> {
    let wanted = whole_number(asked, asked.part()).await?;
    let list = Listed::Of(asked.account.clone());
    let found = asked.context.calls.reader().denial(&list, &wanted).await?;
    let (denial, added) = found.ok_or(Fault::NotFound { what: "number" })?;
    let body = json!({"number": denial.number, "reason": denial.reason, "added_at": timestamp(added)});
    Ok(json_response(StatusCode::OK, &body))
}

async fn deny(asked: &Asked<'_>) -> Result<Response, Fault> {
    let wanted = whole_number(asked, asked.part()).await?;
    let mut body = Object::of(asked.request)?;
    let reason = body.text("reason", MAX_WORDS)?.unwrap_or_default();
    body.end()?;
    let denial = Denial { number: wanted, reason };
    added(asked, vec![denial]).await?;
    show_denied(asked).await
}

async fn allow(asked: &Asked<'_>) -> Result<Response, Fault> {
    let wanted = whole_number(asked, asked.part()).await?;
    let gone = asked.context.calls.configure().allow(&asked.account, &wanted).await?;
    if gone { Ok(no_content()) } else { Err(Fault::NotFound { what: "number" }) }
}

/// A file of numbers, one a line, with a reason after a comma if there is one. What can be read is put on the list, and
/// what cannot is told by its line: a number that should not be called must not be called because of its neighbour.
async fn import_denied(asked: &Asked<'_>) -> Result<Response, Fault> {
    let wanted = "text/csv";
    let kind = asked.request.header("content-type").unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(wanted) {
        return Err(Fault::MediaType { wanted });
    }
    let (file, home) = (asked.request.body.clone(), home(asked).await?);
    // Away from the runtime's threads: a file of two million lines takes a second or two.
    let reading = tokio::task::spawn_blocking(move || Sheet::read(&file, home));
    let sheet = reading.await.map_err(|_| Fault::Storage("the file could not be read"))??;
    let mut new = 0;
    for piece in sheet.numbers.chunks(AT_ONCE) {
        new += added(asked, piece.iter().filter_map(|entry| sheet.denial(*entry)).collect()).await?;
    }
    let body = json!({"read": sheet.read, "added": new, "invalid": sheet.wrong, "errors": sheet.bad});
    Ok(json_response(StatusCode::OK, &body))
}

/// A file of numbers that was read. Millions of lines fit in little memory, and stand in the order of the list that they go
/// to, so that writing them touches each part of it once.
struct Sheet {
    /// The digits of each number, as many as the longest has, and how many it has; and the place of its reason.
    numbers: Vec<(u64, u8, u32)>,
    reasons: Vec<String>,
    read: usize,
    wrong: u64,
    bad: Vec<Value>,
}

impl Sheet {
    fn read(file: &[u8], home: Option<Country>) -> Result<Self, Fault> {
        let text =
            std::str::from_utf8(file).map_err(|_| Fault::Malformed { rule: String::from("the file must be UTF-8") })?;
        let mut sheet = Self { numbers: Vec::new(), reasons: Vec::new(), read: 0, wrong: 0, bad: Vec::new() };
        let mut places: HashMap<&str, u32> = HashMap::new();
        for (place, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let (first, rest) = line.split_once(',').unwrap_or((line, ""));
            let first = first.trim().trim_matches('"');
            if first.is_empty() && rest.is_empty() || place == 0 && first.eq_ignore_ascii_case("number") {
                continue;
            }
            match read_line(first, rest, home) {
                Ok(((digits, length), reason)) => {
                    let next = u32::try_from(sheet.reasons.len()).unwrap_or(u32::MAX);
                    let reason = *places.entry(reason).or_insert_with(|| {
                        sheet.reasons.push(reason.to_owned());
                        next
                    });
                    sheet.numbers.push((digits, length, reason));
                }
                Err(rule) => {
                    sheet.wrong += 1;
                    if sheet.bad.len() < TOLD_LINES {
                        sheet.bad.push(json!({"line": place + 1, "rule": rule}));
                    }
                }
            }
        }
        sheet.read = sheet.numbers.len();
        // Of lines with the same number the first counts.
        sheet.numbers.sort_by_key(|(digits, length, _)| (*digits, *length));
        sheet.numbers.dedup_by_key(|(digits, length, _)| (*digits, *length));
        Ok(sheet)
    }

    fn denial(&self, (digits, length, reason): (u64, u8, u32)) -> Option<Denial> {
        let digits = digits / 10_u64.pow(MOST_DIGITS - u32::from(length));
        let number = PhoneNumber::parse(&format!("+{digits}")).ok()?;
        Some(Denial { number, reason: self.reasons.get(reason as usize).cloned().unwrap_or_default() })
    }
}

/// The digits of a line's number, filled up behind so that their order is that of the texts, and how many there are; and
/// the reason.
fn read_line<'a>(first: &str, rest: &'a str, home: Option<Country>) -> Result<((u64, u8), &'a str), String> {
    let number = PhoneNumber::parse(first).map_err(|why| why.to_string())?.at_home(home);
    let digits = number.international().ok_or_else(|| String::from(NEEDS_COUNTRY))?;
    let length = u8::try_from(digits.len()).unwrap_or(u8::MAX);
    let room = MOST_DIGITS.checked_sub(u32::from(length)).ok_or_else(|| String::from(NEEDS_COUNTRY))?;
    let value: u64 = digits.parse().map_err(|_| String::from(NEEDS_COUNTRY))?;
    let reason = rest.trim().trim_matches('"');
    if reason.contains('\0') {
        return Err(format!("the reason {NO_ZERO}"));
    }
    if reason.chars().count() > MAX_WORDS {
        return Err(format!("the reason must be at most {MAX_WORDS} characters"));
    }
    Ok(((value * 10_u64.pow(room), length), reason))
}

async fn added(asked: &Asked<'_>, denials: Vec<Denial>) -> Result<u64, Fault> {
    let configure = asked.context.calls.configure();
    configure.deny(&asked.account, denials, asked.request.received).await.map_err(Into::into)
}

async fn show_zone(asked: &Asked<'_>) -> Result<Response, Fault> {
    let wanted = whole_number(asked, asked.part()).await?;
    let found = asked.context.calls.reader().zone(&asked.account, &wanted).await?;
    let (zone, updated) = found.ok_or(Fault::NotFound { what: "zone" })?;
    let body = json!({"number": wanted, "zone": zone, "updated_at": timestamp(updated)});
    Ok(json_response(StatusCode::OK, &body))
}

/// Where a callee is: its calling hours and its days are reckoned by that clock alone, whatever its number says.
async fn put_zone(asked: &Asked<'_>) -> Result<Response, Fault> {
    let wanted = whole_number(asked, asked.part()).await?;
    let mut body = Object::of(asked.request)?;
    let zone = body.needed_text("zone", LONGEST_ZONE)?;
    body.end()?;
    if zones::named(&zone).is_none() {
        return Err(invalid("zone", "must be the IANA name of a time zone, such as America/Denver"));
    }
    let configure = asked.context.calls.configure();
    let put = configure.put_zone(&asked.account, &wanted, &zone, asked.request.received).await;
    put?;
    show_zone(asked).await
}

async fn delete_zone(asked: &Asked<'_>) -> Result<Response, Fault> {
    let wanted = whole_number(asked, asked.part()).await?;
    let gone = asked.context.calls.configure().delete_zone(&asked.account, &wanted).await;
    if gone? { Ok(no_content()) } else { Err(Fault::NotFound { what: "zone" }) }
}

async fn show_consents(asked: &Asked<'_>) -> Result<Response, Fault> {
    let wanted = whole_number(asked, asked.part()).await?;
    let found = asked.context.calls.reader().consents(&asked.account, &wanted).await?;
    if found.is_empty() {
        return Err(Fault::NotFound { what: "consent" });
    }
    let consents: Vec<Value> = found.iter().map(consent_json).collect();
    Ok(json_response(StatusCode::OK, &json!({ "consents": consents })))
}

async fn put_consent(asked: &Asked<'_>) -> Result<Response, Fault> {
    let wanted = whole_number(asked, asked.part()).await?;
    let mut body = Object::of(asked.request)?;
    let consent = StoredConsent {
        number: wanted,
        scope: body.needed_text("scope", 100)?,
        source: body.needed_text("source", MAX_WORDS)?,
        wording: body.text("wording", MAX_WORDS)?.unwrap_or_default(),
        given: body.moment("given_at")?.unwrap_or(asked.request.received),
        revoked: None,
    };
    body.end()?;
    if consent.given > asked.request.received {
        return Err(invalid("given_at", "must not be in the future"));
    }
    let put = asked.context.calls.configure().put_consent(&asked.account, &consent).await;
    put?;
    Ok(json_response(StatusCode::OK, &consent_json(&consent)))
}

async fn revoke_consent(asked: &Asked<'_>) -> Result<Response, Fault> {
    let wanted = whole_number(asked, asked.part()).await?;
    let configure = asked.context.calls.configure();
    let revoked = configure.revoke_consent(&asked.account, &wanted, asked.request.received).await;
    if revoked? > 0 { Ok(no_content()) } else { Err(Fault::NotFound { what: "consent" }) }
}

async fn verdicts(asked: &Asked<'_>) -> Result<Response, Fault> {
    let call: CallId = asked.part().parse().map_err(|_| Fault::NotFound { what: "call" })?;
    let found = asked.context.calls.reader().verdicts(&asked.account, call).await?;
    if found.is_empty() {
        return Err(Fault::NotFound { what: "call" });
    }
    let verdicts: Vec<Value> = found.iter().map(verdict_json).collect();
    Ok(json_response(StatusCode::OK, &json!({ "verdicts": verdicts })))
}

pub(super) fn verdict_json(one: &StoredVerdict) -> Value {
    json!({"stage": one.stage, "at": timestamp(one.at), "refusal": one.refusal, "evidence": one.evidence})
}

/// Shapes of rules, deny lists, consents and verdicts.
pub(super) fn schemas() -> Map<String, Value> {
    let (text, whole, time) =
        (json!({"type": "string"}), json!({"type": "integer"}), json!({"type": "string", "format": "date-time"}));
    let consents = json!({"type": "array", "items": {"$ref": "#/components/schemas/Consent"}});
    let verdict = object(
        &["stage", "at", "evidence"],
        json!({"stage": text, "at": time, "refusal": text, "evidence": {"type": "object"}}),
    );
    let all = json!({
        "Rules": shape(&serde_json::to_value(callwright_domain::policy::Rules::default()).unwrap_or_default()),
        "RulesShown": object(&["rules", "effective"], json!({
            "rules": {"$ref": "#/components/schemas/Rules"}, "effective": {"$ref": "#/components/schemas/Rules"}})),
        "Deny": object(&[], json!({"reason": text})),
        "Denied": object(&["number"], json!({"number": text, "reason": text, "added_at": time})),
        "CalleeZone": object(&["zone"], json!({"number": text, "zone": text, "updated_at": time})),
        "Imported": object(&["read", "added", "invalid"], json!({
            "read": whole, "added": whole, "invalid": whole,
            "errors": {"type": "array", "items": object(&["line", "rule"], json!({"line": whole, "rule": text}))}})),
        "Consent": object(&["scope", "source"], json!({
            "number": text, "scope": text, "source": text, "wording": text, "given_at": time, "revoked_at": time})),
        "Consents": object(&["consents"], json!({ "consents": consents })),
        "Verdicts": object(&["verdicts"], json!({"verdicts": {"type": "array", "items": verdict}})),
    });
    if let Value::Object(all) = all { all } else { Map::new() }
}

/// What a number on a list needs, because it is looked up as it is dialled.
const NEEDS_COUNTRY: &str = "must begin with + and the country, unless the rules name a home country";

async fn home(asked: &Asked<'_>) -> Result<Option<Country>, Fault> {
    let rules = asked.context.calls.reader().rules(&asked.account, None).await?;
    Ok(effective(rules, None).home)
}

pub(super) async fn whole_number(asked: &Asked<'_>, text: &str) -> Result<PhoneNumber, Fault> {
    let given = number("number", text)?.at_home(home(asked).await?);
    if given.international().is_some() { Ok(given) } else { Err(invalid("number", NEEDS_COUNTRY)) }
}

pub(super) fn consent_json(consent: &StoredConsent) -> Value {
    json!({
        "number": consent.number,
        "scope": consent.scope,
        "source": consent.source,
        "wording": consent.wording,
        "given_at": timestamp(consent.given),
        "revoked_at": consent.revoked.map(timestamp),
    })
}

#[cfg(test)]
mod tests {
    use callwright_domain::Refusal;

    /// Every rule with its members, and every refusal, stands on the page.
    #[test]
    fn the_page_names_everything() {
        let page = include_str!("../../../../../docs/rules.md");
        let rules = serde_json::to_value(callwright_domain::policy::Rules::default()).expect("rules are values");
        let mut words: Vec<String> = Refusal::ALL.iter().map(|refusal| refusal.id().to_owned()).collect();
        for (rule, value) in rules.as_object().expect("an object") {
            words.push(rule.clone());
            // Said on a page of their own.
            if !matches!(rule.as_str(), "redaction" | "retention") {
                words.extend(value.as_object().into_iter().flatten().map(|(member, _)| member.clone()));
            }
        }
        let missing: Vec<&String> = words.iter().filter(|word| !page.contains(&format!("`{word}`"))).collect();
        assert_eq!(missing, Vec::<&String>::new());
    }
}
