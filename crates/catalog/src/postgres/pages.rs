use domain::{Facts, Kind, Recording, RecordingId, Timestamp};
use sqlx::{PgConnection, postgres::PgRow};

use super::{failure::Result, rows};
use crate::{
    Eldest,
    pages::{self, Found},
};

pub(super) async fn facts_page(
    conn: &mut PgConnection,
    after: Option<RecordingId>,
    limit: u32,
) -> Result<Vec<Facts>> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let found = sqlx::query(concat!(
        "SELECT ",
        rows::recording_columns!(),
        " FROM recording r WHERE r.id > $1 ORDER BY r.id LIMIT $2"
    ))
    .bind(&after)
    .bind(i64::from(limit))
    .fetch_all(&mut *conn)
    .await?;
    let recordings: Vec<Recording> = found.iter().map(rows::recording).collect::<crate::Result<_>>()?;
    let Some(last) = recordings.last().map(|r| r.id.to_string()) else { return Ok(Vec::new()) };
    let sessions: Vec<String> =
        recordings.iter().filter(|r| r.kind == Kind::Session).map(|r| r.id.to_string()).collect();
    let members = if sessions.is_empty() {
        Vec::new()
    } else {
        let members = concat!(
            "SELECT ",
            rows::recording_columns!(),
            " FROM recording r WHERE r.session = ANY($1) ORDER BY r.accepted_at, r.id"
        );
        let found = sqlx::query(members).bind(sessions).fetch_all(&mut *conn).await?;
        found.iter().map(rows::recording).collect::<crate::Result<_>>()?
    };
    let found = Found {
        done: of(conn, DONE, &after, &last).await?,
        parked: of(conn, PARKED, &after, &last).await?,
        renditions: of(conn, RENDITIONS, &after, &last).await?,
        copies: of(conn, COPIES, &after, &last).await?,
        members,
    };
    Ok(pages::facts(recordings, &found)?)
}

/// Everything of this kind that belongs to recordings after the one and up to the other.
async fn of(conn: &mut PgConnection, sql: &'static str, after: &str, last: &str) -> Result<Vec<PgRow>> {
    Ok(sqlx::query(sql).bind(after).bind(last).fetch_all(conn).await?)
}

pub(super) const DONE: &str = "
SELECT recording, version, string_agg(id, '') AS ids FROM job
WHERE state = 'done' AND recording > $1 AND recording <= $2 GROUP BY recording, version ORDER BY recording, version";
pub(super) const PARKED: &str = "
SELECT recording, version, id, error FROM job
WHERE state = 'parked' AND recording > $1 AND recording <= $2 ORDER BY recording";
const RENDITIONS: &str = "
SELECT recording, body FROM rendition WHERE recording > $1 AND recording <= $2 ORDER BY recording, name";
const COPIES: &str = "
SELECT recording, body FROM copy WHERE recording > $1 AND recording <= $2 AND leaving IS NULL ORDER BY recording, store";

pub(super) async fn eldest(
    conn: &mut PgConnection,
    verified_before: Timestamp,
    limit: u32,
) -> Result<Vec<Eldest>> {
    let found = sqlx::query(ELDEST).bind(verified_before.0).bind(i64::from(limit)).fetch_all(conn).await?;
    Ok(found.iter().map(rows::eldest).collect::<crate::Result<_>>()?)
}

/// Two walks along indexes, each as far as the limit.
pub(super) const ELDEST: &str = r#"
(SELECT verified_at, id AS recording, store COLLATE "C" AS store FROM recording
 WHERE verified_at < $1 ORDER BY verified_at, id LIMIT $2)
UNION ALL
(SELECT verified_at, recording, store FROM copy
 WHERE verified_at < $1 ORDER BY verified_at, recording, store LIMIT $2)
ORDER BY verified_at, recording, store LIMIT $2"#;
