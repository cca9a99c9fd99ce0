-- When a job was last handed over to the queue; absent: it waits to be. Whatever makes a job ready anew clears it.
ALTER TABLE job ADD COLUMN offered_at INTEGER;
-- When to hand it over; computed, so that it cannot disagree with the state.
ALTER TABLE job ADD COLUMN fresh_at INTEGER AS (
    CASE WHEN offered_at IS NULL THEN
        CASE state WHEN 'pending' THEN run_after WHEN 'running' THEN lease_until END
    END) VIRTUAL;
DROP INDEX job_ready;
CREATE INDEX job_fresh ON job (lane, fresh_at, id) WHERE fresh_at IS NOT NULL;
CREATE INDEX job_offered ON job (lane, offered_at, id) WHERE offered_at IS NOT NULL;

-- Who does what only one process should do, and until when.
CREATE TABLE lead (
    role TEXT NOT NULL PRIMARY KEY,
    worker TEXT NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What people are to be told: written with the fact that it tells of, sent afterwards.
CREATE TABLE alert (
    seq INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    raised_at INTEGER NOT NULL,
    sent_at INTEGER,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX alert_key ON alert (key, raised_at);
CREATE INDEX alert_unsent ON alert (seq) WHERE sent_at IS NULL;
