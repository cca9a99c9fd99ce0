use std::time::Duration;

use anyhow::Result;
use domain::Timestamp;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

/// Work that runs beside the leader's other work: a store or a partner that does not answer keeps nobody waiting. It ends with
/// whoever leads.
#[derive(Default)]
pub(crate) struct Beside {
    after: Option<Timestamp>,
    running: Option<AbortOnDropHandle<()>>,
}

impl Beside {
    /// Begins it, where it is time and the last one has ended. `failed` is what is said of one that fails.
    pub(crate) fn turn<F>(
        &mut self,
        now: Timestamp,
        every: Duration,
        failed: &'static str,
        work: impl FnOnce() -> F,
    ) where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        if self.after.is_some_and(|after| now < after)
            || self.running.as_ref().is_some_and(|running| !running.is_finished())
        {
            return;
        }
        self.after = Some(now + every);
        let work = work();
        self.running = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(e) = work.await {
                warn!(error = format!("{e:#}"), "{failed}");
            }
        })));
    }
}
