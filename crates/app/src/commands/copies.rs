use std::collections::BTreeMap;

use alerts::restores;
use anyhow::Result;
use catalog::JobFilter;
use domain::{Clock as _, Facts, JobState, Outcome, RecordingId, Speed, Timestamp, Transition};
use serde::Serialize;
use serde_json::json;
use worker::{
    by_hand::{self, LeftOut},
    plan::{Frozen, Prices},
};

use super::which;
use crate::{
    cli::Copies,
    clock,
    config::Config,
    exit::Code,
    ui::{self, text},
    wire::{self, View},
};

/// Recordings ordered at a time.
const PAGE: usize = 256;
/// A recording's finished jobs at a time; the last look at a restore is among the newest.
const LOOKS: u32 = 200;

pub async fn run(config: &Config, args: &Copies) -> Result<Code> {
    let view = wire::look(config).await?;
    let ids = which::ids(&view, &args.which).await?;
    let now = clock::System.now();
    if args.verify {
        return verify(config, &view, &which::words(&args.which), &ids, now).await;
    }
    let mut rows = Vec::new();
    for id in ids.iter().take(args.limit as usize) {
        let Some(facts) = view.catalog.facts(*id).await? else { continue };
        let restore = UnderWay::of(&view, &facts).await?;
        let drills = last_drills(&view, *id).await?;
        if config.json {
            print_json(&facts, restore.as_ref(), &drills);
        } else {
            rows.extend(rows_of(&facts, restore.as_ref(), &drills, now));
        }
    }
    if !config.json {
        ui::table::print(&["ID", "STORE", "CLASS", "READ BACK", "STANDING", "NAME"], &rows);
        let more = ids.len().saturating_sub(args.limit as usize);
        if more > 0 {
            ui::line(&format!("and {}: --limit shows more", text::count(more as u64, "recording")));
        }
    }
    Ok(Code::Done)
}

/// Has all of them read back, as the jobs of a batch.
async fn verify(
    config: &Config,
    view: &View,
    what: &str,
    ids: &[RecordingId],
    now: Timestamp,
) -> Result<Code> {
    let batch = by_hand::batch("verify", &config.actor, what, now);
    let (mut recordings, mut copies, mut left_out) = (0, 0, BTreeMap::<String, u64>::new());
    let mut frozen = Frozen::default();
    for page in ids.chunks(PAGE) {
        let mut jobs = Vec::new();
        for id in page {
            let Some(facts) = view.catalog.facts(*id).await? else { continue };
            match by_hand::verify(&batch, &facts, now) {
                Ok(ordered) => {
                    recordings += 1;
                    copies += ordered.len() as u64;
                    jobs.extend(ordered);
                }
                Err(LeftOut::Already(why) | LeftOut::Refused(why)) => *left_out.entry(why).or_default() += 1,
                Err(LeftOut::Frozen(some)) => frozen.add(&some),
            }
        }
        if !jobs.is_empty() {
            view.catalog.order(&batch, &jobs, now).await?;
        }
    }
    if !frozen.is_empty() {
        let why = format!("{} and there is no other copy", frozen.describe(&Prices::shipped()));
        left_out.insert(why, frozen.objects());
    }
    if config.json {
        ui::json(
            &json!({ "batch": (copies > 0).then_some(&batch.id), "verb": "verify", "recordings": recordings,
                          "copies": copies, "refused": left_out }),
        );
    } else {
        ui::line(&format!("verify: {}, {} places", text::count(recordings, "recording"), copies));
        for (why, n) in &left_out {
            ui::line(&format!("left out: {n}: {}", text::inert(why)));
        }
        if copies > 0 {
            let who = view.layout.as_ref().map_or("the fleet's workers do it", |_| "`videorec up` does it");
            ui::line(&format!("batch {}: {who}; `videorec batch ls` shows how far it is", batch.id.short()));
        }
    }
    Ok(if left_out.is_empty() { Code::Done } else { Code::Partly })
}

/// A restore that goes on.
#[derive(Serialize)]
struct UnderWay {
    speed: Speed,
    asked_at: Timestamp,
    /// As its service says.
    expected_by: Timestamp,
    /// When somebody looked last whether it has come.
    looked_at: Option<Timestamp>,
}

impl UnderWay {
    async fn of(view: &View, facts: &Facts) -> Result<Option<Self>> {
        let it = &facts.recording;
        let place = &it.custody.place;
        let restore = place.cold.as_ref().and_then(|cold| cold.restore.as_ref());
        let Some(restore) = restore.filter(|r| r.until.is_none()) else { return Ok(None) };
        let done = JobFilter { states: vec![JobState::Done], recording: Some(it.id), ..JobFilter::default() };
        let jobs = view.catalog.jobs(&done, LOOKS).await?;
        let looks = jobs.iter().filter(|job| job.spec.action.verb() == "restore");
        let takes = restores::takes(place.class.as_deref().unwrap_or_default(), restore.speed);
        Ok(Some(Self {
            speed: restore.speed,
            asked_at: restore.asked_at,
            expected_by: restore.asked_at + takes,
            looked_at: looks.filter_map(|job| job.finished_at).max(),
        }))
    }

