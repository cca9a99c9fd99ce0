//! Where a recording's own bytes are, and what that adds up to.

use std::collections::BTreeMap;

use domain::{Copy, Outcome, Recording};

use crate::codec;

/// A recording's home and its copies, which are the bytes that were accepted.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub recording: Recording,
    /// By store.
    pub copies: Vec<Copy>,
}

impl Held {
    /// Instead of whatever was there.
    pub(crate) fn put(&mut self, copy: Copy) {
        self.copies.retain(|c| c.store != copy.store);
        self.copies.push(copy);
        self.copies.sort_by(|a, b| a.store.cmp(&b.store));
    }

    /// Stores that had a copy before.
    pub(crate) fn gone<'a>(&self, before: &'a Held) -> impl Iterator<Item = &'a str> {
        before
            .copies
            .iter()
            .map(|c| c.store.as_str())
            .filter(|store| !self.copies.iter().any(|c| c.store == *store))
    }

    /// Copies that are others than before, or were made again as they are.
    pub(crate) fn written<'a>(&'a self, before: &Held, outcome: &Outcome) -> impl Iterator<Item = &'a Copy> {
        let made = match outcome {
            Outcome::Copied { copy } => Some(copy.store.as_str()),
            _ => None,
        };
        self.copies.iter().filter(move |c| made == Some(&c.store) || !before.copies.contains(c))
    }

    fn bytes(&self) -> BTreeMap<String, i64> {
        let mut bytes = BTreeMap::new();
        *bytes.entry(self.recording.store.clone()).or_default() += codec::signed(self.recording.digest.size);
        for copy in &self.copies {
            *bytes.entry(copy.store.clone()).or_default() += codec::signed(copy.digest.size);
        }
        bytes
    }

    /// What each store holds more, or less, than before.
    pub(crate) fn since(&self, before: &Held) -> BTreeMap<String, i64> {
        let mut bytes = self.bytes();
        for (store, former) in before.bytes() {
            *bytes.entry(store).or_default() -= former;
        }
        bytes.retain(|_, n| *n != 0);
        bytes
    }
}
