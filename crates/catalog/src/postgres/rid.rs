//! Row ids: the date in milliseconds, and 15 bits that tell recordings of one date apart. Newest first is their
//! order, and a page's cursor is one of them.

use std::collections::BTreeSet;

use domain::Timestamp;
use sqlx::PgConnection;

use super::failure::Result;
use crate::intake;

/// With these the last date of the year 9999 still fits.
const BITS: u32 = 15;

pub(super) fn date(rid: i64) -> i64 {
    rid >> BITS
}

/// The lowest that a recording of this date may have.
pub(super) fn first(date: i64) -> i64 {
    date << BITS
}

/// One for each date, that nobody has.
///
/// The low bits are handed out in turn, by a sequence that no transaction waits for: that two have the same takes
/// 32,768 recordings of one date.
pub(super) async fn hand_out(conn: &mut PgConnection, dated: &[Timestamp]) -> Result<Vec<i64>> {
    let first: Vec<i64> = dated.iter().map(|t| intake::date(*t) << BITS).collect();
    let turns: Vec<(i64, bool)> = sqlx::query_as(
        "SELECT n.rid, EXISTS (SELECT 1 FROM recording r WHERE r.rid = n.rid)
         FROM (SELECT first + nextval('recording_turn') AS rid, place
               FROM unnest($1::bigint[]) WITH ORDINALITY AS f (first, place)) AS n
         ORDER BY n.place",
    )
    .bind(first)
    .fetch_all(&mut *conn)
    .await?;
    let mut handed_out = BTreeSet::new();
    let mut rids = Vec::with_capacity(turns.len());
    for (mut rid, mut taken) in turns {
        while taken || handed_out.contains(&rid) {
            rid = next_free(conn, rid + 1).await?;
            taken = false;
        }
        handed_out.insert(rid);
        rids.push(rid);
    }
    Ok(rids)
}

async fn next_free(conn: &mut PgConnection, from: i64) -> Result<i64> {
    Ok(sqlx::query_scalar(
        "SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM recording WHERE rid = $1) THEN $1 ELSE (
             SELECT rid + 1 FROM recording r
             WHERE rid >= $1 AND NOT EXISTS (SELECT 1 FROM recording n WHERE n.rid = r.rid + 1)
             ORDER BY rid LIMIT 1) END",
    )
    .bind(from)
    .fetch_one(conn)
    .await?)
}
