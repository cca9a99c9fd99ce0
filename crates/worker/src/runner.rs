//! JOB -> DO -> RECORD: takes messages, and has what they tell of done under a lease (`runner/doing.rs`).

mod doing;

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result};
use catalog::{Claim, Claimed, JobFilter};
use domain::{Action, Cost, Failure, Job, JobId, JobState, Lane, Recording, Timestamp};
use queue::Message;
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, Span, debug, error, info, info_span, warn};

use crate::{
    Library, Point, Protection,
    admission::{Admission, Admitted},
    exports::{Line, Turn},
    gate::Gate,
    jobs,
    keep::Keep,
    lease::Heartbeat,
    relay::{Bounds, Relay},
};

/// What this machine gives to jobs.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub threads: u32,
    /// Bytes.
    pub memory: u64,
    /// Bytes of scratch disk, for sources that have to be fetched and for outputs that are being made.
    pub disk: u64,
    /// How long running jobs may go on after the stop was asked for; then they are handed back.
    pub drain: Duration,
    /// Messages to keep in the queue at most, where they cost our memory; the rest wait in the ledger.
    pub backlog: Option<u64>,
    /// How often to have the watched buckets compared with the catalog, where nothing else schedules it.
    pub walk_every: Option<Duration>,
}

/// How long one look into the queue waits for a message (SQS allows 20 s at most).
const POLL: Duration = Duration::from_secs(20);
/// How often `run_to_rest` looks whether there is nothing left.
const REST: Duration = Duration::from_millis(250);
/// An export that is to be done later than this keeps `run_to_rest` from nothing; and of so many jobs at most that is looked at.
const FAR: Duration = Duration::from_secs(60);
const LATER_JOBS: u32 = 1000;
/// How often the bulk lane looks whether there is room again.
const FULL: Duration = Duration::from_secs(1);
/// Room that comes within this has hardly been waited for, and what came with the one that waits is not given back: copies of
/// small files make room all the time, and who gives a message back is a step nearer to having it among the dead letters.
const SOON: Duration = Duration::from_millis(100);
/// Event messages looked at together: reading and hashing is what they cost.
const EVENTS: usize = 8;

/// Whether a job could start as soon as it came.
enum Room {
    AtOnce,
    After,
}

/// Why a job's work ended without an outcome.
pub(crate) enum Stop {
    Failed(Failure),
    /// It is not the time for it: it is given back, to be taken up again then.
    Later(Timestamp),
    /// Another worker may have the job: not a word more is written.
    Lost,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What a job takes for as long as it runs.
struct Held {
    _room: Admitted,
    line: Option<Line>,
}

/// A message, for as long as its job is worked on.
struct Ticket {
    message: Message,
    keep: Keep,
}

impl Ticket {
    /// Another worker may get the message, or gets it soon: it is to find the job free.
    async fn lost(ticket: Option<&Self>) {
        match ticket {
            Some(ticket) => ticket.keep.lost.cancelled().await,
            None => std::future::pending().await,
        }
    }
}

impl Held {
    async fn keep_share(&self, library: &Library) -> Infallible {
        match &self.line {
            Some(line) => line.keep_share(library).await,
            None => std::future::pending().await,
        }
    }
}

#[derive(Clone)]
pub struct Runner {
    library: Arc<Library>,
    admission: Admission,
    limits: Limits,
    gate: Gate,
    /// Event messages that may be looked at besides those that are.
    events: Arc<Semaphore>,
    /// Work may have appeared in the ledger.
    wake: Arc<Notify>,
    tasks: TaskTracker,
    /// Stop what runs, now.
    abandon: CancellationToken,
}

impl Runner {
    pub fn new(library: Arc<Library>, limits: Limits) -> Self {
        Self::protected(library, limits, None)
    }

    /// One that whoever scales the fleet in is told of while it is busy.
    pub fn protected(library: Arc<Library>, limits: Limits, protection: Option<Arc<dyn Protection>>) -> Self {
        Self {
            library,
            admission: Admission::new(&limits),
            limits,
            gate: Gate::new(protection),
            events: Arc::new(Semaphore::new(EVENTS)),
            wake: Arc::new(Notify::new()),
            tasks: TaskTracker::new(),
            abandon: CancellationToken::new(),
        }
    }

    /// To be called after work was entered into the ledger by this process.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    pub(crate) fn is_full(&self) -> bool {
        self.library.full.load(Ordering::SeqCst)
    }

