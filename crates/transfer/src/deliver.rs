use std::path::Path;

use domain::{Conflict, Digest, Timestamp, Verify};
use storage::Landing;
use tokio::time::Instant;

use crate::{Checked, Destination, Error, ErrorKind, Meta, Name, Put, Source, names, put};

/// How something is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct How {
    pub conflict: Conflict,
    pub verify: Verify,
    /// The time that the file is given, where the destination keeps times.
    pub modified: Option<Timestamp>,
}

/// What a delivery came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Where it lies; with [`Conflict::Rename`] perhaps under another name than was asked for. With [`Outcome::Skipped`], where
    /// the other file lies.
    pub name: Name,
    pub outcome: Outcome,
    /// Bytes that were sent this time.
    pub bytes_sent: u64,
    /// Bytes that were there from an earlier attempt.
    pub resumed_from: u64,
    pub verified: Checked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    Sent,
    /// It was there already: nothing was written.
    Already,
    /// Another file is there, and [`Conflict::Skip`] leaves it.
    Skipped,
}

impl Delivered {
    /// It was there already: nothing was written.
    pub fn already(&self) -> bool {
        self.outcome == Outcome::Already
    }
}

/// Sees to it that the destination has these bytes under this name.
///
/// Safe to repeat: what is there already, of the same size and, as `how.verify` asks, with the same hash, is not sent again. That
/// makes an answer that got lost harmless too. With [`Verify::Size`] another file of the same size passes for ours.
///
/// Errors: those of [`Destination::put`]; `Exists` only when a folder has the name.
pub async fn deliver(
    to: &dyn Destination,
    name: &Name,
    source: &dyn Source,
    expected: &Digest,
    how: &How,
) -> Result<Delivered, Error> {
    let put = Put {
        expected: *expected,
        verify: how.verify,
        replace: how.conflict == Conflict::Replace,
        modified: how.modified,
        absent: None,
    };
    put::check_source(to.name(), name, source, &put)?;
    if let Some(max) = to.limits().max_size.filter(|max| source.size() > *max) {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "destination `{}` takes files of at most {max} bytes, `{name}` has {}: send a smaller rendition",
                to.name(),
                source.size()
            ),
        ));
    }
    let mut number = 1;
    // A file that comes into being between our look and our write sends us back to look again.
    let mut races = 0;
    let mut candidate = name.clone();
    loop {
        let found = to.stat(&candidate).await?;
        let put = Put { absent: found.is_none().then(Instant::now), ..put.clone() };
        if let Some(meta) = found {
            if let Some(verified) = is_ours(to, &meta, source, &put).await? {
                return Ok(unsent(candidate, Outcome::Already, verified));
            }
            match how.conflict {
                Conflict::Skip => return Ok(unsent(candidate, Outcome::Skipped, Checked::None)),
                Conflict::Replace => {}
                Conflict::Rename => {
                    number += 1;
                    if number > MOST_NAMES {
                        return Err(Error::exists(to.name(), name));
                    }
                    candidate = names::numbered(name, number, &to.limits().names);
                    continue;
                }
            }
        }
        match to.put(&candidate, source, &put).await {
            Err(e) if e.kind() == ErrorKind::Exists && how.conflict != Conflict::Replace => {
                races += 1;
                // A folder has that name: no look finds a file there, however often.
                if races > 1 && how.conflict == Conflict::Rename && number < MOST_NAMES {
                    races = 0;
                    number += 1;
                    candidate = names::numbered(name, number, &to.limits().names);
                } else if races > 1 {
                    return Err(e);
                }
            }
            Err(e) => return Err(e),
            Ok(sent) => {
                return Ok(Delivered {
                    name: candidate,
                    outcome: Outcome::Sent,
                    bytes_sent: sent.bytes,
                    resumed_from: sent.resumed_from,
                    verified: sent.checked,
                });
            }
        }
    }
}

/// Numbers that are tried before a name counts as taken.
const MOST_NAMES: u32 = 1000;

fn unsent(name: Name, outcome: Outcome, verified: Checked) -> Delivered {
    Delivered { name, outcome, bytes_sent: 0, resumed_from: 0, verified }
}

/// How it is known that a file which is there is the one to be delivered; `None` when it is not.
async fn is_ours(
    at: &dyn Destination,
    meta: &Meta,
    source: &dyn Source,
    put: &Put,
) -> Result<Option<Checked>, Error> {
    if meta.size != put.expected.size {
        return Ok(None);
    }
    if put.verify != Verify::Hash {
        return Ok(Some(Checked::Size));
    }
    match put::compare(at, &meta.name, source, put).await {
        Ok(checked) => Ok(Some(checked)),
        // Gone since, or something else: not ours in either case.
        Err(e) if matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Brings a file here, into a new local file: whole and hashed, or not there at all. Whoever keeps it makes it durable. `expected` is
/// what it must be, where that is known; errors: `Corrupt` when it is not.
pub async fn fetch(
    from: &dyn Destination,
    name: &Name,
    into: &Path,
    expected: Option<&Digest>,
) -> Result<Digest, Error> {
    let landing = Landing::new(into);
    let came = from.download(name, &landing).await;
    let landed = landing.settle(came).await.map_err(|e| {
        let shown = into.display().to_string();
        Error::io("this machine", "write", crate::inert(&shown), &e)
    })?;
    let found = landed?;
    match expected {
        Some(expected) if (expected.size, expected.sha256) != (found.size, found.sha256) => {
            let _ = tokio::fs::remove_file(into).await;
            Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "`{name}` from destination `{}` has {} bytes with SHA-256 {}, expected {} bytes with {}: fetch it again, \
                     or have it sent again",
                    from.name(),
                    found.size,
                    found.sha256,
                    expected.size,
                    expected.sha256
                ),
            ))
        }
        _ => Ok(found),
    }
}

#[cfg(test)]
mod tests;
