use std::sync::Arc;

use domain::{Action, Failure, JobState, Lane, Progress, State};

use super::{Fixture, kit::*};
use crate::{JobFilter, Kind, Next, Retry};

pub async fn one_of_sixteen_claims_wins(f: &Fixture) {
    for round in 0..8 {
        let (_, spec) = with_probe(&*f.catalog, &format!("{round}.mp4")).await;
        let other = (f.again)().await;
        let tasks = (0..16).map(|n| {
            let catalog = Arc::clone(if n % 2 == 0 { &f.catalog } else { &other });
            tokio::spawn(async move { catalog.claim(spec.id, &format!("w{n}"), T0, TTL).await.unwrap() })
        });
        let mut won = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            won.extend(task.await.unwrap());
        }
        assert_eq!(won.len(), 1);
        assert_eq!((won[0].job.attempts, won[0].job.state, won[0].token), (1, JobState::Running, 1));
        assert_eq!((won[0].lease_until, won[0].job.lease_until), (T0 + TTL, Some(T0 + TTL)));
    }
}

/// Promise 5: effects are idempotent by job id; a worker whose lease was lost writes nothing more (fencing).
pub async fn a_worker_whose_lease_was_lost_writes_nothing_more(f: &Fixture) {
    let c = &*f.catalog;
    #[derive(Debug, Clone, Copy)]
    enum Lost {
        ClaimedByAnother,
        DoneByAnother,
        FailedByAnother,
        Recovered,
        GivenBack,
    }
    use Lost::*;
    for (n, lost) in
        [ClaimedByAnother, DoneByAnother, FailedByAnother, Recovered, GivenBack].into_iter().enumerate()
    {
        let (it, spec) = with_probe(c, &format!("{n}.mp4")).await;
        let old = claim(c, &spec, "old", T0).await;
        let next = later(61);
        match lost {
            Recovered => drop(c.recover(None, T0).await.unwrap()),
            GivenBack => c.release(&old, T0).await.unwrap(),
            ClaimedByAnother | DoneByAnother | FailedByAnother => {
                let new = claim(c, &spec, "new", next).await;
                assert!(new.token > old.token);
                match lost {
                    DoneByAnother => c.record(&new, &probed("new"), next).await.unwrap(),
                    FailedByAnother => {
                        c.fail(&new, &Failure::temporary("x"), Next::Park, next).await.unwrap()
                    }
                    _ => {}
                }
            }
        }
        let before = (facts(c, it.id).await, job(c, spec.id).await, c.audit(Some(it.id), 99).await.unwrap());
        let late = [
            ("record", c.record(&old, &probed("old"), next).await),
            ("fail", c.fail(&old, &Failure::permanent("old"), Next::Park, next).await),
            ("renew", c.renew(&old, next, TTL, None).await),
            ("release", c.release(&old, next).await),
        ];
        for (what, answer) in late {
            assert_eq!(answer.map_err(|e| e.kind()), Err(Kind::LeaseLost), "{what} after {lost:?}");
        }
        assert!(!c.holds(&old, next).await.unwrap());
        let after = (facts(c, it.id).await, job(c, spec.id).await, c.audit(Some(it.id), 99).await.unwrap());
        assert_eq!(before, after, "{lost:?}");
    }
}

pub async fn an_expired_lease_is_claimed_again_or_still_recorded(f: &Fixture) {
    let c = &*f.catalog;
    let (_, spec) = with_probe(c, "a.mp4").await;
    let first = claim(c, &spec, "w1", T0).await;
    assert_eq!(c.claim(spec.id, "w2", later(59), TTL).await.unwrap(), None, "held by a live lease");
    assert_eq!(offered(c, Lane::Bulk, later(59)).await, []);
    assert_eq!(offered(c, Lane::Bulk, later(60)).await, [spec.id]);
    let second = claim(c, &spec, "w2", later(60)).await;
    assert_eq!((second.token, second.job.attempts, second.job.failures), (first.token + 1, 2, 0));
    assert!(c.holds(&second, later(119)).await.unwrap());
    assert!(!c.holds(&second, later(120)).await.unwrap());
    // Nobody took it in the meantime: the work is not thrown away.
    c.record(&second, &probed("x"), later(500)).await.unwrap();
    assert_eq!(job(c, spec.id).await.state, JobState::Done);
}

