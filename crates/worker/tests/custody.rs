//! What goes, what stays, and where it lies: the whole flow under a clock that the test holds in its hands.

mod support;

use std::{sync::Arc, time::Duration};

use catalog::{Change, Changed, JobFilter};
use domain::{Clock as _, JobState, Outcome, Recording, RecordingId, State};
use storage::{ErrorKind, Fault, Faulty, Key, Memory, Op, Put, Store, put_bytes};
use support::{Hands, ingest_as, library_of, runner, until};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use worker::{LIBRARY_STORE, Library, Point, SEEN_POLICY, Steps, by_hand};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Gone after ten days, by way of the trash, and two verified copies until then.
const GONE: &str = "
version: 1
stores: { replica: { url: /replica } }
protect: { copies: { min: 2 }, trash: 2d, deletion: { max_percent: 50, floor: 3 } }
rules:
  - { name: second, match: all, backup: replica }
  - { name: court, match: { tags: [court] }, hold: { reason: litigation } }
  - { name: gone, match: { age: \">=10d\" }, delete: {} }
";

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
        Self::with(policy, Steps::default()).await
    }

    async fn with(policy: &str, steps: Steps) -> Self {
        let home = tempfile::tempdir().unwrap();
        let clock = Hands::new();
        let own: Stored = Arc::new(Faulty::new(Memory::new(LIBRARY_STORE)));
        let replica: Stored = Arc::new(Faulty::new(Memory::new("replica")));
        let stores: Vec<Arc<dyn Store>> = vec![own.clone(), replica.clone()];
        let library = library_of(home.path(), clock.clone(), policy, stores, steps).await;
        let (stop, running) = start(&library).await;
        Self { home, clock, own, replica, library, stop, running }
    }

    async fn take(&self, name: &str) -> RecordingId {
        let id = ingest_as(&self.library, self.home.path(), name).await;
        self.until(id, |r| r.state == State::Unsupported).await;
        id
    }

    async fn until(&self, id: RecordingId, what: impl Fn(&Recording) -> bool) -> Recording {
        until(&self.library, &self.clock, id, what).await
    }

    async fn get(&self, id: RecordingId) -> Recording {
        self.library.catalog.get(id).await.unwrap().unwrap()
    }

    /// What was done to it, oldest first.
    async fn story(&self, id: RecordingId) -> Vec<String> {
        let mut entries = self.library.catalog.audit(Some(id), 100).await.unwrap();
        entries.reverse();
        entries.into_iter().map(|e| e.what).collect()
    }

    async fn alerts(&self) -> Vec<String> {
        let told = self.library.catalog.alerts(100).await.unwrap();
        told.into_iter().map(|told| told.alert.key).collect()
    }

    /// Somebody has looked at the plan.
    async fn see(&self) {
        self.library.catalog.set_bookmark(SEEN_POLICY, Some(self.library.policy.hash())).await.unwrap();
    }

    async fn change(&self, id: RecordingId, change: Change) -> Changed {
        let now = self.clock.now();
        self.library.catalog.custody(&[id], &change, "ana", now).await.unwrap().remove(0)
    }

    /// Time goes by, a bit at a time, with the work that it brings.
    async fn pass(&self, time: Duration) {
        for _ in 0..8 {
            self.clock.pass(time / 8);
            tokio::time::sleep(Duration::from_millis(120)).await;
        }
    }

    async fn end(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

async fn start(library: &Arc<Library>) -> (CancellationToken, JoinHandle<()>) {
    let stop = CancellationToken::new();
    let runner = runner(library, Duration::from_secs(5));
    runner.recover().await.unwrap();
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { runner.run(stop).await }
    });
    (stop, running)
}

async fn held_by(store: &Stored) -> usize {
    store.inner().list("", None, 100).await.unwrap().len()
}

fn hold(name: &str) -> Change {
    Change::Hold { name: name.into(), reason: "case 12".into() }
}

