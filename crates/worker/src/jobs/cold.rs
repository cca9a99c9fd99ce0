use domain::{Action, Failure, FailureKind, Recording};

use super::Context;
use crate::{
    library::{pinned, storage_failure, stored_key},
    lifecycle,
    plan::{Frozen, Prices},
};

/// What the failure of a job means, once it is seen how the sources lie that it reads. A bucket's rules move an object in their own
/// time, and the event that tells of it may come late or never: then a job meets an archive where the catalog knows of none, and
/// there is nothing in that which a person would have to mend. A look is ordered, by which the catalog learns it, and the job is
/// tried again: by then the decision that follows from the look has called it off, and has it wait for a restore or refuses it, as
/// its rule says.
///
/// Asks the store, and not the error: what failed may be a pipe's reader, or a partner's server that got no bytes.
pub(super) async fn considered(context: &Context<'_>, failure: Failure) -> Failure {
    if failure.kind == FailureKind::Temporary {
        return failure;
    }
    let sources = match sources(context).await {
        Ok(sources) => sources,
        Err(later) => return later,
    };
    for it in &sources {
        // Who cannot be asked answers with what the job has failed of.
        let Ok(Some(class)) = class_that_hinders(context, it).await else { continue };
        return look_at(context, it, &class).await.unwrap_or_else(|later| later);
    }
    failure
}

/// The recordings whose accepted bytes it reads.
async fn sources(context: &Context<'_>) -> Result<Vec<Recording>, Failure> {
    let ids: Vec<_> = match &context.claim.job.spec.action {
        Action::Mix(mix) => mix.tracks.iter().map(|track| track.recording).collect(),
        Action::Probe
        | Action::Convert { .. }
        | Action::Backup { .. }
        | Action::Archive { .. }
        | Action::Move { .. }
        | Action::Verify { .. }
        | Action::Repair { .. }
        | Action::Export(_) => vec![context.recording.id],
        _ => Vec::new(),
    };
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let it = context.library.catalog.get(id).await;
        // As it is known now: somebody may have looked since the job began.
        found.extend(it.map_err(|e| Failure::temporary(e.to_string()))?);
    }
    Ok(found)
}

/// The class that it has to be restored from before it is read, if it has to.
async fn class_that_hinders(context: &Context<'_>, it: &Recording) -> Result<Option<String>, Failure> {
    let (store, key) = (context.library.stores.get(&it.store)?, stored_key(&it.key)?);
    let version = match pinned(it) {
        Some(version) => version.to_owned(),
        None => store.head(&key).await.map_err(|e| storage_failure(&e))?.version,
    };
    let tier = store.tier(&key, &version).await.map_err(|e| storage_failure(&e))?;
    Ok((!tier.access.is_readable()).then_some(tier.class))
}

/// Has it looked at where that is news. What the job's failure is then.
async fn look_at(context: &Context<'_>, it: &Recording, class: &str) -> Result<Failure, Failure> {
    let library = context.library;
    let now = library.now();
    if it.custody.is_readable(now) {
        let look = lifecycle::look(it, now);
        let ordered = library.prompt(it, look, "jobs", "A job met it in an archive.").await;
        ordered.map_err(|e| Failure::temporary(format!("{e:#}")))?;
    } else if context.claim.batch.is_some() {
        // What a person ordered no decision calls off.
        let restore = Frozen::only(it, now).describe(&Prices::shipped());
        let id = it.id.short();
        return Ok(Failure::permanent(format!(
            "{} lies {restore}; `videorec restore {id}` makes it readable, then `videorec retry {id}`",
            it.name
        )));
    }
    Ok(Failure::temporary(format!(
        "{} lies in {class} and has to be restored before it is read; it is looked at, and what needs it waits for a restore or is \
         refused, as its rule says",
        it.name
    )))
}
