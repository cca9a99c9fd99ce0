use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{RecordingId, Timestamp};

/// What people should be told. Readable alone: whoever gets it at night has nothing else at hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Names the cause: the same key within [`Alert::COOL_DOWN`] is the same news and is told once.
    pub key: String,
    pub severity: Severity,
    /// Which part of the product speaks: `convert`, `intake`, `backup`, ...
    pub service: String,
    /// One line.
    pub subject: String,
    pub cause: String,
    /// What to do about it.
    pub next: String,
    pub recording: Option<RecordingId>,
    pub at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

impl Alert {
    pub const COOL_DOWN: Duration = Duration::from_secs(60 * 60);
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}
