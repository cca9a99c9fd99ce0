use domain::{Action, Copy, JobSpec, JobState, Lane, Outcome, Recording, State, Timestamp};

use super::{Fixture, kit::*};
use crate::{Catalog, Change, Changed, Claim, Evicting, Kind, Purging, Settled};

/// In the trash and due at 100 s, with a worker on its purge.
async fn about_to_go(c: &dyn Catalog, name: &str, now: Timestamp) -> (Recording, JobSpec, Claim) {
    let it = get(c, accept(c, &recording(name)).await.id).await;
    trash_all(c, std::slice::from_ref(&it), &ANY, T0).await;
    let job = spec(&it, Action::Purge { life: it.custody.lives }, Lane::Bulk);
    settle(c, it.id, decided(State::Trashed, vec![job.clone()]), T0).await;
    let held = claim(c, &job, "w", now).await;
    (get(c, it.id).await, job, held)
}

fn refused<T: std::fmt::Debug>(answer: T, says: &str) {
    let text = format!("{answer:?}");
    assert!(text.starts_with("Refused") && text.contains(says), "{text}");
}

/// Promise 2: a hold is absolute: checked again in the instant of deleting.
pub async fn what_is_held_is_not_purged(f: &Fixture) {
    let c = &*f.catalog;
    let (it, _, held) = about_to_go(c, "a.mp4", later(100)).await;
    assert_eq!(change(c, it.id, &hold("case 7", "litigation"), later(101)).await, Changed::Yes);
    let before = c.audit(None, 99).await.unwrap();
    refused(c.begin_purge(&held, later(102)).await.unwrap(), "case 7");
    assert_eq!(c.audit(None, 99).await.unwrap(), before);
    assert_eq!(get(c, it.id).await.custody.trash.unwrap().purging, None);
    change(c, it.id, &Change::Release { name: None }, later(103)).await;
    assert!(matches!(c.begin_purge(&held, later(104)).await.unwrap(), Purging::Go(_)));
    // And from here on nobody is told that it is held.
    for change_of in [hold("case 8", "too late"), Change::Undelete { kept_until: later(999) }] {
        refused(change(c, it.id, &change_of, later(105)).await, "no way back");
    }
    assert_eq!(get(c, it.id).await.custody.trash.unwrap().purging, Some(later(104)));
}

/// Promise 11: every deletion has an audit record written first.
pub async fn a_purge_is_written_down_before_it_begins(f: &Fixture) {
    let c = &*f.catalog;
    let (it, job, held) = about_to_go(c, "a.mp4", later(100)).await;
    let Purging::Go(facts) = c.begin_purge(&held, later(101)).await.unwrap() else { panic!() };
    assert_eq!((facts.recording.id, facts.recording.key.as_str()), (it.id, "sources/a.mp4"));
    let again = (f.again)().await;
    let audit = again.audit(Some(it.id), 1).await.unwrap();
    assert_eq!((audit[0].what.as_str(), audit[0].actor.as_str(), audit[0].at), ("purge", "w", later(101)));
    assert_eq!(audit[0].details["sha256"], it.digest.sha256.to_string());
    // A worker that died in the middle is followed by another.
    assert!(matches!(c.begin_purge(&held, later(102)).await.unwrap(), Purging::Go(_)));
    let next = claim(c, &job, "w2", later(161)).await;
    assert!(matches!(c.begin_purge(&next, later(162)).await.unwrap(), Purging::Go(_)));
    assert_eq!(c.audit(Some(it.id), 1).await.unwrap(), audit, "it is one deletion");
    let lost = c.begin_purge(&held, later(163)).await.unwrap_err();
    assert_eq!(lost.kind(), Kind::LeaseLost);
}

