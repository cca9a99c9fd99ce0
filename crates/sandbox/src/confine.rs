use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::{AsRawFd, OwnedFd};

use crate::limits::Rlimits;

/// Everything a child does to itself between fork and exec, prepared before the fork.
///
/// The process that forks has many threads, so its child must not allocate or take a lock: [`Confinement::apply`]
/// makes system calls on prepared values and nothing else.
#[derive(Default)]
pub(crate) struct Confinement {
    pub rlimits: Option<Rlimits>,
    #[cfg(target_os = "linux")]
    pub forks: Option<crate::forks::Gate>,
    /// The pid the child must still have as its parent; with it, the child dies when that process's forking
    /// thread ends.
    #[cfg(target_os = "linux")]
    pub die_with: Option<u32>,
    #[cfg(target_os = "linux")]
    pub no_new_privs: bool,
    #[cfg(target_os = "linux")]
    pub landlock: Option<OwnedFd>,
    #[cfg(target_os = "linux")]
    pub seccomp: Vec<Vec<libc::sock_filter>>,
}

impl Confinement {
    /// Runs between fork and exec.
    pub(crate) fn apply(&self) -> io::Result<()> {
        // What the child makes is nobody else's.
        // SAFETY: umask has no preconditions.
        unsafe { libc::umask(0o077) };
        default_signals();
        close_on_exec()?;
        if let Some(rlimits) = &self.rlimits {
            rlimits.apply()?;
        }
        #[cfg(target_os = "linux")]
        {
            batch();
            self.apply_linux()?;
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn apply_linux(&self) -> io::Result<()> {
        if let Some(parent) = self.die_with {
            // SAFETY: prctl with these arguments touches no memory of ours; getppid has no preconditions.
            unsafe {
                check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0))?;
                // The parent may have died before the line above; then no signal will ever come.
                if libc::getppid() as u32 != parent {
                    libc::_exit(127);
                }
            }
        }
        if self.no_new_privs {
            // SAFETY: touches no memory of ours.
            check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
        }
        if let Some(ruleset) = &self.landlock {
            // SAFETY: the descriptor is open; no flags.
            check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) as i32 })?;
        }
        if let Some(gate) = &self.forks {
            gate.apply()?;
        }
        for program in &self.seccomp {
            let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
            // SAFETY: the kernel copies the program during the call and never writes to it.
            check(unsafe {
                libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &program) as i32
            })?;
        }
        Ok(())
    }
}

/// An ignored signal stays ignored across exec: a parent that ignores SIGXCPU or SIGXFSZ would disarm the limits.
fn default_signals() {
    for signal in 1..32 {
        // SAFETY: SIG_DFL runs no code of ours. SIGKILL and SIGSTOP refuse, which is what they are for.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// A child computes: it gets the processor in long pieces, and whoever wakes up to tend it (a lease, a heartbeat, a page
/// for somebody) goes before it. An encoder's threads switch half as often (sched(7), measured on Linux 6.18). Advice and no
/// fence: where it is refused nothing is lost. A service that was put behind all others stays there.
#[cfg(target_os = "linux")]
fn batch() {
    // SAFETY: neither call has preconditions; `normal` outlives the second.
    unsafe {
        if libc::sched_getscheduler(0) == libc::SCHED_OTHER {
            let normal: libc::sched_param = std::mem::zeroed();
            libc::sched_setscheduler(0, libc::SCHED_BATCH, &normal);
        }
    }
}

/// No descriptor but 0, 1 and 2 reaches the program. Close-on-exec rather than close: std reports a failing exec
/// through one of them.
fn close_on_exec() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
        // SAFETY: changes flags of descriptors of this process, which is about to exec.
        let done = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, CLOSE_RANGE_CLOEXEC) };
        if done == 0 {
            return Ok(());
        }
        // Linux before 5.11 falls through.
    }
    // SAFETY: as above; a descriptor that is not open refuses, harmlessly.
    unsafe {
        let last = libc::sysconf(libc::_SC_OPEN_MAX).clamp(1024, 1 << 16) as libc::c_int;
        for fd in 3..last {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
