//! What our writers that died have left half at partners: nobody goes on with it any more, and it fills their disks. Each place
//! that files are sent to is looked through once a day, within its hours; only what has a partial file's name is removed, or is an
//! upload into a bucket that we have begun, and only when nobody has gone on with it for long.
//!
//! Buckets in which nobody but us has anything are looked after by `drift.rs`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Result;
use domain::Timestamp;
use tracing::{info, warn};

use crate::{
    Library,
    beside::Beside,
    watch::{remember, remembered},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Since somebody last wrote to it: the longest of what an export may be paused for, or its partner out of reach, with hope.
const OLD: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Between two looks whether it is time.
const LOOK: Duration = Duration::from_secs(60);
/// For one partner; what it does not suffice for is tried again the next day.
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// Who sweeps says so, or another does.
const LEAD: Duration = Duration::from_secs(2 * 60 * 60);
/// When each was last looked through.
const SWEPT: &str = "leftovers:swept";

/// Looks whether it is time for any of them.
pub(crate) fn turn(beside: &mut Beside, library: &Arc<Library>) {
    let failed = "partial files at partners were not looked for; later again";
    beside.turn(library.now(), LOOK, failed, || {
        let library = library.clone();
        async move { library.sweep_partners().await }
    });
}

impl Library {
    /// Those that are due and may be asked now.
    async fn sweep_partners(&self) -> Result<()> {
        let mut swept: BTreeMap<String, Timestamp> = remembered(self, SWEPT).await?;
        let partners: Vec<&str> = self.destinations.names().filter(|name| self.is_partner(name)).collect();
        let before = swept.clone();
        let now = self.now();
        swept.retain(|name, _| partners.contains(&name.as_str()));
        // One that is new has nothing of ours yet that is old: nobody is connected to for it.
        for name in &partners {
            swept.entry((*name).to_owned()).or_insert(now);
        }
        if swept != before {
            remember(self, SWEPT, &swept).await?;
        }
        for name in partners {
            let now = self.now();
            let is_due = swept.get(name).is_some_and(|at| now.since(*at) >= DAY);
            if !is_due || self.destinations.opens(name, now).is_some() {
                continue;
            }
            if !self.catalog.lead(SWEPT, &self.worker, now, LEAD).await? {
                return Ok(());
            }
            // Before it is known what comes of it: one that is down is asked again the next day.
            swept.insert(name.to_owned(), now);
            remember(self, SWEPT, &swept).await?;
            let closes = self.destinations.closes(name, now).map(|at| at.since(now));
            let sweep = self.sweep_partner(name, now - OLD);
            match tokio::time::timeout(closes.unwrap_or(LONGEST).min(LONGEST), sweep).await {
                Ok(Ok(0)) => {}
                Ok(Ok(removed)) => {
                    info!(destination = name, removed, "removed partial files that nobody goes on with");
                }
                Ok(Err(e)) => warn!(destination = name, error = %e, "partial files were not looked for"),
                Err(_) => {
                    info!(destination = name, "looking for partial files took too long; the next day again")
                }
            }
        }
        Ok(())
    }

    async fn sweep_partner(&self, name: &str, before: Timestamp) -> Result<u64, transfer::Error> {
        self.destinations.get(name).await?.sweep(None, before).await
    }

    /// Files are sent there.
    fn is_partner(&self, name: &str) -> bool {
        self.policy.stores().get(name).is_some_and(|store| !store.holds() || self.policy.sends_to(name))
    }
}
