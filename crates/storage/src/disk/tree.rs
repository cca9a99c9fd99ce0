use std::{
    collections::HashSet,
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use domain::Timestamp;
use rustix::{
    fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, Stat},
    io::Errno,
};

use crate::{Error, ErrorKind, Key, Meta, key::RESERVED};

/// The folder below which everything lies, walked by open folders and never by whole paths.
#[derive(Debug)]
pub(super) struct Tree {
    pub name: String,
    /// Absolute and without links.
    pub path: PathBuf,
    pub root: OwnedFd,
    pub tmp: OwnedFd,
    pub tags: OwnedFd,
    /// Folders whose names are known to be on the medium. Another thread may have made a folder and not yet synced
    /// it; relying on its name is safe only after a sync of our own.
    durable: Mutex<HashSet<String>>,
}

/// Enough for every folder in use; a forgotten one costs one more fsync.
const DURABLE_MAX: usize = 10_000;

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Tree {
    pub fn open(name: String, root: &Path) -> Result<Self, Error> {
        let fail = |what: &str, path: &Path, e: io::Error| Error::io(&name, what, path.display(), &e);
        std::fs::create_dir_all(root).map_err(|e| fail("make the folder", root, e))?;
        let path = root.canonicalize().map_err(|e| fail("find", root, e))?;
        let root = File::open(&path).map_err(|e| fail("open", &path, e))?.into();
        let own = path.join(RESERVED);
        let make = |at: BorrowedFd<'_>, folder: &str| {
            make_folder(at, folder).map_err(|e| fail("make the folder", &own, e.into()))
        };
        let own_folder = make(AsFd::as_fd(&root), RESERVED)?;
        let tmp = make(own_folder.as_fd(), "tmp")?;
        let tags = make(own_folder.as_fd(), "tags")?;
        Ok(Self { path, root, tmp, tags, durable: Mutex::default(), name })
    }

    /// An operating system's error about an object; a missing folder on the way is a missing object.
    pub fn error(&self, what: &str, key: &Key, error: Errno) -> Error {
        match error {
            Errno::NOENT => Error::not_found(&self.name, key),
            Errno::EXIST => Error::exists(&self.name, key),
            _ => Error::io(&self.name, what, key, &error.into()),
        }
    }

    /// The object's file, opened for reading, and what it is.
    pub fn open_file(&self, key: &Key) -> Result<(File, Meta), Error> {
        let open = || {
            let (folder, leaf) = self.folder_of(key)?;
            // NONBLOCK: opening a pipe that somebody put here must not wait for its writer.
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&folder, leaf, flags, Mode::empty())?;
            let stat = rustix::fs::fstat(&file)?;
            Ok((file, stat))
        };
        let (file, stat) = open().map_err(|e| self.error("open", key, e))?;
        Ok((File::from(file), self.meta(key, &stat)?))
    }

    pub fn head(&self, key: &Key) -> Result<Meta, Error> {
        let stat = || {
            let (folder, leaf) = self.folder_of(key)?;
            rustix::fs::statat(&folder, leaf, AtFlags::SYMLINK_NOFOLLOW)
        };
        self.meta(key, &stat().map_err(|e| self.error("look at", key, e))?)
    }

    pub fn meta(&self, key: &Key, stat: &Stat) -> Result<Meta, Error> {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(Meta {
                key: key.clone(),
                size: stat.st_size as u64,
                version: version(stat),
                modified: Timestamp(
                    stat.st_mtime.saturating_mul(1000) + stat.st_mtime_nsec as i64 / 1_000_000,
                ),
                class: None,
            }),
            FileType::Directory => Err(Error::not_found(&self.name, key)),
            FileType::Symlink => Err(self.error("open", key, Errno::LOOP)),
            _ => Err(Error::new(
                ErrorKind::Denied,
                format!("store `{}`: `{key}` is not a regular file; remove it", self.name),
            )),
        }
    }

    /// Gives the file `name` in `from` the object's name and makes that durable.
    pub fn publish(&self, from: &OwnedFd, name: &str, key: &Key, if_absent: bool) -> Result<(), Error> {
        let publish = || {
            let (folder, leaf) = self.make_folder_of(key)?;
            if if_absent {
                rename_if_absent(from, name, &folder, leaf)?;
            } else {
                // Deleting holds it too: between its look and its unlink no other version may slip in.
                let _lock = lock(&folder)?;
                rustix::fs::renameat(from, name, &folder, leaf)?;
            }
            rustix::fs::fsync(&folder)
        };
        publish().map_err(|e| match (e, self.head(key)) {
            // What is there is a folder, so no reader would find the object that "exists".
            (Errno::EXIST, Err(e)) if e.kind() == ErrorKind::NotFound => {
                self.error("write", key, Errno::ISDIR)
            }
            // The temporary file is gone, or a folder was removed by somebody else.
            (Errno::NOENT, _) => Error::io(&self.name, "write", key, &e.into()).temporary(true),
            _ => self.error("write", key, e),
        })
    }

    pub fn delete(&self, key: &Key, version: &str) -> Result<(), Error> {
        let fail = |e| self.error("delete", key, e);
        let (folder, leaf) = self.folder_of(key).map_err(fail)?;
        let lock = lock(&folder).map_err(fail)?;
        let stat = rustix::fs::statat(&folder, leaf, AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
        let found = self.meta(key, &stat)?.version;
        if found != version {
            return Err(Error::changed(&self.name, key, version, &found));
        }
        rustix::fs::unlinkat(&folder, leaf, AtFlags::empty()).map_err(fail)?;
        drop(lock);
        rustix::fs::fsync(&folder).map_err(fail)
    }

    /// Opens a folder by its path below the root; the empty one is the root.
    pub fn open_folder(&self, path: &str) -> rustix::io::Result<OwnedFd> {
        let mut folder = open_folder(self.root.as_fd(), ".")?;
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            folder = open_folder(folder.as_fd(), segment)?;
        }
        Ok(folder)
    }

    fn folder_of<'k>(&self, key: &'k Key) -> rustix::io::Result<(OwnedFd, &'k str)> {
        let (path, leaf) = split(key);
        match self.open_folder(path) {
            // Where `a` is a file there is no object `a/b`.
            Err(Errno::NOTDIR) => Err(Errno::NOENT),
            folder => Ok((folder?, leaf)),
        }
    }

    fn make_folder_of<'k>(&self, key: &'k Key) -> rustix::io::Result<(OwnedFd, &'k str)> {
        let (path, leaf) = split(key);
        let known = self.durable.lock().unwrap_or_else(PoisonError::into_inner).contains(path);
        if known {
            match self.open_folder(path) {
                Err(Errno::NOENT) => {}
                folder => return Ok((folder?, leaf)),
            }
        }
        let mut folder = open_folder(self.root.as_fd(), ".")?;
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            folder = make_folder(folder.as_fd(), segment)?;
        }
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if durable.len() >= DURABLE_MAX {
            durable.clear();
        }
        durable.insert(path.to_owned());
        Ok((folder, leaf))
    }
}

