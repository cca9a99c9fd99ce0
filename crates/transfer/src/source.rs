use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use storage::{Key, Store};
use tokio::sync::mpsc;

use crate::{Body, CHUNK, Error, ErrorKind};

/// What is to be sent. It must not change: every call gives the same bytes.
#[async_trait]
pub trait Source: Send + Sync {
    /// Bytes.
    fn size(&self) -> u64;

    /// From a place to the end, in chunks of at most [`CHUNK`]. Errors: `Source`.
    async fn read_from(&self, offset: u64) -> Result<Body, Error>;

    /// The object that it is, for destinations that can have it copied without its bytes passing through us.
    fn stored(&self) -> Option<&Stored> {
        None
    }

    /// What is counted or paced here, as it is without that: for destinations that send from a copy of their own. `None`: it is
    /// nothing but itself.
    fn beneath(&self) -> Option<&dyn Source> {
        None
    }

    /// For those who count and pace, where [`Source::read_from`] is not what goes over the line: so many bytes do, the first of
    /// them about at that place. Returns when they may.
    async fn passing(&self, at: u64, bytes: usize) {
        let _ = (at, bytes);
    }
}

/// A source without those who count and pace it.
#[cfg(any(feature = "rsync", feature = "s3"))]
pub(crate) fn bare(source: &dyn Source) -> &dyn Source {
    let mut source = source;
    while let Some(beneath) = source.beneath() {
        source = beneath;
    }
    source
}

/// Bytes at hand: manifests and the like.
#[async_trait]
impl Source for Bytes {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    async fn read_from(&self, offset: u64) -> Result<Body, Error> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let rest = self.slice(start..);
        let chunks =
            (0..rest.len()).step_by(CHUNK).map(move |at| Ok(rest.slice(at..rest.len().min(at + CHUNK))));
        Ok(futures::stream::iter(chunks.collect::<Vec<_>>()).boxed())
    }
}

/// A local file, that nobody writes to any more.
#[derive(Debug, Clone)]
pub struct FileSource {
    path: PathBuf,
    size: u64,
}

impl FileSource {
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let size = tokio::fs::metadata(&path).await.map_err(|e| unreadable(&path, &e))?.len();
        Ok(Self { path, size })
    }
}

#[async_trait]
impl Source for FileSource {
    fn size(&self) -> u64 {
        self.size
    }

    async fn read_from(&self, offset: u64) -> Result<Body, Error> {
        let path = self.path.clone();
        let opening = tokio::task::spawn_blocking(move || {
            let open = || {
                let mut file = File::open(&path)?;
                file.seek(SeekFrom::Start(offset))?;
                Ok(file)
            };
            open().map_err(|e| unreadable(&path, &e)).map(|file| (file, path))
        });
        let broke_off = |e| Error::new(ErrorKind::Source, format!("what is to be sent was not opened: {e}"));
        let (file, path) = opening.await.map_err(broke_off)??;
        // A thread reads on, so that the disk and the line work at the same time.
        let (sender, receiver) = mpsc::channel(AHEAD);
        tokio::task::spawn_blocking(move || read_on(file, &path, &sender));
        let chunks = futures::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|chunk| (chunk, receiver))
        });
        Ok(chunks.boxed())
    }
}

/// Bytes that are read at once: they are still in the processor's cache when they are hashed and sent.
const PIECE: usize = 256 << 10;
/// Pieces between the disk and the line.
const AHEAD: usize = 4;

/// To the file's end, or until nobody takes any more.
fn read_on(mut file: File, path: &Path, to: &mpsc::Sender<Result<Bytes, Error>>) {
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let read = (&mut file).take(PIECE as u64).read_to_end(&mut piece);
        let next = match read {
            Ok(0) => return,
            Ok(_) => Ok(Bytes::from(piece)),
            Err(e) => Err(unreadable(path, &e)),
        };
        let ends = next.is_err();
        if to.blocking_send(next).is_err() || ends {
            return;
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    let path = path.display().to_string();
    Error::new(
        ErrorKind::Source,
        format!("cannot read `{}`, which is to be sent: {error}", crate::inert(&path)),
    )
}

/// One version of an object in a store.
#[derive(Debug, Clone)]
pub struct Stored {
    pub store: Arc<dyn Store>,
    pub key: Key,
    /// Pinned: without it, whatever is current when it is read.
    pub version: Option<String>,
    /// Bytes.
    pub size: u64,
}

#[async_trait]
impl Source for Stored {
    fn size(&self) -> u64 {
        self.size
    }

    async fn read_from(&self, offset: u64) -> Result<Body, Error> {
        let range = (offset > 0).then_some(offset..u64::MAX);
        let body =
            self.store.get(&self.key, self.version.as_deref(), range).await.map_err(|e| Error::source(&e))?;
        Ok(body.map_err(|e| Error::source(&e)).boxed())
    }

    fn stored(&self) -> Option<&Stored> {
        Some(self)
    }
}
