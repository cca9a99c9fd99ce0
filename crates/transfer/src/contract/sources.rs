//! Sources that break, wait or lie.

use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::oneshot;

use crate::{Body, Error, ErrorKind, Source};

/// Ends in an error after so many bytes.
pub struct Broken {
    bytes: Bytes,
    after: u64,
    kind: ErrorKind,
}

impl Broken {
    pub fn new(bytes: Bytes, after: u64, kind: ErrorKind) -> Self {
        Self { bytes, after, kind }
    }
}

#[async_trait]
impl Source for Broken {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    async fn read_from(&self, offset: u64) -> Result<Body, Error> {
        let whole = self.bytes.slice(..self.after as usize).read_from(offset).await?;
        let error = Error::new(self.kind, "the source was told to break");
        Ok(whole.chain(futures::stream::once(async { Err(error) })).boxed())
    }
}

/// Gives so many bytes fewer than it says.
pub struct Short(pub Bytes, pub usize);

#[async_trait]
impl Source for Short {
    fn size(&self) -> u64 {
        self.0.size()
    }

    async fn read_from(&self, offset: u64) -> Result<Body, Error> {
        self.0.slice(..self.0.len() - self.1).read_from(offset).await
    }
}

/// Waits after so many bytes until it is told to go on; once.
pub struct Held {
    bytes: Bytes,
    after: usize,
    ends: Mutex<Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>>,
}

pub struct Gate {
    reached: Option<oneshot::Receiver<()>>,
    open: Option<oneshot::Sender<()>>,
}

impl Held {
    pub fn new(bytes: Bytes, after: usize) -> (Self, Gate) {
        let (at, reached) = oneshot::channel();
        let (open, opened) = oneshot::channel();
        let gate = Gate { reached: Some(reached), open: Some(open) };
        (Self { bytes, after, ends: Mutex::new(Some((at, opened))) }, gate)
    }
}

impl Gate {
    /// Until the bytes before the gate were taken.
    pub async fn reached(&mut self) {
        self.reached.take().expect("once").await.expect("the source is still there");
    }

    pub fn open(&mut self) {
        let _ = self.open.take().expect("once").send(());
    }
}

#[async_trait]
impl Source for Held {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    async fn read_from(&self, offset: u64) -> Result<Body, Error> {
        let Some((at, opened)) = self.ends.lock().expect("not poisoned").take() else {
            return self.bytes.read_from(offset).await;
        };
        let before = self.bytes.slice(..self.after).read_from(offset).await?;
        let after = self.bytes.read_from(offset.max(self.after as u64)).await?;
        let wait = futures::stream::once(async move {
            let _ = at.send(());
            let _ = opened.await;
            Ok(Bytes::new())
        });
        Ok(before.chain(wait).chain(after).boxed())
    }
}
