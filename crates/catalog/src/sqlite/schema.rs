use std::path::Path;

use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{Error, Kind, Result};

/// Forward only: a step that has been released is never edited. Its number is `PRAGMA user_version`.
const STEPS: [&str; 10] = [
    include_str!("../../migrations/sqlite/0001_start.sql"),
    include_str!("../../migrations/sqlite/0002_fleet.sql"),
    include_str!("../../migrations/sqlite/0003_custody.sql"),
    include_str!("../../migrations/sqlite/0004_batches.sql"),
    include_str!("../../migrations/sqlite/0005_pages.sql"),
    include_str!("../../migrations/sqlite/0006_chain.sql"),
    include_str!("../../migrations/sqlite/0007_history.sql"),
    include_str!("../../migrations/sqlite/0008_special.sql"),
    include_str!("../../migrations/sqlite/0009_destinations.sql"),
    include_str!("../../migrations/sqlite/0010_fields.sql"),
];

/// "VREC": tells our file from any other program's.
const APPLICATION: i32 = 0x5652_4543;

pub(super) async fn bring_up_to_date(conn: &mut SqliteConnection, path: &Path) -> Result<()> {
    // Another process may be doing the same: look only once the write lock is held.
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await?;
    let version: i32 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *tx).await?;
    let application: i32 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *tx).await?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_master").fetch_one(&mut *tx).await?;
    if application != APPLICATION && (tables > 0 || version > 0) {
        let message = format!(
            "{} is another program's database, not a catalog of videorec: name another file",
            path.display()
        );
        return Err(Error::new(Kind::Access, message));
    }
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    if version > STEPS.len() {
        let message = format!(
            "{} was written by a newer videorec (its format is {version}, this binary knows {}): use that one; an \
             older binary would lose what it does not know",
            path.display(),
            STEPS.len()
        );
        return Err(Error::new(Kind::Newer, message));
    }
    for step in &STEPS[version..] {
        sqlx::raw_sql(*step).execute(&mut *tx).await?;
    }
    if version < STEPS.len() {
        let stamp = format!("PRAGMA user_version = {}; PRAGMA application_id = {APPLICATION}", STEPS.len());
        // Two numbers of our own.
        sqlx::raw_sql(sqlx::AssertSqlSafe(stamp)).execute(&mut *tx).await?;
    }
    Ok(tx.commit().await?)
}

/// Switching a new file to WAL does not wait for another process that does the same, unlike everything else.
pub(super) async fn first_connection(
    options: &SqliteConnectOptions,
) -> Result<SqliteConnection, sqlx::Error> {
    let mut tries = 0;
    loop {
        match options.connect().await {
            Err(sqlx::Error::Database(e)) if tries < 50 && e.code().as_deref() == Some("5") => {
                tries += 1;
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            other => return other,
        }
    }
}
