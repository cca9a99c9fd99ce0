//! A fleet's surroundings, on this machine: a bucket that notifies a queue, a topic with a subscribed queue, PostgreSQL; and
//! workers as processes. Set up as a person would with the ordinary SDK.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_s3::types::{
    BucketVersioningStatus, Event, NotificationConfiguration, QueueConfiguration, VersioningConfiguration,
};
use aws_sdk_sqs::types::QueueAttributeName;
use aws_types::{SdkConfig, region::Region};
use serde_json::Value;
use testbed::{Ministack, Postgres};

use crate::support::{self, Said, eventually, said};

pub struct Cloud {
    pub home: tempfile::TempDir,
    pub s3: aws_sdk_s3::Client,
    pub sqs: aws_sdk_sqs::Client,
    pub sns: aws_sdk_sns::Client,
    pub bucket: String,
    /// events, interactive, bulk
    pub queues: [String; 3],
    pub dead: [String; 3],
    pub topic: String,
    /// Subscribed to the topic.
    pub inbox: String,
    pub catalog: String,
    pub endpoint: String,
    runtime: tokio::runtime::Runtime,
}

/// How the surroundings differ from the usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// The bucket tells the queue of what happens in it.
    pub notifies: bool,
    pub versioned: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { notifies: true, versioned: true }
    }
}

/// In every secret that a worker is given; nowhere in what it says.
pub const CANARY: &str = "canary-4f1d7c";

impl Cloud {
    pub fn new() -> Self {
        Self::with(Setup::default())
    }

