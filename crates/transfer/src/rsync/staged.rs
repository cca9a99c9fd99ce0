use std::{
    io::SeekFrom,
    path::{Path, PathBuf},
};

use futures::TryStreamExt as _;
use tempfile::TempPath;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

use crate::{Error, ErrorKind, Source, Stored, source::bare};

/// What is to be sent, as a file on this machine: rsync reads no streams.
pub(super) struct Staged {
    file: File,
    /// Bytes of the whole up to which it is there.
    pub end: u64,
    /// Why it ends before its end.
    pub broken: Option<Error>,
}

enum File {
    /// In a folder that is the library's.
    Theirs(PathBuf),
    /// A copy, which goes with this.
    Ours(TempPath),
}

impl Staged {
    /// From a place on; what is before it need not be there. Without those who count and pace: what is copied here is not on its
    /// way yet.
    pub(super) async fn of(source: &dyn Source, from: u64, scratch: &Path) -> Result<Self, Error> {
        let source = bare(source);
        if let Some(stored) = source.stored()
            && let Some(path) = at_hand(stored).await
        {
            return Ok(Self { file: File::Theirs(path), end: source.size(), broken: None });
        }
        let here = |e: &std::io::Error| {
            let scratch = scratch.display().to_string();
            let message = format!(
                "cannot keep what is to be sent by rsync in `{}`: {e}; see that there is room for it",
                crate::inert(&scratch)
            );
            Error::new(ErrorKind::Source, message).temporary(true)
        };
        let made = tempfile::Builder::new().prefix("rsync-").tempfile_in(scratch).map_err(|e| here(&e))?;
        let (file, path) = made.into_parts();
        let mut file = tokio::fs::File::from_std(file);
        file.set_max_buf_size(crate::CHUNK);
        file.seek(SeekFrom::Start(from)).await.map_err(|e| here(&e))?;
        let (mut end, mut broken) = (from, None);
        let mut body = source.read_from(from).await?;
        loop {
            match body.try_next().await {
                Ok(Some(chunk)) => {
                    file.write_all(&chunk).await.map_err(|e| here(&e))?;
                    end += chunk.len() as u64;
                }
                Ok(None) => break,
                Err(e) => {
                    broken = Some(e);
                    break;
                }
            }
        }
        file.flush().await.map_err(|e| here(&e))?;
        Ok(Self { file: File::Ours(path), end, broken })
    }

    pub(super) fn path(&self) -> &Path {
        match &self.file {
            File::Theirs(path) => path,
            File::Ours(path) => path,
        }
    }
}

/// The file that a stored object is, while it is the version that is meant.
async fn at_hand(stored: &Stored) -> Option<PathBuf> {
    let path = stored.store.local_path(&stored.key)?;
    let now = stored.store.head(&stored.key).await.ok()?;
    let is_it = stored.version.as_ref().is_none_or(|version| *version == now.version);
    (is_it && now.size == stored.size).then_some(path)
}
