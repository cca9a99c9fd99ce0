use std::collections::{BTreeMap, BTreeSet};

use domain::{Kind, NewRecording, Recording, RecordingId, State, Timestamp};
use sqlx::{Row as _, SqliteConnection};

use super::{add_usage, audit, custody::write, history, look, rows, search, touch, touch_session_of};
use crate::{
    Accepted, Happening, Result, codec, custody, details,
    history::sources,
    intake::{self, Coming, Former, Session},
};

pub(super) async fn accept(
    conn: &mut SqliteConnection,
    batch: &[NewRecording],
    now: Timestamp,
) -> Result<Vec<Accepted>> {
    // A session may bind a track further up, and a track touch a session: then answers are read at the end.
    let bound = batch.iter().any(|it| it.kind == Kind::Session);
    let mut rids = Rids::default();
    let mut usage: BTreeMap<&str, i64> = BTreeMap::new();
    let mut accepted = Vec::with_capacity(batch.len());
    for it in batch {
        let row = sqlx::query(concat!("SELECT ", rows::former_columns!(), " FROM recording WHERE id = ?"))
            .bind(it.id.to_string())
            .fetch_optional(&mut *conn)
            .await?;
        let former = row.as_ref().map(rows::former).transpose()?;
        let coming = former.as_ref().map_or(Coming::New, |former| former.sees(it));
        let recording = match (coming, former) {
            (Coming::New, _) | (_, None) => insert(conn, it, intake::recording(it), &mut rids, now).await?,
            (Coming::Back, Some(former)) => {
                forget(conn, it.id).await?;
                insert(conn, it, intake::recording_back(it, &former), &mut rids, now).await?
            }
            (Coming::Known, _) => there(conn, it.id).await?,
            (Coming::Rewritten, _) => rewritten(conn, it, now).await?,
            (Coming::Replaced, Some(former)) => replace(conn, it, former, &mut rids, now).await?,
        };
        if matches!(coming, Coming::New | Coming::Back) {
            *usage.entry(&it.store).or_default() += codec::signed(it.digest.size);
        }
        let new = !matches!(coming, Coming::Known | Coming::Rewritten);
        accepted.push(Accepted { recording, new });
    }
    for (store, bytes) in usage {
        add_usage(conn, store, bytes).await?;
    }
    let came = || batch.iter().zip(&accepted).filter(|(_, a)| a.new).map(|(it, _)| it);
    history::tally(conn, Happening::Accepted, came().count() as u64, now).await?;
    history::came(conn, &sources(came())).await?;
    if bound {
        for it in &mut accepted {
            it.recording = there(conn, it.recording.id).await?;
        }
    }
    Ok(accepted)
}

async fn there(conn: &mut SqliteConnection, id: RecordingId) -> Result<Recording> {
    Ok(look::get(conn, id).await?.expect("found or written before, in this transaction"))
}

/// What was left of a former life makes room for the next.
async fn forget(conn: &mut SqliteConnection, id: RecordingId) -> Result<()> {
    sqlx::query("DELETE FROM recording WHERE id = ?").bind(id.to_string()).execute(conn).await?;
    Ok(())
}

/// The same bytes, under another version of the store.
async fn rewritten(conn: &mut SqliteConnection, it: &NewRecording, now: Timestamp) -> Result<Recording> {
    let mut recording = there(conn, it.id).await?;
    recording.custody.place.version = Some(it.version.clone());
    let id = it.id.to_string();
    write(conn, &recording).await?;
    touch(conn, &id).await?;
    audit::write(conn, now, "intake", "rewrite", Some(&id), details::rewritten(it)).await?;
    there(conn, it.id).await
}

async fn insert(
    conn: &mut SqliteConnection,
    it: &NewRecording,
    mut recording: Recording,
    rids: &mut Rids,
    now: Timestamp,
) -> Result<Recording> {
    let session = if it.kind == Kind::Session { None } else { session_wanting(conn, &it.name).await? };
    if let Some(session) = &session {
        session.takes(&mut recording);
    }
    let rid = rids.free(conn, recording.dated()).await?;
    let id = it.id.to_string();
    sqlx::query(
        "INSERT INTO recording (rid, id, kind, name, title, store, key, version, size, sha256, crc64,
                                accepted_at, recorded_at, tags, session, state, reason, custody, revision, verified_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?, ?)",
    )
    .bind(rid)
    .bind(&id)
    .bind(recording.kind.as_str())
    .bind(&it.name)
    .bind(&it.title)
    .bind(&it.store)
    .bind(&it.key)
    .bind(&it.version)
    .bind(codec::signed(it.digest.size))
    .bind(&it.digest.sha256.0[..])
    .bind(it.digest.crc64.0.cast_signed())
    .bind(it.accepted_at.0)
    .bind(recording.recorded_at.map(|t| t.0))
    .bind(codec::to_json(&recording.tags))
    .bind(recording.session.map(|s| s.to_string()))
    .bind(recording.state.as_str())
    .bind(codec::custody_text(&recording.custody))
    .bind(recording.revision)
    .bind(custody::verified_at(&recording))
    .execute(&mut *conn)
    .await?;
    sqlx::query("INSERT OR REPLACE INTO attention (id, at) VALUES (?, 0)")
        .bind(&id)
        .execute(&mut *conn)
        .await?;
    audit::write(conn, now, "intake", "accept", Some(&id), details::accepted(it)).await?;
    if it.kind == Kind::Session {
        name_tracks(conn, it, rids, now).await?;
    } else {
        touch_session_of(conn, &id).await?;
    }
    search::index(conn, rid, &recording).await?;
    Ok(recording)
}

