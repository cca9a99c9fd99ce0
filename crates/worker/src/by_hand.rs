//! What a person orders for recordings of their choice: the same protections and the same audit as a rule's work, done as
//! the jobs of a batch.

use std::time::Duration;

use catalog::{Batch, BatchId};
use domain::{Action, Facts, JobId, JobSpec, Lane, Recording, Speed, State, Timestamp, Trash, Way};
use policy::{Deed, Making, NoExport, Objection, ObjectionKind, Policy, Wish};

use crate::{Library, lifecycle::STANDARD, plan::Frozen};

/// What is done to each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    Backup {
        store: String,
    },
    Archive {
        class: String,
        by: Way,
    },
    Move {
        store: String,
        keep: Duration,
    },
    Restore {
        speed: Speed,
        days: u32,
    },
    /// Also where there is such a rendition, if it is to be made anew.
    Make {
        what: Making,
        anew: bool,
    },
}

/// Why a recording is left out, as a clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeftOut {
    /// It is so already.
    Already(String),
    Refused(String),
    /// It has to be restored first, which costs money.
    Frozen(Frozen),
}

impl Verb {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Backup { .. } => "backup",
            Self::Archive { .. } => "archive",
            Self::Move { .. } => "move",
            Self::Restore { .. } => "restore",
            Self::Make { what: Making::Convert(_), .. } => "convert",
            Self::Make { what: Making::Mix { .. }, .. } => "mix",
        }
    }

    /// The job for one recording. A batch's jobs have ids of their own: what was ordered once and undone since can be ordered
    /// again, while ordering one batch twice is ordering it once. But what is made is the same whoever asks for it: it is the
    /// job that a rule would ask for, so that nothing is encoded twice because a rule came before the order or after it.
    pub fn job(
        &self,
        policy: &Policy,
        batch: &Batch,
        facts: &Facts,
        now: Timestamp,
    ) -> Result<JobSpec, LeftOut> {
        let it = &facts.recording;
        there(it)?;
        let mut job = ordered(batch, it, self.action(policy, facts, now)?);
        if let Self::Make { .. } = self {
            let anybodys = job.action.job_id(it.id, &it.version);
            // One that is done stays done: what it made is gone, or to be made anew.
            if !facts.done.contains(&anybodys) {
                job.id = anybodys;
            }
        }
        Ok(job)
    }

    fn action(&self, policy: &Policy, facts: &Facts, now: Timestamp) -> Result<Action, LeftOut> {
        let it = &facts.recording;
        let already = |why: String| Err(LeftOut::Already(why));
        let unreadable = || (!it.custody.is_readable(now)).then(|| LeftOut::Frozen(Frozen::only(it, now)));
        match self {
            Self::Backup { store } | Self::Move { store, .. } if *store == it.store => {
                already(format!("it lives in `{store}`"))
            }
            Self::Backup { store } => {
                let good = |c: &domain::Copy| c.bad.is_none() && c.version == it.version && c.until.is_none();
                match facts.copies.iter().find(|c| c.store == *store && good(c)) {
                    Some(copy) => already(format!("read back equal at {}", copy.verified_at)),
                    None => match unreadable() {
                        Some(why) => Err(why),
                        None => Ok(Action::Backup { store: store.clone() }),
                    },
                }
            }
            Self::Move { store, keep } => {
                if let Some(objection) = policy::objection(policy, facts, Deed::Move, now) {
                    return Err(refused(&objection));
                }
                match unreadable() {
                    Some(why) => Err(why),
                    None => Ok(Action::Move {
                        store: store.clone(),
                        from: it.store.clone(),
                        keep_ms: u64::try_from(keep.as_millis()).unwrap_or(u64::MAX),
                    }),
                }
            }
            Self::Archive { class, by } => {
                let place = &it.custody.place;
                let lies_in = place.class.as_deref().unwrap_or(STANDARD);
                if lies_in == class && place.transition.is_none() {
                    return already(format!("it is in {class}"));
                }
                if *by == Way::Lifecycle {
                    if it.digest.size < policy::LIFECYCLE_LEAST {
                        return Err(LeftOut::Refused(
                            "under 128 KiB, which lifecycle rules leave alone; without `--by lifecycle` it is archived at once"
                                .into(),
                        ));
                    }
                    if let Some(transition) = place.transition.as_ref().filter(|t| t.class == *class) {
                        return already(format!(
                            "its bucket's lifecycle rule was asked at {}",
                            transition.asked_at
                        ));
                    }
                }
                match policy::objection(policy, facts, Deed::Archive, now) {
                    Some(objection) => Err(refused(&objection)),
                    None => Ok(Action::Archive { class: class.clone(), by: *by, again: None }),
                }
            }
            Self::Make { what, anew } => {
                let action = what.action(facts, now).map_err(LeftOut::Refused)?;
                let name = &what.preset().name;
                match facts.renditions.iter().find(|rendition| rendition.name == *name) {
                    Some(there) if !anew => {
                        return already(format!("`{name}` was made at {}", there.made_at));
                    }
                    _ => {}
                }
                let tracks = facts.tracks.iter().filter_map(|track| track.recording.as_ref());
                let sources: Vec<&Recording> = match action {
                    Action::Mix(_) => tracks.collect(),
                    _ => vec![it],
                };
                match sources.into_iter().find(|source| !source.custody.is_readable(now)) {
                    Some(cold) => Err(LeftOut::Frozen(Frozen::only(cold, now))),
                    None => Ok(action),
                }
            }
            Self::Restore { speed, days } => match &it.custody.place.cold {
                None => already("it can be read".into()),
                Some(_) if it.custody.is_readable(now) => already("it was restored and can be read".into()),
                Some(cold) if cold.restore.as_ref().is_some_and(|r| r.until.is_none()) => {
                    already("it is being restored".into())
                }
                Some(_) => Ok(Action::Restore { speed: *speed, days: *days, asked: now }),
            },
        }
    }
}

