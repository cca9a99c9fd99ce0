//! A session's manifest, wherever it comes from: read, checked, and turned into the tracks it names.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, anyhow, bail};
use domain::{Alert, Kind, Manifest, NewRecording, Severity, Track};
use policy::Policy;

use crate::{names, walk::SESSION};

/// A manifest is a page of JSON; more is not one.
pub(crate) const MAX: u64 = 1 << 20;

/// Whether a label is a manifest's.
pub(crate) fn is_one(label: &str) -> bool {
    label.rsplit('/').next() == Some(SESSION)
}

/// Reads the manifest that came under this label; an error says where it is wrong.
pub(crate) fn read(label: &str, text: &str) -> Result<Manifest> {
    let manifest: Manifest = serde_json::from_str(text).context("this session.json is not valid")?;
    if manifest.tracks.is_empty() {
        bail!("this session.json is not valid: `tracks` is empty; name each participant's file");
    }
    let mut seen = BTreeSet::new();
    for track in &manifest.tracks {
        let file = track.file.escape_debug();
        let name = names::sibling(label, &track.file)
            .ok_or_else(|| anyhow!("this session.json is not valid: `{file}` is not a file next to it"))?;
        if !seen.insert(name) {
            bail!("this session.json is not valid: `{file}` is named twice");
        }
        if track.leave_ms.is_some_and(|leave| leave <= track.offset_ms) {
            bail!("this session.json is not valid: `{file}` leaves before it joins");
        }
    }
    Ok(manifest)
}

/// Makes the recording a session.
pub(crate) fn apply(manifest: Manifest, new: &mut NewRecording) {
    let folder = new.name.rsplit('/').nth(1).map(str::to_owned);
    new.kind = Kind::Session;
    if let Some(title) = manifest.title.or(folder) {
        new.title = title;
    }
    new.recorded_at = manifest.recorded_at.or(new.recorded_at);
    new.tags.extend(manifest.tags);
    // Whoever brings it in knows better.
    new.fields.fill_up(&manifest.fields);
    new.tracks = (manifest.tracks.iter())
        .filter_map(|t| {
            Some(Track {
                name: names::sibling(&new.name, &t.file)?,
                participant: t.participant.clone().unwrap_or_else(|| names::title(&t.file)),
                offset_ms: t.offset_ms,
                leave_ms: t.leave_ms,
            })
        })
        .collect();
}

/// Whoever wrote the manifest is told of fields that no rule can be for: they are kept as they came.
pub(crate) fn odd_fields(policy: &Policy, it: &NewRecording) -> Option<Alert> {
    let odd = it.fields.iter().filter_map(|(name, value)| policy.takes_field(name, value).err());
    let odd: Vec<String> = odd.collect();
    (!odd.is_empty()).then(|| Alert {
        key: format!("fields/{}/{}", it.id, it.version),
        severity: Severity::Warning,
        service: "intake".into(),
        subject: format!("some fields of {} are not what the policy says", it.name),
        cause: odd.join("; "),
        next: "They are kept as they came. Mend them by `videorec describe` (a session's are its tracks', too), or say what they \
               are in the policy's `fields`."
            .into(),
        recording: Some(it.id),
        at: it.accepted_at,
    })
}
