use std::collections::BTreeMap;

use domain::{Recording, Speed, Timestamp};
use serde::Deserialize;

/// What storage costs: a table with its source and date, which a user can replace.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    pub source: String,
    pub date: String,
    pub currency: String,
    pub classes: BTreeMap<String, Class>,
    #[serde(default)]
    pub egress: Egress,
}

/// What leaving costs, for 10^9 bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Egress {
    /// To the internet, and so to other clouds and to servers of one's own.
    pub internet_gb: f64,
    /// To another region of the same cloud.
    pub region_gb: f64,
}

/// How far bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    Not,
    Region,
    Cloud,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// 10^9 bytes for a month.
    pub month_gb: f64,
    /// A thousand objects into it.
    pub put_1000: f64,
    #[serde(default)]
    pub minimum_days: u32,
    /// Absent: it is read without being restored.
    #[serde(default)]
    pub restore: BTreeMap<Speed, Restore>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    pub gb: f64,
    pub objects_1000: f64,
}

/// Money, in the table's currency: at once, and each month from then on (less is negative).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Money {
    pub once: f64,
    pub monthly: f64,
    /// Of `once`: for time that was paid for and is not used.
    pub early: f64,
    /// Of `once`: for bytes that leave their cloud or region.
    pub egress: f64,
}

const GB: f64 = 1e9;
const DAY_MS: f64 = 86_400_000.0;
/// The pricing page counts storage by the month, of 30 days here.
const MONTH_DAYS: f64 = 30.0;
/// The class of what we never changed.
pub const STANDARD: &str = "STANDARD";

impl Prices {
    /// The shipped ones.
    pub fn shipped() -> Self {
        Self::parse(super::PRICES).expect("the shipped prices are well-formed")
    }

    pub fn parse(text: &str) -> Result<Self, String> {
        let prices: Self = serde_saphyr::from_str(text).map_err(|e| format!("not a table of prices: {e}"))?;
        let numbers = prices.classes.values().flat_map(|c| {
            let restores = c.restore.values().flat_map(|r| [r.gb, r.objects_1000]);
            [c.month_gb, c.put_1000].into_iter().chain(restores)
        });
        let egress = [prices.egress.internet_gb, prices.egress.region_gb];
        match numbers.chain(egress).all(|n| n.is_finite() && n >= 0.0) {
            true => Ok(prices),
            false => Err("a price is a number that is not negative".into()),
        }
    }

    /// Putting the source into another class.
    pub fn archive(&self, it: &Recording, class: &str, now: Timestamp) -> Money {
        let (from, to) = (self.class_of(it), self.classes.get(class));
        let bytes = it.digest.size;
        let month = |c: Option<&Class>| c.map_or(0.0, |c| gb(bytes) * c.month_gb);
        let early = self.early(it, now);
        Money {
            once: to.map_or(0.0, |c| c.put_1000 / 1000.0) + early,
            monthly: month(to) - month(from),
            early,
            ..Money::default()
        }
    }

    /// Keeping so many bytes more (or fewer) in the class that new objects have.
    pub fn keep(&self, bytes: i64, objects: u64) -> Money {
        let Some(class) = self.classes.get(STANDARD) else { return Money::default() };
        #[expect(clippy::cast_precision_loss, reason = "money is rounded to cents")]
        let (gb, objects) = (bytes as f64 / GB, objects as f64);
        let once = objects * class.put_1000 / 1000.0;
        Money { once, monthly: gb * class.month_gb, ..Money::default() }
    }

    /// Removing the source.
    pub fn delete(&self, it: &Recording, now: Timestamp) -> Money {
        let monthly = self.class_of(it).map_or(0.0, |c| gb(it.digest.size) * c.month_gb);
        let early = self.early(it, now);
        Money { once: early, monthly: -monthly, early, ..Money::default() }
    }

    /// Having an archived source back for so many days: the request, and the readable copy besides the archived one.
    /// `None` where the class knows no such speed.
    pub fn restore(&self, it: &Recording, speed: Speed, days: u32) -> Option<Money> {
        let class = it.custody.place.class.as_deref().unwrap_or(STANDARD);
        self.restore_of(class, 1, it.digest.size, speed, days)
    }

    /// The same of so many objects of a class.
    pub fn restore_of(
        &self,
        class: &str,
        objects: u64,
        bytes: u64,
        speed: Speed,
        days: u32,
    ) -> Option<Money> {
        let class = self.classes.get(class)?;
        if class.restore.is_empty() {
            return Some(Money::default());
        }
        let price = class.restore.get(&speed)?;
        let standard = self.classes.get(STANDARD).map_or(0.0, |c| c.month_gb);
        let copy = gb(bytes) * standard * f64::from(days) / MONTH_DAYS;
        #[expect(clippy::cast_precision_loss, reason = "money is rounded to cents")]
        let requests = objects as f64 * price.objects_1000 / 1000.0;
        Some(Money { once: gb(bytes) * price.gb + requests + copy, ..Money::default() })
    }

    /// Bytes on their way out of the cloud that they lie in, or to another region of it.
    pub fn leave(&self, bytes: u64, leaving: Leaving) -> Money {
        let price = match leaving {
            Leaving::Not => 0.0,
            Leaving::Region => self.egress.region_gb,
            Leaving::Cloud => self.egress.internet_gb,
        };
        let egress = gb(bytes) * price;
        Money { once: egress, egress, ..Money::default() }
    }

