use std::{collections::VecDeque, ops::Range, sync::Arc};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{
    bucket::Bucket,
    checksum::{Check, Kept},
    fetching::{Run, Source},
};
use crate::{Body, Error, Key, off_thread::joined};

/// An object's bytes, in pieces that are fetched side by side and handed out in order: whatever has come of the first one at once,
/// however long the rest of it takes.
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
        next,
        end,
        left: end - start,
        check: kept.filter(|_| !small).map(Kept::check),
    };
    if let Some(kept) = kept.filter(|_| small) {
        reading.spawn(|source, give| async move {
            // All of it before any of it.
            for chunk in source.fetch_checked(first, start..next, Some(kept)).await? {
                let _ = give.send(chunk);
            }
            Ok(())
        });
    } else {
        reading
            .spawn(|source, give| async move { pass_on(source.run(Some(first), start..next), give).await });
    }
    Ok(Box::pin(futures::stream::try_unfold(reading, Reading::next)))
}

/// Bytes that follow one another, in chunks that are given away, and freed, one by one.
struct Piece {
    came: mpsc::UnboundedReceiver<Bytes>,
    /// Why no more came.
    fetching: AbortOnDropHandle<Result<(), Error>>,
}

struct Reading {
    source: Source,
    /// On their way, in order; the first one is handed out.
    fetching: VecDeque<Piece>,
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
            self.fetch_ahead();
            let Some(first) = self.fetching.front_mut() else { return Ok(None) };
            if let Some(chunk) = first.came.recv().await {
                break chunk;
            }
            let Some(first) = self.fetching.pop_front() else { return Ok(None) };
            joined(first.fetching).await?;
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
            self.spawn(|source, give| async move { pass_on(source.run(None, start..end), give).await });
        }
    }

    fn spawn<F>(&mut self, fetch: impl FnOnce(Source, mpsc::UnboundedSender<Bytes>) -> F)
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        // Never more than a piece waits there.
        let (give, came) = mpsc::unbounded_channel();
        let fetching = AbortOnDropHandle::new(tokio::spawn(fetch(self.source.clone(), give)));
        self.fetching.push_back(Piece { came, fetching });
    }
}

async fn pass_on(mut run: Run<'_>, give: mpsc::UnboundedSender<Bytes>) -> Result<(), Error> {
    while let Some(chunk) = run.next().await? {
        // Nobody listens once the stream is gone, and then this task is, too.
        let _ = give.send(chunk);
    }
    Ok(())
}
