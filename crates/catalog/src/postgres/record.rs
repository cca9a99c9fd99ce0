use std::collections::{BTreeMap, BTreeSet};

use domain::{JobId, JobSpec, Outcome, Probe, Recording, RecordingId, Rendition, Timestamp};
use sqlx::PgConnection;

use super::{
    add_usage, alerts, audit,
    custody::write,
    describe,
    failure::Result,
    lock::{self, Locked},
    look, remove, search, settle, text, touch,
};
use crate::{
    Claim, Deciding, Error, codec,
    custody::{self, Effect},
    details,
    usage::Held,
};

pub(super) async fn conclude(
    conn: &mut PgConnection,
    claim: &Claim,
    outcome: &Outcome,
    by: &Deciding<'_>,
    now: Timestamp,
) -> Result<bool> {
    let Some(it) = write_down(conn, claim, outcome, now).await? else { return Ok(true) };
    let Recorded { mut concerned, id, session, policy, usage } = it;
    let may_decide = policy.is_none_or(|policy| policy == by.policy);
    if may_decide {
        settle::follow(conn, &mut concerned, (id, session), by, now).await?;
    } else {
        touch(conn, &concerned.and_sessions([id.to_string().as_str()])).await?;
    }
    add_usage(conn, &usage).await?;
    Ok(may_decide)
}

/// What an outcome has become in this transaction, which has to go on: whom it concerns is to be decided anew, and the usage
/// comes last.
struct Recorded {
    /// Its recording and the session of that.
    concerned: Locked,
    id: RecordingId,
    session: Option<RecordingId>,
    /// The one in force.
    policy: Option<String>,
    usage: BTreeMap<String, i64>,
}

/// Of what was recorded before there is nothing to return: all of it is done.
async fn write_down(
    conn: &mut PgConnection,
    claim: &Claim,
    outcome: &Outcome,
    now: Timestamp,
) -> Result<Option<Recorded>> {
    let spec = &claim.job.spec;
    let (job, id) = (spec.id.to_string(), spec.recording.to_string());
    let concerned = lock::with_sessions(conn, std::slice::from_ref(&id)).await?;
    let (state, token, policy): (String, i64, Option<String>) = sqlx::query_as(
        "SELECT state, token, (SELECT value FROM setting WHERE name = 'policy') FROM job WHERE id = $1
         FOR NO KEY UPDATE",
    )
    .bind(&job)
    .fetch_optional(&mut *conn)
    .await?
    .ok_or_else(|| Error::lease_lost(claim))?;
    match (token == claim.token, state.as_str()) {
        // The answer to the first time was lost on its way.
        (true, "done") => return Ok(None),
        (true, "running") => {}
        _ => return Err(Error::lease_lost(claim).into()),
    }
    let Some(recording) = look::get(conn, spec.recording).await? else {
        return Err(Error::of_nobody(spec).into());
    };
    let (current, session) = (recording.version == spec.version, recording.session);
    let mut usage = BTreeMap::new();
    match outcome {
        Outcome::Probed { probe } => probed(conn, &recording, probe, current).await?,
        Outcome::Rendered { rendition } => {
            rendered(conn, &recording, rendition, current, &mut usage).await?;
        }
        Outcome::Missed { rendition, job, .. } => {
            missed(conn, &recording, rendition, *job, &mut usage).await?;
        }
        Outcome::Present => {}
        Outcome::Tagged { tags } => {
            let mut tagged = recording;
            tagged.tags.extend(tags.iter().cloned());
            describe::write(conn, &tagged).await?;
        }
        Outcome::Purged { certificate } => {
            remove::purged(conn, &recording, claim, certificate, &mut usage, now).await?;
        }
        Outcome::Drilled { .. } => {
            let alert = custody::drilled(&recording, outcome);
            alerts::raise(conn, &alert.iter().collect::<Vec<_>>()).await?;
        }
        Outcome::Notified { alert } => alerts::raise(conn, &[alert]).await?,
        // What lies elsewhere is no fact of ours: that it left is one.
        Outcome::Exported { .. }
        | Outcome::Copied { .. }
        | Outcome::Placed { .. }
        | Outcome::Moved { .. }
        | Outcome::Evicted { .. }
        | Outcome::Verified { .. } => {
            held(conn, spec, recording, outcome, current, &mut usage, now).await?;
        }
    }
    sqlx::query(
        "UPDATE job SET state = 'done', outcome = $1, finished_at = $2, lease_until = NULL, progress = NULL,
                        error = NULL, offered_at = NULL
         WHERE id = $3",
    )
    .bind(codec::to_json(outcome))
    .bind(now.0)
    .bind(&job)
    .execute(&mut *conn)
    .await?;
    let worker = claim.job.worker.as_deref().unwrap_or("worker");
    audit::write(conn, now, worker, "record", Some(&id), details::recorded(spec, outcome, current)).await?;
    Ok(Some(Recorded { concerned, id: spec.recording, session, policy, usage }))
}

/// Of bytes that are no longer the recording's it says nothing.
async fn probed(conn: &mut PgConnection, recording: &Recording, probe: &Probe, current: bool) -> Result<()> {
    if current {
        let facts = probe.facts.as_ref();
        sqlx::query("UPDATE recording SET probe = $1, media_type = $2, duration_ms = $3 WHERE id = $4")
            .bind(codec::to_json(probe))
            .bind(facts.map(|f| text(&f.media_type)))
            .bind(facts.map(|f| codec::signed(f.duration_ms)))
            .bind(recording.id.to_string())
            .execute(&mut *conn)
            .await?;
        search::index_again(conn, &Recording { probe: Some(probe.clone()), ..recording.clone() }).await?;
    }
    Ok(())
}

