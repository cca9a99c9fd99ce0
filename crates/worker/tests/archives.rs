//! What sinks, by whose hand and whether it stays there; and what was made and is gone. Under a clock that the test holds.

mod support;

use std::{sync::Arc, time::Duration};

use catalog::{Change, JobFilter, Retry, Trashed};
use domain::{
    Alert, Clock as _, Facts, JobState, Recording, RecordingId, Severity, Speed, State, Transition, Way,
};
use storage::{ErrorKind, Fault, Faulty, Key, LifecycleRule, Memory, Op, Store, read_all};
use support::{Hands, ingest_bytes, library_of, runner, until};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use worker::{LIBRARY_STORE, Library, Steps, by_hand};

const HOUR: Duration = Duration::from_secs(60 * 60);
const TAG: &str = "videorec-archive";

struct Scene {
    home: tempfile::TempDir,
    clock: Arc<Hands>,
    own: Arc<Faulty<Memory>>,
    library: Arc<Library>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Scene {
    async fn set(rules: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let clock = Hands::new();
        let own = Memory::new(LIBRARY_STORE).with_clock(clock.clone()).with_classes();
        let own = Arc::new(Faulty::new(own));
        let attic = Memory::new("attic").with_clock(clock.clone()).with_classes();
        let policy = format!("version: 1\nstores: {{ attic: {{ url: /attic }} }}\nrules:\n{rules}");
        let stores: Vec<Arc<dyn Store>> = vec![own.clone(), Arc::new(attic)];
        let library = library_of(home.path(), clock.clone(), &policy, stores, Steps::default()).await;
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
        Self { home, clock, own, library, stop, running }
    }

    /// No recording, and as large as lifecycle rules want it.
    async fn take(&self, name: &str) -> RecordingId {
        ingest_bytes(&self.library, self.home.path(), name, &[b'x'; 128 << 10]).await
    }

    async fn until(&self, id: RecordingId, what: impl Fn(&Recording) -> bool) -> Recording {
        until(&self.library, &self.clock, id, what).await
    }

    /// Hours go by, with the work that they bring.
    async fn pass(&self, hours: u32) {
        for _ in 0..hours {
            self.clock.pass(HOUR);
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    }

    async fn tags(&self, it: &Recording) -> storage::Tags {
        self.own.inner().tags(&key(it)).await.unwrap()
    }

    async fn alert(&self, key: &str) -> Option<Alert> {
        let told = self.library.catalog.alerts(100).await.unwrap();
        told.into_iter().map(|told| told.alert).find(|alert| alert.key == key)
    }

    /// Hours go by one after the other, until an alert is raised under the key.
    async fn told(&self, key: &str, within: u32) -> Alert {
        for _ in 0..within {
            self.clock.pass(HOUR);
            tokio::time::sleep(Duration::from_millis(700)).await;
            if let Some(alert) = self.alert(key).await {
                return alert;
            }
        }
        panic!("not within {within} hours: {:?}", self.library.catalog.alerts(100).await.unwrap());
    }

    async fn jobs(&self, id: RecordingId, label: &str) -> Vec<domain::Job> {
        let filter = JobFilter { recording: Some(id), ..JobFilter::default() };
        let jobs = self.library.catalog.jobs(&filter, 200).await.unwrap();
        jobs.into_iter().filter(|job| job.spec.action.label() == label).collect()
    }

    async fn order(&self, id: RecordingId, verb: &by_hand::Verb) {
        let now = self.clock.now();
        let batch = by_hand::batch(verb.name(), "ana", "a.txt", now);
        let facts = self.library.catalog.facts(id).await.unwrap().unwrap();
        let job = verb.job(&self.library.policy, &batch, &facts, now).unwrap();
        self.library.catalog.order(&batch, &[job], now).await.unwrap();
    }

    async fn trash(&self, id: RecordingId, keep: Duration) {
        let (catalog, policy, now) = (&self.library.catalog, &self.library.policy, self.clock.now());
        let facts = catalog.facts(id).await.unwrap().unwrap();
        let trashing = by_hand::trash(policy, &facts, "ana", "a mistake", Some(keep), now).unwrap();
        let trashed = catalog.trash(&[trashing], &policy.protect().deletion, now).await.unwrap();
        assert!(matches!(trashed, Trashed::Done { .. }), "{trashed:?}");
    }

    async fn end(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

fn key(it: &Recording) -> Key {
    Key::parse(&it.key).unwrap()
}

/// As `videorec policy lifecycle` prints it.
fn rule_of_the_bucket() -> LifecycleRule {
    LifecycleRule {
        tags: [(TAG.to_owned(), "DEEP_ARCHIVE".to_owned())].into(),
        classes: vec!["DEEP_ARCHIVE".into()],
        ..LifecycleRule::default()
    }
}

const SINKS: &str = "  - { name: cold, match: { size: '>=128KiB', tags: { none: [warm] } }, archive: { class: DEEP_ARCHIVE, by: lifecycle } }\n";

fn is_awaited(it: &Recording) -> bool {
    it.custody.place.transition.is_some()
}

/// A bucket without the rule would never archive anything: the job says which one to add. Then the object is tagged, and once
/// the bucket has moved it, it is cold; meanwhile it is read like any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_to_the_bucket_is_archived_when_the_bucket_does_it() {
    let s = Scene::set(SINKS).await;
    let id = s.take("a.txt").await;
    let filter = JobFilter { states: vec![JobState::Parked], ..JobFilter::default() };
    let parked = loop {
        if let Some(job) = s.library.catalog.jobs(&filter, 1).await.unwrap().pop() {
            break job;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let why = parked.error.unwrap().message;
    let snippet = r#"{"Filter":{"Tag":{"Key":"videorec-archive","Value":"DEEP_ARCHIVE"}},"ID":"videorec-archive-DEEP_ARCHIVE","Status":"Enabled","Transitions":[{"Days":0,"StorageClass":"DEEP_ARCHIVE"}]}"#;
    assert!(why.contains(snippet) && why.contains("videorec retry"), "{why}");
    let it = s.library.catalog.get(id).await.unwrap().unwrap();
    assert_eq!(s.tags(&it).await, storage::Tags::new(), "no tag that nobody looks for");

    s.own.inner().set_lifecycle(vec![rule_of_the_bucket()]);
    s.own.inner().set_tags(&key(&it), &[("team".to_owned(), "red".to_owned())].into()).await.unwrap();
    s.library.catalog.retry(Retry::Recording(id), s.clock.now()).await.unwrap();
    let it = s.until(id, is_awaited).await;
    let Some(Transition { class, looks: 0, .. }) = &it.custody.place.transition else { panic!("{it:?}") };
    assert_eq!(class, "DEEP_ARCHIVE");
    let tags = s.tags(&it).await;
    assert_eq!((tags.get(TAG).map(String::as_str), tags.len()), (Some("DEEP_ARCHIVE"), 2), "{tags:?}");
    let it = s.until(id, |r| r.state == State::Unsupported).await;
    assert!(it.custody.is_readable(s.clock.now()));
    assert_eq!(read_all(s.own.inner(), &key(&it), 1 << 20).await.unwrap().len(), 128 << 10);

    // Not yet: it goes on waiting. Then the bucket does it.
    s.pass(7).await;
    let it = s.until(id, |r| r.custody.place.transition.as_ref().is_some_and(|t| t.looks == 1)).await;
    assert_eq!(it.custody.place.class, None);
    assert_eq!(s.own.inner().follow_lifecycle(), 1);
    s.pass(12).await;
    let it = s.until(id, |r| r.custody.place.cold.is_some()).await;
    let place = &it.custody.place;
    assert_eq!(
        (place.class.as_deref(), &place.transition, &place.strayed),
        (Some("DEEP_ARCHIVE"), &None, &None)
    );
    assert!(!it.custody.is_readable(s.clock.now()));
    // And stays there, whatever is looked at.
    let looks = s.jobs(id, "look at its class").await.len();
    s.pass(30).await;
    assert_eq!(s.jobs(id, "look at its class").await.len(), looks);
    assert_eq!(s.own.calls(Op::SetClass), 0);
    s.end().await;
}

/// Whoever waits for a bucket that does nothing is told of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_does_nothing_is_told_of_after_three_days() {
    let s = Scene::set(SINKS).await;
    s.own.inner().set_lifecycle(vec![rule_of_the_bucket()]);
    let id = s.take("a.txt").await;
    s.until(id, is_awaited).await;
    s.clock.pass(70 * HOUR);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let key = format!("transition-unconfirmed/{LIBRARY_STORE}");
    assert_eq!(s.alert(&key).await, None, "it may be for tomorrow");
    let alert = s.told(&key, 8).await;
    assert_eq!(alert.subject, "1 transition in recordings not confirmed after 72 hours");
    assert!(
        alert.cause.contains("a.txt (") && alert.cause.contains("DEEP_ARCHIVE by lifecycle"),
        "{}",
        alert.cause
    );
    s.end().await;
}

/// A rule that is not for it any more leaves nothing behind that would archive it tomorrow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_rule_wants_any_more_is_taken_back() {
    let warm = "  - { name: warm, match: { age: '>=2h' }, tag: warm }\n";
    let s = Scene::set(&format!("{SINKS}{warm}")).await;
    s.own.inner().set_lifecycle(vec![rule_of_the_bucket()]);
    let id = s.take("a.txt").await;
    let it = s.until(id, is_awaited).await;
    s.pass(3).await;
    s.until(id, |r| r.tags.contains("warm") && !is_awaited(r)).await;
    assert_eq!(s.tags(&it).await, storage::Tags::new());
    assert_eq!(s.own.inner().follow_lifecycle(), 0);
    s.end().await;
}

/// No rule wants it, and it is followed until the bucket has done it all the same; ordered twice it is asked for once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_leaves_to_the_bucket_is_followed_like_a_rules() {
    let s = Scene::set("  - { name: x, match: { tags: x }, tag: y }\n").await;
    let id = s.take("a.txt").await;
    s.until(id, |r| r.state == State::Unsupported).await;
    let sinks = by_hand::Verb::Archive { class: "DEEP_ARCHIVE".into(), by: Way::Lifecycle };
    s.order(id, &sinks).await;
    let label = "archive DEEP_ARCHIVE by lifecycle";
    while s.jobs(id, label).await.iter().all(|job| job.state != JobState::Parked) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    s.own.inner().set_lifecycle(vec![rule_of_the_bucket()]);
    s.library.catalog.retry(Retry::Recording(id), s.clock.now()).await.unwrap();
    let it = s.until(id, is_awaited).await;
    assert_eq!(s.tags(&it).await.get(TAG).map(String::as_str), Some("DEEP_ARCHIVE"));
    s.pass(7).await;
    s.until(id, |r| r.custody.place.transition.as_ref().is_some_and(|t| t.looks == 1)).await;
    let facts = s.library.catalog.facts(id).await.unwrap().unwrap();
    let job = |verb: &by_hand::Verb, facts: &Facts| {
        let batch = by_hand::batch("archive", "ana", "again", s.clock.now());
        verb.job(&s.library.policy, &batch, facts, s.clock.now())
    };
    assert!(
        matches!(job(&sinks, &facts), Err(by_hand::LeftOut::Already(why)) if why.contains("was asked at"))
    );
    assert_eq!(s.own.inner().follow_lifecycle(), 1);
    s.pass(12).await;
    let it = s.until(id, |r| r.custody.place.cold.is_some()).await;
    assert_eq!((it.custody.place.class.as_deref(), is_awaited(&it)), (Some("DEEP_ARCHIVE"), false));
    let ordered = s.library.catalog.audit(None, 200).await.unwrap();
    assert!(ordered.iter().any(|e| e.what == "order" && e.actor == "ana" && e.details["verb"] == "archive"));

    let mut small = facts.clone();
    small.recording.digest.size = 1000;
    small.recording.custody.place = domain::Place::default();
    assert!(matches!(job(&sinks, &small), Err(by_hand::LeftOut::Refused(why)) if why.contains("128 KiB")));
    s.end().await;
}

/// Whoever left it to the bucket may think again, as long as it lies where it did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_left_to_the_bucket_is_taken_back_by_hand() {
    let s = Scene::set("  - { name: x, match: { tags: x }, tag: y }\n").await;
    s.own.inner().set_lifecycle(vec![rule_of_the_bucket()]);
    let id = s.take("a.txt").await;
    s.until(id, |r| r.state == State::Unsupported).await;
    s.order(id, &by_hand::Verb::Archive { class: "DEEP_ARCHIVE".into(), by: Way::Lifecycle }).await;
    s.until(id, is_awaited).await;
    let back = by_hand::Verb::Archive { class: "STANDARD".into(), by: Way::Now };
    s.order(id, &back).await;
    let it = s.until(id, |r| !is_awaited(r)).await;
    assert_eq!((s.tags(&it).await, s.own.inner().follow_lifecycle()), (storage::Tags::new(), 0));
    let facts = s.library.catalog.facts(id).await.unwrap().unwrap();
    let batch = by_hand::batch("archive", "ana", "again", s.clock.now());
    let again = back.job(&s.library.policy, &batch, &facts, s.clock.now());
    assert!(matches!(again, Err(by_hand::LeftOut::Already(why)) if why.contains("STANDARD")));
    s.end().await;
}

/// A tag that is left on what was deleted would have the bucket move it, and bill its class's least time after the purge. What comes
/// back from the trash is asked for anew; and what is purged goes, wherever its archiving stands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_the_trash_does_not_sink_and_goes_like_any_other() {
    let s = Scene::set(SINKS).await;
    s.own.inner().set_lifecycle(vec![rule_of_the_bucket()]);
    let id = s.take("a.txt").await;
    let it = s.until(id, |r| is_awaited(r) && r.state == State::Unsupported).await;
    s.trash(id, 1000 * HOUR).await;
    s.until(id, |r| r.state == State::Trashed && !is_awaited(r)).await;
    assert_eq!((s.tags(&it).await, s.own.inner().follow_lifecycle()), (storage::Tags::new(), 0));

