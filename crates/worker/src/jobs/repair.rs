use domain::{Copy, Failure, Outcome, Place};
use storage::{Key, Put, Store};

use super::{
    Context,
    good::{self, Good},
};
use crate::{
    library::{pinned, storage_failure, stored_key},
    runner::Stop,
};

/// Replaces bytes that were found bad by those of a good copy.
///
/// Triggered by: a verification that found them bad. Reads: a good copy, then what was written. Writes: one object, whole or
/// not at all. Safe to repeat: the same bytes again.
pub(crate) async fn perform(context: &Context<'_>, store: &str) -> Result<Outcome, Stop> {
    let recording = &context.recording;
    let library = context.library;
    let copies = library.catalog.copies(recording.id).await.map_err(|e| Failure::temporary(e.to_string()))?;
    let to = library.stores.get(store)?;
    let bad = copies.iter().find(|c| c.store == store);
    let key = match (recording.store == store, bad) {
        (true, _) => &recording.key,
        (false, Some(copy)) => &copy.key,
        (false, None) => {
            return Err(Failure::permanent(format!("there is no copy in `{store}` by now")).into());
        }
    };
    let key = stored_key(key)?;
    context.still_ours().await?;
    let version = replace(context, to, &key, good::copies(recording, &copies, store)).await?;
    let now = library.now();
    if recording.store == store {
        let version = pinned(recording).map(|_| version).or(recording.custody.place.version.clone());
        let place = Place { version, verified_at: Some(now), bad: None, ..recording.custody.place.clone() };
        return Ok(Outcome::Placed { place });
    }
    let copy = bad.expect("looked up above");
    Ok(Outcome::Copied {
        copy: Copy {
            version: recording.version.clone(),
            digest: recording.digest,
            verified_at: now,
            bad: None,
            ..copy.clone()
        },
    })
}

/// Tries one good copy after another: what is read is compared before it becomes visible, so that none of them spreads
/// damage of its own.
async fn replace(
    context: &Context<'_>,
    to: &dyn Store,
    key: &Key,
    good: Vec<Good<'_>>,
) -> Result<String, Failure> {
    let recording = &context.recording;
    let mut last = None;
    for from in good {
        let copied = async {
            let body = context.library.stores.get(from.store)?;
            let source = stored_key(from.key)?;
            let body = body.get(&source, from.version, None).await.map_err(|e| storage_failure(&e))?;
            let options = Put { if_absent: false, expected: Some(recording.digest) };
            let (meta, _) =
                storage::put_stream(to, key, body, options).await.map_err(|e| storage_failure(&e))?;
            let found =
                storage::digest_of(to, key, Some(&meta.version)).await.map_err(|e| storage_failure(&e))?;
            if found == recording.digest {
                return Ok(meta.version);
            }
            Err(Failure::permanent(format!(
                "{key} in store `{}` reads back differently again right after it was written: check its medium",
                to.name()
            )))
        };
        match copied.await {
            Ok(version) => return Ok(version),
            Err(e) => last = Some(e),
        }
    }
    Err(last.unwrap_or_else(|| {
        Failure::permanent(format!(
            "no good copy of {} is left to repair `{}` from; bring one in and `videorec retry {}`",
            recording.name,
            to.name(),
            recording.id.short()
        ))
    }))
}