async fn rendered(
    conn: &mut PgConnection,
    recording: &Recording,
    rendition: &Rendition,
    current: bool,
    usage: &mut BTreeMap<String, i64>,
) -> Result<()> {
    let id = recording.id.to_string();
    if rendition.recording != recording.id {
        return Err(Error::someone_elses(recording, "rendition").into());
    }
    // Each once, and in an order: another recording's rendition may have the same bytes.
    let digests: BTreeSet<&[u8]> = rendition.files.iter().map(|f| &f.digest.sha256.0[..]).collect();
    sqlx::query(
        "INSERT INTO output (sha256, recording, name) SELECT n, $2, $3 FROM unnest($1::bytea[]) AS n ORDER BY n
         ON CONFLICT (sha256) DO UPDATE SET recording = excluded.recording, name = excluded.name",
    )
    .bind(digests.into_iter().collect::<Vec<_>>())
    .bind(&id)
    .bind(text(&rendition.name))
    .execute(&mut *conn)
    .await?;
    let former: Option<String> =
        sqlx::query_scalar("SELECT body FROM rendition WHERE recording = $1 AND name = $2")
            .bind(&id)
            .bind(text(&rendition.name))
            .fetch_optional(&mut *conn)
            .await?;
    // One made of former bytes is better than none, and no better than any other.
    if current || former.is_none() {
        let former: Option<Rendition> = former.as_deref().map(codec::json).transpose()?;
        for file in former.iter().flat_map(|r| &r.files) {
            *usage.entry(file.store.clone()).or_default() -= codec::signed(file.digest.size);
        }
        for file in &rendition.files {
            *usage.entry(file.store.clone()).or_default() += codec::signed(file.digest.size);
        }
        sqlx::query(
            "INSERT INTO rendition (recording, name, body) VALUES ($1, $2, $3)
             ON CONFLICT (recording, name) DO UPDATE SET body = excluded.body",
        )
        .bind(&id)
        .bind(text(&rendition.name))
        .bind(codec::to_json(rendition))
        .execute(conn)
        .await?;
    }
    Ok(())
}

/// A rendition that was made anew meanwhile is another one, and stays.
async fn missed(
    conn: &mut PgConnection,
    recording: &Recording,
    name: &str,
    job: JobId,
    usage: &mut BTreeMap<String, i64>,
) -> Result<()> {
    let id = recording.id.to_string();
    let body: Option<String> =
        sqlx::query_scalar("SELECT body FROM rendition WHERE recording = $1 AND name = $2")
            .bind(&id)
            .bind(text(name))
            .fetch_optional(&mut *conn)
            .await?;
    let lost: Option<Rendition> = body.as_deref().map(codec::json).transpose()?;
    let Some(lost) = lost.filter(|rendition| rendition.job == job) else { return Ok(()) };
    for file in &lost.files {
        *usage.entry(file.store.clone()).or_default() -= codec::signed(file.digest.size);
    }
    sqlx::query("DELETE FROM rendition WHERE recording = $1 AND name = $2")
        .bind(&id)
        .bind(text(name))
        .execute(&mut *conn)
        .await?;
    // Not done, as far as anybody decides; and its former attempts say nothing of the next.
    sqlx::query("UPDATE job SET state = 'cancelled', attempts = 0 WHERE id = $1 AND state = 'done'")
        .bind(job.to_string())
        .execute(conn)
        .await?;
    Ok(())
}

/// What is about the accepted bytes themselves: where they are, and how they lie there.
async fn held(
    conn: &mut PgConnection,
    spec: &JobSpec,
    recording: Recording,
    outcome: &Outcome,
    current: bool,
    usage: &mut BTreeMap<String, i64>,
    now: Timestamp,
) -> Result<()> {
    let id = recording.id.to_string();
    let copies = look::every_copy(conn, recording.id).await?;
    let before = Held { recording, copies };
    let Effect { held: after, alert } = custody::effect(spec, outcome, &before, current)?;
    usage.extend(after.since(&before));
    let gone: Vec<_> = after.gone(&before).map(text).collect();
    if !gone.is_empty() {
        sqlx::query("DELETE FROM copy WHERE recording = $1 AND store = ANY($2)")
            .bind(&id)
            .bind(gone)
            .execute(&mut *conn)
            .await?;
    }
    for copy in after.written(&before, outcome) {
        // A new copy is not the one that was about to go.
        sqlx::query(
            "INSERT INTO copy (recording, store, size, body, verified_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (recording, store) DO UPDATE SET
                 size = excluded.size, body = excluded.body, verified_at = excluded.verified_at,
                 leaving = CASE WHEN $6 THEN NULL ELSE copy.leaving END",
        )
        .bind(&id)
        .bind(text(&copy.store))
        .bind(codec::signed(copy.digest.size))
        .bind(codec::to_json(copy))
        .bind(custody::copy_verified_at(&after.recording, copy))
        .bind(!matches!(outcome, Outcome::Verified { .. }))
        .execute(&mut *conn)
        .await?;
    }
    if after.recording != before.recording {
        write(conn, std::slice::from_ref(&after.recording)).await?;
    }
    if custody::is_readable_again(&before, &after, now) {
        // Whoever waits for that would look again within the hour.
        sqlx::query(
            "UPDATE job SET run_after = $1
             WHERE recording = $2 AND state IN ('pending', 'paused') AND destination IS NOT NULL AND run_after > $1",
        )
        .bind(now.0)
        .bind(&id)
        .execute(&mut *conn)
        .await?;
    }
    alerts::raise(conn, &alert.iter().collect::<Vec<_>>()).await
}
