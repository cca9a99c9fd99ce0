use std::{collections::BTreeMap, time::Duration};

use aws_sdk_s3::{
    operation::{
        complete_multipart_upload::CompleteMultipartUploadOutput,
        create_multipart_upload::builders::CreateMultipartUploadFluentBuilder,
    },
    primitives::ByteStream,
    types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart},
};
use bytes::{Bytes, BytesMut};
use domain::Crc64;
use tokio::{runtime::Handle, task::JoinSet};

use super::{
    bucket::{Dated, MARK},
    checksum, content,
    failure::Failure,
    resuming::There,
    version::Pin,
    writing::{Only, Target, WRITE},
};
use crate::{Error, ErrorKind, Meta, off_thread::joined};

/// An upload in parts. Dropped before it is complete, it is aborted in the background, unless it is to stay.
pub(super) struct Multipart {
    target: Target,
    id: String,
    sending: JoinSet<Result<Sent, Failure>>,
    /// Of a part that has arrived; see [`Self::spare`].
    spare: BytesMut,
    done: BTreeMap<i32, CompletedPart>,
    /// The number of the last part.
    last: i32,
    /// What an earlier attempt has sent, by number, as far as it was not needed yet.
    there: BTreeMap<i32, There>,
    /// Bytes of the first parts of it, up to the first that is missing.
    known: u64,
    /// Bytes of parts that were not sent again.
    pub kept: u64,
    /// Neither complete nor aborted.
    open: bool,
    /// It is not aborted when it breaks off: somebody may go on with it.
    stays: bool,
}

/// A part that has arrived, and what it was.
struct Sent {
    part: CompletedPart,
    bytes: Bytes,
}

/// S3's limit.
const MAX_PARTS: i32 = 10_000;

/// Bytes of a part by its number. So that at most 10,000 parts make the object, parts are larger where the object is
/// known to be large; where nothing is known they double every thousand parts, up to 16 times the size they began with.
/// Of 8 MiB, that is enough for 867 GB.
pub(super) fn part_size(base: usize, known: Option<u64>, number: i32) -> usize {
    const STEP: u64 = 1 << 20;
    match known {
        Some(size) if size > base as u64 * MAX_PARTS as u64 => {
            (size.div_ceil(MAX_PARTS as u64).div_ceil(STEP) * STEP) as usize
        }
        Some(_) => base,
        None => base << ((number - 1) / 1000).min(4),
    }
}

impl Multipart {
    /// `with` adds to the request what the object shall have besides.
    pub async fn begin(
        target: Target,
        with: impl Fn(CreateMultipartUploadFluentBuilder) -> CreateMultipartUploadFluentBuilder,
    ) -> Result<Self, Error> {
        let bucket = &target.bucket;
        let checks = bucket.checks();
        let begun = bucket
            .ask(bucket.options.patience, || {
                with(bucket.client.create_multipart_upload().content_type(content::kind(&target.key)))
                    .bucket(&bucket.bucket)
                    .key(&*target.object)
                    .metadata(MARK, &*target.mark)
                    .set_checksum_algorithm(checks.then_some(ChecksumAlgorithm::Crc64Nvme))
                    .set_checksum_type(checks.then_some(ChecksumType::FullObject))
                    .send()
            })
            .await
            .map_err(|failure| failure.into_error(bucket, WRITE, &target.key))?;
        Ok(Self::new(target, begun.upload_id.unwrap_or_default(), BTreeMap::new()))
    }

    /// One that is there, with these parts. It stays when this one breaks off, too.
    pub fn resume(target: Target, id: String, there: BTreeMap<i32, There>) -> Self {
        Self::new(target, id, there).staying()
    }

    /// Breaking off leaves its parts.
    pub fn staying(mut self) -> Self {
        self.stays = true;
        self
    }

    fn new(target: Target, id: String, there: BTreeMap<i32, There>) -> Self {
        let first = (1..).map_while(|number| there.get(&number));
        let known = first.map(There::size).sum();
        let (sending, spare, done) = (JoinSet::new(), BytesMut::new(), BTreeMap::new());
        Self { target, id, sending, spare, done, last: 0, there, known, kept: 0, open: true, stays: false }
    }

    /// Bytes at the beginning that are there already, unless they are others.
    pub fn known(&self) -> u64 {
        self.known
    }

    /// The number of the next part.
    pub fn next(&self) -> i32 {
        self.last + 1
    }

