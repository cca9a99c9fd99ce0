use domain::{Cold, Failure, Outcome, Place, Restoring, Speed, Strayed, Timestamp, Transition};
use storage::{Access, ErrorKind, Key, Store, Tier};

use super::{Context, lifecycle::untag};
use crate::{
    library::{pinned, storage_failure, stored_key},
    lifecycle::{STANDARD, unasked},
    runner::Stop,
};

/// Puts the source into another storage class.
///
/// Triggered by: a rule's `archive`, or a person. Reads: nothing. Writes: the object's class; where versions are kept that
/// is a new version of equal bytes, and the former one goes.
/// Safe to repeat: what is in the class already stays as it is.
pub(crate) async fn perform(
    context: &Context<'_>,
    class: &str,
    again: Option<Timestamp>,
) -> Result<Outcome, Stop> {
    let (store, key) = at_home(context)?;
    let version = current(context, store, &key, Some(class)).await?;
    let before = &context.recording.custody.place;
    context.still_ours().await?;
    if before.transition.is_some() || before.class.is_some() {
        // A tag of before would have the bucket's rules move it on.
        untag(store, &key, &version).await?;
    }
    let meta = store.set_class(&key, &version, class).await.map_err(|e| no_class(&e))?;
    let tier = store.tier(&key, &meta.version).await.map_err(|e| storage_failure(&e))?;
    if tier.class != class {
        return Err(Failure::temporary(format!(
            "store `{}` took {key} for {class} and keeps it in {}: see whether it has that class, and whether a rule of the \
             bucket moves it",
            store.name(),
            tier.class
        ))
        .into());
    }
    let strayed = before.strayed.clone().filter(|_| again.is_some());
    let place = found(context, meta.version, tier, None);
    // Its least time in the class begins.
    let cold = place.cold.map(|cold| Cold { since: context.library.now(), ..cold });
    Ok(Outcome::Placed { place: Place { transition: None, strayed, cold, ..place } })
}

/// What it means for an archiving that a store does not do it.
pub(super) fn no_class(error: &storage::Error) -> Failure {
    Failure { message: unasked(error), ..storage_failure(error) }
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

/// Sees how the source lies.
///
/// Triggered by: time, where a transition was left to the bucket's rules; an event, or the daily comparison, that saw another
/// class. Reads: what the store says. Writes: nothing but its outcome.
pub(crate) async fn look(context: &Context<'_>) -> Result<Outcome, Stop> {
    let (store, key) = at_home(context)?;
    let transition = context.recording.custody.place.transition.as_ref();
    let version = current(context, store, &key, transition.map(|t| t.class.as_str())).await?;
    let tier = store.tier(&key, &version).await.map_err(|e| storage_failure(&e))?;
    Ok(looked(context, version, tier))
}

/// What a look has found.
pub(crate) fn looked(context: &Context<'_>, version: String, tier: Tier) -> Outcome {
    let before = &context.recording.custody.place;
    let place = found(context, version, tier, restoring(context));
    Outcome::Placed { place: noticed(before, place, context.library.now()) }
}

/// What it means that the source lies as it does now, after it lay as it did before.
fn noticed(before: &Place, now_there: Place, now: Timestamp) -> Place {
    let class = now_there.class.as_deref().unwrap_or(STANDARD);
    let transition = match &before.transition {
        Some(wanted) if wanted.class == class => None,
        Some(wanted) => Some(Transition { looks: wanted.looks + 1, ..wanted.clone() }),
        None => None,
    };
    let has_come = before.transition.is_some() && transition.is_none();
    let strayed = match before.class.as_deref().filter(|from| *from != STANDARD && *from != class) {
        Some(from) if !has_come => {
            let times = before.strayed.as_ref().filter(|s| s.from == from).map_or(0, |s| s.times);
            Some(Strayed { from: from.to_owned(), at: now, times: times + 1 })
        }
        _ => before.strayed.clone(),
    };
    Place { transition, strayed, ..now_there }
}

async fn seen(
    context: &Context<'_>,
    store: &dyn Store,
    key: &Key,
    version: String,
    restoring: Restoring,
) -> Result<Outcome, Stop> {
    let tier = store.tier(key, &version).await.map_err(|e| storage_failure(&e))?;
    Ok(Outcome::Placed { place: found(context, version, tier, Some(restoring)) })
}

pub(super) fn at_home<'c>(context: &'c Context<'_>) -> Result<(&'c dyn Store, Key), Failure> {
    let recording = &context.recording;
    Ok((context.library.stores.get(&recording.store)?, stored_key(&recording.key)?))
}

