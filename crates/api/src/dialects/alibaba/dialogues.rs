//! The chat history of a SessionId: listed, and lines taken out of it. Never changes what a call's own journal says.
//!
//! A dialogue is one line that was heard or said, or a written message. A round begins where the user speaks after the agent has, and with the
//! first line of a call.

use super::wire::Call;
use super::{VendorError, invalid};
use crate::fault::Fault;
use crate::http::Context;
use callwright_domain::agent::Greeting;
use callwright_domain::chat::{Author, ChatMessage};
use callwright_domain::transcript::Speaker;
use callwright_domain::{AccountId, CallEvent, CallId, Moment, ThreadId};
use callwright_store::{First, Reader, ThreadKey, ThreadPlace, ThreadSpan};
use http::StatusCode;
use serde_json::{Value, json};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// Longest SessionId, in characters; the rest of its shape is the thread's own.
const MAX_SESSION: usize = 255;
/// Longest DialogueId and NodeId, in characters.
const MAX_ID: usize = 128;
/// Dialogues on a page unless asked otherwise, and at most.
const PAGE: (u32, u32) = (20, 100);
/// Highest number of a page: what lies farther back is found by its time.
const MAX_PAGE: u32 = 1000;
/// Most rounds at once.
const MAX_ROUNDS: u32 = 100;
/// Most dialogues of these rounds: a round has two or three.
const MAX_DIALOGUES: usize = 1000;
/// Events read at a time; about half of them are lines.
const AT_A_TIME: u32 = 500;

/// ListAIAgentDialogues.
pub(super) async fn list(call: &Call<'_>, account: &AccountId, context: &Context) -> Result<Value, VendorError> {
    let key = session(call, account)?;
    let moment = |name| Ok::<_, Fault>(Moment(call.whole(name, 0..=i64::MAX)?.ok_or_else(|| super::missing(name))?));
    let (from, until) = (moment("StartTime")?, moment("EndTime")?);
    if until < from {
        return Err(invalid("EndTime", "must not be before StartTime").into());
    }
    let order = call.word("Order", &[("DESC", First::Newest), ("ASC", First::Oldest)])?.unwrap_or(First::Newest);
    let page = call.count("PageNumber", 1..=MAX_PAGE)?.unwrap_or(1);
    let size = call.count("PageSize", 1..=PAGE.1)?.unwrap_or(PAGE.0);
    let rounds = call.count("RoundLimit", 1..=MAX_ROUNDS)?;
    // The newest rounds are found from the end, whatever is shown first.
    let first = if rounds.is_some() { First::Newest } else { order };
    let mut lines = Lines::new(context.calls.reader(), key, ThreadSpan { from, until, first });
    let mut found = Vec::new();
    match rounds {
        Some(rounds) => {
            let mut seen = BTreeSet::new();
            while let Some(line) = lines.next().await? {
                seen.insert(line.round.clone());
                if seen.len() > rounds as usize || found.len() >= MAX_DIALOGUES {
                    break;
                }
                found.push(line.shown());
            }
            if order == First::Oldest {
                found.reverse();
            }
        }
        None => {
            lines.skip(u64::from(page - 1) * u64::from(size)).await?;
            while found.len() < size as usize {
                let Some(line) = lines.next().await? else { break };
                found.push(line.shown());
            }
        }
    }
    Ok(json!({"Dialogues": found}))
}

/// DeleteAIAgentDialogue. Deleting what is deleted is what was wanted.
pub(super) async fn delete(call: &Call<'_>, account: &AccountId, context: &Context) -> Result<Value, VendorError> {
    let key = session(call, account)?;
    let dialogue = call.needed("DialogueId", MAX_ID)?;
    let node = call.parameter("NodeId");
    if node.as_ref().is_some_and(|node| node.chars().count() > MAX_ID) {
        return Err(invalid("NodeId", &format!("must be at most {MAX_ID} characters")).into());
    }
    // No dialogue has a node here, so a node names none of them.
    let forgotten = match (line_of(&dialogue), super::chat::id_of(&dialogue)) {
        (Some((call, seq)), _) if node.is_none() => context.calls.forget(key, call, seq).await,
        (None, Some(message)) if node.is_none() => context.calls.forget_message(key, message).await,
        _ => Ok(false),
    };
    match forgotten? {
        true => Ok(json!({})),
        false => Err(unknown()),
    }
}

