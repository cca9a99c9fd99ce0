//! A worker may be killed at any moment.

mod support;

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdout, Stdio},
    time::Duration,
};

use catalog::{
    Catalog, Sqlite, Trashed, Trashing,
    contract::{Record as _, T0, recording},
};
use domain::{DeletionLimit, JobState, RecordingId, Trash};
use support::{TTL, asking_for, probe_of, probed};

/// Which of a batch go into the trash together.
const GOING: std::ops::Range<usize> = 6..12;

const PATH: &str = "CATALOG_KILL_TEST";

/// Promise 4: a message is acknowledged only after its outcome is durably recorded. Here: whatever a call has
/// answered is there after `kill -9`, and what was under way is there as a whole or not at all.
#[test]
fn what_was_acknowledged_outlives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..12_u64 {
        let (mut child, out) = start(&path, round);
        let mut lines = BufReader::new(out).lines();
        // Killed at a moment of its work that differs from round to round, once it has begun.
        let mut heard: Vec<String> = Vec::new();
        for line in lines.by_ref().take(4 + round as usize * 5) {
            heard.push(line.unwrap());
        }
        std::thread::sleep(Duration::from_micros(round * 1_700 % 9_000));
        child.kill().unwrap();
        child.wait().unwrap();
        // A line may be cut off: then it was not yet said.
        heard.extend(lines.map_while(Result::ok));
        acknowledged.extend(heard.into_iter().filter(|l| l.ends_with(" .")));

        runtime.block_on(async {
            let catalog = Sqlite::open(&path).await.unwrap();
            check(&catalog, &path, &acknowledged).await;
            catalog.recover(None, T0).await.unwrap();
            catalog.close().await;
        });
    }
    let recorded = acknowledged.iter().filter(|l| l.starts_with("recorded")).count();
    assert!(
        recorded > 12 && acknowledged.len() > 40,
        "the child got to work: {} {recorded}",
        acknowledged.len()
    );
}

async fn check(catalog: &Sqlite, path: &Path, acknowledged: &[String]) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut conn = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    let integrity: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut conn).await.unwrap();
    assert_eq!(integrity, "ok");
    sqlx::query("INSERT INTO search (search) VALUES ('integrity-check')").execute(&mut conn).await.unwrap();

    for line in acknowledged {
        let words: Vec<&str> = line.split(' ').collect();
        let id: RecordingId = words[1].parse().unwrap();
        let facts = catalog.facts(id).await.unwrap().unwrap_or_else(|| panic!("lost: {line}"));
        if words[0] == "trashed" {
            assert!(facts.recording.custody.is_trashed(), "lost: {line}");
        }
        if words[0] == "recorded" {
            assert!(facts.recording.probe.is_some() && facts.done.len() == 1, "lost: {line}");
        }
    }
    // Whole or not at all: done, fact, audit and search go together, and batches of 16 are all there.
    let done = catalog.jobs(&Default::default(), 100_000).await.unwrap();
    for job in done {
        let facts = catalog.facts(job.spec.recording).await.unwrap().unwrap();
        assert_eq!(job.state == JobState::Done, facts.recording.probe.is_some(), "{job:?}");
        let audit = catalog.audit(Some(job.spec.recording), 9).await.unwrap();
        assert_eq!(job.state == JobState::Done, audit.iter().any(|e| e.what == "record"));
    }
    // Promise 8, here: of those that go together either all are in the trash or none is, each with its audit record.
    let trashed = catalog.search(&"state:trashed".parse().unwrap(), 100_000, None).await.unwrap().hits;
    assert_eq!(trashed.len() % GOING.len(), 0, "{trashed:?}");
    for it in &trashed {
        assert!(catalog.audit(Some(it.id), 1).await.unwrap()[0].what == "trash", "{it:?}");
    }
    let counts = catalog.counts().await.unwrap();
    let recordings: u64 = counts.recordings.values().sum();
    assert_eq!((recordings % 16, counts.bytes), (0, recordings * 1_000));
    let found = catalog
        .search(&"clip state:accepted,processing,trashed".parse().unwrap(), 100_000, None)
        .await
        .unwrap();
    assert_eq!(found.hits.len() as u64, recordings);
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test that kills must start what it kills; it is this very binary"
)]
fn start(path: &Path, round: u64) -> (Child, ChildStdout) {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_child_that_is_killed", "--nocapture", "--test-threads=1"])
        .env(PATH, format!("{round}:{}", path.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = child.stdout.take().unwrap();
    (child, out)
}

/// Not a test by itself: accepts, settles, claims and records until it is killed, saying what was acknowledged.
#[test]
fn the_child_that_is_killed() {
    let Ok(given) = std::env::var(PATH) else { return };
    let (round, path) = given.split_once(':').unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let catalog = Sqlite::open(Path::new(path)).await.unwrap();
        println!();
        for batch in 0.. {
            let new: Vec<_> = (0..16).map(|n| recording(&format!("clip {round}-{batch}-{n}.mp4"))).collect();
            for it in catalog.accept(&new, T0).await.unwrap() {
                println!("accepted {} .", it.recording.id);
            }
            for it in &new[..4] {
                work(&catalog, it.id, &it.version).await;
                println!("recorded {} .", it.id);
            }
            let trash = Trash {
                at: T0,
                until: T0,
                rule: "old".into(),
                reason: "it is old".into(),
                by: "w".into(),
                purging: None,
            };
            let items: Vec<_> = new[GOING]
                .iter()
                .map(|it| Trashing { id: it.id, revision: 1, trash: trash.clone() })
                .collect();
            let limit = DeletionLimit { permille: 1_000, floor: 0, bytes: None };
            match catalog.trash(&items, &limit, T0).await.unwrap() {
                Trashed::Done { trashed, drifted } if drifted.is_empty() => {
                    trashed.iter().for_each(|id| println!("trashed {id} ."));
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

async fn work(catalog: &Sqlite, id: RecordingId, version: &str) {
    let job = probe_of(id, version);
    catalog.settle(&[asking_for(vec![job.clone()], id, 1)], "p", T0).await.unwrap();
    let claim = catalog.claim(job.id, "w", T0, TTL).await.unwrap().unwrap();
    catalog.record(&claim, &probed(), T0).await.unwrap();
}
