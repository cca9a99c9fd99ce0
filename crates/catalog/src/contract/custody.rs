use std::time::Duration;

use domain::{Action, DeletionLimit, JobState, Lane, Offer, State, What};

use super::{Fixture, kit::*};
use crate::{Change, Changed, Over, Trashed};

/// Promise 8: a deletion run is bounded; over the limit nothing at all is done.
pub async fn over_the_limit_nothing_at_all_is_done(f: &Fixture) {
    let c = &*f.catalog;
    let batch: Vec<_> = (0..40).map(|n| recording(&format!("{n}.mp4"))).collect();
    let all: Vec<_> = c.accept(&batch, T0).await.unwrap().into_iter().map(|a| a.recording).collect();
    let limit = DeletionLimit { permille: 100, floor: 3, bytes: None };
    let before = (c.audit(None, 99).await.unwrap(), c.counts().await.unwrap());
    let over = trash_all(c, &all[..5], &limit, T0).await;
    let expected =
        Over { asked: 5, asked_bytes: 5_000, allowed: 4, allowed_bytes: None, already: 0, already_bytes: 0 };
    assert_eq!(over, Trashed::Over(expected.clone()));
    assert_eq!(before, (c.audit(None, 99).await.unwrap(), c.counts().await.unwrap()));
    assert_eq!(get(c, all[0].id).await, all[0]);

    let trashed = |items: &[domain::Recording]| Trashed::Done {
        trashed: items.iter().map(|r| r.id).collect(),
        drifted: vec![],
    };
    assert_eq!(trash_all(c, &all[..3], &limit, T0).await, trashed(&all[..3]));
    let over = trash_all(c, &all[3..5], &limit, later(5)).await;
    let expected = Over { asked: 2, asked_bytes: 2_000, already: 3, already_bytes: 3_000, ..expected };
    assert_eq!(over, Trashed::Over(expected), "in small steps neither");
    // What came back is not gone.
    change(c, all[0].id, &Change::Undelete { kept_until: later(9) }, later(5)).await;
    assert_eq!(trash_all(c, &all[3..5], &limit, later(5)).await, trashed(&all[3..5]));
    let day = DeletionLimit::WINDOW.as_secs();
    assert!(matches!(trash_all(c, &all[5..7], &limit, later(day + 4)).await, Trashed::Over(_)));
    // A day later, of the 36 that are left.
    assert_eq!(trash_all(c, &all[5..7], &limit, later(day + 5)).await, trashed(&all[5..7]));
    let bytes = DeletionLimit { permille: 1_000, floor: 0, bytes: Some(5_999) };
    let Trashed::Over(over) = trash_all(c, &all[7..11], &bytes, later(day + 5)).await else { panic!() };
    assert_eq!((over.allowed, over.already_bytes, over.allowed_bytes), (36, 2_000, Some(5_999)));
    assert_eq!(trash_all(c, &all[7..8], &bytes, later(day + 5)).await, trashed(&all[7..8]));
    // Nothing is within every limit.
    let none = DeletionLimit { permille: 0, floor: 0, bytes: Some(0) };
    assert_eq!(trash_all(c, &[], &none, later(day + 5)).await, trashed(&[]));
}

