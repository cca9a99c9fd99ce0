use std::time::Duration;

use domain::{Copy, Failure, Outcome, Place, Strayed};
use policy::Deed;

use super::{Context, archive, lifecycle::untag};
use crate::{
    Point, keys,
    library::{pinned, storage_failure, stored_key},
    runner::Stop,
};

/// Lets another store hold the source: copied, verified, and only then does the catalog switch. What held it until now
/// stays as a verified copy for a while: until then the way back is another `move`, without a byte copied.
///
/// Triggered by: a rule's `move` or `archive` to a store, or a person. Reads: the source, then the copy. Writes: one object.
/// Safe to repeat: see `backup`.
///
/// Promise 2: what is held stays where it is. It may have been ordered before the hold, or copied while it was placed: that is
/// asked before the first byte, and again before the switch; the catalog asks once more in the transaction that switches.
/// What was written by then lies under the recording's own folder: the next try finds it there, and a purge takes it along.
pub(crate) async fn perform(context: &Context<'_>, to: &str, keep: Duration) -> Result<Outcome, Stop> {
    let recording = &context.recording;
    let stores = &context.library.stores;
    let (from, to) = (stores.get(&recording.store)?, stores.get(to)?);
    let key = stored_key(&recording.key)?;
    let to_keys = keys::or_beside(match pinned(recording) {
        Some(_) => keys::copy(recording.id, &recording.name, &recording.digest),
        None => key.clone(),
    });
    not_held(context).await?;
    context.still_ours().await?;
    let version = pinned(recording);
    let pace = context.library.destinations.pace(to.name());
    let digest = &recording.digest;
    let verified = storage::verified_copy_to_one_of(from, &key, version, to, &to_keys, digest, &*pace).await;
    let verified = verified.map_err(|e| storage_failure(&e))?;
    not_held(context).await?;
    let before = &recording.custody.place;
    if before.transition.is_some() {
        // What stays there for a while is not to sink.
        let version = archive::current(context, from, &key, None).await?;
        untag(from, &key, &version).await?;
    }
    context.library.steps.at(Point::MoveVerified);
    let now = context.library.now();
    // The key is one of ours, which is never written twice: the bytes name it.
    let version = Some(recording.digest.sha256.to_string());
    // A class belongs to a store: who wants it in one wants it there, too.
    let class = before.class.clone().or_else(|| before.transition.as_ref().map(|t| t.class.clone()));
    let strayed = class.map(|from| Strayed { from, at: now, times: 0 });
    Ok(Outcome::Moved {
        to: Copy {
            recording: recording.id,
            store: to.name().to_owned(),
            key: verified.meta.key.to_string(),
            version: recording.version.clone(),
            digest: verified.digest,
            verified_at: now,
            bad: None,
            until: None,
        },
        place: Place { version, verified_at: Some(now), strayed, ..Place::default() },
        keep_until: now + keep,
    })
}

async fn not_held(context: &Context<'_>) -> Result<(), Failure> {
    let library = context.library;
    let facts = library.catalog.facts(context.recording.id).await;
    let facts = facts.map_err(|e| Failure::temporary(e.to_string()))?;
    let Some(facts) = facts else { return Err(Failure::permanent("the recording is unknown by now")) };
    match policy::objection(&library.policy, &facts, Deed::Move, library.now()) {
        None => Ok(()),
        // It may be released in a moment; and what a rule asked for, it asks for again then.
        Some(objection) => {
            Err(Failure::temporary(format!("not moved: that waits for {}", objection.waits_for)))
        }
    }
}
