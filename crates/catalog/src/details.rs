//! What the audit log says of each step, the same for every database.

use domain::{Copy, Decision, Failure, JobSpec, NewRecording, Outcome, Recording, RecordingId, State, Trash};
use serde_json::{Value, json};

use crate::{Batch, BatchId, Change};

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
        Outcome::Missed { rendition, lost, .. } => json!({ "rendition": rendition, "lost": lost }),
        Outcome::Present => json!({ "lost": null }),
        Outcome::Copied { copy } => {
            json!({ "copy": copy.store, "key": copy.key, "version": copy.version, "sha256": copy.digest.sha256 })
        }
        Outcome::Tagged { tags } => json!({ "tags": tags }),
        Outcome::Purged { certificate } => json!(certificate),
        Outcome::Placed { .. }
        | Outcome::Moved { .. }
        | Outcome::Evicted { .. }
        | Outcome::Verified { .. }
        | Outcome::Drilled { .. } => {
            json!(outcome)
        }
        Outcome::Exported { .. } => json!(outcome),
        Outcome::Notified { alert } => json!({ "severity": alert.severity, "subject": alert.subject }),
    };
    json!({ "job": spec.id, "action": spec.action.label(), "rule": spec.rule, "fact": fact,
            "outdated": !current })
}

/// The same bytes as before.
pub(crate) fn rewritten(it: &NewRecording) -> Value {
    json!({ "key": it.key, "version": it.version })
}

pub(crate) fn trashed(recording: &Recording, trash: &Trash, bytes: u64) -> Value {
    json!({ "rule": trash.rule, "reason": trash.reason, "until": trash.until, "name": recording.name,
            "version": recording.version, "bytes": bytes })
}

/// The verb and the rest.
pub(crate) fn changed(change: &Change) -> (&'static str, Value) {
    match change {
        Change::Hold { name, reason } => ("hold", json!({ "name": name, "reason": reason })),
        Change::Release { name } => ("release", json!({ "name": name })),
        Change::Undelete { kept_until } => ("undelete", json!({ "kept_until": kept_until })),
        Change::Describe(it) => (
            "describe",
            json!({ "title": it.title, "tags": it.tags, "untag": it.untag, "fields": it.fields, "unset": it.unset }),
        ),
    }
}

/// Before the first byte is removed.
pub(crate) fn purges(spec: &JobSpec, recording: &Recording) -> Value {
    json!({ "job": spec.id, "name": recording.name, "store": recording.store, "key": recording.key,
            "version": recording.version, "sha256": recording.digest.sha256, "trash": recording.custody.trash })
}

pub(crate) fn evicts(spec: &JobSpec, copy: &Copy) -> Value {
    json!({ "job": spec.id, "rule": spec.rule, "store": copy.store, "key": copy.key, "version": copy.version })
}

pub(crate) fn ordered(batch: &Batch) -> Value {
    json!({ "batch": batch.id, "verb": batch.verb, "what": batch.what })
}

pub(crate) fn batch(id: BatchId) -> Value {
    json!({ "batch": id })
}

pub(crate) fn acked(key: &str) -> Value {
    json!({ "alert": key })
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