    /// Sends a part as soon as there is room; nothing of no bytes, nor what is there already.
    pub async fn send(&mut self, part: Bytes, crc: Crc64) -> Result<(), Error> {
        if part.is_empty() {
            return Ok(());
        }
        if let Some(there) = self.there.remove(&self.next())
            && there.is(&part, crc).await
        {
            self.last += 1;
            self.kept += part.len() as u64;
            self.done.insert(self.last, there.completed(self.last));
            return Ok(());
        }
        let number = self.make_room(part.len() as u64).await?;
        let (target, id) = (self.target.clone(), self.id.clone());
        self.sending.spawn(async move { upload(&target, &id, number, part, crc).await });
        Ok(())
    }

    /// Keeps the first part's place: the next one is the second.
    pub fn leave_first(&mut self) {
        self.last = self.last.max(1);
    }

    /// Sends the part that was left out.
    pub async fn send_first(&mut self, part: Bytes, crc: Crc64) -> Result<(), Error> {
        self.wait_for_room(part.len() as u64).await?;
        let (target, id) = (self.target.clone(), self.id.clone());
        self.sending.spawn(async move { upload(&target, &id, 1, part, crc).await });
        Ok(())
    }

    /// Has the service copy a part.
    pub async fn send_copy(
        &mut self,
        source: String,
        pin: Pin,
        range: std::ops::Range<u64>,
    ) -> Result<(), Error> {
        let number = self.make_room(0).await?;
        let (target, id) = (self.target.clone(), self.id.clone());
        self.sending.spawn(async move { copy(&target, &id, number, &source, &pin, range).await });
        Ok(())
    }

    /// Waits until another part of that size may be on its way; the next one's number.
    async fn make_room(&mut self, size: u64) -> Result<i32, Error> {
        if self.last >= MAX_PARTS {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "store `{}`: `{}` is longer than {MAX_PARTS} parts; raise the store's part size",
                    self.target.bucket.name, self.target.key
                ),
            ));
        }
        self.wait_for_room(size).await?;
        self.last += 1;
        Ok(self.last)
    }

    async fn wait_for_room(&mut self, size: u64) -> Result<(), Error> {
        let options = &self.target.bucket.options;
        // Of larger parts fewer.
        let room = options.part_size as u64 * options.in_flight as u64;
        let at_once = room.checked_div(size).map_or(options.in_flight, |n| n as usize);
        let at_once = at_once.clamp(1, options.in_flight);
        while self.sending.len() >= at_once {
            self.reap().await?;
        }
        Ok(())
    }

    async fn reap(&mut self) -> Result<(), Error> {
        let Some(sent) = self.sending.join_next().await else { return Ok(()) };
        let Sent { part, bytes } = joined(std::future::ready(sent))
            .await
            .map_err(|failure| failure.into_error(&self.target.bucket, WRITE, &self.target.key))?;
        self.done.insert(part.part_number().unwrap_or_default(), part);
        if let Ok(bytes) = bytes.try_into_mut() {
            self.spare = bytes;
        }
        Ok(())
    }

    /// Room for the next part, where another one has arrived. Freed on one thread and asked for on another, it would be there twice:
    /// the system's allocator keeps what each thread had.
    pub fn spare(&mut self) -> BytesMut {
        let mut spare = std::mem::take(&mut self.spare);
        spare.clear();
        spare
    }

    /// Makes the object of its parts, and visible.
    pub async fn complete(mut self, size: u64, crc: Option<Crc64>, only: Only) -> Result<Meta, Error> {
        while !self.sending.is_empty() {
            self.reap().await?;
        }
        let Target { bucket, object, .. } = &self.target;
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(std::mem::take(&mut self.done).into_values().collect()))
            .build();
        let checks = bucket.checks();
        let crc = crc.filter(|_| checks).map(checksum::encode);
        let dated = Dated::default();
        let allowed = bucket.allowed_inside(size) + Duration::from_millis(20) * self.last.unsigned_abs();
        let answer = bucket
            .ask(allowed, || {
                bucket
                    .client
                    .complete_multipart_upload()
                    .bucket(&bucket.bucket)
                    .key(&**object)
                    .upload_id(&self.id)
                    .multipart_upload(parts.clone())
                    .set_checksum_crc64_nvme(crc.clone())
                    .set_checksum_type(checks.then_some(ChecksumType::FullObject))
                    .set_mpu_object_size(checks.then(|| i64::try_from(size).unwrap_or(i64::MAX)))
                    .set_if_none_match(only.if_none_match())
                    .set_if_match(only.if_match())
                    .customize()
                    .interceptor(dated.clone())
                    .send()
            })
            .await;
        let meta = match answer {
            Ok(CompleteMultipartUploadOutput { version_id, e_tag, .. }) => {
                self.open = false;
                self.target.meta(size, version_id.as_deref(), e_tag.as_deref(), &dated).await?
            }
            Err(failure) => self.target.settle(failure, &only).await?,
        };
        self.open = false;
        Ok(meta)
    }

    /// Gives up, and waits until S3 has heard of it. What it does not hear, [`super::S3::sweep_uploads`] finds.
    pub async fn abort(mut self) {
        self.open = false;
        self.sending.shutdown().await;
        end(&self.target, &self.id).await;
    }
}

