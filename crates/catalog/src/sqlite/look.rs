use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::{
    Copy, Facts, Failure, Job, JobId, JobState, Kind, Recording, RecordingId, Rendition, SessionTrack,
    Sha256, State, Usage,
};
use sqlx::SqliteConnection;

use super::rows;
use crate::{
    Counts, Ended, JobFilter, Known, Result, codec,
    plan::{ended_sql, jobs_sql},
};

pub(super) async fn get(conn: &mut SqliteConnection, id: RecordingId) -> Result<Option<Recording>> {
    let row = sqlx::query(concat!("SELECT ", rows::recording_columns!(), " FROM recording r WHERE r.id = ?"))
        .bind(id.to_string())
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(rows::recording).transpose()
}

pub(super) async fn resolve(conn: &mut SqliteConnection, prefix: &str) -> Result<Vec<RecordingId>> {
    let from = prefix.to_lowercase();
    // Above every id that starts so: `{` comes after `z`.
    let to = format!("{from}{{");
    let ids: Vec<String> =
        sqlx::query_scalar("SELECT id FROM recording WHERE id >= ? AND id < ? ORDER BY id LIMIT 20")
            .bind(from)
            .bind(to)
            .fetch_all(conn)
            .await?;
    ids.iter().map(|id| codec::parsed(id)).collect()
}

pub(super) async fn facts(conn: &mut SqliteConnection, id: RecordingId) -> Result<Option<Facts>> {
    let Some(recording) = get(conn, id).await? else { return Ok(None) };
    let ended: Vec<(String, String, Option<String>)> = sqlx::query_as(
        "SELECT id, state, error FROM job WHERE recording = ? AND state IN ('done', 'parked') AND version = ?",
    )
    .bind(id.to_string())
    .bind(&recording.version)
    .fetch_all(&mut *conn)
    .await?;
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
    let mut tracks = Vec::with_capacity(recording.tracks.len());
    for track in &recording.tracks {
        let row = sqlx::query(concat!(
            "SELECT ",
            rows::recording_columns!(),
            " FROM recording r WHERE r.name = ? AND r.session = ? ORDER BY r.accepted_at, r.id LIMIT 1"
        ))
        .bind(&track.name)
        .bind(id.to_string())
        .fetch_optional(&mut *conn)
        .await?;
        let recording = row.as_ref().map(rows::recording).transpose()?;
        tracks.push(SessionTrack { track: track.clone(), recording });
    }
    debug_assert!(tracks.is_empty() || recording.kind == Kind::Session);
    Ok(Some(Facts {
        renditions: renditions(conn, id).await?,
        copies: copies(conn, id).await?,
        recording,
        done,
        parked,
        tracks,
    }))
}

pub(super) async fn renditions(conn: &mut SqliteConnection, id: RecordingId) -> Result<Vec<Rendition>> {
    let bodies: Vec<String> =
        sqlx::query_scalar("SELECT body FROM rendition WHERE recording = ? ORDER BY name")
            .bind(id.to_string())
            .fetch_all(conn)
            .await?;
    bodies.iter().map(|b| codec::json(b)).collect()
}

pub(super) async fn copies(conn: &mut SqliteConnection, id: RecordingId) -> Result<Vec<Copy>> {
    let bodies: Vec<String> =
        sqlx::query_scalar("SELECT body FROM copy WHERE recording = ? AND leaving IS NULL ORDER BY store")
            .bind(id.to_string())
            .fetch_all(conn)
            .await?;
    bodies.iter().map(|b| codec::json(b)).collect()
}

/// Also those that are about to go.
pub(super) async fn every_copy(conn: &mut SqliteConnection, id: RecordingId) -> Result<Vec<Copy>> {
    let bodies: Vec<String> = sqlx::query_scalar("SELECT body FROM copy WHERE recording = ? ORDER BY store")
        .bind(id.to_string())
        .fetch_all(conn)
        .await?;
    bodies.iter().map(|b| codec::json(b)).collect()
}

