use std::time::Duration;

use futures::TryStreamExt as _;
use suppaftp::tokio::AsyncDataStream;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use super::{
    Ftp,
    pool::Lease,
    refused::Refused,
    session::{Data, Kind},
};
use crate::{Destination as _, Error, ErrorKind, Name, Source};

/// How long a server that broke off is waited for to say why, and one that has everything to close its side.
const SOON: Duration = Duration::from_secs(2);

/// See [`crate::Files::append`].
pub(super) async fn append(to: &Ftp, partial: &Name, from: u64, source: &dyn Source) -> Result<u64, Error> {
    let mut session = to.session().await?;
    let mut data = open(to, &mut session, partial, from).await?;
    let mut body = match source.read_from(from).await {
        Ok(body) => body,
        Err(e) => {
            let _ = session.finish(data, SOON).await;
            return Err(e);
        }
    };
    let patience = to.blame.options.patience;
    let mut sent = 0;
    let broke_off = loop {
        let chunk = match body.try_next().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break None,
            Err(e) => {
                // What the server has taken is settled before anybody asks for it again.
                let _ = session.finish(data, SOON).await;
                return Err(e);
            }
        };
        match timeout(patience, data.write_all(&chunk)).await {
            Ok(Ok(())) => sent += chunk.len() as u64,
            Ok(Err(e)) => break Some(Refused::Broken(e.to_string())),
            Err(_) => break Some(Refused::Late),
        }
    };
    let done = match broke_off {
        // Why, only the server knows: a full disk, as often as not.
        Some(how) => match session.finish(data, SOON).await {
            Err(said @ Refused::Said { .. }) => Err(said),
            _ => Err(how),
        },
        None => finish(&session, data, patience).await,
    };
    match done {
        Ok(()) => {
            let path = session.path(partial);
            // A line that broke looks to the server like the end, and it says that it has everything.
            let has = if from + sent > LITTLE {
                let found = session.file(&path).await.map_err(|e| to.blame.error("look at", partial, e))?;
                found.map(|(size, _)| size)
            } else {
                None
            };
            session.release();
            match has {
                Some(has) if has < from + sent => {
                    Err(to.blame.error("take", partial, cut_off(has, from + sent)))
                }
                _ => Ok(sent),
            }
        }
        Err(said @ Refused::Said { .. }) => Err(to.blame.error("take", partial, said)),
        Err(how) if from + sent == source.size() => {
            // Everything went out, and nobody said that it arrived.
            drop(session);
            match to.stat(partial).await {
                Ok(Some(found)) if found.size == from + sent => Ok(sent),
                _ => Err(to.blame.error("take", partial, how)),
            }
        }
        Err(how) => Err(to.blame.error("take", partial, how)),
    }
}

/// Bytes: less is sent again sooner than asked for.
const LITTLE: u64 = 256 << 10;

fn cut_off(has: u64, of: u64) -> Refused {
    Refused::Broken(format!("it has {has} bytes of {of}"))
}

/// Says that this was all, and hears that it arrived.
async fn finish(session: &Lease, mut data: Data, patience: Duration) -> Result<(), Refused> {
    match timeout(patience, data.shutdown()).await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => {
            return match session.finish(data, SOON).await {
                Err(said @ Refused::Said { .. }) => Err(said),
                _ => Err(Refused::Broken(e.to_string())),
            };
        }
        Err(_) => return Err(Refused::Late),
    }
    // Closed with tickets of TLS 1.3 unread, the connection would be reset, and the server would lose the end of the file.
    if matches!(data.get_ref(), AsyncDataStream::Ssl(_)) {
        let mut rest = [0; 1024];
        let _ = timeout(SOON, async { while matches!(data.read(&mut rest).await, Ok(n) if n > 0) {} }).await;
    }
    session.finish(data, patience).await
}

async fn open(to: &Ftp, session: &mut Lease, partial: &Name, from: u64) -> Result<Data, Error> {
    if from > 0 {
        return resume(to, session, partial, from).await;
    }
    let store = format!("STOR {}", session.path(partial));
    let refused = match session.open(&store, 0).await {
        Ok(data) => return Ok(data),
        Err(e) => e,
    };
    // The code is the same for a missing folder and for one that we may not write to.
    let (Refused::Said { code: 450 | 501 | 550 | 553, .. }, Some(folder)) = (&refused, partial.folder())
    else {
        return Err(to.blame.error("take", partial, refused));
    };
    if to.kind(session, &folder).await? != Some(Kind::Folder) {
        return Err(Error::not_found(to.name(), partial));
    }
    // Another transfer may have made it since.
    session.open(&store, 0).await.map_err(|e| to.blame.error("take", partial, e))
}

/// Goes on at a place, which must be the partial file's end.
async fn resume(to: &Ftp, session: &mut Lease, partial: &Name, from: u64) -> Result<Data, Error> {
    let path = session.path(partial);
    let failed = |e| to.blame.error("go on with", partial, e);
    let found = session.file(&path).await.map_err(failed)?.map(|(size, _)| size);
    if found != Some(from) {
        return Err(Error::new(
            ErrorKind::Unavailable,
            format!(
                "destination `{}`: somebody else writes `{partial}` at the same time; try again later",
                to.name()
            ),
        ));
    }
    let refused = match session.open(&format!("APPE {path}"), 0).await {
        Ok(data) => return Ok(data),
        Err(e) => e,
    };
    if !matches!(refused, Refused::Said { code: 500.., .. }) {
        return Err(failed(refused));
    }
    match session.open(&format!("STOR {path}"), from).await {
        Ok(data) => Ok(data),
        Err(e @ Refused::Said { code: 500.., .. }) => {
            // Without it the next attempt begins where every server can: at the beginning.
            to.pool.learn(|learned| learned.resumes = false);
            to.delete(session, partial).await?;
            let error = failed(e);
            Err(Error::new(ErrorKind::Unavailable, format!("{error}; the next attempt begins anew")))
        }
        Err(e) => Err(failed(e)),
    }
}
