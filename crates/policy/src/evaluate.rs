use std::{borrow::Cow, time::Duration};

use domain::{Action, Facts, JobId, Kind, Offer, Output, Preset, State, Timestamp, Verdict};

use crate::{
    Policy, Standing, custody,
    deletion::Deletion,
    matching::{self, Match, NEVER, Truth, earlier},
    mix::{Mixing, mix},
    model::{Ask, INTAKE, Rule},
    placing::{self, Placing},
    probing::Probing,
    said::{Asked, Said},
    sending,
    shield::Shield,
    source::{self, Source},
    transition,
    when::Answer,
};

/// Holds a policy against a recording: what `decide` acts on and `explain` tells, computed in one place so
/// that they cannot disagree.
pub(crate) fn evaluate<'p>(policy: &'p Policy, facts: &Facts, now: Timestamp) -> Evaluation<'p> {
    let mut found = Evaluation { now, ..Evaluation::default() };
    let r = &facts.recording;
    if r.state == State::Deleted {
        found.fate = Fate::Deleted;
        return found;
    }
    if let Some(trash) = &r.custody.trash {
        custody::in_the_trash(&mut found, policy, facts, trash, now);
        return found;
    }
    found.steps.reserve(policy.rules.len().min(8));
    let source = Source::of(&mut found, facts, now);
    let probing = Probing::of(facts, &source);
    if let Some((id, standing)) = probing.step() {
        found.steps.insert(0, Step::own(INTAKE, id, Action::Probe, standing));
    }
    if let (Probing::ToDo(_), Source::Readable { until }) = (&probing, &source) {
        // For as long as it can be read.
        found.due_at = earlier(found.due_at, *until);
    }
    let (mut placings, mut sendings) = (Vec::new(), Vec::new());
    let mut deletion = Deletion::default();
    for rule in &policy.rules {
        let held = matching::matches(policy, rule, facts, now, &mut found.due_at);
        let scheduled = scheduled(rule, held, facts, now);
        for asked in rule.asked() {
            let ask = asked.ask;
            match (ask, held.truth) {
                // A date counts from before it is reached: the latest of several wins.
                (Ask::Delete { .. }, _) if rule.watermark.is_none() => {
                    deletion.date(rule, held, facts, now);
                }
                (_, Truth::No) => continue,
                (Ask::Hold { .. } | Ask::Keep { .. }, truth) => {
                    found.shield.raise(rule, ask, truth, facts, now)
                }
                _ => {}
            }
            let standing = match (ask, held.truth) {
                (_, Truth::No) => continue,
                (ask, Truth::Broken) => unanswered(policy, rule, ask, facts, now),
                (_, Truth::Unknown) => probing.hinders().unwrap_or_else(|| Standing::Waits("probing".into())),
                (Ask::Hold { .. }, Truth::Yes) => Standing::InForce(String::new()),
                (Ask::Keep { for_ms }, Truth::Yes) => kept(facts, *for_ms, now),
                // Decided once all the rest is known.
                _ if rule.watermark.is_some() => {
                    deletion.candidates.push((found.steps.len(), rule));
                    Standing::Done
                }
                (Ask::Delete { .. } | Ask::Evict { .. }, _) => Standing::Done,
                (Ask::Move { .. } | Ask::Action(Action::Archive { .. }), _) => {
                    placings.push(Placing { at: found.steps.len(), asked, scheduled });
                    Standing::Done
                }
                (Ask::Export(_) | Ask::Action(Action::Export(_)), _) => {
                    sendings.push(Placing { at: found.steps.len(), asked, scheduled });
                    Standing::Done
                }
                _ => {
                    let step = match rival(&found.steps, ask) {
                        Some(why) => Step::without_job(asked, Standing::NotApplicable(why)),
                        None => step(asked, facts, now, &probing, &mut found.due_at),
                    };
                    source.read_by(&mut found, rule, step, scheduled, facts);
                    continue;
                }
            };
            found.steps.push(Step::without_job(asked, standing));
        }
    }
    sending::send(&mut found, policy, &sendings, &source, &probing, facts);
    placing::place(&mut found, policy, &placings, &source, facts);
    transition::follow(&mut found, facts, now);
    custody::leftovers(&mut found, policy, facts, now);
    deletion.offer(&mut found, policy, facts, now);
    found
}

