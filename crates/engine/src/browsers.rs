//! Calls that are met in browsers: making one, joining it, leaving it. Whoever joins has been recognised by then: tokens are
//! the business of those who speak HTTP. A call that waits to be joined is nobody's; the node that is asked to join it takes
//! it, so a join never travels between nodes.

use crate::calls::{AgentRef, Bound, Calls, OrderError, StartError, Started};
use crate::live::{Arrival, Homecoming, LiveCall, Met, Order, Parlance, Unwelcome, leg_settings};
use crate::registry::Sent;
use callwright_conversation::Sound;
use callwright_domain::way::Mirror;
use callwright_domain::{
    AccountId, AgentPatch, BrowserPlace, CallId, CallPlan, CallState, ChannelName, HangupCause, Moment, Origin, Pii,
    Refusal, ThreadId, Way,
};
use callwright_media::speech::Detection;
use callwright_net::{BrowserError, BrowserLeg};
use callwright_store::{Admission, CallView, ChannelApp, Idempotency, Patience, StoreError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tracing::{Instrument, error, info_span};

/// A request for a call that is met in a browser, as every dialect puts it.
#[derive(Debug, Clone)]
pub struct MeetCall {
    /// Who asks.
    pub account: AccountId,
    /// Who talks.
    pub agent: AgentRef,
    /// What the request changes in it.
    pub patch: AgentPatch,
    /// Where; a channel in which a call of the account is not over is refused.
    pub channel: ChannelName,
    /// Who may join; none: whoever has a token for the channel.
    pub user: Option<ChannelName>,
    /// What the agent is called there.
    pub agent_user: ChannelName,
    /// How long somebody is waited for.
    pub joins_within: Duration,
    /// How long a user who vanished may take to come back; zero: the call is over without them.
    pub returns_within: Duration,
    /// Where what is said is written as messages, too.
    pub mirror: Option<Mirror>,
    /// Values for the prompt's templates.
    pub variables: BTreeMap<String, String>,
    /// The requester's own text, given back unread.
    pub user_data: Option<Pii<String>>,
    /// The history it shares with other calls.
    pub thread: Option<ThreadId>,
    /// Makes repeats of the same request the same call.
    pub once: Option<Idempotency>,
    /// Where the request came from.
    pub origin: Origin,
}

/// Why no call was made.
#[derive(Debug, thiserror::Error)]
pub enum MeetError {
    /// As for any call.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A call of the account is met there and is not over.
    #[error("a call in this channel is not over")]
    ChannelTaken,
    /// The server meets no browsers, so that nobody could ever join: it has no address for them.
    #[error("this server meets no browsers")]
    Off,
}

/// Somebody who wants to join a call.
pub struct Join {
    /// Whose call.
    pub account: AccountId,
    /// Where it is met.
    pub channel: ChannelName,
    /// Who comes.
    pub user: ChannelName,
    /// The browser's session description.
    pub offer: String,
    /// The words for its screen.
    pub parlance: Box<dyn Parlance>,
    /// What the first who joins is to hear before the greeting, or why it cannot be had.
    pub overture: Option<Result<Sound, String>>,
}

/// Somebody has joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The call.
    pub call: CallId,
    /// The session description for the browser.
    pub answer: String,
}

/// Why nobody has joined.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// No call is met there.
    #[error("no call is met in this channel")]
    NoCall,
    /// The call is for another user.
    #[error("the call is not for this user")]
    OtherUser,
    /// It is over, or nobody is waited for any more.
    #[error("the call is over")]
    Over,
    /// Somebody has joined it.
    #[error("the call has been joined")]
    Taken,
    /// The server cannot take it now: it goes down, has no room, or has just failed at it.
    #[error("the server cannot take the call now")]
    Unavailable,
    /// The server meets no browsers: it has no address for them.
    #[error("this server meets no browsers")]
    Off,
    /// The offer cannot be used: why.
    #[error("{0}")]
    Offer(String),
    /// No audio path could be made: why, for the log.
    #[error("{0}")]
    Media(String),
    /// The database could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<BrowserError> for JoinError {
    fn from(error: BrowserError) -> Self {
        match error {
            BrowserError::Off => Self::Off,
            BrowserError::Offer(why) => Self::Offer(why.to_string()),
            BrowserError::Stopped | BrowserError::NoAddress | BrowserError::System(_) => Self::Media(error.to_string()),
        }
    }
}

