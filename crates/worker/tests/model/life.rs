//! One life of a worker: a process in a runtime of its own, which ends like a process does. What outlives it is the
//! catalog's file and what the stores hold.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use domain::{Clock, Timestamp};
use storage::{Fault, Faulty, Memory, Op, Store};
use tokio::{runtime::Runtime, sync::Notify, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use worker::{Library, Point, Runner, Steps, Stores};

use crate::{
    history::STORES,
    law::{Law, Rule, Verb, Whom},
    support,
    turns::Turns,
};

/// Time that passes, or goes back, when the test says so.
pub struct Hands(AtomicI64);

impl Hands {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(1_800_000_000_000)))
    }
    pub fn turn(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

pub struct Life {
    runtime: Runtime,
    pub library: Arc<Library>,
    /// The same library, whose stores never fail: what comes in is not what is tried here.
    pub quiet: Arc<Library>,
    pub stores: Vec<Arc<Faulty<Memory>>>,
    runner: Runner,
    stop: CancellationToken,
    running: JoinHandle<()>,
    turns: Arc<Turns>,
    doom: Arc<Doom>,
}

/// The process ended in the middle of its work.
#[derive(Debug)]
pub struct Killed;

impl Life {
    pub fn begin(home: &Path, clock: &Arc<Hands>, law: &Law, memories: &[Memory]) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let doom = Arc::new(Doom::default());
        let turns = Arc::new(Turns::default());
        let steps = Steps::new({
            let (doom, turns) = (doom.clone(), turns.clone());
            move |point| {
                if point == Point::JobHandedOver {
                    turns.one_more();
                }
                doom.at(point);
            }
        });
        let stores: Vec<Arc<Faulty<Memory>>> =
            memories.iter().map(|memory| Arc::new(Faulty::new(memory.clone()))).collect();
        let of: Vec<Arc<dyn Store>> = stores.iter().map(|s| s.clone() as Arc<dyn Store>).collect();
        let text = law.to_string();
        let mut library =
            runtime.block_on(support::library_of(home, support::Hands::new(), &text, of, steps));
        let it = Arc::get_mut(&mut library).expect("nobody else has it yet");
        (it.clock, it.queue) = (clock.clone(), turns.clone());
        let mut raw = Stores::default();
        memories.iter().for_each(|memory| raw.add(Arc::new(memory.clone())));
        let quiet = Arc::new(library.under(
            policy::parse(&text).expect("read before"),
            raw,
            worker::Destinations::default(),
        ));
        // Nobody takes over from it: these two are one.
        library.outdated.store(false, Ordering::SeqCst);
        let runner = support::runner(&library, Duration::from_secs(2));
        let stop = CancellationToken::new();
        runtime.block_on(runner.recover()).expect("recovers");
        let running = runtime.spawn({
            let (runner, stop) = (runner.clone(), stop.clone());
            async move { runner.run(stop).await }
        });
        Self { runtime, library, quiet, stores, runner, stop, running, turns, doom }
    }

    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// To be killed at that point.
    pub fn doom(&self, point: Point, nth: u32) {
        self.doom.with(|cues| cues.points.push((point, nth)));
    }

    /// To be killed in that call.
    pub fn doom_in(&self, at: usize, op: Op, nth: u64) {
        self.stores[at].on(op, nth, Fault::Hang);
        let call = self.stores[at].calls(op) + nth;
        self.doom.with(|cues| cues.calls.push((at, op, call)));
    }

    pub fn is_dead(&self) -> bool {
        let hangs = |(at, op, call): &(usize, Op, u64)| self.stores[*at].calls(*op) >= *call;
        self.doom.dead.load(Ordering::SeqCst) || self.doom.with(|cues| cues.calls.iter().any(hangs))
    }

    /// Lets it work for a moment.
    pub fn nudge(&self) {
        self.run(async {
            self.runner.wake();
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        });
    }

    /// Works until there is nothing to be done at this time: the relay has come round twice, and nothing was to be handed
    /// over and nothing is in anybody's hands.
    pub fn rest(&self) -> Result<(), Killed> {
        self.run(async {
            let mut calm = 0;
            for _ in 0..3000 {
                let before = self.turns.seen();
                self.come_round(before.turns + 2).await?;
                let idle = self.turns.open().await == 0 && self.turns.seen().sent == before.sent;
                calm = if idle { calm + 1 } else { 0 };
                if calm == 2 {
                    return Ok(());
                }
            }
            panic!("it does not come to rest: {:?}", self.library.catalog.counts().await)
        })
    }

    async fn come_round(&self, turns: u64) -> Result<(), Killed> {
        let mut seen = self.turns.follow();
        while seen.borrow_and_update().turns < turns {
            if self.is_dead() {
                return Err(Killed);
            }
            self.runner.wake();
            let changed = async {
                tokio::select! {
                    () = self.doom.told.notified() => {}
                    _ = seen.changed() => {}
                }
            };
            // For a call that does not come back.
            let _ = timeout(Duration::from_millis(20), changed).await;
        }
        if self.is_dead() { Err(Killed) } else { Ok(()) }
    }

    /// Stopped as one should be.
    pub fn end(self) {
        if self.is_dead() {
            return self.kill();
        }
        self.stop.cancel();
        let Self { runtime, running, doom, .. } = self;
        runtime.block_on(async {
            tokio::select! {
                biased;
                // Whoever is told to stop takes the turn to its end, and may come to that point there.
                () = doom.told.notified() => {}
                ended = running => ended.expect("it does not panic"),
            }
        });
        runtime.shutdown_background();
    }

    /// Like a process that is killed: nothing of it does anything more.
    pub fn kill(self) {
        self.runtime.shutdown_background();
    }
}

