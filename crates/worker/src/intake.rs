//! A file becomes a recording: hashed, stored, verified, known to the catalog, decided on. In this order, so that
//! at any moment a crash leaves either the file where it was or the recording where it belongs.

use std::{
    collections::BTreeSet,
    fs::{File, Metadata},
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use catalog::Known;
use domain::{Digest, Fields, Hasher, Kind, Manifest, NewRecording, RecordingId, Sha256, Timestamp};
use futures::{Stream, StreamExt as _};
use storage::{ErrorKind, Put};

use crate::{Found, Library, Point, keys, library::LIBRARY_STORE, manifest, names};

/// Files read and stored at the same time: a disk's fsync is waited for by many at once.
const CONCURRENT: usize = 16;
/// Recordings per catalog transaction.
const BATCH: usize = 256;

#[derive(Clone)]
pub struct Intake {
    library: Arc<Library>,
    options: Options,
}

/// What the person who brings files in says about them.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// When they were recorded; trusted, because it does not come from inside the file.
    pub recorded_at: Option<Timestamp>,
    pub tags: BTreeSet<String>,
    pub fields: Fields,
    /// What it is called; absent: the file's name without its extension, or as a session's manifest says.
    pub title: Option<String>,
    /// Remove each file once its stored bytes were read back equal and the catalog knows it: the inbox's way.
    pub remove: bool,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    New {
        id: RecordingId,
        bytes: u64,
        /// A recording that has the same bytes under another name.
        same_as: Option<RecordingId>,
    },
    /// The library has this file already, under this name.
    Known { id: RecordingId },
    /// Not taken, and why; the file stays where it is.
    Refused { reason: String },
}

/// Everything about a file whose bytes are in the store and whose name is not yet in the catalog.
struct Stored {
    found: Found,
    seen: Seen,
    new: NewRecording,
    same_as: Option<RecordingId>,
}

enum Prepared {
    Stored(Box<Stored>),
    Settled(Found, Taken),
}

impl Intake {
    pub fn new(library: Arc<Library>, options: Options) -> Self {
        Self { library, options }
    }

    /// Takes files in as they come, telling `on` what became of each. Memory does not grow with their number or
    /// size. An error is the library's own (catalog or store away), not a file's.
    pub async fn take(
        &self,
        files: impl Stream<Item = Found>,
        mut on: impl FnMut(&Found, &Taken),
    ) -> Result<()> {
        // Tasks of their own: a future that is not polled while a batch is accepted would keep its catalog connection,
        // and sixteen of those leave none for the batch.
        let prepare = |found| {
            let intake = self.clone();
            tokio::spawn(async move { intake.prepare(found).await })
        };
        // In their order: a manifest is accepted before its tracks, which else would be recordings for a moment.
        let prepared = files.map(prepare).buffered(CONCURRENT).ready_chunks(BATCH);
        futures::pin_mut!(prepared);
        while let Some(chunk) = prepared.next().await {
            let mut batch = Vec::with_capacity(chunk.len());
            for prepared in chunk {
                match prepared.context("taking in a file")?? {
                    Prepared::Stored(stored) => batch.push(*stored),
                    Prepared::Settled(found, taken) => on(&found, &taken),
                }
            }
            self.accept(batch, &mut on).await?;
        }
        Ok(())
    }

