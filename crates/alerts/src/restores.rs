//! A restore that takes twice as long as its service says. Rule from shared/design/policy.md ("restore over twice its tier's
//! time").

use std::time::Duration;

use domain::{Alert, Severity, Speed, Timestamp};

use crate::tally::Tally;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// The longest that AWS says a restore takes, per class and speed, in seconds. Source: Amazon S3 User Guide, "Understanding
/// archive retrieval options", <https://docs.aws.amazon.com/AmazonS3/latest/userguide/restoring-objects-retrieval-options.html>,
/// read 2026-11: Flexible Retrieval 1-5 minutes, 3-5 hours, 5-12 hours; Deep Archive within 12 and within 48 hours, and
/// nothing expedited. Intelligent-Tiering does not say in which of its two archives an object lies: the slower counts.
const TAKES: [(&str, [u64; 3]); 3] = [
    ("GLACIER", [5 * MINUTE, 5 * HOUR, 12 * HOUR]),
    ("DEEP_ARCHIVE", [12 * HOUR, 12 * HOUR, 48 * HOUR]),
    ("INTELLIGENT_TIERING", [12 * HOUR, 12 * HOUR, 48 * HOUR]),
];

/// How long a restore takes at most. Of a class that nobody knows: as of the slowest.
pub fn takes(class: &str, speed: Speed) -> Duration {
    let known = TAKES.iter().find(|(name, _)| *name == class).unwrap_or(&TAKES[1]);
    let [expedited, standard, bulk] = known.1;
    Duration::from_secs(match speed {
        Speed::Expedited => expedited,
        Speed::Standard => standard,
        Speed::Bulk => bulk,
    })
}

/// Whether it is over twice its time.
pub fn is_late(class: &str, speed: Speed, asked_at: Timestamp, now: Timestamp) -> bool {
    now.since(asked_at) > takes(class, speed) * 2
}

/// The restores of a store that are late, as [`is_late`] says. Found again as long as they are.
pub fn late(store: &str, found: &Tally, now: Timestamp) -> Option<Alert> {
    (!found.is_empty()).then(|| Alert {
        key: format!("restore-late/{store}"),
        severity: Severity::Warning,
        service: "restore".to_owned(),
        subject: format!("{} in {store} over twice the time that a restore takes", found.of("restore")),
        cause: format!(
            "The one that waits for longest was asked for at {}: {}.",
            found.longest(),
            found.named()
        ),
        next: "Look at the service's health page; `videorec copies ID` says what was asked for and when; ask again with a \
               faster `videorec restore ID --tier`, which costs more."
            .to_owned(),
        recording: None,
        at: now,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_is_late_after_twice_its_time() {
        let hours = |n: u64| Timestamp(i64::try_from(n * HOUR * 1000).unwrap());
        let asked = Timestamp(0);
        let table = [
            ("GLACIER", Speed::Standard, 10),
            ("GLACIER", Speed::Bulk, 24),
            ("DEEP_ARCHIVE", Speed::Standard, 24),
            ("DEEP_ARCHIVE", Speed::Bulk, 96),
            ("INTELLIGENT_TIERING", Speed::Bulk, 96),
            ("FROZEN_SOLID", Speed::Bulk, 96),
        ];
        for (class, speed, twice) in table {
            assert!(!is_late(class, speed, asked, hours(twice)), "{class}");
            assert!(is_late(class, speed, asked, Timestamp(hours(twice).0 + 1)), "{class}");
        }
        let ten_minutes = Timestamp(10 * 60_000);
        assert!(!is_late("GLACIER", Speed::Expedited, asked, ten_minutes));
        assert!(is_late("GLACIER", Speed::Expedited, asked, Timestamp(ten_minutes.0 + 1)));
    }

    #[test]
    fn what_is_late_is_told_by_store() {
        let mut found = Tally::default();
        assert_eq!(late("recordings", &found, Timestamp(9)), None);
        found.add("cam/a.mp4", Timestamp(0));
        let told = late("recordings", &found, Timestamp(9)).unwrap();
        assert_eq!((told.key.as_str(), told.severity), ("restore-late/recordings", Severity::Warning));
        assert_eq!(told.subject, "1 restore in recordings over twice the time that a restore takes");
        assert!(told.cause.contains("1970-01-01T00:00:00Z: cam/a.mp4."), "{}", told.cause);
    }
}
