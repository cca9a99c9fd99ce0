//! What is not one recording's affair alone, and what only one worker of all does: deletions within their limit, room in a
//! store that fills up, bytes read back before anybody needs them.
//!
//! A round reads offers (what `decide` found may go), asks `decide` anew on facts of this moment, weighs all of them
//! together, and only then acts: all or nothing.

use std::{sync::atomic::Ordering, time::Duration};

use anyhow::{Context as _, Result};
use catalog::{Eldest, Over, Trashed, Trashing};
use domain::{
    Action, Alert, Facts, JobSpec, Lane, Offer, RecordingId, Severity, Timestamp, Usage, Way, What,
};
use policy::{Room, Watermark};
use tracing::{info, warn};

use crate::{LIBRARY_STORE, Library, by_hand::batch, drills, plan::trashing};

/// Between two deletion rounds, and between two looks at a store's fill.
const EVERY: Duration = Duration::from_secs(60);
/// After a round that was over the limit: the next one will most likely be, too.
const OVER: Duration = Duration::from_secs(15 * 60);
/// After trouble.
const TROUBLE: Duration = Duration::from_secs(30);
/// Between two rounds of reading back, and of restoring on trial.
const VERIFY_EVERY: Duration = Duration::from_secs(60 * 60);
/// Between two looks whether a store is nearly full.
const EMERGENCY_EVERY: Duration = Duration::from_secs(15);
/// Facts in memory at a time.
const PAGE: usize = 256;

/// Under which bookmark the hash of the policy is kept whose plan somebody has seen.
pub const SEEN_POLICY: &str = "policy-seen";
/// What a trash entry calls the actor that a rule is.
const BY_POLICY: &str = "policy";

#[derive(Default)]
pub(crate) struct Rounds {
    delete_after: Option<Timestamp>,
    room_after: Option<Timestamp>,
    verify_after: Option<Timestamp>,
    drill_after: Option<Timestamp>,
    emergency_after: Option<Timestamp>,
}

impl Rounds {
    /// What is due of all this.
    pub(crate) async fn turn(&mut self, library: &Library) -> Result<()> {
        let now = library.now();
        // After trouble none is tried again at once.
        if is_due(self.delete_after, now) {
            self.delete_after = Some(now + TROUBLE);
            let over = delete(library, now).await.context("the deletion round")?;
            self.delete_after = Some(now + if over { OVER } else { EVERY });
        }
        if is_due(self.room_after, now) {
            self.room_after = Some(now + TROUBLE);
            for watermark in library.policy.watermarks() {
                make_room(library, watermark, now)
                    .await
                    .with_context(|| format!("making room in `{}`", watermark.store))?;
            }
            self.room_after = Some(now + EVERY);
        }
        if is_due(self.verify_after, now) {
            self.verify_after = Some(now + TROUBLE);
            verify(library, now).await.context("choosing what to read back")?;
            self.verify_after = Some(now + VERIFY_EVERY);
        }
        if is_due(self.drill_after, now) {
            self.drill_after = Some(now + TROUBLE);
            drills::order(library, now).await.context("choosing what to restore on trial")?;
            self.drill_after = Some(now + VERIFY_EVERY);
        }
        Ok(())
    }

    /// Every worker's own business, also of one that does not lead: in a store that is nearly full nothing more is made.
    pub(crate) async fn look_for_emergency(&mut self, library: &Library) -> Result<()> {
        let now = library.now();
        if !is_due(self.emergency_after, now) {
            return Ok(());
        }
        let mut full = false;
        for watermark in library.policy.watermarks() {
            let counts = watermark.emergency.is_some() && watermark.store == LIBRARY_STORE;
            full |= counts && last(library, watermark).await?.emergency;
        }
        if library.full.swap(full, Ordering::SeqCst) != full {
            match full {
                true => warn!("the library's store is nearly full: nothing new is made until there is room"),
                false => info!("there is room again: work goes on"),
            }
        }
        self.emergency_after = Some(now + EMERGENCY_EVERY);
        Ok(())
    }
}

fn is_due(after: Option<Timestamp>, now: Timestamp) -> bool {
    after.is_none_or(|after| now >= after)
}

