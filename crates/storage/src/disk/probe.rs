use std::{
    io::{Read as _, Write as _},
    sync::Arc,
};

use rustix::fs::{Access, AtFlags, Mode, OFlags};

use super::{temporary::Temporary, tree::Tree};
use crate::{Error, ErrorKind, Health};

/// Writes, syncs, renames, reads and removes a small file.
pub(super) fn probe(tree: &Arc<Tree>) -> Result<Health, Error> {
    let try_all = || {
        rustix::fs::accessat(&tree.root, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?;
        let mut temporary = Temporary::create(tree)?;
        temporary.file.write_all(&PATTERN)?;
        let name = format!("probe-{}", rustix::fs::fstat(&temporary.file)?.st_ino);
        // Keeps the lock, so that a starting process does not take the probe for a leftover.
        let lock = temporary.file.try_clone()?;
        temporary.rename(&tree.tmp, &name)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&tree.tmp, &name, flags, Mode::empty());
        // Removed first: also a probe that fails leaves nothing.
        rustix::fs::unlinkat(&tree.tmp, &name, AtFlags::empty())?;
        let mut read = Vec::new();
        std::fs::File::from(opened?).read_to_end(&mut read)?;
        drop(lock);
        Ok(read)
    };
    let read = try_all()
        .map_err(|e: std::io::Error| Error::io(&tree.name, "write a probe to", tree.path.display(), &e))?;
    if read != PATTERN {
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!(
                "store `{}`: a probe in `{}` reads back differently; check the disk",
                tree.name,
                tree.path.display()
            ),
        ));
    }
    let room = rustix::fs::fstatvfs(&tree.root)
        .map_err(|e| Error::io(&tree.name, "look at the room of", tree.path.display(), &e.into()))?;
    Ok(Health {
        free: Some(room.f_bavail.saturating_mul(room.f_frsize)),
        capacity: Some(room.f_blocks.saturating_mul(room.f_frsize)),
    })
}

const PATTERN: [u8; 4096] = [0xA5; 4096];
