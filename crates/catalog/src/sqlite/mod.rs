//! The catalog in one SQLite file: embedded mode, and everything a test needs.

mod accept;
mod alerts;
mod audit;
mod batches;
mod bind;
mod custody;
mod describe;
mod failure;
mod history;
mod leaving;
mod ledger;
mod look;
mod pages;
mod record;
mod remove;
mod rows;
mod schema;
mod search;
mod settle;
mod transaction;
mod whole;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    Alert, Certificate, Copy, DeletionLimit, Facts, Failure, Job, JobId, JobSpec, Lane, NewRecording, Offer,
    Outcome, Progress, Recording, RecordingId, Rendition, Screen, Sha256, Timestamp, Usage,
};
use sqlx::{
    Connection as _, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{
    Accepted, AuditEntry, AuditVerdict, Batch, BatchId, BatchState, BatchStatus, Catalog, Change, Changed,
    Claim, Claimed, Counts, Cursor, Deciding, Eldest, Ended, Evicting, Hour, JobFilter, Known, Next, Page,
    Places, Purging, Query, Result, Retry, Sample, Settle, Settled, Told, Trashed, Trashing,
};
use transaction::Transaction;

/// One database file, that several processes may have open at once.
///
/// Writes go through one connection per process and take SQLite's write lock when they begin (`BEGIN IMMEDIATE`):
/// a transaction that reads first and finds the lock taken when it wants to write would have to be repeated.
/// Every commit is on the disk before the call returns (`synchronous=FULL`). Caches are small: an idle worker's
/// memory is the promise, and the operating system caches the file anyway.
#[derive(Debug, Clone)]
pub struct Sqlite {
    writer: SqlitePool,
    readers: SqlitePool,
}

/// How long to wait for another process before saying that the database is busy.
const PATIENCE: Duration = Duration::from_secs(10);
const READERS: u32 = 3;

impl Sqlite {
    /// Opens the database, made if there is none and brought up to date if it is older. A database that a newer
    /// binary has written is refused ([`Kind::Newer`](crate::Kind::Newer)).
    pub async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .busy_timeout(PATIENCE)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .statement_cache_capacity(64)
            .pragma("journal_size_limit", "16777216")
            .pragma("temp_store", "memory");
        let mut first = failure::at(path, schema::first_connection(&options).await)?;
        schema::bring_up_to_date(&mut first, path).await?;
        first.close().await?;

        let writer = options.clone().pragma("cache_size", "-8192").thread_name(|_| "catalog-write".into());
        let readers = options.pragma("cache_size", "-1024").pragma("query_only", "on");
        let readers = readers.thread_name(|n| format!("catalog-read-{n}"));
        let pool = || {
            SqlitePoolOptions::new()
                // Not with sqlx 0.9.0: what looks after idle connections can spin for ever, at the process's end too, when one is
                // given back in the instant of its start (sqlx issue 3645, mended by 4289 after that release).
                .max_lifetime(None)
                .idle_timeout(None)
                .test_before_acquire(false)
                // Our own callers queue for as long as the work before them takes.
                .acquire_timeout(6 * PATIENCE)
        };
        Ok(Self {
            writer: pool().max_connections(1).connect_lazy_with(writer),
            readers: pool().max_connections(READERS).connect_lazy_with(readers),
        })
    }

    /// Waits for what is under way and lets the file go.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    async fn write(&self) -> Result<Transaction> {
        Transaction::begin(&self.writer, "BEGIN IMMEDIATE").await
    }

    /// Everything read in it is of one moment.
    async fn read(&self) -> Result<Transaction> {
        Transaction::begin(&self.readers, "BEGIN").await
    }
}

#[async_trait]
impl Catalog for Sqlite {
    async fn accept(&self, batch: &[NewRecording], now: Timestamp) -> Result<Vec<Accepted>> {
        let mut tx = self.write().await?;
        let accepted = accept::accept(&mut tx, batch, now).await;
        tx.end(accepted).await
    }

    async fn get(&self, id: RecordingId) -> Result<Option<Recording>> {
        look::get(&mut *self.readers.acquire().await?, id).await
    }

    async fn resolve(&self, prefix: &str) -> Result<Vec<RecordingId>> {
        look::resolve(&mut *self.readers.acquire().await?, prefix).await
    }

    async fn facts(&self, id: RecordingId) -> Result<Option<Facts>> {
        let mut tx = self.read().await?;
        let found = look::facts(&mut tx, id).await;
        tx.end(found).await
    }

    async fn settle(&self, batch: &[Settle], policy: &str, now: Timestamp) -> Result<Vec<Settled>> {
        let mut tx = self.write().await?;
        let settled = settle::settle(&mut tx, batch, policy, now).await;
        tx.end(settled).await
    }

