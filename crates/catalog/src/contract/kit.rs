use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use domain::{
    Action, Certificate, Copy, Crc64, Decision, DeletionLimit, Digest, Facts, Job, JobSpec, Kind, Lane,
    MediaFacts, NewRecording, Outcome, Output, Preset, Probe, Recording, RecordingId, Rendition,
    RenditionFile, Role, Sha256, State, Timestamp, Track, Trash, Verdict,
};

use crate::{Catalog, Change, Changed, Claim, Deciding, Result, Settle, Settled, Trashed, Trashing};

/// When the suite takes place.
pub const T0: Timestamp = Timestamp(1_790_000_000_000);

pub(super) const TTL: Duration = Duration::from_secs(60);

pub(super) fn later(seconds: u64) -> Timestamp {
    T0 + Duration::from_secs(seconds)
}

/// As different as their texts.
pub fn sha256(text: &str) -> Sha256 {
    let mut hasher = domain::Hasher::new();
    hasher.update(text.as_bytes());
    hasher.finish().sha256
}

pub(super) fn digest(text: &str, size: u64) -> Digest {
    let sha256 = sha256(text);
    let crc64 = Crc64(u64::from_be_bytes(sha256.0[..8].try_into().expect("eight of thirty-two")));
    Digest { size, sha256, crc64 }
}

/// A recording of 1,000 bytes that come from its name, accepted at [`T0`].
pub fn recording(name: &str) -> NewRecording {
    NewRecording {
        id: RecordingId::derive(&[b"contract", name.as_bytes()]),
        kind: Kind::Recording,
        name: name.into(),
        title: name.into(),
        store: "library".into(),
        key: format!("sources/{name}"),
        version: sha256(name).to_string(),
        digest: digest(name, 1_000),
        accepted_at: T0,
        recorded_at: None,
        tags: BTreeSet::new(),
        fields: Default::default(),
        session: None,
        tracks: Vec::new(),
    }
}

pub(super) fn session(name: &str, tracks: &[(&str, &str)]) -> NewRecording {
    let tracks = tracks
        .iter()
        .map(|(name, participant)| Track {
            name: (*name).into(),
            participant: (*participant).into(),
            offset_ms: 1_500,
            leave_ms: None,
        })
        .collect();
    NewRecording { kind: Kind::Session, tracks, ..recording(name) }
}

pub(super) fn tags(tags: &[&str]) -> BTreeSet<String> {
    tags.iter().map(|t| (*t).to_owned()).collect()
}

pub(super) async fn accept(catalog: &dyn Catalog, it: &NewRecording) -> Recording {
    let accepted = catalog.accept(std::slice::from_ref(it), T0).await.expect("accepts");
    accepted.into_iter().next().expect("one for one").recording
}

pub(super) async fn facts(catalog: &dyn Catalog, id: RecordingId) -> Facts {
    catalog.facts(id).await.expect("reads").expect("is there")
}

pub(super) async fn get(catalog: &dyn Catalog, id: RecordingId) -> Recording {
    catalog.get(id).await.expect("reads").expect("is there")
}

pub(super) async fn job(catalog: &dyn Catalog, id: domain::JobId) -> Job {
    catalog.job(id).await.expect("reads").expect("is there")
}

pub(super) fn probe_of(it: &Recording) -> JobSpec {
    spec(it, Action::Probe, Lane::Bulk)
}

/// Has something made.
pub fn making() -> Action {
    let output = Output::Waveform { width: 640, height: 64 };
    Action::Convert { preset: Preset { name: "waveform".into(), output } }
}

pub(super) fn backup_of(it: &Recording, store: &str) -> JobSpec {
    spec(it, Action::Backup { store: store.into() }, Lane::Bulk)
}

pub(super) fn spec(it: &Recording, action: Action, lane: Lane) -> JobSpec {
    JobSpec {
        id: action.job_id(it.id, &it.version),
        recording: it.id,
        version: it.version.clone(),
        action,
        lane,
        rule: "intake".into(),
        reason: "the suite asks for it".into(),
    }
}

pub(super) fn processing(jobs: Vec<JobSpec>) -> Decision {
    decided(State::Processing, jobs)
}

pub(super) fn decided(state: State, jobs: Vec<JobSpec>) -> Decision {
    Decision { jobs, waits: Vec::new(), state, reason: "so decided".into(), due_at: None, offers: Vec::new() }
}

/// Settles on the facts as they are.
pub(super) async fn settle(
    catalog: &dyn Catalog,
    id: RecordingId,
    decision: Decision,
    now: Timestamp,
) -> Settled {
    let revision = get(catalog, id).await.revision;
    let settled =
        catalog.settle(&[Settle { id, revision, decision, alert: None }], "p", now).await.expect("settles");
    settled.into_iter().next().expect("one for one")
}

/// An outcome alone, for cases that look at nothing but what it is itself.
#[async_trait]
pub trait Record {
    /// [`conclude`](Catalog::conclude)d with decisions that are not taken over: whom it concerns is dirty then.
    async fn record(&self, claim: &Claim, outcome: &Outcome, now: Timestamp) -> Result<()>;
}

