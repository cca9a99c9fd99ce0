//! How fast PostgreSQL is here, with a server that writes to the disk what it acknowledges. Prints, and proves nothing:
//! `cargo test --release -p catalog --features postgres --test rates -- --ignored --nocapture`
#![cfg(feature = "postgres")]

mod support;

use std::time::{Duration, Instant};

use catalog::{
    Catalog, Postgres,
    contract::{Record as _, T0, recording},
    postgres::Options,
};
use domain::Lane;
use futures::{StreamExt as _, stream};
use support::{TTL, asking_for, probe_of, probed};

const BATCHES: usize = 40;
const BATCH: usize = 256;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures for half a minute"]
async fn rates() {
    let server = testbed::Postgres::start();
    server.psql("postgres", "ALTER SYSTEM SET fsync = on");
    server.psql("postgres", "SELECT pg_reload_conf()");
    let url = server.url_by_tcp(&server.database(), server.port());
    let c = &Postgres::connect(&url, &Options::default()).await.unwrap();
    let batches: Vec<Vec<_>> = (0..2 * BATCHES)
        .map(|b| {
            let one = |n| {
                let mut it = recording(&format!("cam{}/{b} call {n}.mp4", n % 9));
                it.accepted_at = T0 + Duration::from_millis((b * BATCH + n) as u64);
                it.tags = ["call".to_owned(), format!("room {}", n % 30)].into();
                it
            };
            (0..BATCH).map(one).collect()
        })
        .collect();
    let all = BATCHES * BATCH;

    let started = Instant::now();
    for batch in &batches[..BATCHES] {
        c.accept(batch, T0).await.unwrap();
    }
    say("accepted, one batch of 256 after the other", all, started);
    let started = Instant::now();
    each(4, &batches[BATCHES..], async |batch| drop(c.accept(batch, T0).await.unwrap())).await;
    say("accepted, four batches at once", all, started);
    let started = Instant::now();
    for n in 0..500 {
        c.accept(&[recording(&format!("single {n}.mp4"))], T0).await.unwrap();
    }
    say("accepted, one alone after the other", 500, started);

    let ids: Vec<_> = batches[..BATCHES].iter().flatten().map(|it| (it.id, it.version.clone())).collect();
    let started = Instant::now();
    for part in ids.chunks(100) {
        let settle: Vec<_> =
            part.iter().map(|(id, version)| asking_for(vec![probe_of(*id, version)], *id, 1)).collect();
        c.settle(&settle, "p", T0).await.unwrap();
    }
    say("settled, by hundreds, one new job each", all, started);
    let started = Instant::now();
    let mut jobs = Vec::new();
    loop {
        let offered = c.offer(Lane::Bulk, T0, 100, None).await.unwrap();
        if offered.is_empty() {
            break;
        }
        jobs.extend(offered);
    }
    say("offered, by hundreds", jobs.len(), started);
    let work = async |job: &domain::JobId| {
        let held = c.claim(*job, "w", T0, TTL).await.unwrap().unwrap();
        c.record(&held, &probed(), T0).await.unwrap();
    };
    let started = Instant::now();
    for job in &jobs[..1_000] {
        work(job).await;
    }
    say("claimed and recorded, one after the other", 1_000, started);
    let started = Instant::now();
    each(8, &jobs[1_000..5_000], work).await;
    say("claimed and recorded, eight at once", 4_000, started);
    let started = Instant::now();
    for (id, _) in &ids[..1_000] {
        c.facts(*id).await.unwrap();
    }
    say("facts read, one after the other", 1_000, started);

    for text in [
        "",
        "call",
        "call tag:\"room 7\"",
        "\"7 call 77\"",
        "nothing",
        "ca* -tag:call",
        "state:accepted",
        "77",
    ] {
        let query = text.parse().unwrap();
        let mut took: Vec<_> = Vec::new();
        for _ in 0..40 {
            let started = Instant::now();
            c.search(&query, 50, None).await.unwrap();
            took.push(started.elapsed());
        }
        took.sort();
        println!("search {text:20} median {:?}, slowest {:?}", took[20], took[39]);
    }
}

async fn each<T>(at_once: usize, of: &[T], does: impl AsyncFn(&T)) {
    stream::iter(of).for_each_concurrent(at_once, async |it| does(it).await).await;
}

fn say(what: &str, n: usize, started: Instant) {
    println!(
        "{:>8.0}/s  {what} ({n} in {:.1?})",
        n as f64 / started.elapsed().as_secs_f64(),
        started.elapsed()
    );
}