    async fn to_decide(
        &self,
        now: Timestamp,
        after: Option<RecordingId>,
        limit: u32,
    ) -> Result<Vec<RecordingId>> {
        settle::to_decide(&mut *self.readers.acquire().await?, now, after, limit).await
    }

    async fn policy_in_force(&self, hash: &str, now: Timestamp) -> Result<bool> {
        let mut tx = self.write().await?;
        let changed = settle::policy_in_force(&mut tx, hash, now).await;
        tx.end(changed).await
    }

    async fn offer_within(
        &self,
        lane: Lane,
        now: Timestamp,
        limit: u32,
        lost_before: Option<Timestamp>,
        places: &Places,
    ) -> Result<Vec<JobId>> {
        let mut reader = self.readers.acquire().await?;
        if ledger::ready(&mut reader, lane, now, 1, lost_before, places).await?.is_empty() {
            return Ok(Vec::new());
        }
        drop(reader);
        let mut tx = self.write().await?;
        let jobs = ledger::offer(&mut tx, lane, now, limit, lost_before, places).await;
        tx.end(jobs).await
    }

    async fn claimable(&self, jobs: &[JobId], now: Timestamp) -> Result<BTreeSet<JobId>> {
        ledger::claimable(&mut *self.readers.acquire().await?, jobs, now).await
    }

    async fn claim_within(
        &self,
        job: JobId,
        worker: &str,
        now: Timestamp,
        ttl: Duration,
        places: &Places,
    ) -> Result<Claimed> {
        let mut tx = self.write().await?;
        let claim = ledger::claim(&mut tx, job, worker, now, ttl, places).await;
        tx.end(claim).await
    }

    async fn put_off(&self, job: JobId, now: Timestamp, until: Timestamp) -> Result<()> {
        let mut tx = self.write().await?;
        let done = ledger::put_off(&mut tx, job, now, until).await;
        tx.end(done).await
    }

    async fn stirs(&self, now: Timestamp) -> Result<bool> {
        ledger::stirs(&mut *self.readers.acquire().await?, now).await
    }

    async fn next_to(&self, to: &str, now: Timestamp) -> Result<Option<JobId>> {
        ledger::next_to(&mut *self.readers.acquire().await?, to, now).await
    }

    async fn under_way(&self, to: &str, now: Timestamp) -> Result<u64> {
        ledger::under_way(&mut *self.readers.acquire().await?, to, now).await
    }

    async fn renew(
        &self,
        claim: &Claim,
        now: Timestamp,
        ttl: Duration,
        progress: Option<Progress>,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        let done = ledger::renew(&mut tx, claim, now, ttl, progress).await;
        tx.end(done).await
    }

    async fn holds(&self, claim: &Claim, now: Timestamp) -> Result<bool> {
        ledger::holds(&mut *self.readers.acquire().await?, claim, now).await
    }

    async fn conclude(
        &self,
        claim: &Claim,
        outcome: &Outcome,
        by: &Deciding<'_>,
        now: Timestamp,
    ) -> Result<bool> {
        let mut tx = self.write().await?;
        let decided = record::conclude(&mut tx, claim, outcome, by, now).await;
        tx.end(decided).await
    }

    async fn fail(&self, claim: &Claim, failure: &Failure, next: Next, now: Timestamp) -> Result<()> {
        let mut tx = self.write().await?;
        let done = ledger::fail(&mut tx, claim, failure, next, now).await;
        tx.end(done).await
    }

    async fn release(&self, claim: &Claim, until: Timestamp) -> Result<()> {
        let mut tx = self.write().await?;
        let done = ledger::release(&mut tx, claim, until).await;
        tx.end(done).await
    }

    async fn retry(&self, which: Retry, now: Timestamp) -> Result<u64> {
        let mut tx = self.write().await?;
        let jobs = ledger::retry(&mut tx, which, now).await;
        tx.end(jobs).await
    }

    async fn recover(&self, worker: Option<&str>, now: Timestamp) -> Result<u64> {
        let mut tx = self.write().await?;
        let jobs = ledger::recover(&mut tx, worker, now).await;
        tx.end(jobs).await
    }

    async fn lead(&self, role: &str, worker: &str, now: Timestamp, ttl: Duration) -> Result<bool> {
        let mut tx = self.write().await?;
        let leads = ledger::lead(&mut tx, role, worker, now, ttl).await;
        tx.end(leads).await
    }

    async fn trash(&self, items: &[Trashing], limit: &DeletionLimit, now: Timestamp) -> Result<Trashed> {
        let mut tx = self.write().await?;
        let trashed = custody::trash(&mut tx, items, limit, now).await;
        tx.end(trashed).await
    }