impl Calls {
    /// Makes a call that waits to be joined. When this returns `Ok`, it is written down, and it is joined or ends.
    ///
    /// # Errors
    /// [`MeetError`]; no call exists then.
    pub async fn meet(&self, request: MeetCall, now: Moment) -> Result<Started, MeetError> {
        if !self.meets_browsers() {
            return Err(MeetError::Off);
        }
        if request.once.is_none() && self.is_met(&request.account, &request.channel).await.map_err(StartError::from)? {
            return Err(MeetError::ChannelTaken);
        }
        if self.node.is_draining() {
            return Err(StartError::from(Refusal::Draining).into());
        }
        let idempotency = request.once.clone();
        let plan = self.plan_to_meet(request, now).await?;
        let patience = Patience::AnyPlace;
        let (endpoint, alias) = (None, None);
        let admission = Admission { plan, idempotency, endpoint, alias, patience };
        self.admit(admission, now).await.map_err(|error| match error {
            // Ids of calls are random: what was taken is the channel, by somebody who asked in the same moment.
            StartError::Store(StoreError::Taken { .. }) => MeetError::ChannelTaken,
            error => error.into(),
        })
    }

    async fn is_met(&self, account: &AccountId, channel: &ChannelName) -> Result<bool, StoreError> {
        let newest = self.node.reader.call_in_channel(account, channel).await?;
        Ok(newest.is_some_and(|view| !view.state.is_ended()))
    }

    async fn plan_to_meet(&self, request: MeetCall, now: Moment) -> Result<CallPlan, StartError> {
        let MeetCall { account, agent, patch, variables, .. } = request;
        let Bound { id, agent, rules, .. } = self.bind(&account, (agent, patch), &variables, &[]).await?;
        Ok(CallPlan {
            id: CallId::from_entropy(self.node.entropy.bits128()),
            account,
            agent_id: id,
            agent,
            way: Way::Browser(BrowserPlace {
                channel: request.channel,
                user: request.user,
                agent_user: request.agent_user,
                joins_until: now.after(request.joins_within),
                returns_within_ms: u64::try_from(request.returns_within.as_millis()).unwrap_or(u64::MAX),
                mirror: request.mirror,
            }),
            variables,
            user_data: request.user_data,
            thread: request.thread,
            created: now,
            due: now,
            deadline: None,
            wait_ms: 0,
            retry: None,
            origin: request.origin,
            campaign: None,
            redaction: rules.redaction,
            talks_ms: None,
        })
    }

    /// The call that a user would join. Into one that is answered somebody else may come, too, if it awaits them: the call
    /// itself says so. A telephone call is met in the channel of its id then.
    ///
    /// # Errors
    /// [`JoinError::NoCall`], [`JoinError::OtherUser`], or the database's.
    pub async fn to_join(
        &self,
        account: &AccountId,
        channel: &ChannelName,
        user: &ChannelName,
    ) -> Result<CallView, JoinError> {
        let view = match self.node.reader.call_in_channel(account, channel).await? {
            Some(view) => view,
            None => self.telephone_call(account, channel).await?.ok_or(JoinError::NoCall)?,
        };
        let answered = matches!(view.state, CallState::Talking | CallState::Transferring);
        match view.plan.browser() {
            Some(place) if place.admits(user) => Ok(view),
            Some(place) if answered && place.agent_user != *user => Ok(view),
            Some(_) => Err(JoinError::OtherUser),
            None if answered => Ok(view),
            None if view.state.is_ended() => Err(JoinError::Over),
            None => Err(JoinError::NoCall),
        }
    }

