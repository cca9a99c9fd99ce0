//! The embedded queue, and how often the relay has come round.

use std::time::Duration;

use async_trait::async_trait;
use queue::{Depth, Embedded, Error, Lane, Message, Queue, Receipt};
use tokio::sync::watch;

#[derive(Debug, Default)]
pub struct Turns {
    inner: Embedded,
    seen: watch::Sender<Seen>,
}

/// Counted from the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    pub turns: u64,
    pub sent: u64,
}

impl Turns {
    /// The relay has handed over what was ready.
    pub fn one_more(&self) {
        self.seen.send_modify(|seen| seen.turns += 1);
    }

    pub fn seen(&self) -> Seen {
        *self.seen.borrow()
    }

    pub fn follow(&self) -> watch::Receiver<Seen> {
        self.seen.subscribe()
    }

    /// Messages that somebody has or can have.
    pub async fn open(&self) -> u64 {
        let depth = self.inner.depth().await.expect("it is in memory");
        depth.iter().map(|d| d.visible + d.in_flight + d.delayed).sum()
    }
}

#[async_trait]
impl Queue for Turns {
    async fn send(&self, lane: Lane, body: String, delay: Duration) -> Result<(), Error> {
        self.seen.send_modify(|seen| seen.sent += 1);
        self.inner.send(lane, body, delay).await
    }
    async fn receive(&self, lanes: &[Lane], max: usize, wait: Duration) -> Result<Vec<Message>, Error> {
        self.inner.receive(lanes, max, wait).await
    }
    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<(), Error> {
        self.inner.extend(receipt, visibility).await
    }
    async fn ack(&self, receipt: &Receipt) -> Result<(), Error> {
        self.inner.ack(receipt).await
    }
    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), Error> {
        self.inner.release(receipt, delay).await
    }
    async fn depth(&self) -> Result<Vec<Depth>, Error> {
        self.inner.depth().await
    }
}
