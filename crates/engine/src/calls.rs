//! What the outside may ask of calls. The only door into the engine: dialects, the feed and the command line hold a
//! [`Calls`], nothing else. Hides the store's writing half, the registry of live calls and the dialer.

use crate::campaigns::Campaigns;
use crate::excerpt::{Clip, Excerpt};
use crate::failpoint::Failpoint;
use crate::journal::Fed;
use crate::limits;
use crate::live::Order;
use crate::node::Node;
use crate::onward;
use crate::peers::{self, PeerMessage, PeerOrder};
use crate::registry::Mute;
use crate::retention;
use crate::trunks::TrunkStatus;
use callwright_conversation::{Conversation, Question, Saying, TemplateError, Unheard};
use callwright_domain::CallerLine;
use callwright_domain::agent::{AgentProfile, Switch, VoiceSettings};
use callwright_domain::campaign::MAX_ATTEMPTS;
use callwright_domain::policy::{Evidence, Rules, RulesPatch};
use callwright_domain::retry::Retries;
use callwright_domain::webhook::Whose;
use callwright_domain::{
    AccountId, AgentId, AgentPatch, ApiKey, CallId, CallPlan, CallState, HangupCause, KeyId, Moment, Origin,
    PhoneNumber, Pii, Refusal, Telephone, ThreadId, Transfer, TrunkId, Way, Webhook,
};
use callwright_store::blobs::Blob;
use callwright_store::{
    Admission, AdmitError, Admitted, Alias, AliasKind, Basis, BlobError, BlobName, CallFilter, Denial, Erasure,
    ErasureOrder, Idempotency, Listed, Note, Number, Patience, Reader, Share, Stage, StoreError, StoredConsent, Trunk,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::time::timeout;

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
    /// The rule in its way when it waits for a place.
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

/// Why an order to a call was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The account has no such call.
    #[error("no call with this id exists")]
    UnknownCall,
    /// It is over.
    #[error("the call has ended")]
    Ended(HangupCause),
    /// Its end was ordered: what is being said is its last.
    #[error("the call is saying its last words")]
    LastWords,
    /// It is not answered yet.
    #[error("the call is not answered yet")]
    NotAnswered,
    /// Another node runs it and cannot be reached.
    #[error("the node that runs the call cannot be reached")]
    Elsewhere,
    /// It is met in a browser: there is no telephone line whose other end could be handed over.
    #[error("the call is met in a browser: there is no telephone line to hand over")]
    NoTelephone,
    /// Its callee is being handed over already, or talks with somebody else.
    #[error("the callee is being handed over already")]
    Transferring,
    /// The rules name nobody for this desk.
    #[error("no desk of this name is configured")]
    NoDesk,
    /// The rules do not let anybody be called there.
    #[error(transparent)]
    Refused(Refusal),
    /// Too many orders wait already.
    #[error("the call has too many orders waiting")]
    Busy,
    /// It is to be said, and too much waits to be said already.
    #[error("too much waits to be said in the call already")]
    NoRoom,
    /// The journal could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Unheard> for OrderError {
    fn from(why: Unheard) -> Self {
        match why {
            Unheard::Nobody => Self::NotAnswered,
            Unheard::LastWords => Self::LastWords,
            Unheard::HandedOver => Self::Transferring,
            Unheard::Full => Self::NoRoom,
        }
    }
}

impl From<Mute> for OrderError {
    fn from(why: Mute) -> Self {
        match why {
            Mute::Leaving => Self::LastWords,
            Mute::Replaced => Self::Transferring,
        }
    }
}

/// How a call is ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HangUp {
    /// At once.
    Now,
    /// After the sentence that is being spoken, at most ten seconds.
    AfterSentence,
}

/// Whether the server takes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    /// It takes new calls.
    pub accepting: Accepting,
    /// Calls that are up or being dialled.
    pub live: usize,
}

/// Whether new calls are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepting {
    /// Yes.
    Open,
    /// No: going down.
    Draining,
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

/// The door into the engine. Cheap to clone.
#[derive(Clone)]
pub struct Calls {
    pub(crate) node: Arc<Node>,
    /// What requests read through.
    reader: Reader,
}

