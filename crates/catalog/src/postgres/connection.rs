use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use sqlx::{
    Connection as _, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{
    Options,
    failure::{Failure, Result},
};
use crate::{Error, Kind};

/// What every connection of ours is told first.
const SESSION: &str = "
-- Whatever the server's defaults are: our locks are made for this level.
SET default_transaction_isolation = 'read committed';
-- An acknowledged outcome is on the disk; a server that is set to reply before that is asked not to.
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
-- How many rows a word or a limit finds differs by orders of magnitude: every plan is made for its own values. Also where
-- rows are few and found by their keys, though planning then costs more than they do (25-40 us a statement): a plan that a
-- connection keeps from a catalog's first minutes walks all recordings to lock one, and all pending jobs to cancel none.
SET plan_cache_mode = force_custom_plan;
SET jit = off;
SET random_page_cost = 1.1;
-- A process that stops in the middle does not hold its locks for long.
SET idle_in_transaction_session_timeout = '60s';
";

/// A connection that has rested for longer is asked whether it still lives before it is used.
const RESTED: Duration = Duration::from_secs(2);
/// Longer than any living server needs to say yes.
const SIGN_OF_LIFE: Duration = Duration::from_secs(3);

/// Connects when somebody asks for a connection. The URL is a secret: no error shows any of it.
pub(super) fn pool(url: &str, options: &Options) -> crate::Result<PgPool> {
    let unreadable = || {
        Error::new(
            Kind::Invalid,
            "the catalog's database URL cannot be read: it should look like \
             postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=require, with whatever is not a letter or a digit in \
             the password written as %XX",
        )
    };
    // Anything with a colon in it is some URL, and would lead to this machine.
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(unreadable());
    }
    let mut to: PgConnectOptions = url.parse().map_err(|_| unreadable())?;
    if to.get_application_name().is_none() {
        to = to.application_name("videorec");
    }
    let timeout = format!("SET statement_timeout = {}", options.statement_timeout.as_millis());
    let lifetime = options.lifetime;
    let pool = PgPoolOptions::new()
        .max_connections(options.connections.max(1))
        .acquire_timeout(options.acquire_timeout)
        // Not with sqlx 0.9.0: what looks after idle connections can spin for ever (its issue 3645). `lifetime` is seen to below.
        .idle_timeout(None)
        .max_lifetime(None)
        // Instead of asking before every use; see `RESTED`.
        .test_before_acquire(false)
        .before_acquire(move |conn, meta| {
            Box::pin(async move {
                if meta.age > lifetime {
                    return Ok(false);
                }
                if meta.idle_for < RESTED {
                    return Ok(true);
                }
                // One that a firewall forgot never answers.
                Ok(tokio::time::timeout(SIGN_OF_LIFE, conn.ping()).await.is_ok_and(|pong| pong.is_ok()))
            })
        })
        .after_connect(move |conn, _| {
            let timeout = timeout.clone();
            Box::pin(async move {
                // A number of our own.
                sqlx::raw_sql(sqlx::AssertSqlSafe(format!("{SESSION}{timeout}"))).execute(conn).await?;
                Ok(())
            })
        });
    Ok(pool.connect_lazy_with(to))
}

/// A connection in use. It goes back to the pool once it is known to be at rest, and is closed otherwise: then the
/// server takes back whatever was not committed.
pub(super) struct Held {
    conn: PoolConnection<Postgres>,
    at_rest: bool,
}

impl Held {
    pub(super) async fn from(pool: &PgPool) -> Result<Self> {
        Ok(Self { conn: pool.acquire().await?, at_rest: false })
    }

    pub(super) async fn begin(pool: &PgPool, begin: &'static str) -> Result<Self> {
        let mut held = Self::from(pool).await?;
        sqlx::raw_sql(begin).execute(&mut *held.conn).await?;
        Ok(held)
    }

    /// Without a transaction: every statement was one of its own.
    pub(super) fn done<T>(mut self, result: Result<T>) -> Result<T> {
        self.at_rest = result.as_ref().err().is_none_or(|failure| !failure.ends_the_connection());
        result
    }

    /// Keeps what was done when all of it succeeded, and none of it otherwise.
    pub(super) async fn end<T>(mut self, result: Result<T>) -> Result<T> {
        match result {
            Ok(value) => {
                let committed = sqlx::raw_sql("COMMIT").execute(&mut *self.conn).await;
                committed.map_err(|error| Failure::from(error).of_the_last_word())?;
                self.at_rest = true;
                Ok(value)
            }
            Err(failure) => {
                self.at_rest = !failure.ends_the_connection()
                    && sqlx::raw_sql("ROLLBACK").execute(&mut *self.conn).await.is_ok();
                Err(failure)
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.at_rest {
            self.conn.close_on_drop();
        }
    }
}

impl Deref for Held {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.conn
    }
}
impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.conn
    }
}