/// Promise 8: plan -> limit -> trash -> purge. Nothing goes before somebody has seen the plan of the policy; every byte
/// stays until the trash's time is over; then every byte goes, with its proof.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_goes_by_way_of_the_trash_once_its_plan_was_seen() {
    let s = Scene::set(GONE).await;
    let id = s.take("a.txt").await;
    s.pass(11 * DAY).await;
    s.pass(DAY).await;
    assert_eq!(s.get(id).await.state, State::Unsupported, "nobody has seen what this policy deletes");
    assert!(s.alerts().await.iter().any(|key| key.starts_with("policy-unseen/")));
    s.see().await;
    s.pass(Duration::from_secs(20 * 60)).await;
    let trashed = s.until(id, |r| r.state == State::Trashed).await;
    assert!(trashed.reason.contains("undelete"), "{}", trashed.reason);
    assert_eq!((held_by(&s.own).await, held_by(&s.replica).await), (1, 1), "the trash keeps every byte");
    s.pass(DAY).await;
    assert_eq!(s.get(id).await.state, State::Trashed);
    s.pass(DAY + DAY / 2).await;
    s.until(id, |r| r.state == State::Deleted).await;
    assert_eq!((held_by(&s.own).await, held_by(&s.replica).await), (0, 0));

    let proof = s.library.catalog.certificates(Some(id), 10).await.unwrap().remove(0);
    assert_eq!((proof.rule.as_str(), proof.digest), ("gone", trashed.digest));
    let removed: Vec<_> = proof.objects.iter().map(|o| (o.store.as_str(), o.what.as_str())).collect();
    assert_eq!(removed, [(LIBRARY_STORE, "source"), ("replica", "copy")]);
    // Promise 11: the record of it was written before.
    let story = s.story(id).await;
    let at =
        |what: &str| story.iter().position(|w| w == what).unwrap_or_else(|| panic!("no {what}: {story:?}"));
    assert!(at("trash") < at("purge"), "{story:?}");
    assert_eq!(story.last().map(String::as_str), Some("record"), "what came of it: {story:?}");
    s.end().await;
}

/// Promise 2: a hold is absolute, also one that comes when everything else is decided.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_while_it_is_in_the_trash_is_not_purged() {
    let s = Scene::set(GONE).await;
    s.see().await;
    let id = s.take("a.txt").await;
    s.pass(11 * DAY).await;
    s.until(id, |r| r.state == State::Trashed).await;
    assert_eq!(s.change(id, hold("court")).await, Changed::Yes);
    s.pass(10 * DAY).await;
    assert_eq!(s.get(id).await.state, State::Trashed);
    assert_eq!((held_by(&s.own).await, held_by(&s.replica).await), (1, 1));
    assert_eq!(s.change(id, Change::Release { name: None }).await, Changed::Yes);
    s.until(id, |r| r.state == State::Deleted).await;
    assert!(matches!(s.change(id, hold("late")).await, Changed::Refused(_)));
    s.end().await;
}

/// A recording that a person brings back stays for as long as was said, and can be deleted again afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_brought_back_is_left_alone_for_a_while() {
    let s = Scene::set(GONE).await;
    s.see().await;
    let id = s.take("a.txt").await;
    s.pass(11 * DAY).await;
    s.until(id, |r| r.state == State::Trashed).await;
    let kept_until = s.clock.now() + 5 * DAY;
    assert_eq!(s.change(id, Change::Undelete { kept_until }).await, Changed::Yes);
    s.until(id, |r| r.state == State::Unsupported).await;
    s.pass(4 * DAY).await;
    assert_eq!(s.get(id).await.state, State::Unsupported);
    s.pass(2 * DAY).await;
    s.until(id, |r| r.state == State::Trashed).await;
    s.pass(3 * DAY).await;
    s.until(id, |r| r.state == State::Deleted).await;
    s.end().await;
}

