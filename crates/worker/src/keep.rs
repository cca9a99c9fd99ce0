//! Keeps a received message invisible to others for as long as its work takes.

use std::{sync::Arc, time::Duration};

use queue::{ErrorKind, Queue, Receipt};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::Library;

/// How long a message stays invisible after each sign of life, for a lease of that length: longer, so that a message
/// that comes again finds its job free.
pub fn visibility(lease: Duration) -> Duration {
    2 * lease
}

/// Extends until dropped. `lost` fires when another worker may get the message.
pub(crate) struct Keep {
    pub lost: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Keep {
    pub(crate) fn start(library: &Library, receipt: Receipt) -> Self {
        let lost = CancellationToken::new();
        let task =
            tokio::spawn(keep(library.queue.clone(), receipt, visibility(library.lease), lost.clone()));
        Self { lost, task }
    }
}

impl Drop for Keep {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A third of the visibility, so that two extensions may fail before it ends.
async fn keep(queue: Arc<dyn Queue>, receipt: Receipt, visibility: Duration, lost: CancellationToken) {
    let mut until = tokio::time::Instant::now() + visibility;
    loop {
        tokio::time::sleep(visibility / 3).await;
        let asked = tokio::time::Instant::now();
        match queue.extend(&receipt, visibility).await {
            Ok(()) => until = asked + visibility,
            Err(e) if e.kind() == ErrorKind::Lost => {
                warn!(error = %e, "the message is no longer ours; dropping the work");
                return lost.cancel();
            }
            Err(e) if tokio::time::Instant::now() < until => {
                warn!(error = %e, "the message's visibility is not extended; trying again");
            }
            Err(e) => {
                warn!(error = %e, "the message's visibility ran out; dropping the work");
                return lost.cancel();
            }
        }
    }
}
