use domain::{Alert, Severity};
use serde_json::json;

use super::{Fixture, kit::*};
use crate::{Settle, Settled};

fn alert(key: &str, at: u64) -> Alert {
    Alert {
        key: key.into(),
        severity: Severity::Warning,
        service: "convert".into(),
        subject: "a.mp4 is damaged".into(),
        cause: "it ends in the middle".into(),
        next: "bring it in again".into(),
        recording: Some(recording("a.mp4").id),
        at: later(at),
    }
}

pub async fn an_alert_is_told_once_until_it_has_cooled_down(f: &Fixture) {
    let c = &*f.catalog;
    let hour = Alert::COOL_DOWN.as_secs();
    c.raise(&[alert("a", 0), alert("b", 0), alert("a", 1)]).await.unwrap();
    let unsent = c.unsent(99).await.unwrap();
    assert_eq!(unsent.iter().map(|(_, a)| a.clone()).collect::<Vec<_>>(), [alert("a", 0), alert("b", 0)]);
    assert_eq!(c.unsent(1).await.unwrap(), unsent[..1], "the oldest first");
    c.sent(&[unsent[0].0], later(2)).await.unwrap();
    assert_eq!(c.unsent(99).await.unwrap(), unsent[1..]);
    c.raise(&[alert("a", hour - 1)]).await.unwrap();
    assert_eq!(c.unsent(99).await.unwrap(), unsent[1..], "the same news again");
    c.raise(&[alert("a", hour)]).await.unwrap();
    assert_eq!(c.unsent(99).await.unwrap().last().unwrap().1, alert("a", hour));
    // A key may be of any length, and whatever a file is called may be in it.
    let long: String = (0..200).map(|n| sha256(&n.to_string()).to_string()).collect();
    let odd = [alert(&long, 0), alert(&format!("{long}!"), 0), alert("\0", 0)];
    c.raise(&odd).await.unwrap();
    c.raise(&odd).await.unwrap();
    assert_eq!(c.unsent(99).await.unwrap().len(), 2 + 3);
}

/// An alert is written with the fact that it tells of, so that neither is ever there without the other.
pub async fn an_alert_comes_with_its_decision_or_not_at_all(f: &Fixture) {
    let c = &*f.catalog;
    let it = accept(c, &recording("a.mp4")).await;
    let settle = |revision| Settle {
        id: it.id,
        revision,
        decision: decided(domain::State::Failed, vec![]),
        alert: Some(alert("a", 0)),
    };
    assert_eq!(c.settle(&[settle(it.revision - 1)], "p", T0).await.unwrap(), [Settled::Stale]);
    assert_eq!(c.unsent(9).await.unwrap(), []);
    c.settle(&[settle(it.revision)], "p", T0).await.unwrap();
    assert_eq!(c.unsent(9).await.unwrap().len(), 1);
}

pub async fn alerts_are_listed_and_taken_up(f: &Fixture) {
    let c = &*f.catalog;
    let hour = Alert::COOL_DOWN.as_secs();
    c.raise(&[alert("a", 0), alert("b \0", 1)]).await.unwrap();
    c.raise(&[alert("a", hour)]).await.unwrap();
    let listed = c.alerts(9).await.unwrap();
    let keys: Vec<_> = listed.iter().map(|t| t.alert.clone()).collect();
    assert_eq!(keys, [alert("a", hour), alert("b \0", 1), alert("a", 0)], "newest first");
    assert_eq!(c.alerts(1).await.unwrap(), listed[..1]);
    let seq = |n: usize| listed[n].seq;
    assert_eq!(c.unsent(9).await.unwrap()[0].0, seq(2), "the same numbers");
    c.sent(&[seq(1), seq(2)], later(5)).await.unwrap();
    c.escalated(&[seq(1), seq(2)], later(6)).await.unwrap();
    c.escalated(&[seq(1)], later(7)).await.unwrap();
    assert!(c.ack("a", "ana", later(8)).await.unwrap());
    assert!(!c.ack("a", "bo", later(9)).await.unwrap(), "somebody has");
    assert!(!c.ack("c", "bo", later(9)).await.unwrap());
    c.escalated(&[seq(1), seq(2)], later(10)).await.unwrap();
    let told: Vec<_> = c.alerts(9).await.unwrap();
    let state: Vec<_> = told
        .iter()
        .map(|t| (t.sent_at, t.acked_at, t.acked_by.as_deref(), t.escalations, t.escalated_at))
        .collect();
    let expected = [
        (None, Some(later(8)), Some("ana"), 0, None),
        (Some(later(5)), None, None, 3, Some(later(10))),
        (Some(later(5)), Some(later(8)), Some("ana"), 1, Some(later(6))),
    ];
    assert_eq!(state, expected);
    let audit = &c.audit(None, 1).await.unwrap()[0];
    assert_eq!(
        (audit.what.as_str(), audit.actor.as_str(), &audit.details),
        ("ack", "ana", &json!({ "alert": "a" }))
    );
    // The same again is news again.
    c.raise(&[alert("a", 2 * hour)]).await.unwrap();
    assert_eq!(c.alerts(1).await.unwrap()[0].acked_at, None);
}

pub async fn a_bookmark_is_kept(f: &Fixture) {
    let c = &*f.catalog;
    assert_eq!(c.bookmark("walk").await.unwrap(), None);
    for value in ["inbox/cam1/a.mp4", "inbox/cäm 2/\u{1F3A5}"] {
        c.set_bookmark("walk", Some(value)).await.unwrap();
        assert_eq!((f.again)().await.bookmark("walk").await.unwrap().as_deref(), Some(value));
    }
    c.set_bookmark("walk", None).await.unwrap();
    assert_eq!(c.bookmark("walk").await.unwrap(), None);
}

pub async fn versions_are_known_in_the_order_asked(f: &Fixture) {
    let c = &*f.catalog;
    let (a, b) = (accept(c, &recording("a.mp4")).await, accept(c, &recording("b.mp4")).await);
    let asked = [b.id, recording("unknown").id, a.id, b.id];
    let (a, b) = (Some(a.version), Some(b.version));
    assert_eq!(c.versions(&asked).await.unwrap(), [b.clone(), None, a, b]);
    assert_eq!(c.versions(&[]).await.unwrap(), []);
}

pub async fn a_note_is_in_the_audit_and_has_the_recording_looked_at(f: &Fixture) {
    let c = &*f.catalog;
    let it = accept(c, &recording("a.mp4")).await;
    settle(c, it.id, decided(domain::State::Ready, vec![]), T0).await;
    assert!(dirty(c, T0).await.is_empty());
    c.note(it.id, "event", "restored", json!({ "days": 3 }), later(5)).await.unwrap();
    let audit = c.audit(Some(it.id), 1).await.unwrap();
    assert_eq!(
        (audit[0].what.as_str(), &audit[0].details, audit[0].at),
        ("restored", &json!({ "days": 3 }), later(5))
    );
    assert_eq!(dirty(c, T0).await, [it.id].into());
}
