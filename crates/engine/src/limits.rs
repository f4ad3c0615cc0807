//! Every queue size, timeout and cap of a running server, each with its reason and what happens when it is full.
//! Lower crates take theirs as arguments; nothing here is a user's setting (those are in `server::config`).

use std::time::Duration;

/// Orders waiting for one call (hang up, say, text). *Refuse*: the API answers that the call is busy.
pub const CALL_ORDERS: usize = 32;
/// Journal entries waiting for the writer, all calls together. *Wait*: a call that cannot write must not run ahead.
pub const JOURNAL_QUEUE: usize = 4096;
/// Most entries that one round of the journal writer takes; the store commits them in one group.
pub const JOURNAL_BATCH: usize = 256;
/// Events a watcher may fall behind before it is told to read the journal again. *Drop oldest*.
pub const FEED_DEPTH: usize = 1024;
/// Phrases waiting for the voice of one call. *Wait*: the model is read no faster than it is spoken.
pub const VOICE_PHRASES: usize = 64;
/// Reports waiting from the voice of one call to the call. *Wait*.
pub const VOICE_REPORTS: usize = 64;
/// Calls claimed from the queue at a time.
pub const CLAIM_BATCH: usize = 50;
/// How often the queue is looked at when nobody rings the bell; other nodes may have put something there.
pub const CLAIM_EVERY: Duration = Duration::from_millis(150);
/// How often leases are renewed. A lease lasts [`LEASE`].
pub const LEASE_EVERY: Duration = Duration::from_secs(1);
/// How long a node's claim on its calls lasts without renewal (BARS section 4.2).
pub const LEASE: Duration = Duration::from_secs(10);
/// The most that one hang-up may wait for the agent to finish its sentence.
pub const GRACEFUL_STOP: Duration = Duration::from_secs(10);
/// How long a call's end may wait for its recording to be closed.
pub const RECORDING_CLOSE: Duration = Duration::from_secs(5);
/// How often expired nonces and idempotency keys are swept.
pub const PURGE_EVERY: Duration = Duration::from_secs(60);
/// Restarts of a failed recogniser within one call before the call is ended.
pub const EARS_RESTARTS: u32 = 2;
/// How long the end of a SIP call may wait for the far end's answer before the task goes away; the SIP plane goes on
/// repeating BYE by itself.
pub const BYE_GRACE: Duration = Duration::from_millis(200);
/// Pieces of a greeting that is made while the telephone rings. *Wait*: a piece is 20 to 200 ms, and the first phrase is
/// short.
pub const GREETING_PIECES: usize = 256;
/// Wait for a phrase's first sound, all vendors of a chain together; then the phrase has failed. People ask "hello?"
/// after four seconds, and three such phrases with the apology must fit in fifteen.
pub const VOICE_FIRST_SOUND: Duration = Duration::from_secs(3);
/// Longest pause in the middle of a phrase's sound; a little more than the vendors' own and their chain's.
pub const VOICE_STALL: Duration = Duration::from_secs(3);
