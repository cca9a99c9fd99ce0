use domain::Timestamp;
use jiff::{Timestamp as Instant, ToSpan as _, Zoned, civil::Time, tz::TimeZone};
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
        let here = self.local(now)?;
        (!self.holds(here.time())).then(|| next(&here, self.from)).flatten()
    }

    /// When those that last come to their end; nothing outside of them.
    pub fn closes(&self, now: Timestamp) -> Option<Timestamp> {
        let here = self.local(now)?;
        self.holds(here.time()).then(|| next(&here, self.to)).flatten()
    }

    fn local(&self, now: Timestamp) -> Option<Zoned> {
        Some(Instant::from_millisecond(now.0).ok()?.to_zoned(self.zone.clone()))
    }

    fn holds(&self, time: Time) -> bool {
        if self.from < self.to {
            self.from <= time && time < self.to
        } else {
            self.from <= time || time < self.to
        }
    }
}

/// The next instant at which it is that time. Where the clocks skip it, as much later.
fn next(here: &Zoned, time: Time) -> Option<Timestamp> {
    let today = here.with().time(time).build().ok()?;
    let found = if today.timestamp() > here.timestamp() {
        today
    } else {
        here.checked_add(1.day()).ok()?.with().time(time).build().ok()?
    };
    Some(Timestamp(found.timestamp().as_millisecond()))
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

    /// An hour that a day lacks is no trap: whoever waits for it waits no longer than that day.
    #[test]
    fn when_the_clocks_change() {
        let hours = Hours::new("02:30-03:30 Europe/Madrid").unwrap();
        assert_eq!(hours.opens(at("2026-03-29T00:00:00Z")), Some(at("2026-03-29T01:30:00Z")));
        assert_eq!(hours.opens(at("2026-10-25T00:00:00Z")), Some(at("2026-10-25T00:30:00Z")));
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
