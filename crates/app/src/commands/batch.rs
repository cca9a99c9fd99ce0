use anyhow::Result;
use catalog::{BatchState, BatchStatus};
use domain::Clock as _;

use crate::{
    cli::Batch,
    clock,
    config::Config,
    exit::{Code, Coded},
    ui::{self, text},
    wire::{self, View},
};

pub async fn run(config: &Config, command: &Batch) -> Result<Code> {
    let view = wire::look(config).await?;
    match command {
        Batch::Ls { limit } => list(config, &view, *limit).await,
        Batch::Pause { id } => set(config, &view, id, BatchState::Paused, "paused").await,
        Batch::Resume { id } => set(config, &view, id, BatchState::Running, "goes on").await,
        Batch::Cancel { id } => set(config, &view, id, BatchState::Cancelled, "cancelled").await,
    }
}

async fn list(config: &Config, view: &View, limit: u32) -> Result<Code> {
    let batches = view.catalog.batches(limit).await?;
    if config.json {
        batches.iter().for_each(print_json);
        return Ok(Code::Done);
    }
    if batches.is_empty() {
        ui::line("nothing was ordered");
        return Ok(Code::Done);
    }
    let rows: Vec<_> = batches
        .iter()
        .map(|b| {
            vec![
                b.batch.id.short(),
                b.state.as_str().to_owned(),
                text::inert(&b.batch.verb),
                format!("{}/{}", b.done, total(b)),
                b.running.to_string(),
                b.parked.to_string(),
                text::inert(&b.batch.by),
                text::tail(&b.batch.what, 40),
            ]
        })
        .collect();
    ui::table::print(&["BATCH", "STATE", "VERB", "DONE", "RUNNING", "GAVE UP", "BY", "OF"], &rows);
    Ok(Code::Done)
}

async fn set(config: &Config, view: &View, prefix: &str, state: BatchState, done: &str) -> Result<Code> {
    let batches = view.catalog.batches(1000).await?;
    let prefix = prefix.to_lowercase();
    let ids = batches.iter().map(|b| b.batch.id);
    let found: Vec<_> = ids.filter(|id| id.to_string().starts_with(&prefix)).collect();
    let &[id] = found.as_slice() else {
        let why = if found.is_empty() { "no batch's id begins" } else { "several batches' ids begin" };
        let why = format!("{why} with `{}`; see `videorec batch ls`", text::inert(&prefix));
        return Err(Coded::error(Code::NotFound, why));
    };
    let changed = view.catalog.set_batch(id, state, &config.actor, clock::System.now()).await?;
    if config.json {
        ui::json(&serde_json::json!({ "batch": id, "state": state.as_str(), "changed": changed }));
    } else if !changed {
        ui::line("it is so already, or cancelled: that is final");
    } else {
        ui::line(&format!("batch {} {done}", id.short()));
    }
    Ok(Code::Done)
}

fn total(b: &BatchStatus) -> u64 {
    b.pending + b.running + b.done + b.parked + b.cancelled
}

fn print_json(b: &BatchStatus) {
    ui::json(&serde_json::json!({
        "batch": b.batch.id, "verb": b.batch.verb, "by": b.batch.by, "of": b.batch.what,
        "created_at": b.batch.created_at, "state": b.state, "pending": b.pending, "running": b.running,
        "done": b.done, "parked": b.parked, "cancelled": b.cancelled,
    }));
}
