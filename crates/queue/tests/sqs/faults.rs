//! A server that is down, and answers that are lost on their way: no message is lost, some come twice.

use std::time::Duration;

use queue::{ErrorKind, Lane, Message, Queue as _, Sqs};
use testbed::{Fault, Ministack, Proxy};

use crate::{VISIBILITY, aws::Queues};

const SOON: Duration = Duration::from_secs(1);

async fn behind_a_proxy() -> (Proxy, Queues, Sqs) {
    let (proxy, queues) = (Proxy::before(Ministack::shared().address()), Queues::make().await);
    let sqs = queues.open_at(&proxy.endpoint(), VISIBILITY, |_| None);
    (proxy, queues, sqs)
}

async fn receive(sqs: &Sqs, wait: Duration) -> Vec<Message> {
    sqs.receive(&[Lane::Bulk], 10, wait).await.unwrap()
}

#[tokio::test]
async fn a_server_that_is_down_is_said_and_comes_back() {
    let (proxy, _, sqs) = behind_a_proxy().await;
    sqs.send(Lane::Bulk, "before".into(), Duration::ZERO).await.unwrap();
    let held = receive(&sqs, SOON).await.remove(0);
    proxy.set(Fault::Down);
    let down = [
        sqs.send(Lane::Bulk, "meanwhile".into(), Duration::ZERO).await,
        sqs.send_many(Lane::Bulk, vec!["meanwhile".into()]).await,
        sqs.receive(&[Lane::Bulk], 10, Duration::from_secs(20)).await.map(drop),
        sqs.receive(&Lane::ALL, 10, Duration::from_secs(20)).await.map(drop),
        sqs.depth().await.map(drop),
    ];
    for error in down.map(Result::unwrap_err) {
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error}");
    }
    proxy.set(Fault::None);
    sqs.send(Lane::Bulk, "after".into(), Duration::ZERO).await.unwrap();
    let mut bodies = Vec::new();
    while bodies.len() < 2 {
        for message in receive(&sqs, VISIBILITY * 2).await {
            assert_ne!(message.receipt, held.receipt);
            sqs.ack(&message.receipt).await.unwrap();
            bodies.push(message.body);
        }
    }
    bodies.sort();
    assert_eq!(
        bodies,
        ["after", "before"],
        "what was held came again, and nothing was sent while it was down"
    );
}

/// An acknowledgement that failed can be tried again for as long as the delivery lasts.
#[tokio::test]
async fn an_acknowledgement_that_did_not_arrive_is_tried_again() {
    let (proxy, queues, _) = behind_a_proxy().await;
    let sqs = queues.open_at(&proxy.endpoint(), Duration::from_secs(60), |_| None);
    sqs.send(Lane::Bulk, "done".into(), Duration::ZERO).await.unwrap();
    let held = receive(&sqs, SOON).await.remove(0);
    proxy.set(Fault::Down);
    assert_eq!(sqs.ack(&held.receipt).await.unwrap_err().kind(), ErrorKind::Unavailable);
    proxy.set(Fault::None);
    sqs.ack(&held.receipt).await.unwrap();
    assert!(sqs.depth().await.unwrap().iter().all(|d| d.visible + d.in_flight == 0));
}

#[tokio::test]
async fn a_send_whose_answer_is_lost_has_arrived_once_or_twice() {
    let (proxy, _, sqs) = behind_a_proxy().await;
    proxy.set_for(Fault::LoseAnswer, 1);
    sqs.send(Lane::Bulk, "one".into(), Duration::ZERO).await.unwrap();
    proxy.set_for(Fault::LoseAnswer, 1);
    sqs.send_many(Lane::Bulk, vec!["many".into()]).await.unwrap();
    let got = receive(&sqs, SOON).await;
    let count = |body| got.iter().filter(|m| m.body == body).count();
    assert!((1..=2).contains(&count("one")) && (1..=2).contains(&count("many")), "{got:?}");
}

#[tokio::test]
async fn a_message_whose_delivery_is_lost_on_the_way_comes_again() {
    let (proxy, queues, sqs) = behind_a_proxy().await;
    queues.open(VISIBILITY).send(Lane::Bulk, "job".into(), Duration::ZERO).await.unwrap();
    proxy.set_for(Fault::LoseAnswer, 1);
    let got = receive(&sqs, VISIBILITY * 3).await;
    assert_eq!((got.len(), got[0].receives), (1, 2));
    sqs.ack(&got[0].receipt).await.unwrap();
}

