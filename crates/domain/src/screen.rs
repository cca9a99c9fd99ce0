use std::collections::BTreeSet;

use crate::{Facts, Kind, State, Timestamp};

/// Which recordings rules may have anything to say of, by what a recording's own row tells: what databases can be asked for,
/// so that of a million recordings those alone are read.
///
/// It errs on the side of yes: what a row does not tell is not asked, and what needs care whatever the rules are passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screen {
    /// One of these has to hold, with all of its tests.
    pub any: Vec<Vec<RowTest>>,
}

/// What is asked of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowTest {
    Kind(BTreeSet<Kind>),
    /// Bytes, both ends included.
    Size {
        min: u64,
        max: u64,
    },
    /// Milliseconds, both ends included. What has no length passes not.
    Duration {
        min: u64,
        max: u64,
    },
    /// What age counts from: when it was recorded, else accepted. The end is excluded.
    Dated {
        from: Timestamp,
        before: Timestamp,
    },
    Accepted {
        from: Timestamp,
        before: Timestamp,
    },
    /// The name begins with one of these.
    Name(BTreeSet<String>),
    /// The media type begins with one of these.
    Type(BTreeSet<String>),
    /// This field is one of these texts, letter by letter.
    Field {
        name: String,
        any: BTreeSet<String>,
    },
    /// All of `has`, one of `any` unless that is empty, none of `none`.
    Tags {
        has: BTreeSet<String>,
        any: BTreeSet<String>,
        none: BTreeSet<String>,
    },
}

impl Screen {
    /// Whether it leaves nothing out.
    pub fn is_everything(&self) -> bool {
        self.any.iter().any(Vec::is_empty)
    }

    /// What every catalog's query has to agree with.
    pub fn passes(&self, facts: &Facts) -> bool {
        let it = &facts.recording;
        let place = &it.custody.place;
        let cares = it.custody.trash.is_some()
            || place.transition.is_some()
            || place.cold.is_some()
            || place.bad.is_some()
            || facts.copies.iter().any(|copy| copy.bad.is_some() || copy.until.is_some());
        match it.state {
            State::Deleted => false,
            State::Trashed => true,
            _ if cares || it.probe.is_none() && it.kind != Kind::Session => true,
            _ => self.any.iter().any(|all| all.iter().all(|test| test.holds(facts))),
        }
    }
}

impl RowTest {
    fn holds(&self, facts: &Facts) -> bool {
        let it = &facts.recording;
        let begins = |text: &str, with: &BTreeSet<String>| with.iter().any(|p| text.starts_with(p.as_str()));
        match self {
            Self::Kind(kinds) => kinds.contains(&it.kind),
            Self::Size { min, max } => (*min..=*max).contains(&it.digest.size),
            Self::Duration { min, max } => it.media().is_some_and(|m| (*min..=*max).contains(&m.duration_ms)),
            Self::Dated { from, before } => (*from..*before).contains(&it.dated()),
            Self::Accepted { from, before } => (*from..*before).contains(&it.accepted_at),
            Self::Name(with) => begins(&it.name, with),
            Self::Type(with) => it.media().is_some_and(|m| begins(&m.media_type, with)),
            Self::Field { name, any } => it.fields.get(name).is_some_and(|value| any.contains(value)),
            Self::Tags { has, any, none } => {
                has.is_subset(&it.tags)
                    && (any.is_empty() || !any.is_disjoint(&it.tags))
                    && none.is_disjoint(&it.tags)
            }
        }
    }
}
