//! `describe`, `hold`, `release`, `undelete`: what is changed in the catalog alone, at once.

use anyhow::Result;
use catalog::{Change, Changed, Description};
use domain::{Clock as _, Fields, RecordingId, Timestamp};

use super::which;
use crate::{
    cli::{Describe, Hold, Release, Undelete},
    clock,
    config::Config,
    exit::{Code, Coded},
    ui::{self, text},
    wire::{self, View},
};

/// Recordings changed in one transaction.
const BATCH: usize = 500;

pub async fn describe(config: &Config, args: &Describe) -> Result<Code> {
    let view = wire::look(config).await?;
    let policy = wire::policy_of(config, &view).await?.policy;
    let description = Description {
        title: args.title.clone(),
        tags: args.tag.iter().cloned().collect(),
        untag: args.untag.iter().cloned().collect(),
        fields: fields(&policy, &args.field)?,
        unset: args.unset.iter().cloned().collect(),
    };
    if description == Description::default() {
        let hint = "nothing is said of them: --title, --tag, --untag, --field NAME=VALUE, --unset";
        return Err(Coded::error(Code::Usage, hint));
    }
    let ids = which::ids(&view, &args.which).await?;
    let words = Words { done: "described", already: "described so already" };
    Ok(apply(config, &view, &ids, &Change::Describe(description), words, args.plan).await?.code())
}

/// Fields as a person gives them, if the policy takes them.
pub fn fields(policy: &policy::Policy, given: &[(String, String)]) -> Result<Fields> {
    let mut fields = Fields::default();
    for (name, value) in given {
        let taken = policy.takes_field(name, value).and_then(|()| fields.set(name, value));
        taken.map_err(|message| Coded::error(Code::Usage, message))?;
    }
    Ok(fields)
}

pub async fn hold(config: &Config, args: &Hold) -> Result<Code> {
    let view = wire::look(config).await?;
    let change = Change::Hold { name: args.name.clone(), reason: args.reason.clone() };
    let ids = which::ids(&view, &args.which).await?;
    let words = Words { done: "held", already: "held so already" };
    Ok(apply(config, &view, &ids, &change, words, args.plan).await?.code())
}

pub async fn release(config: &Config, args: &Release) -> Result<Code> {
    let view = wire::look(config).await?;
    let change = Change::Release { name: (!args.all_holds).then(|| args.name.clone()) };
    let ids = which::ids(&view, &args.which).await?;
    let words = Words { done: "released", already: "not held so" };
    Ok(apply(config, &view, &ids, &change, words, args.plan).await?.code())
}

pub async fn undelete(config: &Config, args: &Undelete) -> Result<Code> {
    let view = wire::look(config).await?;
    let policy = wire::policy_of(config, &view).await?.policy;
    let kept_until = clock::System.now() + args.keep.unwrap_or(policy.protect().trash);
    let change = Change::Undelete { kept_until };
    // A search hides what is in the trash unless it is asked for.
    let ids = which::ids_among(&view, &args.which, "state:trashed").await?;
    let words = Words { done: "brought back", already: "not in the trash" };
    let applied = apply(config, &view, &ids, &change, words, args.plan).await?;
    if !config.json && !args.plan && applied.changed > 0 {
        ui::line(&format!("no rule deletes them before {kept_until}; `videorec hold` keeps them for good"));
    }
    Ok(applied.code())
}

/// How a change is told of.
#[derive(Clone, Copy)]
struct Words {
    done: &'static str,
    already: &'static str,
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
    words: Words,
    only_plan: bool,
) -> Result<Applied> {
    let Words { done, already } = words;
    let (mut changed, mut unchanged, mut refused) = (0u64, 0u64, 0u64);
    for page in ids.chunks(BATCH) {
        let now = clock::System.now();
        let answers = match only_plan {
            true => would(view, page, change, now).await?,
            false => view.catalog.custody(page, change, &config.actor, now).await?,
        };
        for (id, answer) in page.iter().zip(answers) {
            if config.json {
                print_json(*id, &answer, only_plan);
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
        if only_plan {
            ui::line("Nothing was done: this was only the plan.");
        }
    }
    Ok(Applied { changed, refused })
}

/// What would come of a change.
async fn would(view: &View, ids: &[RecordingId], change: &Change, now: Timestamp) -> Result<Vec<Changed>> {
    let mut answers = Vec::with_capacity(ids.len());
    for id in ids {
        let it = view.catalog.get(*id).await?;
        answers.push(it.map_or(Changed::Refused("it is not there".into()), |it| change.would(&it, now)));
    }
    Ok(answers)
}

fn print_json(id: RecordingId, answer: &Changed, only_plan: bool) {
    let (changed, refused) = match answer {
        Changed::Yes => (true, None),
        Changed::Already => (false, None),
        Changed::Refused(why) => (false, Some(why)),
    };
    let what = if only_plan { "would_change" } else { "changed" };
    ui::json(&serde_json::json!({ "recording": id, what: changed, "refused": refused }));
}
