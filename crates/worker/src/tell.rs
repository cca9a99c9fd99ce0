//! What people are told when a recording does not become what the policy asks for. Pure: the alert is a value, written
//! into the catalog together with the state that it tells of, and sent afterwards (see `relay`).

use domain::{Alert, Decision, Recording, Severity, State, Timestamp};

/// The alert that belongs to a recording's new state, if it is news and bad.
pub(crate) fn of_state(before: &Recording, decision: &Decision, now: Timestamp) -> Option<Alert> {
    if before.state == decision.state {
        return None;
    }
    let (severity, what, next) = match decision.state {
        State::Failed => (
            Severity::Critical,
            "failed",
            format!(
                "See `videorec show {id}`; when the cause is gone, `videorec retry {id}`.",
                id = before.id.short()
            ),
        ),
        State::Damaged => (
            Severity::Warning,
            "is damaged",
            "The source is kept as it came. Bring in an undamaged copy if there is one.".to_owned(),
        ),
        State::Unsupported => (
            Severity::Warning,
            "is not something that is decoded here",
            "The source is kept as it came. Convert it elsewhere and bring that in, or leave it.".to_owned(),
        ),
        State::Accepted | State::Processing | State::Ready | State::Trashed | State::Deleted => {
            return None;
        }
    };
    Some(Alert {
        key: format!("recording/{}/{}/{}", before.id, before.version, decision.state.as_str()),
        severity,
        service: "processing".to_owned(),
        subject: format!("{} {what}", before.name),
        cause: decision.reason.clone(),
        next,
        recording: Some(before.id),
        at: now,
    })
}