/// The same recording, other bytes: what was measured of the former ones is void.
async fn replace(
    conn: &mut SqliteConnection,
    it: &NewRecording,
    mut former: Former,
    rids: &mut Rids,
    now: Timestamp,
) -> Result<Recording> {
    let id = it.id.to_string();
    add_usage(conn, &former.store, -codec::signed(former.size)).await?;
    add_usage(conn, &it.store, codec::signed(it.digest.size)).await?;
    intake::replaced(&mut former.custody);
    sqlx::query(
        "UPDATE recording SET version = ?, size = ?, sha256 = ?, crc64 = ?, accepted_at = ?,
                recorded_at = coalesce(?, recorded_at), probe = NULL, media_type = NULL, duration_ms = NULL
         WHERE id = ?",
    )
    .bind(&it.version)
    .bind(codec::signed(it.digest.size))
    .bind(&it.digest.sha256.0[..])
    .bind(it.digest.crc64.0.cast_signed())
    .bind(it.accepted_at.0)
    .bind(it.recorded_at.map(|t| t.0))
    .bind(&id)
    .execute(&mut *conn)
    .await?;
    let there_now = there(conn, it.id).await?;
    let custody = former.custody;
    let (store, key) = (it.store.clone(), it.key.clone());
    write(
        conn,
        &Recording { store, key, state: State::Accepted, reason: String::new(), custody, ..there_now },
    )
    .await?;
    taken_out(conn, &id).await?;
    touch(conn, &id).await?;
    audit::write(conn, now, "intake", "replace", Some(&id), details::replaced(it)).await?;
    if it.kind == Kind::Session {
        sqlx::query("UPDATE recording SET title = ?, tags = ? WHERE id = ?")
            .bind(&it.title)
            .bind(codec::to_json(&it.tags))
            .bind(&id)
            .execute(&mut *conn)
            .await?;
        name_tracks(conn, it, rids, now).await?;
    } else {
        touch_session_of(conn, &id).await?;
    }
    let recording = there(conn, it.id).await?;
    place(conn, &recording, rids).await?;
    Ok(recording)
}

/// It is not in the trash any more, if it was.
async fn taken_out(conn: &mut SqliteConnection, id: &str) -> Result<()> {
    sqlx::query("DELETE FROM trashing WHERE recording = ?").bind(id).execute(conn).await?;
    Ok(())
}

/// Writes the manifest down, and binds whatever of it has come.
async fn name_tracks(
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
            "UPDATE recording SET kind = ?, session = ?, tags = ?, recorded_at = ?, custody = ? WHERE id = ?",
        )
        .bind(recording.kind.as_str())
        .bind(recording.session.map(|s| s.to_string()))
        .bind(codec::to_json(&recording.tags))
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
async fn place(conn: &mut SqliteConnection, recording: &Recording, rids: &mut Rids) -> Result<()> {
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
async fn session_wanting(conn: &mut SqliteConnection, name: &str) -> Result<Option<Session>> {
    let row = sqlx::query(
        "SELECT s.id, s.tags, s.recorded_at, s.custody FROM session_track t JOIN recording s ON s.id = t.session
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
            recorded_at: row.try_get::<Option<i64>, _>("recorded_at")?.map(Timestamp),
            holds: codec::custody(row.try_get("custody")?)?.holds,
        })
    })
    .transpose()
}

/// Hands out row ids. A thousand recordings of one date would each walk past all those before; remembering
/// where the last walk ended makes it one walk a batch.
#[derive(Default)]
struct Rids(BTreeMap<i64, i64>);

impl Rids {
    async fn free(&mut self, conn: &mut SqliteConnection, dated: Timestamp) -> Result<i64> {
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
