//! PostgreSQL keeps the contract, and what is PostgreSQL's own.
#![cfg(feature = "postgres")]

use std::{error::Error as _, sync::Arc, time::Duration};

use catalog::{
    Catalog, Error, Kind, Postgres,
    contract::{Fixture, T0, recording},
    postgres::Options,
};
use sqlx::{Connection as _, PgConnection};
use testbed::Postgres as Server;

async fn open(url: &str) -> Postgres {
    Postgres::connect(url, &Options { connections: 4, ..Options::default() }).await.unwrap()
}

async fn fresh() -> Fixture {
    let url = Server::shared().database();
    let catalog: Arc<dyn Catalog> = Arc::new(open(&url).await);
    let again = Box::new(move || -> futures::future::BoxFuture<'static, Arc<dyn Catalog>> {
        let url = url.clone();
        Box::pin(async move { Arc::new(open(&url).await) as Arc<dyn Catalog> })
    });
    Fixture { catalog, again, keep: Box::new(()) }
}

catalog::contract_suite!(fresh);

async fn raw(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

/// Promise 11: every deletion has an audit record written first. Here: what was written stays, also against us.
#[tokio::test]
async fn the_audit_log_is_append_only() {
    let url = Server::shared().database();
    let catalog = open(&url).await;
    catalog.accept(&[recording("a.mp4")], T0).await.unwrap();
    let before = catalog.audit(None, 9).await.unwrap();
    assert_eq!(before.len(), 1);
    let mut conn = raw(&url).await;
    for attempt in [
        "UPDATE audit SET what = 'nothing'",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE false",
        "TRUNCATE audit",
        "TRUNCATE audit RESTART IDENTITY CASCADE",
        "INSERT INTO audit (seq, at, actor, what, details) OVERRIDING SYSTEM VALUE SELECT seq, at, actor, 'x', details
             FROM audit ON CONFLICT (seq) DO UPDATE SET what = 'nothing'",
        "MERGE INTO audit USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE",
        "SET session_replication_role = replica; DELETE FROM audit",
    ] {
        let refused = sqlx::raw_sql(attempt).execute(&mut conn).await.expect_err(attempt).to_string();
        assert!(refused.contains("append-only"), "{attempt}: {refused}");
    }
    assert_eq!(catalog.audit(None, 9).await.unwrap(), before);
}

#[tokio::test]
async fn a_newer_or_foreign_database_is_refused() {
    let url = Server::shared().database();
    open(&url).await.close().await;
    open(&url).await.close().await;
    sqlx::raw_sql("UPDATE videorec_catalog SET steps = 99").execute(&mut raw(&url).await).await.unwrap();
    let error = Postgres::connect(&url, &Options::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Newer);
    assert!(error.to_string().contains("newer videorec"), "{error}");

    let url = Server::shared().database();
    sqlx::raw_sql("CREATE TABLE photo (id BIGINT)").execute(&mut raw(&url).await).await.unwrap();
    let error = Postgres::connect(&url, &Options::default()).await.unwrap_err();
    assert!(error.kind() == Kind::Access && error.to_string().contains("another program's"), "{error}");
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        .fetch_one(&mut raw(&url).await)
        .await
        .unwrap();
    assert_eq!(tables, 1, "it was left as it is");

    let server = Server::shared();
    server.psql("postgres", "CREATE DATABASE narrow ENCODING SQL_ASCII LOCALE 'C' TEMPLATE template0");
    let error = Postgres::connect(&server.url("narrow"), &Options::default()).await.unwrap_err();
    assert!(error.kind() == Kind::Access && error.to_string().contains("UTF8"), "{error}");
}

/// The URL is a secret: whatever goes wrong, nobody reads the password.
#[tokio::test]
async fn what_postgresql_says_is_explained_and_the_password_is_not_shown() {
    const SECRET: &str = "s3cr3t";
    let server = Server::shared();
    server.psql("postgres", "CREATE ROLE stranger LOGIN");
    let port = server.port();
    let closed = testbed::free_port();
    let quick = Options { acquire_timeout: Duration::from_millis(300), ..Options::default() };
    let cases = [
        (format!("postgres://nobody:{SECRET}@127.0.0.1:{port}/postgres"), Kind::Access, "user"),
        (format!("postgres://videorec:{SECRET}@127.0.0.1:{port}/nothing"), Kind::Access, "database's name"),
        (
            format!("postgres://videorec:{SECRET}@127.0.0.1:{port}/postgres?sslmode=require"),
            Kind::Access,
            "sslmode",
        ),
        (format!("postgres://videorec:{SECRET}@127.0.0.1:{closed}/postgres"), Kind::Busy, "can be reached"),
        (format!("postgres://videorec:{SECRET}@no.such.host.invalid/postgres"), Kind::Io, "network"),
        (format!("postgres://videorec:{SECRET}@127.0.0.1:port/postgres"), Kind::Invalid, "should look like"),
        (
            format!("postgres://videorec:{SECRET}@127.0.0.1/postgres?sslmode={SECRET}"),
            Kind::Invalid,
            "should look like",
        ),
        (format!("videorec:{SECRET}@127.0.0.1/postgres"), Kind::Invalid, "should look like"),
        (
            format!("postgres://stranger:{SECRET}@127.0.0.1:{port}/{}", fresh_name()),
            Kind::Access,
            "owns the database",
        ),
    ];
    for (url, kind, says) in cases {
        let error = Postgres::connect(&url, &quick).await.expect_err(&url);
        assert_eq!(error.kind(), kind, "{url}: {error}");
        assert!(error.to_string().contains(says), "{url}: {error}");
        let all = format!("{error} {error:?} {}", causes(&error));
        assert!(!all.contains(SECRET), "{all}");
    }
    let url = format!("postgres://videorec:{SECRET}@127.0.0.1:{port}/{}", fresh_name());
    let catalog = Postgres::connect(&url, &quick).await.unwrap();
    assert!(!format!("{catalog:?} {catalog:#?}").contains(SECRET));
    let name: String = sqlx::query_scalar(
        "SELECT application_name FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .fetch_one(&mut raw(&url).await)
    .await
    .unwrap();
    assert_eq!(name, "videorec");
    catalog.close().await;
    assert_eq!(catalog.counts().await.unwrap_err().kind(), Kind::Invalid, "closed");
}

fn fresh_name() -> String {
    Server::shared().database().rsplit('/').next().unwrap().to_owned()
}

fn causes(error: &Error) -> String {
    let mut all = String::new();
    let mut next = error.source();
    while let Some(cause) = next {
        all += &format!("{cause} {cause:?} ");
        next = cause.source();
    }
    all
}

/// Somebody else holds what a call needs: it is waited for, not for ever, and nothing of the call is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_lock_is_waited_for_and_then_a_temporary_error() {
    let url = Server::shared().database();
    let options = Options { statement_timeout: Duration::from_millis(700), ..Options::default() };
    let catalog = Postgres::connect(&url, &options).await.unwrap();
    let mut other = raw(&url).await;
    let hold = "BEGIN; LOCK TABLE attention IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(hold).execute(&mut other).await.unwrap();
    let error = catalog.accept(&[recording("a.mp4")], T0).await.unwrap_err();
    assert!(error.kind() == Kind::Busy && error.is_temporary(), "{error:?}");
    assert_eq!(catalog.get(recording("a.mp4").id).await.unwrap(), None);

    let patient = open(&url).await;
    let waiting =
        tokio::spawn(async move { patient.accept(&[recording("a.mp4")], T0).await.map(|a| a.len()) });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), 1);
}

