use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom, Write as _},
    os::{fd::OwnedFd, unix::fs::FileExt as _},
    path::PathBuf,
};

use bytes::Bytes;
use domain::Timestamp;
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps},
    io::Errno,
};

use super::Presence;
use crate::{Error, ErrorKind, Health, Meta, Name, inert, names::Rules, partial};

/// The folder, in blocking calls.
#[derive(Debug, Clone)]
pub(super) struct Root {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) presence: Presence,
    pub(super) names: Rules,
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Root {
    /// Opened anew every time: a handle that is kept would go on writing below a mount that came over it.
    pub(super) fn dir(&self) -> Result<OwnedFd, Error> {
        let away = |why: String| {
            let path = self.path.display().to_string();
            let path = inert(&path);
            Error::new(
                ErrorKind::Unavailable,
                format!("destination `{}`: the folder `{path}` is not what it should be: {why}", self.name),
            )
        };
        let root = match rustix::fs::open(&self.path, FOLDER, Mode::empty()) {
            Err(Errno::NOENT) => return Err(away("it does not exist; make it, or mount it".into())),
            root => root.map_err(|e| self.failed("open", self.path.display(), e))?,
        };
        match &self.presence {
            Presence::Exists => {}
            Presence::Marker(file) => {
                match rustix::fs::statat(&root, file.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => {
                        return Err(away(format!(
                            "the file `{}` that marks it is missing; mount the share, or make that file on it when this is the \
                         share",
                            inert(file)
                        )));
                    }
                    found => _ = found.map_err(|e| self.failed("look at", inert(file), e))?,
                }
            }
            Presence::MountPoint => {
                let device = |found: rustix::io::Result<rustix::fs::Stat>| {
                    found.map(|s| s.st_dev).map_err(|e| self.failed("look at", self.path.display(), e))
                };
                let own = device(rustix::fs::fstat(&root))?;
                if own == device(rustix::fs::statat(&root, "..", AtFlags::empty()))? {
                    return Err(away("nothing is mounted there; mount the share".into()));
                }
            }
        }
        Ok(root)
    }

    pub(super) fn folder(&self, folder: Option<&Name>) -> Result<OwnedFd, Error> {
        let mut at = self.dir()?;
        for segment in folder.iter().flat_map(|f| f.segments()) {
            at = rustix::fs::openat(&at, segment, FOLDER | OFlags::NOFOLLOW, Mode::empty())
                .map_err(|e| self.failed("open the folder", inert(segment), e))?;
        }
        Ok(at)
    }

    pub(super) fn mkdirs(&self, folder: &Name) -> Result<(), Error> {
        let mut at = self.dir()?;
        for segment in folder.segments() {
            match rustix::fs::mkdirat(&at, segment, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(e) => return Err(self.failed("make the folder", folder, e)),
            }
            at = rustix::fs::openat(&at, segment, FOLDER | OFlags::NOFOLLOW, Mode::empty())
                .map_err(|e| self.failed("open the folder", folder, e))?;
        }
        Ok(())
    }

    pub(super) fn stat(&self, name: &Name) -> Result<Option<Meta>, Error> {
        let folder = match self.folder(name.folder().as_ref()) {
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => return Ok(None),
            folder => folder?,
        };
        match rustix::fs::statat(&folder, name.file(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(meta(name.clone(), &stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(self.failed("look at", name, e)),
        }
    }

    pub(super) fn open(&self, name: &Name) -> Result<(File, u64), Error> {
        let not_found = || Error::not_found(&self.name, name);
        let folder = match self.folder(name.folder().as_ref()) {
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => return Err(not_found()),
            folder => folder?,
        };
        // A pipe of that name would hold us for ever.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(&folder, name.file(), flags, Mode::empty()) {
            Err(Errno::NOENT) => return Err(not_found()),
            file => file.map_err(|e| self.failed("open", name, e))?,
        };
        let stat = rustix::fs::fstat(&file).map_err(|e| self.failed("look at", name, e))?;
        let meta = meta(name.clone(), &stat).ok_or_else(not_found)?;
        Ok((file.into(), meta.size))
    }

    /// Opens a partial file to be written from there on; it has no bytes behind.
    pub(super) fn open_partial(&self, name: &Name, from: u64) -> Result<File, Error> {
        let folder = self.folder(name.folder().as_ref())?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&folder, name.file(), flags, Mode::from_raw_mode(0o666))
            .map_err(|e| self.failed("write", name, e))?;
        let mut file = File::from(file);
        let placed = file.set_len(from).and_then(|()| file.seek(SeekFrom::Start(from)));
        placed.map_err(|e| Error::io(&self.name, "write", name, &e))?;
        Ok(file)
    }

    pub(super) fn write(&self, mut file: File, bytes: &[u8], name: &Name) -> Result<File, Error> {
        file.write_all(bytes).map_err(|e| Error::io(&self.name, "write", name, &e))?;
        Ok(file)
    }

    pub(super) fn sync(&self, file: &File, name: &Name) -> Result<(), Error> {
        file.sync_all().map_err(|e| Error::io(&self.name, "write", name, &e))?;
        // Advice: some file systems know none, and then what is read back may come from memory.
        let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
        Ok(())
    }

    pub(super) fn set_time(&self, name: &Name, modified: Timestamp) -> Result<(), Error> {
        let folder = self.folder(name.folder().as_ref())?;
        let millis = modified.as_millis();
        let time = Timespec { tv_sec: millis.div_euclid(1000), tv_nsec: millis.rem_euclid(1000) * 1_000_000 };
        let times = Timestamps { last_access: time, last_modification: time };
        match rustix::fs::utimensat(&folder, name.file(), &times, AtFlags::SYMLINK_NOFOLLOW) {
            // The share belongs to somebody else; a time is worth no export.
            Ok(()) | Err(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(e) => Err(self.failed("set the time of", name, e)),
        }
    }

    pub(super) fn remove(&self, name: &Name) -> Result<(), Error> {
        let folder = match self.folder(name.folder().as_ref()) {
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => return Ok(()),
            folder => folder?,
        };
        match rustix::fs::unlinkat(&folder, name.file(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(self.failed("remove", name, e)),
        }
    }

    pub(super) fn rename(&self, from: &Name, to: &Name, replace: bool) -> Result<(), Error> {
        let old = self.folder(from.folder().as_ref())?;
        let new = match self.folder(to.folder().as_ref()) {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                to.folder().map_or(Ok(()), |folder| self.mkdirs(&folder))?;
                self.folder(to.folder().as_ref())?
            }
            new => new?,
        };
        let renamed = if replace {
            rustix::fs::renameat(&old, from.file(), &new, to.file())
        } else {
            rename_to_new(&old, from.file(), &new, to.file())
        };
        match renamed {
            Err(Errno::EXIST) if !replace => return Err(Error::exists(&self.name, to)),
            // A folder, which no file takes the place of.
            Err(Errno::ISDIR) => return Err(Error::exists(&self.name, to)),
            Err(Errno::NOENT) => return Err(Error::not_found(&self.name, from)),
            renamed => renamed.map_err(|e| self.failed("give its name to", to, e))?,
        }
        // Some network file systems cannot; theirs is the word of the server.
        match rustix::fs::fsync(&new) {
            Ok(()) | Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::BADF) => Ok(()),
            Err(e) => Err(self.failed("make durable the folder of", to, e)),
        }
    }

    pub(super) fn probe(&self) -> Result<Health, Error> {
        let root = self.dir()?;
        // Two processes probe at once, perhaps on two machines.
        let token = format!("probe {} {:?}", std::process::id(), std::thread::current().id());
        let name = Name::reserved(None, partial::of(&Name::reserved(None, "probe"), &token).file());
        let wrote = self.open_partial(&name, 0).and_then(|file| {
            let file = self.write(file, &[0xA5; 4096], &name)?;
            self.sync(&file, &name)
        });
        let removed = self.remove(&name);
        wrote.and(removed)?;
        let room = rustix::fs::fstatvfs(&root)
            .map_err(|e| self.failed("look at the room of", self.path.display(), e))?;
        Ok(Health {
            free: Some(room.f_bavail.saturating_mul(room.f_frsize)),
            capacity: Some(room.f_blocks.saturating_mul(room.f_frsize)),
        })
    }

    /// Calls `each` with every file in a folder and below it, until it answers `false`.
    pub(super) fn walk(
        &self,
        folder: Option<&Name>,
        each: &mut impl FnMut(&OwnedFd, Option<&Name>, &str) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let at = match self.folder(folder) {
            Err(e) if folder.is_some() && matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => {
                return Ok(true);
            }
            at => at?,
        };
        let failed = |e| match folder {
            Some(folder) => self.failed("list", folder, e),
            None => self.failed("list", self.path.display(), e),
        };
        let mut folders = Vec::new();
        for entry in Dir::read_from(&at).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(file) = entry.file_name().to_str() else { continue };
            if file == "." || file == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                // Some file systems do not say.
                FileType::Unknown => match rustix::fs::statat(&at, file, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(Errno::NOENT) => continue,
                    Err(e) => return Err(failed(e)),
                },
                kind => kind,
            };
            match kind {
                FileType::Directory => folders.extend(Name::join(folder, file)),
                FileType::RegularFile if !each(&at, folder, file)? => return Ok(false),
                _ => {}
            }
        }
        drop(at);
        for folder in folders {
            if !self.walk(Some(&folder), each)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn failed(&self, what: &str, whom: impl std::fmt::Display, error: Errno) -> Error {
        let whom = whom.to_string();
        Error::io(&self.name, what, inert(&whom), &error.into())
    }
}

pub(super) fn meta(name: Name, stat: &rustix::fs::Stat) -> Option<Meta> {
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let modified = Timestamp(stat.st_mtime * 1000 + stat.st_mtime_nsec as i64 / 1_000_000);
    is_file.then(|| Meta { name, size: stat.st_size.unsigned_abs(), modified: Some(modified), hash: None })
}

/// A rename that fails with `EXIST` when the name is taken, in one step where the file system has one.
fn rename_to_new(old: &OwnedFd, from: &str, new: &OwnedFd, to: &str) -> rustix::io::Result<()> {
    match rustix::fs::renameat_with(old, from, new, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        renamed => return renamed,
    }
    // NFS has links, which refuse as well; FAT and most of SMB have neither.
    match rustix::fs::linkat(old, from, new, to, AtFlags::empty()) {
        Ok(()) => return rustix::fs::unlinkat(old, from, AtFlags::empty()),
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {}
        Err(e) => return Err(e),
    }
    match rustix::fs::statat(new, to, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => rustix::fs::renameat(old, from, new, to),
        Err(e) => Err(e),
    }
}

pub(super) fn read_at(file: &File, at: u64, length: usize) -> io::Result<Bytes> {
    let mut chunk = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut chunk[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    chunk.truncate(filled);
    Ok(chunk.into())
}
