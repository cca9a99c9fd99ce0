use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::{
    Copy, Facts, Failure, Job, JobId, JobState, Recording, RecordingId, Rendition, SessionTrack, Sha256,
    State, Usage,
};
use sqlx::PgConnection;

use super::{
    failure::Result,
    rows::{self, Columns as _},
    text,
};
use crate::{
    Counts, Ended, JobFilter, Known, codec,
    plan::{ended_sql, jobs_sql},
};

pub(super) async fn get(conn: &mut PgConnection, id: RecordingId) -> Result<Option<Recording>> {
    let row =
        sqlx::query(concat!("SELECT ", rows::recording_columns!(), " FROM recording r WHERE r.id = $1"))
            .bind(id.to_string())
            .fetch_optional(conn)
            .await?;
    Ok(row.as_ref().map(rows::recording).transpose()?)
}

pub(super) async fn resolve(conn: &mut PgConnection, prefix: &str) -> Result<Vec<RecordingId>> {
    let from = prefix.to_lowercase();
    // Above every id that starts so: `{` comes after `z`.
    let to = format!("{from}{{");
    let ids: Vec<String> =
        sqlx::query_scalar("SELECT id FROM recording WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 20")
            .bind(text(&from))
            .bind(text(&to))
            .fetch_all(conn)
            .await?;
    Ok(ids.iter().map(|id| codec::parsed(id)).collect::<crate::Result<_>>()?)
}

/// One statement, because a statement sees one moment: the recording and, for a session, its tracks as further rows.
pub(super) async fn facts(conn: &mut PgConnection, id: RecordingId) -> Result<Option<Facts>> {
    let found = sqlx::query(FACTS).bind(id.to_string()).fetch_all(conn).await?;
    let (mut itself, mut members) = (None, Vec::new());
    for row in &found {
        let recording = rows::recording(row)?;
        if recording.id == id {
            itself = Some((row, recording));
        } else {
            members.push(recording);
        }
    }
    let Some((row, recording)) = itself else { return Ok(None) };

    let ended: Vec<(String, String, Option<String>)> = listed(row.text_or_none("ended")?)?;
    let (mut done, mut parked) = (BTreeSet::new(), BTreeMap::new());
    for (job, state, error) in &ended {
        let job: JobId = codec::parsed(job)?;
        if codec::job_state(state)? == JobState::Done {
            done.insert(job);
        } else {
            let failure: Option<Failure> = error.as_deref().map(codec::json).transpose()?;
            parked.insert(job, failure.map(|f| f.message).unwrap_or_default());
        }
    }
    let tracks = recording
        .tracks
        .iter()
        .map(|track| SessionTrack {
            track: track.clone(),
            recording: members.iter().find(|r| r.name == track.name).cloned(),
        })
        .collect();
    Ok(Some(Facts {
        renditions: bodies(&listed(row.text_or_none("renditions")?)?)?,
        copies: bodies(&listed(row.text_or_none("copies")?)?)?,
        recording,
        done,
        parked,
        tracks,
    }))
}

pub(super) const FACTS: &str = concat!(
    "SELECT ",
    rows::recording_columns!(),
    ",
     CASE WHEN r.id = $1 THEN (
         SELECT json_agg(json_build_array(j.id, j.state, j.error)) FROM job j
         WHERE j.recording = $1 AND j.state IN ('done', 'parked') AND j.version = r.version)::text END AS ended,
     CASE WHEN r.id = $1 THEN (
         SELECT json_agg(n.body ORDER BY n.name) FROM rendition n WHERE n.recording = $1)::text END AS renditions,
     CASE WHEN r.id = $1 THEN (
         SELECT json_agg(c.body ORDER BY c.store) FROM copy c
         WHERE c.recording = $1 AND c.leaving IS NULL)::text END AS copies
     FROM recording r WHERE r.id = $1 OR r.session = $1 ORDER BY r.accepted_at, r.id"
);

/// An aggregate of nothing is NULL.
fn listed<T: serde::de::DeserializeOwned>(json: Option<&str>) -> crate::Result<Vec<T>> {
    json.map(codec::json).transpose().map(Option::unwrap_or_default)
}

fn bodies<T: serde::de::DeserializeOwned>(bodies: &[String]) -> crate::Result<Vec<T>> {
    bodies.iter().map(|body| codec::json(body)).collect()
}

pub(super) async fn renditions(conn: &mut PgConnection, id: RecordingId) -> Result<Vec<Rendition>> {
    let found: Vec<String> =
        sqlx::query_scalar("SELECT body FROM rendition WHERE recording = $1 ORDER BY name")
            .bind(id.to_string())
            .fetch_all(conn)
            .await?;
    Ok(bodies(&found)?)
}

pub(super) async fn copies(conn: &mut PgConnection, id: RecordingId) -> Result<Vec<Copy>> {
    let found: Vec<String> =
        sqlx::query_scalar("SELECT body FROM copy WHERE recording = $1 AND leaving IS NULL ORDER BY store")
            .bind(id.to_string())
            .fetch_all(conn)
            .await?;
    Ok(bodies(&found)?)
}

/// Also those that are about to go.
pub(super) async fn every_copy(conn: &mut PgConnection, id: RecordingId) -> Result<Vec<Copy>> {
    let found: Vec<String> = sqlx::query_scalar("SELECT body FROM copy WHERE recording = $1 ORDER BY store")
        .bind(id.to_string())
        .fetch_all(conn)
        .await?;
    Ok(bodies(&found)?)
}

