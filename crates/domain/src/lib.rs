//! The nouns and the rules of an AI call: identifiers, phone numbers, agents, the life of a call, policy, transcripts.
//!
//! Pure: no runtime, socket, clock or randomness. `serde` derives describe *our* storage format; no field is named or
//! shaped after a vendor's.

pub mod access;
#[macro_use]
pub mod agent;
pub mod call;
pub mod campaign;
pub mod chat;
pub mod extract;
pub mod ids;
pub mod moment;
pub mod number;
pub mod pii;
pub mod policy;
pub mod redaction;
pub mod retention;
pub mod retry;
pub mod transcript;
pub mod transfer;
pub mod way;
pub mod webhook;

pub use access::{ApiKey, Scope};
pub use agent::{AgentPatch, AgentProfile};
pub use call::{CallEvent, CallPlan, CallState, DialIntent, HangupCause, Origin, Recorded};
pub use ids::{AccountId, AgentId, CallId, CampaignId, ChannelName, KeyId, ThreadId, TrunkId, WebhookId};
pub use moment::Moment;
pub use number::PhoneNumber;
pub use pii::Pii;
pub use policy::Refusal;
pub use redaction::Redaction;
pub use retention::{Absence, Retention};
pub use transfer::{DeskName, Transfer, TransferTarget};
pub use way::{BrowserPlace, CallerLine, Telephone, Way};
pub use webhook::{Topic, Webhook};
