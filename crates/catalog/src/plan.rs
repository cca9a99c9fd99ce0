//! A query taken apart into what a search index answers and what the table of recordings does; and which jobs a filter
//! means.

use std::collections::BTreeSet;

use domain::{JobState, State};

use crate::{
    JobFilter, codec,
    fields::{Fact, Span},
    query::{Query, Term, Want},
};

/// States change too often to be in the index.
#[derive(Debug)]
pub(crate) struct Plan<'q> {
    /// Of the index: one of each group must hold. A term that stands alone and is negated is in `none` instead.
    pub all: Vec<Vec<&'q Term>>,
    /// Of the index: none of these may hold. Not negated any more.
    pub none: Vec<&'q Want>,
    /// Of the table: one of these it must be.
    pub states: BTreeSet<State>,
    /// It was asked for states.
    pub by_state: bool,
    /// Of the table: all of these conditions on `recording r`.
    pub facts: Vec<String>,
    /// Within which all of it is dated.
    pub dated: Span,
    /// An `OR` between the two: this condition on `recording r`, or any of these terms.
    pub mixed: Vec<(String, Vec<&'q Term>)>,
}

impl<'q> Plan<'q> {
    pub(crate) fn of(query: &'q Query) -> Self {
        let mut plan = Self {
            all: Vec::new(),
            none: Vec::new(),
            states: shown(query),
            by_state: false,
            facts: Vec::new(),
            dated: Span { from: i64::MIN, before: i64::MAX },
            mixed: Vec::new(),
        };
        for group in &query.groups {
            let of_table = |t: &&Term| matches!(t.want, Want::State(_) | Want::Fact(_));
            let texts: Vec<&Term> = group.iter().filter(|t| !of_table(t)).collect();
            let table: Vec<&Term> = group.iter().filter(of_table).collect();
            match (texts.as_slice(), table.as_slice()) {
                ([only], []) if only.negated => plan.none.push(&only.want),
                (_, []) => plan.all.push(texts),
                ([], table) if table.iter().all(|t| matches!(t.want, Want::State(_))) => {
                    let states: BTreeSet<State> = table.iter().flat_map(|t| states_of(t)).collect();
                    plan.states.retain(|s| states.contains(s));
                    plan.by_state = true;
                }
                ([], table) => {
                    if let [Term { negated: false, want: Want::Fact(facts) }] = table
                        && let [Fact::Recorded(span)] = facts.as_slice()
                    {
                        plan.dated = plan.dated.within(*span);
                    }
                    plan.facts.push(any_of(table));
                }
                (_, table) => plan.mixed.push((any_of(table), texts)),
            }
        }
        plan
    }

    /// Row ids that it can be among, in a database that makes them of dates like this; of a date that is taken some
    /// come a little later.
    pub(crate) fn rids(&self, of_date: impl Fn(i64) -> i64) -> (Option<i64>, Option<i64>) {
        const A_LITTLE: i64 = 24 * 60 * 60 * 1_000;
        let date = |at: i64| of_date(crate::intake::date(domain::Timestamp(at)));
        let from = (self.dated.from > i64::MIN).then(|| date(self.dated.from));
        let before = (self.dated.before < i64::MAX).then(|| date(self.dated.before.saturating_add(A_LITTLE)));
        (from, before)
    }

    /// All conditions on `recording r`, each after an AND.
    pub(crate) fn conditions(&self) -> String {
        let mut conditions = String::new();
        let others: BTreeSet<State> = State::ALL.into_iter().filter(|s| !self.states.contains(s)).collect();
        if !others.is_empty() {
            // As what it is not: no planner takes the index of states for it, and sorts all that it finds there.
            conditions += &format!(" AND r.state NOT IN ({})", listed(&others));
        }
        for fact in &self.facts {
            conditions += &format!(" AND {fact}");
        }
        conditions
    }
}

/// What is gone is not in the way, unless it is asked for.
fn shown(query: &Query) -> BTreeSet<State> {
    let asked = |state: State| {
        let mut terms = query.groups.iter().flatten();
        terms.any(|t| !t.negated && matches!(&t.want, Want::State(states) if states.contains(&state)))
    };
    let gone = |state: State| matches!(state, State::Trashed | State::Deleted);
    State::ALL.into_iter().filter(|state| !gone(*state) || asked(*state)).collect()
}

