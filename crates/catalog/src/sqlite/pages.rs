use domain::{Facts, Kind, Recording, RecordingId, Timestamp};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::rows;
use crate::{
    Eldest, Result, codec,
    pages::{self, Found},
};

pub(super) async fn facts_page(
    conn: &mut SqliteConnection,
    after: Option<RecordingId>,
    limit: u32,
) -> Result<Vec<Facts>> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let recordings = recordings(
        conn,
        concat!(
            "SELECT ",
            rows::recording_columns!(),
            " FROM recording r WHERE r.id > ?1 ORDER BY r.id LIMIT ?2"
        ),
        &after,
        limit,
    )
    .await?;
    let Some(last) = recordings.last().map(|r| r.id.to_string()) else { return Ok(Vec::new()) };
    let sessions: Vec<RecordingId> =
        recordings.iter().filter(|r| r.kind == Kind::Session).map(|r| r.id).collect();
    let members = if sessions.is_empty() {
        Vec::new()
    } else {
        let members = concat!(
            "SELECT ",
            rows::recording_columns!(),
            " FROM recording r WHERE r.session IN (SELECT value FROM json_each(?1))
             ORDER BY r.accepted_at, r.id LIMIT ?2"
        );
        self::recordings(conn, members, &codec::to_json(&sessions), u32::MAX).await?
    };
    let found = Found {
        done: of(conn, DONE, &after, &last).await?,
        parked: of(conn, PARKED, &after, &last).await?,
        renditions: of(conn, RENDITIONS, &after, &last).await?,
        copies: of(conn, COPIES, &after, &last).await?,
        members,
    };
    pages::facts(recordings, &found)
}

async fn recordings(
    conn: &mut SqliteConnection,
    sql: &'static str,
    which: &str,
    limit: u32,
) -> Result<Vec<Recording>> {
    let found = sqlx::query(sql).bind(which).bind(limit).fetch_all(conn).await?;
    found.iter().map(rows::recording).collect()
}

/// Everything of this kind that belongs to recordings after the one and up to the other.
async fn of(
    conn: &mut SqliteConnection,
    sql: &'static str,
    after: &str,
    last: &str,
) -> Result<Vec<SqliteRow>> {
    Ok(sqlx::query(sql).bind(after).bind(last).fetch_all(conn).await?)
}

pub(super) const DONE: &str = "
SELECT recording, version, group_concat(id, '') AS ids FROM job INDEXED BY job_done
WHERE state = 'done' AND recording > ?1 AND recording <= ?2 GROUP BY recording, version ORDER BY recording, version";
pub(super) const PARKED: &str = "
SELECT recording, version, id, error FROM job INDEXED BY job_parked
WHERE state = 'parked' AND recording > ?1 AND recording <= ?2 ORDER BY recording";
const RENDITIONS: &str = "
SELECT recording, body FROM rendition WHERE recording > ?1 AND recording <= ?2 ORDER BY recording, name";
const COPIES: &str = "
SELECT recording, body FROM copy WHERE recording > ?1 AND recording <= ?2 AND leaving IS NULL ORDER BY recording, store";

pub(super) async fn eldest(
    conn: &mut SqliteConnection,
    verified_before: Timestamp,
    limit: u32,
) -> Result<Vec<Eldest>> {
    let found = sqlx::query(ELDEST).bind(verified_before.0).bind(limit).fetch_all(conn).await?;
    found.iter().map(rows::eldest).collect()
}

/// Two walks along indexes, each as far as the limit.
pub(super) const ELDEST: &str = "
SELECT * FROM (SELECT verified_at, id AS recording, store FROM recording
               WHERE verified_at < ?1 ORDER BY verified_at, id LIMIT ?2)
UNION ALL
SELECT * FROM (SELECT verified_at, recording, store FROM copy
               WHERE verified_at < ?1 ORDER BY verified_at, recording, store LIMIT ?2)
ORDER BY verified_at, recording, store LIMIT ?2";
