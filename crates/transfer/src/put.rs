use async_trait::async_trait;
use domain::Timestamp;
use futures::TryStreamExt as _;

use crate::{
    Checked, Destination, Error, ErrorKind, Meta, Name, Put, Sent, Source, Verify, body, checksum::Twin,
    partial,
};

/// What a destination with files that can be written and renamed does, so that [`put_by_renaming`] makes a put of it.
#[async_trait]
pub trait Files: Destination {
    /// Writes all of the source from `from` on into the partial file at the same place, makes it as durable as the protocol
    /// can, and counts the bytes that it sent. With 0 the file is made, or emptied. Errors: `NotFound` when its folder is
    /// missing.
    async fn append(&self, partial: &Name, from: u64, source: &dyn Source) -> Result<u64, Error>;

    /// Gives the partial file its own name and its time, and makes that durable. Errors: `Exists` (see [`Put::replace`]).
    async fn settle(&self, partial: &Name, name: &Name, put: &Put) -> Result<(), Error> {
        let _ = put.modified;
        self.rename(partial, name, put.replace).await
    }

    /// Bytes before a partial file's end that are not to be trusted after a cut: as many as may have been written out of order.
    fn rewind(&self) -> u64 {
        0
    }
}

/// [`Destination::put`] by way of a partial file: resumed where there is one, looked at, then renamed.
///
/// What happens after an error: the partial file stays where the next attempt can go on from it, and goes where it is worthless
/// (its bytes are wrong) or stands in the way (the destination is full).
pub async fn put_by_renaming<D: Files + ?Sized>(
    to: &D,
    name: &Name,
    source: &dyn Source,
    put: &Put,
) -> Result<Sent, Error> {
    check_source(to.name(), name, source, put)?;
    let partial = partial::of(name, &token(put));
    match attempt(to, name, &partial, source, put).await {
        Err(e) => {
            forget(to, &partial, &e).await;
            Err(e)
        }
        done => done,
    }
}

/// What the bytes must be, for a partial file's name.
pub(crate) fn token(put: &Put) -> String {
    format!("{} {}", put.expected.size, put.expected.sha256)
}

/// After an error that leaves a partial file worthless or in the way.
pub(crate) async fn forget<D: Destination + ?Sized>(to: &D, partial: &Name, error: &Error) {
    if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NoSpace)
        && let Err(left) = to.remove(partial).await
    {
        tracing::warn!(destination = to.name(), partial = %partial, error = %left, "a worthless partial file stays");
    }
}

async fn attempt<D: Files + ?Sized>(
    to: &D,
    name: &Name,
    partial: &Name,
    source: &dyn Source,
    put: &Put,
) -> Result<Sent, Error> {
    let size = source.size();
    let from = resumable(to, partial, size).await?;
    let bytes = if from == size && from > 0 {
        // All of it had arrived, and only the answer got lost.
        0
    } else {
        append(to, name, partial, from, source).await?.1
    };
    let (checked, modified) = check(to, partial, source, put).await?;
    to.settle(partial, name, put).await?;
    let modified = if to.limits().keeps_times { put.modified.or(modified) } else { modified };
    let meta = Meta { name: name.clone(), size, modified, hash: None };
    Ok(Sent { meta, bytes, resumed_from: from, checked })
}

/// [`Destination::put`] where a server refuses to rename: under the file's own name from its first byte on. What is not whole is
/// removed again as far as the server can still be reached; nothing is resumed.
pub async fn put_in_place<D: Files + ?Sized>(
    to: &D,
    name: &Name,
    source: &dyn Source,
    put: &Put,
) -> Result<Sent, Error> {
    check_source(to.name(), name, source, put)?;
    if !put.replace && !put.is_absent() && to.stat(name).await?.is_some() {
        return Err(Error::exists(to.name(), name));
    }
    let write = async {
        let bytes = append(to, name, name, 0, source).await?.1;
        let (checked, modified) = check(to, name, source, put).await?;
        let meta = Meta { name: name.clone(), size: source.size(), modified, hash: None };
        Ok(Sent { meta, bytes, resumed_from: 0, checked })
    };
    let done = write.await;
    if done.is_err()
        && let Err(left) = to.remove(name).await
    {
        tracing::warn!(destination = to.name(), name = %name, error = %left, "an incomplete file stays");
    }
    done
}

/// Where the bytes that were sent begin, and how many they are; the folder is made where it is missing.
async fn append<D: Files + ?Sized>(
    to: &D,
    name: &Name,
    partial: &Name,
    from: u64,
    source: &dyn Source,
) -> Result<(u64, u64), Error> {
    let (from, sent) = match to.append(partial, from, source).await {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            if let Some(folder) = name.folder() {
                to.mkdirs(&folder).await?;
            }
            (0, to.append(partial, 0, source).await?)
        }
        sent => (from, sent?),
    };
    if from + sent != source.size() {
        return Err(short_source(name, from + sent, source.size()));
    }
    Ok((from, sent))
}

