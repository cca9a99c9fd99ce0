//! One claimed job, from its first step to what is written down of it; and how it is given back where it cannot be done now.

use std::time::Duration;

use anyhow::{Context as _, Result};
use catalog::{Claim, Claimed, Next};
use domain::{Action, Failure, JobId, Outcome, Recording, RecordingId, Timestamp};
use queue::Message;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{Held, Runner, Stop, Ticket};
use crate::{Manifests, Point, exports::Line, jobs, lease::Heartbeat, measure, retry};

impl Runner {
    /// Another job for a connection that has come free, straight from the ledger: a small file leaves in less time than it takes to be
    /// handed over and received.
    pub(super) async fn next(&self, held: &Held, stop: &CancellationToken) -> Option<(Claim, Heartbeat)> {
        let to = held.line.as_ref()?.to();
        if stop.is_cancelled() || self.abandon.is_cancelled() {
            return None;
        }
        let (library, now) = (&self.library, self.library.now());
        let claimed = async {
            let Some(job) = library.catalog.next_to(to, now).await? else { return Ok(Claimed::Nothing) };
            let places = library.destinations.places(now);
            library.catalog.claim_within(job, &library.worker, now, library.lease, &places).await
        };
        match claimed.await {
            Ok(Claimed::Ours(claim)) => {
                library.steps.at(Point::JobClaimed);
                let (catalog, clock) = (library.catalog.clone(), library.clock.clone());
                let heartbeat = Heartbeat::start(catalog, clock, Claim::clone(&claim), library.lease);
                Some((*claim, heartbeat))
            }
            Ok(Claimed::Nothing | Claimed::Full { .. }) => None,
            Err(e) => {
                debug!(to, error = %e, "what goes there next is not known; it is handed over");
                None
            }
        }
    }

    /// Does one claimed job and writes down what came of it. When the catalog does not take it, the lease runs
    /// out and the job is done again. What it held is given back where another may follow at once. Its recording is given
    /// where it was read just now.
    pub(super) async fn finish(
        &self,
        claim: Claim,
        recording: Option<Recording>,
        heartbeat: Heartbeat,
        ticket: Option<Ticket>,
        mut held: Held,
    ) -> Option<Held> {
        let message = ticket.as_ref().map(|ticket| &ticket.message);
        let started = tokio::time::Instant::now();
        if let Some(line) = &held.line {
            line.take_share(&self.library).await;
        }
        let done = tokio::select! {
            done = jobs::perform(&self.library, &claim, recording, &heartbeat.progress) => done,
            never = held.keep_share(&self.library) => match never {},
            () = heartbeat.lost.cancelled() => Err(Stop::Lost),
            () = Ticket::lost(ticket.as_ref()) => {
                self.abandoned(&claim, message).await;
                return None;
            }
            () = self.abandon.cancelled() => {
                self.abandoned(&claim, message).await;
                return None;
            }
        };
        if let Some(line) = &mut held.line {
            line.transferred();
        }
        let mut held = (held.line.is_some() && done.is_ok()).then_some(held);
        measure::job(&claim.job.spec.action, &done, started.elapsed());
        let written = match done {
            Ok(outcome) => self.record(&claim, outcome).await,
            Err(Stop::Failed(failure)) => self.fail(&claim, failure).await,
            Err(Stop::Later(at)) => {
                drop(heartbeat);
                self.put_off(&claim, message, at).await;
                return None;
            }
            // The message may come again at once: the ledger knows whose the job is.
            Err(Stop::Lost) => {
                if let Some(message) = message {
                    self.give_back(message).await;
                }
                return None;
            }
        };
        drop(heartbeat);
        match written {
            // Promise 4: acknowledged only now, when the outcome is durably recorded.
            Ok(()) => {
                if let Some(message) = message {
                    self.acknowledge(message).await;
                }
                self.library.steps.at(Point::JobAcknowledged);
            }
            Err(e) => {
                held = None;
                error!(error = format!("{e:#}"), "the outcome is not recorded; the job will be done again")
            }
        }
        self.wake();
        held.filter(|held| held.line.as_ref().is_some_and(Line::may_go_on))
    }

