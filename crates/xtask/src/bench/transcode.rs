use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use super::{ledger, ratio, report, work};

/// Interleaved pairs: A B A B A B.
const PAIRS: usize = 3;
pub const SECONDS: u32 = 300;
/// Shorter where only a large ratio is asked for.
const REMUX_SECONDS: u32 = 100;

const ENCODE: &str = "version: 1\nrules:\n  - { name: web, match: all, convert: [mp4-720p] }\n";
const FORCED: &str = "\
version: 1
presets:
  # The same picture at a rate that the source is above of: it has to be encoded.
  forced: { kind: video, container: mp4, video: { codec: h264, short_side: 720, crf: 23, speed: veryfast, max_kbps: 400 },
            audio: { codec: aac } }
rules:
  - { name: web, match: all, convert: [forced] }
";

/// A browser's recording, which has to be encoded: the system from `ingest` to the published, checked rendition,
/// against ffmpeg alone with the very arguments that the system used.
pub fn encode() -> Result<(), String> {
    let folder = work::folder("transcode")?;
    let source = browsers(SECONDS)?;
    let arguments = arguments_of(&folder, &source)?;
    println!("ffmpeg {}", arguments.join(" "));
    let (mut system, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        system.push(through_the_system(&folder, ENCODE, &source)?);
        bare.push(alone(&folder, &source, &arguments)?);
    }
    let system = report("through the system, ingest to rendition", &system);
    let bare = report("bare ffmpeg, same arguments", &bare);
    ratio("system / bare", system / bare, "<= 1.05", system / bare <= 1.05);
    Ok(())
}

/// A camera's recording in the target's shape: the copy path against encoding the same file, both through the system.
pub fn remux() -> Result<(), String> {
    let folder = work::folder("remux")?;
    let source = folder.join("source.mp4");
    make_cameras(&source, REMUX_SECONDS)?;
    let (mut copied, mut encoded) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        copied.push(conversion(&folder, ENCODE, &source)?);
        encoded.push(conversion(&folder, FORCED, &source)?);
    }
    let copied = report("copy path, the job alone", &copied);
    let encoded = report("encoding, the job alone", &encoded);
    ratio("encoding / copy path", encoded / copied, ">= 20", encoded / copied >= 20.0);
    Ok(())
}

/// As a browser records: it has to be encoded. Made once.
pub fn browsers(seconds: u32) -> Result<PathBuf, String> {
    let file = work::folder("transcode")?.join(format!("source-{seconds}.webm"));
    let video = ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "12", "-b:v", "1500k"];
    make(&file, seconds, &[&video[..], &["-c:a", "libopus"]].concat())?;
    Ok(file)
}

/// As a camera records, in the target's shape and below its highest rate: nothing but the copy path's own conditions
/// decides.
pub fn make_cameras(file: &Path, seconds: u32) -> Result<(), String> {
    let rate = ["-b:v", "2500k", "-maxrate", "3500k", "-bufsize", "5000k"];
    let video = ["-g", "60", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"];
    make(file, seconds, &[&video[..], &rate].concat())
}

fn make(file: &Path, seconds: u32, options: &[&str]) -> Result<(), String> {
    if file.exists() {
        return Ok(());
    }
    let partial = file.with_extension(format!("partial.{}", file.extension().unwrap_or_default().display()));
    let picture = format!("testsrc2=size=1280x720:rate=30:duration={seconds},noise=alls=12:allf=t");
    let tone = format!("sine=frequency=440:sample_rate=48000:duration={seconds}");
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &tone]);
    work::timed(command.args(options).arg(&partial))?;
    fs::rename(&partial, file).map_err(|e| e.to_string())
}

fn through_the_system(folder: &Path, policy: &str, source: &Path) -> Result<Duration, String> {
    let library = work::library(folder, policy)?;
    work::timed(&mut work::videorec(&library, &["ingest", &source.display().to_string()]))
}

/// What the ledger says that the conversion took: from when it could begin to its recorded outcome.
fn conversion(folder: &Path, policy: &str, source: &Path) -> Result<Duration, String> {
    through_the_system(folder, policy, source)?;
    let mut command = work::videorec(&folder.join("library"), &["--json", "jobs"]);
    let output = command.stdout(Stdio::piped()).output().map_err(|e| e.to_string())?;
    let jobs = ledger::Job::all(&String::from_utf8_lossy(&output.stdout));
    let conversions: Vec<_> = jobs.into_iter().filter(|j| j.has(r#""do":"convert""#)).collect();
    ledger::span(&conversions)
}

/// The arguments of the system's encoding call, from its own log.
fn arguments_of(folder: &Path, source: &Path) -> Result<Vec<String>, String> {
    let library = work::library(folder, ENCODE)?;
    let mut command = work::videorec(&library, &["ingest", &source.display().to_string()]);
    command.env("VIDEOREC_LOG", "media=debug").env("NO_COLOR", "1").stderr(Stdio::piped());
    let output = command.output().map_err(|e| e.to_string())?;
    arguments_in(&String::from_utf8_lossy(&output.stderr), "libx264")
}

/// The arguments of the one call in a log of `media=debug` that has this among them.
pub fn arguments_in(log: &str, word: &str) -> Result<Vec<String>, String> {
    let list = |line: &str| Some(line.split_once("args=[\"")?.1.rsplit_once("\"]")?.0.to_owned());
    let lists: Vec<String> = log.lines().filter_map(list).filter(|l| l.contains(word)).collect();
    match lists.as_slice() {
        [one] => Ok(one.split("\", \"").map(str::to_owned).collect()),
        other => Err(format!("{} calls with {word} in the log instead of one\n{log}", other.len())),
    }
}

/// The same call without us: from disk to disk, in a folder `bare`.
pub fn alone(folder: &Path, source: &Path, arguments: &[String]) -> Result<Duration, String> {
    let work: PathBuf = folder.join("bare");
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work)
        .and_then(|()| std::os::unix::fs::symlink(source, work.join("in0")))
        .map_err(|e| e.to_string())?;
    let mut command = Command::new("ffmpeg");
    command.args(arguments).current_dir(&work).stdout(Stdio::null()).stderr(Stdio::null());
    work::timed(&mut command)
}
