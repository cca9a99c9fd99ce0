use domain::Timestamp;
use jiff::{Timestamp as Instant, ToSpan as _, civil::Time, tz::TimeZone};
use serde::{Serialize, Serializer};

use crate::problem::clip;

/// Hours of the day in which something may be done: `22:00-06:00 Europe/Madrid`. They may pass midnight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    written: String,
    from: Time,
    to: Time,
    zone: TimeZone,
}

impl Hours {
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{}` are no hours of the day with their time zone, as in `22:00-06:00 Europe/Madrid`",
                clip(text)
            )
        };
        let (hours, zone) = text.trim().split_once(char::is_whitespace).ok_or_else(wrong)?;
        let (from, to) = hours.split_once('-').ok_or_else(wrong)?;
        let (from, to) = (time(from).ok_or_else(wrong)?, time(to).ok_or_else(wrong)?);
        if from == to {
            return Err(format!("`{}` begin when they end; leave `hours` out for the whole day", clip(text)));
        }
        let zone = zone.trim();
        let tz = TimeZone::get(zone)
            .map_err(|_| format!("`{}` is no time zone, such as Europe/Madrid or UTC", clip(zone)))?;
        let written = format!("{}-{} {zone}", from.strftime("%H:%M"), to.strftime("%H:%M"));
        Ok(Self { written, from, to, zone: tz })
    }

    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// When they begin next; nothing while they last.
    pub fn opens(&self, now: Timestamp) -> Option<Timestamp> {
        let now = instant(now)?;
        if self.hold(now) { None } else { self.change(now) }
    }

    /// When those that last come to their end; nothing outside of them.
    pub fn closes(&self, now: Timestamp) -> Option<Timestamp> {
        let now = instant(now)?;
        if self.hold(now) { self.change(now) } else { None }
    }

    fn hold(&self, at: Instant) -> bool {
        let time = at.to_zoned(self.zone.clone()).time();
        if self.from < self.to {
            self.from <= time && time < self.to
        } else {
            self.from <= time || time < self.to
        }
    }

    /// The first instant after this one at which it is otherwise: when a clock on the wall shows one of both times, or is set
    /// across it. An hour that a day has twice comes twice, and of hours that it lacks nothing is left.
    fn change(&self, now: Instant) -> Option<Timestamp> {
        let held = self.hold(now);
        let today = now.to_zoned(self.zone.clone()).date();
        // Two days further, as a day may lack both times.
        let days = (0..=2).filter_map(|n| today.checked_add(n.days()).ok());
        let shown =
            days.flat_map(|day| [self.from, self.to].map(|time| day.to_datetime(time))).flat_map(|at| {
                let at = self.zone.to_ambiguous_timestamp(at);
                [at.earlier(), at.later()].into_iter().filter_map(Result::ok)
            });
        let set = self.zone.following(now).take(2).map(|transition| transition.timestamp());
        let first = shown.chain(set).filter(|at| *at > now && self.hold(*at) != held).min()?;
        Some(Timestamp(first.as_millisecond()))
    }
}

fn instant(at: Timestamp) -> Option<Instant> {
    Instant::from_millisecond(at.0).ok()
}

/// `22:00`; `24:00` is midnight.
fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.trim().split_once(':')?;
    let two = |text: &str| (text.len() == 2).then(|| text.parse::<i8>().ok()).flatten();
    let (hour, minute) = (two(hour)?, two(minute)?);
    if (hour, minute) == (24, 0) { Some(Time::midnight()) } else { Time::new(hour, minute, 0, 0).ok() }
}

impl Serialize for Hours {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.written)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn hours_open_and_close_by_local_time() {
        let night = Hours::new("22:00-06:00 Europe/Madrid").unwrap();
        assert_eq!(night.opens(at("2026-06-01T12:00:00Z")), Some(at("2026-06-01T20:00:00Z")));
        assert_eq!(night.opens(at("2026-06-01T20:00:00Z")), None);
        assert_eq!(night.closes(at("2026-06-01T20:00:00Z")), Some(at("2026-06-02T04:00:00Z")));
        assert_eq!(night.closes(at("2026-06-02T03:59:59Z")), Some(at("2026-06-02T04:00:00Z")));
        assert_eq!(night.closes(at("2026-06-02T04:00:00Z")), None);
        assert_eq!(night.opens(at("2026-06-02T04:00:00Z")), Some(at("2026-06-02T20:00:00Z")));
        let day = Hours::new("08:00-24:00 UTC").unwrap();
        assert_eq!(day.closes(at("2026-06-01T08:00:00Z")), Some(at("2026-06-02T00:00:00Z")));
        assert_eq!(day.opens(at("2026-06-02T00:00:00Z")), Some(at("2026-06-02T08:00:00Z")));
    }

    /// An hour that a day lacks is no trap, and one that it has twice comes twice.
    #[test]
    fn when_the_clocks_change() {
        let hours = Hours::new("02:30-03:30 Europe/Madrid").unwrap();
        // At 01:00 UTC the clocks go from 02:00 to 03:00: what is left is half an hour.
        assert_eq!(hours.opens(at("2026-03-29T00:00:00Z")), Some(at("2026-03-29T01:00:00Z")));
        assert_eq!(hours.closes(at("2026-03-29T01:00:00Z")), Some(at("2026-03-29T01:30:00Z")));
        let lacking = Hours::new("02:15-02:45 Europe/Madrid").unwrap();
        assert_eq!(lacking.opens(at("2026-03-29T00:00:00Z")), Some(at("2026-03-30T00:15:00Z")));
        // At 01:00 UTC the clocks go from 03:00 back to 02:00.
        assert_eq!(hours.opens(at("2026-10-25T00:00:00Z")), Some(at("2026-10-25T00:30:00Z")));
        assert_eq!(hours.closes(at("2026-10-25T00:30:00Z")), Some(at("2026-10-25T01:00:00Z")));
        assert_eq!(hours.opens(at("2026-10-25T01:00:00Z")), Some(at("2026-10-25T01:30:00Z")));
        assert_eq!(hours.closes(at("2026-10-25T01:30:00Z")), Some(at("2026-10-25T02:30:00Z")));
    }

    proptest! {
        /// What is said of the next change holds up to it, and not from it on.
        #[test]
        fn nothing_changes_before_it_is_said_to(
            hours in (0u8..24, 0u8..4, 0u8..24, 0u8..4).prop_filter("empty", |(a, b, c, d)| (a, b) != (c, d)),
            zone in prop::sample::select(vec!["UTC", "Europe/Madrid", "Australia/Lord_Howe", "America/New_York"]),
            // 2026, by the minute.
            minute in 0i64..525_600,
            part in 0.0..1.0f64,
        ) {
            let (a, b, c, d) = hours;
            let hours = Hours::new(&format!("{a:02}:{:02}-{c:02}:{:02} {zone}", b * 15, d * 15)).unwrap();
            let now = Timestamp(1_767_225_600_000 + minute * 60_000);
            let (opens, closes) = (hours.opens(now), hours.closes(now));
            prop_assert!(opens.is_some() != closes.is_some());
            let change = opens.or(closes).unwrap();
            let between = Timestamp(now.0 + ((change.0 - now.0 - 1) as f64 * part) as i64);
            prop_assert_eq!(hours.opens(between), opens);
            prop_assert_eq!(hours.closes(between), closes);
            prop_assert_eq!(hours.opens(change).is_some(), closes.is_some());
        }
    }

    #[test]
    fn what_is_wrong_says_what_is_right() {
        for (text, says) in [
            ("22:00-06:00", "with their time zone"),
            ("22-06 UTC", "as in `22:00-06:00"),
            ("25:00-06:00 UTC", "are no hours"),
            ("06:00-06:00 UTC", "leave `hours` out"),
            ("22:00-06:00 Europe/Madird", "is no time zone"),
        ] {
            let message = Hours::new(text).expect_err(text);
            assert!(message.contains(says), "{text}: {message}");
        }
    }
}