    /// Takes over what an earlier process left. The caller holds the library's lock, so nobody else works here.
    pub async fn recover(&self) -> Result<u64> {
        self.begin().await?;
        self.library.catalog.recover(None, self.library.now()).await.context("recovering jobs")
    }

    /// Puts this process's policy in force.
    pub async fn begin(&self) -> Result<()> {
        let library = &self.library;
        if library.catalog.policy_in_force(library.policy.hash(), library.now()).await? {
            info!(policy = library.policy.hash(), "another policy is in force; everything is decided anew");
        }
        Ok(())
    }

    /// Runs until `stop`, then drains: nothing new is taken, what runs gets `limits.drain` to finish and is
    /// handed back otherwise.
    pub async fn run(&self, stop: CancellationToken) {
        self.serve(stop).await;
        self.drain().await;
    }

    /// Takes work until `stop`; what was taken by then goes on.
    pub async fn serve(&self, stop: CancellationToken) {
        let bounds = Bounds { backlog: self.limits.backlog, walk_every: self.limits.walk_every };
        let relay = Relay::new(self.library.clone(), bounds).run(&self.wake, stop.clone());
        let dispatchers = Lane::ALL.map(|lane| self.dispatch(lane, stop.clone()));
        tokio::join!(relay, self.listen(stop.clone()), futures::future::join_all(dispatchers));
    }

    /// Waits for what was taken, for as long as the limits say; the rest is handed back.
    pub async fn drain(&self) {
        self.tasks.close();
        if tokio::time::timeout(self.limits.drain, self.tasks.wait()).await.is_err() {
            self.abandon.cancel();
            self.tasks.wait().await;
        }
    }

    /// One that works by another policy from here on, on what this machine gives: what this one has in hand goes on beside
    /// it, and is drained with it. To be asked for when [`serve`](Runner::serve) has ended.
    pub async fn succeed(&self, library: Arc<Library>) -> Result<Self> {
        let next = Self { library, ..self.clone() };
        next.begin().await?;
        Ok(next)
    }

