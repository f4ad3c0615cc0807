//! HappyRobot's legacy application API (`/api/v1`): outbound calls, and what is asked about them. What works, what
//! differs and what is refused is in `docs/happyrobot.md`. Never knows how a call is made.

mod calls;
mod cases;
mod dial;
mod hooks;
mod ids;
mod notes;
#[cfg(test)]
mod places;
mod retries;
mod scheduled;
#[cfg(test)]
mod tests;
mod things;
mod view;
mod words;

use super::Dialect;
use crate::callbacks::Callback;
use crate::dialects::native;
use crate::fault::Fault;
use crate::http::{Context, Request, Response};
use callwright_domain::{AccountId, ApiKey, Scope};
use callwright_engine::Telling;
use callwright_store::AliasKind;
use futures_util::future::BoxFuture;
use http::{Method, StatusCode};
use ids::Book;
use serde_json::Value;
use words::Complaint;

/// Under which the vendor has its API.
const BASE: &str = "/api/v1/";

/// The dialect's entry in the table.
pub(super) static DIALECT: HappyRobot = HappyRobot;

/// HappyRobot.
pub(super) struct HappyRobot;

impl Dialect for HappyRobot {
    fn name(&self) -> &'static str {
        ids::DIALECT
    }

    fn claims(&self, request: &Request) -> bool {
        request.path.starts_with(BASE)
    }

    fn serve<'a>(&'a self, request: Request, context: &'a Context) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            if request.path.starts_with(calls::RECORDINGS) && request.method == Method::GET {
                let fetched = calls::fetch(&request, context).await;
                return fetched.unwrap_or_else(|fault| Complaint::from(fault).response());
            }
            match answer(&request, context).await {
                Ok(body) => native::json_response(StatusCode::OK, &body),
                Err(complaint) => complaint.response(),
            }
        })
    }

    fn refuse(&self, _request: &Request, fault: Fault) -> Response {
        Complaint::from(fault).response()
    }

    fn callbacks(&self, telling: &Telling) -> Vec<Callback> {
        hooks::callback(telling).into_iter().collect()
    }

    fn ids<'a>(
        &'a self,
        context: &'a Context,
        account: &'a AccountId,
    ) -> BoxFuture<'a, Result<Vec<native::VendorId>, Fault>> {
        Box::pin(async move {
            let book = Book::open(context, account).await?;
            let id =
                |kind, inner: &str| native::VendorId { kind, outer: book.id(kind, inner), inner: inner.to_owned() };
            let mut all = vec![id(AliasKind::Application, account.as_str())];
            let agents = super::every_agent(context, account).await?;
            all.extend(agents.iter().map(|agent| id(AliasKind::Agent, agent.id.as_str())));
            let numbers = context.calls.reader().numbers(account).await?;
            all.extend(numbers.iter().map(|number| id(AliasKind::Number, number.number.dial())));
            Ok(all)
        })
    }

    fn id_rule(&self, _kind: AliasKind, outer: &str) -> Result<(), &'static str> {
        ids::rule(outer)
    }
}

/// An operation of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Outbound,
    Batched,
    Scheduled,
    List,
    Show,
    Stop,
    Cancel,
    Transcript,
    Recording,
    AddNote,
    ChangeNote,
    RemoveNote,
    Usage,
    Numbers,
    ShowNumber,
    Agents,
    UseCases,
    ShowUseCase,
    ChangeNumber,
    ChangeUseCase,
    /// The vendor has it and this server does not.
    NotBuilt,
}

