//! What is unlike this store: far more or fewer recordings than at this hour of other weeks, more failures than ever.
//! Rules from shared/design/policy.md, "Capacity and anomaly alerts": "ingest or deletes beyond 6 MAD of that weekday
//! hour", "a failure burst". What is wrong is found again each hour; see [`escalation`](crate::escalation).

use std::time::Duration;

use domain::{Alert, Severity, Timestamp};
use serde::{Deserialize, Serialize};

use crate::stats;

/// How many there were within one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hour {
    /// When it begins, in UTC. Where clocks are changed, two hours a year are compared with their neighbours.
    pub at: Timestamp,
    pub count: u64,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// Recordings that came in.
    Ingest,
    /// Recordings, renditions or copies that were deleted.
    Deletes,
}

/// How far from the middle, in spreads, a count may be.
const SPREADS: f64 = 6.0;
/// What differs by less is no news, however regular it was: nobody is told that three came instead of none.
const FLOOR: f64 = 10.0;
/// Weeks that are compared with, and how many of them there must be.
const WEEKS: i64 = 8;
const WEEKS_AT_LEAST: usize = 4;
const HOUR_MS: i64 = 60 * 60 * 1000;
const WEEK_MS: i64 = 7 * 24 * HOUR_MS;
/// Counts of what comes independently vary by the root of their mean; this makes a MAD of it (1 / 1.4826).
const BY_CHANCE: f64 = 0.6745;
/// Failures in one hour that are worth a look.
const BURST: u64 = 5;
/// Failures have no weekdays.
const BURST_HISTORY: Duration = Duration::from_secs(14 * 24 * 60 * 60);
const BURST_HOURS_AT_LEAST: usize = 24;

/// The middle of what there was, and how far from it is far. Regular counts have no spread of their own: then that is
/// taken which chance alone would make.
fn usual(mut counts: Vec<f64>) -> Option<(f64, f64)> {
    let middle = stats::median(&mut counts)?;
    let spread = stats::deviation(&counts, middle).max(BY_CHANCE * middle.sqrt());
    Some((middle, (SPREADS * spread).max(FLOOR)))
}

/// Compares an hour that is over with the same hour of the same weekday in the eight weeks before. An hour of `history`
/// in which nothing happened is a count of zero and must be there; hours that nobody watched must not.
pub fn unusual(counted: Counted, history: &[Hour], hour: Hour) -> Option<Alert> {
    let weeks: Vec<f64> = history
        .iter()
        .filter(|h| {
            let back = hour.at.0.div_euclid(HOUR_MS) - h.at.0.div_euclid(HOUR_MS);
            let weeks = back * HOUR_MS / WEEK_MS;
            (1..=WEEKS).contains(&weeks) && weeks * WEEK_MS == back * HOUR_MS
        })
        .map(|h| h.count as f64)
        .collect();
    let compared = weeks.len();
    if compared < WEEKS_AT_LEAST {
        return None;
    }
    let (middle, far) = usual(weeks)?;
    let count = hour.count as f64;
    let (what, key, next) = match (counted, count - middle) {
        (Counted::Ingest, by) if by > far => (
            "more recordings came in than usual",
            "ingest/high",
            "Look what came with `videorec ls`: an import that somebody wanted, or a source that repeats itself?",
        ),
        (Counted::Ingest, by) if by < -far => (
            "fewer recordings came in than usual",
            "ingest/low",
            "See whether the sources still record, and whether their uploads and events arrive.",
        ),
        (Counted::Deletes, by) if by > far => (
            "more was deleted than usual",
            "deletes/high",
            "See in the audit log which rule and whose command did it; put a `hold` on what must stay until you know.",
        ),
        // Fewer deletions harm nobody; a store that fills is capacity's to tell.
        _ => return None,
    };
    let severity = if counted == Counted::Deletes { Severity::Critical } else { Severity::Warning };
    Some(alert(
        key,
        severity,
        format!("{what}: {} in an hour, usually {middle:.0}", hour.count),
        format!(
            "In the hour from {} there were {}. At this hour of the last {compared} weeks there were {middle:.0} (median), and \
             more than {far:.0} away from that is not chance.",
            hour.at, hour.count
        ),
        next,
        hour.at,
    ))
}

/// Compares the failures of an hour that is over with all hours of 14 days. `succeeded`: what went well in that hour.
pub fn failures(history: &[Hour], hour: Hour, succeeded: u64) -> Option<Alert> {
    let since = hour.at - BURST_HISTORY;
    let before: Vec<f64> =
        history.iter().filter(|h| since <= h.at && h.at < hour.at).map(|h| h.count as f64).collect();
    // A new library has no history: then the floor alone is the rule.
    let (middle, far) = if before.len() < BURST_HOURS_AT_LEAST { (0.0, 0.0) } else { usual(before)? };
    if hour.count < BURST || hour.count as f64 - middle <= far {
        return None;
    }
    let all = hour.count.saturating_add(succeeded);
    // While most goes well it is what came in; when most fails it is us.
    let severity = if hour.count >= succeeded { Severity::Critical } else { Severity::Warning };
    Some(alert(
        "failures",
        severity,
        format!("{} of {all} jobs failed in an hour", hour.count),
        format!("In the hour from {} {} of {all} jobs failed; usually {middle:.0} do.", hour.at, hour.count),
        "See `videorec jobs` for the reasons; when their cause is gone, `videorec retry` what failed.",
        hour.at,
    ))
}

fn alert(
    key: &str,
    severity: Severity,
    subject: String,
    cause: String,
    next: &str,
    hour: Timestamp,
) -> Alert {
    Alert {
        key: format!("anomaly/{key}/{}", severity.as_str()),
        severity,
        service: "anomaly".to_owned(),
        subject,
        cause,
        next: next.to_owned(),
        recording: None,
        at: Timestamp(hour.0.saturating_add(HOUR_MS)),
    }
}

#[cfg(test)]
mod tests;
