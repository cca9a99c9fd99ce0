//! The real flow, driven through a history and compared with the model after every event.

use std::{collections::BTreeMap, sync::Arc};

use catalog::{Change, Description, Retry, Trashing};
use domain::{Clock as _, Facts, JobSpec, RecordingId, Timestamp};
use storage::{Fault, Key, Memory, Op, Put, Store};
use tempfile::TempDir;
use worker::{
    Found, Intake, Options, SEEN_POLICY, Taken,
    by_hand::{self, Verb},
};

use crate::{
    history::{Case, Event, STORES, Step},
    judge::{Judge, Verdict},
    known::{Fate, Known},
    law::{DAY, HOUR, Law, Traits},
    life::{Hands, Life},
};

pub struct World {
    home: TempDir,
    pub clock: Arc<Hands>,
    pub memories: Vec<Memory>,
    laws: Vec<Law>,
    law: usize,
    life: Option<Life>,
    pub judge: Judge,
    /// Since nothing was to be done, nothing happened.
    pub rested: bool,
    /// Times that what was read was not what lay there.
    pub lies: u32,
    taken: usize,
}

/// The whole of it: the first thing that is not as it should be, else what was met.
pub fn play(case: &Case) -> Result<BTreeMap<String, u32>, String> {
    let mut world = World::new(case);
    for (n, step) in case.history.iter().enumerate() {
        world.step(step).map_err(|why| format!("event {}: {why}", n + 1))?;
    }
    let calm = world.calm().map_err(|why| format!("when all is well again: {why}"));
    world.life.take().expect("alive").end();
    calm.map(|()| world.judge.met)
}

impl World {
    fn new(case: &Case) -> Self {
        let memory = std::path::Path::new("/dev/shm");
        let home = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let mut judge = Judge::default();
        for law in &case.laws {
            let read =
                policy::parse(&law.to_string()).unwrap_or_else(|e| panic!("{law}\n{}", e.in_file("policy")));
            judge.laws.insert(read.hash().to_owned(), law.clone());
        }
        let mut world = Self {
            home,
            clock: Hands::new(),
            memories: STORES.iter().map(|name| Memory::new(*name).with_classes()).collect(),
            laws: case.laws.clone(),
            law: 0,
            life: None,
            judge,
            rested: false,
            lies: 0,
            taken: 0,
        };
        world.begin();
        if case.seen {
            world.see().expect("nothing has happened yet");
        }
        world
    }

    fn begin(&mut self) {
        self.life = Some(Life::begin(self.home.path(), &self.clock, &self.laws[self.law], &self.memories));
    }

    pub fn life(&self) -> &Life {
        self.life.as_ref().expect("one ends when the next begins")
    }

    pub fn now(&self) -> i64 {
        self.clock.now().0
    }

    fn step(&mut self, step: &Step) -> Verdict {
        self.happen(&step.what)?;
        if step.meanwhile {
            self.life().nudge();
            if self.life().is_dead() {
                self.die();
            }
        } else {
            self.rest();
        }
        self.look(!step.meanwhile)?;
        self.rested = !step.meanwhile;
        Ok(())
    }

    /// Until nothing is to be done, over as many lives as it takes.
    pub fn rest(&mut self) {
        while self.life().rest().is_err() {
            self.die();
        }
    }

    fn die(&mut self) {
        self.life.take().expect("alive").kill();
        self.begin();
    }

    pub fn restart(&mut self) {
        self.life.take().expect("alive").end();
        self.begin();
    }

    /// What was done until now was done under what had been seen until now.
    pub fn see(&mut self) -> Verdict {
        self.hear()?;
        let hash = self.life().library.policy.hash().to_owned();
        self.judge.seen.clone_from(&hash);
        let catalog = &self.life().library.catalog;
        self.life().run(catalog.set_bookmark(SEEN_POLICY, Some(&hash))).unwrap();
        Ok(())
    }

    pub fn retry(&self) {
        let library = &self.life().library;
        self.life().run(library.catalog.retry(Retry::AllParked, library.now())).unwrap();
    }

