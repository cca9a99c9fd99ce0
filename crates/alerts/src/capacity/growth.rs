use std::{collections::BTreeMap, time::Duration};

use domain::Timestamp;
use serde::{Deserialize, Serialize};

use crate::stats;

/// How many bytes a store held, those in its trash and of old versions included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    pub at: Timestamp,
    pub bytes: u64,
}

/// How fast a store grows, in bytes a day; negative where it shrinks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    /// The median of the slopes between any two samples (Theil-Sen).
    pub p50: f64,
    /// What a tenth of those slopes exceed: how fast it grew when it grew fast.
    pub p90: f64,
    /// From the first sample to the last.
    pub over: Duration,
}

/// What is looked at.
const WINDOW: Duration = Duration::from_secs(14 * 24 * 60 * 60);
const HOUR_MS: i64 = 60 * 60 * 1000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Below it a single wild sample would decide. With one sample an hour there are as many after 30 hours.
const PAIRS: usize = 24;

impl Growth {
    /// Days until so many bytes have come: likely, and for the pessimist. Infinite where it does not grow.
    pub fn days_to(&self, bytes: u64) -> (f64, f64) {
        let days = |slope: f64| match slope {
            _ if bytes == 0 => 0.0,
            slope if slope > 0.0 => bytes as f64 / slope,
            _ => f64::INFINITY,
        };
        (days(self.p50), days(self.p90))
    }
}

/// Of the samples of the last 14 days, in any order; `None` where they are too few to say.
///
/// Only samples a day or more apart are compared: over less, the hour of the day would be taken for growth. At most one
/// sample an hour counts (the last), so that the work is bounded: 336 samples are 49 000 pairs.
pub fn growth(samples: &[Sample], now: Timestamp) -> Option<Growth> {
    let since = now - WINDOW;
    let mut hours: BTreeMap<i64, (i64, u64)> = BTreeMap::new();
    for s in samples.iter().filter(|s| since < s.at && s.at <= now) {
        let last = hours.entry(s.at.0.div_euclid(HOUR_MS)).or_insert((s.at.0, s.bytes));
        *last = (*last).max((s.at.0, s.bytes));
    }
    let hours: Vec<(i64, u64)> = hours.into_values().collect();
    let mut slopes = Vec::with_capacity(hours.len() * hours.len() / 2);
    for (i, (from, before)) in hours.iter().enumerate() {
        for (to, after) in hours[i..].iter().rev().take_while(|(to, _)| to - from >= DAY_MS) {
            slopes.push((*after as f64 - *before as f64) / ((to - from) as f64 / DAY_MS as f64));
        }
    }
    if slopes.len() < PAIRS {
        return None;
    }
    let p50 = stats::median(&mut slopes)?;
    let p90 = stats::quantile(&mut slopes, 0.9)?.max(p50);
    let (first, last) = (hours.first()?.0, hours.last()?.0);
    Some(Growth { p50, p90, over: Duration::from_millis((last - first) as u64) })
}
