//! Writing campaigns: their own rows, imports, launches, and what the end of a call means for the row that it was made
//! for. Never decides: [`CampaignState::apply`] and [`settle`] do.

use super::campaign_rows::{CAMPAIGN_COLUMNS, Details, answers_of, callable, campaign_of, counted, day_of, work};
use super::rows::{cause_word, json, parsed, unsigned};
use super::{Conn, admission, dialect, erasure, query};
use crate::calls::Answer;
use crate::calls::Key;
use crate::campaigns::{CampaignError, CampaignKey, Import, Launch, Launched, NewRow, Repeats, StepOrder, Verdict};
use crate::{AdmitError, NodeIdentity, StoreError, Turns};
use callwright_domain::campaign::pacing::Guard;
use callwright_domain::campaign::{
    Attempt, Campaign, CampaignState, Contact, Hold, RowState, Settings, Settled, Step, Stopped, settle,
};
use callwright_domain::{CallPlan, CampaignId, HangupCause, Moment, Recorded, Refusal};

const INSERT: &str = "
    INSERT INTO campaigns (account, id, settings, state, created, places, imports)
    VALUES ($1, $2, $3, $4, $5, 0, 0)";

const INSERT_ROW: &str = "
    INSERT INTO campaign_rows (account, campaign, place, import, line, once, number, own_id, details, state, due, attempts,
        reason, updated)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, $12, $13)
    ON CONFLICT DO NOTHING";

/// A row may be called once by each number of attempts, by the owner of a campaign that runs.
const TAKE_ROW: &str = "
    UPDATE campaign_rows SET state = 'calling', due = NULL, attempts = attempts + 1, call = $5, reason = NULL, updated = $6
    WHERE account = $1 AND campaign = $2 AND place = $3 AND attempts = $4 AND due IS NOT NULL
        AND EXISTS (SELECT 1 FROM campaigns c WHERE c.account = $1 AND c.id = $2 AND c.state = 'running'
            AND c.owner = $7 AND c.epoch = $8)";

/// The row of a call that was not dialled is as it was before the call was made, but for when it is due and why.
const GIVE_BACK: &str = "
    UPDATE campaign_rows SET state = CASE WHEN attempts > 1 THEN 'retrying' ELSE 'waiting' END, due = $5,
        attempts = attempts - 1, reason = $6, updated = $7,
        call = (SELECT a.call FROM campaign_attempts a WHERE a.account = campaign_rows.account
            AND a.campaign = campaign_rows.campaign AND a.place = campaign_rows.place
            AND a.attempt = campaign_rows.attempts - 1)
    WHERE account = $1 AND campaign = $2 AND place = $3 AND call = $4 AND state = 'calling'";

const CLAIM: &str = "
    UPDATE campaigns SET owner = $1, epoch = $2 WHERE finished IS NULL AND state <> 'draft' AND (owner IS NULL OR (
        NOT (owner = $1 AND epoch = $2) AND NOT EXISTS (SELECT 1 FROM nodes
            WHERE nodes.node = campaigns.owner AND nodes.epoch = campaigns.epoch AND nodes.lease_until > $3)))";

const SETTLE: &str = "
    UPDATE campaign_rows SET state = $5, due = $6, cause = $7, updated = $8
    WHERE account = $1 AND campaign = $2 AND place = $3 AND call = $4 AND state = 'calling'";

const COUNT_DAY: &str = "
    INSERT INTO campaign_days (account, campaign, day, answered, abandoned) VALUES ($1, $2, $3, 1, $4)
    ON CONFLICT (account, campaign, day) DO UPDATE SET answered = campaign_days.answered + 1,
        abandoned = campaign_days.abandoned + excluded.abandoned";

/// Loads a campaign and keeps it from changing until the transaction's end.
async fn load(conn: &mut Conn, key: &CampaignKey) -> Result<Campaign, CampaignError> {
    dialect::lock_row(
        conn,
        "SELECT id FROM campaigns WHERE account = $1 AND id = $2",
        &[key.account.as_str(), key.id.as_str()],
    )
    .await?;
    let mut select = query("SELECT ");
    select.push(CAMPAIGN_COLUMNS).push(" FROM campaigns WHERE account = $1 AND id = $2");
    let row = select.bind(key.account.as_str()).bind(key.id.as_str()).fetch_optional(conn).await?;
    Ok(campaign_of(&row.ok_or(CampaignError::Unknown)?)?)
}

