use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use alerts::Notify;
use anyhow::{Context as _, Result, bail};
use catalog::Catalog;
use domain::{Clock, Failure, Recording, Timestamp};
use policy::Policy;
use queue::{DeadLetters, Queue};
use storage::{Key, Store};

use crate::{Destinations, Fetched, Steps, Watched};

/// The name of the store that holds what was accepted and what we made of it.
pub const LIBRARY_STORE: &str = policy::LIBRARY;

/// Everything the flow works with. Which backends these are, `app::wire` has chosen.
pub struct Library {
    pub catalog: Arc<dyn Catalog>,
    pub queue: Arc<dyn Queue>,
    /// Where messages go that nobody can read.
    pub letters: Arc<dyn DeadLetters>,
    pub stores: Stores,
    /// Places that are not ours.
    pub destinations: Destinations,
    pub policy: Arc<Policy>,
    /// Another policy than this one is in force by now.
    pub outdated: AtomicBool,
    /// The library's own store is nearly full: nothing is taken into it until there is room.
    pub full: AtomicBool,
    pub media: media::Tools,
    pub clock: Arc<dyn Clock>,
    /// Where jobs have their private directories: on the library store's filesystem, so that a finished
    /// output moves into it instead of being copied.
    pub scratch: PathBuf,
    /// Sources that had to be fetched to it.
    pub fetched: Arc<Fetched>,
    /// This worker's name in leases and in the audit log.
    pub worker: String,
    pub steps: Steps,
    /// How long a worker may be silent before its jobs are another's.
    pub lease: Duration,
    /// Places in object stores whose objects are recordings; none in embedded mode, which has an inbox.
    pub watched: Vec<Watched>,
    /// Who tells people.
    pub alerts: Arc<dyn Notify>,
}

/// The stores by the names that the policy gives them.
#[derive(Clone, Default)]
pub struct Stores(BTreeMap<String, Arc<dyn Store>>);

impl Stores {
    pub fn add(&mut self, store: Arc<dyn Store>) {
        self.0.insert(store.name().to_owned(), store);
    }

    pub fn get(&self, name: &str) -> Result<&dyn Store, Failure> {
        self.named(name).map(AsRef::as_ref)
    }

    /// For work that outlives the caller.
    pub(crate) fn shared(&self, name: &str) -> Result<Arc<dyn Store>, Failure> {
        self.named(name).cloned()
    }

    fn named(&self, name: &str) -> Result<&Arc<dyn Store>, Failure> {
        self.0.get(name).ok_or_else(|| {
            Failure::permanent(format!(
                "there is no store `{name}`; add it under `stores:` in the policy, then `videorec retry`"
            ))
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = &dyn Store> {
        self.0.values().map(AsRef::as_ref)
    }
}

impl Library {
    /// The same engines under another policy, its stores and destinations. What this one decided goes on; deciding is the
    /// other's from here on.
    pub fn under(&self, policy: Policy, stores: Stores, destinations: Destinations) -> Self {
        self.outdated.store(true, Ordering::SeqCst);
        Self {
            catalog: self.catalog.clone(),
            queue: self.queue.clone(),
            letters: self.letters.clone(),
            stores,
            destinations,
            policy: Arc::new(policy),
            outdated: false.into(),
            full: self.full.load(Ordering::SeqCst).into(),
            media: self.media.clone(),
            clock: self.clock.clone(),
            scratch: self.scratch.clone(),
            fetched: self.fetched.clone(),
            worker: self.worker.clone(),
            steps: self.steps.clone(),
            lease: self.lease,
            watched: self.watched.clone(),
            alerts: self.alerts.clone(),
        }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The store that new recordings and renditions go to.
    pub(crate) fn home(&self) -> Result<&dyn Store, Failure> {
        self.stores.get(LIBRARY_STORE)
    }

    pub(crate) async fn recording(&self, id: domain::RecordingId) -> Result<Recording> {
        match self.catalog.get(id).await.context("reading the catalog")? {
            Some(recording) => Ok(recording),
            None => bail!("recording {id} is not in the catalog"),
        }
    }
}

/// A key that the catalog holds: it was valid when it was written. It may be one that a stranger chose.
pub(crate) fn stored_key(key: &str) -> Result<Key, Failure> {
    Key::foreign(key).map_err(|e| Failure::permanent(format!("the catalog holds an impossible key: {e}")))
}

/// The store's version to read, of a recording that lies where its uploader put it. One that the library took in itself
/// is named by its bytes instead: its key is never written twice.
pub(crate) fn pinned(recording: &Recording) -> Option<&str> {
    let version = recording.custody.place.version.as_ref().unwrap_or(&recording.version);
    (*version != recording.digest.sha256.to_string()).then_some(version.as_str())
}

/// What a store's trouble means for a job.
pub(crate) fn storage_failure(error: &storage::Error) -> Failure {
    let message = error.to_string();
    if error.is_temporary() { Failure::temporary(message) } else { Failure::permanent(message) }
}