    async fn telephone_call(&self, account: &AccountId, channel: &ChannelName) -> Result<Option<CallView>, StoreError> {
        let Ok(id) = channel.as_str().parse() else { return Ok(None) };
        let found = self.node.reader.call(account, id).await?;
        Ok(found.filter(|view| view.plan.telephone().is_some()))
    }

    /// Whether this server meets browsers.
    pub fn meets_browsers(&self) -> bool {
        self.node.media.meets_browsers()
    }

    /// The channel in which a human agent meets a call.
    pub fn channel_of(plan: &CallPlan) -> ChannelName {
        match plan.browser() {
            Some(place) => place.channel.clone(),
            None => ChannelName::new(plan.id.to_string()).expect("an id is letters and digits"),
        }
    }

    /// Lets a human agent of this name come into an answered call and talk in the agent's place. Another name replaces it.
    ///
    /// # Errors
    /// [`OrderError`]; [`OrderError::Transferring`] when somebody has taken the callee over already.
    pub async fn await_human(&self, account: &AccountId, call: CallId, user: ChannelName) -> Result<(), OrderError> {
        self.order(account, call, Order::Await { user }).await
    }

    /// Somebody comes into a call that is answered here, its user again or a human agent; an audio path does not travel between
    /// nodes.
    async fn come_in(&self, view: CallView, join: Join) -> Result<Joined, JoinError> {
        if self.node.is_draining() {
            return Err(JoinError::Unavailable);
        }
        let Join { user, offer, parlance, .. } = join;
        let admits = view.plan.browser().is_some_and(|place| place.returns_within_ms > 0 && place.admits(&user));
        if !admits {
            return self.take_over(view, user, &offer).await;
        }
        let (answered, told) = oneshot::channel();
        let homecoming = Homecoming { user: user.clone(), offer: offer.clone(), parlance, answered };
        self.hand_in(view.plan.id, Order::Return(Box::new(homecoming)))?;
        match told.await {
            Ok(Ok(answer)) => Ok(Joined { call: view.plan.id, answer }),
            Ok(Err(Unwelcome::Stranger)) => self.take_over(view, user, &offer).await,
            Ok(Err(Unwelcome::Browser(error))) => Err(error.into()),
            // The call has ended meanwhile.
            Err(_) => Err(JoinError::Over),
        }
    }

    fn hand_in(&self, call: CallId, order: Order) -> Result<(), JoinError> {
        match self.node.registry.send(call, order) {
            Sent::Yes(_) => Ok(()),
            Sent::Full | Sent::Mute(_) | Sent::NotLive(_) => Err(JoinError::Unavailable),
        }
    }

    /// A human agent comes into a call.
    async fn take_over(&self, view: CallView, user: ChannelName, offer: &str) -> Result<Joined, JoinError> {
        let admits = view.plan.browser().is_some_and(|place| place.admits(&user));
        let mut settings = leg_settings(&self.node, &view.plan);
        settings.media.speech.detection = Detection::Off;
        let BrowserLeg { answer, leg, reports } = self.node.media.open_browser(settings, offer).await?;
        let (admitted, told) = oneshot::channel();
        let arrival = Arrival { user, leg, reports, admitted };
        self.hand_in(view.plan.id, Order::TakeOver(Box::new(arrival)))?;
        match told.await {
            Ok(true) => Ok(Joined { call: view.plan.id, answer }),
            Ok(false) if admits => Err(JoinError::Taken),
            Ok(false) => Err(JoinError::OtherUser),
            // The call has ended meanwhile.
            Err(_) => Err(JoinError::Over),
        }
    }