/// Promise 8: over the limit nothing at all is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_over_the_limit_stays_whole() {
    let s = Scene::set(GONE).await;
    s.see().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(s.take(&format!("{n}.txt")).await);
    }
    // Five are due, three may go (half of five, and at least three).
    s.pass(12 * DAY).await;
    for id in &ids {
        assert_eq!(s.get(*id).await.state, State::Unsupported);
    }
    // On a busy machine the round may come late.
    for _ in 0..30 {
        if s.alerts().await.contains(&"deletion-limit".to_owned()) {
            break;
        }
        s.pass(Duration::from_secs(60)).await;
    }
    assert!(s.alerts().await.contains(&"deletion-limit".to_owned()));
    for id in &ids {
        assert_eq!(s.get(*id).await.state, State::Unsupported);
    }
    // Two are held: the others are within it.
    for id in &ids[..2] {
        assert_eq!(s.change(*id, hold("x")).await, Changed::Yes);
    }
    s.pass(DAY).await;
    for id in &ids[2..] {
        s.until(*id, |r| r.state == State::Trashed).await;
    }
    for id in &ids[..2] {
        assert_eq!(s.get(*id).await.state, State::Unsupported);
    }
    s.end().await;
}

/// A read error means that nothing is deleted: the purge is cut short, and completed when the store is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_that_is_cut_short_is_completed_and_its_certificate_is_whole() {
    let s = Scene::set(GONE).await;
    s.see().await;
    let id = s.take("a.txt").await;
    // The copy goes first, then the source: that fails twice.
    let away = Fault::Fail { kind: ErrorKind::Unavailable, temporary: true };
    s.own.on(Op::Delete, 1, away).on(Op::Delete, 2, away);
    s.pass(11 * DAY).await;
    s.until(id, |r| r.state == State::Trashed).await;
    s.pass(3 * DAY).await;
    s.until(id, |r| r.state == State::Deleted).await;
    assert_eq!((held_by(&s.own).await, held_by(&s.replica).await), (0, 0));
    let proof = s.library.catalog.certificates(Some(id), 10).await.unwrap().remove(0);
    let removed: Vec<_> = proof.objects.iter().map(|o| o.store.as_str()).collect();
    assert_eq!(removed, [LIBRARY_STORE, "replica"], "what an earlier try removed is named all the same");
    s.end().await;
}

const SAFE: &str = "
version: 1
stores: { replica: { url: /replica } }
protect: { copies: { min: 2 }, verify: 100% }
rules:
  - { name: second, match: all, backup: replica }
";

async fn damage(store: &Stored, text: &'static str) {
    let meta = store.inner().list("", None, 10).await.unwrap().remove(0);
    put_bytes(store.inner(), &meta.key, text, Put::default()).await.unwrap();
}

async fn text_in(store: &Stored, key: &str) -> String {
    let bytes = storage::read_all(store.inner(), &Key::foreign(key).unwrap(), 1 << 20).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Bytes rot; they are read back before anybody needs them, and replaced by a good copy's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_or_a_source_that_went_bad_is_found_and_repaired() {
    let s = Scene::set(SAFE).await;
    let id = s.take("a.txt").await;
    for (n, store) in [&s.replica, &s.own].into_iter().enumerate() {
        damage(store, "no recording at ALL").await;
        let bad = |key: &String| key.starts_with("bad:");
        for _ in 0..60 {
            s.pass(Duration::from_secs(4 * 60 * 60)).await;
            if text_in(store, &s.get(id).await.key).await == "no recording at all" {
                break;
            }
        }
        assert_eq!(text_in(store, &s.get(id).await.key).await, "no recording at all", "store {n}");
        assert!(s.alerts().await.iter().any(bad));
    }
    s.until(id, |r| r.custody.place.bad.is_none()).await;
    let copies = s.library.catalog.copies(id).await.unwrap();
    assert_eq!(copies.iter().map(|c| c.bad.clone()).collect::<Vec<_>>(), [None]);
    s.end().await;
}

