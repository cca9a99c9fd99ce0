use std::{sync::Arc, time::Duration};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Region},
    types::{BucketVersioningStatus, VersioningConfiguration},
};
use aws_types::SdkConfig;
use bytes::Bytes;
use domain::{Digest, Hasher};
use futures::TryStreamExt as _;
use testbed::Ministack;

use super::tap::Tap;
use crate::{
    Body, Error, Key, Meta, Put, S3, Store, put_bytes,
    s3::{Options, Place},
};

/// A bucket of its own, a store in it, and the ways around the store.
pub struct Scene {
    pub s3: S3,
    pub tap: Tap,
    pub bucket: String,
    /// Straight to the emulator.
    pub raw: Client,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Versioned,
    Unversioned,
}
pub use Kind::*;

/// No error may hold it.
pub const CANARY: &str = "canary0secret0canary";

/// Below this the tests' objects lie.
pub const PREFIX: &str = "lib/x";

/// As for S3 itself, but for what makes tests slow.
pub fn options() -> Options {
    Options {
        path_style: true,
        backoff: Duration::from_millis(5),
        patience: Duration::from_secs(5),
        ..Options::default()
    }
}

/// Parts so small that the tests' objects have many.
pub fn small_parts() -> Options {
    Options { part_size: 64 << 10, ..options() }
}

pub fn sdk(endpoint: &str, tap: &Tap) -> SdkConfig {
    let credentials = Credentials::from_keys("test", CANARY, None);
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(tap.clone())
        .build()
}

impl Scene {
    pub async fn new(kind: Kind) -> Self {
        Self::with(kind, options()).await
    }

    pub async fn with(kind: Kind, options: Options) -> Self {
        Self::at(&Ministack::shared().endpoint(), kind, options).await
    }

    /// The store speaks to `endpoint`, which is the emulator or something before it.
    pub async fn at(endpoint: &str, kind: Kind, options: Options) -> Self {
        let tap = Tap::new(kind == Versioned);
        let direct = sdk(&Ministack::shared().endpoint(), &Tap::new(true));
        let raw =
            Client::from_conf(aws_sdk_s3::config::Builder::from(&direct).force_path_style(true).build());
        let bucket = format!("test-{:016x}", fastrand::u64(..));
        raw.create_bucket().bucket(&bucket).send().await.unwrap();
        if kind == Versioned {
            let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
            raw.put_bucket_versioning()
                .bucket(&bucket)
                .versioning_configuration(enabled)
                .send()
                .await
                .unwrap();
        }
        let place = Place::parse(&format!("s3://{bucket}/{PREFIX}")).unwrap();
        let s3 = S3::new("cloud", &sdk(endpoint, &tap), place, options);
        Self { s3, tap, bucket, raw }
    }

    /// Another store in the same bucket, at its top.
    pub fn beside(&self, options: Options) -> (S3, Tap) {
        let tap = Tap::new(true);
        let place = Place::parse(&format!("s3://{}", self.bucket)).unwrap();
        (S3::new("beside", &sdk(&Ministack::shared().endpoint(), &tap), place, options), tap)
    }

    pub async fn put(&self, name: &str, bytes: impl Into<Bytes>) -> Meta {
        put_bytes(&self.s3, &key(name), bytes, Put::default()).await.unwrap().0
    }

    pub async fn read(&self, name: &str) -> Result<Bytes, Error> {
        collect(self.s3.get(&key(name), None, None).await?).await
    }

    pub async fn keys(&self) -> Vec<String> {
        let listed = self.s3.list("", None, 10_000).await.unwrap();
        listed.into_iter().map(|meta| meta.key.as_str().to_owned()).collect()
    }

    /// Every version and every delete marker of a key, as `(id, is a marker)`, newest first.
    pub async fn history(&self, name: &str) -> Vec<(String, bool)> {
        let object = format!("{PREFIX}/{name}");
        let listed =
            self.raw.list_object_versions().bucket(&self.bucket).prefix(&object).send().await.unwrap();
        let versions = listed.versions().iter().map(|v| (v.last_modified(), v.version_id(), false));
        let markers = listed.delete_markers().iter().map(|m| (m.last_modified(), m.version_id(), true));
        let mut all: Vec<_> = versions.chain(markers).collect();
        all.sort_by_key(|(date, _, _)| std::cmp::Reverse(date.map(|d| d.as_nanos())));
        all.into_iter().map(|(_, id, marker)| (id.unwrap().to_owned(), marker)).collect()
    }

    /// Unfinished uploads in the bucket.
    pub async fn unfinished(&self) -> usize {
        let listed = self.raw.list_multipart_uploads().bucket(&self.bucket).send().await.unwrap();
        listed.uploads().len()
    }

    /// Parts of all unfinished uploads of a key.
    pub async fn parts(&self, name: &str) -> usize {
        let object = format!("{PREFIX}/{name}");
        let listed =
            self.raw.list_multipart_uploads().bucket(&self.bucket).prefix(&object).send().await.unwrap();
        let mut parts = 0;
        for upload in listed.uploads().iter().filter(|upload| upload.key() == Some(&object)) {
            let id = upload.upload_id().unwrap();
            let asked = self.raw.list_parts().bucket(&self.bucket).key(&object).upload_id(id);
            parts += asked.send().await.unwrap().parts().len();
        }
        parts
    }

    /// Background work ends soon.
    pub async fn unfinished_ends(&self) {
        for _ in 0..200 {
            if self.unfinished().await == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{} uploads stay unfinished", self.unfinished().await);
    }
}

pub fn key(text: &str) -> Key {
    Key::foreign(text).unwrap()
}

pub async fn collect(body: Body) -> Result<Bytes, Error> {
    Ok(body.try_collect::<Vec<_>>().await?.concat().into())
}

/// Bytes of which no two parts are equal.
pub fn pattern(size: usize) -> Bytes {
    (0..size).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

pub fn digest(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(bytes);
    hasher.finish()
}

pub fn absent() -> Put {
    Put { if_absent: true, expected: None }
}

/// What every error must be: without the secret, with the store's name, and on one line.
pub fn proper(error: &Error) -> String {
    let text = error.to_string();
    assert!(!text.contains(CANARY), "{text}");
    assert!(text.contains("`cloud`") && !text.contains('\n'), "{text}");
    text
}

pub fn shared(s3: &S3) -> Arc<dyn Store> {
    Arc::new(s3.clone())
}
