//! Sizes, durations, loudness, dates, and comparisons of them.
//!
//! Sizes: SI prefixes are powers of 1000 (BIPM, The International System of Units, 9th edition, 3.1) and
//! binary prefixes powers of 1024 (IEC 80000-13): `1MB` = 10^6 bytes, `1MiB` = 2^20.
//! Durations: minute, hour and day as in the SI's table of accepted units; a week is 7 days. A year is 365
//! days, not a calendar year, so that an age means the same on every date; there is no month for that reason.
//! Loudness: LUFS as in EBU R 128.
//! Dates: RFC 3339; a date alone is its midnight in UTC.

use std::time::Duration;

use domain::{Tenths, Timestamp};
use serde::Serialize;

use crate::problem::clip;

/// Bytes: `1MB`, `1.5GiB`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    quantity(text, SIZES, "a size", "1MB, 1MiB, 40TB")
}

/// Milliseconds: `30d`, `1h 30m`.
pub(crate) fn duration(text: &str) -> Result<u64, String> {
    let mut total: u64 = 0;
    let parts = split_quantities(text);
    if parts.is_empty() {
        return quantity(text, DURATIONS, "a duration", "30d, 12h, 10m, 45s");
    }
    for part in parts {
        let part = quantity(part, DURATIONS, "a duration", "30d, 12h, 10m, 45s")?;
        total = total.checked_add(part).ok_or_else(|| format!("`{}` is too long", clip(text)))?;
    }
    Ok(total)
}

/// Thousandths: `85%`, `0.3%`; the sign may be left out.
pub(crate) fn permille(text: &str) -> Result<u32, String> {
    let number = text.trim().trim_end_matches('%').trim_end();
    let bad = || format!("`{}` is not a percentage from 0 to 100; examples: 5%, 0.3%", clip(text));
    let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
    if tenth.len() != 1 || !digits(tenth) || !digits(whole) || whole.len() > 3 {
        return Err(bad());
    }
    let value = format!("{whole}{tenth}").parse::<u32>().map_err(|_| bad())?;
    if value <= 1000 { Ok(value) } else { Err(bad()) }
}

/// Pixels and other plain numbers.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{}` is not a whole number", clip(text)))
}

/// A number: millionths above the least that there can be, so that they are in order.
pub(crate) type Number = u64;

/// What is nothing among them.
const ZERO: u64 = 1 << 63;
const MILLION: u64 = 1_000_000;

/// `3`, `-2.5`: up to 12 digits before the point and 6 behind it.
pub(crate) fn number(text: &str) -> Result<Number, String> {
    let bad = || {
        format!(
            "`{}` is not a number; it has up to 12 digits, and up to 6 behind its point: 3, -2.5",
            clip(text)
        )
    };
    let (is_negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, part) = rest.split_once('.').map_or((rest, "0"), |(whole, part)| (whole, part));
    if !digits(whole) || !digits(part) || whole.len() > 12 || part.len() > 6 {
        return Err(bad());
    }
    let part = format!("{part:0<6}").parse::<u64>().map_err(|_| bad())?;
    let size = whole.parse::<u64>().map_err(|_| bad())? * MILLION + part;
    Ok(if is_negative { ZERO - size } else { ZERO + size })
}

/// As expressions reckon.
pub(crate) fn as_float(number: Number) -> f64 {
    let (size, sign) = (number.abs_diff(ZERO), if number < ZERO { -1.0 } else { 1.0 });
    sign * (size / MILLION) as f64 + sign * (size % MILLION) as f64 / MILLION as f64
}

/// `-16LUFS`, `-16.5 LUFS`: what loudness normalisation can aim for (ffmpeg's loudnorm: -70 to -5).
pub(crate) fn loudness(text: &str) -> Result<Tenths, String> {
    let lower = text.trim().to_ascii_lowercase();
    let Some(number) = lower.strip_suffix("lufs").map(str::trim) else {
        return Err(format!("`{}` is not a loudness; write it with its unit, as -16LUFS", clip(text)));
    };
    let bad = || format!("`{}` is not a loudness; write it as -16LUFS or -16.5LUFS", clip(text));
    let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
    let (negative, whole) = whole.strip_prefix('-').map_or((false, whole), |w| (true, w));
    if tenth.len() != 1 || !digits(tenth) || !digits(whole) || whole.len() > 3 {
        return Err(bad());
    }
    let value = whole.parse::<i32>().map_err(|_| bad())? * 10 + tenth.parse::<i32>().map_err(|_| bad())?;
    let value = if negative { -value } else { value };
    if (-700..=-50).contains(&value) {
        Ok(Tenths(value))
    } else {
        Err(format!("`{}` is out of reach; a loudness is between -70LUFS and -5LUFS", clip(text)))
    }
}

