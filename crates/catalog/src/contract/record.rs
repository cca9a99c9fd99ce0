use domain::{Action, JobId, JobState, Lane, Outcome, State};

use super::{Fixture, kit::*};
use crate::Kind;

/// Promise 4: a message is acknowledged only after its outcome is durably recorded. Here: once `record` answers,
/// the fact, the finished job, the recording's turn to be decided and the audit are there, and before it none
/// of them is. (That they outlive a `kill -9` is each backend's own test.)
pub async fn an_outcome_is_recorded_with_all_that_follows_or_not_at_all(f: &Fixture) {
    let c = &*f.catalog;
    let (it, spec) = with_probe(c, "a.mp4").await;
    let (other, _) = with_probe(c, "b.mp4").await;
    let held = claim(c, &spec, "w", T0).await;

    // An outcome that cannot become a fact: someone else's. Nothing of it stays, not even what went before.
    let mut wrong = rendered(&held, "mp4", "first", 10);
    if let Outcome::Rendered { rendition } = &mut wrong {
        rendition.recording = other.id;
    }
    let before = (facts(c, it.id).await, job(c, spec.id).await, c.audit(None, 99).await.unwrap());
    assert_eq!(c.record(&held, &wrong, T0).await.unwrap_err().kind(), Kind::Invalid);
    assert_eq!(before, (facts(c, it.id).await, job(c, spec.id).await, c.audit(None, 99).await.unwrap()));
    assert!(dirty(c, T0).await.is_empty());
    assert_eq!(c.by_digest(&sha256("first")).await.unwrap(), None);

    c.record(&held, &probed("Inner title"), later(3)).await.unwrap();
    let again = (f.again)().await;
    for c in [c, &*again] {
        let facts = facts(c, it.id).await;
        assert_eq!(facts.recording.media().unwrap().duration_ms, 61_000);
        assert!(facts.recording.revision > it.revision);
        assert_eq!(facts.done, [spec.id].into());
        let done = job(c, spec.id).await;
        assert_eq!((done.state, done.finished_at), (JobState::Done, Some(later(3))));
        assert_eq!(dirty(c, T0).await, [it.id].into());
        let audit = c.audit(Some(it.id), 1).await.unwrap();
        assert_eq!((audit[0].what.as_str(), audit[0].actor.as_str(), audit[0].at), ("record", "w", later(3)));
        assert_eq!(c.search(&"inner type:video".parse().unwrap(), 9, None).await.unwrap().hits.len(), 1);
    }
}

pub async fn recording_twice_is_recording_once(f: &Fixture) {
    let c = &*f.catalog;
    let (it, spec) = with_probe(c, "a.mp4").await;
    let held = claim(c, &spec, "w", T0).await;
    c.record(&held, &rendered(&held, "mp4", "first", 10), T0).await.unwrap();
    let once = (facts(c, it.id).await, c.audit(None, 99).await.unwrap(), c.usage().await.unwrap());
    // The answer to the first was lost: the same claim asks again.
    c.record(&held, &rendered(&held, "mp4", "first", 10), later(1)).await.unwrap();
    assert_eq!(once, (facts(c, it.id).await, c.audit(None, 99).await.unwrap(), c.usage().await.unwrap()));
}

pub async fn a_probe_of_former_bytes_is_not_applied(f: &Fixture) {
    let c = &*f.catalog;
    let (it, spec) = with_probe(c, "a.mp4").await;
    let held = claim(c, &spec, "w", T0).await;
    let mut other = recording("a.mp4");
    (other.version, other.digest) = ("v2".into(), digest("other bytes", 1_000));
    c.accept(&[other], later(1)).await.unwrap();
    c.record(&held, &probed("former"), later(2)).await.unwrap();
    let facts = facts(c, it.id).await;
    assert_eq!(facts.recording.probe, None);
    assert_eq!(job(c, spec.id).await.state, JobState::Done, "it was done, of those bytes");
    assert!(facts.done.is_empty(), "and says nothing of these");
    assert_eq!(c.search(&"former".parse().unwrap(), 9, None).await.unwrap().hits, []);
}

