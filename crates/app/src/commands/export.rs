//! `export`: recordings of a person's choice leave for a partner, as a batch.

use std::collections::BTreeMap;

use anyhow::Result;
use domain::{Action, Clock as _, ExportSpec, Facts, RecordingId, Timestamp};
use policy::{Policy, Wish};
use transfer::{
    Name,
    names::{Claims, Clash, Rules},
};
use worker::{
    Manifests, by_hand,
    plan::{Costs, Money, Prices},
};

use super::{by_hand::Sum, plan::money, which};
use crate::{
    cli::Export,
    clock,
    config::Config,
    destinations,
    exit::{Code, Coded},
    ui::{self, text},
    wire,
};

const PAGE: usize = 256;
/// Clashes and left out names that are shown.
const SHOWN: usize = 5;

pub async fn run(config: &Config, args: &Export) -> Result<Code> {
    let view = wire::look(config).await?;
    let policy = wire::policy_of(config, &view).await?.policy;
    let wish = wish(&policy, args)?;
    let ids = which::ids(&view, &args.which).await?;
    let now = clock::System.now();
    let batch = by_hand::batch("export", &config.actor, &which::words(&args.which), now);
    let prices = Prices::shipped();
    let costs = Costs { prices: &prices, policy: &policy, in_cloud: view.layout.is_none() };
    let mut sum = Sum::default();
    let mut leaving = Leaving::new(names(config, &policy, &wish).await);
    for page in ids.chunks(PAGE) {
        let mut jobs = Vec::new();
        for id in page {
            let Some(facts) = view.catalog.facts(*id).await? else { continue };
            match by_hand::export(&policy, &batch, &facts, &wish, args.restore.map(|s| (s, args.days)), now) {
                Ok((ordered, why)) => {
                    sum.count += 1;
                    for job in &ordered {
                        sum.money += costs.of(&job.action, &facts, now);
                        if let Action::Export(export) = &job.action {
                            sum.bytes += leaving.add(&facts, export, &why, now);
                        }
                    }
                    jobs.extend(ordered);
                }
                Err(why) => {
                    leaving.cold(&facts, &prices, now);
                    sum.leave_out(*id, why);
                }
            }
        }
        if !args.plan && !jobs.is_empty() {
            view.catalog.order(&batch, &jobs, now).await?;
        }
    }
    let ordered = !args.plan && sum.count > 0;
    if ordered && !args.no_manifest {
        // Last: what is to be delivered when all of it has ended is known only when all of it was ordered.
        Manifests::ask_for(&*view.catalog, batch.id).await?;
    }
    if config.json {
        let mut object = leaving.json();
        object["batch"] = ordered.then_some(batch.id.to_string()).into();
        object["verb"] = "export".into();
        object["recordings"] = sum.count.into();
        object["bytes"] = sum.bytes.into();
        object["refused"] = serde_json::json!(sum.refusals());
        ui::json(&object);
    } else {
        sum.print("export");
        leaving.print(&wish);
        match (args.plan, sum.count) {
            (true, _) | (_, 0) => ui::line("Nothing was done: this was only the plan."),
            _ => {
                let who =
                    view.layout.as_ref().map_or("the fleet's workers do it", |_| "`videorec up` does it");
                ui::line(&format!(
                    "batch {}: {who}; `videorec batch ls` shows how far it is",
                    batch.id.short()
                ));
            }
        }
    }
    Ok(if sum.is_whole() { Code::Done } else { Code::Partly })
}

fn wish(policy: &Policy, args: &Export) -> Result<Wish> {
    let usage = |e: String| Coded::error(Code::Usage, e);
    for to in &args.to {
        let known: Vec<_> =
            policy.stores().keys().map(String::as_str).filter(|s| *s != policy::LIBRARY).collect();
        if !known.contains(&to.as_str()) {
            let there = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(usage(format!(
                "there is no destination `{}`; under `stores:` the policy has {there}",
                text::inert(to)
            )));
        }
    }
    for field in args.r#as.iter().flat_map(|name| name.own_fields()) {
        policy.knows_field(field).map_err(|e| usage(format!("--as: {e}")))?;
    }
    Ok(Wish {
        to: args.to.clone(),
        rendition: Wish::rendition(&args.rendition).map_err(|e| usage(format!("--rendition: {e}")))?,
        name: args.r#as.clone(),
        with: args.with.iter().copied().collect(),
        on_conflict: args.on_conflict,
        verify: args.verify,
    })
}

/// What each destination makes of names; the strictest where it cannot be opened.
async fn names(config: &Config, policy: &Policy, wish: &Wish) -> BTreeMap<String, Rules> {
    let destinations = destinations::of(config, policy);
    let mut all = BTreeMap::new();
    for to in &wish.to {
        let rules = destinations.get(to).await.map(|to| to.limits().names).unwrap_or_default();
        all.insert(to.clone(), rules);
    }
    all
}

