use std::{
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{Fleet, Objects, version, wait};
use crate::{
    bench::{
        Size,
        ledger::Job,
        load::Usage,
        median, ratio,
        wire::{Wire, values},
    },
    run::root,
};

const CELERY: &str = "celery[sqs]==5.7.0";
/// How often the queue is looked at: looking costs the emulator.
const LOOK: Duration = Duration::from_millis(50);

/// Messages that ask for nothing, from the first that is taken until the queue is empty. A worker receives, finds in the
/// catalog that the job is done, and acknowledges; its peers receive and delete.
pub fn run(size: Size) -> Result<(), String> {
    let (messages, rounds) = size.of((5_000, 3), (200, 1));
    let mut fleet = Fleet::start("fleet-dispatch", Objects::Emulator)?;
    fleet.peer.ask(&["scatter", "inbox/", "1", "1000"])?;
    fleet.accept(1)?;
    let probed = Job::all(&fleet.videorec(&["--json", "jobs", "--limit", "1"])?);
    let done = probed.first().and_then(|j| j.text("id")).ok_or("no job in the ledger")?;
    let bulk = fleet.around.variable("VIDEOREC_QUEUE_BULK")?.to_owned();
    println!("{messages} messages each; Celery is {}", celery_version(&fleet));

    let (mut ours, mut single, mut batch) = (Vec::new(), Vec::new(), Vec::new());
    let (mut tuned, mut bare) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        fleet.peer.ask(&["send", &bulk, done, &messages.to_string()])?;
        let draining = Draining::watch(&fleet, &bulk, messages)?;
        let worker = fleet.prepared(super::NOTHING)?;
        let load = fleet.load();
        let worker = worker.start()?;
        ours.push(draining.rate()?);
        let load = load.end();
        let usage = fleet.end(worker)?;
        println!("round {round}: worker {:.0}/s; {usage}; {load}", ours[round - 1]);

        for (task, rates) in [("one_by_one", &mut single), ("ten_by_ten", &mut batch)] {
            let queue = filled(&mut fleet, &format!("{task}-{round}"), messages)?;
            let draining = Draining::watch(&fleet, &queue, messages)?;
            fleet.peer.ask(&[task, &queue, &messages.to_string()])?;
            rates.push(draining.rate()?);
        }
        let (rate, usage) = celery(&fleet, &format!("celery-{round}"), messages, Tuning::Ours)?;
        tuned.push(rate);
        println!("round {round}: celery {rate:.0}/s; {usage}");
        let queue = filled(&mut fleet, &format!("bare-{round}"), messages)?;
        bare.push(emulator_alone(&fleet, &queue, messages)?);
    }
    // Its own defaults let it take eight messages a second, so few of them have to do.
    let few = messages.min(80);
    let (untuned, _) = celery(&fleet, "celery-untuned", few, Tuning::Defaults)?;

    let ours = rates("worker", &ours);
    let single = rates("boto3: receive one, delete one", &single);
    let batch = rates("boto3: receive ten, delete ten", &batch);
    let tuned = rates("celery, prefetch 64, polling interval 10 ms", &tuned);
    rates(&format!("celery, its own defaults ({few} messages)"), &[untuned]);
    let bare = rates("the emulator alone: bare HTTP, tens, 4 at once", &bare);
    for (peer, rate, target) in [("boto3 one by one", single, 10.0), ("celery, tuned", tuned, 20.0)] {
        let reached = ours / rate;
        ratio(&format!("worker / {peer}"), reached, &format!(">= {target}"), reached >= target);
        if bare / rate < target {
            println!("  nobody can here: the emulator itself allows {:.1} times that peer", bare / rate);
        }
    }
    for (peer, rate) in [("boto3 ten by ten", batch), ("celery, defaults", untuned), ("bare HTTP", bare)] {
        println!("{:<44} {:>8.3}", format!("worker / {peer}"), ours / rate);
    }
    Ok(())
}

fn rates(what: &str, runs: &[f64]) -> f64 {
    let all: Vec<_> = runs.iter().map(|r| format!("{r:.0}")).collect();
    let median = median(runs);
    println!("{what:<46} {median:>6.0}/s   (runs: {})", all.join(", "));
    median
}

/// A new queue of the peers', filled: what an earlier receiver still polls for is not this one's.
fn filled(fleet: &mut Fleet, name: &str, messages: usize) -> Result<String, String> {
    let queue = fleet.wire()?.queue(name)?;
    fleet.peer.ask(&["send", &queue, "nothing to do", &messages.to_string()])?;
    Ok(queue)
}

/// Watches a full queue from the moment when somebody takes the first message until it is empty. The same clock for all.
struct Draining {
    watcher: thread::JoinHandle<Result<Duration, String>>,
    messages: usize,
}

