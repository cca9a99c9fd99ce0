//! Where a recording's bytes live in the library's store.
//!
//! ```text
//! 3k/3kq0.../source.webm                       the accepted bytes, where the library took them in
//! 3k/3kq0.../source-5f0c3a1b9d2e4f60.webm      a copy of bytes that lie in a watched bucket
//! 3k/3kq0.../source-5f0c3a1b9d2e4f60.2.webm    the same, where the first try left bytes that are not to be removed
//! 3k/3kq0.../mp4-720p-9f2c41ab.mp4             a rendition, named by its preset and job
//! 3k/3kq0.../thumbnails-01hx7cde.poster.jpg
//! ```
//! Keys come from ids, presets' names and file kinds only: nothing that a stranger chose is ever a path.
//! The job's id in the name keeps a worker that lost its lease from touching its successor's output.

use domain::{Digest, JobId, RecordingId, Role};
use storage::Key;

use crate::names;

pub fn source(id: RecordingId, label: &str) -> Key {
    let extension = names::extension(label).unwrap_or_else(|| "bin".into());
    key(id, &format!("source.{extension}"))
}

/// A copy of a source that lies under a key that a stranger chose, and of which there may be several versions.
pub fn copy(id: RecordingId, label: &str, digest: &Digest) -> Key {
    let extension = names::extension(label).unwrap_or_else(|| "bin".into());
    key(id, &format!("source-{}.{extension}", &digest.sha256.to_string()[..16]))
}

pub fn rendition(id: RecordingId, name: &str, job: JobId, role: Role, extension: &str) -> Key {
    let part = match role {
        Role::Media => "",
        Role::Poster => ".poster",
        Role::Sprite => ".sprite",
        Role::Tiles => ".tiles",
        Role::Waveform => ".waveform",
        Role::Metadata => ".metadata",
    };
    key(id, &format!("{name}-{}{part}.{extension}", job.short()))
}

/// The key, and others in the same folder for when there are other bytes under it that nobody may remove.
pub fn or_beside(key: Key) -> Vec<Key> {
    let (folder, file) = key.as_str().rsplit_once('/').unwrap_or(("", key.as_str()));
    let (stem, extension) = file.rsplit_once('.').unwrap_or((file, "bin"));
    let slash = if folder.is_empty() { "" } else { "/" };
    let others = (2..=BESIDE).map(|n| Key::foreign(&format!("{folder}{slash}{stem}.{n}.{extension}")));
    let others: Vec<Key> = others.filter_map(Result::ok).collect();
    std::iter::once(key).chain(others).collect()
}

/// A medium that damages more than so many in a row is to be looked at.
const BESIDE: u32 = 5;

/// Whose folder a key is in, if it is one that we make.
pub fn owner(key: &Key) -> Option<RecordingId> {
    let id = key.segments().nth(1)?.parse().ok()?;
    key.as_str().starts_with(&folder(id)).then_some(id)
}

/// What all keys of a recording begin with.
pub fn folder(id: RecordingId) -> String {
    let id = id.to_string();
    format!("{}/{id}/", &id[..2])
}

fn key(id: RecordingId, file: &str) -> Key {
    Key::parse(&format!("{}{file}", folder(id))).expect("ids, presets' names and extensions are plain")
}
