//! A fleet as it is to whoever only brings something in: what comes in is decided on, and done by the workers.

use std::{path::Path, sync::Arc};

use anyhow::Result;
use worker::{Fetched, Library};

use super::engines;
use crate::{
    clock,
    config::Config,
    destinations,
    lock::Lock,
    tell,
    wire::{self, View},
};

pub struct Entrance {
    pub library: Arc<Library>,
    /// Says on this machine that its folder is in use.
    _lock: Lock,
}

/// By the policy that the fleet's workers have in force, and with their stores and queues: `scratch` is a folder on this machine.
pub async fn open(config: &Config, scratch: &Path) -> Result<Entrance> {
    let fleet = engines::fleet_of(config)?;
    let sdk = engines::sdk_config().await;
    let (stores, watched) = engines::places(fleet, &sdk)?;
    let catalog = engines::catalog(fleet).await?;
    let policy = match &config.policy {
        Some(_) => engines::policy(config, &sdk).await?,
        None => wire::policy_of(config, &View { layout: None, catalog: catalog.clone() }).await?,
    };
    let stores = engines::with_policy(stores, &watched, &policy.policy, &sdk, &config.secrets).await?;
    let queue = Arc::new(engines::queue(fleet).await?);
    let worker = format!("import-{}", engines::worker_name(fleet));
    let (scratch, lock) = engines::scratch(&scratch.join("videorec"), &worker)?;
    let library = Library {
        catalog,
        queue: queue.clone(),
        letters: queue,
        stores,
        destinations: destinations::of(config, &policy.policy),
        policy: Arc::new(policy.policy),
        outdated: false.into(),
        full: false.into(),
        media: wire::media(config, 1)?,
        clock: Arc::new(clock::System),
        // Nothing is fetched from our own stores.
        fetched: Arc::new(Fetched::new(scratch.clone(), 0)),
        scratch,
        worker,
        steps: wire::steps(config.crash_at),
        lease: worker::LEASE,
        watched,
        alerts: tell::channels(config).await?,
    };
    Ok(Entrance { library: Arc::new(library), _lock: lock })
}
