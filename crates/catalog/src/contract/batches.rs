use domain::{Action, Failure, JobSpec, JobState, Lane, Layout, MixSpec, State};

use super::{Fixture, kit::*};
use crate::{
    Batch, BatchId, BatchState, BatchStatus, Catalog, Ended, JobFilter, Next, Retry, Settle, Settled,
};

fn batch(n: u8) -> Batch {
    Batch {
        id: BatchId::derive(&[&[n]]),
        verb: "verify".into(),
        by: "ana".into(),
        what: "tag:call \0 'all'".into(),
        created_at: T0,
    }
}

/// Recordings that are settled, and a job of a batch for each.
async fn ordered(c: &dyn Catalog, n: usize) -> Vec<JobSpec> {
    let new: Vec<_> = (0..n).map(|n| recording(&format!("{n}.mp4"))).collect();
    let mut jobs = Vec::new();
    for it in c.accept(&new, T0).await.unwrap() {
        let it = it.recording;
        settle(c, it.id, decided(State::Ready, vec![]), T0).await;
        jobs.push(spec(&it, Action::Verify { store: "library".into(), last: T0 }, Lane::Bulk));
    }
    jobs
}

async fn status(c: &dyn Catalog) -> BatchStatus {
    c.batches(1).await.unwrap().remove(0)
}

pub async fn what_is_ordered_is_done_whatever_is_decided(f: &Fixture) {
    let c = &*f.catalog;
    let jobs = ordered(c, 4).await;
    assert_eq!(c.order(&batch(1), &jobs[..2], T0).await.unwrap(), 2);
    assert_eq!(c.order(&batch(1), &jobs[..3], later(1)).await.unwrap(), 1, "ordering twice is ordering once");
    let found = status(c).await;
    assert_eq!((found.state, found.pending, found.running), (BatchState::Running, 3, 0));
    assert_eq!((found.batch.id, &*found.batch.by, found.batch.created_at), (batch(1).id, "ana", T0));
    assert!(found.batch.what.starts_with("tag:call"));
    let audit = c.audit(None, 1).await.unwrap();
    assert_eq!((audit[0].what.as_str(), audit[0].actor.as_str()), ("order", "ana"));

    let it = get(c, jobs[0].recording).await;
    settle(c, it.id, decided(State::Ready, vec![]), later(2)).await;
    assert_eq!(job(c, jobs[0].id).await.state, JobState::Pending, "no decision cancels it");
    assert_eq!(offered(c, Lane::Bulk, later(2)).await.len(), 3);
    for (n, job) in jobs[..2].iter().enumerate() {
        let held = claim(c, job, "w", later(3)).await;
        match n {
            0 => c.record(&held, &probed("x"), later(3)).await.unwrap(),
            _ => c.fail(&held, &Failure::permanent("no"), Next::Park, later(3)).await.unwrap(),
        }
    }
    let found = status(c).await;
    assert_eq!((found.pending, found.done, found.parked, found.cancelled), (1, 1, 1, 0));
    let of = |state: &[JobState]| JobFilter {
        states: state.to_vec(),
        batch: Some(batch(1).id),
        ..JobFilter::default()
    };
    let listed: Vec<_> = c.jobs(&of(&[]), 9).await.unwrap().into_iter().map(|j| j.spec.id).collect();
    assert_eq!(listed, [jobs[2].id, jobs[1].id, jobs[0].id]);
    assert_eq!(c.jobs(&of(&[JobState::Parked]), 9).await.unwrap().len(), 1);
    assert_eq!(c.jobs(&of(&[JobState::Pending, JobState::Done]), 9).await.unwrap().len(), 2);
    let of_one = JobFilter { recording: Some(it.id), ..of(&[]) };
    assert_eq!(c.jobs(&of_one, 9).await.unwrap().len(), 1);

    // What came of it, page by page.
    let first = c.ended(&of(&[]), None, 1).await.unwrap();
    let second = c.ended(&of(&[]), Some(first[0].seq), 9).await.unwrap();
    let ids = |page: &[Ended]| page.iter().map(|e| e.job.spec.id).collect::<Vec<_>>();
    assert_eq!((ids(&first), ids(&second)), (vec![jobs[0].id], vec![jobs[1].id]));
    assert_eq!((&first[0].outcome, &second[0].outcome), (&Some(probed("x")), &None));
    assert_eq!(second[0].job.error, Some(Failure::permanent("no")));
    assert_eq!(c.ended(&of(&[]), Some(second[0].seq), 9).await.unwrap(), []);
    assert_eq!(ids(&c.ended(&of(&[JobState::Parked]), None, 9).await.unwrap()), [jobs[1].id]);
    assert_eq!(c.ended(&of(&[JobState::Running]), None, 9).await.unwrap(), []);
    assert_eq!(ids(&c.ended(&of_one, None, 9).await.unwrap()), [jobs[0].id]);

    // The same order again leaves alone what it led to; another one takes up what gave up, and nothing that is done.
    assert_eq!(c.order(&batch(1), &jobs[..2], later(4)).await.unwrap(), 0);
    assert_eq!(c.order(&batch(2), &jobs[..2], later(4)).await.unwrap(), 1);
    let batches = c.batches(9).await.unwrap();
    assert_eq!(batches.iter().map(|b| b.batch.id).collect::<Vec<_>>(), [batch(2).id, batch(1).id]);
    assert_eq!((batches[0].pending, batches[1].parked), (1, 0));
    // Its former attempts say nothing of the next: as many as park a job would park this one at once.
    assert_eq!(claim(c, &jobs[1], "w", later(5)).await.job.attempts, 1);
}

