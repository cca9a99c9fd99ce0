use domain::{Copy, Outcome, Probe, Recording, Rendition, Timestamp};
use sqlx::SqliteConnection;

use super::{add_usage, audit, ledger, look, search};
use crate::{Claim, Error, Result, codec, details};

pub(super) async fn record(
    conn: &mut SqliteConnection,
    claim: &Claim,
    outcome: &Outcome,
    now: Timestamp,
) -> Result<()> {
    let spec = &claim.job.spec;
    let job = spec.id.to_string();
    let (state, token): (String, i64) = sqlx::query_as("SELECT state, token FROM job WHERE id = ?")
        .bind(&job)
        .fetch_optional(&mut *conn)
        .await?
        .ok_or_else(|| Error::lease_lost(claim))?;
    match (token == claim.token, state.as_str()) {
        // The answer to the first time was lost on its way.
        (true, "done") => return Ok(()),
        (true, "running") => {}
        _ => return Err(Error::lease_lost(claim)),
    }
    let Some(recording) = look::get(conn, spec.recording).await? else { return Err(Error::of_nobody(spec)) };
    let current = recording.version == spec.version;
    match outcome {
        Outcome::Probed { probe } => probed(conn, &recording, probe, current).await?,
        Outcome::Rendered { rendition } => rendered(conn, &recording, rendition, current).await?,
        Outcome::Copied { copy } => copied(conn, &recording, copy).await?,
        Outcome::Tagged { tags } => tagged(conn, recording.clone(), tags).await?,
        _ => return Err(Error::of_nobody(spec)),
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
    ledger::touch_with_session(conn, &id).await
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

async fn copied(conn: &mut SqliteConnection, recording: &Recording, copy: &Copy) -> Result<()> {
    let id = recording.id.to_string();
    if copy.recording != recording.id {
        return Err(Error::someone_elses(recording, "copy"));
    }
    let former: Option<i64> = sqlx::query_scalar("SELECT size FROM copy WHERE recording = ? AND store = ?")
        .bind(&id)
        .bind(&copy.store)
        .fetch_optional(&mut *conn)
        .await?;
    let size = codec::signed(copy.digest.size);
    add_usage(conn, &copy.store, size - former.unwrap_or(0)).await?;
    sqlx::query("INSERT OR REPLACE INTO copy (recording, store, size, body) VALUES (?, ?, ?, ?)")
        .bind(&id)
        .bind(&copy.store)
        .bind(size)
        .bind(codec::to_json(copy))
        .execute(conn)
        .await?;
    Ok(())
}

async fn tagged(
    conn: &mut SqliteConnection,
    mut recording: Recording,
    tags: &std::collections::BTreeSet<String>,
) -> Result<()> {
    recording.tags.extend(tags.iter().cloned());
    sqlx::query("UPDATE recording SET tags = ? WHERE id = ?")
        .bind(codec::to_json(&recording.tags))
        .bind(recording.id.to_string())
        .execute(&mut *conn)
        .await?;
    search::index_again(conn, &recording).await
}
