use std::collections::BTreeMap;

use domain::{
    Action, Alert, Arrival, Cold, Copy, ExportSpec, ExportedFile, Lane, Leaving, NameTemplate, Outcome,
    Place, Recording, Restoring, Role, Severity, Speed, State, Timestamp, Way,
};

use super::{Fixture, kit::*};
use crate::{Catalog, Change, Claim, Kind};

async fn in_hand(c: &dyn Catalog, id: domain::RecordingId, action: Action) -> Claim {
    let it = get(c, id).await;
    let job = spec(&it, action, Lane::Bulk);
    settle(c, id, processing(vec![job.clone()]), T0).await;
    claim(c, &job, "w", T0).await
}

async fn verify(c: &dyn Catalog, id: domain::RecordingId, store: &str, at: Timestamp, bad: Option<&str>) {
    let held = in_hand(c, id, Action::Verify { store: store.into(), last: at }).await;
    let outcome = Outcome::Verified { store: store.into(), at, bad: bad.map(Into::into) };
    c.record(&held, &outcome, at).await.unwrap();
}

fn copy_in(it: &Recording, store: &str, at: Timestamp) -> Copy {
    Copy {
        recording: it.id,
        store: store.into(),
        key: format!("{store}/a"),
        version: it.version.clone(),
        digest: it.digest,
        verified_at: at,
        bad: None,
        until: None,
    }
}

async fn bytes(c: &dyn Catalog) -> BTreeMap<String, u64> {
    let mut bytes = c.usage().await.unwrap().bytes;
    bytes.retain(|_, n| *n > 0);
    bytes
}

fn holding(all: &[(&str, u64)]) -> BTreeMap<String, u64> {
    all.iter().map(|(store, n)| ((*store).to_owned(), *n)).collect()
}

/// What is sent or restored was looked at; what a partner had already, or would not have, was not.
pub async fn an_access_is_remembered(f: &Fixture) {
    let c = &*f.catalog;
    let it = accept(c, &recording("a.mp4")).await;
    let export = |to: &str| {
        Action::Export(ExportSpec {
            to: to.into(),
            what: Leaving::Source,
            name: NameTemplate::default(),
            with: Default::default(),
            on_conflict: Default::default(),
            verify: Default::default(),
        })
    };
    let file = |arrival| ExportedFile {
        role: Role::Media,
        name: "a.mp4".into(),
        digest: it.digest,
        arrival,
        checked: "its size".into(),
        sent: 10,
    };
    for (to, at, arrival, known) in [
        ("a", 1, Arrival::Already, None),
        ("b", 2, Arrival::Skipped, None),
        ("c", 9, Arrival::Sent, Some(later(9))),
        ("d", 3, Arrival::Sent, Some(later(9))),
    ] {
        let held = in_hand(c, it.id, export(to)).await;
        let sent = Outcome::Exported { to: to.into(), files: vec![file(arrival)], at: later(at) };
        c.record(&held, &sent, later(9)).await.unwrap();
        assert_eq!(get(c, it.id).await.custody.last_access, known, "{arrival:?} at {at}");
    }
    let restore = Restoring { asked_at: later(20), speed: Speed::Bulk, days: 7, until: None, looks: 0 };
    let cold = Cold { since: later(10), restore: Some(restore) };
    let archive = Action::Archive { class: "GLACIER".into(), by: Way::Now, again: None };
    let held = in_hand(c, it.id, archive).await;
    let place = Place { cold: Some(cold), ..Place::default() };
    c.record(&held, &Outcome::Placed { place }, later(21)).await.unwrap();
    assert_eq!(get(c, it.id).await.custody.last_access, Some(later(20)));
}

