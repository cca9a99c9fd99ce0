//! The end of every history: nothing fails any more, and time passes. What is due goes then, and nothing hangs.

use domain::State;

use crate::{
    judge::{Verdict, never},
    known::{Fate, Known},
    law::{CLASS, DAY, Law, Verb},
    world::World,
};

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;

impl World {
    pub fn calm(&mut self) -> Verdict {
        self.restart();
        self.see()?;
        for days in [0, 7, 60] {
            self.pass(days * DAY)?;
            // Retries wait for seconds and then for minutes; the window of the limit is a day; refused rounds wait for a
            // quarter of an hour, and so does what makes room; and what is moved is kept for days.
            self.retry();
            for ms in
                [0, 3 * SECOND, 10 * SECOND, 40 * SECOND, 3 * MINUTE, DAY + MINUTE, 16 * MINUTE, 16 * MINUTE]
            {
                self.pass(ms)?;
            }
            self.is_done()?;
        }
        Ok(())
    }

    fn pass(&mut self, ms: i64) -> Verdict {
        self.clock.turn(ms);
        self.rest();
        self.look(true)?;
        self.rested = true;
        Ok(())
    }

    fn is_done(&self) -> Verdict {
        let (law, now) = (self.judge.law(), self.now());
        self.what_is_due_is_gone(law, now)?;
        for it in &self.judge.known {
            let judged = self.has_ended(it, law, now);
            judged.map_err(|why| format!("{why}\n  {it:?}\n  {}", self.jobs(it)))?;
        }
        Ok(())
    }

    fn jobs(&self, it: &Known) -> String {
        let filter = catalog::JobFilter { recording: Some(it.id), ..Default::default() };
        let jobs = self.life().run(self.life().library.catalog.jobs(&filter, 50)).unwrap();
        let line = |j: domain::Job| format!("{} {:?} {:?}\n  ", j.spec.action.label(), j.state, j.error);
        jobs.into_iter().map(line).collect()
    }

    /// What is due and free to go goes, unless all of it together is over the limit.
    fn what_is_due_is_gone(&self, law: &Law, now: i64) -> Verdict {
        let due: Vec<&Known> =
            self.judge.known.iter().filter(|it| self.is_due_and_free(it, law, now)).collect();
        let (went, went_bytes) = self.judge.went_since(now - DAY);
        let most = self.judge.most(law, went);
        let bytes: u64 = due.iter().map(|it| it.takes(None)).sum();
        let over =
            went + due.len() as u64 > most || law.most_bytes.is_some_and(|most| went_bytes + bytes > most);
        never(
            !due.is_empty() && !over,
            &format!("{} are due, {most} may go, and they stay: {:?}", due.len(), due.first()),
        )
    }

    /// Promise 3: every recording comes to its end, and what the policy asks for is true of it.
    fn has_ended(&self, it: &Known, law: &Law, now: i64) -> Verdict {
        let (recording, copies) = it.seen.as_ref().ok_or("it was not looked at")?;
        if let Fate::Trashed { until } = it.fate {
            return never(
                until <= now && !it.is_held(law, now),
                "its time in the trash is over, and it is still there",
            );
        }
        if it.fate == Fate::Gone {
            return Ok(());
        }
        never(it.fate == Fate::Going, "its purge was begun and not ended")?;
        never(
            !recording.state.is_terminal(),
            &format!("promise 3: it is {:?}: {}", recording.state, recording.reason),
        )?;
        // The only copy is believed to be bad when it was read wrongly twice.
        let is_believed_bad = it.good() == 0 && self.lies > 1;
        if it.ruined || it.harmed || is_believed_bad {
            return Ok(());
        }
        never(recording.state == State::Failed, &format!("it failed for good: {}", recording.reason))?;
        let asked = |to: &str| law.backs_up(&it.traits, to, now);
        for rule in law.rules.iter().filter(|rule| rule.whom.holds(&it.traits, now)) {
            match rule.verb {
                Verb::Backup(to) => {
                    let there =
                        recording.store == to || copies.iter().any(|c| c.store == to && c.bad.is_none());
                    never(!there && !it.given_up.contains(to), &format!("there is no copy in {to}"))?;
                }
                // What was moved since was archived where it was.
                Verb::Sink { by_lifecycle: false } if !it.moved_otherwise && law.copies <= it.good() => {
                    let class = recording.custody.place.class.as_deref();
                    let moves = law.rules.iter().any(|rule| {
                        matches!(rule.verb, Verb::Move { .. } | Verb::ArchiveTo(_) | Verb::ArchiveForRoom(_))
                    });
                    never(class != Some(CLASS) && !moves, &format!("it is not in {CLASS} but in {class:?}"))?;
                }
                // All of these are so small that lifecycle rules leave them alone.
                Verb::Sink { by_lifecycle: true } => {
                    let awaited = recording.custody.place.transition.is_some();
                    never(awaited, "it was left to a lifecycle rule that will do nothing")?;
                }
                // What a person or a former policy moved is left where they wanted it.
                Verb::Move { to, .. } if !it.moved_otherwise && !it.is_held(law, now) => {
                    never(recording.store != to, &format!("it was not moved to {to}"))?;
                }
                _ => {}
            }
        }
        // What a move left behind goes when its time is over and there are enough others.
        let left = copies.iter().find(|c| c.until.is_some_and(|until| until.0 <= now) && !asked(&c.store));
        let enough = it.good() > law.copies.max(1) && !it.is_held(law, now);
        never(enough && left.is_some(), &format!("what a move left is still there: {left:?}"))
    }
}
