use std::sync::Arc;

use domain::{
    Action, Cold, ExportSpec, Failure, JobId, JobSpec, JobState, Lane, Leaving, Outcome, Place, Recording,
    State,
};

use super::{Fixture, kit::*};
use crate::{Batch, BatchId, BatchState, Catalog, Claimed, JobFilter, Kind, Next, Places};

fn export(it: &Recording, to: &str, what: Leaving) -> JobSpec {
    let export = ExportSpec {
        to: to.into(),
        what,
        name: domain::NameTemplate::default(),
        with: Default::default(),
        on_conflict: Default::default(),
        verify: Default::default(),
    };
    spec(it, Action::Export(export), Lane::Bulk)
}

/// Recordings with an export each.
async fn exports(c: &dyn Catalog, n: usize, to: &str) -> Vec<JobSpec> {
    let new: Vec<_> = (0..n).map(|n| recording(&format!("{to}/{n:02}.mp4"))).collect();
    let mut jobs = Vec::new();
    for it in c.accept(&new, T0).await.unwrap() {
        let job = export(&it.recording, to, Leaving::Source);
        settle(c, it.recording.id, processing(vec![job.clone()]), T0).await;
        jobs.push(job);
    }
    jobs
}

fn places(all: &[(&str, u32)]) -> Places {
    all.iter().map(|(to, n)| ((*to).to_owned(), *n)).collect()
}

async fn offered_within(c: &dyn Catalog, seconds: u64, places: &Places) -> Vec<JobId> {
    c.offer_within(Lane::Bulk, later(seconds), 99, None, places).await.unwrap()
}

/// What was agreed with a partner holds for all workers together, also when all of them ask at the same moment.
pub async fn no_more_leave_for_a_destination_than_it_has_places(f: &Fixture) {
    let c = &*f.catalog;
    let jobs = exports(c, 12, "partner").await;
    let others = exports(c, 2, "other").await;
    let three = places(&[("partner", 3), ("other", 3)]);
    let again = (f.again)().await;
    let asked = jobs.iter().enumerate().map(|(n, job)| {
        let (catalog, job, three) =
            (Arc::clone(if n % 2 == 0 { &f.catalog } else { &again }), job.id, three.clone());
        tokio::spawn(
            async move { catalog.claim_within(job, &format!("w{n}"), T0, TTL, &three).await.unwrap() },
        )
    });
    let mut held = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        match asked.await.unwrap() {
            Claimed::Ours(claim) => held.push(*claim),
            full => assert_eq!(full, Claimed::Full { to: "partner".into() }),
        }
    }
    assert_eq!((held.len(), c.under_way("partner", T0).await.unwrap()), (3, 3));
    let ask = async |job: &JobSpec, seconds| {
        c.claim_within(job.id, "w", later(seconds), TTL, &three).await.unwrap()
    };
    for other in &others {
        assert!(matches!(ask(other, 0).await, Claimed::Ours(_)), "another place is not concerned");
    }
    let taken: Vec<JobId> = held.iter().map(|claim| claim.job.spec.id).collect();
    let free: Vec<&JobSpec> = jobs.iter().filter(|job| !taken.contains(&job.id)).collect();
    assert!(matches!(ask(free[0], 1).await, Claimed::Full { .. }));

    // Each way in which a job ends gives its place back, and each one is given once.
    let exported = Outcome::Exported { to: "partner".into(), files: Vec::new(), at: later(2) };
    c.record(&held[0], &exported, later(2)).await.unwrap();
    c.fail(&held[1], &Failure::temporary("x"), Next::Retry { at: later(900) }, later(2)).await.unwrap();
    for job in &free[..2] {
        assert!(matches!(ask(job, 2).await, Claimed::Ours(_)));
    }
    assert!(matches!(ask(free[2], 2).await, Claimed::Full { .. }));
    // A dead worker's comes back with its lease, and he has it no more.
    c.renew(&held[2], later(30), TTL, None).await.unwrap();
    assert_eq!(c.under_way("partner", later(62)).await.unwrap(), 1, "who said that he lives");
    for job in &free[2..4] {
        assert!(matches!(ask(job, 62).await, Claimed::Ours(_)));
    }
    assert!(matches!(ask(free[4], 62).await, Claimed::Full { .. }));
    let late = c.renew(&held[2], later(90), TTL, None).await;
    assert_eq!(late.map_err(|e| e.kind()), Err(Kind::LeaseLost), "its place may be another's");
    assert_eq!(job(c, held[2].job.spec.id).await.state, JobState::Running, "nobody else has taken it");
    let done = c.record(&held[2], &exported, later(91)).await;
    assert_eq!(done.map_err(|e| e.kind()), Ok(()), "what was done is not thrown away");
}

