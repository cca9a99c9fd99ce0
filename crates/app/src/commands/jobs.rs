use anyhow::Result;
use catalog::JobFilter;
use domain::{Job, JobState};

use super::one;
use crate::{
    cli::Jobs,
    config::Config,
    exit::Code,
    ui::{self, text},
    wire,
};

pub async fn run(config: &Config, args: &Jobs) -> Result<Code> {
    let view = wire::look(config).await?;
    let recording = match &args.recording {
        Some(prefix) => Some(one(&view, prefix).await?),
        None => None,
    };
    let filter = JobFilter { states: args.state.clone(), recording, ..JobFilter::default() };
    let jobs = view.catalog.jobs(&filter, args.limit).await?;
    if config.json {
        jobs.iter().for_each(ui::json);
        return Ok(Code::Done);
    }
    if jobs.is_empty() {
        ui::line("no jobs");
        return Ok(Code::Done);
    }
    let rows: Vec<_> = jobs.iter().map(row).collect();
    ui::table::print(&["JOB", "STATE", "WHAT", "RECORDING", "RULE", "NOTE"], &rows);
    Ok(Code::Done)
}

fn row(job: &Job) -> Vec<String> {
    let note = match (&job.error, &job.progress, job.state) {
        (_, Some(p), JobState::Running) => format!("{} %", p.permille / 10),
        (Some(e), _, JobState::Parked) => {
            format!("{}; then `videorec retry {}`", e.message, job.spec.id.short())
        }
        (Some(e), _, JobState::Pending) => format!("tried {} times: {}", job.failures, e.message),
        _ => String::new(),
    };
    vec![
        job.spec.id.short(),
        job.state.as_str().to_owned(),
        job.spec.action.label(),
        job.spec.recording.short(),
        text::inert(&job.spec.rule),
        text::inert(&note),
    ]
}
