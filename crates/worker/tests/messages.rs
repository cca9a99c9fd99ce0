//! What becomes of messages that come in a heap: doubled, late, or nobody's.

mod support;

use std::{sync::Arc, time::Duration};

use catalog::JobFilter;
use domain::JobState;
use queue::Lane;
use storage::{Faulty, Memory, Op};
use support::{Hands, ingest_as, library, runner, until};
use tokio_util::sync::CancellationToken;
use worker::Steps;

/// Enough for several to be received together; the queue takes equal messages for one.
const RECORDINGS: usize = 12;

/// Promise 5: effects are idempotent by job id. Messages of jobs that are done are acknowledged, however many came together; what
/// came between them is done, or parked where nobody can read it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_already_is_not_done_again_and_hides_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (clock, replica) = (Hands::new(), Arc::new(Faulty::new(Memory::new("replica"))));
    let library = library(home.path(), clock.clone(), replica.clone(), Steps::default()).await;
    for n in 0..RECORDINGS {
        ingest_as(&library, home.path(), &format!("{n}.txt")).await;
    }
    runner(&library, Duration::from_secs(5)).run_to_rest(CancellationToken::new()).await;
    let done = library.catalog.jobs(&JobFilter::default(), 99).await.unwrap();
    assert!(done.len() >= 2 * RECORDINGS && done.iter().all(|job| job.state == JobState::Done));
    assert_eq!(replica.calls(Op::Commit), RECORDINGS as u64);

    // What nobody can read comes neither first nor last of those that are received together.
    let late = ingest_as(&library, home.path(), "late.txt").await;
    for (n, job) in done.iter().enumerate() {
        library.queue.send(Lane::Bulk, job.spec.id.to_string(), Duration::ZERO).await.unwrap();
        if n % 6 == 3 {
            library.queue.send(Lane::Bulk, format!("nobody's {n}"), Duration::ZERO).await.unwrap();
        }
    }
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (library, stop) = (library.clone(), stop.clone());
        async move { runner(&library, Duration::from_secs(5)).run(stop).await }
    });
    until(&library, &clock, late, |r| r.state.is_terminal()).await;
    let rests = async || {
        let depth = library.queue.depth().await.unwrap();
        depth.iter().all(|lane| lane.visible + lane.in_flight + lane.delayed == 0)
    };
    for _ in 0..3000 {
        if rests().await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(rests().await, "{:?}", library.queue.depth().await);
    stop.cancel();
    running.await.unwrap();

    let letters = library.letters.dead(Lane::Bulk, 99).await.unwrap();
    assert_eq!(letters.len(), done.len() / 6, "{letters:?}");
    assert!(letters.iter().all(|letter| letter.body.starts_with("nobody's")));
    assert_eq!(replica.calls(Op::Commit), RECORDINGS as u64 + 1, "each recording once");
    let again = library.catalog.jobs(&JobFilter::default(), 99).await.unwrap();
    assert!(again.iter().all(|job| job.attempts == 1), "none was done again");
}
