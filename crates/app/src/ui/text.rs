//! Numbers and other people's words, for a person's terminal.

use std::time::Duration;

/// Text that came from outside, made harmless for a terminal: no escape sequences, no line breaks.
pub fn inert(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// `text` in at most `width` columns, its end kept: names differ at their ends.
pub fn tail(text: &str, width: usize) -> String {
    let text = inert(text);
    let length = text.chars().count();
    if length <= width {
        return text;
    }
    std::iter::once('…').chain(text.chars().skip(length - width.saturating_sub(1))).collect()
}

/// Powers of 1000, as disks are sold and S3 bills: `1.5 GB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if n < 1000 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `0.4 s`, `12 s`, `3:05`, `1:02:03`.
pub fn duration(d: Duration) -> String {
    let s = d.as_secs();
    match s {
        0..10 => format!("{:.1} s", d.as_secs_f64()),
        10..60 => format!("{s} s"),
        60..3600 => format!("{}:{:02}", s / 60, s % 60),
        _ => format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60),
    }
}

/// `3 d 4 h ago`, `2 h ago`, `12 min ago`, `just now`.
pub fn ago(d: Duration) -> String {
    let minutes = d.as_secs() / 60;
    match minutes {
        0 => "just now".to_owned(),
        1..60 => format!("{minutes} min ago"),
        60..1440 => format!("{} h ago", minutes / 60),
        _ => format!("{} d {} h ago", minutes / 1440, minutes / 60 % 24),
    }
}

/// `1 job`, `2 jobs`.
pub fn count(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Metadata with control characters is inert on a terminal.
    #[test]
    fn a_name_cannot_drive_the_terminal() {
        assert_eq!(inert("a\x1b[31mb\nc"), "a\u{fffd}[31mb\u{fffd}c");
        assert_eq!(tail("weekly call.webm", 9), "…all.webm");
    }

    #[test]
    fn numbers_read_as_a_person_says_them() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(999_999), "1.0 MB");
        assert_eq!(bytes(1_500_000_000), "1.5 GB");
        assert_eq!(duration(Duration::from_millis(400)), "0.4 s");
        assert_eq!(duration(Duration::from_secs(3723)), "1:02:03");
    }
}
