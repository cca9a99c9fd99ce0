use std::collections::BTreeSet;

use domain::{Action, JobSpec, Timestamp};
use sqlx::PgConnection;

use super::{audit, failure::Result, lock, rows, text, touch};
use crate::{
    Batch, BatchId, BatchState, BatchStatus,
    batch::{self, Tally, shown},
    codec, details,
    places::destination,
};

pub(super) async fn order(
    conn: &mut PgConnection,
    batch: &Batch,
    jobs: &[JobSpec],
    now: Timestamp,
) -> Result<u64> {
    let id = batch.id.to_string();
    // As whoever purges does: nothing is ordered of what is going.
    let recordings: Vec<String> = jobs.iter().map(|spec| spec.recording.to_string()).collect();
    lock::with_sessions(conn, &recordings).await?;
    let made = sqlx::query(
        "INSERT INTO batch (id, verb, actor, what, created_at, state) VALUES ($1, $2, $3, $4, $5, 'running')
         ON CONFLICT DO NOTHING",
    )
    .bind(&id)
    .bind(text(&batch.verb))
    .bind(text(&batch.by))
    .bind(text(&batch.what))
    .bind(batch.created_at.0)
    .execute(&mut *conn)
    .await?;
    if made.rows_affected() > 0 {
        audit::write(conn, now, &batch.by, "order", None, details::ordered(batch)).await?;
    }
    // Whoever pauses or cancels it waits until these are entered.
    let state: String = sqlx::query_scalar("SELECT state FROM batch WHERE id = $1 FOR SHARE")
        .bind(&id)
        .fetch_one(&mut *conn)
        .await?;
    let entered_as = match codec::batch_state(&state)? {
        BatchState::Cancelled => return Ok(0),
        BatchState::Paused => "paused",
        BatchState::Running => "pending",
    };
    // A statement cannot write the same row twice.
    let mut seen = BTreeSet::new();
    let specs: Vec<&JobSpec> = jobs.iter().filter(|spec| seen.insert(spec.id)).collect();
    let ids: Vec<String> = specs.iter().map(|s| s.id.to_string()).collect();
    // What was decided as well is not cancelled any more when it is no longer decided.
    let bytes = bytes(conn, &specs).await?;
    sqlx::query(
        "UPDATE job SET batch = $1, bytes = n.bytes FROM unnest($2::text[], $3::bigint[]) AS n (id, bytes)
         WHERE job.id = n.id AND state IN ('pending', 'running') AND batch IS NULL",
    )
    .bind(&id)
    .bind(&ids)
    .bind(&bytes)
    .execute(&mut *conn)
    .await?;
    let done = sqlx::query(
        "INSERT INTO job (id, recording, version, action, lane, rule, reason, state, created_at, run_after, batch,
                          destination, bytes)
         SELECT n.id, n.recording, n.version, n.action, n.lane, n.rule, n.reason, $1, $2, $2, $3, n.destination, n.bytes
         FROM unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::text[], $10::text[], $11::bool[],
                     $12::text[], $13::bigint[])
              WITH ORDINALITY AS n (id, recording, version, action, lane, rule, reason, purges, destination, bytes, turn)
              JOIN recording r ON r.id = n.recording
         WHERE r.state NOT IN ('trashed', 'deleted') OR r.state = 'trashed' AND n.purges
         ORDER BY n.turn
         ON CONFLICT (id) DO UPDATE SET
             state = excluded.state, run_after = excluded.run_after, lane = excluded.lane, rule = excluded.rule,
             reason = excluded.reason, batch = excluded.batch, bytes = excluded.bytes, failures = 0, attempts = 0, error = NULL,
             finished_at = NULL, offered_at = NULL
         WHERE job.state IN ('cancelled', 'parked') AND job.batch IS DISTINCT FROM excluded.batch",
    )
    .bind(entered_as)
    .bind(now.0)
    .bind(&id)
    .bind(&ids)
    .bind(specs.iter().map(|s| s.recording.to_string()).collect::<Vec<_>>())
    .bind(specs.iter().map(|s| text(&s.version)).collect::<Vec<_>>())
    .bind(specs.iter().map(|s| codec::to_json(&s.action)).collect::<Vec<_>>())
    .bind(specs.iter().map(|s| codec::lane_number(s.lane)).collect::<Vec<_>>())
    .bind(specs.iter().map(|s| text(&s.rule)).collect::<Vec<_>>())
    .bind(specs.iter().map(|s| text(&s.reason)).collect::<Vec<_>>())
    .bind(specs.iter().map(|s| matches!(s.action, Action::Purge { .. })).collect::<Vec<_>>())
    .bind(specs.iter().map(|s| destination(&s.action).map(text)).collect::<Vec<_>>())
    .bind(&bytes)
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// That each is to move.
async fn bytes(conn: &mut PgConnection, specs: &[&JobSpec]) -> Result<Vec<i64>> {
    let recordings: Vec<String> = specs.iter().map(|spec| spec.recording.to_string()).collect();
    let names: Vec<_> = specs.iter().map(|spec| batch::rendition(&spec.action).map(text)).collect();
    let found: Vec<(i64, Option<String>)> = sqlx::query_as(
        "SELECT coalesce(r.size, 0), m.body FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS n (id, name, turn)
         LEFT JOIN recording r ON r.id = n.id
         LEFT JOIN rendition m ON m.recording = n.id AND m.name = n.name
         ORDER BY n.turn",
    )
    .bind(&recordings)
    .bind(&names)
    .fetch_all(conn)
    .await?;
    let each = specs.iter().zip(&found).map(|(spec, (size, body))| -> crate::Result<i64> {
        let made = body.as_deref().map(codec::json).transpose()?;
        Ok(codec::signed(batch::bytes(&spec.action, codec::unsigned(*size), made.as_ref())))
    });
    Ok(each.collect::<crate::Result<_>>()?)
}

