//! What every queue does. A backend joins with [`contract!`](crate::contract!) and
//! [`dead_letters_contract!`](crate::dead_letters_contract!), a line each and one constructor.
//!
//! Cases wait through `tokio::time` and say nothing of order within a lane, so that they hold with a paused clock
//! for the embedded queue and in real time for SQS.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::{DeadLetters, Depth, ErrorKind, Lane, MAX_BODY, Message, Queue};

mod dead_letters;
pub use dead_letters::*;

/// A fresh, empty queue.
pub struct Subject {
    pub queue: Arc<dyn Queue>,
    /// The same one.
    pub dead: Arc<dyn DeadLetters>,
    /// The visibility it is configured with; short, since cases wait for it to end.
    pub visibility: Duration,
}

/// `contract!(make)` makes a named test of every case; `make` is an `async fn() -> Subject`. What follows goes to
/// `#[tokio::test]`, for instance `start_paused = true`.
#[macro_export]
macro_rules! contract {
    ($make:path $(, $($argument:tt)*)?) => {
        $crate::contract_cases! { $make, [$($($argument)*)?],
            delivers_what_was_sent
            prefers_the_first_lane
            receives_from_the_named_lanes_only
            an_empty_queue_answers_after_the_wait
            a_waiting_receiver_wakes_for_a_message
            a_message_never_acknowledged_comes_again_and_the_old_receipt_is_lost
            an_extended_message_stays_invisible
            a_message_extended_to_nothing_is_visible_at_once
            an_acknowledged_message_never_comes_again
            a_released_message_comes_after_its_delay
            a_delayed_message_comes_late
            a_bad_body_is_refused
            many_are_sent_at_once
            depth_counts_every_lane
            every_message_is_acknowledged_once_by_many_receivers
            a_dropped_receive_loses_no_message
        }
    };
}

