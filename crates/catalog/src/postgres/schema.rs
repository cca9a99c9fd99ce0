use sqlx::PgConnection;

use super::failure::Result;
use crate::{Error, Kind};

/// Forward only: a step that has been released is never edited.
const STEPS: [&str; 9] = [
    include_str!("../../migrations/postgres/0001_start.sql"),
    include_str!("../../migrations/postgres/0002_custody.sql"),
    include_str!("../../migrations/postgres/0003_batches.sql"),
    include_str!("../../migrations/postgres/0004_pages.sql"),
    include_str!("../../migrations/postgres/0005_chain.sql"),
    include_str!("../../migrations/postgres/0006_history.sql"),
    include_str!("../../migrations/postgres/0007_special.sql"),
    include_str!("../../migrations/postgres/0008_destinations.sql"),
    include_str!("../../migrations/postgres/0009_fields.sql"),
];

/// Tells our database from any other program's, and how many steps it has taken.
const OURS: &str = "CREATE TABLE videorec_catalog (steps BIGINT NOT NULL)";

/// Any number that is only ours: whoever brings the database up to date holds the advisory lock of this name.
const LOCK: &str = "SELECT pg_advisory_xact_lock(1448232259)";

/// In a transaction that is still to be committed.
pub(super) async fn bring_up_to_date(conn: &mut PgConnection) -> Result<()> {
    // Twenty processes may start at once: mostly there is nothing to do, and nobody waits for that.
    if steps_taken(conn).await? == Some(STEPS.len()) {
        return Ok(());
    }
    // Whoever does it may take longer than any ordinary statement.
    sqlx::raw_sql("SET LOCAL statement_timeout = 0").execute(&mut *conn).await?;
    sqlx::raw_sql(LOCK).execute(&mut *conn).await?;
    let taken = match steps_taken(conn).await? {
        Some(taken) => taken,
        None => {
            make_it_ours(conn).await?;
            0
        }
    };
    if taken > STEPS.len() {
        let message = format!(
            "the catalog's database was written by a newer videorec (its format is {taken}, this binary knows {}): use \
             that one; an older binary would lose what it does not know",
            STEPS.len()
        );
        return Err(Error::new(Kind::Newer, message).into());
    }
    for step in &STEPS[taken..] {
        sqlx::raw_sql(*step).execute(&mut *conn).await?;
    }
    sqlx::query("UPDATE videorec_catalog SET steps = $1")
        .bind(i64::try_from(STEPS.len()).expect("a few"))
        .execute(conn)
        .await?;
    Ok(())
}

async fn steps_taken(conn: &mut PgConnection) -> Result<Option<usize>> {
    // Not `to_regclass`: it answers from a cache that may not know yet what another has committed while we waited for
    // the lock. Reading a table, be it the one of all tables, looks.
    let ours: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_class
                        WHERE relname = 'videorec_catalog' AND relnamespace = current_schema()::regnamespace)",
    )
    .fetch_one(&mut *conn)
    .await?;
    if !ours {
        return Ok(None);
    }
    let steps: i64 = sqlx::query_scalar("SELECT steps FROM videorec_catalog").fetch_one(conn).await?;
    Ok(Some(usize::try_from(steps).unwrap_or(usize::MAX)))
}

async fn make_it_ours(conn: &mut PgConnection) -> Result<()> {
    // What an extension brings along is nobody's data.
    let tables: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_class c
         WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
           AND NOT EXISTS (SELECT 1 FROM pg_depend d
                           WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')",
    )
    .fetch_one(&mut *conn)
    .await?;
    if tables > 0 {
        let message =
            "this is another program's database, not a catalog of videorec: name an empty one in the URL";
        return Err(Error::new(Kind::Access, message).into());
    }
    let encoding: String = sqlx::query_scalar("SHOW server_encoding").fetch_one(&mut *conn).await?;
    if encoding != "UTF8" {
        let message = format!(
            "the catalog's database is encoded as {encoding}, which has not every letter that a name may have: make it \
             anew with ENCODING 'UTF8' TEMPLATE template0"
        );
        return Err(Error::new(Kind::Access, message).into());
    }
    sqlx::raw_sql(OURS).execute(&mut *conn).await?;
    sqlx::raw_sql("INSERT INTO videorec_catalog VALUES (0)").execute(conn).await?;
    Ok(())
}
