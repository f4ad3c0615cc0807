//! What was said in earlier calls of a call's thread, and written in it, for its model. Hides how far back is looked.
//! Never knows who was on the telephone then: whoever places calls gives the thread its id.
//!
//! The lines are those of the journals, so they do not depend on a recording; what was not heard is not among them. A
//! call of the thread that is still up counts with what was said in it until this one is dialled.

use crate::limits::{THREAD_BYTES, THREAD_CALLS, THREAD_LINES};
use crate::node::Node;
use callwright_domain::agent::{HistoryLine, HistoryRole};
use callwright_domain::chat::{Author, ChatMessage, MessageKind};
use callwright_domain::transcript::{Speaker, TranscriptLine};
use callwright_domain::{CallId, CallPlan, Moment};
use callwright_store::{First, StoreError, ThreadKey, ThreadSpan};

/// The newest lines of the thread that a call belongs to, oldest first; none without a thread.
pub(super) async fn earlier(node: &Node, plan: &CallPlan) -> Result<Vec<HistoryLine>, StoreError> {
    let Some(thread) = plan.thread.clone() else { return Ok(Vec::new()) };
    let key = ThreadKey { account: plan.account.clone(), thread };
    thread_lines(node, &key, Some(plan.id)).await
}

/// The newest lines of a thread, spoken and written, oldest first; without those of the call `except`.
pub(crate) async fn thread_lines(
    node: &Node,
    key: &ThreadKey,
    except: Option<CallId>,
) -> Result<Vec<HistoryLine>, StoreError> {
    let mut lines: Vec<TranscriptLine> = Vec::new();
    for call in node.reader.thread_calls(key, THREAD_CALLS).await? {
        if Some(call) == except {
            continue;
        }
        let said = node.reader.transcript(&key.account, call).await?;
        let forgotten = node.reader.forgotten(&key.account, call).await?;
        lines.extend(said.into_iter().filter(|line| !forgotten.contains(&line.seq)));
        if lines.len() >= THREAD_LINES {
            break;
        }
    }
    let always = ThreadSpan { from: Moment(0), until: Moment(i64::MAX), first: First::Newest };
    let most = u32::try_from(THREAD_LINES).unwrap_or(u32::MAX);
    let written = node.reader.thread_messages(key, always, None, most).await?;
    lines.extend(written.into_iter().filter(|message| message.kind != MessageKind::Custom).map(line_of));
    // Calls of one thread may have been up at the same time, and accepted in another order than they were dialled.
    lines.sort_by_key(|line| line.at);
    Ok(newest(lines))
}

/// A written message as a line beside spoken ones.
fn line_of(message: ChatMessage) -> TranscriptLine {
    let speaker = match message.author {
        Author::User => Speaker::Callee,
        Author::Agent => Speaker::Agent,
    };
    TranscriptLine {
        seq: 0,
        speaker,
        text: message.text.into_exposed(),
        at: message.at,
        span: None,
        interrupted: false,
        by_order: false,
        latency: None,
    }
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

    fn line(seq: u64, text: String) -> TranscriptLine {
        let speaker = if seq.is_multiple_of(2) { Speaker::Agent } else { Speaker::Callee };
        TranscriptLine {
            seq,
            speaker,
            text,
            at: Moment(0),
            span: None,
            interrupted: false,
            by_order: false,
            latency: None,
        }
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
