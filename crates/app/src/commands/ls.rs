use std::collections::BTreeSet;

use anyhow::Result;
use catalog::{Cursor, Query};
use domain::{Recording, Rendition};
use serde::Serialize;

use crate::{
    cli::{Ls, Search},
    config::Config,
    exit::{Code, Coded},
    ui::{self, text},
    wire::{self, View},
};

pub async fn list(config: &Config, args: &Ls) -> Result<Code> {
    let view = wire::look(config).await?;
    page(config, &view, &Query::default(), args.limit, args.after, args.renditions).await
}

pub async fn search(config: &Config, args: &Search) -> Result<Code> {
    let view = wire::look(config).await?;
    let query: Query = args.words.join(" ").parse().map_err(|e| Coded::error(Code::Usage, format!("{e}")))?;
    let found = page(config, &view, &query, args.limit, args.after, false).await?;
    // What the policy knows nothing of may be there all the same, and is looked for; but a typing mistake is to be seen.
    // A fleet's policy is there once a worker was.
    if query.own_fields().next().is_some()
        && let Ok(file) = wire::policy_of(config, &view).await
    {
        let policy = file.policy;
        let unknown: BTreeSet<String> =
            query.own_fields().filter_map(|name| policy.knows_field(name).err()).collect();
        unknown.iter().for_each(|message| eprintln!("videorec: {message}"));
    }
    Ok(found)
}

/// A line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    recording: &'a Recording,
    #[serde(skip_serializing_if = "Option::is_none")]
    renditions: Option<Vec<Rendition>>,
}

async fn page(
    config: &Config,
    view: &View,
    query: &Query,
    limit: u32,
    after: Option<Cursor>,
    with_renditions: bool,
) -> Result<Code> {
    let page = view.catalog.search(query, limit, after).await?;
    let mut rows = Vec::new();
    for recording in &page.hits {
        let renditions = match with_renditions {
            true => Some(view.catalog.renditions(recording.id).await?),
            false => None,
        };
        if config.json {
            ui::json(&Line { recording, renditions });
        } else {
            rows.push(row(recording));
            rows.extend(renditions.into_iter().flatten().map(|r| rendition_row(&r)));
        }
    }
    if config.json {
        if let Some(next) = page.next {
            // Not among the recordings, where every line is one.
            eprintln!("{}", serde_json::json!({ "next": next.to_string() }));
        }
        return Ok(Code::Done);
    }
    if rows.is_empty() {
        ui::line("nothing found");
        return Ok(Code::Done);
    }
    ui::table::print(&["ID", "STATE", "LENGTH", "SIZE", "NAME", "NOTE"], &rows);
    if let Some(next) = page.next {
        ui::line(&format!("more: add --after {next}"));
    }
    Ok(Code::Done)
}

pub fn row(recording: &Recording) -> Vec<String> {
    let length = recording.media().map(|m| text::duration(std::time::Duration::from_millis(m.duration_ms)));
    let size = match recording.tracks.len() {
        0 => text::bytes(recording.digest.size),
        n => text::count(n as u64, "track"),
    };
    vec![
        recording.id.short(),
        recording.state.as_str().to_owned(),
        length.unwrap_or_default(),
        size,
        text::tail(&recording.name, 40),
        text::inert(&recording.reason),
    ]
}

fn rendition_row(rendition: &Rendition) -> Vec<String> {
    let length =
        rendition.facts.as_ref().map(|m| text::duration(std::time::Duration::from_millis(m.duration_ms)));
    let size = rendition.files.iter().map(|f| f.digest.size).sum();
    vec![
        String::new(),
        String::new(),
        length.unwrap_or_default(),
        text::bytes(size),
        format!("  {}", rendition.name),
        text::inert(rendition.partial.as_deref().unwrap_or_default()),
    ]
}
