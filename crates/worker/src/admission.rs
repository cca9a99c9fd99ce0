//! As many jobs at once as the machine holds: by threads and memory, not by a plain number.

use std::sync::Arc;

use domain::{Cost, Lane};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Limits;

/// Memory and disk are counted in steps of 16 MiB: a semaphore's permits are a small number.
const STEP: u64 = 16 << 20;

/// Jobs without a thread of their own at once: enough to keep a distant store busy, few enough to leave it to others too.
const WAITING: usize = 16;

/// What there is to share out.
#[derive(Clone)]
pub struct Admission {
    bulk: Share,
    /// Interactive work has threads of its own, so that a person does not wait behind an hour's encoding; and those that bulk work
    /// leaves idle, so that a machine that only looks at what came in is not half idle.
    interactive: Share,
    /// Work that only waits (for a store, mostly) takes one of these instead of a thread.
    waiting: Arc<Semaphore>,
    /// In steps.
    memory: Share,
    /// Of the scratch disk, in steps.
    disk: Share,
}

#[derive(Clone)]
struct Share {
    permits: Arc<Semaphore>,
    all: u32,
}

/// Held while a job runs.
pub struct Admitted {
    _threads: OwnedSemaphorePermit,
    _memory: OwnedSemaphorePermit,
    _disk: OwnedSemaphorePermit,
}

impl Admission {
    pub fn new(limits: &Limits) -> Self {
        Self {
            bulk: Share::new(limits.threads.into()),
            interactive: Share::new(limits.threads.div_ceil(2).into()),
            waiting: Arc::new(Semaphore::new(WAITING)),
            memory: Share::new(limits.memory / STEP),
            disk: Share::new(limits.disk / STEP),
        }
    }

    /// Waits until there is room. A job that wants more than there is gets all of it and runs alone.
    ///
    /// Threads come first, asked for by one dispatcher a lane; then memory, then disk, in this
    /// order for everybody, so that no two jobs ever wait for each other. A job that `has_line`, one of its destination's
    /// connections, takes none of the room for jobs that wait: else a few slow partners had all of it.
    pub async fn admit(&self, lane: Lane, cost: Cost, has_line: bool) -> Admitted {
        let threads = match (cost.threads, lane) {
            (0, _) => acquire(&self.waiting, u32::from(!has_line)).await,
            (threads, Lane::Bulk) => self.bulk.acquire(threads.into()).await,
            (threads, Lane::Interactive) => tokio::select! {
                biased;
                own = self.interactive.acquire(threads.into()) => own,
                // Behind bulk work that waits already, and before what comes later.
                lent = self.bulk.acquire(threads.into()) => lent,
            },
        };
        Admitted {
            _threads: threads,
            _memory: self.memory.acquire(cost.memory.div_ceil(STEP)).await,
            _disk: self.disk.acquire(cost.disk.div_ceil(STEP)).await,
        }
    }
}

impl Share {
    fn new(all: u64) -> Self {
        let all = u32::try_from(all.clamp(1, 1 << 28)).unwrap_or(1 << 28);
        Self { permits: Arc::new(Semaphore::new(all as usize)), all }
    }

    /// All of it where more is wanted.
    async fn acquire(&self, wanted: u64) -> OwnedSemaphorePermit {
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).min(self.all);
        acquire(&self.permits, wanted).await
    }
}