    /// Hashes and stores one file. Safe to repeat: its key follows from its name and bytes.
    async fn prepare(&self, found: Found) -> Result<Prepared> {
        let refused = |found: Found, reason: String| Ok(Prepared::Settled(found, Taken::Refused { reason }));
        let (seen, digest) = match off_thread({
            let path = found.path.clone();
            move || read(&path)
        })
        .await
        {
            Ok(read) => read,
            Err(e) => return refused(found, format!("cannot read it: {e}")),
        };
        let manifest = match self.manifest(&found).await {
            Ok(manifest) => manifest,
            Err(e) => return refused(found, format!("{e:#}")),
        };
        self.library.steps.at(Point::IntakeHashed);

        let id = id(&found.name, &digest.sha256);
        if self.library.catalog.get(id).await?.is_some() {
            // Known, and still there? A source that was lost from the store is healed by bringing it in again.
            if !self.is_stored(id, &found.name, &digest).await? {
                let new = self.describe(id, &found, digest, manifest);
                if let Err(e) = self.store(&found, &seen, &new).await? {
                    return refused(found, e);
                }
            }
            self.remove(&found, &seen, &keys::source(id, &found.name), &digest).await?;
            return Ok(Prepared::Settled(found, Taken::Known { id }));
        }
        let same_as = match self.library.catalog.by_digest(&digest.sha256).await? {
            Some(Known::Rendition(of, name)) => {
                let of = of.short();
                return refused(found, format!("we made this ourselves: it is `{name}` of recording {of}"));
            }
            Some(Known::Source(other)) => Some(other),
            None => None,
        };
        let new = self.describe(id, &found, digest, manifest);
        if let Err(e) = self.store(&found, &seen, &new).await? {
            return refused(found, e);
        }
        self.library.steps.at(Point::IntakeStored);
        Ok(Prepared::Stored(Box::new(Stored { found, seen, new, same_as })))
    }

    /// Whether the bytes that were accepted under this id are where they belong, as far as their number tells.
    async fn is_stored(&self, id: RecordingId, name: &str, digest: &Digest) -> Result<bool> {
        match self.library.home()?.head(&keys::source(id, name)).await {
            Ok(meta) if meta.size == digest.size => Ok(true),
            Ok(meta) => bail!(
                "{} has {} bytes in the library, but {} were accepted; move that file away, then bring this in again",
                meta.key,
                meta.size,
                digest.size
            ),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    fn describe(
        &self,
        id: RecordingId,
        found: &Found,
        digest: Digest,
        manifest: Option<Manifest>,
    ) -> NewRecording {
        let mut new = NewRecording {
            id,
            kind: Kind::Recording,
            title: names::title(&found.name),
            name: found.name.clone(),
            store: LIBRARY_STORE.to_owned(),
            key: keys::source(id, &found.name).to_string(),
            version: digest.sha256.to_string(),
            digest,
            accepted_at: self.library.now(),
            recorded_at: self.options.recorded_at,
            tags: self.options.tags.clone(),
            fields: self.options.fields.clone(),
            session: None,
            tracks: Vec::new(),
        };
        if let Some(manifest) = manifest {
            manifest::apply(manifest, &mut new);
        }
        if let Some(title) = &self.options.title {
            new.title.clone_from(title);
        }
        new
    }

    /// The manifest if this file is one; an error that says where it is wrong.
    async fn manifest(&self, found: &Found) -> Result<Option<Manifest>> {
        if !manifest::is_one(&found.name) {
            return Ok(None);
        }
        let path = found.path.clone();
        let text = off_thread(move || {
            let mut text = String::new();
            File::open(path)?.take(manifest::MAX).read_to_string(&mut text)?;
            Ok(text)
        })
        .await
        .context("cannot read the session's manifest")?;
        manifest::read(&found.name, &text).map(Some)
    }

    /// Streams the file into the store. The inner error is the file's own and refuses it.
    async fn store(&self, found: &Found, seen: &Seen, new: &NewRecording) -> Result<Result<(), String>> {
        let store = self.library.home()?;
        let key = keys::source(new.id, &new.name);
        let put = Put { if_absent: true, expected: Some(new.digest) };
        let path = found.path.clone();
        let stored = storage::put_stream(store, &key, chunks(path), put).await;
        match stored {
            Ok(_) => {}
            // A run before this one came as far as here and no further.
            Err(e) if e.kind() == ErrorKind::Exists => {
                let there = storage::digest_of(store, &key, None).await?;
                if there != new.digest {
                    bail!("{key} holds other bytes than its name says; run `videorec doctor`");
                }
            }
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                return Ok(Err("it changed while it was read; bring it in again when it is finished".into()));
            }
            Err(e) => return Err(e).with_context(|| format!("storing {}", found.path.display())),
        }
        if !seen.still(&found.path) {
            return Ok(Err("it changed while it was read; bring it in again when it is finished".into()));
        }
        Ok(Ok(()))
    }

    async fn accept(&self, batch: Vec<Stored>, on: &mut impl FnMut(&Found, &Taken)) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let library = &self.library;
        let new: Vec<NewRecording> = batch.iter().map(|s| s.new.clone()).collect();
        let accepted = library.catalog.accept(&new, library.now()).await.context("accepting recordings")?;
        library.steps.at(Point::IntakeAccepted);
        let came = new.iter().zip(&accepted).filter(|(_, accepted)| accepted.new);
        let odd: Vec<_> = came.filter_map(|(it, _)| manifest::odd_fields(&library.policy, it)).collect();
        if !odd.is_empty() {
            library.catalog.raise(&odd).await?;
        }
        let ids: Vec<RecordingId> = accepted.iter().map(|a| a.recording.id).collect();
        library.decide(&ids).await?;
        library.steps.at(Point::IntakeSettled);
        for (stored, accepted) in batch.iter().zip(&accepted) {
            let id = accepted.recording.id;
            self.remove(&stored.found, &stored.seen, &keys::source(id, &stored.new.name), &stored.new.digest)
                .await?;
            let taken = if accepted.new {
                Taken::New { id, bytes: stored.new.digest.size, same_as: stored.same_as }
            } else {
                Taken::Known { id }
            };
            on(&stored.found, &taken);
        }
        Ok(())
    }

