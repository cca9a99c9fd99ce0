//! A file's bytes in many requests at once, over one connection or several.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc;

use super::{
    Sftp,
    files::{Open, Server},
    wire,
};
use crate::{Body, Error, ErrorKind, Source};

/// Bytes; below it a file is through before further connections are made.
const LARGE: u64 = 32 << 20;

/// The first connection, and further ones where they help and may be had.
async fn lanes(to: &Sftp, first: Server, bytes: u64) -> Result<Vec<Server>, Error> {
    let wanted =
        if first.session.latency >= to.options().far && bytes >= LARGE { to.options().streams } else { 1 };
    let mut lanes = vec![first];
    while lanes.len() < wanted {
        let next = to.server().await?;
        // There may be no more: then it is one that we have.
        if lanes.iter().any(|lane| Arc::ptr_eq(&lane.session, &next.session)) {
            break;
        }
        lanes.push(next);
    }
    Ok(lanes)
}

/// Writes a source from there on and counts its bytes.
///
/// At most so many blocks are under way, counted from the first that is not yet written: behind a cut there may be holes, but no
/// further back than that ([`Files::rewind`](crate::Files::rewind)).
pub(super) async fn write(
    to: &Sftp,
    first: Server,
    path: &str,
    from: u64,
    source: &dyn Source,
) -> Result<u64, Error> {
    use wire::open::{CREATE, TRUNCATE, WRITE};
    let options = to.options();
    let (block, serial) = (options.block.max(1) as usize, options.serial_writes);
    let lanes =
        if serial { vec![first] } else { lanes(to, first, source.size().saturating_sub(from)).await? };
    let mut files = Vec::new();
    for (i, lane) in lanes.iter().enumerate() {
        let fresh = if i == 0 && from == 0 { TRUNCATE } else { 0 };
        files.push(lane.open(path, WRITE | CREATE | fresh).await?);
    }
    let under_way = if serial { 1 } else { options.in_flight.max(1) * lanes.len() };
    let blocks = source.read_from(from).await?.map_ok(|chunk: Bytes| {
        let starts = (0..chunk.len()).step_by(block);
        futures::stream::iter(
            starts.map(move |at| Ok(chunk.slice(at..chunk.len().min(at + block)))).collect::<Vec<_>>(),
        )
    });
    let mut at = from;
    let mut turn = 0;
    let sent: u64 = blocks
        .try_flatten()
        .map(|data: Result<Bytes, Error>| {
            let offset = at;
            at += data.as_ref().map_or(0, |d| d.len() as u64);
            turn = (turn + 1) % lanes.len();
            let (lane, file) = (&lanes[turn], &files[turn]);
            async move {
                let data = data?;
                lane.write(file, path, offset, &data).await?;
                Ok::<_, Error>(data.len() as u64)
            }
        })
        .buffered(under_way)
        .try_fold(0, |sum, n| async move { Ok(sum + n) })
        .await?;
    for (lane, file) in lanes.iter().zip(files) {
        lane.finish(file, path).await?;
    }
    Ok(sent)
}

/// A range's bytes, in order.
pub(super) async fn read(
    from: &Sftp,
    first: Server,
    file: Open,
    path: String,
    range: Range<u64>,
) -> Result<Body, Error> {
    let options = from.options();
    let (block, serial) = (u64::from(options.block.max(1)), options.serial_reads);
    let lanes = if serial { vec![first] } else { lanes(from, first, range.end - range.start).await? };
    let under_way = if serial { 1 } else { options.in_flight.max(1) * lanes.len() };
    let mut open = vec![Arc::new((lanes[0].clone(), file))];
    for lane in &lanes[1..] {
        open.push(Arc::new((lane.clone(), lane.open(&path, wire::open::READ).await?)));
    }
    let (name, path): (Arc<str>, Arc<str>) = (from.blame.name.clone(), path.into());
    let blocks = (range.end - range.start).div_ceil(block);
    let body = futures::stream::iter(0..blocks)
        .map(move |i| {
            let lane = open[usize::try_from(i).unwrap_or(0) % open.len()].clone();
            let (at, name, path) = (range.start + i * block, name.clone(), path.clone());
            let length = block.min(range.end - at);
            async move {
                let (server, file) = &*lane;
                let data = server.read(file, &path, at, u32::try_from(length).unwrap_or(u32::MAX)).await?;
                if (data.len() as u64) < length {
                    return Err(Error::new(
                        ErrorKind::Corrupt,
                        format!(
                            "destination `{name}`: `{}` ends after {} bytes, its size was said to be more; fetch it again",
                            crate::inert(&path),
                            at + data.len() as u64
                        ),
                    ));
                }
                Ok(data)
            }
        })
        .buffered(under_way);
    Ok(driven(body.boxed()))
}

/// In a task of its own, so that requests go out also while whoever reads is busy with what has come. It ends with the body.
fn driven(mut body: Body) -> Body {
    let (sender, receiver) = mpsc::channel(READY);
    tokio::spawn(async move {
        while let Some(block) = body.next().await {
            if sender.send(block).await.is_err() {
                break;
            }
        }
    });
    futures::stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) })
        .boxed()
}

/// Blocks that have come and wait to be read.
const READY: usize = 32;
