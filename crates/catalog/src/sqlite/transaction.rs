use std::ops::{Deref, DerefMut};

use sqlx::{Sqlite, SqliteConnection, SqlitePool, pool::PoolConnection};

use crate::Result;

/// A transaction that ends with its connection known to be outside of one.
///
/// Not sqlx's own: on a full or failing disk SQLite rolls back by itself, sqlx then counts one transaction too
/// many, and the only writer would refuse to begin another until the process is restarted.
pub(super) struct Transaction {
    conn: PoolConnection<Sqlite>,
    over: bool,
}

impl Transaction {
    /// `begin`: `BEGIN`, or `BEGIN IMMEDIATE` to write.
    pub(super) async fn begin(pool: &SqlitePool, begin: &'static str) -> Result<Self> {
        let mut tx = Self { conn: pool.acquire().await?, over: false };
        sqlx::query(begin).execute(&mut *tx.conn).await?;
        Ok(tx)
    }

    /// Keeps what was done when all of it succeeded, and none of it otherwise.
    pub(super) async fn end<T>(mut self, result: Result<T>) -> Result<T> {
        let result = match result {
            Ok(value) => {
                sqlx::query("COMMIT").execute(&mut *self.conn).await.map(|_| value).map_err(Into::into)
            }
            Err(error) => Err(error),
        };
        self.over = match &result {
            Ok(_) => true,
            Err(_) => sqlx::query("ROLLBACK").execute(&mut *self.conn).await.is_ok(),
        };
        result
    }
}

/// Given up in the middle, or in a state that nobody knows: closing the connection rolls back for certain.
impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.over {
            self.conn.close_on_drop();
        }
    }
}

impl Deref for Transaction {
    type Target = SqliteConnection;
    fn deref(&self) -> &SqliteConnection {
        &self.conn
    }
}
impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.conn
    }
}
