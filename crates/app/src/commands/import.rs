//! `import`: what was exported with a manifest comes back.

use std::{path::Path, sync::Arc};

use anyhow::Result;
use transfer::{Destination, Folder, Name, Presence};
use worker::{
    Library,
    import::{Came, Import},
};

use crate::{
    cli::{self, Machine},
    config::Config,
    destinations,
    exit::{Code, Coded},
    ui::{self, text},
    wire,
};

#[derive(Default)]
struct Tally {
    new: u64,
    known: u64,
    failed: u64,
    bytes: u64,
}

pub async fn run(config: &Config, args: &cli::Import) -> Result<Code> {
    if config.fleet.is_some() {
        return into_fleet(config, args).await;
    }
    let workshop = wire::work(config, &Machine { threads: None, memory: None }).await?;
    into(workshop.library.clone(), config, args, "the work goes on with `videorec up`").await
}

#[cfg(feature = "cloud")]
async fn into_fleet(config: &Config, args: &cli::Import) -> Result<Code> {
    let entrance = crate::fleet::entrance::open(config, &args.scratch).await?;
    into(entrance.library.clone(), config, args, "the fleet's workers go on with the work").await
}

#[cfg(not(feature = "cloud"))]
#[expect(clippy::unused_async, reason = "with the feature it connects")]
async fn into_fleet(_: &Config, _: &cli::Import) -> Result<Code> {
    Err(wire::without_cloud())
}

/// `then`: who goes on with what came in.
async fn into(library: Arc<Library>, config: &Config, args: &cli::Import, then: &str) -> Result<Code> {
    let from = from(config, &library.policy, &args.from).await?;
    let name = manifest(&*from, args.manifest.as_deref()).await?;
    let import = Import::open(library, from, name.clone()).await?;
    if !config.json {
        let how = if import.hashed { "its hash is the right one" } else { "no hash of it lies there" };
        ui::line(&format!("{name}: whole, {how}"));
    }
    let mut tally = Tally::default();
    if args.plan {
        for item in import.items()? {
            match item {
                Ok(item) => match import.known(&item).await? {
                    Some(_) => tally.known += 1,
                    None => (tally.new, tally.bytes) = (tally.new + 1, tally.bytes + item.bytes),
                },
                Err((name, why)) => tally.add(config, &name, &Came::Failed { why }),
            }
        }
    } else {
        import.run(|name, came| tally.add(config, name, came)).await?;
    }
    tally.print(config, args.plan, then);
    Ok(if tally.failed == 0 { Code::Done } else { Code::Partly })
}

/// A store of the policy, or a folder.
async fn from(config: &Config, policy: &policy::Policy, from: &str) -> Result<Arc<dyn Destination>> {
    if policy.stores().contains_key(from) && from != policy::LIBRARY {
        return Ok(destinations::of(config, policy).get(from).await?);
    }
    let path = Path::new(from);
    if path.is_dir() {
        return Ok(Arc::new(Folder::new("folder", std::path::absolute(path)?, Presence::Exists)));
    }
    let known: Vec<_> =
        policy.stores().keys().map(String::as_str).filter(|s| *s != policy::LIBRARY).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let message = format!(
        "`{}` is neither a folder nor a store; under `stores:` the policy has {known}",
        text::inert(from)
    );
    Err(Coded::error(Code::Usage, message))
}

async fn manifest(from: &dyn Destination, named: Option<&str>) -> Result<Name> {
    if let Some(named) = named {
        return Name::parse(named).map_err(|e| Coded::error(Code::Usage, format!("--manifest: {e}")));
    }
    if !from.limits().lists {
        let message = "it cannot be asked what manifests it has: name one with --manifest";
        return Err(Coded::error(Code::Usage, message));
    }
    let mut found = Import::manifests(from).await?;
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => Err(Coded::error(
            Code::NotFound,
            format!("`{}` has no manifest of an export (videorec-export-*.jsonl)", from.name()),
        )),
        (Some(last), false) => {
            found.push(last);
            let names: Vec<_> = found.iter().map(ToString::to_string).collect();
            let message =
                format!("there are several manifests: name one with --manifest: {}", names.join(", "));
            Err(Coded::error(Code::Usage, message))
        }
    }
}

impl Tally {
    fn add(&mut self, config: &Config, name: &str, came: &Came) {
        let (what, id, why) = match came {
            Came::New { id } => {
                self.new += 1;
                ("new", Some(id), None)
            }
            Came::Known { id } => {
                self.known += 1;
                ("known", Some(id), None)
            }
            Came::Failed { why } => {
                self.failed += 1;
                ("failed", None, Some(why))
            }
        };
        if config.json {
            ui::json(&serde_json::json!({
                "name": name, "came": what, "id": id.map(ToString::to_string), "why": why,
            }));
        } else if let Some(why) = why {
            ui::line(&format!("not imported  {}: {}", text::inert(name), text::inert(why)));
        }
    }

    fn print(&self, config: &Config, plan: bool, then: &str) {
        if config.json {
            ui::json(&serde_json::json!({
                "new": self.new, "known": self.known, "failed": self.failed, "plan": plan,
            }));
            return;
        }
        let bytes = if plan { format!(", {}", text::bytes(self.bytes)) } else { String::new() };
        let new = text::count(self.new, "new recording");
        ui::line(&format!("{new}{bytes}; {} here already; {} failed", self.known, self.failed));
        match plan {
            true => ui::line("Nothing was done: this was only the plan."),
            false if self.new > 0 => ui::line(then),
            false => {}
        }
    }
}
