//! Every layer is tried, not looked up: a kernel may have a feature that a container's profile denies.

use std::io;
use std::path::Path;

use crate::confine::Confinement;
use crate::{Layer, Limits, Report, Spec, Status, Stdin};

/// Confines short-lived forks of this process, one layer each, and observes from inside that what must fail fails.
/// Takes a few milliseconds.
pub fn probe() -> Report {
    let mut report = Report { layers: Vec::new() };
    let scratch = tempfile::Builder::new().prefix("sandbox-probe").tempdir();
    for layer in Layer::ALL {
        let status = match (layer, &scratch) {
            (Layer::ProcessGroup, _) => process_group(),
            (Layer::Rlimits, _) => rlimits(),
            (Layer::PrivateDir, Ok(scratch)) => private_dir(scratch.path()),
            (Layer::PrivateDir | Layer::Landlock, Err(e)) => Err(format!("cannot create a directory: {e}")),
            // Looked at last, through a real child that every layer which holds confines.
            (Layer::CleanEnv, _) => Ok(()),
            #[cfg(target_os = "linux")]
            (Layer::NoNewPrivs, _) => linux::no_new_privs(),
            #[cfg(target_os = "linux")]
            (Layer::ParentDeath, _) => linux::parent_death(),
            #[cfg(target_os = "linux")]
            (Layer::Landlock, Ok(scratch)) => linux::landlock(scratch.path()),
            #[cfg(target_os = "linux")]
            (Layer::LandlockNet, _) => linux::landlock_net(),
            #[cfg(target_os = "linux")]
            (Layer::Seccomp, _) => linux::seccomp(),
            #[cfg(not(target_os = "linux"))]
            (layer, _) => Err(format!("only Linux has {}", layer.name())),
        };
        let status = match status {
            Ok(()) => Status::Holds,
            Err(reason) => Status::Missing(reason),
        };
        report.layers.push((layer, status));
    }
    if let Err(reason) = clean_env(&report) {
        for (layer, status) in &mut report.layers {
            if *layer == Layer::CleanEnv {
                *status = Status::Missing(reason.clone());
            }
        }
    }
    report
}

fn process_group() -> Result<(), String> {
    // SAFETY (here and below): the closures run in a fork and make system calls only.
    let own = || unsafe { libc::setpgid(0, 0) == 0 && libc::getpgrp() == libc::getpid() };
    expect("starting a process group", &Confinement::default(), |()| own())
}

fn rlimits() -> Result<(), String> {
    let limits = Limits { memory: 1 << 30, ..PROBE_LIMITS };
    #[cfg_attr(not(target_os = "linux"), expect(clippy::needless_update, reason = "Linux has more fields"))]
    let confinement = Confinement { rlimits: Some(limits.rlimits()), ..Default::default() };
    // macOS takes RLIMIT_AS but does not keep it; the file-size limit is asked for everywhere.
    expect("limiting memory and file size", &confinement, |()| unsafe {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        let set =
            libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) == 0 && limit.rlim_cur <= PROBE_LIMITS.file_size;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;
        let map = libc::mmap(std::ptr::null_mut(), 2 << 30, libc::PROT_READ, flags, -1, 0);
        set && (cfg!(target_os = "macos") || map == libc::MAP_FAILED)
    })
}

fn private_dir(scratch: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = || {
        std::fs::set_permissions(scratch, std::fs::Permissions::from_mode(0o700))?;
        Ok::<_, io::Error>(std::fs::metadata(scratch)?.permissions().mode() & 0o777)
    };
    match mode() {
        Ok(0o700) => Ok(()),
        Ok(mode) => Err(format!("{} keeps mode {mode:o}", scratch.display())),
        Err(e) => Err(format!("{}: {e}", scratch.display())),
    }
}

/// The whole way, with a real program: that one starts at all under the layers that hold, and sees nothing of our
/// environment.
fn clean_env(report: &Report) -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|e| format!("cannot create a directory: {e}"))?;
    let spec = Spec {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), "export -p >env".into()],
        dir: dir.path().to_owned(),
        read: Vec::new(),
        limits: PROBE_LIMITS,
        stdin: Stdin::Null,
    };
    // Its own runtime on its own thread: the caller may be inside of one, or of none.
    let finished = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map_err(|e| e.to_string())?;
                runtime.block_on(async {
                    Ok::<_, String>(
                        crate::child::start(report, spec).map_err(|e| e.to_string())?.wait().await,
                    )
                })
            })
            .join()
            .map_err(|_| "the probe panicked".to_owned())
    })??;
    if !finished.exit.success() {
        return Err(format!("a confined /bin/sh {}: {}", finished.exit, finished.stderr_tail.trim()));
    }
    let seen = std::fs::read_to_string(dir.path().join("env")).map_err(|e| format!("no output: {e}"))?;
    // The shell adds some of its own.
    let known = ["PATH", "HOME", "TMPDIR", "LANG", "PWD", "OLDPWD", "SHLVL", "_"];
    for line in
        seen.lines().filter_map(|line| line.strip_prefix("export ").or(line.strip_prefix("declare -x ")))
    {
        let name = line.split('=').next().unwrap_or(line);
        if !known.contains(&name) {
            return Err(format!("a child sees the variable {name}"));
        }
    }
    Ok(())
}