    async fn custody(
        &self,
        ids: &[RecordingId],
        change: &Change,
        actor: &str,
        now: Timestamp,
    ) -> Result<Vec<Changed>> {
        let mut tx = self.write().await?;
        let changed = custody::change(&mut tx, ids, change, actor, now).await;
        tx.end(changed).await
    }

    async fn begin_purge(&self, claim: &Claim, now: Timestamp) -> Result<Purging> {
        let mut tx = self.write().await?;
        let purging = remove::begin_purge(&mut tx, claim, now).await;
        tx.end(purging).await
    }

    async fn begin_evict(&self, claim: &Claim, keep: u32, now: Timestamp) -> Result<Evicting> {
        let mut tx = self.write().await?;
        let evicting = remove::begin_evict(&mut tx, claim, keep, now).await;
        tx.end(evicting).await
    }

    async fn offers(
        &self,
        room: Option<&str>,
        after: Option<RecordingId>,
        limit: u32,
    ) -> Result<Vec<(RecordingId, Offer)>> {
        settle::offers(&mut *self.readers.acquire().await?, room, after, limit).await
    }

    async fn certificates(&self, recording: Option<RecordingId>, limit: u32) -> Result<Vec<Certificate>> {
        remove::certificates(&mut *self.readers.acquire().await?, recording, limit).await
    }

    async fn facts_page(&self, after: Option<RecordingId>, limit: u32) -> Result<Vec<Facts>> {
        let mut tx = self.read().await?;
        let found = pages::facts_page(&mut tx, after, limit).await;
        tx.end(found).await
    }

    async fn facts_of(&self, ids: &[RecordingId]) -> Result<Vec<Facts>> {
        let mut tx = self.read().await?;
        let found = pages::facts_of(&mut tx, ids).await;
        tx.end(found).await
    }

