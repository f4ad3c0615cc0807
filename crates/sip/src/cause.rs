//! Why a call ended: one table from SIP status codes (RFC 3261 section 21 and its extensions) and from Q.850 causes
//! (RFC 3326 `Reason`, RFC 4497 section 8.4) to one `HangupCause`, each with what a dialler may do next.
//!
//! Hides the numbers. Never decides whether to dial again: it only says which retry class a cause belongs to.

use std::fmt;

/// Why a call, or an attempt at one, ended. The only list of its kind in this crate: [`HangupCause::of_status`],
/// [`HangupCause::of_q850`], [`HangupCause::retry`] and [`HangupCause::word`] are the places to touch with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HangupCause {
    /// One side said goodbye with BYE.
    Normal,
    /// The calling side withdrew the attempt before it was answered.
    Cancelled,
    /// It rang and nobody answered within the ring limit.
    NoAnswer,
    /// The callee is busy.
    Busy,
    /// The callee (or somebody for him) refused this call.
    Declined,
    /// The callee asked not to be called by us again (RFC 8197, RFC 8688).
    Unwanted,
    /// The callee cannot be reached now: not registered, switched off, out of reach.
    Unavailable,
    /// There is no such number.
    NumberUnknown,
    /// The number is incomplete, ambiguous or has the wrong form.
    NumberInvalid,
    /// The callee moved; the answer carries the new address, which is not followed.
    Redirected,
    /// The trunk does not accept our credentials.
    AuthFailed,
    /// The trunk refuses this call: policy, caller number, missing permission.
    Forbidden,
    /// The trunk wants money first.
    PaymentRequired,
    /// No codec or session form in common.
    IncompatibleMedia,
    /// The trunk or a network behind it has no free circuit now.
    Congested,
    /// The trunk or a network behind it failed.
    TrunkFailure,
    /// Nothing at all answered the INVITE.
    NoResponse,
    /// The network gave up waiting for somebody further away.
    Timeout,
    /// No packet could be sent to, or kept up with, the trunk.
    TransportFailed,
    /// The peer's messages and ours do not fit together.
    Protocol,
    /// The peer no longer knows the call.
    CallLost,
    /// The session timer ran out without a refresh (RFC 4028).
    SessionExpired,
}

/// What a dialler may do after a cause. Limits, windows and counting are the dialler's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The call did what calls do; nothing to try again.
    Nothing,
    /// Never dial this number again for this reason.
    Never,
    /// The same number may be dialled again later, in minutes.
    Later,
    /// The failure is the trunk's: another trunk may be tried at once if nobody was rung.
    OtherTrunk,
    /// A person must correct settings or an account first.
    Operator,
}

/// Who ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndedBy {
    /// The application asked for it.
    Local,
    /// The peer asked for it.
    Peer,
    /// A timer or a failure of the network did it.
    Network,
}

impl HangupCause {
    /// The cause of a final SIP status 300..=699. Codes without a row of their own fall to the x00 of their class, as
    /// RFC 3261 section 8.1.3.2 requires; anything outside the range is [`HangupCause::Protocol`].
    pub fn of_status(status: u16) -> Self {
        match STATUS.binary_search_by_key(&status, |row| row.0) {
            Ok(at) => STATUS[at].1,
            Err(_) => match status / 100 {
                3 => Self::Redirected,
                4 => Self::Protocol,
                5 => Self::TrunkFailure,
                6 => Self::Declined,
                _ => Self::Protocol,
            },
        }
    }

    /// The cause of a Q.850 cause value 1..=127. Values without a row fall to the class of their upper three bits
    /// (Q.850 section 2.2.5: 0-1 normal, 2 no resource, 3-4 not available or implemented, 5-6 protocol, 7 interworking).
    pub fn of_q850(value: u8) -> Self {
        match Q850.binary_search_by_key(&value, |row| row.0) {
            Ok(at) => Q850[at].1,
            Err(_) => match value >> 4 {
                0 | 1 => Self::Unavailable,
                2 => Self::Congested,
                3 | 4 => Self::TrunkFailure,
                _ => Self::Protocol,
            },
        }
    }

    /// The cause of a final status that may carry a Q.850 value: the value is the better witness only where the status
    /// says little (403, 480, 487, 5xx: gateways fold many causes into these).
    pub fn of_answer(status: u16, q850: Option<u8>) -> Self {
        match q850 {
            Some(value) if matches!(status, 403 | 480 | 500..=599) => match Self::of_q850(value) {
                // "Normal clearing" on a failed attempt says nothing; the status says more.
                Self::Normal => Self::of_status(status),
                cause => cause,
            },
            _ => Self::of_status(status),
        }
    }