/// Two reads that lied make the only copy bad, and nothing that is done by itself can say otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_has_what_was_found_bad_looked_at_again() {
    let s = Scene::set("version: 1\nprotect: { verify: 100% }\nrules: []\n").await;
    let id = s.take("a.txt").await;
    let now = s.clock.now();
    let order = |text: &str| (by_hand::batch("verify", "ana", text, now), s.library.catalog.clone());
    let verify = async |text: &str| {
        let (batch, catalog) = order(text);
        let facts = catalog.facts(id).await.unwrap().unwrap();
        let jobs = by_hand::verify(&batch, &facts, now).unwrap();
        assert_eq!(catalog.order(&batch, &jobs, now).await.unwrap(), 1);
    };
    s.own.on(Op::Get, 1, Fault::Flip { at: 3 }).on(Op::Get, 2, Fault::Flip { at: 3 });
    verify("lies").await;
    let bad = s.until(id, |r| r.custody.place.bad.is_some()).await;
    s.until(id, |r| r.state == State::Unsupported).await;
    verify("truth").await;
    let good = s.until(id, |r| r.custody.place.bad.is_none()).await;
    assert!(good.custody.place.verified_at >= bad.custody.place.verified_at);
    assert_eq!(s.story(id).await.iter().filter(|what| *what == "record").count(), 3, "probe, and both");
    s.end().await;
}

/// What a medium damaged on its way there, and nobody could remove, blocks that store for nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_backup_that_could_not_be_removed_is_not_in_the_way_of_the_next() {
    let s = Scene::set(GONE).await;
    let denied = Fault::Fail { kind: ErrorKind::Denied, temporary: false };
    s.replica.on(Op::Create, 1, Fault::Flip { at: 3 }).on(Op::Delete, 1, denied);
    let id = ingest_as(&s.library, s.home.path(), "a.txt").await;
    let mut left = s.replica.inner().list("", None, 9).await.unwrap();
    while left.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        left = s.replica.inner().list("", None, 9).await.unwrap();
    }
    for _ in 0..100 {
        s.pass(Duration::from_secs(8)).await;
        if !s.library.catalog.copies(id).await.unwrap().is_empty() {
            break;
        }
    }
    let copy = s.library.catalog.copies(id).await.unwrap().remove(0);
    assert!(copy.key.ends_with("/source.2.txt"), "{}", copy.key);
    assert_eq!(text_in(&s.replica, &copy.key).await, "no recording at all");
    assert_eq!(s.replica.inner().head(&left[0].key).await.unwrap(), left[0], "it is not touched");
    // Both go with the recording.
    s.see().await;
    s.pass(11 * DAY).await;
    s.until(id, |r| r.state == State::Trashed).await;
    s.pass(3 * DAY).await;
    s.until(id, |r| r.state == State::Deleted).await;
    assert_eq!((held_by(&s.own).await, held_by(&s.replica).await), (0, 0));
    s.end().await;
}

