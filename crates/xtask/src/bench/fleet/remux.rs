use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{Fleet, Objects, arguments_in, call, conversion, converting, version};
use crate::bench::{Size, ledger, ratio, report, transcode, work};

/// Long enough to be a film's, short enough to be made in a moment; the sources are loops of it.
const CLIP_SECONDS: u32 = 50;

/// What is asked of each source.
struct Targets {
    name: &'static str,
    /// The field's worker's time over ours, at least.
    python: f64,
    /// Our time over that of uploading the output alone, at most.
    upload: Option<f64>,
}

/// Cameras' recordings in the target's shape, so that nothing is encoded: what is left is moving bytes. Against the
/// field's worker around the same ffmpeg call, and against uploading the output alone, which nobody can do without; and
/// so that it can be seen what the servers allow, against streaming the source's bytes back into the bucket, as a pipe of two
/// programs that look at nothing.
pub fn run(size: Size) -> Result<(), String> {
    let mut fleet = Fleet::start("fleet-remux", Objects::Files)?;
    let clip = fleet.home.join("clip.mp4");
    transcode::make_cameras(&clip, CLIP_SECONDS)?;
    // 80 MB and 1 GiB.
    let (small, large) = size.of((80_000_000, 1 << 30), (20_000_000, 40_000_000));
    let small = (Targets { name: "cam-80mb", python: 2.5, upload: None }, small, size.of(5, 1));
    let large = (Targets { name: "cam-1gib", python: 1.0, upload: Some(1.15) }, large, size.of(3, 1));
    println!("peers: {}; s5cmd {}", boto3(&fleet), version(fleet.s5cmd().arg("version")));
    let home = fleet.home.clone();
    let source = |name, bytes| home.join(format!("{name}-{bytes}.mp4"));
    for (targets, bytes, _) in [&small, &large] {
        let source = source(targets.name, *bytes);
        repeat(&clip, *bytes, &source)?;
        fleet.peer.ask(&["upload", &source.display().to_string(), &key(targets.name)])?;
    }
    fleet.accept(2)?;
    for (targets, bytes, rounds) in [small, large] {
        one(&mut fleet, &source(targets.name, bytes), &targets, rounds)?;
    }
    Ok(())
}

fn key(name: &str) -> String {
    format!("inbox/{name}.mp4")
}

fn one(fleet: &mut Fleet, source: &Path, targets: &Targets, rounds: usize) -> Result<(), String> {
    let name = targets.name;
    println!("\n{name}: {} MB", fs::metadata(source).map_or(0, |m| m.len()) / 1_000_000);
    let (mut ours, mut python, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    let (mut boto3, mut s5cmd, mut pipe) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        // Another name each time: a job that is done is not done again.
        let what = format!("{name}-{round}");
        let mut worker = fleet.worker(&converting(&format!("{{ name: {name}.mp4 }}"), &what))?;
        let load = fleet.load();
        ours.push(ledger::span(&fleet.done(&conversion(&what), 1, &mut worker)?)?);
        let load = load.end();
        is_a_copy(fleet, &what)?;
        let arguments = arguments_in(&worker.log)?;
        let usage = fleet.end(worker)?;
        if round == 1 {
            println!("{}", call(&arguments));
            println!("worker: {usage}; {load}");
        }
        let key = key(name);
        let words: Vec<&str> = ["convert", &key, "peer/output.mp4"]
            .into_iter()
            .chain(arguments.iter().map(String::as_str))
            .collect();
        python.push(fleet.peer.ask(&words)?);
        bare.push(transcode::alone(&fleet.home, source, &arguments)?);
        let made = arguments.last().ok_or("ffmpeg had no arguments")?.trim_start_matches("file:");
        let made = fleet.home.join("bare").join(made).display().to_string();
        boto3.push(fleet.peer.ask(&["upload", &made, "peer/alone.mp4"])?);
        let to = format!("s3://{}/peer/s5cmd.mp4", fleet.bucket);
        s5cmd.push(work::timed(fleet.s5cmd().args(["cp", &made, &to]).stdout(Stdio::null()))?);
        pipe.push(piped(fleet, &format!("s3://{}/{key}", fleet.bucket), &to)?);
        fleet.forget(&["library/", "peer/"])?;
    }
    println!("boto3 worker: {}", fleet.peer.usage());
    let ours = report("bucket to bucket, through a worker", &ours);
    let python = report("boto3: download, the same ffmpeg, upload", &python);
    report("the same ffmpeg alone, disk to disk", &bare);
    let boto3 = report("uploading the output alone, boto3", &boto3);
    let s5cmd = report("uploading the output alone, s5cmd", &s5cmd);
    let pipe = report("the bytes down and up again, a pipe of s5cmd", &pipe);
    println!("{:<44} {:>8.3}", "worker / the bytes down and up again", ours / pipe);
    ratio(
        "boto3 / worker",
        python / ours,
        &format!(">= {}", targets.python),
        python / ours >= targets.python,
    );
    // By whoever does it faster.
    let upload = boto3.min(s5cmd);
    match targets.upload {
        Some(most) => {
            ratio("worker / uploading alone", ours / upload, &format!("<= {most}"), ours / upload <= most);
        }
        None => println!("{:<44} {:>8.3}", "worker / uploading alone", ours / upload),
    }
    Ok(())
}

/// An object's bytes into another object, through a pipe.
fn piped(fleet: &Fleet, from: &str, to: &str) -> Result<Duration, String> {
    let started = Instant::now();
    let mut reader =
        fleet.s5cmd().args(["cat", from]).stdout(Stdio::piped()).spawn().map_err(|e| e.to_string())?;
    let bytes = reader.stdout.take().ok_or("no pipe")?;
    work::timed(fleet.s5cmd().args(["pipe", to]).stdin(bytes).stdout(Stdio::null()))?;
    let status = reader.wait().map_err(|e| e.to_string())?;
    if status.success() { Ok(started.elapsed()) } else { Err(format!("s5cmd cat: {status}")) }
}

/// A source of about so many bytes.
fn repeat(clip: &Path, bytes: u64, source: &Path) -> Result<(), String> {
    if source.exists() {
        return Ok(());
    }
    let once = fs::metadata(clip).map_err(|e| e.to_string())?.len();
    let partial = source.with_extension("partial.mp4");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y", "-stream_loop", &(bytes / once).to_string(), "-i"]);
    command.arg(clip).args(["-c", "copy"]);
    work::timed(command.arg(&partial))?;
    fs::rename(&partial, source).map_err(|e| e.to_string())
}

/// That nothing was encoded after all.
fn is_a_copy(fleet: &Fleet, preset: &str) -> Result<(), String> {
    let listed = fleet.videorec(&["--json", "ls", "--renditions"])?;
    let line = listed.lines().find(|l| l.contains(preset)).unwrap_or_default();
    if line.contains(r#""how":"copy""#) && !line.contains("libx264") {
        return Ok(());
    }
    Err(format!("this was to be the copy path: {line}"))
}

fn boto3(fleet: &Fleet) -> String {
    version(
        Command::new(&fleet.around.python).args(["-c", "import boto3; print('boto3', boto3.__version__)"]),
    )
}