pub async fn an_archived_recording_is_cold(f: &Fixture) {
    let c = &*f.catalog;
    let it = accept(c, &recording("a.mp4")).await;
    let held =
        in_hand(c, it.id, Action::Archive { class: "DEEP_ARCHIVE".into(), by: Way::Now, again: None }).await;
    let place = Place {
        version: Some("v2".into()),
        class: Some("DEEP_ARCHIVE".into()),
        cold: Some(Cold { since: later(1), restore: None }),
        ..Place::default()
    };
    c.record(&held, &Outcome::Placed { place: place.clone() }, later(1)).await.unwrap();
    let found = get(c, it.id).await;
    assert_eq!((&found.custody.place, &found.version), (&place, &it.version));
    assert!(found.revision > it.revision && !found.custody.is_readable(later(1)));
    assert_eq!(c.versions(&[it.id]).await.unwrap(), [Some("v2".into())], "that is the one in the store");
    // What the store tells of its own writing is no news.
    let mut event = recording("a.mp4");
    (event.version, event.accepted_at) = ("v2".into(), later(2));
    let accepted = &c.accept(&[event], later(2)).await.unwrap()[0];
    assert_eq!((accepted.new, &accepted.recording), (false, &found));
}

pub async fn another_store_holds_the_source(f: &Fixture) {
    let c = &*f.catalog;
    let it = accept(c, &recording("a.mp4")).await;
    let backup = in_hand(c, it.id, Action::Backup { store: "nas".into() }).await;
    c.record(&backup, &copied(&backup, "nas", 700), T0).await.unwrap();
    let moves = |from: &str, to: &str| Action::Move { store: to.into(), from: from.into(), keep_ms: 5_000 };
    let moved = |to: &str, at| Outcome::Moved {
        to: copy_in(&it, to, at),
        place: Place::default(),
        keep_until: later(99),
    };
    let held = in_hand(c, it.id, moves("library", "nas")).await;
    c.record(&held, &moved("nas", later(1)), later(1)).await.unwrap();
    let found = facts(c, it.id).await;
    assert_eq!((found.recording.store.as_str(), found.recording.key.as_str()), ("nas", "nas/a"));
    assert_eq!(found.recording.custody.place.verified_at, Some(later(1)));
    let former = Copy {
        store: "library".into(),
        key: "sources/a.mp4".into(),
        verified_at: T0,
        until: Some(later(99)),
        ..copy_in(&it, "nas", T0)
    };
    assert_eq!(found.copies, [former], "what held it is a copy until then, and the copy there is the home");
    assert_eq!(bytes(c).await, holding(&[("library", 1_000), ("nas", 1_000)]));
    // And back.
    let held = in_hand(c, it.id, moves("nas", "library")).await;
    c.record(&held, &moved("library", later(2)), later(2)).await.unwrap();
    let found = facts(c, it.id).await;
    assert_eq!((found.recording.store.as_str(), found.copies.len()), ("library", 1));
    assert_eq!(found.copies[0].store, "nas");
    assert_eq!(bytes(c).await, holding(&[("library", 1_000), ("nas", 1_000)]));

    // Of bytes that are no longer the recording's: they are somewhere, and home is elsewhere.
    let held = in_hand(c, it.id, moves("library", "third")).await;
    let mut other = recording("a.mp4");
    (other.version, other.digest) = ("v2".into(), digest("other", 50));
    c.accept(&[other], later(3)).await.unwrap();
    c.record(&held, &moved("third", later(3)), later(3)).await.unwrap();
    let found = facts(c, it.id).await;
    assert_eq!(
        (found.recording.store.as_str(), found.recording.custody.place.verified_at),
        ("library", None)
    );
    assert_eq!(found.copies.iter().map(|c| c.store.as_str()).collect::<Vec<_>>(), ["nas", "third"]);
    assert_eq!(bytes(c).await, holding(&[("library", 50), ("nas", 1_000), ("third", 1_000)]));
    // Somebody else's cannot become its home.
    let mut wrong = moved("nas", later(4));
    if let Outcome::Moved { to, .. } = &mut wrong {
        to.recording = recording("b.mp4").id;
    }
    let held = in_hand(c, it.id, moves("library", "nas")).await;
    assert_eq!(c.record(&held, &wrong, later(4)).await.unwrap_err().kind(), Kind::Invalid);
    let home = Outcome::Evicted { store: "library".into() };
    assert_eq!(c.record(&held, &home, later(4)).await.unwrap_err().kind(), Kind::Invalid);
}

