//! What shows only when every recording is looked at: too few copies, restores that take too long. The judging is pure and lives
//! in `alerts`; a pass over all facts, a page at a time, counts what it judges.

use std::{collections::BTreeMap, time::Duration};

use alerts::{Tally, copies, restores, transitions};
use anyhow::{Context as _, Result};
use domain::{Alert, Facts, RecordingId, State, Timestamp};
use policy::Policy;
use serde::{Deserialize, Serialize};

use crate::{
    Library,
    watch::{remember, remembered},
};

/// From the beginning of one pass to the next.
const EVERY: Duration = Duration::from_secs(60 * 60);
/// After trouble.
const TROUBLE: Duration = Duration::from_secs(60);
/// Facts in memory at a time.
const PAGE: u32 = 500;
/// Where it is remembered how far it has come, and what it found.
const SURVEY: &str = "survey";

#[derive(Default)]
pub(crate) struct Survey {
    after: Option<Timestamp>,
}

/// For whoever leads next.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Known {
    begun_at: Option<Timestamp>,
    /// Its hash, and since when it is seen to be in force: a new one has its time to be met.
    policy: Option<(String, Timestamp)>,
    /// The pass that is not over.
    pass: Option<Pass>,
    /// Of the last one that is.
    found: Found,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Pass {
    after: Option<RecordingId>,
    found: Found,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Found {
    short: copies::Short,
    /// Restores, by store.
    late: BTreeMap<String, Tally>,
    /// What was left to a store's lifecycle rules long ago and has not happened, by store.
    unmoved: BTreeMap<String, Tally>,
}

impl Survey {
    /// A page of the pass that goes on or is due.
    pub(crate) async fn turn(&mut self, library: &Library) -> Result<()> {
        let now = library.now();
        if self.after.is_some_and(|after| now < after) {
            return Ok(());
        }
        self.after = Some(now + TROUBLE);
        let mut known: Known = remembered(library, SURVEY).await?;
        let mut pass = match known.pass.take() {
            Some(pass) => pass,
            None if known.begun_at.is_some_and(|at| now.since(at) < EVERY) => {
                self.after = known.begun_at.map(|at| at + EVERY);
                return Ok(());
            }
            None => {
                known.begun_at = Some(now);
                Pass::default()
            }
        };
        let hash = library.policy.hash();
        let since = match &known.policy {
            Some((known, since)) if known == hash => *since,
            _ => known.policy.insert((hash.to_owned(), now)).1,
        };
        let page = library.catalog.facts_page(pass.after, PAGE).await.context("reading a page of facts")?;
        for facts in &page {
            pass.found.look(&library.policy, facts, since, now);
        }
        pass.after = page.last().map(|facts| facts.recording.id);
        if page.len() < PAGE as usize {
            known.found = pass.found;
            self.after = known.begun_at.map(|at| at + EVERY);
        } else {
            known.pass = Some(pass);
            self.after = None;
        }
        remember(library, SURVEY, &known).await
    }
}

/// What the last pass says is still where it was, by store.
pub(crate) async fn unmoved(library: &Library) -> Result<BTreeMap<String, Tally>> {
    let Known { found, .. } = remembered(library, SURVEY).await?;
    Ok(found.unmoved)
}

/// What the last pass says is wrong.
pub(crate) async fn wrong(library: &Library, now: Timestamp) -> Result<Vec<Alert>> {
    let Known { found, .. } = remembered(library, SURVEY).await?;
    let mut wrong = copies::short(&found.short, library.policy.protect().copies_min, now);
    wrong.extend(found.late.iter().filter_map(|(store, late)| restores::late(store, late, now)));
    Ok(wrong)
}

impl Found {
    /// `in_force`: since when the policy is.
    fn look(&mut self, policy: &Policy, facts: &Facts, in_force: Timestamp, now: Timestamp) {
        let it = &facts.recording;
        if matches!(it.state, State::Trashed | State::Deleted) {
            return;
        }
        let name = || format!("{} ({})", it.name, it.id.short());
        let place = &it.custody.place;
        if let Some(there) = policy::short_of_copies(policy, facts) {
            let bad_home = place.bad.as_ref().and(place.verified_at);
            let bad = facts.copies.iter().filter(|c| c.bad.is_some()).map(|c| c.verified_at);
            let since = bad.chain(bad_home).fold(it.accepted_at.max(in_force), Timestamp::max);
            if copies::is_news(since, now) {
                let tally = if there == 0 { &mut self.short.none } else { &mut self.short.few };
                tally.add(name(), since);
            }
        }
        if let Some(transition) = &place.transition
            && now.since(transition.asked_at) > transitions::UNCONFIRMED
        {
            let what = format!("{}: archive {} by lifecycle", name(), transition.class);
            self.unmoved.entry(it.store.clone()).or_default().add(what, transition.asked_at);
        }
        let restore = place.cold.as_ref().and_then(|cold| cold.restore.as_ref());
        if let Some(restore) = restore.filter(|r| r.until.is_none()) {
            let class = place.class.as_deref().unwrap_or_default();
            if restores::is_late(class, restore.speed, restore.asked_at, now) {
                self.late.entry(it.store.clone()).or_default().add(name(), restore.asked_at);
            }
        }
    }
}

#[cfg(test)]
mod tests;
