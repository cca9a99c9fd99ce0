//! Who changes recordings locks them first: all that it will change, and their sessions, in the order of their ids.
//! Everything else that a transaction writes belongs to one of them and comes after, so that no two transactions
//! wait for one another.

use std::collections::BTreeMap;

use domain::{Recording, State};
use sqlx::PgConnection;

use super::{failure::Result, rows::Columns as _};
use crate::codec;

/// Recordings that nobody else changes until this transaction ends, by id.
#[derive(Debug, Default)]
pub(super) struct Locked(BTreeMap<String, Standing>);

/// Where one of them stands.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub session: Option<String>,
    pub revision: i64,
    pub state: State,
    pub reason: String,
}

impl Locked {
    pub(super) fn get_mut(&mut self, recording: &str) -> Option<&mut Standing> {
        self.0.get_mut(recording)
    }

    /// As this transaction has left it.
    pub(super) fn is_now(&mut self, recording: &Recording) {
        let standing = Standing {
            session: recording.session.map(|session| session.to_string()),
            revision: recording.revision,
            state: recording.state,
            reason: recording.reason.clone(),
        };
        self.0.insert(recording.id.to_string(), standing);
    }

    /// These and their sessions: what is true of a track is a fact of its session.
    pub(super) fn and_sessions<'a>(&'a self, recordings: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        let session_of = |id: &str| self.0.get(id)?.session.as_deref();
        recordings.into_iter().flat_map(|id| [Some(id), session_of(id)]).flatten().collect()
    }
}

pub(super) async fn with_sessions(conn: &mut PgConnection, recordings: &[String]) -> Result<Locked> {
    let mut locked = Locked::default();
    // Once more, if one of them was given to a session while we waited for it.
    for _ in 0..2 {
        let rows = sqlx::query(WITH_SESSIONS)
            .bind(locked.and_sessions(recordings.iter().map(String::as_str)))
            .fetch_all(&mut *conn)
            .await?;
        let found = rows.iter().map(|row| {
            let standing = Standing {
                session: row.text_or_none("session")?.map(str::to_owned),
                revision: row.number("revision")?,
                state: codec::state(row.text("state")?)?,
                reason: row.text("reason")?.to_owned(),
            };
            Ok((row.text("id")?.to_owned(), standing))
        });
        locked = Locked(found.collect::<crate::Result<_>>()?);
        if locked.0.values().filter_map(|s| s.session.as_ref()).all(|session| locked.0.contains_key(session))
        {
            break;
        }
    }
    Ok(locked)
}

/// Whoever asks for a place there waits until this transaction ends.
pub(super) async fn destination(conn: &mut PgConnection, to: &str) -> Result<()> {
    // Two names that come to the same number wait for one another: that costs a moment.
    let number = to.bytes().fold(7_i32, |number, byte| number.wrapping_mul(31).wrapping_add(byte.into()));
    sqlx::query("SELECT pg_advisory_xact_lock($1, $2)").bind(DESTINATIONS).bind(number).execute(conn).await?;
    Ok(())
}

/// Any number that is only ours.
const DESTINATIONS: i32 = 1_448_232_260;

pub(super) const WITH_SESSIONS: &str = "
SELECT id, session, revision, state, reason FROM recording
WHERE id IN (SELECT unnest($1::text[]) UNION SELECT session FROM recording WHERE id = ANY($1))
ORDER BY id FOR NO KEY UPDATE";
