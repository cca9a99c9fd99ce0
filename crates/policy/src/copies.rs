use std::fmt;

use domain::{Facts, Recording};

use crate::Policy;

/// The verified places of a recording's bytes: the store that holds it, and its copies elsewhere. What was found
/// bad counts as none, and so does a copy of what the source was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Copies {
    pub(crate) count: u32,
    /// Regions that they are in.
    pub(crate) regions: u32,
}

impl Copies {
    pub(crate) fn of(policy: &Policy, facts: &Facts) -> Self {
        Self::without(policy, facts, None)
    }

    /// As they would be without those in one store.
    pub(crate) fn without(policy: &Policy, facts: &Facts, gone: Option<&str>) -> Self {
        let mut copies = Self { count: 0, regions: 0 };
        let places = || good(facts).filter(|store| Some(*store) != gone);
        for (i, store) in places().enumerate() {
            // A handful at most: comparing each with each needs no set.
            let before = || places().take(i);
            if before().all(|other| other != store) {
                copies.count += 1;
                copies.regions +=
                    u32::from(before().all(|other| policy.region(other) != policy.region(store)));
            }
        }
        copies
    }

    /// What is missing to what the policy protects, completing "waits for ..."; nothing when it is enough.
    pub(crate) fn lacking(self, policy: &Policy) -> Option<String> {
        let protect = policy.protect();
        // The last verified one never goes, whatever the file says.
        let min = protect.copies_min.max(1);
        if self.count < min {
            let (copies, are) = if min == 1 { ("copy", "is") } else { ("copies", "is") };
            let are = if self.count > 1 { "are" } else { are };
            let there = if self.count == 0 { "none".to_owned() } else { self.count.to_string() };
            return Some(format!("{min} verified {copies}; there {are} {there}"));
        }
        (self.regions < protect.regions_min).then(|| {
            format!(
                "verified copies in {} regions; the {} that there are are in {}",
                protect.regions_min, self.count, self.regions
            )
        })
    }
}

/// Of a recording with fewer verified copies, or in fewer regions, than the policy protects: how many there are. Nothing when it
/// is enough.
pub fn short_of_copies(policy: &Policy, facts: &Facts) -> Option<u32> {
    let copies = Copies::of(policy, facts);
    copies.lacking(policy).map(|_| copies.count)
}

/// The stores with verified bytes, the recording's own first.
fn good(facts: &Facts) -> impl Iterator<Item = &str> {
    let r = &facts.recording;
    let home = r.custody.place.bad.is_none().then_some(r.store.as_str());
    home.into_iter().chain(good_copies(facts).map(|c| c.store.as_str()))
}

/// Verified copies outside of the recording's own store.
pub(crate) fn good_copies(facts: &Facts) -> impl Iterator<Item = &domain::Copy> {
    let r: &Recording = &facts.recording;
    facts.copies.iter().filter(|c| c.bad.is_none() && c.version == r.version && c.store != r.store)
}

impl fmt::Display for Copies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.count, self.regions) {
            (0, _) => f.write_str("there is no verified copy"),
            (1, _) => f.write_str("there is 1 verified copy"),
            (n, 1) => write!(f, "there are {n} verified copies in 1 region"),
            (n, regions) => write!(f, "there are {n} verified copies in {regions} regions"),
        }
    }
}
