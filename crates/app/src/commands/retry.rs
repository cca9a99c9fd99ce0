use anyhow::Result;
use catalog::{JobFilter, Retry};
use domain::{Clock as _, JobState};

use super::one;
use crate::{
    clock,
    config::Config,
    exit::{Code, Coded},
    ui,
    wire::{self, View},
};

pub async fn run(config: &Config, ids: &[String], all: bool) -> Result<Code> {
    let view = wire::look(config).await?;
    let now = clock::System.now();
    let mut retried = 0;
    if all {
        retried = view.catalog.retry(Retry::AllParked, now).await?;
    }
    for id in ids {
        let which = which(&view, id).await?;
        retried += view.catalog.retry(which, now).await?;
    }
    if config.json {
        ui::json(&serde_json::json!({ "retried": retried }));
    } else if retried == 0 {
        ui::line("nothing there gave up; `videorec jobs --state parked` lists what did");
    } else {
        let jobs = ui::text::count(retried, "job");
        let who = view.layout.as_ref().map_or(
            "the fleet's workers do them",
            |_| "`videorec up` does them, if it is not running already",
        );
        ui::line(&format!("{jobs} taken up again: {who}"));
    }
    Ok(Code::Done)
}

/// A parked job's id, else a recording's.
async fn which(view: &View, prefix: &str) -> Result<Retry> {
    let filter = JobFilter { states: vec![JobState::Parked], ..JobFilter::default() };
    let parked = view.catalog.jobs(&filter, u32::MAX >> 1).await?;
    let prefix = prefix.to_lowercase();
    let mut jobs = parked.iter().map(|j| j.spec.id).filter(|id| id.to_string().starts_with(&prefix));
    match (jobs.next(), jobs.next()) {
        (Some(_), Some(_)) => {
            Err(Coded::error(Code::NotFound, format!("`{prefix}` begins several jobs' ids")))
        }
        (Some(id), None) => Ok(Retry::Job(id)),
        _ => Ok(Retry::Recording(one(view, &prefix).await?)),
    }
}