pub async fn what_is_in_the_trash_has_all_its_bytes_and_comes_back(f: &Fixture) {
    let c = &*f.catalog;
    let (it, spec) = with_probe(c, "a.mp4").await;
    let usage = c.usage().await.unwrap();
    trash_all(c, std::slice::from_ref(&it), &ANY, later(1)).await;
    let trashed = get(c, it.id).await;
    assert_eq!((trashed.state, trashed.reason.as_str()), (State::Trashed, "the suite has it go"));
    assert_eq!(trashed.custody.trash, Some(trash_until(later(1), later(100))));
    assert!(trashed.revision > it.revision);
    assert_eq!(dirty(c, T0).await, [it.id].into());
    assert_eq!(job(c, spec.id).await.state, JobState::Cancelled, "nothing more is made of it");
    assert_eq!(c.usage().await.unwrap(), usage);
    let audit = c.audit(Some(it.id), 1).await.unwrap();
    assert_eq!((audit[0].what.as_str(), audit[0].actor.as_str()), ("trash", "suite"));
    assert_eq!(audit[0].details["rule"], "old");
    assert_eq!(c.by_digest(&it.digest.sha256).await.unwrap(), Some(crate::Known::Source(it.id)));

    settle(c, it.id, decided(State::Trashed, vec![]), later(2)).await;
    let back = Change::Undelete { kept_until: later(500) };
    assert_eq!(change(c, it.id, &back, later(3)).await, Changed::Yes);
    let found = get(c, it.id).await;
    assert_eq!((found.state, found.custody.lives), (State::Accepted, 1));
    assert_eq!((found.custody.trash.clone(), found.custody.kept_until), (None, Some(later(500))));
    assert_eq!(dirty(c, T0).await, [it.id].into(), "what is to become of it is decided anew");
    assert_eq!(c.audit(Some(it.id), 1).await.unwrap()[0].what, "undelete");
    assert_eq!(change(c, it.id, &back, later(4)).await, Changed::Already);
    assert_eq!(get(c, it.id).await, found);
}

/// Promise 2: a hold is absolute: checked again in the instant of deleting. Here: of putting into the trash.
pub async fn what_is_held_or_has_changed_stays_out_of_the_trash(f: &Fixture) {
    let c = &*f.catalog;
    let batch: Vec<_> = (0..5).map(|n| recording(&format!("{n}.mp4"))).collect();
    let all: Vec<_> = c.accept(&batch, T0).await.unwrap().into_iter().map(|a| a.recording).collect();
    change(c, all[1].id, &hold("case 7", "litigation"), T0).await;
    let mut held = all[1].clone();
    held.revision = get(c, held.id).await.revision;
    c.note(all[2].id, "w", "seen", serde_json::json!({}), T0).await.unwrap();
    trash_all(c, &all[3..4], &ANY, T0).await;
    let mut gone = all[3].clone();
    gone.revision = get(c, gone.id).await.revision;
    let mut nobody = all[4].clone();
    nobody.id = recording("nobody").id;
    let asked = [all[0].clone(), held, all[2].clone(), gone, nobody, all[0].clone()];
    let Trashed::Done { trashed, drifted } = trash_all(c, &asked, &ANY, later(1)).await else { panic!() };
    assert_eq!(trashed, [all[0].id]);
    let drifted: Vec<_> = drifted.iter().map(|(id, why)| (*id, why.as_str())).collect();
    let expected =
        ["held by `case 7` (litigation", "has changed", "in the trash already", "know it", "twice"];
    for ((id, why), (asked, expected)) in drifted.iter().zip(asked[1..].iter().zip(expected)) {
        assert!(*id == asked.id && why.contains(expected), "{why}");
    }
    assert_eq!(drifted.len(), 5);
    assert_eq!(get(c, all[1].id).await.state, State::Accepted);
}