/// Promise 2: a hold is absolute, also one that comes when the bytes are at their new place already.
pub async fn what_is_held_stays_where_it_is(f: &Fixture) {
    let c = &*f.catalog;
    let it = accept(c, &recording("a.mp4")).await;
    let action = Action::Move { store: "nas".into(), from: "library".into(), keep_ms: 5_000 };
    let in_hand = in_hand(c, it.id, action).await;
    change(c, it.id, &hold("case 7", "litigation"), later(1)).await;
    let held = facts(c, it.id).await;
    let moved =
        Outcome::Moved { to: copy_in(&it, "nas", later(2)), place: Place::default(), keep_until: later(99) };
    let refused = c.record(&in_hand, &moved, later(2)).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Held);
    assert!(refused.to_string().contains("held by `case 7` (litigation, placed by suite)"), "{refused}");
    assert!(!refused.is_temporary(), "only a release changes it");
    assert_eq!(facts(c, it.id).await, held, "nothing is written");
    assert_eq!(bytes(c).await, holding(&[("library", 1_000)]));
    assert!(c.holds(&in_hand, later(2)).await.unwrap(), "the job is the caller's to fail");
    // What does not take it from where it is becomes a fact.
    let backup = self::in_hand(c, it.id, Action::Backup { store: "third".into() }).await;
    c.record(&backup, &copied(&backup, "third", 700), later(3)).await.unwrap();
    change(c, it.id, &Change::Release { name: None }, later(4)).await;
    c.record(&in_hand, &moved, later(5)).await.unwrap();
    assert_eq!(get(c, it.id).await.store, "nas");
}

pub async fn bytes_that_do_not_read_back_are_known_to_be_bad(f: &Fixture) {
    let c = &*f.catalog;
    let it = accept(c, &recording("a.mp4")).await;
    let backup = in_hand(c, it.id, Action::Backup { store: "nas".into() }).await;
    c.record(&backup, &copied(&backup, "nas", 1_000), T0).await.unwrap();
    verify(c, it.id, "library", later(5), None).await;
    verify(c, it.id, "nas", later(6), Some("a byte differs")).await;
    let found = facts(c, it.id).await;
    assert_eq!(
        (found.recording.custody.place.verified_at, &found.recording.custody.place.bad),
        (Some(later(5)), &None)
    );
    assert_eq!(
        (found.copies[0].verified_at, found.copies[0].bad.as_deref()),
        (later(6), Some("a byte differs"))
    );
    let told: Vec<Alert> = c.unsent(9).await.unwrap().into_iter().map(|(_, alert)| alert).collect();
    assert_eq!((told.len(), told[0].severity, told[0].recording), (1, Severity::Critical, Some(it.id)));
    assert!(
        told[0].subject.contains("copy of a.mp4 in nas") && told[0].cause == "a byte differs",
        "{told:?}"
    );
    // Once is enough, a look from before says nothing, and a good one is good again.
    verify(c, it.id, "nas", later(9_000), Some("two bytes differ")).await;
    verify(c, it.id, "nas", later(8_000), None).await;
    assert_eq!(c.unsent(9).await.unwrap().len(), 1);
    assert!(c.copies(it.id).await.unwrap()[0].bad.is_some());
    verify(c, it.id, "nas", later(9_001), None).await;
    assert_eq!(c.copies(it.id).await.unwrap()[0].bad, None);
    verify(c, it.id, "library", later(9_002), Some("gone")).await;
    assert_eq!(get(c, it.id).await.custody.place.bad.as_deref(), Some("gone"));
    assert_eq!(c.unsent(9).await.unwrap().len(), 2);
    // Repaired, as it was decided before the last look.
    let held = in_hand(c, it.id, Action::Repair { store: "library".into(), found: later(9_002) }).await;
    let place = Place { verified_at: Some(later(9_003)), ..Place::default() };
    c.record(&held, &Outcome::Placed { place }, later(9_003)).await.unwrap();
    assert_eq!(get(c, it.id).await.custody.place.bad, None);
    // A copy that is bad is replaced by a new one.
    verify(c, it.id, "nas", later(9_004), Some("again")).await;
    let held = in_hand(c, it.id, Action::Repair { store: "nas".into(), found: later(9_004) }).await;
    let copy = copy_in(&it, "nas", later(9_005));
    c.record(&held, &Outcome::Copied { copy: copy.clone() }, later(9_005)).await.unwrap();
    assert_eq!(c.copies(it.id).await.unwrap(), [copy]);
    // Verified before, and placed by somebody who did not know.
    verify(c, it.id, "library", later(9_100), Some("gone again")).await;
    let held =
        in_hand(c, it.id, Action::Archive { class: "GLACIER".into(), by: Way::Now, again: None }).await;
    let place = Place { class: Some("GLACIER".into()), verified_at: Some(later(9_003)), ..Place::default() };
    c.record(&held, &Outcome::Placed { place }, later(9_101)).await.unwrap();
    let place = get(c, it.id).await.custody.place;
    assert_eq!((place.class.as_deref(), place.bad.as_deref()), (Some("GLACIER"), Some("gone again")));
}

