//! Holds and the trash: `crate::custody`, written down.

use std::collections::BTreeSet;

use domain::{DeletionLimit, Recording, RecordingId, Timestamp};
use sqlx::SqliteConnection;

use super::{audit, describe, history, ledger, look};
use crate::{Change, Changed, Happening, Result, Trashed, Trashing, codec, custody, details};

pub(super) async fn trash(
    conn: &mut SqliteConnection,
    items: &[Trashing],
    limit: &DeletionLimit,
    now: Timestamp,
) -> Result<Trashed> {
    let (mut going, mut drifted, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for it in items {
        let found = look::get(conn, it.id).await?;
        let again = (!seen.insert(it.id)).then(|| custody::TWICE.to_owned());
        match (again.or_else(|| custody::refuses_trash(found.as_ref(), it)), found) {
            (None, Some(recording)) => {
                let bytes = bytes_of(conn, &recording).await?;
                going.push((recording, it, bytes));
            }
            (why, _) => drifted.push((it.id, why.unwrap_or_default())),
        }
    }
    let since = now - DeletionLimit::WINDOW;
    let (already, already_bytes): (i64, i64) =
        sqlx::query_as("SELECT count(*), coalesce(sum(bytes), 0) FROM trashing WHERE at > ?")
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
    sqlx::query("DELETE FROM trashing WHERE at <= ?").bind(since.0).execute(&mut *conn).await?;
    let mut trashed = Vec::with_capacity(going.len());
    for (mut recording, it, bytes) in going {
        let id = it.id.to_string();
        let details = details::trashed(&recording, &it.trash, bytes);
        audit::write(conn, now, &it.trash.by, "trash", Some(&id), details).await?;
        custody::trashed(&mut recording, &it.trash);
        write(conn, &recording).await?;
        sqlx::query("INSERT OR REPLACE INTO trashing (recording, at, bytes) VALUES (?, ?, ?)")
            .bind(&id)
            .bind(now.0)
            .bind(codec::signed(bytes))
            .execute(&mut *conn)
            .await?;
        sqlx::query("DELETE FROM offer WHERE recording = ?").bind(&id).execute(&mut *conn).await?;
        cancel(conn, &id, &["pending", "paused"], None, now).await?;
        ledger::touch_with_session(conn, &id).await?;
        trashed.push(it.id);
    }
    history::tally(conn, Happening::Trashed, trashed.len() as u64, now).await?;
    Ok(Trashed::Done { trashed, drifted })
}

/// Everything of it, wherever it is.
async fn bytes_of(conn: &mut SqliteConnection, recording: &Recording) -> Result<u64> {
    let copies = look::every_copy(conn, recording.id).await?;
    let renditions = look::renditions(conn, recording.id).await?;
    Ok(codec::unsigned(custody::all_bytes(recording, &copies, &renditions).values().sum()))
}

pub(super) async fn change(
    conn: &mut SqliteConnection,
    ids: &[RecordingId],
    change: &Change,
    actor: &str,
    now: Timestamp,
) -> Result<Vec<Changed>> {
    let mut answers = Vec::with_capacity(ids.len());
    for id in ids {
        let Some(mut it) = look::get(conn, *id).await? else {
            answers.push(Changed::Refused(custody::UNKNOWN.into()));
            continue;
        };
        let answer = custody::changed(&mut it, change, actor, now);
        if answer == Changed::Yes {
            changed(conn, &it, change, actor, now).await?;
        }
        if custody::concerns_tracks(&it, change, &answer) {
            let tracks: Vec<String> =
                sqlx::query_scalar("SELECT id FROM recording WHERE session = ? ORDER BY id")
                    .bind(id.to_string())
                    .fetch_all(&mut *conn)
                    .await?;
            for track in tracks {
                let track = look::get(conn, codec::parsed(&track)?).await?;
                let Some(mut track) = track else { continue };
                if custody::changed(&mut track, change, actor, now) == Changed::Yes {
                    changed(conn, &track, change, actor, now).await?;
                }
            }
        }
        answers.push(answer);
    }
    Ok(answers)
}

async fn changed(
    conn: &mut SqliteConnection,
    it: &Recording,
    change: &Change,
    actor: &str,
    now: Timestamp,
) -> Result<()> {
    let id = it.id.to_string();
    let (what, details) = details::changed(change);
    audit::write(conn, now, actor, what, Some(&id), details).await?;
    write(conn, it).await?;
    if matches!(change, Change::Describe(_)) {
        describe::write(conn, it).await?;
    }
    if matches!(change, Change::Undelete { .. }) {
        sqlx::query("DELETE FROM trashing WHERE recording = ?").bind(&id).execute(&mut *conn).await?;
    }
    ledger::touch_with_session(conn, &id).await
}

/// Where its bytes are, and who holds them. The caller raises the revision.
pub(super) async fn write(conn: &mut SqliteConnection, it: &Recording) -> Result<()> {
    let id = it.id.to_string();
    sqlx::query(
        "UPDATE recording SET store = ?, key = ?, state = ?, reason = ?, custody = ?, verified_at = ? WHERE id = ?",
    )
    .bind(&it.store)
    .bind(&it.key)
    .bind(it.state.as_str())
    .bind(&it.reason)
    .bind(codec::custody_text(&it.custody))
    .bind(custody::verified_at(it))
    .bind(&id)
    .execute(&mut *conn)
    .await?;
    for copy in look::copies(conn, it.id).await? {
        sqlx::query("UPDATE copy SET verified_at = ? WHERE recording = ? AND store = ?")
            .bind(custody::copy_verified_at(it, &copy))
            .bind(&id)
            .bind(&copy.store)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// The recording's jobs in these states, but for one. Whoever works on one writes nothing more.
pub(super) async fn cancel(
    conn: &mut SqliteConnection,
    recording: &str,
    states: &[&str],
    except: Option<&str>,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "UPDATE job SET state = 'cancelled', finished_at = ?1, offered_at = NULL, worker = NULL, lease_until = NULL,
                        progress = NULL
         WHERE recording = ?2 AND state IN (SELECT value FROM json_each(?3)) AND id IS NOT ?4",
    )
    .bind(now.0)
    .bind(recording)
    .bind(codec::to_json(&states))
    .bind(except)
    .execute(conn)
    .await?;
    Ok(())
}
