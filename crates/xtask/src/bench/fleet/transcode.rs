use std::time::Duration;

use super::{Fleet, Objects, arguments_in, call, conversion, converting};
use crate::bench::{Size, ledger, ratio, report, transcode};

/// A browser's recording in a bucket, which has to be encoded: from when the job could begin to its recorded outcome, its
/// source not yet on this worker's disk, against ffmpeg alone from disk to disk with the very same arguments, and against
/// the field's worker around that same call.
pub fn run(size: Size) -> Result<(), String> {
    let (seconds, rounds) = size.of((transcode::SECONDS, 3), (10, 1));
    let mut fleet = Fleet::start("fleet-transcode", Objects::Files)?;
    let source = transcode::browsers(seconds)?;
    fleet.peer.ask(&["upload", &source.display().to_string(), "inbox/source.webm"])?;
    fleet.accept(1)?;

    let mut arguments = Vec::new();
    let mut took: [Vec<Duration>; 3] = Default::default();
    for round in 0..rounds {
        // They take turns in being first, since a machine is not the same for a minute; ours is in the very first round: the
        // others do what it did.
        for who in 0..took.len() {
            let who = (who + round) % took.len();
            took[who].push(match who {
                0 => ours(&mut fleet, round, &mut arguments)?,
                1 => transcode::alone(&fleet.home, &source, &arguments)?,
                _ => {
                    let words = ["convert", "inbox/source.webm", "peer/source.mp4"].into_iter();
                    fleet.peer.ask(&words.chain(arguments.iter().map(String::as_str)).collect::<Vec<_>>())?
                }
            });
        }
        fleet.forget(&["library/", "peer/"])?;
    }
    println!("boto3 worker: {}", fleet.peer.usage());
    let [ours, bare, python] = took;
    let ours = report("bucket to bucket, through a worker", &ours);
    let bare = report("bare ffmpeg, disk to disk, same arguments", &bare);
    let python = report("boto3: download, the same ffmpeg, upload", &python);
    ratio("worker / bare ffmpeg", ours / bare, "<= 1.05", ours / bare <= 1.05);
    ratio("boto3 / worker", python / ours, "> 1", python > ours);
    Ok(())
}

/// One conversion, as the ledger tells it. `arguments`: those of its ffmpeg call.
fn ours(fleet: &mut Fleet, round: usize, arguments: &mut Vec<String>) -> Result<Duration, String> {
    // Another name each time: a job that is done is not done again.
    let name = format!("round-{round}");
    let mut worker = fleet.worker(&converting("all", &name))?;
    let load = fleet.load();
    let took = ledger::span(&fleet.done(&conversion(&name), 1, &mut worker)?)?;
    let load = load.end();
    if round == 0 {
        *arguments = arguments_in(&worker.log)?;
        println!("{}", call(arguments));
    }
    let usage = fleet.end(worker)?;
    println!("worker: {usage}; {load}");
    Ok(took)
}
