use domain::{Cold, Failure, Outcome, Place, Restoring, Speed, Timestamp};
use storage::{Access, ErrorKind, Key, Store, Tier};

use super::Context;
use crate::{
    library::{pinned, storage_failure, stored_key},
    runner::Stop,
};

/// Puts the source into another storage class.
///
/// Triggered by: a rule's `archive`, or a person. Reads: nothing. Writes: the object's class; where versions are kept that
/// is a new version of equal bytes, and the former one goes.
/// Safe to repeat: what is in the class already stays as it is.
pub(crate) async fn perform(context: &Context<'_>, class: &str) -> Result<Outcome, Stop> {
    let (store, key) = at_home(context)?;
    let version = current(context, store, &key, Some(class)).await?;
    context.still_ours().await?;
    let meta = store.set_class(&key, &version, class).await.map_err(|e| storage_failure(&e))?;
    let tier = store.tier(&key, &meta.version).await.map_err(|e| storage_failure(&e))?;
    let cold = (tier.access != Access::Now).then(|| Cold { since: context.library.now(), restore: None });
    Ok(placed(context, meta.version, tier, cold))
}

/// Asks for an archived source to be readable for a while.
///
/// Triggered by: `videorec restore`, or a rule that needs a cold recording. Safe to repeat: S3 answers that it is under way.
pub(crate) async fn restore(context: &Context<'_>, speed: Speed, days: u32) -> Result<Outcome, Stop> {
    let (store, key) = at_home(context)?;
    let version = current(context, store, &key, None).await?;
    context.still_ours().await?;
    store.restore(&key, &version, days, speed).await.map_err(|e| storage_failure(&e))?;
    let asked = Restoring { asked_at: context.library.now(), speed, days, until: None, looks: 0 };
    seen(context, store, &key, version, asked).await
}

/// Sees whether a restore has come to its end.
///
/// Triggered by: time, or an event that says so. Reads: what the store says. Writes: nothing but its outcome.
pub(crate) async fn awaken(context: &Context<'_>, asked_at: Timestamp, look: u32) -> Result<Outcome, Stop> {
    let (store, key) = at_home(context)?;
    let version = current(context, store, &key, None).await?;
    let cold = context.recording.custody.place.cold.as_ref();
    let (speed, days) = match cold.and_then(|c| c.restore.as_ref()) {
        Some(r) => (r.speed, r.days),
        None => (Speed::Bulk, 1),
    };
    seen(context, store, &key, version, Restoring { asked_at, speed, days, until: None, looks: look + 1 })
        .await
}

async fn seen(
    context: &Context<'_>,
    store: &dyn Store,
    key: &Key,
    version: String,
    restoring: Restoring,
) -> Result<Outcome, Stop> {
    let tier = store.tier(key, &version).await.map_err(|e| storage_failure(&e))?;
    let since = context.recording.custody.place.cold.as_ref().map_or(context.library.now(), |c| c.since);
    let cold = |restore| Some(Cold { since, restore });
    let cold = match tier.access {
        Access::Now => None,
        // What was restored has expired, or the request was lost: it may be asked for again.
        Access::Archived => cold(None),
        Access::Restoring => cold(Some(restoring)),
        Access::Until(until) => cold(Some(Restoring { until: Some(until), ..restoring })),
    };
    Ok(placed(context, version, tier, cold))
}

fn at_home<'c>(context: &'c Context<'_>) -> Result<(&'c dyn Store, Key), Failure> {
    let recording = &context.recording;
    Ok((context.library.stores.get(&recording.store)?, stored_key(&recording.key)?))
}

/// The version to work on. An earlier try of this job may have made another one of it and died before it could say so: that
/// is the one in the wanted class with as many bytes.
async fn current(
    context: &Context<'_>,
    store: &dyn Store,
    key: &Key,
    class: Option<&str>,
) -> Result<String, Failure> {
    let meta = store.head(key).await.map_err(|e| storage_failure(&e))?;
    match pinned(&context.recording) {
        None => Ok(meta.version),
        Some(version) if version == meta.version => Ok(meta.version),
        Some(version) => {
            let tier = store.tier(key, &meta.version).await.map_err(|e| storage_failure(&e))?;
            if class == Some(tier.class.as_str()) && meta.size == context.recording.digest.size {
                return Ok(meta.version);
            }
            let changed = format!(
                "{key} in store `{}` is version {} by now, not {version}; its event or the next walk takes it in as it is",
                store.name(),
                meta.version
            );
            Err(storage_failure(&storage::Error::new(ErrorKind::Changed, changed)))
        }
    }
}

fn placed(context: &Context<'_>, version: String, tier: Tier, cold: Option<Cold>) -> Outcome {
    let recording = &context.recording;
    // What is named by its bytes goes on to be.
    let version = pinned(recording).is_some().then_some(version).or(recording.custody.place.version.clone());
    Outcome::Placed {
        place: Place { version, class: Some(tier.class), cold, ..recording.custody.place.clone() },
    }
}
