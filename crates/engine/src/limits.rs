//! Every queue size, timeout and cap of a running server, each with its reason and what happens when it is full.
//! Lower crates take theirs as arguments; nothing here is a user's setting (those are in `server::config`).

use std::time::Duration;

/// Orders waiting for one call (hang up, say, text). *Refuse*: the API answers that the call is busy.
pub const CALL_ORDERS: usize = 32;
/// How long whoever gives an order waits for the call's word about it. *Refuse*: the API answers that the call is busy, and the
/// order is not carried out any more.
pub const CALL_WORD: Duration = Duration::from_secs(2);
/// The same where another node gives the order: below [`PEER_WAIT`], so that it hears the answer.
pub const PEER_WORD: Duration = Duration::from_millis(400);
/// Journal entries waiting for the writer, all calls together. *Wait*: a call that cannot write must not run ahead.
pub const JOURNAL_QUEUE: usize = 4096;
/// Most entries that one round of the journal writer takes; the store commits them in one group.
pub const JOURNAL_BATCH: usize = 256;
/// How long the journal writer gathers entries that nobody waits for. A crash loses no more than these beyond what was under
/// way; a watcher hears of them by so much later.
pub const JOURNAL_GATHER: Duration = Duration::from_millis(4);
/// Events a watcher may fall behind before it is told to read the journal again. *Drop oldest*.
pub const FEED_DEPTH: usize = 1024;
/// Phrases waiting for the voice of one call. *Wait*: the model is read no faster than it is spoken.
pub const VOICE_PHRASES: usize = 64;
/// Reports waiting from the voice of one call to the call. *Wait*.
pub const VOICE_REPORTS: usize = 64;
/// How long a call waits to be told its turn on a trunk that several nodes share; then it leaves by its node's own pace.
pub const TURN_PATIENCE: Duration = Duration::from_secs(2);
/// Calls claimed from the queue at a time.
pub const CLAIM_BATCH: usize = 50;
/// How often the queue is looked at when nobody rings the bell; other nodes may have put something there.
pub const CLAIM_EVERY: Duration = Duration::from_millis(150);
/// How often campaigns are looked at when nobody rings their bell: a free line is used within this time.
pub const CAMPAIGN_TICK: Duration = Duration::from_millis(100);
/// How often a campaign that another node drives is asked for: that node may have died.
pub const CAMPAIGN_CLAIM_EVERY: Duration = Duration::from_secs(1);
/// How long a campaign rests that met nothing but refusals: each costs a transaction.
pub const CAMPAIGN_REST: Duration = Duration::from_millis(500);
/// How often a campaign's abandoned calls are counted anew.
pub const CAMPAIGN_GUARD_EVERY: Duration = Duration::from_secs(2);
/// Callees written in one transaction of an upload: a few milliseconds, so that calls are accepted in between.
pub const IMPORT_BATCH: usize = 500;
/// Earlier calls of a thread that a call looks at, the newest answered ones. *Leave out*: more would not fit below
/// [`THREAD_LINES`], and dialling waits for the reading.
pub const THREAD_CALLS: u32 = 8;
/// Lines of earlier calls that the model is told. *Drop oldest*. Twenty turns; the agent's own limit of turns counts too.
pub const THREAD_LINES: usize = 40;
/// Bytes of these lines. *Drop oldest*: some two thousand tokens, which even small models read within their first answer.
pub const THREAD_BYTES: usize = 8 * 1024;
/// How often leases are renewed. A lease lasts [`LEASE`].
pub const LEASE_EVERY: Duration = Duration::from_secs(1);
/// How long a node's claim on its calls lasts without renewal (BARS section 4.2).
pub const LEASE: Duration = Duration::from_secs(10);
/// A node of several that could not renew its lease for this long takes and dials nothing, three seconds before others
/// may take its calls (BARS section 4.2).
pub const LEASE_DOUBT: Duration = Duration::from_secs(7);
/// A node of several that could not renew its lease for so long takes the database for having been away for everybody: it
/// leaves the calls of others alone until each has had [`LEASE`] to renew. Others reach the database again a few seconds
/// later or earlier, and their leases last longer than this and those.
pub const LEASE_GAP: Duration = Duration::from_secs(3);
/// How often a node of several looks for calls whose owner is dead. With [`LEASE`] it keeps the end of such a call, and
/// its place among its caller number's calls, below fifteen seconds.
pub const UNDERTAKE_EVERY: Duration = Duration::from_secs(1);
/// How long the journal waits before it tries again to write what a database that is away did not take.
pub const JOURNAL_RETRY: Duration = Duration::from_millis(500);
/// Records of the spool that may be what was said and done in calls. *Leave out*: the rest is for what moves calls, above
/// all their ends, two for each of a thousand calls.
pub const SPOOL_WORDS: usize = 8_000;
/// Fruitless tries, each [`JOURNAL_RETRY`] after the last, after which a record that the database does not take for a reason
/// of its own counts as unwritable; at the start of a node, after which it does not start.
pub const SPOOL_TRIES: u32 = 60;
/// How often an order for a call of another node is tried before it counts as unreached. With [`PEER_WAIT`] and
/// [`PEER_PAUSE`] the asker hears something within two seconds.
pub const PEER_TRIES: u32 = 3;
/// Longest that one try may take.
pub const PEER_WAIT: Duration = Duration::from_millis(500);
/// Pause between tries.
pub const PEER_PAUSE: Duration = Duration::from_millis(100);
/// How long a node that could not be reached is still told to hang up. Well beyond a lease: by then it was reached, or
/// its calls have been ended by another.
pub const PEER_INSISTENCE: Duration = Duration::from_secs(30);
/// The most that one hang-up may wait for the agent to finish its sentence.
pub const GRACEFUL_STOP: Duration = Duration::from_secs(10);
/// How long a call's end may wait for its recording to be closed.
pub const RECORDING_CLOSE: Duration = Duration::from_secs(5);
/// How often expired nonces and idempotency keys are swept.
pub const PURGE_EVERY: Duration = Duration::from_secs(60);
/// How often a shared database is asked whether tables have grown beyond what it knows of them. A look costs a millisecond;
/// a new database under load grows past its first plans in a second or two.
pub const STATISTICS_EVERY: Duration = Duration::from_secs(2);
/// Restarts of a failed recogniser within one call before the call is ended.
pub const EARS_RESTARTS: u32 = 2;
/// How long a browser that has joined may take until its audio path is up. Checks of a few address pairs and the exchange of
/// keys take a second or two; a request for a microphone is over before a browser joins.
pub const JOIN_WAIT: Duration = Duration::from_secs(20);
/// Messages of one browser that are looked at. *Leave out* what is beyond: each may cost a question to the model or a line
/// of the journal, and people at a screen do not come near it.
pub const CLIENT_MESSAGES: u32 = 2000;
/// Texts that wait for a browser's channel to open. *Drop oldest*.
pub const HELD_MESSAGES: usize = 64;
/// How long the end of a SIP call may wait for the far end's answer before it is written that a goodbye is owed, and the
/// task goes away; the SIP plane goes on repeating BYE by itself.
pub const BYE_GRACE: Duration = Duration::from_millis(200);
/// Pause before the database is asked again to keep that a goodbye is owed. *Wait*: no longer than BYE is repeated.
pub const GOODBYE_AGAIN: Duration = Duration::from_secs(1);
/// How long the ACK to an answer waits for the answer to be written down, so that a crash in between leaves a far end
/// that repeats its answer and is found again. Below SIP's T1: a far end that has to wait longer would repeat it anyway.
pub const ANSWER_STORED: Duration = Duration::from_millis(400);
/// Pieces of a greeting that is made while the telephone rings. *Wait*: a piece is 20 to 200 ms, and the first phrase is
/// short.
pub const GREETING_PIECES: usize = 256;
/// Pause before a voice that had too much to do is asked for the greeting again, while it rings.
pub const GREETING_AGAIN: Duration = Duration::from_millis(300);
/// Wait for a phrase's first sound, all vendors of a chain together; then the phrase has failed. People ask "hello?"
/// after four seconds, and three such phrases with the apology must fit in fifteen.
pub const VOICE_FIRST_SOUND: Duration = Duration::from_secs(3);
/// Pause before a voice that had too much to do is asked for the same phrase again, within [`VOICE_FIRST_SOUND`].
pub const VOICE_AGAIN: Duration = Duration::from_millis(100);
/// Longest pause in the middle of a phrase's sound; a little more than the vendors' own and their chain's.
pub const VOICE_STALL: Duration = Duration::from_secs(3);
/// Due calls that may wait on this node for a trunk's pace or channel. *Leave in the store*: the rest is claimed as these go.
pub const WAITING_CALLS: usize = 10_000;
/// Caller numbers that one call may choose from. *The rest are left out*: each is locked and may be counted for.
pub const CALLERS_OF_A_CALL: usize = 100;
/// How often a request that waits for its call's place looks for it where other nodes may give it.
pub const PLACE_LOOK: Duration = Duration::from_millis(500);
/// How often the store is asked for trunks that another process changed.
pub const TRUNKS_EVERY: Duration = Duration::from_secs(30);
/// How often the gauges of trunks are refreshed.
pub const TRUNK_GAUGES_EVERY: Duration = Duration::from_secs(1);
/// How long a trunk may take to answer OPTIONS: four repeats over UDP. Silence for longer is a miss.
pub const PING_PATIENCE: Duration = Duration::from_secs(5);
/// How long a registration is asked for, in seconds: short enough that an address we left is soon forgotten.
pub const REGISTER_EXPIRES_S: u32 = 600;
/// How long to wait before a trunk's name is looked up again for a registration.
pub const RESOLVE_AGAIN: Duration = Duration::from_secs(10);
/// How long the answer to our leaving a registrar is waited for: two repeats over UDP.
pub const UNREGISTER_PATIENCE: Duration = Duration::from_secs(2);
/// How long a call whose first trunk failed may wait for the pace or a channel of the next. *End*: by the first failure.
pub const NEXT_TRUNK_WAIT: Duration = Duration::from_secs(30);
/// How long a transfer may take before the agent goes on: the other end rings meanwhile.
pub const TRANSFER_PATIENCE: Duration = Duration::from_secs(45);
/// How long a call of our own to whom the callee is handed over may take beside its ringing: its turn on the trunk, and what
/// comes back when it is withdrawn. *End*: of the attempt, the agent goes on.
pub const TRANSFER_MADE: Duration = Duration::from_secs(10);
/// How long the database may take to say whether somebody may be handed over to a number. *End*: of the attempt, the agent
/// goes on; the callee waits in silence meanwhile.
pub const TRANSFER_JUDGED: Duration = Duration::from_secs(3);
/// How long the database may take to give the agent that goes on with a call. *End*: of the attempt, the agent that talks goes
/// on; the callee waits in silence meanwhile.
pub const AGENT_READ: Duration = Duration::from_secs(3);
/// Written questions that agents' brains answer at once. *Refuse*: the user writes again; calls need their models too.
pub const CHATS: usize = 64;
/// How long a brain may take for a written answer, to its last word.
pub const CHAT_ANSWER: Duration = Duration::from_secs(60);
/// Most text of a written answer, in bytes; the rest is dropped.
pub const CHAT_ANSWER_CAP: usize = 64 * 1024;
/// How often calls are looked for about which something is to be found out. People read findings minutes later.
pub const EXTRACT_EVERY: Duration = Duration::from_secs(1);
/// Questions about calls that are over, at once. *Wait*: a model of this machine serves live calls first.
pub const EXTRACTS: usize = 2;
/// Longest that a model may take for such an answer: nobody waits on the line.
pub const EXTRACT_PATIENCE: Duration = Duration::from_secs(60);
/// Longest answer that is read, in bytes. *End the try*: no findings are that long.
pub const EXTRACT_ANSWER: usize = 256 * 1024;
/// How long a call is ours while its question is asked: longer than [`EXTRACT_PATIENCE`], or two nodes would ask.
pub const EXTRACT_LEASE: Duration = Duration::from_secs(120);
/// Waits before the second and each later try; after the last the call has no findings.
pub const EXTRACT_WAITS: [Duration; 4] =
    [Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(120), Duration::from_secs(600)];
