//! Early notice from what shows only when everything is looked at: under a clock that the test holds in its hands.

mod support;

use std::{sync::Arc, time::Duration};

use catalog::BatchState;
use domain::{Alert, Clock as _, Severity, State};
use storage::{ErrorKind, Fault, Faulty, Key, Memory, Op, Put, Store, put_bytes};
use support::{Hands, ingest_as, library_of, runner, until};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use worker::{LIBRARY_STORE, Library, Steps, by_hand};

const HOUR: Duration = Duration::from_secs(60 * 60);

type Stored = Arc<Faulty<Memory>>;

struct Scene {
    home: tempfile::TempDir,
    clock: Arc<Hands>,
    own: Stored,
    replica: Stored,
    library: Arc<Library>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Scene {
    async fn set(policy: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let clock = Hands::new();
        let own: Stored = Arc::new(Faulty::new(Memory::new(LIBRARY_STORE).with_clock(clock.clone())));
        let replica: Stored = Arc::new(Faulty::new(Memory::new("replica").with_clock(clock.clone())));
        let stores: Vec<Arc<dyn Store>> = vec![own.clone(), replica.clone()];
        let library = library_of(home.path(), clock.clone(), policy, stores, Steps::default()).await;
        let stop = CancellationToken::new();
        let runner = runner(&library, Duration::from_secs(5));
        let running = tokio::spawn({
            let stop = stop.clone();
            async move { runner.run(stop).await }
        });
        // Before time goes by it has looked once.
        for name in ["survey", "drift"] {
            while library.catalog.bookmark(name).await.unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Self { home, clock, own, replica, library, stop, running }
    }

    async fn take(&self, name: &str) -> domain::Recording {
        let id = ingest_as(&self.library, self.home.path(), name).await;
        until(&self.library, &self.clock, id, |r| r.state == State::Unsupported).await
    }

    /// Hours go by one after the other, until an alert is raised under the key.
    async fn told(&self, key: &str, within: u32) -> Alert {
        for _ in 0..within {
            self.clock.pass(HOUR);
            tokio::time::sleep(Duration::from_millis(700)).await;
            let told = self.library.catalog.alerts(100).await.unwrap();
            if let Some(told) = told.into_iter().find(|told| told.alert.key == key) {
                return told.alert;
            }
        }
        panic!("not within {within} hours: {:?}", self.library.catalog.alerts(100).await.unwrap());
    }

    async fn keys(&self) -> Vec<String> {
        let told = self.library.catalog.alerts(100).await.unwrap();
        told.into_iter().map(|told| told.alert.key).collect()
    }

    async fn end(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

/// A backup that nobody makes is noticed before it is needed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_copies_are_told_of_after_a_day() {
    let s = Scene::set(
        "version: 1\nstores: { replica: { url: /replica } }\nprotect: { copies: { min: 2 } }\nrules: []\n",
    )
    .await;
    s.take("a.txt").await;
    s.clock.pass(22 * HOUR);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!s.keys().await.contains(&"copies/few".to_owned()), "it may come yet");
    let alert = s.told("copies/few", 8).await;
    assert_eq!(alert.subject, "1 recording with fewer than 2 verified copies");
    assert!(alert.cause.contains("a.txt ("), "{}", alert.cause);
    s.end().await;
}

const SECOND: &str = "
version: 1
stores: { replica: { url: /replica } }
rules: [{ name: second, match: all, backup: replica }]
";

/// What vanished, shrank or was put there by others is counted and told of, and nothing is touched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_drifts_from_the_catalog_is_told_of() {
    let s = Scene::set(SECOND).await;
    let mut all = Vec::new();
    for n in 0..4 {
        all.push(s.take(&format!("{n}.txt")).await);
    }
    for it in &all {
        while s.library.catalog.copies(it.id).await.unwrap().is_empty() {
            s.clock.pass(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let key = |n: usize| Key::parse(&all[n].key).unwrap();
    s.replica.inner().erase(&key(0), None).await.unwrap();
    put_bytes(s.replica.inner(), &key(1), "short", Put::default()).await.unwrap();
    // In a recording's folder, and none of its files: that is in order.
    let beside = Key::parse(&all[2].key.replace("source", "former")).unwrap();
    put_bytes(s.replica.inner(), &beside, "former", Put::default()).await.unwrap();
    let foreign = Key::parse("holidays/beach.mp4").unwrap();
    put_bytes(s.replica.inner(), &foreign, "sand and sea", Put::default()).await.unwrap();
    // A store that does not answer keeps nobody from looking at the other.
    let away = Fault::Fail { kind: ErrorKind::Unavailable, temporary: true };
    (1..200).for_each(|n| {
        s.own.on(Op::List, n, away);
    });
    s.clock.pass(26 * HOUR);
    let lost = s.told("drift/replica/missing", 30).await;
    assert_eq!(lost.severity, Severity::Critical);
    assert!(
        lost.cause.contains("1 not there (0.txt (") && lost.cause.contains("1 of another size (1.txt ("),
        "{lost:?}"
    );
    let extra = s.told("drift/replica/unowned", 1).await;
    assert_eq!(extra.subject, "1 object in replica that no recording owns");
    assert!(extra.cause.contains("12 bytes: holidays/beach.mp4"), "{}", extra.cause);
    assert_eq!(s.replica.inner().list("", None, 99).await.unwrap().len(), 5, "nothing is touched");
    assert!(!s.keys().await.iter().any(|key| key.contains(LIBRARY_STORE)));
    s.end().await;
}

/// What nobody does for three days is not archived, whatever was ordered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archiving_that_does_not_happen_is_told_of_after_three_days() {
    let s = Scene::set(SECOND).await;
    let it = s.take("a.txt").await;
    let now = s.clock.now();
    let batch = by_hand::batch("move", "ana", "a.txt", now);
    let facts = s.library.catalog.facts(it.id).await.unwrap().unwrap();
    let verb = by_hand::Verb::Move { store: "replica".into(), keep: HOUR };
    let job = verb.job(&s.library.policy, &batch, &facts, now).unwrap();
    s.library.catalog.order(&batch, &[], now).await.unwrap();
    s.library.catalog.set_batch(batch.id, BatchState::Paused, "ana", now).await.unwrap();
    s.library.catalog.order(&batch, &[job], now).await.unwrap();
    s.clock.pass(70 * HOUR);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let key = format!("transition-unconfirmed/{LIBRARY_STORE}");
    assert!(!s.keys().await.contains(&key), "it may be for tomorrow");
    let alert = s.told(&key, 6).await;
    assert_eq!(alert.subject, "1 transition in recordings not confirmed after 72 hours");
    assert!(alert.cause.contains("a.txt (") && alert.cause.contains("move replica"), "{}", alert.cause);
    s.end().await;
}

/// What killed writers left half is swept once a day, but for what a job of now may have begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_uploads_are_swept_once_a_day() {
    let s = Scene::set(SECOND).await;
    s.take("a.txt").await;
    for _ in 0..3 {
        s.clock.pass(9 * HOUR);
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    assert_eq!(s.own.calls(Op::SweepUploads), 2, "at the beginning, and a day later");
    assert_eq!(s.replica.calls(Op::SweepUploads), 1, "since it holds anything of ours");
    s.end().await;
}

/// What others have where we send files to is theirs: it is neither told of nor swept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_partner_has_is_the_partners() {
    let s = Scene::set(
        "version: 1\nstores: { replica: { url: /replica } }\nrules:\n  - { name: second, match: all, backup: replica }\n  \
         - { name: out, match: { tags: [share] }, export: replica }\n",
    )
    .await;
    let it = s.take("a.txt").await;
    while s.library.catalog.copies(it.id).await.unwrap().is_empty() {
        s.clock.pass(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let theirs = Key::parse("2026/11/talk.mp4").unwrap();
    put_bytes(s.replica.inner(), &theirs, "a talk", Put::default()).await.unwrap();
    s.replica.inner().erase(&Key::parse(&it.key).unwrap(), None).await.unwrap();
    s.clock.pass(26 * HOUR);
    s.told("drift/replica/missing", 30).await;
    assert!(!s.keys().await.contains(&"drift/replica/unowned".to_owned()));
    assert_eq!(s.replica.calls(Op::SweepUploads), 0);
    s.end().await;
}
