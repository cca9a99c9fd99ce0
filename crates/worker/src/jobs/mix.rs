use domain::{Failure, MixSpec, Outcome};
use media::MixInput;

use super::{Context, publish, source};
use crate::runner::Stop;

/// Composes a session's tracks.
///
/// Triggered by: a rule's `mix`, once the session's tracks are there and probed. Reads: the tracks' sources.
/// Writes: the rendition's files, under keys derived from this job's id. Safe to repeat: the tracks' versions are
/// part of the id, so the same job reads the same bytes and writes the same keys.
pub(crate) async fn perform(context: &Context<'_>, mix: &MixSpec) -> Result<Outcome, Stop> {
    let mut tracks = Vec::with_capacity(mix.tracks.len());
    for track in &mix.tracks {
        let gone =
            || Failure::permanent(format!("the track of {} is no longer in the catalog", track.participant));
        let recording = context.library.catalog.get(track.recording).await;
        let recording = recording.map_err(|e| Failure::temporary(e.to_string()))?.ok_or_else(gone)?;
        if recording.version != track.version {
            return Err(Failure::permanent("a track was replaced; the session is mixed anew").into());
        }
        let probe = recording.probe.clone().ok_or_else(|| Failure::temporary("a track is not probed yet"))?;
        let local = source::local(context.library, &recording).await?;
        tracks.push((local, probe));
    }
    let inputs: Vec<MixInput> = (tracks.iter().zip(&mix.tracks))
        .map(|((local, probe), track)| MixInput { path: local.path(), probe, track: track.clone() })
        .collect();
    let made = context.library.media.mix(context.work.path(), &inputs, mix, &context.report()).await?;
    publish::rendition(context, &mix.preset.name, made, None).await
}
