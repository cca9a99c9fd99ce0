//! What a day has brought, as one text and one JSON: everybody reads one message a day, also who filters single alerts
//! out. From issue 4: "digested daily".

use std::{cmp::Reverse, collections::BTreeMap, fmt::Write as _, time::Duration};

use domain::{Alert, Severity, Timestamp};
use serde::{Deserialize, Serialize};

use crate::render;

/// Alerts of [`Digest::DAY`], grouped by severity and service, the worst first. All of its texts are inert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    pub since: Timestamp,
    pub until: Timestamp,
    /// How many in all, those included that are not listed.
    pub alerts: u64,
    pub groups: Vec<Group>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub severity: Severity,
    pub service: String,
    pub alerts: u64,
    /// The latest first.
    pub news: Vec<News>,
    /// Causes that are not listed.
    pub more: u64,
}

/// All alerts of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    pub key: String,
    /// The last one's.
    pub subject: String,
    pub times: u64,
    pub last: Timestamp,
}

/// Bounds: the four copies that SNS gets stay below its 256 KiB, whatever the texts hold (see `render`).
mod most {
    pub const GROUPS: usize = 40;
    pub const NEWS: usize = 50;
    pub const OF_A_GROUP: usize = 10;
    /// In bytes.
    pub const SERVICE: usize = 64;
    pub const SUBJECT: usize = 160;
    pub const KEY: usize = 100;
}

impl Digest {
    pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// Of the alerts in any order those of the day before `now`.
    pub fn of<'a>(alerts: impl IntoIterator<Item = &'a Alert>, now: Timestamp) -> Self {
        let since = now - Self::DAY;
        let mut groups: BTreeMap<_, BTreeMap<&str, (u64, &Alert)>> = BTreeMap::new();
        let mut count = 0;
        for alert in alerts.into_iter().filter(|a| since < a.at && a.at <= now) {
            let group = groups.entry((Reverse(alert.severity), &alert.service)).or_default();
            let (times, last) = group.entry(&alert.key).or_insert((0, alert));
            *times += 1;
            // Of two at once the one whose text is greater: the order they come in must not matter.
            if (alert.at, &alert.subject) > (last.at, &last.subject) {
                *last = alert;
            }
            count += 1;
        }
        let mut left = most::NEWS;
        let groups = groups.into_iter().take(most::GROUPS);
        let groups = groups.map(|((severity, service), causes)| {
            let (alerts, all) = (causes.values().map(|(times, _)| times).sum(), causes.len());
            let mut news: Vec<_> = causes.into_values().map(|(times, last)| News::of(times, last)).collect();
            news.sort_by(|a, b| b.last.cmp(&a.last).then_with(|| a.key.cmp(&b.key)));
            news.truncate(left.min(most::OF_A_GROUP));
            left -= news.len();
            let service = render::short(service, most::SERVICE);
            Group { severity: severity.0, service, alerts, more: (all - news.len()) as u64, news }
        });
        Self { since, until: now, alerts: count, groups: groups.collect() }
    }

    /// Nothing to tell. Whoever wants a sign of life tells it all the same.
    pub fn is_empty(&self) -> bool {
        self.alerts == 0
    }

    /// One line: `[digest] 5 alerts: 1 critical, 4 warning`.
    pub fn subject(&self) -> String {
        format!("[digest] {}", self.summary())
    }

    fn summary(&self) -> String {
        let of = |severity| -> u64 {
            self.groups.iter().filter(|g| g.severity == severity).map(|g| g.alerts).sum()
        };
        let parts: Vec<String> = [Severity::Critical, Severity::Warning, Severity::Info]
            .into_iter()
            .filter(|s| of(*s) > 0)
            .map(|s| format!("{} {}", of(s), s.as_str()))
            .collect();
        match self.alerts {
            0 => "no alerts".to_owned(),
            1 => format!("1 alert: {}", parts.join(", ")),
            n => format!("{n} alerts: {}", parts.join(", ")),
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!("{}\nFrom {} to {}\n", self.summary(), self.since, self.until);
        for Group { severity, service, alerts, news, more } in &self.groups {
            let _ = writeln!(text, "\n{} - {service}: {alerts}", severity.as_str());
            for News { key, subject, times, last } in news {
                let times = if *times > 1 { format!(" ({times} times)") } else { String::new() };
                let _ = writeln!(text, "  {last}  {subject}{times}  [{key}]");
            }
            if *more > 0 {
                let _ = writeln!(text, "  and {more} more");
            }
        }
        text
    }

    /// For what reads it by program.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("a digest is text, numbers and names")
    }

    /// For ways that show no more than an alert.
    pub fn as_alert(&self) -> Alert {
        let worst = self.groups.first().and_then(|g| g.news.first());
        Alert {
            key: "digest".to_owned(),
            severity: Severity::Info,
            service: "alerts".to_owned(),
            subject: format!("Daily digest: {}", self.summary()),
            cause: worst.map_or_else(
                || "Nothing was told in the last 24 hours.".to_owned(),
                |w| format!("The worst, and of these the latest: {}", w.subject),
            ),
            next: "Look into what is critical first.".to_owned(),
            recording: None,
            at: self.until,
        }
    }
}