/// Of a million exports to a slow partner only those are handed over that have a place; the rest costs nothing, and whoever goes
/// elsewhere is not held up.
pub async fn what_has_a_place_is_handed_over_and_nothing_else(f: &Fixture) {
    let c = &*f.catalog;
    let slow = exports(c, 8, "slow").await;
    let closed = exports(c, 2, "closed").await;
    let unknown = exports(c, 2, "unknown").await;
    let (_, probe) = with_probe(c, "a.mp4").await;
    let all = places(&[("slow", 2), ("closed", 0)]);
    let first = offered_within(c, 0, &all).await;
    assert_eq!(first.len(), 2 + 2 + 1, "{first:?}");
    assert!(first.contains(&probe.id) && unknown.iter().all(|job| first.contains(&job.id)));
    assert!(closed.iter().all(|job| !first.contains(&job.id)));
    assert_eq!(offered_within(c, 1, &all).await, [], "they are on their way");
    let mut left: Vec<&JobSpec> = slow.iter().filter(|job| !first.contains(&job.id)).collect();
    assert_eq!(left.len(), 6);
    assert!(c.waiting_since(later(9)).await.unwrap().contains_key(&Lane::Bulk), "the probe");
    let held = claim(c, &probe, "w", later(1)).await;
    assert!(c.waiting_since(later(9)).await.unwrap().is_empty(), "more workers would not help those");
    c.record(&held, &probed("x"), later(1)).await.unwrap();

    // Whoever has come there goes on to have a place; who has gone makes room for the next.
    let mine: Vec<_> = slow.iter().filter(|job| first.contains(&job.id)).collect();
    let one = claim(c, mine[0], "w", later(2)).await;
    assert_eq!(offered_within(c, 2, &all).await, []);
    let exported = Outcome::Exported { to: "slow".into(), files: Vec::new(), at: later(3) };
    c.record(&one, &exported, later(3)).await.unwrap();
    let straight = c.next_to("slow", later(3)).await.unwrap();
    assert_eq!(c.next_to("slow", T0 - TTL).await.unwrap(), None, "nobody is ready");
    let next = offered_within(c, 3, &all).await;
    assert_eq!((next.len(), straight), (1, next.first().copied()), "the same, without a message");
    assert!(
        c.next_to("slow", later(3)).await.unwrap().is_some_and(|id| !first.contains(&id) && id != next[0])
    );
    left.retain(|job| !next.contains(&job.id));
    // Who was refused all the same, because another was faster, is put off, and keeps nobody from his place.
    c.put_off(next[0], later(4), later(30)).await.unwrap();
    assert_eq!(c.claim(next[0], "w", later(29), TTL).await.unwrap(), None);
    let instead = offered_within(c, 4, &all).await;
    assert_eq!(instead.len(), 1);
    assert_ne!(instead, next);
    let put_off = job(c, next[0]).await;
    assert_eq!((put_off.state, put_off.attempts, put_off.failures), (JobState::Pending, 0, 0));
    // Who has it already is left alone.
    let two = claim(c, mine[1], "w", later(5)).await;
    c.put_off(mine[1].id, later(6), later(500)).await.unwrap();
    assert!(c.holds(&two, later(7)).await.unwrap());

    // What a queue has lost is handed over again, and blocks nobody for ever.
    assert_eq!(c.offer_within(Lane::Bulk, later(20), 99, Some(later(20)), &all).await.unwrap().len(), 2 + 1);
    c.release(&two, later(5_000)).await.unwrap();
    assert_eq!(offered_within(c, 4_000, &all).await.len(), 2, "those on their way were lost long ago");
    // The hours begin, and everybody may go where nothing was agreed.
    let open = places(&[("slow", 2), ("closed", 9)]);
    assert_eq!(offered_within(c, 4_001, &open).await.len(), 2);
    let rest = c.offer(Lane::Bulk, later(4_001), 99, None).await.unwrap();
    assert!(rest.iter().all(|id| slow.iter().any(|job| job.id == *id)) && rest.len() >= 3, "{rest:?}");
}

