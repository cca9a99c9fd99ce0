use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{ExportSpec, JobId, Preset, RecordingId, Severity, Speed, Timestamp};

/// One effect. Its parameters are all that its result depends on besides the source, so (recording, source
/// version, action) names the cause.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Action {
    /// Find out what the source is.
    Probe,
    /// Make one rendition of the source.
    Convert { preset: Preset },
    /// Compose a session's tracks into one rendition of the session.
    Mix(MixSpec),
    /// Keep a verified copy of the source in another store.
    Backup { store: String },
    /// Add tags.
    Tag { add: BTreeSet<String> },
    /// Put the source into another storage class of its store. `again` tells one time from the next: when it was found in
    /// another class than it had been put into.
    Archive {
        class: String,
        #[serde(default, skip_serializing_if = "Way::is_now")]
        by: Way,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        again: Option<Timestamp>,
    },
    /// See how the source lies: whether its store's rules have moved it by now, or somebody else has.
    Look { asked: Timestamp, look: u32 },
    /// Take back what was asked of the store's rules and has not happened.
    Withdraw { asked: Timestamp },
    /// Have an archived source readable for so many days. `asked` tells one restore from the next.
    Restore { speed: Speed, days: u32, asked: Timestamp },
    /// See whether a restore has come to its end.
    Awaken { asked: Timestamp, look: u32 },
    /// Let another store hold the source: copy, verify, switch. What was there stays as a copy until then.
    Move { store: String, from: String, keep_ms: u64 },
    /// Give up one verified copy, of which there are enough others. `made` tells one copy from the next.
    Evict { store: String, made: Timestamp },
    /// Read the bytes in that store back and compare them with what was accepted.
    Verify { store: String, last: Timestamp },
    /// Restore a copy as if the recording were lost: all of it, equal, and it plays. `asked` tells one drill from the next.
    Drill { store: String, asked: Timestamp },
    /// See whether a rendition's files are there, and forget it where they are not, so that it is made again. `made` tells
    /// one making of it from the next.
    Seek { rendition: String, made: Timestamp },
    /// Replace bytes that were found bad by a good copy's.
    Repair { store: String, found: Timestamp },
    /// Remove every byte of a recording that is in the trash.
    Purge { life: u32 },
    /// Bring a file of it to a place that is not ours.
    Export(ExportSpec),
    /// Tell people, once, that a rule applies.
    Notify { rule: String, severity: Severity, subject: String },
}

/// How a source gets into another storage class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// At once, by a copy onto itself.
    #[default]
    Now,
    /// By the store's own rules, which take up to days: it gets a tag that they look for.
    Lifecycle,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MixSpec {
    pub preset: Preset,
    pub layout: Layout,
    /// Integrated loudness to reach, in LUFS (tenths); absent: levels are left as they are.
    pub loudness: Option<Tenths>,
    /// In the order of the session's manifest: tiles are filled in it.
    pub tracks: Vec<MixTrack>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MixTrack {
    pub recording: RecordingId,
    /// The source version of the track, so that a track that changes is another mix.
    pub version: String,
    pub participant: String,
    /// Milliseconds from the session's start at which the track's first frame belongs.
    pub offset_ms: u64,
    /// Milliseconds from the session's start at which the participant left; absent: the track's end.
    pub leave_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    Grid,
    /// Sound only.
    AudioOnly,
}

impl Layout {
    pub const ALL: [Layout; 2] = [Self::Grid, Self::AudioOnly];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grid => "grid",
            Self::AudioOnly => "audio-only",
        }
    }
}

/// A number with one decimal, exact and comparable: -16.5 is `Tenths(-165)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tenths(pub i32);

impl Action {
    /// The verb as a policy writes it.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Convert { .. } => "convert",
            Self::Mix(_) => "mix",
            Self::Backup { .. } => "backup",
            Self::Tag { .. } => "tag",
            Self::Archive { .. } | Self::Look { .. } | Self::Withdraw { .. } => "archive",
            Self::Restore { .. } | Self::Awaken { .. } => "restore",
            Self::Move { .. } => "move",
            Self::Evict { .. } => "evict",
            Self::Verify { .. } => "verify",
            Self::Drill { .. } => "drill",
            Self::Seek { .. } => "seek",
            Self::Repair { .. } => "repair",
            Self::Purge { .. } => "purge",
            Self::Export(_) => "export",
            Self::Notify { .. } => "notify",
        }
    }

    /// What it makes, for a person: `convert mp4-720p`, `backup replica`.
    pub fn label(&self) -> String {
        match self {
            Self::Probe => "probe".into(),
            Self::Convert { preset } => format!("convert {}", preset.name),
            Self::Mix(mix) => format!("mix {}", mix.preset.name),
            Self::Backup { store } => format!("backup {store}"),
            Self::Tag { add } => {
                format!("tag {}", add.iter().map(String::as_str).collect::<Vec<_>>().join(","))
            }
            Self::Archive { class, by: Way::Now, .. } => format!("archive {class}"),
            Self::Archive { class, by: Way::Lifecycle, .. } => format!("archive {class} by lifecycle"),
            Self::Look { .. } => "look at its class".into(),
            Self::Withdraw { .. } => "take back its archiving".into(),
            Self::Restore { speed, days, .. } => format!("restore {} for {days}d", speed.as_str()),
            Self::Awaken { .. } => "await the restore".into(),
            Self::Move { store, .. } => format!("move {store}"),
            Self::Evict { store, .. } => format!("evict {store}"),
            Self::Verify { store, .. } => format!("verify {store}"),
            Self::Drill { store, .. } => format!("drill from {store}"),
            Self::Seek { rendition, .. } => format!("seek {rendition}"),
            Self::Repair { store, .. } => format!("repair {store}"),
            Self::Purge { .. } => "purge".into(),
            Self::Export(export) => format!("export {} to {}", export.what.name(), export.to),
            Self::Notify { .. } => "notify".into(),
        }
    }

    /// The job's id: a function of its cause and of nothing else.
    pub fn job_id(&self, recording: RecordingId, version: &str) -> JobId {
        Self::job_id_by(&self.parameters(), recording, version)
    }

    /// All that its result depends on besides the source, as a canonical text: the same for a million recordings.
    pub fn parameters(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(512);
        // serde_json writes struct fields in declaration order and the sets are sorted.
        serde_json::to_writer(&mut text, self).expect("an action is plain data");
        text
    }

    /// [`job_id`](Self::job_id) by parameters that were written down once.
    pub fn job_id_by(parameters: &[u8], recording: RecordingId, version: &str) -> JobId {
        JobId::derive(&[&recording.text(), version.as_bytes(), parameters])
    }
}

impl Way {
    pub const ALL: [Way; 2] = [Self::Now, Self::Lifecycle];
    pub fn is_now(&self) -> bool {
        *self == Self::Now
    }
    /// As a policy writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Lifecycle => "lifecycle",
        }
    }
}

impl Tenths {
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 10.0
    }
}
