use std::collections::BTreeMap;

use domain::Timestamp;
use sqlx::SqliteConnection;

use crate::{
    Happening, Hour, Result, Sample, codec,
    history::{self, KEPT, hour_of, hours, started},
};

/// It happened so many times more.
pub(super) async fn tally(
    conn: &mut SqliteConnection,
    what: Happening,
    n: u64,
    now: Timestamp,
) -> Result<()> {
    if n > 0 {
        sqlx::query(
            "INSERT INTO tally (hour, what, n) VALUES (?, ?, ?)
             ON CONFLICT (hour, what) DO UPDATE SET n = n + excluded.n",
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
pub(super) async fn came(conn: &mut SqliteConnection, sources: &BTreeMap<&str, Timestamp>) -> Result<()> {
    for (name, at) in sources {
        sqlx::query(
            "INSERT INTO source (name, last_at) VALUES (?, ?)
             ON CONFLICT (name) DO UPDATE SET last_at = max(last_at, excluded.last_at)",
        )
        .bind(name)
        .bind(at.0)
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

pub(super) async fn sample(conn: &mut SqliteConnection, now: Timestamp) -> Result<bool> {
    let hour = hour_of(now);
    let first = sqlx::query(
        "INSERT INTO setting (name, value) VALUES ('sampled', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1
         WHERE CAST(value AS INTEGER) < ?2",
    )
    .bind(hour.to_string())
    .bind(hour)
    .execute(&mut *conn)
    .await?;
    if first.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query("INSERT OR REPLACE INTO sample (hour, store, bytes) SELECT ?, store, bytes FROM usage")
        .bind(hour)
        .execute(&mut *conn)
        .await?;
    for (old, before) in [
        ("DELETE FROM sample WHERE hour < ?", hour - KEPT),
        ("DELETE FROM tally WHERE hour < ?", hour - KEPT),
        ("DELETE FROM source WHERE last_at < ?", started(hour - KEPT).0),
    ] {
        sqlx::query(old).bind(before).execute(&mut *conn).await?;
    }
    Ok(true)
}

pub(super) async fn samples(conn: &mut SqliteConnection, since: Timestamp) -> Result<Vec<Sample>> {
    let found: Vec<(i64, String, i64)> =
        sqlx::query_as("SELECT hour, store, bytes FROM sample WHERE hour >= ? ORDER BY hour, store")
            .bind(history::first_since(since))
            .fetch_all(conn)
            .await?;
    Ok(found.into_iter().map(history::sample).collect())
}

pub(super) async fn hourly(conn: &mut SqliteConnection, since: Timestamp) -> Result<Vec<Hour>> {
    let found = sqlx::query_as("SELECT hour, what, n FROM tally WHERE hour >= ? ORDER BY hour")
        .bind(history::first_since(since))
        .fetch_all(conn)
        .await?;
    hours(found)
}

pub(super) async fn last_by_source(
    conn: &mut SqliteConnection,
    since: Timestamp,
) -> Result<BTreeMap<String, Timestamp>> {
    let found: Vec<(String, i64)> = sqlx::query_as("SELECT name, last_at FROM source WHERE last_at >= ?")
        .bind(since.0)
        .fetch_all(conn)
        .await?;
    Ok(found.into_iter().map(|(name, at)| (name, Timestamp(at))).collect())
}