    let back = Change::Undelete { kept_until: s.clock.now() };
    s.library.catalog.custody(&[id], &back, "ana", s.clock.now()).await.unwrap();
    s.until(id, |r| is_awaited(r) && r.state == State::Unsupported).await;
    assert_eq!(s.tags(&it).await.get(TAG).map(String::as_str), Some("DEEP_ARCHIVE"));
    assert_eq!(s.jobs(id, "archive DEEP_ARCHIVE by lifecycle").await.len(), 2);

    // One that is awaited, one that was taken back, and one that the bucket moved before anybody could.
    let taken_back = s.take("b.txt").await;
    s.until(taken_back, |r| is_awaited(r) && r.state == State::Unsupported).await;
    s.trash(taken_back, 5 * HOUR).await;
    s.until(taken_back, |r| r.state == State::Trashed && !is_awaited(r)).await;
    let moved = s.take("c.txt").await;
    s.until(moved, |r| is_awaited(r) && r.state == State::Unsupported).await;
    assert_eq!(s.own.inner().follow_lifecycle(), 2, "a.txt and c.txt");
    s.trash(moved, 5 * HOUR).await;
    s.until(moved, |r| r.state == State::Trashed && r.custody.place.cold.is_some() && !is_awaited(r)).await;
    s.trash(id, Duration::ZERO).await;
    s.pass(6).await;
    for id in [id, taken_back, moved] {
        s.until(id, |r| r.state == State::Deleted).await;
    }
    assert_eq!(s.own.list("", None, 10).await.unwrap(), []);
    s.end().await;
}