pub async fn nothing_is_purged_that_is_not_due_or_in_use(f: &Fixture) {
    let c = &*f.catalog;
    let (it, job, held) = about_to_go(c, "a.mp4", later(50)).await;
    refused(c.begin_purge(&held, later(99)).await.unwrap(), "until");
    let late = c.begin_purge(&held, later(110)).await.unwrap_err();
    assert_eq!(late.kind(), Kind::LeaseLost, "a lease that has expired removes nothing");

    // Somebody works on it: a copy that is being made would be left over.
    let backup = backup_of(&it, "replica");
    settle(c, it.id, decided(State::Trashed, vec![job.clone(), backup.clone()]), later(110)).await;
    let other = claim(c, &backup, "slow", later(110)).await;
    let held = claim(c, &job, "w", later(120)).await;
    refused(c.begin_purge(&held, later(121)).await.unwrap(), "backup replica");
    // Unless it let its lease expire: then it writes nothing more.
    c.renew(&held, later(170), TTL, None).await.unwrap();
    assert!(matches!(c.begin_purge(&held, later(171)).await.unwrap(), Purging::Go(_)));
    let refusal = c.record(&other, &copied(&other, "replica", 1_000), later(172)).await.unwrap_err();
    assert_eq!(refusal.kind(), Kind::LeaseLost);
    assert_eq!(c.copies(it.id).await.unwrap(), []);

    // One that came back, and one with other bytes.
    let (back, job, held) = about_to_go(c, "b.mp4", later(100)).await;
    change(c, back.id, &Change::Undelete { kept_until: later(9) }, later(101)).await;
    refused(c.begin_purge(&held, later(102)).await.unwrap(), "not in the trash");
    trash_all(c, &[get(c, back.id).await], &ANY, T0).await;
    refused(c.begin_purge(&held, later(103)).await.unwrap(), "came back");
    assert_eq!(job.action, Action::Purge { life: 0 });
    let (it, _) = with_probe(c, "c.mp4").await;
    let held = claim(c, &probe_of(&it), "w", T0).await;
    refused(c.begin_purge(&held, T0).await.unwrap(), "is no purge");
}