pub async fn a_paused_batch_rests_and_goes_on(f: &Fixture) {
    let c = &*f.catalog;
    let jobs = ordered(c, 4).await;
    c.order(&batch(1), &jobs[..3], T0).await.unwrap();
    let held = claim(c, &jobs[0], "w", T0).await;
    assert_eq!(offered(c, Lane::Bulk, T0).await.len(), 2);
    assert!(c.set_batch(batch(1).id, BatchState::Paused, "ana", later(1)).await.unwrap());
    assert!(!c.set_batch(batch(1).id, BatchState::Paused, "ana", later(1)).await.unwrap());
    assert!(!c.set_batch(batch(7).id, BatchState::Paused, "ana", later(1)).await.unwrap(), "unknown");
    let audit = c.audit(None, 1).await.unwrap();
    assert_eq!((audit[0].what.as_str(), audit[0].actor.as_str()), ("pause", "ana"));
    assert_eq!(c.order(&batch(1), &jobs, later(1)).await.unwrap(), 1, "one more, to rest with the others");
    for job_of in &jobs[1..] {
        assert_eq!(c.claim(job_of.id, "w", later(2), TTL).await.unwrap(), None);
        assert_eq!(job(c, job_of.id).await.state, JobState::Pending);
    }
    assert_eq!(c.offer(Lane::Bulk, later(9_999), 9, Some(later(9_999))).await.unwrap(), [jobs[0].id]);
    assert!(c.waiting_since(later(9)).await.unwrap().is_empty(), "it is no backlog");
    assert_eq!(c.counts().await.unwrap().jobs[&JobState::Pending], 3);
    let found = status(c).await;
    assert_eq!((found.state, found.pending, found.running), (BatchState::Paused, 3, 1));
    // Who works on one goes on; what he gives back rests.
    c.renew(&held, later(3), TTL, None).await.unwrap();
    c.release(&held, later(3)).await.unwrap();
    offered(c, Lane::Bulk, later(3)).await;
    assert_eq!(c.claim(jobs[0].id, "w", later(3), TTL).await.unwrap(), None);

    assert!(c.set_batch(batch(1).id, BatchState::Running, "ana", later(4)).await.unwrap());
    assert_eq!(offered(c, Lane::Bulk, later(4)).await.len(), 4, "also those that somebody put aside");
    let held = claim(c, &jobs[0], "w", later(5)).await;
    c.record(&held, &probed("x"), later(5)).await.unwrap();
    assert_eq!(status(c).await.done, 1);
}

pub async fn a_cancelled_batch_is_over(f: &Fixture) {
    let c = &*f.catalog;
    let jobs = ordered(c, 3).await;
    c.order(&batch(1), &jobs[..2], T0).await.unwrap();
    let held = claim(c, &jobs[0], "w", T0).await;
    assert!(c.set_batch(batch(1).id, BatchState::Paused, "ana", later(1)).await.unwrap());
    assert!(c.set_batch(batch(1).id, BatchState::Cancelled, "bo", later(1)).await.unwrap());
    for state in BatchState::ALL {
        assert!(!c.set_batch(batch(1).id, state, "ana", later(2)).await.unwrap(), "{state:?}");
    }
    assert_eq!(job(c, jobs[1].id).await.state, JobState::Cancelled);
    assert_eq!(c.order(&batch(1), &jobs, later(2)).await.unwrap(), 0);
    c.release(&held, later(3)).await.unwrap();
    assert_eq!(c.claim(jobs[0].id, "w", later(3), TTL).await.unwrap(), None);
    let found = status(c).await;
    assert_eq!((found.state, found.pending, found.cancelled), (BatchState::Cancelled, 0, 2));
    assert_eq!(offered(c, Lane::Bulk, later(9_999)).await, []);
    // Another order is another matter, and so is a decision.
    assert_eq!(c.order(&batch(2), &jobs[..1], later(4)).await.unwrap(), 1);
    let it = get(c, jobs[1].recording).await;
    settle(c, it.id, processing(vec![jobs[1].clone()]), later(4)).await;
    claim(c, &jobs[1], "w", later(5)).await;
    claim(c, &jobs[0], "w", later(5)).await;
}

