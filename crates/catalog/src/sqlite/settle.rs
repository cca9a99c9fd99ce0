use domain::{Job, JobSpec, Offer, RecordingId, State, Timestamp};
use sqlx::{Row as _, SqliteConnection};

use super::{alerts, audit, rows, touch_session_of};
use crate::{Result, Settle, Settled, codec, custody, details, places::destination, rivals};

pub(super) async fn settle(
    conn: &mut SqliteConnection,
    batch: &[Settle],
    policy: &str,
    now: Timestamp,
) -> Result<Vec<Settled>> {
    if in_force(conn).await?.is_some_and(|hash| hash != policy) {
        return Ok(vec![Settled::OtherPolicy; batch.len()]);
    }
    let mut settled = Vec::with_capacity(batch.len());
    for it in batch {
        settled.push(settle_one(conn, it, now).await?);
    }
    Ok(settled)
}

pub(super) async fn settle_one(conn: &mut SqliteConnection, it: &Settle, now: Timestamp) -> Result<Settled> {
    let id = it.id.to_string();
    let found = sqlx::query("SELECT state, reason FROM recording WHERE id = ? AND revision = ?")
        .bind(&id)
        .bind(it.revision)
        .fetch_optional(&mut *conn)
        .await?;
    let Some(row) = found else { return Ok(Settled::Stale) };
    let before: State = codec::state(row.try_get("state")?)?;
    let reason: String = row.try_get("reason")?;
    let decision = &it.decision;
    if custody::settled_elsewhere(before, decision.state) {
        return Ok(Settled::Stale);
    }

    let wanted: Vec<_> = decision.jobs.iter().map(|j| j.id).collect();
    sqlx::query(
        "UPDATE job SET state = 'cancelled', finished_at = ?, offered_at = NULL
         WHERE recording = ? AND state = 'pending' AND batch IS NULL AND id NOT IN (SELECT value FROM json_each(?))",
    )
    .bind(now.0)
    .bind(&id)
    .bind(codec::to_json(&wanted))
    .execute(&mut *conn)
    .await?;
    let mut jobs = Vec::new();
    // What waited for another route is cancelled by now: it cannot begin any more.
    let exports = exports_in_hand(conn, &decision.jobs).await?;
    for spec in decision.jobs.iter().filter(|spec| !rivals::has_one(spec, &exports)) {
        if ask(conn, spec, now).await? {
            jobs.push((spec.id, spec.lane));
        }
    }

    write_offers(conn, &id, &decision.offers).await?;
    match decision.due_at {
        // Never 0, which would mean dirty.
        Some(at) => {
            sqlx::query("INSERT OR REPLACE INTO attention (id, at) VALUES (?, ?)").bind(&id).bind(at.0.max(1))
        }
        None => sqlx::query("DELETE FROM attention WHERE id = ?").bind(&id),
    }
    .execute(&mut *conn)
    .await?;

    if before != decision.state || reason != decision.reason {
        sqlx::query("UPDATE recording SET state = ?, reason = ?, revision = revision + 1 WHERE id = ?")
            .bind(decision.state.as_str())
            .bind(&decision.reason)
            .bind(&id)
            .execute(&mut *conn)
            .await?;
    }
    if before != decision.state {
        audit::write(conn, now, "decide", "state", Some(&id), details::decided(before, decision)).await?;
        // A session may be waiting for its track to get anywhere.
        touch_session_of(conn, &id).await?;
    }
    if let Some(alert) = &it.alert {
        alerts::raise(conn, alert).await?;
    }
    Ok(Settled::Applied { jobs })
}

