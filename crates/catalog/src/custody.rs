//! What may be done to whom, and what it makes of a recording: the same for every database.

use std::collections::BTreeMap;

use domain::{
    Action, Alert, Arrival, Certificate, Copy, Custody, DeletionLimit, Hold, JobSpec, Kind, Outcome, Place,
    Recording, Rendition, Severity, State, Timestamp, Trash,
};

use crate::{Change, Changed, Description, Error, Over, Result, Trashing, codec, usage::Held};

pub(crate) const UNKNOWN: &str = "the catalog does not know it: see `videorec ls`";
pub(crate) const TWICE: &str = "it was named twice";
pub(crate) const NO_COPY: &str = "there is no such copy (any more)";

/// How much went into the trash of late, and out of how much.
pub(crate) struct Went {
    of: u64,
    already: u64,
    already_bytes: u64,
}

impl Went {
    /// `live`: neither deleted nor in the trash.
    pub(crate) fn new(live: i64, already: i64, already_bytes: i64) -> Self {
        let already = codec::unsigned(already);
        let of = codec::unsigned(live) + already;
        Self { of, already, already_bytes: codec::unsigned(already_bytes) }
    }

    /// How far these would be over the limit, if they are.
    pub(crate) fn over(&self, limit: &DeletionLimit, going: impl Iterator<Item = u64>) -> Option<Over> {
        let (mut asked, mut asked_bytes) = (0, 0);
        for bytes in going {
            asked += 1;
            asked_bytes += bytes;
        }
        let allowed = limit.recordings(self.of);
        let too_many = self.already + asked > allowed;
        let too_much = limit.bytes.is_some_and(|most| self.already_bytes.saturating_add(asked_bytes) > most);
        (asked > 0 && (too_many || too_much)).then_some(Over {
            asked,
            asked_bytes,
            allowed,
            allowed_bytes: limit.bytes,
            already: self.already,
            already_bytes: self.already_bytes,
        })
    }
}

/// Everything of a recording: home, copies, and what was made of it. By store.
pub(crate) fn all_bytes(it: &Recording, copies: &[Copy], renditions: &[Rendition]) -> BTreeMap<String, i64> {
    let home = std::iter::once((&it.store, it.digest.size));
    let copies = copies.iter().map(|c| (&c.store, c.digest.size));
    let files = renditions.iter().flat_map(|r| &r.files).map(|f| (&f.store, f.digest.size));
    let mut bytes = BTreeMap::new();
    for (store, size) in home.chain(copies).chain(files) {
        *bytes.entry(store.clone()).or_default() += codec::signed(size);
    }
    bytes
}

/// Why this one cannot go into the trash, as what is to be known of it.
pub(crate) fn refuses_trash(recording: Option<&Recording>, it: &Trashing) -> Option<String> {
    let Some(recording) = recording else { return Some("the catalog does not know it".into()) };
    if recording.state == State::Deleted {
        return Some("it is deleted already; see its certificate".into());
    }
    if recording.custody.is_trashed() {
        return Some("it is in the trash already".into());
    }
    if let Some(hold) = held(&recording.custody) {
        return Some(hold);
    }
    (recording.revision != it.revision)
        .then(|| "it has changed since it was looked at: look at it again".to_owned())
}

