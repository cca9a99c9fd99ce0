use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3_600_000;
const GB: f64 = 1e9;

fn samples(hours: i64, bytes: impl Fn(i64) -> f64) -> Vec<Sample> {
    (0..hours).map(|h| Sample { at: Timestamp(h * HOUR), bytes: bytes(h).max(0.0) as u64 }).collect()
}

fn store(samples: &[Sample], capacity: f64) -> Store<'_> {
    Store { name: "recordings", capacity: capacity as u64, samples }
}

/// Looks every hour from the first sample on, and keeps what each look found.
fn looks(samples: &[Sample], capacity: f64) -> Vec<Assessment> {
    let mut state = State::default();
    let looks = samples.iter().enumerate().map(|(i, sample)| {
        let assessment = assess(&store(&samples[..=i], capacity), state, sample.at);
        state = assessment.state;
        assessment
    });
    looks.collect()
}

#[test]
fn a_steady_growth_is_told_in_time_and_in_full() {
    // 10 GB a day, full after 40 days.
    let samples = samples(40 * 24, |h| h as f64 * 10.0 * GB / 24.0);
    let looks = looks(&samples, 400.0 * GB);
    let first = |severity, what: &str| {
        let told = |a: &Assessment| a.alerts.iter().any(|a| a.severity == severity && a.key.contains(what));
        looks.iter().position(told).unwrap() as f64 / 24.0
    };
    // One hour after the threshold, since it has to be found twice.
    assert!((26.0..26.2).contains(&first(Severity::Warning, "growth")));
    assert!((37.0..37.2).contains(&first(Severity::Critical, "growth")));
    assert!((34.0..34.1).contains(&first(Severity::Warning, "filled")));
    assert!((38.0..38.1).contains(&first(Severity::Critical, "filled")));
    let told = &looks[27 * 24].alerts[0];
    assert_eq!(told.key, "capacity/recordings/growth/warning");
    assert_eq!(told.subject, "recordings is full in about 13 days");
    assert_eq!(
        told.cause,
        "It holds 270 GB of 400 GB (68 %). In the last 14 days it grew by 10 GB a day (median), and in its worst tenth \
         by 10 GB: it is full in 13 days (p50), for the pessimist in 13 days (p90)."
    );
    assert!(told.next.contains("`videorec plan`") && told.at == samples[27 * 24].at);
}

/// Cameras that record by day, an import, samples that are wrong: none of them is growth.
#[test]
fn what_comes_and_goes_is_no_growth() {
    let by_day = samples(30 * 24, |h| 300.0 * GB + if h % 24 < 12 { 50.0 * GB } else { 0.0 });
    let wrong = samples(30 * 24, |h| if h % 10 == 7 { 0.0 } else { 300.0 * GB });
    let import = samples(30 * 24, |h| if h < 20 * 24 { 250.0 * GB } else { 330.0 * GB });
    for samples in [by_day, wrong, import] {
        // A look at every fifth hour meets every hour of the day.
        let looks = (0..samples.len()).step_by(5).map(|i| growth(&samples[..=i], samples[i].at));
        let slopes = looks.flatten().map(|growth| growth.p50 / GB);
        assert_eq!(slopes.filter(|slope| !(-0.1..10.0).contains(slope)).count(), 0);
    }
}

#[test]
fn a_level_stays_until_there_is_one_and_a_half_times_the_room() {
    let at = |p50: f64, growing| {
        let outlook = Outlook { p50, p90: p50 };
        let before = State { growing, rising: None, ..State::default() };
        next(before, Some(outlook), 0.0, Timestamp(1)).growing
    };
    use Severity::*;
    assert_eq!(at(13.0, None), None, "once is not enough");
    assert_eq!(at(20.9, Some(Warning)), Some(Warning));
    assert_eq!(at(21.1, Some(Warning)), None);
    assert_eq!(at(4.4, Some(Critical)), Some(Critical));
    assert_eq!(at(4.6, Some(Critical)), Some(Warning), "a better level, not none");
    assert_eq!(at(22.0, Some(Critical)), None);
    assert_eq!(at(2.0, Some(Warning)), Some(Warning), "once is not enough");
}

#[test]
fn the_pessimist_warns_and_wakes_nobody() {
    let outlook = Outlook { p50: 40.0, p90: 2.0 };
    assert_eq!(outlook.level(1.0), Some(Severity::Warning));
    assert_eq!(Outlook { p90: 3.1, ..outlook }.level(1.0), None);
}

#[test]
fn filling_is_told_at_once_and_until_it_is_well_below() {
    let percent = [84.0, 86.0, 83.0, 81.0, 79.0, 96.0, 91.0, 89.0, 79.0];
    let samples = samples(9, |h| percent[h as usize] * GB);
    let levels: Vec<_> = looks(&samples, 100.0 * GB).iter().map(|a| a.state.filled).collect();
    let (w, c) = (Some(Severity::Warning), Some(Severity::Critical));
    assert_eq!(levels, [None, w, w, w, None, c, c, w, None]);
}

