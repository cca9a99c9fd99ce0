use std::{collections::VecDeque, ops::Range, sync::Arc, time::Duration};

use aws_sdk_s3::{operation::get_object::GetObjectOutput, primitives::ByteStream};
use bytes::{Buf as _, Bytes, BytesMut};

use super::{
    bucket::{Bucket, bytes},
    checksum::Kept,
    failure::{Act, Failure, chain},
    version::Pin,
};
use crate::{Body, CHUNK, Error, ErrorKind, Key};

const READ: Act = Act { verb: "read", permission: "s3:GetObject, s3:GetObjectVersion and s3:ListBucket" };

/// An object, from the first answer on one version of it.
#[derive(Clone)]
pub(super) struct Source {
    pub bucket: Arc<Bucket>,
    key: Key,
    object: Arc<str>,
    pub pin: Option<Pin>,
}

/// An answer, and the bytes that it will bring.
pub(super) struct Opened {
    body: ByteStream,
    /// Where the next of them lies in the object.
    at: u64,
    /// Of the whole object.
    pub size: u64,
    pub pin: Pin,
    pub kept: Option<Kept>,
}

impl Source {
    pub fn new(bucket: &Arc<Bucket>, key: &Key, version: Option<&str>) -> Result<Self, Error> {
        let object = bucket.object(key)?.into();
        Ok(Self { bucket: bucket.clone(), key: key.clone(), object, pin: version.map(Pin::parse) })
    }

    pub async fn open(&self, range: Option<Range<u64>>) -> Result<Opened, Failure> {
        let checks = range.is_none() && self.bucket.checks();
        let range = range.map(|range| format!("bytes={}-{}", range.start, range.end - 1));
        let answer = self
            .bucket
            .ask(self.bucket.options.patience, || {
                self.bucket
                    .client
                    .get_object()
                    .bucket(&self.bucket.bucket)
                    .key(&*self.object)
                    .set_version_id(self.pin.as_ref().and_then(Pin::id))
                    .set_if_match(self.pin.as_ref().and_then(Pin::if_match))
                    .set_range(range.clone())
                    .customize()
                    .mutate_request(move |request| {
                        // Not by the SDK's option, which would have the SDK hash all bytes, too.
                        if checks {
                            request.headers_mut().insert("x-amz-checksum-mode", "ENABLED");
                        }
                    })
                    .send()
            })
            .await?;
        // Guessed wrong, an object would be cut short.
        let opened = Opened::of(answer)
            .ok_or_else(|| Failure::broken("the answer does not say how long the object is".to_owned()))?;
        self.bucket.note(&opened.pin);
        match &self.pin {
            Some(pin) if pin.contradicts(&opened.pin) => {
                Err(Failure::broken(format!("version {} was asked for, {} came", pin, opened.pin)))
            }
            _ => Ok(opened),
        }
    }

    /// Bytes of the object, and if the whole of it, exactly those that S3 keeps.
    pub async fn fetch_checked(
        &self,
        first: Opened,
        range: Range<u64>,
        kept: Option<Kept>,
    ) -> Result<VecDeque<Bytes>, Error> {
        let mut opened = Some(first);
        for _ in 0..self.bucket.options.attempts {
            let chunks = self.run(opened.take(), range.clone()).collect().await?;
            let Some(mut check) = kept.map(Kept::check) else { return Ok(chunks) };
            chunks.iter().for_each(|chunk| check.update(chunk));
            if check.holds() {
                return Ok(chunks);
            }
        }
        Err(self.damaged())
    }

    /// Bytes of the object, the first of which may be on their way by an answer.
    pub fn run(&self, opened: Option<Opened>, range: Range<u64>) -> Run<'_> {
        Run {
            source: self,
            answer: opened,
            missing: range,
            frame: Bytes::new(),
            chunk: BytesMut::new(),
            brought: 0,
            cuts: 0,
        }
    }

    /// The body of an empty range; an object that is not there has none either.
    pub async fn nothing(&self) -> Result<Body, Error> {
        let found =
            self.bucket.look_at(&self.bucket.bucket, &self.object, &self.key, self.pin.as_ref(), false).await;
        match found {
            Ok(_) => Ok(Box::pin(futures::stream::empty())),
            Err(failure) => Err(self.refused(failure).await),
        }
    }

    /// What to say when the object, or that version of it, is not to be had.
    pub async fn refused(&self, failure: Failure) -> Error {
        let gone = failure.is_missing() || failure.is_unmet();
        match &self.pin {
            Some(pin) if gone => match self.bucket.head(&self.key).await {
                Ok(meta) if meta.version == pin.to_string() => {
                    failure.into_error(&self.bucket, READ, &self.key)
                }
                Ok(meta) => Error::changed(&self.bucket.name, &self.key, &pin.to_string(), &meta.version),
                Err(error) => error,
            },
            _ => self.bucket.missing(failure, READ, &self.key).await,
        }
    }

    pub fn damaged(&self) -> Error {
        Error::new(
            ErrorKind::Corrupt,
            format!(
                "object `{}` arrives from store `{}` otherwise than S3 keeps it, by its checksum; read it again, and if \
                 that goes on, check this machine's memory and the network",
                self.key, self.bucket.name
            ),
        )
    }
}

