use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use domain::{Failure, JobId, Lane, Progress, Timestamp};
use sqlx::PgConnection;

use super::{
    audit,
    failure::Result,
    history,
    lock::{self, Locked},
    rows, text, touch,
};
use crate::{
    Claim, Claimed, Error, Happening, Next, Places, Retry, batch::anybodys, codec, details,
    places::on_its_way_since,
};

/// Whom another caller is handing over at this moment is not waited for: it has him already.
pub(super) async fn offer(
    conn: &mut PgConnection,
    lane: Lane,
    now: Timestamp,
    limit: u32,
    lost_before: Option<Timestamp>,
    places: &Places,
) -> Result<Vec<JobId>> {
    let lane = codec::lane_number(lane);
    let mut ids: Vec<String> = Vec::new();
    let left = |ids: &[String]| limit.saturating_sub(u32::try_from(ids.len()).unwrap_or(u32::MAX));
    let destinations: Vec<String> = sqlx::query_scalar(DESTINATIONS).bind(lane).fetch_all(&mut *conn).await?;
    for to in destinations {
        let taken = sqlx::query_scalar(TAKEN).bind(&to).bind(now.0).bind(on_its_way_since(now).0);
        let room = places.room(&to, taken.fetch_one(&mut *conn).await?, left(&ids));
        let fresh = sqlx::query_scalar(OFFER_TO).bind(lane).bind(now.0).bind(i64::from(room)).bind(&to);
        ids.extend(fresh.fetch_all(&mut *conn).await?);
    }
    let rest: Vec<String> = sqlx::query_scalar(OFFER)
        .bind(lane)
        .bind(now.0)
        .bind(i64::from(left(&ids)))
        .bind(lost_before.map(|t| t.0))
        .fetch_all(conn)
        .await?;
    ids.extend(rest);
    Ok(ids.iter().map(|id| codec::parsed(id)).collect::<crate::Result<_>>()?)
}

/// Where fresh jobs go, one step along the index for each.
pub(super) const DESTINATIONS: &str = "
WITH RECURSIVE place (name) AS (
    (SELECT destination FROM job WHERE lane = $1 AND fresh_at IS NOT NULL AND destination IS NOT NULL
     ORDER BY destination LIMIT 1)
    UNION ALL
    SELECT next.destination FROM place CROSS JOIN LATERAL (
        SELECT destination FROM job WHERE lane = $1 AND fresh_at IS NOT NULL AND destination > place.name
        ORDER BY destination LIMIT 1) AS next)
SELECT name FROM place";

/// Those that have a place there, and those that may be on their way to one.
pub(super) const TAKEN: &str = "
SELECT (SELECT count(*) FROM job WHERE destination = $1 AND state = 'running' AND lease_until > $2)
     + (SELECT count(*) FROM job WHERE destination = $1 AND offered_at > $3)";

pub(super) async fn stirs(conn: &mut PgConnection, now: Timestamp) -> Result<bool> {
    Ok(sqlx::query_scalar(STIRS).bind(now.0).fetch_one(conn).await?)
}

/// One step along an index for each: in an order, because that is what keeps a planner on the index.
pub(super) const STIRS: &str = "
SELECT (SELECT at FROM attention WHERE at <= $1 ORDER BY at LIMIT 1) IS NOT NULL
   OR (SELECT fresh_at FROM job WHERE lane = 0 AND destination IS NULL AND fresh_at <= $1
       ORDER BY fresh_at LIMIT 1) IS NOT NULL
   OR (SELECT fresh_at FROM job WHERE lane = 0 AND destination IS NOT NULL AND fresh_at IS NOT NULL
       ORDER BY destination LIMIT 1) IS NOT NULL
   OR (SELECT fresh_at FROM job WHERE lane = 1 AND destination IS NULL AND fresh_at <= $1
       ORDER BY fresh_at LIMIT 1) IS NOT NULL
   OR (SELECT fresh_at FROM job WHERE lane = 1 AND destination IS NOT NULL AND fresh_at IS NOT NULL
       ORDER BY destination LIMIT 1) IS NOT NULL
   OR (SELECT seq FROM alert WHERE sent_at IS NULL ORDER BY seq LIMIT 1) IS NOT NULL";

