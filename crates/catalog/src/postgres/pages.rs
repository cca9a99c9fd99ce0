use domain::{Facts, Kind, Recording, RecordingId, Screen, Timestamp};
use sqlx::{PgConnection, postgres::PgRow};

use super::{failure::Result, rows, text};
use crate::{
    Cursor, Eldest, codec,
    pages::{self, Found},
    screen::{self, Dialect, Statement},
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
    let members = members(conn, &recordings).await?;
    let found = Found {
        done: of(conn, RANGE.done, &after, &last).await?,
        parked: of(conn, RANGE.parked, &after, &last).await?,
        renditions: of(conn, RANGE.renditions, &after, &last).await?,
        copies: of(conn, RANGE.copies, &after, &last).await?,
        members,
    };
    Ok(pages::facts(recordings, &found)?)
}

pub(super) async fn facts_of(conn: &mut PgConnection, ids: &[RecordingId]) -> Result<Vec<Facts>> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let found = sqlx::query(concat!(
        "SELECT ",
        rows::recording_columns!(),
        " FROM recording r WHERE r.id = ANY($1) ORDER BY r.id"
    ))
    .bind(&ids)
    .fetch_all(&mut *conn)
    .await?;
    let recordings: Vec<Recording> = found.iter().map(rows::recording).collect::<crate::Result<_>>()?;
    let members = members(conn, &recordings).await?;
    let mut these = async |sql| sqlx::query(sql).bind(&ids).fetch_all(&mut *conn).await;
    let found = Found {
        done: these(LIST.done).await?,
        parked: these(LIST.parked).await?,
        renditions: these(LIST.renditions).await?,
        copies: these(LIST.copies).await?,
        members,
    };
    Ok(pages::facts(recordings, &found)?)
}

/// The tracks of the sessions among them.
async fn members(conn: &mut PgConnection, recordings: &[Recording]) -> Result<Vec<Recording>> {
    let sessions: Vec<String> =
        recordings.iter().filter(|r| r.kind == Kind::Session).map(|r| r.id.to_string()).collect();
    if sessions.is_empty() {
        return Ok(Vec::new());
    }
    let members = concat!(
        "SELECT ",
        rows::recording_columns!(),
        " FROM recording r WHERE r.session = ANY($1) ORDER BY r.accepted_at, r.id"
    );
    let found = sqlx::query(members).bind(sessions).fetch_all(&mut *conn).await?;
    Ok(found.iter().map(rows::recording).collect::<crate::Result<_>>()?)
}

pub(super) async fn screened(
    conn: &mut PgConnection,
    screen: &Screen,
    after: Option<Cursor>,
    limit: u32,
) -> Result<(Vec<RecordingId>, Option<Cursor>)> {
    let Statement { sql, texts } = screen::statement::<Sql>(screen);
    // The statement is made of our own words only; whatever a person wrote is bound.
    let mut query = sqlx::query_as::<_, (i64, String)>(sqlx::AssertSqlSafe(sql))
        .bind(after.map_or(i64::MIN, |c| c.0))
        .bind(i64::from(limit));
    for wanted in texts {
        query = query.bind(text(&wanted).into_owned());
    }
    let found = query.fetch_all(conn).await?;
    let last = found.last().map(|(rid, _)| Cursor(*rid));
    Ok((found.iter().map(|(_, id)| codec::parsed(id)).collect::<crate::Result<_>>()?, last))
}

pub(super) enum Sql {}

impl Dialect for Sql {
    const SPECIAL: &str = "SELECT recording FROM copy
         WHERE strpos(body, '\"bad\":') > 0 OR strpos(body, '\"until\":') > 0";

    fn parameter(n: usize) -> String {
        format!("${n}")
    }

    fn starts_with(column: &str, text: &str) -> String {
        format!("starts_with({column}, {text})")
    }

    fn contains(column: &str, quoted: &str, text: &str) -> String {
        format!("(strpos({column}, {quoted}) > 0 AND {column}::jsonb ? {text})")
    }

    fn has(column: &str, text: &str) -> String {
        format!("strpos({column}, {text}) > 0")
    }

    fn custody_has(field: &str) -> String {
        format!("strpos(custody, '\"{field}\":') > 0")
    }
}

/// Everything of this kind that belongs to recordings after the one and up to the other.
async fn of(conn: &mut PgConnection, sql: &'static str, after: &str, last: &str) -> Result<Vec<PgRow>> {
    Ok(sqlx::query(sql).bind(after).bind(last).fetch_all(conn).await?)
}

/// What belongs to some recordings.
pub(super) struct Statements {
    pub(super) done: &'static str,
    pub(super) parked: &'static str,
    renditions: &'static str,
    copies: &'static str,
}

macro_rules! statements {
    ($recording:literal) => {
        Statements {
            done: concat!(
                "SELECT recording, version, string_agg(id, '') AS ids FROM job WHERE state = 'done' AND ",
                $recording,
                " GROUP BY recording, version ORDER BY recording, version"
            ),
            parked: concat!(
                "SELECT recording, version, id, error FROM job WHERE state = 'parked' AND ",
                $recording,
                " ORDER BY recording"
            ),
            renditions: concat!(
                "SELECT recording, body FROM rendition WHERE ",
                $recording,
                " ORDER BY recording, name"
            ),
            copies: concat!(
                "SELECT recording, body FROM copy WHERE ",
                $recording,
                " AND leaving IS NULL ORDER BY recording, store"
            ),
        }
    };
}

/// Of recordings after the one and up to the other.
pub(super) const RANGE: Statements = statements!("recording > $1 AND recording <= $2");
/// Of those in a list.
const LIST: Statements = statements!("recording = ANY($1)");

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
