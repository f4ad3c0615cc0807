//! The writing verbs. Each is one transaction, committed together with others that came at the same time, and returns
//! after the commit. Hides queueing and the database; never decides policy and never reads a clock.
//!
//! Dropping a verb's future does not undo it: once queued it is carried out, and only its answer is lost.

mod campaigns;
mod chats;

use crate::aliases::Alias;
use crate::blobs::Recordings;
use crate::calls::{
    Admission, AdmitError, Admitted, Amendment, Answer, Ending, Finished, Interrupted, Marked, NoneAdmitted, Permit,
    Purged, Undone,
};
use crate::configuration::{Account, Number, Trunk};
use crate::sql::{
    Pool, Writer, admission, amending, choosing, configuration, dialect, goodbyes, journal, leases, once,
};
use crate::sqlite::{self, Check, Disk, Scratch};
use crate::{Reader, StoreError, postgres};
use callwright_domain::policy::Evidence;
use callwright_domain::{
    AccountId, AgentId, AgentProfile, ApiKey, CallEvent, CallId, CallPlan, KeyId, Moment, PhoneNumber, Pii, Recorded,
    TrunkId,
};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

pub(crate) mod shares;
mod telling;
mod threads;
mod waiting;

/// Where the store is and who opens it.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// The data directory: holds the database, its lock and the recordings. Made when absent. `:memory:` means a
    /// directory that vanishes with the store, and commits that do not wait for the disk: for tests.
    pub path: PathBuf,
    /// This node's name: the same after a restart, different from every other node's.
    pub node: String,
    /// The database that several nodes share; none: the embedded one, in `path`.
    pub shared: Option<SharedDatabase>,
}

/// A PostgreSQL database that several nodes share.
#[derive(Debug, Clone)]
pub struct SharedDatabase {
    /// `postgres://user:password@host:5432/name`, with `sslmode` and the like as parameters.
    pub url: Pii<String>,
    /// Where other nodes reach this one with orders for its calls; empty: nowhere.
    pub advertise_url: String,
}

impl StoreSettings {
    /// A store that vanishes, for tests.
    pub fn in_memory(node: &str) -> Self {
        Self::directory(sqlite::IN_MEMORY, node)
    }

    /// The embedded database in a directory.
    pub fn directory(path: impl Into<PathBuf>, node: &str) -> Self {
        Self { path: path.into(), node: node.to_owned(), shared: None }
    }
}

/// One life of one node. What it claims is marked with this, and a later life may not be mistaken for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeIdentity {
    /// The node's name.
    pub node: String,
    /// Which life: one more than the last.
    pub epoch: i64,
}

/// An opened database, whichever it is.
pub(crate) struct Base {
    pub(crate) directory: PathBuf,
    pub(crate) writer: Writer,
    pub(crate) readers: Pool,
    pub(crate) recordings: Recordings,
    pub(crate) epoch: i64,
    pub(crate) check: Option<Check>,
    pub(crate) scratch: Option<Arc<Scratch>>,
}

/// What [`Store::open`] gives.
pub struct Opened {
    /// For the engine alone.
    pub store: Store,
    /// For everybody.
    pub reader: Reader,
    /// Who we are.
    pub identity: NodeIdentity,
    /// Where recordings are kept.
    pub recordings: Recordings,
    /// What is still to be found out about a large file: whether it is whole.
    pub check: Option<Check>,
}

/// Writes. Clones share one queue.
#[derive(Clone)]
pub struct Store {
    writer: Writer,
    me: Arc<NodeIdentity>,
    shared: bool,
    /// Rung when messages were put into the outbox here.
    bell: Arc<Notify>,
    /// Keeps a vanishing store's files while somebody writes them.
    _scratch: Option<Arc<Scratch>>,
}

impl Store {
    /// Opens the data directory, checks the database, brings its schema up to date and begins a new epoch.
    /// Must be called within a Tokio runtime: a shared database's writers run there as tasks, and the embedded one's
    /// reads on its threads for what blocks, until [`Store::close`] or until every clone is dropped.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::Corrupt`], [`StoreError::TooNew`] and [`StoreError::Directory`] each name
    /// the remedy; others as the database says.
    pub async fn open(settings: StoreSettings, now: Moment) -> Result<Opened, StoreError> {
        let base = match &settings.shared {
            None => sqlite::open(&settings.path, &settings.node, now).await?,
            Some(shared) => postgres::open(&settings.path, shared, &settings.node, now).await?,
        };
        Ok(Self::opened(settings, base))
    }

