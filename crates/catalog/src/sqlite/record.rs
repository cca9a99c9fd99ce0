use domain::{JobId, JobSpec, Outcome, Probe, Recording, Rendition, Timestamp};
use sqlx::SqliteConnection;

use super::{add_usage, alerts, audit, custody::write, describe, ledger, look, remove, search, settle};
use crate::{
    Claim, Deciding, Error, Result, codec,
    custody::{self, Effect},
    details,
    usage::Held,
};

/// Of what was recorded before there is nothing to return: all of it is done.
async fn write_down(
    conn: &mut SqliteConnection,
    claim: &Claim,
    outcome: &Outcome,
    now: Timestamp,
) -> Result<Option<Recording>> {
    let spec = &claim.job.spec;
    let job = spec.id.to_string();
    let (state, token): (String, i64) = sqlx::query_as("SELECT state, token FROM job WHERE id = ?")
        .bind(&job)
        .fetch_optional(&mut *conn)
        .await?
        .ok_or_else(|| Error::lease_lost(claim))?;
    match (token == claim.token, state.as_str()) {
        // The answer to the first time was lost on its way.
        (true, "done") => return Ok(None),
        (true, "running") => {}
        _ => return Err(Error::lease_lost(claim)),
    }
    let Some(recording) = look::get(conn, spec.recording).await? else { return Err(Error::of_nobody(spec)) };
    let current = recording.version == spec.version;
    match outcome {
        Outcome::Probed { probe } => probed(conn, &recording, probe, current).await?,
        Outcome::Rendered { rendition } => rendered(conn, &recording, rendition, current).await?,
        Outcome::Missed { rendition, job, .. } => missed(conn, &recording, rendition, *job).await?,
        Outcome::Present => {}
        Outcome::Tagged { tags } => {
            let mut tagged = recording.clone();
            tagged.tags.extend(tags.iter().cloned());
            describe::write(conn, &tagged).await?;
        }
        Outcome::Purged { certificate } => remove::purged(conn, &recording, claim, certificate, now).await?,
        Outcome::Drilled { .. } => {
            if let Some(alert) = custody::drilled(&recording, outcome) {
                alerts::raise(conn, &alert).await?;
            }
        }
        Outcome::Notified { alert } => alerts::raise(conn, alert).await?,
        // What lies elsewhere is no fact of ours: that it left is one.
        Outcome::Exported { .. }
        | Outcome::Copied { .. }
        | Outcome::Placed { .. }
        | Outcome::Moved { .. }
        | Outcome::Evicted { .. }
        | Outcome::Verified { .. } => held(conn, spec, &recording, outcome, current, now).await?,
    }
    sqlx::query(
        "UPDATE job SET state = 'done', outcome = ?, finished_at = ?, lease_until = NULL, progress = NULL,
                        error = NULL, offered_at = NULL
         WHERE id = ?",
    )
    .bind(codec::to_json(outcome))
    .bind(now.0)
    .bind(&job)
    .execute(&mut *conn)
    .await?;
    let id = recording.id.to_string();
    let worker = claim.job.worker.as_deref().unwrap_or("worker");
    let details = details::recorded(spec, outcome, current);
    audit::write(conn, now, worker, "record", Some(&id), details).await?;
    ledger::touch_with_session(conn, &id).await?;
    Ok(Some(recording))
}

pub(super) async fn conclude(
    conn: &mut SqliteConnection,
    claim: &Claim,
    outcome: &Outcome,
    by: &Deciding<'_>,
    now: Timestamp,
) -> Result<bool> {
    let Some(recording) = write_down(conn, claim, outcome, now).await? else { return Ok(true) };
    if settle::in_force(conn).await?.is_some_and(|hash| hash != by.policy) {
        return Ok(false);
    }
    // The session second: what becomes of its track concerns it.
    for id in [Some(recording.id), recording.session].into_iter().flatten() {
        if let Some(facts) = look::facts(conn, id).await? {
            settle::settle_one(conn, &(by.decide)(&facts), now).await?;
        }
    }
    Ok(true)
}

/// Of bytes that are no longer the recording's it says nothing.
async fn probed(
    conn: &mut SqliteConnection,
    recording: &Recording,
    probe: &Probe,
    current: bool,
) -> Result<()> {
    if current {
        let facts = probe.facts.as_ref();
        sqlx::query("UPDATE recording SET probe = ?, media_type = ?, duration_ms = ? WHERE id = ?")
            .bind(codec::to_json(probe))
            .bind(facts.map(|f| f.media_type.as_str()))
            .bind(facts.map(|f| codec::signed(f.duration_ms)))
            .bind(recording.id.to_string())
            .execute(&mut *conn)
            .await?;
        search::index_again(conn, &Recording { probe: Some(probe.clone()), ..recording.clone() }).await?;
    }
    Ok(())
}

