//! The comparison of every store with the catalog: what recordings say that they have, and what is there. It counts, and people
//! are told; nothing is mended or removed by it. Where a rendition's file is gone, or a source lies in another class than it is
//! said to, it orders a job that looks more closely.
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
use domain::{Action, Alert, Facts, JobSpec, JobState, Recording, RecordingId, Rendition, State, Timestamp};
use futures::{StreamExt as _, stream::FuturesUnordered};
use serde::{Deserialize, Serialize};
use storage::{ErrorKind, Key, Meta, Store};
use tracing::{info, warn};

use crate::{
    LIBRARY_STORE, Library,
    beside::Beside,
    by_hand, keys,
    library::pinned,
    lifecycle::{self, STANDARD},
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
/// How often a rendition that is gone is made again.
const MADE_AGAIN: usize = 3;
/// A recording's jobs that are looked at for that.
const LATEST: u32 = 500;
/// Objects that may be missing from a store before it is asked whether most are: a disk that is not mounted has lost nothing.
const SOME: u64 = 20;

/// Looks whether it is time.
pub(crate) fn turn(beside: &mut Beside, library: &Arc<Library>) {
    let failed = "comparing stores with the catalog was cut short; it goes on later";
    beside.turn(library.now(), LOOK, failed, || {
        let library = library.clone();
        async move { library.compare().await }
    });
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
                let mut closer = Closer::new(known.begun_at.unwrap_or(now));
                let found =
                    self.compare_page(store, &page, listing, upto.as_deref(), compared, &mut closer).await;
                let found = match found {
                    Ok(()) => self.look_closer(closer, compared).await,
                    Err(e) => Err(e),
                };
                if let Err(e) = found {
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
        closer: &mut Closer,
    ) -> Result<()> {
        let mut expected = BTreeMap::new();
        for facts in page {
            expected.extend(objects(facts, store.name()).map(|object| (object.key, object)));
        }
        compared.expected += expected.len() as u64;
        if let Some(listing) = listing {
            while let Some(meta) = listing.next(store, upto).await? {
                compared.objects += 1;
                match expected.remove(meta.key.as_str()) {
                    Some(object) if object.size == meta.size => closer.see(&object, &meta, compared),
                    Some(object) => closer.note(&object, self.look_again(store, &object).await?, compared),
                    None => self.look_for_owner(store, &meta, compared).await?,
                }
            }
        }
        // What was not listed, or is not to be.
        let mut looks = FuturesUnordered::new();
        for object in expected.into_values() {
            if looks.len() >= LOOKS
                && let Some((object, looked)) = looks.next().await
            {
                closer.note(&object, looked?, compared);
            }
            looks.push(self.look_at(store, object));
        }
        while let Some((object, looked)) = looks.next().await {
            closer.note(&object, looked?, compared);
        }
        Ok(())
    }

    /// Orders what is to be looked at more closely.
    async fn look_closer(&self, closer: Closer, compared: &mut Compared) -> Result<()> {
        let Closer { begun_at, mut jobs, lost } = closer;
        let lost_most = compared.missing.count > SOME && compared.missing.count * 2 > compared.expected;
        for (it, seek) in lost.into_iter().filter(|_| !lost_most) {
            match self.made_again(&seek).await? < MADE_AGAIN {
                true => jobs.push(seek),
                false => compared.vanishing.add(it, begun_at),
            }
        }
        if !jobs.is_empty() {
            let batch = by_hand::batch("compare", DRIFT, &begun_at.to_string(), begun_at);
            self.catalog.order(&batch, &jobs, self.now()).await.context("ordering closer looks")?;
        }
        Ok(())
    }

    /// How often this rendition was looked for before.
    async fn made_again(&self, seek: &JobSpec) -> Result<usize> {
        let filter = JobFilter { recording: Some(seek.recording), ..JobFilter::default() };
        let jobs = self.catalog.jobs(&filter, LATEST).await?;
        let name = |action: &Action| match action {
            Action::Seek { rendition, .. } => Some(rendition.clone()),
            _ => None,
        };
        let wanted = name(&seek.action);
        let same = |job: &&domain::Job| job.spec.id != seek.id && name(&job.spec.action) == wanted;
        Ok(jobs.iter().filter(same).count())
    }

    async fn look_at<'f>(&self, store: &dyn Store, object: Object<'f>) -> (Object<'f>, Result<Looked>) {
        let looked = self.look_again(store, &object).await;
        (object, looked)
    }

    /// It may have been moved, replaced or purged since its facts were read.
    async fn look_again(&self, store: &dyn Store, object: &Object<'_>) -> Result<Looked> {
        let key = Key::foreign(object.key)?;
        let now_there = match store.head(&key).await {
            Ok(meta) if meta.size == object.size => return Ok(Looked::There(meta)),
            Ok(meta) => Some(meta.size),
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(e.into()),
        };
        let Some(facts) = self.catalog.facts(object.of.id).await? else { return Ok(Looked::Past) };
        let is_lost = objects(&facts, store.name())
            .any(|known| known.key == object.key && Some(known.size) != now_there);
        Ok(match (is_lost, now_there) {
            (false, _) => Looked::Past,
            (true, None) => Looked::Missing,
            (true, Some(_)) => Looked::OfOtherSize,
        })
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
            let is_known = objects(&facts, store.name()).any(|known| known.key == meta.key.as_str());
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

/// An object as a recording says that it has it.
struct Object<'f> {
    key: &'f str,
    size: u64,
    of: &'f Recording,
    /// What it is a file of; the source, or a copy of it, otherwise.
    made: Option<&'f Rendition>,
    is_source: bool,
}

/// What a look at one came to.
enum Looked {
    There(Meta),
    Missing,
    OfOtherSize,
    /// The recording does not say so any more.
    Past,
}

/// What a page has to be looked at more closely.
struct Closer {
    begun_at: Timestamp,
    jobs: Vec<JobSpec>,
    /// Renditions of which files are gone, by what they are called.
    lost: Vec<(String, JobSpec)>,
}

impl Closer {
    fn new(begun_at: Timestamp) -> Self {
        Self { begun_at, jobs: Vec::new(), lost: Vec::new() }
    }

    fn note(&mut self, object: &Object<'_>, looked: Looked, compared: &mut Compared) {
        let tally = match looked {
            Looked::There(meta) => return self.see(object, &meta, compared),
            Looked::Past => return,
            Looked::Missing => &mut compared.missing,
            Looked::OfOtherSize => &mut compared.other_size,
        };
        let it = object.of;
        tally.add(format!("{} ({}): {}", it.name, it.id.short(), object.key.escape_debug()), it.accepted_at);
        if let Some(made) = object.made {
            let action = Action::Seek { rendition: made.name.clone(), made: made.made_at };
            let seek = by_hand::prompted(it, action, DRIFT, "A file of it is not in its store.");
            if !self.lost.iter().any(|(_, other)| other.id == seek.id) {
                self.lost.push((format!("{} of {} ({})", made.name, it.name, it.id.short()), seek));
            }
        }
    }

    /// It is there: and in its class?
    fn see(&mut self, object: &Object<'_>, meta: &Meta, compared: &mut Compared) {
        let it = object.of;
        let place = &it.custody.place;
        let class = meta.class.as_deref().unwrap_or(STANDARD);
        let believed = place.class.as_deref().unwrap_or(STANDARD);
        // Of another version its event tells, or the walk.
        let is_ours = object.is_source && pinned(it).is_none_or(|version| version == meta.version);
        if !is_ours || class == believed {
            return;
        }
        if place.class.is_some() && place.transition.is_none() {
            let name = format!("{} ({}): {class} instead of {believed}", it.name, it.id.short());
            compared.strayed.add(name, self.begun_at);
        }
        let look = lifecycle::look(it, self.begun_at);
        let reason = format!("Its store has it in {class}.");
        self.jobs.push(by_hand::prompted(it, look, DRIFT, &reason));
    }
}

/// What a recording says that it has in the store.
fn objects<'f>(facts: &'f Facts, store: &'f str) -> impl Iterator<Item = Object<'f>> {
    let it = &facts.recording;
    let home = (it.store.as_str(), it.key.as_str(), it.digest.size, None, true);
    let copies = facts.copies.iter().map(|c| (c.store.as_str(), c.key.as_str(), c.digest.size, None, false));
    let files = facts.renditions.iter().flat_map(|made| made.files.iter().map(move |file| (made, file)));
    let files = files.map(|(made, f)| (f.store.as_str(), f.key.as_str(), f.digest.size, Some(made), false));
    let is_there =
        it.state != State::Deleted && it.custody.trash.as_ref().is_none_or(|t| t.purging.is_none());
    let all = std::iter::once(home).chain(copies).chain(files).filter(move |_| is_there);
    all.filter(move |(at, ..)| *at == store).map(|(_, key, size, made, is_source)| Object {
        key,
        size,
        of: it,
        made,
        is_source,
    })
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
