//! The same, as a fleet: a local emulator of S3, SQS and SNS, a local PostgreSQL, and a worker between them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use testbed::{Ministack, Postgres};

use super::record;
use crate::{
    run::{cargo, root, run as execute, target},
    setup,
};

/// As long as a slow machine may take for what takes a minute here.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

pub fn run() -> Result<(), String> {
    setup::ffmpeg()?;
    let python = testbed::ensure_boto3();
    testbed::ensure_ministack();
    testbed::ensure_postgres();
    eprintln!("building videorec with the cloud's SDKs (the first time takes some minutes) ...");
    execute(&mut cargo(&["build", "--locked", "--package", "app", "--features", "cloud"]))?;

    let home = target().join("demo");
    let recordings = record(&home)?;
    eprintln!("starting the emulator of AWS and PostgreSQL, on this machine only ...");
    let (aws, database) = (Ministack::start(), Postgres::start());
    let around = Around { python, endpoint: aws.endpoint(), catalog: database.database() };

    println!(
        "\nA bucket, queues, a topic (crates/xtask/src/demo/cloud.py makes them with the ordinary AWS SDK):"
    );
    let environment: Vec<(String, String)> = around
        .script(&["setup"])?
        .lines()
        .filter_map(|l| l.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())))
        .collect();
    environment.iter().for_each(|(name, value)| println!("  {name}={value}"));

    let log = home.join("worker.log");
    let mut worker = around.start(&environment, &home, &log)?;
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
    let finished = around.watch(&environment, files, &mut worker);
    println!("\nWhat came of it:");
    execute(&mut around.videorec(&environment, &["ls", "--renditions"]))?;
    println!("\nThe fleet:");
    execute(&mut around.videorec(&environment, &["fleet"]))?;
    println!("\nWhat the topic told its subscriber:");
    print!("{}", around.script(&["told"])?);

    // As ECS ends a task.
    let ended = Command::new("kill").args(["-TERM", &worker.id().to_string()]).status();
    ended.map_err(|e| e.to_string())?;
    let status = worker.wait().map_err(|e| e.to_string())?;
    println!("\nThe worker drained and ended ({status}); emulator and database end with this command.");
    println!("`videorec work --help` says what a worker of yours needs.");
    finished
}

/// What the worker and the script find around them.
struct Around {
    python: PathBuf,
    endpoint: String,
    catalog: String,
}

impl Around {
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }

    fn script(&self, args: &[&str]) -> Result<String, String> {
        let mut command = self.command(&self.python);
        command.arg(root().join("crates/xtask/src/demo/cloud.py")).args(args).stderr(Stdio::inherit());
        let out = command.output().map_err(|e| format!("python did not start: {e}"))?;
        if !out.status.success() {
            return Err(format!("cloud.py {args:?} failed: {}", out.status));
        }
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    fn videorec(&self, environment: &[(String, String)], args: &[&str]) -> Command {
        let mut command = self.command(&target().join("debug/videorec"));
        command.envs(environment.iter().cloned()).env("VIDEOREC_CATALOG", &self.catalog).args(args);
        setup::without_layers(&mut command);
        command
    }

    fn start(&self, environment: &[(String, String)], home: &Path, log: &Path) -> Result<Child, String> {
        let file = fs::File::create(log).map_err(|e| format!("cannot make {}: {e}", log.display()))?;
        let scratch = home.join("scratch").display().to_string();
        let mut work =
            self.videorec(environment, &["work", "--scratch", &scratch, "--listen", "127.0.0.1:0"]);
        work.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        work.spawn().map_err(|e| format!("videorec did not start: {e}"))
    }

    /// Says how far it is until every file came to its end.
    fn watch(
        &self,
        environment: &[(String, String)],
        files: usize,
        worker: &mut Child,
    ) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        let mut before = String::new();
        loop {
            let count = |args: &[&str], of: &[&str]| -> Result<(usize, usize), String> {
                let out = self
                    .videorec(environment, args)
                    .stderr(Stdio::inherit())
                    .output()
                    .map_err(|e| e.to_string())?;
                let text = String::from_utf8_lossy(&out.stdout).into_owned();
                let open = text
                    .lines()
                    .filter(|l| of.iter().any(|state| l.contains(&format!(r#""state":"{state}""#))));
                Ok((text.lines().count(), open.count()))
            };
            let (came, open) = count(&["--json", "ls", "--limit", "1000"], &["accepted", "processing"])?;
            let (jobs, left) = count(&["--json", "jobs", "--limit", "1000"], &["pending", "running"])?;
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
}

/// Files that are no marks of our own.
fn count(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|e| !e.file_name().to_string_lossy().starts_with('.'))
        .map(|e| if e.path().is_dir() { count(&e.path()) } else { 1 })
        .sum()
}
