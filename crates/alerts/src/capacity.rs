//! When a store is full, and who has to know. Rules from shared/design/policy.md, "Capacity and anomaly alerts": robust
//! slope (Theil-Sen) over 14 days, days-to-full as p50 and pessimistic p90, warn below 14 days, critical below 3, twice in
//! a row, clear at 1.5x. The plain thresholds (85 %, 95 %) are issue 4's.

use domain::{Alert, Severity, Timestamp};
use serde::{Deserialize, Serialize};

pub use growth::{Growth, Sample, growth};
use wording::{bytes, days};

mod growth;
mod wording;

/// A store whose rooms are counted. `capacity` in bytes, from the policy file; a store without one has no end.
#[derive(Debug, Clone, Copy)]
pub struct Store<'a> {
    pub name: &'a str,
    pub capacity: u64,
    /// About one an hour, in any order; older ones than 14 days are not looked at.
    pub samples: &'a [Sample],
}

/// What has to be remembered of a store from one look to the next. The caller keeps it; a new store has the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// How bad the growth is held to be.
    pub growing: Option<Severity>,
    /// What the last look found that was worse: believed when the next one finds it too.
    pub rising: Option<Severity>,
    /// How bad the filling is held to be.
    pub filled: Option<Severity>,
    /// The newest sample that was judged: looking twice at the same is looking once.
    pub seen: Option<Timestamp>,
}

/// What is wrong now, as long as it is; see [`escalation`](crate::escalation) for who is told how often.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    pub alerts: Vec<Alert>,
    pub growth: Option<Growth>,
    pub state: State,
}

const WARN_DAYS: f64 = 14.0;
const CRITICAL_DAYS: f64 = 3.0;
/// A level stays until there are so many times its days again.
const CLEAR: f64 = 1.5;
const WARN_FILLED: f64 = 0.85;
const CRITICAL_FILLED: f64 = 0.95;
/// A level of filling stays until it is so far below: less is what comes and goes within a day.
const CLEAR_FILLED: f64 = 0.05;

/// Judges one store. Pure; `before` is the state that the last look left.
pub fn assess(store: &Store<'_>, before: State, now: Timestamp) -> Assessment {
    let newest = store.samples.iter().filter(|s| s.at <= now).max_by_key(|s| (s.at, s.bytes));
    let Some(newest) = newest.filter(|_| store.capacity > 0) else {
        return Assessment { alerts: Vec::new(), growth: None, state: State::default() };
    };
    let growth = growth(store.samples, now);
    let outlook = growth.map(|growth| Outlook::of(&growth, newest.bytes, store.capacity));
    let filled = newest.bytes as f64 / store.capacity as f64;
    let state =
        if before.seen == Some(newest.at) { before } else { next(before, outlook, filled, newest.at) };
    let mut alerts = Vec::new();
    if let (Some(severity), Some(outlook), Some(growth)) = (state.growing, outlook, growth) {
        alerts.push(will_be_full(store, newest, &growth, outlook, severity, now));
    }
    if let Some(severity) = state.filled {
        alerts.push(is_full(store, newest, severity, now));
    }
    Assessment { alerts, growth, state }
}

/// Days until it is full: likely, and as the pessimist sees it. Infinite when it does not grow.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Outlook {
    p50: f64,
    p90: f64,
}

impl Outlook {
    fn of(growth: &Growth, bytes: u64, capacity: u64) -> Self {
        let left = capacity.saturating_sub(bytes);
        Self { p50: growth.days_to(left).0, p90: growth.days_to(left).1 }
    }

    /// The pessimist alone wakes nobody: after one large import his slope is wild for days, the median's is not.
    fn level(self, times: f64) -> Option<Severity> {
        if self.p50 < CRITICAL_DAYS * times {
            Some(Severity::Critical)
        } else if self.p50 < WARN_DAYS * times || self.p90 < CRITICAL_DAYS * times {
            Some(Severity::Warning)
        } else {
            None
        }
    }
}

fn next(before: State, outlook: Option<Outlook>, filled: f64, seen: Timestamp) -> State {
    let (mut growing, mut rising) = (None, None);
    if let Some(outlook) = outlook {
        let found = outlook.level(1.0);
        // Twice in a row: as bad as the milder of the two.
        let believed = found.min(before.rising);
        // Not worse than it was, and not better before there is 1.5 times the room.
        let held = before.growing.min(outlook.level(CLEAR));
        growing = held.max(believed);
        rising = found;
    }
    let level = |slack: f64| match filled {
        f if f >= CRITICAL_FILLED - slack => Some(Severity::Critical),
        f if f >= WARN_FILLED - slack => Some(Severity::Warning),
        _ => None,
    };
    State {
        growing,
        rising,
        filled: before.filled.min(level(CLEAR_FILLED)).max(level(0.0)),
        seen: Some(seen),
    }
}

fn alert(
    store: &Store<'_>,
    what: &str,
    severity: Severity,
    subject: String,
    cause: String,
    now: Timestamp,
) -> Alert {
    Alert {
        // With its severity: what becomes worse within the cool-down is other news.
        key: format!("capacity/{}/{what}/{}", store.name, severity.as_str()),
        severity,
        service: "capacity".to_owned(),
        subject,
        cause,
        next: format!(
            "See what the rules would free with `videorec plan`; free space in {name}, or enlarge it and raise its \
             `capacity` in the policy.",
            name = store.name
        ),
        recording: None,
        at: now,
    }
}

fn will_be_full(
    store: &Store<'_>,
    newest: &Sample,
    growth: &Growth,
    outlook: Outlook,
    severity: Severity,
    now: Timestamp,
) -> Alert {
    let subject = match outlook.p50 {
        d if d.is_finite() => format!("{} is full in about {}", store.name, days(d)),
        _ => format!("{} may be full in {}", store.name, days(outlook.p90)),
    };
    let cause = format!(
        "It holds {} of {} ({:.0} %). In the last {} it grew by {} a day (median), and in its worst tenth by {}: it is \
         full in {} (p50), for the pessimist in {} (p90).",
        bytes(newest.bytes as f64),
        bytes(store.capacity as f64),
        100.0 * newest.bytes as f64 / store.capacity as f64,
        days(growth.over.as_secs_f64() / 86_400.0),
        bytes(growth.p50),
        bytes(growth.p90),
        days(outlook.p50),
        days(outlook.p90),
    );
    alert(store, "growth", severity, subject, cause, now)
}

fn is_full(store: &Store<'_>, newest: &Sample, severity: Severity, now: Timestamp) -> Alert {
    let percent = 100.0 * newest.bytes as f64 / store.capacity as f64;
    let threshold = if severity == Severity::Critical { CRITICAL_FILLED } else { WARN_FILLED };
    let subject = format!("{} is {percent:.0} % full", store.name);
    let cause = format!(
        "It holds {} of {}; the threshold is {:.0} %.",
        bytes(newest.bytes as f64),
        bytes(store.capacity as f64),
        100.0 * threshold
    );
    alert(store, "filled", severity, subject, cause, now)
}

#[cfg(test)]
mod tests;
