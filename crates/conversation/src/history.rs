//! What was really said: by the callee as it was recognised, by the agent as far as it was heard. Hides how an
//! interrupted answer is cut and how tool calls and their results are kept together. Never contains what was only
//! generated, except what is about to be played.

use crate::exchange::PhraseId;
use crate::vocabulary::{Message, Role, ToolCall};
use crate::words;
use callwright_domain::agent::{HistoryLine, HistoryRole, Switch};
use std::collections::VecDeque;
use std::time::Instant;

/// Most entries kept, whatever the configured limit.
const ENTRIES_CAP: usize = 2000;
/// Most text kept, in bytes; more than any model's window in a conversation.
const TEXT_CAP: usize = 256 * 1024;

/// Names one go of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryId(u64);

/// Whether the model is told of what the agent said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Yes.
    Keep,
    /// No: fillers and the like would only be imitated.
    Forget,
}

/// What kind of go it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) memory: Memory,
    /// It was ordered from outside.
    pub(crate) by_order: bool,
}

#[derive(Debug)]
enum Entry {
    Given(Message),
    Callee(String),
    Agent(Go),
}

/// One go of the agent: the pieces of its answer, and the tools it used in it.
#[derive(Debug)]
struct Go {
    id: EntryId,
    memory: Memory,
    pieces: Vec<Piece>,
    calls: Vec<(ToolCall, Option<String>)>,
    cut: bool,
    closed: bool,
    by_order: bool,
    /// From its first sound to its last, so far.
    sound: Option<(Instant, Instant)>,
}

#[derive(Debug)]
struct Piece {
    phrase: PhraseId,
    text: String,
    heard: bool,
    /// What of it was cut off.
    unsaid: String,
}

/// A go that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) id: EntryId,
    /// What was heard of it.
    pub(crate) text: String,
    pub(crate) interrupted: bool,
    /// It was ordered from outside.
    pub(crate) by_order: bool,
    /// From its first sound to its last.
    pub(crate) sound: Option<(Instant, Instant)>,
    /// What was cut off, as far as it had been made.
    pub(crate) unsaid: String,
}

/// The history of one call.
#[derive(Debug)]
pub(crate) struct History {
    prompt: String,
    limit: usize,
    join: Switch,
    /// What stands at the end of what was cut off.
    mark: String,
    entries: VecDeque<Entry>,
    next: u64,
}

impl History {
    /// A history that begins with the given lines. `limit`: most past turns told to the model.
    pub(crate) fn new(prompt: String, limit: u32, join: Switch, given: impl Iterator<Item = HistoryLine>) -> Self {
        let entries = given.filter(|line| !line.content.trim().is_empty()).map(Entry::given).collect();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut history = Self { prompt, limit, join, mark: String::new(), entries, next: 0 };
        history.prune();
        history
    }

    /// The same with a mark for the end of what was cut off.
    pub(crate) fn marking(mut self, mark: String) -> Self {
        self.mark = mark;
        self
    }

    /// Takes another's instructions and limits; what was said stays.
    pub(crate) fn adopt(&mut self, fresh: Self) {
        (self.prompt, self.limit, self.join, self.mark) = (fresh.prompt, fresh.limit, fresh.join, fresh.mark);
        self.prune();
    }

    /// The callee said this. Consecutive utterances become one, where so configured.
    pub(crate) fn callee(&mut self, text: &str) {
        match self.entries.back_mut() {
            Some(Entry::Callee(before)) if self.join.is_on() && before.len() < TEXT_CAP => words::join(before, text),
            _ => self.entries.push_back(Entry::Callee(text.to_owned())),
        }
        self.prune();
    }

    /// The callee's last utterance had these words too.
    pub(crate) fn amend_callee(&mut self, text: &str) {
        let last = self.entries.iter_mut().rev().find_map(|entry| match entry {
            Entry::Callee(before) => Some(before),
            Entry::Given(_) | Entry::Agent(_) => None,
        });
        match last {
            Some(before) if before.len() < TEXT_CAP => words::join(before, text),
            _ => self.callee(text),
        }
    }

    /// The agent begins to say something.
    pub(crate) fn begin(&mut self, memory: Memory) -> EntryId {
        let id = EntryId(self.next);
        self.next += 1;
        let go = Go {
            id,
            memory,
            pieces: Vec::new(),
            calls: Vec::new(),
            cut: false,
            closed: false,
            by_order: false,
            sound: None,
        };
        self.entries.push_back(Entry::Agent(go));
        id
    }

    /// Somebody outside has ordered what is said in this go.
    pub(crate) fn ordered(&mut self, id: EntryId) {
        if let Some(go) = self.go(id) {
            go.by_order = true;
        }
    }

