use domain::{Failure, Outcome, Output, Preset, Role};
use media::Made;
use tracing::info;

use super::{Context, feed, follow::Follow, publish, source};
use crate::{LIBRARY_STORE, keys, library::storage_failure, runner::Stop};

/// Makes one rendition.
///
/// Triggered by: a rule's `convert`. Reads: the source. Writes: the rendition's files, under keys derived from this
/// job's id. Safe to repeat: the same job writes the same keys, and nothing appears before it is checked.
pub(crate) async fn perform(context: &Context<'_>, preset: &Preset) -> Result<Outcome, Stop> {
    let follow = following(context, preset)?;
    match make(context, preset, follow.as_ref()).await {
        Ok(made) => publish::rendition(context, &preset.name, made, follow).await,
        Err(stop) => {
            if let Some(follow) = follow {
                follow.give_up().await;
            }
            Err(stop)
        }
    }
}

async fn make(context: &Context<'_>, preset: &Preset, follow: Option<&Follow>) -> Result<Made, Stop> {
    let media = &context.library.media;
    let (work, report) = (context.work.path(), context.report());
    let making = follow.map(Follow::making);
    let probe = context.recording.probe.as_ref();
    let probe = probe.ok_or_else(|| Failure::temporary("not probed yet; the probe comes first"))?;
    if let Some(feed) = feed::flowing(context, preset).await? {
        let source = media::Source { path: feed.path(), probe };
        match media.convert(work, &source, preset, &report, making).await {
            Ok(made) => match feed.trouble().await {
                None => return Ok(made),
                // Whatever came out is short, and nothing is wrong with the recording.
                Some(trouble) => return Err(storage_failure(&trouble).into()),
            },
            Err(failure) => match feed.trouble_so_far() {
                None => info!(reason = %failure, "not from a pipe; once more from a file"),
                Some(trouble) => return Err(storage_failure(&trouble).into()),
            },
        }
    }
    let local = source::local(context.library, &context.recording).await?;
    let source = media::Source { path: local.path(), probe };
    Ok(media.convert(work, &source, preset, &report, making).await?)
}

/// The output's way into the store while it is made, where the store is not a folder into which it moves in the end.
fn following(context: &Context<'_>, preset: &Preset) -> Result<Option<Follow>, Failure> {
    let (Output::Video { container, .. } | Output::Audio { container, .. }) = &preset.output else {
        return Ok(None);
    };
    let (id, job) = (context.recording.id, context.claim.job.spec.id);
    let key = keys::rendition(id, &preset.name, job, Role::Media, container.extension());
    let store = context.library.stores.shared(LIBRARY_STORE)?;
    Ok(store.local_path(&key).is_none().then(|| Follow::start(store, key)))
}
