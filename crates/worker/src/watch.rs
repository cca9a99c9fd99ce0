//! Early notice, once an hour: what fills up, what is unlike itself, what nobody has looked at. The judging is pure and
//! lives in `alerts`; here it gets its numbers, and what it has to remember is kept in the catalog for whoever leads next.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use alerts::{
    anomaly::{self, Counted},
    capacity,
    escalation::{Next, Open, Pace},
    silence, transitions,
};
use anyhow::{Context as _, Result};
use catalog::{Happening, JobFilter, Told};
use domain::{Action, Alert, JobState, Severity, Timestamp};
use serde::{Serialize, de::DeserializeOwned};
use tracing::{info, warn};

use crate::{Library, drift, survey};

const HOUR: Duration = Duration::from_secs(60 * 60);
/// After trouble.
const TROUBLE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How far back what an hour is compared with may lie.
const WEEKS: Duration = Duration::from_secs(9 * 7 * 24 * 60 * 60);
/// What a source's habit is read from.
const HABIT: Duration = Duration::from_secs(15 * 24 * 60 * 60);
/// Sources whose habits are remembered; more are not a matter of single sources any more.
const SOURCES: usize = 500;
/// Jobs looked at for being open for days: more are counted as so many.
const STUCK: u32 = 1000;
/// Alerts looked at for being taken up by nobody.
const LATEST: u32 = 500;

/// What is remembered from one hour to the next, by name.
const OPEN: &str = "watch:open";
const ARRIVALS: &str = "watch:arrivals";
const CAPACITY: &str = "watch:capacity";
const DIGEST: &str = "watch:digest";

#[derive(Default)]
pub(crate) struct Watch {
    after: Option<Timestamp>,
}

impl Watch {
    pub(crate) async fn turn(&mut self, library: &Library) -> Result<()> {
        let now = library.now();
        if self.after.is_some_and(|after| now < after) {
            return Ok(());
        }
        self.after = Some(now + TROUBLE);
        // Whoever leads next has done it already when it is done within this hour.
        if library.catalog.sample(now).await.context("noting how full stores are")? {
            let wrong = wrong(library, now).await?;
            tell(library, wrong, now).await.context("telling what is wrong")?;
            escalate(library, now).await.context("asking who has taken up what")?;
            digest(library, now).await?;
        }
        self.after = Some(Timestamp(now.0 - now.0.rem_euclid(hour_ms())) + HOUR);
        Ok(())
    }
}

fn hour_ms() -> i64 {
    i64::try_from(HOUR.as_millis()).unwrap_or(i64::MAX)
}

/// All that is wrong now, as long as it is.
async fn wrong(library: &Library, now: Timestamp) -> Result<Vec<Alert>> {
    let samples = library.catalog.samples(now - WEEKS).await?;
    let mut wrong = fill(library, &samples, now).await.context("looking how stores fill up")?;
    wrong.extend(counts(library, &samples, now).await.context("comparing the last hour")?);
    wrong.extend(silent(library, now).await.context("looking for silent sources")?);
    wrong.extend(dead_letters(library, now).await?);
    wrong.extend(stuck(library, now).await.context("looking for what is not archived")?);
    wrong.extend(survey::wrong(library, now).await.context("looking at copies and restores")?);
    wrong.extend(drift::wrong(library, now).await.context("looking whether stores and the catalog agree")?);
    Ok(wrong)
}

async fn fill(library: &Library, samples: &[catalog::Sample], now: Timestamp) -> Result<Vec<Alert>> {
    let mut states: BTreeMap<String, capacity::State> = remembered(library, CAPACITY).await?;
    let mut alerts = Vec::new();
    for (name, store) in library.policy.stores() {
        let Some(capacity) = store.capacity else { continue };
        let of_store = samples.iter().filter(|s| s.store == *name);
        let samples: Vec<_> = of_store.map(|s| capacity::Sample { at: s.at, bytes: s.bytes }).collect();
        let before = states.get(name).copied().unwrap_or_default();
        let found = capacity::assess(&capacity::Store { name, capacity, samples: &samples }, before, now);
        states.insert(name.clone(), found.state);
        alerts.extend(found.alerts);
    }
    remember(library, CAPACITY, &states).await?;
    Ok(alerts)
}

