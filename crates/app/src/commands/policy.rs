use std::{io::Write as _, path::Path};

use anyhow::{Context as _, Result};
use domain::{Clock as _, Usage};
use worker::plan::{Frozen, Prices};

use super::{one, show::indented};
use crate::{
    cli::Policy,
    clock,
    config::Config,
    exit::{Code, Coded},
    ui,
    wire::{self, PolicyFile},
};

pub async fn run(config: &Config, command: &Policy) -> Result<Code> {
    match command {
        Policy::Init { file } => {
            let path = match file {
                Some(file) => file.clone(),
                None => config.layout()?.policy(),
            };
            init(config, &path)
        }
        Policy::Check { file } => {
            let policy = match (file, &config.layout) {
                (Some(file), _) => wire::read_policy(file)?,
                (None, Some(layout)) => wire::policy(config, layout)?,
                (None, None) => match &config.policy {
                    Some(file) => wire::read_policy(file)?,
                    None => return Err(Coded::error(Code::Usage, "name the policy file to check")),
                },
            };
            check(config, &policy)
        }
        Policy::Show => {
            let file = match &config.fleet {
                Some(_) => wire::policy_of(config, &wire::look(config).await?).await?,
                None => wire::policy(config, config.layout()?)?,
            };
            if config.json {
                let object =
                    serde_json::json!({ "file": file.path, "hash": file.policy.hash(), "text": file.text });
                ui::json(&object);
            } else {
                ui::line(file.text.trim_end());
            }
            Ok(Code::Done)
        }
        Policy::Explain { id } => explain(config, id).await,
        Policy::Lifecycle => {
            let policy = match (&config.policy, &config.layout) {
                (Some(file), _) => wire::read_policy(file)?,
                (None, Some(layout)) => wire::policy(config, layout)?,
                (None, None) => wire::policy_of(config, &wire::look(config).await?).await?,
            };
            lifecycle(config, &policy.policy);
            Ok(Code::Done)
        }
        Policy::Schema => {
            ui::json(&policy::schema());
            Ok(Code::Done)
        }
    }
}

fn init(config: &Config, path: &Path) -> Result<Code> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    // `create_new`: a policy that somebody wrote is never overwritten.
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = file.map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Coded::error(Code::Usage, format!("{} is there already; it was left as it is", path.display()))
        }
        _ => anyhow::anyhow!("cannot write {}: {e}", path.display()),
    })?;
    file.write_all(policy::DEFAULT.as_bytes())?;
    if config.json {
        ui::json(&serde_json::json!({ "written": path }));
    } else {
        ui::line(&format!("{} written: read it, change it, then `videorec policy check`", path.display()));
    }
    Ok(Code::Done)
}

fn check(config: &Config, file: &PolicyFile) -> Result<Code> {
    let name = file.path.as_ref().map_or("the shipped policy".to_owned(), |p| p.display().to_string());
    let policy = &file.policy;
    if config.json {
        let warnings: Vec<_> = policy
            .warnings()
            .iter()
            .map(|w| serde_json::json!({ "line": w.line, "column": w.column, "message": w.message }))
            .collect();
        let rules: Vec<_> = policy.rules().iter().map(|r| &r.name).collect();
        ui::json(
            &serde_json::json!({ "file": name, "hash": policy.hash(), "rules": rules, "warnings": warnings }),
        );
        return Ok(Code::Done);
    }
    for warning in policy.warnings() {
        ui::line(&format!("warning: {}", warning.in_file(&name)));
    }
    let rules = ui::text::count(policy.rules().len() as u64, "rule");
    ui::line(&format!("{name} checks: {rules}"));
    for rule in policy.rules() {
        let asks: Vec<_> = rule.asks_for().collect();
        ui::line(&format!("  {}: {} -> {}", rule.name, rule.looks_for(), asks.join(", ")));
    }
    Ok(Code::Done)
}

/// One document, as it is put into a bucket.
fn lifecycle(config: &Config, policy: &policy::Policy) {
    let rules = worker::lifecycle::configuration(&policy.lifecycle_classes());
    if config.json {
        return ui::json(&rules);
    }
    ui::line(&format!("{rules:#}"));
    // Beside it, so that what is piped is the document alone.
    ui::hint(
        "`aws s3api put-bucket-lifecycle-configuration --bucket BUCKET --lifecycle-configuration file://FILE` puts them in force, \
         and replaces all rules that the bucket has: add those to the file first",
    );
}

async fn explain(config: &Config, id: &str) -> Result<Code> {
    let view = wire::look(config).await?;
    let policy = wire::policy_of(config, &view).await?.policy;
    let id = one(&view, id).await?;
    let Some(facts) = view.catalog.facts(id).await? else {
        anyhow::bail!("recording {id} vanished meanwhile")
    };
    let now = clock::System.now();
    let explanation = policy::explain(&policy, &facts, &Usage::default(), now);
    if config.json {
        ui::json(&explanation);
    } else {
        ui::line(&format!("{} ({})", ui::text::inert(&facts.recording.name), id));
        indented(&explanation.to_string());
        let steps = || explanation.rules.iter().flat_map(|rule| &rule.steps);
        if steps().any(|step| matches!(step.standing, policy::Standing::Cold(_))) {
            let frozen = Frozen::of(&facts, now).describe(&Prices::shipped());
            indented(&format!(
                "{frozen}; say `cold: restore` in the rule, or `videorec restore {}`",
                id.short()
            ));
        }
    }
    Ok(Code::Done)
}
