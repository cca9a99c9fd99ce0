//! `alerts::Sns` before the AWS emulator: who is subscribed, what reaches whom, and what happens while SNS is down.
#![cfg(feature = "sns")]

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use alerts::{
    ErrorKind, Notify as _, Sns,
    contract::{Heard, People, Subject},
};
use async_trait::async_trait;
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_sns::config::{BehaviorVersion, Region};
use aws_types::SdkConfig;
use domain::{Alert, RecordingId, Severity, Timestamp};
use serde_json::Value;
use testbed::{Fault, Ministack, Proxy};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    sync::mpsc,
};

/// Must never be seen in what we say.
const CANARY: &str = "canary-secret-key";

alerts::contract!(subject);

async fn subject() -> Subject {
    let topic = Topic::make().await;
    let people = topic.queue(None).await;
    Subject { notify: Arc::new(topic.sns()), people: Box::new(people) }
}

/// A topic of one test.
struct Topic {
    sdk: SdkConfig,
    arn: String,
    name: String,
}

impl Topic {
    async fn make() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}", MADE.fetch_add(1, Ordering::Relaxed));
        let sdk = sdk(&Ministack::shared().endpoint());
        let made = aws_sdk_sns::Client::new(&sdk).create_topic().name(&name).send().await.unwrap();
        Self { sdk, arn: made.topic_arn.unwrap(), name }
    }

    fn sns(&self) -> Sns {
        Sns::new(&self.sdk, &self.arn)
    }

    /// A subscribed queue that gets what SNS makes of a message, and only what the filter lets through.
    async fn queue(&self, filter: Option<&str>) -> Queue {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}-{}", self.name, MADE.fetch_add(1, Ordering::Relaxed));
        let client = aws_sdk_sqs::Client::new(&self.sdk);
        let url = client.create_queue().queue_name(&name).send().await.unwrap().queue_url.unwrap();
        let subscribe = aws_sdk_sns::Client::new(&self.sdk)
            .subscribe()
            .topic_arn(&self.arn)
            .protocol("sqs")
            .endpoint(format!("arn:aws:sqs:us-east-1:000000000000:{name}"))
            .set_attributes(filter.map(|f| HashMap::from([("FilterPolicy".to_owned(), f.to_owned())])));
        subscribe.send().await.unwrap();
        Queue { client, url }
    }
}

fn sdk(endpoint: &str) -> SdkConfig {
    // A client a test, since its connections end with the test's runtime.
    let http = aws_smithy_http_client::Builder::new().build_http();
    let credentials = Credentials::new("test", CANARY, None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http)
        .build()
}

struct Queue {
    client: aws_sdk_sqs::Client,
    url: String,
}

impl Queue {
    /// The envelopes that SNS puts around each message.
    async fn envelopes(&self) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let poll = self.client.receive_message().queue_url(&self.url).max_number_of_messages(10);
            let got = poll.wait_time_seconds(1).send().await.unwrap().messages.unwrap_or_default();
            if got.is_empty() {
                return all;
            }
            for message in got {
                all.push(serde_json::from_str(message.body.as_deref().unwrap()).unwrap());
                let done = self.client.delete_message().queue_url(&self.url);
                done.receipt_handle(message.receipt_handle.unwrap()).send().await.unwrap();
            }
        }
    }
}

#[async_trait(?Send)]
impl People for Queue {
    async fn heard(&mut self) -> Vec<Heard> {
        let envelopes = self.envelopes().await;
        let heard = envelopes.iter().map(|envelope| {
            let (subject, message) =
                (envelope["Subject"].as_str().unwrap(), envelope["Message"].as_str().unwrap());
            // A digest has no severity.
            let severity = serde_json::from_str::<Alert>(message).map_or(Severity::Info, |a| a.severity);
            Heard { severity, text: format!("{subject}\n{message}") }
        });
        heard.collect()
    }
}

fn alert(severity: Severity) -> Alert {
    Alert {
        key: "recording/1/failed".into(),
        severity,
        service: "convert".into(),
        subject: "Käse.mp4 failed".into(),
        cause: "ffmpeg ended with \"Invalid data\"".into(),
        next: "see `videorec show 3kq0`".into(),
        recording: Some(RecordingId::derive(&[b"a"])),
        at: Timestamp(1_790_000_000_000),
    }
}

/// What reads it by program has the alert whole, a line for people, and attributes to choose by.
#[tokio::test]
async fn a_queue_gets_the_alert_itself() {
    let topic = Topic::make().await;
    let queue = topic.queue(None).await;
    let told = alert(Severity::Critical);
    topic.sns().tell(&told).await.unwrap();
    let envelope = queue.envelopes().await.remove(0);
    assert_eq!(envelope["Subject"], "[critical] convert: K?se.mp4 failed");
    assert_eq!(serde_json::from_str::<Alert>(envelope["Message"].as_str().unwrap()).unwrap(), told);
    for (name, value) in [
        ("severity", "critical"),
        ("service", "convert"),
        ("key", "recording/1/failed"),
        ("recording", &told.recording.unwrap().to_string()),
    ] {
        assert_eq!(envelope["MessageAttributes"][name]["Value"], value);
    }
}

