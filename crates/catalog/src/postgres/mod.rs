//! The catalog in a PostgreSQL database, that a fleet of workers shares.

mod accept;
mod alerts;
mod audit;
mod batches;
mod bind;
mod connection;
mod custody;
mod describe;
mod failure;
mod history;
mod leaving;
mod ledger;
mod lock;
mod look;
mod pages;
mod record;
mod remove;
mod rid;
mod rows;
mod schema;
mod search;
mod settle;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    Alert, Certificate, Copy, DeletionLimit, Facts, Job, JobId, JobSpec, Lane, NewRecording, Offer, Outcome,
    Progress, Recording, RecordingId, Rendition, Screen, Sha256, Timestamp, Usage,
};
use sqlx::{PgConnection, PgPool};

use crate::{
    Accepted, AuditEntry, AuditVerdict, Batch, BatchId, BatchState, BatchStatus, Catalog, Change, Changed,
    Claim, Claimed, Counts, Cursor, Deciding, Eldest, Ended, Evicting, Hour, JobFilter, Known, Next, Page,
    Places, Purging, Query, Result, Retry, Sample, Settle, Settled, Told, Trashed, Trashing,
};
use connection::Held;
use failure::Failure;

/// One database, that many processes have open at once.
///
/// Transactions run at READ COMMITTED and lock what they change in one order (`lock.rs`), so that they wait and do not
/// deadlock. What the server refuses because of others (a deadlock after all) and what is cut off before its last word
/// is done again from its beginning, a few times. A connection that is lost after that leaves open whether the call
/// was kept: that is a temporary error, and the same call again is safe.
#[derive(Clone)]
pub struct Postgres {
    pool: PgPool,
    /// Longer than a statement takes with a server that answers,
    patience: Duration,
    /// and than a transaction.
    long_patience: Duration,
}

/// How to use a server that others use too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// At most so many at once; a call more waits for one of them.
    pub connections: u32,
    /// How long it waits, also for a server that is being restarted.
    pub acquire_timeout: Duration,
    /// After this the server gives a statement up.
    pub statement_timeout: Duration,
    /// A connection that is older is replaced when it is wanted next: a server keeps what it learnt in each, and whoever has a
    /// new password or another server behind the same name comes to it.
    pub lifetime: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections: 8,
            acquire_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(20),
            lifetime: Duration::from_secs(30 * 60),
        }
    }
}

/// For the rare step that rewrites much: a new format, a new policy for a million recordings.
const LONGEST_PATIENCE: Duration = Duration::from_secs(15 * 60);

const BEGIN: &str = "BEGIN";
const BEGIN_READING: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Makes attempts at `$attempt`, the body of a future, until it succeeds, fails for good or has failed often enough.
macro_rules! attempts {
    ($patience:expr, $attempt:block) => {{
        let mut attempts = Attempts::default();
        loop {
            let attempt = tokio::time::timeout($patience, async { $attempt });
            let result = attempt.await.unwrap_or(Err(Failure::Late($patience)));
            if let Some(answer) = attempts.judge(result).await {
                break answer;
            }
        }
    }};
}

/// One statement that may be said twice.
macro_rules! look {
    ($self:ident, $conn:ident => $work:expr) => {
        attempts!($self.patience, {
            let mut $conn = Held::from(&$self.pool).await?;
            let result = $work.await;
            $conn.done(result)
        })
    };
}

/// One statement that may be said once only.
macro_rules! once {
    ($self:ident, $conn:ident => $work:expr) => {
        attempts!($self.patience, {
            let mut $conn = Held::from(&$self.pool).await?;
            let result = $work.await.map_err(Failure::of_the_last_word);
            $conn.done(result)
        })
    };
}

/// A transaction.
macro_rules! change {
    ($self:ident, $tx:ident => $work:expr) => {
        change!($self, BEGIN, $self.long_patience, $tx => $work)
    };
    ($self:ident, $begin:expr, $patience:expr, $tx:ident => $work:expr) => {
        attempts!($patience, {
            let mut $tx = Held::begin(&$self.pool, $begin).await?;
            let result = $work.await;
            $tx.end(result).await
        })
    };
}

