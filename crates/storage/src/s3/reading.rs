use std::{collections::VecDeque, ops::Range, sync::Arc};

use aws_sdk_s3::{operation::get_object::GetObjectOutput, primitives::ByteStream};
use bytes::{Buf as _, Bytes, BytesMut};
use tokio_util::task::AbortOnDropHandle;

use super::{
    bucket::{Bucket, bytes},
    checksum::{Check, Kept},
    failure::{Act, Failure, chain},
    version::Pin,
};
use crate::{Body, CHUNK, Error, ErrorKind, Key, off_thread::joined};

const READ: Act = Act { verb: "read", permission: "s3:GetObject, s3:GetObjectVersion and s3:ListBucket" };

/// An object's bytes, in pieces that are fetched side by side and handed out in order.
///
/// A whole object is asked for without a range: then the answer says how long it is and which checksum S3 keeps of it,
/// and a small object is all there. Of a large one this answer brings the first piece and is then dropped.
pub(super) async fn get(
    bucket: &Arc<Bucket>,
    key: &Key,
    version: Option<&str>,
    range: Option<Range<u64>>,
) -> Result<Body, Error> {
    let piece = bucket.options.part_size as u64;
    let mut source = Source {
        bucket: bucket.clone(),
        object: bucket.object(key)?.into(),
        key: key.clone(),
        pin: version.map(Pin::parse),
    };
    let wanted = match &range {
        Some(range) if range.is_empty() => return source.nothing().await,
        Some(range) => Some(range.start..range.end.min(range.start.saturating_add(piece))),
        None => None,
    };
    let first = match source.open(wanted).await {
        // It begins at or behind the end.
        Err(failure) if failure.is("InvalidRange") => return source.nothing().await,
        Err(failure) => return Err(source.refused(failure).await),
        Ok(first) => first,
    };
    source.pin = Some(first.pin.clone());
    let (start, end) = crate::stream::clamp(range.clone(), first.size);
    // A little more than a piece is not worth a second request.
    let small = range.is_none() && end <= 2 * piece;
    let next = if small { end } else { end.min(start + piece) };
    let kept = first.kept;
    let mut reading = Reading {
        source,
        fetching: VecDeque::new(),
        ready: VecDeque::new(),
        next,
        end,
        left: end - start,
        check: kept.filter(|_| !small).map(Kept::check),
    };
    let check = kept.filter(|_| small);
    reading.spawn(|source| async move { source.fetch_checked(first, start..next, check).await });
    Ok(Box::pin(futures::stream::try_unfold(reading, Reading::next)))
}

struct Reading {
    source: Source,
    /// On their way, in order.
    fetching: VecDeque<AbortOnDropHandle<Result<Piece, Error>>>,
    /// Of the piece that is handed out.
    ready: VecDeque<Bytes>,
    /// Where the next piece to be fetched begins.
    next: u64,
    end: u64,
    /// Bytes not handed out yet.
    left: u64,
    check: Option<Check>,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, Error> {
        let chunk = loop {
            if let Some(chunk) = self.ready.pop_front() {
                break chunk;
            }
            self.fetch_ahead();
            let Some(first) = self.fetching.pop_front() else { return Ok(None) };
            self.ready = joined(first).await?.chunks;
        };
        self.left -= chunk.len() as u64;
        if let Some(check) = &mut self.check {
            check.update(&chunk);
            // Before the last bytes are given away: whoever has them all has the right ones.
            if self.left == 0 && !check.holds() {
                return Err(self.source.damaged());
            }
        }
        Ok(Some((chunk, self)))
    }

    fn fetch_ahead(&mut self) {
        while self.next < self.end && self.fetching.len() < self.source.bucket.options.in_flight {
            let start = self.next;
            self.next = self.end.min(start + self.source.bucket.options.part_size as u64);
            let end = self.next;
            self.spawn(|source| async move { source.fetch(None, start..end).await });
        }
    }

    fn spawn<F>(&mut self, fetch: impl FnOnce(Source) -> F)
    where
        F: Future<Output = Result<Piece, Error>> + Send + 'static,
    {
        self.fetching.push_back(AbortOnDropHandle::new(tokio::spawn(fetch(self.source.clone()))));
    }
}

/// Bytes of a chunk: few enough to be still in the processor's cache when they are hashed and written.
const WHOLE: usize = CHUNK / 4;

/// Bytes that follow one another, in chunks that are given away, and freed, one by one.
#[derive(Default)]
struct Piece {
    chunks: VecDeque<Bytes>,
    /// What is not a full chunk yet.
    rest: BytesMut,
    /// Bytes in both.
    len: u64,
}

