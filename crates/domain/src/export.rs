use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Digest, JobId, NameTemplate, Role};

/// A file of the recording that is brought to a place that is not ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExportSpec {
    /// The destination's name, as the policy gives it.
    pub to: String,
    pub what: Leaving,
    /// The name that the file gets there.
    #[serde(rename = "as")]
    pub name: NameTemplate,
    /// What travels along.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub with: BTreeSet<Companion>,
    #[serde(default)]
    pub on_conflict: Conflict,
    #[serde(default)]
    pub verify: Verify,
}

/// Which bytes leave.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leaving {
    /// What was accepted.
    Source,
    /// All files of a rendition. `job` made it: one that is made anew is exported anew.
    Rendition { name: String, job: JobId },
}

/// What may travel along with a file, beside it and under its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Companion {
    /// What the catalog knows of it: `NAME.json`.
    Json,
    /// The same in fifteen words that every archive reads: `NAME.dc.xml`. <https://www.dublincore.org/specifications/dublin-core/dces/>
    DublinCore,
    /// Posters, sprites and their tiles, where a rule has them made.
    Thumbnails,
}

/// What happens when there is another file of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conflict {
    /// It stays, and nothing is sent.
    Skip,
    Replace,
    /// It stays, and ours becomes `name (2).ext`: nothing is lost and nothing left out.
    #[default]
    Rename,
}

/// How it is made sure that what arrived is what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// The server's word that it took the bytes.
    None,
    /// And the size that it tells afterwards.
    Size,
    /// And a hash: the server's where it has one, else of the bytes read back, which is a second transfer.
    #[default]
    Hash,
}

/// A file as it lies at a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedFile {
    /// Where it lies: not always what was asked for, see [`Conflict::Rename`].
    pub name: String,
    pub role: Role,
    pub digest: Digest,
    pub arrival: Arrival,
    /// How it is known to be whole, as a word: `size`, `sha256`, `read-back`.
    pub checked: String,
    /// Bytes that were sent for it, the last time.
    pub sent: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrival {
    Sent,
    /// It was there already: nothing was written.
    Already,
    /// Another file is there, and [`Conflict::Skip`] leaves it: ours is not there.
    Skipped,
}

impl Leaving {
    /// `source`, or the rendition's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Source => "source",
            Self::Rendition { name, .. } => name,
        }
    }
}

impl Companion {
    pub const ALL: [Companion; 3] = [Self::Json, Self::DublinCore, Self::Thumbnails];
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::DublinCore => "dublin-core",
            Self::Thumbnails => "thumbnails",
        }
    }
}

impl Conflict {
    pub const ALL: [Conflict; 3] = [Self::Skip, Self::Replace, Self::Rename];
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Replace => "replace",
            Self::Rename => "rename",
        }
    }
}

impl Verify {
    pub const ALL: [Verify; 3] = [Self::None, Self::Size, Self::Hash];
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Size => "size",
            Self::Hash => "hash",
        }
    }
}

impl Arrival {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Already => "already",
            Self::Skipped => "skipped",
        }
    }
}
