//! A call's agent is changed while it is dialled or talks. What was made from the old one is made anew; what cannot be made
//! from the new one stays as it was, and the call goes on.

use super::LiveCall;
use super::dialing::{Line, Trouble};
use super::talking::Talk;
use crate::limits::AGENT_READ;
use callwright_domain::{AgentId, AgentPatch, CallEvent};
use tokio::time::timeout;
use tracing::info;

/// What the model is told that goes on with a call of another's.
const TAKEN_OVER: &str =
    r#"{"ok":true,"note":"You have taken this call over from another agent. Go on with what the callee wants."}"#;

impl LiveCall {
    /// Before the answer: nothing has been said, so all is made anew.
    pub(super) async fn change_before_answer(&mut self, line: &mut Line, patch: AgentPatch) {
        if patch == AgentPatch::default() {
            return;
        }
        patch.apply(&mut self.plan.agent);
        if let Err(trouble) = self.make_anew(line).await {
            self.not_changed(&trouble).await;
        }
    }

    async fn make_anew(&self, line: &mut Line) -> Result<(), Trouble> {
        let conversation = self.conversation().await?;
        let brain = self.brain()?;
        let voice = self.voice_line(&line.leg)?;
        line.change(conversation, brain, voice);
        Ok(())
    }

    /// Between two trunks there is nothing yet that was made from it.
    pub(super) fn change_plan(&mut self, patch: AgentPatch) {
        patch.apply(&mut self.plan.agent);
    }

    pub(super) async fn not_changed(&self, trouble: &Trouble) {
        let detail = trouble.to_string();
        self.note(CallEvent::Trouble { part: String::from("change"), detail }).await;
    }
}

impl Talk<'_> {
    /// After the answer: what is still to come is as the new agent has it.
    pub(super) async fn change(&mut self, patch: AgentPatch) {
        // Somebody asks whether it may be changed.
        if patch == AgentPatch::default() {
            return;
        }
        let before = self.call.plan.agent.clone();
        patch.apply(&mut self.call.plan.agent);
        if let Err(trouble) = self.make_anew() {
            self.call.not_changed(&trouble).await;
            return;
        }
        if before.ambient != self.call.plan.agent.ambient {
            self.surround().await;
        }
    }

    /// Goes on as another agent of the account, who answers what follows. What belongs to the call and not to who talks stays:
    /// its limits, its recording and what is found out after it. What the model is told.
    pub(super) async fn change_agent(&mut self, id: &AgentId) -> String {
        let plan = &self.call.plan;
        let found = timeout(AGENT_READ, self.call.node.reader.agent(&plan.account, id)).await;
        let mut agent = match found {
            Ok(Ok(Some(stored))) => stored.profile,
            Ok(Ok(None)) => return no_agent("there is no such agent any more"),
            Ok(Err(_)) | Err(_) => return no_agent("it could not be read"),
        };
        agent.limits = plan.agent.limits.clone();
        agent.recording = plan.agent.recording;
        agent.extract = plan.agent.extract.clone();
        let before = std::mem::replace(&mut self.call.plan.agent, agent);
        if let Err(trouble) = self.make_anew() {
            self.call.plan.agent = before;
            self.call.not_changed(&trouble).await;
            return no_agent("it cannot take this call");
        }
        info!(agent = %id, "another agent goes on");
        if before.ambient != self.call.plan.agent.ambient {
            self.surround().await;
        }
        TAKEN_OVER.to_owned()
    }

    fn make_anew(&mut self) -> Result<(), Trouble> {
        // Its history is the one that goes on: the fresh one needs none.
        let conversation = self.call.conversation_after(Vec::new())?;
        let brain = self.call.brain()?;
        let voice = self.call.voice_line(&self.line.leg)?;
        let (recogniser, params) = self.call.hearing(&self.line.leg)?;
        self.conversation.adopt(conversation);
        self.brain.change(brain);
        self.voice.change(voice);
        self.ears.change(recogniser, params);
        Ok(())
    }
}

/// What the model is told when no other agent goes on.
fn no_agent(why: &str) -> String {
    serde_json::json!({"error": format!("the other agent does not go on: {why}; go on yourself")}).to_string()
}