fn session(call: &Call<'_>, account: &AccountId) -> Result<ThreadKey, Fault> {
    let session = call.needed("SessionId", MAX_SESSION)?;
    let thread = ThreadId::new(session).map_err(|why| invalid("SessionId", &why.to_string()))?;
    Ok(ThreadKey { account: account.clone(), thread })
}

fn unknown() -> VendorError {
    VendorError::new(StatusCode::NOT_FOUND, "DialogueNotFound", "The dialogue is not found.")
}

/// A dialogue's id: its call and its place there.
fn id_of(call: CallId, seq: u64) -> String {
    format!("{call}-{seq}")
}

fn line_of(id: &str) -> Option<(CallId, u64)> {
    let (call, seq) = id.split_once('-')?;
    let digits = !seq.is_empty() && seq.bytes().all(|byte| byte.is_ascii_digit());
    Some((call.parse().ok()?, seq.parse().ok().filter(|_| digits)?))
}

/// A line of the history.
struct Line {
    id: String,
    round: String,
    source: &'static str,
    speaker: Speaker,
    kind: &'static str,
    text: String,
    at: Moment,
}

impl Line {
    fn shown(self) -> Value {
        let producer = match self.speaker {
            Speaker::Callee => "user",
            Speaker::Agent => "agent",
        };
        json!({
            "DialogueId": self.id,
            "RoundId": self.round,
            "Producer": producer,
            "Text": self.text,
            "ReasoningText": "",
            "Time": self.at.millis(),
            "Source": self.source,
            "Type": self.kind,
            "NodeId": "",
            "Extend": "",
            "AttachedFileList": [],
        })
    }
}

/// What must be known of a whole call to say of one of its lines in which round it is.
struct Outline {
    /// The first line of the round that each line belongs to.
    rounds: BTreeMap<u64, u64>,
    /// The line that greeted.
    greeting: Option<u64>,
}

impl Outline {
    async fn of(reader: &Reader, account: &AccountId, call: CallId) -> Result<Self, Fault> {
        let said = reader.transcript(account, call).await?;
        let view = reader.call(account, call).await?;
        let greets = view.is_some_and(|view| view.plan.agent.opening.greeting != Greeting::None);
        let greeting = said.first().filter(|line| greets && line.speaker == Speaker::Agent).map(|line| line.seq);
        let speakers = said.iter().map(|line| (line.seq, line.speaker));
        Ok(Self { rounds: rounds(speakers), greeting })
    }
}

/// For each line the first line of its round.
fn rounds(lines: impl Iterator<Item = (u64, Speaker)>) -> BTreeMap<u64, u64> {
    let mut rounds = BTreeMap::new();
    let mut last: Option<(u64, Speaker)> = None;
    for (seq, speaker) in lines {
        let first = match last {
            Some((first, before)) if speaker == Speaker::Agent || before == Speaker::Callee => first,
            Some(_) | None => seq,
        };
        rounds.insert(seq, first);
        last = Some((first, speaker));
    }
    rounds
}

/// The lines of a history, one after the other. Reads no farther than is asked for.
struct Lines<'a> {
    reader: &'a Reader,
    key: ThreadKey,
    span: ThreadSpan,
    /// Where the last portion ended; none: nothing was read yet.
    after: Option<ThreadPlace>,
    portion: VecDeque<Said>,
    /// Whether the last portion was the end.
    ended: bool,
    /// The same for written messages.
    written: VecDeque<ChatMessage>,
    written_after: Option<(Moment, u128)>,
    written_ended: bool,
    outlines: HashMap<CallId, Outline>,
}

impl<'a> Lines<'a> {
    fn new(reader: &'a Reader, key: ThreadKey, span: ThreadSpan) -> Self {
        let (portion, written, outlines) = (VecDeque::new(), VecDeque::new(), HashMap::new());
        let (after, written_after, ended, written_ended) = (None, None, false, false);
        Self { reader, key, span, after, portion, ended, written, written_after, written_ended, outlines }
    }

