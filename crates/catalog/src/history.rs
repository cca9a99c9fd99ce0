use std::collections::BTreeMap;

use domain::{Alert, RecordingId, Sha256, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Result, codec};

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

/// Hours of history that are kept: the same week of the year before is worth a comparison.
pub(crate) const KEPT: i64 = 24 * 400;

const HOUR: i64 = 60 * 60 * 1_000;

/// Hours since 1970.
pub(crate) fn hour_of(at: Timestamp) -> i64 {
    at.0.div_euclid(HOUR)
}

pub(crate) fn started(hour: i64) -> Timestamp {
    Timestamp(hour.saturating_mul(HOUR))
}

/// The first hour that begins then or later.
pub(crate) fn first_since(since: Timestamp) -> i64 {
    hour_of(since) + i64::from(since.0.rem_euclid(HOUR) > 0)
}

pub(crate) fn sample((hour, store, bytes): (i64, String, i64)) -> Sample {
    Sample { at: started(hour), store, bytes: codec::unsigned(bytes) }
}

/// In the order of time.
pub(crate) fn hours(tallies: Vec<(i64, String, i64)>) -> Result<Vec<Hour>> {
    let mut hours: Vec<Hour> = Vec::new();
    for (hour, what, n) in tallies {
        let at = started(hour);
        if hours.last().is_none_or(|last| last.at != at) {
            hours.push(Hour { at, counts: BTreeMap::new() });
        }
        if let Some(last) = hours.last_mut() {
            last.counts.insert(codec::happening(&what)?, codec::unsigned(n));
        }
    }
    Ok(hours)
}

/// Where a recording comes from, by its name: the first folder of it, as far as an index takes it.
pub(crate) fn source(name: &str) -> &str {
    let folder = name.split_once('/').map_or("", |(folder, _)| folder);
    match folder.char_indices().nth(200) {
        Some((end, _)) => &folder[..end],
        None => folder,
    }
}

/// What has come, from where and when last.
pub(crate) fn sources<'a>(
    came: impl Iterator<Item = &'a domain::NewRecording>,
) -> BTreeMap<&'a str, Timestamp> {
    let mut sources = BTreeMap::new();
    for it in came {
        let last = sources.entry(source(&it.name)).or_insert(it.accepted_at);
        *last = it.accepted_at.max(*last);
    }
    sources
}
