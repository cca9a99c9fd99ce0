use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
};

use domain::{Kind, NewRecording, Recording, RecordingId, State, Timestamp};
use sqlx::PgConnection;

use super::{
    add_usage, audit,
    bind::{name_tracks, place, session_wanting},
    custody::write as write_custody,
    describe,
    failure::Result,
    history, look, rid,
    rows::{self, Columns as _},
    search, text, touch,
};
use crate::{
    Accepted, Happening, codec, custody, details,
    document::Document,
    history::sources,
    intake::{self, Coming, Former},
};

pub(super) async fn accept(
    conn: &mut PgConnection,
    batch: &[NewRecording],
    now: Timestamp,
) -> Result<Vec<Accepted>> {
    let batch = &*storable(batch);
    take_turns(conn, batch).await?;
    let mut known = lock(conn, batch).await?;
    let mut wanted = wanted(conn, batch).await?;
    let mut usage = BTreeMap::new();
    let mut new = Vec::with_capacity(batch.len());
    // Most have nothing to do with any session: those that follow one another are written together.
    let mut plain: Vec<&NewRecording> = Vec::new();
    for it in batch {
        let former = known.remove(&it.id);
        let coming = former.as_ref().map_or(Coming::New, |former| former.sees(it));
        let is_new = !matches!(coming, Coming::Known | Coming::Rewritten);
        new.push(is_new);
        let is_plain = coming == Coming::New
            && it.kind != Kind::Session
            && it.session.is_none()
            && !wanted.contains(&it.name);
        if !is_plain && coming != Coming::Known {
            insert(conn, &std::mem::take(&mut plain), now).await?;
        }
        let former = match (coming, former) {
            (Coming::New, _) | (_, None) => {
                if is_plain {
                    plain.push(it);
                } else {
                    insert_bound(conn, it, intake::recording(it), now).await?;
                }
                Former::of(it, &intake::recording(it))
            }
            (Coming::Known, Some(former)) => former,
            (Coming::Rewritten, Some(mut former)) => {
                rewritten(conn, it, now).await?;
                former.custody.place.version = Some(it.version.clone());
                former
            }
            (Coming::Replaced, Some(former)) => replace(conn, it, former, &mut usage, now).await?,
            (Coming::Back, Some(former)) => {
                forget(conn, it.id).await?;
                let recording = intake::recording_back(it, &former);
                let former = Former::of(it, &recording);
                insert_bound(conn, it, recording, now).await?;
                former
            }
        };
        if matches!(coming, Coming::New | Coming::Back) {
            *usage.entry(it.store.clone()).or_default() += codec::signed(it.digest.size);
        }
        known.insert(it.id, former);
        if !is_new {
            continue;
        }
        if it.kind == Kind::Session {
            wanted.extend(it.tracks.iter().map(|t| t.name.clone()));
        }
    }
    insert(conn, &plain, now).await?;
    add_usage(conn, &usage).await?;
    let came = || batch.iter().zip(&new).filter(|(_, new)| **new).map(|(it, _)| it);
    history::tally(conn, Happening::Accepted, came().count() as u64, now).await?;
    history::came(conn, &sources(came())).await?;
    // Read back at the end: a session may have bound a track further up.
    let there = all(conn, batch).await?;
    let recording =
        |it: &NewRecording| there.get(&it.id).cloned().expect("found or written in this transaction");
    Ok(batch.iter().zip(new).map(|(it, new)| Accepted { recording: recording(it), new }).collect())
}

/// What the database cannot hold is replaced where it comes in, so that names are the same in every table.
fn storable(batch: &[NewRecording]) -> Cow<'_, [NewRecording]> {
    let texts = |it: &NewRecording| {
        let of_tracks = it.tracks.iter().any(|t| t.name.contains('\0') || t.participant.contains('\0'));
        of_tracks || [&it.name, &it.title, &it.store, &it.key, &it.version].iter().any(|t| t.contains('\0'))
    };
    if !batch.iter().any(texts) {
        return batch.into();
    }
    let mut batch = batch.to_vec();
    for it in &mut batch {
        let of_tracks = it.tracks.iter_mut().flat_map(|t| [&mut t.name, &mut t.participant]);
        for field in [&mut it.name, &mut it.title, &mut it.store, &mut it.key, &mut it.version]
            .into_iter()
            .chain(of_tracks)
        {
            *field = text(field).into_owned();
        }
    }
    batch.into()
}

/// A track and its session that come at the same moment would each not see the other, and the same recording twice
/// would be in one another's way: whoever brings such a name or id waits for whoever has brought it. There are as
/// many turns as a lock table has room for; that other names wait too does no harm.
async fn take_turns(conn: &mut PgConnection, batch: &[NewRecording]) -> Result<()> {
    let mut names: Vec<Cow<'_, str>> = Vec::new();
    for it in batch {
        names.push(it.id.to_string().into());
        if it.kind == Kind::Session {
            names.extend(it.tracks.iter().map(|t| Cow::from(&t.name)));
        } else {
            names.push(Cow::from(&it.name));
        }
    }
    sqlx::query(
        "SELECT pg_advisory_xact_lock(22083, turn)
         FROM (SELECT DISTINCT hashtext(name) & 255 AS turn FROM unnest($1::text[]) AS n (name) ORDER BY turn) AS turns",
    )
    .bind(names)
    .execute(conn)
    .await?;
    Ok(())
}