    pub fn with(setup: Setup) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let endpoint = Ministack::shared().endpoint();
        let sdk = sdk(&endpoint);
        let (s3, sqs, sns) = (
            aws_sdk_s3::Client::from_conf(
                aws_sdk_s3::config::Builder::from(&sdk).force_path_style(true).build(),
            ),
            aws_sdk_sqs::Client::new(&sdk),
            aws_sdk_sns::Client::new(&sdk),
        );
        let name = format!("t{:x}", support::fastrand());
        let made = runtime.block_on(prepare(&s3, &sqs, &sns, &name, setup));
        let catalog = Postgres::shared().database();
        Self {
            home: tempfile::tempdir().expect("a temporary folder"),
            bucket: name,
            queues: made.queues,
            dead: made.dead,
            topic: made.topic,
            inbox: made.inbox,
            catalog,
            endpoint,
            s3,
            sqs,
            sns,
            runtime,
        }
    }

    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// The binary, pointed at this fleet, with a clean environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_videorec"));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if (name.starts_with("VIDEOREC_") && name != "VIDEOREC_ALLOW_MISSING") || name.starts_with("AWS_")
            {
                command.env_remove(name);
            }
        }
        command
            .env("VIDEOREC_CATALOG", self.catalog_with_secret())
            .env("VIDEOREC_STORE", format!("s3://{}/library", self.bucket))
            .env("VIDEOREC_WATCH", format!("s3://{}/inbox", self.bucket))
            .env("VIDEOREC_QUEUE_EVENTS", &self.queues[0])
            .env("VIDEOREC_QUEUE_INTERACTIVE", &self.queues[1])
            .env("VIDEOREC_QUEUE_BULK", &self.queues[2])
            .env("VIDEOREC_TOPIC", &self.topic)
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", CANARY)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .args(args)
            .stdin(Stdio::null());
        command
    }

    /// The server trusts whoever comes by its socket: any password will do, so that one can be looked for.
    fn catalog_with_secret(&self) -> String {
        self.catalog.replace("videorec@", &format!("videorec:{CANARY}@"))
    }

    pub fn run(&self, args: &[&str]) -> Said {
        said(self.command(args).output().expect("videorec starts"))
    }

    pub fn ok(&self, args: &[&str]) -> String {
        let said = self.run(args);
        assert_eq!(said.code, Some(0), "videorec {args:?}\n{}\n{}", said.out, said.err);
        said.out
    }

    pub fn json(&self, args: &[&str]) -> Vec<Value> {
        let said = self.run(&[&["--json"], args].concat());
        let parse =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}\n{}", said.err));
        said.out.lines().map(parse).collect()
    }

    pub fn policy(&self, text: &str) -> PathBuf {
        let path = self.home.path().join("policy.yaml");
        fs::write(&path, text).expect("a policy");
        path
    }

    /// Starts a worker with this policy, a text or the URL of an object; short leases, so that a dead one's work is taken over soon.
    pub fn worker(&self, policy: &str, args: &[&str], env: &[(&str, &str)]) -> Worker {
        self.worker_saying(policy, args, env, Path::new("/dev/null"))
    }

    /// One whose standard output is kept.
    pub fn worker_saying(&self, policy: &str, args: &[&str], env: &[(&str, &str)], out: &Path) -> Worker {
        let log = self.home.path().join(format!("worker-{:x}.log", support::fastrand()));
        let file = fs::File::create(&log).expect("a log");
        let policy = match policy.starts_with("s3://") {
            true => policy.to_owned(),
            false => self.policy(policy).display().to_string(),
        };
        let mut command = self.command(&["--policy", &policy]);
        command
            .args(["work", "--listen", "127.0.0.1:0", "--walk-every", "0"])
            .args(defaults(&[("--lease", "3"), ("--drain", "20")], args))
            .arg("--scratch")
            .arg(self.home.path().join("scratch"))
            .args(args)
            .env("VIDEOREC_LOG", "info")
            .envs(env.iter().copied())
            .stdout(fs::File::create(out).expect("somewhere to say it"))
            .stderr(file);
        Worker { child: command.spawn().expect("videorec starts"), log }
    }

    pub fn upload(&self, key: &str, bytes: Vec<u8>) -> Option<String> {
        let put = self.s3.put_object().bucket(&self.bucket).key(format!("inbox/{key}")).body(bytes.into());
        self.block_on(put.send()).expect("an upload").version_id
    }

    pub fn upload_file(&self, key: &str, file: &Path) -> Option<String> {
        self.upload(key, fs::read(file).expect("a file"))
    }

    /// All objects of a bucket below a prefix, by key, with their sizes.
    pub fn objects(&self, prefix: &str) -> Vec<(String, i64)> {
        self.block_on(async {
            let listed = self
                .s3
                .list_objects_v2()
                .bucket(&self.bucket)
                .prefix(prefix)
                .send()
                .await
                .expect("a listing");
            listed
                .contents()
                .iter()
                .map(|o| (o.key().unwrap_or_default().to_owned(), o.size().unwrap_or(0)))
                .collect()
        })
    }

    pub fn send_event(&self, body: &str) {
        self.block_on(self.sqs.send_message().queue_url(&self.queues[0]).message_body(body).send())
            .expect("sent");
    }

    /// The recording of this name once it is as asked.
    pub fn until(&self, name: &str, what: impl Fn(&Value) -> bool) -> Value {
        eventually(|| {
            let all = self.json(&["ls", "--renditions", "--limit", "1000"]);
            let found = all.iter().find(|r| r["name"] == name);
            found.filter(|r| what(r)).cloned().ok_or_else(|| format!("{name}: {found:?}\n{}", self.logs()))
        })
    }

    /// What all workers said.
    pub fn logs(&self) -> String {
        let entries = fs::read_dir(self.home.path()).expect("ours").flatten().map(|e| e.path());
        let logs = entries.filter(|p| p.extension().is_some_and(|e| e == "log"));
        logs.map(|p| format!("--- {}\n{}", p.display(), fs::read_to_string(&p).unwrap_or_default())).collect()
    }

    pub fn until_terminal(&self, name: &str) -> Value {
        self.until(name, |r| !matches!(r["state"].as_str(), Some("accepted" | "processing")))
    }

    /// Bodies that came to the queue which is subscribed to the topic, so far.
    pub fn told(&self) -> Vec<Value> {
        self.block_on(async {
            let got = self
                .sqs
                .receive_message()
                .queue_url(&self.inbox)
                .max_number_of_messages(10)
                .visibility_timeout(0)
                .wait_time_seconds(1)
                .send()
                .await
                .expect("received");
            got.messages().iter().filter_map(|m| serde_json::from_str(m.body()?).ok()).collect()
        })
    }

    /// Messages that nobody has taken or answered yet, of all lanes.
    pub fn waiting(&self) -> i64 {
        self.block_on(async {
            let mut all = 0;
            for url in &self.queues {
                let asked = self
                    .sqs
                    .get_queue_attributes()
                    .queue_url(url)
                    .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
                    .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)
                    .send()
                    .await
                    .expect("attributes");
                let values =
                    asked.attributes().into_iter().flatten().map(|(_, v)| v.parse::<i64>().unwrap_or(0));
                all += values.sum::<i64>();
            }
            all
        })
    }
}

