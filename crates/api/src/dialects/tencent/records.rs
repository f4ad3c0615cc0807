//! What was said in a call, and how long everything took: rounds, lines, latencies.

use super::words::VendorError;
use super::{Asked, numbers};
use crate::fault::Fault;
use crate::http::Context;
use callwright_domain::Moment;
use callwright_domain::call::TurnLatency;
use callwright_domain::transcript::{Speaker, TranscriptLine};
use callwright_store::CallView;
use serde_json::{Value, json};

/// What the agent is called where the callee goes by the number.
const AGENT: &str = "AI";
/// Speaking time of one character, in milliseconds, of a line whose times are not known.
const CHARACTER_MS: i64 = 70;

async fn said(context: &Context, view: &CallView) -> Result<Vec<TranscriptLine>, Fault> {
    let lines = context.calls.reader().transcript(&view.plan.account, view.plan.id).await;
    lines.map_err(Into::into)
}

/// DescribeAICallInteractionRecords: a round begins with what the callee said, the first one with the greeting.
pub(super) async fn rounds(asked: &Asked<'_>) -> Result<Value, VendorError> {
    asked.application(&[&["SessionId"]]).await?;
    let view = asked.view().await?;
    let opening = view.plan.agent.opening.interruptible.is_on();
    let rounds = in_rounds(said(asked.context, &view).await?);
    let shown = rounds.iter().enumerate().map(|(index, lines)| {
        // The first line of all is said before there is a round to speak of.
        let messages = lines.iter().enumerate().map(|(at, line)| message(line, opening || (index, at) != (0, 0)));
        let (id, messages) = (format!("{}-{index}", view.plan.id), messages.collect::<Vec<_>>());
        json!({"RoundId": id, "RoundIndex": index, "Tags": "", "Messages": messages, "Paths": []})
    });
    Ok(json!({"InteractionEventList": shown.collect::<Vec<_>>()}))
}

fn in_rounds(lines: Vec<TranscriptLine>) -> Vec<Vec<TranscriptLine>> {
    let mut rounds: Vec<Vec<TranscriptLine>> = Vec::new();
    for line in lines {
        match rounds.last_mut() {
            Some(round) if line.speaker != Speaker::Callee => round.push(line),
            _ => rounds.push(vec![line]),
        }
    }
    rounds
}

fn message(line: &TranscriptLine, interruptible: bool) -> Value {
    let at = line.at.millis();
    match line.speaker {
        Speaker::Callee => json!({"Timestamp": at, "UserReply": {
            "ASRTranscript": line.text, "MatchedIntent": "", "ExtractedSlots": "", "BranchType": "Other"}}),
        Speaker::Agent => json!({"Timestamp": at, "AISpeak": {
            "CanBeInterrupted": interruptible,
            "SpokenText": line.text,
            "SpokenType": "Other",
            "LatencyMetrics": line.latency.map(|latency| json!({
                "AsrLatency": hearing(&latency),
                "LLMFirstTokenLatency": latency.brain_ms,
                "TTSLatency": latency.voice_ms,
                "TotalLatency": latency.total_ms})),
            "KnowledgeName": "",
            "TraverseReason": ""}}),
    }
}

/// From the end of speech to the question.
const fn hearing(latency: &TurnLatency) -> u32 {
    latency.endpoint_ms.saturating_add(latency.ears_ms)
}

/// DescribeTelRecordAsr.
pub(super) async fn lines(asked: &Asked<'_>) -> Result<Value, VendorError> {
    asked.application(&[&["SessionId"]]).await?;
    let view = asked.view().await?;
    Ok(json!({"AsrDataList": transcript(asked.context, &view).await?}))
}

/// The lines of a call, as DescribeTelRecordAsr and the transcript's link show them. Where it is not known when a line
/// sounded its begin is reckoned from its length.
pub(super) async fn transcript(context: &Context, view: &CallView) -> Result<Vec<Value>, Fault> {
    let answered = view.timeline.answered.unwrap_or(view.plan.created);
    let since = |moment: Moment| moment.millis().saturating_sub(answered.millis()).max(0);
    let mut before = 0;
    let mut shown = Vec::new();
    for line in said(context, view).await? {
        let user = match line.speaker {
            Speaker::Callee => numbers::of(view.plan.callee()),
            Speaker::Agent => AGENT.to_owned(),
        };
        let (start, end) = match line.span.map(|span| span.around(line.at)) {
            Some((began, ended)) => (since(began), since(ended)),
            None => {
                let end = since(line.at);
                let length = i64::try_from(line.text.chars().count()).unwrap_or(i64::MAX).saturating_mul(CHARACTER_MS);
                (end.saturating_sub(length).max(before).min(end), end)
            }
        };
        before = end;
        shown.push(json!({"User": user, "Message": line.text, "Timestamp": line.at.millis() / 1000,
            "Start": start, "End": end}));
    }
    Ok(shown)
}

/// DescribeAILatency.
pub(super) async fn latencies(asked: &Asked<'_>) -> Result<Value, VendorError> {
    asked.application(&[&["SessionId", "StartTime", "EndTime"]]).await?;
    let view = super::reads::view_within(asked).await?;
    let rounds = in_rounds(said(asked.context, &view).await?);
    let turns: Vec<(usize, TurnLatency)> = rounds
        .iter()
        .enumerate()
        .flat_map(|(round, lines)| lines.iter().filter_map(move |line| Some((round, line.latency?))))
        .collect();
    let detail = turns.iter().map(|(round, latency)| {
        json!({
            "RoundId": format!("{}-{round}", view.plan.id),
            "ASRLatency": hearing(latency),
            "TTSLatency": latency.voice_ms,
            "LLMLatency": latency.brain_ms,
            "LLMFirstTokenLatency": latency.brain_ms,
            "ETELatency": latency.total_ms})
    });
    let of = |part: fn(&TurnLatency) -> u32| statistics(turns.iter().map(|(_, turn)| part(turn)).collect());
    Ok(json!({
        "AILatencyDetail": detail.collect::<Vec<_>>(),
        "AILatencyStatistics": {
            "ASRLatency": of(hearing),
            "TTSLatency": of(|latency| latency.voice_ms),
            "LLMLatency": of(|latency| latency.brain_ms),
            "ETELatency": of(|latency| latency.total_ms),
        }
    }))
}

/// Least, middle and nine tenths; -1 when there is none.
fn statistics(mut values: Vec<u32>) -> Value {
    values.sort_unstable();
    let at = |tenths: usize| {
        let place = (values.len().saturating_sub(1) * tenths).div_ceil(10);
        values.get(place).map_or(-1, |value| i64::from(*value))
    };
    json!({"MinLatency": at(0), "MiddleLatency": at(5), "P90Latency": at(9)})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_of_what_there_is() {
        let none = json!({"MinLatency": -1, "MiddleLatency": -1, "P90Latency": -1});
        assert_eq!(statistics(Vec::new()), none);
        let some = json!({"MinLatency": 1, "MiddleLatency": 6, "P90Latency": 10});
        assert_eq!(statistics((1..=10).rev().collect()), some);
    }
}
