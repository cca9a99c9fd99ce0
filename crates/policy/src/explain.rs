use std::fmt;

use domain::{Facts, JobId, Kind, State, Timestamp, Usage};
use serde::Serialize;

use crate::{
    Policy,
    decide::standing,
    evaluate::{Fate, evaluate},
    matching::{self, Truth},
    model::{Ask, CUSTODY, INTAKE},
};

/// Why `decide` says what it says: every rule with every condition and the value it saw, whether or not it
/// applies, and where each asked step stands.
pub fn explain(policy: &Policy, facts: &Facts, _usage: &Usage, now: Timestamp) -> Explanation {
    let evaluation = evaluate(policy, facts, now);
    let (state, reason) = standing(&evaluation, facts);
    let steps = |rule: &str| {
        let of_rule = evaluation.steps.iter().filter(|s| s.rule == rule);
        of_rule
            .map(|s| StepExplained {
                step: s.label().into_owned(),
                job: s.job.as_ref().map(|(id, _)| *id),
                standing: s.standing.clone(),
                without: s.without.clone(),
            })
            .collect::<Vec<_>>()
    };
    let mut rules = Vec::new();
    let own = |rule: &str, steps: Vec<StepExplained>| RuleExplained {
        rule: rule.into(),
        applies: Applies::Yes,
        conditions: Vec::new(),
        steps,
    };
    if facts.recording.kind != Kind::Session && evaluation.fate == Fate::Alive {
        let mut steps = steps(INTAKE);
        if steps.is_empty() {
            steps.push(StepExplained {
                step: "probe".into(),
                job: None,
                standing: Standing::Done,
                without: Vec::new(),
            });
        }
        rules.push(own(INTAKE, steps));
    }
    let care = steps(CUSTODY);
    if !care.is_empty() {
        rules.push(own(CUSTODY, care));
    }
    rules.extend(policy.rules.iter().map(|rule| {
        let held = matching::matches(policy, rule, facts, now, &mut None);
        let mut steps = steps(&rule.name);
        if let Some((date, deleting)) = evaluation.deletion
            && deleting.name == rule.name
            && held.truth == Truth::No
        {
            // It does not apply yet; that it will is what a person asks about.
            steps.extend(rule.asks.iter().filter(|ask| matches!(ask, Ask::Delete { .. })).map(|ask| {
                StepExplained {
                    step: ask.label(),
                    job: None,
                    standing: Standing::Later(date),
                    without: Vec::new(),
                }
            }));
        }
        RuleExplained {
            rule: rule.name.clone(),
            applies: held.truth.into(),
            conditions: rule
                .conditions
                .iter()
                .map(|c| ConditionExplained {
                    condition: c.written.clone(),
                    saw: c.test.saw(policy, facts, now),
                    holds: c.test.holds(policy, facts, now).into(),
                })
                .chain(rule.when.iter().map(|when| ConditionExplained {
                    condition: format!("when {}", when.written),
                    saw: when.saw(policy, facts, now),
                    holds: when.holds(policy, facts, now).into(),
                }))
                .collect(),
            steps,
        }
    }));
    Explanation { rules, state, reason, due_at: evaluation.due_at }
}

/// Why `decide` says what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    pub rules: Vec<RuleExplained>,
    pub state: State,
    pub reason: String,
    pub due_at: Option<Timestamp>,
}

/// One rule against one recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleExplained {
    /// The rule's name; `intake` for probing, `custody` for care of its bytes.
    pub rule: String,
    pub applies: Applies,
    pub conditions: Vec<ConditionExplained>,
    /// What it asks for; empty unless it applies, or will delete.
    pub steps: Vec<StepExplained>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Applies {
    Yes,
    No,
    /// Not to be said before the recording is probed.
    Unknown,
    /// Not to be said: its `when` has no answer.
    Broken,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConditionExplained {
    /// `age >=30d`
    pub condition: String,
    /// `the age is 12d 3h`
    pub saw: String,
    pub holds: Applies,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepExplained {
    /// `convert mp4-720p`
    pub step: String,
    pub job: Option<JobId>,
    pub standing: Standing,
    /// What a mix lacks, and why an export takes this file and this way, as clauses.
    pub without: Vec<String>,
}

/// Where one asked step stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "standing", content = "why", rename_all = "snake_case")]
pub enum Standing {
    ToDo,
    Done,
    /// A job gave up, and why.
    Parked(String),
    /// Completes "waits for ...".
    Waits(String),
    /// Nothing to do for this recording, and why.
    NotApplicable(String),
    /// Asked for and not to be had, and why.
    Impossible(String),
    /// Something stronger holds it back, maybe for ever; completes "waits for ...".
    Barred(String),
    /// What it would read has to be restored first, which costs money, and a person decides; completes "waits for ...".
    Cold(String),
    /// It was asked of somebody else, who takes days and is waited for by nobody: of whom and since when.
    Left(String),
    /// Its day comes then.
    Later(Timestamp),
    /// It may go: weighed against limits and need, together with others.
    Offered(String),
    /// It protects; until when, where that is known.
    InForce(String),
}

impl From<Truth> for Applies {
    fn from(truth: Truth) -> Self {
        match truth {
            Truth::Yes => Self::Yes,
            Truth::No => Self::No,
            Truth::Unknown => Self::Unknown,
            Truth::Broken => Self::Broken,
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.state.as_str())?;
        if !self.reason.is_empty() {
            write!(f, ": {}", self.reason)?;
        }
        if let Some(at) = self.due_at {
            write!(f, "\nto be looked at again at {at}")?;
        }
        self.rules.iter().try_for_each(|rule| write!(f, "\n{rule}"))
    }
}

impl fmt::Display for RuleExplained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.applies {
            Applies::Yes => "applies",
            Applies::No => "does not apply",
            Applies::Unknown => "not to be said before probing",
            Applies::Broken => "not to be said",
        };
        write!(f, "\nrule `{}`: {verdict}", self.rule)?;
        for condition in &self.conditions {
            let mark = match condition.holds {
                Applies::Yes => "yes",
                Applies::No => "no",
                Applies::Unknown | Applies::Broken => "?",
            };
            write!(f, "\n  {mark:>3}  {}: {}", condition.condition, condition.saw)?;
        }
        for step in &self.steps {
            write!(f, "\n    -> {}: {}", step.step, step.standing)?;
            step.without.iter().try_for_each(|w| write!(f, "; {w}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ToDo => f.write_str("to do"),
            Self::Done => f.write_str("done"),
            Self::Parked(why) => write!(f, "parked: {why}"),
            Self::Waits(what) => write!(f, "waits for {what}"),
            Self::NotApplicable(why) => write!(f, "nothing to do: {why}"),
            Self::Impossible(why) => write!(f, "cannot be had: {why}"),
            Self::Barred(what) | Self::Cold(what) => write!(f, "held back: waits for {what}"),
            Self::Left(whom) => write!(f, "left to {whom}"),
            Self::Later(at) => write!(f, "not before {at}"),
            Self::Offered(when) => write!(f, "may go: {when}"),
            Self::InForce(how_long) if how_long.is_empty() => f.write_str("in force"),
            Self::InForce(how_long) => write!(f, "in force {how_long}"),
        }
    }
}
