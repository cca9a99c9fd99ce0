use domain::{Failure, Timestamp};

use super::{Fixture, kit::*};
use crate::{Happening, Hour, Next, Sample};

/// The suite's first whole hour.
const HOUR: Timestamp = Timestamp(1_790_002_800_000);

pub async fn what_is_stored_is_sampled_once_an_hour(f: &Fixture) {
    let c = &*f.catalog;
    let at = |seconds: u64| HOUR + std::time::Duration::from_secs(seconds);
    assert_eq!(HOUR.0 % 3_600_000, 0);
    assert!(c.sample(at(5)).await.unwrap(), "of nothing");
    c.accept(&[recording("a.mp4")], at(6)).await.unwrap();
    assert!(!c.sample(at(3_599)).await.unwrap());
    assert!(c.sample(at(3_600)).await.unwrap());
    let mut other = recording("b.mp4");
    (other.store, other.digest.size) = ("nas".into(), 5);
    c.accept(&[other], at(3_601)).await.unwrap();
    assert!(!(f.again)().await.sample(at(7_000)).await.unwrap(), "by whomever");
    assert!(!c.sample(at(0)).await.unwrap(), "the clock went back");
    assert!(c.sample(at(7_200)).await.unwrap());
    let sample = |hour: u64, store: &str, bytes| Sample { at: at(hour * 3_600), store: store.into(), bytes };
    let all = [sample(1, "library", 1_000), sample(2, "library", 1_000), sample(2, "nas", 5)];
    assert_eq!(c.samples(T0).await.unwrap(), all);
    assert_eq!(c.samples(at(3_601)).await.unwrap(), all[1..]);
    assert_eq!(c.samples(at(7_200)).await.unwrap(), all[1..]);
    // Two years later nobody asks for it any more.
    assert!(c.sample(at(2 * 365 * 24 * 3_600)).await.unwrap());
    assert_eq!(c.samples(T0).await.unwrap().len(), 2);
    assert_eq!(c.hourly(T0).await.unwrap(), []);
}

pub async fn what_happens_is_counted_by_the_hour(f: &Fixture) {
    let c = &*f.catalog;
    let at = |seconds: u64| HOUR + std::time::Duration::from_secs(seconds);
    let batch: Vec<_> = (0..5).map(|n| recording(&format!("{n}.mp4"))).collect();
    c.accept(&batch[..3], at(1)).await.unwrap();
    c.accept(&batch, at(3_599)).await.unwrap();
    let mut other = recording("0.mp4");
    (other.version, other.digest) = ("v2".into(), digest("v2", 1));
    c.accept(&[other], at(3_600)).await.unwrap();
    let (_, job) = with_probe(c, "1.mp4").await;
    let held = claim(c, &job, "w", at(3_700)).await;
    c.fail(&held, &Failure::temporary("x"), Next::Retry { at: at(3_700) }, at(3_700)).await.unwrap();
    let held = claim(c, &job, "w", at(3_700)).await;
    c.fail(&held, &Failure::permanent("x"), Next::Park, at(7_201)).await.unwrap();
    let items = [get(c, batch[2].id).await, get(c, batch[3].id).await, get(c, batch[3].id).await];
    trash_all(c, &items, &ANY, at(7_202)).await;
    let hour = |n: u64, counts: &[(Happening, u64)]| Hour {
        at: at(n * 3_600),
        counts: counts.iter().copied().collect(),
    };
    let all = [
        hour(0, &[(Happening::Accepted, 5)]),
        hour(1, &[(Happening::Accepted, 1)]),
        hour(2, &[(Happening::Trashed, 2), (Happening::Parked, 1)]),
    ];
    assert_eq!(c.hourly(T0).await.unwrap(), all);
    assert_eq!(c.hourly(at(1)).await.unwrap(), all[1..]);
}

/// A camera that has fallen silent is noticed by what it last sent.
pub async fn a_source_is_known_by_what_came_last(f: &Fixture) {
    let c = &*f.catalog;
    let long = "é".repeat(5_000);
    let new = [
        ("cam1/a.mp4", 5),
        ("cam1/sub/b.mp4", 9),
        ("cam2/\0.mp4", 7),
        ("c.mp4", 8),
        (&*format!("{long}/d.mp4"), 1),
    ];
    let new = new.map(|(name, at)| {
        let mut it = recording(name);
        it.accepted_at = later(at);
        it
    });
    c.accept(&new, later(10)).await.unwrap();
    let mut late = recording("cam1/late.mp4");
    late.accepted_at = later(2);
    c.accept(&[late], later(11)).await.unwrap();
    let found = c.last_by_source(later(7)).await.unwrap();
    assert_eq!(found, [("", 8), ("cam1", 9), ("cam2", 7)].map(|(name, at)| (name.into(), later(at))).into());
    assert_eq!(c.last_by_source(T0).await.unwrap().len(), 4);
}
