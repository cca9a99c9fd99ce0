use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Digest, RecordingId, Timestamp};

/// What becomes of a recording's bytes besides what is made of them: who holds them, where they are by now, and
/// whether they are to go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Custody {
    /// Placed by hand, by name. What a rule holds is decided anew each time and not kept here.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub holds: BTreeMap<String, Hold>,
    /// Not deleted before: what came back from the trash must not return there at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trash: Option<Trash>,
    /// Times it came back from the trash: deleting it again is another job.
    pub lives: u32,
    pub place: Place,
    /// When it was last sent to somebody, or asked to be restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_access: Option<Timestamp>,
}

/// Nothing deletes, evicts or overwrites what is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub reason: String,
    pub by: String,
    pub at: Timestamp,
}

/// Deleted, and still to be had: every byte is where it was until it is purged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trash {
    pub at: Timestamp,
    /// When it is purged.
    pub until: Timestamp,
    /// The rule that deleted it; `by hand` otherwise.
    pub rule: String,
    pub reason: String,
    pub by: String,
    /// Since when bytes are being removed: from here there is no way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purging: Option<Timestamp>,
}

/// How the accepted bytes lie in the store that holds them (`Recording::store`, `Recording::key`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Place {
    /// The store's version, where it is another than the one that was accepted: the same bytes in another class or store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The storage class, where we changed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Another class was asked of the store's own rules, and has not been seen yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transition: Option<Transition>,
    /// They were found in another class than we had put them into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strayed: Option<Strayed>,
    /// They have to be restored before they can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cold: Option<Cold>,
    /// When they were last read back and found equal; absent: at acceptance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Timestamp>,
    /// They were read back and are not what was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bad: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cold {
    pub since: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<Restoring>,
}

/// A change of class that is left to the store's own rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    pub class: String,
    pub asked_at: Timestamp,
    /// Times that it was looked at and had not happened.
    #[serde(default)]
    pub looks: u32,
    /// By a person: it is awaited though no rule wants it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_hand: bool,
}

/// What was put into a class, or was to be, and is in another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strayed {
    /// The class that it was meant for.
    pub from: String,
    /// When it was found elsewhere.
    pub at: Timestamp,
    /// How often by then; none where it was we who moved it to another store, or took its archiving back.
    pub times: u32,
}

/// A restore that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restoring {
    pub asked_at: Timestamp,
    pub speed: Speed,
    pub days: u32,
    /// Readable until then; absent: not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Times that it was looked at and not ready.
    #[serde(default)]
    pub looks: u32,
}

/// How fast, and for how much money, an object comes back from an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speed {
    /// 1 to 5 minutes; not from the deepest archive, and not always to be had.
    Expedited,
    /// 3 to 5 hours; from the deepest archive 12.
    Standard,
    /// 5 to 12 hours; from the deepest archive 48.
    Bulk,
}

/// Proof of a deletion: what was removed, by which rule, and what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    pub recording: RecordingId,
    pub name: String,
    pub title: String,
    pub version: String,
    pub digest: Digest,
    pub accepted_at: Timestamp,
    pub recorded_at: Option<Timestamp>,
    pub rule: String,
    pub reason: String,
    /// Who put it into the trash.
    pub by: String,
    pub trashed_at: Timestamp,
    pub purged_at: Timestamp,
    pub objects: Vec<Removed>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Removed {
    pub store: String,
    pub key: String,
    pub version: String,
    pub size: u64,
    /// `source`, `copy`, a rendition's name, or `former` for what was replaced before.
    pub what: String,
}

/// The most that may go into the trash within [`DeletionLimit::WINDOW`]; beyond it nothing at all goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionLimit {
    /// Thousandths of the recordings that there are.
    pub permille: u32,
    /// So many may go whatever share of the whole they are.
    pub floor: u64,
    pub bytes: Option<u64>,
}

impl DeletionLimit {
    pub const WINDOW: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

    /// Recordings that may go out of so many.
    pub fn recordings(&self, of: u64) -> u64 {
        self.floor.max(of.saturating_mul(u64::from(self.permille)) / 1000)
    }
}

impl Custody {
    pub fn is_trashed(&self) -> bool {
        self.trash.is_some()
    }

    /// Readable without waiting.
    pub fn is_readable(&self, now: Timestamp) -> bool {
        match &self.place.cold {
            None => true,
            Some(cold) => cold.restore.as_ref().and_then(|r| r.until).is_some_and(|until| now < until),
        }
    }
}

impl Speed {
    pub const ALL: [Speed; 3] = [Self::Expedited, Self::Standard, Self::Bulk];
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expedited => "expedited",
            Self::Standard => "standard",
            Self::Bulk => "bulk",
        }
    }
}
