//! Recordings leave for partners and come back, with the real binary and real servers.
#![expect(clippy::disallowed_methods, reason = "the tests start the binary")]

#[path = "support/exports.rs"]
mod exports;
mod support;

use std::{collections::BTreeMap, fs, os::unix::process::ExitStatusExt as _, path::Path, time::Duration};

use exports::{files, jobs, keep_secret, key, library, policy, store, until_jobs, write_policy};
use serde_json::Value;
use support::{Library, Said, camera, eventually, noise, said};
use testbed::{Certificates, Ftp, FtpTls, Sshd, WebDav};

/// A store that is a folder on that server, as a line of `stores:`.
fn sftp(server: &Sshd, folder: &str, further: &str) -> String {
    store("partner", "sftp", server, folder, further)
}

fn names(folder: &Path) -> Vec<String> {
    files(folder).into_keys().collect()
}

/// By hand over SFTP: a plan, the files under their names with what travels along, the manifest last; and nothing the second time.
#[test]
fn by_hand_over_sftp_with_a_manifest() {
    let server = Sshd::shared();
    let folder = server.new_folder();
    let there = server.files().join(&folder);
    let files_in: [(&str, &[u8]); 2] = [("call/a.txt", b"first"), ("b.txt", b"second")];
    let library = library(&policy(&sftp(server, &folder, ""), "[]"), &files_in);
    keep_secret(&library, "partner", &key(server));
    let order = [
        "export",
        "--everything",
        "--to",
        "partner",
        "--as",
        "{folder}/{name}.{ext}",
        "--with",
        "json,dublin-core",
    ];
    let said = library.ok(&[&order[..], &["--plan"]].concat());
    assert!(said.contains("source to partner: 2 recordings, 11 B"), "{said}");
    assert!(said.contains("Nothing was done"), "{said}");
    assert!(jobs(&library).is_empty());
    let said = library.run(&["export", "--everything", "--to", "partnr"]);
    assert_eq!((said.code, said.err.contains("partner")), (Some(2), true), "{}", said.err);

    let up = library.up(&[], &[]);
    library.ok(&order);
    let manifest = |n| {
        eventually(|| {
            let found: Vec<_> = names(&there).into_iter().filter(|name| name.ends_with(".sha256")).collect();
            if found.len() == n { Ok(found) } else { Err(format!("{found:?}\n{}", up.log())) }
        })
    };
    let sums = manifest(1);
    let all = files(&there);
    assert_eq!(all["in/call/a.txt"], b"first");
    assert_eq!(all["in/b.txt"], b"second");
    let about: Value = serde_json::from_slice(&all["in/call/a.json"]).expect("JSON");
    assert_eq!((&about["name"], &about["source"]["bytes"]), (&"in/call/a.txt".into(), &5.into()));
    assert!(String::from_utf8_lossy(&all["in/b.dc.xml"]).contains("<dc:source>in/b.txt</dc:source>"));
    assert_eq!(all.len(), 6 + 3, "{:?}", all.keys());
    check_sums(&there, &sums[0]);
    let stem = sums[0].trim_end_matches(".sha256");
    let lines = lines(&all[&format!("{stem}.jsonl")]);
    assert_eq!(lines.len(), 6 + 2, "{lines:#?}");
    assert_eq!(lines[7]["files"], 6);
    assert!(
        lines[1..7].iter().all(|line| line["arrival"] == "sent" && line["sha256"].is_string()),
        "{lines:#?}"
    );
    let table = String::from_utf8_lossy(&all[&format!("{stem}.csv")]).into_owned();
    assert_eq!(table.lines().count(), 7, "{table}");

    // Ordered again, nothing is written but the other order's manifest.
    let before = times(&there);
    library.ok(&order);
    let sums = manifest(2);
    let stem =
        sums.iter().map(|s| s.trim_end_matches(".sha256")).find(|s| !s.contains(stem)).expect("another");
    let again = lines_of(&there, &format!("{stem}.jsonl"));
    assert!(again[1..7].iter().all(|line| line["arrival"] == "already"), "{again:#?}");
    let after = times(&there);
    assert!(before.iter().all(|(name, time)| after[name] == *time), "{before:?} {after:?}");
    up.stop();
}

