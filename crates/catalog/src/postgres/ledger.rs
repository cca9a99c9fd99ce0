use std::{collections::BTreeMap, time::Duration};

use domain::{Failure, JobId, Lane, Progress, Timestamp};
use sqlx::PgConnection;

use super::{
    audit,
    failure::Result,
    history,
    lock::{self, Locked},
    rows::{self, Columns as _},
    text, touch,
};
use crate::{Claim, Error, Happening, Next, Retry, codec, details};

/// Whom another caller is handing over at this moment is not waited for: it has him already.
pub(super) async fn offer(
    conn: &mut PgConnection,
    lane: Lane,
    now: Timestamp,
    limit: u32,
    lost_before: Option<Timestamp>,
) -> Result<Vec<JobId>> {
    let ids: Vec<String> = sqlx::query_scalar(OFFER)
        .bind(codec::lane_number(lane))
        .bind(now.0)
        .bind(i64::from(limit))
        .bind(lost_before.map(|t| t.0))
        .fetch_all(conn)
        .await?;
    Ok(ids.iter().map(|id| codec::parsed(id)).collect::<crate::Result<_>>()?)
}

/// What is fresh, and if there is room what was handed over long ago and still not taken.
pub(super) const OFFER: &str = "
WITH fresh AS MATERIALIZED (
    SELECT id, 0 AS turn, fresh_at AS since FROM job WHERE lane = $1 AND fresh_at <= $2
    ORDER BY fresh_at, id LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED
), lost AS MATERIALIZED (
    SELECT id, 1 AS turn, offered_at AS since FROM job WHERE lane = $1 AND offered_at < $4 AND ready_at <= $2
    ORDER BY offered_at, id LIMIT $3 - (SELECT count(*) FROM fresh) FOR NO KEY UPDATE SKIP LOCKED
), picked AS (
    SELECT * FROM fresh UNION ALL SELECT * FROM lost
), marked AS (
    UPDATE job SET offered_at = $2 FROM picked WHERE job.id = picked.id RETURNING job.id
)
SELECT picked.id FROM picked JOIN marked ON marked.id = picked.id ORDER BY picked.turn, picked.since, picked.id";

/// Both kinds: those that wait to be handed over, and those that were and wait in a queue.
pub(super) async fn waiting_since(
    conn: &mut PgConnection,
    now: Timestamp,
) -> Result<BTreeMap<Lane, Timestamp>> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT lane, min(run_after) FROM job WHERE state = 'pending' AND run_after <= $1 GROUP BY lane",
    )
    .bind(now.0)
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(lane, at)| Ok((codec::lane(lane)?, Timestamp(at))))
        .collect::<crate::Result<_>>()?)
}

/// Nobody else leads, or whoever did has not said so for too long.
pub(super) async fn lead(
    conn: &mut PgConnection,
    role: &str,
    worker: &str,
    now: Timestamp,
    ttl: Duration,
) -> Result<bool> {
    let done = sqlx::query(
        "INSERT INTO lead (role, worker, until) VALUES ($1, $2, $3)
         ON CONFLICT (role) DO UPDATE SET worker = $2, until = $3 WHERE lead.worker = $2 OR lead.until <= $4",
    )
    .bind(role)
    .bind(worker)
    .bind((now + ttl).0)
    .bind(now.0)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Who loses the race waits for the winner's row and then finds it taken.
pub(super) async fn claim(
    conn: &mut PgConnection,
    job: JobId,
    worker: &str,
    now: Timestamp,
    ttl: Duration,
) -> Result<Option<Claim>> {
    let lease_until = now + ttl;
    let row = sqlx::query(concat!(
        "UPDATE job SET state = 'running', worker = $1, lease_until = $2, token = token + 1, attempts = attempts + 1,
                        progress = NULL, offered_at = NULL
         WHERE id = $3 AND ready_at <= $4
           AND NOT EXISTS (SELECT 1 FROM batch b WHERE b.id = job.batch AND b.state <> 'running') RETURNING ",
        rows::job_columns!()
    ))
    .bind(worker)
    .bind(lease_until.0)
    .bind(job.to_string())
    .bind(now.0)
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else {
        put_aside(conn, job, now).await?;
        return Ok(None);
    };
    Ok(Some(Claim { job: rows::job(&row)?, token: row.number("token")?, lease_until }))
}

/// Given back by somebody after its batch was cancelled.
async fn put_aside(conn: &mut PgConnection, job: JobId, now: Timestamp) -> Result<()> {
    sqlx::query(
        "UPDATE job SET state = 'cancelled', finished_at = $1, offered_at = NULL
         WHERE id = $2 AND state = 'pending' AND batch IN (SELECT id FROM batch WHERE state = 'cancelled')",
    )
    .bind(now.0)
    .bind(job.to_string())
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn renew(
    conn: &mut PgConnection,
    claim: &Claim,
    now: Timestamp,
    ttl: Duration,
    progress: Option<Progress>,
) -> Result<()> {
    let done = sqlx::query(
        "UPDATE job SET lease_until = $1, progress = coalesce($2, progress), offered_at = NULL
         WHERE id = $3 AND token = $4 AND state = 'running'",
    )
    .bind((now + ttl).0)
    .bind(progress.map(|p| codec::to_json(&p)))
    .bind(claim.job.spec.id.to_string())
    .bind(claim.token)
    .execute(conn)
    .await?;
    fenced(done.rows_affected(), claim)
}

pub(super) async fn holds(conn: &mut PgConnection, claim: &Claim, now: Timestamp) -> Result<bool> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM job WHERE id = $1 AND token = $2 AND state = 'running' AND lease_until > $3)",
    )
    .bind(claim.job.spec.id.to_string())
    .bind(claim.token)
    .bind(now.0)
    .fetch_one(conn)
    .await?)
}

