use domain::{Kind, State};

use super::{Fixture, kit::*};

pub async fn a_session_takes_the_tracks_that_came_before(f: &Fixture) {
    let ana = accept(&*f.catalog, &recording("call/ana.webm")).await;
    settle(&*f.catalog, ana.id, decided(State::Ready, vec![]), T0).await;
    let before = get(&*f.catalog, ana.id).await;
    let mut call = session("call/session.json", &[("call/ana.webm", "Ana"), ("call/bo.webm", "Bo")]);
    (call.tags, call.recorded_at) = (tags(&["call"]), Some(later(7)));
    let call = accept(&*f.catalog, &call).await;

    let ana = get(&*f.catalog, ana.id).await;
    assert_eq!((ana.kind, ana.session), (Kind::Track, Some(call.id)));
    assert_eq!((&ana.tags, ana.recorded_at), (&tags(&["call"]), Some(later(7))), "it had none of its own");
    assert!(ana.revision > before.revision);
    assert!(dirty(&*f.catalog, T0).await.contains(&ana.id));

    let facts = facts(&*f.catalog, call.id).await;
    assert_eq!(facts.recording.tracks, call.tracks);
    assert_eq!(facts.tracks[0].recording.as_ref(), Some(&ana));
    assert_eq!((facts.tracks[1].track.participant.as_str(), &facts.tracks[1].recording), ("Bo", &None));
}

pub async fn a_session_takes_the_tracks_that_come_later(f: &Fixture) {
    let mut call = session("session.json", &[("ana.webm", "Ana")]);
    (call.tags, call.recorded_at) = (tags(&["call"]), Some(later(7)));
    let call = accept(&*f.catalog, &call).await;
    settle(&*f.catalog, call.id, processing(vec![]), T0).await;
    let before = get(&*f.catalog, call.id).await;
    assert!(dirty(&*f.catalog, T0).await.is_empty());

    let mut ana = recording("ana.webm");
    ana.tags = tags(&["own"]);
    let ana = accept(&*f.catalog, &ana).await;
    assert_eq!((ana.kind, ana.session), (Kind::Track, Some(call.id)));
    assert_eq!(
        (&ana.tags, ana.recorded_at),
        (&tags(&["own"]), Some(later(7))),
        "what it has of its own stays"
    );
    assert!(get(&*f.catalog, call.id).await.revision > before.revision, "a decision under way is void");
    assert_eq!(dirty(&*f.catalog, T0).await, [ana.id, call.id].into());
    assert_eq!(facts(&*f.catalog, call.id).await.tracks[0].recording.as_ref(), Some(&ana));
}

pub async fn both_orders_end_the_same(f: &Fixture) {
    let mut call = session("s/session.json", &[("s/ana.webm", "Ana")]);
    call.recorded_at = Some(later(7));
    let before = f.catalog.accept(&[recording("s/ana.webm"), call], T0).await.unwrap();
    assert_eq!(before[0].recording.kind, Kind::Track, "the answer says what became of it within the batch");
    let mut call = session("t/session.json", &[("t/ana.webm", "Ana")]);
    call.recorded_at = Some(later(7));
    let after = f.catalog.accept(&[call, recording("t/ana.webm")], T0).await.unwrap();
    let (mut one, two) = (before[0].recording.clone(), after[1].recording.clone());
    assert_eq!(one.session, Some(before[1].recording.id));
    assert_eq!(two.session, Some(after[0].recording.id));
    one.session = two.session;
    assert_eq!(
        (one.kind, one.tags, one.recorded_at, one.session),
        (two.kind, two.tags, two.recorded_at, two.session)
    );
    for query in ["ana kind:track name:s", "ana kind:track name:t"] {
        let found = f.catalog.search(&query.parse().unwrap(), 10, None).await.unwrap();
        assert_eq!(found.hits.len(), 1, "{query}: the participant is known either way");
    }
}

/// Next week's call comes under the same names: it is another call, and leaves the first one as it was.
pub async fn what_a_session_has_is_never_taken_from_it(f: &Fixture) {
    let catalog = &*f.catalog;
    let of_week = |week: u8| {
        let mut call = session("call/session.json", &[("call/ana.webm", "Ana")]);
        let mut ana = recording("call/ana.webm");
        call.id = domain::RecordingId::derive(&[b"session", &[week]]);
        ana.id = domain::RecordingId::derive(&[b"track", &[week]]);
        (call.accepted_at, ana.accepted_at) = (later(u64::from(week)), later(u64::from(week)));
        (call, ana)
    };
    let ((first, ana), (second, other_ana)) = (of_week(1), of_week(2));
    let first = accept(catalog, &first).await;
    let ana = accept(catalog, &ana).await;
    let unchanged = get(catalog, first.id).await;
    // The track before its manifest, the harder order.
    let other_ana = accept(catalog, &other_ana).await;
    assert_eq!((other_ana.kind, other_ana.session), (Kind::Recording, None), "no session wants another one");
    let second = accept(catalog, &second).await;

    assert_eq!(get(catalog, other_ana.id).await.session, Some(second.id));
    assert_eq!(get(catalog, ana.id).await.session, Some(first.id));
    assert_eq!(
        get(catalog, first.id).await.revision,
        unchanged.revision,
        "the first call has nothing to look at"
    );
    for (session, track) in [(first.id, ana.id), (second.id, other_ana.id)] {
        let facts = facts(catalog, session).await;
        assert_eq!(facts.tracks[0].recording.as_ref().map(|r| r.id), Some(track));
    }
}

/// Two sessions wait for the same name: the latest gets it, the other goes on waiting.
pub async fn the_latest_session_that_waits_has_the_track(f: &Fixture) {
    let older = accept(&*f.catalog, &session("old/session.json", &[("ana.webm", "Anna")])).await;
    let mut newer = session("new/session.json", &[("ana.webm", "Ana")]);
    newer.accepted_at = later(10);
    let newer = accept(&*f.catalog, &newer).await;
    let ana = accept(&*f.catalog, &recording("ana.webm")).await;
    assert_eq!(ana.session, Some(newer.id));
    assert!(facts(&*f.catalog, older.id).await.tracks[0].recording.is_none());
}

pub async fn a_track_that_changes_wakes_its_session(f: &Fixture) {
    let call = accept(&*f.catalog, &session("session.json", &[("ana.webm", "Ana")])).await;
    let (ana, spec) = with_probe(&*f.catalog, "ana.webm").await;
    let catalog = &*f.catalog;
    let asleep = async || {
        settle(catalog, call.id, processing(vec![]), T0).await;
        assert!(!dirty(catalog, T0).await.contains(&call.id));
        get(catalog, call.id).await.revision
    };
    let woken = async |revision, what: &str| {
        assert!(dirty(catalog, T0).await.contains(&call.id), "{what}");
        assert!(get(catalog, call.id).await.revision > revision, "{what}");
    };

    let revision = asleep().await;
    let held = claim(catalog, &spec, "w", T0).await;
    catalog.fail(&held, &domain::Failure::permanent("no"), crate::Next::Park, T0).await.unwrap();
    woken(revision, "parked").await;
    let revision = asleep().await;
    catalog.retry(crate::Retry::AllParked, T0).await.unwrap();
    woken(revision, "retried").await;
    let revision = asleep().await;
    let held = claim(catalog, &spec, "w", T0).await;
    catalog.record(&held, &probed("x"), T0).await.unwrap();
    woken(revision, "recorded").await;
    let revision = asleep().await;
    settle(catalog, ana.id, decided(State::Ready, vec![]), T0).await;
    woken(revision, "another state").await;
}
