-- As migrations/sqlite/0009_destinations.sql. Names of destinations are words: nothing in them is escaped.
ALTER TABLE job ADD COLUMN destination TEXT COLLATE "C", ADD COLUMN bytes BIGINT NOT NULL DEFAULT 0;
UPDATE job SET destination = substring(action FROM '^\{"do":"export","to":"([^"\\]*)"') WHERE action LIKE '{"do":"export",%';
UPDATE job SET bytes = r.size FROM recording r WHERE r.id = job.recording AND job.batch IS NOT NULL;
DROP INDEX job_fresh;
CREATE INDEX job_fresh ON job (lane, fresh_at, id) WHERE fresh_at IS NOT NULL AND destination IS NULL;
CREATE INDEX job_fresh_to ON job (lane, destination, fresh_at, id) WHERE fresh_at IS NOT NULL AND destination IS NOT NULL;
CREATE INDEX job_running_to ON job (destination, lease_until) WHERE state = 'running' AND destination IS NOT NULL;
CREATE INDEX job_offered_to ON job (destination, offered_at) WHERE offered_at IS NOT NULL AND destination IS NOT NULL;
DROP INDEX job_batch;
CREATE INDEX job_batch ON job (batch, state, seq, bytes) WHERE batch IS NOT NULL;
