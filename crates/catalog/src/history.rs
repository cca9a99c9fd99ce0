use std::collections::BTreeMap;

use domain::{Alert, RecordingId, Sha256, Timestamp};
use serde::{Deserialize, Serialize};

/// Bytes in a store at the beginning of an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    pub at: Timestamp,
    pub store: String,
    pub bytes: u64,
}

/// How much happened within the hour that begins then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hour {
    pub at: Timestamp,
    /// What did not happen is left out.
    pub counts: BTreeMap<Happening, u64>,
}

/// What is counted by the hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// Recordings that came in, also new bytes of a known one.
    Accepted,
    /// Recordings that went into the trash.
    Trashed,
    /// Jobs that gave up.
    Parked,
}

/// Bytes that are to be read back again, the home's or a copy's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eldest {
    pub recording: RecordingId,
    pub store: String,
    /// Since when nobody has looked.
    pub verified_at: Timestamp,
}

/// An alert and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub seq: i64,
    pub alert: Alert,
    pub sent_at: Option<Timestamp>,
    /// Somebody has taken it up.
    pub acked_at: Option<Timestamp>,
    pub acked_by: Option<String>,
    /// Times that others were told because nobody had taken it up, and when last.
    pub escalations: u32,
    pub escalated_at: Option<Timestamp>,
}

/// Whether the audit log is what was written: each entry is hashed with the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditVerdict {
    /// Entries whose hashes were computed again.
    pub entries: u64,
    /// Entries from before there were hashes.
    pub unchained: u64,
    /// The first that is not as it was written, or that follows one that is missing.
    pub first_bad: Option<i64>,
    /// Stands for all of them: whoever keeps it elsewhere can tell later whether what was there still is.
    pub head: Sha256,
}

impl Happening {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Trashed => "trashed",
            Self::Parked => "parked",
        }
    }
    pub const ALL: [Happening; 3] = [Self::Accepted, Self::Trashed, Self::Parked];
}
