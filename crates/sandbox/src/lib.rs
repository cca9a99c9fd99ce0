//! The only room that starts a child process, and it never knows what the child is for.
//!
//! A child gets its own process group, a clean environment, one private directory, rlimits, a budget of time,
//! memory and disk, and (on Linux) Landlock and seccomp filters it cannot shed. [`Sandbox::new`] tries every
//! layer on this machine first and refuses to exist when one is missing, unless the caller allows exactly that
//! layer by name: nothing ever runs unconfined in silence.
//!
//! What this room does **not** promise:
//! - names, sizes and times of files outside the list stay visible (`stat` is not covered by Landlock, and a
//!   dynamic linker needs it); their bytes do not;
//! - budgets of disk, group memory and process count are *watched* every [`WATCH`], so a child can overshoot
//!   within one interval; bytes in files that were deleted while open are bounded per file only;
//! - cgroups and namespaces are not assumed (Fargate gives neither).

mod child;
mod confine;
mod error;
mod exit;
#[cfg(target_os = "linux")]
mod forks;
#[cfg(target_os = "linux")]
mod fs;
mod layer;
mod limits;
mod probe;
mod supervise;
#[cfg(target_os = "linux")]
mod syscalls;
mod watch;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::AsyncReadExt;

pub use child::{Child, ChildStdin, ChildStdout};
pub use error::Error;
pub use exit::{Budget, Exit, Finished, Output, Usage};
pub use layer::{Layer, Report, Status};
pub use limits::Limits;
pub use probe::probe;
pub use watch::WATCH;

/// Starts children under every layer this machine has. Cheap to clone; callable from any tokio task.
#[derive(Clone, Debug)]
pub struct Sandbox {
    report: Arc<Report>,
}

/// One child: what to start, what it may touch, and what it may use up.
#[derive(Clone, Debug)]
pub struct Spec {
    /// An absolute path, or a bare name looked up in [`PATH`] (never in the parent's own `PATH`).
    pub program: PathBuf,
    pub args: Vec<OsString>,
    /// The child's private directory: working directory, `HOME` and `TMPDIR`, readable and writable, and nothing
    /// in it executable. It must exist; it is made mode 0700 if it is not. Removing it stays with the caller.
    pub dir: PathBuf,
    /// Existing files or directories the child may read, besides [`SYSTEM`]. Symlinks are resolved now, before
    /// the child exists; a symlink inside `dir` is readable exactly when its target is listed here. A program
    /// outside of /usr that needs its own libraries needs them listed too.
    pub read: Vec<PathBuf>,
    pub limits: Limits,
    pub stdin: Stdin,
}

/// What the child finds on its standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdin {
    /// Immediate end of file.
    Null,
    /// A pipe; see [`Child::take_stdin`].
    Piped,
}

/// The whole of `PATH` in the child.
pub const PATH: &str = if cfg!(target_os = "macos") {
    "/usr/bin:/bin:/opt/homebrew/bin:/usr/local/bin"
} else {
    "/usr/bin:/bin"
};

/// What every child may read and execute: what a dynamically linked program needs to start, and no more. Nothing
/// here holds anybody's data. Paths that do not exist on this machine are skipped.
pub const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    // The dynamic linker's index: without it libraries outside of the default directories are not found.
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
];

/// Devices without state; readable and writable by every child.
pub const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/urandom"];

impl Sandbox {
    /// Probes this machine (a few milliseconds) and refuses when a layer is missing that is not in
    /// `allow_missing`. A layer that is present is always used, also when it would be allowed to be missing.
    pub fn new(allow_missing: &[Layer]) -> Result<Sandbox, Error> {
        let report = probe();
        let missing: Vec<_> = report
            .missing()
            .filter(|(layer, _)| !allow_missing.contains(layer) && !report.has_second_fence(*layer))
            .map(|(layer, reason)| (layer, reason.to_owned()))
            .collect();
        if !missing.is_empty() {
            return Err(Error::Missing { layers: missing });
        }
        for (layer, reason) in report.missing() {
            tracing::warn!(
                layer = layer.name(),
                reason,
                protects = layer.protects(),
                "sandbox layer is missing"
            );
        }
        Ok(Sandbox { report: Arc::new(report) })
    }

    /// What the probe at [`Sandbox::new`] found.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Starts the child and its supervisor thread. Blocks for the few milliseconds of fork and exec. Needs a
    /// running tokio runtime (for the pipes); the budgets are enforced whether or not anybody polls the [`Child`].
    pub fn spawn(&self, spec: Spec) -> Result<Child, Error> {
        tokio::runtime::Handle::try_current().map_err(|_| Error::NoRuntime)?;
        child::start(&self.report, spec)
    }

    /// Runs the child to its end and keeps at most `stdout_limit` bytes of its stdout; what is longer is read and
    /// thrown away, so the child never blocks. Dropping the future kills the child's whole group.
    pub async fn run(&self, mut spec: Spec, stdout_limit: usize) -> Result<Output, Error> {
        // Nobody could write to it.
        spec.stdin = Stdin::Null;
        let mut child = self.spawn(spec)?;
        let pipe = child.take_stdout();
        let (stdout, finished) = tokio::join!(read_up_to(pipe, stdout_limit), child.wait());
        let (stdout, stdout_truncated) = stdout;
        let Finished { exit, stderr_tail, usage } = finished;
        Ok(Output { exit, stdout, stdout_truncated, stderr_tail, usage })
    }
}

async fn read_up_to(pipe: Option<ChildStdout>, limit: usize) -> (Vec<u8>, bool) {
    let mut kept = Vec::new();
    let mut truncated = false;
    let Some(mut pipe) = pipe else { return (kept, truncated) };
    let mut buffer = vec![0; 64 * 1024];
    // A broken pipe ends the output like its end does; how the child fared is told by its exit.
    while let Ok(n @ 1..) = pipe.read(&mut buffer).await {
        let room = limit - kept.len();
        truncated |= n > room;
        kept.extend_from_slice(&buffer[..n.min(room)]);
    }
    (kept, truncated)
}
