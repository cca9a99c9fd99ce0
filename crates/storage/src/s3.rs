//! A bucket in S3, or in a service that speaks its language, as a store.
//!
//! - An object is `<prefix>/<key>` in the bucket; without a prefix, just the key. Below `<prefix>/.videorec/` lie our
//!   own probes, which are never listed.
//! - A version is S3's version id where the bucket keeps versions, else `etag:` and the ETag. Either way it is pinned in
//!   every request that reads: what is read is one version from its first to its last byte.
//! - Bytes travel in parts, several at once, and memory holds that many parts and no more; into a file, where none has to wait
//!   for another, in longer stretches of which memory holds next to nothing. Nothing is visible before the one request that ends an
//!   upload.
//! - Every byte sent is bound to a checksum that S3 compares before it stores anything: CRC-64/NVME for each part and for
//!   the whole object, or, for services that do not know it, the SHA-256 of the signature. Whole objects that are read
//!   are compared with the checksum that S3 keeps. A range has none: who reads ranges and has to be sure, hashes, as
//!   [`verified_copy`](crate::verified_copy) does.
//! - Requests are repeated here and not in the SDK (see `attempt`), because after an answer that got lost a repeated
//!   request may meet its own effect: every conditional write carries a mark by which it knows itself again.
//! - HTTP client, endpoint, region and credentials are the caller's: whatever its `SdkConfig` says.
//!
//! What runs this must be allowed `s3:GetObject`, `GetObjectVersion`, `PutObject`, `AbortMultipartUpload`, `DeleteObject`,
//! `DeleteObjectVersion`, `GetObjectTagging`, `PutObjectTagging` and, to archive, `RestoreObject`, `GetObjectVersionTagging`
//! and `PutObjectVersionTagging` on the objects, and `s3:ListBucket`, `ListBucketVersions`, `GetBucketVersioning`,
//! `ListBucketMultipartUploads` and, to archive by its rules, `GetLifecycleConfiguration` on the bucket. Without
//! `s3:ListBucket`, S3 calls a missing object a forbidden one.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use aws_types::SdkConfig;
use domain::{Digest, Timestamp};

use self::{bucket::Bucket, sweep::Whose, writing::Writing};
use crate::{
    Body, Error, HeadLast, Health, Key, LifecycleRule, Meta, Origin, Put, Speed, Store, Tags, Tier, Upload,
    WriteAt,
};

mod adopt;
mod attempt;
mod bucket;
mod checksum;
mod content;
mod copying;
mod deleting;
mod downloading;
mod erasing;
mod failure;
mod fetching;
mod head_last;
mod lifecycle;
mod listing;
mod multipart;
mod place;
mod probe;
mod reading;
mod resuming;
mod sweep;
mod tags;
#[cfg(test)]
mod tests;
mod tiers;
mod version;
mod writing;

pub use place::Place;
pub use resuming::Resumable;

/// A bucket as a store; see the module for how.
#[derive(Clone)]
pub struct S3 {
    bucket: Arc<Bucket>,
}

