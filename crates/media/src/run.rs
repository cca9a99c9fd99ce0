//! The thin shell around one call of ffmpeg: sandbox, progress, and what its end means.

use std::path::{Path, PathBuf};

use domain::Failure;
use sandbox::{Budget, Exit, Limits};

use crate::Tools;
use crate::progress::{self, Tick};

/// How a call ended that no budget stopped.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Exit code 0. It says nothing about what came out.
    pub(crate) clean: bool,
    pub(crate) stderr: String,
}

impl Tools {
    /// Runs ffmpeg in `work`, which may read `read`. A call that a budget stopped, that crashed, or that filled the
    /// disk is an error here; every other end is for the caller to judge by what came out.
    pub(crate) async fn ffmpeg(
        &self,
        work: &Path,
        args: Vec<String>,
        read: &[&Path],
        limits: Limits,
        each: &(dyn Fn(Tick) + Send + Sync),
    ) -> Result<Ended, Failure> {
        tracing::debug!(?args, "ffmpeg");
        let spec = self.spec(&self.ffmpeg, args, work, read, limits);
        let mut child = self
            .sandbox
            .spawn(spec)
            .map_err(|error| Failure::temporary(format!("ffmpeg could not be started: {error}")))?;
        let pipe = child.take_stdout();
        let reading = async {
            match pipe {
                Some(pipe) => progress::read(pipe, each).await,
                None => Tick::default(),
            }
        };
        let (_, finished) = tokio::join!(reading, child.wait());
        match stopped(finished.exit, &finished.stderr_tail) {
            Some(failure) => Err(failure),
            None => Ok(Ended { clean: finished.exit.success(), stderr: finished.stderr_tail }),
        }
    }

    /// Whether this ffmpeg has a filter. Asked only where a plan depends on it.
    pub(crate) async fn has_filters(&self, work: &Path, names: &[&str]) -> Result<bool, Failure> {
        let build = self.build(work).await.map_err(|error| Failure::temporary(error.to_string()))?;
        Ok(names.iter().all(|name| build.needs.iter().any(|need| need.name == *name && need.present)))
    }

    /// Threads that a call runs on, and what to tell ffmpeg: nothing when it may have the whole machine, because
    /// its own default then suits each encoder better than one number.
    pub(crate) fn parallel(&self) -> (u32, Option<u32>) {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        if self.threads >= cores { (cores, None) } else { (self.threads, Some(self.threads)) }
    }
}

/// Ends that are the same whatever ffmpeg was doing.
fn stopped(exit: Exit, stderr: &str) -> Option<Failure> {
    let too_much =
        "Choose a smaller or faster preset; if the recording plays in full elsewhere, report this.";
    Some(match exit {
        Exit::Budget(Budget::Wall(_)) => Failure::temporary(format!(
            "ffmpeg was {exit}, before its CPU time was used up: the machine is overloaded, or the source is stuck."
        )),
        Exit::Budget(_) => {
            Failure::permanent(format!("ffmpeg was {exit}, far more than this work needs. {too_much}"))
        }
        // SIGKILL that is not ours is the kernel's, out of memory.
        Exit::Signal(9) => Failure::temporary(
            "ffmpeg was killed from outside, most likely because the machine ran out of memory. Run fewer jobs at once.",
        ),
        Exit::Signal(_) => {
            Failure::permanent(format!("ffmpeg crashed on this recording ({exit}). Update ffmpeg."))
        }
        // The C library's word for ENOSPC; the child's locale is fixed.
        Exit::Code(code) if code != 0 && stderr.contains("No space left on device") => {
            Failure::temporary("The disk is full. Free some space; the job is tried again.")
        }
        Exit::Code(_) => return None,
    })
}

/// The last thing ffmpeg complained of, for a person.
pub(crate) fn complaint(stderr: &str) -> String {
    // `[mov,mp4 @ 0x5647aa65a740] stream 1: partial file`: the address is another one each time.
    let bare = |line: &str| match line.split_once("] ") {
        Some((tag, rest)) if tag.starts_with('[') && tag.contains(" @ 0x") => rest.to_owned(),
        _ => line.to_owned(),
    };
    let last =
        stderr.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it gave no reason");
    bare(last).trim_end_matches('.').chars().take(300).collect()
}

/// Bytes under a directory.
pub(crate) fn present(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => present(&entry.path()),
            Ok(meta) => meta.len().max(4096),
            Err(_) => 0,
        })
        .sum()
}

/// An empty directory of its own inside the job's, for calls that want one.
pub(crate) fn room(work: &Path, name: &str) -> Result<PathBuf, Failure> {
    let room = work.join(name);
    match std::fs::remove_dir_all(&room) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(disk(&error)),
        _ => {}
    }
    std::fs::create_dir(&room).map_err(|error| disk(&error))?;
    Ok(room)
}

pub(crate) fn disk(error: &std::io::Error) -> Failure {
    Failure::temporary(format!("The work directory cannot be used: {error}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::FailureKind;
    use std::time::Duration;

    #[test]
    fn what_may_pass_by_itself_is_temporary() {
        let kind = |exit, stderr| stopped(exit, stderr).map(|failure| failure.kind);
        assert_eq!(kind(Exit::Code(0), ""), None);
        assert_eq!(kind(Exit::Code(1), "Invalid data"), None);
        assert_eq!(
            kind(Exit::Code(1), "av_interleaved_write_frame(): No space left on device"),
            Some(FailureKind::Temporary)
        );
        assert_eq!(kind(Exit::Signal(9), ""), Some(FailureKind::Temporary));
        assert_eq!(kind(Exit::Signal(11), ""), Some(FailureKind::Permanent));
        let budget = |budget| kind(Exit::Budget(budget), "");
        assert_eq!(budget(Budget::Wall(Duration::from_secs(1))), Some(FailureKind::Temporary));
        assert_eq!(budget(Budget::Cpu(Duration::from_secs(1))), Some(FailureKind::Permanent));
        assert_eq!(budget(Budget::Disk(1)), Some(FailureKind::Permanent));
    }
}
