-- Where an export goes, as its action says: of what is under way to one destination there are only so many.
ALTER TABLE job ADD COLUMN destination TEXT;
UPDATE job SET destination = action ->> 'to' WHERE action LIKE '{"do":"export",%';
-- What an ordered job is to move.
ALTER TABLE job ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE job SET bytes = coalesce((SELECT size FROM recording r WHERE r.id = job.recording), 0) WHERE batch IS NOT NULL;

-- What goes somewhere is handed over as that place has room for it, all the rest by its age.
DROP INDEX job_fresh;
CREATE INDEX job_fresh ON job (lane, fresh_at, id) WHERE fresh_at IS NOT NULL AND destination IS NULL;
CREATE INDEX job_fresh_to ON job (lane, destination, fresh_at, id) WHERE fresh_at IS NOT NULL AND destination IS NOT NULL;
-- Few: those that have a place, and those that are on their way to one.
CREATE INDEX job_running_to ON job (destination, lease_until) WHERE state = 'running' AND destination IS NOT NULL;
CREATE INDEX job_offered_to ON job (destination, offered_at) WHERE offered_at IS NOT NULL AND destination IS NOT NULL;
-- How far a batch is, in jobs and in bytes, without a look at the jobs themselves.
DROP INDEX job_batch;
CREATE INDEX job_batch ON job (batch, state, seq, bytes) WHERE batch IS NOT NULL;
