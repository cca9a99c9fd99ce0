//! Protection from scale-in: taken before the first message is received, given back when there is nothing left to do.

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use queue::{Lane, Queue};
use tokio::{sync::Mutex, time::Instant};
use tracing::{debug, warn};

/// Whoever may end this process when it looks idle (ECS), told not to.
#[async_trait]
pub trait Protection: Send + Sync + Debug {
    async fn set(&self, on: bool) -> anyhow::Result<()>;
}

/// How often an unprotected worker looks whether there is anything to receive.
const PEEK: Duration = Duration::from_secs(2);
/// Protection ends by itself (ECS: after what was asked for, here three hours); long work asks again in time.
const RENEW: Duration = Duration::from_secs(60 * 60);

/// All lanes pass it before they receive. Without a protection to take it is always open.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Option<Arc<Guarded>>);

#[derive(Debug)]
struct Guarded {
    protection: Arc<dyn Protection>,
    since: Mutex<Option<Instant>>,
    /// Messages in hand, over all lanes.
    busy: AtomicUsize,
}

/// Counts as work in hand until dropped.
#[derive(Debug)]
pub(crate) struct Busy(Option<Arc<Guarded>>);

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(guarded) = &self.0 {
            guarded.busy.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Gate {
    pub(crate) fn new(protection: Option<Arc<dyn Protection>>) -> Self {
        Self(protection.map(|protection| {
            Arc::new(Guarded { protection, since: Mutex::new(None), busy: AtomicUsize::new(0) })
        }))
    }

    /// Waits until there is something to receive, and is protected then.
    pub(crate) async fn enter(&self, queue: &dyn Queue) {
        let Some(guarded) = &self.0 else { return };
        while guarded.since.lock().await.is_none() {
            match queue.depth().await {
                Ok(depth) if depth.iter().any(|lane| lane.visible > 0) => {
                    guarded.set(true).await;
                    return;
                }
                Ok(_) => {}
                Err(e) => warn!(error = %e, "cannot see whether there is work; trying again"),
            }
            tokio::time::sleep(PEEK).await;
        }
        guarded.renew().await;
    }

    pub(crate) fn busy(&self) -> Busy {
        if let Some(guarded) = &self.0 {
            guarded.busy.fetch_add(1, Ordering::SeqCst);
        }
        Busy(self.0.clone())
    }

    /// A poll brought nothing. With nothing in hand either, this worker may go.
    pub(crate) async fn empty(&self, lane: Lane) {
        let Some(guarded) = &self.0 else { return };
        if guarded.busy.load(Ordering::SeqCst) == 0 {
            debug!(lane = lane.as_str(), "idle");
            guarded.set(false).await;
        }
    }
}

impl Guarded {
    /// Only a change is told. A failure is not fatal: the work goes on, and the next change tries again.
    async fn set(&self, on: bool) {
        let mut since = self.since.lock().await;
        if since.is_some() == on {
            return;
        }
        if let Err(e) = self.protection.set(on).await {
            warn!(error = format!("{e:#}"), on, "scale-in protection is not set; going on without");
        }
        *since = on.then(Instant::now);
    }

    async fn renew(&self) {
        let mut since = self.since.lock().await;
        if since.is_some_and(|s| s.elapsed() > RENEW) {
            match self.protection.set(true).await {
                Ok(()) => *since = Some(Instant::now()),
                Err(e) => warn!(error = format!("{e:#}"), "scale-in protection is not renewed; trying again"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug, Default)]
    struct Told(Mutex<Vec<bool>>);

    #[async_trait]
    impl Protection for Told {
        async fn set(&self, on: bool) -> anyhow::Result<()> {
            self.0.lock().unwrap().push(on);
            // The first time it fails: that must not keep anybody from working.
            anyhow::ensure!(self.0.lock().unwrap().len() > 1, "the agent does not answer");
            Ok(())
        }
    }

    /// Taken before receiving, set on idle<->busy only, failure not fatal.
    #[tokio::test(start_paused = true)]
    async fn protection_is_taken_before_receiving_and_told_of_changes_only() {
        let told = Arc::new(Told::default());
        let gate = Gate::new(Some(told.clone()));
        let queue = Arc::new(queue::Embedded::default());
        let waiting = tokio::spawn({
            let (gate, queue) = (gate.clone(), queue.clone());
            async move { gate.enter(&*queue).await }
        });
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(!waiting.is_finished() && told.0.lock().unwrap().is_empty(), "idle: nothing to protect");
        queue.send(Lane::Bulk, "job".into(), Duration::ZERO).await.unwrap();
        waiting.await.unwrap();
        assert_eq!(*told.0.lock().unwrap(), [true]);
        let first = gate.busy();
        gate.enter(&*queue).await;
        gate.empty(Lane::Events).await;
        assert_eq!(*told.0.lock().unwrap(), [true], "still busy");
        drop(first);
        gate.empty(Lane::Bulk).await;
        gate.empty(Lane::Events).await;
        assert_eq!(*told.0.lock().unwrap(), [true, false]);
        gate.enter(&*queue).await;
        assert_eq!(*told.0.lock().unwrap(), [true, false, true]);
        tokio::time::sleep(RENEW * 2).await;
        gate.enter(&*queue).await;
        gate.enter(&*queue).await;
        assert_eq!(*told.0.lock().unwrap(), [true, false, true, true], "it would end by itself");
    }
}
