use std::{
    collections::BTreeMap,
    fs,
    io::{BufWriter, Write as _},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use catalog::Counts;
use domain::{Clock as _, Decision, Facts, Recording, State, Timestamp};
use policy::Policy;
use serde::{Deserialize, Serialize};
use worker::plan::{self, Costs, Frozen, Item, Money, Part, Prices, Totals};

use crate::{
    cli::Plan,
    clock,
    config::Config,
    exit::{Code, Coded},
    ui::{self, text},
    wire,
};

/// Recordings shown of each rule and verb without `--all`.
const SHOWN: usize = 3;

/// The first line of a plan file; what follows is an `Item` a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub videorec_plan: u32,
    pub policy: String,
    pub at: Timestamp,
}

pub const FORMAT: u32 = 1;

/// `decide` over the whole library with nothing entered into the ledger.
pub async fn run(config: &Config, args: &Plan) -> Result<Code> {
    if args.print_prices {
        ui::line(plan::PRICES.trim_end());
        return Ok(Code::Done);
    }
    let view = wire::look(config).await?;
    let file = wire::policy_of(config, &view).await?;
    let prices = prices(args.prices.as_deref())?;
    let now = clock::System.now();
    let costs = Costs { prices: &prices, policy: &file.policy, in_cloud: view.layout.is_none() };
    let mut totals = Totals::default();
    let mut examples = Examples { all: args.all, shown: BTreeMap::new() };
    let mut out = args.out.as_deref().map(|path| Out::begin(path, &file.policy, now)).transpose()?;
    let mut failed = None;
    plan::over(&*view.catalog, &file.policy, now, |facts, decision| {
        totals.add(facts, decision, &costs, now);
        if config.json {
            print_json(facts, decision, &prices, now);
        } else {
            examples.add(facts, decision);
        }
        if let Some(out) = &mut out
            && let Err(e) = out.add(&Item::of(facts, decision))
        {
            failed = Some(e);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })
    .await?;
    if let Some(e) = failed {
        return Err(e);
    }
    let items = out.map(Out::end).transpose()?;
    if !config.json {
        let who = view.layout.as_ref().map_or("the fleet's workers do it", |_| "`videorec up` does it");
        let alive = alive(&view.catalog.counts().await?);
        print(&totals, alive, &examples, &file.policy, &prices, who);
    }
    if let (Some(path), Some(items)) = (&args.out, items)
        && !config.json
    {
        let what = text::count(items, "recording");
        ui::line(&format!("{}: {what}, frozen; `videorec apply {0}` does it", path.display()));
    }
    // Somebody has seen it: what this policy deletes may go ahead.
    if file.policy.deletes() {
        view.catalog.set_bookmark(worker::SEEN_POLICY, Some(file.policy.hash())).await?;
    }
    Ok(Code::Done)
}

fn prices(path: Option<&Path>) -> Result<Prices> {
    let Some(path) = path else { return Ok(Prices::shipped()) };
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Prices::parse(&text).map_err(|e| Coded::error(Code::Usage, format!("{}: {e}", path.display())))
}

/// A plan file under way: nothing is there under its name before it is whole.
struct Out {
    path: PathBuf,
    new: PathBuf,
    file: BufWriter<fs::File>,
    items: u64,
}

impl Out {
    fn begin(path: &Path, policy: &Policy, at: Timestamp) -> Result<Self> {
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        let file = fs::File::create(&new).with_context(|| format!("cannot write {}", new.display()))?;
        let mut out = Self { path: path.to_owned(), new, file: BufWriter::new(file), items: 0 };
        let header = Header { videorec_plan: FORMAT, policy: policy.hash().to_owned(), at };
        writeln!(out.file, "{}", serde_json::to_string(&header)?)?;
        Ok(out)
    }

    fn add(&mut self, item: &Item) -> Result<()> {
        if !item.is_empty() {
            writeln!(self.file, "{}", serde_json::to_string(item)?)
                .with_context(|| format!("cannot write {}", self.new.display()))?;
            self.items += 1;
        }
        Ok(())
    }

    fn end(mut self) -> Result<u64> {
        self.file.flush().with_context(|| format!("cannot write {}", self.new.display()))?;
        fs::rename(&self.new, &self.path).with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(self.items)
    }
}

/// By rule and verb.
struct Examples {
    all: bool,
    shown: BTreeMap<(String, String), Vec<String>>,
}

impl Examples {
    fn add(&mut self, facts: &Facts, decision: &Decision) {
        for job in &decision.jobs {
            self.show(&facts.recording, (job.rule.clone(), job.action.label()), &job.reason);
        }
        if let Some(offer) = plan::due(decision) {
            self.show(&facts.recording, (offer.rule.clone(), "delete".into()), &offer.reason);
        }
    }

    fn show(&mut self, it: &Recording, key: (String, String), reason: &str) {
        let shown = self.shown.entry(key).or_default();
        if self.all || shown.len() < SHOWN {
            let name = text::tail(&it.name, 50);
            shown.push(format!("{}  {name}  ({})", it.id.short(), text::inert(reason)));
        }
    }
}

/// All that have bytes.
fn alive(counts: &Counts) -> u64 {
    counts.recordings.iter().filter(|(state, _)| **state != State::Deleted).map(|(_, n)| n).sum()
}

fn print(totals: &Totals, alive: u64, examples: &Examples, policy: &Policy, prices: &Prices, who: &str) {
    let steps: u64 = totals.parts.values().map(|p| p.jobs).sum();
    if steps == 0 {
        let n = text::count(alive, "recording");
        ui::line(&format!("nothing to do: all that the policy asks of {n} is done or waits"));
    }
    for (key, part) in &totals.parts {
        let (rule, label) = key;
        ui::line(&format!("{}: {label} - {}", text::inert(rule), describe(part)));
        let shown = examples.shown.get(key).map_or(&[][..], Vec::as_slice);
        shown.iter().for_each(|e| ui::line(&format!("  {e}")));
        let more = part.jobs - shown.len() as u64;
        if more > 0 {
            ui::line(&format!("  and {more} more (--all shows them)"));
        }
    }
    for ((rule, verb, what), n) in &totals.waits {
        let n = text::count(*n, "recording");
        ui::line(&format!("{}: {verb} waits for {} ({n})", text::inert(rule), text::inert(what)));
    }
    for ((rule, verb), (n, frozen)) in &totals.frozen {
        ui::line(&format!(
            "{}: {verb} waits for what is archived, which the rule does not restore ({}, {}); {}; `cold: restore` in the rule or \
             `videorec restore` has it done",
            text::inert(rule),
            text::count(*n, "recording"),
            text::bytes(frozen.bytes()),
            frozen.describe(prices)
        ));
    }
    for ((rule, store), part) in &totals.room {
        let may = describe(part);
        ui::line(&format!("{}: may go when `{store}` needs room - {may}", text::inert(rule)));
    }
    if totals.delete.jobs > 0 {
        delete(totals, alive, policy);
    }
    if steps > 0 {
        let reckoned = format!("prices of {}: {}", prices.date, prices.source);
        ui::line(&format!("{} in all. Nothing was done: {who}. ({reckoned})", text::count(steps, "step")));
    }
}

/// What goes, and whether it may.
fn delete(totals: &Totals, alive: u64, policy: &Policy) {
    let limit = policy.protect().deletion;
    let allowed = limit.recordings(alive);
    let within = totals.delete.jobs <= allowed && limit.bytes.is_none_or(|most| totals.delete.bytes <= most);
    let may = match within {
        true => "within the limit".to_owned(),
        false => {
            let bytes = limit.bytes.map(|most| format!(" and {}", text::bytes(most))).unwrap_or_default();
            format!(
                "OVER THE LIMIT of {allowed} recordings{bytes} a day: as it is, none of them will go. Mend the rule, or raise \
                 `protect: deletion`"
            )
        }
    };
    ui::line(&format!("deletions: {}; {may}", describe(&totals.delete)));
}

fn describe(part: &Part) -> String {
    let n = text::count(part.jobs, "recording");
    let left = part.copies_left.map(|n| format!(", {n} copies left at least")).unwrap_or_default();
    format!("{n}, {}{}{left}", text::bytes(part.bytes), money(&part.money))
}

/// `, $12.40 once, $-3.10 a month`; nothing when it costs nothing.
pub fn money(money: &Money) -> String {
    let mut text = String::new();
    if money.once >= 0.005 {
        text.push_str(&format!(", ${:.2} once", money.once));
    }
    if money.early >= 0.005 {
        text.push_str(&format!(" (${:.2} of it for going early)", money.early));
    }
    if money.egress >= 0.005 {
        text.push_str(&format!(" (${:.2} of it for leaving)", money.egress));
    }
    if money.monthly.abs() >= 0.005 {
        text.push_str(&format!(", ${:+.2} a month", money.monthly));
    }
    text
}

fn print_json(facts: &Facts, decision: &Decision, prices: &Prices, now: Timestamp) {
    let recording = &facts.recording;
    for job in &decision.jobs {
        ui::json(&serde_json::json!({ "recording": recording.id, "name": recording.name, "job": job }));
    }
    for wait in &decision.waits {
        ui::json(&serde_json::json!({
            "recording": recording.id, "name": recording.name, "rule": wait.rule, "verb": wait.verb,
            "waits_for": wait.waits_for,
            "restore": wait.restore.then(|| Frozen::of(facts, now).describe(prices)),
        }));
    }
    for offer in &decision.offers {
        ui::json(&serde_json::json!({
            "recording": recording.id, "name": recording.name, "rule": offer.rule, "what": offer.what,
            "room": offer.room, "bytes": offer.bytes, "reason": offer.reason,
        }));
    }
}
