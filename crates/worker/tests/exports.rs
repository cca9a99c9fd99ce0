//! Files leave for destinations that fail on cue, under a clock that the test holds in its hands.

mod support;

use std::{path::PathBuf, sync::Arc, time::Duration};

use catalog::JobFilter;
use domain::{Arrival, Clock as _, Companion, Job, JobState, Outcome, RecordingId, Timestamp};
use policy::{Policy, Terms, Wish};
use storage::{Memory, Store as _};
use support::{Hands, ingest_as, library_of, runner, until};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use transfer::{Destination, ErrorKind, Fault, Faulty, Folder, Op, Presence};
use worker::{
    Destinations, LIBRARY_STORE, Library, Point, Steps, by_hand,
    import::{Came, Import},
};

type There = Arc<Faulty<Folder>>;

const HOUR: Duration = Duration::from_secs(60 * 60);

struct Scene {
    home: tempfile::TempDir,
    clock: Arc<Hands>,
    own: Arc<Memory>,
    partner: There,
    library: Arc<Library>,
    stop: CancellationToken,
    running: Option<JoinHandle<()>>,
}

const POLICY: &str = "version: 1\nstores:\n  replica: { url: /replica }\n  partner: { url: /partner, connections: 1HOURS }\n  \
                      quick: { url: /quick, connections: 1 }\nrules:\n  - { name: second, match: all, backup: replica }\n";

impl Scene {
    async fn set(hours: &str, hook: impl Fn(Point, &Hands) + Send + Sync + 'static) -> Self {
        Self::by(&POLICY.replace("HOURS", hours), hook).await
    }

    async fn by(text: &str, hook: impl Fn(Point, &Hands) + Send + Sync + 'static) -> Self {
        let home = tempfile::tempdir().unwrap();
        let clock = Hands::new();
        let own = Arc::new(Memory::new(LIBRARY_STORE).with_clock(clock.clone()).with_classes());
        let steps = Steps::new({
            let clock = clock.clone();
            move |point| hook(point, &clock)
        });
        let stores: Vec<Arc<dyn storage::Store>> = vec![own.clone(), Arc::new(Memory::new("replica"))];
        let mut library = library_of(home.path(), clock.clone(), text, stores, steps).await;
        let partner = there(home.path().join("partner"), "partner");
        let quick = there(home.path().join("quick"), "quick");
        let mut all = Destinations::default();
        let policy = library.policy.clone();
        for (name, to) in [("partner", &partner), ("quick", &quick)] {
            let to: Arc<dyn Destination> = to.clone();
            let open = move || -> futures::future::BoxFuture<'static, _> {
                let to = to.clone();
                Box::pin(async move { Ok(to) })
            };
            all.add(name, &terms(&policy, name), Box::new(open));
        }
        Arc::get_mut(&mut library).expect("nobody else has it yet").destinations = all;
        Self { home, clock, own, partner, library, stop: CancellationToken::new(), running: None }
    }

    fn run(&mut self) {
        let (runner, stop) = (runner(&self.library, Duration::from_secs(5)), self.stop.clone());
        self.running = Some(tokio::spawn(async move { runner.run(stop).await }));
    }

    async fn take(&self, name: &str) -> RecordingId {
        ingest_as(&self.library, self.home.path(), name).await
    }

    async fn order(&self, ids: &[RecordingId], wish: &Wish) {
        let (catalog, now) = (&self.library.catalog, self.clock.now());
        let batch = by_hand::batch("export", "ana", &format!("{ids:?}"), now);
        for id in ids {
            let facts = catalog.facts(*id).await.unwrap().unwrap();
            let policy: &Policy = &self.library.policy;
            let (jobs, _) = by_hand::export(policy, &batch, &facts, wish, None, now).unwrap();
            catalog.order(&batch, &jobs, now).await.unwrap();
        }
    }

    async fn exports(&self) -> Vec<Job> {
        let jobs = self.library.catalog.jobs(&JobFilter::default(), 100).await.unwrap();
        jobs.into_iter().filter(|job| job.spec.action.verb() == "export").collect()
    }

    /// Lets a second pass between two looks.
    async fn until(&self, what: impl Fn(&[Job]) -> bool) -> Vec<Job> {
        for _ in 0..1500 {
            let jobs = self.exports().await;
            if what(&jobs) {
                return jobs;
            }
            self.clock.pass(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("not within half a minute: {:#?}", self.exports().await);
    }

    /// Of the only export that is done.
    async fn outcome(&self, job: &Job) -> Vec<(String, Arrival)> {
        let filter = JobFilter { recording: Some(job.spec.recording), ..JobFilter::default() };
        let ended = self.library.catalog.ended(&filter, None, 100).await.unwrap();
        let outcome = ended.into_iter().find(|e| e.job.spec.id == job.spec.id).unwrap().outcome;
        let Some(Outcome::Exported { files, .. }) = outcome else { panic!("{outcome:?}") };
        files.into_iter().map(|file| (file.name, file.arrival)).collect()
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.home.path().join("partner").join(name)).unwrap()
    }

    async fn end(self) {
        self.stop.cancel();
        if let Some(running) = self.running {
            running.await.unwrap();
        }
    }
}

