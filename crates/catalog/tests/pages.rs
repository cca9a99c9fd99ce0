//! How fast SQLite takes recordings in, and reads the facts of very many. Prints, and proves nothing:
//! `RECORDINGS=1000000 cargo test --release -p catalog --test pages -- --ignored --nocapture`

mod support;

use std::time::{Duration, Instant};

use catalog::{
    Catalog, Sqlite,
    contract::{Record as _, T0, recording},
};
use domain::{
    Action, AudioFacts, Dynamic, Lane, MediaFacts, Outcome, Probe, StreamFacts, StreamKind, Verdict,
    VideoFacts,
};
use sqlx::Connection as _;
use support::{TTL, asking_for, job_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures for a minute or more"]
async fn pages() {
    let many: u32 = std::env::var("RECORDINGS").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    let catalog = Sqlite::open(&path).await.unwrap();
    // One as the catalog writes it, and the others like it.
    let it = recording("cam1/2026-03-01/call 0.mp4");
    catalog.accept(std::slice::from_ref(&it), T0).await.unwrap();
    let jobs = vec![job_of(it.id, &it.version, Action::Probe), job_of(it.id, &it.version, backup())];
    catalog.settle(&[asking_for(jobs.clone(), it.id, 1)], "p", T0).await.unwrap();
    for job in &jobs {
        let held = catalog.claim(job.id, "w", T0, TTL).await.unwrap().unwrap();
        let outcome = match job.action {
            Action::Probe => Outcome::Probed { probe: probe() },
            _ => Outcome::Copied {
                copy: domain::Copy {
                    recording: it.id,
                    store: "replica".into(),
                    key: it.key.clone(),
                    version: it.version.clone(),
                    digest: it.digest,
                    verified_at: T0,
                    bad: None,
                    until: None,
                },
            },
        };
        catalog.record(&held, &outcome, T0).await.unwrap();
    }
    let new: Vec<_> = (1..10_241).map(|n| recording(&format!("cam{}/in {n}.mp4", n % 9))).collect();
    let started = Instant::now();
    for batch in new.chunks(64) {
        catalog.accept(batch, T0).await.unwrap();
    }
    println!("accepted, by 64: {:.0}/s", new.len() as f64 / started.elapsed().as_secs_f64());
    let started = Instant::now();
    for it in &new[..2_000] {
        let settle = asking_for(vec![job_of(it.id, &it.version, Action::Probe)], it.id, 1);
        catalog.settle(&[settle], "p", T0).await.unwrap();
    }
    println!("settled, one by one: {:.0}/s", 2_000.0 / started.elapsed().as_secs_f64());
    multiply(&path, many).await;

    let started = Instant::now();
    let (mut after, mut n, mut jobs, mut copies) = (None, 0, 0, 0);
    loop {
        let page = catalog.facts_page(after, 1_000).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.recording.id);
        n += page.len();
        jobs += page.iter().map(|f| f.done.len()).sum::<usize>();
        copies += page.iter().map(|f| f.copies.len()).sum::<usize>();
    }
    let took = started.elapsed();
    println!(
        "{n} recordings, {jobs} jobs, {copies} copies in {took:.1?}: {:.0}/s, {} MB at most",
        n as f64 / took.as_secs_f64(),
        peak_mb()
    );
    // Nothing is due: what a sweep asks for is answered by an index that is walked nowhere.
    let started = Instant::now();
    let due = catalog.to_decide(T0 + Duration::from_secs(1), None, 1_000).await.unwrap();
    let ready = catalog.offer(Lane::Bulk, T0, 1_000, None).await.unwrap();
    let going = catalog.offers(None, None, 1_000).await.unwrap();
    let took = started.elapsed();
    println!("a sweep where nothing is due: {took:.1?} ({} {} {})", due.len(), ready.len(), going.len());
    let started = Instant::now();
    let eldest = catalog.eldest(T0 + Duration::from_secs(1), 100).await.unwrap();
    println!("the eldest {} in {:.1?}", eldest.len(), started.elapsed());
    let started = Instant::now();
    let audit = catalog.audit_verify().await.unwrap();
    println!("{} entries of the audit log verified in {:.1?}", audit.entries, started.elapsed());
}

fn backup() -> Action {
    Action::Backup { store: "replica".into() }
}

async fn multiply(path: &std::path::Path, many: u32) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).pragma("synchronous", "off");
    let mut conn = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    let id = "printf('%026d', (n * 7919) % 1000003)";
    for sql in [
        format!("CREATE TEMP TABLE n AS WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT {many}) SELECT n FROM c"),
        format!(
            "INSERT INTO recording SELECT rid + (n + 100) * 1000, {id}, kind, name || n, title, store, key || n, version, size,
                    sha256, crc64, accepted_at, recorded_at, tags, session, state, reason, revision, media_type,
                    duration_ms, probe, custody, verified_at, fields
                    FROM recording, n WHERE store = 'library' AND probe IS NOT NULL"
        ),
        format!(
            "INSERT INTO job (id, recording, version, action, lane, rule, reason, state, created_at, run_after, outcome)
             SELECT substr(hex(randomblob(13)), 1, 26), {id}, version, action, lane, rule, reason, state, created_at,
                    run_after, outcome FROM job, n WHERE state = 'done'"
        ),
        // Each has a date at which time alone changes what is decided, and it is not now.
        "DELETE FROM job WHERE state <> 'done'; DELETE FROM attention;
         INSERT INTO attention SELECT id, 4102444800000 + rid % 1000 FROM recording".to_owned(),
        format!("INSERT INTO copy SELECT {id}, store, size, body, verified_at, leaving FROM copy, n WHERE n % 2 = 0"),
    ] {
        let sql = sql.replace("hex(randomblob(13))", "'0' || hex(randomblob(13))");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
    }
}

fn probe() -> Probe {
    let stream = |index, kind| StreamFacts {
        index,
        kind,
        codec: "h264".into(),
        profile: Some("High".into()),
        language: None,
        title: None,
        default: true,
        start_ms: 0,
        duration_ms: 3_600_000,
        packets: 108_000,
        bit_rate: 2_500_000,
        video: (kind == StreamKind::Video).then(|| VideoFacts {
            width: 1920,
            height: 1080,
            rotation: 0,
            sar: (1, 1),
            pixel_format: "yuv420p".into(),
            bit_depth: 8,
            dynamic: Dynamic::Sdr,
            frame_rate: (30, 1),
            variable_frame_rate: false,
            interlaced: false,
            keyframe_interval_ms: Some(2_000),
            closed_gop: true,
            constant_resolution: true,
            monotonic_dts: true,
            simple_edit_list: true,
            alpha: false,
        }),
        audio: (kind == StreamKind::Audio).then_some(AudioFacts { sample_rate: 48_000, channels: 2 }),
    };
    Probe {
        verdict: Verdict::Good,
        facts: Some(MediaFacts {
            format: "mov,mp4,m4a,3gp,3g2,mj2".into(),
            media_type: "video/mp4".into(),
            duration_ms: 3_600_000,
            header_duration_ms: Some(3_600_000),
            bit_rate: 2_600_000,
            streams: vec![stream(0, StreamKind::Video), stream(1, StreamKind::Audio)],
            claimed_created: None,
            claimed_title: None,
        }),
    }
}

fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or(0) / 1_000
}
