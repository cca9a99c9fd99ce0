use std::borrow::Cow;

use domain::{Action, Facts, JobId, Kind, Output, Preset, Timestamp, Verdict};

use crate::{
    Policy, Standing,
    matching::{self, Truth, earlier},
    mix::{Mixing, mix},
    model::{Ask, INTAKE, Rule},
};

/// Holds a policy against a recording: what `decide` acts on and `explain` tells, computed in one place so
/// that they cannot disagree.
pub(crate) fn evaluate<'p>(policy: &'p Policy, facts: &Facts, now: Timestamp) -> Evaluation<'p> {
    let mut due = None;
    let mut steps = Vec::new();
    let probing = Probing::of(facts);
    if let Some((id, standing)) = probing.step() {
        let job = Some((id, Cow::Owned(Action::Probe)));
        steps.push(Step { rule: INTAKE, ask: &PROBE, job, standing, without: Vec::new() });
    }
    let mut rules = Vec::with_capacity(policy.rules.len());
    for rule in &policy.rules {
        let truth = matching::matches(rule, facts, now, &mut due);
        rules.push((rule, truth));
        match truth {
            Truth::No => {}
            Truth::Unknown => {
                let standing = probing.hinders().unwrap_or_else(|| Standing::Waits("probing".into()));
                steps.extend(rule.asks.iter().map(|ask| Step::without_job(rule, ask, standing.clone())));
            }
            Truth::Yes => {
                for ask in &rule.asks {
                    let step = rival(&steps, ask)
                        .map(|why| Step::without_job(rule, ask, Standing::NotApplicable(why)))
                        .unwrap_or_else(|| step(rule, ask, facts, now, &probing, &mut due));
                    steps.push(step);
                }
            }
        }
    }
    Evaluation { rules, steps, due_at: due }
}

pub(crate) struct Evaluation<'p> {
    pub(crate) rules: Vec<(&'p Rule, Truth)>,
    /// Probing first, then by rule.
    pub(crate) steps: Vec<Step<'p>>,
    pub(crate) due_at: Option<Timestamp>,
}

/// One thing that one rule asks for.
pub(crate) struct Step<'p> {
    pub(crate) rule: &'p str,
    pub(crate) ask: &'p Ask,
    pub(crate) job: Option<(JobId, Cow<'p, Action>)>,
    pub(crate) standing: Standing,
    /// What a mix lacks, as clauses.
    pub(crate) without: Vec<String>,
}

static PROBE: Ask = Ask::Action(Action::Probe);

impl<'p> Step<'p> {
    fn without_job(rule: &'p Rule, ask: &'p Ask, standing: Standing) -> Self {
        Self { rule: &rule.name, ask, job: None, standing, without: Vec::new() }
    }
}

/// Where probing stands; sessions need none.
enum Probing {
    Finished,
    ToDo(JobId),
    Parked(JobId, String),
    /// Recorded as done, yet without a result: nothing that waiting would mend.
    Lost(JobId),
}

impl Probing {
    fn of(facts: &Facts) -> Self {
        let r = &facts.recording;
        if r.kind == Kind::Session || r.probe.is_some() {
            return Self::Finished;
        }
        let job = Action::Probe.job_id(r.id, &r.version);
        match facts.parked.get(&job) {
            Some(reason) => Self::Parked(job, reason.clone()),
            None if facts.done.contains(&job) => Self::Lost(job),
            None => Self::ToDo(job),
        }
    }

    fn step(&self) -> Option<(JobId, Standing)> {
        match self {
            Self::Finished => None,
            Self::ToDo(job) => Some((*job, Standing::ToDo)),
            Self::Parked(job, reason) => Some((*job, Standing::Parked(reason.clone()))),
            Self::Lost(job) => {
                let why = "probing is recorded as done and its result is not there";
                Some((*job, Standing::Impossible(why.into())))
            }
        }
    }

    /// How a step stands that needs what probing finds; nothing when it was found.
    fn hinders(&self) -> Option<Standing> {
        match self {
            Self::Finished => None,
            Self::ToDo(_) => Some(Standing::Waits("probing".into())),
            Self::Parked(..) | Self::Lost(_) => {
                Some(Standing::NotApplicable("it could not be probed".into()))
            }
        }
    }
}

fn step<'p>(
    rule: &'p Rule,
    ask: &'p Ask,
    facts: &Facts,
    now: Timestamp,
    probing: &Probing,
    due: &mut Option<Timestamp>,
) -> Step<'p> {
    let r = &facts.recording;
    let not = |why: &str| Step::without_job(rule, ask, Standing::NotApplicable(why.to_owned()));
    match ask {
        Ask::Action(action) => match action {
            Action::Convert { .. } if r.kind == Kind::Session => {
                not("a session is not converted; `mix` composes its tracks")
            }
            Action::Convert { preset } => match (probing.hinders(), unfit(facts, preset)) {
                (Some(standing), _) => Step::without_job(rule, ask, standing),
                (None, Some(why)) => not(&why),
                (None, None) => asked(rule, ask, Cow::Borrowed(action), facts, Vec::new()),
            },
            Action::Backup { store } if *store == r.store => not("the recording itself lives in that store"),
            Action::Tag { add } if add.is_subset(&r.tags) => Step::without_job(rule, ask, Standing::Done),
            _ => asked(rule, ask, Cow::Borrowed(action), facts, Vec::new()),
        },
        Ask::Mix { .. } if r.kind != Kind::Session => not("only sessions are mixed"),
        Ask::Mix { preset, layout, loudness } => match mix(preset, *layout, *loudness, facts, now) {
            Mixing::Mix(spec, without) => asked(rule, ask, Cow::Owned(Action::Mix(spec)), facts, without),
            Mixing::Waits { what, until } => {
                *due = earlier(*due, until);
                Step::without_job(rule, ask, Standing::Waits(what))
            }
            Mixing::Impossible(why) => Step::without_job(rule, ask, Standing::Impossible(why)),
        },
    }
}

/// A step that is a job: done or parked only when its outcome is recorded, and else to do.
fn asked<'p>(
    rule: &'p Rule,
    ask: &'p Ask,
    action: Cow<'p, Action>,
    facts: &Facts,
    without: Vec<String>,
) -> Step<'p> {
    let id = action.job_id(facts.recording.id, &facts.recording.version);
    let standing = match facts.parked.get(&id) {
        _ if facts.done.contains(&id) => Standing::Done,
        Some(reason) => Standing::Parked(reason.clone()),
        None => Standing::ToDo,
    };
    Step { rule: &rule.name, ask, job: Some((id, action)), standing, without }
}

/// Why a preset makes nothing of what probing found.
fn unfit(facts: &Facts, preset: &Preset) -> Option<String> {
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
        Ask::Mix { preset: other, .. } => {
            other.name == preset.name
                && step.ask != ask
                && !matches!(step.standing, Standing::NotApplicable(_))
        }
        Ask::Action(_) => false,
    })?;
    Some(format!("rule `{}` mixes `{}` in another way, and comes first by name", rival.rule, preset.name))
}
