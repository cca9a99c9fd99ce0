use domain::{Action, JobSpec, Rendition, Timestamp};
use sqlx::SqliteConnection;

use super::{audit, rows};
use crate::{
    Batch, BatchId, BatchState, BatchStatus, Result,
    batch::{self, Tally, shown},
    codec, details,
    places::destination,
};

pub(super) async fn order(
    conn: &mut SqliteConnection,
    batch: &Batch,
    jobs: &[JobSpec],
    now: Timestamp,
) -> Result<u64> {
    let id = batch.id.to_string();
    let made = sqlx::query(
        "INSERT INTO batch (id, seq, verb, actor, what, created_at, state)
         VALUES (?, (SELECT coalesce(max(seq), 0) + 1 FROM batch), ?, ?, ?, ?, 'running') ON CONFLICT DO NOTHING",
    )
    .bind(&id)
    .bind(&batch.verb)
    .bind(&batch.by)
    .bind(&batch.what)
    .bind(batch.created_at.0)
    .execute(&mut *conn)
    .await?;
    if made.rows_affected() > 0 {
        audit::write(conn, now, &batch.by, "order", None, details::ordered(batch)).await?;
    }
    let state: String =
        sqlx::query_scalar("SELECT state FROM batch WHERE id = ?").bind(&id).fetch_one(&mut *conn).await?;
    let entered_as = match codec::batch_state(&state)? {
        BatchState::Cancelled => return Ok(0),
        BatchState::Paused => "paused",
        BatchState::Running => "pending",
    };
    let mut entered = 0;
    for spec in jobs {
        // What was decided as well is not cancelled any more when it is no longer decided.
        let bytes = codec::signed(bytes(conn, spec).await?);
        sqlx::query(
            "UPDATE job SET batch = ?, bytes = ? WHERE id = ? AND state IN ('pending', 'running') AND batch IS NULL",
        )
        .bind(&id)
        .bind(bytes)
        .bind(spec.id.to_string())
        .execute(&mut *conn)
        .await?;
        let done = sqlx::query(
            "INSERT INTO job (id, recording, version, action, lane, rule, reason, state, created_at, run_after, batch,
                              destination, bytes)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10, ?12, ?13 FROM recording r
             WHERE r.id = ?2 AND (r.state NOT IN ('trashed', 'deleted') OR r.state = 'trashed' AND ?11)
             ON CONFLICT (id) DO UPDATE SET state = ?8, run_after = ?9, lane = ?5, rule = ?6, reason = ?7, batch = ?10,
                                            bytes = ?13, failures = 0, attempts = 0, error = NULL, finished_at = NULL, offered_at = NULL
             WHERE state IN ('cancelled', 'parked') AND batch IS NOT ?10",
        )
        .bind(spec.id.to_string())
        .bind(spec.recording.to_string())
        .bind(&spec.version)
        .bind(codec::to_json(&spec.action))
        .bind(codec::lane_number(spec.lane))
        .bind(&spec.rule)
        .bind(&spec.reason)
        .bind(entered_as)
        .bind(now.0)
        .bind(&id)
        .bind(matches!(spec.action, Action::Purge { .. }))
        .bind(destination(&spec.action))
        .bind(bytes)
        .execute(&mut *conn)
        .await?;
        entered += done.rows_affected();
    }
    Ok(entered)
}

/// That a job is to move.
async fn bytes(conn: &mut SqliteConnection, spec: &JobSpec) -> Result<u64> {
    let recording = spec.recording.to_string();
    let size: Option<i64> = sqlx::query_scalar("SELECT size FROM recording WHERE id = ?")
        .bind(&recording)
        .fetch_optional(&mut *conn)
        .await?;
    let mut made: Option<Rendition> = None;
    if let Some(name) = batch::rendition(&spec.action) {
        let body: Option<String> =
            sqlx::query_scalar("SELECT body FROM rendition WHERE recording = ? AND name = ?")
                .bind(&recording)
                .bind(name)
                .fetch_optional(conn)
                .await?;
        made = body.as_deref().map(codec::json).transpose()?;
    }
    Ok(batch::bytes(&spec.action, codec::unsigned(size.unwrap_or(0)), made.as_ref()))
}

pub(super) async fn list(conn: &mut SqliteConnection, limit: u32) -> Result<Vec<BatchStatus>> {
    let found = sqlx::query("SELECT * FROM batch ORDER BY seq DESC LIMIT ?")
        .bind(limit)
        .fetch_all(&mut *conn)
        .await?;
    let batches: Vec<(Batch, BatchState)> = found.iter().map(rows::batch).collect::<Result<_>>()?;
    let ids: Vec<String> = batches.iter().map(|(batch, _)| batch.id.to_string()).collect();
    let tallies: Vec<Tally> = sqlx::query_as(
        "SELECT batch, state, count(*), sum(bytes) FROM job WHERE batch IN (SELECT value FROM json_each(?)) GROUP BY batch, state",
    )
    .bind(codec::to_json(&ids))
    .fetch_all(conn)
    .await?;
    shown(batches, &tallies)
}

/// Recordings of which something was to be made.
macro_rules! rested {
    () => {
        concat!(
            "SELECT DISTINCT recording FROM job WHERE batch = ? AND state IN ('pending', 'paused') AND ",
            batch::anybodys!()
        )
    };
}

pub(super) async fn set(
    conn: &mut SqliteConnection,
    id: BatchId,
    state: BatchState,
    by: &str,
    now: Timestamp,
) -> Result<bool> {
    let batch = id.to_string();
    let changed = sqlx::query("UPDATE batch SET state = ?1 WHERE id = ?2 AND state NOT IN (?1, 'cancelled')")
        .bind(state.as_str())
        .bind(&batch)
        .execute(&mut *conn)
        .await?;
    if changed.rows_affected() == 0 {
        return Ok(false);
    }
    audit::write(conn, now, by, state.verb(), None, details::batch(id)).await?;
    if state == BatchState::Cancelled {
        for sql in [
            concat!("UPDATE recording SET revision = revision + 1 WHERE id IN (", rested!(), ")"),
            concat!("INSERT OR REPLACE INTO attention (id, at) SELECT recording, 0 FROM (", rested!(), ")"),
        ] {
            sqlx::query(sql).bind(&batch).execute(&mut *conn).await?;
        }
    }
    // Whoever was handed one while it was paused has put it aside: they are handed over anew.
    sqlx::query(
        "UPDATE job SET state = ?1, offered_at = NULL, finished_at = CASE ?1 WHEN 'cancelled' THEN ?2 END
         WHERE batch = ?3 AND state IN ('pending', 'paused')",
    )
    .bind(state.of_its_jobs())
    .bind(now.0)
    .bind(&batch)
    .execute(conn)
    .await?;
    Ok(true)
}
