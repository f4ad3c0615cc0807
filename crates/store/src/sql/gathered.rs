//! What the verbs of one transaction on a shared database do together: what each of them wants to know of its call is
//! asked for in one statement, and the rows that they insert wait for the end, to be written in one. Hides this from the
//! verbs: before any other statement the waiting rows are written, and after one that writes, nothing is known beforehand.
//! The embedded database has none of it, a statement there is a function call.

use super::facts::{Ask, Counted};
use super::query::{Query, as_one, moved_behind};
use crate::StoreError;
use sqlx::PgConnection;
use std::collections::BTreeMap;
use std::mem;

/// Calls that are asked for, or written, in one statement. The numbers are powers of two, so that few statements differ.
const TOGETHER: usize = 32;

/// The largest power of two that is not above `wanted` or [`TOGETHER`].
const fn share(wanted: usize) -> usize {
    match wanted {
        0 => 0,
        _ if wanted >= TOGETHER => TOGETHER,
        _ => 1 << wanted.ilog2(),
    }
}

/// Of a transaction; by default nothing is gathered.
#[derive(Default)]
pub(crate) struct Gathered(Option<Gathering>);

#[derive(Default)]
struct Gathering {
    /// What verbs to come will ask.
    asks: Vec<Ask>,
    /// What they will hear, by call, with how many of `taken` it knows of.
    known: BTreeMap<String, (Counted, usize)>,
    /// Calls that have taken a place without its having been written.
    taken: Vec<Ask>,
    /// Rows of a verb each.
    rows: Vec<Vec<Query>>,
}

impl Gathered {
    /// For a transaction of verbs that will ask `asks`.
    pub(super) fn of(asks: Vec<Ask>) -> Self {
        Self(Some(Gathering { asks, ..Gathering::default() }))
    }

    /// Whether rows may wait.
    pub(super) const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Rows to be written later, with `taken` the call that takes a place by them. The next statement or the
    /// transaction's end writes them. Only where it is on.
    pub(super) fn add(&mut self, rows: Vec<Query>, taken: Option<Ask>) {
        if let Some(gathering) = &mut self.0 {
            gathering.rows.push(rows);
            gathering.taken.extend(taken);
        }
    }

    /// What is known of a call beforehand, with the places that were taken since.
    pub(super) fn known(&self, own: &Ask) -> Option<Counted> {
        let gathering = self.0.as_ref()?;
        let (counted, knows) = gathering.known.get(&own.call)?;
        let since = gathering.taken.get(*knows..).unwrap_or_default();
        Some(since.iter().fold(*counted, |counted, taken| counted.with(own, taken)))
    }

    /// What else may be asked together with `own`, and is not asked again.
    pub(super) fn asked_with(&mut self, own: &Ask) -> Vec<Ask> {
        let Some(gathering) = &mut self.0 else { return Vec::new() };
        let (mut alike, others): (Vec<Ask>, _) = mem::take(&mut gathering.asks)
            .into_iter()
            .filter(|ask| ask.call != own.call)
            .partition(|ask| ask.is_like(own));
        gathering.asks = others;
        gathering.asks.extend(alike.split_off(share(alike.len() + 1) - 1));
        alike
    }

    /// The answer to what was asked for a verb to come.
    pub(super) fn learn(&mut self, call: String, counted: Counted) {
        if let Some(gathering) = &mut self.0 {
            let knows = gathering.taken.len();
            gathering.known.insert(call, (counted, knows));
        }
    }

    /// To be called before `query` is carried out.
    pub(super) async fn before(&mut self, query: &Query, conn: &mut PgConnection) -> Result<(), StoreError> {
        if self.0.is_none() || query.is_beside() {
            return Ok(());
        }
        self.write(conn).await?;
        if let Some(gathering) = self.0.as_mut().filter(|gathering| !gathering.known.is_empty() && !query.only_reads())
        {
            *gathering = Gathering::default();
        }
        Ok(())
    }