/// Reads everything that is there of a recording back now: home and copies, one job each. What reads equal is good from then
/// on, whatever was found before: two reads that lied are no reason to be bad for ever.
pub fn verify(batch: &Batch, facts: &Facts, now: Timestamp) -> Result<Vec<JobSpec>, LeftOut> {
    let it = &facts.recording;
    there(it)?;
    let place = &it.custody.place;
    let home = (it.store.as_str(), place.verified_at.unwrap_or(it.accepted_at));
    let home = it.custody.is_readable(now).then_some(home);
    // What is left of former bytes is compared with nothing.
    let copies = facts.copies.iter().filter(|c| c.version == it.version && c.store != it.store);
    let places = home.into_iter().chain(copies.map(|c| (c.store.as_str(), c.verified_at)));
    let verified = |(store, last): (&str, _)| Action::Verify { store: store.to_owned(), last };
    let jobs: Vec<_> = places.map(|place| ordered(batch, it, verified(place))).collect();
    match jobs.is_empty() {
        false => Ok(jobs),
        true => Err(LeftOut::Frozen(Frozen::only(it, now))),
    }
}

/// What is gone, or about to go, is left alone.
fn there(it: &Recording) -> Result<(), LeftOut> {
    match it.state {
        State::Deleted => Err(LeftOut::Refused("it is deleted".into())),
        State::Trashed => Err(LeftOut::Refused(format!(
            "it is in the trash; `videorec undelete {}` brings it back",
            it.id.short()
        ))),
        _ => Ok(()),
    }
}

/// What something outside gave cause for. The same cause asks for the same job.
pub(crate) fn prompted(it: &Recording, action: Action, by: &str, reason: &str) -> JobSpec {
    JobSpec {
        id: action.job_id(it.id, &it.version),
        recording: it.id,
        version: it.version.clone(),
        lane: Lane::Interactive,
        rule: by.to_owned(),
        reason: reason.to_owned(),
        action,
    }
}

