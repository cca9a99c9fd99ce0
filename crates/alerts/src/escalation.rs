//! Who is told again, and when. From issue 4: "de-duplicated, cooled down, escalated when unacknowledged".
//!
//! What is wrong is judged again and again ([`capacity`](crate::capacity), [`anomaly`](crate::anomaly),
//! [`silence`](crate::silence)), and the same is found wrong every time. [`Pace::round`] makes of it what people hear:
//! once when it begins, again only while nobody says that he knows, each time after twice as long.

use std::time::Duration;

use domain::{Alert, Severity, Timestamp};
use serde::{Deserialize, Serialize};

/// How long an alert may stay unacknowledged before it is told again, at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pace {
    pub critical: Duration,
    pub warning: Duration,
    /// Doubling ends here.
    pub most: Duration,
}

/// A night shift is told of what is critical twice; a warning waits for the next day. Once a week is enough for what
/// nobody ever looks at.
impl Default for Pace {
    fn default() -> Self {
        let hours = |n: u64| Duration::from_secs(n * 60 * 60);
        Self { critical: hours(4), warning: hours(24), most: hours(7 * 24) }
    }
}

/// One alert and what became of it. The caller keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// As it was told first, with the cause as it is now.
    pub alert: Alert,
    pub raised_at: Timestamp,
    pub told_at: Option<Timestamp>,
    /// How often it was told.
    pub times: u32,
    pub acked_at: Option<Timestamp>,
    /// Since when it is not found wrong any more.
    #[serde(default)]
    pub gone_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// For the first time.
    Tell,
    Quiet,
    /// Again, as [`Open::again`].
    Escalate,
}

/// What [`Pace::round`] comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// What people are to be told now.
    pub tell: Vec<Alert>,
    /// To be kept for the next round.
    pub open: Vec<Open>,
    /// What is over, for whoever wants to say so.
    pub over: Vec<Alert>,
}

impl Open {
    pub fn new(alert: Alert) -> Self {
        Self { raised_at: alert.at, alert, told_at: None, times: 0, acked_at: None, gone_at: None }
    }

    /// Somebody knows: it is not told again, unless it becomes worse or comes back.
    pub fn acknowledge(&mut self, now: Timestamp) {
        self.acked_at.get_or_insert(now);
    }

    pub fn told(&mut self, now: Timestamp) {
        self.told_at = Some(now);
        self.times = self.times.saturating_add(1);
    }

    /// What is told when nobody says that he knows: it is critical by then, whatever it was.
    pub fn again(&self, now: Timestamp) -> Alert {
        let hours = now.since(self.raised_at).as_secs() / 3600;
        Alert {
            severity: Severity::Critical,
            subject: format!("still: {}", self.alert.subject),
            next: format!("{} Nobody has acknowledged this for {hours} hours.", self.alert.next),
            at: now,
            ..self.alert.clone()
        }
    }
}

impl Pace {
    pub fn next(&self, open: &Open, now: Timestamp) -> Next {
        let Some(told_at) = open.told_at else { return Next::Tell };
        let first = match open.alert.severity {
            Severity::Critical => self.critical,
            Severity::Warning => self.warning,
            Severity::Info => return Next::Quiet,
        };
        if open.acked_at.is_some() || open.gone_at.is_some() {
            return Next::Quiet;
        }
        // The catalog takes no alert of a key again before that.
        let (first, most) = (first.max(Alert::COOL_DOWN), self.most.max(Alert::COOL_DOWN));
        let doubled = 2u32.saturating_pow(open.times.saturating_sub(1).min(31));
        if now.since(told_at) >= first.saturating_mul(doubled).min(most) {
            Next::Escalate
        } else {
            Next::Quiet
        }
    }

