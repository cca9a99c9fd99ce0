use std::collections::{BTreeMap, BTreeSet};

use domain::{Job, JobSpec, Offer, RecordingId, Timestamp};
use sqlx::PgConnection;

use super::{
    alerts, audit,
    failure::Result,
    lock::{self, Locked},
    look, rows, text, touch,
};
use crate::{Deciding, Settle, Settled, codec, custody, details, places::destination, rivals};

/// Begins a transaction that no new policy can overtake: it waits for all of these, and they for it.
pub(super) const BEGIN: &str = "BEGIN; LOCK TABLE attention IN ROW EXCLUSIVE MODE";

/// The other side of it.
pub(super) const BEGIN_POLICY: &str =
    "BEGIN; SET LOCAL statement_timeout = 0; LOCK TABLE attention IN SHARE ROW EXCLUSIVE MODE";

/// The same as one decision after the other, but written together: a worker settles a hundred at a time, and every
/// statement is a journey to the server.
pub(super) async fn settle(
    conn: &mut PgConnection,
    batch: &[Settle],
    policy: &str,
    now: Timestamp,
) -> Result<Vec<Settled>> {
    if in_force(conn).await?.is_some_and(|hash| hash != policy) {
        return Ok(vec![Settled::OtherPolicy; batch.len()]);
    }
    let ids: Vec<String> = batch.iter().map(|it| it.id.to_string()).collect();
    let mut standing = lock::with_sessions(conn, &ids).await?;
    take_over(conn, batch, &mut standing, Basis::Known, now).await
}

/// What follows from an outcome that this transaction has written down: decided on its recording as that is now, and then on the
/// session, because what becomes of a track concerns that. They are locked.
pub(super) async fn follow(
    conn: &mut PgConnection,
    standing: &mut Locked,
    (id, session): (RecordingId, Option<RecordingId>),
    by: &Deciding<'_>,
    now: Timestamp,
) -> Result<()> {
    for id in [Some(id), session].into_iter().flatten() {
        let Some(facts) = look::facts(conn, id).await? else { continue };
        standing.is_now(&facts.recording);
        let settled = take_over(conn, &[(by.decide)(&facts)], standing, Basis::New, now).await?;
        if !matches!(settled.as_slice(), [Settled::Applied { .. }]) {
            touch(conn, &[id.to_string().as_str()]).await?;
        }
    }
    Ok(())
}

/// What is decided on.
#[derive(Clone, Copy, PartialEq)]
enum Basis {
    /// Facts as they were.
    Known,
    /// Facts that this transaction has written: whoever has read the former ones decides in vain, whatever comes of it here.
    New,
}

/// Decisions on recordings that are locked.
async fn take_over(
    conn: &mut PgConnection,
    batch: &[Settle],
    standing: &mut Locked,
    basis: Basis,
    now: Timestamp,
) -> Result<Vec<Settled>> {
    let ids: Vec<String> = batch.iter().map(|it| it.id.to_string()).collect();
    let mut settled = vec![Settled::Stale; batch.len()];
    let mut changes = Changes::default();
    for (turn, (it, id)) in batch.iter().zip(&ids).enumerate() {
        let Some(itself) = standing.get_mut(id).filter(|s| s.revision == it.revision) else { continue };
        if custody::settled_elsewhere(itself.state, it.decision.state) {
            continue;
        }
        // Decided twice in one batch: the second finds what the first has done.
        if changes.of.contains(id.as_str()) {
            std::mem::take(&mut changes).write(conn, now, &mut settled).await?;
        }
        let before = std::mem::replace(&mut itself.state, it.decision.state);
        let reason = text(&it.decision.reason);
        if basis == Basis::New || before != it.decision.state || itself.reason != reason {
            itself.reason = reason.into_owned();
            itself.revision += 1;
            changes.moved.push((id, it));
        }
        if before != it.decision.state {
            let details = details::decided(before, &it.decision);
            changes.story.push(audit::Entry { recording: id.clone(), what: "state", details });
            // A session may be waiting for its track to get anywhere.
            if let Some(session) = itself.session.clone()
                && changes.woken.insert(session.clone())
                && let Some(session) = standing.get_mut(&session)
            {
                session.revision += 1;
            }
        }
        changes.of.insert(id);
        changes.applied.push((turn, id, it));
    }
    changes.write(conn, now, &mut settled).await?;
    Ok(settled)
}

