use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use domain::{Digest, Hasher};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    Error, ErrorKind, WriteAt,
    off_thread::{joined, off_thread},
};

mod writing;

/// A new local file that bytes come into in whatever order, and are hashed in theirs.
///
/// One thread writes and another one hashes, so that the line waits for neither. There is no file any more unless
/// [`Landing::settle`] gives its digest. Whoever keeps it makes it durable.
pub struct Landing {
    path: PathBuf,
    place: Mutex<Place>,
}

enum Place {
    /// In memory, in their order: most files are that small, and threads cost them more than they save.
    Memory(Vec<Bytes>, u64),
    File(mpsc::Sender<(u64, Bytes)>, JoinHandle<io::Result<(Made, Digest)>>),
}

/// Bytes that are kept in memory at most.
const LITTLE: u64 = 1 << 20;
/// Chunks that wait to be written.
const WAITING: usize = 4;

impl Landing {
    /// The file must not be there yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), place: Mutex::new(Place::Memory(Vec::new(), 0)) }
    }

    /// What has landed. `came`: how many bytes that has to be, or why not all of them came. The outer error is this disk's.
    pub async fn settle<E>(self, came: Result<u64, E>) -> io::Result<Result<Digest, E>> {
        let (made, digest) = match self.place.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Place::Memory(chunks, _) => match &came {
                Ok(_) => off_thread(move || at_once(self.path, &chunks)).await?,
                // Not worth a file that goes again.
                Err(_) => return Ok(came.map(|_| unreachable!("an error"))),
            },
            Place::File(chunks, writing) => {
                drop(chunks);
                joined(writing).await?
            }
        };
        match came {
            Err(e) => Ok(Err(e)),
            Ok(bytes) if bytes != digest.size => Err(io::Error::other(GAP)),
            Ok(_) => {
                made.keep();
                Ok(Ok(digest))
            }
        }
    }
}

/// Nobody's fault but ours.
const GAP: &str = "not all of its bytes were put there";

#[async_trait]
impl WriteAt for Landing {
    async fn write_at(&self, at: u64, bytes: Bytes) -> Result<(), Error> {
        let chunks = {
            let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
            if let Place::Memory(chunks, held) = &mut *place {
                if at == *held && at + bytes.len() as u64 <= LITTLE {
                    *held += bytes.len() as u64;
                    chunks.push(bytes);
                    return Ok(());
                }
                let (path, first) = (self.path.clone(), std::mem::take(chunks));
                let (sender, receiver) = mpsc::channel(WAITING);
                let writing = tokio::task::spawn_blocking(move || writing::write(path, first, receiver));
                *place = Place::File(sender, writing);
            }
            match &*place {
                Place::File(chunks, _) => chunks.clone(),
                Place::Memory(..) => unreachable!("it is in a file by now"),
            }
        };
        // Whoever takes no more has an error to tell, which `settle` does.
        chunks.send((at, bytes)).await.map_err(|_| {
            let message = format!("cannot write `{}`: the disk refused; look at it", self.path.display());
            Error::new(ErrorKind::Other, message)
        })
    }
}

/// A file that we made, and that goes again unless it is kept.
struct Made(Option<PathBuf>);

impl Made {
    fn new(path: PathBuf) -> io::Result<(Self, File)> {
        // It is read again where bytes came out of order.
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        Ok((Self(Some(path)), file))
    }

    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

fn at_once(path: PathBuf, chunks: &[Bytes]) -> io::Result<(Made, Digest)> {
    let (made, mut file) = Made::new(path)?;
    let mut hasher = Hasher::new();
    for chunk in chunks {
        file.write_all(chunk)?;
        hasher.update(chunk);
    }
    Ok((made, hasher.finish()))
}

#[cfg(test)]
mod tests;
