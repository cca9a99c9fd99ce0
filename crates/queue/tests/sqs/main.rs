//! `queue::Sqs` before the AWS emulator, in real time. What the emulator gets wrong is not relied on (an expired receipt
//! that it accepts, say), and what it does not have is shown with answers of our own.
#![cfg(feature = "sqs")]

mod aws;
mod fake;
mod faults;

use std::time::{Duration, Instant};

use aws::Queues;
use queue::{DeadLetters as _, ErrorKind, Lane, MAX_BODY, Queue as _, Which, contract::Subject};

/// Cases wait for it to end, on a machine that has other things to do, too.
const VISIBILITY: Duration = Duration::from_secs(2);

async fn subject() -> Subject {
    Subject::new(Queues::make().await.open(VISIBILITY), VISIBILITY)
}

queue::contract!(subject);
queue::dead_letters_contract!(subject);

/// The other end of the same queue need not be ours: S3 and SNS send what they like.
#[tokio::test]
async fn what_others_send_is_received() {
    let queues = Queues::make().await;
    let sqs = queues.open(VISIBILITY);
    queues
        .client
        .send_message()
        .queue_url(queues.url(Lane::Events))
        .message_body("\u{7f} text")
        .send()
        .await
        .unwrap();
    let got = sqs.receive(&[Lane::Events], 1, Duration::from_secs(5)).await.unwrap();
    assert_eq!((got[0].body.as_str(), got[0].lane), ("\u{7f} text", Lane::Events));
}

/// Two processes: what one sends the other one gets, and a receipt is worth nothing elsewhere.
#[tokio::test]
async fn a_receipt_is_its_receivers_own() {
    let queues = Queues::make().await;
    let (one, other) = (queues.open(VISIBILITY), queues.open(VISIBILITY));
    one.send(Lane::Bulk, "job".into(), Duration::ZERO).await.unwrap();
    let got = other.receive(&[Lane::Bulk], 1, Duration::from_secs(5)).await.unwrap();
    assert_eq!(one.ack(&got[0].receipt).await.unwrap_err().kind(), ErrorKind::Lost);
    other.ack(&got[0].receipt).await.unwrap();
}

/// Our own clock decides, since SQS does not: the emulator takes an acknowledgement that comes too late in silence.
#[tokio::test]
async fn a_delivery_that_is_over_is_lost_though_nobody_else_has_it() {
    let sqs = Queues::make().await.open(Duration::from_secs(1));
    sqs.send(Lane::Bulk, "slow".into(), Duration::ZERO).await.unwrap();
    let got = sqs.receive(&[Lane::Bulk], 1, Duration::from_secs(5)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    for over in [
        sqs.extend(&got[0].receipt, VISIBILITY).await,
        sqs.ack(&got[0].receipt).await,
        sqs.release(&got[0].receipt, Duration::ZERO).await,
    ] {
        assert_eq!(over.unwrap_err().kind(), ErrorKind::Lost);
    }
    assert_eq!(sqs.receive(&[Lane::Bulk], 1, Duration::from_secs(5)).await.unwrap()[0].receives, 2);
}

/// The visibility counts from when a message came and not from when its receiver began to wait.
#[tokio::test]
async fn a_message_that_was_waited_for_has_its_visibility_before_it() {
    let sqs = Queues::make().await.open(VISIBILITY);
    let (got, ()) = tokio::join!(sqs.receive(&[Lane::Bulk], 1, Duration::from_secs(10)), async {
        tokio::time::sleep(VISIBILITY + Duration::from_secs(1)).await;
        sqs.send(Lane::Bulk, "at last".into(), Duration::ZERO).await.unwrap();
    });
    let got = got.unwrap();
    tokio::time::sleep(VISIBILITY / 2).await;
    sqs.ack(&got[0].receipt).await.unwrap();
}

/// What a poll brings after its receiver is gone goes back within a moment, long before its visibility ends.
#[tokio::test]
async fn a_message_for_nobody_goes_back() {
    let queues = Queues::make().await;
    let (gone, other) = (queues.open(Duration::from_secs(600)), queues.open(VISIBILITY));
    let dropped = tokio::time::timeout(
        Duration::from_millis(100),
        gone.receive(&[Lane::Bulk], 1, Duration::from_secs(20)),
    );
    assert!(dropped.await.is_err());
    other.send(Lane::Bulk, "job".into(), Duration::ZERO).await.unwrap();
    // The poll that goes on has it first.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(other.receive(&[Lane::Bulk], 1, Duration::ZERO).await.unwrap().is_empty());
    let got = other.receive(&[Lane::Bulk], 1, Duration::from_secs(10)).await.unwrap();
    assert_eq!((got[0].body.as_str(), got[0].receives), ("job", 2));
}

/// Whoever closes before leaving leaves nothing invisible behind.
#[tokio::test]
async fn closing_waits_for_the_polls_and_gives_back_at_once() {
    let queues = Queues::make().await;
    let (gone, other) = (queues.open(Duration::from_secs(600)), queues.open(VISIBILITY));
    let dropped = tokio::time::timeout(
        Duration::from_millis(100),
        gone.receive(&[Lane::Bulk], 1, Duration::from_secs(4)),
    );
    assert!(dropped.await.is_err());
    let start = Instant::now();
    let (closed, ()) = tokio::join!(async { gone.close().await.map(|()| start.elapsed()) }, async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        other.send(Lane::Bulk, "job".into(), Duration::ZERO).await.unwrap();
    });
    assert!(closed.unwrap() > Duration::from_millis(500), "the poll may still bring something");
    assert_eq!(other.receive(&[Lane::Bulk], 1, Duration::ZERO).await.unwrap().len(), 1);
    let closed = gone.receive(&[Lane::Bulk], 1, Duration::ZERO).await.unwrap_err();
    assert_eq!((closed.kind(), closed.is_temporary()), (ErrorKind::Invalid, false));
}