pub(super) async fn job(conn: &mut SqliteConnection, id: JobId) -> Result<Option<Job>> {
    let row = sqlx::query(concat!("SELECT ", rows::job_columns!(), " FROM job WHERE id = ?"))
        .bind(id.to_string())
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(rows::job).transpose()
}

pub(super) async fn ended(
    conn: &mut SqliteConnection,
    filter: &JobFilter,
    after: Option<i64>,
    limit: u32,
) -> Result<Vec<Ended>> {
    // The statement is made of our own words only.
    let mut sql =
        sqlx::query(sqlx::AssertSqlSafe(ended_sql(filter))).bind(limit).bind(after.unwrap_or(i64::MIN));
    for id in
        filter.recording.map(|id| id.to_string()).into_iter().chain(filter.batch.map(|id| id.to_string()))
    {
        sql = sql.bind(id);
    }
    sql.fetch_all(conn).await?.iter().map(rows::ended).collect()
}

pub(super) async fn jobs(conn: &mut SqliteConnection, filter: &JobFilter, limit: u32) -> Result<Vec<Job>> {
    // The statement is made of our own words only.
    let mut sql = sqlx::query(sqlx::AssertSqlSafe(jobs_sql(filter))).bind(limit);
    for id in
        filter.recording.map(|id| id.to_string()).into_iter().chain(filter.batch.map(|id| id.to_string()))
    {
        sql = sql.bind(id);
    }
    sql.fetch_all(conn).await?.iter().map(rows::job).collect()
}

pub(super) async fn counts(conn: &mut SqliteConnection) -> Result<Counts> {
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

pub(super) async fn usage(conn: &mut SqliteConnection) -> Result<Usage> {
    let rows: Vec<(String, i64)> = sqlx::query_as("SELECT store, bytes FROM usage").fetch_all(conn).await?;
    Ok(Usage { bytes: rows.into_iter().map(|(store, n)| (store, codec::unsigned(n))).collect() })
}

pub(super) async fn by_digest(conn: &mut SqliteConnection, sha256: &Sha256) -> Result<Option<Known>> {
    let source: Option<String> = sqlx::query_scalar(
        "SELECT id FROM recording WHERE sha256 = ? AND state <> 'deleted' ORDER BY coalesce(recorded_at, accepted_at), id LIMIT 1",
    )
    .bind(&sha256.0[..])
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(id) = source {
        return Ok(Some(Known::Source(codec::parsed(&id)?)));
    }
    let output: Option<(String, String)> =
        sqlx::query_as("SELECT recording, name FROM output WHERE sha256 = ?")
            .bind(&sha256.0[..])
            .fetch_optional(conn)
            .await?;
    output.map(|(id, name)| Ok(Known::Rendition(codec::parsed(&id)?, name))).transpose()
}

pub(super) async fn versions(
    conn: &mut SqliteConnection,
    ids: &[RecordingId],
) -> Result<Vec<Option<String>>> {
    let known: Vec<(String, String, String)> =
        sqlx::query_as("SELECT id, version, custody FROM recording WHERE id IN (SELECT value FROM json_each(?)) AND state <> 'deleted'")
            .bind(codec::to_json(&ids))
            .fetch_all(conn)
            .await?;
    let known: HashMap<String, String> = known.into_iter().map(rows::version).collect::<Result<_>>()?;
    Ok(ids.iter().map(|id| known.get(&id.to_string()).cloned()).collect())
}

pub(super) async fn bookmark(conn: &mut SqliteConnection, name: &str) -> Result<Option<String>> {
    Ok(sqlx::query_scalar("SELECT value FROM setting WHERE name = ?")
        .bind(format!("bookmark:{name}"))
        .fetch_optional(conn)
        .await?)
}

pub(super) async fn set_bookmark(conn: &mut SqliteConnection, name: &str, value: Option<&str>) -> Result<()> {
    let name = format!("bookmark:{name}");
    match value {
        Some(value) => {
            sqlx::query("INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)").bind(name).bind(value)
        }
        None => sqlx::query("DELETE FROM setting WHERE name = ?").bind(name),
    }
    .execute(conn)
    .await?;
    Ok(())
}
