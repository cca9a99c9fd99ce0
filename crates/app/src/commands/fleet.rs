use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use aws_sdk_ecs::types::{Service, Task};
use catalog::JobFilter;
use domain::{Clock as _, JobState, Timestamp};
use queue::{DeadLetters as _, Queue as _};
use serde_json::json;

use crate::{
    clock,
    config::{Config, Fleet},
    exit::Code,
    fleet::engines,
    ui::{self, text},
    wire,
};

/// Jobs in flight shown.
const JOBS: u32 = 50;

/// Queues, workers, and what they have in hand.
pub async fn run(config: &Config) -> Result<Code> {
    let fleet = engines::fleet_of(config)?;
    queues(config, fleet).await?;
    workers(config, fleet).await?;
    jobs(config).await?;
    Ok(Code::Done)
}

async fn queues(config: &Config, fleet: &Fleet) -> Result<()> {
    let queue = engines::queue(fleet).await?;
    let dead = queue.dead_counts().await?;
    // SQS tells its messages' age to CloudWatch only; the ledger knows since when a job has been waiting.
    let now = clock::System.now();
    let waiting = wire::look(config).await?.catalog.waiting_since(now).await?;
    let oldest: BTreeMap<queue::Lane, Timestamp> =
        waiting.into_iter().map(|(lane, at)| (lane.into(), at)).collect();
    let mut rows = Vec::new();
    for depth in queue.depth().await? {
        let dead = dead.iter().find(|(lane, _)| *lane == depth.lane).map_or(0, |(_, n)| *n);
        let oldest = oldest.get(&depth.lane).map(|since| now.since(*since));
        if config.json {
            ui::json(
                &json!({ "queue": depth.lane.as_str(), "visible": depth.visible, "in_flight": depth.in_flight,
                              "delayed": depth.delayed, "dead": dead, "oldest_seconds": oldest.map(|d| d.as_secs()) }),
            );
        }
        rows.push(vec![
            depth.lane.as_str().to_owned(),
            depth.visible.to_string(),
            depth.in_flight.to_string(),
            depth.delayed.to_string(),
            dead.to_string(),
            oldest.map_or_else(|| "-".to_owned(), text::duration),
        ]);
    }
    if !config.json {
        ui::table::print(&["QUEUE", "VISIBLE", "IN FLIGHT", "DELAYED", "DEAD", "OLDEST"], &rows);
    }
    Ok(())
}

async fn workers(config: &Config, fleet: &Fleet) -> Result<()> {
    let (Some(cluster), Some(service)) = (&fleet.cluster, &fleet.service) else {
        if !config.json {
            ui::line("\nworkers: set VIDEOREC_ECS_CLUSTER and VIDEOREC_ECS_SERVICE to see them");
        }
        return Ok(());
    };
    let ecs = aws_sdk_ecs::Client::new(&engines::sdk_config().await);
    let described = ecs.describe_services().cluster(cluster).services(service).send().await;
    let described = described.map_err(|e| engines::sdk_error(&e)).context("asking ECS for the service")?;
    let found = described.services().first();
    if let Some(found) = found {
        show_service(config, found);
    } else if !config.json {
        ui::line(&format!("\nworkers: no service {service} in cluster {cluster}"));
    }
    let mut arns = Vec::new();
    for status in [aws_sdk_ecs::types::DesiredStatus::Running, aws_sdk_ecs::types::DesiredStatus::Stopped] {
        let mut pages = ecs
            .list_tasks()
            .cluster(cluster)
            .service_name(service)
            .desired_status(status)
            .into_paginator()
            .items()
            .send();
        while let Some(arn) = pages.next().await {
            arns.push(arn.map_err(|e| engines::sdk_error(&e)).context("asking ECS for tasks")?);
        }
    }
    let mut rows = Vec::new();
    for arns in arns.chunks(100) {
        let tasks = ecs.describe_tasks().cluster(cluster).set_tasks(Some(arns.to_vec())).send().await;
        let tasks = tasks.map_err(|e| engines::sdk_error(&e)).context("asking ECS for tasks")?;
        // Only running tasks can be protected, and an agent too old for it answers with an error: then it is unknown.
        let asked = ecs.get_task_protection().cluster(cluster).set_tasks(Some(arns.to_vec())).send().await;
        let protected: Vec<String> = asked
            .map(|a| {
                a.protected_tasks()
                    .iter()
                    .filter(|t| t.protection_enabled())
                    .filter_map(|t| t.task_arn().map(str::to_owned))
                    .collect()
            })
            .unwrap_or_default();
        for task in tasks.tasks() {
            let is_protected = task.task_arn().is_some_and(|arn| protected.iter().any(|p| p == arn));
            if config.json {
                ui::json(&task_object(task, is_protected));
            }
            rows.push(task_row(task, is_protected));
        }
    }
    if !config.json && !rows.is_empty() {
        ui::table::print(&["TASK", "STATUS", "DESIRED", "PROTECTED", "WHY"], &rows);
    }
    Ok(())
}

fn show_service(config: &Config, service: &Service) {
    let name = service.service_name().unwrap_or_default();
    if config.json {
        return ui::json(
            &json!({ "service": name, "desired": service.desired_count(), "running": service.running_count(),
                                 "pending": service.pending_count() }),
        );
    }
    ui::line(&format!(
        "\nworkers of {}: {} desired, {} running, {} pending",
        text::inert(name),
        service.desired_count(),
        service.running_count(),
        service.pending_count()
    ));
    // The last word of ECS says why a service does not get to what is desired.
    if service.running_count() != service.desired_count()
        && let Some(event) = service.events().first().and_then(|e| e.message())
    {
        ui::line(&format!("  {}", text::inert(event)));
    }
}

fn short(task: &Task) -> String {
    task.task_arn().and_then(|arn| arn.rsplit('/').next()).unwrap_or_default().chars().take(12).collect()
}

fn task_row(task: &Task, protected: bool) -> Vec<String> {
    vec![
        short(task),
        task.last_status().unwrap_or_default().to_owned(),
        task.desired_status().unwrap_or_default().to_owned(),
        if protected { "yes" } else { "" }.to_owned(),
        text::inert(task.stopped_reason().unwrap_or_default()),
    ]
}

fn task_object(task: &Task, protected: bool) -> serde_json::Value {
    json!({ "task": short(task), "status": task.last_status(), "desired": task.desired_status(),
            "protected": protected, "why": task.stopped_reason() })
}

async fn jobs(config: &Config) -> Result<()> {
    let view = wire::look(config).await?;
    let filter = JobFilter { states: vec![JobState::Running], ..JobFilter::default() };
    let running = view.catalog.jobs(&filter, JOBS).await?;
    let now = clock::System.now();
    let mut rows = Vec::new();
    for job in &running {
        let left = job.lease_until.map(|until| until.since(now));
        if config.json {
            ui::json(job);
        }
        rows.push(vec![
            job.spec.id.short(),
            job.spec.action.label(),
            job.spec.recording.short(),
            job.progress.map_or_else(String::new, |p| format!("{} %", p.permille / 10)),
            text::inert(job.worker.as_deref().unwrap_or_default()),
            left.map_or_else(
                String::new,
                |d| if d.is_zero() { "lapsed".to_owned() } else { text::duration(d) },
            ),
        ]);
    }
    if !config.json {
        match rows.as_slice() {
            [] => ui::line("\nno jobs in flight"),
            rows => {
                ui::line("");
                ui::table::print(&["JOB", "WHAT", "RECORDING", "DONE", "WORKER", "LEASE"], rows);
            }
        }
    }
    Ok(())
}
