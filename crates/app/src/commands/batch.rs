use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use catalog::{BatchState, BatchStatus, Ended, JobFilter};
use domain::{Clock as _, Job, JobState, Timestamp};
use worker::Manifests;

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
                format!("{}/{}", text::bytes(b.bytes_done), text::bytes(b.bytes)),
                b.running.to_string(),
                b.parked.to_string(),
                text::inert(&b.batch.by),
                text::tail(&b.batch.what, 40),
            ]
        })
        .collect();
    ui::table::print(&["BATCH", "STATE", "VERB", "DONE", "BYTES", "RUNNING", "GAVE UP", "BY", "OF"], &rows);
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
    /// When the last ones were done, and their bytes.
    lately: BTreeMap<Timestamp, u64>,
    /// Jobs that gave up, and why.
    failed: Vec<(String, String)>,
}

/// How fast it goes is how fast it went within this time, and by so many moments in which something was done.
const LATELY: Duration = Duration::from_secs(15 * 60);
const MOMENTS: usize = 1000;

impl Came {
    fn add(&mut self, ended: &Ended) {
        let job = &ended.job;
        match (job.state, job.finished_at, &job.error) {
            (JobState::Done, Some(at), _) => {
                *self.lately.entry(at).or_default() += job.bytes;
                if self.lately.len() > MOMENTS {
                    self.lately.pop_first();
                }
            }
            (JobState::Parked, _, error) => {
                let why = error.as_ref().map(|e| e.message.clone()).unwrap_or_default();
                self.failed.push((job.spec.recording.short(), why));
            }
            _ => {}
        }
    }

    /// Bytes a second. Nothing is known by one alone.
    fn rate(&self) -> Option<f64> {
        let (last, _) = self.lately.last_key_value()?;
        let mut lately = self.lately.range(*last - LATELY..);
        // When it was done the others began, about.
        let (first, _) = lately.next()?;
        let took = last.since(*first).as_secs_f64();
        let bytes: u64 = lately.map(|(_, bytes)| bytes).sum();
        (took > 0.0 && bytes > 0).then(|| bytes as f64 / took)
    }
}

/// How far a batch is, in bytes.
struct Far {
    /// With what has left of those that are under way.
    done: u64,
    total: u64,
    rate: Option<f64>,
    left: Option<Duration>,
}

