use domain::{Digest, Failure, Outcome};
use storage::{ErrorKind, Key, Store};

use super::Context;
use crate::{
    library::{pinned, storage_failure, stored_key},
    runner::Stop,
};

/// Reads a source or a copy back and compares it with what was accepted.
///
/// Triggered by: time; the oldest verification goes first. Reads: all of it. Writes: nothing but its outcome.
/// Trouble with reaching the store says nothing of the bytes: it is a failure, not a finding.
pub(crate) async fn perform(context: &Context<'_>, store: &str) -> Result<Outcome, Stop> {
    let recording = &context.recording;
    let library = context.library;
    let (key, version) = match recording.store == store {
        true => (recording.key.clone(), pinned(recording)),
        false => {
            let copies = library.catalog.copies(recording.id).await;
            let copies = copies.map_err(|e| Failure::temporary(e.to_string()))?;
            match copies.into_iter().find(|c| c.store == store) {
                Some(copy) => (copy.key, None),
                None => {
                    return Err(Failure::permanent(format!("there is no copy in `{store}` by now")).into());
                }
            }
        }
    };
    let (at, key) = (library.stores.get(store)?, stored_key(&key)?);
    let mut bad = compare(at, &key, version, &recording.digest).await?;
    if bad.is_some() {
        // A bit may have flipped on the way: only what reads differently twice is bad, since of the only copy nobody could
        // say otherwise afterwards.
        bad = compare(at, &key, version, &recording.digest).await?;
    }
    Ok(Outcome::Verified { store: store.to_owned(), at: library.now(), bad })
}

/// What is wrong with the bytes, as a clause; nothing when they are equal.
async fn compare(
    store: &dyn Store,
    key: &Key,
    version: Option<&str>,
    expected: &Digest,
) -> Result<Option<String>, Failure> {
    match storage::digest_of(store, key, version).await {
        Ok(found) if found == *expected => Ok(None),
        Ok(found) if found.size != expected.size => {
            Ok(Some(format!("{key} has {} bytes, {} were accepted", found.size, expected.size)))
        }
        Ok(found) => {
            Ok(Some(format!("{key} reads as sha256 {}, {} was accepted", found.sha256, expected.sha256)))
        }
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Changed) => {
            Ok(Some(format!("it is not there any more ({e})")))
        }
        Err(e) => Err(storage_failure(&e)),
    }
}
