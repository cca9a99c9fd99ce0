use std::{collections::VecDeque, ops::Range, sync::Arc};

use bytes::Bytes;
use tokio_util::task::AbortOnDropHandle;

use super::{
    bucket::Bucket,
    checksum::{Check, Kept},
    fetching::Source,
};
use crate::{Body, Error, Key, off_thread::joined};

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
    let mut source = Source::new(bucket, key, version)?;
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
        ready: Piece::new(),
        next,
        end,
        left: end - start,
        check: kept.filter(|_| !small).map(Kept::check),
    };
    let check = kept.filter(|_| small);
    reading.spawn(|source| async move { source.fetch_checked(first, start..next, check).await });
    Ok(Box::pin(futures::stream::try_unfold(reading, Reading::next)))
}

/// Bytes that follow one another, in chunks that are given away, and freed, one by one.
type Piece = VecDeque<Bytes>;

struct Reading {
    source: Source,
    /// On their way, in order.
    fetching: VecDeque<AbortOnDropHandle<Result<Piece, Error>>>,
    /// Of the piece that is handed out.
    ready: Piece,
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
            self.ready = joined(first).await?;
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
            self.spawn(|source| async move { source.run(None, start..end).collect().await });
        }
    }

    fn spawn<F>(&mut self, fetch: impl FnOnce(Source) -> F)
    where
        F: Future<Output = Result<Piece, Error>> + Send + 'static,
    {
        self.fetching.push_back(AbortOnDropHandle::new(tokio::spawn(fetch(self.source.clone()))));
    }
}