pub async fn holds_have_names_and_reasons(f: &Fixture) {
    let c = &*f.catalog;
    let it = accept(c, &recording("a.mp4")).await;
    let (case, other) = (hold("case 7", "litigation"), hold("case 8", "\0 and 'quotes'"));
    assert_eq!(change(c, it.id, &case, later(1)).await, Changed::Yes);
    assert_eq!(change(c, it.id, &case, later(2)).await, Changed::Already);
    assert_eq!(change(c, it.id, &other, later(2)).await, Changed::Yes);
    assert_eq!(change(c, it.id, &hold("case 7", "appeal"), later(3)).await, Changed::Yes, "another reason");
    let found = get(c, it.id).await;
    assert!(found.revision >= it.revision + 3, "a decision under way is void");
    assert_eq!(found.custody.holds["case 7"].reason, "appeal");
    assert_eq!((&*found.custody.holds["case 8"].by, found.custody.holds["case 8"].at), ("suite", later(2)));
    let release = |name: Option<&str>| Change::Release { name: name.map(Into::into) };
    assert_eq!(change(c, it.id, &release(Some("case 9")), later(4)).await, Changed::Already);
    assert_eq!(change(c, it.id, &release(Some("case 7")), later(4)).await, Changed::Yes);
    assert_eq!(get(c, it.id).await.custody.holds.len(), 1);
    assert_eq!(change(c, it.id, &release(None), later(4)).await, Changed::Yes);
    assert_eq!(change(c, it.id, &release(None), later(4)).await, Changed::Already);
    let story: Vec<_> = c.audit(Some(it.id), 9).await.unwrap().into_iter().map(|e| e.what).collect();
    assert_eq!(story, ["release", "release", "hold", "hold", "hold", "accept"]);
    let ids = [recording("nobody").id, it.id];
    let answers = c.custody(&ids, &case, "suite", later(5)).await.unwrap();
    assert!(matches!(answers[0], Changed::Refused(_)) && answers[1] == Changed::Yes, "{answers:?}");
    // What is in the trash can be held there.
    trash_all(c, &[get(c, it.id).await], &ANY, later(6)).await;
    change(c, it.id, &release(None), later(6)).await;
    trash_all(c, &[get(c, it.id).await], &ANY, later(6)).await;
    assert_eq!(change(c, it.id, &case, later(7)).await, Changed::Yes);
}

pub async fn a_hold_on_a_session_is_one_on_its_tracks(f: &Fixture) {
    let c = &*f.catalog;
    let ana = accept(c, &recording("ana.webm")).await;
    let call = accept(c, &session("session.json", &[("ana.webm", "Ana"), ("bo.webm", "Bo")])).await;
    settle(c, ana.id, decided(State::Ready, vec![]), T0).await;
    assert_eq!(change(c, call.id, &hold("case", "x"), later(1)).await, Changed::Yes);
    assert!(get(c, ana.id).await.custody.holds.contains_key("case"));
    assert!(dirty(c, T0).await.contains(&ana.id));
    assert_eq!(c.audit(Some(ana.id), 1).await.unwrap()[0].what, "hold");
    let bo = accept(c, &recording("bo.webm")).await;
    assert!(bo.custody.holds.contains_key("case"), "also one that comes later");
    assert_eq!(get(c, bo.id).await, bo);
    // Held of its own, and let go of with its session only where the session's hold is released.
    change(c, bo.id, &hold("own", "y"), later(2)).await;
    // Asked for together with its track: each answer is about what was asked.
    let release = Change::Release { name: Some("case".into()) };
    let answers = c.custody(&[ana.id, call.id, bo.id], &release, "suite", later(3)).await.unwrap();
    assert_eq!(answers, [Changed::Yes, Changed::Yes, Changed::Already]);
    assert_eq!(get(c, bo.id).await.custody.holds.keys().collect::<Vec<_>>(), ["own"]);
    assert!(get(c, ana.id).await.custody.holds.is_empty());
    // A track in the trash is its own affair.
    change(c, call.id, &hold("again", "x"), later(4)).await;
    let undelete = Change::Undelete { kept_until: later(9) };
    change(c, ana.id, &Change::Release { name: None }, later(4)).await;
    trash_all(c, &[get(c, ana.id).await], &ANY, later(5)).await;
    assert_eq!(change(c, call.id, &undelete, later(6)).await, Changed::Already);
    assert_eq!(get(c, ana.id).await.state, State::Trashed);

    // A manifest that names one more track, and that track's new bytes, in one batch: the hold is on them.
    let eve = accept(c, &recording("eve.webm")).await;
    assert!(eve.custody.holds.is_empty());
    let mut manifest = session("session.json", &[("bo.webm", "Bo"), ("eve.webm", "Eve")]);
    let mut bytes = recording("eve.webm");
    for it in [&mut manifest, &mut bytes] {
        (it.version, it.digest) = ("v2".into(), digest("v2", 7));
    }
    let came = c.accept(&[manifest, bytes], later(7)).await.unwrap();
    assert!(came[1].recording.custody.holds.contains_key("again"), "{:?}", came[1]);
    assert_eq!(get(c, eve.id).await, came[1].recording);
}