impl Drop for Multipart {
    fn drop(&mut self) {
        if self.open
            && !self.stays
            && let Ok(runtime) = Handle::try_current()
        {
            let (target, id) = (self.target.clone(), std::mem::take(&mut self.id));
            runtime.spawn(async move { end(&target, &id).await });
        }
    }
}

async fn end(target: &Target, id: &str) {
    let bucket = &target.bucket;
    let ended = bucket
        .ask(bucket.options.patience, || {
            bucket
                .client
                .abort_multipart_upload()
                .bucket(&bucket.bucket)
                .key(&*target.object)
                .upload_id(id)
                .send()
        })
        .await;
    match ended {
        Err(failure) if !failure.is("NoSuchUpload") => {
            tracing::warn!(store = bucket.name, key = %target.key, ?failure, "an unfinished upload stays behind");
        }
        _ => {}
    }
}

async fn upload(target: &Target, id: &str, number: i32, bytes: Bytes, crc: Crc64) -> Result<Sent, Failure> {
    let bucket = &target.bucket;
    let checksum = bucket.checks().then(|| checksum::encode(crc));
    let sent = bucket
        .ask(bucket.allowed(bytes.len() as u64), || {
            let request = bucket
                .client
                .upload_part()
                .bucket(&bucket.bucket)
                .key(&*target.object)
                .upload_id(id)
                .part_number(number)
                .set_checksum_crc64_nvme(checksum.clone())
                .body(ByteStream::from(bytes.clone()))
                .customize();
            // As for a whole object: the checksum binds the bytes.
            let request = if checksum.is_some() { request.disable_payload_signing() } else { request };
            request.send()
        })
        .await?;
    let part = CompletedPart::builder()
        .part_number(number)
        .set_e_tag(sent.e_tag)
        .set_checksum_crc64_nvme(checksum)
        .build();
    Ok(Sent { part, bytes })
}

async fn copy(
    target: &Target,
    id: &str,
    number: i32,
    source: &str,
    pin: &Pin,
    range: std::ops::Range<u64>,
) -> Result<Sent, Failure> {
    let bucket = &target.bucket;
    let copied = bucket
        .ask(bucket.allowed_inside(range.end - range.start), || {
            bucket
                .client
                .upload_part_copy()
                .bucket(&bucket.bucket)
                .key(&*target.object)
                .upload_id(id)
                .part_number(number)
                .copy_source(source)
                .copy_source_range(format!("bytes={}-{}", range.start, range.end - 1))
                .set_copy_source_if_match(pin.if_match())
                .send()
        })
        .await?
        .copy_part_result
        .unwrap_or_else(|| aws_sdk_s3::types::CopyPartResult::builder().build());
    let part = CompletedPart::builder()
        .part_number(number)
        .set_e_tag(copied.e_tag)
        .set_checksum_crc64_nvme(copied.checksum_crc64_nvme)
        .build();
    Ok(Sent { part, bytes: Bytes::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// The largest object that S3 holds, 5 TiB, and one that nobody announced.
    #[test]
    fn ten_thousand_parts_are_enough() {
        for known in [0, 1, 80 << 30, (80 << 30) + 1, 1 << 40, 5 << 40] {
            let size = part_size(8 * MIB, Some(known), 1);
            assert!(size >= 8 * MIB && size as u64 * MAX_PARTS as u64 >= known, "{known}");
            assert!(size <= 525 * MIB, "{known}");
        }
        let unknown: u64 = (1..=MAX_PARTS).map(|number| part_size(8 * MIB, None, number) as u64).sum();
        assert!(unknown > 867_000_000_000, "{unknown}");
        assert_eq!(part_size(8 * MIB, None, 1000), 8 * MIB);
        assert_eq!(part_size(8 * MIB, None, 10_000), 128 * MIB);
    }
}
