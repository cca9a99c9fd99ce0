//! Restore drills: copies are fetched as if their recordings were lost, before anybody needs them.
//!
//! They come in the order of the recordings' ids, which are hashes: at random, and each has its turn before any has its second.

use std::time::Duration;

use anyhow::Result;
use domain::{Action, Copy, Facts, JobSpec, Lane, RecordingId, State, Timestamp};
use serde::{Deserialize, Serialize};
use storage::ErrorKind;

use crate::{
    Library,
    by_hand::batch,
    library::stored_key,
    watch::{remember, remembered},
};

const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Drills ordered at a time: after a month in which nobody led, not all that were missed.
const MOST: u64 = 50;
/// Facts in memory at a time.
const PAGE: u32 = 256;
/// Pages looked through at a time, where hardly anything has a copy.
const PAGES: u32 = 40;
const DRILLS: &str = "drills";

/// For whoever leads next.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Turn {
    /// Whose turn was last.
    after: Option<RecordingId>,
    /// Until when what is due has been ordered.
    ordered: Option<Timestamp>,
}

/// Orders the drills that are due by now.
pub(crate) async fn order(library: &Library, now: Timestamp) -> Result<()> {
    let permille = library.policy.protect().drills_permille;
    if permille == 0 {
        return Ok(());
    }
    let mut turn: Turn = remembered(library, DRILLS).await?;
    let Some(ordered) = turn.ordered else {
        turn.ordered = Some(now);
        return remember(library, DRILLS, &turn).await;
    };
    let counts = library.catalog.counts().await?.recordings;
    let gone = |state: &State| matches!(state, State::Trashed | State::Deleted);
    let total = counts.iter().filter(|(state, _)| !gone(state)).map(|(_, n)| n).sum();
    let Some(pause) = pause(total, permille) else { return Ok(()) };
    let due = missed(now.since(ordered), pause);
    if due == 0 {
        return Ok(());
    }
    let jobs = next(library, &mut turn.after, due, now).await?;
    if !jobs.is_empty() {
        let batch = batch("drill", "policy", "each copy in its turn", now);
        library.catalog.order(&batch, &jobs, now).await?;
    }
    // What is more than can be ordered at once is let go.
    let behind =
        if due >= MOST { Duration::ZERO } else { now.since(ordered).saturating_sub(pause * due as u32) };
    turn.ordered = Some(now - behind);
    remember(library, DRILLS, &turn).await
}

/// Between one drill and the next, so that the share is reached within a month; nothing where there is nothing.
fn pause(total: u64, permille: u32) -> Option<Duration> {
    let wanted = total.saturating_mul(u64::from(permille));
    let millis = u64::try_from(MONTH.as_millis()).unwrap_or(u64::MAX);
    (wanted > 0).then(|| Duration::from_millis((millis.saturating_mul(1000) / wanted).max(1)))
}

/// Drills that are due after so long.
fn missed(time: Duration, pause: Duration) -> u64 {
    u64::try_from(time.as_millis() / pause.as_millis().max(1)).unwrap_or(u64::MAX).min(MOST)
}

/// The copies whose turn is next, once around at most.
async fn next(
    library: &Library,
    after: &mut Option<RecordingId>,
    most: u64,
    now: Timestamp,
) -> Result<Vec<JobSpec>> {
    let mut jobs = Vec::new();
    let mut is_around = after.is_none();
    for _ in 0..PAGES {
        let page = library.catalog.facts_page(*after, PAGE).await?;
        for facts in &page {
            if jobs.len() as u64 == most {
                return Ok(jobs);
            }
            *after = Some(facts.recording.id);
            if let Some(copy) = candidate(facts, now)
                && is_readable(library, copy).await
            {
                jobs.push(job(facts, &copy.store, now));
            }
        }
        if page.len() < PAGE as usize {
            *after = None;
            if std::mem::replace(&mut is_around, true) {
                break;
            }
        }
    }
    Ok(jobs)
}

/// A good copy other than the home; of several, each month another.
fn candidate(facts: &Facts, now: Timestamp) -> Option<&Copy> {
    let it = &facts.recording;
    if matches!(it.state, State::Trashed | State::Deleted) {
        return None;
    }
    let good =
        |c: &&Copy| c.bad.is_none() && c.until.is_none() && c.version == it.version && c.store != it.store;
    let good: Vec<&Copy> = facts.copies.iter().filter(good).collect();
    let month = u128::try_from(now.0).unwrap_or_default() / MONTH.as_millis();
    good.get(usize::try_from(month % good.len().max(1) as u128).ok()?).copied()
}

/// What lies in an archive is left alone until somebody restores it; what cannot be asked, verifying tells of.
async fn is_readable(library: &Library, copy: &Copy) -> bool {
    let (Ok(store), Ok(key)) = (library.stores.get(&copy.store), stored_key(&copy.key)) else { return false };
    let Ok(meta) = store.head(&key).await else { return false };
    match store.tier(&key, &meta.version).await {
        Ok(tier) => tier.access.is_readable(),
        // There are no classes.
        Err(e) => e.kind() == ErrorKind::Invalid,
    }
}

fn job(facts: &Facts, store: &str, now: Timestamp) -> JobSpec {
    let it = &facts.recording;
    let action = Action::Drill { store: store.to_owned(), asked: now };
    JobSpec {
        id: action.job_id(it.id, &it.version),
        recording: it.id,
        version: it.version.clone(),
        action,
        lane: Lane::Bulk,
        rule: "drills".into(),
        reason: "It is its copy's turn to be restored on trial.".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_reached_within_a_month() {
        let days = |n: u64| Duration::from_secs(n * 24 * 60 * 60);
        assert_eq!(pause(0, 10), None);
        // 1% of 3,000 are one a day.
        assert_eq!(pause(3_000, 10), Some(days(1)));
        assert_eq!(pause(100, 10), Some(MONTH));
        assert_eq!(
            (missed(days(1), days(1)), missed(days(5) / 2, days(1)), missed(days(0), days(1))),
            (1, 2, 0)
        );
        assert_eq!(missed(days(365), days(1)), MOST, "not all that a year without a leader missed");
        assert!(pause(u64::MAX, 1_000).unwrap() >= Duration::from_millis(1));
    }
}
