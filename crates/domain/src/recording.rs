use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Custody, Digest, Fields, JobId, MediaFacts, Probe, RecordingId, Timestamp};

/// One recording as the catalog knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    pub id: RecordingId,
    pub kind: Kind,
    /// The name it came under, relative to where it came from (`cam1/0001.mp4`). A label, never a path.
    pub name: String,
    pub title: String,
    /// The store that holds the accepted bytes, and the key there. A session holds its manifest.
    pub store: String,
    pub key: String,
    /// Which bytes these are: the SHA-256 in embedded mode, the version id where the store has versions.
    pub version: String,
    pub digest: Digest,
    pub accepted_at: Timestamp,
    /// From a trusted source only (the session's manifest, `--recorded-at`), never from inside the file.
    pub recorded_at: Option<Timestamp>,
    pub tags: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    pub fields: Fields,
    /// The session this is a track of.
    pub session: Option<RecordingId>,
    /// For a session: its tracks in the manifest's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tracks: Vec<Track>,
    /// What probing found; absent until probed. Sessions are not probed.
    pub probe: Option<Probe>,
    pub state: State,
    /// Why it is in that state, as a sentence; empty when there is nothing to say.
    pub reason: String,
    #[serde(default)]
    pub custody: Custody,
    /// Counts the catalog's changes to this recording: compare-and-set on it.
    pub revision: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A file that stands for itself.
    Recording,
    /// One participant's file within a session.
    Track,
    /// A manifest that binds tracks together.
    Session,
}

/// Where a recording is on its way. All but `Accepted` and `Processing` are terminal: nothing is made of it until a
/// person, a policy or new bytes change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// In the library, not yet looked at.
    Accepted,
    /// Looked at; the policy's work is under way or waits for something named in the reason.
    Processing,
    /// Everything that the policy asks for is true.
    Ready,
    /// The media is incomplete or has errors; what could be salvaged was, the source is kept.
    Damaged,
    /// Not something we decode; the source is kept.
    Unsupported,
    /// A job gave up after its retries; see the reason, then `videorec retry`.
    Failed,
    /// Deleted, with every byte still there; `videorec undelete` brings it back.
    Trashed,
    /// Purged: its certificate is what is left.
    Deleted,
}

/// A track as its session's manifest names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Track {
    /// The file's name as recordings have it (see `Recording::name`).
    pub name: String,
    pub participant: String,
    pub offset_ms: u64,
    pub leave_ms: Option<u64>,
}

/// A `session.json`, next to the files it names.
///
/// ```json
/// { "title": "Weekly call", "recorded_at": "2026-03-01T09:00:00Z", "tags": ["call"],
///   "fields": { "case": "A-17", "priority": 3 },
///   "tracks": [ { "file": "ana.webm", "participant": "Ana" },
///               { "file": "bo.webm", "participant": "Bo", "offset_ms": 1500, "leave_ms": 9000 } ] }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    #[serde(default)]
    pub title: Option<String>,
    #[serde(default)]
    pub recorded_at: Option<Timestamp>,
    #[serde(default)]
    pub tags: BTreeSet<String>,
    #[serde(default)]
    pub fields: Fields,
    pub tracks: Vec<ManifestTrack>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestTrack {
    /// Relative to the manifest's own folder; no `..`.
    pub file: String,
    #[serde(default)]
    pub participant: Option<String>,
    #[serde(default)]
    pub offset_ms: u64,
    #[serde(default)]
    pub leave_ms: Option<u64>,
}

/// What intake knows when it has put the bytes into a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewRecording {
    pub id: RecordingId,
    pub kind: Kind,
    pub name: String,
    pub title: String,
    pub store: String,
    pub key: String,
    pub version: String,
    pub digest: Digest,
    pub accepted_at: Timestamp,
    pub recorded_at: Option<Timestamp>,
    pub tags: BTreeSet<String>,
    #[serde(default)]
    pub fields: Fields,
    pub session: Option<RecordingId>,
    pub tracks: Vec<Track>,
}

/// Something we made of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendition {
    pub recording: RecordingId,
    /// The preset's name.
    pub name: String,
    /// The job that made it: its files' keys are derived from it.
    pub job: JobId,
    pub files: Vec<RenditionFile>,
    /// The main file as probed again after it was made.
    pub facts: Option<MediaFacts>,
    /// Per stream: copied or encoded, and why.
    pub choices: Vec<StreamChoice>,
    /// Less than the whole recording, and why: salvaged from a damaged source, a track missing from a mix.
    pub partial: Option<String>,
    pub made_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenditionFile {
    pub role: Role,
    pub store: String,
    pub key: String,
    pub digest: Digest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Media,
    Poster,
    Sprite,
    /// WebVTT that maps time to tiles of the sprite.
    Tiles,
    Waveform,
    /// What is known of it, written for an export.
    Metadata,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamChoice {
    /// The source's stream index, or the participant's track number in a mix.
    pub stream: u32,
    /// `copy` or the encoder's name.
    pub how: String,
    pub why: String,
}

/// A verified copy of a recording's source in some store: the bytes were read back and hashed equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    pub recording: RecordingId,
    pub store: String,
    pub key: String,
    /// The recording's source version that this is a copy of.
    pub version: String,
    pub digest: Digest,
    pub verified_at: Timestamp,
    /// It was read back again and is not what it was; it counts as none until it is repaired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad: Option<String>,
    /// Left over from a move: evicted then, if there are enough others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl State {
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Accepted | Self::Processing)
    }
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Processing => "processing",
            Self::Ready => "ready",
            Self::Damaged => "damaged",
            Self::Unsupported => "unsupported",
            Self::Failed => "failed",
            Self::Trashed => "trashed",
            Self::Deleted => "deleted",
        }
    }
    pub const ALL: [State; 8] = [
        Self::Accepted,
        Self::Processing,
        Self::Ready,
        Self::Damaged,
        Self::Unsupported,
        Self::Failed,
        Self::Trashed,
        Self::Deleted,
    ];
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Track => "track",
            Self::Session => "session",
        }
    }
    pub const ALL: [Kind; 3] = [Self::Recording, Self::Track, Self::Session];
}

impl Recording {
    pub fn media(&self) -> Option<&MediaFacts> {
        self.probe.as_ref()?.facts.as_ref()
    }
    /// What age counts from: the trusted recorded time, else acceptance (promise 9).
    pub fn dated(&self) -> Timestamp {
        self.recorded_at.unwrap_or(self.accepted_at)
    }
}