/// What somebody takes out of its class is seen within a day, told of, and archived again a day after that; three times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_stay_archived_is_archived_again_and_not_for_ever() {
    let s = Scene::set("  - { name: cold, match: all, archive: GLACIER_IR }\n").await;
    let id = s.take("a.txt").await;
    let archived = |r: &Recording| r.custody.place.class.as_deref() == Some("GLACIER_IR");
    let it = s.until(id, archived).await;
    for times in 1..=4 {
        s.own.inner().change_class(&key(&it), None);
        s.clock.pass(25 * HOUR);
        let strayed = |r: &Recording| r.custody.place.strayed.as_ref().is_some_and(|s| s.times == times);
        let it = s.until(id, strayed).await;
        assert!(!archived(&it));
        if times == 1 {
            let alert = s.told(&format!("drift/{LIBRARY_STORE}/class"), 3).await;
            assert_eq!(alert.severity, Severity::Warning);
            assert!(alert.cause.contains("STANDARD instead of GLACIER_IR"), "{}", alert.cause);
        }
        if times <= 3 {
            s.clock.pass(24 * HOUR * (1 << (times - 1)));
            s.until(id, archived).await;
        }
    }
    let it = s.until(id, |r| r.state == State::Unsupported && r.reason.contains("4 times")).await;
    s.pass(48).await;
    assert_eq!(s.jobs(id, "archive GLACIER_IR").await.len(), 4, "{}", it.reason);
    s.end().await;
}

