//! What was said in earlier calls of a call's thread, for its model. Hides how far back is looked. Never knows who was on
//! the telephone then: whoever places calls gives the thread its id.
//!
//! The lines are those of the journals, so they do not depend on a recording; what was not heard is not among them. A
//! call of the thread that is still up counts with what was said in it until this one is dialled.

use crate::limits::{THREAD_BYTES, THREAD_CALLS, THREAD_LINES};
use crate::node::Node;
use callwright_domain::CallPlan;
use callwright_domain::agent::{HistoryLine, HistoryRole};
use callwright_domain::transcript::{Speaker, TranscriptLine};
use callwright_store::{StoreError, ThreadKey};

/// The newest lines of the thread that a call belongs to, oldest first; none without a thread.
pub(super) async fn earlier(node: &Node, plan: &CallPlan) -> Result<Vec<HistoryLine>, StoreError> {
    let Some(thread) = plan.thread.clone() else { return Ok(Vec::new()) };
    let key = ThreadKey { account: plan.account.clone(), thread };
    let mut lines: Vec<TranscriptLine> = Vec::new();
    for call in node.reader.thread_calls(&key, THREAD_CALLS).await? {
        if call == plan.id {
            continue;
        }
        let said = node.reader.transcript(&plan.account, call).await?;
        let forgotten = node.reader.forgotten(&plan.account, call).await?;
        lines.extend(said.into_iter().filter(|line| !forgotten.contains(&line.seq)));
        if lines.len() >= THREAD_LINES {
            break;
        }
    }
    // Calls of one thread may have been up at the same time, and accepted in another order than they were dialled.
    lines.sort_by_key(|line| line.at);
    Ok(newest(lines))
}

/// As many of the last lines as the model is told.
fn newest(lines: Vec<TranscriptLine>) -> Vec<HistoryLine> {
    let mut bytes = 0;
    let mut kept: Vec<HistoryLine> = lines
        .into_iter()
        .rev()
        .take(THREAD_LINES)
        .take_while(|line| {
            bytes += line.text.len();
            bytes <= THREAD_BYTES
        })
        .map(|line| {
            let role = match line.speaker {
                Speaker::Callee => HistoryRole::User,
                Speaker::Agent => HistoryRole::Assistant,
            };
            HistoryLine { role, content: line.text }
        })
        .collect();
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use callwright_domain::Moment;

    fn line(seq: u64, text: String) -> TranscriptLine {
        let speaker = if seq.is_multiple_of(2) { Speaker::Agent } else { Speaker::Callee };
        TranscriptLine { seq, speaker, text, at: Moment(0), interrupted: false, latency: None }
    }

    #[test]
    fn the_newest_lines_survive_both_limits_in_their_order() {
        let kept = newest((1..=60).map(|seq| line(seq, seq.to_string())).collect());
        assert_eq!(kept.len(), THREAD_LINES);
        assert_eq!(kept[0], HistoryLine { role: HistoryRole::User, content: "21".into() });
        assert_eq!(kept[39], HistoryLine { role: HistoryRole::Assistant, content: "60".into() });
        let long = "x".repeat(THREAD_BYTES / 4);
        let kept = newest((1..=9).map(|seq| line(seq, format!("{seq}{}", &long[1..]))).collect());
        let told: Vec<&str> = kept.iter().map(|line| &line.content[..1]).collect();
        assert_eq!(told, ["6", "7", "8", "9"]);
        assert_eq!(newest(Vec::new()), []);
    }
}
