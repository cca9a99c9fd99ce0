//! The leader's round for manifests: each is delivered when all of its batch has ended, and again until it is there. When some of
//! a batch is taken up again after that (`videorec retry`), another edition replaces it once all has ended anew.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use catalog::{BatchId, BatchStatus, Catalog, JobFilter};
use domain::{Alert, Conflict, JobState, Severity, Timestamp, Verify};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use transfer::{FileSource, How, Name};

use super::manifest::{Writing, Written, stem};
use crate::{Library, Point, beside::Beside};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(3);
/// Between two looks among all batches, for what the list has lost.
const ALL_EVERY: Duration = Duration::from_secs(60 * 60);
const BATCHES: u32 = 1000;
/// After the first failure to deliver; it doubles, to the second.
const FIRST: Duration = Duration::from_secs(30);
const LAST: Duration = Duration::from_secs(60 * 60);
/// Ended jobs in memory at a time.
const PAGE: u32 = 256;
/// Of batches that are to have a manifest. Whether one still is says [`bookmark`]; two who change the list in one instant may
/// lose an entry, which is found again.
const LIST: &str = "manifests";

/// Which manifests are to be delivered.
#[derive(Default)]
pub struct Manifests {
    /// A slow partner keeps the leader from nothing.
    beside: Beside,
    all: Option<Timestamp>,
}

/// What is remembered of one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
struct Wanted {
    /// From 1.
    edition: u32,
    /// It is there: nothing is to be done until one of its jobs ends once more.
    delivered: bool,
    failures: u32,
    /// Not before.
    after: Option<Timestamp>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { edition: 1, delivered: false, failures: 0, after: None }
    }
}

impl Wanted {
    async fn of(catalog: &dyn Catalog, batch: BatchId) -> Result<Option<Self>> {
        let text = catalog.bookmark(&bookmark(batch)).await?;
        Ok(text.map(|text| serde_json::from_str(&text).unwrap_or_default()))
    }

    async fn keep(&self, catalog: &dyn Catalog, batch: BatchId) -> Result<()> {
        Ok(catalog.set_bookmark(&bookmark(batch), Some(&serde_json::to_string(self)?)).await?)
    }
}

fn bookmark(batch: BatchId) -> String {
    format!("manifest:{batch}")
}

impl Manifests {
    /// To be asked for when all of a batch is ordered. Safe to repeat.
    pub async fn ask_for(catalog: &dyn Catalog, batch: BatchId) -> Result<()> {
        Wanted::default().keep(catalog, batch).await?;
        add(catalog, batch).await
    }

    /// To be asked for before the end of any job of a batch is recorded: if the manifest was delivered already it does not tell of
    /// it, and another edition is to. Safe to repeat.
    pub async fn ask_again(catalog: &dyn Catalog, batch: BatchId) -> Result<()> {
        match Wanted::of(catalog, batch).await? {
            Some(Wanted { edition, delivered: true, .. }) => {
                Wanted { edition: edition + 1, ..Wanted::default() }.keep(catalog, batch).await?;
                add(catalog, batch).await
            }
            // It will tell of it; or it is wanted by nobody.
            _ => Ok(()),
        }
    }

    /// Looks, where it is time and the last look has ended.
    pub(crate) fn turn(&mut self, library: &Arc<Library>) {
        let (now, failed) = (library.now(), "cannot look after manifests; trying again");
        let Self { beside, all: next } = self;
        beside.turn(now, EVERY, failed, || {
            let all = next.is_none_or(|next| now >= next);
            if all {
                *next = Some(now + ALL_EVERY);
            }
            let library = library.clone();
            async move { round(&library, all).await }
        });
    }
}

async fn round(library: &Library, all: bool) -> Result<()> {
    let catalog = &*library.catalog;
    if all {
        for status in catalog.batches(BATCHES).await? {
            let id = status.batch.id;
            if status.batch.verb == "export" && Wanted::of(catalog, id).await?.is_some_and(|w| !w.delivered) {
                add(catalog, id).await?;
            }
        }
    }
    for batch in list(catalog).await? {
        let Some(wanted) = Wanted::of(catalog, batch).await?.filter(|wanted| !wanted.delivered) else {
            remove(catalog, batch).await?;
            continue;
        };
        if wanted.after.is_some_and(|after| library.now() < after) || is_open(catalog, batch).await? {
            continue;
        }
        let before = tally(catalog, batch).await?;
        match deliver(library, batch, wanted.edition, before.as_ref()).await {
            Ok(None) => {
                library.steps.at(Point::ManifestDelivered);
                remove(catalog, batch).await?;
                Wanted { delivered: true, failures: 0, after: None, ..wanted }.keep(catalog, batch).await?;
                info!(batch = %batch, edition = wanted.edition, "the manifest is delivered");
                // What ended while it was on its way found it wanted still. Whatever ends from here on asks again itself.
                if is_open(catalog, batch).await? || tally(catalog, batch).await? != before {
                    Manifests::ask_again(catalog, batch).await?;
                }
            }
            Ok(Some(opens)) => Wanted { after: Some(opens), ..wanted }.keep(catalog, batch).await?,
            Err(e) => failed(library, batch, &wanted, &e).await?,
        }
    }
    Ok(())
}

