-- As migrations/sqlite/0005_pages.sql.
CREATE INDEX job_done ON job (recording, version, id) WHERE state = 'done';
CREATE INDEX job_parked ON job (recording) WHERE state = 'parked';