pub(super) async fn job(conn: &mut PgConnection, id: JobId) -> Result<Option<Job>> {
    let row = sqlx::query(concat!("SELECT ", rows::job_columns!(), " FROM job WHERE id = $1"))
        .bind(id.to_string())
        .fetch_optional(conn)
        .await?;
    Ok(row.as_ref().map(rows::job).transpose()?)
}

pub(super) async fn ended(
    conn: &mut PgConnection,
    filter: &JobFilter,
    after: Option<i64>,
    limit: u32,
) -> Result<Vec<Ended>> {
    // The statement is made of our own words only.
    let mut sql = sqlx::query(sqlx::AssertSqlSafe(ended_sql(filter)))
        .bind(i64::from(limit))
        .bind(after.unwrap_or(i64::MIN));
    for id in
        filter.recording.map(|id| id.to_string()).into_iter().chain(filter.batch.map(|id| id.to_string()))
    {
        sql = sql.bind(id);
    }
    let found = sql.fetch_all(conn).await?;
    Ok(found.iter().map(rows::ended).collect::<crate::Result<_>>()?)
}

pub(super) async fn jobs(conn: &mut PgConnection, filter: &JobFilter, limit: u32) -> Result<Vec<Job>> {
    // The statement is made of our own words only.
    let mut sql = sqlx::query(sqlx::AssertSqlSafe(jobs_sql(filter))).bind(i64::from(limit));
    for id in
        filter.recording.map(|id| id.to_string()).into_iter().chain(filter.batch.map(|id| id.to_string()))
    {
        sql = sql.bind(id);
    }
    let found = sql.fetch_all(conn).await?;
    Ok(found.iter().map(rows::job).collect::<crate::Result<_>>()?)
}

pub(super) async fn counts(conn: &mut PgConnection) -> Result<Counts> {
    let recordings: Vec<(String, i64)> =
        sqlx::query_as("SELECT state, count(*) FROM recording GROUP BY state").fetch_all(&mut *conn).await?;
    let jobs: Vec<(String, i64)> =
        sqlx::query_as("SELECT state, count(*) FROM job GROUP BY state").fetch_all(&mut *conn).await?;
    let mut counts = Counts { bytes: usage(conn).await?.bytes.values().sum(), ..Counts::default() };
    // Zeroes too: a reader need not know which states there are.
    counts.recordings.extend(State::ALL.map(|s| (s, 0)));
    counts.jobs.extend(JobState::ALL.map(|s| (s, 0)));
    for (state, n) in recordings {
        counts.recordings.insert(codec::state(&state)?, codec::unsigned(n));
    }
    for (state, n) in jobs {
        *counts.jobs.entry(codec::job_state(&state)?).or_default() += codec::unsigned(n);
    }
    Ok(counts)
}

pub(super) async fn usage(conn: &mut PgConnection) -> Result<Usage> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT store, sum(bytes)::bigint FROM usage GROUP BY store").fetch_all(conn).await?;
    Ok(Usage { bytes: rows.into_iter().map(|(store, n)| (store, codec::unsigned(n))).collect() })
}

pub(super) async fn by_digest(conn: &mut PgConnection, sha256: &Sha256) -> Result<Option<Known>> {
    let source: Option<String> = sqlx::query_scalar(
        "SELECT id FROM recording WHERE sha256 = $1 AND state <> 'deleted' ORDER BY coalesce(recorded_at, accepted_at), id LIMIT 1",
    )
    .bind(&sha256.0[..])
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(id) = source {
        return Ok(Some(Known::Source(codec::parsed(&id)?)));
    }
    let output: Option<(String, String)> =
        sqlx::query_as("SELECT recording, name FROM output WHERE sha256 = $1")
            .bind(&sha256.0[..])
            .fetch_optional(conn)
            .await?;
    let Some((id, name)) = output else { return Ok(None) };
    Ok(Some(Known::Rendition(codec::parsed(&id)?, name)))
}

pub(super) async fn versions(conn: &mut PgConnection, ids: &[RecordingId]) -> Result<Vec<Option<String>>> {
    let wanted: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let known: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT id, version, custody FROM recording WHERE id = ANY($1) AND state <> 'deleted'",
    )
    .bind(&wanted)
    .fetch_all(conn)
    .await?;
    let known: HashMap<String, String> =
        known.into_iter().map(rows::version).collect::<crate::Result<_>>()?;
    Ok(wanted.iter().map(|id| known.get(id).cloned()).collect())
}

pub(super) async fn bookmark(conn: &mut PgConnection, name: &str) -> Result<Option<String>> {
    Ok(sqlx::query_scalar("SELECT value FROM setting WHERE name = $1")
        .bind(format!("bookmark:{name}"))
        .fetch_optional(conn)
        .await?)
}

pub(super) async fn set_bookmark(conn: &mut PgConnection, name: &str, value: Option<&str>) -> Result<()> {
    let name = format!("bookmark:{name}");
    match value {
        Some(value) => sqlx::query(
            "INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(name)
        .bind(text(value).into_owned()),
        None => sqlx::query("DELETE FROM setting WHERE name = $1").bind(name),
    }
    .execute(conn)
    .await?;
    Ok(())
}