/// The version to work on. An earlier try of this job may have made another one of it and died before it could say so: that
/// is the one in the wanted class with as many bytes.
pub(super) async fn current(
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

/// The restore that was asked for.
pub(super) fn restoring(context: &Context<'_>) -> Option<Restoring> {
    context.recording.custody.place.cold.as_ref().and_then(|cold| cold.restore.clone())
}

/// How the source lies, as the store says it; `restoring`: the restore that was asked for, where it goes on.
pub(super) fn found(
    context: &Context<'_>,
    version: String,
    tier: Tier,
    restoring: Option<Restoring>,
) -> Place {
    let recording = &context.recording;
    let before = &recording.custody.place;
    // What is named by its bytes goes on to be.
    let version = pinned(recording).is_some().then_some(version).or(before.version.clone());
    let since = before.cold.as_ref().map_or(context.library.now(), |cold| cold.since);
    let cold = |restore| Some(Cold { since, restore });
    let cold = match tier.access {
        Access::Now => None,
        // What was restored has expired, or the request was lost: it may be asked for again.
        Access::Archived => cold(None),
        Access::Restoring => cold(restoring),
        Access::Until(until) => {
            cold(restoring.map(|restoring| Restoring { until: Some(until), ..restoring }))
        }
    };
    // Nobody chose the one that objects have where nothing is said.
    let class = Some(tier.class).filter(|class| class != STANDARD || before.class.is_some());
    Place { version, class, cold, ..before.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(7);

    fn place(class: Option<&str>) -> Place {
        Place { class: class.map(str::to_owned), ..Place::default() }
    }

    fn awaited(class: &str) -> Place {
        let transition = Transition { class: class.into(), asked_at: Timestamp(1), looks: 2, by_hand: false };
        Place { transition: Some(transition), ..Place::default() }
    }

    #[test]
    fn a_transition_is_awaited_until_it_has_come() {
        let before = awaited("DEEP_ARCHIVE");
        let still = noticed(&before, before.clone(), NOW);
        assert_eq!(still.transition.as_ref().map(|t| t.looks), Some(3));
        let there = Place { class: Some("DEEP_ARCHIVE".into()), ..before.clone() };
        let come = noticed(&before, there, NOW);
        assert_eq!((come.transition, come.strayed), (None, None));
        // By another of the bucket's rules, on its way or for good: nobody put it there, and it is still awaited.
        let elsewhere = noticed(&before, Place { class: Some("STANDARD_IA".into()), ..before.clone() }, NOW);
        assert_eq!((elsewhere.transition.map(|t| t.looks), elsewhere.strayed), (Some(3), None));
    }

    #[test]
    fn what_was_taken_out_of_its_class_is_counted() {
        let before = place(Some("DEEP_ARCHIVE"));
        let once = noticed(&before, place(Some("STANDARD")), NOW);
        let strayed = Strayed { from: "DEEP_ARCHIVE".into(), at: NOW, times: 1 };
        assert_eq!(once.strayed, Some(strayed.clone()));
        let again = Place { strayed: once.strayed, ..before.clone() };
        let twice = noticed(&again, place(Some("STANDARD")), NOW);
        assert_eq!(twice.strayed, Some(Strayed { times: 2, ..strayed.clone() }));
        // One who lies where he was seen last has not moved, and what nobody put anywhere strays nowhere.
        assert_eq!(noticed(&again, before.clone(), NOW).strayed, again.strayed);
        assert_eq!(noticed(&place(None), place(Some("GLACIER")), NOW).strayed, None);
    }
}
