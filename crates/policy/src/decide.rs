use std::collections::{BTreeMap, BTreeSet};

use domain::{Action, Decision, Facts, JobId, JobSpec, Kind, Lane, State, Timestamp, Usage, Verdict, Wait};

use crate::{
    Policy, Standing,
    evaluate::{Evaluation, Step, evaluate},
    model::INTAKE,
};

/// What should happen to a recording now: the jobs whose outcomes are missing, what is waited for, and where
/// the recording stands. A function of its arguments and of nothing else; asking twice asks for the same.
///
/// `usage` is part of the question for the verbs that make room; none of this release looks at it.
pub fn decide(policy: &Policy, facts: &Facts, _usage: &Usage, now: Timestamp) -> Decision {
    let evaluation = evaluate(policy, facts, now);
    let (state, reason) = standing(&evaluation, facts);
    Decision {
        jobs: jobs(policy, &evaluation, facts),
        waits: waits(&evaluation),
        state,
        reason,
        due_at: evaluation.due_at,
        offers: Vec::new(),
    }
}

/// Where the recording stands, and why, as sentences.
pub(crate) fn standing(evaluation: &Evaluation<'_>, facts: &Facts) -> (State, String) {
    let r = &facts.recording;
    let steps = || evaluation.steps.iter();
    let probing = steps().any(|s| s.rule == INTAKE && s.standing == Standing::ToDo);
    let to_do = labels(steps().filter(|s| s.standing == Standing::ToDo));
    let waits = set(steps().filter_map(|s| match &s.standing {
        // What waits for probing is said by probing itself.
        Standing::Waits(what) if !probing => Some(what.clone()),
        _ => None,
    }));
    if !to_do.is_empty() || !waits.is_empty() {
        let unprobed = r.kind != Kind::Session && r.probe.is_none();
        let state = if unprobed { State::Accepted } else { State::Processing };
        let mut parts = Vec::new();
        if !waits.is_empty() {
            parts.push(format!("Waits for {}.", waits.join(", ")));
        }
        if !to_do.is_empty() {
            parts.push(format!("To do: {}.", to_do.join(", ")));
        }
        return (state, parts.join(" "));
    }
    let gave_up = set(steps().filter_map(|s| match &s.standing {
        Standing::Parked(reason) => Some(format!("{} gave up: {reason}", s.ask.label())),
        Standing::Impossible(reason) => Some(reason.clone()),
        _ => None,
    }));
    // What a finished mix lacks stays true of it.
    let lacks = set(steps().filter(|s| s.standing == Standing::Done).flat_map(|s| s.without.iter().cloned()));
    let (state, verdict) = match r.probe.as_ref().map(|p| &p.verdict) {
        Some(Verdict::Unsupported { reason }) => (State::Unsupported, Some(reason)),
        Some(Verdict::Damaged { reason }) => (State::Damaged, Some(reason)),
        _ if !gave_up.is_empty() => (State::Failed, None),
        _ => (State::Ready, None),
    };
    match verdict {
        // Word for word what probing said, when there is nothing to add.
        Some(verdict) if gave_up.is_empty() && lacks.is_empty() => (state, verdict.clone()),
        _ => (state, sentences(verdict.into_iter().cloned().chain(gave_up).chain(lacks))),
    }
}

/// One job for all rules that ask for it.
fn jobs(policy: &Policy, evaluation: &Evaluation<'_>, facts: &Facts) -> Vec<JobSpec> {
    let mut asked: BTreeMap<JobId, Vec<&Step<'_>>> = BTreeMap::new();
    for step in evaluation.steps.iter().filter(|s| s.standing == Standing::ToDo) {
        if let Some((id, _)) = &step.job {
            asked.entry(*id).or_default().push(step);
        }
    }
    asked.into_iter().map(|(id, steps)| job(policy, id, &steps, facts)).collect()
}

fn job(policy: &Policy, id: JobId, steps: &[&Step<'_>], facts: &Facts) -> JobSpec {
    let first = steps[0];
    let action = first.job.as_ref().map_or(Action::Probe, |(_, action)| action.clone().into_owned());
    // Steps come by rule and rules by name; one rule asks for a thing once.
    let rules: Vec<&str> = steps.iter().map(|s| s.rule).collect();
    let mut reason = if first.rule == INTAKE {
        "Every recording is probed before anything is made of it.".to_owned()
    } else {
        let mut reasons = rules.iter().filter_map(|name| {
            let rule = policy.rules.iter().find(|r| r.name == *name)?;
            Some(format!("rule `{name}` ({})", rule.looks_for()))
        });
        format!("Asked for by {}.", reasons.by_ref().collect::<Vec<_>>().join(" and "))
    };
    if !first.without.is_empty() {
        reason = sentences([reason].into_iter().chain(first.without.iter().cloned()));
    }
    JobSpec {
        id,
        recording: facts.recording.id,
        version: facts.recording.version.clone(),
        lane: match action {
            // What a person sees at once: what it is, and its tags. The rest takes minutes in any case.
            Action::Probe | Action::Tag { .. } => Lane::Interactive,
            _ => Lane::Bulk,
        },
        action,
        rule: rules.join(", "),
        reason,
    }
}

fn waits(evaluation: &Evaluation<'_>) -> Vec<Wait> {
    let mut waits: Vec<Wait> = Vec::new();
    for step in &evaluation.steps {
        if let Standing::Waits(what) = &step.standing {
            let verb = step.ask.verb().to_owned();
            let wait = Wait { rule: step.rule.to_owned(), verb, waits_for: what.clone() };
            // Three presets of one `convert` wait for one thing.
            if waits.last() != Some(&wait) {
                waits.push(wait);
            }
        }
    }
    waits
}

fn labels<'s>(steps: impl Iterator<Item = &'s Step<'s>>) -> Vec<String> {
    set(steps.map(|s| s.ask.label()))
}

fn set(texts: impl Iterator<Item = String>) -> Vec<String> {
    texts.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Clauses as sentences.
fn sentences(clauses: impl IntoIterator<Item = String>) -> String {
    let mut text = String::new();
    for clause in clauses.into_iter().filter(|c| !c.trim().is_empty()) {
        let mut chars = clause.trim().chars();
        if !text.is_empty() {
            text.push(' ');
        }
        text.extend(chars.next().into_iter().flat_map(char::to_uppercase));
        text.push_str(chars.as_str());
        if !text.ends_with(['.', '!', '?']) {
            text.push('.');
        }
    }
    text
}