pub(super) async fn list(conn: &mut PgConnection, limit: u32) -> Result<Vec<BatchStatus>> {
    let found = sqlx::query("SELECT * FROM batch ORDER BY seq DESC LIMIT $1")
        .bind(i64::from(limit))
        .fetch_all(&mut *conn)
        .await?;
    let batches: Vec<(Batch, BatchState)> = found.iter().map(rows::batch).collect::<crate::Result<_>>()?;
    let ids: Vec<String> = batches.iter().map(|(batch, _)| batch.id.to_string()).collect();
    let tallies: Vec<Tally> = sqlx::query_as(
        "SELECT batch, state, count(*), sum(bytes)::bigint FROM job WHERE batch = ANY($1) GROUP BY batch, state",
    )
    .bind(&ids)
    .fetch_all(conn)
    .await?;
    Ok(shown(batches, &tallies)?)
}

pub(super) async fn set(
    conn: &mut PgConnection,
    id: BatchId,
    state: BatchState,
    by: &str,
    now: Timestamp,
) -> Result<bool> {
    let batch = id.to_string();
    if state == BatchState::Cancelled {
        let concerned: Vec<String> = sqlx::query_scalar(concat!(
            "SELECT DISTINCT recording FROM job WHERE batch = $1 AND state IN ('pending', 'paused') AND ",
            batch::anybodys!()
        ))
        .bind(&batch)
        .fetch_all(&mut *conn)
        .await?;
        lock::with_sessions(conn, &concerned).await?;
    }
    let changed = sqlx::query("UPDATE batch SET state = $1 WHERE id = $2 AND state NOT IN ($1, 'cancelled')")
        .bind(state.as_str())
        .bind(&batch)
        .execute(&mut *conn)
        .await?;
    if changed.rows_affected() == 0 {
        return Ok(false);
    }
    audit::write(conn, now, by, state.verb(), None, details::batch(id)).await?;
    // Whoever was handed one while it was paused has put it aside: they are handed over anew.
    let over: Vec<String> = sqlx::query_scalar(concat!(
        "WITH changed AS (
             UPDATE job SET state = $1, offered_at = NULL, finished_at = CASE $1 WHEN 'cancelled' THEN $2::bigint END
             WHERE batch = $3 AND state IN ('pending', 'paused') RETURNING recording, action)
         SELECT DISTINCT recording FROM changed WHERE $1 = 'cancelled' AND ",
        batch::anybodys!()
    ))
    .bind(state.of_its_jobs())
    .bind(now.0)
    .bind(&batch)
    .fetch_all(&mut *conn)
    .await?;
    touch(conn, &over.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    Ok(true)
}
