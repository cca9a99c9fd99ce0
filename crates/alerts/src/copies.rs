//! Recordings with fewer verified copies than the policy protects, for longer than a copy takes to be made. Rule from
//! shared/design/policy.md ("copies below the minimum").

use std::time::Duration;

use domain::{Alert, Severity, Timestamp};
use serde::{Deserialize, Serialize};

use crate::tally::Tally;

/// What a new recording, a new policy or a repair is given before it is news.
pub const GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// Recordings that were short of copies for longer than [`GRACE`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Short {
    /// Fewer than there have to be, and at least one.
    pub few: Tally,
    /// Not one that reads back as it was accepted.
    pub none: Tally,
}

/// Whether it has been short for long enough: since it came, since bytes of it were found bad, since the policy asks for so
/// many, whichever is the latest.
pub fn is_news(since: Timestamp, now: Timestamp) -> bool {
    now.since(since) > GRACE
}

/// `min`: verified copies that there have to be. Found again as long as it lasts.
pub fn short(found: &Short, min: u32, now: Timestamp) -> Vec<Alert> {
    let mut alerts = Vec::new();
    if !found.none.is_empty() {
        let none = &found.none;
        alerts.push(Alert {
            key: "copies/none".to_owned(),
            severity: Severity::Critical,
            service: "backup".to_owned(),
            subject: format!("{} without a single good copy", none.of("recording")),
            cause: format!(
                "None of their copies reads back as it was accepted, for one of them since {}: {}.",
                none.longest(),
                none.named()
            ),
            next: "`videorec copies ID` says what is wrong with each copy; `videorec copies ID --verify` reads them again, \
                   in case the way and not the bytes was bad; bring a good copy in from wherever there is one."
                .to_owned(),
            recording: None,
            at: now,
        });
    }
    if !found.few.is_empty() {
        let few = &found.few;
        alerts.push(Alert {
            key: "copies/few".to_owned(),
            severity: Severity::Warning,
            service: "backup".to_owned(),
            subject: format!("{} with fewer than {min} verified copies", few.of("recording")),
            cause: format!(
                "`protect: copies` is not met for more than a day, for one of them since {}: {}.",
                few.longest(),
                few.named()
            ),
            next: "`videorec policy explain ID` says what their backup waits for; without a rule that makes one, add it \
                   (`backup: STORE`), or order it: `videorec backup QUERY --to STORE`."
                .to_owned(),
            recording: None,
            at: now,
        });
    }
    alerts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(names: &[&str]) -> Tally {
        let mut tally = Tally::default();
        names.iter().for_each(|name| tally.add(*name, Timestamp(0)));
        tally
    }

    #[test]
    fn what_is_short_for_a_day_is_told_with_how_bad_it_is() {
        let day = Timestamp(24 * 3_600_000);
        assert!(!is_news(Timestamp(0), day) && is_news(Timestamp(0), Timestamp(day.0 + 1)));
        assert_eq!(short(&Short::default(), 2, day), []);
        let few = short(&Short { few: tally(&["a.mp4", "b.mp4"]), none: Tally::default() }, 2, day);
        let [alert] = few.as_slice() else { panic!("{few:?}") };
        assert_eq!((alert.key.as_str(), alert.severity), ("copies/few", Severity::Warning));
        assert_eq!(alert.subject, "2 recordings with fewer than 2 verified copies");
        assert!(alert.cause.ends_with("since 1970-01-01T00:00:00Z: a.mp4, b.mp4."), "{}", alert.cause);
        let both = short(&Short { few: tally(&["a.mp4"]), none: tally(&["c.mp4"]) }, 3, day);
        let keys: Vec<_> = both.iter().map(|a| (a.key.as_str(), a.severity)).collect();
        assert_eq!(keys, [("copies/none", Severity::Critical), ("copies/few", Severity::Warning)]);
        assert_eq!(both[0].subject, "1 recording without a single good copy");
    }
}
