//! What the attack tests share. Every attack is Python code that is first shown to work outside of the sandbox.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::{Path, PathBuf};
use std::process::Output as Unconfined;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use sandbox::{Limits, Output, Sandbox, Spec, Stdin};

/// Every layer is required: on a machine without one the tests fail here, and name it.
pub static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(&[]).unwrap_or_else(|e| panic!("{e}")));

pub const LIMITS: Limits = Limits {
    wall: Duration::from_secs(20),
    cpu: Duration::from_secs(15),
    memory: 1 << 30,
    file_size: 64 << 20,
    disk: 128 << 20,
    processes: 1,
};

pub struct Room {
    pub dir: tempfile::TempDir,
    pub read: Vec<PathBuf>,
    pub limits: Limits,
}

impl Room {
    pub fn new() -> Room {
        Room { dir: tempfile::tempdir().unwrap(), read: Vec::new(), limits: LIMITS }
    }

    pub fn limit(mut self, change: impl FnOnce(&mut Limits)) -> Room {
        change(&mut self.limits);
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn python(&self, code: &str) -> Spec {
        let mut spec = self.spec(&PYTHON.0, &["-ISc", code]);
        spec.read.push(PYTHON.1.clone());
        spec
    }

    pub fn sh(&self, script: &str) -> Spec {
        self.spec(Path::new("/bin/sh"), &["-c", script])
    }

    pub fn spec(&self, program: &Path, args: &[&str]) -> Spec {
        Spec {
            program: program.to_owned(),
            args: args.iter().map(Into::into).collect(),
            dir: self.dir.path().to_owned(),
            read: self.read.clone(),
            limits: self.limits,
            stdin: Stdin::Null,
        }
    }
}

pub async fn run(spec: Spec) -> Output {
    let begin = Instant::now();
    let output = SANDBOX.run(spec, 1 << 20).await.unwrap();
    assert!(output.usage.wall <= begin.elapsed());
    output
}

/// The same code with nothing around it.
#[expect(clippy::disallowed_methods, reason = "what the sandbox must refuse has to work outside of it")]
pub fn unconfined(code: &str) -> Unconfined {
    std::process::Command::new(&PYTHON.0).args(["-ISc", code]).output().unwrap()
}

pub fn text(output: &Output) -> &str {
    assert!(!output.stdout_truncated);
    std::str::from_utf8(&output.stdout).unwrap().trim()
}

/// The attack works outside and is refused with a permission error inside.
pub async fn refused(room: &Room, code: &str) {
    let outside = unconfined(code);
    assert!(
        outside.status.success(),
        "does not even work outside: {}",
        String::from_utf8_lossy(&outside.stderr)
    );
    let inside = run(room.python(code)).await;
    assert!(!inside.exit.success(), "worked inside: {code}");
    assert!(inside.stderr_tail.contains("PermissionError"), "failed otherwise: {}", inside.stderr_tail);
}

/// Whether the process runs no more; a zombie that nobody reaped does not run.
pub fn gone(pid: u32) -> bool {
    match std::fs::read(format!("/proc/{pid}/stat")) {
        Err(_) => true,
        Ok(stat) => {
            let after = stat.iter().rposition(|b| *b == b')').unwrap();
            stat[after + 2] == b'Z' || stat[after + 2] == b'X'
        }
    }
}

pub async fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < end, "not in ten seconds: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub async fn pid_in(path: &Path) -> u32 {
    let mut pid = None;
    soon("the child tells its pid", || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        pid = text.strip_suffix('\n').and_then(|text| text.parse().ok());
        pid.is_some()
    })
    .await;
    pid.unwrap()
}

/// The real interpreter (not a version manager's shim) and its installation.
static PYTHON: LazyLock<(PathBuf, PathBuf)> = LazyLock::new(|| {
    let code = "import sys; print(sys.executable); print(sys.base_prefix)";
    #[expect(clippy::disallowed_methods, reason = "asks the machine, outside of the sandbox")]
    let output =
        std::process::Command::new("python3").args(["-c", code]).output().expect("python3 is installed");
    let said = String::from_utf8(output.stdout).unwrap();
    let mut lines = said.lines().map(PathBuf::from);
    (lines.next().unwrap(), lines.next().unwrap())
});
