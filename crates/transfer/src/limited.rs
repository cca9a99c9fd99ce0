use std::{
    fmt,
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use domain::Timestamp;
use futures::{StreamExt as _, TryStreamExt as _};
use storage::WriteAt;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    Body, Checksum, Destination, Error, Health, Limits, Listing, Meta, Name, Put, Sent, Source, Stored, body,
};

/// A destination that is not asked for more than it was agreed: so many transfers at once, so many bytes a second together.
///
/// Who waits, waits here and not in the server: a slow partner holds up its own transfers only, as long as whoever starts them
/// has not taken room for each.
#[derive(Debug)]
pub struct Limited<D> {
    inner: D,
    transfers: Arc<Semaphore>,
    pace: Option<Arc<Pace>>,
}

/// Bytes a second, of all who share it.
pub struct Pace {
    bytes_per_second: AtomicU64,
    /// When the next byte may go.
    free_at: Mutex<Option<Instant>>,
}

impl<D: Destination> Limited<D> {
    /// `transfers` at once, puts and gets together; the least is one.
    pub fn new(inner: D, transfers: usize, pace: Option<Arc<Pace>>) -> Self {
        Self { inner, transfers: Arc::new(Semaphore::new(transfers.max(1))), pace }
    }

    pub fn inner(&self) -> &D {
        &self.inner
    }

    async fn permit(&self) -> OwnedSemaphorePermit {
        let permit = self.transfers.clone().acquire_owned().await;
        permit.unwrap_or_else(|_| unreachable!("nobody closes it"))
    }
}

impl Pace {
    pub fn new(bytes_per_second: u64) -> Self {
        let pace = Self { bytes_per_second: AtomicU64::new(0), free_at: Mutex::new(None) };
        pace.set(bytes_per_second);
        pace
    }

    /// Also for what is under way. The least is one kilobyte a second: a transfer that stands still is broken off by the other side.
    pub fn set(&self, bytes_per_second: u64) {
        self.bytes_per_second.store(bytes_per_second.max(1000), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        self.bytes_per_second.load(Ordering::Relaxed)
    }

    /// Returns when so many bytes may go.
    async fn take(&self, bytes: usize) {
        let at = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let at = free_at.map_or(now, |free| free.max(now));
            *free_at = Some(at + Duration::from_secs_f64(bytes as f64 / self.now() as f64));
            at
        };
        tokio::time::sleep_until(at).await;
    }

    /// In pieces of about a tenth of a second, so that nobody sees a line that is silent for long.
    fn apply(self: Arc<Self>, body: Body) -> Body {
        let pace = self.clone();
        let pieces = body.map_ok(move |chunk: Bytes| {
            let piece = usize::try_from(pace.now() / 10).unwrap_or(usize::MAX).max(1);
            let cuts: Vec<_> = (0..chunk.len()).step_by(piece).collect();
            futures::stream::iter(
                cuts.into_iter().map(move |at| Ok(chunk.slice(at..chunk.len().min(at + piece)))),
            )
        });
        let paced = pieces.try_flatten().and_then(move |piece| {
            let pace = self.clone();
            async move {
                pace.take(piece.len()).await;
                Ok(piece)
            }
        });
        paced.boxed()
    }
}

/// Copies share it with transfers.
#[async_trait]
impl storage::Pace for Pace {
    async fn take(&self, bytes: usize) {
        Self::take(self, bytes).await;
    }
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes a second", self.now())
    }
}

struct Paced<'a> {
    source: &'a dyn Source,
    pace: Arc<Pace>,
}

#[async_trait]
impl Source for Paced<'_> {
    fn size(&self) -> u64 {
        self.source.size()
    }

    async fn read_from(&self, offset: u64) -> Result<Body, Error> {
        Ok(self.pace.clone().apply(self.source.read_from(offset).await?))
    }

    /// What a service copies by itself is not on our line.
    fn stored(&self) -> Option<&Stored> {
        self.source.stored()
    }

    fn beneath(&self) -> Option<&dyn Source> {
        Some(self.source)
    }

    async fn passing(&self, at: u64, bytes: usize) {
        self.pace.take(bytes).await;
        self.source.passing(at, bytes).await;
    }
}

