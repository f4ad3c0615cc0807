//! The table of dialects. A request is asked round in the order of the table; the first that claims it serves it.
//!
//! To add one: a file or folder here, one line in the table, golden requests under `crates/api/tests/golden/`, a page in
//! `docs/`. `Refusal`, `HangupCause` and `Fault` are mapped in each without a wildcard arm, so that a new one must find
//! its word in every dialect before anything builds.

use crate::callbacks::{Blocked, Callback};
use crate::fault::Fault;
use crate::http::{Context, Request, Response};
use crate::join::ScreenSettings;
use callwright_domain::number::class::{self, Class};
use callwright_domain::{
    AccountId, AgentId, AgentProfile, CallPlan, KeyId, Moment, PhoneNumber, Topic, TransferTarget,
};
use callwright_engine::Telling;
use callwright_store::{AliasKind, StoredAgent};
use futures_util::future::BoxFuture;
use serde_json::Value;

/// Agents read at a time.
const AGENTS_AT_A_TIME: u32 = 500;

/// One vendor's way of asking for calls, or our own.
pub trait Dialect: Sync {
    /// Its name, as stored with each call.
    fn name(&self) -> &'static str;
    /// Whether a request is meant for it. Several vendors share `POST /`.
    fn claims(&self, request: &Request) -> bool;
    /// Whether calls of it are met in browsers, so that these may come through its own doors.
    fn meets_browsers(&self) -> bool {
        false
    }
    /// Whether its operations are at `/`: what comes there through its own door and bears none of its signs is told what it
    /// lacks.
    fn serves_root(&self) -> bool {
        false
    }
    /// The longest body in bytes that a request of this dialect may have, judged by its head; none: as long as everybody's.
    fn longest_body(&self, _request: &Request) -> Option<usize> {
        None
    }
    /// Which key is behind a request whose body may be longer than everybody's, judged by its head before the body is read; the
    /// body may still show that it is not.
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "dialects live in this crate alone")]
    fn vouched_by<'a>(&'a self, _request: &'a Request, _context: &'a Context) -> BoxFuture<'a, Result<KeyId, Fault>> {
        Box::pin(async { Err(Fault::Unauthenticated) })
    }
    /// Answers a request.
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "dialects live in this crate alone")]
    fn serve<'a>(&'a self, request: Request, context: &'a Context) -> BoxFuture<'a, Response>;
    /// Words a fault that was found before the dialect was asked.
    fn refuse(&self, request: &Request, fault: Fault) -> Response;
    /// Renders an event for an endpoint of this dialect; none: it has no word for the event. At most
    /// [`crate::callbacks::MOST_PER_EVENT`], sent in this order, all of them again when one is not heard.
    fn callbacks(&self, telling: &Telling) -> Vec<Callback>;
    /// What an endpoint keeps that is told in this dialect's words and made through the native API; none: such endpoints are
    /// made in another way.
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "dialects live in this crate alone")]
    fn endpoint<'a>(
        &'a self,
        _request: &'a Request,
        _context: &'a Context,
        _account: &'a AccountId,
    ) -> BoxFuture<'a, Result<Option<EndpointShape>, Fault>> {
        Box::pin(async { Ok(None) })
    }
    /// The agent that a file of this vendor's shape describes; none: the dialect has no such files.
    fn agent(&self, _file: &Value) -> Option<Result<AgentProfile, Fault>> {
        None
    }
    /// Gives what an agent of such a file leads to the account's own ids, before it is stored under `id`.
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "dialects live in this crate alone")]
    fn settle<'a>(
        &'a self,
        _context: &'a Context,
        _whose: (&'a AccountId, &'a AgentId),
        _profile: &'a mut AgentProfile,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async { Ok(()) })
    }
    /// The ids of this vendor's shape that the account's things go by; none: they go by ours.
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "dialects live in this crate alone")]
    fn ids<'a>(
        &'a self,
        _context: &'a Context,
        _account: &'a AccountId,
    ) -> BoxFuture<'a, Result<Vec<native::VendorId>, Fault>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    /// What a call's browser is shown beyond the usual.
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "dialects live in this crate alone")]
    fn screen(&self, _plan: &CallPlan) -> ScreenSettings {
        ScreenSettings::default()
    }
    /// Whether a thing may be given this id of the vendor's shape; the rule when it may not.
    fn id_rule(&self, _kind: AliasKind, _outer: &str) -> Result<(), &'static str> {
        Err("this dialect uses our own ids")
    }
}

/// How endpoints of a dialect are told.
pub(crate) struct EndpointShape {
    /// What the dialect wants to know when it renders.
    pub(crate) memo: String,
    /// Topics that it has words for; empty: all.
    pub(crate) topics: &'static [Topic],
    /// Tries of an event unless the endpoint says otherwise.
    pub(crate) tries: u32,
}

macro_rules! dialects {
    ($($name:ident),* $(,)?) => {
        $(mod $name;)*
        static TABLE: &[&dyn Dialect] = &[$(&$name::DIALECT),*];
    };
}

dialects! { // order = order of asking `claims`; the last one claims everything
    alibaba,
    tencent,
    happyrobot,
    native,
}

