use std::io;
use std::time::Duration;

/// What a child may use up before it is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From start to end. When it is over the whole group gets SIGKILL; nothing can ignore that.
    pub wall: Duration,
    /// User + system time of the group. RLIMIT_CPU (whole seconds, each process) and the watch (the group's sum).
    pub cpu: Duration,
    /// Bytes. Address space of each process (RLIMIT_AS: allocations fail) and resident memory of the whole group
    /// (watched: the group is killed). Each thread takes address space: 8 MiB of stack, up to 64 MiB of heap arena.
    pub memory: u64,
    /// Bytes in any one file (RLIMIT_FSIZE).
    pub file_size: u64,
    /// Bytes under the private directory in total, also what lay there before; watched. An entry counts at least
    /// 4 KiB, so that empty files are not free; a sparse file counts what it occupies.
    pub disk: u64,
    /// Processes, not threads. With 1 (0 means 1 too) the seccomp layer lets the child fork not at all: the right
    /// setting wherever it is enough. Above 1 the supervisor is asked before each fork and answers EAGAIN at the
    /// limit; a group that gets past it all the same (a kernel before 5.5) is counted every 50 ms and killed.
    /// RLIMIT_NPROC is not used: it does not bind root, and it counts everything else of the same user, threads
    /// of this process included. Above 1, grandchildren also outlive a SIGKILL of *this* process, up to their
    /// CPU limit and without another fork: the parent-death signal reaches the child only. And above 1 there are pairs of
    /// Unix sockets: pipes that go both ways, between the child and its own.
    pub processes: u32,
}

impl Limits {
    pub(crate) fn rlimits(&self) -> Rlimits {
        // The kernel counts whole seconds. SIGXCPU first, so that the exit tells which limit it was; SIGKILL one
        // second later for a child that ignores it.
        let cpu = self.cpu.as_secs() + u64::from(self.cpu.subsec_nanos() > 0);
        Rlimits([
            (libc::RLIMIT_CPU as _, cpu.max(1), cpu.max(1) + 1),
            (libc::RLIMIT_AS as _, self.memory, self.memory),
            (libc::RLIMIT_FSIZE as _, self.file_size, self.file_size),
            // A core dump would hold the input's bytes and escape the file-size limit's intent.
            (libc::RLIMIT_CORE as _, 0, 0),
            // Bounds what can hide in pipes and in files deleted while open.
            (libc::RLIMIT_NOFILE as _, 1024, 1024),
        ])
    }

    pub(crate) fn may_fork(&self) -> bool {
        self.processes > 1
    }
}

/// Resource, soft limit, hard limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rlimits([(i32, u64, u64); 5]);

impl Rlimits {
    /// Runs between fork and exec: system calls only.
    pub(crate) fn apply(&self) -> io::Result<()> {
        for (resource, soft, hard) in self.0 {
            let mut inherited = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            // SAFETY: `inherited` outlives the call.
            if unsafe { libc::getrlimit(resource as _, &mut inherited) } != 0 {
                return Err(io::Error::last_os_error());
            }
            // Only root may raise a hard limit; where the one we run under is lower, it stays.
            let hard = hard.min(inherited.rlim_max);
            let limit = libc::rlimit { rlim_cur: soft.min(hard), rlim_max: hard };
            // SAFETY: `limit` outlives the call.
            if unsafe { libc::setrlimit(resource as _, &limit) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }
}
