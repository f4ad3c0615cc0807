//! Written messages: kept, listed by thread and by person, removed.

use super::rows::{parsed, unsigned};
use super::{Conn, Pool, Row, query};
use crate::StoreError;
use crate::threads::{First, ThreadKey, ThreadSpan};
use callwright_domain::chat::{Archive, Author, ChatMessage, MessageKind, UserId};
use callwright_domain::{AccountId, AgentId, Moment, Pii, ThreadId};

const SELECT: &str =
    "SELECT account, thread, id, round, agent, person, author, kind, archived, content, at FROM chat_messages";

/// [`crate::Store::keep_chat`].
pub(crate) async fn keep(conn: &mut Conn, message: &ChatMessage) -> Result<(), StoreError> {
    let kept = query(
        "INSERT INTO chat_messages (account, thread, id, round, agent, person, author, kind, archived, content, at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (account, thread, id) DO NOTHING",
    )
    .bind(message.account.as_str())
    .bind(message.thread.as_str())
    .bind(format!("{:032x}", message.id))
    .bind(format!("{:032x}", message.round))
    .bind(message.agent.as_str())
    .bind(message.user.as_str())
    .bind(message.author.word())
    .bind(message.kind.word())
    .bind(i64::from(message.archive == Archive::Kept))
    .bind(message.text.expose())
    .bind(message.at.millis())
    .execute(conn)
    .await?;
    if kept == 1 { Ok(()) } else { Err(StoreError::Taken { what: "the message's id" }) }
}

/// [`crate::Store::delete_chat`].
pub(crate) async fn delete(
    conn: &mut Conn,
    account: &AccountId,
    thread: &ThreadId,
    id: u128,
) -> Result<bool, StoreError> {
    let gone = query("DELETE FROM chat_messages WHERE account = $1 AND thread = $2 AND id = $3")
        .bind(account.as_str())
        .bind(thread.as_str())
        .bind(format!("{id:032x}"))
        .execute(conn)
        .await?;
    Ok(gone > 0)
}

/// Removes messages that were written at or before a moment, at most `limit`: those of `agent`, or of all agents but
/// `others`. How many.
pub(super) async fn expire(
    conn: &mut Conn,
    account: &AccountId,
    (agent, others): (Option<&AgentId>, &[AgentId]),
    (until, limit): (Moment, u32),
) -> Result<u64, StoreError> {
    let mut delete = query("DELETE FROM chat_messages WHERE account = ");
    delete
        .push_bind(account.as_str())
        .push(" AND (thread, id) IN (SELECT thread, id FROM chat_messages WHERE account = ");
    delete.push_bind(account.as_str()).push(" AND at <= ").push_bind(until.millis());
    if let Some(agent) = agent {
        delete.push(" AND agent = ").push_bind(agent.as_str());
    }
    for other in others {
        delete.push(" AND agent <> ").push_bind(other.as_str());
    }
    delete.push(" ORDER BY at, id LIMIT ").push_bind(i64::from(limit)).push(")");
    delete.execute(conn).await
}

/// [`crate::Reader::thread_messages`].
pub(crate) async fn of_thread(
    pool: &Pool,
    key: &ThreadKey,
    span: ThreadSpan,
    after: Option<(Moment, u128)>,
    limit: u32,
) -> Result<Vec<ChatMessage>, StoreError> {
    let mut select = query(SELECT);
    select.push(" WHERE account = $1 AND thread = $2 AND archived = 1 AND at >= $3 AND at <= $4");
    let mut select =
        select.bind(key.account.as_str()).bind(key.thread.as_str()).bind(span.from.millis()).bind(span.until.millis());
    if let Some((at, id)) = after {
        select = select.bind(at.millis()).bind(format!("{id:032x}"));
        select.push(match span.first {
            First::Newest => " AND (at < $5 OR (at = $5 AND id < $6))",
            First::Oldest => " AND (at > $5 OR (at = $5 AND id > $6))",
        });
    }
    select.push(match span.first {
        First::Newest => " ORDER BY at DESC, id DESC LIMIT ",
        First::Oldest => " ORDER BY at, id LIMIT ",
    });
    select.push_bind(i64::from(limit));
    select.fetch_all(pool).await?.iter().map(message_of).collect()
}

/// [`crate::Reader::inbox`].
pub(crate) async fn of_user(
    pool: &Pool,
    (account, agent, user): (&AccountId, &AgentId, &UserId),
    (after, id): (Moment, u128),
    limit: u32,
) -> Result<Vec<ChatMessage>, StoreError> {
    let mut select = query(SELECT);
    select.push(
        " WHERE account = $1 AND agent = $2 AND person = $3 AND (at > $4 OR (at = $4 AND id > $5))
          ORDER BY at, id LIMIT $6",
    );
    let rows = select
        .bind(account.as_str())
        .bind(agent.as_str())
        .bind(user.as_str())
        .bind(after.millis())
        .bind(format!("{id:032x}"))
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await?;
    rows.iter().map(message_of).collect()
}

fn message_of(row: &Row) -> Result<ChatMessage, StoreError> {
    let unknown = |what| StoreError::unreadable(what, "unknown word");
    let bits = |name: &'static str| {
        u128::from_str_radix(row.read::<&str>(name)?, 16).map_err(|why| StoreError::unreadable("message id", why))
    };
    let archived: u8 = unsigned("archived", row.read("archived")?)?;
    Ok(ChatMessage {
        account: parsed("account id", row.read("account")?)?,
        thread: parsed("thread id", row.read("thread")?)?,
        id: bits("id")?,
        round: bits("round")?,
        agent: parsed("agent id", row.read("agent")?)?,
        user: parsed("user id", row.read("person")?)?,
        author: Author::of_word(row.read("author")?).ok_or_else(|| unknown("author"))?,
        kind: MessageKind::of_word(row.read("kind")?).ok_or_else(|| unknown("message kind"))?,
        archive: if archived == 1 { Archive::Kept } else { Archive::Passing },
        text: Pii::new(row.read("content")?),
        at: Moment(row.read("at")?),
    })
}
