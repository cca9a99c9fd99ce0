use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use catalog::JobFilter;
use domain::{
    Action, Arrival, Companion, Digest, ExportSpec, ExportedFile, Facts, Failure, Hasher, JobState, Kind,
    Leaving, MediaFacts, Outcome, Progress, Role, State, Timestamp,
};
use tokio::time::Instant;
use transfer::{Delivered, Destination, ErrorKind, How, Name, Source, Stored};

use super::Context;
use crate::{
    Point,
    exports::{
        Counted, checked,
        describe::{self, Subject},
        failure,
        parcel::{self, Item, Parcel},
    },
    library::stored_key,
    runner::Stop,
};

/// Brings the source or a rendition to a place that is not ours, with what travels along.
///
/// Triggered by: a rule's `export`, or `videorec export`. Reads: the files that leave, from the home or else from a good copy.
/// Writes: the destination's files, each of them whole or not at all, under names that follow from the recording alone.
/// Safe to repeat: what is there already, with the same bytes, is not sent again; what was cut goes on where it broke off, where the
/// protocol can. A destination whose hours are over is left in peace: the job is given back until they begin again.
pub(crate) async fn perform(context: &Context<'_>, export: &ExportSpec) -> Result<Outcome, Stop> {
    let library = context.library;
    let facts = library.catalog.facts(context.recording.id).await;
    let facts = facts.map_err(|e| Failure::temporary(e.to_string()))?;
    let facts = facts.ok_or_else(|| Failure::permanent("the recording is gone"))?;
    if facts.recording.custody.is_trashed() || facts.recording.state == State::Deleted {
        return Err(Failure::permanent("it is in the trash: nothing of it leaves").into());
    }
    let parcel = Parcel::of(&facts, export, library.now())?;
    let to = match library.destinations.get(&export.to).await {
        Ok(to) => to,
        Err(e) => return Err(failure(&e).into()),
    };
    let participant = participant(context, &facts).await?;
    let shipment = Shipment {
        context,
        export,
        to: &*to,
        bytes: parcel.bytes().max(1),
        done: Arc::default(),
        since: Instant::now(),
    };
    let files = match shipment.all(&facts, &parcel, participant.as_deref()).await {
        Ok(files) => files,
        Err(Trouble::Stop(stop)) => return Err(stop),
        Err(Trouble::There(error)) => {
            library.destinations.learn(&export.to, &error).await;
            return Err(failure(&error).into());
        }
    };
    library.steps.at(Point::ExportSent);
    Ok(Outcome::Exported { to: export.to.clone(), files, at: library.now() })
}

/// Why it goes no further.
enum Trouble {
    Stop(Stop),
    /// With the destination, or with what is to be sent.
    There(transfer::Error),
}

impl<T: Into<Stop>> From<T> for Trouble {
    fn from(stop: T) -> Self {
        Self::Stop(stop.into())
    }
}

/// Whose track it is.
async fn participant(context: &Context<'_>, facts: &Facts) -> Result<Option<String>, Failure> {
    let it = &facts.recording;
    let Some(session) = it.session.filter(|_| it.kind == Kind::Track) else { return Ok(None) };
    let session = context.library.catalog.get(session).await;
    let session = session.map_err(|e| Failure::temporary(e.to_string()))?;
    let track = session.and_then(|s| s.tracks.into_iter().find(|t| t.name == it.name));
    Ok(track.map(|t| t.participant))
}

struct Shipment<'a> {
    context: &'a Context<'a>,
    export: &'a ExportSpec,
    to: &'a dyn Destination,
    /// That are to leave, and that have.
    bytes: u64,
    done: Arc<AtomicU64>,
    since: Instant,
}