#[test]
fn what_cannot_be_said_is_not_said() {
    let few = samples(24, |h| h as f64 * GB);
    assert_eq!(growth(&few, Timestamp(24 * HOUR)), None);
    let none = Store { name: "x", capacity: 0, samples: &few };
    assert!(assess(&none, State::default(), Timestamp(24 * HOUR)).alerts.is_empty());
    assert!(assess(&store(&[], GB), State::default(), Timestamp(0)).alerts.is_empty());
    let full = [Sample { at: Timestamp(0), bytes: u64::MAX }];
    assert_eq!(assess(&store(&full, GB), State::default(), Timestamp(0)).alerts.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Noise, a daily swing and a quarter of wild samples do not move the median far from the truth.
    #[test]
    fn the_slope_is_robust(
        per_day in -50.0..50.0f64, swing in 0.0..20.0f64, hours in 14 * 24..16 * 24i64,
        noise in prop::collection::vec(-1.0..1.0f64, 400), wild in prop::collection::vec(0.0..4000.0f64, 50),
    ) {
        let truth = |h: i64| 2000.0 + per_day * h as f64 / 24.0 + noise[h as usize] * 2.0
            + swing * (h as f64 / 24.0 * std::f64::consts::TAU).sin();
        let samples = samples(hours, |h| GB * if h % 8 == 3 { wild[(h / 8) as usize] } else { truth(h) });
        let found = growth(&samples, Timestamp(hours * HOUR)).unwrap();
        let tolerance = 0.1 * per_day.abs() + 0.3 * swing + 2.0;
        prop_assert!((found.p50 / GB - per_day).abs() <= tolerance, "{} for {per_day}", found.p50 / GB);
        prop_assert!(found.p90 >= found.p50);
        let (p50, p90) = found.days_to(1_000_000_000_000);
        prop_assert!(p90 <= p50 && p90 >= 0.0);
    }

    /// Neither the order of samples nor what was there at the beginning matters, nor how many there are in an hour.
    #[test]
    fn only_what_is_added_counts(
        bytes in prop::collection::vec(0..1u64 << 40, 40..120), base in 0..1u64 << 40, seed: u64,
    ) {
        let now = Timestamp(bytes.len() as i64 * HOUR);
        let of = |base: u64| bytes.iter().enumerate().map(move |(h, b)|
            Sample { at: Timestamp(h as i64 * HOUR), bytes: base + b }).collect::<Vec<_>>();
        let (plain, mut raised) = (of(0), of(base));
        let first = growth(&plain, now).unwrap();
        let earlier: Vec<_> = raised.iter().map(|s| Sample { at: s.at, bytes: s.bytes / 2 }).collect();
        for s in &mut raised { s.at = s.at + std::time::Duration::from_secs(1); }
        raised.extend(earlier);
        let n = raised.len() as u64;
        raised.sort_by_key(|s| (s.bytes ^ seed) % n);
        let second = growth(&raised, now + std::time::Duration::from_secs(1)).unwrap();
        prop_assert!((first.p50 - second.p50).abs() <= 1.0 && (first.p90 - second.p90).abs() <= 1.0);
    }

    /// Whatever is found, a worse level of growth was found twice in a row, and a better one has the room to show.
    #[test]
    fn levels_change_only_for_a_reason(days in prop::collection::vec((0.0..40.0f64, 0.1..1.0f64), 2..80)) {
        let (mut state, mut last) = (State::default(), None);
        for (i, (p50, share)) in days.into_iter().enumerate() {
            let outlook = Outlook { p50, p90: p50 * share };
            let found = outlook.level(1.0);
            let new = next(state, Some(outlook), 0.0, Timestamp(i as i64));
            if new.growing > state.growing {
                prop_assert!(found >= new.growing && last >= new.growing, "twice in a row");
            }
            if new.growing < state.growing {
                prop_assert!(outlook.level(CLEAR) <= new.growing, "1.5 times the room");
            }
            if found >= last && last.is_some() {
                prop_assert!(new.growing >= last, "what is found twice is believed");
            }
            (state, last) = (new, found);
        }
    }

    /// The relay may look more often than there are samples, and after a crash once more.
    #[test]
    fn looking_twice_at_the_same_is_looking_once(bytes in prop::collection::vec(0..100u64, 30..80)) {
        let samples = samples(bytes.len() as i64, |h| bytes[h as usize] as f64 * GB);
        let (mut once, mut often) = (State::default(), State::default());
        for (i, sample) in samples.iter().enumerate() {
            let store = store(&samples[..=i], 100.0 * GB);
            once = assess(&store, once, sample.at).state;
            for _ in 0..3 {
                often = assess(&store, often, sample.at).state;
            }
            prop_assert_eq!(once, often);
            let text = serde_json::to_string(&once).unwrap();
            prop_assert_eq!(serde_json::from_str::<State>(&text).unwrap(), once);
        }
    }
}
