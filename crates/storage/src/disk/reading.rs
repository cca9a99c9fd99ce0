use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;

use super::tree::{self, Tree};
use crate::{Body, CHUNK, Error, ErrorKind, Key, off_thread::off_thread};

/// An object that is being read, and its next chunk.
pub(super) struct Reading {
    tree: Arc<Tree>,
    key: Key,
    file: File,
    version: String,
    left: u64,
}

/// Opens and reads the first chunk: a small object takes one hop to a blocking thread.
pub(super) fn open(
    tree: &Arc<Tree>,
    key: &Key,
    version: Option<String>,
    range: Option<Range<u64>>,
) -> Result<(Bytes, Reading), Error> {
    let (mut file, meta) = tree.open_file(key)?;
    if let Some(wanted) = version
        && wanted != meta.version
    {
        return Err(Error::changed(&tree.name, key, &wanted, &meta.version));
    }
    let (start, end) = crate::stream::clamp(range, meta.size);
    file.seek(SeekFrom::Start(start)).map_err(|e| Error::io(&tree.name, "read", key, &e))?;
    Reading { tree: tree.clone(), key: key.clone(), file, version: meta.version, left: end - start }.next()
}

pub(super) fn body((first, reading): (Bytes, Reading)) -> Result<Body, Error> {
    let rest = futures::stream::try_unfold(reading, |reading| async {
        if reading.left == 0 {
            return Ok(None);
        }
        off_thread(move || reading.next()).await.map(Some)
    });
    if first.is_empty() {
        return Ok(Box::pin(futures::stream::empty()));
    }
    use futures::StreamExt as _;
    Ok(Box::pin(futures::stream::iter([Ok(first)]).chain(rest)))
}

impl Reading {
    fn next(mut self) -> Result<(Bytes, Self), Error> {
        let wanted = self.left.min(CHUNK as u64);
        let mut chunk = Vec::with_capacity(wanted as usize);
        let read = (&self.file)
            .take(wanted)
            .read_to_end(&mut chunk)
            .map_err(|e| Error::io(&self.tree.name, "read", &self.key, &e))? as u64;
        self.left -= read;
        if read < wanted || (self.left == 0 && !self.is_unchanged()?) {
            return Err(Error::new(
                ErrorKind::Changed,
                format!(
                    "object `{}` in store `{}` was written to while it was read; read it again when its writer \
                     is done",
                    self.key, self.tree.name
                ),
            )
            .temporary(true));
        }
        Ok((chunk.into(), self))
    }

    /// We only ever replace files as a whole, but others may write to a file in place.
    fn is_unchanged(&self) -> Result<bool, Error> {
        let stat = rustix::fs::fstat(&self.file).map_err(|e| self.tree.error("read", &self.key, e))?;
        Ok(tree::version(&stat) == self.version)
    }
}
