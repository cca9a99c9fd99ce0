//! The budgets the kernel does not keep for us, looked at every [`WATCH`].

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::{Budget, Limits};

/// How often the watched budgets are looked at, and so how long a child can overshoot them.
pub const WATCH: Duration = Duration::from_millis(250);

/// How often the group of a child that may fork is looked at: in [`WATCH`] a fork bomb grows past stopping.
pub(crate) const WATCH_FORKS: Duration = Duration::from_millis(50);

/// What lies under a private directory.
#[derive(Debug)]
pub(crate) struct Disk {
    total: u64,
    limit: u64,
    /// Bytes; a sparse file counts its length here, as RLIMIT_FSIZE does.
    pub largest_file: u64,
}

impl Disk {
    pub(crate) fn over(&self) -> Option<Budget> {
        (self.total > self.limit).then_some(Budget::Disk(self.limit))
    }
}

/// Walks the tree without following symlinks and stops as soon as the budget is exceeded, which bounds the walk to
/// limit / 4 KiB entries; and at `until`, when the child's time is over anyway.
pub(crate) fn disk(dir: &Path, limits: &Limits, until: Option<Instant>) -> Disk {
    let mut disk = Disk { total: 0, limit: limits.disk, largest_file: 0 };
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            // The child removed it meanwhile.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            // A path grown too long, a directory made unreadable: whoever hides from the watch has lost.
            Err(_) => {
                disk.total = u64::MAX;
                return disk;
            }
        };
        for entry in entries.flatten() {
            let Ok(found) = entry.metadata() else { continue };
            // Blocks are units of 512 bytes, whatever the file system's own are.
            disk.total = disk.total.saturating_add((found.blocks() * 512).max(4096));
            if found.is_dir() {
                dirs.push(entry.path());
            } else if found.is_file() {
                disk.largest_file = disk.largest_file.max(found.len());
            }
            if disk.total > disk.limit || until.is_some_and(|until| Instant::now() >= until) {
                return disk;
            }
        }
    }
    disk
}

#[cfg(target_os = "linux")]
pub(crate) use linux::{below_processes, group, until_gone};

#[cfg(not(target_os = "linux"))]
pub(crate) fn group(_: libc::pid_t, _: &Limits) -> Option<Budget> {
    None
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn until_gone(_: libc::pid_t, _: &Limits) {}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;

    /// Processes, memory and CPU time of the group together.
    pub(crate) fn group(leader: libc::pid_t, limits: &Limits) -> Option<Budget> {
        let members = members(leader, limits).take(limits.processes.max(1) as usize + 1).collect::<Vec<_>>();
        let cpu = members.iter().map(|m| m.cpu).sum::<Duration>();
        let resident = members.iter().map(|m| m.resident).sum::<u64>();
        if limits.may_fork() && members.len() > limits.processes as usize {
            Some(Budget::Processes(limits.processes))
        } else if resident > limits.memory {
            Some(Budget::Memory(limits.memory))
        } else if cpu >= limits.cpu {
            Some(Budget::Cpu(limits.cpu))
        } else {
            None
        }
    }

    /// Whether the group may have one process more.
    pub(crate) fn below_processes(leader: libc::pid_t, limits: &Limits) -> bool {
        let most = limits.processes as usize;
        members(leader, limits).take(most).count() < most
    }

    /// After SIGKILL to the group: waits until nobody in it runs any more, so that whoever removes the private
    /// directory next finds it still. A process stuck in the kernel is not waited for longer than a second.
    pub(crate) fn until_gone(leader: libc::pid_t, limits: &Limits) {
        if !limits.may_fork() {
            return;
        }
        let end = Instant::now() + Duration::from_secs(1);
        while members(leader, limits).any(|member| member.alive) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    struct Member {
        /// A dead one counts until it is reaped, as it does for the kernel's own limit: else a bomb whose shells
        /// die at once fills the process table with zombies.
        alive: bool,
        cpu: Duration,
        /// Bytes. Pages that processes share count in each: the sum errs towards stopping.
        resident: u64,
    }

    /// The members of the group, found one by one: /proc is in the order of pids, so that a fork bomb is
    /// told after its first few, however many there are. A child that may not fork is alone in its group.
    fn members(leader: libc::pid_t, limits: &Limits) -> impl Iterator<Item = Member> {
        let alone = (!limits.may_fork()).then(|| Path::new("/proc").join(leader.to_string()));
        let processes = if alone.is_none() { std::fs::read_dir("/proc").ok() } else { None };
        let processes = processes.into_iter().flatten().flatten();
        let processes = processes
            .filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit))
            .map(|entry| entry.path());
        alone.into_iter().chain(processes).filter_map(move |process| member(&process, leader))
    }

    fn member(process: &Path, group: libc::pid_t) -> Option<Member> {
        // Not UTF-8: the name in it is the child's own choice.
        let stat = std::fs::read(process.join("stat")).ok()?;
        parse(&stat, group)
    }

    /// proc_pid_stat(5): the fields after the name's last `)`, the first of which is the third, the state.
    fn parse(stat: &[u8], group: libc::pid_t) -> Option<Member> {
        let after = stat.iter().rposition(|b| *b == b')')? + 1;
        let fields: Vec<&str> = std::str::from_utf8(&stat[after..]).ok()?.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        if number(5)? != group as u64 {
            return None;
        }
        let alive = !matches!(fields.first(), Some(&"Z" | &"X"));
        // Its own time and that of the children it waited for.
        let ticks = number(14)? + number(15)? + number(16)? + number(17)?;
        // SAFETY: sysconf has no preconditions.
        let (hertz, page) = unsafe { (libc::sysconf(libc::_SC_CLK_TCK), libc::sysconf(libc::_SC_PAGESIZE)) };
        let cpu = Duration::from_secs_f64(ticks as f64 / hertz.max(1) as f64);
        Some(Member { alive, cpu, resident: number(24)? * page.max(1) as u64 })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// A process cannot leave the count by the name it gives itself.
        #[test]
        fn a_hostile_name_does_not_shift_the_fields() {
            let stat = b"7 (a) Z 1 1 (\xff) S 1 42 42 0 -1 0 0 0 0 0 100 50 0 0 20 0 1 0 5 9000000 25 0";
            let member = parse(stat, 42).unwrap();
            assert_eq!((member.cpu, member.resident), (Duration::from_millis(1500), 25 * 4096));
            assert!(parse(stat, 43).is_none());
        }
    }
}
