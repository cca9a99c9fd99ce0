//! Many processes on one PostgreSQL database: nothing is lost, done twice or in one another's way.
#![cfg(feature = "postgres")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use catalog::{
    Catalog, Change, Changed, Deciding, Postgres, Purging, Query, Settled, Trashed, Trashing,
    contract::{Record as _, T0, making, recording},
    postgres::Options,
};
use domain::{
    Action, Alert, Copy, DeletionLimit, Facts, JobState, Lane, NewRecording, Outcome, RecordingId, Rendition,
    RenditionFile, Role, Severity, State, Trash,
};
use support::{TTL, asking_for, job_of, later, probe_of, probed, session};
use testbed::Postgres as Server;

async fn handles(url: &str, n: usize) -> Vec<Arc<Postgres>> {
    let options = Options { connections: 3, ..Options::default() };
    let all = (0..n).map(|_| async { Arc::new(Postgres::connect(url, &options).await.unwrap()) });
    futures::future::join_all(all).await
}

/// How often the server had to end somebody's transaction because two waited for one another. Attempts are made
/// again, so that nobody else would notice.
async fn deadlocks(url: &str, handles: Vec<Arc<Postgres>>) -> i64 {
    // What a connection has counted is known once it is closed.
    for handle in handles {
        handle.close().await;
    }
    let name = url.rsplit('/').next().unwrap();
    let count = format!("SELECT deadlocks FROM pg_stat_database WHERE datname = '{name}'");
    Server::shared().psql("postgres", &count).parse().unwrap()
}

