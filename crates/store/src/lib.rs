//! The only place with SQL: accepted calls, their journals, configuration, leases, one-time values, vendor ids, recordings.
//!
//! [`Store`] writes and is given to the engine alone; [`Reader`] reads and may be given to anybody. Both hide which
//! database is underneath: every statement is written once, in `sql/`, which says how to add one. Never decides whether
//! a call may exist ([`callwright_domain::policy`] does) and never reads a clock: `now` is an argument everywhere.
//!
//! What a verb acknowledged is on disk: a verb returns after the commit that holds its work, never before.

pub mod aliases;
pub mod blobs;
mod browsers;
mod calls;
mod campaigns;
mod configuration;
mod error;
mod extracts;
mod joined;
mod keyring;
mod moving;
mod notes;
pub mod outbox;
mod postgres;
mod privacy;
mod reader;
mod remote;
mod rules;
pub mod sealed;
mod spool;
mod sql;
mod sqlite;
mod store;
mod threads;

pub use aliases::{Alias, AliasKind};
pub use blobs::{BlobError, BlobName, Recordings, Sent};
pub use browsers::ChannelApp;
pub use calls::{
    Admission, AdmitError, Admitted, Amendment, CallFilter, CallOwner, CallView, Ending, Finished, Idempotency,
    Interrupted, Marked, NoneAdmitted, Page, Patience, Permit, Purged, Record, Seat, Stage, Waiting, WaitingLine,
    Waits,
};
pub use campaigns::{
    Answers, CampaignError, CampaignKey, Import, Launch, Launched, NewRow, Repeats, RowCall, RowFilter, StepOrder,
    Verdict,
};
pub use configuration::{
    Account, Basis, Number, NumberStatus, StoredAgent, TransferBy, Transport, Trunk, TrunkSettings,
};
pub use error::StoreError;
pub use extracts::{ExtractOrder, ExtractOutcome, ExtractState, StoredFindings};

pub use keyring::{KeyFlaw, Keyring};
pub use moving::{Moved, move_to_shared, undo_move};
pub use notes::Note;
pub use privacy::{Erasure, ErasureOrder, Removal, Suppress, Swept, Tally};
pub use reader::{PAGE_MAX, Reader};
pub use remote::{Addressing, Remote, RemoteSettings};
pub use rules::{DayUsage, Denial, Listed, StoredConsent, StoredVerdict};
pub use sealed::SealedFile;
pub use spool::{SPOOL_RECORDS, Spool, SpoolError, Spooled};
pub use sqlite::{Check, Disk, DiskTime};
pub use store::shares::{Channel, Share, Turns};
pub use store::{NodeIdentity, Opened, SharedDatabase, Store, StoreSettings};
pub use threads::{First, ThreadKey, ThreadPlace, ThreadSpan};
