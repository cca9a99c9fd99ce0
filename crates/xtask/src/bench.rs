//! Paired measurements, interleaved, against the peer in the same run; medians and ratios. Never a test: what a
//! machine does today is not a property of the code.

mod decide;
mod fleet;
mod ingest;
mod ledger;
mod load;
mod memory;
mod plan;
mod transcode;
mod transfers;
mod wire;
mod work;

use std::time::Duration;

use crate::{
    run::{cargo, run as execute},
    setup,
};

/// Its name, what it measures, and how.
type Bench = (&'static str, &'static str, fn(Size) -> Result<(), String>);

const BENCHES: &[Bench] = &[
    ("transcode", "5 min 720p through the system against bare ffmpeg with the same arguments", |_| {
        transcode::encode()
    }),
    ("remux", "the copy path against encoding the same file", |_| transcode::remux()),
    ("ingest", "10,000 small files up to the catalog", |_| ingest::many()),
    ("memory", "resident memory: idle, and while a 2 GiB file comes in", |_| memory::all()),
    (
        "plan",
        "a plan over 1,000,000 recordings and 20 rules, against a Python script and Cloud Custodian",
        plan::run,
    ),
    (
        "transfers",
        "1 GiB and 2,000 x 256 KiB by every protocol, against sftp, curl, lftp, s5cmd and rclone",
        transfers::run,
    ),
    (
        "decide",
        "decisions a second on one core, and a sweep over 1,000,000 of which nothing is due",
        decide::run,
    ),
    ("fleet-dispatch", "a worker's messages a second against boto3 loops and Celery", fleet::dispatch::run),
    ("fleet-copy", "verified copies on one server against s5cmd and rclone", fleet::copy::run),
    ("fleet-idle", "an idle worker's memory, and how soon it asks for work", fleet::idle::run),
    ("fleet-remux", "the copy path from bucket to bucket against a boto3 worker", fleet::remux::run),
    (
        "fleet-transcode",
        "5 min 720p from bucket to bucket against bare ffmpeg and boto3",
        fleet::transcode::run,
    ),
];

/// How much a bench of the fleet does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Full,
    /// As little as shows that the bench itself works.
    Small,
}

impl Size {
    fn of<T>(self, full: T, small: T) -> T {
        match self {
            Self::Full => full,
            Self::Small => small,
        }
    }
}

pub fn run(args: &[String]) -> Result<(), String> {
    let small = args.iter().any(|a| a == "--small");
    let names: Vec<_> = args.iter().filter(|a| *a != "--small").collect();
    if let Some(unknown) = names.iter().find(|n| !BENCHES.iter().any(|(name, ..)| name == *n)) {
        let known: Vec<_> = BENCHES.iter().map(|(name, what, _)| format!("  {name:<15} {what}")).collect();
        return Err(format!("`{unknown}` is not a bench\n{}", known.join("\n")));
    }
    setup::ffmpeg()?;
    // One build for all, and the one that ships: with the cloud's SDKs.
    execute(&mut cargo(&["build", "--locked", "--release", "--package", "app", "--features", "cloud"]))?;
    if small {
        println!("\nSmall: shows that the fleet's benches work. Their numbers mean nothing.");
    }
    for (name, what, bench) in BENCHES {
        if names.is_empty() || names.iter().any(|n| n == name) {
            println!("\n## {name}: {what}");
            bench(if small { Size::Small } else { Size::Full })?;
        }
    }
    Ok(())
}

/// The middle one; of an even number the mean of the two in the middle.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

/// One line: the median, and all runs so that the spread is seen.
fn report(what: &str, runs: &[Duration]) -> f64 {
    let seconds: Vec<f64> = runs.iter().map(Duration::as_secs_f64).collect();
    let all: Vec<_> = seconds.iter().map(|s| format!("{s:.2}")).collect();
    let median = median(&seconds);
    println!("{what:<44} {median:>8.2} s   (runs: {})", all.join(", "));
    median
}

/// A ratio against its target, said plainly either way.
fn ratio(what: &str, value: f64, target: &str, met: bool) {
    println!("{what:<44} {value:>8.3}     target {target}: {}", if met { "met" } else { "MISSED" });
}
