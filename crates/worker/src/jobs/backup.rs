use domain::{Copy, Outcome};

use super::Context;
use crate::{
    keys,
    library::{pinned, storage_failure, stored_key},
    runner::Stop,
};

/// Keeps a verified copy of the source in another store.
///
/// Triggered by: a rule's `backup`. Reads: the source, then the copy. Writes: one object, under the source's own key, or
/// under one made of its digest where a stranger chose the source's.
/// Safe to repeat: the object is created only if absent; one that is there is read back and compared. Other bytes under that
/// key, which a damaged try may have left, are not touched: the copy lies beside them, and a purge takes both.
pub(crate) async fn perform(context: &Context<'_>, to: &str) -> Result<Outcome, Stop> {
    let recording = &context.recording;
    let stores = &context.library.stores;
    let (from, to) = (stores.get(&recording.store)?, stores.get(to)?);
    let key = stored_key(&recording.key)?;
    let to_keys = keys::or_beside(match pinned(recording) {
        Some(_) => keys::copy(recording.id, &recording.name, &recording.digest),
        None => key.clone(),
    });
    context.still_ours().await?;
    let version = pinned(recording);
    let pace = context.library.destinations.pace(to.name());
    let digest = &recording.digest;
    let verified = storage::verified_copy_to_one_of(from, &key, version, to, &to_keys, digest, &*pace).await;
    let verified = verified.map_err(|e| storage_failure(&e))?;
    Ok(Outcome::Copied {
        copy: Copy {
            recording: recording.id,
            store: to.name().to_owned(),
            key: verified.meta.key.to_string(),
            version: recording.version.clone(),
            digest: verified.digest,
            verified_at: context.library.now(),
            bad: None,
            until: None,
        },
    })
}
