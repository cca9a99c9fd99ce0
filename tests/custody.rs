//! What an operator does about what stays and what goes, with the real binary.
#![expect(clippy::disallowed_methods, reason = "the tests start the binary")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{Library, Said, eventually, said};

/// Files that are no media: quickly looked at, and kept, copied and deleted like any others.
fn library(policy: &str) -> Library {
    let library = Library::new();
    fs::create_dir_all(library.inbox()).expect("an inbox");
    write_policy(&library, policy);
    for name in ["a.txt", "b.txt", "c.txt"] {
        fs::write(library.home.path().join(name), format!("no recording: {name}")).expect("a file");
    }
    let files: Vec<_> = ["a.txt", "b.txt", "c.txt"].map(|n| path(&library, n)).to_vec();
    let args: Vec<&str> = ["ingest"].into_iter().chain(files.iter().map(String::as_str)).collect();
    assert_eq!(library.run(&args).code, Some(1), "they are no media, and kept");
    library
}

fn write_policy(library: &Library, policy: &str) {
    let replica = library.home.path().join("replica");
    let text = policy.replace("REPLICA", replica.to_str().expect("UTF-8"));
    fs::write(library.root().join("policy.yaml"), text).expect("a policy");
}

fn path(library: &Library, name: &str) -> String {
    library.home.path().join(name).to_str().expect("UTF-8").to_owned()
}

/// Runs as if it were so many days later.
fn later(library: &Library, days: u64, args: &[&str]) -> Said {
    let mut command = library.command(args);
    command.env("VIDEOREC_CLOCK_AHEAD", (days * 86_400).to_string());
    said(command.output().expect("videorec starts"))
}

fn states(library: &Library) -> BTreeMap<String, String> {
    let all = library.json(&["search", "state:accepted,unsupported,trashed,deleted"]);
    let text = |r: &Value, field: &str| r[field].as_str().expect("text").to_owned();
    all.iter().map(|r| (text(r, "name"), text(r, "state"))).collect()
}

fn files_below(folder: &Path) -> usize {
    let mut stack: Vec<PathBuf> = vec![folder.to_owned()];
    let mut files = 0;
    while let Some(folder) = stack.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            match path.is_dir() {
                true if !hidden => stack.push(path),
                false if !hidden => files += 1,
                _ => {}
            }
        }
    }
    files
}

fn in_stores(library: &Library) -> (usize, usize) {
    (files_below(&library.root().join("recordings")), files_below(&library.home.path().join("replica")))
}

const BACKED_UP: &str = "
version: 1
stores: { replica: { url: REPLICA } }
protect: { copies: { min: 2 }, trash: 2d, deletion: { max_percent: 100 } }
rules:
  - { name: second, match: all, backup: replica }
";