const PROBE_LIMITS: Limits = Limits {
    wall: std::time::Duration::from_secs(10),
    cpu: std::time::Duration::from_secs(5),
    memory: 1 << 30,
    file_size: 1 << 20,
    disk: 1 << 20,
    processes: 1,
};

/// Forks, confines, and asks. `what` is what could not be done.
fn expect(what: &str, confinement: &Confinement, holds: impl FnOnce(()) -> bool) -> Result<(), String> {
    match observe(confinement, holds) {
        Ok(0) => Ok(()),
        Ok(1) => Err(format!("{what} was accepted, but does not hold")),
        Ok(errno) => Err(format!("{what} failed: {}", io::Error::from_raw_os_error(errno))),
        Err(e) => Err(format!("{what} could not be tried: {e}")),
    }
}

/// 0 when it holds, 1 when not, the errno of the confinement otherwise (EPERM, 1, counts as "does not hold").
fn observe(confinement: &Confinement, holds: impl FnOnce(()) -> bool) -> io::Result<i32> {
    // SAFETY: the fork has one thread and makes system calls only, then leaves by _exit.
    unsafe {
        match libc::fork() {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                let code = match confinement.apply() {
                    Ok(()) => i32::from(!holds(())),
                    Err(e) => e.raw_os_error().unwrap_or(1),
                };
                libc::_exit(code)
            }
            pid => {
                let mut status = 0;
                while libc::waitpid(pid, &mut status, 0) < 0 {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        return Err(error);
                    }
                }
                if libc::WIFEXITED(status) { Ok(libc::WEXITSTATUS(status)) } else { Ok(1) }
            }
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::path::PathBuf;

    use super::*;
    use crate::{fs, syscalls};

    pub(super) fn no_new_privs() -> Result<(), String> {
        let confinement = Confinement { no_new_privs: true, ..Default::default() };
        expect("giving up new privileges", &confinement, |()| unsafe {
            libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1
        })
    }

    pub(super) fn parent_death() -> Result<(), String> {
        let confinement = Confinement { die_with: Some(std::process::id()), ..Default::default() };
        expect("asking for the parent-death signal", &confinement, |()| unsafe {
            let mut signal: libc::c_int = 0;
            libc::prctl(libc::PR_GET_PDEATHSIG, &mut signal) == 0 && signal == libc::SIGKILL
        })
    }

    /// Two files, one listed: the other can be neither read nor written nor emptied.
    pub(super) fn landlock(scratch: &Path) -> Result<(), String> {
        let file = |name: &str| -> Result<(PathBuf, CString), String> {
            let path = scratch.join(name);
            std::fs::write(&path, "probe").map_err(|e| format!("{}: {e}", path.display()))?;
            let raw = CString::new(path.as_os_str().as_bytes()).map_err(|e| e.to_string())?;
            Ok((path, raw))
        };
        let (listed, listed_raw) = file("listed")?;
        let (_, secret_raw) = file("secret")?;
        let close = fs::Close { files: true, tcp: false };
        let grant = fs::Grant { program: None, read: &[listed], dir: None };
        let landlock = fs::ruleset(close, grant).map_err(|e| e.to_string())?;
        if landlock.is_none() {
            return Err("the kernel has no Landlock".into());
        }
        let confinement = Confinement { no_new_privs: true, landlock, ..Default::default() };
        expect("keeping a child to its files", &confinement, |()| unsafe {
            let open = |path: &CString, flags| libc::open(path.as_ptr(), flags | libc::O_CLOEXEC);
            open(&listed_raw, libc::O_RDONLY) >= 0
                && open(&listed_raw, libc::O_WRONLY) < 0
                && open(&secret_raw, libc::O_RDONLY) < 0
                && open(&secret_raw, libc::O_WRONLY) < 0
        })
    }

    pub(super) fn landlock_net() -> Result<(), String> {
        let close = fs::Close { files: false, tcp: true };
        let grant = fs::Grant { program: None, read: &[], dir: None };
        let landlock = fs::ruleset(close, grant).map_err(|e| e.to_string())?;
        if landlock.is_none() {
            return Err("the kernel has no Landlock".into());
        }
        let confinement = Confinement { no_new_privs: true, landlock, ..Default::default() };
        let what = "keeping a child from TCP (Landlock ABI 4)";
        expect(what, &confinement, |()| unsafe {
            let socket = libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0);
            let mut any: libc::sockaddr_in = std::mem::zeroed();
            any.sin_family = libc::AF_INET as libc::sa_family_t;
            let size = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            socket >= 0 && libc::bind(socket, (&raw const any).cast(), size) != 0
        })
    }

    pub(super) fn seccomp() -> Result<(), String> {
        let seccomp =
            syscalls::filters(syscalls::Allow { fork: false, signals: true }).map_err(|e| e.to_string())?;
        let confinement = Confinement { no_new_privs: true, seccomp, ..Default::default() };
        expect("refusing system calls", &confinement, |()| unsafe {
            libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) < 0
                && libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0) < 0
                && libc::setsid() < 0
                && *libc::__errno_location() == libc::EPERM
                && libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) < 0
                && libc::getpid() > 0
        })
    }
}
