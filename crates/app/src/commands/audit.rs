use anyhow::Result;

use super::one;
use crate::{
    cli::{Audit, Certificates},
    config::Config,
    exit::Code,
    ui::{self, text},
    wire,
};

pub async fn run(config: &Config, command: &Audit) -> Result<Code> {
    let view = wire::look(config).await?;
    let (id, limit) = match command {
        Audit::Verify => {
            let verdict = view.catalog.audit_verify().await?;
            if config.json {
                ui::json(&serde_json::json!({
                    "entries": verdict.entries, "unchained": verdict.unchained, "first_bad": verdict.first_bad,
                    "head": verdict.head,
                }));
            } else {
                match verdict.first_bad {
                    None => ui::line(&format!(
                        "{} and their chain of hashes is whole; its head is {}",
                        text::count(verdict.entries, "audit record"),
                        verdict.head
                    )),
                    Some(seq) => ui::line(&format!(
                        "audit record {seq} is not as it was written, or one before it is gone: what follows it \
                         proves nothing; compare with a backup of the catalog"
                    )),
                }
            }
            return Ok(if verdict.first_bad.is_none() { Code::Done } else { Code::Partly });
        }
        Audit::Ls { id, limit } => (id, *limit),
    };
    let id = match id {
        Some(prefix) => Some(one(&view, prefix).await?),
        None => None,
    };
    let entries = view.catalog.audit(id, limit).await?;
    if config.json {
        entries.iter().for_each(ui::json);
        return Ok(Code::Done);
    }
    let rows: Vec<_> = entries
        .iter()
        .map(|e| {
            vec![
                e.seq.to_string(),
                e.at.to_string(),
                text::inert(&e.actor),
                e.what.clone(),
                e.recording.map(|id| id.short()).unwrap_or_default(),
                text::inert(&e.details.to_string()),
            ]
        })
        .collect();
    ui::table::print(&["SEQ", "AT", "WHO", "WHAT", "RECORDING", "DETAILS"], &rows);
    Ok(Code::Done)
}

pub async fn certificates(config: &Config, args: &Certificates) -> Result<Code> {
    let view = wire::look(config).await?;
    let id = match &args.id {
        Some(prefix) => Some(one(&view, prefix).await?),
        None => None,
    };
    let certificates = view.catalog.certificates(id, args.limit).await?;
    if config.json {
        certificates.iter().for_each(ui::json);
        return Ok(Code::Done);
    }
    if certificates.is_empty() {
        ui::line("nothing was purged");
        return Ok(Code::Done);
    }
    for it in certificates {
        ui::line(&format!("{}  {}", it.recording.short(), text::inert(&it.name)));
        ui::line(&format!("  purged     {}, in the trash since {}", it.purged_at, it.trashed_at));
        ui::line(&format!("  by         {} ({})", text::inert(&it.rule), text::inert(&it.by)));
        ui::line(&format!("  because    {}", text::inert(&it.reason)));
        ui::line(&format!("  sha-256    {}", it.digest.sha256));
        for object in &it.objects {
            ui::line(&format!(
                "  removed    {} in `{}` ({}, {})",
                text::inert(&object.key),
                object.store,
                text::inert(&object.what),
                text::bytes(object.size)
            ));
        }
    }
    Ok(Code::Done)
}
