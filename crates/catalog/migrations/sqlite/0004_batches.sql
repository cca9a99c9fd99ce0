-- Jobs that no decision asked for. A job of a paused batch is in the state `paused`: pending, and handed over to nobody.
CREATE TABLE batch (
    id TEXT NOT NULL PRIMARY KEY,
    seq INTEGER NOT NULL,
    verb TEXT NOT NULL,
    actor TEXT NOT NULL,
    what TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    state TEXT NOT NULL
) STRICT;
CREATE INDEX batch_seq ON batch (seq);
ALTER TABLE job ADD COLUMN batch TEXT;
CREATE INDEX job_batch ON job (batch, state, seq) WHERE batch IS NOT NULL;
