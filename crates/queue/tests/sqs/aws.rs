use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use aws_sdk_sqs::{
    Client,
    config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider},
    types::QueueAttributeName,
};
use aws_types::SdkConfig;
use queue::{Address, Addresses, Lane, Sqs};
use testbed::Ministack;

pub const MAX_RECEIVES: u32 = 3;
/// Must never be seen in what we say.
pub const CANARY: &str = "canary-secret-key";

/// Three queues of one test, each with its dead-letter queue.
pub struct Queues {
    pub client: Client,
    name: String,
}

impl Queues {
    pub async fn make() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("q{}", MADE.fetch_add(1, Ordering::Relaxed));
        let made = Self { client: Client::new(&sdk(&Ministack::shared().endpoint())), name };
        for lane in Lane::ALL {
            let dead = made.create(&made.dead_name(lane), None).await;
            let policy = format!(r#"{{"deadLetterTargetArn":"{dead}","maxReceiveCount":{MAX_RECEIVES}}}"#);
            made.create(&made.name(lane), Some(policy)).await;
        }
        made
    }

    pub fn open(&self, visibility: Duration) -> Sqs {
        self.open_with(visibility, |_| None)
    }

    pub fn open_with(&self, visibility: Duration, dead_letters: impl Fn(Lane) -> Option<String>) -> Sqs {
        self.open_at(&Ministack::shared().endpoint(), visibility, dead_letters)
    }

    /// By way of a proxy, for instance.
    pub fn open_at(
        &self,
        endpoint: &str,
        visibility: Duration,
        dead_letters: impl Fn(Lane) -> Option<String>,
    ) -> Sqs {
        let address = |lane| Address { url: self.url(lane), dead_letters: dead_letters(lane) };
        let addresses = Addresses {
            events: address(Lane::Events),
            interactive: address(Lane::Interactive),
            bulk: address(Lane::Bulk),
        };
        Sqs::new(&sdk(endpoint), addresses, visibility)
    }

    pub fn url(&self, lane: Lane) -> String {
        format!("{}/000000000000/{}", Ministack::shared().endpoint(), self.name(lane))
    }

    pub fn dead_url(&self, lane: Lane) -> String {
        format!("{}/000000000000/{}", Ministack::shared().endpoint(), self.dead_name(lane))
    }

    fn name(&self, lane: Lane) -> String {
        format!("{}-{}", self.name, lane.as_str())
    }

    fn dead_name(&self, lane: Lane) -> String {
        format!("{}-{}-dead", self.name, lane.as_str())
    }

    /// Returns its ARN.
    async fn create(&self, name: &str, redrive: Option<String>) -> String {
        let request = self.client.create_queue().queue_name(name);
        let request = match redrive {
            Some(policy) => request.attributes(QueueAttributeName::RedrivePolicy, policy),
            None => request,
        };
        request.send().await.unwrap();
        format!("arn:aws:sqs:us-east-1:000000000000:{name}")
    }
}

pub fn sdk(endpoint: &str) -> SdkConfig {
    // A client a test, since its connections end with the test's runtime.
    let http = aws_smithy_http_client::Builder::new().build_http();
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "test", CANARY, None, None, "test",
        )))
        .http_client(http)
        .build()
}