    /// What a dialler may do after it.
    pub fn retry(self) -> Retry {
        match self {
            Self::Normal | Self::Cancelled => Retry::Nothing,
            Self::Unwanted | Self::NumberUnknown | Self::NumberInvalid | Self::Redirected | Self::Declined => {
                Retry::Never
            }
            Self::NoAnswer | Self::Busy | Self::Unavailable | Self::Timeout | Self::CallLost | Self::SessionExpired => {
                Retry::Later
            }
            Self::Congested | Self::TrunkFailure | Self::NoResponse | Self::TransportFailed => Retry::OtherTrunk,
            Self::AuthFailed | Self::Forbidden | Self::PaymentRequired | Self::IncompatibleMedia | Self::Protocol => {
                Retry::Operator
            }
        }
    }

    /// One stable lower-case word for logs and records.
    pub fn word(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Cancelled => "cancelled",
            Self::NoAnswer => "no_answer",
            Self::Busy => "busy",
            Self::Declined => "declined",
            Self::Unwanted => "unwanted",
            Self::Unavailable => "unavailable",
            Self::NumberUnknown => "number_unknown",
            Self::NumberInvalid => "number_invalid",
            Self::Redirected => "redirected",
            Self::AuthFailed => "auth_failed",
            Self::Forbidden => "forbidden",
            Self::PaymentRequired => "payment_required",
            Self::IncompatibleMedia => "incompatible_media",
            Self::Congested => "congested",
            Self::TrunkFailure => "trunk_failure",
            Self::NoResponse => "no_response",
            Self::Timeout => "timeout",
            Self::TransportFailed => "transport_failed",
            Self::Protocol => "protocol",
            Self::CallLost => "call_lost",
            Self::SessionExpired => "session_expired",
        }
    }
}

impl fmt::Display for HangupCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Status codes with a cause of their own, ascending. Source: IANA "Session Initiation Protocol Parameters", response codes.
const STATUS: &[(u16, HangupCause)] = &[
    (300, HangupCause::Redirected),
    (301, HangupCause::Redirected),
    (302, HangupCause::Redirected),
    (305, HangupCause::Redirected),
    (380, HangupCause::Redirected),
    (400, HangupCause::Protocol),
    (401, HangupCause::AuthFailed),
    (402, HangupCause::PaymentRequired),
    (403, HangupCause::Forbidden),
    (404, HangupCause::NumberUnknown),
    (405, HangupCause::Protocol),
    (406, HangupCause::Protocol),
    (407, HangupCause::AuthFailed),
    (408, HangupCause::Timeout),
    (409, HangupCause::Protocol),
    (410, HangupCause::NumberUnknown),
    (411, HangupCause::Protocol),
    (412, HangupCause::Protocol),
    (413, HangupCause::Protocol),
    (414, HangupCause::Protocol),
    (415, HangupCause::IncompatibleMedia),
    (416, HangupCause::NumberInvalid),
    (417, HangupCause::Protocol),
    (420, HangupCause::Protocol),
    (421, HangupCause::Protocol),
    (422, HangupCause::Protocol),
    (423, HangupCause::Protocol),
    (424, HangupCause::Protocol),
    (425, HangupCause::Protocol),
    (428, HangupCause::Forbidden),
    (429, HangupCause::Forbidden),
    (430, HangupCause::Unavailable),
    (433, HangupCause::Declined),
    (436, HangupCause::Forbidden),
    (437, HangupCause::Forbidden),
    (438, HangupCause::Forbidden),
    (439, HangupCause::Protocol),
    (440, HangupCause::Protocol),
    (469, HangupCause::Protocol),
    (470, HangupCause::Declined),
    (480, HangupCause::Unavailable),
    (481, HangupCause::CallLost),
    (482, HangupCause::Protocol),
    (483, HangupCause::Protocol),
    (484, HangupCause::NumberInvalid),
    (485, HangupCause::NumberInvalid),
    (486, HangupCause::Busy),
    (487, HangupCause::Cancelled),
    (488, HangupCause::IncompatibleMedia),
    (489, HangupCause::Protocol),
    (491, HangupCause::Protocol),
    (493, HangupCause::Protocol),
    (494, HangupCause::Protocol),
    (500, HangupCause::TrunkFailure),
    (501, HangupCause::TrunkFailure),
    (502, HangupCause::TrunkFailure),
    (503, HangupCause::Congested),
    (504, HangupCause::TrunkFailure),
    (505, HangupCause::Protocol),
    (513, HangupCause::Protocol),
    (555, HangupCause::Protocol),
    (580, HangupCause::IncompatibleMedia),
    (600, HangupCause::Busy),
    (603, HangupCause::Declined),
    (604, HangupCause::NumberUnknown),
    (606, HangupCause::IncompatibleMedia),
    (607, HangupCause::Unwanted),
    (608, HangupCause::Unwanted),
];