/// What decisions on different recordings come to.
#[derive(Default)]
struct Changes<'a> {
    of: BTreeSet<&'a str>,
    /// With their places in the batch.
    applied: Vec<(usize, &'a str, &'a Settle)>,
    /// To another state, or to another reason for it, or on facts that are new.
    moved: Vec<(&'a str, &'a Settle)>,
    woken: BTreeSet<String>,
    story: Vec<audit::Entry>,
}

impl Changes<'_> {
    async fn write(self, conn: &mut PgConnection, now: Timestamp, settled: &mut [Settled]) -> Result<()> {
        if self.applied.is_empty() {
            return Ok(());
        }
        // First: what waited for another route cannot begin any more when it is looked for what has begun.
        self.cancel_jobs(conn, now).await?;
        let asked = self.ask_for_jobs(conn, now).await?;
        self.write_offers(conn).await?;
        self.set_times(conn).await?;
        if !self.moved.is_empty() {
            sqlx::query(
                "UPDATE recording r SET state = n.state, reason = n.reason, revision = r.revision + 1
                 FROM unnest($1::text[], $2::text[], $3::text[]) AS n (id, state, reason) WHERE r.id = n.id",
            )
            .bind(self.moved.iter().map(|(id, _)| *id).collect::<Vec<_>>())
            .bind(self.moved.iter().map(|(_, it)| it.decision.state.as_str()).collect::<Vec<_>>())
            .bind(self.moved.iter().map(|(_, it)| text(&it.decision.reason)).collect::<Vec<_>>())
            .execute(&mut *conn)
            .await?;
        }
        touch(conn, &self.woken.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        audit::write_all(conn, now, "decide", &self.story).await?;
        let told: Vec<_> = self.applied.iter().filter_map(|(_, _, it)| it.alert.as_ref()).collect();
        alerts::raise(conn, &told).await?;
        for (turn, _, it) in self.applied {
            let jobs = it.decision.jobs.iter().filter(|spec| asked.contains(&spec.id.to_string()));
            settled[turn] = Settled::Applied { jobs: jobs.map(|spec| (spec.id, spec.lane)).collect() };
        }
        Ok(())
    }

    fn jobs(&self) -> impl Iterator<Item = &JobSpec> {
        self.applied.iter().flat_map(|(_, _, it)| &it.decision.jobs)
    }

    /// Those that became pending by this.
    async fn ask_for_jobs(&self, conn: &mut PgConnection, now: Timestamp) -> Result<BTreeSet<String>> {
        // A statement cannot write the same row twice.
        let mut seen = BTreeSet::new();
        let exports = exports_in_hand(conn, self.jobs()).await?;
        let wanted = self.jobs().filter(|spec| !rivals::has_one(spec, &exports));
        let specs: Vec<&JobSpec> = wanted.filter(|spec| seen.insert(spec.id)).collect();
        if specs.is_empty() {
            return Ok(BTreeSet::new());
        }
        let asked: Vec<String> = sqlx::query_scalar(
            "INSERT INTO job (id, recording, version, action, lane, rule, reason, state, created_at, run_after, destination)
             SELECT n.id, n.recording, n.version, n.action, n.lane, n.rule, n.reason, 'pending', $1, $1, n.destination
             FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[], $9::text[])
                  WITH ORDINALITY AS n (id, recording, version, action, lane, rule, reason, destination, turn)
             WHERE NOT EXISTS (SELECT 1 FROM job j WHERE j.id = n.id AND j.state <> 'cancelled')
             ORDER BY n.turn
             ON CONFLICT (id) DO UPDATE SET
                 state = 'pending', run_after = excluded.run_after, lane = excluded.lane, rule = excluded.rule,
                 reason = excluded.reason, failures = 0, error = NULL, finished_at = NULL, offered_at = NULL,
                 batch = NULL
             WHERE job.state = 'cancelled'
             RETURNING id",
        )
        .bind(now.0)
        .bind(specs.iter().map(|s| s.id.to_string()).collect::<Vec<_>>())
        .bind(specs.iter().map(|s| s.recording.to_string()).collect::<Vec<_>>())
        .bind(specs.iter().map(|s| text(&s.version)).collect::<Vec<_>>())
        .bind(specs.iter().map(|s| codec::to_json(&s.action)).collect::<Vec<_>>())
        .bind(specs.iter().map(|s| codec::lane_number(s.lane)).collect::<Vec<_>>())
        .bind(specs.iter().map(|s| text(&s.rule)).collect::<Vec<_>>())
        .bind(specs.iter().map(|s| text(&s.reason)).collect::<Vec<_>>())
        .bind(specs.iter().map(|s| destination(&s.action).map(text)).collect::<Vec<_>>())
        .fetch_all(conn)
        .await?;
        Ok(asked.into_iter().collect())
    }

    /// What waits and is no longer asked for. Who works on it is not disturbed.
    async fn cancel_jobs(&self, conn: &mut PgConnection, now: Timestamp) -> Result<()> {
        sqlx::query(
            "UPDATE job SET state = 'cancelled', finished_at = $1, offered_at = NULL
             WHERE recording = ANY($2) AND state = 'pending' AND batch IS NULL AND id <> ALL($3)",
        )
        .bind(now.0)
        .bind(self.of.iter().copied().collect::<Vec<_>>())
        .bind(self.jobs().map(|spec| spec.id.to_string()).collect::<Vec<_>>())
        .execute(conn)
        .await?;
        Ok(())
    }

    /// Instead of those of the decisions before.
    async fn write_offers(&self, conn: &mut PgConnection) -> Result<()> {
        sqlx::query("DELETE FROM offer WHERE recording = ANY($1)")
            .bind(self.of.iter().copied().collect::<Vec<_>>())
            .execute(&mut *conn)
            .await?;
        let all: Vec<(&str, usize, &Offer)> = self
            .applied
            .iter()
            .flat_map(|(_, id, it)| it.decision.offers.iter().enumerate().map(|(n, offer)| (*id, n, offer)))
            .collect();
        if all.is_empty() {
            return Ok(());
        }
        macro_rules! each {
            ($of:expr) => {
                all.iter().map(|(_, _, offer)| offer).map($of).collect::<Vec<_>>()
            };
        }
        sqlx::query(concat!(
            "INSERT INTO offer (turn, ",
            rows::offer_columns!(),
            ") SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[],
                                    $7::bigint[], $8::bigint[], $9::bigint[], $10::text[])"
        ))
        .bind(all.iter().map(|(_, n, _)| codec::signed(*n as u64)).collect::<Vec<_>>())
        .bind(all.iter().map(|(id, _, _)| *id).collect::<Vec<_>>())
        .bind(each!(|o| text(&o.rule)))
        .bind(each!(|o| codec::to_json(&o.what)))
        .bind(each!(|o| text(o.room.as_deref().unwrap_or_default())))
        .bind(each!(|o| codec::signed(o.bytes)))
        .bind(each!(|o| i64::from(o.archived)))
        .bind(each!(|o| o.dated.0))
        .bind(each!(|o| codec::millis(o.trash)))
        .bind(each!(|o| text(&o.reason)))
        .execute(conn)
        .await?;
        Ok(())
    }

    /// When time alone would change the decisions.
    async fn set_times(&self, conn: &mut PgConnection) -> Result<()> {
        let mut due: BTreeMap<&str, i64> = BTreeMap::new();
        let mut never = Vec::new();
        for (_, id, it) in &self.applied {
            match it.decision.due_at {
                // Never 0, which would mean dirty.
                Some(at) => drop(due.insert(id, at.0.max(1))),
                None => never.push(*id),
            }
        }
        if !due.is_empty() {
            sqlx::query(
                "INSERT INTO attention (id, at) SELECT * FROM unnest($1::text[], $2::bigint[])
                 ON CONFLICT (id) DO UPDATE SET at = excluded.at",
            )
            .bind(due.keys().copied().collect::<Vec<_>>())
            .bind(due.values().copied().collect::<Vec<_>>())
            .execute(&mut *conn)
            .await?;
        }
        if !never.is_empty() {
            sqlx::query("DELETE FROM attention WHERE id = ANY($1)").bind(never).execute(conn).await?;
        }
        Ok(())
    }
}

