use domain::{RecordingId, Timestamp};
use serde_json::Value;
use sqlx::{Row as _, SqliteConnection};

use crate::{AuditEntry, Result, codec};

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
    let rows = match recording {
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
    rows.iter()
        .map(|row| {
            Ok(AuditEntry {
                seq: row.try_get("seq")?,
                at: Timestamp(row.try_get("at")?),
                actor: row.try_get("actor")?,
                what: row.try_get("what")?,
                recording: row.try_get::<Option<&str>, _>("recording")?.map(codec::parsed).transpose()?,
                details: codec::json(row.try_get("details")?)?,
            })
        })
        .collect()
}