async fn acquire(permits: &Arc<Semaphore>, wanted: u32) -> OwnedSemaphorePermit {
    permits.clone().acquire_many_owned(wanted).await.expect("the semaphores are never closed")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;

    use super::*;

    async fn fits(admission: &Admission, lane: Lane, threads: u32, memory: u64) -> Option<Admitted> {
        let admit = admission.admit(lane, Cost { threads, memory, disk: 0 }, false);
        tokio::time::timeout(Duration::from_millis(20), admit).await.ok()
    }

    fn limits() -> Limits {
        Limits {
            threads: 2,
            memory: 1 << 30,
            disk: 10 << 30,
            drain: Duration::ZERO,
            backlog: None,
            walk_every: None,
        }
    }

    /// Copies between stores wait for the stores and not for the processor: they run beside whatever encodes.
    #[tokio::test]
    async fn what_only_waits_takes_no_thread() {
        let admission = Admission::new(&limits());
        let _encodes = fits(&admission, Lane::Bulk, 2, 1 << 20).await.unwrap();
        let mut copies = Vec::new();
        for _ in 0..WAITING {
            copies.push(fits(&admission, Lane::Bulk, 0, 1 << 20).await.expect("there is room for sixteen"));
        }
        assert!(fits(&admission, Lane::Bulk, 0, 1 << 20).await.is_none(), "and not for more");
        let cost = Cost { threads: 0, memory: 1 << 20, disk: 0 };
        assert!(
            admission.admit(Lane::Bulk, cost, true).now_or_never().is_some(),
            "but for one with a line of its own"
        );
        copies.pop();
        assert!(fits(&admission, Lane::Interactive, 0, 1 << 20).await.is_some());
    }

    /// A job that would fill the disk does not start; one that could never fit gets all of it.
    #[tokio::test]
    async fn the_scratch_disk_is_admitted_before_a_job_starts() {
        let admission = Admission::new(&limits());
        let fits = async |disk: u64| {
            let admit = admission.admit(Lane::Bulk, Cost { threads: 1, memory: 0, disk }, false);
            tokio::time::timeout(Duration::from_millis(20), admit).await.ok()
        };
        let first = fits(7 << 30).await.unwrap();
        assert!(fits(4 << 30).await.is_none());
        let second = fits(3 << 30).await.unwrap();
        drop((first, second));
        assert!(fits(1 << 40).await.is_some(), "too large runs alone");
    }

    #[tokio::test]
    async fn jobs_run_together_only_while_their_costs_fit() {
        let admission = Admission::new(&limits());
        let first = fits(&admission, Lane::Bulk, 1, 1 << 20).await.unwrap();
        let second = fits(&admission, Lane::Bulk, 1, 1 << 20).await.unwrap();
        assert!(fits(&admission, Lane::Bulk, 1, 1 << 20).await.is_none(), "no thread is left");
        assert!(fits(&admission, Lane::Interactive, 1, 1 << 20).await.is_some(), "a person does not wait");
        assert!(fits(&admission, Lane::Interactive, 1, 1 << 40).await.is_none(), "memory is shared");
        drop(first);
        assert!(fits(&admission, Lane::Bulk, 64, 1 << 20).await.is_none(), "needs the machine alone");
        drop(second);
        assert!(fits(&admission, Lane::Bulk, 64, 1 << 40).await.is_some(), "too large runs alone");
    }

    /// What bulk work does not use is lent, and comes back to whoever waits for it.
    #[tokio::test]
    async fn interactive_work_has_what_bulk_work_leaves_idle() {
        let admission = Admission::new(&limits());
        let mut all = Vec::new();
        for _ in 0..3 {
            all.push(fits(&admission, Lane::Interactive, 1, 1 << 20).await.expect("its own and two lent"));
        }
        assert!(fits(&admission, Lane::Interactive, 1, 1 << 20).await.is_none());
        assert!(fits(&admission, Lane::Bulk, 1, 1 << 20).await.is_none(), "until one comes back");
        let cost = Cost { threads: 64, memory: 0, disk: 0 };
        let mut encode = std::pin::pin!(admission.admit(Lane::Bulk, cost, false));
        assert!((&mut encode).now_or_never().is_none());
        all.pop();
        assert!((&mut encode).now_or_never().is_none(), "it wants both");
        assert!(fits(&admission, Lane::Interactive, 1, 1 << 20).await.is_none(), "and is not passed by");
        all.pop();
        let encode = encode.now_or_never().expect("both are back");
        assert!(fits(&admission, Lane::Interactive, 1, 1 << 20).await.is_none());
        drop(all);
        assert!(fits(&admission, Lane::Interactive, 1, 1 << 20).await.is_some(), "it has its own meanwhile");
        drop(encode);
    }
}
