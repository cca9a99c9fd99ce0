//! What is archived by hand: whether its store has classes, and whether its bucket's own lifecycle rules would do it.

use std::collections::{BTreeMap, btree_map::Entry};

use anyhow::Result;
use domain::{Recording, Way};
use policy::Policy;
use storage::{Key, LifecycleRule};
use worker::{LIBRARY_STORE, Stores, lifecycle};

use crate::{
    config::Config,
    wire::{self, View},
};

/// Where something can be put into one class in one way. The rules of each bucket are asked for once.
pub struct Archivable<'c> {
    class: &'c str,
    by: Way,
    stores: Stores,
    known: BTreeMap<String, Result<Vec<LifecycleRule>, String>>,
}

impl<'c> Archivable<'c> {
    /// Nothing where that goes without asking: a fleet's stores are buckets.
    pub async fn of(
        config: &Config,
        view: &View,
        policy: &Policy,
        class: &'c str,
        by: Way,
    ) -> Result<Option<Self>> {
        if by.is_now() && view.layout.is_none() {
            return Ok(None);
        }
        let (stores, _) = stores(config, view, policy).await?;
        Ok(Some(Self { class, by, stores, known: BTreeMap::new() }))
    }

    /// Why the store that holds a recording would not archive it, and what to do, as a clause; nothing where it would.
    pub async fn refuse(&mut self, it: &Recording) -> Option<String> {
        let store = match self.stores.get(&it.store) {
            Ok(store) => store,
            Err(e) => return Some(e.message),
        };
        let key = match Key::foreign(&it.key) {
            Ok(key) => key,
            Err(e) => return Some(e.to_string()),
        };
        if self.by.is_now() && store.local_path(&key).is_none() {
            return None;
        }
        let known = match self.known.entry(it.store.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let rules = store.lifecycle(Default::default()).await;
                unknown.insert(rules.map_err(|e| lifecycle::unasked(&e)))
            }
        };
        match known {
            Err(why) => Some(why.clone()),
            Ok(rules) => {
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
