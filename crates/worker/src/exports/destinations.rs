use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use catalog::Places;
use domain::{Action, Timestamp};
use futures::future::BoxFuture;
use policy::Hours;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tracing::debug;
use transfer::{Destination, Error, ErrorKind, Limited, Pace};

use crate::Library;

/// Makes a destination ready for use: reads its secret, and connects to nothing.
pub type Open = Box<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Destination>, Error>> + Send + Sync>;

/// What a job is put off at least because its destination has no connection free. It doubles while nobody finds one, a few times;
/// and no job is put off for longer than that.
const SOON: Duration = Duration::from_secs(1);
const DOUBLED: u32 = 3;
const LATE: Duration = Duration::from_secs(60 * 60);
/// The least and the most between two that are put off: quick transfers find somebody at once, and of a million jobs for a slow
/// partner no more than ten a second are looked at.
const STEP: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));
/// What a transfer is taken to last before one has ended.
const GUESS: Duration = Duration::from_secs(2);
/// Transfers at once, where the policy does not say.
const CONNECTIONS: u32 = 4;
/// For how long a job after the other may go by one connection, before others have their turn: other workers, too.
const STRETCH: Duration = Duration::from_secs(10);
/// Between two looks at how many share a bandwidth, at most.
const LOOK: Duration = Duration::from_secs(5);

/// Places that files are brought to and fetched from, by the names that the policy gives them. Each has so many connections, for
/// all workers together: the ledger counts who has one ([`Places`]). They are handed out to jobs before those take any room here: a
/// slow partner holds up its own transfers only.
#[derive(Clone, Default)]
pub struct Destinations(BTreeMap<String, Arc<Port>>);

struct Port {
    open: Open,
    opened: tokio::sync::Mutex<Option<Arc<dyn Destination>>>,
    connections: u32,
    lines: Arc<Semaphore>,
    /// Bytes a second that all workers together may send, and what this one sends of it.
    bandwidth: Option<(u64, Arc<Pace>)>,
    hours: Option<Hours>,
    turns: Mutex<Turns>,
}

/// Who comes when.
#[derive(Debug)]
struct Turns {
    /// When somebody else may come who is put off.
    next: Timestamp,
    /// What a transfer lasts, on the average of late.
    lasts: Duration,
    /// Since somebody found a connection.
    refused: u32,
}

/// Whether a job may begin.
pub(crate) enum Turn {
    /// With the connection that it needs, if it needs one.
    Now(Option<Line>),
    Later(Timestamp),
}

