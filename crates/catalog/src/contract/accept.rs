use std::collections::BTreeSet;

use domain::{Crc64, State};

use super::{Fixture, kit::*};
use crate::Known;

pub async fn accepting_twice_is_accepting_once(f: &Fixture) {
    let it = recording("cam1/0001.mp4");
    let first = f.catalog.accept(std::slice::from_ref(&it), T0).await.unwrap();
    let second = f.catalog.accept(std::slice::from_ref(&it), later(9)).await.unwrap();
    assert!(first[0].new && !second[0].new);
    assert_eq!(first[0].recording, second[0].recording);
    assert_eq!(f.catalog.audit(Some(it.id), 10).await.unwrap().len(), 1);
    assert_eq!(dirty(&*f.catalog, T0).await, BTreeSet::from([it.id]), "a new recording is to be decided");
}

pub async fn a_batch_keeps_its_order_and_is_taken_whole(f: &Fixture) {
    let mut batch: Vec<_> = (0..1_000).map(|n| recording(&format!("{n}.mp4"))).collect();
    batch.push(batch[0].clone());
    let accepted = f.catalog.accept(&batch, T0).await.unwrap();
    assert!(accepted.iter().map(|a| a.recording.id).eq(batch.iter().map(|b| b.id)));
    assert_eq!(accepted.iter().filter(|a| a.new).count(), 1_000, "the last one was in the batch already");
    assert_eq!(f.catalog.counts().await.unwrap().recordings[&State::Accepted], 1_000);
    assert_eq!(dirty(&*f.catalog, T0).await.len(), 1_000);
}

pub async fn what_is_accepted_comes_back_as_it_was(f: &Fixture) {
    let mut it = recording("Été/\"quoted\" 日本.mp4");
    it.title = "a\nb\u{1f600}".into();
    it.tags = tags(&["Über", "a b"]);
    it.recorded_at = Some(later(5));
    it.digest.size = 1 << 62;
    it.digest.crc64 = Crc64(u64::MAX - 1);
    let accepted = accept(&*f.catalog, &it).await;
    let found = get(&*f.catalog, it.id).await;
    assert_eq!(accepted, found);
    assert_eq!((&found.name, &found.title, &found.tags), (&it.name, &it.title, &it.tags));
    assert_eq!((found.digest, found.recorded_at, found.accepted_at), (it.digest, it.recorded_at, T0));
    assert_eq!((found.state, found.probe, found.session), (State::Accepted, None, None));
    assert_eq!(f.catalog.get(recording("nobody").id).await.unwrap(), None);
    assert_eq!(f.catalog.facts(recording("nobody").id).await.unwrap(), None);
}

pub async fn new_bytes_void_what_was_measured_of_the_former(f: &Fixture) {
    let (it, spec) = with_probe(&*f.catalog, "a.mp4").await;
    let held = claim(&*f.catalog, &spec, "w", T0).await;
    f.catalog.record(&held, &probed("x"), T0).await.unwrap();
    settle(&*f.catalog, it.id, decided(State::Ready, vec![]), T0).await;
    let before = facts(&*f.catalog, it.id).await;
    assert!(before.recording.probe.is_some() && before.done.contains(&spec.id));

    let mut other = recording("a.mp4");
    other.version = "v2".into();
    other.digest = digest("other bytes", 2_500);
    other.accepted_at = later(10);
    let accepted = f.catalog.accept(&[other.clone()], later(10)).await.unwrap();
    assert!(accepted[0].new);
    let after = facts(&*f.catalog, it.id).await;
    assert_eq!((after.recording.probe, after.recording.state), (None, State::Accepted));
    assert_eq!((after.recording.version.as_str(), after.recording.digest), ("v2", other.digest));
    assert!(after.recording.revision > before.recording.revision);
    assert!(after.done.is_empty(), "what was done to the former bytes says nothing of these");
    assert!(dirty(&*f.catalog, later(10)).await.contains(&it.id));
    assert_eq!(f.catalog.usage().await.unwrap().bytes["library"], 2_500);
}

