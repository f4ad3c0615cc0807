//! What the model is asked in a written conversation: the same prompt and history as in a spoken one, and nothing of turns,
//! phrases or tools.

use crate::exchange::Setup;
use crate::history::History;
use crate::templates::{self, TemplateError};
use crate::vocabulary::Message;
use callwright_domain::agent::Switch;

/// The question that answers `said`, after everything of the agent's and the thread's history that its limit allows.
///
/// # Errors
/// [`TemplateError`] when the prompt cannot be rendered with the setup's variables.
pub fn question(setup: Setup, said: &str) -> Result<Vec<Message>, TemplateError> {
    let Setup { agent, mut variables, thread, today, seed: _ } = setup;
    variables.entry("today".to_owned()).or_insert(today);
    let prompt = templates::render("system_prompt", &agent.brain.system_prompt, &variables)?;
    let given = agent.brain.history.into_iter().chain(thread);
    Ok(History::new(prompt, agent.brain.history_limit, Switch::Off, given).messages(Some(said)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::Role;
    use callwright_domain::AgentProfile;
    use callwright_domain::agent::{HistoryLine, HistoryRole};
    use std::collections::BTreeMap;

    fn line(role: HistoryRole, content: &str) -> HistoryLine {
        HistoryLine { role, content: content.to_owned() }
    }

    #[test]
    fn the_question_has_prompt_history_and_words() {
        let mut agent = AgentProfile::default();
        agent.brain.system_prompt = String::from("You serve {{ name }} on {{ today }}.");
        agent.brain.history = vec![line(HistoryRole::Assistant, "Given.")];
        agent.brain.history_limit = 5;
        let thread = vec![line(HistoryRole::User, "First?"), line(HistoryRole::Assistant, "Yes.")];
        let mut setup = Setup { agent, variables: BTreeMap::new(), thread, today: String::from("Monday"), seed: 0 };
        assert!(question(setup.clone(), "x").is_err(), "a variable has no value");
        setup.variables.insert(String::from("name"), String::from("Ann"));
        let asked = question(setup, "Second?").expect("renders");
        let asked: Vec<_> = asked.iter().map(|message| (message.role, message.content.as_str())).collect();
        let expected = [
            (Role::System, "You serve Ann on Monday."),
            (Role::Assistant, "Given."),
            (Role::User, "First?"),
            (Role::Assistant, "Yes."),
            (Role::User, "Second?"),
        ];
        assert_eq!(asked, expected);
    }
}