async fn rendered(
    conn: &mut SqliteConnection,
    recording: &Recording,
    rendition: &Rendition,
    current: bool,
) -> Result<()> {
    let id = recording.id.to_string();
    if rendition.recording != recording.id {
        return Err(Error::someone_elses(recording, "rendition"));
    }
    for file in &rendition.files {
        sqlx::query("INSERT OR REPLACE INTO output (sha256, recording, name) VALUES (?, ?, ?)")
            .bind(&file.digest.sha256.0[..])
            .bind(&id)
            .bind(&rendition.name)
            .execute(&mut *conn)
            .await?;
    }
    let former: Option<String> =
        sqlx::query_scalar("SELECT body FROM rendition WHERE recording = ? AND name = ?")
            .bind(&id)
            .bind(&rendition.name)
            .fetch_optional(&mut *conn)
            .await?;
    // One made of former bytes is better than none, and no better than any other.
    if current || former.is_none() {
        let former: Option<Rendition> = former.as_deref().map(codec::json).transpose()?;
        for file in former.iter().flat_map(|r| &r.files) {
            add_usage(conn, &file.store, -codec::signed(file.digest.size)).await?;
        }
        for file in &rendition.files {
            add_usage(conn, &file.store, codec::signed(file.digest.size)).await?;
        }
        sqlx::query("INSERT OR REPLACE INTO rendition (recording, name, body) VALUES (?, ?, ?)")
            .bind(&id)
            .bind(&rendition.name)
            .bind(codec::to_json(rendition))
            .execute(conn)
            .await?;
    }
    Ok(())
}

/// A rendition that was made anew meanwhile is another one, and stays.
async fn missed(conn: &mut SqliteConnection, recording: &Recording, name: &str, job: JobId) -> Result<()> {
    let id = recording.id.to_string();
    let body: Option<String> =
        sqlx::query_scalar("SELECT body FROM rendition WHERE recording = ? AND name = ?")
            .bind(&id)
            .bind(name)
            .fetch_optional(&mut *conn)
            .await?;
    let lost: Option<Rendition> = body.as_deref().map(codec::json).transpose()?;
    let Some(lost) = lost.filter(|rendition| rendition.job == job) else { return Ok(()) };
    for file in &lost.files {
        add_usage(conn, &file.store, -codec::signed(file.digest.size)).await?;
    }
    sqlx::query("DELETE FROM rendition WHERE recording = ? AND name = ?")
        .bind(&id)
        .bind(name)
        .execute(&mut *conn)
        .await?;
    // Not done, as far as anybody decides; and its former attempts say nothing of the next.
    sqlx::query("UPDATE job SET state = 'cancelled', attempts = 0 WHERE id = ? AND state = 'done'")
        .bind(job.to_string())
        .execute(conn)
        .await?;
    Ok(())
}

/// What is about the accepted bytes themselves: where they are, and how they lie there.
async fn held(
    conn: &mut SqliteConnection,
    spec: &JobSpec,
    recording: &Recording,
    outcome: &Outcome,
    current: bool,
    now: Timestamp,
) -> Result<()> {
    let id = recording.id.to_string();
    let copies = look::every_copy(conn, recording.id).await?;
    let before = Held { recording: recording.clone(), copies };
    let Effect { held: after, alert } = custody::effect(spec, outcome, &before, current)?;
    for (store, bytes) in after.since(&before) {
        add_usage(conn, &store, bytes).await?;
    }
    for store in after.gone(&before) {
        sqlx::query("DELETE FROM copy WHERE recording = ? AND store = ?")
            .bind(&id)
            .bind(store)
            .execute(&mut *conn)
            .await?;
    }
    for copy in after.written(&before, outcome) {
        // A new copy is not the one that was about to go.
        sqlx::query(
            "INSERT INTO copy (recording, store, size, body, verified_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (recording, store) DO UPDATE SET size = ?3, body = ?4, verified_at = ?5,
                    leaving = CASE WHEN ?6 THEN NULL ELSE leaving END",
        )
        .bind(&id)
        .bind(&copy.store)
        .bind(codec::signed(copy.digest.size))
        .bind(codec::to_json(copy))
        .bind(custody::copy_verified_at(&after.recording, copy))
        .bind(!matches!(outcome, Outcome::Verified { .. }))
        .execute(&mut *conn)
        .await?;
    }
    if after.recording != before.recording {
        write(conn, &after.recording).await?;
    }
    if custody::is_readable_again(&before, &after, now) {
        // Whoever waits for that would look again within the hour.
        sqlx::query(
            "UPDATE job SET run_after = ?1
             WHERE recording = ?2 AND state IN ('pending', 'paused') AND destination IS NOT NULL AND run_after > ?1",
        )
        .bind(now.0)
        .bind(&id)
        .execute(&mut *conn)
        .await?;
    }
    match alert {
        Some(alert) => alerts::raise(conn, &alert).await,
        None => Ok(()),
    }
}