pub async fn only_due_jobs_are_claimed(f: &Fixture) {
    let c = &*f.catalog;
    let (_, spec) = with_probe(c, "a.mp4").await;
    let unknown = backup_of(&get(c, spec.recording).await, "nowhere");
    assert_eq!(c.claim(unknown.id, "w", T0, TTL).await.unwrap(), None);
    let held = claim(c, &spec, "w", T0).await;
    c.fail(&held, &Failure::temporary("x"), Next::Retry { at: later(30) }, T0).await.unwrap();
    assert_eq!(c.claim(spec.id, "w", later(29), TTL).await.unwrap(), None, "not before later");
    let held = claim(c, &spec, "w", later(30)).await;
    c.fail(&held, &Failure::permanent("x"), Next::Park, later(30)).await.unwrap();
    assert_eq!(c.claim(spec.id, "w", later(9_999), TTL).await.unwrap(), None, "parked");
    c.retry(Retry::Job(spec.id), later(30)).await.unwrap();
    let held = claim(c, &spec, "w", later(30)).await;
    c.record(&held, &probed("x"), later(30)).await.unwrap();
    assert_eq!(c.claim(spec.id, "w", later(9_999), TTL).await.unwrap(), None, "done");
    assert_eq!(offered(c, Lane::Bulk, later(9_999)).await, []);
}

pub async fn one_look_says_which_of_many_could_be_claimed(f: &Fixture) {
    let c = &*f.catalog;
    let mut jobs = Vec::new();
    for name in ["ready", "waits", "running", "expired", "done", "parked"] {
        jobs.push(with_probe(c, name).await.1);
    }
    let [ready, waits, running, expired, done, parked] = jobs.as_slice() else { unreachable!() };
    let unknown = backup_of(&get(c, ready.recording).await, "nowhere");
    let held = claim(c, waits, "w", T0).await;
    c.fail(&held, &Failure::temporary("x"), Next::Retry { at: later(70) }, T0).await.unwrap();
    claim(c, expired, "w", T0).await;
    claim(c, running, "w", later(30)).await;
    let held = claim(c, done, "w", T0).await;
    c.record(&held, &probed("x"), T0).await.unwrap();
    let held = claim(c, parked, "w", T0).await;
    c.fail(&held, &Failure::permanent("x"), Next::Park, T0).await.unwrap();

    let all: Vec<_> = jobs.iter().chain([&unknown, ready]).map(|job| job.id).collect();
    let free = async |seconds| c.claimable(&all, later(seconds)).await.unwrap();
    assert_eq!(free(60).await, [ready.id, expired.id].into());
    assert_eq!(free(70).await, [ready.id, expired.id, waits.id].into());
    assert_eq!(free(90).await, [ready.id, expired.id, waits.id, running.id].into());
    assert!(c.claimable(&[], later(90)).await.unwrap().is_empty());
}

pub async fn what_is_ready_is_offered_once_the_oldest_first(f: &Fixture) {
    let c = &*f.catalog;
    let mut expected = Vec::new();
    for (n, (lane, at)) in
        [(Lane::Interactive, 1), (Lane::Interactive, 4), (Lane::Bulk, 0), (Lane::Bulk, 2), (Lane::Bulk, 3)]
            .into_iter()
            .enumerate()
            .rev()
    {
        let it = accept(c, &recording(&format!("{n}.mp4"))).await;
        let spec = spec(&it, Action::Probe, lane);
        settle(c, it.id, processing(vec![spec.clone()]), later(at)).await;
        expected.insert(0, spec.id);
    }
    assert_eq!(offered(c, Lane::Interactive, later(1)).await, expected[..1]);
    assert_eq!(offered(c, Lane::Interactive, later(4)).await, expected[1..2], "the first was offered before");
    assert_eq!(c.offer(Lane::Bulk, later(4), 2, None).await.unwrap(), expected[2..4]);
    assert_eq!(c.offer(Lane::Bulk, later(4), 2, None).await.unwrap(), expected[4..]);
    assert_eq!(offered(c, Lane::Bulk, later(9_999)).await, [], "handed over once");
}

