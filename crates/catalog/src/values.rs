use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use domain::{
    Alert, Copy, Decision, Facts, Fields, Job, JobId, JobState, Lane, Outcome, Recording, RecordingId, State,
    Timestamp, Trash,
};
use serde::{Deserialize, Serialize};

use crate::BatchId;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    pub recording: Recording,
    /// False when the catalog knew this id with this version already.
    pub new: bool,
}

/// A decision and the revision of the recording that it was made on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settle {
    pub id: RecordingId,
    pub revision: i64,
    pub decision: Decision,
    /// What people are to be told if it is taken over.
    pub alert: Option<Alert>,
}

/// How whoever records an outcome decides on what it left. Asked in the midst of a transaction, perhaps more than once.
#[derive(Clone, Copy)]
pub struct Deciding<'a> {
    /// The policy that it goes by, as [`settle`](crate::Catalog::settle) is told it.
    pub policy: &'a str,
    /// Pure and quick: what it decides on is locked meanwhile.
    pub decide: &'a (dyn Fn(&Facts) -> Settle + Send + Sync),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// Taken over. These jobs became pending by it: hand them over.
    Applied { jobs: Vec<(JobId, Lane)> },
    /// The recording has changed since, and stays dirty: decide again.
    Stale,
    /// Another policy is in force than the one that decided: read the policy again.
    OtherPolicy,
}

/// One to put into the trash, as it was when that was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trashing {
    pub id: RecordingId,
    pub revision: i64,
    pub trash: Trash,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trashed {
    /// Those that could go are in the trash; of each of the others is said why not.
    Done { trashed: Vec<RecordingId>, drifted: Vec<(RecordingId, String)> },
    /// More than may go within [`DeletionLimit::WINDOW`](domain::DeletionLimit::WINDOW): nothing at all was done.
    Over(Over),
}

/// How far a deletion is over the limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Over {
    /// Recordings that were to go, without those that could not.
    pub asked: u64,
    pub asked_bytes: u64,
    /// Recordings that may go within the window, and bytes if there is a limit to them.
    pub allowed: u64,
    pub allowed_bytes: Option<u64>,
    /// What went within the window before, and is still gone.
    pub already: u64,
    pub already_bytes: u64,
}

/// What a person or a rule may have done about the custody of recordings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Under another reason than before it is placed anew.
    Hold {
        name: String,
        reason: String,
    },
    /// `None`: all that were placed by hand.
    Release {
        name: Option<String>,
    },
    /// Out of the trash, and not to return there before then.
    Undelete {
        kept_until: Timestamp,
    },
    Describe(Description),
}

/// What a person says of recordings. What is not named stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    pub title: Option<String>,
    /// To be added.
    pub tags: BTreeSet<String>,
    /// To be taken away.
    pub untag: BTreeSet<String>,
    /// To be set, whatever they are now.
    pub fields: Fields,
    /// To be taken away.
    pub unset: BTreeSet<String>,
}

impl Change {
    /// What would come of it, as the recording is now.
    pub fn would(&self, it: &Recording, now: Timestamp) -> Changed {
        crate::custody::changed(&mut it.clone(), self, "", now)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    Yes,
    /// It was so before.
    Already,
    /// A sentence that completes "not done: ".
    Refused(String),
}

/// Whether bytes may be removed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purging {
    /// From here there is no way back: remove all of this.
    Go(Box<Facts>),
    /// A sentence that completes "not purged: ".
    Refused(String),
}

/// Whether one copy may be removed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evicting {
    /// It counts as a copy no more: remove it.
    Go(Box<Copy>),
    /// A sentence that completes "not evicted: ".
    Refused(String),
}

/// A job in hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub job: Job,
    /// Grows with every claim of the job: who holds an older one writes nothing more.
    pub token: i64,
    pub lease_until: Timestamp,
    /// Of the jobs that were ordered together with it.
    pub batch: Option<BatchId>,
}

/// What became of asking for a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    Ours(Box<Claim>),
    /// Unknown, done, parked, cancelled, not before later, or held by a live lease.
    Nothing,
    /// It is to be done, and its destination has no place for it: to be [put off](crate::Catalog::put_off).
    Full {
        to: String,
    },
}

/// What becomes of a job that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Retry { at: Timestamp },
    Park,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    Job(JobId),
    Recording(RecordingId),
    AllParked,
}

/// Where a page of hits ended. Opaque: it is handed back to get the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(pub(crate) i64);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    pub hits: Vec<Recording>,
    /// Absent: this was the last page.
    pub next: Option<Cursor>,
}

/// Which jobs; the default is all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobFilter {
    /// Any of these; empty: any at all.
    pub states: Vec<JobState>,
    pub recording: Option<RecordingId>,
    pub batch: Option<BatchId>,
    /// Somebody could have taken it up before then.
    pub due_before: Option<Timestamp>,
}

/// A job that is done, gave up or was cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Where a page may go on.
    pub seq: i64,
    pub job: Job,
    /// Of one that is done.
    pub outcome: Option<Outcome>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    pub recordings: BTreeMap<State, u64>,
    pub jobs: BTreeMap<JobState, u64>,
    /// Over all stores.
    pub bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub seq: i64,
    pub at: Timestamp,
    /// Who did it: `intake`, `decide`, `user`, or a worker's name.
    pub actor: String,
    /// What was done, as a verb: `accept`, `bind`, `state`, `record`, `park`, `retry`, `policy`.
    pub what: String,
    pub recording: Option<RecordingId>,
    pub details: serde_json::Value,
}

/// What some bytes are to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    Source(RecordingId),
    /// Made by us: of this recording, under this name.
    Rendition(RecordingId, String),
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a cursor: pass `next` of the page before, unchanged")]
pub struct BadCursor(String);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}
impl FromStr for Cursor {
    type Err = BadCursor;
    fn from_str(text: &str) -> Result<Self, BadCursor> {
        // As it is written: a date before 1970 has its sign in the highest bit.
        u64::from_str_radix(text, 16)
            .map(|n| Self(n.cast_signed()))
            .map_err(|_| BadCursor(text.chars().take(40).collect()))
    }
}
