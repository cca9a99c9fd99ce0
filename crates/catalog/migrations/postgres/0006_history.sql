-- As migrations/sqlite/0007_history.sql. Parts: see `usage`.
CREATE TABLE sample (
    hour BIGINT NOT NULL,
    store TEXT COLLATE "C" NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (hour, store)
);

CREATE TABLE tally (
    hour BIGINT NOT NULL,
    what TEXT COLLATE "C" NOT NULL,
    part BIGINT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (hour, what, part)
) WITH (fillfactor = 50);

CREATE TABLE source (
    name TEXT COLLATE "C" NOT NULL,
    part BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    PRIMARY KEY (name, part)
) WITH (fillfactor = 50);

ALTER TABLE alert ADD COLUMN acked_at BIGINT, ADD COLUMN acked_by TEXT,
    ADD COLUMN escalations BIGINT NOT NULL DEFAULT 0, ADD COLUMN escalated_at BIGINT;
-- A hash, because a key may be of any length.
CREATE INDEX alert_by_key ON alert USING hash (key);
