use std::time::Duration;

use domain::{Action, Facts, Recording, Restoring, Speed, Timestamp};

use crate::{
    Standing,
    copies::good_copies,
    evaluate::{Evaluation, Step, job, wait_for_firing},
    matching::earlier,
    model::{Ask, CUSTODY, Rule, WhenCold},
};

/// Whether the source can be read by what works on it.
pub(crate) enum Source {
    /// Until then, if it is a restored one.
    Readable { until: Option<Timestamp> },
    /// It has to be restored, which a rule may ask for.
    Cold,
    /// How steps stand that would read it.
    Hindered(Standing),
}

/// A restore is looked at once an hour: the slowest takes two days.
const LOOK: Duration = Duration::from_secs(60 * 60);

impl Source {
    /// Looks at how the source lies, and asks for what its bytes need, whatever the rules say.
    pub(crate) fn of(found: &mut Evaluation<'_>, facts: &Facts, now: Timestamp) -> Self {
        let place = &facts.recording.custody.place;
        if let Some(bad) = &place.bad {
            return Self::Hindered(repair(found, facts, bad));
        }
        let Some(cold) = &place.cold else { return Self::Readable { until: None } };
        match &cold.restore {
            None => Self::Cold,
            Some(Restoring { until: Some(until), .. }) if now < *until => {
                Self::Readable { until: Some(*until) }
            }
            Some(Restoring { until: Some(_), .. }) => Self::Cold,
            Some(restoring) => Self::Hindered(awaken(found, facts, restoring, now)),
        }
    }

    /// How that stands which reads the source and which no rule asks for, so that none says whether it is to be restored.
    pub(crate) fn unrestored(&self, r: &Recording) -> Option<Standing> {
        match self {
            Self::Cold => Some(Standing::Cold(refused(r))),
            Self::Hindered(standing) if r.custody.place.bad.is_none() => Some(standing.clone()),
            _ => None,
        }
    }

    /// Enters a step that may read the source, as its schedule and the source let it stand.
    pub(crate) fn read_by<'p>(
        &self,
        found: &mut Evaluation<'p>,
        rule: &'p Rule,
        mut step: Step<'p>,
        scheduled: Option<Timestamp>,
        facts: &Facts,
    ) {
        if step.standing == Standing::ToDo
            && let Some(firing) = scheduled
        {
            step.standing = wait_for_firing(found, rule, firing);
        }
        let reads = match &step.job {
            Some((_, action)) => matches!(**action, Action::Convert { .. } | Action::Backup { .. }),
            None => false,
        };
        if reads
            && step.standing == Standing::ToDo
            && let Some(hindered) = self.hinders(found, rule, facts)
        {
            step.standing = hindered;
        }
        // What needs the probe needs the restore that the probe needs: no rule asks for that one.
        if matches!((&step.standing, step.ask), (Standing::Cold(_), Some(Ask::Action(_))))
            && let Some(hindered) = self.hinders(found, rule, facts)
        {
            step.standing = hindered;
        }
        found.steps.push(step);
    }

    /// How a rule's step stands that reads the source; nothing when it can. Asks for the restore that it needs.
    pub(crate) fn hinders<'p>(
        &self,
        found: &mut Evaluation<'p>,
        rule: &'p Rule,
        facts: &Facts,
    ) -> Option<Standing> {
        match self {
            Self::Readable { until } => {
                found.due_at = earlier(found.due_at, *until);
                None
            }
            Self::Hindered(standing) => Some(standing.clone()),
            Self::Cold => Some(match rule.cold {
                WhenCold::Refuse => Standing::Cold(refused(&facts.recording)),
                WhenCold::Skip => Standing::NotApplicable(skipped(&facts.recording)),
                WhenCold::Restore => restore(found, rule, facts),
            }),
        }
    }
}

/// How a mix stands whose tracks have to be restored: each is a recording of its own, restored by its own rules or
/// by hand.
pub(crate) fn of_tracks(
    cold: WhenCold,
    facts: &Facts,
    now: Timestamp,
    due: &mut Option<Timestamp>,
) -> Option<Standing> {
    let mut hindered = None;
    for track in facts.tracks.iter().filter_map(|t| t.recording.as_ref()) {
        if !track.custody.is_readable(now) {
            hindered.get_or_insert_with(|| match cold {
                WhenCold::Skip => {
                    Standing::NotApplicable(format!("of its track {}, {}", track.name, skipped(track)))
                }
                _ => Standing::Cold(format!("track {}: {}", track.name, refused(track))),
            });
        } else if let Some(cold) = &track.custody.place.cold {
            *due = earlier(*due, cold.restore.as_ref().and_then(|r| r.until));
        }
    }
    hindered
}

