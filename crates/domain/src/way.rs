//! How a call reaches its other party: over the telephone network, where a number is dialled through a trunk, or through a
//! browser, which comes to a place by itself. What holds for one way only is told apart by this enum and by nothing else:
//! a call through a browser has no numbers, and no rule about numbers can be asked of it.
//!
//! Never knows a signature or a protocol: tokens and offers are for those who speak with browsers.

use crate::{AgentId, ChannelName, Moment, PhoneNumber, TrunkId};
use serde::{Deserialize, Serialize};

/// How a call reaches its other party. Stored as the members of the one or the other, which share no name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Way {
    /// It is dialled.
    Telephone(Telephone),
    /// It is met.
    Browser(BrowserPlace),
}

/// Who is rung, by whom and through what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telephone {
    /// Who is rung.
    pub callee: PhoneNumber,
    /// Who shows on the display.
    pub caller: PhoneNumber,
    /// What it is dialled through.
    pub trunk: TrunkId,
    /// What it may be dialled through when that fails before anybody can have been rung, in this order.
    #[serde(default)]
    pub spare_trunks: Vec<TrunkId>,
    /// The numbers that may show instead when the rules say no to `caller` and might not to another, in this order.
    #[serde(default)]
    pub spare_callers: Vec<CallerLine>,
}

/// A number that may show, and what calls from it are dialled through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerLine {
    /// The number.
    pub number: PhoneNumber,
    /// Its trunk.
    pub trunk: TrunkId,
    /// What may stand in for the trunk, in this order.
    #[serde(default)]
    pub spare_trunks: Vec<TrunkId>,
}

impl Telephone {
    /// Every number that may show, the one that shows first.
    pub fn callers(&self) -> impl Iterator<Item = &PhoneNumber> {
        std::iter::once(&self.caller).chain(self.spare_callers.iter().map(|line| &line.number))
    }

    /// The same with their trunks.
    pub fn lines(&self) -> Vec<CallerLine> {
        let (number, trunk) = (self.caller.clone(), self.trunk.clone());
        let shown = CallerLine { number, trunk, spare_trunks: self.spare_trunks.clone() };
        std::iter::once(shown).chain(self.spare_callers.iter().cloned()).collect()
    }

    /// Lets the `place`th of `lines` show and keeps the others, in their order, as spare ones. Nothing happens when there
    /// is none.
    pub fn show(&mut self, mut lines: Vec<CallerLine>, place: usize) {
        if place < lines.len() {
            let shown = lines.remove(place);
            (self.caller, self.trunk, self.spare_trunks) = (shown.number, shown.trunk, shown.spare_trunks);
            self.spare_callers = lines;
        }
    }

    /// Every trunk that it may be dialled through, best first.
    pub fn trunks(&self) -> Vec<TrunkId> {
        std::iter::once(&self.trunk).chain(&self.spare_trunks).cloned().collect()
    }
}

/// Where a call through a browser is met, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrowserPlace {
    /// The place's name, unique among the account's calls that are not over.
    pub channel: ChannelName,
    /// Who may join; none: whoever has a token for the channel, but the agent.
    #[serde(default)]
    pub user: Option<ChannelName>,
    /// What the agent is called there.
    pub agent_user: ChannelName,
    /// After this nobody is waited for.
    pub joins_until: Moment,
    /// How long a user who vanished may take to come back, in milliseconds; 0: the call is over without them.
    #[serde(default)]
    pub returns_within_ms: u64,
    /// Where what is said is written as messages, too.
    #[serde(default)]
    pub mirror: Option<Mirror>,
}

/// A written conversation that shows what is said in a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// The agent in whose conversations it is.
    pub agent: AgentId,
    /// The person who reads it.
    pub user: ChannelName,
}

impl BrowserPlace {
    /// Whether the place lets this user in.
    pub fn admits(&self, user: &ChannelName) -> bool {
        *user != self.agent_user && self.user.as_ref().is_none_or(|wanted| wanted == user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ChannelName {
        ChannelName::new(text).expect("letters and digits")
    }

    #[test]
    fn each_way_is_stored_flat_and_read_again() {
        let dialled = r#"{"callee":"+4915112345678","caller":"+4930111111","trunk":"main"}"#;
        let way: Way = serde_json::from_str(dialled).expect("as calls were stored before there were browsers");
        assert!(matches!(&way, Way::Telephone(telephone) if telephone.spare_trunks.is_empty()));
        let place = BrowserPlace {
            channel: name("c"),
            user: Some(name("u")),
            agent_user: name("a"),
            joins_until: Moment(9),
            returns_within_ms: 0,
            mirror: None,
        };
        for way in [way, Way::Browser(place)] {
            let text = serde_json::to_string(&way).expect("serialises");
            assert_eq!(serde_json::from_str::<Way>(&text).expect("parses"), way);
        }
    }

    #[test]
    fn a_place_lets_its_user_in_and_never_the_agents_name() {
        let mut place = BrowserPlace {
            channel: name("c"),
            user: Some(name("u")),
            agent_user: name("a"),
            joins_until: Moment(9),
            returns_within_ms: 0,
            mirror: None,
        };
        let admitted = |place: &BrowserPlace| ["u", "v", "a"].map(|user| place.admits(&name(user)));
        assert_eq!(admitted(&place), [true, false, false]);
        place.user = None;
        assert_eq!(admitted(&place), [true, true, false]);
    }
}
