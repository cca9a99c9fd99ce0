use bytes::{Bytes, BytesMut};
use domain::Timestamp;
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use hyper::{StatusCode, header};
use tokio::time::timeout;

use super::{Connection, Reply, Web};
use crate::{Body, CHUNK, Error, ErrorKind};

/// What a server answers; its body is still to be read, and the connection is its own until then.
pub(crate) struct Answer {
    web: Web,
    reply: Reply,
    connection: Connection,
}

/// Bytes of an answer that nobody wants: more cost more than a new connection.
const FEW: usize = 64 << 10;

impl Answer {
    pub(super) fn new(web: Web, reply: Reply, connection: Connection) -> Self {
        Self { web, reply, connection }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.reply.status()
    }

    #[cfg(feature = "objects")]
    pub(crate) fn headers(&self) -> &hyper::HeaderMap {
        self.reply.headers()
    }

    pub(crate) fn text(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.reply.headers().get(name)?.to_str().ok()
    }

    pub(crate) fn length(&self) -> Option<u64> {
        self.text(header::CONTENT_LENGTH)?.trim().parse().ok()
    }

    pub(crate) fn modified(&self) -> Option<Timestamp> {
        date(self.text(header::LAST_MODIFIED)?)
    }

    /// How servers say that a name is a folder's: it would have to end in a slash.
    pub(crate) fn leads_into_folder(&self, target: &str) -> bool {
        let path = target.split('?').next().unwrap_or_default();
        let location = self.text(header::LOCATION).unwrap_or_default().split('?').next().unwrap_or_default();
        self.status().is_redirection()
            && location.strip_suffix('/').is_some_and(|l| {
                let decoded =
                    |s: &str| percent_encoding::percent_decode_str(s).decode_utf8_lossy().into_owned();
                decoded(l).ends_with(&decoded(path))
            })
    }

    /// Reads what nobody wants, so that the connection can be used again.
    pub(crate) async fn done(self) -> StatusCode {
        let status = self.status();
        // An answer without end, or one that breaks off: then the connection goes.
        let _ = self.bytes(FEW).await;
        status
    }

    /// All of it, if it is no more than `most`.
    pub(crate) async fn bytes(mut self, most: usize) -> Result<Bytes, Error> {
        let mut all = BytesMut::new();
        while let Some(chunk) = self.next().await? {
            if all.len() + chunk.len() > most {
                let message = format!(
                    "destination `{}`: {} answers with more than {most} bytes; ask for less at once",
                    self.web.name,
                    self.web.server()
                );
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
            all.extend_from_slice(&chunk);
        }
        self.keep();
        Ok(all.freeze())
    }

    /// Its bytes without the first `skip`, and `most` of them at most.
    pub(crate) fn body(self, skip: u64, most: u64) -> Body {
        let state = (Some(self), Bytes::new(), skip, most);
        let chunks =
            futures::stream::try_unfold(state, |(mut answer, mut rest, mut skip, mut most)| async move {
                loop {
                    let skipped = rest.len().min(usize::try_from(skip).unwrap_or(usize::MAX));
                    let _ = rest.split_to(skipped);
                    skip -= skipped as u64;
                    if most == 0 {
                        return Ok(None);
                    }
                    if !rest.is_empty() {
                        let length = rest.len().min(CHUNK).min(usize::try_from(most).unwrap_or(CHUNK));
                        most -= length as u64;
                        return Ok(Some((rest.split_to(length), (answer, rest, skip, most))));
                    }
                    let Some(open) = &mut answer else { return Ok(None) };
                    match open.next().await? {
                        Some(chunk) => rest = chunk,
                        None => {
                            if let Some(answer) = answer.take() {
                                answer.keep();
                            }
                        }
                    }
                }
            });
        chunks.boxed()
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let frame = timeout(self.web.patience, self.reply.body_mut().frame()).await;
            match frame.map_err(|_| self.web.late())? {
                None => return Ok(None),
                Some(Err(e)) => return Err(self.web.broken(&e)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    fn keep(self) {
        let closes = self.text(header::CONNECTION).is_some_and(|c| c.eq_ignore_ascii_case("close"));
        if !closes {
            self.web.keep(self.connection);
        }
    }
}

/// As HTTP has dates: `Tue, 14 Nov 2023 22:13:20 GMT`.
pub(crate) fn date(text: &str) -> Option<Timestamp> {
    let zoned = jiff::fmt::rfc2822::DateTimeParser::new().parse_zoned(text.trim()).ok()?;
    Some(Timestamp(zoned.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_in_gmt() {
        assert_eq!(date("Tue, 14 Nov 2023 22:13:20 GMT"), Some(Timestamp(1_700_000_000_000)));
        assert_eq!(date("yesterday"), None);
    }
}
