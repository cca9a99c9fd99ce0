use domain::{Facts, Recording, RecordingId, Timestamp};
use sqlx::SqliteConnection;

use super::{rows, whole};
use crate::{
    Eldest, Error, Result, error,
    pages::{self, Found},
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
        let Some((last, texts)) = Texts::read(conn, &after, size).await? else { break };
        after = last;
        parts.push(tokio::task::spawn_blocking(move || texts.facts()));
    }
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
    /// With the id of the last of them; nothing where there are none.
    async fn read(conn: &mut SqliteConnection, after: &str, limit: u32) -> Result<Option<(String, Self)>> {
        let (recordings, last): (String, Option<String>) =
            sqlx::query_as(PAGE).bind(after).bind(limit).fetch_one(&mut *conn).await?;
        let Some(last) = last else { return Ok(None) };
        let texts = Self {
            recordings,
            members: of(conn, MEMBERS, after, &last).await?,
            done: of(conn, DONE, after, &last).await?,
            parked: of(conn, PARKED, after, &last).await?,
            renditions: of(conn, RENDITIONS, after, &last).await?,
            copies: of(conn, COPIES, after, &last).await?,
        };
        Ok(Some((last, texts)))
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

/// Everything of this kind that belongs to recordings after the one and up to the other, as one text.
async fn of(conn: &mut SqliteConnection, sql: &'static str, after: &str, last: &str) -> Result<String> {
    Ok(sqlx::query_scalar(sql).bind(after).bind(last).fetch_one(conn).await?)
}

/// As the statements below name them.
const COLUMNS: [&str; 20] = [
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
    ($which:literal) => {
        concat!(
            "SELECT json_group_array(json_array(id, kind, name, title, store, key, version, size, hex(sha256), crc64,
                        accepted_at, recorded_at, tags, session, probe, state, reason, custody, revision, tracks || '')), max(id)
             FROM (SELECT ",
            rows::recording_columns!(),
            " FROM recording r WHERE ",
            $which,
            ")"
        )
    };
}
pub(super) const PAGE: &str = recordings!("r.id > ?1 ORDER BY r.id LIMIT ?2");
const MEMBERS: &str = recordings!("r.session > ?1 AND r.session <= ?2 ORDER BY r.accepted_at, r.id");
pub(super) const DONE: &str = "
SELECT json_group_array(json_array(recording, version, ids)) FROM (
    SELECT recording, version, group_concat(id, '') AS ids FROM job INDEXED BY job_done
    WHERE state = 'done' AND recording > ?1 AND recording <= ?2 GROUP BY recording, version
    ORDER BY recording, version)";
pub(super) const PARKED: &str = "
SELECT json_group_array(json_array(recording, version, id, error)) FROM (
    SELECT recording, version, id, error FROM job INDEXED BY job_parked
    WHERE state = 'parked' AND recording > ?1 AND recording <= ?2 ORDER BY recording)";
const RENDITIONS: &str = "
SELECT json_group_array(json_array(recording, body)) FROM (
    SELECT recording, body FROM rendition WHERE recording > ?1 AND recording <= ?2 ORDER BY recording, name)";
const COPIES: &str = "
SELECT json_group_array(json_array(recording, body)) FROM (
    SELECT recording, body FROM copy WHERE recording > ?1 AND recording <= ?2 AND leaving IS NULL
    ORDER BY recording, store)";

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
