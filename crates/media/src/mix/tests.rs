use domain::{MixTrack, RecordingId, Tenths};

use super::*;
use crate::argv::shown;
use crate::plan::samples;

fn webrtc() -> Probe {
    let mut facts = samples::facts();
    facts.header_duration_ms = None;
    facts.streams[0].codec = "vp8".into();
    facts.streams[1].codec = "opus".into();
    facts.streams[1].audio.as_mut().unwrap().channels = 1;
    let video = facts.streams[0].video.as_mut().unwrap();
    (video.variable_frame_rate, video.width, video.height) = (true, 640, 360);
    Probe { verdict: Verdict::Good, facts: Some(facts) }
}

fn track(name: &str, offset_ms: u64, leave_ms: Option<u64>) -> MixTrack {
    MixTrack {
        recording: RecordingId::derive(&[name.as_bytes()]),
        version: "1".into(),
        // Inert: it reaches no command line.
        participant: format!("{name}'; [x]drawtext=textfile=/etc/passwd"),
        offset_ms,
        leave_ms,
    }
}

fn spec(tracks: Vec<MixTrack>) -> MixSpec {
    MixSpec { preset: samples::mp4(720), layout: Layout::Grid, loudness: Some(Tenths(-160)), tracks }
}

fn inputs<'a>(probe: &'a Probe, spec: &MixSpec) -> Vec<MixInput<'a>> {
    spec.tracks
        .iter()
        .map(|track| MixInput { path: Path::new("/nowhere"), probe, track: track.clone() })
        .collect()
}

#[test]
fn whole_command_lines() {
    let spec = spec(vec![track("a", 0, None), track("b", 1500, Some(9000)), track("c", 4000, None)]);
    let probe = webrtc();
    let inputs = inputs(&probe, &spec);
    let plan = MixPlan::new(&inputs, &spec).unwrap();
    let picture = plan.picture.as_ref().unwrap();
    let mut lines = Vec::new();
    for (number, segment) in picture.segments.iter().enumerate() {
        let tiles: Vec<_> = picture.tiles.iter().filter(|t| segment.inputs.contains(&t.input)).collect();
        lines.push(shown(&compose::segment(segment, number, &tiles, picture, true, None).unwrap()));
    }
    lines.push(shown(&compose::indexed(&picture.tiles[1])));
    lines.push(shown(&sound::measure(plan.voices.as_ref().unwrap())));
    lines.push(shown(&sound::mixed(
        plan.voices.as_ref().unwrap(),
        Some("LOUDNESS"),
        plan.container,
        &plan.voices_file(),
    )));
    lines.push(shown(&join(&plan, &plan.output())));
    lines.push(compose::list(&picture.segments, picture.rate));
    let all = lines.join("\n");
    assert!(!all.contains("drawtext"), "a participant's name is never part of a command line");
    insta::assert_snapshot!("session", all);
}

/// Nothing is lost in silence: tracks that are missing, unreadable or damaged are named.
#[test]
fn what_is_missing_is_said() {
    let spec = spec(vec![track("a", 0, None), track("b", 0, None), track("c", 0, None), track("d", 0, None)]);
    let good = webrtc();
    let bad = Probe { verdict: Verdict::Unsupported { reason: "It is text.".into() }, facts: None };
    let hurt = Probe { verdict: Verdict::Damaged { reason: "It ends early.".into() }, ..webrtc() };
    let mut inputs = inputs(&good, &spec);
    inputs.remove(3);
    inputs[1].probe = &bad;
    inputs[2].probe = &hurt;
    let plan = MixPlan::new(&inputs, &spec).unwrap();
    assert_eq!(
        plan.partial.as_deref(),
        Some(
            "Not the whole session: track 4 is missing; track 2 is left out: It is text; \
             track 3 is damaged: It ends early."
        )
    );
    assert_eq!(plan.picture.as_ref().unwrap().tiles.len(), 2);
}

/// Only tracks with a picture get tiles; without any, the mix is sound alone in the preset's container.
#[test]
fn tracks_without_a_picture_get_no_tile() {
    let spec = spec(vec![track("a", 0, None), track("b", 0, None)]);
    let mut silent = webrtc();
    silent.facts.as_mut().unwrap().streams.remove(0);
    let inputs = inputs(&silent, &spec);
    let plan = MixPlan::new(&inputs, &spec).unwrap();
    assert!(plan.picture.is_none());
    assert_eq!(plan.voices.as_ref().unwrap().inputs.len(), 2);
}

#[test]
fn a_crowd_is_refused_with_a_number() {
    let spec = spec((0..40).map(|n| track(&n.to_string(), 0, None)).collect());
    let probe = webrtc();
    let inputs = inputs(&probe, &spec);
    let refused = MixPlan::new(&inputs, &spec).err().unwrap();
    assert!(refused.message.starts_with("40 pictures at one time"), "{refused}");
}
