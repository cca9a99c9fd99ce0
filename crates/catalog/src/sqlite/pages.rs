use domain::{Facts, Recording, RecordingId, Screen, Timestamp};
use sqlx::SqliteConnection;
use tokio::task::JoinHandle;

use super::{rows, whole};
use crate::{
    Cursor, Eldest, Error, Result, codec, error,
    pages::{self, Found},
    screen::{self, Dialect, Statement},
};

/// While one part of a page is read from the file, the one before it is put together: each takes about as long.
pub(super) async fn facts_page(
    conn: &mut SqliteConnection,
    after: Option<RecordingId>,
    limit: u32,
) -> Result<Vec<Facts>> {
    let mut after = after.map(|id| id.to_string()).unwrap_or_default();
    let (mut rest, mut parts) = (limit, Vec::new());
    while rest > 0 {
        let size = rest.min(PART);
        rest -= size;
        let (recordings, last): (String, Option<String>) =
            sqlx::query_as(PAGE).bind(&after).bind(size).fetch_one(&mut *conn).await?;
        let Some(last) = last else { break };
        let texts = Texts::read(conn, &RANGE, recordings, &after, &last).await?;
        after = last;
        parts.push(tokio::task::spawn_blocking(move || texts.facts()));
    }
    together(parts).await
}

pub(super) async fn facts_of(conn: &mut SqliteConnection, ids: &[RecordingId]) -> Result<Vec<Facts>> {
    let mut parts = Vec::new();
    for part in ids.chunks(PART as usize) {
        let ids = codec::to_json(&part);
        let (recordings, _): (String, Option<String>) =
            sqlx::query_as(NAMED).bind(&ids).fetch_one(&mut *conn).await?;
        let texts = Texts::read(conn, &LIST, recordings, &ids, "").await?;
        parts.push(tokio::task::spawn_blocking(move || texts.facts()));
    }
    together(parts).await
}

async fn together<T>(parts: Vec<JoinHandle<Result<Vec<T>>>>) -> Result<Vec<T>> {
    let mut all = Vec::new();
    for part in parts {
        all.append(
            &mut part
                .await
                .map_err(|e| Error::new(error::Kind::Internal, "a page was given up").because(e))??,
        );
    }
    Ok(all)
}

const PART: u32 = 250;

/// Part of a page as it is read.
struct Texts {
    recordings: String,
    members: String,
    done: String,
    parked: String,
    renditions: String,
    copies: String,
}

impl Texts {
    /// What belongs to these recordings, by two binds that say which they are.
    async fn read(
        conn: &mut SqliteConnection,
        sql: &Statements,
        recordings: String,
        one: &str,
        two: &str,
    ) -> Result<Self> {
        Ok(Self {
            recordings,
            members: of(conn, sql.members, one, two).await?,
            done: of(conn, sql.done, one, two).await?,
            parked: of(conn, sql.parked, one, two).await?,
            renditions: of(conn, sql.renditions, one, two).await?,
            copies: of(conn, sql.copies, one, two).await?,
        })
    }

    fn facts(&self) -> Result<Vec<Facts>> {
        let found = Found {
            done: whole::rows(&self.done, &["recording", "version", "ids"])?,
            parked: whole::rows(&self.parked, &["recording", "version", "id", "error"])?,
            renditions: whole::rows(&self.renditions, &["recording", "body"])?,
            copies: whole::rows(&self.copies, &["recording", "body"])?,
            members: recordings(&self.members)?,
        };
        pages::facts(recordings(&self.recordings)?, &found)
    }
}

fn recordings(text: &str) -> Result<Vec<Recording>> {
    whole::rows(text, &COLUMNS)?.iter().map(rows::recording).collect()
}

/// Everything of this kind that belongs to them, as one text.
async fn of(conn: &mut SqliteConnection, sql: &'static str, after: &str, last: &str) -> Result<String> {
    Ok(sqlx::query_scalar(sql).bind(after).bind(last).fetch_one(conn).await?)
}

/// As the statements below name them.
const COLUMNS: [&str; 21] = [
    "id",
    "kind",
    "name",
    "title",
    "store",
    "key",
    "version",
    "size",
    "sha256",
    "crc64",
    "accepted_at",
    "recorded_at",
    "tags",
    "fields",
    "session",
    "probe",
    "state",
    "reason",
    "custody",
    "revision",
    "tracks",
];

