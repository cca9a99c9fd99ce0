//! What the audit log says of each step, the same for every database.

use domain::{Decision, Failure, JobSpec, NewRecording, Outcome, RecordingId, State};
use serde_json::{Value, json};

pub(crate) fn accepted(it: &NewRecording) -> Value {
    json!({ "name": it.name, "store": it.store, "key": it.key, "version": it.version,
            "size": it.digest.size, "sha256": it.digest.sha256 })
}

pub(crate) fn replaced(it: &NewRecording) -> Value {
    json!({ "key": it.key, "version": it.version, "size": it.digest.size, "sha256": it.digest.sha256 })
}

pub(crate) fn bound(session: Option<RecordingId>) -> Value {
    json!({ "session": session })
}

pub(crate) fn decided(before: State, decision: &Decision) -> Value {
    json!({ "from": before, "to": decision.state, "reason": decision.reason })
}

/// `current`: whether the job worked on the bytes that the recording has now.
pub(crate) fn recorded(spec: &JobSpec, outcome: &Outcome, current: bool) -> Value {
    let fact = match outcome {
        Outcome::Probed { probe } => json!(probe.verdict),
        Outcome::Rendered { rendition: it } => {
            json!({ "rendition": it.name, "files": it.files, "partial": it.partial })
        }
        Outcome::Copied { copy } => {
            json!({ "copy": copy.store, "key": copy.key, "version": copy.version, "sha256": copy.digest.sha256 })
        }
        Outcome::Tagged { tags } => json!({ "tags": tags }),
        other => json!(other),
    };
    json!({ "job": spec.id, "action": spec.action.label(), "rule": spec.rule, "fact": fact,
            "outdated": !current })
}

pub(crate) fn parked(spec: &JobSpec, failure: &Failure) -> Value {
    json!({ "job": spec.id, "action": spec.action.label(), "error": failure })
}

pub(crate) fn retried(jobs: usize) -> Value {
    json!({ "jobs": jobs })
}

pub(crate) fn policy(former: Option<&str>, hash: &str) -> Value {
    json!({ "from": former, "to": hash })
}
