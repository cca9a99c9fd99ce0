use std::path::{Path, PathBuf};

use domain::{Failure, Recording};

use crate::{
    Library,
    fetched::Held,
    library::{pinned, storage_failure, stored_key},
};

/// A recording's bytes as a local file, for as long as it is held.
#[derive(Debug)]
pub(crate) enum Source {
    /// The store's own file.
    There(PathBuf),
    Fetched(Held),
}

impl Source {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::There(path) => path,
            Self::Fetched(held) => held.path(),
        }
    }
}

/// The store's own file where it has plain ones, else fetched to the scratch disk.
pub(crate) async fn local(library: &Library, recording: &Recording) -> Result<Source, Failure> {
    let store = library.stores.get(&recording.store)?;
    let key = stored_key(&recording.key)?;
    let (source, size) = match store.local_path(&key) {
        Some(path) => {
            let meta = store.head(&key).await.map_err(|e| storage_failure(&e))?;
            (Source::There(path), meta.size)
        }
        None => {
            let held =
                library.fetched.get(store, &key, pinned(recording)).await.map_err(|e| storage_failure(&e))?;
            let size = held.digest().size;
            (Source::Fetched(held), size)
        }
    };
    if size == recording.digest.size {
        return Ok(source);
    }
    Err(Failure::permanent(format!(
        "{key} in store `{}` has {size} bytes, but {} were accepted; put the file back from a copy, then `videorec retry`",
        recording.store, recording.digest.size
    )))
}
