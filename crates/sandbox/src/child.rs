use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::confine::Confinement;
use crate::supervise::{self, Group};
use crate::{Error, Finished, Layer, PATH, Report, Spec, Stdin};

pub use tokio::process::{ChildStdin, ChildStdout};

/// A running child. Dropping it kills its whole group at once; its supervisor thread reaps it.
#[derive(Debug)]
pub struct Child {
    group: Arc<Group>,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    end: End,
}

#[derive(Debug)]
enum End {
    Awaited(oneshot::Receiver<Finished>),
    Known(Finished),
}

impl Child {
    /// The child's standard output; `None` the second time. Read it while the child runs: a full pipe stops it.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.stdout.take()
    }

    /// The child's standard input, when it is [`Stdin::Piped`]; `None` the second time. Dropping it is end of file.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.stdin.take()
    }

    /// Kills the whole group with SIGKILL; [`Child::wait`] then tells the end. Harmless when it has ended.
    pub fn kill(&self) {
        self.group.kill();
    }

    /// The child's process id, which is its group's too. For logs: it means nothing once the child was waited for.
    pub fn id(&self) -> u32 {
        self.group.id()
    }

    /// Waits until the child has ended, by itself or by a budget, and what was left of its group is killed.
    /// Cancel-safe; the second call tells the same. A stdin that was not taken is closed, and a stdout that was
    /// not taken is thrown away: neither can keep the child waiting.
    pub async fn wait(&mut self) -> Finished {
        self.stdin = None;
        if let End::Awaited(end) = &mut self.end {
            let finished = match &mut self.stdout {
                None => end.await,
                Some(stdout) => {
                    tokio::select! {
                        finished = &mut *end => finished,
                        () = discard(stdout) => end.await,
                    }
                }
            };
            // The supervisor always reports; when its thread died instead, the kernel killed the child with it.
            self.end = End::Known(finished.unwrap_or_else(|_| supervise::lost()));
        }
        match &self.end {
            End::Known(finished) => finished.clone(),
            End::Awaited(_) => unreachable!("replaced above"),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.group.kill();
    }
}

async fn discard(stdout: &mut ChildStdout) {
    let _ = tokio::io::copy(stdout, &mut tokio::io::sink()).await;
}

/// Checks the spec, prepares the confinement, and has a new supervisor thread fork.
pub(crate) fn start(report: &Report, spec: Spec) -> Result<Child, Error> {
    let program = find(&spec.program)?;
    own(&spec.dir, report)?;
    let dir = spec.dir.canonicalize().map_err(|source| Error::Dir { dir: spec.dir.clone(), source })?;
    #[cfg_attr(not(target_os = "linux"), expect(unused_mut, reason = "only Linux can ask before a fork"))]
    let mut confinement = confinement(report, &spec, &program, &dir)?;
    #[cfg(target_os = "linux")]
    let forks = if spec.limits.may_fork() && report.holds(Layer::Seccomp) {
        let (gate, questions) = crate::forks::gate()?;
        confinement.forks = Some(gate);
        Some(questions)
    } else {
        None
    };

    #[expect(clippy::disallowed_methods, reason = "this is the one place where children start")]
    let mut command = Command::new(&program);
    // The name it was called by, not where a symlink led: some programs are many, told apart by it.
    command.arg0(&spec.program);
    command.args(&spec.args).current_dir(&dir);
    command.env_clear().env("PATH", PATH).env("HOME", &dir).env("TMPDIR", &dir).env("LANG", "C.UTF-8");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(match spec.stdin {
        Stdin::Null => Stdio::null(),
        Stdin::Piped => Stdio::piped(),
    });
    command.process_group(0);
    // SAFETY: `apply` only makes system calls on values prepared above; see there.
    unsafe { command.pre_exec(move || confinement.apply()) };

    let watched = supervise::Watched {
        dir,
        limits: spec.limits,
        #[cfg(target_os = "linux")]
        forks,
    };
    let started = supervise::start(command, watched)
        .map_err(|source| Error::Start { program: spec.program.clone(), source })?;
    // From here on an early return drops the group's handle, and with it kills the child.
    let mut child =
        Child { group: started.group, stdin: None, stdout: None, end: End::Awaited(started.finished) };
    let pipes = |source| Error::Start { program: spec.program.clone(), source };
    child.stdin = started.stdin.map(ChildStdin::from_std).transpose().map_err(pipes)?;
    child.stdout = started.stdout.map(ChildStdout::from_std).transpose().map_err(pipes)?;
    Ok(child)
}

/// Every layer that holds on this machine is used.
fn confinement(report: &Report, spec: &Spec, program: &Path, dir: &Path) -> Result<Confinement, Error> {
    let _ = (program, dir);
    Ok(Confinement {
        rlimits: report.holds(Layer::Rlimits).then(|| spec.limits.rlimits()),
        #[cfg(target_os = "linux")]
        forks: None,
        #[cfg(target_os = "linux")]
        die_with: report.holds(Layer::ParentDeath).then(std::process::id),
        #[cfg(target_os = "linux")]
        no_new_privs: report.holds(Layer::NoNewPrivs),
        #[cfg(target_os = "linux")]
        landlock: {
            use crate::fs::{Close, Grant, ruleset};
            let close = Close { files: report.holds(Layer::Landlock), tcp: report.holds(Layer::LandlockNet) };
            ruleset(close, Grant { program: Some(program), read: &spec.read, dir: Some(dir) })?
        },
        #[cfg(target_os = "linux")]
        seccomp: if report.holds(Layer::Seccomp) {
            let signals = report.holds(Layer::Landlock) && crate::fs::abi() >= 6;
            crate::syscalls::filters(crate::syscalls::Allow { fork: spec.limits.may_fork(), signals })?
        } else {
            Vec::new()
        },
    })
}

/// The program's real path. Looked up here, so that neither the parent's PATH nor the child's directory decides.
fn find(program: &Path) -> Result<PathBuf, Error> {
    let missing = || Error::Program { program: program.to_owned() };
    if program.is_absolute() {
        return program.canonicalize().map_err(|_| missing());
    }
    if program.components().count() != 1 || program.as_os_str() == OsStr::new("..") {
        return Err(missing());
    }
    PATH.split(':').find_map(|dir| Path::new(dir).join(program).canonicalize().ok()).ok_or_else(missing)
}

/// The directory must be ours and nobody else's.
fn own(dir: &Path, report: &Report) -> Result<(), Error> {
    let refused = |source| Error::Dir { dir: dir.to_owned(), source };
    let found = std::fs::symlink_metadata(dir).map_err(refused)?;
    if !found.is_dir() {
        return Err(refused(io::Error::from(io::ErrorKind::NotADirectory)));
    }
    if dir.as_os_str().as_bytes().contains(&0) || !dir.is_absolute() {
        return Err(refused(io::Error::new(io::ErrorKind::InvalidInput, "the path is not absolute")));
    }
    // SAFETY: geteuid has no preconditions.
    if found.uid() != unsafe { libc::geteuid() } {
        return Err(refused(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to another user")));
    }
    if report.holds(Layer::PrivateDir) && found.mode() & 0o777 != 0o700 {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).map_err(refused)?;
    }
    Ok(())
}
