use std::{
    collections::BTreeSet,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, Dir, FileType},
    io::Errno,
};

use super::tree::{Tree, open_folder};
use crate::{Error, Key, Meta, key};

/// One page in the order of the keys' bytes. Holds at most [`BATCH`] names of each folder on the way, however many
/// there are; a larger folder is read once a batch.
pub(super) fn page(tree: &Tree, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Meta>, Error> {
    // Straight to the deepest folder that the prefix names.
    let base = &prefix[..prefix.rfind('/').map_or(0, |slash| slash + 1)];
    let named = base.split_terminator('/').all(is_name) && base.split('/').next() != Some(key::RESERVED);
    let mut page = Page { tree, prefix, after: after.map_or("", Key::as_str), limit, found: Vec::new() };
    if limit == 0 || !named {
        return Ok(page.found);
    }
    match tree.open_folder(base) {
        Ok(folder) => page.walk(&folder, base)?,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
        Err(e) => return Err(page.error(base, e)),
    }
    Ok(page.found)
}

/// Names held at once for each level; few in tests, so that they see more than one batch.
const BATCH: usize = if cfg!(test) { 3 } else { 4096 };

struct Page<'a> {
    tree: &'a Tree,
    prefix: &'a str,
    /// Empty: from the beginning. No key is empty.
    after: &'a str,
    limit: usize,
    found: Vec<Meta>,
}

impl Page<'_> {
    /// `path` is empty or ends with a slash.
    fn walk(&mut self, folder: &OwnedFd, path: &str) -> Result<(), Error> {
        let mut last = String::new();
        loop {
            let names = self.names(folder, path, &last).map_err(|e| self.error(path, e))?;
            let Some(end) = names.last().cloned() else { return Ok(()) };
            let complete = names.len() < BATCH;
            for name in names {
                let full = format!("{path}{name}");
                match name.strip_suffix('/') {
                    Some(inner) => match open_folder(folder.as_fd(), inner) {
                        Ok(inner) => self.walk(&inner, &full)?,
                        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                        // Not skipped: whoever compares two listings would take the rest for deleted.
                        Err(e) => return Err(self.error(&full, e)),
                    },
                    None => self.file(folder, &name, &full)?,
                }
                if self.found.len() >= self.limit {
                    return Ok(());
                }
            }
            if complete {
                return Ok(());
            }
            last = end;
        }
    }

    fn file(&mut self, folder: &OwnedFd, name: &str, full: &str) -> Result<(), Error> {
        let Ok(key) = Key::parse(full) else { return Ok(()) };
        match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
                self.found.push(self.tree.meta(&key, &stat)?);
            }
            Ok(_) | Err(Errno::NOENT) => {}
            Err(e) => return Err(self.error(full, e)),
        }
        Ok(())
    }

    /// The first names behind `last` that matter; a folder's with its slash, because `a-b` comes before `a/c`.
    fn names(&self, folder: &OwnedFd, path: &str, last: &str) -> rustix::io::Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().ok().filter(|name| is_name(name)) else { continue };
            if path.is_empty() && name == key::RESERVED {
                continue;
            }
            let mut kind = entry.file_type();
            if kind == FileType::Unknown {
                let Ok(stat) = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
                kind = FileType::from_raw_mode(stat.st_mode);
            }
            let (name, matters) = match kind {
                FileType::RegularFile => {
                    let full = format!("{path}{name}");
                    (name.to_owned(), full.starts_with(self.prefix) && full.as_str() > self.after)
                }
                FileType::Directory => {
                    let full = format!("{path}{name}/");
                    let inside = full.starts_with(self.prefix) || self.prefix.starts_with(&full);
                    (
                        format!("{name}/"),
                        inside && (full.as_str() > self.after || self.after.starts_with(&full)),
                    )
                }
                _ => continue,
            };
            if matters && name.as_str() > last {
                names.insert(name);
                if names.len() > BATCH {
                    names.pop_last();
                }
            }
        }
        Ok(names)
    }

    fn error(&self, path: &str, e: Errno) -> Error {
        Error::io(&self.tree.name, "list", self.tree.path.join(path).display(), &e.into())
    }
}

fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.bytes().all(key::allowed)
}
