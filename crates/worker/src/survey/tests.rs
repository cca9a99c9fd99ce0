use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Cold, Copy, Crc64, Custody, Digest, Kind, Place, Recording, Restoring, Sha256, Speed, Transition,
};

use super::*;

const POLICY: &str = "
version: 1
stores: { nas: { url: /nas } }
protect: { copies: { min: 2 } }
rules: [{ name: second, match: all, backup: nas }]
";
const HOUR: i64 = 3_600_000;

fn recording() -> Recording {
    Recording {
        id: RecordingId::derive(&[b"a"]),
        kind: Kind::Recording,
        name: "cam/a.mp4".into(),
        title: "a".into(),
        store: "recordings".into(),
        key: "aa/a/source.mp4".into(),
        version: "v1".into(),
        digest: Digest { size: 9, sha256: Sha256([1; 32]), crc64: Crc64(1) },
        accepted_at: Timestamp(0),
        recorded_at: None,
        tags: BTreeSet::new(),
        fields: Default::default(),
        session: None,
        tracks: Vec::new(),
        probe: None,
        state: State::Ready,
        reason: String::new(),
        custody: Custody::default(),
        revision: 1,
    }
}

fn copy(bad: Option<(&str, i64)>) -> Copy {
    let it = recording();
    Copy {
        recording: it.id,
        store: "nas".into(),
        key: it.key,
        version: it.version,
        digest: it.digest,
        verified_at: Timestamp(bad.map_or(0, |(_, at)| at)),
        bad: bad.map(|(why, _)| why.into()),
        until: None,
    }
}

fn found(recording: Recording, copies: Vec<Copy>, in_force: i64, now: i64) -> Found {
    let facts = Facts {
        recording,
        renditions: Vec::new(),
        copies,
        done: BTreeSet::new(),
        parked: BTreeMap::new(),
        tracks: Vec::new(),
    };
    let mut found = Found::default();
    found.look(&policy::parse(POLICY).unwrap(), &facts, Timestamp(in_force), Timestamp(now));
    found
}

#[test]
fn a_recording_short_of_copies_counts_after_a_day() {
    let short = |copies: Vec<Copy>, in_force: i64, hours: i64| {
        let found = found(recording(), copies, in_force * HOUR, hours * HOUR).short;
        (found.none.count, found.few.count)
    };
    assert_eq!(short(vec![], 0, 24), (0, 0), "a new one has a day");
    assert_eq!(short(vec![], 0, 25), (0, 1));
    assert_eq!(short(vec![copy(None)], 0, 1_000), (0, 0), "two are enough");
    assert_eq!(short(vec![], 30, 54), (0, 0), "a new policy has a day to be met");
    assert_eq!(short(vec![], 30, 55), (0, 1));
    assert_eq!(short(vec![copy(Some(("a byte differs", 40 * HOUR)))], 0, 64), (0, 0), "so has a repair");
    assert_eq!(short(vec![copy(Some(("a byte differs", 40 * HOUR)))], 0, 65), (0, 1));

    let mut bad = recording();
    let place = Place { bad: Some("gone".into()), verified_at: Some(Timestamp(HOUR)), ..Place::default() };
    bad.custody.place = place;
    let none = found(bad.clone(), vec![], 0, 26 * HOUR).short.none;
    assert_eq!((none.count, none.since), (1, Some(Timestamp(HOUR))));
    assert_eq!(none.examples, [format!("cam/a.mp4 ({})", bad.id.short())]);
    for state in [State::Trashed, State::Deleted] {
        assert_eq!(found(Recording { state, ..bad.clone() }, vec![], 0, 99 * HOUR), Found::default());
    }
}

#[test]
fn a_restore_counts_when_it_is_over_twice_its_time() {
    let late = |until: Option<i64>, class: &str, hours: i64| {
        let mut it = recording();
        let restore = Restoring {
            asked_at: Timestamp(0),
            speed: Speed::Standard,
            days: 1,
            until: until.map(Timestamp),
            looks: 3,
        };
        let cold = Cold { since: Timestamp(0), restore: Some(restore) };
        it.custody.place = Place { class: Some(class.into()), cold: Some(cold), ..Place::default() };
        found(it, vec![copy(None)], 0, hours * HOUR + 1).late.get("recordings").map(|late| late.count)
    };
    assert_eq!(late(None, "GLACIER", 9), None);
    assert_eq!(late(None, "GLACIER", 10), Some(1));
    assert_eq!(late(None, "DEEP_ARCHIVE", 23), None);
    assert_eq!(late(None, "DEEP_ARCHIVE", 24), Some(1));
    assert_eq!(late(Some(HOUR), "GLACIER", 90), None, "it has come");
}

#[test]
fn what_was_left_to_a_bucket_counts_after_three_days() {
    let unmoved = |hours: i64| {
        let mut it = recording();
        let transition =
            Transition { class: "GLACIER".into(), asked_at: Timestamp(0), looks: 3, by_hand: false };
        it.custody.place.transition = Some(transition);
        found(it, vec![copy(None)], 0, hours * HOUR + 1).unmoved.remove("recordings")
    };
    assert_eq!(unmoved(71), None);
    let found = unmoved(72).unwrap();
    assert!(found.examples[0].ends_with("archive GLACIER by lifecycle"), "{found:?}");
}
