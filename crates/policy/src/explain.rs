use std::fmt;

use domain::{Facts, JobId, Kind, State, Timestamp, Usage};
use serde::Serialize;

use crate::{Policy, decide::standing, evaluate::evaluate, matching::Truth, model::INTAKE};

/// Why `decide` says what it says: every rule with every condition and the value it saw, whether or not it
/// applies, and where each asked step stands.
pub fn explain(policy: &Policy, facts: &Facts, _usage: &Usage, now: Timestamp) -> Explanation {
    let evaluation = evaluate(policy, facts, now);
    let (state, reason) = standing(&evaluation, facts);
    let steps = |rule: &str| {
        let of_rule = evaluation.steps.iter().filter(|s| s.rule == rule);
        of_rule
            .map(|s| StepExplained {
                step: s.ask.label(),
                job: s.job.as_ref().map(|(id, _)| *id),
                standing: s.standing.clone(),
                without: s.without.clone(),
            })
            .collect::<Vec<_>>()
    };
    let mut rules = Vec::new();
    if facts.recording.kind != Kind::Session {
        let mut steps = steps(INTAKE);
        if steps.is_empty() {
            steps.push(StepExplained {
                step: "probe".into(),
                job: None,
                standing: Standing::Done,
                without: Vec::new(),
            });
        }
        rules.push(RuleExplained {
            rule: INTAKE.into(),
            applies: Applies::Yes,
            conditions: Vec::new(),
            steps,
        });
    }
    rules.extend(evaluation.rules.iter().map(|(rule, truth)| {
        RuleExplained {
            rule: rule.name.clone(),
            applies: (*truth).into(),
            conditions: rule
                .conditions
                .iter()
                .map(|c| ConditionExplained {
                    condition: c.written.clone(),
                    saw: c.test.saw(facts, now),
                    holds: c.test.holds(facts, now).into(),
                })
                .collect(),
            steps: steps(&rule.name),
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
    /// The rule's name; `intake` for probing.
    pub rule: String,
    pub applies: Applies,
    pub conditions: Vec<ConditionExplained>,
    /// What it asks for; empty unless it applies.
    pub steps: Vec<StepExplained>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Applies {
    Yes,
    No,
    /// Not to be said before the recording is probed.
    Unknown,
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
    /// What a mix lacks, as clauses.
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
}

impl From<Truth> for Applies {
    fn from(truth: Truth) -> Self {
        match truth {
            Truth::Yes => Self::Yes,
            Truth::No => Self::No,
            Truth::Unknown => Self::Unknown,
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
        };
        write!(f, "\nrule `{}`: {verdict}", self.rule)?;
        for condition in &self.conditions {
            let mark = match condition.holds {
                Applies::Yes => "yes",
                Applies::No => "no",
                Applies::Unknown => "?",
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
        }
    }
}