pub(super) async fn fail(
    conn: &mut PgConnection,
    claim: &Claim,
    failure: &Failure,
    next: Next,
    now: Timestamp,
) -> Result<()> {
    let recording = claim.job.spec.recording.to_string();
    let parks = next == Next::Park;
    // The recording before the job, as everywhere.
    let concerned = if parks {
        lock::with_sessions(conn, std::slice::from_ref(&recording)).await?
    } else {
        Locked::default()
    };
    let (state, run_after, finished_at) = match next {
        Next::Retry { at } => ("pending", at, None),
        Next::Park => ("parked", now, Some(now.0)),
    };
    let done = sqlx::query(
        "UPDATE job SET state = $1, run_after = $2, finished_at = $3, failures = failures + 1, error = $4,
                        worker = NULL, lease_until = NULL, progress = NULL, offered_at = NULL
         WHERE id = $5 AND token = $6 AND state = 'running'",
    )
    .bind(state)
    .bind(run_after.0)
    .bind(finished_at)
    .bind(codec::to_json(failure))
    .bind(claim.job.spec.id.to_string())
    .bind(claim.token)
    .execute(&mut *conn)
    .await?;
    fenced(done.rows_affected(), claim)?;
    if parks {
        let details = details::parked(&claim.job.spec, failure);
        let worker = claim.job.worker.as_deref().unwrap_or("worker");
        audit::write(conn, now, worker, "park", Some(&recording), details).await?;
        touch(conn, &concerned.and_sessions([recording.as_str()])).await?;
        history::tally(conn, Happening::Parked, 1, now).await?;
    }
    Ok(())
}

pub(super) async fn release(conn: &mut PgConnection, claim: &Claim, until: Timestamp) -> Result<()> {
    let done = sqlx::query(
        "UPDATE job SET state = 'pending', run_after = $1, attempts = greatest(attempts - 1, 0), worker = NULL,
                        lease_until = NULL, progress = NULL, offered_at = NULL
         WHERE id = $2 AND token = $3 AND state = 'running'",
    )
    .bind(until.0)
    .bind(claim.job.spec.id.to_string())
    .bind(claim.token)
    .execute(conn)
    .await?;
    fenced(done.rows_affected(), claim)
}

pub(super) async fn retry(conn: &mut PgConnection, which: Retry, now: Timestamp) -> Result<u64> {
    let (job, recording) = match which {
        Retry::Job(id) => (Some(id.to_string()), None),
        Retry::Recording(id) => (None, Some(id.to_string())),
        Retry::AllParked => (None, None),
    };
    let wanted: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT recording FROM job
         WHERE state = 'parked' AND ($1::text IS NULL OR id = $1) AND ($2::text IS NULL OR recording = $2)",
    )
    .bind(&job)
    .bind(&recording)
    .fetch_all(&mut *conn)
    .await?;
    let concerned = lock::with_sessions(conn, &wanted).await?;
    let retried: Vec<String> = sqlx::query_scalar(
        "UPDATE job SET state = 'pending', lane = 0, failures = 0, attempts = 0, run_after = $1, error = NULL, finished_at = NULL,
                        offered_at = NULL
         WHERE state = 'parked' AND recording = ANY($2) AND ($3::text IS NULL OR id = $3) RETURNING recording",
    )
    .bind(now.0)
    .bind(&wanted)
    .bind(&job)
    .fetch_all(&mut *conn)
    .await?;
    let mut jobs: BTreeMap<&str, usize> = BTreeMap::new();
    for recording in &retried {
        *jobs.entry(recording).or_default() += 1;
    }
    let entries: Vec<_> = jobs
        .iter()
        .map(|(recording, n)| audit::Entry {
            recording: (*recording).to_owned(),
            what: "retry",
            details: details::retried(*n),
        })
        .collect();
    audit::write_all(conn, now, "user", &entries).await?;
    touch(conn, &concerned.and_sessions(jobs.keys().copied())).await?;
    Ok(retried.len() as u64)
}

pub(super) async fn recover(conn: &mut PgConnection, worker: Option<&str>, now: Timestamp) -> Result<u64> {
    let done = sqlx::query(
        "UPDATE job SET state = 'pending', run_after = $1, worker = NULL, lease_until = NULL, progress = NULL,
                        offered_at = NULL
         WHERE state = 'running' AND ($2::text IS NULL OR starts_with(worker, $2))",
    )
    .bind(now.0)
    .bind(worker.map(text))
    .execute(&mut *conn)
    .await?;
    if worker.is_none() {
        // Their queue and whatever they led died with them.
        sqlx::query("UPDATE job SET offered_at = NULL WHERE offered_at IS NOT NULL")
            .execute(&mut *conn)
            .await?;
        sqlx::query("DELETE FROM lead").execute(conn).await?;
    }
    Ok(done.rows_affected())
}

pub(super) async fn note(
    conn: &mut PgConnection,
    recording: &str,
    actor: &str,
    what: &str,
    details: &serde_json::Value,
    now: Timestamp,
) -> Result<()> {
    let concerned = lock::with_sessions(conn, &[recording.to_owned()]).await?;
    audit::write(conn, now, actor, what, Some(recording), details.clone()).await?;
    touch(conn, &concerned.and_sessions([recording])).await
}

fn fenced(rows: u64, claim: &Claim) -> Result<()> {
    if rows == 1 { Ok(()) } else { Err(Error::lease_lost(claim).into()) }
}