/// One of a destination's connections, for as long as it is held.
pub(crate) struct Line {
    to: String,
    port: Arc<Port>,
    /// This transfer, and the first one.
    since: Instant,
    began: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Destinations {
    /// As the policy agreed with whoever runs it. Nothing is connected to, nor any secret read, before somebody needs it: a partner
    /// that is down keeps nobody from working.
    pub fn add(&mut self, name: &str, terms: &policy::Terms, open: Open) {
        let connections = terms.connections.unwrap_or(CONNECTIONS).max(1);
        let port = Port {
            open,
            opened: tokio::sync::Mutex::default(),
            connections,
            lines: Arc::new(Semaphore::new(connections as usize)),
            bandwidth: terms.bandwidth.map(|bytes| (bytes, Arc::new(Pace::new(bytes)))),
            hours: terms.hours.clone(),
            turns: Mutex::new(Turns { next: Timestamp(i64::MIN), lasts: GUESS, refused: 0 }),
        };
        self.0.insert(name.to_owned(), Arc::new(port));
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Errors: there is none of that name, or what opens it cannot be had.
    pub async fn get(&self, name: &str) -> Result<Arc<dyn Destination>, Error> {
        let port = self.port(name).ok_or_else(|| {
            let message = format!(
                "there is no destination `{name}`; add it under `stores:` in the policy, then `videorec retry`"
            );
            Error::new(ErrorKind::Invalid, message)
        })?;
        let mut opened = port.opened.lock().await;
        if let Some(opened) = &*opened {
            return Ok(opened.clone());
        }
        let made = (port.open)().await?;
        let made: Arc<dyn Destination> = Arc::new(Limited::new(
            made,
            port.connections as usize,
            port.bandwidth.clone().map(|(_, pace)| pace),
        ));
        Ok(opened.insert(made).clone())
    }

    /// After trouble that another secret may end: it is read anew for whoever comes next.
    pub(crate) async fn learn(&self, name: &str, error: &Error) {
        if matches!(error.kind(), ErrorKind::Denied | ErrorKind::HostKeyChanged | ErrorKind::Invalid)
            && let Some(port) = self.port(name)
        {
            port.opened.lock().await.take();
        }
    }

    /// How fast copies are made there.
    pub(crate) fn pace(&self, name: &str) -> Arc<dyn storage::Pace> {
        match self.port(name).and_then(|port| port.bandwidth.as_ref()) {
            Some((_, pace)) => pace.clone(),
            None => Arc::new(storage::Unbounded),
        }
    }

    /// When the hours begin in which files may go there; nothing while they last.
    pub(crate) fn opens(&self, name: &str, now: Timestamp) -> Option<Timestamp> {
        self.port(name)?.hours.as_ref()?.opens(now)
    }

    /// When those that last come to their end.
    pub(crate) fn closes(&self, name: &str, now: Timestamp) -> Option<Timestamp> {
        self.port(name)?.hours.as_ref()?.closes(now)
    }

    /// How many jobs may be under way to each now; none where the hours are over.
    pub(crate) fn places(&self, now: Timestamp) -> Places {
        let places = self
            .0
            .iter()
            .map(|(name, port)| (name.clone(), if port.is_open(now) { port.connections } else { 0 }));
        places.collect()
    }

    /// When a job is to look again that found no place there.
    pub(crate) fn again(&self, name: &str, now: Timestamp) -> Timestamp {
        let Some(port) = self.port(name) else { return now + SOON };
        port.opens(now).unwrap_or_else(|| port.put_off(now))
    }

    /// To be asked before a job takes room on this machine.
    pub(crate) fn turn(&self, action: &Action, now: Timestamp) -> Turn {
        let Action::Export(export) = action else { return Turn::Now(None) };
        // Of a destination that is not known the job itself says so.
        let Some(port) = self.port(&export.to) else { return Turn::Now(None) };
        if let Some(opens) = port.opens(now) {
            return Turn::Later(opens);
        }
        match port.lines.clone().try_acquire_owned() {
            Ok(permit) => {
                port.turns().refused = 0;
                let to = export.to.clone();
                let since = Instant::now();
                Turn::Now(Some(Line { to, port: port.clone(), since, began: since, _permit: permit }))
            }
            Err(_) => Turn::Later(port.put_off(now)),
        }
    }

    fn port(&self, name: &str) -> Option<&Arc<Port>> {
        self.0.get(name)
    }
}

impl Port {
    fn turns(&self) -> std::sync::MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A transfer did.
    fn lasted(&self, took: Duration) {
        let mut turns = self.turns();
        turns.lasts = (turns.lasts * 7 + took) / 8;
    }

    fn opens(&self, now: Timestamp) -> Option<Timestamp> {
        self.hours.as_ref()?.opens(now)
    }

    fn is_open(&self, now: Timestamp) -> bool {
        self.opens(now).is_none()
    }

    /// This worker's jobs that have a connection.
    fn own(&self) -> u64 {
        (self.connections as usize - self.lines.available_permits()) as u64
    }

    /// One after the other, twice as fast as the connections come free or faster, so that no connection waits for jobs.
    fn put_off(&self, now: Timestamp) -> Timestamp {
        let mut turns = self.turns();
        let at = turns.next.max(now + SOON * (1 << turns.refused.min(DOUBLED)));
        turns.refused = turns.refused.saturating_add(1);
        turns.next = at + (turns.lasts / (2 * self.connections)).clamp(STEP.0, STEP.1);
        at.min(now + LATE)
    }
}

impl Line {
    pub(crate) fn to(&self) -> &str {
        &self.to
    }

    /// All that one job had to transfer is there.
    pub(crate) fn transferred(&mut self) {
        self.port.lasted(self.since.elapsed());
        self.since = Instant::now();
    }

    /// Whether another job may follow at once.
    pub(crate) fn may_go_on(&self) -> bool {
        self.began.elapsed() < STRETCH
    }

    /// Keeps what this worker sends there to its part of what all of them may: as many parts as it has connections, of all that
    /// somebody has. Looked at again as leases are renewed.
    pub(crate) async fn keep_share(&self, library: &Library) -> Infallible {
        loop {
            self.take_share(library).await;
            tokio::time::sleep(LOOK.min(library.lease / 3)).await;
        }
    }

    /// To be done before the first byte is sent.
    pub(crate) async fn take_share(&self, library: &Library) {
        let Some((all, pace)) = &self.port.bandwidth else { return };
        let own = self.port.own();
        let connections = match library.catalog.under_way(&self.to, library.now()).await {
            Ok(connections) => connections,
            Err(e) => {
                debug!(error = %e, "who else sends there is not known: every connection is taken to be used");
                u64::from(self.port.connections)
            }
        };
        pace.set(share(*all, own, connections));
    }
}

/// Of so many bytes a second, where so many of the connections are this worker's own.
fn share(all: u64, own: u64, connections: u64) -> u64 {
    let share = u128::from(all) * u128::from(own) / u128::from(connections.max(own).max(1));
    u64::try_from(share).unwrap_or(all)
}

impl fmt::Debug for Destinations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn export(to: &str) -> Action {
        Action::Export(domain::ExportSpec {
            to: to.into(),
            what: domain::Leaving::Source,
            name: domain::NameTemplate::default(),
            with: Default::default(),
            on_conflict: Default::default(),
            verify: Default::default(),
        })
    }

    fn destinations(connections: u32) -> Destinations {
        let mut all = Destinations::default();
        for name in ["slow", "quick"] {
            let terms = policy::Terms { connections: Some(connections), ..policy::Terms::default() };
            let nothing = || Error::new(ErrorKind::Unavailable, "nobody connects here");
            all.add(name, &terms, Box::new(move || Box::pin(async move { Err(nothing()) })));
        }
        all
    }

    fn line(turn: Turn) -> Line {
        let Turn::Now(Some(line)) = turn else { panic!("no connection") };
        line
    }

    fn later(turn: Turn) -> Duration {
        let Turn::Later(at) = turn else { panic!("a connection, where none is left") };
        at.since(NOW)
    }

    /// Who finds no connection is put off, each a little later than the one before, and other destinations are not concerned.
    #[tokio::test(start_paused = true)]
    async fn a_slow_destination_holds_up_itself_only() {
        let all = destinations(2);
        let slow: Vec<Line> = (0..2).map(|_| line(all.turn(&export("slow"), NOW))).collect();
        let waits: Vec<Duration> = (0..4).map(|_| later(all.turn(&export("slow"), NOW))).collect();
        assert_eq!(waits, [1, 2, 4, 8].map(Duration::from_secs), "longer and longer");
        let _quick = line(all.turn(&export("quick"), NOW));
        assert!(matches!(all.turn(&Action::Probe, NOW), Turn::Now(None)));
        drop(slow);
        // A quick one makes those quicker that come after it.
        for _ in 0..50 {
            line(all.turn(&export("slow"), NOW)).transferred();
        }
        let _both: Vec<Line> = (0..2).map(|_| line(all.turn(&export("slow"), NOW))).collect();
        let waits: Vec<Duration> = (0..6).map(|_| later(all.turn(&export("slow"), NOW))).collect();
        assert!(waits.is_sorted() && waits[5] - waits[4] == STEP.0, "{waits:?}");
        let mut last = Duration::ZERO;
        for _ in 0..1_000_000 {
            last = later(all.turn(&export("slow"), NOW));
        }
        assert_eq!(last, LATE);
    }

    #[test]
    fn a_bandwidth_is_shared_by_those_who_send() {
        assert_eq!(share(1_000, 1, 1), 1_000);
        assert_eq!(share(1_000, 1, 4), 250);
        assert_eq!(share(1_000, 3, 4), 750);
        // Whoever has just begun or ended is counted on one side only.
        assert_eq!(share(1_000, 2, 1), 1_000);
        assert_eq!(share(u64::MAX, 3, 3), u64::MAX);
    }

    #[tokio::test]
    async fn where_the_hours_are_over_there_is_no_place() {
        let mut all = destinations(2);
        let night =
            policy::parse("version: 1\nstores: { p: { url: /p, hours: \"22:00-06:00 UTC\" } }\nrules: []\n");
        let terms = night.map(|policy| policy.stores()["p"].terms.clone()).unwrap();
        all.add(
            "night",
            &terms,
            Box::new(|| Box::pin(async { Err(Error::new(ErrorKind::Unavailable, "nobody")) })),
        );
        // It is eight in the morning.
        let expected = [("night", 0), ("quick", 2), ("slow", 2)].map(|(to, n)| (to.to_owned(), n));
        assert_eq!(all.places(NOW), expected.into_iter().collect());
        assert_eq!(all.again("night", NOW), "2027-01-15T22:00:00Z".parse().unwrap());
    }
}