/// A class belongs to a store: in another one the rule asks again, and what is left behind is not to sink.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_moved_is_archived_where_it_is_then() {
    for (rule, is_there) in [
        (SINKS, is_awaited as fn(&Recording) -> bool),
        ("  - { name: cold, match: all, archive: GLACIER_IR }\n", |r| r.custody.place.class.is_some()),
    ] {
        let s = Scene::set(rule).await;
        let in_attic: &dyn Store = s.library.stores.get("attic").unwrap();
        s.own.inner().set_lifecycle(vec![rule_of_the_bucket()]);
        let id = s.take("a.txt").await;
        let it = s.until(id, is_there).await;
        s.order(id, &by_hand::Verb::Move { store: "attic".into(), keep: 100 * HOUR }).await;
        let moved = s.until(id, |r| r.store == "attic").await;
        assert_eq!(s.tags(&it).await, storage::Tags::new());
        if rule == SINKS {
            // That bucket has no rule.
            s.until(id, |r| r.reason.contains("store `attic`")).await;
        } else {
            s.until(id, is_there).await;
            let there = in_attic.head(&key(&moved)).await.unwrap();
            assert_eq!(there.class.as_deref(), Some("GLACIER_IR"));
        }
        s.end().await;
    }
}

/// A bucket's rules move an object in their own time, and the event that tells of it comes late or never: the job that meets it in
/// its archive has it looked at, and waits for a restore or is refused, as its rule says. Nobody has to do anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sank_before_we_looked_is_looked_at_by_whoever_meets_it() {
    let second = |cold: &str| {
        format!("  - {{ name: second, match: {{ tags: wanted }}, backup: attic, cold: {cold} }}\n")
    };
    for cold in ["restore", "refuse"] {
        let wanted = "  - { name: wanted, match: { age: '>=1h' }, tag: wanted }\n";
        let s = Scene::set(&format!("{}{wanted}", second(cold))).await;
        let id = s.take("a.txt").await;
        let it = s.until(id, |r| r.state == State::Unsupported).await;
        s.own.inner().change_class(&key(&it), Some("DEEP_ARCHIVE"));
        s.clock.pass(HOUR);
        if cold == "restore" {
            let it =
                s.until(id, |r| r.custody.place.cold.as_ref().is_some_and(|c| c.restore.is_some())).await;
            assert_eq!(it.custody.place.class.as_deref(), Some("DEEP_ARCHIVE"));
            s.pass(60).await;
            s.until(id, |r| r.state == State::Unsupported).await;
            assert_eq!(s.library.catalog.copies(id).await.unwrap().len(), 1);
        } else {
            let it = s.until(id, |r| r.reason.contains("waits for its restore from DEEP_ARCHIVE")).await;
            assert!(it.reason.contains("`videorec restore "), "{}", it.reason);
            s.pass(3).await;
        }
        let [backup] = s.jobs(id, "backup attic").await.try_into().unwrap();
        let state = if cold == "restore" { JobState::Done } else { JobState::Cancelled };
        assert_eq!((backup.state, backup.failures <= 1), (state, true), "{backup:?}");
        assert_eq!(s.jobs(id, "look at its class").await.len(), 1);
        s.end().await;
    }
}

