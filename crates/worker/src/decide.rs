//! FACTS -> DECIDE -> JOBS: the only place where decisions become ledger rows.

use std::{collections::HashMap, sync::atomic::Ordering};

use anyhow::{Context as _, Result};
use catalog::{Claim, Deciding, Settle, Settled};
use domain::{Facts, Outcome, RecordingId, Timestamp, Usage};
use tracing::error;

use crate::{Library, tell};

/// Recordings decided per transaction: the catalog's one writer is held for milliseconds.
const BATCH: u32 = 256;

impl Library {
    /// Decides anew on these recordings and enters what is to be done into the ledger. Safe to repeat: the
    /// same facts give the same jobs, and a job that exists is not entered again.
    pub async fn decide(&self, ids: &[RecordingId]) -> Result<()> {
        let mut pending: Vec<RecordingId> = ids.to_vec();
        while !pending.is_empty() {
            let now = self.now();
            let facts = self.facts_of(&pending).await.context("reading facts")?;
            let batch: Vec<Settle> = facts.iter().map(|facts| self.decision(facts, now)).collect();
            let settled = self.catalog.settle(&batch, self.policy.hash(), now).await.context("settling")?;
            pending.clear();
            for (settle, settled) in batch.iter().zip(settled) {
                match settled {
                    Settled::Applied { .. } => {}
                    // Facts changed between reading and writing: read them again, decide again.
                    Settled::Stale => pending.push(settle.id),
                    // They stay dirty, and whoever has the policy in force decides. What this worker does, it
                    // does by jobs that were decided on; only deciding is no longer its business.
                    Settled::OtherPolicy => {
                        self.decides_no_more();
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes down what came of a job, with all that follows from it.
    pub(crate) async fn conclude(&self, claim: &Claim, outcome: &Outcome) -> Result<(), catalog::Error> {
        let now = self.now();
        let decide = |facts: &Facts| self.decision(facts, now);
        let by = Deciding { policy: self.policy.hash(), decide: &decide };
        if !self.catalog.conclude(claim, outcome, &by, now).await? {
            self.decides_no_more();
        }
        Ok(())
    }

    /// In the order asked: a track comes before its session, which what becomes of it concerns. Who is gone in the meantime is not
    /// among them.
    async fn facts_of(&self, ids: &[RecordingId]) -> Result<Vec<Facts>, catalog::Error> {
        if let [one] = ids {
            return Ok(self.catalog.facts(*one).await?.into_iter().collect());
        }
        let found = self.catalog.facts_of(ids).await?;
        let mut found: HashMap<_, _> = found.into_iter().map(|facts| (facts.recording.id, facts)).collect();
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }

    fn decision(&self, facts: &Facts, now: Timestamp) -> Settle {
        let decision = policy::decide(&self.policy, facts, &Usage::default(), now);
        let alert = tell::of_state(&facts.recording, &decision, now);
        Settle { id: facts.recording.id, revision: facts.recording.revision, decision, alert }
    }

    /// Another policy is in force: deciding is no longer this one's business.
    fn decides_no_more(&self) {
        if !self.outdated.swap(true, Ordering::SeqCst) {
            error!(
                policy = self.policy.hash(),
                "another process put another policy in force; this one decides nothing more: stop one of them, or start \
                 this one anew with the policy in force"
            );
        }
    }

    /// Decides on everything that changed, that time has made due, or that no event told of. Returns how many.
    pub async fn sweep(&self) -> Result<u64> {
        let mut swept = 0;
        if self.outdated.load(Ordering::SeqCst) {
            return Ok(0);
        }
        let mut after = None;
        loop {
            let ids = self.catalog.to_decide(self.now(), after, BATCH).await.context("sweeping")?;
            let Some(last) = ids.last() else { return Ok(swept) };
            after = Some(*last);
            self.decide(&ids).await?;
            swept += ids.len() as u64;
        }
    }
}
