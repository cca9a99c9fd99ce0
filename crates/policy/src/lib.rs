//! The policy file: parse, check, match, decide, explain.
//!
//! Architecture invariant: pure. No I/O, no clock, and nothing of S3, SQL or ffmpeg: the same text, facts and
//! time always give the same answer, so `plan`, `explain` and the worker cannot disagree.

mod check;
mod condition;
mod contradictions;
mod copies;
mod custody;
mod decide;
mod deletion;
mod evaluate;
mod explain;
mod export;
mod glob;
mod hours;
mod making;
mod matching;
mod mix;
mod model;
mod own;
mod parse;
mod place;
mod placing;
mod presets;
mod probing;
mod problem;
mod protect;
mod room;
mod rules;
mod said;
mod schedule;
mod schema;
mod screen;
mod sending;
mod shield;
mod source;
mod stores;
mod transition;
mod units;
mod verbs;
mod watermark;
mod when;
mod wish;
mod yaml;

pub use condition::tag;
pub use copies::short_of_copies;
pub use decide::{Deed, decide, objection};
pub use deletion::{Objection, ObjectionKind};
pub use explain::{
    Applies, ConditionExplained, Explanation, RuleExplained, Standing, StepExplained, explain,
};
pub use export::{NoExport, export};
pub use hours::Hours;
pub use making::{Making, usual_preset};
pub use mix::SESSION_PATIENCE;
pub use model::{
    Cloud, LIBRARY, LIFECYCLE_LEAST, Place, Policy, Protocol, Remote, Rule, Service, Store, Terms,
};
pub use own::{FieldKind, OwnField};
pub use parse::parse;
pub use problem::{Problem, Problems};
pub use protect::Protect;
pub use room::{Chosen, Room, choose, room};
pub use rules::only_takes_exports;
pub use schema::schema;
pub use verbs::storage_class;
pub use watermark::{Order, Watermark};
pub use wish::{Smallest, Wanted, Wish};

/// A time as a policy writes it: `30d`, `1h 30m`.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    units::duration(text).map(std::time::Duration::from_millis)
}

/// A loudness as a policy writes it: `-16LUFS`.
pub fn loudness(text: &str) -> Result<domain::Tenths, String> {
    units::loudness(text)
}

/// The policy a new library starts with; also the reference of the language, every verb and field shown.
pub const DEFAULT: &str = include_str!("default.yaml");
