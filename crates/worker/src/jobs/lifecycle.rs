use domain::{Failure, Outcome, Place, Strayed, Timestamp, Transition};
use storage::{Key, Store};

use super::{
    Context,
    archive::{at_home, current, found, looked, no_class, restoring},
};
use crate::{library::storage_failure, lifecycle, runner::Stop};

/// Leaves it to the bucket's own lifecycle rule to put the source into another class: cheaper than a copy, and done within days.
///
/// Triggered by: a rule's `archive` with `by: lifecycle`, or a person. Reads: the bucket's rules. Writes: one tag on the object's version,
/// beside those that it has. Nothing is archived by that: until it is seen to be, the source is as it was.
/// Safe to repeat: the same tag again; what is in the class already stays as it is.
pub(crate) async fn perform(
    context: &Context<'_>,
    class: &str,
    again: Option<Timestamp>,
) -> Result<Outcome, Stop> {
    let (store, key) = at_home(context)?;
    let version = current(context, store, &key, Some(class)).await?;
    let tier = store.tier(&key, &version).await.map_err(|e| no_class(&e))?;
    let is_there = tier.class == class;
    if !is_there {
        is_provided_for(context, store, &key, class).await?;
        context.still_ours().await?;
        store.set_tag(&key, &version, lifecycle::TAG, Some(class)).await.map_err(|e| storage_failure(&e))?;
    }
    let asked_at = context.library.now();
    let by_hand = context.claim.batch.is_some();
    let transition = Transition { class: class.to_owned(), asked_at, looks: 0, by_hand };
    let place = found(context, version, tier, restoring(context));
    let strayed = place.strayed.clone().filter(|_| again.is_some());
    Ok(Outcome::Placed { place: Place { transition: (!is_there).then_some(transition), strayed, ..place } })
}

/// Takes the tag back: the source is to stay where it is.
///
/// Triggered by: a rule that is gone, or no longer for it; the trash. Reads: how the source lies: it may be too late. Writes: takes one tag.
/// Safe to repeat: a tag that is gone is gone.
pub(crate) async fn withdraw(context: &Context<'_>) -> Result<Outcome, Stop> {
    let (store, key) = at_home(context)?;
    let transition = context.recording.custody.place.transition.as_ref();
    let class = transition.map(|t| t.class.as_str());
    let version = current(context, store, &key, class).await?;
    let tier = store.tier(&key, &version).await.map_err(|e| storage_failure(&e))?;
    if class == Some(tier.class.as_str()) {
        return Ok(looked(context, version, tier));
    }
    context.still_ours().await?;
    untag(store, &key, &version).await?;
    let place = found(context, version, tier, restoring(context));
    // Who wants it there after all asks anew, by another job.
    let strayed = class.map(|from| Strayed {
        from: from.to_owned(),
        at: context.library.now(),
        times: place.strayed.as_ref().filter(|s| s.from == from).map_or(0, |s| s.times),
    });
    Ok(Outcome::Placed { place: Place { transition: None, strayed, ..place } })
}

/// So that the bucket's rules leave it where it is, or where it is put now.
pub(crate) async fn untag(store: &dyn Store, key: &Key, version: &str) -> Result<(), Failure> {
    store.set_tag(key, version, lifecycle::TAG, None).await.map_err(|e| storage_failure(&e))
}

/// A tag that no rule looks for would be an archiving that never happens.
async fn is_provided_for(
    context: &Context<'_>,
    store: &dyn Store,
    key: &Key,
    class: &str,
) -> Result<(), Failure> {
    let recording = &context.recording;
    let provided = lifecycle::provides(store, key, recording.digest.size, class).await;
    match provided.map_err(|e| storage_failure(&e))? {
        true => Ok(()),
        false => Err(Failure::permanent(format!(
            "{}; then `videorec retry {}`",
            lifecycle::missing(store, class),
            recording.id.short()
        ))),
    }
}
