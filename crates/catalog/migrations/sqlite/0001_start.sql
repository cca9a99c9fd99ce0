-- Ids are text: they are read in logs, looked up by prefix, and joined rarely; ten bytes a row is the price.
-- Times are milliseconds since 1970.

-- rid is the time a recording is dated, in milliseconds, one more where that is taken: newest first is the order
-- of the table itself, and of the search index, which therefore stops at the first page of hits.
CREATE TABLE recording (
    rid INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    title TEXT NOT NULL,
    store TEXT NOT NULL,
    key TEXT NOT NULL,
    version TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    crc64 INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    recorded_at INTEGER,
    tags TEXT NOT NULL,
    session TEXT,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    revision INTEGER NOT NULL,
    media_type TEXT,
    duration_ms INTEGER,
    probe TEXT
) STRICT;
CREATE INDEX recording_name ON recording (name);
CREATE INDEX recording_state ON recording (state);
CREATE INDEX recording_sha256 ON recording (sha256);

-- What its manifest names, whether it has come or not.
CREATE TABLE session_track (
    session TEXT NOT NULL,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    participant TEXT NOT NULL,
    offset_ms INTEGER NOT NULL,
    leave_ms INTEGER,
    PRIMARY KEY (session, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX session_track_name ON session_track (name);

-- When to look at a recording again: 0 is now (it is dirty). Apart from the recordings, because a new policy
-- makes all of them dirty, and rewriting a million of these narrow rows takes seconds, not minutes.
CREATE TABLE attention (
    id TEXT NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX attention_at ON attention (at, id);

CREATE TABLE rendition (
    recording TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (recording, name)
) STRICT, WITHOUT ROWID;

-- The hash of everything that we ever made. Rows are never removed: an output that was replaced may still lie
-- in a folder that we watch.
CREATE TABLE output (
    sha256 BLOB NOT NULL PRIMARY KEY,
    recording TEXT NOT NULL,
    name TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE copy (
    recording TEXT NOT NULL,
    store TEXT NOT NULL,
    size INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (recording, store)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage (
    store TEXT NOT NULL PRIMARY KEY,
    bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE job (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    recording TEXT NOT NULL,
    version TEXT NOT NULL,
    action TEXT NOT NULL,
    lane INTEGER NOT NULL,
    rule TEXT NOT NULL,
    reason TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    token INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    run_after INTEGER NOT NULL,
    worker TEXT,
    lease_until INTEGER,
    progress TEXT,
    error TEXT,
    outcome TEXT,
    finished_at INTEGER,
    -- When somebody may take it; computed, so that it cannot disagree with the state.
    ready_at INTEGER AS (CASE state WHEN 'pending' THEN run_after WHEN 'running' THEN lease_until END) VIRTUAL
) STRICT;
CREATE INDEX job_ready ON job (lane, ready_at, id) WHERE ready_at IS NOT NULL;
CREATE INDEX job_recording ON job (recording, state);
CREATE INDEX job_state ON job (state);

-- Append-only, also for us. REPLACE removes rows without asking the delete trigger, hence the third one.
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    what TEXT NOT NULL,
    recording TEXT,
    details TEXT NOT NULL
) STRICT;
CREATE INDEX audit_recording ON audit (recording, seq) WHERE recording IS NOT NULL;
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

-- What is true of the catalog as a whole, e.g. the policy in force.
CREATE TABLE setting (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The words only, not the texts: `rowid` is the recording's rid. Marks are what filters look for (document.rs).
CREATE VIRTUAL TABLE search USING fts5 (
    title, name, people, tags, other, marks,
    content = '', contentless_delete = 1, prefix = '2 3', tokenize = 'unicode61 remove_diacritics 2'
);
