//! What the ledger says of jobs: the lines of `videorec --json jobs`, of which a bench needs a few words only.

use std::time::Duration;

#[derive(Debug)]
pub struct Job(String);

impl Job {
    pub fn all(lines: &str) -> Vec<Self> {
        lines.lines().map(|l| Self(l.to_owned())).collect()
    }

    /// Whether its line has this, as in `"do":"convert"`.
    pub fn has(&self, json: &str) -> bool {
        self.0.contains(json)
    }

    /// A field that is a text.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.0.split(&format!(r#""{field}":""#)).nth(1)?.split('"').next()
    }

    fn millis(&self, field: &str) -> Result<i64, String> {
        let time = self.text(field).and_then(millis);
        time.ok_or_else(|| format!("the ledger's `{field}` is not readable: {}", self.0))
    }
}

/// From when the first of them could begin to the last one's recorded outcome.
pub fn span(jobs: &[Job]) -> Result<Duration, String> {
    let times = |field| jobs.iter().map(|j| j.millis(field)).collect::<Result<Vec<_>, _>>();
    let (began, ended) = (times("run_after")?, times("finished_at")?);
    let took = ended.iter().max().zip(began.iter().min()).map(|(to, from)| to - from);
    let took = took.and_then(|ms| u64::try_from(ms).ok()).ok_or("the ledger has no such jobs")?;
    Ok(Duration::from_millis(took))
}

/// Of RFC 3339 in UTC, since 1970.
fn millis(time: &str) -> Option<i64> {
    let (date, clock) = time.strip_suffix('Z')?.split_once('T')?;
    let mut parts = date.split('-').map(|p| p.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    // The year begins in March, so that a leap day is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 719_469;
    let seconds = clock.split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?))?;
    Some(days * 86_400_000 + (seconds * 1000.0).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(millis("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(millis("2024-02-29T12:00:00.25Z"), Some(1_709_208_000_250));
        assert_eq!(millis("2026-11-24T23:59:59.999Z"), Some(1_795_564_799_999));
        assert_eq!(millis("yesterday"), None);
    }

    #[test]
    fn a_span_goes_from_the_first_beginning_to_the_last_end() {
        let lines = r#"{"run_after":"2026-12-31T23:59:59.5Z","finished_at":"2027-01-01T00:00:01Z"}
{"run_after":"2027-01-01T00:00:00Z","finished_at":"2027-01-01T00:00:00.25Z"}"#;
        assert_eq!(span(&Job::all(lines)), Ok(Duration::from_millis(1500)));
        assert!(span(&[]).is_err());
    }
}