/// What a JSON function made would be JSON within JSON: with nothing added it is a text.
macro_rules! recordings {
    ($($which:literal),+) => {
        concat!(
            "SELECT json_group_array(json_array(id, kind, name, title, store, key, version, size, hex(sha256), crc64,
                        accepted_at, recorded_at, tags, fields, session, probe, state, reason, custody, revision, tracks || '')), max(id)
             FROM (SELECT ",
            rows::recording_columns!(),
            " FROM recording r WHERE ",
            $($which,)+
            ")"
        )
    };
}
pub(super) const PAGE: &str = recordings!("r.id > ?1 ORDER BY r.id LIMIT ?2");
const NAMED: &str = recordings!("r.id IN (SELECT value FROM json_each(?1)) ORDER BY r.id");

/// What belongs to some recordings.
pub(super) struct Statements {
    members: &'static str,
    pub(super) done: &'static str,
    pub(super) parked: &'static str,
    renditions: &'static str,
    copies: &'static str,
}

macro_rules! statements {
    ($session:literal, $recording:literal) => {
        Statements {
            members: recordings!($session, " ORDER BY r.accepted_at, r.id"),
            done: concat!(
                "SELECT json_group_array(json_array(recording, version, ids)) FROM (
                     SELECT recording, version, group_concat(id, '') AS ids FROM job INDEXED BY job_done
                     WHERE state = 'done' AND ",
                $recording,
                " GROUP BY recording, version
                     ORDER BY recording, version)"
            ),
            parked: concat!(
                "SELECT json_group_array(json_array(recording, version, id, error)) FROM (
                     SELECT recording, version, id, error FROM job INDEXED BY job_parked
                     WHERE state = 'parked' AND ",
                $recording,
                " ORDER BY recording)"
            ),
            renditions: concat!(
                "SELECT json_group_array(json_array(recording, body)) FROM (
                     SELECT recording, body FROM rendition WHERE ",
                $recording,
                " ORDER BY recording, name)"
            ),
            copies: concat!(
                "SELECT json_group_array(json_array(recording, body)) FROM (
                     SELECT recording, body FROM copy WHERE ",
                $recording,
                " AND leaving IS NULL
                     ORDER BY recording, store)"
            ),
        }
    };
}

/// Of recordings after the one and up to the other.
pub(super) const RANGE: Statements =
    statements!("r.session > ?1 AND r.session <= ?2", "recording > ?1 AND recording <= ?2");
/// Of those in a list.
pub(super) const LIST: Statements = statements!(
    "r.session IN (SELECT value FROM json_each(?1)) AND ?2 = ''",
    "recording IN (SELECT value FROM json_each(?1)) AND ?2 = ''"
);

pub(super) async fn screened(
    conn: &mut SqliteConnection,
    screen: &Screen,
    after: Option<Cursor>,
    limit: u32,
) -> Result<(Vec<RecordingId>, Option<Cursor>)> {
    let Statement { sql, texts } = screen::statement::<Sql>(screen);
    // The statement is made of our own words only; whatever a person wrote is bound.
    let mut query = sqlx::query_as::<_, (i64, String)>(sqlx::AssertSqlSafe(sql))
        .bind(after.map_or(i64::MIN, |c| c.0))
        .bind(limit);
    for text in texts {
        query = query.bind(text);
    }
    let found = query.fetch_all(conn).await?;
    let last = found.last().map(|(rid, _)| Cursor(*rid));
    Ok((found.iter().map(|(_, id)| codec::parsed(id)).collect::<Result<_>>()?, last))
}

pub(super) enum Sql {}

impl Dialect for Sql {
    const SPECIAL: &str = "SELECT recording FROM copy INDEXED BY copy_special
         WHERE instr(body, '\"bad\":') OR instr(body, '\"until\":')";

    fn parameter(n: usize) -> String {
        format!("?{n}")
    }

    fn starts_with(column: &str, text: &str) -> String {
        format!("instr({column}, {text}) = 1")
    }

    fn contains(column: &str, quoted: &str, text: &str) -> String {
        format!(
            "(instr({column}, {quoted}) AND EXISTS (SELECT 1 FROM json_each({column}) WHERE value = {text}))"
        )
    }

    fn has(column: &str, text: &str) -> String {
        format!("instr({column}, {text})")
    }

    fn custody_has(field: &str) -> String {
        format!("instr(custody, '\"{field}\":')")
    }
}

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