    async fn screened(
        &self,
        screen: &Screen,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<(Vec<RecordingId>, Option<Cursor>)> {
        pages::screened(&mut *self.readers.acquire().await?, screen, after, limit).await
    }

    async fn eldest(&self, verified_before: Timestamp, limit: u32) -> Result<Vec<Eldest>> {
        pages::eldest(&mut *self.readers.acquire().await?, verified_before, limit).await
    }

    async fn order(&self, batch: &Batch, jobs: &[JobSpec], now: Timestamp) -> Result<u64> {
        let mut tx = self.write().await?;
        let entered = batches::order(&mut tx, batch, jobs, now).await;
        tx.end(entered).await
    }

    async fn batches(&self, limit: u32) -> Result<Vec<BatchStatus>> {
        let mut tx = self.read().await?;
        let found = batches::list(&mut tx, limit).await;
        tx.end(found).await
    }

    async fn set_batch(&self, id: BatchId, state: BatchState, by: &str, now: Timestamp) -> Result<bool> {
        let mut tx = self.write().await?;
        let changed = batches::set(&mut tx, id, state, by, now).await;
        tx.end(changed).await
    }

    async fn raise(&self, alerts: &[Alert]) -> Result<()> {
        let mut tx = self.write().await?;
        let mut done = Ok(());
        for alert in alerts {
            done = alerts::raise(&mut tx, alert).await;
            if done.is_err() {
                break;
            }
        }
        tx.end(done).await
    }

    async fn sample(&self, now: Timestamp) -> Result<bool> {
        let mut tx = self.write().await?;
        let done = history::sample(&mut tx, now).await;
        tx.end(done).await
    }

    async fn samples(&self, since: Timestamp) -> Result<Vec<Sample>> {
        history::samples(&mut *self.readers.acquire().await?, since).await
    }

    async fn hourly(&self, since: Timestamp) -> Result<Vec<Hour>> {
        history::hourly(&mut *self.readers.acquire().await?, since).await
    }

    async fn last_by_source(&self, since: Timestamp) -> Result<BTreeMap<String, Timestamp>> {
        history::last_by_source(&mut *self.readers.acquire().await?, since).await
    }

    async fn alerts(&self, limit: u32) -> Result<Vec<Told>> {
        alerts::list(&mut *self.readers.acquire().await?, limit).await
    }

    async fn ack(&self, key: &str, by: &str, now: Timestamp) -> Result<bool> {
        let mut tx = self.write().await?;
        let done = alerts::ack(&mut tx, key, by, now).await;
        tx.end(done).await
    }

    async fn escalated(&self, seqs: &[i64], now: Timestamp) -> Result<()> {
        let mut tx = self.write().await?;
        let done = alerts::escalated(&mut tx, seqs, now).await;
        tx.end(done).await
    }

    async fn unsent(&self, limit: u32) -> Result<Vec<(i64, Alert)>> {
        alerts::unsent(&mut *self.readers.acquire().await?, limit).await
    }

    async fn sent(&self, seqs: &[i64], now: Timestamp) -> Result<()> {
        let mut tx = self.write().await?;
        let done = alerts::sent(&mut tx, seqs, now).await;
        tx.end(done).await
    }

    async fn versions(&self, ids: &[RecordingId]) -> Result<Vec<Option<String>>> {
        look::versions(&mut *self.readers.acquire().await?, ids).await
    }

    async fn bookmark(&self, name: &str) -> Result<Option<String>> {
        look::bookmark(&mut *self.readers.acquire().await?, name).await
    }

    async fn set_bookmark(&self, name: &str, value: Option<&str>) -> Result<()> {
        let mut tx = self.write().await?;
        let done = look::set_bookmark(&mut tx, name, value).await;
        tx.end(done).await
    }

    async fn note(
        &self,
        id: RecordingId,
        actor: &str,
        what: &str,
        details: serde_json::Value,
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        let id = id.to_string();
        let noted = async {
            audit::write(&mut tx, now, actor, what, Some(&id), details).await?;
            ledger::touch_with_session(&mut tx, &id).await
        }
        .await;
        tx.end(noted).await
    }

    async fn search(&self, query: &Query, limit: u32, after: Option<Cursor>) -> Result<Page> {
        search::search(&mut *self.readers.acquire().await?, query, limit, after).await
    }

    async fn job(&self, id: JobId) -> Result<Option<Job>> {
        look::job(&mut *self.readers.acquire().await?, id).await
    }

    async fn jobs(&self, filter: &JobFilter, limit: u32) -> Result<Vec<Job>> {
        look::jobs(&mut *self.readers.acquire().await?, filter, limit).await
    }

    async fn ended(&self, filter: &JobFilter, after: Option<i64>, limit: u32) -> Result<Vec<Ended>> {
        look::ended(&mut *self.readers.acquire().await?, filter, after, limit).await
    }

    async fn counts(&self) -> Result<Counts> {
        let mut tx = self.read().await?;
        let found = look::counts(&mut tx).await;
        tx.end(found).await
    }

    async fn waiting_since(&self, now: Timestamp) -> Result<BTreeMap<Lane, Timestamp>> {
        ledger::waiting_since(&mut *self.readers.acquire().await?, now).await
    }

    async fn usage(&self) -> Result<Usage> {
        look::usage(&mut *self.readers.acquire().await?).await
    }

    async fn leaving(&self, store: &str) -> Result<u64> {
        leaving::leaving(&mut *self.readers.acquire().await?, store).await
    }

    async fn renditions(&self, id: RecordingId) -> Result<Vec<Rendition>> {
        look::renditions(&mut *self.readers.acquire().await?, id).await
    }

    async fn copies(&self, id: RecordingId) -> Result<Vec<Copy>> {
        look::copies(&mut *self.readers.acquire().await?, id).await
    }

    async fn audit(&self, recording: Option<RecordingId>, limit: u32) -> Result<Vec<AuditEntry>> {
        audit::read(&mut *self.readers.acquire().await?, recording, limit).await
    }

    async fn audit_verify(&self) -> Result<AuditVerdict> {
        let mut tx = self.read().await?;
        let verdict = audit::verify(&mut tx).await;
        tx.end(verdict).await
    }

    async fn by_digest(&self, sha256: &Sha256) -> Result<Option<Known>> {
        look::by_digest(&mut *self.readers.acquire().await?, sha256).await
    }
}

/// The recording's facts changed: whatever was decided on the former ones is void.
async fn touch(conn: &mut SqliteConnection, id: &str) -> Result<()> {
    sqlx::query("UPDATE recording SET revision = revision + 1 WHERE id = ?")
        .bind(id)
        .execute(&mut *conn)
        .await?;
    sqlx::query("INSERT OR REPLACE INTO attention (id, at) SELECT id, 0 FROM recording WHERE id = ?")
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

/// What is true of a track is a fact of its session.
async fn touch_session_of(conn: &mut SqliteConnection, recording: &str) -> Result<()> {
    let session: Option<String> = sqlx::query_scalar("SELECT session FROM recording WHERE id = ?")
        .bind(recording)
        .fetch_optional(&mut *conn)
        .await?
        .flatten();
    match session {
        Some(session) => touch(conn, &session).await,
        None => Ok(()),
    }
}

async fn add_usage(conn: &mut SqliteConnection, store: &str, bytes: i64) -> Result<()> {
    sqlx::query(
        "INSERT INTO usage (store, bytes) VALUES (?, ?)
         ON CONFLICT (store) DO UPDATE SET bytes = bytes + excluded.bytes",
    )
    .bind(store)
    .bind(bytes)
    .execute(conn)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests;