impl Shipment<'_> {
    async fn all(
        &self,
        facts: &Facts,
        parcel: &Parcel,
        participant: Option<&str>,
    ) -> Result<Vec<ExportedFile>, Trouble> {
        let it = &facts.recording;
        let rules = self.to.limits().names;
        let first = self.item(&parcel.first, &parcel.name(it, self.export, &rules)).await?;
        let name = first.name.clone();
        let mut files = vec![exported(first, parcel.first.role, &parcel.first.digest)];
        if files[0].arrival == Arrival::Skipped {
            // What goes with it would describe another file.
            return Ok(files);
        }
        let names = parcel.beside(&name, &rules);
        let sprite = parcel.others.iter().zip(&names).find(|(item, _)| item.role == Role::Sprite);
        let sprite = sprite.map(|(_, name)| name.file().to_owned());
        for (item, name) in parcel.others.iter().zip(&names) {
            let (delivered, digest) = match (item.role, &sprite) {
                (Role::Tiles, Some(sprite)) => {
                    let tiles = self.tiles(item, sprite).await?;
                    self.written(tiles, name).await?
                }
                _ => (self.item(item, name).await?, item.digest),
            };
            files.push(exported(delivered, item.role, &digest));
        }
        let subject = Subject {
            facts,
            rendition: self.export.what.name(),
            media: self.media(facts),
            digest: &parcel.first.digest,
            file: name.file(),
            participant,
        };
        for (text, ending) in self.companions(&subject) {
            let (delivered, digest) = self.written(text, &parcel::companion(&name, ending, &rules)).await?;
            files.push(exported(delivered, Role::Metadata, &digest));
        }
        Ok(files)
    }

    fn companions(&self, subject: &Subject<'_>) -> Vec<(Bytes, &'static str)> {
        let with = &self.export.with;
        let mut all = Vec::new();
        if with.contains(&Companion::Json) {
            all.push((describe::json(subject), "json"));
        }
        if with.contains(&Companion::DublinCore) {
            all.push((describe::dublin_core(subject), "dc.xml"));
        }
        all
    }

    fn media<'f>(&self, facts: &'f Facts) -> Option<&'f MediaFacts> {
        match &self.export.what {
            Leaving::Source => facts.recording.media(),
            Leaving::Rendition { name, .. } => {
                facts.renditions.iter().find(|r| r.name == *name).and_then(|r| r.facts.as_ref())
            }
        }
    }

    /// From the first place that has its bytes.
    async fn item(&self, item: &Item, name: &Name) -> Result<Delivered, Trouble> {
        let mut trouble = Trouble::from(Failure::permanent(
            "no good copy of it is known; `videorec copies` shows where it was, then `videorec retry`",
        ));
        for place in &item.places {
            if place.cold {
                if let Some(since) = self.is_awaited().await? {
                    return Err(Stop::Later(look_again(since, self.context.library.now())).into());
                }
                trouble = Trouble::from(Failure::permanent(format!(
                    "it is archived; `videorec restore {}` makes it readable, then `videorec retry`",
                    self.context.recording.id.short()
                )));
                continue;
            }
            let store = match self.context.library.stores.shared(&place.store) {
                Ok(store) => store,
                Err(e) => {
                    trouble = e.into();
                    continue;
                }
            };
            let source = Stored {
                store,
                key: stored_key(&place.key)?,
                version: place.version.clone(),
                size: item.digest.size,
            };
            match self.send(&source, &item.digest, name).await {
                Err(Trouble::There(e)) if e.kind() == ErrorKind::Source => trouble = Trouble::There(e),
                sent => return sent,
            }
        }
        Err(trouble)
    }

    /// Since when the source is to come back from its archive, if that was asked for.
    async fn is_awaited(&self) -> Result<Option<Timestamp>, Trouble> {
        let it = &self.context.recording;
        if let Some(restore) = it.custody.place.cold.as_ref().and_then(|cold| cold.restore.as_ref()) {
            return Ok(Some(restore.asked_at));
        }
        let states = vec![JobState::Pending, JobState::Running];
        let filter = JobFilter { states, recording: Some(it.id), ..JobFilter::default() };
        let jobs = self.context.library.catalog.jobs(&filter, 100).await;
        let jobs = jobs.map_err(|e| Failure::temporary(e.to_string()))?;
        let restore = jobs.iter().find(|job| matches!(job.spec.action, Action::Restore { .. }));
        Ok(restore.map(|job| job.created_at))
    }

    /// A file of our own making.
    async fn written(&self, text: Bytes, name: &Name) -> Result<(Delivered, Digest), Trouble> {
        let mut hasher = Hasher::new();
        hasher.update(&text);
        let digest = hasher.finish();
        Ok((self.send(&text, &digest, name).await?, digest))
    }

    /// Tiles name their sprite, which has another name there.
    async fn tiles(&self, item: &Item, sprite: &str) -> Result<Bytes, Trouble> {
        let place = item.places.first().ok_or_else(|| Failure::permanent("the tiles have no place"))?;
        let store = self.context.library.stores.get(&place.store)?;
        let text = storage::read_all(store, &stored_key(&place.key)?, MAX_TILES).await;
        let text = text.map_err(|e| crate::library::storage_failure(&e))?;
        let sprite = percent_encoding::utf8_percent_encode(sprite, percent_encoding::NON_ALPHANUMERIC);
        Ok(String::from_utf8_lossy(&text).replace("sprite.jpg#xywh=", &format!("{sprite}#xywh=")).into())
    }

    /// Promise 5: one whose lease was lost begins no further file. And within the destination's hours only: one that can go on
    /// where it was is broken off when they end; where a protocol cannot, the file may be finished.
    async fn send(&self, source: &dyn Source, digest: &Digest, name: &Name) -> Result<Delivered, Trouble> {
        let library = self.context.library;
        let destinations = &library.destinations;
        if let Some(opens) = destinations.opens(&self.export.to, library.now()) {
            return Err(Stop::Later(opens).into());
        }
        self.context.still_ours().await?;
        let before = self.done.load(Ordering::Relaxed);
        let counted = self.counted(source);
        let how = How {
            conflict: self.export.on_conflict,
            verify: self.export.verify,
            modified: Some(self.context.recording.dated()),
        };
        let delivering = transfer::deliver(self.to, name, &counted, digest, &how);
        let closes = destinations.closes(&self.export.to, library.now());
        let closes = closes.filter(|_| self.to.limits().resumes).map(|at| at.since(library.now()));
        let delivered = tokio::select! {
            delivered = delivering => delivered,
            () = over(closes) => {
                let opens = destinations.opens(&self.export.to, library.now());
                return Err(Stop::Later(opens.unwrap_or(library.now() + Duration::from_secs(60))).into());
            }
        };
        // What was there already was not read.
        self.done.store(before + source.size(), Ordering::Relaxed);
        delivered.map_err(Trouble::There)
    }

    fn counted<'s>(&'s self, source: &'s dyn Source) -> Counted<'s> {
        let halfway = AtomicBool::new(false);
        let (before, half) = (self.done.load(Ordering::Relaxed), source.size() / 2);
        let (done, whole, since) = (self.done.clone(), self.bytes, self.since);
        let (progress, steps) = (self.context.progress.clone(), self.context.library.steps.clone());
        Counted::new(source, move |sent| {
            done.store(before + sent, Ordering::Relaxed);
            progress.send_replace(Some(so_far((before + sent).min(whole), whole, since.elapsed())));
            if half > 0 && sent >= half && !halfway.swap(true, Ordering::Relaxed) {
                steps.at(Point::ExportMidway);
            }
        })
    }
}

