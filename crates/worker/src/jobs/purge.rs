use std::collections::{BTreeMap, BTreeSet};

use catalog::Purging;
use domain::{Certificate, Facts, Failure, Outcome, Recording, Removed, Trash, Usage};
use storage::{Key, Store};

use super::Context;
use crate::{
    Point, keys,
    library::{pinned, storage_failure, stored_key},
    runner::Stop,
};

/// Removes every byte of a recording in the trash: source, copies, renditions, what was replaced, all versions.
///
/// Triggered by: the end of its time in the trash. Reads: where everything is. Writes: nothing, and takes all away.
/// Safe to repeat: what is gone is gone, and the certificate is made of the facts, which go with it in one transaction.
///
/// Promise 2: a hold is absolute. Rules' holds are asked for anew, and those placed by hand are looked at in the transaction
/// that writes the audit record and closes the way back (promise 11); only then does the first byte go.
pub(crate) async fn perform(context: &Context<'_>, life: u32) -> Result<Outcome, Stop> {
    let library = context.library;
    let id = context.recording.id;
    let facts = library.catalog.facts(id).await.map_err(|e| Failure::temporary(e.to_string()))?;
    let Some(facts) = facts else { return Err(Failure::permanent("the recording is unknown by now").into()) };
    still_wanted(context, &facts)?;
    let begun = library.catalog.begin_purge(context.claim, library.now()).await;
    let facts = match begun {
        Ok(Purging::Go(facts)) if facts.recording.custody.lives == life => facts,
        Ok(Purging::Go(_)) => return Err(Failure::permanent("it came back from the trash since").into()),
        Ok(Purging::Refused(why)) => return Err(Failure::temporary(why).into()),
        Err(e) if e.kind() == catalog::Kind::LeaseLost => return Err(Stop::Lost),
        Err(e) => return Err(Failure::temporary(e.to_string()).into()),
    };
    let Some(trash) = facts.recording.custody.trash.clone() else {
        return Err(Failure::permanent("it is not in the trash").into());
    };
    library.steps.at(Point::PurgeBegun);
    let objects = remove(context, &facts).await?;
    library.steps.at(Point::PurgeRemoved);
    Ok(Outcome::Purged { certificate: certificate(context, facts.recording, trash, objects) })
}

/// A rule may hold it by now. Once bytes were removed there is nothing left to hold.
fn still_wanted(context: &Context<'_>, facts: &Facts) -> Result<(), Failure> {
    let library = context.library;
    if facts.recording.custody.trash.as_ref().is_some_and(|t| t.purging.is_some()) {
        return Ok(());
    }
    let decision = policy::decide(&library.policy, facts, &Usage::default(), library.now());
    match decision.jobs.iter().any(|j| j.id == context.claim.job.spec.id) {
        true => Ok(()),
        false => Err(Failure::temporary(format!("it is not to be purged by now: {}", decision.reason))),
    }
}

async fn remove(context: &Context<'_>, facts: &Facts) -> Result<Vec<Removed>, Stop> {
    let recording = &facts.recording;
    let mut known = known(facts);
    let mut removed = BTreeSet::new();
    let stores = &context.library.stores;
    // All stores have to be there before anything goes: a copy in one that cannot be reached would outlive its recording.
    for (store, _) in known.keys() {
        stores.get(store)?;
    }
    let prefix = keys::folder(recording.id);
    for store in stores.iter() {
        for key in below(store, &prefix).await? {
            let what = (store.name().to_owned(), key.to_string());
            known.entry(what).or_insert_with(|| "former".to_owned());
        }
    }
    // The source goes last: until then a try that was cut short finds the recording as it was.
    let source = (recording.store.clone(), recording.key.clone());
    known.remove(&source);
    for ((store, key), what) in known {
        erase(context, &store, &key, None, &what, &mut removed).await?;
    }
    erase(context, &source.0, &source.1, pinned(recording), "source", &mut removed).await?;
    Ok(removed.into_iter().collect())
}

/// What the catalog knows of, by store and key.
fn known(facts: &Facts) -> BTreeMap<(String, String), String> {
    let recording = &facts.recording;
    let mut known = BTreeMap::from([((recording.store.clone(), recording.key.clone()), "source".to_owned())]);
    known.extend(facts.copies.iter().map(|c| ((c.store.clone(), c.key.clone()), "copy".to_owned())));
    for rendition in &facts.renditions {
        let files = rendition.files.iter();
        known.extend(files.map(|f| ((f.store.clone(), f.key.clone()), rendition.name.clone())));
    }
    known
}

async fn below(store: &dyn Store, prefix: &str) -> Result<Vec<Key>, Failure> {
    let (mut keys, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(prefix, after.as_ref(), PAGE).await.map_err(|e| storage_failure(&e))?;
        let full = page.len() == PAGE;
        keys.extend(page.into_iter().map(|meta| meta.key));
        after = keys.last().cloned();
        if !full {
            return Ok(keys);
        }
    }
}

const PAGE: usize = 1000;

async fn erase(
    context: &Context<'_>,
    store: &str,
    key: &str,
    version: Option<&str>,
    what: &str,
    removed: &mut BTreeSet<Removed>,
) -> Result<(), Stop> {
    context.still_ours().await?;
    let at = context.library.stores.get(store)?;
    let erased = at.erase(&stored_key(key)?, version).await.map_err(|e| storage_failure(&e))?;
    // Nothing: an earlier try of this job removed it, and it is named all the same.
    let none = erased.is_empty().then(|| (String::new(), 0));
    let versions = erased.into_iter().map(|meta| (meta.version, meta.size)).chain(none);
    removed.extend(versions.map(|(version, size)| Removed {
        store: store.to_owned(),
        key: key.to_owned(),
        version,
        size,
        what: what.to_owned(),
    }));
    Ok(())
}

fn certificate(context: &Context<'_>, it: Recording, trash: Trash, objects: Vec<Removed>) -> Certificate {
    Certificate {
        recording: it.id,
        name: it.name,
        title: it.title,
        version: it.version,
        digest: it.digest,
        accepted_at: it.accepted_at,
        recorded_at: it.recorded_at,
        rule: trash.rule,
        reason: trash.reason,
        by: trash.by,
        trashed_at: trash.at,
        purged_at: context.library.now(),
        objects,
    }
}
