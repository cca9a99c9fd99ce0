//! Exports of many recordings, as whoever runs them sees them: a fleet that keeps to what was agreed with a partner, batches that
//! are paused, cancelled and taken up again, manifests that tell the truth, and the way back into a fleet.
#![expect(clippy::disallowed_methods, reason = "the tests start the binary")]

#[path = "support/cloud.rs"]
mod cloud;
#[path = "support/exports.rs"]
mod exports;
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use cloud::{Cloud, Setup, Worker};
use exports::{files, key, library, store};
use serde_json::{Value, json};
use support::{Library, Said, camera, eventually, said};
use testbed::Sshd;

/// A store that is a folder on that server, as a line of `stores:`.
fn sftp(name: &str, folder: &str, further: &str) -> String {
    store(name, "sftp", Sshd::shared(), folder, further)
}

fn policy(stores: &[String]) -> String {
    exports::policy(&stores.join("\n  "), "[]")
}

/// Those that are whole, without the manifest's.
fn whole(folder: &Path) -> usize {
    files(folder).keys().filter(|name| name.ends_with(".bin")).count()
}

/// The manifest's lines, once it lies there; and what whoever receives it has on every machine says of its hashes.
fn manifest(folder: &Path, logs: impl Fn() -> String) -> Vec<Value> {
    let sums = eventually(|| {
        let sums = files(folder).into_keys().find(|name| name.ends_with(".sha256"));
        sums.ok_or_else(|| format!("no manifest; {} files\n{}", whole(folder), logs()))
    });
    let mut command = std::process::Command::new("sha256sum");
    let checked =
        said(command.args(["--check", "--strict", &sums]).current_dir(folder).output().expect("sha256sum"));
    assert_eq!(checked.code, Some(0), "{}{}", checked.out, checked.err);
    let text = fs::read_to_string(folder.join(sums.replace(".sha256", ".jsonl"))).expect("a manifest");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// A fleet with so many small recordings and two workers.
struct Fleet {
    cloud: Cloud,
    policy: String,
    workers: Vec<Worker>,
}

impl Fleet {
    fn of(policy: String, recordings: impl Iterator<Item = (String, Vec<u8>)>) -> Self {
        let cloud = Cloud::with(Setup { notifies: false, ..Setup::default() });
        let uploads: Vec<_> = recordings.map(|(name, bytes)| cloud.upload(&name, bytes)).collect();
        let n = uploads.len();
        let mut fleet = Self { cloud, policy, workers: Vec::new() };
        (0..2).for_each(|_| fleet.hire());
        // One walk instead of as many events.
        fleet.cloud.send_event(r#"{"videorec":"tick"}"#);
        eventually(|| {
            let all = fleet.cloud.json(&["ls", "--limit", "1000"]);
            let open = |r: &&Value| matches!(r["state"].as_str(), Some("accepted" | "processing"));
            let ended = all.len() - all.iter().filter(open).count();
            if ended == n { Ok(()) } else { Err(format!("{ended} of {n}\n{}", fleet.logs())) }
        });
        fleet
    }

    fn hire(&mut self) {
        let key = key(Sshd::shared());
        self.workers.push(self.cloud.worker(&self.policy, &[], &[("VIDEOREC_SECRET_PARTNER", key.as_str())]));
    }

    fn logs(&self) -> String {
        let logs = self.workers.iter().map(Worker::log);
        logs.map(|log| log.lines().rev().take(20).collect::<Vec<_>>().join("\n")).collect()
    }

    /// Its batch's id.
    fn export(&self, to: &str, further: &[&str]) -> String {
        let policy = self.cloud.policy(&self.policy).display().to_string();
        let order = ["--policy", &policy, "export", "--everything", "--to", to, "--as", "{name}.{ext}"];
        let ordered = self.cloud.json(&[&order[..], further].concat());
        ordered[0]["batch"].as_str().unwrap_or_else(|| panic!("no batch: {ordered:?}")).to_owned()
    }

    fn status(&self, batch: &str) -> Value {
        self.cloud.json(&["batch", "show", batch]).remove(0)
    }

    /// Exports that somebody works on now: what a dead worker had is nobody's once its lease has ended.
    fn under_way(&self) -> Vec<Value> {
        let running = self.cloud.json(&["jobs", "--state", "running", "--limit", "1000"]);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        let is_live = |job: &Value| {
            let until = job["lease_until"].as_str().and_then(|at| at.parse::<domain::Timestamp>().ok());
            until.is_some_and(|until| u128::try_from(until.0).is_ok_and(|until| until > now))
        };
        running.into_iter().filter(|job| job["action"]["do"] == "export" && is_live(job)).collect()
    }
}

const RECORDINGS: usize = 300;

fn small(n: usize) -> (String, Vec<u8>) {
    (format!("{n:03}.bin"), format!("no recording at all, but number {n} of them").into_bytes())
}

/// Three hundred recordings leave by two workers of which one is killed; in the middle the batch is paused and goes on. The partner has
/// agreed to three connections: never are there more, of both workers together, and the dead one's are free again when its leases end.
/// Every file arrives once, and the manifest has all of them. A second batch is cancelled in the middle, and its manifest says so.
#[test]
fn three_hundred_leave_by_two_workers_of_which_one_is_killed() {
    let server = Sshd::shared();
    let folders = [server.new_folder(), server.new_folder()];
    let there = folders.each_ref().map(|folder| server.files().join(folder));
    let stores =
        [sftp("partner", &folders[0], ", connections: 3"), sftp("second", &folders[1], ", connections: 2")];
    let mut fleet = Fleet::of(policy(&stores), (0..RECORDINGS).map(small));

    let batch = fleet.export("partner", &[]);
    let (mut most, mut both) = (0, BTreeSet::new());
    let mut watch = |fleet: &Fleet, until: &dyn Fn() -> bool| {
        let end = Instant::now() + Duration::from_secs(180);
        while !until() {
            assert!(Instant::now() < end, "{}\n{}", fleet.status(&batch), fleet.logs());
            let running = fleet.under_way();
            most = most.max(running.len());
            both.extend(running.iter().filter_map(|job| job["worker"].as_str().map(str::to_owned)));
            assert!(running.len() <= 3, "more than was agreed: {running:#?}");
        }
    };
    watch(&fleet, &|| whole(&there[0]) >= 60);
    fleet.cloud.ok(&["batch", "pause", &batch]);
    eventually(|| match fleet.status(&batch) {
        status if status["running"] == 0 => Ok(()),
        status => Err(status.to_string()),
    });
    let paused = whole(&there[0]);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(whole(&there[0]), paused, "paused");
    let status = fleet.status(&batch);
    assert_eq!(
        (&status["state"], status["done"].as_u64()),
        (&json!("paused"), Some(paused as u64)),
        "{status}"
    );
    let (done, total) = (status["bytes_done"].as_u64(), status["bytes_total"].as_u64());
    assert_eq!(total, Some((0..RECORDINGS).map(|n| small(n).1.len() as u64).sum()));
    assert!(done > Some(0) && done < total, "{status}");

    fleet.cloud.ok(&["batch", "resume", &batch]);
    watch(&fleet, &|| whole(&there[0]) >= paused + 30);
    let mut killed = fleet.workers.remove(0);
    killed.signal("KILL");
    assert_eq!(killed.ended(Duration::from_secs(10)).and_then(|died| died.signal()), Some(9));
    let at = whole(&there[0]);
    watch(&fleet, &|| whole(&there[0]) >= (at + 60).min(RECORDINGS));
    fleet.hire();
    watch(&fleet, &|| whole(&there[0]) == RECORDINGS);
    let lines = manifest(&there[0], || fleet.logs());
    assert!(both.len() >= 2, "one did it all: {both:?}");
    assert!(most >= 2, "they never went side by side");

    let all = files(&there[0]);
    assert_eq!(all.len(), RECORDINGS + 3, "something partial is left, or something came twice");
    for n in 0..RECORDINGS {
        let (name, bytes) = small(n);
        assert!(all[&name] == bytes, "{name}");
    }
    let arrived: BTreeSet<_> = lines.iter().filter_map(|line| line["file"].as_str()).collect();
    assert_eq!((arrived.len(), lines.len()), (RECORDINGS, RECORDINGS + 2));
    assert!(
        lines[1..=RECORDINGS].iter().all(|line| matches!(line["arrival"].as_str(), Some("sent" | "already")))
    );
    let status = fleet.status(&batch);
    assert_eq!(
        (&status["state"], &status["bytes_done"]),
        (&json!("done"), &status["bytes_total"]),
        "{status}"
    );

    let batch = fleet.export("second", &[]);
    eventually(|| if whole(&there[1]) >= 20 { Ok(()) } else { Err(fleet.logs()) });
    fleet.cloud.ok(&["batch", "cancel", &batch]);
    let lines = manifest(&there[1], || fleet.logs());
    let (done, end) = (whole(&there[1]) as u64, lines.last().expect("an end"));
    assert!(done < RECORDINGS as u64, "it was over before it was cancelled");
    assert_eq!(
        (end["files"].as_u64(), end["cancelled"].as_u64()),
        (Some(done), Some(RECORDINGS as u64 - done)),
        "{end}"
    );
}

/// What was agreed with a partner is agreed with all workers together: two of them send no faster than one may, and share it.
#[test]
fn a_bandwidth_holds_for_the_whole_fleet() {
    const BYTES: usize = 300_000;
    let server = Sshd::shared();
    let folder = server.new_folder();
    let there = server.files().join(&folder);
    let stores = [sftp("partner", &folder, ", connections: 4, bandwidth: 400kB")];
    let noise = |n: usize| (format!("{n:02}.bin"), support::noise(n as u64, BYTES));
    let fleet = Fleet::of(policy(&stores), (0..16).map(noise));
    let batch = fleet.export("partner", &["--verify", "size"]);
    let (mut since, mut both) = (None, BTreeSet::new());
    eventually(|| {
        let running = fleet.under_way();
        since = since.or((!running.is_empty()).then(Instant::now));
        both.extend(running.iter().filter_map(|job| job["worker"].as_str().map(str::to_owned)));
        match whole(&there) {
            16 => Ok(()),
            n => Err(format!("{n}\n{}", fleet.logs())),
        }
    });
    let took = since.expect("seen").elapsed().as_secs_f64();
    // 12 s if they keep to it, 6 s if each of them had all of it. The shares are looked at every second here.
    assert!(took > 9.0, "{took} s for {} bytes", 16 * BYTES);
    assert_eq!(both.len(), 2, "one did it all: nothing was shared");
    let status = fleet.status(&batch);
    assert_eq!(status["bytes_total"], 16 * BYTES);
}

/// One source was lost for a while. When it is there again and was taken up again, another edition of the manifest replaces the one
/// that told of the failure: whoever is killed on the way, at whichever step, it arrives and is the same.
#[test]
fn what_is_taken_up_again_is_in_another_edition_of_the_manifest() {
    let home = tempfile::tempdir().expect("a folder");
    let there = home.path().join("partner");
    fs::create_dir(&there).expect("a folder");
    let stores = [format!("partner: {{ url: {} }}", there.display())];
    let library = library(&policy(&stores), &[("a.bin", b"first"), ("b.bin", b"second")]);
    let lost = library.recordings().remove("in/b.bin").expect("it is known");
    let source = library.root().join("recordings").join(lost["key"].as_str().expect("a key"));
    let aside = home.path().join("aside");
    fs::rename(&source, &aside).expect("its source");

    library.ok(&["export", "--everything", "--to", "partner", "--as", "{name}.{ext}"]);
    let up = library.up(&[], &[]);
    let first = manifest(&there, || up.log());
    up.stop();
    let sum = |what: &[Value]| {
        let end = what.last().expect("an end");
        (what[0]["edition"].clone(), end["files"].clone(), end["failed"].clone())
    };
    assert_eq!(sum(&first), (json!(1), json!(1), json!(1)), "{first:#?}");

    fs::rename(&aside, &source).expect("back again");
    assert!(library.ok(&["retry", "--all"]).contains("1 job"));
    for point in ["export-sent", "job-recorded", "manifest-delivered"] {
        let mut up = library.up(&[], &[("VIDEOREC_CRASH_AT", point)]);
        let died = up.ended(Duration::from_secs(60)).unwrap_or_else(|| panic!("{point}: {}", up.log()));
        assert_eq!(died.signal(), Some(9), "{point}: {}", up.log());
    }
    let delivered = files(&there);
    let up = library.up(&[], &[]);
    eventually(|| up.log().contains("the manifest is delivered").then_some(()).ok_or_else(|| up.log()));
    let second = manifest(&there, || up.log());
    assert_eq!(sum(&second), (json!(2), json!(2), json!(0)), "{second:#?}");
    assert_eq!(second[0]["batch"], first[0]["batch"]);
    assert!(files(&there) == delivered, "delivered twice, it is the same");
    assert_eq!(delivered.len(), 2 + 3, "{:?}", delivered.keys());
    // Nothing else ends, and nothing is delivered any more.
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(up.log().matches("the manifest is delivered").count(), 1, "{}", up.log());
    up.stop();
}

/// What left one library comes into a fleet: with its bytes, names, titles, tags, dates and sessions, from a partner that the policy
/// names as from a folder, and in the same words; its workers go on with it, and a second time nothing is fetched.
#[test]
fn what_was_exported_comes_into_a_fleet() {
    let server = Sshd::shared();
    let folder = server.new_folder();
    let there = server.files().join(&folder);
    let stores = [sftp("partner", &folder, "")];
    let library = Library::new();
    let home = library.home.path();
    fs::create_dir_all(library.inbox()).expect("an inbox");
    fs::write(library.root().join("policy.yaml"), policy(&stores)).expect("a policy");
    let secrets = library.root().join(".videorec/secrets");
    fs::create_dir_all(&secrets).expect("a folder");
    fs::copy(server.key("client"), secrets.join("partner")).expect("a secret");
    camera(&home.join("film.mp4"));
    support::call(&home.join("call"));
    let path = |name: &str| home.join(name).display().to_string();
    let film =
        ["ingest", &path("film.mp4"), "--tag", "legal,case=12", "--recorded-at", "2025-03-01T09:00:00Z"];
    library.ok(&film);
    library.ok(&["ingest", &path("call")]);
    library.ok(&["export", "--everything", "--to", "partner"]);
    let up = library.up(&[], &[]);
    manifest(&there, || up.log());
    up.stop();

    let cloud = Cloud::new();
    let rules = "  - { name: web, match: { type: video/*, kind: recording }, convert: [mp4-480p] }\n  \
                 - { name: calls, match: { kind: session }, mix: { layout: grid } }\n";
    let worker = cloud.worker(&policy(&stores).replace("rules: []\n", &format!("rules:\n{rules}")), &[], &[]);
    worker.says("working; SIGTERM");
    let key = key(Sshd::shared());
    let import = |from: &str, further: &[&str]| -> Said {
        let scratch = cloud.home.path().join("import").display().to_string();
        let args = [&["import", from, "--scratch", &scratch][..], further].concat();
        said(cloud.command(&args).env("VIDEOREC_SECRET_PARTNER", &key).output().expect("it starts"))
    };
    let plan = import("partner", &["--plan"]);
    assert!(plan.code == Some(0) && plan.out.contains("4 new recordings"), "{}\n{}", plan.out, plan.err);
    let came = import("partner", &[]);
    assert_eq!(came.code, Some(0), "{}\n{}", came.out, came.err);
    assert!(
        came.out.contains("its hash is the right one") && came.out.contains("4 new recordings"),
        "{}",
        came.out
    );
    assert!(came.out.contains("the fleet's workers"), "{}", came.out);
    let what = |all: Vec<Value>| -> BTreeMap<String, Value> {
        let keep = ["id", "name", "title", "kind", "tags", "recorded_at", "digest", "session", "tracks"];
        let all = all.into_iter().map(|r| {
            let name = r["name"].as_str().expect("a name").to_owned();
            (name, keep.iter().map(|k| ((*k).to_owned(), r[*k].clone())).collect())
        });
        all.collect()
    };
    let expected = what(library.json(&["ls", "--limit", "100"]));
    assert_eq!(expected.len(), 4);
    assert_eq!(what(cloud.json(&["ls", "--limit", "100"])), expected);
    for name in expected.keys() {
        let it = cloud.until_terminal(name);
        assert_eq!(it["state"], "ready", "{it}\n{}", worker.log());
        let made = if it["kind"] == "track" { 0 } else { 1 };
        assert_eq!(it["renditions"].as_array().map(Vec::len), Some(made), "{it}");
        assert_eq!(it["store"], "recordings", "{it}");
    }
    assert!(cloud.objects("inbox/").is_empty(), "the watched prefix is its uploaders'");
    let again = import(&there.display().to_string(), &[]);
    assert!(again.out.contains("0 new recordings; 4 here already; 0 failed"), "{}\n{}", again.out, again.err);
    let left = fs::read_dir(cloud.home.path().join("import/videorec")).into_iter().flatten().flatten();
    assert!(
        left.filter(|e| e.path().is_dir())
            .all(|e| fs::read_dir(e.path()).is_ok_and(|mut d| d.next().is_none()))
    );
    worker.stop();
}

/// What lies in an archive is said to, with the price of bringing it back; with `--restore` it is brought back first, leaves when S3
/// says that it can be read, and the manifest is the last of all.
#[test]
fn what_is_archived_is_restored_and_then_exported() {
    let cloud = Cloud::new();
    let there = cloud.home.path().join("partner");
    fs::create_dir(&there).expect("a folder");
    let text = policy(&[format!("partner: {{ url: {} }}", there.display())]);
    let worker = cloud.worker(&text, &[], &[]);
    let (cold, warm) = (["cold-1.bin", "cold-2.bin"], "warm.bin");
    for name in cold.iter().chain([&warm]) {
        cloud.upload(name, format!("the bytes of {name}").into_bytes());
        cloud.until_terminal(name);
    }
    cloud.ok(&["archive", "name:cold*", "--class", "GLACIER"]);
    for name in cold {
        cloud.until(name, |r| !r["custody"]["place"]["cold"].is_null());
    }
    let policy = cloud.policy(&text).display().to_string();
    let export = |further: &[&str]| {
        let order =
            ["--policy", &policy, "export", "--everything", "--to", "partner", "--as", "{name}.{ext}"];
        cloud.run(&[&order[..], further].concat())
    };
    let plan = export(&["--plan"]);
    assert_eq!(plan.code, Some(1), "two are left out: {}\n{}", plan.out, plan.err);
    assert!(plan.out.contains("archived: 2 recordings; `--restore standard`"), "{}", plan.out);
    // A cent for each: from GLACIER in a hurry. Two small ones at leisure cost less than anybody writes down.
    let plan = export(&["--plan", "--restore", "expedited"]);
    assert_eq!(plan.code, Some(0), "{}\n{}", plan.out, plan.err);
    assert!(plan.out.contains("export: 3 recordings, 67 B, $0.02 once"), "{}", plan.out);
    assert!(files(&there).is_empty(), "it was only the plan");

    assert_eq!(export(&["--restore", "standard"]).code, Some(0));
    eventually(|| match files(&there).contains_key(warm) {
        true => Ok(()),
        false => Err(worker.log()),
    });
    let key = |name: &str| format!("inbox/{name}");
    for name in cold {
        // Under way, or over already: the emulator takes two seconds for what takes S3 hours.
        eventually(|| {
            let head = cloud.block_on(cloud.s3.head_object().bucket(&cloud.bucket).key(key(name)).send());
            let restore = head.expect("there").restore().unwrap_or_default().to_owned();
            if restore.contains("ongoing-request=\"false\"") {
                Ok(())
            } else {
                Err(format!("{name}: {restore:?}"))
            }
        });
        cloud.until(name, |r| !r["custody"]["place"]["cold"]["restore"].is_null());
        assert!(!files(&there).keys().any(|n| n.ends_with(".sha256")), "the manifest is the last");
        // As S3 tells it, which the emulator does not.
        cloud.send_event(
            &json!({ "Records": [{ "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1",
                "eventTime": "2026-03-01T09:00:00.000Z", "eventName": "ObjectRestore:Completed",
                "userIdentity": { "principalId": "x" }, "requestParameters": { "sourceIPAddress": "127.0.0.1" },
                "responseElements": {}, "s3": { "s3SchemaVersion": "1.0", "configurationId": "c",
                    "bucket": { "name": cloud.bucket, "arn": "a" },
                    "object": { "key": key(name), "sequencer": "05" } } }] })
            .to_string(),
        );
    }
    let lines = manifest(&there, || worker.log());
    assert_eq!((lines.len(), &lines[lines.len() - 1]["files"]), (3 + 2, &json!(3)), "{lines:#?}");
    for name in cold.iter().chain([&warm]) {
        assert_eq!(files(&there)[*name], format!("the bytes of {name}").into_bytes());
    }
    let jobs = cloud.json(&["jobs", "--limit", "100"]);
    let exports = jobs.iter().filter(|job| job["action"]["do"] == "export").collect::<Vec<_>>();
    assert!(exports.iter().all(|job| job["state"] == "done" && job["failures"] == 0), "{exports:#?}");
    assert!(jobs.iter().any(|job| job["action"]["do"] == "restore"), "{jobs:#?}");
    worker.stop();
}
