//! The model test: policies and histories by chance, played by the real flow and judged by a small model that knows nothing
//! of how it is done. What fails is made as short as can be, and told as a policy file and a history.
//!
//! `VIDEOREC_MODEL_CASES` says how many; the slow proof of the nightly build is the same test with a larger number.
//! `VIDEOREC_MODEL_SEED` (of a failure before) plays the same again; `VIDEOREC_MODEL_SHRINKS` says how often a shorter one is
//! tried.

mod calm;
mod chance;
mod history;
mod judge;
mod known;
mod law;
mod life;
mod look;
#[path = "../support/mod.rs"]
mod support;
mod turns;
mod world;

use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

/// Enough to meet every verb a few times, within a minute on two cores.
const CASES: u32 = 60;
const THREADS: u32 = 2;

/// Promise 8, with 1, 2, 3 and 11, over every verb: whatever the policy, whatever happens.
#[test]
fn whatever_happens_the_promises_hold() {
    let cases = number("VIDEOREC_MODEL_CASES").map_or(CASES, |n| u32::try_from(n).unwrap_or(u32::MAX));
    let seed = number("VIDEOREC_MODEL_SEED").unwrap_or_else(|| RandomState::new().hash_one("chance"));
    let failed = AtomicBool::new(false);
    let met = Mutex::new(BTreeMap::new());
    let found: Vec<String> = thread::scope(|scope| {
        let some = (0..u64::from(THREADS)).map(|n| {
            let (failed, met) = (&failed, &met);
            scope.spawn(move || search(cases.div_ceil(THREADS), seed.wrapping_add(n), failed, met))
        });
        let some: Vec<_> = some.collect();
        some.into_iter().filter_map(|s| s.join().expect("it tells what it finds")).collect()
    });
    println!("{cases} cases met {:#?}", met.lock().unwrap());
    assert!(found.is_empty(), "VIDEOREC_MODEL_SEED={seed}\n\n{}", found.join("\n\n"));
}

/// The shortest case that fails, told.
fn search(cases: u32, seed: u64, failed: &AtomicBool, met: &Mutex<BTreeMap<String, u32>>) -> Option<String> {
    let max_shrink_iters =
        number("VIDEOREC_MODEL_SHRINKS").map_or(600, |n| u32::try_from(n).unwrap_or(u32::MAX));
    let config = Config { cases, failure_persistence: None, max_shrink_iters, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let mine = AtomicBool::new(false);
    let outcome = runner.run(&chance::case(), |case| {
        // The other has found one: that is enough.
        if failed.load(Ordering::SeqCst) && !mine.load(Ordering::SeqCst) {
            return Ok(());
        }
        let played = world::play(&case).map_err(|why| {
            failed.store(true, Ordering::SeqCst);
            mine.store(true, Ordering::SeqCst);
            TestCaseError::fail(why)
        })?;
        let mut met = met.lock().expect("nobody panics with it");
        played.into_iter().for_each(|(what, n)| *met.entry(what).or_default() += n);
        Ok(())
    });
    match outcome {
        Ok(()) => None,
        Err(TestError::Fail(why, case)) => Some(format!("{why}\n\n{case}")),
        Err(TestError::Abort(why)) => Some(why.to_string()),
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
