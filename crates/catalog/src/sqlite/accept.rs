use std::collections::BTreeMap;

use domain::{Kind, NewRecording, Recording, RecordingId, State, Timestamp};
use sqlx::SqliteConnection;

use super::{
    add_usage, audit,
    bind::{Rids, name_tracks, place, session_wanting},
    custody::write,
    describe, history, look, rows, search, touch, touch_session_of,
};
use crate::{
    Accepted, Happening, Result, codec, custody, details,
    history::sources,
    intake::{self, Coming, Former},
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

pub(super) async fn there(conn: &mut SqliteConnection, id: RecordingId) -> Result<Recording> {
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
                                accepted_at, recorded_at, tags, fields, session, state, reason, custody, revision, verified_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?, ?)",
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
    .bind(codec::fields_text(&recording.fields))
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
        describe::words(conn, &id, &it.title, &it.tags, &it.fields).await?;
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