impl Library {
    /// Orders what something other than a decision gave cause for, a job of its own batch.
    pub(crate) async fn prompt(
        &self,
        it: &Recording,
        action: Action,
        by: &str,
        reason: &str,
    ) -> anyhow::Result<()> {
        let (now, verb) = (self.now(), action.verb());
        let job = prompted(it, action, verb, reason);
        let batch = batch(verb, by, &it.id.to_string(), now);
        self.catalog.order(&batch, &[job], now).await?;
        Ok(())
    }
}

fn ordered(batch: &Batch, it: &Recording, action: Action) -> JobSpec {
    let text = serde_json::to_vec(&action).expect("an action is plain data");
    JobSpec {
        id: JobId::derive(&[
            b"batch",
            batch.id.to_string().as_bytes(),
            it.id.to_string().as_bytes(),
            it.version.as_bytes(),
            &text,
        ]),
        recording: it.id,
        version: it.version.clone(),
        lane: Lane::Bulk,
        rule: format!("by hand ({})", batch.by),
        reason: format!("Ordered by {} at {}.", batch.by, batch.created_at),
        action,
    }
}

/// The jobs for one recording that is to leave: what makes its source readable, where `restore` says how fast and for how many
/// days, and the export itself. And, where there was a choice, why this file and this route.
pub fn export(
    policy: &Policy,
    batch: &Batch,
    facts: &Facts,
    wish: &Wish,
    restore: Option<(Speed, u32)>,
    now: Timestamp,
) -> Result<(Vec<JobSpec>, Vec<String>), LeftOut> {
    let it = &facts.recording;
    there(it)?;
    let refused = |no: NoExport| LeftOut::Refused(no.to_string());
    let mut jobs = Vec::new();
    let (export, why) = match (policy::export(policy, facts, wish, now), restore) {
        (Err(NoExport::Cold { restoring, .. }), Some((speed, days))) => {
            if !restoring {
                jobs.push(ordered(batch, it, Action::Restore { speed, days, asked: now }));
            }
            let mut restored = facts.clone();
            restored.recording.custody.place.cold = None;
            policy::export(policy, &restored, wish, now).map_err(refused)?
        }
        (export, _) => export.map_err(refused)?,
    };
    let mut job = ordered(batch, it, Action::Export(export));
    why.iter().for_each(|why| job.reason.push_str(&format!(" Because {why}.")));
    jobs.push(job);
    Ok((jobs, why))
}

/// What is ordered together. Ordered twice in one millisecond by one person, the same is the same.
pub fn batch(verb: &str, by: &str, what: &str, now: Timestamp) -> Batch {
    Batch {
        id: BatchId::derive(&[verb.as_bytes(), by.as_bytes(), what.as_bytes(), &now.0.to_be_bytes()]),
        verb: verb.to_owned(),
        by: by.to_owned(),
        what: what.to_owned(),
        created_at: now,
    }
}

/// What a deletion by hand puts into the trash.
pub fn trash(
    policy: &Policy,
    facts: &Facts,
    by: &str,
    reason: &str,
    keep: Option<Duration>,
    now: Timestamp,
) -> Result<catalog::Trashing, LeftOut> {
    let it = &facts.recording;
    match it.state {
        State::Deleted => return Err(LeftOut::Already("it is deleted".into())),
        State::Trashed => return Err(LeftOut::Already("it is in the trash".into())),
        _ => {}
    }
    match policy::objection(policy, facts, Deed::Delete, now) {
        // That rules leave it alone for a while does not bind the person who brought it back.
        Some(objection) if objection.kind != ObjectionKind::Grace => return Err(refused(&objection)),
        _ => {}
    }
    Ok(catalog::Trashing {
        id: it.id,
        revision: it.revision,
        trash: Trash {
            at: now,
            until: now + keep.unwrap_or(policy.protect().trash),
            rule: "by hand".into(),
            reason: reason.to_owned(),
            by: by.to_owned(),
            purging: None,
        },
    })
}

fn refused(objection: &Objection) -> LeftOut {
    LeftOut::Refused(format!("that waits for {}", objection.waits_for))
}