pub async fn people_are_told_with_the_outcome(f: &Fixture) {
    let c = &*f.catalog;
    let it = accept(c, &recording("a.mp4")).await;
    let action = Action::Notify { rule: "r".into(), severity: Severity::Info, subject: "new".into() };
    let held = in_hand(c, it.id, action).await;
    let alert = Alert {
        key: "r".into(),
        severity: Severity::Info,
        service: "notify".into(),
        subject: "new".into(),
        cause: String::new(),
        next: String::new(),
        recording: Some(it.id),
        at: later(1),
    };
    c.record(&held, &Outcome::Notified { alert: alert.clone() }, later(1)).await.unwrap();
    assert_eq!(c.unsent(9).await.unwrap().into_iter().map(|(_, a)| a).collect::<Vec<_>>(), [alert]);
    assert!(facts(c, it.id).await.done.contains(&held.job.spec.id));
}

/// The same bytes, which the store wrote anew (or somebody to it): nothing is measured or made again.
pub async fn a_drill_that_fails_is_told_and_changes_nothing(f: &Fixture) {
    let c = &*f.catalog;
    let it = accept(c, &recording("a.mp4")).await;
    let backup = in_hand(c, it.id, Action::Backup { store: "nas".into() }).await;
    c.record(&backup, &Outcome::Copied { copy: copy_in(&it, "nas", T0) }, T0).await.unwrap();
    let before = facts(c, it.id).await;
    for (asked, failed) in [(1, None), (2, Some("it does not play"))] {
        let action = Action::Drill { store: "nas".into(), asked: later(asked) };
        let held = in_hand(c, it.id, action).await;
        let failed = failed.map(str::to_owned);
        let outcome = Outcome::Drilled { store: "nas".into(), at: later(asked), failed: failed.clone() };
        c.record(&held, &outcome, later(asked)).await.unwrap();
        let told = c.alerts(9).await.unwrap();
        assert_eq!(told.iter().map(|t| Some(t.alert.cause.clone())).next().flatten(), failed);
        let audit = c.audit(Some(it.id), 1).await.unwrap().remove(0);
        assert_eq!(audit.details["fact"]["failed"], serde_json::json!(failed));
        let found = facts(c, it.id).await;
        assert_eq!(
            (found.recording.custody, found.copies),
            (before.recording.custody.clone(), before.copies.clone())
        );
        let all = c.ended(&crate::JobFilter { recording: Some(it.id), ..Default::default() }, None, 9).await;
        assert_eq!(all.unwrap().last().and_then(|ended| ended.outcome.clone()), Some(outcome));
    }
}

