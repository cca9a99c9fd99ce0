use std::collections::{BTreeMap, BTreeSet};

use domain::{Kind, Recording, State};
use sqlx::PgConnection;

use super::{
    failure::Result,
    rid,
    rows::{self, Columns as _},
};
use crate::{
    Cursor, Page, Query, document,
    document::Document,
    plan::Plan,
    query::{Scope, Term, Text, Want},
    words::words,
};

/// The newest are looked through before the index is asked at all.
///
/// PostgreSQL's index finds everything that matches and sorts it, and its planner does not know which words stand
/// together or in a title: of a common word that is far too much, and walking from the newest until a page is full
/// takes forever for a rare one. So both are done, each where it cannot go wrong: a word that does not fill a page
/// here is one of which the index finds few.
const NEWEST: i64 = 4_000;

pub(super) async fn search(
    conn: &mut PgConnection,
    query: &Query,
    limit: u32,
    after: Option<Cursor>,
) -> Result<Page> {
    let statement = Statement::of(query);
    if statement.states.is_empty() {
        return Ok(Page::default());
    }
    let limit = i64::from(limit.max(1));
    let mut found = Vec::new();
    for sql in statement.sql() {
        // The statement is made of our own words only; whatever a person wrote is bound.
        let mut sql = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(after.map_or(i64::MAX, |c| c.0))
            // One more than asked for tells whether there is a next page.
            .bind(limit + 1);
        for expression in statement.expressions() {
            sql = sql.bind(expression);
        }
        found = sql.fetch_all(&mut *conn).await?;
        if found.len() as i64 > limit {
            break;
        }
    }
    let shown = &found[..found.len().min(limit as usize)];
    let next = match shown.last() {
        Some(last) if found.len() > shown.len() => Some(Cursor(last.number("rid")?)),
        _ => None,
    };
    Ok(Page { hits: shown.iter().map(rows::recording).collect::<crate::Result<_>>()?, next })
}

pub(super) struct Statement {
    /// A `tsquery`, when anything is asked of the index.
    expression: Option<String>,
    states: BTreeSet<State>,
    /// Nothing but states is asked for.
    by_state: bool,
    conditions: String,
    rids: (Option<i64>, Option<i64>),
    /// This condition, or this expression.
    mixed: Vec<(String, String)>,
}

impl Statement {
    pub(super) fn of(query: &Query) -> Self {
        let plan = Plan::of(query);
        let mut all: Vec<String> = plan.all.iter().map(|group| any_of(group)).collect();
        all.extend(plan.none.iter().map(|want| format!("!{}", expression(want))));
        Self {
            by_state: plan.by_state && all.is_empty() && plan.mixed.is_empty() && plan.facts.is_empty(),
            expression: (!all.is_empty()).then(|| all.join(" & ")),
            conditions: plan.conditions(),
            rids: plan.rids(rid::first),
            mixed: plan.mixed.into_iter().map(|(condition, terms)| (condition, any_of(&terms))).collect(),
            states: plan.states,
        }
    }

