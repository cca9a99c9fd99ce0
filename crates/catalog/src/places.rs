use std::{collections::BTreeMap, time::Duration};

use domain::{Action, Timestamp};

/// How many jobs may be under way to each destination, of all workers together. One that is not named takes whatever comes: that
/// nobody knows it the job itself says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Places(BTreeMap<String, u32>);

/// What was handed over so long ago and not taken was lost on its way, most likely, and keeps no place from others.
const ON_ITS_WAY: Duration = Duration::from_secs(10 * 60);

impl Places {
    pub(crate) fn of(&self, to: &str) -> Option<u32> {
        self.0.get(to).copied()
    }

    /// How many more may be handed over, at most `limit`, where so many have a place or are on their way to one.
    pub(crate) fn room(&self, to: &str, taken: i64, limit: u32) -> u32 {
        let taken = u32::try_from(taken).unwrap_or(u32::MAX);
        self.of(to).map_or(limit, |places| places.saturating_sub(taken).min(limit))
    }
}

impl FromIterator<(String, u32)> for Places {
    fn from_iter<I: IntoIterator<Item = (String, u32)>>(places: I) -> Self {
        Self(places.into_iter().collect())
    }
}

/// Whoever was handed over since then may still be on its way.
pub(crate) fn on_its_way_since(now: Timestamp) -> Timestamp {
    now - ON_ITS_WAY
}

/// Where an action leads, if it leaves.
pub(crate) fn destination(action: &Action) -> Option<&str> {
    match action {
        Action::Export(export) => Some(&export.to),
        _ => None,
    }
}
