use bytes::Bytes;
use domain::{Digest, Hasher};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{CHUNK, Error, ErrorKind};

/// Hashes what passes. A large body is hashed on a thread of its own: a gigabyte takes most of a second, and the line need not wait
/// for it.
pub(crate) struct Hashing {
    place: Place,
    size: u64,
}

enum Place {
    Here(Box<Hasher>),
    Beside(mpsc::Sender<Bytes>, JoinHandle<Digest>),
}

/// Up to here a thread costs more than it saves.
const LITTLE: u64 = CHUNK as u64;
/// Chunks that wait to be hashed.
const WAITING: usize = 4;

impl Hashing {
    pub(crate) fn new() -> Self {
        Self { place: Place::Here(Box::default()), size: 0 }
    }

    /// Returns at once, or when some of what came before is done.
    pub(crate) async fn update(&mut self, chunk: &Bytes) {
        self.size += chunk.len() as u64;
        if self.size > LITTLE
            && let Place::Here(hasher) = &mut self.place
        {
            let hasher = std::mem::take(&mut **hasher);
            let (sender, receiver) = mpsc::channel(WAITING);
            self.place = Place::Beside(sender, tokio::task::spawn_blocking(move || hash(hasher, receiver)));
        }
        match &mut self.place {
            Place::Here(hasher) => hasher.update(chunk),
            // Refused only when the thread has ended, which `finish` tells.
            Place::Beside(sender, _) => drop(sender.send(chunk.clone()).await),
        }
    }

    /// Of all that has passed.
    pub(crate) async fn finish(self) -> Result<Digest, Error> {
        match self.place {
            Place::Here(hasher) => Ok(hasher.finish()),
            Place::Beside(sender, hashed) => {
                drop(sender);
                hashed
                    .await
                    .map_err(|e| Error::new(ErrorKind::Other, format!("hashing broke off: {e}; try again")))
            }
        }
    }
}

fn hash(mut hasher: Hasher, mut chunks: mpsc::Receiver<Bytes>) -> Digest {
    while let Some(chunk) = chunks.blocking_recv() {
        hasher.update(&chunk);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On both sides of where a thread takes over, in pieces of any size.
    #[tokio::test]
    async fn the_hash_is_that_of_all_bytes_in_order() {
        let whole = crate::contract::pattern(3 * CHUNK + 5);
        for size in [0, 1, CHUNK, CHUNK + 1, whole.len()] {
            let mut hashing = Hashing::new();
            for piece in whole[..size].chunks(300_000) {
                hashing.update(&Bytes::copy_from_slice(piece)).await;
            }
            assert_eq!(hashing.finish().await.unwrap(), crate::contract::digest(&whole[..size]), "{size}");
        }
    }
}
