//! Archiving that is left to a bucket's own lifecycle rule, and archiving that did not last.

use std::{borrow::Cow, time::Duration};

use domain::{Action, Facts, Place, Strayed, Timestamp, Transition, Way};

use crate::{
    Standing,
    evaluate::{Evaluation, Step, job},
    matching::earlier,
    model::{Ask, CUSTODY, LIFECYCLE_LEAST},
};

/// Before the first look whether a transition has happened; each further pause is twice as long, up to [`LONGEST`]. Rules run
/// once a day, and most often an event says it before.
const FIRST: Duration = Duration::from_secs(6 * 60 * 60);
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Before it is archived again after it was found elsewhere; each further pause is twice as long.
const AGAIN: Duration = Duration::from_secs(24 * 60 * 60);
/// How often it is archived again. Who takes it out after that does so on purpose.
const TIMES: u32 = 3;

/// The action that an archiving is now: after it was found elsewhere it is another one.
pub(crate) fn asked<'p>(action: &'p Action, place: &Place) -> Cow<'p, Action> {
    match (action, &place.strayed) {
        (Action::Archive { class, by, .. }, Some(strayed)) if strayed.from == *class => {
            Cow::Owned(Action::Archive { class: class.clone(), by: *by, again: Some(strayed.at) })
        }
        _ => Cow::Borrowed(action),
    }
}

/// How an archiving stands for reasons of its own; nothing where it is a job like others.
pub(crate) fn standing(found: &mut Evaluation<'_>, class: &str, by: Way, facts: &Facts) -> Option<Standing> {
    let r = &facts.recording;
    let place = &r.custody.place;
    if by == Way::Lifecycle {
        if r.digest.size < LIFECYCLE_LEAST {
            let why = "it is under 128 KiB, which lifecycle rules leave alone; without `by: lifecycle` it is archived at once";
            return Some(Standing::NotApplicable(why.into()));
        }
        if let Some(transition) = place.transition.as_ref().filter(|t| t.class == class) {
            let at = transition.asked_at;
            return Some(Standing::Left(format!("its bucket's lifecycle rule, which was asked at {at}")));
        }
    }
    let strayed = place.strayed.as_ref().filter(|s| s.from == class)?;
    let Strayed { at, times, .. } = strayed;
    if *times > TIMES {
        return Some(Standing::Impossible(format!(
            "it was archived in {class} {times} times and found in {} each time, at last at {at}: see who takes it out, or which \
             of the bucket's own rules; then `videorec archive --class {class} {}`",
            place.class.as_deref().unwrap_or("STANDARD"),
            r.id
        )));
    }
    let again = match times {
        0 => *at,
        times => *at + AGAIN * (1 << (times - 1).min(8)),
    };
    (found.now < again).then(|| {
        found.due_at = earlier(found.due_at, Some(again));
        Standing::Later(again)
    })
}

/// Looks whether a transition has happened, or takes it back when no rule wants it any more.
pub(crate) fn follow(found: &mut Evaluation<'_>, facts: &Facts, now: Timestamp) {
    let Some(transition) = &facts.recording.custody.place.transition else { return };
    let wants = |s: &Step<'_>| match s.ask {
        Some(Ask::Action(Action::Archive { class, by: Way::Lifecycle, .. })) => {
            *class == transition.class && !matches!(s.standing, Standing::NotApplicable(_))
        }
        _ => false,
    };
    let (action, standing) = if found.steps.iter().any(wants) {
        look(found, transition, facts, now)
    } else if found.steps.iter().any(replaces) {
        // What puts it elsewhere takes the tag along.
        return;
    } else if transition.by_hand {
        look(found, transition, facts, now)
    } else {
        withdraw(transition, facts)
    };
    let (id, _) = job(&action, facts);
    found.steps.push(Step::own(CUSTODY, id, action, standing));
}

/// Nothing sinks in the trash: what comes back from it would be cold, and what does not would be paid for as long as its class
/// asks for. A rule that wants it after its return asks anew.
pub(crate) fn not_in_the_trash(found: &mut Evaluation<'_>, facts: &Facts) {
    if let Some(transition) = &facts.recording.custody.place.transition {
        let (action, standing) = withdraw(transition, facts);
        let (id, _) = job(&action, facts);
        found.steps.push(Step::own(CUSTODY, id, action, standing));
    }
}

/// It will lie elsewhere in a moment.
fn replaces(step: &Step<'_>) -> bool {
    matches!(step.ask, Some(Ask::Move { .. } | Ask::Action(Action::Archive { .. }))) && step.is_under_way()
}

fn look(
    found: &mut Evaluation<'_>,
    transition: &Transition,
    facts: &Facts,
    now: Timestamp,
) -> (Action, Standing) {
    let Transition { asked_at, looks, .. } = transition;
    let action = Action::Look { asked: *asked_at, look: *looks };
    let at = *asked_at + waited(*looks);
    let standing = match job(&action, facts).1 {
        Standing::ToDo if now < at => {
            found.due_at = earlier(found.due_at, Some(at));
            Standing::Later(at)
        }
        Standing::Done => {
            Standing::Impossible("looking at its class is recorded as done and nothing came of it".into())
        }
        standing => standing,
    };
    (action, standing)
}

/// From the asking to that look.
fn waited(looks: u32) -> Duration {
    let pauses = (0..=looks.min(64)).map(|n| FIRST.saturating_mul(1 << n.min(10)).min(LONGEST));
    pauses.fold(Duration::ZERO, Duration::saturating_add) + LONGEST * looks.saturating_sub(64)
}

fn withdraw(transition: &Transition, facts: &Facts) -> (Action, Standing) {
    let action = Action::Withdraw { asked: transition.asked_at };
    let standing = match job(&action, facts).1 {
        Standing::Done => Standing::Impossible(
            "taking back its archiving is recorded as done, and it is still asked for".into(),
        ),
        standing => standing,
    };
    (action, standing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_come_ever_more_seldom_but_once_a_week() {
        let hours: Vec<u64> = (0..8).map(|looks| waited(looks).as_secs() / 3600).collect();
        assert_eq!(hours, [6, 18, 42, 90, 186, 354, 522, 690]);
        assert_eq!(waited(1000) - waited(999), LONGEST);
    }
}