/// Puts into the trash what is due, all of it or nothing. True when it was over the limit.
async fn delete(library: &Library, now: Timestamp) -> Result<bool> {
    let due = offers(library, None).await?;
    if due.is_empty() {
        return Ok(false);
    }
    if !is_seen(library).await? {
        let hash = library.policy.hash();
        let n = due.len();
        warn!(due = n, "deletions wait: nobody has seen a plan of this policy");
        let alert = Alert {
            key: format!("policy-unseen/{hash}"),
            severity: Severity::Warning,
            service: "delete".into(),
            subject: format!("{n} deletions wait for somebody to look at the plan of the new policy"),
            cause: "The policy was changed, and what it would delete was not looked at since.".into(),
            next: "Run `videorec plan`. If it is right, nothing more is to be done: they go ahead then."
                .into(),
            recording: None,
            at: now,
        };
        library.catalog.raise(&[alert]).await?;
        return Ok(false);
    }
    let ids: Vec<RecordingId> = due.into_iter().map(|(id, _)| id).collect();
    let mut items = Vec::new();
    for page in ids.chunks(PAGE) {
        for (facts, offers) in decided(library, page, now).await? {
            let wanted = offers.into_iter().find(|o| o.room.is_none() && o.what == What::Delete);
            items.extend(wanted.map(|offer| trashing(&facts, &offer, BY_POLICY, now)));
        }
    }
    trash(library, items, now).await
}

/// The way into the trash: within the limit, all or nothing. True when it was over it.
async fn trash(library: &Library, items: Vec<Trashing>, now: Timestamp) -> Result<bool> {
    if items.is_empty() {
        return Ok(false);
    }
    let limit = library.policy.protect().deletion;
    match library.catalog.trash(&items, &limit, now).await? {
        Trashed::Done { trashed, drifted } => {
            info!(trashed = trashed.len(), drifted = drifted.len(), "moved to the trash");
            library.decide(&trashed).await?;
            Ok(false)
        }
        Trashed::Over(over) => {
            let cause = over_the_limit(&over);
            warn!(cause, "the deletion limit holds everything back");
            let alert = Alert {
                key: "deletion-limit".into(),
                severity: Severity::Critical,
                service: "delete".into(),
                subject: "a deletion run was refused whole: it is over the limit".into(),
                cause,
                next: "Run `videorec plan` and look why so much is due. If it is right, raise `protect: deletion` in the policy for \
                       as long as it takes; if not, mend the rule, or `videorec hold` what must stay."
                    .into(),
                recording: None,
                at: now,
            };
            library.catalog.raise(&[alert]).await?;
            Ok(true)
        }
    }
}

/// How far a deletion is over the limit, as a sentence.
pub fn over_the_limit(over: &Over) -> String {
    let bytes = over.allowed_bytes.map(|most| format!(" and {most} bytes")).unwrap_or_default();
    format!(
        "{} recordings ({} bytes) were to go, {} ({} bytes) went within the last 24 hours, and {}{bytes} may",
        over.asked, over.asked_bytes, over.already, over.already_bytes, over.allowed
    )
}

async fn is_seen(library: &Library) -> Result<bool> {
    let seen = library.catalog.bookmark(SEEN_POLICY).await?;
    Ok(seen.as_deref() == Some(library.policy.hash()))
}

/// Frees a store that fills up, by no more than what is needed.
async fn make_room(library: &Library, watermark: &Watermark, now: Timestamp) -> Result<()> {
    let last = last(library, watermark).await?;
    let used = library.catalog.usage().await?.bytes.get(&watermark.store).copied().unwrap_or(0);
    let leaving = library.catalog.leaving(&watermark.store).await?;
    let room = policy::room(watermark, &last, used, leaving, now);
    if room != last {
        library.catalog.set_bookmark(&bookmark(watermark), Some(&serde_json::to_string(&room)?)).await?;
    }
    if room.emergency {
        library.catalog.raise(&[emergency(watermark, used, now)]).await?;
    }
    if room.need == 0 || (library.policy.deletes() && !is_seen(library).await?) {
        return Ok(());
    }
    let mut candidates = offers(library, Some(&watermark.store)).await?;
    candidates.retain(|(_, offer)| offer.rule == watermark.rule);
    let chosen = policy::choose(&candidates, &watermark.order, room.need);
    if chosen.short > 0 {
        library.catalog.raise(&[too_little(watermark, room.need, chosen.bytes, now)]).await?;
    }
    let mut items = Vec::new();
    let mut jobs = Vec::new();
    for page in chosen.offers.chunks(PAGE) {
        let ids: Vec<RecordingId> = page.iter().map(|(id, _)| *id).collect();
        for (facts, offers) in decided(library, &ids, now).await? {
            let still = |o: &&Offer| o.rule == watermark.rule && o.room.as_deref() == Some(&*watermark.store);
            let Some(offer) = offers.iter().find(still) else { continue };
            match &offer.what {
                What::Delete => items.push(trashing(&facts, offer, BY_POLICY, now)),
                other => jobs.extend(job(library, &facts, other, offer)),
            }
        }
    }
    if !jobs.is_empty() {
        let batch = batch("make room", &watermark.rule, &watermark.store, now);
        library.catalog.order(&batch, &jobs, now).await?;
    }
    trash(library, items, now).await?;
    Ok(())
}