/// What a person ordered is theirs to pay for: it is parked with the price.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_ordered_by_hand_of_what_sank_says_what_a_restore_costs() {
    let s = Scene::set("  - { name: x, match: { tags: x }, tag: y }\n").await;
    let id = s.take("a.txt").await;
    let it = s.until(id, |r| r.state == State::Unsupported).await;
    s.own.inner().change_class(&key(&it), Some("GLACIER"));
    s.order(id, &by_hand::Verb::Backup { store: "attic".into() }).await;
    s.until(id, |r| r.custody.place.cold.is_some()).await;
    let parked = loop {
        let [job] = s.jobs(id, "backup attic").await.try_into().unwrap();
        if job.state == JobState::Parked {
            break job.error.unwrap().message;
        }
        s.clock.pass(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(parked.contains("a.txt lies in GLACIER: a restore would cost less than 0.01 USD"), "{parked}");
    assert!(parked.contains(&format!("then `videorec retry {}`", id.short())), "{parked}");
    s.end().await;
}

/// A bucket's rules may be faster than the first job.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sank_before_it_was_probed_is_probed_when_it_is_restored() {
    let s = Scene::set("  - { name: x, match: { tags: x }, tag: y }\n").await;
    // The first reading of all is to compare what was written.
    let nth = s.own.calls(Op::Get) + 2;
    s.own.on(Op::Get, nth, Fault::Fail { kind: ErrorKind::Unavailable, temporary: true });
    let id = s.take("a.txt").await;
    let it = s.library.catalog.get(id).await.unwrap().unwrap();
    s.own.inner().change_class(&key(&it), Some("DEEP_ARCHIVE"));
    s.until(id, |r| r.reason.contains("Probe waits for its restore from DEEP_ARCHIVE")).await;
    assert_eq!(s.jobs(id, "look at its class").await.len(), 1);
    s.order(id, &by_hand::Verb::Restore { speed: Speed::Bulk, days: 7 }).await;
    s.until(id, |r| r.custody.place.cold.as_ref().is_some_and(|c| c.restore.is_some())).await;
    s.pass(60).await;
    s.until(id, |r| r.state == State::Unsupported && r.probe.is_some()).await;
    s.end().await;
}

