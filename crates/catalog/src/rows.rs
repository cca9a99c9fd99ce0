//! Rows of any database as nouns. Which columns there are is the same everywhere; how they are selected is not.

use std::{borrow::Cow, time::Duration};

use domain::{Crc64, Digest, Job, JobSpec, JobState, Offer, Recording, RecordingId, Sha256, Timestamp};

use crate::{
    AuditEntry, Batch, BatchState, Claim, Eldest, Ended, Error, Kind, Result, Told, codec, intake::Former,
};

/// A row, as the few types that we store.
pub(crate) trait Columns {
    fn text(&self, column: &str) -> Result<&str>;
    fn text_or_none(&self, column: &str) -> Result<Option<&str>>;
    fn number(&self, column: &str) -> Result<i64>;
    fn number_or_none(&self, column: &str) -> Result<Option<i64>>;
    fn bytes(&self, column: &str) -> Result<Cow<'_, [u8]>>;
    fn bytes_or_none(&self, column: &str) -> Result<Option<Cow<'_, [u8]>>>;
}

macro_rules! columns_of {
    ($row:ty) => {
        impl Columns for $row {
            fn text(&self, column: &str) -> Result<&str> {
                sqlx::Row::try_get(self, column).map_err(unreadable)
            }
            fn text_or_none(&self, column: &str) -> Result<Option<&str>> {
                sqlx::Row::try_get(self, column).map_err(unreadable)
            }
            fn number(&self, column: &str) -> Result<i64> {
                sqlx::Row::try_get(self, column).map_err(unreadable)
            }
            fn number_or_none(&self, column: &str) -> Result<Option<i64>> {
                sqlx::Row::try_get(self, column).map_err(unreadable)
            }
            fn bytes(&self, column: &str) -> Result<Cow<'_, [u8]>> {
                sqlx::Row::try_get(self, column).map(Cow::Borrowed).map_err(unreadable)
            }
            fn bytes_or_none(&self, column: &str) -> Result<Option<Cow<'_, [u8]>>> {
                let bytes: Option<&[u8]> = sqlx::Row::try_get(self, column).map_err(unreadable)?;
                Ok(bytes.map(Cow::Borrowed))
            }
        }
    };
}
columns_of!(sqlx::sqlite::SqliteRow);
#[cfg(feature = "postgres")]
columns_of!(sqlx::postgres::PgRow);

/// A session's tracks come along as JSON in `tracks`, so that a recording is always whole.
pub(crate) fn recording(row: &impl Columns) -> Result<Recording> {
    Ok(Recording {
        id: codec::parsed(row.text("id")?)?,
        kind: codec::kind(row.text("kind")?)?,
        name: row.text("name")?.to_owned(),
        title: row.text("title")?.to_owned(),
        store: row.text("store")?.to_owned(),
        key: row.text("key")?.to_owned(),
        version: row.text("version")?.to_owned(),
        digest: Digest {
            size: codec::unsigned(row.number("size")?),
            sha256: sha256(&row.bytes("sha256")?)?,
            crc64: Crc64(row.number("crc64")?.cast_unsigned()),
        },
        accepted_at: Timestamp(row.number("accepted_at")?),
        recorded_at: row.number_or_none("recorded_at")?.map(Timestamp),
        tags: codec::json(row.text("tags")?)?,
        fields: codec::fields(row.text("fields")?)?,
        session: row.text_or_none("session")?.map(codec::parsed).transpose()?,
        tracks: row.text_or_none("tracks")?.map(codec::json).transpose()?.unwrap_or_default(),
        probe: row.text_or_none("probe")?.map(codec::json).transpose()?,
        state: codec::state(row.text("state")?)?,
        reason: row.text("reason")?.to_owned(),
        custody: codec::custody(row.text("custody")?)?,
        revision: row.number("revision")?,
    })
}

/// An id, and the version in the store that holds it.
pub(crate) fn version((id, accepted, custody): (String, String, String)) -> Result<(String, String)> {
    Ok((id, codec::custody(&custody)?.place.version.unwrap_or(accepted)))
}

/// What is known under an id, as [`former_columns`] selects it.
pub(crate) fn former(row: &impl Columns) -> Result<Former> {
    Ok(Former {
        store: row.text("store")?.to_owned(),
        key: row.text("key")?.to_owned(),
        version: row.text("version")?.to_owned(),
        size: codec::unsigned(row.number("size")?),
        sha256: sha256(&row.bytes("sha256")?)?,
        accepted_at: Timestamp(row.number("accepted_at")?),
        state: codec::state(row.text("state")?)?,
        custody: codec::custody(row.text("custody")?)?,
        revision: row.number("revision")?,
    })
}

macro_rules! former_columns {
    () => {
        "store, key, version, size, sha256, accepted_at, state, custody, revision"
    };
}
pub(crate) use former_columns;

macro_rules! offer_columns {
    () => {
        "recording, rule, what, room, bytes, archived, dated, trash_ms, reason"
    };
}
pub(crate) use offer_columns;