/// Exports that somebody works on, of the recordings that others are asked for of.
async fn exports_in_hand<'a>(
    conn: &mut PgConnection,
    asked: impl Iterator<Item = &'a JobSpec>,
) -> Result<Vec<Job>> {
    let recordings: Vec<String> = rivals::concerned(asked).into_iter().collect();
    if recordings.is_empty() {
        return Ok(Vec::new());
    }
    let found = sqlx::query(concat!(
        "SELECT ",
        rows::job_columns!(),
        " FROM job WHERE recording = ANY($1) AND state = 'running' AND destination IS NOT NULL"
    ));
    let found = found.bind(&recordings).fetch_all(conn).await?;
    Ok(found.iter().map(rows::job).collect::<crate::Result<_>>()?)
}

pub(super) async fn offers(
    conn: &mut PgConnection,
    room: Option<&str>,
    after: Option<RecordingId>,
    limit: u32,
) -> Result<Vec<(RecordingId, Offer)>> {
    let found = sqlx::query(OFFERS)
        .bind(text(room.unwrap_or_default()))
        .bind(after.map(|id| id.to_string()).unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?;
    Ok(found.iter().map(rows::offer).collect::<crate::Result<_>>()?)
}

/// All of each recording, so that a page may end with any.
pub(super) const OFFERS: &str = concat!(
    "SELECT ",
    rows::offer_columns!(),
    " FROM offer WHERE room = $1 AND recording IN (
         SELECT DISTINCT recording FROM offer WHERE room = $1 AND recording > $2 ORDER BY recording LIMIT $3)
     ORDER BY recording, turn"
);

