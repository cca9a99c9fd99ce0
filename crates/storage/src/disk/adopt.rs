use std::{fs::File, io::Read as _, path::Path, sync::Arc};

use domain::{Digest, Hasher};
use rustix::{
    fs::{FileType, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT},
    io::Errno,
};

use super::{
    temporary::Temporary,
    tree::{self, Tree},
};
use crate::{CHUNK, Error, ErrorKind, Key, Meta, Put, off_thread::off_thread};

/// Takes a file over without copying it. `None`: it has to be copied, because it lies on another file system, or
/// because somebody else could still change it afterwards (another owner, another name).
pub(super) async fn by_renaming(
    tree: &Arc<Tree>,
    key: &Key,
    path: &Path,
    options: Put,
) -> Result<Option<(Meta, Digest)>, Error> {
    let (this, file) = (tree.clone(), path.to_owned());
    let Some(mut found) = off_thread(move || find(&this, &file)).await? else { return Ok(None) };
    // In steps, so that a dropped future stops soon.
    while !found.read {
        found = off_thread(move || found.step()).await?;
    }
    let (tree, key) = (tree.clone(), key.clone());
    off_thread(move || found.take_over(&tree, &key, &options)).await
}

struct Found {
    store: String,
    path: std::path::PathBuf,
    file: File,
    version: String,
    hasher: Hasher,
    /// To its end.
    read: bool,
}

/// Bytes hashed in one step.
const STEP: usize = 16 * CHUNK;

fn find(tree: &Tree, path: &Path) -> Result<Option<Found>, Error> {
    let open = || {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        Ok((file, stat, rustix::fs::fstat(&tree.tmp)?.st_dev))
    };
    let (file, stat, device) =
        open().map_err(|e: Errno| Error::io(&tree.name, "adopt", path.display(), &e.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("store `{}` cannot adopt `{}`: it is not a regular file", tree.name, path.display()),
        ));
    }
    let ours = stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_nlink == 1;
    Ok((ours && stat.st_dev == device).then(|| Found {
        store: tree.name.clone(),
        path: path.to_owned(),
        file: file.into(),
        version: tree::version(&stat),
        hasher: Hasher::new(),
        read: false,
    }))
}

impl Found {
    fn step(mut self) -> Result<Self, Error> {
        let mut chunk = vec![0; CHUNK];
        for _ in 0..STEP / CHUNK {
            let n = self
                .file
                .read(&mut chunk)
                .map_err(|e| Error::io(&self.store, "read", self.path.display(), &e))?;
            self.hasher.update(&chunk[..n]);
            if n == 0 {
                self.read = true;
                break;
            }
        }
        Ok(self)
    }

    fn take_over(self, tree: &Arc<Tree>, key: &Key, options: &Put) -> Result<Option<(Meta, Digest)>, Error> {
        let fail = |e: Errno| Error::io(&tree.name, "adopt", self.path.display(), &e.into());
        let digest = self.hasher.finish();
        crate::store::check_expected(&tree.name, key, options, &digest)?;
        let inode = rustix::fs::fstat(&self.file).map_err(fail)?;
        if tree::version(&inode) != self.version {
            return Err(Error::new(
                ErrorKind::Changed,
                format!(
                    "`{}` was written to while it was adopted; try again when it is finished",
                    self.path.display()
                ),
            )
            .temporary(true));
        }
        let temporary = match Temporary::link(tree, self.file) {
            // Another mount of the same file system, no links there, or no /proc.
            Err(Errno::XDEV | Errno::PERM | Errno::NOTSUP | Errno::NOENT | Errno::MLINK) => return Ok(None),
            temporary => temporary.map_err(fail)?,
        };
        // The store got it now, whatever date the file brought along.
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let keep = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        rustix::fs::futimens(&temporary.file, &Timestamps { last_access: keep, last_modification: now })
            .map_err(fail)?;
        let meta = temporary.publish(key, options)?;
        // Only now, and only if it is still that file.
        match rustix::fs::lstat(&self.path) {
            Ok(stat) if stat.st_ino == inode.st_ino && stat.st_dev == inode.st_dev => {
                std::fs::remove_file(&self.path)
                    .map_err(|e| Error::io(&tree.name, "remove the adopted file", self.path.display(), &e))?;
            }
            _ => {}
        }
        Ok(Some((meta, digest)))
    }
}