/// The hour that is over against the same hour of other weeks.
async fn counts(library: &Library, samples: &[catalog::Sample], now: Timestamp) -> Result<Vec<Alert>> {
    let hours = library.catalog.hourly(now - WEEKS).await?;
    let count = |at: Timestamp, what: Happening| {
        let hour = hours.iter().find(|h| h.at == at);
        hour.and_then(|h| h.counts.get(&what)).copied().unwrap_or(0)
    };
    let begun = |at: Timestamp| Timestamp(at.0 - at.0.rem_euclid(hour_ms()));
    // Hours that nobody watched are not hours in which nothing happened.
    let watched: BTreeSet<Timestamp> = samples.iter().map(|s| begun(s.at)).collect();
    let last = begun(now) - HOUR;
    if !watched.contains(&last) {
        return Ok(Vec::new());
    }
    let history = |what: Happening| -> Vec<anomaly::Hour> {
        let before = watched.iter().filter(|at| **at < last);
        before.map(|at| anomaly::Hour { at: *at, count: count(*at, what) }).collect()
    };
    let hour = |what: Happening| anomaly::Hour { at: last, count: count(last, what) };
    let mut alerts = Vec::new();
    for (what, counted) in [(Happening::Accepted, Counted::Ingest), (Happening::Trashed, Counted::Deletes)] {
        alerts.extend(anomaly::unusual(counted, &history(what), hour(what)));
    }
    let went_well = count(last, Happening::Accepted);
    alerts.extend(anomaly::failures(&history(Happening::Parked), hour(Happening::Parked), went_well));
    Ok(alerts)
}

/// A source's habit is learnt by noting its last arrival once an hour.
async fn silent(library: &Library, now: Timestamp) -> Result<Vec<Alert>> {
    let mut arrivals: BTreeMap<String, Vec<Timestamp>> = remembered(library, ARRIVALS).await?;
    for (source, at) in library.catalog.last_by_source(now - HABIT).await? {
        if arrivals.len() < SOURCES || arrivals.contains_key(&source) {
            let known = arrivals.entry(source).or_default();
            if known.last().is_none_or(|last| *last < at) {
                known.push(at);
            }
        }
    }
    for known in arrivals.values_mut() {
        // The last one stays, or a source that is silent for long would be forgotten instead of told of.
        let newest = known.last().copied();
        known.retain(|at| now.since(*at) <= HABIT || Some(*at) >= newest.map(|n| n - HABIT));
    }
    arrivals.retain(|_, known| known.last().is_some_and(|last| now.since(*last) <= 2 * HABIT));
    remember(library, ARRIVALS, &arrivals).await?;
    Ok(arrivals.iter().filter_map(|(source, known)| silence::silent(source, known, now)).collect())
}

async fn dead_letters(library: &Library, now: Timestamp) -> Result<Option<Alert>> {
    let counts = match library.letters.dead_counts().await {
        Ok(counts) => counts,
        Err(e) => {
            warn!(error = %e, "the dead letters cannot be counted");
            return Ok(None);
        }
    };
    let dead: u64 = counts.iter().map(|(_, n)| n).sum();
    let lanes: Vec<_> =
        counts.iter().filter(|(_, n)| *n > 0).map(|(lane, n)| format!("{} of {n}", lane.as_str())).collect();
    Ok((dead > 0).then(|| Alert {
        key: "dead-letters".into(),
        severity: Severity::Warning,
        service: "queue".into(),
        subject: format!("{dead} messages could not be read or done"),
        cause: format!("In the dead-letter queues: {}.", lanes.join(", ")),
        next: "`videorec dlq ls` shows them with their reasons; `redrive` sends them again, `drop` removes them.".into(),
        recording: None,
        at: now,
    }))
}