    /// Writes the rows that wait.
    pub(super) async fn write(&mut self, conn: &mut PgConnection) -> Result<(), StoreError> {
        let Some(gathering) = &mut self.0 else { return Ok(()) };
        let mut rest = mem::take(&mut gathering.rows);
        while !rest.is_empty() {
            let first = rest.drain(..share(rest.len())).flatten();
            if let Some(query) = as_one(merged(first)) {
                query.postgres()?.execute(&mut *conn).await?;
            }
        }
        Ok(())
    }
}

/// Statements that differ in their values alone as one each, in the order in which they first come.
fn merged(queries: impl IntoIterator<Item = Query>) -> Vec<Query> {
    let mut alike: Vec<Vec<Query>> = Vec::new();
    for query in queries {
        match alike.iter_mut().find(|others| others.first().is_some_and(|other| other.sql() == query.sql())) {
            Some(others) => others.push(query),
            None => alike.push(vec![query]),
        }
    }
    alike.into_iter().flat_map(rows_of_one).collect()
}

/// Several times the same `INSERT .. VALUES (..)` as one with several rows. One of another form is left as it is.
fn rows_of_one(alike: Vec<Query>) -> Vec<Query> {
    let (1.., Some(first)) = (alike.len(), alike.first()) else { return alike };
    let Some((head, row, tail)) = parts(first.sql()) else { return alike };
    let (mut sql, mut values) = (String::from(head), Vec::new());
    for (place, query) in alike.iter().enumerate() {
        if place > 0 {
            sql.push_str(", ");
        }
        sql.push_str(&moved_behind(row, values.len()));
        values.extend(query.values().iter().cloned());
    }
    sql.push_str(tail);
    vec![Query::of(sql, values)]
}

/// What stands before the row of values, the row, and what comes after it.
fn parts(sql: &str) -> Option<(&str, &str, &str)> {
    let begins = sql.find("VALUES (")? + "VALUES ".len();
    let ends = begins + sql.get(begins..)?.find(')')? + 1;
    let (head, row, tail) = (sql.get(..begins)?, sql.get(begins..ends)?, sql.get(ends..)?);
    (!row[1..].contains('(') && !head.contains('$') && !tail.contains('$')).then_some((head, row, tail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::query;

    #[test]
    fn rows_of_the_same_statement_are_one() {
        let call = |id: &str| query("INSERT INTO a (b, c) VALUES ($1, $2) ON CONFLICT DO NOTHING").bind(id).bind(7);
        let event = |id: &str| query("INSERT INTO e (f) VALUES ($1)").bind(id);
        let one = merged([call("x"), event("x"), call("y"), event("y"), call("z")]);
        let said: Vec<_> = one.iter().map(|query| (query.sql(), query.values().len())).collect();
        assert_eq!(
            said,
            [
                ("INSERT INTO a (b, c) VALUES ($1, $2), ($3, $4), ($5, $6) ON CONFLICT DO NOTHING", 6),
                ("INSERT INTO e (f) VALUES ($1), ($2)", 2)
            ]
        );
    }

    #[test]
    fn another_form_stays_as_it_is() {
        for sql in [
            "UPDATE a SET b = $1",
            "INSERT INTO a (b) VALUES ($1) RETURNING $2",
            "INSERT INTO a (b) VALUES (lower($1))",
            "INSERT INTO a (b) SELECT $1",
        ] {
            let many = merged([query(sql).bind("x"), query(sql).bind("y")]);
            assert_eq!(many.iter().map(Query::sql).collect::<Vec<_>>(), [sql, sql]);
        }
    }

    #[test]
    fn shares_are_powers_of_two() {
        let shares: Vec<usize> = [0, 1, 2, 3, 4, 7, 8, 31, 32, 33, 64].into_iter().map(share).collect();
        assert_eq!(shares, [0, 1, 2, 2, 4, 4, 8, 16, 32, 32, 32]);
    }
}
