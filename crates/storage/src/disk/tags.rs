use std::{
    io::{Read as _, Write as _},
    sync::Arc,
};

use domain::Hasher;
use rustix::{
    fs::{AtFlags, Mode, OFlags},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use super::{temporary::Temporary, tree::Tree};
use crate::{Error, Key, Tags};

/// A file in `.videorec/tags`, named by the key's hash so that every key has one whatever its length and slashes.
#[derive(Serialize, Deserialize)]
struct Tagged {
    /// For a person who looks into the folder.
    key: String,
    /// Tags are the version's: those of an overwritten one no longer count.
    version: String,
    tags: Tags,
}

pub(super) fn read(tree: &Tree, key: &Key) -> Result<Tags, Error> {
    let meta = tree.head(key)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(&tree.tags, file_name(key), flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(Tags::new()),
        file => std::fs::File::from(file.map_err(|e| tree.error("read the tags of", key, e))?),
    };
    let fail = |e: std::io::Error| Error::io(&tree.name, "read the tags of", key, &e);
    let mut text = Vec::new();
    file.take(1 << 20).read_to_end(&mut text).map_err(fail)?;
    let tagged: Tagged = serde_json::from_slice(&text).map_err(|e| fail(e.into()))?;
    Ok(if tagged.version == meta.version { tagged.tags } else { Tags::new() })
}

pub(super) fn write(tree: &Arc<Tree>, key: &Key, tags: Tags) -> Result<(), Error> {
    let tagged = Tagged { key: key.to_string(), version: tree.head(key)?.version, tags };
    let text = serde_json::to_vec(&tagged).expect("tags are plain data");
    let write = || {
        let mut temporary = Temporary::create(tree)?;
        temporary.file.write_all(&text)?;
        Ok(temporary.rename(&tree.tags, &file_name(key))?)
    };
    write().map_err(|e: std::io::Error| Error::io(&tree.name, "write the tags of", key, &e))
}

/// Left behind they would be ignored, since no other version matches; removing only saves room.
pub(super) fn forget(tree: &Tree, key: &Key) {
    let _ = rustix::fs::unlinkat(&tree.tags, file_name(key), AtFlags::empty());
}

fn file_name(key: &Key) -> String {
    let mut hasher = Hasher::new();
    hasher.update(key.as_str().as_bytes());
    format!("{}.json", hasher.finish().sha256)
}
