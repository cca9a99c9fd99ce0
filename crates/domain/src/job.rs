use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Action, Alert, Certificate, Copy, ExportedFile, JobId, Place, Probe, RecordingId, Rendition, Timestamp,
};

/// A job as `decide` asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    pub id: JobId,
    pub recording: RecordingId,
    /// The source version it works on.
    pub version: String,
    pub action: Action,
    pub lane: Lane,
    /// The rule that asked for it; `intake` for probing.
    pub rule: String,
    /// Why, as a sentence.
    pub reason: String,
}

/// Interactive work (a person waits for it) goes before bulk work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    Interactive,
    Bulk,
}

/// A job as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    #[serde(flatten)]
    pub spec: JobSpec,
    pub state: JobState,
    /// Times it was handed to a worker. A killed worker counts here and not in `failures`.
    pub attempts: u32,
    /// Times it failed by itself.
    pub failures: u32,
    pub created_at: Timestamp,
    /// Not before this.
    pub run_after: Timestamp,
    /// Who holds the lease, and until when.
    pub worker: Option<String>,
    pub lease_until: Option<Timestamp>,
    pub progress: Option<Progress>,
    /// The last failure, or why it was parked.
    pub error: Option<Failure>,
    pub finished_at: Option<Timestamp>,
    /// That it is to move, where it was ordered.
    #[serde(default)]
    pub bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for a worker, or for `run_after`.
    Pending,
    /// A worker holds its lease.
    Running,
    /// Its outcome is recorded.
    Done,
    /// Gave up; `videorec retry` takes it up again.
    Parked,
    /// No longer asked for.
    Cancelled,
}

/// How far a running job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Thousandths of the whole.
    pub permille: u16,
    /// Hundredths of real time: 250 is 2.5x.
    pub speed_percent: Option<u32>,
    /// Milliseconds left, as estimated.
    pub eta_ms: Option<u64>,
}

/// What a finished job made true: it becomes a fact in the transaction that marks the job done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    Probed {
        probe: Probe,
    },
    Rendered {
        rendition: Rendition,
    },
    /// A rendition of which not all files are there is none any more, and the job that made it is not done.
    Missed {
        rendition: String,
        job: JobId,
        /// What is not there, as a clause.
        lost: String,
    },
    /// All of a rendition's files are there after all.
    Present,
    Copied {
        copy: Copy,
    },
    Tagged {
        tags: std::collections::BTreeSet<String>,
    },
    /// How the source lies now: archived, being restored, restored, repaired.
    Placed {
        place: Place,
    },
    /// Another store holds the source now; what held it is a copy, until then.
    Moved {
        to: Copy,
        place: Place,
        keep_until: Timestamp,
    },
    Evicted {
        store: String,
    },
    /// Read back; `bad` where the bytes are not what was accepted.
    Verified {
        store: String,
        at: Timestamp,
        bad: Option<String>,
    },
    /// Restored on trial; `failed` where it is not what it was, as a clause.
    Drilled {
        store: String,
        at: Timestamp,
        failed: Option<String>,
    },
    Purged {
        certificate: Certificate,
    },
    /// It lies at a destination, all of its files.
    Exported {
        to: String,
        files: Vec<ExportedFile>,
        at: Timestamp,
    },
    /// People are told with the transaction that records it.
    Notified {
        alert: Alert,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub kind: FailureKind,
    /// What went wrong and what to do next, as sentences. Never holds a secret.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// May pass by itself: tried again with growing delays.
    Temporary,
    /// The same input will fail the same way: parked at once.
    Permanent,
}

/// What running a job takes from its machine, so that as many run as fit and no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    pub threads: u32,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of scratch disk: sources that have to be fetched, outputs while they are made.
    pub disk: u64,
}

impl Lane {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Bulk => "bulk",
        }
    }
    pub const ALL: [Lane; 2] = [Self::Interactive, Self::Bulk];
}

impl JobState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Done => "done",
            Self::Parked => "parked",
            Self::Cancelled => "cancelled",
        }
    }
    pub const ALL: [JobState; 5] = [Self::Pending, Self::Running, Self::Done, Self::Parked, Self::Cancelled];
}

impl Failure {
    pub fn temporary(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Temporary, message: message.into() }
    }
    pub fn permanent(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Permanent, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
impl std::error::Error for Failure {}
