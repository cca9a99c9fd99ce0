use std::collections::BTreeMap;

use domain::{Action, Layout, Preset, Tenths};
use serde::Serialize;

use crate::{Problem, condition::Condition};

/// A policy that was read and found right: what should be true of every recording.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(crate) hash: String,
    pub(crate) warnings: Vec<Problem>,
    pub(crate) stores: BTreeMap<String, Store>,
    pub(crate) presets: BTreeMap<String, Preset>,
    /// Sorted by name, so that the file's order cannot matter.
    pub(crate) rules: Vec<Rule>,
}

/// A place that `backup` may name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Store {
    pub name: String,
    /// Absent for the library's own store, whose place is not the policy's to say.
    pub place: Option<Place>,
    /// Bytes.
    pub capacity: Option<u64>,
}

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// As written, without `file:`.
    Folder(String),
    S3 {
        bucket: String,
        /// Without slashes at its ends; empty: the whole bucket.
        prefix: String,
        /// Absent: the one that the machine is set up for.
        region: Option<String>,
    },
}

/// What should be true of the recordings that match.
#[derive(Debug, Clone, Serialize)]
pub struct Rule {
    pub name: String,
    /// All must hold; none at all is `match: all`.
    pub(crate) conditions: Vec<Condition>,
    pub(crate) asks: Vec<Ask>,
}

/// One verb with its parameters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Ask {
    /// Complete as it stands: convert, backup, tag.
    Action(Action),
    /// Becomes an action with a session's tracks.
    Mix { preset: Preset, layout: Layout, loudness: Option<Tenths> },
}

/// The library's own store.
pub const LIBRARY: &str = "recordings";

/// The name under which probing is asked for and explained.
pub(crate) const INTAKE: &str = "intake";

impl Policy {
    /// SHA-256 of what the policy means: the same for another order of rules, other comments or other
    /// spellings of a unit.
    pub fn hash(&self) -> &str {
        &self.hash
    }
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }
    /// The policy's own, by name; the library's own only when the policy says something of it.
    pub fn stores(&self) -> &BTreeMap<String, Store> {
        &self.stores
    }
    /// The shipped ones and the policy's own, by name.
    pub fn presets(&self) -> &BTreeMap<String, Preset> {
        &self.presets
    }
    /// Sorted by name.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

impl Rule {
    /// What it looks for, as written: `type video/*, size >=1MB`; `all` when it looks for nothing.
    pub fn looks_for(&self) -> String {
        match self.conditions.as_slice() {
            [] => "all".into(),
            some => some.iter().map(|c| c.written.as_str()).collect::<Vec<_>>().join(", "),
        }
    }
    /// What it asks for: `convert mp4-720p`, `backup replica`.
    pub fn asks_for(&self) -> impl Iterator<Item = String> {
        self.asks.iter().map(Ask::label)
    }
}

impl Ask {
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Action(action) => action.label(),
            Self::Mix { preset, .. } => format!("mix {}", preset.name),
        }
    }
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::Action(action) => action.verb(),
            Self::Mix { .. } => "mix",
        }
    }
}
