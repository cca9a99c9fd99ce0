use domain::{Outcome, Rendition, RenditionFile};
use storage::Put;

use super::Context;
use crate::{Point, keys, library::storage_failure, runner::Stop};

/// Moves a finished, checked output into the library's store and describes it.
///
/// Promise 6: no output is visible before it is complete and checked. The store shows each file at once and whole;
/// the catalog shows the rendition when all of its files are there.
pub(crate) async fn rendition(context: &Context<'_>, name: &str, made: media::Made) -> Result<Outcome, Stop> {
    context.library.steps.at(Point::JobMade);
    let store = context.library.home()?;
    let (id, job) = (context.recording.id, context.claim.job.spec.id);
    let mut files = Vec::with_capacity(made.files.len());
    for file in &made.files {
        context.still_ours().await?;
        let key = keys::rendition(id, name, job, file.role, &file.extension);
        let (meta, digest) =
            store.adopt(&key, &file.path, Put::default()).await.map_err(|e| storage_failure(&e))?;
        files.push(RenditionFile {
            role: file.role,
            store: store.name().to_owned(),
            key: meta.key.to_string(),
            digest,
        });
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
