//! The scripted brain: answers from an agent's rules, in no time, always the same. Asks nobody and knows nothing of
//! the world; for tests, demonstrations and announcements.

use crate::llm::{Llm, LlmRequest, LlmStream};
use crate::{ProviderError, Running};
use callwright_conversation::vocabulary::{LlmEvent, Message, Role, ToolCall};
use callwright_domain::agent::ScriptStep;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::mpsc;

/// Answers from [`LlmRequest::script`].
///
/// The first rule whose words occur in the last thing the person said, and which has not been used up, is spoken; a
/// rule without words always matches. When none is left, the last rule without words speaks however often it was
/// used, and without one [`FALLBACK`] is said. After a tool's result there is nothing to add: the answer is empty.
///
/// Asking the same question again, as after a cancelled answer, is one use of a rule.
#[derive(Debug)]
pub struct ScriptLlm {
    name: String,
    uses: Mutex<HashMap<String, Uses>>,
}

impl ScriptLlm {
    /// A scripted brain called `name`.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), uses: Mutex::default() }
    }

    fn answer(&self, request: &LlmRequest) -> Vec<LlmEvent> {
        let mut events = Vec::new();
        if request.messages.last().is_none_or(|last| last.role != Role::Tool) {
            match self.choose(request) {
                Some((index, use_number)) => {
                    let step = &request.script[index];
                    events.extend(step.say.split_inclusive(' ').map(|word| LlmEvent::Text(word.to_owned())));
                    events.extend(step.tool.iter().map(|tool| {
                        LlmEvent::Tool(ToolCall {
                            id: format!("script-{index}-{use_number}"),
                            name: tool.clone(),
                            arguments: "{}".to_owned(),
                        })
                    }));
                }
                None => events.extend(FALLBACK.split_inclusive(' ').map(|word| LlmEvent::Text(word.to_owned()))),
            }
        }
        events.push(LlmEvent::Done { usage: None });
        events
    }

    /// The rule to speak and the number of its use in this conversation.
    fn choose(&self, request: &LlmRequest) -> Option<(usize, u32)> {
        let question = Question::of(&request.messages);
        let mut all = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_CONVERSATIONS && !all.contains_key(&request.conversation) {
            // Somebody forgets to forget. Rules that may be used once more are better than memory without end.
            all.clear();
        }
        let uses = all.entry(request.conversation.clone()).or_default();
        if uses.last == Some(question.clone())
            && let Some(count) = uses.last_step.and_then(|step| uses.counts.get_mut(&step))
        {
            *count = count.saturating_sub(1);
        }
        let left = |index: usize, step: &ScriptStep| {
            step.times == 0 || uses.counts.get(&index).copied().unwrap_or(0) < step.times
        };
        let steps = || request.script.iter().enumerate();
        let index = steps()
            .find(|(index, step)| left(*index, step) && matches(step, &question.text))
            .or_else(|| steps().rfind(|(_, step)| step.when.is_empty()))
            .map(|(index, _)| index);
        uses.last = Some(question);
        uses.last_step = index;
        let count = uses.counts.entry(index?).or_default();
        *count = count.saturating_add(1);
        Some((index?, *count))
    }
}

impl Llm for ScriptLlm {
    fn name(&self) -> &str {
        &self.name
    }

    fn ask(&self, request: LlmRequest) -> LlmStream {
        let answer = self.answer(&request);
        let (sender, events) = mpsc::channel::<Result<LlmEvent, ProviderError>>(EVENTS);
        let running = Running::spawn(async move {
            for event in answer {
                if sender.send(Ok(event)).await.is_err() {
                    return;
                }
            }
        });
        LlmStream { events, running }
    }

    fn forget(&self, conversation: &str) {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner).remove(conversation);
    }
}

/// Said when no rule matches.
pub const FALLBACK: &str = "I am sorry, could you say that again?";

#[derive(Debug, Default)]
struct Uses {
    counts: HashMap<usize, u32>,
    last: Option<Question>,
    last_step: Option<usize>,
}

/// What tells one question of a conversation from the next.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Question {
    turns: usize,
    text: String,
}

impl Question {
    fn of(messages: &[Message]) -> Self {
        let mut said = messages.iter().filter(|message| message.role == Role::User);
        let turns = said.clone().count();
        Self { turns, text: said.next_back().map(|message| plain(&message.content)).unwrap_or_default() }
    }
}

fn matches(step: &ScriptStep, said: &str) -> bool {
    step.when.is_empty() || step.when.iter().any(|words| occurs(&plain(words), said))
}

