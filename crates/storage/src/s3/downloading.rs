use std::{collections::BTreeMap, ops::Range, sync::Arc};

use futures::{StreamExt as _, TryStreamExt as _};

use super::{
    bucket::Bucket,
    checksum::{Check, Kept},
    fetching::{Opened, Source},
};
use crate::{Error, Key, WriteAt};

/// An object, in stretches that come side by side and are put where they belong.
///
/// Nothing waits in memory for what is before it, so a stretch may be long, which spares requests, and a slow one holds up no other.
/// They are begun in their order, so that whoever hashes is never far behind. As for [`super::reading`], the first answer says how
/// long the object is and which checksum S3 keeps of it; every stretch is summed on its way, and what the sums make together is
/// compared in the end.
pub(super) async fn download(
    bucket: &Arc<Bucket>,
    key: &Key,
    version: Option<&str>,
    into: &dyn WriteAt,
) -> Result<u64, Error> {
    let mut source = Source::new(bucket, key, version)?;
    let first = match source.open(None).await {
        Ok(first) => first,
        Err(failure) => return Err(source.refused(failure).await),
    };
    source.pin = Some(first.pin.clone());
    let (size, kept) = (first.size, first.kept);
    let piece = bucket.options.part_size as u64;
    if size <= 2 * piece {
        // Checked, and asked for again, before any of it is put anywhere.
        let mut at = 0;
        for chunk in source.fetch_checked(first, 0..size, kept).await? {
            let bytes = chunk.len() as u64;
            into.write_at(at, chunk).await?;
            at += bytes;
        }
        return Ok(size);
    }
    let stretch = piece.saturating_mul(PIECES);
    let mut first = Some(first);
    let stretches = (0..size.div_ceil(stretch)).map(|n| n * stretch..size.min((n + 1) * stretch));
    let bringing = stretches.map(|range| bring(&source, first.take(), range, kept, into));
    let mut bringing = futures::stream::iter(bringing).buffer_unordered(bucket.options.in_flight);
    let mut whole = kept.map(|kept| Whole { sum: kept.check(), until: 0, behind: BTreeMap::new() });
    while let Some((range, sum)) = bringing.try_next().await? {
        if let (Some(whole), Some(sum)) = (&mut whole, sum) {
            whole.add(range, sum);
        }
    }
    match whole {
        Some(whole) if !whole.sum.holds() => Err(source.damaged()),
        _ => Ok(size),
    }
}

/// Pieces that are read at once, in a stretch: memory holds none of them.
const PIECES: u64 = 4;

/// One stretch, and what it sums up to.
async fn bring(
    source: &Source,
    opened: Option<Opened>,
    range: Range<u64>,
    kept: Option<Kept>,
    into: &dyn WriteAt,
) -> Result<(Range<u64>, Option<Check>), Error> {
    let mut run = source.run(opened, range.clone());
    let mut sum = kept.map(Kept::check);
    let mut at = range.start;
    while let Some(chunk) = run.next().await? {
        let bytes = chunk.len() as u64;
        if let Some(sum) = &mut sum {
            sum.update(&chunk);
        }
        into.write_at(at, chunk).await?;
        at += bytes;
    }
    Ok((range, sum))
}

/// The checksum of the whole, made of those of its stretches.
struct Whole {
    sum: Check,
    /// Where what it is of ends.
    until: u64,
    /// Of those that came before what is before them, by where they begin.
    behind: BTreeMap<u64, (u64, Check)>,
}

impl Whole {
    fn add(&mut self, range: Range<u64>, sum: Check) {
        self.behind.insert(range.start, (range.end, sum));
        while let Some((end, sum)) = self.behind.remove(&self.until) {
            self.sum.append(&sum);
            self.until = end;
        }
    }
}