pub async fn a_late_event_of_former_bytes_changes_nothing(f: &Fixture) {
    let mut new = recording("a.mp4");
    (new.version, new.accepted_at, new.digest) = ("v2".into(), later(10), digest("v2", 1_000));
    let before = accept(&*f.catalog, &new).await;
    let accepted = f.catalog.accept(&[recording("a.mp4")], later(20)).await.unwrap();
    assert!(!accepted[0].new);
    assert_eq!(accepted[0].recording, before);
}

pub async fn recordings_of_one_date_do_not_collide(f: &Fixture) {
    for batch in 0..3 {
        let batch: Vec<_> = (0..50).map(|n| recording(&format!("{batch}-{n}.mp4"))).collect();
        f.catalog.accept(&batch, T0).await.unwrap();
    }
    let page = f.catalog.search(&Default::default(), 1_000, None).await.unwrap();
    assert_eq!(page.hits.iter().map(|r| r.id).collect::<BTreeSet<_>>().len(), 150);
}

pub async fn an_id_is_found_by_its_beginning(f: &Fixture) {
    let batch: Vec<_> = (0..200).map(|n| recording(&n.to_string())).collect();
    f.catalog.accept(&batch, T0).await.unwrap();
    for it in &batch[..20] {
        let text = it.id.to_string();
        assert_eq!(f.catalog.resolve(&text).await.unwrap(), [it.id]);
        assert!(f.catalog.resolve(&text[..8].to_uppercase()).await.unwrap().contains(&it.id));
    }
    assert_eq!(f.catalog.resolve("").await.unwrap().len(), 20);
    for odd in ["zzzz", "%", "_", "'", "\u{0}", "é", "0000000000000000000000000000000"] {
        assert_eq!(f.catalog.resolve(odd).await.unwrap(), [], "{odd:?}");
    }
}

/// Promise 7: our own outputs never re-enter as inputs. Here: they are known by their bytes, also once replaced.
pub async fn our_outputs_are_known_by_their_bytes(f: &Fixture) {
    let (it, spec) = with_probe(&*f.catalog, "a.mp4").await;
    assert_eq!(f.catalog.by_digest(&it.digest.sha256).await.unwrap(), Some(Known::Source(it.id)));
    assert_eq!(f.catalog.by_digest(&sha256("first")).await.unwrap(), None);
    let held = claim(&*f.catalog, &spec, "w", T0).await;
    f.catalog.record(&held, &rendered(&held, "mp4-720p", "first", 10), T0).await.unwrap();

    let again = backup_of(&it, "x");
    settle(&*f.catalog, it.id, processing(vec![again.clone()]), T0).await;
    let held = claim(&*f.catalog, &again, "w", T0).await;
    f.catalog.record(&held, &rendered(&held, "mp4-720p", "second", 10), T0).await.unwrap();
    for bytes in ["first", "second"] {
        let known = f.catalog.by_digest(&sha256(bytes)).await.unwrap();
        assert_eq!(known, Some(Known::Rendition(it.id, "mp4-720p".into())), "{bytes}");
    }
}

pub async fn usage_is_the_sum_of_what_is_stored(f: &Fixture) {
    let (it, spec) = with_probe(&*f.catalog, "a.mp4").await;
    accept(&*f.catalog, &recording("b.mp4")).await;
    let (one, two) = (backup_of(&it, "replica"), backup_of(&it, "replica2"));
    settle(&*f.catalog, it.id, processing(vec![spec.clone(), one.clone(), two.clone()]), T0).await;
    let held = claim(&*f.catalog, &spec, "w", T0).await;
    f.catalog.record(&held, &rendered(&held, "mp4", "first", 300), T0).await.unwrap();
    let held = claim(&*f.catalog, &one, "w", T0).await;
    f.catalog.record(&held, &rendered(&held, "mp4", "second", 200), T0).await.unwrap();
    let held = claim(&*f.catalog, &two, "w", T0).await;
    f.catalog.record(&held, &copied(&held, "replica", 1_000), T0).await.unwrap();
    let usage = f.catalog.usage().await.unwrap().bytes;
    assert_eq!(
        usage,
        [("library", 2_000), ("outputs", 200), ("replica", 1_000)].map(|(s, n)| (s.into(), n)).into()
    );
    assert_eq!(f.catalog.counts().await.unwrap().bytes, 3_200);
}
