use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering},
};

use aws_sdk_s3::{
    primitives::DateTime,
    types::{BucketVersioningStatus, EncodingType, ObjectStorageClass, ObjectVersionStorageClass},
};

use super::{
    bucket::{Bucket, bytes, class, timestamp},
    failure::Act,
    version::Pin,
};
use crate::{Error, Key, Meta};

const LIST: Act = Act { verb: "list", permission: "s3:ListBucket" };
const LIST_VERSIONS: Act = Act { verb: "list", permission: "s3:ListBucketVersions" };
const ASK_VERSIONING: Act =
    Act { verb: "learn whether versions are kept of", permission: "s3:GetBucketVersioning" };

/// S3's limit for one answer; few in tests, so that they see more than one.
pub(super) const MOST: usize = if cfg!(test) { 3 } else { 1000 };

/// One page. Names in the bucket that are no keys of ours are skipped.
///
/// A plain list names no versions, so where a bucket keeps them, versions are listed and the old ones skipped.
pub(super) async fn page(
    bucket: &Arc<Bucket>,
    prefix: &str,
    after: Option<&Key>,
    limit: usize,
) -> Result<Vec<Meta>, Error> {
    let mut page = Page {
        bucket,
        prefix: format!("{}{prefix}", bucket.prefix),
        after: after.map(|after| format!("{}{}", bucket.prefix, after.as_str())),
        limit,
        found: Vec::new(),
    };
    if limit == 0 {
        return Ok(page.found);
    }
    if keeps_versions(bucket).await? {
        page.versions().await?
    } else {
        page.objects().await?
    }
    page.found.truncate(limit);
    Ok(page.found)
}

async fn keeps_versions(bucket: &Bucket) -> Result<bool, Error> {
    if bucket.saw_version.load(Ordering::Relaxed) {
        return Ok(true);
    }
    let ask = || async {
        let asked = || bucket.client.get_bucket_versioning().bucket(&bucket.bucket).send();
        match bucket.ask(bucket.options.patience, asked).await {
            // Suspended: versions from before are there.
            Ok(answer) => Ok(matches!(
                answer.status(),
                Some(BucketVersioningStatus::Enabled | BucketVersioningStatus::Suspended)
            )),
            // A service that has never heard of versions keeps none.
            Err(failure) if failure.is_unknown() => Ok(false),
            Err(failure) => Err(failure.into_error(bucket, ASK_VERSIONING, &bucket.bucket)),
        }
    };
    bucket.versions.get_or_try_init(ask).await.copied()
}

struct Page<'a> {
    bucket: &'a Bucket,
    prefix: String,
    after: Option<String>,
    limit: usize,
    found: Vec<Meta>,
}

impl Page<'_> {
    async fn objects(&mut self) -> Result<(), Error> {
        let mut token = None;
        while self.found.len() < self.limit {
            let answer = self
                .bucket
                .ask(self.bucket.options.patience, || {
                    self.bucket
                        .client
                        .list_objects_v2()
                        .bucket(&self.bucket.bucket)
                        .prefix(&self.prefix)
                        .set_start_after(self.after.clone())
                        .set_continuation_token(token.clone())
                        .encoding_type(EncodingType::Url)
                        .max_keys(self.wanted())
                        .send()
                })
                .await
                .map_err(|failure| failure.into_error(self.bucket, LIST, &self.prefix))?;
            let encoded = answer.encoding_type() == Some(&EncodingType::Url);
            for object in answer.contents() {
                let pin = Pin::of(None, object.e_tag());
                let class = class(object.storage_class().map(ObjectStorageClass::as_str));
                self.push(object.key(), encoded, pin, object.size(), object.last_modified(), class);
            }
            token = answer.next_continuation_token;
            if token.is_none() {
                break;
            }
        }
        Ok(())
    }

    async fn versions(&mut self) -> Result<(), Error> {
        let (mut key, mut version) = (self.after.clone(), None);
        while self.found.len() < self.limit {
            let answer = self
                .bucket
                .ask(self.bucket.options.patience, || {
                    self.bucket
                        .client
                        .list_object_versions()
                        .bucket(&self.bucket.bucket)
                        .prefix(&self.prefix)
                        .set_key_marker(key.clone())
                        .set_version_id_marker(version.clone())
                        .encoding_type(EncodingType::Url)
                        .max_keys(self.wanted())
                        .send()
                })
                .await
                .map_err(|failure| failure.into_error(self.bucket, LIST_VERSIONS, &self.prefix))?;
            let encoded = answer.encoding_type() == Some(&EncodingType::Url);
            for object in answer.versions().iter().filter(|object| object.is_latest() == Some(true)) {
                let pin = Pin::of(object.version_id(), object.e_tag());
                let class = class(object.storage_class().map(ObjectVersionStorageClass::as_str));
                self.push(object.key(), encoded, pin, object.size(), object.last_modified(), class);
            }
            if answer.is_truncated() != Some(true) {
                break;
            }
            key = answer.next_key_marker().map(|key| decode(key, encoded).into_owned());
            version = answer.next_version_id_marker;
        }
        Ok(())
    }

    fn wanted(&self) -> i32 {
        (self.limit - self.found.len()).min(MOST) as i32
    }

    fn push(
        &mut self,
        object: Option<&str>,
        encoded: bool,
        pin: Pin,
        size: Option<i64>,
        modified: Option<&DateTime>,
        class: Option<String>,
    ) {
        let Some(object) = object.map(|object| decode(object, encoded)) else { return };
        // Services differ in whether a marker's own key is behind it.
        if self.after.as_deref().is_some_and(|after| *object <= *after) {
            return;
        }
        let (Some(key), Some(size)) = (self.bucket.key(&object), bytes(size)) else { return };
        self.found.push(Meta { key, size, version: pin.to_string(), modified: timestamp(modified), class });
    }
}

/// A name as lists have it: asked to, S3 encodes it like a form, because XML cannot hold every character.
pub(super) fn decode(text: &str, encoded: bool) -> Cow<'_, str> {
    if !encoded || !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut rest = text.as_bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some((byte, behind)) = rest.split_first() {
        let hex = behind.get(..2).filter(|two| two.iter().all(u8::is_ascii_hexdigit));
        let hex = hex.and_then(|two| std::str::from_utf8(two).ok());
        rest = match (byte, hex.and_then(|two| u8::from_str_radix(two, 16).ok())) {
            (b'%', Some(value)) => {
                decoded.push(value);
                &behind[2..]
            }
            _ => {
                decoded.push(if *byte == b'+' { b' ' } else { *byte });
                behind
            }
        };
    }
    String::from_utf8_lossy(&decoded).into_owned().into()
}

#[test]
fn names_of_lists_are_decoded_only_when_encoded() {
    for (text, decoded) in [
        ("run+books/x%2By%25z", "run books/x+y%z"),
        ("f%C3%BCr/%E6%9D%B1", "für/東"),
        ("a%0D%0Ab", "a\r\nb"),
        ("odd%zz%+1%4", "odd%zz% 1%4"),
        ("plain", "plain"),
    ] {
        assert_eq!(decode(text, true), decoded);
        assert_eq!(decode(text, false), text);
    }
}
