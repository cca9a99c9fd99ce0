//! What people say of their recordings: they are searched for it, rules go by it, and it travels along and comes back.
#![expect(clippy::disallowed_methods, reason = "the tests start the binary")]

#[path = "support/cloud.rs"]
mod cloud;
mod support;

use std::{fs, path::Path};

use cloud::Cloud;
use serde_json::Value;
use support::{Library, eventually};

const POLICY: &str = "version: 1
stores: { out: { url: OUT }, safe: { url: SAFE } }
fields: { case: text, court: [north, south], priority: number }
rules:
  - { name: the court has it, match: { fields: { court: north } }, backup: safe }
  - { name: urgent, match: all, when: recording.fields.priority >= 3.0, tag: urgent }
";

/// Files that are no media: quickly looked at, and kept like any others.
fn library() -> Library {
    let library = Library::new();
    fs::create_dir_all(library.root()).expect("a folder");
    let there = |name: &str| library.home.path().join(name).to_str().expect("UTF-8").to_owned();
    let text = POLICY.replace("OUT", &there("out")).replace("SAFE", &there("safe"));
    fs::write(library.root().join("policy.yaml"), text).expect("a policy");
    for folder in ["out", "call"] {
        fs::create_dir_all(library.home.path().join(folder)).expect("a folder");
    }
    library
}

/// A file that is there from now on.
fn file(library: &Library, name: &str, text: &str) -> String {
    let path = library.home.path().join(name);
    fs::write(&path, text).expect("a file");
    path.to_str().expect("UTF-8").to_owned()
}

fn names(found: &[Value]) -> Vec<&str> {
    found.iter().map(|r| r["name"].as_str().expect("a name")).collect()
}

#[test]
fn what_is_said_of_recordings_is_what_rules_and_searches_go_by() {
    let library = library();
    let (a, b) = (file(&library, "a.txt", "no recording: a"), file(&library, "b.txt", "no recording: b"));
    let said = library.run(&["ingest", &a, "--field", "case=A-17", "--field", "court=nort"]);
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.err.contains("did you mean `north`?"), "{}", said.err);
    assert!(library.json(&["ls"]).is_empty(), "it would be there under a mistake");
    library.run(&["ingest", &a, "--field", "case=A-17", "--field", "court=north"]);
    library.run(&["ingest", &b]);
    assert!(library.home.path().join("safe").exists(), "the rule's copy of the first");

    let urgent =
        ["describe", "name:b", "--field", "priority=3.5", "--field", "case=B/2", "--title", "The other"];
    let planned = library.json(&[&urgent[..], &["--plan"]].concat());
    assert!(planned.len() == 1 && planned[0]["would_change"] == true, "{planned:?}");
    assert!(library.json(&["search", "field.case:b/2"]).is_empty());
    assert!(library.ok(&urgent).contains("1 recording: described"));
    assert!(library.ok(&urgent).contains("0 recordings: described (1 described so already)"));
    for (args, code, says) in [
        (&["describe", "name:b", "--field", "prio=5"][..], 2, "known: case, court, priority"),
        (&["describe", "name:b", "--field", "priority=high"], 2, "not a number"),
        (&["describe", "name:b", "--field", "case"], 2, "NAME=VALUE"),
        (&["describe", "name:b", "--title", " "], 2, "a title is one line"),
        (&["describe", "name:b", "--tag", "a,,b"], 2, "is not a tag"),
        (&["describe", "name:b"], 2, "nothing is said of them"),
        (&["describe", "name:nobody", "--tag", "x"], 3, "nothing is found"),
    ] {
        let said = library.run(args);
        assert_eq!(said.code, Some(code), "{args:?}: {}", said.err);
        assert!(said.err.contains(says), "{args:?}: {}", said.err);
    }
    // What rules now ask for is done by whoever works next.
    library.run(&["ingest", &file(&library, "c.txt", "no recording: c")]);
    for (query, expected) in [
        ("field.case:a-17", &["a.txt"][..]),
        ("field.case:* -field.case:A-17", &["b.txt"]),
        ("tag:urgent", &["b.txt"]),
        ("title:other", &["b.txt"]),
        ("-field.case:*", &["c.txt"]),
    ] {
        assert_eq!(names(&library.json(&["search", query])), expected, "{query}");
    }
    let said = library.run(&["search", "field.cse:A-17"]);
    assert!(said.code == Some(0) && said.err.contains("did you mean `case`?"), "{}", said.err);
    library.ok(&["describe", "name:b", "--unset", "priority", "--untag", "urgent"]);
    let id = library.recordings()["b.txt"]["id"].as_str().expect("an id").to_owned();
    let shown = library.ok(&["show", &id]);
    assert!(shown.contains("case      B/2") && shown.contains("it has no field court"), "{shown}");
    let story = library.json(&["audit", "ls", &id]);
    assert_eq!(story.iter().filter(|e| e["what"] == "describe").count(), 2, "{story:?}");

    // Out under names made of them, and back in with all that was said.
    let said = library.run(&["export", "name:a", "--to", "out", "--as", "{field.cas}/{id}"]);
    assert!(said.code == Some(2) && said.err.contains("did you mean `case`?"), "{}", said.err);
    let name = "{field.case}/{field.court}/{name}-{id}.{ext}";
    library.ok(&["export", "field.case:*", "--to", "out", "--as", name, "--with", "json"]);
    let out = library.home.path().join("out");
    let up = library.up(&[], &[]);
    eventually(|| match below(&out).iter().any(|name| name.ends_with(".sha256")) {
        true => Ok(()),
        false => Err(up.log()),
    });
    up.stop();
    assert!(out.join(format!("B_2/no-court/b-{id}.txt")).exists(), "{:?}", below(&out));
    let other = Library::new();
    other.ok(&["import", out.to_str().expect("UTF-8")]);
    let back = other.recordings();
    assert_eq!(back["b.txt"]["fields"]["case"], "B/2");
    assert_eq!(back["a.txt"]["fields"], serde_json::json!({ "case": "A-17", "court": "north" }));
}

