//! The comparison of every store with the catalog: what recordings say that they have, and what is there. It counts, and people
//! are told; nothing is mended or removed by it.
//!
//! Keys that we make begin with their recording's id, so that a listing comes in the order of the recordings, and the two are
//! read side by side. What lies under a key that a stranger chose is asked for one by one; whether anything else lies there,
//! the walk over the watched bucket sees (`buckets.rs`). And where we send files to, or have nothing, what others have is theirs.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use alerts::drift::{self, Compared};
use anyhow::{Context as _, Result};
use catalog::JobFilter;
use domain::{Alert, Facts, JobState, RecordingId, State, Timestamp};
use futures::{StreamExt as _, stream::FuturesUnordered};
use serde::{Deserialize, Serialize};
use storage::{ErrorKind, Key, Meta, Store};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::{
    LIBRARY_STORE, Library, keys,
    watch::{remember, remembered},
};

/// From the beginning of one comparison to the next, and what is given to an object to become somebody's, or to an upload to be
/// finished.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Between two looks whether it is time.
const LOOK: Duration = Duration::from_secs(60);
/// Facts in memory at a time.
const PAGE: u32 = 500;
/// Objects listed at a time, S3's most.
const LISTED: usize = 1000;
/// Objects asked for together.
const LOOKS: usize = 8;
/// Running jobs looked at; where more run, unfinished uploads wait.
const JOBS: u32 = 10_000;
/// Who compares says so at least this often, or another takes over where it was.
const LEAD: Duration = Duration::from_secs(300);
const DRIFT: &str = "drift";

/// It runs beside the leader's other work: a store that does not answer keeps nobody waiting.
#[derive(Default)]
pub(crate) struct Drift {
    after: Option<Timestamp>,
    running: Option<JoinHandle<()>>,
}

/// For whoever leads next.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Known {
    begun_at: Option<Timestamp>,
    /// The comparison that is not over.
    pass: Option<Pass>,
    /// Of the last one of each store.
    found: BTreeMap<String, Compared>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Pass {
    after: Option<RecordingId>,
    stores: BTreeMap<String, Compared>,
    /// Stores that could not be read: of them this pass says nothing.
    silent: BTreeSet<String>,
}

impl Drift {
    pub(crate) fn turn(&mut self, library: &Arc<Library>) {
        let now = library.now();
        if self.after.is_some_and(|after| now < after)
            || self.running.as_ref().is_some_and(|running| !running.is_finished())
        {
            return;
        }
        self.after = Some(now + LOOK);
        let library = library.clone();
        self.running = Some(tokio::spawn(async move {
            if let Err(e) = library.compare().await {
                warn!(
                    error = format!("{e:#}"),
                    "comparing stores with the catalog was cut short; it goes on later"
                );
            }
        }));
    }
}

impl Drop for Drift {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
        }
    }
}

/// What the last comparison of each store says is wrong.
pub(crate) async fn wrong(library: &Library, now: Timestamp) -> Result<Vec<Alert>> {
    let Known { found, .. } = remembered(library, DRIFT).await?;
    let still = found.iter().filter(|(store, _)| library.stores.get(store).is_ok());
    Ok(still.flat_map(|(store, found)| drift::apart(store, found, now)).collect())
}