/// The batch, and how many of its jobs ended in which way. Nothing: it is not among the last ones any more.
async fn tally(catalog: &dyn Catalog, batch: BatchId) -> Result<Option<BatchStatus>> {
    Ok(catalog.batches(BATCHES).await?.into_iter().find(|status| status.batch.id == batch))
}

/// Whether some of it is still to be done.
async fn is_open(catalog: &dyn Catalog, batch: BatchId) -> Result<bool> {
    let states = vec![JobState::Pending, JobState::Running];
    let filter = JobFilter { states, batch: Some(batch), ..JobFilter::default() };
    Ok(!catalog.jobs(&filter, 1).await?.is_empty())
}

async fn failed(library: &Library, batch: BatchId, wanted: &Wanted, error: &anyhow::Error) -> Result<()> {
    let (now, why) = (library.now(), format!("{error:#}"));
    let after = now + LAST.min(FIRST * 2u32.saturating_pow(wanted.failures));
    warn!(batch = %batch, error = why, again = %after, "the manifest is not delivered");
    let alert = Alert {
        key: format!("manifest/{batch}"),
        severity: Severity::Warning,
        service: "export".into(),
        subject: format!("the manifest of batch {} is not delivered", batch.short()),
        cause: why,
        next: "It is tried again until it is there, hourly at last; `videorec doctor` shows what is wrong."
            .into(),
        recording: None,
        at: now,
    };
    library.catalog.raise(&[alert]).await?;
    let wanted = Wanted { failures: wanted.failures + 1, after: Some(after), ..wanted.clone() };
    wanted.keep(&*library.catalog, batch).await
}

async fn list(catalog: &dyn Catalog) -> Result<Vec<BatchId>> {
    let text = catalog.bookmark(LIST).await?.unwrap_or_default();
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

async fn add(catalog: &dyn Catalog, batch: BatchId) -> Result<()> {
    let mut list = list(catalog).await?;
    if !list.contains(&batch) {
        list.push(batch);
        catalog.set_bookmark(LIST, Some(&serde_json::to_string(&list)?)).await?;
    }
    Ok(())
}

async fn remove(catalog: &dyn Catalog, batch: BatchId) -> Result<()> {
    let mut list = list(catalog).await?;
    list.retain(|id| *id != batch);
    let text = serde_json::to_string(&list)?;
    Ok(catalog.set_bookmark(LIST, (!list.is_empty()).then_some(&text)).await?)
}

/// Removed with its files.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Writes it anew each time, from what is recorded: delivering it twice is delivering it once. When some destination's hours are
/// over, the time when they begin.
async fn deliver(
    library: &Library,
    batch: BatchId,
    edition: u32,
    status: Option<&BatchStatus>,
) -> Result<Option<Timestamp>> {
    let folder = Folder(library.scratch.join(stem(batch)));
    std::fs::create_dir_all(&folder.0).with_context(|| format!("cannot make {}", folder.0.display()))?;
    let written = write(library, batch, edition, status, &folder).await?;
    let closed = written.to.iter().filter_map(|to| library.destinations.opens(to, library.now())).max();
    if closed.is_some() {
        return Ok(closed);
    }
    let mut trouble = Vec::new();
    for to in &written.to {
        if let Err(e) = send(library, to, &written).await {
            library.destinations.learn(to, &e).await;
            trouble.push(e.to_string());
        }
    }
    if !trouble.is_empty() {
        bail!("{}", trouble.join("; "));
    }
    Ok(None)
}

async fn write(
    library: &Library,
    batch: BatchId,
    edition: u32,
    status: Option<&BatchStatus>,
    folder: &Folder,
) -> Result<Written> {
    let mut writing = Writing::begin(&folder.0, batch, edition, status.map(|s| &s.batch))?;
    let filter = JobFilter { batch: Some(batch), ..JobFilter::default() };
    let mut after = None;
    loop {
        let page = library.catalog.ended(&filter, after, PAGE).await?;
        let Some(last) = page.last() else { return writing.end() };
        after = Some(last.seq);
        for ended in &page {
            let it = library.catalog.get(ended.job.spec.recording).await?;
            writing.add(ended, it.as_ref())?;
        }
    }
}

/// The hashes last: where they are, the rest is.
async fn send(library: &Library, to: &str, written: &Written) -> Result<(), transfer::Error> {
    let destination = library.destinations.get(to).await?;
    let how = How { conflict: Conflict::Replace, verify: Verify::Hash, modified: None };
    for (name, path, digest) in &written.files {
        let name = Name::parse(name)
            .map_err(|e| transfer::Error::new(transfer::ErrorKind::Invalid, e.to_string()))?;
        let source = FileSource::open(path).await?;
        transfer::deliver(&*destination, &name, &source, digest, &how).await?;
    }
    Ok(())
}
