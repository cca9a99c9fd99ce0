//! What is left to buckets' own lifecycle rules: whether they would do it.

use std::collections::{BTreeMap, btree_map::Entry};

use anyhow::Result;
use domain::Recording;
use policy::Policy;
use storage::{Key, LifecycleRule};
use worker::{LIBRARY_STORE, Stores, lifecycle};

use crate::{
    config::Config,
    wire::{self, View},
};

/// The rules of buckets, each asked for once, as `archive` with `by: lifecycle` needs them for one class.
pub struct Rules<'c> {
    class: &'c str,
    stores: Stores,
    known: BTreeMap<String, Result<Vec<LifecycleRule>, String>>,
}

impl<'c> Rules<'c> {
    pub async fn of(config: &Config, view: &View, policy: &Policy, class: &'c str) -> Result<Self> {
        let (stores, _) = stores(config, view, policy).await?;
        Ok(Self { class, stores, known: BTreeMap::new() })
    }

    /// Why the bucket that holds a recording would not archive it, and what to do, as a clause; nothing where it would.
    pub async fn refuse(&mut self, it: &Recording) -> Option<String> {
        let store = match self.stores.get(&it.store) {
            Ok(store) => store,
            Err(e) => return Some(e.message),
        };
        let known = match self.known.entry(it.store.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let rules = store.lifecycle(Default::default()).await;
                unknown.insert(rules.map_err(|e| lifecycle::unasked(&e)))
            }
        };
        match (known, Key::foreign(&it.key)) {
            (Err(why), _) => Some(why.clone()),
            (_, Err(e)) => Some(e.to_string()),
            (Ok(rules), Ok(key)) => {
                let moves = lifecycle::moves(rules, store, &key, it.digest.size, self.class);
                (!moves).then(|| lifecycle::missing(store, self.class))
            }
        }
    }
}

/// All stores, and those that recordings come to lie in.
pub async fn stores(config: &Config, view: &View, policy: &Policy) -> anyhow::Result<(Stores, Vec<String>)> {
    if let Some(layout) = &view.layout {
        return Ok((wire::stores(layout, policy, &config.secrets).await?, vec![LIBRARY_STORE.to_owned()]));
    }
    #[cfg(feature = "cloud")]
    {
        let (stores, watched) = crate::fleet::stores::open(config, policy).await?;
        Ok((stores, watched.into_iter().map(|place| place.store).collect()))
    }
    #[cfg(not(feature = "cloud"))]
    {
        let _ = config;
        anyhow::bail!("this build knows no fleet")
    }
}
