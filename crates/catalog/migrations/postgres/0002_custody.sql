-- As migrations/sqlite/0003_custody.sql.

ALTER TABLE recording ADD COLUMN custody TEXT NOT NULL DEFAULT '{}', ADD COLUMN verified_at BIGINT;
UPDATE recording SET verified_at = accepted_at;
CREATE INDEX recording_verified ON recording (verified_at, id) WHERE verified_at IS NOT NULL;
ALTER TABLE copy ADD COLUMN verified_at BIGINT, ADD COLUMN leaving TEXT;
UPDATE copy SET verified_at = round(1000 * extract(epoch FROM (body::json ->> 'verified_at')::timestamptz));
CREATE INDEX copy_verified ON copy (verified_at, recording, store) WHERE verified_at IS NOT NULL;

CREATE TABLE offer (
    recording TEXT COLLATE "C" NOT NULL,
    turn BIGINT NOT NULL,
    rule TEXT NOT NULL,
    what TEXT NOT NULL,
    room TEXT COLLATE "C" NOT NULL,
    bytes BIGINT NOT NULL,
    archived BIGINT NOT NULL,
    dated BIGINT NOT NULL,
    trash_ms BIGINT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (recording, turn)
);
CREATE INDEX offer_room ON offer (room, recording, turn);

CREATE TABLE trashing (
    recording TEXT COLLATE "C" PRIMARY KEY,
    at BIGINT NOT NULL,
    bytes BIGINT NOT NULL
);
CREATE INDEX trashing_at ON trashing (at);

CREATE TABLE certificate (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recording TEXT COLLATE "C" NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX certificate_recording ON certificate (recording, seq);
