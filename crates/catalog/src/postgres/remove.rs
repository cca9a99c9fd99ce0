//! What is asked before bytes go, and what is kept when they are gone.

use std::collections::BTreeMap;

use domain::{Certificate, Recording, RecordingId, Timestamp};
use sqlx::PgConnection;

use super::{
    audit,
    custody::{cancel, write},
    failure::Result,
    ledger,
    lock::{self, Locked},
    look, search, text, touch,
};
use crate::{Claim, Error, Evicting, Purging, codec, custody, details};

pub(super) async fn begin_purge(conn: &mut PgConnection, claim: &Claim, now: Timestamp) -> Result<Purging> {
    let spec = &claim.job.spec;
    let (mut recording, locked) = held_by(conn, claim, now).await?;
    let id = recording.id.to_string();
    let running = running(conn, claim, now).await?;
    let refused = custody::refuses_purge(&recording, spec, now).or_else(|| custody::in_use(spec, &running));
    if let Some(why) = refused {
        return Ok(Purging::Refused(why));
    }
    if custody::begins_to_go(&mut recording, now) {
        let worker = claim.job.worker.as_deref().unwrap_or("worker");
        audit::write(conn, now, worker, "purge", Some(&id), details::purges(spec, &recording)).await?;
        write(conn, std::slice::from_ref(&recording)).await?;
        touch(conn, &locked.and_sessions([id.as_str()])).await?;
    }
    // Whoever let its lease expire writes nothing more.
    cancel(
        conn,
        std::slice::from_ref(&id),
        &["pending", "paused", "running", "parked"],
        Some(&spec.id.to_string()),
        now,
    )
    .await?;
    let mut facts = look::facts(conn, spec.recording).await?.expect("found in this transaction");
    facts.copies = look::every_copy(conn, spec.recording).await?;
    Ok(Purging::Go(Box::new(facts)))
}

pub(super) async fn begin_evict(
    conn: &mut PgConnection,
    claim: &Claim,
    keep: u32,
    now: Timestamp,
) -> Result<Evicting> {
    let spec = &claim.job.spec;
    let (recording, locked) = held_by(conn, claim, now).await?;
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
        sqlx::query("UPDATE copy SET leaving = $1, verified_at = NULL WHERE recording = $2 AND store = $3")
            .bind(spec.id.to_string())
            .bind(&id)
            .bind(text(&copy.store))
            .execute(&mut *conn)
            .await?;
        touch(conn, &locked.and_sessions([id.as_str()])).await?;
    }
    Ok(Evicting::Go(Box::new(copy.clone())))
}

/// The recording that the claim is about, locked, if the claim is good.
async fn held_by(conn: &mut PgConnection, claim: &Claim, now: Timestamp) -> Result<(Recording, Locked)> {
    let spec = &claim.job.spec;
    let locked = lock::with_sessions(conn, &[spec.recording.to_string()]).await?;
    sqlx::query("SELECT 1 FROM job WHERE id = $1 FOR NO KEY UPDATE")
        .bind(spec.id.to_string())
        .execute(&mut *conn)
        .await?;
    if !ledger::holds(conn, claim, now).await? {
        return Err(Error::lease_lost(claim).into());
    }
    let recording = look::get(conn, spec.recording).await?.ok_or_else(|| Error::of_nobody(spec))?;
    Ok((recording, locked))
}

/// What others do with the recording at this moment.
async fn running(conn: &mut PgConnection, claim: &Claim, now: Timestamp) -> Result<Vec<domain::Action>> {
    let actions: Vec<String> = sqlx::query_scalar(
        "SELECT action FROM job WHERE recording = $1 AND state = 'running' AND lease_until > $2 AND id <> $3
         ORDER BY id",
    )
    .bind(claim.job.spec.recording.to_string())
    .bind(now.0)
    .bind(claim.job.spec.id.to_string())
    .fetch_all(conn)
    .await?;
    Ok(actions.iter().map(|action| codec::json(action)).collect::<crate::Result<_>>()?)
}

/// Nothing of it is there any more, but for who it was.
pub(super) async fn purged(
    conn: &mut PgConnection,
    recording: &Recording,
    claim: &Claim,
    certificate: &Certificate,
    usage: &mut BTreeMap<String, i64>,
    now: Timestamp,
) -> Result<()> {
    let id = recording.id.to_string();
    let gone = custody::purged(recording, certificate)?;
    sqlx::query("INSERT INTO certificate (recording, body) VALUES ($1, $2)")
        .bind(&id)
        .bind(codec::to_json(certificate))
        .execute(&mut *conn)
        .await?;
    let copies = look::every_copy(conn, recording.id).await?;
    let renditions = look::renditions(conn, recording.id).await?;
    for (store, bytes) in custody::all_bytes(recording, &copies, &renditions) {
        *usage.entry(store).or_default() -= bytes;
    }
    let rid: i64 =
        sqlx::query_scalar("SELECT rid FROM recording WHERE id = $1").bind(&id).fetch_one(&mut *conn).await?;
    search::forget(conn, rid).await?;
    for table in [
        "DELETE FROM rendition WHERE recording = $1",
        "DELETE FROM copy WHERE recording = $1",
        "DELETE FROM offer WHERE recording = $1",
        "DELETE FROM session_track WHERE session = $1",
    ] {
        sqlx::query(table).bind(&id).execute(&mut *conn).await?;
    }
    // Whatever was made is gone: should it come back, it is to be made again.
    let all = ["pending", "paused", "running", "parked", "done"];
    cancel(conn, std::slice::from_ref(&id), &all, Some(&claim.job.spec.id.to_string()), now).await?;
    write(conn, &[gone]).await
}

pub(super) async fn certificates(
    conn: &mut PgConnection,
    recording: Option<RecordingId>,
    limit: u32,
) -> Result<Vec<Certificate>> {
    let bodies: Vec<String> = match recording {
        Some(id) => {
            sqlx::query_scalar("SELECT body FROM certificate WHERE recording = $1 ORDER BY seq DESC LIMIT $2")
                .bind(id.to_string())
        }
        None => sqlx::query_scalar("SELECT body FROM certificate ORDER BY seq DESC LIMIT $1"),
    }
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    Ok(bodies.iter().map(|body| codec::json(body)).collect::<crate::Result<_>>()?)
}