/// How often it is looked whether the wall clock was set back.
pub const CLOCK_EVERY: Duration = Duration::from_secs(5);
/// Longest sound that is played by one order: what waits to be played is held in memory. *Refuse*.
pub const ORDERED_SOUND: Duration = Duration::from_secs(60);
/// How far the wall clock may fall behind between two looks: what a time service does to it little by little.
pub const CLOCK_SLACK: Duration = Duration::from_secs(2);
/// How often the outbox is looked at when nobody rings its bell: retries fall due, other nodes leave messages.
pub const OUTBOX_EVERY: Duration = Duration::from_millis(200);
/// The least time between two looks: a burst of events is one look. Far below the delay that BARS R24 allows.
pub const OUTBOX_GAP: Duration = Duration::from_millis(5);
/// Messages told at once to one endpoint (BARS R23). *Wait*: the others stay in the database.
pub const OUTBOX_LANES: u32 = 8;
/// Messages taken for one endpoint that answers, those that are being told among them. *Wait*: the others stay in the
/// database. A few rounds of what is told at once: enough that nobody waits for the database, little to be told late when
/// the endpoint stops answering.
pub const OUTBOX_AHEAD: u32 = 64;
/// How long a message that was taken waits for its turn; then it is left to whoever finds its lease out. With the longest
/// exchange it stays within [`OUTBOX_LEASE`].
pub const OUTBOX_TURN: Duration = Duration::from_secs(10);
/// Failures one after the other after which an endpoint is told one message at a time until it answers again.
pub const OUTBOX_SUSPECT: u32 = 5;
/// How long a message is ours while it is told: longer than a sender may take (its turn at the host and, in a dialect that
/// tells one event in several words, four exchanges, 15 s each), or two nodes would tell it.
pub const OUTBOX_LEASE: Duration = Duration::from_secs(90);
/// How long messages under way may take when the node stops; the rest is told by the next life.
pub const OUTBOX_STOP: Duration = Duration::from_secs(2);
/// An endpoint that nothing has reached for this long is switched off (BARS R22).
pub const OUTBOX_DISABLE_AFTER: Duration = Duration::from_secs(5 * 24 * 60 * 60);
/// How long settled messages are kept for lists and replays.
pub const OUTBOX_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Recordings on their way to the object store at once. *Wait*: calls need the network first.
pub const ARCHIVE_AT_ONCE: usize = 4;
/// How often the directory is looked through for recordings that nobody told of in this life.
pub const ARCHIVE_LOOK: Duration = Duration::from_secs(60);
/// After a recording could not be sent: the first pause, which doubles, and the longest.
pub const ARCHIVE_PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));
/// How often the sweeper comes by: BARS C12 allows an hour, and an erasure waits no longer than this for a call's end.
pub const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// Calls that one transaction of the sweeper touches: tens of milliseconds, so that calls are accepted in between.
pub const SWEEP_BATCH: u32 = 200;
/// Transactions of one round of the sweeper. *Leave in the store*: the next round goes on.
pub const SWEEP_ROUNDS: u32 = 500;
/// Queued calls to an erased number that are taken back at the same time; then the next.
pub const ERASED_CALLS: u32 = 32;
