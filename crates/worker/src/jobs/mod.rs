//! One effect a file. Each says what triggers it, what it reads and writes, and what makes it safe to repeat.

mod archive;
mod backup;
mod cold;
mod convert;
mod drill;
mod evict;
mod export;
mod feed;
mod follow;
pub(crate) mod good;
mod lifecycle;
mod mix;
mod notify;
mod probe;
mod publish;
mod purge;
mod relocate;
mod repair;
mod seek;
mod source;
mod tag;
mod verify;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use catalog::Claim;
use domain::{Action, Failure, Outcome, Progress, Recording, RecordingId, Way};
use policy::{Place, Protocol};
use tokio::sync::watch;

use crate::{Library, retry, runner::Stop};

/// What a job has at hand.
pub(crate) struct Context<'a> {
    pub library: &'a Library,
    pub claim: &'a Claim,
    pub recording: Recording,
    /// Private to this job; made empty before, removed after.
    pub work: Work,
    pub progress: &'a watch::Sender<Option<Progress>>,
}

pub(crate) async fn perform(
    library: &Library,
    claim: &Claim,
    read: Option<Recording>,
    progress: &watch::Sender<Option<Progress>>,
) -> Result<Outcome, Stop> {
    let spec = &claim.job.spec;
    if claim.job.attempts > retry::MAX_ATTEMPTS {
        return Err(Failure::permanent(format!(
            "handed out {} times and never came to an outcome: it may be what kills the worker",
            claim.job.attempts
        ))
        .into());
    }
    let recording = match read {
        Some(recording) => recording,
        None => library.recording(spec.recording).await.map_err(|e| Failure::temporary(format!("{e:#}")))?,
    };
    if recording.version != spec.version {
        return Err(
            Failure::permanent("the recording was replaced by a newer version; its own jobs follow").into()
        );
    }
    let work = Work::make(library.scratch.join(spec.id.to_string()))?;
    let context = Context { library, claim, recording, work, progress };
    match act(&context, &spec.action).await {
        Err(Stop::Failed(failure)) => Err(cold::considered(&context, failure).await.into()),
        done => done,
    }
}

async fn act(context: &Context<'_>, action: &Action) -> Result<Outcome, Stop> {
    match action {
        Action::Probe => probe::perform(context).await,
        Action::Convert { preset } => convert::perform(context, preset).await,
        Action::Mix(mix) => mix::perform(context, mix).await,
        Action::Backup { store } => backup::perform(context, store).await,
        Action::Tag { add } => tag::perform(add),
        Action::Archive { class, by: Way::Now, again } => archive::perform(context, class, *again).await,
        Action::Archive { class, by: Way::Lifecycle, again } => {
            lifecycle::perform(context, class, *again).await
        }
        Action::Look { .. } => archive::look(context).await,
        Action::Withdraw { .. } => lifecycle::withdraw(context).await,
        Action::Restore { speed, days, .. } => archive::restore(context, *speed, *days).await,
        Action::Awaken { asked, look } => archive::awaken(context, *asked, *look).await,
        Action::Move { store, keep_ms, .. } => {
            relocate::perform(context, store, Duration::from_millis(*keep_ms)).await
        }
        Action::Evict { store, .. } => evict::perform(context, store).await,
        Action::Verify { store, .. } => verify::perform(context, store).await,
        Action::Drill { store, .. } => drill::perform(context, store).await,
        Action::Seek { rendition, made } => seek::perform(context, rendition, *made).await,
        Action::Repair { store, .. } => repair::perform(context, store).await,
        Action::Purge { life } => purge::perform(context, *life).await,
        Action::Export(export) => export::perform(context, export).await,
        Action::Notify { rule, severity, subject } => notify::perform(context, rule, *severity, subject),
    }
}

/// Bytes of scratch disk that an action takes: what has to be fetched, and about as much again where something is made.
pub(crate) fn disk(library: &Library, action: &Action, recording: Option<&Recording>) -> u64 {
    let source = recording.map_or(0, |r| {
        let there = library.stores.get(&r.store).ok().zip(storage::Key::foreign(&r.key).ok());
        let fetched = there.is_some_and(|(store, key)| store.local_path(&key).is_none());
        if fetched { r.digest.size } else { 0 }
    });
    match action {
        Action::Probe => source,
        // A copy is elsewhere, most often.
        Action::Drill { .. } => recording.map_or(0, |r| r.digest.size),
        Action::Convert { .. } => source + recording.map_or(0, |r| r.digest.size),
        // The tracks' sizes are not at hand here; a grid is about as large as they are together.
        Action::Mix(mix) => mix.tracks.len() as u64 * MIX_TRACK,
        // rsync reads files, and nothing that flows. A rendition is smaller, or nearly always.
        Action::Export(export) if is_rsync(library, &export.to) => source,
        _ => 0,
    }
}

fn is_rsync(library: &Library, store: &str) -> bool {
    let place = library.policy.stores().get(store).and_then(|store| store.place.as_ref());
    matches!(place, Some(Place::Remote(remote)) if remote.protocol == Protocol::Rsync)
}

/// An hour of one participant, as browsers record it.
const MIX_TRACK: u64 = 512 << 20;

/// Has a job's source at hand before there is room for the job, if it is small enough to be only kept, and if it would not
/// flow. Trouble with it is the job's to meet.
pub(crate) async fn prefetch(library: Arc<Library>, id: RecordingId, action: Action) {
    let Ok(recording) = library.recording(id).await else { return };
    let flows = match (&action, recording.media()) {
        (Action::Convert { preset }, Some(facts)) => media::copies(preset, facts),
        (Action::Convert { .. } | Action::Probe, _) => false,
        _ => return,
    };
    if !flows && library.fetched.may_keep(recording.digest.size) {
        let _ = source::local(&library, &recording).await;
    }
}

impl Context<'_> {
    /// Promise 5: a worker whose lease was lost writes nothing more.
    pub(crate) async fn still_ours(&self) -> Result<(), Stop> {
        match self.library.catalog.holds(self.claim, self.library.now()).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Stop::Lost),
            Err(e) => Err(Failure::temporary(format!("cannot confirm the lease: {e}")).into()),
        }
    }

    pub(crate) fn report(&self) -> impl Fn(Progress) + Send + Sync + '_ {
        |progress| {
            self.progress.send_replace(Some(progress));
        }
    }
}

/// A private directory that goes with the job, however it ends.
pub(crate) struct Work(PathBuf);

impl Work {
    fn make(path: PathBuf) -> Result<Self, Failure> {
        let failed = |e: std::io::Error| {
            Failure::temporary(format!(
                "cannot make the work directory {}: {e}; free some space",
                path.display()
            ))
        };
        match std::fs::remove_dir_all(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
            _ => std::fs::create_dir_all(&path).map_err(failed)?,
        }
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