/// Where the process is to end.
#[derive(Default)]
struct Doom {
    cues: Mutex<Cues>,
    dead: AtomicBool,
    told: Notify,
}

#[derive(Default)]
struct Cues {
    points: Vec<(Point, u32)>,
    /// Calls that never come back.
    calls: Vec<(usize, Op, u64)>,
}

impl Doom {
    fn with<T>(&self, act: impl FnOnce(&mut Cues) -> T) -> T {
        act(&mut self.cues.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn at(&self, point: Point) {
        let reached = self.with(|cues| {
            let mut reached = false;
            for (_, nth) in cues.points.iter_mut().filter(|(at, _)| *at == point) {
                *nth -= 1;
                reached |= *nth == 0;
            }
            cues.points.retain(|(_, nth)| *nth > 0);
            reached
        });
        if reached {
            self.dead.store(true, Ordering::SeqCst);
            self.told.notify_one();
        }
        let intake = point.name().starts_with("intake");
        if !intake && self.dead.load(Ordering::SeqCst) {
            // Whoever comes to a point does not get further; without a word on standard error.
            std::panic::resume_unwind(Box::new("the process was killed"));
        }
    }
}

/// The points of the relay are come to on its last turn too, after the order to stop: that is no failure of what is tried.
#[test]
fn who_is_killed_while_being_stopped_was_killed() {
    let home = tempfile::tempdir().unwrap();
    let law = Law {
        copies: 1,
        trash_h: 1,
        percent: 5,
        floor: 1,
        most_bytes: None,
        verify_percent: 1,
        rules: vec![Rule { whom: Whom::default(), verb: Verb::Backup("replica") }],
    };
    let memories = STORES.map(|name| Memory::new(name).with_classes());
    let life = Life::begin(home.path(), &Hands::new(), &law, &memories);
    life.doom(Point::JobHandedOver, 1);
    let doom = life.doom.clone();
    life.end();
    assert!(doom.dead.load(Ordering::SeqCst), "it came to that point");
    Life::begin(home.path(), &Hands::new(), &law, &memories).end();
}
