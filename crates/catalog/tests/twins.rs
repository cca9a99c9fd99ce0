//! PostgreSQL answers as SQLite does, whatever is done in whichever order: one writer at a time is the one definition
//! of what is right.
#![cfg(feature = "postgres")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::Duration,
};

use catalog::{
    Accepted, Batch, BatchId, BatchState, BatchStatus, Catalog, Change, Changed, Claim, Claimed, Deciding,
    Description, Eldest, Evicting, Hour, Known, Next, Places, Postgres, Purging, Retry, Sample, Settle,
    Settled, Sqlite, Trashed, Trashing,
    contract::{self, Record as _, T0, recording},
    postgres::Options,
};
use domain::{
    Action, Alert, Certificate, Copy, DeletionLimit, ExportSpec, Facts, Failure, JobId, JobSpec, Kind, Lane,
    Leaving, NameTemplate, NewRecording, Offer, Outcome, Place, Progress, Recording, RecordingId, Rendition,
    RenditionFile, Role, Severity, State, Timestamp, Track, Trash, Way, What,
};
use proptest::prelude::*;
use support::{TTL, job_of};

/// Few names, so that they meet; a letter's number is the way to write them down.
const NAMES: [&str; 7] = ["a.mp4", "b.mp4", "c.mp4", "s1.json", "s2.json", "s3.json", "d.mp4"];
const WORKERS: [&str; 2] = ["up-1", "ingest-1"];

/// What is done, as four numbers that each step reads in its own way.
type Step = (u8, u8, u8, u8);

#[test]
fn whatever_is_done_both_say_the_same() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut config = ProptestConfig::with_cases(40);
    (config.failure_persistence, config.max_shrink_iters) = (None, 300);
    proptest!(config, |(steps in prop::collection::vec(any::<Step>(), 20..100))| {
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let sqlite = Sqlite::open(&folder.path().join("c.sqlite")).await.unwrap();
            let url = testbed::Postgres::shared().database();
            let options = Options { connections: 2, ..Options::default() };
            let postgres = Postgres::connect(&url, &options).await.unwrap();
            let (mut one, mut two) = (Side::new(&sqlite), Side::new(&postgres));
            for (n, step) in steps.iter().enumerate() {
                let now = T0 + Duration::from_secs(20 * n as u64);
                let (a, b) = (one.take(*step, now).await, two.take(*step, now).await);
                prop_assert_eq!(a, b, "step {} {:?}", n, step);
            }
            let end = T0 + Duration::from_secs(20 * steps.len() as u64);
            let (a, b) = (one.stands(end).await, two.stands(end).await);
            prop_assert_eq!(a, b);
            sqlite.close().await;
            postgres.close().await;
            Ok(())
        })?;
    });
}

/// One catalog, and what its worker has in hand.
struct Side<'a> {
    catalog: &'a dyn Catalog,
    claims: Vec<Claim>,
}

/// What a step answers, without what each database counts in its own way.
#[derive(Debug, PartialEq)]
enum Said {
    Accepted(Vec<Accepted>),
    Settled(Vec<Settled>),
    /// What could be claimed, and what came of claiming one.
    Claimed(BTreeSet<JobId>, Claimed),
    Jobs(Vec<domain::JobId>),
    /// Whether it was decided, and on what.
    Concluded((bool, Vec<Facts>)),
    Number(u64),
    Yes(bool),
    Nothing,
    Many(Vec<String>),
    Trashed(Trashed),
    Changed(Vec<Changed>),
    Going(Going),
    Refused(catalog::Kind),
}

/// Whether bytes may go, and which.
#[derive(Debug, PartialEq)]
enum Going {
    All(Box<Facts>),
    One(Box<Copy>),
    Not(String),
}

