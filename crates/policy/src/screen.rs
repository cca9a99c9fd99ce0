use std::collections::BTreeSet;

use domain::{RowTest, Screen, Timestamp};

use crate::{
    Policy,
    condition::{Between, Test, Want},
    glob::Glob,
    matching::{ALWAYS, NEVER},
    model::{Ask, Rule},
    units::Range,
};

impl Policy {
    /// Which recordings [`decide`](crate::decide()) may have anything to say of at this instant: of all others there is no job, no
    /// wait and no offer. What no row tells, such as codecs, copies and most of an expression, is left to it.
    pub fn screen(&self, now: Timestamp) -> Screen {
        let tests = |rule: &Rule| {
            let conditions = rule.conditions.iter().filter_map(|c| c.test.on_row(now));
            conditions.chain(rule.when.iter().flat_map(|when| when.on_row(&self.own, now))).collect()
        };
        Screen { any: self.acting().map(tests).collect() }
    }

    /// Those that do anything: what only protects has nothing to say where there is nothing to protect from, unless its `when`
    /// has no answer.
    fn acting(&self) -> impl Iterator<Item = &Rule> {
        let protects = |ask: &Ask| matches!(ask, Ask::Hold { .. } | Ask::Keep { .. });
        self.rules.iter().filter(move |rule| rule.when.is_some() || !rule.asks.iter().all(protects))
    }
}

impl Test {
    /// What it asks of a recording's row, at least; nothing where a row says nothing of it.
    fn on_row(&self, now: Timestamp) -> Option<RowTest> {
        Some(match self {
            Self::Kind(kinds) => RowTest::Kind(kinds.clone()),
            Self::Size(Range { min: 0, max: u64::MAX }) => return None,
            Self::Size(Range { min, max }) => RowTest::Size { min: *min, max: *max },
            Self::Duration(Range { min, max }) => RowTest::Duration { min: *min, max: *max },
            Self::Recorded(between) => {
                let (from, before) = between.bounds();
                RowTest::Dated { from, before }
            }
            Self::AcceptedBetween(between) => {
                let (from, before) = between.bounds();
                RowTest::Accepted { from, before }
            }
            Self::Age(range) => {
                let (from, before) = since(*range, now);
                RowTest::Dated { from, before }
            }
            Self::AcceptedAgo(range) => {
                let (from, before) = since(*range, now);
                RowTest::Accepted { from, before }
            }
            Self::Prefix(prefixes) => RowTest::Name(prefixes.clone()),
            Self::Name(globs) => RowTest::Name(beginnings(globs)?),
            Self::Type(globs) => RowTest::Type(beginnings(globs)?),
            Self::Tags { has, any, none } if has.len() + any.len() + none.len() > 0 => {
                RowTest::Tags { has: has.clone(), any: any.clone(), none: none.clone() }
            }
            Self::Own { name, want: Want::Is(any) } => {
                RowTest::Field { name: name.clone(), any: any.clone() }
            }
            // Everything has some kind of them, or a row does not tell.
            Self::Own { .. }
            | Self::Tags { .. }
            | Self::Found(_)
            | Self::Copies(_)
            | Self::Tier(_)
            | Self::Height(_)
            | Self::Codec(_)
            | Self::LastAccess(_)
            | Self::LastSeen(_) => return None,
        })
    }
}

/// What texts that match begin with; nothing where one of them may begin with anything.
fn beginnings(globs: &BTreeSet<Glob>) -> Option<BTreeSet<String>> {
    let all: BTreeSet<String> = globs.iter().map(|glob| glob.literal().to_owned()).collect();
    (!all.contains("")).then_some(all)
}

impl Between {
    fn bounds(self) -> (Timestamp, Timestamp) {
        (self.from.unwrap_or(ALWAYS), self.before.unwrap_or(NEVER))
    }
}

/// From when on, and before when, something is so many milliseconds ago.
fn since(ago: Range, now: Timestamp) -> (Timestamp, Timestamp) {
    let before_now = |ms: u64| i64::try_from(ms).map_or(i64::MIN, |ms| now.0.saturating_sub(ms));
    let from = if ago.max == u64::MAX { ALWAYS } else { Timestamp(before_now(ago.max)) };
    // What is dated in the future is new, and not of no age.
    let before = if ago.min == 0 { NEVER } else { Timestamp(before_now(ago.min).saturating_add(1)) };
    (from, before)
}