/// By whom and why nothing of it may go, if so.
pub(crate) fn held(custody: &Custody) -> Option<String> {
    let (name, hold) = custody.holds.first_key_value()?;
    let others = match custody.holds.len() - 1 {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    Some(format!("it is held by `{name}` ({}, placed by {}){others}", hold.reason, hold.by))
}

pub(crate) fn trashed(recording: &mut Recording, trash: &Trash) {
    recording.state = State::Trashed;
    recording.reason.clone_from(&trash.reason);
    recording.custody.trash = Some(Trash { purging: None, ..trash.clone() });
}

/// It was archived, and its bytes can be read now.
pub(crate) fn is_readable_again(before: &Held, after: &Held, now: Timestamp) -> bool {
    !before.recording.custody.is_readable(now) && after.recording.custody.is_readable(now)
}

/// Only a purge deletes, and only new bytes bring back: no decision does either.
pub(crate) fn settled_elsewhere(before: State, decided: State) -> bool {
    (before == State::Deleted) != (decided == State::Deleted)
}

pub(crate) fn can_be_held(it: &Recording) -> bool {
    it.state != State::Deleted && it.custody.trash.as_ref().is_none_or(|t| t.purging.is_none())
}

/// Makes the change if it may be made.
pub(crate) fn changed(it: &mut Recording, change: &Change, actor: &str, now: Timestamp) -> Changed {
    if it.state == State::Deleted {
        return Changed::Refused("it is deleted; its certificate is what is left".into());
    }
    if it.custody.trash.as_ref().is_some_and(|t| t.purging.is_some()) {
        return Changed::Refused("its bytes are being removed already: there is no way back".into());
    }
    let custody = &mut it.custody;
    match change {
        Change::Hold { name, reason } => {
            if custody.holds.get(name).is_some_and(|hold| hold.reason == *reason) {
                return Changed::Already;
            }
            let hold = Hold { reason: reason.clone(), by: actor.to_owned(), at: now };
            custody.holds.insert(name.clone(), hold);
        }
        Change::Release { name: Some(name) } => {
            if custody.holds.remove(name).is_none() {
                return Changed::Already;
            }
        }
        Change::Release { name: None } => {
            if custody.holds.is_empty() {
                return Changed::Already;
            }
            custody.holds.clear();
        }
        Change::Undelete { kept_until } => {
            if custody.trash.take().is_none() {
                return Changed::Already;
            }
            revive(it);
            it.custody.kept_until = Some(*kept_until);
        }
        Change::Describe(description) => return described(it, description),
    }
    Changed::Yes
}

/// A recording is described whole or not at all.
fn described(it: &mut Recording, as_: &Description) -> Changed {
    let mut after = it.clone();
    if let Some(title) = &as_.title {
        after.title.clone_from(title);
    }
    after.tags.retain(|tag| !as_.untag.contains(tag));
    after.tags.extend(as_.tags.iter().cloned());
    for name in &as_.unset {
        after.fields.remove(name);
    }
    for (name, value) in as_.fields.iter() {
        if let Err(why) = after.fields.set(name, value) {
            return Changed::Refused(why);
        }
    }
    if after == *it {
        return Changed::Already;
    }
    *it = after;
    Changed::Yes
}

/// Another life begins: what was to be done to the former one is void.
pub(crate) fn revive(it: &mut Recording) {
    it.custody.trash = None;
    it.custody.lives += 1;
    (it.state, it.reason) = (State::Accepted, String::new());
}

/// A hold on a session is one on its tracks, and what is released there is released of them.
pub(crate) fn concerns_tracks(it: &Recording, change: &Change, answer: &Changed) -> bool {
    it.kind == Kind::Session
        && matches!(change, Change::Hold { .. } | Change::Release { .. })
        && !matches!(answer, Changed::Refused(_))
}

/// Why it is not to be purged now; nothing: then it is.
pub(crate) fn refuses_purge(recording: &Recording, spec: &JobSpec, now: Timestamp) -> Option<String> {
    let Action::Purge { life } = spec.action else {
        return Some(format!("{} is no purge", spec.action.label()));
    };
    let custody = &recording.custody;
    let Some(trash) = &custody.trash else {
        return Some("it is not in the trash (any more)".into());
    };
    if life != custody.lives {
        return Some("it came back from the trash since this was decided".into());
    }
    if recording.version != spec.version {
        return Some("it has other bytes than when this was decided".into());
    }
    if trash.purging.is_some() {
        return None;
    }
    if let Some(hold) = held(custody) {
        return Some(hold);
    }
    (now < trash.until).then(|| format!("it stays in the trash until {}", trash.until))
}

/// Why this copy is not to be evicted now; nothing: then it is. `others`: those that would be left, home and all.
pub(crate) fn refuses_evict(
    recording: &Recording,
    spec: &JobSpec,
    keep: u32,
    copies: &[Copy],
) -> Option<String> {
    let Action::Evict { store, .. } = &spec.action else {
        return Some(format!("{} is no eviction", spec.action.label()));
    };
    if recording.custody.is_trashed() {
        return Some("it is in the trash, and goes as a whole".into());
    }
    if let Some(hold) = held(&recording.custody) {
        return Some(hold);
    }
    let is_good = |c: &&Copy| c.bad.is_none() && c.version == recording.version;
    let home = usize::from(recording.custody.place.bad.is_none());
    let left = home + copies.iter().filter(|c| c.store != *store).filter(is_good).count();
    // What does not count is none the less better than nothing.
    let counts = copies.iter().filter(|c| c.store == *store).any(|c| is_good(&c));
    let keep = if counts { keep.max(1) as usize } else { 1 };
    (left < keep).then(|| format!("{left} good copies would be left, and {keep} have to be"))
}

/// What another job that runs at this moment is in the way of, if it is.
pub(crate) fn in_use(spec: &JobSpec, running: &[Action]) -> Option<String> {
    let everything = matches!(spec.action, Action::Purge { .. });
    let concerns = |action: &&Action| {
        everything
            || matches!(
                action,
                Action::Move { .. } | Action::Repair { .. } | Action::Verify { .. } | Action::Purge { .. }
            )
    };
    let action = running.iter().find(concerns)?;
    Some(format!("a worker has it in hand ({})", action.label()))
}

/// From here there is no way back. False when it was so before.
pub(crate) fn begins_to_go(it: &mut Recording, now: Timestamp) -> bool {
    match &mut it.custody.trash {
        Some(trash) if trash.purging.is_none() => {
            trash.purging = Some(now);
            true
        }
        _ => false,
    }
}

/// The copy that this eviction is of.
pub(crate) fn evicted<'a>(spec: &JobSpec, copies: &'a [Copy]) -> Option<&'a Copy> {
    let Action::Evict { store, .. } = &spec.action else { return None };
    copies.iter().find(|c| c.store == *store)
}