/// [`crate::Store::create_campaign`].
pub(crate) async fn create(conn: &mut Conn, campaign: &Campaign) -> Result<(), StoreError> {
    query(INSERT)
        .bind(campaign.account.as_str())
        .bind(campaign.id.as_str())
        .bind(json(&campaign.settings)?)
        .bind(campaign.state.word())
        .bind(campaign.created.millis())
        .execute(conn)
        .await?;
    Ok(())
}

/// [`crate::Store::change_campaign`].
pub(crate) async fn change(conn: &mut Conn, key: &CampaignKey, settings: &Settings) -> Result<Campaign, CampaignError> {
    let campaign = load(conn, key).await?;
    if campaign.state.is_over() {
        return Err(CampaignError::State(campaign.state));
    }
    query("UPDATE campaigns SET settings = $3 WHERE account = $1 AND id = $2")
        .bind(key.account.as_str())
        .bind(key.id.as_str())
        .bind(json(settings)?)
        .execute(conn)
        .await?;
    Ok(Campaign { settings: settings.clone(), ..campaign })
}

/// [`crate::Store::step_campaign`].
pub(crate) async fn step(
    conn: &mut Conn,
    key: &CampaignKey,
    order: &StepOrder,
    now: Moment,
) -> Result<Campaign, CampaignError> {
    let (mut campaign, step) = (load(conn, key).await?, order.step);
    campaign.state = campaign.state.apply(step)?;
    if step == Step::Start {
        if callable(key).fetch_optional(&mut *conn).await?.is_none() {
            return Err(CampaignError::Empty);
        }
        campaign.started = Some(now);
    }
    if step == Step::Finish {
        if has_work(conn, key, now).await? {
            return Err(CampaignError::State(CampaignState::Running));
        }
        campaign.finished = Some(now);
    }
    campaign.stopped = order.stopped.or(campaign.stopped);
    campaign.trouble.clone_from(&order.trouble);
    query(
        "UPDATE campaigns SET state = $3, stopped = $4, started = $5, finished = $6, trouble = $7
         WHERE account = $1 AND id = $2",
    )
    .bind(key.account.as_str())
    .bind(key.id.as_str())
    .bind(campaign.state.word())
    .bind(campaign.stopped.map(Stopped::word))
    .bind(campaign.started.map(Moment::millis))
    .bind(campaign.finished.map(Moment::millis))
    .bind(campaign.trouble.as_deref())
    .execute(conn)
    .await?;
    Ok(campaign)
}

/// [`crate::Store::close_stopped`]: rows that were still to be called get their last state, `limit` at a time; when none is
/// left and no call is up, the campaign is finished.
pub(crate) async fn close_stopped(
    conn: &mut Conn,
    key: &CampaignKey,
    limit: u32,
    now: Moment,
) -> Result<Option<Moment>, CampaignError> {
    let campaign = load(conn, key).await?;
    let (CampaignState::Stopped, None) = (campaign.state, campaign.finished) else { return Ok(campaign.finished) };
    let left = campaign.stopped.unwrap_or(Stopped::Asked).leftover();
    let swept = query(
        "UPDATE campaign_rows SET state = $3, due = NULL, updated = $4 WHERE account = $1 AND campaign = $2
            AND place IN (SELECT place FROM campaign_rows WHERE account = $1 AND campaign = $2 AND due IS NOT NULL
                ORDER BY due, place LIMIT $5)",
    )
    .bind(key.account.as_str())
    .bind(key.id.as_str())
    .bind(left.word())
    .bind(now.millis())
    .bind(i64::from(limit))
    .execute(&mut *conn)
    .await?;
    if swept > 0 || has_work(conn, key, now).await? {
        return Ok(None);
    }
    query("UPDATE campaigns SET finished = $3 WHERE account = $1 AND id = $2")
        .bind(key.account.as_str())
        .bind(key.id.as_str())
        .bind(now.millis())
        .execute(conn)
        .await?;
    Ok(Some(now))
}

async fn has_work(conn: &mut Conn, key: &CampaignKey, now: Moment) -> Result<bool, StoreError> {
    Ok(work(key, now).fetch_optional(conn).await?.is_some())
}