pub(crate) fn offer(row: &impl Columns) -> Result<(RecordingId, Offer)> {
    let room = row.text("room")?;
    let offer = Offer {
        rule: row.text("rule")?.to_owned(),
        what: codec::json(row.text("what")?)?,
        room: (!room.is_empty()).then(|| room.to_owned()),
        bytes: codec::unsigned(row.number("bytes")?),
        archived: row.number("archived")? != 0,
        dated: Timestamp(row.number("dated")?),
        trash: Duration::from_millis(codec::unsigned(row.number("trash_ms")?)),
        reason: row.text("reason")?.to_owned(),
    };
    Ok((codec::parsed(row.text("recording")?)?, offer))
}

pub(crate) fn batch(row: &impl Columns) -> Result<(Batch, BatchState)> {
    let batch = Batch {
        id: codec::parsed(row.text("id")?)?,
        verb: row.text("verb")?.to_owned(),
        by: row.text("actor")?.to_owned(),
        what: row.text("what")?.to_owned(),
        created_at: Timestamp(row.number("created_at")?),
    };
    Ok((batch, codec::batch_state(row.text("state")?)?))
}

/// Of `job`.
macro_rules! job_columns {
    () => {
        "id, recording, version, action, lane, rule, reason, state, attempts, failures, token, created_at,
         run_after, worker, lease_until, progress, error, finished_at, bytes"
    };
}
pub(crate) use job_columns;

/// As [`ended_sql`](crate::plan::ended_sql) selects it.
pub(crate) fn ended(row: &impl Columns) -> Result<Ended> {
    let job = job(row)?;
    let outcome = row.text_or_none("outcome")?.filter(|_| job.state == JobState::Done);
    Ok(Ended { seq: row.number("seq")?, job, outcome: outcome.map(codec::json).transpose()? })
}

/// As a claim returns it: the job, its token and its batch.
pub(crate) fn claim(row: &impl Columns, lease_until: Timestamp) -> Result<Claim> {
    let batch = row.text_or_none("batch")?.map(codec::parsed).transpose()?;
    Ok(Claim { job: job(row)?, token: row.number("token")?, lease_until, batch })
}

pub(crate) fn job(row: &impl Columns) -> Result<Job> {
    let time = |column| -> Result<Option<Timestamp>> { Ok(row.number_or_none(column)?.map(Timestamp)) };
    let count = |column| -> Result<u32> { Ok(u32::try_from(row.number(column)?).unwrap_or(u32::MAX)) };
    Ok(Job {
        spec: JobSpec {
            id: codec::parsed(row.text("id")?)?,
            recording: codec::parsed(row.text("recording")?)?,
            version: row.text("version")?.to_owned(),
            action: codec::json(row.text("action")?)?,
            lane: codec::lane(row.number("lane")?)?,
            rule: row.text("rule")?.to_owned(),
            reason: row.text("reason")?.to_owned(),
        },
        state: codec::job_state(row.text("state")?)?,
        attempts: count("attempts")?,
        failures: count("failures")?,
        created_at: Timestamp(row.number("created_at")?),
        run_after: Timestamp(row.number("run_after")?),
        worker: row.text_or_none("worker")?.map(str::to_owned),
        lease_until: time("lease_until")?,
        progress: row.text_or_none("progress")?.map(codec::json).transpose()?,
        error: row.text_or_none("error")?.map(codec::json).transpose()?,
        finished_at: time("finished_at")?,
        bytes: codec::unsigned(row.number("bytes")?),
    })
}

pub(crate) fn eldest(row: &impl Columns) -> Result<Eldest> {
    Ok(Eldest {
        recording: codec::parsed(row.text("recording")?)?,
        store: row.text("store")?.to_owned(),
        verified_at: Timestamp(row.number("verified_at")?),
    })
}

pub(crate) fn told(row: &impl Columns) -> Result<Told> {
    let time = |column| -> Result<Option<Timestamp>> { Ok(row.number_or_none(column)?.map(Timestamp)) };
    Ok(Told {
        seq: row.number("seq")?,
        alert: codec::json(row.text("body")?)?,
        sent_at: time("sent_at")?,
        acked_at: time("acked_at")?,
        acked_by: row.text_or_none("acked_by")?.map(str::to_owned),
        escalations: u32::try_from(row.number("escalations")?).unwrap_or(u32::MAX),
        escalated_at: time("escalated_at")?,
    })
}

pub(crate) fn audit(row: &impl Columns) -> Result<AuditEntry> {
    Ok(AuditEntry {
        seq: row.number("seq")?,
        at: Timestamp(row.number("at")?),
        actor: row.text("actor")?.to_owned(),
        what: row.text("what")?.to_owned(),
        recording: row.text_or_none("recording")?.map(codec::parsed).transpose()?,
        details: codec::json(row.text("details")?)?,
    })
}

fn sha256(bytes: &[u8]) -> Result<Sha256> {
    let bytes = bytes.try_into().map_err(|_| {
        Error::new(
            Kind::Corrupt,
            "a checksum in the catalog is not 32 bytes long: restore it from its backup",
        )
    })?;
    Ok(Sha256(bytes))
}

fn unreadable(error: sqlx::Error) -> Error {
    let message = format!(
        "a row of the catalog is not as this binary writes it ({error}): use the newest videorec, or restore the \
         catalog from its backup"
    );
    Error::new(Kind::Corrupt, message).because(error)
}