/// When the home's bytes were last found equal, if they are to be looked at again.
pub(crate) fn verified_at(it: &Recording) -> Option<i64> {
    let Custody { trash, place, .. } = &it.custody;
    let live = trash.is_none() && it.state != State::Deleted && place.cold.is_none() && place.bad.is_none();
    live.then(|| place.verified_at.unwrap_or(it.accepted_at).0)
}

/// The same of a copy.
pub(crate) fn copy_verified_at(it: &Recording, copy: &Copy) -> Option<i64> {
    let live = !it.custody.is_trashed() && it.state != State::Deleted;
    (live && copy.bad.is_none() && copy.version == it.version).then_some(copy.verified_at.0)
}

/// What an outcome makes of where the bytes are.
#[derive(Debug)]
pub(crate) struct Effect {
    /// As they are afterwards.
    pub held: Held,
    pub alert: Option<Alert>,
}

/// `held`: as they are before. `current`: whether the job worked on the bytes that the recording has now.
pub(crate) fn effect(spec: &JobSpec, outcome: &Outcome, held: &Held, current: bool) -> Result<Effect> {
    let mut after = held.clone();
    let mut alert = None;
    match outcome {
        Outcome::Copied { copy } => {
            if copy.recording != held.recording.id {
                return Err(Error::someone_elses(&held.recording, "copy"));
            }
            after.put(copy.clone());
        }
        Outcome::Placed { place } if current => {
            placed(&mut after.recording, place);
            if let Some(restoring) = place.cold.as_ref().and_then(|cold| cold.restore.as_ref()) {
                accessed(&mut after.recording, restoring.asked_at);
            }
        }
        Outcome::Exported { files, at, .. } if files.iter().any(|f| f.arrival == Arrival::Sent) => {
            accessed(&mut after.recording, *at);
        }
        Outcome::Moved { to, place, keep_until } => {
            if to.recording != held.recording.id {
                return Err(Error::someone_elses(&held.recording, "place"));
            }
            // Promise 2: whoever moves has asked before, and a hold may have come since: this is the last moment.
            if current && let Some(hold) = self::held(&held.recording.custody) {
                return Err(Error::held(spec, &hold));
            }
            if current {
                moved(&mut after, to, place, *keep_until);
            } else if !after.copies.iter().any(|c| c.store == to.store) {
                // Of former bytes: nobody's home, but bytes that are there.
                after.put(to.clone());
            }
        }
        Outcome::Evicted { store } => {
            if *store == held.recording.store {
                return Err(Error::home_is_no_copy(&held.recording));
            }
            after.copies.retain(|c| c.store != *store);
        }
        Outcome::Verified { store, at, bad } if current => {
            if verified(&mut after, store, *at, bad.as_deref())
                && let Some(bad) = bad
            {
                alert = Some(does_not_read_back(&held.recording, spec, store, bad, *at));
            }
        }
        _ => {}
    }
    Ok(Effect { held: after, alert })
}