fn times(folder: &Path) -> BTreeMap<String, std::time::SystemTime> {
    let time = |name: &String| fs::metadata(folder.join(name)).and_then(|m| m.modified()).expect("a time");
    names(folder).into_iter().map(|name| (name.clone(), time(&name))).collect()
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

fn lines_of(folder: &Path, name: &str) -> Vec<Value> {
    lines(&fs::read(folder.join(name)).expect("a manifest"))
}

/// What whoever receives it has on every machine.
fn check_sums(folder: &Path, name: &str) {
    let mut command = std::process::Command::new("sha256sum");
    let checked =
        said(command.args(["--check", "--strict", name]).current_dir(folder).output().expect("sha256sum"));
    assert_eq!(checked.code, Some(0), "{}{}", checked.out, checked.err);
}

/// By rule, as soon as the rendition is there: what is watched, its pictures and what is known of it, once.
#[test]
fn by_rule_over_sftp_once_the_rendition_is_made() {
    let server = Sshd::shared();
    let folder = server.new_folder();
    let there = server.files().join(&folder);
    let rules = "\n  - { name: web, match: { type: video/* }, convert: [mp4-720p, thumbnails] }\n  - name: share\n    \
                 match: { tags: [share] }\n    export: { to: partner, rendition: mp4-720p, as: \"{name}.{ext}\", \
                 with: [json, thumbnails] }";
    let library = library(&policy(&sftp(server, &folder, ""), rules), &[]);
    keep_secret(&library, "partner", &key(server));
    let film = library.home.path().join("film.mp4");
    camera(&film);
    library.ok(&["ingest", &film.display().to_string(), "--tag", "share"]);
    let all = files(&there);
    let names: Vec<_> = all.keys().map(String::as_str).collect();
    assert_eq!(names, ["film.json", "film.mp4", "film.poster.jpg", "film.sprite.jpg", "film.tiles.vtt"]);
    assert!(String::from_utf8_lossy(&all["film.tiles.vtt"]).contains("\nfilm%2Esprite%2Ejpg#xywh="));
    let about: Value = serde_json::from_slice(&all["film.json"]).expect("JSON");
    assert_eq!(
        (&about["rendition"], &about["media"]["media_type"]),
        (&"mp4-720p".into(), &"video/mp4".into())
    );
    let id = jobs(&library)[0]["recording"].as_str().expect("an id").to_owned();
    let shown = library.ok(&["show", &id]);
    assert!(shown.contains("export mp4-720p to partner") && shown.contains("partner: film.mp4"), "{shown}");
    let before = times(&there);
    library.ok(&["ingest", &film.display().to_string()]);
    assert_eq!((before, jobs(&library).len()), (times(&there), 1));
}

/// Nothing is lost on the way out and back: every recording comes in again with its bytes, name, title, tags and dates, and a session
/// with its tracks. And a second time nothing is fetched.
#[test]
fn what_was_exported_comes_back_whole() {
    let server = Sshd::shared();
    let folder = server.new_folder();
    let partner = policy(&sftp(server, &folder, ""), "[]");
    let library = library(&partner, &[]);
    keep_secret(&library, "partner", &key(server));
    let home = library.home.path();
    camera(&home.join("film.mp4"));
    support::call(&home.join("call"));
    let path = |name: &str| home.join(name).display().to_string();
    library.ok(&[
        "ingest",
        &path("film.mp4"),
        "--tag",
        "legal,case=12",
        "--recorded-at",
        "2025-03-01T09:00:00Z",
    ]);
    library.ok(&["ingest", &path("call")]);
    library.ok(&["export", "--everything", "--to", "partner"]);
    let up = library.up(&[], &[]);
    eventually(|| match names(&server.files().join(&folder)).iter().any(|n| n.ends_with(".sha256")) {
        true => Ok(()),
        false => Err(up.log()),
    });
    up.stop();

    let fresh = self::library(&partner, &[]);
    keep_secret(&fresh, "partner", &key(server));
    let plan = fresh.ok(&["import", "partner", "--plan"]);
    assert!(plan.contains("4 new recordings"), "{plan}");
    let said = fresh.ok(&["import", "partner"]);
    assert!(said.contains("its hash is the right one") && said.contains("4 new recordings"), "{said}");
    let what = |library: &Library| -> BTreeMap<String, Value> {
        let keep = ["id", "name", "title", "kind", "tags", "recorded_at", "digest", "session", "tracks"];
        let all = library.recordings().into_iter();
        all.map(|(name, r)| (name, keep.iter().map(|k| ((*k).to_owned(), r[*k].clone())).collect())).collect()
    };
    assert_eq!(what(&fresh), what(&library));
    assert_eq!(what(&fresh).len(), 4);
    let said = fresh.ok(&["import", "partner"]);
    assert!(said.contains("0 new recordings; 4 here already; 0 failed"), "{said}");

    // What was changed there is not taken in; and a manifest that was cut is none.
    let there = server.files().join(&folder);
    let film = names(&there).into_iter().find(|n| n.ends_with(".mp4")).expect("the film");
    let broken = Library::new();
    let copy = broken.home.path().join("copy");
    for (name, mut bytes) in files(&there) {
        if name == film {
            bytes[1000] ^= 1;
        }
        fs::create_dir_all(copy.join(&name).parent().expect("a folder")).expect("a folder");
        fs::write(copy.join(&name), bytes).expect("a copy");
    }
    let from = copy.display().to_string();
    let said = broken.run(&["import", &from]);
    assert_eq!(said.code, Some(1), "{}\n{}", said.out, said.err);
    assert!(said.out.contains("not imported") && said.out.contains("3 new recordings"), "{}", said.out);
    let manifest = names(&copy).into_iter().find(|n| n.ends_with(".jsonl")).expect("a manifest");
    let text = fs::read_to_string(copy.join(&manifest)).expect("text");
    fs::write(copy.join(&manifest), text.rsplit_once("{\"line\":\"end\"").expect("an end").0).expect("cut");
    let said = broken.run(&["import", &from]);
    assert!(said.code != Some(0) && said.err.contains("changed or cut"), "{}", said.err);
    fs::remove_file(copy.join(manifest.replace(".jsonl", ".sha256"))).expect("no hash either");
    let said = broken.run(&["import", &from]);
    assert!(said.code != Some(0) && said.err.contains("was cut"), "{}", said.err);
}

/// Promise 6 for places that are not ours: killed in mid-file and when all is sent; what is under its name is whole, and what was
/// sent is not sent again.
#[test]
fn a_worker_that_is_killed_goes_on_where_it_was() {
    let server = Sshd::shared();
    let bytes = noise(0, 24 << 20);
    for point in ["export-midway", "export-sent"] {
        let folder = server.new_folder();
        let there = server.files().join(&folder);
        let library = library(&policy(&sftp(server, &folder, ""), "[]"), &[("a.bin", &bytes)]);
        keep_secret(&library, "partner", &key(server));
        library.ok(&[
            "export",
            "--everything",
            "--to",
            "partner",
            "--as",
            "{name}-{id}.{ext}",
            "--no-manifest",
        ]);
        let mut up = library.up(&[], &[("VIDEOREC_CRASH_AT", point)]);
        let died = up.ended(Duration::from_secs(60)).unwrap_or_else(|| panic!("{point}: {}", up.log()));
        assert_eq!(died.signal(), Some(9), "{point}: {}", up.log());
        let whole: Vec<_> = names(&there).into_iter().filter(|n| !n.ends_with(".part")).collect();
        assert_eq!(whole.len(), usize::from(point == "export-sent"), "{point}: {whole:?}");
        let up = library.up(&[], &[]);
        let done = until_jobs(&library, &up, "done", 1);
        up.stop();
        let all = files(&there);
        assert_eq!(all.len(), 1, "{point}: {:?}", all.keys());
        assert!(all.values().next() == Some(&bytes), "{point}");
        let shown = library.json(&["show", done[0]["recording"].as_str().expect("an id")]);
        let file = &shown[0]["exports"][0]["outcome"]["files"][0];
        let sent = file["sent"].as_u64().expect("bytes");
        assert!(sent < bytes.len() as u64, "{point}: all of it again: {file}");
        assert_eq!(
            file["arrival"],
            if point == "export-sent" { "already" } else { "sent" },
            "{point}: {file}"
        );
    }
}

/// A manifest that was delivered by somebody who died before saying so is delivered again, and is the same; one whose partner is away
/// is delivered when it is back.
#[test]
fn a_manifest_is_delivered_whoever_dies_meanwhile() {
    let server = Sshd::start();
    let folder = server.new_folder();
    let there = server.files().join(&folder);
    let library = library(&policy(&sftp(&server, &folder, ""), "[]"), &[("a.txt", b"first")]);
    keep_secret(&library, "partner", &key(&server));
    library.ok(&["export", "--everything", "--to", "partner", "--as", "{name}-{id}.{ext}"]);
    let mut up = library.up(&[], &[("VIDEOREC_CRASH_AT", "manifest-delivered")]);
    let died = up.ended(Duration::from_secs(60)).unwrap_or_else(|| panic!("{}", up.log()));
    assert_eq!(died.signal(), Some(9), "{}", up.log());
    let before = files(&there);
    assert_eq!(before.len(), 1 + 3, "{:?}", before.keys());
    server.kill();
    let up = library.up(&[], &[]);
    eventually(|| {
        let told = library.json(&["alerts", "ls"]);
        let away = |a: &Value| a["alert"]["key"].as_str().is_some_and(|k| k.starts_with("manifest/"));
        told.iter().any(away).then_some(()).ok_or_else(|| up.log())
    });
    server.restart();
    up.stop();
    // What is left to wait for is over.
    let up = library.up(&[], &[("VIDEOREC_CLOCK_AHEAD", "3600")]);
    eventually(|| up.log().contains("the manifest is delivered").then_some(()).ok_or_else(|| up.log()));
    up.stop();
    assert!(files(&there) == before, "{:?}", files(&there).keys());
}

/// Who is not who we were told, or does not let us in, gets nothing; people are told what to do; and no secret shows anywhere.
#[test]
fn wrong_keys_and_passwords_are_said_and_shown_to_nobody() {
    const CANARY: &str = "canary-of-a-secret";
    let server = Sshd::shared();
    let folder = server.new_folder();
    let webdav = WebDav::start(None);
    let stores = format!(
        "{}\n  portal: {{ url: \"dav://{}@127.0.0.1:{}/dav\", secret: portal }}\n  \
         none: {{ url: \"dav://x@127.0.0.1:{}/dav\", secret: nowhere }}",
        sftp(server, &folder, "")
            .replace(&server.fingerprint("ed25519"), &format!("SHA256:{}", "A".repeat(43))),
        WebDav::USER,
        webdav.address().port(),
        webdav.address().port(),
    );
    let library = library(&policy(&stores, "[]"), &[("a.txt", b"first")]);
    keep_secret(&library, "partner", &key(server));
    let env = [("VIDEOREC_SECRET_PORTAL", CANARY), ("VIDEOREC_LOG", "debug")];
    let run =
        |args: &[&str]| -> Said { said(library.command(args).envs(env).output().expect("videorec starts")) };
    for to in ["partner", "portal", "none"] {
        assert_eq!(run(&["export", "--everything", "--to", to]).code, Some(0), "{to}");
    }
    let up = library.up(&[], &env);
    let parked = until_jobs(&library, &up, "parked", 3);
    let why = |to: &str| {
        let job = parked.iter().find(|job| job["action"]["to"] == to).expect("its job");
        job["error"]["message"].as_str().expect("a message").to_owned()
    };
    let fingerprint = server.fingerprint("ed25519");
    assert!(
        why("partner").contains(&fingerprint) && why("partner").contains("host_key"),
        "{}",
        why("partner")
    );
    assert!(why("portal").contains("password"), "{}", why("portal"));
    assert!(why("none").contains("VIDEOREC_SECRET_NOWHERE"), "{}", why("none"));
    assert!(files(&server.files().join(&folder)).is_empty() && files(&webdav.files()).is_empty());

    let doctor = run(&["doctor"]);
    assert_eq!(doctor.code, Some(1));
    assert!(
        doctor.out.contains("destination partner") && doctor.out.contains(&fingerprint),
        "{}",
        doctor.out
    );
    let log = up.log();
    up.stop();
    let mut said = vec![log, doctor.out, doctor.err];
    for args in [
        &["--json", "jobs"][..],
        &["--json", "audit", "ls"],
        &["--json", "doctor"],
        &["--json", "alerts", "ls"],
    ] {
        let one = run(args);
        said.extend([one.out, one.err]);
    }
    let catalog = fs::read(library.root().join(".videorec/catalog.db")).expect("a catalog");
    said.push(String::from_utf8_lossy(&catalog).into_owned());
    for secret in [CANARY, key(server).lines().nth(1).expect("a line of the key")] {
        assert!(said.iter().all(|text| !text.contains(secret)), "{secret} is shown");
    }

    // The secret is read anew: what was mended is taken up without starting again.
    keep_secret(&library, "portal", WebDav::PASSWORD);
    let up = library.up(&[], &[]);
    library.ok(&["retry", "--all"]);
    eventually(|| match names(&webdav.files()).len() {
        0 => Err(up.log()),
        _ => Ok(()),
    });
    up.stop();
}

/// A partner whose disk is full is tried again later, and people see why; where it is by its own folder, others are not concerned.
#[test]
fn over_webdav_and_ftps_and_a_full_disk() {
    let certificates = Certificates::of(&["localhost", "127.0.0.1"]);
    let (webdav, ftp) = (WebDav::start(Some(&certificates)), Ftp::start(FtpTls::Explicit, &certificates));
    let library = Library::new();
    let ca = library.home.path().join("ca.pem");
    fs::write(&ca, certificates.authority()).expect("a certificate");
    let (ca, dav_port, ftp_port) = (ca.display(), webdav.address().port(), ftp.address().port());
    let (dav, user) = (WebDav::USER, Ftp::USER);
    let stores = format!(
        "portal: {{ url: \"davs://{dav}@127.0.0.1:{dav_port}/dav/in\", secret: portal, ca: \"{ca}\" }}\n  \
         full: {{ url: \"davs://{dav}@127.0.0.1:{dav_port}/dav/full\", secret: portal, ca: \"{ca}\" }}\n  \
         old: {{ url: \"ftpes://{user}@127.0.0.1:{ftp_port}\", secret: old, ca: \"{ca}\" }}"
    );
    let library = self::library(&policy(&stores, "[]"), &[("a.txt", b"first"), ("b.txt", b"second")]);
    fs::create_dir_all(webdav.files().join("in")).expect("a folder");
    fs::create_dir_all(webdav.files().join("full")).expect("a folder");
    keep_secret(&library, "portal", WebDav::PASSWORD);
    keep_secret(&library, "old", &format!("{{ \"password\": \"{}\" }}", Ftp::PASSWORD));
    for to in ["full", "portal", "old"] {
        library.ok(&["export", "--everything", "--to", to, "--as", "{name}-{id}.{ext}", "--with", "json"]);
    }
    let up = library.up(&[], &[]);
    for there in [webdav.files().join("in"), ftp.files()] {
        let all = eventually(|| {
            let all = files(&there);
            if all.keys().any(|n| n.ends_with(".sha256")) {
                Ok(all)
            } else {
                Err(format!("{:?}\n{}", all.keys(), up.log()))
            }
        });
        assert_eq!(all.len(), 4 + 3, "{:?}", all.keys());
        check_sums(&there, all.keys().find(|n| n.ends_with(".sha256")).expect("hashes"));
    }
    let waits = eventually(|| {
        let all = jobs(&library);
        let full = |job: &&Value| job["action"]["to"] == "full" && job["error"]["kind"] == "temporary";
        let found: Vec<_> = all.iter().filter(full).cloned().collect();
        if found.len() == 2 { Ok(found) } else { Err(format!("{all:#?}")) }
    });
    assert!(waits[0]["error"]["message"].as_str().is_some_and(|m| m.contains("full")), "{waits:?}");
    assert!(names(&webdav.files().join("full")).is_empty(), "nothing half is left");
    up.stop();
}

/// Outside of the hours that a partner has agreed to nothing goes there; whoever works here is not held up by that; and when they
/// begin, it goes.
#[test]
fn what_is_ordered_out_of_hours_waits_for_them() {
    let server = Sshd::shared();
    let folder = server.new_folder();
    let there = server.files().join(&folder);
    let out = std::process::Command::new("date").args(["-u", "+%H"]).output().expect("date");
    let hour: u32 = String::from_utf8_lossy(&out.stdout).trim().parse().expect("an hour");
    let hours = format!(", hours: \"{:02}:00-{:02}:00 UTC\"", (hour + 3) % 24, (hour + 6) % 24);
    let library = library(&policy(&sftp(server, &folder, &hours), "[]"), &[("a.txt", b"first")]);
    keep_secret(&library, "partner", &key(server));
    library.ok(&["export", "--everything", "--to", "partner", "--no-manifest"]);
    // It comes to its end, although a job is still to be done.
    let more = library.home.path().join("b.txt");
    fs::write(&more, "second").expect("a file");
    let said = library.run(&["ingest", &more.display().to_string()]);
    assert_eq!(said.code, Some(1), "{}\n{}", said.out, said.err);
    let waiting = jobs(&library);
    assert_eq!(
        (waiting[0]["state"].as_str(), waiting[0]["attempts"].as_u64()),
        (Some("pending"), Some(0)),
        "{waiting:?}"
    );
    assert!(names(&there).is_empty());
    let ahead = (4 * 3600).to_string();
    let up = library.up(&[], &[("VIDEOREC_CLOCK_AHEAD", &ahead)]);
    until_jobs(&library, &up, "done", 1);
    up.stop();
    assert_eq!(names(&there).len(), 1);
}

/// A batch is paused, goes on and is cancelled; its manifest says what is not there. Meanwhile a slow partner holds up itself only.
#[test]
fn a_slow_batch_is_paused_resumed_and_cancelled_and_holds_up_nobody() {
    let server = Sshd::shared();
    let (slow, quick) = (server.new_folder(), server.new_folder());
    let second = sftp(server, &quick, "").replacen("partner:", "quick:", 1);
    let stores = format!("{}\n  {second}", sftp(server, &slow, ", connections: 1, bandwidth: 300kB"));
    let bytes: Vec<Vec<u8>> = (0..24).map(|n| [noise(0, 200_000), vec![n]].concat()).collect();
    let in_files: Vec<(String, &[u8])> = (0..24).map(|n| (format!("{n:02}.bin"), &bytes[n][..])).collect();
    let in_files: Vec<(&str, &[u8])> = in_files.iter().map(|(n, b)| (n.as_str(), *b)).collect();
    let library = library(&policy(&stores, "[]"), &in_files);
    keep_secret(&library, "partner", &key(server));
    let up = library.up(&[], &[]);
    let name = ["--as", "{name}.{ext}"];
    library.ok(&[&["export", "--everything", "--to", "partner", "--verify", "size"], &name[..]].concat());
    let there = server.files().join(&slow);
    let whole = || names(&there).into_iter().filter(|n| n.ends_with(".bin")).count();
    eventually(|| if whole() > 0 { Ok(()) } else { Err(up.log()) });
    library.ok(&[&["export", "name:00.bin OR name:01.bin", "--to", "quick"], &name[..]].concat());
    let quick = server.files().join(&quick);
    eventually(|| {
        if names(&quick).iter().filter(|n| n.ends_with(".bin")).count() == 2 { Ok(()) } else { Err(up.log()) }
    });
    assert!(whole() < 24, "the slow one was not so slow");

    let batch = library
        .json(&["batch", "ls"])
        .into_iter()
        .find(|b| b["pending"].as_u64() > Some(0))
        .expect("a batch");
    let id = batch["batch"].as_str().expect("an id").to_owned();
    library.ok(&["batch", "pause", &id]);
    eventually(|| {
        let status = library.json(&["batch", "show", &id]);
        if status[0]["running"] == 0 { Ok(()) } else { Err(format!("{status:?}")) }
    });
    let paused = whole();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(whole(), paused, "paused");
    let shown = library.ok(&["batch", "show", &id]);
    assert!(shown.contains(&format!("paused: {paused} of 24 done")), "{shown}");
    library.ok(&["batch", "resume", &id]);
    eventually(|| if whole() > paused { Ok(()) } else { Err(up.log()) });
    library.ok(&["batch", "cancel", &id]);
    let manifest = eventually(|| {
        let found = names(&there).into_iter().find(|n| n.ends_with(".sha256"));
        found.map(|n| n.replace(".sha256", ".jsonl")).ok_or_else(|| up.log())
    });
    up.stop();
    let lines = lines_of(&there, &manifest);
    let (done, end) = (whole() as u64, lines.last().expect("an end"));
    assert_eq!((end["files"].as_u64(), end["cancelled"].as_u64()), (Some(done), Some(24 - done)), "{end}");
    let cancelled = lines.iter().filter(|l| l["state"] == "cancelled" && l["why"] == "cancelled");
    assert_eq!(cancelled.count() as u64, 24 - done);
}

/// Into a bucket of another service, opened by keys that AWS Secrets Manager keeps.
#[cfg(feature = "cloud")]
#[test]
fn into_a_bucket_by_a_secret_of_secrets_manager() {
    use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
    use aws_smithy_http_client::tls;

    let endpoint = testbed::Ministack::shared().endpoint();
    let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
    let sdk = aws_types::SdkConfig::builder()
        .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().tls_provider(provider).build_https())
        .region(aws_types::region::Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::from_keys("test", "test", None)))
        .endpoint_url(&endpoint)
        .build();
    let s3 = aws_sdk_s3::config::Builder::from(&sdk).force_path_style(true).build();
    let s3 = aws_sdk_s3::Client::from_conf(s3);
    let bucket = format!("partner-{:x}", support::fastrand());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let arn = runtime.block_on(async {
        s3.create_bucket().bucket(&bucket).send().await.expect("a bucket");
        let keys = "{ \"access_key_id\": \"test\", \"secret_access_key\": \"canary-of-keys\" }";
        let secrets = aws_sdk_secretsmanager::Client::new(&sdk);
        let made = secrets.create_secret().name(&bucket).secret_string(keys).send().await.expect("a secret");
        made.arn.expect("its name")
    });
    let stores =
        format!("minio: {{ url: \"s3://{bucket}/in\", endpoint: \"{endpoint}\", secret: \"{arn}\" }}");
    let library = library(&policy(&stores, "[]"), &[("a.txt", b"first")]);
    library.ok(&["export", "--everything", "--to", "minio", "--as", "{name}-{id}.{ext}"]);
    let env = [
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", endpoint.as_str()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    let up = library.up(&[], &env);
    let keys = eventually(|| {
        let listed =
            runtime.block_on(s3.list_objects_v2().bucket(&bucket).send()).map_err(|e| format!("{e:?}"))?;
        let keys: Vec<_> = listed.contents().iter().filter_map(|o| o.key().map(str::to_owned)).collect();
        if keys.iter().any(|k| k.ends_with(".sha256")) {
            Ok(keys)
        } else {
            Err(format!("{keys:?}\n{}", up.log()))
        }
    });
    assert_eq!(keys.len(), 1 + 3, "{keys:?}");
    assert!(keys.iter().all(|key| key.starts_with("in/")), "{keys:?}");
    assert!(!up.log().contains("canary-of-keys"));
    up.stop();
}

/// A share that is not mounted is not made on our own disk, where nobody would look for what was sent: it is waited for.
#[test]
fn a_share_that_is_not_mounted_is_waited_for() {
    let library = library("version: 1\nrules: []\n", &[("a.txt", b"first")]);
    let share = library.home.path().join("share");
    let url = format!("partner: {{ url: {} }}", share.display());
    write_policy(&library, &policy(&url, "[{ name: out, match: all, export: partner }]"));
    let up = library.up(&[], &[]);
    eventually(|| {
        let all = jobs(&library);
        let told = all.iter().any(|j| j["error"]["message"].as_str().is_some_and(|m| m.contains("mount it")));
        if told { Ok(()) } else { Err(format!("{all:#?}\n{}", up.log())) }
    });
    up.stop();
    let doctor = library.run(&["doctor"]);
    assert!(
        doctor.out.contains("WRONG  destination partner") && doctor.out.contains("mount it"),
        "{}",
        doctor.out
    );
    assert!(!share.exists());
    fs::create_dir(&share).expect("mounted");
    let up = library.up(&[], &[("VIDEOREC_CLOCK_AHEAD", "3600")]);
    until_jobs(&library, &up, "done", 1);
    up.stop();
    assert_eq!(names(&share).len(), 1);
}