/// Q.850 values with a cause of their own, ascending. Source: ITU-T Q.850 table 1; meanings for SIP in RFC 4497 section 8.4.4.
const Q850: &[(u8, HangupCause)] = &[
    (1, HangupCause::NumberUnknown),
    (2, HangupCause::TrunkFailure),
    (3, HangupCause::TrunkFailure),
    (5, HangupCause::NumberInvalid),
    (16, HangupCause::Normal),
    (17, HangupCause::Busy),
    (18, HangupCause::Unavailable),
    (19, HangupCause::NoAnswer),
    (20, HangupCause::Unavailable),
    (21, HangupCause::Declined),
    (22, HangupCause::NumberUnknown),
    (23, HangupCause::Redirected),
    (25, HangupCause::TrunkFailure),
    (26, HangupCause::Normal),
    (27, HangupCause::Unavailable),
    (28, HangupCause::NumberInvalid),
    (29, HangupCause::TrunkFailure),
    (31, HangupCause::Normal),
    (34, HangupCause::Congested),
    (38, HangupCause::TrunkFailure),
    (41, HangupCause::TrunkFailure),
    (42, HangupCause::Congested),
    (43, HangupCause::Protocol),
    (44, HangupCause::Congested),
    (47, HangupCause::Congested),
    (50, HangupCause::Forbidden),
    (52, HangupCause::Forbidden),
    (53, HangupCause::Forbidden),
    (54, HangupCause::Forbidden),
    (55, HangupCause::Forbidden),
    (57, HangupCause::Forbidden),
    (58, HangupCause::Congested),
    (63, HangupCause::TrunkFailure),
    (65, HangupCause::IncompatibleMedia),
    (69, HangupCause::TrunkFailure),
    (70, HangupCause::IncompatibleMedia),
    (79, HangupCause::TrunkFailure),
    (81, HangupCause::CallLost),
    (87, HangupCause::Forbidden),
    (88, HangupCause::IncompatibleMedia),
    (95, HangupCause::Protocol),
    (96, HangupCause::Protocol),
    (97, HangupCause::Protocol),
    (99, HangupCause::Protocol),
    (100, HangupCause::Protocol),
    (101, HangupCause::Protocol),
    (102, HangupCause::Timeout),
    (111, HangupCause::Protocol),
    (127, HangupCause::TrunkFailure),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted_without_doubles() {
        assert!(STATUS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(Q850.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    /// BARS R54: every final code has one documented cause, and no code without a row surprises.
    #[test]
    fn every_status_has_its_cause() {
        for status in 300..=699_u16 {
            let cause = HangupCause::of_status(status);
            let class = match status / 100 {
                3 => HangupCause::Redirected,
                4 => HangupCause::Protocol,
                5 => HangupCause::TrunkFailure,
                _ => HangupCause::Declined,
            };
            match STATUS.iter().find(|row| row.0 == status) {
                Some(row) => assert_eq!(cause, row.1, "{status}"),
                None => assert_eq!(cause, class, "{status}"),
            }
            assert_ne!(cause, HangupCause::Normal, "{status}: a failure is never a normal end");
        }
        for outside in [0, 99, 100, 199, 299, 700, 999, u16::MAX] {
            assert_eq!(HangupCause::of_status(outside), HangupCause::Protocol);
        }
    }

    #[test]
    fn the_causes_people_act_upon() {
        let expect = [
            (302, HangupCause::Redirected, Retry::Never),
            (401, HangupCause::AuthFailed, Retry::Operator),
            (403, HangupCause::Forbidden, Retry::Operator),
            (404, HangupCause::NumberUnknown, Retry::Never),
            (408, HangupCause::Timeout, Retry::Later),
            (480, HangupCause::Unavailable, Retry::Later),
            (486, HangupCause::Busy, Retry::Later),
            (487, HangupCause::Cancelled, Retry::Nothing),
            (488, HangupCause::IncompatibleMedia, Retry::Operator),
            (500, HangupCause::TrunkFailure, Retry::OtherTrunk),
            (503, HangupCause::Congested, Retry::OtherTrunk),
            (600, HangupCause::Busy, Retry::Later),
            (603, HangupCause::Declined, Retry::Never),
            (607, HangupCause::Unwanted, Retry::Never),
            (608, HangupCause::Unwanted, Retry::Never),
        ];
        for (status, cause, retry) in expect {
            assert_eq!(
                (HangupCause::of_status(status), HangupCause::of_status(status).retry()),
                (cause, retry),
                "{status}"
            );
        }
    }

    #[test]
    fn q850_speaks_where_the_status_is_vague() {
        assert_eq!(HangupCause::of_answer(480, Some(17)), HangupCause::Busy);
        assert_eq!(HangupCause::of_answer(503, Some(34)), HangupCause::Congested);
        assert_eq!(HangupCause::of_answer(500, Some(1)), HangupCause::NumberUnknown);
        assert_eq!(HangupCause::of_answer(486, Some(16)), HangupCause::Busy);
        assert_eq!(HangupCause::of_answer(480, Some(16)), HangupCause::Unavailable);
        assert_eq!(HangupCause::of_answer(480, None), HangupCause::Unavailable);
        for value in 0..=u8::MAX {
            assert!(!HangupCause::of_q850(value).word().is_empty());
        }
    }
}