impl Library {
    /// Once a day. Memory is bounded by a page; one that was cut off goes on where it was.
    async fn compare(&self) -> Result<()> {
        let mut known: Known = remembered(self, DRIFT).await?;
        let now = self.now();
        let is_due = known.pass.is_some() || known.begun_at.is_none_or(|at| now.since(at) >= DAY);
        if !is_due || !self.catalog.lead(DRIFT, &self.worker, now, LEAD).await? {
            return Ok(());
        }
        let mut pass = match known.pass.take() {
            Some(pass) => pass,
            None => {
                known.begun_at = Some(now);
                self.sweep_uploads(now).await?;
                Pass::default()
            }
        };
        let ours = self.ours().await?;
        let mut listings: BTreeMap<String, Listing> = BTreeMap::new();
        for store in self.stores.iter() {
            listings.insert(store.name().to_owned(), Listing::after(pass.after));
        }
        loop {
            let page = self.catalog.facts_page(pass.after, PAGE).await.context("reading a page of facts")?;
            let is_last = page.len() < PAGE as usize;
            let last = page.last().map(|facts| facts.recording.id);
            let upto = last.filter(|_| !is_last).map(end_of);
            for store in self.stores.iter() {
                let name = store.name();
                let Some(listing) = listings.get_mut(name).filter(|_| !pass.silent.contains(name)) else {
                    continue;
                };
                let compared = pass.stores.entry(name.to_owned()).or_default();
                let listing = ours.contains(name).then_some(listing);
                if let Err(e) = self.compare_page(store, &page, listing, upto.as_deref(), compared).await {
                    warn!(store = name, error = format!("{e:#}"), "not compared with the catalog today");
                    pass.stores.remove(name);
                    pass.silent.insert(name.to_owned());
                }
            }
            if is_last {
                break;
            }
            pass.after = last;
            known.pass = Some(pass);
            remember(self, DRIFT, &known).await?;
            pass = known.pass.take().expect("put there above");
            if !self.catalog.lead(DRIFT, &self.worker, self.now(), LEAD).await? {
                return Ok(());
            }
        }
        known.found.extend(pass.stores);
        remember(self, DRIFT, &known).await
    }

    /// The stores in which nobody but us has anything.
    async fn ours(&self) -> Result<BTreeSet<String>> {
        let usage = self.catalog.usage().await.context("reading what each store holds")?;
        let is_ours = |name: &str| {
            let is_watched = self.watched.iter().any(|w| w.store == name);
            let holds = name == LIBRARY_STORE || usage.bytes.get(name).is_some_and(|bytes| *bytes > 0);
            holds && !is_watched && !self.policy.sends_to(name)
        };
        Ok(self.stores.iter().map(|s| s.name().to_owned()).filter(|name| is_ours(name)).collect())
    }

    /// What each of these recordings has in the store, and what the store has up to the last of them, where it is to be listed.
    async fn compare_page(
        &self,
        store: &dyn Store,
        page: &[Facts],
        listing: Option<&mut Listing>,
        upto: Option<&str>,
        compared: &mut Compared,
    ) -> Result<()> {
        let mut expected = BTreeMap::new();
        for facts in page {
            expected
                .extend(objects(facts, store.name()).map(|(key, size)| (key, (facts.recording.id, size))));
        }
        compared.expected += expected.len() as u64;
        if let Some(listing) = listing {
            while let Some(meta) = listing.next(store, upto).await? {
                compared.objects += 1;
                match expected.remove(meta.key.as_str()) {
                    Some((_, size)) if size == meta.size => {}
                    Some((id, size)) => {
                        note(compared, self.look_again(store, meta.key.as_str(), id, size).await?);
                    }
                    None => self.look_for_owner(store, &meta, compared).await?,
                }
            }
        }
        // What was not listed, or is not to be.
        let mut looks = FuturesUnordered::new();
        for (key, (id, size)) in expected {
            if looks.len() >= LOOKS
                && let Some(lost) = looks.next().await
            {
                note(compared, lost?);
            }
            looks.push(self.look_again(store, key, id, size));
        }
        while let Some(lost) = looks.next().await {
            note(compared, lost?);
        }
        Ok(())
    }

    /// It may have been moved, replaced or purged since its facts were read.
    async fn look_again(
        &self,
        store: &dyn Store,
        key: &str,
        id: RecordingId,
        size: u64,
    ) -> Result<Option<Lost>> {
        let parsed = Key::foreign(key)?;
        let size_now = match store.head(&parsed).await {
            Ok(meta) => Some(meta.size),
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(e.into()),
        };
        if size_now == Some(size) {
            return Ok(None);
        }
        let Some(facts) = self.catalog.facts(id).await? else { return Ok(None) };
        let is_lost =
            objects(&facts, store.name()).any(|(known, size)| known == key && Some(size) != size_now);
        Ok(is_lost.then(|| Lost {
            name: format!("{} ({}): {parsed}", facts.recording.name, id.short()),
            is_there: size_now.is_some(),
            since: facts.recording.accepted_at,
        }))
    }

