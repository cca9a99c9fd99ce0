use std::collections::BTreeMap;

use anyhow::Result;
use domain::{Clock as _, Facts, RecordingId, Timestamp};
use serde_json::json;
use worker::by_hand::{self, LeftOut};

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
        if config.json {
            print_json(&facts);
        } else {
            rows.extend(rows_of(&facts, now));
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
            }
        }
        if !jobs.is_empty() {
            view.catalog.order(&batch, &jobs, now).await?;
        }
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

fn rows_of(facts: &Facts, now: Timestamp) -> Vec<Vec<String>> {
    let it = &facts.recording;
    let place = &it.custody.place;
    let standing = match (&place.bad, it.custody.is_readable(now), &place.cold) {
        (Some(bad), ..) => format!("bad: {bad}"),
        (None, false, Some(cold)) if cold.restore.is_some() => "being restored".to_owned(),
        (None, false, _) => "archived: restore it to read it".to_owned(),
        _ => "holds the recording".to_owned(),
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

fn print_json(facts: &Facts) {
    let it = &facts.recording;
    ui::json(&json!({
        "recording": it.id, "name": it.name, "store": it.store, "key": it.key, "place": it.custody.place,
        "copies": facts.copies,
    }));
}