/// [`crate::Store::delete_campaign`]: rows first, `limit` at a time, then the campaign; `true` when it is gone.
pub(crate) async fn delete(conn: &mut Conn, key: &CampaignKey, limit: u32) -> Result<bool, CampaignError> {
    let campaign = load(conn, key).await?;
    if campaign.state != CampaignState::Draft && campaign.finished.is_none() {
        return Err(CampaignError::State(campaign.state));
    }
    let gone = forget(conn, key, (0, limit)).await?;
    if gone > 0 {
        return Ok(false);
    }
    for turns in [Turns::Campaign(key.id.clone()), Turns::Invites(key.id.clone())] {
        super::shares::forget(conn, &key.account, &turns.name()).await?;
    }
    query("DELETE FROM campaigns WHERE account = $1 AND id = $2")
        .bind(key.account.as_str())
        .bind(key.id.as_str())
        .execute(conn)
        .await?;
    Ok(true)
}

/// Removes up to `limit` rows of imports after `import`.
async fn forget(conn: &mut Conn, key: &CampaignKey, (import, limit): (i64, u32)) -> Result<u64, StoreError> {
    query(
        "DELETE FROM campaign_rows WHERE account = $1 AND campaign = $2 AND place IN (SELECT place FROM campaign_rows
            WHERE account = $1 AND campaign = $2 AND import > $3 ORDER BY place LIMIT $4)",
    )
    .bind(key.account.as_str())
    .bind(key.id.as_str())
    .bind(import)
    .bind(i64::from(limit))
    .execute(conn)
    .await
}

/// [`crate::Store::begin_import`]. `None`: rows of an import that broke off are in the way and were removed, `limit` at a
/// time; ask again.
pub(crate) async fn begin_import(
    conn: &mut Conn,
    import: &Import,
    limit: u32,
    now: Moment,
) -> Result<bool, CampaignError> {
    let campaign = load(conn, &import.key).await?;
    if campaign.state.is_over() {
        return Err(CampaignError::State(campaign.state));
    }
    let (account, id) = (import.key.account.as_str(), import.key.id.as_str());
    let row = query("SELECT imports, importing, importing_until FROM campaigns WHERE account = $1 AND id = $2")
        .bind(account)
        .bind(id)
        .fetch_one(&mut *conn)
        .await?;
    let holder: Option<String> = row.read("importing")?;
    let until: Option<i64> = row.read("importing_until")?;
    if holder.is_some_and(|holder| holder != import.token) && until.is_some_and(|until| until > now.millis()) {
        return Err(CampaignError::Importing);
    }
    query("UPDATE campaigns SET importing = $3, importing_until = $4 WHERE account = $1 AND id = $2")
        .bind(account)
        .bind(id)
        .bind(&import.token)
        .bind(now.after(Import::LEASE).millis())
        .execute(&mut *conn)
        .await?;
    Ok(forget(conn, &import.key, (row.read("imports")?, limit)).await? == 0)
}

/// [`crate::Store::add_rows`]: for each row whether its number is a duplicate.
pub(crate) async fn add_rows(
    conn: &mut Conn,
    import: &Import,
    rows: &[NewRow],
    now: Moment,
) -> Result<Vec<bool>, CampaignError> {
    let (account, id) = (import.key.account.as_str(), import.key.id.as_str());
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let held = query(
        "UPDATE campaigns SET places = places + $4, importing_until = $5
         WHERE account = $1 AND id = $2 AND importing = $3 RETURNING places, imports",
    )
    .bind(account)
    .bind(id)
    .bind(&import.token)
    .bind(count)
    .bind(now.after(Import::LEASE).millis())
    .fetch_optional(&mut *conn)
    .await?
    .ok_or(CampaignError::Importing)?;
    let (mut place, number) = (held.read::<i64>("places")? - count, held.read::<i64>("imports")? + 1);
    let mut duplicates = Vec::with_capacity(rows.len());
    for row in rows {
        place += 1;
        let inserted = insert_row(conn, &import.key, (place, number), row, now).await?;
        if !inserted {
            let twin = NewRow { callee: Err((twin_number(row), RowState::Duplicate.word())), ..row.clone() };
            insert_row(conn, &import.key, (place, number), &twin, now).await?;
        }
        duplicates.push(!inserted);
    }
    Ok(duplicates)
}

