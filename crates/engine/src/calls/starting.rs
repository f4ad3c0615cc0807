//! Calls that begin: a request becomes a plan, and the plan a call that is written down. Hides what is looked up for it.

use super::{AgentFlaw, Calls};
use crate::failpoint::Failpoint;
use callwright_conversation::TemplateError;
use callwright_domain::CallerLine;
use callwright_domain::agent::AgentProfile;
use callwright_domain::policy::{Evidence, Rules};
use callwright_domain::retry::Retries;
use callwright_domain::webhook::Whose;
use callwright_domain::{
    AccountId, AgentId, AgentPatch, CallId, CallPlan, Moment, Origin, PhoneNumber, Pii, Refusal, Telephone, ThreadId,
    Way, Webhook,
};
use callwright_store::{
    Admission, AdmitError, Admitted, Alias, AliasKind, Basis, Idempotency, Number, Patience, StoreError,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// A request for a call, as every dialect puts it.
#[derive(Debug, Clone)]
pub struct StartCall {
    /// Who asks.
    pub account: AccountId,
    /// Who talks.
    pub agent: AgentRef,
    /// What the request changes in it.
    pub patch: AgentPatch,
    /// Who is rung.
    pub callee: PhoneNumber,
    /// Who shows on the display: the first of these that the rules let through; empty: any number of the account, the
    /// least busy first.
    pub callers: Vec<PhoneNumber>,
    /// Values for the prompt's templates.
    pub variables: BTreeMap<String, String>,
    /// The requester's own text, given back unread.
    pub user_data: Option<Pii<String>>,
    /// The history it shares with other calls.
    pub thread: Option<ThreadId>,
    /// When to dial; now when absent.
    pub due: Option<Moment>,
    /// After this it is not dialled any more.
    pub deadline: Option<Moment>,
    /// How long it may wait for a place when its caller number, agent or account has none free; zero: it is refused.
    pub wait: Duration,
    /// When and how often it is tried again when it reaches nobody.
    pub retry: Option<Retries>,
    /// Makes repeats of the same request the same call.
    pub once: Option<Idempotency>,
    /// Where the request came from.
    pub origin: Origin,
    /// What the vendor calls the call, for a dialect that cannot tell our id by its own: kept with the call, as one of the
    /// dialect that it came from.
    pub outer: Option<fn(&AccountId, CallId) -> String>,
}

/// The agent that a request means.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentRef {
    /// A stored one.
    Stored(AgentId),
    /// One that the request itself describes. Its calls bear the id [`AgentRef::INLINE`].
    Inline(Box<AgentProfile>),
}

impl AgentRef {
    /// The id of agents that are not stored.
    pub const INLINE: &str = "_inline";
}

impl From<AgentId> for AgentRef {
    fn from(id: AgentId) -> Self {
        Self::Stored(id)
    }
}

/// An agent as a call is to have it.
pub(crate) struct Bound {
    /// The stored agent's id.
    pub(crate) id: AgentId,
    /// With every patch laid over it.
    pub(crate) agent: AgentProfile,
    /// The rules that count for its calls.
    pub(crate) rules: Rules,
    /// The caller numbers that were asked for.
    pub(crate) numbers: Vec<Number>,
}

/// A call exists.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// Its id.
    pub id: CallId,
    /// Whether it existed before this request.
    pub repeat: Repeat,
    /// The rule in its way when it waits for a place; in a repeat, when it waited as it was accepted.
    pub waits: Option<Refusal>,
    /// What this request made it to be; none: an earlier one made it, or one of several caller numbers was chosen for it, and
    /// the store tells.
    pub plan: Option<Box<CallPlan>>,
}

/// Whether a request made a call or found the one that its first copy made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// This request made it.
    First,
    /// An earlier request with the same idempotency key made it.
    Replayed,
}

/// Why no call was made.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A rule says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The agent's texts need a variable that the request does not bring, or are not valid templates.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The agent wants an ear, brain, voice or ambient sound that this server does not have, or a language that they do not
    /// know.
    #[error(transparent)]
    Unserved(#[from] AgentFlaw),
    /// The idempotency key was used with another request.
    #[error("the idempotency key was used before with another request")]
    OtherRequest,
    /// Nothing could be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<AdmitError> for StartError {
    fn from(why: AdmitError) -> Self {
        match why {
            AdmitError::Refused(refusal) => refusal.into(),
            AdmitError::IdempotencyMismatch => Self::OtherRequest,
            AdmitError::Store(error) => error.into(),
        }
    }
}

