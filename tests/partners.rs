//! Partners of other kinds than SFTP, and what is left at partners, with the real binary and real servers.
#![expect(clippy::disallowed_methods, reason = "the tests start the binary, and ask what time it is")]

#[path = "support/exports.rs"]
mod exports;
mod support;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use exports::{files, jobs, keep_secret, key, library, policy, store, until_jobs};
use serde_json::Value;
use support::{Library, eventually, noise};
use testbed::{Certificates, Nginx, Sshd, SshdSettings};

/// What is said of the files that were exported of the only recording, by their names there.
fn exported(library: &Library) -> BTreeMap<String, Value> {
    let id = library.recordings().into_values().next().expect("a recording")["id"].clone();
    let shown = library.json(&["show", id.as_str().expect("an id")]);
    let exports = shown[0]["exports"].as_array().cloned().unwrap_or_default();
    let files = exports.iter().filter_map(|export| export["outcome"]["files"].as_array().cloned()).flatten();
    files.map(|file| (file["name"].as_str().expect("a name").to_owned(), file)).collect()
}

const EXPORT: [&str; 4] = ["export", "--everything", "--no-manifest", "--to"];

/// Processes that have this in their command.
fn running(what: &str) -> usize {
    let all = fs::read_dir("/proc").expect("Linux").flatten();
    let commands = all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    commands.filter(|command| String::from_utf8_lossy(command).contains(what)).count()
}

/// Processes that are in a folder, or below it.
fn within(folder: &Path) -> usize {
    let all = fs::read_dir("/proc").expect("Linux").flatten();
    all.filter_map(|entry| fs::read_link(entry.path().join("cwd")).ok())
        .filter(|at| at.starts_with(folder))
        .count()
}

/// By rsync, from the library's own folder: there, whole, and known by the server's own hash; and nothing the second time.
#[test]
fn over_rsync() {
    let server = Sshd::shared_with_shell();
    let folder = server.new_folder();
    let there = server.files().join(&folder);
    let bytes = noise(0, 3 << 20);
    let library =
        library(&policy(&store("partner", "rsync", server, &folder, ""), "[]"), &[("a.bin", &bytes)]);
    keep_secret(&library, "partner", &key(server));
    let doctor = library.run(&["doctor"]);
    assert!(doctor.out.contains("destination partner") && doctor.out.contains("writable"), "{}", doctor.out);
    let up = library.up(&[], &[]);
    library.ok(&[&EXPORT[..], &["partner", "--as", "{name}.{ext}", "--verify", "hash"]].concat());
    until_jobs(&library, &up, "done", 1);
    assert!(
        files(&there) == BTreeMap::from([("a.bin".to_owned(), bytes.clone())]),
        "{:?}",
        files(&there).keys()
    );
    let file = &exported(&library)["a.bin"];
    assert_eq!((&file["checked"], &file["sent"]), (&"sha256".into(), &(3 << 20).into()), "{file}");
    library.ok(&[&EXPORT[..], &["partner", "--as", "{name}.{ext}", "--verify", "hash"]].concat());
    until_jobs(&library, &up, "done", 2);
    assert!(exported(&library).values().any(|file| file["arrival"] == "already"), "{:?}", exported(&library));
    up.stop();
}