/// How a step stands whose rule's `when` has no answer: what destroys keeps, what protects bars (see `Shield`), and the
/// rest says so.
fn unanswered(policy: &Policy, rule: &Rule, ask: &Ask, facts: &Facts, now: Timestamp) -> Standing {
    let why = match rule.when.as_ref().map(|when| when.answer(policy, facts, now)) {
        Some(Answer::Broken(why)) => why,
        _ => "it has no answer",
    };
    match ask {
        Ask::Delete { .. } | Ask::Evict { .. } | Ask::Hold { .. } | Ask::Keep { .. } => {
            Standing::Barred(format!("an answer to the `when` of rule `{}`: {why}", rule.name))
        }
        _ if rule.watermark.is_some() => Standing::NotApplicable(format!("its `when` has no answer: {why}")),
        _ => Standing::Impossible(format!("the `when` of rule `{}` has no answer: {why}", rule.name)),
    }
}

/// The firing that a rule waits for, if its schedule was not due since it began to match. Level-triggered: a firing that
/// nobody was awake for is no firing lost.
fn scheduled(rule: &Rule, held: Match, facts: &Facts, now: Timestamp) -> Option<Timestamp> {
    let schedule = rule.schedule.as_ref().filter(|_| held.truth == Truth::Yes)?;
    Some(schedule.from(held.from.max(facts.recording.accepted_at))).filter(|firing| now < *firing)
}

/// A step that would be done, were it not for its schedule.
pub(crate) fn wait_for_firing(found: &mut Evaluation<'_>, rule: &Rule, firing: Timestamp) -> Standing {
    let schedule = rule.schedule.as_ref().map_or("", |s| s.written.as_str());
    if firing == NEVER {
        return Standing::Barred(format!(
            "a firing of its schedule `{schedule}`; there is none within four years"
        ));
    }
    found.due_at = earlier(found.due_at, Some(firing));
    Standing::Waits(format!("{firing}, by its schedule `{schedule}`"))
}

/// Where a `keep` stands.
fn kept(facts: &Facts, for_ms: Option<u64>, now: Timestamp) -> Standing {
    match kept_until(facts, for_ms) {
        NEVER => Standing::InForce("for ever".into()),
        until if now < until => Standing::InForce(format!("until {until}")),
        until => Standing::NotApplicable(format!("it was kept until {until}")),
    }
}

pub(crate) fn kept_until(facts: &Facts, for_ms: Option<u64>) -> Timestamp {
    for_ms.map_or(NEVER, |ms| facts.recording.dated() + Duration::from_millis(ms))
}

#[derive(Default)]
pub(crate) struct Evaluation<'p> {
    pub(crate) fate: Fate,
    /// Probing first, then by rule, then what needs no rule.
    pub(crate) steps: Vec<Step<'p>>,
    pub(crate) shield: Shield<'p>,
    /// The rule that will delete it, and when.
    pub(crate) deletion: Option<(Timestamp, &'p Rule)>,
    pub(crate) offers: Vec<Offer>,
    pub(crate) due_at: Option<Timestamp>,
    pub(crate) now: Timestamp,
}

/// How far a recording is on its way out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Fate {
    #[default]
    Alive,
    Trashed,
    Deleted,
}

pub(crate) type Job<'p> = Option<(JobId, Cow<'p, Action>)>;

/// One thing that is asked for.
pub(crate) struct Step<'p> {
    pub(crate) rule: &'p str,
    /// Absent: no rule asks, it is done for every recording.
    pub(crate) ask: Option<&'p Ask>,
    pub(crate) said: Option<&'p Said>,
    pub(crate) job: Job<'p>,
    pub(crate) standing: Standing,
    /// What a mix lacks, and why an export takes this file and this way, as clauses.
    pub(crate) without: Vec<String>,
}

impl<'p> Step<'p> {
    pub(crate) fn without_job(asked: Asked<'p>, standing: Standing) -> Self {
        Self::asked(asked, None, standing, Vec::new())
    }
    fn asked(asked: Asked<'p>, job: Job<'p>, standing: Standing, without: Vec<String>) -> Self {
        let Asked { rule, ask, said } = asked;
        Self { rule: &rule.name, ask: Some(ask), said: Some(said), job, standing, without }
    }
    pub(crate) fn own(rule: &'p str, id: JobId, action: Action, standing: Standing) -> Self {
        let job = Some((id, Cow::Owned(action)));
        Self { rule, ask: None, said: None, job, standing, without: Vec::new() }
    }
    pub(crate) fn label(&self) -> Cow<'p, str> {
        match (self.said, &self.job) {
            (Some(said), _) => Cow::Borrowed(&said.label),
            (None, Some((_, action))) => Cow::Owned(action.label()),
            (None, None) => Cow::Borrowed(""),
        }
    }
    pub(crate) fn verb(&self) -> &'static str {
        match (self.ask, &self.job) {
            (Some(ask), _) => ask.verb(),
            (None, Some((_, action))) => action.verb(),
            (None, None) => "",
        }
    }
    /// Whether a job of it is to be done, or will be without anybody's help.
    pub(crate) fn is_under_way(&self) -> bool {
        matches!(self.standing, Standing::ToDo | Standing::Waits(_))
    }
}