/// How to speak to the service. The defaults are right for S3 itself.
#[derive(Debug, Clone)]
pub struct Options {
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`: most services at an endpoint of their own want it.
    pub path_style: bool,
    pub checksums: Checksums,
    /// Bytes of a part that is read or written; S3 wants at least 5 MiB. Parts grow where an object would have more than
    /// 10,000 of them.
    pub part_size: usize,
    /// Parts of one object, or stretches, on their way at once. Together with `part_size` it bounds the memory that reading or writing
    /// one object takes.
    pub in_flight: usize,
    /// Bytes that the service copies in one request; larger objects are copied in parts. S3's limit is 5 GiB.
    pub copy_at_once: u64,
    /// How often a request is sent before its failure is believed.
    pub attempts: u32,
    /// The longest pause before the second attempt; it doubles with every further one.
    pub backoff: Duration,
    /// How long nothing may arrive before a connection counts as dead.
    pub patience: Duration,
}

/// What binds the bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Checksums {
    /// CRC-64/NVME with every part and for the whole object, kept by S3 and compared when read.
    Crc64,
    /// Only what a request cannot do without, for services that choke on checksums. The signature covers what is sent;
    /// what is read is not checked.
    WhenRequired,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path_style: false,
            checksums: Checksums::Crc64,
            part_size: 8 << 20,
            in_flight: 8,
            copy_at_once: 5 << 30,
            attempts: 6,
            backoff: Duration::from_millis(250),
            patience: Duration::from_secs(30),
        }
    }
}

impl S3 {
    /// Asks nothing of the service yet; [`Store::check`] does.
    pub fn new(name: impl Into<String>, sdk: &SdkConfig, place: Place, options: Options) -> Self {
        Self { bucket: Arc::new(Bucket::new(name.into(), sdk, place, options)) }
    }

    /// As [`Store::sweep_uploads`], where others write too: only uploads that whoever we are here has begun. A service that does not
    /// tell who begins an upload keeps them.
    pub async fn sweep_own_uploads(&self, before: Timestamp) -> Result<u64, Error> {
        sweep::sweep(&self.bucket, Whose::Ours, before).await
    }
}

#[async_trait]
impl Store for S3 {
    fn name(&self) -> &str {
        &self.bucket.name
    }

    fn versions_endure(&self) -> bool {
        true
    }

    async fn head(&self, key: &Key) -> Result<Meta, Error> {
        self.bucket.head(key).await
    }

    async fn get(&self, key: &Key, version: Option<&str>, range: Option<Range<u64>>) -> Result<Body, Error> {
        reading::get(&self.bucket, key, version, range).await
    }

    async fn download(&self, key: &Key, version: Option<&str>, into: &dyn WriteAt) -> Result<u64, Error> {
        downloading::download(&self.bucket, key, version, into).await
    }

    async fn create(&self, key: &Key, options: Put) -> Result<Box<dyn Upload>, Error> {
        Ok(Box::new(Writing::new(self.bucket.clone(), key, options, None)?))
    }

    async fn create_head_last(&self, key: &Key, options: Put) -> Result<Option<Box<dyn HeadLast>>, Error> {
        Ok(Some(Box::new(head_last::Behind::begin(self.bucket.clone(), key, options).await?)))
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Meta>, Error> {
        listing::page(&self.bucket, prefix, after, limit).await
    }

    async fn copy(&self, from: &Key, version: Option<&str>, to: &Key, options: Put) -> Result<Meta, Error> {
        copying::copy(&self.bucket, self, &self.bucket.origin(from)?, from, version, to, options).await
    }

    async fn copy_from(
        &self,
        from: &dyn Store,
        key: &Key,
        version: Option<&str>,
        to: &Key,
        options: Put,
    ) -> Option<Result<Meta, Error>> {
        let origin = from.origin(key).filter(|origin| origin.service == self.bucket.service)?;
        match copying::copy(&self.bucket, from, &origin, key, version, to, options).await {
            // One side's credentials need not reach the other side.
            Err(e) if e.kind() == crate::ErrorKind::Denied => None,
            copied => Some(copied),
        }
    }

    fn origin(&self, key: &Key) -> Option<Origin> {
        self.bucket.origin(key).ok()
    }

    async fn delete(&self, key: &Key, version: &str) -> Result<(), Error> {
        deleting::delete(&self.bucket, key, version).await
    }

    async fn erase(&self, key: &Key, version: Option<&str>) -> Result<Vec<Meta>, Error> {
        erasing::erase(&self.bucket, key, version).await
    }

    async fn tags(&self, key: &Key) -> Result<Tags, Error> {
        tags::read(&self.bucket, key).await
    }

    async fn set_tags(&self, key: &Key, tags: &Tags) -> Result<(), Error> {
        crate::store::check_tags(self.name(), key, tags)?;
        tags::write(&self.bucket, key, tags).await
    }

    async fn set_tag(&self, key: &Key, version: &str, name: &str, value: Option<&str>) -> Result<(), Error> {
        tags::set(&self.bucket, key, version, name, value).await
    }

    fn local_path(&self, _: &Key) -> Option<PathBuf> {
        None
    }

    async fn adopt(&self, key: &Key, file: &Path, options: Put) -> Result<(Meta, Digest), Error> {
        adopt::adopt(&self.bucket, key, file, options).await
    }

    async fn tier(&self, key: &Key, version: &str) -> Result<Tier, Error> {
        tiers::tier(&self.bucket, key, version).await
    }

    async fn set_class(&self, key: &Key, version: &str, class: &str) -> Result<Meta, Error> {
        tiers::set_class(&self.bucket, key, version, class).await
    }

    async fn restore(&self, key: &Key, version: &str, days: u32, speed: Speed) -> Result<(), Error> {
        tiers::restore(&self.bucket, key, version, days, speed).await
    }

    async fn lifecycle(&self, at_most: Duration) -> Result<Vec<LifecycleRule>, Error> {
        lifecycle::rules(&self.bucket, at_most).await
    }

    async fn sweep_uploads(&self, before: Timestamp) -> Result<u64, Error> {
        sweep::sweep(&self.bucket, Whose::Everybodys, before).await
    }

    async fn check(&self) -> Result<Health, Error> {
        probe::probe(&self.bucket).await
    }
}

/// Without the SDK's configuration, where credentials are.
impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3({}, s3://{}/{})", self.bucket.name, self.bucket.bucket, self.bucket.prefix)
    }
}