pub(super) async fn next_to(conn: &mut PgConnection, to: &str, now: Timestamp) -> Result<Option<JobId>> {
    for lane in Lane::ALL {
        let next = sqlx::query_scalar(NEXT_TO).bind(codec::lane_number(lane)).bind(now.0).bind(text(to));
        let next: Option<String> = next.fetch_optional(&mut *conn).await?;
        if let Some(id) = next {
            return Ok(Some(codec::parsed(&id)?));
        }
    }
    Ok(None)
}

pub(super) const NEXT_TO: &str = "SELECT id FROM job WHERE lane = $1 AND destination = $3 AND fresh_at <= $2
ORDER BY fresh_at, id LIMIT 1";

pub(super) async fn under_way(conn: &mut PgConnection, to: &str, now: Timestamp) -> Result<u64> {
    let under_way: i64 = sqlx::query_scalar(UNDER_WAY).bind(text(to)).bind(now.0).fetch_one(conn).await?;
    Ok(codec::unsigned(under_way))
}

pub(super) const UNDER_WAY: &str =
    "SELECT count(*) FROM job WHERE destination = $1 AND state = 'running' AND lease_until > $2";

/// What goes there and is fresh.
pub(super) const OFFER_TO: &str = "
WITH fresh AS MATERIALIZED (
    SELECT id, fresh_at AS since FROM job WHERE lane = $1 AND destination = $4 AND fresh_at <= $2
    ORDER BY fresh_at, id LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED
), marked AS (
    UPDATE job SET offered_at = $2 FROM fresh WHERE job.id = fresh.id RETURNING job.id
)
SELECT fresh.id FROM fresh JOIN marked ON marked.id = fresh.id ORDER BY fresh.since, fresh.id";

/// What is fresh and goes nowhere, and if there is room whatever was handed over long ago and still not taken.
pub(super) const OFFER: &str = "
WITH fresh AS MATERIALIZED (
    SELECT id, 0 AS turn, fresh_at AS since FROM job WHERE lane = $1 AND destination IS NULL AND fresh_at <= $2
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
        "SELECT lane, min(run_after) FROM job WHERE state = 'pending' AND run_after <= $1 AND destination IS NULL
         GROUP BY lane",
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

pub(super) async fn claimable(
    conn: &mut PgConnection,
    jobs: &[JobId],
    now: Timestamp,
) -> Result<BTreeSet<JobId>> {
    let ids: Vec<_> = jobs.iter().map(JobId::to_string).collect();
    let free = sqlx::query_scalar("SELECT id FROM job WHERE id = ANY ($1) AND ready_at <= $2");
    let free: Vec<String> = free.bind(ids).bind(now.0).fetch_all(conn).await?;
    Ok(free.iter().map(|id| codec::parsed(id)).collect::<crate::Result<_>>()?)
}

/// Takes a due job, of those that are meant.
macro_rules! take {
    ($where:literal, $conn:ident, $job:ident, $worker:ident, $now:ident, $ttl:ident) => {{
        let lease_until = $now + $ttl;
        let row = sqlx::query(concat!(
            "UPDATE job SET state = 'running', worker = $1, lease_until = $2, token = token + 1, attempts = attempts + 1,
                            progress = NULL, offered_at = NULL
             WHERE id = $3 AND ready_at <= $4 AND ",
            $where,
            " AND NOT EXISTS (SELECT 1 FROM batch b WHERE b.id = job.batch AND b.state <> 'running') RETURNING batch, ",
            rows::job_columns!()
        ))
        .bind($worker)
        .bind(lease_until.0)
        .bind($job.to_string())
        .bind($now.0)
        .fetch_optional(&mut *$conn)
        .await?;
        row.map(|row| rows::claim(&row, lease_until)).transpose()
    }};
}

/// What comes of asking for a job without regard to where it goes.
pub(super) enum First {
    Said(Claimed),
    /// It goes there, and nobody has it: [`claim_to`] says whether there is a place.
    Goes(String),
    /// Given back by somebody after its batch was cancelled: [`put_aside`] is next.
    Over,
}

/// Most jobs go nowhere and are claimed by one statement. Who loses the race waits for the winner's row and then finds it taken.
pub(super) async fn claim(
    conn: &mut PgConnection,
    job: JobId,
    worker: &str,
    now: Timestamp,
    ttl: Duration,
) -> Result<First> {
    let taken = take!("destination IS NULL", conn, job, worker, now, ttl)?;
    if let Some(claim) = taken {
        return Ok(First::Said(Claimed::Ours(Box::new(claim))));
    }
    let to: Option<String> = sqlx::query_scalar(
        "SELECT destination FROM job WHERE id = $1 AND ready_at <= $2 AND destination IS NOT NULL",
    )
    .bind(job.to_string())
    .bind(now.0)
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(to) = to {
        return Ok(First::Goes(to));
    }
    let is_over: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM job JOIN batch b ON b.id = job.batch
                        WHERE job.id = $1 AND job.state = 'pending' AND b.state = 'cancelled')",
    )
    .bind(job.to_string())
    .fetch_one(conn)
    .await?;
    Ok(if is_over { First::Over } else { First::Said(Claimed::Nothing) })
}

