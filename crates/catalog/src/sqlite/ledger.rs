use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use domain::{Failure, JobId, Lane, Progress, Timestamp};
use sqlx::SqliteConnection;

use super::{audit, history, rows, touch, touch_session_of};
use crate::{
    Claim, Claimed, Error, Happening, Next, Places, Result, Retry, batch::anybodys, codec, details,
    places::on_its_way_since,
};

/// What there is to hand over. Looked at apart from marking it, because mostly there is nothing and then nothing is
/// written.
pub(super) async fn ready(
    conn: &mut SqliteConnection,
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
        let taken = taken(conn, &to, now).await?;
        let room = places.room(&to, taken, left(&ids));
        let fresh = sqlx::query_scalar(FRESH_TO).bind(lane).bind(now.0).bind(room).bind(&to);
        ids.extend(fresh.fetch_all(&mut *conn).await?);
    }
    let fresh = sqlx::query_scalar(FRESH).bind(lane).bind(now.0).bind(left(&ids));
    ids.extend(fresh.fetch_all(&mut *conn).await?);
    if let Some(before) = lost_before {
        let lost = sqlx::query_scalar(LOST).bind(lane).bind(now.0).bind(left(&ids)).bind(before.0);
        ids.extend(lost.fetch_all(conn).await?);
    }
    ids.iter().map(|id| codec::parsed(id)).collect()
}

pub(super) const FRESH: &str = "SELECT id FROM job WHERE lane = ?1 AND destination IS NULL AND fresh_at <= ?2
ORDER BY fresh_at, id LIMIT ?3";

pub(super) const FRESH_TO: &str = "SELECT id FROM job WHERE lane = ?1 AND destination = ?4 AND fresh_at <= ?2
ORDER BY fresh_at, id LIMIT ?3";

/// Where fresh jobs go, one step along the index for each.
pub(super) const DESTINATIONS: &str = "
WITH RECURSIVE place (name) AS (
    SELECT '' UNION ALL
    SELECT (SELECT destination FROM job WHERE lane = ?1 AND fresh_at IS NOT NULL AND destination > place.name
            ORDER BY destination LIMIT 1)
    FROM place WHERE name IS NOT NULL)
SELECT name FROM place WHERE name > ''";

/// Those that have a place there, and those that may be on their way to one.
async fn taken(conn: &mut SqliteConnection, to: &str, now: Timestamp) -> Result<i64> {
    let taken = sqlx::query_scalar(TAKEN).bind(to).bind(now.0).bind(on_its_way_since(now).0);
    Ok(taken.fetch_one(conn).await?)
}

pub(super) const TAKEN: &str = "
SELECT (SELECT count(*) FROM job WHERE destination = ?1 AND state = 'running' AND lease_until > ?2)
     + (SELECT count(*) FROM job WHERE destination = ?1 AND offered_at > ?3)";

pub(super) async fn stirs(conn: &mut SqliteConnection, now: Timestamp) -> Result<bool> {
    Ok(sqlx::query_scalar(STIRS).bind(now.0).fetch_one(conn).await?)
}

/// One step along an index for each: in an order, because that is what keeps a planner on the index.
pub(super) const STIRS: &str = "
SELECT (SELECT at FROM attention WHERE at <= ?1 ORDER BY at LIMIT 1) IS NOT NULL
   OR (SELECT fresh_at FROM job WHERE lane = 0 AND destination IS NULL AND fresh_at <= ?1
       ORDER BY fresh_at LIMIT 1) IS NOT NULL
   OR (SELECT fresh_at FROM job WHERE lane = 0 AND destination IS NOT NULL AND fresh_at IS NOT NULL
       ORDER BY destination LIMIT 1) IS NOT NULL
   OR (SELECT fresh_at FROM job WHERE lane = 1 AND destination IS NULL AND fresh_at <= ?1
       ORDER BY fresh_at LIMIT 1) IS NOT NULL
   OR (SELECT fresh_at FROM job WHERE lane = 1 AND destination IS NOT NULL AND fresh_at IS NOT NULL
       ORDER BY destination LIMIT 1) IS NOT NULL
   OR (SELECT seq FROM alert WHERE sent_at IS NULL ORDER BY seq LIMIT 1) IS NOT NULL";

pub(super) async fn next_to(conn: &mut SqliteConnection, to: &str, now: Timestamp) -> Result<Option<JobId>> {
    for lane in Lane::ALL {
        let next = sqlx::query_scalar(FRESH_TO).bind(codec::lane_number(lane)).bind(now.0).bind(1).bind(to);
        let next: Option<String> = next.fetch_optional(&mut *conn).await?;
        if let Some(id) = next {
            return Ok(Some(codec::parsed(&id)?));
        }
    }
    Ok(None)
}

pub(super) async fn under_way(conn: &mut SqliteConnection, to: &str, now: Timestamp) -> Result<u64> {
    let under_way: i64 = sqlx::query_scalar(UNDER_WAY).bind(to).bind(now.0).fetch_one(conn).await?;
    Ok(codec::unsigned(under_way))
}