pub async fn the_same_bytes_under_another_version_are_the_same(f: &Fixture) {
    let c = &*f.catalog;
    let (it, job) = with_probe(c, "a.mp4").await;
    let held = claim(c, &job, "w", T0).await;
    c.record(&held, &probed("x"), T0).await.unwrap();
    let before = facts(c, it.id).await;
    let mut again = recording("a.mp4");
    (again.version, again.accepted_at) = ("v2".into(), later(1));
    let accepted = &c.accept(&[again.clone(), again.clone()], later(1)).await.unwrap()[0];
    assert!(!accepted.new);
    let after = facts(c, it.id).await;
    assert_eq!((after.recording.version.as_str(), &after.done), (it.version.as_str(), &before.done));
    assert_eq!(
        (&after.recording.probe, after.recording.custody.place.version.as_deref()),
        (&before.recording.probe, Some("v2"))
    );
    assert!(after.recording.revision > before.recording.revision);
    assert_eq!(c.audit(Some(it.id), 1).await.unwrap()[0].what, "rewrite");
    assert_eq!(c.versions(&[it.id]).await.unwrap(), [Some("v2".into())]);
    // At another place they are other bytes, as ever.
    (again.version, again.accepted_at, again.key) = ("v3".into(), later(2), "elsewhere".into());
    assert!(c.accept(&[again], later(2)).await.unwrap()[0].new);
    let found = get(c, it.id).await;
    assert_eq!((found.version.as_str(), found.custody.place.version), ("v3", None));
}

pub async fn what_comes_again_meets_the_trash(f: &Fixture) {
    let c = &*f.catalog;
    let it = accept(c, &recording("a.mp4")).await;
    trash_all(c, std::slice::from_ref(&it), &ANY, T0).await;
    let trashed = get(c, it.id).await;
    let same = &c.accept(&[recording("a.mp4")], later(1)).await.unwrap()[0];
    assert_eq!((same.new, &same.recording), (false, &trashed), "whoever brings it is told where it is");
    // Other bytes are not what was deleted.
    let mut other = recording("a.mp4");
    (other.version, other.digest, other.accepted_at) = ("v2".into(), digest("v2", 10), later(2));
    let accepted = &c.accept(&[other.clone()], later(2)).await.unwrap()[0];
    let found = get(c, it.id).await;
    assert_eq!((accepted.new, &accepted.recording), (true, &found));
    assert_eq!((found.state, found.custody.trash.clone(), found.custody.lives), (State::Accepted, None, 1));
    // A hold by hand is about the recording, whatever its bytes are.
    change(c, it.id, &hold("case", "x"), later(3)).await;
    (other.version, other.digest, other.accepted_at) = ("v3".into(), digest("v3", 10), later(4));
    c.accept(&[other.clone()], later(4)).await.unwrap();
    assert!(get(c, it.id).await.custody.holds.contains_key("case"));
    change(c, it.id, &Change::Release { name: None }, later(4)).await;

    // While its bytes are being removed nothing is put in their place.
    let now = get(c, it.id).await;
    trash_all(c, std::slice::from_ref(&now), &ANY, later(5)).await;
    let job = spec(&now, Action::Purge { life: 1 }, Lane::Bulk);
    settle(c, it.id, decided(State::Trashed, vec![job.clone()]), later(5)).await;
    let held = claim(c, &job, "w", later(104)).await;
    c.begin_purge(&held, later(104)).await.unwrap();
    (other.version, other.digest, other.accepted_at) = ("v4".into(), digest("v4", 10), later(105));
    let accepted = &c.accept(&[other.clone()], later(105)).await.unwrap()[0];
    assert!(!accepted.new && accepted.recording.state == State::Trashed);
    c.record(&held, &purged(&now, later(106)), later(106)).await.unwrap();
    let accepted = &c.accept(&[other], later(107)).await.unwrap()[0];
    assert!(accepted.new && accepted.recording.custody.lives == 2 && accepted.recording.version == "v4");
}
