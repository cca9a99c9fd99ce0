use std::collections::BTreeMap;

use domain::{Action, ExportSpec, Id, JobState, Leaving, Rendition, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Result, codec};

/// Chosen by whoever orders, so that ordering again after a crash is ordering once.
pub type BatchId = Id<BatchTag>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BatchTag {}

/// Jobs that no decision asked for, but a person or a round that weighed many recordings against one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub id: BatchId,
    pub verb: String,
    pub by: String,
    /// What was chosen, as it was written: a query, a rule's name.
    pub what: String,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchState {
    Running,
    /// Nobody takes another of its jobs; whoever works on one goes on.
    Paused,
    /// The same, for good.
    Cancelled,
}

/// How far it is: its jobs by their states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchStatus {
    pub batch: Batch,
    pub state: BatchState,
    /// Also those that are paused.
    pub pending: u64,
    pub running: u64,
    pub done: u64,
    pub parked: u64,
    pub cancelled: u64,
    /// Of all its jobs.
    pub bytes: u64,
    /// Of those that are done.
    pub bytes_done: u64,
    /// Of those that are pending or running.
    pub bytes_open: u64,
}

impl BatchStatus {
    /// For people: what is running and has nothing left to do is `done`, or `ended` where some of it gave up.
    pub fn word(&self) -> &'static str {
        match self.state {
            BatchState::Running if self.pending + self.running > 0 => "running",
            BatchState::Running if self.parked > 0 => "ended",
            BatchState::Running => "done",
            state => state.as_str(),
        }
    }
}

impl BatchState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Cancelled => "cancelled",
        }
    }
    pub const ALL: [BatchState; 3] = [Self::Running, Self::Paused, Self::Cancelled];

    /// Who brings it about does this.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::Running => "resume",
            Self::Paused => "pause",
            Self::Cancelled => "cancel",
        }
    }

    /// Of those that nobody works on, as the ledger has it.
    pub(crate) fn of_its_jobs(self) -> &'static str {
        match self {
            Self::Running => "pending",
            Self::Paused => "paused",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Bytes that a job is to move, of a recording with so many: those that leave where it leaves, a rendition's where that does.
pub(crate) fn bytes(action: &Action, size: u64, rendition: Option<&Rendition>) -> u64 {
    match (action, rendition) {
        (Action::Export(ExportSpec { what: Leaving::Rendition { .. }, .. }), Some(made)) => {
            made.files.iter().map(|file| file.digest.size).sum()
        }
        _ => size,
    }
}

/// The rendition that leaves by it.
pub(crate) fn rendition(action: &Action) -> Option<&str> {
    match action {
        Action::Export(ExportSpec { what: Leaving::Rendition { name, .. }, .. }) => Some(name),
        _ => None,
    }
}

/// Of jobs: what is made is the same job whoever asks for it. Where an order of it is cancelled a rule may want it still, and its
/// recording is decided on anew.
macro_rules! anybodys {
    () => {
        r#"(action LIKE '{"do":"convert"%' OR action LIKE '{"do":"mix"%')"#
    };
}
pub(crate) use anybodys;

/// A batch, a state of jobs, how many of it are in that, and their bytes.
pub(crate) type Tally = (String, String, i64, i64);

pub(crate) fn shown(batches: Vec<(Batch, BatchState)>, tallies: &[Tally]) -> Result<Vec<BatchStatus>> {
    let mut counts: BTreeMap<(&str, JobState), (u64, u64)> = BTreeMap::new();
    for (batch, state, n, bytes) in tallies {
        let count = counts.entry((batch, codec::job_state(state)?)).or_default();
        *count = (count.0 + codec::unsigned(*n), count.1 + codec::unsigned(*bytes));
    }
    let status = |(batch, state): (Batch, BatchState)| {
        let id = batch.id.to_string();
        let of = |state| counts.get(&(id.as_str(), state)).copied().unwrap_or_default();
        let (count, bytes) = (|state| of(state).0, |state| of(state).1);
        BatchStatus {
            state,
            pending: count(JobState::Pending),
            running: count(JobState::Running),
            done: count(JobState::Done),
            parked: count(JobState::Parked),
            cancelled: count(JobState::Cancelled),
            bytes: JobState::ALL.map(&bytes).iter().sum(),
            bytes_done: bytes(JobState::Done),
            bytes_open: bytes(JobState::Pending) + bytes(JobState::Running),
            batch,
        }
    };
    Ok(batches.into_iter().map(status).collect())
}