#[derive(Debug, PartialEq)]
struct Standing {
    facts: Vec<Option<Facts>>,
    jobs: Vec<domain::Job>,
    audit: Vec<(Timestamp, String, String, Option<RecordingId>, serde_json::Value)>,
    counts: catalog::Counts,
    usage: domain::Usage,
    to_decide: Vec<RecordingId>,
    stirs: bool,
    waiting: BTreeMap<Lane, Timestamp>,
    alerts: BTreeSet<String>,
    known: Vec<Option<Known>>,
    offers: Vec<(RecordingId, Offer)>,
    certificates: Vec<Certificate>,
    versions: Vec<Option<String>>,
    eldest: Vec<Eldest>,
    batches: Vec<BatchStatus>,
    samples: Vec<Sample>,
    hourly: Vec<Hour>,
    sources: BTreeMap<String, Timestamp>,
    /// What is raised together is in no order.
    told: BTreeSet<(String, Timestamp, Option<Timestamp>, u32)>,
    found: Vec<BTreeSet<RecordingId>>,
}

/// Next week other recordings come under the same names.
fn id_of(n: u8) -> RecordingId {
    let week = [n / 7 % 2];
    RecordingId::derive(&[NAMES[usize::from(n) % NAMES.len()].as_bytes(), &week])
}

fn new(n: u8, how: u8, now: Timestamp) -> NewRecording {
    let id = id_of(n);
    let n = usize::from(n) % NAMES.len();
    let mut it = NewRecording { id, ..recording(NAMES[n]) };
    // Now and then the same bytes, written anew.
    it.version = format!("v{}{}", how % 3, if how & 132 == 132 { "'" } else { "" });
    it.digest = domain::Digest { size: 100 * u64::from(how % 3), ..it.digest };
    it.digest.sha256 = contract::sha256(&format!("{n}{}", how % 3));
    // Events may be late.
    it.accepted_at = if how & 8 == 0 { now } else { T0 };
    it.recorded_at = (how & 16 != 0).then_some(Timestamp(T0.0 - i64::from(how) * 1_000));
    if how & 64 == 0 {
        it.fields.set("case", &format!("A-{}", how % 3)).unwrap();
    }
    it.tags = if how & 32 == 0 { BTreeSet::new() } else { [format!("tag{}", how % 2)].into() };
    it.store = ["library", "second"][usize::from(how & 64 != 0)].into();
    it.title = ["Weekly call", "Ana's talk"][usize::from(how & 1)].into();
    if NAMES[n].ends_with("json") {
        it.kind = Kind::Session;
        it.tracks = (0..4)
            .filter(|bit| how >> bit & 1 == 1)
            .map(|bit| Track {
                name: NAMES[[0, 1, 2, 6][bit]].into(),
                participant: format!("Person {}", how % 4),
                offset_ms: u64::from(how),
                leave_ms: (how & 2 != 0).then_some(7),
            })
            .collect();
    } else if how.is_multiple_of(11) {
        (it.kind, it.session) = (Kind::Track, Some(id_of(4)));
    }
    it
}

fn jobs_of(it: &Recording, which: u8) -> Vec<JobSpec> {
    let actions = [
        Action::Probe,
        Action::Backup { store: "replica".into() },
        contract::making(),
        Action::Tag { add: ["tag1".to_owned()].into() },
        // Lanes have this one.
        Action::Probe,
        Action::Move { store: "second".into(), from: it.store.clone(), keep_ms: 5 },
        Action::Evict { store: ["replica", "library"][usize::from(which) % 2].into(), made: T0 },
        Action::Verify { store: ["replica", "library"][usize::from(which) % 2].into(), last: T0 },
        Action::Archive { class: "GLACIER".into(), by: Way::Now, again: None },
        export("night"),
        export("day"),
    ];
    let purge = it.custody.trash.iter().map(|_| Action::Purge { life: it.custody.lives });
    let rare = |bits: u8, bit: u32| u16::from(which & bits == bits) << bit;
    let which = u16::from(which) | rare(6, 8) | rare(9, 9) | rare(17, 10);
    let asked = actions.into_iter().enumerate().filter(|(bit, _)| *bit != 4 && which >> bit & 1 == 1);
    let asked = asked.map(|(_, action)| action).chain(purge);
    let lane = if which & 16 == 0 { Lane::Bulk } else { Lane::Interactive };
    asked.map(|action| JobSpec { lane, ..job_of(it.id, &it.version, action) }).collect()
}

