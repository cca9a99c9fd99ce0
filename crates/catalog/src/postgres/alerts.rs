use domain::{Alert, Timestamp};
use sqlx::PgConnection;

use super::{audit, failure::Result, rows, text};
use crate::{Told, codec, details};

/// Sorted, so that two transactions that raise the same ones do not wait for one another.
pub(super) async fn raise(conn: &mut PgConnection, alerts: &[&Alert]) -> Result<()> {
    let mut alerts = alerts.to_vec();
    alerts.sort_by_key(|alert| (&alert.key, alert.at));
    for alert in alerts {
        sqlx::query(
            "WITH news AS (
                 INSERT INTO alert_key (sha256, raised_at) VALUES (sha256(convert_to($1, 'UTF8')), $2)
                 ON CONFLICT (sha256) DO UPDATE SET raised_at = $2 WHERE alert_key.raised_at <= $4
                 RETURNING 1
             )
             INSERT INTO alert (key, raised_at, body) SELECT $1, $2, $3 FROM news",
        )
        .bind(text(&alert.key))
        .bind(alert.at.0)
        .bind(codec::to_json(alert))
        .bind((alert.at - Alert::COOL_DOWN).0)
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

pub(super) async fn unsent(conn: &mut PgConnection, limit: u32) -> Result<Vec<(i64, Alert)>> {
    let rows: Vec<(i64, String)> =
        sqlx::query_as("SELECT seq, body FROM alert WHERE sent_at IS NULL ORDER BY seq LIMIT $1")
            .bind(i64::from(limit))
            .fetch_all(conn)
            .await?;
    Ok(rows.iter().map(|(seq, body)| Ok((*seq, codec::json(body)?))).collect::<crate::Result<_>>()?)
}

pub(super) async fn sent(conn: &mut PgConnection, seqs: &[i64], now: Timestamp) -> Result<()> {
    sqlx::query("UPDATE alert SET sent_at = $1 WHERE seq = ANY($2) AND sent_at IS NULL")
        .bind(now.0)
        .bind(seqs)
        .execute(conn)
        .await?;
    Ok(())
}

pub(super) async fn list(conn: &mut PgConnection, limit: u32) -> Result<Vec<Told>> {
    let found = sqlx::query("SELECT * FROM alert ORDER BY seq DESC LIMIT $1")
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?;
    Ok(found.iter().map(rows::told).collect::<crate::Result<_>>()?)
}

pub(super) async fn ack(conn: &mut PgConnection, key: &str, by: &str, now: Timestamp) -> Result<bool> {
    let done =
        sqlx::query("UPDATE alert SET acked_at = $1, acked_by = $2 WHERE key = $3 AND acked_at IS NULL")
            .bind(now.0)
            .bind(text(by))
            .bind(text(key))
            .execute(&mut *conn)
            .await?;
    if done.rows_affected() > 0 {
        audit::write(conn, now, by, "ack", None, details::acked(key)).await?;
    }
    Ok(done.rows_affected() > 0)
}

pub(super) async fn escalated(conn: &mut PgConnection, seqs: &[i64], now: Timestamp) -> Result<()> {
    sqlx::query(
        "UPDATE alert SET escalations = escalations + 1, escalated_at = $1 WHERE seq = ANY($2) AND acked_at IS NULL",
    )
    .bind(now.0)
    .bind(seqs)
    .execute(conn)
    .await?;
    Ok(())
}