/// A rule may ask for the same rendition, and nobody else would look again whether one does.
pub async fn what_an_order_leaves_unmade_is_decided_on_anew(f: &Fixture) {
    let c = &*f.catalog;
    let checks = ordered(c, 4).await;
    let Action::Convert { preset } = making() else { unreachable!("it is made of a recording") };
    let mix = Action::Mix(MixSpec { preset, layout: Layout::Grid, loudness: None, tracks: Vec::new() });
    let mut jobs = Vec::new();
    for (check, action) in checks.iter().zip([making(), mix, making()]) {
        jobs.push(spec(&get(c, check.recording).await, action, Lane::Bulk));
    }
    jobs.push(checks[3].clone());
    c.order(&batch(1), &jobs, T0).await.unwrap();
    let mut before = Vec::new();
    for spec in &jobs[..2] {
        let decision = processing(vec![spec.clone()]);
        settle(c, spec.recording, decision.clone(), later(1)).await;
        let it = get(c, spec.recording).await;
        before.push(Settle { id: it.id, revision: it.revision, decision, alert: None });
    }
    let held = claim(c, &jobs[0], "w", later(1)).await;
    let made = claim(c, &jobs[2], "w", later(1)).await;
    c.set_batch(batch(1).id, BatchState::Paused, "ana", later(2)).await.unwrap();
    c.set_batch(batch(1).id, BatchState::Running, "ana", later(2)).await.unwrap();
    assert_eq!(dirty(c, later(2)).await, [].into());
    c.set_batch(batch(1).id, BatchState::Paused, "ana", later(2)).await.unwrap();

    assert!(c.set_batch(batch(1).id, BatchState::Cancelled, "ana", later(3)).await.unwrap());
    assert_eq!(
        dirty(c, later(3)).await,
        [jobs[1].recording].into(),
        "not what is checked, nor what somebody has"
    );
    // What was decided while the order was there goes by it.
    assert_eq!(c.settle(&before[1..], "p", later(3)).await.unwrap()[0], Settled::Stale);
    let it = get(c, jobs[1].recording).await;
    settle(c, it.id, processing(vec![jobs[1].clone()]), later(3)).await;
    assert_eq!(dirty(c, later(3)).await, [].into());
    claim(c, &jobs[1], "w", later(3)).await;

    // The same of what is given back, and nothing of what is done.
    c.release(&held, later(4)).await.unwrap();
    assert_eq!(c.claim(jobs[0].id, "w", later(4), TTL).await.unwrap(), None);
    assert_eq!(job(c, jobs[0].id).await.state, JobState::Cancelled);
    assert_eq!(dirty(c, later(4)).await, [jobs[0].recording].into());
    assert_eq!(c.settle(&before[..1], "p", later(4)).await.unwrap()[0], Settled::Stale);
    assert_eq!(c.claim(jobs[0].id, "w", later(5), TTL).await.unwrap(), None);
    let it = get(c, jobs[0].recording).await;
    settle(c, it.id, processing(vec![jobs[0].clone()]), later(5)).await;
    claim(c, &jobs[0], "w", later(5)).await;
    c.record(&made, &rendered(&made, "waveform", "made", 1), later(6)).await.unwrap();
    assert_eq!(status(c).await.done, 1);
}

pub async fn nothing_is_ordered_of_what_goes_or_is_gone(f: &Fixture) {
    let c = &*f.catalog;
    let jobs = ordered(c, 3).await;
    c.order(&batch(1), &jobs[..2], T0).await.unwrap();
    c.set_batch(batch(1).id, BatchState::Paused, "ana", later(1)).await.unwrap();
    let it = get(c, jobs[0].recording).await;
    trash_all(c, std::slice::from_ref(&it), &ANY, later(1)).await;
    assert_eq!(job(c, jobs[0].id).await.state, JobState::Cancelled, "paused or not");
    let other = backup_of(&it, "nas");
    let purge = spec(&it, Action::Purge { life: 0 }, Lane::Bulk);
    assert_eq!(c.order(&batch(2), &[jobs[0].clone(), other, purge.clone()], later(2)).await.unwrap(), 1);
    let held = claim(c, &purge, "w", later(100)).await;
    c.begin_purge(&held, later(101)).await.unwrap();
    c.record(&held, &purged(&it, later(102)), later(102)).await.unwrap();
    assert_eq!(status(c).await.done, 1, "what was done is done");
    assert_eq!(c.order(&batch(3), &jobs[..1], later(103)).await.unwrap(), 0);
    // What a decision had asked for is not cancelled any more once a person ordered it too.
    let it = get(c, jobs[2].recording).await;
    settle(c, it.id, processing(vec![jobs[2].clone()]), later(103)).await;
    assert_eq!(c.order(&batch(3), &jobs[2..], later(103)).await.unwrap(), 0);
    settle(c, it.id, decided(State::Ready, vec![]), later(104)).await;
    assert_eq!(job(c, jobs[2].id).await.state, JobState::Pending);
    assert_eq!(status(c).await.pending, 1);
    assert_eq!(c.retry(Retry::AllParked, later(105)).await.unwrap(), 0);
}
