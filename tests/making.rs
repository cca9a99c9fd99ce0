//! Renditions and mixes that a person orders, whatever the policy's rules say.

mod support;

use std::{collections::BTreeSet, fs, path::Path};

use support::{Library, browser, call, camera, eventually};

const RULES: &str = "rules:
  - { name: voices, match: { kind: recording, type: video/* }, convert: [voice] }
  - { name: calls, match: { kind: session }, mix: { layout: audio-only, loudness: -16LUFS } }
";

/// No rule makes anything: what there is in the end was ordered.
const POLICY: &str = "version: 1
presets:
  voice: { kind: audio, container: ogg, audio: { codec: opus, kbps: 32, max_channels: 1 } }
rules: []
";

/// With a film, a talk, and whatever else `more` makes, come in under a policy that makes nothing.
fn came_in(more: &[&str], make: impl FnOnce(&Path)) -> Library {
    let library = Library::new();
    fs::create_dir_all(library.root()).expect("a folder");
    fs::write(library.root().join("policy.yaml"), POLICY).expect("a policy");
    let home = library.home.path();
    camera(&home.join("film.mp4"));
    browser(&home.join("talk.webm"), 2, 300);
    make(home);
    for name in ["film.mp4", "talk.webm"].iter().chain(more) {
        library.run(&["ingest", home.join(name).to_str().expect("UTF-8")]);
    }
    library
}

/// From now on rules ask for it as well.
fn ask_by_rules(library: &Library) {
    let policy = POLICY.replace("rules: []\n", RULES);
    fs::write(library.root().join("policy.yaml"), policy).expect("a policy");
}

fn made(library: &Library, name: &str) -> Vec<String> {
    let all = library.recordings();
    let renditions = all[name]["renditions"].as_array().into_iter().flatten();
    renditions.map(|r| r["name"].as_str().expect("a name").to_owned()).collect()
}

/// Lets the work be done until it is.
fn until(library: &Library, done: impl Fn() -> bool) {
    let up = library.up(&[], &[]);
    eventually(|| if done() { Ok(()) } else { Err(up.log()) });
    up.stop();
}

#[test]
fn what_is_ordered_is_made_once_and_anew_when_that_is_said() {
    let library = came_in(&["notes.txt", "call"], |home| {
        fs::write(home.join("notes.txt"), "no recording").expect("a file");
        call(&home.join("call"));
    });

    for (args, says) in [
        (&["convert", "name:film", "--to", "ogg"][..], "there is no preset `ogg`; there are audio-m4a"),
        (&["mix", "kind:session", "--to", "voice"], "layout `grid` needs a video preset with audio"),
        (&["mix", "kind:session", "--layout", "row"], "there are grid, audio-only"),
        (&["mix", "kind:session", "--loudness", "-3"], "with its unit, as -16LUFS"),
    ] {
        let said = library.run(args);
        assert!(said.code == Some(2) && said.err.contains(says), "{args:?}: {}", said.err);
    }
    // Of everything: what cannot be made is left out with its reason.
    let planned = library.run(&["convert", "--everything", "--to", "voice", "--plan"]);
    for says in [
        "convert: 4 recordings",
        "it is unsupported: text, not media",
        "a session is not converted; `mix` composes its tracks",
        "Nothing was done",
    ] {
        assert!(planned.out.contains(says), "{says}: {}", planned.out);
    }
    assert!(library.json(&["jobs", "--state", "pending"]).is_empty());

    library.ok(&["convert", "name:film", "--to", "voice"]);
    library.ok(&["mix", "kind:session", "--layout", "audio-only", "--loudness", "-16LUFS"]);
    until(&library, || {
        made(&library, "film.mp4") == ["voice"] && made(&library, "call/session.json") == ["audio-m4a"]
    });
    let again = library.ok(&["convert", "name:film", "--to", "voice"]);
    assert!(again.contains("convert: 0 recordings") && again.contains("1 so already"), "{again}");
    let said = library.run(&["mix", "name:film"]);
    assert!(said.code == Some(1) && said.out.contains("only sessions are mixed"), "{}", said.out);
    let jobs = || library.json(&["jobs", "--state", "done"]).len();
    let before = jobs();
    library.ok(&["convert", "name:film", "--to", "voice", "--anew"]);
    until(&library, || jobs() == before + 1);
    assert_eq!(made(&library, "film.mp4"), ["voice"]);
}

/// A rule that comes after the order has a library's worth of encoding to do else.
#[test]
fn what_was_ordered_is_not_made_again_by_a_rule_that_asks_for_the_same() {
    let library = came_in(&["call"], |home| call(&home.join("call")));
    let convert = ["convert", "name:film", "--to", "voice"];
    library.ok(&convert);
    library.ok(&["mix", "kind:session", "--layout", "audio-only", "--loudness", "-16LUFS"]);
    let twice = library.ok(&convert);
    assert!(twice.contains("convert: 0 recordings") && twice.contains("1 ordered already"), "{twice}");
    assert_eq!(library.json(&["jobs", "--state", "pending"]).len(), 2);
    until(&library, || library.json(&["jobs", "--state", "pending"]).is_empty());
    let by_hand = made_by(&library);
    assert_eq!(by_hand.len(), 2, "{by_hand:?}");

    ask_by_rules(&library);
    let plan = library.ok(&["plan"]);
    assert!(plan.contains("convert voice") && !plan.contains("mix"), "{plan}");
    until(&library, || made(&library, "talk.webm") == ["voice"]);
    let after = made_by(&library);
    assert!(by_hand.iter().all(|job| after.contains(job)), "{by_hand:?}: {after:?}");

    // What is to be made anew is, by a job of its own.
    library.ok(&["convert", "name:film", "--to", "voice", "--anew"]);
    until(&library, || made_by(&library).len() == after.len() && made_by(&library) != after);
}

/// What a rule asks for as well is made all the same.
#[test]
fn an_order_that_is_cancelled_takes_nothing_from_a_rule() {
    let library = came_in(&[], |_| {});
    let order = library.json(&["convert", "name:film", "--to", "voice"]);
    let batch = order[0]["batch"].as_str().expect("an id").to_owned();
    library.ok(&["batch", "pause", &batch]);
    ask_by_rules(&library);
    until(&library, || made(&library, "talk.webm") == ["voice"]);
    assert!(made(&library, "film.mp4").is_empty(), "it is paused");
    library.ok(&["batch", "cancel", &batch]);
    until(&library, || made(&library, "film.mp4") == ["voice"]);
    let jobs = library.json(&["jobs"]);
    let made: Vec<_> = jobs.iter().filter(|job| job["action"]["do"] == "convert").collect();
    assert_eq!(made.len(), 2, "{made:#?}");
}

/// The jobs that the renditions come from.
fn made_by(library: &Library) -> BTreeSet<String> {
    let all = library.recordings();
    let renditions = all.values().flat_map(|it| it["renditions"].as_array().into_iter().flatten());
    renditions.map(|made| made["job"].as_str().expect("a job").to_owned()).collect()
}
