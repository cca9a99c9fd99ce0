use std::collections::BTreeSet;

use domain::{Kind, Recording, State};
use sqlx::{Row as _, SqliteConnection};

use super::rows;
use crate::{
    Cursor, Page, Query, Result, document,
    document::Document,
    plan::Plan,
    query::{Scope, Term, Want},
};

pub(super) async fn search(
    conn: &mut SqliteConnection,
    query: &Query,
    limit: u32,
    after: Option<Cursor>,
) -> Result<Page> {
    let limit = i64::from(limit.max(1));
    let statement = Statement::of(query);
    if statement.states.is_empty() {
        return Ok(Page::default());
    }
    // The statement is made of our own words only; whatever a person wrote is bound.
    let mut sql = sqlx::query(sqlx::AssertSqlSafe(statement.sql()))
        .bind(after.map_or(i64::MAX, |c| c.0))
        // One more than asked for tells whether there is a next page.
        .bind(limit + 1);
    for expression in statement.expressions() {
        sql = sql.bind(expression);
    }
    let found = sql.fetch_all(conn).await?;
    let shown = &found[..found.len().min(limit as usize)];
    let next = match shown.last() {
        Some(last) if found.len() > shown.len() => Some(Cursor(last.try_get("rid")?)),
        _ => None,
    };
    Ok(Page { hits: shown.iter().map(rows::recording).collect::<Result<_>>()?, next })
}

pub(super) struct Statement {
    /// For the search index, when anything is asked of it.
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
        let none: Vec<String> = plan.none.iter().map(|want| expression(want)).collect();
        if all.is_empty() && !none.is_empty() {
            all.push(everything());
        }
        let expression = match (all.is_empty(), none.is_empty()) {
            (true, _) => None,
            (_, true) => Some(all.join(" AND ")),
            _ => Some(format!("({}) NOT ({})", all.join(" AND "), none.join(" OR "))),
        };
        let by_state =
            plan.by_state && expression.is_none() && plan.mixed.is_empty() && plan.facts.is_empty();
        Self {
            expression,
            by_state,
            conditions: plan.conditions(),
            rids: plan.rids(|date| date),
            mixed: plan.mixed.into_iter().map(|(condition, terms)| (condition, any_of(&terms))).collect(),
            states: plan.states,
        }
    }

    /// Binds: 1 the cursor, 2 the limit, then the expressions.
    pub(super) fn sql(&self) -> String {
        let columns = rows::recording_columns!();
        if self.by_state {
            return format!(
                "SELECT {columns} FROM recording r WHERE r.rid IN ({}) ORDER BY r.rid DESC LIMIT ?2",
                self.newest_of_each_state()
            );
        }
        let (source, rid, mut next) = match &self.expression {
            // CROSS JOIN: the index leads, in its own order, and stops at the limit.
            Some(_) => {
                let source =
                    "search CROSS JOIN recording r ON r.rid = search.rowid WHERE search MATCH ?3 AND";
                (source, "search.rowid", 4)
            }
            None => ("recording r WHERE", "r.rid", 3),
        };
        let mut conditions = String::new();
        conditions.extend(self.rids.0.map(|from| format!(" AND {rid} >= {from}")));
        conditions.extend(self.rids.1.map(|before| format!(" AND {rid} < {before}")));
        conditions += &self.conditions;
        for (condition, _) in &self.mixed {
            conditions += &format!(
                " AND ({condition} OR r.rid IN (SELECT rowid FROM search WHERE search MATCH ?{next}))"
            );
            next += 1;
        }
        format!("SELECT {columns} FROM {source} {rid} < ?1{conditions} ORDER BY {rid} DESC LIMIT ?2")
    }

    /// A walk for each state along its index that ends at the limit, instead of sorting all there are.
    fn newest_of_each_state(&self) -> String {
        let walks = self.states.iter().map(|state| {
            format!(
                "SELECT rid FROM (SELECT rid FROM recording WHERE state = '{}' AND rid < ?1
                                  ORDER BY rid DESC LIMIT ?2)",
                state.as_str()
            )
        });
        walks.collect::<Vec<_>>().join(" UNION ALL ")
    }

    fn expressions(&self) -> impl Iterator<Item = String> {
        self.expression
            .iter()
            .chain(self.mixed.iter().map(|(_, e)| e))
            .cloned()
            .collect::<Vec<_>>()
            .into_iter()
    }
}

