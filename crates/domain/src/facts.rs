use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

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
    /// What the policy would have go, and what is not one recording's affair alone. Sorted.
    pub offers: Vec<Offer>,
}

/// Something that a rule would have done, and that is weighed against other recordings first: a deletion counts
/// against limits; making room takes no more than what is needed. Nothing happens by an offer itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offer {
    pub rule: String,
    pub what: What,
    /// For making room: the store that it frees. Absent: it is due.
    pub room: Option<String>,
    /// Bytes freed in the store that is to have room; over all stores where it is due.
    pub bytes: u64,
    /// It was archived: goes first where the order says so.
    pub archived: bool,
    /// What `oldest` sorts by.
    pub dated: Timestamp,
    /// How long it stays in the trash.
    pub trash: Duration,
    /// Why, as a sentence.
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    Delete,
    Evict { store: String },
    Archive { class: String },
}

/// A step whose prerequisite is missing, and what it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    pub rule: String,
    pub verb: String,
    /// A clause that completes "waits for ...".
    pub waits_for: String,
    /// It is a restore, which nobody has asked for because it costs money.
    pub restore: bool,
}
