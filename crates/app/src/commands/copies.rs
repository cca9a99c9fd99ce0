use anyhow::Result;
use domain::{Clock as _, Facts, Timestamp};
use serde_json::json;

use super::which;
use crate::{
    cli::Copies,
    clock,
    config::Config,
    exit::Code,
    ui::{self, text},
    wire,
};

pub async fn run(config: &Config, args: &Copies) -> Result<Code> {
    let view = wire::look(config).await?;
    let ids = which::ids(&view, &args.which).await?;
    let now = clock::System.now();
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
