//! Was an answered callee left in silence? Read off the call's journal. Never judges the campaign: [`super::pacing`] does.

use crate::{CallEvent, Moment, Recorded};
use std::time::Duration;

/// Longest silence of the agent after the callee's greeting before the call counts as abandoned (16 CFR 310.4(b)(1)(iv)).
pub const MOST_SILENCE: Duration = Duration::from_secs(2);

/// Whether somebody was reached, and found somebody speaking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contact {
    /// Nobody answered.
    None,
    /// Somebody answered, and the agent spoke in time or the callee left before it had to.
    Connected,
    /// Somebody answered and the agent was silent for longer than [`MOST_SILENCE`].
    Abandoned,
}

impl Contact {
    /// The contact of a call that ended at `ended`, from its journal in order.
    pub fn of<'a>(journal: impl IntoIterator<Item = &'a Recorded>, ended: Moment) -> Self {
        let mut answered = None;
        for recorded in journal {
            match &recorded.event {
                CallEvent::Answered { .. } => answered = Some(recorded.at),
                CallEvent::Spoke { silence_ms } if answered.is_some() => {
                    return Self::after(Duration::from_millis(u64::from(*silence_ms)));
                }
                // In journals of before the first sound was noted.
                CallEvent::TurnTaken { latency } if answered.is_some() => {
                    return Self::after(Duration::from_millis(u64::from(latency.total_ms)));
                }
                // There, too: the agent opened the call, and did not wait for anybody's greeting.
                CallEvent::Said { .. } if answered.is_some() => return Self::Connected,
                _ => {}
            }
        }
        answered.map_or(Self::None, |answered| Self::after(ended.since(answered)))
    }

    fn after(silence: Duration) -> Self {
        if silence > MOST_SILENCE { Self::Abandoned } else { Self::Connected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pii;
    use crate::call::TurnLatency;

    fn contact(events: &[(i64, CallEvent)], ended: i64) -> Contact {
        let journal: Vec<Recorded> =
            events.iter().map(|(at, event)| Recorded { seq: 1, at: Moment(*at), event: event.clone() }).collect();
        Contact::of(&journal, Moment(ended))
    }

    #[test]
    fn silence_after_the_greeting_is_what_counts() {
        let answered = || (1_000, CallEvent::Answered { dialog: String::new(), codec: String::new() });
        let taken =
            |total_ms| (9_000, CallEvent::TurnTaken { latency: TurnLatency { total_ms, ..TurnLatency::default() } });
        let said = (
            9_000,
            CallEvent::Said {
                text: Pii::new(String::from("hi")),
                interrupted: false,
                by_order: false,
                span: None,
                unsaid: None,
            },
        );
        assert_eq!(contact(&[], 5_000), Contact::None);
        assert_eq!(contact(&[answered(), taken(1_999)], 60_000), Contact::Connected);
        assert_eq!(contact(&[answered(), taken(2_001), said.clone()], 60_000), Contact::Abandoned);
        let spoke = |silence_ms| (4_000, CallEvent::Spoke { silence_ms });
        assert_eq!(contact(&[answered(), spoke(2_000), said.clone()], 60_000), Contact::Connected);
        assert_eq!(contact(&[answered(), spoke(2_001), said.clone()], 60_000), Contact::Abandoned, "said too late");
        assert_eq!(contact(&[answered(), spoke(1_000), taken(5_000)], 60_000), Contact::Connected, "a later turn");
        assert_eq!(contact(&[answered(), said], 60_000), Contact::Connected);
        assert_eq!(contact(&[answered()], 2_500), Contact::Connected, "the callee left before the agent had to speak");
        assert_eq!(contact(&[answered()], 3_500), Contact::Abandoned);
    }
}
