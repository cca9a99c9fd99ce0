//! An alert as it is read: pure text, whose hostile parts (names of files, words of tools) are inert.

use domain::Alert;

/// In bytes, for each text of an alert. What is sent holds four copies of all of them, and where a copy is JSON within
/// JSON a quote becomes four bytes: together they stay below the 256 KiB that SNS takes, whatever they hold.
mod most {
    pub const KEY: usize = 256;
    pub const SERVICE: usize = 64;
    pub const SUBJECT: usize = 1 << 10;
    pub const CAUSE: usize = 8 << 10;
    pub const NEXT: usize = 2 << 10;
}

/// SNS takes less than 100 characters in a subject line.
#[cfg_attr(not(feature = "sns"), expect(dead_code, reason = "the log has no subject line"))]
const SUBJECT_LINE: usize = 99;

/// The same alert in texts that are inert and of bounded size.
pub(crate) fn tame(alert: &Alert) -> Alert {
    Alert {
        key: short(&alert.key, most::KEY),
        severity: alert.severity,
        service: short(&alert.service, most::SERVICE),
        subject: short(&alert.subject, most::SUBJECT),
        cause: short(&alert.cause, most::CAUSE),
        next: short(&alert.next, most::NEXT),
        recording: alert.recording,
        at: alert.at,
    }
}

pub(crate) fn short(text: &str, most: usize) -> String {
    const SHORTENED: &str = " ... (shortened)";
    let inert = inert(text);
    if inert.len() <= most {
        return inert;
    }
    inert[..inert.floor_char_boundary(most - SHORTENED.len())].to_owned() + SHORTENED
}

/// One line, without what moves a cursor, hides, or turns the direction of what is around it.
fn inert(text: &str) -> String {
    let tamed = text.chars().map(|c| match c {
        '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
        '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' => '\u{fffd}',
        '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    });
    tamed.collect()
}

/// For whoever sees no more than this line.
#[cfg(feature = "sns")]
pub(crate) fn subject_line(tame: &Alert) -> String {
    let line = format!("[{}] {}: {}", tame.severity.as_str(), tame.service, tame.subject);
    let line: String = line.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
    if line.len() <= SUBJECT_LINE { line } else { format!("{}...", &line[..SUBJECT_LINE - "...".len()]) }
}

/// For people: what happened, why, and what to do, in this order.
#[cfg(any(feature = "email", feature = "sns"))]
pub(crate) fn text(tame: &Alert) -> String {
    let Alert { key, severity, service, subject, cause, next, recording, at } = tame;
    let recording = recording.map(|id| format!("Recording: {id}\n")).unwrap_or_default();
    format!(
        "{subject}\n\nCause: {cause}\nWhat to do: {next}\n\n{recording}Severity: {}\nService: {service}\nTime: {at}\nKey: {key}\n",
        severity.as_str()
    )
}

/// For what reads it by program.
#[cfg(any(feature = "sns", feature = "webhook"))]
pub(crate) fn json(tame: &Alert) -> String {
    serde_json::to_string(tame).expect("an alert is text, numbers and names")
}

/// A text for people, and JSON for what reads it by program, as SNS takes them in one message.
#[cfg(feature = "sns")]
pub(crate) fn structure(text: &str, json: &str) -> String {
    serde_json::json!({ "default": text, "sqs": json, "lambda": json, "https": json }).to_string()
}

#[cfg(all(test, feature = "sns"))]
mod tests {
    use domain::{RecordingId, Severity, Timestamp};

    use super::*;

    fn alert() -> Alert {
        Alert {
            key: "recording/1/failed".into(),
            severity: Severity::Critical,
            service: "convert".into(),
            subject: "Käse.mp4 failed".into(),
            cause: "ffmpeg ended with \"Invalid data\"".into(),
            next: "See `videorec show 3kq0`.".into(),
            recording: Some(RecordingId::derive(&[b"a"])),
            at: Timestamp(1_790_000_000_000),
        }
    }

    fn structured(tame: &Alert) -> String {
        structure(&text(tame), &json(tame))
    }

    #[test]
    fn people_read_what_happened_why_and_what_to_do() {
        let expected = "\
Käse.mp4 failed

Cause: ffmpeg ended with \"Invalid data\"
What to do: See `videorec show 3kq0`.

Recording: 1v35qx943vxqthrc4gx61nybvw
Severity: critical
Service: convert
Time: 2026-09-21T14:13:20Z
Key: recording/1/failed
";
        assert_eq!(text(&alert()), expected);
        let without = Alert { recording: None, ..alert() };
        assert!(!text(&without).contains("Recording"));
    }

    #[test]
    fn programs_read_the_alert_itself() {
        let structure: serde_json::Value = serde_json::from_str(&structured(&alert())).unwrap();
        for protocol in ["sqs", "lambda", "https"] {
            let read: Alert = serde_json::from_str(structure[protocol].as_str().unwrap()).unwrap();
            assert_eq!(read, alert());
        }
        assert_eq!(structure["default"], text(&alert()));
        assert_eq!(structure.as_object().unwrap().len(), 4);
    }

    #[test]
    fn a_subject_line_is_short_ascii() {
        assert_eq!(subject_line(&alert()), "[critical] convert: K?se.mp4 failed");
        let long = Alert { subject: "ü".repeat(200), ..alert() };
        let line = subject_line(&long);
        assert_eq!((line.len(), line.ends_with("???...")), (99, true));
        assert_eq!(subject_line(&Alert { subject: "x".repeat(79), ..alert() }).len(), 99, "just fits");
    }

    #[test]
    fn what_moves_hides_or_turns_is_inert() {
        let hostile = "a\r\nNext: pay\u{1b}[2J\u{7}\u{9b}\0\u{202e}gpj\u{2066}\u{200b}\u{feff}\u{2028}\u{e0041}b\u{ffff}";
        let tame = tame(&Alert { subject: hostile.into(), ..alert() });
        let x = '\u{fffd}';
        assert_eq!(tame.subject, format!("a  Next: pay{x}[2J{x}{x}{x}{x}gpj{x}{x}{x} {x}b{x}"));
        assert_eq!(tame.cause, alert().cause, "what is harmless stays");
        assert_eq!(super::tame(&tame), tame);
    }

    /// Quotes and backslashes grow most; characters of several bytes are not cut in the middle.
    #[test]
    fn whatever_it_holds_it_fits_into_a_message() {
        for filler in ["\"", "\\", "ü", "\u{1F9C0}", "\0"] {
            let much = filler.repeat(400_000);
            let huge = Alert {
                key: much.clone(),
                service: much.clone(),
                subject: much.clone(),
                cause: much.clone(),
                next: much,
                ..alert()
            };
            let tame = tame(&huge);
            assert!(tame.cause.ends_with(" ... (shortened)") && tame.cause.len() > 8_000);
            let attributes = tame.key.len() + tame.service.len() + 200;
            let size = structured(&tame).len() + attributes;
            assert!(size < 256 << 10, "{filler}: {size}");
        }
    }
}
