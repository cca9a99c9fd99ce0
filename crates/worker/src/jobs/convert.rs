use domain::{Failure, Outcome, Preset};

use super::{Context, publish, source};
use crate::runner::Stop;

/// Makes one rendition.
///
/// Triggered by: a rule's `convert`. Reads: the source. Writes: the rendition's files, under keys derived from this
/// job's id. Safe to repeat: the same job writes the same keys, and nothing appears before it is checked.
pub(crate) async fn perform(context: &Context<'_>, preset: &Preset) -> Result<Outcome, Stop> {
    let probe = context.recording.probe.as_ref();
    let probe = probe.ok_or_else(|| Failure::temporary("not probed yet; the probe comes first"))?;
    let local = source::local(context.library, &context.recording).await?;
    let source = media::Source { path: local.path(), probe };
    let made = context.library.media.convert(context.work.path(), &source, preset, &context.report()).await?;
    publish::rendition(context, &preset.name, made).await
}