/// `2026-03-01` or `2026-03-01T09:00:00Z`.
pub(crate) fn date(text: &str) -> Result<Timestamp, String> {
    if let Ok(instant) = text.parse() {
        return Ok(instant);
    }
    text.parse::<jiff::civil::Date>()
        .ok()
        .and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok())
        .map(|midnight| Timestamp(midnight.timestamp().as_millisecond()))
        .ok_or_else(|| {
            format!("`{}` is not a date; write it as 2026-03-01 or 2026-03-01T09:00:00Z", clip(text))
        })
}

/// Whole numbers from `min` to `max`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Range {
    pub(crate) min: u64,
    pub(crate) max: u64,
}

impl Range {
    pub(crate) fn contains(self, value: u64) -> bool {
        (self.min..=self.max).contains(&value)
    }
}

/// `>=30d`, `<1MB`, `1GB..5GB` (both ends included).
///
/// `exact`: whether a bare value is a comparison too; an age of exactly `30d` is an instant that nobody means.
pub(crate) fn range(
    text: &str,
    unit: impl Fn(&str) -> Result<u64, String>,
    exact: bool,
) -> Result<Range, String> {
    let text = text.trim();
    let everything = Range { min: 0, max: u64::MAX };
    let nothing_below = || format!("nothing is {}", clip(text));
    let range = if let Some((low, high)) = text.split_once("..") {
        Range { min: unit(low.trim())?, max: unit(high.trim().trim_start_matches('='))? }
    } else if let Some(rest) = text.strip_prefix(">=") {
        Range { min: unit(rest.trim())?, ..everything }
    } else if let Some(rest) = text.strip_prefix("<=") {
        Range { max: unit(rest.trim())?, ..everything }
    } else if let Some(rest) = text.strip_prefix('>') {
        Range { min: unit(rest.trim())?.saturating_add(1), ..everything }
    } else if let Some(rest) = text.strip_prefix('<') {
        Range { max: unit(rest.trim())?.checked_sub(1).ok_or_else(nothing_below)?, ..everything }
    } else {
        let value = unit(text.trim_start_matches('=').trim())?;
        if !exact {
            return Err(format!("`{0}` needs a comparison: \">={0}\", \"<{0}\" or a range", clip(text)));
        }
        Range { min: value, max: value }
    };
    if range.min > range.max {
        return Err(format!("`{}` holds nothing: its lower end is above its upper end", clip(text)));
    }
    Ok(range)
}

/// A duration for a person: its two largest units.
pub(crate) fn show_duration(ms: u64) -> String {
    let d = Duration::from_millis(ms);
    let s = d.as_secs();
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    match units.iter().position(|(_, seconds)| s >= *seconds) {
        None => format!("{ms}ms"),
        Some(i) => {
            let (unit, seconds) = units[i];
            let rest = s % seconds;
            match units.get(i + 1) {
                Some((next, small)) if rest >= *small => {
                    format!("{}{unit} {}{next}", s / seconds, rest / small)
                }
                _ => format!("{}{unit}", s / seconds),
            }
        }
    }
}

/// A size for a person, in SI units.
pub(crate) fn show_size(bytes: u64) -> String {
    let units = [("PB", 15), ("TB", 12), ("GB", 9), ("MB", 6), ("kB", 3)];
    match units.iter().find(|(_, power)| bytes >= 10u64.pow(*power)) {
        None => format!("{bytes}B"),
        Some((unit, power)) => {
            // In tenths, cut off: 999,999 bytes are not yet 1 MB.
            let tenths = bytes / 10u64.pow(power - 1);
            format!("{}.{}{unit}", tenths / 10, tenths % 10)
        }
    }
}

const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("PB", 1_000_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("PiB", 1 << 50),
];