pub(super) const UNDER_WAY: &str =
    "SELECT count(*) FROM job WHERE destination = ?1 AND state = 'running' AND lease_until > ?2";

/// Handed over long ago and still not taken.
pub(super) const LOST: &str = "SELECT id FROM job WHERE lane = ?1 AND offered_at < ?4 AND ready_at <= ?2
ORDER BY offered_at, id LIMIT ?3";

pub(super) async fn offer(
    conn: &mut SqliteConnection,
    lane: Lane,
    now: Timestamp,
    limit: u32,
    lost_before: Option<Timestamp>,
    places: &Places,
) -> Result<Vec<JobId>> {
    let ids = ready(conn, lane, now, limit, lost_before, places).await?;
    sqlx::query("UPDATE job SET offered_at = ? WHERE id IN (SELECT value FROM json_each(?))")
        .bind(now.0)
        .bind(codec::to_json(&ids))
        .execute(conn)
        .await?;
    Ok(ids)
}

/// Both kinds: those that wait to be handed over, and those that were and wait in a queue.
pub(super) async fn waiting_since(
    conn: &mut SqliteConnection,
    now: Timestamp,
) -> Result<BTreeMap<Lane, Timestamp>> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT lane, min(run_after) FROM job WHERE state = 'pending' AND run_after <= ? AND destination IS NULL
         GROUP BY lane",
    )
    .bind(now.0)
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|(lane, at)| Ok((codec::lane(lane)?, Timestamp(at)))).collect()
}

