use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use aws_sdk_s3::{
    Client,
    config::{
        self, BehaviorVersion, ConfigBag, Intercept, RequestChecksumCalculation, ResponseChecksumValidation,
        RuntimeComponents, StalledStreamProtectionConfig,
        interceptors::BeforeDeserializationInterceptorContextRef, retry::RetryConfig,
    },
    operation::head_object::HeadObjectOutput,
    primitives::{DateTime, DateTimeFormat},
    types::{ChecksumMode, StorageClass},
};
use aws_types::SdkConfig;
use domain::Timestamp;
use tokio::sync::OnceCell;

use super::{
    Checksums, Options, Place,
    checksum::Kept,
    failure::{Act, Failure},
    version::Pin,
};
use crate::{Error, ErrorKind, Key, LifecycleRule, Meta, Origin};

/// The bucket, how to speak to it, and what we have learned about it.
pub(super) struct Bucket {
    pub name: String,
    pub client: Client,
    pub bucket: String,
    /// Empty, or with a slash at its end.
    pub prefix: String,
    pub options: Options,
    pub service: String,
    /// Whether it keeps versions.
    pub versions: OnceCell<bool>,
    /// Its lifecycle rules, and when they were asked for.
    pub lifecycle: tokio::sync::Mutex<Option<(tokio::time::Instant, Vec<LifecycleRule>)>>,
    /// It gave a version id, so it does by now.
    pub saw_version: AtomicBool,
    /// It is there.
    exists: AtomicBool,
}

/// What S3 says of an object that it does not send.
pub(super) struct Looked {
    pub meta: Meta,
    pub pin: Pin,
    /// When it was asked for and S3 keeps one.
    pub kept: Option<Kept>,
    pub head: HeadObjectOutput,
}

pub(super) const LOOK: Act =
    Act { verb: "look at", permission: "s3:GetObject, s3:GetObjectVersion and s3:ListBucket" };

/// The metadata by which a write knows its own effect again.
pub(super) const MARK: &str = "videorec-write";

impl Bucket {
    pub fn new(name: String, sdk: &SdkConfig, place: Place, options: Options) -> Self {
        // With none of these nothing would ever move.
        let options = Options {
            part_size: options.part_size.max(1),
            in_flight: options.in_flight.max(1),
            copy_at_once: options.copy_at_once.max(1),
            attempts: options.attempts.max(1),
            ..options
        };
        let mut config = config::Builder::from(sdk)
            // Repeating, noticing stalls and checksums are this room's: each has to know what the other does.
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .force_path_style(options.path_style);
        if sdk.behavior_version().is_none() {
            config = config.behavior_version(BehaviorVersion::latest());
        }
        let prefix = match place.prefix() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        Self {
            name,
            client: Client::from_conf(config.build()),
            bucket: place.bucket().to_owned(),
            prefix,
            options,
            service: service(sdk),
            versions: OnceCell::new(),
            lifecycle: tokio::sync::Mutex::default(),
            saw_version: AtomicBool::new(false),
            exists: AtomicBool::new(false),
        }
    }