    /// The agent is about to say this.
    pub(crate) fn piece(&mut self, id: EntryId, phrase: PhraseId, text: &str) {
        if let Some(go) = self.go(id) {
            go.pieces.push(Piece { phrase, text: text.to_owned(), heard: false, unsaid: String::new() });
        }
    }

    /// The phrase sounded, or a part of it did.
    pub(crate) fn sounded(&mut self, phrase: PhraseId, (began, ended): (Instant, Instant)) {
        let has = |go: &&mut Go| go.pieces.iter().any(|piece| piece.phrase == phrase);
        if let Some(go) = self.goes().find(has) {
            let (first, _) = go.sound.unwrap_or((began, ended));
            go.sound = Some((first, ended));
        }
    }

    /// The phrase was heard to its end.
    pub(crate) fn heard(&mut self, phrase: PhraseId) {
        if let Some((_, piece)) = self.find(phrase) {
            piece.heard = true;
        }
    }

    /// Only the first `bytes` of the phrase were heard. Returns the rest.
    pub(crate) fn cut(&mut self, phrase: PhraseId, bytes: usize) -> String {
        let rest = self.lose(phrase, bytes);
        if let Some((cut, piece)) = self.find(phrase) {
            *cut = true;
            piece.unsaid.clone_from(&rest);
        }
        rest
    }

    /// As [`Self::cut`], but through nobody's interruption.
    pub(crate) fn lose(&mut self, phrase: PhraseId, bytes: usize) -> String {
        let Some((_, piece)) = self.find(phrase) else { return String::new() };
        piece.heard = true;
        let rest = piece.text.split_off(piece.text.floor_char_boundary(bytes));
        piece.text.truncate(piece.text.trim_end().len());
        rest.trim().to_owned()
    }

    /// The tools that the model used in this go.
    pub(crate) fn calls(&mut self, id: EntryId, calls: Vec<ToolCall>) {
        if let Some(go) = self.go(id) {
            go.calls = calls.into_iter().map(|call| (call, None)).collect();
        }
    }

    /// What one of them gave. Returns the call.
    pub(crate) fn result(&mut self, id: EntryId, index: usize, result: &str) -> Option<ToolCall> {
        let (call, slot) = self.go(id)?.calls.get_mut(index)?;
        *slot = Some(result.to_owned());
        Some(call.clone())
    }

    /// Whether something may still be added to one of the goes.
    pub(crate) fn has_open(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry, Entry::Agent(go) if !go.closed))
    }

    /// Whether anything of this go was heard.
    pub(crate) fn was_heard(&mut self, id: EntryId) -> bool {
        self.go(id).is_some_and(|go| !go.text().is_empty())
    }

    /// What kind a go is of that is said on when it was cut off by mistake; none: it is not. Fillers and the like have had
    /// their time.
    pub(crate) fn kind_to_go_on(&mut self, id: EntryId) -> Option<Kind> {
        let go = self.go(id)?;
        let kind = Kind { memory: go.memory, by_order: go.by_order };
        (go.memory == Memory::Keep || go.by_order).then_some(kind)
    }

    /// Takes note of the goes of which nothing more will be heard; `open` is still being made.
    pub(crate) fn close(&mut self, open: Option<EntryId>) -> Vec<Closed> {
        let (mut closed, mut changed) = (Vec::new(), false);
        for entry in &mut self.entries {
            let Entry::Agent(go) = entry else { continue };
            if go.closed || Some(go.id) == open || go.pieces.iter().any(|piece| !piece.heard) {
                continue;
            }
            go.closed = true;
            changed = true;
            let (text, unsaid) = (go.text(), go.take_unsaid());
            if !text.is_empty() {
                let (id, interrupted, by_order, sound) = (go.id, go.cut, go.by_order, go.sound);
                closed.push(Closed { id, text, interrupted, by_order, sound, unsaid });
            }
        }
        if !changed {
            return closed;
        }
        self.entries.retain(|entry| match entry {
            Entry::Agent(go) => {
                let silent = go.text().is_empty() && go.calls.is_empty();
                !go.closed || !(silent || go.memory == Memory::Forget)
            }
            Entry::Given(_) | Entry::Callee(_) => true,
        });
        self.prune();
        closed
    }

    /// The conversation as the model shall see it; `said` is an utterance that is not in the history yet.
    pub(crate) fn messages(&self, said: Option<&str>) -> Vec<Message> {
        let mut messages = Vec::new();
        if !self.prompt.trim().is_empty() {
            messages.push(Message::text(Role::System, self.prompt.clone()));
        }
        // The message that more words of the callee's belong to; never one that was said before this call.
        let mut own = None;
        for entry in self.entries.iter().skip(self.first()) {
            match entry {
                Entry::Given(message) => messages.push(message.clone()),
                Entry::Callee(text) => {
                    own = Some(messages.len());
                    messages.push(Message::text(Role::User, text.clone()));
                }
                Entry::Agent(go) => go.tell(&self.mark, &mut messages),
            }
        }
        if let Some(said) = said {
            let last = messages.len().checked_sub(1);
            match messages.last_mut() {
                Some(message) if own == last && self.join.is_on() => words::join(&mut message.content, said),
                _ => messages.push(Message::text(Role::User, said)),
            }
        }
        messages
    }

    /// The first entry within the limit: that many past turns, and the present one.
    fn first(&self) -> usize {
        let turns = self.entries.iter().enumerate().rev().filter(|(_, entry)| entry.is_callees());
        turns.map(|(at, _)| at).nth(self.limit).unwrap_or(0)
    }

    /// Forgets what the model will never be told again.
    fn prune(&mut self) {
        let mut text: usize = self.entries.iter().map(Entry::len).sum();
        let mut beyond = self.first();
        while beyond > 0 || text > TEXT_CAP || self.entries.len() > ENTRIES_CAP {
            let open = |entry: &Entry| matches!(entry, Entry::Agent(go) if !go.closed);
            if self.entries.len() <= 1 || self.entries.front().is_none_or(open) {
                return;
            }
            text -= self.entries.pop_front().map_or(0, |entry| entry.len());
            beyond = beyond.saturating_sub(1);
        }
    }

    fn go(&mut self, id: EntryId) -> Option<&mut Go> {
        self.goes().find(|go| go.id == id)
    }

    fn goes(&mut self) -> impl Iterator<Item = &mut Go> {
        self.entries.iter_mut().rev().filter_map(|entry| match entry {
            Entry::Agent(go) => Some(go),
            Entry::Given(_) | Entry::Callee(_) => None,
        })
    }

    fn find(&mut self, phrase: PhraseId) -> Option<(&mut bool, &mut Piece)> {
        self.goes().find_map(|go| {
            let piece = go.pieces.iter_mut().find(|piece| piece.phrase == phrase)?;
            Some((&mut go.cut, piece))
        })
    }
}

