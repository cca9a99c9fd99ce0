//! What was exported with a manifest comes back: read, checked, fetched and taken in like any other file, with the title, name, tags
//! and dates that it had.

use std::{
    collections::HashSet,
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use catalog::Known;
use domain::{Arrival, Crc64, Digest, JobState, Kind, RecordingId, Role, Sha256, State};
use futures::{StreamExt as _, TryStreamExt as _};
use transfer::{Destination, Error, ErrorKind, Name, inert};

use super::manifest::{Line, Row, VERSION};
use crate::{Found, Intake, Library, Options, Taken, intake, names};

/// Bytes of one line: tags and titles, not media.
const LONGEST_LINE: usize = 1 << 20;
/// Bytes of a file of hashes.
const SUMS: u64 = 64 << 10;
/// Files fetched at the same time.
const CONCURRENT: usize = 4;
/// Times that a file is asked for, where trouble may pass by itself; the pause doubles.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// A manifest that was fetched and is whole.
pub struct Import {
    library: Arc<Library>,
    from: Arc<dyn Destination>,
    name: Name,
    folder: PathBuf,
    /// Recordings whose source is there: what was made of them is made again.
    sources: HashSet<RecordingId>,
    /// What all that is there is to be here.
    ids: HashSet<RecordingId>,
    /// Whether its hash was compared, too.
    pub hashed: bool,
}

/// A file that belongs here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The recording's name here.
    pub name: String,
    pub bytes: u64,
    /// As it lies there.
    pub file: String,
    id: RecordingId,
    sha256: Sha256,
    line: Box<Line>,
}

/// What becomes of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    New {
        id: RecordingId,
    },
    /// The library has these bytes already; nothing was fetched.
    Known {
        id: RecordingId,
    },
    Failed {
        why: String,
    },
}

impl Import {
    /// The manifests that lie there. Errors: the destination's.
    pub async fn manifests(from: &dyn Destination) -> Result<Vec<Name>, Error> {
        let is_one = |name: &Name| {
            name.folder().is_none()
                && name.file().starts_with("videorec-export-")
                && name.file().ends_with(".jsonl")
        };
        let all: Vec<_> = from.list(None).try_collect().await?;
        let mut found: Vec<_> = all.into_iter().map(|meta| meta.name).filter(is_one).collect();
        found.sort();
        Ok(found)
    }

