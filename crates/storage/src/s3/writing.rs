use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::{operation::put_object::PutObjectOutput, primitives::ByteStream};
use bytes::{Bytes, BytesMut};
use domain::{Crc64, Digest, Hasher};

use super::{
    bucket::{Bucket, Dated, LOOK, MARK},
    checksum, content,
    failure::{Act, Failure},
    multipart::{self, Multipart},
    resuming,
    version::Pin,
};
use crate::{Error, ErrorKind, Key, Meta, Put, Upload, off_thread::off_thread};

pub(super) const WRITE: Act = Act { verb: "write", permission: "s3:PutObject" };

/// A write under way. What fits into one part is one request at the end; more becomes a multipart upload, whose parts
/// leave as they fill up.
pub(super) struct Writing {
    target: Target,
    options: Put,
    /// Known beforehand, it decides how large the parts are.
    size: Option<u64>,
    /// Of the part that fills up.
    part: BytesMut,
    /// A full part that stays here until it is known whether it is the last.
    full: Bytes,
    /// Goes on with an upload of the same bytes, and leaves its own to whoever comes after it.
    resumes: bool,
    /// `None`: a step failed or its future was dropped; what S3 has is unknown.
    begun: Option<Begun>,
}

struct Begun {
    hasher: Hasher,
    multipart: Option<Multipart>,
}

/// The object that is written.
#[derive(Clone)]
pub(super) struct Target {
    pub bucket: Arc<Bucket>,
    pub key: Key,
    pub object: Arc<str>,
    /// By which the write knows its own effect again, when the answer to it is lost.
    pub mark: Arc<str>,
}

/// What must be there for a write to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Only {
    Always,
    IfAbsent,
    /// The object with this ETag, quotes and all.
    Over(String),
}

impl Only {
    pub fn if_absent(if_absent: bool) -> Self {
        if if_absent { Self::IfAbsent } else { Self::Always }
    }

    pub fn if_none_match(&self) -> Option<String> {
        (*self == Self::IfAbsent).then(|| "*".to_owned())
    }

    pub fn if_match(&self) -> Option<String> {
        match self {
            Self::Over(etag) => Some(etag.clone()),
            _ => None,
        }
    }
}

impl Writing {
    pub fn new(bucket: Arc<Bucket>, key: &Key, options: Put, size: Option<u64>) -> Result<Self, Error> {
        Ok(Self {
            target: Target::new(bucket, key)?,
            options,
            size: size.or(options.expected.map(|digest| digest.size)),
            part: BytesMut::new(),
            full: Bytes::new(),
            resumes: false,
            begun: Some(Begun { hasher: Hasher::new(), multipart: None }),
        })
    }

    /// One that goes on where another of the same bytes broke off.
    pub fn resumable(bucket: Arc<Bucket>, key: &Key, options: Put, expected: &Digest) -> Result<Self, Error> {
        let mut this = Self::new(bucket, key, options, None)?;
        this.target.mark = resuming::mark(key, expected).into();
        this.resumes = true;
        Ok(this)
    }

    /// The upload in parts, once there is one.
    pub fn multipart(&self) -> Option<&Multipart> {
        self.begun.as_ref()?.multipart.as_ref()
    }

    /// Bytes of the part that fills up.
    pub fn part_size(&self) -> usize {
        let number = self.multipart().map_or(1, Multipart::next);
        multipart::part_size(self.target.bucket.options.part_size, self.size, number)
    }

    /// For a part. Grown bit by bit it would be there twice.
    fn room(&mut self, size: usize) -> BytesMut {
        let multipart = self.begun.as_mut().and_then(|begun| begun.multipart.as_mut());
        let mut room = multipart.map(Multipart::spare).unwrap_or_default();
        if let Some(all) = self.size {
            room.reserve(size.min(usize::try_from(all).unwrap_or(size)));
        }
        room
    }

    /// Sends a part that others follow.
    async fn ship(&mut self, part: Bytes) -> Result<(), Error> {
        let begun = self.begun.take().ok_or_else(|| self.target.lost())?;
        let (hasher, crc, part) = hash(begun.hasher, part).await;
        let mut multipart = match begun.multipart {
            Some(multipart) => multipart,
            None if self.resumes => match resuming::find(&self.target, &part, crc).await {
                Some(found) => found,
                None => Multipart::begin(self.target.clone(), |request| request).await?.staying(),
            },
            None => Multipart::begin(self.target.clone(), |request| request).await?,
        };
        multipart.send(part, crc).await?;
        self.begun = Some(Begun { hasher, multipart: Some(multipart) });
        Ok(())
    }
}

impl Writing {
    /// Makes the object visible, and counts the bytes that were there already.
    pub async fn finish(self) -> Result<(Meta, Digest, u64), Error> {
        let Self { target, options, part, full, begun, .. } = self;
        let Begun { hasher, multipart } = begun.ok_or_else(|| target.lost())?;
        let last = if full.is_empty() { part.freeze() } else { full };
        let (hasher, crc, part) = hash(hasher, last).await;
        let digest = hasher.finish();
        let only = Only::if_absent(options.if_absent);
        let wanted = crate::store::check_expected(&target.bucket.name, &target.key, &options, &digest);
        let (meta, kept) = match multipart {
            None => {
                wanted?;
                (target.put(part, crc, &only).await?, 0)
            }
            Some(multipart) if wanted.is_err() => {
                multipart.abort().await;
                return Err(wanted.expect_err("just asked"));
            }
            Some(mut multipart) => {
                multipart.send(part, crc).await?;
                let kept = multipart.kept;
                (multipart.complete(digest.size, Some(digest.crc64), only).await?, kept)
            }
        };
        Ok((meta, digest, kept))
    }
}

