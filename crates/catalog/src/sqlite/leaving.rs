use sqlx::SqliteConnection;

use crate::{Result, codec};

pub(super) async fn leaving(conn: &mut SqliteConnection, store: &str) -> Result<u64> {
    let bytes: i64 = sqlx::query_scalar(LEAVING).bind(store).fetch_one(conn).await?;
    Ok(codec::unsigned(bytes))
}

/// Sources: trashed, archived, or about to be moved. Copies: of what is trashed, or given up. Renditions of what is
/// trashed. Nothing is counted twice.
const LEAVING: &str = "
SELECT
  (SELECT coalesce(sum(r.size), 0) FROM recording r WHERE r.store = ?1 AND (
     r.state = 'trashed'
     OR (r.state <> 'deleted' AND r.custody LIKE '%\"cold\":%')
     OR EXISTS (SELECT 1 FROM job j WHERE j.recording = r.id AND j.state IN ('pending', 'running')
                AND (j.action ->> '$.do' = 'archive'
                     OR (j.action ->> '$.do' = 'move' AND j.action ->> '$.from' = ?1)))))
+ (SELECT coalesce(sum(c.size), 0) FROM copy c JOIN recording r ON r.id = c.recording WHERE c.store = ?1 AND (
     r.state = 'trashed' OR c.leaving IS NOT NULL
     OR EXISTS (SELECT 1 FROM job j WHERE j.recording = r.id AND j.state IN ('pending', 'running')
                AND j.action ->> '$.do' = 'evict' AND j.action ->> '$.store' = ?1)))
+ (SELECT coalesce(sum(f.value ->> '$.digest.size'), 0)
   FROM recording r JOIN rendition n ON n.recording = r.id, json_each(n.body, '$.files') f
   WHERE r.state = 'trashed' AND f.value ->> '$.store' = ?1)";