    async fn next(&mut self) -> Result<Option<Line>, Fault> {
        let Said { place: (at, call, seq), speaker, by_order, text } = match self.take().await? {
            None => return Ok(None),
            Some(Taken::Wrote(message)) => return Ok(Some(written(*message))),
            Some(Taken::Said(said)) => said,
        };
        let outline = match self.outlines.entry(call) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(Outline::of(self.reader, &self.key.account, call).await?),
        };
        let round = id_of(call, outline.rounds.get(&seq).copied().unwrap_or(seq));
        let kind = match by_order {
            true => "speech",
            false if outline.greeting == Some(seq) => "greeting",
            false => "normal",
        };
        Ok(Some(Line { id: id_of(call, seq), round: format!("r{round}"), source: "call", speaker, kind, text, at }))
    }

    async fn skip(&mut self, mut lines: u64) -> Result<(), Fault> {
        while lines > 0 && self.take().await?.is_some() {
            lines -= 1;
        }
        Ok(())
    }

    /// The next line, spoken or written.
    async fn take(&mut self) -> Result<Option<Taken>, Fault> {
        self.fill().await?;
        let wrote = match (self.portion.front(), self.written.front()) {
            (None, None) => return Ok(None),
            (Some(_), None) => false,
            (None, Some(_)) => true,
            (Some(Said { place: (at, ..), .. }), Some(message)) => match self.span.first {
                First::Newest => message.at > *at,
                First::Oldest => message.at < *at,
            },
        };
        Ok(match wrote {
            true => self.written.pop_front().map(|message| Taken::Wrote(Box::new(message))),
            false => self.portion.pop_front().map(Taken::Said),
        })
    }

    /// Reads on until the next line of each kind is known.
    async fn fill(&mut self) -> Result<(), Fault> {
        if self.written.is_empty() && !self.written_ended {
            let (key, after) = (&self.key, self.written_after);
            let messages = self.reader.thread_messages(key, self.span, after, AT_A_TIME).await?;
            self.written_ended = messages.len() < AT_A_TIME as usize;
            self.written_after = messages.last().map(|last| (last.at, last.id)).or(self.written_after);
            self.written.extend(messages);
        }
        while self.portion.is_empty() && !self.ended {
            let events = self.reader.thread_events(&self.key, self.span, self.after, AT_A_TIME).await?;
            self.ended = events.len() < AT_A_TIME as usize;
            self.after = events.last().map(|(call, last)| (last.at, *call, last.seq)).or(self.after);
            self.portion.extend(events.into_iter().filter_map(|(call, recorded)| {
                let place = (recorded.at, call, recorded.seq);
                let (speaker, by_order, text) = match recorded.event {
                    CallEvent::Heard { text, .. } => (Speaker::Callee, false, text),
                    CallEvent::Said { text, by_order, .. } => (Speaker::Agent, by_order, text),
                    _ => return None,
                };
                Some(Said { place, speaker, by_order, text: text.into_exposed() })
            }));
        }
        Ok(())
    }
}

/// What was said in a call.
struct Said {
    place: ThreadPlace,
    speaker: Speaker,
    /// Somebody had ordered it to be said as it is.
    by_order: bool,
    text: String,
}

/// A line before it is known in which round it is.
enum Taken {
    Said(Said),
    Wrote(Box<ChatMessage>),
}

fn written(message: ChatMessage) -> Line {
    let speaker = match message.author {
        Author::User => Speaker::Callee,
        Author::Agent => Speaker::Agent,
    };
    Line {
        id: format!("{:032x}", message.id),
        round: format!("{:032x}", message.round),
        source: "chat",
        speaker,
        kind: message.kind.word(),
        text: message.text.into_exposed(),
        at: message.at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_begins_where_the_user_speaks_after_the_agent() {
        use Speaker::{Agent, Callee};
        let lines = [(5, Agent), (6, Callee), (8, Callee), (9, Agent), (10, Agent), (12, Callee), (14, Agent)];
        let expected = [(5, 5), (6, 6), (8, 6), (9, 6), (10, 6), (12, 12), (14, 12)];
        assert_eq!(rounds(lines.into_iter()), BTreeMap::from(expected));
        assert!(rounds(std::iter::empty()).is_empty());
    }

    #[test]
    fn ids_name_a_line_and_nothing_else_does() {
        let call = CallId::from_entropy(7);
        assert_eq!(line_of(&id_of(call, 12)), Some((call, 12)));
        let hex = "0".repeat(32);
        for bad in
            ["", "-", "x-1", &hex, &format!("{hex}-"), &format!("{hex}-+1"), &format!("{hex}-99999999999999999999")]
        {
            assert_eq!(line_of(bad), None, "{bad}");
        }
    }
}
