//! Names that a destination's file system takes: what they become, and where two become one. Pure.

mod claims;
mod sanitise;
#[cfg(test)]
mod tests;

pub use claims::{Claims, Clash};
pub use sanitise::{numbered, sanitise, segment};

use crate::name::MAX_SEGMENT;

/// What a file system makes of names. [`Rules::default`] is the strictest: a name that is good there is good anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rules {
    /// Windows, SMB shares, FAT and many NAS: reserved characters and names, no dot or space at a segment's end.
    pub windows: bool,
    /// `A` and `a` are one file: Windows, macOS.
    pub ignores_case: bool,
    /// Bytes of one segment, at least 32.
    pub max_segment: usize,
    /// Bytes of the whole name, at least 128.
    pub max_path: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self { windows: true, ignores_case: true, max_segment: MAX_SEGMENT, max_path: 1000 }
    }
}

impl Rules {
    /// A Unix file system or an object store: all but slashes is allowed, and case counts.
    pub fn unix() -> Self {
        Self { windows: false, ignores_case: false, ..Self::default() }
    }
}