/// A caller that gives up in the middle leaves nothing behind, neither rows nor locks.
#[tokio::test]
async fn an_abandoned_call_leaves_nothing() {
    let catalog = open(&Server::shared().database()).await;
    let batch: Vec<_> = (0..300).map(|n| recording(&n.to_string())).collect();
    let mut given_up = 0;
    for millis in [0, 1, 3, 7, 12, 20, 30] {
        let answer = tokio::time::timeout(Duration::from_millis(millis), catalog.accept(&batch, T0)).await;
        let there = catalog.counts().await.unwrap().recordings.values().sum::<u64>();
        // What was given up while it was being committed may be there, but as a whole.
        assert!(there == 300 || answer.is_err() && there == 0, "{there}");
        given_up += u32::from(answer.is_err());
    }
    assert!(given_up > 0);
    assert_eq!(catalog.accept(&batch, T0).await.unwrap().len(), 300);
}

/// As the URL's `sslmode` says: encrypted, and with a server that proves who it is.
#[tokio::test]
async fn a_connection_is_encrypted_when_the_url_says_so() {
    let server = Server::start();
    let certificates = "cat > /dev/null; umask 077
        ec() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=$1 -keyout $1.key $2; }
        ec ca \"-x509 -days 2 -out ca.crt\" && ec server \"-out server.csr\" || exit 1
        printf \"subjectAltName=IP:127.0.0.1\\nbasicConstraints=CA:FALSE\\n\" > server.ext
        openssl x509 -req -days 2 -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile server.ext -out server.crt";
    server.psql("postgres", &format!("COPY (SELECT 1) TO PROGRAM '{certificates}'"));
    server.psql("postgres", "ALTER SYSTEM SET ssl = on");
    server.psql("postgres", "SELECT pg_reload_conf()");
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("ca.crt");
    std::fs::write(&root, server.psql("postgres", "SELECT pg_read_file('ca.crt')")).unwrap();

    let url = server.url_by_tcp(&server.database(), server.port());
    let trusted = format!("sslmode=verify-full&sslrootcert={}", root.display());
    let quick = Options { acquire_timeout: Duration::from_secs(2), ..Options::default() };
    for (mode, encrypted) in [("sslmode=disable", false), ("sslmode=require", true), (trusted.as_str(), true)]
    {
        let catalog = Postgres::connect(&format!("{url}?{mode}"), &quick)
            .await
            .unwrap_or_else(|e| panic!("{mode}: {e:?}"));
        let count = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'videorec' AND ssl";
        assert_eq!(server.psql("postgres", count), if encrypted { "1" } else { "0" }, "{mode}");
        catalog.close().await;
    }
    // Signed by nobody that this machine trusts.
    let error = Postgres::connect(&format!("{url}?sslmode=verify-full"), &quick).await.unwrap_err();
    assert!(error.kind() == Kind::Access && error.to_string().contains("sslrootcert"), "{error:?}");
}

