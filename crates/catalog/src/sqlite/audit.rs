use domain::{RecordingId, Timestamp};
use serde_json::Value;
use sqlx::SqliteConnection;

use super::rows;
use crate::{AuditEntry, Result};

pub(super) async fn write(
    conn: &mut SqliteConnection,
    at: Timestamp,
    actor: &str,
    what: &str,
    recording: Option<&str>,
    details: Value,
) -> Result<()> {
    sqlx::query("INSERT INTO audit (at, actor, what, recording, details) VALUES (?, ?, ?, ?, ?)")
        .bind(at.0)
        .bind(actor)
        .bind(what)
        .bind(recording)
        .bind(details.to_string())
        .execute(conn)
        .await?;
    Ok(())
}

pub(super) async fn read(
    conn: &mut SqliteConnection,
    recording: Option<RecordingId>,
    limit: u32,
) -> Result<Vec<AuditEntry>> {
    let found = match recording {
        Some(id) => {
            sqlx::query("SELECT * FROM audit WHERE recording = ? ORDER BY seq DESC LIMIT ?")
                .bind(id.to_string())
                .bind(limit)
                .fetch_all(conn)
                .await?
        }
        None => {
            sqlx::query("SELECT * FROM audit ORDER BY seq DESC LIMIT ?").bind(limit).fetch_all(conn).await?
        }
    };
    found.iter().map(rows::audit).collect()
}
