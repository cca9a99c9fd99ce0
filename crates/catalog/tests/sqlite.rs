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
        "REPLACE INTO audit SELECT seq, at, actor, 'nothing', recording, details, hash FROM audit",
        "INSERT INTO audit SELECT seq, at, actor, 'x', recording, details, hash FROM audit WHERE true
             ON CONFLICT (seq) DO UPDATE SET what = 'nothing'",
        "INSERT INTO audit (at, actor, what, details) VALUES (0, 'x', 'x', '{}')",
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

/// Whoever owns the database can take the triggers away. What he does then is seen.
#[tokio::test]
async fn an_audit_log_that_was_tampered_with_is_found_out() {
    for (n, (tampering, first_bad)) in [
        ("UPDATE audit SET details = '{}' WHERE seq = 7", Some(7)),
        ("UPDATE audit SET recording = NULL WHERE seq = 1", Some(1)),
        ("UPDATE audit SET at = at + 1 WHERE seq = 20", Some(20)),
        ("UPDATE audit SET actor = 'inta', what = 'keaccept' WHERE seq = 3", Some(3)),
        ("DELETE FROM audit WHERE seq BETWEEN 4 AND 5", Some(6)),
        ("DELETE FROM audit WHERE seq = 1", Some(2)),
        ("UPDATE audit SET hash = NULL WHERE seq > 9", Some(10)),
        ("UPDATE audit SET hash = randomblob(32) WHERE seq = 20", Some(20)),
        ("INSERT INTO audit SELECT 21, at, actor, what, recording, details, hash FROM audit WHERE seq = 20", Some(21)),
        // The end is missing: only a head that was kept elsewhere tells.
        ("DELETE FROM audit WHERE seq > 18", None),
    ]
    .into_iter()
    .enumerate()
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.sqlite");
        let catalog = Sqlite::open(&path).await.unwrap();
        let batch: Vec<_> = (0..20).map(|n| recording(&format!("{n}.mp4"))).collect();
        catalog.accept(&batch, T0).await.unwrap();
        let before = catalog.audit_verify().await.unwrap();
        assert_eq!((before.entries, before.unchained, before.first_bad), (20, 0, None));
        let mut conn = raw(&path).await;
        for trigger in ["no_update", "no_delete", "no_replace", "no_loose_end"] {
            let sql = format!("DROP TRIGGER audit_{trigger}");
            sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
        }
        sqlx::query(tampering).execute(&mut conn).await.unwrap();
        let after = catalog.audit_verify().await.unwrap();
        assert_eq!(after.first_bad, first_bad, "{n}: {tampering}");
        assert!(after.head != before.head || n < 6, "{tampering}");
    }
}

/// A catalog that an older binary has written is one of ours with nothing lost.
#[tokio::test]
async fn an_older_database_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    for step in [
        include_str!("../migrations/sqlite/0001_start.sql"),
        include_str!("../migrations/sqlite/0002_fleet.sql"),
        "PRAGMA user_version = 2; PRAGMA application_id = 1448232259",
        OLDER,
    ] {
        sqlx::raw_sql(step).execute(&mut raw(&path).await).await.unwrap();
    }
    let catalog = Sqlite::open(&path).await.unwrap();
    let it = catalog.get("00000000000000000000000001".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((it.custody.clone(), it.revision), (domain::Custody::default(), 3));
    assert_eq!(catalog.facts_page(None, 9).await.unwrap(), [catalog.facts(it.id).await.unwrap().unwrap()]);
    let eldest = catalog.eldest(domain::Timestamp(i64::MAX), 9).await.unwrap();
    let eldest: Vec<_> = eldest.iter().map(|e| (e.store.as_str(), e.verified_at.0)).collect();
    assert_eq!(eldest, [("library", 1_790_000_000_000), ("nas", 1_790_000_000_123)]);
    catalog.note(it.id, "w", "seen", serde_json::json!({}), T0).await.unwrap();
    let audit = catalog.audit_verify().await.unwrap();
    assert_eq!((audit.entries, audit.unchained, audit.first_bad), (1, 2, None));
}

const OLDER: &str = r#"
INSERT INTO recording (rid, id, kind, name, title, store, key, version, size, sha256, crc64, accepted_at, tags, state, reason,
                       revision)
    VALUES (7, '00000000000000000000000001', 'recording', 'a.mp4', 'a', 'library', 'k', 'v1', 10, zeroblob(32), 5,
            1790000000000, '[]', 'ready', '', 3);
INSERT INTO copy (recording, store, size, body) VALUES ('00000000000000000000000001', 'nas', 10, '{"recording":"00000000000000000000000001","store":"nas","key":"k","version":"v1","digest":{"size":10,"sha256":"0000000000000000000000000000000000000000000000000000000000000000","crc64":"0000000000000005"},"verified_at":"2026-09-21T14:13:20.123Z"}');
INSERT INTO audit (at, actor, what, details) VALUES (1, 'x', 'accept', '{}'), (2, 'x', 'state', '{}');
"#;
