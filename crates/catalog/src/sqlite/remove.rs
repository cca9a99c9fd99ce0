//! What is asked before bytes go, and what is kept when they are gone.

use domain::{Certificate, Recording, RecordingId, Timestamp};
use sqlx::SqliteConnection;

use super::{
    add_usage, audit,
    custody::{cancel, write},
    ledger, look, search,
};
use crate::{Claim, Error, Evicting, Purging, Result, codec, custody, details};

pub(super) async fn begin_purge(
    conn: &mut SqliteConnection,
    claim: &Claim,
    now: Timestamp,
) -> Result<Purging> {
    let spec = &claim.job.spec;
    let mut recording = held_by(conn, claim, now).await?;
    let id = recording.id.to_string();
    let running = running(conn, claim, now).await?;
    let refused = custody::refuses_purge(&recording, spec, now).or_else(|| custody::in_use(spec, &running));
    if let Some(why) = refused {
        return Ok(Purging::Refused(why));
    }
    if custody::begins_to_go(&mut recording, now) {
        let worker = claim.job.worker.as_deref().unwrap_or("worker");
        audit::write(conn, now, worker, "purge", Some(&id), details::purges(spec, &recording)).await?;
        write(conn, &recording).await?;
        ledger::touch_with_session(conn, &id).await?;
    }
    // Whoever let its lease expire writes nothing more.
    cancel(conn, &id, &["pending", "paused", "running", "parked"], Some(&spec.id.to_string()), now).await?;
    let mut facts = look::facts(conn, spec.recording).await?.expect("found in this transaction");
    facts.copies = look::every_copy(conn, spec.recording).await?;
    Ok(Purging::Go(Box::new(facts)))
}

pub(super) async fn begin_evict(
    conn: &mut SqliteConnection,
    claim: &Claim,
    keep: u32,
    now: Timestamp,
) -> Result<Evicting> {
    let spec = &claim.job.spec;
    let recording = held_by(conn, claim, now).await?;
    let id = recording.id.to_string();
    let running = running(conn, claim, now).await?;
    let present = look::copies(conn, recording.id).await?;
    let refused =
        custody::refuses_evict(&recording, spec, keep, &present).or_else(|| custody::in_use(spec, &running));
    if let Some(why) = refused {
        return Ok(Evicting::Refused(why));
    }
    let all = look::every_copy(conn, recording.id).await?;
    let Some(copy) = custody::evicted(spec, &all) else {
        return Ok(Evicting::Refused(custody::NO_COPY.into()));
    };
    if present.contains(copy) {
        let worker = claim.job.worker.as_deref().unwrap_or("worker");
        audit::write(conn, now, worker, "evict", Some(&id), details::evicts(spec, copy)).await?;
        sqlx::query("UPDATE copy SET leaving = ?, verified_at = NULL WHERE recording = ? AND store = ?")
            .bind(spec.id.to_string())
            .bind(&id)
            .bind(&copy.store)
            .execute(&mut *conn)
            .await?;
        ledger::touch_with_session(conn, &id).await?;
    }
    Ok(Evicting::Go(Box::new(copy.clone())))
}

/// The recording that the claim is about, if the claim is good.
async fn held_by(conn: &mut SqliteConnection, claim: &Claim, now: Timestamp) -> Result<Recording> {
    if !ledger::holds(conn, claim, now).await? {
        return Err(Error::lease_lost(claim));
    }
    look::get(conn, claim.job.spec.recording).await?.ok_or_else(|| Error::of_nobody(&claim.job.spec))
}

/// What others do with the recording at this moment.
async fn running(conn: &mut SqliteConnection, claim: &Claim, now: Timestamp) -> Result<Vec<domain::Action>> {
    let actions: Vec<String> = sqlx::query_scalar(
        "SELECT action FROM job WHERE recording = ? AND state = 'running' AND lease_until > ? AND id <> ?
         ORDER BY id",
    )
    .bind(claim.job.spec.recording.to_string())
    .bind(now.0)
    .bind(claim.job.spec.id.to_string())
    .fetch_all(conn)
    .await?;
    actions.iter().map(|action| codec::json(action)).collect()
}

/// Nothing of it is there any more, but for who it was.
pub(super) async fn purged(
    conn: &mut SqliteConnection,
    recording: &Recording,
    claim: &Claim,
    certificate: &Certificate,
    now: Timestamp,
) -> Result<()> {
    let id = recording.id.to_string();
    let gone = custody::purged(recording, certificate)?;
    sqlx::query("INSERT INTO certificate (recording, body) VALUES (?, ?)")
        .bind(&id)
        .bind(codec::to_json(certificate))
        .execute(&mut *conn)
        .await?;
    let copies = look::every_copy(conn, recording.id).await?;
    let renditions = look::renditions(conn, recording.id).await?;
    for (store, bytes) in custody::all_bytes(recording, &copies, &renditions) {
        add_usage(conn, &store, -bytes).await?;
    }
    let rid: i64 =
        sqlx::query_scalar("SELECT rid FROM recording WHERE id = ?").bind(&id).fetch_one(&mut *conn).await?;
    search::forget(conn, rid).await?;
    for table in [
        "DELETE FROM rendition WHERE recording = ?",
        "DELETE FROM copy WHERE recording = ?",
        "DELETE FROM offer WHERE recording = ?",
        "DELETE FROM session_track WHERE session = ?",
    ] {
        sqlx::query(table).bind(&id).execute(&mut *conn).await?;
    }
    // Whatever was made is gone: should it come back, it is to be made again.
    let all = ["pending", "paused", "running", "parked", "done"];
    cancel(conn, &id, &all, Some(&claim.job.spec.id.to_string()), now).await?;
    write(conn, &gone).await
}

pub(super) async fn certificates(
    conn: &mut SqliteConnection,
    recording: Option<RecordingId>,
    limit: u32,
) -> Result<Vec<Certificate>> {
    let bodies: Vec<String> = match recording {
        Some(id) => {
            sqlx::query_scalar("SELECT body FROM certificate WHERE recording = ? ORDER BY seq DESC LIMIT ?")
                .bind(id.to_string())
        }
        None => sqlx::query_scalar("SELECT body FROM certificate ORDER BY seq DESC LIMIT ?"),
    }
    .bind(limit)
    .fetch_all(conn)
    .await?;
    bodies.iter().map(|body| codec::json(body)).collect()
}
