//! JOB -> DO -> RECORD: takes messages, does the work under a lease, records, decides again, acknowledges.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use catalog::{Claim, Next};
use domain::{Failure, JobId, JobState, Lane, Outcome, RecordingId};
use queue::Message;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, debug, error, info, info_span, warn};

use crate::{
    Library, Point,
    admission::{Admission, Admitted},
    jobs,
    lease::{self, Heartbeat},
    retry,
};

/// What this machine gives to jobs.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub threads: u32,
    /// Bytes.
    pub memory: u64,
    /// How long running jobs may go on after the stop was asked for; then they are handed back.
    pub drain: Duration,
}

/// How often the ledger is looked at when nothing wakes us: what another process's `ingest` waits at most.
const TICK: Duration = Duration::from_millis(250);
/// Messages put into the queue at a time; the rest wait in the ledger, where they cost no memory.
const FEED: u32 = 256;
/// How long one look into the queue waits for a message (SQS allows 20 s at most).
const POLL: Duration = Duration::from_secs(20);

/// Why a job's work ended without an outcome.
pub(crate) enum Stop {
    Failed(Failure),
    /// Another worker may have the job: not a word more is written.
    Lost,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

#[derive(Clone)]
pub struct Runner {
    library: Arc<Library>,
    admission: Admission,
    limits: Limits,
    /// Work may have appeared in the ledger.
    wake: Arc<Notify>,
    tasks: TaskTracker,
    /// Stop what runs, now.
    abandon: CancellationToken,
}

impl Runner {
    pub fn new(library: Arc<Library>, limits: Limits) -> Self {
        Self {
            library,
            admission: Admission::new(limits.threads, limits.memory),
            limits,
            wake: Arc::new(Notify::new()),
            tasks: TaskTracker::new(),
            abandon: CancellationToken::new(),
        }
    }

    /// To be called after work was entered into the ledger by this process.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Takes over what an earlier process left. The caller holds the library's lock, so nobody else works here.
    pub async fn recover(&self) -> Result<u64> {
        let library = &self.library;
        let now = library.now();
        if library.catalog.policy_in_force(library.policy.hash(), now).await? {
            info!(policy = library.policy.hash(), "another policy is in force; everything is decided anew");
        }
        library.catalog.recover(None, now).await.context("recovering jobs")
    }

    /// Runs until `stop`, then drains: nothing new is taken, what runs gets `limits.drain` to finish and is
    /// handed back otherwise.
    pub async fn run(&self, stop: CancellationToken) {
        let dispatchers = Lane::ALL.map(|lane| self.dispatch(lane, stop.clone()));
        tokio::join!(self.feed(stop.clone()), futures::future::join_all(dispatchers));
        self.tasks.close();
        if tokio::time::timeout(self.limits.drain, self.tasks.wait()).await.is_err() {
            self.abandon.cancel();
            self.tasks.wait().await;
        }
    }

    /// Runs until nothing is left to do but what waits for something outside, or until `stop`.
    pub async fn run_to_rest(&self, stop: CancellationToken) {
        let rest = stop.child_token();
        let watch = async {
            while !rest.is_cancelled() {
                tokio::select! {
                    () = rest.cancelled() => {}
                    () = tokio::time::sleep(TICK) => {
                        if self.at_rest().await.unwrap_or(false) {
                            rest.cancel();
                        }
                    }
                }
            }
        };
        tokio::join!(self.run(rest.clone()), watch);
    }

    /// Ends the work in progress at once instead of after the drain time.
    pub fn abandon(&self) {
        self.abandon.cancel();
    }

    async fn at_rest(&self) -> Result<bool> {
        let counts = self.library.catalog.counts().await?;
        let open =
            [JobState::Pending, JobState::Running].iter().any(|s| counts.jobs.get(s).is_some_and(|n| *n > 0));
        Ok(!open && self.library.catalog.to_decide(self.library.now(), None, 1).await?.is_empty())
    }