impl Entry {
    fn given(line: HistoryLine) -> Self {
        match line.role {
            HistoryRole::User => Self::Given(Message::text(Role::User, line.content)),
            HistoryRole::Assistant => Self::Given(Message::text(Role::Assistant, line.content)),
            HistoryRole::System => Self::Given(Message::text(Role::System, line.content)),
            // Its call is not known, and models refuse a result that answers none.
            HistoryRole::Tool => {
                Self::Given(Message::text(Role::System, format!("Result of a tool: {}", line.content)))
            }
        }
    }

    /// Whether a turn of the callee's begins with it.
    fn is_callees(&self) -> bool {
        match self {
            Self::Given(message) => message.role == Role::User,
            Self::Callee(_) => true,
            Self::Agent(_) => false,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Given(message) => message.content.len(),
            Self::Callee(text) => text.len(),
            Self::Agent(go) => {
                let calls = |(call, result): &(ToolCall, Option<String>)| {
                    call.arguments.len() + result.as_ref().map_or(0, String::len)
                };
                go.pieces.iter().map(|piece| piece.text.len()).sum::<usize>()
                    + go.calls.iter().map(calls).sum::<usize>()
            }
        }
    }
}

impl Go {
    fn text(&self) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            words::join(&mut text, &piece.text);
        }
        text
    }

    /// What was cut off of it; nobody asks again. Fillers and the like lead nowhere.
    fn take_unsaid(&mut self) -> String {
        let (mut text, meant) = (String::new(), self.memory == Memory::Keep || self.by_order);
        for piece in &mut self.pieces {
            let unsaid = std::mem::take(&mut piece.unsaid);
            if meant {
                words::join(&mut text, &unsaid);
            }
        }
        text
    }

    /// Adds this go to what the model is told: a tool's result always directly after its call.
    fn tell(&self, mark: &str, messages: &mut Vec<Message>) {
        let mut text = self.text();
        if self.memory == Memory::Forget || (text.is_empty() && self.calls.is_empty()) {
            return;
        }
        if self.cut && !text.is_empty() {
            text.push_str(mark);
        }
        let mut message = Message::text(Role::Assistant, text);
        message.tool_calls = self.calls.iter().map(|(call, _)| call.clone()).collect();
        messages.push(message);
        for (call, result) in &self.calls {
            let result = result.as_deref().unwrap_or(UNFINISHED);
            messages.push(Message { answers: Some(call.id.clone()), ..Message::text(Role::Tool, result) });
        }
    }
}

