//! An object in a watched bucket becomes a recording where it lies: looked at, hashed, known to the catalog, decided on.
//! Its bytes are not copied; its version is pinned, so that what is worked on is what was accepted, whoever overwrites it.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context as _, Result, bail};
use catalog::Known;
use domain::{Alert, Kind, NewRecording, RecordingId, Severity, State};
use futures::StreamExt as _;
use serde_json::json;
use storage::{ErrorKind, Key, Meta, Store};
use tracing::{info, warn};

use crate::{Library, Point, manifest, names, walk};

/// A place in an object store whose objects are recordings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    pub bucket: String,
    /// Empty, or ending in `/`.
    pub prefix: String,
    /// The store that has this bucket and prefix as its root.
    pub store: String,
}

/// What an event's bucket and key are to us.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    Watched {
        store: &'a str,
        key: &'a str,
    },
    /// In one of our buckets, where nothing is watched: our own outputs, for instance (promise 7).
    Elsewhere,
    /// Of no bucket of ours: forged, or a notification that was set up wrong.
    Foreign,
}

pub(crate) fn place<'a>(watched: &'a [Watched], bucket: &str, key: &'a str) -> Place<'a> {
    let mut ours = watched.iter().filter(|w| w.bucket == bucket).peekable();
    if ours.peek().is_none() {
        return Place::Foreign;
    }
    ours.find_map(|w| Some(Place::Watched { store: &w.store, key: key.strip_prefix(&w.prefix)? }))
        .unwrap_or(Place::Elsewhere)
}

/// What a look at an object came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Looked {
    New(RecordingId),
    Known(RecordingId),
    /// Not there, and never was for us; or nothing that is a recording.
    Nothing,
    /// Deleted or hidden, though we know it.
    Gone(RecordingId),
    /// Not taken, and why.
    Refused(String),
}

/// An object that is replaced again and again while it is read is left to its next event.
const LOOKS: u32 = 5;

/// The same object is the same recording, whatever its bytes: those are its version.
pub(crate) fn object_id(store: &str, key: &str) -> RecordingId {
    RecordingId::derive(&[b"object", store.as_bytes(), key.as_bytes()])
}

impl Library {
    /// Takes an object as it is now, whatever the event said that brought us here. Safe to repeat, and to do by several
    /// at once: the object that the store has last wins, because it was modified last.
    pub(crate) async fn look(&self, store: &str, key: &str) -> Result<Looked> {
        let Ok(parsed) = Key::foreign(key) else { return Ok(Looked::Nothing) };
        let label = names::label(Path::new(key));
        if key.ends_with('/') || label.is_empty() || label.split('/').any(walk::is_passed_over) {
            return Ok(Looked::Nothing);
        }
        let at = self.stores.get(store)?;
        let id = object_id(store, key);
        for _ in 0..LOOKS {
            let meta = match at.head(&parsed).await {
                Ok(meta) => meta,
                Err(e) if e.kind() == ErrorKind::NotFound => return self.gone(at, &parsed, id).await,
                Err(e) => return Err(e.into()),
            };
            let known = self.catalog.get(id).await?;
            // As it was accepted, or as we put it into another class.
            let is_known = |r: &domain::Recording| {
                r.version == meta.version || r.custody.place.version.as_ref() == Some(&meta.version)
            };
            if known.as_ref().is_some_and(is_known) {
                return Ok(Looked::Known(id));
            }
            let refusal = format!("refused:{id}");
            if self.catalog.bookmark(&refusal).await?.as_deref() == Some(&meta.version) {
                return Ok(Looked::Nothing);
            }
            let new = match self.describe_object(at, &parsed, &meta, id, &label).await {
                Ok(Ok(new)) => new,
                Ok(Err(reason)) => {
                    self.refuse(store, &meta, &label, &reason).await?;
                    self.catalog.set_bookmark(&refusal, Some(&meta.version)).await?;
                    return Ok(Looked::Refused(reason));
                }
                // Overwritten or deleted while it was read: look again.
                Err(e) if matches!(e.kind(), ErrorKind::Changed | ErrorKind::NotFound) => continue,
                Err(e) => return Err(e).with_context(|| format!("reading {label}")),
            };
            let odd = manifest::odd_fields(&self.policy, &new);
            let accepted = self.catalog.accept(&[new], self.now()).await.context("accepting a recording")?;
            self.steps.at(Point::IntakeAccepted);
            if let Some(odd) = odd.filter(|_| accepted[0].new) {
                self.catalog.raise(&[odd]).await?;
            }
            let mut ids: Vec<RecordingId> = vec![id];
            ids.extend(accepted.iter().filter_map(|a| a.recording.session));
            self.decide(&ids).await?;
            self.steps.at(Point::IntakeSettled);
            // Two versions of one second may have been taken in either order: the last look is right.
            if at.head(&parsed).await.is_ok_and(|now| now.version == meta.version) {
                return Ok(if accepted[0].new { Looked::New(id) } else { Looked::Known(id) });
            }
        }
        bail!("{label} is replaced faster than it can be read; its next event is waited for")
    }

