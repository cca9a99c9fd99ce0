//! How what comes in becomes a recording, the same for every database.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use domain::{
    Custody, Fields, Hold, Kind, NewRecording, Place, Recording, RecordingId, Sha256, State, Timestamp,
};

use crate::custody;

/// What is known under an id that comes again.
#[derive(Debug, Clone)]
pub(crate) struct Former {
    pub store: String,
    pub key: String,
    pub version: String,
    pub size: u64,
    pub sha256: Sha256,
    pub accepted_at: Timestamp,
    pub state: State,
    pub custody: Custody,
    pub revision: i64,
}

/// What something that comes is to what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coming {
    New,
    /// Known as it is, or an event that was late: it tells of bytes that are no longer there.
    Known,
    /// The same bytes, written anew by the store or to it.
    Rewritten,
    /// Other bytes.
    Replaced,
    /// It was deleted before.
    Back,
}

impl Former {
    /// Of what has just been taken in.
    #[cfg(feature = "postgres")]
    pub(crate) fn of(it: &NewRecording, as_it_is: &Recording) -> Self {
        Self {
            store: it.store.clone(),
            key: it.key.clone(),
            version: it.version.clone(),
            size: it.digest.size,
            sha256: it.digest.sha256,
            accepted_at: it.accepted_at,
            state: State::Accepted,
            custody: as_it_is.custody.clone(),
            revision: as_it_is.revision,
        }
    }

    pub(crate) fn sees(&self, it: &NewRecording) -> Coming {
        let place = &self.custody.place;
        if it.accepted_at < self.accepted_at {
            return Coming::Known;
        }
        if self.state == State::Deleted {
            return Coming::Back;
        }
        // What is being purged is looked at again once it is gone.
        let purging = self.custody.trash.as_ref().is_some_and(|t| t.purging.is_some());
        if purging || self.version == it.version || place.version.as_ref() == Some(&it.version) {
            return Coming::Known;
        }
        let same_bytes = self.size == it.digest.size && self.sha256 == it.digest.sha256;
        if same_bytes && self.store == it.store && self.key == it.key {
            Coming::Rewritten
        } else {
            Coming::Replaced
        }
    }
}

/// The same recording with other bytes: a person's holds stay, how the former bytes lay does not. They are no longer
/// there to be deleted.
pub(crate) fn replaced(custody: &mut Custody) {
    custody.place = Place::default();
    if custody.trash.take().is_some() {
        custody.lives += 1;
    }
}

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
        fields: it.fields.clone(),
        session: it.session,
        tracks: it.tracks.clone(),
        probe: None,
        state: State::Accepted,
        reason: String::new(),
        custody: Custody::default(),
        revision: 1,
    }
}

/// The same, after a life that ended.
pub(crate) fn recording_back(it: &NewRecording, former: &Former) -> Recording {
    let custody = Custody { lives: former.custody.lives + 1, ..Custody::default() };
    Recording { custody, revision: former.revision + 1, ..recording(it) }
}

/// What a track takes from the session that names it.
pub(crate) struct Session {
    pub id: RecordingId,
    pub tags: BTreeSet<String>,
    pub fields: Fields,
    pub recorded_at: Option<Timestamp>,
    pub holds: BTreeMap<String, Hold>,
}

impl Session {
    /// `holds`: those on the session.
    pub(crate) fn of(it: &NewRecording, holds: BTreeMap<String, Hold>) -> Self {
        Self {
            id: it.id,
            tags: it.tags.clone(),
            fields: it.fields.clone(),
            recorded_at: it.recorded_at,
            holds,
        }
    }

    pub(crate) fn takes(&self, track: &mut Recording) {
        track.kind = Kind::Track;
        track.session = Some(self.id);
        if track.tags.is_empty() {
            track.tags.clone_from(&self.tags);
        }
        track.fields.fill_up(&self.fields);
        track.recorded_at = track.recorded_at.or(self.recorded_at);
        if custody::can_be_held(track) {
            for (name, hold) in &self.holds {
                track.custody.holds.entry(name.clone()).or_insert_with(|| hold.clone());
            }
        }
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
