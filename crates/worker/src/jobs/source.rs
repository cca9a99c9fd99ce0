use std::path::{Path, PathBuf};

use domain::{Failure, Recording};
use futures::StreamExt as _;
use tokio::io::AsyncWriteExt as _;

use crate::{
    Library,
    library::{storage_failure, stored_key},
};

/// A local file with the recording's bytes: the store's own where it has plain files, else streamed into `work`.
pub(crate) async fn local(library: &Library, recording: &Recording, work: &Path) -> Result<PathBuf, Failure> {
    let store = library.stores.get(&recording.store)?;
    let key = stored_key(&recording.key)?;
    let meta = store.head(&key).await.map_err(|e| storage_failure(&e))?;
    if meta.size != recording.digest.size {
        return Err(Failure::permanent(format!(
            "{key} in store `{}` has {} bytes, but {} were accepted; put the file back from a copy, then `videorec retry`",
            recording.store, meta.size, recording.digest.size
        )));
    }
    if let Some(path) = store.local_path(&key) {
        return Ok(path);
    }
    let path = work.join(format!("source-{}", recording.id.short()));
    let disk = |e: std::io::Error| Failure::temporary(format!("cannot write {}: {e}", path.display()));
    let mut body = store.get(&key, None, None).await.map_err(|e| storage_failure(&e))?;
    let mut file = tokio::fs::File::create(&path).await.map_err(disk)?;
    while let Some(chunk) = body.next().await {
        file.write_all(&chunk.map_err(|e| storage_failure(&e))?).await.map_err(disk)?;
    }
    file.flush().await.map_err(disk)?;
    Ok(path)
}
