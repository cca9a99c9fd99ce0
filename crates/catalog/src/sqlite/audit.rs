use domain::{RecordingId, Timestamp};
use serde_json::Value;
use sqlx::SqliteConnection;

use super::rows;
use crate::{
    AuditEntry, AuditVerdict, Result,
    chain::{Check, PAGE, Written},
    rows::Columns as _,
};

pub(super) async fn write(
    conn: &mut SqliteConnection,
    at: Timestamp,
    actor: &str,
    what: &str,
    recording: Option<&str>,
    details: Value,
) -> Result<()> {
    let last: Option<(i64, Option<Vec<u8>>)> =
        sqlx::query_as("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
            .fetch_optional(&mut *conn)
            .await?;
    let (last, former) = last.unwrap_or_default();
    let details = details.to_string();
    let written = Written { seq: last + 1, at: at.0, actor, what, recording, details: &details };
    sqlx::query(
        "INSERT INTO audit (seq, at, actor, what, recording, details, hash) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(written.seq)
    .bind(at.0)
    .bind(actor)
    .bind(what)
    .bind(recording)
    .bind(&details)
    .bind(&written.hash(&former.unwrap_or_default()).0[..])
    .execute(conn)
    .await?;
    Ok(())
}

/// Within one transaction, page by page.
pub(super) async fn verify(conn: &mut SqliteConnection) -> Result<AuditVerdict> {
    let start: String = sqlx::query_scalar("SELECT value FROM setting WHERE name = 'audit_start'")
        .fetch_one(&mut *conn)
        .await?;
    let start = start.parse().unwrap_or(0);
    let mut check = Check::new(start);
    let mut after = 0;
    loop {
        let page = sqlx::query(
            "SELECT *, 0 AS chain, seq - ?1 AS link FROM audit WHERE seq > ?2 ORDER BY seq LIMIT ?3",
        )
        .bind(start)
        .bind(after)
        .bind(PAGE)
        .fetch_all(&mut *conn)
        .await?;
        for row in &page {
            check.entry(row)?;
            after = row.number("seq")?;
        }
        if page.len() < PAGE as usize {
            return Ok(check.verdict());
        }
    }
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
