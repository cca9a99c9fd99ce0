//! What a user does, with the real binary: bring in, look, search, change the policy, make mistakes, pull the plug.
#![expect(clippy::disallowed_methods, reason = "the tests start the binary")]

mod support;

use std::{fs, io::Write as _, time::Duration};

use support::{Library, browser, call, camera, eventually, hash, make, said};

#[test]
fn a_folder_becomes_a_library() {
    let library = Library::new();
    let folder = library.home.path().join("in");
    camera(&folder.join("lobby camera.mp4"));
    browser(&folder.join("screen.webm"), 2, 300);
    make(&folder.join("memo.wav"), &["sine=frequency=300:duration=2"], &["-c:a", "pcm_s16le"]);
    call(&folder.join("call"));
    let before = hash(&folder.join("lobby camera.mp4"));
    library.ok(&["ingest", folder.to_str().unwrap()]);
    assert_eq!(hash(&folder.join("lobby camera.mp4")), before, "the source is untouched");

    let all = library.recordings();
    assert_eq!(all.len(), 6, "{all:#?}");
    assert!(all.values().all(|r| r["state"] == "ready"), "{all:#?}");
    let names = |r: &serde_json::Value| -> Vec<String> {
        let renditions = r["renditions"].as_array().unwrap().iter();
        renditions.map(|r| r["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&all["in/lobby camera.mp4"]), ["audio-m4a", "mp4-720p", "thumbnails"]);
    assert_eq!(names(&all["in/call/session.json"]), ["mp4-720p"]);
    assert_eq!(all["in/call/ana.webm"]["kind"], "track");

    // A camera's H.264 in the target's shape is copied, not encoded, and the job says so.
    let choices = &all["in/lobby camera.mp4"]["renditions"][1]["choices"];
    assert_eq!(choices[0]["how"], "copy", "{choices:#}");

    // The mix is as long as the call: Bo joined at 1 s and stayed 2 s, Ana stayed 3 s.
    let mix = all["in/call/session.json"]["renditions"][0]["facts"]["duration_ms"].as_u64().unwrap();
    assert!((2900..3200).contains(&mix), "{mix}");

    // The same again: nothing new, nothing done twice.
    let jobs = library.json(&["jobs", "--limit", "1000"]).len();
    let again = library.run(&["ingest", folder.to_str().unwrap()]);
    assert!(again.err.contains("0 new files") && again.err.contains("6 known already"), "{}", again.err);
    assert_eq!(library.json(&["jobs", "--limit", "1000"]).len(), jobs);
    assert!(library.ok(&["plan"]).contains("nothing to do"));
}

#[test]
fn looking_finds_and_explains() {
    let library = Library::new();
    let folder = library.home.path().join("in");
    browser(&folder.join("Crème brûlée review.webm"), 1, 300);
    camera(&folder.join("lobby.mp4"));
    library.ok(&["ingest", "--tag", "legal,court", folder.to_str().unwrap()]);

    let hits = |words: &[&str]| library.json(&[&["search"], words].concat()).len();
    assert_eq!(hits(&["creme", "review"]), 1);
    assert_eq!(hits(&["tag:legal"]), 2);
    assert_eq!(hits(&["lob*"]), 1);
    let first = library.run(&["--json", "ls", "--limit", "1"]);
    let next: serde_json::Value = serde_json::from_str(first.err.trim()).unwrap();
    let second = library.run(&["--json", "ls", "--limit", "1", "--after", next["next"].as_str().unwrap()]);
    assert!(first.out.lines().count() == 1 && second.out.lines().count() == 1 && first.out != second.out);
    let first = library.run(&["search", "--limit", "1", "state:ready"]);
    let next = first.out.trim().rsplit(' ').next().unwrap();
    assert!(first.out.contains("more: add --after"), "{}", first.out);
    let second = library.ok(&["search", "--limit", "1", "--after", next, "state:ready"]);
    assert!(first.out.contains("lobby") != second.contains("lobby"), "{}{second}", first.out);
    assert_eq!(hits(&["-lobby", "state:ready"]), 1);
    assert_eq!(hits(&["state:ready", "-lobby", "-l"]), 1);
    // What follows the words would be looked for, and nothing found.
    for option in [&["--limit", "5"][..], &["--json"], &["-L", "elsewhere"], &["--anything"]] {
        let said = library.run(&[&["search", "state:ready"], option].concat());
        let why = "options come before the words";
        assert!(said.code == Some(2) && said.err.contains(why) && said.out.is_empty(), "{}", said.err);
    }
    let wrong = library.run(&["search", "tga:legal"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.err.contains("tag"), "{}", wrong.err);

    let id = library.recordings()["in/lobby.mp4"]["id"].as_str().unwrap().to_owned();
    let shown = library.ok(&["show", &id[..10]]);
    for word in ["mp4-720p", "sha-256", "crc64nvme", "320x240", "tags      court, legal", "web copies"] {
        assert!(shown.contains(word), "{word} is not in\n{shown}");
    }
    assert!(library.ok(&["policy", "explain", &id[..10]]).contains("mp4-720p"));
    assert_eq!(library.run(&["show", "zzzz"]).code, Some(3));
    assert!(library.ok(&["ls"]).contains("lobby.mp4"));
    assert!(library.ok(&["jobs"]).contains("convert mp4-720p"));
    assert!(library.ok(&["doctor"]).contains("store recordings"));
    assert!(library.json(&["doctor"]).iter().all(|f| f["ok"] == true));
}

#[test]
fn mistakes_meet_a_sentence_and_a_code() {
    let library = Library::new();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["ls"], 3, "is not a library yet"),
        (&["show", "x"], 3, "is not a library yet"),
        (&["nonsense"], 2, "unrecognized subcommand"),
        (&["ingest"], 2, "required"),
        (&["--policy", "/nowhere.yaml", "ingest", "/tmp/x"], 2, "/nowhere.yaml"),
        (&["--allow-missing", "landlok", "doctor"], 2, "the layers are"),
        (&["jobs", "--state", "sleeping"], 2, "the states are"),
    ];
    for (args, code, word) in cases {
        let said = library.run(args);
        assert_eq!(said.code, Some(*code), "{args:?}: {}", said.err);
        assert!(said.err.contains(word), "{args:?}: {}", said.err);
    }
    // A path that is not there is said, and is exit code 1: the rest was done.
    let said = library.run(&["ingest", "/nowhere.mp4"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.err.contains("/nowhere.mp4"), "{}", said.err);
    // Errors are JSON where JSON was asked for.
    let said = library.run(&["--json", "show", "zzzz"]);
    let error: serde_json::Value = serde_json::from_str(said.err.trim()).unwrap();
    assert_eq!(error["exit_code"], 3);
}

#[test]
fn what_is_no_recording_ends_in_a_state_that_says_so() {
    let library = Library::new();
    let folder = library.home.path().join("in");
    camera(&folder.join("whole.mp4"));
    let whole = fs::read(folder.join("whole.mp4")).unwrap();
    fs::write(folder.join("text.mp4"), "this is not a video").unwrap();
    fs::write(folder.join("empty.mp4"), "").unwrap();
    fs::write(folder.join("cut.mp4"), &whole[..whole.len() / 2]).unwrap();
    let said = library.run(&["ingest", folder.to_str().unwrap()]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    let all = library.recordings();
    assert_eq!(all["in/whole.mp4"]["state"], "ready");
    for name in ["in/text.mp4", "in/empty.mp4", "in/cut.mp4"] {
        let state = all[name]["state"].as_str().unwrap();
        assert!(["unsupported", "damaged"].contains(&state), "{name}: {state}");
        assert!(all[name]["reason"].as_str().unwrap().len() > 10, "{name}: {}", all[name]["reason"]);
        assert!(said.out.contains(&name[3..]), "{}", said.out);
    }
}

#[test]
fn up_takes_what_is_dropped_in_the_inbox_and_only_when_it_is_finished() {
    let library = Library::new();
    let up = library.up(&[], &[]);
    eventually(|| library.inbox().is_dir().then_some(()).ok_or("no inbox".into()));
    let made = library.home.path().join("a.webm");
    browser(&made, 2, 300);
    let bytes = fs::read(&made).unwrap();

    // Written slowly, as over a network: taken whole or not at all.
    let mut slow = fs::File::create(library.inbox().join("slow.webm")).unwrap();
    for piece in bytes.chunks(bytes.len() / 4 + 1) {
        slow.write_all(piece).unwrap();
        slow.flush().unwrap();
        std::thread::sleep(Duration::from_millis(700));
    }
    assert!(library.recordings().is_empty(), "taken while it was being written");
    drop(slow);
    fs::write(library.inbox().join("session.json"), "{ not json").unwrap();

    eventually(|| {
        let all = library.recordings();
        let ready = all.get("slow.webm").is_some_and(|r| r["state"] == "ready");
        ready.then_some(()).ok_or(format!("{all:#?}"))
    });
    let source = library.recordings()["slow.webm"]["digest"]["size"].as_u64();
    assert_eq!(source, Some(bytes.len() as u64));
    assert!(!library.inbox().join("slow.webm").exists());
    let reason = fs::read_to_string(library.inbox().join(".rejected/session.json.reason.txt")).unwrap();
    assert!(reason.contains("not valid"), "{reason}");

    // A second `up` is refused; `ingest` brings in and lets the first one work.
    let second = library.run(&["up"]);
    assert_eq!(second.code, Some(4), "{}", second.err);
    let more = library.home.path().join("more.mp4");
    camera(&more);
    library.ok(&["ingest", more.to_str().unwrap()]);
    assert_eq!(library.recordings()["more.mp4"]["state"], "ready");
    up.stop();
}

/// Promise 7: our own outputs never re-enter as inputs.
#[test]
fn what_we_made_does_not_come_in_again() {
    let library = Library::new();
    let source = library.home.path().join("lobby.mp4");
    camera(&source);
    library.ok(&["ingest", source.to_str().unwrap()]);
    let key = library.recordings()["lobby.mp4"]["renditions"][0]["files"][0]["key"].clone();
    let output = library.root().join("recordings").join(key.as_str().unwrap());
    let copy = library.home.path().join("downloaded.m4a");
    fs::copy(&output, &copy).unwrap();
    for path in [&output, &copy, &library.root()] {
        let said = library.run(&["ingest", path.to_str().unwrap()]);
        assert_eq!(said.code, Some(1), "{path:?}: {}", said.err);
    }
    assert_eq!(library.recordings().len(), 1);
}

/// Promise 2 of the session: tracks and manifest in any order give the same mix.
#[test]
fn a_session_completes_in_any_order() {
    let library = Library::new();
    let folder = library.home.path().join("call");
    call(&folder);
    let path = |file: &str| folder.join(file).display().to_string();
    library.run(&["ingest", &path("bo.webm")]);
    let half = library.run(&["ingest", &path("session.json")]);
    assert_eq!(half.code, Some(1), "{}", half.out);
    assert!(half.out.contains("ana.webm"), "it says what it waits for: {}", half.out);
    library.ok(&["ingest", &path("ana.webm")]);
    let all = library.recordings();
    assert_eq!(all["call/session.json"]["state"], "ready", "{all:#?}");
    assert_eq!(all["call/session.json"]["renditions"].as_array().unwrap().len(), 1);
    assert_eq!(all["call/bo.webm"]["kind"], "track");
}

#[test]
fn another_policy_makes_what_it_asks_for_and_plan_says_so_first() {
    let library = Library::new();
    let source = library.home.path().join("lobby.mp4");
    camera(&source);
    library.ok(&["ingest", source.to_str().unwrap()]);
    let file = library.root().join("policy.yaml");
    library.ok(&["policy", "init"]);
    assert_eq!(library.run(&["policy", "init"]).code, Some(2), "never overwritten");
    library.ok(&["policy", "check"]);

    fs::write(&file, "version: 1\nrules:\n  - name: small\n    match: all\n    convrt: [mp4-480p]\n")
        .unwrap();
    let wrong = library.run(&["policy", "check"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.err.contains("policy.yaml:5:") && wrong.err.contains("`convert`"), "{}", wrong.err);

    // One of the shipped presets, and one of their own.
    let small = "version: 1\n\
        presets:\n  tiny: { kind: video, container: webm, video: { codec: vp9, short_side: 120, crf: 40 } }\n\
        rules:\n  - { name: small, match: all, convert: [mp4-480p, tiny], tag: [small] }\n";
    fs::write(&file, small).unwrap();
    let plan = library.ok(&["plan"]);
    assert!(plan.contains("convert mp4-480p") && plan.contains("tag small"), "{plan}");
    assert!(
        library.recordings()["lobby.mp4"]["renditions"].as_array().unwrap().len() == 3,
        "nothing was done"
    );
    let up = library.up(&[], &[]);
    eventually(|| {
        let lobby = &library.recordings()["lobby.mp4"];
        let made = lobby["renditions"].as_array().unwrap().len() == 5 && lobby["tags"][0] == "small";
        made.then_some(()).ok_or(format!("{lobby:#}"))
    });
    up.stop();
    let lobby = &library.recordings()["lobby.mp4"];
    let tiny = lobby["renditions"].as_array().unwrap().iter().find(|r| r["name"] == "tiny").unwrap();
    let video = &tiny["facts"]["streams"][0];
    assert_eq!((&video["codec"], &video["video"]["height"]), (&"vp9".into(), &120.into()), "{tiny:#}");
}

/// A job that gives up says why, and `retry` takes it up again when the reason is gone.
#[test]
fn what_gave_up_is_taken_up_again() {
    let library = Library::new();
    let source = library.home.path().join("lobby.mp4");
    camera(&source);
    fs::create_dir_all(library.root()).unwrap();
    let replica = library.home.path().join("replica");
    let policy = format!(
        "version: 1\nstores: {{ replica: {{ url: {} }} }}\nrules:\n  - {{ name: second, match: all, backup: replica }}\n",
        replica.display()
    );
    fs::write(library.root().join("policy.yaml"), policy).unwrap();
    let taken = library.json(&["ingest", "--no-wait", source.to_str().unwrap()]);
    // Other bytes stand wherever the copy could go: one such file would be passed by.
    let id = taken[0]["id"].as_str().unwrap();
    let key = library.json(&["show", id])[0]["recording"]["key"].as_str().unwrap().to_owned();
    let target = replica.join(key);
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    let (stem, extension) = target.to_str().unwrap().rsplit_once('.').unwrap();
    for n in 2..=9 {
        fs::write(format!("{stem}.{n}.{extension}"), "something else").unwrap();
    }
    fs::write(&target, "something else").unwrap();

    let said = library.run(&["ingest", source.to_str().unwrap()]);
    assert_eq!(said.code, Some(1), "{}", said.out);
    let parked = library.ok(&["jobs", "--state", "parked"]);
    assert!(parked.contains("backup replica") && parked.contains("videorec retry"), "{parked}");
    assert_eq!(fs::read(&target).unwrap(), b"something else", "nothing is overwritten");
    fs::remove_file(&target).unwrap();
    assert!(library.ok(&["retry", "--all"]).contains("1 job"));
    library.ok(&["ingest", source.to_str().unwrap()]);
    assert_eq!(hash(&target), hash(&source));
    assert_eq!(library.recordings()["lobby.mp4"]["state"], "ready");
}

#[test]
fn ctrl_c_ends_cleanly_and_starting_again_goes_on() {
    let library = Library::new();
    let source = library.home.path().join("long.webm");
    browser(&source, 40, 300);
    let mut ingest = library.command(&["ingest", source.to_str().unwrap()]);
    let child =
        ingest.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    eventually(|| {
        let running = library.run(&["--json", "jobs", "--state", "running"]).out;
        running.contains("convert").then_some(()).ok_or(running)
    });
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let stopped = said(child.wait_with_output().unwrap());
    assert!(stopped.code.is_some(), "ended by itself, not by the signal: {}", stopped.err);
    library.ok(&["ingest", source.to_str().unwrap()]);
    assert_eq!(library.recordings()["long.webm"]["state"], "ready");
}

/// Metadata with script, formula and control characters is inert.
#[test]
fn hostile_names_and_metadata_are_inert() {
    let library = Library::new();
    let folder = library.home.path().join("in");
    let inputs = ["testsrc2=size=64x64:rate=10:duration=1"];
    let title = "title=\x1b[31m<script>alert(1)</script>\n=cmd|' /C calc'!A0";
    make(&folder.join("-i concat:x;$(touch pwned).mp4"), &inputs, &["-metadata", title]);
    make(&folder.join("a\u{1b}[2J\u{202e}b.mp4"), &inputs, &[]);
    library.ok(&["ingest", folder.to_str().unwrap()]);
    for args in [&["ls"][..], &["jobs"], &["search", "type:video/*"]] {
        let said = library.run(args);
        assert!(!said.out.contains('\u{1b}') && !said.out.contains('\u{202e}'), "{}", said.out);
    }
    for recording in library.recordings().values() {
        let shown = library.ok(&["show", recording["id"].as_str().unwrap()]);
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }
    assert!(!std::path::Path::new("pwned").exists() && !folder.join("pwned").exists());
}

#[test]
fn completions_are_to_be_had_for_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(Library::new().ok(&["completions", shell]).contains("videorec"));
    }
}

/// A full disk is said and loses nothing: what fits is taken, what does not stays where it was, and room heals it.
#[test]
fn a_full_disk_is_said_and_loses_nothing() {
    let library = Library::new();
    fs::create_dir_all(library.root()).unwrap();
    let root = library.root();
    let mount = ["-t", "tmpfs", "-o", "size=24m", "tmpfs", root.to_str().unwrap()];
    if !std::process::Command::new("mount").args(mount).status().is_ok_and(|s| s.success()) {
        return eprintln!("skipped: only root may mount the small disk that this needs");
    }
    let _mounted = Unmount(root.clone());
    let (small, large) = (library.home.path().join("small.mp4"), library.home.path().join("large.mp4"));
    camera(&small);
    fs::write(&large, vec![7; 40_000_000]).unwrap();
    library.ok(&["ingest", small.to_str().unwrap()]);
    let full = library.run(&["ingest", large.to_str().unwrap()]);
    assert_eq!(full.code, Some(5), "{}", full.err);
    assert!(full.err.contains("free some space"), "{}", full.err);
    assert_eq!(library.recordings().len(), 1, "half a file became a recording");
    assert_eq!(library.recordings()["small.mp4"]["state"], "ready");
    assert!(
        library
            .json(&["doctor"])
            .iter()
            .any(|f| f["ok"] == false && f["says"].as_str().unwrap().contains("free"))
    );

    let grown = ["-o", "remount,size=200m", root.to_str().unwrap()];
    assert!(std::process::Command::new("mount").args(grown).status().unwrap().success());
    // Not a video, but taken in whole.
    assert_eq!(library.run(&["ingest", large.to_str().unwrap()]).code, Some(1));
    assert_eq!(library.recordings()["large.mp4"]["digest"]["size"], 40_000_000);
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Whatever a process that was killed has left in its work folder keeps nobody from starting.
#[test]
fn what_a_killed_process_left_is_cleared() {
    let library = Library::new();
    let work = library.root().join(".videorec/work");
    fs::create_dir_all(work.join("job/deep")).unwrap();
    fs::write(work.join("job/deep/in0"), "half").unwrap();
    fs::write(work.join("fetched-1"), "half").unwrap();
    let notes = library.home.path().join("notes.txt");
    fs::write(&notes, "no recording").unwrap();
    let said = library.run(&["ingest", notes.to_str().unwrap()]);
    assert_eq!((said.code, library.recordings().len()), (Some(1), 1), "{}", said.err);
    assert_eq!(fs::read_dir(&work).unwrap().count(), 0);
}

/// The process that works ends; the one that only watched takes over.
#[test]
fn who_watches_takes_over_when_the_worker_is_killed() {
    let library = Library::new();
    let source = library.home.path().join("long.webm");
    browser(&source, 30, 300);
    let mut up = library.up(&[], &[("VIDEOREC_CRASH_AT", "job-claimed:2")]);
    // From then on it is the one that works, though it has not got so far that it could: the policy is waited for.
    let lock = library.root().join(".videorec/lock");
    let holder = || fs::read_to_string(&lock).unwrap_or_default();
    eventually(|| if holder() == up.child.id().to_string() { Ok(()) } else { Err(up.log()) });
    let said = library.run(&["ingest", source.to_str().unwrap()]);
    assert_eq!(said.code, Some(0), "{}\n{}", said.err, up.log());
    assert!(up.ended(Duration::from_secs(10)).is_some(), "it was to be killed");
    assert!(said.err.contains("takes over"), "{}", said.err);
    assert_eq!(library.recordings()["long.webm"]["state"], "ready");
}

/// Promise 1: a second copy that is the first one under another name is none. Nor may a store lie where new files are
/// taken from, or around the library.
#[test]
fn a_store_has_a_folder_of_its_own() {
    let library = Library::new();
    let source = library.home.path().join("lobby.mp4");
    camera(&source);
    library.ok(&["ingest", source.to_str().unwrap()]);
    let link = library.home.path().join("elsewhere");
    std::os::unix::fs::symlink(library.root().join("recordings"), &link).unwrap();
    let places =
        [library.root().join("recordings"), library.inbox().join("backup"), link, library.home.path().into()];
    for place in places {
        let policy = format!(
            "version: 1\nstores: {{ replica: {{ url: {} }} }}\nrules:\n  - {{ name: second, match: all, backup: replica }}\n",
            place.display()
        );
        fs::write(library.root().join("policy.yaml"), policy).unwrap();
        let refused = library.run(&["ingest", source.to_str().unwrap()]);
        assert_eq!(refused.code, Some(2), "{place:?}: {}", refused.err);
        assert!(refused.err.contains("a folder of its own"), "{}", refused.err);
        assert_eq!(library.run(&["doctor"]).code, Some(1), "{place:?}");
    }
    assert_eq!(library.json(&["jobs"]).iter().filter(|j| j["action"]["do"] == "backup").count(), 0);
}

#[test]
fn a_source_that_was_lost_is_healed_by_bringing_it_in_again() {
    let library = Library::new();
    let source = library.home.path().join("lobby.mp4");
    camera(&source);
    library.ok(&["ingest", source.to_str().unwrap()]);
    let key = library.recordings()["lobby.mp4"]["key"].as_str().unwrap().to_owned();
    let stored = library.root().join("recordings").join(key);
    fs::remove_file(&stored).unwrap();
    library.ok(&["ingest", source.to_str().unwrap()]);
    assert_eq!(hash(&stored), hash(&source));
}

#[test]
fn a_policy_that_is_being_edited_keeps_nobody_from_looking() {
    let library = Library::new();
    let source = library.home.path().join("lobby.mp4");
    camera(&source);
    library.ok(&["ingest", source.to_str().unwrap()]);
    fs::write(library.root().join("policy.yaml"), "version: 1\nrules: [ { name: half").unwrap();
    for args in [&["ls"][..], &["jobs"], &["search", "lobby"]] {
        library.ok(args);
    }
    let id = library.recordings()["lobby.mp4"]["id"].as_str().unwrap().to_owned();
    assert!(library.ok(&["show", &id]).contains("the policy does not check"));
    assert_eq!(library.run(&["plan"]).code, Some(2));
    let usage = library.run(&["--json", "ls", "--bogus"]);
    let error: serde_json::Value = serde_json::from_str(usage.err.trim()).unwrap();
    assert_eq!((usage.code, &error["exit_code"]), (Some(2), &2.into()));
}

/// What segmenters and slow microphones leave: timestamps that begin at an hour, sound that begins late.
#[test]
fn recordings_that_begin_late_are_whole() {
    let library = Library::new();
    let folder = library.home.path().join("in");
    let picture = "testsrc=s=160x120:r=25:d=4,format=yuv420p";
    let x264 = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"];
    make(
        &folder.join("hour.mkv"),
        &[picture, "sine=440:d=4"],
        &[&x264[..], &["-output_ts_offset", "3600"]].concat(),
    );
    let late =
        ["-af", "adelay=0", "-filter_complex", "[1:a]asetpts=PTS+0.2/TB[a]", "-map", "0:v", "-map", "[a]"];
    make(&folder.join("late.mkv"), &[picture, "sine=440:d=3"], &[&late[2..], &x264].concat());
    let said = library.run(&["ingest", folder.to_str().unwrap()]);
    assert_eq!(said.code, Some(0), "{}\n{}", said.out, said.err);
    // A link inside a folder is not followed, and that is said.
    std::os::unix::fs::symlink(folder.join("late.mkv"), folder.join("link.mkv")).unwrap();
    let linked = library.run(&["ingest", folder.to_str().unwrap()]);
    assert_eq!(linked.code, Some(1));
    assert!(linked.err.contains("link.mkv") && linked.err.contains("not followed"), "{}", linked.err);
}
