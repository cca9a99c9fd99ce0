//! How what comes in becomes a recording, the same for every database.

use std::{collections::BTreeSet, ops::RangeInclusive};

use domain::{Kind, NewRecording, Recording, RecordingId, State, Timestamp};

/// As it is before any session takes it and anything is measured.
pub(crate) fn recording(it: &NewRecording) -> Recording {
    Recording {
        id: it.id,
        kind: it.kind,
        name: it.name.clone(),
        title: it.title.clone(),
        store: it.store.clone(),
        key: it.key.clone(),
        version: it.version.clone(),
        digest: it.digest,
        accepted_at: it.accepted_at,
        recorded_at: it.recorded_at,
        tags: it.tags.clone(),
        session: it.session,
        tracks: it.tracks.clone(),
        probe: None,
        state: State::Accepted,
        reason: String::new(),
        custody: domain::Custody::default(),
        revision: 1,
    }
}

/// What a track takes from the session that names it.
pub(crate) struct Session {
    pub id: RecordingId,
    pub tags: BTreeSet<String>,
    pub recorded_at: Option<Timestamp>,
}

impl Session {
    pub(crate) fn of(it: &NewRecording) -> Self {
        Self { id: it.id, tags: it.tags.clone(), recorded_at: it.recorded_at }
    }

    pub(crate) fn takes(&self, track: &mut Recording) {
        track.kind = Kind::Track;
        track.session = Some(self.id);
        if track.tags.is_empty() {
            track.tags.clone_from(&self.tags);
        }
        track.recorded_at = track.recorded_at.or(self.recorded_at);
    }

    /// A track that the manifest no longer names stands for itself again.
    pub(crate) fn lets_go(&self, track: &mut Recording) {
        if track.session == Some(self.id) {
            track.session = None;
            track.kind = Kind::Recording;
        }
    }
}

/// The years 1 to 9999, as everything that writes dates down has them; a row id's date is one of these.
pub(crate) const DATES: RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;

/// A row id whose date is a little above its recording's is one that was moved out of the way of another: it stays.
pub(crate) const MOVED_AT_MOST: i64 = 60_000;

pub(crate) fn date(of: Timestamp) -> i64 {
    of.0.clamp(*DATES.start(), *DATES.end())
}
