//! The comparison: what the catalog says and what the stores hold, against the model.

use std::collections::BTreeSet;

use catalog::JobFilter;
use domain::{JobState, RecordingId, State};
use storage::Key;

use crate::{
    history::STORES,
    judge::{Verdict, never},
    known::{Fate, Known},
    law::{LOW, Law},
    world::World,
};

impl World {
    /// What was written down since the last time.
    pub fn hear(&mut self) -> Verdict {
        let catalog = self.life().library.catalog.clone();
        let mut log = self.life().run(catalog.audit(None, 5000)).unwrap();
        log.reverse();
        let begun = self.judge.read;
        self.judge.in_hand = !self.rested;
        never(
            begun > 0 && log.first().is_some_and(|e| e.seq > begun + 1),
            "the test read too little of the log",
        )?;
        log.iter().filter(|e| e.seq > begun).try_for_each(|entry| self.judge.hear(entry))
    }

    /// After every event. `rested`: nothing is under way.
    pub fn look(&mut self, rested: bool) -> Verdict {
        // The work may go on meanwhile: the bytes are looked at first, since what removes them is written down before.
        let ids: Vec<RecordingId> = self.judge.known.iter().map(|it| it.id).collect();
        let found: Vec<_> = ids.iter().map(|id| self.objects(*id)).collect();
        let catalog = self.life().library.catalog.clone();
        self.hear()?;
        for (n, (id, objects)) in ids.into_iter().zip(found).enumerate() {
            let before = self.judge.known[n].seen.take();
            let recording = self.life().run(catalog.get(id)).unwrap().ok_or("it is not in the catalog")?;
            let copies = self.life().run(catalog.copies(id)).unwrap();
            let it = &mut self.judge.known[n];
            let was_bad: BTreeSet<String> = before
                .into_iter()
                .flat_map(|(_, copies)| copies)
                .filter(|c| c.bad.is_some())
                .map(|c| c.store)
                .collect();
            it.seen = Some((recording, copies));
            self.bytes(n, &objects, rested)
                .map_err(|why| format!("{why}\n  recording {n}: {:?}", self.judge.known[n]))?;
            let it = &self.judge.known[n];
            let judged = if rested { copies_left(it, &was_bad).and_then(|()| agrees(it)) } else { Ok(()) };
            judged.map_err(|why| format!("{why}\n  recording {n}: {it:?}"))?;
            if rested && it.fate == Fate::Gone {
                self.certificate(it)?;
            }
        }
        if rested && self.rested {
            self.all_or_nothing()?;
            self.no_more_room_than_needed()?;
        }
        if rested {
            self.judge.known.iter_mut().for_each(Known::begin_anew);
        }
        Ok(())
    }

    /// Promise 1: what is not deleted can be read, equal to what was accepted; and promise 11: what is deleted is gone.
    fn bytes(&mut self, n: usize, objects: &[(usize, Key, Vec<u8>)], rested: bool) -> Verdict {
        let it = &mut self.judge.known[n];
        let keys = objects.iter().map(|(at, key, _)| (STORES[*at].to_owned(), key.to_string()));
        match it.fate {
            Fate::Gone => never(
                rested && !objects.is_empty(),
                &format!("promise 11: it is deleted, and there is still {objects:?}"),
            ),
            Fate::Going => Ok(()),
            Fate::Live | Fate::Trashed { .. } => {
                it.objects = keys.collect();
                // Also what a faulty store made of it on the way.
                it.harmed |= objects.iter().any(|(_, _, bytes)| *bytes != it.text.as_bytes());
                let good = objects.iter().any(|(_, _, bytes)| *bytes == it.text.as_bytes());
                it.ruined &= !good;
                never(!good && !it.ruined, "promise 1: no store has its bytes any more")
            }
        }
    }

    /// Promise 11: proof of the deletion names every object.
    fn certificate(&self, it: &Known) -> Verdict {
        let catalog = &self.life().library.catalog;
        let proofs = self.life().run(catalog.certificates(Some(it.id), 5)).unwrap();
        let proof = proofs.first().ok_or("promise 11: there is no certificate of its deletion")?;
        let named: BTreeSet<_> = proof.objects.iter().map(|o| (o.store.clone(), o.key.clone())).collect();
        let missing: Vec<_> = it.objects.difference(&named).collect();
        never(!missing.is_empty(), &format!("promise 11: its certificate does not name {missing:?}"))
    }

    /// Promise 8: a round deletes all that is due or nothing.
    fn all_or_nothing(&self) -> Verdict {
        let (law, now) = (self.judge.law(), self.now());
        if !self.judge.known.iter().any(|it| it.was_due) {
            return Ok(());
        }
        let left = self
            .judge
            .known
            .iter()
            .find(|it| !it.touched && self.is_due_and_free(it, law, now) && !self.is_busy(it.id));
        never(left.is_some(), &format!("promise 8: a part of what was due was deleted; not {left:?}"))
    }

    pub fn is_due_and_free(&self, it: &Known, law: &Law, now: i64) -> bool {
        it.may_go(law, now) && law.is_due(&it.traits, now) && it.good() >= law.copies
    }

    pub fn is_busy(&self, id: RecordingId) -> bool {
        let states = vec![JobState::Pending, JobState::Running];
        let filter = JobFilter { states, recording: Some(id), ..JobFilter::default() };
        !self.life().run(self.life().library.catalog.jobs(&filter, 1)).unwrap().is_empty()
    }

    /// ZoneMinder #1597: whoever makes room takes no more than is needed.
    fn no_more_room_than_needed(&self) -> Verdict {
        let known = &self.judge.known;
        let Some(most) = known.iter().filter(|it| it.made_room).map(|it| it.takes(Some(STORES[0]))).max()
        else {
            return Ok(());
        };
        // What leaves by another way at the same time was not known to be going.
        if known.iter().any(|it| it.touched && !it.trashed_now) {
            return Ok(());
        }
        let live = known.iter().filter(|it| it.fate == Fate::Live);
        let stays: u64 = live.map(|it| it.takes(Some(STORES[0]))).sum();
        never(
            stays + most <= LOW,
            &format!("{stays} bytes are left where {LOW} may be, and {most} more went"),
        )
    }
}

/// Below the minimum of verified copies nothing is deleted by a rule, and no copy is given up.
fn copies_left(it: &Known, was_bad: &BTreeSet<String>) -> Verdict {
    let by_rule = it.was_due || it.made_room;
    let in_trash = matches!(it.fate, Fate::Trashed { .. });
    never(
        by_rule && in_trash && !it.verified && it.good() < it.owed,
        "deleted with too few verified copies",
    )?;
    let gave_up = it.evicted.iter().any(|store| !was_bad.contains(store));
    never(
        gave_up && it.fate == Fate::Live && !it.verified && it.good() < it.owed,
        "a copy was given up, and there are too few others",
    )
}

/// The catalog tells the same story as its log.
fn agrees(it: &Known) -> Verdict {
    let (recording, _) = it.seen.as_ref().ok_or("it was not looked at")?;
    let state = match recording.state {
        State::Trashed => matches!(it.fate, Fate::Trashed { .. } | Fate::Going),
        State::Deleted => it.fate == Fate::Gone,
        _ => it.fate == Fate::Live,
    };
    never(!state, &format!("the catalog says that it is {:?}", recording.state))?;
    let holds: BTreeSet<String> = recording.custody.holds.keys().cloned().collect();
    never(it.fate != Fate::Gone && holds != it.holds, "the catalog knows of other holds")?;
    never(recording.tags != it.traits.tags, "the catalog knows of other tags")
}