/// A running `videorec work`; killed when dropped.
pub struct Worker {
    pub child: Child,
    pub log: PathBuf,
}

impl Worker {
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until the log says so.
    pub fn says(&self, what: &str) {
        eventually(|| {
            self.log().contains(what).then_some(()).ok_or_else(|| format!("no `{what}` in\n{}", self.log()))
        });
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.expect("kill starts").success());
    }

    pub fn ended(&mut self, within: Duration) -> Option<std::process::ExitStatus> {
        let until = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return Some(status);
            }
            if Instant::now() > until {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where it answers for its health.
    pub fn address(&self) -> String {
        eventually(|| {
            let log = self.log();
            let line = log.lines().find(|l| l.contains("health and metrics")).map(str::to_owned);
            let address =
                line.as_deref().and_then(|l| l.split("address=").nth(1)).map(|a| a.trim().to_owned());
            address.ok_or(log)
        })
    }

    /// SIGTERM, and a clean end.
    pub fn stop(mut self) -> String {
        self.says("working; SIGTERM");
        self.signal("TERM");
        let status =
            self.ended(Duration::from_secs(60)).unwrap_or_else(|| panic!("did not stop\n{}", self.log()));
        assert!(status.success(), "stopped with {status}\n{}", self.log());
        self.log()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Those that are not given otherwise.
fn defaults<'a>(all: &[(&'a str, &'a str)], given: &[&str]) -> Vec<&'a str> {
    all.iter().filter(|(name, _)| !given.contains(name)).flat_map(|(name, value)| [*name, *value]).collect()
}

struct Made {
    queues: [String; 3],
    dead: [String; 3],
    topic: String,
    inbox: String,
}

pub fn sdk(endpoint: &str) -> SdkConfig {
    let credentials = Credentials::new("test", "test", None, None, "tests");
    SdkConfig::builder()
        .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build()
}

async fn prepare(
    s3: &aws_sdk_s3::Client,
    sqs: &aws_sdk_sqs::Client,
    sns: &aws_sdk_sns::Client,
    name: &str,
    setup: Setup,
) -> Made {
    s3.create_bucket().bucket(name).send().await.expect("a bucket");
    if setup.versioned {
        let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        s3.put_bucket_versioning()
            .bucket(name)
            .versioning_configuration(enabled)
            .send()
            .await
            .expect("versioning");
    }
    let (mut queues, mut dead) = (Vec::new(), Vec::new());
    for lane in ["events", "interactive", "bulk"] {
        let (letters, arn) = queue(sqs, &format!("{name}-{lane}-dead"), None).await;
        let redrive = serde_json::json!({ "deadLetterTargetArn": arn, "maxReceiveCount": "6" }).to_string();
        queues.push(queue(sqs, &format!("{name}-{lane}"), Some(redrive)).await);
        dead.push(letters);
    }
    if setup.notifies {
        let to_events = QueueConfiguration::builder()
            .queue_arn(&queues[0].1)
            .events(Event::from("s3:ObjectCreated:*"))
            .events(Event::from("s3:ObjectRemoved:*"))
            .build()
            .expect("complete");
        let config = NotificationConfiguration::builder().queue_configurations(to_events).build();
        let put = s3.put_bucket_notification_configuration().bucket(name).notification_configuration(config);
        put.send().await.expect("a notification");
    }
    let topic = sns.create_topic().name(name).send().await.expect("a topic").topic_arn.expect("an ARN");
    let (inbox, arn) = queue(sqs, &format!("{name}-told"), None).await;
    sns.subscribe().topic_arn(&topic).protocol("sqs").endpoint(arn).send().await.expect("a subscription");
    let urls: Vec<String> = queues.into_iter().map(|(url, _)| url).collect();
    Made { queues: urls.try_into().expect("three"), dead: dead.try_into().expect("three"), topic, inbox }
}

/// Its URL and its ARN.
async fn queue(sqs: &aws_sdk_sqs::Client, name: &str, redrive: Option<String>) -> (String, String) {
    let mut create = sqs.create_queue().queue_name(name);
    if let Some(redrive) = redrive {
        create = create.attributes(QueueAttributeName::RedrivePolicy, redrive);
    }
    let url = create.send().await.expect("a queue").queue_url.expect("a URL");
    let asked = sqs.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::QueueArn);
    let attributes = asked.send().await.expect("attributes").attributes.expect("attributes");
    (url, attributes[&QueueAttributeName::QueueArn].clone())
}