    /// Moves what is due from the ledger into the queue. The ledger is the truth; a message is only a hint,
    /// so one that was lost with its process is simply sent again.
    async fn feed(&self, stop: CancellationToken) {
        let mut failures = 0u32;
        loop {
            match self.feed_once().await {
                Ok(()) => failures = 0,
                Err(e) => {
                    failures += 1;
                    error!(error = format!("{e:#}"), failures, "cannot look for work; trying again");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.notified(), if failures == 0 => {}
                () = tokio::time::sleep(TICK * (1 << failures.min(6))) => {}
            }
        }
    }

    async fn feed_once(&self) -> Result<()> {
        self.library.sweep().await?;
        for (job, lane) in self.library.catalog.due(self.library.now(), FEED).await? {
            self.library.queue.send(lane, job.to_string(), Duration::ZERO).await?;
        }
        Ok(())
    }

    /// One lane's dispatcher: receives, claims, waits for room, starts.
    async fn dispatch(&self, lane: Lane, stop: CancellationToken) {
        let lanes = [lane];
        while !stop.is_cancelled() {
            let received = tokio::select! {
                () = stop.cancelled() => return,
                received = self.library.queue.receive(&lanes, 1, POLL) => received,
            };
            match received {
                Ok(messages) => {
                    for message in messages {
                        if let Err(e) = self.start(lane, message, &stop).await {
                            error!(error = format!("{e:#}"), "message left for later");
                        }
                    }
                }
                Err(e) => {
                    error!(error = %e, "the queue does not answer; trying again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn start(&self, lane: Lane, message: Message, stop: &CancellationToken) -> Result<()> {
        let library = &self.library;
        library.steps.at(Point::JobReceived);
        let Ok(job) = message.body.parse::<JobId>() else {
            // Acknowledge, or the queue repeats what nobody can read for ever.
            error!(body = ?message.body, "not a job id; dropped");
            return Ok(library.queue.ack(&message.receipt).await?);
        };
        let claim = library.catalog.claim(job, &library.worker, library.now(), lease::TTL).await?;
        let Some(claim) = claim else {
            // Done already, or another worker has it: the ledger knows, the message has served.
            debug!(job.id = %job, "nothing to claim");
            return Ok(library.queue.ack(&message.receipt).await?);
        };
        library.steps.at(Point::JobClaimed);
        let heartbeat = Heartbeat::start(library.catalog.clone(), library.clock.clone(), claim.clone());
        let spec = &claim.job.spec;
        let recording = library.catalog.get(spec.recording).await?;
        let cost = media::cost(&spec.action, recording.as_ref().and_then(|r| r.media()));
        let admitted = tokio::select! {
            admitted = self.admission.admit(lane, cost) => admitted,
            () = stop.cancelled() => return self.hand_back(&claim, &message).await,
        };
        let span = info_span!("job", job.id = %spec.id, recording.id = %spec.recording, job.what = spec.action.label());
        let runner = self.clone();
        self.tasks
            .spawn(async move { runner.finish(claim, heartbeat, admitted, message).await }.instrument(span));
        Ok(())
    }

    /// Does one claimed job and writes down what came of it. When the catalog does not take it, the lease runs
    /// out and the job is done again.
    async fn finish(&self, claim: Claim, heartbeat: Heartbeat, admitted: Admitted, message: Message) {
        let done = tokio::select! {
            done = jobs::perform(&self.library, &claim, &heartbeat.progress) => done,
            () = heartbeat.lost.cancelled() => Err(Stop::Lost),
            () = self.abandon.cancelled() => {
                if let Err(e) = self.hand_back(&claim, &message).await {
                    warn!(error = format!("{e:#}"), "job not handed back; its lease will run out");
                }
                return;
            }
        };
        drop(admitted);
        let kept = match done {
            Ok(outcome) => self.record(&claim, outcome).await,
            Err(Stop::Failed(failure)) => self.fail(&claim, failure).await,
            // The message may come again at once: the ledger knows whose the job is.
            Err(Stop::Lost) => {
                if let Err(e) = self.library.queue.release(&message.receipt, Duration::ZERO).await {
                    debug!(error = %e, "message not given back; its visibility will end");
                }
                return;
            }
        };
        drop(heartbeat);
        let settled = match kept {
            Ok(()) => self.settle(&claim).await,
            Err(e) => Err(e),
        };
        match settled {
            // Promise 4: acknowledged only now, when the outcome is durably recorded.
            Ok(()) => {
                if let Err(e) = self.library.queue.ack(&message.receipt).await {
                    debug!(error = %e, "message not acknowledged; it will find the job done");
                }
                self.library.steps.at(Point::JobAcknowledged);
            }
            Err(e) => {
                error!(error = format!("{e:#}"), "the outcome is not recorded; the job will be done again")
            }
        }
        self.wake();
    }

    async fn record(&self, claim: &Claim, outcome: Outcome) -> Result<()> {
        self.library
            .catalog
            .record(claim, &outcome, self.library.now())
            .await
            .context("recording the outcome")?;
        self.library.steps.at(Point::JobRecorded);
        info!(attempts = claim.job.attempts, "done");
        Ok(())
    }

    async fn fail(&self, claim: &Claim, failure: Failure) -> Result<()> {
        let now = self.library.now();
        let failures = claim.job.failures + 1;
        let next = match retry::next(&failure, failures) {
            _ if claim.job.attempts >= retry::MAX_ATTEMPTS => Next::Park,
            retry::Next::After(delay) => Next::Retry { at: now + delay },
            retry::Next::Park => Next::Park,
        };
        match next {
            Next::Park => warn!(reason = %failure, failures, "parked"),
            Next::Retry { at } => {
                info!(reason = %failure, failures, again = %at, "failed; will be tried again")
            }
        }
        self.library.catalog.fail(claim, &failure, next, now).await.context("recording the failure")
    }

    /// What follows from the outcome, for the recording and for the session it belongs to.
    async fn settle(&self, claim: &Claim) -> Result<()> {
        let mut ids: Vec<RecordingId> = vec![claim.job.spec.recording];
        ids.extend(self.library.recording(claim.job.spec.recording).await?.session);
        self.library.decide(&ids).await?;
        self.library.steps.at(Point::JobSettled);
        Ok(())
    }

    async fn hand_back(&self, claim: &Claim, message: &Message) -> Result<()> {
        self.library.catalog.release(claim, self.library.now()).await.context("handing the job back")?;
        self.library.queue.release(&message.receipt, Duration::ZERO).await?;
        info!(job.id = %claim.job.spec.id, "handed back unfinished");
        Ok(())
    }
}