    /// Reads all of it. The inner error refuses the object.
    async fn describe_object(
        &self,
        store: &dyn Store,
        key: &Key,
        meta: &Meta,
        id: RecordingId,
        label: &str,
    ) -> Result<Result<NewRecording, String>, storage::Error> {
        let mut found = None;
        if manifest::is_one(label) {
            if meta.size > manifest::MAX {
                return Ok(Err("this session.json is larger than a manifest can be (1 MiB)".into()));
            }
            let mut body = store.get(key, Some(&meta.version), None).await?;
            let mut bytes = Vec::new();
            while let Some(chunk) = body.next().await {
                bytes.extend_from_slice(&chunk?);
            }
            match manifest::read(label, &String::from_utf8_lossy(&bytes)) {
                Ok(manifest) => found = Some(manifest),
                Err(e) => return Ok(Err(format!("{e:#}"))),
            }
        }
        // Read once: what is hashed here is probed next, most often by this worker.
        let digest = match self.fetched.may_keep(meta.size) {
            true => *self.fetched.get(store, key, Some(&meta.version)).await?.digest(),
            false => storage::digest_of(store, key, Some(&meta.version)).await?,
        };
        self.steps.at(Point::IntakeHashed);
        match self.catalog.by_digest(&digest.sha256).await {
            // Promise 7: what we made does not come in again, wherever somebody copied it to.
            Ok(Some(Known::Rendition(of, name))) => {
                return Ok(Err(format!(
                    "we made this ourselves: it is `{name}` of recording {}",
                    of.short()
                )));
            }
            Ok(_) => {}
            Err(e) => return Err(storage::Error::new(ErrorKind::Unavailable, e.to_string())),
        }
        let mut new = NewRecording {
            id,
            kind: Kind::Recording,
            title: names::title(label),
            name: label.to_owned(),
            store: store.name().to_owned(),
            key: key.as_str().to_owned(),
            version: meta.version.clone(),
            digest,
            // Promise 9: the store's own time, which no uploader sets; and what tells an older version from a newer.
            accepted_at: meta.modified,
            recorded_at: None,
            tags: BTreeSet::new(),
            fields: Default::default(),
            session: None,
            tracks: Vec::new(),
        };
        if let Some(manifest) = found {
            manifest::apply(manifest, &mut new);
        }
        Ok(Ok(new))
    }

    async fn refuse(&self, store: &str, meta: &Meta, label: &str, reason: &str) -> Result<()> {
        warn!(store, name = label, reason, "not taken");
        let alert = Alert {
            key: format!("refused/{store}/{}/{}", meta.key, meta.version),
            severity: Severity::Warning,
            service: "intake".into(),
            subject: format!("{label} was not taken in"),
            cause: reason.to_owned(),
            next: "Mend the object and upload it again, or delete it.".into(),
            recording: None,
            at: self.now(),
        };
        Ok(self.catalog.raise(&[alert]).await?)
    }

    /// The object is not there. A delete marker only hides it: the version that we know may still be read.
    async fn gone(&self, store: &dyn Store, key: &Key, id: RecordingId) -> Result<Looked> {
        let Some(recording) = self.catalog.get(id).await? else { return Ok(Looked::Nothing) };
        // We did it: purged, or moved to another store.
        let purged = recording.custody.trash.as_ref().is_some_and(|t| t.purging.is_some());
        if purged || recording.state == State::Deleted || recording.store != store.name() {
            return Ok(Looked::Known(id));
        }
        let first = match store.get(key, Some(&recording.version), Some(0..1)).await {
            Ok(mut body) => body.next().await.transpose().map(|_| ()),
            Err(e) => Err(e),
        };
        let now = self.now();
        match first {
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Changed) => {
                warn!(recording.id = %id, name = recording.name, "its source was deleted from the bucket");
                let details =
                    json!({ "store": recording.store, "key": recording.key, "version": recording.version });
                self.catalog.note(id, "events", "source-deleted", details, now).await?;
                let alert = Alert {
                    key: format!("source-deleted/{id}/{}", recording.version),
                    severity: Severity::Critical,
                    service: "intake".into(),
                    subject: format!("the source of {} was deleted from its bucket", recording.name),
                    cause: format!(
                        "{} in store `{}` is gone; videorec did not delete it",
                        recording.key, recording.store
                    ),
                    next: format!(
                        "If that was not meant, bring it back from a copy: `videorec show {}` names them.",
                        id.short()
                    ),
                    recording: Some(id),
                    at: now,
                };
                self.catalog.raise(&[alert]).await?;
            }
            Err(e) => return Err(e.into()),
            Ok(()) => {
                info!(recording.id = %id, name = recording.name, "hidden by a delete marker; its version is kept");
                let details = json!({ "key": recording.key, "version": recording.version });
                self.catalog.note(id, "events", "source-hidden", details, now).await?;
            }
        }
        Ok(Looked::Gone(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records of foreign buckets are refused; what lies beside the watched prefix is none of our inputs.
    #[test]
    fn only_what_is_watched_is_taken() {
        let watch = |bucket: &str, prefix: &str, store: &str| Watched {
            bucket: bucket.into(),
            prefix: prefix.into(),
            store: store.into(),
        };
        let watched =
            [watch("acme", "inbox/", "inbox"), watch("acme", "cams/", "cams"), watch("all", "", "all")];
        assert_eq!(
            place(&watched, "acme", "inbox/a b.mp4"),
            Place::Watched { store: "inbox", key: "a b.mp4" }
        );
        assert_eq!(place(&watched, "acme", "cams/1/x"), Place::Watched { store: "cams", key: "1/x" });
        assert_eq!(place(&watched, "acme", "library/3k/x.mp4"), Place::Elsewhere);
        assert_eq!(place(&watched, "acme", "inbox2/x.mp4"), Place::Elsewhere);
        assert_eq!(place(&watched, "all", "x"), Place::Watched { store: "all", key: "x" });
        assert_eq!(place(&watched, "evil", "inbox/x.mp4"), Place::Foreign);
    }
}