pub async fn a_rendition_made_again_replaces_the_former(f: &Fixture) {
    let c = &*f.catalog;
    let (it, spec) = with_probe(c, "a.mp4").await;
    let (one, two) = (backup_of(&it, "1"), backup_of(&it, "2"));
    settle(c, it.id, processing(vec![spec.clone(), one.clone(), two.clone()]), T0).await;
    for (job, name, bytes) in [(&spec, "mp4", "first"), (&one, "webm", "other"), (&two, "mp4", "second")] {
        let held = claim(c, job, "w", T0).await;
        c.record(&held, &rendered(&held, name, bytes, 10), T0).await.unwrap();
    }
    let renditions = c.renditions(it.id).await.unwrap();
    let keys: Vec<_> = renditions.iter().map(|r| (r.name.as_str(), r.files[0].key.as_str())).collect();
    assert_eq!(keys, [("mp4", "renditions/second"), ("webm", "renditions/other")]);
    assert_eq!(facts(c, it.id).await.renditions, renditions);

    // One that was still being made of former bytes does not push the current one out.
    let late = backup_of(&it, "3");
    settle(c, it.id, processing(vec![late.clone()]), T0).await;
    let held = claim(c, &late, "w", T0).await;
    let mut other = recording("a.mp4");
    (other.version, other.digest) = ("v2".into(), digest("other bytes", 1_000));
    c.accept(&[other], later(1)).await.unwrap();
    c.record(&held, &rendered(&held, "mp4", "outdated", 10), T0).await.unwrap();
    assert_eq!(c.renditions(it.id).await.unwrap(), renditions);
}

pub async fn a_rendition_that_is_missed_can_be_made_again(f: &Fixture) {
    let c = &*f.catalog;
    let (it, maker) = with_probe(c, "a.mp4").await;
    let usage = async || {
        let mut bytes = c.usage().await.unwrap().bytes;
        bytes.retain(|_, n| *n > 0);
        bytes
    };
    let before = usage().await;
    let making = claim(c, &maker, "w", T0).await;
    c.record(&making, &rendered(&making, "mp4", "first", 10), T0).await.unwrap();
    let made = c.renditions(it.id).await.unwrap();
    let seek = |made| spec(&it, Action::Seek { rendition: "mp4".into(), made }, Lane::Bulk);
    let missed = |job| Outcome::Missed { rendition: "mp4".into(), job, lost: "it is not there".into() };

    // It is there after all; and one of another making is not this one.
    for (n, outcome) in [(1, Outcome::Present), (2, missed(JobId::derive(&[b"another"])))] {
        let looks = seek(later(n));
        settle(c, it.id, processing(vec![looks.clone()]), T0).await;
        c.record(&claim(c, &looks, "w", T0).await, &outcome, T0).await.unwrap();
        assert_eq!(facts(c, it.id).await.renditions, made);
        assert!(facts(c, it.id).await.done.contains(&maker.id));
    }

    let looks = seek(later(3));
    settle(c, it.id, processing(vec![looks.clone()]), T0).await;
    let found = claim(c, &looks, "w", T0).await;
    for _ in 0..2 {
        c.record(&found, &missed(maker.id), later(4)).await.unwrap();
    }
    let left = facts(c, it.id).await;
    assert_eq!(left.renditions, []);
    assert!(!left.done.contains(&maker.id), "so that it is asked for again");
    assert_eq!(usage().await, before);
    assert!(dirty(c, T0).await.contains(&it.id));
    let audit = c.audit(Some(it.id), 1).await.unwrap();
    assert_eq!(audit[0].details["fact"]["lost"], "it is not there");
    // What we made does not come in as a recording, whatever became of it.
    assert!(c.by_digest(&sha256("first")).await.unwrap().is_some());

    settle(c, it.id, processing(vec![maker.clone()]), later(5)).await;
    let again = claim(c, &maker, "w", later(5)).await;
    assert_eq!((again.job.attempts, again.job.failures), (1, 0));
    c.record(&again, &rendered(&again, "mp4", "first", 10), later(5)).await.unwrap();
    assert_eq!(c.renditions(it.id).await.unwrap().len(), 1);
}