/// Whether `words` occur in `said` as whole words; in scripts without spaces, anywhere.
fn occurs(words: &str, said: &str) -> bool {
    let spaceless = words.chars().any(|c| c >= '\u{2e80}');
    let whole = || format!(" {said} ").contains(&format!(" {words} "));
    !words.is_empty() && if spaceless { said.contains(words) } else { whole() }
}

/// Lower case, no punctuation, single spaces.
fn plain(text: &str) -> String {
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '\'')).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

const EVENTS: usize = 64;
const MAX_CONVERSATIONS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn step(when: &[&str], say: &str, times: u32) -> ScriptStep {
        ScriptStep { when: when.iter().map(|word| (*word).to_owned()).collect(), say: say.into(), tool: None, times }
    }

    fn request(script: &[ScriptStep], messages: &[Message]) -> LlmRequest {
        LlmRequest {
            conversation: "c1".into(),
            model: String::new(),
            messages: messages.to_vec(),
            tools: vec![],
            temperature: None,
            max_tokens: None,
            query: Default::default(),
            params: Default::default(),
            script: script.to_vec().into(),
            headers: Default::default(),
        }
    }

    fn text(events: &[LlmEvent]) -> String {
        events
            .iter()
            .filter_map(|event| if let LlmEvent::Text(text) = event { Some(text.as_str()) } else { None })
            .collect()
    }

    /// Says each line in turn, as a conversation would.
    fn talk(brain: &ScriptLlm, script: &[ScriptStep], lines: &[&str]) -> Vec<String> {
        let mut messages = vec![Message::text(Role::System, "You answer the phone: hours, no.")];
        let mut answers = vec![];
        for line in lines {
            messages.push(Message::text(Role::User, *line));
            let answer = text(&brain.answer(&request(script, &messages)));
            messages.push(Message::text(Role::Assistant, &answer));
            answers.push(answer);
        }
        answers
    }

    #[test]
    fn the_first_rule_that_matches_speaks() {
        let script = [
            step(&["opening hours", "open"], "Nine to eight.", 0),
            step(&["no"], "Goodbye.", 0),
            step(&["\u{4f60}\u{597d}"], "\u{597d}", 0),
        ];
        let brain = ScriptLlm::new("script");
        let answers = talk(
            &brain,
            &script,
            &["Your OPENING, hours?", "I know.", "Well, no!", "\u{55ef}\u{4f60}\u{597d}\u{5417}"],
        );
        assert_eq!(answers, ["Nine to eight.", FALLBACK, "Goodbye.", "\u{597d}"]);
    }

    #[test]
    fn rules_are_used_up_and_forgotten() {
        let script = [step(&["hi"], "Once.", 1), step(&[], "Twice.", 2), step(&[], "Always.", 0)];
        let brain = ScriptLlm::new("script");
        let lines = ["hi", "hi", "hi", "hi"];
        assert_eq!(talk(&brain, &script, &lines), ["Once.", "Twice.", "Twice.", "Always."]);
        brain.forget("c1");
        assert_eq!(talk(&brain, &script, &lines[..1]), ["Once."]);
    }

    #[test]
    fn the_last_rule_without_words_never_ends() {
        let script = [step(&[], "First.", 1), step(&[], "Last.", 1)];
        let brain = ScriptLlm::new("script");
        assert_eq!(talk(&brain, &script, &["a", "b", "c"]), ["First.", "Last.", "Last."]);
    }

    #[test]
    fn asking_again_is_not_another_use() {
        let script = [step(&[], "First.", 1), step(&[], "Second.", 1)];
        let brain = ScriptLlm::new("script");
        let request = request(&script, &[Message::text(Role::User, "hello")]);
        assert_eq!(text(&brain.answer(&request)), "First.");
        assert_eq!(text(&brain.answer(&request)), "First.");
    }

    #[tokio::test]
    async fn tools_come_after_the_words_and_their_results_need_none() {
        let mut bye = step(&["bye"], "Good bye.", 0);
        bye.tool = Some("end_call".into());
        let brain = ScriptLlm::new("script");
        let mut messages = vec![Message::text(Role::User, "Bye then")];
        let mut stream = brain.ask(request(&[bye.clone()], &messages));
        let mut events = vec![];
        while let Some(event) = stream.events.recv().await {
            events.push(event.expect("no error"));
        }
        let call = ToolCall { id: "script-0-1".into(), name: "end_call".into(), arguments: "{}".into() };
        let words = ["Good ", "bye."].map(|word| LlmEvent::Text(word.into()));
        assert_eq!(events, [&words[..], &[LlmEvent::Tool(call), LlmEvent::Done { usage: None }]].concat());
        messages.push(Message::text(Role::Tool, "done"));
        assert_eq!(brain.answer(&request(&[bye], &messages)), [LlmEvent::Done { usage: None }]);
    }
}