fn step<'p>(
    asking: Asked<'p>,
    facts: &Facts,
    now: Timestamp,
    probing: &Probing,
    due: &mut Option<Timestamp>,
) -> Step<'p> {
    let r = &facts.recording;
    let not = |why: &str| Step::without_job(asking, Standing::NotApplicable(why.to_owned()));
    match asking.ask {
        Ask::Action(action) => match action {
            Action::Convert { .. } if r.kind == Kind::Session => {
                not("a session is not converted; `mix` composes its tracks")
            }
            Action::Convert { preset } => match (probing.hinders(), unfit(facts, preset)) {
                (Some(standing), _) => Step::without_job(asking, standing),
                (None, Some(why)) => not(&why),
                (None, None) => asked(asking, facts),
            },
            Action::Backup { store } if *store == r.store => not("the recording itself lives in that store"),
            Action::Backup { store } => match facts.copies.iter().find(|c| c.store == *store) {
                Some(copy) if copy.bad.is_some() => not("the copy there is bad, and its repair comes first"),
                Some(copy) if copy.version == r.version => Step::without_job(asking, Standing::Done),
                _ => asked(asking, facts),
            },
            Action::Tag { add } if add.is_subset(&r.tags) => Step::without_job(asking, Standing::Done),
            _ => asked(asking, facts),
        },
        Ask::Mix { .. } if r.kind != Kind::Session => not("only sessions are mixed"),
        Ask::Mix { preset, layout, loudness } => match mix(preset, *layout, *loudness, facts, now) {
            Mixing::Mix(spec, without) => {
                let action = Action::Mix(spec);
                let (id, standing) = job(&action, facts);
                let mut step = Step::asked(asking, Some((id, Cow::Owned(action))), standing, without);
                if step.standing == Standing::ToDo
                    && let Some(hinders) = source::of_tracks(asking.rule.cold, facts, now, due)
                {
                    step.standing = hinders;
                }
                step
            }
            Mixing::Waits { what, until } => {
                *due = earlier(*due, until);
                Step::without_job(asking, Standing::Waits(what))
            }
            Mixing::Impossible(why) => Step::without_job(asking, Standing::Impossible(why)),
        },
        // Decided once all the rest is known.
        _ => Step::without_job(asking, Standing::Done),
    }
}

/// A step that is a job: done or parked only when its outcome is recorded, and else to do.
fn asked<'p>(asking: Asked<'p>, facts: &Facts) -> Step<'p> {
    let job = asking.said.job(0, facts);
    let standing = job.as_ref().map_or(Standing::Done, |(id, _)| standing(*id, facts));
    Step::asked(asking, job, standing, Vec::new())
}

/// The job that an action is, and where it stands.
pub(crate) fn job(action: &Action, facts: &Facts) -> (JobId, Standing) {
    let id = action.job_id(facts.recording.id, &facts.recording.version);
    (id, standing(id, facts))
}

pub(crate) fn standing(id: JobId, facts: &Facts) -> Standing {
    match facts.parked.get(&id) {
        _ if facts.done.contains(&id) => Standing::Done,
        Some(reason) => Standing::Parked(reason.clone()),
        None => Standing::ToDo,
    }
}

/// Why a preset makes nothing of what probing found.
pub(crate) fn unfit(facts: &Facts, preset: &Preset) -> Option<String> {
    let probe = facts.recording.probe.as_ref()?;
    if let Verdict::Unsupported { reason } = &probe.verdict {
        return Some(format!("it is unsupported: {reason}"));
    }
    let media = probe.facts.as_ref();
    match preset.output {
        Output::Video { .. } | Output::Thumbnails { .. } => {
            media.and_then(|m| m.video()).is_none().then(|| "there is no video stream".to_owned())
        }
        Output::Audio { .. } | Output::Waveform { .. } => {
            media.and_then(|m| m.main_audio()).is_none().then(|| "there is no audio stream".to_owned())
        }
    }
}

/// A rule before this one, by name, that mixes the same rendition another way.
fn rival(steps: &[Step<'_>], ask: &Ask) -> Option<String> {
    let Ask::Mix { preset, .. } = ask else { return None };
    let rival = steps.iter().find(|step| match step.ask {
        Some(Ask::Mix { preset: other, .. }) => {
            other.name == preset.name
                && step.ask != Some(ask)
                && !matches!(step.standing, Standing::NotApplicable(_))
        }
        _ => false,
    })?;
    Some(format!("rule `{}` mixes `{}` in another way, and comes first by name", rival.rule, preset.name))
}
