use std::collections::BTreeMap;

use domain::{Action, Cold, Facts, Failure, Lane, Outcome, Outline, Place, RecordingId, State, Timestamp};

use super::{Fixture, kit::*};
use crate::{Change, Claim, Eldest, Next};

/// A page says of each recording what asking for it alone says.
pub async fn a_page_of_facts_is_the_facts_of_each(f: &Fixture) {
    let c = &*f.catalog;
    let names: Vec<_> = (0..12).map(|n| format!("call{}/{n}.webm", n % 3)).collect();
    let mut new: Vec<_> = names.iter().map(|name| recording(name)).collect();
    for call in 0..3 {
        let of = |n: usize| (names[n * 3 + call].as_str(), "Ana");
        new.push(session(&format!("call{call}/session.json"), &[of(0), ("late.webm", "Bo"), of(2), of(1)]));
    }
    c.accept(&new, T0).await.unwrap();
    for (n, it) in new.iter().enumerate() {
        let it = get(c, it.id).await;
        let stores = ["a", "b", "c"].map(|store| backup_of(&it, store));
        settle(c, it.id, processing([&stores[..], &[probe_of(&it)]].concat()), T0).await;
        for (job, store) in stores.iter().zip(["a", "b", "c"]).take(n % 4) {
            let held = claim(c, job, "w", T0).await;
            c.record(&held, &copied(&held, store, 10), T0).await.unwrap();
        }
        let held = claim(c, &probe_of(&it), "w", T0).await;
        match n % 3 {
            0 => c.record(&held, &rendered(&held, "mp4", &n.to_string(), 5), T0).await.unwrap(),
            1 => c.fail(&held, &Failure::permanent("it \"broke\""), Next::Park, T0).await.unwrap(),
            _ => {}
        }
        // What was done to former bytes is no fact of these.
        if n == 6 {
            let mut other = new[n].clone();
            (other.version, other.digest) = ("v2".into(), digest("v2", 7));
            c.accept(&[other], T0).await.unwrap();
        }
    }
    // One that is about to go is no copy.
    let it = get(c, new[3].id).await;
    let job = spec(&it, Action::Evict { store: "a".into(), made: T0 }, Lane::Bulk);
    settle(c, it.id, processing(vec![job.clone()]), T0).await;
    let held = claim(c, &job, "w", T0).await;
    c.begin_evict(&held, 1, T0).await.unwrap();

    let mut alone: BTreeMap<RecordingId, Facts> = BTreeMap::new();
    for it in &new {
        alone.insert(it.id, facts(c, it.id).await);
    }
    assert!(alone.values().any(|f| !f.parked.is_empty()) && alone.values().any(|f| f.done.len() == 4));
    assert_eq!(alone[&it.id].copies.len(), 2);
    let expected: Vec<Facts> = alone.into_values().collect();
    let ids: Vec<_> =
        expected.iter().rev().map(|f| f.recording.id).chain([RecordingId::derive(&[b"?"])]).collect();
    assert_eq!(c.facts_of(&ids).await.unwrap(), expected);
    assert_eq!(c.facts_of(&ids[2..5]).await.unwrap().len(), 3);
    assert_eq!(c.facts_of(&[]).await.unwrap(), []);
    for size in [1, 4, 15, 99] {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = c.facts_page(after, size).await.unwrap();
            assert!(page.len() <= size as usize);
            let Some(last) = page.last() else { break };
            after = Some(last.recording.id);
            all.extend(page);
        }
        assert_eq!(all, expected, "{size} at a time");
    }
}

