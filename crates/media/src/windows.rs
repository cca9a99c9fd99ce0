//! How much to decode: all of it when that is cheap, else a head, a middle and a tail.

use crate::Check;

/// What a stream set costs to decode.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Work {
    /// Microseconds.
    pub duration: i64,
    /// Where the recording's own clock begins, in microseconds; MPEG-TS rarely begins at zero.
    pub start: i64,
    /// Units of work for all of it; see [`picture`] and [`SOUND`].
    pub cost: u64,
    /// Microseconds that decoding may have to go back for a key frame; `None` when unknown.
    pub key_interval: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    Nothing,
    Everything,
    /// Start (`None`: the beginning) and length in microseconds.
    Windows(Vec<(Option<i64>, i64)>),
}

/// About two to five seconds of one core, by codec.
const BUDGET: u64 = 1_000_000_000;
/// A third of that for the windows of a long one, so that the check stays a small part of what converting takes (4 % of
/// a 720p transcode's time went here); what it does not see, converting does.
const SAMPLE: u64 = BUDGET / 3;
/// Recordings up to this long are decoded as a whole when the budget allows.
const SHORT_US: i64 = 120_000_000;
const WINDOW_US: i64 = 20_000_000;
const MIN_WINDOW_US: i64 = 1_000_000;
/// A packet of sound costs about as much as this many pixels.
pub(crate) const SOUND: u64 = 30_000;

/// The work of one picture. Every one also costs its headers and a line of output.
pub(crate) fn picture(pixels: u64) -> u64 {
    pixels + 30_000
}

pub(crate) fn plan(check: Check, work: &Work) -> Plan {
    match check {
        Check::None => return Plan::Nothing,
        Check::Full => return Plan::Everything,
        Check::Windows => {}
    }
    if work.cost <= BUDGET && work.duration <= SHORT_US || work.duration <= 0 {
        return Plan::Everything;
    }
    let cost_of = |micros: i64| (u128::from(work.cost) * micros as u128 / work.duration as u128) as u64;
    let affordable = u128::from(SAMPLE / 3) * work.duration as u128 / u128::from(work.cost.max(1));
    let window = i64::try_from(affordable).unwrap_or(i64::MAX).clamp(MIN_WINDOW_US, WINDOW_US);
    if work.duration <= 3 * window {
        return Plan::Everything;
    }
    let mut windows = vec![(None, window)];
    // Decoding in the middle begins at the key frame before, which may be hours away.
    if work.key_interval.is_some_and(|interval| cost_of(interval) <= BUDGET / 2) {
        windows.push((Some(work.start + (work.duration - window) / 2), window));
        windows.push((Some(work.start + work.duration - window), window));
    }
    Plan::Windows(windows)
}

/// Whether all of several kinds is decoded, cheaply, so that one run may do it: starting ffprobe takes longer than decoding a clip
/// does.
pub(crate) fn at_once(check: Check, works: &[Work]) -> bool {
    let everything = |work: &Work| work.cost > 0 && plan(check, work) == Plan::Everything;
    check == Check::Windows
        && works.iter().all(everything)
        && works.iter().fold(0, |sum: u64, work| sum.saturating_add(work.cost)) <= BUDGET
}

impl Plan {
    /// ffprobe's `-read_intervals` for each run of its own; none of it for everything.
    pub fn runs(&self) -> Vec<Option<String>> {
        let seconds = |us: i64| format!("{:.3}", us as f64 / 1e6);
        match self {
            Plan::Nothing => Vec::new(),
            Plan::Everything => vec![None],
            Plan::Windows(windows) => windows
                .iter()
                .map(|(start, length)| {
                    Some(format!("{}%+{}", start.map(seconds).unwrap_or_default(), seconds(*length)))
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;

    #[test]
    fn a_short_recording_is_decoded_as_a_whole() {
        let work =
            Work { duration: 30 * S, start: 0, cost: 900 * picture(1280 * 720), key_interval: Some(2 * S) };
        assert_eq!(plan(Check::Windows, &work), Plan::Everything);
        assert_eq!(plan(Check::None, &work), Plan::Nothing);
    }

    #[test]
    fn several_kinds_at_once_where_all_of_all_is_cheap() {
        let of = |seconds: i64, cost: u64| Work {
            duration: seconds * S,
            start: 0,
            cost,
            key_interval: Some(2 * S),
        };
        let clip = [of(30, 300 * picture(640 * 480)), of(30, 1_400 * SOUND)];
        assert!(at_once(Check::Windows, &clip));
        assert!(!at_once(Check::Full, &clip), "which takes as long as it takes");
        assert!(!at_once(Check::None, &clip));
        assert!(!at_once(Check::Windows, &[clip[0], Work::default()]), "there is one kind only");
        assert!(!at_once(Check::Windows, &[of(300, 9_000 * picture(1280 * 720)), clip[1]]), "in windows");
        assert!(!at_once(Check::Windows, &[of(30, BUDGET), clip[1]]), "each is cheap, and both are not");
        // Without a duration everything is decoded, whatever it costs.
        assert!(!at_once(Check::Windows, &[of(0, u64::MAX), of(0, u64::MAX)]));
    }

    #[test]
    fn a_long_one_in_three_windows_within_the_budget() {
        let work =
            Work { duration: 300 * S, start: S, cost: 9000 * picture(1280 * 720), key_interval: Some(2 * S) };
        let plan = plan(Check::Windows, &work);
        let runs: Vec<_> = plan.runs().into_iter().flatten().collect();
        assert_eq!(runs, ["%+3.892", "149.054%+3.892", "297.108%+3.892"]);
    }

    #[test]
    fn a_day_with_one_key_frame_is_not_decoded_to_reach_its_middle() {
        let day = 86_400 * S;
        let work = Work { duration: day, start: 0, cost: 86_400 * picture(64 * 64), key_interval: Some(day) };
        assert_eq!(plan(Check::Windows, &work).runs(), [Some("%+20.000".to_owned())]);
    }
}
