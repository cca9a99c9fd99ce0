use std::{
    fs::File,
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FlockOperation, Mode, OFlags},
    io::Errno,
};

use super::tree::Tree;
use crate::{Error, Key, Meta, Put};

/// A file that nobody sees, removed when dropped.
///
/// Who writes it holds a lock on it. A lock ends with its process, however that ends, so an unlocked temporary file
/// belongs to nobody; no clock and no process id has to be believed.
pub(super) struct Temporary {
    pub file: File,
    tree: Arc<Tree>,
    name: String,
    published: bool,
}

impl Temporary {
    pub fn create(tree: &Arc<Tree>) -> rustix::io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let name = fresh_name();
            let file = match rustix::fs::openat(&tree.tmp, &name, flags, Mode::from_raw_mode(0o666)) {
                Err(Errno::EXIST) => continue,
                file => File::from(file?),
            };
            // Between creating and locking it, a starting process may take it for a leftover.
            if lock(&file) && rustix::fs::fstat(&file)?.st_nlink > 0 {
                return Ok(Self { file, tree: tree.clone(), name, published: false });
            }
        }
    }

    /// A second name for a finished file elsewhere on the same file system.
    pub fn link(tree: &Arc<Tree>, file: File) -> rustix::io::Result<Self> {
        if !lock(&file) {
            return Err(Errno::BUSY);
        }
        loop {
            let name = fresh_name();
            // By descriptor: the path may name another file by now than the one that was hashed.
            let this = format!("/proc/self/fd/{}", file.as_raw_fd());
            match rustix::fs::linkat(CWD, this, &tree.tmp, &name, AtFlags::SYMLINK_FOLLOW) {
                Err(Errno::EXIST) => {}
                linked => {
                    linked?;
                    return Ok(Self { file, tree: tree.clone(), name, published: false });
                }
            }
        }
    }

    /// Promise 6: whole and synced first, then visible.
    pub fn publish(mut self, key: &Key, options: &Put) -> Result<Meta, Error> {
        let fail = |e| self.tree.error("write", key, e);
        rustix::fs::fsync(&self.file).map_err(fail)?;
        // So that reading it back reads the medium and not our own memory. Advice; failing costs nothing.
        let _ = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed);
        let meta = self.tree.meta(key, &rustix::fs::fstat(&self.file).map_err(fail)?)?;
        self.tree.publish(&self.tree.tmp, &self.name, key, options.if_absent)?;
        self.published = true;
        Ok(meta)
    }

    /// Gives it a name in one of the store's own folders.
    pub fn rename(mut self, folder: &std::os::fd::OwnedFd, name: &str) -> rustix::io::Result<()> {
        rustix::fs::fsync(&self.file)?;
        rustix::fs::renameat(&self.tree.tmp, &self.name, folder, name)?;
        self.published = true;
        rustix::fs::fsync(folder)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.published {
            // Failing leaves a file that the next start removes.
            let _ = rustix::fs::unlinkat(&self.tree.tmp, &self.name, AtFlags::empty());
        }
    }
}

/// Removes what writers that died have left behind.
pub(super) fn sweep(tree: &Tree) -> Result<(), Error> {
    let mut removed = 0;
    let mut sweep = || {
        for entry in Dir::read_from(&tree.tmp)? {
            let entry = entry?;
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let Ok(file) = rustix::fs::openat(&tree.tmp, entry.file_name(), flags, Mode::empty()) else {
                continue;
            };
            if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
                && rustix::fs::unlinkat(&tree.tmp, entry.file_name(), AtFlags::empty()).is_ok()
            {
                removed += 1;
            }
        }
        Ok(())
    };
    sweep().map_err(|e: Errno| {
        Error::io(&tree.name, "clean", tree.path.join(".videorec/tmp").display(), &e.into())
    })?;
    if removed > 0 {
        tracing::info!(store = tree.name, removed, "removed temporary files of writers that died");
    }
    Ok(())
}

/// False when somebody else holds it.
fn lock(file: &File) -> bool {
    // Without locks on this file system nothing is ever swept either.
    rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) != Err(Errno::WOULDBLOCK)
}

fn fresh_name() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let pid = rustix::process::getpid().as_raw_nonzero();
    format!("{pid}-{}", LAST.fetch_add(1, Ordering::Relaxed))
}