impl Postgres {
    /// Connects to `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=require` (PostgreSQL 13 or newer, directly or
    /// through a pooler that keeps sessions), and makes the tables if there are none or brings them up to date. A
    /// database that a newer binary has written is refused ([`Kind::Newer`](crate::Kind::Newer)), another program's
    /// too ([`Kind::Access`](crate::Kind::Access)).
    ///
    /// The URL may hold a password: nothing of it is ever shown.
    pub async fn connect(url: &str, options: &Options) -> Result<Self> {
        let pool = connection::pool(url, options)?;
        let patience = options.acquire_timeout + options.statement_timeout + Duration::from_secs(2);
        let this = Self { pool, patience, long_patience: patience + options.statement_timeout };
        change!(this, BEGIN, LONGEST_PATIENCE, tx => schema::bring_up_to_date(&mut tx))?;
        Ok(this)
    }

    /// Waits for what is under way and lets the connections go.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The pool would show the password.
        f.debug_struct("Postgres").field("connections", &self.pool.size()).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Attempts(u32);

const MOST_ATTEMPTS: u32 = 5;

impl Attempts {
    /// The answer, or nothing when another attempt is worth it; before that comes a pause that grows.
    async fn judge<T>(&mut self, result: failure::Result<T>) -> Option<Result<T>> {
        match result {
            Err(failure) if failure.is_worth_another_attempt() && self.0 + 1 < MOST_ATTEMPTS => {
                self.0 += 1;
                tokio::time::sleep(Duration::from_millis(10 << self.0)).await;
                None
            }
            result => Some(result.map_err(Into::into)),
        }
    }
}

#[async_trait]
impl Catalog for Postgres {
    async fn accept(&self, batch: &[NewRecording], now: Timestamp) -> Result<Vec<Accepted>> {
        change!(self, tx => accept::accept(&mut tx, batch, now))
    }

    async fn get(&self, id: RecordingId) -> Result<Option<Recording>> {
        look!(self, conn => look::get(&mut conn, id))
    }

    async fn resolve(&self, prefix: &str) -> Result<Vec<RecordingId>> {
        look!(self, conn => look::resolve(&mut conn, prefix))
    }

    async fn facts(&self, id: RecordingId) -> Result<Option<Facts>> {
        look!(self, conn => look::facts(&mut conn, id))
    }

    async fn settle(&self, batch: &[Settle], policy: &str, now: Timestamp) -> Result<Vec<Settled>> {
        change!(self, settle::BEGIN, self.long_patience, tx => settle::settle(&mut tx, batch, policy, now))
    }

    async fn to_decide(
        &self,
        now: Timestamp,
        after: Option<RecordingId>,
        limit: u32,
    ) -> Result<Vec<RecordingId>> {
        look!(self, conn => settle::to_decide(&mut conn, now, after, limit))
    }

    async fn policy_in_force(&self, hash: &str, now: Timestamp) -> Result<bool> {
        change!(self, settle::BEGIN_POLICY, LONGEST_PATIENCE, tx => settle::policy_in_force(&mut tx, hash, now))
    }

    /// When the answer is lost, `lost_before` makes good for it.
    async fn offer_within(
        &self,
        lane: Lane,
        now: Timestamp,
        limit: u32,
        lost_before: Option<Timestamp>,
        places: &Places,
    ) -> Result<Vec<JobId>> {
        once!(self, conn => ledger::offer(&mut conn, lane, now, limit, lost_before, places))
    }

    async fn claimable(&self, jobs: &[JobId], now: Timestamp) -> Result<BTreeSet<JobId>> {
        look!(self, conn => ledger::claimable(&mut conn, jobs, now))
    }