/// Killed in mid-file: nobody of ours goes on running, what is under its name is whole, and what was sent is not sent again.
#[test]
fn rsync_goes_on_where_a_killed_worker_was() {
    let server = Sshd::shared_with_shell();
    let folder = server.new_folder();
    let there = server.files().join(&folder);
    let bytes = noise(0, 24 << 20);
    let library =
        library(&policy(&store("partner", "rsync", server, &folder, ""), "[]"), &[("a.bin", &bytes)]);
    keep_secret(&library, "partner", &key(server));
    library.ok(&[&EXPORT[..], &["partner", "--as", "{name}.{ext}"]].concat());
    let mut up = library.up(&[], &[("VIDEOREC_CRASH_AT", "export-midway")]);
    let died = up.ended(Duration::from_secs(60)).unwrap_or_else(|| panic!("{}", up.log()));
    assert_eq!(died.signal(), Some(9), "{}", up.log());
    let left: Vec<String> = files(&there).into_keys().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].ends_with(".part"), "{left:?}");
    // rsync here and its server there are told apart from anybody's by the partial file's name.
    eventually(|| match running(&left[0]) + within(&library.root()) {
        0 => Ok(()),
        n => Err(format!("{n} processes go on running")),
    });
    let up = library.up(&[], &[]);
    until_jobs(&library, &up, "done", 1);
    up.stop();
    assert!(
        files(&there) == BTreeMap::from([("a.bin".to_owned(), bytes.clone())]),
        "{:?}",
        files(&there).keys()
    );
    let sent = exported(&library)["a.bin"]["sent"].as_u64().expect("bytes");
    assert!(sent < 20 << 20, "all of it again: {sent}");
    // What the killed one had in its folder went with the next one's beginning.
    let work = library.root().join(".videorec/work");
    assert_eq!(fs::read_dir(work).expect("a folder").count(), 0);
}

/// A server without rsync: whoever asked for it is told what to do, also before anything is sent.
#[test]
fn a_server_without_rsync_is_told_of() {
    let lines = vec!["SetEnv PATH=/nowhere".to_owned()];
    let server = Sshd::start_with(SshdSettings { shell: true, lines, ..SshdSettings::default() });
    let folder = server.new_folder();
    let library = library(
        &policy(&store("partner", "rsync", &server, &folder, ""), "[]"),
        &[("a.bin", &noise(0, 2 << 20))],
    );
    keep_secret(&library, "partner", &key(&server));
    let doctor = library.run(&["doctor"]);
    assert!(doctor.out.contains("WRONG  destination partner"), "{}", doctor.out);
    assert!(doctor.out.contains("the package `rsync`"), "{}", doctor.out);
    let up = library.up(&[], &[]);
    library.ok(&[&EXPORT[..], &["partner"]].concat());
    let parked = until_jobs(&library, &up, "parked", 1);
    up.stop();
    assert!(
        parked[0]["error"]["message"].as_str().is_some_and(|m| m.contains("the package `rsync`")),
        "{parked:?}"
    );
    assert!(files(&server.files().join(&folder)).is_empty());
}

/// By HTTP PUT over TLS, in each way to make sure of it.
#[test]
fn over_https_put_with_every_way_to_verify() {
    let certificates = Certificates::of(&["localhost", "127.0.0.1"]);
    let nginx = Nginx::start(Some(&certificates));
    let bytes = noise(0, 3 << 20);
    let ca = tempfile::NamedTempFile::new().expect("a file");
    fs::write(ca.path(), certificates.authority()).expect("a certificate");
    let (user, port) = (Nginx::USER, nginx.address().port());
    let stores = format!(
        "portal: {{ url: \"https://{user}@127.0.0.1:{port}/in/box\", secret: portal, ca: \"{}\" }}",
        ca.path().display()
    );
    let library = library(&policy(&stores, "[]"), &[("a.bin", &bytes)]);
    keep_secret(&library, "portal", Nginx::PASSWORD);
    let up = library.up(&[], &[]);
    let ways = [("none", "none"), ("size", "size"), ("hash", "read-back")];
    for (verify, _) in ways {
        let name = format!("{{name}}-{verify}.{{ext}}");
        library.ok(&[&EXPORT[..], &["portal", "--as", &name, "--verify", verify]].concat());
    }
    until_jobs(&library, &up, "done", 3);
    up.stop();
    let (there, said) = (files(&nginx.files().join("in/box")), exported(&library));
    assert_eq!(there.len(), 3, "{:?}", there.keys());
    for (verify, checked) in ways {
        let name = format!("a-{verify}.bin");
        assert!(there[&name] == bytes, "{name}");
        assert_eq!(
            (&said[&name]["checked"], &said[&name]["arrival"]),
            (&checked.into(), &"sent".into()),
            "{name}"
        );
    }
}

