use std::sync::Arc;

use domain::{Digest, Failure, Outcome, Rendition, RenditionFile};
use media::{Front, MadeFile};
use storage::{ErrorKind, Key, Put};
use tracing::info;

use super::{
    Context,
    follow::{Follow, Ready},
};
use crate::{Point, keys, library::storage_failure, runner::Stop};

/// Moves a finished, checked output into the library's store and describes it. What was uploaded while it was made is
/// only shown.
///
/// Promise 6: no output is visible before it is complete and checked. The store shows each file at once and whole;
/// the catalog shows the rendition when all of its files are there.
pub(crate) async fn rendition(
    context: &Context<'_>,
    name: &str,
    made: media::Made,
    follow: Option<Follow>,
) -> Result<Outcome, Stop> {
    context.library.steps.at(Point::JobMade);
    let store = context.library.home()?.name();
    let (id, job) = (context.recording.id, context.claim.job.spec.id);
    let (mut ready, mut front) = match follow {
        Some(follow) => follow.end().await,
        None => (None, None),
    };
    let mut files = Vec::with_capacity(made.files.len());
    for file in &made.files {
        context.still_ours().await?;
        let key = keys::rendition(id, name, job, file.role, &file.extension);
        let (key, digest) = store_file(context, &key, file, ready.take(), front.take()).await?;
        files.push(RenditionFile { role: file.role, store: store.to_owned(), key: key.to_string(), digest });
        if files.len() == 1 {
            context.library.steps.at(Point::JobPublishing);
        }
    }
    context.library.steps.at(Point::JobPublished);
    Ok(Outcome::Rendered {
        rendition: Rendition {
            recording: id,
            name: name.to_owned(),
            job,
            files,
            facts: made.facts,
            choices: made.choices,
            partial: made.partial,
            made_at: context.library.now(),
        },
    })
}

/// `front`: where the file's index has to go, if the file is not with the store yet.
async fn store_file(
    context: &Context<'_>,
    key: &Key,
    file: &MadeFile,
    ready: Option<Ready>,
    front: Option<Arc<Front>>,
) -> Result<(Key, Digest), Stop> {
    if let Some(ready) = ready {
        let whole = ready.whole;
        match ready.show().await {
            Ok(meta) => return Ok((meta.key, whole)),
            // A muxer that went back behind its head: what left early is not what it wrote in the end.
            Err(e) if e.kind() == ErrorKind::Corrupt => info!(error = %e, "uploaded once more"),
            Err(e) => return Err(storage_failure(&e).into()),
        }
    }
    if let Some(front) = front {
        let path = file.path.clone();
        let moved = tokio::task::spawn_blocking(move || front.put(&path)).await;
        moved.map_err(|e| e.to_string()).and_then(|moved| moved.map_err(|e| e.to_string())).map_err(|e| {
            Failure::temporary(format!("cannot write to the work directory: {e}; free some space"))
        })?;
    }
    let stored = context.library.home()?.adopt(key, &file.path, Put::default()).await;
    let (meta, digest) = stored.map_err(|e| storage_failure(&e))?;
    Ok((meta.key, digest))
}
