use std::collections::BTreeSet;

use super::{Subject, texts};
use crate::{Dead, ErrorKind, Lane, MAX_BODY, MAX_REASON, Which};

pub async fn a_parked_message_is_out_of_its_lane_and_can_be_looked_at_again_and_again(s: Subject) {
    s.send(Lane::Bulk, "{not JSON").await;
    let message = s.receive_one().await;
    s.dead.park(Lane::Bulk, message.body, "expected value at line 1").await.unwrap();
    s.queue.ack(&message.receipt).await.unwrap();
    assert!(s.receive(&Lane::ALL, 10).await.is_empty());
    for _ in 0..3 {
        let dead = s.dead(Lane::Bulk).await;
        assert_eq!(bodies(&dead), ["{not JSON"].into());
        assert_eq!(dead[0].reason.as_deref(), Some("expected value at line 1"));
        assert!(s.dead(Lane::Events).await.is_empty(), "each lane has its own");
    }
    assert_eq!(s.count(Lane::Bulk).await, 1);
    assert_eq!(s.count(Lane::Events).await, 0);
}

pub async fn a_reason_is_inert_and_short(s: Subject) {
    let hostile = format!("line 1\nline 2\0\u{1b}[31m\u{ffff}{}", "ü".repeat(MAX_REASON));
    s.dead.park(Lane::Events, "body".into(), &hostile).await.unwrap();
    let reason = s.dead(Lane::Events).await.remove(0).reason.unwrap();
    assert!(reason.starts_with("line 1 line 2\u{fffd}\u{fffd}[31m\u{fffd}üü"), "{reason}");
    assert!((MAX_REASON - 1..=MAX_REASON).contains(&reason.len()), "{}", reason.len());
}

pub async fn a_message_of_any_size_is_parked_but_no_bad_one(s: Subject) {
    for body in [String::new(), "\u{1}".into()] {
        assert_eq!(s.dead.park(Lane::Bulk, body, "x").await.unwrap_err().kind(), ErrorKind::Invalid);
    }
    let large = "x".repeat(MAX_BODY);
    s.dead.park(Lane::Bulk, large.clone(), "too large to tell").await.unwrap();
    s.dead.park(Lane::Bulk, "small".into(), "").await.unwrap();
    let dead = s.dead(Lane::Bulk).await;
    assert_eq!(bodies(&dead), [large.as_str(), "small"].into());
    assert_eq!(dead.iter().find(|d| d.body == "small").unwrap().reason, None);
}

pub async fn all_dead_letters_go_back_to_their_lane(s: Subject) {
    let many: Vec<String> = (0..25).map(|i| format!("letter {i}")).collect();
    for body in &many {
        s.dead.park(Lane::Interactive, body.clone(), "a bug that is mended now").await.unwrap();
    }
    s.dead.park(Lane::Bulk, "stays".into(), "another").await.unwrap();
    assert_eq!(s.dead.dead(Lane::Interactive, 7).await.unwrap().len(), 7);
    assert_eq!(s.dead(Lane::Interactive).await.len(), 25);
    assert_eq!(s.dead.redrive(Lane::Interactive, Which::All).await.unwrap(), 25);
    let got = s.drain(&[Lane::Interactive]).await;
    assert_eq!((got.len(), texts(&got)), (25, many.iter().map(String::as_str).collect()));
    assert!(got.iter().all(|m| m.receives == 1), "a life of its own begins");
    assert_eq!((s.count(Lane::Interactive).await, s.count(Lane::Bulk).await), (0, 1));
    assert_eq!(s.dead.redrive(Lane::Interactive, Which::All).await.unwrap(), 0);
}

pub async fn one_dead_letter_goes_back_and_the_others_stay(s: Subject) {
    let ids = s.park_some().await;
    assert_eq!(s.dead.redrive(Lane::Bulk, Which::Id(ids[14].clone())).await.unwrap(), 1);
    let got = s.drain(&Lane::ALL).await;
    assert_eq!(texts(&got), ["letter 14"].into());
    let rest = s.dead(Lane::Bulk).await;
    assert_eq!(rest.len(), 29, "at once, though they were looked at while it was searched for");
    assert!(rest.iter().all(|dead| ids.contains(&dead.id) && dead.id != ids[14]), "each keeps its id");
}

pub async fn dead_letters_are_dropped_one_or_all(s: Subject) {
    let ids = s.park_some().await;
    assert_eq!(s.dead.drop_dead(Lane::Bulk, Which::Id(ids[3].clone())).await.unwrap(), 1);
    assert!(!bodies(&s.dead(Lane::Bulk).await).contains("letter 3"));
    assert_eq!(s.dead.drop_dead(Lane::Bulk, Which::All).await.unwrap(), 29);
    assert_eq!((s.dead(Lane::Bulk).await.len(), s.count(Lane::Bulk).await), (0, 0));
    assert!(s.receive(&Lane::ALL, 10).await.is_empty());
}

pub async fn an_unknown_id_is_none(s: Subject) {
    s.park_some().await;
    let unknown = || Which::Id("no such message".into());
    assert_eq!(s.dead.redrive(Lane::Bulk, unknown()).await.unwrap(), 0);
    assert_eq!(s.dead.drop_dead(Lane::Bulk, unknown()).await.unwrap(), 0);
    assert_eq!(s.dead(Lane::Bulk).await.len(), 30);
}

impl Subject {
    async fn dead(&self, lane: Lane) -> Vec<Dead> {
        self.dead.dead(lane, 100).await.unwrap()
    }

    async fn count(&self, lane: Lane) -> u64 {
        let counts = self.dead.dead_counts().await.unwrap();
        assert_eq!(counts.len(), Lane::ALL.len());
        counts.iter().find(|(of, _)| *of == lane).unwrap().1
    }

    /// `letter 0` to `letter 29`; their ids in that order.
    async fn park_some(&self) -> Vec<String> {
        for i in 0..30 {
            self.dead.park(Lane::Bulk, format!("letter {i}"), "x").await.unwrap();
        }
        let mut dead = self.dead(Lane::Bulk).await;
        dead.sort_by_key(|d| d.body["letter ".len()..].parse::<u32>().unwrap());
        assert_eq!(dead.len(), 30);
        dead.into_iter().map(|d| d.id).collect()
    }
}

fn bodies(dead: &[Dead]) -> BTreeSet<&str> {
    dead.iter().map(|d| d.body.as_str()).collect()
}
