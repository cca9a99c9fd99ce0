//! A library whose stores, clock and interruptions the test holds in its hands.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use catalog::Sqlite;
use domain::{Clock, Recording, RecordingId, Timestamp};
use storage::{Memory, Store};
use worker::{Found, Intake, LIBRARY_STORE, Library, Limits, Options, Runner, Steps, Stores, Taken};

/// Time that passes when the test says so.
pub struct Hands(AtomicI64);

impl Hands {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(1_800_000_000_000)))
    }
    pub fn pass(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// Keeps a copy of everything in the store that the test watches.
pub const POLICY: &str = "version: 1\nstores: { replica: { url: /replica } }\nrules:\n  \
                      - { name: second, match: all, backup: replica }\n";

pub async fn library(home: &Path, clock: Arc<Hands>, replica: Arc<dyn Store>, steps: Steps) -> Arc<Library> {
    library_of(home, clock, POLICY, vec![Arc::new(Memory::new(LIBRARY_STORE)), replica], steps).await
}

pub async fn library_of(
    home: &Path,
    clock: Arc<Hands>,
    policy: &str,
    of: Vec<Arc<dyn Store>>,
    steps: Steps,
) -> Arc<Library> {
    let mut stores = Stores::default();
    of.into_iter().for_each(|store| stores.add(store));
    let queue = Arc::new(queue::Embedded::new(queue::Config::default()));
    Arc::new(Library {
        catalog: Arc::new(Sqlite::open(&home.join("catalog.db")).await.unwrap()),
        queue: queue.clone(),
        letters: queue,
        stores,
        policy: Arc::new(policy::parse(policy).unwrap()),
        media: tools(),
        clock,
        scratch: home.join("work"),
        fetched: Arc::new(worker::Fetched::new(home.into(), 0)),
        worker: "worker".into(),
        steps,
        lease: worker::LEASE,
        outdated: false.into(),
        full: false.into(),
        watched: Vec::new(),
        destinations: worker::Destinations::default(),
        alerts: Arc::new(alerts::Log),
    })
}

pub fn runner(library: &Arc<Library>, drain: Duration) -> Runner {
    Runner::new(
        library.clone(),
        Limits { threads: 2, memory: 1 << 30, disk: 1 << 40, drain, backlog: Some(256), walk_every: None },
    )
}

/// Brings in a file that is no recording: quickly probed, and copied like any other.
pub async fn ingest(library: &Arc<Library>, home: &Path) -> RecordingId {
    ingest_as(library, home, "note.txt").await
}

/// The same under another name.
pub async fn ingest_as(library: &Arc<Library>, home: &Path, name: &str) -> RecordingId {
    ingest_bytes(library, home, name, b"no recording at all").await
}

pub async fn ingest_bytes(library: &Arc<Library>, home: &Path, name: &str, bytes: &[u8]) -> RecordingId {
    let path = home.join(name);
    std::fs::write(&path, bytes).unwrap();
    let mut id = None;
    let found = Found { path, name: name.into() };
    Intake::new(library.clone(), Options::default())
        .take(futures::stream::iter([found]), |_, taken| match taken {
            Taken::New { id: new, .. } => id = Some(*new),
            other => panic!("{other:?}"),
        })
        .await
        .unwrap();
    id.expect("taken")
}

/// Waits for what the catalog says of a recording, letting a second pass between two looks.
pub async fn until(
    library: &Library,
    clock: &Hands,
    id: RecordingId,
    what: impl Fn(&Recording) -> bool,
) -> Recording {
    for _ in 0..3000 {
        let recording = library.catalog.get(id).await.unwrap().unwrap();
        if what(&recording) {
            return recording;
        }
        clock.pass(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not within a minute: {:?}", library.catalog.get(id).await.unwrap().unwrap());
}

/// On Linux every layer is there; elsewhere the ones that do not exist are done without.
fn tools() -> media::Tools {
    let report = sandbox::probe();
    let missing: Vec<_> = report.missing().map(|(layer, _)| layer).collect();
    assert!(missing.is_empty() || !cfg!(target_os = "linux"), "{missing:?}");
    let sandbox = sandbox::Sandbox::new(&missing).expect("a sandbox");
    media::Tools::new(sandbox, None, None, None).expect("ffmpeg: run `cargo xtask test`")
}
