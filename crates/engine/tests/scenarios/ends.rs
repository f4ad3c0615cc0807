//! What a call held is given back whatever ended it (BARS R8): the places of its caller number, account and agent, and the
//! trunk's channel. There is one of each here, so a second call is taken and dialled only when all four are free.

use crate::{dialing, ms, ringing, said};
use callwright_domain::agent::Tool;
use callwright_domain::policy::RulesPatch;
use callwright_domain::{AgentProfile, CallId, HangupCause, Refusal, TrunkId};
use callwright_engine::{HangUp, StartError};
use callwright_store::Account;
use callwright_testkit::{Callee, Node, NodeBuilder, Plan, Reply, ScriptedBrain, TRUNK, Then, ToneVoice};
use futures_util::future::join_all;

/// What ends a call that the callee takes as its plan says.
#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    /// The callee, after the greeting.
    Callee,
    /// The callee, who is not heard any more.
    Silence,
    /// A text that the model is asked about.
    Model,
    /// An order, after the greeting.
    Order,
    /// An order, while it rings.
    Withdrawal,
    /// Nothing: it ends by itself.
    Itself,
}

/// How a call comes to its end.
struct End {
    cause: HangupCause,
    then: Then,
    by: By,
    brain: fn() -> ScriptedBrain,
    agent: fn(&mut AgentProfile),
}

const fn end(cause: HangupCause, then: Then, by: By) -> End {
    End { cause, then, by, brain: ScriptedBrain::new, agent: |_| {} }
}

/// Every kind of end that leaves the server alive.
fn ends() -> Vec<End> {
    vec![
        end(HangupCause::CalleeHungUp, Then::Answer, By::Callee),
        End {
            brain: || ScriptedBrain::new().on("", [Reply::say("Goodbye.").tool("end_call", "{}")]),
            agent: |agent| {
                let description = String::from("Ends the call.");
                agent.tools = vec![Tool::EndCall { name: String::from("end_call"), description }];
            },
            ..end(HangupCause::AgentHungUp, Then::Answer, By::Model)
        },
        end(HangupCause::ApiHungUp, Then::Answer, By::Order),
        end(HangupCause::Cancelled, Then::Never, By::Withdrawal),
        end(HangupCause::Busy, Then::Refuse(486), By::Itself),
        End { agent: |agent| agent.limits.ring_timeout_s = 1, ..end(HangupCause::NoAnswer, Then::Never, By::Itself) },
        end(HangupCause::Rejected, Then::Refuse(603), By::Itself),
        end(HangupCause::Unreachable, Then::Refuse(404), By::Itself),
        end(HangupCause::MediaTimeout, Then::Answer, By::Silence),
        End {
            agent: |agent| agent.limits.max_duration_s = 1,
            ..end(HangupCause::MaxDuration, Then::Answer, By::Itself)
        },
        End {
            brain: || ScriptedBrain::new().on("", [Reply::fail()]),
            ..end(HangupCause::ProviderFailed, Then::Answer, By::Model)
        },
    ]
}

/// A node with one place of each kind.
fn narrow(callee: &Callee) -> NodeBuilder {
    let mut builder = NodeBuilder::to(callee).voice(&ToneVoice::new(ms(10)));
    builder.number_calls = 1;
    builder.trunk.max_calls = 1;
    builder.media_timeout = ms(500);
    builder
}

async fn limited(node: &Node) {
    let account = Account { id: node.account(), name: String::new(), max_calls: 1 };
    node.store().put_account(account).await.expect("stored");
    // Nobody rings for the fifteen seconds that people are given.
    let rules = RulesPatch { agent_calls: Some(1), min_ring_s: Some(0), ..RulesPatch::default() };
    node.store().put_rules(node.account(), None, rules, node.now()).await.expect("stored");
}

fn channels(node: &Node) -> u32 {
    let trunk = TrunkId::new(TRUNK).expect("an id");
    node.calls().trunk_status(&node.account(), &trunk).expect("a known trunk").calls
}

/// The call has its places, and there are no others.
async fn holds_everything(node: &Node) {
    let second = node.calls().start(node.request(), node.now()).await;
    let busy = [Refusal::CallerBusy, Refusal::AccountBusy, Refusal::AgentBusy];
    assert!(matches!(&second, Err(StartError::Refused(why)) if busy.contains(why)), "{second:?}");
    assert_eq!((node.active_calls().await, channels(node)), (1, 1));
}

/// A call that is asked for now is taken, and rings.
async fn everything_is_free(node: &Node, after: HangupCause) {
    assert_eq!(node.active_calls().await, 0, "{after:?}");
    let next = node.calls().start(node.request(), node.now()).await;
    let next = next.unwrap_or_else(|why| panic!("after {after:?}: {why:?}")).id;
    node.wait_for(next, &format!("the dialling after {after:?}"), dialing).await;
}

/// Brings a call to its end.
async fn bring(node: &Node, callee: &mut Callee, call: CallId, by: By) {
    match by {
        By::Itself => {}
        By::Withdrawal => {
            node.wait_for(call, "the ringing", ringing).await;
            holds_everything(node).await;
            node.calls().hang_up(&node.account(), call, HangUp::Now).await.expect("taken");
        }
        By::Callee | By::Silence | By::Model | By::Order => {
            let line = callee.line().await;
            node.wait_for(call, "the greeting", said("Hello there.")).await;
            holds_everything(node).await;
            match by {
                By::Callee => line.hang_up(),
                By::Silence => line.vanish(),
                By::Model => node.calls().hear(&node.account(), call, String::from("Well?")).await.expect("taken"),
                _ => node.calls().hang_up(&node.account(), call, HangUp::Now).await.expect("taken"),
            }
            // The line stays until the end is there.
            node.ended(call).await;
        }
    }
}

#[tokio::test]
async fn every_place_comes_back_after_every_kind_of_end() {
    let all = ends().into_iter().map(|End { cause, then, by, brain, agent }| async move {
        let mut callee = Callee::start(Plan::then(then)).await;
        let node = narrow(&callee).brain(&brain()).agent(agent).start().await;
        limited(&node).await;
        let call = node.call().await;
        bring(&node, &mut callee, call, by).await;
        assert_eq!(node.ended(call).await, cause);
        everything_is_free(&node, cause).await;
    });
    join_all(all).await;
}

#[tokio::test]
async fn every_place_comes_back_after_the_server_was_killed() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut callee = Callee::start(Plan::answer()).await;
    let doomed = narrow(&callee).data(directory.path()).start_doomed().await;
    limited(doomed.node()).await;
    let call = doomed.node().call().await;
    let _line = callee.line().await;
    doomed.node().wait_for(call, "the greeting", said("Hello there.")).await;
    holds_everything(doomed.node()).await;
    doomed.kill();
    let node = narrow(&callee).data(directory.path()).start().await;
    limited(&node).await;
    everything_is_free(&node, HangupCause::ServerRestarted).await;
}
