-- Who holds the bytes, how they lie, whether they are to go (domain::Custody).
ALTER TABLE recording ADD COLUMN custody TEXT NOT NULL DEFAULT '{}';
-- When these bytes were last read back; absent: they are not to be read back (in the trash, cold, known to be bad).
ALTER TABLE recording ADD COLUMN verified_at INTEGER;
UPDATE recording SET verified_at = accepted_at;
CREATE INDEX recording_verified ON recording (verified_at, id) WHERE verified_at IS NOT NULL;
ALTER TABLE copy ADD COLUMN verified_at INTEGER;
UPDATE copy SET verified_at = CAST(round(1000 * unixepoch(body ->> 'verified_at', 'subsec')) AS INTEGER);
CREATE INDEX copy_verified ON copy (verified_at, recording, store) WHERE verified_at IS NOT NULL;
-- The job that has given it up: it is no copy any more, and its bytes are about to go.
ALTER TABLE copy ADD COLUMN leaving TEXT;

-- What rules would have go; `room` is the store that it makes room in, and empty where it is due.
CREATE TABLE offer (
    recording TEXT NOT NULL,
    turn INTEGER NOT NULL,
    rule TEXT NOT NULL,
    what TEXT NOT NULL,
    room TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    archived INTEGER NOT NULL,
    dated INTEGER NOT NULL,
    trash_ms INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (recording, turn)
) STRICT, WITHOUT ROWID;
CREATE INDEX offer_room ON offer (room, recording, turn);

-- What went into the trash of late and was not taken out again: what the limit is about.
CREATE TABLE trashing (
    recording TEXT NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX trashing_at ON trashing (at);

-- One for every life that a recording had.
CREATE TABLE certificate (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    recording TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX certificate_recording ON certificate (recording, seq);
