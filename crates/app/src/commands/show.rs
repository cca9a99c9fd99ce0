use std::time::Duration;

use anyhow::Result;
use catalog::{Catalog, Ended, JobFilter};
use domain::{Arrival, Clock as _, Facts, JobState, Outcome, RecordingId, StreamFacts, Usage};

use super::one;
use crate::{
    clock,
    config::{Config, Layout},
    exit::Code,
    ui::{self, text},
    wire,
};

pub async fn run(config: &Config, id: &str) -> Result<Code> {
    let view = wire::look(config).await?;
    let id = one(&view, id).await?;
    let Some(facts) = view.catalog.facts(id).await? else {
        anyhow::bail!("recording {id} vanished meanwhile")
    };
    let exports = exports(&*view.catalog, id).await?;
    let policy = wire::policy_of(config, &view).await;
    let explain = |file: &wire::PolicyFile| {
        policy::explain(&file.policy, &facts, &Usage::default(), clock::System.now())
    };
    let explanation = policy.as_ref().map(explain);
    if config.json {
        let explanation = explanation.as_ref().ok();
        ui::json(&serde_json::json!({
            "recording": facts.recording,
            "renditions": facts.renditions,
            "copies": facts.copies,
            "exports": exports.iter().map(as_json).collect::<Vec<_>>(),
            "explanation": explanation,
        }));
        return Ok(Code::Done);
    }
    describe(view.layout.as_ref(), &facts);
    exports.iter().for_each(show_export);
    ui::line("\nWhy it is so");
    match explanation {
        Ok(explanation) => indented(&explanation.to_string()),
        Err(e) => indented(&format!("not to be said: {e:#}")),
    }
    Ok(Code::Done)
}

fn describe(layout: Option<&Layout>, facts: &Facts) {
    let r = &facts.recording;
    let field = |name: &str, value: String| {
        if !value.is_empty() {
            ui::line(&format!("{name:<10}{}", text::inert(&value)));
        }
    };
    let length = |ms: u64| text::duration(Duration::from_millis(ms));
    field("title", r.title.clone());
    field("name", r.name.clone());
    field("id", r.id.to_string());
    field("state", r.state.as_str().into());
    field("because", r.reason.clone());
    field("kind", r.kind.as_str().into());
    field("accepted", r.accepted_at.to_string());
    field("recorded", r.recorded_at.map(|t| t.to_string()).unwrap_or_default());
    field("tags", r.tags.iter().cloned().collect::<Vec<_>>().join(", "));
    for (name, value) in r.fields.iter() {
        field(name, value.to_owned());
    }
    field("session", r.session.map(|s| s.to_string()).unwrap_or_default());
    field("size", format!("{} ({} bytes)", text::bytes(r.digest.size), r.digest.size));
    field("sha-256", r.digest.sha256.to_string());
    field("crc64nvme", r.digest.crc64.to_string());
    match layout {
        Some(layout) => field("file", layout.recordings().join(&r.key).display().to_string()),
        None => {
            field("object", format!("{} in store {}", r.key, r.store));
            field("version", r.version.clone());
        }
    }
    if let Some(media) = r.media() {
        field("media", format!("{}, {}", media.media_type, length(media.duration_ms)));
        media.streams.iter().for_each(|s| field("", stream(s)));
    }
    for track in &facts.tracks {
        let here =
            track.recording.as_ref().map_or("not here yet".to_owned(), |r| r.state.as_str().to_owned());
        let joined = length(track.track.offset_ms);
        field(
            "track",
            format!("{}: {} ({here}), joins at {joined}", track.track.participant, track.track.name),
        );
    }
    for rendition in &facts.renditions {
        let partial = rendition.partial.as_ref().map(|p| format!(" - partial: {p}")).unwrap_or_default();
        field("made", format!("{}{partial}", rendition.name));
        for file in &rendition.files {
            let place = match layout {
                Some(layout) => layout.recordings().join(&file.key).display().to_string(),
                None => format!("{} in store {}", file.key, file.store),
            };
            field("", format!("{}  {place}", text::bytes(file.digest.size)));
        }
        for choice in &rendition.choices {
            field("", format!("stream {}: {} ({})", choice.stream, choice.how, choice.why));
        }
    }
    for copy in &facts.copies {
        field("copy", format!("in `{}`, read back and equal at {}", copy.store, copy.verified_at));
    }
}

/// What left of it, oldest first.
async fn exports(catalog: &dyn Catalog, id: RecordingId) -> Result<Vec<Ended>> {
    let filter = JobFilter { states: vec![JobState::Done], recording: Some(id), ..JobFilter::default() };
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = catalog.ended(&filter, after, 200).await?;
        let Some(last) = page.last() else { return Ok(all) };
        after = Some(last.seq);
        all.extend(page.into_iter().filter(|e| matches!(e.outcome, Some(Outcome::Exported { .. }))));
    }
}

fn show_export(ended: &Ended) {
    let Some(Outcome::Exported { to, files, at }) = &ended.outcome else { return };
    let what = text::inert(&ended.job.spec.action.label());
    ui::line(&format!("{:<10}{what}, at {at}", "left"));
    for file in files {
        let arrival = match file.arrival {
            Arrival::Sent | Arrival::Already => format!("whole by {}", file.checked),
            Arrival::Skipped => "not sent: another file has the name".to_owned(),
        };
        let (bytes, name) = (text::bytes(file.digest.size), text::inert(&file.name));
        ui::line(&format!("{:<10}{bytes}  {}: {name} ({arrival})", "", text::inert(to)));
    }
}

fn as_json(ended: &Ended) -> serde_json::Value {
    serde_json::json!({
        "job": ended.job.spec.id, "rule": ended.job.spec.rule, "export": ended.job.spec.action, "outcome": ended.outcome,
    })
}

fn stream(s: &StreamFacts) -> String {
    let what = match (&s.video, &s.audio) {
        (Some(v), _) => {
            let (num, den) = v.frame_rate;
            let rate = if den == 0 { 0.0 } else { f64::from(num) / f64::from(den) };
            let turned = if v.rotation == 0 { String::new() } else { format!(", turned {}°", v.rotation) };
            format!("{}x{}{turned}, {rate:.2} fps", v.width, v.height)
        }
        (_, Some(a)) => format!("{} Hz, {} channels", a.sample_rate, a.channels),
        _ => String::new(),
    };
    format!("stream {} {:?} {} {what}", s.index, s.kind, s.codec)
}

/// Text of several lines, set off and harmless.
pub fn indented(lines: &str) {
    for line in lines.lines() {
        ui::line(&format!("  {}", text::inert(line)));
    }
}
