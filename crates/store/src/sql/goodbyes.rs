//! The statements about far ends that have not answered a goodbye yet. The row goes when the goodbye is answered or given up;
//! one whose owner died before that is taken over, so that the goodbye is said again. Who owns the call stays as it is: its
//! recording lies there.

use super::leases::{Dead, owner_is_dead};
use super::rows::{json, key_of, of_json};
use super::{Conn, Row, dialect, query};
use crate::calls::Key;
use crate::{NodeIdentity, StoreError};
use callwright_domain::{DialIntent, Moment};

const TAKE_OVER: &str =
    concat!("WITH taken AS MATERIALIZED (SELECT account, call FROM goodbyes WHERE ", owner_is_dead!("goodbyes"));

const TAKE_OVER_TAKEN: &str = ") UPDATE goodbyes SET owner = $1, epoch = $2
    WHERE (account, call) IN (SELECT account, call FROM taken) RETURNING account, call AS id";

/// [`crate::Store::owe_goodbye`]. The dialog is kept with the call's intent, which is what an erasure knows of.
pub(crate) async fn owe(
    conn: &mut Conn,
    me: &NodeIdentity,
    (key, dialog): (&Key, Option<&str>),
) -> Result<(), StoreError> {
    if let Some(dialog) = dialog {
        keep(conn, key, dialog).await?;
    }
    let owe = query(
        "INSERT INTO goodbyes (account, call, owner, epoch) VALUES ($1, $2, $3, $4)
         ON CONFLICT (account, call) DO UPDATE SET owner = excluded.owner, epoch = excluded.epoch",
    );
    owe.bind(key.0.as_str()).bind(key.1.to_string()).bind(&me.node).bind(me.epoch).execute(conn).await?;
    Ok(())
}

async fn keep(conn: &mut Conn, key: &Key, dialog: &str) -> Result<(), StoreError> {
    let select = query("SELECT intent FROM calls WHERE account = $1 AND id = $2 AND dialog IS NULL");
    let row = select.bind(key.0.as_str()).bind(key.1.to_string()).fetch_optional(&mut *conn).await?;
    let intent: Option<&str> = row.as_ref().map(|row| row.read("intent")).transpose()?.flatten();
    let Some(mut intent) = intent.map(|text| of_json::<DialIntent>("dial intent", text)).transpose()? else {
        return Ok(());
    };
    dialog.clone_into(&mut intent.dialog);
    let update = query("UPDATE calls SET intent = $3 WHERE account = $1 AND id = $2");
    update.bind(key.0.as_str()).bind(key.1.to_string()).bind(json(&intent)?).execute(conn).await?;
    Ok(())
}

/// [`crate::Store::goodbye_said`].
pub(crate) async fn said(conn: &mut Conn, me: &NodeIdentity, key: &Key) -> Result<(), StoreError> {
    let said = query("DELETE FROM goodbyes WHERE account = $1 AND call = $2 AND owner = $3 AND epoch = $4");
    said.bind(key.0.as_str()).bind(key.1.to_string()).bind(&me.node).bind(me.epoch).execute(conn).await?;
    Ok(())
}

/// The calls whose far ends dead owners had still to tell; they are ours to tell from now on. What is known no more of a
/// call that is gone cannot be told.
pub(super) async fn take_over(
    conn: &mut Conn,
    me: &NodeIdentity,
    (whose, leases): (Dead, Moment),
) -> Result<Vec<Row>, StoreError> {
    let mut take = query(TAKE_OVER);
    take.push(whose.condition()).push(dialect::skip_locked(conn.backend())).push(TAKE_OVER_TAKEN);
    let keys = take.bind(&me.node).bind(me.epoch).bind(leases.millis()).fetch_all(&mut *conn).await?;
    let mut owed = Vec::with_capacity(keys.len());
    for row in &keys {
        let key = key_of(row)?;
        let call = query(
            "SELECT account, id, plan, state, cause, intent, dialog FROM calls
             WHERE account = $1 AND id = $2 AND ended IS NOT NULL",
        );
        match call.bind(key.0.as_str()).bind(key.1.to_string()).fetch_optional(&mut *conn).await? {
            Some(call) => owed.push(call),
            None => said(conn, me, &key).await?,
        }
    }
    Ok(owed)
}