    /// When the answer is lost, the lease expires.
    async fn claim_within(
        &self,
        job: JobId,
        worker: &str,
        now: Timestamp,
        ttl: Duration,
        places: &Places,
    ) -> Result<Claimed> {
        match once!(self, conn => ledger::claim(&mut conn, job, worker, now, ttl))? {
            ledger::First::Said(claimed) => Ok(claimed),
            ledger::First::Goes(to) => {
                let which = (job, to.as_str(), places.of(&to));
                change!(self, tx => ledger::claim_to(&mut tx, which, worker, now, ttl))
            }
            ledger::First::Over => {
                change!(self, tx => ledger::put_aside(&mut tx, job, now))?;
                Ok(Claimed::Nothing)
            }
        }
    }

    async fn put_off(&self, job: JobId, now: Timestamp, until: Timestamp) -> Result<()> {
        look!(self, conn => ledger::put_off(&mut conn, job, now, until))
    }

    async fn stirs(&self, now: Timestamp) -> Result<bool> {
        look!(self, conn => ledger::stirs(&mut conn, now))
    }

    async fn next_to(&self, to: &str, now: Timestamp) -> Result<Option<JobId>> {
        look!(self, conn => ledger::next_to(&mut conn, to, now))
    }

    async fn under_way(&self, to: &str, now: Timestamp) -> Result<u64> {
        look!(self, conn => ledger::under_way(&mut conn, to, now))
    }

    async fn renew(
        &self,
        claim: &Claim,
        now: Timestamp,
        ttl: Duration,
        progress: Option<Progress>,
    ) -> Result<()> {
        look!(self, conn => ledger::renew(&mut conn, claim, now, ttl, progress))
    }

    async fn holds(&self, claim: &Claim, now: Timestamp) -> Result<bool> {
        look!(self, conn => ledger::holds(&mut conn, claim, now))
    }

    async fn conclude(
        &self,
        claim: &Claim,
        outcome: &Outcome,
        by: &Deciding<'_>,
        now: Timestamp,
    ) -> Result<bool> {
        change!(self, settle::BEGIN, self.long_patience, tx => record::conclude(&mut tx, claim, outcome, by, now))
    }

    async fn fail(&self, claim: &Claim, failure: &domain::Failure, next: Next, now: Timestamp) -> Result<()> {
        change!(self, tx => ledger::fail(&mut tx, claim, failure, next, now))
    }

    async fn release(&self, claim: &Claim, until: Timestamp) -> Result<()> {
        once!(self, conn => ledger::release(&mut conn, claim, until))
    }

    async fn retry(&self, which: Retry, now: Timestamp) -> Result<u64> {
        change!(self, tx => ledger::retry(&mut tx, which, now))
    }

    async fn recover(&self, worker: Option<&str>, now: Timestamp) -> Result<u64> {
        change!(self, tx => ledger::recover(&mut tx, worker, now))
    }

    async fn lead(&self, role: &str, worker: &str, now: Timestamp, ttl: Duration) -> Result<bool> {
        look!(self, conn => ledger::lead(&mut conn, role, worker, now, ttl))
    }

    async fn trash(&self, items: &[Trashing], limit: &DeletionLimit, now: Timestamp) -> Result<Trashed> {
        change!(self, custody::BEGIN_TRASH, self.long_patience, tx => custody::trash(&mut tx, items, limit, now))
    }

    async fn custody(
        &self,
        ids: &[RecordingId],
        change: &Change,
        actor: &str,
        now: Timestamp,
    ) -> Result<Vec<Changed>> {
        change!(self, tx => custody::change(&mut tx, ids, change, actor, now))
    }

    async fn begin_purge(&self, claim: &Claim, now: Timestamp) -> Result<Purging> {
        change!(self, tx => remove::begin_purge(&mut tx, claim, now))
    }

    async fn begin_evict(&self, claim: &Claim, keep: u32, now: Timestamp) -> Result<Evicting> {
        change!(self, tx => remove::begin_evict(&mut tx, claim, keep, now))
    }

    async fn offers(
        &self,
        room: Option<&str>,
        after: Option<RecordingId>,
        limit: u32,
    ) -> Result<Vec<(RecordingId, Offer)>> {
        look!(self, conn => settle::offers(&mut conn, room, after, limit))
    }

