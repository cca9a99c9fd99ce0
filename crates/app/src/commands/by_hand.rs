//! `convert`, `mix`, `backup`, `archive`, `restore`, `move`, `delete` for recordings of a person's choice.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use catalog::Trashed;
use domain::{Clock as _, JobId, JobState, Preset, RecordingId, Timestamp};
use policy::{Making, Policy};
use worker::{
    by_hand::{self, LeftOut, Verb},
    plan::{Costs, Frozen, Money, Prices},
};

use super::{lifecycle::Archivable, plan::money, which};
use crate::{
    cli::{Archive, Backup, Convert, Delete, Mix, Move, Restore, Which},
    clock,
    config::Config,
    exit::{Code, Coded},
    ui::{self, text},
    wire::{self, View},
};

const PAGE: usize = 256;

pub async fn convert(config: &Config, args: &Convert) -> Result<Code> {
    let verb = |policy: &Policy| {
        let what = Making::Convert(preset(policy, &args.to)?);
        Ok(Verb::Make { what, anew: args.anew })
    };
    order(config, &args.which, verb, args.plan).await
}

pub async fn mix(config: &Config, args: &Mix) -> Result<Code> {
    let verb = |policy: &Policy| {
        let name = args.to.as_deref().unwrap_or(policy::usual_preset(args.layout));
        let what = Making::mix(preset(policy, name)?, args.layout, args.loudness);
        let what = what.map_err(|e| Coded::error(Code::Usage, e))?;
        Ok(Verb::Make { what, anew: args.anew })
    };
    order(config, &args.which, verb, args.plan).await
}

fn preset(policy: &Policy, name: &str) -> Result<Preset> {
    policy.presets().get(name).cloned().ok_or_else(|| {
        let known: Vec<_> = policy.presets().keys().map(String::as_str).collect();
        Coded::error(
            Code::Usage,
            format!("there is no preset `{}`; there are {}", text::inert(name), known.join(", ")),
        )
    })
}

pub async fn backup(config: &Config, args: &Backup) -> Result<Code> {
    let verb = |policy: &Policy| {
        known_store(policy, &args.to)?;
        Ok(Verb::Backup { store: args.to.clone() })
    };
    order(config, &args.which, verb, args.plan).await
}

pub async fn archive(config: &Config, args: &Archive) -> Result<Code> {
    let verb = |policy: &Policy| match (&args.class, &args.to) {
        (Some(class), _) => Ok(Verb::Archive { class: class.clone(), by: args.by }),
        (None, Some(store)) => moved(policy, store, Duration::ZERO),
        (None, None) => Err(Coded::error(Code::Usage, "name --class or --to")),
    };
    order(config, &args.which, verb, args.plan).await
}

pub async fn restore(config: &Config, args: &Restore) -> Result<Code> {
    let verb = |_: &Policy| Ok(Verb::Restore { speed: args.speed, days: args.days });
    order(config, &args.which, verb, args.plan).await
}

pub async fn relocate(config: &Config, args: &Move) -> Result<Code> {
    order(config, &args.which, |policy| moved(policy, &args.to, args.keep), args.plan).await
}

fn moved(policy: &Policy, store: &str, keep: Duration) -> Result<Verb> {
    known_store(policy, store)?;
    Ok(Verb::Move { store: store.to_owned(), keep })
}

/// What a selection comes to: how many, how much, what is left out and why.
#[derive(Default)]
pub struct Sum {
    pub count: u64,
    pub bytes: u64,
    pub money: Money,
    already: u64,
    /// A job that does it waits or runs.
    under_way: u64,
    /// By reason.
    refused: BTreeMap<String, (u64, String)>,
    /// What has to be restored first, and one of it.
    frozen: Option<(Frozen, String)>,
}

impl Sum {
    pub fn leave_out(&mut self, id: RecordingId, why: LeftOut) {
        match why {
            LeftOut::Already(_) => self.already += 1,
            LeftOut::Refused(why) => self.refused.entry(why).or_insert((0, id.short())).0 += 1,
            LeftOut::Frozen(frozen) => {
                self.frozen.get_or_insert_with(|| (Frozen::default(), id.short())).0.add(&frozen);
            }
        }
    }

    /// Nothing was refused.
    pub fn is_whole(&self) -> bool {
        self.refused.is_empty() && self.frozen.is_none()
    }

    /// How many, by reason.
    pub fn refusals(&self) -> BTreeMap<String, u64> {
        let refused = self.refused.iter().map(|(why, (n, _))| (why.clone(), *n));
        let frozen = self.frozen.iter();
        let frozen = frozen.map(|(frozen, _)| (frozen.describe(&Prices::shipped()), frozen.objects()));
        refused.chain(frozen).collect()
    }

    pub fn print(&self, what: &str) {
        let mut line =
            format!("{what}: {}, {}", text::count(self.count, "recording"), text::bytes(self.bytes));
        line.push_str(&money(&self.money));
        if self.already > 0 {
            line.push_str(&format!("; {} so already", self.already));
        }
        if self.under_way > 0 {
            line.push_str(&format!("; {} ordered already", self.under_way));
        }
        ui::line(&line);
        for (why, (n, example)) in &self.refused {
            ui::line(&format!("left out: {n}, e.g. {example}: {}", text::inert(why)));
        }
        if let Some((frozen, example)) = &self.frozen {
            ui::line(&format!(
                "left out: {}, e.g. {example}, {}: `videorec restore` does that first",
                frozen.objects(),
                frozen.describe(&Prices::shipped())
            ));
        }
    }
}

