use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use tokio::{io::AsyncReadExt as _, time::timeout};

use super::{
    Ftp,
    pool::Lease,
    refused::{Blame, Refused},
    session::Data,
};
use crate::{Body, Destination as _, Error, Name, body};

/// Bytes that are handed on at once: they are still in the processor's cache when they are hashed and written.
const PIECE: usize = 256 << 10;

struct Download {
    session: Lease,
    data: Data,
    blame: Blame,
    name: Name,
    at: u64,
    /// Where we stop.
    to: u64,
    /// Where the file does.
    size: u64,
}

/// See [`crate::Destination::get`].
pub(super) async fn get(from: &Ftp, name: &Name, range: Option<Range<u64>>) -> Result<Body, Error> {
    if range.is_none()
        && from.pool.learned().tells_sizes
        && !name.as_str().contains("bytes")
        && let Some(body) = at_once(from, name).await?
    {
        return Ok(body);
    }
    let mut session = from.session().await?;
    let path = session.path(name);
    let failed = |e| from.blame.error("read", name, e);
    let Some((size, _)) = session.file(&path).await.map_err(failed)? else {
        session.release();
        return Err(Error::not_found(from.name(), name));
    };
    let (at, to) = body::clamp(range, size);
    if at >= to {
        session.release();
        return Ok(futures::stream::empty().boxed());
    }
    let (said, data) = session.begin(&format!("RETR {path}"), at).await.map_err(failed)?;
    if at == 0 && size_in(&said) == Some(size) {
        from.pool.learn(|learned| learned.tells_sizes = true);
    }
    Ok(Download { session, data, blame: from.blame.clone(), name: name.clone(), at, to, size }.body())
}

/// All of it, without asking for its size first: of three commands for a small file that is one less. `None`: it has to be asked for,
/// or to say why it gives nothing.
async fn at_once(from: &Ftp, name: &Name) -> Result<Option<Body>, Error> {
    let mut session = from.session().await?;
    let retrieve = format!("RETR {}", session.path(name));
    let (said, data) = match session.begin(&retrieve, 0).await {
        Ok(begun) => begun,
        Err(Refused::Said { .. }) => {
            session.release();
            return Ok(None);
        }
        Err(e) => return Err(from.blame.error("read", name, e)),
    };
    let Some(size) = size_in(&said) else {
        from.pool.learn(|learned| learned.tells_sizes = false);
        return Ok(None);
    };
    let (blame, name) = (from.blame.clone(), name.clone());
    let download = Download { session, data, blame, name, at: 0, to: size, size };
    if size == 0 {
        download.end().await;
        return Ok(Some(futures::stream::empty().boxed()));
    }
    Ok(Some(download.body()))
}

/// The size that many servers tell when they begin: `150 Opening BINARY mode data connection for a.mp4 (262144 bytes)`. Whoever asks
/// sees to it that a name cannot say so.
fn size_in(said: &str) -> Option<u64> {
    let (_, rest) = said.rsplit_once('(')?;
    rest.split_once(" bytes)")?.0.parse().ok()
}

impl Download {
    fn body(self) -> Body {
        let chunks = futures::stream::try_unfold(Some(self), |download| async {
            match download {
                Some(download) => download.next().await,
                None => Ok(None),
            }
        });
        chunks.boxed()
    }

    async fn next(mut self) -> Result<Option<(Bytes, Option<Self>)>, Error> {
        let length = usize::try_from(self.to - self.at).unwrap_or(PIECE).min(PIECE);
        let mut chunk = BytesMut::with_capacity(length);
        while chunk.len() < length {
            let patience = self.blame.options.patience;
            let mut rest = (&mut self.data).take((length - chunk.len()) as u64);
            match timeout(patience, rest.read_buf(&mut chunk)).await {
                Ok(Ok(0)) => return Err(self.short(chunk.len()).await),
                Ok(Ok(_)) => {}
                Ok(Err(e)) => return Err(self.failed(Refused::Broken(e.to_string()))),
                Err(_) => return Err(self.failed(Refused::Late)),
            }
        }
        self.at += chunk.len() as u64;
        let chunk = chunk.freeze();
        if self.at < self.to {
            return Ok(Some((chunk, Some(self))));
        }
        if self.to == self.size {
            self.end().await;
        }
        // Dropped in the middle of the file, which closes the connection: cheaper than reading what nobody wants.
        Ok(Some((chunk, None)))
    }

    /// All bytes are here. What the server thinks of it does not matter any more, only whether it can be asked again.
    async fn end(self) {
        let patience = self.blame.options.patience;
        if !matches!(self.session.finish(self.data, patience).await, Err(Refused::Broken(_) | Refused::Late))
        {
            self.session.release();
        }
    }

    async fn short(self, read: usize) -> Error {
        let lacks = self.to - self.at - read as u64;
        let patience = self.blame.options.patience;
        let why = match self.session.finish(self.data, patience).await {
            Err(said @ Refused::Said { .. }) => said,
            _ => Refused::Broken(format!("{lacks} bytes before the end")),
        };
        self.blame.error("send", &self.name, why)
    }

    fn failed(&self, how: Refused) -> Error {
        self.blame.error("read", &self.name, how)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_told_at_the_end_or_not_at_all() {
        let tells = |name: &str| {
            size_in(&format!("150 Opening BINARY mode data connection for {name} (262144 bytes)."))
        };
        assert_eq!(tells("a.mp4"), Some(262_144));
        assert_eq!(tells("a (1).mp4"), Some(262_144));
        for silent in
            ["150 Accepted data connection", "150 Begins (binary)", "150 (-1 bytes)", "150 (2.5 bytes)"]
        {
            assert_eq!(size_in(silent), None, "{silent}");
        }
    }
}
