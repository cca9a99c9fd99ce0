//! What one worker of all does: decide on what nobody told of, hand jobs from the ledger to the queue, tell people.
//!
//! The ledger is the truth and the outbox: a decision enters its jobs in one transaction, and whoever leads sends them
//! from there. A crash between the two costs a moment, since the next leader finds the same rows.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result};
use domain::{Lane, Timestamp};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::{
    Library, Manifests, Point, beside::Beside, drift, events, leftovers, rounds::Rounds, survey::Survey,
    watch::Watch,
};

const ROLE: &str = "relay";
/// How often the leader looks when nothing wakes it: what another process's decision waits at most.
const TICK: Duration = Duration::from_millis(250);
/// How often the others ask whether they lead by now.
const CANDIDATE: Duration = Duration::from_secs(5);
/// Jobs handed over at a time.
const BATCH: u32 = 256;
/// Between two looks into the queue for lost messages.
const DEPTH: Duration = Duration::from_secs(30);
/// After trouble with telling people: it will not pass in a moment.
const ALERT_TROUBLE: Duration = Duration::from_secs(30);
const ALERTS: u32 = 50;

/// Bounds that differ between one machine and a fleet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Messages to keep in the queue at most, where they cost our memory; the rest wait in the ledger.
    pub backlog: Option<u64>,
    /// How often to have the watched buckets compared with the catalog.
    pub walk_every: Option<Duration>,
}

pub(crate) struct Relay {
    library: Arc<Library>,
    bounds: Bounds,
    lead_until: Option<Timestamp>,
    looked_for_lost: Option<Timestamp>,
    walked: Option<Timestamp>,
    quiet_until: Option<Timestamp>,
    rounds: Rounds,
    manifests: Manifests,
    watch: Watch,
    survey: Survey,
    drift: Beside,
    leftovers: Beside,
}

impl Relay {
    pub(crate) fn new(library: Arc<Library>, bounds: Bounds) -> Self {
        Self {
            library,
            bounds,
            lead_until: None,
            looked_for_lost: None,
            walked: None,
            quiet_until: None,
            rounds: Rounds::default(),
            manifests: Manifests::default(),
            watch: Watch::default(),
            survey: Survey::default(),
            drift: Beside::default(),
            leftovers: Beside::default(),
        }
    }

    /// Runs until `stop`, and makes room for the next one.
    pub(crate) async fn run(mut self, wake: &Notify, stop: CancellationToken) {
        self.take_turns(wake, stop).await;
        self.resign().await;
    }

    /// Another may lead at once.
    async fn resign(&mut self) {
        if self.lead_until.take().is_none() {
            return;
        }
        let (library, now) = (&self.library, self.library.now());
        if let Err(e) = library.catalog.lead(ROLE, &library.worker, now, Duration::ZERO).await {
            debug!(error = %e, "the place is free when its time is over");
        }
    }