    /// `open`: what the last round left. `wrong`: all that is found wrong now.
    ///
    /// What is gone and comes back within [`Alert::COOL_DOWN`] was never gone: a value that swings around its threshold
    /// is told of once.
    pub fn round(&self, open: Vec<Open>, wrong: Vec<Alert>, now: Timestamp) -> Round {
        let mut round = Round { tell: Vec::new(), open, over: Vec::new() };
        for it in &mut round.open {
            if !wrong.iter().any(|alert| alert.key == it.alert.key) {
                it.gone_at.get_or_insert(now);
            }
        }
        for alert in wrong {
            match round.open.iter_mut().find(|it| it.alert.key == alert.key) {
                None => round.open.push(Open::new(alert)),
                Some(it) if alert.severity > it.alert.severity => *it = Open::new(alert),
                Some(it) => {
                    it.gone_at = None;
                    // A better one is no news, and no reason to wait longer for somebody.
                    it.alert = Alert { severity: it.alert.severity, at: it.alert.at, ..alert };
                }
            }
        }
        for it in &mut round.open {
            match self.next(it, now) {
                Next::Quiet => continue,
                Next::Tell => round.tell.push(it.alert.clone()),
                Next::Escalate => round.tell.push(it.again(now)),
            }
            it.told(now);
        }
        let over = |it: &mut Open| it.gone_at.is_some_and(|gone| now.since(gone) >= Alert::COOL_DOWN);
        round.over = round.open.extract_if(.., over).map(|it| it.alert).collect();
        round
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000;

    fn alert(key: &str, severity: Severity, hour: i64) -> Alert {
        Alert {
            key: key.into(),
            severity,
            service: "capacity".into(),
            subject: "recordings is nearly full".into(),
            cause: format!("as of hour {hour}"),
            next: "Make room.".into(),
            recording: None,
            at: Timestamp(hour * HOUR),
        }
    }

    /// Hours at which something is told, and its subjects, when one alert is found wrong every hour.
    fn told(severity: Severity, hours: i64, ack: Option<i64>) -> Vec<(i64, Severity, String)> {
        let (pace, mut open, mut heard) = (Pace::default(), Vec::new(), Vec::new());
        for hour in 0..hours {
            let round = pace.round(open, vec![alert("k", severity, hour)], Timestamp(hour * HOUR));
            heard.extend(round.tell.into_iter().map(|a| (hour, a.severity, a.subject)));
            open = round.open;
            if ack == Some(hour) {
                open[0].acknowledge(Timestamp(hour * HOUR));
            }
        }
        heard
    }

    #[test]
    fn what_nobody_acknowledges_is_told_after_twice_as_long_each_time() {
        let hours = |severity| told(severity, 1000, None).iter().map(|t| t.0).collect::<Vec<_>>();
        assert_eq!(hours(Severity::Critical), [0, 4, 12, 28, 60, 124, 252, 420, 588, 756, 924]);
        assert_eq!(hours(Severity::Warning), [0, 24, 72, 168, 336, 504, 672, 840]);
        assert_eq!(hours(Severity::Info), [0]);
        let heard = told(Severity::Warning, 25, None);
        assert_eq!(heard[1], (24, Severity::Critical, "still: recordings is nearly full".to_owned()));
    }

    #[test]
    fn what_somebody_knows_of_is_told_no_more() {
        assert_eq!(told(Severity::Critical, 1000, Some(5)).len(), 2);
        assert_eq!(told(Severity::Critical, 1000, Some(0)).len(), 1);
    }

    #[test]
    fn what_swings_is_told_once_and_what_comes_back_later_again() {
        let (pace, mut open) = (Pace::default(), Vec::new());
        let mut heard = Vec::new();
        let mut over = 0;
        for minute in 0..240i64 {
            // Every other minute for an hour, then quiet for two, then again.
            let wrong =
                (minute < 60 && minute % 2 == 0 || minute >= 180).then(|| alert("k", Severity::Warning, 0));
            let round = pace.round(open, wrong.into_iter().collect(), Timestamp(minute * 60_000));
            heard.extend(round.tell.iter().map(|_| minute));
            over += round.over.len();
            open = round.open;
        }
        assert_eq!((heard, over), (vec![0, 180], 1));
    }

    #[test]
    fn what_becomes_worse_is_told_at_once_and_what_becomes_better_is_not() {
        let pace = Pace::default();
        let mut round = pace.round(Vec::new(), vec![alert("k", Severity::Warning, 0)], Timestamp(0));
        round.open[0].acknowledge(Timestamp(0));
        let round = pace.round(round.open, vec![alert("k", Severity::Critical, 1)], Timestamp(HOUR));
        assert_eq!(round.tell.iter().map(|a| a.severity).collect::<Vec<_>>(), [Severity::Critical]);
        let round = pace.round(round.open, vec![alert("k", Severity::Warning, 2)], Timestamp(2 * HOUR));
        assert!(round.tell.is_empty() && round.open[0].alert.cause == "as of hour 2");
    }

    proptest! {
        /// Whatever comes and goes: each is told when it begins, nothing is told twice within the cool-down unless it
        /// became worse, and what is kept stays within what was wrong lately.
        #[test]
        fn no_beginning_is_missed_and_nothing_is_told_too_often(
            rounds in prop::collection::vec((1..200i64, prop::collection::vec((0..3u8, 0..3usize), 0..3)), 1..60),
        ) {
            let pace = Pace { critical: Duration::ZERO, warning: Duration::ZERO, most: Duration::ZERO };
            let (mut open, mut now) = (Vec::<Open>::new(), 0);
            let mut last = HashMap::new();
            for (minutes, wrong) in rounds {
                now += minutes * 60_000;
                let severity = |i: usize| [Severity::Info, Severity::Warning, Severity::Critical][i];
                let wrong: Vec<_> =
                    wrong.iter().map(|(k, s)| Alert { at: Timestamp(now), ..alert(&k.to_string(), severity(*s), 0) }).collect();
                let before: HashMap<_, _> = open.iter().map(|o| (o.alert.key.clone(), o.alert.severity)).collect();
                let round = pace.round(open, wrong.clone(), Timestamp(now));
                for alert in &wrong {
                    let is_told = round.tell.iter().any(|t| t.key == alert.key);
                    prop_assert!(is_told || before.contains_key(&alert.key), "a beginning is missed");
                }
                for alert in &round.tell {
                    if let Some(at) = last.insert(alert.key.clone(), now) {
                        let worse = before.get(&alert.key).is_some_and(|b| alert.severity > *b);
                        prop_assert!(worse || now - at >= Alert::COOL_DOWN.as_millis() as i64);
                    }
                }
                let keys: HashSet<_> = round.open.iter().map(|o| &o.alert.key).collect();
                prop_assert_eq!(keys.len(), round.open.len(), "one a key");
                let text = serde_json::to_string(&round.open).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Vec<Open>>(&text).unwrap(), &round.open);
                open = round.open;
            }
        }
    }
}
