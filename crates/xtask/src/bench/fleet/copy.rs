use std::{
    process::{Command, Stdio},
    time::Duration,
};

use super::{Fleet, Objects, RCLONE, start_of, version};
use crate::bench::{Size, ledger, ratio, report, work};

/// Objects below the watched prefix, and how a peer names them.
struct Pile {
    what: &'static str,
    prefix: &'static str,
    objects: usize,
    bytes: usize,
    rounds: usize,
}

/// Copies on one server, which makes them by itself whoever asks. A backup is more: it reads every copy back and hashes it,
/// because nothing else proves that it is one. So there are two peers: those that believe the server, and one that looks.
pub fn run(size: Size) -> Result<(), String> {
    let large = Pile {
        what: "1 GiB, one object",
        prefix: "large/",
        objects: 1,
        bytes: size.of(1 << 30, 8 << 20),
        rounds: size.of(3, 1),
    };
    let small = Pile {
        what: "many of 256 KiB",
        prefix: "small/",
        objects: size.of(2_000, 50),
        bytes: 256 << 10,
        rounds: size.of(3, 1),
    };
    // The emulator takes minutes to hand out a gigabyte in pieces. The other server sends head and body of a small answer
    // apart without TCP_NODELAY: each then waits for a delayed acknowledgement, 40 ms that are nobody's work.
    for (pile, objects) in [(large, Objects::Files), (small, Objects::Emulator)] {
        let mut fleet = Fleet::start("fleet-copy", objects)?;
        let (count, bytes) = (pile.objects.to_string(), pile.bytes.to_string());
        fleet.peer.ask(&["scatter", &format!("inbox/{}", pile.prefix), &count, &bytes])?;
        fleet.accept(pile.objects)?;
        one(&mut fleet, &pile)?;
    }
    Ok(())
}

fn one(fleet: &mut Fleet, pile: &Pile) -> Result<(), String> {
    println!(
        "\n{}: {} x {} bytes; peers: s5cmd {}, cp; {}, copy {}",
        pile.what,
        pile.objects,
        pile.bytes,
        version(fleet.s5cmd().arg("version")),
        version(fleet.tool(RCLONE, "rclone").arg("version")),
        RCLONE_FLAGS.join(" ")
    );
    let asked = |mut command: Command| {
        command.arg("version");
        command
    };
    // What they take to start is not counted against them.
    let s5cmd_starts = start_of(|| asked(fleet.s5cmd()))?;
    let rclone_starts = start_of(|| asked(rclone(fleet)))?;
    let from = format!("inbox/{}", pile.prefix);
    let (mut ours, mut with_s5cmd) = (Vec::new(), Vec::new());
    let (mut with_rclone, mut looked) = (Vec::new(), Vec::new());
    for round in 1..=pile.rounds {
        // Another place each time: a copy that is there is not made again.
        let store = format!("replica-{}{round}", pile.prefix.trim_end_matches('/'));
        let mut worker = fleet.worker(&format!(
            "version: 1\nstores: {{ {store}: {{ url: 's3://{}/{store}' }} }}\n\
             rules:\n  - {{ name: a second place, match: {{ prefix: {} }}, backup: {store} }}\n",
            fleet.bucket, pile.prefix
        ))?;
        let load = fleet.load();
        let jobs = fleet.done(&format!(r#""store":"{store}""#), pile.objects, &mut worker)?;
        let load = load.end();
        ours.push(ledger::span(&jobs)?);
        println!("round {round}: {}; {load}", fleet.end(worker)?);
        fleet.forget(&[&format!("{store}/")])?;

        let (there, count) = (format!("s3://{}/peer/", fleet.bucket), pile.objects.to_string());
        let here = format!("s3://{}/{from}*", fleet.bucket);
        with_s5cmd.push(beyond(s5cmd_starts, fleet.s5cmd().args(["cp", &here, &there]))?);
        fleet.peer.ask(&["expect", "peer/", &count])?;
        fleet.forget(&["peer/"])?;
        let (here, there) = (remote(fleet, &from), remote(fleet, "peer/"));
        let copied = beyond(rclone_starts, rclone(fleet).args(["copy", &here, &there]))?;
        fleet.peer.ask(&["expect", "peer/", &count])?;
        let hash = ["hashsum", "SHA256", "--download", &there];
        let hashed = beyond(rclone_starts, rclone(fleet).args(hash))?;
        with_rclone.push(copied);
        looked.push(copied + hashed);
        fleet.forget(&["peer/"])?;
    }
    let ours = report("worker: copied, read back, hashed, recorded", &ours);
    let s5cmd = report("s5cmd: copied", &with_s5cmd);
    let rclone = report("rclone: copied", &with_rclone);
    let looked = report("rclone: copied, then hashsum --download", &looked);
    ratio("s5cmd / worker", s5cmd / ours, "> 1", s5cmd > ours);
    ratio("rclone / worker", rclone / ours, "> 1", rclone > ours);
    ratio("rclone that also looks / worker", looked / ours, "> 1", looked > ours);
    Ok(())
}

/// Wall time of a program that has to succeed, less what it takes to start: that is not counted against it.
fn beyond(start: Duration, command: &mut Command) -> Result<Duration, String> {
    Ok(work::timed(command.stdout(Stdio::null()))?.saturating_sub(start))
}

/// As for any service that is not AWS; what is copied and how is left to its defaults.
const RCLONE_FLAGS: [&str; 4] =
    ["--s3-provider=Other", "--s3-env-auth", "--s3-force-path-style", "--s3-no-check-bucket"];

fn rclone(fleet: &Fleet) -> Command {
    let mut command = fleet.tool(RCLONE, "rclone");
    command.args(RCLONE_FLAGS).args(["--config=", "--s3-endpoint"]).arg(fleet.s3());
    command
}

fn remote(fleet: &Fleet, prefix: &str) -> String {
    format!(":s3:{}/{prefix}", fleet.bucket)
}
