//! Numbers as people say them.

/// In powers of ten, as disks are sold and S3 is billed.
pub(super) fn bytes(count: f64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (sign, mut count, mut unit) = (if count < 0.0 { "-" } else { "" }, count.abs(), 0);
    while count >= 999.5 && unit + 1 < UNITS.len() {
        (count, unit) = (count / 1000.0, unit + 1);
    }
    let digits = if count < 10.0 && unit > 0 { 1 } else { 0 };
    format!("{sign}{count:.digits$} {}", UNITS[unit])
}

pub(super) fn days(days: f64) -> String {
    match days {
        d if d.is_infinite() || d > 3650.0 => "more than ten years".to_owned(),
        d if d < 1.0 / 24.0 => "less than an hour".to_owned(),
        d if d < 2.0 => format!("{:.0} hours", d * 24.0),
        d if d < 10.0 => format!("{d:.1} days"),
        d => format!("{d:.0} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_shortly() {
        for (count, said) in [
            (0.0, "0 B"),
            (999.0, "999 B"),
            (1_500.0, "1.5 kB"),
            (999_600.0, "1.0 MB"),
            (14_200_000_000.0, "14 GB"),
            (-40e12, "-40 TB"),
            (1.8e19, "18 EB"),
        ] {
            assert_eq!(bytes(count), said);
        }
        for (count, said) in [
            (0.01, "less than an hour"),
            (1.0, "24 hours"),
            (2.26, "2.3 days"),
            (13.6, "14 days"),
            (f64::INFINITY, "more than ten years"),
        ] {
            assert_eq!(days(count), said);
        }
    }
}