    async fn take_turns(&mut self, wake: &Notify, stop: CancellationToken) {
        let mut failures = 0u32;
        loop {
            let begun = Instant::now();
            let turn = self.turn().await;
            let took = begun.elapsed();
            let pause = match turn {
                Ok(true) => TICK,
                Ok(false) => CANDIDATE.min(self.library.lease / 3),
                Err(e) => {
                    failures += 1;
                    error!(error = format!("{e:#}"), failures, "cannot look for work; trying again");
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(TICK * (1 << failures.min(6))) => continue,
                    }
                }
            };
            failures = 0;
            tokio::select! {
                () = stop.cancelled() => return,
                // Where many jobs end, one look serves all that ended meanwhile: it rests as long as it took to look, and never
                // longer than if nothing had woken it.
                () = wake.notified() => tokio::time::sleep(took.min(TICK)).await,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// True while this worker leads.
    async fn turn(&mut self) -> Result<bool> {
        self.rounds.look_for_emergency(&self.library).await?;
        if !self.leads().await? {
            return Ok(false);
        }
        let now = self.library.now();
        // Messages that the queue has lost: the ledger does not know of that.
        let look = self.looked_for_lost.is_none_or(|at| now.since(at) >= DEPTH.min(self.library.lease));
        // Most of the time nothing does, and one question is asked instead of six.
        let stirs = look || self.library.catalog.stirs(now).await?;
        if stirs {
            self.library.sweep().await?;
            for lane in Lane::ALL {
                self.hand_over(lane, look).await?;
            }
        }
        if look {
            self.looked_for_lost = Some(now);
        }
        self.library.steps.at(Point::JobHandedOver);
        self.ask_for_a_walk().await?;
        // Trouble with it keeps nobody from working, and nothing goes by it.
        if let Err(e) = self.rounds.turn(&self.library).await {
            error!(error = format!("{e:#}"), "a round came to nothing; trying again");
        }
        if let Err(e) = self.watch.turn(&self.library).await {
            error!(error = format!("{e:#}"), "the hourly look came to nothing; trying again");
        }
        if let Err(e) = self.survey.turn(&self.library).await {
            error!(error = format!("{e:#}"), "the look at all recordings came to nothing; trying again");
        }
        drift::turn(&mut self.drift, &self.library);
        leftovers::turn(&mut self.leftovers, &self.library);
        self.manifests.turn(&self.library);
        // What was raised in this turn stirs the next.
        if stirs {
            self.tell().await?;
        }
        Ok(true)
    }

    /// Asked again only when half of the time is over: an idle leader writes nothing most of the time.
    async fn leads(&mut self) -> Result<bool> {
        if self.library.outdated.load(Ordering::SeqCst) {
            // Whoever decides leads.
            self.resign().await;
            return Ok(false);
        }
        let now = self.library.now();
        // What a dead leader's place stays empty at most.
        let term = self.library.lease / 3;
        if self.lead_until.is_some_and(|until| now + term / 2 < until) {
            return Ok(true);
        }
        let leads = self.library.catalog.lead(ROLE, &self.library.worker, now, term).await?;
        if leads != self.lead_until.is_some() {
            debug!(leads, "relay");
        }
        self.lead_until = leads.then(|| now + term);
        Ok(leads)
    }

    /// Looks, too, for what the queue has lost or never took: the ledger has it handed over.
    async fn hand_over(&self, lane: Lane, look: bool) -> Result<()> {
        let library = &self.library;
        let now = library.now();
        let mut lost_before = None;
        let mut room = u64::MAX;
        if look || self.bounds.backlog.is_some() {
            let depth = library.queue.depth().await?;
            let of = depth.iter().find(|d| d.lane == lane.into()).map_or(0, |d| d.visible + d.delayed);
            room = self.bounds.backlog.map_or(u64::MAX, |most| most.saturating_sub(of));
            // Handed over a lease ago, not taken, and nothing visible in the queue: lost on the way.
            lost_before = (look && of == 0).then(|| now - library.lease);
        }
        loop {
            let limit = u32::try_from(room).unwrap_or(BATCH).min(BATCH);
            if limit == 0 {
                return Ok(());
            }
            let now = library.now();
            // Of what goes to a partner only as much as it takes at a time: a million exports wait where they cost nothing.
            let places = library.destinations.places(now);
            let jobs = library.catalog.offer_within(lane, now, limit, lost_before.take(), &places).await?;
            if jobs.is_empty() {
                return Ok(());
            }
            room = room.saturating_sub(jobs.len() as u64);
            library.steps.at(Point::JobOffered);
            let bodies: Vec<String> = jobs.iter().map(ToString::to_string).collect();
            // Offered and not sent: they are offered again, as if the queue had lost them.
            library.queue.send_many(lane.into(), bodies).await.context("handing jobs over")?;
        }
    }

    /// Where nothing else schedules it.
    async fn ask_for_a_walk(&mut self) -> Result<()> {
        let Some(every) = self.bounds.walk_every else { return Ok(()) };
        let now = self.library.now();
        if self.library.watched.is_empty() || self.walked.is_some_and(|at| now.since(at) < every) {
            return Ok(());
        }
        self.library.queue.send(queue::Lane::Events, events::TICK.to_owned(), Duration::ZERO).await?;
        self.walked = Some(now);
        Ok(())
    }

    /// Told first, marked then: a crash between the two tells twice. Trouble with it keeps nobody from working.
    async fn tell(&mut self) -> Result<()> {
        let library = &self.library;
        let now = library.now();
        if self.quiet_until.is_some_and(|until| now < until) {
            return Ok(());
        }
        let mut told = Vec::new();
        for (seq, alert) in library.catalog.unsent(ALERTS).await? {
            if let Err(e) = library.alerts.tell(&alert).await {
                // What is wrong with the way itself does not pass: it must not stand before everything that follows.
                if !e.is_temporary() {
                    error!(error = %e, alert.key, "an alert cannot be delivered; mend the channel");
                    told.push(seq);
                    continue;
                }
                warn!(error = %e, alert.key, "an alert is not delivered; trying again");
                self.quiet_until = Some(now + ALERT_TROUBLE);
                continue;
            }
            told.push(seq);
        }
        if !told.is_empty() {
            library.catalog.sent(&told, library.now()).await?;
        }
        Ok(())
    }
}
