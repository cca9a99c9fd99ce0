use std::pin::pin;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{Stream, TryStreamExt as _};

use crate::Error;

/// Where bytes are put that come from several places of an object at once: each where it belongs, and each once.
#[async_trait]
pub trait WriteAt: Send + Sync {
    /// `at`: bytes before these in the object.
    async fn write_at(&self, at: u64, bytes: Bytes) -> Result<(), Error>;
}

/// Puts what comes from an object's beginning to its end, and counts it. `refused` is what an error of `into` is to whom they come
/// from.
pub async fn write_in_order<E>(
    body: impl Stream<Item = Result<Bytes, E>> + Send,
    into: &dyn WriteAt,
    refused: impl Fn(Error) -> E + Send,
) -> Result<u64, E> {
    let mut body = pin!(body);
    let mut at = 0;
    let mut gathered = BytesMut::new();
    while let Some(chunk) = body.try_next().await? {
        // What is small is gathered: every chunk has whoever writes and whoever hashes wake up.
        if gathered.is_empty() && chunk.len() >= SMALL {
            let bytes = chunk.len() as u64;
            into.write_at(at, chunk).await.map_err(&refused)?;
            at += bytes;
            continue;
        }
        gathered.extend_from_slice(&chunk);
        if gathered.len() >= ENOUGH {
            at += put(&mut gathered, at, into).await.map_err(&refused)?;
        }
    }
    if !gathered.is_empty() {
        at += put(&mut gathered, at, into).await.map_err(&refused)?;
    }
    Ok(at)
}

/// Bytes that are not worth a write of their own.
const SMALL: usize = 64 << 10;
/// Bytes that are: few enough to be still in the processor's cache when they are hashed.
const ENOUGH: usize = 256 << 10;

async fn put(gathered: &mut BytesMut, at: u64, into: &dyn WriteAt) -> Result<u64, Error> {
    let bytes = gathered.len() as u64;
    into.write_at(at, gathered.split().freeze()).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Written(Mutex<Vec<(u64, Bytes)>>);

    #[async_trait]
    impl WriteAt for Written {
        async fn write_at(&self, at: u64, bytes: Bytes) -> Result<(), Error> {
            self.0.lock().unwrap().push((at, bytes));
            Ok(())
        }
    }

    /// None is lost where small and large ones take turns, and few writes are small.
    #[tokio::test]
    async fn chunks_of_any_size_are_put_one_behind_the_other() {
        let whole: Bytes =
            (0..2_000_003_u32).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        for sizes in [&[16 << 10][..], &[1, 70_000, 63_000, 1 << 20, 0, 5], &[2_000_003], &[64 << 10]] {
            let (mut rest, mut chunks) = (whole.clone(), Vec::new());
            for size in sizes.iter().cycle() {
                chunks.push(Ok(rest.split_to((*size).min(rest.len()))));
                if rest.is_empty() {
                    break;
                }
            }
            let into = Written::default();
            let came = write_in_order(futures::stream::iter(chunks), &into, |e: Error| e).await.unwrap();
            assert_eq!(came, whole.len() as u64);
            let written = into.0.into_inner().unwrap();
            let mut next = 0;
            for (at, bytes) in &written {
                assert_eq!(*at, next);
                next += bytes.len() as u64;
            }
            assert!(written.iter().flat_map(|(_, bytes)| bytes).eq(&whole));
            assert!(written[..written.len() - 1].iter().all(|(_, bytes)| bytes.len() >= SMALL), "{sizes:?}");
        }
    }
}