impl News {
    fn of(times: u64, last: &Alert) -> Self {
        let (key, subject) =
            (render::short(&last.key, most::KEY), render::short(&last.subject, most::SUBJECT));
        Self { key, subject, times, last: last.at }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn alert(service: &str, severity: Severity, key: &str, at: i64) -> Alert {
        Alert {
            key: key.into(),
            severity,
            service: service.into(),
            subject: format!("{key} happened"),
            cause: "why".into(),
            next: "what".into(),
            recording: None,
            at: Timestamp(at),
        }
    }

    const NOW: i64 = 1_790_000_000_000;

    #[test]
    fn a_day_is_one_text() {
        let alerts = [
            alert("convert", Severity::Warning, "b", NOW - 9_000),
            alert("backup", Severity::Critical, "a", NOW - 7_000),
            alert("convert", Severity::Warning, "b", NOW - 2_000),
            alert("convert", Severity::Warning, "c", NOW - 3_000),
            alert("convert", Severity::Warning, "old", NOW - 24 * 3_600_000),
            alert("convert", Severity::Warning, "not yet", NOW + 1),
        ];
        let digest = Digest::of(&alerts, Timestamp(NOW));
        assert_eq!(digest.subject(), "[digest] 4 alerts: 1 critical, 3 warning");
        let expected = "\
4 alerts: 1 critical, 3 warning
From 2026-09-20T14:13:20Z to 2026-09-21T14:13:20Z

critical - backup: 1
  2026-09-21T14:13:13Z  a happened  [a]

warning - convert: 3
  2026-09-21T14:13:18Z  b happened (2 times)  [b]
  2026-09-21T14:13:17Z  c happened  [c]
";
        assert_eq!(digest.text(), expected);
        assert_eq!(serde_json::from_str::<Digest>(&digest.json()).unwrap(), digest);
        assert_eq!(digest.as_alert().subject, "Daily digest: 4 alerts: 1 critical, 3 warning");
        assert!(Digest::of(&[], Timestamp(NOW)).is_empty());
    }

    /// Quotes grow most in JSON within JSON, which is what SNS gets.
    #[test]
    fn however_many_and_long_it_fits_into_a_message() {
        for filler in ["\"", "\u{1b}", "ü", "\\"] {
            let alerts: Vec<_> = (0..20_000)
                .map(|i| Alert {
                    service: format!("{}{}", i % 200, filler.repeat(5_000)),
                    ..alert("", Severity::Warning, &format!("{i}{}", filler.repeat(5_000)), NOW - i)
                })
                .take(2_000)
                .collect();
            let digest = Digest::of(&alerts, Timestamp(NOW));
            assert_eq!((digest.alerts, digest.groups.len()), (2_000, most::GROUPS));
            let (text, json) = (digest.text(), digest.json());
            let sent = serde_json::json!({ "default": text, "a": json, "b": json, "c": json }).to_string();
            assert!(sent.len() < 250 << 10, "{filler:?}: {}", sent.len());
            assert!(!text.contains('\u{1b}'));
        }
    }

    proptest! {
        /// In whatever order they come.
        #[test]
        fn every_alert_of_the_day_is_counted_and_no_other(
            which in prop::collection::vec((0..3u8, 0..4u8, 0..3usize, -100_000_000..10_000_000i64), 0..200),
        ) {
            let alerts: Vec<_> = which
                .iter()
                .map(|(service, key, severity, at)| {
                    let severity = [Severity::Info, Severity::Warning, Severity::Critical][*severity];
                    alert(&service.to_string(), severity, &key.to_string(), NOW + at)
                })
                .collect();
            let digest = Digest::of(&alerts, Timestamp(NOW));
            let day = |a: &&Alert| a.at.0 > NOW - 86_400_000 && a.at.0 <= NOW;
            prop_assert_eq!(digest.alerts as usize, alerts.iter().filter(day).count());
            prop_assert_eq!(digest.alerts, digest.groups.iter().map(|g| g.alerts).sum::<u64>());
            for group in &digest.groups {
                prop_assert_eq!(group.alerts, group.news.iter().map(|n| n.times).sum::<u64>());
            }
            prop_assert!(digest.groups.windows(2).all(|w| w[0].severity >= w[1].severity), "the worst first");
            let turned: Vec<_> = alerts.iter().rev().collect();
            prop_assert_eq!(Digest::of(turned, Timestamp(NOW)), digest);
        }
    }
}
