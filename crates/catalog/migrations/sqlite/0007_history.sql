-- Bytes per store at the beginning of hours.
CREATE TABLE sample (
    hour INTEGER NOT NULL,
    store TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (hour, store)
) STRICT, WITHOUT ROWID;

-- How often something happened within an hour.
CREATE TABLE tally (
    hour INTEGER NOT NULL,
    what TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (hour, what)
) STRICT, WITHOUT ROWID;

-- When something came last from where.
CREATE TABLE source (
    name TEXT NOT NULL PRIMARY KEY,
    last_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE alert ADD COLUMN acked_at INTEGER;
ALTER TABLE alert ADD COLUMN acked_by TEXT;
ALTER TABLE alert ADD COLUMN escalations INTEGER NOT NULL DEFAULT 0;
ALTER TABLE alert ADD COLUMN escalated_at INTEGER;
