use domain::{RecordingId, Timestamp};
use serde_json::Value;
use sqlx::PgConnection;

use super::{
    failure::Result,
    rows::{self, Columns as _},
    text,
};
use crate::{
    AuditEntry, AuditVerdict,
    chain::{Check, PAGE},
};

/// What happened to a recording.
pub(super) struct Entry {
    pub recording: String,
    pub what: &'static str,
    pub details: Value,
}

pub(super) async fn write(
    conn: &mut PgConnection,
    at: Timestamp,
    actor: &str,
    what: &str,
    recording: Option<&str>,
    details: Value,
) -> Result<()> {
    sqlx::query("INSERT INTO audit (at, actor, what, recording, details) VALUES ($1, $2, $3, $4, $5)")
        .bind(at.0)
        .bind(text(actor))
        .bind(text(what))
        .bind(recording)
        .bind(details.to_string())
        .execute(conn)
        .await?;
    Ok(())
}

/// Many at once, in this order.
pub(super) async fn write_all(
    conn: &mut PgConnection,
    at: Timestamp,
    actor: &str,
    entries: &[Entry],
) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO audit (at, actor, what, recording, details)
         SELECT $1, $2, n.what, n.recording, n.details
         FROM unnest($3::text[], $4::text[], $5::text[]) WITH ORDINALITY AS n (what, recording, details, turn)
         ORDER BY n.turn",
    )
    .bind(at.0)
    .bind(actor)
    .bind(entries.iter().map(|e| e.what).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.recording.as_str()).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.details.to_string()).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn read(
    conn: &mut PgConnection,
    recording: Option<RecordingId>,
    limit: u32,
) -> Result<Vec<AuditEntry>> {
    let limit = i64::from(limit);
    let found = match recording {
        Some(id) => {
            sqlx::query("SELECT seq, at, actor, what, recording, details FROM audit WHERE recording = $1 ORDER BY seq DESC LIMIT $2")
                .bind(id.to_string())
                .bind(limit)
                .fetch_all(conn)
                .await?
        }
        None => {
            sqlx::query("SELECT seq, at, actor, what, recording, details FROM audit ORDER BY seq DESC LIMIT $1").bind(limit).fetch_all(conn).await?
        }
    };
    Ok(found.iter().map(rows::audit).collect::<crate::Result<_>>()?)
}

/// Within one transaction, page by page: what has no place in a chain, then one chain after the other.
pub(super) async fn verify(conn: &mut PgConnection) -> Result<AuditVerdict> {
    let start: String = sqlx::query_scalar("SELECT value FROM setting WHERE name = 'audit_start'")
        .fetch_one(&mut *conn)
        .await?;
    let mut check = Check::new(start.parse().unwrap_or(0));
    let mut after = 0;
    loop {
        let page = sqlx::query(
            "SELECT seq, hash FROM audit WHERE seq > $1 AND (hash IS NULL OR chain IS NULL OR link IS NULL)
             ORDER BY seq LIMIT $2",
        )
        .bind(after)
        .bind(PAGE)
        .fetch_all(&mut *conn)
        .await?;
        for row in &page {
            check.loose(row)?;
            after = row.number("seq")?;
        }
        if page.len() < PAGE as usize {
            break;
        }
    }
    let mut after = (-1, 0);
    loop {
        let page = sqlx::query(
            "SELECT seq, at, actor, what, recording, details, chain, link, hash FROM audit
             WHERE (chain, link) > ($1, $2) AND chain IS NOT NULL AND hash IS NOT NULL ORDER BY chain, link LIMIT $3",
        )
        .bind(after.0)
        .bind(after.1)
        .bind(PAGE)
        .fetch_all(&mut *conn)
        .await?;
        for row in &page {
            check.entry(row)?;
            after = (row.number("chain")?, row.number("link")?);
        }
        if page.len() < PAGE as usize {
            return Ok(check.verdict());
        }
    }
}
