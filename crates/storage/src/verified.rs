use std::pin::pin;

use bytes::Bytes;
use domain::{Digest, Hasher};
use futures::{Stream, TryStreamExt as _};

use crate::{Body, Error, ErrorKind, Key, Meta, Pace, Put, Store, Unbounded, off_thread::off_thread};

/// A copy that was read back and found equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub meta: Meta,
    pub digest: Digest,
}

/// Copies an object to another store and reads the copy back: promise 1's "verified".
///
/// Safe to repeat: an equal object that is already there is the result, a different one is `Corrupt` and stays as
/// it is. A copy of ours that reads back differently is removed again and is `Corrupt`, and so is a source that is not what was
/// expected: for the moment, since a bit may have flipped on the way, and the next try knows better. What the source has is
/// checked against `expected` before the copy becomes visible, so damage at the source never spreads. Where one service
/// holds both stores, it makes the copy ([`Store::copy_from`]); that is read back like any other. A `version` of a store
/// whose versions endure is not read for that first: it names the bytes of which `expected` was made, or it is gone.
/// Should the service have lost a bit of them all the same, that is found when the copy is read back.
///
/// What is written and what is read back passes at a `pace`; so does what the service copies by itself, in one go.
pub async fn verified_copy(
    from: &dyn Store,
    key: &Key,
    version: Option<&str>,
    to: &dyn Store,
    to_key: &Key,
    expected: &Digest,
    pace: &dyn Pace,
) -> Result<Verified, Error> {
    match copy_once(from, key, version, to, to_key, expected, pace).await? {
        Copied::Verified(verified) => Ok(verified),
        Copied::Taken(error) => Err(error),
    }
}

/// [`verified_copy`] under the first of these keys that has no other bytes: what an earlier try wrote, the medium damaged,
/// and nobody could remove, is in nobody's way and stays as it is.
///
/// # Panics
/// Without any key.
pub async fn verified_copy_to_one_of(
    from: &dyn Store,
    key: &Key,
    version: Option<&str>,
    to: &dyn Store,
    to_keys: &[Key],
    expected: &Digest,
    pace: &dyn Pace,
) -> Result<Verified, Error> {
    let mut taken = None;
    for to_key in to_keys {
        match copy_once(from, key, version, to, to_key, expected, pace).await? {
            Copied::Verified(verified) => return Ok(verified),
            Copied::Taken(error) => taken = Some(error),
        }
    }
    Err(taken.expect("at least one key"))
}

/// What became of a copy that did not fail.
enum Copied {
    Verified(Verified),
    /// There are other bytes, which were there before.
    Taken(Error),
}

async fn copy_once(
    from: &dyn Store,
    key: &Key,
    version: Option<&str>,
    to: &dyn Store,
    to_key: &Key,
    expected: &Digest,
    pace: &dyn Pace,
) -> Result<Copied, Error> {
    let options = Put { if_absent: true, expected: Some(*expected) };
    // Reading it twice to copy it once would be most of the work.
    let known = version.is_some() && from.versions_endure();
    let within = Put { expected: options.expected.filter(|_| !known), ..options };
    let copied = match to.copy_from(from, key, version, to_key, within).await {
        Some(copied) => {
            pace.take(usize::try_from(expected.size).unwrap_or(usize::MAX)).await;
            copied
        }
        None => stream(from, key, version, to, to_key, options, pace).await,
    };
    let meta = match copied {
        Err(e) if e.kind() == ErrorKind::Exists => {
            return already_there(to, to.head(to_key).await?, expected, pace).await;
        }
        copied => copied.map_err(may_pass)?,
    };
    let found = digest_at(to, to_key, Some(&meta.version), pace).await?;
    if found == *expected {
        return Ok(Copied::Verified(Verified { meta, digest: found }));
    }
    let what_now = match to.delete(to_key, &meta.version).await {
        Ok(()) => {
            "the bad copy was removed; the source is untouched; copy again, and check the store's medium"
        }
        Err(_) => "the bad copy could not be removed; the source is untouched; check the store's medium",
    };
    Err(may_pass(Error::corrupt(to.name(), to_key, expected, &found, what_now)))
}

/// Other bytes than expected may be others only this time.
fn may_pass(error: Error) -> Error {
    let temporary = error.is_temporary() || error.kind() == ErrorKind::Corrupt;
    error.temporary(temporary)
}

async fn stream(
    from: &dyn Store,
    key: &Key,
    version: Option<&str>,
    to: &dyn Store,
    to_key: &Key,
    options: Put,
    pace: &dyn Pace,
) -> Result<Meta, Error> {
    // Asked first only to save the transfer; the conditional write is what decides.
    match to.head(to_key).await {
        Ok(_) => return Err(Error::exists(to.name(), to_key)),
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let body = from.get(key, version, None).await?;
    Ok(crate::stream::pump(to.create(to_key, options).await?, at(body, pace)).await?.0)
}

fn at<'p>(body: Body, pace: &'p dyn Pace) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'p {
    body.and_then(async move |chunk| {
        pace.take(chunk.len()).await;
        Ok(chunk)
    })
}

/// Reads an object and hashes it.
pub async fn digest_of(store: &dyn Store, key: &Key, version: Option<&str>) -> Result<Digest, Error> {
    digest_at(store, key, version, &Unbounded).await
}

async fn digest_at(
    store: &dyn Store,
    key: &Key,
    version: Option<&str>,
    pace: &dyn Pace,
) -> Result<Digest, Error> {
    let mut body = pin!(at(store.get(key, version, None).await?, pace));
    let mut hasher = Hasher::new();
    while let Some(chunk) = body.try_next().await? {
        // A megabyte takes about a millisecond: too long for a thread that others wait for.
        hasher = if chunk.len() < SMALL {
            hasher.update(&chunk);
            hasher
        } else {
            off_thread(move || {
                hasher.update(&chunk);
                hasher
            })
            .await
        };
    }
    Ok(hasher.finish())
}

/// Bytes that are hashed faster than they are handed to another thread.
const SMALL: usize = 32 << 10;

async fn already_there(
    to: &dyn Store,
    meta: Meta,
    expected: &Digest,
    pace: &dyn Pace,
) -> Result<Copied, Error> {
    let found = digest_at(to, &meta.key, Some(&meta.version), pace).await?;
    if found == *expected {
        return Ok(Copied::Verified(Verified { meta, digest: found }));
    }
    let what_now =
        "it was there before and stays as it is; look at it, then remove it or choose another place";
    Ok(Copied::Taken(Error::corrupt(to.name(), &meta.key, expected, &found, what_now)))
}

#[cfg(test)]
mod tests;
