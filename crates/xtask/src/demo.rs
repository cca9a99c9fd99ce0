//! The first thing a newcomer runs: a few recordings become a library before their eyes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    run::{cargo, run as execute, target},
    setup,
};

mod cloud;

pub fn run(args: &[String]) -> Result<(), String> {
    if args.iter().any(|a| a == "--cloud") {
        return cloud::run();
    }
    setup::ffmpeg()?;
    eprintln!("building videorec (the first time takes a few minutes) ...");
    execute(&mut cargo(&["build", "--locked", "--package", "app"]))?;
    let videorec = target().join("debug/videorec");

    let home = target().join("demo");
    let library = home.join("library");
    if library.exists() {
        fs::remove_dir_all(&library).map_err(|e| format!("cannot clear {}: {e}", library.display()))?;
    }
    let given: Vec<PathBuf> = args.iter().map(PathBuf::from).collect();
    let ours = given.is_empty();
    let sources = if ours { vec![record(&home)?] } else { given };

    let quietly = |args: &[&str]| {
        let mut command = Command::new(&videorec);
        command.arg("--library").arg(&library).args(args);
        setup::without_layers(&mut command);
        command
    };
    let mut ingest = quietly(&["ingest"]);
    ingest.args(&sources);
    // Exit code 1 says that some recording did not become ready: the table shows which and why. Of yours, that is how it is.
    let ingested = execute(&mut ingest);
    execute(&mut quietly(&["ls", "--renditions"]))?;

    let library = library.display();
    let videorec = videorec.display();
    println!(
        "\nThat is a library: {library}\nTry next:\n  \
         {videorec} --library {library} search ana\n  \
         {videorec} --library {library} plan\n  \
         {videorec} up --library {library}      then drop files into {library}/inbox"
    );
    if ours { ingested } else { Ok(()) }
}

/// One participant: the size that a browser would negotiate, a tone of its own, and when they were there.
struct Participant {
    name: &'static str,
    size: &'static str,
    rate: u32,
    hertz: u32,
    seconds: u32,
    offset_ms: u32,
}

const CALL: [Participant; 4] = [
    Participant { name: "Ana", size: "640x360", rate: 25, hertz: 330, seconds: 12, offset_ms: 0 },
    Participant { name: "Bo", size: "640x480", rate: 30, hertz: 440, seconds: 10, offset_ms: 1500 },
    Participant { name: "Chidi", size: "360x640", rate: 24, hertz: 550, seconds: 8, offset_ms: 3000 },
    Participant { name: "Dana", size: "426x240", rate: 15, hertz: 660, seconds: 6, offset_ms: 4000 },
];

/// Makes the recordings: a camera's MP4, a browser's WebM without a duration, a voice memo, and a call of four
/// participants with a file each and a `session.json` that says when each joined.
fn record(home: &Path) -> Result<PathBuf, String> {
    let out = home.join("recordings");
    let call = out.join("weekly-call");
    if out.join(".complete").exists() {
        return Ok(out);
    }
    let _ = fs::remove_dir_all(&out);
    fs::create_dir_all(&call).map_err(|e| format!("cannot make {}: {e}", call.display()))?;
    eprintln!("making a few recordings in {} ...", out.display());

    let picture =
        |size: &str, rate: u32, seconds: u32| format!("testsrc2=size={size}:rate={rate}:duration={seconds}");
    let tone =
        |hertz: u32, seconds: u32| format!("sine=frequency={hertz}:sample_rate=48000:duration={seconds}");
    let ffmpeg = |inputs: &[String], rest: &[&str], file: &Path| {
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-v", "error", "-y", "-nostdin"]);
        for input in inputs {
            command.args(["-f", "lavfi", "-i", input]);
        }
        command.args(rest).arg(file);
        execute(&mut command)
    };

    let h264 = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-c:a", "aac"];
    ffmpeg(&[picture("1280x720", 30, 20), tone(220, 20)], &h264, &out.join("lobby camera.mp4"))?;
    let vp8 =
        ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "600k", "-c:a", "libopus"];
    // `-live 1` writes no duration, as a browser's MediaRecorder does not.
    let live: Vec<&str> = vp8.iter().copied().chain(["-f", "webm", "-live", "1"]).collect();
    ffmpeg(&[picture("640x480", 30, 8), tone(260, 8)], &live, &out.join("screen share.webm"))?;
    ffmpeg(&[tone(300, 15)], &["-c:a", "pcm_s16le"], &out.join("voice memo.wav"))?;

    let mut tracks = Vec::new();
    for p in &CALL {
        let file = format!("{}.webm", p.name.to_lowercase());
        ffmpeg(&[picture(p.size, p.rate, p.seconds), tone(p.hertz, p.seconds)], &live, &call.join(&file))?;
        tracks.push(format!(
            r#"    {{ "file": "{file}", "participant": "{}", "offset_ms": {} }}"#,
            p.name, p.offset_ms
        ));
    }
    let manifest =
        format!("{{\n  \"title\": \"Weekly call\",\n  \"tracks\": [\n{}\n  ]\n}}\n", tracks.join(",\n"));
    fs::write(call.join("session.json"), manifest)
        .and_then(|()| fs::write(out.join(".complete"), ""))
        .map_err(|e| format!("cannot write the session: {e}"))?;
    Ok(out)
}
