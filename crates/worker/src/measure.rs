//! What is counted while working, by the names that dashboards know. Where nobody listens this costs nothing.

use std::time::Duration;

use domain::{Action, FailureKind, Outcome};

use crate::runner::Stop;

/// A job's work ended, one way or the other.
pub(crate) fn job(action: &Action, done: &Result<Outcome, Stop>, took: Duration) {
    let outcome = match done {
        Ok(_) => "done",
        Err(Stop::Failed(f)) if f.kind == FailureKind::Temporary => "failed-temporarily",
        Err(Stop::Failed(_)) => "failed",
        Err(Stop::Later(_)) => "later",
        Err(Stop::Lost) => "lost",
    };
    metrics::counter!("videorec_jobs_total", "what" => action.verb(), "outcome" => outcome).increment(1);
    metrics::histogram!("videorec_job_seconds", "what" => action.verb()).record(took.as_secs_f64());
}
