//! What a policy would do with the whole library, as values: DECIDE with nothing entered.

mod costs;
mod frozen;
mod prices;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use anyhow::{Context as _, Result};
use catalog::Catalog;
use domain::{Action, Decision, Facts, JobId, Offer, RecordingId, Screen, Timestamp, Trash, Usage, What};
use policy::Policy;
use serde::{Deserialize, Serialize};
use transfer::names::Rules;

use crate::exports;

pub use costs::Costs;
pub use frozen::Frozen;
use prices::signed;
pub use prices::{Money, Prices};

/// The shipped table of prices, as a file.
pub const PRICES: &str = include_str!("plan/prices.yaml");

/// Recordings looked at together: what the memory of a plan over millions depends on.
const PAGE: u32 = 512;

/// One recording in a plan, frozen: what is applied later is this or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    pub recording: RecordingId,
    pub revision: i64,
    pub version: String,
    /// What the policy would have done.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub jobs: BTreeSet<JobId>,
    /// The rule that would have it deleted now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete: Option<String>,
}

impl Item {
    pub fn of(facts: &Facts, decision: &Decision) -> Self {
        Self {
            recording: facts.recording.id,
            revision: facts.recording.revision,
            version: facts.recording.version.clone(),
            jobs: decision.jobs.iter().map(|j| j.id).collect(),
            delete: due(decision).map(|offer| offer.rule.clone()),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.delete.is_none()
    }
}

/// The offer that says that a recording is due to be deleted.
pub fn due(decision: &Decision) -> Option<&Offer> {
    decision.offers.iter().find(|o| o.room.is_none() && o.what == What::Delete)
}

/// What an offer puts into the trash, and who says so.
pub fn trashing(facts: &Facts, offer: &Offer, by: &str, now: Timestamp) -> catalog::Trashing {
    catalog::Trashing {
        id: facts.recording.id,
        revision: facts.recording.revision,
        trash: Trash {
            at: now,
            until: now + offer.trash,
            rule: offer.rule.clone(),
            reason: offer.reason.clone(),
            by: by.to_owned(),
            purging: None,
        },
    }
}

/// What one rule would do, as one verb.
#[derive(Debug, Clone, Default)]
pub struct Part {
    pub jobs: u64,
    /// Bytes of the sources; of exports, those that leave.
    pub bytes: u64,
    pub money: Money,
    /// The fewest copies that a recording would have afterwards; of the verbs that take one away.
    pub copies_left: Option<u64>,
}

/// What a policy would do over a whole library.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// By rule and what it does.
    pub parts: BTreeMap<(String, String), Part>,
    /// By rule, verb and what it waits for.
    pub waits: BTreeMap<(String, String, String), u64>,
    /// By rule and verb: of how many recordings what it would read has to be restored, which the rule refuses.
    pub frozen: BTreeMap<(String, String), (u64, Frozen)>,
    /// What may go when a store needs room; by rule and store. No more of it goes than is needed.
    pub room: BTreeMap<(String, String), Part>,
    pub delete: Part,
}

impl Totals {
    pub fn add(&mut self, facts: &Facts, decision: &Decision, costs: &Costs<'_>, now: Timestamp) {
        let it = &facts.recording;
        for job in &decision.jobs {
            let part = self.parts.entry((job.rule.clone(), job.action.label())).or_default();
            part.count(bytes(&job.action, facts, now), costs.of(&job.action, facts, now));
        }
        for wait in decision.waits.iter().filter(|wait| wait.restore) {
            let (recordings, frozen) = self.frozen.entry((wait.rule.clone(), wait.verb.clone())).or_default();
            *recordings += 1;
            frozen.add(&Frozen::of(facts, now));
        }
        for wait in decision.waits.iter().filter(|wait| !wait.restore) {
            let key = (wait.rule.clone(), wait.verb.clone(), wait.waits_for.clone());
            *self.waits.entry(key).or_default() += 1;
        }
        for offer in &decision.offers {
            let money = match &offer.what {
                What::Archive { class } => costs.prices.archive(it, class, now),
                What::Evict { .. } => costs.prices.keep(-signed(it.digest.size), 0),
                What::Delete => costs.whole(facts, now),
            };
            let part = match &offer.room {
                Some(store) => self.room.entry((offer.rule.clone(), store.clone())).or_default(),
                None => {
                    self.delete.count(it.digest.size, money);
                    self.parts.entry((offer.rule.clone(), "delete".to_owned())).or_default()
                }
            };
            part.count(it.digest.size, money);
            let left = match &offer.what {
                What::Delete => 0,
                What::Evict { .. } => facts.copies.len() as u64,
                What::Archive { .. } => facts.copies.len() as u64 + 1,
            };
            part.copies_left = Some(part.copies_left.map_or(left, |fewest| fewest.min(left)));
        }
    }
}

impl Part {
    fn count(&mut self, bytes: u64, money: Money) {
        self.jobs += 1;
        self.bytes += bytes;
        self.money += money;
    }
}

fn bytes(action: &Action, facts: &Facts, now: Timestamp) -> u64 {
    let leaving = match action {
        Action::Export(export) => exports::preview(facts, export, &Rules::default(), now).ok(),
        _ => None,
    };
    leaving.map_or(facts.recording.digest.size, |(_, bytes)| bytes)
}

/// Decides on every recording that the policy may have anything to say of, in the order of their ids, a page in memory at a
/// time; while one is decided on, the next is read.
pub async fn over(
    catalog: &dyn Catalog,
    policy: &Policy,
    now: Timestamp,
    mut each: impl FnMut(&Facts, &Decision) -> ControlFlow<()>,
) -> Result<()> {
    let usage = Usage::default();
    let mut decide = |page: Vec<Facts>| {
        page.iter().try_for_each(|facts| each(facts, &policy::decide(policy, facts, &usage, now)))
    };
    let screen = policy.screen(now);
    if screen.is_everything() {
        let mut page = catalog.facts_page(None, PAGE).await.context("reading facts")?;
        while let Some(last) = page.last().map(|f| f.recording.id) {
            let (next, flow) = tokio::join!(catalog.facts_page(Some(last), PAGE), async { decide(page) });
            if flow.is_break() {
                break;
            }
            page = next.context("reading facts")?;
        }
        return Ok(());
    }
    let concerned = concerned(catalog, &screen).await?;
    let mut pages = concerned.chunks(PAGE as usize);
    let mut page = catalog.facts_of(pages.next().unwrap_or_default()).await.context("reading facts")?;
    loop {
        let ids = pages.next();
        let (next, flow) = tokio::join!(catalog.facts_of(ids.unwrap_or_default()), async { decide(page) });
        if flow.is_break() || ids.is_none() {
            return Ok(());
        }
        page = next.context("reading facts")?;
    }
}

/// The ids of those that pass, in order.
async fn concerned(catalog: &dyn Catalog, screen: &Screen) -> Result<Vec<RecordingId>> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let (page, last) = catalog.screened(screen, after, SCREENED).await.context("screening rows")?;
        ids.extend(page);
        after = last;
        if after.is_none() {
            break;
        }
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// Ids read together.
const SCREENED: u32 = 50_000;
