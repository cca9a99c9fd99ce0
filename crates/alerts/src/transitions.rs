//! What was to be archived, or moved, and was not by a long way. Rule from shared/design/policy.md ("transition unconfirmed
//! after 72 h").

use std::time::Duration;

use domain::{Alert, Severity, Timestamp};

use crate::tally::Tally;

/// Lifecycle rules run once a day, and a day's work may wait for a night: what takes longer is stuck.
pub const UNCONFIRMED: Duration = Duration::from_secs(72 * 60 * 60);

/// Recordings of a store whose transition could have begun more than [`UNCONFIRMED`] ago. Found again as long as they wait.
pub fn unconfirmed(store: &str, found: &Tally, now: Timestamp) -> Option<Alert> {
    (!found.is_empty()).then(|| Alert {
        key: format!("transition-unconfirmed/{store}"),
        severity: Severity::Warning,
        service: "archive".to_owned(),
        subject: format!("{} in {store} not confirmed after 72 hours", found.of("transition")),
        cause: format!("The oldest could have begun at {}: {}.", found.longest(), found.named()),
        next: "`videorec jobs` shows what they wait for, and `videorec batch ls` whether their batch is paused; see that workers \
               run, and that the store lets them change an object's class. What was left to a bucket's lifecycle rule waits for \
               that: `videorec doctor` shows whether the rule is there."
            .to_owned(),
        recording: None,
        at: now,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stuck_is_told_by_store() {
        let now = Timestamp(1) + UNCONFIRMED;
        let mut found = Tally::default();
        assert_eq!(unconfirmed("recordings", &found, now), None);
        found.add("a.mp4: archive DEEP_ARCHIVE", Timestamp(0));
        let told = unconfirmed("recordings", &found, now).unwrap();
        assert_eq!(
            (told.key.as_str(), told.severity),
            ("transition-unconfirmed/recordings", Severity::Warning)
        );
        assert_eq!(told.subject, "1 transition in recordings not confirmed after 72 hours");
        assert!(told.cause.ends_with("1970-01-01T00:00:00Z: a.mp4: archive DEEP_ARCHIVE."), "{}", told.cause);
    }
}