/// Which key is behind a file that is uploaded, which our own API alone has.
pub(crate) async fn uploader(request: &Request, context: &Context) -> Result<KeyId, Fault> {
    native::vouched_by(request, context).await
}

/// The names of all dialects, in the order of asking.
pub fn names() -> Vec<&'static str> {
    TABLE.iter().map(|dialect| dialect.name()).collect()
}

/// What is wrong with the routes of any dialect; a server that finds something does not start.
pub fn route_flaws() -> Vec<String> {
    native::route_flaws()
}

/// All dialects, in the order of asking.
pub(crate) fn all() -> &'static [&'static dyn Dialect] {
    TABLE
}

/// The dialect that a request is meant for.
pub(crate) fn of(request: &Request) -> &'static dyn Dialect {
    TABLE.iter().copied().find(|dialect| dialect.claims(request)).unwrap_or(&native::DIALECT)
}

/// Whether a request bears no vendor's signs.
pub(crate) fn is_nobodys(request: &Request) -> bool {
    of(request).name() == native::DIALECT.name()
}

/// The dialect of a name.
pub(crate) fn named(name: &str) -> Option<&'static dyn Dialect> {
    TABLE.iter().copied().find(|dialect| dialect.name() == name)
}

/// Whether the services that come with an agent are where requesters may send us; else the member and the rule. Names are
/// judged again when they are connected to.
pub(crate) fn judge_services(context: &Context, agent: &AgentProfile) -> Result<(), (&'static str, Blocked)> {
    // A synthesiser without an address is at its vendor's.
    let spoken = agent.voice.endpoint.as_ref().filter(|endpoint| !endpoint.url.is_empty());
    for (member, endpoint) in [("brain.endpoint", agent.brain.endpoint.as_ref()), ("voice.endpoint", spoken)] {
        if let Some(endpoint) = endpoint {
            context.guard.judge(&endpoint.url).map_err(|why| (member, why))?;
        }
    }
    Ok(())
}

/// Whether a number that somebody wrote is this one, also as it is dialled in its own country.
pub(crate) fn is_same_number(given: &PhoneNumber, known: &PhoneNumber) -> bool {
    given == known || given.at_home(known.country()) == *known
}

/// All agents of an account.
pub(crate) async fn every_agent(context: &Context, account: &AccountId) -> Result<Vec<StoredAgent>, Fault> {
    let (mut all, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = context.calls.reader().agents(account, after.as_deref(), AGENTS_AT_A_TIME).await?;
        all.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

/// A vendor's built-in voice is the configured synthesiser of its name; where there is none, the default one speaks the
/// voice's language. A voice that the synthesiser does not have is its own first one.
pub(crate) fn settle_voice(context: &Context, agent: &mut AgentProfile) {
    let mut alone = AgentProfile::default();
    alone.voice.vendor.clone_from(&agent.voice.vendor);
    if !agent.voice.vendor.is_empty() && context.calls.check_agent(&alone).is_err() {
        agent.voice.vendor.clear();
    }
    if !context.calls.has_voice(&agent.voice) {
        agent.voice.voice.clear();
    }
}

/// A moment as RFC 3339 text in UTC with milliseconds, as all our JSON shows it.
pub(crate) fn timestamp(moment: Moment) -> String {
    let timestamp = jiff::Timestamp::from_millisecond(moment.millis()).unwrap_or_default();
    timestamp.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// Whom a callee may be handed over to, of a text: a telephone number that may be called at all, or a `sip:` address. The
/// account's rules are asked when it comes to it.
///
/// # Errors
/// The rule that it breaks.
pub(crate) fn transfer_target(text: &str) -> Result<TransferTarget, String> {
    let target = TransferTarget::parse(text).map_err(|why| why.to_string())?;
    match target.number().map(|number| class::of(&number, None)) {
        Some(Class::Emergency | Class::Premium | Class::Satellite) => {
            Err(String::from("must not be an emergency, premium-rate or satellite number"))
        }
        Some(Class::Short | Class::Local | Class::Unassigned | Class::Subscriber(_)) | None => Ok(target),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_number_is_the_same_as_it_is_dialled_in_its_country() {
        let number = |text: &str| callwright_domain::PhoneNumber::parse(text).expect(text);
        let known = number("+4930123456");
        for (given, same) in [("+4930123456", true), ("030 123456", true), ("030123457", false), ("+43123456", false)] {
            assert_eq!(super::is_same_number(&number(given), &known), same, "{given}");
        }
    }

    #[test]
    fn timestamps_have_milliseconds() {
        assert_eq!(super::timestamp(callwright_domain::Moment(1_795_226_400_007)), "2026-11-21T02:00:00.007Z");
    }

    #[test]
    fn names_are_unique_and_every_file_is_listed() {
        let names = super::names();
        let mut unique = names.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/dialects");
        for entry in std::fs::read_dir(folder).expect("the folder is there") {
            let name = entry.expect("readable").file_name().into_string().expect("UTF-8");
            let module = name.trim_end_matches(".rs");
            assert!(module == "mod" || names.contains(&module), "{name} is not in the table");
        }
    }
}
