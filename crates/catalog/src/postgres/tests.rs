use domain::JobState;
use sqlx::Row as _;

use super::*;
use crate::{
    contract::{T0, recording},
    document::Document,
    intake,
    plan::jobs_sql,
};

async fn fresh() -> Postgres {
    let url = testbed::Postgres::shared().database();
    Postgres::connect(&url, &Options { connections: 3, ..Options::default() }).await.unwrap()
}

/// What sqlx 0.9.0 starts otherwise may take a core for ever and keep the process from ending: its issue 3645. To go with the
/// release that has its pull request 4289.
#[tokio::test]
async fn nothing_looks_after_idle_connections() {
    let catalog = fresh().await;
    let options = catalog.pool.options();
    assert_eq!((options.get_idle_timeout(), options.get_max_lifetime()), (None, None));
    assert_eq!(options.get_min_connections(), 0);
}

/// Not while it is in use, and not before.
#[tokio::test]
async fn an_old_connection_is_replaced_when_it_is_wanted() {
    let url = testbed::Postgres::shared().database();
    for (lifetime, kept) in [(Duration::from_secs(3_600), true), (Duration::ZERO, false)] {
        let options = Options { connections: 1, lifetime, ..Options::default() };
        let catalog = Postgres::connect(&url, &options).await.unwrap();
        let mut pids = Vec::new();
        for _ in 0..3 {
            let pid: i32 =
                sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&catalog.pool).await.unwrap();
            pids.push(pid);
        }
        pids.dedup();
        assert_eq!(pids.len(), if kept { 1 } else { 3 }, "{pids:?}");
        assert_eq!(catalog.pool.size(), 1, "the old one is closed");
    }
}

/// Whatever the server's and the database's defaults are.
#[tokio::test]
async fn connections_are_set_up_as_our_promises_need() {
    let server = testbed::Postgres::shared();
    let url = server.database();
    let name = url.rsplit('/').next().unwrap();
    server.psql("postgres", &format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    server.psql(
        "postgres",
        &format!("ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"),
    );
    let catalog = Postgres::connect(&url, &Options::default()).await.unwrap();
    for (setting, value) in [
        ("synchronous_commit", "on"),
        ("default_transaction_isolation", "read committed"),
        ("idle_in_transaction_session_timeout", "1min"),
        ("statement_timeout", "20s"),
        ("plan_cache_mode", "force_custom_plan"),
    ] {
        let found: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(&catalog.pool)
            .await
            .unwrap();
        assert_eq!(found, value, "{setting}");
    }
}

/// What is asked many times a second walks along an index and stops at its limit, however many there are.
#[tokio::test]
async fn frequent_questions_are_answered_from_an_index() {
    let catalog = fresh().await;
    // Ten thousand and some; the first is the only one of its kind, and the oldest.
    let mut rare = recording("rare/needle.mp4");
    rare.accepted_at = T0 - Duration::from_secs(1);
    catalog.accept(&[rare.clone()], T0).await.unwrap();
    for batch in 0..20 {
        let batch: Vec<_> = (0..500)
            .map(|n| {
                let mut it = recording(&format!("cam{batch}/call {n}.mp4"));
                it.accepted_at = T0 + Duration::from_millis(batch * 500 + n);
                it
            })
            .collect();
        let new = catalog.accept(&batch, T0).await.unwrap();
        let mut settle =
            new.iter().map(|it| crate::contract::asking_for_a_probe(&it.recording)).collect::<Vec<_>>();
        for it in &mut settle {
            it.decision.offers = vec![domain::Offer {
                rule: "old".into(),
                what: domain::What::Delete,
                room: None,
                bytes: 1,
                archived: false,
                dated: T0,
                trash: Duration::from_secs(3_600),
                reason: String::new(),
            }];
        }
        catalog.settle(&settle, "p", T0).await.unwrap();
    }
    let offered = catalog.offer(Lane::Bulk, T0, 100, None).await.unwrap();
    assert_eq!(offered.len(), 100);
    sqlx::raw_sql("ANALYZE").execute(&catalog.pool).await.unwrap();

    let statement = |text: &str| search::Statement::of(&text.parse().unwrap());
    let (max, t0) = (i64::MAX.to_string(), T0.0.to_string());
    let search = |text: &str, which: usize| {
        let statement = statement(text);
        let expressions: Vec<String> =
            statement.expressions().map(|e| format!("'{}'", e.replace('\'', "''"))).collect();
        (statement.sql()[which].clone(), [vec![max.clone(), "51".into()], expressions].concat())
    };
    let id = format!("'{}'", rare.id);
    let parked = JobFilter { states: vec![JobState::Parked], ..JobFilter::default() };
    let of_batch = JobFilter { batch: Some(crate::BatchId::derive(&[])), ..JobFilter::default() };
    type Case = ((String, Vec<String>), &'static [&'static str]);
    let cases: Vec<Case> = vec![
        (
            (ledger::OFFER.into(), vec!["1".into(), t0.clone(), "50".into(), t0.clone()]),
            &["job_fresh", "job_offered"],
        ),
        (
            (ledger::OFFER_TO.into(), vec!["1".into(), t0.clone(), "50".into(), "'partner'".into()]),
            &["job_fresh_to"],
        ),
        ((ledger::STIRS.into(), vec![t0.clone()]), &["attention_at", "job_fresh", "job_fresh_to"]),
        ((ledger::NEXT_TO.into(), vec!["1".into(), t0.clone(), "'partner'".into()]), &["job_fresh_to"]),
        ((ledger::DESTINATIONS.into(), vec!["1".into()]), &["job_fresh_to"]),
        (
            (ledger::TAKEN.into(), vec!["'partner'".into(), t0.clone(), t0.clone()]),
            // Who runs is few in any case.
            &["job_offered_to"],
        ),
        ((settle::TO_DECIDE.into(), vec!["''".into(), t0.clone(), "50".into()]), &["attention_at"]),
        ((look::FACTS.into(), vec![id.clone()]), &["recording_id_key", "recording_session", "job_recording"]),
        ((lock::WITH_SESSIONS.into(), vec![format!("ARRAY[{id}]")]), &["recording_id_key"]),
        ((jobs_sql(&parked), vec!["50".into()]), &["job_state"]),
        ((jobs_sql(&of_batch), vec!["50".into(), "'x'".into()]), &["job_batch"]),
        ((settle::OFFERS.into(), vec!["''".into(), "''".into(), "50".into()]), &["offer_"]),
        ((pages::ELDEST.into(), vec![(T0.0 + 1).to_string(), "50".into()]), &["recording_verified"]),
        (search("", 0), &["recording_pkey"]),
        (search("state:failed,damaged", 0), &["recording_state"]),
        (search("call tag:x -y", 0), &["search_pkey", "recording_pkey"]),
        (search("needle", 1), &["search_words", "recording_pkey"]),
        (search("tag:x state:ready", 1), &["search_words"]),
        (search("recorded:2025 size:>1GB", 0), &["recording_pkey"]),
    ];
    for ((mut sql, binds), indexes) in cases {
        for (n, bind) in binds.iter().enumerate().rev() {
            sql = sql.replace(&format!("${}", n + 1), bind);
        }
        let plan: Vec<String> = sqlx::raw_sql(sqlx::AssertSqlSafe(format!("EXPLAIN {sql}")))
            .fetch_all(&catalog.pool)
            .await
            .unwrap_or_else(|e| panic!("{e}: {sql}"))
            .iter()
            .map(|row| row.get(0))
            .collect();
        let text = plan.join("\n");
        for index in indexes {
            assert!(text.contains(index), "{index}: {sql}\n{text}");
        }
        // Those that are filled.
        for table in ["recording", "search", "attention", "job"] {
            assert!(!text.contains(&format!("Seq Scan on {table} ")), "{sql}\n{text}");
        }
    }

    // Both ways to find lead to the same pages: a word that all have, and one that only the oldest has.
    for (text, expected) in [("call", 10_000), ("needle", 1), ("call OR needle", 10_001), ("-call", 1)] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = catalog.search(&text.parse().unwrap(), 999, after).await.unwrap();
            seen.extend(page.hits.iter().map(|r| r.accepted_at));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), expected, "{text}");
        assert!(seen.is_sorted_by(|a, b| a > b), "{text}");
    }
}