/// What is to lie elsewhere and does not, days after somebody could have taken it up. What gave up was told of when it did.
async fn stuck(library: &Library, now: Timestamp) -> Result<Vec<Alert>> {
    let open = JobFilter {
        states: vec![JobState::Pending, JobState::Running],
        due_before: Some(now - transitions::UNCONFIRMED),
        ..JobFilter::default()
    };
    let mut found = survey::unmoved(library).await?;
    for job in library.catalog.jobs(&open, STUCK).await? {
        let spec = &job.spec;
        if !matches!(spec.action, Action::Archive { .. } | Action::Move { .. }) {
            continue;
        }
        let Some(it) = library.catalog.get(spec.recording).await? else { continue };
        let name = format!("{} ({}): {}", it.name, it.id.short(), spec.action.label());
        found.entry(it.store).or_default().add(name, job.run_after);
    }
    Ok(found.iter().filter_map(|(store, found)| transitions::unconfirmed(store, found, now)).collect())
}

/// Once when it begins, again while nobody takes it up, and not while it lasts.
async fn tell(library: &Library, wrong: Vec<Alert>, now: Timestamp) -> Result<()> {
    let mut open: Vec<Open> = remembered(library, OPEN).await?;
    let acked: BTreeSet<String> =
        latest(library).await?.into_iter().filter(|t| t.acked_at.is_some()).map(|t| t.alert.key).collect();
    for it in open.iter_mut().filter(|it| acked.contains(&it.alert.key)) {
        it.acknowledge(now);
    }
    let round = Pace::default().round(open, wrong, now);
    for alert in &round.over {
        info!(key = alert.key, "over: {}", alert.subject);
    }
    // Raised first: when remembering fails it is raised again, and the catalog knows that it is old news.
    library.catalog.raise(&round.tell).await?;
    remember(library, OPEN, &round.open).await
}

/// What was told once, of one recording or one run, and what nobody has taken up since.
async fn escalate(library: &Library, now: Timestamp) -> Result<()> {
    let lasting: Vec<Open> = remembered(library, OPEN).await?;
    let pace = Pace::default();
    let mut escalated = Vec::new();
    for told in latest(library).await? {
        let kept = lasting.iter().any(|open| open.alert.key == told.alert.key);
        // Older news than a week is for the one who reads the list.
        if kept || told.alert.severity != Severity::Critical || now.since(told.alert.at) > 7 * DAY {
            continue;
        }
        let open = Open {
            raised_at: told.alert.at,
            told_at: told.escalated_at.or(told.sent_at),
            times: told.escalations + u32::from(told.sent_at.is_some()),
            acked_at: told.acked_at,
            gone_at: None,
            alert: told.alert,
        };
        if pace.next(&open, now) == Next::Escalate {
            match library.alerts.tell(&open.again(now)).await {
                Ok(()) => escalated.push(told.seq),
                Err(e) => {
                    warn!(error = %e, open.alert.key, "nobody can be told again; trying again in an hour")
                }
            }
        }
    }
    Ok(library.catalog.escalated(&escalated, now).await?)
}

/// What a day has brought, in one message, after midnight (UTC).
async fn digest(library: &Library, now: Timestamp) -> Result<()> {
    let today = (now.0.div_euclid(hour_ms() * 24)).to_string();
    if library.catalog.bookmark(DIGEST).await?.as_deref() == Some(&today) {
        return Ok(());
    }
    let latest = latest(library).await?;
    let digest = alerts::Digest::of(latest.iter().map(|told| &told.alert), now);
    if !digest.is_empty()
        && let Err(e) = library.alerts.digest(&digest).await
    {
        warn!(error = %e, "the day's digest is not delivered; trying again in an hour");
        return Ok(());
    }
    Ok(library.catalog.set_bookmark(DIGEST, Some(&today)).await?)
}

async fn latest(library: &Library) -> Result<Vec<Told>> {
    Ok(library.catalog.alerts(LATEST).await?)
}

/// What cannot be read any more (of another version) is forgotten: at worst something is told twice.
pub(crate) async fn remembered<T: DeserializeOwned + Default>(library: &Library, name: &str) -> Result<T> {
    let text = library.catalog.bookmark(name).await?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

pub(crate) async fn remember<T: Serialize + Sync>(library: &Library, name: &str, value: &T) -> Result<()> {
    Ok(library.catalog.set_bookmark(name, Some(&serde_json::to_string(value)?)).await?)
}