    /// Whose folder it is in says its key; what is young may become somebody's in a moment.
    async fn look_for_owner(&self, store: &dyn Store, meta: &Meta, compared: &mut Compared) -> Result<()> {
        if self.now().since(meta.modified) < DAY {
            return Ok(());
        }
        if let Some(id) = keys::owner(&meta.key)
            && let Some(facts) = self.catalog.facts(id).await?
            && facts.recording.state != State::Deleted
        {
            let is_known = objects(&facts, store.name()).any(|(key, _)| key == meta.key.as_str());
            compared.former += u64::from(!is_known);
            return Ok(());
        }
        compared.unowned.add(meta.key.to_string(), meta.modified);
        compared.unowned_bytes = compared.unowned_bytes.saturating_add(meta.size);
        Ok(())
    }

    /// What a killed writer left half is seen by nobody and costs money. What was begun since the oldest job that still runs
    /// may be its own; where others write, it is theirs.
    async fn sweep_uploads(&self, now: Timestamp) -> Result<()> {
        let running = JobFilter { states: vec![JobState::Running], ..JobFilter::default() };
        let running = self.catalog.jobs(&running, JOBS).await?;
        if running.len() == JOBS as usize {
            return Ok(());
        }
        let before = running.iter().map(|job| job.run_after).fold(now - DAY, Timestamp::min);
        let ours = self.ours().await?;
        for store in self.stores.iter().filter(|store| ours.contains(store.name())) {
            match store.sweep_uploads(before).await {
                Ok(0) => {}
                Ok(ended) => {
                    info!(store = store.name(), ended, "ended uploads that nobody finished for a day")
                }
                Err(e) => warn!(store = store.name(), error = %e, "unfinished uploads were not looked for"),
            }
        }
        Ok(())
    }
}

/// An object of a recording that is not as the recording says.
struct Lost {
    name: String,
    is_there: bool,
    since: Timestamp,
}

fn note(compared: &mut Compared, lost: Option<Lost>) {
    if let Some(Lost { name, is_there, since }) = lost {
        let tally = if is_there { &mut compared.other_size } else { &mut compared.missing };
        tally.add(name, since);
    }
}

/// What a recording says that it has in the store, and how large that is.
fn objects<'f>(facts: &'f Facts, store: &'f str) -> impl Iterator<Item = (&'f str, u64)> {
    let it = &facts.recording;
    let home = (it.store.as_str(), it.key.as_str(), it.digest.size);
    let copies = facts.copies.iter().map(|c| (c.store.as_str(), c.key.as_str(), c.digest.size));
    let files = facts.renditions.iter().flat_map(|r| &r.files);
    let files = files.map(|f| (f.store.as_str(), f.key.as_str(), f.digest.size));
    let is_there =
        it.state != State::Deleted && it.custody.trash.as_ref().is_none_or(|t| t.purging.is_none());
    let all = std::iter::once(home).chain(copies).chain(files).filter(move |_| is_there);
    all.filter(move |(at, ..)| *at == store).map(|(_, key, size)| (key, size))
}

/// Comes after every key of the recording, and before those of the next: none of our keys has a `~`.
fn end_of(id: RecordingId) -> String {
    format!("{}~", keys::folder(id))
}

/// A store's objects, a page in memory at a time.
struct Listing {
    after: Option<String>,
    page: VecDeque<Meta>,
    is_over: bool,
}

impl Listing {
    fn after(id: Option<RecordingId>) -> Self {
        Self { after: id.map(end_of), page: VecDeque::new(), is_over: false }
    }

    /// The next one, unless it comes after `upto`.
    async fn next(&mut self, store: &dyn Store, upto: Option<&str>) -> Result<Option<Meta>> {
        if self.page.is_empty() && !self.is_over {
            let after = self.after.as_deref().map(Key::foreign).transpose()?;
            self.page = store.list("", after.as_ref(), LISTED).await?.into();
            self.is_over = self.page.len() < LISTED;
            self.after = self.page.back().map(|meta| meta.key.as_str().to_owned()).or(self.after.take());
        }
        let is_next = |meta: &mut Meta| upto.is_none_or(|upto| meta.key.as_str() <= upto);
        Ok(self.page.pop_front_if(is_next))
    }
}
