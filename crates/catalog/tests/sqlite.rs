//! SQLite keeps the contract, and what is SQLite's own.

use std::{path::Path, sync::Arc};

use catalog::{
    Catalog, Kind, Query, Sqlite,
    contract::{Fixture, T0, recording},
};
use sqlx::{Connection as _, SqliteConnection};

async fn fresh() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    let catalog: Arc<dyn Catalog> = Arc::new(Sqlite::open(&path).await.unwrap());
    let again = Box::new(move || -> futures::future::BoxFuture<'static, Arc<dyn Catalog>> {
        let path = path.clone();
        Box::pin(async move { Arc::new(Sqlite::open(&path).await.unwrap()) as Arc<dyn Catalog> })
    });
    Fixture { catalog, again, keep: Box::new(folder) }
}

catalog::contract_suite!(fresh);

async fn raw(path: &Path) -> SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    SqliteConnection::connect_with(&options).await.unwrap()
}

/// Promise 11: every deletion has an audit record written first. Here: what was written stays, also against us.
#[tokio::test]
async fn the_audit_log_is_append_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    let catalog = Sqlite::open(&path).await.unwrap();
    catalog.accept(&[recording("a.mp4")], T0).await.unwrap();
    let before = catalog.audit(None, 9).await.unwrap();
    let mut conn = raw(&path).await;
    for attempt in [
        "UPDATE audit SET what = 'nothing'",
        "DELETE FROM audit",
        "REPLACE INTO audit SELECT seq, at, actor, 'nothing', recording, details FROM audit",
        "INSERT INTO audit SELECT seq, at, actor, 'x', recording, details FROM audit WHERE true
             ON CONFLICT (seq) DO UPDATE SET what = 'nothing'",
    ] {
        let refused = sqlx::query(attempt).execute(&mut conn).await.expect_err(attempt).to_string();
        assert!(refused.contains("append-only"), "{attempt}: {refused}");
    }
    assert_eq!(catalog.audit(None, 9).await.unwrap(), before);
}

#[tokio::test]
async fn a_newer_or_foreign_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    Sqlite::open(&path).await.unwrap().close().await;
    sqlx::query("PRAGMA user_version = 99").execute(&mut raw(&path).await).await.unwrap();
    let error = Sqlite::open(&path).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Newer);
    assert!(error.to_string().contains("newer videorec"), "{error}");

    let foreign = folder.path().join("photos.sqlite");
    sqlx::query("CREATE TABLE photo (id)").execute(&mut raw(&foreign).await).await.unwrap();
    let error = Sqlite::open(&foreign).await.unwrap_err();
    assert!(error.kind() == Kind::Access && error.to_string().contains("another program's"), "{error}");
}

#[tokio::test]
async fn what_sqlite_says_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Sqlite::open(&folder.path().join("no/such/folder/c.sqlite")).await.unwrap_err();
    assert_eq!(missing.kind(), Kind::Access, "{missing}");
    let garbage = folder.path().join("garbage");
    std::fs::write(&garbage, "not a database, and long enough to be looked at ".repeat(99)).unwrap();
    let corrupt = Sqlite::open(&garbage).await.unwrap_err();
    assert!(corrupt.kind() == Kind::Corrupt && corrupt.to_string().contains("backup"), "{corrupt}");
}

/// Eight processes may start on a folder that has no database yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_database_is_made_once() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.sqlite");
        let tasks: Vec<_> = (0..8)
            .map(|n| {
                let path = path.clone();
                tokio::spawn(async move {
                    let catalog = Sqlite::open(&path).await.unwrap();
                    catalog.accept(&[recording(&format!("{n}.mp4"))], T0).await.unwrap();
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let catalog = Sqlite::open(&path).await.unwrap();
        assert_eq!(catalog.search(&Query::default(), 99, None).await.unwrap().hits.len(), 8);
    }
}

/// Another process that holds the write lock for a while is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_lock_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    let catalog = Sqlite::open(&path).await.unwrap();
    let mut other = raw(&path).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let waiting =
        tokio::spawn(async move { catalog.accept(&[recording("a.mp4")], T0).await.map(|a| a.len()) });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), 1);
}
