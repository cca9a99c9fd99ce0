use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result, bail};
use catalog::Catalog;
use domain::{Clock, Failure, Recording, Timestamp};
use policy::Policy;
use queue::Queue;
use storage::{Key, Store};

use crate::Steps;

/// The name of the store that holds what was accepted and what we made of it.
pub const LIBRARY_STORE: &str = policy::LIBRARY;

/// Everything the flow works with. Which backends these are, `app::wire` has chosen.
pub struct Library {
    pub catalog: Arc<dyn Catalog>,
    pub queue: Arc<dyn Queue>,
    pub stores: Stores,
    pub policy: Arc<Policy>,
    pub media: media::Tools,
    pub clock: Arc<dyn Clock>,
    /// Where jobs have their private directories: on the library store's filesystem, so that a finished
    /// output moves into it instead of being copied.
    pub scratch: PathBuf,
    /// This worker's name in leases and in the audit log.
    pub worker: String,
    pub steps: Steps,
}

/// The stores by the names that the policy gives them.
#[derive(Clone, Default)]
pub struct Stores(BTreeMap<String, Arc<dyn Store>>);

impl Stores {
    pub fn add(&mut self, store: Arc<dyn Store>) {
        self.0.insert(store.name().to_owned(), store);
    }

    pub fn get(&self, name: &str) -> Result<&dyn Store, Failure> {
        self.0.get(name).map(AsRef::as_ref).ok_or_else(|| {
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

/// A key that the catalog holds: it was valid when it was written.
pub(crate) fn stored_key(key: &str) -> Result<Key, Failure> {
    Key::parse(key).map_err(|e| Failure::permanent(format!("the catalog holds an impossible key: {e}")))
}

/// What a store's trouble means for a job.
pub(crate) fn storage_failure(error: &storage::Error) -> Failure {
    let message = error.to_string();
    if error.is_temporary() { Failure::temporary(message) } else { Failure::permanent(message) }
}
