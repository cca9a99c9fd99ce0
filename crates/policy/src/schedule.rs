use domain::Timestamp;
use serde::{Serialize, Serializer};

use crate::{matching::NEVER, problem::clip};

/// When a rule asks for things: five fields of cron and a time zone, `0 2 * * * Europe/Madrid`.
///
/// Time zones come from the machine's database, else from the one that is built in; they are read with the policy.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    pub(crate) written: String,
    crontab: cronexpr::Crontab,
}

impl Schedule {
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        match fields.len() {
            6 => {}
            5 => {
                return Err(format!(
                    "`{}` has no time zone; write `{text} Europe/Madrid`, or `{text} UTC`",
                    clip(text)
                ));
            }
            n => {
                return Err(format!(
                    "`{}` has {n} fields; a schedule has six: minute hour day month weekday zone, as in `0 2 * * * \
                     Europe/Madrid`",
                    clip(text)
                ));
            }
        }
        let written = fields.join(" ");
        let crontab = cronexpr::parse_crontab(&written).map_err(|error| {
            let error = error.to_string();
            // The library draws the text and a caret; what it has to say follows the caret.
            let reason =
                error.rsplit("^ ").next().unwrap_or(&error).split("; for a list").next().unwrap_or_default();
            format!("`{}` is no schedule: {}", clip(&written), crate::problem::clip_to(reason, 160))
        })?;
        let schedule = Self { written, crontab };
        // From right after a leap day, so that the next one is within the four years that are looked at.
        if schedule.from(Timestamp(1_709_251_200_000)) == NEVER {
            return Err(format!("`{}` never comes: there is no such day", clip(&schedule.written)));
        }
        Ok(schedule)
    }

    /// The first firing from an instant on.
    pub(crate) fn from(&self, at: Timestamp) -> Timestamp {
        // The library looks after an instant and by minutes.
        let before = cronexpr::MakeTimestamp::from_millisecond(at.0.saturating_sub(1));
        let firing = before.and_then(|before| self.crontab.find_next(before));
        firing.map_or(NEVER, |zoned| Timestamp(zoned.timestamp().as_millisecond()))
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(schedule: &str, at: &str) -> String {
        Schedule::new(schedule).unwrap().from(at.parse().unwrap()).to_string()
    }

    #[test]
    fn firings_are_local_and_the_instant_itself_counts() {
        let nightly = "0 2 * * * Europe/Madrid";
        assert_eq!(from(nightly, "2026-06-01T00:00:00Z"), "2026-06-01T00:00:00Z");
        assert_eq!(from(nightly, "2026-06-01T00:00:00.001Z"), "2026-06-02T00:00:00Z");
        assert_eq!(from(nightly, "2026-12-01T00:00:00Z"), "2026-12-01T01:00:00Z");
        assert_eq!(from("30 9 * * 1-5 UTC", "2026-06-06T12:00:00Z"), "2026-06-08T09:30:00Z");
    }

    /// A time that a day lacks is left out on that day; one that it has twice comes twice, and what was asked for at the
    /// first is not asked for again.
    #[test]
    fn when_the_clocks_change() {
        let nightly = "30 2 * * * Europe/Madrid";
        assert_eq!(from(nightly, "2026-03-28T12:00:00Z"), "2026-03-30T00:30:00Z");
        assert_eq!(from(nightly, "2026-10-24T12:00:00Z"), "2026-10-25T00:30:00Z");
        assert_eq!(from(nightly, "2026-10-25T00:30:01Z"), "2026-10-25T01:30:00Z");
    }

    #[test]
    fn what_is_wrong_says_what_is_right() {
        for (text, part) in [
            ("0 2 * * *", "has no time zone; write `0 2 * * * Europe/Madrid`"),
            ("nightly", "has 1 fields; a schedule has six"),
            ("0 2 * * * Europe/Madird", "Europe/Madird"),
            ("61 2 * * * UTC", "must be in range 0..=59"),
            ("0 0 30 2 * UTC", "never comes: there is no such day"),
        ] {
            let message = Schedule::new(text).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
