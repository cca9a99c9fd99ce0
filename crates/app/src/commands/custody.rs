//! `hold`, `release`, `undelete`: what is changed in the catalog alone, at once.

use anyhow::Result;
use catalog::{Change, Changed};
use domain::{Clock as _, RecordingId};

use super::which;
use crate::{
    cli::{Hold, Release, Undelete},
    clock,
    config::Config,
    exit::Code,
    ui::{self, text},
    wire::{self, View},
};

/// Recordings changed in one transaction.
const BATCH: usize = 500;

pub async fn hold(config: &Config, args: &Hold) -> Result<Code> {
    let view = wire::look(config).await?;
    let change = Change::Hold { name: args.name.clone(), reason: args.reason.clone() };
    let ids = which::ids(&view, &args.which).await?;
    Ok(apply(config, &view, &ids, &change, "held", "held so already").await?.code())
}

pub async fn release(config: &Config, args: &Release) -> Result<Code> {
    let view = wire::look(config).await?;
    let change = Change::Release { name: (!args.all_holds).then(|| args.name.clone()) };
    let ids = which::ids(&view, &args.which).await?;
    Ok(apply(config, &view, &ids, &change, "released", "not held so").await?.code())
}

pub async fn undelete(config: &Config, args: &Undelete) -> Result<Code> {
    let view = wire::look(config).await?;
    let policy = wire::policy_of(config, &view).await?.policy;
    let kept_until = clock::System.now() + args.keep.unwrap_or(policy.protect().trash);
    let change = Change::Undelete { kept_until };
    // A search hides what is in the trash unless it is asked for.
    let ids = which::ids_among(&view, &args.which, "state:trashed").await?;
    let applied = apply(config, &view, &ids, &change, "brought back", "not in the trash").await?;
    if !config.json && applied.changed > 0 {
        ui::line(&format!("no rule deletes them before {kept_until}; `videorec hold` keeps them for good"));
    }
    Ok(applied.code())
}

struct Applied {
    changed: u64,
    refused: u64,
}

impl Applied {
    fn code(&self) -> Code {
        if self.refused > 0 { Code::Partly } else { Code::Done }
    }
}

async fn apply(
    config: &Config,
    view: &View,
    ids: &[RecordingId],
    change: &Change,
    done: &str,
    already: &str,
) -> Result<Applied> {
    let (mut changed, mut unchanged, mut refused) = (0u64, 0u64, 0u64);
    for page in ids.chunks(BATCH) {
        let answers = view.catalog.custody(page, change, &config.actor, clock::System.now()).await?;
        for (id, answer) in page.iter().zip(answers) {
            if config.json {
                print_json(*id, &answer);
            }
            match answer {
                Changed::Yes => changed += 1,
                Changed::Already => unchanged += 1,
                Changed::Refused(why) => {
                    refused += 1;
                    if !config.json {
                        ui::line(&format!("{}: not {done}: {}", id.short(), text::inert(&why)));
                    }
                }
            }
        }
    }
    if !config.json {
        let mut line = format!("{}: {done}", text::count(changed, "recording"));
        if unchanged > 0 {
            line.push_str(&format!(" ({unchanged} {already})"));
        }
        ui::line(&line);
    }
    Ok(Applied { changed, refused })
}

fn print_json(id: RecordingId, answer: &Changed) {
    let (changed, refused) = match answer {
        Changed::Yes => (true, None),
        Changed::Already => (false, None),
        Changed::Refused(why) => (false, Some(why)),
    };
    ui::json(&serde_json::json!({ "recording": id, "changed": changed, "refused": refused }));
}
