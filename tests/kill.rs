//! The power fails at every named point of the flow, with the real binary and real media.
#![expect(clippy::disallowed_methods, reason = "the tests start the binary")]

mod support;

use std::{collections::BTreeSet, fs, os::unix::process::ExitStatusExt as _, time::Duration};

use serde_json::Value;
use support::{Library, call, camera, eventually};

/// As `worker::Point` has them (`every_point_is_in_the_table` holds the two together), and at which of its visits
/// there the process is killed: early, and in the middle of much else. What happens once a batch is visited once.
const POINTS: [(&str, &[u32]); 14] = [
    ("intake-hashed", &[1, 4]),
    ("intake-stored", &[1, 4]),
    ("intake-accepted", &[1]),
    ("intake-settled", &[1]),
    ("intake-removed", &[1, 4]),
    ("job-offered", &[1, 3]),
    ("job-handed-over", &[2, 9]),
    ("job-received", &[1, 6]),
    ("job-claimed", &[1, 6]),
    ("job-made", &[1, 3]),
    ("job-publishing", &[1, 3]),
    ("job-published", &[1, 3]),
    ("job-recorded", &[1, 6]),
    ("job-acknowledged", &[1, 6]),
];

const POLICY: &str = "
version: 1
stores: { replica: { url: REPLICA } }
rules:
  - name: web copies
    match: { kind: recording, type: video/* }
    convert: [mp4-480p, thumbnails]
  - name: calls
    match: { kind: session }
    mix: { layout: grid }
  - name: a second place
    match: all
    backup: replica
  - name: marked
    match: { kind: recording }
    tag: [seen]
";

#[test]
fn every_point_is_in_the_table() {
    let source = include_str!("../crates/worker/src/points.rs");
    let names: BTreeSet<&str> =
        source.lines().filter_map(|l| l.split_once("=> \"")?.1.strip_suffix("\",")).collect();
    // What removes bytes comes days later: `custody.rs` kills there; `transfers.rs` where something leaves; the model test of
    // `worker` in the middle of moves.
    let elsewhere = [
        "purge-begun",
        "purge-removed",
        "export-midway",
        "export-sent",
        "manifest-delivered",
        "move-verified",
    ];
    assert_eq!(names, POINTS.into_iter().map(|(name, _)| name).chain(elsewhere).collect());
}

/// `kill -9` between any two steps, then starting again: every recording comes to its terminal state, nothing
/// partial is ever visible, no effect is doubled (promises 3, 4, 5, 6).
#[test]
fn killed_at_any_point_the_library_completes_and_doubles_nothing() {
    let expected = undisturbed();
    std::thread::scope(|scope| {
        // Two at a time: the machine that CI has.
        for half in [0, 1] {
            let expected = &expected;
            scope.spawn(move || {
                let cases = POINTS.iter().flat_map(|(p, visits)| visits.iter().map(|n| (*p, *n)));
                for (point, n) in cases.skip(half).step_by(2) {
                    killed_at(point, n, expected);
                }
            });
        }
    });
}

fn killed_at(point: &str, n: u32, expected: &BTreeSet<String>) {
    let at = format!("{point}:{n}");
    let library = prepared();
    let mut killed = library.up(&[], &[("VIDEOREC_CRASH_AT", at.as_str())]);
    let died = killed
        .ended(Duration::from_secs(60))
        .unwrap_or_else(|| panic!("{at}: never came there\n{}", killed.log()));
    assert_eq!(died.signal(), Some(9), "{at}: ended by itself\n{}", killed.log());
    nothing_partial(&library, &at);
    drop(killed);

    let again = library.up(&[], &[]);
    settled(&library, &at);
    let log = again.log();
    again.stop();
    assert_eq!(&made(&library), expected, "{at}\n{log}");
    assert_eq!(
        fs::read_dir(library.inbox()).expect("an inbox").filter(is_file).count(),
        0,
        "{at}: inbox not empty"
    );
    each_effect_once(&library, &at);
}

fn is_file(entry: &std::io::Result<fs::DirEntry>) -> bool {
    entry.as_ref().is_ok_and(|e| e.path().is_file())
}

/// What an undisturbed run makes: names of recordings and their outputs.
fn undisturbed() -> BTreeSet<String> {
    let library = prepared();
    let up = library.up(&[], &[]);
    settled(&library, "undisturbed");
    up.stop();
    let made = made(&library);
    assert!(made.len() >= 12, "{made:?}");
    made
}

fn prepared() -> Library {
    let library = Library::new();
    fs::create_dir_all(library.inbox()).expect("an inbox");
    let policy = POLICY.replace("REPLICA", library.home.path().join("replica").to_str().expect("UTF-8"));
    fs::write(library.root().join("policy.yaml"), policy).expect("a policy");
    let sources = library.home.path().join("sources");
    call(&sources.join("call"));
    camera(&sources.join("lobby.mp4"));
    // As a person moves things in: whole, at once.
    fs::rename(sources.join("call"), library.inbox().join("call")).expect("moved");
    fs::rename(sources.join("lobby.mp4"), library.inbox().join("lobby.mp4")).expect("moved");
    library
}

fn settled(library: &Library, at: &str) {
    eventually(|| {
        let all = library.recordings();
        let ready = all.values().filter(|r| r["state"] == "ready").count();
        let jobs = library.json(&["jobs", "--state", "pending,running"]);
        let files = support_inbox(library);
        if ready == 4 && jobs.is_empty() && files == 0 {
            return Ok(());
        }
        Err(format!("{at}: {ready} of 4 ready, {files} in the inbox, jobs {jobs:#?} {all:#?}"))
    });
}

fn support_inbox(library: &Library) -> usize {
    let count = |p: std::path::PathBuf| fs::read_dir(p).map_or(0, |d| d.filter(is_file).count());
    count(library.inbox()) + count(library.inbox().join("call"))
}

/// Recordings, renditions, files and copies by name; what the ids and times of a run are left out.
fn made(library: &Library) -> BTreeSet<String> {
    let mut made = BTreeSet::new();
    for (name, recording) in library.recordings() {
        let id = recording["id"].as_str().expect("an id");
        made.insert(format!("{name}: {} {}", recording["kind"], recording["state"]));
        let shown = &library.json(&["show", id])[0];
        for rendition in shown["renditions"].as_array().expect("renditions") {
            for file in rendition["files"].as_array().expect("files") {
                made.insert(format!("{name}: {} {}", rendition["name"], file["role"]));
                let path = library.root().join("recordings").join(file["key"].as_str().expect("a key"));
                let size = fs::metadata(&path).unwrap_or_else(|e| panic!("{path:?}: {e}")).len();
                assert_eq!(file["digest"]["size"], size, "{path:?} is not what the catalog says");
            }
        }
        for copy in shown["copies"].as_array().expect("copies") {
            made.insert(format!("{name}: copy in {}", copy["store"]));
        }
        made.insert(format!("{name}: tags {}", recording["tags"]));
    }
    made
}

/// Promise 6: whatever the store shows is whole: known to the catalog with this size, or not yet known but playable.
fn nothing_partial(library: &Library, at: &str) {
    for path in library.visible_files().into_keys() {
        let file = library.root().join(&path);
        if file.extension().is_some_and(|e| e == "json" || e == "vtt") {
            continue;
        }
        let probe = std::process::Command::new("ffprobe")
            .args(["-v", "error", "-show_entries", "format=format_name"])
            .arg(&file)
            .output()
            .expect("ffprobe starts");
        assert!(probe.status.success(), "{at}: {path} is visible and not whole");
    }
}

/// Each job is done once in the ledger, and the store holds no file that the catalog does not know.
fn each_effect_once(library: &Library, at: &str) {
    let jobs = library.json(&["jobs", "--limit", "10000"]);
    let ids: BTreeSet<&str> = jobs.iter().map(|j| j["id"].as_str().expect("an id")).collect();
    assert_eq!(ids.len(), jobs.len(), "{at}: a job is there twice");
    assert!(jobs.iter().all(|j| j["state"] == "done"), "{at}: {jobs:#?}");

    let mut known = BTreeSet::new();
    for recording in library.recordings().values() {
        known.insert(key(&recording["key"]));
        let renditions = recording["renditions"].as_array().expect("renditions");
        known.extend(
            renditions.iter().flat_map(|r| r["files"].as_array().expect("files")).map(|f| key(&f["key"])),
        );
    }
    let there: BTreeSet<String> = library.visible_files().into_keys().collect();
    assert_eq!(there, known, "{at}: the store and the catalog disagree");
}

fn key(key: &Value) -> String {
    format!("recordings/{}", key.as_str().expect("a key"))
}