fn twin_number(row: &NewRow) -> callwright_domain::Pii<String> {
    match &row.callee {
        Ok(callee) => callwright_domain::Pii::new(callee.number.dial().to_owned()),
        Err((given, _)) => given.clone(),
    }
}

async fn insert_row(
    conn: &mut Conn,
    key: &CampaignKey,
    (place, import): (i64, i64),
    row: &NewRow,
    now: Moment,
) -> Result<bool, StoreError> {
    let insert = query(INSERT_ROW).bind(key.account.as_str()).bind(key.id.as_str()).bind(place).bind(import);
    let insert = insert.bind(i64::try_from(row.line).unwrap_or(i64::MAX));
    let insert = match &row.callee {
        Ok(callee) => {
            let number = callee.number.dial();
            let once = match row.repeats {
                Repeats::Skipped => number.to_owned(),
                Repeats::Called => format!("{number}#{place}"),
            };
            insert
                .bind(once)
                .bind(number)
                .bind(callee.own_id.as_deref())
                .bind(json(&Details::of(callee))?)
                .bind(RowState::Waiting.word())
                .bind(callee.due.unwrap_or(now).millis())
                .bind(None::<String>)
        }
        Err((given, why)) => {
            let state = if *why == RowState::Duplicate.word() { RowState::Duplicate } else { RowState::Invalid };
            insert
                .bind(format!("#{place}"))
                .bind(given.expose())
                .bind(None::<String>)
                .bind(json(&Details::default())?)
                .bind(state.word())
                .bind(None::<i64>)
                .bind(*why)
        }
    };
    Ok(insert.bind(now.millis()).execute(conn).await? == 1)
}

/// [`crate::Store::end_import`]: `commit` makes its rows count; otherwise the next import removes them. Nothing is added
/// to a campaign that is over by now.
pub(crate) async fn end_import(conn: &mut Conn, import: &Import, commit: i64) -> Result<(), CampaignError> {
    let campaign = load(conn, &import.key).await?;
    if commit > 0 && campaign.state.is_over() {
        return Err(CampaignError::State(campaign.state));
    }
    let ended = query(
        "UPDATE campaigns SET imports = imports + $4, importing = NULL, importing_until = NULL
         WHERE account = $1 AND id = $2 AND importing = $3",
    )
    .bind(import.key.account.as_str())
    .bind(import.key.id.as_str())
    .bind(&import.token)
    .bind(commit)
    .execute(conn)
    .await?;
    if ended == 1 { Ok(()) } else { Err(CampaignError::Importing) }
}

/// [`crate::Store::claim_campaigns`].
pub(crate) async fn claim(conn: &mut Conn, me: &NodeIdentity, now: Moment) -> Result<u64, StoreError> {
    let leases = dialect::lease_clock(conn, now).await?;
    query(CLAIM).bind(&me.node).bind(me.epoch).bind(leases.millis()).execute(conn).await
}

/// [`crate::Store::leave_campaigns`].
pub(crate) async fn leave(conn: &mut Conn, me: &NodeIdentity) -> Result<u64, StoreError> {
    query("UPDATE campaigns SET owner = NULL, epoch = NULL WHERE finished IS NULL AND owner = $1 AND epoch = $2")
        .bind(&me.node)
        .bind(me.epoch)
        .execute(conn)
        .await
}