    /// What is left of the least time that the class is paid for.
    fn early(&self, it: &Recording, now: Timestamp) -> f64 {
        let Some(class) = self.class_of(it) else { return 0.0 };
        let since = it.custody.place.cold.as_ref().map_or(it.accepted_at, |c| c.since);
        #[expect(clippy::cast_precision_loss, reason = "days")]
        let days = now.since(since).as_millis() as f64 / DAY_MS;
        let left = (f64::from(class.minimum_days) - days).max(0.0);
        gb(it.digest.size) * class.month_gb * left / MONTH_DAYS
    }

    fn class_of(&self, it: &Recording) -> Option<&Class> {
        self.classes.get(it.custody.place.class.as_deref().unwrap_or(STANDARD))
    }
}

impl std::ops::AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        self.once += other.once;
        self.monthly += other.monthly;
        self.early += other.early;
        self.egress += other.egress;
    }
}

/// Bytes as a change of them.
pub(super) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "money is rounded to cents")]
fn gb(bytes: u64) -> f64 {
    bytes as f64 / GB
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::{Cold, Custody, Kind, Place, State};

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn terabyte(class: Option<&str>, days_in_it: u64) -> Recording {
        let since = NOW - Duration::from_secs(days_in_it * 86_400);
        let mut hasher = domain::Hasher::new();
        hasher.update(b"x");
        let digest = domain::Digest { size: 1_000_000_000_000, ..hasher.finish() };
        let cold = class.map(|_| Cold { since, restore: None });
        let place = Place { class: class.map(str::to_owned), cold, ..Place::default() };
        Recording {
            id: domain::RecordingId::derive(&[b"t"]),
            kind: Kind::Recording,
            name: "t".into(),
            title: "t".into(),
            store: "recordings".into(),
            key: "t".into(),
            version: "v".into(),
            digest,
            accepted_at: since,
            recorded_at: None,
            tags: Default::default(),
            fields: Default::default(),
            session: None,
            tracks: Vec::new(),
            probe: None,
            state: State::Ready,
            reason: String::new(),
            custody: Custody { place, ..Custody::default() },
            revision: 1,
        }
    }

    fn cents(money: f64) -> i64 {
        (money * 100.0).round() as i64
    }

    #[test]
    fn a_terabyte_is_reckoned_as_the_table_says() {
        let prices = Prices::shipped();
        let archive = prices.archive(&terabyte(None, 400), "DEEP_ARCHIVE", NOW);
        // 1000 GB * (0.00099 - 0.023) a month.
        assert_eq!((cents(archive.once), cents(archive.monthly), cents(archive.early)), (0, -2201, 0));
        let back = prices.restore(&terabyte(Some("DEEP_ARCHIVE"), 400), Speed::Bulk, 30).unwrap();
        // 1000 GB * 0.0025, and a month of the readable copy.
        assert_eq!(cents(back.once), 250 + 2300);
        assert_eq!(prices.restore(&terabyte(Some("DEEP_ARCHIVE"), 400), Speed::Expedited, 1), None);
        assert_eq!(prices.restore(&terabyte(None, 1), Speed::Bulk, 1), Some(Money::default()));
    }

    /// 30 of 180 days are used: 150 are paid for nothing.
    #[test]
    fn what_goes_early_is_paid_for_until_the_end_of_its_least_time() {
        let prices = Prices::shipped();
        let early = prices.delete(&terabyte(Some("DEEP_ARCHIVE"), 30), NOW);
        assert_eq!((cents(early.early), cents(early.once)), (495, 495));
        assert_eq!(cents(prices.delete(&terabyte(Some("DEEP_ARCHIVE"), 180), NOW).early), 0);
        assert_eq!(cents(prices.delete(&terabyte(None, 1), NOW).monthly), -2300);
    }

    /// A request for each object, the bytes, and a readable copy of them for a week.
    #[test]
    fn what_is_frozen_says_what_it_costs_to_have_it_back() {
        let prices = Prices::shipped();
        let mut frozen = crate::plan::Frozen::default();
        for _ in 0..2 {
            frozen.see(&terabyte(Some("DEEP_ARCHIVE"), 10), NOW);
        }
        frozen.see(&terabyte(None, 10), NOW);
        assert_eq!((frozen.objects(), frozen.bytes()), (2, 2_000_000_000_000));
        // 2000 GB * (0.0025 + 0.023 * 7 / 30)
        assert_eq!(cents(frozen.cost(&prices).once), 1573);
        assert_eq!(
            frozen.describe(&prices),
            "in DEEP_ARCHIVE: a restore would cost 15.73 USD (bulk, within 48 h, to be read for 7 days)"
        );
    }

    #[test]
    fn what_leaves_is_paid_by_how_far_it_goes() {
        let prices = Prices::shipped();
        let terabyte = |leaving| cents(prices.leave(1_000_000_000_000, leaving).egress);
        assert_eq!([Leaving::Not, Leaving::Region, Leaving::Cloud].map(terabyte), [0, 2000, 9000]);
        // A table of before there was a price for it.
        let text = crate::plan::PRICES;
        let old = Prices::parse(&text[..text.find("# egress").unwrap()]).unwrap();
        assert_eq!(old.leave(1_000_000_000_000, Leaving::Cloud), Money::default());
    }

    #[test]
    fn a_table_with_a_mistake_is_refused() {
        let shipped = include_str!("prices.yaml");
        for (from, to) in [
            ("0.023", "-0.023"),
            ("month_gb: 0.0036", "month: 0.0036"),
            ("standard:", "slow:"),
            ("region_gb: 0.02", "region_gb: -1"),
        ] {
            assert!(Prices::parse(&shipped.replacen(from, to, 1)).is_err(), "{to}");
        }
    }
}
