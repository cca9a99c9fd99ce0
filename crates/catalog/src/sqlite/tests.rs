use sqlx::Row as _;

use super::*;
use crate::{Kind, plan::jobs_sql};

async fn fresh() -> (tempfile::TempDir, Sqlite) {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Sqlite::open(&folder.path().join("catalog.sqlite")).await.unwrap();
    (folder, catalog)
}

/// What sqlx 0.9.0 starts otherwise may take a core for ever and keep the process from ending: its issue 3645. To go with the
/// release that has its pull request 4289.
#[tokio::test]
async fn nothing_looks_after_idle_connections() {
    let (_folder, catalog) = fresh().await;
    for pool in [&catalog.writer, &catalog.readers] {
        let options = pool.options();
        assert_eq!((options.get_idle_timeout(), options.get_max_lifetime()), (None, None));
        assert_eq!(options.get_min_connections(), 0);
    }
}

/// What is asked many times a second walks along an index and stops at its limit, however many there are.
#[tokio::test]
async fn frequent_questions_are_answered_from_an_index() {
    let (_folder, catalog) = fresh().await;
    let search = |text: &str| search::Statement::of(&text.parse().unwrap()).sql();
    let parked = JobFilter { states: vec![domain::JobState::Parked], ..JobFilter::default() };
    let of_batch = JobFilter { batch: Some(BatchId::derive(&[])), ..JobFilter::default() };
    let cases = [
        (ledger::FRESH.to_owned(), "job_fresh"),
        (ledger::FRESH_TO.to_owned(), "job_fresh_to"),
        (ledger::DESTINATIONS.to_owned(), "job_fresh_to"),
        (ledger::TAKEN.to_owned(), "job_running_to"),
        (ledger::TAKEN.to_owned(), "job_offered_to"),
        (ledger::UNDER_WAY.to_owned(), "job_running_to"),
        (ledger::LOST.to_owned(), "job_offered"),
        (settle::TO_DECIDE.to_owned(), "attention_at"),
        (settle::OFFERS.to_owned(), "offer_room"),
        (pages::RANGE.done.to_owned(), "COVERING INDEX job_done"),
        (pages::RANGE.parked.to_owned(), "job_parked"),
        (pages::LIST.done.to_owned(), "COVERING INDEX job_done"),
        (pages::ELDEST.to_owned(), "copy_verified"),
        (pages::ELDEST.to_owned(), "recording_verified"),
        (jobs_sql(&parked), "job_state"),
        (jobs_sql(&of_batch), "job_batch"),
        (search(""), "SEARCH r USING INTEGER PRIMARY KEY"),
        (search("call tag:x -y"), "search VIRTUAL TABLE"),
        (search("call state:ready"), "search VIRTUAL TABLE"),
        (search("state:failed,damaged"), "recording_state"),
        (search("recorded:2026 size:>1GB"), "SEARCH r USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
    ];
    for (sql, index) in cases {
        let plan: Vec<String> = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
            .fetch_all(&mut *catalog.readers.acquire().await.unwrap())
            .await
            .unwrap()
            .iter()
            .map(|row| row.get("detail"))
            .collect();
        let text = plan.join("\n");
        assert!(text.contains(index), "{sql}\n{text}");
        assert!(
            !plan.iter().any(|step| step.starts_with("SCAN job") || step.starts_with("SCAN r")),
            "{sql}\n{text}"
        );
        // Only what is due by its date is sorted, and `IN` sorts as many as the limit allows.
        if !sql.contains("attention") && !sql.contains("UNION") {
            assert!(!text.contains("TEMP B-TREE FOR ORDER BY"), "{sql}\n{text}");
        }
    }
}

/// A full disk loses nothing that was acknowledged, says what to do, and passes once there is space again.
#[tokio::test]
async fn a_full_disk_is_a_temporary_error() {
    let (_folder, catalog) = fresh().await;
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&catalog.writer).await.unwrap();
    let limit = |n: i64| sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {n}"));
    sqlx::query(limit(pages + 20)).execute(&catalog.writer).await.unwrap();
    let batch: Vec<_> = (0..500).map(|n| crate::contract::recording(&n.to_string())).collect();
    catalog.accept(&batch[..10], crate::contract::T0).await.unwrap();
    let error = catalog.accept(&batch, crate::contract::T0).await.unwrap_err();
    assert!(error.kind() == Kind::Full && error.is_temporary(), "{error:?}");
    assert!(error.to_string().contains("free some"), "{error}");
    assert_eq!(catalog.search(&Query::default(), 999, None).await.unwrap().hits.len(), 10, "all or none");
    sqlx::query(limit(1_000_000)).execute(&catalog.writer).await.unwrap();
    assert_eq!(catalog.accept(&batch, crate::contract::T0).await.unwrap().len(), 500);
}

/// A caller that gives up in the middle leaves nothing behind, neither rows nor the lock.
#[tokio::test]
async fn an_abandoned_call_leaves_nothing() {
    let (_folder, catalog) = fresh().await;
    let batch: Vec<_> = (0..300).map(|n| crate::contract::recording(&n.to_string())).collect();
    for millis in [0, 1, 3, 7, 20] {
        let accept = catalog.accept(&batch, crate::contract::T0);
        let answer = tokio::time::timeout(Duration::from_millis(millis), accept).await;
        let there = catalog.search(&Query::default(), 999, None).await.unwrap().hits.len();
        assert!(there == 300 || answer.is_err() && there == 0, "{there}");
    }
    assert_eq!(catalog.accept(&batch, crate::contract::T0).await.unwrap().len(), 300);
}
