//! What tests of whole catalogs have in common: the smallest decision, and the smallest outcome of it.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::time::Duration;

use catalog::Settle;
use domain::{
    Action, Decision, JobSpec, Lane, NewRecording, Outcome, Probe, RecordingId, State, Timestamp, Verdict,
};

pub const TTL: Duration = Duration::from_secs(60);

pub fn probe_of(id: RecordingId, version: &str) -> JobSpec {
    job_of(id, version, Action::Probe)
}

pub fn job_of(id: RecordingId, version: &str, action: Action) -> JobSpec {
    JobSpec {
        id: action.job_id(id, version),
        recording: id,
        version: version.into(),
        action,
        lane: Lane::Bulk,
        rule: "intake".into(),
        reason: "a test asks for it".into(),
    }
}

pub fn asking_for(jobs: Vec<JobSpec>, id: RecordingId, revision: i64) -> Settle {
    let decision = Decision {
        jobs,
        waits: vec![],
        state: State::Processing,
        reason: String::new(),
        due_at: None,
        offers: vec![],
    };
    Settle { id, revision, decision, alert: None }
}

pub fn probed() -> Outcome {
    Outcome::Probed { probe: Probe { verdict: Verdict::Good, facts: None } }
}

/// A session that names these, of the suite's making otherwise.
pub fn session(name: &str, tracks: &[String]) -> NewRecording {
    let tracks = tracks
        .iter()
        .map(|name| domain::Track {
            name: name.clone(),
            participant: format!("who is {name}"),
            offset_ms: 0,
            leave_ms: None,
        })
        .collect();
    NewRecording { kind: domain::Kind::Session, tracks, ..catalog::contract::recording(name) }
}

pub fn later(seconds: u64) -> Timestamp {
    catalog::contract::T0 + Duration::from_secs(seconds)
}
