//! `when`: an expression over a recording, for what `match` cannot say. It is written in a subset of CEL, the Common
//! Expression Language, and read and evaluated here.
//!
//! Why not a crate: the one that there is parses by ANTLR, where 125 bytes took 1.1 GB (cel-rust #306) and nesting the
//! stack (#212, #305); its own remedy, another parser, is optional and ANTLR comes along all the same. It also knows no
//! types before it runs, while a policy is to be told at load, with line and column, that there is no such field or that
//! a size is no text. The subset is small: everything here is bounded before it is believed, in one pass and without
//! looking back, and evaluates without allocating.

mod eval;
mod lex;
mod parse;
mod rows;

use domain::{Facts, RowTest, Timestamp};
use serde::{Serialize, Serializer};

use crate::{OwnField, Policy, check::Check, matching::Truth, yaml::Node};

pub(crate) use eval::Answer;

/// An expression that was read and found right.
#[derive(Debug, Clone)]
pub(crate) struct When {
    pub(crate) written: String,
    expression: parse::Expression,
    /// Of a rule that deletes or evicts: an access that nobody has seen is not known.
    pub(crate) only_seen: bool,
}

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

impl When {
    /// Reads a rule's `when`; nothing when it is wrong.
    pub(crate) fn read(check: &mut Check<'_>, node: &Node, own: &[OwnField]) -> Option<Self> {
        let text = check.text(node, "`when`")?;
        match parse::parse(text, own) {
            Ok(expression) => Some(Self { written: text.trim().to_owned(), expression, only_seen: false }),
            Err(wrong) => {
                check.problem_within(node, wrong.at, format!("`when`: {}", wrong.message));
                None
            }
        }
    }

    /// Whether it holds. What time it is, is looked at by days: `now` is the last midnight in UTC.
    pub(crate) fn holds(&self, policy: &Policy, facts: &Facts, now: Timestamp) -> Truth {
        match self.answer(policy, facts, now) {
            Answer::Holds(holds) => holds.into(),
            // As in `match`: what a recording does not have is neither large nor small.
            Answer::Missing(_) => Truth::No,
            Answer::Unprobed => Truth::Unknown,
            Answer::Broken(_) => Truth::Broken,
        }
    }

    pub(crate) fn answer(&self, policy: &Policy, facts: &Facts, now: Timestamp) -> Answer {
        eval::answer(&self.expression, self.only_seen, policy, facts, today(now))
    }

    /// When the answer may change by time alone.
    pub(crate) fn changes_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.expression.looks_at_time.then(|| Timestamp(today(now).0.saturating_add(DAY)))
    }

    /// What a recording's row has to be like for it to hold.
    pub(crate) fn on_row(&self, own: &[OwnField], now: Timestamp) -> Vec<RowTest> {
        rows::tests(&self.expression.root, own, today(now))
    }

    /// What it saw, for a person: `recording.size is 5000000`.
    pub(crate) fn saw(&self, policy: &Policy, facts: &Facts, now: Timestamp) -> String {
        let saw = self
            .expression
            .fields
            .iter()
            .map(|field| eval::saw(*field, self.only_seen, policy, facts, today(now)));
        let mut saw: Vec<String> = saw.collect();
        match self.answer(policy, facts, now) {
            Answer::Broken(why) => saw.insert(0, format!("it has no answer: {why}")),
            Answer::Missing(what) => saw.insert(0, format!("there is nothing to compare: {what}")),
            _ => {}
        }
        if saw.is_empty() { "it looks at nothing".into() } else { saw.join(", ") }
    }
}

fn today(now: Timestamp) -> Timestamp {
    Timestamp(now.0.div_euclid(DAY).saturating_mul(DAY))
}

impl Serialize for When {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.written)
    }
}
