use std::collections::BTreeMap;

use anyhow::Result;
use catalog::Query;
use domain::{Clock as _, Decision, JobSpec, Recording, Usage};

use crate::{
    clock,
    config::Config,
    exit::Code,
    ui::{self, text},
    wire,
};

/// Jobs shown of each rule and verb without `--all`.
const SHOWN: usize = 3;
const PAGE: u32 = 256;

/// What one rule would do, as one verb.
#[derive(Default)]
struct Part {
    jobs: u64,
    /// Source bytes to be read.
    bytes: u64,
    examples: Vec<String>,
}

/// `decide` over the whole library with nothing entered into the ledger.
pub async fn run(config: &Config, all: bool) -> Result<Code> {
    let view = wire::look(config).await?;
    let policy = wire::policy_of(config, &view).await?.policy;
    let now = clock::System.now();
    let mut parts: BTreeMap<(String, String), Part> = BTreeMap::new();
    let (mut waits, mut recordings, mut after) = (BTreeMap::<String, u64>::new(), 0u64, None);
    loop {
        let page = view.catalog.search(&Query::default(), PAGE, after).await?;
        for recording in &page.hits {
            let Some(facts) = view.catalog.facts(recording.id).await? else { continue };
            let decision = policy::decide(&policy, &facts, &Usage::default(), now);
            recordings += 1;
            if config.json {
                print_json(recording, &decision);
                continue;
            }
            for job in &decision.jobs {
                add(&mut parts, recording, job, all);
            }
            for wait in decision.waits {
                *waits
                    .entry(format!("{}: {} waits for {}", wait.rule, wait.verb, wait.waits_for))
                    .or_default() += 1;
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if !config.json {
        let who = view.layout.as_ref().map_or("the fleet's workers do it", |_| "`videorec up` does it");
        print(&parts, &waits, recordings, who);
    }
    Ok(Code::Done)
}

fn add(parts: &mut BTreeMap<(String, String), Part>, recording: &Recording, job: &JobSpec, all: bool) {
    let part = parts.entry((job.rule.clone(), job.action.label())).or_default();
    part.jobs += 1;
    part.bytes += recording.digest.size;
    if all || part.examples.len() < SHOWN {
        let name = text::tail(&recording.name, 50);
        part.examples.push(format!("{}  {name}  ({})", recording.id.short(), text::inert(&job.reason)));
    }
}

fn print(
    parts: &BTreeMap<(String, String), Part>,
    waits: &BTreeMap<String, u64>,
    recordings: u64,
    who: &str,
) {
    let jobs: u64 = parts.values().map(|p| p.jobs).sum();
    if jobs == 0 {
        let n = text::count(recordings, "recording");
        ui::line(&format!("nothing to do: all that the policy asks of {n} is done or waits"));
    }
    for ((rule, label), part) in parts {
        let jobs = text::count(part.jobs, "job");
        ui::line(&format!("{}: {label} - {jobs}, {} to read", text::inert(rule), text::bytes(part.bytes)));
        part.examples.iter().for_each(|e| ui::line(&format!("  {e}")));
        let more = part.jobs - part.examples.len() as u64;
        if more > 0 {
            ui::line(&format!("  and {more} more (--all shows them)"));
        }
    }
    for (wait, n) in waits {
        ui::line(&format!("{} ({})", text::inert(wait), text::count(*n, "recording")));
    }
    if jobs > 0 {
        ui::line(&format!("{} in all. Nothing was done: {who}.", text::count(jobs, "job")));
    }
}

fn print_json(recording: &Recording, decision: &Decision) {
    for job in &decision.jobs {
        ui::json(&serde_json::json!({ "recording": recording.id, "name": recording.name, "job": job }));
    }
    for wait in &decision.waits {
        ui::json(&serde_json::json!({
            "recording": recording.id, "name": recording.name, "rule": wait.rule, "verb": wait.verb,
            "waits_for": wait.waits_for,
        }));
    }
}
