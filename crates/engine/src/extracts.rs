//! Finds out about calls that are over what their agents' owners want to know: asks the agent's own model about the
//! transcript, and writes down what it says. At least once for each call, over restarts; never while the call is up.

use crate::limits::{EXTRACT_ANSWER, EXTRACT_LEASE, EXTRACT_PATIENCE, EXTRACT_WAITS};
use crate::node::Node;
use callwright_conversation::vocabulary::{LlmEvent, Message, Role};
use callwright_domain::CallPlan;
use callwright_domain::extract::Findings;
use callwright_domain::transcript::TranscriptLine;
use callwright_providers::llm::LlmRequest;
use callwright_store::{ExtractOrder, ExtractOutcome, StoreError};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{debug, error, warn};

/// Takes what is due, as far as there is a place for it, and begins to find it out.
pub(crate) async fn look(node: Arc<Node>, places: Arc<Semaphore>) {
    let free = u32::try_from(places.available_permits()).unwrap_or(u32::MAX);
    if free == 0 || node.is_draining() {
        return;
    }
    let now = node.clock.now();
    let orders = match node.store.claim_extracts(now, now.after(EXTRACT_LEASE), free).await {
        Ok(orders) => orders,
        Err(error) => return warn!(%error, "calls that are to be looked into could not be taken"),
    };
    for order in orders {
        // Only this loop takes places: there are as many as were free.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { return };
        let (asked, call) = (Arc::clone(&node), order.call);
        let work = async move {
            settle(&asked, order).await;
            drop(place);
        };
        node.tasks.spawn_guarded(work, move |panic| async move {
            error!(%call, panic, "finding out about a call panicked; it is tried again when its lease is out");
        });
    }
}

/// Finds out about one call and writes down what came of it.
async fn settle(node: &Node, order: ExtractOrder) {
    let stop = node.tasks.stopping();
    let outcome = tokio::select! {
        outcome = found(node, &order) => outcome,
        // The next life, or another node, tries it anew.
        () = stop.cancelled() => Ok(Err(String::from("the server was stopped"))),
    };
    let now = node.clock.now();
    let outcome = match outcome {
        Ok(Ok(findings)) => ExtractOutcome::Found(findings),
        Ok(Err(detail)) => match EXTRACT_WAITS.get(order.tries.saturating_sub(1) as usize) {
            Some(wait) => ExtractOutcome::Later(now.after(*wait), detail),
            None => ExtractOutcome::GivenUp(detail),
        },
        Err(error) => return warn!(call = %order.call, %error, "a call could not be looked into; trying again"),
    };
    let word = match &outcome {
        ExtractOutcome::Found(_) => "found",
        ExtractOutcome::Later(..) => "later",
        ExtractOutcome::GivenUp(_) => "given_up",
    };
    metrics::counter!("callwright_extracts_total", "outcome" => word).increment(1);
    debug!(call = %order.call, tries = order.tries, word, "looked into a call");
    let call = order.call;
    if let Err(error) = node.store.settle_extract(order, outcome, now).await {
        warn!(%call, %error, "what was found out about a call could not be written; trying again");
    }
}

/// What the model says about a call; in words why it says nothing.
async fn found(node: &Node, order: &ExtractOrder) -> Result<Result<Findings, String>, StoreError> {
    let view = node.reader.call(&order.account, order.call).await?;
    let Some(plan) = view.map(|view| view.plan).filter(|plan| plan.agent.extract.is_wanted()) else {
        return Ok(Ok(Findings::default()));
    };
    let transcript = node.reader.transcript(&order.account, order.call).await?;
    if transcript.is_empty() {
        // Nobody said anything: there is nothing to be found, and no model need be asked.
        return Ok(Ok(Findings::default()));
    }
    Ok(asked(node, &plan, &transcript).await)
}

async fn asked(node: &Node, plan: &CallPlan, transcript: &[TranscriptLine]) -> Result<Findings, String> {
    let settings = &plan.agent.brain;
    let brain = node.catalogue.brain_of(settings).map_err(|error| error.to_string())?;
    let (instructions, given) = plan.agent.extract.question(transcript);
    let conversation = format!("{}/extract", plan.id);
    let request = LlmRequest {
        conversation: conversation.clone(),
        model: settings.model.clone(),
        // One message: some services keep an instruction of their own and show the model no other.
        messages: vec![Message::text(Role::User, format!("{instructions}\n\n{given}"))],
        tools: Vec::new(),
        temperature: settings.temperature,
        max_tokens: None,
        query: settings.query.clone(),
        params: settings.params.clone(),
        script: settings.script.clone().into(),
        headers: Default::default(),
    };
    let mut stream = brain.ask(request);
    let reading = async {
        let mut answer = String::new();
        while let Some(event) = stream.events.recv().await {
            match event.map_err(|error| error.to_string())? {
                LlmEvent::Text(text) => answer.push_str(&text),
                LlmEvent::Tool(_) => {}
                LlmEvent::Done { .. } => break,
            }
            if answer.len() > EXTRACT_ANSWER {
                return Err(String::from("the model's answer is too long"));
            }
        }
        Ok(answer)
    };
    let answer = timeout(EXTRACT_PATIENCE, reading).await;
    brain.forget(&conversation);
    let answer = answer.map_err(|_| String::from("the model took too long"))??;
    plan.agent.extract.read(&answer).map_err(|none| none.to_string())
}
