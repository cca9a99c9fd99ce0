-- The tables of migrations/sqlite, as far as a server with many writers does not need others. What is ordered or
-- compared is COLLATE "C", whatever the database's own collation: ids begin alike and names sort alike everywhere.
-- Times are milliseconds since 1970; all numbers are BIGINT.

-- rid is the time a recording is dated, in milliseconds, and 15 bits more that tell recordings of one date apart:
-- newest first is the order of the table's own index.
CREATE TABLE recording (
    rid BIGINT PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    title TEXT NOT NULL,
    store TEXT NOT NULL,
    key TEXT NOT NULL,
    version TEXT NOT NULL,
    size BIGINT NOT NULL,
    sha256 BYTEA NOT NULL,
    crc64 BIGINT NOT NULL,
    accepted_at BIGINT NOT NULL,
    recorded_at BIGINT,
    tags TEXT NOT NULL,
    session TEXT COLLATE "C",
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    revision BIGINT NOT NULL,
    media_type TEXT,
    duration_ms BIGINT,
    probe TEXT
    -- Most changes raise the revision only: with room on its page a row changes without its indexes.
) WITH (fillfactor = 80);
-- Hashes, because a name may be longer than a B-tree takes.
CREATE INDEX recording_name ON recording USING hash (name);
CREATE INDEX recording_state ON recording (state, rid);
CREATE INDEX recording_sha256 ON recording (sha256);
CREATE INDEX recording_session ON recording (session) WHERE session IS NOT NULL;

-- The low bits of row ids, handed out in turn: two transactions never have the same one at the same time.
CREATE SEQUENCE recording_turn AS INTEGER MINVALUE 0 MAXVALUE 32767 START 0 CYCLE;

-- What its manifest names, whether it has come or not.
CREATE TABLE session_track (
    session TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    name TEXT NOT NULL,
    participant TEXT NOT NULL,
    offset_ms BIGINT NOT NULL,
    leave_ms BIGINT,
    PRIMARY KEY (session, position)
);
CREATE INDEX session_track_name ON session_track USING hash (name);

-- When to look at a recording again: 0 is now (it is dirty). Rows come and go all the time: cleaned up often.
CREATE TABLE attention (
    id TEXT COLLATE "C" PRIMARY KEY,
    at BIGINT NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX attention_at ON attention (at, id);

CREATE TABLE rendition (
    recording TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (recording, name)
);

-- The hash of everything that we ever made. Rows are never removed: an output that was replaced may still lie
-- in a folder that we watch.
CREATE TABLE output (
    sha256 BYTEA PRIMARY KEY,
    recording TEXT COLLATE "C" NOT NULL,
    name TEXT NOT NULL
);

CREATE TABLE copy (
    recording TEXT COLLATE "C" NOT NULL,
    store TEXT COLLATE "C" NOT NULL,
    size BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (recording, store)
);

-- Every connection counts in a part of its own: one row a store would be what all workers wait for. A part may be
-- below zero; their sum is what is stored.
CREATE TABLE usage (
    store TEXT COLLATE "C" NOT NULL,
    part BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (store, part)
) WITH (fillfactor = 50);

CREATE TABLE job (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    recording TEXT COLLATE "C" NOT NULL,
    version TEXT NOT NULL,
    action TEXT NOT NULL,
    lane BIGINT NOT NULL,
    rule TEXT NOT NULL,
    reason TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    failures BIGINT NOT NULL DEFAULT 0,
    token BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    run_after BIGINT NOT NULL,
    worker TEXT,
    lease_until BIGINT,
    progress TEXT,
    error TEXT,
    outcome TEXT,
    finished_at BIGINT,
    -- When it was last handed over to the queue; absent: it waits to be. Whatever makes it ready anew clears it.
    offered_at BIGINT,
    -- When somebody may take it, and when to hand it over; computed, so that they cannot disagree with the state.
    ready_at BIGINT GENERATED ALWAYS AS (
        CASE state WHEN 'pending' THEN run_after WHEN 'running' THEN lease_until END) STORED,
    fresh_at BIGINT GENERATED ALWAYS AS (
        CASE WHEN offered_at IS NULL THEN
            CASE state WHEN 'pending' THEN run_after WHEN 'running' THEN lease_until END
        END) STORED
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX job_fresh ON job (lane, fresh_at, id) WHERE fresh_at IS NOT NULL;
CREATE INDEX job_offered ON job (lane, offered_at, id) WHERE offered_at IS NOT NULL;
CREATE INDEX job_recording ON job (recording, state, seq);
CREATE INDEX job_state ON job (state, seq);

-- Append-only, also for us. Only who owns the table can take the trigger away.
CREATE TABLE audit (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    what TEXT NOT NULL,
    recording TEXT COLLATE "C",
    details TEXT NOT NULL
);
CREATE INDEX audit_recording ON audit (recording, seq) WHERE recording IS NOT NULL;
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END
$$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
-- Also in a session that replays what another server did.
ALTER TABLE audit ENABLE ALWAYS TRIGGER audit_append_only;

-- What is true of the catalog as a whole, e.g. the policy in force.
CREATE TABLE setting (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- Who does what only one process should do, and until when.
CREATE TABLE lead (
    role TEXT PRIMARY KEY,
    worker TEXT NOT NULL,
    until BIGINT NOT NULL
);

-- What people are to be told: written with the fact that it tells of, sent afterwards.
CREATE TABLE alert (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key TEXT NOT NULL,
    raised_at BIGINT NOT NULL,
    sent_at BIGINT,
    body TEXT NOT NULL
);
CREATE INDEX alert_unsent ON alert (seq) WHERE sent_at IS NULL;

-- When a key was last raised: the row that two who raise it at the same time meet at. By its hash, because a key may
-- be longer than an index takes.
CREATE TABLE alert_key (
    sha256 BYTEA PRIMARY KEY,
    raised_at BIGINT NOT NULL
);

-- The words only, not the texts. Marks are what filters look for (document.rs). Apart from the recordings, whose
-- rows change often: the index holds twenty entries for every version of this one.
CREATE TABLE search (
    rid BIGINT PRIMARY KEY,
    words TSVECTOR NOT NULL
);
CREATE INDEX search_words ON search USING gin (words) WITH (fastupdate = off);
