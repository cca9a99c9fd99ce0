use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{Action, Timestamp};
use futures::future::BoxFuture;
use policy::Hours;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use transfer::{Destination, Error, ErrorKind, Limited, Pace};

/// Makes a destination ready for use: reads its secret, and connects to nothing.
pub type Open = Box<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Destination>, Error>> + Send + Sync>;

/// The least and the most that a job is put off because its destination has no connection free.
const SOON: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(60 * 60);
/// The least and the most between two that are put off: quick transfers find somebody at once, and of a million jobs for a slow
/// partner no more than ten a second are looked at.
const STEP: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));
/// What a transfer is taken to last before one has ended.
const GUESS: Duration = Duration::from_secs(2);
/// Transfers at once, where the policy does not say.
const CONNECTIONS: u32 = 4;

/// Places that files are brought to and fetched from, by the names that the policy gives them. Each has so many connections, which
/// are handed out to jobs before they take any room here: a slow partner holds up its own transfers only.
#[derive(Clone, Default)]
pub struct Destinations(BTreeMap<String, Arc<Port>>);

struct Port {
    open: Open,
    opened: tokio::sync::Mutex<Option<Arc<dyn Destination>>>,
    connections: u32,
    lines: Arc<Semaphore>,
    pace: Option<Arc<Pace>>,
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
}

/// Whether a job may begin.
pub(crate) enum Turn {
    /// With the connection that it needs, if it needs one.
    Now(Option<Line>),
    Later(Timestamp),
}

/// One of a destination's connections, for as long as it is held.
pub(crate) struct Line {
    port: Arc<Port>,
    since: Instant,
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
            pace: terms.bandwidth.map(|bytes| Arc::new(Pace::new(bytes))),
            hours: terms.hours.clone(),
            turns: Mutex::new(Turns { next: Timestamp(i64::MIN), lasts: GUESS }),
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
        let made: Arc<dyn Destination> =
            Arc::new(Limited::new(made, port.connections as usize, port.pace.clone()));
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

    /// When the hours begin in which files may go there; nothing while they last.
    pub(crate) fn opens(&self, name: &str, now: Timestamp) -> Option<Timestamp> {
        self.port(name)?.hours.as_ref()?.opens(now)
    }

    /// When those that last come to their end.
    pub(crate) fn closes(&self, name: &str, now: Timestamp) -> Option<Timestamp> {
        self.port(name)?.hours.as_ref()?.closes(now)
    }

    /// To be asked before a job takes room on this machine.
    pub(crate) fn turn(&self, action: &Action, now: Timestamp) -> Turn {
        let Action::Export(export) = action else { return Turn::Now(None) };
        // Of a destination that is not known the job itself says so.
        let Some(port) = self.port(&export.to) else { return Turn::Now(None) };
        if let Some(opens) = port.hours.as_ref().and_then(|h| h.opens(now)) {
            return Turn::Later(opens);
        }
        match port.lines.clone().try_acquire_owned() {
            Ok(permit) => {
                Turn::Now(Some(Line { port: port.clone(), since: Instant::now(), _permit: permit }))
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

    /// One after the other, twice as fast as the connections come free or faster, so that no connection waits for jobs.
    fn put_off(&self, now: Timestamp) -> Timestamp {
        let mut turns = self.turns();
        let at = turns.next.max(now + SOON);
        turns.next = at + (turns.lasts / (2 * self.connections)).clamp(STEP.0, STEP.1);
        at.min(now + LATE)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let took = self.since.elapsed();
        let mut turns = self.port.turns();
        turns.lasts = (turns.lasts * 7 + took) / 8;
    }
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
        assert!(waits.is_sorted() && waits[0] == SOON && waits[3] == SOON + 3 * STEP.1, "{waits:?}");
        let _quick = line(all.turn(&export("quick"), NOW));
        assert!(matches!(all.turn(&Action::Probe, NOW), Turn::Now(None)));
        drop(slow);
        // A quick one makes those quicker that come after it.
        for _ in 0..50 {
            drop(line(all.turn(&export("slow"), NOW)));
        }
        let _both: Vec<Line> = (0..2).map(|_| line(all.turn(&export("slow"), NOW))).collect();
        let waits: Vec<Duration> = (0..2).map(|_| later(all.turn(&export("slow"), NOW))).collect();
        assert_eq!(waits[1] - waits[0], STEP.0);
        let mut last = Duration::ZERO;
        for _ in 0..1_000_000 {
            last = later(all.turn(&export("slow"), NOW));
        }
        assert_eq!(last, LATE);
    }
}
