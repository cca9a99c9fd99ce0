use anyhow::Result;
use queue::{Dead, DeadLetters, Lane, Which};
use serde_json::json;

use crate::{
    cli::{Dlq, Letters},
    config::Config,
    exit::{Code, Coded},
    fleet::engines,
    ui::{self, text},
};

/// Enough to find one by its id; a queue with more is to be redriven or dropped by lanes.
const MANY: usize = 1000;

pub async fn run(config: &Config, command: &Dlq) -> Result<Code> {
    let queue = engines::queue(engines::fleet_of(config)?).await?;
    match command {
        Dlq::Ls { limit } => ls(config, &queue, *limit).await,
        Dlq::Show { id } => show(config, &queue, id).await,
        Dlq::Redrive(letters) => {
            let (lane, which) = which(&queue, letters).await?;
            report(config, "redriven", queue.redrive(lane, which).await?)
        }
        Dlq::Drop(letters) => {
            let (lane, which) = which(&queue, letters).await?;
            report(config, "dropped", queue.drop_dead(lane, which).await?)
        }
    }
}

async fn ls(config: &Config, queue: &impl DeadLetters, limit: usize) -> Result<Code> {
    let mut rows = Vec::new();
    for lane in Lane::ALL {
        for dead in queue.dead(lane, limit).await? {
            if config.json {
                ui::json(&object(lane, &dead));
            }
            rows.push(vec![
                text::tail(&dead.id, 12),
                lane.as_str().to_owned(),
                dead.receives.to_string(),
                text::inert(&dead.reason.unwrap_or_else(|| "received too often without an answer".into())),
                text::inert(&dead.body.chars().take(60).collect::<String>()),
            ]);
        }
    }
    if config.json {
        return Ok(Code::Done);
    }
    if rows.is_empty() {
        ui::line("no dead letters");
    } else {
        ui::table::print(&["ID", "LANE", "RECEIVES", "REASON", "BODY"], &rows);
        ui::line("`videorec dlq show ID` shows one whole, `redrive` sends it again, `drop` removes it");
    }
    Ok(Code::Done)
}

async fn show(config: &Config, queue: &impl DeadLetters, id: &str) -> Result<Code> {
    let (lane, dead) = find(queue, id).await?;
    if config.json {
        ui::json(&object(lane, &dead));
        return Ok(Code::Done);
    }
    ui::line(&format!("id        {}", text::inert(&dead.id)));
    ui::line(&format!("lane      {}", lane.as_str()));
    ui::line(&format!("receives  {}", dead.receives));
    if let Some(reason) = &dead.reason {
        ui::line(&format!("reason    {}", text::inert(reason)));
    }
    ui::line("");
    dead.body.lines().for_each(|line| ui::line(&text::inert(line)));
    Ok(Code::Done)
}

fn report(config: &Config, what: &str, n: u64) -> Result<Code> {
    if config.json {
        ui::json(&json!({ what: n }));
    } else {
        ui::line(&format!("{} {what}", text::count(n, "message")));
    }
    Ok(if n > 0 { Code::Done } else { Code::NotFound })
}

async fn which(queue: &impl DeadLetters, letters: &Letters) -> Result<(Lane, Which)> {
    match (letters.all, &letters.id) {
        (Some(lane), _) => Ok((lane, Which::All)),
        (None, Some(id)) => {
            let (lane, dead) = find(queue, id).await?;
            Ok((lane, Which::Id(dead.id)))
        }
        (None, None) => Err(Coded::error(Code::Usage, "name a message, or --all with a lane")),
    }
}

/// By its whole id, its beginning, or the end that `ls` shows.
async fn find(queue: &impl DeadLetters, part: &str) -> Result<(Lane, Dead)> {
    let part = part.trim_start_matches('…');
    let mut found = Vec::new();
    for lane in Lane::ALL {
        let dead = queue.dead(lane, MANY).await?;
        found.extend(
            dead.into_iter().filter(|d| d.id.starts_with(part) || d.id.ends_with(part)).map(|d| (lane, d)),
        );
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Coded::error(
            Code::NotFound,
            format!("no dead letter `{}`; see `videorec dlq ls`", text::inert(part)),
        )),
        n => Err(Coded::error(Code::NotFound, format!("`{}` names {n} dead letters", text::inert(part)))),
    }
}

fn object(lane: Lane, dead: &Dead) -> serde_json::Value {
    json!({ "id": dead.id, "lane": lane.as_str(), "receives": dead.receives, "reason": dead.reason,
            "sent_at_ms": dead.sent_at_ms, "body": dead.body })
}
