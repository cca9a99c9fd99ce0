use std::borrow::Cow;

use domain::{Action, Facts, Timestamp};

use crate::{
    Policy, Standing,
    contradictions::are_rivals,
    copies::Copies,
    evaluate::{self, Evaluation, Job, Step, wait_for_firing},
    model::Ask,
    said::Asked,
    source::Source,
    transition,
};

/// Where steps stand that put the source elsewhere: `move` and `archive`. They come after everything that reads it.
pub(crate) fn place<'p>(
    found: &mut Evaluation<'p>,
    policy: &Policy,
    placings: &[Placing<'p>],
    source: &Source,
    facts: &Facts,
) {
    // A class belongs to a store: moves are first.
    for moves in [true, false] {
        for placing in placings {
            if matches!(placing.asked.ask, Ask::Move { .. }) == moves {
                let (action, standing) = standing(found, policy, placing, source, facts);
                found.steps[placing.at].job = action;
                found.steps[placing.at].standing = standing;
            }
        }
    }
}

/// A step that waits for its turn: it is decided once what all rules ask for is known.
pub(crate) struct Placing<'p> {
    /// Where it is among the steps.
    pub(crate) at: usize,
    pub(crate) asked: Asked<'p>,
    /// The firing that it has to wait for.
    pub(crate) scheduled: Option<Timestamp>,
}

fn standing<'p>(
    found: &mut Evaluation<'p>,
    policy: &Policy,
    placing: &Placing<'p>,
    source: &Source,
    facts: &Facts,
) -> (Job<'p>, Standing) {
    let r = &facts.recording;
    let ask = placing.asked.ask;
    let (action, archives, lies_there) = match ask {
        Ask::Move { to, keep_ms, archive } => {
            let action = Action::Move { store: to.clone(), from: r.store.clone(), keep_ms: *keep_ms };
            (Cow::Owned(action), *archive, r.store == *to)
        }
        Ask::Action(action @ Action::Archive { class, .. }) => {
            let there = r.custody.place.class.as_ref() == Some(class);
            (transition::asked(action, &r.custody.place), true, there)
        }
        _ => return (None, Standing::Done),
    };
    if let Some(why) = rival(policy, &found.steps[..placing.at], ask) {
        return (None, Standing::NotApplicable(why));
    }
    if lies_there {
        return (None, Standing::Done);
    }
    if let Ask::Action(Action::Archive { class, by, .. }) = ask
        && let Some(standing) = transition::standing(found, class, *by, facts)
    {
        return (None, standing);
    }
    let same = matches!(action, Cow::Borrowed(_));
    let written = if same { placing.asked.said.job(0, facts) } else { None };
    let (id, action) = written.unwrap_or_else(|| (action.job_id(r.id, &r.version), action));
    let standing = evaluate::standing(id, facts);
    let job = Some((id, action));
    if standing != Standing::ToDo {
        return (job, standing);
    }
    if let Some(firing) = placing.scheduled {
        return (job, wait_for_firing(found, placing.asked.rule, firing));
    }
    if matches!(ask, Ask::Move { .. })
        && let Some(hold) = found.shield.held(facts)
    {
        return (job, Standing::Barred(hold));
    }
    // Two rules may ask for the same: that is one job, and does not wait for itself.
    let busy =
        found.steps.iter().find(|s| s.is_under_way() && s.job.as_ref().is_none_or(|(other, _)| *other != id));
    if let Some(busy) = busy {
        return (job, Standing::Waits(format!("{} to be finished", busy.label())));
    }
    if archives
        && policy.protect().copies_min > 1
        && let Some(lacking) = Copies::of(policy, facts).lacking(policy)
    {
        return (job, Standing::Barred(lacking));
    }
    match source.hinders(found, placing.asked.rule, facts) {
        Some(hindered) => (job, hindered),
        None => (job, Standing::ToDo),
    }
}

/// A rule before this one, by name, that wants it elsewhere.
fn rival(policy: &Policy, steps: &[Step<'_>], ask: &Ask) -> Option<String> {
    // One that makes room wants nothing as long as nobody asks it to.
    let waits_for_want =
        |s: &Step<'_>| policy.rules.iter().any(|r| r.name == s.rule && r.watermark.is_some());
    let rival = steps.iter().find(|s| {
        s.ask.is_some_and(|other| are_rivals(other, ask))
            && !matches!(s.standing, Standing::NotApplicable(_))
            && !waits_for_want(s)
    })?;
    Some(format!("rule `{}` wants it elsewhere ({}), and comes first by name", rival.rule, rival.label()))
}
