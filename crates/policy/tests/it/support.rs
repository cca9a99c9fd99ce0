//! Small recordings to decide about.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Action, AudioFacts, Decision, Digest, Dynamic, Facts, Hasher, Kind, MediaFacts, Probe, Recording,
    RecordingId, SessionTrack, State, StreamFacts, StreamKind, Timestamp, Track, Usage, Verdict, VideoFacts,
};
use policy::Policy;

pub const HOUR: i64 = 3_600_000;
pub const DAY: i64 = 24 * HOUR;
/// 2026-06-01T00:00:00Z
pub const ACCEPTED: Timestamp = Timestamp(1_780_272_000_000);

pub fn policy(rules: &str) -> Policy {
    let text = format!("version: 1\nstores: {{ replica: {{ url: /mnt/replica }} }}\nrules:\n{rules}");
    policy::parse(&text).unwrap_or_else(|problems| panic!("{problems}"))
}

pub fn default_policy() -> Policy {
    policy::parse(policy::DEFAULT).unwrap_or_else(|problems| panic!("{problems}"))
}

pub fn decide(policy: &Policy, facts: &Facts, now: Timestamp) -> Decision {
    policy::decide(policy, facts, &Usage::default(), now)
}

pub fn labels(decision: &Decision) -> Vec<String> {
    let mut labels: Vec<String> = decision.jobs.iter().map(|j| j.action.label()).collect();
    labels.sort();
    labels
}

pub fn digest(content: &[u8]) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(content);
    hasher.finish()
}

pub fn recording(kind: Kind, name: &str) -> Recording {
    Recording {
        id: RecordingId::derive(&[name.as_bytes()]),
        kind,
        name: name.into(),
        title: name.into(),
        store: policy::LIBRARY.into(),
        key: format!("sources/{name}"),
        version: "v1".into(),
        digest: Digest { size: 5_000_000, ..digest(name.as_bytes()) },
        accepted_at: ACCEPTED,
        recorded_at: None,
        tags: BTreeSet::new(),
        fields: Default::default(),
        session: None,
        tracks: Vec::new(),
        probe: None,
        state: State::Accepted,
        reason: String::new(),
        custody: domain::Custody::default(),
        revision: 1,
    }
}

pub fn facts(recording: Recording) -> Facts {
    Facts {
        recording,
        renditions: Vec::new(),
        copies: Vec::new(),
        done: BTreeSet::new(),
        parked: BTreeMap::new(),
        tracks: Vec::new(),
    }
}

pub fn probed(name: &str, probe: Probe) -> Facts {
    let mut facts = facts(recording(Kind::Recording, name));
    facts.recording.probe = Some(probe);
    facts
}

pub fn good(media: MediaFacts) -> Probe {
    Probe { verdict: Verdict::Good, facts: Some(media) }
}
pub fn damaged(media: MediaFacts) -> Probe {
    Probe {
        verdict: Verdict::Damaged { reason: "It stops after 4 of 10 minutes.".into() },
        facts: Some(media),
    }
}
pub fn unsupported() -> Probe {
    Probe { verdict: Verdict::Unsupported { reason: "This is a PDF.".into() }, facts: None }
}

pub fn video_and_sound() -> MediaFacts {
    media("video/mp4", vec![video(0), audio(1)])
}
pub fn silent_video() -> MediaFacts {
    media("video/mp4", vec![video(0)])
}
pub fn sound() -> MediaFacts {
    media("audio/mpeg", vec![audio(0)])
}

pub fn session(tracks: Vec<(&str, Option<Probe>)>) -> Facts {
    let mut facts = facts(recording(Kind::Session, "call/session.json"));
    for (name, probe) in tracks {
        let mut track = recording(Kind::Track, name);
        track.probe = probe;
        facts.tracks.push(SessionTrack { track: manifest_track(name), recording: Some(track) });
    }
    facts.recording.tracks = facts.tracks.iter().map(|t| t.track.clone()).collect();
    facts
}

pub fn missing(facts: &mut Facts, name: &str) {
    facts.tracks.push(SessionTrack { track: manifest_track(name), recording: None });
    facts.recording.tracks.push(manifest_track(name));
}