fn below(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.path().is_dir() {
            true => files.extend(below(&entry.path()).into_iter().map(|inner| format!("{name}/{inner}"))),
            false => files.push(name),
        }
    }
    files
}

/// A manifest's fields are its tracks', too. What no rule can be for is kept, and whoever cares is told.
#[test]
fn a_mistake_in_a_manifest_is_told_and_nothing_is_lost() {
    let library = library();
    file(&library, "call/ana.txt", "no recording: ana");
    let manifest = r#"{ "title": "Hearing", "fields": { "cas": "A-17", "priority": "high", "court": "south" },
                       "tracks": [ { "file": "ana.txt" } ] }"#;
    file(&library, "call/session.json", manifest);
    library.run(&["ingest", library.home.path().join("call").to_str().expect("UTF-8")]);
    let all = library.recordings();
    for name in ["call/session.json", "call/ana.txt"] {
        assert_eq!(all[name]["fields"]["cas"], "A-17", "{all:?}");
    }
    let alerts = library.json(&["alerts", "ls"]);
    let told = alerts
        .iter()
        .map(|a| &a["alert"])
        .find(|a| a["subject"].as_str().is_some_and(|s| s.contains("some fields of call/session.json")));
    let cause = told.expect("an alert")["cause"].as_str().expect("a text").to_owned();
    assert!(cause.contains("unknown field `cas`; did you mean `case`?"), "{cause}");
    assert!(cause.contains("`high` is not a number"), "{cause}");
}

/// The same of a fleet: what comes with a session, what is said later from anywhere, and what is then done about it.
#[test]
fn a_fleet_goes_by_what_is_said() {
    let cloud = Cloud::new();
    let policy = "version: 1
fields: { case: text, court: [north, south] }
rules:
  - { name: mark, match: { fields: { court: north } }, when: recording.fields.case.startsWith('A-'), tag: [held-there] }
";
    let worker = cloud.worker(policy, &[], &[]);
    let manifest =
        r#"{ "title": "Hearing", "fields": { "case": "A-17" }, "tracks": [ { "file": "ana.txt" } ] }"#;
    cloud.upload("call/session.json", manifest.as_bytes().to_vec());
    cloud.upload("call/ana.txt", b"no recording".to_vec());
    let track = cloud.until("call/ana.txt", |it| it["session"].is_string() && it["fields"]["case"] == "A-17");
    assert_eq!(track["tags"], serde_json::json!([]));
    let said = cloud.run(&["describe", "field.case:a-17", "--field", "court=nort"]);
    assert!(said.code == Some(2) && said.err.contains("did you mean `north`?"), "{}", said.err);
    let said =
        cloud.json(&["describe", "field.case:a-17", "--field", "court=north", "--title", "Hearing, north"]);
    assert!(said.len() == 2 && said.iter().all(|it| it["changed"] == true), "{said:?}");
    for name in ["call/session.json", "call/ana.txt"] {
        cloud.until(name, |it| {
            it["tags"] == serde_json::json!(["held-there"]) && it["title"] == "Hearing, north"
        });
    }
    assert_eq!(cloud.json(&["search", "field.court:north tag:held-there"]).len(), 2);
    worker.stop();
}