/// A server that says yes and has another size is not believed: nothing counts as exported, and people see why.
#[test]
fn a_put_that_is_answered_well_and_stored_otherwise_is_no_export() {
    let nginx = Nginx::start(None);
    let stores = format!("liar: {{ url: \"http://127.0.0.1:{}/lies\" }}", nginx.address().port());
    let library = library(&policy(&stores, "[]"), &[("a.bin", &noise(0, 10_000))]);
    fs::write(nginx.files().join("lies/a.bin"), b"shorter").expect("a file");
    let up = library.up(&[], &[]);
    let how = ["liar", "--as", "{name}.{ext}", "--on-conflict", "replace", "--verify", "size"];
    library.ok(&[&EXPORT[..], &how].concat());
    eventually(|| {
        let all = jobs(&library);
        let message = all[0]["error"]["message"].as_str().unwrap_or_default();
        if message.contains("has 7 bytes") { Ok(()) } else { Err(format!("{all:#?}\n{}", up.log())) }
    });
    up.stop();
    assert!(nginx.requests().contains("PUT /lies/a.bin 201"), "{}", nginx.requests());
    assert!(exported(&library).is_empty(), "{:?}", exported(&library));
    assert_ne!(jobs(&library)[0]["state"], "done");
}

/// What our dead writers have left half at a partner goes when nobody has written to it for long: nothing else, not before, and only
/// in the partner's hours.
#[test]
fn partial_files_that_nobody_goes_on_with_are_removed() {
    let server = Sshd::shared();
    let (open, closed) = (server.new_folder(), server.new_folder());
    // Half an hour, half a day from when it is looked at.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let hour = (now / 3600 + 1 + 12) % 24;
    let stores = [
        store("open", "sftp", server, &open, ""),
        store("closed", "sftp", server, &closed, &format!(", hours: \"{hour:02}:00-{hour:02}:30 UTC\"")),
    ];
    let library = library(&policy(&stores.join("\n  "), "[]"), &[]);
    keep_secret(&library, "partner", &key(server));
    let partial = |n: u8| format!(".videorec-{}.part", format!("{n:02x}").repeat(12));
    let (old, young) = (partial(1), partial(2));
    let others = ["film.mp4", ".videorec-notes", "x.part"];
    for folder in [&open, &closed] {
        let at = server.files().join(folder);
        for name in others.iter().copied().chain([&*old, &young]) {
            fs::write(at.join(name), "half").expect("a file");
            let long_ago = SystemTime::now() - Duration::from_secs(9 * 24 * 60 * 60);
            if name != young {
                fs::File::options()
                    .write(true)
                    .open(at.join(name))
                    .and_then(|f| f.set_modified(long_ago))
                    .expect("a time");
            }
        }
    }
    let up = library.up(&[], &[]);
    // From now on it counts when each partner was looked through.
    eventually(|| {
        let state = library.root().join(".videorec");
        let kept = |file: &str| fs::read(state.join(file)).unwrap_or_default();
        let known = [kept("catalog.db"), kept("catalog.db-wal")].concat();
        let noted = String::from_utf8_lossy(&known).contains("leftovers:swept");
        if noted { Ok(()) } else { Err(up.log()) }
    });
    up.stop();
    let count = |folder: &str| files(&server.files().join(folder)).len();
    assert_eq!((count(&open), count(&closed)), (5, 5), "a day has not passed");
    let up = library.up(&[], &[("VIDEOREC_CLOCK_AHEAD", "90000")]);
    eventually(|| if count(&open) < 5 { Ok(()) } else { Err(up.log()) });
    eventually(|| if up.log().contains("removed partial files") { Ok(()) } else { Err(up.log()) });
    up.stop();
    let mut left: Vec<String> = files(&server.files().join(&open)).into_keys().collect();
    left.sort();
    let mut expected: Vec<&str> = others.iter().copied().chain([&*young]).collect();
    expected.sort_unstable();
    assert_eq!(left, expected);
    assert_eq!(count(&closed), 5, "not in its hours");
}