/// Why none of several calls was made.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct NoneStarted {
    /// The first that could not be made, by its place among them; none: it was no single one's fault.
    pub place: Option<usize>,
    /// Why.
    pub error: StartError,
}

/// What has to be known of a call when the store has answered.
struct Asked {
    id: CallId,
    due: Moment,
    plan: Option<Box<CallPlan>>,
}

impl Asked {
    fn of(admission: &Admission) -> Self {
        let plan = &admission.plan;
        // Of several caller numbers the store takes one that has a place.
        let certain = plan.callers().nth(1).is_none();
        Self { id: plan.id, due: plan.due, plan: certain.then(|| Box::new(plan.clone())) }
    }
}

impl Calls {
    /// Makes a call. When this returns `Ok`, the call is written down and will be dialled or ended, whatever happens.
    ///
    /// # Errors
    /// [`StartError`]; no call exists then.
    pub async fn start(&self, request: StartCall, now: Moment) -> Result<Started, StartError> {
        self.start_told(request, None, now).await
    }

    /// The same, with an endpoint that is told of this call alone; it is made with the call or not at all. Its `whose`
    /// may name any call.
    ///
    /// # Errors
    /// [`StartError`]; neither the call nor the endpoint exists then.
    pub async fn start_told(
        &self,
        request: StartCall,
        endpoint: Option<Webhook>,
        now: Moment,
    ) -> Result<Started, StartError> {
        self.accept(request, endpoint, Patience::AnyPlace, now).await
    }

    /// What would become of a request now: the call as it would be made, and the verdict with all that it is made of. No
    /// call is made, and nothing is kept.
    ///
    /// # Errors
    /// [`StartError`] where there would be no verdict either.
    pub async fn try_out(&self, request: StartCall, now: Moment) -> Result<(CallPlan, Evidence), StartError> {
        if self.node.is_draining() {
            return Err(Refusal::Draining.into());
        }
        let (plan, patience) = (self.plan(request, now).await?, Patience::AnyPlace);
        let (idempotency, endpoint, alias) = (None, None, None);
        let admission = Admission { plan, idempotency, endpoint, alias, patience };
        Ok(self.node.store.try_out(admission, now).await?)
    }

    pub(crate) async fn accept(
        &self,
        request: StartCall,
        endpoint: Option<Webhook>,
        patience: Patience,
        now: Moment,
    ) -> Result<Started, StartError> {
        let admission = self.admission(request, endpoint, patience, now).await?;
        self.admit(admission, now).await
    }

    /// Makes several calls in one transaction: all of them or none, also when the server dies meanwhile.
    ///
    /// # Errors
    /// [`NoneStarted`]; no call exists then.
    pub async fn start_all(&self, requests: Vec<StartCall>, now: Moment) -> Result<Vec<Started>, NoneStarted> {
        let mut admissions = Vec::with_capacity(requests.len());
        for (place, request) in requests.into_iter().enumerate() {
            let admission = self.admission(request, None, Patience::AnyPlace, now).await;
            admissions.push(admission.map_err(|error| NoneStarted { place: Some(place), error })?);
        }
        let asked: Vec<Asked> = admissions.iter().map(Asked::of).collect();
        let admitted = self.node.store.admit_all(admissions, now).await;
        self.node.tasks.reach(Failpoint::Accepted).await;
        let admitted = admitted.map_err(|none| NoneStarted { place: none.place, error: none.error.into() })?;
        Ok(asked.into_iter().zip(admitted).map(|(asked, admitted)| self.started(asked, admitted, now)).collect())
    }

    async fn admission(
        &self,
        request: StartCall,
        endpoint: Option<Webhook>,
        patience: Patience,
        now: Moment,
    ) -> Result<Admission, StartError> {
        if self.node.is_draining() {
            return Err(Refusal::Draining.into());
        }
        let (idempotency, outer) = (request.once.clone(), request.outer);
        let plan = self.plan(request, now).await?;
        let id = plan.id;
        let alias = outer.map(|outer| Alias {
            account: plan.account.clone(),
            dialect: plan.origin.dialect.clone(),
            kind: AliasKind::Call,
            outer: outer(&plan.account, id),
            inner: id.to_string(),
        });
        let endpoint = endpoint.map(|endpoint| Webhook { whose: Whose::Call(id), ..endpoint });
        Ok(Admission { plan, idempotency, endpoint, alias, patience })
    }

