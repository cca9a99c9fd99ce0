//! One thread for each child: it forks, watches the budgets, drains stderr, kills, and reaps.
//!
//! The thread that forks must live as long as the child, because the parent-death signal is tied to that *thread*
//! (prctl(2)); the pool threads of an async runtime come and go. Being the supervisor keeps it alive exactly so
//! long, and enforces the budgets whether or not the runtime gets to run.

use std::collections::VecDeque;
use std::io::{self, Read};
#[cfg(target_os = "linux")]
use std::os::fd::FromRawFd;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::watch::{self, WATCH, WATCH_FORKS};
use crate::{Budget, Exit, Finished, Limits, Usage};

pub(crate) struct Started {
    pub group: Arc<Group>,
    pub stdin: Option<ChildStdin>,
    pub stdout: Option<ChildStdout>,
    pub finished: oneshot::Receiver<Finished>,
}

/// What the supervisor keeps an eye on.
pub(crate) struct Watched {
    pub dir: PathBuf,
    pub limits: Limits,
    #[cfg(target_os = "linux")]
    pub forks: Option<std::os::unix::net::UnixDatagram>,
}

/// The right to kill a process group, which ends with the reaping of its leader: after that the kernel may give
/// the number to somebody else.
#[derive(Debug)]
pub(crate) struct Group {
    leader: libc::pid_t,
    reaped: Mutex<bool>,
}

/// Forks on a new thread that stays until the child is reaped. The error is the one of fork, confinement or exec.
pub(crate) fn start(mut command: Command, watched: Watched) -> io::Result<Started> {
    let (started, starting) = mpsc::sync_channel(1);
    std::thread::Builder::new().name("sandbox".into()).spawn(move || {
        let begin = Instant::now();
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return drop(started.send(Err(error))),
        };
        // Closes what the confinement holds open.
        drop(command);
        let group = Arc::new(Group { leader: child.id() as libc::pid_t, reaped: Mutex::new(false) });
        let (finish, finished) = oneshot::channel();
        let answer = Started {
            group: group.clone(),
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            finished,
        };
        let stderr = Tail::new(child.stderr.take());
        if started.send(Ok(answer)).is_err() {
            group.kill();
        }
        // Nobody listens when the `Child` was dropped: then it was killed, and this only reaps.
        let _ = finish.send(supervise(&group, stderr, &watched, begin));
    })?;
    starting.recv().map_err(|_| io::Error::other("the supervisor thread died"))?
}

/// The end of a child whose supervisor could not tell it. Never a success.
pub(crate) fn lost() -> Finished {
    let stderr_tail = "(the child's supervisor was lost)".to_owned();
    Finished { exit: Exit::Signal(libc::SIGKILL), stderr_tail, usage: Usage::default() }
}

impl Group {
    pub(crate) fn kill(&self) {
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if !*reaped {
            // SAFETY: the leader is not reaped, so the number still names its group. The kernel holds back forks
            // of a process with a signal pending, so nobody slips out between.
            unsafe { libc::kill(-self.leader, libc::SIGKILL) };
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.leader as u32
    }

    /// Whether the leader has ended; it stays a zombie, so its number stays its own.
    fn ended(&self) -> bool {
        // SAFETY: all-zero is a valid siginfo_t, and it outlives the call.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            let result = libc::waitid(libc::P_PID, self.leader as libc::id_t, &mut info, options);
            // An error means that somebody else reaped it (a parent that ignores SIGCHLD).
            result != 0 || info.si_pid() == self.leader
        }
    }

    /// Kills what is left, then reaps the leader.
    fn reap(&self) -> (Option<i32>, Usage) {
        self.kill();
        let mut reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        *reaped = true;
        let mut status = 0;
        // SAFETY: all-zero is a valid rusage; both outlive the call.
        let (result, usage) = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            (libc::wait4(self.leader, &mut status, 0, &mut usage), usage)
        };
        let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
        let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
        let usage = Usage {
            wall: Duration::ZERO,
            user_cpu: time(usage.ru_utime),
            sys_cpu: time(usage.ru_stime),
            max_rss: usage.ru_maxrss as u64 * unit,
        };
        ((result == self.leader).then_some(status), usage)
    }
}

fn supervise(group: &Group, mut stderr: Tail, watched: &Watched, begin: Instant) -> Finished {
    let Watched { dir, limits, .. } = watched;
    #[cfg(target_os = "linux")]
    let forks = watched.forks.as_ref().and_then(crate::forks::Questions::receive);
    let ending = pidfd(group.leader);
    let end = begin.checked_add(limits.wall);
    let left = |now: Instant| end.map_or(Duration::MAX, |end| end.saturating_duration_since(now));
    let group_watch = if limits.may_fork() { WATCH_FORKS } else { WATCH };
    let mut next_group = Instant::now() + group_watch;
    let mut next_disk = Instant::now() + WATCH;
    let mut over = None;
    loop {
        let now = Instant::now();
        let mut pause = WATCH;
        if over.is_none() {
            pause = next_group.min(next_disk).saturating_duration_since(now).min(left(now));
        }
        if ending.is_none() {
            pause = pause.min(Duration::from_millis(20));
        }
        #[cfg(target_os = "linux")]
        {
            let forks_fd = forks.as_ref().map(AsRawFd::as_raw_fd);
            if stderr.wait(ending.as_ref(), forks_fd, pause)
                && let Some(forks) = &forks
            {
                forks.answer(group.leader, limits);
            }
        }
        #[cfg(not(target_os = "linux"))]
        stderr.wait(ending.as_ref(), None, pause);
        if group.ended() {
            break;
        }
        let now = Instant::now();
        if over.is_none() && left(now).is_zero() {
            over = Some(Budget::Wall(limits.wall));
        }
        if over.is_none() && now >= next_group {
            over = watch::group(group.leader, limits);
            next_group = Instant::now() + group_watch;
        }
        if over.is_none() && now >= next_disk {
            over = watch::disk(dir, limits, end).over();
            // A large tree takes long to walk: never spend more than a tenth of the time on it.
            next_disk = Instant::now() + WATCH.max(now.elapsed() * 10);
        }
        if over.is_some() {
            group.kill();
        }
    }
    let (status, mut usage) = group.reap();
    usage.wall = begin.elapsed();
    watch::until_gone(group.leader, limits);
    stderr.drain();
    let exit = match over {
        Some(budget) => Exit::Budget(budget),
        None => classify(status, &usage, dir, limits),
    };
    Finished { exit, stderr_tail: stderr.text(), usage }
}