pub async fn an_outline_says_what_the_row_does(f: &Fixture) {
    let c = &*f.catalog;
    let mut new: Vec<_> = (0..7).map(|n| recording(&format!("{n}.mp4"))).collect();
    new[1].tags = ["a \"quoted\" tag".to_owned()].into();
    new[2].recorded_at = Some(later(5));
    new.push(session("s.json", &[("1.mp4", "Ana")]));
    c.accept(&new, T0).await.unwrap();
    let all = async |size: u32| -> BTreeMap<RecordingId, Outline> {
        let (mut all, mut after) = (BTreeMap::new(), None);
        loop {
            let (page, last) = c.outlines(after, size).await.unwrap();
            assert!(page.len() <= size as usize && page.is_empty() == last.is_none());
            if page.is_empty() {
                return all;
            }
            after = last;
            for it in page {
                assert_eq!(all.insert(it.id, it), None);
            }
        }
    };
    let outlines = all(3).await;
    assert_eq!(outlines.len(), 8);
    for it in &new {
        let r = get(c, it.id).await;
        let expected = Outline {
            id: r.id,
            kind: r.kind,
            name: r.name.clone(),
            size: r.digest.size,
            accepted_at: r.accepted_at,
            recorded_at: r.recorded_at,
            tags: r.tags.clone(),
            probed: false,
            state: r.state,
            special: false,
        };
        assert_eq!(outlines[&it.id], expected);
    }

    // What needs care whatever the rules are.
    let bad = |store: &str| Outcome::Verified { store: store.into(), at: later(1), bad: Some("bad".into()) };
    let verify = |store: &str| Action::Verify { store: store.into(), last: T0 };
    let cold = Place { cold: Some(Cold { since: T0, restore: None }), ..Place::default() };
    let leftover = async |held: &Claim| {
        let Outcome::Copied { copy } = copied(held, "nas", 10) else { panic!() };
        Outcome::Moved { to: copy, place: Place::default(), keep_until: later(99) }
    };
    let cases: [(usize, Vec<Action>); 5] = [
        (0, vec![Action::Probe]),
        (1, vec![verify("library")]),
        (2, vec![Action::Archive { class: "GLACIER".into() }]),
        (3, vec![Action::Backup { store: "nas".into() }, verify("nas")]),
        (4, vec![Action::Move { store: "nas".into(), from: "library".into(), keep_ms: 9 }]),
    ];
    for (n, actions) in cases {
        let it = get(c, new[n].id).await;
        for action in actions {
            let job = spec(&it, action.clone(), Lane::Bulk);
            settle(c, it.id, processing(vec![job.clone()]), T0).await;
            let held = claim(c, &job, "w", T0).await;
            let outcome = match action {
                Action::Probe => probed("x"),
                Action::Verify { store, .. } => bad(&store),
                Action::Archive { .. } => Outcome::Placed { place: cold.clone() },
                Action::Backup { store } => copied(&held, &store, 10),
                _ => leftover(&held).await,
            };
            c.record(&held, &outcome, T0).await.unwrap();
        }
    }
    trash_all(c, &[get(c, new[5].id).await], &ANY, T0).await;
    change(c, new[6].id, &Change::Hold { name: "h".into(), reason: "r".into() }, T0).await;
    let outlines = all(99).await;
    let special: Vec<bool> = new.iter().map(|it| outlines[&it.id].special).collect();
    assert_eq!(special, [false, true, true, true, true, true, false, false]);
    assert!(outlines[&new[0].id].probed && outlines[&new[5].id].state == State::Trashed);
}

pub async fn the_eldest_are_verified_first(f: &Fixture) {
    let c = &*f.catalog;
    let mut new: Vec<_> = (0..6).map(|n| recording(&format!("{n}.mp4"))).collect();
    for (n, it) in new.iter_mut().enumerate() {
        it.accepted_at = later(10 * n as u64);
    }
    c.accept(&new, T0).await.unwrap();
    let found = async |before: Timestamp| -> Vec<(RecordingId, String, Timestamp)> {
        let found = c.eldest(before, 99).await.unwrap();
        found
            .into_iter()
            .map(|Eldest { recording, store, verified_at }| (recording, store, verified_at))
            .collect()
    };
    let home = |n: usize, at| (new[n].id, "library".to_owned(), later(at));
    let all = found(later(999)).await;
    assert_eq!(all, (0..6).map(|n| home(n, 10 * n as u64)).collect::<Vec<_>>());
    assert_eq!(found(later(20)).await, all[..2]);
    assert_eq!(c.eldest(later(999), 2).await.unwrap().len(), 2);

    // A copy counts by its own; what was verified moves back; what is bad, cold or in the trash is not asked for.
    let backup = backup_of(&get(c, new[1].id).await, "nas");
    settle(c, new[1].id, processing(vec![backup.clone()]), T0).await;
    let held = claim(c, &backup, "w", T0).await;
    let Outcome::Copied { mut copy } = copied(&held, "nas", 10) else { panic!() };
    copy.verified_at = later(35);
    c.record(&held, &Outcome::Copied { copy }, T0).await.unwrap();
    let outcomes = [
        (0, Outcome::Verified { store: "library".into(), at: later(70), bad: None }),
        (2, Outcome::Verified { store: "library".into(), at: later(71), bad: Some("bad".into()) }),
        (
            3,
            Outcome::Placed {
                place: Place { cold: Some(Cold { since: T0, restore: None }), ..Place::default() },
            },
        ),
    ];
    for (n, outcome) in outcomes {
        let it = get(c, new[n].id).await;
        let job = spec(&it, Action::Verify { store: "library".into(), last: T0 }, Lane::Bulk);
        settle(c, it.id, processing(vec![job.clone()]), T0).await;
        let held = claim(c, &job, "w", T0).await;
        c.record(&held, &outcome, T0).await.unwrap();
    }
    let copy = (new[1].id, "nas".to_owned(), later(35));
    let live = [home(1, 10), copy.clone(), home(4, 40), home(5, 50), home(0, 70)];
    assert_eq!(found(later(999)).await, live);
    trash_all(c, &[get(c, new[1].id).await], &ANY, T0).await;
    assert_eq!(found(later(999)).await, live[2..]);
    change(c, new[1].id, &Change::Undelete { kept_until: T0 }, T0).await;
    assert_eq!(found(later(999)).await, live);
    // Other bytes: what is left of the former ones is compared with nothing.
    let mut other = new[1].clone();
    (other.version, other.digest, other.accepted_at) = ("v2".into(), digest("v2", 7), later(90));
    c.accept(&[other], later(90)).await.unwrap();
    assert_eq!(found(later(999)).await, [&live[2..], &[home(1, 90)]].concat());
}