/// Promise 3: every accepted recording reaches one terminal state in bounded time, also when its event never came.
/// Here: whoever was to send a message and died on the way, or a queue that lost it, costs a wait and nothing else.
pub async fn what_was_offered_and_never_taken_is_offered_again(f: &Fixture) {
    let c = &*f.catalog;
    let (_, lost) = with_probe(c, "lost.mp4").await;
    let (_, taken) = with_probe(c, "taken.mp4").await;
    let (_, done) = with_probe(c, "done.mp4").await;
    assert_eq!(offered(c, Lane::Bulk, later(1)).await.len(), 3);
    claim(c, &taken, "w", later(2)).await;
    let held = claim(c, &done, "w", later(2)).await;
    c.record(&held, &probed("x"), later(3)).await.unwrap();
    let again = async |now, before| c.offer(Lane::Bulk, later(now), 9, Some(later(before))).await.unwrap();
    assert_eq!(again(50, 1).await, [], "not yet given up");
    assert_eq!(again(50, 2).await, [lost.id]);
    assert_eq!(again(51, 2).await, [], "it counts from the last time");
    assert_eq!(again(90, 60).await.len(), 2, "the lost one, and one whose lease expired");
    // Whatever makes it ready anew has it offered anew.
    let held = claim(c, &lost, "w", later(91)).await;
    c.release(&held, later(91)).await.unwrap();
    assert_eq!(offered(c, Lane::Bulk, later(91)).await, [lost.id]);
    let held = claim(c, &lost, "w", later(92)).await;
    c.fail(&held, &Failure::temporary("x"), Next::Retry { at: later(200) }, later(92)).await.unwrap();
    assert_eq!(offered(c, Lane::Bulk, later(199)).await, []);
    assert_eq!(offered(c, Lane::Bulk, later(200)).await, [lost.id]);
    // All workers died, and with them a queue that lived in their process.
    c.recover(None, later(201)).await.unwrap();
    assert_eq!(offered(c, Lane::Bulk, later(201)).await.len(), 2);
}

pub async fn the_age_of_the_backlog_is_its_oldest_jobs(f: &Fixture) {
    let c = &*f.catalog;
    assert!(c.waiting_since(T0).await.unwrap().is_empty());
    for (n, (lane, at)) in
        [(Lane::Bulk, 2), (Lane::Bulk, 1), (Lane::Interactive, 5), (Lane::Bulk, 0)].into_iter().enumerate()
    {
        let it = accept(c, &recording(&format!("{n}.mp4"))).await;
        settle(c, it.id, processing(vec![spec(&it, Action::Probe, lane)]), later(at)).await;
        if at == 0 {
            claim(c, &spec(&it, Action::Probe, lane), "w", later(0)).await;
        }
    }
    offered(c, Lane::Bulk, later(1)).await;
    let waiting = async |now| c.waiting_since(later(now)).await.unwrap();
    assert_eq!(waiting(9).await, [(Lane::Interactive, later(5)), (Lane::Bulk, later(1))].into());
    assert_eq!(waiting(4).await, [(Lane::Bulk, later(1))].into(), "what is not yet due waits for nobody");
}

/// One of many does what only one should do; when it dies another takes over.
pub async fn one_of_sixteen_leads(f: &Fixture) {
    let c = &*f.catalog;
    let tasks = (0..16).map(|n| {
        let catalog = Arc::clone(&f.catalog);
        tokio::spawn(async move {
            catalog.lead("sweep", &format!("w{n}"), T0, TTL).await.unwrap().then(|| format!("w{n}"))
        })
    });
    let mut leaders = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        leaders.extend(task.await.unwrap());
    }
    let [leader] = leaders.as_slice() else { panic!("{leaders:?}") };
    assert!(c.lead("other", "w99", T0, TTL).await.unwrap(), "each role has its own");
    assert!(c.lead("sweep", leader, later(30), TTL).await.unwrap(), "it stays as long as it says so");
    assert!(!c.lead("sweep", "w99", later(89), TTL).await.unwrap());
    assert!(c.lead("sweep", "w99", later(90), TTL).await.unwrap());
    assert!(!c.lead("sweep", leader, later(91), TTL).await.unwrap());
    // Who goes makes room at once.
    assert!(c.lead("sweep", "w99", later(91), std::time::Duration::ZERO).await.unwrap());
    assert!(c.lead("sweep", "w98", later(91), TTL).await.unwrap());
    c.recover(None, later(91)).await.unwrap();
    assert!(c.lead("sweep", leader, later(91), TTL).await.unwrap());
}

pub async fn a_failure_is_retried_later_and_then_parked(f: &Fixture) {
    let c = &*f.catalog;
    let (it, spec) = with_probe(c, "a.mp4").await;
    let held = claim(c, &spec, "w", T0).await;
    c.fail(&held, &Failure::temporary("the disk hiccups"), Next::Retry { at: later(30) }, T0).await.unwrap();
    let failed = job(c, spec.id).await;
    assert_eq!((failed.state, failed.failures, failed.run_after), (JobState::Pending, 1, later(30)));
    assert_eq!((failed.error, failed.worker), (Some(Failure::temporary("the disk hiccups")), None));
    assert!(dirty(c, T0).await.is_empty(), "a retry changes no fact");

    let held = claim(c, &spec, "w", later(30)).await;
    let failure = Failure::permanent("this is not media: delete it or convert it yourself");
    c.fail(&held, &failure, Next::Park, later(31)).await.unwrap();
    let parked = job(c, spec.id).await;
    assert_eq!((parked.state, parked.failures, parked.attempts), (JobState::Parked, 2, 2));
    assert_eq!(parked.finished_at, Some(later(31)));
    let facts = facts(c, it.id).await;
    assert_eq!(facts.parked, [(spec.id, failure.message.clone())].into());
    assert!(facts.recording.revision > it.revision);
    assert!(dirty(c, T0).await.contains(&it.id));
    let audit = c.audit(Some(it.id), 1).await.unwrap();
    assert_eq!((audit[0].what.as_str(), audit[0].actor.as_str()), ("park", "w"));
}