/// Twenty processes may start at once on a database that has no tables yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_database_is_made_once() {
    let url = Server::shared().database();
    let tasks = (0..20).map(|n| {
        let url = url.clone();
        tokio::spawn(async move {
            let options = Options { connections: 2, ..Options::default() };
            let catalog = Postgres::connect(&url, &options).await.unwrap();
            catalog.accept(&[recording(&format!("{n}.mp4"))], T0).await.unwrap();
            catalog.close().await;
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let all = handles(&url, 1).await;
    assert_eq!(all[0].search(&Query::default(), 99, None).await.unwrap().hits.len(), 20);
}

const SESSIONS: usize = 8;
const TRACKS: usize = 3;

/// All that several workers have in common: sessions, their tracks, and recordings of the same date.
fn shared() -> Vec<NewRecording> {
    let mut all = Vec::new();
    for s in 0..SESSIONS {
        let tracks: Vec<String> = (0..TRACKS).map(|t| format!("call{s}/{t}.webm")).collect();
        all.push(session(&format!("call{s}/session.json"), &tracks));
        all.extend(tracks.iter().map(|name| recording(name)));
    }
    all
}

/// The same work from every side at once, in a different order each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_processes_work_on_the_same_recordings() {
    const HANDLES: usize = 8;
    let url = Server::shared().database();
    let all = handles(&url, HANDLES).await;
    let done = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = all
        .iter()
        .enumerate()
        .map(|(n, catalog)| tokio::spawn(work_through(n, Arc::clone(catalog), Arc::clone(&done))))
        .collect();
    for task in tasks {
        task.await.unwrap();
    }

    let catalog = &all[0];
    let jobs = catalog.jobs(&Default::default(), 10_000).await.unwrap();
    let finished = jobs.iter().filter(|j| j.state == JobState::Done).count();
    assert_eq!(finished, done.load(Ordering::SeqCst), "each job was done by one");
    assert!(finished > SESSIONS * TRACKS * 3);
    assert!(jobs.iter().all(|j| j.attempts <= 1), "{jobs:?}");
    let mut bytes: BTreeMap<String, u64> = BTreeMap::new();
    for it in shared() {
        let facts = catalog.facts(it.id).await.unwrap().unwrap();
        assert_eq!(facts.tracks.len(), it.tracks.len());
        assert!(facts.tracks.iter().all(|t| t.recording.is_some()), "{}", it.name);
        assert_eq!(facts.recording.kind == domain::Kind::Track, facts.recording.session.is_some());
        *bytes.entry(it.store).or_default() += it.digest.size;
        for file in facts.renditions.iter().flat_map(|r| &r.files) {
            *bytes.entry(file.store.clone()).or_default() += file.digest.size;
        }
        for copy in &facts.copies {
            *bytes.entry(copy.store.clone()).or_default() += copy.digest.size;
        }
        let found = catalog.search(&format!("name:\"{}\"", it.name).parse().unwrap(), 9, None).await.unwrap();
        assert_eq!(found.hits, [facts.recording]);
    }
    assert_eq!(catalog.usage().await.unwrap().bytes, bytes);
    assert_eq!(bytes.len(), 3);
    // No writer has taken another's place in the log.
    let audit = catalog.audit_verify().await.unwrap();
    assert_eq!((audit.first_bad, audit.unchained), (None, 0));
    assert_eq!(audit.entries, catalog.audit(None, u32::MAX).await.unwrap().len() as u64);
    assert_eq!(deadlocks(&url, all).await, 0);
}

async fn work_through(n: usize, catalog: Arc<Postgres>, done: Arc<AtomicUsize>) {
    let mut own = shared();
    // From another place, forwards or backwards, and in batches of another size.
    own.rotate_left(n * 5 % (SESSIONS * (TRACKS + 1)));
    if n % 2 == 1 {
        own.reverse();
    }
    for batch in own.chunks(1 + n * 3) {
        catalog.accept(batch, T0).await.unwrap();
        catalog.accept(&batch[..1], T0).await.unwrap();
        // Manifests are written anew, which concerns their tracks.
        let mut again = batch.to_vec();
        again.retain(|it| it.kind == domain::Kind::Session);
        for it in &mut again {
            it.version = format!("{n}");
            it.digest.sha256 = catalog::contract::sha256(&it.version);
        }
        catalog.accept(&again, T0).await.unwrap();
        let mut settle = Vec::new();
        for it in batch {
            let facts = catalog.facts(it.id).await.unwrap().unwrap();
            let jobs =
                jobs_of(it.id, &it.version).into_iter().filter(|j| !facts.done.contains(&j.id)).collect();
            settle.push(asking_for(jobs, it.id, facts.recording.revision));
        }
        for settled in catalog.settle(&settle, "p", T0).await.unwrap() {
            assert_ne!(settled, Settled::OtherPolicy);
        }
        for it in batch {
            for job in jobs_of(it.id, &it.version) {
                let Some(held) = catalog.claim(job.id, &format!("w{n}"), T0, TTL).await.unwrap() else {
                    continue;
                };
                catalog.renew(&held, T0, TTL, None).await.unwrap();
                let outcome = outcome_of(it, &held.job.spec.action);
                if n.is_multiple_of(2) {
                    catalog.record(&held, &outcome, T0).await.unwrap();
                } else {
                    let decide = |facts: &Facts| {
                        let it = &facts.recording;
                        let mut jobs = jobs_of(it.id, &it.version);
                        jobs.retain(|j| !facts.done.contains(&j.id));
                        asking_for(jobs, it.id, it.revision)
                    };
                    let by = Deciding { policy: "p", decide: &decide };
                    assert!(catalog.conclude(&held, &outcome, &by, T0).await.unwrap());
                }
                done.fetch_add(1, Ordering::SeqCst);
            }
            catalog.note(it.id, "w", "seen", serde_json::json!({ "by": n }), T0).await.unwrap();
        }
        catalog.offer(Lane::Bulk, T0, 5, None).await.unwrap();
        catalog.retry(catalog::Retry::AllParked, T0).await.unwrap();
    }
}

fn jobs_of(id: RecordingId, version: &str) -> Vec<domain::JobSpec> {
    let actions = [
        Action::Probe,
        Action::Backup { store: "replica".into() },
        making(),
        Action::Tag { add: BTreeSet::from(["seen".to_owned()]) },
    ];
    actions.map(|action| job_of(id, version, action)).into()
}

fn outcome_of(it: &NewRecording, action: &Action) -> Outcome {
    let job = action.job_id(it.id, &it.version);
    match action {
        Action::Probe => probed(),
        Action::Tag { add } => Outcome::Tagged { tags: add.clone() },
        // The same bytes from every recording, in another order: black pictures are all alike.
        Action::Convert { .. } => {
            let mut files: Vec<_> = ["black", "silence", "poster"]
                .map(|bytes| RenditionFile {
                    role: Role::Poster,
                    store: "outputs".into(),
                    key: format!("{}/{bytes}", it.id),
                    digest: domain::Digest { sha256: catalog::contract::sha256(bytes), ..it.digest },
                })
                .into();
            files.rotate_left(it.name.len() % 3);
            Outcome::Rendered {
                rendition: Rendition {
                    recording: it.id,
                    name: "poster".into(),
                    job,
                    files,
                    facts: None,
                    choices: Vec::new(),
                    partial: None,
                    made_at: T0,
                },
            }
        }
        _ => Outcome::Copied {
            copy: Copy {
                recording: it.id,
                store: "replica".into(),
                key: "copy".into(),
                version: it.version.clone(),
                digest: it.digest,
                verified_at: T0,
                bad: None,
                until: None,
            },
        },
    }
}

/// Whichever comes first, and also when neither does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_and_its_tracks_that_come_at_once_find_one_another() {
    let url = Server::shared().database();
    let all = handles(&url, 3).await;
    for round in 0..60 {
        let tracks = [format!("{round}/a.webm"), format!("{round}/b.webm")];
        let call = session(&format!("{round}/session.json"), &tracks);
        let id = call.id;
        let batches = [vec![call], vec![recording(&tracks[0])], vec![recording(&tracks[1])]];
        let tasks: Vec<_> = all
            .iter()
            .cloned()
            .zip(batches)
            .map(|(catalog, batch)| tokio::spawn(async move { catalog.accept(&batch, T0).await.unwrap() }))
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let facts = all[round % 3].facts(id).await.unwrap().unwrap();
        assert!(facts.tracks.iter().all(|t| t.recording.is_some()), "{round}: {facts:?}");
    }
    assert_eq!(deadlocks(&url, all).await, 0);
}

/// Batches of the same moment, and of the same recordings in another order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recordings_of_one_date_come_from_everywhere() {
    let url = Server::shared().database();
    let all = handles(&url, 8).await;
    let tasks: Vec<_> = all
        .iter()
        .cloned()
        .enumerate()
        .map(|(n, catalog)| {
            tokio::spawn(async move {
                let mut new = 0;
                for round in 0..4 {
                    let mut batch: Vec<_> =
                        (0..50).map(|i| recording(&format!("everybody/{round}/{i}.mp4"))).collect();
                    batch.extend((0..50).map(|i| recording(&format!("{n}/{round}/{i}.mp4"))));
                    batch.rotate_left(n * 13);
                    let accepted = catalog.accept(&batch, T0).await.unwrap();
                    new += accepted.iter().filter(|a| a.new).count();
                }
                new
            })
        })
        .collect();
    let mut new = 0;
    for task in tasks {
        new += task.await.unwrap();
    }
    assert_eq!(new, 4 * 50 + 8 * 4 * 50, "each is new to one of them");
    assert_eq!(all[0].counts().await.unwrap().recordings[&State::Accepted], new as u64);
    assert_eq!(all[0].counts().await.unwrap().bytes, new as u64 * 1_000);
    assert_eq!(deadlocks(&url, all).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_ready_is_offered_to_one() {
    let url = Server::shared().database();
    let all = handles(&url, 4).await;
    let batch: Vec<_> = (0..300).map(|n| recording(&format!("{n}.mp4"))).collect();
    let accepted = all[0].accept(&batch, T0).await.unwrap();
    let settle: Vec<_> = accepted
        .iter()
        .map(|it| asking_for(vec![probe_of(it.recording.id, &it.recording.version)], it.recording.id, 1))
        .collect();
    all[0].settle(&settle, "p", T0).await.unwrap();
    let tasks: Vec<_> = all
        .iter()
        .cloned()
        .map(|catalog| {
            tokio::spawn(async move {
                let mut got = Vec::new();
                // Whoever finds nothing may have met others who had it all in hand.
                let mut nothing = 0;
                while nothing < 3 {
                    let jobs = catalog.offer(Lane::Bulk, T0, 7, Some(T0)).await.unwrap();
                    nothing = if jobs.is_empty() { nothing + 1 } else { 0 };
                    got.extend(jobs);
                }
                got
            })
        })
        .collect();
    let mut got = Vec::new();
    for task in tasks {
        got.extend(task.await.unwrap());
    }
    assert_eq!((got.len(), got.iter().collect::<BTreeSet<_>>().len()), (300, 300));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_news_from_everywhere_is_told_once() {
    let url = Server::shared().database();
    let all = handles(&url, 8).await;
    let news = |key: &str| Alert {
        key: key.into(),
        severity: Severity::Critical,
        service: "convert".into(),
        subject: "the disk is full".into(),
        cause: String::new(),
        next: String::new(),
        recording: None,
        at: T0,
    };
    let mut keys = ["disk", "network", "policy", "queue"];
    let tasks: Vec<_> = all
        .iter()
        .cloned()
        .map(|catalog| {
            keys.rotate_left(1);
            let alerts = keys.map(news);
            tokio::spawn(async move { catalog.raise(&alerts).await.unwrap() })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let told: Vec<String> = all[0].unsent(99).await.unwrap().into_iter().map(|(_, a)| a.key).collect();
    assert_eq!((told.len(), told.iter().collect::<BTreeSet<_>>().len()), (4, 4), "{told:?}");
    assert_eq!(deadlocks(&url, all).await, 0);
}

/// A policy comes into force while others still decide by the former one: whatever they settled is looked at again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_decision_of_a_former_policy_outlives_it() {
    const POLICIES: usize = 25;
    let url = Server::shared().database();
    let all = handles(&url, 4).await;
    let batch: Vec<_> = (0..40).map(|n| recording(&format!("{n}.mp4"))).collect();
    let ids: Vec<RecordingId> = batch.iter().map(|it| it.id).collect();
    all[0].accept(&batch, T0).await.unwrap();
    all[0].policy_in_force("0", T0).await.unwrap();
    let policy = Arc::new(AtomicUsize::new(0));
    let deciders: Vec<_> = all[1..]
        .iter()
        .cloned()
        .enumerate()
        .map(|(n, catalog)| {
            let (policy, ids) = (Arc::clone(&policy), ids.clone());
            tokio::spawn(async move {
                let (mut refused, mut round) = (0, n);
                loop {
                    let read = policy.load(Ordering::SeqCst);
                    let mut batch = Vec::new();
                    for id in ids.iter().cycle().skip(round * 7 % 40).take(9) {
                        let facts = catalog.facts(*id).await.unwrap().unwrap();
                        let mut settle = asking_for(vec![], *id, facts.recording.revision);
                        settle.decision.reason = read.to_string();
                        batch.push(settle);
                    }
                    let settled = catalog.settle(&batch, &read.to_string(), later(1)).await.unwrap();
                    refused += settled.iter().filter(|s| **s == Settled::OtherPolicy).count();
                    if read == POLICIES {
                        return refused;
                    }
                    round += 1;
                }
            })
        })
        .collect();
    for next in 1..=POLICIES {
        assert!(all[0].policy_in_force(&next.to_string(), T0).await.unwrap());
        // Nobody has read the new one yet, and whoever still settles by the former one is done in a moment.
        tokio::time::sleep(Duration::from_millis(15)).await;
        let dirty: BTreeSet<_> = all[0].to_decide(T0, None, 99).await.unwrap().into_iter().collect();
        let settled: Vec<_> = ids.iter().filter(|id| !dirty.contains(id)).collect();
        assert!(settled.is_empty(), "{settled:?} were decided by a policy before {next}");
        policy.store(next, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    let mut refused = 0;
    for decider in deciders {
        refused += decider.await.unwrap();
    }
    assert!(refused > 0, "they did meet");
    assert_eq!(deadlocks(&url, all).await, 0);
}

/// Promise 8: a deletion run is bounded. Here: also when several run at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletions_at_once_stay_within_the_limit_together() {
    let url = Server::shared().database();
    let all = handles(&url, 6).await;
    let batch: Vec<_> = (0..60).map(|n| recording(&format!("{n}.mp4"))).collect();
    all[0].accept(&batch, T0).await.unwrap();
    let limit = DeletionLimit { permille: 0, floor: 17, bytes: None };
    let tasks: Vec<_> = all
        .iter()
        .cloned()
        .zip(batch.chunks(10))
        .map(|(catalog, mine)| {
            let items: Vec<_> = mine.iter().map(trashing).collect();
            tokio::spawn(async move {
                let mut went = 0;
                for some in items.chunks(2) {
                    match catalog.trash(some, &limit, T0).await.unwrap() {
                        Trashed::Done { trashed, drifted } => {
                            assert_eq!((trashed.len(), drifted), (2, vec![]));
                            went += 2;
                        }
                        Trashed::Over(over) => assert_eq!((over.already, over.allowed), (16, 17)),
                    }
                }
                went
            })
        })
        .collect();
    let mut went = 0;
    for task in tasks {
        went += task.await.unwrap();
    }
    assert_eq!((went, all[0].counts().await.unwrap().recordings[&State::Trashed]), (16, 16));
    assert_eq!(deadlocks(&url, all).await, 0);
}

fn trashing(it: &NewRecording) -> Trashing {
    let trash = Trash {
        at: T0,
        until: T0,
        rule: "old".into(),
        reason: "it is old".into(),
        by: "w".into(),
        purging: None,
    };
    Trashing { id: it.id, revision: 1, trash }
}

/// Promise 2: a hold is absolute: checked again in the instant of deleting. Here: whoever was told that it is held never
/// sees it go, also when both come in the same instant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_and_a_purge_at_once_exclude_one_another() {
    let url = Server::shared().database();
    let all = handles(&url, 4).await;
    let (mut held, mut went) = (0, 0);
    for round in 0..60 {
        let mut call = session(&format!("{round}/session.json"), &[format!("{round}/a.webm")]);
        call.id = RecordingId::derive(&[b"call", &[round]]);
        let track = recording(&format!("{round}/a.webm"));
        let c = &all[0];
        c.accept(&[call.clone(), track.clone()], T0).await.unwrap();
        let limit = DeletionLimit { permille: 1_000, floor: 999, bytes: None };
        c.trash(&[trashing(&track)], &limit, T0).await.unwrap();
        let it = c.get(track.id).await.unwrap().unwrap();
        let job = job_of(it.id, &it.version, Action::Purge { life: 0 });
        c.settle(&[asking_for(vec![job.clone()], it.id, it.revision)], "p", T0).await.unwrap();
        let claim = c.claim(job.id, "w", T0, TTL).await.unwrap().unwrap();
        // Half of them by way of the session.
        let whom = if round % 2 == 0 { track.id } else { call.id };
        let hold = Change::Hold { name: "case".into(), reason: "x".into() };
        let (one, two) = (Arc::clone(&all[1]), Arc::clone(&all[2]));
        let holds = tokio::spawn(async move { one.custody(&[whom], &hold, "user", T0).await.unwrap() });
        let purges = tokio::spawn(async move { two.begin_purge(&claim, T0).await.unwrap() });
        let (holds, purges) = (holds.await.unwrap(), purges.await.unwrap());
        let it = c.get(track.id).await.unwrap().unwrap();
        let goes = matches!(purges, Purging::Go(_));
        assert_ne!(goes, !it.custody.holds.is_empty(), "{holds:?} {purges:?}");
        assert!(whom == call.id || goes != (holds[0] == Changed::Yes), "{holds:?} {purges:?}");
        *(if goes { &mut went } else { &mut held }) += 1;
    }
    assert!(held > 0 && went > 0, "they did meet: {held} {went}");
    assert_eq!(deadlocks(&url, all).await, 0);
}
