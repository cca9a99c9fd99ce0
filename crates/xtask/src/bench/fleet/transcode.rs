use super::{Fleet, Objects, arguments_in, call, conversion, converting};
use crate::bench::{Size, ledger, ratio, report, transcode};

/// A browser's recording in a bucket, which has to be encoded: from when the job could begin to its recorded outcome, its
/// source not yet on this worker's disk, against ffmpeg alone from disk to disk with the very same arguments, and against
/// the field's worker around that same call.
pub fn run(size: Size) -> Result<(), String> {
    let (seconds, rounds) = size.of((transcode::SECONDS, 2), (10, 1));
    let mut fleet = Fleet::start("fleet-transcode", Objects::Files)?;
    let source = transcode::browsers(seconds)?;
    fleet.peer.ask(&["upload", &source.display().to_string(), "inbox/source.webm"])?;
    fleet.accept(1)?;

    let (mut ours, mut bare, mut python) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        let name = format!("round-{round}");
        let mut worker = fleet.worker(&converting("all", &name))?;
        let load = fleet.load();
        ours.push(ledger::span(&fleet.done(&conversion(&name), 1, &mut worker)?)?);
        let load = load.end();
        let arguments = arguments_in(&worker.log)?;
        let usage = fleet.end(worker)?;
        if round == 1 {
            println!("{}", call(&arguments));
            println!("worker: {usage}; {load}");
        }
        bare.push(transcode::alone(&fleet.home, &source, &arguments)?);
        let words: Vec<&str> = ["convert", "inbox/source.webm", "peer/source.mp4"]
            .into_iter()
            .chain(arguments.iter().map(String::as_str))
            .collect();
        python.push(fleet.peer.ask(&words)?);
        fleet.forget(&["library/", "peer/"])?;
    }
    println!("boto3 worker: {}", fleet.peer.usage());
    let ours = report("bucket to bucket, through a worker", &ours);
    let bare = report("bare ffmpeg, disk to disk, same arguments", &bare);
    let python = report("boto3: download, the same ffmpeg, upload", &python);
    ratio("worker / bare ffmpeg", ours / bare, "<= 1.05", ours / bare <= 1.05);
    ratio("boto3 / worker", python / ours, "> 1", python > ours);
    Ok(())
}