    /// Lets a browser join the call of its channel: the user's, that of one who comes back, or an awaited human agent's. When this returns `Ok`, it is written down that it joined.
    ///
    /// # Errors
    /// [`JoinError`]; the call waits on, unless it is over.
    pub async fn join(&self, join: Join, now: Moment) -> Result<Joined, JoinError> {
        let view = self.to_join(&join.account, &join.channel, &join.user).await?;
        let late = view.plan.browser().is_none_or(|place| place.joins_until <= now);
        match view.state {
            state if state.is_ended() => return Err(JoinError::Over),
            CallState::Queued if late => return Err(JoinError::Over),
            CallState::Queued => {}
            CallState::Talking | CallState::Transferring => return self.come_in(view, join).await,
            _ => return Err(JoinError::Taken),
        }
        let most = usize::try_from(self.node.policy.max_calls).unwrap_or(usize::MAX);
        if self.node.is_draining() || !self.node.may_dial() || self.node.registry.len() >= most {
            return Err(JoinError::Unavailable);
        }
        // Before the call is taken: an offer that cannot be used costs it nothing.
        let leg = self.node.media.open_browser(leg_settings(&self.node, &view.plan), &join.offer).await?;
        let plan = self.node.store.claim_joined(join.account.clone(), view.plan.id, now).await?;
        let plan = plan.ok_or(JoinError::Taken)?;
        self.run_joined(plan, leg, join).await
    }

    async fn run_joined(&self, plan: CallPlan, leg: BrowserLeg, join: Join) -> Result<Joined, JoinError> {
        let BrowserLeg { answer, leg, reports } = leg;
        let (written, told) = oneshot::channel();
        let Join { user, parlance, overture, .. } = join;
        let met = Met { user, leg, reports, parlance, overture, written };
        let (node, after) = (Arc::clone(&self.node), Arc::clone(&self.node));
        let (call, account) = (plan.id, plan.account.clone());
        let (orders, place) = LiveCall::enter(&node, &account, call);
        let work = async move {
            let _place = place;
            LiveCall::run_met(Arc::clone(&node), plan, orders, met).await;
            node.place_freed();
        };
        let panicked = move |said| async move {
            error!(%call, panic = said, "a call's task panicked; the call is ended");
            if let Err(error) = after.end(&account, call, HangupCause::InternalError).await {
                error!(%call, %error, "the end of a call could not be written");
            }
        };
        self.node.tasks.spawn_guarded(work.instrument(info_span!("call", id = %call)), panicked);
        match told.await {
            Ok(Ok(())) => Ok(Joined { call, answer }),
            Ok(Err(_)) | Err(_) => Err(JoinError::Unavailable),
        }
    }

    /// The user of a browser goes; the call ends as when a callee hangs up. A human agent goes who has taken it over, and the
    /// call ends, too.
    ///
    /// # Errors
    /// [`OrderError`]; [`OrderError::NotAnswered`] for a call that nobody has joined, and for a telephone's without a human.
    pub async fn leave(&self, account: &AccountId, call: CallId, user: ChannelName) -> Result<(), OrderError> {
        let view = self.node.reader.call(account, call).await?.ok_or(OrderError::UnknownCall)?;
        if view.plan.browser().is_none() && !matches!(view.state, CallState::Talking | CallState::Transferring) {
            return Err(OrderError::NotAnswered);
        }
        self.order(account, call, Order::Leave { user: Some(user) }).await
    }

    /// Shows a text of the requester's to the browser of a call.
    ///
    /// # Errors
    /// [`OrderError`]; [`OrderError::NotAnswered`] for a telephone, too.
    pub async fn show_text(&self, account: &AccountId, call: CallId, text: String) -> Result<(), OrderError> {
        self.require_browser(account, call).await?;
        self.order(account, call, Order::Message { text }).await
    }

    async fn require_browser(&self, account: &AccountId, call: CallId) -> Result<(), OrderError> {
        let view = self.node.reader.call(account, call).await?.ok_or(OrderError::UnknownCall)?;
        view.plan.browser().map(|_| ()).ok_or(OrderError::NotAnswered)
    }

    /// The account's application for channel tokens; made when it has none.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be read or written.
    pub async fn channel_app(&self, account: &AccountId, now: Moment) -> Result<ChannelApp, StoreError> {
        if let Some(app) = self.node.reader.channel_app_of(account).await? {
            return Ok(app);
        }
        let bits = || format!("{:032x}", self.node.entropy.bits128());
        let fresh = ChannelApp { id: bits(), account: account.clone(), key: Pii::new(bits()) };
        self.node.store.channel_app(fresh, now).await
    }
}