/// Nobody else leads, or whoever did has not said so for too long.
pub(super) async fn lead(
    conn: &mut SqliteConnection,
    role: &str,
    worker: &str,
    now: Timestamp,
    ttl: Duration,
) -> Result<bool> {
    let done = sqlx::query(
        "INSERT INTO lead (role, worker, until) VALUES (?1, ?2, ?3)
         ON CONFLICT (role) DO UPDATE SET worker = ?2, until = ?3 WHERE worker = ?2 OR until <= ?4",
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
    conn: &mut SqliteConnection,
    jobs: &[JobId],
    now: Timestamp,
) -> Result<BTreeSet<JobId>> {
    let free = sqlx::query_scalar(
        "SELECT id FROM job WHERE id IN (SELECT value FROM json_each(?)) AND ready_at <= ?",
    );
    let free: Vec<String> = free.bind(codec::to_json(&jobs)).bind(now.0).fetch_all(conn).await?;
    free.iter().map(|id| codec::parsed(id)).collect()
}

pub(super) async fn claim(
    conn: &mut SqliteConnection,
    job: JobId,
    worker: &str,
    now: Timestamp,
    ttl: Duration,
    places: &Places,
) -> Result<Claimed> {
    if let Some(to) = full(conn, job, now, places).await? {
        return Ok(Claimed::Full { to });
    }
    let lease_until = now + ttl;
    let row = sqlx::query(concat!(
        "UPDATE job SET state = 'running', worker = ?, lease_until = ?, token = token + 1, attempts = attempts + 1,
                        progress = NULL, offered_at = NULL
         WHERE id = ? AND ready_at <= ?
           AND NOT EXISTS (SELECT 1 FROM batch b WHERE b.id = job.batch AND b.state <> 'running') RETURNING batch, ",
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
        return Ok(Claimed::Nothing);
    };
    Ok(Claimed::Ours(Box::new(rows::claim(&row, lease_until)?)))
}

/// Where it goes, if there is no place for it.
async fn full(
    conn: &mut SqliteConnection,
    job: JobId,
    now: Timestamp,
    places: &Places,
) -> Result<Option<String>> {
    let to: Option<String> = sqlx::query_scalar(
        "SELECT destination FROM job WHERE id = ? AND ready_at <= ? AND destination IS NOT NULL",
    )
    .bind(job.to_string())
    .bind(now.0)
    .fetch_optional(&mut *conn)
    .await?;
    let Some((to, places)) = to.and_then(|to| places.of(&to).map(|places| (to, places))) else {
        return Ok(None);
    };
    let is_full = under_way(conn, &to, now).await? >= u64::from(places);
    Ok(is_full.then_some(to))
}

pub(super) async fn put_off(
    conn: &mut SqliteConnection,
    job: JobId,
    now: Timestamp,
    until: Timestamp,
) -> Result<()> {
    sqlx::query(
        "UPDATE job SET state = 'pending', run_after = ?, worker = NULL, lease_until = NULL, progress = NULL,
                        offered_at = NULL
         WHERE id = ? AND ready_at <= ?",
    )
    .bind(until.0)
    .bind(job.to_string())
    .bind(now.0)
    .execute(conn)
    .await?;
    Ok(())
}

/// Given back by somebody after its batch was cancelled.
async fn put_aside(conn: &mut SqliteConnection, job: JobId, now: Timestamp) -> Result<()> {
    let aside: Option<(String, bool)> = sqlx::query_as(concat!(
        "UPDATE job SET state = 'cancelled', finished_at = ?, offered_at = NULL
         WHERE id = ? AND state = 'pending' AND batch IN (SELECT id FROM batch WHERE state = 'cancelled')
         RETURNING recording, ",
        anybodys!()
    ))
    .bind(now.0)
    .bind(job.to_string())
    .fetch_optional(&mut *conn)
    .await?;
    match aside {
        Some((recording, true)) => touch(conn, &recording).await,
        _ => Ok(()),
    }
}

pub(super) async fn renew(
    conn: &mut SqliteConnection,
    claim: &Claim,
    now: Timestamp,
    ttl: Duration,
    progress: Option<Progress>,
) -> Result<()> {
    let done = sqlx::query(
        "UPDATE job SET lease_until = ?, progress = coalesce(?, progress), offered_at = NULL
         WHERE id = ? AND token = ? AND state = 'running' AND (destination IS NULL OR lease_until > ?)",
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

pub(super) async fn holds(conn: &mut SqliteConnection, claim: &Claim, now: Timestamp) -> Result<bool> {
    let held: Option<i64> = sqlx::query_scalar(
        "SELECT 1 FROM job WHERE id = ? AND token = ? AND state = 'running' AND lease_until > ?",
    )
    .bind(claim.job.spec.id.to_string())
    .bind(claim.token)
    .bind(now.0)
    .fetch_optional(conn)
    .await?;
    Ok(held.is_some())
}

pub(super) async fn fail(
    conn: &mut SqliteConnection,
    claim: &Claim,
    failure: &Failure,
    next: Next,
    now: Timestamp,
) -> Result<()> {
    let (state, run_after, finished_at) = match next {
        Next::Retry { at } => ("pending", at, None),
        Next::Park => ("parked", now, Some(now.0)),
    };
    let done = sqlx::query(
        "UPDATE job SET state = ?, run_after = ?, finished_at = ?, failures = failures + 1, error = ?,
                        worker = NULL, lease_until = NULL, progress = NULL, offered_at = NULL
         WHERE id = ? AND token = ? AND state = 'running'",
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
    if next == Next::Park {
        let recording = claim.job.spec.recording.to_string();
        let details = details::parked(&claim.job.spec, failure);
        let worker = claim.job.worker.as_deref().unwrap_or("worker");
        audit::write(conn, now, worker, "park", Some(&recording), details).await?;
        touch_with_session(conn, &recording).await?;
        history::tally(conn, Happening::Parked, 1, now).await?;
    }
    Ok(())
}

pub(super) async fn release(conn: &mut SqliteConnection, claim: &Claim, until: Timestamp) -> Result<()> {
    let done = sqlx::query(
        "UPDATE job SET state = 'pending', run_after = ?, attempts = max(attempts - 1, 0), worker = NULL,
                        lease_until = NULL, progress = NULL, offered_at = NULL
         WHERE id = ? AND token = ? AND state = 'running'",
    )
    .bind(until.0)
    .bind(claim.job.spec.id.to_string())
    .bind(claim.token)
    .execute(conn)
    .await?;
    fenced(done.rows_affected(), claim)
}

pub(super) async fn retry(conn: &mut SqliteConnection, which: Retry, now: Timestamp) -> Result<u64> {
    macro_rules! parked {
        ($and:literal) => {
            sqlx::query_scalar(concat!(
                "UPDATE job SET state = 'pending', lane = 0, failures = 0, attempts = 0, run_after = ?, error = NULL,
                                finished_at = NULL, offered_at = NULL
                 WHERE state = 'parked'",
                $and,
                " RETURNING recording"
            ))
            .bind(now.0)
        };
    }
    let recordings: Vec<String> = match which {
        Retry::Job(id) => parked!(" AND id = ?").bind(id.to_string()).fetch_all(&mut *conn).await?,
        Retry::Recording(id) => {
            parked!(" AND recording = ?").bind(id.to_string()).fetch_all(&mut *conn).await?
        }
        Retry::AllParked => parked!("").fetch_all(&mut *conn).await?,
    };
    for recording in recordings.iter().collect::<BTreeSet<_>>() {
        let jobs = recordings.iter().filter(|r| *r == recording).count();
        audit::write(conn, now, "user", "retry", Some(recording), details::retried(jobs)).await?;
        touch_with_session(conn, recording).await?;
    }
    Ok(recordings.len() as u64)
}

pub(super) async fn recover(
    conn: &mut SqliteConnection,
    worker: Option<&str>,
    now: Timestamp,
) -> Result<u64> {
    let done = sqlx::query(
        "UPDATE job SET state = 'pending', run_after = ?1, worker = NULL, lease_until = NULL, progress = NULL,
                        offered_at = NULL
         WHERE state = 'running' AND (?2 IS NULL OR substr(worker, 1, length(?2)) = ?2)",
    )
    .bind(now.0)
    .bind(worker)
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

/// Something of this recording changed that its sessions look at too.
pub(super) async fn touch_with_session(conn: &mut SqliteConnection, recording: &str) -> Result<()> {
    touch(conn, recording).await?;
    touch_session_of(conn, recording).await
}

fn fenced(rows: u64, claim: &Claim) -> Result<()> {
    if rows == 1 { Ok(()) } else { Err(Error::lease_lost(claim)) }
}
