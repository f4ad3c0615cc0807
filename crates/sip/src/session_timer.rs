//! Session timers (RFC 4028): what to ask for, what was agreed, and when to refresh or give up.
//!
//! Hides the arithmetic and the rules of who refreshes. Sends nothing and waits for nothing.

use std::time::Duration;

use crate::message::{HeaderName, Headers, Refresher, SessionExpires};

/// The smallest interval RFC 4028 section 5 allows, seconds.
pub(crate) const MIN_INTERVAL: u32 = 90;

/// The largest interval believed, seconds (a day): beyond it a timer protects nothing, and arithmetic stays small.
const MAX_INTERVAL: u32 = 86_400;

/// Which side of a call refreshes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    /// We do.
    Ours,
    /// The peer does.
    Theirs,
}

/// A session interval both sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    pub(crate) seconds: u32,
    pub(crate) duty: Duty,
}

/// An interval in a request was below our smallest one: answer 422 with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooSmall;

impl Agreement {
    /// When we refresh: half the interval (RFC 4028 section 7.2). `None` when the peer does.
    pub(crate) fn refresh_after(&self) -> Option<Duration> {
        match self.duty {
            Duty::Ours => Some(Duration::from_secs(u64::from(self.seconds) / 2)),
            Duty::Theirs => None,
        }
    }

    /// When the session is over without a refresh: a third of the interval, at most 32 s, before its end, so that the BYE
    /// is still inside it (RFC 4028 section 10).
    pub(crate) fn gives_up_after(&self) -> Duration {
        let seconds = u64::from(self.seconds);
        Duration::from_secs(seconds - (seconds / 3).min(32))
    }

    /// What our request says to keep the agreement going: we name ourselves or the peer as before.
    pub(crate) fn request_value(&self) -> SessionExpires {
        let refresher = match self.duty {
            Duty::Ours => Refresher::Uac,
            Duty::Theirs => Refresher::Uas,
        };
        SessionExpires { seconds: self.seconds, refresher: Some(refresher) }
    }

    /// What our answer says.
    pub(crate) fn answer_value(&self) -> SessionExpires {
        let refresher = match self.duty {
            Duty::Ours => Refresher::Uas,
            Duty::Theirs => Refresher::Uac,
        };
        SessionExpires { seconds: self.seconds, refresher: Some(refresher) }
    }

    /// What a 2xx to our request agreed on; `None`: no timer (RFC 4028 section 7.2).
    pub(crate) fn from_answer(answer: &Headers) -> Option<Self> {
        let said = answer.session_expires()?;
        let duty = match said.refresher {
            Some(Refresher::Uas) => Duty::Theirs,
            // An answer must say who; where it does not, refreshing ourselves is the side that keeps the call.
            Some(Refresher::Uac) | None => Duty::Ours,
        };
        Some(Self { seconds: said.seconds.clamp(MIN_INTERVAL, MAX_INTERVAL), duty })
    }

    /// What we agree to when a request asks (RFC 4028 section 9, table 2). `ours` is our smallest interval.
    pub(crate) fn from_request(request: &Headers, ours: u32) -> Result<Option<Self>, TooSmall> {
        let Some(said) = request.session_expires() else {
            return Ok(None);
        };
        let peer_supports = request.supports("timer");
        let smallest = ours.max(MIN_INTERVAL);
        if said.seconds < smallest {
            // Only a peer that knows timers understands 422; for others the interval is raised (RFC 4028 section 9).
            if peer_supports {
                return Err(TooSmall);
            }
        }
        let duty = match said.refresher {
            Some(Refresher::Uac) | None if peer_supports => Duty::Theirs,
            _ => Duty::Ours,
        };
        let floor = smallest.max(request.min_se().unwrap_or(0));
        Ok(Some(Self { seconds: said.seconds.max(floor).min(MAX_INTERVAL), duty }))
    }
}

/// The interval to ask for after a 422: at least what it demands. `None`: it demands nothing sensible.
pub(crate) fn raised(asked: u32, answer: &Headers) -> Option<u32> {
    let demanded = answer.min_se()?;
    (demanded <= MAX_INTERVAL && demanded > asked).then_some(demanded)
}

/// Writes the timer headers of an INVITE or UPDATE of ours.
pub(crate) fn write_request(headers: &mut Headers, value: Option<SessionExpires>, min_se: u32) {
    if let Some(value) = value {
        headers.push(HeaderName::SessionExpires, &value);
        headers.push(HeaderName::MinSe, min_se.max(MIN_INTERVAL));
    }
}

/// Writes the timer headers of a 2xx of ours.
pub(crate) fn write_answer(headers: &mut Headers, agreement: Option<Agreement>) {
    if let Some(agreement) = agreement {
        headers.push(HeaderName::SessionExpires, &agreement.answer_value());
        if agreement.duty == Duty::Theirs {
            headers.push(HeaderName::Require, crate::message::HeaderValue::list(["timer"]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::HeaderValue;

    fn headers(lines: &[(HeaderName, &str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in lines {
            headers.push(name.clone(), HeaderValue::new(value).expect("value"));
        }
        headers
    }

    #[test]
    fn answers_decide_who_refreshes() {
        let cases = [
            ("90;refresher=uac", 90, Duty::Ours),
            ("1800;refresher=uas", 1800, Duty::Theirs),
            ("600", 600, Duty::Ours),
            ("1;refresher=uac", 90, Duty::Ours),
            ("4294967295;refresher=uas", 86_400, Duty::Theirs),
        ];
        for (line, seconds, duty) in cases {
            let found = Agreement::from_answer(&headers(&[(HeaderName::SessionExpires, line)]));
            assert_eq!(found, Some(Agreement { seconds, duty }), "{line}");
        }
        assert_eq!(Agreement::from_answer(&headers(&[])), None);
    }

    #[test]
    fn requests_below_the_minimum_are_refused_or_raised() {
        let small = headers(&[(HeaderName::SessionExpires, "30"), (HeaderName::Supported, "timer")]);
        assert_eq!(Agreement::from_request(&small, 90), Err(TooSmall));
        let ignorant = headers(&[(HeaderName::SessionExpires, "30")]);
        assert_eq!(Agreement::from_request(&ignorant, 90), Ok(Some(Agreement { seconds: 90, duty: Duty::Ours })));
        let usual = headers(&[(HeaderName::SessionExpires, "1800"), (HeaderName::Supported, "timer")]);
        assert_eq!(Agreement::from_request(&usual, 90), Ok(Some(Agreement { seconds: 1800, duty: Duty::Theirs })));
    }

    #[test]
    fn the_schedule_of_ninety_seconds() {
        let ours = Agreement { seconds: 90, duty: Duty::Ours };
        assert_eq!(ours.refresh_after(), Some(Duration::from_secs(45)));
        assert_eq!(ours.gives_up_after(), Duration::from_secs(60));
        let long = Agreement { seconds: 1800, duty: Duty::Theirs };
        assert_eq!((long.refresh_after(), long.gives_up_after()), (None, Duration::from_secs(1768)));
    }
}
