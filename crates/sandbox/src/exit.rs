use std::fmt;
use std::time::Duration;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    /// A signal that no budget explains: a crash, or [`crate::Child::kill`] (9).
    Signal(i32),
    /// Stopped by a budget of its [`crate::Limits`]; the value is that limit.
    Budget(Budget),
}

/// The budget that ended a child, with the limit it ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    Wall(Duration),
    Cpu(Duration),
    /// Bytes resident in the whole group. A child that meets its own address-space limit sees a failing
    /// allocation instead and usually exits with a code of its own.
    Memory(u64),
    /// Bytes in one file.
    FileSize(u64),
    /// Bytes under the private directory.
    Disk(u64),
    /// Processes in the group.
    Processes(u32),
}

/// The end of a child, as [`crate::Child::wait`] tells it.
#[derive(Clone, Debug)]
pub struct Finished {
    pub exit: Exit,
    /// The last 8 KiB of stderr, lossily UTF-8, with control and bidirectional characters escaped (newline and
    /// tab stay): safe to print, still hostile text.
    pub stderr_tail: String,
    pub usage: Usage,
}

/// The end of a child and what it printed, as [`crate::Sandbox::run`] tells it.
#[derive(Clone, Debug)]
pub struct Output {
    pub exit: Exit,
    pub stdout: Vec<u8>,
    pub stdout_truncated: bool,
    /// See [`Finished::stderr_tail`].
    pub stderr_tail: String,
    pub usage: Usage,
}

/// What a child used. CPU and memory are those of the leader and the children it waited for (`wait4`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub wall: Duration,
    pub user_cpu: Duration,
    pub sys_cpu: Duration,
    /// Bytes. On Linux never below what *this* process had resident when it forked: the kernel keeps the
    /// high-water mark across exec.
    pub max_rss: u64,
}

impl Exit {
    /// Whether the child ended by itself with code 0. It says nothing about what the child made.
    pub fn success(&self) -> bool {
        *self == Exit::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exited with code {code}"),
            Exit::Signal(signal) => write!(f, "ended by signal {signal}"),
            Exit::Budget(budget) => budget.fmt(f),
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Budget::Wall(limit) => write!(f, "stopped after its {} s time budget", limit.as_secs_f64()),
            Budget::Cpu(limit) => write!(f, "stopped after its {} s of CPU time", limit.as_secs_f64()),
            Budget::Memory(limit) => write!(f, "stopped at its memory budget of {}", Bytes(*limit)),
            Budget::FileSize(limit) => write!(f, "stopped at its budget of {} a file", Bytes(*limit)),
            Budget::Disk(limit) => write!(f, "stopped at its disk budget of {}", Bytes(*limit)),
            Budget::Processes(limit) => write!(f, "stopped at its budget of {limit} processes"),
        }
    }
}

struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1 << 30 => write!(f, "{:.1} GiB", n as f64 / (1u64 << 30) as f64),
            n if n >= 1 << 20 => write!(f, "{:.1} MiB", n as f64 / (1u64 << 20) as f64),
            n => write!(f, "{n} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_reads_as_the_end_of_a_sentence() {
        let said = [
            Exit::Code(1),
            Exit::Signal(11),
            Exit::Budget(Budget::Wall(Duration::from_secs(60))),
            Exit::Budget(Budget::Cpu(Duration::from_millis(1500))),
            Exit::Budget(Budget::Disk(3 << 29)),
            Exit::Budget(Budget::FileSize(4096)),
        ]
        .map(|exit| exit.to_string());
        assert_eq!(
            said,
            [
                "exited with code 1",
                "ended by signal 11",
                "stopped after its 60 s time budget",
                "stopped after its 1.5 s of CPU time",
                "stopped at its disk budget of 1.5 GiB",
                "stopped at its budget of 4096 bytes a file",
            ]
        );
    }
}
