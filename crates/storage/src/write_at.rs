use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt as _;

use crate::{Body, Error};

/// Where bytes are put that come from several places of an object at once: each where it belongs, and each once.
#[async_trait]
pub trait WriteAt: Send + Sync {
    /// `at`: bytes before these in the object.
    async fn write_at(&self, at: u64, bytes: Bytes) -> Result<(), Error>;
}

/// What [`Store::download`](crate::Store::download) does where an object comes from its beginning to its end.
pub(crate) async fn in_order(mut body: Body, into: &dyn WriteAt) -> Result<u64, Error> {
    let mut at = 0;
    while let Some(chunk) = body.try_next().await? {
        let bytes = chunk.len() as u64;
        into.write_at(at, chunk).await?;
        at += bytes;
    }
    Ok(at)
}
