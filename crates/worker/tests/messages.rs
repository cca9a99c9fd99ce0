//! What becomes of messages that come in a heap: doubled, late, or nobody's.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use catalog::{Batch, BatchId, JobFilter};
use domain::{Action, JobSpec, JobState};
use queue::{Depth, Error, Lane, Message, Queue, Receipt};
use storage::{Fault, Faulty, Memory, Op};
use support::{Hands, ingest_as, library, library_of, runner, until};
use tokio_util::sync::CancellationToken;
use worker::{LIBRARY_STORE, Library, Limits, Runner, Steps};

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

/// A queue that counts what is given back to it, and takes nothing as often as it is told.
#[derive(Debug)]
struct Watched {
    queue: Arc<dyn Queue>,
    given_back: AtomicUsize,
    away: AtomicUsize,
}

impl Watched {
    /// Instead of the library's own.
    fn put_into(library: Arc<Library>, away: usize) -> (Arc<Library>, Arc<Self>) {
        let mut library = Arc::into_inner(library).expect("nobody else has it");
        let (given_back, away) = (AtomicUsize::new(0), AtomicUsize::new(away));
        let queue = Arc::new(Self { queue: library.queue.clone(), given_back, away });
        library.queue = queue.clone();
        (Arc::new(library), queue)
    }
}

#[async_trait]
impl Queue for Watched {
    async fn send(&self, lane: Lane, body: String, delay: Duration) -> Result<(), Error> {
        let less = |n: usize| n.checked_sub(1);
        if self.away.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
            return Err(Error::new(queue::ErrorKind::Unavailable, "the queue was told to be away"));
        }
        self.queue.send(lane, body, delay).await
    }
    async fn receive(&self, lanes: &[Lane], max: usize, wait: Duration) -> Result<Vec<Message>, Error> {
        self.queue.receive(lanes, max, wait).await
    }
    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<(), Error> {
        self.queue.extend(receipt, visibility).await
    }
    async fn ack(&self, receipt: &Receipt) -> Result<(), Error> {
        self.queue.ack(receipt).await
    }
    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), Error> {
        self.given_back.fetch_add(1, Ordering::SeqCst);
        self.queue.release(receipt, delay).await
    }
    async fn depth(&self) -> Result<Vec<Depth>, Error> {
        self.queue.depth().await
    }
}

/// As a fleet's: nobody counts what the queue has.
fn limits(memory: u64) -> Limits {
    let drain = Duration::from_secs(5);
    Limits { threads: 2, memory, disk: 1 << 40, drain, backlog: None, walk_every: None }
}

/// More small copies than may run at once: each makes room in a moment, so that nothing is given back meanwhile. With SQS that
/// would be two requests more for each, and each time one step nearer to the dead letters.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_room_in_a_moment_is_not_given_back() {
    const COPIES: usize = 60;
    let home = tempfile::tempdir().unwrap();
    let clock = Hands::new();
    let inbox: Arc<dyn storage::Store> = Arc::new(Memory::new(LIBRARY_STORE));
    let none = "version: 1\nrules: []\n";
    let library = library_of(home.path(), clock.clone(), none, vec![inbox.clone()], Steps::default()).await;
    for n in 0..COPIES {
        ingest_as(&library, home.path(), &format!("{n}.txt")).await;
    }
    runner(&library, Duration::from_secs(5)).run_to_rest(CancellationToken::new()).await;

    let replica = Arc::new(Faulty::new(Memory::new("replica")));
    for n in 1..=COPIES as u64 {
        replica.on(Op::Commit, n, Fault::Late { by: Duration::from_millis(25) });
    }
    let of: Vec<Arc<dyn storage::Store>> = vec![inbox, replica.clone()];
    let library = library_of(home.path(), clock, support::POLICY, of, Steps::default()).await;
    let (library, queue) = Watched::put_into(library, 0);
    // There is memory for four at a time.
    let runner = Runner::new(library, limits(128 << 20));
    runner.begin().await.unwrap();
    runner.run_to_rest(CancellationToken::new()).await;
    assert_eq!(replica.calls(Op::Commit), COPIES as u64);
    let given_back = queue.given_back.load(Ordering::SeqCst);
    assert!(given_back < COPIES / 6, "{given_back}: none on a machine that does nothing else");
}

/// Promise 3: what the queue did not take when it was handed over is handed over again, in a fleet too and whoever waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_queue_did_not_take_is_handed_over_again() {
    for lane in domain::Lane::ALL {
        let home = tempfile::tempdir().unwrap();
        let clock = Hands::new();
        let none = "version: 1\nrules: []\n";
        let replica = Arc::new(Faulty::new(Memory::new("replica")));
        let of: Vec<Arc<dyn storage::Store>> = vec![Arc::new(Memory::new(LIBRARY_STORE)), replica.clone()];
        let library = library_of(home.path(), clock.clone(), none, of, Steps::default()).await;
        let id = ingest_as(&library, home.path(), "note.txt").await;
        runner(&library, Duration::from_secs(5)).run_to_rest(CancellationToken::new()).await;

        let it = library.catalog.get(id).await.unwrap().unwrap();
        let action = Action::Backup { store: "replica".into() };
        let job = JobSpec {
            id: action.job_id(it.id, &it.version),
            recording: it.id,
            version: it.version.clone(),
            action,
            lane,
            rule: "by hand".into(),
            reason: "a test asks for it".into(),
        };
        let batch = Batch {
            id: BatchId::derive(&[b"one"]),
            verb: "backup".into(),
            by: "user".into(),
            what: "all".into(),
            created_at: library.now(),
        };
        library.catalog.order(&batch, std::slice::from_ref(&job), library.now()).await.unwrap();
        let (library, _) = Watched::put_into(library, 1);
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let (runner, stop) = (Runner::new(library, limits(1 << 30)), stop.clone());
            async move { runner.run(stop).await }
        });
        for _ in 0..500 {
            if replica.calls(Op::Commit) > 0 {
                break;
            }
            clock.pass(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.cancel();
        running.await.unwrap();
        assert_eq!(replica.calls(Op::Commit), 1, "{lane:?}");
    }
}