    fn happen(&mut self, event: &Event) -> Verdict {
        match event {
            Event::Take { many, cam, tag, aged_d, padding } => {
                for _ in 0..*many {
                    self.take(*cam, *tag, *aged_d, *padding);
                }
            }
            Event::Hold { of, name } => {
                let reason = "it may be needed".to_owned();
                self.change(*of, &Change::Hold { name: (*name).to_owned(), reason });
            }
            Event::Release { of, name } => {
                self.change(*of, &Change::Release { name: name.map(str::to_owned) });
            }
            Event::Mark { of, tag, is } => {
                let tags = [(*tag).to_owned()].into();
                let description = match is {
                    true => Description { tags, ..Description::default() },
                    false => Description { untag: tags, ..Description::default() },
                };
                self.change(*of, &Change::Describe(description));
            }
            Event::Undelete { of, grace_d } => {
                let kept_until = Timestamp(self.now() + grace_d * DAY);
                self.change(*of, &Change::Undelete { kept_until });
            }
            Event::Delete { of, many, trash_h } => self.delete(*of, *many, *trash_h),
            Event::Move { of, many, to, keep_d } => {
                let keep = std::time::Duration::from_secs(*keep_d as u64 * 86_400);
                self.order(*of, *many, &Verb::Move { store: STORES[*to].to_owned(), keep });
            }
            Event::Backup { of, many, to } => {
                self.order(*of, *many, &Verb::Backup { store: STORES[*to].to_owned() });
            }
            Event::Pass { minutes } => self.clock.turn(minutes * HOUR / 60),
            Event::Back { minutes } => self.clock.turn(-minutes * HOUR / 60),
            Event::See => self.see()?,
            Event::Law { of, seen } => {
                self.law = of % self.laws.len();
                self.judge.known.iter_mut().for_each(|it| it.moved_otherwise = true);
                self.restart();
                if *seen {
                    self.see()?;
                }
            }
            Event::Trouble { at, op, nth, fault } => {
                self.lies += u32::from((*op, matches!(fault, Fault::Flip { .. })) == (Op::Get, true));
                self.life().stores[*at].on(*op, *nth, *fault);
            }
            Event::Damage { of, at, lost } => self.damage(*of, *at, *lost),
            Event::Restart => self.restart(),
            Event::Kill { point, nth } => self.life().doom(*point, *nth),
            Event::KillIn { at, op, nth } => self.life().doom_in(*at, *op, *nth),
            Event::Retry => self.retry(),
        }
        Ok(())
    }

    fn take(&mut self, cam: bool, tag: Option<&str>, aged_d: Option<i64>, padding: usize) {
        self.taken += 1;
        let n = self.taken;
        let name = format!("{}{n}.txt", if cam { "cam/" } else { "" });
        let text = format!("no recording, only {n:02}{}", " ".repeat(padding));
        let path = self.home.path().join(format!("{n}.txt"));
        std::fs::write(&path, &text).unwrap();
        let recorded_at = aged_d.map(|days| Timestamp(self.now() - days * DAY));
        let tags = tag.map(str::to_owned).into_iter().collect();
        let options = Options { recorded_at, tags, remove: true, ..Options::default() };
        let life = self.life();
        let mut id = None;
        let intake = Intake::new(life.quiet.clone(), options.clone());
        let taking = intake.take(futures::stream::iter([Found { path, name }]), |_, taken| match taken {
            Taken::New { id: new, .. } => id = Some(*new),
            other => panic!("{other:?}"),
        });
        life.run(taking).unwrap();
        let traits = Traits {
            cam,
            tags: options.tags,
            accepted_at: self.now(),
            recorded_at: recorded_at.map(|at| at.0),
        };
        self.judge.known.push(Known::new(id.expect("taken"), text, traits));
    }

    /// One of them, and those that follow.
    fn some(&self, of: usize, many: usize) -> Vec<RecordingId> {
        let known = &self.judge.known;
        (of..of + many.min(known.len())).map(|n| known[n % known.len()].id).collect()
    }