/// Size, time of modification and inode: a replaced file always has another inode than the file it replaces, also
/// when both were written within one tick of the clock.
pub(super) fn version(stat: &Stat) -> String {
    format!("{:x}-{:x}.{:x}-{:x}", stat.st_size, stat.st_mtime, stat.st_mtime_nsec, stat.st_ino)
}

fn split(key: &Key) -> (&str, &str) {
    key.as_str().rsplit_once('/').unwrap_or(("", key.as_str()))
}

pub(super) fn open_folder(at: BorrowedFd<'_>, name: &str) -> rustix::io::Result<OwnedFd> {
    match rustix::fs::openat(at, name, FOLDER, Mode::empty()) {
        // Linux calls a link here "not a directory"; say what it is.
        Err(Errno::NOTDIR) => {
            let stat = rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
            Err(if link { Errno::LOOP } else { Errno::NOTDIR })
        }
        opened => opened,
    }
}

/// Opens a folder, made if need be; its name is on the medium afterwards.
fn make_folder(at: BorrowedFd<'_>, name: &str) -> rustix::io::Result<OwnedFd> {
    let folder = match open_folder(at, name) {
        Err(Errno::NOENT) => {
            match rustix::fs::mkdirat(at, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(e) => return Err(e),
            }
            open_folder(at, name)?
        }
        opened => opened?,
    };
    rustix::fs::fsync(at)?;
    Ok(folder)
}

/// Excludes others that delete or overwrite in this folder, until dropped.
fn lock(folder: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    // A description of its own: a lock on a shared one would exclude nobody.
    let folder = open_folder(folder.as_fd(), ".")?;
    match rustix::fs::flock(&folder, FlockOperation::LockExclusive) {
        // A file system without locks has one process at a time or none to ask.
        Ok(()) | Err(Errno::NOTSUP | Errno::NOLCK | Errno::NOSYS) => Ok(folder),
        Err(e) => Err(e),
    }
}

fn rename_if_absent(from: &OwnedFd, name: &str, folder: &OwnedFd, leaf: &str) -> rustix::io::Result<()> {
    match rustix::fs::renameat_with(from, name, folder, leaf, RenameFlags::NOREPLACE) {
        // Some file systems cannot; a link never replaces either.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            rustix::fs::linkat(from, name, folder, leaf, AtFlags::empty())?;
            rustix::fs::unlinkat(from, name, AtFlags::empty())
        }
        renamed => renamed,
    }
}