pub async fn a_certificate_is_what_is_left(f: &Fixture) {
    let c = &*f.catalog;
    let (it, probe) = with_probe(c, "a.mp4").await;
    let backup = backup_of(&it, "replica");
    settle(c, it.id, processing(vec![probe.clone(), backup.clone()]), T0).await;
    for (job, outcome) in [
        (&probe, rendered as fn(&Claim, &str, &str, u64) -> Outcome),
        (&backup, |held, _, _, _| copied(held, "replica", 1_000)),
    ] {
        let held = claim(c, job, "w", T0).await;
        c.record(&held, &outcome(&held, "mp4", "first", 10), T0).await.unwrap();
    }
    accept(c, &recording("other.mp4")).await;
    let it = get(c, it.id).await;
    trash_all(c, std::slice::from_ref(&it), &ANY, T0).await;
    let job = spec(&it, Action::Purge { life: 0 }, Lane::Bulk);
    settle(c, it.id, decided(State::Trashed, vec![job.clone()]), T0).await;
    let held = claim(c, &job, "w", later(100)).await;
    let outcome = purged(&it, later(102));
    let early = c.record(&held, &outcome, later(100)).await.unwrap_err();
    assert_eq!(early.kind(), Kind::Invalid, "nobody asked whether it may go");
    let Purging::Go(facts) = c.begin_purge(&held, later(101)).await.unwrap() else { panic!() };
    assert_eq!((facts.renditions.len(), facts.copies.len()), (1, 1));
    c.record(&held, &outcome, later(102)).await.unwrap();
    c.record(&held, &outcome, later(103)).await.unwrap();

    let gone = get(c, it.id).await;
    assert_eq!((gone.state, gone.custody.trash.clone(), gone.name.as_str()), (State::Deleted, None, "a.mp4"));
    assert_eq!((c.renditions(it.id).await.unwrap(), c.copies(it.id).await.unwrap()), (vec![], vec![]));
    let usage = c.usage().await.unwrap().bytes;
    assert_eq!(usage.values().sum::<u64>(), 1_000, "the other one's: {usage:?}");
    let Outcome::Purged { certificate } = outcome else { panic!() };
    for of in [Some(it.id), None] {
        assert_eq!(c.certificates(of, 9).await.unwrap(), std::slice::from_ref(&certificate));
    }
    let audit = c.audit(Some(it.id), 2).await.unwrap();
    assert_eq!(audit.iter().map(|e| e.what.as_str()).collect::<Vec<_>>(), ["record", "purge"]);
    assert_eq!(audit[0].details["fact"]["rule"], "old");
    assert_eq!(c.by_digest(&it.digest.sha256).await.unwrap(), None, "the same file may come again");
    assert!(c.by_digest(&sha256("first")).await.unwrap().is_some(), "what we made may not");
    assert_eq!(c.versions(&[it.id]).await.unwrap(), [None]);
    assert_eq!(c.search(&"a kind:recording".parse().unwrap(), 9, None).await.unwrap().hits, []);
    refused(change(c, it.id, &hold("x", "y"), later(104)).await, "deleted");
    // Only new bytes bring it back, no decision.
    assert_eq!(settle(c, it.id, decided(State::Ready, vec![]), later(104)).await, Settled::Stale);
    // A new policy has nothing to say about it.
    settle(c, it.id, decided(State::Deleted, vec![]), later(104)).await;
    c.policy_in_force("p", later(105)).await.unwrap();
    assert!(!dirty(c, later(105)).await.contains(&it.id));

    // The same file once more: another life, of which nothing is done yet.
    let again = &c.accept(&[recording("a.mp4")], later(200)).await.unwrap()[0];
    assert!(again.new && again.recording.state == State::Accepted && again.recording.custody.lives == 1);
    assert!(again.recording.revision > gone.revision, "a decision on the former life is void");
    assert_eq!(get(c, it.id).await, again.recording);
    let facts = super::kit::facts(c, it.id).await;
    assert_eq!(facts.done, [job.id].into(), "what was made is gone");
    settle(c, it.id, processing(vec![probe.clone()]), later(200)).await;
    assert_eq!(job_state(c, &probe).await, JobState::Pending);
    assert_eq!(c.usage().await.unwrap().bytes["library"], 2_000);
    assert_eq!(c.search(&"a kind:recording".parse().unwrap(), 9, None).await.unwrap().hits.len(), 1);
    assert_eq!(c.certificates(Some(it.id), 9).await.unwrap().len(), 1);

    // A session that names what is gone does not make it found.
    let (gone, _, held) = about_to_go(c, "gone.mp4", later(100)).await;
    assert!(matches!(c.begin_purge(&held, later(101)).await.unwrap(), Purging::Go(_)));
    c.record(&held, &purged(&gone, later(102)), later(102)).await.unwrap();
    accept(c, &session("call.json", &[("gone.mp4", "Ana")])).await;
    assert_eq!(c.search(&"title:gone OR state:ready".parse().unwrap(), 9, None).await.unwrap().hits, []);
    let back = &c.accept(&[recording("gone.mp4")], later(200)).await.unwrap()[0];
    assert!(back.new);
    assert_eq!(c.search(&"name:gone".parse().unwrap(), 9, None).await.unwrap().hits.len(), 1);
}

async fn job_state(c: &dyn Catalog, spec: &JobSpec) -> JobState {
    job(c, spec.id).await.state
}

/// A recording with a copy in each of these stores, and a worker on the eviction of each.
async fn with_copies(c: &dyn Catalog, name: &str, stores: &[&str]) -> (Recording, Vec<Claim>) {
    let it = accept(c, &recording(name)).await;
    let jobs: Vec<_> = stores.iter().map(|store| backup_of(&it, store)).collect();
    settle(c, it.id, processing(jobs.clone()), T0).await;
    for (job, store) in jobs.iter().zip(stores) {
        let held = claim(c, job, "w", T0).await;
        c.record(&held, &copied(&held, store, 1_000), T0).await.unwrap();
    }
    let evict = |store: &&str| Action::Evict { store: (*store).into(), made: T0 };
    let jobs: Vec<_> = stores.iter().map(|store| spec(&it, evict(store), Lane::Bulk)).collect();
    settle(c, it.id, processing(jobs.clone()), T0).await;
    let mut claims = Vec::new();
    for job in &jobs {
        claims.push(claim(c, job, "w", T0).await);
    }
    (get(c, it.id).await, claims)
}