/// Which limit, if any, explains an exit that no watch caused.
fn classify(status: Option<i32>, usage: &Usage, dir: &Path, limits: &Limits) -> Exit {
    let exit = match status {
        None => return Exit::Signal(libc::SIGKILL),
        Some(status) if libc::WIFSIGNALED(status) => Exit::Signal(libc::WTERMSIG(status)),
        Some(status) => Exit::Code(libc::WEXITSTATUS(status)),
    };
    // Whoever leaves too much behind between two watches did not stay in its budget either.
    let disk = watch::disk(dir, limits, None);
    if let Some(budget) = disk.over() {
        return Exit::Budget(budget);
    }
    if exit.success() {
        return exit;
    }
    // Programs may catch or ignore the signals of the limits and exit with a code of their own.
    if exit == Exit::Signal(libc::SIGXCPU) || usage.user_cpu + usage.sys_cpu >= limits.cpu {
        return Exit::Budget(Budget::Cpu(limits.cpu));
    }
    if exit == Exit::Signal(libc::SIGXFSZ) || disk.largest_file >= limits.file_size {
        return Exit::Budget(Budget::FileSize(limits.file_size));
    }
    exit
}

/// A descriptor that becomes readable when the process ends. Without one (macOS, Linux before 5.3) we look often.
fn pidfd(pid: libc::pid_t) -> Option<OwnedFd> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: no memory is involved; a non-negative answer is a new descriptor nobody else owns.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd as i32) })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = pid;
        None::<OwnedFd>
    }
}

/// The end of stderr, in bounded memory however much the child writes.
struct Tail {
    pipe: Option<ChildStderr>,
    kept: VecDeque<u8>,
    cut: bool,
}

/// Bytes of stderr that are kept.
const TAIL: usize = 8 * 1024;

impl Tail {
    fn new(pipe: Option<ChildStderr>) -> Tail {
        if let Some(pipe) = &pipe {
            // SAFETY: changes the flags of a descriptor we own.
            unsafe {
                let flags = libc::fcntl(pipe.as_raw_fd(), libc::F_GETFL);
                libc::fcntl(pipe.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK);
            }
        }
        Tail { pipe, kept: VecDeque::with_capacity(2 * TAIL), cut: false }
    }

    /// Waits for the end of the child, for something on stderr, for a question (then true), or for `pause`; and
    /// takes what is on stderr.
    fn wait(&mut self, ending: Option<&OwnedFd>, question: Option<i32>, pause: Duration) -> bool {
        let poll = |fd: Option<i32>| libc::pollfd { fd: fd.unwrap_or(-1), events: libc::POLLIN, revents: 0 };
        let stderr = self.pipe.as_ref().map(AsRawFd::as_raw_fd);
        let mut fds = [poll(ending.map(AsRawFd::as_raw_fd)), poll(stderr), poll(question)];
        // Rounded up, or the last fraction of a millisecond would be spent spinning.
        let pause = pause.as_micros().div_ceil(1000).min(1000) as libc::c_int;
        // SAFETY: the array outlives the call. An interrupted wait is a short one.
        unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, pause) };
        self.drain();
        fds[2].revents & libc::POLLIN != 0
    }

    /// Takes what is there, at most a mebibyte: a flood must not keep the supervisor from its watch.
    fn drain(&mut self) {
        let mut buffer = [0; TAIL];
        for _ in 0..128 {
            let Some(pipe) = &mut self.pipe else { return };
            match pipe.read(&mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(n) => {
                    self.kept.extend(&buffer[..n]);
                    let excess = self.kept.len().saturating_sub(TAIL);
                    self.cut |= excess > 0;
                    self.kept.drain(..excess);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.pipe = None,
            }
        }
    }

    fn text(mut self) -> String {
        let start = if self.cut { "…" } else { "" };
        start.to_owned() + &escape(&String::from_utf8_lossy(self.kept.make_contiguous()))
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        // The second group turns the reading direction round.
        let hostile = c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if hostile && c != '\n' && c != '\t' {
            escaped.extend(c.escape_unicode());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A child cannot paint over the terminal of whoever reads its last words.
    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(escape("a\tb\nc\x1b[2J\r\u{202e}é"), "a\tb\nc\\u{1b}[2J\\u{d}\\u{202e}é");
    }
}
