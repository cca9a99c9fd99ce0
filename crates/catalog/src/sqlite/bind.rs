//! How sessions and their tracks find one another, and where a recording belongs by its date.

use std::collections::{BTreeMap, BTreeSet};

use domain::{NewRecording, Recording, Timestamp};
use sqlx::{Row as _, SqliteConnection};

use super::{accept::there, audit, rows, search, touch};
use crate::{
    Result, codec, details,
    intake::{self, Session},
};

/// Writes the manifest down, and binds whatever of it has come.
pub(super) async fn name_tracks(
    conn: &mut SqliteConnection,
    session: &NewRecording,
    rids: &mut Rids,
    now: Timestamp,
) -> Result<()> {
    let id = session.id.to_string();
    let mut names: BTreeSet<String> =
        sqlx::query_scalar::<_, String>("SELECT name FROM session_track WHERE session = ?")
            .bind(&id)
            .fetch_all(&mut *conn)
            .await?
            .into_iter()
            .collect();
    sqlx::query("DELETE FROM session_track WHERE session = ?").bind(&id).execute(&mut *conn).await?;
    for (position, track) in session.tracks.iter().enumerate() {
        sqlx::query(
            "INSERT INTO session_track (session, position, name, participant, offset_ms, leave_ms)
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(&id)
        .bind(codec::signed(position as u64))
        .bind(&track.name)
        .bind(&track.participant)
        .bind(codec::signed(track.offset_ms))
        .bind(track.leave_ms.map(codec::signed))
        .execute(&mut *conn)
        .await?;
        names.insert(track.name.clone());
    }
    let taker = Session::of(session, there(conn, session.id).await?.custody.holds);
    for name in names {
        let named = session.tracks.iter().any(|t| t.name == name);
        bind(conn, &taker, &name, named, rids, now).await?;
    }
    Ok(())
}

/// Gives a session its track of this name: the one it has, else the latest that no session has. A track that a
/// manifest no longer names is let go.
///
/// What a session has is never taken from it: next week's call under the same names is another call.
async fn bind(
    conn: &mut SqliteConnection,
    session: &Session,
    name: &str,
    named: bool,
    rids: &mut Rids,
    now: Timestamp,
) -> Result<()> {
    let row = sqlx::query(concat!(
        "SELECT ",
        rows::recording_columns!(),
        " FROM recording r WHERE r.name = ?1 AND r.kind <> 'session' AND (r.session = ?2 OR r.session IS NULL)
          ORDER BY r.session IS NULL, r.accepted_at DESC, r.id DESC LIMIT 1"
    ))
    .bind(name)
    .bind(session.id.to_string())
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else { return Ok(()) };
    let before = rows::recording(&row)?;
    let mut recording = before.clone();
    if named {
        session.takes(&mut recording);
    } else {
        session.lets_go(&mut recording);
    }
    if recording != before {
        let id = recording.id.to_string();
        sqlx::query(
            "UPDATE recording SET kind = ?, session = ?, tags = ?, fields = ?, recorded_at = ?, custody = ? WHERE id = ?",
        )
        .bind(recording.kind.as_str())
        .bind(recording.session.map(|s| s.to_string()))
        .bind(codec::to_json(&recording.tags))
        .bind(codec::fields_text(&recording.fields))
        .bind(recording.recorded_at.map(|t| t.0))
        .bind(codec::custody_text(&recording.custody))
        .bind(&id)
        .execute(&mut *conn)
        .await?;
        touch(conn, &id).await?;
        audit::write(conn, now, "intake", "bind", Some(&id), details::bound(recording.session)).await?;
    }
    // Also when it was bound before: the participant's name or the session's title may be another.
    place(conn, &recording, rids).await
}

/// Puts a recording where its date belongs, and into the search index as it is now.
pub(super) async fn place(conn: &mut SqliteConnection, recording: &Recording, rids: &mut Rids) -> Result<()> {
    let id = recording.id.to_string();
    let (rid, accepted_at): (i64, i64) =
        sqlx::query_as("SELECT rid, accepted_at FROM recording WHERE id = ?")
            .bind(&id)
            .fetch_one(&mut *conn)
            .await?;
    let dated = recording.recorded_at.map_or(accepted_at, |t| t.0);
    let mut placed = rid;
    if rid < dated || recording.recorded_at.is_some() && rid - dated > intake::MOVED_AT_MOST {
        placed = rids.free(conn, Timestamp(dated)).await?;
        search::forget(conn, rid).await?;
        sqlx::query("UPDATE recording SET rid = ? WHERE id = ?")
            .bind(placed)
            .bind(&id)
            .execute(&mut *conn)
            .await?;
    }
    search::index(conn, placed, recording).await
}

/// The latest session that names such a track and has none yet.
pub(super) async fn session_wanting(conn: &mut SqliteConnection, name: &str) -> Result<Option<Session>> {
    let row = sqlx::query(
        "SELECT s.id, s.tags, s.fields, s.recorded_at, s.custody FROM session_track t JOIN recording s ON s.id = t.session
         WHERE t.name = ?1
           AND NOT EXISTS (SELECT 1 FROM recording r WHERE r.name = ?1 AND r.session = t.session)
         ORDER BY s.accepted_at DESC, s.id DESC LIMIT 1",
    )
    .bind(name)
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        Ok(Session {
            id: codec::parsed(row.try_get("id")?)?,
            tags: codec::json(row.try_get("tags")?)?,
            fields: codec::fields(row.try_get("fields")?)?,
            recorded_at: row.try_get::<Option<i64>, _>("recorded_at")?.map(Timestamp),
            holds: codec::custody(row.try_get("custody")?)?.holds,
        })
    })
    .transpose()
}

/// Hands out row ids. A thousand recordings of one date would each walk past all those before; remembering
/// where the last walk ended makes it one walk a batch.
#[derive(Default)]
pub(super) struct Rids(BTreeMap<i64, i64>);

impl Rids {
    pub(super) async fn free(&mut self, conn: &mut SqliteConnection, dated: Timestamp) -> Result<i64> {
        let date = intake::date(dated);
        let from = self.0.get(&date).copied().unwrap_or(date);
        let rid: i64 = sqlx::query_scalar(
            "SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM recording WHERE rid = ?1) THEN ?1 ELSE (
                 SELECT rid + 1 FROM recording r
                 WHERE rid >= ?1 AND NOT EXISTS (SELECT 1 FROM recording n WHERE n.rid = r.rid + 1)
                 ORDER BY rid LIMIT 1) END",
        )
        .bind(from)
        .fetch_one(conn)
        .await?;
        self.0.insert(date, rid + 1);
        Ok(rid)
    }
}