/// A receiver that is there when the queue is closed is told at once.
#[tokio::test]
async fn closing_ends_a_wait() {
    let sqs = Queues::make().await.open(VISIBILITY);
    let start = Instant::now();
    let (got, ()) = tokio::join!(
        async {
            let got = sqs.receive(&Lane::ALL, 1, Duration::from_secs(3)).await;
            (got, start.elapsed())
        },
        async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            sqs.close().await.unwrap();
        }
    );
    assert!(got.0.unwrap().is_empty() && got.1 < Duration::from_secs(2), "{:?}", got.1);
}

/// The redrive policy is SQS's own way to the dead letters.
#[tokio::test]
async fn a_message_received_too_often_is_a_dead_letter_without_a_reason() {
    let queues = Queues::make().await;
    let sqs = queues.open(VISIBILITY);
    sqs.send(Lane::Bulk, "kills its worker".into(), Duration::ZERO).await.unwrap();
    for receives in 1..=aws::MAX_RECEIVES {
        let got = sqs.receive(&[Lane::Bulk], 1, Duration::from_secs(5)).await.unwrap();
        assert_eq!(got[0].receives, receives);
        sqs.release(&got[0].receipt, Duration::ZERO).await.unwrap();
    }
    assert!(sqs.receive(&[Lane::Bulk], 1, Duration::from_secs(1)).await.unwrap().is_empty());
    let dead = sqs.dead(Lane::Bulk, 9).await.unwrap();
    assert_eq!((dead.len(), dead[0].body.as_str(), &dead[0].reason), (1, "kills its worker", &None));
    assert!(dead[0].sent_at_ms.unwrap() > 1_700_000_000_000 && dead[0].receives > aws::MAX_RECEIVES);
    assert_eq!(sqs.redrive(Lane::Bulk, Which::All).await.unwrap(), 1);
    assert_eq!(sqs.receive(&[Lane::Bulk], 1, Duration::from_secs(5)).await.unwrap()[0].receives, 1);
}

#[tokio::test]
async fn a_dead_letter_queue_that_is_named_is_the_one() {
    let queues = Queues::make().await;
    let sqs = queues.open_with(VISIBILITY, |lane| Some(queues.dead_url(lane)));
    sqs.park(Lane::Bulk, "x".into(), "y").await.unwrap();
    assert_eq!(queues.open(VISIBILITY).dead(Lane::Bulk, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_missing_is_said() {
    let queues = Queues::make().await;
    queues.client.delete_queue().queue_url(queues.url(Lane::Interactive)).send().await.unwrap();
    let missing = queues.open(VISIBILITY).depth().await.unwrap_err();
    assert_eq!((missing.kind(), missing.is_temporary()), (ErrorKind::Invalid, false));
    assert!(missing.to_string().contains("check the URL and the region"), "{missing}");

    let remove = queues.client.set_queue_attributes().queue_url(queues.url(Lane::Bulk));
    remove.attributes(aws_sdk_sqs::types::QueueAttributeName::RedrivePolicy, "").send().await.unwrap();
    let missing = queues.open(VISIBILITY).dead(Lane::Bulk, 1).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Invalid);
    assert!(missing.to_string().contains("has no dead-letter queue"), "{missing}");
}

/// As much as a batch may hold in bytes, many times over, with several under way.
#[tokio::test]
async fn large_messages_go_in_batches_of_their_own() {
    let sqs = Queues::make().await.open(Duration::from_secs(60));
    let bodies: Vec<String> = (0..12).map(|i| format!("{i:02}{}", "x".repeat(MAX_BODY / 2 - 2))).collect();
    sqs.send_many(Lane::Bulk, bodies).await.unwrap();
    assert_eq!(sqs.depth().await.unwrap()[Lane::Bulk as usize].visible, 12);
}
