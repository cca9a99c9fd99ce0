//! What a store holds and what the catalog says that it holds, drifting apart. Rule from shared/design/policy.md ("catalog and
//! listing drifting apart").

use domain::{Alert, Severity, Timestamp};
use serde::{Deserialize, Serialize};

use crate::tally::Tally;

/// What a comparison of a store with the catalog came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compared {
    /// Objects that were looked at.
    pub objects: u64,
    /// Objects that recordings say they have.
    pub expected: u64,
    /// Of these: not there.
    pub missing: Tally,
    /// Of these: there, of another size.
    pub other_size: Tally,
    /// Sources that lie in another class than they were put into.
    pub strayed: Tally,
    /// Renditions that were made again a few times, and are gone again.
    pub vanishing: Tally,
    /// Objects that no recording owns.
    pub unowned: Tally,
    pub unowned_bytes: u64,
    /// Objects in a recording's own folder that are none of its files by now: what was replaced, or left by a try that was
    /// cut short. They go when it is purged.
    pub former: u64,
}

/// Found again as long as it is so.
pub fn apart(store: &str, found: &Compared, now: Timestamp) -> Vec<Alert> {
    let mut alerts = Vec::new();
    let lost = found.missing.count + found.other_size.count;
    if lost > 0 {
        let mut cause = format!("Of {} objects that the catalog knows in {store}, ", found.expected);
        let missing = (!found.missing.is_empty())
            .then(|| format!("{} not there ({})", found.missing.count, found.missing.named()));
        let other = (!found.other_size.is_empty())
            .then(|| format!("{} of another size ({})", found.other_size.count, found.other_size.named()));
        cause += &missing.into_iter().chain(other).collect::<Vec<_>>().join(", and ");
        alerts.push(Alert {
            key: format!("drift/{store}/missing"),
            severity: Severity::Critical,
            service: "catalog".to_owned(),
            subject: format!("{lost} objects of recordings are not in {store} as the catalog knows them"),
            cause: format!("{cause}."),
            next: format!(
                "See who else writes to {store}, and whether all of it is mounted; then `videorec copies QUERY --verify`: what \
                 is found bad of a recording is repaired from a good copy. Renditions are made again."
            ),
            recording: None,
            at: now,
        });
    }
    if !found.vanishing.is_empty() {
        alerts.push(Alert {
            key: format!("drift/{store}/vanishing"),
            severity: Severity::Critical,
            service: "catalog".to_owned(),
            subject: format!("{} in {store} vanish again and again", found.vanishing.of("rendition")),
            cause: format!("They were made again, and are gone again: {}.", found.vanishing.named()),
            next: format!("They are not made again any more. See who removes files from {store}."),
            recording: None,
            at: now,
        });
    }
    if !found.strayed.is_empty() {
        alerts.push(Alert {
            key: format!("drift/{store}/class"),
            severity: Severity::Warning,
            service: "archive".to_owned(),
            subject: format!("{} in {store} in another class than it was put into", found.strayed.of("recording")),
            cause: format!("{}.", found.strayed.named()),
            next: format!(
                "See who changes classes in {store}, or which lifecycle rule of its bucket. What a rule of the policy wants \
                 archived it archives again, three times at most; `videorec copies QUERY` shows classes."
            ),
            recording: None,
            at: now,
        });
    }
    if !found.unowned.is_empty() {
        alerts.push(Alert {
            key: format!("drift/{store}/unowned"),
            severity: Severity::Warning,
            service: "catalog".to_owned(),
            subject: format!("{} in {store} that no recording owns", found.unowned.of("object")),
            cause: format!(
                "Of {} objects, older than a day, {} bytes: {}.",
                found.objects,
                found.unowned_bytes,
                found.unowned.named()
            ),
            next: "They are left alone. Look at them: bring in what should be a recording, remove the rest by hand, and keep \
                   others from writing there."
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

    #[test]
    fn what_is_lost_is_critical_and_what_is_too_much_is_not() {
        let now = Timestamp(7);
        let mut found = Compared { objects: 12, expected: 10, former: 3, ..Compared::default() };
        assert_eq!(apart("nas", &found, now), [], "what was replaced is in order");
        found.unowned.add("holiday.mp4", now);
        found.unowned_bytes = 99;
        let [alert] = apart("nas", &found, now).try_into().unwrap();
        assert_eq!((alert.key.as_str(), alert.severity), ("drift/nas/unowned", Severity::Warning));
        assert_eq!(alert.subject, "1 object in nas that no recording owns");
        assert_eq!(alert.cause, "Of 12 objects, older than a day, 99 bytes: holiday.mp4.");
        found.missing.add("a.mp4", now);
        found.other_size.add("b.mp4", now);
        let [alert, _] = apart("nas", &found, now).try_into().unwrap();
        assert_eq!((alert.key.as_str(), alert.severity), ("drift/nas/missing", Severity::Critical));
        assert_eq!(
            alert.cause,
            "Of 10 objects that the catalog knows in nas, 1 not there (a.mp4), and 1 of another size (b.mp4)."
        );
        found.strayed.add("c.mp4: STANDARD instead of GLACIER", now);
        found.vanishing.add("mp4-720p of a.mp4", now);
        let keys: Vec<_> = apart("nas", &found, now).into_iter().map(|alert| alert.key).collect();
        let named = |what: &str| format!("drift/nas/{what}");
        assert_eq!(keys, ["missing", "vanishing", "class", "unowned"].map(named));
        found.missing = Tally::default();
        assert!(apart("nas", &found, now)[0].cause.ends_with("in nas, 1 of another size (b.mp4)."));
    }
}