impl Calls {
    /// The door of a running node.
    pub(crate) fn new(node: Arc<Node>) -> Self {
        let reader = node.reader.hurried();
        Self { node, reader }
    }

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
        let (idempotency, response, endpoint, alias) = (None, String::new(), None, None);
        let admission = Admission { plan, idempotency, response, endpoint, alias, patience };
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
        Ok(Admission { plan, idempotency, response: String::new(), endpoint, alias, patience })
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
            Admitted::Replayed { call, .. } => Started { id: call, repeat: Repeat::Replayed, waits: None, plan: None },
        }
    }

    /// Ends a call. A call that is still queued ends without being dialled; one that is over and is to be tried again is
    /// not tried again.
    ///
    /// # Errors
    /// [`OrderError::UnknownCall`] for a call of another account, too; [`OrderError::Ended`] when it is over already.
    pub async fn hang_up(&self, account: &AccountId, call: CallId, how: HangUp) -> Result<(), OrderError> {
        let ordered = async {
            let mut newest = call;
            for _ in 0..MAX_ATTEMPTS {
                let view = self.reader.call(account, newest).await?.ok_or(OrderError::UnknownCall)?;
                match view.next {
                    Some(next) => newest = next,
                    None => break,
                }
            }
            self.order(account, newest, Order::HangUp(how)).await
        };
        match ordered.await {
            Err(OrderError::Store(StoreError::Away { detail })) => match self.hang_up_here(account, call, how) {
                Err(OrderError::UnknownCall) => Err(StoreError::Away { detail }.into()),
                outcome => outcome,
            },
            outcome => outcome,
        }
    }

    /// Ends a call that this node runs, and asks nobody: the database may be away.
    ///
    /// # Errors
    /// [`OrderError::UnknownCall`] for one that is not live here, and for one of another account.
    pub fn hang_up_here(&self, account: &AccountId, call: CallId, how: HangUp) -> Result<(), OrderError> {
        match self.node.registry.send_of(account, call, Order::HangUp(how)) {
            Sent::Yes(_) => Ok(()),
            Sent::Full => Err(OrderError::Busy),
            Sent::Mute(why) => Err(why.into()),
            Sent::NotLive(_) => Err(OrderError::UnknownCall),
        }
    }

    /// Speaks a text into the call, past the model.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn say(&self, account: &AccountId, call: CallId, text: String, order: Speech) -> Result<(), OrderError> {
        let saying = match order {
            Speech::Interruptible => Saying::now(text, Switch::On),
            Speech::Insistent => Saying::now(text, Switch::Off),
            Speech::Patient => Saying::next(text),
        };
        self.speak(account, call, saying).await
    }

    /// Whether the call is one in which something could be said now: for whoever has to fetch first what that is.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn may_speak(&self, account: &AccountId, call: CallId) -> Result<(), OrderError> {
        self.check_order(account, call, &Order::Say(Saying::next(String::new()))).await
    }

    /// Speaks or plays something into the call, past the model.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn speak(&self, account: &AccountId, call: CallId, saying: Saying) -> Result<(), OrderError> {
        self.order(account, call, Order::Say(saying)).await
    }

    /// Gives the model a text as if the callee had said it.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn hear(&self, account: &AccountId, call: CallId, text: String) -> Result<(), OrderError> {
        self.ask(account, call, text.into()).await
    }

    /// The same in a way of its own.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn ask(&self, account: &AccountId, call: CallId, question: Question) -> Result<(), OrderError> {
        self.order(account, call, Order::Hear(question)).await
    }

    /// Hands the callee over to somebody through the call's own trunk, once the agent has said what it is saying. The call
    /// ends when that has worked; otherwise the agent goes on. The journal tells which.
    ///
    /// # Errors
    /// [`OrderError`]; [`OrderError::Refused`] when the rules do not let anybody be called there.
    pub async fn transfer(&self, account: &AccountId, call: CallId, transfer: Transfer) -> Result<(), OrderError> {
        let view = self.node.reader.call(account, call).await?.ok_or(OrderError::UnknownCall)?;
        if view.plan.telephone().is_none() {
            return Err(OrderError::NoTelephone);
        }
        let order = Order::Transfer(transfer.clone());
        self.check_order(account, call, &order).await?;
        // Asked again when it comes to it: the rules may have changed by then. Here, whoever orders it hears of it.
        onward::judged(&self.node, &view.plan, &transfer.to).await?;
        self.order(account, call, order).await
    }

    /// Everything that happens to calls from now on, all accounts; the watcher filters.
    pub fn watch(&self) -> broadcast::Receiver<Fed> {
        self.node.journal.watch()
    }

    /// Reads of calls and configuration, for requests: a database that is away is heard of within a second or two.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Where a trunk stands on this node; `None`: it is not known here (yet).
    pub fn trunk_status(&self, account: &AccountId, id: &TrunkId) -> Option<TrunkStatus> {
        let mut status = self.node.trunks.status(account, id)?;
        status.waiting = self.node.waiting.count(account, id);
        Some(status)
    }

    /// Whether the server takes calls.
    pub fn readiness(&self) -> Readiness {
        let accepting = if self.node.is_draining() { Accepting::Draining } else { Accepting::Open };
        Readiness { accepting, live: self.node.registry.len() }
    }

    /// Remembers a nonce for `keep`; `false` when it was used before.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn use_nonce(&self, key: &KeyId, nonce: &str, now: Moment, keep: Duration) -> Result<bool, StoreError> {
        self.node.store.use_nonce(key.clone(), nonce.to_owned(), now, keep).await
    }

    /// Takes up to `wanted` of the requests that `name` may make in this second, `limit` for all nodes of the database
    /// together; none: this node is alone with its database, and counts for itself.
    ///
    /// # Errors
    /// [`StoreError`] when the database could not be asked.
    pub async fn take_share(
        &self,
        account: &AccountId,
        name: &str,
        limit: u32,
        wanted: u32,
    ) -> Result<Option<Share>, StoreError> {
        if !self.node.store.is_shared() {
            return Ok(None);
        }
        let share = (account.clone(), name.to_owned());
        self.node.store.take_share(share, limit, wanted, self.node.clock.now()).await.map(Some)
    }

    /// Changes of agents, numbers, trunks and keys.
    pub fn configure(&self) -> Configure<'_> {
        Configure { node: &self.node }
    }

    /// Opens a recording by the name that the journal gives it.
    ///
    /// # Errors
    /// [`BlobError`] when there is none of that name, or it cannot be read.
    pub async fn recording(&self, name: &str) -> Result<Blob, BlobError> {
        let (recordings, name) = (self.node.recordings.clone(), BlobName::new(name)?);
        // Away from the runtime's threads: a disk may be slow, and a sealed file is measured when it is opened.
        let runtime = tokio::runtime::Handle::current();
        let work = tokio::task::spawn_blocking(move || recordings.read(&name, &runtime));
        work.await.map_err(|error| BlobError::Io(std::io::Error::other(error)))?
    }

    /// Opens a part of a recording as a file of its own.
    ///
    /// # Errors
    /// As [`Self::recording`].
    pub async fn excerpt(&self, name: &str, clip: Clip) -> Result<Excerpt, BlobError> {
        let recording = self.recording(name).await?;
        let work = tokio::task::spawn_blocking(move || Excerpt::of(recording, clip));
        work.await.map_err(std::io::Error::other).and_then(|outcome| outcome).map_err(BlobError::Io)
    }

    /// Erases a number from an account: calls to it that have ended lose the number and what was said, those that wait are
    /// taken back, and those that are up are erased after their end. Repeating it is harmless.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written; what was written is found again by the sweeper.
    pub async fn erase(&self, order: ErasureOrder) -> Result<Erasure, StoreError> {
        let (account, number) = (order.account.clone(), order.number.clone());
        let erasure = self.node.store.open_erasure(order).await?;
        let filter = CallFilter { state: Some(Stage::Queued), callee: Some(number), ..CallFilter::default() };
        for waiting in self.node.reader.calls(&account, &filter, None, limits::ERASED_CALLS).await?.items {
            // One that is being dialled by now is erased after its end like any other.
            if let Err(error) = self.hang_up(&account, waiting.plan.id, HangUp::Now).await {
                tracing::info!(call = %waiting.plan.id, %error, "a call to an erased number could not be taken back");
            }
        }
        let done = retention::erase(&self.node, &account, &erasure.id).await?;
        Ok(done.unwrap_or(erasure))
    }

    /// Campaigns.
    pub fn campaigns(&self) -> Campaigns<'_> {
        Campaigns::new(&self.node, self)
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
        let CallerLine { number: caller, trunk, spare_trunks } = lines.remove(0);
        Ok(CallPlan {
            id: CallId::from_entropy(self.node.entropy.bits128()),
            account: request.account,
            agent_id,
            agent,
            way: Way::Telephone(Telephone {
                callee: request.callee.at_home(rules.home.or_else(|| caller.country())),
                caller,
                trunk,
                spare_trunks,
                spare_callers: lines,
            }),
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

    /// Carries out another node's order for a call that should be live here. Never sends it on.
    ///
    /// # Errors
    /// [`OrderError`]; [`OrderError::NotAnswered`] when it is not live here (any more), and whoever asks looks again.
    pub async fn obey(&self, message: PeerMessage) -> Result<(), OrderError> {
        let order = message.order.into_order();
        self.check_order(&message.account, message.call, &order).await?;
        match self.hand_over((&message.account, message.call), order, limits::PEER_WORD).await {
            Ok(outcome) => outcome,
            Err(Order::HangUp(_)) => {
                self.node.end(&message.account, message.call, HangupCause::Cancelled).await?;
                self.node.waiting.forget(message.call);
                Ok(())
            }
            Err(_) => Err(OrderError::NotAnswered),
        }
    }

    /// Hands an order to a call that is live here, and waits for its word where the call judges the order. One that is not
    /// live here gives the order back.
    async fn hand_over(
        &self,
        (account, call): (&AccountId, CallId),
        order: Order,
        patience: Duration,
    ) -> Result<Result<(), OrderError>, Order> {
        let judged = order.is_judged();
        Ok(match self.node.registry.send(call, order) {
            Sent::Yes(word) if judged => match timeout(patience, word).await {
                Ok(word) => self.word_of((account, call), word.ok()).await,
                Err(_) => Err(OrderError::Busy),
            },
            Sent::Yes(_) => Ok(()),
            Sent::Full => Err(OrderError::Busy),
            Sent::Mute(why) => Err(why.into()),
            Sent::NotLive(order) => return Err(order),
        })
    }

    /// What a call says to an order that it had; none: it ended, or has not begun to talk.
    async fn word_of(
        &self,
        (account, call): (&AccountId, CallId),
        word: Option<Result<(), Unheard>>,
    ) -> Result<(), OrderError> {
        if let Some(verdict) = word {
            return Ok(verdict?);
        }
        match self.node.reader.call(account, call).await?.map(|view| view.state) {
            Some(CallState::Ended(cause)) => Err(OrderError::Ended(cause)),
            Some(_) => Err(OrderError::NotAnswered),
            None => Err(OrderError::UnknownCall),
        }
    }

    /// Whether the call can carry the order out where it stands. One that speaks is for an answered call alone: before the
    /// answer nobody would hear of it.
    async fn check_order(&self, account: &AccountId, call: CallId, order: &Order) -> Result<(), OrderError> {
        let view = self.node.reader.call(account, call).await?.ok_or(OrderError::UnknownCall)?;
        match (view.state, order) {
            (CallState::Ended(cause), _) => Err(OrderError::Ended(cause)),
            (CallState::Transferring, Order::Transfer(_) | Order::Hear(_) | Order::Await { .. }) => {
                Err(OrderError::Transferring)
            }
            (CallState::Talking | CallState::Transferring, _) => Ok(()),
            (CallState::Queued, Order::Leave { .. })
            | (
                _,
                Order::Say(_)
                | Order::Hear(_)
                | Order::Message { .. }
                | Order::Transfer(_)
                | Order::Await { .. }
                | Order::TakeOver(_)
                | Order::Return(_),
            ) => Err(OrderError::NotAnswered),
            (_, Order::HangUp(_) | Order::Leave { .. } | Order::Change(_) | Order::Shutdown) => Ok(()),
        }
    }

    pub(crate) async fn order(&self, account: &AccountId, call: CallId, order: Order) -> Result<(), OrderError> {
        self.check_order(account, call, &order).await?;
        match self.hand_over((account, call), order, limits::CALL_WORD).await {
            Ok(outcome) => outcome,
            Err(order) => {
                let order = PeerOrder::of(&order).ok_or(OrderError::NotAnswered)?;
                peers::order(&self.node, PeerMessage { account: account.clone(), call, order }).await?;
                self.node.waiting.forget(call);
                Ok(())
            }
        }
    }
}

/// Whether a spoken order interrupts, and may be talked over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    /// At once; the callee may interrupt it.
    Interruptible,
    /// At once, and to its end.
    Insistent,
    /// When the agent has said what it is saying; the callee may interrupt it.
    Patient,
}

