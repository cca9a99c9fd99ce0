//! What a query asks of the table of recordings itself: dates, sizes, stores, holds.

use domain::Timestamp;

/// One value of such a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fact {
    /// What age counts from.
    Recorded(Span),
    Accepted(Span),
    /// Bytes, both ends included.
    Size(u64, u64),
    /// That holds the recording itself.
    Store(String),
    /// By hand.
    Held(bool),
}

/// Milliseconds since 1970: from, and before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub from: i64,
    pub before: i64,
}

/// Their fields, each with an example.
pub(crate) const FIELDS: [(&str, &str); 5] = [
    ("recorded", "recorded:2026-01..2026-03"),
    ("accepted", "accepted:2026-03-01"),
    ("size", "size:>1GB"),
    ("store", "store:recordings"),
    ("hold", "hold:yes"),
];

impl Fact {
    /// The message says what to write instead.
    pub(crate) fn read(field: &str, text: &str) -> Result<Self, String> {
        let text = text.trim();
        match field {
            "recorded" => span(text).map(Self::Recorded),
            "accepted" => span(text).map(Self::Accepted),
            "size" => sizes(text).map(|(min, max)| Self::Size(min, max)),
            "store" => {
                let is_name = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
                if is_name {
                    Ok(Self::Store(text.to_owned()))
                } else {
                    Err(format!("`{text}` is no store: a store's name has letters, digits, `-`, `_` and `.`"))
                }
            }
            _ => match text.to_ascii_lowercase().as_str() {
                "yes" => Ok(Self::Held(true)),
                "no" => Ok(Self::Held(false)),
                _ => Err(format!("`{field}:` is yes or no, and not `{text}`")),
            },
        }
    }

    /// A condition on `recording r`, of numbers and of letters that mean nothing in a quoted text.
    pub(crate) fn sql(&self) -> String {
        match self {
            Self::Recorded(span) => span.sql("coalesce(r.recorded_at, r.accepted_at)"),
            Self::Accepted(span) => span.sql("r.accepted_at"),
            Self::Size(min, max) => {
                let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
                format!("r.size BETWEEN {} AND {}", signed(*min), signed(*max))
            }
            Self::Store(name) => format!("r.store = '{name}'"),
            // As custody is written, and as no text within it can be: its quotes are escaped there.
            Self::Held(true) => r#"r.custody LIKE '%"holds":{%'"#.to_owned(),
            Self::Held(false) => r#"r.custody NOT LIKE '%"holds":{%'"#.to_owned(),
        }
    }
}

impl Span {
    fn sql(self, of: &str) -> String {
        format!("({of} >= {} AND {of} < {})", self.from, self.before)
    }

    pub(crate) fn within(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), before: self.before.min(other.before) }
    }
}

/// `2026`, `2026-03`, `2026-03-01`, and from one to another, that one included.
fn span(text: &str) -> Result<Span, String> {
    let Some((first, last)) = text.split_once("..") else { return period(text) };
    let from = if first.is_empty() { i64::MIN } else { period(first)?.from };
    let before = if last.is_empty() { i64::MAX } else { period(last)?.before };
    if from >= before {
        return Err(format!("`{text}` is the wrong way round: the earlier comes first"));
    }
    Ok(Span { from, before })
}

fn period(text: &str) -> Result<Span, String> {
    let bad = || {
        format!(
            "`{text}` is no date: write a year, a month or a day (2026, 2026-03, 2026-03-01), or from one to another \
             (2026-01..2026-03)"
        )
    };
    let day = |year: u32, month: u32, day: u32| -> Result<i64, String> {
        let at = format!("{year:04}-{month:02}-{day:02}T00:00:00Z");
        at.parse::<Timestamp>().map(|t| t.0).map_err(|_| bad())
    };
    let numbers: Vec<&str> = text.split('-').collect();
    let number = |n: usize, digits: usize| -> Result<u32, String> {
        let text = numbers[n];
        let right = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
        if right { text.parse().map_err(|_| bad()) } else { Err(bad()) }
    };
    let year = number(0, 4)?;
    let next_year = || if year == 9999 { Ok(i64::MAX) } else { day(year + 1, 1, 1) };
    let (from, before) = match numbers.len() {
        1 => (day(year, 1, 1)?, next_year()?),
        2 => match number(1, 2)? {
            12 => (day(year, 12, 1)?, next_year()?),
            month => (day(year, month, 1)?, day(year, month + 1, 1)?),
        },
        3 => {
            let from = day(year, number(1, 2)?, number(2, 2)?)?;
            (from, from + 24 * 60 * 60 * 1_000)
        }
        _ => return Err(bad()),
    };
    Ok(Span { from, before })
}

