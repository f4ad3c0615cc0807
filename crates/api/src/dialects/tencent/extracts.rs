//! What was found out about a call after its end: facts that `ExtractConfig` asked for, and the analysis of the call. Nothing
//! is listed before it is found.

use super::Asked;
use super::fields::Fields;
use super::words::VendorError;
use callwright_domain::extract::{ExtractSettings, Fact, FactKind};
use callwright_store::{CallView, ExtractState, StoredFindings};
use serde_json::{Value, json};

/// Most facts, and longest texts of one; the rules of the domain are checked beside these.
const MOST: usize = 50;
const LONGEST: usize = 2000;
/// The vendor's words for kinds of facts.
const KINDS: &[(&str, FactKind)] = &[
    ("Text", FactKind::Text),
    ("Selector", FactKind::Choice),
    ("Boolean", FactKind::Flag),
    ("Number", FactKind::Number),
];

/// What `ExtractConfig` asks for.
///
/// # Errors
/// The first member that is not acceptable.
pub(super) fn wanted(fields: &Fields<'_>) -> Result<ExtractSettings, VendorError> {
    let mut settings = ExtractSettings::default();
    for item in fields.objects("ExtractConfig", MOST)?.unwrap_or_default() {
        item.only(&[&["InfoType", "InfoName", "InfoContent", "Examples", "Choices"]])?;
        settings.facts.push(Fact {
            name: item.needed("InfoName", item.label("InfoName", LONGEST)?)?,
            kind: item.needed("InfoType", item.word("InfoType", KINDS)?)?,
            description: item.text("InfoContent", LONGEST)?.unwrap_or_default(),
            examples: item.texts("Examples", MOST, LONGEST)?.unwrap_or_default(),
            choices: item.texts("Choices", MOST, LONGEST)?.unwrap_or_default(),
        });
    }
    // Who asks for facts is told of the whole call, too: the model reads it anyway.
    settings.summary = (!settings.facts.is_empty()).into();
    settings.check().map_err(|(path, rule)| fields.bad(&vendors_path(&path), &rule))?;
    Ok(settings)
}

/// Our path of a member in the vendor's words.
fn vendors_path(path: &str) -> String {
    let ours = [
        ("facts", "ExtractConfig"),
        ("name", "InfoName"),
        ("description", "InfoContent"),
        ("examples", "Examples"),
        ("choices", "Choices"),
    ];
    let word = |part: &str| ours.iter().find(|(known, _)| *known == part).map_or(part, |(_, word)| *word).to_owned();
    path.split('.').map(word).collect::<Vec<_>>().join(".")
}

async fn found(asked: &Asked<'_>) -> Result<(CallView, Option<StoredFindings>), VendorError> {
    asked.application(&[&["SessionId", "StartTime", "EndTime"]]).await?;
    let view = super::reads::view_within(asked).await?;
    let found = asked.context.calls.reader().findings(&asked.key.account, view.plan.id).await?;
    Ok((view, found.filter(|found| found.state == ExtractState::Done)))
}

/// DescribeAICallExtractResult.
pub(super) async fn facts(asked: &Asked<'_>) -> Result<Value, VendorError> {
    let (view, found) = found(asked).await?;
    let Some(found) = found else { return Ok(json!({"ResultList": []})) };
    let listed = view.plan.agent.extract.facts.iter().filter_map(|fact| {
        let value = found.findings.facts.get(&fact.name)?;
        let (kind, _) = KINDS.iter().find(|(_, kind)| *kind == fact.kind)?;
        let result = match fact.kind {
            FactKind::Text => json!({ "Text": value }),
            FactKind::Choice => json!({ "Chosen": [value] }),
            FactKind::Flag => json!({ "Boolean": value }),
            FactKind::Number => json!({ "Number": value }),
        };
        Some(json!({"InfoType": kind, "InfoName": fact.name, "InfoContent": fact.description, "Result": result}))
    });
    Ok(json!({"ResultList": listed.collect::<Vec<_>>()}))
}

/// DescribeAIAnalysisResult.
pub(super) async fn analysis(asked: &Asked<'_>) -> Result<Value, VendorError> {
    let (_, found) = found(asked).await?;
    let findings = found.map(|found| found.findings).unwrap_or_default();
    let known = [("summary", findings.summary), ("mood", findings.mood), ("intention", findings.intention)];
    let listed = known.into_iter().filter_map(|(kind, text)| Some(json!({"Type": kind, "Result": text?})));
    Ok(json!({"ResultList": listed.collect::<Vec<_>>()}))
}