    /// Opens the embedded database of `settings` for a simulation: without threads of its own, and over `disk`. What
    /// happens then depends on nothing but what is asked of it and in which order.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_simulated(
        settings: StoreSettings,
        now: Moment,
        disk: Arc<dyn Disk>,
    ) -> Result<Opened, StoreError> {
        let base = sqlite::open_simulated(&settings.path, &settings.node, (now, disk)).await?;
        Ok(Self::opened(settings, base))
    }

    fn opened(settings: StoreSettings, base: Base) -> Opened {
        let identity = NodeIdentity { node: settings.node, epoch: base.epoch };
        tracing::info!(directory = %base.directory.display(), epoch = base.epoch, "store opened");
        let me = Arc::new(identity.clone());
        let shared = settings.shared.is_some();
        Opened {
            store: Self { writer: base.writer, me, shared, bell: Arc::default(), _scratch: base.scratch.clone() },
            reader: Reader::new(base.readers, base.scratch),
            identity,
            recordings: base.recordings,
            check: base.check,
        }
    }

    /// Carries out what is queued, closes the database and gives the data directory free. Later verbs of any clone
    /// say [`StoreError::Closed`].
    pub async fn close(self) {
        self.writer.close().await;
    }

    /// Creates or replaces an account. An account without a row has no limit of calls at once.
    ///
    /// # Errors
    /// As the database says.
    pub async fn put_account(&self, account: Account) -> Result<(), StoreError> {
        self.writer.write(move |conn| Box::pin(async move { configuration::put_account(conn, &account).await })).await
    }

    /// Creates or replaces an agent.
    ///
    /// # Errors
    /// As the database says.
    pub async fn put_agent(
        &self,
        account: AccountId,
        id: AgentId,
        profile: AgentProfile,
        now: Moment,
    ) -> Result<(), StoreError> {
        self.writer
            .write(move |conn| {
                Box::pin(async move { configuration::put_agent(conn, &account, &id, &profile, now).await })
            })
            .await
    }

    /// Removes an agent; `false`: there was none. Calls made from it keep what they were bound to.
    ///
    /// # Errors
    /// As the database says.
    pub async fn delete_agent(&self, account: AccountId, id: AgentId) -> Result<bool, StoreError> {
        self.writer
            .write(move |conn| {
                Box::pin(async move { configuration::delete(conn, configuration::AGENT, &account, id.as_str()).await })
            })
            .await
    }

    /// Creates or replaces a caller number.
    ///
    /// # Errors
    /// As the database says.
    pub async fn put_number(&self, number: Number) -> Result<(), StoreError> {
        self.writer.write(move |conn| Box::pin(async move { configuration::put_number(conn, &number).await })).await
    }

    /// Removes a caller number; `false`: there was none. Its calls go on.
    ///
    /// # Errors
    /// As the database says.
    pub async fn delete_number(&self, account: AccountId, number: PhoneNumber) -> Result<bool, StoreError> {
        self.writer
            .write(move |conn| {
                Box::pin(
                    async move { configuration::delete(conn, configuration::NUMBER, &account, number.dial()).await },
                )
            })
            .await
    }

    /// Creates or replaces a trunk.
    ///
    /// # Errors
    /// As the database says.
    pub async fn put_trunk(&self, account: AccountId, trunk: Trunk) -> Result<(), StoreError> {
        self.writer
            .write(move |conn| Box::pin(async move { configuration::put_trunk(conn, &account, &trunk).await }))
            .await
    }

    /// Removes a trunk; `false`: there was none. Numbers that name it are refused from then on.
    ///
    /// # Errors
    /// As the database says.
    pub async fn delete_trunk(&self, account: AccountId, id: TrunkId) -> Result<bool, StoreError> {
        self.writer
            .write(move |conn| {
                Box::pin(async move { configuration::delete(conn, configuration::TRUNK, &account, id.as_str()).await })
            })
            .await
    }

    /// Creates or replaces a key.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when another account has a key of this id.
    pub async fn put_key(&self, key: ApiKey) -> Result<(), StoreError> {
        self.writer.write(move |conn| Box::pin(async move { configuration::put_key(conn, &key).await })).await
    }

    /// Removes a key; `false`: there was none.
    ///
    /// # Errors
    /// As the database says.
    pub async fn delete_key(&self, account: AccountId, id: KeyId) -> Result<bool, StoreError> {
        self.writer
            .write(move |conn| {
                Box::pin(async move { configuration::delete(conn, configuration::KEY, &account, id.as_str()).await })
            })
            .await
    }

    /// Accepts a call: the idempotency key, the count of the caller number's calls, the rules, the call and its first
    /// event in one transaction. The call holds its place among the caller number's calls until it ends.
    ///
    /// # Errors
    /// [`AdmitError::Refused`] by [`callwright_domain::policy::judge`], [`AdmitError::IdempotencyMismatch`], or the
    /// store's. In every case no call exists.
    pub async fn admit(&self, request: Admission, now: Moment) -> Result<Admitted, AdmitError> {
        let lane = choosing::lane(&request.plan);
        let request = Arc::new(request);
        let admitted = self
            .writer
            .write_for(lane, move |conn| {
                let request = Arc::clone(&request);
                Box::pin(async move { admission::admit(conn, &request, now).await })
            })
            .await?;
        match self.rung(admitted) {
            Answer::Admitted(admitted) => Ok(admitted),
            Answer::Refused(refusal, _) => Err(AdmitError::Refused(refusal)),
        }
    }

    /// As [`Store::admit`], all of them in one transaction. When one is not accepted, none exists; why is kept for it.
    ///
    /// # Errors
    /// [`NoneAdmitted`], with the place of the first that was not.
    pub async fn admit_all(&self, requests: Vec<Admission>, now: Moment) -> Result<Vec<Admitted>, NoneAdmitted> {
        let admitted = self
            .writer
            .write(move |conn| Box::pin(async move { admission::admit_all(conn, &requests, now).await }))
            .await;
        let Undone { why, verdict } = match admitted {
            Ok(told) => return Ok(self.rung(told)),
            Err(undone) => undone,
        };
        if let Some(verdict) = verdict {
            let kept: Result<u64, StoreError> =
                self.writer.write(move |conn| Box::pin(async move { verdict.execute(conn).await })).await;
            if let Err(error) = kept {
                tracing::warn!(%error, "why a call was refused could not be kept");
            }
        }
        Err(why)
    }

    /// What [`Store::admit`] would say to a request now, and everything that the verdict is made of; the plan shows the
    /// caller number that it would take. Nothing of it is kept, and its idempotency key is not used up.
    ///
    /// # Errors
    /// As the database says.
    pub async fn try_out(&self, request: Admission, now: Moment) -> Result<(CallPlan, Evidence), StoreError> {
        let (lane, request) = (choosing::lane(&request.plan), Arc::new(request));
        self.writer
            .write_for(lane, move |conn| {
                let request = Arc::clone(&request);
                Box::pin(async move { admission::try_out(conn, &request, now).await })
            })
            .await
    }

    /// Changes what a call that is not over was to be; the call as it is to be now. `None`: there is no such call, or it
    /// is over.
    ///
    /// # Errors
    /// As the database says.
    pub async fn amend(
        &self,
        account: AccountId,
        call: CallId,
        change: Amendment,
    ) -> Result<Option<CallPlan>, StoreError> {
        self.writer
            .write(move |conn| Box::pin(async move { amending::amend(conn, &account, call, change).await }))
            .await
    }

    /// Judges a claimed call again, now that it is to be dialled: by today's rules, lists and counts.
    ///
    /// # Errors
    /// As the database says.
    pub async fn permit(&self, plan: CallPlan, now: Moment) -> Result<Permit, StoreError> {
        let (lane, plan) = (choosing::lane(&plan), Arc::new(plan));
        self.writer
            .write_for(lane, move |conn| {
                let plan = Arc::clone(&plan);
                Box::pin(async move { admission::permit(conn, &plan, now).await })
            })
            .await
    }

    /// Takes up to `limit` calls that are due and nobody's, earliest first, and makes them ours: they are not given
    /// out again while this node lives, unless [`Store::unclaim`] puts them back. A call past its deadline is given
    /// out too, so that somebody ends it.
    ///
    /// # Errors
    /// As the database says.
    pub async fn claim_due(&self, now: Moment, limit: u32) -> Result<Vec<CallPlan>, StoreError> {
        let me = Arc::clone(&self.me);
        self.writer.write(move |conn| Box::pin(async move { leases::claim_due(conn, &me, now, limit).await })).await
    }

    /// Puts back calls that were claimed and not dialled; calls that have been dialled are left as they are.
    ///
    /// # Errors
    /// As the database says.
    pub async fn unclaim(&self, calls: Vec<CallId>) -> Result<(), StoreError> {
        let me = Arc::clone(&self.me);
        self.writer.write(move |conn| Box::pin(async move { leases::unclaim(conn, &me, &calls).await })).await
    }

    /// Appends to a call's journal and moves its state. All events or none. A call that nobody has claimed may be
    /// appended to as well (it may be cancelled before it is dialled).
    ///
    /// # Errors
    /// [`StoreError::Illegal`] when an event cannot happen in the state it would meet, [`StoreError::NotOwner`],
    /// [`StoreError::NoSuchCall`].
    pub async fn append(&self, call: CallId, events: Vec<(Moment, CallEvent)>) -> Result<Vec<Recorded>, StoreError> {
        let me = Arc::clone(&self.me);
        let appended = self
            .writer
            .write(move |conn| Box::pin(async move { journal::append(conn, &me, call, events).await }))
            .await?;
        Ok(self.rung(appended))
    }

    /// As [`Store::append`], for events with marks: one whose mark this owner of the call has written already is not
    /// written again, and an end is not written where there is one. What comes back is what stands in the journal by now
    /// and was told to nobody.
    ///
    /// # Errors
    /// As [`Store::append`]; then none is written.
    pub async fn record(&self, call: CallId, events: Vec<Marked>) -> Result<Vec<Recorded>, StoreError> {
        let me = Arc::clone(&self.me);
        let recorded = self
            .writer
            .write(move |conn| {
                Box::pin(async move { journal::record_marked(conn, &me, (call, events), journal::Unfit::Refuse).await })
            })
            .await?;
        Ok(self.rung(recorded))
    }

    /// As [`Store::record`], for events that waited on disk: written as the life of this node that ran the call, this one
    /// or an earlier one. An event that cannot happen any more is left out.
    ///
    /// # Errors
    /// [`StoreError::NotOwner`] when another owner has taken the call over meanwhile: what that one wrote stands.
    pub async fn record_late(
        &self,
        epoch: i64,
        call: CallId,
        events: Vec<Marked>,
    ) -> Result<Vec<Recorded>, StoreError> {
        let life = NodeIdentity { node: self.me.node.clone(), epoch };
        let recorded = self
            .writer
            .write(move |conn| {
                Box::pin(
                    async move { journal::record_marked(conn, &life, (call, events), journal::Unfit::LeaveOut).await },
                )
            })
            .await?;
        Ok(self.rung(recorded))
    }

    /// Ends a call: the last event, the state, the record of the attempt, and its place among the caller number's
    /// calls given back, in one transaction. Repeating it is harmless: the first ending stands.
    ///
    /// # Errors
    /// [`StoreError::NotOwner`], [`StoreError::NoSuchCall`].
    pub async fn finish(&self, call: CallId, at: Moment, ending: Ending) -> Result<Finished, StoreError> {
        let me = Arc::clone(&self.me);
        let finished = self
            .writer
            .write(move |conn| Box::pin(async move { journal::finish(conn, &me, call, at, ending).await }))
            .await?;
        Ok(self.rung(finished))
    }

    /// Takes over the calls that were dialled by an owner that is dead (an earlier life of this node, or a node whose
    /// lease has run out) and have not ended. They are ours from now on, for ending only; each is given out once in a
    /// life of this node. So are calls that have ended and whose far end such an owner had still to tell
    /// ([`Store::owe_goodbye`]): those stay whose they were. Calls that were never dialled are not among them: [`Store::claim_due`] gives those out again.
    ///
    /// # Errors
    /// As the database says.
    pub async fn interrupted_calls(&self, now: Moment) -> Result<Vec<Interrupted>, StoreError> {
        let me = Arc::clone(&self.me);
        let whose = (leases::Dead::Anyone, now);
        self.writer.write(move |conn| Box::pin(async move { leases::take_over(conn, &me, whose).await })).await
    }

    /// The same for earlier lives of this node alone: those are over for certain, while another node whose lease has run
    /// out may only not have reached the database for as long as we.
    ///
    /// # Errors
    /// As the database says.
    pub async fn left_behind(&self, now: Moment) -> Result<Vec<Interrupted>, StoreError> {
        let (me, whose) = (Arc::clone(&self.me), (leases::Dead::Ourselves, now));
        self.writer.write(move |conn| Box::pin(async move { leases::take_over(conn, &me, whose).await })).await
    }

    /// Writes down that this node has said goodbye to the far end of a call and was not answered yet: before the end of the
    /// call is written, because nobody looks after it then. `dialog`: the dialog's text form, when the call was answered and
    /// no event says so.
    ///
    /// # Errors
    /// As the database says.
    pub async fn owe_goodbye(
        &self,
        (account, call): (AccountId, CallId),
        dialog: Option<String>,
    ) -> Result<(), StoreError> {
        let (me, key) = (Arc::clone(&self.me), (account, call));
        self.writer
            .write(move |conn| Box::pin(async move { goodbyes::owe(conn, &me, (&key, dialog.as_deref())).await }))
            .await
    }

    /// The goodbye that was owed is answered, or given up. Harmless when none was.
    ///
    /// # Errors
    /// As the database says; then it is said once more in the next life.
    pub async fn goodbye_said(&self, (account, call): (AccountId, CallId)) -> Result<(), StoreError> {
        let (me, key) = (Arc::clone(&self.me), (account, call));
        self.writer.write(move |conn| Box::pin(async move { goodbyes::said(conn, &me, &key).await })).await
    }

    /// Says that this node is alive from `now` on for `lasts`; others leave its calls alone until then. A shared database
    /// measures this by its own clock.
    ///
    /// # Errors
    /// [`StoreError::NotOwner`] when a later life of this node has begun: stop at once.
    pub async fn renew_lease(&self, now: Moment, lasts: Duration) -> Result<(), StoreError> {
        let me = Arc::clone(&self.me);
        self.writer.write(move |conn| Box::pin(async move { leases::renew(conn, &me, (now, lasts)).await })).await
    }

    /// Uses a nonce up; `false`: it was used before and is still remembered. Remembered for `keep`, over restarts.
    ///
    /// # Errors
    /// As the database says; then the request must be refused.
    pub async fn use_nonce(&self, key: KeyId, nonce: String, now: Moment, keep: Duration) -> Result<bool, StoreError> {
        self.writer
            .write(move |conn| Box::pin(async move { once::use_nonce(conn, &key, &nonce, (now, keep)).await }))
            .await
    }

    /// Keeps a pair of ids. Keeping the same pair again is harmless.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when one of the two is already paired otherwise.
    pub async fn put_alias(&self, alias: Alias) -> Result<(), StoreError> {
        self.writer.write(move |conn| Box::pin(async move { once::put_alias(conn, &alias).await })).await
    }

    /// Keeps a pair of ids in place of the one that our id had before, if any.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the vendor's id names something else.
    pub async fn replace_alias(&self, alias: Alias) -> Result<(), StoreError> {
        self.writer.write(move |conn| Box::pin(async move { once::replace_alias(conn, &alias).await })).await
    }

    /// Forgets what has outlived its time: idempotency keys and nonces.
    ///
    /// # Errors
    /// As the database says.
    pub async fn purge(&self, now: Moment) -> Result<Purged, StoreError> {
        self.writer.write(move |conn| Box::pin(async move { once::purge(conn, now).await })).await
    }

    /// Has a shared database look at its tables anew where they have changed much, so that it goes on choosing the right
    /// indexes; which tables those were. The embedded one needs nothing.
    ///
    /// # Errors
    /// As the database says.
    pub async fn keep_statistics(&self) -> Result<Vec<String>, StoreError> {
        self.writer.write(move |conn| Box::pin(async move { dialect::keep_statistics(conn).await })).await
    }

    /// Whether other nodes write the same database: then what this node holds is its own only while its lease lasts.
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// Who this store writes as.
    pub fn identity(&self) -> &NodeIdentity {
        &self.me
    }

    /// This life of this node, for the verbs that stand in files of their own.
    pub(crate) const fn me(&self) -> &Arc<NodeIdentity> {
        &self.me
    }

    /// The way to the database, for the verbs that stand in files of their own.
    pub(crate) const fn writer(&self) -> &Writer {
        &self.writer
    }
}