const GONE: &str = "
version: 1
stores: { replica: { url: REPLICA } }
protect: { copies: { min: 2 }, trash: 2d, deletion: { max_percent: 100 } }
rules:
  - { name: second, match: all, backup: replica }
  - { name: gone, match: { age: \">=10d\" }, delete: {} }
";

/// A list of ids is a selection like a query: all that a person pastes, and nothing else.
#[test]
fn several_are_named_by_the_beginnings_of_their_ids() {
    let library = library(BACKED_UP);
    let all = library.json(&["ls"]);
    let ids: Vec<&str> = all.iter().map(|r| r["id"].as_str().expect("an id")).collect();
    let [one, two, _] = ids[..] else { panic!("{all:?}") };
    let upper = one[..6].to_uppercase();
    let hold = ["hold", &upper, two, one, "--reason", "case 12"];
    for _ in 0..2 {
        let planned = library.ok(&[&hold[..], &["--plan"]].concat());
        assert!(planned.contains("2 recordings: held") && planned.contains("Nothing was done"), "{planned}");
    }
    let planned = library.json(&[&hold[..], &["--plan"]].concat());
    assert!(
        planned.iter().all(|it| it["would_change"] == true && it.get("changed").is_none()),
        "{planned:?}"
    );
    let held = library.ok(&hold);
    assert!(held.contains("2 recordings: held"), "{held}");
    let said = library.run(&["delete", two, "--reason", "x"]);
    assert_eq!((said.code, states(&library).values().any(|state| state == "trashed")), (Some(1), false));
    let said = library.run(&["release", &one[..5]]);
    assert_eq!(said.code, Some(3), "{}", said.out);
    assert!(said.err.contains("by its first 6 characters or more"), "{}", said.err);
    let said = library.run(&["undelete", one]);
    assert!(said.out.contains("0 recordings: brought back (1 not in the trash)"), "{}", said.out);
    assert!(!said.out.contains("no rule deletes them"), "{}", said.out);
}

/// Promise 8 as an operator meets it: a dry run, the frozen plan, the trash, the way back.
#[test]
fn a_plan_is_frozen_and_what_has_drifted_is_skipped() {
    let library = library(GONE);
    let plan = path(&library, "plan.jsonl");
    let said = later(&library, 11, &["plan", "--out", &plan]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("gone: delete - 3 recordings"), "{}", said.out);
    assert!(said.out.contains("within the limit"), "{}", said.out);
    assert_eq!(in_stores(&library), (3, 3), "a plan does nothing");

    // Somebody holds one of them in between.
    library.ok(&["hold", "name:b.txt", "--reason", "case 12"]);
    let said = later(&library, 11, &["apply", &plan]);
    assert_eq!(said.code, Some(1), "{}\n{}", said.out, said.err);
    assert!(said.out.contains("2 recordings in the trash"), "{}", said.out);
    assert!(said.out.contains("skipped"), "{}", said.out);
    let trashed = states(&library);
    assert_eq!(trashed.len(), 3, "{trashed:?}");
    assert_eq!(trashed["b.txt"], "unsupported");
    assert_eq!((trashed["a.txt"].as_str(), trashed["c.txt"].as_str()), ("trashed", "trashed"));
    assert_eq!(in_stores(&library), (3, 3), "the trash keeps every byte");

    library.ok(&["undelete", "name:a.txt"]);
    assert_eq!(states(&library)["a.txt"], "accepted", "whoever works next looks at it anew");
    // By hand neither: nothing goes faster than somebody can notice.
    let said = library.run(&["delete", "name:a.txt", "--reason", "x", "--trash", "59m"]);
    assert_eq!((said.code, states(&library)["a.txt"].as_str()), (Some(2), "accepted"), "{}", said.err);
    // Of another policy, or not a plan: nothing is done.
    write_policy(&library, BACKED_UP);
    let said = later(&library, 11, &["apply", &plan]);
    assert_eq!((said.code, said.err.contains("another policy")), (Some(2), true), "{}", said.err);
    let said = later(&library, 11, &["apply", &path(&library, "a.txt")]);
    assert_eq!((said.code, said.err.contains("not a plan")), (Some(2), true), "{}", said.err);
}

/// Promise 5 of what cannot be undone: the power fails when the way back is closed, and when every byte is gone.
#[test]
fn a_purge_that_was_killed_is_completed_with_its_certificate() {
    for point in ["purge-begun", "purge-removed"] {
        let library = library(BACKED_UP);
        library.ok(&["delete", "name:a.txt", "--reason", "asked to"]);
        let ahead = (3 * 86_400).to_string();
        let env = [("VIDEOREC_CLOCK_AHEAD", ahead.as_str())];
        let mut up = library.up(&[], &[env[0], ("VIDEOREC_CRASH_AT", point)]);
        let died = up.ended(Duration::from_secs(60)).unwrap_or_else(|| panic!("{point}: {}", up.log()));
        assert_eq!(died.signal(), Some(9), "{point}: {}", up.log());
        let said = library.run(&["undelete", "name:a.txt"]);
        assert_ne!(said.code, Some(0), "{point}: there is no way back any more: {}", said.out);

        let up = library.up(&[], &env);
        eventually(|| match states(&library)["a.txt"].as_str() {
            "deleted" => Ok(()),
            other => Err(format!("{point}: {other}\n{}", up.log())),
        });
        up.stop();
        assert_eq!(in_stores(&library), (2, 2), "{point}");
        let proofs = library.json(&["certificates"]);
        assert_eq!(proofs.len(), 1, "{point}");
        assert_eq!(proofs[0]["reason"], "asked to");
        assert_eq!(proofs[0]["objects"].as_array().map(Vec::len), Some(2), "{point}: {}", proofs[0]);
        assert_eq!(library.run(&["audit", "verify"]).code, Some(0));
    }
}

/// Whoever edits the log with the database's own tools is found out.
#[test]
fn an_audit_log_that_was_edited_does_not_verify() {
    let library = library(BACKED_UP);
    library.ok(&["hold", "name:a.txt", "--reason", "case 12"]);
    assert!(library.ok(&["audit", "verify"]).contains("whole"));
    let catalog = library.root().join(".videorec/catalog.db");
    let script = "
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
for name, in db.execute(\"SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'\").fetchall():
    db.execute('DROP TRIGGER ' + name)
assert db.execute(\"UPDATE audit SET details = replace(details, 'case 12', 'case 13') WHERE what = 'hold'\").rowcount == 1
db.commit()
";
    let edited = std::process::Command::new("python3").args(["-c", script]).arg(&catalog).status();
    assert!(edited.expect("python3").success());
    let said = library.run(&["audit", "verify"]);
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(said.out.contains("not as it was written"), "{}", said.out);
}

/// A folder has no lifecycle rules, and small files are left alone by those that there are: said before anything is ordered.
#[test]
fn what_only_a_bucket_does_is_refused_of_a_folder() {
    let library = library("version: 1\nstores: { replica: { url: REPLICA } }\nrules: []\n");
    fs::write(library.home.path().join("large.txt"), vec![b'x'; 200 << 10]).expect("a file");
    library.run(&["ingest", &path(&library, "large.txt")]);
    let sinks = ["archive", "--everything", "--class", "GLACIER", "--by", "lifecycle"];
    for args in [&[&sinks[..], &["--plan"]].concat(), &sinks[..]] {
        let said = library.run(args);
        assert_eq!(said.code, Some(1), "{}", said.out);
        for part in ["left out: 1", "need a store in S3", "--to STORE", "left out: 3", "under 128 KiB"] {
            assert!(said.out.contains(part), "{part}: {}", said.out);
        }
    }
    let said = library.run(&["archive", "--everything", "--class", "glacier"]);
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(said.out.contains("left out: 4") && said.out.contains("need a store in S3"), "{}", said.out);
    assert_eq!(library.json(&["batch", "ls"]).len(), 0);
    for (wrong, says) in [
        (&["--class", "GLACIER", "--by", "magic"][..], "magic"),
        (&["--to", "replica", "--by", "lifecycle"], "--by"),
        (&["--class", "GLACIR"], "did you mean `GLACIER`?"),
    ] {
        let said = library.run(&[&["archive", "--everything"], wrong].concat());
        assert_eq!((said.code, said.err.contains(says)), (Some(2), true), "{wrong:?}: {}", said.err);
    }
}

/// By hand: another place, and back, with the progress of a batch.
#[test]
fn recordings_are_moved_by_hand_and_back() {
    let library = library("version: 1\nstores: { replica: { url: REPLICA } }\nrules: []\n");
    assert_eq!(in_stores(&library), (3, 0));
    let said = library.ok(&["move", "name:a.txt", "--to", "replica", "--keep", "30d", "--plan"]);
    assert!(said.contains("move: 1 recording") && said.contains("Nothing was done"), "{said}");
    let said = library.run(&["move", "name:a.txt", "--to", "replcia"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("replica"), "{}", said.err);

    let up = library.up(&[], &[]);
    let place = |store: &str| {
        eventually(|| {
            let copies = library.json(&["copies", "name:a.txt"]);
            let at = copies[0]["store"].as_str().unwrap_or_default();
            if at == store { Ok(()) } else { Err(format!("{}\n{}", copies[0], up.log())) }
        });
    };
    library.ok(&["move", "name:a.txt", "--to", "replica", "--keep", "30d"]);
    place("replica");
    assert_eq!(in_stores(&library), (3, 1), "the way back is open");
    library.ok(&["move", "name:a.txt", "--to", "recordings"]);
    place("recordings");
    let batches = library.json(&["batch", "ls"]);
    assert_eq!(batches.len(), 2);
    assert!(batches.iter().all(|b| b["done"] == 1 && b["verb"] == "move"), "{batches:?}");
    library.ok(&["backup", "--everything", "--to", "replica"]);
    eventually(|| match in_stores(&library) {
        (3, 3) => Ok(()),
        other => Err(format!("{other:?}\n{}", up.log())),
    });
    up.stop();
}

/// A migration leaves others their share of the line: 4 MB at 2 MB a second, written and read back, cannot be there at once.
#[test]
fn a_migration_is_no_faster_than_its_store_allows() {
    let library = library("version: 1\nstores: { replica: { url: REPLICA, bandwidth: 2MB } }\nrules: []\n");
    fs::write(library.home.path().join("large.txt"), vec![b'x'; 4_000_000]).expect("a file");
    let large = path(&library, "large.txt");
    assert_eq!(library.run(&["ingest", &large]).code, Some(1), "it is no media, and kept");
    let up = library.up(&[], &[]);
    let began = Instant::now();
    library.ok(&["move", "name:large.txt", "--to", "replica", "--keep", "30d"]);
    eventually(|| {
        let copies = library.json(&["copies", "name:large.txt"]);
        if copies[0]["store"] == "replica" { Ok(()) } else { Err(format!("{}\n{}", copies[0], up.log())) }
    });
    // 8 MB pass, and the last piece of a megabyte may go when its turn comes.
    assert!(began.elapsed() > Duration::from_secs(3), "{:?}", began.elapsed());
    up.stop();
}

/// A policy that is edited while the system runs is taken over when it checks; one that does not check changes nothing.
#[test]
fn an_edited_policy_is_taken_over_when_it_checks() {
    let library = library("version: 1\nstores: { replica: { url: REPLICA } }\nrules: []\n");
    let up = library.up(&[], &[]);
    eventually(|| up.log().contains("up; Ctrl-C").then_some(()).ok_or(up.log()));
    write_policy(&library, "version: 1\nrules:\n  - { name: x, match: all, bakcup: replica }\n");
    eventually(|| {
        let told = library.json(&["alerts", "ls"]);
        let broken = |a: &Value| a["alert"]["key"].as_str().is_some_and(|k| k.starts_with("policy-broken/"));
        told.iter().any(broken).then_some(()).ok_or(format!("{told:?}"))
    });
    assert_eq!(in_stores(&library), (3, 0));
    write_policy(&library, BACKED_UP);
    eventually(|| match in_stores(&library) {
        (3, 3) => Ok(()),
        other => Err(format!("{other:?}\n{}", up.log())),
    });
    up.stop();
}