fn offer(rule: &str, room: Option<&str>, bytes: u64) -> Offer {
    Offer {
        rule: rule.into(),
        what: if room.is_some() { What::Evict { store: "replica".into() } } else { What::Delete },
        room: room.map(Into::into),
        bytes,
        archived: room.is_some(),
        dated: T0,
        trash: Duration::from_secs(3_600),
        reason: "it's \0 old".into(),
    }
}

pub async fn offers_are_those_of_the_last_decision(f: &Fixture) {
    let c = &*f.catalog;
    let batch: Vec<_> = (0..5).map(|n| recording(&format!("{n}.mp4"))).collect();
    let mut all: Vec<_> = c.accept(&batch, T0).await.unwrap().into_iter().map(|a| a.recording.id).collect();
    all.sort();
    let room = Some("library");
    for id in &all {
        let mut decision = decided(State::Ready, vec![]);
        decision.offers = vec![offer("a", None, 1), offer("b", room, 2), offer("c", room, u64::MAX)];
        settle(c, *id, decision, T0).await;
    }
    let due = c.offers(None, None, 99).await.unwrap();
    assert_eq!(due.iter().map(|(id, _)| *id).collect::<Vec<_>>(), all);
    let stored = |o: Offer| Offer { bytes: o.bytes.min(i64::MAX as u64), ..o };
    let plain = |o: &Offer| Offer { reason: o.reason.replace(['\0', '\u{fffd}'], "?"), ..o.clone() };
    assert_eq!(plain(&due[0].1), plain(&offer("a", None, 1)));
    // Pages end with a recording, not in the middle of one.
    let page = c.offers(room, Some(all[1]), 2).await.unwrap();
    let expected: Vec<_> = all[2..4].iter().flat_map(|id| [(*id, "b"), (*id, "c")]).collect();
    assert_eq!(page.iter().map(|(id, o)| (*id, o.rule.as_str())).collect::<Vec<_>>(), expected);
    assert_eq!(plain(&page[1].1), plain(&stored(offer("c", room, u64::MAX))));
    assert_eq!(c.offers(Some("other"), None, 9).await.unwrap(), []);

    let mut decision = decided(State::Ready, vec![]);
    decision.offers = vec![offer("b", room, 3)];
    settle(c, all[0], decision, T0).await;
    assert_eq!(c.offers(None, None, 99).await.unwrap().len(), 4);
    assert_eq!(c.offers(room, None, 1).await.unwrap()[0].1.bytes, 3);
    trash_all(c, &[get(c, all[1]).await], &ANY, later(1)).await;
    assert_eq!(c.offers(None, None, 99).await.unwrap().len(), 3, "it went");
}

/// A job that a worker has in hand goes on, and what it makes is kept with the rest.
pub async fn work_in_hand_is_recorded_also_of_what_is_in_the_trash(f: &Fixture) {
    let c = &*f.catalog;
    let (it, spec) = with_probe(c, "a.mp4").await;
    let held = claim(c, &spec, "w", T0).await;
    trash_all(c, std::slice::from_ref(&it), &ANY, T0).await;
    c.record(&held, &rendered(&held, "mp4", "first", 10), T0).await.unwrap();
    let facts = facts(c, it.id).await;
    assert_eq!((facts.renditions.len(), facts.recording.state), (1, State::Trashed));
    // Neither does anybody find it by its work.
    let later_job = super::kit::spec(&it, Action::Backup { store: "x".into() }, Lane::Bulk);
    assert_eq!(c.claim(later_job.id, "w", T0, TTL).await.unwrap(), None);
}
