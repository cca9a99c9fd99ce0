use anyhow::Result;
use catalog::Told;
use domain::{Alert, Clock as _, Severity};

use crate::{
    cli::Alerts,
    clock,
    config::Config,
    exit::{Code, Coded},
    tell,
    ui::{self, text},
    wire,
};

pub async fn run(config: &Config, command: &Alerts) -> Result<Code> {
    let view = wire::look(config).await?;
    match command {
        Alerts::Ls { limit, open } => {
            let mut told = view.catalog.alerts(*limit).await?;
            if *open {
                told.retain(|t| t.acked_at.is_none());
            }
            if config.json {
                told.iter().for_each(print_json);
                return Ok(Code::Done);
            }
            if told.is_empty() {
                ui::line("no alerts");
                return Ok(Code::Done);
            }
            for it in told {
                let seen = match (&it.acked_by, it.sent_at) {
                    (Some(by), _) => format!("acknowledged by {by}"),
                    (None, Some(at)) => format!("told at {at}"),
                    (None, None) => "not told yet".to_owned(),
                };
                let alert = &it.alert;
                ui::line(&format!(
                    "{}  {:<8}  {}  ({})",
                    alert.at,
                    alert.severity.as_str(),
                    text::inert(&alert.subject),
                    text::inert(&seen)
                ));
                ui::line(&format!("    {}", text::inert(&alert.cause)));
                ui::line(&format!("    next: {}", text::inert(&alert.next)));
                ui::line(&format!("    key:  {}", text::inert(&alert.key)));
            }
            Ok(Code::Done)
        }
        Alerts::Ack { key } => {
            if !view.catalog.ack(key, &config.actor, clock::System.now()).await? {
                let why =
                    format!("no open alert has the key `{}`; see `videorec alerts ls`", text::inert(key));
                return Err(Coded::error(Code::NotFound, why));
            }
            if config.json {
                ui::json(&serde_json::json!({ "acknowledged": key }));
            } else {
                ui::line("acknowledged: it is not told again while its cause lasts");
            }
            Ok(Code::Done)
        }
        Alerts::Test => {
            let now = clock::System.now();
            let alert = Alert {
                key: format!("test/{now}"),
                severity: Severity::Info,
                service: "alerts".into(),
                subject: format!("a test alert, asked for by {}", config.actor),
                cause: "Somebody wanted to see whether alerts arrive.".into(),
                next: "Nothing: they do.".into(),
                recording: None,
                at: now,
            };
            tell::channels(config).await?.tell(&alert).await?;
            if config.json {
                ui::json(&alert);
            } else {
                ui::line(&format!("told: {}", alert.subject));
            }
            Ok(Code::Done)
        }
    }
}

fn print_json(told: &Told) {
    ui::json(&serde_json::json!({
        "alert": told.alert, "sent_at": told.sent_at, "acked_at": told.acked_at, "acked_by": told.acked_by,
        "escalations": told.escalations,
    }));
}