#[async_trait]
impl<C: Catalog + ?Sized> Record for C {
    async fn record(&self, claim: &Claim, outcome: &Outcome, now: Timestamp) -> Result<()> {
        let on_other_facts = |facts: &Facts| Settle {
            id: facts.recording.id,
            revision: facts.recording.revision - 1,
            decision: decided(facts.recording.state, vec![]),
            alert: None,
        };
        let by = Deciding { policy: "p", decide: &on_other_facts };
        self.conclude(claim, outcome, &by, now).await.map(drop)
    }
}

/// To be settled on the recording as it is.
#[cfg(all(test, feature = "postgres"))]
pub fn asking_for_a_probe(it: &Recording) -> Settle {
    Settle { id: it.id, revision: it.revision, decision: processing(vec![probe_of(it)]), alert: None }
}

/// A recording with one pending probe.
pub(super) async fn with_probe(catalog: &dyn Catalog, name: &str) -> (Recording, JobSpec) {
    let it = accept(catalog, &recording(name)).await;
    let spec = probe_of(&it);
    settle(catalog, it.id, processing(vec![spec.clone()]), T0).await;
    (get(catalog, it.id).await, spec)
}

pub(super) async fn claim(catalog: &dyn Catalog, job: &JobSpec, worker: &str, now: Timestamp) -> Claim {
    catalog.claim(job.id, worker, now, TTL).await.expect("claims").expect("is free")
}

pub(super) fn probed(title: &str) -> Outcome {
    Outcome::Probed {
        probe: Probe {
            verdict: Verdict::Good,
            facts: Some(MediaFacts {
                format: "mov,mp4".into(),
                media_type: "video/mp4".into(),
                duration_ms: 61_000,
                header_duration_ms: None,
                bit_rate: 1_000,
                streams: Vec::new(),
                claimed_created: None,
                claimed_title: Some(title.into()),
            }),
        },
    }
}

pub(super) fn rendered(claim: &Claim, name: &str, bytes: &str, size: u64) -> Outcome {
    let spec = &claim.job.spec;
    Outcome::Rendered {
        rendition: Rendition {
            recording: spec.recording,
            name: name.into(),
            job: spec.id,
            files: vec![RenditionFile {
                role: Role::Media,
                store: "outputs".into(),
                key: format!("renditions/{bytes}"),
                digest: digest(bytes, size),
            }],
            facts: None,
            choices: Vec::new(),
            partial: None,
            made_at: T0,
        },
    }
}

pub(super) fn copied(claim: &Claim, store: &str, size: u64) -> Outcome {
    let spec = &claim.job.spec;
    Outcome::Copied {
        copy: Copy {
            recording: spec.recording,
            store: store.into(),
            key: "copy".into(),
            version: spec.version.clone(),
            digest: digest("copy", size),
            verified_at: T0,
            bad: None,
            until: None,
        },
    }
}

/// No limit at all.
pub(super) const ANY: DeletionLimit = DeletionLimit { permille: 1_000, floor: u64::MAX, bytes: None };

pub(super) fn trash_until(now: Timestamp, until: Timestamp) -> Trash {
    Trash {
        at: now,
        until,
        rule: "old".into(),
        reason: "the suite has it go".into(),
        by: "suite".into(),
        purging: None,
    }
}

/// Into the trash, as they are, until 100 s.
pub(super) async fn trash_all(
    catalog: &dyn Catalog,
    all: &[Recording],
    limit: &DeletionLimit,
    now: Timestamp,
) -> Trashed {
    let trash = trash_until(now, later(100));
    let items: Vec<_> =
        all.iter().map(|r| Trashing { id: r.id, revision: r.revision, trash: trash.clone() }).collect();
    catalog.trash(&items, limit, now).await.expect("answers")
}

pub(super) async fn change(
    catalog: &dyn Catalog,
    id: RecordingId,
    change: &Change,
    now: Timestamp,
) -> Changed {
    catalog.custody(&[id], change, "suite", now).await.expect("answers").remove(0)
}

pub(super) fn hold(name: &str, reason: &str) -> Change {
    Change::Hold { name: name.into(), reason: reason.into() }
}

pub(super) fn purged(it: &Recording, now: Timestamp) -> Outcome {
    let trash = trash_until(T0, later(100));
    Outcome::Purged {
        certificate: Certificate {
            recording: it.id,
            name: it.name.clone(),
            title: it.title.clone(),
            version: it.version.clone(),
            digest: it.digest,
            accepted_at: it.accepted_at,
            recorded_at: it.recorded_at,
            rule: trash.rule,
            reason: trash.reason,
            by: trash.by,
            trashed_at: trash.at,
            purged_at: now,
            objects: Vec::new(),
        },
    }
}

/// All that is to be decided, over all pages.
pub(super) async fn dirty(catalog: &dyn Catalog, now: Timestamp) -> BTreeSet<RecordingId> {
    let (mut all, mut after) = (BTreeSet::new(), None);
    loop {
        let page = catalog.to_decide(now, after, 100).await.expect("reads");
        let Some(last) = page.last() else { return all };
        after = Some(*last);
        all.extend(page);
    }
}

/// What is handed over now.
pub(super) async fn offered(catalog: &dyn Catalog, lane: Lane, now: Timestamp) -> Vec<domain::JobId> {
    catalog.offer(lane, now, 99, None).await.expect("offers")
}