/// In a transaction: whoever claims something that goes to the same place waits until it is known whether this one has a place.
pub(super) async fn claim_to(
    conn: &mut PgConnection,
    (job, to, places): (JobId, &str, Option<u32>),
    worker: &str,
    now: Timestamp,
    ttl: Duration,
) -> Result<Claimed> {
    if let Some(places) = places {
        lock::destination(conn, to).await?;
        if under_way(conn, to, now).await? >= u64::from(places) {
            return Ok(Claimed::Full { to: to.to_owned() });
        }
    }
    let taken = take!("destination IS NOT NULL", conn, job, worker, now, ttl)?;
    if let Some(claim) = taken {
        return Ok(Claimed::Ours(Box::new(claim)));
    }
    put_aside(conn, job, now).await?;
    Ok(Claimed::Nothing)
}

pub(super) async fn put_off(
    conn: &mut PgConnection,
    job: JobId,
    now: Timestamp,
    until: Timestamp,
) -> Result<()> {
    sqlx::query(
        "UPDATE job SET state = 'pending', run_after = $1, worker = NULL, lease_until = NULL, progress = NULL,
                        offered_at = NULL
         WHERE id = $2 AND ready_at <= $3",
    )
    .bind(until.0)
    .bind(job.to_string())
    .bind(now.0)
    .execute(conn)
    .await?;
    Ok(())
}

/// In a transaction: what was given back by somebody after its batch was cancelled.
pub(super) async fn put_aside(conn: &mut PgConnection, job: JobId, now: Timestamp) -> Result<()> {
    let concerned: Vec<String> =
        sqlx::query_scalar(concat!("SELECT recording FROM job WHERE id = $1 AND ", anybodys!()))
            .bind(job.to_string())
            .fetch_all(&mut *conn)
            .await?;
    if !concerned.is_empty() {
        lock::with_sessions(conn, &concerned).await?;
    }
    let aside = sqlx::query(
        "UPDATE job SET state = 'cancelled', finished_at = $1, offered_at = NULL
         WHERE id = $2 AND state = 'pending' AND batch IN (SELECT id FROM batch WHERE state = 'cancelled')",
    )
    .bind(now.0)
    .bind(job.to_string())
    .execute(&mut *conn)
    .await?;
    if aside.rows_affected() > 0 {
        touch(conn, &concerned.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    }
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
         WHERE id = $3 AND token = $4 AND state = 'running' AND (destination IS NULL OR lease_until > $5)",
    )
    .bind((now + ttl).0)
    .bind(progress.map(|p| codec::to_json(&p)))
    .bind(claim.job.spec.id.to_string())
    .bind(claim.token)
    .bind(now.0)
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