    /// The object's whole name.
    pub fn object(&self, key: &Key) -> Result<String, Error> {
        let object = format!("{}{}", self.prefix, key.as_str());
        if object.len() > MAX_OBJECT {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "store `{}` cannot hold `{key}`: with the store's prefix it has {} bytes, S3 allows {MAX_OBJECT}",
                    self.name,
                    object.len()
                ),
            ));
        }
        Ok(object)
    }

    /// The key of an object with this name; `None` for what is none of ours.
    pub fn key(&self, object: &str) -> Option<Key> {
        Key::foreign(object.strip_prefix(&self.prefix)?).ok()
    }

    pub fn origin(&self, key: &Key) -> Result<Origin, Error> {
        let object = self.object(key)?;
        Ok(Origin { service: self.service.clone(), bucket: self.bucket.clone(), object })
    }

    pub fn checks(&self) -> bool {
        self.options.checksums == Checksums::Crc64
    }

    pub async fn head(&self, key: &Key) -> Result<Meta, Error> {
        let object = self.object(key)?;
        match self.look_at(&self.bucket, &object, key, None, false).await {
            Ok(looked) => Ok(looked.meta),
            Err(failure) => Err(self.missing(failure, LOOK, key).await),
        }
    }

    /// An object of any bucket of the service.
    pub async fn look_at(
        &self,
        bucket: &str,
        object: &str,
        key: &Key,
        pin: Option<&Pin>,
        checksums: bool,
    ) -> Result<Looked, Failure> {
        let head = self
            .ask(self.options.patience, || {
                self.client
                    .head_object()
                    .bucket(bucket)
                    .key(object)
                    .set_version_id(pin.and_then(Pin::id))
                    .set_if_match(pin.and_then(Pin::if_match))
                    .set_checksum_mode((checksums && self.checks()).then_some(ChecksumMode::Enabled))
                    .send()
            })
            .await?;
        let found = Pin::of(head.version_id(), head.e_tag());
        if bucket == self.bucket {
            self.note(&found);
        }
        let size = bytes(head.content_length())
            .ok_or_else(|| Failure::broken("the answer does not say how long the object is".to_owned()))?;
        let meta = Meta {
            key: key.clone(),
            size,
            version: found.to_string(),
            modified: timestamp(head.last_modified()),
            class: class(head.storage_class().map(StorageClass::as_str)),
        };
        let kept = Kept::of(head.checksum_crc64_nvme(), head.checksum_crc32_c(), head.checksum_crc32());
        Ok(Looked { meta, pin: found, kept, head })
    }

    /// What to say when an object is not there. S3 answers a HEAD of a missing bucket as it does one of a missing object;
    /// the difference must not get lost, or a mistyped bucket would look like a library whose recordings are all gone.
    pub async fn missing(&self, failure: Failure, act: Act, key: &Key) -> Error {
        if !failure.is_missing() {
            return failure.into_error(self, act, key);
        }
        let said = failure.is("NoSuchKey") || failure.is("NoSuchVersion");
        if !said && !self.exists.load(Ordering::Relaxed) {
            let asked = || self.client.head_bucket().bucket(&self.bucket).send();
            match self.ask(self.options.patience, asked).await {
                Err(failure) if failure.is_missing() => return self.no_bucket(),
                Err(failure) if failure.kind() != ErrorKind::Denied => {
                    return failure.into_error(self, act, key);
                }
                _ => self.exists.store(true, Ordering::Relaxed),
            }
        }
        Error::not_found(&self.name, key)
    }

    fn no_bucket(&self) -> Error {
        Error::new(
            ErrorKind::Invalid,
            format!(
                "store `{}`: there is no bucket `{}`; create it, or correct the store's address",
                self.name, self.bucket
            ),
        )
    }

    /// Learns from an answer.
    pub fn note(&self, pin: &Pin) {
        self.exists.store(true, Ordering::Relaxed);
        if matches!(pin, Pin::Id(_)) {
            self.saw_version.store(true, Ordering::Relaxed);
        }
    }
}

/// Bytes.
const MAX_OBJECT: usize = 1024;

/// Two stores of one service can copy from one another: at the same endpoint, or in the same part of AWS.
fn service(sdk: &SdkConfig) -> String {
    match (sdk.endpoint_url(), sdk.region()) {
        (Some(endpoint), _) => endpoint.trim_end_matches('/').to_owned(),
        (None, Some(region)) if region.as_ref().starts_with("cn-") => "aws-cn".to_owned(),
        (None, Some(region)) if region.as_ref().starts_with("us-gov-") => "aws-us-gov".to_owned(),
        (None, _) => "aws".to_owned(),
    }
}

/// A class as [`Meta::class`] has it: lists name also the one that most objects have.
pub(super) fn class(class: Option<&str>) -> Option<String> {
    class.filter(|class| *class != StorageClass::Standard.as_str()).map(str::to_owned)
}

/// A number of bytes as the SDK has it.
pub(super) fn bytes(number: Option<i64>) -> Option<u64> {
    number.and_then(|number| u64::try_from(number).ok())
}

/// To the second, as HTTP has it: lists may be finer, and the same object must not have two dates.
pub(super) fn timestamp(date: Option<&DateTime>) -> Timestamp {
    Timestamp(date.map_or(0, |date| date.secs().saturating_mul(1000)))
}

/// The date of an answer: of an object that was just written, S3 says no other.
#[derive(Debug, Clone, Default)]
pub(super) struct Dated(Arc<Mutex<Option<Timestamp>>>);

impl Dated {
    pub fn get(&self) -> Option<Timestamp> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for Dated {
    fn name(&self) -> &'static str {
        "Dated"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date.map(|date| timestamp(Some(&date)));
        Ok(())
    }
}
