//! The same, as a fleet: a local emulator of S3, SQS and SNS, a local PostgreSQL, and a worker between them.

use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use super::record;
use crate::{
    around::{self, Around},
    run::{cargo, run as execute, target},
    setup,
};

/// As long as a slow machine may take for what takes a minute here.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

pub fn run() -> Result<(), String> {
    setup::ffmpeg()?;
    around::install();
    eprintln!("building videorec with the cloud's SDKs (the first time takes some minutes) ...");
    execute(&mut cargo(&["build", "--locked", "--package", "app", "--features", "cloud"]))?;

    let home = target().join("demo");
    let recordings = record(&home)?;
    eprintln!("starting the emulator of AWS and PostgreSQL, on this machine only ...");
    let around = Around::start("debug")?;
    println!(
        "\nA bucket, queues, a topic (crates/xtask/src/demo/cloud.py makes them with the ordinary AWS SDK):"
    );
    around.environment().iter().for_each(|(name, value)| println!("  {name}={value}"));

    let log = home.join("worker.log");
    let started = around.worker(&home.join("scratch"), &log)?.spawn();
    let mut worker = started.map_err(|e| format!("videorec did not start: {e}"))?;
    println!(
        "\nA worker runs (its log: {}). Uploading recordings, a call among them, and one that is none:",
        log.display()
    );
    let broken = home.join("broken");
    fs::create_dir_all(&broken)
        .and_then(|()| fs::write(broken.join("interview.mp4"), "this is a text, whatever its name says\n"))
        .map_err(|e| e.to_string())?;
    for folder in [&recordings, &broken] {
        print!("{}", around.script(&["upload", &folder.display().to_string()])?);
    }
    let files = count(&recordings) + 1;
    let finished = watch(&around, files, &mut worker);
    println!("\nWhat came of it:");
    execute(&mut around.videorec(&["ls", "--renditions"]))?;
    println!("\nThe fleet:");
    execute(&mut around.videorec(&["fleet"]))?;
    println!("\nWhat the topic told its subscriber:");
    let told = around.script(&["told"])?;
    print!("{told}");

    around::terminate(&worker)?;
    let status = worker.wait().map_err(|e| e.to_string())?;
    println!("\nThe worker drained and ended ({status}); emulator and database end with this command.");
    println!("`videorec work --help` says what a worker of yours needs.");
    finished?;
    if !status.success() {
        return Err(format!("the worker did not end cleanly; see {}", log.display()));
    }
    let ready = listed(&around, &["--json", "ls", "--limit", "1000"], &["ready"])?.1;
    if ready != files - 1 {
        return Err(format!("{ready} recordings are ready instead of {}; see {}", files - 1, log.display()));
    }
    if !told.contains("interview.mp4") {
        return Err("the topic told nobody of the file that is no recording".into());
    }
    Ok(())
}

/// How many lines there are, and how many are in one of these states.
fn listed(around: &Around, args: &[&str], states: &[&str]) -> Result<(usize, usize), String> {
    let out = around.videorec(args).stderr(Stdio::inherit()).output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let of = |line: &&str| states.iter().any(|state| line.contains(&format!(r#""state":"{state}""#)));
    Ok((text.lines().count(), text.lines().filter(of).count()))
}

/// Says how far it is until every file came to its end.
fn watch(around: &Around, files: usize, worker: &mut Child) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    let mut before = String::new();
    loop {
        let (came, open) = listed(around, &["--json", "ls", "--limit", "1000"], &["accepted", "processing"])?;
        let (jobs, left) = listed(around, &["--json", "jobs", "--limit", "1000"], &["pending", "running"])?;
        let now = format!(
            "{came} of {files} files came in, {} at their end; {} of {jobs} jobs done",
            came - open,
            jobs - left
        );
        if now != before {
            println!("  {now}");
            before = now;
        }
        if came >= files && open == 0 {
            return Ok(());
        }
        if let Ok(Some(status)) = worker.try_wait() {
            return Err(format!("the worker ended: {status}"));
        }
        if Instant::now() > until {
            return Err("not finished within a quarter of an hour; see the worker's log".into());
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Files that are no marks of our own.
fn count(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|e| !e.file_name().to_string_lossy().starts_with('.'))
        .map(|e| if e.path().is_dir() { count(&e.path()) } else { 1 })
        .sum()
}