/// Every copy has its turn of being restored as if its recording were lost; what does not come back is told of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_are_restored_on_trial_in_their_turn() {
    let policy = SAFE.replace("verify: 100%", "verify: 0%, drills: 100%");
    let s = Scene::set(&policy).await;
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(s.take(&format!("{n}.txt")).await);
    }
    let drills = async |id| -> Vec<Option<String>> {
        let filter = JobFilter { recording: Some(id), ..JobFilter::default() };
        let ended = s.library.catalog.ended(&filter, None, 99).await.unwrap();
        let failed = ended.into_iter().filter_map(|e| match e.outcome {
            Some(Outcome::Drilled { store, failed, .. }) => {
                assert_eq!(store, "replica");
                Some(failed)
            }
            _ => None,
        });
        failed.collect()
    };
    let (fetched, told) = (s.replica.calls(Op::Get), s.alerts().await);
    // All of them within a month.
    for _ in 0..4 {
        s.pass(10 * DAY).await;
    }
    for id in &ids {
        let drills = drills(*id).await;
        assert!(!drills.is_empty() && drills.iter().all(Option::is_none), "{drills:?}");
    }
    assert!(s.replica.calls(Op::Get) >= fetched + 3, "all of it is fetched");
    assert_eq!(s.alerts().await, told);
    for meta in s.replica.inner().list("", None, 9).await.unwrap() {
        put_bytes(s.replica.inner(), &meta.key, "no recording at ALL", Put::default()).await.unwrap();
    }
    for _ in 0..4 {
        s.pass(10 * DAY).await;
    }
    for id in &ids {
        let last = drills(*id).await.pop().flatten().expect("a drill that failed");
        assert!(last.contains("were accepted"), "{last}");
        assert!(s.alerts().await.contains(&format!("drill:{id}:replica")));
    }
    s.end().await;
}

/// A second of silence: 8,000 samples of 16 bits.
fn silence() -> Vec<u8> {
    let data = vec![0; 16_000];
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + data.len() as u32).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data");
    wav.extend((data.len() as u32).to_le_bytes());
    wav.extend(data);
    wav
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_plays_is_seen_to_play_when_it_is_restored_on_trial() {
    let s = Scene::set(&SAFE.replace("verify: 100%", "verify: 0%, drills: 100%")).await;
    let id = support::ingest_bytes(&s.library, s.home.path(), "a.wav", &silence()).await;
    let ready = s.until(id, |r| r.state == State::Ready).await;
    assert_eq!(ready.media().map(|m| m.duration_ms), Some(1_000));
    let filter = JobFilter { recording: Some(id), ..JobFilter::default() };
    let mut drilled = None;
    for _ in 0..12 {
        s.pass(10 * DAY).await;
        let ended = s.library.catalog.ended(&filter, None, 99).await.unwrap();
        drilled = ended.into_iter().find(|e| e.job.spec.action.verb() == "drill");
        if drilled.is_some() {
            break;
        }
    }
    let outcome = drilled.and_then(|e| e.outcome);
    assert!(matches!(outcome, Some(Outcome::Drilled { failed: None, .. })), "{outcome:?}");
    s.end().await;
}

