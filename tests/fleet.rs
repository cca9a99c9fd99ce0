//! The fleet, whole: real workers on the emulator's S3, SQS and SNS and on a real PostgreSQL, with real media.
#![expect(clippy::disallowed_methods, reason = "the tests start the binary")]

#[path = "support/cloud.rs"]
mod cloud;
mod support;

use std::{
    fs,
    time::{Duration, Instant},
};

use cloud::{CANARY, Cloud, Setup};
use serde_json::{Value, json};
use support::{browser, camera, eventually};
use testbed::{Fault, Ministack, Postgres, Proxy};

const NOTHING: &str = "version: 1\nrules: []\n";
const TAGS: &str = "version: 1\nrules:\n  - { name: marked, match: { kind: recording }, tag: [seen] }\n";

fn web_and_copy(cloud: &Cloud) -> String {
    format!(
        "version: 1
stores: {{ replica: {{ url: 's3://{}/replica' }} }}
rules:
  - {{ name: web copies, match: {{ kind: recording, type: video/* }}, convert: [mp4-480p, thumbnails] }}
  - {{ name: calls, match: {{ kind: session }}, mix: {{ layout: grid }} }}
  - {{ name: a second place, match: all, backup: replica }}
",
        cloud.bucket
    )
}

fn media(cloud: &Cloud, name: &str) -> std::path::PathBuf {
    let file = cloud.home.path().join(name);
    if name.ends_with(".webm") {
        browser(&file, 2, 440)
    } else {
        camera(&file)
    }
    file
}

/// Upload an object under the watched prefix, and renditions, copies and catalog rows appear. The object itself stays
/// where it was put.
#[test]
fn what_is_uploaded_becomes_a_library() {
    let cloud = Cloud::new();
    let worker = cloud.worker(&web_and_copy(&cloud), &[], &[]);
    // A key that no path could be.
    let key = "cam 1/../Lobby é+?.mp4";
    cloud.upload_file(key, &media(&cloud, "a.mp4"));
    let recording = cloud.until_terminal("cam 1/Lobby é+?.mp4");
    assert_eq!(recording["state"], "ready", "{recording}\n{}", worker.log());
    let made: Vec<_> =
        recording["renditions"].as_array().unwrap().iter().map(|r| r["name"].clone()).collect();
    assert_eq!(made, ["mp4-480p", "thumbnails"]);
    let objects = cloud.objects("library/");
    assert_eq!(objects.len(), 4, "a film, a poster, a sprite, its tiles: {objects:?}");
    // A browser is told what they are.
    let film = objects.iter().map(|(key, _)| key).find(|key| key.ends_with(".mp4")).expect("a film");
    let head = cloud.block_on(cloud.s3.head_object().bucket(&cloud.bucket).key(film).send()).expect("there");
    assert_eq!(head.content_type(), Some("video/mp4"));
    let copies = cloud.objects("replica/");
    let sources = cloud.objects("inbox/");
    assert_eq!((copies.len(), sources.len()), (1, 1));
    assert_eq!(copies[0].1, sources[0].1);
    // Everything a person asks of one machine's library is asked of the fleet's in the same words.
    let id = recording["id"].as_str().unwrap();
    assert!(cloud.ok(&["show", &id[..8]]).contains("read back and equal"));
    assert!(cloud.ok(&["search", "lobby", "type:video"]).contains("Lobby"));
    assert!(cloud.ok(&["plan"]).contains("nothing to do"));
    assert!(cloud.ok(&["jobs"]).contains("convert mp4-480p"));
    assert!(cloud.ok(&["policy", "explain", &id[..8]]).contains("web copies"));
    let fleet = cloud.ok(&["fleet"]);
    assert!(fleet.contains("interactive") && fleet.contains("no jobs in flight"), "{fleet}");
    // Promise 4: what is done is acknowledged, and nothing else is left.
    eventually(|| if cloud.waiting() == 0 { Ok(()) } else { Err(format!("{} messages", cloud.waiting())) });
    worker.stop();
}

/// Sessions: tracks and `session.json` in any order are mixed once complete.
#[test]
fn a_session_is_mixed_whatever_comes_first() {
    let cloud = Cloud::new();
    let worker = cloud.worker(&web_and_copy(&cloud), &[], &[]);
    let folder = cloud.home.path().join("call");
    support::call(&folder);
    for (call, order) in
        [("one", ["session.json", "ana.webm", "bo.webm"]), ("two", ["bo.webm", "session.json", "ana.webm"])]
    {
        for file in order {
            cloud.upload_file(&format!("{call}/{file}"), &folder.join(file));
        }
    }
    for call in ["one", "two"] {
        let session = cloud.until_terminal(&format!("{call}/session.json"));
        assert_eq!(session["state"], "ready", "{session}\n{}", worker.log());
        assert_eq!(session["renditions"].as_array().unwrap().len(), 1, "{session}");
    }
}

/// A failure arrives at the topic as a readable text and as JSON, with attributes to filter on; once.
#[test]
fn a_failure_is_told() {
    let cloud = Cloud::new();
    let worker = cloud.worker(NOTHING, &[], &[]);
    cloud.upload("notes.mp4", b"no recording at all, whatever it is called".to_vec());
    cloud.until_terminal("notes.mp4");
    let told = eventually(|| {
        let told = cloud.told();
        if told.is_empty() { Err(worker.log()) } else { Ok(told) }
    });
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0]["Subject"].as_str().unwrap().contains("notes.mp4"), "{told:?}");
    let alert: Value = serde_json::from_str(told[0]["Message"].as_str().unwrap()).unwrap();
    assert_eq!((&alert["severity"], &alert["service"]), (&json!("warning"), &json!("processing")));
    assert!(!alert["cause"].as_str().unwrap().is_empty() && !alert["next"].as_str().unwrap().is_empty());
    assert_eq!(told[0]["MessageAttributes"]["severity"]["Value"], "warning");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(cloud.told().len(), 1, "told once");
}

/// At least once, unordered, doubled, late: whatever comes, each object is one recording as it is now (promise 5).
#[test]
fn doubled_and_reordered_events_change_nothing() {
    let cloud = Cloud::with(Setup { notifies: false, ..Setup::default() });
    let first = cloud.upload_file("a.mp4", &media(&cloud, "a.mp4")).unwrap();
    let second = cloud.upload_file("a.mp4", &media(&cloud, "b.webm")).unwrap();
    let event = |name: &str, version: &str, sequencer: &str| {
        json!({ "Records": [{ "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1",
            "eventTime": "2026-03-01T09:00:00.000Z", "eventName": name, "userIdentity": { "principalId": "x" },
            "requestParameters": { "sourceIPAddress": "127.0.0.1" }, "responseElements": {},
            "s3": { "s3SchemaVersion": "1.0", "configurationId": "c", "bucket": { "name": cloud.bucket, "arn": "a" },
                    "object": { "key": "inbox/a.mp4", "versionId": version, "sequencer": sequencer } } }] })
        .to_string()
    };
    for _ in 0..3 {
        cloud.send_event(&event("ObjectCreated:Put", &second, "02"));
        cloud.send_event(&event("ObjectRemoved:Delete", &first, "00"));
        cloud.send_event(&event("ObjectCreated:Put", &first, "01"));
    }
    let workers: Vec<_> = (0..2).map(|_| cloud.worker(TAGS, &[], &[])).collect();
    let recording = cloud.until_terminal("a.mp4");
    eventually(|| if cloud.waiting() == 0 { Ok(()) } else { Err(workers[0].log()) });
    let all = cloud.json(&["ls"]);
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(
        (recording["version"].as_str(), &recording["state"]),
        (Some(second.as_str()), &json!("ready"))
    );
    let probes = cloud.json(&["jobs"]).into_iter().filter(|j| j["action"]["do"] == "probe").count();
    assert_eq!(probes, 1, "its former bytes were never anybody's business");
}

/// What no event told of is found by comparing the bucket with the catalog; a walk over what is known changes nothing.
#[test]
fn a_walk_finds_what_no_event_told_of() {
    let cloud = Cloud::with(Setup { notifies: false, ..Setup::default() });
    for n in 0..5 {
        cloud.upload(&format!("quiet/{n}.bin"), format!("no recording {n}").into_bytes());
    }
    cloud.upload("quiet/.hidden", b"x".to_vec());
    cloud.upload("quiet/upload.part", b"x".to_vec());
    cloud.upload("folder/", Vec::new());
    let worker = cloud.worker(NOTHING, &[], &[]);
    cloud.send_event(r#"{"videorec":"tick"}"#);
    for n in 0..5 {
        cloud.until_terminal(&format!("quiet/{n}.bin"));
    }
    assert_eq!(cloud.json(&["ls"]).len(), 5);
    let jobs = cloud.json(&["jobs"]).len();
    cloud.send_event(r#"{"videorec":"tick"}"#);
    eventually(|| if cloud.waiting() == 0 { Ok(()) } else { Err(worker.log()) });
    assert_eq!(cloud.json(&["jobs"]).len(), jobs);
}

/// An unreadable message is parked with its reason, not looped; and so is what tells of a foreign bucket. A person looks
/// at them, sends them again, or drops them.
#[test]
fn what_nobody_can_read_is_parked() {
    let cloud = Cloud::new();
    let worker = cloud.worker(NOTHING, &[], &[]);
    cloud.send_event("this is no event");
    cloud.send_event(
        r#"{"version":"0","id":"1","detail-type":"Object Created","source":"aws.s3","account":"1","time":"2026-03-01T09:00:00Z",
            "region":"us-east-1","resources":[],"detail":{"version":"0","bucket":{"name":"somebody-elses"},
            "object":{"key":"inbox/a.mp4","size":5,"sequencer":"1"}}}"#,
    );
    let parked = eventually(|| {
        let parked = cloud.json(&["dlq", "ls"]);
        if parked.len() == 2 { Ok(parked) } else { Err(format!("{parked:?}\n{}", worker.log())) }
    });
    let reason = |of: &str| parked.iter().find(|p| p["reason"].as_str().unwrap().contains(of)).cloned();
    let unreadable = reason("not JSON").expect("says why");
    assert!(reason("somebody-elses").is_some(), "{parked:?}");
    assert!(cloud.json(&["ls"]).is_empty());

    let id = unreadable["id"].as_str().unwrap();
    assert!(cloud.ok(&["dlq", "show", id]).contains("this is no event"));
    assert!(cloud.ok(&["dlq", "redrive", id]).contains("1 message"));
    eventually(|| {
        let parked = cloud.json(&["dlq", "ls"]);
        if parked.len() == 2 { Ok(()) } else { Err(format!("it comes back: {parked:?}")) }
    });
    assert!(cloud.ok(&["dlq", "drop", "--all", "events"]).contains("2 messages"));
    assert!(cloud.ok(&["dlq", "ls"]).contains("no dead letters"));
}

/// A version is pinned: who overwrites an object in mid-job neither changes what is made of it nor is overlooked.
#[test]
fn an_object_overwritten_in_mid_job_is_taken_as_it_was_and_then_as_it_is() {
    let cloud = Cloud::new();
    let policy = "version: 1\nrules:\n  - { name: web, match: all, convert: [mp4-480p] }\n";
    let first = cloud.upload_file("a.mp4", &media(&cloud, "a.mp4")).unwrap();
    // It stops when it has fetched nothing yet but knows what to do.
    let mut worker = cloud.worker(policy, &[], &[("VIDEOREC_CRASH_AT", "job-claimed:2")]);
    assert!(worker.ended(Duration::from_secs(60)).is_some(), "{}", worker.log());
    let second = cloud.upload_file("a.mp4", &media(&cloud, "b.webm")).unwrap();
    let worker = cloud.worker(policy, &[], &[]);
    let recording = cloud.until("a.mp4", |r| r["version"] == second.as_str() && r["state"] == "ready");
    assert_ne!(first, second);
    let rendition = &recording["renditions"][0];
    assert_eq!(
        rendition["facts"]["streams"][0]["video"]["width"],
        160,
        "made of the second\n{}",
        worker.log()
    );
}

/// A deleted source is told of; one that a delete marker only hides is not lost.
#[test]
fn a_deleted_source_is_told_of() {
    let cloud = Cloud::new();
    let _worker = cloud.worker(NOTHING, &[], &[]);
    let version = cloud.upload_file("a.mp4", &media(&cloud, "a.mp4")).unwrap();
    cloud.until_terminal("a.mp4");
    let delete = |version: Option<String>| {
        let request =
            cloud.s3.delete_object().bucket(&cloud.bucket).key("inbox/a.mp4").set_version_id(version);
        cloud.block_on(request.send()).expect("deleted");
    };
    delete(None);
    eventually(|| if cloud.waiting() == 0 { Ok(()) } else { Err("not heard".into()) });
    assert!(cloud.told().is_empty(), "its version is still there");
    delete(Some(version));
    let told = eventually(|| {
        let told = cloud.told();
        if told.is_empty() { Err("nothing told".into()) } else { Ok(told) }
    });
    assert!(told[0]["Subject"].as_str().unwrap().contains("deleted"), "{told:?}");
    let alert: Value = serde_json::from_str(told[0]["Message"].as_str().unwrap()).unwrap();
    assert_eq!(alert["severity"], "critical");
}

/// Health, metrics and readable logs, and not a secret in any of them.
#[test]
fn a_worker_answers_for_itself_and_keeps_its_secrets() {
    let cloud = Cloud::new();
    let worker = cloud.worker(NOTHING, &[], &[]);
    cloud.upload_file("a.mp4", &media(&cloud, "a.mp4"));
    cloud.until_terminal("a.mp4");
    let address = worker.address();
    assert!(get(&address, "/healthz").contains("\"working\""));
    assert!(get(&address, "/readyz").contains("\"ready\":true"));
    let metrics = get(&address, "/metrics");
    assert!(metrics.contains("videorec_jobs_total{what=\"probe\",outcome=\"done\"} 1"), "{metrics}");
    let log = worker.stop();
    let refused = cloud
        .command(&["ls"])
        .env("VIDEOREC_CATALOG", format!("postgres://u:{CANARY}@127.0.0.1:1/x"))
        .output();
    let refused = support::said(refused.expect("it starts"));
    assert_ne!(refused.code, Some(0));
    for (what, text) in [("log", &log), ("metrics", &metrics), ("error", &refused.err)] {
        assert!(!text.contains(CANARY), "a secret in the {what}:\n{text}");
    }
    let json = cloud.worker(NOTHING, &["--json"], &[]);
    json.says("working; SIGTERM");
    assert!(json.log().lines().all(|l| serde_json::from_str::<Value>(l).is_ok()), "{}", json.log());
}

fn get(address: &str, path: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    write!(stream, "GET {path} HTTP/1.0\r\nhost: x\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// Where a worker is killed: every named point of the flow that a fleet's worker passes.
const POINTS: [&str; 13] = [
    "intake-hashed",
    "intake-accepted",
    "intake-settled",
    "job-offered:1",
    "job-handed-over:6",
    "job-received:2",
    "job-claimed:1",
    "job-claimed:3",
    "job-made:1",
    "job-publishing:1",
    "job-published:1",
    "job-recorded:2",
    "job-acknowledged:2",
];

/// `kill -9` at each named point: the message comes to another worker, everything is done, nothing is done twice, and
/// nothing partial is ever visible (promises 3, 4, 5, 6).
#[test]
fn what_a_killed_worker_had_another_completes() {
    std::thread::scope(|scope| {
        for half in [0, 1] {
            scope.spawn(move || POINTS.iter().skip(half).step_by(2).for_each(|point| killed_at(point)));
        }
    });
}

fn killed_at(point: &str) {
    let cloud = Cloud::new();
    let policy = web_and_copy(&cloud);
    cloud.upload_file("a.mp4", &media(&cloud, "a.mp4"));
    let mut killed = cloud.worker(&policy, &[], &[("VIDEOREC_CRASH_AT", point)]);
    let died = killed
        .ended(Duration::from_secs(90))
        .unwrap_or_else(|| panic!("{point}: never came there\n{}", killed.log()));
    assert!(!died.success(), "{point}");
    let worker = cloud.worker(&policy, &[], &[]);
    let recording = cloud.until("a.mp4", |r| r["state"] == "ready");
    let jobs = cloud.json(&["jobs"]);
    assert!(jobs.iter().all(|j| j["state"] == "done"), "{point}: {jobs:?}\n{}", worker.log());
    assert_eq!(jobs.len(), 4, "{point}: {jobs:?}");
    // Every object is one that the catalog knows, and the other way round.
    let files =
        recording["renditions"].as_array().unwrap().iter().flat_map(|r| r["files"].as_array().unwrap());
    let mut known: Vec<_> = files.map(|f| format!("library/{}", f["key"].as_str().unwrap())).collect();
    let mut there: Vec<_> = cloud.objects("library/").into_iter().map(|(key, _)| key).collect();
    known.sort();
    there.sort();
    assert_eq!(known, there, "{point}");
    assert_eq!(cloud.objects("replica/").len(), 1, "{point}");
    eventually(|| if cloud.waiting() == 0 { Ok(()) } else { Err(format!("{point}: {}", worker.log())) });
}

/// Promise 5: two workers on one job after the visibility ended: one commit. The first one sleeps through its lease and
/// wakes up in the middle of the other's work.
#[test]
fn a_worker_that_slept_through_its_lease_commits_nothing() {
    let cloud = Cloud::new();
    let policy = "version: 1\nrules:\n  - { name: web, match: all, convert: [webm-vp9] }\n";
    let file = cloud.home.path().join("long.mp4");
    let picture = "testsrc2=size=640x480:rate=30:duration=12";
    support::make(&file, &[picture], &["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]);
    cloud.upload_file("long.mp4", &file);
    let sleeper = cloud.worker(policy, &[], &[]);
    eventually(|| {
        let running = cloud.json(&["jobs", "--state", "running"]);
        running.iter().any(|j| j["action"]["do"] == "convert").then_some(()).ok_or_else(|| sleeper.log())
    });
    sleeper.signal("STOP");
    let other = cloud.worker(policy, &[], &[]);
    eventually(|| {
        let running = cloud.json(&["jobs", "--state", "running"]);
        let taken = running.iter().any(|j| j["action"]["do"] == "convert" && j["attempts"] == 2);
        taken.then_some(()).ok_or_else(|| format!("{running:?}\n{}", other.log()))
    });
    sleeper.signal("CONT");
    let recording = cloud.until_terminal("long.mp4");
    assert_eq!(recording["state"], "ready", "{}", other.log());
    let job = cloud.json(&["jobs"]).into_iter().find(|j| j["action"]["do"] == "convert").unwrap();
    assert_eq!((&job["state"], &job["failures"]), (&json!("done"), &json!(0)));
    assert_eq!(cloud.objects("library/").len(), 1, "written once");
}

/// SIGTERM in the middle of an encode: what does not finish in time is handed back, ffmpeg ends too, another worker goes
/// on at once instead of waiting for a lease to run out.
#[test]
fn a_worker_that_is_told_to_go_hands_its_work_back() {
    let cloud = Cloud::new();
    let policy = "version: 1\nrules:\n  - { name: web, match: all, convert: [webm-vp9] }\n";
    let file = cloud.home.path().join("long.mp4");
    let picture = "testsrc2=size=1280x720:rate=30:duration=30";
    support::make(&file, &[picture], &["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]);
    cloud.upload_file("long.mp4", &file);
    // A long lease: nobody waits for it to run out here.
    let mut worker = cloud.worker(policy, &["--lease", "600", "--drain", "1"], &[]);
    eventually(|| {
        let running = cloud.json(&["jobs", "--state", "running"]);
        running.iter().any(|j| j["action"]["do"] == "convert").then_some(()).ok_or_else(|| worker.log())
    });
    let asked = Instant::now();
    worker.signal("TERM");
    let status = worker.ended(Duration::from_secs(60)).unwrap_or_else(|| panic!("{}", worker.log()));
    assert!(status.success() && asked.elapsed() < Duration::from_secs(30), "{status}\n{}", worker.log());
    let jobs = cloud.json(&["jobs", "--state", "pending"]);
    assert_eq!((jobs.len(), &jobs[0]["failures"]), (1, &json!(0)), "{jobs:?}");
    assert_eq!(cloud.objects("library/").len(), 0);
    let other = cloud.worker(policy, &["--lease", "600"], &[]);
    eventually(|| {
        let running = cloud.json(&["jobs", "--state", "running"]);
        running.iter().any(|j| j["action"]["do"] == "convert").then_some(()).ok_or_else(|| other.log())
    });
}

/// Each engine goes down in the middle of work and comes back: everything is done in the end, and nothing is done twice.
#[test]
fn engines_that_go_down_and_come_back_cost_time_and_nothing_else() {
    let cloud = Cloud::new();
    let server = Ministack::shared().address();
    let aws = Proxy::before(server);
    let database = Proxy::before(([127, 0, 0, 1], Postgres::shared().port()).into());
    let by_tcp = Postgres::shared().url_by_tcp(&cloud.catalog, database.port());
    let endpoint = aws.endpoint();
    let policy = web_and_copy(&cloud);
    let env = [("AWS_ENDPOINT_URL", endpoint.as_str()), ("VIDEOREC_CATALOG", by_tcp.as_str())];
    let workers: Vec<_> = (0..2).map(|_| cloud.worker(&policy, &[], &env)).collect();
    workers.iter().for_each(|w| w.says("working; SIGTERM"));
    let file = media(&cloud, "a.mp4");
    for round in 0..3 {
        for n in 0..3 {
            // Different bytes each: equal ones would be known.
            let mut bytes = fs::read(&file).unwrap();
            bytes.extend_from_slice(format!("round {round} file {n}").as_bytes());
            cloud.upload(&format!("{round}/{n}.mp4"), bytes);
        }
        let (proxy, fault) = match round {
            0 => (&aws, Fault::Down),
            1 => (&database, Fault::Down),
            _ => (&aws, Fault::CutAnswer { after: 400 }),
        };
        std::thread::sleep(Duration::from_millis(700));
        proxy.set(fault);
        std::thread::sleep(Duration::from_secs(4));
        proxy.set(Fault::None);
    }
    for round in 0..3 {
        for n in 0..3 {
            let name = format!("{round}/{n}.mp4");
            let recording = cloud.until_terminal(&name);
            assert_eq!(recording["state"], "ready", "{recording}\n{}", workers[0].log());
        }
    }
    assert_eq!(cloud.json(&["ls"]).len(), 9);
    assert_eq!(cloud.objects("library/").len(), 9 * 4);
    assert_eq!(cloud.objects("replica/").len(), 9);
}

/// ECS scale-in protection through the agent's endpoint: taken before the first message is received, given back when there
/// is nothing left, told on these changes only; and an agent that refuses is not fatal.
#[test]
fn a_busy_worker_is_protected_from_scale_in() {
    use std::sync::{Arc, Mutex};
    // Its greeting would be work.
    let cloud = Cloud::with(Setup { notifies: false, ..Setup::default() });
    let told = Arc::new(Mutex::new(Vec::<Value>::new()));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let agent = format!("http://{}/api/x", listener.local_addr().unwrap());
    std::thread::spawn({
        let told = told.clone();
        move || listener.incoming().flatten().for_each(|stream| serve_agent(stream, &told))
    });
    let worker = cloud.worker(TAGS, &[], &[("ECS_AGENT_URI", agent.as_str())]);
    worker.says("working; SIGTERM");
    std::thread::sleep(Duration::from_secs(3));
    assert!(told.lock().unwrap().is_empty(), "idle: nothing to protect");
    cloud.upload_file("a.mp4", &media(&cloud, "a.mp4"));
    cloud.send_event(r#"{"videorec":"tick"}"#);
    assert_eq!(cloud.until_terminal("a.mp4")["state"], "ready");
    let said = eventually(|| {
        let told = told.lock().unwrap().clone();
        if told.len() >= 2 { Ok(told) } else { Err(format!("{told:?}")) }
    });
    let protected: Vec<_> = said.iter().map(|b| b["ProtectionEnabled"].as_bool().unwrap()).collect();
    assert_eq!(protected, [true, false], "{said:?}");
    assert!(said[0]["ExpiresInMinutes"].as_u64().unwrap() > 60);
    assert!(worker.log().contains("scale-in protection is not set"), "the first answer was a refusal");
}

/// Answers one request; the first one with a refusal.
fn serve_agent(mut stream: std::net::TcpStream, told: &std::sync::Mutex<Vec<Value>>) {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    assert!(first.starts_with("PUT /api/x/task-protection/v1/state "), "{first}");
    let refuses = {
        let mut told = told.lock().unwrap();
        told.push(serde_json::from_slice(&body).unwrap());
        told.len() == 1
    };
    let (status, answer) = match refuses {
        true => ("400 Bad Request", r#"{"error":{"code":"InvalidParameterException","message":"no"}}"#),
        false => ("200 OK", r#"{"protection":{"ProtectionEnabled":true}}"#),
    };
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
        answer.len()
    );
}

/// Nothing is downloaded whole that can be streamed: a recording that only has to be put into another container flows from
/// the bucket through ffmpeg, also when its index is at its end.
#[test]
fn what_can_flow_is_not_fetched() {
    let cloud = Cloud::new();
    let first = cloud.worker(NOTHING, &[], &[]);
    let made = |name: &str, options: &[&str]| {
        let file = cloud.home.path().join(name);
        let inputs =
            ["testsrc2=size=640x480:rate=25:duration=20", "sine=frequency=440:sample_rate=48000:duration=20"];
        let codecs =
            ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac"];
        support::make(&file, &inputs, &[&codecs[..], options].concat());
        cloud.upload_file(name, &file);
    };
    made("flows.mp4", &["-movflags", "+faststart"]);
    made("flows.mkv", &[]);
    made("index-last.mp4", &[]);
    let names = ["flows.mp4", "flows.mkv", "index-last.mp4"];
    names.iter().for_each(|name| drop(cloud.until_terminal(name)));
    first.stop();
    // Another worker, which has nothing of them at hand.
    let policy = "version: 1\nrules:\n  - { name: web, match: all, convert: [mp4-720p] }\n";
    let second = cloud.worker(policy, &[], &[("VIDEOREC_LOG", "info,worker=debug")]);
    for name in names {
        let recording = cloud.until(name, |r| r["renditions"].as_array().is_some_and(|r| !r.is_empty()));
        let rendition = &recording["renditions"][0];
        let how: Vec<_> =
            rendition["choices"].as_array().unwrap().iter().map(|c| c["how"].as_str().unwrap()).collect();
        assert_eq!(how, ["copy", "copy"], "{name}: {recording}");
        assert_eq!(rendition["facts"]["duration_ms"].as_u64().unwrap() / 100, 200, "{name}");
        assert!(rendition["partial"].is_null());
    }
    let log = second.stop();
    assert_eq!(log.matches("flows from its bucket").count(), 3, "{log}");
    assert_eq!(log.matches("moved=true").count(), 1, "{log}");
    assert!(!log.contains("once more from a file"), "{log}");
}

/// A line that is cut while a recording flows makes no short film: the bytes go on from where they were, or the job is
/// tried again.
#[test]
fn a_flow_that_is_cut_makes_no_short_film() {
    let cloud = Cloud::new();
    let first = cloud.worker(NOTHING, &[], &[]);
    let file = cloud.home.path().join("a.mkv");
    let picture = "nullsrc=size=640x360:rate=25:duration=8,geq=random(1)*255:128:128";
    let codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-b:v", "3M", "-g", "25", "-pix_fmt", "yuv420p"];
    support::make(&file, &[picture], &codecs);
    cloud.upload_file("a.mkv", &file);
    cloud.until_terminal("a.mkv");
    first.stop();
    let proxy = Proxy::before(Ministack::shared().address());
    let endpoint = proxy.endpoint();
    proxy.set(Fault::CutAnswer { after: 700_000 });
    let policy = "version: 1\nrules:\n  - { name: web, match: all, convert: [mp4-720p] }\n";
    let worker =
        cloud.worker(policy, &[], &[("AWS_ENDPOINT_URL", &endpoint), ("VIDEOREC_LOG", "info,worker=debug")]);
    worker.says("flows from its bucket");
    std::thread::sleep(Duration::from_secs(2));
    proxy.set(Fault::None);
    let recording = cloud.until("a.mkv", |r| r["renditions"].as_array().is_some_and(|r| !r.is_empty()));
    assert_eq!(
        recording["renditions"][0]["facts"]["duration_ms"].as_u64().unwrap() / 100,
        80,
        "{}",
        worker.log()
    );
}

/// A scratch disk that fills up loses nothing: what does not fit is tried again, and is done once there is room.
#[test]
fn a_full_scratch_disk_is_waited_out() {
    let cloud = Cloud::new();
    let scratch = cloud.home.path().join("scratch");
    fs::create_dir_all(&scratch).unwrap();
    let mount = |options: &str| {
        let args = ["-t", "tmpfs", "-o", options, "tmpfs", scratch.to_str().unwrap()];
        std::process::Command::new("mount").args(args).status().is_ok_and(|s| s.success())
    };
    if !mount("size=3m") {
        return eprintln!("skipped: only root may mount the small disk that this needs");
    }
    let _mounted = Unmount(scratch.clone());
    // Told to be larger than it is, as when others write there too.
    let policy = "version: 1\nrules:\n  - { name: sound, match: all, convert: [audio-wav] }\n";
    let worker = cloud.worker(policy, &["--disk", "1000"], &[]);
    let file = cloud.home.path().join("long.mp3");
    support::make(
        &file,
        &["sine=frequency=440:sample_rate=48000:duration=60"],
        &["-c:a", "libmp3lame", "-b:a", "64k"],
    );
    cloud.upload_file("long.mp3", &file);
    worker.says("The disk is full");
    assert!(cloud.objects("library/").is_empty());
    assert!(mount("remount,size=200m"));
    let recording = cloud.until_terminal("long.mp3");
    assert_eq!(recording["state"], "ready", "{recording}\n{}", worker.log());
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// `videorec fleet` shows queues, the service and its tasks as ECS tells of them, and jobs in flight.
#[test]
fn the_fleet_is_shown() {
    let cloud = Cloud::new();
    let ecs = aws_sdk_ecs::Client::new(&cloud::sdk(&cloud.endpoint));
    cloud.block_on(async {
        ecs.create_cluster().cluster_name(&cloud.bucket).send().await.expect("a cluster");
        let container =
            aws_sdk_ecs::types::ContainerDefinition::builder().name("worker").image("videorec").build();
        let family = format!("{}-worker", cloud.bucket);
        let definition = ecs
            .register_task_definition()
            .family(&family)
            .container_definitions(container)
            .cpu("256")
            .memory("512");
        definition.send().await.expect("a task definition");
        let service = ecs
            .create_service()
            .cluster(&cloud.bucket)
            .service_name("workers")
            .task_definition(family)
            .desired_count(2);
        service.send().await.expect("a service");
    });
    let _worker = cloud.worker(NOTHING, &[], &[]);
    cloud.upload("a.bin", b"no recording".to_vec());
    cloud.until_terminal("a.bin");
    let fleet = |json: bool| {
        let args: &[&str] = if json { &["--json", "fleet"] } else { &["fleet"] };
        let mut command = cloud.command(args);
        command.env("VIDEOREC_ECS_CLUSTER", &cloud.bucket).env("VIDEOREC_ECS_SERVICE", "workers");
        let said = support::said(command.output().expect("it starts"));
        assert_eq!(said.code, Some(0), "{}\n{}", said.out, said.err);
        said.out
    };
    let text = fleet(false);
    assert!(text.contains("QUEUE") && text.contains("bulk"), "{text}");
    assert!(text.contains("workers of workers: 2 desired"), "{text}");
    let lines: Vec<Value> = fleet(true).lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let service = lines.iter().find(|l| l["service"] == "workers").expect("the service");
    assert_eq!(service["desired"], 2);
    let queues: Vec<_> = lines.iter().filter_map(|l| l["queue"].as_str()).collect();
    assert_eq!(queues, ["events", "interactive", "bulk"]);
    // A cluster that is not there is said so.
    let mut command = cloud.command(&["fleet"]);
    command.env("VIDEOREC_ECS_CLUSTER", "nowhere").env("VIDEOREC_ECS_SERVICE", "workers");
    let said = support::said(command.output().expect("it starts"));
    assert!(
        said.err.contains("ClusterNotFound") || said.out.contains("no service"),
        "{}{}",
        said.out,
        said.err
    );
}

/// Metrics as CloudWatch reads them from a log: JSON lines on standard output, apart from the log on standard error.
#[test]
fn metrics_may_go_to_cloudwatch() {
    let cloud = Cloud::new();
    let out = cloud.home.path().join("metrics.out");
    let worker = cloud.worker_saying(NOTHING, &[], &[("VIDEOREC_METRICS", "emf")], &out);
    cloud.upload("a.bin", b"no recording".to_vec());
    cloud.until_terminal("a.bin");
    worker.stop();
    let text = fs::read_to_string(&out).unwrap();
    let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let jobs = lines.iter().find(|l| !l["videorec_jobs_total"].is_null()).unwrap_or_else(|| panic!("{text}"));
    assert_eq!(jobs["_aws"]["CloudWatchMetrics"][0]["Namespace"], "videorec");
    assert_eq!((&jobs["what"], &jobs["outcome"]), (&json!("probe"), &json!("done")));
}

/// The policy may be an object. One that does not check changes nothing; a worker with another policy puts it in force for
/// everything, and the one before decides nothing more.
#[test]
fn a_policy_in_a_bucket_is_put_in_force() {
    let cloud = Cloud::new();
    let put = |text: &str| {
        let put = cloud
            .s3
            .put_object()
            .bucket(&cloud.bucket)
            .key("settings/policy.yaml")
            .body(text.as_bytes().to_vec().into());
        cloud.block_on(put.send()).expect("an object");
    };
    let url = format!("s3://{}/settings/policy.yaml", cloud.bucket);
    put("version: 1\nrules:\n  - { name: wrong, match: all, convrt: [mp4-480p] }\n");
    let mut refused = cloud.worker(&url, &[], &[]);
    assert_eq!(refused.ended(Duration::from_secs(30)).and_then(|s| s.code()), Some(2), "{}", refused.log());
    assert!(
        refused.log().contains("policy.yaml:3:32") && refused.log().contains("convert"),
        "{}",
        refused.log()
    );

    put("version: 1\nrules:\n  - { name: first, match: all, tag: [first] }\n");
    let old = cloud.worker(&url, &[], &[]);
    cloud.upload_file("a.mp4", &media(&cloud, "a.mp4"));
    cloud.until("a.mp4", |r| r["tags"] == json!(["first"]));
    assert!(cloud.ok(&["policy", "show"]).contains("first"));
    put("version: 1\nrules:\n  - { name: second, match: all, tag: [second] }\n");
    let new = cloud.worker(&url, &[], &[]);
    cloud.until("a.mp4", |r| r["tags"] == json!(["first", "second"]));
    cloud.upload_file("b.mp4", &media(&cloud, "b.webm"));
    cloud.until("b.mp4", |r| r["tags"] == json!(["second"]));
    assert!(cloud.ok(&["policy", "show"]).contains("second"));
    drop((old, new));
}

/// What a rule sends leaves once, from whichever worker has a hand free; what a person sends does too, and its manifest is the last.
#[test]
fn what_is_sent_leaves_from_any_worker() {
    let cloud = Cloud::new();
    let partner = cloud.home.path().join("partner");
    fs::create_dir(&partner).unwrap();
    let text = format!(
        "version: 1\nstores: {{ partner: {{ url: {}, connections: 2 }} }}\nrules:\n  - {{ name: out, match: {{ kind: recording }}, \
         export: {{ to: partner, as: 'by-rule/{{name}}-{{id}}.{{ext}}' }} }}\n",
        partner.display()
    );
    let (one, two) = (cloud.worker(&text, &[], &[]), cloud.worker(&text, &[], &[]));
    let file = media(&cloud, "a.mp4");
    for n in 0..8 {
        // Other bytes under each name.
        let mut bytes = fs::read(&file).unwrap();
        bytes.extend(format!("{n}").bytes());
        cloud.upload(&format!("{n}.mp4"), bytes);
    }
    for n in 0..8 {
        let it = cloud.until_terminal(&format!("{n}.mp4"));
        assert_eq!(it["state"], "ready", "{it}\n{}{}", one.log(), two.log());
    }
    let sent = |folder: &str| {
        let entries = fs::read_dir(partner.join(folder)).into_iter().flatten().flatten();
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(sent("by-rule").len(), 8, "{:?}", sent("by-rule"));

    let policy = cloud.policy(&text).display().to_string();
    let order =
        ["--policy", &policy, "export", "--everything", "--to", "partner", "--as", "by-hand/{id}.{ext}"];
    assert!(cloud.ok(&order).contains("8 recordings"));
    let sums = eventually(|| {
        let sums = sent("").into_iter().find(|name| name.ends_with(".sha256"));
        sums.ok_or_else(|| format!("{:?}\n{}{}", sent(""), one.log(), two.log()))
    });
    assert_eq!(sent("by-hand").len(), 8, "the manifest is the last");
    let lines = fs::read_to_string(partner.join(sums.replace(".sha256", ".jsonl"))).unwrap();
    assert_eq!(lines.lines().filter(|line| line.contains("\"arrival\":\"sent\"")).count(), 8, "{lines}");
    let jobs = cloud.json(&["jobs", "--limit", "100"]);
    let of = |what: &str| jobs.iter().filter(|j| j["action"]["do"] == what).collect::<Vec<_>>();
    assert_eq!(of("export").len(), 16, "{jobs:?}");
    assert!(of("export").iter().all(|j| j["state"] == "done" && j["failures"] == 0), "{jobs:?}");
}
