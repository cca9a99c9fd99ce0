pub use domain::Speed;
use domain::Timestamp;

use crate::{Error, ErrorKind};

/// What an object costs to keep and how long it takes to read: where a store has classes for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// The service's own word, like `STANDARD` or `DEEP_ARCHIVE`.
    pub class: String,
    pub access: Access,
}

/// Whether an object can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Now,
    /// It has to be restored first.
    Archived,
    /// Restoring was asked for and goes on: minutes to two days.
    Restoring,
    /// A restored copy can be read until then; afterwards it is `Archived` again.
    Until(Timestamp),
}

impl Access {
    pub fn is_readable(self) -> bool {
        matches!(self, Self::Now | Self::Until(_))
    }
}

/// The answer of a store to whom all this means nothing.
pub(crate) fn no_classes(store: &str) -> Error {
    Error::new(
        ErrorKind::Invalid,
        format!("store `{store}` has no storage classes: archiving and restoring need a store in S3"),
    )
}