/// Locks whatever a batch may change (see `lock.rs`), and says what is known of it.
async fn lock(conn: &mut PgConnection, batch: &[NewRecording]) -> Result<HashMap<RecordingId, Former>> {
    let ids: Vec<String> = batch.iter().map(|it| it.id.to_string()).collect();
    let tracks = batch.iter().flat_map(|it| &it.tracks).map(|t| t.name.as_str());
    let names = batch.iter().filter(|it| it.kind != Kind::Session).map(|it| it.name.as_str());
    let sessions = batch.iter().filter_map(|it| it.session).map(|id| id.to_string());
    let rows = sqlx::query(LOCK)
        .bind(&ids)
        .bind(sessions.collect::<Vec<_>>())
        .bind(tracks.collect::<Vec<_>>())
        .bind(names.collect::<Vec<_>>())
        .fetch_all(conn)
        .await?;
    let former = rows.iter().map(|row| Ok((codec::parsed(row.text("id")?)?, rows::former(row)?)));
    Ok(former.collect::<crate::Result<_>>()?)
}

/// These and their sessions; what the sessions among them have or may take; the sessions that wait for one of these.
const LOCK: &str = concat!(
    "SELECT id, ",
    rows::former_columns!(),
    " FROM recording WHERE id IN (
    SELECT unnest($1::text[])
    UNION SELECT session FROM recording WHERE id = ANY($1)
    UNION SELECT unnest($2::text[])
    UNION SELECT id FROM recording WHERE session = ANY($1)
    UNION SELECT id FROM recording WHERE name = ANY($3::text[]) AND session IS NULL
    UNION SELECT t.session FROM session_track t
          WHERE t.name = ANY($4::text[])
            AND NOT EXISTS (SELECT 1 FROM recording r WHERE r.session = t.session AND r.name = t.name)
) ORDER BY id FOR NO KEY UPDATE"
);

/// The names that some session has for a track, of those that come.
async fn wanted(conn: &mut PgConnection, batch: &[NewRecording]) -> Result<HashSet<String>> {
    let names: Vec<&str> = batch.iter().map(|it| it.name.as_str()).collect();
    let wanted: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT name FROM session_track WHERE name = ANY($1)")
            .bind(names)
            .fetch_all(conn)
            .await?;
    Ok(wanted.into_iter().collect())
}

async fn all(conn: &mut PgConnection, batch: &[NewRecording]) -> Result<HashMap<RecordingId, Recording>> {
    let ids: Vec<String> = batch.iter().map(|it| it.id.to_string()).collect();
    let found =
        sqlx::query(concat!("SELECT ", rows::recording_columns!(), " FROM recording r WHERE r.id = ANY($1)"))
            .bind(ids)
            .fetch_all(conn)
            .await?;
    let found = found.iter().map(|row| rows::recording(row).map(|r| (r.id, r)));
    Ok(found.collect::<crate::Result<_>>()?)
}

/// Those that no session has anything to do with.
async fn insert(conn: &mut PgConnection, plain: &[&NewRecording], now: Timestamp) -> Result<()> {
    let recordings: Vec<Recording> = plain.iter().map(|it| intake::recording(it)).collect();
    let documents: Vec<Document> = recordings.iter().map(|r| Document::of(r, &[], None)).collect();
    write(conn, &recordings, &documents, plain, now).await
}

/// A session, or a track of one that is there already.
async fn insert_bound(
    conn: &mut PgConnection,
    it: &NewRecording,
    mut recording: Recording,
    now: Timestamp,
) -> Result<()> {
    if it.kind != Kind::Session
        && let Some(session) = session_wanting(conn, &it.name).await?
    {
        session.takes(&mut recording);
    }
    let document = search::document(conn, &recording).await?;
    write(conn, std::slice::from_ref(&recording), &[document], &[it], now).await?;
    match recording.session {
        _ if it.kind == Kind::Session => name_tracks(conn, it, now).await,
        Some(session) => touch(conn, &[&session.to_string()]).await,
        None => Ok(()),
    }
}

