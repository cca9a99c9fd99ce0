//! Remember and find: recordings and what became of them, the ledger of jobs, the audit log, search.
//!
//! One trait, [`Catalog`]; a backend joins by passing [`contract`]. Everything that must hold together is one
//! call here and one transaction there: an outcome becomes a fact, its job becomes done and its recording is
//! looked at again together or not at all.
//!
//! Architecture invariants: this room never knows S3 or ffmpeg, never reads a clock (the caller passes `now`),
//! and keeps SQL inside one module per database. What the search syntax means ([`query`]), what of a recording
//! is searchable ([`document`]) and how nouns are written as text are the same for every database.

mod batch;
mod chain;
mod codec;
#[cfg(feature = "contract")]
pub mod contract;
mod custody;
mod details;
pub mod document;
mod error;
mod fields;
mod history;
mod intake;
mod pages;
mod places;
mod plan;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod query;
mod rivals;
mod rows;
mod screen;
mod sqlite;
mod usage;
mod values;
#[cfg(feature = "postgres")]
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    Alert, Certificate, Copy, DeletionLimit, Facts, Failure, Job, JobId, JobSpec, Lane, NewRecording, Offer,
    Outcome, Progress, Recording, RecordingId, Rendition, Screen, Sha256, Timestamp, Usage,
};

pub use batch::{Batch, BatchId, BatchState, BatchStatus, BatchTag};
pub use error::{Error, Kind};
pub use history::{AuditVerdict, Eldest, Happening, Hour, Sample, Told};
pub use places::Places;
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
pub use query::{Query, SyntaxError};
pub use sqlite::Sqlite;
pub use values::{
    Accepted, AuditEntry, Change, Changed, Claim, Claimed, Counts, Cursor, Deciding, Description, Ended,
    Evicting, JobFilter, Known, Next, Over, Page, Purging, Retry, Settle, Settled, Trashed, Trashing,
};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// All that is remembered. A recording is *dirty* when something about it changed that `decide` has not seen;
/// every change of its facts also raises its revision, so that a decision on older facts cannot be settled.
#[async_trait]
pub trait Catalog: Send + Sync {
    // ---- recordings

    /// Takes recordings in, all or none, in the order given. An id that is known with the same version is left
    /// as it is; a known id with another version, accepted no earlier, is the same recording with new bytes:
    /// its probe is forgotten. The same bytes under another version of the store are the same bytes. What is deleted
    /// comes back as another life; new bytes take a recording out of the trash, unless it is being purged.
    ///
    /// Sessions and their tracks find one another by name, whichever comes first; what a session has is never
    /// taken from it by a later session or recording of the same names. A track without tags or recorded time
    /// takes its session's.
    async fn accept(&self, batch: &[NewRecording], now: Timestamp) -> Result<Vec<Accepted>>;

    async fn get(&self, id: RecordingId) -> Result<Option<Recording>>;

    /// The recordings whose id starts like this, in the order of their ids, twenty at most.
    async fn resolve(&self, prefix: &str) -> Result<Vec<RecordingId>>;

    /// All that `decide` may know of one recording, as of one moment.
    async fn facts(&self, id: RecordingId) -> Result<Option<Facts>>;

    /// Takes decisions over, each only if its recording is still at the revision that was decided on. An export is not asked
    /// for while somebody works on the same by another route. All in one transaction; answers in the order given.
    async fn settle(&self, batch: &[Settle], policy: &str, now: Timestamp) -> Result<Vec<Settled>>;

    /// The facts of many, as of one moment, in the order of their ids, after the one given: in a handful of
    /// statements, however many they are.
    async fn facts_page(&self, after: Option<RecordingId>, limit: u32) -> Result<Vec<Facts>>;

    /// The facts of these, as of one moment, in the order of their ids; those that are not known are left out.
    async fn facts_of(&self, ids: &[RecordingId]) -> Result<Vec<Facts>>;

