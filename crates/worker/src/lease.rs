//! A claimed job's heartbeat: it renews the lease, carries progress, and cancels the work when the lease is lost.

use std::{sync::Arc, time::Duration};

use catalog::{Catalog, Claim};
use domain::{Clock, Progress};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How long a lease lasts without being renewed, unless it is set otherwise: what a dead worker's job waits at most.
pub const LEASE: Duration = Duration::from_secs(60);
/// Progress is written at most this often: one small transaction a second and job.
const REPORT: Duration = Duration::from_secs(1);

/// Renews until dropped. `lost` fires when another worker may have the job: nothing more may be written then.
pub struct Heartbeat {
    pub progress: watch::Sender<Option<Progress>>,
    pub lost: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Heartbeat {
    /// Renews for `lease` each time, first when a third of it is over.
    pub fn start(catalog: Arc<dyn Catalog>, clock: Arc<dyn Clock>, claim: Claim, lease: Duration) -> Self {
        let (progress, seen) = watch::channel(None);
        let lost = CancellationToken::new();
        let task = tokio::spawn(beat(catalog, clock, claim, lease, seen, lost.clone()));
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
    lease: Duration,
    mut seen: watch::Receiver<Option<Progress>>,
    lost: CancellationToken,
) {
    let id = claim.job.spec.id;
    let mut lease_until = claim.lease_until;
    // A third of the lease, so that two renewals may fail before it is lost.
    let renew = lease / 3;
    loop {
        // Wake for news of progress, but not more than once a second; else when it is time to renew.
        tokio::time::sleep(REPORT.min(renew)).await;
        if let Ok(Err(_)) = tokio::time::timeout(renew.saturating_sub(REPORT), seen.changed()).await {
            return;
        }
        let progress = *seen.borrow_and_update();
        let now = clock.now();
        match catalog.renew(&claim, now, lease, progress).await {
            Ok(()) => lease_until = now + lease,
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
