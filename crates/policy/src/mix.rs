use domain::{Facts, Layout, MixSpec, MixTrack, Preset, SessionTrack, State, Tenths, Timestamp, Verdict};
use std::time::Duration;

/// How long a session waits for tracks that its manifest names, from its acceptance. Then it is mixed from
/// what there is; a track that comes later makes another mix.
pub const SESSION_PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// What can be mixed of a session now.
pub(crate) fn mix(
    preset: &Preset,
    layout: Layout,
    loudness: Option<Tenths>,
    facts: &Facts,
    now: Timestamp,
) -> Mixing {
    let patience_ends = facts.recording.accepted_at + SESSION_PATIENCE;
    let patient = now < patience_ends;
    let (mut usable, mut without, mut waits) = (Vec::new(), Vec::new(), Vec::new());
    let mut missing = false;
    for track in &facts.tracks {
        let name = &track.track.name;
        match standing(track, layout) {
            Track::Usable(mix_track) => usable.push(mix_track),
            Track::LeftOut(why) => without.push(format!("track {name} is left out: {why}")),
            Track::Unprobed => waits.push(format!("track {name} to be probed")),
            Track::Missing if patient => {
                missing = true;
                waits.push(format!("track {name} of the session to arrive"));
            }
            Track::Missing => without.push(format!("track {name} did not arrive within 24 hours")),
        }
    }
    if !waits.is_empty() {
        return Mixing::Waits { what: waits.join(" and "), until: missing.then_some(patience_ends) };
    }
    if usable.is_empty() {
        return Mixing::Impossible(match without.is_empty() {
            true => "the session names no tracks".into(),
            false => format!("no track of the session can be mixed: {}", without.join("; ")),
        });
    }
    Mixing::Mix(MixSpec { preset: preset.clone(), layout, loudness, tracks: usable }, without)
}

pub(crate) enum Mixing {
    /// The mix, and what is missing from it.
    Mix(MixSpec, Vec<String>),
    /// What for, and when to wait no longer.
    Waits {
        what: String,
        until: Option<Timestamp>,
    },
    Impossible(String),
}

enum Track {
    Usable(MixTrack),
    LeftOut(String),
    Unprobed,
    Missing,
}

fn standing(track: &SessionTrack, layout: Layout) -> Track {
    let Some(recording) = &track.recording else { return Track::Missing };
    let Some(probe) = &recording.probe else {
        // A track that fails without a probe failed in probing; anything else may still be probed.
        return match recording.state {
            State::Failed if recording.reason.is_empty() => Track::LeftOut("it could not be probed".into()),
            State::Failed => Track::LeftOut(format!("it could not be probed ({})", recording.reason)),
            _ => Track::Unprobed,
        };
    };
    if let Verdict::Unsupported { reason } = &probe.verdict {
        return Track::LeftOut(format!("it is unsupported ({reason})"));
    }
    let picture = probe.facts.as_ref().is_some_and(|m| m.video().is_some());
    let sound = probe.facts.as_ref().is_some_and(|m| m.main_audio().is_some());
    match layout {
        Layout::AudioOnly if !sound => return Track::LeftOut("it has no sound".into()),
        Layout::Grid if !sound && !picture => return Track::LeftOut("it has no picture and no sound".into()),
        _ => {}
    }
    let domain::Track { participant, offset_ms, leave_ms, .. } = &track.track;
    Track::Usable(MixTrack {
        recording: recording.id,
        version: recording.version.clone(),
        participant: participant.clone(),
        offset_ms: *offset_ms,
        leave_ms: *leave_ms,
    })
}
