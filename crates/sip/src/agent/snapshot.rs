//! What is written down of a call so that a restarted program can end it.
//!
//! Hides the text: one line per part, nothing that needs escaping, since no part of a SIP message holds a line end.
//! Holds no session and no password: a call is ended after a restart, not taken over.

use std::fmt;
use std::str::FromStr;
use std::time::Instant;

use super::call::Call;
use super::dialling::restored_invite;
use super::{Ending, Event, UserAgent};
use crate::cause::{EndedBy, HangupCause};
use crate::dialog::{Dialog, Parts};
use crate::invite::{CallKey, InviteError, OutboundInvite, TrunkRef, normal_clearing};
use crate::message::{CallId, HeaderName, NameAddr, Request, Uri};

/// What is needed to end a call after a restart, as text: `Display` writes it, `FromStr` reads it back. It names callers
/// and callees: store it as personal data.
#[derive(Clone, PartialEq, Eq)]
pub struct DialogSnapshot {
    phase: Phase,
    parts: Parts,
}

/// How far the call was.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// An INVITE was or may have been sent with this branch.
    Dialing { branch: String },
    /// It was answered.
    Talking,
}

/// Why a text is no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a dialog snapshot")]
pub struct SnapshotError;

/// The first line: format and version.
const HEADLINE: &str = "dialog 1";

impl DialogSnapshot {
    /// What the application can write down before it calls [`UserAgent::invite`]; the same as
    /// [`UserAgent::snapshot_calling`] gives after it, as long as no challenge made the INVITE go out again.
    ///
    /// # Errors
    /// [`InviteError::Unwritable`] as from `invite`.
    pub fn of_intent(invite: &OutboundInvite) -> Result<Self, InviteError> {
        let unwritable = InviteError::Unwritable("the identity");
        let local = invite.from.clone().with_tag(&invite.identity.from_tag).map_err(|_| unwritable.clone())?;
        let parts = Parts {
            call_id: CallId::new(&invite.identity.call_id).map_err(|_| unwritable)?,
            local,
            remote: invite.to.clone().without_params(),
            target: invite.request_uri.clone(),
            routes: Vec::new(),
            local_cseq: invite.identity.cseq,
        };
        Ok(Self { phase: Phase::Dialing { branch: invite.identity.branch.clone() }, parts })
    }

    /// What BYE needs.
    pub(super) fn of_dialog(dialog: &Dialog) -> Self {
        Self { phase: Phase::Talking, parts: dialog.parts() }
    }

    fn of_invite(request: &Request) -> Option<Self> {
        let parts = Parts {
            call_id: request.headers.call_id()?,
            local: request.headers.from()?,
            remote: request.headers.to()?,
            target: request.uri.clone(),
            routes: request.headers.routes(),
            local_cseq: request.headers.cseq()?.number,
        };
        let branch = request.headers.top_via()?.branch()?.to_owned();
        Some(Self { phase: Phase::Dialing { branch }, parts })
    }
}

impl UserAgent {
    pub(super) fn snapshot_of(&self, key: CallKey) -> Option<DialogSnapshot> {
        match self.calls.get(&key)? {
            Call::Dialing(dialing) => DialogSnapshot::of_invite(self.transactions.request(dialing.invite)?),
            Call::Talking(talk) => Some(DialogSnapshot::of_dialog(&talk.dialog)),
            Call::Ringing(_) => None,
        }
    }

    pub(super) fn end_restored(
        &mut self,
        now: Instant,
        snapshot: &DialogSnapshot,
        trunk: TrunkRef,
    ) -> Result<CallKey, InviteError> {
        if self.settings.local_for(trunk.transport).is_none() {
            return Err(InviteError::NoLocalAddress(trunk.transport));
        }
        self.acquaint(&trunk);
        let parts = snapshot.parts.clone();
        match &snapshot.phase {
            Phase::Talking => {
                let key = CallKey(self.next_key());
                self.leave(now, Some(key), (Dialog::restored(parts), trunk), Some(normal_clearing()));
                let ending = Ending { by: EndedBy::Local, cause: HangupCause::Normal, reason: None };
                self.events.push_back(Event::Ended { call: key, ending });
                Ok(key)
            }
            Phase::Dialing { branch } => {
                let via = self.via_with(trunk.transport, branch).ok_or(InviteError::Unwritable("the branch"))?;
                let mut invite = restored_invite(parts.clone(), via);
                for route in &parts.routes {
                    invite.headers.push(HeaderName::Route, route);
                }
                Ok(self.resume_dialing(now, invite, trunk))
            }
        }
    }
}

impl fmt::Display for DialogSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { call_id, local, remote, target, routes, local_cseq } = &self.parts;
        writeln!(f, "{HEADLINE}")?;
        match &self.phase {
            Phase::Dialing { branch } => writeln!(f, "branch {branch}")?,
            Phase::Talking => writeln!(f, "talking")?,
        }
        writeln!(f, "call-id {call_id}\nlocal {local}\nremote {remote}\ntarget {target}\ncseq {local_cseq}")?;
        for route in routes {
            writeln!(f, "route {route}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for DialogSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DialogSnapshot").field("call_id", &self.parts.call_id).finish_non_exhaustive()
    }
}

impl FromStr for DialogSnapshot {
    type Err = SnapshotError;

    fn from_str(text: &str) -> Result<Self, SnapshotError> {
        let mut lines = text.lines();
        if lines.next() != Some(HEADLINE) {
            return Err(SnapshotError);
        }
        let phase = match lines.next().ok_or(SnapshotError)?.split_once(' ') {
            Some(("branch", branch)) => Phase::Dialing { branch: branch.to_owned() },
            None => Phase::Talking,
            Some(_) => return Err(SnapshotError),
        };
        let mut named = |name: &str| {
            let (known, value) = lines.next()?.split_once(' ')?;
            (known == name).then_some(value)
        };
        let read = |text: &str| text.parse::<NameAddr>().map_err(|_| SnapshotError);
        let call_id = CallId::new(named("call-id").ok_or(SnapshotError)?).map_err(|_| SnapshotError)?;
        let local = read(named("local").ok_or(SnapshotError)?)?;
        let remote = read(named("remote").ok_or(SnapshotError)?)?;
        let target: Uri = named("target").ok_or(SnapshotError)?.parse().map_err(|_| SnapshotError)?;
        let local_cseq = named("cseq").ok_or(SnapshotError)?.parse().map_err(|_| SnapshotError)?;
        let mut routes = Vec::new();
        for line in lines {
            routes.push(read(line.strip_prefix("route ").ok_or(SnapshotError)?)?);
        }
        let parts = Parts { call_id, local, remote, target, routes, local_cseq };
        Ok(Self { phase, parts })
    }
}