impl Far {
    fn of(status: &BatchStatus, running: &[Job], rate: Option<f64>) -> Self {
        let sent = |job: &Job| {
            let permille = job.progress.as_ref().map_or(0, |p| u64::from(p.permille));
            job.bytes / 1000 * permille + job.bytes % 1000 * permille / 1000
        };
        let sent: u64 = running.iter().map(sent).sum();
        let open = status.bytes_open.saturating_sub(sent);
        let by_rate = rate.and_then(|rate| Duration::try_from_secs_f64(open as f64 / rate).ok());
        // The first ones say how long they take themselves.
        let etas = running.iter().filter_map(|job| job.progress.as_ref()?.eta_ms);
        let by_themselves = etas.max().filter(|_| status.pending == 0).map(Duration::from_millis);
        Self {
            done: status.bytes_done + sent,
            total: status.bytes,
            rate,
            left: by_rate.or(by_themselves).filter(|_| status.pending + status.running > 0),
        }
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
    let far = Far::of(&status, &running, came.rate());
    if config.json {
        let mut object = as_json(&status);
        object["bytes_done"] = far.done.into();
        object["bytes_per_second"] = far.rate.map(|rate| rate as u64).into();
        object["eta_seconds"] = far.left.map(|d| d.as_secs()).into();
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
    let is_open = status.pending + status.running > 0;
    let rate = far.rate.filter(|_| is_open).map(|rate| format!(", {}/s", text::bytes(rate as u64)));
    let eta = far.left.map(|d| format!(", about {} left", text::duration(d)));
    ui::line(&format!(
        "{}: {} of {} done, {} of {}{}{}; {} running, {} gave up, {} cancelled",
        status.word(),
        status.done,
        total(&status),
        text::bytes(far.done),
        text::bytes(far.total),
        rate.unwrap_or_default(),
        eta.unwrap_or_default(),
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
    let status = one(view, prefix).await?;
    let id = status.batch.id;
    if state == BatchState::Cancelled && status.pending > 0 {
        // What was taken up again and is not done after all: the manifest that is there does not say so.
        Manifests::ask_again(&*view.catalog, id).await?;
    }
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
        "done": b.done, "parked": b.parked, "cancelled": b.cancelled, "bytes_total": b.bytes, "bytes_done": b.bytes_done,
    })
}

#[cfg(test)]
mod tests {
    use catalog::{Batch, BatchId};
    use domain::{Action, JobId, JobSpec, Lane, Progress, RecordingId};

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn job(state: JobState, bytes: u64, finished: u64) -> Job {
        Job {
            spec: JobSpec {
                id: JobId::derive(&[]),
                recording: RecordingId::derive(&[]),
                version: String::new(),
                action: Action::Probe,
                lane: Lane::Bulk,
                rule: String::new(),
                reason: String::new(),
            },
            state,
            attempts: 1,
            failures: 0,
            created_at: NOW,
            run_after: NOW,
            worker: None,
            lease_until: None,
            progress: None,
            error: None,
            finished_at: (state == JobState::Done).then(|| NOW + Duration::from_secs(finished)),
            bytes,
        }
    }

    fn came(done: &[(u64, u64)]) -> Came {
        let mut came = Came::default();
        for (seq, (bytes, at)) in (0..).zip(done) {
            came.add(&Ended { seq, job: job(JobState::Done, *bytes, *at), outcome: None });
        }
        came
    }

    fn status(pending: u64, running: u64, bytes_done: u64, bytes_open: u64) -> BatchStatus {
        let batch = Batch {
            id: BatchId::derive(&[]),
            verb: "export".into(),
            by: "ana".into(),
            what: "all".into(),
            created_at: NOW,
        };
        let (state, bytes) = (BatchState::Running, bytes_done + bytes_open);
        BatchStatus {
            batch,
            state,
            pending,
            running,
            done: 1,
            parked: 0,
            cancelled: 0,
            bytes,
            bytes_done,
            bytes_open,
        }
    }

    /// A hundred small ones and one large one: the large one takes as long as its bytes do, not as one of a hundred and one.
    #[test]
    fn what_is_left_is_reckoned_in_bytes() {
        let rate = came(&[(1_000, 0), (1_000, 10), (3_000, 20)]).rate().expect("known");
        assert!((rate - 200.0).abs() < 1e-9, "{rate}");
        let far = Far::of(&status(1, 0, 5_000, 1_000_000), &[], Some(rate));
        assert_eq!((far.done, far.total, far.left), (5_000, 1_005_000, Some(Duration::from_secs(5_000))));
        // What has left of those that are under way counts.
        let progress = Some(Progress { permille: 500, speed_percent: None, eta_ms: Some(7_000) });
        let running = [Job { progress, ..job(JobState::Running, 1_000_000, 0) }];
        let far = Far::of(&status(0, 1, 5_000, 1_000_000), &running, Some(rate));
        assert_eq!((far.done, far.left), (505_000, Some(Duration::from_secs(2_500))));
        let far = Far::of(&status(0, 1, 0, 1_000_000), &running, None);
        assert_eq!(far.left, Some(Duration::from_secs(7)), "the first one knows it itself");
    }

    #[test]
    fn how_fast_it_goes_is_how_fast_it_went_lately() {
        for unknown in [&[][..], &[(5, 0)], &[(5, 0), (5, 0)]] {
            assert_eq!(came(unknown).rate(), None, "{unknown:?}");
        }
        // It rested overnight.
        let rested = came(&[(1_000, 0), (1_000, 1), (1_000, 40_000), (1_000, 40_010), (1_000, 40_020)]);
        assert_eq!(rested.rate(), Some(100.0));
        assert_eq!(Far::of(&status(0, 0, 5_000, 0), &[], Some(100.0)).left, None);
    }
}
