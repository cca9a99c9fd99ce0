//! The facts of many recordings, put together from what a few statements find; the same for every database.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::{Copy, Facts, Failure, JobId, Recording, RecordingId, Rendition, SessionTrack};

use crate::{Result, codec, rows::Columns};

/// What belongs to the recordings of one page, each in the order of their ids.
pub(crate) struct Found<R> {
    /// `recording`, `version`, `ids`: those that are done, written one after the other.
    pub done: Vec<R>,
    /// `recording`, `version`, `id`, `error`.
    pub parked: Vec<R>,
    /// `recording`, `body`; by name.
    pub renditions: Vec<R>,
    /// `recording`, `body`; by store.
    pub copies: Vec<R>,
    /// The tracks of sessions among them, the one that came first first.
    pub members: Vec<Recording>,
}

pub(crate) fn facts<R: Columns>(recordings: Vec<Recording>, found: &Found<R>) -> Result<Vec<Facts>> {
    let mut members: HashMap<RecordingId, Vec<&Recording>> = HashMap::new();
    for member in &found.members {
        members.entry(member.session.unwrap_or(member.id)).or_default().push(member);
    }
    let mut done = Walk::over(&found.done);
    let mut parked = Walk::over(&found.parked);
    let (mut renditions, mut copies) = (Walk::over(&found.renditions), Walk::over(&found.copies));
    let mut all = Vec::with_capacity(recordings.len());
    for recording in recordings {
        let id = recording.id.to_string();
        let of = |member: &str| {
            let mut of_session = members.get(&recording.id).into_iter().flatten();
            of_session.find(|r| r.name == member).map(|r| (*r).clone())
        };
        let tracks = recording
            .tracks
            .iter()
            .map(|track| SessionTrack { track: track.clone(), recording: of(&track.name) });
        all.push(Facts {
            tracks: tracks.collect(),
            renditions: bodies::<Rendition, R>(renditions.next(&id)?)?,
            copies: bodies::<Copy, R>(copies.next(&id)?)?,
            done: jobs_done(done.next(&id)?, &recording.version)?,
            parked: jobs_parked(parked.next(&id)?, &recording.version)?,
            recording,
        });
    }
    Ok(all)
}

/// The rows of one recording after the other, of rows in the order of their recordings.
struct Walk<'a, R> {
    rest: &'a [R],
}

impl<'a, R: Columns> Walk<'a, R> {
    fn over(rows: &'a [R]) -> Self {
        Self { rest: rows }
    }

    fn next(&mut self, recording: &str) -> Result<&'a [R]> {
        let mut n = 0;
        while let Some(row) = self.rest.get(n)
            && row.text("recording")? == recording
        {
            n += 1;
        }
        let (these, rest) = self.rest.split_at(n);
        self.rest = rest;
        Ok(these)
    }
}

fn bodies<T: serde::de::DeserializeOwned, R: Columns>(rows: &[R]) -> Result<Vec<T>> {
    rows.iter().map(|row| codec::json(row.text("body")?)).collect()
}

fn jobs_done<R: Columns>(rows: &[R], version: &str) -> Result<BTreeSet<JobId>> {
    let mut done = BTreeSet::new();
    for row in rows {
        if row.text("version")? == version {
            let mut ids = row.text("ids")?;
            while !ids.is_empty() {
                let (id, rest) = ids.split_at_checked(ID).unwrap_or((ids, ""));
                done.insert(codec::parsed(id)?);
                ids = rest;
            }
        }
    }
    Ok(done)
}

/// Characters of an id.
const ID: usize = 26;

fn jobs_parked<R: Columns>(rows: &[R], version: &str) -> Result<BTreeMap<JobId, String>> {
    let mut parked = BTreeMap::new();
    for row in rows {
        if row.text("version")? == version {
            let failure: Option<Failure> = row.text_or_none("error")?.map(codec::json).transpose()?;
            parked.insert(codec::parsed(row.text("id")?)?, failure.map(|f| f.message).unwrap_or_default());
        }
    }
    Ok(parked)
}