    async fn certificates(&self, recording: Option<RecordingId>, limit: u32) -> Result<Vec<Certificate>> {
        look!(self, conn => remove::certificates(&mut conn, recording, limit))
    }

    async fn facts_page(&self, after: Option<RecordingId>, limit: u32) -> Result<Vec<Facts>> {
        change!(self, BEGIN_READING, self.long_patience, tx => pages::facts_page(&mut tx, after, limit))
    }

    async fn facts_of(&self, ids: &[RecordingId]) -> Result<Vec<Facts>> {
        change!(self, BEGIN_READING, self.long_patience, tx => pages::facts_of(&mut tx, ids))
    }

    async fn screened(
        &self,
        screen: &Screen,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<(Vec<RecordingId>, Option<Cursor>)> {
        look!(self, conn => pages::screened(&mut conn, screen, after, limit))
    }

    async fn eldest(&self, verified_before: Timestamp, limit: u32) -> Result<Vec<Eldest>> {
        look!(self, conn => pages::eldest(&mut conn, verified_before, limit))
    }

    async fn order(&self, batch: &Batch, jobs: &[JobSpec], now: Timestamp) -> Result<u64> {
        change!(self, tx => batches::order(&mut tx, batch, jobs, now))
    }

    async fn batches(&self, limit: u32) -> Result<Vec<BatchStatus>> {
        change!(self, BEGIN_READING, self.long_patience, tx => batches::list(&mut tx, limit))
    }

    async fn set_batch(&self, id: BatchId, state: BatchState, by: &str, now: Timestamp) -> Result<bool> {
        change!(self, tx => batches::set(&mut tx, id, state, by, now))
    }

    async fn raise(&self, alerts: &[Alert]) -> Result<()> {
        let alerts: Vec<&Alert> = alerts.iter().collect();
        change!(self, tx => alerts::raise(&mut tx, &alerts))
    }

    async fn sample(&self, now: Timestamp) -> Result<bool> {
        change!(self, tx => history::sample(&mut tx, now))
    }

    async fn samples(&self, since: Timestamp) -> Result<Vec<Sample>> {
        look!(self, conn => history::samples(&mut conn, since))
    }

    async fn hourly(&self, since: Timestamp) -> Result<Vec<Hour>> {
        look!(self, conn => history::hourly(&mut conn, since))
    }

    async fn last_by_source(&self, since: Timestamp) -> Result<BTreeMap<String, Timestamp>> {
        look!(self, conn => history::last_by_source(&mut conn, since))
    }

    async fn alerts(&self, limit: u32) -> Result<Vec<Told>> {
        look!(self, conn => alerts::list(&mut conn, limit))
    }

    async fn ack(&self, key: &str, by: &str, now: Timestamp) -> Result<bool> {
        change!(self, tx => alerts::ack(&mut tx, key, by, now))
    }

    async fn escalated(&self, seqs: &[i64], now: Timestamp) -> Result<()> {
        change!(self, tx => alerts::escalated(&mut tx, seqs, now))
    }

    async fn unsent(&self, limit: u32) -> Result<Vec<(i64, Alert)>> {
        look!(self, conn => alerts::unsent(&mut conn, limit))
    }

    async fn sent(&self, seqs: &[i64], now: Timestamp) -> Result<()> {
        look!(self, conn => alerts::sent(&mut conn, seqs, now))
    }

    async fn versions(&self, ids: &[RecordingId]) -> Result<Vec<Option<String>>> {
        look!(self, conn => look::versions(&mut conn, ids))
    }

    async fn bookmark(&self, name: &str) -> Result<Option<String>> {
        look!(self, conn => look::bookmark(&mut conn, name))
    }

    async fn set_bookmark(&self, name: &str, value: Option<&str>) -> Result<()> {
        look!(self, conn => look::set_bookmark(&mut conn, name, value))
    }

    /// When the answer is lost and the caller asks again, it is noted twice.
    async fn note(
        &self,
        id: RecordingId,
        actor: &str,
        what: &str,
        details: serde_json::Value,
        now: Timestamp,
    ) -> Result<()> {
        let id = id.to_string();
        change!(self, tx => ledger::note(&mut tx, &id, actor, what, &details, now))
    }

    async fn search(&self, query: &Query, limit: u32, after: Option<Cursor>) -> Result<Page> {
        look!(self, conn => search::search(&mut conn, query, limit, after))
    }

    async fn job(&self, id: JobId) -> Result<Option<Job>> {
        look!(self, conn => look::job(&mut conn, id))
    }

    async fn jobs(&self, filter: &JobFilter, limit: u32) -> Result<Vec<Job>> {
        look!(self, conn => look::jobs(&mut conn, filter, limit))
    }

    async fn ended(&self, filter: &JobFilter, after: Option<i64>, limit: u32) -> Result<Vec<Ended>> {
        look!(self, conn => look::ended(&mut conn, filter, after, limit))
    }

    async fn counts(&self) -> Result<Counts> {
        change!(self, BEGIN_READING, self.long_patience, tx => look::counts(&mut tx))
    }

    async fn waiting_since(&self, now: Timestamp) -> Result<BTreeMap<Lane, Timestamp>> {
        look!(self, conn => ledger::waiting_since(&mut conn, now))
    }

    async fn usage(&self) -> Result<Usage> {
        look!(self, conn => look::usage(&mut conn))
    }

    async fn leaving(&self, store: &str) -> Result<u64> {
        look!(self, conn => leaving::leaving(&mut conn, store))
    }

    async fn renditions(&self, id: RecordingId) -> Result<Vec<Rendition>> {
        look!(self, conn => look::renditions(&mut conn, id))
    }

    async fn copies(&self, id: RecordingId) -> Result<Vec<Copy>> {
        look!(self, conn => look::copies(&mut conn, id))
    }

    async fn audit(&self, recording: Option<RecordingId>, limit: u32) -> Result<Vec<AuditEntry>> {
        look!(self, conn => audit::read(&mut conn, recording, limit))
    }

    async fn audit_verify(&self) -> Result<AuditVerdict> {
        change!(self, BEGIN_READING, LONGEST_PATIENCE, tx => audit::verify(&mut tx))
    }

    async fn by_digest(&self, sha256: &Sha256) -> Result<Option<Known>> {
        look!(self, conn => look::by_digest(&mut conn, sha256))
    }
}

/// The recordings' facts changed: whatever was decided on the former ones is void.
async fn touch(conn: &mut PgConnection, ids: &[&str]) -> failure::Result<()> {
    if !ids.is_empty() {
        sqlx::query(
            "WITH touched AS (UPDATE recording SET revision = revision + 1 WHERE id = ANY($1) RETURNING id)
             INSERT INTO attention (id, at) SELECT id, 0 FROM touched
             ON CONFLICT (id) DO UPDATE SET at = 0 WHERE attention.at <> 0",
        )
        .bind(ids)
        .execute(conn)
        .await?;
    }
    Ok(())
}

/// At the end of a transaction: whoever counts in the same part waits from here on.
async fn add_usage(conn: &mut PgConnection, bytes: &BTreeMap<String, i64>) -> failure::Result<()> {
    if !bytes.is_empty() {
        sqlx::query(
            "INSERT INTO usage (store, part, bytes)
             SELECT n.store, pg_backend_pid() % 64, n.bytes FROM unnest($1::text[], $2::bigint[]) AS n (store, bytes)
             ORDER BY n.store
             ON CONFLICT (store, part) DO UPDATE SET bytes = usage.bytes + excluded.bytes",
        )
        .bind(bytes.keys().map(|store| text(store)).collect::<Vec<_>>())
        .bind(bytes.values().copied().collect::<Vec<_>>())
        .execute(conn)
        .await?;
    }
    Ok(())
}

/// PostgreSQL's text has every character but one. It may be in what strangers name their files and titles; refusing
/// it would make an event fail for ever.
fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

#[cfg(test)]
mod tests;