/// [`crate::Store::launch`].
pub(crate) async fn launch(
    conn: &mut Conn,
    me: &NodeIdentity,
    order: &Launch,
    now: Moment,
) -> Result<Launched, AdmitError> {
    let (account, id) = (order.key.account.as_str(), order.key.id.as_str());
    let call = order.admission.plan.id.to_string();
    let place = i64::try_from(order.row).unwrap_or(i64::MAX);
    dialect::lock_row(conn, "SELECT id FROM campaigns WHERE account = $1 AND id = $2", &[account, id]).await?;
    let taken = query(TAKE_ROW)
        .bind(account)
        .bind(id)
        .bind(place)
        .bind(i64::from(order.attempts))
        .bind(&call)
        .bind(now.millis())
        .bind(&me.node)
        .bind(me.epoch)
        .execute(&mut *conn)
        .await?;
    if taken != 1 {
        return Err(StoreError::NotOwner.into());
    }
    let judged = admission::judge(conn, &order.admission, now).await?;
    if let Some(opening) = judged.put_off(now) {
        // A call that waits for its hour would go on when the campaign is paused, and take a place among its calls.
        let reason = Some(Refusal::OutsideCallingHours);
        hand_back(conn, &order.admission.plan, (opening, reason), now).await?;
        return Ok(Launched::Later(opening));
    }
    if let Answer::Refused(refusal, _) = admission::carry_out(conn, &order.admission, judged, now).await?.done {
        // The row keeps the reason; everything of this try is undone.
        return Err(refusal.into());
    }
    query("INSERT INTO campaign_attempts (account, campaign, place, attempt, call) VALUES ($1, $2, $3, $4, $5)")
        .bind(account)
        .bind(id)
        .bind(place)
        .bind(i64::from(order.attempts) + 1)
        .bind(call)
        .execute(conn)
        .await?;
    Ok(Launched::Begun)
}

/// What its campaign says to a call that is about to be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// It is dialled.
    Go,
    /// Not now: its row is due then.
    Hold(Moment),
    /// It is not dialled any more, by whatever call.
    Gone,
}

/// Whether the campaign that a call was made for lets it be dialled; calls of none go. One whose row was given back is
/// nobody's.
pub(super) async fn word(conn: &mut Conn, plan: &CallPlan, now: Moment) -> Result<Word, StoreError> {
    if plan.campaign.is_none() {
        return Ok(Word::Go);
    }
    let mut select = query("SELECT ");
    select.push(CAMPAIGN_COLUMNS).push(
        " FROM campaigns WHERE account = $1 AND id = (SELECT campaign FROM campaign_attempts WHERE account = $1 AND call = $2)",
    );
    let row = select.bind(plan.account.as_str()).bind(plan.id.to_string()).fetch_optional(&mut *conn).await?;
    let Some(campaign) = row.as_ref().map(campaign_of).transpose()? else { return Ok(Word::Gone) };
    match campaign.state {
        CampaignState::Running => {}
        CampaignState::Paused => return Ok(Word::Hold(now)),
        CampaignState::Draft | CampaignState::Stopped | CampaignState::Done => return Ok(Word::Gone),
    }
    let guard = if campaign.settings.abandonment_guard.is_on() {
        let key = CampaignKey { account: campaign.account.clone(), id: campaign.id.clone() };
        let answers = counted(&answers_of(&key, now).fetch_one(conn).await?)?;
        Guard::of(answers.answered, answers.abandoned)
    } else {
        Guard::Clear
    };
    Ok(match campaign.hold(now, guard) {
        None => Word::Go,
        Some(Hold::NotYet(opening) | Hold::Closed(Some(opening))) => Word::Hold(opening),
        // The driver holds it, for as long as that lasts.
        Some(Hold::Closed(None) | Hold::Abandonment) => Word::Hold(now),
    })
}

/// Gives the row of a call that is not dialled back to its campaign; the call is to be ended, and never dialled. Calls of
/// no campaign have none. A row whose number is being erased stays with its call, and is cancelled with its end.
pub(super) async fn give_back(
    conn: &mut Conn,
    plan: &CallPlan,
    (due, reason): (Moment, Option<Refusal>),
    now: Moment,
) -> Result<(), StoreError> {
    if plan.campaign.is_none() || erasure::is_open(conn, &plan.account, plan.callee_dialled(), now).await? {
        return Ok(());
    }
    hand_back(conn, plan, (due, reason), now).await
}

async fn hand_back(
    conn: &mut Conn,
    plan: &CallPlan,
    (due, reason): (Moment, Option<Refusal>),
    now: Moment,
) -> Result<(), StoreError> {
    let Some(call) = &plan.campaign else { return Ok(()) };
    query(GIVE_BACK)
        .bind(plan.account.as_str())
        .bind(call.campaign.as_str())
        .bind(i64::try_from(call.row).unwrap_or(i64::MAX))
        .bind(plan.id.to_string())
        .bind(due.millis())
        .bind(reason.map(Refusal::id))
        .bind(now.millis())
        .execute(&mut *conn)
        .await?;
    query("DELETE FROM campaign_attempts WHERE account = $1 AND call = $2")
        .bind(plan.account.as_str())
        .bind(plan.id.to_string())
        .execute(conn)
        .await?;
    Ok(())
}