fn accessed(it: &mut Recording, at: Timestamp) {
    it.custody.last_access = it.custody.last_access.max(Some(at));
}

/// Whoever read the bytes back last knows best whether they are good.
fn placed(it: &mut Recording, place: &Place) {
    let former = std::mem::replace(&mut it.custody.place, place.clone());
    if former.verified_at > place.verified_at {
        (it.custody.place.verified_at, it.custody.place.bad) = (former.verified_at, former.bad);
    }
}

fn moved(held: &mut Held, to: &Copy, place: &Place, keep_until: Timestamp) {
    let it = &mut held.recording;
    if it.store != to.store {
        held.copies.retain(|c| c.store != to.store && c.store != it.store);
        held.copies.push(Copy {
            recording: it.id,
            store: it.store.clone(),
            key: it.key.clone(),
            version: it.version.clone(),
            digest: it.digest,
            verified_at: it.custody.place.verified_at.unwrap_or(it.accepted_at),
            bad: it.custody.place.bad.clone(),
            until: Some(keep_until),
        });
        held.copies.sort_by(|a, b| a.store.cmp(&b.store));
    }
    (it.store, it.key) = (to.store.clone(), to.key.clone());
    it.custody.place = Place { verified_at: place.verified_at.or(Some(to.verified_at)), ..place.clone() };
}

/// True when what was good until now is found bad.
fn verified(held: &mut Held, store: &str, at: Timestamp, bad: Option<&str>) -> bool {
    let it = &mut held.recording;
    let bad = bad.map(str::to_owned);
    if it.store == store {
        let place = &mut it.custody.place;
        if place.verified_at.unwrap_or(it.accepted_at) > at {
            return false;
        }
        let news = place.bad.is_none() && bad.is_some();
        (place.verified_at, place.bad) = (Some(at), bad);
        return news;
    }
    let Some(copy) = held.copies.iter_mut().find(|c| {
        // What is left of former bytes is compared with nothing.
        c.store == store && c.version == it.version && c.verified_at <= at
    }) else {
        return false;
    };
    let news = copy.bad.is_none() && bad.is_some();
    (copy.verified_at, copy.bad) = (at, bad);
    news
}

fn does_not_read_back(it: &Recording, spec: &JobSpec, store: &str, bad: &str, at: Timestamp) -> Alert {
    let what = if it.store == store { "recording" } else { "copy" };
    Alert {
        key: format!("bad:{}:{store}", it.id),
        severity: Severity::Critical,
        service: spec.action.verb().to_owned(),
        subject: format!("the {what} of {} in {store} does not read back as it was accepted", it.name),
        cause: bad.to_owned(),
        next: format!(
            "it is replaced by itself if there is a good copy: see `videorec show {}`; look at the disk or service \
             below {store}, and verify what else it holds",
            it.id.short()
        ),
        recording: Some(it.id),
        at,
    }
}

/// What people are told of a drill, if it failed.
pub(crate) fn drilled(it: &Recording, outcome: &Outcome) -> Option<Alert> {
    let Outcome::Drilled { store, at, failed: Some(failed) } = outcome else { return None };
    Some(Alert {
        key: format!("drill:{}:{store}", it.id),
        severity: Severity::Critical,
        service: "drill".to_owned(),
        subject: format!("a restore drill of {} from {store} failed", it.name),
        cause: failed.clone(),
        next: format!(
            "`videorec copies {} --verify` reads all of its copies again, and what is bad is replaced by a good one; if many \
             fail, look at {store} itself before anybody needs it",
            it.id.short()
        ),
        recording: Some(it.id),
        at: *at,
    })
}

/// What stays of a recording: who it was, and that it is gone.
pub(crate) fn purged(it: &Recording, certificate: &Certificate) -> Result<Recording> {
    let purging = it.custody.trash.as_ref().is_some_and(|t| t.purging.is_some());
    if !purging {
        return Err(Error::not_being_purged(it));
    }
    if certificate.recording != it.id {
        return Err(Error::someone_elses(it, "certificate"));
    }
    let mut it = it.clone();
    it.custody = Custody { lives: it.custody.lives, ..Custody::default() };
    it.state = State::Deleted;
    it.reason = format!("deleted by {}: {}", certificate.rule, certificate.reason);
    Ok(it)
}
