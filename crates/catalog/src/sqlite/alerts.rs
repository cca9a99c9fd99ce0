use domain::{Alert, Timestamp};
use sqlx::SqliteConnection;

use super::{audit, rows};
use crate::{Result, Told, codec, details};

pub(super) async fn raise(conn: &mut SqliteConnection, alert: &Alert) -> Result<()> {
    sqlx::query(
        "INSERT INTO alert (key, raised_at, body) SELECT ?1, ?2, ?3
         WHERE NOT EXISTS (SELECT 1 FROM alert WHERE key = ?1 AND raised_at > ?4)",
    )
    .bind(&alert.key)
    .bind(alert.at.0)
    .bind(codec::to_json(alert))
    .bind((alert.at - Alert::COOL_DOWN).0)
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn unsent(conn: &mut SqliteConnection, limit: u32) -> Result<Vec<(i64, Alert)>> {
    let rows: Vec<(i64, String)> =
        sqlx::query_as("SELECT seq, body FROM alert WHERE sent_at IS NULL ORDER BY seq LIMIT ?")
            .bind(limit)
            .fetch_all(conn)
            .await?;
    rows.iter().map(|(seq, body)| Ok((*seq, codec::json(body)?))).collect()
}

pub(super) async fn sent(conn: &mut SqliteConnection, seqs: &[i64], now: Timestamp) -> Result<()> {
    sqlx::query("UPDATE alert SET sent_at = ? WHERE seq IN (SELECT value FROM json_each(?))")
        .bind(now.0)
        .bind(codec::to_json(&seqs))
        .execute(conn)
        .await?;
    Ok(())
}

pub(super) async fn list(conn: &mut SqliteConnection, limit: u32) -> Result<Vec<Told>> {
    let found =
        sqlx::query("SELECT * FROM alert ORDER BY seq DESC LIMIT ?").bind(limit).fetch_all(conn).await?;
    found.iter().map(rows::told).collect()
}

pub(super) async fn ack(conn: &mut SqliteConnection, key: &str, by: &str, now: Timestamp) -> Result<bool> {
    let done = sqlx::query("UPDATE alert SET acked_at = ?, acked_by = ? WHERE key = ? AND acked_at IS NULL")
        .bind(now.0)
        .bind(by)
        .bind(key)
        .execute(&mut *conn)
        .await?;
    if done.rows_affected() > 0 {
        audit::write(conn, now, by, "ack", None, details::acked(key)).await?;
    }
    Ok(done.rows_affected() > 0)
}

pub(super) async fn escalated(conn: &mut SqliteConnection, seqs: &[i64], now: Timestamp) -> Result<()> {
    sqlx::query(
        "UPDATE alert SET escalations = escalations + 1, escalated_at = ?
         WHERE seq IN (SELECT value FROM json_each(?)) AND acked_at IS NULL",
    )
    .bind(now.0)
    .bind(codec::to_json(&seqs))
    .execute(conn)
    .await?;
    Ok(())
}
