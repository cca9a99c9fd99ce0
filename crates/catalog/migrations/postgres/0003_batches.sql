-- As migrations/sqlite/0004_batches.sql.
CREATE TABLE batch (
    id TEXT COLLATE "C" PRIMARY KEY,
    seq BIGINT GENERATED ALWAYS AS IDENTITY,
    verb TEXT NOT NULL,
    actor TEXT NOT NULL,
    what TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    state TEXT NOT NULL
);
CREATE INDEX batch_seq ON batch (seq);
ALTER TABLE job ADD COLUMN batch TEXT COLLATE "C";
CREATE INDEX job_batch ON job (batch, state, seq) WHERE batch IS NOT NULL;
