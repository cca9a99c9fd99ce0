//! The policy file: parse, check, match, decide, explain.
//!
//! Architecture invariant: pure. No I/O, no clock, and nothing of S3, SQL or ffmpeg: the same text, facts and
//! time always give the same answer, so `plan`, `explain` and the worker cannot disagree.

mod check;
mod condition;
mod decide;
mod evaluate;
mod explain;
mod glob;
mod matching;
mod mix;
mod model;
mod parse;
mod presets;
mod problem;
mod rules;
mod stores;
mod units;
mod yaml;

pub use decide::decide;
pub use explain::{
    Applies, ConditionExplained, Explanation, RuleExplained, Standing, StepExplained, explain,
};
pub use mix::SESSION_PATIENCE;
pub use model::{LIBRARY, Place, Policy, Rule, Store};
pub use parse::parse;
pub use problem::{Problem, Problems};

/// The policy a new library starts with; also the reference of the language, every verb and field shown.
pub const DEFAULT: &str = include_str!("default.yaml");
