use std::time::Duration;

use anyhow::Result;
use catalog::{BatchState, BatchStatus, Ended, JobFilter};
use domain::{Clock as _, JobState, Outcome, Timestamp};

use crate::{
    cli::Batch,
    clock,
    config::Config,
    exit::{Code, Coded},
    ui::{self, text},
    wire::{self, View},
};

/// Jobs in memory at a time.
const PAGE: u32 = 500;

pub async fn run(config: &Config, command: &Batch) -> Result<Code> {
    let view = wire::look(config).await?;
    match command {
        Batch::Ls { limit } => list(config, &view, *limit).await,
        Batch::Show { id } => show(config, &view, id).await,
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
                b.word().to_owned(),
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

/// The one whose id begins like this.
async fn one(view: &View, prefix: &str) -> Result<BatchStatus> {
    let batches = view.catalog.batches(1000).await?;
    let prefix = prefix.to_lowercase();
    let is_it = |b: &BatchStatus| b.batch.id.to_string().starts_with(&prefix);
    let mut found: Vec<_> = batches.into_iter().filter(is_it).collect();
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (any, _) => {
            let why = if any.is_none() { "no batch's id begins" } else { "several batches' ids begin" };
            let why = format!("{why} with `{}`; see `videorec batch ls`", text::inert(&prefix));
            Err(Coded::error(Code::NotFound, why))
        }
    }
}

/// What came of those of its jobs that ended.
#[derive(Default)]
struct Came {
    done: u64,
    bytes: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    /// Jobs that gave up, and why.
    failed: Vec<(String, String)>,
}

impl Came {
    fn add(&mut self, ended: &Ended) {
        let job = &ended.job;
        match &ended.outcome {
            Some(Outcome::Exported { files, .. }) => {
                self.bytes += files.iter().map(|f| f.digest.size).sum::<u64>();
            }
            Some(Outcome::Copied { copy } | Outcome::Moved { to: copy, .. }) => {
                self.bytes += copy.digest.size
            }
            _ => {}
        }
        match (job.state, &job.error) {
            (JobState::Done, _) => {
                self.done += 1;
                self.first = self.first.or(job.finished_at).min(job.finished_at);
                self.last = self.last.max(job.finished_at);
            }
            (JobState::Parked, error) => {
                let why = error.as_ref().map(|e| e.message.clone()).unwrap_or_default();
                self.failed.push((job.spec.recording.short(), why));
            }
            _ => {}
        }
    }

    /// How long so many more will take, by how long those took that are done.
    fn left(&self, more: u64) -> Option<Duration> {
        let took = self.last?.since(self.first?).as_secs_f64();
        // Nothing is known by one alone.
        let done = self.done.checked_sub(1).filter(|done| *done > 0 && more > 0)?;
        Some(Duration::from_secs_f64(took / done as f64 * more as f64))
    }
}

async fn show(config: &Config, view: &View, prefix: &str) -> Result<Code> {
    let status = one(view, prefix).await?;
    let id = status.batch.id;
    let of = |states: Vec<JobState>| JobFilter { states, batch: Some(id), ..JobFilter::default() };
    let (mut came, mut after) = (Came::default(), None);
    loop {
        let page = view.catalog.ended(&of(Vec::new()), after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.seq);
        page.iter().for_each(|ended| came.add(ended));
    }
    let running = view.catalog.jobs(&of(vec![JobState::Running]), PAGE).await?;
    let left = came.left(status.pending + status.running);
    if config.json {
        let mut object = as_json(&status);
        object["bytes_done"] = came.bytes.into();
        object["eta_seconds"] = left.map(|d| d.as_secs()).into();
        object["under_way"] = serde_json::json!(running);
        object["failed"] = serde_json::json!(
            came.failed
                .iter()
                .map(|(id, why)| serde_json::json!({ "recording": id, "why": why }))
                .collect::<Vec<_>>()
        );
        ui::json(&object);
        return Ok(Code::Done);
    }
    let batch = &status.batch;
    ui::line(&format!(
        "{} {} by {}: {}",
        batch.id,
        text::inert(&batch.verb),
        text::inert(&batch.by),
        text::inert(&batch.what)
    ));
    let eta = left.map(|d| format!(", about {} left", text::duration(d))).unwrap_or_default();
    ui::line(&format!(
        "{}: {} of {} done, {}{eta}; {} running, {} gave up, {} cancelled",
        status.word(),
        status.done,
        total(&status),
        text::bytes(came.bytes),
        status.running,
        status.parked,
        status.cancelled
    ));
    for job in &running {
        let eta = |p: &domain::Progress| {
            p.eta_ms.map(|ms| format!(", {} left", text::duration(Duration::from_millis(ms))))
        };
        let so_far =
            job.progress.as_ref().map(|p| format!(": {} %{}", p.permille / 10, eta(p).unwrap_or_default()));
        ui::line(&format!("under way  {}{}", job.spec.recording.short(), so_far.unwrap_or_default()));
    }
    for (id, why) in &came.failed {
        ui::line(&format!("gave up    {id}: {}", text::inert(why)));
    }
    Ok(Code::Done)
}

async fn set(config: &Config, view: &View, prefix: &str, state: BatchState, done: &str) -> Result<Code> {
    let id = one(view, prefix).await?.batch.id;
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
    ui::json(&as_json(b));
}

fn as_json(b: &BatchStatus) -> serde_json::Value {
    serde_json::json!({
        "batch": b.batch.id, "verb": b.batch.verb, "by": b.batch.by, "of": b.batch.what,
        "created_at": b.batch.created_at, "state": b.word(), "pending": b.pending, "running": b.running,
        "done": b.done, "parked": b.parked, "cancelled": b.cancelled,
    })
}