fn any_of(terms: &[&Term]) -> String {
    let parts: Vec<_> = terms
        .iter()
        .map(|term| {
            let wanted = expression(&term.want);
            if term.negated { format!("({} NOT {wanted})", everything()) } else { wanted }
        })
        .collect();
    format!("({})", parts.join(" OR "))
}

fn everything() -> String {
    format!("marks : \"{}\"", document::EVERYTHING)
}

/// FTS5's syntax. Free text always names its columns, or it would match the marks.
fn expression(want: &Want) -> String {
    let parts: Vec<String> = match want {
        Want::Text(scope, texts) => texts
            .iter()
            .map(|text| {
                let columns = match scope {
                    Scope::Anywhere => "{title name people tags other}",
                    Scope::Name => "name",
                    Scope::Title => "title",
                };
                // Inside quotes only a quote means anything.
                let words = text.words.replace('"', "\"\"");
                format!("{columns} : \"{words}\"{}", if text.prefix { " *" } else { "" })
            })
            .collect(),
        Want::Tag(tags) => marked(tags.iter().map(|t| document::tag_mark(t))),
        Want::Field(name, values) => marked(document::field_marks(name, values).into_iter()),
        Want::Type(types) => marked(types.iter().map(|t| document::type_mark(t))),
        Want::Kind(kinds) => marked(kinds.iter().map(|k| document::kind_mark(*k))),
        // Kept apart by `Plan::of`.
        Want::State(_) | Want::Fact(_) => vec![everything()],
    };
    format!("({})", parts.join(" OR "))
}

fn marked(marks: impl Iterator<Item = String>) -> Vec<String> {
    marks.map(|mark| format!("marks : \"{mark}\"")).collect()
}

/// Writes what is searchable of a recording: the index holds whole rows only. Of what is deleted nothing is.
pub(super) async fn index(conn: &mut SqliteConnection, rid: i64, recording: &Recording) -> Result<()> {
    if recording.state == State::Deleted {
        return Ok(());
    }
    let mut title: Option<String> = None;
    let mut people: Vec<String> = Vec::new();
    if recording.kind == Kind::Session {
        people.extend(recording.tracks.iter().map(|t| t.participant.clone()));
    } else if let Some(session) = recording.session {
        let session = session.to_string();
        title = sqlx::query_scalar("SELECT title FROM recording WHERE id = ?")
            .bind(&session)
            .fetch_optional(&mut *conn)
            .await?;
        people = sqlx::query_scalar("SELECT participant FROM session_track WHERE session = ? AND name = ?")
            .bind(&session)
            .bind(&recording.name)
            .fetch_all(&mut *conn)
            .await?;
    }
    let document = Document::of(recording, &people, title.as_deref());
    sqlx::query(
        "INSERT OR REPLACE INTO search (rowid, title, name, people, tags, other, marks)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(rid)
    .bind(document.title)
    .bind(document.name)
    .bind(document.people)
    .bind(document.tags)
    .bind(document.other)
    .bind(document.marks)
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn index_again(conn: &mut SqliteConnection, recording: &Recording) -> Result<()> {
    let rid: i64 = sqlx::query_scalar("SELECT rid FROM recording WHERE id = ?")
        .bind(recording.id.to_string())
        .fetch_one(&mut *conn)
        .await?;
    index(conn, rid, recording).await
}

pub(super) async fn forget(conn: &mut SqliteConnection, rid: i64) -> Result<()> {
    sqlx::query("DELETE FROM search WHERE rowid = ?").bind(rid).execute(conn).await?;
    Ok(())
}
