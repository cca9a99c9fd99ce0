//! A query taken apart into what a search index answers and what the table of recordings does; and which jobs a filter
//! means.

use std::collections::BTreeSet;

use domain::{JobState, State};

use crate::{
    JobFilter, codec,
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
    /// An `OR` between the two: any of these states, or any of these terms.
    pub mixed: Vec<(BTreeSet<State>, Vec<&'q Term>)>,
}

impl<'q> Plan<'q> {
    pub(crate) fn of(query: &'q Query) -> Self {
        let mut plan =
            Self { all: Vec::new(), none: Vec::new(), states: State::ALL.into(), mixed: Vec::new() };
        for group in &query.groups {
            let states: BTreeSet<State> = group.iter().flat_map(states_of).collect();
            let texts: Vec<&Term> = group.iter().filter(|t| !matches!(t.want, Want::State(_))).collect();
            match (texts.as_slice(), group.len() - texts.len()) {
                ([], _) => plan.states.retain(|s| states.contains(s)),
                ([only], 0) if only.negated => plan.none.push(&only.want),
                (_, 0) => plan.all.push(texts),
                _ => plan.mixed.push((states, texts)),
            }
        }
        plan
    }
}

fn states_of(term: &Term) -> Vec<State> {
    match &term.want {
        Want::State(states) => {
            State::ALL.into_iter().filter(|s| states.contains(s) != term.negated).collect()
        }
        _ => Vec::new(),
    }
}

/// For an SQL statement: our own words, never a person's.
pub(crate) fn listed(states: &BTreeSet<State>) -> String {
    states.iter().map(|s| format!("'{}'", s.as_str())).collect::<Vec<_>>().join(", ")
}

/// The newest jobs that the filter means. Each state is a walk along an index that ends at the limit; all states of
/// everything is the table itself. Binds: the limit, then the recording and the batch if the filter has them.
pub(crate) fn jobs_sql(filter: &JobFilter) -> String {
    let mut and = String::new();
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
