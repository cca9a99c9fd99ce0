use proptest::prelude::*;

use super::*;

/// 1970-01-01 plus 80 weeks.
const NOW: i64 = 80 * WEEK_MS;

/// Every hour of the ten weeks before `NOW`.
fn history(count: impl Fn(i64) -> u64) -> Vec<Hour> {
    (1..10 * 168)
        .map(|back| NOW - back * HOUR_MS)
        .map(|at| Hour { at: Timestamp(at), count: count(at / HOUR_MS) })
        .collect()
}

fn hour(count: u64) -> Hour {
    Hour { at: Timestamp(NOW), count }
}

#[test]
fn an_hour_is_compared_with_that_hour_of_other_weeks() {
    // A store that gets 600 on Thursdays at midnight (when 1970 began) and 20 at any other time.
    let weekly = history(|h| if h % 168 == 0 { 600 } else { 20 });
    assert_eq!(unusual(Counted::Ingest, &weekly, hour(600)), None);
    let low = unusual(Counted::Ingest, &weekly, hour(20)).unwrap();
    assert_eq!(
        (low.key.as_str(), low.severity, low.subject.as_str()),
        (
            "anomaly/ingest/low/warning",
            Severity::Warning,
            "fewer recordings came in than usual: 20 in an hour, usually 600"
        )
    );
    let other = Hour { at: Timestamp(NOW + HOUR_MS), count: 600 };
    let high = unusual(Counted::Ingest, &weekly, other).unwrap();
    assert_eq!(high.key, "anomaly/ingest/high/warning");
    assert!(high.cause.contains("last 8 weeks") && high.cause.contains("20 (median)"), "{}", high.cause);
}

#[test]
fn little_is_no_anomaly() {
    let quiet = history(|_| 0);
    for (count, found) in [(3, false), (10, false), (11, true)] {
        assert_eq!(unusual(Counted::Ingest, &quiet, hour(count)).is_some(), found, "{count}");
    }
    // As regular as a clock: chance alone would be a little more or less.
    let regular = history(|_| 100);
    for (count, found) in [(100, false), (135, false), (65, false), (145, true), (55, true)] {
        assert_eq!(unusual(Counted::Ingest, &regular, hour(count)).is_some(), found, "{count}");
    }
}

#[test]
fn many_deletions_wake_somebody_and_few_do_not() {
    let regular = history(|_| 100);
    let many = unusual(Counted::Deletes, &regular, hour(5_000)).unwrap();
    assert_eq!((many.severity, many.key.as_str()), (Severity::Critical, "anomaly/deletes/high/critical"));
    assert_eq!(unusual(Counted::Deletes, &regular, hour(0)), None);
}

#[test]
fn a_short_history_says_nothing() {
    let young: Vec<_> = history(|_| 10).into_iter().filter(|h| h.at.0 > NOW - 4 * WEEK_MS).collect();
    assert_eq!(unusual(Counted::Ingest, &young, hour(10_000)), None, "three weeks");
}

#[test]
fn a_burst_is_many_failures_that_are_unlike_before() {
    let burst = |usual: u64, count, succeeded| {
        failures(&history(|_| usual), hour(count), succeeded).map(|a| a.severity)
    };
    assert_eq!(burst(0, 4, 0), None, "the floor");
    assert_eq!(burst(0, 11, 1_000), Some(Severity::Warning));
    assert_eq!(burst(0, 11, 10), Some(Severity::Critical), "most fail");
    assert_eq!(burst(20, 30, 0), None, "as ever");
    assert_eq!(failures(&[], hour(5), 1).map(|a| a.severity), Some(Severity::Critical), "nothing known yet");
    let told = failures(&history(|_| 2), hour(40), 20).unwrap();
    assert_eq!(told.subject, "40 of 60 jobs failed in an hour");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Counts that are the mean and what chance adds, most of the time: nobody is told.
    #[test]
    fn chance_is_no_anomaly(
        mean in 0.0..2_000.0f64, noise in prop::collection::vec(-1.5..1.5f64, 10 * 168), today in -1.5..1.5f64,
    ) {
        let count = |z: f64| (mean + z * mean.sqrt()).max(0.0).round() as u64;
        let past = history(|h| count(noise[(h % (10 * 168)) as usize]));
        prop_assert_eq!(unusual(Counted::Ingest, &past, hour(count(today))), None);
        prop_assert_eq!(failures(&past, hour(count(today)), 0), None);
    }

    /// The further away, the more it is one; and the order of history does not matter.
    #[test]
    fn what_is_far_is_found(counts in prop::collection::vec(0..500u64, 168), by in 0..5_000u64, more in 0..5_000u64) {
        let past = history(|h| counts[(h % 168) as usize]);
        let usual = counts[(NOW / HOUR_MS % 168) as usize];
        let turned: Vec<_> = past.iter().rev().copied().collect();
        let near = unusual(Counted::Ingest, &past, hour(usual + by));
        prop_assert_eq!(&unusual(Counted::Ingest, &turned, hour(usual + by)), &near);
        if near.is_some() {
            prop_assert!(unusual(Counted::Ingest, &past, hour(usual + by + more)).is_some());
        }
        prop_assert_eq!(near.is_some(), by as f64 > (SPREADS * BY_CHANCE * (usual as f64).sqrt()).max(FLOOR));
        prop_assert!(by <= 10 || near.is_some() || usual > 0);
    }

    /// One strange week among the others changes nothing.
    #[test]
    fn a_strange_week_is_forgotten(strange in 0..100_000u64, week in 1..8i64) {
        let past = history(|h| if NOW / HOUR_MS - h == week * 168 { strange } else { 100 });
        prop_assert_eq!(unusual(Counted::Ingest, &past, hour(110)), None);
        prop_assert!(unusual(Counted::Ingest, &past, hour(1_000)).is_some());
    }
}