/// A store that takes the request and does something else is not believed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archiving_that_the_store_did_not_do_is_no_archiving() {
    let s = Scene::set("  - { name: cold, match: all, archive: STANDARD_IA }\n").await;
    s.own.inner().refuse_class("STANDARD_IA");
    let id = s.take("a.txt").await;
    let it =
        s.until(id, |r| r.state == State::Unsupported && r.reason.contains("keeps it in STANDARD")).await;
    assert_eq!(it.custody.place.class, None);
    let [job] = s.jobs(id, "archive STANDARD_IA").await.try_into().unwrap();
    assert_eq!((job.state, job.failures), (JobState::Parked, 5));
    s.end().await;
}

/// A folder has neither classes nor rules: what to write instead is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_classes_says_what_to_write() {
    for rule in ["archive: { class: GLACIER, by: lifecycle }", "archive: GLACIER"] {
        let home = tempfile::tempdir().unwrap();
        let (clock, folder) = (Hands::new(), tempfile::tempdir().unwrap());
        let disk: Arc<dyn Store> = Arc::new(storage::Disk::open(LIBRARY_STORE, folder.path()).unwrap());
        let policy = format!("version: 1\nrules: [{{ name: cold, match: all, {rule} }}]\n");
        let library = library_of(home.path(), clock.clone(), &policy, vec![disk], Steps::default()).await;
        let stop = CancellationToken::new();
        let runner = runner(&library, Duration::from_secs(5));
        let running = tokio::spawn({
            let stop = stop.clone();
            async move { runner.run(stop).await }
        });
        let id = ingest_bytes(&library, home.path(), "a.txt", &[b'x'; 128 << 10]).await;
        let it = until(&library, &clock, id, |r| r.reason.contains("gave up")).await;
        assert!(
            it.reason.contains("need a store in S3; ") && it.reason.contains("`archive: { to: STORE }`"),
            "{}",
            it.reason
        );
        stop.cancel();
        running.await.unwrap();
    }
}

