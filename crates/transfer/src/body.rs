use bytes::{Bytes, BytesMut};
use domain::Digest;
use futures::TryStreamExt as _;
use storage::WriteAt;

use crate::{Body, Error, ErrorKind, hashing::Hashing};

/// Bytes in one chunk of a body at most.
pub const CHUNK: usize = 1 << 20;

/// A whole body that fits into memory: for manifests and tests.
pub async fn collect(mut body: Body) -> Result<Bytes, Error> {
    let mut all = BytesMut::new();
    while let Some(chunk) = body.try_next().await? {
        all.extend_from_slice(&chunk);
    }
    Ok(all.freeze())
}

/// What a body's bytes are; it is read to its end.
pub async fn digest_of(mut body: Body) -> Result<Digest, Error> {
    let mut hashing = Hashing::new();
    while let Some(chunk) = body.try_next().await? {
        hashing.update(&chunk).await;
    }
    hashing.finish().await
}

/// Puts a body's bytes where they belong, one after the other, and counts them.
pub(crate) async fn in_order(body: Body, into: &dyn WriteAt) -> Result<u64, Error> {
    storage::write_in_order(body, into, |e| Error::new(ErrorKind::Other, e.to_string())).await
}

/// A range as the bytes it names of a file of that size.
pub(crate) fn clamp(range: Option<std::ops::Range<u64>>, size: u64) -> (u64, u64) {
    let range = range.unwrap_or(0..size);
    let start = range.start.min(size);
    (start, range.end.clamp(start, size))
}