/// What the last look said, by whoever led then.
async fn last(library: &Library, watermark: &Watermark) -> Result<Room> {
    Ok(match library.catalog.bookmark(&bookmark(watermark)).await? {
        Some(text) => serde_json::from_str(&text).unwrap_or_default(),
        None => Room::default(),
    })
}

fn bookmark(watermark: &Watermark) -> String {
    format!("room:{}:{}", watermark.rule, watermark.store)
}

fn emergency(watermark: &Watermark, used: u64, now: Timestamp) -> Alert {
    Alert {
        key: format!("emergency/{}", watermark.store),
        severity: Severity::Critical,
        service: "capacity".into(),
        subject: format!("store `{}` is nearly full: nothing new is made in it", watermark.store),
        cause: format!("{used} bytes are in it, trash included."),
        next: "Make room: `videorec plan` shows what may go; add capacity; or let a rule archive or delete more.".into(),
        recording: None,
        at: now,
    }
}

fn too_little(watermark: &Watermark, need: u64, found: u64, now: Timestamp) -> Alert {
    Alert {
        key: format!("too-little-room/{}/{}", watermark.rule, watermark.store),
        severity: Severity::Critical,
        service: "capacity".into(),
        subject: format!("rule `{}` finds too little that may go from `{}`", watermark.rule, watermark.store),
        cause: format!("{need} bytes are needed, what may go frees {found}; what is protected stays."),
        next: "Widen the rule's `match`, shorten what others `keep`, or add capacity.".into(),
        recording: None,
        at: now,
    }
}

/// Has the bytes read back whose last verification is oldest: so many that all are within the time that the policy says.
async fn verify(library: &Library, now: Timestamp) -> Result<()> {
    let permille = library.policy.protect().verify_permille;
    if permille == 0 {
        return Ok(());
    }
    let total = library.catalog.counts().await?.recordings.values().sum::<u64>();
    let share = (total * u64::from(permille)).div_ceil(1000 * 24);
    let limit = u32::try_from(share).unwrap_or(u32::MAX).min(MOST_VERIFIED);
    // None is read twice within the time in which all are.
    let whole = Duration::from_secs(86_400 * 1000 / u64::from(permille));
    let eldest = library.catalog.eldest(now - whole, limit).await?;
    let mut jobs = Vec::new();
    for Eldest { recording: id, store, verified_at: last } in eldest {
        let Some(recording) = library.catalog.get(id).await? else { continue };
        let action = Action::Verify { store, last };
        jobs.push(JobSpec {
            id: action.job_id(id, &recording.version),
            recording: id,
            version: recording.version,
            action,
            lane: Lane::Bulk,
            rule: "verify".into(),
            reason: format!("It was read back last at {last}."),
        });
    }
    if jobs.is_empty() {
        return Ok(());
    }
    library.catalog.order(&batch("verify", BY_POLICY, "oldest verification first", now), &jobs, now).await?;
    Ok(())
}

const MOST_VERIFIED: u32 = 5_000;

/// All offers of a kind. Ids and reasons only: a million of them are some hundred megabytes, and a round that would be
/// over its limit by that much is refused anyway.
async fn offers(library: &Library, room: Option<&str>) -> Result<Vec<(RecordingId, Offer)>> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = library.catalog.offers(room, after, 1000).await?;
        let Some((last, _)) = page.last() else { return Ok(all) };
        after = Some(*last);
        all.extend(page);
    }
}

/// Fresh facts, and what the policy would have go of them now.
async fn decided(library: &Library, ids: &[RecordingId], now: Timestamp) -> Result<Vec<(Facts, Vec<Offer>)>> {
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let Some(facts) = library.catalog.facts(*id).await? else { continue };
        let offers = policy::decide(&library.policy, &facts, &Usage::default(), now).offers;
        found.push((facts, offers));
    }
    Ok(found)
}

fn job(library: &Library, facts: &Facts, what: &What, offer: &Offer) -> Option<JobSpec> {
    let it = &facts.recording;
    let action = match what {
        What::Delete => return None,
        // Another store is an archive too: a second disk, a NAS.
        What::Archive { class } if library.policy.stores().contains_key(class) => {
            Action::Move { store: class.clone(), from: it.store.clone(), keep_ms: 0 }
        }
        What::Archive { class } => Action::Archive { class: class.clone(), by: Way::Now, again: None },
        What::Evict { store } => {
            let copy = facts.copies.iter().find(|c| c.store == *store)?;
            Action::Evict { store: store.clone(), made: copy.verified_at }
        }
    };
    Some(JobSpec {
        id: action.job_id(it.id, &it.version),
        recording: it.id,
        version: it.version.clone(),
        action,
        // What makes room does not stand behind what takes it.
        lane: Lane::Interactive,
        rule: offer.rule.clone(),
        reason: offer.reason.clone(),
    })
}
