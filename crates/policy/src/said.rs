use std::borrow::Cow;

use domain::{Action, Facts, Leaving};
use serde::Serialize;

use crate::{
    evaluate::Job,
    model::{Ask, Rule},
    wish::Wanted,
};

/// What is said of one ask of a rule for each of a million recordings, written down once.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Said {
    /// `convert mp4-720p`
    pub(crate) label: String,
    /// Which rule asks, as a clause: "rule `small` (size <1MB)".
    pub(crate) by: String,
    /// The same as the reason of a job that nobody else asks for.
    pub(crate) reason: String,
    /// The actions that it comes to, each with what its job ids are made of: one, or for the source's export one for each
    /// route. None where every recording has its own.
    pub(crate) actions: Vec<(Action, Vec<u8>)>,
}

impl Said {
    pub(crate) fn of(rule: &Rule, ask: &Ask) -> Self {
        let actions = match ask {
            Ask::Action(action) => vec![action.clone()],
            Ask::Export(wish) if wish.rendition == Wanted::Source => {
                wish.to.iter().map(|to| Action::Export(wish.spec(to, Leaving::Source))).collect()
            }
            _ => Vec::new(),
        };
        let actions = actions.into_iter().map(|action| (action.parameters(), action)).map(|(p, a)| (a, p));
        let by = format!("rule `{}` ({})", rule.name, rule.looks_for());
        let reason = because(&by);
        Self { label: ask.label(), by, reason, actions: actions.collect() }
    }

    /// The job that the nth action is for a recording.
    pub(crate) fn job(&self, nth: usize, facts: &Facts) -> Job<'_> {
        let (action, parameters) = self.actions.get(nth)?;
        let id = Action::job_id_by(parameters, facts.recording.id, &facts.recording.version);
        Some((id, Cow::Borrowed(action)))
    }
}

/// Why there is a job, by which rules: as a sentence.
pub(crate) fn because(by: &str) -> String {
    format!("Asked for by {by}.")
}

/// An ask, of which rule, and what is said of it.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'p> {
    pub(crate) rule: &'p Rule,
    pub(crate) ask: &'p Ask,
    pub(crate) said: &'p Said,
}

impl Rule {
    pub(crate) fn asked(&self) -> impl Iterator<Item = Asked<'_>> {
        self.asks.iter().zip(&self.said).map(|(ask, said)| Asked { rule: self, ask, said })
    }
}