#[async_trait]
impl<D: Destination> Destination for Limited<D> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    async fn stat(&self, name: &Name) -> Result<Option<Meta>, Error> {
        self.inner.stat(name).await
    }

    async fn put(&self, name: &Name, source: &dyn Source, put: &Put) -> Result<Sent, Error> {
        let _permit = self.permit().await;
        match &self.pace {
            Some(pace) => self.inner.put(name, &Paced { source, pace: pace.clone() }, put).await,
            None => self.inner.put(name, source, put).await,
        }
    }

    async fn get(&self, name: &Name, range: Option<Range<u64>>) -> Result<Body, Error> {
        let permit = self.permit().await;
        let body = self.inner.get(name, range).await?;
        let body = match &self.pace {
            Some(pace) => pace.clone().apply(body),
            None => body,
        };
        // Until the last byte is read, or nobody reads any more.
        let held = body.map(move |chunk| {
            let _ = &permit;
            chunk
        });
        Ok(held.boxed())
    }

    async fn download(&self, name: &Name, into: &dyn WriteAt) -> Result<u64, Error> {
        // At an agreed pace several stretches at once would only stand still longer, each until its server cuts it.
        if self.pace.is_some() {
            return body::in_order(self.get(name, None).await?, into).await;
        }
        let _permit = self.permit().await;
        self.inner.download(name, into).await
    }

    fn list<'a>(&'a self, folder: Option<&Name>) -> Listing<'a> {
        self.inner.list(folder)
    }

    async fn remove(&self, name: &Name) -> Result<(), Error> {
        self.inner.remove(name).await
    }

    async fn mkdirs(&self, folder: &Name) -> Result<(), Error> {
        self.inner.mkdirs(folder).await
    }

    async fn rename(&self, from: &Name, to: &Name, replace: bool) -> Result<(), Error> {
        self.inner.rename(from, to, replace).await
    }

    async fn hash(&self, name: &Name) -> Result<Option<Checksum>, Error> {
        self.inner.hash(name).await
    }

    async fn sweep(&self, folder: Option<&Name>, before: Timestamp) -> Result<u64, Error> {
        self.inner.sweep(folder, before).await
    }

    async fn check(&self) -> Result<Health, Error> {
        self.inner.check().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Folder, Presence, Verify, collect, digest_of};

    fn put(bytes: &Bytes) -> Put {
        let mut hasher = domain::Hasher::new();
        hasher.update(bytes);
        Put { expected: hasher.finish(), verify: Verify::Size, replace: false, modified: None, absent: None }
    }

    fn folder(dir: &tempfile::TempDir) -> Folder {
        Folder::new("partner", dir.path(), Presence::Exists)
    }

    /// 200 kB at 100 kB a second, from two who share them: two seconds, and nothing is lost.
    #[tokio::test]
    async fn all_transfers_together_keep_to_the_pace() {
        let dir = tempfile::tempdir().unwrap();
        let limited = Limited::new(folder(&dir), 4, Some(Arc::new(Pace::new(100_000))));
        let bytes = Bytes::from(vec![7; 100_000]);
        let names = [Name::parse("a").unwrap(), Name::parse("b").unwrap()];
        let start = Instant::now();
        let put = put(&bytes);
        let (a, b) = tokio::join!(limited.put(&names[0], &bytes, &put), limited.put(&names[1], &bytes, &put));
        let took = start.elapsed();
        assert!((Duration::from_millis(1700)..Duration::from_secs(4)).contains(&took), "{took:?}");
        assert_eq!((a.unwrap().bytes, b.unwrap().bytes), (100_000, 100_000));
        assert!(collect(folder(&dir).get(&names[1], None).await.unwrap()).await.unwrap() == bytes);
    }

    /// What was agreed is shared out anew while a transfer is under way: half of it at 50 kB a second, the rest ten times as fast.
    #[tokio::test]
    async fn a_pace_that_is_set_anew_holds_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let pace = Arc::new(Pace::new(50_000));
        let limited = Limited::new(folder(&dir), 4, Some(pace.clone()));
        let bytes = Bytes::from(vec![7; 200_000]);
        let (name, put, source) = (Name::parse("a").unwrap(), put(&bytes), Chunked(bytes));
        let start = Instant::now();
        let faster = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            pace.set(500_000);
        };
        let (sent, ()) = tokio::join!(limited.put(&name, &source, &put), faster);
        let took = start.elapsed();
        assert_eq!(sent.unwrap().bytes, 200_000);
        assert!((Duration::from_millis(1200)..Duration::from_millis(2800)).contains(&took), "{took:?}");
    }

    /// As a file is read: in pieces.
    struct Chunked(Bytes);

    #[async_trait]
    impl Source for Chunked {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }
        async fn read_from(&self, offset: u64) -> Result<Body, Error> {
            let rest = self.0.slice(usize::try_from(offset).unwrap()..);
            let pieces: Vec<_> = (0..rest.len()).step_by(5_000).collect();
            let pieces = pieces.into_iter().map(move |at| Ok(rest.slice(at..rest.len().min(at + 5_000))));
            Ok(futures::stream::iter(pieces).boxed())
        }
    }

    #[tokio::test]
    async fn a_get_counts_until_it_is_read_or_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let limited = Limited::new(folder(&dir), 1, None);
        let (name, bytes) = (Name::parse("a").unwrap(), Bytes::from_static(b"hello"));
        limited.put(&name, &bytes, &put(&bytes)).await.unwrap();
        let first = limited.get(&name, None).await.unwrap();
        let second = tokio::time::timeout(Duration::from_millis(100), limited.get(&name, None)).await;
        assert!(second.is_err(), "two at once, where one was agreed");
        drop(first);
        assert_eq!(digest_of(limited.get(&name, None).await.unwrap()).await.unwrap().size, 5);
    }

    /// As a get does, in whichever way the bytes come: 100 kB at 100 kB a second, by the one transfer that was agreed.
    #[tokio::test]
    async fn a_download_counts_and_keeps_to_the_pace() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = Bytes::from(vec![7; 100_000]);
        let name = Name::parse("a").unwrap();
        folder(&dir).put(&name, &bytes, &put(&bytes)).await.unwrap();
        for pace in [None, Some(Arc::new(Pace::new(100_000)))] {
            let limited = Limited::new(folder(&dir), 1, pace.clone());
            let landing = storage::Landing::new(&dir.path().join("here"));
            let start = Instant::now();
            let came = limited.download(&name, &landing).await;
            assert!(pace.is_none() || start.elapsed() > Duration::from_millis(700), "{:?}", start.elapsed());
            assert_eq!(landing.settle(came).await.unwrap().unwrap(), put(&bytes).expected);
            std::fs::remove_file(dir.path().join("here")).unwrap();
            let held = limited.get(&name, None).await.unwrap();
            let landing = storage::Landing::new(&dir.path().join("no"));
            let second =
                tokio::time::timeout(Duration::from_millis(100), limited.download(&name, &landing)).await;
            assert!(second.is_err(), "two at once, where one was agreed");
            drop(held);
        }
    }
}
