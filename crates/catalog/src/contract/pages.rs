use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Action, Cold, Facts, Failure, Kind, Lane, Outcome, Place, RecordingId, RowTest, Screen, Timestamp, Way,
};

use super::{Fixture, kit::*};
use crate::{Catalog, Change, Claim, Eldest, Next};

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

pub async fn a_screen_finds_all_that_rules_may_be_for(f: &Fixture) {
    let c = &*f.catalog;
    let mut new: Vec<_> = (0..9).map(|n| recording(&format!("cam{n}/{n}.mp4"))).collect();
    new[0].tags = set(["a \"quoted\" tag", "court"]);
    new[1].tags = set(["quoted", "Court", "50%_'\\"]);
    new[2].recorded_at = Some(later(5));
    new[3].name = "cam%/ä'\"_?$1.mp4".into();
    new[4].name = "CAM0/x.mp4".into();
    new[4].fields = super::describe::fields(&[("case", "A \"1\"\\"), ("note", "\"case\":\"B\"")]);
    new[5].fields = super::describe::fields(&[("case", "B"), ("lowcase", "C")]);
    new.push(session("s.json", &[("1.mp4", "Ana")]));
    c.accept(&new, T0).await.unwrap();
    // All but one are probed: of that nobody knows what it is.
    for it in new.iter().filter(|it| it.kind != Kind::Session && it.id != new[8].id) {
        let mut outcome = probed("x");
        if let Outcome::Probed { probe } = &mut outcome
            && it.id == new[7].id
        {
            probe.facts = None;
        }
        done(c, it.id, Action::Probe, |_| outcome).await;
    }
    let screens = screens();
    agrees(c, &screens).await;

    // What needs care whatever the rules are.
    let bad = |store: &str| Outcome::Verified { store: store.into(), at: later(1), bad: Some("bad".into()) };
    let verify = |store: &str| Action::Verify { store: store.into(), last: T0 };
    let cold = Place { cold: Some(Cold { since: T0, restore: None }), ..Place::default() };
    done(c, new[1].id, verify("library"), |_| bad("library")).await;
    let archive = Action::Archive { class: "GLACIER".into(), by: Way::Now, again: None };
    done(c, new[2].id, archive, |_| Outcome::Placed { place: cold.clone() }).await;
    done(c, new[3].id, Action::Backup { store: "nas".into() }, |held| copied(held, "nas", 10)).await;
    done(c, new[3].id, verify("nas"), |_| bad("nas")).await;
    let moves = Action::Move { store: "nas".into(), from: "library".into(), keep_ms: 9 };
    done(c, new[4].id, moves, |held| {
        let Outcome::Copied { copy } = copied(held, "nas", 10) else { panic!() };
        Outcome::Moved { to: copy, place: Place::default(), keep_until: later(99) }
    })
    .await;
    trash_all(c, &[get(c, new[5].id).await], &ANY, T0).await;
    change(c, new[6].id, &Change::Hold { name: "\"bad\":".into(), reason: "\"cold\":".into() }, T0).await;
    agrees(c, &screens).await;
    let nothing = Screen { any: Vec::new() };
    let of_care: BTreeSet<RecordingId> = screened(c, &nothing, 99).await.into_iter().collect();
    assert_eq!(of_care, [1, 2, 3, 4, 5, 8].map(|n| new[n].id).into());
}

fn set<const N: usize>(texts: [&str; N]) -> BTreeSet<String> {
    texts.map(str::to_owned).into()
}

/// One a test, and some together.
fn screens() -> Vec<Screen> {
    let tags = |has, any, none| RowTest::Tags { has, any, none };
    let (ever, never) = (Timestamp(i64::MIN), Timestamp(i64::MAX));
    let tests = [
        RowTest::Kind([Kind::Session].into()),
        RowTest::Kind([Kind::Recording, Kind::Track].into()),
        RowTest::Size { min: 0, max: 10 },
        RowTest::Size { min: 1, max: u64::MAX },
        RowTest::Duration { min: 1, max: u64::MAX },
        RowTest::Duration { min: 0, max: 0 },
        RowTest::Dated { from: later(5), before: never },
        RowTest::Dated { from: ever, before: later(5) },
        RowTest::Dated { from: T0, before: T0 },
        RowTest::Accepted { from: T0, before: later(1) },
        RowTest::Accepted { from: ever, before: ever },
        RowTest::Name(set(["cam1/", "cam%", "CAM0/x.mp4"])),
        RowTest::Name(set(["cam%/ä'\"_?$1"])),
        RowTest::Name(set([""])),
        RowTest::Name(set([])),
        RowTest::Type(set(["video/"])),
        RowTest::Type(set(["audio/", "video/mp4"])),
        RowTest::Field { name: "case".into(), any: set(["B"]) },
        RowTest::Field { name: "case".into(), any: set(["A \"1\"\\", "C", "b"]) },
        RowTest::Field { name: "note".into(), any: set(["\"case\":\"B\""]) },
        RowTest::Field { name: "case".into(), any: set([]) },
        tags(set(["court"]), set([]), set([])),
        tags(set(["quoted"]), set([]), set([])),
        tags(set(["50%_'\\"]), set([]), set([])),
        tags(set([]), set(["Court", "tag"]), set([])),
        tags(set([]), set([]), set(["a \"quoted\" tag"])),
        tags(set(["court"]), set(["court", "x"]), set(["quoted"])),
    ];
    let mut screens: Vec<Screen> = tests.iter().map(|t| Screen { any: vec![vec![t.clone()]] }).collect();
    screens.extend(tests.windows(2).map(|two| Screen { any: vec![two.to_vec()] }));
    screens.push(Screen { any: tests.iter().step_by(5).map(|t| vec![t.clone()]).collect() });
    screens.push(Screen { any: vec![Vec::new()] });
    // More rules than an expression may be deep.
    let many = (0..1_500).map(|n| vec![RowTest::Name(set([format!("none{n}").as_str()]))]);
    screens.push(Screen { any: many.collect() });
    screens
}

async fn agrees(c: &dyn Catalog, screens: &[Screen]) {
    let all = c.facts_page(None, 99).await.unwrap();
    for screen in screens {
        let expected: BTreeSet<RecordingId> =
            all.iter().filter(|facts| screen.passes(facts)).map(|facts| facts.recording.id).collect();
        for size in [3, 99] {
            let found = screened(c, screen, size).await;
            assert_eq!(found.len(), expected.len(), "{screen:?}, {size} at a time");
            assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected, "{screen:?}");
        }
    }
}

async fn screened(c: &dyn Catalog, screen: &Screen, size: u32) -> Vec<RecordingId> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let (page, last) = c.screened(screen, after, size).await.unwrap();
        assert!(page.len() <= size as usize && page.is_empty() == last.is_none());
        if last.is_none() {
            return all;
        }
        all.extend(page);
        after = last;
    }
}

/// A job that is asked for, taken and recorded.
async fn done(c: &dyn Catalog, id: RecordingId, action: Action, outcome: impl FnOnce(&Claim) -> Outcome) {
    let job = spec(&get(c, id).await, action, Lane::Bulk);
    settle(c, id, processing(vec![job.clone()]), T0).await;
    let held = claim(c, &job, "w", T0).await;
    c.record(&held, &outcome(&held), T0).await.unwrap();
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