    /// Promise 1: what we take away was read back from the store and hashed equal; and only if nobody wrote to the
    /// file since it was hashed.
    async fn remove(&self, found: &Found, seen: &Seen, key: &storage::Key, digest: &Digest) -> Result<()> {
        if !self.options.remove {
            return Ok(());
        }
        let back = storage::digest_of(self.library.home()?, key, None).await.context("reading back")?;
        if back != *digest {
            bail!(
                "{key} reads back differently than it was written: check the disk; the inbox's file is kept"
            );
        }
        if seen.still(&found.path) {
            std::fs::remove_file(&found.path)
                .with_context(|| format!("cannot remove {} from the inbox", found.path.display()))?;
        }
        self.library.steps.at(Point::IntakeRemoved);
        Ok(())
    }
}

/// The id of what comes in as a file: made of its name and bytes.
pub(crate) fn id(name: &str, sha256: &Sha256) -> RecordingId {
    RecordingId::derive(&[b"file", name.as_bytes(), &sha256.0])
}

/// A file as it was when it was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    device: u64,
    inode: u64,
    size: u64,
    modified_ns: i128,
}

impl Seen {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified_ns: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
        }
    }

    fn still(&self, path: &Path) -> bool {
        path.metadata().is_ok_and(|m| Self::of(&m) == *self)
    }
}

fn read(path: &Path) -> std::io::Result<(Seen, Digest)> {
    let mut file = File::open(path)?;
    let seen = Seen::of(&file.metadata()?);
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; usize::try_from(seen.size).unwrap_or(usize::MAX).clamp(1, storage::CHUNK)];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((seen, hasher.finish())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

/// A local file's bytes, read off the async threads.
fn chunks(path: PathBuf) -> impl Stream<Item = Result<Bytes, storage::Error>> + Send {
    let failed = |e: std::io::Error| storage::Error::new(ErrorKind::Other, format!("reading the file: {e}"));
    futures::stream::try_unfold((path, None::<File>), move |(path, file)| async move {
        let read = move || {
            let mut file = match file {
                Some(file) => file,
                None => File::open(&path)?,
            };
            let mut buffer = Vec::with_capacity(storage::CHUNK.min(file.metadata()?.len() as usize + 1));
            (&mut file).take(storage::CHUNK as u64).read_to_end(&mut buffer)?;
            Ok((buffer, path, file))
        };
        let (buffer, path, file) = off_thread(read).await.map_err(failed)?;
        Ok((!buffer.is_empty()).then(|| (Bytes::from(buffer), (path, Some(file)))))
    })
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(std::io::Error::other(e)))
}