/// The least and the most until it is looked again whether a source has come back from its archive. What comes back has its exports
/// done at once: this is for the rest, of which there may be a million for two days.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_secs(10 * 60), Duration::from_secs(6 * 60 * 60));

/// When, of one that is awaited since then: after as long again.
fn look_again(since: Timestamp, now: Timestamp) -> Timestamp {
    now + now.since(since).clamp(LOOK_AGAIN.0, LOOK_AGAIN.1)
}
/// Bytes of a WebVTT file with a few thousand tiles.
const MAX_TILES: u64 = 4 << 20;

async fn over(after: Option<Duration>) {
    match after {
        Some(after) => tokio::time::sleep(after).await,
        None => std::future::pending().await,
    }
}

/// What is read back afterwards is not in it: the whole is done when the outcome is there.
fn so_far(sent: u64, of: u64, took: Duration) -> Progress {
    let permille = u16::try_from(u128::from(sent) * 1000 / u128::from(of.max(1))).unwrap_or(1000).min(999);
    let left = (sent > 0).then(|| took.as_millis() * u128::from(of - sent) / u128::from(sent));
    Progress { permille, speed_percent: None, eta_ms: left.and_then(|ms| u64::try_from(ms).ok()) }
}

fn exported(delivered: Delivered, role: Role, digest: &Digest) -> ExportedFile {
    ExportedFile {
        name: delivered.name.as_str().to_owned(),
        role,
        digest: *digest,
        arrival: match delivered.outcome {
            transfer::Outcome::Sent => Arrival::Sent,
            transfer::Outcome::Already => Arrival::Already,
            transfer::Outcome::Skipped => Arrival::Skipped,
        },
        checked: checked(delivered.verified).to_owned(),
        sent: delivered.bytes_sent,
    }
}
