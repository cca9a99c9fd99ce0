//! What every way to tell people does. A backend joins with [`contract!`](crate::contract!), one line and one constructor.

use std::sync::Arc;

use async_trait::async_trait;
use domain::{Alert, RecordingId, Severity, Timestamp};

use crate::{Digest, Notify};

/// A way to tell, and those who are told.
pub struct Subject {
    pub notify: Arc<dyn Notify>,
    pub people: Box<dyn People>,
}

#[async_trait(?Send)]
pub trait People {
    /// What has arrived since, in any order; waits until no more comes.
    async fn heard(&mut self) -> Vec<Heard>;
}

#[derive(Debug)]
pub struct Heard {
    pub severity: Severity,
    /// All of it, as it arrived.
    pub text: String,
}

/// `contract!(make)` makes a named test of every case; `make` is an `async fn() -> Subject`.
#[macro_export]
macro_rules! contract {
    ($make:path) => {
        $crate::contract_cases! { $make,
            an_alert_arrives_once_with_all_that_one_needs
            each_severity_arrives_as_what_it_is
            an_alert_of_no_recording_arrives
            hostile_text_is_inert
            a_huge_alert_arrives_shortened
            alerts_at_once_arrive_once_each
            a_digest_arrives_as_one
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! contract_cases {
    ($make:path, $($case:ident)*) => {
        $(#[tokio::test]
        async fn $case() {
            $crate::contract::$case($make().await).await;
        })*
    };
}

fn alert(key: &str) -> Alert {
    Alert {
        key: key.into(),
        severity: Severity::Warning,
        service: "intake".into(),
        subject: "Käse.mp4 is damaged".into(),
        cause: "it ends in the middle".into(),
        next: "bring in an undamaged copy".into(),
        recording: Some(RecordingId::derive(&[b"a"])),
        at: Timestamp(1_790_000_000_000),
    }
}

pub async fn an_alert_arrives_once_with_all_that_one_needs(mut s: Subject) {
    let alert = alert("k1");
    s.notify.tell(&alert).await.unwrap();
    let heard = s.people.heard().await;
    assert_eq!(heard.len(), 1, "{heard:?}");
    let recording = alert.recording.unwrap().to_string();
    for part in [&alert.key, &alert.service, &alert.subject, &alert.cause, &alert.next, &recording] {
        assert!(heard[0].text.contains(part), "{part} is not in {}", heard[0].text);
    }
    assert!(s.people.heard().await.is_empty());
}

pub async fn each_severity_arrives_as_what_it_is(mut s: Subject) {
    for severity in [Severity::Info, Severity::Warning, Severity::Critical] {
        s.notify.tell(&Alert { severity, ..alert("k") }).await.unwrap();
        let heard: Vec<_> = s.people.heard().await.iter().map(|h| h.severity).collect();
        assert_eq!(heard, [severity]);
    }
}

pub async fn an_alert_of_no_recording_arrives(mut s: Subject) {
    s.notify.tell(&Alert { recording: None, service: String::new(), ..alert("k") }).await.unwrap();
    assert_eq!(s.people.heard().await.len(), 1);
}

/// Names of files and words of tools reach a terminal, a mail program, a log: none of them may move a cursor, begin a
/// line of its own, hide, or turn what is around it.
pub async fn hostile_text_is_inert(mut s: Subject) {
    let hostile = "x\r\nWhat to do: pay\u{1b}[2J\u{9b}\0\u{202e}gpj\u{2066}\u{200b}\u{2028}y";
    let told = Alert {
        service: hostile.into(),
        subject: hostile.into(),
        cause: hostile.into(),
        next: hostile.into(),
        ..alert(hostile)
    };
    s.notify.tell(&told).await.unwrap();
    let heard = s.people.heard().await;
    assert_eq!(heard.len(), 1);
    let text = &heard[0].text;
    assert!(text.contains("What to do: pay"), "it is told: {text}");
    let forged = text.lines().filter(|line| line.starts_with("What to do: pay"));
    assert_eq!(forged.count(), 0, "{text:?}");
    let bad = |c: char| {
        c.is_control() && c != '\n'
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!text.contains(bad), "{text:?}");
    assert!(
        !text.contains("\\u001b") && !text.contains("\\u202e"),
        "nor does it wait for who reads the JSON: {text}"
    );
}

pub async fn a_huge_alert_arrives_shortened(mut s: Subject) {
    s.notify.tell(&Alert { cause: "\"why\" ".repeat(500_000), ..alert("k") }).await.unwrap();
    let heard = s.people.heard().await;
    assert_eq!(heard.len(), 1);
    assert!(heard[0].text.contains("(shortened)") && heard[0].text.len() < 256 << 10);
    assert!(heard[0].text.contains("bring in an undamaged copy"), "only what is long is short now");
}

pub async fn alerts_at_once_arrive_once_each(mut s: Subject) {
    let told = (0..8).map(|i| {
        let notify = s.notify.clone();
        tokio::spawn(async move { notify.tell(&alert(&format!("number-{i}."))).await.unwrap() })
    });
    for told in told.collect::<Vec<_>>() {
        told.await.unwrap();
    }
    let heard = s.people.heard().await;
    assert_eq!(heard.len(), 8);
    for i in 0..8 {
        assert_eq!(heard.iter().filter(|h| h.text.contains(&format!("number-{i}."))).count(), 1);
    }
}

/// A way that has room for it shows every cause, any other its summary.
pub async fn a_digest_arrives_as_one(mut s: Subject) {
    let hostile = Alert { subject: "x\r\n\u{1b}[2J\u{202e}y".into(), ..alert("k2") };
    let told = [alert("k1"), hostile];
    let digest = Digest::of(&told, Timestamp(1_790_000_000_000));
    s.notify.digest(&digest).await.unwrap();
    let heard = s.people.heard().await;
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(heard[0].severity, Severity::Info);
    let text = &heard[0].text;
    assert!(text.contains("2 alerts") || text.contains("\"alerts\":2"), "{text}");
    assert!(!text.contains(['\u{1b}', '\u{202e}', '\r']) && !text.contains("\\u001b"), "{text:?}");
}
