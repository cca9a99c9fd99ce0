use std::{
    fs,
    io::{BufRead as _, BufReader},
};

use anyhow::{Context as _, Result};
use catalog::{Settle, Settled};
use domain::{Clock as _, Decision, Facts, Timestamp, Usage};
use policy::Policy;
use worker::plan::{self, Item};

use super::{
    by_hand,
    plan::{FORMAT, Header},
};
use crate::{
    cli::Apply,
    clock,
    config::Config,
    exit::{Code, Coded},
    ui::{self, text},
    wire::{self, View},
};

/// Recordings settled in one transaction.
const BATCH: usize = 256;

/// Does what a plan says, as far as every recording is as it was then: what has drifted is skipped and told.
pub async fn run(config: &Config, args: &Apply) -> Result<Code> {
    let view = wire::look(config).await?;
    let policy = wire::policy_of(config, &view).await?.policy;
    let items = read(args, &policy)?;
    let now = clock::System.now();
    let mut drifted = Vec::new();
    let (mut settles, mut deletions) = (Vec::new(), Vec::new());
    for item in &items {
        match still(&view, &policy, item, now).await? {
            Err(why) => drifted.push((item.recording, why)),
            Ok((facts, decision)) => {
                let due = plan::due(&decision).filter(|_| item.delete.is_some());
                deletions.extend(due.map(|offer| plan::trashing(&facts, offer, &config.actor, now)));
                if item.delete.is_none() {
                    let (id, revision) = (facts.recording.id, facts.recording.revision);
                    settles.push(Settle { id, revision, decision, alert: None });
                }
            }
        }
    }
    // First what may be refused whole: then nothing else was begun.
    let mut code = Code::Done;
    if !deletions.is_empty() {
        code = by_hand::trash(config, &view, &policy, &deletions, now).await?;
    }
    let entered = settle(&view, &policy, settles, &mut drifted, now).await?;
    for (id, why) in &drifted {
        if config.json {
            ui::json(&serde_json::json!({ "recording": id, "drifted": why }));
        } else {
            ui::line(&format!("skipped: {}: {}", id.short(), text::inert(why)));
        }
    }
    if config.json {
        ui::json(&serde_json::json!({ "jobs": entered, "drifted": drifted.len() }));
    } else {
        let who = view.layout.as_ref().map_or("the fleet's workers do them", |_| "`videorec up` does them");
        ui::line(&format!("{} in the ledger: {who}", text::count(entered, "job")));
    }
    Ok(if drifted.is_empty() { code } else { Code::Partly })
}

fn read(args: &Apply, policy: &Policy) -> Result<Vec<Item>> {
    let path = args.plan.display();
    let wrong = |why: String| Coded::error(Code::Usage, format!("{path}: {why}; nothing was done"));
    let file = fs::File::open(&args.plan).map_err(|e| wrong(format!("cannot be read: {e}")))?;
    let mut lines = BufReader::new(file).lines();
    let first = lines.next().transpose().map_err(|e| wrong(e.to_string()))?.unwrap_or_default();
    let header: Header = serde_json::from_str(&first)
        .map_err(|_| wrong("is not a plan; `videorec plan --out FILE` writes one".into()))?;
    if header.videorec_plan != FORMAT {
        return Err(wrong(format!("is of format {}, this videorec reads {FORMAT}", header.videorec_plan)));
    }
    if header.policy != policy.hash() {
        return Err(wrong("is of another policy than the one in force; plan again".into()));
    }
    let mut items = Vec::new();
    for (n, line) in lines.enumerate() {
        let line = line.map_err(|e| wrong(e.to_string()))?;
        items.push(serde_json::from_str(&line).map_err(|e| wrong(format!("line {}: {e}", n + 2)))?);
    }
    Ok(items)
}

type Still = std::result::Result<(Facts, Decision), String>;

/// Whether the recording is as it was, and the policy has the same done to it.
async fn still(view: &View, policy: &Policy, item: &Item, now: Timestamp) -> Result<Still> {
    let facts = view.catalog.facts(item.recording).await.context("reading facts")?;
    let Some(facts) = facts else { return Ok(Err("it is unknown by now".into())) };
    if facts.recording.revision != item.revision || facts.recording.version != item.version {
        return Ok(Err("it has changed since the plan".into()));
    }
    let decision = policy::decide(policy, &facts, &Usage::default(), now);
    if Item::of(&facts, &decision) != *item {
        return Ok(Err("the policy has something else done to it by now".into()));
    }
    Ok(Ok((facts, decision)))
}

async fn settle(
    view: &View,
    policy: &Policy,
    settles: Vec<Settle>,
    drifted: &mut Vec<(domain::RecordingId, String)>,
    now: Timestamp,
) -> Result<u64> {
    let mut entered = 0;
    for batch in settles.chunks(BATCH) {
        let answers = view.catalog.settle(batch, policy.hash(), now).await.context("settling")?;
        for (it, answer) in batch.iter().zip(answers) {
            match answer {
                Settled::Applied { jobs } => entered += jobs.len() as u64,
                Settled::Stale => drifted.push((it.id, "it has changed since the plan".into())),
                Settled::OtherPolicy => {
                    let why =
                        "another policy is in force than the one that the plan was made with; plan again";
                    return Err(Coded::error(Code::Usage, why));
                }
            }
        }
    }
    Ok(entered)
}
