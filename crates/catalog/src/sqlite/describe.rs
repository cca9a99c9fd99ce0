//! What people say of recordings, written down and found again.

use domain::{Kind, Recording};
use sqlx::SqliteConnection;

use super::{look, search};
use crate::{Result, codec};

/// The title, the tags and the fields, as the recording has them now. The caller raises the revision.
pub(super) async fn write(conn: &mut SqliteConnection, it: &Recording) -> Result<()> {
    let id = it.id.to_string();
    sqlx::query("UPDATE recording SET title = ?1, tags = ?2, fields = ?3 WHERE id = ?4")
        .bind(&it.title)
        .bind(codec::to_json(&it.tags))
        .bind(codec::fields_text(&it.fields))
        .bind(&id)
        .execute(&mut *conn)
        .await?;
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
