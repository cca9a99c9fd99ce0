use domain::{Alert, Outcome, Severity};

use super::Context;
use crate::runner::Stop;

/// Tells people that a rule applies to a recording.
///
/// Triggered by: a rule's `notify`. Writes: the catalog alone; the alert is sent from there, with what else is to be told.
/// Safe to repeat: once recorded it is not asked for again.
pub(crate) fn perform(
    context: &Context<'_>,
    rule: &str,
    severity: Severity,
    subject: &str,
) -> Result<Outcome, Stop> {
    let recording = &context.recording;
    Ok(Outcome::Notified {
        alert: Alert {
            key: format!("rule/{rule}/{}/{}", recording.id, recording.version),
            severity,
            service: "policy".into(),
            subject: format!("{subject}: {}", recording.name),
            cause: format!("Rule `{rule}` applies to it."),
            next: format!("`videorec show {}` tells what is known of it.", recording.id.short()),
            recording: Some(recording.id),
            at: context.library.now(),
        },
    })
}