/// Whoever owns the database can take the triggers away. What he does then is seen.
#[tokio::test]
async fn an_audit_log_that_was_tampered_with_is_found_out() {
    let url = Server::shared().database();
    let (one, two) = (open(&url).await, open(&url).await);
    let batch: Vec<_> = (0..20).map(|n| recording(&format!("\"é\" {n}.mp4"))).collect();
    one.accept(&batch[..10], T0).await.unwrap();
    two.accept(&batch[10..], T0).await.unwrap();
    let before = one.audit_verify().await.unwrap();
    assert_eq!((before.entries, before.unchained, before.first_bad), (20, 0, None));
    let mut conn = raw(&url).await;
    sqlx::raw_sql("ALTER TABLE audit DISABLE TRIGGER ALL").execute(&mut conn).await.unwrap();
    for (tampering, first_bad) in [
        ("UPDATE audit SET details = '{}' WHERE seq = 7", Some(7)),
        ("UPDATE audit SET recording = NULL WHERE seq = 1", Some(1)),
        ("UPDATE audit SET at = at + 1 WHERE seq = 20", Some(20)),
        ("DELETE FROM audit WHERE seq BETWEEN 4 AND 5", Some(6)),
        ("UPDATE audit SET hash = NULL WHERE seq > 9", Some(10)),
        ("UPDATE audit SET chain = NULL WHERE seq > 9", Some(10)),
        ("UPDATE audit SET chain = 77 WHERE seq > 9", Some(10)),
        ("INSERT INTO audit (at, actor, what, details) VALUES (0, 'x', 'x', '{}')", Some(21)),
        ("DELETE FROM audit WHERE seq > 18", None),
    ] {
        // Together with what it finds, and undone.
        sqlx::raw_sql("CREATE TABLE IF NOT EXISTS kept AS SELECT * FROM audit")
            .execute(&mut conn)
            .await
            .unwrap();
        sqlx::raw_sql(tampering).execute(&mut conn).await.unwrap();
        let after = one.audit_verify().await.unwrap();
        assert_eq!(after.first_bad, first_bad, "{tampering}");
        assert!(after.first_bad.is_some() || after.head != before.head, "{tampering}");
        let undo = "DELETE FROM audit; INSERT INTO audit OVERRIDING SYSTEM VALUE SELECT * FROM kept";
        sqlx::raw_sql(undo).execute(&mut conn).await.unwrap();
    }
    assert_eq!(one.audit_verify().await.unwrap(), before);
}

/// A catalog that an older binary has written is one of ours with nothing lost.
#[tokio::test]
async fn an_older_database_is_brought_up_to_date() {
    let url = Server::shared().database();
    for step in [
        include_str!("../migrations/postgres/0001_start.sql"),
        "CREATE TABLE videorec_catalog (steps BIGINT NOT NULL); INSERT INTO videorec_catalog VALUES (1)",
        OLDER,
    ] {
        sqlx::raw_sql(step).execute(&mut raw(&url).await).await.unwrap();
    }
    let catalog = open(&url).await;
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
    VALUES (7, '00000000000000000000000001', 'recording', 'a.mp4', 'a', 'library', 'k', 'v1', 10, decode(repeat('00', 32), 'hex'), 5,
            1790000000000, '[]', 'ready', '', 3);
INSERT INTO copy (recording, store, size, body) VALUES ('00000000000000000000000001', 'nas', 10, '{"recording":"00000000000000000000000001","store":"nas","key":"k","version":"v1","digest":{"size":10,"sha256":"0000000000000000000000000000000000000000000000000000000000000000","crc64":"0000000000000005"},"verified_at":"2026-09-21T14:13:20.123Z"}');
INSERT INTO audit (at, actor, what, details) VALUES (1, 'x', 'accept', '{}'), (2, 'x', 'state', '{}');
"#;