/// Instead of those of the decision before.
async fn write_offers(conn: &mut SqliteConnection, recording: &str, offers: &[Offer]) -> Result<()> {
    sqlx::query("DELETE FROM offer WHERE recording = ?").bind(recording).execute(&mut *conn).await?;
    for (turn, offer) in offers.iter().enumerate() {
        sqlx::query(concat!(
            "INSERT INTO offer (turn, ",
            rows::offer_columns!(),
            ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        ))
        .bind(codec::signed(turn as u64))
        .bind(recording)
        .bind(&offer.rule)
        .bind(codec::to_json(&offer.what))
        .bind(offer.room.as_deref().unwrap_or_default())
        .bind(codec::signed(offer.bytes))
        .bind(offer.archived)
        .bind(offer.dated.0)
        .bind(codec::millis(offer.trash))
        .bind(&offer.reason)
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

pub(super) async fn offers(
    conn: &mut SqliteConnection,
    room: Option<&str>,
    after: Option<RecordingId>,
    limit: u32,
) -> Result<Vec<(RecordingId, Offer)>> {
    let found = sqlx::query(OFFERS)
        .bind(room.unwrap_or_default())
        .bind(after.map(|id| id.to_string()).unwrap_or_default())
        .bind(limit)
        .fetch_all(conn)
        .await?;
    found.iter().map(rows::offer).collect()
}

/// All of each recording, so that a page may end with any.
pub(super) const OFFERS: &str = concat!(
    "SELECT ",
    rows::offer_columns!(),
    " FROM offer WHERE room = ?1 AND recording IN (
         SELECT DISTINCT recording FROM offer WHERE room = ?1 AND recording > ?2 ORDER BY recording LIMIT ?3)
     ORDER BY recording, turn"
);

/// Exports that somebody works on, of the recordings that others are asked for of.
async fn exports_in_hand(conn: &mut SqliteConnection, asked: &[JobSpec]) -> Result<Vec<Job>> {
    let mut found = Vec::new();
    for recording in rivals::concerned(asked) {
        let rows = sqlx::query(concat!(
            "SELECT ",
            rows::job_columns!(),
            " FROM job WHERE recording = ? AND state = 'running' AND destination IS NOT NULL"
        ));
        for row in rows.bind(recording).fetch_all(&mut *conn).await? {
            found.push(rows::job(&row)?);
        }
    }
    Ok(found)
}

/// True when the job became pending by this.
async fn ask(conn: &mut SqliteConnection, spec: &JobSpec, now: Timestamp) -> Result<bool> {
    let done = sqlx::query(
        "INSERT INTO job (id, recording, version, action, lane, rule, reason, state, created_at, run_after, destination)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'pending', ?8, ?8, ?9)
         ON CONFLICT (id) DO UPDATE SET state = 'pending', run_after = ?8, lane = ?5, rule = ?6, reason = ?7,
                                        failures = 0, error = NULL, finished_at = NULL,
                                        offered_at = NULL, batch = NULL
         WHERE state = 'cancelled'",
    )
    .bind(spec.id.to_string())
    .bind(spec.recording.to_string())
    .bind(&spec.version)
    .bind(codec::to_json(&spec.action))
    .bind(codec::lane_number(spec.lane))
    .bind(&spec.rule)
    .bind(&spec.reason)
    .bind(now.0)
    .bind(destination(&spec.action))
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn to_decide(
    conn: &mut SqliteConnection,
    now: Timestamp,
    after: Option<RecordingId>,
    limit: u32,
) -> Result<Vec<RecordingId>> {
    let ids: Vec<String> = sqlx::query_scalar(TO_DECIDE)
        .bind(after.map(|id| id.to_string()).unwrap_or_default())
        .bind(now.0)
        .bind(limit)
        .fetch_all(conn)
        .await?;
    ids.iter().map(|id| codec::parsed(id)).collect()
}

/// Two walks along the index: the dirty ones are in order already, the due ones are few and sorted.
pub(super) const TO_DECIDE: &str = "
SELECT id FROM (SELECT id FROM attention WHERE at = 0 AND id > ?1 ORDER BY id LIMIT ?3)
UNION ALL
SELECT id FROM (SELECT id FROM attention WHERE at BETWEEN 1 AND ?2 AND id > ?1 ORDER BY id LIMIT ?3)
ORDER BY id LIMIT ?3";

pub(super) async fn policy_in_force(conn: &mut SqliteConnection, hash: &str, now: Timestamp) -> Result<bool> {
    let former = in_force(conn).await?;
    if former.as_deref() == Some(hash) {
        return Ok(false);
    }
    sqlx::query("INSERT OR REPLACE INTO setting (name, value) VALUES ('policy', ?)")
        .bind(hash)
        .execute(&mut *conn)
        .await?;
    sqlx::query(
        "INSERT OR REPLACE INTO attention (id, at) SELECT id, 0 FROM recording WHERE state <> 'deleted'",
    )
    .execute(&mut *conn)
    .await?;
    audit::write(conn, now, "user", "policy", None, details::policy(former.as_deref(), hash)).await?;
    Ok(true)
}

pub(super) async fn in_force(conn: &mut SqliteConnection) -> Result<Option<String>> {
    Ok(sqlx::query_scalar("SELECT value FROM setting WHERE name = 'policy'").fetch_optional(conn).await?)
}