#[async_trait]
impl Upload for Writing {
    async fn write(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        while !bytes.is_empty() {
            if !self.full.is_empty() {
                let full = std::mem::take(&mut self.full);
                self.ship(full).await?;
                continue;
            }
            let size = self.part_size();
            if self.part.is_empty() && bytes.len() >= size {
                self.full = bytes.split_to(size);
                continue;
            }
            if self.part.is_empty() {
                self.part = self.room(size);
            }
            let room = size - self.part.len();
            self.part.extend_from_slice(&bytes.split_to(room.min(bytes.len())));
            if self.part.len() == size {
                self.full = std::mem::take(&mut self.part).freeze();
            }
        }
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<(Meta, Digest), Error> {
        let (meta, digest, _) = self.finish().await?;
        Ok((meta, digest))
    }

    async fn abort(self: Box<Self>) -> Result<(), Error> {
        if let Some(multipart) = self.begun.and_then(|begun| begun.multipart) {
            multipart.abort().await;
        }
        Ok(())
    }
}

impl Target {
    pub fn new(bucket: Arc<Bucket>, key: &Key) -> Result<Self, Error> {
        let object = bucket.object(key)?.into();
        let mark = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..)).into();
        Ok(Self { bucket, key: key.clone(), object, mark })
    }

    /// Writes the object in one request.
    pub async fn put(&self, bytes: Bytes, crc: Crc64, only: &Only) -> Result<Meta, Error> {
        let size = bytes.len() as u64;
        let dated = Dated::default();
        let checksum = self.bucket.checks().then(|| checksum::encode(crc));
        let answer = self
            .bucket
            .ask(self.bucket.allowed(size), || {
                let request = self
                    .bucket
                    .client
                    .put_object()
                    .bucket(&self.bucket.bucket)
                    .key(&*self.object)
                    .content_type(content::kind(&self.key))
                    .metadata(MARK, &*self.mark)
                    .set_if_none_match(only.if_none_match())
                    .set_checksum_crc64_nvme(checksum.clone())
                    .body(ByteStream::from(bytes.clone()))
                    .customize()
                    .interceptor(dated.clone());
                // The checksum's header is signed, and it binds the bytes: hashing them for the signature, too, would cost
                // more than all the rest.
                let request = if checksum.is_some() { request.disable_payload_signing() } else { request };
                request.send()
            })
            .await;
        match answer {
            Ok(PutObjectOutput { version_id, e_tag, .. }) => {
                self.meta(size, version_id.as_deref(), e_tag.as_deref(), &dated).await
            }
            Err(failure) => self.settle(failure, only).await,
        }
    }

    /// After a write that failed: it may have had its effect all the same. Asks S3 whose bytes are there.
    pub async fn settle(&self, failure: Failure, only: &Only) -> Result<Meta, Error> {
        if failure.doubt || failure.is("NoSuchUpload") {
            match self.bucket.look_at(&self.bucket.bucket, &self.object, &self.key, None, false).await {
                Ok(found) => {
                    let mark = found.head.metadata().and_then(|metadata| metadata.get(MARK));
                    if mark.is_some_and(|mark| **mark == *self.mark) {
                        return Ok(found.meta);
                    }
                    if *only == Only::IfAbsent {
                        return Err(Error::exists(&self.bucket.name, &self.key));
                    }
                }
                Err(look) if look.is_missing() => {}
                // Neither yes nor no: "somebody else was first" could be a lie.
                Err(look) => return Err(look.into_error(&self.bucket, WRITE, &self.key)),
            }
        }
        Err(match only {
            Only::IfAbsent if failure.is_unmet() => Error::exists(&self.bucket.name, &self.key),
            _ => failure.into_error(&self.bucket, WRITE, &self.key),
        })
    }

    /// Of what was just written.
    pub async fn meta(
        &self,
        size: u64,
        version: Option<&str>,
        etag: Option<&str>,
        dated: &Dated,
    ) -> Result<Meta, Error> {
        let pin = Pin::of(version, etag);
        self.bucket.note(&pin);
        let modified = match dated.get() {
            Some(date) => date,
            // Every server with a clock dates its answers; this one has none.
            None => {
                let found =
                    self.bucket.look_at(&self.bucket.bucket, &self.object, &self.key, None, false).await;
                found.map_err(|failure| failure.into_error(&self.bucket, LOOK, &self.key))?.meta.modified
            }
        };
        Ok(Meta { key: self.key.clone(), size, version: pin.to_string(), modified, class: None })
    }

    pub fn lost(&self) -> Error {
        Error::new(
            ErrorKind::Invalid,
            format!(
                "store `{}`: the upload of `{}` has failed before; begin a new one",
                self.bucket.name, self.key
            ),
        )
    }
}

/// Bytes that are hashed faster than they are handed to another thread.
const SMALL: usize = 32 << 10;

/// Goes on with the hash of the whole, and makes the checksum of this part.
async fn hash(mut hasher: Hasher, part: Bytes) -> (Hasher, Crc64, Bytes) {
    let small = part.len() < SMALL;
    let work = move || {
        hasher.update(&part);
        (hasher, checksum::crc64(&part), part)
    };
    if small { work() } else { off_thread(work).await }
}