impl Draining {
    fn watch(fleet: &Fleet, queue: &str, messages: usize) -> Result<Self, String> {
        let (mut wire, queue) = (fleet.wire()?, queue.to_owned());
        let (waiting, _) = wire.depth(&queue)?;
        if waiting != messages as u64 {
            return Err(format!("{waiting} messages wait in {queue} instead of {messages}"));
        }
        let watcher = thread::spawn(move || {
            let mut began = None;
            wait(
                "the queue to be empty",
                |_| LOOK,
                || {
                    let (waiting, in_flight) = wire.depth(&queue)?;
                    if waiting < messages as u64 && began.is_none() {
                        began = Some(Instant::now());
                    }
                    Ok(waiting + in_flight == 0)
                },
            )?;
            Ok(began.unwrap_or_else(Instant::now).elapsed())
        });
        Ok(Self { watcher, messages })
    }

    fn rate(self) -> Result<f64, String> {
        let took = self.watcher.join().map_err(|_| "the watcher panicked")??;
        Ok(self.messages as f64 / took.as_secs_f64().max(LOOK.as_secs_f64()))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tuning {
    Defaults,
    /// The fastest that was found: children instead of threads or none, more messages at once, hardly a pause.
    Ours,
}

fn celery(fleet: &Fleet, name: &str, messages: usize, tuning: Tuning) -> Result<(f64, Usage), String> {
    let queue = fleet.wire()?.queue(name)?;
    let python = testbed::python_with(CELERY);
    let command = |program: &std::path::Path| {
        let (prefetch, pause) = if tuning == Tuning::Ours { ("64", "0.01") } else { ("4", "1") };
        let mut command = fleet.around.command(program);
        command
            .current_dir(root().join("crates/xtask/src/bench/fleet"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("NOOP_QUEUE", &queue)
            .env("NOOP_PREFETCH", prefetch)
            .env("NOOP_POLLING_INTERVAL", pause)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    let filled = command(&python).args(["noop.py", "fill", &messages.to_string()]).status();
    if !filled.is_ok_and(|s| s.success()) {
        return Err("noop.py could not fill Celery's queue".into());
    }
    let draining = Draining::watch(fleet, &queue, messages)?;
    let mut worker = command(&python.with_file_name("celery"));
    worker.args([
        "--app",
        "noop",
        "worker",
        "--pool",
        "prefork",
        "--concurrency",
        "2",
        "--loglevel",
        "error",
    ]);
    let worker = Ended(worker.spawn().map_err(|e| format!("celery did not start: {e}"))?);
    let rate = draining.rate()?;
    let usage = Usage::of_all(&format!("NOOP_QUEUE={queue}"));
    drop(worker);
    Ok((rate, usage))
}

/// Ended as a person would, so that its children end too.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = crate::around::terminate(&self.0);
        let _ = self.0.wait();
    }
}

fn celery_version(fleet: &Fleet) -> String {
    let celery = testbed::python_with(CELERY).with_file_name("celery");
    version(fleet.around.command(&celery).arg("--version"))
}

/// What nobody can be faster than here: four connections that do nothing but receive ten and delete ten.
fn emulator_alone(fleet: &Fleet, queue: &str, messages: usize) -> Result<f64, String> {
    let mut wires = (0..4).map(|_| fleet.wire()).collect::<Result<Vec<_>, _>>()?;
    let draining = Draining::watch(fleet, queue, messages)?;
    let drain = |wire: &mut Wire| -> Result<(), String> {
        while ten(wire, queue)? > 0 {}
        Ok(())
    };
    thread::scope(|scope| {
        let running: Vec<_> = wires.iter_mut().map(|wire| scope.spawn(|| drain(wire))).collect();
        running.into_iter().try_for_each(|it| it.join().map_err(|_| "a connection's thread panicked")?)
    })?;
    draining.rate()
}

/// How many there were.
fn ten(wire: &mut Wire, queue: &str) -> Result<usize, String> {
    let receive = format!(r#"{{"QueueUrl":"{queue}","MaxNumberOfMessages":10,"VisibilityTimeout":120}}"#);
    let got = wire.sqs("ReceiveMessage", &receive)?;
    let entries: Vec<_> = values(&got, "ReceiptHandle")
        .enumerate()
        .map(|(n, handle)| format!(r#"{{"Id":"{n}","ReceiptHandle":"{handle}"}}"#))
        .collect();
    if !entries.is_empty() {
        let delete = format!(r#"{{"QueueUrl":"{queue}","Entries":[{}]}}"#, entries.join(","));
        wire.sqs("DeleteMessageBatch", &delete)?;
    }
    Ok(entries.len())
}
