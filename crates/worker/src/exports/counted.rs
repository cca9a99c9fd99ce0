use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _};
use transfer::{Body, Error, Source, Stored};

/// A source that tells how many of its bytes are on their way, as they go.
pub(crate) struct Counted<'a> {
    source: &'a dyn Source,
    tell: Arc<dyn Fn(u64) + Send + Sync>,
    sent: Arc<AtomicU64>,
}

impl<'a> Counted<'a> {
    pub(crate) fn new(source: &'a dyn Source, tell: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self { source, tell: Arc::new(tell), sent: Arc::new(AtomicU64::new(u64::MAX)) }
    }
}

#[async_trait]
impl Source for Counted<'_> {
    fn size(&self) -> u64 {
        self.source.size()
    }

    async fn read_from(&self, offset: u64) -> Result<Body, Error> {
        // What is skipped at first lies there from an earlier attempt. Several lanes read the rest in turns.
        let _ = self.sent.compare_exchange(u64::MAX, offset, Ordering::Relaxed, Ordering::Relaxed);
        let (sent, tell, size) = (self.sent.clone(), self.tell.clone(), self.size());
        let body = self.source.read_from(offset).await?;
        let counted = body.inspect_ok(move |chunk| {
            let before = sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            tell((before + chunk.len() as u64).min(size));
        });
        Ok(counted.boxed())
    }

    /// What a service copies by itself does not pass by here.
    fn stored(&self) -> Option<&Stored> {
        self.source.stored()
    }

    fn beneath(&self) -> Option<&dyn Source> {
        Some(self.source)
    }

    async fn passing(&self, at: u64, bytes: usize) {
        let _ = self.sent.compare_exchange(u64::MAX, at, Ordering::Relaxed, Ordering::Relaxed);
        let before = self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        (self.tell)((before + bytes as u64).min(self.size()));
        self.source.passing(at, bytes).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;

    use super::*;

    #[tokio::test]
    async fn what_is_resumed_counts_as_sent() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let bytes = Bytes::from(vec![7; 3 << 20]);
        let counted = Counted::new(&bytes, {
            let told = told.clone();
            move |sent| told.lock().unwrap().push(sent)
        });
        let rest = transfer::digest_of(counted.read_from(1 << 20).await.unwrap()).await.unwrap();
        assert_eq!(rest.size, 2 << 20);
        assert_eq!(*told.lock().unwrap(), [2 << 20, 3 << 20]);
    }
}
