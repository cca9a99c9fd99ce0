use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{Size, median, ratio, work};
use crate::run::{root, target};

/// Twenty rules, five of them with an expression; none of them finds nothing, and few find much.
fn policy() -> String {
    let mut text = "version: 1\nprotect: { deletion: { max_percent: 100 } }\nrules:\n".to_owned();
    for n in 0..10 {
        text.push_str(&format!(
            "  - {{ name: cam {n}, match: {{ prefix: cam{n}/, size: \">=1MB\" }}, tag: [large] }}\n"
        ));
    }
    for days in [10, 100, 300, 500, 900] {
        text.push_str(&format!(
            "  - {{ name: court {days}, match: {{ tags: [court], age: \">={days}d\" }}, hold: {{ reason: litigation }} }}\n"
        ));
    }
    for days in [800, 850, 900, 950, 1000] {
        text.push_str(&format!(
            "  - {{ name: gone {days}, match: {{ age: \">={days}d\" }}, when: 'recording.size > 39000000 && \
             !recording.name.startsWith(\"cam1\")', delete: {{}} }}\n"
        ));
    }
    text
}

/// `plan` over a million recordings, on both databases, beside a plain script over the same rows and Cloud Custodian's
/// filters.
pub fn run(size: Size) -> Result<(), String> {
    let count: u64 = size.of(1_000_000, 20_000);
    let folder = work::folder("plan")?;
    let library = work::library(&folder, &policy())?;
    let seed = folder.join("seed.txt");
    fs::write(&seed, "what all of them are made of").map_err(|e| e.to_string())?;
    // It is no media, and says so by its exit code.
    let _ = work::videorec(&library, &["ingest", &seed.display().to_string()]).status();
    let catalog = library.join(".videorec/catalog.db");
    // PostgreSQL reads it by itself, under another user perhaps.
    let tsv = std::env::temp_dir().join(format!("videorec-bench-{}.tsv", std::process::id()));
    python("c7n", &["fill", &shown(&catalog), &count.to_string(), &shown(&tsv)])?;

    let rounds = size.of(3, 1);
    let (mut plans, mut scripts, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (seconds, peak) = plan(work::videorec(&library, &["plan"]))?;
        plans.push(seconds);
        peaks.push(peak);
        scripts.push(python("c7n", &["rows", &shown(&catalog)])?);
    }
    let custodian_of = count / 10;
    let custodian = python("c7n", &["custodian", &shown(&catalog), &custodian_of.to_string()])?;
    println!("runs, s: plan {plans:.2?}, plain Python {scripts:.2?}");
    println!(
        "Cloud Custodian over {custodian_of} of them: {custodian:.2} s, so {:.1} s over all (it holds no million dicts here)",
        custodian * 10.0
    );
    let (plan_s, peak) = (median(&plans), median(&peaks));
    ratio("plan on SQLite, s", plan_s, "<= 5", plan_s <= 5.0);
    ratio("peak resident memory on SQLite, MB", peak, "<= 200", peak <= 200.0);
    ratio("plain Python / plan", median(&scripts) / plan_s, "> 1", median(&scripts) > plan_s);
    ratio("Cloud Custodian / plan", custodian * 10.0 / plan_s, "> 1", custodian * 10.0 > plan_s);

    let on_postgres = postgres(&folder, &tsv);
    let _ = fs::remove_file(&tsv);
    on_postgres
}

fn postgres(folder: &Path, tsv: &Path) -> Result<(), String> {
    let server = testbed::Postgres::start();
    let url = server.database();
    let database = url.rsplit('/').next().unwrap_or_default();
    let ask = || {
        let mut command = Command::new(target().join("release/videorec"));
        command.args(["plan", "--policy"]).arg(folder.join("library/policy.yaml"));
        command.env("VIDEOREC_CATALOG", &url).env_remove("VIDEOREC_LIBRARY");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        command
    };
    // Makes the tables.
    plan(ask())?;
    let columns = "rid, id, kind, name, title, store, key, version, size, sha256, crc64, accepted_at, recorded_at, tags, session, \
                   state, reason, revision, media_type, duration_ms, probe, custody, verified_at";
    server.psql(database, &format!("COPY recording ({columns}) FROM '{}'; ANALYZE;", tsv.display()));
    let (mut plans, mut peaks) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (seconds, peak) = plan(ask())?;
        plans.push(seconds);
        peaks.push(peak);
    }
    println!("runs on PostgreSQL, s: {plans:.2?}");
    ratio("plan on PostgreSQL, s", median(&plans), "<= 5", median(&plans) <= 5.0);
    ratio("peak resident memory on PostgreSQL, MB", median(&peaks), "<= 200", median(&peaks) <= 200.0);
    Ok(())
}

fn plan(mut command: Command) -> Result<(f64, f64), String> {
    let started = Instant::now();
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    let peak = work::peak_rss(&mut child)?;
    Ok((started.elapsed().as_secs_f64(), peak))
}

/// What it prints as seconds; none where it prints nothing.
fn python(package: &str, args: &[&str]) -> Result<f64, String> {
    let script = root().join("crates/xtask/src/bench/plan.py");
    let mut command = Command::new(testbed::python_with(package));
    let out = command.arg(script).args(args).stderr(Stdio::inherit()).output().map_err(|e| e.to_string())?;
    if !out.status.success() {
        return Err(format!("plan.py {} failed", args[0]));
    }
    let text = String::from_utf8_lossy(&out.stdout);
    let seconds = text.split("\"seconds\": ").nth(1).and_then(|rest| rest.split([',', '}']).next());
    Ok(seconds.and_then(|s| s.parse().ok()).unwrap_or(Duration::ZERO.as_secs_f64()))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
