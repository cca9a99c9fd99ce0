use std::{hint::black_box, time::Instant};

use domain::{Facts, Usage};

use crate::support::*;

/// `cargo test --release -p policy -- --ignored --nocapture rate`: decisions a second on one core, for the plan
/// that looks at millions of recordings.
#[test]
#[ignore = "a measurement, not a check"]
fn rate() {
    let policy = default_policy();
    let new = facts(recording(domain::Kind::Recording, "cam/1.mp4"));
    let asked = probed("cam/1.mp4", good(video_and_sound()));
    let mut done = asked.clone();
    let decision = decide(&policy, &done, ACCEPTED);
    all_done(&mut done, &decision);
    let mut unmatched = asked.clone();
    unmatched.recording.kind = domain::Kind::Track;
    let call = session(vec![("a", Some(good(sound()))), ("b", Some(good(sound())))]);
    for (name, facts) in
        [("new", new), ("asked", asked), ("done", done), ("unmatched", unmatched), ("call", call)]
    {
        let rate = measure(&policy, &facts);
        println!("{name}: {rate:.0}/s");
    }
}

fn measure(policy: &policy::Policy, facts: &Facts) -> f64 {
    let usage = Usage::default();
    let started = Instant::now();
    let mut n = 0u32;
    while started.elapsed().as_millis() < 500 {
        for _ in 0..100 {
            black_box(policy::decide(black_box(policy), black_box(facts), &usage, ACCEPTED));
        }
        n += 100;
    }
    f64::from(n) / started.elapsed().as_secs_f64()
}
