use std::collections::BTreeMap;

use domain::Timestamp;
use sqlx::PgConnection;

use super::{failure::Result, text};

use crate::{
    Happening, Hour, Sample, codec,
    history::{self, KEPT, hour_of, hours, started},
};

/// It happened so many times more. At the end of a transaction, as everything that is counted in parts.
pub(super) async fn tally(conn: &mut PgConnection, what: Happening, n: u64, now: Timestamp) -> Result<()> {
    if n > 0 {
        sqlx::query(
            "INSERT INTO tally (hour, what, part, n) VALUES ($1, $2, pg_backend_pid() % 64, $3)
             ON CONFLICT (hour, what, part) DO UPDATE SET n = tally.n + excluded.n",
        )
        .bind(hour_of(now))
        .bind(what.as_str())
        .bind(codec::signed(n))
        .execute(conn)
        .await?;
    }
    Ok(())
}

/// Something came from each of these.
pub(super) async fn came(conn: &mut PgConnection, sources: &BTreeMap<&str, Timestamp>) -> Result<()> {
    if !sources.is_empty() {
        sqlx::query(
            "INSERT INTO source (name, part, last_at)
             SELECT n.name, pg_backend_pid() % 64, n.at FROM unnest($1::text[], $2::bigint[]) AS n (name, at)
             ORDER BY n.name
             ON CONFLICT (name, part) DO UPDATE SET last_at = greatest(source.last_at, excluded.last_at)",
        )
        .bind(sources.keys().map(|name| text(name)).collect::<Vec<_>>())
        .bind(sources.values().map(|at| at.0).collect::<Vec<_>>())
        .execute(conn)
        .await?;
    }
    Ok(())
}

pub(super) async fn sample(conn: &mut PgConnection, now: Timestamp) -> Result<bool> {
    let hour = hour_of(now);
    let first = sqlx::query(
        "INSERT INTO setting (name, value) VALUES ('sampled', $1) ON CONFLICT (name) DO UPDATE SET value = $1
         WHERE setting.value::bigint < $2",
    )
    .bind(hour.to_string())
    .bind(hour)
    .execute(&mut *conn)
    .await?;
    if first.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO sample (hour, store, bytes) SELECT $1, store, sum(bytes) FROM usage GROUP BY store",
    )
    .bind(hour)
    .execute(&mut *conn)
    .await?;
    for (old, before) in [
        ("DELETE FROM sample WHERE hour < $1", hour - KEPT),
        ("DELETE FROM tally WHERE hour < $1", hour - KEPT),
        ("DELETE FROM source WHERE last_at < $1", started(hour - KEPT).0),
    ] {
        sqlx::query(old).bind(before).execute(&mut *conn).await?;
    }
    Ok(true)
}

pub(super) async fn samples(conn: &mut PgConnection, since: Timestamp) -> Result<Vec<Sample>> {
    let found: Vec<(i64, String, i64)> =
        sqlx::query_as("SELECT hour, store, bytes FROM sample WHERE hour >= $1 ORDER BY hour, store")
            .bind(history::first_since(since))
            .fetch_all(conn)
            .await?;
    Ok(found.into_iter().map(history::sample).collect())
}

pub(super) async fn hourly(conn: &mut PgConnection, since: Timestamp) -> Result<Vec<Hour>> {
    let found = sqlx::query_as(
        "SELECT hour, what, sum(n)::bigint FROM tally WHERE hour >= $1 GROUP BY hour, what ORDER BY hour",
    )
    .bind(history::first_since(since))
    .fetch_all(conn)
    .await?;
    Ok(hours(found)?)
}

pub(super) async fn last_by_source(
    conn: &mut PgConnection,
    since: Timestamp,
) -> Result<BTreeMap<String, Timestamp>> {
    let found: Vec<(String, i64)> =
        sqlx::query_as("SELECT name, max(last_at) FROM source GROUP BY name HAVING max(last_at) >= $1")
            .bind(since.0)
            .fetch_all(conn)
            .await?;
    Ok(found.into_iter().map(|(name, at)| (name, Timestamp(at))).collect())
}
