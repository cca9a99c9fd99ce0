//! What happens to a worker that slept through its lease.

mod support;

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use catalog::{Catalog as _, Claim, Deciding, JobFilter, Kind, Sqlite};
use domain::{Clock as _, Facts, JobState, Outcome};
use storage::{Memory, Store as _};
use support::{Hands, ingest, library, runner, until};
use tokio_util::sync::CancellationToken;
use worker::{Point, Steps};

/// Promise 5: a worker whose lease was lost writes nothing more; who has it now does the work, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_worker_that_lost_its_lease_writes_nothing_more() {
    let home = tempfile::tempdir().unwrap();
    let (clock, replica) = (Hands::new(), Arc::new(Memory::new("replica")));
    let rival = Arc::new(Mutex::new(None::<Claim>));
    let steps = {
        let (clock, rival) = (clock.clone(), rival.clone());
        let catalog = home.path().join("catalog.db");
        Steps::new(move |point| {
            let mut rival = rival.lock().unwrap();
            if point == Point::JobClaimed && rival.is_none() {
                *rival = sleep_through_the_lease(&catalog, &clock);
            }
        })
    };
    let library = library(home.path(), clock.clone(), replica.clone(), steps).await;
    let id = ingest(&library, home.path()).await;

    let stop = CancellationToken::new();
    let sleeper = runner(&library, Duration::from_secs(5));
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { sleeper.run(stop).await }
    });
    while rival.lock().unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Long enough for the sleeper to have written, had it not noticed.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(replica.list("", None, 10).await.unwrap().is_empty(), "it wrote without a lease");
    let late = rival.lock().unwrap().clone().unwrap();
    let held = library.catalog.job(late.job.spec.id).await.unwrap().unwrap();
    assert_eq!((held.state, held.worker.as_deref()), (JobState::Running, Some("rival")));

    // The rival dies; its lease runs out; the first one, awake again, does the work.
    until(&library, &clock, id, |r| r.state.is_terminal()).await;
    stop.cancel();
    running.await.unwrap();
    assert_eq!(replica.list("", None, 10).await.unwrap().len(), 1);
    assert_eq!(library.catalog.copies(id).await.unwrap().len(), 1);
    let outcome = Outcome::Tagged { tags: ["late".to_owned()].into() };
    let decide = |_: &Facts| unreachable!("nothing is written, so nothing follows");
    let by = Deciding { policy: library.policy.hash(), decide: &decide };
    let refused = library.catalog.conclude(&late, &outcome, &by, clock.now()).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::LeaseLost);
}

/// Two minutes pass in a moment, and somebody else claims the backup that the sleeper has just claimed.
/// With a catalog handle and a runtime of its own, as another process has.
fn sleep_through_the_lease(catalog: &Path, clock: &Arc<Hands>) -> Option<Claim> {
    let (catalog, clock) = (catalog.to_owned(), clock.clone());
    let rival = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let catalog = Sqlite::open(&catalog).await.unwrap();
            let filter = JobFilter { states: vec![JobState::Running], ..JobFilter::default() };
            let running = catalog.jobs(&filter, 10).await.unwrap();
            let backup = running.iter().find(|j| j.spec.action.verb() == "backup")?;
            clock.pass(Duration::from_secs(120));
            catalog.claim(backup.spec.id, "rival", clock.now(), Duration::from_secs(60)).await.unwrap()
        })
    });
    rival.join().unwrap()
}