/// An export by several routes goes by one of them at a time, whenever it is decided anew.
pub async fn a_route_is_kept_while_it_is_taken(f: &Fixture) {
    let c = &*f.catalog;
    let it = accept(c, &recording("a.mp4")).await;
    let [night, day] = ["night", "day"].map(|to| export(&it, to, Leaving::Source));
    let decide = async |job: &JobSpec, seconds| {
        settle(c, it.id, processing(vec![job.clone()]), later(seconds)).await;
        let open = JobFilter {
            states: vec![JobState::Pending, JobState::Running],
            recording: Some(it.id),
            ..JobFilter::default()
        };
        c.jobs(&open, 9).await.unwrap().into_iter().map(|job| job.spec.id).collect::<Vec<_>>()
    };
    assert_eq!(decide(&night, 0).await, [night.id]);
    assert_eq!(decide(&day, 1).await, [day.id], "nobody had begun");
    assert_eq!(decide(&night, 2).await, [night.id]);
    let held = claim(c, &night, "w", later(3)).await;
    assert_eq!(decide(&day, 4).await, [night.id], "it is on its way by night");
    assert_eq!(decide(&night, 5).await, [night.id]);
    // For another rule the same is another matter.
    let other = JobSpec { rule: "other".into(), ..export(&it, "third", Leaving::Source) };
    let both = processing(vec![day.clone(), other.clone()]);
    settle(c, it.id, both, later(6)).await;
    assert_eq!(job(c, other.id).await.state, JobState::Pending);
    c.fail(&held, &Failure::permanent("shut"), Next::Park, later(7)).await.unwrap();
    assert_eq!(decide(&day, 8).await, [day.id], "the way that is left");
}

/// How far a batch is, is told in bytes: of what leaves by each of its jobs.
pub async fn a_batch_knows_its_bytes(f: &Fixture) {
    let c = &*f.catalog;
    let (it, probe) = with_probe(c, "a.mp4").await;
    let held = claim(c, &probe, "w", T0).await;
    c.record(&held, &rendered(&held, "web", "smaller", 300), T0).await.unwrap();
    let other = accept(c, &recording("b.mp4")).await;
    let web = Leaving::Rendition { name: "web".into(), job: probe.id };
    let jobs =
        [export(&it, "partner", web), export(&other, "partner", Leaving::Source), backup_of(&other, "nas")];
    // One of them was decided before it was ordered, too.
    settle(c, other.id, processing(vec![jobs[1].clone()]), T0).await;
    let batch = Batch {
        id: BatchId::derive(&[b"bytes"]),
        verb: "export".into(),
        by: "ana".into(),
        what: "all".into(),
        created_at: T0,
    };
    c.order(&batch, &jobs, later(1)).await.unwrap();
    let bytes = async || {
        let status = c.batches(1).await.unwrap().remove(0);
        (status.bytes, status.bytes_done, status.bytes_open)
    };
    assert_eq!(bytes().await, (2_300, 0, 2_300));
    let held = claim(c, &jobs[0], "w", later(2)).await;
    assert_eq!((held.batch, held.job.bytes), (Some(batch.id), 300));
    let exported = Outcome::Exported { to: "partner".into(), files: Vec::new(), at: later(3) };
    c.record(&held, &exported, later(3)).await.unwrap();
    let held = claim(c, &jobs[2], "w", later(3)).await;
    c.fail(&held, &Failure::permanent("x"), Next::Park, later(3)).await.unwrap();
    assert_eq!(bytes().await, (2_300, 300, 1_000), "what gave up is neither done nor waited for");
    c.set_batch(batch.id, BatchState::Paused, "ana", later(4)).await.unwrap();
    assert_eq!(bytes().await, (2_300, 300, 1_000));
}

/// What waits for an archive goes the moment it can be read, not when it would have looked again.
pub async fn what_is_readable_again_is_exported_at_once(f: &Fixture) {
    let c = &*f.catalog;
    let it = accept(c, &recording("a.mp4")).await;
    let place = |cold: Option<Cold>| Outcome::Placed { place: Place { cold, ..it.custody.place.clone() } };
    let first = spec(&it, Action::Awaken { asked: T0, look: 0 }, Lane::Interactive);
    settle(c, it.id, processing(vec![first.clone()]), T0).await;
    let held = claim(c, &first, "w", T0).await;
    c.record(&held, &place(Some(Cold { since: T0, restore: None })), T0).await.unwrap();
    let awaken = spec(&it, Action::Awaken { asked: T0, look: 1 }, Lane::Interactive);
    let jobs = [export(&it, "partner", Leaving::Source), awaken.clone(), backup_of(&it, "nas")];
    settle(c, it.id, decided(State::Processing, jobs.to_vec()), T0).await;
    for job in [&jobs[0], &jobs[2]] {
        let waits = claim(c, job, "w", T0).await;
        c.release(&waits, later(3_600)).await.unwrap();
    }
    let held = claim(c, &awaken, "w", later(5)).await;
    c.record(&held, &place(None), later(5)).await.unwrap();
    assert_eq!(job(c, jobs[0].id).await.run_after, later(5));
    assert_eq!(job(c, jobs[2].id).await.run_after, later(3_600), "that is nobody's place");
}