/// As policies have them: `>1GB`, `<=20MB`, `1GB..5GB`.
fn sizes(text: &str) -> Result<(u64, u64), String> {
    let range = if let Some((low, high)) = text.split_once("..") {
        (size(low)?, size(high)?)
    } else if let Some(rest) = text.strip_prefix(">=") {
        (size(rest)?, u64::MAX)
    } else if let Some(rest) = text.strip_prefix("<=") {
        (0, size(rest)?)
    } else if let Some(rest) = text.strip_prefix('>') {
        (size(rest)?.saturating_add(1), u64::MAX)
    } else if let Some(rest) = text.strip_prefix('<') {
        (0, size(rest)?.checked_sub(1).ok_or_else(|| "nothing is smaller than nothing".to_owned())?)
    } else {
        let example = size(text).map_or_else(|_| "1GB".to_owned(), |_| text.to_owned());
        return Err(format!("a size is compared: `size:>{example}`, `size:<{example}` or `size:1GB..5GB`"));
    };
    if range.0 > range.1 {
        Err(format!("`{text}` is the wrong way round: the smaller comes first"))
    } else {
        Ok(range)
    }
}

const UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

fn size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let bad = || format!("`{text}` is no size: write a number and a unit, as in 500MB, 1.5GB or 2TiB");
    let (number, unit) =
        text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()));
    let (_, factor) =
        UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim())).ok_or_else(bad)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().map_err(|_| bad())?;
    let thousandths: u64 = match fraction.len() {
        0 => 0,
        1..=3 => fraction.parse::<u64>().map_err(|_| bad())? * 10u64.pow(3 - fraction.len() as u32),
        _ => return Err(bad()),
    };
    let bytes =
        u128::from(whole) * u128::from(*factor) + u128::from(thousandths) * u128::from(*factor) / 1_000;
    u64::try_from(bytes).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_whole_periods() {
        let of =
            |text: &str| span(text).map(|s| (Timestamp(s.from).to_string(), Timestamp(s.before).to_string()));
        let days =
            |from: &str, before: &str| Ok((format!("{from}T00:00:00Z"), format!("{before}T00:00:00Z")));
        assert_eq!(of("2026"), days("2026-01-01", "2027-01-01"));
        assert_eq!(of("2024-02"), days("2024-02-01", "2024-03-01"));
        assert_eq!(of("2025-12"), days("2025-12-01", "2026-01-01"));
        assert_eq!(of("2024-02-29"), days("2024-02-29", "2024-03-01"));
        assert_eq!(of("2026-01..2026-03"), days("2026-01-01", "2026-04-01"));
        assert_eq!(of("2025..2026-01-05"), days("2025-01-01", "2026-01-06"));
        assert_eq!(span("..2025").unwrap().from, i64::MIN);
        assert_eq!(span("9999-12..").unwrap().before, i64::MAX);
        for bad in
            ["26", "2026-13", "2025-02-29", "2026-3", "yesterday", "2026..2025", "2026-03-01T10:00Z", "-"]
        {
            assert!(span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_those_of_policies() {
        assert_eq!(sizes(">1GB"), Ok((1_000_000_001, u64::MAX)));
        assert_eq!(sizes("<1.5kB"), Ok((0, 1_499)));
        assert_eq!(sizes("1GiB..2tb"), Ok((1 << 30, 2_000_000_000_000)));
        assert_eq!(sizes("<=0B"), Ok((0, 0)));
        for bad in ["1GB", "<0B", ">1", ">GB", ">1.2345GB", "2GB..1GB", ">99999999999TB", ">1 2GB", ""] {
            assert!(sizes(bad).is_err(), "{bad}");
        }
    }
}