fn there(path: PathBuf, name: &str) -> There {
    std::fs::create_dir(&path).unwrap();
    Arc::new(Faulty::new(Folder::new(name, path, Presence::Exists)))
}

fn terms(policy: &Policy, name: &str) -> Terms {
    policy.stores()[name].terms.clone()
}

fn wish(to: &str, with: &[Companion]) -> Wish {
    Wish {
        name: Some("{name}.{ext}".parse().unwrap()),
        with: with.iter().copied().collect(),
        ..Wish::new(to)
    }
}

fn is(job: &Job, state: JobState) -> bool {
    job.state == state
}

/// Whatever happens on the way, it arrives whole and once: a cut, an answer that is lost, a bit that flips.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trouble_on_the_way_is_tried_again_until_it_has_arrived() {
    let faults = [
        (Op::Put, Fault::Cut { after: 5 }),
        (Op::Put, Fault::ReplyLost),
        (Op::Put, Fault::Flip { at: 3 }),
        (Op::Stat, Fault::Fail { kind: ErrorKind::Unavailable, temporary: true }),
    ];
    for (op, fault) in faults {
        let mut scene = Scene::set("", |_, _| {}).await;
        let id = scene.take("note.txt").await;
        scene.order(&[id], &wish("partner", &[])).await;
        scene.partner.on(op, 1, fault);
        scene.run();
        let jobs = scene.until(|jobs| is(&jobs[0], JobState::Done)).await;
        assert_eq!(jobs[0].failures, 1, "{fault:?}");
        let (name, arrival) = scene.outcome(&jobs[0]).await.remove(0);
        let expected = if fault == Fault::ReplyLost { Arrival::Already } else { Arrival::Sent };
        assert_eq!((name.as_str(), arrival), ("note.txt", expected), "{fault:?}");
        assert_eq!(scene.text("note.txt"), "no recording at all", "{fault:?}");
        let left = std::fs::read_dir(scene.home.path().join("partner")).unwrap().count();
        assert_eq!(left, 1, "{fault:?}: something partial is left");
        scene.end().await;
    }
}

/// What does not pass by itself is not tried again: a person has to do something, and is told what.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_let_in_does_not_knock_again_and_again() {
    let mut scene = Scene::set("", |_, _| {}).await;
    let id = scene.take("note.txt").await;
    scene.order(&[id], &wish("partner", &[])).await;
    scene.partner.on(Op::Stat, 1, Fault::Fail { kind: ErrorKind::Denied, temporary: false });
    scene.run();
    let jobs = scene.until(|jobs| is(&jobs[0], JobState::Parked)).await;
    assert_eq!(jobs[0].failures, 1);
    assert!(jobs[0].error.as_ref().unwrap().message.contains("partner"), "{:?}", jobs[0].error);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_copy_leaves_where_the_home_has_lost_it() {
    let mut scene = Scene::set("", |_, _| {}).await;
    scene.run();
    let id = scene.take("note.txt").await;
    let it = until(&scene.library, &scene.clock, id, |r| r.state.is_terminal()).await;
    let key = storage::Key::parse(&it.key).unwrap();
    let version = scene.own.head(&key).await.unwrap().version;
    scene.own.delete(&key, &version).await.unwrap();
    scene.order(&[id], &wish("partner", &[])).await;
    scene.until(|jobs| is(&jobs[0], JobState::Done)).await;
    assert_eq!(scene.text("note.txt"), "no recording at all");
    scene.end().await;
}