pub async fn retry_takes_parked_jobs_up_again(f: &Fixture) {
    let c = &*f.catalog;
    let mut specs = Vec::new();
    for n in 0..4 {
        let (it, spec) = with_probe(c, &format!("{n}.mp4")).await;
        let held = claim(c, &spec, "w", T0).await;
        c.fail(&held, &Failure::permanent("x"), Next::Park, T0).await.unwrap();
        settle(c, it.id, decided(State::Failed, vec![]), T0).await;
        specs.push(spec);
    }
    assert!(dirty(c, T0).await.is_empty());
    assert_eq!(c.retry(Retry::Job(specs[0].id), later(5)).await.unwrap(), 1);
    assert_eq!(c.retry(Retry::Job(specs[0].id), later(5)).await.unwrap(), 0, "it is not parked any more");
    let again = job(c, specs[0].id).await;
    assert_eq!(
        (again.state, again.failures, again.attempts, again.error, again.run_after),
        (JobState::Pending, 0, 0, None, later(5)),
        "as if it had never been handed out: it may have been what killed its workers, and is mended"
    );
    assert_eq!(dirty(c, T0).await, [specs[0].recording].into());
    // Deciding meanwhile does not push it back behind the bulk.
    settle(c, specs[0].recording, processing(vec![specs[0].clone()]), later(6)).await;
    assert_eq!(offered(c, Lane::Interactive, later(6)).await, [specs[0].id]);

    assert_eq!(c.retry(Retry::Recording(specs[1].recording), later(5)).await.unwrap(), 1);
    assert_eq!(c.retry(Retry::AllParked, later(5)).await.unwrap(), 2);
    assert_eq!(c.counts().await.unwrap().jobs[&JobState::Parked], 0);
    assert!(facts(c, specs[3].recording).await.parked.is_empty());
}

pub async fn a_job_given_back_has_not_failed(f: &Fixture) {
    let c = &*f.catalog;
    let (_, spec) = with_probe(c, "a.mp4").await;
    let held = claim(c, &spec, "w", T0).await;
    c.release(&held, later(1)).await.unwrap();
    let back = job(c, spec.id).await;
    assert_eq!((back.state, back.failures, back.attempts, back.error), (JobState::Pending, 0, 0, None));
    assert_eq!(
        offered(c, Lane::Bulk, later(1)).await.len(),
        1,
        "at once, not when the lease would have ended"
    );
    let held = claim(c, &spec, "other", later(1)).await;
    assert_eq!(held.token, 2);
    // Also for later: it is not the time for it.
    c.release(&held, later(60)).await.unwrap();
    assert_eq!(c.claim(spec.id, "w", later(59), TTL).await.unwrap(), None);
    assert_eq!(claim(c, &spec, "w", later(60)).await.job.attempts, 1);
}

pub async fn orphans_are_recovered(f: &Fixture) {
    let c = &*f.catalog;
    let mut specs = Vec::new();
    for worker in ["up-1", "up-2", "ingest-1"] {
        let (_, spec) = with_probe(c, &format!("{worker}.mp4")).await;
        claim(c, &spec, worker, T0).await;
        specs.push(spec);
    }
    assert_eq!(c.recover(Some("up-"), later(1)).await.unwrap(), 2);
    assert_eq!(offered(c, Lane::Bulk, later(1)).await.len(), 2);
    assert_eq!(job(c, specs[2].id).await.state, JobState::Running);
    assert_eq!(c.recover(None, later(1)).await.unwrap(), 1);
    assert_eq!(c.recover(None, later(1)).await.unwrap(), 0);
    let back = job(c, specs[2].id).await;
    assert_eq!((back.state, back.failures, back.worker), (JobState::Pending, 0, None));
}

