use domain::{Action, Facts, Leaving as File, Timestamp, Way};
use policy::{Place, Policy};
use transfer::names::Rules;

use super::{
    Money, Prices,
    prices::{Leaving, signed},
};
use crate::exports;

/// What actions cost: by a table of prices, and by where stores are.
#[derive(Debug, Clone, Copy)]
pub struct Costs<'a> {
    pub prices: &'a Prices,
    pub policy: &'a Policy,
    /// Stores that the policy does not name, such as the library's own, are buckets, as in a fleet.
    pub in_cloud: bool,
}

/// Where bytes are, as far as it decides what leaving costs.
#[derive(PartialEq, Eq)]
enum Where<'a> {
    /// In a bucket of AWS, in that region, or in the one that the machine is set up for.
    Aws(Option<&'a str>),
    /// A folder of the machine that works.
    Here,
    Elsewhere,
}

impl Costs<'_> {
    /// Money that an action costs in storage, requests and bytes that leave; what it encodes costs time, which is not reckoned.
    pub fn of(&self, action: &Action, facts: &Facts, now: Timestamp) -> Money {
        let it = &facts.recording;
        let prices = self.prices;
        match action {
            Action::Archive { class, by: Way::Now, .. } => prices.archive(it, class, now),
            Action::Archive { class, by: Way::Lifecycle, .. } => {
                // S3 asks as much for moving it, and we tag it.
                let mut money = prices.archive(it, class, now);
                money += prices.keep(0, 1);
                money
            }
            Action::Restore { speed, days, .. } => prices.restore(it, *speed, *days).unwrap_or_default(),
            Action::Backup { store } | Action::Move { store, .. } => {
                let mut money = prices.keep(signed(it.digest.size), 1);
                money += prices.leave(it.digest.size, self.leaving(&it.store, store));
                money
            }
            Action::Export(spec) => {
                let preview = exports::preview(facts, spec, &Rules::default(), now);
                let bytes = preview.map_or(0, |(_, bytes)| bytes);
                let from = match &spec.what {
                    File::Source => Some(it.store.as_str()),
                    File::Rendition { name, .. } => facts
                        .renditions
                        .iter()
                        .find(|r| r.name == *name)
                        .and_then(|r| r.files.first())
                        .map(|file| file.store.as_str()),
                };
                from.map_or(Money::default(), |from| prices.leave(bytes, self.leaving(from, &spec.to)))
            }
            Action::Evict { .. } => prices.keep(-signed(it.digest.size), 0),
            Action::Purge { .. } => self.whole(facts, now),
            _ => Money::default(),
        }
    }

    /// Removing the source, its copies and all that was made of it.
    pub fn whole(&self, facts: &Facts, now: Timestamp) -> Money {
        let copies: u64 = facts.copies.iter().map(|c| c.digest.size).sum();
        let made: u64 = facts.renditions.iter().flat_map(|r| &r.files).map(|f| f.digest.size).sum();
        let mut money = self.prices.delete(&facts.recording, now);
        money += self.prices.keep(-signed(copies + made), 0);
        money
    }

    fn leaving(&self, from: &str, to: &str) -> Leaving {
        match (self.place(from), self.place(to)) {
            (Where::Aws(from), Where::Aws(to)) if from == to => Leaving::Not,
            (Where::Aws(_), Where::Aws(_)) => Leaving::Region,
            (Where::Aws(_), Where::Elsewhere) => Leaving::Cloud,
            _ => Leaving::Not,
        }
    }

    fn place(&self, store: &str) -> Where<'_> {
        let known = self.policy.stores().get(store);
        match known.and_then(|store| store.place.as_ref()) {
            Some(Place::S3 { endpoint: None, region, .. }) => Where::Aws(region.as_deref()),
            Some(Place::S3 { .. } | Place::Remote(_) | Place::Cloud(_)) => Where::Elsewhere,
            Some(Place::Folder(_)) => Where::Here,
            None if self.in_cloud => Where::Aws(known.and_then(|store| store.region.as_deref())),
            None => Where::Here,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "
version: 1
stores:
  far: { url: 's3://acme-far', region: eu-west-1 }
  near: { url: 's3://acme-near' }
  minio: { url: 's3://acme-in', endpoint: 'https://minio.local', secret: minio }
  drop: { url: 'davs://partner.example.com/in' }
  google: { url: 'gs://acme-in', secret: google }
  nas: { url: /mnt/nas }
rules: []
";

    #[test]
    fn what_leaves_its_cloud_or_its_region_is_paid_for() {
        let (policy, prices) = (policy::parse(POLICY).unwrap(), Prices::shipped());
        let costs = |in_cloud| Costs { prices: &prices, policy: &policy, in_cloud };
        let from_home = |to| costs(true).leaving("inbox", to);
        for (to, leaving) in [
            ("recordings", Leaving::Not),
            ("near", Leaving::Not),
            ("far", Leaving::Region),
            ("minio", Leaving::Cloud),
            ("drop", Leaving::Cloud),
            ("google", Leaving::Cloud),
            ("nas", Leaving::Not),
        ] {
            assert_eq!(from_home(to), leaving, "{to}");
            assert_eq!(costs(false).leaving("recordings", to), Leaving::Not, "{to}: from a disk");
        }
        assert_eq!(costs(false).leaving("far", "drop"), Leaving::Cloud);
    }
}