    async fn record(&self, claim: &Claim, outcome: Outcome) -> Result<()> {
        self.ask_for_manifest(claim).await?;
        match self.library.conclude(claim, &outcome).await {
            // It may be released in a moment; and what a rule asked for, it asks for again then.
            Err(e) if e.kind() == catalog::Kind::Held => {
                return self.fail(claim, Failure::temporary(e.to_string())).await;
            }
            recorded => recorded.context("recording the outcome")?,
        }
        self.library.steps.at(Point::JobRecorded);
        info!(attempts = claim.job.attempts, "done");
        Ok(())
    }

    async fn fail(&self, claim: &Claim, failure: Failure) -> Result<()> {
        let now = self.library.now();
        let failures = claim.job.failures + 1;
        let next = match retry::next(&claim.job.spec.action, &failure, failures) {
            _ if claim.job.attempts >= retry::MAX_ATTEMPTS => Next::Park,
            retry::Next::After(delay) => Next::Retry { at: now + delay },
            retry::Next::Park => Next::Park,
        };
        if next == Next::Park {
            self.ask_for_manifest(claim).await?;
        }
        match next {
            Next::Park => warn!(reason = %failure, failures, "parked"),
            Next::Retry { at } => {
                info!(reason = %failure, failures, again = %at, "failed; will be tried again")
            }
        }
        self.library.catalog.fail(claim, &failure, next, now).await.context("recording the failure")?;
        self.settle(claim.job.spec.recording).await
    }

    /// Before the end of an export that was taken up again is written down: a crash between the two has it done once more.
    async fn ask_for_manifest(&self, claim: &Claim) -> Result<()> {
        match (&claim.job.spec.action, claim.batch) {
            (Action::Export(_), Some(batch)) => Manifests::ask_again(&*self.library.catalog, batch).await,
            _ => Ok(()),
        }
    }

    /// What follows from a failure, for the recording and for the session it belongs to.
    async fn settle(&self, id: RecordingId) -> Result<()> {
        let session = self.library.recording(id).await?.session;
        self.library.decide(&[Some(id), session].into_iter().flatten().collect::<Vec<_>>()).await
    }

    /// The ledger hands it over again when it is time; this message has served.
    pub(super) async fn put_off(&self, claim: &Claim, message: Option<&Message>, until: Timestamp) {
        match self.library.catalog.release(claim, until).await {
            Ok(()) => {
                debug!(job.id = %claim.job.spec.id, %until, "put off");
                if let Some(message) = message {
                    self.acknowledge(message).await;
                }
            }
            Err(e) => warn!(error = %e, "job not put off; its lease will run out"),
        }
    }

    /// Its destination has no place for it: the ledger hands it over again when there is one, not before it is time.
    pub(super) async fn stand_back(&self, job: JobId, to: &str, message: &Message) {
        let now = self.library.now();
        let until = self.library.destinations.again(to, now);
        match self.library.catalog.put_off(job, now, until).await {
            Ok(()) => {
                debug!(job.id = %job, to, %until, "no place there; put off");
                self.acknowledge(message).await;
            }
            Err(e) => warn!(job.id = %job, error = %e, "job not put off; its message comes again"),
        }
    }

    async fn abandoned(&self, claim: &Claim, message: Option<&Message>) {
        if let Err(e) = self.hand_back(claim, message).await {
            warn!(error = format!("{e:#}"), "job not handed back; its lease will run out");
        }
    }

    pub(super) async fn acknowledge(&self, message: &Message) {
        if let Err(e) = self.library.queue.ack(&message.receipt).await {
            debug!(error = %e, "message not acknowledged; it will find the job done");
        }
    }

    pub(super) async fn give_back(&self, message: &Message) {
        if let Err(e) = self.library.queue.release(&message.receipt, Duration::ZERO).await {
            debug!(error = %e, "message not given back; its visibility will end");
        }
    }

    pub(super) async fn hand_back(&self, claim: &Claim, message: Option<&Message>) -> Result<()> {
        self.library.catalog.release(claim, self.library.now()).await.context("handing the job back")?;
        if let Some(message) = message {
            self.give_back(message).await;
        }
        info!(job.id = %claim.job.spec.id, "handed back unfinished");
        Ok(())
    }
}
