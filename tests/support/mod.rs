//! Starts the real binary on real files, as a person would.
#![allow(dead_code, reason = "each test binary uses its part")]
#![expect(clippy::disallowed_methods, reason = "the tests start the binary, and ffmpeg to make media")]

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// A library in a folder of its own.
pub struct Library {
    pub home: tempfile::TempDir,
}

/// What a run of the binary said.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Library {
    pub fn new() -> Self {
        Self { home: tempfile::tempdir().expect("a temporary folder") }
    }

    pub fn root(&self) -> PathBuf {
        self.home.path().join("library")
    }
    pub fn inbox(&self) -> PathBuf {
        self.root().join("inbox")
    }

    /// The binary, pointed at this library, with a clean environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_videorec"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("VIDEOREC_") && name != "VIDEOREC_ALLOW_MISSING" {
                command.env_remove(name);
            }
        }
        command.arg("--library").arg(self.root()).args(args).stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Said {
        said(self.command(args).output().expect("videorec starts"))
    }

    /// Runs, and expects exit code 0.
    pub fn ok(&self, args: &[&str]) -> String {
        let said = self.run(args);
        assert_eq!(said.code, Some(0), "videorec {args:?}\n{}\n{}", said.out, said.err);
        said.out
    }

    /// Runs with `--json` and reads the lines.
    pub fn json(&self, args: &[&str]) -> Vec<Value> {
        let said = self.run(&[&["--json"], args].concat());
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        said.out.lines().map(parse).collect()
    }

    /// All recordings by name.
    pub fn recordings(&self) -> BTreeMap<String, Value> {
        let all = self.json(&["ls", "--renditions", "--limit", "10000"]);
        all.into_iter().map(|r| (r["name"].as_str().expect("a name").to_owned(), r)).collect()
    }

    /// Starts `up` in the background.
    pub fn up(&self, args: &[&str], env: &[(&str, &str)]) -> Up {
        let log = self.home.path().join(format!("up-{}.log", fastrand()));
        let file = fs::File::create(&log).expect("a log");
        let mut command = self.command(&[&["up", "--stable", "0"], args].concat());
        command.envs(env.iter().copied()).stdout(Stdio::null()).stderr(file);
        Up { child: command.spawn().expect("videorec starts"), log }
    }

    /// Every file that the stores show, by path below the library, with its bytes' hash.
    pub fn visible_files(&self) -> BTreeMap<String, u64> {
        let mut files = BTreeMap::new();
        visible(&self.root().join("recordings"), &self.root(), &mut files);
        files
    }
}

/// A running `videorec up`; killed when dropped.
pub struct Up {
    pub child: Child,
    pub log: PathBuf,
}

impl Up {
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it ends by itself, at most this long.
    pub fn ended(&mut self, within: Duration) -> Option<std::process::ExitStatus> {
        let until = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return Some(status);
            }
            if Instant::now() > until {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends a signal as a terminal or an operator would.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.expect("kill starts").success());
    }

    /// Ctrl-C, and a clean end.
    pub fn stop(mut self) {
        // A process that has just been started has no handler yet, and would die of the signal.
        eventually(|| self.log().contains("up; Ctrl-C").then_some(()).ok_or(self.log()));
        self.signal("INT");
        let status = self
            .ended(Duration::from_secs(40))
            .unwrap_or_else(|| panic!("did not stop within 40 s\n{}", self.log()));
        assert!(status.success(), "stopped with {status}\n{}", self.log());
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `what` holds; fails with `what`'s last answer after two minutes.
pub fn eventually<T>(mut what: impl FnMut() -> Result<T, String>) -> T {
    let until = Instant::now() + Duration::from_secs(120);
    loop {
        match what() {
            Ok(done) => return done,
            Err(e) if Instant::now() > until => panic!("not within two minutes: {e}"),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

pub fn said(output: Output) -> Said {
    Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Makes a small recording with the system's ffmpeg: `lavfi` inputs, then the output's options.
pub fn make(file: &Path, inputs: &[&str], options: &[&str]) {
    fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-v", "error", "-nostdin", "-y"]);
    for input in inputs {
        command.args(["-f", "lavfi", "-i", input]);
    }
    let status = command.args(options).arg(file).status().expect("ffmpeg starts: run `cargo xtask test`");
    assert!(status.success(), "ffmpeg could not make {}", file.display());
}

/// Two seconds of a camera: H.264 and AAC in MP4, fit for the copy path.
pub fn camera(file: &Path) {
    let picture = "testsrc2=size=320x240:rate=25:duration=2";
    let tone = "sine=frequency=440:sample_rate=48000:duration=2";
    let options =
        ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac"];
    make(file, &[picture, tone], &options);
}

/// What a browser's MediaRecorder writes: VP8 and Opus in WebM, no duration in the header.
pub fn browser(file: &Path, seconds: u32, hertz: u32) {
    let picture = format!("testsrc2=size=160x120:rate=15:duration={seconds}");
    let tone = format!("sine=frequency={hertz}:sample_rate=48000:duration={seconds}");
    let video = ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "150k"];
    make(file, &[&picture, &tone], &[&video[..], &["-c:a", "libopus", "-f", "webm", "-live", "1"]].concat());
}

/// A call of two in a folder, with its manifest.
pub fn call(folder: &Path) {
    browser(&folder.join("ana.webm"), 3, 330);
    browser(&folder.join("bo.webm"), 2, 550);
    let manifest = r#"{ "title": "Weekly call", "tags": ["call"], "tracks": [
        { "file": "ana.webm", "participant": "Ana" },
        { "file": "bo.webm", "participant": "Bo", "offset_ms": 1000 } ] }"#;
    fs::write(folder.join("session.json"), manifest).expect("a manifest");
}

pub fn hash(path: &Path) -> u64 {
    use std::hash::{DefaultHasher, Hasher as _};
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|mut f| f.read_to_end(&mut bytes))
        .unwrap_or_else(|e| panic!("{path:?}: {e}"));
    let mut hasher = DefaultHasher::new();
    hasher.write(&bytes);
    hasher.finish()
}

fn visible(folder: &Path, root: &Path, files: &mut BTreeMap<String, u64>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.map(|e| e.expect("readable")) {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() {
            visible(&path, root, files);
        } else {
            files.insert(path.strip_prefix(root).expect("below").display().to_string(), hash(&path));
        }
    }
}

/// Bytes that nothing makes smaller, another row of them for each seed.
pub fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ (seed + 1).wrapping_mul(0x2545_f491_4f6c_dd1d);
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..bytes).map(next).collect()
}

pub fn fastrand() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    RandomState::new().build_hasher().finish()
}