impl Piece {
    /// `left`: bytes that may still come, these among them.
    fn push(&mut self, mut bytes: &[u8], left: u64) {
        let mut left = usize::try_from(left).unwrap_or(usize::MAX);
        self.len += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.rest.capacity() == 0 {
                self.rest.reserve(left.min(WHOLE));
            }
            let (taken, behind) = bytes.split_at(bytes.len().min(WHOLE - self.rest.len()));
            self.rest.extend_from_slice(taken);
            left -= taken.len();
            bytes = behind;
            if self.rest.len() == WHOLE || left == 0 {
                self.chunks.push_back(std::mem::take(&mut self.rest).freeze());
            }
        }
    }
}

/// An object, from the first answer on one version of it.
#[derive(Clone)]
struct Source {
    bucket: Arc<Bucket>,
    key: Key,
    object: Arc<str>,
    pin: Option<Pin>,
}

/// An answer, and the bytes that it will bring.
struct Opened {
    body: ByteStream,
    /// Where the first of them lies in the object.
    at: u64,
    /// Of the whole object.
    size: u64,
    pin: Pin,
    kept: Option<Kept>,
}

/// Bytes that an answer has to bring to count as progress. It bounds how often a piece is asked for.
const PROGRESS: u64 = 64 << 10;

impl Source {
    async fn open(&self, range: Option<Range<u64>>) -> Result<Opened, Failure> {
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
    async fn fetch_checked(
        self,
        first: Opened,
        range: Range<u64>,
        kept: Option<Kept>,
    ) -> Result<Piece, Error> {
        let mut opened = Some(first);
        for _ in 0..self.bucket.options.attempts {
            let piece = self.fetch(opened.take(), range.clone()).await?;
            let Some(mut check) = kept.map(Kept::check) else { return Ok(piece) };
            piece.chunks.iter().for_each(|chunk| check.update(chunk));
            if check.holds() {
                return Ok(piece);
            }
        }
        Err(self.damaged())
    }

    /// Bytes of the object. An answer that breaks off, or from which nothing more comes, is followed by one that goes on
    /// where it ended.
    async fn fetch(&self, mut opened: Option<Opened>, range: Range<u64>) -> Result<Piece, Error> {
        let mut got = Piece::default();
        let mut cuts = 0;
        loop {
            let before = got.len;
            let missing = range.start + before..range.end;
            let answer = match opened.take() {
                Some(answer) => answer,
                None => match self.open(Some(missing.clone())).await {
                    Ok(answer) => answer,
                    Err(failure) => return Err(self.refused(failure).await),
                },
            };
            let Err(cut) = self.drain(answer, missing, &mut got).await else { return Ok(got) };
            if got.len - before < PROGRESS {
                cuts += 1;
                if cuts >= self.bucket.options.attempts {
                    return Err(Failure::broken(cut).into_error(&self.bucket, READ, &self.key));
                }
                self.bucket.pause(cuts).await;
            }
            tracing::debug!(store = self.bucket.name, key = %self.key, at = got.len, cut, "reading on");
        }
    }

    /// Takes from an answer what is missing. Errors: why it brought less.
    async fn drain(&self, answer: Opened, missing: Range<u64>, got: &mut Piece) -> Result<(), String> {
        // A service may ignore a range and send the whole object.
        let Some(mut skip) = missing.start.checked_sub(answer.at) else {
            return Err(format!("bytes from {} on came, not from {}", answer.at, missing.start));
        };
        let mut left = missing.end - missing.start;
        let mut body = answer.body;
        while left > 0 {
            let mut bytes = match tokio::time::timeout(self.bucket.options.patience, body.try_next()).await {
                Ok(Ok(Some(bytes))) => bytes,
                Ok(Ok(None)) => return Err("the answer ended too early".to_owned()),
                Ok(Err(error)) => return Err(chain(&error)),
                Err(_) => return Err(format!("nothing came for {:?}", self.bucket.options.patience)),
            };
            let skipped = skip.min(bytes.len() as u64);
            skip -= skipped;
            bytes.advance(skipped as usize);
            bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            got.push(&bytes, left);
            left -= bytes.len() as u64;
        }
        Ok(())
    }

    /// The body of an empty range; an object that is not there has none either.
    async fn nothing(&self) -> Result<Body, Error> {
        let found =
            self.bucket.look_at(&self.bucket.bucket, &self.object, &self.key, self.pin.as_ref(), false).await;
        match found {
            Ok(_) => Ok(Box::pin(futures::stream::empty())),
            Err(failure) => Err(self.refused(failure).await),
        }
    }

    /// What to say when the object, or that version of it, is not to be had.
    async fn refused(&self, failure: Failure) -> Error {
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

    fn damaged(&self) -> Error {
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