pub fn manifest_track(name: &str) -> Track {
    Track { name: name.into(), participant: name.into(), offset_ms: 0, leave_ms: None }
}

/// Everything that is asked for is recorded as done.
pub fn all_done(facts: &mut Facts, decision: &Decision) {
    for job in &decision.jobs {
        if let Action::Tag { add } = &job.action {
            facts.recording.tags.extend(add.iter().cloned());
        }
        facts.done.insert(job.id);
    }
}

/// A verified copy of the source.
pub fn copy_in(facts: &Facts, store: &str) -> domain::Copy {
    domain::Copy {
        recording: facts.recording.id,
        store: store.into(),
        key: facts.recording.key.clone(),
        version: facts.recording.version.clone(),
        digest: facts.recording.digest,
        verified_at: ACCEPTED,
        bad: None,
        until: None,
    }
}

fn media(media_type: &str, streams: Vec<StreamFacts>) -> MediaFacts {
    MediaFacts {
        format: "mov,mp4,m4a,3gp,3g2,mj2".into(),
        media_type: media_type.into(),
        duration_ms: 600_000,
        header_duration_ms: Some(600_000),
        bit_rate: 1_000_000,
        streams,
        claimed_created: None,
        claimed_title: None,
    }
}

fn video(index: u32) -> StreamFacts {
    let video = VideoFacts {
        width: 1920,
        height: 1080,
        rotation: 0,
        sar: (1, 1),
        pixel_format: "yuv420p".into(),
        bit_depth: 8,
        dynamic: Dynamic::Sdr,
        frame_rate: (30, 1),
        variable_frame_rate: false,
        interlaced: false,
        keyframe_interval_ms: Some(2000),
        closed_gop: true,
        constant_resolution: true,
        monotonic_dts: true,
        simple_edit_list: true,
        alpha: false,
    };
    StreamFacts { video: Some(video), ..stream(index, StreamKind::Video, "h264") }
}

fn audio(index: u32) -> StreamFacts {
    let audio = AudioFacts { sample_rate: 48_000, channels: 2 };
    StreamFacts { audio: Some(audio), ..stream(index, StreamKind::Audio, "aac") }
}

fn stream(index: u32, kind: StreamKind, codec: &str) -> StreamFacts {
    StreamFacts {
        index,
        kind,
        codec: codec.into(),
        profile: None,
        language: None,
        title: None,
        default: true,
        start_ms: 0,
        duration_ms: 600_000,
        packets: 18_000,
        bit_rate: 1_000_000,
        video: None,
        audio: None,
    }
}

/// Takes in every example: a block whose first line has its `#` right before a word or a dash.
pub fn without_comments(text: &str) -> String {
    let mut out = String::new();
    let mut example = false;
    for line in text.lines() {
        let body = line.trim_start();
        match body.strip_prefix('#') {
            Some(rest) => {
                example |= rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '-');
                let indent = &line[..line.len() - body.len()];
                if example {
                    out.push_str(indent);
                    out.push_str(rest);
                } else {
                    out.push_str(line);
                }
            }
            None => {
                example = false;
                out.push_str(line);
            }
        }
        out.push('\n');
    }
    out
}

/// A finished rendition of so many bytes.
pub fn rendition(facts: &Facts, name: &str, media: MediaFacts, bytes: u64) -> domain::Rendition {
    let file = domain::RenditionFile {
        role: domain::Role::Media,
        store: facts.recording.store.clone(),
        key: format!("{name}.bin"),
        digest: Digest { size: bytes, ..digest(name.as_bytes()) },
    };
    domain::Rendition {
        recording: facts.recording.id,
        name: name.into(),
        job: domain::JobId::derive(&[name.as_bytes()]),
        files: vec![file],
        facts: Some(media),
        choices: Vec::new(),
        partial: None,
        made_at: ACCEPTED,
    }
}

/// A picture of that height, 16:9.
pub fn video_of(height: u32) -> MediaFacts {
    let mut media = video_and_sound();
    let video = media.streams[0].video.as_mut().unwrap();
    (video.width, video.height) = (height * 16 / 9, height);
    media
}