fn states_of(term: &Term) -> Vec<State> {
    match &term.want {
        Want::State(states) => {
            State::ALL.into_iter().filter(|s| states.contains(s) != term.negated).collect()
        }
        _ => Vec::new(),
    }
}

/// Of the table: any of these.
fn any_of(terms: &[&Term]) -> String {
    let conditions = terms.iter().map(|term| match &term.want {
        Want::Fact(facts) => {
            let any = facts.iter().map(Fact::sql).collect::<Vec<_>>().join(" OR ");
            if term.negated { format!("NOT ({any})") } else { any }
        }
        _ => match states_of(term) {
            none if none.is_empty() => "1 = 0".to_owned(),
            states => format!("r.state IN ({})", listed(&states.into_iter().collect())),
        },
    });
    format!("({})", conditions.collect::<Vec<_>>().join(" OR "))
}

/// For an SQL statement: our own words, never a person's.
pub(crate) fn listed(states: &BTreeSet<State>) -> String {
    states.iter().map(|s| format!("'{}'", s.as_str())).collect::<Vec<_>>().join(", ")
}

/// Another condition, of a number that is ours.
fn due(filter: &JobFilter) -> String {
    filter.due_before.map_or_else(String::new, |before| format!(" AND run_after < {}", before.0))
}

/// The newest jobs that the filter means. Each state is a walk along an index that ends at the limit; all states of
/// everything is the table itself. Binds: the limit, then the recording and the batch if the filter has them.
/// Binds: 1 the limit, 2 the place to go on from, then the recording and the batch, as far as they are asked for.
pub(crate) fn ended_sql(filter: &JobFilter) -> String {
    let mut and = due(filter);
    let columns = [("recording", filter.recording.is_some()), ("batch", filter.batch.is_some())];
    for (n, (column, _)) in (3..).zip(columns.iter().filter(|(_, is_asked)| *is_asked)) {
        and += &format!(" AND {column} = ${n}");
    }
    let ended = [JobState::Done, JobState::Parked, JobState::Cancelled];
    let walks = ended.iter().filter(|s| filter.states.is_empty() || filter.states.contains(s)).map(|state| {
        let word = state.as_str();
        format!(
            "SELECT seq FROM (SELECT seq FROM job WHERE state = '{word}'{and} AND seq > $2 ORDER BY seq LIMIT $1) AS walk_{word}"
        )
    });
    let walks = walks.collect::<Vec<_>>().join(" UNION ALL ");
    let columns = crate::rows::job_columns!();
    let which = if walks.is_empty() { "false".to_owned() } else { format!("seq IN ({walks})") };
    format!("SELECT seq, outcome, {columns} FROM job WHERE {which} ORDER BY seq LIMIT $1")
}

pub(crate) fn jobs_sql(filter: &JobFilter) -> String {
    let mut and = due(filter);
    let columns = [("recording", filter.recording.is_some()), ("batch", filter.batch.is_some())];
    for (n, (column, _)) in (2..).zip(columns.iter().filter(|(_, is_asked)| *is_asked)) {
        and += &format!(" AND {column} = ${n}");
    }
    let states = if filter.states.is_empty() { &JobState::ALL[..] } else { &filter.states };
    let words: BTreeSet<&str> = states.iter().flat_map(|state| codec::job_states(*state)).copied().collect();
    let walks = words.iter().map(|word| {
        format!(
            "SELECT seq FROM (SELECT seq FROM job WHERE state = '{word}'{and} ORDER BY seq DESC LIMIT $1) AS walk_{word}"
        )
    });
    let which = if filter.states.is_empty() && and.is_empty() {
        "seq > 0".to_owned()
    } else {
        format!("seq IN ({})", walks.collect::<Vec<_>>().join(" UNION ALL "))
    };
    let columns = crate::rows::job_columns!();
    format!("SELECT {columns} FROM job WHERE {which} ORDER BY seq DESC LIMIT $1")
}
