use domain::{Failure, Outcome, Preset};
use media::Made;
use tracing::info;

use super::{Context, feed, publish, source};
use crate::{library::storage_failure, runner::Stop};

/// Makes one rendition.
///
/// Triggered by: a rule's `convert`. Reads: the source. Writes: the rendition's files, under keys derived from this
/// job's id. Safe to repeat: the same job writes the same keys, and nothing appears before it is checked.
pub(crate) async fn perform(context: &Context<'_>, preset: &Preset) -> Result<Outcome, Stop> {
    let made = make(context, preset).await?;
    publish::rendition(context, &preset.name, made).await
}

async fn make(context: &Context<'_>, preset: &Preset) -> Result<Made, Stop> {
    let media = &context.library.media;
    let (work, report) = (context.work.path(), context.report());
    let probe = context.recording.probe.as_ref();
    let probe = probe.ok_or_else(|| Failure::temporary("not probed yet; the probe comes first"))?;
    if let Some(feed) = feed::flowing(context, preset).await? {
        let source = media::Source { path: feed.path(), probe };
        match media.convert(work, &source, preset, &report, None).await {
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
    Ok(media.convert(work, &source, preset, &report, None).await?)
}