pub async fn a_copy_is_kept_per_store(f: &Fixture) {
    let c = &*f.catalog;
    let it = accept(c, &recording("a.mp4")).await;
    let jobs = ["b", "a"].map(|store| backup_of(&it, store));
    settle(c, it.id, processing(jobs.to_vec()), T0).await;
    for (job, store) in jobs.iter().zip(["b", "a"]) {
        let held = claim(c, job, "w", T0).await;
        c.record(&held, &copied(&held, store, 1_000), T0).await.unwrap();
    }
    let copies = c.copies(it.id).await.unwrap();
    assert_eq!(copies.iter().map(|c| c.store.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(facts(c, it.id).await.copies, copies);
    assert_eq!(copies[0].version, it.version);
}

pub async fn tags_are_added(f: &Fixture) {
    let c = &*f.catalog;
    let mut it = recording("a.mp4");
    it.tags = tags(&["old"]);
    let it = accept(c, &it).await;
    let job = spec(&it, Action::Tag { add: tags(&["new"]) }, Lane::Bulk);
    settle(c, it.id, processing(vec![job.clone()]), T0).await;
    let held = claim(c, &job, "w", T0).await;
    c.record(&held, &Outcome::Tagged { tags: tags(&["new"]) }, T0).await.unwrap();
    assert_eq!(get(c, it.id).await.tags, tags(&["new", "old"]));
    for query in ["tag:new", "tag:old", "new"] {
        assert_eq!(c.search(&query.parse().unwrap(), 9, None).await.unwrap().hits.len(), 1, "{query}");
    }
}

pub async fn the_audit_tells_the_story(f: &Fixture) {
    let c = &*f.catalog;
    let (it, spec) = with_probe(c, "a.mp4").await;
    let held = claim(c, &spec, "w", T0).await;
    c.record(&held, &probed("x"), later(1)).await.unwrap();
    settle(c, it.id, decided(State::Ready, vec![]), later(2)).await;
    accept(c, &recording("b.mp4")).await;
    let story = c.audit(Some(it.id), 99).await.unwrap();
    let whats: Vec<_> = story.iter().map(|e| (e.what.as_str(), e.actor.as_str())).collect();
    assert_eq!(whats, [("state", "decide"), ("record", "w"), ("state", "decide"), ("accept", "intake")]);
    assert!(story.iter().is_sorted_by(|a, b| a.seq > b.seq));
    assert_eq!((story[0].details["to"].as_str(), story[0].recording), (Some("ready"), Some(it.id)));
    assert_eq!(c.audit(None, 99).await.unwrap().len(), 5);
    assert_eq!(c.audit(None, 2).await.unwrap().len(), 2);
}

/// Each entry is hashed with the one before it; who has kept a head can tell whether what was there still is.
pub async fn the_audit_log_is_a_chain(f: &Fixture) {
    let c = &*f.catalog;
    let nothing = c.audit_verify().await.unwrap();
    assert_eq!((nothing.entries, nothing.unchained, nothing.first_bad), (0, 0, None));
    let (it, spec) = with_probe(c, "\"é\" 日\n.mp4").await;
    let held = claim(c, &spec, "w:1", T0).await;
    c.record(&held, &probed("x"), later(1)).await.unwrap();
    c.note(it.id, "", "", serde_json::json!({ "odd": "\u{0}\u{1F600}" }), later(2)).await.unwrap();
    c.policy_in_force("p", later(3)).await.unwrap();
    let one = c.audit_verify().await.unwrap();
    assert_eq!((one.entries, one.first_bad), (5, None));
    assert_eq!((f.again)().await.audit_verify().await.unwrap(), one, "it is the same for everybody");
    let batch: Vec<_> = (0..200).map(|n| recording(&format!("{n}.mp4"))).collect();
    c.accept(&batch, T0).await.unwrap();
    let two = c.audit_verify().await.unwrap();
    assert_eq!((two.entries, two.first_bad), (205, None));
    assert!(nothing.head != one.head && one.head != two.head);
}
