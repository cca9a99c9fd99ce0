//! Uploads that go on where an earlier one of the same bytes broke off. Nothing is remembered here: S3 is asked what uploads of the
//! object are not complete and what parts they have, and each part is compared with the bytes that it would be sent again for.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_s3::types::{CompletedPart, EncodingType, Part};
use bytes::Bytes;
use domain::{Crc64, Digest};
use md5::{Digest as _, Md5};

use super::{
    S3,
    bucket::timestamp,
    checksum,
    failure::Failure,
    listing,
    multipart::Multipart,
    writing::{Target, Writing},
};
use crate::{Error, ErrorKind, Key, Meta, Put, Upload as _, off_thread::off_thread};

/// A write whose parts stay when it breaks off; see [`S3::create_resumable`].
pub struct Resumable(Writing);

/// A part that an earlier attempt has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct There {
    size: u64,
    etag: String,
    /// As S3 tells it; `None`: only the ETag says what is in it.
    crc: Option<String>,
}

/// Unfinished uploads of one object that are looked at: mostly there is one.
const MOST: usize = 8;

impl S3 {
    /// A write that goes on where one of the same bytes to the same key broke off, also one of another process. It is given all the
    /// bytes from the first on; those that are there already are compared, and not sent again.
    ///
    /// `options.expected` says what the bytes are: by it the write is known again. Errors: `Invalid` without it.
    pub fn create_resumable(&self, key: &Key, options: Put) -> Result<Resumable, Error> {
        let Some(expected) = options.expected else {
            let message = format!(
                "store `{}`: a write of `{key}` that can be resumed needs to know what the bytes must be",
                self.bucket.name
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        };
        Ok(Resumable(Writing::resumable(self.bucket.clone(), key, options, &expected)?))
    }
}

impl Resumable {
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.0.write(bytes).await
    }

    /// How many of the first bytes are there already, as far as that is known: from the first part's end on.
    pub fn known(&self) -> u64 {
        self.0.multipart().map_or(0, Multipart::known)
    }

    /// Completes the object, and tells how many of its bytes were not sent again. Errors: as those of [`Upload`](crate::Upload).
    pub async fn commit(self) -> Result<(Meta, Digest, u64), Error> {
        self.0.finish().await
    }

    /// For one that is not worth being resumed.
    pub async fn abort(self) -> Result<(), Error> {
        Box::new(self.0).abort().await
    }
}

impl There {
    fn of(part: &Part) -> Option<(i32, Self)> {
        let there = Self {
            size: u64::try_from(part.size()?).ok()?,
            etag: part.e_tag()?.to_owned(),
            crc: part.checksum_crc64_nvme().map(str::to_owned),
        };
        Some((part.part_number()?, there))
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether it is these bytes: by the checksum that S3 has compared, else by the ETag where that is the MD5 of the bytes, as it is
    /// unless they are encrypted by a key of somebody's own.
    pub async fn is(&self, part: &Bytes, crc: Crc64) -> bool {
        if self.size != part.len() as u64 {
            return false;
        }
        if let Some(theirs) = &self.crc {
            return *theirs == checksum::encode(crc);
        }
        let bytes = part.clone();
        let md5 = off_thread(move || Md5::digest(&bytes)).await;
        let md5: String = md5.iter().map(|byte| format!("{byte:02x}")).collect();
        self.etag.trim_matches('"').eq_ignore_ascii_case(&md5)
    }

    pub fn completed(self, number: i32) -> CompletedPart {
        CompletedPart::builder()
            .part_number(number)
            .e_tag(self.etag)
            .set_checksum_crc64_nvme(self.crc)
            .build()
    }
}

/// By what is written, and not by chance: whoever goes on with a write knows its effect again as if it were its own.
pub(super) fn mark(key: &Key, expected: &Digest) -> String {
    let mut hasher = Md5::new();
    hasher.update(key.as_str());
    hasher.update([0]);
    hasher.update(expected.sha256.to_string());
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The latest unfinished upload of the object whose first part is this one. Where the service does not tell, or not us, there is
/// none: then the upload begins anew.
pub(super) async fn find(target: &Target, first: &Bytes, crc: Crc64) -> Option<Multipart> {
    let uploads = match uploads(target).await {
        Ok(uploads) => uploads,
        Err(failure) => {
            tracing::debug!(store = target.bucket.name, key = %target.key, ?failure, "nothing is resumed");
            return None;
        }
    };
    for id in uploads {
        // It may end in the same instant.
        let Ok(there) = parts(target, &id).await else { continue };
        if let Some(part) = there.get(&1)
            && part.is(first, crc).await
        {
            return Some(Multipart::resume(target.clone(), id, there));
        }
    }
    None
}

/// Unfinished uploads of the object, the latest first.
async fn uploads(target: &Target) -> Result<Vec<String>, Failure> {
    let bucket = &target.bucket;
    let answer = bucket
        .ask(SOON.min(bucket.options.patience), || {
            bucket
                .client
                .list_multipart_uploads()
                .bucket(&bucket.bucket)
                .prefix(&*target.object)
                .encoding_type(EncodingType::Url)
                .send()
        })
        .await?;
    let encoded = answer.encoding_type() == Some(&EncodingType::Url);
    // A longer key that begins like ours comes after ours, so that one page is enough.
    let ours = answer
        .uploads()
        .iter()
        .filter(|upload| upload.key().is_some_and(|key| listing::decode(key, encoded) == *target.object));
    let mut ours: Vec<_> = ours.collect();
    ours.sort_by_key(|upload| std::cmp::Reverse(timestamp(upload.initiated())));
    Ok(ours.into_iter().filter_map(|upload| upload.upload_id().map(str::to_owned)).take(MOST).collect())
}

/// How long a question may take whose answer is only a help.
const SOON: Duration = Duration::from_secs(30);

async fn parts(target: &Target, id: &str) -> Result<BTreeMap<i32, There>, Failure> {
    let bucket = &target.bucket;
    let mut there = BTreeMap::new();
    let mut marker = None;
    loop {
        let answer = bucket
            .ask(SOON.min(bucket.options.patience), || {
                bucket
                    .client
                    .list_parts()
                    .bucket(&bucket.bucket)
                    .key(&*target.object)
                    .upload_id(id)
                    .set_part_number_marker(marker.clone())
                    .send()
            })
            .await?;
        there.extend(answer.parts().iter().filter_map(There::of));
        marker = answer.next_part_number_marker().map(str::to_owned);
        if answer.is_truncated() != Some(true) || marker.is_none() {
            return Ok(there);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_is_known_by_what_the_service_says_of_it() {
        let part = Bytes::from_static(b"123456789");
        let crc = checksum::crc64(&part);
        let by = |size, etag: &str, crc: Option<String>| There { size, etag: etag.into(), crc };
        let md5 = "\"25f9e794323b453885f5181f1b624d0b\"";
        assert!(by(9, md5, None).is(&part, crc).await);
        assert!(by(9, "\"of a key of somebody's own\"", Some(checksum::encode(crc))).is(&part, crc).await);
        assert!(
            !by(9, md5, Some(checksum::encode(Crc64(1)))).is(&part, crc).await,
            "a checksum is believed first"
        );
        assert!(!by(8, md5, None).is(&part, crc).await);
        assert!(!by(9, "\"another\"", None).is(&part, crc).await);
    }
}