/// [`crate::Store::judge_row`]; `false`: the row has moved on meanwhile.
pub(crate) async fn judge_row(
    conn: &mut Conn,
    key: &CampaignKey,
    verdict: &Verdict,
    now: Moment,
) -> Result<bool, StoreError> {
    let changed = query(
        "UPDATE campaign_rows SET state = $5, due = $6, reason = $7, updated = $8
         WHERE account = $1 AND campaign = $2 AND place = $3 AND attempts = $4 AND due IS NOT NULL",
    )
    .bind(key.account.as_str())
    .bind(key.id.as_str())
    .bind(i64::try_from(verdict.row).unwrap_or(i64::MAX))
    .bind(i64::from(verdict.attempts))
    .bind(verdict.state.word())
    .bind(verdict.due.map(Moment::millis))
    .bind(&verdict.reason)
    .bind(now.millis())
    .execute(conn)
    .await?;
    Ok(changed == 1)
}

/// What the end of a call means for the row that it was made for, in the transaction that ends it. Calls of no campaign
/// cost one look into an index.
pub(super) async fn settle_call(
    conn: &mut Conn,
    key: &Key,
    (cause, ended): (HangupCause, Moment),
) -> Result<(), StoreError> {
    let attempt = query("SELECT campaign, place, attempt FROM campaign_attempts WHERE account = $1 AND call = $2")
        .bind(key.0.as_str())
        .bind(key.1.to_string())
        .fetch_optional(&mut *conn)
        .await?;
    let Some(attempt) = attempt else { return Ok(()) };
    let id: CampaignId = parsed("campaign id", attempt.read::<&str>("campaign")?)?;
    let row = query("SELECT settings, state FROM campaigns WHERE account = $1 AND id = $2")
        .bind(key.0.as_str())
        .bind(id.as_str())
        .fetch_one(&mut *conn)
        .await?;
    let settings: Settings = super::rows::of_json("campaign", row.read("settings")?)?;
    let state = CampaignState::of_word(row.read("state")?);
    let state = state.ok_or_else(|| StoreError::unreadable("campaign", "unknown state"))?;
    let contact = contact(conn, key, ended).await?;
    let number = unsigned("attempt", attempt.read("attempt")?)?;
    let mut settled = settle(&Attempt { number, cause, contact, ended }, &settings.retry, state, settings.deadline);
    if settled.due.is_some() && is_being_erased(conn, key, ended).await? {
        settled = Settled { state: RowState::Cancelled, due: None };
    }
    query(SETTLE)
        .bind(key.0.as_str())
        .bind(id.as_str())
        .bind(attempt.read::<i64>("place")?)
        .bind(key.1.to_string())
        .bind(settled.state.word())
        .bind(settled.due.map(Moment::millis))
        .bind(cause_word(cause)?)
        .bind(ended.millis())
        .execute(&mut *conn)
        .await?;
    let abandoned = match contact {
        Contact::None => return Ok(()),
        Contact::Connected => 0,
        Contact::Abandoned => 1,
    };
    query(COUNT_DAY).bind(key.0.as_str()).bind(id.as_str()).bind(day_of(ended)).bind(abandoned).execute(conn).await?;
    Ok(())
}

async fn is_being_erased(conn: &mut Conn, key: &Key, now: Moment) -> Result<bool, StoreError> {
    let row = query("SELECT callee FROM calls WHERE account = $1 AND id = $2").bind(key.0.as_str());
    let row = row.bind(key.1.to_string()).fetch_one(&mut *conn).await?;
    erasure::is_open(conn, &key.0, row.read("callee")?, now).await
}

/// Whether somebody answered and was spoken to; the journal up to here is in this transaction.
async fn contact(conn: &mut Conn, key: &Key, ended: Moment) -> Result<Contact, StoreError> {
    let rows = query("SELECT seq, at, event FROM events WHERE account = $1 AND call = $2 ORDER BY seq LIMIT 200")
        .bind(key.0.as_str())
        .bind(key.1.to_string())
        .fetch_all(conn)
        .await?;
    let journal = rows.iter().map(super::reading::recorded_of).collect::<Result<Vec<Recorded>, StoreError>>()?;
    Ok(Contact::of(&journal, ended))
}
