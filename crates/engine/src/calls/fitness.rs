//! Whether this server can hold an agent's talks: its texts, ear, brain, voice and sound.

use super::{Calls, StartError};
use callwright_conversation::{Conversation, TemplateError};
use callwright_domain::agent::{AgentProfile, VoiceSettings};
use std::collections::BTreeMap;

/// What is wrong with an agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}")]
pub struct AgentFlaw {
    /// The member to blame, as a path.
    pub field: &'static str,
    /// The rule that it breaks.
    pub rule: String,
}

/// A part's own language, or the agent's, and the member that says so.
fn spoken<'a>(agent: &'a AgentProfile, (member, own): (&'static str, &'a str)) -> (&'static str, &'a str) {
    if own.is_empty() { ("language", &agent.language) } else { (member, own) }
}

impl Calls {
    /// Checks what only the engine can judge of an agent that is to be stored: whether its texts are templates (a call
    /// brings the variables), and whether its ear, brain and voice exist on this server.
    ///
    /// # Errors
    /// The member to blame and the rule that it breaks.
    pub fn check_agent(&self, agent: &AgentProfile) -> Result<(), AgentFlaw> {
        // One text at a time: an unknown variable in the first must not hide a mistake in the second.
        let (mut prompt, mut greeting) = (AgentProfile::default(), AgentProfile::default());
        let mut disclosure = AgentProfile::default();
        disclosure.opening.disclosure.clone_from(&agent.opening.disclosure);
        prompt.brain.system_prompt.clone_from(&agent.brain.system_prompt);
        greeting.opening.greeting.clone_from(&agent.opening.greeting);
        let mut message = AgentProfile::default();
        message.voicemail.message.clone_from(&agent.voicemail.message);
        let parts = [
            ("brain.system_prompt", prompt),
            ("opening.greeting", greeting),
            ("opening.disclosure", disclosure),
            ("voicemail.message", message),
        ];
        for (field, part) in parts {
            match Conversation::check(&part, &BTreeMap::new()) {
                Ok(()) | Err(TemplateError::Unknown { .. }) => {}
                Err(error @ TemplateError::Malformed { .. }) => {
                    return Err(AgentFlaw { field, rule: error.to_string() });
                }
            }
        }
        self.serves(agent)
    }

    /// What of an agent does not know its language or its voice; none: all do. Agents whose parts this server does not have
    /// are for [`Calls::check_agent`] to judge.
    pub fn speech_flaw(&self, agent: &AgentProfile) -> Option<AgentFlaw> {
        // A part that this server does not have speaks no language wrongly.
        let ears = self.node.catalogue.ears(&agent.ears.vendor).ok();
        let (field, heard) = spoken(agent, ("ears.language", &agent.ears.language));
        if let Some(ears) = ears.filter(|ears| !ears.understands(heard)) {
            return Some(AgentFlaw {
                field,
                rule: format!("the recogniser {} does not understand {heard}", ears.name()),
            });
        }
        let voice = self.node.catalogue.voice_of(&agent.voice).ok()?;
        let (field, said) = spoken(agent, ("voice.language", &agent.voice.language));
        if !voice.speaks(said) {
            return Some(AgentFlaw { field, rule: format!("the voice {} does not speak {said}", voice.name()) });
        }
        let rule = || format!("the synthesiser {} has no voice {:?}", voice.name(), agent.voice.voice);
        (!self.has_voice(&agent.voice)).then(|| AgentFlaw { field: "voice.voice", rule: rule() })
    }

    /// Whether a synthesiser has the voice that it is to speak with; one that this server does not have lacks none.
    pub fn has_voice(&self, voice: &VoiceSettings) -> bool {
        self.node.catalogue.voice_of(voice).ok().is_none_or(|synthesiser| synthesiser.has_voice(&voice.voice))
    }

    pub(crate) fn check(&self, agent: &AgentProfile, variables: &BTreeMap<String, String>) -> Result<(), StartError> {
        Conversation::check(agent, variables)?;
        Ok(self.fits(agent)?)
    }

    /// Whether this server can hold an agent's talks: nobody is rung to hear silence.
    pub(crate) fn fits(&self, agent: &AgentProfile) -> Result<(), AgentFlaw> {
        self.serves(agent)?;
        self.speech_flaw(agent).map_or(Ok(()), Err)
    }

    /// Whether this server has an agent's ear, brain, voice and sound.
    fn serves(&self, agent: &AgentProfile) -> Result<(), AgentFlaw> {
        let catalogue = &self.node.catalogue;
        let vendors = [
            ("ears.vendor", catalogue.ears(&agent.ears.vendor).err()),
            ("brain.vendor", catalogue.brain_of(&agent.brain).err()),
            ("voice.vendor", catalogue.voice_of(&agent.voice).err()),
        ];
        let mut unknown = vendors.into_iter().filter_map(|(field, unknown)| Some((field, unknown?)));
        if let Some((field, unknown)) = unknown.next() {
            return Err(AgentFlaw { field, rule: unknown.to_string() });
        }
        let (sounds, name) = (&self.node.sounds, &agent.ambient.sound);
        if name.is_empty() || sounds.place(name).is_some() {
            return Ok(());
        }
        let known = sounds.places().collect::<Vec<_>>().join(", ");
        let rule = format!("no ambient sound is called {name:?}; there are: {known}");
        Err(AgentFlaw { field: "ambient.sound", rule })
    }
}
