//! The server goes away, or the way to it: a wait or a temporary error, and nothing else.
#![cfg(feature = "postgres")]

mod support;

use std::{
    cell::{Cell, RefCell},
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use catalog::{
    Catalog, Claim, Postgres, Settled,
    contract::{Record as _, T0, recording},
    postgres::Options,
};
use domain::{JobState, NewRecording, RecordingId};
use support::{TTL, asking_for, later, probe_of, probed, session};
use testbed::{Fault, Postgres as Server, Proxy};

/// Quick to give up, or these tests would wait and not see an error.
fn impatient() -> Options {
    Options {
        connections: 3,
        acquire_timeout: Duration::from_millis(200),
        statement_timeout: Duration::from_secs(5),
        ..Options::default()
    }
}

/// Promise 4: a message is acknowledged only after its outcome is durably recorded. Here: whatever a call has
/// answered is there after the server was killed, what was under way is there as a whole or not at all, and the same
/// handle works on as soon as the server is back.
#[tokio::test]
async fn what_was_acknowledged_outlives_the_server() {
    let server = Arc::new(Server::start());
    let catalog = Postgres::connect(&server.database(), &impatient()).await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let killer = std::thread::spawn({
        let (server, over) = (Arc::clone(&server), Arc::clone(&over));
        move || {
            for round in 0..5_u64 {
                std::thread::sleep(Duration::from_millis(200 + round * 97));
                server.kill();
                // Long enough for calls to fail, or short enough for them to be waited through.
                std::thread::sleep(Duration::from_millis(if round % 2 == 0 { 900 } else { 0 }));
                server.restart();
            }
            std::thread::sleep(Duration::from_millis(300));
            over.store(true, Ordering::SeqCst);
        }
    });
    let errors = Cell::new(0);
    let acknowledged = RefCell::new((Vec::new(), Vec::new()));
    let workers = (0..4).map(|n| work(&catalog, n, &over, &errors, &acknowledged));
    futures::future::join_all(workers).await;
    killer.join().unwrap();
    let (accepted, recorded) = acknowledged.into_inner();
    assert!(errors.get() > 0 && recorded.len() > 24, "{} errors, {} recorded", errors.get(), recorded.len());
    for id in &accepted {
        assert!(catalog.get(*id).await.unwrap().is_some(), "lost: {id}");
    }
    for id in &recorded {
        let facts = catalog.facts(*id).await.unwrap().unwrap();
        assert!(facts.recording.probe.is_some() && facts.done.len() == 1, "lost: {id}");
    }
    for job in catalog.jobs(&Default::default(), 100_000).await.unwrap() {
        let facts = catalog.facts(job.spec.recording).await.unwrap().unwrap();
        assert_eq!(job.state == JobState::Done, facts.recording.probe.is_some(), "{job:?}");
        let audit = catalog.audit(Some(job.spec.recording), 9).await.unwrap();
        let count = |what| audit.iter().filter(|e| e.what == what).count();
        assert_eq!(
            (count("accept"), count("record")),
            (1, usize::from(job.state == JobState::Done)),
            "{audit:?}"
        );
    }
    let counts = catalog.counts().await.unwrap();
    let recordings: u64 = counts.recordings.values().sum();
    assert_eq!((recordings % 16, counts.bytes), (0, recordings * 1_000));
    let found = catalog.search(&"clip".parse().unwrap(), 100_000, None).await.unwrap();
    assert_eq!(found.hits.len() as u64, recordings);
}

async fn work(
    catalog: &Postgres,
    n: usize,
    over: &AtomicBool,
    errors: &Cell<usize>,
    acknowledged: &RefCell<(Vec<RecordingId>, Vec<RecordingId>)>,
) {
    for batch in 0.. {
        let new: Vec<_> = (0..16).map(|i| recording(&format!("clip {n}-{batch}-{i}.mp4"))).collect();
        insist(errors, async || catalog.accept(&new, T0).await).await;
        acknowledged.borrow_mut().0.extend(new.iter().map(|it| it.id));
        for it in &new[..4] {
            let job = probe_of(it.id, &it.version);
            loop {
                let facts = insist(errors, async || catalog.facts(it.id).await).await.unwrap();
                let settle = [asking_for(vec![job.clone()], it.id, facts.recording.revision)];
                let settled = insist(errors, async || catalog.settle(&settle, "p", T0).await).await;
                // Stale: it was taken over, and the answer lost.
                if settled[0] != Settled::Stale {
                    break;
                }
            }
            let held = take(catalog, &job, errors).await;
            insist(errors, async || catalog.record(&held, &probed(), T0).await).await;
            acknowledged.borrow_mut().1.push(it.id);
        }
        if over.load(Ordering::SeqCst) {
            break;
        }
    }
}

/// A claim whose answer was lost is a lease that nobody has: it runs out.
async fn take(catalog: &Postgres, job: &domain::JobSpec, errors: &Cell<usize>) -> Claim {
    for patience in 0..9 {
        let now = later(patience * 61);
        if let Some(held) = insist(errors, async || catalog.claim(job.id, "w", now, TTL).await).await {
            return held;
        }
    }
    panic!("{job:?} is held by nobody and free for nobody");
}

/// As a worker does: whatever is temporary is tried again.
async fn insist<T>(errors: &Cell<usize>, mut call: impl AsyncFnMut() -> catalog::Result<T>) -> T {
    let started = Instant::now();
    loop {
        match call().await {
            Ok(value) => return value,
            Err(error) => {
                assert!(error.is_temporary(), "{error:?}");
                assert!(started.elapsed() < Duration::from_secs(30), "{error}");
                errors.set(errors.get() + 1);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// A handle whose only connection goes through a proxy, and one that nothing happens to.
struct Line {
    server: &'static Server,
    url: String,
    proxy: Proxy,
    direct: Postgres,
}

impl Line {
    async fn new() -> Self {
        let server = Server::shared();
        let url = server.database();
        let proxy = Proxy::before(SocketAddr::from((Ipv4Addr::LOCALHOST, server.port())));
        let direct = Postgres::connect(&url, &Options::default()).await.unwrap();
        Self { server, url, proxy, direct }
    }

    /// A new one has prepared nothing yet, so that every run is the same to the byte. What is cut is noticed at once, however
    /// patient it is; on a busy machine a new connection takes a while.
    async fn through(&self) -> Postgres {
        self.through_within(Options::default().acquire_timeout).await
    }

    async fn through_within(&self, acquire_timeout: Duration) -> Postgres {
        self.proxy.set(Fault::None);
        let options = Options { connections: 1, acquire_timeout, ..impatient() };
        Postgres::connect(&self.server.url_by_tcp(&self.url, self.proxy.port()), &options).await.unwrap()
    }

    /// From the next connection on; the open one is gone.
    async fn fault(&self, fault: Fault, connections: u64) {
        self.proxy.set_for(fault, connections);
        tokio::time::sleep(Duration::from_millis(70)).await;
    }

    async fn mend(&self) {
        self.fault(Fault::None, 0).await;
    }
}

/// What a worker does with one session and one track, one call after the other.
const CALLS: [&str; 4] = ["accept", "settle", "claim", "record"];

struct Job {
    batch: [NewRecording; 2],
    claim: RefCell<Option<Claim>>,
    now: Cell<u64>,
}

impl Job {
    fn new(name: &str) -> Self {
        let track = format!("{name}/ana.webm");
        let batch =
            [session(&format!("{name}/session.json"), std::slice::from_ref(&track)), recording(&track)];
        Self { batch, claim: RefCell::default(), now: Cell::new(0) }
    }

    fn track(&self) -> &NewRecording {
        &self.batch[1]
    }

    async fn call(&self, catalog: &Postgres, which: &str) -> catalog::Result<()> {
        let it = self.track();
        let job = probe_of(it.id, &it.version);
        match which {
            "accept" => catalog.accept(&self.batch, T0).await.map(drop),
            "settle" => {
                let facts = catalog.facts(it.id).await?.expect("accepted before");
                let settle = [asking_for(vec![job], it.id, facts.recording.revision)];
                catalog.settle(&settle, "p", T0).await.map(drop)
            }
            "claim" => {
                let now = later(self.now.get());
                // If the answer is lost, the lease is to run out.
                self.now.set(self.now.get() + 61);
                *self.claim.borrow_mut() = catalog.claim(job.id, "w", now, TTL).await?;
                Ok(())
            }
            _ => {
                let held = self.claim.borrow().clone().expect("claimed before");
                catalog.record(&held, &probed(), T0).await
            }
        }
    }

    /// All of the call, or none of it.
    async fn is_whole(&self, direct: &Postgres, which: &str) -> bool {
        let it = self.track();
        let Some(facts) = direct.facts(it.id).await.unwrap() else {
            assert_eq!(which, "accept");
            assert_eq!(direct.get(self.batch[0].id).await.unwrap(), None, "neither of them");
            assert_eq!(direct.audit(Some(it.id), 9).await.unwrap(), []);
            return false;
        };
        let session = direct.facts(self.batch[0].id).await.unwrap().unwrap();
        assert_eq!(facts.recording.session, Some(session.recording.id));
        assert_eq!(session.tracks[0].recording, Some(facts.recording.clone()));
        let job = direct.job(probe_of(it.id, &it.version).id).await.unwrap();
        let state = job.map(|j| j.state);
        let audit: Vec<_> = direct.audit(Some(it.id), 9).await.unwrap().into_iter().map(|e| e.what).collect();
        let dirty = direct.to_decide(T0, None, 10_000).await.unwrap().contains(&it.id);
        let (expected, story): (_, &[&str]) = match (which, state) {
            ("accept", None) => (true, &["accept"]),
            ("settle", None) => (true, &["accept"]),
            ("settle" | "claim", Some(JobState::Pending)) => (false, &["state", "accept"]),
            ("claim" | "record", Some(JobState::Running)) => (false, &["state", "accept"]),
            ("record", Some(JobState::Done)) => (true, &["record", "state", "accept"]),
            other => panic!("{other:?}"),
        };
        assert_eq!((dirty, facts.recording.probe.is_some()), (expected, state == Some(JobState::Done)));
        assert_eq!(audit, story);
        match which {
            "accept" => true,
            "settle" => state == Some(JobState::Pending),
            "claim" => state == Some(JobState::Running),
            _ => state == Some(JobState::Done),
        }
    }
}

/// The wire is cut at every place of every call, in one direction or the other. A call that can be made again is,
/// without anybody noticing; the others are temporary errors. Nothing is ever there by halves, and a repeat leads to
/// the right end.
async fn cut_everywhere(step: u64, fault: fn(u64) -> Fault) {
    let line = Line::new().await;
    let mut noticed = 0;
    let mut calls = 0;
    for which in CALLS {
        // Beyond what it takes to connect, until a call comes through whole.
        let mut after = 1_000;
        loop {
            let job = Job::new(&format!("{which}/{after}"));
            let through = line.through().await;
            for before in CALLS.iter().take_while(|c| **c != which) {
                job.call(&through, before).await.unwrap();
            }
            line.fault(fault(after), 1).await;
            let connections = line.proxy.connections();
            let answer = job.call(&through, which).await;
            let cut = line.proxy.connections() > connections + 1;
            let whole = job.is_whole(&line.direct, which).await;
            assert!(whole || answer.is_err(), "acknowledged and not there: {which} {after}");
            if let Err(error) = answer {
                assert!(error.is_temporary(), "{which} {after}: {error:?}");
                noticed += 1;
                job.call(&through, which).await.unwrap_or_else(|e| panic!("{which} {after}: {e:?}"));
            }
            assert!(job.is_whole(&line.direct, which).await, "{which} {after}");
            assert!(which != "claim" || job.claim.borrow().is_some());
            through.close().await;
            calls += 1;
            if !cut && whole {
                break;
            }
            after += step;
        }
    }
    assert!(calls > 20, "{calls}");
    assert!(noticed < calls / 2, "{noticed} of {calls} could not be made again");
}

#[tokio::test]
async fn a_request_that_does_not_arrive_whole_has_no_effect() {
    cut_everywhere(311, |after| Fault::CutRequest { after }).await;
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_again() {
    cut_everywhere(97, |after| Fault::CutAnswer { after }).await;
}

/// All connections are cut at the same place: no attempt comes through, and that is a temporary error.
#[tokio::test]
async fn a_line_that_breaks_again_and_again_is_a_temporary_error() {
    let line = Line::new().await;
    // Nobody answers while it is down: that long each attempt waits.
    let catalog = line.through_within(Duration::from_secs(2)).await;
    for (n, fault) in [
        Fault::Down,
        Fault::CutRequest { after: 100 },
        Fault::CutRequest { after: 3_000 },
        Fault::CutRequest { after: 6_000 },
        Fault::CutAnswer { after: 10 },
        Fault::CutAnswer { after: 1_500 },
        Fault::LoseAnswer,
    ]
    .into_iter()
    .enumerate()
    {
        line.fault(fault, 0).await;
        let job = Job::new(&n.to_string());
        let error = job.call(&catalog, "accept").await.unwrap_err();
        assert!(error.is_temporary(), "{fault:?}: {error:?}");
        assert!(error.to_string().contains("tried again"), "{fault:?}: {error}");
        assert!(!job.is_whole(&line.direct, "accept").await, "{fault:?}");
        line.mend().await;
        job.call(&catalog, "accept").await.unwrap();
        assert!(job.is_whole(&line.direct, "accept").await, "{fault:?}");
    }
}

/// A line that nothing comes through any more and that nobody closes: nobody waits for it for ever.
#[tokio::test]
async fn a_line_that_goes_silent_is_given_up() {
    let line = Line::new().await;
    let options = Options { connections: 1, statement_timeout: Duration::from_millis(300), ..impatient() };
    let url = line.server.url_by_tcp(&line.url, line.proxy.port());
    let catalog = Postgres::connect(&url, &options).await.unwrap();
    for (n, fault) in [Fault::Stall, Fault::StallAnswer { after: 1_500 }].into_iter().enumerate() {
        line.fault(fault, 0).await;
        let job = Job::new(&n.to_string());
        let started = Instant::now();
        let error = job.call(&catalog, "accept").await.unwrap_err();
        assert!(error.is_temporary(), "{fault:?}: {error:?}");
        assert!(started.elapsed() < Duration::from_secs(10), "{fault:?}: {:?}", started.elapsed());
        line.mend().await;
        job.call(&catalog, "accept").await.unwrap();
        assert!(job.is_whole(&line.direct, "accept").await);
    }
}

/// A connection that was closed while it rested is replaced before anything is said on it: a claim, which is said only
/// once, does not fail because of it.
#[tokio::test]
async fn a_rested_connection_is_asked_before_it_is_used() {
    let line = Line::new().await;
    let catalog = line.through().await;
    let job = Job::new("rested");
    for call in ["accept", "settle"] {
        job.call(&catalog, call).await.unwrap();
    }
    // Back in the pool, and then closed.
    tokio::time::sleep(Duration::from_millis(100)).await;
    line.mend().await;
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let connections = line.proxy.connections();
    job.call(&catalog, "claim").await.unwrap();
    assert!(job.claim.borrow().is_some());
    assert_eq!(line.proxy.connections(), connections + 1, "the first one was gone");
}