/// `verb`: what is done to each, as far as the policy knows what it names.
async fn order(
    config: &Config,
    selection: &Which,
    verb: impl FnOnce(&Policy) -> Result<Verb>,
    only_plan: bool,
) -> Result<Code> {
    let view = wire::look(config).await?;
    let policy = wire::policy_of(config, &view).await?.policy;
    let verb = verb(&policy)?;
    let mut archivable = match &verb {
        Verb::Archive { class, by } => Archivable::of(config, &view, &policy, class, *by).await?,
        _ => None,
    };
    let ids = which::ids(&view, selection).await?;
    let now = clock::System.now();
    let batch = by_hand::batch(verb.name(), &config.actor, &which::words(selection), now);
    let prices = Prices::shipped();
    let costs = Costs { prices: &prices, policy: &policy, in_cloud: view.layout.is_none() };
    let mut sum = Sum::default();
    for page in ids.chunks(PAGE) {
        let mut jobs = Vec::new();
        for id in page {
            let Some(facts) = view.catalog.facts(*id).await? else { continue };
            let mut job = verb.job(&policy, &batch, &facts, now);
            if let (Ok(_), Some(archivable)) = (&job, &mut archivable)
                && let Some(why) = archivable.refuse(&facts.recording).await
            {
                job = Err(LeftOut::Refused(why));
            }
            match job {
                Ok(job) if is_under_way(&view, job.id).await? => sum.under_way += 1,
                Ok(job) => {
                    sum.count += 1;
                    sum.bytes += facts.recording.digest.size;
                    sum.money += costs.of(&job.action, &facts, now);
                    jobs.push(job);
                }
                Err(why) => sum.leave_out(*id, why),
            }
        }
        if !only_plan && !jobs.is_empty() {
            view.catalog.order(&batch, &jobs, now).await?;
        }
    }
    if config.json {
        ui::json(&serde_json::json!({
            "batch": (!only_plan && sum.count > 0).then_some(&batch.id), "verb": verb.name(),
            "recordings": sum.count, "bytes": sum.bytes, "already": sum.already,
            "under_way": sum.under_way, "refused": sum.refusals(),
        }));
    } else {
        sum.print(verb.name());
        if only_plan {
            ui::line("Nothing was done: this was only the plan.");
        } else if sum.count > 0 {
            let who = view.layout.as_ref().map_or("the fleet's workers do it", |_| "`videorec up` does it");
            ui::line(&format!("batch {}: {who}; `videorec batch ls` shows how far it is", batch.id.short()));
        }
    }
    Ok(if sum.is_whole() { Code::Done } else { Code::Partly })
}

async fn is_under_way(view: &View, id: JobId) -> Result<bool> {
    let there = view.catalog.job(id).await?;
    Ok(there.is_some_and(|job| matches!(job.state, JobState::Pending | JobState::Running)))
}

fn known_store(policy: &Policy, name: &str) -> Result<()> {
    match policy.stores().get(name) {
        Some(store) if !store.holds() => {
            return Err(Coded::error(Code::Usage, policy::only_takes_exports(name, store.place.as_ref())));
        }
        Some(_) => return Ok(()),
        None if name == policy::LIBRARY => return Ok(()),
        None => {}
    }
    let known: Vec<_> = policy.stores().keys().map(String::as_str).chain([policy::LIBRARY]).collect();
    Err(Coded::error(
        Code::Usage,
        format!("there is no store `{}`; the policy has {}", text::inert(name), known.join(", ")),
    ))
}

pub async fn delete(config: &Config, args: &Delete) -> Result<Code> {
    let view = wire::look(config).await?;
    let policy = wire::policy_of(config, &view).await?.policy;
    let ids = which::ids(&view, &args.which).await?;
    let now = clock::System.now();
    let prices = Prices::shipped();
    let mut sum = Sum::default();
    let mut items = Vec::new();
    for id in &ids {
        let Some(facts) = view.catalog.facts(*id).await? else { continue };
        match by_hand::trash(&policy, &facts, &config.actor, &args.reason, args.trash, now) {
            Ok(item) => {
                sum.count += 1;
                sum.bytes += facts.recording.digest.size;
                sum.money += prices.delete(&facts.recording, now);
                items.push(item);
            }
            Err(why) => sum.leave_out(*id, why),
        }
    }
    if !config.json {
        sum.print("delete");
    }
    if args.plan || items.is_empty() {
        if config.json {
            ui::json(&serde_json::json!({ "recordings": sum.count, "bytes": sum.bytes, "trashed": 0 }));
        } else {
            ui::line("Nothing was done.");
        }
        return Ok(if args.plan || sum.refused.is_empty() { Code::Done } else { Code::Partly });
    }
    trash(config, &view, &policy, &items, now).await
}

/// All of them or nothing, within the policy's limit.
pub async fn trash(
    config: &Config,
    view: &View,
    policy: &Policy,
    items: &[catalog::Trashing],
    now: Timestamp,
) -> Result<Code> {
    match view.catalog.trash(items, &policy.protect().deletion, now).await? {
        Trashed::Done { trashed, drifted } => {
            if config.json {
                ui::json(&serde_json::json!({ "trashed": trashed, "drifted": drifted.len() }));
            } else {
                let until = items.iter().map(|i| i.trash.until).max().unwrap_or(now);
                ui::line(&format!(
                    "{} in the trash until {until}; `videorec undelete` brings them back until then",
                    text::count(trashed.len() as u64, "recording")
                ));
                for (id, why) in &drifted {
                    ui::line(&format!("left out: {}: {}", id.short(), text::inert(why)));
                }
            }
            Ok(if drifted.is_empty() { Code::Done } else { Code::Partly })
        }
        Trashed::Over(over) => Err(Coded::error(
            Code::Usage,
            format!(
                "nothing was deleted: {}; select less, wait, or raise `protect: deletion` in the policy",
                worker::over_the_limit(&over)
            ),
        )),
    }
}
