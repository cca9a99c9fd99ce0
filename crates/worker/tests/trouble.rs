//! What happens to a job when the store behind it has a bad day.

mod support;

use std::{sync::Arc, time::Duration};

use catalog::JobFilter;
use domain::{Job, JobState, State};
use storage::{ErrorKind, Fault, Faulty, Memory, Op, Store as _};
use support::{Hands, ingest, library, runner, until};
use tokio_util::sync::CancellationToken;
use worker::{Library, Steps};

type Replica = Arc<Faulty<Memory>>;

/// Runs the whole flow with a replica that fails as cued, until the recording is at its end.
async fn through(cue: impl FnOnce(&Replica)) -> (Replica, Job, State) {
    let home = tempfile::tempdir().unwrap();
    let (clock, replica) = (Hands::new(), Arc::new(Faulty::new(Memory::new("replica"))));
    cue(&replica);
    let library = library(home.path(), clock.clone(), replica.clone(), Steps::default()).await;
    let id = ingest(&library, home.path()).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (runner, stop) = (runner(&library, Duration::from_secs(5)), stop.clone());
        async move { runner.run(stop).await }
    });
    let recording = until(&library, &clock, id, |r| r.state.is_terminal()).await;
    stop.cancel();
    running.await.unwrap();
    (replica, backup(&library).await, recording.state)
}

async fn backup(library: &Library) -> Job {
    let jobs = library.catalog.jobs(&JobFilter::default(), 10).await.unwrap();
    jobs.into_iter().find(|j| j.spec.action.verb() == "backup").expect("a backup")
}

const AWAY: Fault = Fault::Fail { kind: ErrorKind::Unavailable, temporary: true };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trouble_that_passes_is_waited_for() {
    let (replica, job, _) = through(|replica| {
        replica.on(Op::Head, 1, AWAY).on(Op::Create, 1, Fault::Cut { after: 5 });
    })
    .await;
    assert_eq!((job.state, job.failures, job.attempts), (JobState::Done, 2, 3));
    assert_eq!(replica.list("", None, 10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trouble_that_stays_ends_after_five_failures_with_its_reason() {
    let (replica, job, _) = through(|replica| {
        (1..=20).for_each(|n| _ = replica.on(Op::Head, n, AWAY));
    })
    .await;
    assert_eq!((job.state, job.failures), (JobState::Parked, 5));
    assert!(job.error.unwrap().message.contains("replica"));
    assert!(replica.inner().list("", None, 10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_succeed_is_not_tried_again() {
    let (_, job, _) = through(|replica| {
        replica.on(Op::Create, 1, Fault::Fail { kind: ErrorKind::Denied, temporary: false });
    })
    .await;
    assert_eq!((job.state, job.failures), (JobState::Parked, 1));
}

/// Promise 5: effects are idempotent. The copy was made, only the answer got lost: it is found, not made twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_doubles_nothing() {
    let (replica, job, _) = through(|replica| _ = replica.on(Op::Commit, 1, Fault::ReplyLost)).await;
    assert_eq!(job.state, JobState::Done);
    assert_eq!(replica.list("", None, 10).await.unwrap().len(), 1);
    assert_eq!(replica.calls(Op::Commit), 1, "written once");
}

/// Promise 1: a copy that reads back differently is no copy. It goes, and the next try makes a good one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_never_counts_as_a_copy() {
    let (replica, job, _) = through(|replica| _ = replica.on(Op::Create, 1, Fault::Flip { at: 3 })).await;
    assert_eq!((job.state, job.failures), (JobState::Done, 1));
    assert_eq!(replica.list("", None, 10).await.unwrap().len(), 1, "the good one");
}

/// A medium that goes on damaging what is written to it is not written to for ever: a person is told which one to look at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_medium_that_damages_everything_is_given_up() {
    let (replica, job, state) = through(|replica| {
        (1..20).for_each(|n| _ = replica.on(Op::Create, n, Fault::Flip { at: 3 }));
    })
    .await;
    assert_eq!((job.state, job.failures), (JobState::Parked, 5), "{state:?}");
    assert!(job.error.unwrap().message.contains("SHA-256"));
    assert!(replica.list("", None, 10).await.unwrap().is_empty(), "the bad copy stayed");
}

/// A store that never answers does not keep the worker from stopping; the job is handed back without blame.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_hands_back_what_hangs() {
    let home = tempfile::tempdir().unwrap();
    let replica: Replica = Arc::new(Faulty::new(Memory::new("replica")));
    replica.on(Op::Head, 1, Fault::Hang);
    let library = library(home.path(), Hands::new(), replica.clone(), Steps::default()).await;
    ingest(&library, home.path()).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (runner, stop) = (runner(&library, Duration::from_millis(200)), stop.clone());
        async move { runner.run(stop).await }
    });
    while replica.calls(Op::Head) == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(30), running).await.expect("it stops").unwrap();
    let job = backup(&library).await;
    assert_eq!((job.state, job.failures), (JobState::Pending, 0));
}
