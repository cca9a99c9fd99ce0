use std::collections::{BTreeMap, BTreeSet};

use crate::{Copy, JobId, JobSpec, Recording, Rendition, State, Timestamp};

/// All that `decide` may know of one recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub recording: Recording,
    pub renditions: Vec<Rendition>,
    pub copies: Vec<Copy>,
    /// Jobs whose outcome is recorded: the only reason not to ask for a job again.
    pub done: BTreeSet<JobId>,
    /// Jobs that gave up, with the reason.
    pub parked: BTreeMap<JobId, String>,
    /// For a session: its tracks as far as they have come, in the manifest's order.
    pub tracks: Vec<SessionTrack>,
}

/// A session's track and, once it has come, the recording that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionTrack {
    pub track: crate::Track,
    pub recording: Option<Recording>,
}

/// What is stored where: bytes per store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    pub bytes: BTreeMap<String, u64>,
}

/// What should happen to one recording now, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Sorted by id: the order of rules and events leaves no trace.
    pub jobs: Vec<JobSpec>,
    pub waits: Vec<Wait>,
    /// Where the recording stands once this is taken over.
    pub state: State,
    pub reason: String,
    /// When time alone would change this decision; absent: never.
    pub due_at: Option<Timestamp>,
}

/// A step whose prerequisite is missing, and what it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    pub rule: String,
    pub verb: String,
    /// A clause that completes "waits for ...".
    pub waits_for: String,
}