/// More recordings of one date than there are turns take the next free row id.
#[tokio::test]
async fn a_row_id_that_is_taken_is_not_handed_out_again() {
    let catalog = fresh().await;
    let batch = |of: &str| (0..40).map(|n| recording(&format!("{of}{n}.mp4"))).collect::<Vec<_>>();
    for (of, turn) in [("a", 0), ("b", 20), ("c", 32_750), ("d", 32_740)] {
        sqlx::query("SELECT setval('recording_turn', $1, false)")
            .bind(turn)
            .execute(&catalog.pool)
            .await
            .unwrap();
        catalog.accept(&batch(of), T0).await.unwrap();
    }
    let rids: Vec<i64> =
        sqlx::query_scalar("SELECT rid FROM recording ORDER BY rid").fetch_all(&catalog.pool).await.unwrap();
    assert_eq!(rids.len(), 160);
    assert!(rids.iter().all(|rid| (0..2).contains(&(rid::date(*rid) - T0.0))), "{rids:?}");
    // The years that dates may have, and whoever claims to be from before or after them.
    for odd in [i64::MIN, *intake::DATES.start(), -1, 0, *intake::DATES.end(), i64::MAX] {
        let mut it = recording(&format!("{odd}.mp4"));
        it.recorded_at = Some(Timestamp(odd));
        catalog.accept(&[it], T0).await.unwrap();
    }
    assert_eq!(catalog.search(&Query::default(), 999, None).await.unwrap().hits.len(), 166);
}

#[test]
fn a_document_is_words_with_places_and_marks_without() {
    let mut it = recording("cam1/WeeklyCall.mp4");
    (it.title, it.tags) = ("Weekly 'call'\\".into(), ["a b".into()].into());
    let document = Document::of(&intake::recording(&it), &["Ana".into()], Some("Session"));
    assert_eq!(
        search::vector(&document),
        "'a':15 'ana':13 'b':16 'call':3A,10B 'cam1':5B,8B 'mp4':7B,11B 'session':18 'weekly':2A,9B 'weeklycall':6B \
         '#krecording' '#t612062'"
    );
}

/// Whatever a person writes ends inside quotes, as letters and digits.
#[test]
fn a_query_is_a_tsquery_of_quoted_words() {
    for (text, expected) in [
        ("weekly call", "'weekly' & 'call'"),
        (r#"title:"it's a\" name:o'b*"#, "('it':A <-> 's':A <-> 'a':A) & ('o':B <-> 'b':B*)"),
        ("a' | 'b & !c:*", "'a' & 'b' & 'c':*"),
        ("tag:x,'y' -kind:track", "('#t78' | '#t277927') & !'#ktrack'"),
        ("a OR -b -state:ready", "('a' | !'b')"),
        ("a OR state:ready", "'a'"),
        ("日:*A", "('日' <-> 'a')"),
    ] {
        let query: Query = text.parse().unwrap();
        let statement = search::Statement::of(&query);
        let expression = statement.expressions().cloned().collect::<Vec<_>>().join(" ; ");
        assert_eq!(expression, expected, "{text}");
    }
}
