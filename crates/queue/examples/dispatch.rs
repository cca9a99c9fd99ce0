//! How fast messages that ask for no work go through `Sqs`, on the AWS emulator, next to the loop that everybody writes
//! first (boto3: receive one, delete it). Both find the same backlog and the same server, on the same cores.
//!
//!     cargo run --release -p queue --features sqs --example dispatch -- 2000
#![expect(clippy::disallowed_methods, reason = "starts the peer")]

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use queue::{Addresses, Lane, Queue as _, Sqs};
use testbed::Ministack;

const PEER: &str = "\
import boto3, sys, time
endpoint, url, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
sqs = boto3.client('sqs', endpoint_url=endpoint, region_name='us-east-1', aws_access_key_id='a', aws_secret_access_key='b')
done, start = 0, time.monotonic()
while done < count:
    for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get('Messages', []):
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message['ReceiptHandle'])
        done += 1
print(time.monotonic() - start)
";

#[tokio::main]
async fn main() {
    let messages: usize = std::env::args().nth(1).map_or(2_000, |n| n.parse().expect("a number"));
    let server = Ministack::start();
    let sdk = aws_types::SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(server.endpoint())
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("a", "b", None, None, "here")))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    let client = aws_sdk_sqs::Client::new(&sdk);
    let mut urls = Vec::new();
    for lane in Lane::ALL {
        let made = client.create_queue().queue_name(lane.as_str()).send().await.expect("a queue");
        urls.push(made.queue_url.expect("a URL"));
    }
    let [events, interactive, bulk] = [0, 1, 2].map(|i: usize| urls[i].clone().into());
    let sqs = Arc::new(Sqs::new(&sdk, Addresses { events, interactive, bulk }, Sqs::VISIBILITY));

    let rate = |took: Duration| messages as f64 / took.as_secs_f64();
    for round in 1..=3 {
        let sent = fill(&sqs, messages).await;
        let theirs = boto3(&server.endpoint(), &urls[Lane::Bulk as usize], messages);
        println!("round {round}: sent {:.0}/s; boto3 {:.0}/s", rate(sent), rate(theirs));
        for receivers in [1, 4] {
            fill(&sqs, messages).await;
            let ours = drain(&sqs, messages, receivers).await;
            let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
            println!("  {receivers} at a time, ten messages each: {:.0}/s, {ratio:.1}x", rate(ours));
        }
    }
}

async fn fill(sqs: &Sqs, messages: usize) -> Duration {
    let bodies = (0..messages).map(|i| format!("{{\"job\":\"{i:026}\"}}")).collect();
    let start = Instant::now();
    sqs.send_many(Lane::Bulk, bodies).await.expect("sent");
    start.elapsed()
}

async fn drain(sqs: &Arc<Sqs>, messages: usize, receivers: usize) -> Duration {
    let (start, done) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let running = (0..receivers).map(|_| {
        let (sqs, done) = (sqs.clone(), done.clone());
        tokio::spawn(async move {
            while done.load(Ordering::Relaxed) < messages {
                let got = sqs.receive(&[Lane::Bulk], 10, Duration::from_secs(1)).await.expect("received");
                let acks = futures::future::join_all(got.iter().map(|m| sqs.ack(&m.receipt))).await;
                done.fetch_add(acks.into_iter().filter(Result::is_ok).count(), Ordering::Relaxed);
            }
            start.elapsed()
        })
    });
    let mut took = Vec::new();
    for receiver in running.collect::<Vec<_>>() {
        took.push(receiver.await.expect("no panic"));
    }
    took.into_iter().min().expect("one receiver at least")
}

/// By its own clock, so that Python's start is not counted.
fn boto3(endpoint: &str, url: &str, messages: usize) -> Duration {
    let out = Command::new(testbed::ensure_boto3())
        .args(["-c", PEER, endpoint, url, &messages.to_string()])
        .output();
    let out = out.expect("Python starts");
    let text = String::from_utf8_lossy(&out.stdout);
    let seconds = text.trim().parse().unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&out.stderr)));
    Duration::from_secs_f64(seconds)
}
