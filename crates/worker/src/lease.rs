//! A claimed job's heartbeat: it renews the lease, carries progress, and cancels the work when the lease is lost.

use std::{sync::Arc, time::Duration};

use catalog::{Catalog, Claim};
use domain::{Clock, Progress};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How long a lease lasts without being renewed: what a dead worker's job waits at most.
pub const TTL: Duration = Duration::from_secs(60);
/// A third of the lease, so that two renewals may fail before it is lost.
const RENEW: Duration = Duration::from_secs(20);
/// Progress is written at most this often: one small transaction a second and job.
const REPORT: Duration = Duration::from_secs(1);

/// Renews until dropped. `lost` fires when another worker may have the job: nothing more may be written then.
pub struct Heartbeat {
    pub progress: watch::Sender<Option<Progress>>,
    pub lost: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Heartbeat {
    pub fn start(catalog: Arc<dyn Catalog>, clock: Arc<dyn Clock>, claim: Claim) -> Self {
        let (progress, seen) = watch::channel(None);
        let lost = CancellationToken::new();
        let task = tokio::spawn(beat(catalog, clock, claim, seen, lost.clone()));
        Self { progress, lost, task }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn beat(
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
    claim: Claim,
    mut seen: watch::Receiver<Option<Progress>>,
    lost: CancellationToken,
) {
    let id = claim.job.spec.id;
    let mut lease_until = claim.lease_until;
    loop {
        // Wake for news of progress, but not more than once a second; else when a third of the lease is over.
        tokio::time::sleep(REPORT).await;
        if let Ok(Err(_)) = tokio::time::timeout(RENEW - REPORT, seen.changed()).await {
            return;
        }
        let progress = *seen.borrow_and_update();
        let now = clock.now();
        match catalog.renew(&claim, now, TTL, progress).await {
            Ok(()) => lease_until = now + TTL,
            Err(e) if e.kind() == catalog::Kind::LeaseLost => {
                warn!(job.id = %id, "lease lost to another worker; dropping the work");
                return lost.cancel();
            }
            // The catalog is away: work on as long as nobody else can have claimed the job.
            Err(e) if clock.now() < lease_until => {
                warn!(job.id = %id, error = %e, "lease not renewed; trying again");
            }
            Err(e) => {
                warn!(job.id = %id, error = %e, "lease ran out unrenewed; dropping the work");
                return lost.cancel();
            }
        }
    }
}
