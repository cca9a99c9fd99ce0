//! Holds and the trash: `crate::custody`, written down.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Copy, DeletionLimit, Recording, RecordingId, Rendition, Timestamp};
use sqlx::PgConnection;

use super::{
    audit, describe,
    failure::Result,
    history, lock,
    rows::{self, Columns as _},
    text, touch,
};
use crate::{Change, Changed, Happening, Trashed, Trashing, codec, custody, details};

/// Begins a transaction that no other deletion is beside: each has to know how much the others took.
pub(super) const BEGIN_TRASH: &str = "BEGIN; SELECT pg_advisory_xact_lock(1448232260)";

pub(super) async fn trash(
    conn: &mut PgConnection,
    items: &[Trashing],
    limit: &DeletionLimit,
    now: Timestamp,
) -> Result<Trashed> {
    let ids: Vec<String> = items.iter().map(|it| it.id.to_string()).collect();
    let locked = lock::with_sessions(conn, &ids).await?;
    let there = all(conn, &ids).await?;
    let bytes = bytes_of(conn, &there).await?;
    let (mut going, mut drifted, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for it in items {
        let found = there.get(&it.id);
        let again = (!seen.insert(it.id)).then(|| custody::TWICE.to_owned());
        match (again.or_else(|| custody::refuses_trash(found, it)), found) {
            (None, Some(recording)) => {
                going.push((recording, it, bytes.get(&it.id).copied().unwrap_or_default()));
            }
            (why, _) => drifted.push((it.id, why.unwrap_or_default())),
        }
    }
    let since = now - DeletionLimit::WINDOW;
    let (already, already_bytes): (i64, i64) =
        sqlx::query_as("SELECT count(*), coalesce(sum(bytes), 0)::bigint FROM trashing WHERE at > $1")
            .bind(since.0)
            .fetch_one(&mut *conn)
            .await?;
    let live: i64 =
        sqlx::query_scalar("SELECT count(*) FROM recording WHERE state NOT IN ('trashed', 'deleted')")
            .fetch_one(&mut *conn)
            .await?;
    let went = custody::Went::new(live, already, already_bytes);
    if let Some(over) = went.over(limit, going.iter().map(|(_, _, bytes)| *bytes)) {
        return Ok(Trashed::Over(over));
    }
    sqlx::query("DELETE FROM trashing WHERE at <= $1").bind(since.0).execute(&mut *conn).await?;
    let mut gone = Vec::with_capacity(going.len());
    for (recording, it, bytes) in &going {
        let (id, details) = (it.id.to_string(), details::trashed(recording, &it.trash, *bytes));
        audit::write(conn, now, &it.trash.by, "trash", Some(&id), details).await?;
        let mut recording = (*recording).clone();
        custody::trashed(&mut recording, &it.trash);
        gone.push(recording);
    }
    write(conn, &gone).await?;
    let gone: Vec<String> = gone.iter().map(|r| r.id.to_string()).collect();
    sqlx::query(
        "INSERT INTO trashing (recording, at, bytes) SELECT n.id, $1, n.bytes
         FROM unnest($2::text[], $3::bigint[]) AS n (id, bytes) ORDER BY n.id
         ON CONFLICT (recording) DO UPDATE SET at = excluded.at, bytes = excluded.bytes",
    )
    .bind(now.0)
    .bind(&gone)
    .bind(going.iter().map(|(_, _, bytes)| codec::signed(*bytes)).collect::<Vec<_>>())
    .execute(&mut *conn)
    .await?;
    sqlx::query("DELETE FROM offer WHERE recording = ANY($1)").bind(&gone).execute(&mut *conn).await?;
    cancel(conn, &gone, &["pending", "paused"], None, now).await?;
    touch(conn, &locked.and_sessions(gone.iter().map(String::as_str))).await?;
    history::tally(conn, Happening::Trashed, gone.len() as u64, now).await?;
    Ok(Trashed::Done { trashed: going.iter().map(|(_, it, _)| it.id).collect(), drifted })
}

/// As they are, by id.
async fn all(conn: &mut PgConnection, ids: &[String]) -> Result<BTreeMap<RecordingId, Recording>> {
    let found =
        sqlx::query(concat!("SELECT ", rows::recording_columns!(), " FROM recording r WHERE r.id = ANY($1)"))
            .bind(ids)
            .fetch_all(conn)
            .await?;
    let found = found.iter().map(|row| rows::recording(row).map(|r| (r.id, r)));
    Ok(found.collect::<crate::Result<_>>()?)
}

/// Everything of each, wherever it is.
async fn bytes_of(
    conn: &mut PgConnection,
    of: &BTreeMap<RecordingId, Recording>,
) -> Result<BTreeMap<RecordingId, u64>> {
    let ids: Vec<String> = of.keys().map(ToString::to_string).collect();
    let mut copies: BTreeMap<String, Vec<Copy>> = BTreeMap::new();
    let mut renditions: BTreeMap<String, Vec<Rendition>> = BTreeMap::new();
    for row in sqlx::query("SELECT recording, body FROM copy WHERE recording = ANY($1)")
        .bind(&ids)
        .fetch_all(&mut *conn)
        .await?
    {
        copies.entry(row.text("recording")?.to_owned()).or_default().push(codec::json(row.text("body")?)?);
    }
    for row in sqlx::query("SELECT recording, body FROM rendition WHERE recording = ANY($1)")
        .bind(&ids)
        .fetch_all(&mut *conn)
        .await?
    {
        let of = renditions.entry(row.text("recording")?.to_owned()).or_default();
        of.push(codec::json(row.text("body")?)?);
    }
    let bytes = of.values().map(|it| {
        let id = it.id.to_string();
        let (copies, renditions) = (copies.remove(&id), renditions.remove(&id));
        let all = custody::all_bytes(it, &copies.unwrap_or_default(), &renditions.unwrap_or_default());
        (it.id, codec::unsigned(all.values().sum()))
    });
    Ok(bytes.collect())
}

pub(super) async fn change(
    conn: &mut PgConnection,
    ids: &[RecordingId],
    change: &Change,
    actor: &str,
    now: Timestamp,
) -> Result<Vec<Changed>> {
    let wanted: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let mut with_tracks = and_tracks(conn, &wanted).await?;
    // Once more for a track that was given to one of the sessions while we waited for it.
    let locked = loop {
        let locked = lock::with_sessions(conn, &with_tracks).await?;
        let now_with_tracks = and_tracks(conn, &wanted).await?;
        if now_with_tracks.iter().all(|id| with_tracks.contains(id)) {
            break locked;
        }
        with_tracks = now_with_tracks;
    };
    let mut there = all(conn, &with_tracks).await?;
    let mut tracks: BTreeMap<RecordingId, Vec<RecordingId>> = BTreeMap::new();
    for it in there.values() {
        tracks.entry(it.session.unwrap_or(it.id)).or_default().push(it.id);
    }
    let mut answers = Vec::with_capacity(ids.len());
    // In the order in which they are changed, which the audit log keeps.
    let mut story: Vec<RecordingId> = Vec::new();
    for id in ids {
        let Some(it) = there.get_mut(id) else {
            answers.push(Changed::Refused(custody::UNKNOWN.into()));
            continue;
        };
        let answer = custody::changed(it, change, actor, now);
        story.extend((answer == Changed::Yes).then_some(*id));
        if custody::concerns_tracks(it, change, &answer) {
            for track in tracks.get(id).into_iter().flatten().filter(|track| *track != id) {
                let track = there.get_mut(track).expect("listed from these");
                if custody::changed(track, change, actor, now) == Changed::Yes {
                    story.push(track.id);
                }
            }
        }
        answers.push(answer);
    }
    let (what, details) = details::changed(change);
    let entries: Vec<_> = story
        .iter()
        .map(|id| audit::Entry { recording: id.to_string(), what, details: details.clone() })
        .collect();
    audit::write_all(conn, now, actor, &entries).await?;
    let once: BTreeSet<RecordingId> = story.into_iter().collect();
    let changed: Vec<Recording> = once.iter().filter_map(|id| there.remove(id)).collect();
    write(conn, &changed).await?;
    if matches!(change, Change::Describe(_)) {
        for it in &changed {
            describe::write(conn, it).await?;
        }
    }
    let changed: Vec<String> = changed.iter().map(|r| r.id.to_string()).collect();
    if matches!(change, Change::Undelete { .. }) {
        sqlx::query("DELETE FROM trashing WHERE recording = ANY($1)")
            .bind(&changed)
            .execute(&mut *conn)
            .await?;
    }
    touch(conn, &locked.and_sessions(changed.iter().map(String::as_str))).await?;
    Ok(answers)
}

async fn and_tracks(conn: &mut PgConnection, ids: &[String]) -> Result<Vec<String>> {
    let all = "SELECT unnest($1::text[]) UNION SELECT id FROM recording WHERE session = ANY($1)";
    Ok(sqlx::query_scalar(all).bind(ids).fetch_all(conn).await?)
}

/// Where their bytes are, and who holds them. The caller raises the revisions, and has locked them.
pub(super) async fn write(conn: &mut PgConnection, all: &[Recording]) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    macro_rules! each {
        ($of:expr) => {
            all.iter().map($of).collect::<Vec<_>>()
        };
    }
    let ids = each!(|r| r.id.to_string());
    sqlx::query(
        "UPDATE recording r SET store = n.store, key = n.key, state = n.state, reason = n.reason,
                custody = n.custody, verified_at = n.verified_at
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[])
              AS n (id, store, key, state, reason, custody, verified_at)
         WHERE r.id = n.id",
    )
    .bind(&ids)
    .bind(each!(|r| text(&r.store)))
    .bind(each!(|r| text(&r.key)))
    .bind(each!(|r| r.state.as_str()))
    .bind(each!(|r| text(&r.reason)))
    .bind(each!(|r| codec::custody_text(&r.custody)))
    .bind(each!(custody::verified_at))
    .execute(&mut *conn)
    .await?;
    let found: Vec<(String, String)> =
        sqlx::query_as("SELECT recording, body FROM copy WHERE recording = ANY($1) AND leaving IS NULL")
            .bind(&ids)
            .fetch_all(&mut *conn)
            .await?;
    if found.is_empty() {
        return Ok(());
    }
    let of: BTreeMap<&str, &Recording> = ids.iter().map(String::as_str).zip(all).collect();
    let times = found.iter().map(|(id, body)| {
        let copy: Copy = codec::json(body)?;
        Ok(((id.as_str(), copy.store.clone()), custody::copy_verified_at(of[id.as_str()], &copy)))
    });
    let times: BTreeMap<_, _> = times.collect::<crate::Result<_>>()?;
    sqlx::query(
        "UPDATE copy c SET verified_at = n.verified_at
         FROM unnest($1::text[], $2::text[], $3::bigint[]) AS n (recording, store, verified_at)
         WHERE c.recording = n.recording AND c.store = n.store",
    )
    .bind(times.keys().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(times.keys().map(|(_, store)| text(store)).collect::<Vec<_>>())
    .bind(times.values().copied().collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// The recordings' jobs in these states, but for one. Whoever works on one writes nothing more.
pub(super) async fn cancel(
    conn: &mut PgConnection,
    recordings: &[String],
    states: &[&str],
    except: Option<&str>,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "UPDATE job SET state = 'cancelled', finished_at = $1, offered_at = NULL, worker = NULL, lease_until = NULL,
                        progress = NULL
         WHERE recording = ANY($2) AND state = ANY($3) AND id IS DISTINCT FROM $4",
    )
    .bind(now.0)
    .bind(recordings)
    .bind(states)
    .bind(except)
    .execute(conn)
    .await?;
    Ok(())
}