    fn change(&self, of: usize, change: &Change) {
        let (life, now) = (self.life(), self.clock.now());
        // Mostly there is one that it makes a difference to.
        let concerned = |it: &&Known| match change {
            Change::Undelete { .. } => matches!(it.fate, Fate::Trashed { .. }),
            Change::Release { .. } => !it.holds.is_empty(),
            Change::Describe(d) => it.fate != Fate::Gone && it.traits.tags.is_disjoint(&d.tags),
            Change::Hold { .. } => it.fate != Fate::Gone,
        };
        let mut known: Vec<&Known> = self.judge.known.iter().filter(concerned).collect();
        if matches!(change, Change::Hold { .. } | Change::Describe(_))
            && known.iter().any(|it| self.is_busy(it.id))
        {
            // It is to come when something is about to be done.
            known.retain(|it| self.is_busy(it.id));
        }
        if known.is_empty() {
            return;
        }
        let id = known[of % known.len()].id;
        life.run(life.library.catalog.custody(&[id], change, "ana", now)).unwrap();
    }

    fn facts(&self, ids: &[RecordingId]) -> Vec<Facts> {
        let life = self.life();
        ids.iter().filter_map(|id| life.run(life.library.catalog.facts(*id)).unwrap()).collect()
    }

    fn delete(&self, of: usize, many: usize, trash_h: Option<i64>) {
        let (life, now) = (self.life(), self.clock.now());
        let policy = &life.library.policy;
        let keep = trash_h.map(|hours| std::time::Duration::from_secs(hours as u64 * 3600));
        let facts = self.facts(&self.some(of, many));
        let items: Vec<Trashing> = facts
            .iter()
            .filter_map(|facts| by_hand::trash(policy, facts, "ana", "not wanted", keep, now).ok())
            .collect();
        if !items.is_empty() {
            life.run(life.library.catalog.trash(&items, &policy.protect().deletion, now)).unwrap();
        }
    }

    fn order(&mut self, of: usize, many: usize, verb: &Verb) {
        for id in self.some(of, many) {
            self.judge.of(id).expect("one of them").moved_otherwise |= matches!(verb, Verb::Move { .. });
        }
        let (life, now) = (self.life(), self.clock.now());
        let batch = by_hand::batch(verb.name(), "ana", &format!("{of} {many}"), now);
        let facts = self.facts(&self.some(of, many));
        let jobs: Vec<JobSpec> = facts
            .iter()
            .filter_map(|facts| verb.job(&life.library.policy, &batch, facts, now).ok())
            .collect();
        if !jobs.is_empty() {
            life.run(life.library.catalog.order(&batch, &jobs, now)).unwrap();
        }
    }

    fn damage(&mut self, of: usize, at: usize, lost: bool) {
        let id = self.some(of, 1)[0];
        let there = self.objects(id);
        let Some((_, key, bytes)) = there.iter().find(|(store, ..)| *store == at) else { return };
        let memory = &self.memories[at];
        let key: &Key = key;
        self.life().run(async {
            if lost {
                memory.erase(key, None).await.unwrap();
            } else {
                let mut bytes = bytes.clone();
                bytes[3] ^= 1;
                storage::put_bytes(memory, key, bytes, Put::default()).await.unwrap();
            }
        });
        let left = self.objects(id);
        let it = self.judge.of(id).expect("one of them");
        it.harmed = true;
        it.ruined |= left.iter().all(|(_, _, bytes)| *bytes != it.text.as_bytes());
    }

    /// All that any store has of a recording: which, where, what.
    pub fn objects(&self, id: RecordingId) -> Vec<(usize, Key, Vec<u8>)> {
        let prefix = format!("{}/{id}/", &id.to_string()[..2]);
        self.life().run(async {
            let mut found = Vec::new();
            for (n, memory) in self.memories.iter().enumerate() {
                for meta in memory.list(&prefix, None, 100).await.unwrap() {
                    let bytes = storage::read_all(memory, &meta.key, 1 << 20).await.unwrap();
                    found.push((n, meta.key, bytes.to_vec()));
                }
            }
            found
        })
    }
}