fn refused(r: &Recording) -> String {
    format!("its restore from {}; `videorec restore {}` asks for it", class(r), r.id)
}

fn skipped(r: &Recording) -> String {
    format!("the source is archived in {}, and the rule skips what is cold", class(r))
}

fn class(r: &Recording) -> &str {
    r.custody.place.class.as_deref().unwrap_or("the archive")
}

fn restore<'p>(found: &mut Evaluation<'p>, rule: &'p Rule, facts: &Facts) -> Standing {
    let Some(cold) = &facts.recording.custody.place.cold else { return Standing::ToDo };
    // A restore that ran out is followed by another one.
    let asked = cold.restore.as_ref().and_then(|r| r.until).unwrap_or(cold.since);
    let speed = speed(class(&facts.recording), rule.thaw.speed);
    let action = Action::Restore { speed, days: rule.thaw.days, asked };
    let (id, standing) = job(&action, facts);
    let reader = match &standing {
        Standing::Parked(reason) => Standing::Impossible(format!("its restore gave up: {reason}")),
        Standing::Done => {
            Standing::Impossible("its restore is recorded as done and nothing came of it".into())
        }
        _ => Standing::Waits(format!("its restore from {}", class(&facts.recording))),
    };
    // Three presets of one `convert` need one restore.
    let is_asked =
        |s: &Step<'_>| s.rule == rule.name && s.job.as_ref().is_some_and(|(other, _)| *other == id);
    if !found.steps.iter().any(is_asked) {
        found.steps.push(Step::own(&rule.name, id, action, standing));
    }
    reader
}

/// As fast as the rule says, or as fast as it goes: from the deepest archive nothing is expedited.
fn speed(class: &str, wanted: Speed) -> Speed {
    match (class, wanted) {
        ("DEEP_ARCHIVE", Speed::Expedited) => Speed::Standard,
        _ => wanted,
    }
}

/// Looks whether a restore has come to its end; how steps stand meanwhile that would read the source.
fn awaken(found: &mut Evaluation<'_>, facts: &Facts, restoring: &Restoring, now: Timestamp) -> Standing {
    let action = Action::Awaken { asked: restoring.asked_at, look: restoring.looks };
    let (id, standing) = job(&action, facts);
    let at = restoring.asked_at + LOOK * restoring.looks.saturating_add(1);
    let waits = Standing::Waits(format!("its restore, asked for at {}", restoring.asked_at));
    let (standing, reader) = match standing {
        Standing::ToDo if now < at => {
            found.due_at = earlier(found.due_at, Some(at));
            (waits.clone(), waits)
        }
        Standing::ToDo => (Standing::ToDo, waits),
        Standing::Parked(reason) => {
            let reader =
                Standing::Impossible(format!("nobody could see whether its restore ended: {reason}"));
            (Standing::Parked(reason), reader)
        }
        other => {
            let lost = "looking at its restore is recorded as done and nothing came of it";
            let impossible = Standing::Impossible(lost.into());
            (if other == Standing::Done { impossible.clone() } else { other }, impossible)
        }
    };
    found.steps.push(Step::own(CUSTODY, id, action, standing));
    reader
}

/// Has bad bytes replaced; how steps stand meanwhile that would read them.
fn repair(found: &mut Evaluation<'_>, facts: &Facts, bad: &str) -> Standing {
    let r = &facts.recording;
    let action = Action::Repair {
        store: r.store.clone(),
        found: r.custody.place.verified_at.unwrap_or(r.accepted_at),
    };
    let (id, standing) = job(&action, facts);
    let (standing, reader) = match standing {
        _ if good_copies(facts).next().is_none() => {
            let reader = Standing::NotApplicable("its bytes are bad, and no good copy is left".into());
            (Standing::Impossible(format!("no good copy is left: {bad}")), reader)
        }
        Standing::ToDo => (Standing::ToDo, Standing::Waits("the repair of its bytes".into())),
        Standing::Done => {
            let lost = "its repair is recorded as done, and it is still bad";
            (Standing::Impossible(lost.into()), Standing::NotApplicable("its bytes are bad".into()))
        }
        standing => (standing, Standing::NotApplicable("its bytes are bad, and their repair gave up".into())),
    };
    found.steps.push(Step::own(CUSTODY, id, action, standing));
    reader
}
