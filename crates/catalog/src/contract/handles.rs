use std::{collections::BTreeSet, sync::Arc};

use domain::{JobState, State};

use super::{Fixture, kit::*};

pub async fn two_handles_see_and_fence_one_another(f: &Fixture) {
    let (one, two) = (&*f.catalog, &*(f.again)().await);
    let (it, spec) = with_probe(one, "a.mp4").await;
    assert_eq!(get(two, it.id).await, it);
    let old = claim(one, &spec, "one", T0).await;
    let new = claim(two, &spec, "two", later(60)).await;
    let refused = one.record(&old, &probed("x"), later(60)).await.unwrap_err();
    assert_eq!(refused.kind(), crate::Kind::LeaseLost);
    two.record(&new, &probed("y"), later(60)).await.unwrap();
    assert_eq!(get(one, it.id).await.media().unwrap().claimed_title.as_deref(), Some("y"));
}

/// As `up` and `ingest` do: one takes in, both decide and work, and nothing is lost or done twice.
pub async fn two_handles_write_at_the_same_time(f: &Fixture) {
    const EACH: usize = 40;
    let second = (f.again)().await;
    let mut tasks = Vec::new();
    for (n, catalog) in [&f.catalog, &second, &f.catalog, &second].into_iter().enumerate() {
        let catalog = Arc::clone(catalog);
        tasks.push(tokio::spawn(async move {
            let mut done = 0;
            for i in 0..EACH {
                // Half of the names are taken in by everybody.
                let name = if i % 2 == 0 { format!("shared/{i}.mp4") } else { format!("{n}/{i}.mp4") };
                let it = accept(&*catalog, &recording(&name)).await;
                let spec = probe_of(&it);
                if facts(&*catalog, it.id).await.done.is_empty() {
                    settle(&*catalog, it.id, processing(vec![spec.clone()]), T0).await;
                }
                let Some(held) = catalog.claim(spec.id, &format!("w{n}"), T0, TTL).await.unwrap() else {
                    continue;
                };
                catalog.renew(&held, T0, TTL, None).await.unwrap();
                catalog.record(&held, &probed(&name), T0).await.unwrap();
                catalog.search(&"mp4 type:video".parse().unwrap(), 5, None).await.unwrap();
                done += 1;
            }
            done
        }));
    }
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap();
    }
    let all = EACH / 2 + 4 * (EACH / 2);
    // One that lost the race to settle may have left its job to be asked for again.
    let asked = f.catalog.jobs(&Default::default(), 1_000).await.unwrap();
    let finished: BTreeSet<_> =
        asked.iter().filter(|j| j.state == JobState::Done).map(|j| j.spec.id).collect();
    assert_eq!(finished.len(), done, "each job was done by one");
    assert!(asked.iter().all(|j| j.attempts <= 1), "{asked:?}");
    let counts = f.catalog.counts().await.unwrap();
    assert_eq!(counts.recordings.values().sum::<u64>(), all as u64);
    assert_eq!(counts.recordings[&State::Accepted] + counts.recordings[&State::Processing], all as u64);
    assert_eq!(counts.bytes, all as u64 * 1_000);
}