    fn standing(&self, now: Timestamp) -> String {
        let ago = |at: Timestamp| text::ago(now.since(at));
        let looked = self.looked_at.map(|at| format!(", looked at {}", ago(at))).unwrap_or_default();
        let (speed, asked, by) = (self.speed.as_str(), ago(self.asked_at), self.expected_by);
        format!("being restored ({speed}): asked for {asked}, expected by {by}{looked}")
    }
}

/// The last time that a copy was restored on trial.
#[derive(Serialize)]
struct Drill {
    at: Timestamp,
    failed: Option<String>,
}

impl Drill {
    fn standing(&self, now: Timestamp) -> String {
        let at = text::ago(now.since(self.at));
        match &self.failed {
            None => format!("restored on trial {at}"),
            Some(failed) => format!("its drill {at} failed: {failed}"),
        }
    }
}

/// By store.
async fn last_drills(view: &View, id: RecordingId) -> Result<BTreeMap<String, Drill>> {
    let done = JobFilter { states: vec![JobState::Done], recording: Some(id), ..JobFilter::default() };
    let (mut drills, mut after) = (BTreeMap::new(), None);
    loop {
        let page = view.catalog.ended(&done, after, LOOKS).await?;
        let is_last = page.len() < LOOKS as usize;
        after = page.last().map(|ended| ended.seq);
        for ended in page {
            if let Some(Outcome::Drilled { store, at, failed }) = ended.outcome {
                drills.insert(store, Drill { at, failed });
            }
        }
        if is_last {
            return Ok(drills);
        }
    }
}

fn rows_of(
    facts: &Facts,
    restore: Option<&UnderWay>,
    drills: &BTreeMap<String, Drill>,
    now: Timestamp,
) -> Vec<Vec<String>> {
    let it = &facts.recording;
    let place = &it.custody.place;
    let standing = match (&place.bad, it.custody.is_readable(now), restore) {
        (Some(bad), ..) => format!("bad: {bad}"),
        (None, _, Some(restore)) => restore.standing(now),
        (None, false, None) => "archived: restore it to read it".to_owned(),
        _ => match &place.transition {
            Some(Transition { class, asked_at, .. }) => {
                format!(
                    "holds the recording; {class} was asked of its bucket's rules {}",
                    text::ago(now.since(*asked_at))
                )
            }
            None => "holds the recording".to_owned(),
        },
    };
    let age = |at: Timestamp| text::ago(now.since(at));
    let mut rows = vec![vec![
        it.id.short(),
        it.store.clone(),
        place.class.clone().unwrap_or_default(),
        age(place.verified_at.unwrap_or(it.accepted_at)),
        text::inert(&standing),
        text::tail(&it.name, 40),
    ]];
    rows.extend(facts.copies.iter().map(|copy| {
        let standing = match (&copy.bad, copy.until, copy.version == it.version) {
            (Some(bad), ..) => format!("bad: {bad}"),
            (None, _, false) => "of former bytes".to_owned(),
            (None, Some(until), true) => format!("stays until {until}"),
            (None, None, true) => "verified copy".to_owned(),
        };
        let drill = drills.get(&copy.store).map(|drill| format!("; {}", drill.standing(now)));
        let standing = standing + &drill.unwrap_or_default();
        vec![
            String::new(),
            copy.store.clone(),
            String::new(),
            age(copy.verified_at),
            text::inert(&standing),
            String::new(),
        ]
    }));
    rows
}

fn print_json(facts: &Facts, restore: Option<&UnderWay>, drills: &BTreeMap<String, Drill>) {
    let it = &facts.recording;
    ui::json(&json!({
        "recording": it.id, "name": it.name, "store": it.store, "key": it.key, "place": it.custody.place,
        "copies": facts.copies, "restoring": restore, "drills": drills,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_says_when_it_was_asked_for_and_when_it_is_expected() {
        let minutes = |n: i64| Timestamp(n * 60_000);
        let (asked_at, expected_by) = (minutes(0), minutes(300));
        let restore = UnderWay { speed: Speed::Standard, asked_at, expected_by, looked_at: None };
        let told = restore.standing(minutes(120));
        let expected = format!(
            "being restored (standard): asked for {}, expected by 1970-01-01T05:00:00Z",
            text::ago(std::time::Duration::from_secs(7200))
        );
        assert_eq!(told, expected);
        let looked = UnderWay { looked_at: Some(minutes(60)), ..restore };
        assert!(looked.standing(minutes(120)).starts_with(&format!("{expected}, looked at ")));
    }
}