/// One second of silence, as a WAV file.
fn silence() -> Vec<u8> {
    let samples = vec![0u8; 16_000];
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + samples.len() as u32).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16u32.to_le_bytes());
    for (value, bytes) in [(1u32, 2), (1, 2), (8_000, 4), (16_000, 4), (2, 2), (16, 2)] {
        wav.extend(&value.to_le_bytes()[..bytes]);
    }
    wav.extend(b"data");
    wav.extend((samples.len() as u32).to_le_bytes());
    wav.extend(samples);
    wav
}

/// What was made and is gone is made again, a few times; then people are told who has to look for whoever removes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_rendition_is_made_again_and_not_for_ever() {
    let s = Scene::set("  - { name: listen, match: all, convert: audio-wav }\n").await;
    let id = ingest_bytes(&s.library, s.home.path(), "a.wav", &silence()).await;
    let made = async || s.library.catalog.renditions(id).await.unwrap();
    s.until(id, |r| r.state == State::Ready).await;
    let first = made().await;
    let [file] = &first[0].files[..] else { panic!("{first:?}") };
    let file = Key::parse(&file.key).unwrap();
    let mut last = first[0].made_at;
    for times in 1..=3 {
        s.own.inner().erase(&file, None).await.unwrap();
        let mut hours = 0;
        while made().await.first().is_some_and(|r| r.made_at == last) {
            hours += 1;
            assert!(hours < 60, "time {times}: nobody misses it");
            s.pass(1).await;
        }
        // An hour at a time would be too long for the lease of whoever makes it.
        s.until(id, |r| r.state == State::Ready).await;
        while made().await.is_empty() {
            s.clock.pass(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let again = made().await;
        assert_ne!(again[0].made_at, last, "time {times}");
        last = again[0].made_at;
        s.own.inner().head(&file).await.expect("it is there again");
        s.until(id, |r| r.state == State::Ready).await;
    }
    let audit = s.library.catalog.audit(Some(id), 200).await.unwrap();
    let missed = audit.iter().filter(|e| e.what == "record" && e.details["action"] == "seek audio-wav");
    let lost: Vec<_> =
        missed.map(|e| e.details["fact"]["lost"].as_str().unwrap_or_default().to_owned()).collect();
    assert!(
        lost.len() == 3 && lost.iter().all(|why| why.contains("is not in recordings any more")),
        "{lost:?}"
    );
    s.own.inner().erase(&file, None).await.unwrap();
    let alert = s.told(&format!("drift/{LIBRARY_STORE}/vanishing"), 60).await;
    assert_eq!(alert.severity, Severity::Critical);
    assert!(alert.cause.contains("audio-wav of a.wav ("), "{}", alert.cause);
    assert_eq!(made().await[0].made_at, last, "nothing is made any more");
    s.end().await;
}

/// A disk that is not mounted has lost nothing, and nothing is made into the folder where it should be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_with_its_source_is_not_made_again() {
    let s = Scene::set("  - { name: listen, match: all, convert: audio-wav }\n").await;
    let id = ingest_bytes(&s.library, s.home.path(), "a.wav", &silence()).await;
    let it = s.until(id, |r| r.state == State::Ready).await;
    let made = s.library.catalog.renditions(id).await.unwrap();
    let file = Key::parse(&made[0].files[0].key).unwrap();
    for key in [&file, &key(&it)] {
        s.own.inner().erase(key, None).await.unwrap();
    }
    s.told(&format!("drift/{LIBRARY_STORE}/missing"), 60).await;
    s.pass(6).await;
    let [seek] = s.jobs(id, "seek audio-wav").await.try_into().unwrap();
    assert!(seek.error.unwrap().message.contains("see whether all of it is mounted"));
    assert_eq!(s.library.catalog.renditions(id).await.unwrap(), made);
    s.end().await;
}