/// By one route or the other.
fn export(to: &str) -> Action {
    Action::Export(ExportSpec {
        to: to.into(),
        what: Leaving::Rendition { name: "mp4-1".into(), job: JobId::derive(&[b"made"]) },
        name: NameTemplate::default(),
        with: BTreeSet::new(),
        on_conflict: Default::default(),
        verify: Default::default(),
    })
}

/// One of them has a single place.
fn places() -> Places {
    [("night".to_owned(), 1)].into_iter().collect()
}

fn alert(key: u8, at: Timestamp) -> Alert {
    Alert {
        key: format!("news {}", key % 3),
        severity: Severity::Info,
        service: "convert".into(),
        subject: format!("{at}"),
        cause: String::new(),
        next: String::new(),
        recording: None,
        at,
    }
}

fn offers_of(how: u8) -> Vec<Offer> {
    (0..how % 4)
        .map(|n| Offer {
            rule: format!("rule {n}"),
            what: if n == 0 { What::Delete } else { What::Evict { store: "replica".into() } },
            room: (n > 0).then(|| "library".into()),
            bytes: u64::from(how),
            archived: n == 2,
            dated: T0,
            trash: Duration::from_secs(3_600),
            reason: "it is old".into(),
        })
        .collect()
}

fn outcome_of(spec: &JobSpec, how: u8, now: Timestamp) -> Outcome {
    let digest = domain::Digest { size: 10 + u64::from(how), ..recording("made").digest };
    match &spec.action {
        Action::Probe => support::probed(),
        Action::Tag { add } => Outcome::Tagged { tags: add.clone() },
        Action::Convert { .. } => Outcome::Rendered {
            rendition: Rendition {
                // Now and then somebody else's: that is refused as a whole.
                recording: if how.is_multiple_of(7) { id_of(how) } else { spec.recording },
                name: format!("mp4-{}", how % 2),
                job: spec.id,
                files: (0..how % 3)
                    .map(|n| RenditionFile {
                        role: Role::Media,
                        store: ["outputs", "library"][usize::from(n)].into(),
                        key: "k".into(),
                        digest: domain::Digest {
                            sha256: contract::sha256(&format!("made {n}{}", how % 4)),
                            ..digest
                        },
                    })
                    .collect(),
                facts: None,
                choices: Vec::new(),
                partial: None,
                made_at: T0,
            },
        },
        Action::Archive { class, .. } => Outcome::Placed {
            place: Place {
                class: Some(class.clone()),
                version: (how & 1 == 0).then(|| "v1'".into()),
                cold: (how & 2 == 0).then_some(domain::Cold { since: now, restore: None }),
                ..Place::default()
            },
        },
        Action::Move { store, .. } => Outcome::Moved {
            to: Copy {
                recording: spec.recording,
                store: store.clone(),
                key: "moved".into(),
                version: spec.version.clone(),
                digest,
                verified_at: now,
                bad: None,
                until: None,
            },
            place: Place::default(),
            keep_until: now,
        },
        Action::Evict { store, .. } => Outcome::Evicted { store: store.clone() },
        Action::Verify { store, .. } => Outcome::Verified {
            store: store.clone(),
            at: now,
            bad: (how & 3 == 0).then(|| "a byte differs".into()),
        },
        Action::Export(export) => Outcome::Exported { to: export.to.clone(), files: Vec::new(), at: now },
        Action::Purge { .. } => Outcome::Purged {
            certificate: Certificate {
                recording: spec.recording,
                name: String::new(),
                title: String::new(),
                version: spec.version.clone(),
                digest,
                accepted_at: T0,
                recorded_at: None,
                rule: "old".into(),
                reason: "it is old".into(),
                by: "user".into(),
                trashed_at: T0,
                purged_at: now,
                objects: Vec::new(),
            },
        },
        _ => Outcome::Copied {
            copy: Copy {
                recording: spec.recording,
                store: "replica".into(),
                key: "copy".into(),
                version: spec.version.clone(),
                digest,
                verified_at: T0,
                bad: None,
                until: None,
            },
        },
    }
}