    /// Fetches the manifest and sees that it is whole. Errors say what is wrong with it.
    pub async fn open(library: Arc<Library>, from: Arc<dyn Destination>, name: Name) -> Result<Self> {
        let folder = library.scratch.join(format!("import-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut import =
            Self { library, from, name, folder, sources: HashSet::new(), ids: HashSet::new(), hashed: false };
        let digest = transfer::fetch(&*import.from, &import.name, &import.path(), None).await?;
        import.compare(&digest).await?;
        import.look_through()?;
        Ok(import)
    }

    fn path(&self) -> PathBuf {
        self.folder.join("manifest.jsonl")
    }

    /// With the hash that lies beside it, where there is one.
    async fn compare(&mut self, digest: &Digest) -> Result<()> {
        let file = self.name.file().strip_suffix(".jsonl").unwrap_or(self.name.file());
        let sums = self.name.beside(&format!("{file}.sha256"))?;
        let Some(meta) = self.from.stat(&sums).await? else { return Ok(()) };
        if meta.size > SUMS {
            bail!("`{sums}` is no list of hashes: it has {} bytes", meta.size);
        }
        let text = transfer::collect(self.from.get(&sums, None).await?).await?;
        let text = String::from_utf8_lossy(&text);
        let said = text.lines().find_map(|line| {
            let (hash, name) = line.split_once("  ")?;
            (name == self.name.file()).then(|| hash.parse::<Sha256>().ok()).flatten()
        });
        match said {
            Some(said) if said == digest.sha256 => self.hashed = true,
            Some(said) => bail!(
                "`{}` has SHA-256 {}, `{sums}` says {said}: it was changed or cut; have it delivered again",
                self.name,
                digest.sha256
            ),
            None => bail!("`{sums}` says nothing of `{}`; name another with --manifest", self.name),
        }
        Ok(())
    }

    /// Whether it is whole, and which of its files belong here.
    fn look_through(&mut self) -> Result<()> {
        let (mut lines, mut end) = (0u64, None);
        let (mut sources, mut ids) = (HashSet::new(), HashSet::new());
        for (n, row) in rows(&self.path())?.enumerate() {
            let row = row.with_context(|| format!("`{}`, line {}", self.name, n + 1))?;
            match row {
                Row::Manifest { version: VERSION, .. } if n == 0 => {}
                Row::Manifest { version, .. } if n == 0 => {
                    bail!("`{}` is of version {version}, which this videorec does not know", self.name)
                }
                Row::File(line) if n > 0 && end.is_none() => {
                    lines += 1;
                    if line.rendition == "source" && is_there(&line) {
                        sources.insert(line.recording);
                    }
                    if let Some(item) = item(line) {
                        ids.insert(item.id);
                    }
                }
                Row::End { lines, .. } if n > 0 && end.is_none() => end = Some(lines),
                _ => {
                    bail!("`{}` is no manifest of an export: line {} does not belong there", self.name, n + 1)
                }
            }
        }
        match end {
            Some(said) if said == lines => {
                (self.sources, self.ids) = (sources, ids);
                Ok(())
            }
            Some(said) => bail!("`{}` has {lines} lines, and should have {said}: it was changed", self.name),
            None => bail!("`{}` was cut: its last line is missing; have it delivered again", self.name),
        }
    }

    /// The lines that something is to come of, a session before its tracks: the item, or why there is none.
    pub fn items(&self) -> Result<impl Iterator<Item = Result<Item, (String, String)>> + use<'_>> {
        let pass = |sessions: bool| -> Result<_> {
            let rows = rows(&self.path())?.filter_map(Result::ok);
            Ok(rows.filter_map(move |row| match row {
                Row::File(line) if (line.kind == Some(Kind::Session)) == sessions => self.wanted(line),
                _ => None,
            }))
        };
        Ok(pass(true)?.chain(pass(false)?))
    }

    fn wanted(&self, line: Box<Line>) -> Option<Result<Item, (String, String)>> {
        if !is_there(&line) {
            // A file that goes with another one, or a recording of which nothing left.
            let missing = line.role.is_none_or(|role| role == Role::Media);
            let why = line.why.as_deref().unwrap_or("it is not there");
            return missing.then(|| Err((line.name.clone(), format!("it was not exported: {why}"))));
        }
        // Companions, and what was made of a source that is here too.
        if line.role != Some(Role::Media)
            || line.rendition != "source" && self.sources.contains(&line.recording)
        {
            return None;
        }
        let name = line.name.clone();
        Some(item(line).ok_or_else(|| (name, "its line lacks a file, its size or its hash".to_owned())))
    }

    /// What the library has of it already.
    pub async fn known(&self, item: &Item) -> Result<Option<RecordingId>> {
        let catalog = &self.library.catalog;
        if let Some(it) = catalog.get(item.id).await? {
            return Ok((it.state != State::Deleted).then_some(it.id));
        }
        Ok(match catalog.by_digest(&item.sha256).await? {
            // Of two with equal bytes both belong here.
            Some(Known::Source(other)) if self.ids.contains(&other) => None,
            Some(Known::Source(other) | Known::Rendition(other, _)) => Some(other),
            None => None,
        })
    }

    /// Fetches what is not here and takes it in, telling `on` what became of each. Safe to repeat. An error is the library's own.
    pub async fn run(&self, mut on: impl FnMut(&str, &Came)) -> Result<()> {
        let mut coming = futures::stream::iter(self.items()?)
            .map(|item| async move {
                match item {
                    Ok(item) => {
                        let came = self.take(&item).await?;
                        anyhow::Ok((item.name, came))
                    }
                    Err((name, why)) => Ok((name, Came::Failed { why })),
                }
            })
            .buffered(CONCURRENT);
        while let Some((name, came)) = coming.try_next().await? {
            on(&name, &came);
        }
        Ok(())
    }

    async fn take(&self, item: &Item) -> Result<Came> {
        if let Some(id) = self.known(item).await? {
            return Ok(Came::Known { id });
        }
        let path = self.folder.join(item.id.to_string());
        if let Err(e) = self.fetch(item, &path).await {
            return Ok(Came::Failed { why: e.to_string() });
        }
        let options = Options {
            recorded_at: item.line.recorded_at,
            tags: item.line.tags.iter().cloned().collect(),
            fields: item.line.fields.clone(),
            title: Some(inert(&item.line.title).into_owned()).filter(|title| !title.is_empty()),
            remove: true,
        };
        let found = Found { path: path.clone(), name: item.name.clone() };
        let mut came = Came::Failed { why: "nothing became of it".into() };
        let intake = Intake::new(self.library.clone(), options);
        let taken = intake.take(futures::stream::iter([found]), |_, taken| {
            came = match taken {
                Taken::New { id, .. } => Came::New { id: *id },
                Taken::Known { id } => Came::Known { id: *id },
                Taken::Refused { reason } => Came::Failed { why: reason.clone() },
            };
        });
        taken.await?;
        let _ = std::fs::remove_file(&path);
        Ok(came)
    }

    async fn fetch(&self, item: &Item, path: &Path) -> Result<(), Error> {
        let name = Name::parse(&item.file).map_err(|e| Error::new(ErrorKind::Invalid, e.to_string()))?;
        // What is compared is the size and the SHA-256.
        let expected = Digest { size: item.bytes, sha256: item.sha256, crc64: Crc64(0) };
        for attempt in 1.. {
            match transfer::fetch(&*self.from, &name, path, Some(&expected)).await {
                Err(e) if e.is_temporary() && attempt < ATTEMPTS => {
                    tokio::time::sleep(PAUSE * 2u32.pow(attempt - 1)).await;
                }
                done => return done.map(|_| ()),
            }
        }
        unreachable!("the last attempt answers")
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn is_there(line: &Line) -> bool {
    line.state == JobState::Done && matches!(line.arrival, Some(Arrival::Sent | Arrival::Already))
}

/// Labels come from a stranger's file.
fn item(line: Box<Line>) -> Option<Item> {
    let (file, bytes, sha256) = (line.file.clone()?, line.bytes?, line.sha256?);
    let mut name = names::label(Path::new(&line.name));
    if line.rendition != "source" {
        let extension = names::extension(&file).map(|e| format!(".{e}")).unwrap_or_default();
        let stem = name.len() - names::extension(&name).map_or(0, |e| e.len() + 1);
        name.replace_range(stem.., &extension);
    }
    if name.is_empty() {
        name = names::label(Path::new(&file));
    }
    let id = intake::id(&name, &sha256);
    Some(Item { name, bytes, file, id, sha256, line })
}

fn rows(path: &Path) -> Result<impl Iterator<Item = Result<Row>> + use<>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut reader = BufReader::new(file);
    Ok(std::iter::from_fn(move || {
        let mut line = Vec::new();
        // No more of it than a line may have.
        let read = (&mut reader).take(LONGEST_LINE as u64 + 1).read_until(b'\n', &mut line);
        match read {
            Ok(0) => None,
            Ok(n) if n > LONGEST_LINE => {
                Some(Err(anyhow::anyhow!("it is longer than any line of a manifest")))
            }
            Ok(_) => Some(serde_json::from_slice(&line).context("it cannot be read")),
            Err(e) => Some(Err(e.into())),
        }
    })
    .fuse())
}