/// How many bytes of an earlier attempt are there and can be trusted.
async fn resumable<D: Files + ?Sized>(to: &D, partial: &Name, size: u64) -> Result<u64, Error> {
    // Sending a little again costs less than asking.
    if !to.limits().resumes || size <= SMALL.max(to.rewind()) {
        return Ok(0);
    }
    Ok(match to.stat(partial).await? {
        // Longer than it can be: not by us.
        Some(meta) if meta.size <= size => meta.size.saturating_sub(to.rewind()),
        _ => 0,
    })
}

/// Bytes.
const SMALL: u64 = 256 << 10;

/// Looks at what arrived, while it still has another name.
pub(crate) async fn check<D: Destination + ?Sized>(
    to: &D,
    partial: &Name,
    source: &dyn Source,
    put: &Put,
) -> Result<(Checked, Option<Timestamp>), Error> {
    if put.verify == Verify::None {
        return Ok((Checked::None, None));
    }
    let found = to.stat(partial).await?.ok_or_else(|| vanished(to.name(), partial))?;
    if found.size != put.expected.size {
        return Err(wrong_size(to.name(), partial, found.size, put.expected.size));
    }
    let checked = match put.verify {
        Verify::Hash => compare(to, partial, source, put).await?,
        _ => Checked::Size,
    };
    Ok((checked, found.modified))
}

/// Compares a file's content with what it must be: by the server's hash where there is one, else by reading it back. `Corrupt`
/// when it is something else.
pub(crate) async fn compare<D: Destination + ?Sized>(
    at: &D,
    name: &Name,
    source: &dyn Source,
    put: &Put,
) -> Result<Checked, Error> {
    let expected = &put.expected;
    let Some(theirs) = at.hash(name).await? else {
        let found = body::digest_of(at.get(name, None).await?).await?;
        return if (found.size, found.sha256) == (expected.size, expected.sha256) {
            Ok(Checked::ReadBack)
        } else {
            Err(wrong_bytes(at.name(), name, &found.sha256.to_string(), &expected.sha256.to_string()))
        };
    };
    let ours = if theirs.algorithm == crate::Algorithm::Sha256 {
        expected.sha256.to_string()
    } else {
        // Reading the source again is cheaper than reading back what a partner keeps.
        let mut twin = Twin::new(theirs.algorithm);
        let mut body = source.read_from(0).await?;
        while let Some(chunk) = body.try_next().await? {
            twin.update(&chunk);
        }
        let (digest, ours) = twin.finish();
        if digest.sha256 != expected.sha256 {
            return Err(changed_source(name, put, &digest.sha256.to_string()));
        }
        ours.hex
    };
    if ours == theirs.hex {
        Ok(Checked::ServerHash(theirs.algorithm))
    } else {
        Err(wrong_bytes(at.name(), name, &theirs.hex, &ours))
    }
}

pub(crate) fn check_source(
    destination: &str,
    name: &Name,
    source: &dyn Source,
    put: &Put,
) -> Result<(), Error> {
    if source.size() == put.expected.size {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Source,
        format!(
            "what is to be sent to `{destination}` as `{name}` has {} bytes, expected {}; look at the source again",
            source.size(),
            put.expected.size
        ),
    ))
}

pub(crate) fn short_source(name: &Name, found: u64, expected: u64) -> Error {
    Error::new(
        ErrorKind::Source,
        format!(
            "what is to be sent as `{name}` gave {found} bytes, expected {expected}; look at the source again"
        ),
    )
}

pub(crate) fn changed_source(name: &Name, put: &Put, found: &str) -> Error {
    Error::new(
        ErrorKind::Source,
        format!(
            "what was sent as `{name}` has SHA-256 {found}, expected {}; look at the source again",
            put.expected.sha256
        ),
    )
}

pub(crate) fn wrong_size(destination: &str, name: &Name, found: u64, expected: u64) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "destination `{destination}` says that `{name}` has {found} bytes, {expected} were sent; it will be sent anew"
        ),
    )
}

fn wrong_bytes(destination: &str, name: &Name, found: &str, expected: &str) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "what destination `{destination}` has as `{name}` hashes to {found}, expected {expected}; it will be sent anew"
        ),
    )
}

pub(crate) fn vanished(destination: &str, name: &Name) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!(
            "destination `{destination}` took `{name}` and now has no such file: somebody there removes or moves arriving \
             files; agree on a folder where they stay until they are complete"
        ),
    )
}