fn without_revision(mut it: Recording) -> Recording {
    it.revision = 0;
    it
}

fn without_revisions(mut facts: Facts) -> Facts {
    facts.recording = without_revision(facts.recording);
    for track in &mut facts.tracks {
        track.recording = track.recording.take().map(without_revision);
    }
    facts
}

/// Records and decides at once, each asked for as a step's letters say.
async fn conclude(
    catalog: &dyn Catalog,
    claim: &Claim,
    outcome: &Outcome,
    (how, which): (u8, u8),
    now: Timestamp,
) -> catalog::Result<(bool, Vec<Facts>)> {
    // An attempt that the server refused is made again from its beginning.
    let seen = Mutex::new(Vec::new());
    let decide = |facts: &Facts| {
        let it = &facts.recording;
        let mut seen = seen.lock().unwrap();
        seen.retain(|facts: &Facts| facts.recording.id != it.id);
        seen.push(without_revisions(facts.clone()));
        Settle {
            id: it.id,
            revision: it.revision,
            decision: domain::Decision {
                jobs: jobs_of(it, which),
                waits: Vec::new(),
                state: State::ALL[usize::from(how) % State::ALL.len()],
                reason: ["", "because"][usize::from(how & 1)].into(),
                due_at: (how & 2 != 0).then_some(now + Duration::from_secs(u64::from(how))),
                offers: offers_of(how / 4),
            },
            alert: (how.is_multiple_of(5)).then(|| alert(how, now)),
        }
    };
    let policy = if how.is_multiple_of(17) { "another" } else { "p" };
    let decided = catalog.conclude(claim, outcome, &Deciding { policy, decide: &decide }, now).await?;
    Ok((decided, seen.into_inner().unwrap()))
}

impl<'a> Side<'a> {
    fn new(catalog: &'a dyn Catalog) -> Self {
        Self { catalog, claims: Vec::new() }
    }