    /// One after the other, until a page is full. Binds: 1 the cursor, 2 the limit, then the expressions.
    pub(super) fn sql(&self) -> Vec<String> {
        let columns = rows::recording_columns!();
        let within = |rid: &str| {
            let mut within = format!("{rid} < $1");
            within.extend(self.rids.0.map(|from| format!(" AND {rid} >= {from}")));
            within.extend(self.rids.1.map(|before| format!(" AND {rid} < {before}")));
            within
        };
        if self.expression.is_none() && self.mixed.is_empty() {
            let source = if self.by_state {
                format!("r.rid IN ({})", self.newest_of_each_state())
            } else {
                format!("{}{}", within("r.rid"), self.conditions)
            };
            return vec![format!(
                "SELECT {columns} FROM recording r WHERE {source} ORDER BY r.rid DESC LIMIT $2"
            )];
        }
        let matches = "s.words @@ $3::tsquery";
        let first = if self.expression.is_some() { 4 } else { 3 };
        let mut conditions = self.conditions.clone();
        for (next, (condition, _)) in (first..).zip(&self.mixed) {
            conditions += &format!(" AND ({condition} OR s.words @@ ${next}::tsquery)");
        }
        if self.expression.is_none() {
            // Half of it is no question for the index: a walk from the newest until a page is full.
            return vec![format!(
                "SELECT {columns} FROM search s JOIN recording r ON r.rid = s.rid WHERE {}{conditions}
                 ORDER BY s.rid DESC LIMIT $2",
                within("s.rid")
            )];
        }
        let newest = format!(
            "WITH s AS MATERIALIZED (
                 SELECT rid, words FROM search WHERE {} ORDER BY rid DESC LIMIT {NEWEST})
             SELECT {columns} FROM s JOIN recording r ON r.rid = s.rid WHERE {matches}{conditions}
             ORDER BY r.rid DESC LIMIT $2",
            within("rid")
        );
        // Apart from the order and the limit, or the planner would walk from the newest after all.
        let words = if self.mixed.is_empty() { "" } else { ", s.words" };
        let all = format!(
            "WITH s AS MATERIALIZED (SELECT s.rid{words} FROM search s WHERE {matches} AND {})
             SELECT {columns} FROM s JOIN recording r ON r.rid = s.rid WHERE true{conditions}
             ORDER BY r.rid DESC LIMIT $2",
            within("s.rid")
        );
        vec![newest, all]
    }

    /// A walk for each state along its index that ends at the limit, instead of sorting all there are.
    fn newest_of_each_state(&self) -> String {
        let walks = self.states.iter().map(|state| {
            format!(
                "(SELECT rid FROM recording WHERE state = '{}' AND rid < $1 ORDER BY rid DESC LIMIT $2)",
                state.as_str()
            )
        });
        walks.collect::<Vec<_>>().join(" UNION ALL ")
    }

    pub(super) fn expressions(&self) -> impl Iterator<Item = &String> {
        self.expression.iter().chain(self.mixed.iter().map(|(_, expression)| expression))
    }
}

fn any_of(terms: &[&Term]) -> String {
    let parts = terms.iter().map(|term| {
        let wanted = expression(&term.want);
        if term.negated { format!("!{wanted}") } else { wanted }
    });
    joined(parts.collect(), " | ")
}

fn joined(mut parts: Vec<String>, operator: &str) -> String {
    if parts.len() == 1 { parts.remove(0) } else { format!("({})", parts.join(operator)) }
}

/// https://www.postgresql.org/docs/current/datatype-textsearch.html#DATATYPE-TSQUERY
fn expression(want: &Want) -> String {
    let parts: Vec<String> = match want {
        Want::Text(scope, texts) => texts.iter().map(|text| phrase(*scope, text)).collect(),
        Want::Tag(tags) => tags.iter().map(|t| mark(&document::tag_mark(t))).collect(),
        Want::Field(name, values) => {
            document::field_marks(name, values).iter().map(|of_field| mark(of_field)).collect()
        }
        Want::Type(types) => types.iter().map(|t| mark(&document::type_mark(t))).collect(),
        Want::Kind(kinds) => kinds.iter().map(|k| mark(&document::kind_mark(*k))).collect(),
        // Kept apart by `Plan::of`.
        Want::State(_) | Want::Fact(_) => vec![format!("!{NOBODY}")],
    };
    joined(parts, " | ")
}

/// A word that no document has.
const NOBODY: &str = "'#'";

/// Words are letters and digits: nothing in them means anything inside the quotes. Hence also the sign before marks:
/// no free text finds them.
fn phrase(scope: Scope, text: &Text) -> String {
    let weight = match scope {
        Scope::Anywhere => "",
        Scope::Title => TITLE,
        Scope::Name => NAME,
    };
    let mut words: Vec<String> = words(&text.words).map(|word| format!("'{word}':{weight}")).collect();
    match words.last_mut() {
        Some(last) if text.prefix => last.push('*'),
        Some(_) => {}
        None => return NOBODY.to_owned(),
    }
    // A colon with nothing after it is an error.
    let words = words.iter().map(|word| word.trim_end_matches(':').to_owned());
    joined(words.collect(), " <-> ")
}

