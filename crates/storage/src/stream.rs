use std::path::Path;

use bytes::Bytes;
use domain::Digest;
use futures::{Stream, StreamExt as _, TryStreamExt as _};

use crate::{Body, CHUNK, Error, Key, Meta, Put, Store, Upload};

/// Writes a stream as one object; an error of the stream aborts the upload.
pub async fn put_stream<S>(
    store: &dyn Store,
    key: &Key,
    stream: S,
    options: Put,
) -> Result<(Meta, Digest), Error>
where
    S: Stream<Item = Result<Bytes, Error>> + Send,
{
    pump(store.create(key, options).await?, stream).await
}

/// Writes bytes at hand as one object.
pub async fn put_bytes(
    store: &dyn Store,
    key: &Key,
    bytes: impl Into<Bytes>,
    options: Put,
) -> Result<(Meta, Digest), Error> {
    let mut upload = store.create(key, options).await?;
    upload.write(bytes.into()).await?;
    upload.commit().await
}

/// A whole object of at most `limit` bytes: manifests and the like. Errors: `Invalid` when it is larger.
pub async fn read_all(store: &dyn Store, key: &Key, limit: u64) -> Result<Bytes, Error> {
    let mut body = store.get(key, None, None).await?;
    let mut all = Vec::new();
    while let Some(chunk) = body.try_next().await? {
        if all.len() as u64 + chunk.len() as u64 > limit {
            return Err(Error::new(
                crate::ErrorKind::Invalid,
                format!(
                    "object `{key}` in store `{}` is larger than the {limit} bytes allowed here",
                    store.name()
                ),
            ));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all.into())
}

/// What [`Store::adopt`] does where a file cannot simply change its name.
pub(crate) async fn adopt_by_streaming<S: Store + ?Sized>(
    store: &S,
    key: &Key,
    file: &Path,
    options: Put,
) -> Result<(Meta, Digest), Error> {
    let stored = pump(store.create(key, options).await?, read_file(store.name(), file).await?).await?;
    // Only now: until the commit has answered, this file is the only copy.
    tokio::fs::remove_file(file)
        .await
        .map_err(|e| Error::io(store.name(), "remove the adopted file", file.display(), &e))?;
    Ok(stored)
}

pub(crate) async fn pump<S>(mut upload: Box<dyn Upload>, stream: S) -> Result<(Meta, Digest), Error>
where
    S: Stream<Item = Result<Bytes, Error>> + Send,
{
    let mut stream = std::pin::pin!(stream);
    while let Some(chunk) = stream.next().await {
        upload.write(chunk?).await?;
    }
    upload.commit().await
}

async fn read_file(store: &str, path: &Path) -> Result<Body, Error> {
    use tokio::io::AsyncReadExt as _;
    let store = store.to_owned();
    let shown = path.display().to_string();
    let mut file = tokio::fs::File::open(path).await.map_err(|e| Error::io(&store, "open", &shown, &e))?;
    file.set_max_buf_size(CHUNK);
    let steps = futures::stream::try_unfold(file, move |mut file| {
        let (store, shown) = (store.clone(), shown.clone());
        async move {
            let mut chunk = Vec::with_capacity(CHUNK);
            let n = (&mut file)
                .take(CHUNK as u64)
                .read_to_end(&mut chunk)
                .await
                .map_err(|e| Error::io(&store, "read", &shown, &e))?;
            Ok((n > 0).then(|| (Bytes::from(chunk), file)))
        }
    });
    Ok(Box::pin(steps))
}

/// A range as the bytes it names of an object of that size.
pub(crate) fn clamp(range: Option<std::ops::Range<u64>>, size: u64) -> (u64, u64) {
    let range = range.unwrap_or(0..size);
    let start = range.start.min(size);
    (start, range.end.clamp(start, size))
}
