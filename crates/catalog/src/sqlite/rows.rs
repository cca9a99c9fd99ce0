//! Rows as nouns.

use domain::{Crc64, Digest, Job, JobSpec, Recording, Sha256, Timestamp};
use sqlx::{Row as _, sqlite::SqliteRow};

use crate::{Error, Kind, Result, codec};

/// Of `recording r`. A session's tracks come along, so that a recording is always whole.
macro_rules! recording_columns {
    () => {
        "r.rid, r.id, r.kind, r.name, r.title, r.store, r.key, r.version, r.size, r.sha256, r.crc64,
         r.accepted_at, r.recorded_at, r.tags, r.session, r.probe, r.state, r.reason, r.revision,
         CASE r.kind WHEN 'session' THEN (
             SELECT json_group_array(json_object('name', t.name, 'participant', t.participant,
                        'offset_ms', t.offset_ms, 'leave_ms', t.leave_ms) ORDER BY t.position)
             FROM session_track t WHERE t.session = r.id) END AS tracks"
    };
}
pub(super) use recording_columns;

pub(super) fn recording(row: &SqliteRow) -> Result<Recording> {
    Ok(Recording {
        id: codec::parsed(row.try_get("id")?)?,
        kind: codec::kind(row.try_get("kind")?)?,
        name: row.try_get("name")?,
        title: row.try_get("title")?,
        store: row.try_get("store")?,
        key: row.try_get("key")?,
        version: row.try_get("version")?,
        digest: Digest {
            size: codec::unsigned(row.try_get("size")?),
            sha256: sha256(row.try_get("sha256")?)?,
            crc64: Crc64(row.try_get::<i64, _>("crc64")?.cast_unsigned()),
        },
        accepted_at: Timestamp(row.try_get("accepted_at")?),
        recorded_at: row.try_get::<Option<i64>, _>("recorded_at")?.map(Timestamp),
        tags: codec::json(row.try_get("tags")?)?,
        session: row.try_get::<Option<&str>, _>("session")?.map(codec::parsed).transpose()?,
        tracks: row.try_get::<Option<&str>, _>("tracks")?.map(codec::json).transpose()?.unwrap_or_default(),
        probe: row.try_get::<Option<&str>, _>("probe")?.map(codec::json).transpose()?,
        state: codec::state(row.try_get("state")?)?,
        reason: row.try_get("reason")?,
        revision: row.try_get("revision")?,
    })
}

/// Of `job`.
macro_rules! job_columns {
    () => {
        "id, recording, version, action, lane, rule, reason, state, attempts, failures, token, created_at,
         run_after, worker, lease_until, progress, error, finished_at"
    };
}
pub(super) use job_columns;

pub(super) fn job(row: &SqliteRow) -> Result<Job> {
    let time =
        |column| -> Result<Option<Timestamp>> { Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp)) };
    Ok(Job {
        spec: JobSpec {
            id: codec::parsed(row.try_get("id")?)?,
            recording: codec::parsed(row.try_get("recording")?)?,
            version: row.try_get("version")?,
            action: codec::json(row.try_get("action")?)?,
            lane: codec::lane(row.try_get("lane")?)?,
            rule: row.try_get("rule")?,
            reason: row.try_get("reason")?,
        },
        state: codec::job_state(row.try_get("state")?)?,
        attempts: row.try_get("attempts")?,
        failures: row.try_get("failures")?,
        created_at: Timestamp(row.try_get("created_at")?),
        run_after: Timestamp(row.try_get("run_after")?),
        worker: row.try_get("worker")?,
        lease_until: time("lease_until")?,
        progress: row.try_get::<Option<&str>, _>("progress")?.map(codec::json).transpose()?,
        error: row.try_get::<Option<&str>, _>("error")?.map(codec::json).transpose()?,
        finished_at: time("finished_at")?,
    })
}

pub(super) fn sha256(bytes: &[u8]) -> Result<Sha256> {
    let bytes = bytes.try_into().map_err(|_| {
        Error::new(
            Kind::Corrupt,
            "a checksum in the catalog is not 32 bytes long: restore it from its backup",
        )
    })?;
    Ok(Sha256(bytes))
}
