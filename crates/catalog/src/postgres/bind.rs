//! How sessions and their tracks find one another, and where a recording belongs by its date.

use std::collections::BTreeSet;

use domain::{NewRecording, Recording, Timestamp};
use sqlx::{PgConnection, Row as _};

use super::{
    accept::there,
    audit,
    failure::Result,
    rid,
    rows::{self, Columns as _},
    search, touch,
};
use crate::{
    codec, details,
    intake::{self, Session},
};

/// Writes the manifest down, and binds whatever of it has come.
pub(super) async fn name_tracks(
    conn: &mut PgConnection,
    session: &NewRecording,
    now: Timestamp,
) -> Result<()> {
    let id = session.id.to_string();
    let former: Vec<String> =
        sqlx::query_scalar("DELETE FROM session_track WHERE session = $1 RETURNING name")
            .bind(&id)
            .fetch_all(&mut *conn)
            .await?;
    let tracks = &session.tracks;
    sqlx::query(
        "INSERT INTO session_track (session, position, name, participant, offset_ms, leave_ms)
         SELECT $1, n.position - 1, n.name, n.participant, n.offset_ms, n.leave_ms
         FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[])
              WITH ORDINALITY AS n (name, participant, offset_ms, leave_ms, position)",
    )
    .bind(&id)
    .bind(tracks.iter().map(|t| t.name.as_str()).collect::<Vec<_>>())
    .bind(tracks.iter().map(|t| t.participant.as_str()).collect::<Vec<_>>())
    .bind(tracks.iter().map(|t| codec::signed(t.offset_ms)).collect::<Vec<_>>())
    .bind(tracks.iter().map(|t| t.leave_ms.map(codec::signed)).collect::<Vec<_>>())
    .execute(&mut *conn)
    .await?;
    let named: BTreeSet<&str> = tracks.iter().map(|t| t.name.as_str()).collect();
    let taker = Session::of(session, there(conn, session.id).await?.custody.holds);
    for name in former.iter().map(String::as_str).chain(named.iter().copied()).collect::<BTreeSet<_>>() {
        bind(conn, &taker, name, named.contains(name), now).await?;
    }
    Ok(())
}

/// Gives a session its track of this name: the one it has, else the latest that no session has. A track that a
/// manifest no longer names is let go.
///
/// What a session has is never taken from it: next week's call under the same names is another call.
async fn bind(
    conn: &mut PgConnection,
    session: &Session,
    name: &str,
    named: bool,
    now: Timestamp,
) -> Result<()> {
    let row = sqlx::query(concat!(
        "SELECT ",
        rows::recording_columns!(),
        " FROM recording r WHERE r.name = $1 AND r.kind <> 'session' AND (r.session = $2 OR r.session IS NULL)
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
            "UPDATE recording SET kind = $1, session = $2, tags = $3, fields = $4, recorded_at = $5, custody = $6
             WHERE id = $7",
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
        touch(conn, &[&id]).await?;
        audit::write(conn, now, "intake", "bind", Some(&id), details::bound(recording.session)).await?;
    }
    // Also when it was bound before: the participant's name or the session's title may be another.
    place(conn, &recording).await
}

/// Puts a recording where its date belongs, and into the search index as it is now.
pub(super) async fn place(conn: &mut PgConnection, recording: &Recording) -> Result<()> {
    let id = recording.id.to_string();
    let row = sqlx::query("SELECT rid, accepted_at FROM recording WHERE id = $1")
        .bind(&id)
        .fetch_one(&mut *conn)
        .await?;
    let (rid, accepted_at): (i64, i64) = (row.try_get("rid")?, row.try_get("accepted_at")?);
    let dated = recording.recorded_at.unwrap_or(Timestamp(accepted_at));
    let above = rid::date(rid) - intake::date(dated);
    let mut placed = rid;
    if above < 0 || recording.recorded_at.is_some() && above > intake::MOVED_AT_MOST {
        placed = rid::hand_out(conn, &[dated]).await?[0];
        search::forget(conn, rid).await?;
        sqlx::query("UPDATE recording SET rid = $1 WHERE id = $2")
            .bind(placed)
            .bind(&id)
            .execute(&mut *conn)
            .await?;
    }
    search::index(conn, placed, recording).await
}

/// The latest session that names such a track and has none yet.
pub(super) async fn session_wanting(conn: &mut PgConnection, name: &str) -> Result<Option<Session>> {
    let row = sqlx::query(
        "SELECT s.id, s.tags, s.fields, s.recorded_at, s.custody FROM session_track t JOIN recording s ON s.id = t.session
         WHERE t.name = $1
           AND NOT EXISTS (SELECT 1 FROM recording r WHERE r.name = $1 AND r.session = t.session)
         ORDER BY s.accepted_at DESC, s.id DESC LIMIT 1",
    )
    .bind(name)
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Session {
        id: codec::parsed(row.text("id")?)?,
        tags: codec::json(row.text("tags")?)?,
        fields: codec::fields(row.text("fields")?)?,
        recorded_at: row.number_or_none("recorded_at")?.map(Timestamp),
        holds: codec::custody(row.text("custody")?)?.holds,
    }))
}