fn mark(mark: &str) -> String {
    format!("'#{mark}'")
}

const TITLE: &str = "A";
const NAME: &str = "B";

/// What is searchable of a recording, as a `tsvector`: its words with their places, and its marks without.
pub(super) fn vector(document: &Document) -> String {
    let fields = [
        (&document.title, TITLE),
        (&document.name, NAME),
        (&document.people, ""),
        (&document.tags, ""),
        (&document.other, ""),
    ];
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut place, mut size) = (0, 0);
    'all: for (text, weight) in fields {
        // A phrase does not go on from one field into the next.
        place += 1;
        for word in words(text) {
            place += 1;
            size += word.len();
            if place > MOST_WORDS || size > MOST_BYTES {
                break 'all;
            }
            places.entry(word).or_default().push(format!("{place}{weight}"));
        }
    }
    let words = places.iter().map(|(word, places)| format!("'{word}':{}", places.join(",")));
    let mut room = MOST_BYTES;
    let marks = document.marks.split(' ').filter(|m| *m != document::EVERYTHING).take_while(|m| {
        let fits = m.len() <= room;
        room = room.saturating_sub(m.len());
        fits
    });
    words.chain(marks.map(mark)).collect::<Vec<_>>().join(" ")
}

/// A `tsvector` has no places beyond 16,383 and no room for more than a megabyte: of a title as long as a book the
/// beginning is found, and of a hundred thousand tags the first ones.
const MOST_WORDS: u32 = 16_000;
const MOST_BYTES: usize = 384 << 10;

/// What is searchable of a recording as it and its session are now.
pub(super) async fn document(conn: &mut PgConnection, recording: &Recording) -> Result<Document> {
    let mut title: Option<String> = None;
    let mut people: Vec<String> = Vec::new();
    if recording.kind == Kind::Session {
        people.extend(recording.tracks.iter().map(|t| t.participant.clone()));
    } else if let Some(session) = recording.session {
        let session = session.to_string();
        title = sqlx::query_scalar("SELECT title FROM recording WHERE id = $1")
            .bind(&session)
            .fetch_optional(&mut *conn)
            .await?;
        people = sqlx::query_scalar(
            "SELECT participant FROM session_track WHERE session = $1 AND name = $2 ORDER BY position",
        )
        .bind(&session)
        .bind(&recording.name)
        .fetch_all(&mut *conn)
        .await?;
    }
    Ok(Document::of(recording, &people, title.as_deref()))
}

/// Of what is deleted nothing is searchable.
pub(super) async fn index(conn: &mut PgConnection, rid: i64, recording: &Recording) -> Result<()> {
    if recording.state == State::Deleted {
        return Ok(());
    }
    let document = document(conn, recording).await?;
    write(conn, &[rid], &[vector(&document)]).await
}

pub(super) async fn write(conn: &mut PgConnection, rids: &[i64], vectors: &[String]) -> Result<()> {
    sqlx::query(
        "INSERT INTO search (rid, words) SELECT n.rid, n.words::tsvector FROM unnest($1::bigint[], $2::text[]) AS n (rid, words)
         ON CONFLICT (rid) DO UPDATE SET words = excluded.words",
    )
    .bind(rids)
    .bind(vectors)
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn index_again(conn: &mut PgConnection, recording: &Recording) -> Result<()> {
    let rid: i64 = sqlx::query_scalar("SELECT rid FROM recording WHERE id = $1")
        .bind(recording.id.to_string())
        .fetch_one(&mut *conn)
        .await?;
    index(conn, rid, recording).await
}

pub(super) async fn forget(conn: &mut PgConnection, rid: i64) -> Result<()> {
    sqlx::query("DELETE FROM search WHERE rid = $1").bind(rid).execute(conn).await?;
    Ok(())
}
