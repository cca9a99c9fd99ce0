//! User text never breaks the search: any string is a query or a mistake with a place, and every query runs.

mod support;

use catalog::{Catalog, Query, Sqlite, contract};
use proptest::prelude::*;
use tokio::runtime::Runtime;

#[test]
fn any_text_is_a_query_that_sqlite_runs_or_a_mistake_with_a_place() {
    let runtime = runtime();
    let folder = tempfile::tempdir().unwrap();
    let catalog = runtime.block_on(Sqlite::open(&folder.path().join("c.sqlite"))).unwrap();
    any_text(&runtime, &[&catalog]);
}

/// And what it finds is the same as what SQLite finds.
#[cfg(feature = "postgres")]
#[test]
fn any_text_is_a_query_that_finds_the_same_in_postgres() {
    let runtime = runtime();
    let folder = tempfile::tempdir().unwrap();
    let url = testbed::Postgres::shared().database();
    let sqlite = runtime.block_on(Sqlite::open(&folder.path().join("c.sqlite"))).unwrap();
    let options = catalog::postgres::Options::default();
    let postgres = runtime.block_on(catalog::Postgres::connect(&url, &options)).unwrap();
    any_text(&runtime, &[&postgres, &sqlite]);
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn any_text(runtime: &Runtime, catalogs: &[&dyn Catalog]) {
    let batch: Vec<_> = (0..20)
        .map(|n| {
            let mut it = contract::recording(&format!("cam{n}/call a.mp4"));
            it.title = ["Éa 日 title", "all NOT (b) z", "ab-c 0\u{301}1"][n % 3].into();
            it.tags = [["x", "y"][n % 2].into()].into();
            it.accepted_at.0 += n as i64;
            it
        })
        .collect();
    let ready: Vec<_> = batch
        .iter()
        .step_by(4)
        .map(|it| {
            let mut settle = support::asking_for(vec![], it.id, 1);
            settle.decision.state = domain::State::Ready;
            settle
        })
        .collect();
    for catalog in catalogs {
        runtime.block_on(catalog.accept(&batch, contract::T0)).unwrap();
        runtime.block_on(catalog.settle(&ready, "p", contract::T0)).unwrap();
    }
    let search = |query: &Query| {
        let found = catalogs.iter().map(|catalog| runtime.block_on(catalog.search(query, 3, None)));
        found
            .map(|page| page.map(|p| p.hits.into_iter().map(|r| r.id).collect::<Vec<_>>()))
            .collect::<Vec<_>>()
    };
    // What the syntax and the index's own syntax are made of, more often than anything else.
    let piece = prop_oneof![
        3 => r#"[-"*:,()^{}+'\\!&|<> ]{1,4}"#,
        2 => "(OR|AND|NOT|NEAR|tag|kind|state|type|name|title|marks|all|session|ready|video)",
        2 => "( OR |state:accepted|-state:accepted|state:ready|tag:x|-tag:y|-kind:track| )",
        1 => r"\PC{0,6}",
        1 => any::<String>(),
        3 => "[a-e01\u{0}\u{300}\u{1f600}\u{e9}日]{1,5}",
    ];
    let text = prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat());
    let mut config = ProptestConfig::with_cases(3_000);
    config.failure_persistence = None;
    proptest!(config, |(text in text)| {
        match text.parse::<Query>() {
            Ok(query) => {
                let found = search(&query);
                prop_assert!(found.iter().all(Result::is_ok), "{text:?} {query:?} {found:?}");
                let found: Vec<_> = found.into_iter().map(Result::unwrap).collect();
                // Characters that are younger than SQLite's tables are letters to it, whatever they are.
                let agreed = text.chars().all(|c| c.is_ascii() || "\u{300}\u{301}é日\u{1f600}".contains(c));
                prop_assert!(!agreed || found.iter().all(|f| *f == found[0]), "{text:?} {query:?} {found:?}");
            }
            Err(e) => prop_assert!(e.at <= text.chars().count() && !e.message.is_empty()),
        }
    });
    // As long and as deep as a query may be.
    let widest = ["a OR ", "-a ", "tag:x OR ", "-tag:x,y,z ", "\"a b\"* "].map(|part| {
        let n = if part.contains(',') { 20 } else { 60 };
        format!("{}z", part.repeat(n))
    });
    let longest = ["a/".repeat(999), "é".repeat(1_999), format!("title:{}*", "b-".repeat(900))];
    for text in widest.iter().chain(&longest) {
        let found = search(&text.parse().unwrap());
        assert!(found.iter().all(|f| f.as_ref().unwrap() == found[0].as_ref().unwrap()), "{text}");
    }
}