pub(crate) use crate::registry::Sent;

/// Changes of what calls are made from.
pub struct Configure<'a> {
    pub(crate) node: &'a Node,
}

impl Configure<'_> {
    /// Stores an agent, new or changed. Calls that exist keep the agent they were admitted with.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn put_agent(
        &self,
        account: &AccountId,
        id: &AgentId,
        agent: &AgentProfile,
        now: Moment,
    ) -> Result<(), StoreError> {
        self.node.store.put_agent(account.clone(), id.clone(), agent.clone(), now).await
    }

    /// Writes a note beside a call; `false`: the account has no such call.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn put_note(&self, account: &AccountId, call: CallId, note: Note) -> Result<bool, StoreError> {
        self.node.store.put_note(account.clone(), call, note).await
    }

    /// Removes a note; `false` when there was none.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn delete_note(&self, account: &AccountId, call: CallId, id: &str) -> Result<bool, StoreError> {
        self.node.store.delete_note(account.clone(), call, id.to_owned()).await
    }

    /// Removes an agent; `false` when there was none.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn delete_agent(&self, account: &AccountId, id: &AgentId) -> Result<bool, StoreError> {
        self.node.store.delete_agent(account.clone(), id.clone()).await
    }

    /// Stores a caller number.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn put_number(&self, number: &Number) -> Result<(), StoreError> {
        self.node.store.put_number(number.clone()).await
    }

    /// Removes a caller number; `false` when there was none.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn delete_number(&self, account: &AccountId, number: &PhoneNumber) -> Result<bool, StoreError> {
        self.node.store.delete_number(account.clone(), number.clone()).await
    }

    /// Stores a trunk; calls dialled from now on use it as it is now.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn put_trunk(&self, account: &AccountId, trunk: &Trunk) -> Result<(), StoreError> {
        self.node.store.put_trunk(account.clone(), trunk.clone()).await?;
        self.node.trunks.learn(account, &trunk.id, Some(trunk.clone()));
        Ok(())
    }

    /// Removes a trunk; `false` when there was none.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn delete_trunk(&self, account: &AccountId, id: &TrunkId) -> Result<bool, StoreError> {
        let there = self.node.store.delete_trunk(account.clone(), id.clone()).await?;
        self.node.trunks.learn(account, id, None);
        Ok(there)
    }

    /// Keeps a pair of a vendor's id and ours.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when one of the two is already paired otherwise.
    pub async fn put_alias(&self, alias: Alias) -> Result<(), StoreError> {
        self.node.store.put_alias(alias).await
    }

    /// Gives one of our ids another vendor's id than it had.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the vendor's id names something else.
    pub async fn replace_alias(&self, alias: Alias) -> Result<(), StoreError> {
        self.node.store.replace_alias(alias).await
    }

    /// Stores an API key.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn put_key(&self, key: &ApiKey) -> Result<(), StoreError> {
        self.node.store.put_key(key.clone()).await
    }

    /// Replaces the rules of an account, or what one of its agents changes in them.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn put_rules(
        &self,
        account: &AccountId,
        agent: Option<&AgentId>,
        rules: &RulesPatch,
        now: Moment,
    ) -> Result<(), StoreError> {
        self.node.store.put_rules(account.clone(), agent.cloned(), rules.clone(), now).await
    }

    /// Puts numbers on the account's deny list; how many are new. Calls that wait for them are not dialled.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn deny(&self, account: &AccountId, denials: Vec<Denial>, now: Moment) -> Result<u64, StoreError> {
        self.node.store.deny(Listed::Of(account.clone()), denials, now).await
    }

    /// Takes a number off the account's deny list; `false` when it was not on it.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn allow(&self, account: &AccountId, number: &PhoneNumber) -> Result<bool, StoreError> {
        self.node.store.allow(Listed::Of(account.clone()), number.clone()).await
    }

    /// Keeps the time zone that a callee is in.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn put_zone(
        &self,
        account: &AccountId,
        number: &PhoneNumber,
        zone: &str,
        now: Moment,
    ) -> Result<(), StoreError> {
        self.node.store.put_zone(account.clone(), number.clone(), zone.to_owned(), now).await
    }

    /// Forgets where a callee is; `false` when it was not known.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn delete_zone(&self, account: &AccountId, number: &PhoneNumber) -> Result<bool, StoreError> {
        self.node.store.delete_zone(account.clone(), number.clone()).await
    }

    /// Keeps a consent.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn put_consent(&self, account: &AccountId, consent: &StoredConsent) -> Result<(), StoreError> {
        self.node.store.put_consent(account.clone(), consent.clone()).await
    }

    /// Takes a number's consents back; how many there were.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn revoke_consent(
        &self,
        account: &AccountId,
        number: &PhoneNumber,
        now: Moment,
    ) -> Result<u64, StoreError> {
        self.node.store.revoke_consent(account.clone(), number.clone(), now).await
    }

    /// Removes an API key; `false` when there was none.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn delete_key(&self, account: &AccountId, id: &KeyId) -> Result<bool, StoreError> {
        self.node.store.delete_key(account.clone(), id.clone()).await
    }
}

/// Room for orders to one call, for the registry.
pub(crate) const ORDERS: usize = limits::CALL_ORDERS;