    pub(crate) async fn admit(&self, admission: Admission, now: Moment) -> Result<Started, StartError> {
        let asked = Asked::of(&admission);
        let admitted = self.node.store.admit(admission, now).await;
        self.node.tasks.reach(Failpoint::Accepted).await;
        Ok(self.started(asked, admitted?, now))
    }

    /// Wakes whoever has to know of a call that was accepted.
    fn started(&self, asked: Asked, admitted: Admitted, now: Moment) -> Started {
        let Asked { id, due, plan } = asked;
        match admitted {
            Admitted::New => {
                // One that is due later is found when it is.
                if due <= now {
                    self.node.bell.notify_one();
                }
                Started { id, repeat: Repeat::First, waits: None, plan }
            }
            Admitted::Waiting(rule) => {
                self.node.waiting.want_places(true);
                self.node.bell.notify_one();
                Started { id, repeat: Repeat::First, waits: Some(rule), plan }
            }
            Admitted::Replayed { call, waits } => Started { id: call, repeat: Repeat::Replayed, waits, plan: None },
        }
    }

    /// What a request comes to: references resolved, the agent with its patch, the number that shows.
    pub(crate) async fn plan(&self, request: StartCall, now: Moment) -> Result<CallPlan, StartError> {
        // A number in a national form may be kept in another: then it is looked for among all.
        let given = request.callers.iter().all(|number| number.international().is_some());
        let asked = if given { request.callers.as_slice() } else { &[] };
        let wanted = (request.agent, request.patch);
        let bound = self.bind(&request.account, wanted, &request.variables, asked).await?;
        let Bound { id: agent_id, agent, rules, numbers } = bound;
        // As it was given and as it is dialled at home: a number of the account may be kept in either form.
        let given = request.callers.iter();
        let mut wanted: Vec<PhoneNumber> =
            given.flat_map(|number| [number.clone(), number.at_home(rules.home)]).collect();
        wanted.extend(request.callers.iter().filter_map(|number| crate::callers::meant(number, &numbers)).cloned());
        let mut lines = self.callers(&request.account, &wanted, numbers).await?;
        let callee = crate::callers::callee_of(&request.callee, rules.home, &lines);
        let CallerLine { number: caller, trunk, spare_trunks } = lines.remove(0);
        Ok(CallPlan {
            id: CallId::from_entropy(self.node.entropy.bits128()),
            account: request.account,
            agent_id,
            agent,
            way: Way::Telephone(Telephone { callee, caller, trunk, spare_trunks, spare_callers: lines }),
            variables: request.variables,
            user_data: request.user_data,
            thread: request.thread,
            created: now,
            due: request.due.unwrap_or(now),
            deadline: request.deadline,
            wait_ms: u64::try_from(request.wait.as_millis()).unwrap_or(u64::MAX),
            retry: request.retry,
            origin: request.origin,
            campaign: None,
            redaction: rules.redaction,
            talks_ms: None,
        })
    }

    /// The agent that a request means, with its patch and what the rules say of it, and the caller numbers that are asked for.
    pub(crate) async fn bind(
        &self,
        account: &AccountId,
        (agent, patch): (AgentRef, AgentPatch),
        variables: &BTreeMap<String, String>,
        asked: &[PhoneNumber],
    ) -> Result<Bound, StartError> {
        let (id, inline) = match agent {
            AgentRef::Stored(id) => (id, None),
            AgentRef::Inline(profile) => (AgentId::new(AgentRef::INLINE).expect("letters and _"), Some(*profile)),
        };
        let Basis { agent, rules, numbers } = self.node.reader.basis(account, &id, asked).await?;
        let mut agent = inline.or(agent.map(|stored| stored.profile)).ok_or(Refusal::UnknownAgent)?;
        patch.apply(&mut agent);
        agent.limits.ring_timeout_s = agent.limits.ring_timeout_s.max(rules.min_ring_s);
        if agent.opening.disclosure.is_none() {
            agent.opening.disclosure.clone_from(&rules.disclosure);
        }
        self.check(&agent, variables)?;
        Ok(Bound { id, agent, rules, numbers })
    }
}