impl Opened {
    fn of(answer: GetObjectOutput) -> Option<Self> {
        let (at, size) = match answer.content_range() {
            Some(range) => content_range(range)?,
            None => (0, bytes(answer.content_length())?),
        };
        Some(Self {
            at,
            size,
            pin: Pin::of(answer.version_id(), answer.e_tag()),
            kept: Kept::of(answer.checksum_crc64_nvme(), answer.checksum_crc32_c(), answer.checksum_crc32()),
            body: answer.body,
        })
    }

    /// Bytes of what is missing. Errors: why it brings no more.
    async fn next(&mut self, missing: &Range<u64>, patience: Duration) -> Result<Bytes, String> {
        if self.at > missing.start {
            return Err(format!("bytes from {} on came, not from {}", self.at, missing.start));
        }
        loop {
            let mut bytes = match tokio::time::timeout(patience, self.body.try_next()).await {
                Ok(Ok(Some(bytes))) => bytes,
                Ok(Ok(None)) => return Err("the answer ended too early".to_owned()),
                Ok(Err(error)) => return Err(chain(&error)),
                Err(_) => return Err(format!("nothing came for {patience:?}")),
            };
            // A service may ignore a range and send the whole object.
            let skipped = (missing.start - self.at).min(bytes.len() as u64);
            self.at += bytes.len() as u64;
            bytes.advance(skipped as usize);
            bytes.truncate(usize::try_from(missing.end - missing.start).unwrap_or(usize::MAX));
            if !bytes.is_empty() {
                return Ok(bytes);
            }
        }
    }
}

/// Bytes of an object that follow one another. An answer that breaks off, or from which nothing more comes, is followed by one that
/// goes on where it ended.
pub(super) struct Run<'s> {
    source: &'s Source,
    answer: Option<Opened>,
    /// What has not come yet.
    missing: Range<u64>,
    /// What came and is in no chunk yet.
    frame: Bytes,
    /// What is not a full chunk yet.
    chunk: BytesMut,
    /// Bytes that the answer has brought.
    brought: u64,
    /// Answers that brought too little.
    cuts: u32,
}

/// Bytes of a chunk: few enough to be still in the processor's cache when they are hashed and written.
const WHOLE: usize = CHUNK / 4;

/// Bytes that an answer has to bring to count as progress. It bounds how often they are asked for.
const PROGRESS: u64 = 64 << 10;

impl Run<'_> {
    /// All full chunks but the last one.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.frame.is_empty() {
                if self.missing.is_empty() {
                    let last = std::mem::take(&mut self.chunk).freeze();
                    return Ok(Some(last).filter(|last| !last.is_empty()));
                }
                self.frame = self.receive().await?;
            }
            if self.chunk.capacity() == 0 {
                let left = self.frame.len() as u64 + (self.missing.end - self.missing.start);
                self.chunk.reserve(usize::try_from(left).map_or(WHOLE, |left| left.min(WHOLE)));
            }
            let room = WHOLE - self.chunk.len();
            self.chunk.extend_from_slice(&self.frame.split_to(self.frame.len().min(room)));
            if self.chunk.len() == WHOLE {
                return Ok(Some(std::mem::take(&mut self.chunk).freeze()));
            }
        }
    }

    pub async fn collect(mut self) -> Result<VecDeque<Bytes>, Error> {
        let mut chunks = VecDeque::new();
        while let Some(chunk) = self.next().await? {
            chunks.push_back(chunk);
        }
        Ok(chunks)
    }

    async fn receive(&mut self) -> Result<Bytes, Error> {
        let Source { bucket, key, .. } = self.source;
        loop {
            let answer = match &mut self.answer {
                Some(answer) => answer,
                None => match self.source.open(Some(self.missing.clone())).await {
                    Ok(answer) => self.answer.insert(answer),
                    Err(failure) => return Err(self.source.refused(failure).await),
                },
            };
            let cut = match answer.next(&self.missing, bucket.options.patience).await {
                Ok(bytes) => {
                    self.missing.start += bytes.len() as u64;
                    self.brought += bytes.len() as u64;
                    return Ok(bytes);
                }
                Err(cut) => cut,
            };
            self.answer = None;
            if std::mem::take(&mut self.brought) < PROGRESS {
                self.cuts += 1;
                if self.cuts >= bucket.options.attempts {
                    return Err(Failure::broken(cut).into_error(bucket, READ, key));
                }
                bucket.pause(self.cuts).await;
            }
            tracing::debug!(store = bucket.name, %key, at = self.missing.start, cut, "reading on");
        }
    }
}

/// Where the bytes of an answer begin and how many the object has: `bytes 5-9/100`.
fn content_range(text: &str) -> Option<(u64, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, size.parse().ok()?))
}

#[test]
fn a_content_range_is_read() {
    assert_eq!(content_range("bytes 5-9/100"), Some((5, 100)));
    for odd in ["bytes */100", "bytes 5-9/*", "5-9/100", "bytes 5/100", ""] {
        assert_eq!(content_range(odd), None, "{odd}");
    }
}