/// As [`contract!`], for the dead letters.
#[macro_export]
macro_rules! dead_letters_contract {
    ($make:path $(, $($argument:tt)*)?) => {
        $crate::contract_cases! { $make, [$($($argument)*)?],
            a_parked_message_is_out_of_its_lane_and_can_be_looked_at_again_and_again
            a_reason_is_inert_and_short
            a_message_of_any_size_is_parked_but_no_bad_one
            all_dead_letters_go_back_to_their_lane
            one_dead_letter_goes_back_and_the_others_stay
            dead_letters_are_dropped_one_or_all
            an_unknown_id_is_none
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! contract_cases {
    ($make:path, $arguments:tt, $($case:ident)*) => {
        $($crate::contract_case! { $make, $arguments, $case })*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! contract_case {
    ($make:path, [$($argument:tt)*], $case:ident) => {
        #[tokio::test($($argument)*)]
        async fn $case() {
            $crate::contract::$case($make().await).await;
        }
    };
}

pub async fn delivers_what_was_sent(s: Subject) {
    let bodies = ["job 1", "käse \u{1F9C0}\n{\"quoted\": \"yes\"}", &"x".repeat(MAX_BODY)].map(str::to_owned);
    for body in &bodies {
        s.send(Lane::Bulk, body).await;
    }
    let got = s.drain(&Lane::ALL).await;
    assert_eq!(texts(&got), bodies.iter().map(String::as_str).collect());
    assert!(got.iter().all(|m| m.receives == 1 && m.lane == Lane::Bulk));
    assert_eq!(got.iter().map(|m| &m.receipt).collect::<std::collections::HashSet<_>>().len(), 3);
}

pub async fn prefers_the_first_lane(s: Subject) {
    for i in 0..3 {
        s.send(Lane::Bulk, &format!("bulk {i}")).await;
    }
    s.send(Lane::Interactive, "a person waits").await;
    let first = s.receive(&[Lane::Interactive, Lane::Bulk], 1).await;
    assert_eq!(texts(&first), ["a person waits"].into());
    let rest = s.drain(&[Lane::Interactive, Lane::Bulk]).await;
    assert_eq!(rest.len(), 3, "the other lane comes when the first is empty");
}

pub async fn receives_from_the_named_lanes_only(s: Subject) {
    s.send(Lane::Interactive, "here").await;
    assert!(s.receive(&[Lane::Bulk], 10).await.is_empty());
    assert_eq!(s.receive(&[Lane::Interactive], 10).await.len(), 1);
}

pub async fn an_empty_queue_answers_after_the_wait(s: Subject) {
    let start = tokio::time::Instant::now();
    let got = s.queue.receive(&Lane::ALL, 10, Duration::from_secs(1)).await.unwrap();
    assert!(got.is_empty());
    assert!(start.elapsed() >= Duration::from_millis(900));
}

pub async fn a_waiting_receiver_wakes_for_a_message(s: Subject) {
    let queue = s.queue.clone();
    let waits =
        tokio::spawn(async move { queue.receive(&Lane::ALL, 10, Duration::from_secs(20)).await.unwrap() });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let start = tokio::time::Instant::now();
    s.send(Lane::Bulk, "now").await;
    assert_eq!(waits.await.unwrap().len(), 1);
    assert!(start.elapsed() < Duration::from_secs(10));
}

pub async fn a_message_never_acknowledged_comes_again_and_the_old_receipt_is_lost(s: Subject) {
    s.send(Lane::Bulk, "crash").await;
    let first = s.receive_one().await;
    assert!(s.receive(&Lane::ALL, 10).await.is_empty(), "invisible to others meanwhile");
    let wait = s.visibility + Duration::from_secs(5);
    let second = s.queue.receive(&Lane::ALL, 10, wait).await.unwrap().remove(0);
    assert_eq!((second.body.as_str(), second.receives), ("crash", 2));
    assert_ne!(first.receipt, second.receipt);
    assert_eq!(s.queue.extend(&first.receipt, s.visibility).await.unwrap_err().kind(), ErrorKind::Lost);
    assert_eq!(s.queue.release(&first.receipt, Duration::ZERO).await.unwrap_err().kind(), ErrorKind::Lost);
    assert_eq!(s.queue.ack(&first.receipt).await.unwrap_err().kind(), ErrorKind::Lost);
    s.queue.ack(&second.receipt).await.expect("the new delivery is untouched by the old one's calls");
}

pub async fn an_extended_message_stays_invisible(s: Subject) {
    s.send(Lane::Bulk, "long work").await;
    let held = s.receive_one().await;
    for _ in 0..3 {
        tokio::time::sleep(s.visibility / 2).await;
        s.queue.extend(&held.receipt, s.visibility).await.unwrap();
    }
    tokio::time::sleep(s.visibility / 2).await;
    assert!(s.receive(&Lane::ALL, 10).await.is_empty());
    s.queue.ack(&held.receipt).await.unwrap();
}

pub async fn a_message_extended_to_nothing_is_visible_at_once(s: Subject) {
    s.send(Lane::Bulk, "not mine").await;
    let held = s.receive_one().await;
    s.queue.extend(&held.receipt, Duration::ZERO).await.unwrap();
    assert_eq!(s.receive_one().await.receives, 2);
}

pub async fn an_acknowledged_message_never_comes_again(s: Subject) {
    s.send(Lane::Bulk, "done").await;
    let held = s.receive_one().await;
    s.queue.ack(&held.receipt).await.unwrap();
    tokio::time::sleep(s.visibility * 2).await;
    assert!(s.receive(&Lane::ALL, 10).await.is_empty());
    assert!(s.queue.depth().await.unwrap().iter().all(|d| d.visible + d.in_flight + d.delayed == 0));
}

pub async fn a_released_message_comes_after_its_delay(s: Subject) {
    s.send(Lane::Bulk, "later").await;
    let held = s.receive_one().await;
    s.queue.release(&held.receipt, Duration::from_secs(2)).await.unwrap();
    assert!(s.receive(&Lane::ALL, 10).await.is_empty());
    let again = s.queue.receive(&Lane::ALL, 10, Duration::from_secs(10)).await.unwrap().remove(0);
    assert_eq!((again.body.as_str(), again.receives), ("later", 2));
    s.queue.release(&again.receipt, Duration::ZERO).await.unwrap();
    s.receive_one().await;
}

pub async fn a_delayed_message_comes_late(s: Subject) {
    s.queue.send(Lane::Bulk, "retry".into(), Duration::from_secs(2)).await.unwrap();
    s.send(Lane::Bulk, "now").await;
    let first = s.receive_one().await;
    assert_eq!(first.body, "now");
    s.queue.ack(&first.receipt).await.unwrap();
    let late = s.queue.receive(&Lane::ALL, 10, Duration::from_secs(10)).await.unwrap();
    assert_eq!(texts(&late), ["retry"].into());
}

pub async fn a_bad_body_is_refused(s: Subject) {
    for body in [String::new(), "x".repeat(MAX_BODY + 1), "a\0".into(), "\u{1b}[2J".into(), "\u{ffff}".into()]
    {
        let many = s.queue.send_many(Lane::Bulk, vec!["good".into(), body.clone()]).await;
        let one = s.queue.send(Lane::Bulk, body, Duration::ZERO).await;
        for error in [one.unwrap_err(), many.unwrap_err()] {
            assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Invalid, false));
        }
    }
    assert!(s.receive(&Lane::ALL, 10).await.is_empty(), "nothing of a bad batch is sent");
}

pub async fn many_are_sent_at_once(s: Subject) {
    // More than any batch holds, by number and by bytes.
    let bodies: Vec<String> = (0..33).map(|i| format!("{i} {}", "x".repeat(i * 1_000))).collect();
    s.queue.send_many(Lane::Bulk, bodies.clone()).await.unwrap();
    s.queue.send_many(Lane::Bulk, Vec::new()).await.unwrap();
    let got = s.drain(&[Lane::Bulk]).await;
    assert_eq!(got.len(), bodies.len());
    assert_eq!(texts(&got), bodies.iter().map(String::as_str).collect());
}

pub async fn depth_counts_every_lane(s: Subject) {
    for i in 0..3 {
        s.send(Lane::Bulk, &format!("{i}")).await;
    }
    s.queue.send(Lane::Bulk, "late".into(), Duration::from_secs(60)).await.unwrap();
    s.receive(&Lane::ALL, 1).await;
    let depth = s.queue.depth().await.unwrap();
    let of = |lane| *depth.iter().find(|d| d.lane == lane).unwrap();
    assert_eq!(depth.len(), Lane::ALL.len());
    assert_eq!(of(Lane::Bulk), Depth { lane: Lane::Bulk, visible: 2, in_flight: 1, delayed: 1 });
    assert_eq!(of(Lane::Interactive).visible, 0);
}

pub async fn every_message_is_acknowledged_once_by_many_receivers(s: Subject) {
    const MESSAGES: usize = 2_000;
    let acked = Arc::new(Mutex::new(BTreeMap::<String, u32>::new()));
    let receivers: Vec<_> = (0..8)
        .map(|_| {
            let (queue, acked) = (s.queue.clone(), acked.clone());
            tokio::spawn(async move {
                while acked.lock().unwrap().len() < MESSAGES {
                    for message in queue.receive(&Lane::ALL, 10, Duration::from_millis(200)).await.unwrap() {
                        tokio::task::yield_now().await;
                        if queue.ack(&message.receipt).await.is_ok() {
                            *acked.lock().unwrap().entry(message.body).or_default() += 1;
                        }
                    }
                }
            })
        })
        .collect();
    for first in (0..MESSAGES).step_by(100) {
        let bodies = (first..first + 100).map(|i| format!("message {i}")).collect();
        s.queue.send_many(Lane::ALL[first / 100 % Lane::ALL.len()], bodies).await.unwrap();
        tokio::task::yield_now().await;
    }
    for receiver in receivers {
        receiver.await.unwrap();
    }
    let acked = acked.lock().unwrap();
    assert_eq!(acked.len(), MESSAGES);
    assert!(acked.values().all(|&times| times == 1));
}

pub async fn a_dropped_receive_loses_no_message(s: Subject) {
    for i in 0..50 {
        // The receive is dropped while the message comes, a little earlier or later each time.
        let receive = s.queue.receive(&[Lane::Bulk], 10, Duration::from_secs(5));
        let mut kept = Vec::new();
        let (sender, body) = (s.queue.clone(), format!("{i}"));
        let sent = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(i % 5)).await;
            sender.send(Lane::Bulk, body, Duration::ZERO).await.unwrap();
        });
        tokio::select! {
            got = receive => kept = got.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(2)) => {}
        }
        sent.await.unwrap();
        if kept.is_empty() {
            kept.push(s.receive_one().await);
        }
        assert_eq!((kept.len(), kept[0].receives), (1, 1), "message {i}");
        s.queue.ack(&kept[0].receipt).await.unwrap();
    }
}

impl Subject {
    pub fn new(queue: impl Queue + DeadLetters + 'static, visibility: Duration) -> Self {
        let queue = Arc::new(queue);
        Self { queue: queue.clone(), dead: queue, visibility }
    }

    async fn send(&self, lane: Lane, body: &str) {
        self.queue.send(lane, body.to_owned(), Duration::ZERO).await.unwrap();
    }
    async fn receive(&self, lanes: &[Lane], max: usize) -> Vec<Message> {
        self.queue.receive(lanes, max, Duration::from_millis(300)).await.unwrap()
    }
    async fn receive_one(&self) -> Message {
        let mut got = self.queue.receive(&Lane::ALL, 10, Duration::from_secs(5)).await.unwrap();
        assert_eq!(got.len(), 1);
        got.remove(0)
    }
    async fn drain(&self, lanes: &[Lane]) -> Vec<Message> {
        let mut all = Vec::new();
        loop {
            let got = self.receive(lanes, 10).await;
            if got.is_empty() {
                return all;
            }
            all.extend(got);
        }
    }
}

fn texts(messages: &[Message]) -> BTreeSet<&str> {
    messages.iter().map(|m| m.body.as_str()).collect()
}