/// What the model is told of a tool that was cut off.
pub(crate) const UNFINISHED: &str = r#"{"error":"interrupted by the callee"}"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn line(role: HistoryRole, content: &str) -> HistoryLine {
        HistoryLine { role, content: content.to_owned() }
    }

    fn history(limit: u32) -> History {
        History::new("Be kind.".into(), limit, Switch::On, std::iter::empty())
    }

    fn told(history: &History) -> String {
        let line = |message: &Message| {
            let calls: Vec<_> = message.tool_calls.iter().map(|call| call.id.as_str()).collect();
            format!("{:?} {}{}", message.role, message.content, calls.join("+")).to_lowercase()
        };
        history.messages(None).iter().map(line).collect::<Vec<_>>().join(" | ")
    }

    fn say(history: &mut History, phrase: u64, text: &str) -> EntryId {
        let id = history.begin(Memory::Keep);
        history.piece(id, PhraseId(phrase), text);
        history.heard(PhraseId(phrase));
        id
    }

    #[test]
    fn only_what_was_heard_is_told() {
        let mut history = history(10);
        history.callee("Hi");
        let id = say(&mut history, 1, "Good morning.");
        history.piece(id, PhraseId(2), "How can I help you today?");
        assert_eq!(history.close(None), []);
        assert_eq!(history.cut(PhraseId(2), 4), "can I help you today?");
        let closed = history.close(None);
        let (text, unsaid) = ("Good morning. How".into(), "can I help you today?".into());
        assert_eq!(closed, [Closed { id, text, interrupted: true, by_order: false, sound: None, unsaid }]);
        assert_eq!(told(&history), "system be kind. | user hi | assistant good morning. how");
        let history = history.marking("<cut>".into());
        assert_eq!(told(&history), "system be kind. | user hi | assistant good morning. how<cut>");
    }

    #[test]
    fn the_limit_counts_past_turns() {
        let mut history = history(1);
        for turn in 1..=4 {
            history.callee(&format!("q{turn}"));
            say(&mut history, turn, &format!("a{turn}"));
            history.close(None);
        }
        history.callee("q5");
        assert_eq!(told(&history), "system be kind. | user q4 | assistant a4 | user q5");
        assert!(history.entries.len() <= 4);
    }

    #[test]
    fn a_tool_result_always_follows_its_call() {
        let mut history = history(10);
        history.callee("press one");
        let id = history.begin(Memory::Keep);
        let call = |id: &str| ToolCall { id: id.into(), name: "keys".into(), arguments: "{}".into() };
        history.calls(id, vec![call("c1"), call("c2")]);
        history.result(id, 0, "done");
        let expected = format!("system be kind. | user press one | assistant c1+c2 | tool done | tool {UNFINISHED}");
        assert_eq!(told(&history), expected.to_lowercase());
    }

    #[test]
    fn what_was_said_before_the_call_is_not_mixed_with_what_is_said_in_it() {
        let given = [line(HistoryRole::Assistant, "Goodbye."), line(HistoryRole::User, "Bye.")];
        let mut history = History::new(String::new(), 10, Switch::On, given.into_iter());
        let messages = history.messages(Some("Hello?"));
        let contents: Vec<&str> = messages.iter().map(|message| message.content.as_str()).collect();
        assert_eq!(contents, ["Goodbye.", "Bye.", "Hello?"]);
        history.amend_callee("Me");
        history.callee("again.");
        assert_eq!(told(&history), "assistant goodbye. | user bye. | user me again.");
        assert_eq!(history.messages(Some("Hm."))[2].content, "Me again. Hm.");
    }

    #[test]
    fn given_turns_count_towards_the_limit() {
        let given = (1..=4).map(|turn| line(HistoryRole::User, &format!("q{turn}")));
        let mut history = History::new(String::new(), 1, Switch::On, given);
        history.callee("q5");
        assert_eq!(told(&history), "user q4 | user q5");
    }

    #[test]
    fn given_lines_come_first_and_memory_is_bounded() {
        let given = [
            line(HistoryRole::User, "before"),
            line(HistoryRole::Assistant, "yes"),
            line(HistoryRole::Tool, "42"),
            line(HistoryRole::User, " "),
        ];
        let mut history = History::new(String::new(), u32::MAX, Switch::Off, given.into_iter());
        assert_eq!(told(&history), "user before | assistant yes | system result of a tool: 42");
        for turn in 0..1_200 {
            history.callee(&"x".repeat(600));
            say(&mut history, turn, "ok");
            history.close(None);
        }
        assert!(history.entries.len() <= ENTRIES_CAP + 2);
        assert!(history.entries.iter().map(Entry::len).sum::<usize>() <= TEXT_CAP + 700);
    }
}
