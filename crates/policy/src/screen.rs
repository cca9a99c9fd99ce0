use domain::{Kind, Outline, State, Timestamp};

use crate::{
    Policy,
    matching::Row,
    model::{Ask, Rule},
};

impl Policy {
    /// Whether looking at recordings' rows alone leaves any out: not where a rule is for everything.
    pub fn screens(&self) -> bool {
        let row = |rule: &&Rule| {
            let test = |c: &crate::condition::Condition| {
                c.test.by_row(&ANY, Timestamp(0)).is_some() && !c.holds_always()
            };
            rule.conditions.iter().any(test)
        };
        self.acting().all(|rule| row(&rule))
    }

    /// Whether [`decide`](crate::decide()) may have anything to say of a recording now. Errs on the side of yes: what its row
    /// does not tell may be as a rule wants it. `false` is certain: there would be no job, no wait and no offer.
    pub fn may_concern(&self, it: &Outline, now: Timestamp) -> bool {
        match it.state {
            State::Deleted => return false,
            State::Trashed => return true,
            _ if it.special || !it.probed && it.kind != Kind::Session => return true,
            _ => {}
        }
        let row = Row {
            kind: it.kind,
            name: &it.name,
            size: it.size,
            accepted_at: it.accepted_at,
            recorded_at: it.recorded_at,
            tags: &it.tags,
        };
        self.acting().any(|rule| rule.conditions.iter().all(|c| c.test.by_row(&row, now) != Some(false)))
    }

    /// Those that do anything: what only protects has nothing to say where there is nothing to protect from, unless its `when`
    /// has no answer.
    fn acting(&self) -> impl Iterator<Item = &Rule> {
        let protects = |ask: &Ask| matches!(ask, Ask::Hold { .. } | Ask::Keep { .. });
        self.rules.iter().filter(move |rule| rule.when.is_some() || !rule.asks.iter().all(protects))
    }
}

/// Only which tests a row answers is asked of it.
static ANY: Row<'static> = Row {
    kind: Kind::Recording,
    name: "",
    size: 0,
    accepted_at: Timestamp(0),
    recorded_at: None,
    tags: &std::collections::BTreeSet::new(),
};
