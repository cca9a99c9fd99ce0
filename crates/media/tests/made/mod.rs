//! Small media, made by ffmpeg once and kept in cargo's own temporary directory.
#![expect(clippy::disallowed_methods, reason = "fixtures are made by ffmpeg itself, without our sandbox")]
#![allow(dead_code, reason = "each test file uses a part")]

use std::path::{Path, PathBuf};
use std::process::Command;

use domain::{
    AudioCodec, AudioTarget, Container, Failure, MediaFacts, Output, Preset, Probe, Sprite, VideoCodec,
    VideoTarget,
};
use media::{Made, Source, Tools};

pub fn tools() -> Tools {
    let sandbox = sandbox::Sandbox::new(&[]).unwrap_or_else(|missing| {
        eprintln!("testing with fewer layers: {missing}");
        sandbox::Sandbox::new(&sandbox::Layer::ALL).unwrap()
    });
    let path = std::env::var_os("PATH");
    Tools::new(sandbox, None, None, path.as_deref())
        .unwrap()
        .with_threads(std::thread::available_parallelism().unwrap().get() as u32)
}

/// `args` are ffmpeg's, without the output; `{dir}` is where the fixtures lie.
pub fn made(name: &str, args: &str) -> PathBuf {
    make(name, args, false)
}

/// As a browser writes it: a pipe cannot be sought in, so the muxer never comes back to write the duration.
pub fn piped(name: &str, args: &str) -> PathBuf {
    make(name, args, true)
}

fn make(name: &str, args: &str, pipe: bool) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("media-made");
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join(name);
    if path.exists() {
        return path;
    }
    // Test processes run at once: each makes its own and the rename decides.
    let own = dir.join(
        format!("{}-{:?}-{name}", std::process::id(), std::thread::current().id()).replace(['(', ')'], ""),
    );
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y", "-nostdin"]);
    command.args(args.split_whitespace().map(|arg| arg.replace("{dir}", dir.to_str().unwrap())));
    let made = if pipe {
        let output = command.arg("-").output().unwrap();
        std::fs::write(&own, &output.stdout).unwrap();
        output.status
    } else {
        command.arg(&own).status().unwrap()
    };
    assert!(made.success(), "ffmpeg {args}");
    std::fs::rename(&own, &path).unwrap();
    path
}