#[tokio::test]
async fn who_filters_by_severity_hears_no_more() {
    let topic = Topic::make().await;
    let mut all = topic.queue(None).await;
    let mut woken =
        topic.queue(Some(r#"{"severity": ["critical"], "service": [{"anything-but": "intake"}]}"#)).await;
    for severity in [Severity::Info, Severity::Critical, Severity::Warning] {
        topic.sns().tell(&alert(severity)).await.unwrap();
    }
    topic.sns().tell(&Alert { service: "intake".into(), ..alert(Severity::Critical) }).await.unwrap();
    assert_eq!(all.heard().await.len(), 4);
    assert_eq!(woken.heard().await.iter().map(|h| h.severity).collect::<Vec<_>>(), [Severity::Critical]);
}

/// Whoever has no form of its own, as e-mail, gets the text for people.
#[tokio::test]
async fn people_get_a_text() {
    let topic = Topic::make().await;
    let (port, mut posts) = listener().await;
    let sns = aws_sdk_sns::Client::new(&topic.sdk);
    let subscribe = sns.subscribe().topic_arn(&topic.arn).protocol("http");
    subscribe.endpoint(format!("http://127.0.0.1:{port}/")).send().await.unwrap();
    let asked = posts.recv().await.unwrap();
    let token = asked["Token"].as_str().unwrap();
    sns.confirm_subscription().topic_arn(&topic.arn).token(token).send().await.unwrap();
    topic.sns().tell(&alert(Severity::Warning)).await.unwrap();
    let post = tokio::time::timeout(Duration::from_secs(10), posts.recv()).await.unwrap().unwrap();
    let text = post["Message"].as_str().unwrap();
    assert!(
        text.starts_with(
            "Käse.mp4 failed\n\nCause: ffmpeg ended with \"Invalid data\"\nWhat to do: see `videorec"
        ),
        "{text}"
    );
}

#[tokio::test]
async fn sns_that_is_down_is_said_and_comes_back() {
    let topic = Topic::make().await;
    let mut people = topic.queue(None).await;
    let proxy = Proxy::before(Ministack::shared().address());
    let sns = Sns::new(&sdk(&proxy.endpoint()), &topic.arn);
    sns.tell(&Alert { key: "before".into(), ..alert(Severity::Info) }).await.unwrap();
    proxy.set(Fault::Down);
    let down = sns.tell(&Alert { key: "meanwhile".into(), ..alert(Severity::Info) }).await.unwrap_err();
    assert_eq!((down.kind(), down.is_temporary()), (ErrorKind::Unavailable, true));
    assert!(down.to_string().contains(&topic.arn) && !format!("{down:?} {sns:?}").contains(CANARY), "{down}");
    proxy.set(Fault::None);
    sns.tell(&Alert { key: "after".into(), ..alert(Severity::Info) }).await.unwrap();
    let heard = people.heard().await;
    assert_eq!(heard.len(), 2);
    assert!(["before", "after"].iter().all(|key| heard.iter().any(|h| h.text.contains(key))));
}

/// Nobody is told less; somebody may be told twice.
#[tokio::test]
async fn an_alert_whose_answer_is_lost_has_arrived() {
    let topic = Topic::make().await;
    let mut people = topic.queue(None).await;
    let proxy = Proxy::before(Ministack::shared().address());
    proxy.set_for(Fault::LoseAnswer, 1);
    Sns::new(&sdk(&proxy.endpoint()), &topic.arn).tell(&alert(Severity::Info)).await.unwrap();
    assert!((1..=2).contains(&people.heard().await.len()));
}

#[tokio::test]
async fn a_topic_that_is_missing_is_said() {
    let topic = Topic::make().await;
    let gone = Sns::new(&topic.sdk, format!("{}-gone", topic.arn));
    let missing = gone.tell(&alert(Severity::Info)).await.unwrap_err();
    assert_eq!((missing.kind(), missing.is_temporary()), (ErrorKind::Invalid, false));
    assert!(missing.to_string().contains("check the ARN"), "{missing}");
}

/// An HTTP endpoint that takes every post and passes on what it says.
async fn listener() -> (u16, mpsc::UnboundedReceiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, (heard, posts)) = (listener.local_addr().unwrap().port(), mpsc::unbounded_channel());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let mut length = 0;
            let mut line = String::new();
            while stream.read_line(&mut line).await.is_ok_and(|n| n > 2) {
                if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = n.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .await
                .unwrap();
            heard.send(serde_json::from_slice(&body).unwrap()).unwrap();
        }
    });
    (port, posts)
}
