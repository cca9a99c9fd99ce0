use domain::{Action, Facts, Timestamp, Trash};

use crate::{
    Policy, Standing,
    copies::{Copies, good_copies},
    evaluate::{Evaluation, Fate, Step, job},
    matching::{self, Truth, earlier},
    model::{Ask, CUSTODY},
    transition,
};

/// What is in the trash is asked for nothing but its purge, once its time has come; until then it stays in its class.
pub(crate) fn in_the_trash<'p>(
    found: &mut Evaluation<'p>,
    policy: &'p Policy,
    facts: &Facts,
    trash: &Trash,
    now: Timestamp,
) {
    found.fate = Fate::Trashed;
    for rule in &policy.rules {
        for asked in rule.asked().filter(|asked| matches!(asked.ask, Ask::Hold { .. })) {
            let held = matching::matches(policy, rule, facts, now, &mut found.due_at);
            found.shield.raise(rule, asked.ask, held.truth, facts, now);
            if held.truth == Truth::Yes {
                found.steps.push(Step::without_job(asked, Standing::InForce(String::new())));
            }
        }
    }
    let action = Action::Purge { life: facts.recording.custody.lives };
    let (id, standing) = job(&action, facts);
    let standing = match standing {
        Standing::Done => Standing::Impossible("its purge is recorded as done, and it is still here".into()),
        Standing::ToDo if trash.purging.is_some() => Standing::ToDo,
        Standing::ToDo => match found.shield.held(facts).or_else(|| found.shield.unsure()) {
            Some(hold) => Standing::Barred(hold),
            None if now < trash.until => {
                found.due_at = earlier(found.due_at, Some(trash.until));
                Standing::Later(trash.until)
            }
            None => Standing::ToDo,
        },
        parked => parked,
    };
    let stays = standing != Standing::ToDo;
    found.steps.push(Step::own(CUSTODY, id, action, standing));
    if stays {
        transition::not_in_the_trash(found, facts);
    }
}

/// What a move left behind goes when its time has come, and a copy that was found bad is made good again.
pub(crate) fn leftovers(found: &mut Evaluation<'_>, policy: &Policy, facts: &Facts, now: Timestamp) {
    if facts.copies.iter().all(|c| c.until.is_none() && c.bad.is_none()) {
        return;
    }
    // By name, so that it is the same whichever way they are listed; repairs first, since nothing goes while one is under way.
    let mut copies: Vec<&domain::Copy> = facts.copies.iter().collect();
    copies.sort_by_key(|copy| (copy.until.is_some(), &copy.store));
    for copy in copies {
        match copy.until {
            Some(until) if now < until => found.due_at = earlier(found.due_at, Some(until)),
            Some(_) => evict(found, policy, facts, copy),
            None if copy.bad.is_some() => repair(found, facts, copy, now),
            None => {}
        }
    }
}

fn evict(found: &mut Evaluation<'_>, policy: &Policy, facts: &Facts, copy: &domain::Copy) {
    let wanted = |s: &Step<'_>| match s.ask {
        Some(Ask::Action(Action::Backup { store })) => *store == copy.store,
        _ => false,
    };
    // What is in the library's own place for it is no leftover, whatever the copy says.
    if copy.store == facts.recording.store || found.steps.iter().any(wanted) {
        return;
    }
    let action = Action::Evict { store: copy.store.clone(), made: copy.verified_at };
    let (id, standing) = job(&action, facts);
    let standing = match standing {
        Standing::ToDo => {
            // One after the other: two that go at once might be one too many.
            let busy = found.steps.iter().find(|s| s.is_under_way());
            if let Some(hold) = found.shield.held(facts) {
                Standing::Barred(hold)
            } else if let Some(busy) = busy {
                Standing::Waits(format!("{} to be finished", busy.label()))
            } else if let Some(lacking) = Copies::without(policy, facts, Some(&copy.store)).lacking(policy) {
                Standing::Barred(lacking)
            } else {
                Standing::ToDo
            }
        }
        Standing::Done => Standing::Impossible(format!(
            "giving up its copy in {} is recorded as done, and it is there",
            copy.store
        )),
        parked => parked,
    };
    found.steps.push(Step::own(CUSTODY, id, action, standing));
}

fn repair(found: &mut Evaluation<'_>, facts: &Facts, copy: &domain::Copy, now: Timestamp) {
    let r = &facts.recording;
    if copy.store == r.store || copy.version != r.version {
        return;
    }
    let action = Action::Repair { store: copy.store.clone(), found: copy.verified_at };
    let (id, standing) = job(&action, facts);
    let home = r.custody.place.bad.is_none();
    let bad = copy.bad.as_deref().unwrap_or_default();
    let standing = match standing {
        Standing::ToDo => match (good_copies(facts).next(), home) {
            (None, false) => Standing::Impossible(format!("no good copy is left: {bad}")),
            (None, true) if !r.custody.is_readable(now) => {
                let class = r.custody.place.class.as_deref().unwrap_or("the archive");
                Standing::Cold(format!(
                    "a restore of the good bytes from {class}; `videorec restore {}` asks for it",
                    r.id
                ))
            }
            _ => Standing::ToDo,
        },
        Standing::Done => Standing::Impossible(format!(
            "the repair of its copy in {} is recorded as done: {bad}",
            copy.store
        )),
        parked => parked,
    };
    if standing == Standing::ToDo && r.custody.is_readable(now) {
        let restored = r.custody.place.cold.as_ref().and_then(|cold| cold.restore.as_ref());
        found.due_at = earlier(found.due_at, restored.and_then(|r| r.until));
    }
    found.steps.push(Step::own(CUSTODY, id, action, standing));
}