const SECOND: u64 = 1_000;
const DAY: u64 = 86_400 * SECOND;
const DURATIONS: &[(&str, u64)] =
    &[("s", SECOND), ("m", 60 * SECOND), ("h", 3_600 * SECOND), ("d", DAY), ("w", 7 * DAY), ("y", 365 * DAY)];

/// A number and a unit, in exact integer arithmetic; up to three decimals.
fn quantity(text: &str, units: &[(&str, u64)], what: &str, examples: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim());
    let bad = || format!("`{}` is not {what}; examples: {examples}", clip(text));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction_is_right = fraction.len() <= 3 && (digits(fraction) || !number.contains('.'));
    if !digits(whole) || !fraction_is_right {
        return Err(bad());
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) else {
        return Err(if unit.is_empty() {
            format!("`{}` has no unit; examples: {examples}", clip(text))
        } else {
            let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
            format!(
                "`{}` is not {what}: unknown unit `{}` (known: {})",
                clip(text),
                clip(unit),
                names.join(" ")
            )
        });
    };
    let thousandths = format!("{whole}{fraction:0<3}").parse::<u128>().map_err(|_| bad())?;
    u64::try_from(thousandths.saturating_mul(u128::from(*factor)) / 1000)
        .ok()
        // Times are signed 64-bit milliseconds, and a size beyond that is a typing error too.
        .filter(|v| *v <= i64::MAX as u64)
        .ok_or_else(|| format!("`{}` is too much", clip(text)))
}

/// `1h 30m` -> `1h`, `30m`.
fn split_quantities(text: &str) -> Vec<&str> {
    let words: Vec<&str> = text.split_whitespace().collect();
    // `30 d` is one quantity in two words.
    let each_has_a_unit = words.iter().all(|w| w.ends_with(|c: char| c.is_ascii_alphabetic()));
    let each_has_a_number = words.iter().all(|w| w.starts_with(|c: char| c.is_ascii_digit()));
    if each_has_a_unit && each_has_a_number { words } else { Vec::new() }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_exact() {
        assert_eq!(size("1MB"), Ok(1_000_000));
        assert_eq!(size("1MiB"), Ok(1 << 20));
        assert_eq!(size("1.5GiB"), Ok(3 << 29));
        assert_eq!(size("40TB"), Ok(40_000_000_000_000));
        assert_eq!(duration("1y"), duration("365d"));
        assert_eq!(duration("1h 30m"), Ok(90 * 60_000));
        assert_eq!(duration("30 d"), duration("30d"));
        assert_eq!(loudness("-16.5 LUFS"), Ok(Tenths(-165)));
        assert_eq!(loudness("-16LUFS"), Ok(Tenths(-160)));
        assert_eq!(date("2026-03-01"), date("2026-03-01T00:00:00Z"));
    }

    #[test]
    fn comparisons_become_ranges() {
        let r = |text| range(text, size, false).map(|r| (r.min, r.max));
        assert_eq!(r(">=1MB"), Ok((1_000_000, u64::MAX)));
        assert_eq!(r("> 1MB"), Ok((1_000_001, u64::MAX)));
        assert_eq!(r("<1MB"), Ok((0, 999_999)));
        assert_eq!(r("1GB..5GB"), Ok((1_000_000_000, 5_000_000_000)));
        assert!(r("5GB..1GB").is_err() && r("<0B").is_err() && r("1MB").is_err());
        assert_eq!(range("1080", count, true), Ok(Range { min: 1080, max: 1080 }));
    }

    #[test]
    fn what_is_wrong_says_what_is_right() {
        for (text, part) in
            [("30 days", "unknown unit `days`"), ("30", "has no unit"), ("x", "is not a duration")]
        {
            assert!(duration(text).unwrap_err().contains(part), "{text}: {:?}", duration(text));
        }
        for text in ["", ".", "1.", "-1d", "1e3d", "99999999999999999999y", "9999999999y", "1d2"] {
            assert!(duration(text).is_err(), "{text}");
        }
        for text in ["-16", "-3LUFS", "16LUFS", "-16.55LUFS", "LUFS", "--16LUFS", "-99999999999LUFS"] {
            assert!(loudness(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(show_duration(12 * DAY + 3 * 3_600_000), "12d 3h");
        assert_eq!(show_duration(999), "999ms");
        assert_eq!(show_size(999_999), "999.9kB");
        assert_eq!(show_size(12), "12B");
    }
}
