use domain::{Digest, Failure, MediaFacts, Outcome, Verdict};
use storage::ErrorKind;

use super::Context;
use crate::{
    library::{storage_failure, stored_key},
    runner::Stop,
};

/// Restores a copy as if the recording were lost: fetches all of it to the scratch disk, compares it, and sees that it plays.
///
/// Triggered by: time; each copy has its turn. Reads: the copy. Writes: nothing but its outcome.
/// Safe to repeat: what was fetched goes with the job.
/// Trouble with reaching the store says nothing of the copy: it is a failure, not a finding.
pub(crate) async fn perform(context: &Context<'_>, store: &str) -> Result<Outcome, Stop> {
    let recording = &context.recording;
    let library = context.library;
    let copies = library.catalog.copies(recording.id).await.map_err(|e| Failure::temporary(e.to_string()))?;
    let Some(copy) = copies.into_iter().find(|c| c.store == store && c.version == recording.version) else {
        return Err(Failure::permanent(format!("there is no copy in `{store}` by now")).into());
    };
    let (at, key) = (library.stores.get(store)?, stored_key(&copy.key)?);
    let drilled = |failed| Outcome::Drilled { store: store.to_owned(), at: library.now(), failed };
    let fetched = match at.head(&key).await {
        // As it is now, whoever fetched it before.
        Ok(meta) => library.fetched.get(at, &key, Some(&meta.version)).await,
        Err(e) => Err(e),
    };
    let fetched = match fetched {
        Ok(fetched) => fetched,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Changed) => {
            return Ok(drilled(Some(format!("it is not there any more ({e})"))));
        }
        Err(e) => return Err(storage_failure(&e).into()),
    };
    if let Some(failed) = differs(fetched.digest(), &recording.digest) {
        return Ok(drilled(Some(failed)));
    }
    let Some(known) = recording.media() else { return Ok(drilled(None)) };
    let probe = library.media.probe(context.work.path(), fetched.path()).await?;
    // What was damaged when it came is damaged still.
    let same = recording.probe.as_ref().is_some_and(|before| before.verdict == probe.verdict);
    let failed = match (&probe.verdict, probe.facts.as_ref()) {
        (Verdict::Good, Some(facts)) => plays_otherwise(facts, known),
        _ if same => None,
        (verdict, _) => Some(format!("what was restored does not play as it did: {verdict:?}")),
    };
    Ok(drilled(failed))
}

fn differs(found: &Digest, accepted: &Digest) -> Option<String> {
    (found != accepted).then(|| {
        format!(
            "what was restored has {} bytes with sha256 {}; {} bytes with {} were accepted",
            found.size, found.sha256, accepted.size, accepted.sha256
        )
    })
}

fn plays_otherwise(found: &MediaFacts, known: &MediaFacts) -> Option<String> {
    let same = found.media_type == known.media_type && found.duration_ms == known.duration_ms;
    (!same).then(|| {
        format!(
            "what was restored is {} of {} ms; it was {} of {} ms",
            found.media_type, found.duration_ms, known.media_type, known.duration_ms
        )
    })
}
