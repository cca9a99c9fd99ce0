use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use storage::{Key, Store};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

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
        let open = async || {
            let mut file = tokio::fs::File::open(&path).await?;
            file.set_max_buf_size(CHUNK);
            file.seek(std::io::SeekFrom::Start(offset)).await?;
            Ok(file)
        };
        let file = open().await.map_err(|e| unreadable(&path, &e))?;
        let chunks = futures::stream::try_unfold(file, move |mut file| {
            let path = path.clone();
            async move {
                let mut chunk = Vec::with_capacity(CHUNK);
                let read = (&mut file).take(CHUNK as u64).read_to_end(&mut chunk).await;
                let n = read.map_err(|e| unreadable(&path, &e))?;
                Ok((n > 0).then(|| (Bytes::from(chunk), file)))
            }
        });
        Ok(chunks.boxed())
    }
}

fn unreadable(path: &std::path::Path, error: &std::io::Error) -> Error {
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