/// What leaves: which files by which way and why, and where names meet.
struct Leaving {
    rules: BTreeMap<String, Rules>,
    /// By rendition and destination: files' number and bytes.
    ways: BTreeMap<(String, String), (u64, u64)>,
    why: BTreeMap<String, u64>,
    claims: BTreeMap<String, Claims>,
    /// By the number that a claim has.
    claimed: Vec<RecordingId>,
    clashes: u64,
    shown: Vec<String>,
    /// What would have to be restored first: their number, and what that would cost.
    cold: (u64, Money),
}

impl Leaving {
    fn new(rules: BTreeMap<String, Rules>) -> Self {
        let claims = rules.iter().map(|(to, rules)| (to.clone(), Claims::new(rules.clone()))).collect();
        Self {
            rules,
            ways: BTreeMap::new(),
            why: BTreeMap::new(),
            claims,
            claimed: Vec::new(),
            clashes: 0,
            shown: Vec::new(),
            cold: (0, Money::default()),
        }
    }

    /// The bytes of it.
    fn add(&mut self, facts: &Facts, export: &ExportSpec, why: &[String], now: Timestamp) -> u64 {
        let rules = self.rules.get(&export.to).cloned().unwrap_or_default();
        // What cannot be said now the job will say.
        let Ok((name, bytes)) = worker::preview(facts, export, &rules, now) else { return 0 };
        let way = self.ways.entry((export.what.name().to_owned(), export.to.clone())).or_default();
        (way.0, way.1) = (way.0 + 1, way.1 + bytes);
        why.iter().for_each(|why| *self.why.entry(why.clone()).or_default() += 1);
        self.claim(facts.recording.id, &export.to, &name);
        bytes
    }

    fn claim(&mut self, id: RecordingId, to: &str, name: &Name) {
        let number = self.claimed.len() as u64;
        self.claimed.push(id);
        let Some(claims) = self.claims.get_mut(to) else { return };
        let Err(Clash::Same(other) | Clash::UnderFile(other) | Clash::IsFolder(other)) =
            claims.claim(name, number)
        else {
            return;
        };
        self.clashes += 1;
        if self.shown.len() < SHOWN {
            let other = usize::try_from(other).ok().and_then(|n| self.claimed.get(n));
            let other = other.map(RecordingId::short).unwrap_or_default();
            self.shown.push(format!("{name} is the name of {other} and of {}", id.short()));
        }
    }

    fn cold(&mut self, facts: &Facts, prices: &Prices, now: Timestamp) {
        let it = &facts.recording;
        if it.custody.is_readable(now) || it.custody.is_trashed() {
            return;
        }
        self.cold.0 += 1;
        let money = prices.restore(it, domain::Speed::Standard, DAYS);
        self.cold.1 += money.unwrap_or_default();
    }

    fn print(&self, wish: &Wish) {
        for ((rendition, to), (n, bytes)) in &self.ways {
            let n = text::count(*n, "recording");
            ui::line(&format!(
                "{} to {}: {n}, {}",
                text::inert(rendition),
                text::inert(to),
                text::bytes(*bytes)
            ));
        }
        for (why, n) in &self.why {
            ui::line(&format!("  because {} ({})", text::inert(why), text::count(*n, "recording")));
        }
        if self.clashes > 0 {
            let then = match wish.on_conflict {
                domain::Conflict::Rename => "the later one gets a number behind its name",
                domain::Conflict::Skip => "the later one is not sent",
                domain::Conflict::Replace => "THE LATER ONE REPLACES THE EARLIER ONE",
            };
            let n = text::count(self.clashes, "name");
            ui::line(&format!("names: {n} would be taken already: {then}; put `{{id}}` into --as"));
            self.shown.iter().for_each(|clash| ui::line(&format!("  {}", text::inert(clash))));
        }
        if self.cold.0 > 0 {
            let n = text::count(self.cold.0, "recording");
            ui::line(&format!(
                "archived: {n}; `--restore standard` has them restored first{}",
                money(&self.cold.1)
            ));
        }
    }

    fn json(&self) -> serde_json::Value {
        let ways = self.ways.iter().map(|((rendition, to), (n, bytes))| {
            serde_json::json!({ "rendition": rendition, "to": to, "recordings": n, "bytes": bytes })
        });
        serde_json::json!({
            "ways": ways.collect::<Vec<_>>(), "why": self.why, "clashes": self.clashes, "archived": self.cold.0,
        })
    }
}

/// For how long restored ones are reckoned to be kept.
const DAYS: u32 = 7;
