use domain::Outcome;

use super::{Context, source};
use crate::runner::Stop;

/// Finds out what a recording is.
///
/// Triggered by: a recording that was accepted. Reads: its bytes. Writes: nothing but its outcome.
/// Safe to repeat: it only looks.
pub(crate) async fn perform(context: &Context<'_>) -> Result<Outcome, Stop> {
    let source = source::local(context.library, &context.recording).await?;
    let probe = context.library.media.probe(context.work.path(), source.path()).await?;
    Ok(Outcome::Probed { probe })
}