/// Promise 1: the last verified copy of a recording is never deleted. Here: nor are two of two at once.
pub async fn no_more_copies_are_given_up_than_may_be(f: &Fixture) {
    let c = &*f.catalog;
    let (it, claims) = with_copies(c, "a.mp4", &["one", "two"]).await;
    let Evicting::Go(copy) = c.begin_evict(&claims[0], 2, later(1)).await.unwrap() else { panic!() };
    assert_eq!((copy.store.as_str(), copy.recording), ("one", it.id));
    assert_eq!(c.audit(Some(it.id), 1).await.unwrap()[0].what, "evict");
    let left: Vec<Copy> = facts(c, it.id).await.copies;
    assert_eq!(left.iter().map(|c| c.store.as_str()).collect::<Vec<_>>(), ["two"], "it is none any more");
    assert_eq!(c.copies(it.id).await.unwrap(), left);
    assert_eq!(c.usage().await.unwrap().bytes["one"], 1_000, "its bytes are still there");
    refused(c.begin_evict(&claims[1], 2, later(1)).await.unwrap(), "1 good copies would be left");
    // After a crash it goes on with the one it has given up.
    assert_eq!(c.begin_evict(&claims[0], 2, later(2)).await.unwrap(), Evicting::Go(copy));
    c.record(&claims[0], &Outcome::Evicted { store: "one".into() }, later(3)).await.unwrap();
    assert!(c.usage().await.unwrap().bytes.get("one").is_none_or(|n| *n == 0));
    let lost = c.begin_evict(&claims[1], 1, later(60)).await.unwrap_err();
    assert_eq!(lost.kind(), Kind::LeaseLost);

    // The home is bad: the only good one stays, whatever the policy says.
    let (it, claims) = with_copies(c, "b.mp4", &["one"]).await;
    let verify = spec(&it, Action::Verify { store: "library".into(), last: T0 }, Lane::Bulk);
    settle(c, it.id, processing(vec![verify.clone()]), T0).await;
    let held = claim(c, &verify, "w", T0).await;
    let bad = Outcome::Verified { store: "library".into(), at: later(1), bad: Some("a byte differs".into()) };
    c.record(&held, &bad, later(1)).await.unwrap();
    refused(c.begin_evict(&claims[0], 0, later(2)).await.unwrap(), "0 good copies would be left");
}

pub async fn what_is_held_is_not_evicted(f: &Fixture) {
    let c = &*f.catalog;
    let (it, claims) = with_copies(c, "a.mp4", &["one", "two"]).await;
    change(c, it.id, &hold("case 7", "litigation"), later(1)).await;
    refused(c.begin_evict(&claims[0], 1, later(2)).await.unwrap(), "case 7");
    assert_eq!(c.copies(it.id).await.unwrap().len(), 2);
    change(c, it.id, &Change::Release { name: None }, later(3)).await;
    trash_all(c, &[get(c, it.id).await], &ANY, later(3)).await;
    refused(c.begin_evict(&claims[0], 1, later(4)).await.unwrap(), "trash");
    change(c, it.id, &Change::Undelete { kept_until: T0 }, later(5)).await;
    assert!(matches!(c.begin_evict(&claims[0], 1, later(6)).await.unwrap(), Evicting::Go(_)));
    // One that is made again meanwhile is a copy again.
    let again = spec(&it, Action::Repair { store: "one".into(), found: T0 }, Lane::Bulk);
    settle(c, it.id, processing(vec![again.clone()]), T0).await;
    let held = claim(c, &again, "w", T0).await;
    c.record(&held, &copied(&held, "one", 1_000), later(7)).await.unwrap();
    assert_eq!(c.copies(it.id).await.unwrap().len(), 2);
    let mut none = claims[0].clone();
    none.job.spec.action = Action::Evict { store: "three".into(), made: T0 };
    refused(c.begin_evict(&none, 1, later(8)).await.unwrap(), "no such copy");
}
