use std::path::{Path, PathBuf};

use domain::{Failure, Recording};
use futures::StreamExt as _;
use tokio::io::AsyncWriteExt as _;

use crate::{
    Library,
    library::{pinned, storage_failure, stored_key},
};

/// A local file with the recording's bytes: the store's own where it has plain files, else streamed into `work`.
pub(crate) async fn local(library: &Library, recording: &Recording, work: &Path) -> Result<PathBuf, Failure> {
    let store = library.stores.get(&recording.store)?;
    let key = stored_key(&recording.key)?;
    if let Some(path) = store.local_path(&key) {
        let meta = store.head(&key).await.map_err(|e| storage_failure(&e))?;
        return if meta.size == recording.digest.size {
            Ok(path)
        } else {
            Err(other_size(recording, meta.size))
        };
    }
    let path = work.join(format!("source-{}", recording.id.short()));
    let disk = |e: std::io::Error| Failure::temporary(format!("cannot write {}: {e}", path.display()));
    let mut body = store.get(&key, pinned(recording), None).await.map_err(|e| storage_failure(&e))?;
    let mut file = tokio::fs::File::create(&path).await.map_err(disk)?;
    let mut size = 0;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|e| storage_failure(&e))?;
        size += chunk.len() as u64;
        file.write_all(&chunk).await.map_err(disk)?;
    }
    file.flush().await.map_err(disk)?;
    if size == recording.digest.size { Ok(path) } else { Err(other_size(recording, size)) }
}

fn other_size(recording: &Recording, found: u64) -> Failure {
    Failure::permanent(format!(
        "{} in store `{}` has {found} bytes, but {} were accepted; put the file back from a copy, then `videorec retry`",
        recording.key, recording.store, recording.digest.size
    ))
}
