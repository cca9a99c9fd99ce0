//! A recording for tests.

use domain::{Custody, Digest, Facts, Hasher, Kind, Recording, RecordingId, State};

pub(crate) fn digest(size: u64) -> Digest {
    Digest { size, ..Hasher::new().finish() }
}

pub(crate) fn facts(name: &str) -> Facts {
    let recording = Recording {
        id: RecordingId::derive(&[name.as_bytes()]),
        kind: Kind::Recording,
        name: name.into(),
        title: "Weekly call: Ana & <Bo>".into(),
        store: "recordings".into(),
        key: "3k/x/source.webm".into(),
        version: "v".into(),
        digest: digest(3),
        accepted_at: "2026-03-02T10:00:00Z".parse().unwrap(),
        recorded_at: Some("2026-03-01T09:30:00Z".parse().unwrap()),
        tags: ["call", "legal"].map(str::to_owned).into(),
        fields: serde_json::from_str(r#"{"case":"A-17"}"#).expect("fields"),
        session: None,
        tracks: Vec::new(),
        probe: None,
        state: State::Ready,
        reason: String::new(),
        custody: Custody::default(),
        revision: 1,
    };
    Facts {
        recording,
        renditions: Vec::new(),
        copies: Vec::new(),
        done: Default::default(),
        parked: Default::default(),
        tracks: Vec::new(),
    }
}