    async fn take(&mut self, (step, a, b, c): Step, now: Timestamp) -> Said {
        let catalog = self.catalog;
        let done = |result: catalog::Result<()>| result.map(|()| Said::Nothing);
        let said = match step % 27 {
            0..=3 => {
                let batch: Vec<_> =
                    (0..=c % 4).map(|n| new(a.wrapping_add(n), b.wrapping_mul(n + 1), now)).collect();
                catalog.accept(&batch, now).await.map(|mut accepted| {
                    accepted.iter_mut().for_each(|it| it.recording.revision = 0);
                    Said::Accepted(accepted)
                })
            }
            4..=6 => {
                let mut batch = Vec::new();
                // The same one twice now and then.
                for n in 0..=b % 4 {
                    let id = id_of(a.wrapping_add(n % 3));
                    let Some(it) = catalog.get(id).await.unwrap() else { continue };
                    let how = c.rotate_left(u32::from(n));
                    let decision = domain::Decision {
                        jobs: jobs_of(&it, how),
                        waits: Vec::new(),
                        state: State::ALL[usize::from(how) % State::ALL.len()],
                        reason: ["", "because"][usize::from(how & 1)].into(),
                        due_at: (how & 2 != 0).then_some(now + Duration::from_secs(u64::from(how))),
                        offers: offers_of(how / 4),
                    };
                    let revision = if how.is_multiple_of(13) { it.revision - 1 } else { it.revision };
                    let alert = (how.is_multiple_of(5)).then(|| alert(how, now));
                    batch.push(Settle { id, revision, decision, alert });
                }
                let policy = if c.is_multiple_of(17) { "another" } else { "p" };
                catalog.settle(&batch, policy, now).await.map(Said::Settled)
            }
            7 | 8 => {
                let jobs = catalog.jobs(&Default::default(), 99).await.unwrap();
                let Some(job) = jobs.get(usize::from(a) % jobs.len().max(1)) else { return Said::Nothing };
                let worker = WORKERS[usize::from(b) % 2];
                let ids: Vec<_> = jobs.iter().map(|job| job.spec.id).collect();
                let claimable = catalog.claimable(&ids, now).await.unwrap();
                let claimed = catalog.claim_within(job.spec.id, worker, now, TTL, &places()).await;
                let is_free = !matches!(claimed, Ok(Claimed::Nothing));
                assert!(!is_free || claimable.contains(&job.spec.id), "{job:?}");
                if let Ok(Claimed::Ours(claim)) = &claimed {
                    self.claims.push(Claim::clone(claim));
                }
                claimed.map(|claimed| Said::Claimed(claimable, claimed))
            }
            9..=12 => {
                let Some(claim) = self.claims.get(usize::from(a) % self.claims.len().max(1)).cloned() else {
                    return Said::Nothing;
                };
                match b % 11 {
                    0 | 1 => done(catalog.record(&claim, &outcome_of(&claim.job.spec, c, now), now).await),
                    2 | 3 => {
                        let outcome = outcome_of(&claim.job.spec, c, now);
                        conclude(catalog, &claim, &outcome, (b, c), now).await.map(Said::Concluded)
                    }
                    4 => done(catalog.fail(&claim, &Failure::permanent("no"), Next::Park, now).await),
                    5 => {
                        let next = Next::Retry { at: now + Duration::from_secs(u64::from(c)) };
                        done(catalog.fail(&claim, &Failure::temporary("not yet"), next, now).await)
                    }
                    6 if b & 1 == 0 => done(catalog.put_off(claim.job.spec.id, now, now + TTL).await),
                    6 => done(catalog.release(&claim, now).await),
                    7 | 8 => catalog.begin_purge(&claim, now).await.map(|purging| {
                        Said::Going(match purging {
                            Purging::Go(mut facts) => {
                                *facts = without_revisions(*facts);
                                Going::All(facts)
                            }
                            Purging::Refused(why) => Going::Not(why),
                        })
                    }),
                    9 => catalog.begin_evict(&claim, u32::from(c % 3), now).await.map(|evicting| {
                        Said::Going(match evicting {
                            Evicting::Go(copy) => Going::One(copy),
                            Evicting::Refused(why) => Going::Not(why),
                        })
                    }),
                    _ => {
                        let progress = (c & 1 == 0).then_some(Progress {
                            permille: 7,
                            speed_percent: None,
                            eta_ms: None,
                        });
                        done(catalog.renew(&claim, now, TTL, progress).await)
                    }
                }
            }
            13 => {
                let which = match a % 3 {
                    0 => Retry::AllParked,
                    1 => Retry::Recording(id_of(b)),
                    _ => match self.claims.first() {
                        Some(claim) => Retry::Job(claim.job.spec.id),
                        None => Retry::AllParked,
                    },
                };
                catalog.retry(which, now).await.map(Said::Number)
            }
            16..=18 => {
                let mut items = Vec::new();
                for n in 0..=b % 4 {
                    let id = id_of(a.wrapping_add(n * 3));
                    let revision = catalog.get(id).await.unwrap().map_or(1, |it| it.revision);
                    let trash = Trash {
                        at: now,
                        until: now + Duration::from_secs(u64::from(c % 2)),
                        rule: "old".into(),
                        reason: "it is old".into(),
                        by: "user".into(),
                        purging: None,
                    };
                    let revision = if c.is_multiple_of(13) { revision - 1 } else { revision };
                    items.push(Trashing { id, revision, trash });
                }
                let bytes = (c & 32 != 0).then_some(u64::from(b));
                let limit = DeletionLimit { permille: u32::from(a), floor: u64::from(c % 5), bytes };
                catalog.trash(&items, &limit, now).await.map(Said::Trashed)
            }
            19..=21 => {
                let ids: Vec<_> = (0..=b % 3).map(|n| id_of(a.wrapping_add(n * 3))).collect();
                let name = ["case", "other"][usize::from(c) % 2].to_owned();
                let change = match c / 2 % 5 {
                    0 => Change::Hold { name, reason: format!("reason {}", c % 3) },
                    1 => Change::Release { name: Some(name) },
                    2 => Change::Release { name: None },
                    3 => {
                        let mut fields = domain::Fields::default();
                        fields.set(&name, ["A-17", "b"][usize::from(b) % 2]).unwrap();
                        let unset = [if c & 64 == 0 { "case" } else { "other" }.to_owned()].into();
                        let title = (c & 32 == 0).then(|| format!("title {}", b % 3));
                        let tags = (c & 16 == 0).then(|| name.clone()).into_iter().collect();
                        Change::Describe(Description { title, tags, untag: [name].into(), fields, unset })
                    }
                    _ => Change::Undelete { kept_until: now },
                };
                catalog.custody(&ids, &change, "user", now).await.map(Said::Changed)
            }
            // From the decision to the outcome, which single steps seldom get to.
            22..=24 => {
                // Of one date either may come first: which one it is must not depend on whom is asked.
                let trashed = catalog.search(&"state:trashed".parse().unwrap(), 99, None).await.unwrap();
                let first = trashed.hits.iter().map(|it| it.id).min().filter(|_| c & 128 != 0);
                let id = first.unwrap_or(id_of(a));
                let Some(it) = catalog.get(id).await.unwrap() else { return Said::Nothing };
                let jobs = jobs_of(&it, b);
                let settle = support::asking_for(jobs.clone(), it.id, it.revision);
                catalog.settle(&[settle], "p", now).await.unwrap();
                let mut said = Vec::new();
                for job in jobs {
                    let claim = catalog.claim(job.id, "w", now, TTL).await.unwrap();
                    let Some(claim) = claim else { continue };
                    if c & 64 == 0 {
                        let purging = catalog.begin_purge(&claim, now).await.unwrap();
                        said.push(matches!(purging, Purging::Go(_)).to_string());
                        let evicting = catalog.begin_evict(&claim, 1, now).await.unwrap();
                        said.push(matches!(evicting, Evicting::Go(_)).to_string());
                    }
                    let outcome = outcome_of(&job, c, now);
                    let done = if b & 128 == 0 {
                        catalog.record(&claim, &outcome, now).await
                    } else {
                        conclude(catalog, &claim, &outcome, (c, a), now).await.map(drop)
                    };
                    said.push(format!("{:?}", done.map_err(|e| e.kind())));
                }
                Ok(Said::Many(said))
            }
            25 => {
                let batch = Batch {
                    id: BatchId::derive(&[&[b % 3]]),
                    verb: "verify".into(),
                    by: "user".into(),
                    what: "all".into(),
                    created_at: now,
                };
                let mut jobs = Vec::new();
                for n in 0..=b % 3 {
                    let it = catalog.get(id_of(a.wrapping_add(n * 3))).await.unwrap();
                    jobs.extend(it.iter().flat_map(|it| jobs_of(it, c)));
                }
                catalog.order(&batch, &jobs, now).await.map(Said::Number)
            }
            26 => {
                let id = BatchId::derive(&[&[a % 4]]);
                let state = BatchState::ALL[usize::from(b % 5) * 2 / 4];
                catalog.set_batch(id, state, "user", now).await.map(Said::Yes)
            }
            14 => {
                let lost = (b & 1 == 0).then_some(Timestamp(now.0 - i64::from(c) * 1_000));
                let stirs = catalog.stirs(now).await.unwrap();
                let offered = catalog
                    .offer_within(Lane::ALL[usize::from(a) % 2], now, u32::from(b % 5), lost, &places())
                    .await;
                assert!(stirs || lost.is_some() || offered.as_ref().is_ok_and(Vec::is_empty), "{offered:?}");
                offered.map(Said::Jobs)
            }
            _ => match a % 9 {
                0 => catalog.recover(Some("up-"), now).await.map(Said::Number),
                1 => catalog.recover(None, now).await.map(Said::Number),
                2 => catalog.policy_in_force(["p", "another"][usize::from(b) % 2], now).await.map(Said::Yes),
                3 => catalog.lead("sweep", WORKERS[usize::from(b) % 2], now, TTL).await.map(Said::Yes),
                4 => catalog.sample(now).await.map(Said::Yes),
                5 => catalog.ack(&format!("news {}", b % 3), "user", now).await.map(Said::Yes),
                6 => {
                    let told = catalog.alerts(99).await.unwrap();
                    let key = format!("news {}", b % 3);
                    let seqs: Vec<_> = told.iter().filter(|t| t.alert.key == key).map(|t| t.seq).collect();
                    done(catalog.escalated(&seqs, now).await)
                }
                7 => done(catalog.raise(&[alert(b, now), alert(c, now)]).await),
                _ => done(catalog.note(id_of(b), "w", "seen", serde_json::json!({ "n": c }), now).await),
            },
        };
        said.unwrap_or_else(|error| Said::Refused(error.kind()))
    }

