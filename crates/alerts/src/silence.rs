//! A source that came regularly and has stopped. Rule from shared/design/policy.md ("a source fallen silent"), with
//! the numbers of issue 4: longer than three times its usual largest gap.

use std::time::Duration;

use domain::{Alert, Severity, Timestamp};

/// What is looked at to know a source: its last 14 days.
const WINDOW: Duration = Duration::from_secs(14 * 24 * 60 * 60);
const GAPS: u32 = 3;
/// Shorter silence is no news, however often a source comes.
const LEAST: Duration = Duration::from_secs(2 * 60 * 60);
/// Fewer arrivals are no habit.
const ARRIVALS: usize = 10;
/// Nor are many within less than a week: who knows how it spends its weekends?
const HABIT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// `source`: a camera, a prefix. `arrivals`: when its recordings came, in any order; those of the last 14 days before the
/// last one count. Found again as long as it stays silent.
pub fn silent(source: &str, arrivals: &[Timestamp], now: Timestamp) -> Option<Alert> {
    let last = *arrivals.iter().filter(|at| **at <= now).max()?;
    let since = last - WINDOW;
    let mut known: Vec<Timestamp> =
        arrivals.iter().copied().filter(|at| since <= *at && *at <= last).collect();
    known.sort_unstable();
    if known.len() < ARRIVALS || last.since(known[0]) < HABIT {
        return None;
    }
    let largest = known.windows(2).map(|pair| pair[1].since(pair[0])).max()?;
    let silence = now.since(last);
    if silence <= largest.saturating_mul(GAPS).max(LEAST) {
        return None;
    }
    Some(Alert {
        key: format!("silent/{source}"),
        severity: Severity::Warning,
        service: "anomaly".to_owned(),
        subject: format!("{source} has been silent for {}", hours(silence)),
        cause: format!(
            "Its last recording came {last}. In the 14 days before {} came, with {} in between at most.",
            known.len(),
            hours(largest)
        ),
        next: "See whether it still records and reaches us; if it is retired, acknowledge this.".to_owned(),
        recording: None,
        at: now,
    })
}

fn hours(time: Duration) -> String {
    match time.as_secs() {
        s if s < 2 * 60 * 60 => format!("{} minutes", s / 60),
        s if s < 48 * 60 * 60 => format!("{} hours", s / 3600),
        s => format!("{} days", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000;

    fn every(minutes: i64, hours: i64) -> Vec<Timestamp> {
        (0..hours * 60 / minutes).map(|i| Timestamp(i * minutes * 60_000)).collect()
    }

    #[test]
    fn a_camera_that_stops_is_told() {
        let camera = every(10, 14 * 24);
        let end = 14 * 24 * HOUR;
        assert_eq!(silent("cam/lobby/", &camera, Timestamp(end)), None);
        assert_eq!(silent("cam/lobby/", &camera, Timestamp(end + HOUR)), None, "shorter than the least");
        let told = silent("cam/lobby/", &camera, Timestamp(end + 3 * HOUR)).unwrap();
        assert_eq!(told.key, "silent/cam/lobby/");
        assert_eq!(told.subject, "cam/lobby/ has been silent for 3 hours");
        assert!(told.cause.contains("with 10 minutes in between at most"), "{}", told.cause);
        // And again a month later, since it is still silent.
        assert!(silent("cam/lobby/", &camera, Timestamp(end + 720 * HOUR)).is_some());
    }

    #[test]
    fn weekends_are_no_silence() {
        let office: Vec<_> = every(30, 21 * 24)
            .into_iter()
            .filter(|at| at.0 / HOUR / 24 % 7 < 5 && at.0 / HOUR % 24 / 8 == 1)
            .collect();
        for hour in 0..21 * 24 {
            let known: Vec<_> = office.iter().copied().filter(|at| at.0 <= hour * HOUR).collect();
            assert_eq!(silent("office", &known, Timestamp(hour * HOUR)), None, "hour {hour}");
        }
        assert!(silent("office", &office, Timestamp((21 + 12) * 24 * HOUR)).is_some());
    }

    #[test]
    fn what_has_no_habit_is_not_missed() {
        assert_eq!(silent("import", &every(1, 24), Timestamp(900 * HOUR)), None, "one busy day");
        assert_eq!(
            silent("rare", &every(48 * 60, 14 * 24), Timestamp(9_000 * HOUR)),
            None,
            "seven in two weeks"
        );
        assert_eq!(silent("new", &[], Timestamp(0)), None);
    }

    proptest! {
        /// Never while it is not silent for longer than ever before, always when it is silent for much longer.
        #[test]
        fn silence_is_longer_than_any_gap(gaps in prop::collection::vec(1..2_000i64, 1..200), wait in 0..20_000i64) {
            let mut at = 0;
            let mut arrivals = vec![Timestamp(0)];
            for gap in &gaps {
                at += gap * 60_000;
                arrivals.push(Timestamp(at));
            }
            let now = Timestamp(at + wait * 60_000);
            let found = silent("s", &arrivals, now);
            let lately = |i: &usize| at - arrivals[*i].0 <= WINDOW.as_millis() as i64;
            let first = (0..arrivals.len()).find(lately).unwrap();
            let largest = gaps[first..].iter().max().copied().unwrap_or_default();
            let habit = arrivals.len() - first >= ARRIVALS && at - arrivals[first].0 >= HABIT.as_millis() as i64;
            prop_assert_eq!(found.is_some(), habit && wait > (3 * largest).max(120));
            let turned: Vec<_> = arrivals.into_iter().rev().collect();
            prop_assert_eq!(silent("s", &turned, now), found);
        }
    }
}
