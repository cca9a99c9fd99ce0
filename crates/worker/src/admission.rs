//! As many jobs at once as the machine holds: by threads and memory, not by a plain number.

use std::sync::Arc;

use domain::{Cost, Lane};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory is counted in steps of 16 MiB: a semaphore's permits are a small number.
const STEP: u64 = 16 << 20;

/// What there is to share out.
#[derive(Clone)]
pub struct Admission {
    bulk: Threads,
    /// Interactive work has threads of its own, so that a person does not wait behind an hour's encoding.
    interactive: Threads,
    memory: Arc<Semaphore>,
    memory_steps: u32,
}

#[derive(Clone)]
struct Threads {
    permits: Arc<Semaphore>,
    all: u32,
}

/// Held while a job runs.
pub struct Admitted {
    _threads: OwnedSemaphorePermit,
    _memory: OwnedSemaphorePermit,
}

impl Admission {
    pub fn new(threads: u32, memory: u64) -> Self {
        let steps = u32::try_from((memory / STEP).clamp(1, 1 << 20)).unwrap_or(1 << 20);
        Self {
            bulk: Threads::new(threads.max(1)),
            interactive: Threads::new(threads.div_ceil(2).max(1)),
            memory: Arc::new(Semaphore::new(steps as usize)),
            memory_steps: steps,
        }
    }

    /// Waits until there is room. A job that wants more than there is gets all of it and runs alone.
    ///
    /// Threads come first and each lane has its own, asked for by one dispatcher; whoever has its threads and
    /// waits for memory waits for running jobs only, so no two jobs ever wait for each other.
    pub async fn admit(&self, lane: Lane, cost: Cost) -> Admitted {
        let threads = match lane {
            Lane::Interactive => &self.interactive,
            Lane::Bulk => &self.bulk,
        };
        let steps = u32::try_from(cost.memory.div_ceil(STEP)).unwrap_or(u32::MAX).clamp(1, self.memory_steps);
        let wanted = cost.threads.clamp(1, threads.all);
        let closed = "the semaphores are never closed";
        Admitted {
            _threads: threads.permits.clone().acquire_many_owned(wanted).await.expect(closed),
            _memory: self.memory.clone().acquire_many_owned(steps).await.expect(closed),
        }
    }
}

impl Threads {
    fn new(all: u32) -> Self {
        Self { permits: Arc::new(Semaphore::new(all as usize)), all }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn fits(admission: &Admission, lane: Lane, threads: u32, memory: u64) -> Option<Admitted> {
        let admit = admission.admit(lane, Cost { threads, memory });
        tokio::time::timeout(Duration::from_millis(20), admit).await.ok()
    }

    #[tokio::test]
    async fn jobs_run_together_only_while_their_costs_fit() {
        let admission = Admission::new(2, 1 << 30);
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
}