/// The repeated request meets a message that is gone, and that is what was wanted.
#[tokio::test]
async fn an_acknowledgement_whose_answer_is_lost_is_done() {
    let (proxy, _, sqs) = behind_a_proxy().await;
    sqs.send(Lane::Bulk, "job".into(), Duration::ZERO).await.unwrap();
    let got = receive(&sqs, SOON).await;
    proxy.set_for(Fault::LoseAnswer, 1);
    sqs.ack(&got[0].receipt).await.unwrap();
    assert!(receive(&sqs, VISIBILITY + SOON).await.is_empty());
}

/// A release without an answer may have been done; the message comes again, and the old delivery is over.
#[tokio::test]
async fn a_release_that_fails_is_a_message_that_comes_again() {
    let (proxy, _, sqs) = behind_a_proxy().await;
    sqs.send(Lane::Bulk, "job".into(), Duration::ZERO).await.unwrap();
    let got = receive(&sqs, SOON).await;
    proxy.set(Fault::Down);
    assert_eq!(
        sqs.release(&got[0].receipt, Duration::ZERO).await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    proxy.set(Fault::None);
    assert_eq!(sqs.ack(&got[0].receipt).await.unwrap_err().kind(), ErrorKind::Lost);
    assert_eq!(receive(&sqs, VISIBILITY * 2).await[0].receives, 2);
}

/// What cannot be given back at the end is said, and comes again when its visibility ends.
#[tokio::test]
async fn a_close_that_cannot_give_back_says_so() {
    let (proxy, _, sqs) = behind_a_proxy().await;
    let dropped = tokio::time::timeout(SOON / 10, sqs.receive(&[Lane::Bulk], 1, SOON * 20));
    assert!(dropped.await.is_err());
    sqs.send(Lane::Bulk, "job".into(), Duration::ZERO).await.unwrap();
    // The poll has it by now, and keeps it for a moment.
    tokio::time::sleep(SOON / 3).await;
    proxy.set(Fault::Down);
    assert_eq!(sqs.close().await.unwrap_err().kind(), ErrorKind::Unavailable);
}

/// However far a receive was when it was dropped, its message is there for the next one, long before a visibility ends.
#[tokio::test]
async fn a_receive_dropped_while_answers_are_on_their_way_hides_nothing() {
    let (proxy, queues, _) = behind_a_proxy().await;
    let sqs = queues.open_at(&proxy.endpoint(), SOON * 600, |_| None);
    // An empty answer takes about 40 ms, one with a message 150 ms.
    proxy.set(Fault::Slow { bytes_per_second: 4_000 });
    for millis in (20..420).step_by(40) {
        sqs.send(Lane::Bulk, "job".into(), Duration::ZERO).await.unwrap();
        let lanes = [Lane::Events, Lane::Bulk];
        let dropped = tokio::time::timeout(Duration::from_millis(millis), sqs.receive(&lanes, 1, SOON * 10));
        let got = match dropped.await {
            Ok(got) => got.unwrap(),
            Err(_) => sqs.receive(&lanes, 1, SOON * 10).await.unwrap(),
        };
        assert_eq!(got.len(), 1, "dropped after {millis} ms");
        sqs.ack(&got[0].receipt).await.unwrap();
    }
}

/// Receivers that come and go, and a line that is cut in the middle of answers: every message is acknowledged in the end.
#[tokio::test]
async fn nothing_is_lost_when_receivers_go_and_lines_break() {
    const MESSAGES: usize = 60;
    let (proxy, queues, sqs) = behind_a_proxy().await;
    let bodies = (0..MESSAGES).map(|i| format!("{i}")).collect();
    queues.open(VISIBILITY).send_many(Lane::Bulk, bodies).await.unwrap();
    let mut acked = std::collections::BTreeSet::new();
    let mut round = 0;
    while acked.len() < MESSAGES {
        round += 1;
        assert!(round < 400, "{} of {MESSAGES}", acked.len());
        if round % 7 == 0 && round < 100 {
            proxy.set_for(Fault::CutAnswer { after: 400 }, 1);
        }
        tokio::select! {
            got = sqs.receive(&[Lane::Bulk], 3, SOON) => for message in got.unwrap_or_default() {
                if sqs.ack(&message.receipt).await.is_ok() {
                    acked.insert(message.body);
                }
            },
            () = tokio::time::sleep(Duration::from_millis(round % 40)) => {}
        }
    }
    assert!(sqs.depth().await.unwrap().iter().all(|d| d.visible + d.in_flight == 0));
}