const MOVES: &str = "
version: 1
stores: { replica: { url: /replica } }
rules:
  - { name: cold, match: { age: \">=10d\" }, move: { to: replica, keep: 5d } }
";

/// Promise 1 over a migration: copied, verified, switched, and only then removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_keeps_the_way_back_open_and_then_removes_what_was_left() {
    let s = Scene::set(MOVES).await;
    let id = s.take("a.txt").await;
    assert_eq!((held_by(&s.own).await, held_by(&s.replica).await), (1, 0));
    s.pass(11 * DAY).await;
    let moved = s.until(id, |r| r.store == "replica").await;
    assert_eq!((held_by(&s.own).await, held_by(&s.replica).await), (1, 1));
    assert_eq!(text_in(&s.replica, &moved.key).await, "no recording at all");
    // A hold keeps what was left, too.
    s.change(id, hold("x")).await;
    s.pass(6 * DAY).await;
    assert_eq!(held_by(&s.own).await, 1);
    s.change(id, Change::Release { name: None }).await;
    for _ in 0..20 {
        s.pass(Duration::from_secs(60 * 60)).await;
        if held_by(&s.own).await == 0 {
            break;
        }
    }
    assert_eq!((held_by(&s.own).await, held_by(&s.replica).await), (0, 1));
    assert!(s.library.catalog.copies(id).await.unwrap().is_empty());
    s.end().await;
}

/// Promise 2: the hold comes between the move's last question and the catalog's switch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_that_comes_in_the_last_moment_of_a_move_wins() {
    // The worker says that it has asked for the last time, and waits until the hold is in the catalog.
    let (asked, is_asked) = std::sync::mpsc::channel();
    let (held, is_held) = std::sync::mpsc::channel::<()>();
    let is_held = std::sync::Mutex::new(is_held);
    let steps = Steps::new(move |point| {
        if point == Point::MoveVerified && asked.send(()).is_ok() {
            // An error: the hold is there, and the other end is gone.
            let _ = tokio::task::block_in_place(|| is_held.lock().unwrap().recv());
        }
    });
    let s = Scene::with(MOVES, steps).await;
    let id = s.take("a.txt").await;
    s.pass(11 * DAY).await;
    while is_asked.try_recv().is_err() {
        s.pass(Duration::from_secs(1)).await;
    }
    assert_eq!(s.change(id, hold("court")).await, Changed::Yes);
    // From here on nobody waits, and nobody is told.
    drop((held, is_asked));
    s.pass(DAY).await;
    let found = s.get(id).await;
    assert_eq!((found.store.as_str(), s.library.catalog.copies(id).await.unwrap()), (LIBRARY_STORE, vec![]));
    assert_eq!((held_by(&s.own).await, held_by(&s.replica).await), (1, 1), "nothing is lost");
    let filter = JobFilter { recording: Some(id), ..JobFilter::default() };
    let jobs = s.library.catalog.jobs(&filter, 10).await.unwrap();
    let moved = jobs.iter().find(|j| j.spec.action.verb() == "move").expect("a move");
    let failure = moved.error.as_ref().expect("it failed");
    assert!(failure.message.contains("held by `court` (case 12, placed by ana)"), "{failure}");
    assert_eq!(
        (moved.state, moved.failures),
        (JobState::Cancelled, 1),
        "nobody asks for it while it is held"
    );
    // Once it is released, what was written by then is found and serves.
    assert_eq!(s.change(id, Change::Release { name: None }).await, Changed::Yes);
    s.until(id, |r| r.store == "replica").await;
    assert_eq!((held_by(&s.own).await, held_by(&s.replica).await), (1, 1));
    s.end().await;
}

/// 19 bytes a file: the store holds five of them, and room is made from four on, down to two.
const ROOM: &str = "
version: 1
stores: { replica: { url: /replica }, recordings: { capacity: 100B } }
protect: { copies: { min: 1 }, trash: 1d, deletion: { floor: 100 } }
rules:
  - { name: second, match: all, backup: replica }
  - name: room
    match: { prefix: cam }
    watermark: { store: recordings, high: 70%, low: 40%, for: 10m, order: [oldest] }
    delete: { trash: 1d }
";

/// ZoneMinder #1597: reclaiming is asynchronous, and whoever forgets what is on its way out deletes too much.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_is_made_once_and_no_more_than_is_needed() {
    let s = Scene::set(ROOM).await;
    s.see().await;
    let keep = s.take("keep.txt").await;
    let mut cams = Vec::new();
    for n in 0..3 {
        s.pass(Duration::from_secs(60)).await;
        cams.push(s.take(&format!("cam{n}.txt")).await);
    }
    // 76 of 100 bytes; the oldest two bring it to 38.
    for _ in 0..10 {
        s.pass(Duration::from_secs(20 * 60)).await;
    }
    let mut states = Vec::new();
    for id in &cams {
        states.push(s.get(*id).await.state);
    }
    assert_eq!(states, [State::Trashed, State::Trashed, State::Unsupported]);
    assert_eq!(s.get(keep).await.state, State::Unsupported);
    s.pass(2 * DAY).await;
    s.until(cams[1], |r| r.state == State::Deleted).await;
    assert_eq!(s.get(cams[2]).await.state, State::Unsupported, "what is left is below the mark");
    s.end().await;
}

#[test]
fn the_policies_of_these_tests_check() {
    for text in [GONE, SAFE, MOVES, ROOM] {
        policy::parse(text).unwrap_or_else(|e| panic!("{text}\n{}", e.in_file("policy")));
    }
}
