use domain::{Failure, Outcome, Recording, Rendition, Timestamp};
use storage::ErrorKind;

use super::Context;
use crate::{
    library::{Stores, storage_failure, stored_key},
    runner::Stop,
};

/// Looks for a rendition's files, and has the catalog forget it where one is gone: then what made it is asked for again.
///
/// Triggered by: the daily comparison of stores with the catalog. Reads: what the store says of each file. Writes: nothing but
/// its outcome. Safe to repeat: of what was made anew meanwhile it says nothing.
pub(crate) async fn perform(context: &Context<'_>, name: &str, made: Timestamp) -> Result<Outcome, Stop> {
    let library = context.library;
    let renditions = library.catalog.renditions(context.recording.id).await;
    let renditions = renditions.map_err(|e| Failure::temporary(e.to_string()))?;
    let Some(it) = renditions.into_iter().find(|r| r.name == name && r.made_at == made) else {
        return Ok(Outcome::Present);
    };
    let Some(lost) = lost(&library.stores, &it).await? else { return Ok(Outcome::Present) };
    is_mounted(&library.stores, &context.recording, &it).await?;
    Ok(Outcome::Missed { rendition: it.name, job: it.job, lost })
}

/// What is not as it was made, as a clause.
async fn lost(stores: &Stores, it: &Rendition) -> Result<Option<String>, Failure> {
    for file in &it.files {
        let key = stored_key(&file.key)?;
        match stores.get(&file.store)?.head(&key).await {
            Ok(meta) if meta.size == file.digest.size => {}
            Ok(meta) => {
                let (is, was) = (meta.size, file.digest.size);
                return Ok(Some(format!("{key} in {} has {is} bytes and was made with {was}", file.store)));
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Ok(Some(format!("{key} is not in {} any more", file.store)));
            }
            Err(e) => return Err(storage_failure(&e)),
        }
    }
    Ok(None)
}

/// An empty folder where a disk is not mounted has nothing of anything: that is no loss, and nothing is to be made into it.
async fn is_mounted(stores: &Stores, recording: &Recording, it: &Rendition) -> Result<(), Failure> {
    if !it.files.iter().any(|file| file.store == recording.store) {
        return Ok(());
    }
    match stores.get(&recording.store)?.head(&stored_key(&recording.key)?).await {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == ErrorKind::NotFound => Err(Failure::temporary(format!(
            "neither `{}` nor the source itself is in store `{}`: see whether all of it is mounted",
            it.name, recording.store
        ))),
        Err(e) => Err(storage_failure(&e)),
    }
}