    async fn stands(&self, now: Timestamp) -> Standing {
        let catalog = self.catalog;
        let mut facts = Vec::new();
        let mut known = Vec::new();
        for n in 0..2 * NAMES.len() as u8 {
            let found = catalog.facts(id_of(n)).await.unwrap();
            facts.push(found.map(without_revisions));
            known.push(catalog.by_digest(&contract::sha256(&format!("{n}1"))).await.unwrap());
            known.push(catalog.by_digest(&contract::sha256(&format!("made 0{n}"))).await.unwrap());
        }
        let each: BTreeMap<_, _> = facts.iter().flatten().map(|f| (f.recording.id, f.clone())).collect();
        let page = catalog.facts_page(None, 99).await.unwrap();
        assert_eq!(
            page.into_iter().map(without_revisions).collect::<Vec<_>>(),
            each.into_values().collect::<Vec<_>>()
        );
        let ids: Vec<_> = (0..2 * NAMES.len() as u8).map(id_of).collect();
        let mut offers = catalog.offers(None, None, 99).await.unwrap();
        offers.extend(catalog.offers(Some("library"), None, 99).await.unwrap());
        let told = catalog.alerts(99).await.unwrap();
        let verdict = catalog.audit_verify().await.unwrap();
        assert_eq!((verdict.first_bad, verdict.unchained), (None, 0));
        let audit = catalog.audit(None, 9_999).await.unwrap();
        let (to_decide, stirs) =
            (catalog.to_decide(now, None, 99).await.unwrap(), catalog.stirs(now).await.unwrap());
        let is_quiet = to_decide.is_empty() && catalog.unsent(1).await.unwrap().is_empty();
        assert!(stirs || is_quiet);
        let mut found = Vec::new();
        for query in
            ["", "call", "person 1", "tag:tag1 -kind:session", "state:ready,failed", "talk OR state:accepted"]
        {
            let page = catalog.search(&query.parse().unwrap(), 99, None).await.unwrap();
            // A minute is not worth moving a row for.
            let minute = Duration::from_secs(60);
            assert!(page.hits.is_sorted_by(|a, b| a.dated() + minute >= b.dated()), "{:?}", page.hits);
            found.push(page.hits.into_iter().map(|r| r.id).collect());
        }
        Standing {
            facts,
            jobs: catalog.jobs(&Default::default(), 9_999).await.unwrap(),
            audit: audit.into_iter().map(|e| (e.at, e.actor, e.what, e.recording, e.details)).collect(),
            counts: catalog.counts().await.unwrap(),
            usage: catalog.usage().await.unwrap(),
            to_decide,
            stirs,
            waiting: catalog.waiting_since(now).await.unwrap(),
            alerts: catalog.unsent(99).await.unwrap().into_iter().map(|(_, a)| format!("{a:?}")).collect(),
            known,
            offers,
            certificates: catalog.certificates(None, 99).await.unwrap(),
            versions: catalog.versions(&ids).await.unwrap(),
            eldest: catalog.eldest(now, 99).await.unwrap(),
            batches: catalog.batches(99).await.unwrap(),
            samples: catalog.samples(T0).await.unwrap(),
            hourly: catalog.hourly(Timestamp(0)).await.unwrap(),
            sources: catalog.last_by_source(T0).await.unwrap(),
            told: told.into_iter().map(|t| (t.alert.key, t.alert.at, t.acked_at, t.escalations)).collect(),
            found,
        }
    }
}