/// Methods, paths below the base (`*` is an id), operations, and what the key must be allowed to do.
const ROUTES: &[(Method, &str, Operation, Scope)] = &[
    (Method::POST, "dial/outbound", Operation::Outbound, Scope::CallsWrite),
    (Method::POST, "dial/outbound-batched", Operation::Batched, Scope::CallsWrite),
    (Method::POST, "dial/scheduled", Operation::Scheduled, Scope::CallsWrite),
    (Method::GET, "calls", Operation::List, Scope::CallsRead),
    (Method::GET, "calls/*", Operation::Show, Scope::CallsRead),
    (Method::POST, "calls/*/stop", Operation::Stop, Scope::CallsWrite),
    (Method::POST, "calls/*/cancel", Operation::Cancel, Scope::CallsWrite),
    (Method::GET, "calls/*/transcript", Operation::Transcript, Scope::CallsRead),
    (Method::GET, "calls/*/recording", Operation::Recording, Scope::CallsRead),
    (Method::DELETE, "calls/*", Operation::NotBuilt, Scope::CallsWrite),
    (Method::PATCH, "calls/*/viewed", Operation::NotBuilt, Scope::CallsWrite),
    (Method::PATCH, "calls/*/rating", Operation::NotBuilt, Scope::CallsWrite),
    (Method::POST, "calls/*/notes", Operation::AddNote, Scope::CallsWrite),
    (Method::PATCH, "calls/*/notes/*", Operation::ChangeNote, Scope::CallsWrite),
    (Method::DELETE, "calls/*/notes/*", Operation::RemoveNote, Scope::CallsWrite),
    (Method::GET, "usage", Operation::Usage, Scope::CallsRead),
    (Method::GET, "numbers", Operation::Numbers, Scope::ConfigRead),
    (Method::POST, "numbers", Operation::NotBuilt, Scope::ConfigWrite),
    (Method::GET, "numbers/*", Operation::ShowNumber, Scope::ConfigRead),
    (Method::PATCH, "numbers/*", Operation::ChangeNumber, Scope::ConfigWrite),
    (Method::GET, "agents", Operation::Agents, Scope::ConfigRead),
    (Method::GET, "use-cases", Operation::UseCases, Scope::ConfigRead),
    (Method::POST, "use-cases", Operation::NotBuilt, Scope::ConfigWrite),
    (Method::GET, "use-cases/*", Operation::ShowUseCase, Scope::ConfigRead),
    (Method::PATCH, "use-cases/*", Operation::ChangeUseCase, Scope::ConfigWrite),
    (Method::POST, "tools", Operation::NotBuilt, Scope::ConfigWrite),
];

/// A request whose operation and key are known.
struct Asked<'a> {
    request: &'a Request,
    context: &'a Context,
    key: ApiKey,
    book: Book,
}

impl Asked<'_> {
    fn body(&self) -> Result<Value, Fault> {
        let body = native::json_body(self.request)?;
        body.ok_or_else(|| Fault::Malformed { rule: String::from("the body must be JSON") })
    }
}

/// Whether a path is one of this pattern, and the ids in it.
fn matched<'a>(pattern: &str, path: &'a str) -> Option<Vec<&'a str>> {
    let (mut wanted, mut given, mut ids) = (pattern.split('/'), path.split('/'), Vec::new());
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(ids),
            (Some("*"), Some(part)) if !part.is_empty() => ids.push(part),
            (Some(wanted), Some(part)) if wanted == part => {}
            _ => return None,
        }
    }
}

async fn answer(request: &Request, context: &Context) -> Result<Value, Complaint> {
    let path = request.path.strip_prefix(BASE).unwrap_or_default();
    let is_route = |method: &Method, pattern: &str| *method == request.method && matched(pattern, path).is_some();
    let route = ROUTES.iter().find(|(method, pattern, ..)| is_route(method, pattern));
    // Who has no key learns nothing about what there is.
    let scope = route.map_or(Scope::CallsRead, |(.., scope)| *scope);
    let key = native::authenticate(request, context, scope).await?;
    let (_, pattern, operation, _) = route.ok_or(Fault::UnknownOperation)?;
    let ids = matched(pattern, path).unwrap_or_default();
    let part = |at: usize| ids.get(at).copied().unwrap_or_default();
    let (id, inner) = (part(0), part(1));
    if *operation == Operation::NotBuilt {
        return Err(Complaint::unsupported(&format!("{} {BASE}{pattern}", request.method)));
    }
    let book = Book::open(context, &key.account).await?;
    let mut asked = Asked { request, context, key, book };
    match operation {
        Operation::Outbound => dial::outbound(&asked).await,
        Operation::Batched => dial::batched(&asked).await,
        Operation::Scheduled => scheduled::scheduled(&asked).await,
        Operation::List => calls::list(&asked).await,
        Operation::Show => calls::show(&asked, id).await,
        Operation::Stop => calls::stop(&asked, id).await,
        Operation::Cancel => calls::cancel(&asked, id).await,
        Operation::Transcript => calls::transcript(&asked, id).await,
        Operation::Recording => calls::recording(&asked, id).await,
        Operation::AddNote => notes::add(&asked, id).await,
        Operation::ChangeNote => notes::change(&asked, id, inner).await,
        Operation::RemoveNote => notes::remove(&asked, id, inner).await,
        Operation::Usage => calls::usage(&asked).await,
        Operation::Numbers => things::numbers(&asked).await,
        Operation::ShowNumber => things::show_number(&asked, id).await,
        Operation::Agents => things::agents(&asked).await,
        Operation::UseCases => things::use_cases(&asked).await,
        Operation::ShowUseCase => things::show_use_case(&asked, id).await,
        Operation::ChangeNumber => things::change_number(&asked, id).await,
        Operation::ChangeUseCase => things::change_use_case(&mut asked, id).await,
        Operation::NotBuilt => Err(Fault::Internal.into()),
    }
}
