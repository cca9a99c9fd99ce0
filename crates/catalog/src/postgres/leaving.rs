use sqlx::PgConnection;

use super::failure::Result;
use crate::codec;

pub(super) async fn leaving(conn: &mut PgConnection, store: &str) -> Result<u64> {
    let bytes: i64 = sqlx::query_scalar(LEAVING).bind(store).fetch_one(conn).await?;
    Ok(codec::unsigned(bytes))
}

/// As SQLite's.
const LEAVING: &str = "
SELECT (
  (SELECT coalesce(sum(r.size), 0) FROM recording r WHERE r.store = $1 AND (
     r.state = 'trashed'
     OR (r.state <> 'deleted' AND r.custody::text LIKE '%\"cold\":%')
     OR EXISTS (SELECT 1 FROM job j WHERE j.recording = r.id AND j.state IN ('pending', 'running')
                AND (j.action::json ->> 'do' = 'archive'
                     OR (j.action::json ->> 'do' = 'move' AND j.action::json ->> 'from' = $1)))))
+ (SELECT coalesce(sum(c.size), 0) FROM copy c JOIN recording r ON r.id = c.recording WHERE c.store = $1 AND (
     r.state = 'trashed' OR c.leaving IS NOT NULL
     OR EXISTS (SELECT 1 FROM job j WHERE j.recording = r.id AND j.state IN ('pending', 'running')
                AND j.action::json ->> 'do' = 'evict' AND j.action::json ->> 'store' = $1)))
+ (SELECT coalesce(sum((f.value -> 'digest' ->> 'size')::bigint), 0)
   FROM recording r JOIN rendition n ON n.recording = r.id, json_array_elements(n.body::json -> 'files') f
   WHERE r.state = 'trashed' AND f.value ->> 'store' = $1))::bigint";
