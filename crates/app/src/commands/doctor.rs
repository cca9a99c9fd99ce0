mod lifecycle;

use std::time::Duration;

use anyhow::Result;
use sandbox::{Layer, Status};
use serde::Serialize;

use crate::{
    cli::Machine,
    config::Config,
    exit::Code,
    ui::{self, text},
    wire,
};

/// One line of the report.
#[derive(Serialize)]
struct Finding {
    what: String,
    ok: bool,
    /// What was found, or what is wrong and what to do.
    says: String,
}

/// Below this a library cannot take in an hour of video.
const LOW_SPACE: u64 = 2_000_000_000;

pub async fn run(config: &Config) -> Result<Code> {
    let mut findings = sandbox();
    findings.extend(tools(config).await);
    findings.extend(library(config).await);
    findings.extend(destinations(config).await);
    findings.extend(lifecycle::rules(config).await);
    let all_well = findings.iter().all(|f| f.ok);
    if config.json {
        findings.iter().for_each(ui::json);
    } else {
        for f in &findings {
            let mark = if f.ok { "ok   " } else { "WRONG" };
            let says: Vec<_> = f.says.lines().map(text::inert).collect();
            ui::line(&format!("{mark}  {:<24} {}", f.what, says.join("\n         ")));
        }
    }
    Ok(if all_well { Code::Done } else { Code::Partly })
}

fn sandbox() -> Vec<Finding> {
    let report = sandbox::probe();
    let finding = |(layer, status): &(Layer, Status)| match status {
        Status::Holds => {
            Finding { what: format!("sandbox {}", layer.name()), ok: true, says: layer.protects().into() }
        }
        Status::Missing(why) => Finding {
            what: format!("sandbox {}", layer.name()),
            // Without a socket there is no TCP for landlock-net to guard.
            ok: *layer == Layer::LandlockNet && report.holds(Layer::Seccomp),
            says: format!("missing ({why}): {}. {}", layer.unprotected(), layer.remedy()),
        },
    };
    report.layers.iter().map(finding).collect()
}

async fn tools(config: &Config) -> Vec<Finding> {
    let wrong = |says: String| vec![Finding { what: "ffmpeg".into(), ok: false, says }];
    let tools = match wire::media(config, wire::threads(&Machine { threads: None, memory: None })) {
        Ok(tools) => tools,
        Err(e) => return wrong(format!("{e:#}")),
    };
    let work = match std::env::temp_dir().join(format!("videorec-doctor-{}", std::process::id())) {
        work if std::fs::create_dir_all(&work).is_ok() => work,
        work => return wrong(format!("cannot make {}: make the temporary folder writable", work.display())),
    };
    let build = tools.build(&work).await;
    let _ = std::fs::remove_dir_all(&work);
    let build = match build {
        Ok(build) => build,
        Err(e) => return wrong(e.to_string()),
    };
    let mut findings =
        vec![Finding { what: "ffmpeg".into(), ok: true, says: format!("version {}", build.version) }];
    let missing: Vec<_> = build.needs.iter().filter(|n| !n.present).collect();
    if missing.is_empty() {
        let says = format!("all {} encoders, decoders and filters that we use are there", build.needs.len());
        findings.push(Finding { what: "ffmpeg parts".into(), ok: true, says });
    }
    findings.extend(missing.into_iter().map(|need| Finding {
        what: format!("ffmpeg {}", need.kind),
        ok: false,
        says: format!(
            "`{}` is missing, without it: {}. Install a fuller build of ffmpeg",
            need.name, need.purpose
        ),
    }));
    findings
}

/// A server that does not answer in this time does not.
const PATIENCE: Duration = Duration::from_secs(45);

/// Everybody that files are sent to: reached, let in, and written to.
async fn destinations(config: &Config) -> Vec<Finding> {
    let policy = match wire::look(config).await {
        Ok(view) => wire::policy_of(config, &view).await,
        Err(e) => Err(e),
    };
    // What is wrong with the library or its policy was said.
    let Ok(policy) = policy.map(|file| file.policy) else { return Vec::new() };
    let all = crate::destinations::of(config, &policy);
    let is_sent_to = |store: &policy::Store| !store.holds() || policy.sends_to(&store.name);
    let asked = policy.stores().values().filter(|store| store.place.is_some() && is_sent_to(store));
    let looks = asked.map(|store| {
        let all = &all;
        async move {
            let what = format!("destination {}", store.name);
            let look = async { all.get(&store.name).await?.check().await };
            match tokio::time::timeout(PATIENCE, look).await {
                Ok(Ok(health)) => {
                    let free = health.free.map(|free| format!(", {} free", text::bytes(free)));
                    Finding { what, ok: true, says: format!("writable{}", free.unwrap_or_default()) }
                }
                Ok(Err(e)) => Finding { what, ok: false, says: e.to_string() },
                Err(_) => Finding {
                    what,
                    ok: false,
                    says: format!("no answer within {PATIENCE:?}; check its address"),
                },
            }
        }
    });
    futures::future::join_all(looks).await
}

async fn library(config: &Config) -> Vec<Finding> {
    let Ok(layout) = config.existing() else {
        let says = "none here; name one with --library DIR to check its disk and stores".into();
        return vec![Finding { what: "library".into(), ok: true, says }];
    };
    let mut findings = Vec::new();
    let policy = match wire::policy(config, layout) {
        Ok(file) => {
            let from = file.path.as_ref().map_or("the shipped one".into(), |p| p.display().to_string());
            findings.push(Finding { what: "policy".into(), ok: true, says: from });
            file.policy
        }
        Err(e) => {
            findings.push(Finding { what: "policy".into(), ok: false, says: format!("{e:#}") });
            return findings;
        }
    };
    findings.push(match wire::open_catalog(layout).await {
        Ok(_) => Finding { what: "catalog".into(), ok: true, says: layout.catalog().display().to_string() },
        Err(e) => Finding { what: "catalog".into(), ok: false, says: format!("{e:#}") },
    });
    let stores = match wire::stores(layout, &policy, &config.secrets).await {
        Ok(stores) => stores,
        Err(e) => {
            findings.push(Finding { what: "stores".into(), ok: false, says: format!("{e:#}") });
            return findings;
        }
    };
    for store in stores.iter() {
        let what = format!("store {}", store.name());
        findings.push(match store.check().await {
            Err(e) => Finding { what, ok: false, says: e.to_string() },
            Ok(health) => match health.free {
                Some(free) if free < LOW_SPACE => Finding {
                    what,
                    ok: false,
                    says: format!("only {} free: make room before bringing more in", text::bytes(free)),
                },
                Some(free) => {
                    Finding { what, ok: true, says: format!("writable, {} free", text::bytes(free)) }
                }
                None => Finding { what, ok: true, says: "writable".into() },
            },
        });
    }
    findings
}
