//! User text never breaks the search: any string is a query or a mistake with a place, and every query runs.

use catalog::{Catalog, Query, Sqlite, contract};
use proptest::prelude::*;

#[test]
fn any_text_is_a_query_that_runs_or_a_mistake_with_a_place() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let catalog = runtime.block_on(async {
        let catalog = Sqlite::open(&folder.path().join("c.sqlite")).await.unwrap();
        let batch: Vec<_> = (0..20).map(|n| contract::recording(&format!("cam{n}/call a.mp4"))).collect();
        catalog.accept(&batch, contract::T0).await.unwrap();
        catalog
    });
    // What the syntax and the index's own syntax are made of, more often than anything else.
    let piece = prop_oneof![
        3 => r#"[-"*:,()^{}+'\\ ]{1,4}"#,
        2 => "(OR|AND|NOT|NEAR|tag|kind|state|type|name|title|marks|all|session|ready|video)",
        1 => r"\PC{0,6}",
        1 => any::<String>(),
        1 => "[a-z0-9\u{0}\u{300}\u{1f600}\u{e9}日]{1,5}",
    ];
    let text = prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat());
    let mut config = ProptestConfig::with_cases(3_000);
    config.failure_persistence = None;
    proptest!(config, |(text in text)| {
        match text.parse::<Query>() {
            Ok(query) => {
                let page = runtime.block_on(catalog.search(&query, 3, None));
                prop_assert!(page.is_ok(), "{text:?} {query:?} {page:?}");
            }
            Err(e) => prop_assert!(e.at <= text.chars().count() && !e.message.is_empty()),
        }
    });
    // As long and as deep as a query may be.
    let widest = ["a OR ", "-a ", "tag:x OR ", "-tag:x,y,z ", "\"a b\"* "].map(|part| {
        let n = if part.contains(',') { 20 } else { 60 };
        format!("{}z", part.repeat(n))
    });
    for text in widest {
        runtime.block_on(catalog.search(&text.parse().unwrap(), 3, None)).unwrap();
    }
}
