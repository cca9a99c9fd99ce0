use std::{hint::black_box, time::Instant};

use domain::{Facts, Timestamp, Usage};

use crate::support::*;

/// `cargo test --release -p policy -- --ignored --nocapture rate`: decisions a second on one core, for the plan
/// that looks at millions of recordings. Wanted: 500,000 without an expression, 150,000 with one. `RATE=exports` narrows it
/// to the cases of that name, for a profiler.
#[test]
#[ignore = "a measurement, not a check"]
fn rate() {
    let only = std::env::var("RATE").ok();
    let large = Box::leak(large().into_boxed_str());
    let policies = [
        ("default", policy::DEFAULT.to_owned()),
        ("delete and archive", CUSTODY.to_owned()),
        ("one expression", format!("{CUSTODY}  - {{ name: cel, match: all, when: '{CEL}', hold: busy }}\n")),
        ("exports", format!("{CUSTODY}{EXPORTS}")),
        ("20 rules, 5 expressions", large.to_owned()),
    ];
    for (what, text) in policies {
        let policy = policy::parse(&text).unwrap_or_else(|problems| panic!("{problems}"));
        let new = facts(recording(domain::Kind::Recording, "cam/1.mp4"));
        let asked = probed("cam/1.mp4", good(video_and_sound()));
        let mut done = asked.clone();
        done.copies.push(copy_in(&done, "replica"));
        let decision = decide(&policy, &done, ACCEPTED);
        all_done(&mut done, &decision);
        let mut unmatched = asked.clone();
        unmatched.recording.kind = domain::Kind::Track;
        let call = session(vec![("a", Some(good(sound()))), ("b", Some(good(sound())))]);
        let old = Timestamp(ACCEPTED.0 + 400 * DAY);
        for (name, facts, now) in [
            ("new", &new, ACCEPTED),
            ("asked", &asked, ACCEPTED),
            ("done", &done, ACCEPTED),
            ("old", &done, old),
            ("unmatched", &unmatched, ACCEPTED),
            ("call", &call, ACCEPTED),
        ] {
            let case = format!("{what}: {name}");
            if only.as_ref().is_none_or(|only| case.contains(only.as_str())) {
                println!("{case}: {:.0}/s", measure(&policy, facts, now));
            }
        }
    }
}

const CUSTODY: &str = "version: 1
stores: { replica: { url: /mnt/replica }, replica-two: { url: /mnt/two } }
protect: { copies: { min: 2 } }
rules:
  - { name: safe, match: all, backup: replica }
  - { name: cold, match: { age: '>=30d', size: '>=1MB' }, archive: DEEP_ARCHIVE }
  - { name: gone, match: { age: '>=3650d' }, delete: {} }
  - { name: court, match: { tags: court }, hold: litigation }
";
const EXPORTS: &str = "  - { name: out, match: all, export: replica }
  - { name: by the way that is open, match: { kind: recording }, export: { to: [replica, replica-two] } }
";
const CEL: &str =
    "recording.size > 1000000000 && recording.name.startsWith(\"cam/\") || \"x\" in recording.tags";

fn large() -> String {
    let mut text = CUSTODY.to_owned();
    for i in 0..11 {
        text +=
            &format!("  - {{ name: n{i}, match: {{ prefix: p{i}/, type: video/* }}, convert: mp4-720p }}\n");
    }
    for i in 0..5 {
        text += &format!("  - {{ name: c{i}, match: {{ kind: recording }}, when: '{CEL}', tag: t{i} }}\n");
    }
    text
}

/// By the processor's time and not the clock's, since other work may run beside it.
fn measure(policy: &policy::Policy, facts: &Facts, now: Timestamp) -> f64 {
    let usage = Usage::default();
    let (started, busy) = (Instant::now(), processor_ns());
    let mut n = 0u32;
    while started.elapsed().as_millis() < 300 {
        for _ in 0..100 {
            black_box(policy::decide(black_box(policy), black_box(facts), &usage, now));
        }
        n += 100;
    }
    let ns = match (busy, processor_ns()) {
        (Some(before), Some(after)) if after > before => (after - before) as f64,
        _ => started.elapsed().as_nanos() as f64,
    };
    f64::from(n) * 1e9 / ns
}

/// Nanoseconds that this thread has run, where the system tells.
fn processor_ns() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}