/// What ffmpeg prints on stderr for a file behind some filters: for measurements independent of our own.
pub fn stderr_of(args: &[&str], file: &Path, more: &[&str]) -> String {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostats", "-nostdin"])
        .args(args)
        .arg("-i")
        .arg(file)
        .args(more)
        .args(["-f", "null", "-"])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn ffprobe(file: &Path, args: &[&str]) -> String {
    let output = Command::new("ffprobe").args(["-v", "error"]).args(args).arg(file).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// dB as `volumedetect` says: `mean_volume` or `max_volume`.
pub fn volume(file: &Path, what: &str, filter: &str) -> f64 {
    let chain = format!("{filter}volumedetect");
    let text = stderr_of(&[], file, &["-map", "0:a:0", "-af", &chain]);
    let line = text.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{text}"));
    line.split(&format!("{what}: ")).nth(1).unwrap().trim_end_matches(" dB").trim().parse().unwrap()
}

/// Milliseconds at which the first sound above silence starts.
pub fn first_sound(file: &Path) -> f64 {
    let text = stderr_of(&[], file, &["-map", "0:a:0", "-af", "silencedetect=noise=-40dB:d=0.05"]);
    text.lines()
        .find_map(|line| line.split("silence_end: ").nth(1)?.split(' ').next()?.parse::<f64>().ok())
        .map_or(0.0, |seconds| seconds * 1000.0)
}

/// Decoded pictures, counted.
pub fn frames(file: &Path) -> u64 {
    ffprobe(
        file,
        &[
            "-count_frames",
            "-select_streams",
            "v:0",
            "-show_entries",
            "stream=nb_read_frames",
            "-of",
            "csv=p=0",
        ],
    )
    .trim_end_matches(',')
    .parse()
    .unwrap()
}

/// The mean colour of the picture at a time, as R, G, B in a square of the given place (shares of the canvas).
pub fn colour(file: &Path, at: f64, x: f64, y: f64) -> [u8; 3] {
    let crop = format!("crop=8:8:(iw-8)*{x}:(ih-8)*{y},scale=1:1,format=rgb24");
    let at = at.to_string();
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-ss", &at, "-i"])
        .arg(file)
        .args(["-vf", &crop, "-frames:v", "1", "-f", "rawvideo", "-"])
        .output()
        .unwrap();
    output.stdout[..3].try_into().unwrap()
}

pub fn video(codec: VideoCodec, short_side: u32) -> VideoTarget {
    let speed = match codec {
        VideoCodec::H264 => "veryfast",
        VideoCodec::Vp9 => "8",
    };
    VideoTarget {
        codec,
        short_side,
        max_fps: 60,
        crf: if codec == VideoCodec::H264 { 23 } else { 32 },
        speed: Some(speed.into()),
        keyframe_seconds: 2,
        max_kbps: None,
    }
}

pub fn sound(codec: AudioCodec) -> AudioTarget {
    AudioTarget { codec, kbps: 128, max_channels: 2 }
}

pub fn mp4(short_side: u32) -> Preset {
    Preset {
        name: format!("mp4-{short_side}p"),
        output: Output::Video {
            container: Container::Mp4,
            video: video(VideoCodec::H264, short_side),
            audio: Some(sound(AudioCodec::Aac)),
        },
    }
}

pub fn webm() -> Preset {
    Preset {
        name: "webm-vp9".into(),
        output: Output::Video {
            container: Container::Webm,
            video: video(VideoCodec::Vp9, 720),
            audio: Some(sound(AudioCodec::Opus)),
        },
    }
}

pub fn audio(container: Container, codec: AudioCodec) -> Preset {
    Preset {
        name: format!("audio-{}", container.extension()),
        output: Output::Audio { container, audio: sound(codec) },
    }
}

pub fn thumbnails() -> Preset {
    let sprite = Sprite { tile_width: 80, columns: 4, max_tiles: 100, min_interval_seconds: 1 };
    Preset { name: "thumbnails".into(), output: Output::Thumbnails { poster_width: 1280, sprite } }
}

pub fn waveform() -> Preset {
    Preset { name: "waveform".into(), output: Output::Waveform { width: 600, height: 100 } }
}

pub struct Done {
    /// Holds the output.
    pub work: tempfile::TempDir,
    pub probe: Probe,
    pub result: Result<Made, Failure>,
}

/// Probes and converts.
pub async fn convert(path: &Path, preset: &Preset) -> Done {
    let tools = tools();
    let room = tempfile::tempdir().unwrap();
    let probe = tools.probe(room.path(), path).await.unwrap();
    convert_probed(path, probe, preset).await
}

pub async fn convert_probed(path: &Path, probe: Probe, preset: &Preset) -> Done {
    let work = tempfile::tempdir().unwrap();
    let source = Source { path, probe: &probe };
    let result = tools().convert(work.path(), &source, preset, &|_| {}, None).await;
    if let Ok(made) = &result {
        as_measured(made).await;
    }
    Done { work, probe, result }
}

/// However an output was measured: its facts are what its packets say, one by one.
pub async fn as_measured(made: &Made) {
    let Some(facts) = &made.facts else { return };
    let room = tempfile::tempdir().unwrap();
    let probe = tools().with_check(media::Check::None).probe(room.path(), &made.files[0].path).await.unwrap();
    assert_eq!(probe.facts.as_ref(), Some(facts), "{:?}", made.files[0].path);
}

impl Done {
    #[track_caller]
    pub fn made(&self) -> &Made {
        self.result.as_ref().unwrap_or_else(|failure| panic!("{failure}\n{:#?}", self.probe))
    }
    #[track_caller]
    pub fn facts(&self) -> &MediaFacts {
        self.made().facts.as_ref().unwrap()
    }
    #[track_caller]
    pub fn main(&self) -> &Path {
        &self.made().files[0].path
    }
    #[track_caller]
    pub fn how(&self, stream: u32) -> (&str, &str) {
        let choice = self.made().choices.iter().find(|choice| choice.stream == stream).unwrap();
        (&choice.how, &choice.why)
    }
}