pub(super) async fn to_decide(
    conn: &mut PgConnection,
    now: Timestamp,
    after: Option<RecordingId>,
    limit: u32,
) -> Result<Vec<RecordingId>> {
    let ids: Vec<String> = sqlx::query_scalar(TO_DECIDE)
        .bind(after.map(|id| id.to_string()).unwrap_or_default())
        .bind(now.0)
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?;
    Ok(ids.iter().map(|id| codec::parsed(id)).collect::<crate::Result<_>>()?)
}

/// Two walks along the index: the dirty ones are in order already, the due ones are few and sorted.
pub(super) const TO_DECIDE: &str = "
(SELECT id FROM attention WHERE at = 0 AND id > $1 ORDER BY id LIMIT $3)
UNION ALL
(SELECT id FROM attention WHERE at BETWEEN 1 AND $2 AND id > $1 ORDER BY id LIMIT $3)
ORDER BY id LIMIT $3";

pub(super) async fn policy_in_force(conn: &mut PgConnection, hash: &str, now: Timestamp) -> Result<bool> {
    let former = in_force(conn).await?;
    if former.as_deref() == Some(hash) {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO setting (name, value) VALUES ('policy', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(hash)
    .execute(&mut *conn)
    .await?;
    sqlx::query(
        "INSERT INTO attention (id, at) SELECT id, 0 FROM recording WHERE state <> 'deleted'
         ON CONFLICT (id) DO UPDATE SET at = 0 WHERE attention.at <> 0",
    )
    .execute(&mut *conn)
    .await?;
    audit::write(conn, now, "user", "policy", None, details::policy(former.as_deref(), hash)).await?;
    Ok(true)
}

async fn in_force(conn: &mut PgConnection) -> Result<Option<String>> {
    Ok(sqlx::query_scalar("SELECT value FROM setting WHERE name = 'policy'").fetch_optional(conn).await?)
}
