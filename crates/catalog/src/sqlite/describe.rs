//! What people say of recordings, written down and found again.

use std::collections::BTreeSet;

use domain::{Fields, Kind, Recording};
use sqlx::SqliteConnection;

use super::{look, search};
use crate::{Result, codec};

/// What is said of a recording, and found again. The caller raises the revision.
pub(super) async fn write(conn: &mut SqliteConnection, it: &Recording) -> Result<()> {
    let id = it.id.to_string();
    words(conn, &id, &it.title, &it.tags, &it.fields).await?;
    search::index_again(conn, it).await?;
    if it.kind != Kind::Session {
        return Ok(());
    }
    // By the title of their session tracks are found, too.
    let tracks: Vec<String> = sqlx::query_scalar("SELECT id FROM recording WHERE session = ?1 ORDER BY id")
        .bind(&id)
        .fetch_all(&mut *conn)
        .await?;
    for track in tracks {
        let track = look::get(conn, codec::parsed(&track)?).await?;
        if let Some(track) = track {
            search::index_again(conn, &track).await?;
        }
    }
    Ok(())
}

/// Without the index.
pub(super) async fn words(
    conn: &mut SqliteConnection,
    id: &str,
    title: &str,
    tags: &BTreeSet<String>,
    fields: &Fields,
) -> Result<()> {
    sqlx::query("UPDATE recording SET title = ?, tags = ?, fields = ? WHERE id = ?")
        .bind(title)
        .bind(codec::to_json(tags))
        .bind(codec::fields_text(fields))
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}