/// What a bucket's rules have moved before we looked has no other copy to leave from: it is restored, as its rule says, and leaves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sank_unseen_is_restored_and_leaves() {
    let rules = "  - { name: out, match: { tags: wanted }, export: { to: partner, as: '{name}.{ext}' }, cold: restore }
  - { name: wanted, match: { age: '>=1h' }, tag: wanted }\n";
    let rules_of_it = POLICY.find("rules:\n").unwrap() + "rules:\n".len();
    let mut s = Scene::by(&format!("{}{rules}", POLICY[..rules_of_it].replace("HOURS", "")), |_, _| {}).await;
    s.run();
    let id = s.take("a.txt").await;
    let it = until(&s.library, &s.clock, id, |r| r.state == domain::State::Unsupported).await;
    s.own.change_class(&storage::Key::parse(&it.key).unwrap(), Some("DEEP_ARCHIVE"));
    s.clock.pass(HOUR);
    let is_restored =
        |r: &domain::Recording| r.custody.place.cold.as_ref().is_some_and(|c| c.restore.is_some());
    until(&s.library, &s.clock, id, is_restored).await;
    for _ in 0..60 {
        s.clock.pass(HOUR);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let jobs = s.until(|jobs| jobs.iter().any(|job| job.state == JobState::Done)).await;
    assert_eq!((jobs.len(), s.text("a.txt").as_str()), (1, "no recording at all"));
    s.end().await;
}

/// One destination has no connection free for as long as its server does not answer. Whoever goes there is given back, without blame,
/// and what goes elsewhere goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_that_does_not_answer_holds_up_nobody_else() {
    let mut scene = Scene::set("", |_, _| {}).await;
    let mut ids = Vec::new();
    // More than there is room for jobs that wait.
    for n in 0..20 {
        ids.push(scene.take(&format!("note-{n:02}.txt")).await);
    }
    scene.partner.on(Op::Put, 1, Fault::Hang);
    scene.order(&ids, &wish("partner", &[])).await;
    scene.run();
    scene.until(|jobs| jobs.iter().any(|job| is(job, JobState::Running))).await;
    scene.order(&ids[..2], &wish("quick", &[])).await;
    let to = |job: &Job, to: &str| job.spec.action.label().ends_with(to);
    // Whoever finds no connection is claimed for a moment.
    let count = |jobs: &[Job], which: &str, state: JobState| {
        jobs.iter().filter(|job| to(job, which) && is(job, state)).count()
    };
    let jobs = scene.until(|jobs| {
        let slow = [JobState::Running, JobState::Pending].map(|state| count(jobs, "partner", state));
        count(jobs, "quick", JobState::Done) == 2 && slow == [1, 19]
    });
    let jobs = jobs.await;
    let waiting = jobs.iter().filter(|job| is(job, JobState::Pending));
    assert!(waiting.clone().all(|job| job.failures == 0 && job.attempts == 0), "{jobs:#?}");
    scene.stop.cancel();
    scene.running.take().unwrap().abort();
}

/// Between two files of one job the partner's hours end: the rest follows when they begin again, and what is there stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hours_that_end_in_the_middle_are_kept() {
    // The clock begins at 2027-01-15T08:00:00Z.
    let passed = std::sync::atomic::AtomicBool::new(false);
    let mut scene = Scene::set(", hours: \"07:00-09:00 UTC\"", move |point, clock| {
        if point == Point::ExportMidway && !passed.swap(true, std::sync::atomic::Ordering::SeqCst) {
            clock.pass(Duration::from_secs(2 * 3600));
        }
    })
    .await;
    let id = scene.take("note.txt").await;
    scene.order(&[id], &wish("partner", &[Companion::Json])).await;
    scene.run();
    let tomorrow: Timestamp = "2027-01-16T07:00:00Z".parse().unwrap();
    let jobs = scene.until(|jobs| is(&jobs[0], JobState::Pending) && jobs[0].run_after == tomorrow).await;
    assert_eq!((jobs[0].attempts, jobs[0].failures), (0, 0));
    assert_eq!(std::fs::read_dir(scene.home.path().join("partner")).unwrap().count(), 1);
    scene.clock.pass(tomorrow.since(scene.clock.now()));
    let jobs = scene.until(|jobs| is(&jobs[0], JobState::Done)).await;
    let files = scene.outcome(&jobs[0]).await;
    let expected = [("note.txt", Arrival::Already), ("note.json", Arrival::Sent)];
    assert_eq!(files, expected.map(|(name, arrival)| (name.to_owned(), arrival)));
    scene.end().await;
}