pub async fn a_lease_is_renewed_with_progress(f: &Fixture) {
    let c = &*f.catalog;
    let (_, spec) = with_probe(c, "a.mp4").await;
    let held = claim(c, &spec, "w", T0).await;
    let progress = Progress { permille: 420, speed_percent: Some(250), eta_ms: None };
    c.renew(&held, later(50), TTL, Some(progress)).await.unwrap();
    let running = job(c, spec.id).await;
    assert_eq!((running.lease_until, running.progress), (Some(later(110)), Some(progress)));
    assert!(c.holds(&held, later(109)).await.unwrap());
    c.renew(&held, later(100), TTL, None).await.unwrap();
    assert_eq!(job(c, spec.id).await.progress, Some(progress), "no news is not none");
    assert_eq!(c.claim(spec.id, "w2", later(159), TTL).await.unwrap(), None);
}

pub async fn jobs_are_listed_and_counted(f: &Fixture) {
    let c = &*f.catalog;
    let (it, probe) = with_probe(c, "a.mp4").await;
    let (_, other) = with_probe(c, "b.mp4").await;
    let backup = backup_of(&it, "replica");
    settle(c, it.id, processing(vec![probe.clone(), backup.clone()]), T0).await;
    claim(c, &probe, "w", T0).await;
    let list = async |states: &[JobState], recording, limit| -> Vec<_> {
        let filter = JobFilter { states: states.to_vec(), recording, ..JobFilter::default() };
        c.jobs(&filter, limit).await.unwrap().into_iter().map(|j| j.spec.id).collect()
    };
    assert_eq!(list(&[], None, 99).await, [backup.id, other.id, probe.id], "newest first");
    assert_eq!(list(&[], None, 2).await, [backup.id, other.id]);
    assert_eq!(list(&[], Some(it.id), 99).await, [backup.id, probe.id]);
    assert_eq!(list(&[JobState::Running], None, 99).await, [probe.id]);
    assert_eq!(
        list(&[JobState::Running, JobState::Pending], None, 99).await,
        [backup.id, other.id, probe.id]
    );
    assert_eq!(list(&[JobState::Pending], Some(it.id), 99).await, [backup.id]);
    for (states, before, found) in
        [(vec![], later(1), 3), (vec![JobState::Pending], later(1), 2), (vec![], T0, 0)]
    {
        let filter = JobFilter { states, due_before: Some(before), ..JobFilter::default() };
        assert_eq!(c.jobs(&filter, 99).await.unwrap().len(), found, "{filter:?}");
    }
    let counts = c.counts().await.unwrap();
    assert_eq!(
        (counts.jobs[&JobState::Pending], counts.jobs[&JobState::Running], counts.jobs[&JobState::Done]),
        (2, 1, 0)
    );
    assert_eq!((counts.recordings[&State::Processing], counts.bytes), (2, 2_000));
}

/// Whoever leads asks four times a second: it must hear of all that there is to do, and of nothing where there is nothing.
pub async fn what_there_is_to_do_stirs(f: &Fixture) {
    let c = &*f.catalog;
    let stirs = async |seconds| c.stirs(later(seconds)).await.unwrap();
    assert!(!stirs(0).await);
    let it = accept(c, &recording("a.mp4")).await;
    assert!(stirs(0).await, "it is to be decided");
    let mut until = decided(State::Ready, vec![]);
    until.due_at = Some(later(100));
    settle(c, it.id, until.clone(), T0).await;
    assert!(!stirs(99).await);
    assert!(stirs(100).await, "it is time to decide again");

    for lane in Lane::ALL {
        let spec = spec(&it, Action::Verify { store: lane.as_str().into(), last: T0 }, lane);
        let mut asks = processing(vec![spec.clone()]);
        asks.due_at = Some(later(1_000));
        settle(c, it.id, asks, T0).await;
        assert!(stirs(0).await, "{lane:?}: it is to be handed over");
        assert_eq!(offered(c, lane, T0).await, [spec.id]);
        assert!(!stirs(0).await, "{lane:?}: it is on its way");
        let held = claim(c, &spec, "w", T0).await;
        assert!(!stirs(59).await, "{lane:?}: somebody has it");
        assert!(stirs(61).await, "{lane:?}: its lease has run out");
        c.fail(&held, &Failure::permanent("no"), Next::Park, T0).await.unwrap();
        settle(c, it.id, until.clone(), T0).await;
        assert!(!stirs(0).await);
    }

    let alert = domain::Alert {
        key: "news".into(),
        severity: domain::Severity::Info,
        service: "suite".into(),
        subject: "news".into(),
        cause: String::new(),
        next: String::new(),
        recording: None,
        at: T0,
    };
    c.raise(&[alert]).await.unwrap();
    assert!(stirs(0).await, "it is to be told");
    let unsent = c.unsent(9).await.unwrap();
    c.sent(&[unsent[0].0], T0).await.unwrap();
    assert!(!stirs(0).await);
}
