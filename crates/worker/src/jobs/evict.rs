use catalog::Evicting;
use domain::{Facts, Failure, Outcome};
use policy::Deed;
use storage::ErrorKind;

use super::{Context, good};
use crate::{
    library::{storage_failure, stored_key},
    runner::Stop,
};

/// Gives up one copy of which there are enough others.
///
/// Triggered by: a move whose time to go back is over, or a store that needs room. Reads: another copy.
/// Writes: removes one object. Safe to repeat: an object that is gone is gone.
///
/// Promise 1: the last verified copy is never removed. The policy is asked again, another good copy has to read back equal
/// now, and the transaction that gives this one up counts those that are left.
pub(crate) async fn perform(context: &Context<'_>, store: &str) -> Result<Outcome, Stop> {
    let library = context.library;
    let id = context.recording.id;
    let facts = library.catalog.facts(id).await.map_err(|e| Failure::temporary(e.to_string()))?;
    let Some(facts) = facts else { return Err(Failure::permanent("the recording is unknown by now").into()) };
    wanted(context, &facts, store)?;
    another_is_there(context, &facts, store).await?;
    let keep = library.policy.protect().copies_min.max(1);
    let copy = match library.catalog.begin_evict(context.claim, keep, library.now()).await {
        Ok(Evicting::Go(copy)) => copy,
        // Another job has it in hand, or a hold came in the last moment: what is decided then calls this off, or has it tried again.
        Ok(Evicting::Refused(why)) => return Err(Failure::temporary(format!("not evicted: {why}")).into()),
        Err(e) if e.kind() == catalog::Kind::LeaseLost => return Err(Stop::Lost),
        Err(e) => return Err(Failure::temporary(e.to_string()).into()),
    };
    let at = library.stores.get(store)?;
    at.erase(&stored_key(&copy.key)?, None).await.map_err(|e| storage_failure(&e))?;
    Ok(Outcome::Evicted { store: store.to_owned() })
}

fn wanted(context: &Context<'_>, facts: &Facts, store: &str) -> Result<(), Failure> {
    let library = context.library;
    match policy::objection(&library.policy, facts, Deed::Evict { store }, library.now()) {
        None => Ok(()),
        Some(objection) => Err(Failure::temporary(format!(
            "the copy in `{store}` stays: that waits for {}",
            objection.waits_for
        ))),
    }
}

/// At least one good copy other than this one reads back equal now: what was verified a year ago may have rotted since. Of
/// what is archived, which takes hours to read, only the presence is asked.
async fn another_is_there(context: &Context<'_>, facts: &Facts, except: &str) -> Result<(), Failure> {
    let recording = &facts.recording;
    for other in good::copies(recording, &facts.copies, except) {
        let (store, key) = (context.library.stores.get(other.store)?, stored_key(other.key)?);
        match storage::digest_of(store, &key, other.version).await {
            Ok(found) if found == recording.digest => return Ok(()),
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::Archived => match store.head(&key).await {
                Ok(meta) if meta.size == recording.digest.size => return Ok(()),
                Ok(_) => {}
                Err(e) => return Err(storage_failure(&e)),
            },
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Changed) => {}
            Err(e) => return Err(storage_failure(&e)),
        }
    }
    Err(Failure::permanent(format!(
        "no other copy of {} reads back as it was accepted: the copy in `{except}` stays; `videorec copies {}` shows them",
        recording.name,
        recording.id.short()
    )))
}
