use std::collections::BTreeMap;

use alerts::restores;
use domain::{Facts, Recording, Speed, Timestamp};

use super::{Money, Prices};

/// What would be read and lies in an archive: objects and bytes, by class.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frozen(BTreeMap<String, (u64, u64)>);

/// What a restore is reckoned with where nobody said otherwise: as `cold: restore` has it.
const SPEED: Speed = Speed::Bulk;
const DAYS: u32 = 7;

impl Frozen {
    /// Of one recording alone.
    pub fn only(it: &Recording, now: Timestamp) -> Self {
        let mut frozen = Self::default();
        frozen.see(it, now);
        frozen
    }

    /// Of one recording, and of the tracks of a session.
    pub fn of(facts: &Facts, now: Timestamp) -> Self {
        let mut frozen = Self::default();
        let tracks = facts.tracks.iter().filter_map(|track| track.recording.as_ref());
        for it in std::iter::once(&facts.recording).chain(tracks) {
            frozen.see(it, now);
        }
        frozen
    }

    /// Counts it, if it has to be restored first.
    pub fn see(&mut self, it: &Recording, now: Timestamp) {
        if !it.custody.is_readable(now) {
            let class = it.custody.place.class.as_deref().unwrap_or("an archive");
            let (objects, bytes) = self.0.entry(class.to_owned()).or_default();
            (*objects, *bytes) = (*objects + 1, bytes.saturating_add(it.digest.size));
        }
    }

    pub fn add(&mut self, other: &Self) {
        for (class, (objects, bytes)) in &other.0 {
            let all = self.0.entry(class.clone()).or_default();
            (all.0, all.1) = (all.0 + objects, all.1.saturating_add(*bytes));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn objects(&self) -> u64 {
        self.0.values().map(|(objects, _)| objects).sum()
    }

    pub fn bytes(&self) -> u64 {
        self.0.values().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }

    /// What it would cost to have all of it back for a week, the cheapest way.
    pub fn cost(&self, prices: &Prices) -> Money {
        let mut cost = Money::default();
        for (class, (objects, bytes)) in &self.0 {
            cost += prices.restore_of(class, *objects, *bytes, SPEED, DAYS).unwrap_or_default();
        }
        cost
    }

    /// As a clause: `in DEEP_ARCHIVE: a restore would cost 0.12 USD (bulk, within 48 h, to be read for 7 days)`.
    pub fn describe(&self, prices: &Prices) -> String {
        let classes: Vec<&str> = self.0.keys().map(String::as_str).collect();
        let takes = classes.iter().map(|class| restores::takes(class, SPEED)).max().unwrap_or_default();
        let cost = match self.cost(prices).once {
            next_to_nothing if next_to_nothing < 0.005 => "less than 0.01".to_owned(),
            cost => format!("{cost:.2}"),
        };
        format!(
            "in {}: a restore would cost {cost} {} ({}, within {} h, to be read for {DAYS} days)",
            classes.join(" and "),
            prices.currency,
            SPEED.as_str(),
            takes.as_secs().div_ceil(3600)
        )
    }
}
