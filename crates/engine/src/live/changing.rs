//! A call's agent is changed while it is dialled or talks. What was made from the old one is made anew; what cannot be made
//! from the new one stays as it was, and the call goes on.

use super::LiveCall;
use super::dialing::{Line, Trouble};
use super::talking::Talk;
use callwright_domain::{AgentPatch, CallEvent};

impl LiveCall {
    /// Before the answer: nothing has been said, so all is made anew.
    pub(super) async fn change_before_answer(&mut self, line: &mut Line, patch: AgentPatch) {
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
