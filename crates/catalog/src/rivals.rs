//! An export that may go by several routes goes by one of them at a time.

use std::collections::BTreeSet;

use domain::{Action, ExportSpec, Job, JobSpec};

/// The recordings of exports that are asked for: only they can have rivals.
pub(crate) fn concerned<'a>(asked: impl IntoIterator<Item = &'a JobSpec>) -> BTreeSet<String> {
    let exports = asked.into_iter().filter(|spec| matches!(spec.action, Action::Export(_)));
    exports.map(|spec| spec.recording.to_string()).collect()
}

/// Whether somebody works on the same for the same rule by another route. If that fails for good, this one is asked for again.
pub(crate) fn has_one(asked: &JobSpec, running: &[Job]) -> bool {
    let Action::Export(export) = &asked.action else { return false };
    running.iter().map(|job| &job.spec).any(|other| {
        let same =
            other.recording == asked.recording && other.version == asked.version && other.rule == asked.rule;
        same && matches!(&other.action, Action::Export(theirs) if are_routes(export, theirs))
    })
}

fn are_routes(one: &ExportSpec, other: &ExportSpec) -> bool {
    one.to != other.to && *one == ExportSpec { to: one.to.clone(), ..other.clone() }
}
