//! The watched folder: takes what is finished, leaves what is still being written.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{Found, Intake, Runner, Taken, intake::Seen, walk::Walk};

/// How often the folder is looked at. Looking works on every filesystem, NFS and SMB included, where
/// notifications do not.
const LOOK: Duration = Duration::from_millis(500);
/// After trouble that is not a file's (a full disk, a store away): it will not pass in a moment.
const TROUBLE: Duration = Duration::from_secs(10);
/// A folder that a person made and that we emptied goes after this long without a change in it.
const EMPTY_FOLDERS: Duration = Duration::from_secs(60);

pub struct Inbox {
    folder: PathBuf,
    intake: Intake,
    /// How long a file must not change before it is taken.
    stable: Duration,
    seen: HashMap<PathBuf, Sighting>,
}

/// A file as it was seen first in this shape.
#[derive(Debug, Clone, Copy)]
struct Sighting {
    seen: Seen,
    since: Instant,
    /// Could not be taken in this shape; not tried again until it changes.
    given_up: bool,
}

impl Inbox {
    pub fn new(folder: PathBuf, intake: Intake, stable: Duration) -> Self {
        Self { folder, intake, stable, seen: HashMap::new() }
    }

    /// Watches until `stop`.
    pub async fn run(mut self, runner: Runner, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let pause = match self.look(&runner).await {
                Ok(taken) => {
                    if taken > 0 {
                        runner.wake();
                    }
                    LOOK
                }
                Err(e) => {
                    warn!(
                        error = format!("{e:#}"),
                        "the inbox is not emptied; its files wait there; trying again"
                    );
                    TROUBLE
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One look: takes everything that is finished. Returns how many files were taken.
    async fn look(&mut self, runner: &Runner) -> Result<usize> {
        let ready = self.ready();
        if ready.is_empty() {
            return Ok(0);
        }
        anyhow::ensure!(
            !runner.is_full(),
            "the library's store is nearly full: make room, or wait for the rule that does"
        );
        let mut taken_files = 0;
        let mut refused = Vec::new();
        let files = futures::stream::iter(ready);
        self.intake
            .take(files, |found, taken| match taken {
                Taken::New { id, bytes, .. } => {
                    taken_files += 1;
                    info!(recording.id = %id, name = %found.name, bytes, "accepted");
                }
                Taken::Known { id } => {
                    info!(recording.id = %id, name = %found.name, "already in the library")
                }
                Taken::Refused { reason } => refused.push((found.clone(), reason.clone())),
            })
            .await?;
        for (found, reason) in refused {
            warn!(name = %found.name, reason, "not taken; set aside");
            if let Err(e) = self.set_aside(&found, &reason) {
                warn!(name = %found.name, error = format!("{e:#}"), "could not set it aside; left where it is");
            }
            if let Some(sighting) = self.seen.get_mut(&found.path) {
                sighting.given_up = true;
            }
        }
        Ok(taken_files)
    }

    /// The files that have not changed for a while and that nobody has open for writing.
    fn ready(&mut self) -> Vec<Found> {
        let now = Instant::now();
        let mut ready = Vec::new();
        let mut still_there = HashMap::with_capacity(self.seen.len());
        for found in Walk::inside(&self.folder).filter_map(Result::ok) {
            let Ok(metadata) = fs::metadata(&found.path) else { continue };
            let seen = Seen::of(&metadata);
            let sighting = match self.seen.remove(&found.path) {
                Some(before) if before.seen == seen => before,
                _ => Sighting { seen, since: now, given_up: false },
            };
            let quiet = now.duration_since(sighting.since) >= self.stable;
            if quiet && !sighting.given_up && !is_open_for_writing(&found.path) {
                ready.push(found.clone());
            }
            still_there.insert(found.path, sighting);
        }
        self.seen = still_there;
        self.remove_empty_folders(&self.folder.clone());
        ready
    }

    /// Moves a refused file into `.rejected`, next to a text that says why: visible, and not lost.
    fn set_aside(&self, found: &Found, reason: &str) -> Result<()> {
        let relative = found.path.strip_prefix(&self.folder).context("not in the inbox")?;
        let mut target = self.folder.join(".rejected").join(relative);
        fs::create_dir_all(target.parent().context("has no folder")?)?;
        for n in 2.. {
            if !target.exists() {
                break;
            }
            target
                .set_file_name(format!("{n}-{}", relative.file_name().unwrap_or_default().to_string_lossy()));
        }
        fs::rename(&found.path, &target)?;
        let mut note = target.clone().into_os_string();
        note.push(".reason.txt");
        Ok(fs::write(note, format!("{reason}\n"))?)
    }

    /// Folders that have stood empty for a while: nobody is about to write the next file into them.
    fn remove_empty_folders(&self, folder: &Path) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.filter_map(Result::ok) {
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            let Ok(metadata) = entry.metadata() else { continue };
            if !metadata.is_dir() || hidden {
                continue;
            }
            let path = entry.path();
            self.remove_empty_folders(&path);
            let quiet =
                metadata.modified().ok().and_then(|m| m.elapsed().ok()).is_some_and(|e| e > EMPTY_FOLDERS);
            if quiet {
                // Fails when something is in it, which is the check.
                let _ = fs::remove_dir(&path);
            }
        }
    }
}

/// Whether some process still has the file open for writing. Linux tells by refusing a read lease; where leases are
/// not to be had (other systems, network filesystems, other people's files) only the quiet time decides.
fn is_open_for_writing(path: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd as _;
        let Ok(file) = fs::File::open(path) else { return false };
        // SAFETY: plain system calls on a descriptor that `file` keeps open.
        unsafe {
            if libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) == 0 {
                libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK);
                return false;
            }
        }
        std::io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        false
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_somebody_writes_is_seen_as_such() {
        use std::io::Write as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.mp4");
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        assert!(super::is_open_for_writing(&path));
        drop(file);
        assert!(!super::is_open_for_writing(&path));
    }
}