    /// Runs until nothing is left to do but what waits for something outside, or until `stop`.
    pub async fn run_to_rest(&self, stop: CancellationToken) {
        let rest = stop.child_token();
        let watch = async {
            while !rest.is_cancelled() {
                tokio::select! {
                    () = rest.cancelled() => {}
                    () = tokio::time::sleep(REST) => {
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

    /// No job is open and nothing is to be decided, at one moment: the counts before and after are equal, so that no job was
    /// entered or ended while it was looked for what is to be decided. Without the second look, a decision that is settled
    /// between the two would hide its jobs from the first and itself from the other.
    async fn at_rest(&self) -> Result<bool> {
        let catalog = &self.library.catalog;
        let before = catalog.counts().await?.jobs;
        let open = |state| before.get(&state).copied().unwrap_or(0);
        if open(JobState::Running) > 0 || !self.all_later(open(JobState::Pending)).await? {
            return Ok(false);
        }
        if !catalog.to_decide(self.library.now(), None, 1).await?.is_empty() {
            return Ok(false);
        }
        Ok(catalog.counts().await?.jobs == before)
    }

    /// Whether that many jobs all wait for somebody else: for the hours of a destination, or until it answers again.
    async fn all_later(&self, pending: u64) -> Result<bool> {
        if pending == 0 {
            return Ok(true);
        }
        let filter = JobFilter { states: vec![JobState::Pending], ..JobFilter::default() };
        let jobs = self.library.catalog.jobs(&filter, LATER_JOBS).await?;
        let now = self.library.now();
        let is_closed = |to: &str| self.library.destinations.opens(to, now).is_some_and(|at| at > now + FAR);
        let is_later = |job: &Job| match &job.spec.action {
            Action::Export(export) => job.run_after > now + FAR || is_closed(&export.to),
            _ => false,
        };
        Ok(jobs.len() as u64 == pending && jobs.iter().all(is_later))
    }

    /// The events' dispatcher: as many at a time as may be looked at besides those that are.
    async fn listen(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let Ok(first) = self.events.clone().acquire_owned().await else { return };
            let mut permits = vec![first];
            while permits.len() < queue::MAX_RECEIVE
                && let Ok(another) = self.events.clone().try_acquire_owned()
            {
                permits.push(another);
            }
            let messages = self.receive(queue::Lane::Events, permits.len(), &stop).await;
            for (message, permit) in messages.into_iter().zip(permits) {
                let (runner, busy) = (self.clone(), self.gate.busy());
                self.tasks.spawn(async move {
                    tokio::select! {
                        () = runner.library.hear(&message) => {}
                        () = runner.abandon.cancelled() => runner.give_back(&message).await,
                    }
                    drop((busy, permit));
                    runner.wake();
                });
            }
        }
    }

    /// Messages, or none when it is time to look whether to go on.
    async fn receive(&self, lane: queue::Lane, most: usize, stop: &CancellationToken) -> Vec<Message> {
        tokio::select! {
            () = stop.cancelled() => return Vec::new(),
            () = self.gate.enter(&*self.library.queue) => {}
        }
        let lanes = [lane];
        let received = tokio::select! {
            () = stop.cancelled() => return Vec::new(),
            received = self.library.queue.receive(&lanes, most, POLL) => received,
        };
        match received {
            Ok(messages) => {
                if messages.is_empty() {
                    self.gate.empty(lane).await;
                }
                messages
            }
            Err(e) => {
                error!(error = %e, lane = lane.as_str(), "the queue does not answer; trying again");
                tokio::time::sleep(Duration::from_secs(1)).await;
                Vec::new()
            }
        }
    }

    /// One lane's dispatcher: receives, claims, waits for room, starts. While there is room at once it takes more
    /// messages at a time, and asks for the next ones meanwhile; when there is none it keeps only the one it waits with,
    /// so that others get the rest.
    async fn dispatch(&self, lane: Lane, stop: CancellationToken) {
        let mut most = 1;
        let mut asked: Option<JoinHandle<Vec<Message>>> = None;
        while !stop.is_cancelled() {
            // What makes room is interactive.
            if lane == Lane::Bulk && self.library.full.load(Ordering::SeqCst) {
                self.leave(asked.take());
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(FULL) => continue,
                }
            }
            let mut messages: VecDeque<Message> = match asked.take() {
                Some(asked) => asked.await.unwrap_or_default().into(),
                None => self.receive(lane.into(), most, &stop).await.into(),
            };
            most = (most * 2).min(queue::MAX_RECEIVE);
            // Where so many came there are more.
            if messages.len() == queue::MAX_RECEIVE {
                let (runner, stop) = (self.clone(), stop.clone());
                asked = Some(tokio::spawn(async move { runner.receive(lane.into(), most, &stop).await }));
            }
            messages = self.without_those_that_served(messages).await;
            while let Some(message) = messages.pop_front() {
                match self.start(lane, message, &mut messages, &stop).await {
                    Ok(Room::AtOnce) => {}
                    Ok(Room::After) => {
                        most = 1;
                        self.leave(asked.take());
                    }
                    Err(e) => error!(error = format!("{e:#}"), "message left for later"),
                }
            }
        }
        self.leave(asked);
    }

    /// Of messages that came together: their jobs may be done already, or another worker may have them. One look into the
    /// ledger says so of all, where a claim of each would ask three times as often as there are messages.
    async fn without_those_that_served(&self, messages: VecDeque<Message>) -> VecDeque<Message> {
        let job = |message: &Message| message.body.parse::<JobId>().ok();
        let jobs: Vec<_> = messages.iter().filter_map(job).collect();
        if jobs.len() < 2 {
            return messages;
        }
        let claimable = match self.library.catalog.claimable(&jobs, self.library.now()).await {
            Ok(claimable) => claimable,
            Err(e) => {
                debug!(error = %e, "which of the messages still matter is not known; each is asked for");
                return messages;
            }
        };
        let matters = |message: &Message| job(message).is_none_or(|job| claimable.contains(&job));
        let (matter, served): (VecDeque<_>, VecDeque<_>) = messages.into_iter().partition(matters);
        for message in served {
            self.served(message);
        }
        matter
    }

    /// The ledger knows what the message told of. Nobody waits for the answer, so that many go together.
    fn served(&self, message: Message) {
        debug!(job.id = %message.body, "nothing to claim");
        let runner = self.clone();
        self.tasks.spawn(async move { runner.acknowledge(&message).await });
    }

    /// What was asked for and is not wanted any more goes back as soon as it comes.
    fn leave(&self, asked: Option<JoinHandle<Vec<Message>>>) {
        let Some(asked) = asked else { return };
        let runner = self.clone();
        self.tasks.spawn(async move {
            for message in asked.await.unwrap_or_default() {
                runner.give_back(&message).await;
            }
        });
    }

    /// `others` came with the same receive and are given back when this one has to wait.
    async fn start(
        &self,
        lane: Lane,
        message: Message,
        others: &mut VecDeque<Message>,
        stop: &CancellationToken,
    ) -> Result<Room> {
        let library = &self.library;
        library.steps.at(Point::JobReceived);
        let Ok(job) = message.body.parse::<JobId>() else {
            let reason = "it is not a job's id; whoever sent it is not videorec, or another version of it";
            warn!(body = ?message.body.chars().take(80).collect::<String>(), "parked: {reason}");
            // Acknowledge, or the queue repeats what nobody can read for ever.
            library.letters.park(lane.into(), message.body.clone(), reason).await?;
            library.queue.ack(&message.receipt).await?;
            return Ok(Room::AtOnce);
        };
        let now = library.now();
        let places = library.destinations.places(now);
        let claimed = library.catalog.claim_within(job, &library.worker, now, library.lease, &places).await?;
        let claim = match claimed {
            Claimed::Ours(claim) => *claim,
            Claimed::Nothing => {
                // Done already, or another worker has it.
                self.served(message);
                return Ok(Room::AtOnce);
            }
            Claimed::Full { to } => {
                let runner = self.clone();
                self.tasks.spawn(async move { runner.stand_back(job, &to, &message).await });
                return Ok(Room::AtOnce);
            }
        };
        library.steps.at(Point::JobClaimed);
        let line = match library.destinations.turn(&claim.job.spec.action, library.now()) {
            Turn::Now(line) => line,
            Turn::Later(at) => {
                let runner = self.clone();
                self.tasks.spawn(async move { runner.put_off(&claim, Some(&message), at).await });
                return Ok(Room::AtOnce);
            }
        };
        let heartbeat =
            Heartbeat::start(library.catalog.clone(), library.clock.clone(), claim.clone(), library.lease);
        let keep = Keep::start(library, message.receipt.clone());
        let mut recording = library.catalog.get(claim.job.spec.recording).await?;
        let cost = self.cost(&claim, recording.as_ref());
        let mut room = Room::AtOnce;
        let mut admit = pin!(self.admission.admit(lane, cost, line.is_some()));
        let admitted = match tokio::time::timeout(SOON, &mut admit).await {
            Ok(admitted) => admitted,
            Err(_) => {
                room = Room::After;
                // It is read anew when there is room.
                recording = None;
                for other in others.drain(..) {
                    self.give_back(&other).await;
                }
                // While another encodes, what this one will read is fetched.
                let spec = &claim.job.spec;
                tokio::spawn(jobs::prefetch(library.clone(), spec.recording, spec.action.clone()));
                tokio::select! {
                    admitted = admit => admitted,
                    () = stop.cancelled() => {
                        self.hand_back(&claim, Some(&message)).await?;
                        return Ok(room);
                    }
                }
            }
        };
        // What waits for its share of a line reads it when its turn comes.
        let recording = recording.filter(|_| line.is_none());
        let span = span_of(&claim);
        let (runner, busy, stop) = (self.clone(), self.gate.busy(), stop.clone());
        let work = async move {
            let held = Held { _room: admitted, line };
            let ticket = Some(Ticket { message, keep });
            let mut held = runner.finish(claim, recording, heartbeat, ticket, held).instrument(span).await;
            while let Some(line) = held.take() {
                let Some((claim, heartbeat)) = runner.next(&line, &stop).await else { break };
                let span = span_of(&claim);
                held = runner.finish(claim, None, heartbeat, None, line).instrument(span).await;
            }
            drop(busy);
        };
        self.tasks.spawn(work);
        Ok(room)
    }

    fn cost(&self, claim: &Claim, recording: Option<&Recording>) -> Cost {
        let spec = &claim.job.spec;
        let mut cost = media::cost(&spec.action, recording.and_then(|r| r.media()));
        cost.disk = jobs::disk(&self.library, &spec.action, recording);
        cost
    }
}

fn span_of(claim: &Claim) -> Span {
    let spec = &claim.job.spec;
    info_span!("job", job.id = %spec.id, recording.id = %spec.recording, job.what = spec.action.label())
}