/// By two routes one file leaves once: that the hours of the one end while it is on its way there is no reason to send it by the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_was_taken_is_kept() {
    let rule =
        "rules:\n  - { name: out, match: all, export: { to: [partner, quick], as: \"{name}.{ext}\" } }\n";
    let policy = POLICY.replace("HOURS", ", hours: \"07:00-09:00 UTC\"");
    let (stores, _) = policy.split_once("rules:").unwrap();
    let mut scene = Scene::by(&format!("{stores}{rule}"), |_, _| {}).await;
    // Ten seconds to nine.
    scene.clock.pass(Duration::from_secs(59 * 60 + 50));
    scene.partner.on(Op::Put, 1, Fault::Hang);
    scene.run();
    scene.take("note.txt").await;
    // A job that has begun and not sent anything yet would be given back, and rightly go by the other.
    let is_on_its_way = async |scene: &Scene| {
        for _ in 0..500 {
            if scene.partner.calls(Op::Put) > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{:#?}", scene.exports().await);
    };
    is_on_its_way(&scene).await;
    scene.clock.pass(Duration::from_secs(20));
    // What the hour has changed is decided on.
    for _ in 0..500 {
        if scene.library.catalog.to_decide(scene.clock.now(), None, 1).await.unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let exports = scene.exports().await;
    let to: Vec<_> = exports.iter().map(|job| (job.spec.action.label(), job.state)).collect();
    assert_eq!(to, [("export source to partner".to_owned(), JobState::Running)], "{exports:#?}");
    scene.stop.cancel();
    scene.running.take().unwrap().abort();
}

/// A manifest is a stranger's: names in it lead nowhere, what it says of bytes is compared, and one mistake keeps the rest from nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_manifest_takes_in_nothing_but_what_it_says() {
    let scene = Scene::set("", |_, _| {}).await;
    let there = scene.home.path().join("partner");
    std::fs::write(there.join("good.txt"), "hello").unwrap();
    std::fs::write(scene.home.path().join("secret.txt"), "hello").unwrap();
    let mut hasher = domain::Hasher::new();
    hasher.update(b"hello");
    let sha256 = hasher.finish().sha256;
    let line = |name: &str, file: &str, bytes: u64, sha256: &str| {
        let id = RecordingId::derive(&[name.as_bytes(), file.as_bytes()]);
        serde_json::json!({
            "line": "file", "recording": id, "title": "a\u{1b}[2Jtitle", "name": name, "kind": "recording", "session": null,
            "recorded_at": "2025-03-01T09:00:00Z", "accepted_at": null, "tags": ["legal"], "to": "partner",
            "rendition": "source", "state": "done", "role": "media", "file": file, "bytes": bytes, "sha256": sha256,
            "arrival": "sent", "checked": "size", "why": null,
        })
    };
    let hash = sha256.to_string();
    let mut lines = vec![
        serde_json::json!({ "line": "manifest", "version": 1, "batch": catalog::BatchId::derive(&[b"x"]),
            "ordered_at": null, "ordered_by": null, "of": null }),
        line("../../good\u{1b}.txt", "good.txt", 5, &hash),
        line("out.txt", "../secret.txt", 5, &hash),
        line("gone.txt", "nowhere.txt", 5, &hash),
        line("size.txt", "good.txt", 6, &hash),
        line("hash.txt", "good.txt", 5, &"0".repeat(64)),
    ];
    let files = lines.len() as u64 - 1;
    lines.push(serde_json::json!({ "line": "end", "lines": files, "files": files, "bytes": 0, "failed": 0, "cancelled": 0 }));
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(there.join("videorec-export-x.jsonl"), text).unwrap();

    let from = scene.library.destinations.get("partner").await.unwrap();
    let name = Import::manifests(&*from).await.unwrap().remove(0);
    let import = Import::open(scene.library.clone(), from, name).await.unwrap();
    assert!(!import.hashed, "no hash lies beside it");
    let mut came = Vec::new();
    import.run(|name, what| came.push((name.to_owned(), what.clone()))).await.unwrap();
    let (name, first) = came.remove(0);
    assert_eq!(name, "good%1B.txt");
    let Came::New { id } = first else { panic!("{first:?}") };
    let it = scene.library.catalog.get(id).await.unwrap().unwrap();
    assert_eq!((it.digest.sha256, it.name.as_str()), (sha256, "good%1B.txt"));
    assert!(!it.title.contains('\u{1b}') && it.tags.contains("legal") && it.recorded_at.is_some(), "{it:?}");
    assert_eq!(came.len(), 4);
    assert!(came.iter().all(|(_, what)| matches!(what, Came::Failed { .. })), "{came:?}");
    drop(import);
    let left = std::fs::read_dir(scene.home.path().join("work")).unwrap().count();
    assert_eq!(left, 0, "what was fetched is left lying about");
}