/// One for one.
async fn write(
    conn: &mut PgConnection,
    recordings: &[Recording],
    documents: &[Document],
    from: &[&NewRecording],
    now: Timestamp,
) -> Result<()> {
    if recordings.is_empty() {
        return Ok(());
    }
    let rids = rid::hand_out(conn, &recordings.iter().map(Recording::dated).collect::<Vec<_>>()).await?;
    macro_rules! each {
        ($of:expr) => {
            recordings.iter().map($of).collect::<Vec<_>>()
        };
    }
    let ids = each!(|r| r.id.to_string());
    sqlx::query(
        "INSERT INTO recording (rid, id, kind, name, title, store, key, version, size, sha256, crc64, accepted_at,
                                recorded_at, tags, fields, session, custody, revision, verified_at, state, reason)
         SELECT n.*, 'accepted', ''
         FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                     $9::bigint[], $10::bytea[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[],
                     $15::text[], $16::text[], $17::text[], $18::bigint[], $19::bigint[]) AS n",
    )
    .bind(&rids)
    .bind(&ids)
    .bind(each!(|r| r.kind.as_str()))
    .bind(each!(|r| r.name.as_str()))
    .bind(each!(|r| r.title.as_str()))
    .bind(each!(|r| r.store.as_str()))
    .bind(each!(|r| r.key.as_str()))
    .bind(each!(|r| r.version.as_str()))
    .bind(each!(|r| codec::signed(r.digest.size)))
    .bind(each!(|r| &r.digest.sha256.0[..]))
    .bind(each!(|r| r.digest.crc64.0.cast_signed()))
    .bind(each!(|r| r.accepted_at.0))
    .bind(each!(|r| r.recorded_at.map(|t| t.0)))
    .bind(each!(|r| codec::to_json(&r.tags)))
    .bind(each!(|r| codec::fields_text(&r.fields)))
    .bind(each!(|r| r.session.map(|s| s.to_string())))
    .bind(each!(|r| codec::custody_text(&r.custody)))
    .bind(each!(|r| r.revision))
    .bind(each!(custody::verified_at))
    .execute(&mut *conn)
    .await?;
    sqlx::query(
        "INSERT INTO attention (id, at) SELECT id, 0 FROM unnest($1::text[]) AS n (id)
         ON CONFLICT (id) DO UPDATE SET at = 0",
    )
    .bind(&ids)
    .execute(&mut *conn)
    .await?;
    let story: Vec<_> = from
        .iter()
        .zip(&ids)
        .map(|(it, id)| audit::Entry {
            recording: id.clone(),
            what: "accept",
            details: details::accepted(it),
        })
        .collect();
    audit::write_all(conn, now, "intake", &story).await?;
    let vectors: Vec<String> = documents.iter().map(search::vector).collect();
    search::write(conn, &rids, &vectors).await
}

/// What was left of a former life makes room for the next.
async fn forget(conn: &mut PgConnection, id: RecordingId) -> Result<()> {
    sqlx::query("DELETE FROM recording WHERE id = $1").bind(id.to_string()).execute(conn).await?;
    Ok(())
}

/// The same bytes, under another version of the store.
async fn rewritten(conn: &mut PgConnection, it: &NewRecording, now: Timestamp) -> Result<()> {
    let mut recording = there(conn, it.id).await?;
    recording.custody.place.version = Some(it.version.clone());
    let id = it.id.to_string();
    write_custody(conn, &[recording]).await?;
    touch(conn, &[&id]).await?;
    audit::write(conn, now, "intake", "rewrite", Some(&id), details::rewritten(it)).await
}

pub(super) async fn there(conn: &mut PgConnection, id: RecordingId) -> Result<Recording> {
    Ok(look::get(conn, id).await?.expect("found or written before, in this transaction"))
}

/// The same recording, other bytes: what was measured of the former ones is void.
async fn replace(
    conn: &mut PgConnection,
    it: &NewRecording,
    former: Former,
    usage: &mut BTreeMap<String, i64>,
    now: Timestamp,
) -> Result<Former> {
    let id = it.id.to_string();
    *usage.entry(former.store).or_default() -= codec::signed(former.size);
    *usage.entry(it.store.clone()).or_default() += codec::signed(it.digest.size);
    sqlx::query(
        "UPDATE recording SET version = $1, size = $2, sha256 = $3, crc64 = $4, accepted_at = $5,
                recorded_at = coalesce($6, recorded_at), probe = NULL, media_type = NULL, duration_ms = NULL
         WHERE id = $7",
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
    // As it is by now: a session further up in the batch may have brought it under its holds.
    let mut custody = there_now.custody.clone();
    intake::replaced(&mut custody);
    let replaced = Recording {
        store: it.store.clone(),
        key: it.key.clone(),
        state: State::Accepted,
        reason: String::new(),
        custody,
        ..there_now
    };
    let former = Former::of(it, &replaced);
    write_custody(conn, &[replaced]).await?;
    sqlx::query("DELETE FROM trashing WHERE recording = $1").bind(&id).execute(&mut *conn).await?;
    audit::write(conn, now, "intake", "replace", Some(&id), details::replaced(it)).await?;
    if it.kind == Kind::Session {
        touch(conn, &[&id]).await?;
        describe::words(conn, &id, &it.title, &it.tags, &it.fields).await?;
        name_tracks(conn, it, now).await?;
    }
    let recording = there(conn, it.id).await?;
    if it.kind != Kind::Session {
        let session = recording.session.map(|s| s.to_string());
        let concerned: Vec<&str> = [Some(id.as_str()), session.as_deref()].into_iter().flatten().collect();
        touch(conn, &concerned).await?;
    }
    place(conn, &recording).await?;
    Ok(former)
}