    /// A page of those that pass ([`Screen::passes`]), in whichever order is the fastest to find, after the one given; with
    /// where the next page begins, and nothing when there was none any more. A recording whose date changes meanwhile may be
    /// missed or come twice.
    async fn screened(
        &self,
        screen: &Screen,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<(Vec<RecordingId>, Option<Cursor>)>;

    /// Recordings that are dirty, or whose decision time alone has changed, in the order of their ids, after
    /// the one given.
    async fn to_decide(
        &self,
        now: Timestamp,
        after: Option<RecordingId>,
        limit: u32,
    ) -> Result<Vec<RecordingId>>;

    /// Says which policy holds now. When it is another than the remembered one, everything becomes dirty, and
    /// decisions made by the former one are no longer taken over. True when it changed.
    async fn policy_in_force(&self, hash: &str, now: Timestamp) -> Result<bool>;

    // ---- ledger

    /// Hands over to the caller what somebody should do now, or whose worker let its lease expire, longest due
    /// first. Each is handed over once, until something makes it ready anew: whoever sends it to a queue and dies
    /// on the way is made good for by `lost_before`, with which jobs that were handed over before that time and
    /// that nobody has taken since are handed over again.
    ///
    /// Of what goes to a destination only as much as has a place there, and before everything else: it is little.
    async fn offer_within(
        &self,
        lane: Lane,
        now: Timestamp,
        limit: u32,
        lost_before: Option<Timestamp>,
        places: &Places,
    ) -> Result<Vec<JobId>>;

    /// The same where every destination takes whatever comes.
    async fn offer(
        &self,
        lane: Lane,
        now: Timestamp,
        limit: u32,
        lost_before: Option<Timestamp>,
    ) -> Result<Vec<JobId>> {
        self.offer_within(lane, now, limit, lost_before, &Places::default()).await
    }

    /// Those of the jobs that are due and that nobody has: one look for all that came with a receive. What is not among them, a
    /// [claim](Catalog::claim_within) would not give; what is may be another's by then, or have no place at its destination.
    async fn claimable(&self, jobs: &[JobId], now: Timestamp) -> Result<BTreeSet<JobId>>;

    /// Takes a due job, alone, where its destination has a place for it: whoever holds a live lease on a job that goes there
    /// has one of its places, and a dead worker's come back with their leases.
    async fn claim_within(
        &self,
        job: JobId,
        worker: &str,
        now: Timestamp,
        ttl: Duration,
        places: &Places,
    ) -> Result<Claimed>;

    /// The same where every destination takes whatever comes. `None` when there is nothing to do.
    async fn claim(&self, job: JobId, worker: &str, now: Timestamp, ttl: Duration) -> Result<Option<Claim>> {
        Ok(match self.claim_within(job, worker, now, ttl, &Places::default()).await? {
            Claimed::Ours(claim) => Some(*claim),
            Claimed::Nothing | Claimed::Full { .. } => None,
        })
    }

    /// Nobody has it, and nobody is to have it before `until`. A job that somebody took meanwhile is left alone.
    async fn put_off(&self, job: JobId, now: Timestamp, until: Timestamp) -> Result<()>;

    /// Whether there may be anything for whoever leads: a recording to decide on, a job to hand over, an alert to tell. One look,
    /// instead of one for each of them; true for what goes to a destination as long as it waits for a place there.
    async fn stirs(&self, now: Timestamp) -> Result<bool>;

    /// The job that goes there and has been ready for longest, of those that were handed over to nobody, the interactive lane's
    /// first: for whoever has just come from there.
    async fn next_to(&self, to: &str, now: Timestamp) -> Result<Option<JobId>>;

    /// Jobs that go to a destination and that somebody holds a live lease on, of all workers.
    async fn under_way(&self, to: &str, now: Timestamp) -> Result<u64>;

    /// Holds on for `ttl` from now. [`Kind::LeaseLost`] when somebody else has the job by now; also when the lease has
    /// expired and the job goes to a destination, where its place may be another's.
    async fn renew(
        &self,
        claim: &Claim,
        now: Timestamp,
        ttl: Duration,
        progress: Option<Progress>,
    ) -> Result<()>;

    /// Whether the lease is this claim's and has not expired: to be asked before anything irrevocable.
    async fn holds(&self, claim: &Claim, now: Timestamp) -> Result<bool>;

    /// The outcome becomes a fact and the job done, and what follows is decided and taken over, of the recording and then of its
    /// session: in one transaction, so that nobody finds them undecided in between and decides the same. A decision that is not
    /// taken over, being made on other facts, leaves them dirty. So does another policy in force than the one that
    /// would decide, and the answer is false.
    ///
    /// What is readable again by it is exported at once, where that waits. Concluding the same claim again changes nothing. A lease
    /// that has expired may still conclude as long as nobody else claimed the job; otherwise [`Kind::LeaseLost`].
    /// [`Kind::Held`] for a move of what is held by now: nothing is written, and the job is the caller's to
    /// [`fail`](Catalog::fail).
    async fn conclude(
        &self,
        claim: &Claim,
        outcome: &Outcome,
        by: &Deciding<'_>,
        now: Timestamp,
    ) -> Result<bool>;

    /// The job failed by itself. [`Kind::LeaseLost`] as in [`conclude`](Catalog::conclude).
    async fn fail(&self, claim: &Claim, failure: &Failure, next: Next, now: Timestamp) -> Result<()>;

    /// Gives the job back undone and without blame, to be taken from `until` on: the worker is shutting down, or it is not the
    /// time for it.
    async fn release(&self, claim: &Claim, until: Timestamp) -> Result<()>;

    /// Parked jobs become pending, as if they had never failed, on the interactive lane: a person is waiting.
    /// The number of them.
    async fn retry(&self, which: Retry, now: Timestamp) -> Result<u64>;

    /// Gives back at once what workers whose name starts with `worker` (`None`: all, and what they had been
    /// offered and led) had in hand. Only for a caller who knows that they are dead, as the one holding the
    /// library's lock does. The number of jobs that were running.
    async fn recover(&self, worker: Option<&str>, now: Timestamp) -> Result<u64>;

    /// True while `worker` is the one that does what only one should do (`role`), for `ttl` from now; whoever
    /// asks again in time keeps it.
    async fn lead(&self, role: &str, worker: &str, now: Timestamp, ttl: Duration) -> Result<bool>;

    // ---- custody

    /// Puts recordings into the trash, with the audit record first. Those that cannot go are left out and said why:
    /// held, in the trash already, changed since that revision. If the others are more than may go within
    /// [`DeletionLimit::WINDOW`], together with those that went before and did not come back, nothing at all is done.
    async fn trash(&self, items: &[Trashing], limit: &DeletionLimit, now: Timestamp) -> Result<Trashed>;

    /// Makes the change to each, with an audit record for each that it changes; answers in the order given. A hold on
    /// a session holds its tracks too, those that come later also, and what is released there is released of them.
    async fn custody(
        &self,
        ids: &[RecordingId],
        change: &Change,
        actor: &str,
        now: Timestamp,
    ) -> Result<Vec<Changed>>;

    /// To be asked in the instant before the first byte of a recording in the trash is removed, and again after a
    /// crash: the audit record is written, and from here on nobody holds or undeletes it. Refused while it is held,
    /// not due, or another job works on it. [`Kind::LeaseLost`] as in [`holds`](Catalog::holds).
    async fn begin_purge(&self, claim: &Claim, now: Timestamp) -> Result<Purging>;

    /// The same for one copy: refused while the recording is held, or if fewer than `keep` good copies of its bytes
    /// would be left, the home among them. From here on it is no copy any more, until there is a new one.
    async fn begin_evict(&self, claim: &Claim, keep: u32, now: Timestamp) -> Result<Evicting>;

    /// What the last decisions would have go: to make room in that store, or (`None`) because it is due. In the order
    /// of the recordings' ids, after the one given; all offers of `limit` recordings.
    async fn offers(
        &self,
        room: Option<&str>,
        after: Option<RecordingId>,
        limit: u32,
    ) -> Result<Vec<(RecordingId, Offer)>>;

    /// Newest first; of one recording, or of everything.
    async fn certificates(&self, recording: Option<RecordingId>, limit: u32) -> Result<Vec<Certificate>>;

    /// What was read back longest ago, homes and copies, before that time: of recordings that are neither cold nor in the
    /// trash, and of bytes that are not known to be bad. Oldest first.
    async fn eldest(&self, verified_before: Timestamp, limit: u32) -> Result<Vec<Eldest>>;

    // ---- batches

    /// Enters jobs that were not decided but ordered: no decision cancels them. May be called many times for the same
    /// batch, with more jobs or the same. A job that gave up or was cancelled before the order is taken up again; of a
    /// recording that is deleted or in the trash nothing is ordered (but its purge), and of a cancelled batch nothing
    /// more. The number of jobs that became pending by this.
    async fn order(&self, batch: &Batch, jobs: &[JobSpec], now: Timestamp) -> Result<u64>;

    /// Newest first.
    async fn batches(&self, limit: u32) -> Result<Vec<BatchStatus>>;

    /// Pauses a batch, lets it go on, or cancels it, which is final. Who works on a job of it is not disturbed. What was to be
    /// made by it may be asked for by a rule as well: its recording becomes dirty. False when there is no such batch or it is
    /// so already.
    async fn set_batch(&self, id: BatchId, state: BatchState, by: &str, now: Timestamp) -> Result<bool>;

    // ---- history

    /// Writes down how much each store holds, once an hour. False when that was done within this hour.
    async fn sample(&self, now: Timestamp) -> Result<bool>;

    /// In the order of time, and of stores.
    async fn samples(&self, since: Timestamp) -> Result<Vec<Sample>>;

    /// Hours in which something happened, in the order of time.
    async fn hourly(&self, since: Timestamp) -> Result<Vec<Hour>>;

    /// When something came last from each source that anything came from since: a source is the first folder of
    /// recordings' names, or empty.
    async fn last_by_source(&self, since: Timestamp) -> Result<BTreeMap<String, Timestamp>>;

    /// Reads the whole audit log and computes its hashes again. Memory does not grow with it.
    async fn audit_verify(&self) -> Result<AuditVerdict>;

    // ---- alerts

    /// Newest first, told or not.
    async fn alerts(&self, limit: u32) -> Result<Vec<Told>>;

    /// Somebody takes up whatever was raised under this key. False when there is nothing that nobody has taken up.
    async fn ack(&self, key: &str, by: &str, now: Timestamp) -> Result<bool>;

    /// Others were told of these because nobody had taken them up.
    async fn escalated(&self, seqs: &[i64], now: Timestamp) -> Result<()>;

    /// Notes what people are to be told. An alert whose key was raised within [`Alert::COOL_DOWN`] is not noted
    /// again.
    async fn raise(&self, alerts: &[Alert]) -> Result<()>;

    /// Alerts that nobody was told yet, oldest first.
    async fn unsent(&self, limit: u32) -> Result<Vec<(i64, Alert)>>;

    /// They were told. Between telling and this call a crash tells them twice: better than never.
    async fn sent(&self, seqs: &[i64], now: Timestamp) -> Result<()>;

    // ---- looking

    /// The versions of these in the store that holds them, as far as they are known, in the order given.
    async fn versions(&self, ids: &[RecordingId]) -> Result<Vec<Option<String>>>;

    /// Where something that goes on over many calls (a walk over a bucket) has come to.
    async fn bookmark(&self, name: &str) -> Result<Option<String>>;
    async fn set_bookmark(&self, name: &str, value: Option<&str>) -> Result<()>;

    /// Writes down what happened to a recording without changing a fact of it, and has it looked at again.
    async fn note(
        &self,
        id: RecordingId,
        actor: &str,
        what: &str,
        details: serde_json::Value,
        now: Timestamp,
    ) -> Result<()>;

    /// Newest first, by [`Recording::dated`]. What is in the trash or deleted only where the query asks for it.
    async fn search(&self, query: &Query, limit: u32, after: Option<Cursor>) -> Result<Page>;

    /// The job with this id.
    async fn job(&self, id: JobId) -> Result<Option<Job>>;

    /// Newest first.
    async fn jobs(&self, filter: &JobFilter, limit: u32) -> Result<Vec<Job>>;

    /// Jobs that came to an end, and with what, in the order in which they were asked for, after the one given: a page at a
    /// time, of a batch that is as large as the library.
    async fn ended(&self, filter: &JobFilter, after: Option<i64>, limit: u32) -> Result<Vec<Ended>>;

    async fn counts(&self) -> Result<Counts>;

    /// Since when the job that has been ready for longest waits to be taken, of each lane that has one: the age of the
    /// backlog. What waits for a place at a destination is none: more workers would not make it shorter.
    async fn waiting_since(&self, now: Timestamp) -> Result<BTreeMap<Lane, Timestamp>>;

    /// Bytes per store: sources, renditions and copies.
    async fn usage(&self) -> Result<Usage>;

    /// Bytes of that store that are on their way out of it, or out of what its capacity is about: in the trash, archived,
    /// or what a job that was asked for is going to move away.
    async fn leaving(&self, store: &str) -> Result<u64>;

    /// By name.
    async fn renditions(&self, id: RecordingId) -> Result<Vec<Rendition>>;

    /// By store.
    async fn copies(&self, id: RecordingId) -> Result<Vec<Copy>>;

    /// Newest first; of one recording, or of everything.
    async fn audit(&self, recording: Option<RecordingId>, limit: u32) -> Result<Vec<AuditEntry>>;

    /// Whether these bytes are a source that we hold or something that we made: what we made must not come in
    /// again as a recording (promise 7). Outputs are remembered here also after they were replaced.
    async fn by_digest(&self, sha256: &Sha256) -> Result<Option<Known>>;
}
